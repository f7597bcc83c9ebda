"""Desk: what agents and the help desk made of a played scenario: decisions on suggestions, tickets, SLA clocks, escalations.

Draws belong to the request or the conversation, so that only what was answered moves what follows. The export is made
two hours after the scenario's end: what is later is not in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.cachedproperty import cached_property
from incident_kit.scenarios.played import Played
from incident_kit.scenarios.reviews import of_each
from incident_kit.scenarios.scenario import Scenario, Spread
from incident_kit.stats.draws import log_normals

EXPORTED_AFTER = timedelta(hours=2)
_BEFORE = timedelta(seconds=20)  # a ticket is there before its first request


@dataclass(frozen=True)
class Desk:
    """Frames of a played scenario: ``overrides``, ``tickets``, ``ticket_events``; :meth:`metric_events` are Zendesk's."""

    played: Played

    @property
    def scenario(self) -> Scenario:
        """The script."""
        return self.played.truth.scenario

    @property
    def exported_at(self) -> datetime:
        """When the export was made."""
        return self.scenario.start + timedelta(milliseconds=self.scenario.duration) + EXPORTED_AFTER

    @cached_property
    def overrides(self) -> pl.DataFrame:
        """One row a suggestion that was shown to an agent, in the columns of the ``overrides`` format, in order of decision."""
        agents, truth = self.scenario.agents, self.played.truth
        made = truth.reviews
        base = pl.DataFrame(
            {"reviewed": made.shown, "ignored": made.ignored, "after_us": made.after_us, "u": made.choice}
        )
        frame = pl.concat([self._answered, base], how="horizontal").filter("reviewed", "answered")
        overridden = pl.col("overridden") & ~pl.col("ignored")
        decided = pl.when(~pl.col("ignored")).then(pl.col("done_at") + pl.col("after_us").cast(pl.Duration("us")))
        decision = (
            pl.when("ignored").then(pl.lit("ignored")).when(~overridden).then(pl.lit("accepted"))
            .when(pl.col("u") < agents.rejected).then(pl.lit("rejected")).otherwise(pl.lit("edited"))
        )  # fmt: skip
        return (
            frame.select(
                ("s-" + pl.col("request_id").str.slice(4)).alias("suggestion_id"),
                "ticket_id",
                "request_id",
                pl.col("done_at").dt.truncate("1s").alias("shown_at"),
                decided.alias("decided_at"),
                decision.alias("decision"),
                "u",
            )
            .with_columns(pl.when(pl.col("decision") == "edited").then(pl.col("u").round(2)).alias("edit_ratio"))
            .drop("u")
            .filter(pl.col("decided_at").is_null() | (pl.col("decided_at") <= self.exported_at))
            .sort(pl.col("decided_at").fill_null(self.exported_at), "suggestion_id")
        )

    @cached_property
    def tickets(self) -> pl.DataFrame:
        """One row a ticket, in order of creation: the kit's columns, and ``due_at`` of the first reply."""
        desk = self.scenario.desk
        joined = self._answered.join(
            self.overrides.select("request_id", pl.col("decision").is_in(["edited", "rejected"]).alias("redone")),
            on="request_id", how="left", maintain_order="left",
        )  # fmt: skip
        by_hand = ~pl.col("answered") | pl.col("redone").fill_null(value=False)
        each = (
            joined.filter(pl.col("ticket_id").is_not_null())
            .group_by("ticket_id", maintain_order=True)
            .agg(
                pl.col("intent", "channel", "conversation").first(),
                (pl.col("arrived_at").min().dt.truncate("1s") - _BEFORE).alias("created_at"),
                pl.col("done_at").max(),
                (pl.col("done_at") - pl.col("arrived_at")).first().alias("waited"),
                by_hand.first().alias("by_hand"),
                (by_hand | pl.col("tool_failed")).any().alias("bad"),
            )
            .sort("created_at", "ticket_id")
        )

        def draw(what: str) -> NDArray[np.float64]:
            return of_each(self.scenario, each, what, "conversation")

        names = list(desk.priorities)
        upto = np.cumsum([desk.priorities[name].share for name in names])
        priority = np.searchsorted(upto[:-1] / upto[-1], draw("priority"), side="right")
        targets = np.array([desk.priorities[name].first_reply for name in names], np.int64)
        more: dict[str, Any] = {
            "priority": pl.Series(names).gather(priority),
            "target_s": pl.Series(targets[priority] // 1000),
            "reply_s": _spread(draw("reply"), desk.reply_s),
            "by_hand_s": _spread(draw("by hand"), desk.by_hand_s),
            "solve_s": _spread(draw("solve"), desk.solve_s),
            "u_escalated": draw("escalated"),
            "u_reopened": draw("reopened"),
        }
        bad = pl.col("bad").cast(pl.Float64)
        reply = (
            _seconds("reply_s")
            + pl.col("waited")
            + pl.when("by_hand").then(_seconds("by_hand_s")).otherwise(timedelta())
        )
        timed = (
            each.with_columns(**more)
            .with_columns((pl.col("created_at") + reply).dt.truncate("1s").alias("first_reply_at"))
            .with_columns(
                (pl.max_horizontal("first_reply_at", "done_at") + _seconds("solve_s"))
                .dt.truncate("1s")
                .alias("solved_at"),
                (pl.col("created_at") + pl.col("target_s") * timedelta(seconds=1)).alias("due_at"),
                (pl.col("u_escalated") < desk.escalated + desk.escalated_if_bad * bad).alias("escalated"),
                (pl.col("u_reopened") < desk.reopened + desk.reopened_if_bad * bad).alias("reopened"),
            )
        )
        reopened_at = pl.col("solved_at") + timedelta(minutes=20)
        end = self.exported_at
        return timed.with_columns(
            pl.when("escalated").then(pl.col("first_reply_at") + timedelta(minutes=2)).alias("escalated_at"),
            pl.when("reopened").then(reopened_at).alias("reopened_at"),
        ).with_columns(
            pl.when(pl.col(name) <= end).then(name).alias(name)
            for name in ("first_reply_at", "solved_at", "escalated_at", "reopened_at")
        ).with_columns(pl.col("reopened_at").is_not_null().cast(pl.Int64).alias("reopens"))  # fmt: skip

    @cached_property
    def ticket_events(self) -> pl.DataFrame:
        """One row an escalation or re-opening: ticket_id, at, type."""
        parts = [
            self.tickets.select("ticket_id", pl.col(f"{name}_at").alias("at"), pl.lit(kind).alias("type"))
            for name, kind in (("escalated", "escalation"), ("reopened", "reopen"))
        ]
        return pl.concat(parts).drop_nulls().sort("at", "ticket_id", "type")

    def metric_events(self) -> Iterator[dict[str, Any]]:
        """Yield Zendesk ticket metric events of first replies, in order of time."""
        policy = self.scenario.desk.policy
        found: list[tuple[datetime, int, int, dict[str, Any]]] = []
        for number, row in enumerate(self.tickets.iter_rows(named=True)):
            created, due, replied = row["created_at"], row["due_at"], row["first_reply_at"]
            sla = {
                "target": row["target_s"] // 60, "target_in_seconds": row["target_s"], "business_hours": False,
                "policy": {"id": 7001, "title": policy},
            }  # fmt: skip
            events: list[tuple[datetime, str, dict[str, Any]]] = [(created, "activate", {})]
            events.append((created + timedelta(seconds=1), "apply_sla", {"sla": sla}))
            if due < (replied or self.exported_at):
                events.append((due, "breach", {}))
            if replied is not None:
                minutes = (replied - created) // timedelta(minutes=1)
                events.append((replied, "fulfill", {}))
                events.append((replied, "update_status", {"status": {"calendar": minutes, "business": minutes}}))
            found += [
                (at, number, step, {"ticket_id": int(row["ticket_id"]), "type": type_, **more})
                for step, (at, type_, more) in enumerate(events)
            ]
        for number, (at, *_, event) in enumerate(sorted(found, key=lambda one: one[:3])):
            time = at.strftime("%Y-%m-%dT%H:%M:%SZ")
            yield {
                "id": 900_000 + number,
                "metric": "reply_time",
                "instance_id": 1,
                "time": time,
                "deleted": False,
                **event,
            }

    @cached_property
    def _answered(self) -> pl.DataFrame:
        """One row a request: what was served when, whether it failed, or its tools, and whether it would be overridden."""
        final = self.played.attempts.filter("is_final").select(
            "request_id", "overridden", ((pl.col("malformed") + pl.col("failing")) > 0).alias("tool_failed")
        )
        own = self.played.truth.requests.select("request_id", "number", "conversation")
        requests = self.played.requests.with_columns(
            (pl.col("status") != "ok").alias("failed"), pl.col("done_at").fill_null(pl.col("arrived_at"))
        )
        joined = requests.join(own, on="request_id", maintain_order="left").join(
            final, on="request_id", how="left", maintain_order="left"
        )
        return joined.with_columns(pl.col("overridden", "tool_failed").fill_null(value=False))


def _spread(u: NDArray[np.float64], spread: Spread) -> NDArray[np.float64]:
    return log_normals(u, spread.median, spread.width)


def _seconds(column: str) -> pl.Expr:
    return (pl.col(column) * 1000).round().cast(pl.Int64).cast(pl.Duration("ms")).cast(pl.Duration("us"))
