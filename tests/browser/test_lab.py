"""The bundled notebooks in a real JupyterLab, run as a reader runs them: top to bottom, without a network."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from lab_server import serving

from incident_kit.samples import notebooks, sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.browser, pytest.mark.slow]
# hidden input has no prompt
RAN = """() => {
    const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')].map(one => one.textContent);
    return prompts.length > 0 && prompts.every(one => /^\\[\\d+\\]:$/.test(one));
}"""
WIDTH = 1440
CHARTS = {"01": 4, "02": 3, "03": 3, "04": 1}  # at least
FAILED = ".jp-OutputArea-output[data-mime-type*='error'], .jp-OutputArea-output[data-mime-type*='stderr']"
DRAWN = ".jp-RenderedVegaLite svg.marks"
HEIGHT = """() => {
    const places = [...document.querySelectorAll('.jp-Notebook .jp-Cell')].map(cell => cell.getBoundingClientRect());
    return Math.ceil(places.at(-1).bottom - places[0].top);
}"""


@pytest.fixture(scope="module")
def lab(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:  # noqa: ARG001 - skips without one
    """Serve a copy of the notebooks beside a copy of the bundled case."""
    root = tmp_path_factory.mktemp("clone")
    for case in (sample(), sample("outage")):
        shutil.copytree(case, root / "data" / "samples" / case.name)
    (root / "notebooks").mkdir()
    for path in notebooks():
        shutil.copy(path, root / "notebooks")
    with serving(root, tmp_path_factory.mktemp("home")) as address:
        yield address


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_runs_and_draws(visit: Callable[..., Any], lab: str, path: Path, tmp_path: Path) -> None:
    shots = Path(os.environ.get("INCIDENT_KIT_SHOTS", tmp_path))
    with visit(f"{lab}/lab/tree/notebooks/{path.name}?reset", width=WIDTH, height=1000, offline=False) as seen:
        page = seen.page
        page.locator("#jp-main-statusbar", has_text="| Idle").wait_for(timeout=60_000)  # the kernel is there
        _choose(page, "Edit", "Clear Outputs of All Cells")
        page.wait_for_function(f"!({RAN})()", timeout=5_000)
        _choose(page, "Run", "Run All Cells")
        page.wait_for_function(RAN, timeout=240_000)
        assert page.locator(FAILED).all_inner_texts() == []
        for place in range(CHARTS[path.stem[:2]]):
            page.locator(DRAWN).nth(place).wait_for(timeout=20_000)
        drawn = page.locator(".jp-RenderedVegaLite").all_inner_texts()
        hours = ("12:25", "14:00", "15:00", "16:00")  # of the capture, and of the outage
        is_utc = any("UTC" in words and any(hour in words for hour in hours) for words in drawn)
        assert is_utc or path.stem.startswith("04"), "the axis is UTC, wherever the reader is"
        ran = page.locator(".jp-CodeCell .jp-InputArea-prompt").all_text_contents()
        code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        visible = [not cell.metadata.get("jupyter", {}).get("source_hidden", False) for cell in code]
        assert ran == [f"[{number}]:" for number, is_seen in enumerate(visible, 1) if is_seen]
        _keep(page, shots, path.stem)
        assert [said for said in seen.said if "vega" in said.lower() or said.startswith("error")] == []
        own = (lab, lab.replace("http", "ws"), "blob:")  # of its own page
        assert [one for one in seen.asked if not one.startswith(own)] == []


def _choose(page: Any, menu: str, command: str) -> None:
    page.locator(".lm-MenuBar-itemLabel", has_text=menu).first.click()
    page.locator(".lm-Menu-itemLabel", has_text=command).first.click()


def _keep(page: Any, folder: Path, name: str) -> None:
    """Keep pictures of the whole notebook, a screen each."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = page.evaluate(HEIGHT) + 200
    page.set_viewport_size({"width": WIDTH, "height": whole})
    page.locator(".jp-Notebook .jp-Cell").first.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    for part, top in enumerate(range(0, whole, 1400)):
        clip = {"x": 0, "y": top, "width": WIDTH, "height": min(1400, whole - top)}
        page.screenshot(path=folder / f"{name}-{part}.png", clip=clip)
