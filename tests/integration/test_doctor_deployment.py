"""`janitor doctor` and the deployed stack: the synthesised template, made in the sandbox, and broken."""

import ast
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest

from conftest import ACCOUNT, REGION
from ml_janitor.config.settings import Settings
from ml_janitor.core.model import Confidence, Finding, Target
from ml_janitor.core.results import Outcome, Result
from ml_janitor.detectors import DETECTORS
from ml_janitor.ledger.actions import Action, Actions
from ml_janitor.ledger.table import NO_ATTRIBUTES, Table, format_stamp, partition_key
from ml_janitor_cli import stack
from ml_janitor_cli.deployment import expected_functions, policy_faults
from ml_janitor_cli.main import main
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import SECRET
from ml_janitor_sandbox.slack import CHANNEL, SIGNING_SECRET, TOKEN, SlackControl
from ml_janitor_sandbox.stack import NAME, deploy, upload
from standin import ROOT, own_signatures
from synthesis import TO_ARM, synthesise

NOW = datetime(2026, 10, 6, 9, tzinfo=UTC)
"""A Tuesday morning: every schedule has run since the day before, the weekly ones this week."""

DEPLOYED = (
    "duplicate-artifacts",
    "hung-training-jobs",
    "idle-endpoints",
    "idle-notebooks",
    "untagged-resources",
)
"""In most tests: the other detectors' functions are looked at in the same way, which takes its time."""
OTHERS = [one.name for one in DETECTORS if one.name not in DEPLOYED]
OFF = {name: {"enabled": False} for name in OTHERS}
WITHOUT_OTHERS = "".join(f"[detectors.{name}]\nenabled = false\n" for name in OTHERS)

SETTINGS = {"slack_channel": "#ml-costs", "slack_secret": SECRET, **TO_ARM}
SLACK = "".join(["[janitor]\n", *(f"{name} = {json.dumps(value)}\n" for name, value in SETTINGS.items())])
PRESSES = (
    *("--set", "janitor.slack_signing_secret=ml-janitor/slack-signing"),
    *("--set", "janitor.slack_group=S0123456789"),
)
ALL_SCOPES = ("chat:write", "files:write", "im:write", "users:read", "users:read.email")


class Ran(NamedTuple):
    """What a command left behind."""

    status: int
    out: str

    @property
    def part(self) -> str:
        """What it says of the deployment, on one line."""
        return " ".join(self.out.partition("Deployment  ")[2].split())

    def says(self, status: int | None, *parts: str) -> None:
        """It ended so, unless that is tested elsewhere, and said all this of the deployment."""
        assert self.status == (self.status if status is None else status)
        for part in parts:
            assert part in self.part

    def row(self, function: str) -> str:
        """One row of the table of functions."""
        (found,) = re.findall(rf"^{function} .*$", self.out.partition("Deployment  ")[2], re.MULTILINE)
        return str(found)


type Doctor = Callable[..., Ran]


