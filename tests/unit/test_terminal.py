"""The report in a terminal and in a pipe: everything a reader needs, aligned, and nothing hostile."""

import io
import os
import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.text import Text

from ml_janitor.core.model import Change, Cost, Kept, Target, Verdict
from ml_janitor.core.results import Report, Result, Sweep
from ml_janitor.report.html import render_html
from ml_janitor_cli.screen import draw_beside_ids, draw_facts, draw_head, make_console, print_blocks
from ml_janitor_cli.terminal import draw_plan, print_report, reason_pattern
from reports import ACCOUNT, NOW, finding, full, printed, report_of, result, standing, sweep
from tables import cases

HOSTILE = "\x1b[31mred\x1b[0m [bold]x[/bold] \x07\x9b2J\u202egnp\u200b\n\r\tend :smile:"


def of(*results: Result) -> Report:
    """A report of one sweep."""
    return report_of(sweep("shelf", *results))


def flat(text: str) -> str:
    """*text* with its line breaks undone."""
    return " ".join(text.split())


@cases(
    "cost, said",
    (standing(None), "unknown"),
    (None, "- "),
    (standing("0.001"), "$0.73"),
    (standing("0.1"), "$73.00"),
    (standing("1000"), "$730,000"),
    (Cost.exposed(Decimal(5)), "$5.00"),
    (Cost.exposed(Decimal(5)), "at risk"),
    (
        Cost.saving(Decimal(7), once_usd=Decimal(14)),
        "Making the change costs $14.00 once, paid back in 60 days.",
    ),
    (Cost(once_usd=Decimal(14)), "Making the change costs $14.00 once."),
)
def test_amounts(cost: Cost | None, said: str) -> None:
    shown = printed(of(result("shelf", "a", finding("x", cost))))

    assert any(line.strip().startswith(said) for line in shown.splitlines())


def test_different_actions_are_said_with_each_finding() -> None:
    shown = printed(of(*[result("shelf", name, finding("x", None, action=f"do {name}")) for name in "ab"]))

    assert shown.index("Proposed: do a") < shown.index("Proposed: do b")


