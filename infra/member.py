"""What each account of an organization grants: a CloudFormation template for StackSets, and Terraform."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from infra.member_terraform import terraform
from infra.member_variants import Variant, description, variants
from ml_janitor.bill.resources import bill_readers
from ml_janitor.config.member_roles import (
    CHANGING,
    READING,
    Kind,
    MemberRole,
    boundary,
    changing_roles,
    role_of,
    trust,
)
from ml_janitor.config.settings import Settings

DESCRIPTIONS = {
    READING: "ML Janitor: the roles that let it read this account, one per detector",
    CHANGING: "ML Janitor: the roles that let it act in this account, and undo that",
}

ANY = 10
"""How many conditions `Fn::Or` takes (CloudFormation user guide, "Condition functions")."""


def write(settings: Settings, folder: Path, today: date) -> list[Path]:
    """
    Write the templates into *folder*, and Terraform that makes the same roles; the answer is their paths.

    What acts has files of its own, where something is armed or can be undone *today*. Raises SettingsError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, roles in stacks(settings, today).items():
        if roles:
            text = json.dumps(template(settings, name, roles), separators=(",", ":")) + "\n"
            for path, content in (
                (folder / f"{name}.template.json", text),
                (folder / f"{name}.tf", terraform(settings, DESCRIPTIONS[name], roles)),
            ):
                path.write_text(content, encoding="utf-8")
                paths.append(path)
    return paths


def stacks(settings: Settings, today: date) -> dict[str, list[MemberRole]]:
    """The roles of each stack: those that read, and those that change something."""
    return {
        READING: [
            *(role_of(detector, Kind.READ) for detector in settings.enabled()),
            *(role_of(reader, Kind.READ) for reader in bill_readers(settings.bill)),
        ],
        CHANGING: changing_roles(settings, today),
    }


def template(settings: Settings, name: str, roles: Sequence[MemberRole]) -> dict[str, Any]:
    """
    The template of the stack *name*: nothing in it depends on the region, and every name is fixed.

    IAM is global, so a StackSet puts it into one region of each account; in a second one the names would be
    taken. Service-managed StackSets leave the management account out, which gets it as a stack of its own.
    A role is made only in the accounts that have it.
    """
    here = {"account": "${AWS::AccountId}", "partition": "${AWS::Partition}"}
    bounded_by = boundary(settings, **here)
    conditions: dict[str, Any] = {}
    resources: dict[str, Any] = {}
    for role in roles:
        there = variants(settings, role, shown=here["account"], partition=here["partition"])
        named = [_condition(one, conditions) for one in there]
        policies = [
            {"PolicyName": role.kind.value, "PolicyDocument": _filled_in(one.document)} for one in there
        ]
        if not there:
            continue
        resources[_logical_id(role)] = {
            "Type": "AWS::IAM::Role",
            **({"Condition": _any_of(named, conditions)} if all(named) else {}),
            "Properties": {
                "RoleName": role.name,
                "Path": settings.janitor.role_path,
                "Description": description(role),
                "AssumeRolePolicyDocument": _filled_in(trust(settings, role, partition=here["partition"])),
                "Policies": [
                    {"Fn::If": [condition, policy, {"Ref": "AWS::NoValue"}]} if len(there) > 1 else policy
                    for condition, policy in zip(named, policies, strict=True)
                ],
                **({"PermissionsBoundary": _filled_in(bounded_by)} if bounded_by else {}),
            },
        }
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": DESCRIPTIONS[name],
        **({"Conditions": conditions} if conditions else {}),
        "Resources": resources,
    }


def _condition(variant: Variant, conditions: dict[str, Any]) -> str:
    """The name of the condition that holds where *variant* does, which is added; "" where it always does."""
    if not variant.accounts:
        return ""
    tests: list[Any] = [{"Fn::Equals": [{"Ref": "AWS::AccountId"}, one]} for one in variant.accounts]
    one = _or(tests, conditions)
    return _named({"Fn::Not": [one]} if variant.but else one, conditions)


def _any_of(named: Sequence[str], conditions: dict[str, Any]) -> str:
    if len(named) == 1:
        return named[0]
    return _named(_or([{"Condition": one} for one in named], conditions), conditions)


def _or(tests: list[Any], conditions: dict[str, Any]) -> Any:
    """Whether any of *tests* holds, a few at a time."""
    while len(tests) > 1:
        some = [tests[at : at + ANY] for at in range(0, len(tests), ANY)]
        tests = [{"Fn::Or": each} if len(each) > 1 else each[0] for each in some]
        if len(tests) > 1:
            tests = [{"Condition": _named(each, conditions)} for each in tests]
    return tests[0]


def _named(test: Any, conditions: dict[str, Any]) -> str:
    """The name of the condition *test*, which is added unless it is there."""
    known = next((name for name, one in conditions.items() if one == test), None)
    name = known or f"Accounts{len(conditions) + 1}"
    conditions[name] = test
    return name


def _logical_id(role: MemberRole) -> str:
    what = {Kind.READ: "", Kind.ACT: "Act", Kind.UNDO: "Undo"}[role.kind]
    return f"{what}{type(role.reader).__name__}"


def _filled_in(value: Any) -> Any:
    """*value*, in which CloudFormation fills in the account and the partition."""
    match value:
        case str() if "${" in value:
            return {"Fn::Sub": value}
        case dict():
            return {key: _filled_in(one) for key, one in value.items()}
        case list():
            return [_filled_in(one) for one in value]
        case _:
            return value
