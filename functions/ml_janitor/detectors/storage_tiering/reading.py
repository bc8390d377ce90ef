"""The contents of buckets, folder by folder: bytes, age and storage class; and reads from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_janitor.aws import activity, references, s3, storage, tags
from ml_janitor.aws.activity import Metric
from ml_janitor.aws.calls import LIFECYCLE_TEXT, Listing, ReadError, as_signal, read_signal
from ml_janitor.aws.client import Aws
from ml_janitor.aws.locations import addresses_in, manifests_in
from ml_janitor.aws.references import References
from ml_janitor.aws.s3 import GET_BUCKET_LIFECYCLE, NO_LIFECYCLE
from ml_janitor.aws.sagemaker_kinds import (
    PROCESSING_JOB,
    TRAINING_JOB,
    TRANSFORM_JOB,
    SageMakerKind,
    describe_resource,
    list_targets,
)
from ml_janitor.aws.storage import LifecycleConfiguration
from ml_janitor.aws.tags import target_in
from ml_janitor.aws.training_jobs import ENDED_STATUSES, search_training_jobs
from ml_janitor.core.model import Absent, Candidate, NotRead, Signal, Tags, Target, Unreadable, Value
from ml_janitor.core.tiering import SMALL_OBJECT, STANDARD, LifecycleRule, ObjectCohort, RateTable

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import ListObjectVersionsOutputTypeDef

# --- folders --------------------------------------------------------------------------------------

FOLDER_DEPTH = 5
"""Levels of folders that are told apart; deeper objects belong to the last of them."""


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """
    One version of an object, or a delete *marker*.

    *replaced* is the time at which the next version was written, for a version that is not current.
    """

    key: str
    modified: datetime
    size: int = 0
    held: str = STANDARD
    current: bool = True
    marker: bool = False
    replaced: datetime | None = None


@dataclass(slots=True)
class FolderContents:
    """
    A folder, its path ending with a slash; empty for the bucket as a whole.

    All facts cover objects directly in it. *held* is objects and bytes by age in days, whether they are
    small, and class; *replaced* the same for noncurrent versions by the days since then. *keys* are the
    current objects' keys, *users* the references to any of them.
    """

    path: str = ""
    held: dict[tuple[int, bool, str], tuple[int, int]] = field(default_factory=dict)
    replaced: dict[tuple[int, bool, str], tuple[int, int]] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    users: dict[str, None] = field(default_factory=dict)
    inside: dict[str, FolderContents] = field(default_factory=dict)

    def all(self) -> Iterator[FolderContents]:
        yield self
        for folder in self.inside.values():
            yield from folder.all()

    def cohorts(self, reads: Decimal = Decimal(0)) -> list[ObjectCohort]:
        """Return the current objects in it and in every folder in it, each with *reads* a month."""
        return _cohorts((folder.held for folder in self.all()), reads)

    def noncurrent(self) -> list[ObjectCohort]:
        """Return the noncurrent versions likewise, by the days since they were replaced."""
        return _cohorts((folder.replaced for folder in self.all()), Decimal(0))

    def size(self) -> int:
        """Return the bytes of its current objects."""
        return sum(cohort.size for cohort in self.cohorts())


type CohortAmounts = dict[tuple[int, bool, str], tuple[int, int]]


def _cohorts(found: Iterable[CohortAmounts], reads: Decimal) -> list[ObjectCohort]:
    total: CohortAmounts = {}
    for amounts in found:
        for what, amount in amounts.items():
            _add(total, what, *amount)
    return [
        ObjectCohort(age=age, small=small, held=held, objects=objects, size=size, reads=reads)
        for (age, small, held), (objects, size) in sorted(total.items())
    ]


def _add(total: CohortAmounts, what: tuple[int, bool, str], objects: int, size: int) -> None:
    counted, bytes_ = total.get(what, (0, 0))
    total[what] = counted + objects, bytes_ + size


def folder_tree(
    versions: Iterable[StoredVersion], now: datetime, users: Callable[[str], Iterable[str]]
) -> FolderContents:
    """Return the folders of a bucket with *versions*; *users* returns the labels of a key's users."""
    root = FolderContents()
    for version in versions:
        if version.marker:
            continue
        folder = root
        slashes = [at for at, letter in enumerate(version.key) if letter == "/"]
        for end in slashes[:FOLDER_DEPTH]:
            path = version.key[: end + 1]
            folder = folder.inside.setdefault(path, FolderContents(path))
        small = version.size < SMALL_OBJECT
        if version.current:
            _add(folder.held, ((now - version.modified).days, small, version.held), 1, version.size)
            folder.keys.append(version.key)
            folder.users |= dict.fromkeys(users(version.key))
        elif version.replaced is not None:
            _add(folder.replaced, ((now - version.replaced).days, small, version.held), 1, version.size)
    return root


