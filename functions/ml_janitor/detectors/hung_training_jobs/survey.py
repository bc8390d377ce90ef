"""Reads jobs in waves: their descriptions, then logs, objects and loads, each only while it may decide."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from ml_janitor.aws import s3 as objects
from ml_janitor.aws import tags
from ml_janitor.aws.answers import Listing, ReadError, required_value
from ml_janitor.aws.arns import target_in
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Price
from ml_janitor.aws.sagemaker_kinds import IN_PROGRESS, TUNING_JOB
from ml_janitor.core.model import Candidate, Kept, Target, Verdict
from ml_janitor.core.signals import NotRead, Signal, Unreadable, Value
from ml_janitor.detectors.hung_training_jobs import load_metrics, rhythm, training, tuning
from ml_janitor.detectors.hung_training_jobs.batch_jobs import PROCESSING_JOB_KIND, TRANSFORM_JOB_KIND
from ml_janitor.detectors.hung_training_jobs.job import RunningJob, job_price
from ml_janitor.detectors.hung_training_jobs.progress import JobPatience, ProgressSigns
from ml_janitor.detectors.hung_training_jobs.tuning import TuningJob

JOB_KINDS_BY_TYPE = {
    kind.of.type: kind for kind in (training.TRAINING_JOB_KIND, PROCESSING_JOB_KIND, TRANSFORM_JOB_KIND)
}

_NO_TUNERS: Listing[Target] = Listing(())
"""No tuning jobs, for a job that none started."""

STARTER_TYPES = ("automl-job", "monitoring-schedule")
"""The resource types, in ARNs, of resources that start jobs, besides tuning jobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspectJob(Candidate):
    """
    A job in progress or with a warm pool, the signs of its movement, and its price per hour.

    *watched* is the training job whose rule the job is, if any. *unfinished* is true if an action began to
    stop it, and may not have ended its warm pool.
    """

    job: Signal[RunningJob]
    watched: Signal[RunningJob] = field(default_factory=NotRead)
    unfinished: bool = False
    signs: ProgressSigns = field(default_factory=ProgressSigns)
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

    *decide* judges a candidate by its facts so far: a settled candidate is not read further.
    """

    aws: Aws
    now: datetime
    patience: JobPatience
    decide: Callable[[SuspectJob | SuspectTuner, datetime], Verdict]

    def all(self) -> Iterator[SuspectJob | SuspectTuner]:
        """
        Yield every job that runs or has a warm pool. Raises ReadError at
        the end if a listing broke off.
        """
        aws, now = self.aws, self.now
        listers = (*(kind.running for kind in JOB_KINDS_BY_TYPE.values()), tuning.list_tuning_jobs)
        *listings, tuners = aws.map(lambda lister: lister(aws, now), listers)
        running = aws.map(lambda tuner: tuning.list_tuning_children(aws, tuner.name), tuners.items)
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
        (candidate,) = self._with_loads([candidate])
        tuners = tuning.list_tuning_jobs(self.aws, self.now) if job.tuner else _NO_TUNERS
        belongs_to = read_parents(self.aws, candidate, job, tuners)
        return replace(candidate, belongs_to=belongs_to, price=job_price(self.aws, job))

    def tuner(self, target: Target) -> SuspectTuner | None:
        """
        Return a tuning job as it is now, with its running children, or None
        if it is gone. Raises ReadError.
        """
        tuner = tuning.describe_tuning_job(self.aws, target.name)
        read = required_value(tuner)
        if read is None:
            return None
        target = replace(target, created=read.created, tags=tags.read_sagemaker_tags(self.aws, target.arn))
        running = tuning.list_tuning_children(self.aws, target.name)
        targets = running.value if isinstance(running, Value) else ()
        by_arn = {suspect.target.arn.lower(): suspect for suspect in self._suspects(targets, _NO_TUNERS)}
        return make_suspect_tuner(target, tuner, running, by_arn)

    def _suspects(self, targets: Sequence[Target], tuners: Listing[Target]) -> list[SuspectJob]:
        """Return all *targets* that are jobs, each with the signals that its judgement needs."""
        candidates = self._with_loads(self.aws.map(self._read, targets))
        return self.aws.map(lambda candidate: self._tagged(candidate, tuners), candidates)

    def _read(self, target: Target) -> SuspectJob:
        """Return one job with its description, logs and objects, each only if those before leave it open."""
        aws, now = self.aws, self.now
        candidate = SuspectJob(target=target, job=JOB_KINDS_BY_TYPE[target.kind].describe(aws, target.name))
        if not isinstance(candidate.job, Value) or not self._open(candidate):
            return candidate
        job = candidate.job.value
        if job.started is None or job.status != IN_PROGRESS:
            return candidate
        if job.watches is not None:
            watched = training.TRAINING_JOB_KIND.describe(aws, job.watches.rpartition("/")[2])
            candidate = replace(candidate, watched=watched)
            if not self._open(candidate) or not isinstance(watched, Value):
                return candidate
        fresh = now - self.patience.silence
        heard = rhythm.read_rhythm(aws, job.kind.group, job.streams, started=job.started, fresh=fresh)
        candidate = replace(candidate, signs=ProgressSigns(rhythm=heard))
        if not isinstance(heard, Value) or not self._open(candidate) or not job.writes_to:
            return candidate
        stood_still = self.patience.with_rhythm(heard.value.longest_pause)
        newest = objects.find_newest_object(
            aws, job.writes_to, fresh=now - stood_still, ignore=job.kind.ignored
        )
        return replace(candidate, signs=ProgressSigns(rhythm=heard, newest=newest))

    def _with_loads(self, candidates: Sequence[SuspectJob]) -> list[SuspectJob]:
        """Return *candidates* with the load of those that are still open, all hosts of all jobs together."""
        windows: dict[str, load_metrics.LoadWindow] = {}
        for candidate in candidates:
            match candidate:
                case SuspectJob(job=Value(job), signs=ProgressSigns(rhythm=Value(heard))) if self._open(
                    candidate
                ):
                    if job.writes_to and not isinstance(candidate.signs.newest, Value):
                        continue
                    stood_still = self.patience.with_rhythm(heard.longest_pause)
                    windows[candidate.target.arn] = load_metrics.LoadWindow(job, self.now - stood_still)
        loads = load_metrics.read_host_loads(self.aws, windows, self.now)

        def with_load(candidate: SuspectJob) -> SuspectJob:
            read = loads.get(candidate.target.arn, candidate.signs.loads)
            return replace(candidate, signs=replace(candidate.signs, loads=read))

        return [with_load(candidate) for candidate in candidates]

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
