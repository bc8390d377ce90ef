"""`janitor deploy` and `janitor destroy` against CloudFormation in the sandbox, as from a wheel."""

import hashlib
import io
import json
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from commands import Janitor, refused
from conftest import ACCOUNT, NOW, REGION
from ml_janitor.aws.client import Caller
from ml_janitor.config.settings import Settings
from ml_janitor.core.model import Confidence, Finding, Target
from ml_janitor.core.results import Outcome, Result
from ml_janitor.ledger.actions import Actions
from ml_janitor.ledger.table import Table
from ml_janitor_cli import deploy as deploying
from ml_janitor_cli import disarming, edge
from ml_janitor_cli.deploy import ComposedTemplate
from ml_janitor_cli.template.plan import plain_template
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.stack import ASSETS, NAME, deploy, upload
from standin import own_signatures
from synthesis import TODAY, synthesise

LITTLE = """
[janitor]
slack_channel = "C0123456789"
slack_secret = "ml-janitor/slack"
tags = {team = "ml"}
"""
ARMED = f"""{LITTLE}time_zone = "UTC"
ledger_writers = ["arn:aws:iam::{ACCOUNT}:role/platform"]

[detectors.idle-notebooks]
mode = "act"
act_in = ["{ACCOUNT}/{REGION}"]
"""


