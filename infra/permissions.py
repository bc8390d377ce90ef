"""IAM statements from the grants that detectors declare: exact actions, exact resources."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

from aws_cdk import Stack
from aws_cdk import aws_iam as iam

from ml_janitor.config.statements import PolicyDocument, group_conditions, group_grants
from ml_janitor.engine.arming import Arming
from ml_janitor.engine.detector import Grant

LONGEST_RESOURCES = 5_600
"""
Characters of the resources of one statement.

IAM takes 6,144 in a managed policy; CDK spreads what is more over several, and divides no statement. So the
longest statements nearly fill a policy: a role has ten at most, unless its account's quota is raised. How
much CDK puts into one follows from arnSizeEstimate in cdk.json: it takes an ARN for 150 characters otherwise.
"""

UNRESOLVED_TOKEN = "${Token["  # noqa: S105 - a token of CDK
"""Beginning of a part of a string that only CloudFormation knows. To ask CDK about it takes Node a while."""


class GrantPlace(NamedTuple):
    """A place where a grant holds: an account, and a region of it."""

    account: str
    region: str


@dataclass(frozen=True, slots=True)
class RolePermissions:
    """Permissions of a function's role: *grants*, each in the places *where*, except *denied*."""

    grants: Sequence[Grant]
    where: Sequence[GrantPlace] = ()
    denied: Sequence[iam.PolicyStatement] = ()


def own_places(stack: Stack, regions: Sequence[str]) -> list[GrantPlace]:
    """Return the *regions* of the stack's own account; its own region if none is named."""
    return [GrantPlace(stack.account, region) for region in regions or [stack.region]]


def acting_places(stack: Stack, arming: Arming, regions: Sequence[str]) -> list[GrantPlace]:
    """
    Return the places where `act_in` lets a detector act, as the operator wrote it.

    In a deployment to another account than those, there are no such places.
    """
    return [GrantPlace(*place) for place in arming.places(regions or [stack.region])]


def undoing_places(stack: Stack, arming: Arming, regions: Sequence[str]) -> list[GrantPlace]:
    """Return the places where an action can be undone; disarmed, without `act_in`, everywhere it sweeps."""
    return [GrantPlace(*place) for place in arming.undo_places(regions or [stack.region])] or own_places(
        stack, regions
    )


def allow_statements(
    stack: Stack, grants: Iterable[Grant], where: Sequence[GrantPlace]
) -> list[iam.PolicyStatement]:
    """Return one Allow per set of actions under the same conditions, or as many as its resources need."""
    return [
        iam.PolicyStatement(
            actions=list(granted),
            resources=some,
            conditions=group_conditions(
                replace(
                    condition,
                    values=tuple(arn_in_stack_partition(stack, value) for value in condition.values),
                )
                for condition in when
            ),
        )
        for granted, when, resources in group_grants(
            grants,
            lambda grant: [(resource, grant.when) for resource in grant_resources(stack, grant, where)],
        )
        for some in split_resources(stack, resources)
    ]


def split_resources(stack: Stack, resources: Iterable[str]) -> Iterator[list[str]]:
    """Split *resources* in order into lists that each fit a statement: many regions need several."""
    some: list[str] = []
    length = 0
    for resource in resources:
        own = len(nag_resource(stack, resource)) + len('"",')
        if some and length + own > LONGEST_RESOURCES:
            yield some
            some, length = [], 0
        some.append(resource)
        length += own
    if some:
        yield some


def deny_statements(statements: Iterable[PolicyDocument]) -> list[iam.PolicyStatement]:
    """Convert *statements*, of `sparing`, to CDK's."""
    return [iam.PolicyStatement.from_json(statement) for statement in statements]


def grant_resources(stack: Stack, grant: Grant, where: Sequence[GrantPlace]) -> list[str]:
    """Return the ARNs of *grant* in every one of the places; "*" and whole ARNs stay as they are."""
    if grant.on == "*" or grant.on.startswith(UNRESOLVED_TOKEN):
        return [grant.on]
    if grant.on.startswith("arn:"):
        return [arn_in_stack_partition(stack, grant.on)]
    service, own = grant.action.partition(":")[0], stack_partition(stack)
    return [f"arn:{own}:{service}:{place.region}:{place.account}:{grant.on}" for place in where]


def arn_in_stack_partition(stack: Stack, text: str) -> str:
    """Return *text* with the partition of the stack, if it is an ARN of AWS's standard one."""
    return text.replace("arn:aws:", f"arn:{stack_partition(stack)}:", 1)


@lru_cache(1)
def stack_partition(stack: Stack) -> str:
    """Return the partition of the stack, which is asked for once."""
    return stack.partition


def nag_ids(stack: Stack, grants: Iterable[Grant], where: Sequence[GrantPlace]) -> list[str]:
    """Return cdk-nag's ids for stars in resources of *grants*, which `grant_resources` made on purpose."""
    resources = {
        nag_resource(stack, resource) for grant in grants for resource in grant_resources(stack, grant, where)
    }
    return [f"AwsSolutions-IAM5[Resource::{resource}]" for resource in sorted(resources) if "*" in resource]


@lru_cache(10_000)
def nag_resource(stack: Stack, resource: str) -> str:
    """Return a resource the way cdk-nag prints it: pseudo parameters and attributes in angle brackets."""
    if UNRESOLVED_TOKEN not in resource:
        return resource
    if isinstance(resolved := stack.resolve(resource), dict) and "Fn::Join" in resolved:
        return "".join(
            part if isinstance(part, str) else nag_reference(part) for part in resolved["Fn::Join"][1]
        )
    return resource


def nag_reference(part: dict[str, Any]) -> str:
    """Return an intrinsic in a resource: `Ref` of a pseudo parameter, or `Fn::GetAtt` of an ARN."""
    if "Ref" in part:
        return f"<{part['Ref']}>"
    return f"<{'.'.join(part['Fn::GetAtt'])}>"
