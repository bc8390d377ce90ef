"""S3: actions that are called differently from their operations, on buckets, objects, or both."""

from collections.abc import Mapping
from urllib.parse import unquote

from moto.s3.models import FakeKey

from ml_janitor_sandbox.iam.conditions import Values
from ml_janitor_sandbox.iam.needs import Need, Needs
from moto_corrections.objects import KMS
from moto_corrections.patches import Call, backend

SAME = (
    *("CreateBucket", "DeleteBucket", "DeleteBucketPolicy", "GetBucketLocation", "GetBucketPolicy"),
    *("GetBucketTagging", "GetBucketVersioning", "PutBucketPolicy", "PutBucketTagging"),
    *("AbortMultipartUpload", "DeleteObject", "DeleteObjectTagging", "GetObject", "GetObjectAcl"),
    *("GetObjectLegalHold", "GetObjectRetention", "GetObjectTagging", "PutObject", "RestoreObject"),
    *("PutObjectLegalHold", "PutObjectRetention", "PutObjectTagging", "PutBucketVersioning"),
)
"""Operations whose action is called like them; of those below, the action is told."""
BUCKET: Mapping[str, str] = {
    **{operation: operation for operation in SAME if "Bucket" in operation},
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "DeleteBucketTagging": "PutBucketTagging",
    "GetBucketInventoryConfiguration": "GetInventoryConfiguration",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetBucketReplication": "GetReplicationConfiguration",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "HeadBucket": "ListBucket",
    "ListBucketMetricsConfigurations": "GetMetricsConfiguration",
    "ListBucketInventoryConfigurations": "GetInventoryConfiguration",
    "GetBucketMetadataConfiguration": "GetBucketMetadataTableConfiguration",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListObjectVersions": "ListBucketVersions",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutBucketMetricsConfiguration": "PutMetricsConfiguration",
    "PutObjectLockConfiguration": "PutBucketObjectLockConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
}
OBJECT: Mapping[str, tuple[str, ...]] = {
    **{operation: (operation,) for operation in SAME if "Bucket" not in operation},
    **dict.fromkeys(("CompleteMultipartUpload", "CreateMultipartUpload", "UploadPart"), ("PutObject",)),
    "GetObjectAttributes": ("GetObject", "GetObjectAttributes"),
    "HeadObject": ("GetObject",),
    "ListParts": ("ListMultipartUploadParts",),
}
TAGGING = {"ListTagsForResource", "TagResource", "UntagResource"}
"""Operations of S3 Control, whose actions IAM has among S3's."""

WRITES = {"CopyObject", "CreateMultipartUpload", "PutObject"}
"""What makes an object with tags and under a key of its own."""

OF_A_VERSION = {"DeleteObject", "DeleteObjectTagging", "GetObject", "GetObjectAcl", "GetObjectAttributes"}
OF_A_VERSION |= {"GetObjectTagging", "PutObjectTagging"}
"""The actions for which a call that names a version needs that of the version, such as GetObjectVersion."""

MANAGED_KEY = "alias/aws/s3"
"""AWS's own key for S3: its key policy lets everyone of the account use it through S3."""


def needs(call: Call) -> Needs:
    """Return needs as in S3's service authorization reference; for copies, CopyObject's API reference."""
    bucket = str(call.params.get("Bucket", ""))
    match call.operation:
        case "ListBuckets":
            return [Need("s3:ListAllMyBuckets")]
        case operation if operation in BUCKET:
            prefix = {"s3:prefix": (str(call.params.get("Prefix", "")),)}
            listing = operation.startswith("List")
            return [Need(f"s3:{BUCKET[operation]}", _arn(call, bucket), prefix if listing else {})]
        case operation if operation in TAGGING:
            return [Need(f"s3:{operation}", str(call.params["ResourceArn"]))]
        case "CopyObject" | "UploadPartCopy":
            return [
                *_reading(call, *_source(call)),
                _on_object(call, "PutObject", bucket, call.params["Key"]),
                *_writing(call, bucket),
            ]
        case operation if operation in OBJECT:  # IfMatch: S3 user guide, "How to perform conditional deletes"
            key, version = str(call.params["Key"]), call.params.get("VersionId")
            wanted = [_on_object(call, action, bucket, key, version) for action in OBJECT[operation]]
            wanted += _writing(call, bucket)
            asks_sums = operation == "HeadObject" and call.params.get("ChecksumMode") == "ENABLED"
            if operation == "DeleteObject" and "IfMatch" in call.params:
                wanted = [_on_object(call, "DeleteObject", bucket, key, version, etag=call.params["IfMatch"])]
                wanted.append(_on_object(call, "GetObject", bucket, key, version))
            if operation in ("GetObject", "HeadObject") and _is_missing(call, bucket, key):
                wanted.append(Need("s3:ListBucket", _arn(call, bucket)))
            if operation in ("GetObject", "GetObjectAttributes") or asks_sums:
                wanted += _decrypting(call, bucket, key, version)
            return wanted
        case _:
            raise NotImplementedError


