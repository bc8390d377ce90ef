"""Buckets and folders of S3 in settings and IAM: where contents are read and copies deleted. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from ml_janitor.aws.locations import is_under
from ml_janitor.aws.references import UNUSED_WORDS
from ml_janitor.core.model import Absent, Unreadable, Value
from ml_janitor.detectors.duplicate_artifacts.buckets import (
    VERSIONING_ENABLED,
    VERSIONING_SUSPENDED,
)
from ml_janitor.detectors.duplicate_artifacts.copies import ArtifactCopy, CopyRole, why_perhaps_read
from ml_janitor.engine.detector import Condition, Grant, allow, implied_grant

# --- permissions ----------------------------------------------------------------------------------

BUCKET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
"""The name of a bucket. Old buckets in us-east-1 may have capitals, underscores, and up to 255 characters."""

_CONTENTS_FOLDER = re.compile(rf"(s3://)?{BUCKET_NAME.pattern}(/|/[^*?$]*/)?")

_ACT_PREFIX = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/|/[^*?$]*/)?")
"""A bucket, or a folder in one. Without its last slash, "s3://models/churn" would mean "churn-v2" too."""

_VIA_S3 = "s3.*.amazonaws.com*"
"""
The service that uses a key. A key works in its own region only, and the grant names
the key's region; in China the name ends in .cn.
"""


def via_s3_conditions(*arns: str) -> tuple[Condition, ...]:
    """Return the conditions that S3 uses a key, for objects at one of *arns*."""
    return (
        Condition("StringLike", "kms:ViaService", (_VIA_S3,)),
        Condition("ArnLike", "kms:EncryptionContext:aws:s3:arn", arns),
    )


def readable_prefixes(buckets: Sequence[str], folders: Sequence[str]) -> tuple[str, ...]:
    """
    Return the prefixes under which contents may be read. Raises ValueError
    for an invalid bucket or folder.
    """
    for bucket in buckets:
        if not BUCKET_NAME.fullmatch(bucket):
            raise ValueError(f'buckets: expected the name of a bucket like "models", got "{bucket}"')
    for folder in folders:
        if not _CONTENTS_FOLDER.fullmatch(folder):
            raise ValueError(
                'read_contents_in: expected a bucket or a folder like "models" or "models/archive/", with '
                f'its last slash and without any of * ? $, got "{folder}"'
            )
    named = [name.removeprefix("s3://").rstrip("/") for name in (*buckets, *folders)]
    return tuple(dict.fromkeys(f"s3://{name}/" for name in named))


def overlapping_prefixes(some: Sequence[str], others: Sequence[str]) -> list[str]:
    """Return the prefixes of the area under both *some* and *others*, all of which end with a slash."""
    both = [prefix for prefix in some if is_under(others, prefix)] + [
        prefix for prefix in others if is_under(some, prefix)
    ]
    return list(dict.fromkeys(both))


def object_arns(prefixes: Sequence[str]) -> list[str]:
    """Return the objects under *prefixes* as IAM names them."""
    return [f"arn:aws:s3:::{prefix.removeprefix('s3://').rstrip('/')}/*" for prefix in prefixes]


def contents_grants(prefixes: Sequence[str]) -> tuple[Grant, ...]:
    """
    Return the permissions to read bytes and checksums of objects under *prefixes*; none without a prefix.

    S3 decrypts under an encryption context that names the object, or, with a bucket key, its bucket (S3 user
    guide, "Reducing the cost of SSE-KMS with Amazon S3 Bucket Keys").
    """
    if not prefixes:
        return ()
    objects = object_arns(prefixes)
    buckets = sorted({resource.partition("/")[0] for resource in objects})
    return (
        *(allow("s3:GetObject", on=resource) for resource in objects),
        implied_grant(
            "kms:Decrypt",
            on="key/*",
            source="S3 API reference, HeadObject: checksums of objects encrypted with a KMS key, and their "
            "bytes, are only given to callers that may decrypt with it",
            when=via_s3_conditions(*objects, *buckets),
        ),
    )


def undo_source_grants(prefixes: Sequence[str]) -> tuple[Grant, ...]:
    """
    Return the permissions to read, in the buckets of *prefixes*, the
    sources of an undo, under whatever key.
    """
    buckets = sorted({resource.partition("/")[0] for resource in object_arns(prefixes)})
    if not buckets:
        return ()
    objects = [f"{bucket}/*" for bucket in buckets]
    when = via_s3_conditions(*objects, *buckets)
    reference = "S3 API reference"
    version = f"{reference}, HeadObject and CopyObject: what reads a version by its id needs it"
    missing = f"{reference}, HeadObject: without it, what is not there is answered by 403 instead of 404"
    return (
        *(allow("s3:GetObject", on=resource) for resource in objects),
        *(implied_grant("s3:GetObjectVersion", on=resource, source=version) for resource in objects),
        *(implied_grant("s3:ListBucket", on=bucket, source=missing) for bucket in buckets),
        implied_grant(
            "kms:Decrypt",
            on="key/*",
            source=f"{reference}, UploadPartCopy: source and parts are decrypted",
            when=when,
        ),
        implied_grant(
            "kms:GenerateDataKey",
            on="key/*",
            source=f"{reference}, CreateMultipartUpload: what is written under a KMS key needs it",
            when=when,
        ),
    )


def undo_write_grants(prefixes: Sequence[str]) -> tuple[Grant, ...]:
    """
    Return the permissions to write objects under *prefixes* with their
    tags, in parts if they are large.
    """
    tags = "S3 user guide, object tagging: what writes an object with its tags needs it"
    return tuple(
        grant
        for resource in object_arns(prefixes)
        for grant in (
            allow("s3:PutObject", on=resource),
            allow("s3:AbortMultipartUpload", on=resource),
            implied_grant("s3:PutObjectTagging", on=resource, source=tags),
        )
    )


# --- limits of deletion ---------------------------------------------------------------------------


def check_prefixes(prefixes: Sequence[str], *, setting: str = "act_on_prefixes") -> None:
    """Raise ValueError if one of *prefixes* of *setting* is neither a bucket nor a folder."""
    for prefix in prefixes:
        if not _ACT_PREFIX.fullmatch(prefix):
            raise ValueError(
                f'{setting}: expected a bucket or a folder like "s3://models/" or '
                f'"s3://models/archive/", with its last slash and without any of * ? $, got "{prefix}"'
            )


def check_user_globs(globs: Sequence[str]) -> None:
    """Raise ValueError if one of *globs* cannot match any user of a copy."""
    kinds = [kind.type for kind in UNUSED_WORDS]
    for glob in globs:
        kind, _, name = glob.partition("/")
        if kind not in kinds or not name:
            raise ValueError(
                f"act_on_needed_by: expected a kind ({', '.join(kinds)}) and a name or glob like "
                f'"training-job/churn-2025-*", got "{glob}"'
            )


def why_copy_spared(
    copy: ArtifactCopy, prefixes: Sequence[str], *, allow_unversioned: bool, approved: Sequence[str] = ()
) -> str | None:
    """
    Return why a surplus *copy* is only ever reported, or None if it may be deleted.

    Each user that still needs it has to match one of the globs that the operator *approved*.
    """
    unit = copy.unit.value if isinstance(copy.unit, Value) else None
    if unit is None or unit.root is not None:
        return (
            "it is one of several files of a model, and deleting one after the other could leave half of it"
        )
    if unit.crowded:
        return "other weights lie in its folder, and may belong to the same model"
    if copy.standing.role is not CopyRole.SURPLUS:
        return "what it is a copy of lies in another bucket"
    if not is_under(prefixes, copy.stored.uri):
        return "it lies under none of act_on_prefixes"
    if (why := _perhaps_used(copy, approved) or why_perhaps_read(copy)) is not None:
        return why
    return None if allow_unversioned else _for_good(copy)


def _perhaps_used(copy: ArtifactCopy, approved: Sequence[str]) -> str | None:
    """Return why a user may still want *copy* without the operator's approval of its deletion; or None."""
    if copy.gaps:
        return f"any copy may be in use: {copy.gaps[0]}"
    for user in copy.needed_only_by:
        if not any(fnmatchcase(user.path, glob) for glob in approved):
            return f"it is needed by {user.label}, and act_on_needed_by names no {user.path}"
    return None


def _for_good(copy: ArtifactCopy) -> str | None:
    """Return why deleting *copy* removes its bytes for good, or may; None if it only hides them."""
    match copy.habits.versioning if copy.habits is not None else None:
        case Value(status) if status == VERSIONING_ENABLED:
            return None
        case Value(status) if status == VERSIONING_SUSPENDED:
            return "its bucket's versioning is suspended, and allow_unversioned is off"
        case Absent():
            return "its bucket keeps no versions, and allow_unversioned is off"
        case Unreadable(error):
            return f"whether its bucket keeps versions is unknown ({error})"
        case _:
            return "whether its bucket keeps versions was not read"
