"""A bucket's outside readers, and its rules for deleted objects: versions, locks and lifecycle rules."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ml_janitor.aws import s3, tags
from ml_janitor.aws.calls import Listing, ReadError, read_signal
from ml_janitor.aws.client import Aws
from ml_janitor.aws.s3 import GET_BUCKET_LIFECYCLE, NO_LIFECYCLE, NO_LOCK
from ml_janitor.aws.tags import Arn
from ml_janitor.core.model import Absent, NotRead, Signal, Tags, Unreadable, Value
from ml_janitor.core.text import count_noun
from ml_janitor.detectors.duplicate_artifacts.artifacts import StoredObject

# --- outside readers ------------------------------------------------------------------------------

_GET_BUCKET_POLICY = "s3:GetBucketPolicy"

_NO_POLICY = ("NoSuchBucketPolicy",)

_READING_ACTIONS = ("s3:getobject", "s3:getobjectversion")
"""The permissions that read an object, in small letters."""

_EVERYBODY = "everybody"
_ACCOUNT_ID = re.compile(r"\d{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyReader:
    """A reader *who*, in words, and *what* it may read: ARNs with the wildcards of IAM."""

    who: str
    what: tuple[str, ...]

    def reads(self, arn: str) -> bool:
        """Return whether the object *arn* is among it."""
        return any(matches_wildcards(pattern, arn) for pattern in self.what)


def read_bucket_readers(aws: Aws, bucket: str) -> Signal[tuple[PolicyReader, ...]]:
    """Return the outside readers that the policy of *bucket* allows; absent without a policy."""

    def ask() -> tuple[PolicyReader, ...]:
        text = aws.s3.get_bucket_policy(Bucket=bucket)["Policy"]
        try:
            return readers_in_policy(json.loads(text), aws.account)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ReadError("its policy is not one") from error

    return read_signal(ask, source=_GET_BUCKET_POLICY, absent=_NO_POLICY)


def readers_in_policy(policy: dict[str, Any], account: str) -> tuple[PolicyReader, ...]:
    """
    Return the readers from outside *account* that *policy* allows.

    Conditions and Deny statements do not count: they can only reduce the
    readers, and in doubt somebody reads.
    """
    found = []
    for statement in policy_values(policy["Statement"]):
        if statement["Effect"] == "Allow" and _to_read(statement):
            what = () if "NotResource" in statement else tuple(policy_values(statement["Resource"]))
            patterns = tuple("*" if "${" in pattern else pattern for pattern in what) or ("*",)
            found += [PolicyReader(who=who, what=patterns) for who in _others(statement, account)]
    return tuple(found)


def why_maybe_read(signal: Signal[tuple[PolicyReader, ...]], arn: str) -> str | None:
    """Return why somebody outside may use the object *arn*, or None."""
    match signal:
        case Value(found):
            who = list(dict.fromkeys(reader.who for reader in found if reader.reads(arn)))
            if not who:
                return None
            return f"the bucket's policy lets {' and '.join(who)} read it, which may use this copy"
        case Absent():
            return None
        case Unreadable(error):
            return f"whom its bucket's policy lets read it is unknown ({error})"
        case _:
            return "whom its bucket's policy lets read it was not read"


def matches_wildcards(pattern: str, text: str) -> bool:
    """Return whether *text* matches *pattern*, in which * is any text and ? any character."""
    parts = (".*" if sign == "*" else "." if sign == "?" else re.escape(sign) for sign in pattern)
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


def policy_values(one_or_more: Any) -> Sequence[Any]:
    """Return the elements of a policy's value, a list or a single element."""
    return one_or_more if isinstance(one_or_more, list) else [one_or_more]


def _to_read(statement: dict[str, Any]) -> bool:
    if "NotAction" in statement:
        return True
    actions = [action.lower() for action in policy_values(statement["Action"])]
    return any(matches_wildcards(action, reading) for action in actions for reading in _READING_ACTIONS)


def _others(statement: dict[str, Any], account: str) -> Iterator[str]:
    """Yield the principals of *statement* from outside *account*, in words."""
    if "NotPrincipal" in statement:
        yield _EVERYBODY
        return
    principal = statement["Principal"]
    named = {"AWS": "*"} if principal == "*" else principal
    for kind, given in named.items():
        for principal_id in policy_values(given):
            if principal_id == "*":
                yield _EVERYBODY
            elif kind == "AWS":
                whose = (
                    principal_id
                    if _ACCOUNT_ID.fullmatch(principal_id)
                    else Arn.parse(principal_id).account
                    if ":" in principal_id
                    else ""
                )
                if whose != account:
                    yield f"account {whose}" if whose else f"the principal {principal_id}"
            else:
                yield f"{principal_id} ({kind})"


# --- rules for deleted objects --------------------------------------------------------------------

_HEAD_BUCKET = "s3:HeadBucket"
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


CLOSED_CODES = ("403", "AccessDenied")
"""HeadBucket's error codes for a bucket that the caller may not see; the answer has no body."""


def read_bucket_region(aws: Aws, bucket: str, *, closed: tuple[str, ...] = ()) -> Signal[str]:
    """
    Return the region of *bucket*; a server that does not tell it has one region only.

    Absent for the error codes *closed*: the bucket exists, and is somebody else's.
    """

    def read() -> str:
        return aws.s3.head_bucket(Bucket=bucket).get("BucketRegion") or aws.region

    return read_signal(read, source=_HEAD_BUCKET, absent=closed)


def read_deletion_rules(aws: Aws, bucket: str) -> DeletionRules:
    """Read the rules of *bucket* for deleted objects, its tags and its readers."""

    def lifecycle() -> tuple[Mapping[str, Any], ...]:
        rules: Any = aws.s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        return tuple(rules)

    return DeletionRules(
        versioning=s3.read_versioning(aws, bucket),
        lock=s3.read_object_lock(aws, bucket),
        lifecycle=read_signal(lifecycle, source=GET_BUCKET_LIFECYCLE, absent=NO_LIFECYCLE),
        tags=tags.read_bucket_tags(aws, bucket),
        readers=read_bucket_readers(aws, bucket),
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
    return f"{versioned}; its bytes are freed {count_noun(days, 'day')} later, by lifecycle rule {name}"


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
