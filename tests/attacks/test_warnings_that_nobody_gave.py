"""
Whoever writes into a finding of the ledger has the janitor act without a warning, early, or by a forged memo.

A signature covers a warning: resource, times, messages, who hurried or approved it, and how far `prepare` is.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from conftest import ACCOUNT, REGION
from ml_janitor.core.results import CauseCode, Outcome
from ml_janitor.engine.detector import NotFinishedError
from ml_janitor.ledger.findings import Entry
from ml_janitor.ledger.table import format_stamp
from narrowing import not_none
from standin import DAY, HOUR, Nights, in_memory, own_signatures


@pytest.fixture
def nights() -> Iterator[Nights]:
    """A lamp that was warned about an hour ago, and is due in three days."""
    with in_memory() as nights:
        nights.warned("lamp")
        yield nights


def entry(nights: Nights, name: str = "lamp") -> Entry:
    return next(one for one in nights.ledger.entries("cellar", ACCOUNT, REGION) if one.name == name)


def write(nights: Nights, name: str = "lamp", **attributes: Any) -> None:
    """The attack: who may write to the table writes *attributes* into a finding."""
    found = entry(nights, name)
    nights.table.change(found.pk, found.sk, set_to=attributes)


ATTACKS: Mapping[str, Callable[[Nights], dict[str, Any]]] = {
    "due": lambda nights: {"due": format_stamp(nights.clock)},
    "hurried": lambda nights: {"due": format_stamp(nights.clock), "hurried": "Maria (U1)"},
    "warned long ago": lambda nights: {
        "warned": format_stamp(nights.clock - 9 * DAY),
        "due": format_stamp(nights.clock - DAY),
    },
    "another message": lambda nights: {"due": format_stamp(nights.clock), "message": "another"},
    "no signature": lambda nights: {"due": format_stamp(nights.clock), "mac": ""},
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_a_changed_warning_has_nothing_done_and_is_given_again(
    nights: Nights, attack: Callable[[Nights], dict[str, Any]]
) -> None:
    """Before, the next sweep removed the lamp."""
    write(nights, **attack(nights))
    unsigned = entry(nights).mac == ""

    result = nights.after(HOUR)["lamp"]

    why = CauseCode.WARNING_UNSIGNED if unsigned else CauseCode.WARNING_INVALID
    assert (result.outcome, result.why, nights.world.done) == (Outcome.WAITING, why, [])
    assert entry(nights).warned is None
    assert nights.after(HOUR)["lamp"].outcome is Outcome.WARNED
    assert nights.after(2 * DAY)["lamp"].outcome is Outcome.WAITING
    assert nights.after(2 * DAY)["lamp"].outcome is Outcome.ACTED


def test_a_warning_of_one_finding_is_none_for_another(nights: Nights) -> None:
    nights.world.add("chair")
    nights.sweep()
    lamp = not_none(nights.table.get(entry(nights).pk, entry(nights).sk))
    nights.clock += 4 * DAY
    copied = ("warned", "due", "channel", "message", "direct_channel", "direct_message", "mac")
    write(nights, "chair", **{name: lamp[name] for name in copied})

    results = {name: result.outcome for name, result in nights.after(HOUR).items()}

    assert results == {"lamp": Outcome.ACTED, "chair": Outcome.WAITING}


def test_approvals_that_nobody_gave_do_not_lift_the_limit_on_many_deletions(nights: Nights) -> None:
    """Before, approved findings were taken out of the share, whoever wrote that they are."""
    names = [f"chair-{number}" for number in range(5)]
    nights.warned(*names)
    for name in names:
        write(nights, name, approved="mallory")

    assert nights.after(4 * DAY)["lamp"].why is CauseCode.MAX_SHARE
    assert nights.world.done == []


def test_a_forged_memo_is_not_compared_with(nights: Nights) -> None:
    """How far a comparison came is part of the warning: before, an unequal object was deleted by it."""
    nights.world.refuses = NotFinishedError("it is compared")
    result = nights.after(4 * DAY)["lamp"]
    assert (result.why, entry(nights).memo) == (CauseCode.PREPARING, {"read": 1})
    assert nights.ledger.is_signed(entry(nights))
    write(nights, memo=json.dumps({"read": 10**9}))

    assert nights.after(HOUR)["lamp"].why is CauseCode.WARNING_INVALID
    assert nights.world.done == []


def test_a_press_on_a_changed_warning_is_not_granted(nights: Nights) -> None:
    requests = not_none(nights.runner().acting)
    requests.requests.make_due(entry(nights), by="maria", now=nights.clock)
    write(nights, message="another")
    place = ("cellar", ACCOUNT, REGION)

    (why,) = requests.requests.grant(nights.ledger, nights.actions, *place)

    assert why == "lamp: the warning is not the one that was signed"
    assert entry(nights).hurried == ""
    write(nights, message="ts-lamp")
    assert requests.requests.grant(nights.ledger, nights.actions, *place) == []
    assert (entry(nights).hurried, nights.ledger.is_signed(entry(nights))) == ("maria", True)


def test_who_cannot_verify_sees_that_and_does_nothing(nights: Nights) -> None:
    nights.ledger._signatures = own_signatures(key=b"another")
    assert not nights.ledger.is_verified(entry(nights))
    assert nights.after(4 * DAY)["lamp"].why is CauseCode.WARNING_INVALID
    assert nights.world.done == []
