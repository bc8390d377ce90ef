"""
The training jobs that cost something now, found in few calls.

ListTrainingJobs compares the status after it has cut the pages: among 50,000 jobs of a month, ten that run
take 500 calls. Search compares on the server, but its index takes in what is new with a delay: jobs of the
last day are listed besides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from ml_janitor.aws.answers import Listing, everything
from ml_janitor.aws.client import Aws
from ml_janitor.aws.sagemaker_kinds import (
    IN_PROGRESS,
    OLDEST_FIRST,
    PAGE_SIZE,
    SEARCH,
    TRAINING_JOB,
    listing,
    search,
)
from ml_janitor.core.model import Target

RECORD = "TrainingJob"

NEW = timedelta(days=1)
"""Jobs that are listed, whatever the index behind Search knows. It lags behind by minutes."""

POOL_LIFE = timedelta(hours=6)
"""The longest that a warm pool is kept after its job (the maximum of KeepAlivePeriodInSeconds)."""

BEGINNING = datetime(2017, 11, 29, tzinfo=UTC)
"""Before SageMaker's first training job."""

MOST = 9_000
"""
Records that one search is asked for; where there are more, each half of its time is searched.

TotalHits may be a lower bound, and no source says whether pages go on beyond 10,000 matches. Splitting costs
a call each time.
"""

SHORTEST = timedelta(minutes=1)
"""A time that is not split any more."""

AVAILABLE = "Available"
"""The status of a warm pool that waits for its next job: unused, and billed."""

type Entry = tuple[Target, bool]
"""A job, and whether it runs or has a warm pool."""


def billed(aws: Aws, now: datetime) -> Listing[Target]:
    """The training jobs in progress, and those that are over and whose instances wait for another one."""
    read = partial(_entry, aws, now)
    running = {"Name": "TrainingJobStatus", "Operator": "Equals", "Value": IN_PROGRESS}
    changed = {
        "Name": "LastModifiedTime",
        "Operator": "GreaterThanOrEqualTo",
        "Value": _stamp(now - POOL_LIFE - NEW),
    }
    found = (
        search(aws, RECORD, read, SearchExpression={"Filters": [running]}),
        search(aws, RECORD, read, SearchExpression={"Filters": [changed]}),
        listing(aws, TRAINING_JOB, read, CreationTimeAfter=now - NEW, **OLDEST_FIRST),
    )
    jobs = {target.arn.lower(): target for each in found for target, costs in each.items if costs}
    return Listing(tuple(jobs.values()), "; ".join(each.error for each in found if each.error) or None)


def lately[T](
    aws: Aws, read: Callable[[Mapping[str, Any]], T], since: datetime, now: datetime
) -> tuple[Listing[T], ...]:
    """The training jobs in progress, those created after *since*, and those that Search may not know yet."""
    running = {"Name": "TrainingJobStatus", "Operator": "Equals", "Value": IN_PROGRESS}
    return (
        search(aws, RECORD, read, SearchExpression={"Filters": [running]}),
        recorded(aws, read, now, since=since),
        listing(aws, TRAINING_JOB, read, CreationTimeAfter=now - NEW, **OLDEST_FIRST),
    )


class _TooManyError(Exception):
    """A search has more matches than it is asked for."""


def recorded[T](
    aws: Aws, read: Callable[[dict[str, Any]], T], until: datetime, *, since: datetime = BEGINNING
) -> Listing[T]:
    """
    Every training job created from *since* until *until* that Search knows, as *read* makes its record.

    A hundred come with each call. A record holds what a description does, but for the profiler's rules and a
    few members without addresses. Fewer records than AWS counted are an error.
    """
    pages: Any = aws.sagemaker.get_paginator("search")
    counted = 0

    def records(page: dict[str, Any]) -> Iterable[T]:
        nonlocal counted
        counted = page.get("TotalHits", {}).get("Value", 0)
        if counted > MOST and until - since > SHORTEST:
            raise _TooManyError
        return [read(found[RECORD]) for found in page["Results"]]

    spanned = [
        {"Name": "CreationTime", "Operator": "GreaterThanOrEqualTo", "Value": _stamp(since)},
        {"Name": "CreationTime", "Operator": "LessThan", "Value": _stamp(until)},
    ]
    try:
        found = everything(
            pages.paginate(
                Resource=RECORD,
                SearchExpression={"Filters": spanned},
                PaginationConfig={"PageSize": PAGE_SIZE},
                **OLDEST_FIRST,
            ),
            records,
            source=f"{SEARCH} of {RECORD}",
        )
    except _TooManyError:
        middle = (since + (until - since) / 2).replace(microsecond=0)
        halves = recorded(aws, read, middle, since=since), recorded(aws, read, until, since=middle)
        errors = [half.error for half in halves if half.error is not None]
        return Listing(tuple(one for half in halves for one in half.items), "; ".join(errors) or None)
    if found.error is None and len(found.items) < counted:
        return Listing(found.items, f"{SEARCH} of {RECORD} ended after {len(found.items)} of {counted}")
    return found


def _stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def _entry(aws: Aws, now: datetime, job: Mapping[str, Any]) -> Entry:
    return TRAINING_JOB.target(aws, job), job["TrainingJobStatus"] == IN_PROGRESS or _has_pool(job, now)


def _has_pool(job: Mapping[str, Any], now: datetime) -> bool:
    """Whether instances wait for another job. Where Search does not say, the time they are kept decides."""
    if (status := job.get("WarmPoolStatus", {}).get("Status")) is not None:
        return bool(status == AVAILABLE)
    kept = timedelta(seconds=job.get("ResourceConfig", {}).get("KeepAlivePeriodInSeconds", 0))
    return bool(kept and job.get("TrainingEndTime", now) + kept > now)
