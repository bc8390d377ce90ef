"""Checks of the deployed stack: finds it, and looks at everything in it that can go wrong."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import boto3

from ml_janitor.config.settings import Settings
from ml_janitor_cli.bill_checks import bill_checks
from ml_janitor_cli.deployment_report import Deployed
from ml_janitor_cli.slack_checks import slack_checks
from ml_janitor_cli.stack import Check, Deployment, Gone, Stack, Trouble
from ml_janitor_cli.stack_alarms import alarm_checks, topic_check
from ml_janitor_cli.stack_checks import Expected, Surroundings, function_checks
from ml_janitor_cli.stack_undo import undo_checks, undo_key_checks

THREADS = 8
RECEIVER = "Slack's receiver"
ON_REQUEST = {"undo": "Undo", RECEIVER: "SlackReceiver", "Slack's worker": "SlackWorker"}
"""The functions that are there where a detector is armed, and their constructs."""

SERVICES = (
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


def expected_of(settings: Settings, names: Sequence[str] | None) -> list[Expected]:
    """Return the functions in the settings, switched on or off; only those with *names* if there are any."""
    detectors = [
        Expected(
            name=detector.name,
            construct=detector.__name__,
            schedule=settings.schedule(detector),
            enabled=settings.sections[detector.name].enabled,
        )
        for detector in settings.registry
        if not names or detector.name in names
    ]
    digest = Expected(
        name="digest", construct="Digest", schedule=settings.janitor.digest_schedule, sweeps=False
    )
    bill = Expected(
        name="bill",
        construct="Bill",
        schedule=settings.bill.schedule,
        enabled=settings.bill.enabled,
        sweeps=False,
    )
    others = [
        Expected(name=name, construct=construct, answers=name == RECEIVER)
        for name, construct in ON_REQUEST.items()
    ]
    if settings.organization.used:
        others.append(Expected(name="accounts", construct="Accounts", answers=True))
    return detectors if names else [*detectors, digest, bill, *others]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examiner:
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

    def examine(self) -> Deployed:
        """Return everything that was found out."""
        without: Trouble | None = None
        for region in self.regions:
            here = Deployment(self.session, region, attempts=self.attempts)
            match here.find(self.stack):
                case Stack() as found:
                    return self._deployed(found=found, checks=self._checks(here, found))
                case Trouble() as trouble:
                    without = without or trouble
                case Gone():
                    pass
        return self._deployed(without=without)

    def _deployed(self, **found: Any) -> Deployed:
        return Deployed(name=self.stack, regions=self.regions, expected=self.named, **found)

    def _checks(self, here: Deployment, stack: Stack) -> list[Check]:
        """Run all checks: of each function, its alarms, their subscribers, and Slack."""
        for service in SERVICES:  # boto3 makes clients one at a time
            here.client(service)
        section = self.settings.janitor
        expected = expected_of(self.settings, self.names)
        around = Surroundings(
            account=self.account,
            regions=tuple(section.regions) or (here.region,),
            time_zone=section.time_zone,
            now=self.now,
            organization=self.settings.organization.used,
        )
        with ThreadPoolExecutor(THREADS, thread_name_prefix="check") as pool:
            of_functions = [
                *pool.map(lambda function: [*function_checks(here, stack, function, around)], expected)
            ]
        checks = [check for checks in of_functions for check in checks]
        checks += alarm_checks(
            here, stack, {function.name: function.construct for function in expected}, self.now
        )
        if self.names:
            return checks
        checks += undo_checks(here, stack, self.settings, account=self.account, now=self.now)
        if self.settings.undoable(self.now.date()):
            checks += undo_key_checks(here, stack)
        checks += bill_checks(self.session, self.settings.bill, attempts=self.attempts, now=self.now)
        checks.append(topic_check(here, stack))
        return [*checks, *slack_checks(here, self.settings, account=self.account, url=self.slack_url)]
