"""The rhythm of logs: what CloudWatch answers in ways that the sandbox does not."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from conftest import HOUR, MINUTE, NOW
from ml_janitor.aws.activity import LogNotRead
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Absent, NotRead, Signal, Unreadable, Value
from ml_janitor.detectors.hung_training_jobs.progress import (
    MOST_PROBES,
    MOST_RHYTHM_PAGES,
    LogRhythm,
    read_longest_pause,
    read_rhythm,
)
from scripted import Refusal, Script
from tables import cases

STARTED = NOW - timedelta(days=2)
LAST = NOW - timedelta(hours=10)
FRESH = NOW - timedelta(hours=6)
LATE = FRESH + MINUTE
LIST, GET = "logs:DescribeLogStreams", "logs:GetLogEvents"

type Call = tuple[dict[str, Any] | None, Any]
"""A request, where it matters, and its answer."""

THROTTLED: Call = (None, Refusal("ThrottlingException", "slow down"))
SLOW = Unreadable("GetLogEvents: ThrottlingException: slow down", GET)


def milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def page(token: str, *times: datetime) -> dict[str, Any]:
    events = [{"timestamp": milliseconds(at), "message": "step"} for at in times]
    return {"events": events, "nextBackwardToken": token, "nextForwardToken": "f"}


def pages(*times_of_each: Sequence[datetime]) -> list[Call]:
    """Pages with the same token: the second of a stream is its last."""
    return [(None, page("b1", *times)) for times in times_of_each]


def streams(**newest: datetime | None) -> dict[str, Any]:
    listed = [
        {"logStreamName": f"train/{name}"} | ({"lastEventTimestamp": milliseconds(at)} if at else {})
        for name, at in newest.items()
    ]
    return {"logStreams": listed}


def answering(coming: Iterator[Call], listing: Any = None) -> Aws:
    def events(asked: Mapping[str, Any]) -> Any:
        request, answer = next(coming)
        assert request in (None, asked)
        return answer

    def listed(asked: Mapping[str, Any]) -> Any:
        assert asked == {"logGroupName": "group", "logStreamNamePrefix": "train/algo-", "limit": 50}
        return listing

    return Script({LIST: listed, GET: events}).aws()


def rhythm(listing: Any, calls: Sequence[Call] = (), **given: Any) -> Signal[LogRhythm]:
    coming = iter(calls)
    aws = answering(coming, listing)
    found = read_rhythm(aws, "group", "train/algo-", started=STARTED, fresh=FRESH, **given)
    assert list(coming) == []
    return found


def pause(calls: Sequence[Call], *names: str) -> Signal[timedelta]:
    coming = iter(calls)
    found = read_longest_pause(answering(coming), "group", names or ("a",), started=STARTED, last=LAST)
    assert list(coming) == []
    return found


def heard(
    last: datetime,
    pause: Signal[timedelta] | timedelta = NotRead(),  # noqa: B008 - frozen
    source: str = GET,
) -> Value[LogRhythm]:
    longest = Value(pause, GET) if isinstance(pause, timedelta) else pause
    return Value(LogRhythm(last=last, longest_pause=longest), source, last)


TOO_MUCH: list[Call] = [(None, page(f"b{n}", LAST - n * MINUTE)) for n in range(MOST_RHYTHM_PAGES)]
"""More pages than are read, all of the last hour: 37 hours before that are left open."""


def asked(stream: str, hour: int, found: datetime | None, *, empty: int = 0) -> list[Call]:
    """The first event of *stream* since that hour is asked for; *empty* pages come first."""
    request: dict[str, Any] = {
        "logGroupName": "group",
        "logStreamName": stream,
        "limit": 1,
        "startFromHead": True,
        "startTime": milliseconds(STARTED + hour * HOUR),
    }
    tokens = [f"f{n}" for n in range(empty + 1 + (found is None))]
    calls: list[Call] = []
    for n, token in enumerate(tokens):
        last = n == len(tokens) - 1
        times = [found] if last and found is not None else []
        answer = page("b", *times) | {"nextForwardToken": tokens[n - 1] if last and found is None else token}
        calls.append((request | ({"nextToken": tokens[n - 1]} if n else {}), answer))
    return calls


def hourly(hours: range, stream: str = "a") -> list[Call]:
    """In each of these hours the probe finds an event at once."""
    return [call for hour in hours for call in asked(stream, hour, STARTED + hour * HOUR)]


def test_without_the_logs_the_listing_alone_says_when_a_job_last_logged() -> None:
    assert rhythm(streams(a=LAST, b=None), events=False) == heard(LAST, LogNotRead(), LIST)
    assert rhythm(streams(b=None), events=False) == LogNotRead()


@cases(
    "listing, calls, expected",
    (streams(a=LAST, b=LATE), [], heard(LATE, source=LIST)),
    # the listing lags, so the events decide; the first fresh one is enough: c is not asked
    (streams(a=LAST, b=None, c=None), pages([LAST], [LATE]), heard(LATE)),
    # exactly as old as the silence is silent
    (streams(a=FRESH), pages([FRESH], [STARTED + HOUR, FRESH], []), heard(FRESH, FRESH - STARTED - HOUR)),
    # the newest event of all streams is the last one, also where the index has none of them yet
    (
        streams(a=None, b=None),
        pages([LAST], [LAST - HOUR], [LAST], [], [LAST - HOUR], []),
        heard(LAST, 37 * HOUR),
    ),
    # one that is just silent may hide none that is fresh
    (streams(a=None, b=None), pages([FRESH], [LATE]), heard(LATE)),
    # events that expired were there: for the newest event, then for the history
    (streams(a=LAST), pages([], [], [], []), heard(LAST, LAST - STARTED)),
    # a listing may know of a later event
    (streams(a=LAST), pages([LAST - HOUR], [LAST - HOUR], []), heard(LAST, 37 * HOUR)),
    # an unreadable stream may hide a newer event, which a fresh one outweighs
    (streams(a=LAST, b=LAST), [THROTTLED, *pages([LAST])], SLOW),
    (streams(a=LAST, b=LAST), [THROTTLED, *pages([NOW])], heard(NOW)),
    # no stream, no group, no permission
    (streams(), [], Absent(GET)),
    (Refusal("ResourceNotFoundException"), [], Absent(LIST)),
    (Refusal("AccessDeniedException"), [], Unreadable("DescribeLogStreams: AccessDeniedException: no", LIST)),
)
def test_the_rhythm_is_that_of_all_streams(
    listing: Any, calls: Sequence[Call], expected: Signal[LogRhythm]
) -> None:
    assert rhythm(listing, calls) == expected


def hours(first: int, end: int) -> list[datetime]:
    return [STARTED + n * HOUR for n in range(first, end)]


@cases(
    "names, calls, expected",
    # 38 hours: the first event, 1 h after the start, then a pause of 4 h until the second stream begins
    ("ab", pages([STARTED + HOUR, STARTED + 9 * HOUR, LAST], [], hours(5, 36), []), Value(4 * HOUR, GET)),
    # the start-up is a pause
    ("a", pages(hours(7, 38), []), Value(7 * HOUR, GET)),
    # pages go back to the beginning
    (
        "a",
        [
            (None, page("b1", *hours(20, 38))),
            (None, page("b2")),
            *((None, page("b3", *times)) for times in (hours(2, 3), [])),
        ],
        Value(18 * HOUR, GET),
    ),
    # what was not read makes pauses longer
    (
        "ab",
        [
            *pages([STARTED + 10 * HOUR], []),
            *((None, page(f"b{n}", LAST - n * HOUR / 10)) for n in range(MOST_RHYTHM_PAGES - 2)),
        ],
        Value(28 * HOUR - (MOST_RHYTHM_PAGES - 3) * HOUR / 10, GET),
    ),
    # a history, or a probe, that breaks off
    ("a", [*pages([LAST]), THROTTLED], SLOW),
    ("a", [*TOO_MUCH, THROTTLED], SLOW),
)
def test_pauses_are_those_of_all_streams_together(
    names: str, calls: list[Call], expected: Signal[timedelta]
) -> None:
    assert pause(calls, *names) == expected


def test_a_history_too_long_to_read_is_probed_by_the_hour() -> None:
    probes = [
        call
        for hour in range(37)
        for call in asked("a", hour, STARTED + hour * HOUR + 59 * MINUTE, empty=hour % 2)
    ]

    assert pause([*TOO_MUCH, *probes]) == Value(2 * HOUR, GET)


def test_windows_of_known_events_are_not_probed_nor_is_the_last() -> None:
    times = [LAST - n * 75 * MINUTE for n in range(MOST_RHYTHM_PAGES)]
    known: list[Call] = [(None, page(f"b{n}", at)) for n, at in enumerate(times)]
    open_hours = sorted({*range(37)} - {(at - STARTED) // HOUR for at in times})
    probes = [call for hour in open_hours for call in hourly(range(hour, hour + 1))]

    assert pause([*known, *probes]) == Value(2 * HOUR, GET)


@pytest.mark.parametrize(("first", "empty"), [(10, 5), (0, 1), (36, 1)])
def test_a_pause_is_the_empty_hours_plus_two(first: int, empty: int) -> None:
    """Whatever happened in the hours before and behind it. Until it ends the stream is not asked again."""
    silent = asked("a", first, STARTED + (first + empty) * HOUR)
    probes = [*hourly(range(first)), *silent, *hourly(range(first + empty + 1, 37))]

    assert pause([*TOO_MUCH, *probes]) == Value((empty + 2) * HOUR, GET)


def test_a_pause_is_one_only_if_all_streams_are_silent() -> None:
    """The stream that spoke last is asked first, and a stream with nothing more is not asked again."""
    probes = [*asked("a", 0, STARTED + MINUTE), *asked("a", 1, None), *asked("b", 1, STARTED + 3 * HOUR)]

    assert pause([*TOO_MUCH, *probes, *hourly(range(4, 37), "b")], "a", "b") == Value(4 * HOUR, GET)


def test_a_history_that_takes_too_many_calls_has_no_rhythm() -> None:
    ((request, _),) = asked("a", 1, STARTED)
    probes = [*asked("a", 0, STARTED + MINUTE, empty=MOST_PROBES - 2), (request, page("b"))]

    assert pause([*TOO_MUCH, *probes]) == Absent(GET)
