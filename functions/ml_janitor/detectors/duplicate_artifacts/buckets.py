"""Buckets, and the effects of deleting an object from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ml_janitor.aws import s3, tags
from ml_janitor.aws.answers import Listing, read_signal
from ml_janitor.aws.client import Aws
from ml_janitor.aws.s3 import GET_BUCKET_LIFECYCLE, NO_LIFECYCLE, NO_LOCK
from ml_janitor.core.signals import Absent, NotRead, Signal, Tags, Unreadable, Value
from ml_janitor.detectors.duplicate_artifacts import bucket_readers
from ml_janitor.detectors.duplicate_artifacts.artifact import StoredObject
from ml_janitor.detectors.duplicate_artifacts.bucket_readers import PolicyReader

_HEAD_BUCKET = "s3:HeadBucket"
_GET_VERSIONING = "s3:GetBucketVersioning"
_GET_RETENTION = "s3:GetObjectRetention"
_GET_LEGAL_HOLD = "s3:GetObjectLegalHold"

_UNLOCKED_CODES = ("NoSuchObjectLockConfiguration", "NoSuchObjectLegalHold", *NO_LOCK)
"""The error codes, of S3 and of compatible servers, for an object without a retention or legal hold."""


VERSIONING_ENABLED, VERSIONING_SUSPENDED = "Enabled", "Suspended"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionRules:
    """
    A bucket's rules for deleted objects: versions, locks and lifecycle rules; and its outside readers.

    *versioning* and *lock* are absent where they were never switched on.
    """

    versioning: Signal[str]
    lock: Signal[str]
    lifecycle: Signal[tuple[Mapping[str, Any], ...]]
    tags: Signal[Tags]
    readers: Signal[tuple[PolicyReader, ...]] = field(default_factory=NotRead)


def own_bucket_names(aws: Aws) -> Listing[str]:
    """Return the account's own buckets in the region: a model may refer to others' buckets, such as AWS's."""
    listing = s3.list_own_buckets(aws)
    return Listing(tuple(name for name, _ in listing.items), listing.error)


def read_bucket_region(aws: Aws, bucket: str) -> Signal[str]:
    """Return the region of *bucket*; a server that does not tell it has one region only."""

    def read() -> str:
        return aws.s3.head_bucket(Bucket=bucket).get("BucketRegion") or aws.region

    return read_signal(read, source=_HEAD_BUCKET)


def read_versioning(aws: Aws, bucket: str) -> Signal[str]:
    """Return whether *bucket* keeps versions: "Enabled", "Suspended", or absent where it never did."""

    def read() -> str | None:
        return aws.s3.get_bucket_versioning(Bucket=bucket).get("Status")

    return s3.absent_if_empty(read_signal(read, source=_GET_VERSIONING))


def read_deletion_rules(aws: Aws, bucket: str) -> DeletionRules:
    """Read the rules of *bucket* for deleted objects, its tags and its readers."""

    def lifecycle() -> tuple[Mapping[str, Any], ...]:
        rules: Any = aws.s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        return tuple(rules)

    return DeletionRules(
        versioning=read_versioning(aws, bucket),
        lock=s3.read_object_lock(aws, bucket),
        lifecycle=read_signal(lifecycle, source=GET_BUCKET_LIFECYCLE, absent=NO_LIFECYCLE),
        tags=tags.read_bucket_tags(aws, bucket),
        readers=bucket_readers.read_bucket_readers(aws, bucket),
    )


def read_lock(aws: Aws, artifact: StoredObject, lock: Signal[str]) -> Signal[str]:
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

    kept = read_signal(retention, source=_GET_RETENTION, absent=_UNLOCKED_CODES)
    held = s3.absent_if_empty(read_signal(hold, source=_GET_LEGAL_HOLD, absent=_UNLOCKED_CODES))
    return held if isinstance(kept, Absent) or isinstance(held, Value) else kept


def when_freed(found: DeletionRules, artifact: StoredObject, version: str | None, tagged: Tags) -> str:
    """Return when deleting *artifact* really frees its bytes, in words."""
    match found.versioning:
        case Absent():
            return "deleting it frees its bytes at once"
        case Value(status) if status == VERSIONING_SUSPENDED and version in {None, "null"}:
            return "versioning is suspended and it has no version of its own: its bytes are freed at once"
        case Value():
            return _by_lifecycle(found.lifecycle, artifact, tagged)
        case other:
            why = other.error if isinstance(other, Unreadable) else "not read"
            return f"whether deleting it frees its bytes is unknown, since its versioning is ({why})"


def _by_lifecycle(
    lifecycle: Signal[tuple[Mapping[str, Any], ...]], artifact: StoredObject, tagged: Tags
) -> str:
    versioned = "the bucket keeps versions, so deleting it only hides it"
    if isinstance(lifecycle, Unreadable):
        return f"{versioned}; whether a lifecycle rule frees its bytes is unknown ({lifecycle.error})"
    rules = lifecycle.value if isinstance(lifecycle, Value) else ()
    ends = [
        (rule["NoncurrentVersionExpiration"]["NoncurrentDays"], rule.get("ID", "without a name"))
        for rule in rules
        if rule["Status"] == VERSIONING_ENABLED
        and expires_old_versions(rule)
        and rule_applies(rule, artifact, tagged)
    ]
    if not ends:
        return f"{versioned}; its bytes are never freed, as no lifecycle rule expires old versions"
    days, name = min(ends)
    return f"{versioned}; its bytes are freed {days} days later, by lifecycle rule {name}"


def expires_old_versions(rule: Mapping[str, Any]) -> bool:
    """
    Return whether *rule* deletes every old version some day; a rule that
    retains a number of them may not.
    """
    expiry = rule.get("NoncurrentVersionExpiration", {})
    return "NoncurrentDays" in expiry and not expiry.get("NewerNoncurrentVersions")


def rule_applies(rule: Mapping[str, Any], artifact: StoredObject, tagged: Tags) -> bool:
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
