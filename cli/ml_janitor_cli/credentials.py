"""The credentials that a command runs with, and the next step where AWS does not accept them."""

from __future__ import annotations

import os

import boto3
from botocore import exceptions as failed

from ml_janitor.aws.calls import failure_text, is_refusal
from ml_janitor.aws.client import ALWAYS_ENABLED_REGIONS, GET_CALLER_IDENTITY, Caller, read_caller
from ml_janitor.core.model import Signal, Unreadable, Value
from ml_janitor_cli.edge import FailedError

IDENTITY_ATTEMPTS = 5
"""Someone who mistyped an endpoint learns it in seconds; a service under load still gets several tries."""

NO_CREDENTIALS = (
    "there are no AWS credentials: sign in (aws sso login), or name a profile with --profile or AWS_PROFILE; "
    "to see a demo account instead: janitor sandbox -- janitor audit"
)

EXPIRED_CODES = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
REJECTED_CODES = ("InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure", "OptInRequired")
"""Error codes for rejected credentials; a region that is not enabled gives them too."""

SSO_SETTINGS = {"sso_session", "sso_start_url"}


def identify_caller(session: boto3.Session, region: str, attempts: int) -> Signal[Caller]:
    """Identify the session's credentials in *region*, or return the next step if that is impossible."""
    try:
        if session.get_credentials() is None:
            return Unreadable(NO_CREDENTIALS)
        return Value(read_caller(session, region, min(attempts, IDENTITY_ATTEMPTS)), GET_CALLER_IDENTITY)
    except Exception as error:  # any other error is a fault of ours, and raised as it is
        if (words := failure_text(error)) is None:
            raise
        step = credentials_advice(error, session, region)
        return Unreadable(f"{step} ({words})" if step else words)


def require_caller(session: boto3.Session, region: str, attempts: int) -> Caller:
    """Identify the credentials, for a command that needs them. Raises FailedError."""
    match identify_caller(session, region, attempts):
        case Value(caller):
            return caller
        case other:
            raise FailedError(getattr(other, "error", "the account is unknown"))


def credentials_advice(error: Exception, session: boto3.Session, region: str) -> str | None:
    """Say what is wrong, and what a person does about it; None where AWS's own words have to do."""
    if isinstance(error, (failed.SSOError, failed.TokenRetrievalError)):
        return f"you are not signed in: aws sso login --profile {sso_profile(session)}"
    if isinstance(error, (failed.ConnectionError, failed.HTTPClientError)):
        return unreachable_advice(region)
    if is_refusal(error, EXPIRED_CODES):
        return expired_advice(session)
    if is_refusal(error, REJECTED_CODES):
        return rejected_advice(session, region)
    return None


def sso_profile(session: boto3.Session) -> str:
    """Return the profile to sign in with: the session's, or the one that it takes its credentials from."""
    profiles = session._session.full_config.get("profiles", {})  # noqa: SLF001 - boto3 has no other way
    name, chain = session.profile_name, list[str]()
    while name and name not in chain:
        chain.append(name)
        if SSO_SETTINGS & profiles.get(name, {}).keys():
            return name
        name = profiles.get(name, {}).get("source_profile", "")
    return session.profile_name


def unreachable_advice(region: str) -> str:
    """Say where nothing answers, and what to try."""
    for name in ("AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"):
        if url := os.environ.get(name):
            return f"nothing answers at {url}: start what should listen there, or unset {name}"
    return f"AWS in {region} cannot be reached: check the network, the VPN and HTTPS_PROXY"


def expired_advice(session: boto3.Session) -> str:
    """Say which credentials have expired, and how to get new ones."""
    found = session.get_credentials()
    if found is not None and found.method == "env":
        return "the credentials in the environment have expired: export new ones, or unset AWS_SESSION_TOKEN"
    profile = sso_profile(session)
    config = session._session.full_config.get("profiles", {})  # noqa: SLF001
    if SSO_SETTINGS & config.get(profile, {}).keys():
        return f"the credentials have expired: aws sso login --profile {profile}"
    return f"the credentials of profile {profile} have expired: get new ones"


def rejected_advice(session: boto3.Session, region: str) -> str:
    """Say whether AWS does not know the credentials, or only *region* does not, because it is not enabled."""
    enabled = ALWAYS_ENABLED_REGIONS.get(session.get_partition_for_region(region), region)
    account = ""
    if enabled != region:
        try:
            account = read_caller(session, enabled, 1).account
        except Exception as error:  # any other error is a fault of ours, and raised as it is
            if failure_text(error) is None:
                raise
    if account:
        return (
            f"region {region} is not enabled in account {account}: enable it (AWS console, Account, "
            "AWS Regions), or leave it out of --region and of regions in janitor.toml"
        )
    return "AWS does not know these credentials: they were deleted or mistyped; sign in again"
