"""In which phase a job is, and whether it should have ended: what is judged before any sign of life. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ml_janitor.aws.sagemaker_kinds import IN_PROGRESS
from ml_janitor.core.durations import ago
from ml_janitor.core.model import Confidence, Evidence, Kept, Rule, Signal, Value, evidence
from ml_janitor.detectors.hung_training_jobs.job import WAITING, Job
from ml_janitor.detectors.hung_training_jobs.stillness import Still, stamp


def not_at_work(rule: Rule, signal: Signal[Job], job: Job, now: datetime) -> Kept | None:
    """Keep a job in any other phase: before it nothing is billed, after it SageMaker is at work."""
    rule.saw(evidence("status", signal, f"{job.status}, {job.phase}"), Evidence("instances", job.rented))
    if job.tuner:
        rule.saw(Evidence("tuning job", job.tuner.rpartition("/")[2]))
    if job.status != IN_PROGRESS:
        return rule.kept(f"no longer in progress ({job.status})")
    if job.phase in WAITING:
        return rule.kept(f"{job.phase} for {ago(now - job.created)}: waiting for instances costs nothing")
    if job.phase != job.kind.working:
        since = f" since {stamp(job.phase_since)}" if job.phase_since else ""
        return rule.kept(f"not {job.kind.at_work} but {job.phase}{since}")
    if job.started is None:
        return rule.unknown(f"it is {job.kind.at_work}, but AWS does not say since when")
    rule.saw(Evidence("billed for", ago(now - job.started)))
    rule.passed(job.kind.at_work)
    return None


def watching(rule: Rule, watched: Signal[Job], job: Job) -> Kept | None:
    """
    Keep a rule of Debugger's or the profiler's while the training job that it watches goes on.

    It says nothing and rests for as long as nothing is wrong there.
    """
    if job.watches is None:
        return None
    name = job.watches.rpartition("/")[2]
    match watched:
        case Value(training):
            rule.saw(evidence("watches", watched, f"training job {name}, {training.status}"))
            if training.status in {IN_PROGRESS, "Stopping"}:
                return rule.kept(
                    f"it watches the training job {name} (a Debugger or profiler rule), which runs"
                )
            rule.passed(f"the training job that it watches is over ({training.status})")
            return None
        case _:
            rule.saw(evidence("watches", watched))
            return rule.unknown(
                f"it watches the training job {name}, and whether that runs could not be read"
            )


@dataclass(frozen=True, slots=True)
class Limit:
    """One of a job's own limits, by the name that its request gave it."""

    name: str
    since: datetime | None
    allowed: timedelta | None


def past_its_limit(rule: Rule, job: Job, overrun: timedelta, now: datetime) -> Still | None:
    """
    Whether SageMaker should have ended *job* itself; it may take until *overrun* to do so.

    Likely at most where inputs are downloaded first: AWS says neither how long that took, nor whether it
    counts.
    """
    limits = (
        Limit("MaxRuntimeInSeconds", job.counted_from, job.max_runtime),
        Limit("MaxWaitTimeInSeconds", job.created, job.max_wait),
    )
    if all(limit.allowed is None for limit in limits):
        rule.passed("it has no limit of its own")
        return None
    for limit in limits:
        if limit.since is None or limit.allowed is None:
            continue
        late = now - limit.since - limit.allowed
        rule.saw(Evidence(f"time against {limit.name}", f"{ago(now - limit.since)} of {ago(limit.allowed)}"))
        if late > overrun:
            return Still(
                reason=f"this {job.kind.noun} is {job.kind.at_work} {ago(late)} after the end of its own"
                f" limit of {ago(limit.allowed)} ({limit.name})"
                + (", unless that began only when its inputs had been downloaded" if job.downloads else ""),
                confidence=Confidence.LIKELY if job.downloads else Confidence.PROVEN,
                since=limit.since + limit.allowed,
            )
    rule.passed(f"not more than {ago(overrun)} past its own limit")
    return None
