"""Terminal: reports, scorecards and timelines as rich tables. Labels from logs are shown as text, never as markup."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import polars as pl
from rich.console import Console, Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from incident_kit.words import UNKNOWN, clock, label, lasting, metric, number, period

if TYPE_CHECKING:
    from incident_kit.gateways.litellm_emulated import Emulation
    from incident_kit.incident import Incident
    from incident_kit.scoring.replays import Replay
    from incident_kit.scoring.scorecard import Board
    from incident_kit.sources import Answer


WIDE = 100  # columns, in which names need no breaking
LONGEST = 300  # characters of what somebody wrote about a phase


def shown(text: str) -> str:
    r"""Return text that may hold anything from a log, with what would move the cursor or turn the line written out.

    Examples
    --------
    >>> shown("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return "".join(c if c.isprintable() or c in "\n\t\xa0" else c.encode("unicode_escape").decode() for c in text)


def said(console: Console, text: str, style: str = "") -> None:
    """Print text that may hold anything from a log, broken between words on a terminal; a file or pipe gets whole lines."""
    console.print(Text(shown(text), style=style), soft_wrap=not console.is_terminal)


def folded(text: str, width: int) -> str:
    r"""Return text in which no word is wider than a column where it can be broken after a ``-`` or a ``_``.

    Examples
    --------
    >>> folded("always_primary", 10), folded("refund-policy answers", 8)
    ('always_\nprimary', 'refund-\npolicy answers')
    """

    def one(found: re.Match[str]) -> str:
        lines = [""]
        for part in re.split(r"(?<=[-_])", found[0]):
            if lines[-1] and len(lines[-1]) + len(part) > width:
                lines.append("")
            lines[-1] += part
        return "\n".join(lines)

    return re.sub(r"\S+", one, text)


def name(text: str, *, width: int = 14) -> Text:
    """Return a name for a cell of a table: whole where the terminal is wide, else broken where it can be."""
    safe = shown(text)
    return Text(safe if Console().width >= WIDE else folded(safe, width))


def overview(incident: Incident) -> Group:
    """Return the log's span and size, its phases, and what it can answer."""
    about = incident.about()
    if not about["requests"]:
        return Group(Text("No requests are loaded: list the logs under sources: in incident.yaml."))
    zone = ZoneInfo(incident.zone)
    lines = [f"{number(about['requests'])} requests, {period(about['first'], about['last'], zone=zone, date=True)}"]
    for phase in incident.phases:
        until = f" to {clock(phase.until, zone=zone)} ({lasting(phase.until - phase.at)})" if phase.until else ""
        by = ", detected from the data" if phase.detected else ""
        text = f"  {label(phase.text, longest=LONGEST)}" if phase.text else ""
        is_inside = phase.at <= about["last"] and (phase.until or phase.at) >= about["first"]
        day = "" if is_inside else f" of {phase.at:%Y-%m-%d}, OUTSIDE this log"
        lines.append(f"{phase.kind}: {clock(phase.at, zone=zone)}{until}{day}{by}{text}")
    table = Table("question", "answer", "why", title="What these logs can answer", title_justify="left", box=None)
    for answer in incident.answers.values():
        table.add_row(answer.question, answer.answer, Text(shown(answer.why)))
    return Group(Text("\n".join(lines)), Text(""), table)


def timeline(series: pl.DataFrame, answers: Mapping[str, Answer] | None = None) -> Table:
    """Return a series as a table, one row an interval; what the logs cannot answer is left out, and the verdict says why."""
    beside = {"at", "until", "n", "policy", "evidence"}
    unanswered = {name for name, answer in (answers or {}).items() if answer.answer == "no"}
    shown = [name for name in series.columns if name not in beside and metric(name).question not in unanswered]
    is_wide = Console().width >= WIDE
    titles = [metric(name).title if is_wide else _SHORT.get(name, metric(name).title) for name in shown]
    table = Table(box=None, padding=(0, 1) if is_wide else (0, 0, 0, 1), pad_edge=is_wide)
    for title in ("UTC", "requests", *titles):
        table.add_column(title, no_wrap=title not in titles)
    for row in series.iter_rows(named=True):
        cells = (_cell(name, row[name]) for name in shown)
        table.add_row(f"{row['at']:%H:%M:%S}", number(row["n"]), *cells)
    return table


def _cell(name: str, value: Any) -> str:
    of = metric(name)
    if value is None:
        return ""
    return number(value) if of.unit in of.title else of.shown(value)  # what is counted stands above it


def scorecard(board: Board, *, by: str | None = None) -> Group:
    """Return policies side by side, one row each, and below them between which limits each truth lies."""
    worked_out = pl.sum_horizontal("share_same_cell", "share_same_time", "share_same_intent")
    frame = board.table(by=by).with_columns(worked_out.alias("worked_out"))
    if not frame["n"].max():
        return Group(Text("There are no requests in this span."))
    parts: list[RenderableType] = []
    for (intent,), group in frame.group_by("intent", maintain_order=True):
        head = "All requests" if intent == "all" else label(intent)
        n = int(group["n"].cast(pl.Int64).max() or 0)  # type: ignore[arg-type]
        values = _table(f"{head} ({number(n)})", "policy", *_titles(group))
        rests = _table("What it rests on", "policy", *(title for _, title in _EVIDENCE))
        limits = _table(
            "With every outcome that was not seen at its best, and at its worst", "policy", *_titles(_bounded(group))
        )
        for (policy,), rows in group.group_by("policy", maintain_order=True):
            who = Text(folded(label(policy), 10))
            shares = (number(rows[share].to_list()[0], "%") for share, _ in _EVIDENCE)
            values.add_row(who, *map(_estimate, _answered(rows).iter_rows(named=True)))
            rests.add_row(who, *shares)
            limits.add_row(who, *map(_limits, _bounded(rows).iter_rows(named=True)))
        parts += [values, Text(""), rests, Text(""), limits, Text("")]
    unanswered = frame.join(_answered(frame), on="metric", how="anti").unique("metric", maintain_order=True)
    for row in unanswered.iter_rows(named=True):
        parts.append(Text(f"{metric(row['metric']).title}: {row['flags'][0]}", style="dim"))
    parts.append(
        Text(
            "≥ is a lower bound. ~ is an estimate, worked out in part from similar requests; below it, in the same unit, where "
            "nine draws in ten lie. A wait that was not seen is put at 0 s at best, at 60 s (or the policy's timeout) at worst.",
            style="dim",
        )
    )
    return Group(*parts)


_SHORT = {  # eight columns stand side by side in eighty characters
    "p50_ms": "p50",
    "p95_ms": "p95",
    "p50_wait_ms": "p50",
    "p95_wait_ms": "p95",
    "error_rate": "errors",
    "tool_success_rate": "tools ok",
    "override_rate": "overrides",
    "fallback_rate": "backup",
    "fallback_share": "backup",
    "missed_targets": "SLA missed",
    "cost_per_request": "USD/1,000",
}
_EVIDENCE = (
    ("share_observed", "we saw this"),
    ("worked_out", "worked out from similar requests"),
    ("share_none", "these logs cannot tell"),
)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=Text(title), title_justify="left", box=None, padding=(0, 0, 0, 1), pad_edge=False)
    for i, column in enumerate(columns):
        # seven intervals of nine characters and a name fit eighty columns
        table.add_column(column, justify="right" if i else "left", max_width=None if i else 10, overflow="fold")
    return table


