"""Six weeks of work: what stands in which week, what is saved by then, and what every report says of it."""

import io
from dataclasses import replace
from decimal import Decimal

from ml_janitor.core.model import Change, Cost, Kept
from ml_janitor.core.money import Totals, count_once
from ml_janitor.core.results import Outcome, Overlap, Report, Result
from ml_janitor.report.html import render_html
from ml_janitor.report.json import report_document
from ml_janitor.report.plan import (
    hours_text,
    lines_below_week,
    plan_headline,
    plan_weeks,
    week_lines,
    week_summary,
)
from ml_janitor_cli.screen import make_console, print_blocks
from ml_janitor_cli.terminal import draw_plan
from reports import ACCOUNT, finding, report_of, result, sweep


def change(name: str, usd: str, kind: Change, *, hours: float = 1.0, once: str | None = None) -> Result:
    """A finding that asks for a change of some kind."""
    cost = Cost.saving(Decimal(usd), once_usd=None if once is None else Decimal(once))
    return replace(result(f"{kind}-adviser", name, finding("x", cost)), change=kind, hours=hours)


ALL = tuple(change(f"one-{kind}", "10", kind) for kind in Change)
RIVAL = change("one-end", "9", Change.RESIZE)


def report(*results: Result) -> Report:
    """A report with *results*, each counted once."""
    sweeps = tuple(sweep(one.detector, one) for one in results)
    return count_once(report_of(*sweeps))


def test_every_kind_of_change_has_its_week() -> None:
    planned = plan_weeks(report(*ALL))

    assert [(week.title, [one.change.value for one in week.changes]) for week in planned] == [
        ("quick wins", ["end", "limit"]),
        ("storage", ["delete-data", "lifecycle"]),
        ("spot", ["spot"]),
        ("right-sizing", ["replace", "resize"]),
        ("commitments", ["commit"]),
        ("monitoring", ["tag"]),
    ]
    assert [week.by_then for week in planned] == [20, 40, 50, 70, 80, 90]


def test_the_weeks_add_up_to_the_report_and_what_is_counted_elsewhere_is_in_none() -> None:
    whole = report(*ALL, RIVAL)
    planned = plan_weeks(whole)

    assert planned[-1].by_then == Totals.of(whole.results).monthly_usd
    assert (len(planned[3].changes), planned[3].instead) == (2, 1)
    assert "and 1 more finding about resources" in " ".join(lines_below_week(planned[3]))


def test_first_what_saves_most_for_an_hour_and_only_five_are_listed() -> None:
    many = [change(f"slow-{number}", f"{number}00", Change.SPOT, hours=8) for number in range(1, 6)]
    quick = change("quick", "99", Change.SPOT, hours=0.5, once="50")
    week = plan_weeks(report(*many, quick))[2]

    assert [name for _, name, _ in week_lines(week)] == [
        "quick, no owner tag", *(f"slow-{number}, no owner tag" for number in (5, 4, 3, 2)),
    ]  # fmt: skip
    assert week_lines(week)[0][0] == "$99.00 a month and $50.00 once, paid back in 15 days"
    assert lines_below_week(week) == ["and 1 more change: $100 a month"]
    assert week.hours == 40.5


def test_hours_are_rounded_to_what_a_guess_is_worth() -> None:
    assert [hours_text(number) for number in (0.25, 1, 2, 9.96, 10, 11.4, 1204)] == [
        "0.25 hours of work",
        "1 hour of work",
        "2 hours of work",
        "10 hours of work",
        "10 hours of work",
        "11 hours of work",
        "1,204 hours of work",
    ]


def test_a_week_without_changes_says_so_and_of_two_accounts_each_is_named() -> None:
    empty = plan_weeks(report(ALL[0]))
    assert week_summary(empty[2]) == "nothing found"
    assert (empty[0].instead, empty[0].accounts) == (0, False)
    here = report(change("a", "10", Change.END))
    other = replace(here.sweeps[0], account="210987654321")
    both = plan_weeks(replace(here, account=None, sweeps=(*here.sweeps, other)))
    assert week_lines(both[0])[0][1] == f"a in {ACCOUNT}, no owner tag"


def test_a_part_that_is_counted_is_a_change_and_one_that_is_not_is_none() -> None:
    part = Overlap(detector="x", arn="arn:a", name="a", monthly_usd=Decimal(0), accrued_usd=Decimal(3))
    results = [
        replace(change(name, "10", Change.END), overlap=overlap)
        for name, overlap in (("part", part), ("none", replace(part, accrued_usd=Decimal(0))))
    ]
    week = plan_weeks(report_of(sweep("x", *results)))[0]
    assert ([one.target.name for one in week.changes], week.instead) == (["part"], 1)


def test_what_is_done_or_changed_needs_no_work() -> None:
    done, changed = (
        replace(change(name, "10", Change.END), outcome=outcome)
        for name, outcome in (("a", Outcome.ACTED), ("b", Outcome.CHANGED))
    )

    assert plan_headline(plan_weeks(report(done, changed))) == "Nothing to do was found."


def test_the_last_week_says_what_keeps_it_small() -> None:
    dark = result("idle-endpoints", "dark", Kept(reason="no metrics", unknown=True))
    advised = replace(change("s", "1", Change.SPOT), outcome=Outcome.ADVISED)

    (arm, unread, bill) = plan_weeks(report(change("a", "10", Change.END), ALL[-1], advised, dark))[-1].advice
    assert arm == (
        "Arm end-adviser to clean up proven findings after a warning (1 today): janitor docs arming says how."
    )
    assert (
        unread
        == "Find out about 1 resource that could not be judged: the plan leaves out what could not be read."
    )
    assert "bill" in bill
    assert plan_weeks(report(replace(ALL[0], outcome=Outcome.WARNED)))[-1].advice == (bill,)


def test_every_report_has_the_plan_if_it_is_asked_for() -> None:
    whole = report(*ALL)
    stream = io.StringIO()
    print_blocks(draw_plan(whole), make_console(stream))

    assert "week 3  spot  $10.00 a month, 1 change, 1 hour of work" in stream.getvalue()
    assert "$90.00 a month saved by then" in stream.getvalue()
    assert "Week 3: spot" in render_html(whole, plan=True)
    assert "Week 3: spot" not in render_html(whole)
    shown = report_document(whole, plan=True)["plan"]
    assert [(one["week"], one["monthly_usd"], one["by_then_monthly_usd"]) for one in shown][:2] == [
        (1, 20.0, 20.0),
        (2, 20.0, 40.0),
    ]
    assert shown[2]["changes"] == [{"detector": "spot-adviser", "arn": ALL[3].target.arn}]
    assert report_document(whole)["plan"] is None
