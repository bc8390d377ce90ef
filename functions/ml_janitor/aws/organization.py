"""Lists an organization's accounts and their enabled regions, and opens sessions in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ml_janitor.aws.answers import ReadError, error_text, failure_text, is_refusal

if TYPE_CHECKING:
    import boto3

LIST_ALL_ACCOUNTS = "organizations:ListAccounts"
LIST_UNIT_ACCOUNTS = "organizations:ListAccountsForParent and organizations:ListOrganizationalUnitsForParent"
ACTIVE_ACCOUNT = "ACTIVE"
MEMBER_SESSION_NAME = "ml-janitor"
"""The session name of the janitor in CloudTrail."""

ROLE_REFUSED = (
    "its role cannot be taken on: it is not there, or does not trust these credentials and this external id"
)
"""The text for all refusals of AssumeRole: AWS's message names the role, and never the reason."""

SEE_DOCTOR = "`janitor doctor --organization` says what mends it"

ENABLED_REGION_STATES = {"opt-in-not-required", "opted-in"}

ALWAYS_ENABLED_REGIONS = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}
"""A region of each partition that no account can disable (AWS Account Management Guide, "Regions")."""


class NotListedError(ReadError):
    """The accounts could not be listed; the message says what to do next."""


def list_accounts(client: Any, *, units: Sequence[str], without: Sequence[str]) -> dict[str, str]:
    """
    List the active accounts of the organization, or those in *units* and below, with their names; not
    those in *without*.

    Raises NotListedError, also if no account is left. A listing that broke off is an error: a missing account
    would look clean.
    """
    try:
        if units:
            found = {account: name for unit in units for account, name in _below(client, unit).items()}
        else:
            found = _active(client.get_paginator("list_accounts").paginate())
    except Exception as error:  # any other error is a fault of ours, and is raised unchanged
        if (words := failure_text(error)) is None:
            raise
        needed = LIST_UNIT_ACCOUNTS if units else LIST_ALL_ACCOUNTS
        raise NotListedError(f"{_next_step(error, needed)} ({words})") from error
    left = {account: name for account, name in found.items() if account not in without}
    if not left:
        named = "units" if units else "all_accounts"
        raise NotListedError(f"no active account is left to look at: {named} less without is empty")
    return left


def _below(client: Any, unit: str) -> dict[str, str]:
    found = _active(client.get_paginator("list_accounts_for_parent").paginate(ParentId=unit))
    pages = client.get_paginator("list_organizational_units_for_parent").paginate(ParentId=unit)
    for inner in [child["Id"] for page in pages for child in page["OrganizationalUnits"]]:
        found |= _below(client, inner)
    return found


def _active(pages: Any) -> dict[str, str]:
    """Return active accounts. AWS renamed `Status` to `State` in September 2026 (API reference, Account)."""
    listed = [account for page in pages for account in page["Accounts"]]
    active = (account for account in listed if (account.get("State") or account["Status"]) == ACTIVE_ACCOUNT)
    return {account["Id"]: account.get("Name", "") for account in active}


def _next_step(error: Exception, needed: str) -> str:
    if is_refusal(error, ("AWSOrganizationsNotInUseException",)):
        return "the account is in no organization: name accounts = [...] in [organization]"
    if is_refusal(error, ("AccessDeniedException",)):
        return (
            "Organizations lists accounts to the management account and to delegated administrators alone, "
            f"if they are allowed {needed}: run it there, or name accounts = [...] in [organization]"
        )
    if is_refusal(error, ("ParentNotFoundException",)):
        return "a unit of [organization] is not there"
    return "the accounts could not be listed"


def enabled_regions(ec2: Any) -> list[str]:
    """Return the enabled regions for the account of *ec2*; DescribeRegions may answer others."""
    return sorted(
        region["RegionName"]
        for region in ec2.describe_regions()["Regions"]
        if region["OptInStatus"] in ENABLED_REGION_STATES
    )


def open_member_session(sts: Any, session: boto3.Session, role: str, external_id: str) -> boto3.Session:
    """
    Return a session of *role*, which *sts* assumes with *external_id*; *session* supplies its region, its
    data of AWS, and its profile's proxies and endpoints.

    Raises the call's errors, and ReadError if the answer is for another account than that of *role*: the
    janitor never reads with credentials that it did not ask for.
    """
    import boto3
    import botocore.session

    answer = sts.assume_role(RoleArn=role, RoleSessionName=MEMBER_SESSION_NAME, ExternalId=external_id)
    account, got = role.split(":")[4], answer["AssumedRoleUser"]["Arn"].split(":")[4]
    if got != account:
        raise ReadError(f"credentials for account {account} were asked for, and those of {got} answered")
    given = answer["Credentials"]
    profile = session.profile_name  # "default" even without a profile of that name
    core = botocore.session.Session(profile=profile if profile in session.available_profiles else None)
    core.register_component("data_loader", session._session.get_component("data_loader"))  # noqa: SLF001
    return boto3.Session(
        given["AccessKeyId"],
        given["SecretAccessKey"],
        given["SessionToken"],
        region_name=session.region_name,
        botocore_session=core,
    )


def unread_sweep_error(error: Exception) -> str:
    """Return the error of a sweep that did not begin; for a refused permission, with the next step."""
    denied = is_refusal(error, ("AccessDenied", "UnauthorizedOperation"))  # the latter is what EC2 says
    closed = denied and getattr(error, "operation_name", "") == "AssumeRole"
    why = ROLE_REFUSED if closed else error_text(error)
    return f"could not be read: {why}{f'; {SEE_DOCTOR}' if denied else ''}"
