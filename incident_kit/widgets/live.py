"""Live charts: a widget that swaps a chart's rows in place, and carries the drawing code once a kernel."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import resources
from typing import Any

import altair as alt
import anywidget
import ipywidgets  # type: ignore[import-untyped]
import polars as pl
import traitlets
import vl_convert

from incident_kit.charts import theme
from incident_kit.charts.offline import VEGA_LITE
from incident_kit.errors import NoSuchItem, did_you_mean

_STATIC = resources.files("incident_kit") / "static"


class Bundle(anywidget.AnyWidget):
    """Brings the script that draws charts to the browser, once a kernel; it is never shown itself."""

    _esm = "export default { render() {} }"
    code = traitlets.Unicode().tag(sync=True)


@functools.cache
def bundle() -> Bundle:
    """Return the kernel's one bundle: Vega, Vega-Lite and the interpreter that needs no ``eval``; made on first use."""
    return Bundle(code=vl_convert.javascript_bundle("export { vegaEmbed };", vl_version=VEGA_LITE))


class View(anywidget.AnyWidget):
    """A chart whose datasets can be replaced while it is shown; what the reader zoomed, brushed or focused stays.

    Parameters
    ----------
    chart
        Its data are named (``alt.NamedData("waits")``), and so are those of its layers; frames in it stay as they are.
    rows
        A frame for each name. Instants become milliseconds since the epoch, numbers that are none NULL.

    It follows the theme of JupyterLab, and of the page elsewhere. ``drawn`` is the number of the last update that the browser
    has drawn, ``trouble`` what went wrong there; the reader is shown it too, and can try again.
    """

    _esm = (_STATIC / "view.js").read_text("utf-8")
    _css = (_STATIC / "view.css").read_text("utf-8")
    bundle = traitlets.Instance(Bundle).tag(sync=True, **ipywidgets.widget_serialization)
    light = traitlets.Dict().tag(sync=True)
    dark = traitlets.Dict().tag(sync=True)
    rows = traitlets.Dict().tag(sync=True)
    patch = traitlets.Dict({"number": 0, "rows": {}}).tag(sync=True)
    drawn = traitlets.Int(-1).tag(sync=True)
    trouble = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        chart: alt.TopLevelMixin | dict[str, Any],
        rows: Mapping[str, pl.DataFrame],
        **traits: Any,
    ) -> None:
        light = theme.spec(chart)
        self._number, self._kept = 0, dict[str, list[dict[str, Any]]]()
        super().__init__(
            bundle=bundle(),
            light=light,
            dark=theme.spec(light, dark=True),
            rows={name: plain(frame) for name, frame in rows.items()},
            **traits,
        )

    def update(self, **rows: pl.DataFrame) -> None:
        """Replace datasets by name; all of one call appear together.

        Raises
        ------
        NoSuchItem
            The chart has no dataset of that name.
        """
        for name in rows:
            if name not in self.rows:
                known = ", ".join(self.rows)
                raise NoSuchItem(f"the chart has no dataset {name!r}{did_you_mean(name, self.rows)}; it has {known}")
        # the whole of what was sent is kept, so that a view opened later starts where this one stands
        self._kept |= {name: plain(frame) for name, frame in rows.items()}
        self._number += 1
        self.patch = {"number": self._number, "rows": dict(self._kept)}


def plain(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame as JSON can hold them and Vega reads them."""
    made = frame.with_columns(
        pl.selectors.datetime().dt.epoch("ms"),
        pl.selectors.float().fill_nan(None),
        (pl.selectors.categorical() | pl.selectors.enum()).cast(pl.String),
    )
    return made.to_dicts()
