"""The Tuner in a real JupyterLab: a key moves a slider, four panels follow, and the ranges come when the hand rests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from lab_server import serving

from incident_kit.samples import sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.browser, pytest.mark.slow]
CELLS = (
    """import incident_kit as ik
incident = ik.open_case({case!r}, in_memory=True)
policy = next(one for one in incident.policies if one.name == 'founding')""",
    "tuner = ik.Tuner(incident, policy, draws=8)\ntuner",
)
PANEL = ".incident-kit-tuner svg.marks"
STATE = """() => {
    const svg = document.querySelector('.incident-kit-tuner svg.marks');
    const texts = [...svg.querySelectorAll('text')].map(one => one.textContent);
    const paths = kind => [...svg.querySelectorAll(kind)].map(one => one.getAttribute('d')).join('|');
    return {lines: paths('.mark-line path'), bars: paths('.mark-rect path'), dots: paths('.mark-symbol path') +
        [...svg.querySelectorAll('.mark-symbol path')].map(one => one.getAttribute('transform')).join('|'),
        words: texts.join('|'), waiting: texts.some(one => one.startsWith('working out'))};
}"""
SEE = """() => {
    const seen = globalThis.__seen = new Set();
    const look = () => { for (const one of document.querySelectorAll('.incident-kit-tuner svg.marks text'))
        if (one.textContent.startsWith('working out')) seen.add('waiting'); };
    new MutationObserver(look).observe(document.querySelector('.incident-kit-tuner'),
        {subtree: true, childList: true, attributes: true, characterData: true});
}"""
INK = """() => ['#1b1f24', '#e9ecef'].filter(ink =>
    document.querySelector('.incident-kit-tuner svg.marks')?.outerHTML.includes(ink)).join()"""


@pytest.fixture(scope="module")
def lab(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:  # noqa: ARG001 - skips without one
    root = tmp_path_factory.mktemp("tuner")
    cells = [nbformat.v4.new_code_cell(cell.replace("{case!r}", repr(str(sample("outage"))))) for cell in CELLS]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), root / "tuner.ipynb")
    with serving(root, tmp_path_factory.mktemp("home")) as address:
        yield address


def _choose(page: Any, *path: str) -> None:
    page.locator(".lm-MenuBar-itemLabel", has_text=path[0]).first.click()
    for item in path[1:]:
        page.locator(".lm-Menu-itemLabel", has_text=item).first.click()


def test_a_key_moves_all_four_panels_and_the_theme_is_followed(visit: Callable[..., Any], lab: str) -> None:
    with visit(f"{lab}/lab/tree/tuner.ipynb?reset", width=1300, height=1700, offline=False) as seen:
        page = seen.page
        page.locator("#jp-main-statusbar", has_text="| Idle").wait_for(timeout=60_000)
        _choose(page, "Run", "Run All Cells")
        page.locator(PANEL).wait_for(timeout=180_000)
        page.wait_for_function(f"() => !({STATE})().waiting", timeout=120_000)
        before = page.evaluate(STATE)
        page.evaluate(SEE)
        slider = page.locator(".incident-kit-tuner .noUi-handle").first
        slider.focus()
        for _ in range(8):
            page.keyboard.press("ArrowLeft")
        page.wait_for_function("() => __seen.has('waiting')", timeout=60_000)
        box = page.locator(".incident-kit-tuner input[type=number]").first
        page.wait_for_function("box => box.value === '2700'", arg=box.element_handle(), timeout=60_000)
        page.wait_for_function(f"() => !({STATE})().waiting", timeout=120_000)
        after = page.evaluate(STATE)
        assert {name for name in before if before[name] != after[name]} == {"lines", "bars", "dots", "words"}
        assert "p95_ms > 3500 -> p95_ms > 2700" in page.locator(".incident-kit-tuner pre").inner_text()
        seen.shot("tuner")
        node = page.locator(PANEL).element_handle()
        box.fill("3000")
        box.press("Enter")
        page.wait_for_function(f"() => ({STATE})().lines !== {after['lines']!r}", timeout=60_000)
        assert page.evaluate("node => node.isConnected", node), "rows are swapped in place"
        assert page.evaluate(INK) == "#1b1f24"
        _choose(page, "Settings", "Theme", "JupyterLab Dark")
        page.wait_for_function(f"() => ({INK})() === '#e9ecef'", timeout=30_000)
        seen.shot("tuner-dark")
        asked = [one for one in seen.asked if not one.startswith((lab, lab.replace("http", "ws"), "blob:"))]
        assert asked == []
        assert [said for said in seen.said if said.startswith("error")] == []
