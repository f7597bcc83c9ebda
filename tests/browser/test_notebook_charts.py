"""The charts in a real JupyterLab, whose Vega-Lite is older than ours, and without a network."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import nbformat
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.browser, pytest.mark.slow]
CELLS = (
    "import sys; sys.path.insert(0, {tests!r})\nimport made_up\nfrom incident_kit import charts\ncharts.enable_offline()",
    "charts.timeline(made_up.series(), phases=made_up.PHASES, answers=made_up.ANSWERS)",
    "charts.states(made_up.states(), phases=made_up.PHASES)",
    "charts.quality(made_up.quality())",
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start JupyterLab on a folder with one notebook, and return its address."""
    home = tmp_path_factory.mktemp("lab")
    tests = os.path.dirname(os.path.dirname(__file__))  # noqa: PTH120 - goes into the notebook's text
    cells = [nbformat.v4.new_code_cell(cell.replace("{tests!r}", repr(tests))) for cell in CELLS]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), home / "charts.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = _started(home, port)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{address}/api/status", timeout=1).close()  # noqa: S310 - our own server
                break
            except OSError:
                assert server.poll() is None, (home / "log").read_text()
                time.sleep(0.5)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=20)


def _started(home: Path, port: int) -> subprocess.Popen[bytes]:
    folders = {f"JUPYTER_{name}_DIR": str(home / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    command += ["--IdentityProvider.token=", "--ServerApp.password=", "--LabApp.news_url="]
    command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", f"--ServerApp.root_dir={home}"]
    with (home / "log").open("wb") as log:
        environment = os.environ | folders
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)


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
    from pathlib import Path

    folder = Path(".ci/screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
