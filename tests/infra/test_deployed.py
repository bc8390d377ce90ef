"""CDK's templates in the sandbox's CloudFormation: made, updated both ways, gone back, and deleted."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import boto3
import pytest

from ml_janitor.config.settings import Settings
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.stack import NAME, deploy, upload
from synthesis import EVERYTHING, REPORTING, synthesise

STAYING = ("Ledger", "Reports", "UndoRecordKey")


@pytest.fixture
def templates(tmp_path: Path) -> list[dict[str, Any]]:
    """The report-only default, and everything on with budgets and an address for alarms."""
    bill = EVERYTHING["bill"] | {"monthly_budget": 900, "anomaly_monitor": "create"}
    janitor = EVERYTHING["janitor"] | {"alarm_email": "oncall@example.com", "tags": {"team": "ml"}}
    everything = EVERYTHING | {"bill": bill, "janitor": janitor}
    return [synthesise(tmp_path, Settings.parse(settings)).template for settings in (REPORTING, everything)]


def test_every_template_is_made_updated_and_deleted(
    box: Control, session: boto3.Session, templates: list[dict[str, Any]]
) -> None:
    own, (little, much) = session.client("cloudformation"), templates
    made = deploy(box.url, little)
    assert made.keys() == little["Resources"].keys()
    for template in (much, little, much):
        own.update_stack(
            StackName=NAME, TemplateURL=upload(box.url, template), Capabilities=["CAPABILITY_NAMED_IAM"]
        )
        (stack,) = own.describe_stacks(StackName=NAME)["Stacks"]
        assert stack["StackStatus"] == "UPDATE_COMPLETE"
        assert {one["OutputKey"] for one in stack["Outputs"]} == template["Outputs"].keys()
        pages = own.get_paginator("list_stack_resources").paginate(StackName=NAME)
        listed = {
            one["LogicalResourceId"]: one["PhysicalResourceId"]
            for page in pages
            for one in page["StackResourceSummaries"]
        }
        assert listed.keys() == template["Resources"].keys()
        assert {name: listed[name] for name in made if name.startswith(STAYING)} == {
            name: id_ for name, id_ in made.items() if name.startswith(STAYING)
        }

    broken = deepcopy(little)
    function = next(name for name in little["Resources"] if name.startswith("AdvisersFunction"))
    broken["Resources"][function]["Properties"]["Code"]["S3Key"] = "missing.zip"
    address = upload(box.url, little)
    session.client("s3").put_object(
        Bucket=address.split("/")[2].split(".")[0], Key="b.json", Body=json.dumps(broken)
    )
    lambdas = session.client("lambda")
    before = sorted(one["CodeSha256"] + str(one["Role"]) for one in lambdas.list_functions()["Functions"])
    own.update_stack(
        StackName=NAME,
        TemplateURL=address.replace("template.json", "b.json"),
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    (stack,) = own.describe_stacks(StackName=NAME)["Stacks"]
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert (
        sorted(one["CodeSha256"] + str(one["Role"]) for one in lambdas.list_functions()["Functions"])
        == before
    )

    own.delete_stack(StackName=NAME)

    pages = own.get_paginator("describe_stack_events").paginate(StackName=stack["StackId"])
    states = {one["ResourceStatus"] for page in pages for one in page["StackEvents"]}
    assert {"DELETE_COMPLETE", "DELETE_SKIPPED"} <= states
    assert "DELETE_FAILED" not in states
    assert not lambdas.list_functions()["Functions"]
    assert not session.client("iam").list_roles()["Roles"]
    assert not session.client("scheduler").list_schedules()["Schedules"]
    kept = {made[name] for name in made if name.startswith(STAYING)}
    assert session.client("dynamodb").list_tables()["TableNames"][0] in kept
    assert not box.calls().get("lambda:CreateFunction"), "CloudFormation's own calls are not counted"
