"""Armed in two accounts of three, under the roles of the stack and of the templates."""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from conftest import NOW, REGION
from declared import granted
from hosted import LAMBDA, TOML, HostedStack, OrganizationHost, Ran
from ml_janitor.aws.client import Aws
from ml_janitor.config.member_roles import (
    RoleKind,
    is_changing_action,
    member_role_name,
    role_arn,
    sweep_readers,
)
from ml_janitor.config.settings import SETTINGS_FILE, Settings
from ml_janitor.ledger.actions import Actions
from ml_janitor.ledger.latest import RunAccount, RunLists
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.slack import SlackControl
from organization import CALLER, EXTERNAL_ID, Organization, Roles, begin_run
from standin import idle_notebook, undo_event

FIRST, SECOND, THIRD = "210987654321", "310987654321", "410987654321"
NOTEBOOKS = "idle-notebooks"
ORGANIZATION = f"""
[organization]
accounts = ["{FIRST}", "{SECOND}", "{THIRD}"]
callers = ["{CALLER}"]
external_id = "{EXTERNAL_ID}"
regions = ["{REGION}"]
"""
ACT = f"""
[detectors.{NOTEBOOKS}]
mode = "act"
act_in = ["{FIRST}", "{SECOND}/{REGION}"]
act_on = "likely"
grace = "10m"
grace_likely = "10m"
"""


BILL = "\n[bill]\nenabled = true\n"


class Stage:
    """A deployment for three accounts that each have a notebook `churn`, idle since yesterday."""

    def __init__(self, box: Control, session: boto3.Session, aws: Aws, folder: Path, settings: str) -> None:
        self.box = box
        self.host = HostedStack(folder, settings, OrganizationHost).host(box, session, aws)
        self.settings = self.host.declared.settings
        self.made = Organization(url=box.url, id="", members=(FIRST, SECOND, THIRD), units={})
        self.inside = {account: self.made.within(account) for account in self.made.members}
        for each in self.inside.values():
            idle_notebook(each, box, hours=15)
        self.roles: dict[str, Roles] = {one: self.made.granted(self.settings, one) for one in self.inside}
        self.host.members = {arn: role for each in self.roles.values() for arn, role in each.items()}
        box.set_clock(self.host.now)
        self.host.enforce()

    def sweep(self, account: str, **event: Any) -> Ran:
        time = f"{self.host.now:%Y-%m-%dT%H:%M:%SZ}"
        ran = self.host.invoke(self.host.function(NOTEBOOKS), {"time": time, "account": account, **event})
        assert (ran.error, ran.denied) == (None, frozenset())
        return ran

    def undo(self, account: str) -> Ran:
        (action,) = Actions(self.host.table).all(NOTEBOOKS, account, REGION)
        function = self.host.function("undo")
        event = undo_event(action, self.host.root("kms"), function.environment, at=self.host.now)
        return self.host.invoke(function, event)

    def run_on(self, name: str) -> tuple[Ran, str]:
        """The function *name* for all accounts, two hours after a run listed them; what it posted."""
        bucket = self.host.deployed.one("AWS::S3::Bucket").rpartition(":")[2]
        listed, time = [RunAccount(account, (REGION,)) for account in self.inside], self.host.now
        lists = RunLists(self.host.root("s3"), bucket, self.host.table)
        begin_run(lists, self.host.table, NOTEBOOKS, time, listed)
        self.host.later(timedelta(hours=2))
        ran = self.host.invoke(self.host.function(name), {"time": f"{self.host.now:%Y-%m-%dT%H:%M:%SZ}"})
        assert (ran.error, ran.denied) == (None, frozenset())
        return ran, repr(SlackControl(self.box.url).messages()[-1]["blocks"])

    def status(self) -> dict[str, str]:
        """That of each account's notebook."""
        self.host._iam.open()
        found = {
            account: session.client("sagemaker").describe_notebook_instance(NotebookInstanceName="churn")[
                "NotebookInstanceStatus"
            ]
            for account, session in self.inside.items()
        }
        self.host.enforce()
        return dict(found)

    def arn(self, role: str, account: str) -> str:
        return role_arn(self.settings, role, account=account, partition="aws")


def changing(ran: Ran, action: str) -> list[str]:
    """The roles that did *action*."""
    return [arn for arn, uses in ran.elsewhere.items() if any(use.action == action for use in uses)]


def taken_on(rans: Iterable[Ran]) -> set[str]:
    return {use.resource for ran in rans for use in ran.uses if use.action == "sts:AssumeRole"}


