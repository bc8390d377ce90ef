"""The state machine that runs detectors over an organization: definition, price, role and log."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from ml_janitor.config import schedules
from ml_janitor.config.functions import schedule_groups
from ml_janitor.config.settings import Settings
from ml_janitor.core.text import count_noun, format_usd
from ml_janitor.ledger.latest import ORGANIZATION_KEY
from ml_janitor.scheduled.invocation import ACCOUNTS_PER_HOUR, accounts_in_time
from ml_janitor_cli.template.resources import (
    ACCOUNT,
    PARTITION,
    REGION,
    StackTemplate,
    add_policy,
    add_role,
    allow_actions,
)

# --- construct ------------------------------------------------------------------------------------

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


def add_state_machine(
    template: StackTemplate,
    *,
    accounts: str,
    functions: Sequence[str],
    lists: str,
    at_once: int,
    key: str | None,
) -> str:
    """
    Add the state machine under a role of its own, with its log, and return its ARN.

    *accounts* lists and closes, *functions* look at an account, *lists* is the bucket with the lists.
    """
    group = template.add(
        "Organization/Logs/Resource",
        "AWS::Logs::LogGroup",
        {
            # Other names may fill up a policy of CloudWatch's (developer guide, "Using CloudWatch Logs").
            "LogGroupName": f"/aws/vendedlogs/states/{template.name}-organization",
            "RetentionInDays": 90,
            "KmsKeyId": key,
        },
        removal="Delete",
    )
    role, policies = add_role(
        template,
        "Organization/Role",
        service="states",
        when={"StringEquals": {"aws:SourceAccount": ACCOUNT}},
        description="ML Janitor: lists the accounts of the organization, and has each one looked at",
        statements=[
            allow_actions(LOG_DELIVERY_ACTIONS, "*"),
            allow_actions(["s3:GetObject"], f"{lists}/{ORGANIZATION_KEY}/*"),
            allow_actions(["lambda:InvokeFunction"], accounts, *functions),
        ],
    )
    machine = template.add(
        "Organization/Runs/Resource",
        "AWS::StepFunctions::StateMachine",
        {
            "DefinitionString": json.dumps(define_state_machine(accounts, at_once=at_once)),
            "LoggingConfiguration": {
                "Destinations": [{"CloudWatchLogsLogGroup": {"LogGroupArn": f"${{{group}.Arn}}"}}],
                "IncludeExecutionData": True,
                "Level": "ALL",
            },
            "RoleArn": f"${{{role}.Arn}}",
        },
        removal="Delete",
        after=[*policies, role],  # its policy is asked for the log when it is made
    )
    # A Distributed Map needs this (developer guide, "IAM policies for using Distributed Map states"). It
    # names the state machine, and so is a policy of its own: the machine waits for the other one.
    executions = f"arn:{PARTITION}:states:{REGION}:{ACCOUNT}:execution:${{{machine}.Name}}:*"
    children = [
        allow_actions(["states:StartExecution"], f"${{{machine}}}"),
        allow_actions(["states:DescribeExecution", "states:StopExecution"], executions),
    ]
    add_policy(template, "Organization/Children", role, children)
    return f"${{{machine}}}"


# --- definition and price -------------------------------------------------------------------------

type StateMachineDefinition = dict[str, Any]

TRANSITION_USD = Decimal("0.025") / 1000
"""
Dollars for a transition of a Standard workflow in most regions; up to $0.0375 per 1,000 in others.

https://aws.amazon.com/step-functions/pricing/, read on 2026-11-28: "Step Functions counts a state transition
each time a step of your workflow is executed", retries too.
"""

PRICED_PERIOD = timedelta(days=30)

IN_PARTS, NEXT_PART = "EachAccountInParts", "NextPart"
"""The map of runs that go on in parts, and its state between two parts, which is in no estimate."""

MAP_LABEL = "Accounts"
"""Label of the executions of single accounts, in their ARNs and in CloudWatch's metrics of them."""

ANSWER_SECONDS = 16 * 60
"""Seconds to wait for an answer: longer than any function works."""

RUN_SECONDS = 24 * 3600
"""Seconds after which a run is broken off: the next day's has long begun."""

