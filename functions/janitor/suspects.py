"""Jobs and tuning jobs as candidates: what was read for each, and which of them belong together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from janitor import tags
from janitor.arns import Arn
from janitor.aws import Listing
from janitor.jobs import Job, Summary
from janitor.model import Candidate, NotRead, Signal, Target, Unreadable, Value
from janitor.prices import Price
from janitor.stillness import Signs
from janitor.tuning import Tuner

if TYPE_CHECKING:
    from janitor.aws import Aws


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect(Candidate):
    """
    A job in progress or with a warm pool, what shows whether it moves, and what an hour of it costs.

    *half_done*: the janitor set out to stop it, and may not have got to its warm pool.
    """

    job: Signal[Job]
    half_done: bool = False
    signs: Signs = field(default_factory=Signs)
    price: Price = field(default_factory=lambda: Price(None, "not asked"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspectTuner(Candidate):
    """A tuning job in progress, and those of its children that run."""

    tuner: Signal[Tuner]
    children: Signal[tuple[Suspect, ...]] = field(default_factory=NotRead)


def listed(aws: Aws, summary: Summary) -> Target:
    """What a listing shows, as the target of a candidate."""
    return Target(
        arn=summary.arn,
        name=summary.name,
        kind=summary.kind,
        account=aws.account,
        region=aws.region,
        created=summary.created,
    )


def parent(aws: Aws, job: Job, tuners: Listing[Summary]) -> tuple[Target, ...]:
    """
    The tuning job that started *job*, if one did, with its tags as they are now.

    One that *tuners* does not list runs no more. Where those were not listed to the end, nobody
    knows which one it is, nor whether it is kept.
    """
    if job.tuner is None:
        return ()
    arn = Arn.parse(job.tuner)
    known = next((one for one in tuners.items if one.arn.lower() == job.tuner.lower()), None)
    target = Target(
        arn=job.tuner,
        name=known.name if known else arn.name,
        kind=arn.kind,
        account=aws.account,
        region=aws.region,
        created=known.created if known else None,
    )
    if known is None and tuners.error is not None:
        return (replace(target, tags=Unreadable(tuners.error)),)
    return (replace(target, tags=tags.of_one(aws, job.tuner)),)


def family(
    target: Target, tuner: Signal[Tuner], running: Signal[tuple[Summary, ...]], jobs: Mapping[str, Suspect]
) -> SuspectTuner:
    """A tuning job with its *running* children out of *jobs* (by ARN in lower case)."""
    match running:
        case Value(summaries, source):
            children = tuple(jobs[one.arn.lower()] for one in summaries)
            return SuspectTuner(
                target=target,
                tuner=tuner,
                children=Value(children, source),
                takes_along=tuple(child.target for child in children),
            )
        case unread:
            return SuspectTuner(target=target, tuner=tuner, children=unread)