class Site:
    """The deployed stack, and what a test does to it."""

    def __init__(self, session: boto3.Session, ids: dict[str, str]) -> None:
        self.session = session
        self.ids = ids

    def client(self, service: str) -> Any:
        return self.session.client(service)  # type: ignore[call-overload]

    def physical(self, start: str) -> str:
        (found,) = [
            name for logical, name in self.ids.items() if re.fullmatch(f"{start}[0-9A-F]{{8}}", logical)
        ]
        return found

    def ran(self, detector: str, ago: timedelta, *, error: str | None = None) -> None:
        """What a sweep leaves in the ledger."""
        numbers = ("looked_at", "found", "kept", "unknown", "unpriced")
        said = {"time": format_stamp(NOW - ago), "error": error, **dict.fromkeys(numbers, 0)}
        money = {"monthly_usd": Decimal(0), "accrued_usd": Decimal(0)}
        self._table().put(partition_key("sweep", detector, ACCOUNT, REGION), "latest", said | money)

    def all_ran(self) -> None:
        for detector in DETECTORS:
            self.ran(detector.name, timedelta(minutes=20))
        self._table().put(f"digest#{ACCOUNT}", "latest", {"time": format_stamp(NOW - timedelta(hours=2))})

    def acted(self, name: str, ago: timedelta, *, region: str = REGION, account: str = ACCOUNT) -> Action:
        """What stopping a notebook leaves in the ledger."""
        arn = f"arn:aws:sagemaker:{region}:{account}:notebook-instance/{name}"
        target = Target(
            arn=arn, name=name, kind="notebook-instance", account=account, region=region, created=NOW
        )
        return self._remembered("idle-notebooks", target, ago)

    def deleted(self, path: str, ago: timedelta) -> Action:
        """What deleting a copy leaves in the ledger."""
        target = Target(
            arn=f"arn:aws:s3:::{path}", name=path, kind="object", account=ACCOUNT, region=REGION, created=NOW
        )
        return self._remembered("duplicate-artifacts", target, ago)

    def stopped(self, name: str, role: str, ago: timedelta) -> Action:
        """What stopping a job under *role* leaves in the ledger."""
        arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/{name}"
        target = Target(arn=arn, name=name, kind="training-job", account=ACCOUNT, region=REGION, created=NOW)
        return self._remembered("hung-training-jobs", target, ago, {"request": {"RoleArn": role}})

    def _remembered(
        self, detector: str, target: Target, ago: timedelta, undo: Mapping[str, Any] = NO_ATTRIBUTES
    ) -> Action:
        verdict = Finding(reason="idle", confidence=Confidence.PROVEN, action="stop it", evidence=())
        result = Result(detector=detector, target=target, verdict=verdict, outcome=Outcome.WAITING)
        actions, began = Actions(self._table(), own_signatures()), NOW - ago
        return actions.acted(actions.begin(result, undo, warned=began, now=began), began)

    def _table(self) -> Table:
        return Table(self.client("dynamodb"), self.physical("Ledger"))


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A stack with Slack, and some of the detectors."""
    settings = Settings.parse({"janitor": SETTINGS, "detectors": OFF})
    return synthesise(tmp_path_factory.mktemp("stack"), settings).template


def working(box: Control, session: boto3.Session, template: dict[str, Any]) -> Site:
    """The deployment of *template*, in which all is well: made once, and then as it was kept."""
    name = hashlib.sha256(json.dumps(template).encode()).hexdigest()
    if (kept := box.restore(name)) is not None:
        return Site(session, kept["ids"])
    box.set_clock(NOW - timedelta(days=30))
    made = Site(session, deploy(box.url, template))
    box.set_clock(NOW)
    topic = made.physical("Alarms")
    made.client("sns").subscribe(TopicArn=topic, Protocol="email", Endpoint="oncall@example.com")
    made.client("sns").confirm_subscription(TopicArn=topic, Token="oncall@example.com")
    made.all_ran()
    box.keep(name, ids=made.ids)
    return made


@pytest.fixture
def site(box: Control, session: boto3.Session, template: dict[str, Any]) -> Site:
    """The default deployment."""
    return working(box, session, template)


@pytest.fixture
def doctor(
    box: Control, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Doctor:
    """Run `janitor doctor` beside a janitor.toml with Slack and some of the detectors."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "janitor.toml").write_text(SLACK + WITHOUT_OTHERS)
    monkeypatch.setenv("JANITOR_NOW", NOW.isoformat())
    monkeypatch.setenv("JANITOR_SLACK_URL", f"{box.url}/slack/api/")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # a fault is believed at once, and nobody sleeps

    def run(*args: str) -> Ran:
        capfd.readouterr()
        return Ran(main(["doctor", *args]), capfd.readouterr().out)

    return run


@pytest.fixture
def slack(box: Control) -> SlackControl:
    return SlackControl(box.url)


def test_a_deployment_without_a_fault_passes_every_check(
    doctor: Doctor, box: Control, session: boto3.Session, tmp_path: Path
) -> None:
    """With every detector, as by default."""
    (tmp_path / "janitor.toml").write_text(SLACK)
    made = synthesise(tmp_path / "default", Settings.parse({"janitor": SETTINGS}))
    site = working(box, session, made.template)
    box.clear_calls()

    ran = doctor()

    assert ran.part.startswith(f"Stack {NAME} in {REGION}: all is well.")
    assert ran.status == 0
    for detector in DETECTORS:
        assert re.fullmatch(
            rf"{detector.name} +{re.escape(detector.schedule)} +20 minutes ago", ran.row(detector.name)
        )
    assert re.fullmatch(r"digest +\S+ \S+ \S+ \S+ \S+ \S+ +2 hours ago", ran.row("digest"))
    assert "queues empty" in ran.part
    assert "alarms 3 quiet" in ran.part
    assert f"secret {SECRET} can be read" in ran.part
    assert "Slack janitor in workspace Sandbox" in ran.part
    assert "channel #ml-costs, and the app is in it" in ran.part
    assert TOKEN not in ran.out
    assert not [
        call for call in box.calls() if re.match(r"\w+:(Put|Create|Delete|Update|Send|Publish)", call)
    ]
    assert len(site.ids) < 100


