"""The state machine of an organization: list its accounts, look at each, close; and its price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from ml_janitor.config import schedules
from ml_janitor.config.settings import Settings
from ml_janitor.core.text import format_usd
from ml_janitor.scheduled.turns import ACCOUNTS_PER_HOUR, accounts_in_time

type StateMachineDefinition = dict[str, Any]

TRANSITION_USD = Decimal("0.025") / 1000
"""
Dollars for a transition of a Standard workflow in most regions; up to $0.0375 per 1,000 in others.

https://aws.amazon.com/step-functions/pricing/, read on 2026-11-28: "Step Functions counts a state transition
each time a step of your workflow is executed", retries too.
"""

PRICED_PERIOD = timedelta(days=30)

MAP_LABEL = "Accounts"
"""Label of the executions of single accounts, in their ARNs and in CloudWatch's metrics of them."""

ANSWER_SECONDS = 16 * 60
"""Seconds to wait for an answer: longer than any function works."""

RUN_SECONDS = 24 * 3600
"""Seconds after which a run is broken off: the next day's has long begun."""

THROTTLE_ERRORS = ["Lambda.TooManyRequestsException", "Lambda.EC2ThrottledException"]
TRANSIENT_ERRORS = [
    "Lambda.AWSLambdaException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.SdkClientException",
    "Lambda.ServiceException",
]
"""
Errors that may be tried again where doing it twice is as good as once (Step Functions developer guide,
"Handle transient Lambda service exceptions").
"""


def define_state_machine(accounts: str, *, at_once: int) -> StateMachineDefinition:
    """
    Define a run for {"detector", "function", "time"}, around the function with the ARN *accounts*.

    A failure in one account ends in that account's own execution, and Close finds the accounts without a
    result: also where the map itself failed, or was given up. Where List fails, nothing is looked at. No
    state has more in it than a few numbers for each account: a state takes 256 KiB (developer guide,
    "Quotas").
    """
    sweep = _invoke(
        {"FunctionName.$": "$.function"},
        {
            "time.$": "$.time",
            "started.$": "$$.State.EnteredTime",
            "account.$": "$.account",
            "regions.$": "$.regions",
        },
        retried=THROTTLE_ERRORS,
    )
    return {
        "StartAt": "List",
        "TimeoutSeconds": RUN_SECONDS,
        "States": {
            "List": {
                **_step(accounts, "list"),
                "ResultSelector": {"bucket.$": "$.Payload.bucket", "key.$": "$.Payload.key"},
                "ResultPath": "$.list",
                "Next": "EachAccount",
            },
            "EachAccount": {
                "Type": "Map",
                "Label": MAP_LABEL,
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


def _step(accounts: str, step: str) -> StateMachineDefinition:
    """Return one step of the function that lists accounts; either step can be repeated."""
    payload = {"step": step, "detector.$": "$.detector", "time.$": "$.time"}
    return _invoke({"FunctionName": accounts}, payload, retried=[*THROTTLE_ERRORS, *TRANSIENT_ERRORS])


def _invoke(
    function: Mapping[str, str], payload: Mapping[str, str], *, retried: Sequence[str]
) -> StateMachineDefinition:
    """Return a task that invokes *function*, again for the *retried* errors: over some six minutes."""
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {**function, "Payload": dict(payload)},
        "TimeoutSeconds": ANSWER_SECONDS,
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


def count_transitions(of: StateMachineDefinition) -> tuple[int, int]:
    """
    Count the transitions of a run itself, and those that each account adds: every state, entered once.

    Without retries no run makes more, and an account that answers makes one less.
    """
    (per_account,) = (state["ItemProcessor"] for state in of["States"].values() if "ItemProcessor" in state)
    return len(of["States"]), len(per_account["States"])


def transitions_price(settings: Settings) -> str:
    """Estimate the maximum cost of the transitions of all detectors in 30 nights, in words."""
    section = settings.organization
    of_run, of_account = count_transitions(define_state_machine("", at_once=section.at_once))
    found = len(dict.fromkeys(section.accounts)) or 100
    runs = [
        PRICED_PERIOD / schedules.schedule_period(settings.schedule(type(detector)))
        for detector in settings.enabled()
    ]
    dollars = Decimal(str(round(sum(runs), 3))) * (of_run + found * of_account) * TRANSITION_USD
    basis = "" if section.accounts else ", for every 100 accounts"
    held = (
        f" A run looks at about {accounts_in_time(settings)} large accounts in an hour: at_once "
        f"times {ACCOUNTS_PER_HOUR}."
    )
    more = "" if section.accounts else held
    return (
        f"[organization]: a run makes {of_run} transitions in Step Functions, and {of_account} for each "
        f"account. In 30 nights all detectors run {round(sum(runs))} times, which costs up to "
        f"{format_usd(dollars)}{basis}; accounts without anything are looked at less often, and cost "
        f"less.{more}"
    )
