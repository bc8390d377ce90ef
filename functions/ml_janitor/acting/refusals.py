"""Tells AWS's refusal of a call, after which nothing was done, from an answer that leaves it open."""

from __future__ import annotations

from http import HTTPStatus

from ml_janitor.aws.client import READS

OPEN = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})

RETRIED = frozenset(
    {
        "RequestLimitExceeded",
        "RequestTimeout",
        "RequestTimeoutException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
"""Errors of throttling and timeouts, which some services give the status 400."""


def refused(error: BaseException) -> bool:
    """
    Whether *error* says for certain that the one call which changes something was not carried out.

    A lost answer, a fault of AWS (5xx), throttling and timeouts leave it open; so does a refusal that came
    to a second try, since the first may have done its work, and the refusal of a read, which says nothing
    of the change before it.
    """
    from botocore.exceptions import ClientError

    if not isinstance(error, ClientError) or READS.match(error.operation_name):
        return False
    about = error.response.get("ResponseMetadata", {})
    status, code = about.get("HTTPStatusCode", 0), error.response.get("Error", {}).get("Code", "")
    return (
        HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
        and status not in OPEN
        and code not in RETRIED
        and about.get("RetryAttempts", 0) == 0
    )
