"""An organization's demands on every role, function, queue, topic and log group of the stack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import aws_cdk as cdk
import jsii
from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from constructs import Construct, IConstruct

from infra.acknowledge import acknowledge

VPC_ACTIONS = (
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
)
"""
Actions of Lambda, with a function's role, to bring the function into a VPC (Lambda developer guide, "Required
IAM permissions").
"""


@dataclass(frozen=True, slots=True)
class Network:
    """The subnets and security groups that functions run in."""

    subnets: list[str]
    security_groups: list[str]

    def attach(self, function: lambda_.Function, role: iam.Role) -> None:
        """
        Bring *function* into the network.

        Lambda may use the role for it, and the function's own code may not (Lambda developer guide, "Giving
        Lambda functions access to resources in an Amazon VPC": lambda:SourceFunctionArn is in requests of
        code alone).
        """
        cast("lambda_.CfnFunction", function.node.default_child).add_property_override(
            "VpcConfig", {"SubnetIds": self.subnets, "SecurityGroupIds": self.security_groups}
        )
        acknowledge(
            role,
            "AwsSolutions-IAM5[Resource::*]",
            reason="Lambda creates network interfaces whose names nobody knows before; code may not.",
        )
        role.add_to_policy(iam.PolicyStatement(actions=list(VPC_ACTIONS), resources=["*"]))
        role.add_to_policy(
            iam.PolicyStatement(
                effect=iam.Effect.DENY,
                actions=list(VPC_ACTIONS),
                resources=["*"],
                conditions={"Null": {"lambda:SourceFunctionArn": "false"}},
            )
        )


def queue_key_statement(stack: Stack, key: kms.IKey) -> iam.PolicyStatement:
    """Allow a role to send messages to queues under *key* (SQS developer guide, "Key management")."""
    return iam.PolicyStatement(
        actions=["kms:Decrypt", "kms:GenerateDataKey"],
        resources=[key.key_arn],
        conditions={"StringEquals": {"kms:ViaService": f"sqs.{stack.region}.{stack.url_suffix}"}},
    )


def shape_roles(scope: Construct, *, path: str, boundary: str) -> None:
    """Give every role in *scope* a *path* and a *boundary*; if neither is set, CDK need not ask for each."""
    if path != "/" or boundary:
        cdk.Aspects.of(scope).add(RoleAspect(path=path, boundary=boundary))


@jsii.implements(cdk.IAspect)
class RoleAspect:
    """Gives every role a path and a boundary, including the roles that CDK makes for its own purposes."""

    def __init__(self, *, path: str, boundary: str) -> None:
        self._properties = {"Path": "" if path == "/" else path, "PermissionsBoundary": boundary}

    def visit(self, node: IConstruct) -> None:
        """Set the path and the boundary, if *node* is a role."""
        if isinstance(node, cdk.CfnResource) and node.cfn_resource_type == "AWS::IAM::Role":
            for name, value in self._properties.items():
                if value:
                    node.add_property_override(name, value)
