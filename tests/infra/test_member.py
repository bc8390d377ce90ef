"""The roles that accounts of an organization grant: the same from either file, and no more than reading."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hcl2
import pytest
from cfnlint.api import lint_all

from infra import member
from ml_janitor.config.member_roles import (
    ACCOUNTS_FUNCTION_ROLE,
    OF_ITSELF,
    UNDO_FUNCTION_ROLE,
    UNDO_ROLE,
    acting_role_name,
    role_for,
    role_name,
    sweep_role_name,
)
from ml_janitor.config.settings import Settings, SettingsError
from ml_janitor.detectors import DETECTORS
from synthesis import SLACK, synthesise

HOME = "123456789012"
CALLER = f"arn:aws:iam::{HOME}:role/platform-*"
ORGANIZATION: dict[str, Any] = {
    "id": "o-a1b2c3d4e5",
    "janitor_account": HOME,
    "external_id": "ml-janitor-7f3a",
    "callers": [CALLER],
    "all_accounts": True,
}
DEMANDED = {"permissions_boundary": f"arn:aws:iam::{HOME}:policy/boundary", "role_path": "/platform/"}
TWO: dict[str, Any] = {"regions": ["eu-west-1", "us-east-1"]}
SEVENTEEN: dict[str, Any] = {"regions": [f"ap-southeast-{number}" for number in range(1, 18)]}


def settings(janitor: dict[str, Any] | None = None, **organization: Any) -> Settings:
    return Settings.parse({"janitor": janitor or {}, "organization": ORGANIZATION | organization})


def roles_of(given: Settings) -> dict[str, dict[str, Any]]:
    """The roles through which detectors read, by detector."""
    made = member.template(given)["Resources"].values()
    return {detector.name: role["Properties"] for detector, role in zip(given.enabled(), made, strict=True)}


def resolved(value: Any) -> Any:
    """What `Fn::Sub` fills in, as it stands there."""
    match value:
        case {"Fn::Sub": str(text)}:
            return text
        case dict():
            return {key: resolved(one) for key, one in value.items()}
        case list():
            return [resolved(one) for one in value]
        case _:
            return value


def unquoted(value: Any) -> Any:
    """What python-hcl2 read, with texts in place of the HCL that stands for them."""
    match value:
        case str() if value.startswith('"'):
            text = json.loads(value).replace(
                "${data.aws_caller_identity.here.account_id}", "${AWS::AccountId}"
            )
            return text.replace("${data.aws_partition.here.partition}", "${AWS::Partition}")
        case dict():
            return {unquoted(key): unquoted(one) for key, one in value.items() if key != "__is_block__"}
        case list():
            return [unquoted(one) for one in value]
        case _:
            return value


def policy_of(block: dict[str, Any]) -> dict[str, Any]:
    """A block `aws_iam_policy_document` as the provider renders it."""
    statements = []
    for one in block["statement"]:
        made: dict[str, Any] = {"Effect": one["effect"], "Action": one["actions"]}
        if "resources" in one:
            made["Resource"] = one["resources"]
        for principal in one.get("principals", ()):
            made.setdefault("Principal", {})[principal["type"]] = principal["identifiers"][0]
        for condition in one.get("condition", ()):
            tests = made.setdefault("Condition", {}).setdefault(condition["test"], {})
            tests[condition["variable"]] = condition["values"]
        statements.append(made)
    return {"Version": "2012-10-17", "Statement": statements}


@pytest.mark.parametrize(
    "given",
    [settings(), settings(DEMANDED, **TWO), settings(id="", all_accounts=False, accounts=["210987654321"])],
)
def test_the_template_and_terraform_grant_the_same(given: Settings) -> None:
    roles = [resolved(one["Properties"]) for one in member.template(given)["Resources"].values()]
    read = unquoted(hcl2.loads(member.terraform(given)))
    documents, made, attached = dict[str, Any](), dict[str, Any](), dict[str, Any]()
    for block in read["data"]:
        documents |= block.get("aws_iam_policy_document", {})
    for block in read["resource"]:
        made |= block.get("aws_iam_role", {})
        attached |= block.get("aws_iam_role_policy", {})

    assert len(roles) == len(made) == len(attached) == len(given.enabled()) == len(documents) / 2
    for (label, role), expected in zip(made.items(), roles, strict=True):
        policy = attached[label]
        assert role["assume_role_policy"] == f"${{data.aws_iam_policy_document.{label}_trust.json}}"
        assert policy["role"] == f"${{aws_iam_role.{label}.id}}"
        assert policy["policy"] == f"${{data.aws_iam_policy_document.{label}.json}}"
        again = {
            "RoleName": role["name"],
            "Path": role["path"],
            "Description": role["description"],
            "AssumeRolePolicyDocument": policy_of(documents[f"{label}_trust"]),
            "Policies": [{"PolicyName": policy["name"], "PolicyDocument": policy_of(documents[label])}],
        }
        if boundary := role.get("permissions_boundary"):
            again["PermissionsBoundary"] = boundary
        assert again == expected


def test_a_role_holds_what_its_detector_reads_and_itself_and_changes_nothing() -> None:
    given = settings(**TWO)
    for detector, role in zip(given.enabled(), member.template(given)["Resources"].values(), strict=True):
        (policy,) = resolved(role["Properties"]["Policies"])
        statements = policy["PolicyDocument"]["Statement"]
        granted = {action for one in statements for action in one["Action"]}
        own = f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role/{role['Properties']['RoleName']}"

        assert granted == {one.action for one in detector.reads} | {"ec2:DescribeRegions", *OF_ITSELF}
        for one in statements:
            assert one["Effect"] == "Allow"
            regional = any(
                resource.startswith("arn:${AWS::Partition}:") and ":*:${AWS::AccountId}:" in resource
                for resource in one["Resource"]
            )
            only = one.get("Condition", {}).get("StringEquals", {}).get("aws:RequestedRegion")
            assert only == (TWO["regions"] if regional else None)
            if set(one["Action"]) & set(OF_ITSELF):
                assert one["Resource"] == [own]


def test_a_role_trusts_its_callers_and_its_function_with_the_external_id_and_from_the_organization() -> None:
    for name, role in roles_of(settings({"role_path": "/platform/"})).items():
        (statement,) = resolved(role["AssumeRolePolicyDocument"])["Statement"]
        function = f"arn:${{AWS::Partition}}:iam::{HOME}:role/platform/ml-janitor-sweep-{name}"

        assert statement == {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:${{AWS::Partition}}:iam::{HOME}:root"},
            "Action": ["sts:AssumeRole"],
            "Condition": {
                "ArnLike": {
                    "aws:PrincipalArn": [CALLER.replace("arn:aws:", "arn:${AWS::Partition}:"), function]
                },
                "StringEquals": {
                    "sts:ExternalId": ["ml-janitor-7f3a"],
                    "aws:PrincipalOrgID": ["o-a1b2c3d4e5"],
                },
            },
        }


def test_the_acting_role_is_taken_on_only_where_the_detector_is_armed() -> None:
    armed = {"mode": "act", "act_in": ["210987654321/eu-west-1"]}
    detectors = {"idle-endpoints": armed, "idle-notebooks": {**armed, "enabled": False}}
    given = Settings.parse({"organization": ORGANIZATION, "detectors": detectors})

    assert role_for(given, "idle-endpoints", "210987654321") == "ml-janitor-member-act-idle-endpoints"
    assert role_for(given, "idle-endpoints", "333333333333") == "ml-janitor-member-idle-endpoints"
    assert role_for(given, "idle-notebooks", "210987654321") == "ml-janitor-member-idle-notebooks"
    assert role_for(settings(), "idle-endpoints", "210987654321") == "ml-janitor-member-idle-endpoints"


def test_every_role_of_the_janitor_has_a_name_of_its_own_that_iam_takes() -> None:
    names = [UNDO_ROLE, UNDO_FUNCTION_ROLE, ACCOUNTS_FUNCTION_ROLE]
    for detector in DETECTORS:
        names += [each(detector.name) for each in (role_name, acting_role_name, sweep_role_name)]

    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= 64


def test_what_cloudformation_and_iam_limit_is_kept_to(tmp_path: Path) -> None:
    path, _ = member.write(settings(DEMANDED, **SEVENTEEN), tmp_path)
    template = json.loads(path.read_text())

    found = [one for one in lint_all(path.read_text()) if one.rule.severity != "informational"]
    assert [str(one) for one in found] == []
    for role in template["Resources"].values():
        (policy,) = resolved(role["Properties"]["Policies"])
        assert len(role["Properties"]["RoleName"]) <= 64
        assert len(json.dumps(policy["PolicyDocument"], separators=(",", ":"))) < 10_240


def test_synth_writes_both_and_one_account_gets_neither(tmp_path: Path) -> None:
    slack = {"janitor": SLACK["janitor"]}
    alone = synthesise(tmp_path / "alone", Settings.parse(slack))
    several = synthesise(tmp_path / "several", Settings.parse({**slack, "organization": ORGANIZATION}))

    assert {one.name for one in several.path.parent.glob("ml-janitor-member*")} == {
        member.TEMPLATE,
        member.TERRAFORM,
    }
    assert not list(alone.path.parent.glob("ml-janitor-member*"))


def test_an_organization_is_only_reported_on(tmp_path: Path) -> None:
    armed = {"idle-notebooks": {"mode": "act", "act_in": [HOME]}}
    given = Settings.parse(
        {"organization": ORGANIZATION, "detectors": armed, "janitor": {"time_zone": "UTC"}}
    )
    with pytest.raises(
        SettingsError, match=r'idle-notebooks: mode = "act" does not go with \[organization\]'
    ):
        synthesise(tmp_path, given)
