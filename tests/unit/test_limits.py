"""How many places a sweep and a night have, and who takes them. Law 6."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from conftest import ACCOUNT, NOW, REGION
from memory_table import MemoryTable
from ml_janitor.acting.acting import ActionPlaces, NoActError
from ml_janitor.core.model import Mode
from ml_janitor.core.results import Cause, CauseCode, Sweep, make_cause
from ml_janitor.ledger.limits import LIMIT_KEY, ActionLimits
from standin import ARMED, Nights, in_memory, own_signatures
from tables import cases

PER_SWEEP, PER_NIGHT = make_cause(CauseCode.MAX_ACTIONS, 2), make_cause(CauseCode.MAX_ACTIONS_PER_NIGHT, 3)


@pytest.fixture
def table() -> MemoryTable:
    return MemoryTable()


@pytest.fixture
def nights(table: MemoryTable) -> Iterator[Nights]:
    with in_memory(table) as nights:
        yield nights


def taken(places: ActionPlaces, *actions: str) -> list[Cause | None]:
    """What each of *actions* is held back by."""

    def take(action: str) -> Cause | None:
        try:
            places.check()
            places.take(action, NOW)
        except NoActError as full:
            return full.cause
        return None

    return [take(action) for action in actions]


def places(
    nights: Nights,
    now: datetime = NOW,
    *,
    detector: str = "cellar",
    account: str = ACCOUNT,
    together: bool = False,
) -> ActionPlaces:
    nights.clock, nights.at_most, nights.arming = now, 3, replace(ARMED, max_actions=2)
    sweep = Sweep(detector=detector, account=account, region=REGION, mode=Mode.ACT)
    return nights.armed_sweep(sweep, together=together).places


def test_an_action_takes_one_place_however_often_it_asks(table: MemoryTable) -> None:
    limits = ActionLimits(table, "UTC", own_signatures())

    def ask(action: str, at_most: int) -> bool:
        return limits.in_sweep("one", action, at_most=at_most, now=NOW)

    asked = [
        ask("a", 0),
        ask("a", 2),
        ask("a", 2),
        ask("b", 2),
        ask("c", 2),
        ask("a", 1),
        ask("a", 0),
        ask("c", 3),
    ]

    assert asked == [False, True, True, True, False, True, False, True]
    assert not limits.in_night("one", "a", at_most=0, now=NOW)


def test_a_counter_goes_after_a_week_and_holds_thousands(table: MemoryTable) -> None:
    ActionLimits(table, "UTC", own_signatures()).in_sweep("one", 1000 * "a", at_most=2, now=NOW)

    (counter,) = table.query(LIMIT_KEY)

    assert counter["expires"] == int((NOW + timedelta(days=7)).timestamp())
    assert {len(mark) for mark in counter["taken"]} == {32 + len(" 2:") + 64}  # KMS's own have 44


@cases("hour, night", (3, "2026-10-05"), (9, "2026-10-05"), (10, "2026-10-06"), (23, "2026-10-06"))
def test_a_night_is_from_noon_to_noon_at_the_operator(table: MemoryTable, hour: int, night: str) -> None:
    assert (
        ActionLimits(table, "Europe/Berlin", own_signatures()).night(datetime(2026, 10, 6, hour, tzinfo=UTC))
        == night
    )


def test_a_sweep_has_its_places_and_counts_what_each_limit_holds_back(nights: Nights) -> None:
    one = places(nights)

    assert taken(one, "a", "b", "c", "d") == [None, None, PER_SWEEP, PER_SWEEP]
    assert one.held == {PER_SWEEP: 2}
    later = places(nights, NOW + timedelta(hours=1))
    assert taken(later, "c", "d", "e") == [None, PER_NIGHT, PER_NIGHT]
    assert later.held == {PER_NIGHT: 2}


def test_a_sweep_that_is_closed_has_no_place(nights: Nights) -> None:
    one = places(nights)
    one.close(PER_NIGHT)

    assert taken(one, "a") == [PER_NIGHT]
    assert list(nights.table.query(LIMIT_KEY)) == []


def test_two_detectors_take_two_places_of_a_night_for_one_resource(nights: Nights) -> None:
    assert taken(places(nights), "a", "b") == [None, None]
    assert taken(places(nights, detector="shelf"), "a", "b") == [None, PER_NIGHT]


@pytest.mark.parametrize("together", [False, True])
def test_a_night_is_an_accounts_or_that_of_all_together(nights: Nights, *, together: bool) -> None:
    mine = [places(nights, NOW + timedelta(minutes=number), together=together) for number in range(2)]
    for one, names in zip(mine, ("ab", "c"), strict=True):
        assert taken(one, *names) == [None] * len(names)

    other = places(nights, account="210987654321", together=together)

    assert taken(other, "d") == [PER_NIGHT if together else None]
