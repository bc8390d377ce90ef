"""What an organization demands is on every role, function, queue, topic and log group; by default on none."""

import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from conftest import ACCOUNT
from fakes import TRUST
from infra.stack import JanitorStack
from ml_janitor.config.settings import Settings
from ml_janitor.config.values import InvalidInputError
from ml_janitor.detectors import DETECTORS
from synthesis import SLACK, TO_ARM, TODAY, Synthesised, synthesise

BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/platform/boundary"
KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
SUBNETS = ["subnet-0a1b2c3d4e5f60718", "subnet-0a1b2c3d4e5f60719"]
GROUPS = ["sg-0a1b2c3d4e5f60718"]

DEMANDED: dict[str, Any] = {
    "permissions_boundary": BOUNDARY,
    "role_path": "/platform/ml/",
    "subnets": SUBNETS,
    "security_groups": GROUPS,
    "kms_key": KEY,
}
SOME = {"duplicate-artifacts", "idle-notebooks", "untagged-resources"}
ARMED: dict[str, Any] = {one.name: {"enabled": one.name in SOME} for one in DETECTORS} | {
    "idle-notebooks": {"mode": "act", "act_in": [ACCOUNT]}
}
"""Some detectors, one of them armed: every function is made by one construct, whichever detector it runs."""

BUTTONS = {**TO_ARM, "slack_signing_secret": "ml-janitor/slack-signing", "time_zone": "Europe/Berlin"}

IN_A_VPC = {
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
}