def test_all_functions_are_seen(box: Control, session: boto3.Session, tmp_path: Path, doctor: Doctor) -> None:
    arms = {"mode": "act", "act_in": [f"{ACCOUNT}/{REGION}"]}
    buttons = {"slack_signing_secret": "ml-janitor/signing", "slack_group": "S0123456789"}
    settings = {"janitor": {**SETTINGS, **buttons}, "detectors": {"idle-notebooks": arms}}
    made = synthesise(tmp_path / "armed", Settings.parse(settings))
    site = Site(session, deploy(box.url, made.template))
    (tmp_path / "janitor.toml").write_text(SLACK)
    site.client("sqs").send_message(QueueUrl=site.physical("Failed"), MessageBody="{}")

    ran = doctor()

    known = {one.construct for one in expected_functions(Settings.parse(settings), None) if one.enabled}
    assert {
        name.removesuffix("Function")
        for name in (name[:-8] for name in made.of_type("AWS::Lambda::Function"))
    } == known
    for name in ("undo", "Slack's receiver"):
        assert re.fullmatch(rf"{name} +when it is asked +", f"{ran.row(name)} ")
    assert "queues messages wait: 1 in Failed" in ran.part


@pytest.mark.usefixtures("box")
@pytest.mark.parametrize(("asked", "name", "status"), [((), NAME, 0), (("--stack", "Other"), "Other", 1)])
def test_only_a_named_stack_must_exist(doctor: Doctor, asked: Sequence[str], name: str, status: int) -> None:
    ran = doctor(*asked)

    assert (ran.part, ran.status) == (f"Not deployed here: there is no stack {name} in {REGION}.", status)


@pytest.mark.parametrize(
    ("kind", "status", "said"), [("deny", 0, "is refused"), ("error", 1, "did not answer")]
)
def test_an_auditor_gets_no_errors(box: Control, doctor: Doctor, kind: str, status: int, said: str) -> None:
    box.fault("cloudformation", "ListStackResources", kind, times=0)

    ran = doctor()

    ran.says(None, "cannot be told", said)
    assert ran.status == status
    assert doctor("--stack", NAME).status == 1


def test_each_fault_is_named_with_what_to_do(box: Control, site: Site, doctor: Doctor) -> None:
    site.client("scheduler").delete_schedule(Name=site.physical("IdleEndpointsSchedule"))
    site.client("lambda").delete_function(FunctionName=site.physical("UntaggedResourcesFunction"))
    site.client("secretsmanager").delete_secret(SecretId=SECRET, ForceDeleteWithoutRecovery=True)
    site.acted("churn", 2 * DAY)
    sns, topic = site.client("sns"), site.physical("Alarms")
    for one in sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]:
        sns.unsubscribe(SubscriptionArn=one["SubscriptionArn"])
    cloudwatch = site.client("cloudwatch")
    why = "Threshold Crossed: 1 datapoint [1.0] was greater than the threshold (0.0)."
    cloudwatch.set_alarm_state(AlarmName=site.physical("RunFailed"), StateValue="ALARM", StateReason=why)
    cloudwatch.delete_alarms(AlarmNames=[site.physical("SweepMissed")])
    cloudwatch.disable_alarm_actions(AlarmNames=[site.physical("NotDelivered")])
    sqs, failed, undelivered = (
        site.client("sqs"),
        site.physical("Failed"),
        site.physical("SchedulerUndelivered"),
    )
    for queue in (failed, failed, undelivered):
        sqs.send_message(QueueUrl=queue, MessageBody="{}")
    sqs.receive_message(QueueUrl=undelivered)  # somebody is looking at it: it still waits
    of = {"QueueName": failed.rpartition("/")[2]}
    age = {"metric": "ApproximateAgeOfOldestMessage", "dimensions": of, "step": 300}
    box.metrics("AWS/SQS", [age | {"start": NOW - timedelta(minutes=20), "values": [18_000.0, 18_300.0]}])

    ran = doctor("--set", "idle-studio-apps.enabled=true", "--set", "duplicate-artifacts.enabled=false")

    assert re.match(r"idle-endpoints +deleted ", ran.row("idle-endpoints"))
    ran.says(
        1,
        "idle-endpoints: schedule its schedule was deleted, so nothing runs it → make deploy REVERT=1",
        "untagged-resources: function the function",
        "idle-studio-apps: function it is not in the stack → make deploy adds it",
        "duplicate-artifacts: function it is deployed, but switched off in the settings here",
        f'there is no secret {SECRET} in {REGION} → read -rs S && printf %s "$S" | '
        f"aws secretsmanager create-secret --name {SECRET} --secret-string file:///dev/stdin",
        "1 thing that idle-notebooks did in us-east-1 can be undone until 2026-11-03",
        "armed_until = 2026-10-04 in detectors.idle-notebooks, or the later day it was disarmed, "
        "and make deploy; or janitor undo, with credentials of your own",
        f"nobody is subscribed, so no alarm wakes anybody → aws sns subscribe --topic-arn {topic}",
        f"RunFailed has been in ALARM for less than a minute: {why} → see janitor docs operating RunFailed",
        "alarms the alarm SweepMissed was deleted",
        "alarms the alarm NotDelivered tells nobody",
        "messages wait: 2 in Failed (runs that failed), the oldest 5 hours old; 1 in Undelivered (events that"
        " could not be delivered), for how long is not known → see janitor docs operating RunFailed and "
        "NotDelivered",
    )


