"""The idle times that apps publish: Canvas those of each user, a space with the start script its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ml_janitor.aws import metrics
from ml_janitor.aws.client import Aws
from ml_janitor.aws.metrics import Metric, Series
from ml_janitor.aws.studio_apps import CANVAS, App
from ml_janitor.core.signals import Absent, Signal, Value

CANVAS_NAMESPACE, CANVAS_METRIC = "/aws/sagemaker/Canvas/AppActivity", "TimeSinceLastActive"
"""In seconds, by DomainId and UserProfileName (aws-samples, sagemaker-canvas-auto-shutdown-on-idle)."""

NAMESPACE, METRIC = "MLJanitor/Notebooks", "IdleSeconds"
"""In seconds, by DomainId and SpaceName (docs/notebook-activity)."""

WINDOW = timedelta(hours=3)
"""How far back it is looked for: long enough to say that it stopped being published."""

LONGEST = timedelta(days=3650)
"""A larger value than this must still fit into the calendar."""


def read(aws: Aws, apps: Sequence[App], now: datetime) -> list[App]:
    """*apps* with the newest idle time that was published of each."""
    asked = {app.target.key: metric for app in apps if (metric := _metric(app)) is not None}
    answers = metrics.read(aws, asked.values(), now - WINDOW, now)
    return [
        replace(app, idle=_newest(answers[metric]) if (metric := asked.get(app.target.key)) else Absent())
        for app in apps
    ]


def _metric(app: App) -> Metric | None:
    """Where the idle time of *app* is published, if it may be."""
    if app.type == CANVAS and app.profile:
        of_user = {"DomainId": app.domain, "UserProfileName": app.profile}
        return Metric.of(CANVAS_NAMESPACE, CANVAS_METRIC, stat="Minimum", period=60, **of_user)
    if app.type != CANVAS and app.space:
        of_space = {"DomainId": app.domain, "SpaceName": app.space}
        return Metric.of(NAMESPACE, METRIC, stat="Minimum", period=60, **of_space)
    return None


def _newest(signal: Signal[Series]) -> Signal[timedelta]:
    if not isinstance(signal, Value):
        return signal
    at, seconds = max(signal.value.points)
    idle = timedelta(seconds=min(max(seconds, 0.0), LONGEST.total_seconds()))
    return Value(idle, signal.source, at.astimezone(UTC))
