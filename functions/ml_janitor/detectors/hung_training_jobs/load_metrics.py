"""Reads the load of all hosts of several jobs in bulk; where hosts have ids, it finds them by name first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ml_janitor.aws import metrics
from ml_janitor.aws.client import Aws
from ml_janitor.aws.metrics import GET_METRIC_DATA, Metric, MetricStat
from ml_janitor.core.signals import Absent, Signal, Unreadable, Value
from ml_janitor.detectors.hung_training_jobs.job import JobKind, RunningJob
from ml_janitor.detectors.hung_training_jobs.load import LOAD_PERIOD, HostLoad, LoadSpan, load_span

_LOAD_METRICS = ("CPU", "GPU", "Memory", "Disk")
"""
Metrics of a job's container alone, on each host, each followed by Utilization
(developer guide, Monitor SageMaker with CloudWatch).
"""

_LOAD_STATS: tuple[MetricStat, MetricStat] = ("Minimum", "Maximum")

_HOST_DIMENSION = "Host"
"""The dimension of the metrics: the job's name, a slash, and the host's."""


@dataclass(frozen=True, slots=True)
class LoadWindow:
    """A job whose load is wanted, and the start of the time."""

    job: RunningJob
    start: datetime


def read_host_loads(
    aws: Aws, windows: Mapping[str, LoadWindow], now: datetime
) -> dict[str, Signal[tuple[HostLoad, ...]]]:
    """Return the loads of every job in *windows*, under the same keys, until *now*; each kind in bulk."""
    found: dict[str, Signal[tuple[HostLoad, ...]]] = {}
    for kind in dict.fromkeys(window.job.kind for window in windows.values()):
        own = {key: window for key, window in windows.items() if window.job.kind is kind}
        listed = _listed(aws, kind)
        if isinstance(listed, Unreadable):
            found |= dict.fromkeys(own, listed)
            continue
        hosts = {key: job_hosts(window.job, listed) for key, window in own.items()}
        starts = {host: window.start for key, window in own.items() for host in hosts[key]}
        loads = _read_hosts(aws, kind.group, starts, now)
        for key, window in own.items():
            known = (loads[host] for host in hosts[key])
            found[key] = Value((*known, *unlisted_hosts(window.job, len(hosts[key]))), GET_METRIC_DATA)
    return found


def _listed(aws: Aws, kind: JobKind) -> Sequence[str] | Unreadable:
    """Return all hosts of the past two weeks by name, where they are not numbered."""
    if kind.numbered:
        return ()
    series = metrics.list_series(aws, kind.group, "CPUUtilization")
    if isinstance(series, Unreadable):
        return series
    known = series.value if isinstance(series, Value) else ()
    return [value for metric in known for name, value in metric.dimensions if name == _HOST_DIMENSION]


def job_hosts(job: RunningJob, listed: Sequence[str]) -> tuple[str, ...]:
    """Return the hosts of *job*: by number, or the *listed* hosts that begin with its name and a slash."""
    if job.kind.numbered:
        return job.hosts
    return tuple(sorted({host for host in listed if host.startswith(f"{job.name}/")}))


def unlisted_hosts(job: RunningJob, known: int) -> tuple[HostLoad, ...]:
    """Return the instances of *job* that no metric names: they count as not measured, never as absent."""
    return tuple(
        HostLoad(host=f"{job.name}/instance {n}", cpu=Absent(GET_METRIC_DATA), gpu=Absent(GET_METRIC_DATA))
        for n in range(known + 1, job.instances + 1)
    )


def _read_hosts(
    aws: Aws, namespace: str, windows: Mapping[str, datetime], now: datetime
) -> dict[str, HostLoad]:
    """
    Return the load of each host in *windows*, from the time given there until *now*; all hosts in bulk.

    A host is named as the metrics' Host dimension does: "my-job/algo-1".
    """
    if not windows:
        return {}
    wanted = {
        (host, name, stat): Metric.of(
            namespace, f"{name}Utilization", stat=stat, period=LOAD_PERIOD, Host=host
        )
        for host in windows
        for name in _LOAD_METRICS
        for stat in _LOAD_STATS
    }
    series = metrics.read_metrics(aws, wanted.values(), min(windows.values()), now)

    def span_of(host: str, name: str) -> Signal[LoadSpan]:
        lowest, highest = (series[wanted[host, name, stat]] for stat in _LOAD_STATS)
        return load_span(lowest, highest, windows[host], now)

    return {
        host: HostLoad(host=host, **{name.lower(): span_of(host, name) for name in _LOAD_METRICS})
        for host in windows
    }
