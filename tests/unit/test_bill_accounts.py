"""The bill of several accounts: which count, which moved most, what is left, and of which nothing is seen."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

from bills import ACCOUNT, HOST, LAST, NOTEBOOK, NOW, STORED
from conftest import DAY
from ml_janitor.aws.cost_explorer import accounts_filter
from ml_janitor.aws.runs import ResourceRun
from ml_janitor.bill.model import OTHER_ACCOUNTS, Bill, BillReading, Charge, Culprit, GapCause
from ml_janitor.bill.reading import (
    BillAccounts,
    BillQuestion,
    most_moved_accounts,
    other_charges,
    unseen_account_gaps,
)
from ml_janitor.bill.report import make_bill_report, moved_places
from ml_janitor.bill.resources import BillResource
from narrowing import not_none
from tables import cases

ONE, TWO, THREE, FOUR = (f"{number}" * 12 for number in (1, 2, 3, 4))
UNTIL = date(2026, 10, 6)


@cases(
    "accounts, where",
    (BillAccounts(names={TWO: "", ONE: "a"}), (accounts_filter([ONE, TWO]),)),
    (BillAccounts(names={ONE: ""}, everything=True), ()),
    (BillAccounts(names={}, everything=True, without=(TWO,)), (accounts_filter([TWO], but=True),)),
)
def test_the_filter_names_accounts_only_if_needed(accounts: BillAccounts, where: tuple[object, ...]) -> None:
    assert accounts.where == where
    assert accounts_filter([TWO, ONE], but=True) == {
        "Not": {"Dimensions": {"Key": "LINKED_ACCOUNT", "Values": [ONE, TWO]}}
    }


# --- which moved ------------------------------------------------------------------------------


def row(days_ago: int, account: str, usd: float) -> Charge:
    return Charge(day=UNTIL - days_ago * DAY, tag=account, usd=Decimal(str(usd)))


@cases(
    "rows, named",
    ([row(1, ONE, 5), row(7, TWO, 6), row(8, THREE, 7)], [THREE, TWO, ONE]),
    ([row(14, ONE, 5), row(15, TWO, 9)], [ONE, TWO]),  # 15 days ago is in neither week
    ([row(0, ONE, 9), row(1, TWO, 1)], [TWO, ONE]),  # nor is today
    ([row(1, ONE, 5), row(8, ONE, 5), row(1, TWO, 1)], [TWO, ONE]),  # it stayed as it was
    ([row(1, one, 1) for one in (FOUR, TWO, THREE, ONE)], [ONE, TWO, THREE]),
    ([], []),
)
def test_the_accounts_that_moved_most_are_those_that_changed(rows: list[Charge], named: list[str]) -> None:
    assert most_moved_accounts(rows, UNTIL, 7) == named


def test_what_is_left_of_a_line_is_that_of_all_others() -> None:
    def charge(usd: int, quantity: int, tag: str | None = None, usage: str = HOST) -> Charge:
        line = Charge(day=LAST.first, usage_type=usage, tag=tag, usd=Decimal(usd), unit="Hrs")
        return replace(line, quantity=Decimal(quantity))

    everything = [
        charge(5, 2),
        charge(7, 3),
        charge(9, 9, usage=NOTEBOOK),
        charge(4, 0, usage=STORED),
        charge(6, 3, usage="Free"),
    ]
    named = [
        charge(8, 1, ONE),
        charge(9, 9, ONE, NOTEBOOK),
        charge(6, 1, TWO, "Free"),
        charge(-2, 1, TWO, "Only"),
    ]

    assert set(other_charges(everything, named)) == {
        charge(4, 4, OTHER_ACCOUNTS),
        charge(4, 0, OTHER_ACCOUNTS, STORED),
        charge(0, 2, OTHER_ACCOUNTS, "Free"),
        charge(2, -1, OTHER_ACCOUNTS, "Only"),
    }


# --- of which nothing is seen -----------------------------------------------------------------


def seen(*accounts: str) -> Bill:
    rows = tuple(Charge(day=LAST.first, tag=one, usd=Decimal(1)) for one in accounts)
    return Bill(account=ACCOUNT, time=NOW, first=LAST.first, until=LAST.until, by_account=rows)


@cases(
    "names, everything, shown, gap",
    ({ONE: "", TWO: "two"}, False, (ONE, TWO), None),
    ({ONE: "", TWO: "two"}, False, (ONE,), (GapCause.NOT_CHARGED, f"two ({TWO})", "")),
    ({ONE: ""}, False, (ACCOUNT,), (GapCause.MEMBER_ACCOUNT, ONE, ACCOUNT)),
    ({ONE: ""}, False, (), (GapCause.MEMBER_ACCOUNT, ONE, ACCOUNT)),
    ({}, True, (ACCOUNT,), (GapCause.MEMBER_ACCOUNT, "any other account", ACCOUNT)),
    ({}, True, (ACCOUNT, ONE), None),
    ({ACCOUNT: ""}, False, (ACCOUNT,), None),
    ({TWO: ""}, True, (ACCOUNT, ONE), (GapCause.NOT_CHARGED, TWO, "")),
    (
        dict.fromkeys("abcdefg", ""),
        True,
        (ACCOUNT, ONE),
        (GapCause.NOT_CHARGED, "a, b, c, d, e and 2 more", ""),
    ),
)
def test_accounts_that_cost_explorer_does_not_show_are_told(
    names: dict[str, str], shown: tuple[str, ...], gap: tuple[object, ...] | None, *, everything: bool
) -> None:
    found = list(unseen_account_gaps(seen(*shown), BillAccounts(names=names, everything=everything)))

    assert [(one.cause, one.subject, one.detail) for one in found] == ([gap] if gap else [])
    assert {one.reading for one in found} <= {BillReading.ACCOUNTS}


# --- what moved in them -----------------------------------------------------------------------

ASKED = BillQuestion(days=7, settling_days=1, tags=("project",))
ABROAD = f"EU-{HOST.partition('-')[2]}"


def several(*moved: tuple[str, str, int]) -> Bill:
    """A bill with a dollar a day for 60 days, and besides, so much on the last day for each that *moved*."""
    flat = [
        Charge(day=UNTIL - n * DAY, usage_type=NOTEBOOK, tag=OTHER_ACCOUNTS, usd=Decimal(1))
        for n in range(1, 61)
    ]
    rows = [
        Charge(day=UNTIL - DAY, usage_type=usage, tag=account, usd=Decimal(usd), quantity=Decimal(usd))
        for account, usage, usd in moved
    ]
    every = (*flat, *rows)
    return Bill(
        account=ACCOUNT,
        time=NOW,
        first=UNTIL - 60 * DAY,
        until=UNTIL,
        charges=tuple(replace(one, tag=None, service="Amazon SageMaker") for one in every),
        accounts={ONE: "one"},
        moved=every,
    )


@cases(
    "moved, places",
    ([(ONE, HOST, 5), (TWO, ABROAD, 9), (ONE, NOTEBOOK, 7)], [(TWO, "eu-west-1"), (ONE, "us-east-1")]),
    ([(ONE, HOST, 1), (TWO, HOST, 1)], [(ONE, "us-east-1"), (TWO, "us-east-1")]),
    ([(ONE, HOST, 0), (OTHER_ACCOUNTS, HOST, 50), (ONE, STORED, 50), (ONE, "XYZ9-Host:ml.a", 50)], []),
    ([(f"{n:012}", HOST, n + 1) for n in range(20)], [(f"{n:012}", "us-east-1") for n in range(19, 7, -1)]),
)
def test_instances_with_moves_count(moved: list[tuple[str, str, int]], places: list[tuple[str, str]]) -> None:
    assert moved_places(several(*moved), ASKED) == places
    assert moved_places(replace(several(*moved), moved=()), ASKED) == []


def resource(account: str, name: str) -> BillResource:
    arn = f"arn:aws:sagemaker:us-east-1:{account}:endpoint/{name}"
    start = NOW - timedelta(hours=13)  # 10 hours of the last day
    run = ResourceRun(usage_type=HOST, start=start, hourly=Decimal(1))
    return BillResource(culprit=Culprit(arn=arn, name=name, kind="endpoint"), runs=(run,), tag="llm")


def test_a_resource_explains_what_its_own_account_was_charged() -> None:
    read = several((ONE, HOST, 10), (OTHER_ACCOUNTS, HOST, 10))
    known = [resource(ONE, "named"), resource(TWO, "other")]

    main = not_none(make_bill_report(read, ASKED, resources=known).main)

    assert main.tag == "account"
    found = {one.culprit.name: (one.part.tag, one.usd) for one in main.movers if one.culprit}
    assert found == {"named": (ONE, Decimal(10)), "other": (OTHER_ACCOUNTS, Decimal(10))}
