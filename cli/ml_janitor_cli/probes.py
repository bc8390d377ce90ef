"""Finds out whether an IAM action is allowed, by trying it where nothing can come of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ml_janitor.aws.answers import failure
from ml_janitor_cli.probe_calls import Probe, Surroundings, on_a_bucket, prepare

if TYPE_CHECKING:
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


class Answer(StrEnum):
    """What a probe found out."""

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


def probe_all(aws: Aws, grants: Sequence[Grant], *, now: datetime, buckets: Sequence[str]) -> list[Probed]:
    """Try each of *grants* once, side by side; S3's on the first of *buckets* that the account has."""
    unique = list(dict.fromkeys(grants))
    around = surroundings(aws, buckets, now) if any(map(on_a_bucket, unique)) else Surroundings(now=now)
    answers = aws.map(lambda grant: probe(aws, grant, around), unique)
    listable = [one.answer for one in answers if one.grant.action == "s3:ListBucket"]
    return answers if Answer.ALLOWED in listable else [hidden(one) for one in answers]


def surroundings(aws: Aws, buckets: Sequence[str], now: datetime) -> Surroundings:
    """With the first of *buckets* that the account owns, else the one that SageMaker made by default."""
    wanted = [*buckets, f"sagemaker-{aws.region}-{aws.account}"]
    try:
        pages = aws.s3.get_paginator("list_buckets").paginate(BucketRegion=aws.region)
        owned = {bucket["Name"] for page in pages for bucket in page["Buckets"]}
    except Exception as error:  # anything that is not a failed AWS call is raised again below
        if failure(error) is None:
            raise
        return Surroundings(now=now, no_bucket="the account's buckets could not be listed to try it on one")
    bucket = next((name for name in wanted if name in owned), None)
    said = f"none of these buckets is in this account and region to try it on: {', '.join(wanted)}"
    return Surroundings(now=now, bucket=bucket, no_bucket=said)


def probe(aws: Aws, grant: Grant, around: Surroundings) -> Probed:
    """Try one grant."""
    prepared = prepare(aws, grant, around)
    if isinstance(prepared, str):
        return Probed(grant, Answer.NOT_PROBED, prepared)
    return replace(asked(grant, called(aws, prepared)), bucket=prepared.parameters.get("Bucket"))


def called(aws: Aws, one: Probe) -> Exception | None:
    """The error that the call answers with, or None."""
    from botocore import xform_name

    call: Callable[..., Any] = getattr(aws.client(one.service), xform_name(one.operation))  # type: ignore[arg-type]
    try:
        call(**one.parameters)
    except Exception as error:  # judged by `asked`, which raises what is no failed AWS call
        return error
    return None


def asked(grant: Grant, error: Exception | None) -> Probed:
    """What the answer to a probe says: a refusal, or that AWS got further than asking whether it may."""
    return Probed(grant, Answer.ALLOWED) if error is None else Probed(grant, *said_by(error))


def said_by(error: Exception) -> tuple[Answer, str]:
    """What a failed call says of whether it is allowed, and in AWS's words; raises what is no failed call."""
    from botocore.exceptions import ClientError

    said = failure(error)
    if said is None:
        raise error
    if not isinstance(error, ClientError):
        return Answer.FAILED, said
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in DENIED:
        return Answer.REFUSED, said
    if code in NOT_ANSWERED or status >= 500:
        return Answer.FAILED, said
    return Answer.ALLOWED, said


def hidden(one: Probed) -> Probed:
    """
    *one* where nothing in the bucket may be listed: S3 then denies every object that does not exist.

    (S3 API reference, HeadObject: "If you don't have the s3:ListBucket permission, Amazon S3
    returns an HTTP status code 403".)
    """
    if one.answer is not Answer.REFUSED or not one.grant.action.startswith("s3:GetObject"):
        return one
    why = "without s3:ListBucket, S3 denies what does not exist, whether it may be read or not"
    return replace(one, answer=Answer.NOT_PROBED, why=why)
