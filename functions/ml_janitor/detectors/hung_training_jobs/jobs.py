"""The common shape of SageMaker's training, processing and transform jobs, and the load of their hosts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from ml_janitor.aws.activity import GET_METRIC_DATA, MetricSeries
from ml_janitor.aws.calls import Listing, read_signal
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Machine, Price, PricedComponent, machine_of, total_price
from ml_janitor.aws.rented_instances import RentedInstances, read_rented_instances
from ml_janitor.aws.sagemaker_kinds import PROCESSING_JOB, TRANSFORM_JOB, SageMakerKind, list_running_jobs
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import Absent, Cost, NotRead, Signal, Target, Unreadable, Value

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import (
        DescribeProcessingJobResponseTypeDef,
        DescribeTransformJobResponseTypeDef,
    )

# --- load of hosts --------------------------------------------------------------------------------

LOAD_PERIOD = 300
"""Seconds. The metrics come every minute; each value is the lowest or highest of five."""

_LONGEST_HOLE = timedelta(hours=1)
"""Longest time for which a metric may be missing in between before its host counts as not measured."""


@dataclass(frozen=True, slots=True)
class LoadSpan:
    """The lowest and the highest value of a metric over some time, and its longest *hole*."""

    lowest: float
    highest: float
    hole: timedelta = timedelta()

    @property
    def whole(self) -> bool:
        """True if there are values for all of the time."""
        return self.hole <= _LONGEST_HOLE

    def still(self, tolerance: float) -> bool:
        """Return whether it varies by no more than *tolerance*."""
        return self.highest - self.lowest <= tolerance

    def rests(self, full: float, tolerance: float, rest: float = math.inf) -> bool:
        """Return whether it stays near zero (below *rest*)."""
        return self.highest <= min(tolerance * full, rest)

    def fills(self, full: float, tolerance: float) -> bool:
        """Return whether it stays near *full*."""
        return self.lowest >= (1 - tolerance) * full and self.highest <= (1 + tolerance) * full


def load_span(
    lows: Signal[MetricSeries], highs: Signal[MetricSeries], start: datetime, end: datetime
) -> Signal[LoadSpan]:
    """Return the span between *lows* and *highs* from *start* to *end*; an infinite value is unreadable."""
    match lows, highs:
        case (Unreadable() as failed, _) | (_, Unreadable() as failed):
            return failed
        case Value(low), Value(high):
            pass
        case _:
            return Absent(GET_METRIC_DATA)
    within = [(at, value) for at, value in (*low.points, *high.points) if at >= start]
    if not within:
        return Absent(GET_METRIC_DATA)
    values = [value for _, value in within]
    if not all(map(math.isfinite, values)):
        return Unreadable("GetMetricData: a value is not a number", GET_METRIC_DATA)
    period = timedelta(seconds=LOAD_PERIOD)
    times = sorted({at for at, _ in within})
    holes = (later - before for before, later in pairwise([start, *times, end]))
    return Value(LoadSpan(min(values), max(values), max(holes) - period), GET_METRIC_DATA)


SHORTEST_LEVEL = timedelta(hours=1)
"""Time at one load that is a habit: a working trainer may stand at full load as long as it likes."""


def longest_level(
    lows: Signal[MetricSeries],
    highs: Signal[MetricSeries],
    level: LoadSpan,
    tolerance: float,
    window: tuple[datetime, datetime],
) -> Signal[timedelta]:
    """
    Return the longest time within *window* for which a load stood at *level*, give or take *tolerance*.

    Absent if it was measured for less than `SHORTEST_LEVEL`. A missing value may have been at that level.
    """
    match lows, highs:
        case (Unreadable() as failed, _) | (_, Unreadable() as failed):
            return failed
        case Value(low), Value(high):
            pass
        case _:
            return Absent(GET_METRIC_DATA)
    start, end = window
    period = timedelta(seconds=LOAD_PERIOD)
    stood: dict[datetime, bool] = {}
    for at, value in (*low.points, *high.points):
        if start <= at and at + period <= end:
            here = level.lowest - tolerance <= value <= level.highest + tolerance
            stood[at] = here and stood.get(at, True)
    if len(stood) * period < SHORTEST_LEVEL:
        return Absent(GET_METRIC_DATA)
    longest, begun = timedelta(), None
    for at, here in sorted(stood.items()):
        begun = (begun or at) if here else None
        longest = max(longest, at + period - begun) if begun else longest
    return Value(longest, GET_METRIC_DATA)


_CPU_TOLERANCE = 0.05
_GPU_TOLERANCE = 0.03
"""
Tolerances as a share of full scale: a load's distance from its other extreme
or from zero, and a CPU's from full.
The CPU also carries the system's own agents.
"""

_SPINNING_SHARE = 0.95
_ALL_SPINNING_SHARE = 0.90
"""
The least load of GPUs that spin in a collective, as a share of full load: some of a host's GPUs, or all.
They were seen at 100 percent, with others at 0 (NVIDIA/nccl #857 and #1033, cupy/cupy
#3557), and at about 96 (vllm-project/vllm #46097). Some GPUs at full load have the same
sum as more GPUs at less, so some must be closer to it.
"""

_HALF_A_THREAD = 50.0
"""
The CPU load above which a host is not at rest, however many vCPUs it has.
One thread at work is 100, which on a large host is less than a tolerable share of full scale.
"""

_MEMORY_TOLERANCE = 5.0
_DISK_TOLERANCE = 1.0
"""
Percentage points by which a container's use of memory and disk may vary while it stands still.
A container that downloads, or reads from a slow source, may need less than
half a thread, and be silent for hours.
"""


class CollectiveWait(Enum):
    """The possible waits between a job's hosts in a collective, where they spin at full load."""

    POSSIBLE = "a GPU may wait for another"
    ALONE = "no GPU waits for another"
    NEVER = "this kind of job has none"


class LoadPattern(Enum):
    """The pattern of one host's load."""

    RESTS = "still and at rest"
    SPINS = "all or some of its GPUs still and full, where one may wait for another"
    FULL = "still and full, where no GPU waits for another"
    ONLY_GPUS_REST = "its GPUs at rest beside a CPU that is not"
    WORKING = "varies like work"
    STEADY = "still, but at a level of work"
    UNMEASURED = "not measured"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLoad:
    """
    CPU and GPU utilization of one host: 0 to 100 for each vCPU and each GPU it has.

    *memory* and *disk* are its container's use in percent; transform jobs publish no disk.
    """

    host: str
    cpu: Signal[LoadSpan]
    gpu: Signal[LoadSpan]
    memory: Signal[LoadSpan] = field(default_factory=partial(Absent, GET_METRIC_DATA))
    disk: Signal[LoadSpan] = field(default_factory=partial(Absent, GET_METRIC_DATA))

    def motion(self, machine: Machine, collective: CollectiveWait = CollectiveWait.POSSIBLE) -> LoadPattern:
        """
        Return the pattern of the load on *machine*, where a collective can hang as *collective* says.

        Variation counts whatever else is missing, because it can only show that the host works. Where a
        metric is missing or the accelerators are unknown, the load is not measured.
        """
        if self._varies(machine):
            return LoadPattern.WORKING
        if any(
            isinstance(signal, Unreadable | NotRead)
            for signal in (self.cpu, self.gpu, self.memory, self.disk)
        ):
            return LoadPattern.UNREADABLE
        return self._level(machine, collective) or LoadPattern.UNMEASURED

    def spinning(self, machine: Machine) -> int:
        """Return how many GPUs of *machine* are at full load, as far as that is measured."""
        if not machine.gpus or not isinstance(self.gpu, Value):
            return 0
        return count_spinning_gpus(self.gpu.value, machine.gpus) or 0

    def logged_at_level(
        self, machine: Machine, lows: Signal[MetricSeries], highs: Signal[MetricSeries], *within: datetime
    ) -> Signal[timedelta]:
        """Return how long its GPUs stood at this level before: *within* is the start and the end of that."""
        if not isinstance(self.gpu, Value):
            return Absent(GET_METRIC_DATA)
        start, end = within
        tolerance = 100 * (machine.gpus or 1) * _GPU_TOLERANCE
        return longest_level(lows, highs, self.gpu.value, tolerance, (start, end))

    def _level(self, machine: Machine, collective: CollectiveWait) -> LoadPattern | None:
        """Return the pattern by the level of a still load; None if it is not measured."""
        cpu = self.cpu.value if isinstance(self.cpu, Value) else None
        gpu = self.gpu.value if isinstance(self.gpu, Value) else None
        if machine.gpus is None or cpu is None or not cpu.whole:
            return None
        if machine.gpus > 0:
            if gpu is None or not gpu.whole:
                return None
            return _of_gpus(count_spinning_gpus(gpu, machine.gpus), cpu, machine, collective)
        if gpu is not None and gpu.highest > 0:  # a GPU in a machine that should have none
            return None
        return _of_cpu(cpu, machine, collective)

    def _varies(self, machine: Machine) -> bool:
        tolerated = (
            (self.cpu, 100 * machine.vcpus * _CPU_TOLERANCE),
            (self.gpu, 100 * (machine.gpus or 1) * _GPU_TOLERANCE),
            (self.memory, _MEMORY_TOLERANCE),
            (self.disk, _DISK_TOLERANCE),
        )
        return any(isinstance(seen, Value) and not seen.value.still(by) for seen, by in tolerated)


def _of_cpu(cpu: LoadSpan, machine: Machine, collective: CollectiveWait) -> LoadPattern:
    """
    Return the pattern of a host without GPUs. All its threads at work look
    like all its threads spinning.
    """
    full = 100 * machine.vcpus
    if cpu.rests(full, _CPU_TOLERANCE, _HALF_A_THREAD):
        return LoadPattern.RESTS
    if cpu.fills(full, _CPU_TOLERANCE) and collective is not CollectiveWait.NEVER:
        return LoadPattern.FULL
    return LoadPattern.STEADY


def _of_gpus(full: int | None, cpu: LoadSpan, machine: Machine, collective: CollectiveWait) -> LoadPattern:
    """
    Return the pattern of a host with *full* GPUs at full load, as `count_spinning_gpus` counts them.

    Where they spin in a collective, the CPU may stand at any level: it spins one thread for each of them.
    Where they rest, the work is the CPU's, and every half thread of it counts.
    """
    if full is None:
        return LoadPattern.STEADY
    if full:
        spins = {CollectiveWait.POSSIBLE: LoadPattern.SPINS, CollectiveWait.ALONE: LoadPattern.FULL}
        return spins.get(collective, LoadPattern.STEADY)
    if cpu.rests(100 * machine.vcpus, _CPU_TOLERANCE, _HALF_A_THREAD):
        return LoadPattern.RESTS
    if collective is CollectiveWait.NEVER:
        return LoadPattern.STEADY
    return LoadPattern.WORKING if cpu.highest - cpu.lowest > _HALF_A_THREAD else LoadPattern.ONLY_GPUS_REST


def count_spinning_gpus(load: LoadSpan, gpus: int) -> int | None:
    """
    Return how many of *gpus* are at full load while the others rest, by
    their sum; None if no number fits.
    """
    if load.rests(100 * gpus, _GPU_TOLERANCE):
        return 0
    if load.lowest >= 100 * gpus * _ALL_SPINNING_SHARE:
        return gpus if load.highest <= 100 * gpus * (1 + _GPU_TOLERANCE) else None
    number = round(load.highest / 100)
    tolerated = 100 * _GPU_TOLERANCE
    fits = (
        load.lowest >= 100 * number * _SPINNING_SHARE
        and load.highest <= 100 * number + tolerated * (gpus - number)
        and load.still(tolerated * number)
    )
    return number if fits else None


def loads_text(
    loads: Sequence[HostLoad], name: Literal["cpu", "gpu", "memory", "disk"], full: int | None
) -> str:
    """Return all hosts' loads, for a reader: "399 to 400 of 400 (algo-1, algo-2); none (algo-3)"."""
    hosts: dict[str, list[str]] = {}
    for host_load in loads:
        match getattr(host_load, name):
            case Value(seen):
                text = f"{seen.lowest:.0f} to {seen.highest:.0f}" + (f" of {full}" if full else "")
                text += "" if seen.whole else f", missing for {format_age(seen.hole)}"
            case Unreadable():
                text = "unreadable"
            case _:
                text = "none"
        hosts.setdefault(text, []).append(host_load.host.rpartition("/")[2])
    return "; ".join(f"{text} ({some_names(names)})" for text, names in hosts.items())


def some_names(names: Sequence[str], most: int = 4) -> str:
    """Return *names* in a sentence, the first few of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


# --- jobs -----------------------------------------------------------------------------------------

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
    other. *action* is the proposed action. Objects whose keys contain one of *ignored* are not signs of life.
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
    *max_runtime* counts. *groups* are its instances by type. *writes_to* are the S3 folders that it
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
    groups: tuple[RentedInstances, ...]
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
        return sum(group.count for group in self.groups)

    @property
    def hardware(self) -> str:
        return ", ".join(f"{group.count} x {group.type}" for group in self.groups) or "not known"

    @property
    def machine(self) -> Machine:
        """
        The hardware of each of its hosts.

        AWS does not say which host of a mixed cluster is of which type, so for a mixed
        cluster only the smallest CPU is known.
        """
        machines = {machine_of(group.type) for group in self.groups}
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
    component, hourly = job.kind.component, aws.prices.hourly
    return total_price((group.count, hourly(aws.region, component, group.type)) for group in job.groups)


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


# --- processing and transform jobs ----------------------------------------------------------------

_PROCESSING_PHASE, _TRANSFORMING_PHASE = "Processing", "Transforming"


def _processing_job(answer: DescribeProcessingJobResponseTypeDef) -> RunningJob:
    """
    Return a job with its limit, if it has one.

    Without a limit in the description, none is assumed. A job with a TrainingJobArn evaluates a rule of
    Debugger's or the profiler's over that training job, for as long as that job runs.
    """
    started = answer.get("ProcessingStartTime")
    limits = answer.get("StoppingCondition")
    return RunningJob(
        kind=PROCESSING_JOB_KIND,
        name=answer["ProcessingJobName"],
        created=answer["CreationTime"],
        status=answer["ProcessingJobStatus"],
        phase=_PROCESSING_PHASE if started else STARTING_PHASE,
        started=started,
        ended=answer.get("ProcessingEndTime"),
        counted_from=started,
        max_runtime=limit_duration(limits["MaxRuntimeInSeconds"]) if limits else None,
        started_by=known_arns(answer.get("AutoMLJobArn"), answer.get("MonitoringScheduleArn")),
        watches=answer.get("TrainingJobArn"),
        groups=read_rented_instances(PROCESSING_JOB, answer),
        writes_to=_writes_to(answer),
        downloads=_downloads(answer),
        role=answer.get("RoleArn", ""),
    )


def _downloads(answer: DescribeProcessingJobResponseTypeDef) -> bool:
    """
    Return whether SageMaker downloads inputs before the container starts:
    it does unless they are streamed.
    """
    return any(
        not entry.get("AppManaged", False)
        and ("DatasetDefinition" in entry or entry.get("S3Input", {}).get("S3InputMode", "File") == "File")
        for entry in answer.get("ProcessingInputs", ())
    )


def _writes_to(answer: DescribeProcessingJobResponseTypeDef) -> tuple[str, ...]:
    """
    Return the folders of its outputs, in whatever mode they are uploaded.

    Outputs uploaded at its end count too: the job is in progress until the upload is done, which may take
    hours, while its container has ended, logs nothing and has no load.
    """
    config = answer.get("ProcessingOutputConfig")
    outputs = [output["S3Output"] for output in config["Outputs"] if "S3Output" in output] if config else []
    return s3_folders(*(output["S3Uri"] for output in outputs))


PROCESSING_JOB_KIND = JobKind(
    of=PROCESSING_JOB,
    group="/aws/sagemaker/ProcessingJobs",
    component="Processing",
    working=_PROCESSING_PHASE,
    at_work="processing",
    streams="",
    numbered=True,
    collective=False,
    action="stop the job (outputs uploaded so far stay)",
    running=lambda aws, now: list_running_jobs(aws, PROCESSING_JOB, partial(PROCESSING_JOB.target, aws), now),
    read=_processing_job,
)


def _transform_job(answer: DescribeTransformJobResponseTypeDef) -> RunningJob:
    """Return a job without a limit of its own: only single requests have one (ModelClientConfig)."""
    started = answer.get("TransformStartTime")
    output = answer.get("TransformOutput")
    return RunningJob(
        kind=TRANSFORM_JOB_KIND,
        name=answer["TransformJobName"],
        created=answer["CreationTime"],
        status=answer["TransformJobStatus"],
        phase=_TRANSFORMING_PHASE if started else STARTING_PHASE,
        started=started,
        ended=answer.get("TransformEndTime"),
        groups=read_rented_instances(TRANSFORM_JOB, answer),
        started_by=known_arns(answer.get("AutoMLJobArn"), answer.get("LabelingJobArn")),
        writes_to=s3_folders(output["S3OutputPath"] if output else None),
    )


TRANSFORM_JOB_KIND = JobKind(
    of=TRANSFORM_JOB,
    group="/aws/sagemaker/TransformJobs",
    component="Transform",
    working=_TRANSFORMING_PHASE,
    at_work="transforming",
    streams="",
    numbered=False,
    collective=False,
    action="stop the job (its output is discarded)",
    running=lambda aws, now: list_running_jobs(aws, TRANSFORM_JOB, partial(TRANSFORM_JOB.target, aws), now),
    read=_transform_job,
)
