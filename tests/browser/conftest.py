"""Real pages in the machine's Chromium: pages without a network, and what they said and asked for."""

from __future__ import annotations

import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # made_up.py, also when only these tests are run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


@dataclass
class Visit:
    """An open page, with what it wrote to the console and what it asked the network for."""

    page: Any
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def shot(self, name: str) -> None:
        """Keep a picture of the page where CI looks for them."""
        folder = Path(".ci/screenshots")
        folder.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=folder / f"{name}.png", full_page=True)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Any) -> Callable[..., Any]:
    """Return a way to open a page in a fresh context; ``offline`` unless told otherwise."""

    @contextmanager
    def opened(url: str, *, width: int = 1000, height: int = 900, **options: Any) -> Iterator[Visit]:
        settings = {"offline": True, "timezone_id": "America/Los_Angeles", "color_scheme": "light"} | options
        context = chromium.new_context(viewport={"width": width, "height": height}, **settings)
        seen = Visit(context.new_page())
        seen.page.on("console", lambda message: seen.said.append(f"{message.type}: {message.text}"))
        seen.page.on("pageerror", lambda error: seen.said.append(f"error: {error}"))
        seen.page.on("dialog", lambda dialog: (seen.said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        seen.page.on("request", lambda request: seen.asked.append(request.url))
        seen.page.goto(url)
        seen.asked = [one for one in seen.asked if one != url and not one.startswith(("data:", "blob:"))]
        yield seen
        context.close()

    return opened
