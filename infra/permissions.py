"""IAM statements from the grants that detectors declare: exact actions, exact resources."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from aws_cdk import ArnFormat, Stack, Token
from aws_cdk import aws_iam as iam

from janitor.detector import Grant


def statements(stack: Stack, grants: Iterable[Grant]) -> list[iam.PolicyStatement]:
    """One Allow per set of resources, everything sorted, so that a template shows real changes only."""
    actions: dict[str, set[str]] = defaultdict(set)
    for grant in grants:
        actions[resource_of(stack, grant)].add(grant.action)
    by_resource: dict[frozenset[str], set[str]] = defaultdict(set)
    for resource, granted in actions.items():
        by_resource[frozenset(granted)].add(resource)
    return [
        iam.PolicyStatement(actions=sorted(granted), resources=sorted(resources))
        for granted, resources in sorted(by_resource.items(), key=lambda item: sorted(item[0]))
    ]


def resource_of(stack: Stack, grant: Grant) -> str:
    """The ARN of *grant* in the stack's own account and region; "*" and whole ARNs stay as they are."""
    if Token.is_unresolved(grant.on):
        return grant.on
    if grant.on == "*" or grant.on.startswith("arn:"):
        return grant.on.replace("arn:aws:", f"arn:{stack.partition}:", 1)
    return stack.format_arn(
        service=grant.action.partition(":")[0],
        resource=grant.on,
        arn_format=ArnFormat.NO_RESOURCE_NAME,
    )


def acknowledgements(stack: Stack, grants: Iterable[Grant]) -> list[str]:
    """cdk-nag's ids for the stars in the resources of *grants*, which `resource_of` made on purpose."""
    resources = {shown(stack, resource_of(stack, grant)) for grant in grants}
    return [f"AwsSolutions-IAM5[Resource::{resource}]" for resource in sorted(resources) if "*" in resource]


def shown(stack: Stack, resource: str) -> str:
    """A resource the way cdk-nag prints it: pseudo parameters and attributes in angle brackets."""
    if isinstance(resolved := stack.resolve(resource), dict) and "Fn::Join" in resolved:
        return "".join(part if isinstance(part, str) else reference(part) for part in resolved["Fn::Join"][1])
    return resource


def reference(part: dict[str, Any]) -> str:
    """An intrinsic inside a resource: `Ref` of a pseudo parameter, or `Fn::GetAtt` of something's ARN."""
    if "Ref" in part:
        return f"<{part['Ref']}>"
    return f"<{'.'.join(part['Fn::GetAtt'])}>"