def order_versions(versions: Iterable[StoredVersion]) -> Iterator[StoredVersion]:
    """Yield the *versions* of one key, noncurrent ones with the time at which the next version came."""
    newest_first = sorted(versions, key=lambda version: (version.current, version.modified), reverse=True)
    yield newest_first[0]
    for newer, version in pairwise(newest_first):
        yield replace(version, current=False, replaced=newer.modified)


# --- reads from a bucket --------------------------------------------------------------------------

_LIST_METRICS_CONFIGURATIONS = "s3:ListBucketMetricsConfigurations"

_READ_WINDOW = timedelta(days=90)
"""Time over which reads are counted."""
_ENOUGH_DAYS = timedelta(days=30)
"""Days of request metrics that it takes to tell how often something is read."""
_LATELY = timedelta(days=30)
"""Time within which a job's read keeps objects from deletion, and from Intelligent-Tiering."""
_DAY_SECONDS = 86_400

_INPUT_MEMBERS: Mapping[SageMakerKind, tuple[str, ...]] = {
    TRAINING_JOB: (
        "InputDataConfig",
        "HyperParameters",
        "Environment",
        "CheckpointConfig",
        "AlgorithmSpecification",
    ),
    PROCESSING_JOB: ("ProcessingInputs", "AppSpecification", "Environment"),
    TRANSFORM_JOB: ("TransformInput", "Environment"),
}
"""The members of a job's description that name its inputs; a training job resumes from its checkpoints."""

_END_MEMBERS: Mapping[SageMakerKind, str] = {
    TRAINING_JOB: "TrainingEndTime",
    PROCESSING_JOB: "ProcessingEndTime",
    TRANSFORM_JOB: "TransformEndTime",
}
_LAST_CHANGE = "LastModifiedTime"

_DESCRIBED_JOBS = (PROCESSING_JOB, TRANSFORM_JOB)
_MOST_DESCRIBED = 200
"""Jobs of each of these kinds that are described, the newest first."""


@dataclass(frozen=True, slots=True)
class CountedReads:
    """The reads of all objects whose keys begin with *prefix*: *monthly* bytes, over *days* days."""

    prefix: str
    monthly: float
    days: int


@dataclass(frozen=True, slots=True)
class JobInput:
    """
    A job that read objects in *bucket* whose keys begin with *path*, and may have read them *until* then.

    *bucket* is None where an access point or a placeholder hides it: the job may have read any bucket.
    """

    job: str
    bucket: str | None
    path: str
    until: datetime

    def of(self, folder: str) -> bool:
        """Return whether it may have read something in *folder*."""
        return self.path.startswith(folder) or folder.startswith(self.path)


@dataclass(frozen=True, slots=True)
class UnknownInputs:
    """The *number* of jobs of a kind, in *words*, whose inputs are unknown, and *why*."""

    number: int
    words: str
    why: str

    @property
    def note(self) -> str:
        jobs = self.words if self.number == 1 else f"{self.words}s"
        return f"the inputs of {self.number} {jobs} are unknown: {self.why}"


def find_folder_readers(inputs: Sequence[JobInput], folder: str, since: datetime) -> list[str]:
    """Return the jobs that may have read something in *folder* since then, each once."""
    return list(dict.fromkeys(source.job for source in inputs if source.of(folder) and source.until >= since))


def find_reading_job(inputs: Sequence[JobInput], folder: str, now: datetime) -> str | None:
    """Return the job that read something in *folder* within `_LATELY`, in words; None if none did."""
    recent = find_folder_readers(inputs, folder, now - _LATELY)
    if not recent:
        return None
    more = f" and {len(recent) - 1} more" if len(recent) > 1 else ""
    return f"{recent[0]}{more} read it within {_LATELY.days} days"


