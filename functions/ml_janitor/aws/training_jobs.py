"""
Find training jobs in few calls: billed jobs now, all jobs that ever existed, and families of completed jobs.

ListTrainingJobs compares the status after it has cut the pages: among 50,000 jobs of a month, ten running
jobs take 500 calls. Search compares on the server, but its index takes in new jobs with a delay: the
janitor also lists jobs of the last day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby, pairwise
from typing import Any

from ml_janitor.aws.calls import Listing, collect_pages
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Price
from ml_janitor.aws.sagemaker_kinds import (
    IN_PROGRESS,
    OLDEST_FIRST,
    SAGEMAKER_PAGE,
    SEARCH,
    TRAINING_JOB,
    list_kind,
    search_records,
)
from ml_janitor.aws.tags import tags_of_list, target_in
from ml_janitor.core.commitment import family_name
from ml_janitor.core.durations import HOUR
from ml_janitor.core.model import Candidate, Target, Value

JOB_RECORD = "TrainingJob"

UNINDEXED_AGE = timedelta(days=1)
"""The age of jobs that are listed in any case: Search's index lags behind by minutes."""

POOL_LIFE = timedelta(hours=6)
"""The longest that a warm pool is kept after its job (the maximum of KeepAlivePeriodInSeconds)."""

FIRST_TRAINING_JOB = datetime(2017, 11, 29, tzinfo=UTC)
"""A time before SageMaker's first training job."""

MOST_SEARCH_HITS = 9_000
"""
The most records of one search; beyond that, the janitor searches each half of its time.

TotalHits may be a lower bound, and no source says whether pages go on beyond 10,000 matches. Splitting costs
a call each time.
"""

SHORTEST_SEARCH = timedelta(minutes=1)
"""A time that is not split any more."""

SEARCH_CUTS = tuple(timedelta(days=days) for days in (401, 93, 62, 32, 8))
"""
Ages at which a run with shared answers cuts the past: each reader looks back a little less far than a cut.

The run thus reads few unwanted records, and each record once for all readers.
"""

LISTING_OVERLAP = timedelta(hours=1)
"""The overlap of two listings of a run: clocks differ."""

RUNNING_FILTER = {"Name": "TrainingJobStatus", "Operator": "Equals", "Value": IN_PROGRESS}
ENDED_STATUSES = frozenset({"Completed", "Failed", "Stopped"})

POOL_AVAILABLE = "Available"
"""The status of a warm pool that waits for its next job: unused, and billed."""

type BilledEntry = tuple[Target, bool]
"""A job, and whether it runs or has a warm pool."""


def list_billed_jobs(aws: Aws, now: datetime) -> Listing[Target]:
    """List the training jobs in progress, and the ended ones whose instances wait for another job."""
    read = partial(_entry, aws, now)
    changed = {
        "Name": "LastModifiedTime",
        "Operator": "GreaterThanOrEqualTo",
        "Value": _stamp(now - POOL_LIFE - UNINDEXED_AGE),
    }
    found = (
        search_records(aws, JOB_RECORD, read, SearchExpression={"Filters": [RUNNING_FILTER]}),
        search_records(aws, JOB_RECORD, read, SearchExpression={"Filters": [changed]}),
        list_kind(aws, TRAINING_JOB, read, CreationTimeAfter=now - UNINDEXED_AGE, **OLDEST_FIRST),
    )
    jobs = {
        target.arn.lower(): target for listing_read in found for target, costs in listing_read.items if costs
    }
    return Listing.joined(jobs.values(), (listing_read.error for listing_read in found))


def list_recent_jobs[T](
    aws: Aws, read: Callable[[Mapping[str, Any]], T], since: datetime, now: datetime
) -> tuple[Listing[T], ...]:
    """List training jobs in progress, those created after *since*, and those that Search may not know yet."""
    return (
        search_records(aws, JOB_RECORD, read, SearchExpression={"Filters": [RUNNING_FILTER]}),
        search_training_jobs(aws, read, now, since=since),
        list_kind(aws, TRAINING_JOB, read, CreationTimeAfter=now - UNINDEXED_AGE, **OLDEST_FIRST),
    )


@dataclass(slots=True)
class TrainingJobs[T]:
    """
    The training jobs of a run at *at*: kept values of jobs that *ended*, and entries of the *open* others.

    *lately* are the keys of ended jobs that the next listing may name again.
    """

    at: datetime
    ended: list[T] = field(default_factory=list)
    lately: set[str] = field(default_factory=set)
    open: dict[str, dict[str, Any]] = field(default_factory=dict)


