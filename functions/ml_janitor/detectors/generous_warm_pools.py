"""Families of training jobs whose warm pools are kept for much longer than the next job takes to come."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from ml_janitor.aws.sagemaker_kinds import SEARCH
from ml_janitor.aws.training_jobs import JobFamily
from ml_janitor.core.durations import HOUR, MINUTE, format_age
from ml_janitor.core.model import HOURS_PER_MONTH, Change, Confidence, Cost, Evidence, Rule, Verdict
from ml_janitor.core.text import count_noun, format_usd
from ml_janitor.engine.detector import LEAST_SAVING_USD, Constant, FamilyAdviser


@dataclass(frozen=True)
class GenerousWarmPools(FamilyAdviser):
    """
    Finds training jobs whose warm pools wait much longer than the next job takes.

    A warm pool is billed like training for as long as it waits.
    hung-training-jobs ends a pool that waits now.
    """

    name = "generous-warm-pools"
    asks_for = Change.LIMIT

    min_pools: Constant[int] = 3  # fewer show no habit
    headroom: Constant[float] = 1.5  # times the longest wait
    min_saving: Constant[float] = LEAST_SAVING_USD

    def decide(self, candidate: JobFamily, now: datetime) -> Verdict:
        """Compare the billed time of pools with the longest wait after which a pool was used again."""
        rule, newest = Rule(), candidate.newest
        pools = [(job, job.retained) for job in candidate.jobs if job.retained is not None]
        reused = [retained for job, retained in pools if job.reused]
        waited = max(reused, default=timedelta())
        rule.saw(
            Evidence("warm pools that ended", len(pools), source=SEARCH),
            Evidence("of these used again", len(reused), source=SEARCH),
            Evidence("kept after the newest job for", format_age(newest.keeps), source=SEARCH),
        )
        if candidate.unread is not None:
            return rule.unknown(f"not all jobs were read ({candidate.unread})")
        proposed = MINUTE * math.ceil(waited * self.headroom / MINUTE)
        reasons = {
            "its newest job keeps no warm pool": not newest.keeps,
            f"{count_noun(len(pools), 'warm pool')} in {format_age(self.window)}; judged from "
            f"{self.min_pools} on": len(pools) < self.min_pools,
            f"its newest job keeps a pool for {format_age(newest.keeps)}, which is no longer than "
            f"needed": proposed >= newest.keeps,
        }
        if (reason := next((why for why, true in reasons.items() if true), None)) is not None:
            return rule.kept(reason)
        if (hourly := candidate.price.hourly_usd) is None:
            return rule.unknown(f"the price of {newest.instance} is unknown")
        hours = (max(retained - proposed, timedelta()) / HOUR * job.instances for job, retained in pools)
        idle = sum(hours, 0.0)
        monthly = hourly * Decimal(idle * HOURS_PER_MONTH / (self.window / HOUR))
        if monthly < Decimal(self.min_saving):
            return rule.kept(f"a shorter time would save {format_usd(monthly)} a month")
        longest = (
            f"the longest wait that paid off was {format_age(waited)}" if reused else "no later job used one"
        )
        return rule.found(
            f"{count_noun(len(pools), 'warm pool')} were billed for up to "
            f"{format_age(max(span for _, span in pools))} each while"
            f" they waited, and {longest}",
            Confidence.LIKELY,
            action=f"{'shorten' if proposed else 'drop'} the warm pool: set"
            f" ResourceConfig.KeepAlivePeriodInSeconds to {int(proposed.total_seconds())} where the job is"
            " created" + ("" if proposed else ", or leave it out"),
            cost=Cost.saving(monthly, candidate.price.source),
        )
