"""The stand-in deployment from the template: its functions run in the sandbox, each under its own role."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property, partial
from importlib import import_module
from io import StringIO
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import boto3
import pytest
from aws_lambda_powertools.utilities import parameters
from botocore.exceptions import ClientError

import one_of_each
from conftest import ACCOUNT, NOW, REGION, once, seed_demo
from declared import Asked, Declared, Deployed, Function, Use
from fakes import logger_to
from ml_janitor import handlers
from ml_janitor.aws.client import Aws
from ml_janitor.config.settings import SETTINGS_FILE, Settings
from ml_janitor.detectors import DETECTORS
from ml_janitor.ledger.actions import ACTION_KEY, Action, Actions
from ml_janitor.ledger.latest import RunAccount, RunLists
from ml_janitor.ledger.table import Table, partition_key
from ml_janitor.slack import ingress
from ml_janitor.slack.client import SenderClock
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import SECRET, SIGNING
from ml_janitor_sandbox.iam import IamControl
from ml_janitor_sandbox.slack import CHANNEL, SIGNING_SECRET, TOKEN, SlackControl
from narrowing import not_none
from one_of_each import BUCKET, SCRATCH, DueResources
from organization import Organization
from properties.worlds import build_rare
from sagemaker_requests import ROLE
from standin import EMAILS, GROUP, MEMBER, NAMES, WITH_SLACK, Context
from synthesis import synthesise

REQUESTS, STREAMS = count(), count()
LAMBDA, SCHEDULER = "lambda.amazonaws.com", "scheduler.amazonaws.com"

if TYPE_CHECKING:
    from recorder import Missed

type Roles = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What became of an invocation: its answer or error, its log, and what its role asked for in order."""

    answer: dict[str, Any] | None
    error: Exception | None
    log: str
    uses: tuple[Use, ...]
    denied: frozenset[Asked]
    elsewhere: Mapping[str, tuple[Use, ...]] = field(default_factory=dict)
    """What roles that it took on asked for and may do, by ARN."""

    @property
    def allowed(self) -> frozenset[Asked]:
        """What it asked for and may do."""
        return frozenset((use.action, use.resource) for use in self.uses)

    @classmethod
    def of(cls, role: str, record: Iterable[Mapping[str, Any]], **became: Any) -> Self:
        """What became of it, and what was asked for under its *role* and under those that it took on."""
        uses: dict[str, list[Use]] = {}
        for one in record:
            if one["allowed"]:
                uses.setdefault(one["role"], []).append(Use(one["action"], one["resource"], tuple(one["by"])))
        denied = frozenset((one["action"], one["resource"]) for one in record if not one["allowed"])
        own = tuple(uses.pop(role, ()))
        elsewhere = {arn: tuple(found) for arn, found in uses.items()}
        return cls(
            uses=own,
            denied=denied,
            elsewhere=elsewhere,
            **{"answer": None, "error": None, "log": "", **became},
        )


