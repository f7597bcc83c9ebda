"""The Explorer in a real JupyterLab: a window is dragged, moved by keys and typed, and what stands out follows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from lab_server import serving

from incident_kit.samples import sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.browser, pytest.mark.slow]
OPEN = "import incident_kit as ik\nincident = ik.open_case({case!r}, in_memory=True)"
SHOW = "explorer = ik.Explorer(incident)\nexplorer"
SHOWN = ".incident-kit-explorer"
TEXTS = f"() => [...document.querySelectorAll('{SHOWN} svg.marks text')].map(one => one.textContent)"
INK = f"""() => ['#1b1f24', '#e9ecef'].filter(ink =>
    document.querySelector('{SHOWN} svg.marks')?.outerHTML.includes(ink)).join()"""
UNLABELLED = f"""() => [...document.querySelectorAll('{SHOWN} :is(input, select, button, [tabindex])')].filter(one =>
    one.offsetParent && !one.innerText && !one.getAttribute('aria-label') && !one.labels?.[0]?.innerText
).map(one => one.outerHTML)"""
LIVE = (
    """import altair as alt, ipywidgets, polars as pl
from incident_kit.widgets import live
from incident_kit.charts import theme
good, live.bundle().code = live.bundle().code, "throw new Error('cut off')"
line = alt.Chart(alt.NamedData("waits")).mark_line(color=theme.INK).encode(x="x:Q", y="y:Q")
text = alt.Chart(alt.NamedData("words")).mark_text().encode(text="said:N", x=alt.value(40), y=alt.value(20))
chart = theme.finished(alt.vconcat(alt.layer(line, text)), "two datasets")
words = lambda said: pl.DataFrame({"said": [said]})
waits = lambda *y: pl.DataFrame({"x": range(len(y)), "y": y})
views = [live.View(chart, {"waits": waits(1, 2), "words": words("first")}) for _ in range(3)]
both = ipywidgets.VBox(views[:2]); both.add_class("tried")
both""",
    """views[0].update(words=words("second"))
views[0].update(waits=waits(1, 2, 5))
views[1].update(words=words("third"), waits=waits(3, 1))
views[2].update(words=words("before it was shown"))
live.bundle().code = good""",
    """last = ipywidgets.VBox(views[2:]); last.add_class("later")
last""",
    "print('bundles:', sum(isinstance(one, live.Bundle) for one in ipywidgets.widgets.widget._instances.values()))",
)
HOSTILE_LOG = """import incident_kit as ik
from datetime import datetime, timedelta, UTC
import polars as pl
nasty = ["</script><img src=x onerror=alert(1)>", '"quoted" & `tick`', chr(0x202e) + "right to left", "plain"]
start = datetime(2026, 10, 5, 12, tzinfo=UTC)
rows = [{"request_id": f"{nasty[i % 3]}{i}", "intent": nasty[0 if 200 < i < 400 else i % 4], "ticket_id": f"{nasty[0]}{i // 2}",
         "arrived_at": (start + timedelta(seconds=5 * i)).isoformat(), "wait_ms": 9000 if 200 < i < 400 else 900,
         "requested": nasty[0], "served": nasty[i % 2], "status": "ok"} for i in range(900)]
