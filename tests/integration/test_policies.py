"""`janitor policies write`, as it is typed; and its policies, enforced by the sandbox on whole requests."""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from commands import Janitor
from conftest import REGION
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.iam import IamControl
from policies import allow, role
from sagemaker_requests import rented, training_request
from tables import cases

TEAM = "arn:aws:iam::123456789012:role/team"
JOBS = "arn:aws:iam::123456789012:role/jobs"
CLOUDFORMATION = "cloudformation.amazonaws.com"
TAGS = [{"Key": "team", "Value": "nlp"}, {"Key": "owner", "Value": "ada"}]
SETTINGS = """
[policies]
max_runtime = "6h"
instance_types = ["ml.g5.*", "ml.m5.xlarge"]
[detectors.untagged-resources]
required = ["team", "owner"]
"""
FILES = {
    "config-rules.json",
    "job-limits.iam.json",
    "job-limits.scp.json",
    "required-tags.scp.json",
    "required_tags.py",
    "required_tags.rego",
    "tag-policy.json",
}


@pytest.fixture
def made(janitor: Janitor) -> Path:
    Path("janitor.toml").write_text(SETTINGS)
    ran = janitor("policies", "write", "out/policies")
    assert (ran.status, ran.err) == (0, "")
    return Path("out/policies")


class Asks:
    """What a role asks for, by itself or through a service: "" if it may, else the words of the refusal."""

    def __init__(self, box: Control, who: str, via: str = "") -> None:
        session = boto3.Session(**IamControl(box.url).credentials(who, via=via), region_name=REGION)
        self._client: Any = session.client("sagemaker")

    def __call__(self, operation: str, **params: Any) -> str:
        try:
            getattr(self._client, operation)(**params)
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDeniedException":
                raise
            return str(error)
        return ""


DENIED = "with an explicit deny in an identity-based policy"


