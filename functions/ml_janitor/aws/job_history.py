"""Reads completed training jobs as families: runs of the same job, newest first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Any

from ml_janitor.aws.answers import Listing
from ml_janitor.aws.arns import target_in
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Price
from ml_janitor.aws.sagemaker_kinds import TRAINING_JOB
from ml_janitor.aws.tags import tags_of_list
from ml_janitor.aws.training_jobs import search_training_jobs
from ml_janitor.core.durations import HOUR
from ml_janitor.core.job_families import family_name
from ml_janitor.core.model import Candidate, Target
from ml_janitor.core.signals import Value

COMPLETED_JOB = "Completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PastJob:
    """
    One completed training job.

    *ran* is its training time, *billed* the billed part of it: less on spot. *limit* is its
    MaxRuntimeInSeconds, *no_spot* the reason why managed spot training cannot run it as it is. *keeps* is the
    requested time of a warm pool, *retained* the billed time of an ended one, *reused* whether a job used it.
    """

    target: Target
    instance: str
    instances: int
    ran: timedelta
    billed: timedelta
    limit: timedelta
    spot: bool
    checkpoints: bool
    no_spot: str | None
    keeps: timedelta = timedelta()
    retained: timedelta | None = None
    reused: bool = False

    @property
    def hours(self) -> float:
        """Return its training time in hours."""
        return self.ran / HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFamily(Candidate):
    """
    The completed *jobs* of one family, newest first.

    *unread* is why jobs may be missing, *price* the on-demand price of the newest job's instance.
    *discount* is the unbilled share of the spot jobs' training time in the whole account and region, 0 to
    1; None without spot jobs.
    """

    jobs: tuple[PastJob, ...]
    price: Price
    unread: str | None = None
    discount: float | None = None

    @property
    def newest(self) -> PastJob:
        """Return the newest run, which predicts the next."""
        return self.jobs[0]


def read_job_families(aws: Aws, since: datetime, now: datetime) -> Iterator[JobFamily]:
    """
    Yield every family of training jobs created *since* then that completed, with the tags of its newest job.

    Search answers 100 whole descriptions to a call. Raises ReadError at the end if not all were read.
    """
    found: Listing[PastJob] = aws.once(
        ("past jobs", since), lambda: search_training_jobs(aws, partial(_job, aws), now, since=since)
    )
    spot = [job for job in found.items if job.spot and job.ran]
    discount = 1 - sum(job.billed / HOUR for job in spot) / sum(job.hours for job in spot) if spot else None
    by_family = sorted(found.items, key=lambda job: family_name(job.target.name))
    for name, runs in groupby(by_family, key=lambda job: family_name(job.target.name)):
        jobs = tuple(sorted(runs, key=lambda job: str(job.target.created), reverse=True))
        newest = jobs[0]
        whole = newest.target.arn.removesuffix(newest.target.name) + f"{name}-*"
        whole_family = target_in(aws, whole, f"{name}-*", TRAINING_JOB.type, None, tags=newest.target.tags)
        price = aws.prices.hourly(aws.region, "Training", newest.instance)
        yield JobFamily(target=whole_family, jobs=jobs, price=price, unread=found.error, discount=discount)
    found.check()


def _job(aws: Aws, job: Mapping[str, Any]) -> PastJob | None:
    """Return a job of a Search answer, if it completed. Raises KeyError where the answer was cut off."""
    if job["TrainingJobStatus"] != COMPLETED_JOB:
        return None
    resources, stops = job["ResourceConfig"], job["StoppingCondition"]
    tags = tags_of_list(job.get("Tags", ()))  # a complete record without tags has no such member
    groups = resources.get("InstanceGroups") or [resources]
    ran = timedelta(seconds=job["TrainingTimeInSeconds"])
    return PastJob(
        target=TRAINING_JOB.target(aws, job, Value(tags)),
        instance=groups[0]["InstanceType"],
        instances=sum(group["InstanceCount"] for group in groups),
        ran=ran,
        billed=timedelta(seconds=job["BillableTimeInSeconds"]),
        limit=timedelta(seconds=stops["MaxRuntimeInSeconds"]),
        spot=bool(job.get("EnableManagedSpotTraining")),
        checkpoints=bool(job.get("CheckpointConfig", {}).get("S3Uri")),
        no_spot=_no_spot(resources, groups),
        keeps=timedelta(seconds=resources.get("KeepAlivePeriodInSeconds", 0)),
        retained=_retained(job.get("WarmPoolStatus", {})),
        reused=job.get("WarmPoolStatus", {}).get("Status") == "Reused",
    )


def _retained(pool: Mapping[str, Any]) -> timedelta | None:
    """Return how long a warm pool was billed up to its reuse or end; None while it goes on."""
    seconds = pool.get("ResourceRetainedBillableTimeInSeconds")
    ended = pool.get("Status") in {"Reused", "Terminated"}
    return timedelta(seconds=seconds) if ended and seconds is not None else None


def _no_spot(resources: Mapping[str, Any], groups: list[Any]) -> str | None:
    if resources.get("KeepAlivePeriodInSeconds"):
        return "a warm pool is kept for it, which spot has none of"
    if resources.get("TrainingPlanArn"):
        return "it runs on capacity that is reserved by a training plan"
    if len({group["InstanceType"] for group in groups}) > 1:
        return "it runs on several types of instances"
    return None
