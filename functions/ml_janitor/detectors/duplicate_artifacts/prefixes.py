"""Buckets and folders of S3, as the settings and IAM name them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ml_janitor.aws.locations import within
from ml_janitor.engine.detector import Condition, Grant, allow, implied

BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
"""Old ones in us-east-1 may have capitals, underscores, and up to 255 characters."""

FOLDER = re.compile(rf"(s3://)?{BUCKET.pattern}(/|/[^*?$]*/)?")

THROUGH_S3 = "s3.*.amazonaws.com*"
"""A key is used in its own region only, and the grant names the region of the key; China's end in .cn."""


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
            when=(
                Condition("StringLike", "kms:ViaService", (THROUGH_S3,)),
                Condition("ArnLike", "kms:EncryptionContext:aws:s3:arn", (*objects, *buckets)),
            ),
        ),
    )


def reading_sources(prefixes: Sequence[str]) -> tuple[Grant, ...]:
    """Reading, in the buckets of *prefixes*, what is written again under them, under whatever key it is."""
    buckets = sorted({one.partition("/")[0] for one in resources(prefixes)})
    if not buckets:
        return ()
    objects = [f"{bucket}/*" for bucket in buckets]
    through_s3 = (
        Condition("StringLike", "kms:ViaService", (THROUGH_S3,)),
        Condition("ArnLike", "kms:EncryptionContext:aws:s3:arn", (*objects, *buckets)),
    )
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
            when=through_s3,
        ),
        implied(
            "kms:GenerateDataKey",
            on="key/*",
            source=f"{reference}, CreateMultipartUpload: what is written under a KMS key needs it",
            when=through_s3,
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