def enforced(box: Control, made: Path) -> None:
    """The SCP of tags for the one role, the limits for the other; both may else do everything."""

    def statements(name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads((made / name).read_text())["Statement"]
        return found

    IamControl(box.url).enforce(
        {
            TEAM: role(allow(), *statements("required-tags.scp.json")),
            JOBS: role(allow(), *statements("job-limits.iam.json")),
        }
    )


def test_an_untagged_resource_is_denied_unless_a_stack_tags_it_later(box: Control, made: Path) -> None:
    enforced(box, made)
    directly, stack = Asks(box, TEAM), Asks(box, TEAM, CLOUDFORMATION)
    model = {"ExecutionRoleArn": "arn:aws:iam::123456789012:role/serving"}
    schedule = {"MonitoringScheduleConfig": {"MonitoringJobDefinition": {
        "MonitoringInputs": [{"BatchTransformInput": {
            "DataCapturedDestinationS3Uri": "s3://b/in", "LocalPath": "/in", "DatasetFormat": {"Csv": {}},
        }}],
        "MonitoringOutputConfig": {"MonitoringOutputs": [
            {"S3Output": {"S3Uri": "s3://b/out", "LocalPath": "/out"}},
        ]},
        "MonitoringResources": {"ClusterConfig": {
            "InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 5,
        }},
        "MonitoringAppSpecification": {"ImageUri": "image"},
        "RoleArn": model["ExecutionRoleArn"],
    }}}  # fmt: skip

    for asks in (directly, stack):
        name = "stack" if asks is stack else "direct"
        assert DENIED in asks("create_model", ModelName=f"{name}-none", **model)
        assert DENIED in asks("create_model", ModelName=f"{name}-half", Tags=TAGS[:1], **model)
        empty = [TAGS[0], {"Key": "owner", "Value": ""}]
        assert DENIED in asks("create_model", ModelName=f"{name}-empty", Tags=empty, **model)
        assert asks("create_model", ModelName=f"{name}-all", Tags=TAGS, **model) == ""
    # CloudFormation creates a monitoring schedule without tags, and adds them then.
    assert DENIED in directly("create_monitoring_schedule", MonitoringScheduleName="direct", **schedule)
    assert stack("create_monitoring_schedule", MonitoringScheduleName="stack", **schedule) == ""
    arn = f"arn:aws:sagemaker:{REGION}:123456789012:monitoring-schedule/stack"
    assert stack("add_tags", ResourceArn=arn, Tags=TAGS) == ""


def test_jobs_beyond_the_limits_are_denied_and_so_are_those_that_state_none(box: Control, made: Path) -> None:
    enforced(box, made)
    asks = Asks(box, JOBS)
    small = rented("ml.g5.xlarge")
    huge = small | {"InstanceType": "ml.p4d.24xlarge"}
    groups = [
        {"InstanceGroupName": one, "InstanceType": kind, "InstanceCount": 1}
        for one, kind in (("a", "ml.g5.2xlarge"), ("b", "ml.p4d.24xlarge"))
    ]
    cases: dict[str, dict[str, Any]] = {
        "as-allowed": {},
        "a-second-too-long": {"StoppingCondition": {"MaxRuntimeInSeconds": 21_601}},
        "no-end": {"StoppingCondition": None},
        "another-type": {"ResourceConfig": huge},
        "no-type": {"ResourceConfig": {"VolumeSizeInGB": 1}},
        "nothing-of-it": {"ResourceConfig": None},
        "one-group-too-large": {"ResourceConfig": {"VolumeSizeInGB": 1, "InstanceGroups": groups}},
        "groups-as-allowed": {"ResourceConfig": {"VolumeSizeInGB": 1, "InstanceGroups": groups[:1]}},
        "a-short-pool": {"ResourceConfig": small | {"KeepAlivePeriodInSeconds": 1_800}},
        "a-long-pool": {"ResourceConfig": small | {"KeepAlivePeriodInSeconds": 1_801}},
    }
    allowed = []
    for name, more in cases.items():
        asked = training_request(name, small, seconds=21_600) | more
        if not asks("create_training_job", **{key: one for key, one in asked.items() if one is not None}):
            allowed.append(name)
    assert allowed == ["as-allowed", "groups-as-allowed", "a-short-pool"]


def test_written_again_nothing_of_anybody_is_lost(janitor: Janitor, made: Path) -> None:
    assert {path.name for path in made.iterdir()} == {*FILES, ".janitor-policies.json"}
    before = (made / "required-tags.scp.json").read_text()
    assert '"aws:RequestTag/owner"' in before
    (made / "mine.txt").write_text("mine")

    again = janitor("policies", "write", made, "--set", 'untagged-resources.required=["team"]')
    assert again.status == 0
    assert '"aws:RequestTag/owner"' not in (made / "required-tags.scp.json").read_text()

    (made / "required-tags.scp.json").write_text(before + " ")
    (made / "tag-policy.json").write_text("{}")
    refused = janitor("policies", "write", made)
    assert (refused.status, refused.out) == (2, "")
    assert (
        "tag-policy.json, required-tags.scp.json were not written by this command, or changed" in refused.err
    )
    assert "Nothing was written: name another directory, or give --force" in refused.err
    assert (made / "tag-policy.json").read_text() == "{}"

    assert janitor("policies", "write", made, "--force").status == 0
    assert (made / "required-tags.scp.json").read_text() == before
    assert (made / "mine.txt").read_text() == "mine"


@cases(
    "settings, why",
    ("policies.max_runtim=1d", "unknown setting policies.max_runtim; did you mean max_runtime?"),
    ("policies.max_runtime=29d", 'policies.max_runtime: expected a duration of at most "28d"'),
    ("policies.max_keep_alive=7h", 'policies.max_keep_alive: expected a duration of at most "6h"'),
    ('policies.instance_types=["g5.xlarge"]', "expected an instance type such as"),
    ('policies.instance_types=["ml.g5.xlarg"]', "is ml.g5.xlarg; did you mean ml.g5.xlarge?"),
    ('policies.exempt_roles=["admin"]', "expected the ARN of a role, whose account may be *"),
    ('policies.exempt_roles=["arn:aws:iam::*:role/*"]', "every role of every account would be exempt"),
    ('policies.exempt_roles=["arn:aws:iam::*:role/?*/*"]', "every role of every account would be exempt"),
    ("untagged-resources.required=[]", "it is empty, so there is no tag to enforce"),
    ('untagged-resources.required=["a,b"]', '"a,b" cannot be the key of a tag'),
)
def test_a_wrong_setting_is_one_line_and_writes_nothing(janitor: Janitor, settings: str, why: str) -> None:
    ran = janitor("policies", "write", "out", "--set", settings)

    assert (ran.status, ran.out) == (2, "")
    assert why in ran.err
    assert ran.err.count("\n") == 1
    assert not Path("out").exists()


def test_what_stands_in_the_way_is_one_line(janitor: Janitor) -> None:
    Path("taken").write_text("")
    Path("out/required_tags.py").mkdir(parents=True)

    for directory, why in (("taken", "File exists"), ("out", "Is a directory")):
        ran = janitor("policies", "write", directory)

        assert (ran.status, ran.out) == (1, "")
        assert f"{directory}: {why}; nothing was written" in ran.err
    assert [path.name for path in Path("out").iterdir()] == ["required_tags.py"]
