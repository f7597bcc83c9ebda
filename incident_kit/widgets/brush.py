"""Brush: a chart over time with windows on it that are dragged, or moved by keys, and told to Python."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any

import altair as alt
import polars as pl
import traitlets

from incident_kit.widgets.live import View

_STATIC = resources.files("incident_kit") / "static"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
Span = tuple[datetime, datetime]


class BrushedView(View):
    """A chart whose time axis has windows on it, each by a name: ``window``, and ``baseline``.

    Parameters
    ----------
    chart, rows
        As of :class:`View`.
    across
        Names of the chart's highest and lowest panel that the windows cross; their time axes are ``limits``.
    limits
        The first and the last instant of the axis.
    step
        What a key moves a window by; its ends are whole steps from the first instant.
    windows
        Those to begin with.
    """

    _esm = "".join((_STATIC / name).read_text("utf-8") for name in ("brush.js", "view.js"))
    _css = "".join((_STATIC / name).read_text("utf-8") for name in ("view.css", "brush.css"))
    across = traitlets.Tuple(traitlets.Unicode(), traitlets.Unicode()).tag(sync=True)
    limits = traitlets.Tuple(traitlets.Float(), traitlets.Float()).tag(sync=True)
    step = traitlets.Float().tag(sync=True)
    spans = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        chart: alt.TopLevelMixin | dict[str, Any],
        rows: Mapping[str, pl.DataFrame],
        *,
        across: tuple[str, str],
        limits: Span,
        step: timedelta,
        windows: Mapping[str, Span],
    ) -> None:
        super().__init__(
            chart, rows, across=across, limits=_told(limits), step=step / _MS,
            spans={name: list(_told(span)) for name, span in windows.items()},
        )  # fmt: skip

    @property
    def windows(self) -> dict[str, Span]:
        """The windows as they stand, by name."""
        return {name: (_instant(begin), _instant(end)) for name, (begin, end) in self.spans.items()}

    @windows.setter
    def windows(self, windows: Mapping[str, Span]) -> None:
        self.spans = {name: list(_told(span)) for name, span in windows.items()}


def _told(span: Span) -> tuple[float, float]:
    return (span[0] - _EPOCH) / _MS, (span[1] - _EPOCH) / _MS


def _instant(ms: float) -> datetime:
    return _EPOCH + timedelta(milliseconds=ms)
