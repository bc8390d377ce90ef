"""Buckets and folders of S3, as settings and IAM name them: where contents are read, copies deleted. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from ml_janitor.aws.locations import within
from ml_janitor.aws.referrers import UNUSED
from ml_janitor.core.signals import Absent, NotRead, Unreadable, Value
from ml_janitor.detectors.duplicate_artifacts.bucket_readers import shared
from ml_janitor.detectors.duplicate_artifacts.buckets import ENABLED, SUSPENDED
from ml_janitor.detectors.duplicate_artifacts.copies import Role
from ml_janitor.detectors.duplicate_artifacts.duplicates import Copy
from ml_janitor.engine.detector import Condition, Grant, allow, implied

BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
"""Old ones in us-east-1 may have capitals, underscores, and up to 255 characters."""

FOLDER = re.compile(rf"(s3://)?{BUCKET.pattern}(/|/[^*?$]*/)?")

PREFIX = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/|/[^*?$]*/)?")
"""A bucket, or a folder in one. Without its last slash, "s3://models/churn" would mean "churn-v2" too."""

THROUGH_S3 = "s3.*.amazonaws.com*"
"""A key is used in its own region only, and the grant names the region of the key; China's end in .cn."""


def through_s3(*arns: str) -> tuple[Condition, ...]:
    """That S3 uses a key, for what lies at one of *arns*."""
    return (
        Condition("StringLike", "kms:ViaService", (THROUGH_S3,)),
        Condition("ArnLike", "kms:EncryptionContext:aws:s3:arn", arns),
    )


def contents_in(buckets: Sequence[str], folders: Sequence[str]) -> tuple[str, ...]:
    """The prefixes under which contents may be read. Raises ValueError for what names no bucket or folder."""
    for bucket in buckets:
        if not BUCKET.fullmatch(bucket):
            raise ValueError(f'buckets: expected the name of a bucket like "models", got "{bucket}"')
    for folder in folders:
        if not FOLDER.fullmatch(folder):
            raise ValueError(
                'read_contents_in: expected a bucket or a folder like "models" or "models/archive/", with '
                f'its last slash and without any of * ? $, got "{folder}"'
            )
    named = [one.removeprefix("s3://").rstrip("/") for one in (*buckets, *folders)]
    return tuple(dict.fromkeys(f"s3://{one}/" for one in named))


def overlap(some: Sequence[str], others: Sequence[str]) -> list[str]:
    """The prefixes of what lies under one of *some* and one of *others*, both of which end with a slash."""
    both = [one for one in some if within(others, one)] + [one for one in others if within(some, one)]
    return list(dict.fromkeys(both))


def resources(prefixes: Sequence[str]) -> list[str]:
    """The objects under *prefixes* as IAM names them."""
    return [f"arn:aws:s3:::{prefix.removeprefix('s3://').rstrip('/')}/*" for prefix in prefixes]


def reading_contents(prefixes: Sequence[str]) -> tuple[Grant, ...]:
    """
    Reading the bytes and checksums of objects under *prefixes*, and of none without one.

    S3 decrypts under an encryption context that names the object, or, with a bucket key, its bucket (S3
    user guide, "Reducing the cost of SSE-KMS with Amazon S3 Bucket Keys").
    """
    if not prefixes:
        return ()
    objects = resources(prefixes)
    buckets = sorted({one.partition("/")[0] for one in objects})
    return (
        *(allow("s3:GetObject", on=one) for one in objects),
        implied(
            "kms:Decrypt",
            on="key/*",
            source="S3 API reference, HeadObject: checksums of objects encrypted with a KMS key, and their "
            "bytes, are only given to callers that may decrypt with it",
            when=through_s3(*objects, *buckets),
        ),
    )