def test_a_schedule_that_was_changed(site: Site, doctor: Doctor) -> None:
    scheduler, name = site.client("scheduler"), site.physical("IdleNotebooksSchedule")
    now = scheduler.get_schedule(Name=name)
    kept = ("FlexibleTimeWindow", "ScheduleExpression", "ScheduleExpressionTimezone", "State", "Target")
    for changes, said in (
        ({"State": "DISABLED"}, "its schedule is disabled"),
        (
            {"ScheduleExpression": "rate(2 hours)"},
            "it runs on rate(2 hours) (UTC); the settings here say rate(1 hour)",
        ),
        ({"ScheduleExpressionTimezone": "Europe/Oslo"}, "it runs on rate(1 hour) (Europe/Oslo)"),
    ):
        scheduler.update_schedule(Name=name, **{key: now[key] for key in kept} | changes)

        doctor().says(1, f"{NAME} in {REGION}: 1 problem.", f"idle-notebooks: schedule {said}")


def test_a_sweep_that_is_overdue_never_was_or_was_not_complete(site: Site, doctor: Doctor) -> None:
    site.ran("idle-notebooks", timedelta(hours=3, seconds=1))
    site.ran(
        "idle-endpoints", timedelta(hours=6), error="sagemaker:ListEndpoints broke off after 10: Throttling"
    )
    site.client("dynamodb").delete_item(
        TableName=site.physical("Ledger"),
        Key={
            "pk": {"S": partition_key("sweep", "untagged-resources", ACCOUNT, REGION)},
            "sk": {"S": "latest"},
        },
    )

    doctor().says(
        1,
        "last run it last ran 3 hours ago, and is overdue → see janitor docs operating SweepMissed",
        "6 hours ago, was not complete: sagemaker:ListEndpoints broke off after 10: Throttling",
        "it has never run, and its schedule has been there for 30 days",
        "3 problems.",
    )


def test_a_run_that_is_not_due_yet_is_not_missed(box: Control, site: Site, doctor: Doctor) -> None:
    site.ran("idle-notebooks", timedelta(hours=3))
    table, scheduler = site.physical("Ledger"), site.client("scheduler")
    kept = ("FlexibleTimeWindow", "ScheduleExpression", "ScheduleExpressionTimezone", "State", "Target")
    for pk in (partition_key("sweep", "duplicate-artifacts", ACCOUNT, REGION), f"digest#{ACCOUNT}"):
        site.client("dynamodb").delete_item(TableName=table, Key={"pk": {"S": pk}, "sk": {"S": "latest"}})
    for name in map(site.physical, ("DuplicateArtifactsSchedule", "DigestSchedule")):
        made = scheduler.get_schedule(Name=name)
        scheduler.delete_schedule(Name=name)
        with box.at(NOW - timedelta(days=2)):
            scheduler.create_schedule(Name=name, **{key: made[key] for key in kept})

    ran = doctor()

    assert re.search(r"\) +none yet", ran.row("duplicate-artifacts"))
    assert re.search(r"\) +never", ran.row("digest"))
    assert re.search(r"\) +3 hours ago", ran.row("idle-notebooks"))


@pytest.mark.parametrize(("kind", "outcome"), [("deny", "refused"), ("error", "not answered")])
@pytest.mark.usefixtures("site")
def test_an_unreadable_part_says_nothing(box: Control, doctor: Doctor, *, kind: str, outcome: str) -> None:
    for action, what in (
        ("scheduler:GetSchedule", "schedule"),
        ("dynamodb:GetItem", "last run"),
        ("dynamodb:Scan", "undo"),
        ("sqs:GetQueueAttributes", "queues"),
        ("cloudwatch:DescribeAlarms", "alarms"),
        ("lambda:GetFunctionConfiguration", "function"),
        ("sns:ListSubscriptionsByTopic", "alarm topic"),
        ("secretsmanager:GetSecretValue", "secret"),
    ):
        service, operation = action.split(":")
        box.clear_faults()
        box.fault(service, operation, kind, times=0)

        ran = doctor()

        assert ran.status == 1, action
        assert f"In the deployment, {outcome}: " in ran.part
        assert "In the deployment, wrong" not in ran.part
        assert what in ran.part.partition(f"In the deployment, {outcome}: ")[2]
        assert (f"ask for {action} to be allowed" in ran.part) is (kind == "deny")


