"""One object as HeadObject shows it: its bytes' checksums, and its other properties."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ml_janitor.aws.answers import read_signal
from ml_janitor.aws.client import Aws
from ml_janitor.core.signals import Signal
from ml_janitor.detectors.duplicate_artifacts.artifact import StoredObject
from ml_janitor.detectors.duplicate_artifacts.contents import HEAD_OBJECT, ObjectContents, contents_in_head

_HEADERS = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "WebsiteRedirectLocation",
)
_ENCRYPTION_MEMBERS = ("ServerSideEncryption", "SSEKMSKeyId", "BucketKeyEnabled")

OBJECT_NOT_THERE = ("404", "NoSuchKey", "NoSuchVersion", "405", "MethodNotAllowed")
"""HeadObject has no body that names an error; 405 is the answer for a version that is a delete marker."""
CONDITION_FAILED = ("412", "PreconditionFailed")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenObject:
    """
    One version of an object as HeadObject shows it.

    *version* is None where the bucket never kept versions, "null" for an object written without a version.
    *odd* names a property that could not be written again, if any. *restored* is true for an archived object
    with a readable copy for some days.
    """

    stored: StoredObject
    version: str | None
    contents: ObjectContents
    metadata: Mapping[str, str]
    headers: Mapping[str, str]
    expires: str | None
    encryption: Mapping[str, str | bool]
    odd: str | None = None
    restored: bool = False

    @property
    def looks(self) -> tuple[object, ...]:
        """Everything that another object can share with it, besides bytes and tags."""
        headers = (self.metadata, self.headers, self.expires, full_encryption(self.encryption))
        return (self.stored.size, self.stored.storage_class, *headers)


def full_encryption(encryption: Mapping[str, str | bool]) -> dict[str, str | bool]:
    """
    Return *encryption* with all settings that a write has to spell out, so that no bucket default applies.

    HeadObject names no bucket key where there is none. It names no encryption for objects from before S3
    encrypted everything (January 2023); no new object can be without.
    """
    full = {"ServerSideEncryption": "AES256", **encryption}
    return {"BucketKeyEnabled": False, **full} if full["ServerSideEncryption"] == "aws:kms" else full


def read_object(
    aws: Aws, bucket: str, key: str, *, etag: str | None = None, version: str | None = None
) -> Signal[SeenObject]:
    """
    Return the current version of an object, or *version* of it; with *etag*, only an object with that ETag.

    Absent if there is none, or if it has another ETag.
    """
    given: dict[str, str] = {"Bucket": bucket, "Key": key, "ChecksumMode": "ENABLED"}
    given |= {"IfMatch": etag} if etag else {}
    given |= {"VersionId": version} if version else {}

    def read() -> SeenObject:
        answer: Any = aws.s3.head_object(**given)  # type: ignore[arg-type]
        return object_in_head(bucket, key, answer)

    return read_signal(read, source=HEAD_OBJECT, absent=(*OBJECT_NOT_THERE, *CONDITION_FAILED))


def object_in_head(bucket: str, key: str, answer: Mapping[str, Any]) -> SeenObject:
    """Return the object by HeadObject's *answer*. A missing member fails the read."""
    stored = StoredObject(
        bucket=bucket,
        key=key,
        size=answer["ContentLength"],
        etag=answer["ETag"],
        modified=answer["LastModified"],
        storage_class=answer.get("StorageClass", "STANDARD"),
    )
    expires = answer.get("Expires")
    return SeenObject(
        stored=stored,
        version=answer.get("VersionId"),
        contents=contents_in_head(stored, answer),
        metadata=dict(answer["Metadata"]),
        headers={name: answer[name] for name in _HEADERS if name in answer},
        expires=None if expires is None else expires.isoformat(),
        encryption={name: answer[name] for name in _ENCRYPTION_MEMBERS if name in answer},
        odd=_odd(answer),
        restored='ongoing-request="false"' in answer.get("Restore", ""),
    )


def _odd(answer: Mapping[str, Any]) -> str | None:
    """Return a property that nobody could write again, in words that complete "it has ..."; or None."""
    if answer.get("MissingMeta"):
        return "metadata that S3 does not tell"
    if answer.get("ExpiresString") and "Expires" not in answer:
        return "an Expires header that is no date"
    if answer.get("ReplicationStatus"):
        return "a replica in another bucket, where deleting it may be repeated"
    return None
