"""Buckets, and the effects of deleting an object from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ml_janitor.aws import s3, tags
from ml_janitor.aws.answers import Listing, attempt
from ml_janitor.aws.client import Aws
from ml_janitor.aws.s3 import GET_LIFECYCLE, NO_LIFECYCLE, NO_LOCK
from ml_janitor.core.signals import Absent, NotRead, Signal, Tags, Unreadable, Value
from ml_janitor.detectors.duplicate_artifacts import bucket_readers
from ml_janitor.detectors.duplicate_artifacts.artifact import Stored
from ml_janitor.detectors.duplicate_artifacts.bucket_readers import Reader

HEAD_BUCKET = "s3:HeadBucket"
GET_VERSIONING = "s3:GetBucketVersioning"
GET_RETENTION = "s3:GetObjectRetention"
GET_LEGAL_HOLD = "s3:GetObjectLegalHold"

UNLOCKED = ("NoSuchObjectLockConfiguration", "NoSuchObjectLegalHold", *NO_LOCK)
"""The error codes, of S3 and of compatible servers, for an object without a retention or legal hold."""


ENABLED, SUSPENDED = "Enabled", "Suspended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """
    A bucket's rules for deleted objects: versions, locks and lifecycle rules; and its outside readers.

    *versioning* and *lock* are absent where they were never switched on.
    """

    versioning: Signal[str]
    lock: Signal[str]
    lifecycle: Signal[tuple[Mapping[str, Any], ...]]
    tags: Signal[Tags]
    readers: Signal[tuple[Reader, ...]] = field(default_factory=NotRead)


def owned(aws: Aws) -> Listing[str]:
    """Return the account's own buckets in the region: a model may refer to others' buckets, such as AWS's."""
    listing = s3.owned(aws)
    return Listing(tuple(name for name, _ in listing.items), listing.error)


def region_of(aws: Aws, bucket: str) -> Signal[str]:
    """Return the region of *bucket*; a server that does not tell it has one region only."""

    def read() -> str:
        return aws.s3.head_bucket(Bucket=bucket).get("BucketRegion") or aws.region

    return attempt(read, source=HEAD_BUCKET)


def versioning(aws: Aws, bucket: str) -> Signal[str]:
    """Return whether *bucket* keeps versions: "Enabled", "Suspended", or absent where it never did."""

    def read() -> str | None:
        return aws.s3.get_bucket_versioning(Bucket=bucket).get("Status")

    return s3.some(attempt(read, source=GET_VERSIONING))


def habits(aws: Aws, bucket: str) -> Habits:
    """Read the rules of *bucket* for deleted objects, its tags and its readers."""

    def lifecycle() -> tuple[Mapping[str, Any], ...]:
        rules: Any = aws.s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        return tuple(rules)

    return Habits(
        versioning=versioning(aws, bucket),
        lock=s3.object_lock(aws, bucket),
        lifecycle=attempt(lifecycle, source=GET_LIFECYCLE, absent=NO_LIFECYCLE),
        tags=tags.of_bucket(aws, bucket),
        readers=bucket_readers.read(aws, bucket),
    )


def locked(aws: Aws, artifact: Stored, lock: Signal[str]) -> Signal[str]:
    """
    Return the retention or legal hold that forbids to delete *artifact*, in words.

    Both have calls of their own: HeadObject leaves them out for callers that may not
    read them, which looks as if there were none.
    """
    if not isinstance(lock, Value):
        return lock

    def retention() -> str:
        found = aws.s3.get_object_retention(Bucket=artifact.bucket, Key=artifact.key)["Retention"]
        return f"retained until {found['RetainUntilDate']:%Y-%m-%d} ({found['Mode'].lower()})"

    def hold() -> str | None:
        status = aws.s3.get_object_legal_hold(Bucket=artifact.bucket, Key=artifact.key)["LegalHold"]["Status"]
        return "under a legal hold" if status == "ON" else None

    kept = attempt(retention, source=GET_RETENTION, absent=UNLOCKED)
    held = s3.some(attempt(hold, source=GET_LEGAL_HOLD, absent=UNLOCKED))
    return held if isinstance(kept, Absent) or isinstance(held, Value) else kept


def freed(found: Habits, artifact: Stored, version: str | None, tagged: Tags) -> str:
    """Return when deleting *artifact* really frees its bytes, in words."""
    match found.versioning:
        case Absent():
            return "deleting it frees its bytes at once"
        case Value(status) if status == SUSPENDED and version in {None, "null"}:
            return "versioning is suspended and it has no version of its own: its bytes are freed at once"
        case Value():
            return _by_lifecycle(found.lifecycle, artifact, tagged)
        case other:
            why = other.error if isinstance(other, Unreadable) else "not read"
            return f"whether deleting it frees its bytes is unknown, since its versioning is ({why})"


def _by_lifecycle(lifecycle: Signal[tuple[Mapping[str, Any], ...]], artifact: Stored, tagged: Tags) -> str:
    versioned = "the bucket keeps versions, so deleting it only hides it"
    if isinstance(lifecycle, Unreadable):
        return f"{versioned}; whether a lifecycle rule frees its bytes is unknown ({lifecycle.error})"
    rules = lifecycle.value if isinstance(lifecycle, Value) else ()
    ends = [
        (rule["NoncurrentVersionExpiration"]["NoncurrentDays"], rule.get("ID", "without a name"))
        for rule in rules
        if rule["Status"] == ENABLED and expires_versions(rule) and applies(rule, artifact, tagged)
    ]
    if not ends:
        return f"{versioned}; its bytes are never freed, as no lifecycle rule expires old versions"
    days, name = min(ends)
    return f"{versioned}; its bytes are freed {days} days later, by lifecycle rule {name}"


def expires_versions(rule: Mapping[str, Any]) -> bool:
    """
    Return whether *rule* deletes every old version some day; a rule that
    retains a number of them may not.
    """
    expiry = rule.get("NoncurrentVersionExpiration", {})
    return "NoncurrentDays" in expiry and not expiry.get("NewerNoncurrentVersions")


def applies(rule: Mapping[str, Any], artifact: Stored, tagged: Tags) -> bool:
    """
    Return whether *rule* covers *artifact*: its filter is a prefix, tags
    and sizes, all of which must fit.
    """
    given = rule.get("Filter", {})
    wanted = given.get("And", given)
    prefix = wanted.get("Prefix", rule.get("Prefix", ""))
    labels = [*wanted.get("Tags", ()), *([wanted["Tag"]] if "Tag" in wanted else [])]
    larger = artifact.size > wanted.get("ObjectSizeGreaterThan", -1)
    smaller = "ObjectSizeLessThan" not in wanted or artifact.size < wanted["ObjectSizeLessThan"]
    tags_fit = all(tagged.get(label["Key"]) == label["Value"] for label in labels)
    return artifact.key.startswith(prefix) and larger and smaller and tags_fit
