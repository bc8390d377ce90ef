"""Probes of IAM actions: harmless calls about nothing that exists (except a bucket) show what is allowed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError, UnknownServiceError
from botocore.model import OperationModel, OperationNotFoundError, Shape

from ml_janitor.aws.answers import failure
from ml_janitor.aws.client import Aws
from ml_janitor.engine.detector import Grant

DENIED = frozenset(
    {
        "403",  # the answer to a HEAD request has no room for a code
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "AuthorizationErrorException",
        "Forbidden",
        "NotAuthorized",
        "UnauthorizedOperation",
    }
)

NOT_ANSWERED = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "OptInRequired",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "SlowDown",
        "SubscriptionRequiredException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "UnknownOperationException",
        "UnrecognizedClientException",
    }
)
"""Errors that come before AWS asks whether an action is allowed, so that they say nothing about it."""


NO_SUCH = "ml-janitor-doctor"
"""The name that is asked for: a resource that does not exist is denied, or not, like one that does."""

CLIENTS = {"elasticmapreduce": "emr", "tag": "resourcegroupstaggingapi"}
"""botocore's name of a service where it is not IAM's prefix."""

CALLS = {
    "s3:GetBucketObjectLockConfiguration": "GetObjectLockConfiguration",
    "s3:GetReplicationConfiguration": "GetBucketReplication",
    "s3:GetLifecycleConfiguration": "GetBucketLifecycleConfiguration",
    "s3:GetObject": "HeadObject",
    "s3:ListAllMyBuckets": "ListBuckets",
    "s3:GetMetricsConfiguration": "ListBucketMetricsConfigurations",
    "s3:GetInventoryConfiguration": "ListBucketInventoryConfigurations",
    "s3:GetBucketMetadataTableConfiguration": "GetBucketMetadataConfiguration",
    "s3:ListBucket": "ListObjectsV2",
    "s3:ListBucketMultipartUploads": "ListMultipartUploads",
    "s3:ListBucketVersions": "ListObjectVersions",
}
"""The API operation that an action allows, where it has another name (Service Authorization Reference)."""

PAGE_SIZES = frozenset(
    {"MaxResults", "maxResults", "MaxItems", "MaxKeys", "MaxBuckets", "limit", "Limit", "ResourcesPerPage"}
)


class Answer(StrEnum):
    """The result of a probe."""

    ALLOWED = "allowed"
    REFUSED = "refused"
    NOT_PROBED = "not probed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Probed:
    """
    One grant with the answer to its probe; *why* says it in AWS's words, or why there is none.

    An action on buckets was tried on *bucket* alone.
    """

    grant: Grant
    answer: Answer
    why: str = ""
    bucket: str | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """One harmless call."""

    service: str
    operation: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """
    The account of the probes: a *bucket* of its own to try S3's actions on.

    Without one, *no_bucket* says why: a bucket that does not exist answers the same to everybody, and one
    that somebody else owns denies everything.
    """

    now: datetime
    bucket: str | None = None
    no_bucket: str = "no bucket is known to try it on"


def probe_all(aws: Aws, grants: Sequence[Grant], *, now: datetime, buckets: Sequence[str]) -> list[Probed]:
    """Try each of *grants* once, side by side; S3's on the first of *buckets* that the account has."""
    unique = list(dict.fromkeys(grants))
    around = surroundings(aws, buckets, now) if any(map(on_a_bucket, unique)) else Surroundings(now=now)
    answers = aws.map(lambda grant: probe(aws, grant, around), unique)
    listable = [answer.answer for answer in answers if answer.grant.action == "s3:ListBucket"]
    return answers if Answer.ALLOWED in listable else [hidden(answer) for answer in answers]


def surroundings(aws: Aws, buckets: Sequence[str], now: datetime) -> Surroundings:
    """Find the first of *buckets* that the account owns, else the bucket that SageMaker made by default."""
    wanted = [*buckets, f"sagemaker-{aws.region}-{aws.account}"]
    try:
        pages = aws.s3.get_paginator("list_buckets").paginate(BucketRegion=aws.region)
        owned = {bucket["Name"] for page in pages for bucket in page["Buckets"]}
    except Exception as error:  # an error that is not a failed AWS call is raised again below
        if failure(error) is None:
            raise
        return Surroundings(now=now, no_bucket="the account's buckets could not be listed to try it on one")
    bucket = next((name for name in wanted if name in owned), None)
    words = f"none of these buckets is in this account and region to try it on: {', '.join(wanted)}"
    return Surroundings(now=now, bucket=bucket, no_bucket=words)


def probe(aws: Aws, grant: Grant, around: Surroundings) -> Probed:
    """Try one grant."""
    prepared = prepare(aws, grant, around)
    if isinstance(prepared, str):
        return Probed(grant, Answer.NOT_PROBED, prepared)
    return replace(asked(grant, called(aws, prepared)), bucket=prepared.parameters.get("Bucket"))


def called(aws: Aws, prepared: Probe) -> Exception | None:
    """Make the call, and return the error that it answers with, or None."""
    call: Callable[..., Any] = getattr(aws.client(prepared.service), xform_name(prepared.operation))  # type: ignore[arg-type]
    try:
        call(**prepared.parameters)
    except Exception as error:  # judged by `asked`, which raises all but failed AWS calls
        return error
    return None


