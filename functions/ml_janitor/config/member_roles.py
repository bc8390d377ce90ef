"""The roles that the accounts of an organization grant: their names, whom they trust, and what they allow."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml_janitor.core.model import Mode
from ml_janitor.engine.detector import Condition, Grant, allow

if TYPE_CHECKING:
    from ml_janitor.config.settings import Settings
    from ml_janitor.engine.detector import Detector

PREFIX = "ml-janitor-member-"
POLICY = "reads"
"""The one inline policy of each role."""

UNDO_ROLE = f"{PREFIX}undo"
"""The role through which the undo function brings back, in every account that has something to undo."""

UNDO_FUNCTION_ROLE = "ml-janitor-undo"
ACCOUNTS_FUNCTION_ROLE = "ml-janitor-accounts"
"""Roles of functions, in the janitor's account. Their names are fixed: other accounts name them."""

type Document = dict[str, Any]


def sweep_role_name(detector: str) -> str:
    """What the role of *detector*'s function is called, in the janitor's account."""
    return f"ml-janitor-sweep-{detector}"


def role_name(detector: str) -> str:
    """What the role through which *detector* reads is called, in every account."""
    return f"{PREFIX}{detector}"


def acting_role_name(detector: str) -> str:
    """What the role through which *detector* acts is called, in every account that it is armed for."""
    return f"{PREFIX}act-{detector}"


def role_for(settings: Settings, detector: str, account: str) -> str:
    """The name of the role that *detector*'s function takes on in *account*: the acting one where armed."""
    return (
        acting_role_name(detector) if account in acting_accounts(settings, detector) else role_name(detector)
    )


def acting_accounts(settings: Settings, detector: str) -> list[str]:
    """The accounts that `act_in` names for *detector*; none where it is not armed."""
    section = settings.sections[detector]
    if not section.enabled or settings.mode(detector) is not Mode.ACT:
        return []
    return sorted({place.partition("/")[0] for place in section.act_in})


def role_arn(settings: Settings, role: str, *, account: str, partition: str) -> str:
    """The ARN of the janitor's role of that name in *account*, its own or another."""
    return f"arn:{partition}:iam::{account}:role{settings.janitor.role_path}{role}"


def trust(settings: Settings, function_role: str, *, people: bool, partition: str) -> Document:
    """
    Who may take on a role: the function whose role that is, and the callers of the settings if *people* may.

    All of them know the external id. Of an organization, they have to be in it too: an account that has left
    it is no longer trusted, whoever bought it. (IAM user guide, "The confused deputy problem";
    aws:PrincipalOrgID is in every request.)
    """
    section = settings.organization
    exactly = {"sts:ExternalId": [section.external_id]}
    if section.id:
        exactly["aws:PrincipalOrgID"] = [section.id]
    function = role_arn(settings, function_role, account=section.janitor_account, partition=partition)
    callers = [_in_partition(one, partition) for one in section.callers] if people else []
    return _document(
        [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:{partition}:iam::{section.janitor_account}:root"},
                "Action": ["sts:AssumeRole"],
                "Condition": {
                    "ArnLike": {"aws:PrincipalArn": sorted({function, *callers})},
                    "StringEquals": exactly,
                },
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
    own = role_arn(settings, role_name(detector.name), account=account, partition=partition)
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
