"""
The training jobs that cost something now, found in few calls.

ListTrainingJobs compares the status after it has cut the pages: among 50,000 jobs of a month, ten that run
take 500 calls. Search compares on the server, but its index takes in what is new with a delay: jobs of the
last day are listed besides.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from ml_janitor.aws.answers import Listing
from ml_janitor.aws.sagemaker_kinds import IN_PROGRESS, TRAINING_JOB, listing, search
from ml_janitor.core.model import Target

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws

RECORD = "TrainingJob"

NEW = timedelta(days=1)
"""Jobs that are listed, whatever the index behind Search knows. It lags behind by minutes."""

POOL_LIFE = timedelta(hours=6)
"""The longest that a warm pool is kept after its job (the maximum of KeepAlivePeriodInSeconds)."""

OLDEST_FIRST = {"SortBy": "CreationTime", "SortOrder": "Ascending"}
"""So that what is created meanwhile stands on a page still to come."""

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
        "Value": f"{now - POOL_LIFE - NEW:%Y-%m-%dT%H:%M:%SZ}",
    }
    found = (
        search(aws, RECORD, read, SearchExpression={"Filters": [running]}),
        search(aws, RECORD, read, SearchExpression={"Filters": [changed]}),
        listing(aws, TRAINING_JOB, read, CreationTimeAfter=now - NEW, **OLDEST_FIRST),
    )
    jobs = {target.arn.lower(): target for each in found for target, costs in each.items if costs}
    return Listing(tuple(jobs.values()), "; ".join(each.error for each in found if each.error) or None)


def _entry(aws: Aws, now: datetime, job: Mapping[str, Any]) -> Entry:
    return TRAINING_JOB.target(aws, job), job["TrainingJobStatus"] == IN_PROGRESS or _has_pool(job, now)


def _has_pool(job: Mapping[str, Any], now: datetime) -> bool:
    """Whether instances wait for another job. Where Search does not say, the time they are kept decides."""
    if (status := job.get("WarmPoolStatus", {}).get("Status")) is not None:
        return bool(status == AVAILABLE)
    kept = timedelta(seconds=job.get("ResourceConfig", {}).get("KeepAlivePeriodInSeconds", 0))
    return bool(kept and job.get("TrainingEndTime", now) + kept > now)
