"""Signs: when the help desk felt it, on reviews, tickets, escalations and missed targets written by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from written import START, Call, Request, fill, frames, write

from incident_kit.alerting.signs import SIGNS, Signs, _without, signs
from incident_kit.case import open_case
from incident_kit.incident import Incident
from incident_kit.samples import OUTAGE
from incident_kit.samples import sample as bundled

_INSTANT = pl.Datetime("us", "UTC")


def at(minute: float) -> datetime:
    return START + timedelta(minutes=minute)


def reviewed(folder: Path, *, intent: str = "chat", only_overrides: bool = False, impact: bool = True) -> Incident:
    """Two hours, a review a minute after each request, one a minute; one in ten overridden, from minute 60 on every second."""
    requests = []
    for minute in range(120):
        over = minute % 2 == 0 if minute >= 60 else minute % 10 == 0
        requests.append(Request(f"r{minute:03}", 60_000 * minute, [Call("big", 500)], intent=intent, overridden=over))
    requests += [Request(f"x{i:03}", 60_000 * i + 1, [Call("big", 500)], intent="other") for i in range(120)]
    tables = frames(requests)
    if only_overrides:
        tables["feedback"] = tables["feedback"].filter(tables["feedback"]["overridden"])
    incident = Incident.create()
    incident.load(write(folder, tables))
    if impact:
        incident.annotate("impact", at(60), at(120))
    return incident


def desk(
    created: list[float],
    *,
    intent: str | None = "chat",
    escalated: list[float] = (),  # type: ignore[assignment]
    missed: list[float] = (),  # type: ignore[assignment]
    impact: tuple[float, float] | None = (120, 180),
) -> Incident:
    """Return an incident whose tickets were created at these minutes; some escalated, some missed a target of 30 minutes."""
    incident = Incident.create()
    tables = frames([Request("r1", 0, [Call("big", 500)]), Request("r2", 60_000 * 360, [Call("big", 500)])])
    size = len(created)
    tables["tickets"] = pl.DataFrame(
        {
            "ticket_id": [f"T{i}" for i in range(size)],
            "created_at": [at(m) for m in created],
            "intent": [intent] * size,
        },
        schema={"ticket_id": pl.String, "created_at": _INSTANT, "intent": pl.String},
    )
    tables["ticket_events"] = pl.DataFrame(
        {
            "ticket_id": ["T0"] * len(escalated),
            "at": [at(m) for m in escalated],
            "type": ["escalation"] * len(escalated),
        },
        schema={"ticket_id": pl.String, "at": _INSTANT, "type": pl.String},
    )
    tables["sla"] = pl.DataFrame(
        [
            {
                "ticket_id": f"T{i}", "metric": "first_reply", "instance_no": 1, "started_at": at(m - 30), "due_at": at(m),
                "stopped_at": at(m + 5), "target_s": 1800, "clock": "calendar", "elapsed_s": 2100, "breached": True,
                "outcome": "breached", "evidence_level": "instance",
            }
            for i, m in enumerate(missed)
        ],
        schema={
            "ticket_id": pl.String, "metric": pl.String, "instance_no": pl.Int64, "started_at": _INSTANT, "due_at": _INSTANT,
            "stopped_at": _INSTANT, "target_s": pl.Int64, "clock": pl.String, "elapsed_s": pl.Int64, "breached": pl.Boolean,
            "outcome": pl.String, "evidence_level": pl.String,
        },
    )  # fmt: skip
    fill(incident.store, tables)
    if impact:
        incident.annotate("impact", at(impact[0]), at(impact[1]))
    return incident


def row(found: Signs, sign: str) -> dict[str, Any]:
    return found.rows.row(by_predicate=pl.col("sign") == sign, named=True)


STEADY = [2.0 * i for i in range(180)]


def test_overrides_by_hand(tmp_path: Path) -> None:
    """Healthy: sixty reviews, six overridden; five more windows of ten minutes and the widths make 5 of 10 too few."""
    found = signs(reviewed(tmp_path))
    one = row(found, "overrides")
    assert one["usual"] == pytest.approx(6.5 / 61)
    assert (one["at"], one["count"], one["of"], one["window"]) == (at(80), 10, 20, timedelta(minutes=20))
    assert (one["since"], one["intent"]) == (at(61), None)
    assert found.earliest == one
    assert found.rows["sign"].to_list() == list(SIGNS)
    said = "overrides rose (10 of 20 in 20 min, usual 11 %; since about 13:01 UTC)"
    assert found.said(one) == said
    assert f"overrides: 13:20 UTC: {said}" in str(found)


def test_where_only_overrides_are_logged(tmp_path: Path) -> None:
    """Requests of all intents stand for the reviews: two a minute, half of them of chat."""
    one = row(signs(reviewed(tmp_path, only_overrides=True)), "overrides")
    assert (one["intent"], one["of"]) == (None, 40)
    assert one["usual"] == pytest.approx(6.5 / 121, rel=0.02)


def test_without_an_impact_the_baseline_is_the_whole(tmp_path: Path) -> None:
    one = row(signs(reviewed(tmp_path, impact=False)), "overrides")
    assert (one["at"], one["why"]) == (None, "it never rose over its baseline"), (
        "15 of 30 are not rare where 36 of 120 are"
    )


def test_contacts_that_rise() -> None:
    """One every two minutes; from minute 130 on four a minute."""
    more = [130 + 0.25 * i for i in range(120)]
    found = signs(desk(sorted(STEADY + more)))
    one = row(found, "contacts")
    assert (one["at"], one["usual"], one["window"]) == (at(135), 5, timedelta(minutes=10))
    assert one["count"] == 5 + 21, "minutes 126 to 134, and each quarter of a minute from 130 to 135"
    assert one["since"] == at(130)
    assert (found.earliest or {})["sign"] == "contacts"


def escalate(incident: Incident, intent: str, minutes: list[float]) -> None:
    """Add tickets of an intent that escalate as they are created."""
    rows = {"minutes": minutes, "intent": intent}
    made = """select $intent || i as ticket_id, timestamptz '2026-01-05 12:00Z' + to_microseconds((m * 60e6)::bigint) as moment
        from (select unnest($minutes) as m, generate_subscripts($minutes, 1) as i)"""
    into = "insert into tickets (ticket_id, created_at, intent) select ticket_id, moment, $intent"
    incident.store.run(f"{into} from ({made})", rows)
    events = 'insert into ticket_events (ticket_id, "at", type) select ticket_id, moment'
    incident.store.run(f"{events}, 'escalation' from ({made})", rows)


def test_a_rise_in_one_intent_alone() -> None:
    """Thirty more escalations in half an hour drown in five a minute; of their own intent they are all there is."""
    incident = desk(STEADY)
    escalate(incident, "chat", [0.2 * i for i in range(1800)])
    escalate(incident, "refund", [float(m) for m in (*range(5, 100, 10), *range(130, 160), *range(205, 360, 10))])
    one = row(signs(incident), "escalations")
    assert (one["intent"], one["since"]) == ("refund", at(130))


def test_escalations_and_targets_missed() -> None:
    found = signs(desk(STEADY, escalated=[140 + i for i in range(15)], missed=[150 + i for i in range(15)]))
    escalations, breaches = row(found, "escalations"), row(found, "breaches")
    assert (escalations["at"], escalations["since"]) == (at(145), at(140))
    assert breaches["at"] == at(155)
    first = row(found, "first breach")
    assert (first["at"], first["counts"], first["why"]) == (at(150), False, "healthy time misses 0 an hour")


def test_a_first_breach_counts_where_healthy_time_has_none_so_soon() -> None:
    found = signs(desk(STEADY, missed=[122]))
    first = row(found, "first breach")
    assert (first["at"], first["counts"]) == (at(122), True)
    assert (found.earliest or {})["sign"] == "first breach"
    usual = signs(desk(STEADY, missed=[*range(31, 120, 10), 122, *range(190, 360, 10)]))
    assert (row(usual, "first breach")["counts"], usual.earliest) == (False, None)


def test_an_export_that_begins_with_new_tickets_has_no_quiet_time_at_its_start() -> None:
    """Targets are missed thirty minutes after the first ticket at the soonest: the baseline begins there."""
    missed = [float(m) for m in range(31, 360, 3)]
    one = row(signs(desk(STEADY, missed=missed)), "breaches")
    assert one["at"] is None, "with the first half hour, when none could be missed, the others would seem more"
    inside = row(signs(desk(STEADY, missed=sorted(missed + [130 + 0.4 * i for i in range(50)]))), "breaches")
    assert inside["usual"] == pytest.approx(10 / 3, abs=0.2)


def test_an_annotated_complaint() -> None:
    incident = desk(STEADY)
    incident.annotate("felt", at(90), text="of last week")
    incident.annotate("felt", at(125), text="a shop\x1b[2J asks")
    found = signs(incident)
    assert (row(found, "felt")["at"], (found.earliest or {})["sign"]) == (at(125), "felt")
    assert "felt: 14:05 UTC: the first complaint came: a shop [2J asks" in str(found)


def test_nothing_loaded() -> None:
    found = signs(Incident.create())
    assert found.rows["sign"].to_list() == list(SIGNS)
    assert found.rows["at"].null_count() == len(SIGNS)
    assert found.earliest is None
    assert "nothing of a help desk is loaded" in str(found)


def test_an_export_without_an_impact_or_a_gateway() -> None:
    """A year of tickets is no incident; with an impact they are looked at, whether or not a request is loaded."""
    year = [1440.0 * i for i in range(365)]
    incident = desk(year, impact=None)
    for table in ("requests", "attempts"):
        incident.store.run(f"delete from {table}")  # noqa: S608 - the kit's own tables
    assert "no impact is known" in row(signs(incident), "contacts")["why"]
    incident.annotate("impact", at(1440 * 100), at(1440 * 100 + 120))
    assert row(signs(incident), "contacts")["why"] == "it never rose over its baseline"


def test_healthy_time_is_what_is_left() -> None:
    assert _without(0, 10, [(2, 3), (5, 20)]) == [(0, 2), (3, 5)]
    assert _without(0, 10, [(-5, 2), (2, 4)]) == [(4, 10)]
    assert _without(0, 10, []) == [(0, 10)]
    assert _without(0, 10, [(-1, 11)]) == []
    assert _without(4, 10, [(1, 3)]) == [(4, 10)]


def test_the_bundled_outage() -> None:
    """The scenario slows the chat model from 13:40 on, fully at 14:00; the backup's answers are overridden more."""
    sample = open_case(bundled(OUTAGE), in_memory=True)
    found = signs(sample)
    earliest = found.earliest or {}
    assert earliest["sign"] == "overrides"
    impact = sample.span("impact")
    assert impact[0] < earliest["since"] < earliest["at"] < impact[0] + timedelta(hours=1)
    assert not row(found, "first breach")["counts"], "this desk misses a target every other minute on any day"
