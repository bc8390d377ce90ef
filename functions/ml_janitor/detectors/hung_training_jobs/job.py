"""The common shape of SageMaker's training, processing and transform jobs: hosts, limits, folders, costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from ml_janitor.aws.answers import Listing, read_signal
from ml_janitor.aws.client import Aws
from ml_janitor.aws.instances import Machine, machine_of
from ml_janitor.aws.prices import Price, PricedComponent, total_price
from ml_janitor.aws.sagemaker_kinds import SageMakerKind
from ml_janitor.core.cost import Cost
from ml_janitor.core.model import Target
from ml_janitor.core.signals import Signal
from ml_janitor.detectors.hung_training_jobs.load import CollectiveWait

JOB_GONE = ("ResourceNotFound", "ValidationException")
"""Describe's error codes for a missing name: the documented one, and the one in practice."""

STARTING_PHASE = "Starting"
WAITING_PHASES = frozenset({STARTING_PHASE, "Pending"})
"""The phases before the start on instances: nothing is billed yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobKind:
    """
    One kind of job: its names, its traces, and the calls that read and end it.

    *of* is SageMaker's spelling, *group* both its log group and its metrics' namespace. *working* is the
    phase in which it should move, *at_work* the same for a reader. *streams* is the part of a log stream's
    name after the job's name and a slash. *numbered* hosts are called algo-1, algo-2, ...; others have ids
    that only ListMetrics shows. *collective* is true if its hosts, or the GPUs of one, can wait for each
    other. *action* is the proposed action. Objects whose keys contain one of *ignored* are no sign of life.
    """

    of: SageMakerKind
    group: str
    component: PricedComponent
    working: str
    at_work: str
    streams: str
    numbered: bool
    collective: bool
    action: str
    running: Callable[[Aws, datetime], Listing[Target]]
    read: Callable[[Any], RunningJob]
    ignored: tuple[str, ...] = ()

    def describe(self, aws: Aws, name: str) -> Signal[RunningJob]:
        """Return the job called *name*; `Absent` if there is none."""
        return describe_job(aws, self.of, self.read, name)

    @property
    def noun(self) -> str:
        return self.of.words


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningJob:
    """
    A job as its Describe operation shows it.

    *started* is the time at which billing began, *counted_from* the latest time from which
    *max_runtime* counts. *groups* are instance type and count. *writes_to* are the S3 folders that it
    writes to while it runs. For *spot* and *reserved* jobs (a training plan, paid in advance) the
    list price is not the paid price. *tuner* is the tuning job that started it, *started_by* are the
    ARNs of other SageMaker resources that did, *watches* is the training job whose rule it is. *pool*
    is the status of the warm pool that it leaves behind. *checkpoints* is true if it has a folder for
    them. *downloads* is true if inputs are downloaded after *started* and before its program begins,
    at a time that AWS does not tell. *role* is its role, if it has one.
    """

    kind: JobKind
    name: str
    created: datetime
    status: str
    phase: str
    started: datetime | None
    groups: tuple[tuple[str, int], ...]
    writes_to: tuple[str, ...]
    phase_since: datetime | None = None
    ended: datetime | None = None
    counted_from: datetime | None = None
    max_runtime: timedelta | None = None
    max_wait: timedelta | None = None
    spot: bool = False
    reserved: bool = False
    tuner: str | None = None
    started_by: tuple[str, ...] = ()
    watches: str | None = None
    pool: str | None = None
    keep_alive: timedelta = timedelta()
    checkpoints: bool = False
    downloads: bool = False
    role: str = ""

    @property
    def lost(self) -> str:
        """The loss, in words, if it is stopped and submitted again."""
        return (
            f"what it did {'since its newest checkpoint' if self.checkpoints else 'so far: it begins anew'}"
        )

    @property
    def instances(self) -> int:
        return sum(count for _, count in self.groups)

    @property
    def hardware(self) -> str:
        return ", ".join(f"{count} x {kind}" for kind, count in self.groups) or "not known"

    @property
    def machine(self) -> Machine:
        """
        The hardware of each of its hosts.

        AWS does not say which host of a mixed cluster is of which type, so for a mixed
        cluster only the smallest CPU is known.
        """
        machines = {machine_of(kind) for kind, _ in self.groups}
        if len(machines) == 1:
            return machines.pop()
        return Machine(min((candidate.vcpus for candidate in machines), default=1), None)

    @property
    def collective(self) -> CollectiveWait:
        """The possible waits between its GPUs: they take two GPUs, on one host or on several."""
        if not self.kind.collective:
            return CollectiveWait.NEVER
        several = (self.machine.gpus or 0) * self.instances > 1
        return CollectiveWait.POSSIBLE if several else CollectiveWait.ALONE

    @property
    def streams(self) -> str:
        """
        The beginning of the names of its log streams.

        The slash makes it exact: a job's name has none, so `train` never matches `train-2`.
        """
        return f"{self.name}/{self.kind.streams}"

    @property
    def hosts(self) -> tuple[str, ...]:
        """Its hosts as metrics name them, where they are numbered."""
        return tuple(f"{self.name}/algo-{n}" for n in range(1, self.instances + 1))


def describe_job[T](aws: Aws, kind: SageMakerKind, read: Callable[[Any], T], name: str) -> Signal[T]:
    """Return the description of the job *name* of a *kind*, as *read* takes it; `Absent` if there is none."""
    ask = partial(kind.call(aws, "Describe"), **{kind.named: name})
    return read_signal(lambda: read(ask()), source=kind.describes, absent=JOB_GONE)


def limit_duration(count: int | None) -> timedelta | None:
    """Return a limit in a description as a duration."""
    return None if count is None else timedelta(seconds=count)


def known_arns(*named: str | None) -> tuple[str, ...]:
    """Return the ARNs that a description holds."""
    return tuple(arn for arn in named if arn)


def s3_folders(*uris: str | None) -> tuple[str, ...]:
    """Return *uris* as S3 folders, each once; a slash keeps `runs/a` from matching `runs/ab`."""
    given: Iterable[str] = (uri for uri in uris if uri)
    return tuple(dict.fromkeys(f"{uri.rstrip('/')}/" for uri in given))


def job_price(aws: Aws, job: RunningJob) -> Price:
    """Return the list price of an hour of all instances of *job*."""
    if job.reserved:
        return Price(None, "a training plan, paid in advance")
    if not job.groups:
        return Price(None, "")
    component = job.kind.component
    return total_price((count, aws.prices.hourly(aws.region, component, kind)) for kind, count in job.groups)


def billed_cost(price: Price, since: datetime | None, now: datetime, until: datetime | None = None) -> Cost:
    """Return the cost *since* then, at *price*; it ends by itself *until*, unless that is over."""
    hours = (now - since).total_seconds() / 3600 if since else 0
    ends = until if until is not None and until > now else None
    return Cost.accruing(price.hourly_usd, hours, price.source, until=ends)


def job_deadline(job: RunningJob) -> datetime | None:
    """Return the time at which SageMaker ends *job* by itself, where that is known."""
    return job.counted_from + job.max_runtime if job.counted_from and job.max_runtime else None


def price_text(price: Price, job: RunningJob) -> str:
    """Return the price per hour of *job* for a reader; spot capacity costs less than the list price."""
    if price.hourly_usd is None:
        return "price unknown"
    return f"{'at most ' if job.spot else ''}${price.hourly_usd:,.2f} an hour"
