"""S3: the account's buckets, and objects under a prefix: when one was last written, how large they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from ml_janitor.aws.answers import Listing, ReadError, attempt, attempted
from ml_janitor.aws.client import Aws
from ml_janitor.aws.tags import of_list
from ml_janitor.core.signals import Absent, Signal, Tags, Unreadable, Value, given

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import ObjectTypeDef

LIST_BUCKETS = "s3:ListBuckets"
LIST_OBJECTS = "s3:ListObjectsV2"
GET_LIFECYCLE = "s3:GetBucketLifecycleConfiguration"
GET_LOCK = "s3:GetObjectLockConfiguration"
GET_OBJECT_TAGGING = "s3:GetObjectTagging"

NO_LIFECYCLE = ("NoSuchLifecycleConfiguration",)
NO_LOCK = ("ObjectLockConfigurationNotFoundError", "ObjectLockConfigurationNotFound")
"""What is answered where there is none."""

LARGEST_PAGE = 1000
"""Buckets that a page of ListBuckets can have."""

PAGES = 200
"""How many pages of 1,000 keys are read under one prefix before it counts as unreadable."""


def owned(aws: Aws) -> Listing[tuple[str, datetime]]:
    """Name and creation date of the account's own buckets in the region."""
    return aws.listing(
        LIST_BUCKETS,
        "Buckets",
        lambda one: (one["Name"], one["CreationDate"]),
        LARGEST_PAGE,
        BucketRegion=aws.region,
    )


def object_lock(aws: Aws, bucket: str) -> Signal[str]:
    """Whether Object Lock is on: "Enabled", or absent where it never was."""
    read = partial(aws.s3.get_object_lock_configuration, Bucket=bucket)
    lock = attempt(lambda: read()["ObjectLockConfiguration"], source=GET_LOCK, absent=NO_LOCK)
    return some(given(lock, lambda found: found.get("ObjectLockEnabled")))


def some(signal: Signal[str | None]) -> Signal[str]:
    """*signal*, with a value that is none, or empty, as the absence that it is."""
    match signal:
        case Value(str(value), source) if value:
            return Value(value, source)
        case Value(_, source):
            return Absent(source)
        case other:
            return other


@attempted(GET_OBJECT_TAGGING)
def object_tags(aws: Aws, bucket: str, key: str) -> Tags:
    """The tags of one object."""
    return of_list(aws.s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"])


@dataclass(frozen=True, slots=True)
class Newest:
    """The object written last, and when."""

    uri: str
    modified: datetime


def newest(
    aws: Aws, folders: Iterable[str], *, fresh: datetime, ignore: Sequence[str] = ()
) -> Signal[Newest | None]:
    """
    The newest object in *folders* ("s3://bucket/key/"), not counting keys that contain one of *ignore*.

    Keys are listed by name, so the newest is known only at the end of a listing; an object written
    after *fresh* ends the search at once. `Value(None)` says that all was listed and nothing is
    there. One folder that cannot be read makes the answer `Unreadable`, unless another is fresh.
    """
    found: Newest | None = None
    unreadable: Unreadable | None = None
    for folder in folders:
        match _newest(aws, folder, fresh, ignore):
            case Value(one) if one is not None:
                if one.modified > fresh:
                    return Value(one, LIST_OBJECTS, one.modified)
                found = one if found is None or one.modified > found.modified else found
            case Unreadable(error, source):
                unreadable = Unreadable(f"{folder}: {error}", source)
            case _:
                pass
    return unreadable or Value(found, LIST_OBJECTS, found.modified if found else None)


@attempted(LIST_OBJECTS)
def _newest(aws: Aws, folder: str, fresh: datetime, ignore: Sequence[str]) -> Newest | None:
    bucket, prefix = location(folder)
    found: Newest | None = None
    for entry in _entries(aws, bucket, prefix):
        if any(part in entry["Key"] for part in ignore):
            continue
        if found is None or entry["LastModified"] > found.modified:
            found = Newest(f"s3://{bucket}/{entry['Key']}", entry["LastModified"])
        if found.modified > fresh:
            return found
    return found


def size(aws: Aws, uri: str) -> Signal[int]:
    """The bytes of the object, folder or bucket that *uri* names; `Absent` if nothing is stored there."""
    match bytes_by_class(aws, uri):
        case Value(sizes):
            return Value(sum(sizes.values()), LIST_OBJECTS) if sizes else Absent(LIST_OBJECTS)
        case unread:
            return unread


@attempted(LIST_OBJECTS)
def bytes_by_class(aws: Aws, uri: str) -> Mapping[str, int]:
    """The same by storage class."""
    bucket, key = location(uri)
    folder, found = f"{key.rstrip('/')}/" if key else "", dict[str, int]()
    for entry in _entries(aws, bucket, key):
        if entry["Key"] == key or entry["Key"].startswith(folder):
            held = entry.get("StorageClass", "STANDARD")
            found[held] = found.get(held, 0) + entry["Size"]
    return found


@attempted(LIST_OBJECTS)
def etags(aws: Aws, uri: str) -> list[tuple[str, str]]:
    """What is stored below *uri*: the rest of each key, and its ETag."""
    bucket, key = location(uri)
    return [(entry["Key"].removeprefix(key), entry["ETag"]) for entry in _entries(aws, bucket, key)]


def size_beside(aws: Aws, own: Iterable[str], others: Iterable[str]) -> Signal[int]:
    """The bytes of those addresses in *own* of which no address of *others* is a part, nor they of one."""
    beside = tuple(others)
    alone = {uri for uri in own if not any(one.startswith(uri) or uri.startswith(one) for one in beside)}
    sizes = [size(aws, uri) for uri in sorted(alone) if uri.startswith("s3://")]
    unread = next((one for one in sizes if isinstance(one, Unreadable)), None)
    return unread or Value(sum(one.value for one in sizes if isinstance(one, Value)), LIST_OBJECTS)


def _entries(aws: Aws, bucket: str, prefix: str) -> Iterator[ObjectTypeDef]:
    """Every object whose key begins with *prefix*. Raises ReadError after too many pages."""
    pages = aws.pages(LIST_OBJECTS, Bucket=bucket, Prefix=prefix)
    for turned, page in enumerate(pages, start=1):
        yield from page["Contents"] if page["KeyCount"] else ()
        if turned == PAGES and page["IsTruncated"]:
            raise ReadError(f"ListObjectsV2: more than {PAGES} pages, not read to the end")


def location(uri: str) -> tuple[str, str]:
    """Bucket and key of "s3://bucket/key". Raises ReadError if *uri* is something else."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise ReadError(f"{uri!r} is no s3:// address")
    return bucket, key
