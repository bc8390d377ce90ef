"""The plain data of a bill: which days count, and what adds up."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from statistics import fmean, median
from typing import Any

import pytest

from bench.forecasts import compare
from bills import BEFORE, HOST, LAST, STORED, bill, charges, full_report, movement, part
from ml_janitor.bill.model import (
    ZERO,
    Bill,
    Charge,
    ComparisonKind,
    CostMetric,
    DaySpan,
    Forecast,
    Mover,
    MoverCause,
    Phase,
    RecordCharge,
    break_down,
    total_change,
)
from ml_janitor.bill.report import BudgetState, budget_states, expected_spend, forecast_part
from ml_janitor.core.durations import DAY
from tables import cases


def test_a_span_ends_before_the_day_that_it_ends_at() -> None:
    span = DaySpan(date(2026, 9, 29), 3)

    assert list(span) == [date(2026, 9, 29), date(2026, 9, 30), date(2026, 10, 1)] == [*span]
    assert (span.last, span.until) == (date(2026, 10, 1), date(2026, 10, 2))
    assert span.last in span
    assert span.until not in span


def test_a_total_is_of_its_days_alone() -> None:
    read = bill(charges(HOST, [*BEFORE, *LAST], price="0.1", quantity="10", tag="support"))

    assert read.total(BEFORE) == read.total(LAST) == Decimal("30.0") == read.total(read.whole) / 2


def test_credits_and_taxes_are_outside() -> None:
    read = full_report().bill

    assert read.outside(LAST) == {"Tax": Decimal("71.40")}
    assert read.outside(BEFORE) == {"Credit": Decimal(-500)}
    assert read.read_usd == Decimal("0.08")
    assert Bill(account="1", time=read.time, first=LAST.first, until=LAST.until).read_usd == 0


def test_movers_add_up_to_the_change_but_for_what_only_changed_its_tag() -> None:
    moved = movement()

    assert total_change(moved.movers) == moved.change == Decimal(23000)
    assert sum(one.usd for one in moved.movers) - moved.change == Decimal(900)
    assert moved.unexplained == Decimal(1200)
    assert moved.share is not None
    assert round(moved.share, 2) == Decimal("0.40")
    assert [one.cause for one in moved.news] == [
        MoverCause.FINDING,
        MoverCause.STARTED,
        MoverCause.PRICE,
        MoverCause.UNEXPLAINED,
        MoverCause.TAG,
    ]


@cases(
    "kind, before, told",
    (ComparisonKind.DAYS, 2000, [60, 50, -40]),  # exactly 5 %
    (ComparisonKind.DAYS, 2001, []),
    (ComparisonKind.DAYS, 0, [60, 50, -40]),
    (ComparisonKind.DAY, 2000, []),  # a weekday may differ from the week before
    (ComparisonKind.MONTH_TO_DATE, 2000, []),
)
def test_its_largest_parts_explain_a_total(kind: ComparisonKind, before: int, told: list[int]) -> None:
    """One job of $15,511 was no more than usual: the message said "+82 %", and that nothing moved."""
    line = part(STORED, "vision", Phase.STORAGE, "6100", "6100", usual=Decimal(60))
    amounts = [60, 50, -40, 30]
    movers = tuple(Mover(usd=Decimal(usd), cause=MoverCause.CHANGED, part=line) for usd in amounts)
    moved = replace(
        movement(), movers=movers, usd_before=Decimal(before), usd_after=Decimal(before + sum(amounts))
    )
    moved = replace(moved, comparison=replace(moved.comparison, kind=kind))

    assert all(mover.ordinary for mover in movers)
    assert moved.news == ()
    assert [mover.usd for mover in moved.largest] == told
    assert [mover.usd for mover in break_down(moved, 3).movers] == [60, 50, -40]
    assert not replace(moved, usd_after=moved.usd_before).largest
    small = replace(movers[3], usd=Decimal(4))  # less than 5 % of the whole
    news = replace(small, usd=Decimal(2), cause=MoverCause.FINDING)
    assert [
        mover.usd for mover in break_down(replace(moved, movers=(*movers[:2], small, news)), 3).movers
    ] == [60, 50, 2]
    renamed = replace(movers[0], cause=MoverCause.TAG)
    assert break_down(replace(moved, movers=(*movers, renamed)), 3).moved_tags == (renamed,)
    assert not replace(moved, movers=(renamed, small)).largest
    exact = replace(small, usd=Decimal(5))
    assert bool(replace(moved, movers=(exact,)).largest) is bool(told)
    assert break_down(replace(moved, movers=(small, exact)), 1).movers == (exact,)


def test_what_is_kept_of_a_bill_goes_on_with_what_was_read_since() -> None:
    first, second, third = (BEFORE.first + number * DAY for number in range(3))

    def read(of: date, usd: int, **more: Any) -> Bill:
        days = [of + number * DAY for number in range(3)]
        rows = tuple(Charge(day=day, usage_type=HOST, tag="llm", usd=Decimal(usd)) for day in days)
        made = replace(
            bill(rows, first=of),
            by_account=rows,
            records=(RecordCharge(day=of, record_type="Tax", usd=Decimal(usd)),),
            estimated=frozenset(days),
        )
        return replace(made, **more)

    kept, fresh = read(first, 1), read(third, 2)
    assert fresh.after(kept, second) == replace(
        fresh,
        first=second,
        charges=(kept.charges[1], *fresh.charges),
        by_tag={"project": (kept.by_tag["project"][1], *fresh.by_tag["project"])},
        by_account=(kept.by_account[1], *fresh.by_account),
        estimated=fresh.estimated | {second},
    )
    assert fresh.after(kept, first).records == (*kept.records, *fresh.records)
    assert fresh.after(kept, first).estimated == fresh.estimated | {first, second}
    assert replace(fresh, estimated=frozenset()).after(kept, first).estimated == {first, second}
    alone = replace(fresh, by_account=(), by_tag={"team": fresh.by_tag["project"]}).after(kept, first)
    assert (alone.by_account, alone.by_tag) == ((), {"team": fresh.by_tag["project"]})
    amortized = replace(kept, metric=CostMetric.AMORTIZED)
    assert fresh.after(amortized, first) == fresh


@cases(
    "cause, usd, line, with_usage, ordinary",
    (MoverCause.STARTED, 900, 60, False, True),  # the line did not jump: others ended
    (MoverCause.STARTED, 5, 61, False, False),
    (MoverCause.ENDED, -60, 61, False, True),  # against the line
    (MoverCause.ENDED, -61, 61, False, False),
    (MoverCause.ENDED, -5, -61, False, False),
    (MoverCause.STARTED, 5, 9, True, False),  # its usage type jumped
    (MoverCause.UNEXPLAINED, 5, -60, False, True),
    (MoverCause.CHANGED, 0, 61, False, True),
    (MoverCause.CHANGED, 0.01, 61, False, False),
    (MoverCause.FINDING, 5, 0, False, False),
    (MoverCause.TAG, 5, 0, False, False),
)
def test_no_more_than_usual_is_no_news(
    cause: MoverCause, usd: float, line: int, *, with_usage: bool, ordinary: bool
) -> None:
    of = part(
        STORED, "vision", Phase.STORAGE, "100", f"{100 + line}", usual=Decimal(60), usage_jumped=with_usage
    )

    assert Mover(usd=Decimal(usd), cause=cause, part=of).ordinary == ordinary


FORECAST = Forecast(first=date(2026, 10, 1), until=date(2026, 11, 1), usd=Decimal(900), low=ZERO, high=ZERO)


def test_an_unsettled_day_costs_what_its_weekday_did_in_the_four_weeks_before() -> None:
    today = date(2026, 10, 30)
    weeks = [
        charges(HOST, [today - week * 7 * DAY], price="1", quantity=usd, tag="llm")[0]
        for week, usd in enumerate(("1", "8", "8", "12", "12", "99"))
    ]

    assert expected_spend(weeks, DaySpan(today, 1), today) == 10
    assert expected_spend(weeks, DaySpan(today, 1), today + DAY) == 1


@cases(
    "until, spent, expected, of_part",
    (date(2026, 10, 1), 300, 300, 300),  # September is over, whatever October's forecast is
    (date(2026, 10, 2), 10, 910, 310),
    (date(2026, 9, 30), 290, 1190, 300),
    (date(2026, 3, 1), 280, 280, 280),
    (date(2026, 2, 15), 140, 1040, 280),
)
def test_a_budget_is_of_the_last_month(until: date, spent: int, expected: int, of_part: int) -> None:
    first = until - 70 * DAY
    days = [first + number * DAY for number in range(70)]
    read = replace(
        bill(charges(HOST, days, price="1", quantity="10", tag="llm"), first=first, until=until),
        forecast=FORECAST,
    )

    whole, own = budget_states(read, 500, {"project=llm": 7, "owner=mia": 8}, until)

    assert whole == BudgetState(usd=Decimal(500), spent=Decimal(spent), expected=Decimal(expected))
    assert own == BudgetState(
        usd=Decimal(7), spent=Decimal(spent), expected=Decimal(of_part), tag="project", value="llm"
    )
    (blind,) = budget_states(replace(read, forecast=None), 500, {}, until)
    assert blind.expected == (None if expected != spent else spent)
    (unused,) = budget_states(read, 0, {"project=nobody": 5}, until)
    assert [unused.spent, unused.expected] == [0, 0]
    assert not list(budget_states(replace(read, charges=()), 500, {}, until))


TODAY = date(2026, 10, 16)


@cases(
    "by_days_ago, expected",
    (dict.fromkeys(range(1, 61), 10), 150),
    ({number: 10 for number in range(1, 61) if (TODAY - number * DAY).weekday() < 5}, 110),
    (dict.fromkeys(range(8, 61), 10), 0),  # it ended a week ago
    (dict.fromkeys(range(3, 61), 10), 110 + 4 * 10 * 7 / 15),  # it rests for two days
    (dict.fromkeys(range(1, 5), 10), 150),  # it began four days ago
    (dict.fromkeys((1, 2, 3), 10), 6 * 10 * 8 / 15),  # too young to go on every day
    (dict.fromkeys((1, 8, 15, 22), 10), 20),  # once a week
    (dict.fromkeys((7, 14, 21, 28), 10), 30),
    (dict.fromkeys((8, 15, 22), 10), 0),  # it rests longer than ever
    ({**dict.fromkeys(range(1, 28), 10), 28: 25}, 153),  # the weekday of four weeks ago counts once in 15
    (dict.fromkeys(range(1, 27), 10), 100 + 5 * 140 / 15),  # a rest of two days before it is none
    ({**dict.fromkeys(range(1, 25), 10), 25: 25}, 152),
    ({**dict.fromkeys(range(1, 7), 10), 7: 80}, 360),  # a week old
    ({**dict.fromkeys(range(1, 6), 10), 6: 70}, 300),  # six days old: by their mean
    ({}, 0),
)
def test_a_part_goes_on_as_in_its_last_weeks(by_days_ago: Mapping[int, int], expected: float) -> None:
    rows = [
        row
        for number, usd in by_days_ago.items()
        for row in charges(HOST, [TODAY - number * DAY], price="1", quantity=f"{usd}", tag="llm")
    ]

    assert forecast_part(rows, TODAY, TODAY + 15 * DAY, TODAY) == pytest.approx(Decimal(expected))


def test_a_part_s_forecast_beats_the_month_so_far_and_the_last_week() -> None:
    ours, *others = ((fmean(errors), median(errors)) for errors in compare(1000, 5).values())

    assert all(ours[0] < mean and ours[1] < middle for mean, middle in others)
