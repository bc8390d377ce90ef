"""The pages: their words and links; and `janitor docs`, with whatever points to one of its pages."""

import re
import shlex
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

import prose
from ml_janitor_cli.edge import CommandRefusedError
from ml_janitor_cli.main import _command, main
from ml_janitor_cli.pages import find_pages, find_section
from narrowing import not_none
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


def typed(page: Path) -> list[list[str]]:
    """What a page has its reader type, in words: each command of its console blocks."""
    blocks = re.findall(r"^ *```console\n(.*?)^ *```", page.read_text(), re.MULTILINE | re.DOTALL)
    joined = [re.sub(r"\\\n *", "", block) for block in blocks]
    lines = [line for block in joined for line in re.findall(r"^ *\$ (.+)$", block, re.MULTILINE)]
    parts = [part for line in lines for part in re.split(r" (?:\||&&) ", re.sub(r" +>\s*\S+", "", line))]
    return [shlex.split(part, comments=True) for part in parts]


NOT_OURS = {
    "conftest",
    "git",
    "janitor-kit",
    "jq",
    "opa",
    "pipx",
    "pre-commit",
    "printf",
    "read",
    "terraform",
    "uvx",
}
"""Programs whose commands nothing here checks; the kit's own tests run its command."""

AWS_CUSTOM = {"s3", "cloudformation deploy"}
"""Commands of the AWS CLI that no operation of an API stands behind."""


AWS_OPTIONS = {
    "--cli-binary-format",
    "--notification-endpoint",
    "--output",
    "--profile",
    "--query",
    "--region",
}
"""Options of every command of the AWS CLI, and the one that it calls otherwise than the API."""


def check_janitor(words: list[str], command: Any, parent: Any = None) -> None:
    """Read the *words* as *command* would, without running it: a wrong option or name raises."""
    context = command.make_context(command.name, words, parent=parent)
    if hasattr(command, "resolve_command"):
        _, inner, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        check_janitor(rest, inner, context)


def check_aws(words: list[str]) -> None:
    """Find the operation and its members in the API that an AWS CLI command calls."""
    service, operation, *options = words
    if {service, f"{service} {operation}"} & AWS_CUSTOM:
        return
    model = botocore.session.get_session().get_service_model(service)
    shape = {xform_name(name, "-"): name for name in model.operation_names}[operation]
    members = not_none(model.operation_model(shape).input_shape).members
    known = {f"--{xform_name(member, '-')}" for member in members} | AWS_OPTIONS
    assert {option for option in options if option.startswith("--")} <= known


def test_every_command_of_a_page_exists_with_its_options() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    checked = 0
    for page in (page for pattern in prose.PAGES for page in ROOT.glob(pattern)):
        for words in typed(page):
            program, *rest = [word for word in words if not re.match(r"\w+=", word)] or ["read"]
            match Path(program).name:
                case "janitor":
                    check_janitor(rest, _command())
                case "make":
                    assert rest[0] in targets
                case "aws":
                    check_aws(rest)
                case other:
                    assert other in NOT_OURS, f"{page}: {words}"
                    continue
            checked += 1
    assert checked > 80
