"""Events as values: what makes two the same, which are late, and where they look."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from ml_janitor.config import events
from ml_janitor.config.events import (
    CLOCK_SKEW,
    LONGEST_ORGANIZATION_RUN,
    STALE_EVENT,
    AccountsEvent,
    DigestEvent,
    PressEvent,
    SweepEvent,
    UndoEvent,
    check_event,
    parse_event,
)
from ml_janitor.config.values import InvalidInputError
from standin import EVENTS, event
from tables import cases

NOW = datetime(2026, 10, 6, 3, tzinfo=UTC)
ENDPOINT = "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/fraud"


def at(time: datetime | None = NOW, **more: object) -> SweepEvent:
    return parse_event({} if time is None else {"time": time.isoformat(), **more}, SweepEvent, NOW)


FOR_OTHERS = {"interact", "pressed", "undo"}
"""Payloads of other handlers than the sweeps."""


@pytest.mark.parametrize("name", sorted({path.stem for path in EVENTS.glob("*.json")} - FOR_OTHERS))
def test_every_payload_can_be_read_but_the_malformed_one(name: str) -> None:
    if name == "malformed":
        with pytest.raises(InvalidInputError):
            parse_event(event(name), SweepEvent, NOW)
    else:
        assert parse_event(event(name), SweepEvent, NOW)


@cases(
    "age, note",
    (timedelta(0), ""),
    (STALE_EVENT, ""),
    (STALE_EVENT + timedelta(seconds=1), "the event was 60 minutes old, so this was a dry run"),
    (timedelta(days=3), "the event was 3 days old, so this was a dry run"),
    (-CLOCK_SKEW, ""),
)
def test_an_event_is_stale_after_an_hour(age: timedelta, note: str) -> None:
    assert at(NOW - age).harmless(NOW, ("us-east-1",)) == note


def test_an_event_without_a_time_is_never_stale() -> None:
    assert at(None).harmless(NOW, ("us-east-1",)) == ""


@cases(
    "regions, note",
    (["us-east-1"], ""),
    (
        ["us-east-1", "eu-west-1", "eu-west-1"],
        "the deployment does not look at eu-west-1 by itself, so this was a dry run",
    ),
)
def test_an_event_acts_only_where_the_deployment_looks(regions: list[str], note: str) -> None:
    asked = parse_event({"regions": regions}, SweepEvent, NOW)

    assert asked.harmless(NOW, ("us-east-1", "us-west-2")) == note


def test_the_same_event_has_the_same_identity_however_it_is_delivered() -> None:
    same = [
        parse_event({"time": "2026-10-06T03:00:00Z"}, SweepEvent, NOW),
        parse_event({"time": "2026-10-06T05:00:00+02:00", "regions": []}, SweepEvent, NOW),
    ]
    assert len({one.identity(str(number)) for number, one in enumerate(same)}) == 1


@cases("other", {"regions": ["eu-west-1"]}, {"resource": ENDPOINT}, {"mode": "dry-run"}, ids=str)
def test_events_that_ask_for_something_else_are_others(other: dict[str, object]) -> None:
    assert at(**other).identity("1") != at().identity("1")  # type: ignore[arg-type]


def test_without_a_time_the_request_is_the_identity() -> None:
    """Two people who ask for a dry run both get one."""
    assert at(None).identity("1") == at(None).identity("1") != at(None).identity("2")


@cases(
    "asked, where",
    ({}, ("us-east-1", "us-west-2")),
    ({"regions": ["eu-west-1", "eu-west-1"]}, ("eu-west-1",)),
    ({"resource": ENDPOINT}, ("eu-west-1",)),
    ({"resource": "arn:aws:s3:::models/a.pt"}, ("us-east-1",)),
    ({"resource": ENDPOINT, "regions": ["us-west-2"]}, ("eu-west-1",)),
)
def test_where_an_event_looks(asked: dict[str, object], where: tuple[str, ...]) -> None:
    assert at(**asked).within(("us-east-1", "us-west-2")) == where  # type: ignore[arg-type]


EARLY, LATE = ((NOW + sign * (CLOCK_SKEW + timedelta(seconds=1))).isoformat() for sign in (-1, 1))


@cases(
    "event, why",
    *(({forged: "210987654321"}, forged) for forged in ("accounts", "role", "external_id")),
    *(({"account": account}, "account") for account in ("", "21098765432", "2109876543210", "२१०९८७६५४३२१")),
    *(({"account": account}, "account") for account in ("*", 210987654321)),
    ({"account": "210987654321", "resource": ENDPOINT}, "it is in account 123456789012, not in 210987654321"),
    ({"resource": "ranker"}, "event: resource: 'ranker' is not an ARN"),
    ({"time": LATE}, "time: 2026-10-06T03:05:01Z is yet to come"),  # everything would look idle from there
    ({"part": 13}, "part: .*12"),  # Lambda ends a chain of 16
    ({"started": NOW.isoformat()}, "started: it needs the time of its run"),
    ({"time": NOW.isoformat(), "started": EARLY}, "the time of its run, which is not after it"),
    ({"time": NOW.isoformat(), "started": LATE}, "started: 2026-10-06T03:05:01Z is yet to come"),
)
def test_an_invalid_event_is_refused(event: dict[str, object], why: str) -> None:
    with pytest.raises(InvalidInputError, match=why):
        parse_event(event, SweepEvent, NOW)


@cases(
    "asked, account",
    ({}, ""),
    ({"account": "210987654321"}, "210987654321"),
    ({"resource": ENDPOINT}, "123456789012"),
    ({"resource": ENDPOINT, "account": "123456789012"}, "123456789012"),
    ({"resource": "arn:aws:s3:::models/a.pt", "account": "210987654321"}, "210987654321"),
)
def test_whose_account_an_event_is_about(asked: dict[str, object], account: str) -> None:
    assert at(**asked).looks_at == account  # type: ignore[arg-type]


MINUTES = st.integers(min_value=0, max_value=3 * 24 * 60).map(lambda each: timedelta(minutes=each))


@given(waited=MINUTES, ran_for=MINUTES)
def test_the_age_of_an_event_counts_from_its_start(waited: timedelta, ran_for: timedelta) -> None:
    """An account whose turn comes after hours is acted on, one whose event lay about for an hour is not."""
    scheduled, real_now = NOW, NOW + waited + ran_for
    times = {"time": scheduled.isoformat(), "account": "210987654321"}
    asked = parse_event({**times, "started": (scheduled + waited).isoformat()}, SweepEvent, real_now)
    again = parse_event({**times, "started": real_now.isoformat()}, SweepEvent, real_now)

    assert (asked.time, asked.begun) == (scheduled, scheduled + waited)
    assert asked.identity("a") == again.identity("b")
    old = ran_for > STALE_EVENT or waited > LONGEST_ORGANIZATION_RUN
    assert bool(asked.harmless(real_now, ())) == old


def test_each_account_of_a_run_is_an_event_of_its_own() -> None:
    accounts = [at(account=each).identity("1") for each in ("210987654321", "109876543210")]

    assert len({*accounts, at().identity("1")}) == 3


def test_an_identity_says_what_was_asked_and_nothing_that_was_not() -> None:
    """What a later version of the event adds must not make a delivery from before it another event."""
    time = "2026-10-06T03:00:00Z"

    assert at(account="210987654321").identity("1") == f'{{"time":"{time}","account":"210987654321"}}'
    same = at(account="210987654321", detectors=["a", "b"], started="2026-10-06T03:00:10Z")
    assert same.identity("1") == at(account="210987654321").identity("1")
    assert at(part=12, detectors=["a"]).identity("1") == f'{{"time":"{time}","part":12}}'
    assert at(part=2, detectors=["a"]).identity("1") == f'{{"time":"{time}","part":2}}'
    digest = parse_event({"time": time}, DigestEvent, NOW)
    assert (digest.identity("1"), DigestEvent().identity("1")) == (f'{{"time":"{time}"}}', "1")


def test_an_undo_is_the_same_only_if_it_is_asked_for_with_a_request() -> None:
    asked = {"detector": "idle-endpoints", "region": "eu-west-1", "finding": "0123456789", "by": "maria"}

    alone, named = (check_event(asked | more, UndoEvent) for more in ({}, {"request": "7"}))

    assert (alone.identity("1"), alone.identity("2")) == ("1", "2")
    assert named.identity("1") == named.identity("2") == named.model_dump_json()
    for wrong in (
        {"by": "x" * 201},
        {"finding": "../.."},
        {"detector": "x#y"},
        {"act": True},
        {"region": None},
    ):
        with pytest.raises(InvalidInputError):
            check_event(asked | wrong, UndoEvent)


def test_a_next_part_is_of_the_same_run_and_started_anew() -> None:
    given, later = at(account="210987654321", regions=["us-east-1"]), NOW + timedelta(minutes=15)

    assert given.next_part(["a", "b"], started=later) == {
        "time": "2026-10-06T03:00:00Z",
        "account": "210987654321",
        "regions": ["us-east-1"],
        "detectors": ["a", "b"],
        "part": 2,
        "started": "2026-10-06T03:15:00Z",
    }
    assert at(None).next_part(["a"], started=later, regions=["eu-west-1"]) == {
        "detectors": ["a"],
        "part": 2,
        "regions": ["eu-west-1"],
    }


def test_an_execution_of_an_earlier_version_names_one_detector() -> None:
    step: dict[str, object] = {"step": "list", "time": NOW.isoformat()}

    names = [
        parse_event(step | more, AccountsEvent, NOW).names
        for more in ({"detector": "idle-endpoints"}, {"detectors": ["idle-endpoints", "idle-notebooks"]})
    ]
    assert names == [("idle-endpoints",), ("idle-endpoints", "idle-notebooks")]
    with pytest.raises(InvalidInputError, match="it needs the name of one"):
        parse_event(step, AccountsEvent, NOW)


def test_a_start_may_seem_to_come_first_by_two_clocks_and_a_list_lasts_a_day() -> None:
    early = {"time": NOW.isoformat(), "started": (NOW - CLOCK_SKEW).isoformat()}
    assert parse_event(early, SweepEvent, NOW).begun == NOW - CLOCK_SKEW

    for late, harmless in ((timedelta(0), ""), (timedelta(seconds=1), "its run began 24 hours before")):
        begun = NOW + LONGEST_ORGANIZATION_RUN + late
        asked = parse_event({"time": NOW.isoformat(), "started": begun.isoformat()}, SweepEvent, begun)
        assert asked.harmless(begun, ()).startswith(harmless)
        assert (asked.harmless(begun, ()) == "") is (late == timedelta(0))


def test_a_press_is_told_by_who_pressed_what_and_when() -> None:
    press = {"user": "U1", "channel": "C1", "message": "1.2", "action": "keep", "value": "a"}
    asked = press | {"at": "1790000000.5", "response_url": "https://hooks.slack.com/x"}

    one = check_event(asked, PressEvent)

    assert one.pressed == datetime.fromtimestamp(1790000000, UTC)
    assert one.identity == "U1 C1 1.2 keep a 1790000000.5"
    assert check_event(asked | {"response_url": ""}, PressEvent).identity == one.identity


ODD_VALUES: tuple[object, ...] = (
    True,
    -1,
    10**40,
    1.5,
    "",
    "x",
    "x" * 100_000,
    [],
    [1],
    ["x"] * 200,
    {},
    {"a": 1},
    None,
    "{",
)
PARSER_PHRASES = re.compile(r"Input should|Value error|unable to|Extra inputs|String should|\{\w+\}")
EVENT_MODELS = [
    model
    for model in vars(events).values()
    if isinstance(model, type) and issubclass(model, BaseModel) and model is not BaseModel
]


@pytest.mark.parametrize("model", EVENT_MODELS)
def test_no_refusal_repeats_a_phrase_of_the_parser(model: type[BaseModel]) -> None:
    whole = [({name: odd}, name) for name in [*model.model_fields, "other"] for odd in ODD_VALUES]
    refused = dict[str, str]()
    for asked, name in [*whole, *((odd, "event") for odd in ODD_VALUES)]:
        try:
            check_event(asked, model)  # type: ignore[arg-type]
        except InvalidInputError as error:
            refused[str(error).partition(": expected a text of the form ")[0]] = name

    assert {"event", next(iter(model.model_fields))} <= set(refused.values())
    assert [text for text in refused if PARSER_PHRASES.search(text) or len(text) > 500] == []
