"""What an emulation of LiteLLM gives: decisions, cooldowns, refusals, and how well they explain the log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from incident_kit.cachedproperty import cached_property
from incident_kit.errors import NoSuchItem
from incident_kit.estimation.evidence import LABELS
from incident_kit.gateways.litellm_router import READ, SECOND, Cooldown
from incident_kit.gateways.litellm_settings import Settings
from incident_kit.gateways.litellm_walk import Logged, Walk
from incident_kit.gateways.litellm_words import DIFFERENCES, OTHER_END, UNSEEN_REFUSAL, cooldown_words, request_words
from incident_kit.moments import NEAR, moment

_INSTANT = pl.Datetime("us", "UTC")
NEAR_US = NEAR // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Refusals:
    """Requests that LiteLLM refused because their group had no deployment left: in the log, here, and in both."""

    observed: int
    emulated: int
    both: int

    @property
    def met_share(self) -> float | None:
        """The share of the observed refusals that the emulation refuses too; None without any."""
        return self.both / self.observed if self.observed else None

    @property
    def false_share(self) -> float | None:
        """The share of the emulation's refusals that LiteLLM did not refuse; None without any."""
        return (self.emulated - self.both) / self.emulated if self.emulated else None


@dataclass(frozen=True, repr=False)
class Emulation:
    """LiteLLM's router over a log. Requests for groups that the configuration does not have are left as logged.

    ``walks`` are in order of arrival; ``version`` is LiteLLM's whose rules were run.
    """

    name: str
    version: str
    settings: Settings
    walks: tuple[Walk, ...]
    found: tuple[Cooldown, ...]

    @property
    def fidelity(self) -> float:
        """The share of requests answered by the group that answered them in the log; 1 where the log knows of none."""
        known = [walk for walk in self.walks if walk.logged.served is not None and self._is_routed(walk)]
        return sum(walk.served == walk.logged.served for walk in known) / len(known) if known else 1.0

    @property
    def judged(self) -> int:
        """The number of requests that ``fidelity`` is a share of."""
        return sum(walk.logged.served is not None and self._is_routed(walk) for walk in self.walks)

    @property
    def refusals(self) -> Refusals:
        """Refusals in the log and here; both count those before any call of the request, as LiteLLM logs no others."""
        observed = {walk.logged.position for walk in self.walks if _is_refused(walk.logged)}
        emulated = {walk.logged.position for walk in self.walks if walk.refused_group is not None}
        return Refusals(len(observed), len(emulated), len(observed & emulated))

    @property
    def evidence(self) -> Mapping[str, float]:
        """The share of requests by label: observed, same_intent (the nearest call was borrowed), none (the log cannot tell)."""
        count = max(len(self.walks), 1)
        return {label: sum(walk.evidence == i for walk in self.walks) / count for i, label in enumerate(LABELS)}

    @cached_property
    def decisions(self) -> pl.DataFrame:
        """One row a request, in order of arrival: where it went here and in the log.

        ``refused`` says whether its group had no deployment left before any call; ``difference`` where its way leaves
        the logged one, in words, NULL where it does not.
        """
        rows = [
            (
                walk.logged.id, walk.logged.arrived_us, walk.logged.worker, walk.logged.group, walk.first, walk.served,
                walk.logged.served, walk.served == walk.logged.served, walk.refused_group is not None,
                _is_refused(walk.logged), walk.calls, walk.error, DIFFERENCES[walk.parted], LABELS[walk.evidence],
            )
            for walk in self.walks
        ]  # fmt: skip
        schema: dict[str, Any] = {
            "request_id": pl.String, "at": pl.Int64, "worker": pl.String, "requested": pl.String, "target": pl.String,
            "served": pl.String, "logged_served": pl.String, "same_as_log": pl.Boolean, "refused": pl.Boolean,
            "logged_refused": pl.Boolean, "calls": pl.Int64, "error_class": pl.String, "difference": pl.String,
            "evidence": pl.Enum(LABELS),
        }  # fmt: skip
        return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col("at").cast(_INSTANT))

    @cached_property
    def differences(self) -> pl.DataFrame:
        """One row a request that another group answers than in the log, or that is refused in one of the two only.

        Columns: request_id, at, requested, served (who answers here; NULL: nobody), logged_served, refused,
        logged_refused, difference (in words), evidence.
        """
        same = pl.col("served").eq_missing(pl.col("logged_served"))
        other = pl.when(same & pl.col("refused")).then(pl.lit(UNSEEN_REFUSAL)).otherwise(pl.lit(OTHER_END))
        return self.decisions.filter(~same | (pl.col("refused") != pl.col("logged_refused"))).select(
            "request_id", "at", "requested", "served", "logged_served", "refused", "logged_refused",
            pl.col("difference").fill_null(other), "evidence",
        )  # fmt: skip

    @cached_property
    def cooldowns(self) -> pl.DataFrame:
        """One row a stay of a deployment out of service, with the counters at the failure that began it.

        ``fails`` are counted since ``fails_since`` and ``successes`` since ``successes_since``; ``allowed`` is set where
        allowed_fails decided. ``length_from`` says what set its length.
        """
        rows = [
            (
                one.worker, one.deployment.id, one.deployment.group, one.start_us, one.until_us, one.why, one.error,
                one.length_from, one.fails, one.fails_since_us, one.successes, one.successes_since_us, one.allowed,
                self.walks[one.request].logged.id,
            )
            for one in self.found
        ]  # fmt: skip
        schema: dict[str, Any] = {
            "worker": pl.String, "deployment": pl.String, "group": pl.String, "start": pl.Int64, "end": pl.Int64,
            "why": pl.String, "error_class": pl.String, "length_from": pl.String, "fails": pl.Int64,
            "fails_since": pl.Int64, "successes": pl.Int64, "successes_since": pl.Int64, "allowed": pl.Int64,
            "request_id": pl.String,
        }  # fmt: skip
        instants = pl.col("start", "end", "fails_since", "successes_since").cast(_INSTANT)
        return pl.DataFrame(rows, schema=schema, orient="row").with_columns(instants)

    @property
    def caveats(self) -> tuple[str, ...]:
        """What a reader must know before believing this, in sentences."""
        said = [f"The emulation does not follow {text}." for text in self.settings.left_out]
        if self.version not in READ:
            said.append(f"LiteLLM's rules were read in {' and '.join(READ)}; {self.version} may differ.")
        if unlogged := sum(walk.unlogged for walk in self.walks):
            guessed = sum(walk.guessed for walk in self.walks)
            said.append(
                f"{unlogged:,} failed attempts are not in the log and follow from what came after them; for {guessed:,} that"
                " count, the likeliest of several deployments was taken."
            )
        if unrouted := sum(not self._is_routed(walk) for walk in self.walks):
            said.append(f"{unrouted:,} requests are for groups that the configuration does not have: left as logged.")
        return tuple(said)

    def __repr__(self) -> str:
        """Return how well the emulation explains the log, in sentences."""
        refusals, answered = self.refusals, round(self.fidelity * self.judged)
        said = [
            f"{self.name}, emulated: {answered:,} of {self.judged:,} requests are answered by the group that answered them."
        ]
        if refusals.observed or refusals.emulated:
            said.append(
                f"Of {refusals.observed:,} refusals in the log {refusals.both:,} are met; {refusals.emulated - refusals.both:,}"
                f" of the emulation's {refusals.emulated:,} are not in the log."
            )
        counts = self.differences["difference"].value_counts(sort=True)
        said += [f"{count:,} requests: {difference}." for difference, count in counts.iter_rows()]
        return " ".join(said)

    def explain(self, request_id: str) -> str:
        """Return where a request went here, and why, in sentences.

        Raises
        ------
        NoSuchItem
            The log has no such request.
        """
        walk = next((walk for walk in self.walks if walk.logged.id == request_id), None)
        if walk is None:
            raise NoSuchItem(f"the log has no request {request_id!r}; decisions['request_id'] lists those it has")
        then = [one for one in self.found if one.start_us <= walk.logged.arrived_us <= one.until_us]
        mine = [one for one in then if one.worker == walk.logged.worker or self.settings.is_shared]
        return request_words(walk, mine, self.settings)

    def explain_cooldown(self, deployment: str, at: datetime | str) -> str:
        """Return why LiteLLM had a deployment out of service at an instant, or within a minute of it, in sentences.

        Parameters
        ----------
        at
            With a zone, also as text, or by the clock in UTC: ``"12:27"``.

        Raises
        ------
        NoSuchItem
            It was in service then, or that is no time.
        """
        first, last = (self.walks[i].logged.arrived_us if self.walks else 0 for i in (0, -1))
        at = moment(
            at, first=datetime.fromtimestamp(first / SECOND, UTC), last=datetime.fromtimestamp(last / SECOND, UTC)
        )
        instant = round(at.timestamp() * SECOND)
        away = [
            (max(one.start_us - instant, instant - one.until_us, 0), i)
            for i, one in enumerate(self.found)
            if one.deployment.id == deployment
        ]
        nearest = min(away, default=(NEAR_US, -1))[0]
        found = [self.found[i] for us, i in away if us == nearest < NEAR_US]
        if not found:
            known = ", ".join(sorted({one.deployment.id for one in self.found})) or "no deployment"
            raise NoSuchItem(
                f"{deployment!r} was in service at {at:%H:%M:%S}; cooldowns lists when which was not ({known})"
            )
        return " ".join(cooldown_words(one, self.settings, self.walks[one.request].logged.id) for one in found)

    def _is_routed(self, walk: Walk) -> bool:
        return walk.logged.group in walk.router.groups


def _is_refused(logged: Logged) -> bool:
    return any(row.kind == "refusal" for row in logged.rows)