def list_all_jobs[T](
    aws: Aws, read: Callable[[dict[str, Any]], T | None], now: datetime
) -> tuple[TrainingJobs[T], str | None]:
    """
    Return all training jobs that ever existed, and why some may be missing; *read* converts ended ones.

    Search has their records; jobs that it may not know yet are listed. Once it ended, a job does not
    change: a recheck within a run lists only new jobs.
    """
    unread = None
    jobs: TrainingJobs[T] | None = aws.lasting.get(TRAINING_JOB)
    since = now - UNINDEXED_AGE if jobs is None else jobs.at - LISTING_OVERLAP
    if jobs is None:
        jobs = TrainingJobs(now)
        records = search_training_jobs(aws, partial(_ended, aws, jobs, read), now)
        unread = records.error
        jobs.ended += records.items
    new = list_kind(aws, TRAINING_JOB, partial(_keyed, aws), CreationTimeAfter=since, **OLDEST_FIRST)
    jobs.open |= {key: entry for key, entry in new.items if key not in jobs.lately}
    if unread is None and new.error is None:
        jobs.at = now
        aws.lasting[TRAINING_JOB] = jobs
    return jobs, Listing.joined((), (unread, new.error)).error


def _keyed(aws: Aws, entry: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return TRAINING_JOB.target(aws, entry).key, entry


def _ended[T](
    aws: Aws, jobs: TrainingJobs[T], read: Callable[[dict[str, Any]], T | None], record: dict[str, Any]
) -> T | None:
    """Return *read*'s value for an ended job of Search, and note the job in *jobs*."""
    key, _ = _keyed(aws, record)
    if record.get(TRAINING_JOB.status) not in ENDED_STATUSES:
        jobs.open[key] = record
        return None
    if record["CreationTime"] >= jobs.at - UNINDEXED_AGE:
        jobs.lately.add(key)
    return read(record)


def search_training_jobs[T](
    aws: Aws,
    read: Callable[[dict[str, Any]], T | None],
    now: datetime,
    *,
    since: datetime = FIRST_TRAINING_JOB,
) -> Listing[T]:
    """
    Return every training job created *since* then that Search knows, converted by *read*; None leaves it
    out.

    A call returns a hundred. A record holds the members of a description, except for the profiler's rules
    and a few members without addresses. Fewer records than AWS counted are an error. In a run with shared
    answers all readers ask for the same parts of the past, so that each record is sent and kept once.
    """
    begin = since.replace(microsecond=0)

    def wanted(job: dict[str, Any]) -> T | None:
        return read(job) if job["CreationTime"] >= begin else None

    cuts = [FIRST_TRAINING_JOB, *(now - age for age in SEARCH_CUTS), None]
    spans = [span for span in pairwise(cuts) if span[1] is None or span[1] > begin]
    if not aws.shares:
        spans = [(begin, None)]
    found = [_spanned(aws, wanted, first, until, now) for first, until in spans if first is not None]
    return Listing.merged(found)


def _spanned[T](
    aws: Aws,
    read: Callable[[dict[str, Any]], T | None],
    since: datetime,
    until: datetime | None,
    now: datetime,
) -> Listing[T]:
    """Return the jobs created from *since* until *until*; None has no end, and *now* ends about the last."""
    counted = seen = 0
    too_many = False
    middle = since + ((until or now) - since) / 2

    spanned = [{"Name": "CreationTime", "Operator": "GreaterThanOrEqualTo", "Value": _stamp(since)}]
    if until is not None:
        spanned.append({"Name": "CreationTime", "Operator": "LessThan", "Value": _stamp(until)})
    asked = {"Resource": JOB_RECORD, "SearchExpression": {"Filters": spanned}, **OLDEST_FIRST}

    def pages() -> Iterator[dict[str, Any]]:
        nonlocal counted, too_many
        for page in aws.pages(SEARCH, SAGEMAKER_PAGE, **asked):
            counted = page.get("TotalHits", {}).get("Value", 0)
            too_many = counted > MOST_SEARCH_HITS and (until or now) - since > SHORTEST_SEARCH
            if too_many:
                return
            yield page

    def records(page: dict[str, Any]) -> list[dict[str, Any]]:
        nonlocal seen
        seen += len(page["Results"])
        return [found[JOB_RECORD] for found in page["Results"]]

    every = collect_pages(pages(), records, read, source=f"{SEARCH} of {JOB_RECORD}")
    if too_many:
        return Listing.merged(_spanned(aws, read, *span, now) for span in ((since, middle), (middle, until)))
    found = Listing(tuple(job for job in every.items if job is not None), every.error, every.unread)
    if seen < counted and (found.error is None or found.unread):
        return Listing(found.items, f"{SEARCH} of {JOB_RECORD} ended after {seen} of {counted}")
    return found


def _stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def _entry(aws: Aws, now: datetime, job: Mapping[str, Any]) -> BilledEntry:
    return TRAINING_JOB.target(aws, job), job["TrainingJobStatus"] == IN_PROGRESS or _has_pool(job, now)


def _has_pool(job: Mapping[str, Any], now: datetime) -> bool:
    """Return whether instances wait for another job. Without a status in Search, the pool's time decides."""
    if (status := job.get("WarmPoolStatus", {}).get("Status")) is not None:
        return bool(status == POOL_AVAILABLE)
    kept = timedelta(seconds=job.get("ResourceConfig", {}).get("KeepAlivePeriodInSeconds", 0))
    return bool(kept and job.get("TrainingEndTime", now) + kept > now)


def rented_instances(resources: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield the type and the number of instances, if known; of preferences AWS selects some."""
    for prefix in ("Selected", ""):
        if instance := resources.get(f"{prefix}InstanceType"):
            yield instance, resources.get(f"{prefix}InstanceCount", resources.get("InstanceCount", 1))
            return


def on_training_plan(resources: Mapping[str, Any], instance: str) -> bool:
    """Return whether instances of that type ran on capacity that was paid for in advance."""
    preferred = resources.get("InstancePreferences", ())
    return "TrainingPlanArn" in resources or any(
        "TrainingPlanArns" in preference
        for preference in preferred
        if preference.get("InstanceType") == instance
    )


# --- families of completed jobs -------------------------------------------------------------------
#
# A family holds the runs of one job, the newest first.

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


@dataclass(frozen=True, slots=True)
class UnreadJob:
    """A completed job whose record does not say enough to judge it, and *why*, in words."""

    name: str
    why: str


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
    found: Listing[PastJob | UnreadJob] = aws.once(
        ("past jobs", since), lambda: search_training_jobs(aws, partial(_job, aws), now, since=since)
    )
    read = [job for job in found.items if isinstance(job, PastJob)]
    unread = {family_name(job.name): f"{job.name}: {job.why}" for job in _unread_jobs(found)}
    spot = [job for job in read if job.spot and job.ran]
    discount = 1 - sum(job.billed / HOUR for job in spot) / sum(job.hours for job in spot) if spot else None
    by_family = sorted(read, key=lambda job: family_name(job.target.name))
    for name, runs in groupby(by_family, key=lambda job: family_name(job.target.name)):
        jobs = tuple(sorted(runs, key=lambda job: str(job.target.created), reverse=True))
        newest = jobs[0]
        whole = newest.target.arn.removesuffix(newest.target.name) + f"{name}-*"
        yield JobFamily(
            target=target_in(aws, whole, f"{name}-*", TRAINING_JOB.type, None, tags=newest.target.tags),
            jobs=jobs,
            price=aws.prices.hourly(aws.region, "Training", newest.instance),
            unread=unread.get(name) or (found.error if not found.unread else unread.get("")),
            discount=discount,
        )
    found.check()


def _unread_jobs(found: Listing[PastJob | UnreadJob]) -> Iterator[UnreadJob]:
    """Yield the jobs that cannot be judged; a record without a name may be of any family, called ""."""
    yield from (job for job in found.items if isinstance(job, UnreadJob))
    for entry, why in found.unread:
        yield UnreadJob(str(entry.get("TrainingJobName", "")), why)


def _job(aws: Aws, job: Mapping[str, Any]) -> PastJob | UnreadJob | None:
    """
    Return a job of a Search answer, if it completed.

    Some jobs name no instances: serverless ones have none (SageMaker API reference, ServerlessJobConfig).
    """
    if job["TrainingJobStatus"] != COMPLETED_JOB:
        return None
    try:
        return _past_job(aws, job)
    except KeyError as missing:
        return UnreadJob(job["TrainingJobName"], f"its record has no {missing.args[0]}")


def _past_job(aws: Aws, job: Mapping[str, Any]) -> PastJob:
    """Return a completed job. Raises KeyError, with the name of what its record lacks."""
    resources, stops = job["ResourceConfig"], job["StoppingCondition"]
    tags = tags_of_list(job.get("Tags", ()))  # a complete record without tags has no such member
    rented = [
        instances
        for group in resources.get("InstanceGroups") or [resources]
        for instances in rented_instances(group)
    ]
    if not rented:
        raise KeyError("InstanceType")
    ran = timedelta(seconds=job["TrainingTimeInSeconds"])
    return PastJob(
        target=TRAINING_JOB.target(aws, job, Value(tags)),
        instance=rented[0][0],
        instances=sum(count for _, count in rented),
        ran=ran,
        billed=timedelta(seconds=job["BillableTimeInSeconds"]),
        limit=timedelta(seconds=stops["MaxRuntimeInSeconds"]),
        spot=bool(job.get("EnableManagedSpotTraining")),
        checkpoints=bool(job.get("CheckpointConfig", {}).get("S3Uri")),
        no_spot=_no_spot(resources, [instance for instance, _ in rented]),
        keeps=timedelta(seconds=resources.get("KeepAlivePeriodInSeconds", 0)),
        retained=_retained(job.get("WarmPoolStatus", {})),
        reused=job.get("WarmPoolStatus", {}).get("Status") == "Reused",
    )


def _retained(pool: Mapping[str, Any]) -> timedelta | None:
    """Return how long a warm pool was billed up to its reuse or end; None while it goes on."""
    seconds = pool.get("ResourceRetainedBillableTimeInSeconds")
    ended = pool.get("Status") in {"Reused", "Terminated"}
    return timedelta(seconds=seconds) if ended and seconds is not None else None


def _no_spot(resources: Mapping[str, Any], instances: Sequence[str]) -> str | None:
    if resources.get("KeepAlivePeriodInSeconds"):
        return "a warm pool is kept for it, which spot has none of"
    if on_training_plan(resources, instances[0]):
        return "it runs on capacity that is reserved by a training plan"
    if len(set(instances)) > 1:
        return "it runs on several types of instances"
    return None
