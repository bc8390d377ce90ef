"""Families of training jobs that run on demand, and would cost less on managed spot training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from statistics import median

from ml_janitor.aws.sagemaker_kinds import SEARCH
from ml_janitor.aws.training_jobs import JobFamily, PastJob
from ml_janitor.core.capacity import Interruption, Purchase, SpotCapacity, best_purchase
from ml_janitor.core.durations import HOUR, WEEK, format_age, format_hours
from ml_janitor.core.model import HOURS_PER_MONTH, Change, Confidence, Cost, Evidence, Rule, Value, Verdict
from ml_janitor.core.ownership import production_environment
from ml_janitor.core.text import count_noun, format_usd
from ml_janitor.engine.detector import LEAST_SAVING_USD, Constant, FamilyAdviser

_INTERRUPTION_TAG = "janitor:interruption"
_LONGEST_SPOT_WAIT = timedelta(days=28)
"""
Longest wait for spot. MaxWaitTimeInSeconds counts the time that a job
runs too, which is 28 days at most.
"""

_LONGEST_WITHOUT_CHECKPOINTS = timedelta(hours=1)
"""
Longest MaxWaitTimeInSeconds of built-in and bought algorithms that do not save checkpoints ("Managed Spot
Training in Amazon SageMaker AI", developer guide, model-managed-spot-training).
"""

_MOST_SPREAD = 10
"""How many times longer than the median the longest run may take, if all do the same work."""


@dataclass(frozen=True)
class SpotTraining(FamilyAdviser):
    """
    Finds training jobs that run on demand and would cost less on spot.

    The sum includes the cost of interruptions: repeated work, and checkpoints.
    """

    name = "spot-training"
    asks_for = Change.SPOT

    min_jobs: Constant[int] = 3  # fewer are no family to speak of
    min_saving: Constant[float] = LEAST_SAVING_USD
    discount: Constant[float] = 0.6  # assumed where no spot job ran on the type; AWS advertises up to 90 %
    interruptions_per_hour: Constant[float] = 0.15  # measured on GPUs of EC2 (its page)
    restart: Constant[timedelta] = timedelta(minutes=5)  # assumed: to get instances and load the data
    checkpoint: Constant[timedelta] = timedelta(minutes=1)  # assumed: to save a checkpoint

    def decide(self, candidate: JobFamily, now: datetime) -> Verdict:
        """Compare the family's cost on demand with the same work on spot, rework included."""
        rule, newest = Rule(), candidate.newest
        jobs = [job for job in candidate.jobs if job.ran and not job.spot]
        rule.saw(Evidence("jobs on demand that completed", len(jobs), source=SEARCH))
        if candidate.unread is not None:
            return rule.unknown(f"not all jobs were read ({candidate.unread})")
        if (reason := self.not_comparable(newest, jobs)) is not None:
            return rule.kept(reason)
        if (hourly := candidate.price.hourly_usd) is None:
            return rule.unknown(f"the price of {newest.instance} is unknown")
        return self.compare(candidate, jobs, hourly, rule)

    def compare(self, candidate: JobFamily, jobs: Sequence[PastJob], hourly: Decimal, rule: Rule) -> Verdict:
        """Compare *jobs*, which ran on demand for *hourly* dollars an instance, with spot."""
        newest = candidate.newest
        mean, interruption = sum(job.hours for job in jobs) / len(jobs), self.interruption(candidate)
        buy = best_purchase(mean, interruption, len(jobs) * (WEEK / self.window))
        discount = candidate.discount if candidate.discount is not None else self.discount
        spot = self.capacity(newest, discount)
        rule.saw(
            Evidence("mean run", f"{mean:.1f} h on {newest.instances} {newest.instance}", source=SEARCH),
            Evidence("checkpoints in S3", "yes" if newest.checkpoints else "no", source=SEARCH),
            Evidence("cost of an interruption", interruption),
            Evidence("hours between interruptions", _hours(spot.between)),
            Evidence("spot discount", _discount_words(candidate, discount), source=SEARCH),
        )
        interval, able = spot.interval(), newest.checkpoints or not newest.fixed
        saves = able and (newest.checkpoints or spot.hours(mean, interval) < spot.hours(mean))
        if interruption is Interruption.HIGH:
            return rule.kept(f"an interruption costs too much for spot; buy it {buy}")
        rule.passed("its jobs may be interrupted")
        if (reason := _too_long(newest, jobs, spot, saves=saves)) is not None:
            return rule.kept(reason)
        every = interval if saves else math.inf
        saved = sum(
            job.hours * job.instances * (1 - self.capacity(job, discount).cost(job.hours, every))
            for job in jobs
        )
        monthly = hourly * Decimal(saved * HOURS_PER_MONTH / (self.window / HOUR))
        if monthly < Decimal(self.min_saving):
            return rule.kept(
                f"spot would save {format_usd(max(monthly, Decimal(0)))} a month, rework included"
            )
        first_add = saves and not newest.checkpoints
        return rule.found(
            f"{count_noun(len(jobs), 'job')} of {format_hours(mean)} ran on demand in "
            f"{format_age(self.window)}; on "
            f"spot each would"
            f" take {format_hours(spot.hours(mean, every))}, work done again included, at "
            f"{1 - discount:.0%} of"
            " the price",
            Confidence.LIKELY,
            action=self.change(newest, buy, timedelta(hours=min(interval, mean)), first_add=first_add),
            cost=Cost.saving(monthly, candidate.price.source),
            noun="on-demand job family",
            to_prove=""
            if candidate.discount is not None
            else "one job of this account on spot: its BillableTimeInSeconds",
        )

    def capacity(self, job: PastJob, discount: float) -> SpotCapacity:
        """Return the spot capacity for *job*: an interruption of one instance interrupts all."""
        return SpotCapacity(
            self.interruptions_per_hour,
            self.restart / HOUR,
            self.checkpoint / HOUR,
            discount,
            job.instances,
        )

    def not_comparable(self, newest: PastJob, jobs: Sequence[PastJob]) -> str | None:
        """Return why the family is not compared with spot, or None."""
        if newest.spot:
            return "its newest job ran on spot"
        if newest.no_spot is None and len(jobs) < self.min_jobs:
            span = format_age(self.window)
            return f"{len(jobs)} completed on demand in {span}; judged from {self.min_jobs} on"
        hours = [job.hours for job in jobs]
        if newest.no_spot is None and max(hours) >= _MOST_SPREAD * median(hours):
            return (
                f"its longest run took {format_hours(max(hours))}, and the median is"
                f" {format_hours(median(hours))}: they are not the same work"
            )
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
        limit, wait = job.limit, max(min(2 * job.limit, _LONGEST_SPOT_WAIT), job.limit)
        members = "EnableManagedSpotTraining=true, "
        if job.fixed and not job.checkpoints:
            limit = wait = _LONGEST_WITHOUT_CHECKPOINTS
            members += f"StoppingCondition.MaxRuntimeInSeconds={int(limit.total_seconds())}, "
        members += f"StoppingCondition.MaxWaitTimeInSeconds={int(wait.total_seconds())}"
        if job.checkpoints:
            return f"buy {buy}: set {members}; a checkpoint every {format_age(interval)} costs least"
        if first_add:
            return (
                f"first save a checkpoint every {format_age(interval)} below CheckpointConfig.S3Uri "
                f"and resume from"
                f" it (without one, each interruption begins it anew), then buy {buy}: set {members}"
            )
        return f"buy {buy}: set {members}"


def _too_long(newest: PastJob, jobs: Sequence[PastJob], spot: SpotCapacity, *, saves: bool) -> str | None:
    """Return why runs like the longest of *jobs* would not end on spot, or None."""
    longest = max(job.hours for job in jobs)
    if newest.fixed and not newest.checkpoints and longest * HOUR > _LONGEST_WITHOUT_CHECKPOINTS:
        return f"{newest.fixed} cannot save checkpoints: managed spot training runs it for an hour at most"
    if longest > spot.between and not saves:
        return (
            f"its longest run takes {format_hours(longest)}, and an interruption comes every "
            f"{format_hours(spot.between)}: spot "
            "would need checkpoints that cost less"
        )
    return None


def _hours(hours: float) -> str:
    return "unlimited" if math.isinf(hours) else f"{hours:.2g}"


def _discount_words(family: JobFamily, discount: float) -> str:
    """Return the discount, and where it comes from."""
    instances = family.newest.traits.instances
    return f"{discount:.0%}, {'assumed' if family.discount is None else f'measured here on {instances}'}"
