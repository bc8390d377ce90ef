"""Reads the idle time that a notebook instance, a space or Canvas publishes, if it is current."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial

from ml_janitor.aws import metrics
from ml_janitor.aws.client import Aws
from ml_janitor.aws.metrics import Metric
from ml_janitor.core.durations import ago
from ml_janitor.core.signals import Signal, Value
from ml_janitor.core.text import iso

published = partial(Metric.of, stat="Minimum", period=60)
"""A metric of idle time, in seconds."""

OURS = partial(published, "MLJanitor/Notebooks", "IdleSeconds")
"""The metric that a notebook instance or a space may publish (docs/notebook-activity), by its dimensions."""

WINDOW = timedelta(hours=3)
"""The time to look back: long enough to see that publishing stopped."""

STALE = timedelta(minutes=30)
"""The age from which an idle time tells nothing about now."""

LONGEST = timedelta(days=3650)
"""The longest idle time accepted: a script's value must fit into the calendar."""


def read[K: Hashable](aws: Aws, wanted: Mapping[K, Metric], now: datetime) -> dict[K, Signal[timedelta]]:
    """Return the newest idle time of each of the *wanted* metrics, with its time."""
    answers = metrics.read(aws, wanted.values(), now - WINDOW, now)
    return {key: _newest(answers[metric]) for key, metric in wanted.items()}


def _newest(signal: Signal[metrics.Series]) -> Signal[timedelta]:
    if not isinstance(signal, Value):
        return signal
    at, seconds = max(signal.value.points)
    idle = timedelta(seconds=min(max(seconds, 0.0), LONGEST.total_seconds()))
    return Value(idle, signal.source, at.astimezone(UTC))


def fresh(idle: Signal[timedelta], now: datetime) -> Value[timedelta] | None:
    """Return *idle*, if it is new enough to count."""
    match idle:
        case Value(_, _, at) as found if at is not None and now - at <= STALE:
            return found
        case _:
            return None


def words(idle: Signal[timedelta], now: datetime) -> str | None:
    """Return *idle* for a report, if it has a value."""
    if not isinstance(idle, Value) or idle.at is None:
        return None
    return f"{ago(idle.value)} at {iso(idle.at)}{'' if fresh(idle, now) else ', too long ago to count'}"
