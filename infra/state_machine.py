"""The state machine that runs a detector over an organization: its role, its log, and its alarms."""

from __future__ import annotations

import json
from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_sns as sns
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct

from infra.acknowledge import acknowledge
from infra.alarms import create_alarm
from infra.definition import define_state_machine
from infra.permissions import nag_ids
from ml_janitor.engine.detector import allow
from ml_janitor.ledger.runs import ORGANIZATION_KEY

LOG_DELIVERY_ACTIONS = (
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
)
"""
Permissions that Step Functions needs of a role to write logs; none has a resource level (developer guide,
"Using CloudWatch Logs to log execution history").
"""


class OrganizationMachine(Construct):
    """
    The state machine, under a role of its own, with its log, and alarms on runs that failed.

    *accounts* lists and closes, *lists* is the bucket with the lists. `may_invoke` lets it invoke the
    detectors' functions, which are made later.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        accounts: lambda_.IFunction,
        lists: s3.IBucket,
        at_once: int,
        topic: sns.ITopic,
        key: kms.IKey | None,
    ) -> None:
        super().__init__(scope, id_)
        stack = Stack.of(self)
        group = logs.LogGroup(
            self,
            "Logs",
            # Other names may fill up a policy of CloudWatch's (developer guide, "Using CloudWatch Logs").
            log_group_name=f"/aws/vendedlogs/states/{stack.stack_name}-organization",
            retention=logs.RetentionDays.THREE_MONTHS,
            removal_policy=cdk.RemovalPolicy.DESTROY,
            encryption_key=key,
        )
        self._role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal(
                "states.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": stack.account}}
            ),
            description="ML Janitor: lists the accounts of the organization, and has each one looked at",
        )
        read = allow("s3:GetObject", on=lists.arn_for_objects(f"{ORGANIZATION_KEY}/*"))
        self._allow(LOG_DELIVERY_ACTIONS, "*")
        self._allow([read.action], read.on)
        self._allow(["lambda:InvokeFunction"], accounts.function_arn)
        self.machine = stepfunctions.StateMachine(
            self,
            "Runs",
            comment="ML Janitor: one detector over all accounts of the organization",
            definition_body=stepfunctions.DefinitionBody.from_string(
                json.dumps(
                    define_state_machine(accounts.function_arn, at_once=at_once)
                )  # CDK's own would leave out null
            ),
            role=self._role.without_policy_updates(),
            logs=stepfunctions.LogOptions(
                destination=group, level=stepfunctions.LogLevel.ALL, include_execution_data=True
            ),
        )
        self.machine.node.add_dependency(self._role)  # its policy is asked for the log when it is made
        self._runs_children()
        acknowledge(
            self._role,
            "AwsSolutions-IAM5[Resource::*]",
            *nag_ids(stack, [read], ()),
            reason="The actions that deliver logs have no resource level in IAM; lists are named after runs.",
        )
        acknowledge(
            self.machine,
            "AwsSolutions-SF2",
            reason="Its log has every step, and the ledger each account's result: no traces are needed.",
        )
        for id_of, metric, what in (
            ("Failed", self.machine.metric_failed(period=Duration.minutes(15)), "failed"),
            (
                "TimedOut",
                self.machine.metric_timed_out(period=Duration.minutes(15)),
                "was broken off after a day",
            ),
        ):
            create_alarm(
                self,
                id_of,
                metric=metric,
                says=f"organization: a run {what}. Its execution in Step Functions says where; the log of "
                "the function accounts says which accounts left no result.",
                topic=topic,
            )

    def may_invoke(self, functions: Sequence[lambda_.IFunction]) -> None:
        """Let it have *functions* look at an account; they are what its input may name."""
        for function in functions:
            self._allow(["lambda:InvokeFunction"], function.function_arn)

    def input_for(self, function: lambda_.IFunction, detector: str) -> scheduler.ScheduleTargetInput:
        """Return the input with which a schedule starts it, to run *detector*."""
        return scheduler.ScheduleTargetInput.from_object(
            {
                "detector": detector,
                "function": function.function_arn,
                "time": scheduler.ContextAttribute.scheduled_time,
            }
        )

    def _allow(self, actions: Sequence[str], resource: str) -> None:
        self._role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=[resource]))

    def _runs_children(self) -> None:
        """
        Allow what a Distributed Map needs (developer guide, "IAM policies for using Distributed Map states").

        It names the state machine, and so is a policy of its own: the machine waits for the other one.
        """
        arn = self.machine.state_machine_arn
        executions = Stack.of(self).format_arn(
            service="states",
            resource="execution",
            resource_name=f"{self.machine.state_machine_name}:*",
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        policy = iam.Policy(
            self,
            "Children",
            roles=[self._role],
            statements=[
                iam.PolicyStatement(actions=["states:StartExecution"], resources=[arn]),
                iam.PolicyStatement(
                    actions=["states:DescribeExecution", "states:StopExecution"], resources=[executions]
                ),
            ],
        )
        name = Stack.of(self).resolve(self.machine.node.default_child.logical_id)  # type: ignore[union-attr]
        acknowledge(
            policy,
            f"AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:states:<AWS::Region>:<AWS::AccountId>:execution:"
            f"<{name}.Name>:*]",
            reason="These are its own executions, whose names nobody knows before.",
        )