def asked(grant: Grant, error: Exception | None) -> Probed:
    """Interpret the answer to a probe: a refusal, or that AWS got further than checking the permission."""
    return Probed(grant, Answer.ALLOWED) if error is None else Probed(grant, *classified(error))


def classified(error: Exception) -> tuple[Answer, str]:
    """Return what a failed call says about the permission, in AWS's words; raise any other error."""
    words = failure(error)
    if words is None:
        raise error
    if not isinstance(error, ClientError):
        return Answer.FAILED, words
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in DENIED:
        return Answer.REFUSED, words
    if code in NOT_ANSWERED or status >= 500:
        return Answer.FAILED, words
    return Answer.ALLOWED, words


def hidden(answer: Probed) -> Probed:
    """
    Return *answer*, or not probed where the bucket may not be listed: S3 then denies all missing objects.

    (S3 API reference, HeadObject: "If you don't have the s3:ListBucket permission, Amazon S3 returns an HTTP
    status code 403".)
    """
    if answer.answer is not Answer.REFUSED or not answer.grant.action.startswith("s3:GetObject"):
        return answer
    why = "without s3:ListBucket, S3 denies what does not exist, whether it may be read or not"
    return replace(answer, answer=Answer.NOT_PROBED, why=why)


def on_a_bucket(grant: Grant) -> bool:
    """Return whether only a real bucket can tell."""
    return grant.action.startswith("s3:") and grant.action != "s3:ListAllMyBuckets"


def bucket_of(grant: Grant) -> str:
    """Return the one bucket that *grant* is for, if it is for one."""
    name = grant.on.rpartition(":")[2].partition("/")[0] if on_a_bucket(grant) else ""
    return "" if "*" in name else name


def prepare(aws: Aws, grant: Grant, around: Surroundings) -> Probe | str:
    """Return the call to try *grant* with, or why there is none."""
    prefix, _, name = grant.action.partition(":")
    if grant.implied:
        return f"no call has this name; it is demanded beside others ({grant.source})"
    if prefix == "athena" and name != "GetWorkGroup":
        return "a query costs money, so the next run tries it"
    if on_a_bucket(grant) and not (bucket_of(grant) or around.bucket):
        return around.no_bucket
    service, operation = CLIENTS.get(prefix, prefix), CALLS.get(grant.action, name)
    try:
        model = aws.client(service).meta.service_model.operation_model(operation)  # type: ignore[arg-type]
    except (OperationNotFoundError, UnknownServiceError):
        return "no call is known that needs this action only"
    return Probe(service, operation, parameters(aws, grant, model, around))


def parameters(aws: Aws, grant: Grant, model: OperationModel, around: Surroundings) -> dict[str, Any]:
    """Return the least that *model* takes: required members, a page of one, no existing name but a bucket."""
    if model.input_shape is None:
        return {}
    members: Mapping[str, Shape] = model.input_shape.members
    given: dict[str, Any] = {
        name: max(1, members[name].metadata.get("min", 1)) for name in PAGE_SIZES & members.keys()
    }
    special = {
        "Bucket": bucket_of(grant) or around.bucket,
        "Key": f"{grant.on.partition('/')[2].replace('*', '')}{NO_SUCH}",
        "DomainId": f"d-{NO_SUCH}",  # the only name that has to begin in a certain way
        "EndTime": around.now,
        "MetricDataQueries": [QUERY],
        "Metrics": ["UnblendedCost"],
        "ServiceCode": "AmazonSageMaker",
        "StartTime": around.now - timedelta(hours=1),
        "WorkGroup": grant.on.partition("/")[2],
        "TimePeriod": {"Start": f"{around.now:%Y-%m-%d}", "End": f"{around.now:%Y-%m-%d}"},  # no day: free
        "imageIds": [{"imageTag": NO_SUCH}],
    }
    for name in {*model.input_shape.required_members, *named_by(grant)} & members.keys():
        given[name] = special.get(name) or placeholder(aws, grant, name, members[name])
    if "logGroupName" in members:
        given["logGroupName"] = grant.on.removeprefix("log-group:").removesuffix(":*").replace("*", NO_SUCH)
    return given


def named_by(grant: Grant) -> tuple[str, ...]:
    """Return the member that names the resource of *grant*: without it, AWS would ask about all of them."""
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
"""The query for GetMetricData, which takes no empty list."""


def placeholder(aws: Aws, grant: Grant, name: str, shape: Shape) -> Any:
    """Return a value for one required member that means nothing to anybody."""
    if name.lower().endswith("arn"):
        service = grant.action.partition(":")[0]
        kind = grant.on.partition("/")[0]
        on = "endpoint/*" if kind in {"", "*"} else kind if ":" in kind else f"{kind}/*"
        return f"arn:{aws.partition}:{service}:{aws.region}:{aws.account}:{on.replace('*', NO_SUCH)}"
    choices = getattr(shape, "enum", None)
    return choices[0] if choices else NO_SUCH
