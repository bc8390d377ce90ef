"""Buckets with the facts from CloudWatch, their settings and, where it is worth it, a listing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ml_janitor.aws import metrics, references, s3, storage_prices, tags
from ml_janitor.aws.answers import Listing, ReadError, as_signal, read_signal
from ml_janitor.aws.arns import target_in
from ml_janitor.aws.boto_client import LIFECYCLE_TEXT
from ml_janitor.aws.client import Aws
from ml_janitor.aws.lifecycle_configurations import LifecycleConfiguration
from ml_janitor.aws.metrics import Metric
from ml_janitor.aws.references import References
from ml_janitor.aws.s3 import GET_BUCKET_LIFECYCLE, NO_LIFECYCLE
from ml_janitor.core.lifecycles import LifecycleRule
from ml_janitor.core.model import Candidate, Target
from ml_janitor.core.signals import NotRead, Signal, Tags, Value
from ml_janitor.core.tiering import RateTable
from ml_janitor.detectors.storage_tiering import reads
from ml_janitor.detectors.storage_tiering.folders import (
    FolderContents,
    StoredVersion,
    folder_tree,
    order_versions,
)
from ml_janitor.detectors.storage_tiering.reads import CountedReads, JobInput

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import ListObjectVersionsOutputTypeDef

BUCKET_KIND = "bucket"
LIST_OBJECT_VERSIONS = "s3:ListObjectVersions"
_LIST_UPLOADS = "s3:ListMultipartUploads"

_RECENT_MEASURES = timedelta(days=4)
"""Time within which CloudWatch has a size of every bucket that has one: it measures once a day."""

_MINIMUM_SIZE_MEMBER = "TransitionDefaultMinimumObjectSize"

_REFERRING_PATHS = ("model/", "model-package/")
"""The paths of users that need an object although they may not be in use now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TieringBucket(Candidate):
    """
    A bucket with its bytes in STANDARD and its number of objects, by CloudWatch's last measurement.

    The rest is read for buckets with enough bytes. *lifecycle* is the answer of
    GetBucketLifecycleConfiguration, *uploads* the start times of incomplete uploads, and *root* the contents.
    *counted* is the volume of reads, *inputs* are the inputs of jobs. *unsearched* says why not all
    references were read, *gaps* why a resource in use may refer to any object. *tagged* are tags by key,
    *proposed* the rules that would be added as of the reading.
    """

    stored: Signal[float]
    objects: Signal[float]
    lifecycle: Signal[Mapping[str, Any]] = field(default_factory=NotRead)
    lock: Signal[str] = field(default_factory=NotRead)
    uploads: Signal[tuple[datetime, ...]] = field(default_factory=NotRead)
    root: Signal[FolderContents] = field(default_factory=NotRead)
    counted: Signal[tuple[CountedReads, ...]] = field(default_factory=NotRead)
    inputs: tuple[JobInput, ...] = ()
    unsearched: str | None = None
    gaps: tuple[str, ...] = ()
    tagged: Mapping[str, Signal[Tags]] = field(default_factory=dict, hash=False)
    proposed: tuple[LifecycleRule, ...] = ()
    rates: RateTable = field(default_factory=dict, hash=False)
    priced: str = ""

    @property
    def name(self) -> str:
        return self.target.name

    @property
    def rules(self) -> Sequence[Mapping[str, Any]]:
        """Its lifecycle rules; none if it has none, or they were not read."""
        return self.lifecycle.value["Rules"] if isinstance(self.lifecycle, Value) else ()

    @property
    def configuration(self) -> LifecycleConfiguration:
        """The same rules as written."""
        found: Mapping[str, Any] = self.lifecycle.value if isinstance(self.lifecycle, Value) else {}
        return LifecycleConfiguration(found.get(LIFECYCLE_TEXT, b""), found.get(_MINIMUM_SIZE_MEMBER))


def list_measured_buckets(aws: Aws, now: datetime, only: str | None = None) -> Listing[TieringBucket]:
    """Return every bucket of the account in its region, or *only* that one, with CloudWatch's facts."""
    listing = s3.list_own_buckets(aws)
    names = {name: created for name, created in listing.items if only in {None, name}}
    sizes = {name: _metric("BucketSizeBytes", name, "StandardStorage") for name in names}
    numbers = {name: _metric("NumberOfObjects", name, "AllStorageTypes") for name in names}
    series = metrics.read_metrics(aws, (*sizes.values(), *numbers.values()), now - _RECENT_MEASURES, now)
    book = tags.read_tag_book(aws, "s3") if only is None else None

    def own(name: str) -> Target:
        arn = f"arn:{aws.partition}:s3:::{name}"
        tagged = tags.read_bucket_tags(aws, name) if book is None else book.of(arn)
        return target_in(aws, arn, name, BUCKET_KIND, names[name], tags=tagged)

    return Listing(
        tuple(
            TieringBucket(
                target=own(name), stored=_last(series[sizes[name]]), objects=_last(series[numbers[name]])
            )
            for name in names
        ),
        listing.error,
    )


