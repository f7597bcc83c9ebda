"""Listing: some requests or tickets as an HTML table, the worst first, cut and counted; nothing from a log is markup there."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from incident_kit.helpdesk.spreadsheets import safe_link
from incident_kit.inspection.facets import OUTCOMES
from incident_kit.words import clock, label, number

MOST = 12
WRONG = [name for name in OUTCOMES if name != "is_fallback"]  # who answered has a column of its own
Cell = Callable[[dict[str, Any]], str]


def requests(frame: pl.DataFrame, *, when: str, most: int = MOST) -> str:
    """Return requests as :class:`Explorer` has them: those without an answer, rewritten or slowest first."""
    flags = [pl.col(name).fill_null(value=False) for name in ("failed", "overridden", "tool_failed")]
    worst = frame.sort(*flags, "wait_ms", "request_id", descending=[True] * 4 + [False], nulls_last=True).head(most)
    columns: dict[str, Cell] = {
        "Arrived (UTC)": lambda row: clock(row["arrived_at"]).removesuffix(" UTC"),
        "Request": lambda row: _text(row["request_id"]),
        "Ticket": lambda row: _text(row["ticket_id"]),
        "About": lambda row: _text(row["intent"]),
        "Answered by": lambda row: _text(row["served"]),
        "Wait": lambda row: number(row["wait_ms"], "s"),
        "What went wrong": lambda row: ", ".join(OUTCOMES[name][0] for name in WRONG if row[name]),
    }
    said = "the worst first; .requests holds all"
    return _table(worst, columns, f"Requests, {when}", frame.height, said, right={"Wait"})


def tickets(frame: pl.DataFrame, *, when: str, most: int = MOST) -> str:
    """Return tickets as :func:`ticket_list` has them: those that missed a target first."""
    columns: dict[str, Cell] = {
        "Ticket": _ticket,
        "About": lambda row: _text(row["intent"]),
        "Requests": lambda row: number(row["requests"]),
        "Longest wait": lambda row: number(_ms(row["longest_wait_s"]), "s"),
        "By the backup": lambda row: _part(row["by_backup"], row["requests"]),
        "Rewritten": lambda row: _part(row["overridden"], row["suggestions"]),
        "Target missed": lambda row: _text((row["why"] or "").split(". ")[0], longest=80),
    }  # fmt: skip
    said = "those that missed a target first; .tickets holds all"
    return _table(frame.head(most), columns, f"Tickets, {when}", frame.height, said, right={"Requests", "Longest wait"})


def _table(
    rows: pl.DataFrame, columns: Mapping[str, Cell], caption: str, total: int, said: str, *, right: set[str]
) -> str:
    counted = f"{number(rows.height)} of {number(total)}" if rows.height < total else number(total)
    about = f"{caption}: {counted}" + (f" ({said})" if rows.height < total else "")
    if not total:
        return f'<p class="said">{html.escape(caption)}: none.</p>'
    kind = {name: ' class="number"' if name in right else "" for name in columns}
    head = "".join(f'<th scope="col"{kind[name]}>{html.escape(name)}</th>' for name in columns)
    body = "".join(
        f"<tr>{''.join(f'<td{kind[name]}>{_cell(cell(row))}</td>' for name, cell in columns.items())}</tr>"
        for row in rows.iter_rows(named=True)
    )
    return (
        f'<div class="listed" role="region" tabindex="0" aria-label="{html.escape(caption)}"><table>'
        f"<caption>{html.escape(about)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


class _Link(str):
    """A cell that is markup already."""

    __slots__ = ()


def _cell(text: str) -> str:
    return text if isinstance(text, _Link) else html.escape(text)


def _text(text: str | None, *, longest: int = 48) -> str:
    return label(text, longest=longest) if text else ""


def _part(count: int | None, total: int | None) -> str:
    return f"{number(count)} of {number(total)}" if total else ""


def _ticket(row: dict[str, Any]) -> str:
    text, address = html.escape(_text(row["ticket_id"])), safe_link(row["link"])
    if not address:
        return _Link(text)
    return _Link(f'<a href="{html.escape(address)}" target="_blank" rel="noopener noreferrer">{text}</a>')


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds
