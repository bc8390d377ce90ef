"""The volume of reads from a bucket: request metrics, where they are on, and the inputs of jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from ml_janitor.aws import metrics
from ml_janitor.aws.answers import Listing, as_signal
from ml_janitor.aws.client import Aws
from ml_janitor.aws.locations import addresses_in
from ml_janitor.aws.metrics import Metric
from ml_janitor.aws.sagemaker_kinds import (
    PROCESSING_JOB,
    TRAINING_JOB,
    TRANSFORM_JOB,
    SageMakerKind,
    describe_resource,
    list_targets,
)
from ml_janitor.aws.training_jobs import search_training_jobs
from ml_janitor.core.signals import Absent, Signal, Unreadable, Value

_LIST_METRICS_CONFIGURATIONS = "s3:ListBucketMetricsConfigurations"

_READ_WINDOW = timedelta(days=90)
"""Time over which reads are counted."""
_ENOUGH_DAYS = timedelta(days=30)
"""Days of request metrics that it takes to tell how often something is read."""
_LATELY = timedelta(days=30)
"""Time within which a job's read keeps objects from deletion, and from Intelligent-Tiering."""
_DAY_SECONDS = 86_400

_INPUT_MEMBERS: Mapping[SageMakerKind, tuple[str, ...]] = {
    TRAINING_JOB: ("InputDataConfig", "HyperParameters", "Environment"),
    PROCESSING_JOB: ("ProcessingInputs", "AppSpecification", "Environment"),
    TRANSFORM_JOB: ("TransformInput", "Environment"),
}
"""The members of a job's description that name its inputs."""

_DESCRIBED_JOBS = (PROCESSING_JOB, TRANSFORM_JOB)
_MOST_DESCRIBED = 200
"""Jobs of each of these kinds that are described."""


@dataclass(frozen=True, slots=True)
class CountedReads:
    """The reads of all objects whose keys begin with *prefix*: *monthly* bytes, over *days* days."""

    prefix: str
    monthly: float
    days: int


@dataclass(frozen=True, slots=True)
class JobInput:
    """A job that was created *at* that time and read objects in *bucket* whose keys begin with *path*."""

    job: str
    bucket: str
    path: str
    at: datetime

    def of(self, folder: str) -> bool:
        """Return whether it may have read something in *folder*."""
        return self.path.startswith(folder) or folder.startswith(self.path)


def find_reading_job(inputs: Sequence[JobInput], folder: str, now: datetime) -> str | None:
    """Return the job that read something in *folder* within `_LATELY`, in words; None if none did."""
    recent = [source.job for source in inputs if source.of(folder) and now - source.at <= _LATELY]
    if not recent:
        return None
    more = f" and {len(recent) - 1} more" if len(recent) > 1 else ""
    return f"{recent[0]}{more} read it within {_LATELY.days} days"


def monthly_read_share(
    signal: Signal[tuple[CountedReads, ...]], folder: str, size: int
) -> tuple[Decimal | None, bool]:
    """
    Return the most reads of all of *folder* in a month, and whether they are exact; None if unknown.

    Request metrics belong to one filter, whose prefix *folder* begins with; the longest prefix tells most.
    """
    found = signal.value if isinstance(signal, Value) else ()
    about = [count for count in found if folder.startswith(count.prefix)]
    if not about:
        return None, False
    best = max(about, key=lambda count: len(count.prefix))
    return Decimal(str(best.monthly)) / max(1, size), best.prefix == folder