class Host:
    """
    Runs the functions of a stack in the sandbox at *url*, each under its own role.

    What AWS does in a role's name is done in its name here too, because the role has to allow it:
    Lambda writes the log, and sends the event of a run that failed to the on-failure queue (Lambda
    developer guide, "Defining Lambda function permissions with an execution role", and "Capturing
    records of Lambda asynchronous invocations"); the scheduler invokes, and sends what it could not
    deliver to the dead-letter queue (EventBridge Scheduler user guide, "Configuring a dead-letter
    queue").

    *members* are roles of other accounts, for whom these functions work too.
    *files* holds what the function finds beside its code: janitor.toml. It is *now* for the functions,
    none of which really waits: *meanwhile* is what happens while one would. *add* adds waste of a name.
    *unarmed* is the same deployment, where nothing is armed.
    """

    def __init__(self, declared: Declared, url: str, files: Path) -> None:
        self.declared = declared
        self.deployed = declared.deployed
        self._iam = IamControl(url)
        self.url = url
        self._files = files
        self._clients: dict[str, Any] = {}
        self.now = NOW + timedelta(seconds=30)
        self.meanwhile: Callable[[], None] = lambda: None
        self.add: Callable[[str], None] = lambda _: None
        self.members: Roles = {}
        self.unarmed: Callable[[], Declared] = lambda: declared

    def roles(self) -> Roles:
        return {**self.deployed.roles(), **self.members}

    def role_of(self, name: str) -> str:
        return self.function(name).role

    def enforce(self, roles: Roles | None = None) -> None:
        """From now on the roles of the stack hold, or *roles* instead; and those of the *members*."""
        self._iam.enforce({**self.members, **(self.deployed.roles() if roles is None else roles)})

    def run(self, name: str, event: Any) -> Ran:
        """One invocation, after which no action has failed so often that a person would have to look."""
        ran = self.invoke(self.function(name), event)
        for detector in self.declared.settings.armed():
            where = partition_key(ACTION_KEY, detector.name, ACCOUNT, REGION)
            for action in self.actions(detector.name):
                if action.failures:
                    self.table.change(where, action.sk, set_to={"waits": action.attempts})
        return ran

    def actions(self, name: str) -> list[Action]:
        return Actions(self.table).all(name, ACCOUNT, REGION)

    def session(self, role: str, service: str) -> boto3.Session:
        given = self._iam.credentials(role, service=service)
        return boto3.Session(**given, region_name=self.deployed.region)

    def invoke(self, function: Function, event: Any) -> Ran:
        """One asynchronous invocation, without Lambda's own retry."""
        session = self.session(function.role, LAMBDA)
        self._iam.forget()
        written, answer, error = StringIO(), None, None
        logger = logger_to(written)
        with pytest.MonkeyPatch.context() as patch:
            self._environment(patch, function, session)
            patch.setattr(handlers, "structured_logger", lambda: logger)
            patch.setattr(ingress, "ingress_log", logger)
            patch.setattr(handlers, "slack_time", lambda: SenderClock(clock=lambda: 0.0, sleep=self._wait))
            request = Context(f"request-{next(REQUESTS)}", function.arn)
            try:
                answer = entry(function)(event, request)
            except Exception as raised:  # whatever a function raises, Lambda calls it a failed run
                error = raised
            self._log(session, function.log_group, written.getvalue())
            if error is not None and function.failed is not None:
                self._send(session, function.failed, event)
        return Ran.of(
            function.role, self._recorded(function.role), answer=answer, error=error, log=written.getvalue()
        )

    def deliver(self, function: Function, event: Any) -> Ran:
        """What the scheduler does: once it invokes, and once it gives up."""
        assert function.schedule is not None
        session = self.session(function.schedule.role, SCHEDULER)
        self._iam.forget()
        client = session.client("lambda", endpoint_url=self.url)
        # There are no functions in the sandbox; what counts is that it is allowed as far as that answer.
        attempted(
            lambda: client.invoke(FunctionName=function.arn, Payload=json.dumps(event)), or_=NO_FUNCTION
        )
        self._send(session, function.schedule.undelivered, event)
        return Ran.of(function.schedule.role, self._recorded(function.schedule.role))

    def later(self, span: timedelta) -> None:
        """Time passes, in the sandbox and for the functions."""
        self.now += span
        Control(self.url).set_clock(self.now)

    def _wait(self, _: float) -> None:
        self.meanwhile()

    @property
    def table(self) -> Table:
        """The ledger, as whoever may do everything sees it."""
        return Table(self.root("dynamodb"), self.deployed.one("AWS::DynamoDB::Table").rpartition("/")[2])

    def function(self, name: str) -> Function:
        (found,) = (one for one in self.deployed.functions() if one.name == name)
        return found

    def reports(self, function: Function) -> list[str]:
        s3, bucket = self.root("s3"), self.deployed.one("AWS::S3::Bucket").rpartition(":")[2]
        kept = s3.list_objects_v2(Bucket=bucket, Prefix=f"{function.name}/").get("Contents", [])
        return [
            s3.get_object(Bucket=bucket, Key=one["Key"])["Body"].read().decode()
            for one in kept
            if one["Key"].endswith(".json")
        ]

    def report(self, ran: Ran, kind: str = "json") -> str:
        """The report of a sweep, as JSON or as the HTML page; nothing without one."""
        bucket, _, key = ((ran.answer or {}).get("report") or "").removeprefix("s3://").partition("/")
        if not key:
            return ""
        written = self.root("s3").get_object(Bucket=bucket, Key=key.replace(".html", f".{kind}"))
        return str(written["Body"].read().decode())

    def forget(self, function: Function) -> None:
        """Remove what the function has left behind, so that the next run is its first."""
        s3, bucket = self.root("s3"), self.deployed.one("AWS::S3::Bucket").rpartition(":")[2]
        for one in s3.list_objects_v2(Bucket=bucket, Prefix=f"{function.name}/").get("Contents", []):
            s3.delete_object(Bucket=bucket, Key=one["Key"])
        dynamodb, table = self.root("dynamodb"), self.deployed.one("AWS::DynamoDB::Table")
        for item in dynamodb.scan(TableName=table.rpartition("/")[2])["Items"]:
            if function.name in item["pk"]["S"].split("#"):
                dynamodb.delete_item(
                    TableName=table.rpartition("/")[2], Key={key: item[key] for key in ("pk", "sk")}
                )

    def root(self, service: Any) -> Any:
        """A client that may do everything, and is not recorded."""
        if service not in self._clients:
            session = boto3.Session("AKIASANDBOX", "sandbox", region_name=self.deployed.region)
            self._clients[service] = session.client(service, endpoint_url=self.url)
        return self._clients[service]

    def _environment(self, patch: pytest.MonkeyPatch, function: Function, session: boto3.Session) -> None:
        """What the function finds: its role's credentials, Lambda's variables, and those of the template."""
        credentials = not_none(session.get_credentials())
        variables = {
            "AWS_ACCESS_KEY_ID": credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
            "AWS_SESSION_TOKEN": not_none(credentials.token),
            "AWS_REGION": self.deployed.region,
            "AWS_DEFAULT_REGION": self.deployed.region,
            "AWS_ENDPOINT_URL": self.url,
            "LAMBDA_TASK_ROOT": str(self._files),
            "JANITOR_NOW": self.now.isoformat(),
            "JANITOR_SLACK_URL": SlackControl(self.url).api,
            **function.environment,
        }
        for name, value in variables.items():
            patch.setenv(name, value)
        parameters.clear_caches()  # type: ignore[no-untyped-call]
        ingress.ingress_client.cache_clear()
        ingress.read_signing_secret.cache_clear()
        patch.setattr(ingress, "INGRESS_TIMEOUT", 30.0)  # whatever else this machine has to do meanwhile

    def _log(self, session: boto3.Session, group: str, text: str) -> None:
        logs = session.client("logs", endpoint_url=self.url)
        stream = f"2026/10/06/[$LATEST]{next(STREAMS)}"
        event: Any = {"timestamp": int(NOW.timestamp() * 1000), "message": text or "START"}
        attempted(lambda: logs.create_log_stream(logGroupName=group, logStreamName=stream))
        attempted(
            lambda: logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[event]),
            or_=NO_STREAM,
        )

    def _send(self, session: boto3.Session, queue: str, event: Any) -> None:
        _, account, name = queue.rsplit(":", 2)
        sqs = session.client("sqs", endpoint_url=self.url)
        attempted(
            lambda: sqs.send_message(QueueUrl=f"{self.url}/{account}/{name}", MessageBody=json.dumps(event))
        )

    def _recorded(self, role: str) -> list[dict[str, Any]]:
        """What was asked for: by nobody but this role, and those of the members that it took on."""
        record = self._iam.record()
        assert {one["role"] for one in record} <= {role, *self.members}
        return record


