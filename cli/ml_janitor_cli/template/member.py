"""The grants of each account of an organization: a CloudFormation template for StackSets, and Terraform."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from ml_janitor.bill.resources import bill_readers
from ml_janitor.config.functions import list_advisers
from ml_janitor.config.member_roles import (
    CHANGING_STACK,
    OTHER_ACCOUNT,
    READING_STACK,
    MemberRole,
    PolicyDocument,
    RoleKind,
    changing_roles,
    member_boundary,
    member_role,
    named_accounts,
    role_policy,
    sweep_readers,
    trust_policy,
)
from ml_janitor.config.settings import Settings
from ml_janitor.config.values import InvalidInputError
from ml_janitor.core.text import count_noun

# --- CloudFormation -------------------------------------------------------------------------------

STACK_DESCRIPTIONS = {
    READING_STACK: "ML Janitor: the roles that let it read this account",
    CHANGING_STACK: "ML Janitor: the roles that let it act in this account, and undo that",
}

OR_CONDITIONS = 10
"""Maximum number of conditions of `Fn::Or` (CloudFormation user guide, "Condition functions")."""


def write_member_roles(settings: Settings, folder: Path, today: date) -> list[Path]:
    """
    Write the templates into *folder*, and Terraform that makes the same roles; return their paths.

    Roles that act have files of their own, where something is armed or can be undone *today*. Raises
    InvalidInputError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, roles in member_stacks(settings, today).items():
        if roles:
            template, module = folder / f"{name}.template.json", folder / f"{name}.tf"
            write_member_template(settings, name, roles, template)
            module.write_text(terraform_module(settings, STACK_DESCRIPTIONS[name], roles), encoding="utf-8")
            paths += [template, module]
    upgrade = folder / f"{READING_STACK}-upgrade.template.json"
    write_member_template(settings, READING_STACK, upgrading_roles(settings), upgrade)
    return [*paths, upgrade]


def write_member_template(settings: Settings, name: str, roles: Sequence[MemberRole], path: Path) -> None:
    """Write the template of the stack *name* with *roles*."""
    text = json.dumps(member_template(settings, name, roles), separators=(",", ":"))
    path.write_text(f"{text}\n", encoding="utf-8")


def upgrading_roles(settings: Settings) -> list[MemberRole]:
    """
    Return the roles that read, and beside them those of stacks with a function for each adviser.

    An upgrade needs both while the old functions still run.
    """
    earlier = [member_role(detector, RoleKind.READ) for detector in list_advisers(settings)]
    return [*reading_roles(settings), *earlier]


def member_stacks(settings: Settings, today: date) -> dict[str, list[MemberRole]]:
    """Return the roles of each stack: the roles that read, and those that change something."""
    return {
        READING_STACK: reading_roles(settings),
        CHANGING_STACK: changing_roles(settings, today),
    }


def reading_roles(settings: Settings) -> list[MemberRole]:
    """Return the roles through which detectors and the bill read."""
    readers = [*sweep_readers(settings), *bill_readers(settings.bill)]
    return [member_role(reader, RoleKind.READ) for reader in readers]


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


# --- Terraform ------------------------------------------------------------------------------------


def terraform_module(settings: Settings, about: str, roles: Sequence[MemberRole]) -> str:
    """Return the roles as a Terraform module: apply it in each account, with the provider that is there."""
    here = {
        "account": "${data.aws_caller_identity.here.account_id}",
        "partition": "${data.aws_partition.here.partition}",
    }
    bounded_by = member_boundary(settings, **here)
    blocks = [TERRAFORM_HEAD.format(description=about)]
    for role in roles:
        label = role.name.removeprefix("ml-janitor-member-").replace("-", "_")
        there = role_variants(settings, role, shown=here["account"], partition=here["partition"])
        counts = [_count(variant) for variant in there]
        if not there:
            continue
        count = " || ".join(counts) if all(counts) else ""
        blocks += [
            f'resource "aws_iam_role" "{label}" {{',
            *_counted(count),
            f"  name               = {json.dumps(role.name)}",
            f"  path               = {json.dumps(settings.janitor.role_path)}",
            f"  description        = {json.dumps(role_description(role))}",
            f"  assume_role_policy = data.aws_iam_policy_document.{label}_trust.json",
            *([f"  permissions_boundary = {json.dumps(bounded_by)}"] if bounded_by else []),
            "}\n",
            *_policy_document(f"{label}_trust", trust_policy(settings, role, partition=here["partition"])),
        ]
        for number, (variant, own) in enumerate(zip(there, counts, strict=True)):
            policy = f"{label}_{number}" if number else label
            blocks += [
                f'resource "aws_iam_role_policy" "{policy}" {{',
                *_counted(own),
                f"  name   = {json.dumps(role.kind.value)}",
                f"  role   = aws_iam_role.{label}{'[0]' if count else ''}.id",
                f"  policy = data.aws_iam_policy_document.{policy}.json",
                "}\n",
                *_policy_document(policy, variant.document),
            ]
    return "\n".join(blocks)


