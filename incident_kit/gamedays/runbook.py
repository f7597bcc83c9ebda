"""Runbook: a game day as two sheets to print: the game master's, with all that is expected, and the team's without spoilers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from incident_kit.errors import UnwritableFile
from incident_kit.gamedays.pages import SLOWER, VISIBLE
from incident_kit.gamedays.sheets import Grid, Items, Say, Section, Sheet
from incident_kit.gamedays.timetables import NOBODY, offset, timetable
from incident_kit.outfiles.outputs import write_whole
from incident_kit.policies.policywords import alert_sentence, sentence
from incident_kit.words import clock, label, lasting, number, period
from incident_kit.words import metric as worded

if TYPE_CHECKING:
    from incident_kit.gamedays.exercise import GameDay
    from incident_kit.policies.policy import Policy

LATE = timedelta(minutes=5)  # a page may be this late, or twice its time, before its absence is a finding
MORE = 0.05  # of requests: beyond what the fault itself can do
BLANKS = 14
BEFORE = (
    "Everybody who may be called knows that an exercise is announced for this time, and none of them what it is.",
    "No deployment and no other change runs until the end; somebody watches for real trouble.",
    "One person, named here, can take the fault out within a minute, and has tried it: ....................",
    "Support leads know whom to tell, and that customers come first.",
)
AFTER = (
    "When was it seen first, by whom, from what: a page, a dashboard, a customer?",
    "Which expected page did not come, which came that nobody needed?",
    "Did every route come back by itself?",
    "What would have been done by hand, and was it clear who may do it?",
    "What changes in the policy, its alerts, its contacts; who does it until when?",
)
RULES = (
    "Work as if it were real. Begin every message to people outside with the word EXERCISE.",
    "If something real happens, say STOP: the fault is taken out at once, and the exercise ends.",
    "Write down what you see and do, with the time, as you see it, not afterwards.",
    "Do not ask the game master what it is. Asking for the fault to be taken out is always allowed.",
)


def master(day: GameDay) -> Sheet:
    """Return the game master's sheet of the first policy: what is done when, what is expected, when to stop, how to undo."""
    policy = day.policies[0]
    begin, end = day.span
    targets = ", ".join(dict.fromkeys(label(one.target) for one in day.parts))
    sections = (
        Section("In short", (Items(tuple(_short(day, policy))),)),
        Section("Before", (Items(BEFORE, boxes=True),)),
        Section("Abort if", (Items(tuple(_abort(day, policy)), boxes=True),)),
        Section(
            "Timetable",
            (
                Say(
                    f"T+0 is when the fault goes in. Date: ............  T+0 at: ......  Policy: {label(policy.name)}."
                ),
                Grid(("T+", "on the log", "what", "who is called"), tuple(timetable(day, policy)), boxes=True),
            ),
            apart=True,
        ),
        Section("Undo", (Items(tuple(_undo(day, policy)), boxes=True),)),
        Section("What to check in the dashboards", (Grid(*_dashboards(day), boxes=True),)),
        Section("Where nobody is called", (Items(tuple(_silent(day, policy))),)),
        Section("What people would feel", tuple(_felt(day))),
        Section("Policies side by side", (Grid(*_beside(day)),)),
        Section("Afterwards", (Items(AFTER), Grid(("decided", "who", "until"), (), blanks=4))),
        Section("What this rests on", (Items(tuple(_rests(day))),)),
    )
    return Sheet(
        f"Game day: {label(day.name)}",
        f"Game master's sheet. Fault on {targets}; rehearsed on the log of "
        f"{clock(begin, zone=day.zone, date=True)} to {clock(end, zone=day.zone)}.",
        "Not for the team before the exercise is over.",
        sections,
    )


def team(day: GameDay) -> Sheet:
    """Return the team's sheet: rules, people, what is usual, and room to write; nothing of what is going to happen."""
    policy = day.policies[0]
    contacts = [(label(name), label(who, longest=120)) for name, who in sorted(day.pager.contacts.items())]
    about = day.healthy.about()
    sections = (
        Section("Rules", (Items(RULES),)),
        Section("Who", (Grid(("for", "call"), tuple(contacts), blanks=3),)),
        Section(
            "What is usual",
            (
                Say(
                    f"Over all of {period(about['first'], about['last'], zone=day.zone, date=True)}, by kind of question."
                ),
                Grid(*_usual(day)),
            ),
        ),
        Section("What the gateway does by itself", (Items(tuple(_sentences(policy))),)),
        Section(
            "What we see and do",
            (Grid(("time", "what we see, and where", "what we do", "who"), (), blanks=BLANKS),),
            apart=True,
        ),
        Section("Afterwards", (Items(AFTER),)),
    )
    return Sheet(
        "Exercise: team's sheet",
        "Date: ............  from: ......  to: ......  game master: ....................",
        "This is an exercise. Customers come first: anybody may stop it at any time.",
        sections,
    )


