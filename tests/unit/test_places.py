"""Where an event has a function look: nowhere that was not listed, whoever wrote the event."""

import pytest

from conftest import NOW
from ml_janitor.config.events import SweepEvent, parse_event
from ml_janitor.config.values import InvalidInputError
from ml_janitor.ledger.latest import RunAccount
from ml_janitor.scheduled.invocation import listed_place, own_place
from tables import cases

HOME, MEMBER, STRANGER = "123456789012", "210987654321", "999999999999"
EAST, WEST, NORTH = "us-east-1", "eu-west-1", "eu-north-1"
LIST = (RunAccount(MEMBER, (EAST, WEST)), RunAccount(HOME, (EAST,)))
ENDPOINT = f"arn:aws:sagemaker:{WEST}:{MEMBER}:endpoint/fraud"


def asked(**given: object) -> SweepEvent:
    return parse_event(given, SweepEvent, NOW)


@cases(
    "event, where",
    ({"account": MEMBER}, (MEMBER, (EAST, WEST))),
    ({"account": MEMBER, "regions": [WEST]}, (MEMBER, (WEST,))),
    ({"account": MEMBER, "regions": [WEST, WEST]}, (MEMBER, (WEST,))),
    ({}, (HOME, (EAST,))),
    ({"resource": ENDPOINT}, (MEMBER, (WEST,))),
    ({"resource": "arn:aws:s3:::models/a.pt", "account": MEMBER}, (MEMBER, (EAST,))),
    ids=str,
)
def test_an_event_looks_where_its_run_listed(event: dict[str, object], where: tuple[object, ...]) -> None:
    assert listed_place(asked(**event), LIST, home=HOME) == where


@cases(
    "event, listed, why",
    ({"account": STRANGER}, LIST, f"account: {STRANGER} is not in the list of its run$"),
    ({"account": MEMBER}, (), f"account: {MEMBER} is not in the list of its run$"),
    ({}, LIST[:1], f"account: {HOME} is not in the list of its run; give an account that is"),
    (
        {"account": MEMBER, "regions": [EAST, NORTH]},
        LIST,
        f"regions: {NORTH} of {MEMBER} not in the list of its run",
    ),
    ({"account": HOME, "regions": [WEST]}, LIST, f"regions: {WEST} of {HOME} not in"),
    (
        {"resource": f"arn:aws:sagemaker:{NORTH}:{MEMBER}:endpoint/fraud"},
        LIST,
        f"regions: {NORTH} of {MEMBER} not in",
    ),
    (
        {"resource": f"arn:aws:sagemaker:{EAST}:{STRANGER}:endpoint/fraud"},
        LIST,
        f"account: {STRANGER} is not in",
    ),
    ids=str,
)
def test_an_event_stays_there(event: dict[str, object], listed: tuple[RunAccount, ...], why: str) -> None:
    with pytest.raises(InvalidInputError, match=why):
        listed_place(asked(**event), listed, home=HOME)


def test_without_an_organization_a_function_is_for_its_own_account() -> None:
    assert own_place(asked(), home=HOME, regions=(EAST, WEST)) == (HOME, (EAST, WEST))
    assert own_place(asked(account=HOME, regions=[WEST]), home=HOME, regions=(EAST,)) == (HOME, (WEST,))
    with pytest.raises(InvalidInputError, match=f"{MEMBER} is not {HOME}, where this function is, and jan"):
        own_place(asked(account=MEMBER), home=HOME, regions=(EAST,))