def reading_sources(prefixes: Sequence[str]) -> tuple[Grant, ...]:
    """Reading, in the buckets of *prefixes*, what is written again under them, under whatever key it is."""
    buckets = sorted({one.partition("/")[0] for one in resources(prefixes)})
    if not buckets:
        return ()
    objects = [f"{bucket}/*" for bucket in buckets]
    when = through_s3(*objects, *buckets)
    reference = "S3 API reference"
    version = f"{reference}, HeadObject and CopyObject: what reads a version by its id needs it"
    missing = f"{reference}, HeadObject: without it, what is not there is answered by 403 instead of 404"
    return (
        *(allow("s3:GetObject", on=one) for one in objects),
        *(implied("s3:GetObjectVersion", on=one, source=version) for one in objects),
        *(implied("s3:ListBucket", on=one, source=missing) for one in buckets),
        implied(
            "kms:Decrypt",
            on="key/*",
            source=f"{reference}, UploadPartCopy: source and parts are decrypted",
            when=when,
        ),
        implied(
            "kms:GenerateDataKey",
            on="key/*",
            source=f"{reference}, CreateMultipartUpload: what is written under a KMS key needs it",
            when=when,
        ),
    )


def writing_again(prefixes: Sequence[str]) -> tuple[Grant, ...]:
    """Writing objects under *prefixes* with their tags, in parts if they are large."""
    tags = "S3 user guide, object tagging: what writes an object with its tags needs it"
    return tuple(
        grant
        for one in resources(prefixes)
        for grant in (
            allow("s3:PutObject", on=one),
            allow("s3:AbortMultipartUpload", on=one),
            implied("s3:PutObjectTagging", on=one, source=tags),
        )
    )


# --- where copies are deleted ---------------------------------------------------------------------


def check(prefixes: Sequence[str], *, setting: str = "act_on_prefixes") -> None:
    """Raise ValueError if one of *prefixes* of *setting* is neither a bucket nor a folder."""
    for prefix in prefixes:
        if not PREFIX.fullmatch(prefix):
            raise ValueError(
                f'{setting}: expected a bucket or a folder like "s3://models/" or '
                f'"s3://models/archive/", with its last slash and without any of * ? $, got "{prefix}"'
            )


def check_users(globs: Sequence[str]) -> None:
    """Raise ValueError if one of *globs* can name nothing that a copy may be needed only by."""
    kinds = [kind.type for kind in UNUSED]
    for glob in globs:
        kind, _, name = glob.partition("/")
        if kind not in kinds or not name:
            raise ValueError(
                f"act_on_needed_by: expected a kind ({', '.join(kinds)}) and a name or glob like "
                f'"training-job/churn-2025-*", got "{glob}"'
            )


def spared(
    copy: Copy, prefixes: Sequence[str], *, allow_unversioned: bool, approved: Sequence[str] = ()
) -> str | None:
    """
    Why a surplus *copy* is only ever reported, or None if it may be deleted.

    What it is needed only by has to be like one of the globs that the operator *approved*.
    """
    unit = copy.unit.value if isinstance(copy.unit, Value) else None
    if unit is None or unit.root is not None:
        return (
            "it is one of several files of a model, and deleting one after the other could leave half of it"
        )
    if unit.crowded:
        return "other weights lie in its folder, and may belong to the same model"
    if copy.standing.role is not Role.SURPLUS:
        return "what it is a copy of lies in another bucket"
    if not within(prefixes, copy.stored.uri):
        return "it lies under none of act_on_prefixes"
    readers = copy.habits.readers if copy.habits is not None else NotRead()
    if (why := _perhaps_used(copy, approved) or shared(readers, copy.target.arn)) is not None:
        return why
    return None if allow_unversioned else _for_good(copy)


def _perhaps_used(copy: Copy, approved: Sequence[str]) -> str | None:
    """What may still be in want of *copy*, and nobody *approved* its deletion all the same."""
    if copy.gaps:
        return f"any copy may be in use: {copy.gaps[0]}"
    for user in copy.needed_only_by:
        if not any(fnmatchcase(user.path, glob) for glob in approved):
            return f"it is needed by {user.label}, and act_on_needed_by names no {user.path}"
    return None


def _for_good(copy: Copy) -> str | None:
    """Why deleting *copy* would remove its bytes for good, or may; None if it only hides them."""
    match copy.habits.versioning if copy.habits is not None else None:
        case Value(status) if status == ENABLED:
            return None
        case Value(status) if status == SUSPENDED:
            return "its bucket's versioning is suspended, and allow_unversioned is off"
        case Absent():
            return "its bucket keeps no versions, and allow_unversioned is off"
        case Unreadable(error):
            return f"whether its bucket keeps versions is unknown ({error})"
        case _:
            return "whether its bucket keeps versions was not read"
