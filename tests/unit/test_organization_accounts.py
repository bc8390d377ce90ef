"""The accounts of an organization: which there are, what to do where they cannot be listed, and sessions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from conftest import ACCOUNT, REGION
from ml_janitor.aws.calls import ReadError
from ml_janitor.aws.client import (
    ALWAYS_ENABLED_REGIONS,
    enabled_regions,
    list_accounts,
    open_member_session,
    unread_sweep_error,
)
from scripted import DENIED, Refusal, Script, Torn
from tables import cases

ONE, TWO, THREE = (str(number) * 12 for number in (1, 2, 3))


def account(number: str, state: str = "ACTIVE", **more: str) -> dict[str, str]:
    return {"Id": number, "Name": f"name of {number[0]}", "State": state} | more


def listed(
    *, units: list[str] | None = None, without: list[str] | None = None, **answers: Any
) -> Mapping[str, str]:
    script = Script({f"organizations:{name}": answer for name, answer in answers.items()})
    return list_accounts(script.aws().client("organizations"), units=units or [], without=without or [])


def test_active_accounts_are_on_all_pages() -> None:
    old = {"Id": THREE, "Status": "ACTIVE"}
    closed = {"Id": "4" * 12, "Status": "SUSPENDED"}
    pages = [
        {"Accounts": [account(ONE), account("5" * 12, "CLOSED", Status="ACTIVE")]},
        {"Accounts": [account(TWO), old, closed]},
    ]

    assert listed(ListAccounts=pages) == {ONE: "name of 1", TWO: "name of 2", THREE: ""}
    assert listed(ListAccounts=pages, without=[TWO]) == {ONE: "name of 1", THREE: ""}


def test_accounts_of_units_are_those_below_them() -> None:
    below = {"ou-a": ["ou-b", "ou-c"], "ou-b": [], "ou-c": ["ou-d"], "ou-d": [], "ou-e": []}
    held = {"ou-a": [], "ou-b": [ONE], "ou-c": [], "ou-d": [TWO], "ou-e": [THREE]}

    def units(asked: Mapping[str, Any]) -> Any:
        names, second = below[asked["ParentId"]], "NextToken" in asked
        found = names[1:] if second else names[:1]
        more = {"NextToken": "1"} if names[1:] and not second else {}
        return {"OrganizationalUnits": [{"Id": name} for name in found]} | more

    def held_by(asked: Mapping[str, Any]) -> Any:
        return {"Accounts": [account(one) for one in held[asked["ParentId"]]]}

    answers: dict[str, Any] = {"ListOrganizationalUnitsForParent": units, "ListAccountsForParent": held_by}

    assert set(listed(units=["ou-a"], **answers)) == {ONE, TWO}
    assert set(listed(units=["ou-a", "ou-e"], **answers)) == {ONE, TWO, THREE}
    assert set(listed(units=["ou-d"], **answers)) == {TWO}


@cases(
    "code, said",
    ("AWSOrganizationsNotInUseException", "the account is in no organization: name accounts = [...]"),
    ("AccessDeniedException", "if they are allowed {needed}: run it there"),
    ("ParentNotFoundException", "a unit of [organization] is not there ("),
    ("TooManyRequestsException", "the accounts could not be listed ("),
)
@pytest.mark.parametrize("units", [[], ["ou-a"]])
def test_accounts_that_cannot_be_listed_say_what_to_do(code: str, said: str, units: list[str]) -> None:
    refusal = [{"Accounts": [account(ONE)]}, Refusal(code)]
    needed = (
        "organizations:ListAccountsForParent and organizations:ListOrganizationalUnitsForParent"
        if units
        else "organizations:ListAccounts"
    )

    with pytest.raises(ReadError) as refused:
        listed(units=units, ListAccounts=refusal, ListAccountsForParent=refusal)

    assert said.format(needed=needed) in str(refused.value)
    assert code in str(refused.value)


def test_no_account_is_no_organization_without_waste() -> None:
    pages = {"Accounts": [account(ONE)]}
    none = {"ListAccountsForParent": pages, "ListOrganizationalUnitsForParent": {"OrganizationalUnits": []}}

    with pytest.raises(ReadError, match="all_accounts less without is empty"):
        listed(ListAccounts=pages, without=[ONE])
    with pytest.raises(ReadError, match="units less without is empty"):
        listed(units=["ou-a"], without=[ONE], **none)
    with pytest.raises(AssertionError):  # a fault of ours is raised unchanged
        listed()


def test_enabled_regions_are_sorted_and_no_others() -> None:
    kinds = {"eu-west-1": "opt-in-not-required", "me-south-1": "not-opted-in", "af-south-1": "opted-in"}
    answer = {"Regions": [{"RegionName": name, "OptInStatus": kind} for name, kind in kinds.items()]}

    assert enabled_regions(Script({"ec2:DescribeRegions": answer}).aws().client("ec2")) == [
        "af-south-1",
        "eu-west-1",
    ]
    off = {"RegionName": "us-east-1", "OptInStatus": "not-opted-in"}
    for regions in ([], [off]):
        with pytest.raises(ReadError, match="DescribeRegions names no enabled region"):
            enabled_regions(Script({"ec2:DescribeRegions": {"Regions": regions}}).aws().client("ec2"))
    assert ALWAYS_ENABLED_REGIONS == {
        "aws": "us-east-1",
        "aws-cn": "cn-north-1",
        "aws-us-gov": "us-gov-west-1",
    }


def taken_on(own: boto3.Session, answered: str = ACCOUNT) -> Any:
    """A session of a role of the account, for which credentials of the account *answered* come."""
    credentials = {"AccessKeyId": "a" * 16, "SecretAccessKey": "b", "SessionToken": "c"}
    arn = f"arn:aws:sts::{answered}:assumed-role/x/ml-janitor"
    script = Script({"sts:AssumeRole": Torn({"AssumedRoleUser": {"Arn": arn}, "Credentials": credentials})})
    role = f"arn:aws:iam::{ACCOUNT}:role/x"
    session = open_member_session(script.aws().armed().client("sts"), own, role, "ml-janitor-7f3a")
    assert script.asked("sts:AssumeRole") == [
        {"RoleArn": role, "RoleSessionName": "ml-janitor", "ExternalId": "ml-janitor-7f3a"}
    ]
    return session


def test_credentials_of_another_account_are_not_used() -> None:
    with pytest.raises(ReadError, match=f"for account {ACCOUNT} were asked for, and those of {ONE}"):
        taken_on(boto3.Session(region_name=REGION), ONE)


@pytest.mark.parametrize("profile", ["us", None])
def test_a_role_keeps_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, profile: str | None) -> None:
    config = tmp_path / "config"
    config.write_text(
        "[profile us]\nca_bundle = /proxy.pem\naws_access_key_id = k\naws_secret_access_key = s\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    own: Any = boto3.Session(profile_name=profile, region_name=REGION)

    theirs = taken_on(own)

    assert theirs._session.get_config_variable("ca_bundle") == ("/proxy.pem" if profile else None)
    assert theirs.get_credentials().get_frozen_credentials()[:3] == ("a" * 16, "b", "c")
    assert theirs.region_name == REGION
    loaders = [one._session.get_component("data_loader") for one in (own, theirs)]
    assert loaders[0] is loaders[1]


@cases(
    "code, operation, role, see",
    ("AccessDenied", "AssumeRole", True, True),
    ("UnauthorizedOperation", "DescribeRegions", False, True),
    ("AccessDenied", "DescribeRegions", False, True),
    ("Throttling", "AssumeRole", False, False),
)
def test_an_account_that_was_not_read_says_why(code: str, operation: str, role: bool, see: bool) -> None:  # noqa: FBT001
    said = unread_sweep_error(ClientError({"Error": {"Code": code, "Message": "no"}}, operation))

    assert said.startswith("could not be read: ")
    assert ("its role cannot be taken on" in said, f"{operation}: {code}" in said) == (role, not role)
    assert said.endswith("`janitor doctor --organization` says what mends it") is see


def test_a_refusal_of_everything_is_a_refusal() -> None:
    with pytest.raises(ReadError):
        listed(ListAccounts=DENIED)