def read_counted_reads(
    aws: Aws, buckets: Sequence[str], now: datetime
) -> dict[str, Signal[tuple[CountedReads, ...]]]:
    """
    Return the counted reads of each of *buckets*; absent where metrics are off, or not on for long enough.

    S3 publishes them only for minutes with requests, so an idle bucket looks like one without metrics. All
    answers with a body count, listings too.
    """
    filters = dict(zip(buckets, aws.map(partial(_filters, aws), buckets), strict=True))
    wanted = {
        (name, filter_id): _metrics(name, filter_id)
        for name, read in filters.items()
        if isinstance(read, Value)
        for filter_id in read.value
    }
    series = metrics.read_metrics(
        aws, (metric for pair in wanted.values() for metric in pair), now - _READ_WINDOW, now
    )

    def of(name: str, read: Signal[dict[str, str]]) -> Signal[tuple[CountedReads, ...]]:
        if not isinstance(read, Value):
            return read
        pairs = {prefix: wanted[name, filter_id] for filter_id, prefix in read.value.items()}
        return _counted({prefix: (series[a], series[b]) for prefix, (a, b) in pairs.items()}, now)

    return {name: of(name, read) for name, read in filters.items()}


@as_signal(_LIST_METRICS_CONFIGURATIONS)
def _filters(aws: Aws, bucket: str) -> dict[str, str]:
    """
    Return the prefixes of a bucket's metrics by their filters' ids, without
    filters by tag or access point.
    """
    found: dict[str, str] = {}
    token: dict[str, Any] = {}
    while True:
        page = aws.s3.list_bucket_metrics_configurations(Bucket=bucket, **token)
        for configuration in page.get("MetricsConfigurationList", ()):  # missing where there is none
            given = configuration.get("Filter", {"Prefix": ""})
            if given.keys() == {"Prefix"}:
                found[configuration["Id"]] = given["Prefix"]
        if not page["IsTruncated"]:
            return found
        token = {"ContinuationToken": page["NextContinuationToken"]}


def _metrics(bucket: str, filter_id: str) -> tuple[Metric, Metric]:
    named = partial(Metric.of, "AWS/S3", period=_DAY_SECONDS, BucketName=bucket, FilterId=filter_id)
    return named("AllRequests"), named("BytesDownloaded")


type MetricPair = tuple[Signal[metrics.MetricSeries], Signal[metrics.MetricSeries]]


def _counted(found: Mapping[str, MetricPair], now: datetime) -> Signal[tuple[CountedReads, ...]]:
    known: list[CountedReads] = []
    for prefix, (requests, downloaded) in found.items():
        for signal in (requests, downloaded):
            if isinstance(signal, Unreadable):
                return signal
        if isinstance(requests, Value) and (since := now - requests.value.points[0][0]) >= _ENOUGH_DAYS:
            read = downloaded.value.total if isinstance(downloaded, Value) else 0.0
            known.append(CountedReads(prefix, read / since.days * _ENOUGH_DAYS.days, since.days))
    return Value(tuple(known), metrics.GET_METRIC_DATA) if known else Absent(metrics.GET_METRIC_DATA)


def list_job_inputs(aws: Aws, now: datetime) -> Listing[JobInput]:
    """
    Return the inputs in S3 of jobs created within `_READ_WINDOW`: of all training jobs, of the newest others.

    Search returns the records of training jobs, 100 to a call. Each of the others takes a call.
    """
    begin = now - _READ_WINDOW
    found = [search_training_jobs(aws, lambda job: list(_inputs(TRAINING_JOB, job)), now, since=begin)]
    for kind in _DESCRIBED_JOBS:
        jobs = list_targets(aws, kind, CreationTimeAfter=begin, SortBy="CreationTime", SortOrder="Descending")
        newest = [job.name for job in jobs.items[:_MOST_DESCRIBED]]
        answers = aws.map(partial(describe_resource, aws, kind), newest)
        read = tuple(list(_inputs(kind, answer.value)) for answer in answers if isinstance(answer, Value))
        unread = next((answer.error for answer in answers if isinstance(answer, Unreadable)), None)
        found.append(Listing(read, jobs.error or unread))
    return Listing.joined(
        (source for listing in found for job in listing.items for source in job),
        (listing.error for listing in found),
    )


def _inputs(kind: SageMakerKind, job: Mapping[str, Any]) -> Iterator[JobInput]:
    name, at = f"{kind.words} {kind.name_of(job)}", job["CreationTime"]
    for place in addresses_in([job[member] for member in _INPUT_MEMBERS[kind] if member in job]):
        if place.bucket is not None:
            yield JobInput(name, place.bucket, place.path, at)
