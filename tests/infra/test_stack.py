"""Laws of the template, for every detector of the registry."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
import traceback
from functools import cache
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from policy_sentry.querying.actions import (
    get_actions_that_support_wildcard_arns_only,
    get_actions_with_access_level,
)
from policy_sentry.querying.all import get_all_actions

from infra.bundle import PROJECT_ROOT
from infra.stack import JanitorStack
from ml_janitor.config.settings import SETTINGS_FILE, Settings
from ml_janitor.detectors import DETECTORS
from ml_janitor.engine.detector import Detector
from synthesis import SLACK, TODAY, Synthesised, resolved
from tables import cases

every_detector = pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)

READS_ALL_THE_SAME = {"kms:Decrypt"}
"""Listed as writing in the Service Authorization Reference, but it only reads encrypted bytes."""

OWN_SERVICES = {"dynamodb", "logs", "sqs", "sns", "lambda"}
"""Where the janitor changes things of its own: ledger, log groups, queues, topic, its own functions."""


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def construct(detector: type[Detector[Any]]) -> str:
    return detector.__name__


WHEN_IT_RINGS = ("Statistic", "ComparisonOperator", "Threshold", "TreatMissingData")

RINGS = {
    "Errors": ("Sum", "GreaterThanThreshold", 0, "notBreaching"),
    "DidNotRun": ("Sum", "LessThanThreshold", 1, "breaching"),
    "FailedMessages": ("Maximum", "GreaterThanThreshold", 0, "notBreaching"),
    "UndeliveredMessages": ("Maximum", "GreaterThanThreshold", 0, "notBreaching"),
}
"""The alarms of a detector, and when each rings."""


def only(resources: dict[str, dict[str, Any]], part: str) -> dict[str, Any]:
    (found,) = [properties for name, properties in resources.items() if name.startswith(part)]
    return found


@every_detector
def test_it_has_a_function_that_can_find_it(stack: Synthesised, detector: type[Detector[Any]]) -> None:
    function = only(stack.of_type("AWS::Lambda::Function"), construct(detector))

    assert function["Environment"]["Variables"]["JANITOR_DETECTOR"] == detector.name
    assert function["Handler"] == "ml_janitor.handlers.sweep"
    assert function["Runtime"] == "python3.13"
    assert function["Architectures"] == ["arm64"]
    assert function["LoggingConfig"]["LogFormat"] == "JSON"
    assert function["Timeout"] == 900
    assert "ReservedConcurrentExecutions" not in function


@every_detector
def test_its_schedule_is_its_own(stack: Synthesised, detector: type[Detector[Any]]) -> None:
    schedule = only(stack.of_type("AWS::Scheduler::Schedule"), construct(detector))

    assert schedule["ScheduleExpression"] == detector.schedule
    assert schedule["ScheduleExpressionTimezone"] == "UTC"
    assert json.loads(schedule["Target"]["Input"]) == {"time": "<aws.scheduler.scheduled-time>"}
    assert schedule["Target"]["RetryPolicy"] == {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 3}
    assert schedule["Target"]["DeadLetterConfig"]["Arn"]


@every_detector
def test_a_failed_run_is_kept(stack: Synthesised, detector: type[Detector[Any]]) -> None:
    config = only(stack.of_type("AWS::Lambda::EventInvokeConfig"), construct(detector))

    assert config["MaximumRetryAttempts"] == 1
    assert config["MaximumEventAgeInSeconds"] == 3600
    assert config["DestinationConfig"]["OnFailure"]["Destination"]


@every_detector
def test_it_has_its_alarms(stack: Synthesised, detector: type[Detector[Any]]) -> None:
    alarms = {
        name: alarm
        for name, alarm in stack.of_type("AWS::CloudWatch::Alarm").items()
        if name.startswith(construct(detector))
    }
    kinds = {name.removeprefix(construct(detector))[:-8] for name in alarms}

    assert kinds == set(RINGS)
    for alarm in alarms.values():
        assert alarm["AlarmActions"]
        assert alarm["Period"] * alarm["EvaluationPeriods"] <= 7 * 24 * 3600
    for name, alarm in alarms.items():
        rings = RINGS[name.removeprefix(construct(detector))[:-8]]
        assert tuple(alarm[each] for each in WHEN_IT_RINGS) == rings


@every_detector
def test_only_its_own_scheduler_may_invoke_it(stack: Synthesised, detector: type[Detector[Any]]) -> None:
    role = only(stack.of_type("AWS::IAM::Role"), f"{construct(detector)}Invoker")

    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement == {
        "Action": "sts:AssumeRole",
        "Effect": "Allow",
        "Principal": {"Service": "scheduler.amazonaws.com"},
        "Condition": {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}},
    }


def test_no_arn_of_a_policy_is_of_one_partition_alone(stack: Synthesised) -> None:
    policies = json.dumps(
        [*stack.of_type("AWS::IAM::Policy").values(), *stack.of_type("AWS::IAM::ManagedPolicy").values()]
    )

    assert '"arn:aws:' not in policies
    assert "AWS::Partition" in policies


def test_cloudwatch_may_tell_the_topic_of_every_alarm(stack: Synthesised) -> None:
    """A topic's own policy replaces the default one, under which an account's alarms may publish."""
    (topic,) = stack.of_type("AWS::SNS::Topic")
    (policy,) = stack.of_type("AWS::SNS::TopicPolicy").values()
    allowed = [one for one in policy["PolicyDocument"]["Statement"] if one["Effect"] == "Allow"]

    assert policy["Topics"] == [{"Ref": topic}]
    (statement,) = allowed
    assert statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert (statement["Action"], statement["Resource"]) == ("sns:Publish", {"Ref": topic})
    (alarms,) = statement["Condition"]["ArnLike"].values()
    assert list(statement["Condition"]["ArnLike"]) == ["aws:SourceArn"]
    own = "arn:<AWS::Partition>:cloudwatch:<AWS::Region>:<AWS::AccountId>:alarm:*"
    assert resolved(alarms, {}) == own
    for alarm in stack.of_type("AWS::CloudWatch::Alarm").values():
        assert alarm["AlarmActions"] == [{"Ref": topic}]


@every_detector
def test_its_logs_do_not_pile_up(stack: Synthesised, detector: type[Detector[Any]]) -> None:
    assert only(stack.of_type("AWS::Logs::LogGroup"), construct(detector))["RetentionInDays"] == 90


@every_detector
def test_its_role_holds_what_it_declares(stack: Synthesised, detector: type[Detector[Any]]) -> None:
    granted = {
        action
        for statement in stack.role_statements(construct(detector) + "Role")
        for action in listed(statement["Action"])
    }
    own = {
        *(f"dynamodb:{action}" for action in ("DeleteItem", "GetItem", "PutItem", "Query", "UpdateItem")),
        *("logs:CreateLogStream", "logs:PutLogEvents"),
        *("s3:PutObject", "secretsmanager:GetSecretValue", "sqs:SendMessage"),
        *(["s3:GetObject"] if detector.keeps_files or detector.keeps_descriptions else []),
    }

    assert granted - own == {grant.action for grant in detector().reads} - own
    assert {"s3:PutObject", "dynamodb:PutItem", "logs:PutLogEvents"} <= granted


@cache
def mutating(service: str) -> frozenset[str]:
    return frozenset(
        action.lower()
        for level in ("Write", "Permissions management", "Tagging")
        for action in get_actions_with_access_level(service, level)
    )


def test_a_dry_run_deployment_can_change_nothing_of_a_customers(stack: Synthesised) -> None:
    for name, statement in stack.statements():
        if statement["Effect"] != "Allow":
            continue
        for action in listed(statement["Action"]):
            service = action.partition(":")[0]
            if service in OWN_SERVICES or action.lower() not in mutating(service):
                continue
            if action in READS_ALL_THE_SAME:
                continue
            assert action == "s3:PutObject", (name, action)
            assert all("Reports" in json.dumps(resource) for resource in listed(statement["Resource"]))


def test_own_services_are_used_on_own_resources_only(stack: Synthesised) -> None:
    for _, statement in stack.statements():
        for action in listed(statement["Action"]):
            if action.partition(":")[0] in OWN_SERVICES and action.lower() in mutating(
                action.partition(":")[0]
            ):
                for resource in listed(statement.get("Resource", [])):
                    assert not isinstance(resource, str), (action, resource)


@cache
def known() -> frozenset[str]:
    return frozenset(action.lower() for action in get_all_actions())


@cache
def star_only(service: str) -> frozenset[str]:
    return frozenset(action.lower() for action in get_actions_that_support_wildcard_arns_only(service))


def test_the_table_is_closed_to_other_accounts(stack: Synthesised) -> None:
    (table,) = stack.of_type("AWS::DynamoDB::Table").values()
    plain_, elsewhere = table["ResourcePolicy"]["PolicyDocument"]["Statement"]
    assert {plain_["Effect"], elsewhere["Effect"]} == {"Deny"}
    assert plain_["Principal"] == elsewhere["Principal"] == {"AWS": "*"}
    assert plain_["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert elsewhere["Condition"]["StringNotEquals"] == {"aws:PrincipalAccount": {"Ref": "AWS::AccountId"}}


OF_ALL = {"ce:GetCostAndUsage", "savingsplans:DescribeSavingsPlans"}
"""Of the one bill of the account, which has no ARN here, and of all plans that there are."""


def test_iam_lint(stack: Synthesised) -> None:
    """Every action exists, none is a wildcard, and none stands on * that has a resource level."""
    for name, statement in stack.statements():
        if statement["Effect"] != "Allow":
            continue
        for action in listed(statement["Action"]):
            assert "*" not in action, (name, action)
            assert action.lower() in known(), (name, action)
            if listed(statement.get("Resource", "?")) == ["*"] and action not in OF_ALL:
                service = action.partition(":")[0]
                assert action.lower() in star_only(service), (name, action)


def test_the_synthesis_has_nothing_to_say(stack: Synthesised) -> None:
    """cdk-nag's AwsSolutions and CDK's own validation of the template."""
    said = [
        (violation["ruleName"], violation["description"])
        for plugin in stack.validation.get("pluginReports", [])
        for violation in plugin["violations"]
    ]

    assert said == []


def test_cfn_lint(stack: Synthesised) -> None:
    program = Path(sys.executable).parent / "cfn-lint"
    done = subprocess.run(
        [program, "--ignore-checks", "W3005", "W3045", "--", stack.path],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == ""
    assert done.returncode == 0


def test_the_table_can_be_read_restored_and_forgets(stack: Synthesised) -> None:
    (table,) = stack.of_type("AWS::DynamoDB::Table").values()

    assert [key["AttributeName"] for key in table["KeySchema"]] == ["pk", "sk"]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires", "Enabled": True}
    assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]


def test_undo_records_are_encrypted_under_a_key_of_the_customers(stack: Synthesised) -> None:
    (table,) = stack.of_type("AWS::DynamoDB::Table").values()
    keys = stack.of_type("AWS::KMS::Key").items()
    ((name, key),) = [(name, key) for name, key in keys if "KeyUsage" not in key]

    assert table["SSESpecification"] == {
        "KMSMasterKeyId": {"Fn::GetAtt": [name, "Arn"]},
        "SSEEnabled": True,
        "SSEType": "KMS",
    }
    assert key["EnableKeyRotation"]
    assert stack.template["Resources"][name]["DeletionPolicy"] == "Retain"
    account, everybody = key["KeyPolicy"]["Statement"]
    assert "root" in json.dumps(account["Principal"])
    assert everybody["Principal"] == {"AWS": "*"}
    conditions = everybody["Condition"]["StringEquals"]
    assert set(conditions) == {"kms:CallerAccount", "kms:ViaService"}
    assert conditions["kms:CallerAccount"] == {"Ref": "AWS::AccountId"}
    assert resolved(conditions["kms:ViaService"], {}) == "dynamodb.<AWS::Region>.<AWS::URLSuffix>"


def test_reports_are_private_and_end(stack: Synthesised) -> None:
    (bucket,) = stack.of_type("AWS::S3::Bucket").values()

    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert bucket["BucketEncryption"]
    rules = bucket["LifecycleConfiguration"]["Rules"]
    assert [(rule.get("Prefix"), rule["ExpirationInDays"]) for rule in rules] == [
        (None, 90),
        ("duplicate-artifacts/listing/", 3),
        ("descriptions/", 14),
    ]


def test_only_what_keeps_files_reads_them_again(stack: Synthesised) -> None:
    """And nothing else that lies in the report bucket."""
    for detector in DETECTORS:
        read = [
            resolved(resource, {})
            for statement in stack.role_statements(construct(detector) + "Role")
            for resource in listed(statement["Resource"])
            if "s3:GetObject" in listed(statement["Action"]) and "Reports" in json.dumps(resource)
        ]
        kept = {
            f"/{detector.name}/listing/*": detector.keeps_files,
            "/descriptions/*": detector.keeps_descriptions,
        }
        assert sorted(f"/{resource.partition('/')[2]}" for resource in read) == sorted(
            place for place, keeps in kept.items() if keeps
        )


def test_the_dashboard_shows_the_money_first(stack: Synthesised) -> None:
    (dashboard,) = stack.of_type("AWS::CloudWatch::Dashboard").values()
    body = json.dumps(dashboard["DashboardBody"])

    assert body.index("dollars a month") < body.index("Could not be judged")
    for detector in DETECTORS:
        assert detector.name in body


def test_slack_is_one_secret(stack: Synthesised) -> None:
    secrets = [
        statement
        for _, statement in stack.statements()
        if "secretsmanager:GetSecretValue" in listed(statement["Action"])
    ]

    assert secrets
    assert all(SLACK["janitor"]["slack_secret"] in json.dumps(statement) for statement in secrets)


@cases(
    "written, said",
    ('[janitor]\nslack_secret = "xoxb-1234-Zq7"', "janitor.slack_secret: expected the name of a secret"),
    ("[janitor]\nwindow = 3", "unknown setting janitor.window"),
    ("[janitor", "janitor.toml is not valid TOML"),
    (
        '[janitor]\nslack_channel = "#a"\n[detectors.idle-notebooks]\nmode = "act"',
        "slack_channel needs slack_secret.*; .*needs act_in.*; .*set janitor.ledger_writers",
    ),
)
def test_a_mistake_in_the_settings_ends_synthesis_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, said: str
) -> None:
    (tmp_path / SETTINGS_FILE).write_text(written)
    monkeypatch.setattr("infra.stack.PROJECT_ROOT", tmp_path)
    monkeypatch.setenv("CDK_OUTDIR", str(tmp_path / "out"))

    with pytest.raises(SystemExit, match=f"^janitor: .*{said}") as ended:
        runpy.run_path(str(PROJECT_ROOT / "app.py"))

    assert len(str(ended.value).splitlines()) == 1
    assert "Zq7" not in "".join(traceback.format_exception(ended.value))
    assert not list(tmp_path.rglob("*.template.json"))


def test_the_stack_has_the_tags_of_the_settings_and_names_those_that_are_missing() -> None:
    tags = {"managed-by": "ml-janitor", "team": "ml"}
    settings = Settings.parse({"janitor": {"tags": tags}, "bill": {"metric": "auto"}})
    stack = JanitorStack(cdk.App(), "Tagged", today=TODAY, settings=settings)

    said = [str(one.data) for one in stack.node.metadata if one.type == "aws:cdk:info"]
    assert stack.tags.tag_values() == tags
    (missing,) = (line for line in said if "janitor.tags" in line)
    assert ('project = "..."' in missing, "team" in missing) == (True, False)
    assert [line for line in said if "no such setting: bill.metric" in line]
    assert not [one for one in stack.node.metadata if one.type == "aws:cdk:warning"]
