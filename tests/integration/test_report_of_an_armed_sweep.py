"""The page of a sweep that acted: what became of each finding, and that what is gone costs no more."""

from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Page

from fakes import UNTELLABLE
from ml_janitor.core.results import Report
from ml_janitor.engine.detector import NotFinishedError
from pages import DESKTOP, PHONE
from standin import ARMED, DAY, HOUR, Nights

NARROW = {"width": 500, "height": 900}


@pytest.fixture
def lived(nights: Nights) -> Report:
    """One sweep in which everything happens that can: three places, and what a person looks for first."""
    nights.arming = replace(ARMED, max_actions=3, max_share=100)
    nights.warned("done", "drawn-out", "failing", "in-use", "too-many")
    nights.clock += 2 * DAY
    nights.warned("young")
    nights.clock += 2 * DAY
    nights.world.add("fresh")
    nights.world.add("stacked", tags={"managed-by": "terraform"})

    def before(what: str) -> None:
        nights.world.use("in-use")  # somebody comes back to it after the sweep has listed it
        if what == "remove drawn-out":
            raise NotFinishedError("its plug is being pulled")
        if what == "unplug failing":
            raise TimeoutError("the cellar does not answer")

    nights.world.before = before
    return nights.sweep().report


def text(page: Page, where: str) -> str:
    return " ".join(page.locator(where).inner_text().split())


def statuses(page: Page) -> dict[str, str]:
    """What stands before each finding, by its name."""
    rows = page.locator("#findings tbody tr").all()
    return {
        row.locator("td.name strong").inner_text(): row.locator(".tag.status").inner_text() for row in rows
    }


def test_each_finding_says_in_a_word_what_became_of_it(lived: Report, shown: Any) -> None:
    page = shown(lived)

    assert statuses(page) == {
        "done": "done",
        "drawn-out": "half done",
        "failing": "failed",
        "in-use": "left alone",
        "too-many": "waits",
        "young": "warned",
        "fresh": "warned",
        "stacked": "only reported",
    }
    assert page.locator("h1").inner_text() == "ML Janitor: what was found, and what became of it"
    assert "dry run" not in page.locator("main").inner_text()


def test_the_filter_by_status_finds_what_waits(lived: Report, shown: Any) -> None:
    page = shown(lived)

    page.locator("[data-filter=status]").select_option(label="warned")

    assert page.locator("#count").inner_text() == "2 of 8 shown"


def test_what_to_type_can_be_copied_whole(nights: Nights, shown: Any) -> None:
    nights.warned("a", "b", "c", "d", "e")
    nights.clock += 4 * DAY
    page = shown(nights.sweep().report)
    assert page.locator("#held code").inner_text() == "janitor approve cellar"

    for entry in nights.ledger.entries("cellar", "123456789012", "us-east-1"):
        nights.ledger.approve(entry, by="maria")
    nights.clock += HOUR
    done = shown(nights.sweep().report)
    assert done.locator("#findings code").first.inner_text() == f"janitor undo {nights.of('a').id}"
    assert done.locator(".charts").count() == 0
    assert [" ".join(tile.inner_text().split()) for tile in done.locator(".tile").all()][:2] == [
        "5 done that cost $50.00 a month",
        "5 findings",
    ]


def test_a_half_done_action_is_on_the_page_also_when_nothing_is_found_any_more(
    nights: Nights, shown: Any
) -> None:
    nights.warned("lamp")

    def before(what: str) -> None:
        if what == "remove lamp":
            raise TimeoutError("the cellar does not answer")

    nights.world.before = before
    nights.after(4 * DAY)
    nights.world.judge("lamp", UNTELLABLE)
    page = shown(nights.sweep().report)

    assert "lamp (cellar, us-east-1): " in text(page, "#troubles")


@pytest.mark.parametrize("size", [DESKTOP, NARROW, PHONE], ids=["desktop", "narrow", "phone"])
def test_nothing_sticks_out_and_nothing_is_squeezed(lived: Report, shown: Any, size: dict[str, int]) -> None:
    whose = "somebody.with-a-name@example.com"
    results = tuple(replace(result, owner=whose) for result in lived.sweeps[0].results)
    page = shown(replace(lived, sweeps=(replace(lived.sweeps[0], results=results),)), size)

    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    widths = [cell.bounding_box()["width"] for cell in page.locator("td[data-label=owner]").all()]
    assert min(widths) > 150, "an address is not broken into crumbs"


def test_the_dry_page_has_no_status(nights: Nights, shown: Any) -> None:
    nights.world.add("lamp")
    page = shown(nights.sweep(dry=True).report)

    assert page.locator("h1").inner_text() == "ML Janitor: what could be saved"
    assert page.locator(".tag.status, [data-filter=status]").count() == 0
    assert "This was a dry run: nothing was changed." in text(page, "footer")
