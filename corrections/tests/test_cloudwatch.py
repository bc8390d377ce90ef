import datetime as dt
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from corrected import NOW, Control
from plain_requests import refusal

HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
BOTH = [{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": "v"}]


@pytest.fixture
def cloudwatch(aws: Any) -> Any:
    return aws("cloudwatch")


def put(cloudwatch: Any, value: float, *, ago: dt.timedelta = HOUR, **more: Any) -> None:
    namespace = more.pop("Namespace", "AWS/SageMaker")
    datum = {"MetricName": "Invocations", "Dimensions": BOTH, "Timestamp": NOW - ago, "Value": value}
    cloudwatch.put_metric_data(Namespace=namespace, MetricData=[datum | more])


def query(dimensions: list[dict[str, str]] = BOTH, **more: Any) -> dict[str, Any]:
    metric = {
        "Namespace": more.pop("Namespace", "AWS/SageMaker"),
        "MetricName": "Invocations",
        "Dimensions": dimensions,
    }
    stat = {"Metric": metric, "Period": more.pop("Period", 3600), "Stat": more.pop("Stat", "Sum")}
    return {"Id": "q", "MetricStat": stat} | more


def ask(cloudwatch: Any, *queries: dict[str, Any], back: dt.timedelta = DAY, **more: Any) -> Any:
    return cloudwatch.get_metric_data(
        MetricDataQueries=list(queries) or [query()], **{"StartTime": NOW - back, "EndTime": NOW} | more
    )


def values(answer: Any) -> list[float]:
    found: list[float] = answer["MetricDataResults"][0]["Values"]
    return found


def test_only_the_namespace_asked_for_counts(cloudwatch: Any) -> None:
    put(cloudwatch, 6)
    put(cloudwatch, 1000, Namespace="Other")
    assert values(ask(cloudwatch)) == [6]
    assert values(ask(cloudwatch, query(Namespace="Wrong"))) == []


def test_dimensions_have_no_order_but_must_all_be_there(cloudwatch: Any) -> None:
    put(cloudwatch, 6)
    assert values(ask(cloudwatch, query(BOTH[::-1]))) == [6]
    assert values(ask(cloudwatch, query(BOTH[:1]))) == []
    assert values(ask(cloudwatch, query([]))) == []
    put(cloudwatch, 1, Dimensions=[])
    assert values(ask(cloudwatch, query([]))) == [1]


def test_statistics_and_percentiles(cloudwatch: Any) -> None:
    put(cloudwatch, 0, Values=[1.0, 2.0, 10.0], Counts=[1.0, 2.0, 1.0])
    expected = {
        "Sum": 15,
        "Average": 3.75,
        "Minimum": 1,
        "Maximum": 10,
        "SampleCount": 4,
        "p50": 2,
        "p99": 10,
    }
    assert {stat: values(ask(cloudwatch, query(Stat=stat)))[0] for stat in expected} == expected


@pytest.mark.parametrize(
    ("queries", "expected"),
    [
        ([{"Id": "q", "Expression": "FILL(a, 0)"}], "are not evaluated"),
        ([query(), query()], "are not unique"),
        ([query(Id="Q")], "not matching the expected pattern"),
        ([query(Period=7)], "Period must be"),
        ([query(Stat="tm99")], "is not supported"),
        ([query(Id=f"q{n}") for n in range(501)], "greater than 500"),
    ],
)
def test_what_aws_refuses_is_refused(cloudwatch: Any, queries: list[Any], expected: str) -> None:
    with pytest.raises(ClientError, match=expected) as caught:
        ask(cloudwatch, *queries)
    assert caught.value.response["Error"]["Code"] == "ValidationError"


def test_a_week_that_begins_within_a_period_has_two_values(cloudwatch: Any) -> None:
    put(cloudwatch, 1, ago=7 * DAY)
    put(cloudwatch, 2)
    found = values(ask(cloudwatch, query(Period=7 * 86400), back=7 * DAY))
    assert found == [2, 1]


def test_a_start_is_rounded_down_by_its_age(cloudwatch: Any) -> None:
    put(cloudwatch, 1, ago=70 * DAY)
    late = NOW - 70 * DAY + dt.timedelta(minutes=59)
    assert values(ask(cloudwatch, StartTime=late)) == [1]
    put(cloudwatch, 1, ago=2 * DAY)
    late = NOW - 2 * DAY + dt.timedelta(minutes=59)
    assert values(ask(cloudwatch, StartTime=late)) == []


@pytest.mark.parametrize(
    ("days", "period", "found"),
    [
        (14, 60, True),
        (16, 60, False),
        (16, 300, True),
        (64, 300, False),
        (64, 3600, True),
        (456, 3600, False),
    ],
)
def test_old_data_is_only_kept_coarsely(cloudwatch: Any, days: int, period: int, *, found: bool) -> None:
    put(cloudwatch, 1, ago=days * DAY)
    window: dict[str, Any] = {"StartTime": NOW - days * DAY - HOUR, "EndTime": NOW - days * DAY + HOUR}
    assert bool(values(ask(cloudwatch, query(Period=period), **window))) is found


def test_long_answers_come_in_parts(cloudwatch: Any) -> None:
    for ago in range(1, 6):
        put(cloudwatch, ago, ago=ago * HOUR)
        put(cloudwatch, 10 * ago, ago=ago * HOUR, Namespace="Other")
    pages = cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=[query(Id="a"), query(Id="b", Namespace="Other")],
        StartTime=NOW - DAY,
        EndTime=NOW,
        MaxDatapoints=3,
    )
    seen: dict[str, list[float]] = {"a": [], "b": []}
    codes = []
    for page in pages:
        assert sum(len(one["Values"]) for one in page["MetricDataResults"]) <= 3
        for one in page["MetricDataResults"]:
            seen[one["Id"]] += one["Values"]
            codes.append(one["StatusCode"])
    assert seen == {"a": [1, 2, 3, 4, 5], "b": [10, 20, 30, 40, 50]}
    assert codes[0] == "PartialData"
    assert codes[-2:] == ["Complete", "Complete"]


def test_oldest_first_on_request(cloudwatch: Any) -> None:
    put(cloudwatch, 1, ago=2 * HOUR)
    put(cloudwatch, 2, ago=HOUR)
    assert values(ask(cloudwatch, ScanBy="TimestampAscending")) == [1, 2]


def test_statistics_want_exact_dimensions_and_not_too_many_points(cloudwatch: Any) -> None:
    put(cloudwatch, 6)

    def statistics(dimensions: list[dict[str, str]], period: int = 3600) -> list[Any]:
        answer = cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName="Invocations",
            Dimensions=dimensions,
            StartTime=NOW - 2 * DAY,
            EndTime=NOW,
            Period=period,
            Statistics=["Sum"],
        )
        return [one["Sum"] for one in answer["Datapoints"]]

    assert statistics(BOTH) == [6]
    assert statistics(BOTH[:1]) == []
    assert "2,880 datapoints, which exceeds the limit of 1,440" in refusal(statistics, BOTH, period=60)


