"""What an organization is, and may demand of a deployment: ids and ARNs that templates have to name."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from ml_janitor.aws.arns import REGION

PARTITION = r"aws[a-z-]*"


def _boundary(value: str) -> str:
    if value and not re.fullmatch(rf"arn:{PARTITION}:iam::(\d{{12}}|aws):policy/[\w+=,.@/-]{{1,512}}", value):
        raise ValueError('the ARN of a managed policy, such as "arn:aws:iam::123456789012:policy/boundary"')
    return value


def _undo_role(value: str) -> str:
    if not re.fullmatch(rf"arn:{PARTITION}:iam::\d{{12}}:role/[\w+=,.@/*?-]{{1,512}}", value, re.ASCII):
        raise ValueError(
            "the ARN of a role, whose name may have * and ?, such as "
            '"arn:aws:iam::123456789012:role/service-role/AmazonSageMaker-*"'
        )
    return value


def _exempt_role(value: str) -> str:
    if not re.fullmatch(rf"arn:{PARTITION}:iam::(\d{{12}}|\*):role/[\w+=,.@/*?-]{{1,512}}", value, re.ASCII):
        raise ValueError(
            "the ARN of a role, whose account may be * and whose name may have * and ?, such as "
            '"arn:aws:iam::*:role/break-glass-*"'
        )
    if re.fullmatch(r"arn:[a-z-]+:iam::\*:role/[*?/]+", value):
        raise ValueError("some letters of a name: every role of every account would be exempt")
    return value


def _writer(value: str) -> str:
    name = r"(role|user)/[\w+=,.@/*?-]{1,512}"
    if not re.fullmatch(rf"arn:{PARTITION}:iam::\d{{12}}:{name}", value, re.ASCII):
        raise ValueError(
            "the ARN of a role or user, whose name may have * and ?, such as "
            '"arn:aws:iam::123456789012:role/platform-*"'
        )
    return value


def _path(value: str) -> str:
    if len(value) > 512 or not re.fullmatch(r"/([\w+=,.@-]+/)*", value, re.ASCII):
        raise ValueError('a path that begins and ends with a slash, such as "/platform/"')
    return value


def _subnet(value: str) -> str:
    if not re.fullmatch(r"subnet-[0-9a-f]{8,17}", value):
        raise ValueError('the id of a subnet, such as "subnet-0a1b2c3d4e5f60718"')
    return value


def _security_group(value: str) -> str:
    if not re.fullmatch(r"sg-[0-9a-f]{8,17}", value):
        raise ValueError('the id of a security group, such as "sg-0a1b2c3d4e5f60718"')
    return value


def _key(value: str) -> str:
    if value and not re.fullmatch(rf"arn:{PARTITION}:kms:{REGION}:\d{{12}}:key/[\w-]{{1,128}}", value):
        raise ValueError(
            "the ARN of a key (not of an alias), such as "
            '"arn:aws:kms:eu-west-1:123456789012:key/0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"'
        )
    return value


def _organization(value: str) -> str:
    if value and not re.fullmatch(r"o-[a-z0-9]{10,32}", value):
        raise ValueError('the id of an organization, such as "o-a1b2c3d4e5"')
    return value


def _account(value: str) -> str:
    if value and not re.fullmatch(r"\d{12}", value, re.ASCII):
        raise ValueError('an account such as "123456789012"')
    return value


def _unit(value: str) -> str:
    if not re.fullmatch(r"ou-[0-9a-z]{4,32}-[0-9a-z]{8,32}", value):
        raise ValueError('the id of an organizational unit, such as "ou-ab12-c3d4e5f6"')
    return value


def _external_id(value: str) -> str:
    """As STS takes it (API reference of AssumeRole), less what Terraform and CloudFormation would read."""
    if value and not re.fullmatch(r"[\w+=,.@:/-]{8,1224}", value, re.ASCII):
        raise ValueError("at least 8 letters, digits and signs of +=,.@:/-_")
    return value


Account = Annotated[str, AfterValidator(_account)]
Unit = Annotated[str, AfterValidator(_unit)]
OrganizationId = Annotated[str, AfterValidator(_organization)]
ExternalId = Annotated[str, AfterValidator(_external_id)]
Boundary = Annotated[str, AfterValidator(_boundary)]
UndoRole = Annotated[str, AfterValidator(_undo_role)]
ExemptRole = Annotated[str, AfterValidator(_exempt_role)]
Writer = Annotated[str, AfterValidator(_writer)]
RolePath = Annotated[str, AfterValidator(_path)]
Subnet = Annotated[str, AfterValidator(_subnet)]
SecurityGroup = Annotated[str, AfterValidator(_security_group)]
KeyArn = Annotated[str, AfterValidator(_key)]


def check_network(subnets: list[str], security_groups: list[str]) -> str | None:
    """Why these subnets and security groups make no network for a function, if they do not."""
    if bool(subnets) == bool(security_groups):
        return None
    given, missing = ("subnets", "security_groups") if subnets else ("security_groups", "subnets")
    return f"{given} needs {missing} too: a function is in a VPC with both, or in none with neither"
