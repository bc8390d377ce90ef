"""Reports in a real Chromium, as a person opens them."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from ml_janitor.core.results import Report
from ml_janitor.report.html import render_html

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-sync",
    "--no-first-run",
]
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, once for all tests of a file."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def shown(browser: Browser, tmp_path: Path) -> Iterator[Any]:
    """Opens a report from a file; fails the test on a script error or a request."""
    pages: list[Page] = []
    trouble: list[str] = []

    def show(what: Report, size: dict[str, int] = DESKTOP) -> Page:
        path = tmp_path / f"report-{len(pages)}.html"
        path.write_text(render_html(what))
        page = browser.new_page(viewport=size)  # type: ignore[arg-type]
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("request", lambda request: trouble.append(request.url) if "http" in request.url else None)
        page.goto(path.as_uri())
        pages.append(page)
        return page

    yield show
    for page in pages:
        page.close()
    assert trouble == []
