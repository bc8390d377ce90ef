"""Jobs and tuning jobs as candidates: what was read for each, and which of them belong together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from ml_janitor.aws import tags
from ml_janitor.aws.answers import Listing
from ml_janitor.aws.prices import Price
from ml_janitor.core.model import Candidate, NotRead, Signal, Target, Unreadable, Value
from ml_janitor.detectors.hung_training_jobs.job import Job
from ml_janitor.detectors.hung_training_jobs.stillness import Signs
from ml_janitor.detectors.hung_training_jobs.tuning import Tuner

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws

MAKERS = ("automl-job", "monitoring-schedule")
"""The resource types, in ARNs, of what starts jobs by itself, besides tuning jobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect(Candidate):
    """
    A job in progress or with a warm pool, what shows whether it moves, and what an hour of it costs.

    *watched* is the training job whose rule the job is, if it is one.
    *half_done*: the janitor set out to stop it, and may not have got to its warm pool.
    """

    job: Signal[Job]
    watched: Signal[Job] = field(default_factory=NotRead)
    half_done: bool = False
    signs: Signs = field(default_factory=Signs)
    price: Price = field(default_factory=lambda: Price(None, "not asked"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspectTuner(Candidate):
    """A tuning job in progress, and those of its children that run."""

    tuner: Signal[Tuner]
    children: Signal[tuple[Suspect, ...]] = field(default_factory=NotRead)


def parents(aws: Aws, candidate: Suspect, job: Job, tuners: Listing[Target]) -> tuple[Target, ...]:
    """What *job* is a part of, or watches, each with its tags: whoever keeps that keeps it too."""
    found = [] if job.tuner is None else [_tuner(aws, job.tuner, tuners)]
    found += [_maker(aws, arn) for arn in job.makers]
    if job.watches is not None:
        watched = candidate.watched.value if isinstance(candidate.watched, Value) else None
        target = _named(aws, job.watches, watched.created if watched else None)
        found.append(replace(target, tags=tags.of_one(aws, job.watches)))
    return tuple(found)


def _tuner(aws: Aws, arn: str, tuners: Listing[Target]) -> Target:
    """
    The tuning job that started a job.

    One that *tuners* does not list runs no more. Where those were not listed to the end, nobody
    knows which one it is, nor whether it is kept.
    """
    known = next((one for one in tuners.items if one.arn.lower() == arn.lower()), None)
    target = _named(aws, arn, known.created if known else None, known.name if known else None)
    if known is None and tuners.error is not None:
        return replace(target, tags=Unreadable(tuners.error))
    return replace(target, tags=tags.of_one(aws, arn))


def _maker(aws: Aws, arn: str) -> Target:
    """What else of SageMaker's started a job. Of kinds whose tags no permission is for, nobody knows them."""
    target = _named(aws, arn, None)
    if target.kind not in MAKERS:
        return replace(target, tags=Unreadable(f"those of {target.kind or arn} are not read"))
    return replace(target, tags=tags.of_one(aws, arn))


def _named(aws: Aws, arn: str, created: datetime | None, name: str | None = None) -> Target:
    """What *arn* names, as far as it says so itself."""
    kind, _, last = arn.rpartition(":")[2].partition("/")  # a description may hold what is no ARN
    return Target(
        arn=arn, name=name or last, kind=kind, account=aws.account, region=aws.region, created=created
    )


def family(
    target: Target, tuner: Signal[Tuner], running: Signal[tuple[Target, ...]], jobs: Mapping[str, Suspect]
) -> SuspectTuner:
    """
    A tuning job with its *running* children out of *jobs* (by ARN in lower case).

    What started its children started it: its own description does not name an AutoML job.
    """
    match running:
        case Value(listed, source):
            children = tuple(jobs[one.arn.lower()] for one in listed)
            makers = {one.arn: one for child in children for one in child.belongs_to}
            return SuspectTuner(
                target=target,
                tuner=tuner,
                children=Value(children, source),
                takes_along=tuple(child.target for child in children),
                belongs_to=tuple(one for one in makers.values() if one.arn.lower() != target.arn.lower()),
            )
        case unread:
            return SuspectTuner(target=target, tuner=tuner, children=unread)
