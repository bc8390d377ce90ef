"""The stack: everything that is deployed, made from the registry of detectors and janitor.toml."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk import Duration, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra import member
from infra.bundle import PROJECT_ROOT
from infra.function import (
    JanitorFunction,
    Network,
    RunScheduler,
    SharedProperties,
    bundle_code,
    create_queue,
    shape_roles,
)
from infra.keys import KeyUser, SigningKeys, policy_administrators
from infra.monitoring import Budgets, alarm_topic, create_alarms, create_dashboard
from infra.permissions import Rights, RolePermissions, allow_invoking
from infra.state_machine import OrganizationMachine, transitions_price
from infra.storage import DESCRIPTIONS_AGE, FILE_AGE, LedgerTable, ReportBucket
from ml_janitor.aws.client import scratch_folder
from ml_janitor.bill.explaining import BilledResources
from ml_janitor.bill.model import PRICE_PER_REQUEST
from ml_janitor.bill.reading import request_warnings
from ml_janitor.config.functions import ADVISERS, Advisers, has_own_function, list_advisers, schedule_groups
from ml_janitor.config.member_roles import ACCOUNTS_FUNCTION_ROLE, UNDO_FUNCTION_ROLE, sweep_role_name
from ml_janitor.config.sections import unmatched_routes
from ml_janitor.config.settings import (
    SETTINGS_FILE,
    Settings,
    arming_refusals,
    arming_warnings,
    home_refusals,
    ignored_warnings,
    notice_warnings,
    tag_warnings,
    undo_role_warnings,
)
from ml_janitor.config.values import InvalidInputError
from ml_janitor.core.model import Mode
from ml_janitor.engine.detector import Detector, Grant
from ml_janitor.ledger import uses
from ml_janitor.ledger.files import DESCRIPTIONS_KEY
from ml_janitor.scheduled.invocation import warn_of_slow_runs
from ml_janitor.scheduled.watch import WATCH_SCHEDULE

# --- stack ----------------------------------------------------------------------------------------

ONE_CORE_MB = 1769
"""MB with which Lambda gives one core (Lambda developer guide, "Configure Lambda function memory")."""


class JanitorStack(Stack):
    """
    A function for each detector that may act, one for all advisers, a digest, and what they share.

    *settings* decide which detectors there are, when they run and what they may act on; they are validated
    before anything is made, by the same code that reads them in Lambda. *today* decides whether what a
    disarmed detector did can still be undone.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        today: date,
        settings: Settings | None = None,
        **kwargs: Any,
    ) -> None:
        settings = settings or Settings.load(files=[PROJECT_ROOT / SETTINGS_FILE], deploying=True)
        super().__init__(scope, id_, tags=settings.janitor.tags, **kwargs)
        self.settings = settings
        account = "" if cdk.Token.is_unresolved(self.account) else self.account
        if refused := [*home_refusals(settings, account), *arming_refusals(settings)]:
            raise InvalidInputError("; ".join(refused))
        self._warn()
        section, in_organization = settings.janitor, settings.organization.used
        shape_roles(self, path=section.role_path, boundary=section.permissions_boundary)
        key = kms.Key.from_key_arn(self, "Key", section.kms_key) if section.kms_key else None
        self.topic = alarm_topic(self, "Alarms", key, email=section.alarm_email)
        self.ledger = LedgerTable(self, "Ledger")
        undoable = settings.undoable(today)
        self.keys = SigningKeys(self, undoable=bool(undoable))
        self.reports = ReportBucket(
            self,
            "Reports",
            passing={
                **{
                    scratch_folder(detector.name): FILE_AGE
                    for detector in settings.registry
                    if detector.keeps_files
                },
                f"{DESCRIPTIONS_KEY}/": DESCRIPTIONS_AGE,
            },
        )
        self.failed = create_queue(self, "Failed", key)
        self.scheduler = RunScheduler(self, "Scheduler", time_zone=section.time_zone, key=key)
        self.shared = SharedProperties(
            code=bundle_code("arm64"),
            architecture=lambda_.Architecture.ARM_64,
            failed=self.failed,
            environment={
                "JANITOR_TABLE": self.ledger.table_name,
                "JANITOR_BUCKET": self.reports.bucket_name,
            },
            network=Network(section.subnets, section.security_groups) if section.subnets else None,
            key=key,
        )
        self.rights = Rights(
            stack=self,
            settings=settings,
            ledger=self.ledger,
            reports=self.reports,
            keys=self.keys,
        )
        names = {detector.name for detector in undoable}
        undo = self._undo(undoable) if undoable else None
        organization = self._organization() if in_organization else None
        sweeping = {
            detector.name: self._sweep(
                detector, undo if detector.name in names else None, several=in_organization
            )
            for detector in settings.enabled()
            if has_own_function(settings, detector.name)
        }
        if others := list_advisers(settings):
            sweeping[ADVISERS] = self._advisers(others, several=in_organization)
        self.functions = {name: made.function for name, made in sweeping.items()}
        for group in schedule_groups(settings):
            self.scheduler.sweep(sweeping[group.function], group, organization)
        if organization is not None:
            organization.may_invoke(list(self.functions.values()))
            cdk.Annotations.of(self).add_info(transitions_price(settings))
        digest = JanitorFunction(
            self,
            "Digest",
            name="digest",
            description="Says once a day what all sweeps found, and which did not run.",
            handler="digest",
            allowed=self.rights.of_digest(),
            shared=self.shared,
            environment=self.keys.environment(KeyUser.DIGEST),
            timeout=Duration.minutes(5),
            memory=ONE_CORE_MB if in_organization else 512,
        )
        self.scheduler.invoke(digest, "Schedule", digest.function, section.digest_schedule)
        self.scheduler.invoke(digest, "Watch", digest.function, WATCH_SCHEDULE, only="schedules")
        if settings.bill.enabled:
            self._bill()
        buttons = None
        if section.slack_secret and section.slack_signing_secret:
            buttons = SlackButtons(
                self,
                "Slack",
                signing_secret=section.slack_signing_secret,
                secret=self.rights.secret(section.slack_signing_secret),
                own=[self.rights.own(uses.press_uses()), self.rights.signing(KeyUser.WORKER)],
                environment=self.keys.environment(KeyUser.WORKER),
                shared=self.shared,
                sweeps={
                    detector.name: self.functions[detector.name]
                    for detector in settings.armed()
                    if detector.name in self.functions
                },
                undo=undo,
                concurrency=section.slack_concurrency,
            )
        if section.ledger_writers:
            self._close(section.ledger_writers, section.administrators)
        create_alarms(
            self,
            self.topic,
            failed=self.failed,
            undelivered=self.scheduler.undelivered,
            acts=bool(undoable),
            machine=organization.machine if organization else None,
            receiver=buttons.receiver if buttons else None,
        )
        Budgets(self, "Budgets", section=settings.bill, topic=self.topic)
        create_dashboard(
            self, "Dashboard", [detector.name for detector in settings.enabled()], self.functions
        )
        self._outputs()
        if in_organization:
            self._member_roles(today)

    def _warn(self) -> None:
        """Warn at synth about effects of the settings that their operator may not expect."""
        home = "" if cdk.Token.is_unresolved(self.region) else self.region
        account = "" if cdk.Token.is_unresolved(self.account) else self.account
        settings, routed = self.settings, account and not self.settings.organization.used
        for name, warnings in {
            "never-acts": arming_warnings(settings, home=home),
            "no-notice": notice_warnings(settings),
            "undo-roles": undo_role_warnings(settings, account=account),
            "bill-requests": request_warnings(settings),
            "at-once": warn_of_slow_runs(settings, len(set(settings.organization.accounts))),
            "routes": [
                f"[slack.routes]: {warning}"
                for warning in (unmatched_routes(settings.slack.routes, account) if routed else ())
            ],
        }.items():
            for warning in warnings:
                cdk.Annotations.of(self).add_warning_v2(f"janitor:{name}", warning)
        for note in (*ignored_warnings(settings), *tag_warnings(settings)):  # --strict fails on a warning
            cdk.Annotations.of(self).add_info(f"warning: janitor.toml: {note}")

    def _sweep(
        self, detector: Detector[Any], undo: lambda_.IFunction | None, *, several: bool
    ) -> JanitorFunction:
        """Create the function of *detector*, which has interrupted actions brought back by *undo*."""
        allowed, environment = self.rights.of_sweep(detector), {"JANITOR_DETECTOR": detector.name}
        if undo is not None:
            armed = [KeyUser.ARMED] if self.settings.mode(detector.name) is Mode.ACT else []
            allowed += [allow_invoking(undo), self.rights.signing(KeyUser.UNDOABLE, *armed)]
            environment["JANITOR_UNDO"] = undo.function_name
            environment |= self.keys.environment(KeyUser.UNDOABLE, *armed)
        return JanitorFunction(
            self,
            type(detector).__name__,
            name=detector.name,
            description=detector.summary(),
            handler="sweep",
            allowed=allowed,
            shared=self.shared,
            environment=environment,
            memory=1024,
            role_name=sweep_role_name(detector.name) if several else None,
        )

    def _advisers(self, others: Sequence[Detector[Any]], *, several: bool) -> JanitorFunction:
        """Create the function of all *others*; in an organization the state machine starts the next part."""
        return JanitorFunction(
            self,
            "Advisers",
            name=ADVISERS,
            description=Advisers.summary(),
            handler="advisers",
            allowed=self.rights.of_advisers(others),
            shared=self.shared,
            memory=1024,
            continues=not several,
            role_name=sweep_role_name(ADVISERS) if several else None,
        )

    def _undo(self, undoable: Iterable[Detector[Any]]) -> lambda_.IFunction:
        """Create the function that undoes actions, while there can be something to undo."""
        return JanitorFunction(
            self,
            "Undo",
            name="undo",
            description="Takes back what a detector did.",
            handler="undo",
            allowed=self.rights.of_undo(undoable),
            shared=self.shared,
            environment=self.keys.environment(KeyUser.UNDO),
            memory=1024,
            role_name=UNDO_FUNCTION_ROLE if self.settings.organization.used else None,
        ).function

    def _organization(self) -> OrganizationMachine:
        """Create the state machine for runs over all accounts, and the function that lists the accounts."""
        accounts = JanitorFunction(
            self,
            "Accounts",
            name="accounts",
            description="Lists the accounts of the organization, and says which left no result.",
            handler="accounts",
            allowed=self.rights.of_accounts(),
            shared=self.shared,
            memory=1024,
            answers=True,
            role_name=ACCOUNTS_FUNCTION_ROLE,
        )
        return OrganizationMachine(
            self,
            "Organization",
            accounts=accounts.function,
            lists=self.reports,
            at_once=self.settings.organization.at_once,
            key=self.shared.key,
        )

    def _bill(self) -> None:
        """Create the function that reads the bill; AWS charges for each of its readings."""
        bill = self.settings.bill
        reading = JanitorFunction(
            self,
            "Bill",
            name="bill",
            description="Reads what AWS charged, and says what moved it.",
            handler="bill",
            allowed=self.rights.of_bill(),
            shared=self.shared,
            environment=self.keys.environment(KeyUser.BILL),
            memory=1024,
            role_name=sweep_role_name(BilledResources.name) if self.settings.organization.used else None,
        )
        self.scheduler.invoke(reading, "Schedule", reading.function, bill.schedule)
        most = bill.max_requests * PRICE_PER_REQUEST
        cdk.Annotations.of(self).add_info(
            f"[bill] enabled: each run of the function bill asks Cost Explorer at most "
            f"{bill.max_requests} times, which costs up to ${most}: ${30 * most} in 30 nights."
        )

    def _close(self, writers: Sequence[str], listed: Sequence[str]) -> None:
        """Deny everybody else what only the functions' roles, *writers* and administrators are for."""
        functions = [part for part in self.node.find_all() if isinstance(part, JanitorFunction)]
        administrators = policy_administrators(self, listed)

        def holders(grant: Grant) -> list[str]:
            return [
                function.role.role_arn
                for function in functions
                if any(grant in allowed.grants for allowed in function.allowed)
            ]

        roles = [function.role.role_arn for function in functions]
        self.ledger.close(roles, writers=writers, administrators=administrators)
        self.keys.close(holders, writers=writers, administrators=administrators)

    def _outputs(self) -> None:
        """Output what an operator looks for first."""
        cdk.CfnOutput(
            self, "AlarmTopic", value=self.topic.topic_arn, description="Subscribe whoever is on call"
        )
        cdk.CfnOutput(self, "LedgerTable", value=self.ledger.table_name)
        cdk.CfnOutput(self, "ReportBucket", value=self.reports.bucket_name)

    def _member_roles(self, today: date) -> None:
        """Write the grants that every account of the organization needs beside the template of the stack."""
        stage = cdk.Stage.of(self)
        written = member.write_member_roles(self.settings, Path(stage.outdir if stage else "."), today)
        sizes = ", ".join(f"{path.name} ({path.stat().st_size:,} bytes)" for path in written)
        cdk.Annotations.of(self).add_info(
            f"[organization]: {sizes}, beside this template, make the roles that its accounts grant; "
            "docs/organization.md says how."
        )