class OrganizationHost(Host):
    """Runs functions as the state machine does: all accounts that have roles are in the list of a run."""

    def invoke(self, function: Function, event: Any) -> Ran:
        """In the one account and region of the event; of one without, in the janitor's own."""
        if function.name in {one.name for one in self.declared.settings.registry} and "time" in event:
            account, regions = event.get("account", ACCOUNT), (self.deployed.region,)
            bucket = self.deployed.one("AWS::S3::Bucket").rpartition(":")[2]
            everybody = sorted({account, *(arn.split(":")[4] for arn in self.members)})
            listed = [RunAccount(one, regions) for one in everybody]
            time = datetime.fromisoformat(event["time"])
            RunLists(self.root("s3"), bucket, self.table).keep(
                function.name, time, listed=listed, accounts=listed
            )
            event = {"account": account, "regions": list(regions), **event}
        return super().invoke(function, event)


DENIED = ("AccessDenied", "AccessDeniedException")
NO_FUNCTION = NO_STREAM = "ResourceNotFoundException"


def attempted(call: Callable[[], object], *, or_: str = "") -> None:
    """Do it, if it is allowed: the record says whether it was. *or_* is an error that is as good."""
    try:
        call()
    except ClientError as error:
        if error.response["Error"]["Code"] not in (*DENIED, or_):
            raise


