"""One object as HeadObject shows it: its bytes' checksums, and all that it is besides them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ml_janitor.aws.answers import attempt
from ml_janitor.aws.client import Aws
from ml_janitor.core.signals import Signal
from ml_janitor.detectors.duplicate_artifacts.artifact import Stored
from ml_janitor.detectors.duplicate_artifacts.contents import HEAD_OBJECT, Contents, contents

HEADERS = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "WebsiteRedirectLocation",
)
ENCRYPTION = ("ServerSideEncryption", "SSEKMSKeyId", "BucketKeyEnabled")

NOT_THERE = ("404", "NoSuchKey", "NoSuchVersion", "405", "MethodNotAllowed")
"""HeadObject has no body to name an error in; 405 is the answer about a version that is a delete marker."""
ANOTHER = ("412", "PreconditionFailed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """
    One version of an object as HeadObject shows it.

    *version* is None where the bucket never kept versions, "null" for what was written without one.
    *odd* says what of it could not be written again, if anything. *restored* is an archived one of which
    there is a copy to read for some days.
    """

    stored: Stored
    version: str | None
    contents: Contents
    metadata: Mapping[str, str]
    headers: Mapping[str, str]
    expires: str | None
    encryption: Mapping[str, str | bool]
    odd: str | None = None
    restored: bool = False

    @property
    def looks(self) -> tuple[object, ...]:
        """All that another object can have in common with it, besides bytes and tags."""
        headers = (self.metadata, self.headers, self.expires, spelled_out(self.encryption))
        return (self.stored.size, self.stored.storage_class, *headers)


def spelled_out(encryption: Mapping[str, str | bool]) -> dict[str, str | bool]:
    """
    *encryption* with all that has to be said where an object is written, or its bucket's defaults count.

    HeadObject names no bucket key where there is none, and no encryption of what was written before S3
    encrypted everything (January 2023), which nothing can be written without any more.
    """
    full = {"ServerSideEncryption": "AES256", **encryption}
    return {"BucketKeyEnabled": False, **full} if full["ServerSideEncryption"] == "aws:kms" else full


def see(
    aws: Aws, bucket: str, key: str, *, etag: str | None = None, version: str | None = None
) -> Signal[Seen]:
    """
    The current version of an object, or *version* of it; with *etag*, that one only.

    Absent if there is none, or if it has another ETag.
    """
    given: dict[str, str] = {"Bucket": bucket, "Key": key, "ChecksumMode": "ENABLED"}
    given |= {"IfMatch": etag} if etag else {}
    given |= {"VersionId": version} if version else {}

    def read() -> Seen:
        answer: Any = aws.s3.head_object(**given)  # type: ignore[arg-type]
        return seen_in(bucket, key, answer)

    return attempt(read, source=HEAD_OBJECT, absent=(*NOT_THERE, *ANOTHER))


def seen_in(bucket: str, key: str, answer: Mapping[str, Any]) -> Seen:
    """What HeadObject's *answer* shows. A missing member fails the read."""
    one = Stored(
        bucket=bucket,
        key=key,
        size=answer["ContentLength"],
        etag=answer["ETag"],
        modified=answer["LastModified"],
        storage_class=answer.get("StorageClass", "STANDARD"),
    )
    expires = answer.get("Expires")
    return Seen(
        stored=one,
        version=answer.get("VersionId"),
        contents=contents(one, answer),
        metadata=dict(answer["Metadata"]),
        headers={name: answer[name] for name in HEADERS if name in answer},
        expires=None if expires is None else expires.isoformat(),
        encryption={name: answer[name] for name in ENCRYPTION if name in answer},
        odd=_odd(answer),
        restored='ongoing-request="false"' in answer.get("Restore", ""),
    )


def _odd(answer: Mapping[str, Any]) -> str | None:
    """What of an object nobody could write again, in words that complete "it has ..."."""
    if answer.get("MissingMeta"):
        return "metadata that S3 does not tell"
    if answer.get("ExpiresString") and "Expires" not in answer:
        return "an Expires header that is no date"
    if answer.get("ReplicationStatus"):
        return "a replica in another bucket, where deleting it may be repeated"
    return None