@pytest.fixture(scope="module")
def demanded(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    """An armed deployment with buttons, and all that can be demanded of it."""
    settings = Settings.parse({"janitor": {**SLACK["janitor"], **BUTTONS, **DEMANDED}, "detectors": ARMED})
    return synthesise(tmp_path_factory.mktemp("demanded"), settings, checked=True)


def role_of(function: dict[str, Any]) -> str:
    return str(function["Role"]["Fn::GetAtt"][0])


def statements(stack: Synthesised, role: str) -> list[dict[str, Any]]:
    """All statements of the role of that logical id, in whatever policy they are."""
    return [
        statement
        for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy")
        for policy in stack.of_type(kind).values()
        if {"Ref": role} in policy.get("Roles", [])
        for statement in policy["PolicyDocument"]["Statement"]
    ]


def test_a_stack_in_an_account_that_no_role_trusts_is_refused_where_it_is_known() -> None:
    settings = Settings.parse({"organization": {"accounts": ["210987654321"], **TRUST}})
    elsewhere = cdk.Environment(account="222222222222", region="eu-west-1")
    with pytest.raises(
        InvalidInputError, match=f"in account {ACCOUNT}, and this deployment is in 222222222222"
    ):
        JanitorStack(cdk.App(), "Elsewhere", today=TODAY, settings=settings, env=elsewhere)


def test_schedules_keep_the_time_of_the_zone(demanded: Synthesised) -> None:
    schedules = demanded.of_type("AWS::Scheduler::Schedule").values()
    assert {one["ScheduleExpressionTimezone"] for one in schedules} == {"Europe/Berlin"}


def test_more_accounts_than_an_hour_has_time_for_and_pages_than_the_bill_may_ask_are_said_at_synth() -> None:
    organization = {"accounts": [f"{n:012}" for n in range(9)], "at_once": 1, **TRUST}
    bill = {"enabled": True, "max_requests": 8}
    settings = Settings.parse({"organization": organization, "bill": bill})
    stack = JanitorStack(cdk.App(), "Many", today=TODAY, settings=settings)

    for said in ("and there are 9: ", "bill.max_requests = 8: a reading asks for 10 pages at least"):
        assert [said in str(one.data) for one in stack.node.metadata].count(True) == 1


def test_every_role_has_the_boundary_and_the_path(tmp_path: Path) -> None:
    only = {key: DEMANDED[key] for key in ("permissions_boundary", "role_path")}
    settings = Settings.parse({"janitor": {**SLACK["janitor"], **BUTTONS, **only}, "detectors": ARMED})

    made = synthesise(tmp_path, settings)
    roles = made.of_type("AWS::IAM::Role")

    assert any("SlackReceiver" in name for name in roles)
    for name, role in roles.items():
        assert (role["PermissionsBoundary"], role["Path"]) == (BOUNDARY, "/platform/ml/"), name


def test_every_function_is_in_the_subnets_and_only_lambda_may_put_it_there(demanded: Synthesised) -> None:
    functions = demanded.of_type("AWS::Lambda::Function")

    assert len(functions) == len(SOME) + len(("digest", "receiver", "worker", "undo"))
    for name, function in functions.items():
        assert function["VpcConfig"] == {"SubnetIds": SUBNETS, "SecurityGroupIds": GROUPS}, name
        held = statements(demanded, role_of(function))
        allowed = [set(one["Action"]) for one in held if one["Effect"] == "Allow" and one["Resource"] == "*"]
        assert set().union(*allowed) >= IN_A_VPC, name
        (denied,) = [one for one in held if "lambda:SourceFunctionArn" in json.dumps(one)]
        assert (denied["Effect"], set(denied["Action"]), denied["Resource"]) == ("Deny", IN_A_VPC, "*")
        assert denied["Condition"] == {"Null": {"lambda:SourceFunctionArn": "false"}}


def test_log_groups_queues_and_the_topic_are_under_the_key(demanded: Synthesised) -> None:
    groups = demanded.of_type("AWS::Logs::LogGroup")
    queues = demanded.of_type("AWS::SQS::Queue")
    topics = demanded.of_type("AWS::SNS::Topic")

    assert len(groups) == len(demanded.of_type("AWS::Lambda::Function"))
    assert {one["KmsKeyId"] for one in groups.values()} == {KEY}
    assert {one["KmsMasterKeyId"] for one in queues.values()} == {KEY}
    assert {one["KmsMasterKeyId"] for one in topics.values()} == {KEY}


def test_whoever_may_send_to_a_queue_may_use_the_key_through_it(demanded: Synthesised) -> None:
    using = {"kms:Decrypt", "kms:GenerateDataKey"}
    for role in demanded.of_type("AWS::IAM::Role"):
        held = statements(demanded, role)
        sends = any(one["Action"] == "sqs:SendMessage" for one in held)
        keys = [one for one in held if one["Resource"] == KEY]
        assert len(keys) == sends, role
        for one in keys:
            assert set(one["Action"]) == using
            (service,) = one["Condition"]["StringEquals"].values()
            assert "sqs." in json.dumps(service)
            assert list(one["Condition"]["StringEquals"]) == ["kms:ViaService"]


def test_the_checks_have_nothing_to_say(demanded: Synthesised) -> None:
    assert demanded.violations == []
    assert demanded.lint() == ("", 0)


def test_nothing_is_demanded_by_default(stack: Synthesised) -> None:
    text = json.dumps(stack.template)

    for name in (
        "PermissionsBoundary",
        "VpcConfig",
        "KmsMasterKeyId",
        "KmsKeyId",
        "ec2:CreateNetworkInterface",
    ):
        assert name not in text
    assert not any("Path" in role for role in stack.of_type("AWS::IAM::Role").values())


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"permissions_boundary": "boundary"}, "permissions_boundary: expected the ARN of a managed policy"),
        ({"permissions_boundary": f"arn:aws:iam::{ACCOUNT}:role/x"}, "the ARN of a managed policy, such as"),
        ({"role_path": "platform/"}, "role_path: expected a path that begins and ends with a slash"),
        ({"role_path": "/platform"}, 'such as "/platform/", got "/platform"'),
        ({"role_path": "/a b/"}, "a path that begins and ends"),
        ({"role_path": "/" + "a" * 512 + "/"}, "a path that begins and ends"),
        ({"subnets": ["vpc-1"], "security_groups": GROUPS}, "subnets[0]: expected the id of a subnet"),
        ({"subnets": SUBNETS, "security_groups": ["default"]}, "security_groups[0]: expected the id of a"),
        ({"subnets": SUBNETS}, "janitor.subnets needs security_groups too"),
        ({"security_groups": GROUPS}, "janitor.security_groups needs subnets too"),
        ({"kms_key": "alias/logs"}, "kms_key: expected the ARN of a key (not of an alias)"),
        ({"kms_key": f"arn:aws:kms:eu-west-1:{ACCOUNT}:alias/logs"}, "the ARN of a key (not of an alias)"),
    ],
)  # fmt: skip
def test_what_cannot_be_deployed_is_refused(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        Settings.parse({"janitor": wrong})

    assert why in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "right",
    [
        {"permissions_boundary": "arn:aws-us-gov:iam::aws:policy/PowerUserAccess"},
        {"role_path": "/"},
        {"kms_key": f"arn:aws-cn:kms:cn-north-1:{ACCOUNT}:key/mrk-0a1b2c3d4e5f60718293a4b5c6d7e8f9"},
    ],
)
def test_what_can_be_is_taken(right: dict[str, Any]) -> None:
    ((key, value),) = right.items()

    assert getattr(Settings.parse({"janitor": right}).janitor, key) == value
