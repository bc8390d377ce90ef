"""What CloudWatch Logs answers in ways that the sandbox does not."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from ml_janitor.aws.client import Aws
from ml_janitor.aws.logs import EMPTY_PAGES, FAR_FUTURE, last_event, moment
from ml_janitor.aws.prices import Prices
from ml_janitor.core.signals import Absent, Unreadable, Value

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

        assert last_event(account, "group", "a/jupyter.log") == Value(AT, "logs:GetLogEvents", AT)


def test_a_token_that_comes_back_is_the_end(account: Aws) -> None:
    with Stubber(account.logs) as logs:
        logs.add_response("get_log_events", page("b1"), ASKED)
        logs.add_response("get_log_events", page("b1"), ASKED | {"nextToken": "b1"})

        assert last_event(account, "group", "a/jupyter.log") == Absent("logs:GetLogEvents")


def test_a_stream_that_never_ends_is_unreadable(account: Aws) -> None:
    with Stubber(account.logs) as logs:
        logs.add_response("get_log_events", page("b0"), ASKED)
        for n in range(EMPTY_PAGES):
            logs.add_response("get_log_events", page(f"b{n + 1}"), ASKED | {"nextToken": f"b{n}"})

        answer = last_event(account, "group", "a/jupyter.log")

    assert isinstance(answer, Unreadable)
    assert "more to read" in answer.error


def test_an_answer_that_was_cut_off_is_unreadable_not_empty(account: Aws) -> None:
    with Stubber(account.logs) as logs:
        logs.add_response("get_log_events", {}, ASKED)

        assert isinstance(last_event(account, "group", "a/jupyter.log"), Unreadable)


@pytest.mark.parametrize(
    ("milliseconds", "time"),
    [
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (1_791_255_600_250, datetime(2026, 10, 6, 3, 0, 0, 250_000, tzinfo=UTC)),
        (253_370_764_800_000, FAR_FUTURE),
        (253_402_300_800_000, FAR_FUTURE),
        (2**63 - 1, FAR_FUTURE),
        (10**30, FAR_FUTURE),
    ],
)
def test_no_timestamp_is_too_late(milliseconds: int, time: datetime) -> None:
    assert moment(milliseconds) == time