def _count(variant: RoleVariant) -> str:
    """Return the expression that is true where *variant* holds; empty where it always does."""
    if not variant.accounts:
        return ""
    test = f"contains({json.dumps(variant.accounts)}, data.aws_caller_identity.here.account_id)"
    return f"!{test}" if variant.but else test


def _counted(count: str) -> list[str]:
    return [f"  count = {count} ? 1 : 0"] if count else []


TERRAFORM_HEAD = """# {description}.
# Written from janitor.toml; the template beside it makes the same roles. Apply it in every account.

terraform {{
  required_providers {{
    aws = {{
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }}
  }}
}}

data "aws_caller_identity" "here" {{}}

data "aws_partition" "here" {{}}
"""


def _policy_document(name: str, document: Mapping[str, Any]) -> Iterator[str]:
    """Write a policy in Terraform's syntax."""
    yield f'data "aws_iam_policy_document" "{name}" {{'
    for statement in document["Statement"]:
        yield "  statement {"
        yield f"    effect    = {json.dumps(statement['Effect'])}"
        yield from _listed("actions", statement["Action"])
        yield from _listed("resources", statement.get("Resource", ()))
        for kind, identifiers in statement.get("Principal", {}).items():
            yield "    principals {"
            yield f"      type        = {json.dumps(kind)}"
            yield f"      identifiers = [{json.dumps(identifiers)}]"
            yield "    }"
        for test, pairs in statement.get("Condition", {}).items():
            for key, values in pairs.items():
                yield "    condition {"
                yield f"      test     = {json.dumps(test)}"
                yield f"      variable = {json.dumps(key)}"
                yield f"      values   = {json.dumps([values] if isinstance(values, str) else values)}"
                yield "    }"
        yield "  }"
    yield "}\n"


def _listed(name: str, values: Sequence[str]) -> Iterator[str]:
    if values:
        yield f"    {name} = ["
        yield from (f"      {json.dumps(value)}," for value in values)
        yield "    ]"


# --- variants of a role ---------------------------------------------------------------------------
# Accounts with the same policy share a variant.

LONGEST_ROLE_POLICIES = 10_240
"""Characters of all inline policies of a role, without blanks (IAM user guide, "IAM and STS quotas")."""


@dataclass(frozen=True, slots=True)
class RoleVariant:
    """A role's policy in some *accounts*: those, or all *but* those."""

    document: PolicyDocument
    accounts: tuple[str, ...] = ()
    but: bool = True


def role_variants(settings: Settings, role: MemberRole, *, shown: str, partition: str) -> list[RoleVariant]:
    """
    Return the policies of *role* with the accounts that share them; nothing for accounts without the role.

    Raises InvalidInputError for a policy that IAM would not take.
    """

    def of(account: str) -> PolicyDocument | None:
        document = role_policy(settings, role, account=account, partition=partition, shown=shown)
        if document is not None and (length := _length(document, shown, partition)) > LONGEST_ROLE_POLICIES:
            raise InvalidInputError(
                f"organization: the policy of {role.name} in {account} has "
                f"{count_noun(length, 'character')}, and IAM "
                f"takes {LONGEST_ROLE_POLICIES}: name fewer regions, buckets, prefixes or roles, or "
                f"shorter ones"
            )
        return document

    elsewhere = of(OTHER_ACCOUNT)
    by_document: dict[str, tuple[PolicyDocument | None, list[str]]] = {}
    for account in named_accounts(settings) if role.kind is not RoleKind.READ else ():
        document = of(account)
        if document != elsewhere:
            by_document.setdefault(json.dumps(document), (document, []))[1].append(account)
    apart = tuple(account for _, accounts in by_document.values() for account in accounts)
    found = [
        RoleVariant(document, tuple(accounts), but=False)
        for document, accounts in by_document.values()
        if document
    ]
    return [*found, *([RoleVariant(elsewhere, apart)] if elsewhere else [])]


def _length(document: PolicyDocument, shown: str, partition: str) -> int:
    """Return the length as IAM counts it, for an account and the longest partition there is."""
    text = json.dumps(document, separators=(",", ":"))
    return len(text.replace(shown, OTHER_ACCOUNT).replace(partition, "aws-us-gov").replace(" ", ""))


def role_description(role: MemberRole) -> str:
    """Describe *role*: IAM takes 1,000 characters, few beside letters (API reference, CreateRole)."""
    what = {RoleKind.READ: "reads for", RoleKind.ACT: "acts for", RoleKind.UNDO: "undoes what was done for"}[
        role.kind
    ]
    return f"ML Janitor, {what} {role.reader.name}: {role.reader.summary()}"[:1000]