def _short(day: GameDay, policy: Policy) -> Iterator[str]:
    for what in day.whats[:1]:
        yield f"What goes wrong: {what}."
    for asks in day.whats[1:]:
        yield f"What it asks: {asks}?"
    yield from _said(day, policy)


def _said(day: GameDay, policy: Policy) -> Iterator[str]:
    """Yield what one policy makes of it."""
    row = day.detection.filter(pl.col("policy") == policy.name).row(0, named=True)
    if row["page_at"] is not None:
        who = label(row["who"] or NOBODY, longest=120)
        how = "" if row["page_exact"] else " (an estimate: it rests on answers that the log does not hold)"
        late = ", when it is over" if row["page_at"] > day.span[1] else ""
        yield f"First page: {label(row['alert'])} to {who}, {lasting(row['page_after'])} after the beginning{late}{how}."
    elif policy.alerts:
        yield f"NO PAGE: none of the {number(len(policy.alerts))} alerts fires because of it."
    else:
        yield "NO PAGE: the policy has no alerts."
    if row["switch_at"] is not None:
        yield (
            f"First switch: route {label(row['route'])} leaves its primary {lasting(row['switch_after'])} after the beginning; "
            f"{number(row['switches'])} in all."
        )
    else:
        yield "NO SWITCH: no switch because of the fault."
    if row["gaps"]:
        kinds = day.gaps.filter(pl.col("policy") == policy.name)["intent"].n_unique()
        yield f"Nobody is called for {number(kinds)} kind(s) of question that visibly get worse."
    if row["needless_pages"] or row["needless_switches"]:
        yield (
            f"On the same day without any fault: {number(row['needless_pages'])} page(s) and "
            f"{number(row['needless_switches'])} switch(es) that nobody needed."
        )


def _abort(day: GameDay, policy: Policy) -> Iterator[str]:
    worst = {row["metric"]: row for row in day.felt.filter(pl.col("policy") == "as logged").iter_rows(named=True)}
    slow = f"slow_rate({day.healthy.slow_ms}ms)"
    for name in ("error_rate", slow):
        row = worst.get(name)
        if row and row["estimate"] is not None:
            of = worded(name)
            limit = of.shown(max(row["estimate"], row["usual"] or 0) + MORE)
            yield (
                f"{of.title} is over {limit} for five minutes: worse than this fault makes it with nobody switching "
                f"({of.shown(row['estimate'])}; usual {of.shown(row['usual'])})."
            )
    row = day.detection.filter(pl.col("policy") == policy.name).row(0, named=True)
    if row["page_at"] is not None:
        limit = row["page_after"] + max(LATE, row["page_after"])
        yield f"The first page is not there at T+{offset(limit)} (expected T+{offset(row['page_after'])}): that is the finding."
    yield "A customer, a partner or anybody outside the exercise asks what is wrong."
    yield "A target of an important ticket would be missed because of it."
    yield "Something real begins, anywhere."
    yield "The person who can take the fault out cannot be reached."


def _undo(day: GameDay, policy: Policy) -> Iterator[str]:
    for target in dict.fromkeys(one.target for one in day.parts):
        yield f"Take the fault out on {label(target)} (the injection, proxy rule or flag that put it in); say so in the channel."
    begin, end = day.span
    mine = day.switches.filter((pl.col("policy") == policy.name) & (pl.col("at") >= begin))
    for route in policy.routes:
        own = mine.filter(pl.col("route") == route.name)
        if own["needless"].all():  # it has none, or those of the day without the fault
            continue
        last = own.row(-1, named=True)
        if last["to"] == "on primary":
            when = (
                f"expected {lasting(last['at'] - end)} after the end" if last["at"] > end else "expected before the end"
            )
            yield f"Route {label(route.name)} is back on its primary by itself ({when})."
        else:
            yield f"Route {label(route.name)} was not back on its primary where the log ends: look after it."
        yield (
            f"If {label(route.name)} is not back ten minutes later: by hand, in the policy: "
            f"switch: [{{from: (now, with its zone), to: {label(route.primary)}}}]; take it out again afterwards."
        )
    yield "The dashboards below are back at their usual values for ten minutes."
    yield "Everybody on the contact list has heard that it is over."


def _dashboards(day: GameDay) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    rows = [
        (
            label(row["intent"]),
            worded(row["metric"]).title,
            *(worded(row["metric"]).shown(row[one]) for one in ("usual", "during")),
        )
        for row in day.moved.filter("changed").iter_rows(named=True)
    ]
    unmoved = [("every kind of question", "no signal moves visibly", "", "")]
    return ("kind of question", "signal", "usual", "with the fault, nobody switching"), tuple(rows or unmoved)


def _silent(day: GameDay, policy: Policy) -> list[str]:
    said = [one.rstrip(".") + "." for one in day.gaps.filter(pl.col("policy") == policy.name)["sentence"]]
    if day.moved.filter("changed").is_empty():
        return ["Nothing that this log can show moves visibly: waits, failures, tools and overrides stay as usual."]
    return said or ["Somebody is called for every kind of question that gets visibly worse."]


