"""What each account of an organization grants: a CloudFormation template for StackSets, and Terraform."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_janitor.config.member_roles import (
    POLICY,
    Document,
    allowed,
    boundary,
    role_name,
    sweep_role_name,
    trust,
)
from ml_janitor.config.settings import Settings
from ml_janitor.engine.detector import Detector

TEMPLATE, TERRAFORM = "ml-janitor-member.template.json", "ml-janitor-member.tf"

DESCRIPTION = "ML Janitor: the roles that let it read this account, one per detector"


def write(settings: Settings, folder: Path) -> tuple[Path, Path]:
    """Write both into *folder*: the template, and Terraform that makes the same roles."""
    paths = folder / TEMPLATE, folder / TERRAFORM
    contents = json.dumps(template(settings), separators=(",", ":")) + "\n", terraform(settings)
    for path, content in zip(paths, contents, strict=True):
        path.write_text(content, encoding="utf-8")
    return paths


def template(settings: Settings) -> dict[str, Any]:
    """
    The template: nothing in it depends on the region, and every name is fixed.

    IAM is global, so a StackSet puts it into one region of each account; in a second one the names would be
    taken. Service-managed StackSets leave the management account out, which gets it as a stack of its own.
    """
    here = {"account": "${AWS::AccountId}", "partition": "${AWS::Partition}"}
    bounded_by = boundary(settings, **here)
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": DESCRIPTION,
        "Resources": {
            type(detector).__name__: {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "RoleName": role_name(detector.name),
                    "Path": settings.janitor.role_path,
                    "Description": _description(detector),
                    "AssumeRolePolicyDocument": _filled_in(_trust(settings, detector, here["partition"])),
                    "Policies": [
                        {
                            "PolicyName": POLICY,
                            "PolicyDocument": _filled_in(allowed(settings, detector, **here)),
                        }
                    ],
                    **({"PermissionsBoundary": _filled_in(bounded_by)} if bounded_by else {}),
                },
            }
            for detector in settings.enabled()
        },
    }


def terraform(settings: Settings) -> str:
    """The same roles as a Terraform module: apply it in each account, with the provider that is there."""
    here = {
        "account": "${data.aws_caller_identity.here.account_id}",
        "partition": "${data.aws_partition.here.partition}",
    }
    bounded_by = boundary(settings, **here)
    blocks = [
        HEAD,
    ]
    for detector in settings.enabled():
        name = detector.name.replace("-", "_")
        blocks += [
            f'resource "aws_iam_role" "{name}" {{',
            f"  name               = {json.dumps(role_name(detector.name))}",
            f"  path               = {json.dumps(settings.janitor.role_path)}",
            f"  description        = {json.dumps(_description(detector))}",
            f"  assume_role_policy = data.aws_iam_policy_document.{name}_trust.json",
            *([f"  permissions_boundary = {json.dumps(bounded_by)}"] if bounded_by else []),
            "}\n",
            f'resource "aws_iam_role_policy" "{name}" {{',
            f"  name   = {json.dumps(POLICY)}",
            f"  role   = aws_iam_role.{name}.id",
            f"  policy = data.aws_iam_policy_document.{name}.json",
            "}\n",
            *_policy_document(f"{name}_trust", _trust(settings, detector, here["partition"])),
            *_policy_document(name, allowed(settings, detector, **here)),
        ]
    return "\n".join(blocks)


def _trust(settings: Settings, detector: Detector[Any], partition: str) -> Document:
    return trust(settings, sweep_role_name(detector.name), people=True, partition=partition)


HEAD = f"""# {DESCRIPTION}.
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
    """A policy as Terraform writes one."""
    yield f'data "aws_iam_policy_document" "{name}" {{'
    for statement in document["Statement"]:
        yield "  statement {"
        yield f"    effect    = {json.dumps(statement['Effect'])}"
        yield from _listed("actions", statement["Action"])
        yield from _listed("resources", statement.get("Resource", ()))
        for kind, one in statement.get("Principal", {}).items():
            yield "    principals {"
            yield f"      type        = {json.dumps(kind)}"
            yield f"      identifiers = [{json.dumps(one)}]"
            yield "    }"
        for test, pairs in statement.get("Condition", {}).items():
            for key, values in pairs.items():
                yield "    condition {"
                yield f"      test     = {json.dumps(test)}"
                yield f"      variable = {json.dumps(key)}"
                yield f"      values   = {json.dumps(values)}"
                yield "    }"
        yield "  }"
    yield "}\n"


def _listed(name: str, values: Sequence[str]) -> Iterator[str]:
    if values:
        yield f"    {name} = ["
        yield from (f"      {json.dumps(value)}," for value in values)
        yield "    ]"


def _description(detector: Detector[Any]) -> str:
    """IAM takes a thousand signs, and few beside letters (API reference, CreateRole)."""
    return f"ML Janitor, {detector.name}: {detector.summary()}"[:1000]


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
