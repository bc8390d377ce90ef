"""Brings a deleted copy back, by a copy within S3: from its own version under the marker, or its keeper."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ml_janitor.aws.calls import is_refusal, required_value
from ml_janitor.aws.client import Aws
from ml_janitor.detectors.duplicate_artifacts.act import CopyRecord, ObjectVersion
from ml_janitor.detectors.duplicate_artifacts.contents import (
    CONDITION_FAILED,
    SeenObject,
    read_object,
    same_bytes,
)
from ml_janitor.detectors.duplicate_artifacts.copies import ARCHIVE_CLASSES
from ml_janitor.engine.detector import CannotActError, Steps

if TYPE_CHECKING:
    from collections.abc import Iterator

COPY_LIMIT_BYTES = 5 * 1000**3
"""Bytes that one CopyObject may copy: "up to 5 GB", in its reference."""

COPY_PART_BYTES = 256 * 1024**2
"""Bytes of a part, unless there would be too many parts."""

MOST_COPY_PARTS = 10_000

_AS_RECORDED: Any = {
    "MetadataDirective": "REPLACE",
    "TaggingDirective": "REPLACE",
    "AnnotationDirective": "EXCLUDE",
}
"""
Directives that take only the bytes from the source, which may be another
object with properties of its own.
"""


def revert(aws: Aws, record: CopyRecord, steps: Steps) -> None:
    """
    Write the copy of *record* again, if nothing has been written since.

    The undo covers a delete marker instead of removing it: removing takes the permission to delete versions
    for good. Raises CannotActError if another object is there, or the bytes are nowhere any more.
    """
    if not _there(aws, record):
        source = _source(aws, record)
        steps.do("write again", lambda: _write(aws, record, source))


def _there(aws: Aws, record: CopyRecord) -> bool:
    """
    Return whether it is back already, or was never gone. Raises
    CannotActError if another object is there.
    """
    place = record.place
    now = required_value(read_object(aws, place.bucket, place.key))
    if now is None:
        return False
    if record.is_(now):
        return True
    if now.looks == record.looks and _same_bytes(aws, record, now):
        return True
    raise CannotActError(f"somebody has written another object to {place.uri}, which stays")


def _same_bytes(aws: Aws, record: CopyRecord, now: SeenObject) -> bool:
    """Return whether *now* has the bytes of the copy of *record*: an undo that lost its answer wrote it."""
    return any(same_bytes(aws, now, other) for _, other in _sources(aws, record) if _archive(other) is None)


def _write(aws: Aws, record: CopyRecord, source: ObjectVersion) -> None:
    try:
        write_copy_again(aws, record, source)
    except Exception as error:  # all but a refusal by its conditions is raised again
        if not is_refusal(error, CONDITION_FAILED):
            raise
        if not _there(aws, record):
            raise CannotActError(
                f"{source.uri}, which has its bytes, was changed in the last moment"
            ) from error


def _source(aws: Aws, record: CopyRecord) -> ObjectVersion:
    """Return a version that has its bytes. Raises CannotActError if there is none."""
    archives = []
    for place, seen in _sources(aws, record):
        if (archive := _archive(seen)) is None:
            return place
        version = f" (version {place.version})" if place.version else ""
        archives.append(f"its bytes are archived ({archive}) in {place.uri}{version}")
    if archives:
        raise CannotActError(f"{archives[-1]}: restore that object first, and ask again")
    keeper = record.keeper.uri
    gone = "neither its version nor" if record.versioned else "no longer"
    raise CannotActError(f"its bytes are gone: {gone} {keeper}, which it was a copy of, is as it was")


def _sources(aws: Aws, record: CopyRecord) -> Iterator[tuple[ObjectVersion, SeenObject]]:
    """
    Yield the versions that have its bytes: its own first, then its keeper's.

    A lifecycle rule may have expired its own version, or archived either.
    """
    for place in (record.place, record.keeper) if record.versioned else (record.keeper,):
        version = (place.version or "null") if record.versioned else None
        seen = required_value(read_object(aws, place.bucket, place.key, etag=place.etag, version=version))
        if seen is not None:
            yield replace(place, version=version), seen


def _archive(seen: SeenObject) -> str | None:
    """Return the archive class or tier in which *seen* cannot be read, or None."""
    stored = seen.stored.storage_class
    return stored if stored in ARCHIVE_CLASSES and not seen.restored else seen.contents.archived


def write_copy_again(aws: Aws, record: CopyRecord, source: ObjectVersion) -> None:
    """
    Write the object of *record* with the bytes of *source*, if nothing is in its place now.

    A delete marker counts as nothing. S3 itself refuses with 412 if an object is there (If-None-Match), and
    also if *source* is no longer the expected version.
    """
    if record.size <= COPY_LIMIT_BYTES:
        aws.s3.copy_object(
            **record.writing(),
            **_of(source),
            **_AS_RECORDED,
            IfNoneMatch="*",
        )
    else:
        _in_parts(aws, record, source)


def _in_parts(aws: Aws, record: CopyRecord, source: ObjectVersion) -> None:
    where: Any = {"Bucket": record.place.bucket, "Key": record.place.key}
    where["UploadId"] = aws.s3.create_multipart_upload(**record.writing())["UploadId"]

    def part(number: int, first: int, last: int) -> Any:
        answer = aws.s3.upload_part_copy(
            **where, **_of(source), PartNumber=number, CopySourceRange=f"bytes={first}-{last}"
        )
        return {"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]}

    try:
        parts = aws.map(lambda at: part(*at), part_ranges(record.size))
        aws.s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts}, IfNoneMatch="*")
    except Exception:  # parts of an upload that nobody completes are billed until somebody ends it
        aws.s3.abort_multipart_upload(**where)
        raise


def part_ranges(size: int) -> list[tuple[int, int, int]]:
    """Return number, first and last byte of every part of an object of *size* bytes."""
    step = max(COPY_PART_BYTES, -(-size // MOST_COPY_PARTS))
    starts = range(0, size, step)
    return [(number, first, min(size, first + step) - 1) for number, first in enumerate(starts, 1)]


def _of(source: ObjectVersion) -> dict[str, Any]:
    where = {"Bucket": source.bucket, "Key": source.key}
    where |= {"VersionId": source.version} if source.version else {}
    return {"CopySource": where, "CopySourceIfMatch": source.etag}
