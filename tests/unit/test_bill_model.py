"""The plain data of a bill: which days count, and what adds up."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from bills import BEFORE, HOST, LAST, bill, charges, full_report, movement
from ml_janitor.bill.model import Span
from ml_janitor.bill.movements import Cause, total


def test_a_span_ends_before_the_day_that_it_ends_at() -> None:
    span = Span(date(2026, 9, 29), 3)

    assert list(span) == [date(2026, 9, 29), date(2026, 9, 30), date(2026, 10, 1)] == [*span]
    assert (span.last, span.until) == (date(2026, 10, 1), date(2026, 10, 2))
    assert span.last in span
    assert span.until not in span


def test_a_total_is_of_its_days_alone() -> None:
    read = bill(charges(HOST, [*BEFORE, *LAST], price="0.1", quantity="10", tag="support"))

    assert read.total(LAST) == Decimal("30.0") == read.total(read.whole) / 2


def test_credits_and_taxes_are_outside() -> None:
    read = full_report().bill

    assert read.outside(LAST) == {"Tax": Decimal("71.40")}
    assert read.outside(BEFORE) == {"Credit": Decimal(-500)}
    assert read.read_usd == Decimal("0.08")


def test_movers_add_up_to_the_change_but_for_what_only_changed_its_tag() -> None:
    moved = movement()

    assert total(moved.movers) == moved.change == Decimal(23000)
    assert sum(one.usd for one in moved.movers) - moved.change == Decimal(900)
    assert moved.unexplained == Decimal(1200)
    assert moved.share is not None
    assert round(moved.share, 2) == Decimal("0.40")
    assert [one.cause for one in moved.news] == [
        Cause.FINDING,
        Cause.STARTED,
        Cause.PRICE,
        Cause.UNEXPLAINED,
        Cause.TAG,
    ]
