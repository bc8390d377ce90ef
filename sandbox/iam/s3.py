"""S3: actions that are called differently from their operations, on buckets, objects, or both."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from moto.s3.models import FakeKey

from sandbox.fixes.kms_objects import KMS
from sandbox.iam.needs import Need, Needs
from sandbox.patches import Call, backend

BUCKET: Mapping[str, str] = {
    "CreateBucket": "CreateBucket",
    "DeleteBucket": "DeleteBucket",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "DeleteBucketPolicy": "DeleteBucketPolicy",
    "DeleteBucketTagging": "PutBucketTagging",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetBucketLocation": "GetBucketLocation",
    "GetBucketPolicy": "GetBucketPolicy",
    "GetBucketTagging": "GetBucketTagging",
    "GetBucketVersioning": "GetBucketVersioning",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "HeadBucket": "ListBucket",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListObjectVersions": "ListBucketVersions",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutBucketPolicy": "PutBucketPolicy",
    "PutBucketTagging": "PutBucketTagging",
    "PutBucketVersioning": "PutBucketVersioning",
    "PutObjectLockConfiguration": "PutBucketObjectLockConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
}
OBJECT: Mapping[str, tuple[str, ...]] = {
    "AbortMultipartUpload": ("AbortMultipartUpload",),
    "CompleteMultipartUpload": ("PutObject",),
    "CreateMultipartUpload": ("PutObject",),
    "DeleteObject": ("DeleteObject",),
    "DeleteObjectTagging": ("DeleteObjectTagging",),
    "GetObject": ("GetObject",),
    "GetObjectAttributes": ("GetObject", "GetObjectAttributes"),
    "GetObjectLegalHold": ("GetObjectLegalHold",),
    "GetObjectRetention": ("GetObjectRetention",),
    "GetObjectTagging": ("GetObjectTagging",),
    "HeadObject": ("GetObject",),
    "ListParts": ("ListMultipartUploadParts",),
    "PutObject": ("PutObject",),
    "PutObjectLegalHold": ("PutObjectLegalHold",),
    "PutObjectRetention": ("PutObjectRetention",),
    "PutObjectTagging": ("PutObjectTagging",),
    "RestoreObject": ("RestoreObject",),
    "UploadPart": ("PutObject",),
}
OF_A_VERSION: Mapping[str, str] = {
    "DeleteObject": "DeleteObjectVersion",
    "DeleteObjectTagging": "DeleteObjectVersionTagging",
    "GetObject": "GetObjectVersion",
    "GetObjectAttributes": "GetObjectVersionAttributes",
    "GetObjectTagging": "GetObjectVersionTagging",
    "PutObjectTagging": "PutObjectVersionTagging",
}
"""What a call that names a version needs instead."""

MANAGED_KEY = "alias/aws/s3"
"""AWS's own key for S3: its key policy lets everyone of the account use it through S3."""


def needs(call: Call) -> Needs:
    """As in the service authorization reference of S3, and for copies in the API reference of CopyObject."""
    bucket = str(call.params.get("Bucket", ""))
    match call.operation:
        case "ListBuckets":
            return [Need("s3:ListAllMyBuckets")]
        case operation if operation in BUCKET:
            prefix = {"s3:prefix": (str(call.params.get("Prefix", "")),)}
            listing = operation.startswith("List")
            return [Need(f"s3:{BUCKET[operation]}", _arn(call, bucket), prefix if listing else {})]
        case "DeleteObjects":
            objects = call.params["Delete"]["Objects"]
            return [
                _on_object(call, "DeleteObject", bucket, one["Key"], one.get("VersionId")) for one in objects
            ]
        case "CopyObject" | "UploadPartCopy":
            return [
                *_reading(call, *_source(call)),
                _on_object(call, "PutObject", bucket, call.params["Key"]),
            ]
        case operation if operation in OBJECT:  # IfMatch: S3 user guide, "How to perform conditional deletes"
            key, version = str(call.params["Key"]), call.params.get("VersionId")
            wanted = [_on_object(call, action, bucket, key, version) for action in OBJECT[operation]]
            asks_sums = operation == "HeadObject" and call.params.get("ChecksumMode") == "ENABLED"
            if operation == "DeleteObject" and "IfMatch" in call.params:
                wanted.append(_on_object(call, "GetObject", bucket, key, version))
            if operation in ("GetObject", "GetObjectAttributes") or asks_sums:
                wanted += _decrypting(call, bucket, key, version)
            return wanted
        case _:
            raise NotImplementedError


def _source(call: Call) -> tuple[str, str, str | None]:
    """Bucket, key and version that a copy is made from."""
    path, _, query = str(call.params["CopySource"]).partition("?versionId=")
    bucket, _, key = unquote(path).lstrip("/").partition("/")
    return bucket, key, query or None


def _reading(call: Call, bucket: str, key: str, version: str | None) -> Needs:
    return [
        _on_object(call, "GetObject", bucket, key, version),
        *_decrypting(call, bucket, key, version),
    ]


def _on_object(call: Call, action: str, bucket: str, key: str, version: str | None = None) -> Need:
    name = OF_A_VERSION.get(action, action) if version else action
    return Need(f"s3:{name}", f"{_arn(call, bucket)}/{key}")


def _decrypting(call: Call, bucket: str, key: str, version: str | None) -> Needs:
    """
    Whoever reads the bytes or checksums of an object under a customer's key must be allowed to decrypt.

    API references of GetObject and HeadObject, section Permissions.
    """
    kept = backend("s3", call.account, call.region).buckets.get(bucket)
    found: FakeKey | None = kept and kept.keys.get(key)
    if version and kept:
        found = next((one for one in kept.keys.getlist(key) if one.version_id == version), found)
    if found is None or getattr(found, "encryption", None) not in KMS:  # a delete marker has none
        return []
    used = found.kms_key_id or MANAGED_KEY
    if used.endswith(MANAGED_KEY):
        return []
    name = used if used.startswith("alias/") else f"key/{used}"
    where = f"arn:{call.partition}:kms:{call.region}:{call.account}:{name}"
    return [Need("kms:Decrypt", used if used.startswith("arn:") else where)]


def _arn(call: Call, bucket: str) -> str:
    return f"arn:{call.partition}:s3:::{bucket}"
