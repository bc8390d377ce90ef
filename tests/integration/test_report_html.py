"""The HTML report in a real Chromium: what it shows, how it sorts and filters, and what it refuses to run."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from playwright.sync_api import Page

from conftest import NOW, REGION
from fakes import target_at
from ml_janitor.core.model import Confidence, Cost, Evidence, Finding, Kept
from ml_janitor.core.results import Outcome, Report, Result
from ml_janitor.report.charts import add_breaks
from pages import DESKTOP, PHONE
from reports import report_of, sweep
from tables import cases

HOSTILE = "<img src=x onerror=\"document.title='owned'\">\x1b[31m\u202e"


def finding(
    number: int, cost: Cost | None = None, *, owner: str | None = "anna@example.com", **changes: Any
) -> Result:
    name = changes.pop("name", f"ranker-{number}")
    target = target_at(
        f"endpoint/ranker-{number}",
        NOW - timedelta(days=40),
        {"team": changes.pop("team", "search")},
        name=name,
    )
    verdict = Finding(
        reason="no request in 7 days",
        confidence=changes.pop("confidence", Confidence.PROVEN),
        action=changes.pop("action", "delete the endpoint (its configuration and models stay)"),
        evidence=(Evidence("requests to main", 0), Evidence("backlog", error="AccessDenied: <b>no</b>")),
        cost=cost or Cost.standing(Decimal(number), "Price List API"),
    )
    detector = changes.pop("detector", "idle-endpoints")
    result = Result(detector=detector, target=target, verdict=verdict, outcome=Outcome.WOULD_ACT, owner=owner)
    return replace(result, **changes)


def unknown(number: int) -> Result:
    kept = Kept(reason="its metrics could not be read", unknown=True)
    return replace(finding(number), verdict=kept, outcome=Outcome.KEPT)


def report(*results: Result, error: str | None = None) -> Report:
    return report_of(sweep("idle-endpoints", *results, error=error))


def names(page: Page) -> list[str]:
    """The resources shown, from top to bottom."""
    rows = page.locator("#findings tbody tr:not([hidden]) td.name strong")
    return rows.all_inner_texts()


def test_dearest_first_and_sortable(shown: Any) -> None:
    page = shown(report(finding(1), finding(3), finding(2)))
    assert names(page) == ["ranker-3", "ranker-2", "ranker-1"]
    assert page.locator("td.name a").first.get_attribute("rel") == "noopener noreferrer"
    assert page.locator("[data-filter=account]").count() == 0  # of one account

    page.get_by_role("button", name="work").click()
    assert names(page) == ["ranker-1", "ranker-2", "ranker-3"]

    page.get_by_role("button", name="cost").click()
    assert names(page) == ["ranker-3", "ranker-2", "ranker-1"]

    page.get_by_role("button", name="resource").click()
    assert names(page) == ["ranker-1", "ranker-2", "ranker-3"]
    assert page.locator("th[data-sort=name]").get_attribute("aria-sort") == "ascending"


@cases(
    "filter_, option, expected",
    ("owner", "ben@example.com", ["ranker-2"]),
    ("owner", "none", ["ranker-3"]),
    ("team", "fraud", ["ranker-3"]),
    ("detector", "idle-notebooks", ["ranker-2"]),
    ("confidence", "likely", ["ranker-1"]),
)
def test_filters(shown: Any, filter_: str, option: str, expected: list[str]) -> None:
    page = shown(
        report(
            finding(1, confidence=Confidence.LIKELY),
            finding(2, owner="ben@example.com", detector="idle-notebooks"),
            finding(3, owner=None, team="fraud"),
        )
    )

    page.locator(f"[data-filter={filter_}]").select_option(label=option)

    assert names(page) == expected
    assert page.locator("#count").inner_text() == "1 of 3 shown"


def test_search(shown: Any) -> None:
    page = shown(report(finding(1), finding(22)))

    page.locator("[data-search]").fill("RANKER-22")

    assert names(page) == ["ranker-22"]


def test_evidence_is_unfolded_on_demand(shown: Any) -> None:
    page = shown(report(finding(1)))
    assert page.locator(".evidence").count() == 0

    page.get_by_role("button", name="evidence").click()

    said = page.locator(".evidence").inner_text()
    assert "requests to main" in said
    assert "could not be read: AccessDenied: <b>no</b>" in said
    assert "endpoint/ranker-1" in said
    page.get_by_role("button", name="evidence").click()
    assert page.locator(".evidence").count() == 0


def test_evidence_has_the_width_of_the_page_and_goes_with_its_finding(shown: Any) -> None:
    page = shown(report(finding(1), finding(2), finding(3)))
    page.locator(".unfold").nth(2).click()  # that of ranker-1, the cheapest

    wide = page.locator(".evidence").bounding_box()["width"]
    assert wide > 0.9 * page.locator("#findings").bounding_box()["width"]
    page.get_by_role("button", name="cost").click()
    follows = page.locator("tr[data-name=ranker-1] + tr.detail .evidence")
    assert "endpoint/ranker-1" in follows.inner_text()
    page.locator("[data-search]").fill("ranker-2")
    assert not page.locator(".evidence").is_visible()
    assert page.locator("#count").inner_text() == "1 of 3 shown"


def test_a_print_has_every_finding_and_the_evidence_that_is_unfolded(shown: Any) -> None:
    page = shown(report(*(finding(number) for number in range(1, 84))))
    page.locator(".unfold").nth(0).click()
    page.locator(".unfold").nth(0).click()
    page.locator(".unfold").nth(1).click()
    page.evaluate("addEventListener('beforeprint', () => { window.printed = rowsShown(); })")
    page.evaluate(
        "window.rowsShown = () => [document.querySelectorAll('#findings tbody tr:not(.detail)').length,"
        " ...[...document.querySelectorAll('.detail')].map((row) => row.previousElementSibling.dataset.name)]"
    )
    page.pdf()
    assert page.evaluate("printed") == [83, "ranker-82"]
    assert page.evaluate("rowsShown()") == [80, "ranker-82"]

    page.locator("[data-search]").fill("ranker-83")
    page.pdf()
    assert page.evaluate("printed") == [1]


def test_eighty_three_findings_are_printed_in_twelve_pages_and_no_name_breaks_inside_itself(
    shown: Any,
) -> None:
    paper = {"width": 703, "height": 1032}  # A4 within margins of 12 mm, in CSS pixels
    owner = "mei-ling.zhou@example.com"
    page = shown(
        report(*(finding(n, name=f"catalog-features-{n}", owner=owner) for n in range(1, 84))), paper
    )
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")

    bottom = page.locator(".findings").bounding_box()
    assert page.locator("#findings tbody tr").count() == 83
    assert bottom["y"] + bottom["height"] < 12 * 0.9 * paper["height"], "a tenth is for rows that do not fit"
    lines = page.locator("#findings td[data-label=owner]").first.evaluate(
        "(cell) => { const range = document.createRange(); range.selectNodeContents(cell);"
        " return range.getBoundingClientRect().height / parseFloat(getComputedStyle(cell).lineHeight) }"
    )
    assert lines < 3.5, "the person, the domain, and the team"


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_first_screen_has_the_five_largest_findings_and_their_owners(
    shown: Any, size: dict[str, int]
) -> None:
    spent = Cost(hourly_usd=Decimal("58.75"), accrued_usd=Decimal(99_000))
    many = (finding(n, owner=f"person-{n % 7}@example.com") for n in range(1, 84))
    page = shown(report(finding(100, spent, name="llm-pretrain"), *many, unknown(101)), size)

    shown_first = page.locator(".largest li")
    assert shown_first.count() == 5
    assert shown_first.first.inner_text().split("\n") == [
        "$99,000 so far llm-pretrain",
        "Delete the endpoint (anna)",
    ]
    last = page.locator(".largest h2").last.bounding_box()
    assert last["y"] + last["height"] < size["height"]


def test_a_link_to_a_finding_shows_it_with_its_evidence(shown: Any) -> None:
    page = shown(report(*(finding(number) for number in range(1, 304))))
    page.locator("[data-search]").fill("ranker-303")

    page.locator(".largest a").nth(1).click()
    assert "endpoint/ranker-302" in page.locator(".evidence").inner_text()
    far = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/ranker-2"
    page.evaluate(f"location.hash = encodeURIComponent('{far}')")
    page.locator("tr[data-name=ranker-2] + tr.detail").wait_for()
    assert page.locator("tr[data-name=ranker-2]").is_visible()


def test_findings_are_grouped_by_owner_and_action(shown: Any) -> None:
    stop = "stop it (its volume stays)"
    page = shown(
        report(
            finding(1, owner="ben@example.com"),
            finding(2, owner=None, action=stop),
            finding(3, owner="ben@example.com", action=stop),
            finding(1, Cost(hourly_usd=Decimal(1), accrued_usd=Decimal(900)), name="job", owner=None),
        )
    )

    page.locator("[data-group]").select_option("owner")
    assert page.locator("tr.group").all_inner_texts() == [
        "ben@example.com: 2 findings, $2,920 a month",
        "no owner: 2 findings, $1,460 a month and $900 so far",
    ]
    assert names(page) == ["ranker-3", "ranker-1", "ranker-2", "job"]
    page.locator("[data-group]").select_option("action")
    assert page.locator("tr.group").all_inner_texts() == [
        "Stop it: 2 findings, $3,650 a month",
        "Delete the endpoint: 2 findings, $730 a month and $900 so far",
    ]
    assert not page.locator(".became").first.is_visible()
    page.locator("[data-group]").select_option("")
    assert page.locator("tr.group").count() == 0


def test_long_words_break_at_what_separates_their_parts(shown: Any) -> None:
    page = shown(report(finding(1, name="models/team_a/weights.tar.gz", owner="maria.lopez@example.com")))

    name = page.locator("td.name strong")
    assert name.inner_text() == "models/team_a/weights.tar.gz"
    assert name.inner_html() == "models/<wbr>team_<wbr>a/<wbr>weights.<wbr>tar.<wbr>gz"
    assert page.locator("td[data-label=owner]").inner_html() == (
        'maria.<wbr>lopez@<wbr>example.<wbr>com<br><span class="soft">team search</span>'
    )
    assert add_breaks("it rose (+37 %)") == "it rose (+37\N{NO-BREAK SPACE}%)"
    assert add_breaks("<b>at 03:00, $58.75") == "&lt;b&gt;at 03:00, $58.75"
    assert add_breaks("us-east-1:123456789012:app/x") == "us-east-1:<wbr>123456789012:<wbr>app/<wbr>x"


def test_hostile_names_stay_text(shown: Any) -> None:
    page = shown(report(finding(1, name=HOSTILE, owner=HOSTILE, team=HOSTILE)))

    page.get_by_role("button", name="evidence").click()

    assert page.title().startswith("ML Janitor")
    assert page.locator("main img").count() == 0
    assert names(page) == ["<img src=x onerror=\"document.title='owned'\">\\x1b[31m\\u202e"]


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_nothing_sticks_out(shown: Any, size: dict[str, int]) -> None:
    long_name = "a-very-long-endpoint-name-without-any-blank-" * 3
    spent = Cost(hourly_usd=Decimal("58.75"), accrued_usd=Decimal(15511))
    change = (
        f"aws s3api put-bucket-lifecycle-configuration --bucket b --lifecycle-configuration '{'x' * 900}'"
    )
    found = (finding(1, name=long_name, owner=long_name), finding(2, spent, action=change), unknown(3))
    assert shown(report(*found), size).evaluate("document.documentElement.scrollWidth") <= size["width"]


NODES = """() => {
  const walker = document.createTreeWalker(document, NodeFilter.SHOW_ALL);
  let nodes = 0;
  while (walker.nextNode()) nodes += 1;
  return nodes;
}"""
DRAWN = """async () => {
  await new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)));
  return performance.now();
}"""


def test_twenty_thousand_findings_open_like_two_hundred_and_can_all_be_reached(shown: Any) -> None:
    def of(number: int) -> Report:
        found = (finding(n, owner=f"person-{n % 400}@example.com") for n in range(1, number + 1))
        return report(*found, *(unknown(n) for n in range(number // 10)))

    few, page = shown(of(200)), shown(of(20_000))
    took: dict[Page, list[float]] = {few: [], page: []}
    for opened in [few, page] * 5:
        opened.reload()
        took[opened].append(opened.evaluate(DRAWN))
    assert min(took[page]) < 3 * min(took[few]), took
    assert page.evaluate(NODES) <= 5000
    assert page.locator("#count").inner_text() == "80 of 20000 shown"
    assert page.locator(".bars").nth(1).locator("dt").count() == 10  # nine owners, and the others
    assert page.locator(".bars").nth(1).locator("dt").last.inner_text() == "391 others"
    page.get_by_text("1990 more").click()
    assert "1900 more are in the report as JSON" in page.locator("#unread").inner_text()

    page.get_by_role("button", name="show 80 more of 19920").click()
    page.locator("#findings tbody tr").nth(159).wait_for()
    assert names(page) == [f"ranker-{n}" for n in range(20_000, 19_840, -1)]
    page.locator("[data-filter=owner]").focus()
    page.locator("[data-filter=owner]").select_option(label="person-7@example.com")
    assert names(page) == [f"ranker-{n}" for n in range(19_607, 0, -400)]
    page.get_by_role("button", name="cost").dblclick()  # what costs least comes first
    assert names(page)[0] == "ranker-7"
    page.locator("tr[data-name=ranker-7] .unfold").click()
    assert "endpoint/ranker-7" in page.locator(".evidence").inner_text()


def test_dark_and_print(shown: Any) -> None:
    page = shown(report(finding(1)))
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")

    page.emulate_media(color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    page.emulate_media(media="print")
    assert not page.locator(".filters").is_visible()
    assert page.locator("td.name").first.is_visible()


def test_of_several_accounts_each_is_named_charted_and_filtered_by(shown: Any) -> None:
    other = "222222222222"
    elsewhere, unclear = finding(2), unknown(4)
    moved = [replace(one, target=replace(one.target, account=other)) for one in (elsewhere, unclear)]
    mine = report(finding(1), finding(3)).sweeps[0]
    theirs = replace(mine, account=other, results=tuple(moved), notices=("a rule is off",))
    page = shown(Report(time=NOW, account=None, sweeps=(mine, theirs)))

    assert page.get_by_role("heading", name="By account").is_visible()
    rows = page.locator("#findings tbody tr")
    assert f"idle-endpoints, {other} {REGION}" in rows.filter(has_text="ranker-2").inner_text()
    page.locator("[data-filter=account]").select_option(other)
    assert names(page) == ["ranker-2"]
    assert f"ranker-4 (idle-endpoints, {other} {REGION}):" in page.locator("#unread").inner_text()
    assert f"idle-endpoints in {other} {REGION}: a rule is off" in page.locator("#notices").inner_text()
