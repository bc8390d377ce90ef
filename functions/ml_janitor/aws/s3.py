"""Reads S3: the account's buckets, and the newest object and the size under a prefix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from ml_janitor.aws.answers import Listing, ReadError, as_signal, read_signal
from ml_janitor.aws.client import Aws
from ml_janitor.aws.tags import tags_of_list
from ml_janitor.core.signals import Absent, Signal, Tags, Unreadable, Value, map_signal

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import ObjectTypeDef

LIST_BUCKETS = "s3:ListBuckets"
LIST_OBJECTS = "s3:ListObjectsV2"
GET_BUCKET_LIFECYCLE = "s3:GetBucketLifecycleConfiguration"
GET_OBJECT_LOCK = "s3:GetObjectLockConfiguration"
GET_OBJECT_TAGGING = "s3:GetObjectTagging"

NO_LIFECYCLE = ("NoSuchLifecycleConfiguration",)
NO_LOCK = ("ObjectLockConfigurationNotFoundError", "ObjectLockConfigurationNotFound")
"""Error codes for a missing configuration."""

BUCKETS_PAGE = 1000
"""Buckets that a page of ListBuckets can have."""

MOST_KEY_PAGES = 200
"""Pages of 1,000 keys under one prefix after which it counts as unreadable."""


def list_own_buckets(aws: Aws) -> Listing[tuple[str, datetime]]:
    """List name and creation date of the account's own buckets in the region."""
    return aws.listing(
        LIST_BUCKETS,
        "Buckets",
        lambda bucket: (bucket["Name"], bucket["CreationDate"]),
        BUCKETS_PAGE,
        BucketRegion=aws.region,
    )


def read_object_lock(aws: Aws, bucket: str) -> Signal[str]:
    """Return the state of Object Lock: "Enabled", or absent where it never was on."""
    read = partial(aws.s3.get_object_lock_configuration, Bucket=bucket)
    lock = read_signal(lambda: read()["ObjectLockConfiguration"], source=GET_OBJECT_LOCK, absent=NO_LOCK)
    return absent_if_empty(map_signal(lock, lambda found: found.get("ObjectLockEnabled")))


def absent_if_empty(signal: Signal[str | None]) -> Signal[str]:
    """Return *signal*, with an empty value or None turned into absence."""
    match signal:
        case Value(str(value), source) if value:
            return Value(value, source)
        case Value(_, source):
            return Absent(source)
        case other:
            return other


@as_signal(GET_OBJECT_TAGGING)
def read_object_tags(aws: Aws, bucket: str, key: str) -> Tags:
    """Return the tags of one object."""
    return tags_of_list(aws.s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"])


@dataclass(frozen=True, slots=True)
class NewestObject:
    """The object written last, and when."""

    uri: str
    modified: datetime


def find_newest_object(
    aws: Aws, folders: Iterable[str], *, fresh: datetime, ignore: Sequence[str] = ()
) -> Signal[NewestObject | None]:
    """
    Return the newest object in *folders* ("s3://bucket/key/"), not counting keys that contain one of
    *ignore*.

    Keys are listed by name, so the newest is known only at the end of a listing; an object written after
    *fresh* ends the search at once. `Value(None)` means a complete listing without objects. One
    unreadable folder makes the answer `Unreadable`, unless another is fresh.
    """
    found: NewestObject | None = None
    unreadable: Unreadable | None = None
    for folder in folders:
        match _newest(aws, folder, fresh, ignore):
            case Value(candidate) if candidate is not None:
                if candidate.modified > fresh:
                    return Value(candidate, LIST_OBJECTS, candidate.modified)
                found = candidate if found is None or candidate.modified > found.modified else found
            case Unreadable(error, source):
                unreadable = Unreadable(f"{folder}: {error}", source)
            case _:
                pass
    return unreadable or Value(found, LIST_OBJECTS, found.modified if found else None)


@as_signal(LIST_OBJECTS)
def _newest(aws: Aws, folder: str, fresh: datetime, ignore: Sequence[str]) -> NewestObject | None:
    bucket, prefix = split_uri(folder)
    found: NewestObject | None = None
    for entry in _entries(aws, bucket, prefix):
        if any(part in entry["Key"] for part in ignore):
            continue
        if found is None or entry["LastModified"] > found.modified:
            found = NewestObject(f"s3://{bucket}/{entry['Key']}", entry["LastModified"])
        if found.modified > fresh:
            return found
    return found


def stored_size(aws: Aws, uri: str) -> Signal[int]:
    """Return the bytes of the object, folder or bucket *uri*; `Absent` if nothing is stored there."""
    match sizes_by_class(aws, uri):
        case Value(sizes):
            return Value(sum(sizes.values()), LIST_OBJECTS) if sizes else Absent(LIST_OBJECTS)
        case unread:
            return unread


@as_signal(LIST_OBJECTS)
def sizes_by_class(aws: Aws, uri: str) -> Mapping[str, int]:
    """Return the bytes under *uri* by storage class."""
    bucket, key = split_uri(uri)
    folder, found = f"{key.rstrip('/')}/" if key else "", dict[str, int]()
    for entry in _entries(aws, bucket, key):
        if entry["Key"] == key or entry["Key"].startswith(folder):
            held = entry.get("StorageClass", "STANDARD")
            found[held] = found.get(held, 0) + entry["Size"]
    return found


@as_signal(LIST_OBJECTS)
def list_etags(aws: Aws, uri: str) -> list[tuple[str, str]]:
    """Return the objects below *uri*: the rest of each key, and its ETag."""
    bucket, key = split_uri(uri)
    return [(entry["Key"].removeprefix(key), entry["ETag"]) for entry in _entries(aws, bucket, key)]


def size_outside(aws: Aws, own: Iterable[str], others: Iterable[str]) -> Signal[int]:
    """Return the bytes of the addresses in *own* that do not overlap with an address of *others*."""
    beside = tuple(others)
    alone = {
        uri for uri in own if not any(other.startswith(uri) or uri.startswith(other) for other in beside)
    }
    sizes = [stored_size(aws, uri) for uri in sorted(alone) if uri.startswith("s3://")]
    unread = next((signal for signal in sizes if isinstance(signal, Unreadable)), None)
    return unread or Value(sum(signal.value for signal in sizes if isinstance(signal, Value)), LIST_OBJECTS)


def _entries(aws: Aws, bucket: str, prefix: str) -> Iterator[ObjectTypeDef]:
    """Yield every object whose key begins with *prefix*. Raises ReadError after too many pages."""
    pages = aws.pages(LIST_OBJECTS, Bucket=bucket, Prefix=prefix)
    for turned, page in enumerate(pages, start=1):
        yield from page["Contents"] if page["KeyCount"] else ()
        if turned == MOST_KEY_PAGES and page["IsTruncated"]:
            raise ReadError(f"ListObjectsV2: more than {MOST_KEY_PAGES} pages, not read to the end")


def split_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key of "s3://bucket/key". Raises ReadError if *uri* is not an s3:// address."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise ReadError(f"{uri!r} is no s3:// address")
    return bucket, key
