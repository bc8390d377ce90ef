"""Metrics: what an answer means, complete, partial, failed, cut off or missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, cast

import pytest

from conftest import DAY, HOUR, NOW
from ml_janitor.aws.activity import Metric, MetricSeries, list_series, period_start, read_metrics
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Absent, Signal, Unreadable, Value
from scripted import DENIED, Script
from tables import cases

BLUE = Metric.of("AWS/SageMaker", "Invocations", EndpointName="churn", VariantName="blue")
GREEN = Metric.of("AWS/SageMaker", "Invocations", EndpointName="churn", VariantName="green")


@dataclass
class Answers:
    """A CloudWatch that answers GetMetricData with given pages, and remembers what it was asked."""

    answers: Sequence[Mapping[str, Any]]
    asked: list[dict[str, Any]] = field(default_factory=list)

    def map(self, function: Any, items: Sequence[Any]) -> list[Any]:
        return [function(item) for item in items]

    def pages(self, action: str, **query: Any) -> Sequence[Mapping[str, Any]]:
        assert action == "cloudwatch:GetMetricData"
        self.asked.append(query)
        return self.answers


def result(number: int, status: str = "Complete", **points: float) -> dict[str, Any]:
    """One result: `h2=5.0` is a datapoint of two hours ago."""
    times = [NOW - int(name[1:]) * HOUR for name in points]
    return {"Id": f"m{number}", "Timestamps": times, "Values": list(points.values()), "StatusCode": status}


def answered(
    *pages: Sequence[Mapping[str, Any]], metrics: Sequence[Metric] = (BLUE, GREEN)
) -> list[Signal[MetricSeries]]:
    answers = Answers([{"MetricDataResults": results} for results in pages])
    data = read_metrics(cast("Aws", answers), metrics, NOW - 7 * DAY, NOW)
    return [data[metric] for metric in metrics]


def test_each_metric_gets_its_own_points() -> None:
    blue, green = answered([result(0, h3=1.0, h2=2.0), result(1, h1=7.0)])

    assert blue == Value(
        MetricSeries(((NOW - 3 * HOUR, 1.0), (NOW - 2 * HOUR, 2.0))), "cloudwatch:GetMetricData"
    )
    assert green == Value(MetricSeries(((NOW - HOUR, 7.0),)), "cloudwatch:GetMetricData")


def test_a_series_is_put_together_from_its_pages_in_order() -> None:
    blue, green = answered(
        [result(0, "PartialData", h5=1.0, h4=2.0), result(1, "PartialData")],
        [result(0, "PartialData", h3=3.0), result(1, h9=1.0)],
        [result(0, h2=4.0)],
    )

    assert isinstance(blue, Value)
    assert blue.value.values == (1.0, 2.0, 3.0, 4.0)
    assert isinstance(green, Value)


def test_no_datapoint_is_absent() -> None:
    assert answered([result(0), result(1, h1=0.0)])[0] == Absent("cloudwatch:GetMetricData")


@cases(
    "pages",
    pytest.param([[result(1)]], id="no answer for it"),
    pytest.param([[result(0, "PartialData", h1=0.0), result(1)]], id="never completed"),
    pytest.param([[result(0, "InternalError", h1=0.0), result(1)]], id="failed"),
    pytest.param([[result(0, "Forbidden"), result(1)]], id="forbidden"),
    pytest.param([[result(0, "InternalError"), result(1)], [result(0, h1=0.0)]], id="failed on one page"),
)
def test_an_incomplete_answer_is_unreadable_for_that_metric_only(pages: list[list[dict[str, Any]]]) -> None:
    blue, green = answered(*pages)

    assert isinstance(blue, Unreadable)
    assert "Invocations" in blue.error
    assert green == Absent("cloudwatch:GetMetricData")


@pytest.mark.parametrize("missing", ["Id", "Timestamps", "Values", "StatusCode"])
def test_a_result_without_a_member_was_cut_off(missing: str) -> None:
    cut = {key: value for key, value in result(0, h1=0.0).items() if key != missing}

    assert all(isinstance(signal, Unreadable) for signal in answered([cut, result(1)]))


def test_values_without_times_are_unreadable() -> None:
    torn = {**result(0, h2=0.0, h1=0.0), "Values": [0.0]}

    blue, _ = answered([torn, result(1)])

    assert isinstance(blue, Unreadable)
    assert "1 values for 2 times" in blue.error


def test_a_page_without_results_is_unreadable() -> None:
    data = read_metrics(cast("Aws", Answers([{}])), [BLUE], NOW - DAY, NOW)

    assert isinstance(data[BLUE], Unreadable)


def test_every_metric_is_asked_for_once_and_500_to_a_call() -> None:
    answers = Answers([{"MetricDataResults": []}])
    many = [Metric.of("N", "M", Name=str(n)) for n in range(1001)]

    data = read_metrics(cast("Aws", answers), [*many, *many], NOW - DAY, NOW)

    assert [len(query["MetricDataQueries"]) for query in answers.asked] == [500, 500, 1]
    assert list(data) == many
    for query in answers.asked:
        ids = [one["Id"] for one in query["MetricDataQueries"]]
        assert len(set(ids)) == len(ids)


def test_nothing_is_asked_for_nothing() -> None:
    answers = Answers([])

    assert read_metrics(cast("Aws", answers), [], NOW - DAY, NOW) == {}
    assert answers.asked == []


def test_a_window_starts_at_the_beginning_of_a_period() -> None:
    """Else the rest of the first hour, with whatever was in it, would be left out."""
    answers = Answers([{"MetricDataResults": []}])
    start = NOW - 7 * DAY + timedelta(minutes=17, seconds=3)
    daily = Metric.of("N", "M", period=86400)

    read_metrics(cast("Aws", answers), [BLUE, daily, GREEN], start, NOW)

    assert [(query["StartTime"], len(query["MetricDataQueries"])) for query in answers.asked] == [
        (datetime(2026, 9, 29, 3, tzinfo=UTC), 2),
        (datetime(2026, 9, 29, tzinfo=UTC), 1),
    ]
    assert {query["EndTime"] for query in answers.asked} == {NOW}


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
    account = Script({"cloudwatch:GetMetricData": {"MetricDataResults": []}})

    found = read_metrics(
        account.aws(), [Metric.of("N", "M", stat="Maximum", period=60, b="2", a="1")], NOW - DAY, NOW
    )

    (asked,) = account.asked("cloudwatch:GetMetricData")
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
