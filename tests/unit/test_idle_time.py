"""Published idle times: the newest of each, and whether it speaks of now."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from conftest import MINUTE, NOW, SECOND
from ml_janitor.aws.studio_apps import fresh_idle_time, idle_time_text, janitor_idle_metric, read_idle_times
from ml_janitor.core.model import Absent, NotRead, Signal, Unreadable, Value
from scripted import DENIED, Script
from tables import cases

SOURCE = "cloudwatch:GetMetricData"
ARE = janitor_idle_metric(NotebookInstanceName="eda")


def published(points: Mapping[int, float] | None) -> Script:
    """Idle seconds by how many minutes ago they were published."""

    def answer(asked: Mapping[str, Any]) -> Any:
        (query,) = asked["MetricDataQueries"]
        stat = query["MetricStat"]
        assert (asked["StartTime"], asked["EndTime"]) == (NOW - 180 * MINUTE, NOW)
        assert (stat["Stat"], stat["Period"]) == ("Minimum", 60)
        assert (stat["Metric"]["Namespace"], stat["Metric"]["MetricName"]) == (
            "MLJanitor/Notebooks",
            "IdleSeconds",
        )
        if points is None:
            return DENIED
        times = [NOW - minutes * MINUTE for minutes in points]
        result = {
            "Id": query["Id"],
            "StatusCode": "Complete",
            "Timestamps": times,
            "Values": [*points.values()],
        }
        return {"MetricDataResults": [result]}

    return Script({"cloudwatch:GetMetricData": answer})


@cases(
    "points, expected",
    ({9: 60.0, 3: 120.0, 5: 180.0}, Value(2 * MINUTE, SOURCE, NOW - 3 * MINUTE)),
    ({3: -5.0}, Value(timedelta(), SOURCE, NOW - 3 * MINUTE)),
    ({3: 0.5}, Value(timedelta(seconds=0.5), SOURCE, NOW - 3 * MINUTE)),
    ({3: 1e12}, Value(timedelta(days=3650), SOURCE, NOW - 3 * MINUTE)),
    ({}, Absent(SOURCE)),
    (None, Unreadable("GetMetricData: AccessDeniedException: denied", SOURCE)),
)
def test_the_newest_idle_time_counts(points: Mapping[int, float] | None, expected: Signal[timedelta]) -> None:
    assert read_idle_times(published(points).aws(), {"eda": ARE}, NOW) == {"eda": expected}


@cases(
    "idle, counts, said",
    (Value(2 * MINUTE, SOURCE, NOW - 30 * MINUTE), True, "2 minutes at 2026-10-06T02:30:00Z"),
    (
        Value(2 * MINUTE, SOURCE, NOW - 30 * MINUTE - SECOND),
        False,
        "2 minutes at 2026-10-06T02:29:59Z, too long ago to count",
    ),
    (Value(2 * MINUTE, SOURCE), False, None),
    (Absent(SOURCE), False, None),
    (NotRead(), False, None),
)
def test_an_old_idle_time_is_no_sign(*, idle: Signal[timedelta], counts: bool, said: str | None) -> None:
    assert fresh_idle_time(idle, NOW) == (idle if counts else None)
    assert idle_time_text(idle, NOW) == said
