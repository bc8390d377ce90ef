"""Leases: one sweep of a detector, account and region at a time, and none twice by the same event."""

from datetime import datetime, timedelta

import pytest

from conftest import ACCOUNT, DAY, HOUR, NOW, REGION
from memory_table import MemoryTable
from ml_janitor.ledger.limits import Leases, LeaseTakenError
from ml_janitor.ledger.table import EXPIRES_ATTRIBUTE


@pytest.fixture
def leases() -> Leases:
    return Leases(MemoryTable())


def take(leases: Leases, holder: str, now: datetime = NOW, region: str = REGION) -> None:
    leases.take("shelf", ACCOUNT, region, holder=holder, now=now, until=now + HOUR)


def test_one_sweep_of_a_detector_account_and_region_at_a_time(leases: Leases) -> None:
    take(leases, "first")

    with pytest.raises(LeaseTakenError, match=f"shelf is being swept in {ACCOUNT}, {REGION} by another run"):
        take(leases, "second")
    take(leases, "second", region="eu-west-1")
    leases.take("shelf", "210987654321", REGION, holder="second", now=NOW, until=NOW + HOUR)

    leases.release("shelf", ACCOUNT, REGION, holder="first")
    take(leases, "second")


def test_a_lease_ends_with_its_time(leases: Leases) -> None:
    take(leases, "killed")

    with pytest.raises(LeaseTakenError):
        take(leases, "next", NOW + HOUR - timedelta(seconds=1))
    take(leases, "next", NOW + HOUR)


def test_the_same_event_goes_on_under_its_own_lease(leases: Leases) -> None:
    take(leases, "event")
    take(leases, "event", NOW + timedelta(minutes=1))

    with pytest.raises(LeaseTakenError):
        take(leases, "other", NOW + HOUR)


def test_nobody_gives_back_the_lease_of_another(leases: Leases) -> None:
    take(leases, "late")
    take(leases, "next", NOW + HOUR)

    leases.release("shelf", ACCOUNT, REGION, holder="late")

    with pytest.raises(LeaseTakenError):
        take(leases, "third", NOW + HOUR)


def test_a_holder_that_has_swept_does_not_take_the_lease_again(leases: Leases) -> None:
    where = ("shelf", ACCOUNT, REGION)
    take(leases, "event")
    leases.swept(*where, holder="event", now=NOW)
    leases.release(*where, holder="event")

    with pytest.raises(LeaseTakenError) as own:
        take(leases, "event", NOW + HOUR)
    take(leases, "next", NOW)
    with pytest.raises(LeaseTakenError) as taken:
        take(leases, "event", NOW)
    assert (own.value.swept, taken.value.swept) == (True, False)


def test_dynamodb_removes_a_lease_a_day_after_it_ended(leases: Leases) -> None:
    def expires() -> list[float]:
        return [float(item[EXPIRES_ATTRIBUTE]) for item in leases._table.scan("lease#")]

    take(leases, "event")
    assert expires() == [(NOW + HOUR + DAY).timestamp()]
    leases.swept("shelf", ACCOUNT, REGION, holder="event", now=NOW)
    assert expires() == [(NOW + DAY).timestamp()]
    undo(leases, "first", now=NOW + DAY)
    assert expires() == [(NOW + DAY).timestamp(), (NOW + HOUR + 2 * DAY).timestamp()]


# --- undos ----------------------------------------------------------------------------------------

WHERE = ("shelf", ACCOUNT, REGION)


def undo(leases: Leases, holder: str, finding: str = "0123456789", *, now: datetime = NOW) -> None:
    leases.take_undo(WHERE, finding, holder=holder, by=f"Maria ({holder})", now=now, until=now + HOUR)


def test_undos_of_several_findings_go_on_side_by_side_and_of_one_it_names_the_other(leases: Leases) -> None:
    undo(leases, "first")
    undo(leases, "second", "9876543210")
    undo(leases, "first", now=NOW + timedelta(minutes=1))

    why = r"another undo of finding 0123456789 is under way, for Maria \(first\); try again in some minutes"
    with pytest.raises(LeaseTakenError, match=why) as taken:
        undo(leases, "second")
    assert not taken.value.swept
    leases.release_undo(WHERE, "0123456789", holder="second")
    with pytest.raises(LeaseTakenError):
        undo(leases, "second", now=NOW + HOUR)
    undo(leases, "second", now=NOW + HOUR + timedelta(minutes=1))
    leases.release_undo(WHERE, "0123456789", holder="second")
    undo(leases, "third")
    take(leases, "a sweep")


def test_an_undo_needs_that_no_sweep_is_at_work(leases: Leases) -> None:
    leases.check_no_sweep(WHERE, NOW)
    take(leases, "event")
    with pytest.raises(LeaseTakenError, match="by another run; try again in some minutes"):
        leases.check_no_sweep(WHERE, NOW + HOUR - timedelta(seconds=1))
    leases.check_no_sweep(WHERE, NOW + HOUR)
    leases.check_no_sweep(("shelf", ACCOUNT, "eu-west-1"), NOW)
    leases.swept(*WHERE, holder="event", now=NOW + HOUR)
    leases.check_no_sweep(WHERE, NOW)
