"""
Training jobs, found in few calls: those that cost something now, and all there ever were.

ListTrainingJobs compares the status after it has cut the pages: among 50,000 jobs of a month, ten that run
take 500 calls. Search compares on the server, but its index takes in what is new with a delay: jobs of the
last day are listed besides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain, pairwise
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

CUTS = tuple(timedelta(days=days) for days in (401, 93, 62, 32, 8))
"""
Where a run that shares its answers cuts the past: each reader looks back a little less far than one of them.

It so reads few records that it does not want, and none that another reader of the run has not read.
"""

OVERLAP = timedelta(hours=1)
"""By which looking again lists jobs that an earlier reading may have listed: clocks differ."""

RUNNING = {"Name": "TrainingJobStatus", "Operator": "Equals", "Value": IN_PROGRESS}
ENDED = frozenset({"Completed", "Failed", "Stopped"})

AVAILABLE = "Available"
"""The status of a warm pool that waits for its next job: unused, and billed."""

type Entry = tuple[Target, bool]
"""A job, and whether it runs or has a warm pool."""


def billed(aws: Aws, now: datetime) -> Listing[Target]:
    """The training jobs in progress, and those that are over and whose instances wait for another one."""
    read = partial(_entry, aws, now)
    changed = {
        "Name": "LastModifiedTime",
        "Operator": "GreaterThanOrEqualTo",
        "Value": _stamp(now - POOL_LIFE - NEW),
    }
    found = (
        search(aws, RECORD, read, SearchExpression={"Filters": [RUNNING]}),
        search(aws, RECORD, read, SearchExpression={"Filters": [changed]}),
        listing(aws, TRAINING_JOB, read, CreationTimeAfter=now - NEW, **OLDEST_FIRST),
    )
    jobs = {target.arn.lower(): target for each in found for target, costs in each.items if costs}
    return Listing.joined(jobs.values(), (each.error for each in found))


def lately[T](
    aws: Aws, read: Callable[[Mapping[str, Any]], T], since: datetime, now: datetime
) -> tuple[Listing[T], ...]:
    """The training jobs in progress, those created after *since*, and those that Search may not know yet."""
    return (
        search(aws, RECORD, read, SearchExpression={"Filters": [RUNNING]}),
        recorded(aws, read, now, since=since),
        listing(aws, TRAINING_JOB, read, CreationTimeAfter=now - NEW, **OLDEST_FIRST),
    )


@dataclass(slots=True)
class Jobs[T]:
    """
    The training jobs of a run at *at*: what is kept of those that *ended*, and entries of the *open* others.

    *lately* are the keys of those that had ended and that the next listing may name again.
    """

    at: datetime
    ended: list[T] = field(default_factory=list)
    lately: set[str] = field(default_factory=set)
    open: dict[str, dict[str, Any]] = field(default_factory=dict)


def every[T](
    aws: Aws, read: Callable[[dict[str, Any]], T | None], now: datetime
) -> tuple[Jobs[T], str | None]:
    """
    All training jobs there ever were, and why there may be more; *read* keeps something of one that ended.

    Search has their records. What it may not have taken in yet is listed. Once it ended, a job does not
    change: looking again within a run lists what is new.
    """
    unread = None
    jobs: Jobs[T] | None = aws.lasting.get(TRAINING_JOB)
    since = now - NEW if jobs is None else jobs.at - OVERLAP
    if jobs is None:
        jobs = Jobs(now)
        records = recorded(aws, partial(_ended, aws, jobs, read), now)
        unread = records.error
        jobs.ended += records.items
    new = listing(aws, TRAINING_JOB, partial(_keyed, aws), CreationTimeAfter=since, **OLDEST_FIRST)
    jobs.open |= {key: entry for key, entry in new.items if key not in jobs.lately}
    if unread is None and new.error is None:
        jobs.at = now
        aws.lasting[TRAINING_JOB] = jobs
    return jobs, Listing.joined((), (unread, new.error)).error


def _keyed(aws: Aws, entry: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return TRAINING_JOB.target(aws, entry).key, entry


def _ended[T](
    aws: Aws, jobs: Jobs[T], read: Callable[[dict[str, Any]], T | None], record: dict[str, Any]
) -> T | None:
    """What *read* keeps of a job in Search, if it has ended; note it in *jobs*."""
    key, _ = _keyed(aws, record)
    if record.get(TRAINING_JOB.status) not in ENDED:
        jobs.open[key] = record
        return None
    if record["CreationTime"] >= jobs.at - NEW:
        jobs.lately.add(key)
    return read(record)


class _TooManyError(Exception):
    """A search has more matches than it is asked for."""


def recorded[T](
    aws: Aws, read: Callable[[dict[str, Any]], T | None], now: datetime, *, since: datetime = BEGINNING
) -> Listing[T]:
    """
    Every training job created *since* then that Search knows, as *read* makes its record; None leaves it out.

    A hundred come with each call. A record holds what a description does, but for the profiler's rules and a
    few members without addresses. Fewer records than AWS counted are an error. In a run with shared answers
    all readers ask for the same parts of the past, so that each record is sent and kept once.
    """
    begin = since.replace(microsecond=0)

    def wanted(job: dict[str, Any]) -> T | None:
        return read(job) if job["CreationTime"] >= begin else None

    cuts = [BEGINNING, *(now - age for age in CUTS), None]
    spans = [one for one in pairwise(cuts) if one[1] is None or one[1] > begin]
    if not aws.shares:
        spans = [(begin, None)]
    found = [_spanned(aws, wanted, first, until, now) for first, until in spans if first is not None]
    return Listing.joined(chain.from_iterable(one.items for one in found), (one.error for one in found))


def _spanned[T](
    aws: Aws,
    read: Callable[[dict[str, Any]], T | None],
    since: datetime,
    until: datetime | None,
    now: datetime,
) -> Listing[T]:
    """The jobs created from *since* until *until*; None has no end, and *now* is about where the last are."""
    counted = seen = 0
    middle = (since + ((until or now) - since) / 2).replace(microsecond=0)

    def records(page: dict[str, Any]) -> Iterable[T]:
        nonlocal counted, seen
        counted = page.get("TotalHits", {}).get("Value", 0)
        if counted > MOST and (until or now) - since > SHORTEST:
            raise _TooManyError
        seen += len(page["Results"])
        return [one for found in page["Results"] if (one := read(found[RECORD])) is not None]

    spanned = [{"Name": "CreationTime", "Operator": "GreaterThanOrEqualTo", "Value": _stamp(since)}]
    if until is not None:
        spanned.append({"Name": "CreationTime", "Operator": "LessThan", "Value": _stamp(until)})
    try:
        found = everything(
            aws.pages(
                SEARCH, PAGE_SIZE, Resource=RECORD, SearchExpression={"Filters": spanned}, **OLDEST_FIRST
            ),
            records,
            source=f"{SEARCH} of {RECORD}",
        )
    except _TooManyError:
        halves = [_spanned(aws, read, *span, now) for span in ((since, middle), (middle, until))]
        return Listing.joined(chain.from_iterable(one.items for one in halves), (one.error for one in halves))
    if found.error is None and seen < counted:
        return Listing(found.items, f"{SEARCH} of {RECORD} ended after {seen} of {counted}")
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
