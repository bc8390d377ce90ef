"""IAM statements from the grants that detectors declare: exact actions, exact resources."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

from aws_cdk import Stack
from aws_cdk import aws_iam as iam

from ml_janitor.config.statements import Document, conditions, grouped
from ml_janitor.engine.arming import Arming
from ml_janitor.engine.detector import Grant

LONGEST = 5_600
"""
Characters of the resources of one statement.

IAM takes 6,144 in a managed policy; CDK spreads what is more over several, and divides no statement. So the
longest statements nearly fill a policy: a role has ten at most, unless its account's quota is raised. How
much CDK puts into one follows from arnSizeEstimate in cdk.json: it takes an ARN for 150 characters otherwise.
"""

UNRESOLVED = "${Token["
"""What begins a part of a string that only CloudFormation knows. To ask CDK about it takes Node a while."""


class Place(NamedTuple):
    """Where a grant holds: an account, and a region of it."""

    account: str
    region: str


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a function's role holds: *grants*, each in the places *where*, less what *denied* says."""

    grants: Sequence[Grant]
    where: Sequence[Place] = ()
    denied: Sequence[iam.PolicyStatement] = ()


def places(stack: Stack, regions: Sequence[str]) -> list[Place]:
    """The *regions* of the stack's own account; its own region if none is named."""
    return [Place(stack.account, region) for region in regions or [stack.region]]


def acting_in(stack: Stack, arming: Arming, regions: Sequence[str]) -> list[Place]:
    """
    Where `act_in` lets a detector act, as the operator wrote it.

    In a deployment to another account than those, what that allows is nowhere.
    """
    return [Place(*each) for each in arming.places(regions or [stack.region])]


def undoing_in(stack: Stack, arming: Arming, regions: Sequence[str]) -> list[Place]:
    """Where what a detector did can be undone; disarmed, without `act_in`, that is wherever it sweeps."""
    return [Place(*each) for each in arming.undo_places(regions or [stack.region])] or places(stack, regions)


def statements(stack: Stack, grants: Iterable[Grant], where: Sequence[Place]) -> list[iam.PolicyStatement]:
    """One Allow per set of actions under the same conditions, or as many as its resources need."""
    return [
        iam.PolicyStatement(
            actions=list(granted),
            resources=some,
            conditions=conditions(
                replace(one, values=tuple(in_partition(stack, value) for value in one.values)) for one in when
            ),
        )
        for granted, when, resources in grouped(
            grants, lambda grant: [(one, grant.when) for one in resources_of(stack, grant, where)]
        )
        for some in short(stack, resources)
    ]


def short(stack: Stack, resources: Iterable[str]) -> Iterator[list[str]]:
    """*resources* in their order, in lists that each fit into one statement: of many regions they do not."""
    some: list[str] = []
    length = 0
    for resource in resources:
        own = len(shown(stack, resource)) + len('"",')
        if some and length + own > LONGEST:
            yield some
            some, length = [], 0
        some.append(resource)
        length += own
    if some:
        yield some


def denials(statements: Iterable[Document]) -> list[iam.PolicyStatement]:
    """*statements*, of `sparing`, as CDK has them."""
    return [iam.PolicyStatement.from_json(one) for one in statements]


def resources_of(stack: Stack, grant: Grant, where: Sequence[Place]) -> list[str]:
    """The ARNs of *grant* in every one of the places; "*" and whole ARNs stay as they are."""
    if grant.on == "*" or grant.on.startswith(UNRESOLVED):
        return [grant.on]
    if grant.on.startswith("arn:"):
        return [in_partition(stack, grant.on)]
    service, own = grant.action.partition(":")[0], partition(stack)
    return [f"arn:{own}:{service}:{place.region}:{place.account}:{grant.on}" for place in where]


def in_partition(stack: Stack, text: str) -> str:
    """*text* with the partition of the stack, if it is an ARN of AWS's standard one."""
    return text.replace("arn:aws:", f"arn:{partition(stack)}:", 1)


@lru_cache(1)
def partition(stack: Stack) -> str:
    """The partition of the stack, which is asked for once."""
    return stack.partition


def acknowledgements(stack: Stack, grants: Iterable[Grant], where: Sequence[Place]) -> list[str]:
    """cdk-nag's ids for the stars in the resources of *grants*, which `resources_of` made on purpose."""
    resources = {shown(stack, each) for grant in grants for each in resources_of(stack, grant, where)}
    return [f"AwsSolutions-IAM5[Resource::{resource}]" for resource in sorted(resources) if "*" in resource]


@lru_cache(10_000)
def shown(stack: Stack, resource: str) -> str:
    """A resource the way cdk-nag prints it: pseudo parameters and attributes in angle brackets."""
    if UNRESOLVED not in resource:
        return resource
    if isinstance(resolved := stack.resolve(resource), dict) and "Fn::Join" in resolved:
        return "".join(part if isinstance(part, str) else reference(part) for part in resolved["Fn::Join"][1])
    return resource


def reference(part: dict[str, Any]) -> str:
    """An intrinsic inside a resource: `Ref` of a pseudo parameter, or `Fn::GetAtt` of something's ARN."""
    if "Ref" in part:
        return f"<{part['Ref']}>"
    return f"<{'.'.join(part['Fn::GetAtt'])}>"
