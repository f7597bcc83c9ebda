"""The charts in a real JupyterLab, whose Vega-Lite is older than ours, and without a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from lab_server import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TESTS = str(Path(__file__).parents[1])
pytestmark = [pytest.mark.browser, pytest.mark.slow]
CELLS = (
    "import sys; sys.path.insert(0, {tests!r})\nimport made_up\nfrom incident_kit import charts\ncharts.enable_offline()",
    "charts.timeline(made_up.series(), phases=made_up.PHASES, answers=made_up.ANSWERS)",
    "charts.states(made_up.states(), phases=made_up.PHASES)",
    "charts.quality(made_up.quality())",
)


@pytest.fixture(scope="module")
def lab(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:  # noqa: ARG001 - skips without one
    root = tmp_path_factory.mktemp("charts")
    cells = [nbformat.v4.new_code_cell(cell.replace("{tests!r}", repr(TESTS))) for cell in CELLS]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), root / "charts.ipynb")
    with serving(root, tmp_path_factory.mktemp("home")) as address:
        yield address


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_jupyterlab_draws_every_chart_with_its_own_vega(visit: Callable[..., Any], lab: str, theme: str) -> None:
    with visit(f"{lab}/lab/tree/charts.ipynb?reset", width=1200, height=1000, offline=False) as seen:
        page = seen.page
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        page.wait_for_timeout(2_000)  # JupyterLab sets its theme late
        if theme == "dark":
            page.evaluate("document.body.dataset.jpThemeLight = 'false'")  # what its renderer reads
        page.locator(".lm-MenuBar-itemLabel", has_text="Run").first.click()
        page.locator(".lm-Menu-itemLabel", has_text="Run All Cells").first.click()
        drawn = page.locator(".jp-RenderedVegaLite svg.marks")
        for place in range(3):
            drawn.nth(place).wait_for(timeout=60_000)
        words = page.locator(".jp-RenderedVegaLite").first.inner_text()
        assert "13:20" in words, "the axis is in UTC and labelled"
        assert "Override rate: not in this log." in words
        paper = "getComputedStyle(document.querySelector('.jp-RenderedVegaLite svg.marks')).backgroundColor"
        assert page.evaluate(paper) == "rgb(255, 255, 255)", "our paper, whatever the theme"
        assert page.evaluate("document.body.dataset.jpThemeLight") == str(theme == "light").lower()
        for place in range(3):
            drawn.nth(place).scroll_into_view_if_needed()
            page.screenshot(path=_folder() / f"lab-{theme}-{place}.png")
        assert [said for said in seen.said if "vega" in said.lower() or "error" in said[:6].lower()] == []
        assert [one for one in seen.asked if not one.startswith((lab, lab.replace("http", "ws")))] == []


def _folder() -> Path:
    folder = Path(".ci/screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