TRANSIENT_ERRORS = [
    "Lambda.TooManyRequestsException",
    "Lambda.EC2ThrottledException",
    "Lambda.AWSLambdaException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.SdkClientException",
    "Lambda.ServiceException",
]
"""
Errors of Lambda itself (Step Functions developer guide, "Handle transient Lambda service exceptions").
Each function does an event once, however often it is invoked, or can safely repeat it.
"""

KILLED_RETRIER: StateMachineDefinition = {
    "ErrorEquals": ["Lambda.Unknown", "Runtime.ExitError", "Sandbox.Timedout"],
    "IntervalSeconds": 60,
    "MaxAttempts": 1,
}
"""
One more try for a function that was killed, as Lambda gives to events: the detectors that come after the one
at work then still have their turn.
"""


BUSY_ERRORS = ["IdempotencyAlreadyInProgressError", "LeaseTakenError"]
"""Errors of a function while another execution, or a person, has it at work on the same event or account."""

BUSY_RETRIER: StateMachineDefinition = {
    "ErrorEquals": BUSY_ERRORS,
    "IntervalSeconds": 60,
    "BackoffRate": 1,
    "MaxAttempts": ANSWER_SECONDS // 60 + 1,
}
"""A wait that is longer than any function works: then the other's answer is there, or its place is free."""


def define_state_machine(accounts: str, *, at_once: int) -> StateMachineDefinition:
    """
    Define a run for {"detectors", "function", "time"}, around the function with the ARN *accounts*.

    A run of several detectors, or of one that "resumes", goes on in parts.

    A failure in one account ends in that account's own execution, and Close finds the accounts without a
    result: also where the map itself failed, or was given up. Where List fails, nothing is looked at. No
    state has more in it than a few numbers for each account: a state takes 256 KiB (developer guide,
    "Quotas"). An account at which another execution is at work waits for it, and so does Close. Detectors
    that did not fit into the function's time are the next part: the function says which.
    """
    return {
        "StartAt": "List",
        "TimeoutSeconds": RUN_SECONDS,
        "States": {
            "List": {
                **_step(accounts, "list"),
                "ResultSelector": {"bucket.$": "$.Payload.bucket", "key.$": "$.Payload.key"},
                "ResultPath": "$.list",
                "Next": "OneOrSeveral",
            },
            "OneOrSeveral": {
                "Type": "Choice",
                "Choices": [
                    {"Variable": variable, "IsPresent": True, "Next": IN_PARTS}
                    for variable in ("$.detectors[1]", "$.resumes")
                ],
                "Default": "EachAccount",
            },
            "EachAccount": _map(at_once, MAP_LABEL, _ONE_DETECTOR),
            IN_PARTS: _map(at_once, "Parts", _SEVERAL_DETECTORS),
            "Close": {**_step(accounts, "close"), "OutputPath": "$.Payload", "End": True},
        },
    }


def _map(at_once: int, label: str, of_account: StateMachineDefinition) -> StateMachineDefinition:
    """Return the map over the accounts of the list, each with the states *of_account*."""
    return {
        "Type": "Map",
        "Label": label,
        "ItemReader": {
            "Resource": "arn:aws:states:::s3:getObject",
            "ReaderConfig": {"InputType": "JSON"},
            "Parameters": {"Bucket.$": "$.list.bucket", "Key.$": "$.list.key"},
        },
        "ItemSelector": {
            "function.$": "$.function",
            "time.$": "$.time",
            "detectors.$": "$.detectors",
            "part": 1,
            "account.$": "$$.Map.Item.Value.account",
            "regions.$": "$$.Map.Item.Value.regions",
        },
        "MaxConcurrency": at_once,
        "ToleratedFailurePercentage": 100.0,  # the sandbox's interpreter reads no whole number here
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": next(iter(of_account)),
            "States": of_account,
        },
        "ResultPath": None,
        "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": None, "Next": "Close"}],
        "Next": "Close",
    }


def _step(accounts: str, step: str) -> StateMachineDefinition:
    """Return one step of the function that lists accounts; either step can be repeated."""
    payload = {"step": step, "detectors.$": "$.detectors", "time.$": "$.time"}
    return _invoke({"FunctionName": accounts}, payload)


