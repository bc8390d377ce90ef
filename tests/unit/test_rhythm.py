"""The rhythm of logs: what CloudWatch answers in ways that the sandbox does not."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Prices
from ml_janitor.core.model import Absent, NotRead, Signal, Unreadable, Value
from ml_janitor.detectors.hung_training_jobs.rhythm import PAGES, Rhythm, longest_pause, read

NOW = datetime(2026, 10, 6, 3, tzinfo=UTC)
STARTED = NOW - timedelta(days=2)
LAST = NOW - timedelta(hours=10)
FRESH = NOW - timedelta(hours=6)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
GET = "logs:GetLogEvents"


@pytest.fixture
def account() -> Iterator[Aws]:
    session = boto3.Session(region_name="us-east-1")
    with ThreadPoolExecutor(1) as pool:
        prices = Prices(lambda: session.client("pricing"))
        yield Aws(session, region="us-east-1", account="123456789012", prices=prices, pool=pool, attempts=1)


@pytest.fixture
def logs(account: Aws) -> Iterator[Stubber]:
    with Stubber(account.logs) as stub:
        yield stub
        stub.assert_no_pending_responses()


def page(token: str, *times: datetime) -> dict[str, Any]:
    events = [{"timestamp": int(at.timestamp() * 1000), "message": "step"} for at in times]
    return {"events": events, "nextBackwardToken": token, "nextForwardToken": "f"}


def events(stub: Stubber, token: str, *times: datetime) -> None:
    stub.add_response("get_log_events", page(token, *times))


def streams(stub: Stubber, **newest: datetime | None) -> None:
    listed = [
        {"logStreamName": f"train/{name}"}
        | ({"lastEventTimestamp": int(at.timestamp() * 1000)} if at else {})
        for name, at in newest.items()
    ]
    stub.add_response(
        "describe_log_streams",
        {"logStreams": listed},
        {"logGroupName": "group", "logStreamNamePrefix": "train/algo-", "limit": 50},
    )


def rhythm(account: Aws) -> Signal[Rhythm]:
    return read(account, "group", "train/algo-", started=STARTED, fresh=FRESH)


def pause(account: Aws, *names: str) -> Signal[timedelta]:
    return longest_pause(account, "group", names or ("a",), started=STARTED, last=LAST)


def test_a_fresh_listing_is_enough(account: Aws, logs: Stubber) -> None:
    streams(logs, a=LAST, b=FRESH + MINUTE)

    answer = rhythm(account)

    assert isinstance(answer, Value)
    assert answer.value == Rhythm(last=FRESH + MINUTE, longest_pause=NotRead())
    assert answer.source == "logs:DescribeLogStreams"


def test_the_listing_lags_so_the_events_decide(account: Aws, logs: Stubber) -> None:
    streams(logs, a=LAST, b=None, c=None)
    events(logs, "b1", LAST)
    events(logs, "b1", FRESH + MINUTE)  # the first fresh one is enough: c is not asked

    assert rhythm(account) == Value(Rhythm(last=FRESH + MINUTE, longest_pause=NotRead()), GET, FRESH + MINUTE)


def test_exactly_as_old_as_the_silence_is_silent(account: Aws, logs: Stubber) -> None:
    streams(logs, a=FRESH)
    events(logs, "b1", FRESH)
    events(logs, "b1", STARTED + HOUR, FRESH)
    events(logs, "b1")

    answer = rhythm(account)

    assert isinstance(answer, Value)
    assert answer.value == Rhythm(last=FRESH, longest_pause=Value(FRESH - STARTED - HOUR, GET))


def test_events_that_expired_were_there(account: Aws, logs: Stubber) -> None:
    streams(logs, a=LAST)
    for _ in range(2):  # for the newest event, then for the history
        events(logs, "b1")
        events(logs, "b1")

    answer = rhythm(account)

    assert isinstance(answer, Value)
    assert answer.value == Rhythm(last=LAST, longest_pause=Value(LAST - STARTED, GET))


def test_an_unreadable_stream_may_hide_a_newer_event(account: Aws, logs: Stubber) -> None:
    streams(logs, a=LAST, b=LAST)
    logs.add_client_error("get_log_events", "ThrottlingException", "slow down")
    events(logs, "b1", LAST)

    assert rhythm(account) == Unreadable("GetLogEvents: ThrottlingException: slow down", GET)


def test_a_fresh_stream_outweighs_an_unreadable_one(account: Aws, logs: Stubber) -> None:
    streams(logs, a=LAST, b=LAST)
    logs.add_client_error("get_log_events", "ThrottlingException", "slow down")
    events(logs, "b1", NOW)

    assert isinstance(rhythm(account), Value)


def test_no_streams_and_no_events_are_absent(account: Aws, logs: Stubber) -> None:
    streams(logs)
    assert rhythm(account) == Absent(GET)

    logs.add_client_error("describe_log_streams", "ResourceNotFoundException", "no such group")
    assert rhythm(account) == Absent("logs:DescribeLogStreams")


def test_a_refused_listing_is_unreadable(account: Aws, logs: Stubber) -> None:
    logs.add_client_error("describe_log_streams", "AccessDeniedException", "no")

    assert isinstance(rhythm(account), Unreadable)


def test_pauses_are_those_of_all_streams_together(account: Aws, logs: Stubber) -> None:
    events(logs, "b1", STARTED + HOUR, STARTED + 9 * HOUR, LAST)
    events(logs, "b1")
    events(logs, "b1", *(STARTED + n * HOUR for n in range(5, 36)))
    events(logs, "b1")

    # 38 hours: the first event, 1 h after the start, then a pause of 4 h until the second stream begins
    assert pause(account, "a", "b") == Value(4 * HOUR, GET)


def test_the_start_up_is_a_pause(account: Aws, logs: Stubber) -> None:
    events(logs, "b1", *(STARTED + n * HOUR for n in range(7, 38)))
    events(logs, "b1")

    assert pause(account) == Value(7 * HOUR, GET)


def test_pages_go_back_to_the_beginning(account: Aws, logs: Stubber) -> None:
    events(logs, "b1", *(STARTED + n * HOUR for n in range(20, 38)))
    events(logs, "b2")
    events(logs, "b3", STARTED + 2 * HOUR)
    events(logs, "b3")

    assert pause(account) == Value(18 * HOUR, GET)


def test_a_history_too_long_to_read_has_no_rhythm(account: Aws, logs: Stubber) -> None:
    for n in range(PAGES):
        events(logs, f"b{n}", LAST - n * MINUTE)

    assert pause(account) == Absent(GET)


def test_what_was_not_read_makes_pauses_longer(account: Aws, logs: Stubber) -> None:
    events(logs, "b1", STARTED + 10 * HOUR)
    events(logs, "b1")
    for n in range(PAGES - 2):
        events(logs, f"b{n}", LAST - n * HOUR / 10)

    assert pause(account, "a", "b") == Value(28 * HOUR - (PAGES - 3) * HOUR / 10, GET)


def test_a_listing_may_know_of_a_later_event(account: Aws, logs: Stubber) -> None:
    streams(logs, a=LAST)
    for _ in range(2):
        events(logs, "b1", LAST - HOUR)
    events(logs, "b1")

    answer = rhythm(account)

    assert isinstance(answer, Value)
    assert answer.value.last == LAST


def test_a_history_that_breaks_off_is_unreadable(account: Aws, logs: Stubber) -> None:
    events(logs, "b1", LAST)
    logs.add_client_error("get_log_events", "ThrottlingException", "slow down")

    assert isinstance(pause(account), Unreadable)
