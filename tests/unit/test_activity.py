"""What CloudWatch's metrics and logs and CloudTrail answer: whole, partial, failed, cut off or missing."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from conftest import DAY, HOUR, NOW
from ml_janitor.aws.activity import (
    FAR_FUTURE,
    MOST_EMPTY_PAGES,
    LogGroup,
    LogNotRead,
    Metric,
    MetricSeries,
    TrailEvent,
    active_streams,
    find_log_group,
    last_log_event,
    list_log_groups,
    list_series,
    log_event_pages,
    log_time,
    look_up_events,
    newest_event,
    period_start,
    read_metrics,
)
from ml_janitor.aws.calls import Listing, ReadError
from ml_janitor.core.model import Absent, Signal, Unreadable, Value
from narrowing import not_none, of_type
from scripted import DENIED, Refusal, Script, Torn
from tables import cases

DATA = "cloudwatch:GetMetricData"
BLUE = Metric.of("AWS/SageMaker", "Invocations", EndpointName="churn", VariantName="blue")
GREEN = Metric.of("AWS/SageMaker", "Invocations", EndpointName="churn", VariantName="green")


def result(number: int, status: str = "Complete", **points: float) -> dict[str, Any]:
    """One result: `h2=5.0` is a datapoint of two hours ago."""
    times = [NOW - int(name[1:]) * HOUR for name in points]
    return {"Id": f"m{number}", "Timestamps": times, "Values": list(points.values()), "StatusCode": status}


def answered(
    *pages: Sequence[Mapping[str, Any]], metrics: Sequence[Metric] = (BLUE, GREEN)
) -> list[Signal[MetricSeries]]:
    account = Script({DATA: [Torn({"MetricDataResults": results}) for results in pages]})
    data = read_metrics(account.aws(), metrics, NOW - 7 * DAY, NOW)
    return [data[metric] for metric in metrics]


def points(**of: float) -> Value[MetricSeries]:
    return Value(MetricSeries(tuple((NOW - int(name[1:]) * HOUR, value) for name, value in of.items())), DATA)


@cases(
    "pages, blue, green",
    ([[result(0, h3=1.0, h2=2.0), result(1, h1=7.0)]], points(h3=1.0, h2=2.0), points(h1=7.0)),
    # a series is put together from its pages in order
    (
        [
            [result(0, "PartialData", h5=1.0, h4=2.0), result(1, "PartialData")],
            [result(0, "PartialData", h3=3.0), result(1, h9=1.0)],
            [result(0, h2=4.0)],
        ],
        points(h5=1.0, h4=2.0, h3=3.0, h2=4.0),
        points(h9=1.0),
    ),
    ([[result(0), result(1, h1=0.0)]], Absent(DATA), points(h1=0.0)),  # no datapoint
    # an incomplete answer is unreadable for its metric only
    ([[result(1)]], "Invocations: no answer", Absent(DATA)),
    ([[result(0, "PartialData", h1=0.0), result(1)]], "Invocations: PartialData", Absent(DATA)),
    ([[result(0, "InternalError", h1=0.0), result(1)]], "Invocations: InternalError", Absent(DATA)),
    ([[result(0, "Forbidden"), result(1)]], "Invocations: Forbidden", Absent(DATA)),
    ([[result(0, "InternalError"), result(1)], [result(0, h1=0.0)]], "Invocations", Absent(DATA)),
    ([[{**result(0, h2=0.0, h1=0.0), "Values": [0.0]}, result(1)]], "1 value for 2 times", Absent(DATA)),
    # a result without a member costs its metric
    *(
        (
            [[{key: value for key, value in result(0, h1=0.0).items() if key != cut}, result(1)]],
            "no answer" if cut == "Id" else f"its result has no {cut}",
            Absent(DATA),
        )
        for cut in ("Id", "Timestamps", "Values", "StatusCode")
    ),
)
def test_each_metric_gets_its_own_points(
    pages: list[list[dict[str, Any]]], blue: Signal[MetricSeries] | str, green: Signal[MetricSeries] | str
) -> None:
    for found, expected in zip(answered(*pages), (blue, green), strict=True):
        if isinstance(expected, str):
            assert isinstance(found, Unreadable)
            assert expected in found.error
        else:
            assert found == expected


def test_a_page_without_results_is_unreadable() -> None:
    assert isinstance(read_metrics(Script({DATA: Torn({})}).aws(), [BLUE], NOW - DAY, NOW)[BLUE], Unreadable)


def test_every_metric_is_asked_for_once_and_500_to_a_call() -> None:
    account = Script({DATA: {"MetricDataResults": []}})
    many = [Metric.of("N", "M", Name=str(n)) for n in range(1001)]

    data = read_metrics(account.aws(), [*many, *many], NOW - DAY, NOW)

    assert [len(query["MetricDataQueries"]) for query in account.asked(DATA)] == [500, 500, 1]
    assert list(data) == many
    for query in account.asked(DATA):
        ids = [one["Id"] for one in query["MetricDataQueries"]]
        assert len(set(ids)) == len(ids)


def test_nothing_is_asked_for_nothing() -> None:
    assert read_metrics(Script({}).aws(), [], NOW - DAY, NOW) == {}


def test_a_window_starts_at_the_beginning_of_a_period() -> None:
    """Else the rest of the first hour, with whatever was in it, would be left out."""
    account = Script({DATA: {"MetricDataResults": []}})
    start = NOW - 7 * DAY + timedelta(minutes=17, seconds=3)
    daily = Metric.of("N", "M", period=86400)

    read_metrics(account.aws(), [BLUE, daily, GREEN], start, NOW)

    assert [(query["StartTime"], len(query["MetricDataQueries"])) for query in account.asked(DATA)] == [
        (datetime(2026, 9, 29, 3, tzinfo=UTC), 2),
        (datetime(2026, 9, 29, tzinfo=UTC), 1),
    ]
    assert {query["EndTime"] for query in account.asked(DATA)} == {NOW}


@cases(
    "time, period, expected",
    (NOW, 3600, NOW),
    (NOW + timedelta(minutes=59, seconds=59, microseconds=999999), 3600, NOW),
    (NOW, 86400, NOW.replace(hour=0)),
    (NOW.astimezone(timezone(timedelta(hours=5, minutes=30))), 86400, NOW.replace(hour=0)),
    (NOW + timedelta(seconds=61), 60, NOW + timedelta(seconds=60)),
)
def test_periods_are_counted_in_utc(time: datetime, period: int, expected: datetime) -> None:
    assert period_start(time, period) == expected


def test_a_metric_is_its_dimensions_in_any_order() -> None:
    turned = Metric("N", "M", frozenset([("b", "2"), ("a", "1")]))

    assert turned == Metric.of("N", "M", a="1", b="2")
    assert turned != Metric.of("N", "M", a="1")
    assert turned != Metric.of("N", "M", a="1", b="2", stat="Average")


def test_a_series_knows_its_total_and_its_newest_use() -> None:
    series = MetricSeries(((NOW - 3 * HOUR, 2.0), (NOW - 2 * HOUR, 3.0), (NOW - HOUR, 0.0)))

    assert series.total == 5.0
    assert series.last_above_zero == NOW - 2 * HOUR
    assert MetricSeries(((NOW, 0.0),)).last_above_zero is None
    assert MetricSeries(((NOW, 0.5),)).last_above_zero == NOW
    assert MetricSeries(()).total == 0


LIST = "cloudwatch:ListMetrics"


def test_what_is_published_is_on_all_pages_and_named_once() -> None:
    named = {"Namespace": "N", "MetricName": "M", "Dimensions": [{"Name": "a", "Value": "1"}]}
    bare = {"Namespace": "N", "MetricName": "M"}
    account = Script({LIST: [{"Metrics": [named, bare]}, {"Metrics": [named]}]})

    found = list_series(account.aws(), "N", "M")

    assert found == Value((Metric.of("N", "M", a="1"), Metric.of("N", "M")), LIST)
    assert account.asked(LIST)[0] == {"Namespace": "N", "MetricName": "M"}
    every = Script({LIST: {"Metrics": []}})
    assert list_series(every.aws(), "N") == Value((), LIST)
    assert every.asked(LIST) == [{"Namespace": "N"}]
    broken = list_series(Script({LIST: [{"Metrics": [named]}, DENIED]}).aws(), "N")
    assert broken == Unreadable(f"{LIST} broke off after 1: ListMetrics: AccessDeniedException: denied", LIST)


def test_a_query_names_its_statistic_and_period() -> None:
    account = Script({DATA: {"MetricDataResults": []}})

    found = read_metrics(
        account.aws(), [Metric.of("N", "M", stat="Maximum", period=60, b="2", a="1")], NOW - DAY, NOW
    )

    (asked,) = account.asked(DATA)
    assert asked["MetricDataQueries"] == [
        {
            "Id": "m0",
            "MetricStat": {
                "Metric": {
                    "Namespace": "N",
                    "MetricName": "M",
                    "Dimensions": [{"Name": "a", "Value": "1"}, {"Name": "b", "Value": "2"}],
                },
                "Period": 60,
                "Stat": "Maximum",
            },
        }
    ]
    (signal,) = found.values()
    assert signal == Unreadable("GetMetricData: M: no answer", "cloudwatch:GetMetricData")


AT = datetime(2026, 10, 5, 18, tzinfo=UTC)


LATE = AT + timedelta(1)
EVENTS = "logs:GetLogEvents"


def milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def page(token: str, *times: datetime) -> dict[str, Any]:
    events = [{"timestamp": milliseconds(at), "message": "saved"} for at in times]
    return {"events": events, "nextBackwardToken": token, "nextForwardToken": "f"}


@cases(
    "answers, expected",
    ([page("b1"), page("b2"), page("b3", AT)], Value(AT, EVENTS, AT)),  # an empty page is no end
    ([page("b1"), page("b1")], Absent(EVENTS)),  # a token that comes back is one
    ([page("b1", AT, LATE, AT)], Value(LATE, EVENTS, LATE)),  # the newest of a page is the last event
    ([Refusal("ResourceNotFoundException")], Absent(EVENTS)),
    ([page(f"b{n}") for n in range(MOST_EMPTY_PAGES)], "more to read"),
    ([Torn({})], "has no events"),
)
def test_the_last_event_of_a_log(answers: list[Any], expected: Signal[datetime] | str) -> None:
    asked = {"logGroupName": "group", "logStreamName": "a/jupyter.log", "limit": 1, "startFromHead": False}
    coming, token = iter(answers), dict[str, str]()

    def answer(request: Mapping[str, Any]) -> Any:
        assert request == asked | token
        found = next(coming)
        token["nextToken"] = found.get("nextBackwardToken", "") if isinstance(found, Mapping) else ""
        return found

    found = last_log_event(Script({EVENTS: answer}).aws(), "group", "a/jupyter.log")

    assert list(coming) == []
    if isinstance(expected, str):
        assert expected in of_type(Unreadable, found).error
    else:
        assert found == expected


def test_a_log_that_the_settings_leave_out_is_not_read() -> None:
    assert last_log_event(Script({}).aws(), "group", "stream", read=False) == LogNotRead()


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

    assert not_none(find_log_group(Script({GROUPS: pages}).aws(), "/a")).name == "/a"
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

    assert active_streams(account.aws(), "group", AT) == Value({"a": AT + second, "b": AT, "c": AT}, STREAMS)
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
    (Torn({}), Unreadable("the answer has no logStreams", STREAMS)),
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


CALLED = "cloudtrail:LookupEvents"


def entry(age: timedelta, detail: Any = None, **more: Any) -> dict[str, Any]:
    text = detail if isinstance(detail, str) else json.dumps(detail or {})
    return {"EventName": "DeleteApp", "EventTime": NOW - age, "CloudTrailEvent": text} | more


def test_an_event_is_what_its_record_says() -> None:
    detail = {
        "userIdentity": {"type": "AssumedRole"},
        "requestParameters": {"appName": "default"},
        "userAgent": "ml-janitor",
    }
    resources = [{"ResourceName": "default"}, {"ResourceType": "AWS::SageMaker::App"}]
    whole = entry(HOUR, detail, Username="maria", Resources=resources, EventSource="sagemaker.amazonaws.com")
    bare = entry(DAY, {"errorCode": "Denied", "userIdentity": None, "requestParameters": None})
    account = Script({CALLED: {"Events": [whole, bare]}})

    found = look_up_events(account.aws(), "DeleteApp", NOW - 3 * DAY, NOW)

    named: dict[str, Any] = {"name": "DeleteApp", "user": None, "resources": frozenset()}
    assert found.items == (
        TrailEvent(
            name="DeleteApp",
            at=NOW - HOUR,
            user="maria",
            succeeded=True,
            resources=frozenset({"default"}),
            identity={"type": "AssumedRole"},
            request={"appName": "default"},
            source="sagemaker.amazonaws.com",
            agent="ml-janitor",
        ),
        TrailEvent(**named, at=NOW - DAY, succeeded=False, identity={}, request={}),
    )
    assert account.asked(CALLED) == [
        {
            "LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": "DeleteApp"}],
            "StartTime": NOW - 3 * DAY,
            "EndTime": NOW,
            "MaxResults": 50,
        }
    ]


@cases(
    "most, read, error",
    (None, 3, None),
    (3, 3, None),
    (2, 2, "there are more than 100 events; the older ones were not read"),
)
def test_events_are_read_on_so_many_pages(most: int | None, read: int, error: str | None) -> None:
    pages = [{"Events": [entry(number * HOUR)]} for number in range(3)]

    found = look_up_events(Script({CALLED: pages}).aws(), "DeleteApp", NOW - DAY, NOW, most_pages=most)

    assert len(found.items) == read
    assert found.error == (error and f"{CALLED} broke off after {read}: {error}")


@pytest.mark.parametrize("broken", [entry(HOUR, "{"), Torn({"EventName": "DeleteApp"})])
def test_an_event_that_cannot_be_understood_leaves_the_reading_unfinished(broken: Any) -> None:
    found = look_up_events(Script({CALLED: Torn({"Events": [broken]})}).aws(), "DeleteApp", NOW - DAY, NOW)

    assert (found.items, (found.error or "")[:39]) == ((), "cloudtrail:LookupEvents: 1 of 1 entries")


def event(age: timedelta, *, succeeded: bool = True) -> TrailEvent:
    return TrailEvent(
        name="x", at=NOW - age, user=None, succeeded=succeeded, resources=frozenset(), identity={}, request={}
    )


def test_the_newest_event_is_the_latest_that_succeeded_and_counts() -> None:
    events = (event(3 * HOUR), event(2 * HOUR), event(4 * HOUR), event(HOUR, succeeded=False), event(DAY))

    found = newest_event(Listing(events), lambda one: one.at != NOW - 2 * HOUR)

    assert found == Value(events[0], CALLED, NOW - 3 * HOUR)
    assert newest_event(Listing(events, "broke off"), lambda _: True) == Value(
        events[1], CALLED, NOW - 2 * HOUR
    )
    assert newest_event(Listing(events), lambda _: False) == Absent(CALLED)
    assert newest_event(Listing(events, "broke off"), lambda _: False) == Unreadable("broke off", CALLED)


def test_a_refused_lookup_is_no_empty_history() -> None:
    found = look_up_events(Script({CALLED: DENIED}).aws(), "DeleteApp", NOW - DAY, NOW)

    assert found.error == f"{CALLED} broke off after 0: LookupEvents: AccessDeniedException: denied"