def _metric(name: str, bucket: str, storage_type: str) -> Metric:
    return Metric.of(
        "AWS/S3", name, stat="Average", period=86_400, BucketName=bucket, StorageType=storage_type
    )


def _last(series: Signal[metrics.MetricSeries]) -> Signal[float]:
    match series:
        case Value(points, source):
            at, value = points.points[-1]
            return Value(value, source, at)
        case other:
            return other


def read_tiering_buckets(aws: Aws, found: Sequence[TieringBucket], now: datetime) -> list[TieringBucket]:
    """Return *found* with the facts that are read bucket by bucket, and the references to their objects."""
    if not found:
        return []
    known = references.read_references(aws, (), now)
    prices = storage_prices.read_storage_prices(aws)
    priced = prices.cost("STANDARD", 0).source
    jobs = reads.list_job_inputs(aws, now)
    counted = reads.read_counted_reads(aws, [bucket.name for bucket in found], now)
    unread = [*known.errors, *([] if jobs.error is None else [jobs.error])]

    def read_bucket(bucket: TieringBucket) -> TieringBucket:
        name = bucket.name
        return replace(
            bucket,
            lifecycle=_lifecycle(aws, name),
            lock=s3.read_object_lock(aws, name),
            uploads=_uploads(aws, name),
            root=read_signal(
                lambda: folder_tree(_versions(aws, name), now, _Users(known, name)),
                source=LIST_OBJECT_VERSIONS,
            ),
            counted=counted[name],
            inputs=tuple(job for job in jobs.items if job.bucket == name),
            unsearched="; ".join(unread) or None,
            gaps=tuple(known.gaps),
            rates=prices.rates(),
            priced=priced,
        )

    return aws.map(read_bucket, found)


class _Users:
    """The labels of a key's users: resources in use, and resources that would break if used again."""

    def __init__(self, known: References, bucket: str) -> None:
        self.known, self.bucket = known, bucket

    def __call__(self, key: str) -> Iterator[str]:
        uses = self.known.to(self.bucket, [key])
        yield from uses.in_use.value if isinstance(uses.in_use, Value) else ()
        yield from (user.label for user in uses.needed_only_by if user.path.startswith(_REFERRING_PATHS))


@as_signal(GET_BUCKET_LIFECYCLE, absent=NO_LIFECYCLE)
def _lifecycle(aws: Aws, bucket: str) -> Mapping[str, Any]:
    answer: Any = aws.s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    return {name: answer[name] for name in ("Rules", _MINIMUM_SIZE_MEMBER, LIFECYCLE_TEXT) if name in answer}


@as_signal(_LIST_UPLOADS)
def _uploads(aws: Aws, bucket: str) -> tuple[datetime, ...]:
    pages = aws.pages(_LIST_UPLOADS, Bucket=bucket)
    return tuple(
        upload["Initiated"] for page in pages for upload in page.get("Uploads", ())
    )  # missing if none


def _versions(aws: Aws, bucket: str) -> Iterator[StoredVersion]:
    """
    Yield every version of every object, in order. Raises ReadError after too many pages.

    In a bucket that never kept versions, the versions are its objects.
    """
    pages = aws.pages(LIST_OBJECT_VERSIONS, Bucket=bucket)

    def entries() -> Iterator[StoredVersion]:
        for turned, page in enumerate(pages, start=1):
            yield from sorted(_entries(page), key=lambda version: version.key)
            if turned == s3.MOST_KEY_PAGES and page["IsTruncated"]:
                raise ReadError(
                    f"ListObjectVersions: more than {s3.MOST_KEY_PAGES} pages, not read to the end"
                )

    for _, same in groupby(entries(), key=lambda version: version.key):
        yield from order_versions(same)


def _entries(page: ListObjectVersionsOutputTypeDef) -> Iterator[StoredVersion]:
    for entry in page.get("Versions", ()):  # missing without versions, as the markers are
        held = entry.get("StorageClass", "STANDARD")
        yield StoredVersion(
            entry["Key"], entry["LastModified"], entry["Size"], held, current=entry["IsLatest"]
        )
    for gone in page.get("DeleteMarkers", ()):
        yield StoredVersion(gone["Key"], gone["LastModified"], current=gone["IsLatest"], marker=True)


def read_tags_of_keys(aws: Aws, bucket: str, keys: Sequence[str]) -> dict[str, Signal[Tags]]:
    """Return the tags of objects, one call each."""
    return dict(zip(keys, aws.map(partial(s3.read_object_tags, aws, bucket), keys), strict=True))
