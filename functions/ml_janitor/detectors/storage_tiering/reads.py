"""How much is read from a bucket: request metrics, where they are switched on, and the inputs of jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from ml_janitor.aws import metrics
from ml_janitor.aws.answers import Listing, attempted
from ml_janitor.aws.client import Aws
from ml_janitor.aws.locations import mentioned
from ml_janitor.aws.metrics import Metric
from ml_janitor.aws.sagemaker_kinds import (
    PROCESSING_JOB,
    TRAINING_JOB,
    TRANSFORM_JOB,
    Kind,
    describe,
    targets,
)
from ml_janitor.aws.training_jobs import recorded
from ml_janitor.core.signals import Absent, Signal, Unreadable, Value

LIST_METRICS_CONFIGURATIONS = "s3:ListBucketMetricsConfigurations"

WINDOW = timedelta(days=90)
"""How far back reading is looked at."""
ENOUGH = timedelta(days=30)
"""Of how many days request metrics must be there to tell how often something is read."""
LATELY = timedelta(days=30)
"""In which a job reads what is not deleted then, and what Intelligent-Tiering would leave where it is."""
DAY = 86_400

READ_BY: Mapping[Kind, tuple[str, ...]] = {
    TRAINING_JOB: ("InputDataConfig", "HyperParameters", "Environment"),
    PROCESSING_JOB: ("ProcessingInputs", "AppSpecification", "Environment"),
    TRANSFORM_JOB: ("TransformInput", "Environment"),
}
"""The members of a job's description that say what it reads."""

DESCRIBED = (PROCESSING_JOB, TRANSFORM_JOB)
MOST_DESCRIBED = 200
"""How many of each of these are described."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What was read of all objects whose keys begin with *prefix*: *monthly* bytes, over so many *days*."""

    prefix: str
    monthly: float
    days: int


@dataclass(frozen=True, slots=True)
class Input:
    """A job that was created *at* that time and read what begins with *path* in a bucket."""

    job: str
    bucket: str
    path: str
    at: datetime

    def of(self, folder: str) -> bool:
        """Whether it may have read something in *folder*."""
        return self.path.startswith(folder) or folder.startswith(self.path)


def job_that_read(inputs: Sequence[Input], folder: str, now: datetime) -> str | None:
    """Which job read something in *folder* within `LATELY`, in words; None if none did."""
    recent = [one.job for one in inputs if one.of(folder) and now - one.at <= LATELY]
    if not recent:
        return None
    more = f" and {len(recent) - 1} more" if len(recent) > 1 else ""
    return f"{recent[0]}{more} read it within {LATELY.days} days"


def share_read(signal: Signal[tuple[Counted, ...]], folder: str, size: int) -> tuple[Decimal | None, bool]:
    """
    How often all of *folder* is read in a month at most, and whether it is so often; None if unknown.

    Request metrics are of one filter, whose prefix *folder* begins with; the longest tells most.
    """
    found = signal.value if isinstance(signal, Value) else ()
    about = [one for one in found if folder.startswith(one.prefix)]
    if not about:
        return None, False
    best = max(about, key=lambda one: len(one.prefix))
    return Decimal(str(best.monthly)) / max(1, size), best.prefix == folder


def counted(aws: Aws, buckets: Sequence[str], now: datetime) -> dict[str, Signal[tuple[Counted, ...]]]:
    """
    What request metrics tell of each of *buckets*; absent where none are switched on, or not for long enough.

    They are published only for minutes with requests, so that a bucket in which nothing happens at all
    looks like one without them. Counted are all answers with a body: listings, too.
    """
    filters = dict(zip(buckets, aws.map(partial(_filters, aws), buckets), strict=True))
    wanted = {
        (name, one): _metrics(name, one)
        for name, read in filters.items()
        if isinstance(read, Value)
        for one in read.value
    }
    series = metrics.read(aws, (one for pair in wanted.values() for one in pair), now - WINDOW, now)

    def of(name: str, read: Signal[dict[str, str]]) -> Signal[tuple[Counted, ...]]:
        if not isinstance(read, Value):
            return read
        pairs = {prefix: wanted[name, one] for one, prefix in read.value.items()}
        return _counted({prefix: (series[a], series[b]) for prefix, (a, b) in pairs.items()}, now)

    return {name: of(name, read) for name, read in filters.items()}


@attempted(LIST_METRICS_CONFIGURATIONS)
def _filters(aws: Aws, bucket: str) -> dict[str, str]:
    """The prefixes of a bucket's metrics by their filters' ids; those by tag or access point are left out."""
    found: dict[str, str] = {}
    token: dict[str, Any] = {}
    while True:
        page = aws.s3.list_bucket_metrics_configurations(Bucket=bucket, **token)
        for one in page.get("MetricsConfigurationList", ()):  # which is missing where there is none
            given = one.get("Filter", {"Prefix": ""})
            if given.keys() == {"Prefix"}:
                found[one["Id"]] = given["Prefix"]
        if not page["IsTruncated"]:
            return found
        token = {"ContinuationToken": page["NextContinuationToken"]}


def _metrics(bucket: str, filter_id: str) -> tuple[Metric, Metric]:
    named = partial(Metric.of, "AWS/S3", period=DAY, BucketName=bucket, FilterId=filter_id)
    return named("AllRequests"), named("BytesDownloaded")


type Pair = tuple[Signal[metrics.Series], Signal[metrics.Series]]


def _counted(found: Mapping[str, Pair], now: datetime) -> Signal[tuple[Counted, ...]]:
    known: list[Counted] = []
    for prefix, (requests, downloaded) in found.items():
        for one in (requests, downloaded):
            if isinstance(one, Unreadable):
                return one
        if isinstance(requests, Value) and (since := now - requests.value.points[0][0]) >= ENOUGH:
            read = downloaded.value.total if isinstance(downloaded, Value) else 0.0
            known.append(Counted(prefix, read / since.days * ENOUGH.days, since.days))
    return Value(tuple(known), metrics.GET_METRIC_DATA) if known else Absent(metrics.GET_METRIC_DATA)


def inputs(aws: Aws, now: datetime) -> Listing[Input]:
    """
    What the jobs created within `WINDOW` read from S3: of training jobs all, of others the newest.

    Search has the records of training jobs, 100 to a call. Each of the others takes a call.
    """
    begin = now - WINDOW
    found = [recorded(aws, lambda job: list(_inputs(TRAINING_JOB, job)), now, since=begin)]
    for kind in DESCRIBED:
        jobs = targets(aws, kind, CreationTimeAfter=begin, SortBy="CreationTime", SortOrder="Descending")
        newest = [one.name for one in jobs.items[:MOST_DESCRIBED]]
        answers = aws.map(partial(describe, aws, kind), newest)
        read = tuple(list(_inputs(kind, one.value)) for one in answers if isinstance(one, Value))
        unread = next((one.error for one in answers if isinstance(one, Unreadable)), None)
        found.append(Listing(read, jobs.error or unread))
    return Listing.joined(
        (one for each in found for job in each.items for one in job), (each.error for each in found)
    )


def _inputs(kind: Kind, job: Mapping[str, Any]) -> Iterator[Input]:
    name, at = f"{kind.words} {kind.name_of(job)}", job["CreationTime"]
    for place in mentioned([job[member] for member in READ_BY[kind] if member in job]):
        if place.bucket is not None:
            yield Input(name, place.bucket, place.path, at)