def test_metrics_are_listed_once_and_only_while_alive(cloudwatch: Any, control: Control) -> None:
    for ago in (1, 2, 3):
        put(cloudwatch, 1, ago=ago * HOUR)
    put(cloudwatch, 1, ago=15 * DAY, Namespace="Old")
    listed = cloudwatch.list_metrics()["Metrics"]
    assert [one["Namespace"] for one in listed] == ["AWS/SageMaker"]
    some = [{"Name": "EndpointName"}]
    assert cloudwatch.list_metrics(Dimensions=some)["Metrics"] == listed
    assert cloudwatch.list_metrics(Dimensions=[{"Name": "EndpointName", "Value": "x"}])["Metrics"] == []
    many = [{"metric": f"m{n}", "start": NOW - HOUR, "values": [1]} for n in range(501)]
    control.metrics("Many", many)
    pages = list(cloudwatch.get_paginator("list_metrics").paginate(Namespace="Many"))
    assert [len(page["Metrics"]) for page in pages] == [500, 1]


def test_regions_are_apart(cloudwatch: Any, aws: Any) -> None:
    put(cloudwatch, 6)
    assert values(ask(aws("cloudwatch", region="eu-west-1"))) == []


def test_a_thousand_endpoints_are_no_burden(cloudwatch: Any, control: Control) -> None:
    week = [
        {
            "metric": "Invocations",
            "dimensions": {"EndpointName": f"e{n}", "VariantName": "v"},
            "start": NOW - 7 * DAY,
            "values": [1] * 168,
        }
        for n in range(500)
    ]
    control.metrics("AWS/SageMaker", week)
    dimensions = [[{"Name": "EndpointName", "Value": f"e{n}"}, BOTH[1]] for n in range(500)]
    asked = [query(one, Id=f"q{n}", Period=86400 * 7) for n, one in enumerate(dimensions)]
    begun = time.process_time()
    answer = ask(cloudwatch, *asked, back=7 * DAY)
    took = time.process_time() - begun
    assert {sum(one["Values"]) for one in answer["MetricDataResults"]} == {168}
    assert took < 1  # measured: 0.09 s on two cores; moto's own takes 25 s