@pytest.mark.usefixtures("site")
def test_missing_scopes_say_what_is_lost(doctor: Doctor, slack: SlackControl) -> None:
    slack.set_scopes("chat:write", "users:read", "channels:read", "groups:read")

    twice = "so everything has twice the grace"
    doctor(*PRESSES).says(
        1,
        f"scope users:read.email is missing: owners are neither mentioned nor messaged, {twice}",
        f"the scope im:write is missing: no owner gets a direct message, {twice}",
        "the scope files:write is missing: the report is not attached",
        "the scope usergroups:read is missing: nobody can press Do it now or Undo",
        f"there is no secret ml-janitor/slack-signing in {REGION}, so no press is heard",
        "5 problems.",
    )
    assert slack.messages() == []


def test_buttons_that_nobody_could_press_are_named(site: Site, doctor: Doctor, slack: SlackControl) -> None:
    """Every press would be refused, and nothing else says so before somebody presses."""
    signing = {"SecretString": '{"signing_secret": null}'}
    site.client("secretsmanager").create_secret(Name="ml-janitor/slack-signing", **signing)
    slack.set_scopes(*ALL_SCOPES, "usergroups:read")

    doctor(*PRESSES).says(
        1,
        "ml-janitor/slack-signing holds no signing secret of Slack's, so no press is heard",
        "S0123456789: no_such_subteam, so nobody can press Do it now or Undo → copy the id",
    )
    signing = {"SecretString": SIGNING_SECRET}
    site.client("secretsmanager").put_secret_value(SecretId="ml-janitor/slack-signing", **signing)
    slack.add_usergroup("S0123456789", "ml-janitors")
    assert "S0123456789 has no members, so nobody can press Do it now or Undo" in doctor(*PRESSES).part
    slack.add_usergroup("S0123456789", "ml-janitors", "U0DINA")
    assert doctor(*PRESSES).status == 0


@pytest.mark.usefixtures("site")
def test_the_channel_is_judged_as_far_as_the_app_sees_channels(doctor: Doctor, slack: SlackControl) -> None:
    slack.set_scopes(*ALL_SCOPES)
    doctor().says(
        0, "In the deployment, not checked: 1 channel to see #ml-costs, the app would need channels:read"
    )

    slack.set_scopes(*ALL_SCOPES, "channels:read")
    assert "channel #ml-costs, and the app is in it" in doctor().part
    assert "channel #ml-costs, and the app is in it" in doctor("--config", str(written(CHANNEL))).part


@pytest.mark.usefixtures("site")
def test_a_channel_that_cannot_be_posted_to(doctor: Doctor, slack: SlackControl) -> None:
    slack.add_channel("C0ELSEWHERE", "elsewhere", member=False)
    slack.add_channel("C0OLD0", "old", archived=True)
    for channel, said in (
        ("#elsewhere", "the app is not in #elsewhere → invite the app to the channel"),
        ("#old", "#old is archived → unarchive the channel, or choose another one"),
        ("#nowhere", "#nowhere: channel_not_found → check its name in janitor.toml"),
        ("C0ELSEWHERE", "the app is not in C0ELSEWHERE → invite the app"),
        ("C0NOWHERE", "C0NOWHERE: channel_not_found"),
        ("", "slack_channel is not set → set slack_channel"),
    ):
        doctor("--config", str(written(channel))).says(1, said)