@pytest.mark.parametrize("columns", [60, 80, 100, 120])
def test_a_fitting_name_is_neither_cut_nor_broken(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    names = ["a", "weekly-metrics-of-everything/JupyterLab/default"]
    owners = ["o@example.com", "a-person-with-a-long-name@some.example.com"]
    address = "s3://models/search/ranker/2026/model.tar.gz"
    long_address = f"s3://models/{'deep/' * 40}end"
    report = of(
        *(
            result(
                "shelf", name, finding(f"same as {address} and {long_address}", standing("1")), owner=owner
            )
            for name in names
            for owner in owners
        ),
        result("shelf", "k", Kept(reason=f"used by {address}, {long_address}")),
        result("shelf", "u", Kept(reason=f"no {address}, {long_address}", unknown=True)),
    )

    shown = printed(report)

    for whole in (*names, *owners, address, "shelf"):
        assert whole in shown
    assert "…" not in shown
    assert "".join(shown.split()).count(long_address) == 6
    assert max(map(len, shown.splitlines())) <= columns


def test_advice_is_not_since_any_time() -> None:
    advice = replace(result("shelf", "a", finding("x", None, days=None)), change=Change.SPOT)

    assert "since" not in printed(of(advice))


def test_many_unknowns_with_one_reason_take_one_place() -> None:
    results = [
        result("shelf", f"dark-{number:03}", Kept(reason="AccessDenied", unknown=True))
        for number in range(300)
    ]

    shown = printed(of(*results))

    assert "shelf: dark-000, dark-001, dark-002, dark-003, dark-004, dark-005 and 294 more" in flat(shown)
    assert shown.count("AccessDenied") == 1


def test_an_error_of_every_sweep_is_said_once() -> None:
    shown = printed(report_of(*(sweep(name, error="no network") for name in ("a", "b")), account=None))

    assert shown.startswith("ML Janitor  Nothing could be read.\naccount unknown")
    assert shown.endswith("dry run, nothing changed\n\nno network\n")


def test_what_the_reading_came_across_besides_is_listed_here_and_on_the_page() -> None:
    report = report_of(replace(sweep("copies"), notices=("model m names <x>",)))

    assert "Also noticed\n  copies in us-east-1\n    model m names <x>\n" in printed(report)
    assert "<li>copies: model m names &lt;x&gt;</li>" in render_html(report)


def test_nothing_found_is_only_said_of_what_was_read() -> None:
    used = result("shelf", "a", Kept(reason="used"))

    assert "Nothing wasteful found." in printed(of(used))
    assert "Nothing was looked at: the detectors judge nothing that is here." in flat(printed(of()))
    broken = report_of(sweep("shelf", used, error="broke off"))
    for read in (broken, report_of(sweep("shelf"), sweep("cellar", error="denied"))):
        assert "Nothing wasteful in what could be read." in printed(read)
    assert "No detector ran." in printed(report_of())


def test_kept_ones_are_summed_up_by_their_commonest_reasons() -> None:
    reasons = [f"{number} requests in 7 days" for number in (1204, 3, 1)] + ["tagged keep=true"] * 2
    shown = printed(of(*[result("shelf", f"k{n}", Kept(reason=reason)) for n, reason in enumerate(reasons)]))

    assert "  kept  3  like: 1204 requests in 7 days\n        2  tagged keep=true\n" in shown
    assert "k0" not in shown


@cases(
    "one, other",
    ("3,612 requests in 7 days", "1 request in 7 days"),
    ("it last logged 1 minute ago", "it last logged 12 minutes ago"),
    ("deployed on 2026-10-05", "deployed on 2026-10-01"),
)
def test_reasons_that_differ_in_numbers_only_are_alike(one: str, other: str) -> None:
    assert reason_pattern(one) == reason_pattern(other) != reason_pattern("tagged keep=true")


def test_where_prices_came_from_is_admitted() -> None:
    shown = flat(printed(full(), problems=("pricing:GetProducts: AccessDenied",)))

    assert "1 finding priced from the price table that comes with the janitor" in shown
    assert "Prices could not be asked for: pricing:GetProducts: AccessDenied" in shown
    listed = printed(of(result("shelf", "a", finding("x", standing("1")))))
    assert "price table" not in listed


def test_regions_are_named_where_there_are_several() -> None:
    here = result("shelf", "a", finding("x", standing("1")))
    there = result("shelf", "b", finding("x", standing("2")), region="eu-west-1")
    report = of(here)
    assert printed(report).count("us-east-1") == 1

    both = replace(report, sweeps=(sweep("shelf", here), sweep("shelf", there, region="eu-west-1")))
    assert re.search(r"\$1,460 +b .*eu-west-1 +proven\n(.*\n)+.*\$730 +a .*us-east-1 +proven", printed(both))


@pytest.mark.parametrize("page", ["all-100", "short-60", "plan-80"])
def test_a_whole_page_is_as_it_was_looked_at(monkeypatch: pytest.MonkeyPatch, page: str) -> None:
    """REWRITE=1 writes the pages anew: look at them before you commit them."""
    kind, _, columns = page.partition("-")
    monkeypatch.setenv("COLUMNS", columns)
    stream, file = io.StringIO(), Path(__file__).with_name(f"terminal-{page}.txt")
    if kind == "plan":
        print_blocks([*draw_plan(full())][1:3], make_console(stream))
    else:
        print_report(make_console(stream), full(), every=kind == "all")
    if os.environ.get("REWRITE"):
        file.write_text(stream.getvalue(), "utf-8")

    assert stream.getvalue() == file.read_text("utf-8")


@pytest.mark.parametrize("columns", ["60", "80", "100", "140"])
@pytest.mark.parametrize("every", [True, False])
def test_it_fits_and_ends_its_lines_cleanly(
    monkeypatch: pytest.MonkeyPatch,
    columns: str,
    every: bool,  # noqa: FBT001
) -> None:
    monkeypatch.setenv("COLUMNS", columns)

    lines = printed(full(), every=every, problems=("x " * 100,)).split("\n")

    assert max(map(cell_len, lines)) == int(columns)
    assert not [line for line in lines if line != line.rstrip()]
    assert lines[-1] == ""
    assert "\n\n\n" not in "\n".join(lines)


def test_a_pipe_gets_no_escape_codes_and_a_terminal_does(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    screen = Screen()

    print_report(make_console(screen), full())

    assert "\x1b[1m" in screen.getvalue()
    assert "\x1b" not in printed(full())
    literal, text = Screen(), "[b]bold[/b] :smile: 12.5 'quoted' True"
    make_console(literal).print(text)
    assert literal.getvalue() == f"{text}\n"


def test_facts_and_ids_stand_beside_what_is_said_of_them() -> None:
    facts, long = draw_facts([("account", "1"), ("a longer subject", Text("2"))]), "word " * 30
    console = make_console(io.StringIO())
    with console.capture() as captured:
        console.print(
            facts,
            draw_beside_ids([("id-1", ["a", "b"]), ("id-2", [long])]),
            draw_head(Text("left"), Text("right")),
        )

    assert [line.rstrip() for line in captured.get().splitlines()] == [
        "account           1",
        "a longer subject  2",
        "  id-1  a",
        "        b",
        f"  id-2  {('word ' * 18).rstrip()}",
        f"        {('word ' * 12).rstrip()}",
        f"left{'right':>96}",
        "─" * 100,
    ]


def test_what_is_not_complete_in_several_accounts_is_said_account_by_account() -> None:
    def at(detector: str, account: str, region: str, error: str | None) -> Sweep:
        return replace(sweep(detector, error=error, region=region), account=account)

    closed = [at(name, "1", region, "no role") for name in ("lamps", "shelf") for region in ("east", "west")]
    partly = [at("lamps", "2", "east", "no role"), at("shelf", "2", "east", None)]
    shown = flat(printed(report_of(*closed, *partly, account=None)))

    assert "2 accounts east, west" in shown
    assert "Not complete: 5 of 6 sweeps every detector in 1 east, west; lamps in 2 east no role" in shown


def test_hostile_text_is_written_out_everywhere() -> None:
    target = Target(arn="arn:x", name=HOSTILE, kind="thing", account=ACCOUNT, region="us-east-1", created=NOW)
    waste = finding(HOSTILE, standing("1"), action=HOSTILE, unread=HOSTILE)
    verdicts: tuple[Verdict, ...] = (waste, Kept(reason=HOSTILE), Kept(reason=HOSTILE, unknown=True))
    results = [
        replace(result("shelf", "x", verdict, owner=HOSTILE), target=replace(target, arn=f"arn:{number}"))
        for number, verdict in enumerate(verdicts)
    ]
    report = report_of(sweep("shelf", *results, error=HOSTILE), account=HOSTILE)

    for every in (True, False):
        shown = printed(report, every=every, problems=(HOSTILE,))

        assert not [c for c in shown if c != "\n" and (not c.isprintable() or c in "\u202e\u200b")]
        assert "[bold]x[/bold]" in shown
        assert ":smile:" in shown
        assert r"\x1b[31mred\x1b[0m" in shown


def test_a_very_long_name_is_folded_and_cut() -> None:
    assert 200 < printed(of(result("shelf", "W" * 1_000, finding("x", standing("1"))))).count("W") < 300
