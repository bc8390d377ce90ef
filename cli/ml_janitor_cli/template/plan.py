"""The plan of a deployment: every resource of the stack, from the registry of detectors and janitor.toml."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from typing import Any

from ml_janitor.aws.client import scratch_folder
from ml_janitor.bill.model import PRICE_PER_REQUEST
from ml_janitor.bill.reading import request_warnings
from ml_janitor.bill.resources import BilledResources
from ml_janitor.config.functions import (
    ADVISERS,
    Advisers,
    ScheduleGroup,
    has_own_function,
    list_advisers,
    schedule_groups,
)
from ml_janitor.config.member_roles import ACCOUNTS_FUNCTION_ROLE, UNDO_FUNCTION_ROLE, sweep_role_name
from ml_janitor.config.schedules import schedule_period
from ml_janitor.config.sections import JanitorSection, unmatched_routes
from ml_janitor.config.settings import (
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
from ml_janitor.core.durations import HOUR
from ml_janitor.core.model import Mode
from ml_janitor.core.text import count_noun
from ml_janitor.engine.detector import Detector, Grant
from ml_janitor.ledger import uses
from ml_janitor.ledger.files import DESCRIPTIONS_KEY
from ml_janitor.ledger.signatures import KEY_MANAGEMENT
from ml_janitor.ledger.uses import TABLE_MANAGEMENT, TABLE_WRITES
from ml_janitor.scheduled.invocation import warn_of_slow_runs
from ml_janitor.scheduled.watch import WATCH_SCHEDULE
from ml_janitor_cli.stack import VERSION_OUTPUT
from ml_janitor_cli.template.keys import (
    CDK_ROLES,
    KeyUser,
    SigningKeys,
    account_statement,
    deny_all_but,
    deny_everybody,
    deny_plain_requests,
    policy_administrators,
)
from ml_janitor_cli.template.monitoring import AlarmTopic, add_alarms, add_budgets, add_dashboard
from ml_janitor_cli.template.permissions import Rights, RolePermissions, allow_invoking, allow_statements
from ml_janitor_cli.template.resources import (
    ACCOUNT,
    REGION,
    URL_SUFFIX,
    PolicyStatements,
    StackTemplate,
    Statement,
    add_policy,
    add_role,
    allow_actions,
    logical_id,
)
from ml_janitor_cli.template.state_machine import add_state_machine, transitions_price

WAITING_MB = 512
"""
MB for detectors that run each hour: they mostly wait for turns, for which Lambda charges by memory. 600
notebooks, 400 jobs or 400 Studio apps take 152 MB at most in Lambda's runtime.
"""

ONE_CORE_MB = 1769
"""MB with which Lambda gives one core (Lambda developer guide, "Configure Lambda function memory")."""

MEMORY_ARENAS = 2
"""
Arenas from which glibc gives out memory, for all threads of a function; else there are eight for each core
(mallopt(3), M_ARENA_MAX). Each keeps what its threads have freed: with two, the audit of the large account
of docs/performance.md takes 378 MB, and 408 with the usual number.
"""

LOG_DAYS = 90
EVENT_SECONDS = 3600
"""Maximum age of an event: an older one would run as a dry run anyway; better that its alarm says so."""

DELIVERY_RETRIES = 3
RUN_RETRIES = 1
QUEUE_SECONDS = 14 * 24 * 3600
"""Retention of events that nobody could handle: the longest there is."""

REPORT_DAYS = 90
FILE_DAYS = 3
"""Age of the files of an unfinished reading: no run continues it after a day."""

DESCRIPTIONS_DAYS = 14
"""Age of the files of kept descriptions: those that are in use are written again after a week at most."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFunction:
    """A function of the plan: its references, its role's ARN, and what the role is *allowed*."""

    id: str
    role: str
    allowed: Sequence[RolePermissions]

    @property
    def name(self) -> str:
        """The reference to its name."""
        return f"${{{self.id}}}"

    @property
    def arn(self) -> str:
        """The reference to its ARN."""
        return f"${{{self.id}.Arn}}"


