"""The roles that the accounts of an organization grant: their names, whom they trust, and what they allow."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml_janitor.engine.detector import Condition, Grant, allow

if TYPE_CHECKING:
    from ml_janitor.config.settings import Settings
    from ml_janitor.engine.detector import Detector

PREFIX = "ml-janitor-member-"
POLICY = "reads"
"""The one inline policy of each role."""

type Document = dict[str, Any]


def role_name(detector: str) -> str:
    """What the role of *detector* is called in every account."""
    return f"{PREFIX}{detector}"


def role_arn(settings: Settings, detector: str, *, account: str, partition: str) -> str:
    """The role of *detector* in *account*."""
    return f"arn:{partition}:iam::{account}:role{settings.janitor.role_path}{role_name(detector)}"


def trust(settings: Settings, *, partition: str) -> Document:
    """
    Who may take on the roles: the callers of the settings alone, who know the external id.

    Of an organization, they have to be in it too: an account that has left it is no longer trusted, whoever
    bought it. (IAM user guide, "The confused deputy problem"; aws:PrincipalOrgID is in every request.)
    """
    section = settings.organization
    exactly = {"sts:ExternalId": [section.external_id]}
    if section.id:
        exactly["aws:PrincipalOrgID"] = [section.id]
    callers = sorted(_in_partition(one, partition) for one in section.callers)
    return _document(
        [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:{partition}:iam::{section.janitor_account}:root"},
                "Action": ["sts:AssumeRole"],
                "Condition": {"ArnLike": {"aws:PrincipalArn": callers}, "StringEquals": exactly},
            }
        ]
    )


def boundary(settings: Settings, *, account: str, partition: str) -> str:
    """The permissions boundary of the settings, as *account* has it under the same name; "" for none."""
    own = settings.janitor.permissions_boundary
    owner = "aws" if ":iam::aws:" in own else account
    return re.sub(r"^arn:[a-z-]+:iam::(\d{12}|aws):", f"arn:{partition}:iam::{owner}:", own)


def allowed(settings: Settings, detector: Detector[Any], *, account: str, partition: str) -> Document:
    """
    What the role of *detector* in *account* allows: the reads that it declares, in the settings' regions.

    Besides, it may read which regions are enabled, and itself, so that a check sees what it has become.
    """
    own = role_arn(settings, detector.name, account=account, partition=partition)
    grants = [*detector.reads, allow("ec2:DescribeRegions"), *(allow(action, on=own) for action in OF_ITSELF)]
    only = tuple(sorted(settings.organization.regions))
    actions: dict[tuple[str, tuple[Condition, ...]], set[str]] = defaultdict(set)
    for grant in grants:
        resource, when = _resource(grant, account, partition), grant.when
        if resource != grant.on and only:
            when = (*when, Condition("StringEquals", "aws:RequestedRegion", only))
        actions[_in_partition(resource, partition), when].add(grant.action)
    resources: dict[tuple[tuple[str, ...], tuple[Condition, ...]], set[str]] = defaultdict(set)
    for (resource, when), granted in actions.items():
        resources[tuple(sorted(granted)), when].add(resource)
    return _document(
        [
            {"Effect": "Allow", "Action": list(granted), "Resource": sorted(on), **_conditions(when)}
            for (granted, when), on in sorted(resources.items(), key=lambda item: str(item[0]))
        ]
    )


OF_ITSELF = ("iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies")


def _resource(grant: Grant, account: str, partition: str) -> str:
    """The ARN of *grant* in every region of *account*; "*" and whole ARNs stay as they are."""
    if grant.on == "*" or grant.on.startswith("arn:"):
        return grant.on
    return f"arn:{partition}:{grant.action.partition(':')[0]}:*:{account}:{grant.on}"


def _conditions(when: tuple[Condition, ...]) -> Mapping[str, Any]:
    found: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for one in when:
        found[one.operator][one.key] = list(one.values)
    return {"Condition": dict(found)} if found else {}


def _in_partition(text: str, partition: str) -> str:
    return text.replace("arn:aws:", f"arn:{partition}:", 1)


def _document(statements: list[Document]) -> Document:
    return {"Version": "2012-10-17", "Statement": statements}
