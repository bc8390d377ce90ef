"""Metrics over HTTP: splitting, paging, dimensions, and what faults make of an answer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from conftest import NOW
from ml_janitor.aws.activity import Metric, list_series, read_metrics
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Absent, Unreadable, Value
from ml_janitor_sandbox.control import Control

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WEEK = 7 * 24


def name(number: int) -> str:
    return f"e{number:04}"


def metric(number: int = 0) -> Metric:
    return Metric.of("AWS/SageMaker", "Invocations", EndpointName=name(number), VariantName="blue")


def publish(box: Control, count: int, values: Sequence[float] = (1.0,) * WEEK) -> None:
    """Hourly values of *count* endpoints, up to now."""
    box.metrics(
        "AWS/SageMaker",
        [
            {
                "metric": "Invocations",
                "dimensions": {"VariantName": "blue", "EndpointName": name(number)},
                "start": NOW - len(values) * HOUR,
                "step": 3600,
                "values": [number + value for value in values],
            }
            for number in range(count)
        ],
    )


def test_every_page_is_read(box: Control, aws: Aws) -> None:
    """300 metrics of 16 days by the hour are 115,200 datapoints, more than a page of 100,800 holds."""
    publish(box, 300, values=(1.0,) * (16 * 24))

    data = read_metrics(aws, [metric(number) for number in range(300)], NOW - 16 * DAY, NOW)

    assert box.calls()["cloudwatch:GetMetricData"] == 2
    for number in range(300):
        signal = data[metric(number)]
        assert isinstance(signal, Value)
        assert signal.value.total == (number + 1.0) * 16 * 24
        assert list(signal.value.points) == sorted(signal.value.points)


def test_a_page_that_fails_makes_the_whole_call_unreadable(box: Control, aws: Aws) -> None:
    publish(box, 300, values=(1.0,) * (16 * 24))
    box.fault("cloudwatch", "GetMetricData", "break-page", skip=1, times=0)

    data = read_metrics(aws, [metric(number) for number in range(300)], NOW - 16 * DAY, NOW)

    assert all(isinstance(signal, Unreadable) for signal in data.values())


@pytest.mark.parametrize("kind", ["throttle", "error", "deny", "truncate", "drop"])
def test_a_failed_call_is_unreadable_and_says_why(box: Control, aws: Aws, kind: str) -> None:
    publish(box, 1)
    box.fault("cloudwatch", "GetMetricData", kind, times=0)

    signal = read_metrics(aws, [metric()], NOW - DAY, NOW)[metric()]

    assert isinstance(signal, Unreadable)
    assert signal.error


def test_a_call_that_fails_once_is_tried_again(box: Control, aws: Aws) -> None:
    publish(box, 1)
    box.fault("cloudwatch", "GetMetricData", "throttle", times=1)

    assert isinstance(read_metrics(aws, [metric()], NOW - DAY, NOW)[metric()], Value)


def test_one_failed_call_leaves_the_others(box: Control, aws: Aws) -> None:
    publish(box, 501, values=(1.0,))
    box.fault("cloudwatch", "GetMetricData", "deny", times=0, match=name(500))

    data = read_metrics(aws, [metric(number) for number in range(501)], NOW - DAY, NOW)

    assert [number for number in range(501) if isinstance(data[metric(number)], Unreadable)] == [500]


def test_only_the_exact_dimensions_match(box: Control, aws: Aws) -> None:
    publish(box, 1)
    fewer = Metric.of("AWS/SageMaker", "Invocations", EndpointName=name(0))
    other = Metric.of("AWS/Sagemaker", "Invocations", EndpointName=name(0), VariantName="blue")
    turned = Metric(
        "AWS/SageMaker", "Invocations", frozenset([("VariantName", "blue"), ("EndpointName", name(0))])
    )

    data = read_metrics(aws, [fewer, other, turned], NOW - DAY, NOW)

    assert isinstance(data[fewer], Absent)
    assert isinstance(data[other], Absent)
    assert isinstance(data[turned], Value)


def test_what_is_published_is_listed_by_name(box: Control, aws: Aws) -> None:
    publish(box, 501, values=(1.0,))
    old = {"metric": "Invocations", "dimensions": {"EndpointName": "old"}, "values": [1.0]}
    box.metrics("AWS/SageMaker", [{**old, "start": NOW - 15 * DAY}, {**old, "metric": "Other", "start": NOW}])

    listed = list_series(aws, "AWS/SageMaker", "Invocations")

    assert isinstance(listed, Value)
    assert set(listed.value) == {metric(number) for number in range(501)}
    assert box.calls()["cloudwatch:ListMetrics"] == 2
    everything = list_series(aws, "AWS/SageMaker")
    assert isinstance(everything, Value)
    assert {one.name for one in everything.value} == {"Invocations", "Other"}


@pytest.mark.parametrize("kind", ["deny", "truncate"])
def test_a_list_that_cannot_be_read_is_no_empty_list(box: Control, aws: Aws, kind: str) -> None:
    publish(box, 1)
    box.fault("cloudwatch", "ListMetrics", kind, times=0)

    assert isinstance(list_series(aws, "AWS/SageMaker", "Invocations"), Unreadable)


def test_half_a_list_is_no_list(box: Control, aws: Aws) -> None:
    publish(box, 501, values=(1.0,))
    box.fault("cloudwatch", "ListMetrics", "break-page", skip=1, times=0)

    assert isinstance(list_series(aws, "AWS/SageMaker", "Invocations"), Unreadable)
