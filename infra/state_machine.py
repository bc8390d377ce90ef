"""The state machine that runs a detector over an organization: list its accounts, look at each, close."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

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
from infra.alarms import alarm
from infra.permissions import acknowledgements
from ml_janitor.config import schedules
from ml_janitor.config.settings import Settings
from ml_janitor.core.text import usd
from ml_janitor.engine.detector import allow
from ml_janitor.ledger.runs import ORGANIZATION
from ml_janitor.scheduled.turns import AN_HOUR, in_time

type Definition = dict[str, Any]

PRICE = Decimal("0.025") / 1000
"""
Dollars for a transition of a Standard workflow in most regions; up to $0.0375 per 1,000 in others.

https://aws.amazon.com/step-functions/pricing/, read on 2026-11-28: "Step Functions counts a state transition
each time a step of your workflow is executed", retries too.
"""

MONTH = timedelta(days=30)

LABEL = "Accounts"
"""Names the executions of single accounts, in their ARNs and in CloudWatch's metrics of them."""

WORKS = int(Duration.minutes(16).to_seconds())
"""How long an answer is waited for, in seconds: longer than any function works."""

ENDS = int(Duration.hours(24).to_seconds())
"""After so many seconds a run is broken off: the next day's has long begun."""

THROTTLED = ["Lambda.TooManyRequestsException", "Lambda.EC2ThrottledException"]
TRANSIENT = [
    "Lambda.AWSLambdaException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.SdkClientException",
    "Lambda.ServiceException",
]
"""What may be tried again where doing it twice is as good as once (Step Functions developer guide, "Handle
transient Lambda service exceptions")."""

LOG_DELIVERY = (
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
)
"""What Step Functions needs of a role to write logs; none has a resource level (developer guide, "Using
CloudWatch Logs to log execution history")."""


def definition(accounts: str, *, at_once: int) -> Definition:
    """
    What is run for {"detector", "function", "time"}, around the function of the ARN *accounts*.

    What fails in one account ends in that account's own execution, and Close finds what left no result: also
    where the map itself failed, or was given up. Where List fails, nothing is looked at. No state has more
    in it than a few numbers for each account: a state takes 256 KiB (developer guide, "Quotas").
    """
    sweep = _invoke(
        {"FunctionName.$": "$.function"},
        {
            "time.$": "$.time",
            "started.$": "$$.State.EnteredTime",
            "account.$": "$.account",
            "regions.$": "$.regions",
        },
        retried=THROTTLED,
    )
    return {
        "StartAt": "List",
        "TimeoutSeconds": ENDS,
        "States": {
            "List": {
                **_step(accounts, "list"),
                "ResultSelector": {"bucket.$": "$.Payload.bucket", "key.$": "$.Payload.key"},
                "ResultPath": "$.list",
                "Next": "EachAccount",
            },
            "EachAccount": {
                "Type": "Map",
                "Label": LABEL,
                "ItemReader": {
                    "Resource": "arn:aws:states:::s3:getObject",
                    "ReaderConfig": {"InputType": "JSON"},
                    "Parameters": {"Bucket.$": "$.list.bucket", "Key.$": "$.list.key"},
                },
                "ItemSelector": {
                    "function.$": "$.function",
                    "time.$": "$.time",
                    "account.$": "$$.Map.Item.Value.account",
                    "regions.$": "$$.Map.Item.Value.regions",
                },
                "MaxConcurrency": at_once,
                "ToleratedFailurePercentage": 100.0,  # the sandbox's interpreter reads no whole number here
                "ItemProcessor": {
                    "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                    "StartAt": "Sweep",
                    "States": {
                        "Sweep": {
                            **sweep,
                            "OutputPath": "$.StatusCode",
                            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "NoAnswer"}],
                            "End": True,
                        },
                        "NoAnswer": {"Type": "Pass", "Result": 0, "End": True},
                    },
                },
                "ResultPath": None,
                "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": None, "Next": "Close"}],
                "Next": "Close",
            },
            "Close": {**_step(accounts, "close"), "OutputPath": "$.Payload", "End": True},
        },
    }


def _step(accounts: str, step: str) -> Definition:
    """One step of the function that lists accounts; either can be repeated."""
    payload = {"step": step, "detector.$": "$.detector", "time.$": "$.time"}
    return _invoke({"FunctionName": accounts}, payload, retried=[*THROTTLED, *TRANSIENT])


def _invoke(function: Mapping[str, str], payload: Mapping[str, str], *, retried: Sequence[str]) -> Definition:
    """A task that invokes *function*, again for the errors that are *retried*: over some six minutes."""
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {**function, "Payload": dict(payload)},
        "TimeoutSeconds": WORKS,
        "Retry": [
            {
                "ErrorEquals": list(retried),
                "IntervalSeconds": 2,
                "BackoffRate": 2,
                "MaxDelaySeconds": 120,
                "MaxAttempts": 8,
                "JitterStrategy": "FULL",
            }
        ],
    }


def transitions(of: Definition) -> tuple[int, int]:
    """
    How many transitions a run makes by itself, and how many each account adds: every state, entered once.

    Without retries no run makes more, and an account that answers makes one less.
    """
    (each,) = (state["ItemProcessor"] for state in of["States"].values() if "ItemProcessor" in state)
    return len(of["States"]), len(each["States"])


def price(settings: Settings) -> str:
    """What the transitions of all detectors cost at most in 30 nights, in words."""
    section = settings.organization
    of_run, of_account = transitions(definition("", at_once=section.at_once))
    found = len(dict.fromkeys(section.accounts)) or 100
    runs = [MONTH / schedules.period(settings.schedule(type(one))) for one in settings.enabled()]
    dollars = Decimal(str(round(sum(runs), 3))) * (of_run + found * of_account) * PRICE
    each = "" if section.accounts else ", for every 100 accounts"
    held = f" A run looks at about {in_time(settings)} large accounts in an hour: at_once times {AN_HOUR}."
    more = "" if section.accounts else held
    return (
        f"[organization]: a run makes {of_run} transitions in Step Functions, and {of_account} for each "
        f"account. In 30 nights all detectors run {round(sum(runs))} times, which costs up to "
        f"{usd(dollars)}{each}; accounts without anything are looked at less often, and cost less.{more}"
    )


class Organization(Construct):
    """
    The state machine, under a role of its own, with its log, and alarms on runs that failed.

    *accounts* lists and closes, *lists* is the bucket with the lists. `runs` lets it invoke the detectors'
    functions, which are made later.
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
        read = allow("s3:GetObject", on=lists.arn_for_objects(f"{ORGANIZATION}/*"))
        self._allow(LOG_DELIVERY, "*")
        self._allow([read.action], read.on)
        self._allow(["lambda:InvokeFunction"], accounts.function_arn)
        self.machine = stepfunctions.StateMachine(
            self,
            "Runs",
            comment="ML Janitor: one detector over all accounts of the organization",
            definition_body=stepfunctions.DefinitionBody.from_string(
                json.dumps(
                    definition(accounts.function_arn, at_once=at_once)
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
            *acknowledgements(stack, [read], ()),
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
            alarm(
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
        """What a schedule starts it with, to run *detector*."""
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
        What a Distributed Map needs (developer guide, "IAM policies for using Distributed Map states").

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