def entry(function: Function) -> Callable[[Any, Context], dict[str, Any]]:
    """The function's code, as its Handler names it."""
    module, _, name = function.handler.rpartition(".")
    found: Callable[[Any, Context], dict[str, Any]] = getattr(import_module(module), name)
    return found


# --- stacks, each set up in an account of its own as often as a test wants it -----------------------

ABROAD = "eu-west-1"
BY_HAND = f"arn:aws:iam::{ACCOUNT}:role/ml-platform"
ADVISERS = {one.name for one in DETECTORS if one.cleanup is None}
MINUTE = timedelta(minutes=1)
REFUSAL = re.compile(r"not authorized to perform|AccessDenied|Head(Object|Bucket): 403", re.IGNORECASE)

WITH_BILL = f"""{WITH_SLACK}
digest_schedule = "cron(0 20 * * ? *)"
[bill]
enabled = true
schedule = "cron(30 6 ? * TUE *)"
"""
"""With a bill that is posted by itself, for no digest is due, on the day on which the tags are checked."""

ARMS = {
    "idle-notebooks": "",
    "idle-studio-apps": "",
    "idle-endpoints": "",
    "hung-training-jobs": "",
    "untagged-resources": 'required = ["team", "owner"]\nfill_tags = {team = "ml", owner = "nobody"}',
    "duplicate-artifacts": f'act_on_prefixes = ["s3://{BUCKET}/"]\nbuckets = ["{BUCKET}"]\n'
    "allow_unversioned = true",
    "forgotten-leftovers": "",
    "storage-tiering": f'act_on_buckets = ["{SCRATCH}", "second-scratch"]',
}
"""What is armed, and with which tunables."""

TOML = f"""
[janitor]
slack_channel = "{CHANNEL}"
slack_secret = "{SECRET}"
slack_signing_secret = "{SIGNING}"
slack_group = "{GROUP}"
max_actions_per_night = 1000
time_zone = "UTC"
working_hours = "Mon-Sun 00-24"
undo_roles = ["{ROLE}"]
ledger_writers = ["{BY_HAND}"]
"""
ARMED = TOML + "".join(
    f"""
[detectors.{name}]
mode = "act"
act_in = ["{ACCOUNT}/{REGION}"]
act_on = "likely"
grace = "10m"
grace_likely = "10m"
business_days = false
max_actions = 100
max_share = 100
{tunables}
"""
    for name, tunables in ARMS.items()
)

IN_ORGANIZATION = f"""{ARMED}
[organization]
accounts = ["{ACCOUNT}"]
callers = ["arn:aws:iam::{ACCOUNT}:role/platform"]
external_id = "ml-janitor-7f3a"
regions = ["{REGION}"]
"""

type Call = tuple[str, str, str | None]
"""Service, operation, and what stands in the request, if only some are meant."""


class HostedStack:
    """One deployment, armed where its settings say so."""

    def __init__(self, folder: Path, toml: str = ARMED, kind: type[Host] = Host) -> None:
        (folder / SETTINGS_FILE).write_text(toml)
        self.files, self.toml, self.kind = folder, toml, kind
        self.declared = declared(folder / "stack", toml)

    @cached_property
    def dry(self) -> Declared:
        """The same, where nothing is armed."""
        return declared(self.files / "dry", TOML)

    def host(self, box: Control, session: boto3.Session, aws: Aws, *waste: str) -> Host:
        """The deployment in an account with *waste*, and people in its Slack."""
        box.reset()
        box.set_durations({"*": 0})
        host = self._deployed(box, session)
        host.unarmed = lambda: self.dry
        slack = SlackControl(box.url)
        for user, email in EMAILS.items():
            slack.add_user(user, email, name=NAMES[user])
        slack.add_usergroup(GROUP, "ml-janitors", MEMBER)
        host.add = DueResources(box, session, aws).add
        for one in waste:
            host.add(one)
        return host

    def _deployed(self, box: Control, session: boto3.Session) -> Host:
        """What the stack owns, in an account that a worker makes once."""
        host = self.kind(self.declared, box.url, self.files)

        def make() -> None:
            self._account(box, session)
            host.deployed.create(session, **{SECRET: TOKEN, SIGNING: SIGNING_SECRET})

        once(box, self.toml, make)
        return host

    def _account(self, box: Control, session: boto3.Session) -> None:
        """What is there besides."""


