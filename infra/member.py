"""The grants of each account of an organization: a CloudFormation template for StackSets, and Terraform."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from infra.member_terraform import terraform_module
from infra.member_variants import RoleVariant, role_description, role_variants
from ml_janitor.bill.resources import bill_readers
from ml_janitor.config.member_roles import (
    CHANGING_STACK,
    READING_STACK,
    MemberRole,
    RoleKind,
    changing_roles,
    member_boundary,
    member_role,
    trust_policy,
)
from ml_janitor.config.settings import Settings

STACK_DESCRIPTIONS = {
    READING_STACK: "ML Janitor: the roles that let it read this account, one per detector",
    CHANGING_STACK: "ML Janitor: the roles that let it act in this account, and undo that",
}

OR_CONDITIONS = 10
"""Maximum number of conditions of `Fn::Or` (CloudFormation user guide, "Condition functions")."""


def write_member_roles(settings: Settings, folder: Path, today: date) -> list[Path]:
    """
    Write the templates into *folder*, and Terraform that makes the same roles; return their paths.

    Roles that act have files of their own, where something is armed or can be undone *today*. Raises
    SettingsError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, roles in member_stacks(settings, today).items():
        if roles:
            text = json.dumps(member_template(settings, name, roles), separators=(",", ":")) + "\n"
            for path, content in (
                (folder / f"{name}.template.json", text),
                (folder / f"{name}.tf", terraform_module(settings, STACK_DESCRIPTIONS[name], roles)),
            ):
                path.write_text(content, encoding="utf-8")
                paths.append(path)
    return paths


def member_stacks(settings: Settings, today: date) -> dict[str, list[MemberRole]]:
    """Return the roles of each stack: the roles that read, and those that change something."""
    return {
        READING_STACK: [
            *(member_role(detector, RoleKind.READ) for detector in settings.enabled()),
            *(member_role(reader, RoleKind.READ) for reader in bill_readers(settings.bill)),
        ],
        CHANGING_STACK: changing_roles(settings, today),
    }


def member_template(settings: Settings, name: str, roles: Sequence[MemberRole]) -> dict[str, Any]:
    """
    Return the template of the stack *name*: it does not depend on the region, and every name is fixed.

    IAM is global, so a StackSet puts it into one region of each account; in a second one the names would be
    taken. Service-managed StackSets leave the management account out, which gets it as a stack of its own. A
    role is made only in the accounts that have it.
    """
    here = {"account": "${AWS::AccountId}", "partition": "${AWS::Partition}"}
    bounded_by = member_boundary(settings, **here)
    conditions: dict[str, Any] = {}
    resources: dict[str, Any] = {}
    for role in roles:
        there = role_variants(settings, role, shown=here["account"], partition=here["partition"])
        named = [_condition(variant, conditions) for variant in there]
        policies = [
            {"PolicyName": role.kind.value, "PolicyDocument": _filled_in(variant.document)}
            for variant in there
        ]
        if not there:
            continue
        resources[_logical_id(role)] = {
            "Type": "AWS::IAM::Role",
            **({"Condition": _any_of(named, conditions)} if all(named) else {}),
            "Properties": {
                "RoleName": role.name,
                "Path": settings.janitor.role_path,
                "Description": role_description(role),
                "AssumeRolePolicyDocument": _filled_in(
                    trust_policy(settings, role, partition=here["partition"])
                ),
                "Policies": [
                    {"Fn::If": [condition, policy, {"Ref": "AWS::NoValue"}]} if len(there) > 1 else policy
                    for condition, policy in zip(named, policies, strict=True)
                ],
                **({"PermissionsBoundary": _filled_in(bounded_by)} if bounded_by else {}),
            },
        }
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": STACK_DESCRIPTIONS[name],
        **({"Conditions": conditions} if conditions else {}),
        "Resources": resources,
    }


def _condition(variant: RoleVariant, conditions: dict[str, Any]) -> str:
    """Add the condition that holds where *variant* does, and return its name; "" where it always holds."""
    if not variant.accounts:
        return ""
    tests: list[Any] = [{"Fn::Equals": [{"Ref": "AWS::AccountId"}, account]} for account in variant.accounts]
    any_of = _or(tests, conditions)
    return _named({"Fn::Not": [any_of]} if variant.but else any_of, conditions)


def _any_of(named: Sequence[str], conditions: dict[str, Any]) -> str:
    if len(named) == 1:
        return named[0]
    return _named(_or([{"Condition": name} for name in named], conditions), conditions)


def _or(tests: list[Any], conditions: dict[str, Any]) -> Any:
    """Return a condition that holds if any of *tests* holds, a few at a time."""
    while len(tests) > 1:
        groups = [tests[at : at + OR_CONDITIONS] for at in range(0, len(tests), OR_CONDITIONS)]
        tests = [{"Fn::Or": group} if len(group) > 1 else group[0] for group in groups]
        if len(tests) > 1:
            tests = [{"Condition": _named(test, conditions)} for test in tests]
    return tests[0]


def _named(test: Any, conditions: dict[str, Any]) -> str:
    """Return the name of the condition *test*, which is added unless it is there."""
    known = next((name for name, condition in conditions.items() if condition == test), None)
    name = known or f"Accounts{len(conditions) + 1}"
    conditions[name] = test
    return name


def _logical_id(role: MemberRole) -> str:
    what = {RoleKind.READ: "", RoleKind.ACT: "Act", RoleKind.UNDO: "Undo"}[role.kind]
    return f"{what}{type(role.reader).__name__}"


def _filled_in(value: Any) -> Any:
    """Return *value*, in which CloudFormation fills in the account and the partition."""
    match value:
        case str() if "${" in value:
            return {"Fn::Sub": value}
        case dict():
            return {key: _filled_in(item) for key, item in value.items()}
        case list():
            return [_filled_in(item) for item in value]
        case _:
            return value
