"""Warm pools: instances that a training job leaves running, and billed, for the next one like it. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from janitor.durations import ago
from janitor.job_costs import bill, rate
from janitor.jobs import IN_PROGRESS, Job
from janitor.model import Confidence, Evidence, Rule, Signal, Verdict, evidence
from janitor.prices import Price
from janitor.stillness import stamp
from janitor.training import AVAILABLE

ACTION = "end the warm pool (the job itself is over, and what it made stays)"


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
    )
