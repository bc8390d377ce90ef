"""The stack: everything that is deployed, made from the registry of detectors and janitor.toml."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk import Duration, Stack
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra import member
from infra.alarms import alarm_topic, watch_acts
from infra.budgets import Budgets
from infra.code import code
from infra.dashboard import dashboard
from infra.function import Allowed, JanitorFunction, ScheduledFunction, Shared
from infra.ledger import Ledger
from infra.organization import Roles, key_of, network_of
from infra.permissions import Place, acting_in, denials, places, undoing_in
from infra.reports import Reports
from infra.slack import SlackButtons
from infra.state_machine import Organization, price
from infra.undo_key import UndoKey
from ml_janitor.aws.prices import GET_PRODUCTS
from ml_janitor.aws.scratch import folder
from ml_janitor.bill.archive import FOLDER
from ml_janitor.bill.model import PRICE_PER_REQUEST
from ml_janitor.bill.resources import BilledResources
from ml_janitor.config.arming_warnings import (
    arming_refusals,
    arming_warnings,
    notice_warnings,
    undo_role_warnings,
)
from ml_janitor.config.member_roles import (
    ACCOUNTS_FUNCTION_ROLE,
    UNDO_FUNCTION_ROLE,
    MemberRole,
    acting_role,
    reading_role,
    sweep_role_name,
    takes_on,
    undo_role,
)
from ml_janitor.config.routes import idle_routes
from ml_janitor.config.settings import FILE, Settings, SettingsError
from ml_janitor.config.statements import sparing
from ml_janitor.core.model import Mode
from ml_janitor.engine.detector import Detector, Grant, allow, implied
from ml_janitor.ledger import uses
from ml_janitor.ledger.runs import ORGANIZATION
from ml_janitor.scheduled.accounts import listing_reads
from ml_janitor.scheduled.bill_run import bill_reads, cost_reads

ROOT = Path(__file__).parent.parent


ONE_CORE = 1769
"""MB with which Lambda gives one core (Lambda developer guide, "Configure Lambda function memory")."""


class JanitorStack(Stack):
    """
    One scheduled function per enabled detector, a digest, and what they share.

    *settings* decide which detectors there are, when they run and what they may act on; they are
    validated before anything is made, by the same code that reads them in Lambda. *today* decides
    whether what a disarmed detector did can still be undone.
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
        super().__init__(scope, id_, **kwargs)
        settings = settings or Settings.load(files=[ROOT / FILE])
        if refused := arming_refusals(settings):
            raise SettingsError("; ".join(refused))
        self._warn(settings)
        section = settings.janitor
        cdk.Aspects.of(self).add(Roles(path=section.role_path, boundary=section.permissions_boundary))
        key = key_of(self, section)
        self.topic = alarm_topic(self, "Alarms", key)
        self.ledger = Ledger(self, "Ledger")
        self.undo_key = UndoKey(self, "UndoRecordKey")
        self.reports = Reports(
            self, "Reports", passing=[folder(one.name) for one in settings.registry if one.keeps_files]
        )
        shared = Shared(
            code=code("arm64"),
            architecture=lambda_.Architecture.ARM_64,
            topic=self.topic,
            time_zone=settings.janitor.time_zone,
            environment={
                "JANITOR_TABLE": self.ledger.table_name,
                "JANITOR_BUCKET": self.reports.bucket_name,
            },
            network=network_of(section),
            key=key,
        )
        everywhere = places(self, settings.janitor.regions)
        undoable = {detector.name for detector in settings.undoable(today)}
        undo = self._undo(settings, today, shared)
        in_organization = settings.organization.used
        organization = self._organization(settings, shared) if in_organization else None
        self.functions: dict[str, lambda_.IFunction] = {}
        for detector in settings.enabled():
            armed, keep = settings.mode(detector.name) is Mode.ACT, self._keeps(settings, detector)
            allowed = [
                self._own(settings, uses.of_sweep(detector, armed=armed, organization=in_organization)),
                *(self._through_roles if in_organization else self._here)(settings, detector, keep),
                *([self._lists(f"{detector.name}/*")] if in_organization else []),
            ]
            environment = {"JANITOR_DETECTOR": detector.name}
            if armed:
                allowed.append(self._macs("GenerateMac"))
            if undo is not None and detector.name in undoable:  # it has what broke off brought back
                invoke = allow("lambda:InvokeFunction", on=undo.function_arn)
                allowed += [Allowed(grants=[invoke], where=()), self._macs("VerifyMac")]
                environment["JANITOR_UNDO"] = undo.function_name
                environment["JANITOR_UNDO_KEY"] = self.undo_key.key_arn
            made = ScheduledFunction(
                self,
                type(detector).__name__,
                name=detector.name,
                description=detector.summary(),
                handler="ml_janitor.handlers.sweep",
                schedule=settings.schedule(type(detector)),
                allowed=allowed,
                shared=shared,
                environment=environment,
                memory=1024,
                role_name=sweep_role_name(detector.name) if in_organization else None,
                through=organization,
            )
            if detector.name in undoable:
                watch_acts(made, name=detector.name, topic=self.topic)
            self.functions[detector.name] = made.function
        if organization is not None:
            organization.may_invoke(list(self.functions.values()))
            cdk.Annotations.of(self).add_info(price(settings))
        ScheduledFunction(
            self,
            "Digest",
            name="digest",
            description="Says once a day what all sweeps found, and which did not run.",
            handler="ml_janitor.handlers.digest",
            schedule=settings.janitor.digest_schedule,
            allowed=[
                self._own(
                    settings,
                    uses.of_digest(
                        bill=settings.bill.enabled,
                        advice=bool(settings.janitor.slack_secret and settings.plan.weekly_advice),
                        organization=in_organization,
                    ),
                ),
                Allowed(grants=self._picture(settings), where=()),
                *([self._lists("*")] if in_organization else []),
            ],
            shared=shared,
            environment={},
            timeout=Duration.minutes(5),
            memory=ONE_CORE if in_organization else 512,
        )
        if settings.bill.enabled:
            self._bill(settings, everywhere, shared)
        if settings.janitor.slack_secret and settings.janitor.slack_signing_secret:
            acting = {detector.name for detector in settings.armed()}
            SlackButtons(
                self,
                "Slack",
                signing_secret=settings.janitor.slack_signing_secret,
                secret=self._secret(settings.janitor.slack_signing_secret),
                own=self._own(settings, uses.of_presses()),
                shared=shared,
                sweeps={name: each for name, each in self.functions.items() if name in acting},
                undo=undo,
                concurrency=settings.janitor.slack_concurrency,
            )
        roles = [one.role.role_arn for one in self.node.find_all() if isinstance(one, JanitorFunction)]
        self.ledger.only_writers(roles, section.ledger_writers)
        Budgets(self, "Budgets", section=settings.bill, topic=self.topic)
        dashboard(self, "Dashboard", self.functions)
        self._outputs()
        if settings.organization.used:
            self._member_roles(settings, today)

    def _outputs(self) -> None:
        """What an operator looks for first."""
        cdk.CfnOutput(
            self, "AlarmTopic", value=self.topic.topic_arn, description="Subscribe whoever is on call"
        )
        cdk.CfnOutput(self, "LedgerTable", value=self.ledger.table_name)
        cdk.CfnOutput(self, "ReportBucket", value=self.reports.bucket_name)
        cdk.CfnOutput(self, "UndoKey", value=self.undo_key.key_arn)

    def _organization(self, settings: Settings, shared: Shared) -> Organization:
        """What has every detector look at all accounts, and the function that it asks which those are."""
        kept = self.reports.arn_for_objects(f"{ORGANIZATION}/*")
        lists = [allow("s3:GetObject", on=kept), allow("s3:PutObject", on=kept)]
        accounts = JanitorFunction(
            self,
            "Accounts",
            name="accounts",
            description="Lists the accounts of the organization, and says which left no result.",
            handler="ml_janitor.handlers.accounts",
            allowed=[
                Allowed(grants=uses.grants(uses.of_accounts(), self.ledger.table_arn), where=()),
                Allowed(grants=[*lists, *listing_reads(settings.organization)], where=()),
            ],
            shared=shared,
            environment={},
            memory=1024,
            answers=True,
            role_name=ACCOUNTS_FUNCTION_ROLE,
        )
        return Organization(
            self,
            "Organization",
            accounts=accounts.function,
            lists=self.reports,
            at_once=settings.organization.at_once,
            topic=shared.topic,
            key=shared.key,
        )

    def _lists(self, of: str) -> Allowed:
        """Reading the lists of runs over the organization."""
        lists = self.reports.arn_for_objects(f"{ORGANIZATION}/{of}")
        return Allowed(grants=[allow("s3:GetObject", on=lists)], where=())

    def _member_roles(self, settings: Settings, today: date) -> None:
        """Write what every account of the organization has to grant beside the template of the stack."""
        stage = cdk.Stage.of(self)
        written = member.write(settings, Path(stage.outdir if stage else "."), today)
        sizes = ", ".join(f"{one.name} ({one.stat().st_size:,} bytes)" for one in written)
        cdk.Annotations.of(self).add_info(
            f"[organization]: {sizes}, beside this template, make the roles that its accounts grant; "
            "docs/organization.md says how."
        )

    def _warn(self, settings: Settings) -> None:
        """Say at synth what the settings do that their operator may not expect."""
        home = "" if cdk.Token.is_unresolved(self.region) else self.region
        for said in arming_warnings(settings, home=home):
            cdk.Annotations.of(self).add_warning_v2("janitor:never-acts", said)
        for said in notice_warnings(settings):
            cdk.Annotations.of(self).add_warning_v2("janitor:no-notice", said)
        account = "" if cdk.Token.is_unresolved(self.account) else self.account
        for said in undo_role_warnings(settings, account=account):
            cdk.Annotations.of(self).add_warning_v2("janitor:undo-roles", said)
        if account and not settings.organization.used:
            for said in idle_routes(settings.slack.routes, account):
                cdk.Annotations.of(self).add_warning_v2("janitor:routes", f"[slack.routes]: {said}")

    def _here(self, settings: Settings, detector: Detector[Any], keep: Sequence[Grant]) -> list[Allowed]:
        """What *detector* may read here and *keep*, and change where `act_in` says, but for the keep tags."""
        section = settings.janitor
        reads = Allowed(grants=[*detector.reads, *keep], where=places(self, section.regions))
        if settings.mode(detector.name) is not Mode.ACT:
            return [reads]
        acts = Allowed(
            grants=detector.acts,
            where=acting_in(self, settings.arming(type(detector)), section.regions),
            denied=denials(sparing(detector.acts, section.keep_tags)),
        )
        return [reads, acts]

    def _through_roles(
        self, settings: Settings, detector: Detector[Any], keep: Sequence[Grant]
    ) -> list[Allowed]:
        """To *keep* reports, ask for prices, and take on *detector*'s roles."""
        armed = settings.mode(detector.name) is Mode.ACT
        roles = [reading_role(detector), *([acting_role(detector)] if armed else [])]
        prices = [one for one in detector.reads if one.action == GET_PRODUCTS]
        return [
            Allowed(grants=[*keep, *prices], where=()),
            *(self._taking_on(settings, one) for one in roles),
        ]

    def _taking_on(self, settings: Settings, role: MemberRole) -> Allowed:
        """To take on *role* in the accounts that have it."""
        arns = takes_on(settings, role, partition="aws")
        return Allowed(grants=[allow("sts:AssumeRole", on=arn) for arn in arns], where=())

    def _keeps(self, settings: Settings, detector: Detector[Any]) -> list[Grant]:
        """Writing into its folder of the report bucket, and reading what a run left there to the next one."""
        keeps = [allow("s3:PutObject", on=self.reports.arn_for_objects(f"{detector.name}/*"))]
        if detector.keeps_files:
            keeps.append(allow("s3:GetObject", on=self.reports.arn_for_objects(f"{folder(detector.name)}*")))
        if detector.keeps_files and settings.organization.used:  # elsewhere, its reads allow it
            missing = "S3 API reference, GetObject: without it, what is not there is answered by 403"
            keeps.append(implied("s3:ListBucket", on=self.reports.bucket_arn, source=missing))
        return keeps

    def _bill(self, settings: Settings, everywhere: Sequence[Place], shared: Shared) -> None:
        """The function that reads the bill, each reading of which AWS charges for."""
        in_organization = settings.organization.used
        kept = self.reports.arn_for_objects(f"{FOLDER}/*")
        keep = [allow("s3:GetObject", on=kept), allow("s3:PutObject", on=kept)]
        ScheduledFunction(
            self,
            "Bill",
            name="bill",
            description="Reads what AWS charged, and says what moved it.",
            handler="ml_janitor.handlers.bill",
            schedule=settings.bill.schedule,
            allowed=[
                self._own(settings, uses.of_bill(organization=in_organization)),
                *(
                    [
                        Allowed(grants=[*cost_reads(settings.bill), *keep], where=()),
                        self._lists("*"),
                        self._taking_on(settings, reading_role(BilledResources())),
                    ]
                    if in_organization
                    else [Allowed(grants=[*bill_reads(settings.bill), *keep], where=everywhere)]
                ),
            ],
            shared=shared,
            environment={},
            memory=1024,
            role_name=sweep_role_name(BilledResources.name) if in_organization else None,
        )
        most = settings.bill.max_requests * PRICE_PER_REQUEST
        cdk.Annotations.of(self).add_info(
            f"[bill] enabled: each run of the function bill asks Cost Explorer at most "
            f"{settings.bill.max_requests} times, which costs up to ${most}: ${30 * most} in 30 nights."
        )

    def _undo(self, settings: Settings, today: date, shared: Shared) -> lambda_.IFunction | None:
        """The function that takes back what was done, while there can be something to take back."""
        undoable = settings.undoable(today)
        if not undoable:
            return None
        section = settings.janitor
        made = JanitorFunction(
            self,
            "Undo",
            name="undo",
            description="Takes back what a detector did.",
            handler="ml_janitor.handlers.undo",
            allowed=[
                self._own(settings, uses.of_undo()),
                self._macs("VerifyMac"),
                *(
                    self._taking_on(settings, undo_role(detector))
                    if settings.organization.used
                    else Allowed(
                        grants=detector.undoes,
                        where=undoing_in(self, settings.arming(type(detector)), section.regions),
                    )
                    for detector in undoable
                ),
            ],
            shared=shared,
            environment={"JANITOR_UNDO_KEY": self.undo_key.key_arn},
            memory=1024,
            role_name=UNDO_FUNCTION_ROLE if settings.organization.used else None,
        )
        return made.function

    def _macs(self, action: str) -> Allowed:
        """To do *action* with the key that signs undo records."""
        return Allowed(grants=[allow(f"kms:{action}", on=self.undo_key.key_arn)], where=())

    def _picture(self, settings: Settings) -> list[Grant]:
        """Reading the picture of the bill, which a digest may say."""
        kept = self.reports.arn_for_objects(f"{FOLDER}/*.png")
        return [allow("s3:GetObject", on=kept)] if settings.bill.enabled else []

    def _own(self, settings: Settings, used: uses.Uses) -> Allowed:
        """What is *used* of the ledger, and the one secret with Slack's token, where Slack is used at all."""
        secret = settings.janitor.slack_secret
        slack = [self._secret(secret)] if secret else []
        return Allowed(grants=[*uses.grants(used, self.ledger.table_arn), *slack], where=())

    def _secret(self, name: str) -> Grant:
        """Reading the secret *name*, to whose ARN Secrets Manager adds six characters."""
        arn = self.format_arn(
            service="secretsmanager",
            resource="secret",
            resource_name=f"{name}-??????",
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        return allow("secretsmanager:GetSecretValue", on=arn)