def _source(call: Call) -> tuple[str, str, str | None]:
    """Return bucket, key and version that a copy is made from."""
    path, _, query = str(call.params["CopySource"]).partition("?versionId=")
    bucket, _, key = unquote(path).lstrip("/").partition("/")
    return bucket, key, query or None


def _reading(call: Call, bucket: str, key: str, version: str | None) -> Needs:
    return [_on_object(call, "GetObject", bucket, key, version), *_decrypting(call, bucket, key, version)]


def _on_object(
    call: Call, action: str, bucket: str, key: str, version: str | None = None, *, etag: str | None = None
) -> Need:
    of_version = version and action in OF_A_VERSION
    name = action.replace("Object", "ObjectVersion") if of_version else action
    context = {} if etag is None else {"s3:if-match": (etag,)}
    return Need(f"s3:{name}", f"{_arn(call, bucket)}/{key}", context)


def _is_missing(call: Call, bucket: str, key: str) -> bool:
    """
    Tell whether nothing has this name; only a caller who may list the bucket is told so.

    "If you don't have the s3:ListBucket permission, Amazon S3 returns an HTTP status code 403" (API
    references of GetObject and HeadObject). Without the bucket, that is what is said.
    """
    kept = backend("s3", call.account, call.region).buckets.get(bucket)
    return bool(kept) and not isinstance(kept.keys.get(key), FakeKey)


def _writing(call: Call, bucket: str) -> Needs:
    """
    Return what a new object needs for its tags and its key, besides the permission to write it.

    S3 user guide, "Object tagging"; API references of CopyObject and CreateMultipartUpload, whose parts
    are decrypted too. A key is named by its id or its ARN.
    """
    if call.operation not in WRITES:
        return []
    wanted, name = [], str(call.params["Key"])
    if call.params.get("Tagging"):
        wanted.append(_on_object(call, "PutObjectTagging", bucket, name))
    if call.params.get("ServerSideEncryption") in KMS:
        key = _key(call, str(call.params.get("SSEKMSKeyId") or MANAGED_KEY))
        also = ["kms:Decrypt"] if call.operation == "CreateMultipartUpload" else []
        context = _encryption(call, bucket, name, call.params.get("BucketKeyEnabled"))
        wanted += [Need(action, key, context) for action in ["kms:GenerateDataKey", *also] if key]
    return wanted


def _key(call: Call, named: str) -> str | None:
    """Return the ARN of a KMS key; None for AWS's own."""
    if named.endswith(MANAGED_KEY):
        return None
    name = named if named.startswith("alias/") else f"key/{named}"
    return named if named.startswith("arn:") else call.arn("kms", name)


def _decrypting(call: Call, bucket: str, key: str, version: str | None) -> Needs:
    """
    Require decrypting of whoever reads the bytes or checksums of an object under a customer's key.

    API references of GetObject and HeadObject, section Permissions.
    """
    kept = backend("s3", call.account, call.region).buckets.get(bucket)
    found: FakeKey | None = kept and kept.keys.get(key)
    if version and kept:
        found = next((stored for stored in kept.keys.getlist(key) if stored.version_id == version), found)
    if found is None or getattr(found, "encryption", None) not in KMS:  # a delete marker has none
        return []
    used = _key(call, found.kms_key_id or MANAGED_KEY)
    context = _encryption(call, bucket, key, found.bucket_key_enabled)
    return [Need("kms:Decrypt", used, context)] if used else []


def _encryption(call: Call, bucket: str, key: str, bucket_key: object) -> Mapping[str, Values]:
    """
    Return the encryption context that S3 sends to KMS: the object, or its bucket.

    S3 user guide, "Reducing the cost of SSE-KMS with Amazon S3 Bucket Keys"; KMS developer guide,
    "kms:ViaService".
    """
    arn = _arn(call, bucket)
    return {
        "kms:encryptioncontext:aws:s3:arn": (arn if str(bucket_key).lower() == "true" else f"{arn}/{key}",),
        "kms:viaservice": (f"s3.{call.region}.amazonaws.com",),
    }


def _arn(call: Call, bucket: str) -> str:
    return f"arn:{call.partition}:s3:::{bucket}"