def test_every_routed_channel_is_looked_at(site: Site, doctor: Doctor, slack: SlackControl) -> None:
    slack.add_channel("C0VISION0", "vision", member=False)
    slack.add_channel("C0AUDIO00", "audio")
    routes = {"team:vision": "#vision", "team:robots": "#vision", "team:audio": "#audio"}
    others = {f"account:{ACCOUNT}": "#nowhere", "account:210987654321": "#ml-costs"}
    table = "".join(f'"{key}" = "{channel}"\n' for key, channel in (routes | others).items())
    Path("janitor.toml").write_text(f"{SLACK}[slack.routes]\n{table}{WITHOUT_OTHERS}")

    ran = doctor()

    assert ran.status == 1
    for said in (
        "channel #ml-costs, and the app is in it",
        "#audio, and the app is in it; for team:audio",
        "the app is not in #vision; for team:vision, team:robots → invite the app to the channel",
        f"#nowhere: channel_not_found; for account:{ACCOUNT} → check its name in janitor.toml",
        f"account:210987654321 matches nothing: only account {ACCOUNT} is looked at → correct it in",
    ):
        assert said in ran.part
    assert slack.calls()["conversations.list"] == 1
    site.client("secretsmanager").put_secret_value(
        SecretId=SECRET, SecretString="https://hooks.slack.com/services/T/B/secret"
    )
    doctor().says(
        None, "one channel only, so nothing is posted → put a bot token (xoxb-...) into it, or remove"
    )


def written(channel: str) -> Path:
    other = Path("other.toml")
    other.write_text(f'[janitor]\nslack_channel = "{channel}"\n')
    return other


def test_what_the_secret_holds(site: Site, doctor: Doctor) -> None:
    for secret, status, said in (
        ("xoxb-revoked", 1, "Slack refuses the token: invalid_auth → put the app's current bot token"),
        (json.dumps({"token": TOKEN}), 0, "janitor in workspace Sandbox"),
        ("nonsense", 1, "the secret for Slack holds neither a bot token (xoxb-...) nor a webhook's URL"),
        ("https://hooks.slack.com/services/T/B/secret", 0, "a webhook cannot be checked without posting"),
    ):
        site.client("secretsmanager").put_secret_value(SecretId=SECRET, SecretString=secret)

        ran = doctor()

        ran.says(None, said)
        assert ran.status == status
        assert "services/T/B" not in ran.out
        assert "xoxb-revoked" not in ran.out


@pytest.mark.usefixtures("site")
def test_slack_that_does_not_answer(doctor: Doctor, slack: SlackControl) -> None:
    faults: list[dict[str, Any]] = [{"kind": "down"}, {"kind": "down", "status": 0}, {"kind": "ratelimit"}]
    for fault in faults:
        slack.clear_faults()
        slack.fault(**fault, method="auth.test", times=0)

        doctor().says(1, "In the deployment, not answered: 1 Slack Slack did not answer")


@pytest.mark.usefixtures("site")
def test_a_deployment_that_no_account_of_its_organization_trusts(doctor: Doctor) -> None:
    organization = """[organization]
accounts = ["210987654321"]
external_id = "ml-janitor-7f3a"
callers = ["arn:aws:iam::{0}:role/platform"]
"""
    wrong = doctor(*besides(organization.format("333333333333")))
    right = doctor(*besides(organization.format(ACCOUNT)))

    words = f"organization.callers are in account 333333333333, and this deployment is in {ACCOUNT}"
    assert (wrong.status, words in " ".join(wrong.out.split())) == (1, True)
    assert "organization.callers" not in right.out


@pytest.mark.usefixtures("site")
def test_a_deployment_without_slack(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "janitor.toml").write_text(WITHOUT_OTHERS)

    doctor().says(0, "Slack not set up (slack_secret is empty), so nothing is posted")
    assert "digest" not in doctor("idle-notebooks").part


DAY = timedelta(days=1)
NOTEBOOKS = "detectors.idle-notebooks"
IN_FRANKFURT = "in eu-central-1 can be undone until 2026-11-03, but not by the undo function"


def besides(toml: str) -> list[str]:
    """Further settings, as a file of their own."""
    Path("besides.toml").write_text(toml)
    return ["--config", "besides.toml"]


ARMED = f'[{NOTEBOOKS}]\nmode = "act"\nact_in = ["{ACCOUNT}/{REGION}"]\n'