pl.DataFrame(rows).write_csv("hostile.csv")
incident = ik.Incident.create()
report = incident.load("hostile.csv", source="canonical")
incident.ticket_link = "javascript:alert(1)//{ticket_id}"
phase = incident.annotate("impact", start + timedelta(minutes=17), start + timedelta(minutes=33), text=nasty[0])"""


def notebook(path: Path, cells: tuple[str, ...]) -> None:
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    made = [nbformat.v4.new_code_cell(cell.replace("{case!r}", repr(str(sample("outage"))))) for cell in cells]
    nbformat.write(nbformat.v4.new_notebook(cells=made, metadata=kernel), path)


@pytest.fixture(scope="module")
def lab(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:  # noqa: ARG001 - skips without one
    root = tmp_path_factory.mktemp("explorer")
    notebook(root / "explorer.ipynb", (OPEN, SHOW, "print('chosen', *explorer.selection, len(explorer.tickets))"))
    notebook(root / "live.ipynb", LIVE)
    notebook(root / "hostile.ipynb", (HOSTILE_LOG, SHOW))
    with serving(root, tmp_path_factory.mktemp("home")) as address:
        yield address


def choose(page: Any, *path: str) -> None:
    page.locator(".lm-MenuBar-itemLabel", has_text=path[0]).first.click()
    for item in path[1:]:
        page.locator(".lm-Menu-itemLabel", has_text=item).first.click()


def run_all(page: Any) -> None:
    page.locator("#jp-main-statusbar", has_text="| Idle").wait_for(timeout=60_000)
    choose(page, "Run", "Run All Cells")


def head(page: Any) -> str:
    """Return the line of the chart that says what is beside what."""
    return next(text for text in page.evaluate(TEXTS) if ", beside " in text)


def follows(page: Any, words: str) -> None:
    """Wait until the chart says what is beside what."""
    for _ in range(100):
        if words in head(page):
            return
        page.wait_for_timeout(100)
    pytest.fail(f"wanted {words!r}, got {head(page)!r}")


def box(page: Any, label: str) -> Any:
    return page.locator(SHOWN).get_by_label(label, exact=True).first


def take(page: Any, part: str, share: float) -> None:
    """Drag an edge or the bar of a window to a share of the time axis."""
    axis = page.locator(f"{SHOWN} .ik-brush").bounding_box()
    held = page.locator(f"{SHOWN} {part}").bounding_box()
    page.mouse.move(held["x"] + held["width"] / 2, held["y"] + 9)
    page.mouse.down()
    page.mouse.move(axis["x"] + 0.4 * axis["width"], axis["y"] + 60)
    page.mouse.move(axis["x"] + share * axis["width"], axis["y"] + 60)
    page.mouse.up()


def assert_quiet(seen: Any, lab: str) -> None:
    """Nothing was asked of another place, and nothing went wrong."""
    assert [one for one in seen.asked if not one.startswith((lab, lab.replace("http", "ws"), "blob:"))] == []
    assert [said for said in seen.said if said.startswith(("error", "dialog"))] == []


def drag(page: Any, begin: float, end: float, *, panel: str = "brushed_last", key: str = "") -> None:
    """Drag from one share of the time axis to another, with the mouse."""
    box = page.locator(f"{SHOWN} .{panel}_group path.background").first.bounding_box()
    y = box["y"] + box["height"] / 2
    if key:
        page.keyboard.down(key)
    page.mouse.move(box["x"] + begin * box["width"], y)
    page.mouse.down()
    for share in (0.25, 0.5, 0.75, 1.0):
        page.mouse.move(box["x"] + (begin + share * (end - begin)) * box["width"], y)
    page.mouse.up()
    if key:
        page.keyboard.up(key)


def test_a_drag_moves_the_window_and_everything_follows(visit: Callable[..., Any], lab: str) -> None:
    with visit(f"{lab}/lab/tree/explorer.ipynb?reset", width=1300, height=1900, offline=False) as seen:
        page = seen.page
        run_all(page)
        page.locator(f"{SHOWN} .ik-window .ik-grip").wait_for(timeout=180_000)
        page.locator(f"{SHOWN} caption").nth(1).wait_for(timeout=60_000)
        assert "(13:40 to 16:20 UTC), beside healthy time" in head(page)
        assert len(re.findall("points more", "|".join(page.evaluate(TEXTS)))) >= 4
        seen.shot("explorer")
        node = page.locator(f"{SHOWN} svg.marks").first.element_handle()
        drag(page, 0.5, 0.75)
        follows(page, "(15:00 to 16:30 UTC), beside healthy time")
        page.locator(f"{SHOWN} caption", has_text="15:00 to 16:30").nth(1).wait_for(timeout=30_000)
        assert box(page, "From (UTC)").input_value() == "2026-10-05 15:00:00"
        drag(page, 0.1, 0.3, panel="brushed_first")  # beside the bar on top, in its own strip
        follows(page, "(12:36 to 13:48 UTC), beside healthy time")
        take(page, ".ik-window .ik-until", 0.5)
        follows(page, "(12:36 to 15:0")  # a pixel is a minute here
        take(page, ".ik-window .ik-grip", 0.9)
        follows(page, " to 18:00 UTC), beside healthy time")  # as far as the log goes, and no shorter
        assert "(15:3" in head(page)
        page.get_by_role("button", name="Impact").click()
        follows(page, "(13:40 to 16:20 UTC), beside healthy time")
        box(page, "Beside").select_option("a second window")
        follows(page, "beside 14:00 to 15:40 (12:00 to 13:40 UTC)")
        drag(page, 0.1, 0.2, key="Shift")
        follows(page, "beside 14:36 to 15:12 (12:36 to 13:12 UTC)")
        assert page.evaluate("node => node.isConnected", node), "rows are swapped in place"
        seen.shot("explorer-second-window")
        choose(page, "Settings", "Theme", "JupyterLab Dark")
        page.wait_for_function(f"() => ({INK})() === '#e9ecef'", timeout=30_000)
        page.locator(f"{SHOWN} .ik-brush.dark .ik-baseline .ik-grip", has_text="12:36 to 13:12").wait_for(
            timeout=30_000
        )
        assert "beside 14:36 to 15:12" in head(page), "what was chosen stays"
        # JupyterLab covers the page until a theme's styles are there
        page.locator("#jupyterlab-splash").wait_for(state="detached", timeout=30_000)
        drag(page, 0.5, 0.75)
        follows(page, "(15:00 to 16:30 UTC), beside 14:36")
        seen.shot("explorer-dark")
        node = page.locator(f"{SHOWN} svg.marks").first.element_handle()
        plot = page.locator(f"{SHOWN} .brushed_last_group path.background").first.bounding_box()
        y = plot["y"] + plot["height"] / 2
        page.mouse.move(plot["x"] + 0.25 * plot["width"], y)
        page.mouse.down()
        page.mouse.move(plot["x"] + 0.3 * plot["width"], y)
        page.evaluate("document.body.dataset.jpThemeLight = 'true'")  # the chart is drawn anew in a moving hand
        page.wait_for_function("node => !node.isConnected", arg=node, timeout=30_000)
        page.mouse.move(plot["x"] + 0.4 * plot["width"], y)
        page.mouse.up()
        follows(page, "(13:30 to 14:24 UTC), beside 14:36")
        choose(page, "Settings", "Theme", "JupyterLab Light")
        assert_quiet(seen, lab)


def test_keys_alone_choose_a_window(visit: Callable[..., Any], lab: str) -> None:
    with visit(f"{lab}/lab/tree/explorer.ipynb?reset", width=1300, height=1900, offline=False) as seen:
        page = seen.page
        run_all(page)
        page.locator(f"{SHOWN} .ik-window .ik-grip").wait_for(timeout=180_000)
        unlabelled = page.evaluate(UNLABELLED)
        assert unlabelled == []
        box(page, "until").focus()
        box(page, "until").fill("15:10")
        page.keyboard.press("Tab")
        follows(page, "(13:40 to 15:10 UTC)")
        reached = []
        for _ in range(12):
            reached.append(
                page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.innerText")
            )
            if reached[-1] == "window, all of it":
                break
            page.keyboard.press("Tab")
        assert reached[-1] == "window, all of it", reached
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        cells = page.locator(".jp-Notebook .jp-Cell").count()
        for key in ("ArrowRight", "ArrowRight", "PageUp", "d", "d"):
            page.keyboard.press(key)
        follows(page, "(13:52 to 15:22 UTC)")
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowDown")
        follows(page, "(13:51 to 15:22 UTC)")
        page.keyboard.press("Tab")
        page.keyboard.press("End")
        follows(page, "(13:51 to 18:00 UTC)")
        page.keyboard.press("Home")
        follows(page, "(13:51 to 13:52 UTC)")
        assert page.evaluate("document.activeElement.getAttribute('aria-valuetext')") == "13:52 UTC"
        assert page.locator(".jp-Notebook .jp-Cell").count() == cells, "JupyterLab's own keys stay out of it"
        box(page, "until").fill("half past")
        page.keyboard.press("Enter")
        page.locator(f"{SHOWN} [role=status]", has_text="'half past' is no time").wait_for(timeout=20_000)
        assert_quiet(seen, lab)


def test_names_that_would_be_markup_are_text(visit: Callable[..., Any], lab: str) -> None:
    with visit(f"{lab}/lab/tree/hostile.ipynb?reset", width=1300, height=1900, offline=False) as seen:
        page = seen.page
        run_all(page)
        page.locator(f"{SHOWN} .ik-window .ik-grip").wait_for(timeout=180_000)
        page.locator(f"{SHOWN} caption").nth(1).wait_for(timeout=60_000)
        page.locator(f"{SHOWN} td", has_text="onerror").first.wait_for(timeout=60_000)
        seen.shot("explorer-hostile")
        assert page.locator(f"{SHOWN} td", has_text="<img src=x onerror=alert(1)>").count() > 3
        assert page.locator(f"{SHOWN} img, #vg-tooltip-element img").count() == 0
        assert page.locator(f"{SHOWN} td a").count() == 0, "javascript: is no address of a ticket"
        assert not any("\u202e" in text for text in page.evaluate(TEXTS))
        assert_quiet(seen, lab)


def test_a_view_recovers_from_a_failed_load_and_one_bundle_serves_all(visit: Callable[..., Any], lab: str) -> None:
    with visit(f"{lab}/lab/tree/live.ipynb?reset", width=1300, height=1900, offline=False) as seen:
        page = seen.page
        page.locator("#jp-main-statusbar", has_text="| Idle").wait_for(timeout=60_000)

        def run(place: int) -> None:
            page.locator(".jp-CodeCell .jp-InputArea-editor").nth(place).click()
            page.keyboard.press("Control+Enter")

        def drawn() -> list[list[str]]:
            return page.evaluate(
                "() => [...document.querySelectorAll('.tried svg.marks')].map(svg => [...svg.querySelectorAll("
                "'.mark-text.role-mark text')].map(one => one.textContent))"
            )

        run(0)
        failed = page.locator(".tried [role=alert]", has_text="could not be drawn: cut off")
        failed.nth(1).wait_for(timeout=120_000)
        run(1)  # rows that come while nothing is drawn are not lost
        page.locator(".jp-CodeCell .jp-InputArea-prompt", has_text="[2]:").wait_for(timeout=60_000)
        failed.first.get_by_role("button", name="Try again").click()
        page.locator(".tried svg.marks").first.wait_for(timeout=30_000)
        failed.first.get_by_role("button", name="Try again").click()
        page.locator(".tried svg.marks").nth(1).wait_for(timeout=30_000)
        assert drawn() == [["second"], ["third"]]
        lines = page.evaluate(
            "[...document.querySelectorAll('.tried .mark-line path')].map(one => one.getAttribute('d'))"
        )
        assert [line.count("L") for line in lines] == [2, 1]
        assert failed.count() == 0
        run(2)
        page.locator(".later svg.marks text", has_text="before it was shown").wait_for(timeout=30_000)
        run(3)
        page.locator(".jp-OutputArea-output", has_text="bundles: 1").wait_for(timeout=30_000)
        choose(page, "Settings", "Theme", "JupyterLab Dark")
        page.wait_for_function(
            "() => [...document.querySelectorAll('svg.marks')].every(one => one.outerHTML.includes('#e9ecef'))",
            timeout=30_000,
        )
        assert drawn() == [["second"], ["third"]], "what was swapped in stays when all is drawn anew"
        choose(page, "Settings", "Theme", "JupyterLab Light")
        assert_quiet(seen, lab)
