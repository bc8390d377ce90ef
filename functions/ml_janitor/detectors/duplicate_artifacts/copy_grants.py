"""What deleting copies and writing them again needs of IAM."""

from __future__ import annotations

from collections.abc import Sequence

from ml_janitor.detectors.duplicate_artifacts import act_prefixes
from ml_janitor.engine.detector import Condition, Grant, allow, implied

BUCKETS = "arn:aws:s3:::*"
OBJECTS = "arn:aws:s3:::*/*"

BY_ETAG = (Condition("Null", "s3:if-match", ("false",)),)
"""S3 user guide, "Enforce conditional deletes": a delete that names no ETag is refused."""

REFERENCE = "S3 API reference"
USER_GUIDE = "S3 user guide"


def acts(prefixes: Sequence[str]) -> tuple[Grant, ...]:
    """Deleting what lies under *prefixes*, and reading what is only asked before and after it."""
    return (
        *(allow("s3:DeleteObject", on=one, when=BY_ETAG) for one in act_prefixes.resources(prefixes)),
        allow("s3:GetObjectAcl", on=OBJECTS),
        allow("s3:ListBucketVersions", on=BUCKETS),
    )


UNDOES = (
    allow("s3:GetObject", on=OBJECTS),
    allow("s3:PutObject", on=OBJECTS),
    allow("s3:AbortMultipartUpload", on=OBJECTS),
    implied(
        "s3:GetObjectVersion",
        on=OBJECTS,
        source=f"{REFERENCE}, HeadObject and CopyObject: what reads a version by its id needs it",
    ),
    implied(
        "s3:PutObjectTagging",
        on=OBJECTS,
        source=f"{USER_GUIDE}, object tagging: what writes an object with its tags needs it",
    ),
    implied(
        "s3:ListBucket",
        on=BUCKETS,
        source=f"{REFERENCE}, HeadObject: without it, what is not there is answered by 403 instead of 404",
    ),
    implied("kms:Decrypt", on="key/*", source=f"{REFERENCE}, UploadPartCopy: source and parts are decrypted"),
    implied(
        "kms:GenerateDataKey",
        on="key/*",
        source=f"{REFERENCE}, CreateMultipartUpload: what is written under a KMS key needs it",
    ),
)