def _invoke(function: Mapping[str, str], payload: Mapping[str, str]) -> StateMachineDefinition:
    """Return a task that invokes *function*, again after errors of Lambda itself: over some six minutes."""
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {**function, "Payload": dict(payload)},
        "TimeoutSeconds": ANSWER_SECONDS,
        "Retry": [
            {
                "ErrorEquals": TRANSIENT_ERRORS,
                "IntervalSeconds": 2,
                "BackoffRate": 2,
                "MaxDelaySeconds": 120,
                "MaxAttempts": 8,
                "JitterStrategy": "FULL",
            }
        ],
    }


def _caught(then: str) -> list[StateMachineDefinition]:
    """Return the catcher of whatever fails in one account."""
    return [{"ErrorEquals": ["States.ALL"], "Next": then}]


_SWEEP = _invoke(
    {"FunctionName.$": "$.function"},
    {
        "time.$": "$.time",
        "started.$": "$$.State.EnteredTime",
        "account.$": "$.account",
        "regions.$": "$.regions",
        "detectors.$": "$.detectors",
        "part.$": "$.part",
    },
)
_SWEEP["Retry"] += [KILLED_RETRIER, BUSY_RETRIER]

_ONE_DETECTOR: StateMachineDefinition = {
    "Sweep": {**_SWEEP, "OutputPath": "$.StatusCode", "Catch": _caught("NoAnswer"), "End": True},
    "NoAnswer": {"Type": "Pass", "Result": 0, "End": True},
}

_SEVERAL_DETECTORS: StateMachineDefinition = {
    "SweepPart": {**_SWEEP, "ResultPath": "$.answer", "Catch": _caught("Done"), "Next": "Rest"},
    "Rest": {
        "Type": "Choice",
        "Choices": [{"Variable": "$.answer.Payload.rest[0]", "IsPresent": True, "Next": NEXT_PART}],
        "Default": "Done",
    },
    NEXT_PART: {
        "Type": "Pass",
        "Parameters": {
            **{f"{name}.$": f"$.{name}" for name in ("function", "time", "account")},
            "regions.$": "$.answer.Payload.regions",
            "detectors.$": "$.answer.Payload.rest",
            "part.$": "$.answer.Payload.part",
        },
        "Next": "SweepPart",
    },
    "Done": {"Type": "Pass", "Result": 0, "End": True},
}
"""States of an account whose run goes on: the rest, which had no time, is the next part."""


def count_transitions(of: StateMachineDefinition, *, in_parts: bool) -> tuple[int, int]:
    """
    Count the transitions of a run itself, and those that each account adds, for a run *in_parts* or not.

    Without retries and next parts no run makes more, and an account that answers makes one less.
    """
    maps = {name: state for name, state in of["States"].items() if state["Type"] == "Map"}
    entered = maps[IN_PARTS if in_parts else "EachAccount"]["ItemProcessor"]["States"]
    return len(of["States"]) - len(maps) + 1, len(entered.keys() - {NEXT_PART})


def transitions_price(settings: Settings) -> str:
    """Estimate the maximum cost of the transitions of all detectors in 30 nights, in words."""
    section = settings.organization
    definition = define_state_machine("", at_once=section.at_once)
    found = len(dict.fromkeys(section.accounts)) or 100
    runs, dollars = 0.0, Decimal(0)
    for group in schedule_groups(settings):
        of_run, of_account = count_transitions(definition, in_parts=group.in_parts)
        nights = PRICED_PERIOD / schedules.schedule_period(group.schedule)
        runs += nights
        dollars += Decimal(str(round(nights, 3))) * (of_run + found * of_account) * TRANSITION_USD
    of_run, of_account = count_transitions(definition, in_parts=False)
    basis = "" if section.accounts else ", for every 100 accounts"
    held = (
        f" A run looks at about {accounts_in_time(settings)} large accounts in an hour: at_once "
        f"times {ACCOUNTS_PER_HOUR}."
    )
    more = "" if section.accounts else held
    return (
        f"[organization]: a run makes {of_run} transitions in Step Functions, and {of_account} for each "
        f"account. In 30 nights its schedules start {count_noun(round(runs), 'run')}, which costs up to "
        f"{format_usd(dollars)}{basis}; accounts without anything are looked at less often, and cost "
        f"less.{more}"
    )
