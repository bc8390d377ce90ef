import datetime as dt
from typing import Any

import pytest
from botocore.exceptions import ClientError

from corrected import NOW, Control

HOUR = dt.timedelta(hours=1)
GROUP = "/aws/sagemaker/TrainingJobs"


def millis(moment: dt.datetime) -> int:
    return int(moment.timestamp() * 1000)


def test_a_prefix_that_moto_ignores_is_refused(control: Control, aws: Any) -> None:
    control.logs(GROUP, "train/algo-1-1", [(NOW - HOUR, "here")])
    found = aws("logs").filter_log_events(logGroupName=GROUP)["events"]
    assert [one["message"] for one in found] == ["here"]
    with pytest.raises(ClientError, match="know no prefixes"):
        aws("logs").filter_log_events(logGroupName=GROUP, logStreamNamePrefix="train/")


def test_seeds_may_be_of_any_age(control: Control, aws: Any) -> None:
    old = NOW - dt.timedelta(days=400)
    control.logs(GROUP, "s", [(old, "ancient")])
    (stream,) = aws("logs").describe_log_streams(logGroupName=GROUP)["logStreams"]
    assert (
        stream["lastEventTimestamp"] == stream["lastIngestionTime"] == stream["creationTime"] == millis(old)
    )
    assert stream["storedBytes"] == 0
    found = aws("logs").get_log_events(logGroupName=GROUP, logStreamName="s", limit=1, startFromHead=False)
    assert [one["message"] for one in found["events"]] == ["ancient"]


def test_the_last_timestamp_may_lag_behind_the_events(control: Control, aws: Any) -> None:
    control.logs(GROUP, "s", [(NOW - 5 * HOUR, "seen"), (NOW, "not yet")], lag_hours=2)
    (stream,) = aws("logs").describe_log_streams(logGroupName=GROUP)["logStreams"]
    assert stream["lastEventTimestamp"] == millis(NOW - 5 * HOUR)
    found = aws("logs").get_log_events(logGroupName=GROUP, logStreamName="s", limit=1, startFromHead=False)
    assert [one["message"] for one in found["events"]] == ["not yet"]


def test_times_bound_a_stream_too_and_its_end_does_not_belong_to_it(control: Control, aws: Any) -> None:
    control.logs(GROUP, "s", [(NOW - hours * HOUR, str(hours)) for hours in (3, 2, 1)])
    bounds = {"startTime": millis(NOW - 3 * HOUR), "endTime": millis(NOW - HOUR)}
    found = aws("logs").get_log_events(logGroupName=GROUP, logStreamName="s", **bounds)
    assert [one["message"] for one in found["events"]] == ["3", "2"]


@pytest.mark.parametrize("head", [False, True])
def test_pages_of_a_stream_end_by_time_so_some_are_empty(control: Control, aws: Any, head: bool) -> None:  # noqa: FBT001
    """The end is a token that comes back unchanged."""
    control.logs(GROUP, "s", [(NOW - hours * HOUR, str(hours)) for hours in (9, 2, 1)], page_hours=2)
    get, following = aws("logs").get_log_events, "nextForwardToken" if head else "nextBackwardToken"
    seen, token = [], None
    for _ in range(20):
        given: Any = {"nextToken": token} if token else {}
        page = get(logGroupName=GROUP, logStreamName="s", startFromHead=head, limit=2, **given)
        seen.append([one["message"] for one in page["events"]])
        if page[following] == token:
            break
        token = page[following]
    if head:
        assert seen == [["9"], [], [], ["2"], ["1"], []]
    else:
        assert seen == [["2", "1"], [], [], [], [], ["9"], []]


@pytest.mark.parametrize(("group", "stream"), [("ghost", "s"), (GROUP, "ghost")])
def test_what_does_not_exist_has_no_events(control: Control, aws: Any, group: str, stream: str) -> None:
    control.logs(GROUP, "s", [(NOW, "here")])
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        aws("logs").get_log_events(logGroupName=group, logStreamName=stream)


def test_events_are_taken_for_two_weeks_of_the_sandboxs_time(control: Control, aws: Any) -> None:
    control.logs(GROUP, "s")
    events = [{"timestamp": millis(NOW - dt.timedelta(days=days)), "message": str(days)} for days in (15, 13)]
    answer = aws("logs").put_log_events(logGroupName=GROUP, logStreamName="s", logEvents=events)
    assert answer["rejectedLogEventsInfo"]["tooOldLogEventEndIndex"] == 0
    kept = aws("logs").get_log_events(logGroupName=GROUP, logStreamName="s")["events"]
    assert [one["message"] for one in kept] == ["13"]