def monthly_read_share(
    signal: Signal[tuple[CountedReads, ...]], folder: str, size: int, *, whole: bool = False
) -> tuple[Decimal | None, bool]:
    """
    Return the most reads of all of *folder* in a month, and whether they are exact; None if unknown.

    Request metrics belong to one filter, whose prefix *folder* begins with; the longest prefix tells most.
    They are exact for a folder of that prefix, and for one that holds the *whole* bucket.
    """
    found = signal.value if isinstance(signal, Value) else ()
    about = [count for count in found if folder.startswith(count.prefix)]
    if not about:
        return None, False
    best = max(about, key=lambda count: len(count.prefix))
    return Decimal(str(best.monthly)) / max(1, size), whole or best.prefix == folder


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
    series = activity.read_metrics(
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


type MetricPair = tuple[Signal[activity.MetricSeries], Signal[activity.MetricSeries]]


def _counted(found: Mapping[str, MetricPair], now: datetime) -> Signal[tuple[CountedReads, ...]]:
    known: list[CountedReads] = []
    for prefix, (requests, downloaded) in found.items():
        for signal in (requests, downloaded):
            if isinstance(signal, Unreadable):
                return signal
        if isinstance(requests, Value) and (since := now - requests.value.points[0][0]) >= _ENOUGH_DAYS:
            read = downloaded.value.total if isinstance(downloaded, Value) else 0.0
            known.append(CountedReads(prefix, read / since.days * _ENOUGH_DAYS.days, since.days))
    return Value(tuple(known), activity.GET_METRIC_DATA) if known else Absent(activity.GET_METRIC_DATA)


def list_job_inputs(aws: Aws, now: datetime) -> Listing[JobInput | UnknownInputs]:
    """
    Return the inputs in S3 of jobs created within `_READ_WINDOW`: of all training jobs, of the newest others.

    It also returns how many jobs of the other kinds are older, and how many jobs read what a manifest lists:
    the janitor opens no manifest here. Search returns the records of training jobs, 100 to a call. Each of
    the others takes a call.
    """
    begin = now - _READ_WINDOW
    jobs = search_training_jobs(aws, lambda job: _inputs(TRAINING_JOB, job, now), now, since=begin)
    found: list[Listing[JobInput | UnknownInputs]] = [
        Listing((*_places(jobs.items), *_listed_inputs(TRAINING_JOB, jobs.items)), jobs.error)
    ]
    for kind in _DESCRIBED_JOBS:
        listed = list_targets(
            aws, kind, CreationTimeAfter=begin, SortBy="CreationTime", SortOrder="Descending"
        )
        newest = [job.name for job in listed.items[:_MOST_DESCRIBED]]
        answers = aws.map(partial(describe_resource, aws, kind), newest)
        read = [_inputs(kind, answer.value, now) for answer in answers if isinstance(answer, Value)]
        unread = next((answer.error for answer in answers if isinstance(answer, Unreadable)), None)
        unknown = [*_listed_inputs(kind, read)]
        if gone := sum(isinstance(answer, Absent) for answer in answers):
            unknown.append(UnknownInputs(gone, kind.words, "somebody deleted them after the listing"))
        if (older := len(listed.items) - len(newest)) > 0:
            why = f"only the newest {_MOST_DESCRIBED} of {_READ_WINDOW.days} days are described"
            unknown.append(UnknownInputs(older, kind.words, why))
        found.append(Listing((*_places(read), *unknown), listed.error or unread))
    return Listing.joined(
        (source for listing in found for source in listing.items), (listing.error for listing in found)
    )


class _JobInputs(NamedTuple):
    """The *places* that one job read, and whether it *lately* read what a manifest lists."""

    places: tuple[JobInput, ...]
    listed_lately: bool


def _inputs(kind: SageMakerKind, job: Mapping[str, Any], now: datetime) -> _JobInputs:
    name, until = f"{kind.words} {kind.name_of(job)}", _read_until(kind, job, now)
    described = {member: job[member] for member in _INPUT_MEMBERS[kind] if member in job}
    places = tuple(
        JobInput(name, place.bucket, place.path, until) for place in addresses_in([*described.values()])
    )
    lists = any(True for _ in manifests_in(described, runs=True))
    return _JobInputs(places, lists and now - until <= _LATELY)


def _read_until(kind: SageMakerKind, job: Mapping[str, Any], now: datetime) -> datetime:
    """Return the last time at which *job* may have read: its end, or *now* while it runs."""
    if (ended := job.get(_END_MEMBERS[kind])) is not None:
        return ended  # type: ignore[no-any-return]  # a time, by AWS's model
    return job.get(_LAST_CHANGE, now) if job.get(kind.status) in ENDED_STATUSES else now


def _places(jobs: Iterable[_JobInputs]) -> Iterator[JobInput]:
    return (place for job in jobs for place in job.places)


def _listed_inputs(kind: SageMakerKind, jobs: Sequence[_JobInputs]) -> Iterator[UnknownInputs]:
    if number := sum(job.listed_lately for job in jobs):
        yield UnknownInputs(number, kind.words, "they read what a manifest lists, and none is opened")


# --- buckets --------------------------------------------------------------------------------------

BUCKET_KIND = "bucket"
LIST_OBJECT_VERSIONS = "s3:ListObjectVersions"
_LIST_UPLOADS = "s3:ListMultipartUploads"

_RECENT_MEASURES = timedelta(days=4)
"""Time within which CloudWatch has a size of every bucket that has one: it measures once a day."""

_MINIMUM_SIZE_MEMBER = "TransitionDefaultMinimumObjectSize"

ALL_OBJECTS = "/*"
"""The end of the ARN of all objects of a bucket, as in IAM's policies."""

_REFERRING_PATHS = ("model/", "model-package/")
"""The paths of users that need an object although they may not be in use now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TieringBucket(Candidate):
    """
    A bucket with its bytes in STANDARD and its number of objects, by CloudWatch's last measurement.

    The rest is read for buckets with enough bytes. *lifecycle* is the answer of
    GetBucketLifecycleConfiguration, *versioning* absent where no version was ever kept, *uploads* the start
    times of incomplete uploads, and *root* the contents. *counted* is the volume of reads, *inputs* are the
    inputs of jobs, *unknown_inputs* the jobs whose inputs are unknown. *unsearched* says why not all
    references were read, *gaps* why a resource in use may refer to any object. *tagged* are tags by key,
    *proposed* the rules that would be added as of the reading.

    Deletions are judged apart from all else, as a candidate that *deletes*: its target is the objects of
    the bucket, and it belongs to the bucket.
    """

    stored: Signal[float]
    objects: Signal[float]
    lifecycle: Signal[Mapping[str, Any]] = field(default_factory=NotRead)
    lock: Signal[str] = field(default_factory=NotRead)
    versioning: Signal[str] = field(default_factory=NotRead)
    uploads: Signal[tuple[datetime, ...]] = field(default_factory=NotRead)
    root: Signal[FolderContents] = field(default_factory=NotRead)
    counted: Signal[tuple[CountedReads, ...]] = field(default_factory=NotRead)
    inputs: tuple[JobInput, ...] = ()
    unknown_inputs: tuple[UnknownInputs, ...] = ()
    unsearched: str | None = None
    gaps: tuple[str, ...] = ()
    tagged: Mapping[str, Signal[Tags]] = field(default_factory=dict, hash=False)
    proposed: tuple[LifecycleRule, ...] = ()
    rates: RateTable = field(default_factory=dict, hash=False)
    priced: str = ""
    deletes: bool = False

    @property
    def name(self) -> str:
        """The bucket's name."""
        return bucket_of(self.target)

    @property
    def arn(self) -> str:
        """The bucket's ARN."""
        return self.target.arn.removesuffix(ALL_OBJECTS)

    @property
    def deletions(self) -> TieringBucket:
        """The candidate of what would be deleted in it."""
        objects = replace(
            self.target, arn=f"{self.target.arn}{ALL_OBJECTS}", name=f"{self.target.name}{ALL_OBJECTS}"
        )
        return replace(self, target=objects, belongs_to=(self.target,), deletes=True)

    @property
    def rules(self) -> Sequence[Mapping[str, Any]]:
        """Its lifecycle rules; none if it has none, or they were not read."""
        return self.lifecycle.value["Rules"] if isinstance(self.lifecycle, Value) else ()

    @property
    def configuration(self) -> LifecycleConfiguration:
        """The same rules as written."""
        found: Mapping[str, Any] = self.lifecycle.value if isinstance(self.lifecycle, Value) else {}
        return LifecycleConfiguration(found.get(LIFECYCLE_TEXT, b""), found.get(_MINIMUM_SIZE_MEMBER))


def bucket_of(target: Target) -> str:
    """Return the name of the bucket that *target* is, or whose objects it is."""
    return target.name.removesuffix(ALL_OBJECTS)


def list_measured_buckets(aws: Aws, now: datetime, only: str | None = None) -> Listing[TieringBucket]:
    """Return every bucket of the account in its region, or *only* that one, with CloudWatch's facts."""
    listing = s3.list_own_buckets(aws)
    names = {name: created for name, created in listing.items if only in {None, name}}
    sizes = {name: _metric("BucketSizeBytes", name, "StandardStorage") for name in names}
    numbers = {name: _metric("NumberOfObjects", name, "AllStorageTypes") for name in names}
    series = activity.read_metrics(aws, (*sizes.values(), *numbers.values()), now - _RECENT_MEASURES, now)
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


def _last(series: Signal[activity.MetricSeries]) -> Signal[float]:
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
    prices = storage.read_storage_prices(aws)
    priced = prices.cost("STANDARD", 0).source
    jobs = list_job_inputs(aws, now)
    counted = read_counted_reads(aws, [bucket.name for bucket in found], now)
    unread = [*known.errors, *([] if jobs.error is None else [jobs.error])]

    def read_bucket(bucket: TieringBucket) -> TieringBucket:
        name = bucket.name
        return replace(
            bucket,
            lifecycle=_lifecycle(aws, name),
            lock=s3.read_object_lock(aws, name),
            versioning=s3.read_versioning(aws, name),
            uploads=_uploads(aws, name),
            root=read_signal(
                lambda: folder_tree(_versions(aws, name), now, _Users(known, name)),
                source=LIST_OBJECT_VERSIONS,
            ),
            counted=counted[name],
            inputs=tuple(
                job for job in jobs.items if isinstance(job, JobInput) and job.bucket in {None, name}
            ),
            unknown_inputs=tuple(unknown for unknown in jobs.items if isinstance(unknown, UnknownInputs)),
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
