"""Whose credentials a command runs with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_janitor.aws.account import Caller, caller
from ml_janitor.aws.answers import attempt
from ml_janitor.core.model import Signal, Unreadable, Value

if TYPE_CHECKING:
    import boto3

MOST_ATTEMPTS = 5
"""Someone who mistyped an endpoint learns it in seconds; a service under load still gets several tries."""

NO_CREDENTIALS = (
    "there are no AWS credentials: sign in (aws sso login), or name a profile with --profile or AWS_PROFILE; "
    "to see a demo account instead: janitor sandbox -- janitor audit"
)


def caller_of(session: boto3.Session, region: str, attempts: int) -> Signal[Caller]:
    """Who the session's credentials are, or what to do if there are none."""
    match attempt(session.get_credentials, source="credentials"):
        case Value(None):
            return Unreadable(NO_CREDENTIALS)
        case Unreadable() as failed:
            return failed
        case _:
            return caller(session, region, min(attempts, MOST_ATTEMPTS))