class OrganizationStack(HostedStack):
    """The same for an organization of which the janitor's own account is a member, looked at as all are."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, IN_ORGANIZATION, OrganizationHost)

    def host(self, box: Control, session: boto3.Session, aws: Aws, *waste: str) -> Host:
        """... and the roles of its account."""
        host = super().host(box, session, aws, *waste)
        accounts = Organization(url=box.url, id="", members=(ACCOUNT,), units={})
        host.members = accounts.granted(host.declared.settings, ACCOUNT)
        return host


class UnarmedStack(HostedStack):
    """The default deployment with Slack and a bill, in the demo account with rare resources."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, WITH_BILL)

    def host(self, box: Control, session: boto3.Session, _: Aws, *__: str) -> Host:
        """... which nothing that is played in it changes."""
        return self._deployed(box, session)

    def _account(self, box: Control, session: boto3.Session) -> None:
        everything(box, session)


def everything(box: Control, session: boto3.Session) -> None:
    """The demo account and rare resources, with one model abroad."""
    once(box, "everything", partial(_everything, box, session))


def _everything(box: Control, session: boto3.Session) -> None:
    seed_demo(box)
    one_of_each.rare_resources(session)
    one_of_each.children(session, box)
    one_of_each.warm_pools(session, box)
    one_of_each.pipeline_run(session, box)
    one_of_each.monitoring(session, box, "churn-xgb-blue")
    one_of_each.traffic(box)
    one_of_each.repeats(session, box)
    one_of_each.savings_plan(box)
    one_of_each.scaling(session, box, "churn-xgb-blue", "AllTraffic")
    build_rare(session, box, NOW)
    abroad: Any = boto3.Session("AKIASANDBOX", "sandbox", region_name=ABROAD).client("sagemaker")
    abroad.create_model(ModelName="abroad", ExecutionRoleArn=ROLE)


def declared(out: Path, toml: str) -> Declared:
    out.mkdir()
    (out / SETTINGS_FILE).write_text(toml)
    settings = Settings.load(files=[out / SETTINGS_FILE])
    return Declared(Deployed(synthesise(out / "cdk.out", settings), ACCOUNT, REGION), settings)


def told(host: Host, one: Missed) -> bool:
    """
    Whether the refusal itself is in the error or the log of a run, or in its report.

    The log of a run with a report names nothing: it counts what failed or could not be judged. The page
    names the call where something was armed; for what is unknown, only the JSON always does. What only
    advises may leave open a part of a finding, such as a size, and say so in its evidence. The tags of what
    is kept for another reason change nothing, and nobody has to hear of them.
    """
    ran = one.ran
    if REFUSAL.search(f"{ran.error!r}{ran.log}"):
        return True
    swept = [line for line in map(json.loads, ran.log.splitlines()) if line["message"] == "swept"]
    advised = sum(line["found"] for line in swept if line["detector"] in ADVISERS)
    only_tags = {action for action, _ in ran.denied} == {"sagemaker:ListTags"}
    if only_tags and not any(line["found"] + line["unknown"] for line in swept):
        return any(line["looked_at"] for line in swept)
    counted = advised + sum(line["actionsfailed"] + line["unknown"] for line in swept)
    kinds = ("json", "html") if host.declared.settings.armed() else ("json",)
    return counted > 0 and all(REFUSAL.search(host.report(ran, kind)) for kind in kinds)


def now(host: Host) -> dict[str, Any]:
    """The event of a schedule, a minute later than the last."""
    host.later(MINUTE)
    return {"time": f"{host.now:%Y-%m-%dT%H:%M:%SZ}"}


def handed(construct: str) -> Callable[[Host], dict[str, Any]]:
    """The event that the function of *construct* was handed last."""

    def last(host: Host) -> dict[str, Any]:
        made = Control(host.url).invocations()
        (event, *_) = [one["event"] for one in reversed(made) if f"-{construct}Function" in one["function"]]
        return dict(event)

    return last


def broken(calls: Iterable[Call], host: Host) -> None:
    """AWS fails these *calls* from now on, and no others. Whether it did them stays open."""
    host.meanwhile = lambda: None
    box = Control(host.url)
    box.clear_faults()
    for service, operation, match in calls:
        box.fault(service, operation, "error", times=0, match=match, status=408, code="Unavailable")
