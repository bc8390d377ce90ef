"""Finds out whether one IAM action is allowed, by a call that reads nothing of interest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from janitor.aws import PRICING_REGION, failure

if TYPE_CHECKING:
    from botocore.model import StructureShape

    from janitor.aws import Aws
    from janitor.detector import Grant

PLACEHOLDER = "ml-janitor-doctor"
"""A name that nothing has: an allowed call answers that it does not exist."""

PLACEHOLDER_DOMAIN = "d-mljanitordoctor"
"""A Studio domain's id has a form; a call that breaks it is refused before permissions are looked at."""

REFUSALS = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403", "Forbidden"})

CLIENTS = {"tag": "resourcegroupstaggingapi"}
"""IAM prefixes that boto3 calls otherwise."""

OPERATIONS = {
    # actions that are granted under another name than the operation has: Service Authorization Reference
    "s3:ListBucket": "ListObjectsV2",
    "s3:ListBucketVersions": "ListObjectVersions",
    "s3:ListAllMyBuckets": "ListBuckets",
    "s3:GetObject": "HeadObject",
    "s3:GetLifecycleConfiguration": "GetBucketLifecycleConfiguration",
    "s3:GetBucketObjectLockConfiguration": "GetObjectLockConfiguration",
}


class Allowed(StrEnum):
    """What a probe found out."""

    YES = "allowed"
    NO = "refused"
    UNTOLD = "untold"


@dataclass(frozen=True, slots=True)
class Probe:
    """One grant and what became of trying it; *why* explains anything but a yes."""

    grant: Grant
    allowed: Allowed
    why: str = ""


def probe(aws: Aws, grant: Grant, *, bucket: str | None) -> Probe:
    """
    Try *grant* once.

    AWS checks permissions before it looks whether a thing exists, so any answer but a refusal
    means that the call is allowed. S3 is the exception: without a real *bucket* it tells nothing.
    """
    service, _, action = grant.action.partition(":")
    if grant.implied:
        return Probe(grant, Allowed.UNTOLD, f"no call shows it: {grant.source}")
    if service == "s3" and action != "ListAllMyBuckets" and bucket is None:
        return Probe(
            grant,
            Allowed.UNTOLD,
            "name a bucket in [detectors.duplicate-artifacts] buckets, and it is tried there",
        )
    named: Any = CLIENTS.get(service, service)
    client = aws.client(named, PRICING_REGION if service == "pricing" else None)
    operation = OPERATIONS.get(grant.action, action)
    model = client.meta.service_model.operation_model(operation)
    arguments = least(model.input_shape, names(aws, grant, bucket))
    try:
        client._make_api_call(operation, arguments)  # noqa: SLF001 - an operation by its name, whichever it is
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code"))
        if code in REFUSALS:
            return Probe(grant, Allowed.NO, failure(error) or code)
        if code.startswith(("Throttl", "5", "Internal", "ServiceUnavailable")):
            return Probe(grant, Allowed.UNTOLD, failure(error) or code)
    except BotoCoreError as error:
        return Probe(grant, Allowed.UNTOLD, failure(error) or str(error))
    return Probe(grant, Allowed.YES)


def names(aws: Aws, grant: Grant, bucket: str | None) -> Mapping[str, str]:
    """The names a probe of *grant* uses: inside what the grant is on, so that an exact policy allows it."""
    service = grant.action.partition(":")[0]
    resource = "endpoint/*" if grant.on in {"*", "*/*"} else grant.on
    arn = f"arn:{aws.partition}:{service}:{aws.region}:{aws.account}:{resource.replace('*', PLACEHOLDER)}"
    log_group = grant.on.removeprefix("log-group:").removesuffix(":*")
    return {
        "arn": arn,
        "bucket": bucket or PLACEHOLDER,
        "domainid": PLACEHOLDER_DOMAIN,
        "loggroupname": log_group,
    }


def least(shape: StructureShape | None, names: Mapping[str, str]) -> dict[str, Any]:
    """The fewest arguments that botocore lets through, with names that nothing has."""
    if shape is None:
        return {}
    members = shape.members
    wanted = list(shape.required_members)
    wanted += [name for name in ("MaxResults", "MaxKeys", "limit") if name in members and name not in wanted]
    return {name: filler(name, members[name], names) for name in wanted}


def filler(name: str, shape: Any, names: Mapping[str, str]) -> Any:  # noqa: PLR0911 - one per type
    """A value of *shape* that means nothing."""
    if name.lower() in names:
        return names[name.lower()]
    if shape.metadata.get("enum"):
        return shape.metadata["enum"][0]
    match shape.type_name:
        case "structure":
            return least(shape, names)
        case "list":
            return [filler(name, shape.member, names)]
        case "map":
            return {}
        case "timestamp":
            return 0
        case "boolean":
            return False
        case "integer" | "long" | "float" | "double":
            return max(1, int(shape.metadata.get("min", 1)))
        case _:
            return names["arn"] if name.lower().endswith("arn") else PLACEHOLDER
