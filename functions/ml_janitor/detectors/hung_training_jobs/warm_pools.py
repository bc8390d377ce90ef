"""Warm pools: instances that a training job leaves running, and billed, for the next one like it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from ml_janitor.aws.prices import Price
from ml_janitor.aws.sagemaker_kinds import IN_PROGRESS
from ml_janitor.aws.training_jobs import AVAILABLE
from ml_janitor.core.durations import ago
from ml_janitor.core.model import Confidence, Evidence, Rule, Signal, Verdict, evidence
from ml_janitor.detectors.hung_training_jobs.costs import bill, rate
from ml_janitor.detectors.hung_training_jobs.job import Job
from ml_janitor.detectors.hung_training_jobs.stillness import stamp

ACTION = "end the warm pool (the job itself is over, and what it made stays)"
LOST = "the pool: the next job of its kind starts instances of its own"

STAYS = frozenset({AVAILABLE, "InUse"})
"""What a pool is that waits, or will when its job is over. One that is Reused is another job's."""


def pool_of(described: Mapping[str, Any]) -> str | None:
    """The status of the warm pool of a training job as AWS describes it; None if it has none."""
    status: str | None = described.get("WarmPoolStatus", {}).get("Status")
    return status


def keeps_pool(described: Mapping[str, Any]) -> bool:
    """Whether its instances wait for another job, or will when it is over."""
    period = described.get("ResourceConfig", {}).get("KeepAlivePeriodInSeconds")
    return pool_of(described) in STAYS and period != 0


def left_behind(rule: Rule, signal: Signal[Job], job: Job, price: Price) -> Verdict | None:
    """
    Whether a job that the janitor stopped leaves a warm pool; None if it runs, and is judged as others.

    It is waste at once: it was to end with its job.
    """
    if job.status == IN_PROGRESS:
        return None
    rule.saw(evidence("status", signal, f"{job.status}, warm pool {job.pool}"))
    if job.pool not in STAYS:
        return rule.kept("it was stopped, and left no warm pool")
    return rule.found(
        f"this {job.kind.noun} was stopped because it hung, and leaves a warm pool; {rate(price, job)}",
        Confidence.PROVEN,
        action=ACTION,
        noun="unused warm pool",
        lost=LOST,
    )


def judge(
    rule: Rule, signal: Signal[Job], job: Job, price: Price, *, patience: timedelta, now: datetime
) -> Verdict | None:
    """
    Whether the warm pool of *job* waits in vain; None if it has none that waits.

    A pool that is available is unused. To wait a while for the next job is what it is for. It waits
    since its job ended; how long it was billed AWS says only afterwards (documentation of
    ResourceRetainedBillableTimeInSeconds).
    """
    if job.status == IN_PROGRESS or job.pool != AVAILABLE:
        return None
    rule.saw(
        evidence("status", signal, f"{job.status}, warm pool {job.pool}"), Evidence("instances", job.rented)
    )
    if job.ended is None:
        return rule.unknown("its warm pool is available, but AWS does not say since when")
    unused, until = now - job.ended, job.ended + job.keep_alive
    rule.saw(Evidence("warm pool unused for", ago(unused)), Evidence("kept alive until", stamp(until)))
    if unused < patience:
        return rule.kept(f"its warm pool is unused for {ago(unused)}: judged from {ago(patience)} on")
    rule.passed(f"no job has used its warm pool for {ago(patience)} or more")
    return rule.found(
        f"the warm pool of this {job.kind.noun} ({job.rented}) waits for another job, unused for"
        f" {ago(unused)} and until {stamp(until)}; {rate(price, job)}",
        Confidence.PROVEN,
        action=ACTION,
        cost=bill(price, job.ended, now),
        since=job.ended,
        noun="unused warm pool",
        lost=LOST,
    )
