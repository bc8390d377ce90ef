"""Notebook instances, and the signs of work that are visible from outside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Literal

from ml_janitor.aws import activity, studio_apps
from ml_janitor.aws.activity import Metric, MetricSeries
from ml_janitor.aws.calls import Listing, read_signal, required_value
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Price
from ml_janitor.aws.sagemaker_kinds import NOTEBOOK, list_kind
from ml_janitor.core.model import Absent, Candidate, NotRead, Signal, Tags, Target, Unreadable, Value

NOTEBOOK_IN_SERVICE = "InService"
NOTEBOOK_LOG_GROUP = "/aws/sagemaker/NotebookInstances"
_OPEN_CALL = "CreatePresignedNotebookInstanceUrl"
"""The call behind "Open Jupyter": its URL is needed to get in."""

_AGENT_NAMESPACE, _AGENT_DIMENSION = "SageMakerNotebookInstances", "notebook_instance_name"
"""
The namespace and dimension of the CloudWatch agent in AWS's sample
lifecycle script (publish-instance-metrics).
"""

_AGENT_METRICS: Mapping[str, Literal["busy", "free"]] = {
    "cpu_usage_active": "busy",
    "cpu_usage_idle": "free",  # the only one of these that the sample publishes
    "nvidia_smi_utilization_gpu": "busy",
}
_AGENT_PERIOD = 300

_BUSY_PERCENT = 5.0
"""
A use above this percentage over five minutes, on any single core or GPU, is
work; Jupyter and the agent need less.
"""

_LIST_NOTEBOOKS, _DESCRIBE_NOTEBOOK = NOTEBOOK.lists, NOTEBOOK.describes


@dataclass(frozen=True, slots=True, kw_only=True)
class Notebook(Candidate):
    """
    A notebook instance.

    *log* is the time of Jupyter's last log line, *opened* the last call that opened the notebook, *busy* the
    last time its processors worked. *idle* is the idle time that it published itself, with the time of that
    datapoint. *modified* moves when it is started, stopped or changed. *lifecycle* is the script that runs
    when it starts. *source* is the call that listed it.
    """

    status: str
    instance_type: str
    modified: datetime
    lifecycle: str | None = None
    log: Signal[datetime] = field(default_factory=NotRead)
    opened: Signal[activity.TrailEvent] = field(default_factory=NotRead)
    busy: Signal[datetime] = field(default_factory=NotRead)
    idle: Signal[timedelta] = field(default_factory=NotRead)
    price: Price = field(default_factory=lambda: Price(None, "not asked"))
    source: str = _LIST_NOTEBOOKS

    @property
    def stream(self) -> str:
        """The name of its log stream; other streams of the group begin alike."""
        return f"{self.target.name}/jupyter.log"

    def tagged(self, signal: Signal[Tags]) -> Notebook:
        return replace(self, target=replace(self.target, tags=signal))

    def among(self, written: Mapping[str, datetime]) -> Notebook:
        """Return the same notebook with the time of its last log line, if its stream was *written* lately."""
        at = written.get(self.stream)
        return self if at is None else replace(self, log=Value(at, activity.DESCRIBE_LOG_STREAMS, at))


def list_notebooks(aws: Aws) -> Listing[Notebook]:
    """Return every notebook instance in any status, 100 a page, without tags or signs of work."""
    return list_kind(aws, NOTEBOOK, lambda entry: _notebook(aws, entry))


def describe_notebook(aws: Aws, target: Target) -> Notebook | None:
    """
    Return the notebook instance *target* as it is now, or None if it is gone.

    AWS answers ValidationException for a missing notebook, as for much else, and a name taken from an ARN may
    have lost its capitals: only a complete listing without its ARN shows that it is gone. Raises ReadError.
    """
    answer = read_signal(
        lambda: replace(
            _notebook(aws, aws.sagemaker.describe_notebook_instance(NotebookInstanceName=target.name)),
            source=_DESCRIBE_NOTEBOOK,
        ),
        source=_DESCRIBE_NOTEBOOK,
        absent=("ValidationException",),
    )
    if (notebook := required_value(answer)) is not None:
        return notebook
    every = list_notebooks(aws)
    every.check()
    return next(
        (notebook for notebook in every.items if notebook.target.arn.lower() == target.arn.lower()), None
    )


def read_notebook_signs(
    aws: Aws, notebooks: Sequence[Notebook], since: datetime, now: datetime
) -> list[Notebook]:
    """Return *notebooks* with every sign of work after *since*, and with their prices."""
    if not notebooks:
        return []
    names = [notebook.target.name for notebook in notebooks]
    openings = activity.look_up_events(aws, _OPEN_CALL, since, now)
    busy = _busy(aws, names, since, now)
    idle = studio_apps.read_idle_times(
        aws, {name: studio_apps.janitor_idle_metric(NotebookInstanceName=name) for name in names}, now
    )
    logged = aws.map(
        lambda notebook: activity.last_log_event(aws, NOTEBOOK_LOG_GROUP, notebook.stream), notebooks
    )
    return [
        replace(
            notebook,
            log=log,
            opened=activity.newest_event(openings, partial(_names, name)),
            busy=busy[name],
            idle=idle[name],
            price=aws.prices.hourly(aws.region, "Notebook", notebook.instance_type),
        )
        for notebook, name, log in zip(notebooks, names, logged, strict=True)
    ]


def _notebook(aws: Aws, entry: Mapping[str, Any]) -> Notebook:
    return Notebook(
        target=NOTEBOOK.target(aws, {**entry, "CreationTime": entry["CreationTime"].astimezone(UTC)}),
        status=entry["NotebookInstanceStatus"],
        instance_type=entry["InstanceType"],
        modified=entry["LastModifiedTime"].astimezone(UTC),
        lifecycle=entry.get("NotebookInstanceLifecycleConfigName"),
    )


def _names(name: str, event: activity.TrailEvent) -> bool:
    """
    Return whether *event* names the notebook *name*: in its request, or
    in its resources as name or ARN.
    """
    asked = (value for key, value in event.request.items() if key.lower() == "notebookinstancename")
    return name.lower() in {str(text).rpartition("/")[2].lower() for text in (*asked, *event.resources)}


def _busy(aws: Aws, names: Sequence[str], since: datetime, until: datetime) -> dict[str, Signal[datetime]]:
    """
    Return the time at which the processors of each notebook last worked, by the CloudWatch agent.

    `Absent` if they did not, or if the agent publishes nothing: it can show use, never the lack of it.
    """
    published = aws.map(lambda name: activity.list_series(aws, _AGENT_NAMESPACE, name), list(_AGENT_METRICS))
    unlisted = next((signal for signal in published if isinstance(signal, Unreadable)), None)
    series: dict[str, list[Metric]] = {name: [] for name in names}
    for signal in published:
        for metric in signal.value if isinstance(signal, Value) else ():
            owner = dict(metric.dimensions).get(_AGENT_DIMENSION, "")
            if owner in series:
                series[owner].append(replace(metric, stat="Average", period=_AGENT_PERIOD))
    answers = activity.read_metrics(aws, (metric for own in series.values() for metric in own), since, until)
    return {
        name: _newest([_worked(metric, answers[metric], until) for metric in own], otherwise=unlisted)
        for name, own in series.items()
    }


def _worked(metric: Metric, signal: Signal[MetricSeries], until: datetime) -> Signal[datetime]:
    """Return the end of the newest period in which one core or GPU worked."""
    if not isinstance(signal, Value):
        return signal
    free = _AGENT_METRICS[metric.name] == "free"
    working = [at for at, value in signal.value.points if (100 - value if free else value) > _BUSY_PERCENT]
    if not working:
        return Absent(signal.source)
    at = min(max(working) + timedelta(seconds=metric.period), until)
    return Value(at, signal.source, at)


def _newest(signals: Iterable[Signal[datetime]], otherwise: Unreadable | None = None) -> Signal[datetime]:
    """Return the newest time among *signals*; without any, the first unreadable signal."""
    known = list(signals)
    values = [signal for signal in known if isinstance(signal, Value)]
    if values:
        return max(values, key=lambda signal: signal.value)
    unread = next((signal for signal in known if isinstance(signal, Unreadable)), otherwise)
    return unread or Absent(activity.GET_METRIC_DATA)
