"""Reads the idle time that a notebook instance, a space or Canvas publishes, if it is current."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial

from ml_janitor.aws import metrics
from ml_janitor.aws.client import Aws
from ml_janitor.aws.metrics import Metric
from ml_janitor.core.durations import format_age
from ml_janitor.core.signals import Signal, Value
from ml_janitor.core.text import format_iso

idle_metric = partial(Metric.of, stat="Minimum", period=60)
"""A metric of idle time, in seconds."""

janitor_idle_metric = partial(idle_metric, "MLJanitor/Notebooks", "IdleSeconds")
"""The metric that a notebook instance or a space may publish (docs/notebook-activity), by its dimensions."""

IDLE_TIME_WINDOW = timedelta(hours=3)
"""The time to look back: long enough to see that publishing stopped."""

STALE_IDLE_TIME = timedelta(minutes=30)
"""The age from which an idle time tells nothing about now."""

LONGEST_IDLE_TIME = timedelta(days=3650)
"""The longest idle time accepted: a script's value must fit into the calendar."""


def read_idle_times[K: Hashable](
    aws: Aws, wanted: Mapping[K, Metric], now: datetime
) -> dict[K, Signal[timedelta]]:
    """Return the newest idle time of each of the *wanted* metrics, with its time."""
    answers = metrics.read_metrics(aws, wanted.values(), now - IDLE_TIME_WINDOW, now)
    return {key: _newest(answers[metric]) for key, metric in wanted.items()}


def _newest(signal: Signal[metrics.MetricSeries]) -> Signal[timedelta]:
    if not isinstance(signal, Value):
        return signal
    at, seconds = max(signal.value.points)
    idle = timedelta(seconds=min(max(seconds, 0.0), LONGEST_IDLE_TIME.total_seconds()))
    return Value(idle, signal.source, at.astimezone(UTC))


def fresh_idle_time(idle: Signal[timedelta], now: datetime) -> Value[timedelta] | None:
    """Return *idle*, if it is new enough to count."""
    match idle:
        case Value(_, _, at) as found if at is not None and now - at <= STALE_IDLE_TIME:
            return found
        case _:
            return None


def idle_time_text(idle: Signal[timedelta], now: datetime) -> str | None:
    """Return *idle* for a report, if it has a value."""
    if not isinstance(idle, Value) or idle.at is None:
        return None
    return (
        f"{format_age(idle.value)} at "
        f"{format_iso(idle.at)}{'' if fresh_idle_time(idle, now) else ', too long ago to count'}"
    )
