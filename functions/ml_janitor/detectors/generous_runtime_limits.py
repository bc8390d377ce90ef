"""Training jobs whose maximum runtime is far above the runtimes of their family."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from ml_janitor.aws.client import Aws
from ml_janitor.aws.sagemaker_kinds import SEARCH
from ml_janitor.aws.training_jobs import JobFamily, read_longest_older_run
from ml_janitor.core.durations import HOUR, format_age, format_hours
from ml_janitor.core.model import Absent, Change, Confidence, Cost, Evidence, Finding, Rule, Value, Verdict
from ml_janitor.core.text import count_noun, format_usd
from ml_janitor.engine.detector import Constant, FamilyAdviser


def _hours(span: timedelta) -> str:
    """Return *span* in hours: two days for 65 hours would be a wrong limit."""
    return format_hours(span / HOUR)


@dataclass(frozen=True)
class GenerousRuntimeLimits(FamilyAdviser):
    """
    Finds training jobs whose MaxRuntime is far above what such jobs ever needed.

    The limit ends a job that hangs. Every job has a limit: a day by default, 28 days at most.
    """

    name = "generous-runtime-limits"
    asks_for = Change.LIMIT

    min_jobs: Constant[int] = 3  # fewer are no family to speak of
    headroom: Constant[float] = 2.0  # times the longest run
    beyond: Constant[timedelta] = timedelta(hours=6)  # a smaller gap costs less than the change

    def find(self, aws: Aws, now: datetime) -> Iterator[JobFamily]:
        """Read every family; for families that would get advice, one search asks for older, longer runs."""
        for family in super().find(aws, now):
            if isinstance(self.decide(replace(family, older=Absent(SEARCH)), now), Finding):
                older = read_longest_older_run(aws, family, now - self.window)
                yield replace(family, older=older)
            else:
                yield family

    def decide(self, candidate: JobFamily, now: datetime) -> Verdict:
        """Compare the newest job's limit with the longest run. A possible hang saves nothing."""
        rule, newest = Rule(), candidate.newest
        longest = max(job.ran for job in candidate.jobs)
        if isinstance(candidate.older, Value):
            longest = max(longest, candidate.older.value)
        limit = newest.limit
        rule.saw(
            Evidence("jobs that completed", len(candidate.jobs), source=SEARCH),
            Evidence("longest run", _hours(longest), source=SEARCH),
            *(
                [Evidence("longest run before", _hours(candidate.older.value), source=SEARCH)]
                if isinstance(candidate.older, Value)
                else []
            ),
            Evidence("newest job's limit", _hours(limit), source=SEARCH),
        )
        if candidate.unread is not None:
            return rule.unknown(f"not all jobs were read ({candidate.unread})")
        if len(candidate.jobs) < self.min_jobs:
            return rule.kept(
                f"{len(candidate.jobs)} completed in {format_age(self.window)}; judged from "
                f"{self.min_jobs} on"
            )
        proposed = HOUR * max(math.ceil(longest * self.headroom / HOUR), 1)
        if limit - proposed < self.beyond:
            return rule.kept(
                f"the limit of {_hours(limit)} is at most {format_age(self.beyond)} above"
                f" {count_noun(self.headroom, 'time')} the longest of "
                f"{count_noun(len(candidate.jobs), 'run')}, {_hours(longest)}"
            )
        if not isinstance(candidate.older, Value | Absent):
            why = getattr(candidate.older, "error", "not read")
            return rule.unknown(f"whether an older run took longer is unknown ({why})")
        hourly = candidate.price.hourly_usd
        dollars = None if hourly is None else hourly * newest.instances * Decimal((limit - proposed) / HOUR)
        exposed = "at an unknown price" if dollars is None else f"which would cost {format_usd(dollars)}"
        return rule.found(
            f"the longest of {count_noun(len(candidate.jobs), 'run')} took {_hours(longest)}, and "
            "the newest may run"
            f" for {_hours(limit)}: if it hangs, it runs up to {_hours(limit - proposed)} longer than with a"
            f" limit of {count_noun(self.headroom, 'time')} the longest run, {exposed}",
            Confidence.LIKELY,
            action=f"limit the run time to {_hours(proposed)}: set StoppingCondition.MaxRuntimeInSeconds to"
            f" {int(proposed.total_seconds())} where the job is created",
            cost=Cost.exposed(dollars, candidate.price.source),
        )
