"""What CloudWatch Logs answers in ways that the sandbox does not."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from ml_janitor.aws.activity import (
    FAR_FUTURE,
    MOST_EMPTY_PAGES,
    LogGroup,
    active_streams,
    find_log_group,
    last_log_event,
    list_log_groups,
    log_event_pages,
    log_time,
)
from ml_janitor.aws.calls import ReadError
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Prices
from ml_janitor.core.model import Absent, Unreadable, Value
from narrowing import not_none
from scripted import DENIED, Refusal, Script, Torn
from tables import cases

ASKED = {"logGroupName": "group", "logStreamName": "a/jupyter.log", "limit": 1, "startFromHead": False}
AT = datetime(2026, 10, 5, 18, tzinfo=UTC)


@pytest.fixture
def account() -> Iterator[Aws]:
    session = boto3.Session(region_name="us-east-1")
    with ThreadPoolExecutor(1) as pool:
        prices = Prices(lambda: session.client("pricing"))
        yield Aws(session, region="us-east-1", account="123456789012", prices=prices, pool=pool, attempts=1)


def page(token: str, *times: datetime) -> dict[str, Any]:
    events = [{"timestamp": int(at.timestamp() * 1000), "message": "saved"} for at in times]
    return {"events": events, "nextBackwardToken": token, "nextForwardToken": "f"}


def test_an_empty_page_is_no_end(account: Aws) -> None:
    with Stubber(account.logs) as logs:
        logs.add_response("get_log_events", page("b1"), ASKED)
        logs.add_response("get_log_events", page("b2"), ASKED | {"nextToken": "b1"})
        logs.add_response("get_log_events", page("b3", AT), ASKED | {"nextToken": "b2"})

        assert last_log_event(account, "group", "a/jupyter.log") == Value(AT, "logs:GetLogEvents", AT)


def test_a_token_that_comes_back_is_the_end(account: Aws) -> None:
    with Stubber(account.logs) as logs:
        logs.add_response("get_log_events", page("b1"), ASKED)
        logs.add_response("get_log_events", page("b1"), ASKED | {"nextToken": "b1"})

        assert last_log_event(account, "group", "a/jupyter.log") == Absent("logs:GetLogEvents")


def test_a_stream_that_never_ends_is_unreadable(account: Aws) -> None:
    with Stubber(account.logs) as logs:
        logs.add_response("get_log_events", page("b0"), ASKED)
        for n in range(MOST_EMPTY_PAGES - 1):
            logs.add_response("get_log_events", page(f"b{n + 1}"), ASKED | {"nextToken": f"b{n}"})

        answer = last_log_event(account, "group", "a/jupyter.log")
        logs.assert_no_pending_responses()

    assert isinstance(answer, Unreadable)
    assert "more to read" in answer.error


def test_an_answer_that_was_cut_off_is_unreadable_not_empty(account: Aws) -> None:
    with Stubber(account.logs) as logs:
        logs.add_response("get_log_events", {}, ASKED)

        assert isinstance(last_log_event(account, "group", "a/jupyter.log"), Unreadable)


@cases(
    "milliseconds, time",
    (0, datetime(1970, 1, 1, tzinfo=UTC)),
    (1_791_255_600_250, datetime(2026, 10, 6, 3, 0, 0, 250_000, tzinfo=UTC)),
    (253_370_764_800_000, FAR_FUTURE),
    (253_402_300_800_000, FAR_FUTURE),
    (2**63 - 1, FAR_FUTURE),
    (10**30, FAR_FUTURE),
)
def test_no_timestamp_is_too_late(milliseconds: int, time: datetime) -> None:
    assert log_time(milliseconds) == time


def milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def listed(name: str, **more: Any) -> dict[str, Any]:
    arn = f"arn:aws:logs:us-east-1:123456789012:log-group:{name}"
    return {
        "logGroupName": name,
        "arn": f"{arn}:*",
        "creationTime": milliseconds(AT),
        "storedBytes": 9,
    } | more


GROUPS = "logs:DescribeLogGroups"


def test_log_groups_are_on_all_pages_with_how_long_they_keep_events() -> None:
    pages = [
        {"logGroups": [listed("/a")]},
        {"logGroups": [listed("/b", retentionInDays=7, logGroupClass="DELIVERY")]},
    ]
    account = Script({GROUPS: pages})

    found = list_log_groups(account.aws(), "/")

    arn = "arn:aws:logs:us-east-1:123456789012:log-group:"
    assert found.items == (
        LogGroup(name="/a", arn=f"{arn}/a", created=AT, stored=9, kept=None, delivered=False),
        LogGroup(name="/b", arn=f"{arn}/b", created=AT, stored=9, kept=7, delivered=True),
    )
    assert account.asked(GROUPS)[0] == {"logGroupNamePrefix": "/", "limit": 50}
    everywhere = Script({GROUPS: pages})
    assert len(list_log_groups(everywhere.aws()).items) == 2
    assert everywhere.asked(GROUPS)[0] == {"limit": 50}


def test_one_group_is_the_one_of_exactly_that_name() -> None:
    pages = [{"logGroups": [listed("/a/b")]}, {"logGroups": [listed("/a")]}]

    found = not_none(find_log_group(Script({GROUPS: pages}).aws(), "/a"))

    assert found.name == "/a"
    assert find_log_group(Script({GROUPS: pages}).aws(), "/a/") is None
    with pytest.raises(ReadError, match="DescribeLogGroups broke off after 1"):
        find_log_group(Script({GROUPS: [pages[0], DENIED]}).aws(), "/a")
    assert find_log_group(Script({GROUPS: [pages[1], DENIED]}).aws(), "/a") is not None


STREAMS = "logs:DescribeLogStreams"


def stream(name: str, at: datetime | None) -> dict[str, Any]:
    newest = {"lastEventTimestamp": milliseconds(at)} if at else {}
    return {"logStreamName": name} | newest


def test_streams_are_read_newest_first_until_one_is_too_old() -> None:
    second = timedelta(seconds=1)
    pages = [
        {"logStreams": [stream("a", AT + second), stream("b", AT)]},
        {"logStreams": [stream("c", AT), stream("d", AT - second), stream("e", AT)]},
        DENIED,
    ]
    account = Script({STREAMS: pages})

    found = active_streams(account.aws(), "group", AT)

    assert found == Value({"a": AT + second, "b": AT, "c": AT}, STREAMS)
    asked = {"logGroupName": "group", "orderBy": "LastEventTime", "descending": True, "limit": 50}
    assert account.asked(STREAMS)[0] == asked
    every = Script({STREAMS: {"logStreams": [stream("a", AT)]}})
    assert active_streams(every.aws(), "group", AT) == Value({"a": AT}, STREAMS)
    never = Script({STREAMS: {"logStreams": [stream("a", None)]}})
    assert active_streams(never.aws(), "group", AT) == Value({}, STREAMS)


@cases(
    "answer, expected",
    (Refusal("ResourceNotFoundException"), Absent(STREAMS)),
    (DENIED, Unreadable("DescribeLogStreams: AccessDeniedException: denied", STREAMS)),
    (Torn({}), Unreadable("the answer lacks logStreams: it was cut off", STREAMS)),
)
def test_streams_that_cannot_be_read(answer: Any, expected: Any) -> None:
    assert active_streams(Script({STREAMS: answer}).aws(), "group", AT) == expected


def test_events_since_then_come_from_the_head_in_order() -> None:
    def answer(asked: Any) -> Any:
        assert (asked["startFromHead"], asked["startTime"], asked["limit"]) == (
            True,
            milliseconds(AT),
            10_000,
        )
        number = int(asked.get("nextToken", "0"))
        events = [{"timestamp": milliseconds(AT), "message": "m"}] if number == 1 else []
        following = str(min(number + 1, 3))
        return {"events": events, "nextForwardToken": following, "nextBackwardToken": following}

    pages = log_event_pages(Script({"logs:GetLogEvents": answer}).aws(), "group", "stream", since=AT)

    assert list(pages) == [(), (AT,), (), ()]


def test_the_newest_of_a_page_is_the_last_event(account: Aws) -> None:
    with Stubber(account.logs) as logs:
        logs.add_response("get_log_events", page("b1", AT, AT + timedelta(1), AT), ASKED)
        assert last_log_event(account, "group", "a/jupyter.log") == Value(
            AT + timedelta(1), "logs:GetLogEvents", AT + timedelta(1)
        )
    gone = Script({"logs:GetLogEvents": Refusal("ResourceNotFoundException")})
    assert last_log_event(gone.aws(), "group", "s") == Absent("logs:GetLogEvents")
