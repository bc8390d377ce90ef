"""Metrics over HTTP: splitting, paging, dimensions, and what faults make of an answer."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from conftest import DAY, HOUR, NOW
from ml_janitor.aws.activity import Metric, read_metrics
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Unreadable, Value
from ml_janitor_sandbox.control import Control
from narrowing import of_type

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
        signal = of_type(Value, data[metric(number)])
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

    signal = of_type(Unreadable, read_metrics(aws, [metric()], NOW - DAY, NOW)[metric()])

    assert signal.error


def test_one_failed_call_leaves_the_others(box: Control, aws: Aws) -> None:
    publish(box, 501, values=(1.0,))
    box.fault("cloudwatch", "GetMetricData", "deny", times=0, match=name(500))

    data = read_metrics(aws, [metric(number) for number in range(501)], NOW - DAY, NOW)

    assert [number for number in range(501) if isinstance(data[metric(number)], Unreadable)] == [500]
