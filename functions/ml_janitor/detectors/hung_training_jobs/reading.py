"""The reading of running jobs: training jobs with their warm pools, tuning jobs, and what shows progress."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from ml_janitor.aws import tags
from ml_janitor.aws.activity import active_streams
from ml_janitor.aws.calls import Listing, ReadError, read_signal, required_value
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Price
from ml_janitor.aws.rented_instances import RentedInstances, read_rented_instances
from ml_janitor.aws.s3 import find_newest_object
from ml_janitor.aws.sagemaker_kinds import IN_PROGRESS, SEARCH, TRAINING_JOB, TUNING_JOB, list_targets
from ml_janitor.aws.tags import target_in
from ml_janitor.aws.training_jobs import POOL_AVAILABLE, POOL_LIFE, list_billed_jobs, search_training_jobs
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import (
    Absent,
    Candidate,
    Confidence,
    Evidence,
    Finding,
    Kept,
    NotRead,
    Rule,
    Signal,
    Target,
    Unreadable,
    Value,
    Verdict,
    as_evidence,
)
from ml_janitor.detectors.hung_training_jobs import progress
from ml_janitor.detectors.hung_training_jobs.jobs import (
    PROCESSING_JOB_KIND,
    TRANSFORM_JOB_KIND,
    JobKind,
    RunningJob,
    billed_cost,
    describe_job,
    job_price,
    known_arns,
    limit_duration,
    price_text,
    s3_folders,
    some_names,
)
from ml_janitor.detectors.hung_training_jobs.progress import NO_STREAMS, JobPatience, ProgressSigns, utc_text

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import (
        DescribeHyperParameterTuningJobResponseTypeDef,
        DescribeTrainingJobResponseTypeDef,
        SecondaryStatusTransitionTypeDef,
    )

# --- training jobs and warm pools -----------------------------------------------------------------

TRAINING_PHASE = "Training"

_DEBUGGER_OUTPUT = ("/profiler-output/", "/rule-output/")
"""
The places where SageMaker's profiler and Debugger's rules write, whether or not the job moves on: utilization
by the minute, traces of the framework, and reports. The program's own data lies in /debug-output/.
"""


def _job(answer: DescribeTrainingJobResponseTypeDef) -> RunningJob:
    phases = answer.get("SecondaryStatusTransitions", [])
    started = answer.get("TrainingStartTime")
    limits = answer["StoppingCondition"]
    resources = answer.get("ResourceConfig", {})
    groups = read_rented_instances(TRAINING_JOB, answer)
    return RunningJob(
        kind=TRAINING_JOB_KIND,
        name=answer["TrainingJobName"],
        created=answer["CreationTime"],
        status=answer["TrainingJobStatus"],
        phase=answer["SecondaryStatus"],
        phase_since=phases[-1]["StartTime"] if phases else None,
        started=started,
        ended=answer.get("TrainingEndTime"),
        counted_from=_counted_from(started, phases),
        max_runtime=limit_duration(limits.get("MaxRuntimeInSeconds")),
        max_wait=limit_duration(limits.get("MaxWaitTimeInSeconds")),
        groups=groups,
        writes_to=_writes_to(answer),
        spot=answer.get("EnableManagedSpotTraining", False),
        reserved=any(group.reserved for group in groups),
        tuner=answer.get("TuningJobArn"),
        started_by=known_arns(answer.get("AutoMLJobArn"), answer.get("LabelingJobArn")),
        pool=answer["WarmPoolStatus"]["Status"] if "WarmPoolStatus" in answer else None,
        keep_alive=timedelta(seconds=resources.get("KeepAlivePeriodInSeconds", 0)),
        checkpoints="CheckpointConfig" in answer,
        role=answer.get("RoleArn", ""),
    )


def _counted_from(
    started: datetime | None, phases: list[SecondaryStatusTransitionTypeDef]
) -> datetime | None:
    """
    Return when the runtime began, at the latest: when its program last did.

    Before, inputs were downloaded, and between two attempts nothing ran. AWS does not say whether that
    counts; jobs were seen to be ended minutes after their limit (aws/sagemaker-python-sdk#4451,
    apache/airflow#33982), so counting it could only come out too long.
    """
    attempts = [phase["StartTime"] for phase in phases if phase["Status"] == TRAINING_PHASE]
    return max(attempts, default=started)


def _writes_to(answer: DescribeTrainingJobResponseTypeDef) -> tuple[str, ...]:
    """
    Return the folders that its request names for outputs.

    SageMaker puts outputs into a folder of the job's name; checkpoints go straight to their path.
    """
    outputs = (answer.get("OutputDataConfig"), answer.get("DebugHookConfig"))
    checkpoints, boards = answer.get("CheckpointConfig"), answer.get("TensorBoardOutputConfig")
    return s3_folders(
        *(
            f"{output['S3OutputPath'].rstrip('/')}/{answer['TrainingJobName']}"
            for output in outputs
            if output and output.get("S3OutputPath")
        ),
        checkpoints["S3Uri"] if checkpoints else None,
        boards["S3OutputPath"] if boards else None,
    )


TRAINING_JOB_KIND = JobKind(
    of=TRAINING_JOB,
    group="/aws/sagemaker/TrainingJobs",
    component="Training",
    working=TRAINING_PHASE,
    at_work="in training",
    streams="algo-",
    ignored=_DEBUGGER_OUTPUT,
    numbered=True,
    collective=True,
    action="stop the job (artifacts written so far stay) and end its warm pool",
    running=list_billed_jobs,
    read=_job,
)


_POOL_ACTION = "end the warm pool (the job itself is over, and what it made stays)"
_POOL_LOST = "the pool: the next job of its kind starts instances of its own"

_POOL_STAYS = frozenset({POOL_AVAILABLE, "InUse"})
"""Statuses of a pool that waits, or will when its job is over. A Reused pool is another job's."""

_POOL_REUSED = "Reused"


def pool_status(described: Mapping[str, Any]) -> str | None:
    """Return the status of the warm pool of a training job as AWS describes it; None if it has none."""
    status: str | None = described.get("WarmPoolStatus", {}).get("Status")
    return status


def keeps_pool(described: Mapping[str, Any]) -> bool:
    """Return whether its instances wait for another job, or will when it is over."""
    period = described.get("ResourceConfig", {}).get("KeepAlivePeriodInSeconds")
    return pool_status(described) in _POOL_STAYS and period != 0


POOL_HISTORY = timedelta(days=30)
"""Time in which the waits of earlier pools show how long it takes until the next job comes."""


@dataclass(frozen=True, slots=True)
class PoolShape:
    """
    The members that a job shares with the warm pool it may use: *instances* by type, and the *role*.

    SageMaker compares more members of their requests (developer guide, "Train using SageMaker managed warm
    pools", matching jobs). Fewer find more earlier pools, and keep more.
    """

    instances: tuple[tuple[str, int], ...]
    role: str

    @classmethod
    def of(cls, groups: Iterable[RentedInstances], role: str) -> PoolShape:
        return cls(tuple(sorted((group.type, group.count) for group in groups)), role)


type PoolWaits = Mapping[PoolShape, timedelta]
"""The longest wait of an earlier pool of a shape until another job used it."""


def read_pool_waits(aws: Aws, now: datetime) -> Signal[PoolWaits]:
    """
    Return the waits of the pools of jobs created within `POOL_HISTORY` that another job used again.

    AWS does not always tell a wait: then it was as long as a pool can last.
    """

    def wait_of(record: Mapping[str, Any]) -> tuple[PoolShape, timedelta] | None:
        if pool_status(record) != _POOL_REUSED:
            return None
        seconds = record["WarmPoolStatus"].get("ResourceRetainedBillableTimeInSeconds")
        waited = POOL_LIFE if seconds is None else timedelta(seconds=seconds)
        return PoolShape.of(read_rented_instances(TRAINING_JOB, record), record.get("RoleArn", "")), waited

    found = search_training_jobs(aws, wait_of, now, since=now - POOL_HISTORY)
    if found.error is not None:
        return Unreadable(found.error, SEARCH)
    waits: dict[PoolShape, timedelta] = {}
    for shape, waited in found.items:
        waits[shape] = max(waited, waits.get(shape, timedelta()))
    return Value(waits, SEARCH)


def judge_remaining_pool(
    rule: Rule, signal: Signal[RunningJob], job: RunningJob, price: Price
) -> Verdict | None:
    """
    Judge the warm pool of a job that the janitor stopped; None if the job runs, and is judged as others.

    The pool is waste at once: it was to end with its job.
    """
    if job.status == IN_PROGRESS:
        return None
    rule.saw(as_evidence("status", signal, f"{job.status}, warm pool {job.pool}"))
    if job.pool not in _POOL_STAYS:
        return rule.kept("it was stopped, and left no warm pool")
    return rule.found(
        f"this {job.kind.noun} was stopped because it hung, and leaves a warm pool; {price_text(price, job)}",
        Confidence.PROVEN,
        action=_POOL_ACTION,
        noun="unused warm pool",
        lost=_POOL_LOST,
    )


def judge_pool(
    rule: Rule,
    signal: Signal[RunningJob],
    job: RunningJob,
    price: Price,
    *,
    waits: Signal[PoolWaits],
    patience: timedelta,
    now: datetime,
) -> Verdict | None:
    """
    Judge whether the warm pool of *job* waits in vain; None if it has none that waits.

    A pool that waits no longer than an earlier one of its shape did, until a job came, waits for the next.

    A pool that is available is unused, and may wait a while for the next job. It waits since its job ended;
    AWS tells its billed time only afterwards (documentation of ResourceRetainedBillableTimeInSeconds).
    """
    if job.status == IN_PROGRESS or job.pool != POOL_AVAILABLE:
        return None
    rule.saw(
        as_evidence("status", signal, f"{job.status}, warm pool {job.pool}"),
        Evidence("instances", job.hardware),
    )
    if job.ended is None:
        return rule.unknown("its warm pool is available, but AWS does not say since when")
    unused, until = now - job.ended, job.ended + job.keep_alive
    rule.saw(
        Evidence("warm pool unused for", format_age(unused)), Evidence("kept alive until", utc_text(until))
    )
    if unused < patience:
        return rule.kept(
            f"its warm pool is unused for {format_age(unused)}: judged from {format_age(patience)} on"
        )
    rule.passed(f"no job has used its warm pool for {format_age(patience)} or more")
    if not isinstance(waits, Value):
        rule.saw(as_evidence("waits of earlier pools", waits))
        return rule.unknown("how long earlier warm pools of its kind waited for a job could not be read")
    longest = waits.value.get(PoolShape.of(job.groups, job.role))
    rule.saw(Evidence("longest wait of an earlier pool", "none" if longest is None else format_age(longest)))
    if longest is not None and longest > unused:
        return rule.kept(
            f"its warm pool is unused for {format_age(unused)}, and a job came to an earlier one after"
            f" {format_age(longest)}"
        )
    rule.passed("no earlier pool of its kind waited longer for a job that came")
    return rule.found(
        f"the warm pool of this {job.kind.noun} ({job.hardware}) waits for another job, unused for"
        f" {format_age(unused)} and until {utc_text(until)}; {price_text(price, job)}",
        Confidence.PROVEN,
        action=_POOL_ACTION,
        cost=billed_cost(price, job.ended, now),
        since=job.ended,
        noun="unused warm pool",
        lost=_POOL_LOST,
    )


# --- tuning jobs ----------------------------------------------------------------------------------

CHILD_JOB = replace(TRAINING_JOB, operation="ListTrainingJobsForHyperParameterTuningJob")

TUNER_KIND = TUNING_JOB.type

_TUNER_ACTION = "stop the tuning job, and with it its running children (artifacts written so far stay)"
_TUNER_LOST = "the tuning job: for the trainings that are left, one can be created that learns from this one"


@dataclass(frozen=True, slots=True)
class TuningJob:
    """A tuning job: a plan that starts training jobs, its children. Only they are billed."""

    created: datetime | None
    status: str


def list_tuning_jobs(aws: Aws, _now: datetime) -> Listing[Target]:
    """Return the tuning jobs in progress, however old: one may run for half a year."""
    return list_targets(aws, TUNING_JOB, StatusEquals=IN_PROGRESS)


def describe_tuning_job(aws: Aws, name: str) -> Signal[TuningJob]:
    """Return the tuning job called *name*; `Absent` if there is none."""

    def read(answer: DescribeHyperParameterTuningJobResponseTypeDef) -> TuningJob:
        return TuningJob(created=answer["CreationTime"], status=answer["HyperParameterTuningJobStatus"])

    return describe_job(aws, TUNING_JOB, read, name)


def list_tuning_children(aws: Aws, name: str) -> Signal[tuple[Target, ...]]:
    """Return the training jobs of the tuning job *name* that run now: all of them, or none is known."""
    listing = list_targets(aws, CHILD_JOB, HyperParameterTuningJobName=name, StatusEquals=IN_PROGRESS)
    return listing.signal(CHILD_JOB.lists)


def judge_tuning_job(
    rule: Rule, tuner: Signal[TuningJob], children: Signal[Mapping[str, Verdict]]
) -> Verdict:
    """
    Judge a tuning job, which hangs only if every running child does. *children* are verdicts by name.

    It costs nothing itself, so a finding has no cost: each of its children is found, and counted, itself.
    """
    match tuner:
        case Value(read):
            rule.saw(as_evidence("status", tuner, read.status))
            if read.status != IN_PROGRESS:
                return rule.kept(f"no longer in progress ({read.status})")
        case Absent():
            return rule.kept("it no longer exists")
        case _:
            rule.saw(as_evidence("description", tuner))
            return rule.unknown("its description could not be read")
    match children:
        case Value(verdicts):
            rule.saw(as_evidence("running children", children, len(verdicts)))
            return _of_children(rule, verdicts)
        case _:
            rule.saw(as_evidence("running children", children))
            return rule.unknown("its running children could not be listed")


def _of_children(rule: Rule, verdicts: Mapping[str, Verdict]) -> Verdict:
    """Keep a tuning job as long as one of its children works, or may be working."""
    rule.saw(*(Evidence("child", f"{name}: {verdict.reason}") for name, verdict in verdicts.items()))
    if not verdicts:
        return rule.kept("none of its children is running, so nothing is billed")
    kept = {name: verdict for name, verdict in verdicts.items() if isinstance(verdict, Kept)}
    alive = [name for name, verdict in kept.items() if not verdict.unknown]
    if alive:
        return rule.kept(
            f"{len(alive)} of {len(verdicts)} running children do not hang ({some_names(alive)})"
        )
    if kept:
        return rule.unknown(f"whether its running children hang is not known ({some_names(list(kept))})")
    rule.passed("every running child hangs")
    found = [verdict for verdict in verdicts.values() if isinstance(verdict, Finding)]
    weakest = (
        Confidence.LIKELY
        if Confidence.LIKELY in {finding.confidence for finding in found}
        else Confidence.PROVEN
    )
    return rule.found(
        f"every running child of this tuning job hangs ({some_names(list(verdicts))});"
        " what they cost is counted with them",
        weakest,
        action=_TUNER_ACTION,
        since=max((finding.since for finding in found if finding.since is not None), default=None),
        noun="hung tuning job",
        lost=_TUNER_LOST,
    )


# --- the survey -----------------------------------------------------------------------------------
# The survey reads descriptions first, then logs, objects and loads, each only while it may decide.

JOB_KINDS_BY_TYPE = {
    kind.of.type: kind for kind in (TRAINING_JOB_KIND, PROCESSING_JOB_KIND, TRANSFORM_JOB_KIND)
}

_NO_TUNERS: Listing[Target] = Listing(())
"""No tuning jobs, for a job that none started."""

STARTER_TYPES = ("automl-job", "monitoring-schedule")
"""The resource types, in ARNs, of resources that start jobs, besides tuning jobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspectJob(Candidate):
    """
    A job in progress or with a warm pool, the signs of its movement, and its price per hour.

    *watched* is the training job whose rule the job is, if any. *recorded* is true if Search described the
    job. *unfinished* is true if an action began to stop it, and may not have ended its warm pool. *waits* are
    read if it left a pool that has waited.
    """

    job: Signal[RunningJob]
    watched: Signal[RunningJob] = field(default_factory=NotRead)
    unfinished: bool = False
    recorded: bool = False
    signs: ProgressSigns = field(default_factory=ProgressSigns)
    waits: Signal[PoolWaits] = field(default_factory=NotRead)
    price: Price = field(default_factory=lambda: Price(None, "not asked"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspectTuner(Candidate):
    """A tuning job in progress, and those of its children that run."""

    tuner: Signal[TuningJob]
    children: Signal[tuple[SuspectJob, ...]] = field(default_factory=NotRead)


def read_parents(
    aws: Aws, candidate: SuspectJob, job: RunningJob, tuners: Listing[Target]
) -> tuple[Target, ...]:
    """
    Return the resources that *job* belongs to, or watches, each with its
    tags: keeping one keeps the job.
    """
    found = [] if job.tuner is None else [_tuner(aws, job.tuner, tuners)]
    found += [_starter(aws, arn) for arn in job.started_by]
    if job.watches is not None:
        watched = candidate.watched.value if isinstance(candidate.watched, Value) else None
        found.append(_named(aws, job.watches, created=watched.created if watched else None))
    return tuple(found)


def _tuner(aws: Aws, arn: str, tuners: Listing[Target]) -> Target:
    """
    Return the tuning job that started a job.

    A tuning job that *tuners* does not list has ended. If their listing broke off, its tags are unreadable.
    """
    known = next((target for target in tuners.items if target.arn.lower() == arn.lower()), None)
    if known is not None:
        return _named(aws, arn, created=known.created, name=known.name)
    return _named(aws, arn, unread=tuners.error)


def _starter(aws: Aws, arn: str) -> Target:
    """
    Return the other SageMaker resource that started a job. Tags of kinds
    without a permission are unreadable.
    """
    kind = arn.rpartition(":")[2].partition("/")[0]
    return _named(aws, arn, unread=None if kind in STARTER_TYPES else f"those of {kind or arn} are not read")


def _named(
    aws: Aws, arn: str, *, created: datetime | None = None, name: str = "", unread: str | None = None
) -> Target:
    """
    Return the resource that *arn* names, as far as the ARN shows it;
    *unread* is why its tags are not known.
    """
    kind, _, last = arn.rpartition(":")[2].partition("/")  # a description may hold a text that is not an ARN
    own_tags = tags.read_sagemaker_tags(aws, arn) if unread is None else Unreadable(unread)
    return target_in(aws, arn, name or last, kind, created, tags=own_tags)


def make_suspect_tuner(
    target: Target,
    tuner: Signal[TuningJob],
    running: Signal[tuple[Target, ...]],
    jobs: Mapping[str, SuspectJob],
) -> SuspectTuner:
    """
    Return a tuning job with its *running* children out of *jobs* (by ARN in lower case).

    The starter of its children started it: its own description does not name an AutoML job.
    """
    match running:
        case Value(listed, source):
            children = tuple(jobs[child.arn.lower()] for child in listed)
            starters = {starter.arn: starter for child in children for starter in child.belongs_to}
            return SuspectTuner(
                target=target,
                tuner=tuner,
                children=Value(children, source),
                takes_along=tuple(child.target for child in children),
                belongs_to=tuple(
                    starter for starter in starters.values() if starter.arn.lower() != target.arn.lower()
                ),
            )
        case unread:
            return SuspectTuner(target=target, tuner=tuner, children=unread)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSurvey:
    """
    One reading of the jobs of an account and region.

    *decide* judges a candidate by its facts so far: a settled candidate is not read further. *records* are
    those of Search, by ARN: a job that logs is kept by its record, every other one is described.
    """

    aws: Aws
    now: datetime
    patience: JobPatience
    decide: Callable[[SuspectJob | SuspectTuner, datetime], Verdict]
    read_logs: bool
    records: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def all(self) -> Iterator[SuspectJob | SuspectTuner]:
        """
        Yield every job that runs or has a warm pool. Raises ReadError at
        the end if a listing broke off.
        """
        aws, now = self.aws, self.now
        listers: list[Callable[[Aws, datetime], Listing[Target]]] = [
            partial(list_billed_jobs, note=lambda job, record: self.records.update({job.arn: record})),
            *(kind.running for kind in JOB_KINDS_BY_TYPE.values() if kind is not TRAINING_JOB_KIND),
            list_tuning_jobs,
        ]
        *listings, tuners = aws.map(lambda lister: lister(aws, now), listers)
        running = aws.map(lambda tuner: list_tuning_children(aws, tuner.name), tuners.items)
        children = [child for signal in running if isinstance(signal, Value) for child in signal.value]
        jobs = {target.arn.lower(): target for listing in listings for target in listing.items}
        jobs |= {
            child.arn.lower(): child for child in children
        }  # a job may have started since those were listed
        suspects = self._suspects(list(jobs.values()), tuners)
        yield from suspects
        by_arn = {suspect.target.arn.lower(): suspect for suspect in suspects}
        tuning_jobs = [
            make_suspect_tuner(
                tuner, Value(TuningJob(tuner.created, IN_PROGRESS), TUNING_JOB.lists), signal, by_arn
            )
            for tuner, signal in zip(tuners.items, running, strict=True)
        ]
        yield from aws.map(lambda candidate: self._tagged(candidate, tuners), tuning_jobs)
        broken = [listing.error for listing in (*listings, tuners) if listing.error is not None]
        if broken:
            raise ReadError("; ".join(broken))

    def job(self, target: Target) -> SuspectJob | None:
        """Return one job as it is now, or None if it is gone. Raises ReadError."""
        candidate = self._read(replace(target, tags=tags.read_sagemaker_tags(self.aws, target.arn)))
        job = required_value(candidate.job)
        if job is None:
            return None
        candidate = replace(candidate, target=replace(candidate.target, created=job.created))
        (candidate,) = self._with_waits(self._with_loads([candidate]))
        tuners = list_tuning_jobs(self.aws, self.now) if job.tuner else _NO_TUNERS
        belongs_to = read_parents(self.aws, candidate, job, tuners)
        return replace(candidate, belongs_to=belongs_to, price=job_price(self.aws, job))

    def tuner(self, target: Target) -> SuspectTuner | None:
        """
        Return a tuning job as it is now, with its running children, or None
        if it is gone. Raises ReadError.
        """
        tuner = describe_tuning_job(self.aws, target.name)
        read = required_value(tuner)
        if read is None:
            return None
        target = replace(target, created=read.created, tags=tags.read_sagemaker_tags(self.aws, target.arn))
        running = list_tuning_children(self.aws, target.name)
        targets = running.value if isinstance(running, Value) else ()
        by_arn = {suspect.target.arn.lower(): suspect for suspect in self._suspects(targets, _NO_TUNERS)}
        return make_suspect_tuner(target, tuner, running, by_arn)

    def _suspects(self, targets: Sequence[Target], tuners: Listing[Target]) -> list[SuspectJob]:
        """Return all *targets* that are jobs, each with the signals that its judgement needs."""
        begun = self.aws.map(lambda target: self._recorded(target) or self._described(target), targets)
        active = self._active_streams(begun)
        heard = self.aws.map(lambda candidate: self._heard(candidate, active), begun)
        candidates = self._with_waits(self._with_loads(heard))
        return self.aws.map(lambda candidate: self._tagged(candidate, tuners), candidates)

    def _active_streams(self, candidates: Sequence[SuspectJob]) -> Mapping[str, datetime]:
        """Return streams that were written lately, from fewer pages than there are *candidates* of a kind."""
        running = [job for candidate in candidates if (job := self._running(candidate)) is not None]
        fresh, found = self.now - self.patience.silence, dict[str, datetime]()
        for group, number in Counter(job.kind.group for job in running).items():
            read = active_streams(self.aws, group, fresh, pages=number - 1) if number > 1 else NotRead()
            if isinstance(read, Value):
                found |= {f"{group}/{stream}": at for stream, at in read.value.items() if at > fresh}
        return found

    def _running(self, candidate: SuspectJob) -> RunningJob | None:
        """Return the job of *candidate* if only its progress can settle the question."""
        job = candidate.job.value if isinstance(candidate.job, Value) else None
        if job is None or job.started is None or job.status != IN_PROGRESS or not self._open(candidate):
            return None
        return job

    def _read(self, target: Target) -> SuspectJob:
        """Return one job with its description, logs and objects, each only if those before leave it open."""
        return self._heard(self._described(target), NO_STREAMS)

    def _recorded(self, target: Target) -> SuspectJob | None:
        """Return a running job with Search's record in place of its description, or None without one."""
        if (record := self.records.get(target.arn)) is None:
            return None
        read = read_signal(lambda: _job(cast("DescribeTrainingJobResponseTypeDef", record)), source=SEARCH)
        candidate = SuspectJob(target=target, job=read)
        return None if self._running(candidate) is None else replace(candidate, recorded=True)

    def _described(self, target: Target) -> SuspectJob:
        """Return a job with its description, and that of the job that it watches."""
        describe = JOB_KINDS_BY_TYPE[target.kind].describe
        candidate = SuspectJob(target=target, job=describe(self.aws, target.name))
        job = self._running(candidate)
        if job is None or job.watches is None:
            return candidate
        watched = TRAINING_JOB_KIND.describe(self.aws, job.watches.rpartition("/")[2])
        return replace(candidate, watched=watched)

    def _heard(self, candidate: SuspectJob, active: Mapping[str, datetime]) -> SuspectJob:
        """Return *candidate* with its logs and objects; *active* has streams that were read already."""
        if candidate.recorded:
            job = self._running(candidate)
            rhythm = None if job is None else progress.fresh_rhythm(active, job.kind.group, job.streams)
            if rhythm is not None:
                alive = replace(candidate, signs=ProgressSigns(rhythm=rhythm))
                if isinstance(verdict := self.decide(alive, self.now), Kept) and not verdict.unknown:
                    return alive
            candidate = self._described(candidate.target)
        aws, now, job = self.aws, self.now, self._running(candidate)
        if job is None or job.started is None:
            return candidate
        if job.watches is not None and not isinstance(candidate.watched, Value):
            return candidate
        fresh = now - self.patience.silence
        heard = progress.read_rhythm(
            aws,
            job.kind.group,
            job.streams,
            started=job.started,
            fresh=fresh,
            events=self.read_logs,
            active=active,
        )
        candidate = replace(candidate, signs=ProgressSigns(rhythm=heard))
        if not isinstance(heard, Value) or not self._open(candidate) or not job.writes_to:
            return candidate
        stood_still = self.patience.with_rhythm(heard.value.longest_pause)
        newest = find_newest_object(aws, job.writes_to, fresh=now - stood_still, ignore=job.kind.ignored)
        return replace(candidate, signs=ProgressSigns(rhythm=heard, newest=newest))

    def _with_loads(self, candidates: Sequence[SuspectJob]) -> list[SuspectJob]:
        """Return *candidates* with the load of those that are still open, all hosts of all jobs together."""
        windows: dict[str, progress.LoadWindow] = {}
        for candidate in candidates:
            match candidate:
                case SuspectJob(job=Value(job), signs=ProgressSigns(rhythm=Value(heard))) if self._open(
                    candidate
                ):
                    if job.writes_to and not isinstance(candidate.signs.newest, Value):
                        continue
                    stood_still = self.patience.with_rhythm(heard.longest_pause)
                    windows[candidate.target.arn] = progress.LoadWindow(job, self.now - stood_still)
        loads = progress.read_host_loads(self.aws, windows, self.now)

        def with_load(candidate: SuspectJob) -> SuspectJob:
            read = loads.get(candidate.target.arn, candidate.signs.loads)
            known = replace(candidate, signs=replace(candidate.signs, loads=read))
            match known:
                case SuspectJob(
                    job=Value(job), signs=ProgressSigns(rhythm=Value(heard), loads=Value(hosts))
                ) if known.signs.spin(job):
                    levels = progress.read_logged_levels(self.aws, job, hosts, heard.last)
                    return replace(known, signs=replace(known.signs, logged_levels=levels))
            return known

        return self.aws.map(with_load, candidates)

    def _with_waits(self, candidates: Sequence[SuspectJob]) -> list[SuspectJob]:
        """Return *candidates*; those with a pool that has waited get the waits of earlier pools."""

        def waits(candidate: SuspectJob) -> bool:
            job = candidate.job.value if isinstance(candidate.job, Value) else None
            left = job is not None and job.status != IN_PROGRESS and job.pool == POOL_AVAILABLE
            return left and self._open(candidate)

        left = [waits(candidate) for candidate in candidates]
        known: Signal[PoolWaits] = read_pool_waits(self.aws, self.now) if any(left) else NotRead()
        return [
            replace(candidate, waits=known) if waited else candidate
            for candidate, waited in zip(candidates, left, strict=True)
        ]

    def _tagged[C: (SuspectJob, SuspectTuner)](self, candidate: C, tuners: Listing[Target]) -> C:
        """
        Return *candidate* with its tags, and a job with its price, if it is
        waste; else it needs neither.
        """
        if isinstance(self.decide(candidate, self.now), Kept):
            return candidate
        known = tags.read_sagemaker_tags(self.aws, candidate.target.arn)
        candidate = replace(candidate, target=replace(candidate.target, tags=known))
        match candidate:
            case SuspectJob(job=Value(job)):
                belongs_to = read_parents(self.aws, candidate, job, tuners)
                return replace(candidate, belongs_to=belongs_to, price=job_price(self.aws, job))
            case _:
                return candidate

    def _open(self, candidate: SuspectJob) -> bool:
        """Return whether the facts so far leave the question open."""
        verdict = self.decide(candidate, self.now)
        return isinstance(verdict, Kept) and verdict.unknown