def deployment_plan(
    settings: Settings,
    today: date,
    *,
    name: str,
    code: Mapping[str, Any],
    deployers: Sequence[str] = CDK_ROLES,
    account: str = "",
) -> dict[str, Any]:
    """
    Return the resources and outputs of the stack *name*: a function for each detector that may act, one for
    all advisers, a digest, and what they share.

    *settings* decide which detectors there are, when they run and what they may act on; *today* decides
    whether what a disarmed detector did can still be undone. *code* is the Code of every function, and
    *deployers* are the ARNs of the roles that deploy. The settings may
    refuse an *account*, if it is known. Raises InvalidInputError.
    """
    if refused := [*home_refusals(settings, account), *arming_refusals(settings)]:
        raise InvalidInputError("; ".join(refused))
    return _Plan(settings, today, name=name, code=code, deployers=deployers).template.render()


PLAIN_PARAMETERS = {
    "BundleBucket": {
        "Type": "String",
        "Description": "Your bucket in this region, with the bundle of the release",
    },
    "BundleKey": {"Type": "String", "Description": "The name of the bundle in the bucket"},
    "SlackChannel": {
        "Type": "String",
        "AllowedPattern": "[A-Za-z0-9#_.-]+",
        "Description": "The Slack channel; the secret ml-janitor/slack holds the app's bot token",
    },
}
PLAIN_SETTINGS = '{"janitor":{"slack_channel":"${SlackChannel}","slack_secret":"ml-janitor/slack"}}'


def plain_template(today: date) -> dict[str, Any]:
    """Return a template of the report-only default for the console: parameters instead of janitor.toml."""
    settings = Settings.parse({"janitor": {"slack_channel": "C0", "slack_secret": "ml-janitor/slack"}})
    code = {"S3Bucket": {"Ref": "BundleBucket"}, "S3Key": {"Ref": "BundleKey"}}
    plan = deployment_plan(settings, today, name="MlJanitor", code=code)
    for resource in plan["Resources"].values():
        if resource["Type"] == "AWS::Lambda::Function":
            variables = resource["Properties"]["Environment"]["Variables"]
            variables["JANITOR_SETTINGS"] = {"Fn::Sub": PLAIN_SETTINGS}
    about = "ML Janitor, which only reports: finds what a machine-learning platform wastes"
    head = {"AWSTemplateFormatVersion": "2010-09-09", "Description": about, "Parameters": PLAIN_PARAMETERS}
    return {**head, **plan}


def deployment_warnings(settings: Settings, *, account: str = "", region: str = "") -> dict[str, list[str]]:
    """Return warnings about effects of the settings that their operator may not expect, by name."""
    routed = account and not settings.organization.used
    return {
        "never-acts": arming_warnings(settings, home=region),
        "no-notice": notice_warnings(settings),
        "undo-roles": undo_role_warnings(settings, account=account),
        "bill-requests": request_warnings(settings),
        "at-once": warn_of_slow_runs(settings, len(set(settings.organization.accounts))),
        "routes": [
            f"[slack.routes]: {warning}"
            for warning in (unmatched_routes(settings.slack.routes, account) if routed else ())
        ],
    }


def deployment_notes(settings: Settings) -> list[str]:
    """Return what an operator should know about the costs and settings of a deployment."""
    bill = settings.bill
    most = bill.max_requests * PRICE_PER_REQUEST
    asked = (
        f"[bill] enabled: each run of the function bill asks Cost Explorer at most "
        f"{count_noun(bill.max_requests, 'time')}, which costs up to ${most}: ${30 * most} in 30 nights."
    )
    return [
        *(
            f"warning: janitor.toml: {note}"
            for note in (*ignored_warnings(settings), *tag_warnings(settings))
        ),
        *([transitions_price(settings)] if settings.organization.used else []),
        *([asked] if bill.enabled else []),
    ]


