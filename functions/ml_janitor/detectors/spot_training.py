"""Families of training jobs that run on demand, and would cost less on managed spot training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated

from annotated_types import Interval

from ml_janitor.aws.sagemaker_kinds import SEARCH
from ml_janitor.aws.training_jobs import JobFamily, PastJob
from ml_janitor.core.capacity import Interruption, Purchase, SpotCapacity, best_purchase
from ml_janitor.core.durations import HOUR, WEEK, format_age
from ml_janitor.core.model import HOURS_PER_MONTH, Change, Confidence, Cost, Evidence, Rule, Value, Verdict
from ml_janitor.core.ownership import production_environment
from ml_janitor.core.text import format_usd
from ml_janitor.engine.detector import FamilyAdviser

_INTERRUPTION_TAG = "janitor:interruption"
_LONGEST_SPOT_WAIT = timedelta(days=28)
"""
Longest wait for spot. MaxWaitTimeInSeconds counts the time that a job
runs too, which is 28 days at most.
"""


@dataclass(frozen=True)
class SpotTraining(FamilyAdviser):
    """
    Finds training jobs that run on demand and would cost less on spot.

    The sum includes the cost of interruptions: repeated work, and checkpoints.
    """

    name = "spot-training"
    schedule = "cron(50 5 ? * MON *)"
    asks_for = Change.SPOT

    min_jobs: int = 3
    min_saving: Annotated[float, Interval(ge=0)] = 10.0
    discount: Annotated[float, Interval(ge=0, le=1)] = 0.6
    interruptions_per_hour: Annotated[float, Interval(ge=0, le=60)] = 0.15
    restart: timedelta = timedelta(minutes=5)
    checkpoint: timedelta = timedelta(minutes=1)

    def decide(self, candidate: JobFamily, now: datetime) -> Verdict:
        """Compare the family's cost on demand with the same work on spot, rework included."""
        rule, newest = Rule(), candidate.newest
        jobs = [job for job in candidate.jobs if job.ran and not job.spot]
        rule.saw(Evidence("jobs on demand that completed", len(jobs), source=SEARCH))
        if candidate.unread is not None:
            return rule.unknown(f"not all jobs were read ({candidate.unread})")
        if (reason := self.not_comparable(newest, len(jobs))) is not None:
            return rule.kept(reason)
        if (hourly := candidate.price.hourly_usd) is None:
            return rule.unknown(f"the price of {newest.instance} is unknown")
        mean, interruption = sum(job.hours for job in jobs) / len(jobs), self.interruption(candidate)
        buy = best_purchase(mean, interruption, len(jobs) * (WEEK / self.window))
        measured = candidate.discount is not None
        discount = candidate.discount if candidate.discount is not None else self.discount
        rule.saw(
            Evidence("mean run", f"{mean:.1f} h on {newest.instances} {newest.instance}", source=SEARCH),
            Evidence("checkpoints in S3", "yes" if newest.checkpoints else "no", source=SEARCH),
            Evidence("cost of an interruption", interruption),
            Evidence(
                "spot discount",
                f"{discount:.0%}, {'measured here' if measured else 'assumed'}",
                source=SEARCH,
            ),
        )
        if interruption is Interruption.HIGH:
            return rule.kept(f"an interruption costs too much for spot; buy it {buy}")
        rule.passed("its jobs may be interrupted")
        spot = SpotCapacity(
            self.interruptions_per_hour, self.restart / HOUR, self.checkpoint / HOUR, discount
        )
        interval = spot.interval()
        first_add = not newest.checkpoints and spot.hours(mean, interval) < spot.hours(mean)
        every = interval if newest.checkpoints or first_add else math.inf
        saved = sum(job.hours * job.instances * (1 - spot.cost(job.hours, every)) for job in jobs)
        monthly = hourly * Decimal(saved * HOURS_PER_MONTH / (self.window / HOUR))
        if monthly < Decimal(self.min_saving):
            return rule.kept(
                f"spot would save {format_usd(max(monthly, Decimal(0)))} a month, rework included"
            )
        return rule.found(
            f"{len(jobs)} jobs of {mean:.1f} hours ran on demand in {format_age(self.window)}; on "
            f"spot each would"
            f" take {spot.hours(mean, every):.1f} hours, work done again included, at {1 - discount:.0%} of"
            " the price",
            Confidence.LIKELY,
            action=self.change(newest, buy, timedelta(hours=min(interval, mean)), first_add=first_add),
            cost=Cost.saving(monthly, candidate.price.source),
            noun="on-demand job family",
            to_prove="" if measured else "one job of this account on spot: its BillableTimeInSeconds",
        )

    def not_comparable(self, newest: PastJob, jobs: int) -> str | None:
        """Return why the family is not compared with spot, or None."""
        if newest.spot:
            return "its newest job ran on spot"
        if newest.no_spot is None and jobs < self.min_jobs:
            return f"{jobs} completed on demand in {format_age(self.window)}; judged from {self.min_jobs} on"
        return newest.no_spot

    def interruption(self, family: JobFamily) -> Interruption:
        """
        Return the cost of an interruption: by its tag, else by production, else
        by whether it keeps checkpoints.
        """
        tags = family.target.tags.value if isinstance(family.target.tags, Value) else {}
        if (word := tags.get(_INTERRUPTION_TAG, "").strip().lower()) in Interruption:
            return Interruption(word)
        if production_environment(family.target) is not None:
            return Interruption.HIGH
        return Interruption.LOW if family.newest.checkpoints else Interruption.MEDIUM

    def change(self, job: PastJob, buy: Purchase, interval: timedelta, *, first_add: bool) -> str:
        """Return the change of the request, and of the code."""
        wait = int(min(2 * job.limit, _LONGEST_SPOT_WAIT).total_seconds())
        members = f"EnableManagedSpotTraining=true, StoppingCondition.MaxWaitTimeInSeconds={wait}"
        if job.checkpoints:
            return f"buy {buy}: set {members}; a checkpoint every {format_age(interval)} costs least"
        if first_add:
            return (
                f"first save a checkpoint every {format_age(interval)} below CheckpointConfig.S3Uri "
                f"and resume from"
                f" it (without one, each interruption begins it anew), then buy {buy}: set {members}"
            )
        return f"buy {buy}: set {members} (3600 at most for built-in algorithms without checkpoints)"
