"""Checks of the deployed stack: finds it, and looks at everything in it that can go wrong."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import boto3

from ml_janitor.config.settings import Settings
from ml_janitor_cli.bill_checks import check_bill
from ml_janitor_cli.deployment_report import DeploymentResult
from ml_janitor_cli.slack_checks import check_slack
from ml_janitor_cli.stack import Check, DeployedStack, MissingResource, RegionServices, Trouble
from ml_janitor_cli.stack_alarms import check_alarm_topic, check_alarms
from ml_janitor_cli.stack_checks import CheckSurroundings, ExpectedFunction, check_function_parts
from ml_janitor_cli.stack_undo import check_undo, check_undo_key

CHECK_THREADS = 8
RECEIVER_NAME = "Slack's receiver"
FUNCTIONS_ON_REQUEST = {"undo": "Undo", RECEIVER_NAME: "SlackReceiver", "Slack's worker": "SlackWorker"}
"""The functions that are there where a detector is armed, and their constructs."""

CHECKED_SERVICES = (
    "cloudformation",
    "cloudwatch",
    "dynamodb",
    "kms",
    "lambda",
    "scheduler",
    "secretsmanager",
    "sns",
    "sqs",
)


def expected_functions(settings: Settings, names: Sequence[str] | None) -> list[ExpectedFunction]:
    """Return the functions in the settings, switched on or off; only those with *names* if there are any."""
    detectors = [
        ExpectedFunction(
            name=detector.name,
            construct=detector.__name__,
            schedule=settings.schedule(detector),
            enabled=settings.sections[detector.name].enabled,
        )
        for detector in settings.registry
        if not names or detector.name in names
    ]
    digest = ExpectedFunction(
        name="digest", construct="Digest", schedule=settings.janitor.digest_schedule, sweeps=False
    )
    bill = ExpectedFunction(
        name="bill",
        construct="Bill",
        schedule=settings.bill.schedule,
        enabled=settings.bill.enabled,
        sweeps=False,
    )
    others = [
        ExpectedFunction(name=name, construct=construct, answers=name == RECEIVER_NAME)
        for name, construct in FUNCTIONS_ON_REQUEST.items()
    ]
    if settings.organization.used:
        others.append(ExpectedFunction(name="accounts", construct="Accounts", answers=True))
    return detectors if names else [*detectors, digest, bill, *others]


@dataclass(frozen=True, slots=True, kw_only=True)
class StackExaminer:
    """
    Looks for the *stack* in each of *regions*, and at everything in the first that has it.

    *named* is whether somebody asked for the stack; *names* are the only functions to look at, if any.
    """

    session: boto3.Session
    settings: Settings
    stack: str
    named: bool
    names: Sequence[str] | None
    regions: Sequence[str]
    account: str
    attempts: int
    now: datetime
    slack_url: str

    def examine(self) -> DeploymentResult:
        """Return everything that was found out."""
        without: Trouble | None = None
        for region in self.regions:
            here = RegionServices(self.session, region, attempts=self.attempts)
            match here.find(self.stack):
                case DeployedStack() as found:
                    return self._deployed(found=found, checks=self._checks(here, found))
                case Trouble() as trouble:
                    without = without or trouble
                case MissingResource():
                    pass
        return self._deployed(without=without)

    def _deployed(self, **found: Any) -> DeploymentResult:
        return DeploymentResult(name=self.stack, regions=self.regions, expected=self.named, **found)

    def _checks(self, here: RegionServices, stack: DeployedStack) -> list[Check]:
        """Run all checks: of each function, its alarms, their subscribers, and Slack."""
        for service in CHECKED_SERVICES:  # boto3 makes clients one at a time
            here.client(service)
        section = self.settings.janitor
        expected = expected_functions(self.settings, self.names)
        around = CheckSurroundings(
            account=self.account,
            regions=tuple(section.regions) or (here.region,),
            time_zone=section.time_zone,
            now=self.now,
            organization=self.settings.organization.used,
        )
        with ThreadPoolExecutor(CHECK_THREADS, thread_name_prefix="check") as pool:
            of_functions = [
                *pool.map(lambda function: [*check_function_parts(here, stack, function, around)], expected)
            ]
        checks = [check for checks in of_functions for check in checks]
        checks += check_alarms(
            here, stack, {function.name: function.construct for function in expected}, self.now
        )
        if self.names:
            return checks
        checks += check_undo(here, stack, self.settings, account=self.account, now=self.now)
        if self.settings.undoable(self.now.date()):
            checks += check_undo_key(here, stack)
        checks += check_bill(self.session, self.settings.bill, attempts=self.attempts, now=self.now)
        checks.append(check_alarm_topic(here, stack))
        return [*checks, *check_slack(here, self.settings, account=self.account, url=self.slack_url)]