def _answered(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of metrics that the logs can answer at all."""
    return frame.filter(~pl.col("flags").list.eval(pl.element().str.starts_with("not in this log")).list.any())


def _bounded(frame: pl.DataFrame) -> pl.DataFrame:
    return _answered(frame).filter(pl.col("metric").str.contains(r"^(p[\d.]+_ms|mean_ms|error_rate|slow_rate.*)$"))


def _titles(frame: pl.DataFrame) -> list[str]:
    names = _answered(frame)["metric"].unique(maintain_order=True)
    return [_SHORT.get(name, metric(name).title) for name in names]


def _estimate(row: dict[str, Any]) -> str:
    if row["metric"] == "cost_per_request" and row["estimate"] is not None:
        value = f"{1000 * row['estimate']:.2f}"
    else:
        value = metric(row["metric"]).shown(row["estimate"], plain=True).replace("under ", "<")
    if row["estimate"] is None:
        return UNKNOWN
    if row["share_observed"] < 1:
        return f"~{value}{_between(row)}"
    return f"≥{value}" if any(flag.startswith("lower bound") for flag in row["flags"]) else value


def _between(row: dict[str, Any]) -> str:
    """Return the interval of an estimate, on a line of its own and in the estimate's unit; nothing without one."""
    if row["low"] is None or row["low"] == row["high"]:
        return ""
    name = row["metric"]
    if name.endswith("_ms"):
        low, high = row["low"] / 1000, row["high"] / 1000
    elif name == "cost_per_request":
        low, high = 1000 * row["low"], 1000 * row["high"]
    elif metric(name).shown(row["high"]).endswith("%"):
        low, high = 100 * row["low"], 100 * row["high"]
    else:
        low, high = row["low"], row["high"]
    digits = 2 if high < 10 else 1 if high < 100 else 0
    return f"\n{low:.{digits}f}-{high:.{digits}f}"


def _limits(row: dict[str, Any]) -> str:
    of = metric(row["metric"])
    if row["bound_low"] is None or row["bound_high"] is None:
        return UNKNOWN
    low, high = of.shown(row["bound_low"], plain=True), of.shown(row["bound_high"], plain=True)
    return low if low == high else f"{low} to {high}"


def switches(replay: Replay) -> Table:
    """Return when each breaker changed, and why."""
    title = Text(f"Switches under {label(replay.name)}")
    table = Table("UTC", "route", "watched", "now", "why", title=title, title_justify="left", box=None)
    if replay.transitions.is_empty():
        table.add_row("none", "", "", "", "")
    for row in replay.transitions.iter_rows(named=True):
        why = row["why"]
        if row["metric"] is not None and row["value"] is not None:
            of = metric(row["metric"])
            limit = of.shown(row["threshold"])
            why = f"{why}: {row['metric']} {of.shown(row['value'])} over {row['n']} calls, limit {limit}"
        table.add_row(
            f"{row['at']:%H:%M:%S}", name(label(row["route"])), name(label(row["breaker"])), row["to"], Text(why)
        )
    return table


def standing(replay: Replay) -> str:
    """Return one line on how much of a replay rests on the log itself."""
    return (
        f"{label(replay.name)}: {number(replay.overlap, '%')} of the decisions are the log's own, "
        f"{number(replay.state_exact_share, '%')} rest on observed states only, "
        f"{number(replay.fidelity, '%')} of the requests are answered by the target that answered them in the log"
    )


def fidelity(replay: Replay | Emulation) -> str:
    """Return how well the policy in force, or the gateway's own rules, explain the log, and the differences by reason."""
    from incident_kit.gateways.litellm_emulated import Emulation
    from incident_kit.policies.policyversions import Versions
    from incident_kit.policies.versionspans import span
    from incident_kit.scoring.fidelity import by_version

    found = replay.differences
    lines = [f"Fidelity of the policy in force ({label(replay.name)}): {number(replay.fidelity, '%')}."]
    if not isinstance(replay, Emulation) and isinstance(replay.policy, Versions):
        for row in by_version(replay).iter_rows(named=True):
            when = f"{label(row['version'])}, {span(row['since'], row['until'])}"
            lines.append(f"  {when}: {number(row['fidelity'], '%')} of {number(row['answered'])} requests")
    counts = found["difference"].cast(pl.String).value_counts(sort=True)
    lines += [f"  {number(count)} requests: {reason}" for reason, count in counts.iter_rows()]
    if found.height:
        one = found.row(0, named=True)
        told = f"{label(one['served'])} here, {label(one['logged_served'])} in the log"
        lines.append(f"  the first: request {label(one['request_id'])} at {one['at']:%H:%M:%S} UTC, {told}")
    return "\n".join(lines)


def frame(rows: pl.DataFrame) -> Table:
    """Return any frame as a table; what is NULL is left empty."""
    table = Table(*(Column(name(column, width=10)) for column in rows.columns), box=None)
    for row in rows.iter_rows():
        table.add_row(*(name("" if value is None else str(value)) for value in row))
    return table
