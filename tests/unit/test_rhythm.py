"""The rhythm of logs: what CloudWatch answers in ways that the sandbox does not."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from conftest import HOUR, MINUTE, NOW
from ml_janitor.aws.activity import LogNotRead
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Prices
from ml_janitor.core.model import Absent, NotRead, Signal, Unreadable, Value
from ml_janitor.detectors.hung_training_jobs.progress import (
    MOST_PROBES,
    MOST_RHYTHM_PAGES,
    LogRhythm,
    read_longest_pause,
    read_rhythm,
)
from narrowing import of_type

STARTED = NOW - timedelta(days=2)
LAST = NOW - timedelta(hours=10)
FRESH = NOW - timedelta(hours=6)
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


def rhythm(account: Aws) -> Signal[LogRhythm]:
    return read_rhythm(account, "group", "train/algo-", started=STARTED, fresh=FRESH)


def pause(account: Aws, *names: str) -> Signal[timedelta]:
    return read_longest_pause(account, "group", names or ("a",), started=STARTED, last=LAST)


def too_much(stub: Stubber) -> None:
    """More pages than are read, all of the last hour: 37 hours before that are left open."""
    for n in range(MOST_RHYTHM_PAGES):
        events(stub, f"b{n}", LAST - n * MINUTE)


def asked(stub: Stubber, stream: str, hour: int, found: datetime | None, *, empty: int = 0) -> None:
    """The first event of *stream* since that hour is asked for; *empty* pages come first."""
    since = int((STARTED + hour * HOUR).timestamp() * 1000)
    request: dict[str, Any] = {
        "logGroupName": "group",
        "logStreamName": stream,
        "limit": 1,
        "startFromHead": True,
        "startTime": since,
    }
    tokens = [f"f{n}" for n in range(empty + 1 + (found is None))]
    for n, token in enumerate(tokens):
        last = n == len(tokens) - 1
        times = [found] if last and found is not None else []
        answer = page("b", *times) | {"nextForwardToken": tokens[n - 1] if last and found is None else token}
        stub.add_response("get_log_events", answer, request | ({"nextToken": tokens[n - 1]} if n else {}))


def test_without_the_logs_the_listing_alone_says_when_a_job_last_logged(account: Aws, logs: Stubber) -> None:
    streams(logs, a=LAST, b=None)
    heard = read_rhythm(account, "group", "train/algo-", started=STARTED, fresh=FRESH, events=False)
    assert isinstance(heard, Value)
    assert heard.value == LogRhythm(last=LAST, longest_pause=LogNotRead())
    streams(logs, b=None)
    heard = read_rhythm(account, "group", "train/algo-", started=STARTED, fresh=FRESH, events=False)
    assert heard == LogNotRead()


def test_a_fresh_listing_is_enough(account: Aws, logs: Stubber) -> None:
    streams(logs, a=LAST, b=FRESH + MINUTE)

    answer = of_type(Value, rhythm(account))

    assert answer.value == LogRhythm(last=FRESH + MINUTE, longest_pause=NotRead())
    assert answer.source == "logs:DescribeLogStreams"


def test_the_listing_lags_so_the_events_decide(account: Aws, logs: Stubber) -> None:
    streams(logs, a=LAST, b=None, c=None)
    events(logs, "b1", LAST)
    events(logs, "b1", FRESH + MINUTE)  # the first fresh one is enough: c is not asked

    assert rhythm(account) == Value(
        LogRhythm(last=FRESH + MINUTE, longest_pause=NotRead()), GET, FRESH + MINUTE
    )


def test_exactly_as_old_as_the_silence_is_silent(account: Aws, logs: Stubber) -> None:
    streams(logs, a=FRESH)
    events(logs, "b1", FRESH)
    events(logs, "b1", STARTED + HOUR, FRESH)
    events(logs, "b1")

    answer = of_type(Value, rhythm(account))

    assert answer.value == LogRhythm(last=FRESH, longest_pause=Value(FRESH - STARTED - HOUR, GET))


def test_the_newest_event_of_all_streams_is_the_last_one(account: Aws, logs: Stubber) -> None:
    """Also where the index has none of them yet."""
    streams(logs, a=None, b=None)
    events(logs, "b1", LAST)
    events(logs, "b1", LAST - HOUR)
    for at in (LAST, LAST - HOUR):  # the history of each
        events(logs, "b1", at)
        events(logs, "b1")

    answer = of_type(Value, rhythm(account))

    assert answer.value.last == LAST


def test_one_that_is_just_silent_may_hide_none_that_is_fresh(account: Aws, logs: Stubber) -> None:
    streams(logs, a=None, b=None)
    events(logs, "b1", FRESH)
    events(logs, "b1", FRESH + MINUTE)

    assert rhythm(account) == Value(
        LogRhythm(last=FRESH + MINUTE, longest_pause=NotRead()), GET, FRESH + MINUTE
    )


def test_events_that_expired_were_there(account: Aws, logs: Stubber) -> None:
    streams(logs, a=LAST)
    for _ in range(2):  # for the newest event, then for the history
        events(logs, "b1")
        events(logs, "b1")

    answer = of_type(Value, rhythm(account))

    assert answer.value == LogRhythm(last=LAST, longest_pause=Value(LAST - STARTED, GET))


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


def test_a_history_too_long_to_read_is_probed_by_the_hour(account: Aws, logs: Stubber) -> None:
    too_much(logs)
    for hour in range(37):
        asked(logs, "a", hour, STARTED + hour * HOUR + 59 * MINUTE, empty=hour % 2)

    assert pause(account) == Value(2 * HOUR, GET)


def test_windows_of_known_events_are_not_probed_nor_is_the_last(account: Aws, logs: Stubber) -> None:
    times = [LAST - n * 75 * MINUTE for n in range(MOST_RHYTHM_PAGES)]
    for n, at in enumerate(times):
        events(logs, f"b{n}", at)
    for hour in sorted({*range(37)} - {(at - STARTED) // HOUR for at in times}):
        asked(logs, "a", hour, STARTED + hour * HOUR)

    assert pause(account) == Value(2 * HOUR, GET)


@pytest.mark.parametrize(("first", "empty"), [(10, 5), (0, 1), (36, 1)])
def test_a_pause_is_the_empty_hours_plus_two(account: Aws, logs: Stubber, first: int, empty: int) -> None:
    """Whatever happened in the hours before and behind it. Until it ends the stream is not asked again."""
    too_much(logs)
    for hour in range(first):
        asked(logs, "a", hour, STARTED + hour * HOUR)
    asked(logs, "a", first, STARTED + (first + empty) * HOUR)
    for hour in range(first + empty + 1, 37):
        asked(logs, "a", hour, STARTED + hour * HOUR)

    assert pause(account) == Value((empty + 2) * HOUR, GET)


def test_a_pause_is_one_only_if_all_streams_are_silent(account: Aws, logs: Stubber) -> None:
    """The stream that spoke last is asked first, and a stream with nothing more is not asked again."""
    too_much(logs)
    asked(logs, "a", 0, STARTED + MINUTE)
    asked(logs, "a", 1, None)
    asked(logs, "b", 1, STARTED + 3 * HOUR)
    for hour in range(4, 37):
        asked(logs, "b", hour, STARTED + hour * HOUR)

    assert pause(account, "a", "b") == Value(4 * HOUR, GET)


def test_a_history_that_takes_too_many_calls_has_no_rhythm(account: Aws, logs: Stubber) -> None:
    too_much(logs)
    asked(logs, "a", 0, STARTED + MINUTE, empty=MOST_PROBES - 2)
    since = {"startTime": int((STARTED + HOUR).timestamp() * 1000), "startFromHead": True, "limit": 1}
    logs.add_response("get_log_events", page("b"), since | {"logGroupName": "group", "logStreamName": "a"})

    assert pause(account) == Absent(GET)


def test_a_probe_that_is_refused_leaves_the_pause_unreadable(account: Aws, logs: Stubber) -> None:
    too_much(logs)
    logs.add_client_error("get_log_events", "ThrottlingException", "Rate exceeded")

    assert isinstance(pause(account), Unreadable)


def test_what_was_not_read_makes_pauses_longer(account: Aws, logs: Stubber) -> None:
    events(logs, "b1", STARTED + 10 * HOUR)
    events(logs, "b1")
    for n in range(MOST_RHYTHM_PAGES - 2):
        events(logs, f"b{n}", LAST - n * HOUR / 10)

    assert pause(account, "a", "b") == Value(28 * HOUR - (MOST_RHYTHM_PAGES - 3) * HOUR / 10, GET)


def test_a_listing_may_know_of_a_later_event(account: Aws, logs: Stubber) -> None:
    streams(logs, a=LAST)
    for _ in range(2):
        events(logs, "b1", LAST - HOUR)
    events(logs, "b1")

    answer = of_type(Value, rhythm(account))

    assert answer.value.last == LAST


def test_a_history_that_breaks_off_is_unreadable(account: Aws, logs: Stubber) -> None:
    events(logs, "b1", LAST)
    logs.add_client_error("get_log_events", "ThrottlingException", "slow down")

    assert isinstance(pause(account), Unreadable)
