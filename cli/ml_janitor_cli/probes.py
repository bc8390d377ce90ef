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

from ml_janitor.aws.calls import failure_text
from ml_janitor.aws.client import Aws
from ml_janitor.engine.detector import Grant

DENIED_CODES = frozenset(
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

UNANSWERED_CODES = frozenset(
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


MISSING_NAME = "ml-janitor-doctor"
"""The name that is asked for: a resource that does not exist is denied, or not, like one that does."""

CLIENT_NAMES = {"elasticmapreduce": "emr", "tag": "resourcegroupstaggingapi"}
"""botocore's name of a service where it is not IAM's prefix."""

CALLS_BY_ACTION = {
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

PAGE_SIZE_MEMBERS = frozenset(
    {"MaxResults", "maxResults", "MaxItems", "MaxKeys", "MaxBuckets", "limit", "Limit", "ResourcesPerPage"}
)


class ProbeAnswer(StrEnum):
    """The result of a probe."""

    ALLOWED = "allowed"
    REFUSED = "refused"
    NOT_PROBED = "not probed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """
    One grant with the answer to its probe; *why* says it in AWS's words, or why there is none.

    An action on buckets was tried on *bucket* alone.
    """

    grant: Grant
    answer: ProbeAnswer
    why: str = ""
    bucket: str | None = None


@dataclass(frozen=True, slots=True)
class ProbeCall:
    """One harmless call."""

    service: str
    operation: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeAccount:
    """
    The account of the probes: a *bucket* of its own to try S3's actions on.

    Without one, *no_bucket* says why: a bucket that does not exist answers the same to everybody, and one
    that somebody else owns denies everything.
    """

    now: datetime
    bucket: str | None = None
    no_bucket: str = "no bucket is known to try it on"


def probe_grants(
    aws: Aws, grants: Sequence[Grant], *, now: datetime, buckets: Sequence[str]
) -> list[ProbeResult]:
    """Try each of *grants* once, side by side; S3's on the first of *buckets* that the account has."""
    unique = list(dict.fromkeys(grants))
    around = find_probe_bucket(aws, buckets, now) if any(map(needs_bucket, unique)) else ProbeAccount(now=now)
    answers = aws.map(lambda grant: probe_grant(aws, grant, around), unique)
    listable = [answer.answer for answer in answers if answer.grant.action == "s3:ListBucket"]
    return answers if ProbeAnswer.ALLOWED in listable else [without_listing(answer) for answer in answers]


def find_probe_bucket(aws: Aws, buckets: Sequence[str], now: datetime) -> ProbeAccount:
    """Find the first of *buckets* that the account owns, else the bucket that SageMaker made by default."""
    wanted = [*buckets, f"sagemaker-{aws.region}-{aws.account}"]
    try:
        pages = aws.s3.get_paginator("list_buckets").paginate(BucketRegion=aws.region)
        owned = {bucket["Name"] for page in pages for bucket in page["Buckets"]}
    except Exception as error:  # an error that is not a failed AWS call is raised again below
        if failure_text(error) is None:
            raise
        return ProbeAccount(now=now, no_bucket="the account's buckets could not be listed to try it on one")
    bucket = next((name for name in wanted if name in owned), None)
    words = f"none of these buckets is in this account and region to try it on: {', '.join(wanted)}"
    return ProbeAccount(now=now, bucket=bucket, no_bucket=words)


def probe_grant(aws: Aws, grant: Grant, around: ProbeAccount) -> ProbeResult:
    """Try one grant."""
    prepared = prepare_probe(aws, grant, around)
    if isinstance(prepared, str):
        return ProbeResult(grant, ProbeAnswer.NOT_PROBED, prepared)
    return replace(judge_answer(grant, call_error(aws, prepared)), bucket=prepared.parameters.get("Bucket"))


def call_error(aws: Aws, prepared: ProbeCall) -> Exception | None:
    """Make the call, and return the error that it answers with, or None."""
    call: Callable[..., Any] = getattr(aws.client(prepared.service), xform_name(prepared.operation))  # type: ignore[arg-type]
    try:
        call(**prepared.parameters)
    except Exception as error:  # judged by `asked`, which raises all but failed AWS calls
        return error
    return None


def judge_answer(grant: Grant, error: Exception | None) -> ProbeResult:
    """Interpret the answer to a probe: a refusal, or that AWS got further than checking the permission."""
    return (
        ProbeResult(grant, ProbeAnswer.ALLOWED)
        if error is None
        else ProbeResult(grant, *classify_error(error))
    )


def classify_error(error: Exception) -> tuple[ProbeAnswer, str]:
    """Return what a failed call says about the permission, in AWS's words; raise any other error."""
    words = failure_text(error)
    if words is None:
        raise error
    if not isinstance(error, ClientError):
        return ProbeAnswer.FAILED, words
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in DENIED_CODES:
        return ProbeAnswer.REFUSED, words
    if code in UNANSWERED_CODES or status >= 500:
        return ProbeAnswer.FAILED, words
    return ProbeAnswer.ALLOWED, words


def without_listing(answer: ProbeResult) -> ProbeResult:
    """
    Return *answer*, or not probed where the bucket may not be listed: S3 then denies all missing objects.

    (S3 API reference, HeadObject: "If you don't have the s3:ListBucket permission, Amazon S3 returns an HTTP
    status code 403".)
    """
    if answer.answer is not ProbeAnswer.REFUSED or not answer.grant.action.startswith("s3:GetObject"):
        return answer
    why = "without s3:ListBucket, S3 denies what does not exist, whether it may be read or not"
    return replace(answer, answer=ProbeAnswer.NOT_PROBED, why=why)


def needs_bucket(grant: Grant) -> bool:
    """Return whether only a real bucket can tell."""
    return grant.action.startswith("s3:") and grant.action != "s3:ListAllMyBuckets"


def grant_bucket(grant: Grant) -> str:
    """Return the one bucket that *grant* is for, if it is for one."""
    name = grant.on.rpartition(":")[2].partition("/")[0] if needs_bucket(grant) else ""
    return "" if "*" in name else name


def prepare_probe(aws: Aws, grant: Grant, around: ProbeAccount) -> ProbeCall | str:
    """Return the call to try *grant* with, or why there is none."""
    prefix, _, name = grant.action.partition(":")
    if grant.implied:
        return f"no call has this name; it is demanded beside others ({grant.source})"
    if prefix == "athena" and name != "GetWorkGroup":
        return "a query costs money, so the next run tries it"
    if needs_bucket(grant) and not (grant_bucket(grant) or around.bucket):
        return around.no_bucket
    service, operation = CLIENT_NAMES.get(prefix, prefix), CALLS_BY_ACTION.get(grant.action, name)
    try:
        model = aws.client(service).meta.service_model.operation_model(operation)  # type: ignore[arg-type]
    except (OperationNotFoundError, UnknownServiceError):
        return "no call is known that needs this action only"
    return ProbeCall(service, operation, probe_parameters(aws, grant, model, around))


def probe_parameters(aws: Aws, grant: Grant, model: OperationModel, around: ProbeAccount) -> dict[str, Any]:
    """Return the least that *model* takes: required members, a page of one, no existing name but a bucket."""
    if model.input_shape is None:
        return {}
    members: Mapping[str, Shape] = model.input_shape.members
    given: dict[str, Any] = {
        name: max(1, members[name].metadata.get("min", 1)) for name in PAGE_SIZE_MEMBERS & members.keys()
    }
    special = {
        "Bucket": grant_bucket(grant) or around.bucket,
        "Key": f"{grant.on.partition('/')[2].replace('*', '')}{MISSING_NAME}",
        "DomainId": f"d-{MISSING_NAME}",  # the only name that has to begin in a certain way
        "EndTime": around.now,
        "MetricDataQueries": [METRIC_QUERY],
        "Metrics": ["UnblendedCost"],
        "ServiceCode": "AmazonSageMaker",
        "StartTime": around.now - timedelta(hours=1),
        "WorkGroup": grant.on.partition("/")[2],
        "TimePeriod": {"Start": f"{around.now:%Y-%m-%d}", "End": f"{around.now:%Y-%m-%d}"},  # no day: free
        "imageIds": [{"imageTag": MISSING_NAME}],
    }
    for name in {*model.input_shape.required_members, *naming_member(grant)} & members.keys():
        given[name] = special.get(name) or placeholder_value(aws, grant, name, members[name])
    if "logGroupName" in members:
        given["logGroupName"] = (
            grant.on.removeprefix("log-group:").removesuffix(":*").replace("*", MISSING_NAME)
        )
    return given


def naming_member(grant: Grant) -> tuple[str, ...]:
    """Return the member that names the resource of *grant*: without it, AWS would ask about all of them."""
    kind = grant.on.partition("/")[0]
    return (f"{''.join(word.capitalize() for word in kind.split('-'))}Name",)


METRIC_QUERY = {
    "Id": "nothing",
    "MetricStat": {
        "Metric": {"Namespace": "AWS/SageMaker", "MetricName": "Invocations"},
        "Period": 3600,
        "Stat": "Sum",
    },
}
"""The query for GetMetricData, which takes no empty list."""


def placeholder_value(aws: Aws, grant: Grant, name: str, shape: Shape) -> Any:
    """Return a value for one required member that means nothing to anybody."""
    if name.lower().endswith("arn"):
        service = grant.action.partition(":")[0]
        kind = grant.on.partition("/")[0]
        on = "endpoint/*" if kind in {"", "*"} else kind if ":" in kind else f"{kind}/*"
        return f"arn:{aws.partition}:{service}:{aws.region}:{aws.account}:{on.replace('*', MISSING_NAME)}"
    choices = getattr(shape, "enum", None)
    return choices[0] if choices else MISSING_NAME
