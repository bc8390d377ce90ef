"""S3 objects under a prefix: when something was last written there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from ml_janitor.aws.answers import ReadError, attempt
from ml_janitor.core.model import Signal, Unreadable, Value

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws

LIST_OBJECTS = "s3:ListObjectsV2"

PAGES = 200
"""How many pages of 1,000 keys are read under one prefix before it counts as unreadable."""


@dataclass(frozen=True, slots=True)
class Newest:
    """The object written last, and when."""

    uri: str
    modified: datetime


def newest(
    aws: Aws, folders: Iterable[str], *, fresh: datetime, ignore: str | None = None
) -> Signal[Newest | None]:
    """
    The newest object in *folders* ("s3://bucket/key/"), not counting keys that contain *ignore*.

    Keys are listed by name, so the newest is known only at the end of a listing; an object written
    after *fresh* ends the search at once. `Value(None)` says that all was listed and nothing is
    there. One folder that cannot be read makes the answer `Unreadable`, unless another is fresh.
    """
    found: Newest | None = None
    unreadable: Unreadable | None = None
    for folder in folders:
        match attempt(partial(_newest, aws, folder, fresh, ignore), source=LIST_OBJECTS):
            case Value(one) if one is not None:
                if one.modified > fresh:
                    return Value(one, LIST_OBJECTS, one.modified)
                found = one if found is None or one.modified > found.modified else found
            case Unreadable(error, source):
                unreadable = Unreadable(f"{folder}: {error}", source)
            case _:
                pass
    return unreadable or Value(found, LIST_OBJECTS, found.modified if found else None)


def _newest(aws: Aws, folder: str, fresh: datetime, ignore: str | None) -> Newest | None:
    bucket, prefix = location(folder)
    found: Newest | None = None
    pages = aws.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    for turned, page in enumerate(pages, start=1):
        for entry in page["Contents"] if page["KeyCount"] else []:
            if ignore is not None and ignore in entry["Key"]:
                continue
            if found is None or entry["LastModified"] > found.modified:
                found = Newest(f"s3://{bucket}/{entry['Key']}", entry["LastModified"])
            if found.modified > fresh:
                return found
        if turned == PAGES and page["IsTruncated"]:
            raise ReadError(f"ListObjectsV2: more than {PAGES} pages, not read to the end")
    return found


def location(uri: str) -> tuple[str, str]:
    """Bucket and key of "s3://bucket/key". Raises ReadError if *uri* is something else."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise ReadError(f"{uri!r} is no s3:// address")
    return bucket, key
