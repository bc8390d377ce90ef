"""The pages: their words and links; and `janitor docs`, with whatever points to one of its pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import prose
from ml_janitor_cli.edge import CommandRefusedError
from ml_janitor_cli.main import main
from ml_janitor_cli.pages import find_pages, find_section
from standin import ROOT
from tables import cases

POINTER = re.compile(r"janitor docs ([a-z-]+)(?: ([A-Z][A-Za-z ]+\w))?")


def test_whatever_names_a_page_or_section_leads_to_it() -> None:
    pages, pointers = find_pages(), set[tuple[str, str]]()
    for folder in ("cli", "functions"):
        for path in (ROOT / folder).rglob("*.py"):
            pointers |= set(POINTER.findall(path.read_text()))

    assert len(pointers) > 5
    for topic, section in pointers:
        assert topic in pages
        if section:
            assert find_section(pages[topic].read_text(), topic, section)
    texts = [path.read_text() for folder in ("cli", "functions") for path in (ROOT / folder).rglob("*.py")]
    shown = [line for text in texts for line in re.findall(r'(?<!"")"[^"\n]*\bdocs/[a-z-]+[^"\n]*"', text)]
    assert [line for line in shown if "docs/aws" not in line and "https://" not in line] == []


def test_a_section_ends_where_the_next_of_its_rank_begins() -> None:
    text = "# Page\n\n## One\n\na\n\n### Inner\n\nb\n\n## Two\n\nc\n"

    assert find_section(text, "page", "one") == "## One\n\na\n\n### Inner\n\nb\n\n"
    assert find_section(text, "page", "Inner") == "### Inner\n\nb\n\n"
    assert find_section(text, "page", "two") == "## Two\n\nc\n"


@cases(
    "args, said",
    (("idle-endpoint",), "no page is called idle-endpoint; did you mean idle-endpoints?"),
    (("privacy", "Nowhere"), "privacy has no section Nowhere; it has 'Personal data'"),
)
def test_what_is_not_there_is_refused(
    args: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["docs", *args]) == 2
    assert said in capsys.readouterr().err


def test_a_page_is_printed_and_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["docs", "operating", "The", "bill"]) == 0
    assert capsys.readouterr().out.startswith("## The bill each morning\n")
    assert main(["docs"]) == 0
    listed = capsys.readouterr().out
    assert re.search(r"^slack +Slack$", listed, re.MULTILINE)
    assert set(re.findall(r"^([a-z-]+) ", listed, re.MULTILINE)) == find_pages().keys()
    assert re.search(r"^report-schema +ML Janitor report$", listed, re.MULTILINE)
    assert main(["docs", "idle-endpoints"]) == 0
    assert "<!-- " not in capsys.readouterr().out
    with pytest.raises(CommandRefusedError):
        find_section("# x", "x", "y")


MOST_WORDS, MOST_OF_DECISIONS = 35_000, 9_000
"""The most words that are written by hand on all pages, and in docs/decisions/."""


def by_hand(path: Path) -> int:
    """
    Count the words of a page that somebody writes and reads: what has a letter or a digit.

    Left out is what a program writes, between `<!-- NAME -->` and `<!-- /NAME -->`, and blocks of code:
    commands, settings, and what they print.
    """
    made = (r"<!-- (\S+) -->\n.*?<!-- /\1 -->", r"^ *```.*?^ *```")
    text = path.read_text()
    for part in made:
        text = re.sub(part, "", text, flags=re.DOTALL | re.MULTILINE)
    return len(re.findall(r"\S*\w\S*", text))


def test_the_pages_are_no_longer_than_somebody_reads() -> None:
    pages = {path for pattern in prose.PAGES for path in ROOT.glob(pattern)}
    decisions = {path for path in pages if path.parent.name == "decisions"}

    assert by_hand(ROOT / "docs" / "cost.md") < 120 < len((ROOT / "docs" / "cost.md").read_text().split())
    assert sum(map(by_hand, pages - decisions)) <= MOST_WORDS
    assert sum(map(by_hand, decisions)) <= MOST_OF_DECISIONS


def anchors(page: Path) -> set[str]:
    """The headings of a page, as links name them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_to_files_and_headings() -> None:
    pages = [ROOT / "CHANGELOG.md", *(path for pattern in prose.PAGES for path in ROOT.glob(pattern))]
    lost = list[str]()

    for page in pages:
        for target in re.findall(r"\]\((?![a-z]+:)([^)\s]+)\)", page.read_text()):
            file, _, anchor = target.partition("#")
            leads = page.parent / file if file else page
            if not leads.exists() or (anchor and anchor not in anchors(leads)):
                lost.append(f"{page.relative_to(ROOT)}: {target}")
    assert lost == []
