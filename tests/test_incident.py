"""An incident: one file, what is in it, and what it says when nothing is."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console
from written import START, TINY, Call, Request, fill, write

from incident_kit import charts
from incident_kit.commandline import terminal
from incident_kit.errors import IncidentKitError, InvalidCase, InvalidStore, NoSuchItem
from incident_kit.incident import Incident
from incident_kit.policies.baselines import always_fallback
from incident_kit.policies.policy import Policy
from incident_kit.scoring.replays import replay
from incident_kit.scoring.scorecard import compare

POLICY = Policy.parse(
    '{name: p, routes: [{intent: "*", primary: big, fallback: small, disable_tools_on_fallback: true, '
    "breaker: {when: [p95_ms > 50, error_rate > 0.1], min_requests: 2, cooldown: 1s}}]}"
)
FRAMES = ("requests", "attempts", "feedback", "tickets", "sla", "loads", "rejects", "series", "quality")


def test_a_file_is_made_once_and_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "incident.duckdb"
    with pytest.raises(InvalidStore, match=r"there is no incident file .*use Incident.create"):
        Incident.open(path)
    made = Incident.create(path)
    made.load(write(tmp_path, TINY))
    made.store.close()
    with pytest.raises(InvalidStore, match=r"is there already; use Incident.open"):
        Incident.create(path)
    assert Incident.open(path).requests().height == 8


def test_loading_more_changes_what_is_seen(tmp_path: Path) -> None:
    incident = Incident.create()
    assert (len(incident.log), incident.answers["waits"].answer, incident.series().height) == (0, "no", 0)
    incident.load(write(tmp_path, TINY))
    assert (len(incident.log), incident.answers["waits"].answer) == (8, "yes")
    assert len(incident.as_logged.outcomes) == 8
    assert incident.about() == {
        "first": START, "last": START + timedelta(seconds=11), "requests": 8, "without_intent": 1 / 8,
    }  # fmt: skip


def test_frames_are_in_an_order_of_their_own(tmp_path: Path) -> None:
    one, other = Incident.create(), Incident.create()
    one.load(write(tmp_path, TINY))
    other.load(write(tmp_path, reversed(TINY)))
    for name in ("requests", "attempts", "feedback"):
        mine, theirs = (getattr(incident, name)().drop("load_id") for incident in (one, other))
        assert mine.equals(theirs)


def test_annotations_replace_themselves_and_nothing_else() -> None:
    incident = Incident.create()
    until = START + timedelta(minutes=5)
    incident.annotate("impact", START, text="brown-out")
    incident.annotate("impact", START, until, text="brown-out")
    incident.annotate("note", START, text="brown-out")
    assert [(phase.kind, phase.until) for phase in incident.phases] == [("impact", until), ("note", None)]
    with pytest.raises(InvalidCase, match="has no zone"):
        incident.annotate("note", datetime(2026, 1, 5))  # noqa: DTZ001 - that is the fault


def test_a_declared_impact_rules_out_a_detected_one(tmp_path: Path) -> None:
    requests = [Request(f"r{i:03}", 1000 * i, [Call("big", 5000 if 60 <= i < 90 else 100)]) for i in range(180)]
    incident = Incident.create()
    incident.load(write(tmp_path, requests))
    (found,) = incident.phases
    assert (found.detected, found.at) == (True, START + timedelta(seconds=60))
    incident.annotate("deploy", START, text="v2")
    assert [phase.detected for phase in incident.phases] == [False, True]
    incident.annotate("impact", START, START + timedelta(seconds=9))
    assert [phase.detected for phase in incident.phases] == [False, False]


def test_the_span_of_a_phase(tiny: Incident) -> None:
    incident = Incident(tiny.store)
    at = [START + timedelta(seconds=s) for s in range(12)]
    try:
        incident.annotate("impact", at[2])
        assert incident.span("impact") == (
            at[2],
            at[11] + timedelta(microseconds=1),
        )  # to the log's end, its last included
        incident.annotate("recovered", at[7])
        assert incident.span("impact") == (at[2], at[7])
        incident.annotate("impact", at[2], at[5])
        assert incident.span("impact") == (at[2], at[5])
        with pytest.raises(
            NoSuchItem, match=r"no phase 'impct' \(did you mean 'impact'\?\); there are impact, recovered"
        ):
            incident.span("impct")
    finally:
        incident.store.run("delete from annotations")


def test_instants_are_utc_whatever_their_zone() -> None:
    incident = Incident.create()
    at = datetime.fromisoformat("2026-11-22T04:25:00-08:00")
    incident.annotate("impact", at, at + timedelta(hours=1))
    assert incident.phases[0].at == datetime(2026, 11, 22, 12, 25, tzinfo=UTC)


# --- logs at the edge: every public call gives a frame, a number or a sentence ---

HOSTILE = (
    "\x1b[31mred\x1b[0m", "[red]bold[/red]", "[/]", "</script><img src=x onerror=alert(1)>", "\"quo'te`", "\u202egnol", "a\nb",
    "\x00nul", "", "x" * 500, "{{7*7}}", "[link=http://x]y[/link]", "all", "(no intent)", "as logged", "*", "' or 1=1 --",
)  # fmt: skip
UNSAID = {"status": None, "served": None, "is_fallback": None}
EDGES: dict[str, list[Request]] = {
    "nothing": [],
    "one request": [Request("a", 0, [Call("big", 100)])],
    "one failure": [Request("a", 0, [Call("big", 100, "500")])],
    "a request that says nothing": [Request("a", 0, [], changes=UNSAID)],
    "no intents": [Request(f"a{i}", i * 100, [Call("big", 100)], intent=None) for i in range(30)],
    "no waits": [Request(f"a{i}", i * 100, [Call("big", None)], changes={"wait_ms": None}) for i in range(30)],
    "no ends": [Request(f"a{i}", i * 100, [Call("big", 100)], changes=UNSAID) for i in range(30)],
    "all failures": [Request(f"a{i}", i * 100, [Call("big", 100, "500")]) for i in range(30)],
    "one instant": [Request(f"a{i}", 0, [Call("big", 100 + i)]) for i in range(30)],
    "refusals": [Request(f"a{i}", i, [Call("big", None, "429", kind="refusal")]) for i in range(9)],
    "cache hits": [Request(f"a{i}", i, [Call("big", 1, kind="cache_hit")]) for i in range(9)],
    "guardrails": [Request(f"a{i}", i, [Call("big", 1, "400", kind="guardrail")]) for i in range(9)],
    "two days": [Request(f"a{i}", i * 3_600_000, [Call("big", 100)]) for i in range(48)],
    "hostile": [
        Request(f"{text}{i}", i * 100, [Call(text or "t", 100, (text or None) if i % 3 else None)], intent=text)
        for i, text in enumerate(HOSTILE * 2)
    ],
}


FROM_FILES = ("one request", "a request that says nothing", "no waits", "refusals", "hostile")


def ways(name: str) -> list[Callable[[], Incident]]:
    """Return what makes the incident: the rows put into its tables as they are, and for some loaded from files."""

    def filled() -> Incident:
        incident = Incident.create()
        fill(incident.store, EDGES[name])
        incident.answers = {}  # nothing is refused
        return incident

    def loaded() -> Incident:
        incident = Incident.create()
        with tempfile.TemporaryDirectory() as folder:
            incident.load(write(Path(folder), EDGES[name]))
        return incident

    return [filled, loaded] if name in FROM_FILES else [filled]


@pytest.mark.slow
@pytest.mark.parametrize("name", EDGES)
def test_no_log_is_too_odd(name: str) -> None:
    for make in ways(name):
        incident = make()
        console = Console(file=None, record=True, width=120, force_terminal=True)
        for frame in FRAMES:
            assert isinstance(getattr(incident, frame)(), pl.DataFrame)
        assert isinstance(incident.impact(), list)
        assert sum(incident.series()["n"]) == incident.requests().height == len(EDGES[name])
        with console.capture() as said:
            console.print(terminal.overview(incident), terminal.timeline(incident.series()))
        text = said.get()
        try:
            text += _replayed(incident, console)
        except IncidentKitError as error:
            assert "cannot be judged on this log" in str(error)  # noqa: PT017 - a sentence, or none
        for unsafe in ("\x1b[31mred", "\u202e", "\x00"):
            assert unsafe not in text


@pytest.mark.parametrize("name", ["nothing", "a request that says nothing", "hostile"])
def test_nor_too_odd_to_draw(name: str) -> None:
    incident = ways(name)[0]()
    assert charts.timeline(incident.series(), phases=incident.phases, answers=incident.answers).to_dict()
    assert charts.quality(incident).to_dict()
    assert charts.states(replay(incident, POLICY).states()).to_dict()


def _replayed(incident: Incident, console: Console) -> str:
    """Run everything that a replay offers, and return what a terminal shows."""
    board = compare(incident, [POLICY, always_fallback(POLICY)])
    with console.capture() as said:
        for one in board.replays.values():
            assert one.decisions.height == one.outcomes.height == incident.requests().height
            assert min(one.overlap, one.fidelity, one.state_exact_share) >= 0
            assert max(one.overlap, one.fidelity, one.state_exact_share) <= 1
            assert one.series()["n"].sum() == incident.requests().height
            console.print(terminal.switches(one))
            terminal.said(console, "\n".join([terminal.standing(one), *one.caveats]))
            for request in one.decisions["request_id"].head(20):
                terminal.said(console, one.explain(request))
        console.print(terminal.scorecard(board), terminal.scorecard(board, by="intent"))
    for by in (None, "intent"):
        table = board.table(by=by).drop_nulls(["bound_low", "estimate"])
        assert (table["bound_low"] <= table["estimate"] + 1e-9).all()
        assert (table["estimate"] <= table["bound_high"] + 1e-9).all()
    return said.get()


def test_a_load_report_shows_what_was_wrong_as_text(tmp_path: Path) -> None:
    file = tmp_path / "requests.csv"
    file.write_text(
        "request_id,arrived_at\na,2026-01-05T12:00:00Z\n\x1b[31mb[/red],\u202enever\x1b[2J\n", encoding="utf-8"
    )
    report = Incident.create().load(file)
    assert (report.rows_loaded, report.rows_rejected) == (1, 1)
    console = Console(width=300)
    with console.capture() as said:
        terminal.said(console, str(report))
        terminal.said(console, str(report.rejects.to_dicts()))
    assert "requests.csv" in said.get()
    assert "\x1b" not in said.get()
    assert "\u202e" not in said.get()


def test_every_public_call_of_an_empty_incident() -> None:
    incident = Incident.create()
    assert incident.about() == {"first": None, "last": None, "requests": 0, "without_intent": None}
    assert incident.phases == ()
    assert incident.impact() == []
    assert {answer.answer for answer in incident.answers.values()} == {"no"}
    assert incident.as_logged.decisions.is_empty()
    with pytest.raises(NoSuchItem, match="the incident has no phase 'impact'; it has none"):
        incident.span("impact")
    with pytest.raises(IncidentKitError, match="Waits: load the gateway's request log"):
        replay(incident, POLICY)
    console = Console(width=80)
    with console.capture() as said:
        console.print(terminal.overview(incident))
    assert said.get().startswith("No requests are loaded")
