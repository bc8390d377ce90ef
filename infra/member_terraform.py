"""Terraform of the roles that accounts of an organization grant."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from infra.member_variants import RoleVariant, role_description, role_variants
from ml_janitor.config.member_roles import MemberRole, member_boundary, trust_policy
from ml_janitor.config.settings import Settings


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