def _felt(day: GameDay) -> list[Say | Grid]:
    names = [one.name for one in day.board.metrics]
    policies = ["as logged", *(one.name for one in day.policies)]
    table = {(row["policy"], row["metric"]): row for row in day.felt.iter_rows(named=True)}
    rows = []
    for name in names:
        first = table.get(("as logged", name))
        if first is None or (first["usual"] is None and first["estimate"] is None):
            continue
        of = worded(name)
        rows.append((of.title, of.shown(first["usual"]), *(_value(table.get((one, name))) for one in policies)))
    heads = ("", "usual", "nobody switches", *(label(one.name) for one in day.policies))
    note = "Where the log holds too few answers of the backup to say, the bounds are given, whatever happened."
    return [Grid(heads, tuple(rows)), Say(note)]


def _value(row: dict[str, Any] | None) -> str:
    if row is None:
        return "unknown"
    of = worded(row["metric"])
    if row["estimate"] is None:
        if row["bound_low"] is None or row["bound_high"] is None:
            return "these logs cannot tell"
        return f"{of.shown(row['bound_low'])} to {of.shown(row['bound_high'])}"
    if row["low"] is None or row["low"] == row["high"]:
        return of.shown(row["estimate"])
    low, high = of.shown(row["low"]), of.shown(row["high"])
    between = f" ({low} to {high})" if low != high else ""
    return f"about {of.shown(row['estimate'])}{between}"


def _beside(day: GameDay) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    rows = []
    for row in day.detection.iter_rows(named=True):
        page = f"{lasting(row['page_after'])} ({label(row['alert'])})" if row["page_at"] is not None else "never"
        move = f"{lasting(row['switch_after'])} ({label(row['route'])})" if row["switch_at"] is not None else "never"
        needless = f"{row['needless_pages']} pages, {row['needless_switches']} switches"
        rows.append((label(row["policy"]), page, move, str(row["switches"]), str(row["gaps"]), needless))
    return ("policy", "first page after", "first switch after", "switches", "gaps", "needless"), tuple(rows)


def _usual(day: GameDay) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return what is usual over the whole healthy day, by intent: the same whatever is rehearsed."""
    names = ("p95_ms", *VISIBLE)
    rows = [
        (label(row["intent"]), number(row["n"]), *(worded(name).shown(row[name]) for name in names))
        for row in day.whole.iter_rows(named=True)
    ]
    return ("kind of question", "requests", *(worded(name).title for name in names)), tuple(rows)


def _sentences(policy: Policy) -> Iterator[str]:
    alone = len(policy.routes) == 1
    yield from (sentence(route, alone=alone) for route in policy.routes)
    yield from (alert_sentence(alert) for alert in policy.alerts)


def _rests(day: GameDay) -> Iterator[str]:
    about, kind = day.healthy.about(), "simulated" if day.healthy.is_simulated else "real"
    yield (
        f"{number(about['requests'])} requests from {clock(about['first'], zone=day.zone, date=True)} to "
        f"{clock(about['last'], zone=day.zone)}: {kind} traffic, the fault imposed "
        "on it by a script; nobody was affected."
    )
    yield "Pages and switches up to the first switch rest on these requests alone; after it, on answers borrowed from like ones."
    yield (
        f"Gets visibly worse: a p95 {SLOWER:g} times as long, {100 * VISIBLE['error_rate']:.0f} points more failures, "
        f"{-100 * VISIBLE['tool_success_rate']:.0f} points fewer tool calls that work, "
        f"{100 * VISIBLE['override_rate']:.0f} points more answers redone."
    )
    yield "Not rehearsed: how people react, notification delays, load on the backup beyond what the log has seen."
    for phase in day.healthy.phases:
        if phase.kind == "impact":
            yield f"That day was not quite healthy: an impact was found at {clock(phase.at, zone=day.zone)}."
    yield from day.board.replays[day.policies[0].name].caveats


def summary(day: GameDay) -> str:
    """Return a game day in a few lines, policy by policy."""
    lines = [
        f"{day.name}: {'; '.join(day.whats[:1]) or 'as scripted'}, from {clock(day.span[0], zone=day.zone, date=True)}"
    ]
    for policy in day.policies:
        lines += [f"{label(policy.name)}:", *(f"- {line}" for line in _said(day, policy))]
    return "\n".join(lines)


def save(day: GameDay, folder: str | Path) -> list[Path]:
    """Write both sheets, each as Markdown and as HTML; return the files."""
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnwritableFile(f"{path} cannot be made: {error.strerror}; name a folder") from None
    files = []
    for name, sheet in (("game-master", master(day)), ("team", team(day))):
        for suffix, text in ((".md", sheet.markdown), (".html", sheet.html)):
            files.append(write_whole(path / f"{name}{suffix}", text))
    return files