@pytest.fixture(autouse=True)
def _no_waiting(box: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox's clock goes on while a command sleeps."""
    monkeypatch.setattr(
        edge, "sleep", lambda seconds: box.set_clock(box.clock() + timedelta(seconds=seconds))
    )


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """The owner of the bucket that each call of S3 expects; stacks are listed newest first, as by AWS."""
    own, found = boto3.Session(region_name=REGION), dict[str, set[str]]()

    def note(params: dict[str, Any], model: Any, **_: Any) -> None:
        found.setdefault(model.name, set()).add(params.get("ExpectedBucketOwner", "nobody"))

    own.events.register("provide-client-params.s3", note)
    own.events.register(
        "after-call.cloudformation.ListStacks", lambda parsed, **_: parsed["StackSummaries"].reverse()
    )
    monkeypatch.setattr(edge, "open_session", lambda _: own)
    return found


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A released bundle, much smaller."""
    path = tmp_path / "bundle.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("ml_janitor/handlers.py"), "")
    return path


def configure(text: str) -> None:
    Path("janitor.toml").write_text(text)


def statuses(session: boto3.Session) -> list[str]:
    stacks = session.client("cloudformation").list_stacks()["StackSummaries"]
    return [stack["StackStatus"] for stack in stacks]


def test_a_stack_from_the_wheel_is_shown_created_left_alone_armed_and_removed(
    janitor: Janitor, box: Control, session: boto3.Session, bundle: Path, owners: dict[str, set[str]]
) -> None:
    box.set_durations({"stack.change": 1.5 * deploying.POLL_SECONDS})
    configure(LITTLE)
    args = ("deploy", "--bundle", bundle)

    shown = janitor(*args, "--dry-run")
    assert (shown.status, statuses(session)) == (0, [])
    assert ["AWS::Lambda::Function", "8"] in map(str.split, shown.out.splitlines())
    assert not session.client("s3").list_buckets()["Buckets"]

    made = janitor(*args, "--yes")
    assert made.status == 0, made.err
    assert f"Deployed {NAME} to account {ACCOUNT}, {REGION}." in made.out
    assert "janitor doctor" in made.out
    (stack,) = session.client("cloudformation").describe_stacks(StackName=NAME)["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert stack["Tags"] == [{"Key": "team", "Value": "ml"}]
    outputs = stack_outputs(session)
    store = session.client("s3")
    keys = {found["Key"] for found in store.list_objects_v2(Bucket=outputs["DeploymentBucket"])["Contents"]}
    (code,) = (key for key in keys if key.endswith(".zip"))
    content = store.get_object(Bucket=outputs["DeploymentBucket"], Key=code)["Body"].read()
    assert code == f"{hashlib.sha256(content).hexdigest()}.zip"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.read("janitor.toml").decode() == LITTLE

    again = janitor(*args, "--yes")
    assert (again.status, again.err) == (0, made.err)
    assert "nothing to change" in again.out
    assert len(store.list_buckets()["Buckets"]) == 2  # with that of the reports

    configure(ARMED)
    planned = janitor(*args, "--dry-run")
    assert next(line.split() for line in planned.out.splitlines() if "UndoFunction" in line)[0] == "create"
    armed = janitor(*args, "--yes")
    assert armed.status == 0
    assert ":user/moto deploys, and so may change the policies of the ledger" in armed.err
    assert f"::{ACCOUNT}:user/moto" in closed_key(session)

    gone = janitor("destroy", "--yes")
    assert gone.status == 0, gone.err
    assert all(
        name in gone.out for name in (outputs["LedgerTable"], outputs["ReportBucket"], "AWS::KMS::Key")
    )
    assert not session.client("lambda").list_functions()["Functions"]

    shown = janitor(*args, "--dry-run")
    assert outputs["LedgerTable"] in shown.out
    session.client("s3").delete_bucket(Bucket=outputs["ReportBucket"])
    taken = janitor(*args, "--yes")
    assert (taken.status, outputs["ReportBucket"] in taken.out) == (0, False), taken.err
    assert stack_outputs(session)["LedgerTable"] == outputs["LedgerTable"]
    assert stack_outputs(session)["DeploymentBucket"] == outputs["DeploymentBucket"]
    assert janitor("destroy", "--yes").status == 0
    assert janitor(*args, "--yes", "--fresh").status == 0
    assert stack_outputs(session)["LedgerTable"] != outputs["LedgerTable"]
    assert {name for name, named in owners.items() if named != {ACCOUNT}} == {"CreateBucket", "ListBuckets"}
    assert {"HeadObject", "PutObject", "HeadBucket"} <= owners.keys()
    assert "There is no stack Other" in janitor("destroy", "--stack", "Other").out


def test_what_is_left_of_the_latest_earlier_stack_is_taken_over_but_no_key_that_is_about_to_go(
    janitor: Janitor, box: Control, session: boto3.Session, bundle: Path
) -> None:
    box.set_durations({"stack.change": 1.5 * deploying.POLL_SECONDS})
    configure(LITTLE)
    args, tables, left = ("deploy", "--bundle", bundle), list[str](), ""
    for _ in range(2):
        assert janitor(*args, "--yes", "--fresh").status == 0
        tables.append(stack_outputs(session)["LedgerTable"])
        left = janitor("destroy", "--yes").out
    for key in (line.split()[-1] for line in left.splitlines() if "AWS::KMS::Key" in line):
        session.client("kms").schedule_key_deletion(KeyId=key)

    shown = janitor(*args, "--dry-run").out

    assert [name in shown for name in (*tables, "left AWS::KMS::Key")] == [False, True, False]


def stack_outputs(session: boto3.Session) -> dict[str, str]:
    (stack,) = session.client("cloudformation").describe_stacks(StackName=NAME)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def closed_key(session: boto3.Session) -> str:
    """The policy of the key that signs undo records."""
    resources = session.client("cloudformation").get_paginator("list_stack_resources")
    (key,) = (
        found["PhysicalResourceId"]
        for page in resources.paginate(StackName=NAME)
        for found in page["StackResourceSummaries"]
        if found["LogicalResourceId"].startswith("UndoRecordKey")
    )
    return str(session.client("kms").get_key_policy(KeyId=key)["Policy"])


def test_a_stack_of_cdk_is_updated_and_goes_back_and_a_failed_update_leaves_the_old_one(
    janitor: Janitor, box: Control, session: boto3.Session, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(LITTLE.replace('{team = "ml"}', "{}"))  # the template by itself has none
    settings = Settings.load(files=[Path("janitor.toml")])
    template = synthesise(bundle.parent, settings, name=NAME).template
    made = deploy(box.url, template)
    args = ("deploy", "--bundle", bundle, "--yes")

    ran = janitor(*args)
    assert ran.status == 0, ran.err
    rows = [line.split()[:2] for line in ran.out.splitlines() if "AWS::" in line]
    assert rows == [["change", "AWS::Lambda::Function"]] * 8  # nothing but where the code is
    table = stack_outputs(session)["LedgerTable"]
    assert table in made.values()
    own = session.client("cloudformation")
    own.update_stack(
        StackName=NAME, TemplateURL=upload(box.url, template), Capabilities=["CAPABILITY_NAMED_IAM"]
    )
    assert stack_outputs(session)["LedgerTable"] == table

    functions = session.client("lambda").list_functions()["Functions"]
    uploading = deploying.upload

    def lose(place: Any, composed: ComposedTemplate, code: bytes, *, exists: bool) -> None:
        uploading(place, composed, code, exists=exists)
        session.client("s3").delete_object(Bucket=composed.bucket, Key=composed.code_key)

    monkeypatch.setattr(deploying, "upload", lose)
    failed = janitor(*args)
    assert failed.status == 1
    assert "UPDATE_ROLLBACK_COMPLETE; the stack is as it was before: " in failed.err
    assert len(failed.err.splitlines()) == len(ran.err.splitlines()) + 1
    again = session.client("lambda").list_functions()["Functions"]
    assert {one["FunctionName"]: one["CodeSha256"] for one in functions} == {
        one["FunctionName"]: one["CodeSha256"] for one in again
    }


def test_the_plain_template_is_a_stack_without_a_file_that_deploy_updates(
    janitor: Janitor, box: Control, session: boto3.Session, bundle: Path
) -> None:
    template = json.loads(json.dumps(plain_template(TODAY)))
    address = upload(box.url, {**template, "Resources": {}})
    session.client("s3").put_object(Bucket=ASSETS, Key="bundle.zip", Body=bundle.read_bytes())
    session.client("s3").put_object(Bucket=ASSETS, Key="template.json", Body=json.dumps(template))
    given = {"BundleBucket": ASSETS, "BundleKey": "bundle.zip", "SlackChannel": "C0123456789"}
    session.client("cloudformation").create_stack(
        StackName=NAME,
        TemplateURL=address,
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
    )
    table = stack_outputs(session)["LedgerTable"]
    for function in session.client("lambda").list_functions()["Functions"]:
        settings = Settings.load(base=json.loads(function["Environment"]["Variables"]["JANITOR_SETTINGS"]))
        assert settings.janitor.slack_channel == "C0123456789"

    configure(LITTLE)
    assert janitor("deploy", "--bundle", bundle, "--yes").status == 0
    assert stack_outputs(session)["LedgerTable"] == table


@pytest.mark.parametrize(
    ("arn", "named"),
    [
        (f"arn:aws:iam::{ACCOUNT}:user/ops/maria", [f"arn:aws:iam::{ACCOUNT}:user/ops/maria"]),
        (f"arn:aws:iam::{ACCOUNT}:root", [f"arn:aws:iam::{ACCOUNT}:root"]),
        (
            f"arn:aws:sts::{ACCOUNT}:assumed-role/Deployer/maria",
            [f"arn:aws:iam::{ACCOUNT}:role/Deployer", f"arn:aws:iam::{ACCOUNT}:role/*/Deployer"],
        ),
    ],
)
def test_whoever_deploys_may_change_the_policies(arn: str, named: list[str]) -> None:
    caller = Caller(account=ACCOUNT, arn=arn)
    place = deploying.DeploymentPlace(session=None, region=REGION, caller=caller, attempts=1)

    assert place.deployers([f"arn:aws:iam::{ACCOUNT}:role/platform"]) == named
    listed = [one.replace("role/*", "role/aws-reserved") for one in named[-1:]]
    assert place.deployers(listed) == []


@pytest.mark.parametrize(
    ("service", "operation"),
    [("cloudformation", "DescribeStacks"), ("s3", "CreateBucket"), ("cloudformation", "CreateChangeSet")],
)
def test_a_refused_permission_is_one_line(
    janitor: Janitor, box: Control, bundle: Path, service: str, operation: str
) -> None:
    configure("")
    box.fault(service, operation, "deny")

    ran = janitor("deploy", "--bundle", bundle, "--yes")

    assert (ran.status, ran.out) == (1, "")
    *_, line = ran.err.splitlines()
    assert line.startswith("janitor: ")
    assert operation in line


@pytest.mark.parametrize(
    "case",
    [
        ((), LITTLE, "--bundle ml-janitor-lambda-"),
        (("--bundle", "lost.zip"), LITTLE, "lost.zip cannot be read: No such file or directory"),
        (("--bundle", "janitor.toml"), LITTLE, "janitor.toml is not a zip file"),
        (("--bundle", "other.zip"), LITTLE, "the SHA-256 of other.zip is not that of ml-janitor-lambda"),
        (("--bundle", "bundle.zip"), "[janitor]\ntime_zon = 1", "unknown setting janitor.time_zon"),
        (("--bundle", "bundle.zip", "--config", "lost.toml"), LITTLE, "lost.toml"),
        (("--bundle", "bundle.zip"), ARMED.replace("ledger_writers", "keep_tags"), "ledger_writers"),
    ],
)
def test_what_cannot_be_deployed_is_said_in_a_line(
    janitor: Janitor,
    box: Control,
    bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    case: tuple[tuple[str, ...], str, str],
) -> None:
    args, settings, said = case
    configure(settings)
    released = bundle.with_suffix(".sha256")
    bundle.with_name("other.zip").write_bytes(bundle.read_bytes() + b" ")
    if "janitor.toml" not in args:
        released.write_text(f"{hashlib.sha256(bundle.read_bytes()).hexdigest()}  ml-janitor-lambda-1.zip")
    monkeypatch.setattr(deploying, "RELEASED_BUNDLE", released)

    assert said in refused(janitor("deploy", *args, "--yes"))
    assert not [call for call in box.calls() if "Create" in call or "Put" in call]


DISARMED = ARMED.replace('mode = "act"\n', "")


def stop_notebook(session: boto3.Session) -> None:
    """Leave in the ledger of the stack what stopping a notebook leaves."""
    arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:notebook-instance/left-on"
    target = Target(
        arn=arn, name="left-on", kind="notebook-instance", account=ACCOUNT, region=REGION, created=NOW
    )
    verdict = Finding(reason="idle", confidence=Confidence.PROVEN, action="stop it", evidence=())
    result = Result(detector="idle-notebooks", target=target, verdict=verdict, outcome=Outcome.WAITING)
    actions = Actions(
        Table(session.client("dynamodb"), stack_outputs(session)["LedgerTable"]), own_signatures()
    )
    action = actions.begin(result, {}, warned=NOW, now=NOW)
    actions.step(action, "act: stop", "done")
    actions.acted(action, NOW)


def undo_functions(session: boto3.Session) -> int:
    names = (found["FunctionName"] for found in session.client("lambda").list_functions()["Functions"])
    return sum("Undo" in name for name in names)


def test_disarming_asks_once_for_the_day_until_which_it_was_armed(
    janitor: Janitor, box: Control, session: boto3.Session, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = ("deploy", "--bundle", bundle)
    configure(ARMED)
    assert janitor(*args, "--yes").status == 0
    configure(DISARMED)
    assert "remove" in janitor(*args, "--dry-run").out  # nothing was done: nothing is asked
    stop_notebook(session)
    until = (NOW + timedelta(days=30)).date()
    lost = f"1 action of idle-notebooks can be undone until {until}, but not by this deployment"
    day = f"armed_until = {NOW.date()}"

    said = refused(janitor(*args, "--yes"))
    assert said.startswith(f"{lost}: set {day} in [detectors.idle-notebooks] of janitor.toml")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert disarming.main() == 2
    shown = janitor(*args, "--dry-run")
    assert f"{lost}. janitor.toml needs:\n\n[detectors.idle-notebooks]\n{day}\n" in shown.out
    assert Path("janitor.toml").read_text() == DISARMED

    monkeypatch.setattr("sys.stdin", io.StringIO("n\nn\n"))
    assert janitor(*args).err.count("[y/N]") == 2
    assert undo_functions(session) == 1
    monkeypatch.setattr("sys.stdin", io.StringIO("y\ny\n"))
    kept = janitor(*args)
    assert (kept.status, kept.err.count("[y/N]")) == (0, 2), kept.err
    assert undo_functions(session) == 1
    assert f"[detectors.idle-notebooks]\n{day}\n" in Path("janitor.toml").read_text()
    assert janitor(*args, "--yes").status == 0
    assert disarming.main() == 0

    configure(DISARMED)
    box.fault("dynamodb", "Scan", "deny")
    unknown = refused(janitor(*args, "--yes"))
    assert "could not be read" in unknown
    assert day in unknown
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert janitor(*args).status == 2
    assert undo_functions(session) == 1
    configure(DISARMED + "armed_until = 2020-01-01\n")  # an earlier day gives the undo up
    assert janitor(*args, "--yes").status == 0
    assert undo_functions(session) == 0