def test_of_equal_names_one_is_stopped_one_is_kept_and_the_stopped_one_comes_back(
    box: Control, session: boto3.Session, aws: Aws, tmp_path: Path
) -> None:
    stage = Stage(box, session, aws, tmp_path, TOML + BILL + ACT + ORGANIZATION)
    warned = [stage.sweep(account) for account in stage.inside]
    texts = [one["text"] for one in SlackControl(box.url).messages()]
    assert taken_on(warned) == {
        *(stage.arn(member_role_name(NOTEBOOKS, RoleKind.ACT), one) for one in (FIRST, SECOND)),
        stage.arn(member_role_name(NOTEBOOKS), THIRD),
    }
    assert len(texts) >= 2
    stage.host._iam.open()
    stage.inside[SECOND].client("sagemaker").add_tags(
        ResourceArn=f"arn:aws:sagemaker:{REGION}:{SECOND}:notebook-instance/churn",
        Tags=[{"Key": "janitor:keep", "Value": "yes"}],
    )
    stage.host.enforce()
    stage.host.later(timedelta(hours=6))

    acted = {account: stage.sweep(account) for account in stage.inside}
    assert stage.status() == {FIRST: "Stopped", SECOND: "InService", THIRD: "InService"}
    stops = {account: changing(ran, "sagemaker:StopNotebookInstance") for account, ran in acted.items()}
    assert stops == {
        FIRST: [stage.arn(member_role_name(NOTEBOOKS, RoleKind.ACT), FIRST)],
        SECOND: [],
        THIRD: [],
    }
    for account, ran in acted.items():  # credentials of one account ask for nothing of another
        assert {arn.split(":")[4] for arn in ran.elsewhere} == {account}
        services = {use.action.partition(":")[0] for use in ran.uses}
        assert services <= {"dynamodb", "kms", "logs", "pricing", "s3", "secretsmanager", "sts"}

    _, text = stage.run_on("digest")
    assert f"*Done:*\\nnotebook instance `churn` ($146 a month) stopped, in {FIRST}, {REGION}'" in text
    for days, usage in ((70, "TimedStorage-ByteHrs"), (4, "USE1-Notebk:ml.t3.xlarge")):
        span = {
            "start": f"{NOW - timedelta(days=days):%Y-%m-%dT00:00:00Z}",
            "end": f"{NOW:%Y-%m-%dT00:00:00Z}",
        }
        line = {"service": "Amazon SageMaker", "usage_type": usage, "usd": 80, "quantity": 400}
        box.charge([line | span], account=FIRST)
    box.set_bill(members=[FIRST, SECOND, THIRD])
    bill, text = stage.run_on("bill")
    assert taken_on([bill]) == {stage.arn(member_role_name("bill"), one) for one in stage.inside}
    assert {arn.split(":")[4] for arn in bill.elsewhere} == set(stage.inside)
    assert "*Bill of 3 accounts:*" in text
    assert f"{FIRST}: " in text
    assert "idle since 10-06, ended 10-06 by the janitor" in text
    assert "saved" in text.rpartition(FIRST)[2].partition(SECOND)[0]

    asked = stage.undo(FIRST)
    assert (asked.error, asked.denied, asked.answer and asked.answer["done"]) == (None, frozenset(), True)
    assert stage.status()[FIRST] == "InService"
    assert taken_on([asked]) == {stage.arn(member_role_name(NOTEBOOKS, RoleKind.UNDO), FIRST)}
    assert changing(asked, "sagemaker:StartNotebookInstance") == [
        stage.arn(member_role_name(NOTEBOOKS, RoleKind.UNDO), FIRST)
    ]

    dry = stage.sweep(SECOND, mode="dry-run")
    assert taken_on([dry]) == {stage.arn(member_role_name(NOTEBOOKS), SECOND)}


def test_in_dry_run_mode_no_account_has_a_role_that_acts_and_none_could_be_taken_on(
    box: Control, session: boto3.Session, aws: Aws, tmp_path: Path
) -> None:
    stage = Stage(box, session, aws, tmp_path, TOML + ORGANIZATION)
    assert not stage.settings.armed()
    names = {arn.rpartition("/")[2] for arn in stage.host.members}
    assert names == {member_role_name(one.name) for one in sweep_readers(stage.settings)}
    for role in stage.host.members.values():
        assert not [one.action for one in granted(role) if is_changing_action(one.action)]

    (tmp_path / "armed").mkdir()  # the roles of a day on which it was armed are still there
    (tmp_path / "armed" / SETTINGS_FILE).write_text(TOML + ACT + ORGANIZATION)
    before = Settings.load(files=[tmp_path / "armed" / SETTINGS_FILE])
    stage.host._iam.open()
    for account in (FIRST, SECOND):
        for arn in list(stage.roles[account]):
            delete(stage.inside[account].client("iam"), arn.rpartition("/")[2])
        stage.host.members = {**stage.host.members, **stage.made.granted(before, account)}
    stage.host.enforce()
    for function in stage.host.deployed.functions():
        sts = stage.host.session(function.role, LAMBDA).client("sts", endpoint_url=box.url)
        for name in (member_role_name(NOTEBOOKS, RoleKind.ACT), member_role_name(NOTEBOOKS, RoleKind.UNDO)):
            assert stage.arn(name, FIRST) in stage.host.members
            with pytest.raises(sts.exceptions.ClientError, match="AccessDenied"):
                sts.assume_role(
                    RoleArn=stage.arn(name, FIRST), RoleSessionName="left", ExternalId=EXTERNAL_ID
                )


def delete(iam: Any, role: str) -> None:
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        iam.delete_role_policy(RoleName=role, PolicyName=name)
    iam.delete_role(RoleName=role)
