"""The harmless call that shows whether an IAM action is allowed: about nothing that exists, but a bucket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botocore.model import OperationModel, Shape

    from ml_janitor.aws.client import Aws
    from ml_janitor.engine.detector import Grant

NOBODY = "ml-janitor-doctor"
"""The name that is asked for: a resource that does not exist is denied, or not, like one that does."""

CLIENTS = {"tag": "resourcegroupstaggingapi"}
"""botocore's name of a service where it is not IAM's prefix."""

CALLS = {
    "s3:GetBucketObjectLockConfiguration": "GetObjectLockConfiguration",
    "s3:GetLifecycleConfiguration": "GetBucketLifecycleConfiguration",
    "s3:GetObject": "HeadObject",
    "s3:ListAllMyBuckets": "ListBuckets",
    "s3:ListBucket": "ListObjectsV2",
    "s3:ListBucketVersions": "ListObjectVersions",
}
"""The API operation that an action allows, where it has another name (Service Authorization Reference)."""

PAGE_SIZES = frozenset(
    {"MaxResults", "maxResults", "MaxItems", "MaxKeys", "MaxBuckets", "limit", "Limit", "ResourcesPerPage"}
)


@dataclass(frozen=True, slots=True)
class Probe:
    """One harmless call."""

    service: str
    operation: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """
    What probes need to know of the account: a *bucket* of its own to try S3's actions on.

    Without one, *no_bucket* says why: a bucket that does not exist answers the same to everybody,
    and one that somebody else owns denies everything.
    """

    now: datetime
    bucket: str | None = None
    no_bucket: str = "no bucket is known to try it on"


def on_a_bucket(grant: Grant) -> bool:
    """Whether only a real bucket can tell."""
    return grant.action.startswith("s3:") and grant.action != "s3:ListAllMyBuckets"


def prepare(aws: Aws, grant: Grant, around: Surroundings) -> Probe | str:
    """The call to try *grant* with, or why there is none."""
    from botocore.exceptions import UnknownServiceError
    from botocore.model import OperationNotFoundError

    prefix, _, name = grant.action.partition(":")
    if grant.implied:
        return f"no call has this name; it is demanded beside others ({grant.source})"
    if on_a_bucket(grant) and around.bucket is None:
        return around.no_bucket
    service, operation = CLIENTS.get(prefix, prefix), CALLS.get(grant.action, name)
    try:
        model = aws.client(service).meta.service_model.operation_model(operation)  # type: ignore[arg-type]
    except (OperationNotFoundError, UnknownServiceError):
        return "no call is known that needs this action only"
    return Probe(service, operation, parameters(aws, grant, model, around))


def parameters(aws: Aws, grant: Grant, model: OperationModel, around: Surroundings) -> dict[str, Any]:
    """The least that *model* takes: what it requires, a page of one, and nothing that exists but a bucket."""
    if model.input_shape is None:
        return {}
    members: Mapping[str, Shape] = model.input_shape.members
    given: dict[str, Any] = {
        name: max(1, members[name].metadata.get("min", 1)) for name in PAGE_SIZES & members.keys()
    }
    special = {
        "Bucket": around.bucket,
        "DomainId": f"d-{NOBODY}",  # the only name that has to begin in a certain way
        "EndTime": around.now,
        "MetricDataQueries": [QUERY],
        "ServiceCode": "AmazonSageMaker",
        "StartTime": around.now - timedelta(hours=1),
    }
    for name in {*model.input_shape.required_members, *named_by(grant)} & members.keys():
        given[name] = special.get(name) or placeholder(aws, grant, name, members[name])
    if "logGroupName" in members:
        given["logGroupName"] = grant.on.removeprefix("log-group:").removesuffix(":*").replace("*", NOBODY)
    return given


def named_by(grant: Grant) -> tuple[str, ...]:
    """The member that names the resource which *grant* is for: AWS would else ask about all of them."""
    kind = grant.on.partition("/")[0]
    return (f"{''.join(word.capitalize() for word in kind.split('-'))}Name",)


QUERY = {
    "Id": "nothing",
    "MetricStat": {
        "Metric": {"Namespace": "AWS/SageMaker", "MetricName": "Invocations"},
        "Period": 3600,
        "Stat": "Sum",
    },
}
"""The one thing to ask GetMetricData for, which takes no empty list."""


def placeholder(aws: Aws, grant: Grant, name: str, shape: Shape) -> Any:
    """A value for one required member that means nothing to anybody."""
    if name.lower().endswith("arn"):
        service = grant.action.partition(":")[0]
        kind = grant.on.partition("/")[0]
        on = "endpoint/*" if kind in {"", "*"} else f"{kind}/*"
        return f"arn:{aws.partition}:{service}:{aws.region}:{aws.account}:{on.replace('*', NOBODY)}"
    choices = getattr(shape, "enum", None)
    return choices[0] if choices else NOBODY
