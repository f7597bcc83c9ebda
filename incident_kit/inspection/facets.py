"""Facets: every request with all that it can be told apart by, and which parts of a log are compared with which."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.cachedproperty import cached_property
from incident_kit.errors import InvalidCase
from incident_kit.healthy import impacts_us
from incident_kit.phases import Phase
from incident_kit.scoring.metrics import JUDGED
from incident_kit.stats.shares import Usual
from incident_kit.words import number

if TYPE_CHECKING:
    from incident_kit.incident import Incident

DIMENSIONS = {  # what a request can be told apart by: column -> name
    "intent": "intent", "channel": "channel", "requested": "asked of", "served": "answered by", "deployment": "deployment",
    "provider": "provider", "model": "model", "worker": "gateway's worker", "error_class": "error",
    "stream": "streamed", "tools": "tools offered", "prompt": "prompt tokens",
}  # fmt: skip
OUTCOMES = {  # what became of it, NULL where that is not known: column -> (name, the question that a log answers for it)
    "slow": ("slow", "waits"),
    "failed": ("got no answer", "errors"),
    "is_fallback": ("answered by the backup", None),
    "refused": ("refused somewhere", None),
    "resent": ("sent again", None),
    "tool_failed": ("a tool call failed", "tools"),
    "overridden": ("draft overridden", "overrides"),
}
LABELS = 20  # label keys that are looked at, the most frequent
NOT_KNOWN = "(not in the log)"
Spans = tuple[tuple[int, int], ...]
Chosen = str | tuple[datetime, datetime] | Collection[str] | pl.Series | None


@dataclass(frozen=True)
class Facets:
    """The requests of an incident, one row each, in order of arrival: DIMENSIONS, OUTCOMES, ``at_us`` and the ids.

    ``labels`` are the keys of the product's own labels that are columns, each with a colon before its name.
    """

    rows: pl.DataFrame
    labels: tuple[str, ...] = ()

    @cached_property
    def at_us(self) -> NDArray[np.int64]:
        """When each request arrived, in microseconds since the epoch."""
        return self.rows["at_us"].to_numpy()

    def within(self, spans: Spans) -> NDArray[np.bool_]:
        """Return which requests arrived in any of the spans [begin, end)."""
        found = np.zeros(len(self.at_us), np.bool_)
        for begin, end in spans:
            found |= (self.at_us >= begin) & (self.at_us < end)
        return found


@dataclass(frozen=True)
class Against:
    """Some requests, and others that they are held against: masks over the rows of :class:`Facets`, and windows of the others.

    ``spans`` and ``usual_spans`` are the times of either, in microseconds.
    """

    facets: Facets
    chosen: NDArray[np.bool_]
    usual: NDArray[np.bool_]
    spans: Spans
    usual_spans: Spans

    @cached_property
    def windows(self) -> Usual:
        """The usual requests in windows; those of other times are left out of every count."""
        return Usual.of(self.facets.at_us[self.usual], self.usual_spans)


def facets(incident: Incident) -> Facets:
    """Return the requests of an incident with what they can be told apart by, and what became of them."""
    outcomes = incident.as_logged.outcomes
    ids = pl.DataFrame({"request_id": incident.log.request_id, "at_us": incident.log.arrived_us})
    extra = ids.join(incident.store.query("facet_requests"), on="request_id", how="left", maintain_order="left")
    text = ("intent", "served", "error_class")
    rows = pl.concat([extra, outcomes.drop("at")], how="horizontal").with_columns(
        *(pl.col(name).cast(pl.String) for name in text),
        slow=pl.col("wait_ms") > incident.slow_ms,
        tool_failed=pl.when(JUDGED).then(pl.col("tool_errors") > 0),
        stream=_yes_or_no(pl.col("stream")),
        tools=_yes_or_no(pl.col("tools_offered") > 0),
        prompt=_tenths(extra, outcomes["prompt_tokens"]),
    )
    dumb = [
        name for name, (_, asked) in OUTCOMES.items() if asked in incident.answers and _is_no(incident.answers[asked])
    ]
    rows = rows.with_columns(pl.lit(None, pl.Boolean).alias(name) for name in dumb)
    return Facets(*_with_labels(rows))


def against(
    incident: Incident, chosen: Chosen = None, usual: Chosen = "healthy", *, of: Facets | None = None
) -> Against:
    """Return some requests of an incident and those that they are held against.

    Parameters
    ----------
    chosen, usual
        A phase, ``healthy`` (all time outside impacts), two instants, or request ids; None: the first impact. What is in
        both is left out of the usual.
    of
        The facets, where they are at hand.

    Raises
    ------
    NoSuchItem
        There is no such phase.
    InvalidCase
        An instant has no zone, a span ends before it begins, or there is nothing to compare with.
    """
    found = of if of is not None else facets(incident)
    mine, spans = _chosen(incident, found, chosen)
    others, usual_spans = _chosen(incident, found, usual)
    others = others & ~mine
    for what, rows in (("what is chosen", mine), ("what it is compared with", others)):
        if not rows.any():
            raise InvalidCase(f"nothing to compare: no request is in {what}; choose other times")
    return Against(found, mine, others, spans, _without(usual_spans, spans))


def _chosen(incident: Incident, found: Facets, what: Chosen) -> tuple[NDArray[np.bool_], Spans]:
    from incident_kit.scoring.windows import window_of

    if what is None:
        what = "impact"
    if isinstance(what, str):
        if what == "impact":
            incident.span("impact")  # says what there is where there is none
            spans: Spans = impacts_us(incident)[:1]
        else:
            spans = window_of(incident, what).times
        return found.within(spans), spans
    if isinstance(what, tuple) and len(what) == 2 and all(isinstance(one, datetime) for one in what):
        phase = Phase("note", what[0], what[1])  # its instants have a zone, and are in order
        span = (round(phase.at.timestamp() * 1e6), round((phase.until or phase.at).timestamp() * 1e6))
        return found.within((span,)), (span,)
    ids = pl.Series(list(what), dtype=pl.String)
    rows = found.rows["request_id"].is_in(ids.implode()).to_numpy()
    at = found.at_us[rows]
    return rows, ((int(at.min()), int(at.max()) + 1),) if len(at) else ()


def _without(spans: Spans, cut: Spans) -> Spans:
    """Return what is left of spans where others are taken out."""
    for begin, end in cut:
        parts = []
        for a, b in spans:
            parts += [(a, min(b, begin)), (max(a, end), b)]
        spans = tuple(one for one in parts if one[0] < one[1])
    return spans


def _is_no(answer: Any) -> bool:
    return bool(answer.answer == "no")


def _yes_or_no(flag: pl.Expr) -> pl.Expr:
    return pl.when(flag).then(pl.lit("yes")).when(~flag).then(pl.lit("no"))


def _tenths(rows: pl.DataFrame, tokens: pl.Series) -> pl.Series:
    """Return in which part of all prompts a prompt's length lies: the shortest and the longest tenth, and between."""
    known = tokens.drop_nulls()
    if rows.is_empty() or known.n_unique() < 10:
        return pl.Series([None] * len(tokens), dtype=pl.String)
    low, high = (float(known.quantile(q) or 0) for q in (0.1, 0.9))
    column = pl.lit(tokens.cast(pl.Float64))
    return pl.select(
        pl.when(column > high).then(pl.lit(f"longest tenth (over {number(high)})"))
        .when(column <= low).then(pl.lit(f"shortest tenth (up to {number(low)})"))
        .when(column.is_not_null()).then(pl.lit("between"))
    ).to_series()  # fmt: skip


def _with_labels(rows: pl.DataFrame) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return the rows with a column for each frequent key of the product's own labels."""
    if rows["labels"].null_count() == rows.height:
        return rows, ()
    read = [_labels(text) for text in rows["labels"]]
    seen: dict[str, int] = {}
    for one in read:
        for key in one:
            seen[key] = seen.get(key, 0) + 1
    keys = sorted(seen, key=lambda key: (-seen[key], key))[:LABELS]
    columns = [pl.Series(f":{key}", [one.get(key) for one in read], dtype=pl.String) for key in keys]
    return rows.with_columns(columns), tuple(f":{key}" for key in keys)


def _labels(text: str | None) -> dict[str, str]:
    """Return the labels of a request that are one value each, as text."""
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    plain = found.items() if isinstance(found, dict) else ()
    return {key: str(value) for key, value in plain if isinstance(value, str | int | float | bool)}


def instant(at_us: int) -> datetime:
    """Return microseconds since the epoch as an instant."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)
