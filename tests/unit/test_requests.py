"""What people ask for by a button, and the sweep that grants it: each once, and under its own warning."""

import pytest

from conftest import ACCOUNT, MINUTE, REGION, SECOND
from fakes import because
from ml_janitor.ledger.actions import Action, Stage
from ml_janitor.ledger.requests import ButtonRequests
from ml_janitor.ledger.table import EXPIRES_ATTRIBUTE, ConditionFailedError
from standin import DAY, Nights, with_request


@pytest.fixture
def nights(nights: Nights) -> Nights:
    """A lamp that was warned about."""
    nights.warned("lamp")
    return nights


@pytest.fixture
def requests(nights: Nights) -> ButtonRequests:
    return ButtonRequests(nights.table, nights.actions.signatures)


def grant(nights: Nights) -> list[str]:
    return ButtonRequests(nights.table, nights.actions.signatures).grant(
        nights.ledger, nights.actions, "cellar", ACCOUNT, REGION
    )


def removed(nights: Nights) -> Action:
    nights.after(4 * DAY)
    assert nights.of("lamp").stage is Stage.ACTED
    return nights.of("lamp")


def test_a_finding_is_due_at_the_time_of_the_press(nights: Nights, requests: ButtonRequests) -> None:
    grant(nights)
    assert nights.entries()["lamp"].hurried == ""
    requests.make_due(nights.entries()["lamp"], by="maria", now=nights.clock + MINUTE)
    (item,) = nights.table.scan("request#")
    assert item[EXPIRES_ATTRIBUTE] == (nights.clock + MINUTE + 7 * DAY).timestamp()

    grant(nights)

    assert (nights.entries()["lamp"].hurried, nights.entries()["lamp"].due) == (
        "maria",
        nights.clock + MINUTE,
    )


def test_it_is_granted_once_and_under_its_own_warning_alone(nights: Nights, requests: ButtonRequests) -> None:
    requests.make_due(nights.entries()["lamp"], by="maria", now=nights.clock)
    nights.ledger.make_due(nights.entries()["lamp"], by="dina", now=nights.clock)
    grant(nights)
    assert nights.entries()["lamp"].hurried == "dina"

    nights.ledger.void_warning(nights.entries()["lamp"], because("it is only reported now"))
    grant(nights)
    assert (nights.entries()["lamp"].hurried, nights.entries()["lamp"].due) == ("", None)
    requests.make_due(nights.entries()["lamp"], by="maria", now=nights.clock)
    grant(nights)  # a press on a void warning makes nothing due, and stops nothing
    assert (nights.entries()["lamp"].hurried, nights.entries()["lamp"].due) == ("", None)
    later = nights.clock + MINUTE
    nights.ledger.warned(nights.entries()["lamp"], now=later, due=later + DAY)
    grant(nights)
    assert (nights.entries()["lamp"].hurried, nights.entries()["lamp"].due) == ("", later + DAY)


def test_a_request_that_somebody_changed_is_told_and_not_granted(
    nights: Nights, requests: ButtonRequests
) -> None:
    requests.make_due(nights.entries()["lamp"], by="maria", now=nights.clock)
    (item,) = nights.table.scan("request#")
    nights.table.change(item["pk"], item["sk"], set_to={"by": "mallory"})

    assert grant(nights) == ["lamp: the request to make it due is not signed"]
    assert nights.entries()["lamp"].hurried == ""
    nights.table.delete(item["pk"], item["sk"])

    requests.undo(removed(nights), by="maria", press="p1", now=nights.clock)
    (item,) = nights.table.scan("request#")
    nights.table.change(item["pk"], item["sk"], set_to={"by": "mallory"})

    assert grant(nights) == ["lamp: the request to undo the action is not signed"]
    assert nights.of("lamp").stage is Stage.ACTED


def test_a_request_under_a_warning_that_somebody_changed_is_told_and_not_granted(
    nights: Nights, requests: ButtonRequests
) -> None:
    lamp = nights.entries()["lamp"]
    requests.make_due(lamp, by="maria", now=nights.clock)
    nights.table.change(lamp.pk, lamp.sk, set_to={"channel": "C9"})

    assert grant(nights) == ["lamp: the warning is not the one that was signed"]
    assert nights.entries()["lamp"].hurried == ""


def test_an_undo_is_asked_for_under_the_warning_that_was_acted_on(
    nights: Nights, requests: ButtonRequests
) -> None:
    lamp = removed(nights)
    requests.undo(lamp, by="maria", press="p1", now=nights.clock)
    grant(nights)

    asked = nights.of("lamp")
    assert (asked.stage, asked.undone_by, asked.asked_at) == (Stage.UNDOING, "maria", nights.clock)
    requests.undo(asked, by="dina", press="p2", now=nights.clock + MINUTE)
    grant(nights)
    assert nights.of("lamp") == asked


def test_of_two_who_ask_within_a_minute_the_second_is_refused(
    nights: Nights, requests: ButtonRequests
) -> None:
    lamp = removed(nights)
    requests.undo(lamp, by="maria", press="p1", now=nights.clock)
    requests.undo(lamp, by="maria", press="p1", now=nights.clock)

    with pytest.raises(ConditionFailedError):
        requests.undo(lamp, by="dina", press="p2", now=nights.clock + MINUTE - SECOND)
    requests.undo(lamp, by="dina", press="p2", now=nights.clock + MINUTE)

    grant(nights)
    assert nights.of("lamp").undone_by == "dina"


def test_what_moved_on_while_it_was_read_is_left_to_the_next_sweep(
    nights: Nights, requests: ButtonRequests, monkeypatch: pytest.MonkeyPatch
) -> None:
    lamp = removed(nights)
    requests.undo(lamp, by="maria", press="p1", now=nights.clock)
    nights.actions.begin_undo(*with_request(lamp, "dina", nights.clock), nights.clock)
    monkeypatch.setattr(nights.actions, "all", lambda *_: [lamp])

    grant(nights)

    assert nights.actions.everywhere()[0].undone_by == "dina"
