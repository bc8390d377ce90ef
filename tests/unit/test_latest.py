"""What is remembered of the latest sweep, digest and bill."""

from dataclasses import replace
from decimal import Decimal
from functools import partial

import pytest

from conftest import ACCOUNT, HOUR, NOW, REGION
from fakes import UNTELLABLE, result_of, waste
from memory_table import MemoryTable
from ml_janitor.core.money import Totals
from ml_janitor.core.results import Outcome
from ml_janitor.ledger.latest import LastBill, LastSweep, LatestRecords
from narrowing import not_none
from reports import sweep
from tables import cases

THERE = "210987654321"


@pytest.fixture
def latest() -> LatestRecords:
    return LatestRecords(MemoryTable())


swept = partial(sweep, "shelf")


def remembered(latest: LatestRecords, account: str = ACCOUNT) -> LastSweep:
    return not_none(latest.sweep("shelf", account, REGION))


ALL = (
    result_of("lamp", waste("10")),
    result_of("clock", waste(None)),
    result_of("tap", waste(accrued="7.5")),
    result_of("bed", UNTELLABLE),
)


def test_a_sweep_is_remembered_in_numbers(latest: LatestRecords) -> None:
    assert latest.sweep("shelf", ACCOUNT, REGION) is None

    latest.remember(swept(*ALL, error="RuntimeError: broke"), NOW)

    assert remembered(latest) == LastSweep(
        detector="shelf",
        account=ACCOUNT,
        region=REGION,
        time=NOW,
        looked_at=4,
        found=3,
        kept=1,
        unknown=1,
        monthly_usd=Decimal(10),
        accrued_usd=Decimal("7.5"),
        unpriced=1,
        error="RuntimeError: broke",
    )
    assert latest.sweep("shelf", ACCOUNT, "eu-west-1") is None


def test_what_was_cleaned_up_is_waste_no_more_but_was_looked_at(latest: LatestRecords) -> None:
    latest.left(swept(result_of("lamp", waste("10"), outcome=Outcome.ACTED), *ALL[1:]), NOW)

    last = remembered(latest)
    assert (last.looked_at, last.found, last.monthly_usd) == (4, 2, Decimal(0))


def test_an_earlier_sweep_does_not_replace_a_later_one(latest: LatestRecords) -> None:
    latest.remember(swept(*ALL), NOW)
    latest.remember(swept(), NOW - HOUR)
    assert remembered(latest).found == 3
    latest.remember(swept(), NOW)
    assert remembered(latest).found == 0


@cases("settled, enabled, nothing_left", (True, True, True), (False, True, False), (False, False, True))
def test_nothing_is_left_in_a_settled_place_or_one_that_is_not_enabled(
    latest: LatestRecords, *, settled: bool, enabled: bool, nothing_left: bool
) -> None:
    latest.remember(swept(), NOW, enabled=enabled, settled=settled)
    last = remembered(latest)
    assert (last.enabled, last.settled, last.nothing_left) == (enabled, settled, nothing_left)


def test_those_of_several_places_are_read_together(latest: LatestRecords) -> None:
    latest.remember(swept(*ALL), NOW)
    latest.remember(swept(account=THERE), NOW)
    pairs = [(ACCOUNT, REGION), (THERE, REGION), (THERE, "eu-west-1")]

    found = latest.sweeps("shelf", pairs, sleep=lambda _: None)

    assert found == {pair: remembered(latest, pair[0]) for pair in pairs[:2]}


@cases(
    "alone, together, left",
    (("4", "3"), ("0", "0"), ("6", "4.5")),
    (("4", "3"), ("1", "2"), ("7", "6.5")),
    (("40", "30"), ("1", "2"), ("0", "0")),
)
def test_what_others_found_too_is_counted_once(
    latest: LatestRecords, alone: tuple[str, str], together: tuple[str, str], left: tuple[str, str]
) -> None:
    latest.remember(swept(*ALL), NOW)

    def totals(usd: tuple[str, str]) -> Totals:
        return replace(Totals.of(()), monthly_usd=Decimal(usd[0]), accrued_usd=Decimal(usd[1]))

    last = remembered(latest).without(totals(alone), totals(together))

    assert (last.monthly_usd, last.accrued_usd) == tuple(map(Decimal, left))


def test_the_last_digest_and_bill_are_each_accounts_own(latest: LatestRecords) -> None:
    bill = LastBill(time=NOW, kept="bills/1.json", paragraphs=("one", "two"), posted=True)
    assert (latest.digest(ACCOUNT), latest.bill(ACCOUNT)) == (None, None)

    latest.digested(ACCOUNT, NOW)
    latest.billed(ACCOUNT, bill)

    assert (latest.digest(ACCOUNT), latest.bill(ACCOUNT)) == (NOW, bill)
    latest.billed(ACCOUNT, LastBill(time=NOW))
    assert latest.bill(ACCOUNT) == LastBill(time=NOW, posted=False)
    assert (latest.digest(THERE), latest.bill(THERE)) == (None, None)


def test_schedules_are_watched_since_the_first_look_in_which_they_were(latest: LatestRecords) -> None:
    def look(names: str, hours: int, account: str = ACCOUNT) -> dict[str, int]:
        since = latest.watched_since(account, names, NOW + hours * HOUR)
        return {name: (at - NOW) // HOUR for name, at in since.items()}

    looks = [look("a", 0), look("ab", 1), look("ba", 2), look("b", 3), look("ab", 4), look("a", 5, THERE)]
    assert looks == [{"a": 0}, {"a": 0, "b": 1}, {"a": 0, "b": 1}, {"b": 1}, {"a": 4, "b": 1}, {"a": 5}]
