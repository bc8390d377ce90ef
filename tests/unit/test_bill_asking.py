"""What is asked of a bill: which pages, by which calls, and which days are compared with which."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from bills import HOST, bill, charges
from fakes import TRUST
from ml_janitor.bill.model import Bill, DaySpan, SpanComparison
from ml_janitor.bill.reading import (
    BILL_DAYS,
    BillAccounts,
    BillQuestion,
    BillRequest,
    bill_accounts,
    bill_question,
    bill_reads,
    bill_request,
    chosen_tags,
    cost_explorer_reads,
    request_warnings,
)
from ml_janitor.bill.resources import RESOURCE_READS
from ml_janitor.config.sections import BillSection, OrganizationSection, bill_tags
from ml_janitor.config.settings import Settings
from tables import cases

ONE_ACCOUNT = {"accounts": ["111111111111"], **TRUST}


def section(**settings: Any) -> BillSection:
    return Settings.parse({"bill": settings}).bill


# --- what is read -----------------------------------------------------------------------------


@cases("asked, days, span", (0, BILL_DAYS, 30), (31, BILL_DAYS, 31), (32, 66, 32), (60, 122, 60))
def test_a_bill_reads_the_span_before(asked: int, days: int, span: int) -> None:
    found = bill_request(section(), days=asked)

    assert (found.days, found.span) == (days, span)
    assert BILL_DAYS == 65  # 31 days to date, the 31 of the month before, and 3 that a month may begin late


def test_what_is_read_comes_from_the_settings() -> None:
    named = {"project": "app", "owner": "", "squad": "Squad"}
    own = section(tags=named, services=["S3"], budgets={"squad=nlp": 5.0})
    group = BillAccounts(names={"1": "one"})

    assert bill_request(own, shown=["project"], check_tags=True, accounts=group) == BillRequest(
        days=65,
        tags={"project": "app", "squad": "Squad"},
        services=("S3",),
        check_tags=True,
        chosen=frozenset({"app", "Squad"}),
        first=("squad",),
        accounts=group,
        span=30,
        settling_days=2,
        shown=("project",),
    )
    assert bill_request(section()).check_tags is False
    assert (BillRequest().where, BillRequest(accounts=group).where) == ((), group.where)
    assert (BillRequest().days, BillRequest().span, BillRequest().check_tags) == (65, 30, False)
    assert list(bill_tags(section())) == ["project", "owner", "environment", "team", "cost-center"]
    assert chosen_tags(section()) == frozenset()
    assert bill_question(own, days=7, against=DaySpan(date(2026, 9, 1), 7)) == BillQuestion(
        days=7, settling_days=2, tags=("project", "squad"), against=DaySpan(date(2026, 9, 1), 7)
    )
    assert bill_question(section()) == BillQuestion(
        days=30, settling_days=2, tags=tuple(bill_tags(section()))
    )


@cases(
    "settings, names, found",
    ({}, {}, None),
    ({"units": ["ou-abcd-11111111"]}, {}, None),  # those of a unit are known once they were listed
    ({"accounts": ["111111111111"]}, {}, BillAccounts(names={"111111111111": ""})),
    (
        {"accounts": ["111111111111"]},
        {"111111111111": "one", "222222222222": "two"},
        BillAccounts(names={"111111111111": "one", "222222222222": "two"}),
    ),
    (
        {"all_accounts": True, "without": ["333333333333"]},
        {},
        BillAccounts(names={}, everything=True, without=("333333333333",)),
    ),
)
def test_the_accounts_of_an_organization_are_those_that_are_named_or_known(
    settings: dict[str, Any], names: dict[str, str], found: BillAccounts | None
) -> None:
    assert bill_accounts(OrganizationSection.model_validate(settings), names) == found


@cases(
    "settings, checks",
    ({}, {"ce:ListCostAllocationTags"}),
    ({"services": ["S3"]}, {"ce:ListCostAllocationTags", "ce:GetDimensionValues"}),
    ({"tags": {"project": "app"}}, {"ce:ListCostAllocationTags", "ce:GetTags"}),
)
def test_name_checks_are_granted_where_names_are_checked(settings: dict[str, Any], checks: set[str]) -> None:
    own = section(**settings)

    assert {one.action for one in cost_explorer_reads(own)} == {
        "ce:GetCostAndUsage",
        "ce:GetCostForecast",
        *checks,
    }
    assert bill_reads(own) == (*cost_explorer_reads(own), *RESOURCE_READS)


@cases(
    "bill, organization, least",
    ({"max_requests": 7}, {}, 8),
    ({"max_requests": 8}, {}, None),
    ({"max_requests": 4, "tags": {"project": "app"}}, {}, None),
    ({"max_requests": 3, "tags": {"project": "app"}}, {}, 4),
    ({"max_requests": 7, "enabled": False}, {}, None),
    ({"max_requests": 8, "enabled": False}, {}, None),
    ({"max_requests": 9}, ONE_ACCOUNT, 10),
    ({"max_requests": 10}, ONE_ACCOUNT, None),
)
def test_fewer_pages_than_a_reading_has_parts_are_warned_about(
    bill: dict[str, Any], organization: dict[str, Any], least: int | None
) -> None:
    settings = Settings.parse({"bill": {"enabled": True, **bill}, "organization": organization})

    warned = request_warnings(settings)

    assert len(warned) == (least is not None)
    assert all(f"asks for {least} pages at least" in one for one in warned)


# --- what is compared -------------------------------------------------------------------------


def read(first: date, until: date, *, charged: date | None = None, now: datetime | None = None) -> Bill:
    days = [date.fromordinal(one) for one in range((charged or first).toordinal(), until.toordinal())]
    made = bill(charges(HOST, days, price="1", quantity="1", tag="llm"), first=first, until=until)
    return replace(made, time=now or datetime.combine(until, datetime.min.time(), UTC))


ASKED = BillQuestion(days=7, settling_days=1, tags=())


def days(found: SpanComparison | None) -> tuple[str, ...] | None:
    return (
        None
        if found is None
        else tuple(f"{one.first:%m-%d} {one.days}" for one in (found.after, found.before))
    )


@cases(
    "until, compared",
    (date(2026, 4, 1), ("03-01 28", "02-01 28")),  # the month before is shorter
    (date(2026, 3, 2), ("03-01 1", "02-01 1")),
    (date(2026, 3, 1), ("02-01 28", "01-01 28")),  # on its first day, the month that is over
    (date(2026, 3, 29), ("03-01 28", "02-01 28")),
    (date(2026, 1, 3), ("01-01 2", "12-01 2")),
    (date(2026, 1, 1), ("12-01 30", "11-01 30")),
)
def test_the_month_to_date_is_compared_with_as_many_days(until: date, compared: tuple[str, ...]) -> None:
    assert days(ASKED.month_to_date(read(date(2025, 10, 1), until))) == compared


def test_the_last_settled_day_is_compared_with_that_weekday_of_the_week_before() -> None:
    until, first = date(2026, 10, 6), date(2026, 8, 1)

    for settling, compared in (
        (0, ("10-05 1", "09-28 1")),
        (1, ("10-05 1", "09-28 1")),
        (2, ("10-04 1", "09-27 1")),
    ):
        assert days(replace(ASKED, settling_days=settling).settled_day(read(first, until))) == compared


@cases(
    "settling, spans, month",
    (1, ("09-29 7", "09-22 7"), ("10-01 5", "09-01 5")),
    (2, ("09-28 7", "09-21 7"), ("10-01 4", "09-01 4")),
    (4, ("09-26 7", "09-19 7"), ("10-01 2", "09-01 2")),
    (6, ("09-24 7", "09-17 7"), ("09-01 30", "08-01 30")),  # no day of October is settled
)
def test_unsettled_days_do_not_compare(settling: int, spans: tuple[str, ...], month: tuple[str, ...]) -> None:
    asked, found = replace(ASKED, settling_days=settling), read(date(2026, 7, 1), date(2026, 10, 6))

    assert (days(asked.asked(found)), days(asked.month_to_date(found))) == (spans, month)


@cases(
    "first, charged, compares",
    (date(2026, 9, 22), date(2026, 9, 22), True),
    (date(2026, 9, 23), date(2026, 9, 23), False),
    (date(2026, 9, 1), date(2026, 9, 22), True),
    (date(2026, 9, 1), date(2026, 9, 23), False),
)
def test_only_days_within_the_bill_are_compared(first: date, charged: date, *, compares: bool) -> None:
    found = read(first, date(2026, 10, 6), charged=charged)

    assert (ASKED.asked(found) is not None) == compares
    against = replace(ASKED, against=DaySpan(date(2026, 9, 22), 3))
    assert (days(against.asked(found)) == ("09-29 7", "09-22 3")) == compares
    free = replace(found, charges=tuple(replace(one, usd=one.usd * 0) for one in found.charges))
    assert ASKED.asked(free) is None