# --- Slack's buttons ------------------------------------------------------------------------------


class SlackButtons(Construct):
    """
    Two functions, because Slack wants an answer within three seconds.

    The receiver faces the internet: it verifies Slack's signature and may do nothing but invoke the worker.
    The worker verifies it again, writes holds and requests into the ledger, and invokes the functions that
    act and undo. Neither holds a permission on a customer's resource.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        signing_secret: str,
        secret: Grant,
        own: Sequence[RolePermissions],
        environment: Mapping[str, str],
        shared: SharedProperties,
        sweeps: Mapping[str, lambda_.IFunction],
        undo: lambda_.IFunction | None,
        concurrency: int,
    ) -> None:
        super().__init__(scope, id_)
        worker = JanitorFunction(
            self,
            "Worker",
            name="slack-worker",
            description="Does what a button in Slack asks for, if whoever pressed it may.",
            handler="pressed",
            allowed=[
                *own,
                RolePermissions([secret]),
                allow_invoking(*([undo] if undo is not None else []), *sweeps.values()),
            ],
            shared=shared,
            environment={
                "JANITOR_FUNCTIONS": json.dumps(
                    {name: function.function_name for name, function in sweeps.items()}
                ),
                **({"JANITOR_UNDO": undo.function_name} if undo is not None else {}),
                **environment,
            },
            timeout=Duration.minutes(2),
        )
        receiver = JanitorFunction(
            self,
            "Receiver",
            name="slack-receiver",
            description="Takes what Slack sends, checks its signature and passes it on.",
            handler="interact",
            allowed=[allow_invoking(worker.function), RolePermissions([secret])],
            shared=shared,
            environment={
                "JANITOR_SIGNING_SECRET": signing_secret,
                "JANITOR_WORKER": worker.function.function_name,
            },
            memory=1024,
            timeout=Duration.seconds(10),
            answers=True,
            concurrency=concurrency or None,  # anybody may call it: no more of the account's than this
        )
        self.receiver = receiver.function
        url = receiver.function.add_function_url(auth_type=lambda_.FunctionUrlAuthType.NONE)
        cdk.CfnOutput(
            cdk.Stack.of(self), "SlackRequestUrl", value=url.url, description="For Slack's interactivity"
        )