class _Plan:
    """The template while it is made, and what its functions share."""

    def __init__(
        self,
        settings: Settings,
        today: date,
        *,
        name: str,
        code: Mapping[str, Any],
        deployers: Sequence[str],
    ) -> None:
        section, self._in_organization = settings.janitor, settings.organization.used
        template = self.template = StackTemplate(
            name, role_path=section.role_path, permissions_boundary=section.permissions_boundary
        )
        self.settings, self._code, self._key = settings, code, section.kms_key or None
        topic = AlarmTopic(template, key=self._key, email=section.alarm_email)
        undoable = settings.undoable(today)
        self._ledger()
        self.keys = SigningKeys(template, undoable=bool(undoable))
        self._reports()
        self.failed = self._queue("Failed")
        self.undelivered = self._queue("Scheduler/Undelivered")
        self._started: list[Statement] = []
        self.functions: list[PlannedFunction] = []
        self.rights = Rights(
            settings=settings,
            ledger=f"${{{self.ledger}.Arn}}",
            reports=f"${{{self.reports}.Arn}}",
            keys=self.keys,
        )
        undo = self._undo(undoable) if undoable else None
        accounts = self._accounts() if self._in_organization else None
        revertible = {detector.name for detector in undoable}
        sweeping = {
            detector.name: self._sweep(detector, undo if detector.name in revertible else None)
            for detector in settings.enabled()
            if has_own_function(settings, detector.name)
        }
        if others := list_advisers(settings):
            sweeping[ADVISERS] = self._advisers(others)
        machine = None
        if accounts is not None:
            machine = add_state_machine(
                template,
                accounts=accounts.arn,
                functions=[function.arn for function in sweeping.values()],
                lists=self.rights.reports,
                at_once=settings.organization.at_once,
                key=self._key,
            )
        for group in schedule_groups(settings):
            self._schedule_sweep(sweeping[group.function], group, machine)
        self._digest()
        if settings.bill.enabled:
            self._bill()
        receiver = None
        if section.slack_secret and section.slack_signing_secret:
            receiver = self._buttons(section, sweeping, undo).name
        self._scheduler_role()
        if section.ledger_writers:
            self._close(section.ledger_writers, policy_administrators(deployers, section.administrators))
        add_alarms(
            template,
            topic,
            failed=self.failed,
            undelivered=self.undelivered,
            acts=bool(undoable),
            machine=machine,
            receiver=receiver,
        )
        add_budgets(template, settings.bill, topic)
        detectors = [detector.name for detector in settings.enabled()]
        add_dashboard(template, detectors, {name: function.name for name, function in sweeping.items()})
        template.output("AlarmTopic", topic.arn, "Subscribe whoever is on call")
        template.output(VERSION_OUTPUT, version("ml-janitor"))
        template.output("LedgerTable", f"${{{self.ledger}}}")
        template.output("ReportBucket", f"${{{self.reports}}}")

    # --- storage ----------------------------------------------------------------------------------

    def _ledger(self) -> None:
        """
        Add a table whose keys a person can read: *pk* is the kind of item and its sweep, *sk* the resource.

        It outlives the stack: a redeployment does not lose what was announced to whom. Undo records hold
        whole descriptions, hyperparameters among them, so the table is encrypted under a key of the
        customer's own, which can be taken away.
        """
        # The same as the policy of AWS's own key for DynamoDB, so that roles need no statement about keys.
        through_dynamodb = {
            "kms:CallerAccount": ACCOUNT,
            "kms:ViaService": f"dynamodb.{REGION}.{URL_SUFFIX}",
        }
        used = {
            "Effect": "Allow",
            "Principal": {"AWS": "*"},
            "Action": [f"kms:{action}" for action in KEY_USES],
            "Resource": ["*"],
            "Condition": {"StringEquals": through_dynamodb},
        }
        self._key_policy = PolicyStatements([account_statement(), used])
        key = self.template.add(
            "LedgerKey/Resource",
            "AWS::KMS::Key",
            {
                "Description": "ML Janitor: what it remembers, undo records among it",
                "EnableKeyRotation": True,
                "KeyPolicy": self._key_policy,
            },
            removal="Retain",
        )
        # A statement of a table's own policy may not name the table: that would refer to itself.
        elsewhere = {
            "StringNotEquals": {"aws:PrincipalAccount": ACCOUNT},
            "Bool": {"aws:PrincipalIsAWSService": "false"},
        }
        self._table_policy = PolicyStatements(
            [deny_plain_requests("dynamodb:*"), deny_everybody(["dynamodb:*"], elsewhere)]
        )
        names = {"pk": "HASH", "sk": "RANGE"}
        self.ledger = self.template.add(
            "Ledger/Resource",
            "AWS::DynamoDB::Table",
            {
                "AttributeDefinitions": [{"AttributeName": n, "AttributeType": "S"} for n in names],
                "BillingMode": "PAY_PER_REQUEST",
                "KeySchema": [{"AttributeName": n, "KeyType": kind} for n, kind in names.items()],
                "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
                "ResourcePolicy": {"PolicyDocument": self._table_policy},
                "SSESpecification": {
                    "KMSMasterKeyId": f"${{{key}.Arn}}",
                    "SSEEnabled": True,
                    "SSEType": "KMS",
                },
                "TimeToLiveSpecification": {"AttributeName": "expires", "Enabled": True},
            },
            removal="Retain",
        )

    def _close(self, writers: Sequence[str], administrators: Sequence[str]) -> None:
        """
        Deny everybody else what only the functions' roles, *writers* and *administrators* are for.

        Only *administrators* may change the policies, or end the table or a key. DynamoDB makes grants for
        the key in the name of whoever asks it.
        """

        def holders(grant: Grant) -> list[str]:
            return [
                function.role
                for function in self.functions
                if any(grant in allowed.grants for allowed in function.allowed)
            ]

        roles = [function.role for function in self.functions]
        table = (
            deny_all_but([*roles, *writers], *TABLE_WRITES),
            deny_all_but(administrators, *TABLE_MANAGEMENT),
        )
        self._table_policy.statements.extend(table)
        self._key_policy.statements.append(deny_all_but(administrators, *KEY_MANAGEMENT))
        self.keys.close(holders, writers=writers, administrators=administrators)

    def _reports(self) -> None:
        """
        Add a bucket with one object per sweep; nobody but the janitor writes, and only the account reads.

        It is private, encrypted, and emptied by age: files of an unfinished reading after some days.
        """
        passing = {
            **{
                scratch_folder(detector.name): FILE_DAYS
                for detector in self.settings.registry
                if detector.keeps_files
            },
            f"{DESCRIPTIONS_KEY}/": DESCRIPTIONS_DAYS,
        }
        whole = {
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
            "ExpirationInDays": REPORT_DAYS,
            "Status": "Enabled",
        }
        parts = [{"ExpirationInDays": d, "Prefix": p, "Status": "Enabled"} for p, d in passing.items()]
        encrypted = {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        public = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
        self.reports = self.template.add(
            "Reports/Resource",
            "AWS::S3::Bucket",
            {
                "BucketEncryption": {"ServerSideEncryptionConfiguration": [encrypted]},
                "LifecycleConfiguration": {"Rules": [whole, *parts]},
                "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
                "PublicAccessBlockConfiguration": dict.fromkeys(public, True),
            },
            removal="Retain",
        )
        arn = f"${{{self.reports}.Arn}}"
        policy = PolicyStatements([deny_plain_requests("s3:*", arn, f"{arn}/*")])
        bucket = {"Bucket": f"${{{self.reports}}}", "PolicyDocument": policy}
        self.template.add("Reports/Policy/Resource", "AWS::S3::BucketPolicy", bucket)

    def _queue(self, path: str) -> str:
        """Add a queue for events that nobody could handle, under the key if there is one."""
        sealed = {"KmsMasterKeyId": self._key} if self._key else {"SqsManagedSseEnabled": True}
        queue = self.template.add(
            f"{path}/Resource",
            "AWS::SQS::Queue",
            {"MessageRetentionPeriod": QUEUE_SECONDS, **sealed},
            removal="Delete",
        )
        policy = PolicyStatements([deny_plain_requests("sqs:*", f"${{{queue}.Arn}}")])
        document = {"PolicyDocument": policy, "Queues": [f"${{{queue}}}"]}
        self.template.add(f"{path}/Policy/Resource", "AWS::SQS::QueuePolicy", document)
        return queue

    def _sending(self, queue: str) -> list[Statement]:
        """Allow sending messages to *queue*, and using its key (SQS developer guide, "Key management")."""
        sending = [allow_actions(["sqs:SendMessage"], f"${{{queue}.Arn}}")]
        if self._key:
            through = {"StringEquals": {"kms:ViaService": f"sqs.{REGION}.{URL_SUFFIX}"}}
            sending.append(allow_actions(["kms:Decrypt", "kms:GenerateDataKey"], self._key, when=through))
        return sending

    # --- functions --------------------------------------------------------------------------------

    def _function(
        self,
        path: str,
        *,
        name: str,
        description: str,
        handler: str,
        allowed: Sequence[RolePermissions],
        environment: Mapping[str, str] | None = None,
        memory: int = 512,
        timeout: int = 900,
        answers: bool = False,
        continues: bool = False,
        concurrency: int | None = None,
        role_name: str | None = None,
    ) -> PlannedFunction:
        """
        Add a function under a role of its own, with its log group.

        A run that fails goes to the function's own retries and then to the queue. Asynchronous invocations
        alone have either (Lambda developer guide, "How Lambda handles errors and retries with asynchronous
        invocation"), so a function that *answers* has neither. A function that *continues* may invoke itself,
        for the next part of a run. The role has a *role_name* where other accounts name it.
        """
        template, section = self.template, self.settings.janitor
        group = template.add(
            f"{path}/Logs/Resource",
            "AWS::Logs::LogGroup",
            {"RetentionInDays": LOG_DAYS, "KmsKeyId": self._key},
            removal="Delete",
        )
        role, policies = add_role(
            template,
            f"{path}/Role",
            service="lambda",
            description=f"ML Janitor, {name}: {description}",
            name=role_name,
            statements=[
                *(s for rights in allowed for s in (*allow_statements(rights), *rights.denied)),
                allow_actions(["logs:CreateLogStream", "logs:PutLogEvents"], f"${{{group}.Arn}}"),
                *(VPC_STATEMENTS if section.subnets else ()),
                *([] if answers else self._sending(self.failed)),
            ],
        )
        network = {"SubnetIds": section.subnets, "SecurityGroupIds": section.security_groups}
        function = template.add(
            f"{path}/Function/Resource",
            "AWS::Lambda::Function",
            {
                "Architectures": ["arm64"],
                "Code": self._code,
                "Description": f"{name}: {description}"[:256],
                "Environment": {
                    "Variables": {
                        "JANITOR_TABLE": f"${{{self.ledger}}}",
                        "JANITOR_BUCKET": f"${{{self.reports}}}",
                        "MALLOC_ARENA_MAX": f"{MEMORY_ARENAS}",
                        **(environment or {}),
                    }
                },
                "Handler": f"ml_janitor.handlers.{handler}",
                "LoggingConfig": {
                    "ApplicationLogLevel": "INFO",
                    "LogFormat": "JSON",
                    "LogGroup": f"${{{group}}}",
                    "SystemLogLevel": "WARN",
                },
                "MemorySize": memory,
                "RecursiveLoop": "Terminate",
                "ReservedConcurrentExecutions": concurrency,
                "Role": f"${{{role}.Arn}}",
                "Runtime": "python3.13",
                "Timeout": timeout,
                "VpcConfig": network if section.subnets else None,
            },
            after=[*policies, role],
        )
        made = PlannedFunction(id=function, role=f"${{{role}.Arn}}", allowed=allowed)
        self.functions.append(made)
        if continues:  # a policy of its own: the function waits for the other one
            next_part = [allow_actions(["lambda:InvokeFunction"], made.arn)]
            add_policy(template, f"{path}/NextPart", role, next_part)
        if not answers:
            template.add(
                f"{path}/Function/EventInvokeConfig/Resource",
                "AWS::Lambda::EventInvokeConfig",
                {
                    "DestinationConfig": {"OnFailure": {"Destination": f"${{{self.failed}.Arn}}"}},
                    "FunctionName": made.name,
                    "MaximumEventAgeInSeconds": EVENT_SECONDS,
                    "MaximumRetryAttempts": RUN_RETRIES,
                    "Qualifier": "$LATEST",
                },
            )
        return made

    def _sweep(self, detector: Detector[Any], undo: PlannedFunction | None) -> PlannedFunction:
        """Add the function of *detector*, which has interrupted actions brought back by *undo*."""
        allowed, environment = self.rights.of_sweep(detector), {"JANITOR_DETECTOR": detector.name}
        if undo is not None:
            armed = [KeyUser.ARMED] if self.settings.mode(detector.name) is Mode.ACT else []
            allowed += [allow_invoking(undo.arn), self.rights.signing(KeyUser.UNDOABLE, *armed)]
            environment["JANITOR_UNDO"] = undo.name
            environment |= self.keys.environment(KeyUser.UNDOABLE, *armed)
        return self._function(
            type(detector).__name__,
            name=detector.name,
            description=detector.summary(),
            handler="sweep",
            allowed=allowed,
            environment=environment,
            memory=WAITING_MB if schedule_period(type(detector).schedule) <= HOUR else 1024,
            continues=detector.resumes and not self._in_organization,
            role_name=sweep_role_name(detector.name) if self._in_organization else None,
        )

    def _advisers(self, others: Sequence[Detector[Any]]) -> PlannedFunction:
        """Add the function of all *others*; in an organization the state machine starts the next part."""
        return self._function(
            "Advisers",
            name=ADVISERS,
            description=Advisers.summary(),
            handler="advisers",
            allowed=self.rights.of_advisers(others),
            memory=1024,
            continues=not self._in_organization,
            role_name=sweep_role_name(ADVISERS) if self._in_organization else None,
        )

    def _undo(self, undoable: Iterable[Detector[Any]]) -> PlannedFunction:
        """Add the function that undoes actions, while there can be something to undo."""
        return self._function(
            "Undo",
            name="undo",
            description="Takes back what a detector did.",
            handler="undo",
            allowed=self.rights.of_undo(undoable),
            environment=self.keys.environment(KeyUser.UNDO),
            memory=1024,
            role_name=UNDO_FUNCTION_ROLE if self._in_organization else None,
        )

    def _accounts(self) -> PlannedFunction:
        """Add the function that lists the accounts of an organization."""
        return self._function(
            "Accounts",
            name="accounts",
            description="Lists the accounts of the organization, and says which left no result.",
            handler="accounts",
            allowed=self.rights.of_accounts(),
            memory=1024,
            answers=True,
            role_name=ACCOUNTS_FUNCTION_ROLE,
        )

    def _digest(self) -> None:
        """Add the function of the digest, which also watches the schedules."""
        digest = self._function(
            "Digest",
            name="digest",
            description="Says once a day what all sweeps found, and which did not run.",
            handler="digest",
            allowed=self.rights.of_digest(),
            environment=self.keys.environment(KeyUser.DIGEST),
            timeout=5 * 60,
            memory=ONE_CORE_MB if self._in_organization else 512,
        )
        self._schedule("Digest/Schedule", digest, self.settings.janitor.digest_schedule)
        self._schedule("Digest/Watch", digest, WATCH_SCHEDULE, only="schedules")

    def _bill(self) -> None:
        """Add the function that reads the bill; AWS charges for each of its readings."""
        reading = self._function(
            "Bill",
            name="bill",
            description="Reads what AWS charged, and says what moved it.",
            handler="bill",
            allowed=self.rights.of_bill(),
            environment=self.keys.environment(KeyUser.BILL),
            memory=1024,
            role_name=sweep_role_name(BilledResources.name) if self._in_organization else None,
        )
        self._schedule("Bill/Schedule", reading, self.settings.bill.schedule)

    def _buttons(
        self, section: JanitorSection, sweeping: Mapping[str, PlannedFunction], undo: PlannedFunction | None
    ) -> PlannedFunction:
        """
        Add the functions behind Slack's buttons; there are two, because Slack wants an answer in 3 seconds.

        The receiver, which is returned, faces the internet: it verifies Slack's signature and may do nothing
        but invoke the worker. The worker verifies it again, writes holds and requests into the ledger, and
        invokes the functions that act and undo. Neither holds a permission on a customer's resource.
        """
        secret = RolePermissions([self.rights.secret(section.slack_signing_secret)])
        armed = {d.name: sweeping[d.name] for d in self.settings.armed() if d.name in sweeping}
        worker = self._function(
            "Slack/Worker",
            name="slack-worker",
            description="Does what a button in Slack asks for, if whoever pressed it may.",
            handler="pressed",
            allowed=[
                self.rights.own(uses.press_uses()),
                self.rights.signing(KeyUser.WORKER),
                secret,
                allow_invoking(*(function.arn for function in (*([undo] if undo else []), *armed.values()))),
            ],
            environment={
                "JANITOR_FUNCTIONS": json.dumps({name: function.name for name, function in armed.items()}),
                **({"JANITOR_UNDO": undo.name} if undo else {}),
                **self.keys.environment(KeyUser.WORKER),
            },
            timeout=2 * 60,
        )
        receiver = self._function(
            "Slack/Receiver",
            name="slack-receiver",
            description="Takes what Slack sends, checks its signature and passes it on.",
            handler="interact",
            allowed=[allow_invoking(worker.arn), secret],
            environment={
                "JANITOR_SIGNING_SECRET": section.slack_signing_secret,
                "JANITOR_WORKER": worker.name,
            },
            memory=1024,
            timeout=10,
            answers=True,
            concurrency=section.slack_concurrency or None,  # anybody may call it: no more of the account's
        )
        path, public = "Slack/Receiver/Function", {"FunctionName": receiver.arn, "Principal": "*"}
        url = self.template.add(
            f"{path}/FunctionUrl/Resource",
            "AWS::Lambda::Url",
            {"AuthType": "NONE", "TargetFunctionArn": receiver.arn},
        )
        permissions: dict[str, dict[str, Any]] = {
            "invoke-function-url": {"Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"},
            "invoke-function": {"Action": "lambda:InvokeFunction", "InvokedViaFunctionUrl": True},
        }
        for id_, permission in permissions.items():
            self.template.add(f"{path}/{id_}", "AWS::Lambda::Permission", {**permission, **public})
        self.template.output("SlackRequestUrl", f"${{{url}.FunctionUrl}}", "For Slack's interactivity")
        return receiver

    # --- schedules --------------------------------------------------------------------------------
    # One role invokes all functions; what could not be delivered has one queue.

    def _schedule(self, path: str, function: PlannedFunction, schedule: str, **event: Any) -> None:
        """Have *schedule* invoke *function* with its time and *event*."""
        self._started.append(allow_actions(["lambda:InvokeFunction"], function.arn))
        self._add_schedule(path, schedule, function.arn, {"time": SCHEDULED_TIME, **event})

    def _schedule_sweep(self, function: PlannedFunction, group: ScheduleGroup, machine: str | None) -> None:
        """Have *function* sweep for *group* on its schedule, by itself or through the *machine*."""
        path = "Advisers" if group.function == ADVISERS else group_class(self.settings, group)
        if machine is None:
            named = {} if group.function in group.detectors else {"detectors": list(group.detectors)}
            self._schedule(f"{path}/{group.id}", function, group.schedule, **named)
            return
        self._started.append(allow_actions(["states:StartExecution"], machine))
        given: dict[str, Any] = {
            "detectors": list(group.detectors),
            "function": function.arn,
            "time": SCHEDULED_TIME,
        }
        if group.resumes:
            given["resumes"] = True
        self._add_schedule(f"{path}/{group.id}", group.schedule, machine, given)

    def _add_schedule(self, path: str, schedule: str, target: str, event: Mapping[str, Any]) -> None:
        self.template.add(
            f"{path}/Resource",
            "AWS::Scheduler::Schedule",
            {
                "Description": f"ML Janitor runs {path.partition('/')[0]}",
                "FlexibleTimeWindow": {"Mode": "OFF"},
                "ScheduleExpression": schedule,
                "ScheduleExpressionTimezone": self.settings.janitor.time_zone,
                "State": "ENABLED",
                "Target": {
                    "Arn": target,
                    "DeadLetterConfig": {"Arn": f"${{{self.undelivered}.Arn}}"},
                    "Input": json.dumps(event, separators=(",", ":")),
                    "RetryPolicy": {
                        "MaximumEventAgeInSeconds": EVENT_SECONDS,
                        "MaximumRetryAttempts": DELIVERY_RETRIES,
                    },
                    "RoleArn": f"${{{logical_id(SCHEDULER_ROLE)}.Arn}}",
                },
            },
        )

    def _scheduler_role(self) -> None:
        add_role(
            self.template,
            "Scheduler/Role",
            service="scheduler",
            when={"StringEquals": {"aws:SourceAccount": ACCOUNT}},
            description="ML Janitor: invokes its functions on their schedules",
            statements=[*self._sending(self.undelivered), *self._started],
        )


def group_class(settings: Settings, group: ScheduleGroup) -> str:
    """Return the name of the class of the detector of *group*: its path in the stack."""
    return next(type(d).__name__ for d in settings.enabled() if d.name == group.function)


SCHEDULER_ROLE = "Scheduler/Role/Resource"
SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"
"""The context attribute that EventBridge Scheduler replaces by the time of the schedule."""

KEY_USES = (
    "CreateGrant",
    "Decrypt",
    "DescribeKey",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncryptFrom",
    "ReEncryptTo",
)
"""Actions on the table's key of those who use the table."""

VPC_STATEMENTS = (
    allow_actions(VPC_ACTIONS, "*"),
    allow_actions(VPC_ACTIONS, "*", when={"Null": {"lambda:SourceFunctionArn": "false"}})
    | {"Effect": "Deny"},
)
"""
Permissions of a function in a VPC: Lambda may use its role for it, and the function's own code may not
(Lambda developer guide, "Giving Lambda functions access to resources in an Amazon VPC":
lambda:SourceFunctionArn is in requests of code alone).
"""
