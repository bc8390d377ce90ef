"""Writing an object again from another one in S3, by copies that never leave it, however large it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws
    from ml_janitor.detectors.duplicate_artifacts.object_records import Place, Record

ATOMIC = 5 * 1000**3
"""Bytes that one CopyObject may copy: "up to 5 GB", in its reference."""

PART = 256 * 1024**2
"""Bytes of a part, unless there would be too many of them."""

MOST_PARTS = 10_000

AS_RECORDED: Any = {
    "MetadataDirective": "REPLACE",
    "TaggingDirective": "REPLACE",
    "AnnotationDirective": "EXCLUDE",
}
"""Nothing but its bytes is taken from the source, which may be another object with properties of its own."""


def write_again(aws: Aws, record: Record, source: Place) -> None:
    """
    Write the object of *record* with the bytes of *source*, if nothing is in its place now.

    A delete marker is nothing. S3 itself refuses where there is something (If-None-Match), with 412;
    it also refuses if *source* is no longer the version meant.
    """
    if record.size <= ATOMIC:
        aws.s3.copy_object(
            **record.writing(),
            **_of(source),
            **AS_RECORDED,
            IfNoneMatch="*",
        )
    else:
        _in_parts(aws, record, source)


def _in_parts(aws: Aws, record: Record, source: Place) -> None:
    where: Any = {"Bucket": record.place.bucket, "Key": record.place.key}
    where["UploadId"] = aws.s3.create_multipart_upload(**record.writing())["UploadId"]

    def part(number: int, first: int, last: int) -> Any:
        answer = aws.s3.upload_part_copy(
            **where, **_of(source), PartNumber=number, CopySourceRange=f"bytes={first}-{last}"
        )
        return {"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]}

    try:
        parts = aws.map(lambda at: part(*at), ranges(record.size))
        aws.s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts}, IfNoneMatch="*")
    except Exception:  # parts of an upload that nobody completes are billed until somebody ends it
        aws.s3.abort_multipart_upload(**where)
        raise


def ranges(size: int) -> list[tuple[int, int, int]]:
    """Number, first and last byte of every part of an object of *size* bytes."""
    step = max(PART, -(-size // MOST_PARTS))
    starts = range(0, size, step)
    return [(number, first, min(size, first + step) - 1) for number, first in enumerate(starts, 1)]


def _of(source: Place) -> dict[str, Any]:
    where = {"Bucket": source.bucket, "Key": source.key}
    where |= {"VersionId": source.version} if source.version else {}
    return {"CopySource": where, "CopySourceIfMatch": source.etag}