@pytest.fixture
def armed(box: Control, session: boto3.Session, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A deployment that stops notebooks."""
    act = {"mode": "act", "act_in": [f"{ACCOUNT}/{REGION}"]}
    settings = Settings.parse({"janitor": SETTINGS, "detectors": OFF | {"idle-notebooks": act}})
    return working(box, session, synthesise(tmp_path_factory.mktemp("armed"), settings).template)


def test_what_was_done_in_a_region_that_is_swept_no_more_cannot_be_undone_from_slack(
    armed: Site, doctor: Doctor
) -> None:
    """The undo function has its powers where the deployment sweeps, and where act_in says."""
    armed.acted("here", 2 * DAY)
    armed.acted("long-ago", 31 * DAY, region="eu-central-1")
    armed.acted("theirs", 2 * DAY, region="eu-central-1", account="210987654321")
    assert "all is well" in doctor(*besides(ARMED)).part

    armed.acted("churn", 2 * DAY, region="eu-central-1")
    doctor(*besides(ARMED)).says(
        1,
        f"undo 1 thing that idle-notebooks did {IN_FRANKFURT}, which has no powers there → ",
        "eu-central-1 in janitor.regions again until then, and make deploy: act_in need not name it; "
        "or janitor undo, with credentials of your own",
    )
    swept = f'[janitor]\nregions = ["{REGION}", "eu-central-1"]\n'
    assert "no powers" not in doctor(*besides(swept + ARMED)).part


def test_an_undo_function_that_was_not_deployed_yet_is_missed(site: Site, doctor: Doctor) -> None:
    site.acted("churn", 2 * DAY)

    doctor(*besides(f"[{NOTEBOOKS}]\narmed_until = 2026-10-04\n")).says(
        None, "which has no powers there → make deploy REVERT=1 puts it back; or janitor undo"
    )


def test_a_prefix_that_was_armed_earlier_and_is_missing_is_named(site: Site, doctor: Doctor) -> None:
    copies = "detectors.duplicate-artifacts"
    site.deleted("models/old/copy.tar.gz", 2 * DAY)
    armed = f'[{copies}]\nmode = "act"\nact_in = ["{ACCOUNT}"]\nbuckets = ["models"]\n'
    elsewhere = f'{armed}act_on_prefixes = ["s3://models/new/"]\n'

    ran = doctor(*besides(elsewhere))
    listed = doctor(*besides(f'{elsewhere}undo_prefixes = ["s3://models/old/"]\n'))

    assert f'undo_prefixes = ["s3://models/old/"] in {copies}, and make deploy; or janitor undo' in ran.part
    assert "can be undone only by a person" not in listed.part


def test_an_unlisted_role_is_wrong_only_beside_listed_roles(site: Site, doctor: Doctor) -> None:
    role, other = (f"arn:aws:iam::{ACCOUNT}:role/{name}" for name in ("ml-training", "other"))
    site.stopped("train", role, 2 * DAY)
    armed = f'[detectors.hung-training-jobs]\nmode = "act"\nact_in = ["{ACCOUNT}"]\n'

    def with_roles(*roles: str) -> Ran:
        return doctor(*besides(f"[janitor]\nundo_roles = {json.dumps(roles)}\n{armed}"))

    hint = f'undo_roles = ["{role}"] in janitor'
    assert f"can be undone only by a person, unless you set {hint} " in with_roles().part
    assert f"→ {hint}, and make deploy" in with_roles(other).part
    assert f"→ {hint}" not in with_roles().part
    assert "only by a person" not in with_roles(role).part


def test_a_person_hears_what_they_may_not_do_with_the_undo_key_and_whether_it_works(
    box: Control, armed: Site, doctor: Doctor
) -> None:
    box.fault("kms", "GenerateMac", "deny", times=0)
    refused = doctor(*besides(ARMED))
    box.clear_faults()
    for key in ("UndoRecordKey", "UndoProgressKey"):
        armed.client("kms").disable_key(KeyId=armed.physical(key))
    disabled = doctor(*besides(ARMED))

    assert "do not hold kms:GenerateMac (janitor sweep --act); the functions' roles do" in refused.part
    assert (refused.status, disabled.status) == (0, 1)
    assert re.search("undo key.*Disabled.*progress key.*Disabled", disabled.part)


def test_policies_that_let_others_sign_or_write_are_named(armed: Site, doctor: Doctor) -> None:
    kms, dynamodb = armed.client("kms"), armed.client("dynamodb")
    closed = doctor(*besides(ARMED))
    later = doctor(*besides(f'{ARMED}[janitor]\nadministrators = ["arn:aws:iam::{ACCOUNT}:role/ann"]\n'))
    unset = doctor(*besides(f"{ARMED}[janitor]\nledger_writers = []\n"))

    key, stranger = armed.physical("RequestKey"), f"arn:aws:iam::{ACCOUNT}:role/mallory"
    policy = kms.get_key_policy(KeyId=key)["Policy"]
    through = f"arn:aws:iam::{ACCOUNT}:root"
    arn = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key}"
    widened = policy.replace(f'"{through}", ', f'"{through}", "{stranger}", ')
    assert widened != policy
    kms.put_key_policy(KeyId=arn, PolicyName="default", Policy=widened)
    table = dynamodb.describe_table(TableName=armed.physical("Ledger"))["Table"]["TableArn"]
    guarded = dynamodb.get_resource_policy(ResourceArn=table)["Policy"]
    batched = guarded.replace('"dynamodb:BatchWriteItem"', '"dynamodb:Nothing"')
    assert batched != guarded
    dynamodb.put_resource_policy(ResourceArn=table, Policy=batched)
    narrowed = doctor(*besides(ARMED))
    dynamodb.delete_resource_policy(ResourceArn=table)
    opened = doctor(*besides(ARMED))

    assert "only the functions and ledger_writers sign and write" in closed.part
    assert (closed.status, later.status, unset.status, opened.status) == (0, 1, 1, 1)
    said = f"and table it does not know arn:aws:iam::{ACCOUNT}:role/ann"
    assert said in later.part
    assert later.part.count("role/ann") == 1  # five policies, one problem
    assert "1 problem." in later.part
    assert "ledger_writers is empty, so whoever IAM allows may sign" in unset.part
    assert f"policy of the requests key it lets {stranger} through, whom the settings do not" in opened.part
    assert "policy of the table it leaves dynamodb:BatchWriteItem to whoever IAM allows" in narrowed.part
    assert "policy of the table it leaves dynamodb:BatchWriteItem, dynamodb:DeleteItem" in opened.part
    assert "policy of the undo key" not in opened.part


def test_a_stack_of_another_version_is_one_problem(site: Site, doctor: Doctor, box: Control) -> None:
    """Its parts have other names and schedules."""
    own = site.client("cloudformation")
    template = own.get_template(StackName=NAME)["TemplateBody"]
    document = json.loads(template) if isinstance(template, str) else json.loads(json.dumps(template))
    functions = [
        logical
        for logical, resource in document["Resources"].items()
        if resource["Type"] == "AWS::Scheduler::Schedule"
    ]
    for logical in functions[:3]:
        document["Resources"].pop(logical)
    for made, said in (
        (None, "an earlier version made the stack"),
        ("0.1.7", "version 0.1.7 made the stack"),
    ):
        document["Outputs"].pop("Version", None)
        document["Outputs"] |= {"Version": {"Value": made}} if made else {}
        own.update_stack(
            StackName=NAME, TemplateURL=upload(box.url, document), Capabilities=["CAPABILITY_NAMED_IAM"]
        )
        ran = doctor()
        assert ran.part.startswith(f"Stack {NAME} in {REGION}: 1 problem.")
        assert f"version {said}, and this is " in ran.part
        assert ran.status == 1


def test_a_detector_alone_does_not_say_that_all_is_well(site: Site, doctor: Doctor) -> None:
    site.all_ran()
    assert "all is well there. The rest was not checked." in doctor("idle-endpoints").part
    assert "The rest was not checked" not in doctor().part


def test_a_remedy_is_a_command_of_the_reader(
    site: Site, doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`make` is for a clone. The wheel has `janitor deploy` and the bundle that came with it."""
    released = tmp_path / "bundle.sha256"
    released.write_text("0" * 64 + "  ml-janitor-lambda-1.2.3.zip\n")
    alarms = site.client("cloudwatch").describe_alarms()["MetricAlarms"]
    site.client("cloudwatch").delete_alarms(AlarmNames=[alarms[0]["AlarmName"]])
    assert "make deploy REVERT=1 puts it back" in doctor().part
    monkeypatch.setattr(stack, "RELEASED_BUNDLE", released)
    ran = doctor()
    assert "janitor deploy --bundle ml-janitor-lambda-1.2.3.zip --revert puts it back" in ran.part
    assert "make " not in ran.part


def test_no_other_sentence_of_doctor_or_a_report_says_make() -> None:
    """Only `deploy_command` decides between the two, so that each of its users is right."""
    folders = (ROOT / "cli" / "ml_janitor_cli", ROOT / "functions" / "ml_janitor")
    said = [
        f"{path.name}: {node.value}"
        for folder in folders
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if re.search(r"\bmake (deploy|synth|diff|destroy)\b", node.value)
        if not node.value.strip().startswith(("Create or update", "Ask for `make", "# The settings of"))
    ]
    assert sorted(said) == ["doctor.py: make synth", "stack.py: make deploy"]


def test_whom_a_deployment_lets_through_is_no_stranger() -> None:
    stranger = f"arn:aws:iam::{ACCOUNT}:user/maria"
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": ["kms:PutKeyPolicy"],
        "Condition": {"ArnNotLike": {"aws:PrincipalArn": [stranger]}},
    }
    closed: Mapping[str, Sequence[str]] = {"kms:PutKeyPolicy": ()}
    assert [*policy_faults({"Statement": [deny]}, closed, set(), [stranger])] == []
    (said,) = policy_faults({"Statement": [deny]}, closed, set())
    assert stranger in said
