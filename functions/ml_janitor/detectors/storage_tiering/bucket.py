"""Buckets with the facts from CloudWatch, their settings and, where it is worth it, a listing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ml_janitor.aws import metrics, references, s3, storage_prices, tags
from ml_janitor.aws.answers import Listing, ReadError, attempt, attempted
from ml_janitor.aws.arns import target_in
from ml_janitor.aws.boto_client import LIFECYCLE_TEXT
from ml_janitor.aws.client import Aws
from ml_janitor.aws.lifecycle_configurations import Configuration
from ml_janitor.aws.metrics import Metric
from ml_janitor.aws.references import References
from ml_janitor.aws.s3 import GET_LIFECYCLE, NO_LIFECYCLE
from ml_janitor.core.lifecycles import LifecycleRule
from ml_janitor.core.model import Candidate, Target
from ml_janitor.core.signals import NotRead, Signal, Tags, Value
from ml_janitor.core.tiering import RateTable
from ml_janitor.detectors.storage_tiering import reads
from ml_janitor.detectors.storage_tiering.folders import Folder, Version, in_sequence, tree
from ml_janitor.detectors.storage_tiering.reads import Counted, Input

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import ListObjectVersionsOutputTypeDef

KIND = "bucket"
LIST_VERSIONS = "s3:ListObjectVersions"
LIST_UPLOADS = "s3:ListMultipartUploads"

RECENT = timedelta(days=4)
"""Time within which CloudWatch has a size of every bucket that has one: it measures once a day."""

MINIMUM = "TransitionDefaultMinimumObjectSize"

REFERS = ("model/", "model-package/")
"""The paths of users that need an object although they may not be in use now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket(Candidate):
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
    root: Signal[Folder] = field(default_factory=NotRead)
    counted: Signal[tuple[Counted, ...]] = field(default_factory=NotRead)
    inputs: tuple[Input, ...] = ()
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
    def configuration(self) -> Configuration:
        """The same rules as written."""
        found: Mapping[str, Any] = self.lifecycle.value if isinstance(self.lifecycle, Value) else {}
        return Configuration(found.get(LIFECYCLE_TEXT, b""), found.get(MINIMUM))


def measured(aws: Aws, now: datetime, only: str | None = None) -> Listing[Bucket]:
    """Return every bucket of the account in its region, or *only* that one, with CloudWatch's facts."""
    listing = s3.owned(aws)
    names = {name: created for name, created in listing.items if only in {None, name}}
    sizes = {name: _metric("BucketSizeBytes", name, "StandardStorage") for name in names}
    numbers = {name: _metric("NumberOfObjects", name, "AllStorageTypes") for name in names}
    series = metrics.read(aws, (*sizes.values(), *numbers.values()), now - RECENT, now)
    book = tags.in_bulk(aws, "s3") if only is None else None

    def own(name: str) -> Target:
        arn = f"arn:{aws.partition}:s3:::{name}"
        tagged = tags.of_bucket(aws, name) if book is None else book.of(arn)
        return target_in(aws, arn, name, KIND, names[name], tags=tagged)

    return Listing(
        tuple(
            Bucket(target=own(name), stored=_last(series[sizes[name]]), objects=_last(series[numbers[name]]))
            for name in names
        ),
        listing.error,
    )


def _metric(name: str, bucket: str, storage_type: str) -> Metric:
    return Metric.of(
        "AWS/S3", name, stat="Average", period=86_400, BucketName=bucket, StorageType=storage_type
    )


def _last(series: Signal[metrics.Series]) -> Signal[float]:
    match series:
        case Value(points, source):
            at, value = points.points[-1]
            return Value(value, source, at)
        case other:
            return other


def read(aws: Aws, found: Sequence[Bucket], now: datetime) -> list[Bucket]:
    """Return *found* with the facts that are read bucket by bucket, and the references to their objects."""
    if not found:
        return []
    known = references.read(aws, (), now)
    prices = storage_prices.read(aws)
    priced = prices.cost("STANDARD", 0).source
    jobs = reads.inputs(aws, now)
    counted = reads.counted(aws, [bucket.name for bucket in found], now)
    unread = [*known.errors, *([] if jobs.error is None else [jobs.error])]

    def read_bucket(bucket: Bucket) -> Bucket:
        name = bucket.name
        return replace(
            bucket,
            lifecycle=_lifecycle(aws, name),
            lock=s3.object_lock(aws, name),
            uploads=_uploads(aws, name),
            root=attempt(lambda: tree(_versions(aws, name), now, _Users(known, name)), source=LIST_VERSIONS),
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
        yield from (user.label for user in uses.needed_only_by if user.path.startswith(REFERS))


@attempted(GET_LIFECYCLE, absent=NO_LIFECYCLE)
def _lifecycle(aws: Aws, bucket: str) -> Mapping[str, Any]:
    answer: Any = aws.s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    return {name: answer[name] for name in ("Rules", MINIMUM, LIFECYCLE_TEXT) if name in answer}


@attempted(LIST_UPLOADS)
def _uploads(aws: Aws, bucket: str) -> tuple[datetime, ...]:
    pages = aws.pages(LIST_UPLOADS, Bucket=bucket)
    return tuple(
        upload["Initiated"] for page in pages for upload in page.get("Uploads", ())
    )  # missing if none


def _versions(aws: Aws, bucket: str) -> Iterator[Version]:
    """
    Yield every version of every object, in order. Raises ReadError after too many pages.

    In a bucket that never kept versions, the versions are its objects.
    """
    pages = aws.pages(LIST_VERSIONS, Bucket=bucket)

    def entries() -> Iterator[Version]:
        for turned, page in enumerate(pages, start=1):
            yield from sorted(_entries(page), key=lambda version: version.key)
            if turned == s3.PAGES and page["IsTruncated"]:
                raise ReadError(f"ListObjectVersions: more than {s3.PAGES} pages, not read to the end")

    for _, same in groupby(entries(), key=lambda version: version.key):
        yield from in_sequence(same)


def _entries(page: ListObjectVersionsOutputTypeDef) -> Iterator[Version]:
    for entry in page.get("Versions", ()):  # missing without versions, as the markers are
        held = entry.get("StorageClass", "STANDARD")
        yield Version(entry["Key"], entry["LastModified"], entry["Size"], held, current=entry["IsLatest"])
    for gone in page.get("DeleteMarkers", ()):
        yield Version(gone["Key"], gone["LastModified"], current=gone["IsLatest"], marker=True)


def tagged(aws: Aws, bucket: str, keys: Sequence[str]) -> dict[str, Signal[Tags]]:
    """Return the tags of objects, one call each."""
    return dict(zip(keys, aws.map(partial(s3.object_tags, aws, bucket), keys), strict=True))
