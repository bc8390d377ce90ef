"""What AWS answers to a call that changes something, and whether that says for certain that nothing was."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from ml_janitor.ledger.steps import refused


def answer(code: str, status: int, *, operation: str = "DeleteEndpoint", retries: int = 0) -> ClientError:
    about = {"HTTPStatusCode": status, "RetryAttempts": retries}
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": about}, operation)  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    "error",
    [
        answer("AccessDeniedException", 400),
        answer("AccessDenied", 403),
        answer("ValidationException", 400),
        answer("ResourceLimitExceeded", 400),
        answer("PreconditionFailed", 412),
    ],
    ids=str,
)
def test_a_definite_refusal(error: Exception) -> None:
    assert refused(error)


@pytest.mark.parametrize(
    "error",
    [
        answer("ThrottlingException", 400),
        answer("SlowDown", 503),
        answer("InternalFailure", 500),
        answer("RequestTimeout", 400),
        answer("TooManyRequests", 429),
        answer("Timeout", 408),
        answer("AccessDeniedException", 400, retries=1),
        answer("AccessDeniedException", 400, operation="DescribeEndpoint"),
        ClientError({"Error": {"Code": "AccessDenied"}}, "DeleteEndpoint"),
        ReadTimeoutError(endpoint_url="https://api.sagemaker.example"),
        RuntimeError("anything else"),
    ],
    ids=str,
)
def test_what_leaves_it_open(error: Exception) -> None:
    assert not refused(error)
