"""Windows: the part of an incident that is scored, and the outcomes in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.cachedproperty import cached_property
from incident_kit.errors import NoSuchItem
from incident_kit.phases import Phase
from incident_kit.scoring.carried import Carried, carried

if TYPE_CHECKING:
    from incident_kit.incident import Incident
    from incident_kit.log import Log
    from incident_kit.scoring.metrics import Metric
    from incident_kit.scoring.replays import Replay

ALL = "all"
NO_INTENT = "(no intent)"
Span = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """What is scored: ``spans`` of microseconds since the epoch, from (included) and until; None: the whole log.

    ``impact`` is the span that delays are counted from.
    """

    log: Log
    spans: tuple[Span, ...] | None = None
    impact: Span | None = None

    @property
    def ends(self) -> tuple[datetime, datetime] | None:
        """Its first and its last instant; None: the whole log."""
        return (_instant(self.spans[0][0]), _instant(self.spans[-1][1])) if self.spans else None

    @cached_property
    def rows(self) -> NDArray[np.bool_]:
        """Which requests arrived in it."""
        at = self.log.arrived_us
        if self.spans is None:
            return np.ones(len(at), np.bool_)
        found = np.zeros(len(at), np.bool_)
        for begin, end in self.spans:
            found |= (at >= begin) & (at < end)
        return found

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """ALL, and the intents of its requests; nothing without requests."""
        present = set(self.log.intent[self.rows].tolist())
        names = (NO_INTENT if code < 0 else self.log.intents[code] for code in sorted(present))
        return (ALL, *names) if present else ()

    @cached_property
    def times(self) -> tuple[Span, ...]:
        """Its spans; of the whole log, that from the first to the last arrival."""
        if self.spans is not None:
            return self.spans
        arrived = self.log.arrived_us
        return ((int(arrived[0]), int(arrived[-1]) + 1),) if len(arrived) else ((0, 1),)

    @property
    def everything(self) -> tuple[Span, ...]:
        """Its spans; of the whole log, all time: signals and tickets go on after the last request."""
        return self.spans if self.spans is not None else ((-(2**62), 2**62),)

    def cut(self, one: Replay) -> pl.DataFrame:
        """Return the outcomes that are scored, with the intent that they count for as ``key``."""
        frame = one.outcomes.with_columns(pl.col("intent").cast(pl.String).fill_null(NO_INTENT).alias("key"))
        return frame if self.spans is None else frame.filter(pl.Series(self.rows))

    def of_intent(self, key: str) -> NDArray[np.bool_]:
        """Return which requests count for an intent, or for ALL."""
        if key == ALL:
            return self.rows
        intents = self.log.intents
        return np.asarray(self.rows & (self.log.intent == (intents.index(key) if key in intents else -1)))

    def carried(self, one: Replay, of: Metric, key: str) -> Carried:
        """Return a help-desk rate or a signal of an intent."""
        return carried(one, of, self.of_intent(key), intent=None if key == ALL else key, spans=self.everything)


def window_of(incident: Incident, during: str | tuple[datetime, datetime] | None) -> Window:
    """Return the part of an incident that is scored: a phase, ``healthy`` (all time outside impacts), two instants, or all.

    Raises
    ------
    NoSuchItem
        There is no such phase.
    InvalidCase
        An instant has no zone, or the span ends before it begins.
    """
    try:
        begin, end = incident.span("impact")
    except NoSuchItem:
        impact = None
    else:
        impact = _us(begin), _us(end)
    if during is None or during == "all":
        return Window(incident.log, None, impact)
    if during == "healthy":
        from incident_kit.healthy import healthy_spans

        return Window(incident.log, healthy_spans(incident), impact)
    if isinstance(during, str):
        during = incident.span(during)
    Phase("note", *during)  # its instants have a zone, and are in order
    return Window(incident.log, ((_us(during[0]), _us(during[1])),), impact)


def _us(at: datetime) -> int:
    return round(at.timestamp() * 1e6)


def _instant(us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
