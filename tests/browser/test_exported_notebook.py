"""A notebook's page as a reader has it: no network, strict policy, sliders that work, on a phone and in the dark."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import altair as alt
import nbformat
import polars as pl
import pytest

from incident_kit.charts import offline, theme
from incident_kit.notebookpages.notebookpage import notebook_page
from incident_kit.samples import notebooks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.browser
NASTY = "</script><img src=x onerror=alert(1)>"


def chart() -> alt.Chart:
    """Return bars by hour in UTC, those over a limit that a slider sets in another colour."""
    start = datetime(2026, 10, 5, 13, tzinfo=UTC)
    rows = pl.DataFrame({"at": [start + timedelta(hours=i) for i in range(4)], "wait": [1, 2, 3, 4], "of": [NASTY] * 4})
    limit = alt.param("limit", value=2, bind=alt.binding_range(min=0, max=5, step=1, name="Limit, seconds "))
    over = alt.when(alt.datum.wait > limit).then(alt.value(theme.VERMILLION)).otherwise(alt.value(theme.BLUE))
    made: alt.Chart = (
        alt.Chart(rows)
        .mark_bar(size=20)
        .encode(x=alt.X("at:T", scale=alt.Scale(type="utc"), title="UTC"), y="wait:Q", color=over, tooltip="of:N")
        .add_params(limit)
        .properties(width=700, description="Waits by hour, over a limit")
        .configure(**theme.config())
    )
    return made


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("page")
    spec = chart().to_dict()
    data = {"application/vnd.vegalite.v5+json": spec, "image/svg+xml": offline.svg(spec), "text/plain": "Waits"}
    outputs = [
        nbformat.v4.new_output("display_data", data=data),
        nbformat.v4.new_output(
            "display_data", data={"text/html": f"<table><tr><td>{NASTY}</td><td>wide</td></tr></table>"}
        ),
        nbformat.v4.new_output("stream", name="stdout", text=NASTY),
    ]
    cells = [nbformat.v4.new_markdown_cell(f"# Waits\n\n{NASTY}"), nbformat.v4.new_code_cell("show()", outputs=outputs)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), root / "n.ipynb")
    return notebook_page(root / "n.ipynb", root / "n.html").path.as_uri()


def over(seen: Any) -> int:
    """Return how many bars are over the limit: drawn in vermillion, light or dark."""
    colours = {theme.VERMILLION, theme.DARK[theme.VERMILLION]}
    fills = seen.page.locator("figure.is-live .mark-rect path").evaluate_all(
        "all => all.map(one => one.getAttribute('fill'))"
    )
    return sum(fill in colours for fill in fills)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_slider_works_by_keyboard_without_a_network(visit: Callable[..., Any], page: str, scheme: str) -> None:
    with visit(page, color_scheme=scheme) as seen:
        seen.page.wait_for_selector("figure.is-live svg.marks")
        assert "02 PM" in seen.page.locator("figure.is-live svg").text_content(), "UTC, whatever the reader's zone"
        assert over(seen) == 2
        slider = seen.page.get_by_label("Limit, seconds")
        slider.focus()
        seen.page.keyboard.press("ArrowLeft")
        seen.page.wait_for_function("() => document.querySelector('.vega-bind input').value === '1'")
        seen.page.wait_for_timeout(100)
        assert over(seen) == 3
        seen.shot(f"exported-slider-{scheme}")
        assert seen.said == []
        assert seen.asked == []


def test_without_scripts_there_is_a_picture(visit: Callable[..., Any], page: str) -> None:
    with visit(page, java_script_enabled=False) as seen:
        picture = seen.page.get_by_alt_text("Waits by hour, over a limit")
        assert picture.is_visible()
        assert picture.bounding_box()["width"] > 600
        assert seen.asked == []


def test_the_page_follows_the_theme_while_it_is_open(visit: Callable[..., Any], page: str) -> None:
    with visit(page) as seen:
        seen.page.wait_for_selector("figure.is-live svg.marks")
        seen.page.emulate_media(color_scheme="dark")
        seen.page.wait_for_function(
            f"() => document.querySelector('.live svg').outerHTML.includes('{theme.DARK[theme.INK]}')"
        )
        assert seen.said == []


def test_on_paper_the_picture_stands_and_controls_are_gone(visit: Callable[..., Any], page: str) -> None:
    with visit(page) as seen:
        seen.page.wait_for_selector("figure.is-live svg.marks")
        seen.page.emulate_media(media="print")
        assert seen.page.locator("figure.chart > img").is_visible()
        assert not seen.page.locator(".vega-bindings").is_visible()
        assert not seen.page.locator("details.code").first.is_visible()


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_every_bundled_notebook_opens_on_a_phone(visit: Callable[..., Any], path: Path, tmp_path: Path) -> None:
    made = notebook_page(path, tmp_path / "page.html", with_ids=True)
    with visit(made.path.as_uri(), width=390, height=844) as seen:
        for place in range(seen.page.locator("figure.chart").count()):
            figure = seen.page.locator("figure.chart").nth(place)
            figure.scroll_into_view_if_needed()
            figure.locator(".live svg.marks").wait_for(timeout=15_000)
        assert seen.page.evaluate("document.documentElement.scrollWidth") == 390, "only what is wide scrolls sideways"
        seen.shot(f"exported-{path.stem}-phone")
        assert seen.said == []
        assert seen.asked == []
