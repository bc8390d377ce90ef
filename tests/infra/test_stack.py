"""Laws of the template, for every detector of the registry."""

import json
import runpy
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

from declared import listed
from infra.bundle import PROJECT_ROOT
from infra.stack import JanitorStack
from ml_janitor.config.settings import SETTINGS_FILE, Settings
from ml_janitor.detectors import DETECTORS
from ml_janitor.engine.detector import Detector
from ml_janitor_cli.template.plan import plain_template
from synthesis import SLACK, TODAY, Synthesised, resolved, synthesise
from tables import cases

READS_ALL_THE_SAME = {"kms:Decrypt"}
"""Listed as writing in the Service Authorization Reference, but it only reads encrypted bytes."""

OWN_SERVICES = {"dynamodb", "logs", "sqs", "sns", "lambda"}
"""Where the janitor changes things of its own: ledger, log groups, queues, topic, its own functions."""


def construct(detector: type[Detector[Any]]) -> str:
    return detector.__name__


CARD = DETECTORS[:6]
ADVISERS = [detector for detector in DETECTORS if detector not in CARD]


def only(resources: dict[str, dict[str, Any]], part: str) -> dict[str, Any]:
    (found,) = [properties for name, properties in resources.items() if name.startswith(part)]
    return found


def test_each_detector_of_the_card_has_a_function_and_the_others_share_one(stack: Synthesised) -> None:
    """Which has no act, reads no content, and may go on in another invocation of itself."""
    functions = stack.of_type("AWS::Lambda::Function")

    assert {name[:-16] for name in functions} == {*(one.__name__ for one in CARD), "Advisers", "Digest"}
    for detector in CARD:
        function = only(functions, construct(detector))
        variables = function["Environment"]["Variables"]
        assert (variables["JANITOR_DETECTOR"], variables["MALLOC_ARENA_MAX"]) == (detector.name, "2")
        assert function["Handler"] == "ml_janitor.handlers.sweep"
        hourly = detector.schedule == "rate(1 hour)"
        assert function["MemorySize"] == (512 if hourly else 1024), "a run of each hour waits, and is small"
    assert only(functions, "Advisers")["Handler"] == "ml_janitor.handlers.advisers"
    assert "JANITOR_DETECTOR" not in only(functions, "Advisers")["Environment"]["Variables"]
    for name, function in functions.items():
        assert function["Runtime"] == "python3.13"
        assert function["Architectures"] == ["arm64"]
        assert function["LoggingConfig"]["LogFormat"] == "JSON"
        assert function["Timeout"] == (300 if name.startswith("Digest") else 900)
        assert function["RecursiveLoop"] == "Terminate"
        assert "ReservedConcurrentExecutions" not in function


def test_schedules_name_the_advisers_that_run_together(stack: Synthesised) -> None:
    """`commitments` comes last: it judges by what the others found."""
    time = "<aws.scheduler.scheduled-time>"
    found = {}
    for name, schedule in stack.of_type("AWS::Scheduler::Schedule").items():
        target = schedule["Target"]
        assert schedule["ScheduleExpressionTimezone"] == "UTC"
        assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 3}
        assert "SchedulerUndelivered" in json.dumps(target["DeadLetterConfig"])
        found[name[:-8]] = (schedule["ScheduleExpression"], json.loads(target["Input"]))

    weekly = [one.name for one in ADVISERS if one.schedule == Detector.schedule]
    daily = ["idle-clusters", "unused-training-plans"]
    assert found == {
        **{f"{construct(one)}Schedule": (one.schedule, {"time": time}) for one in CARD},
        "AdvisersSchedulecron100anyallMONall": (Detector.schedule, {"time": time, "detectors": weekly}),
        "AdvisersSchedulecron356allallanyall": ("cron(35 6 * * ? *)", {"time": time, "detectors": daily}),
        "DigestSchedule": ("cron(0 7 * * ? *)", {"time": time}),
        "DigestWatch": ("rate(1 hour)", {"time": time, "only": "schedules"}),
    }
    assert weekly[-1] == "commitments"
    assert {*weekly, *daily} == {one.name for one in ADVISERS}


def test_a_schedule_of_its_own_makes_a_group_of_its_own(tmp_path: Path) -> None:
    others = {one.name: {"enabled": False} for one in DETECTORS}
    sections = {"spot-training": {"schedule": "rate(2 days)"}, "commitments": {}, "unused-volumes": {}}
    settings = Settings.parse({"detectors": {**others, **sections}})
    inputs = [
        json.loads(one["Target"]["Input"]).get("detectors")
        for one in synthesise(tmp_path, settings).of_type("AWS::Scheduler::Schedule").values()
    ]
    assert sorted(filter(None, inputs)) == [["spot-training"], ["unused-volumes", "commitments"]]


def test_failed_runs_are_kept_in_one_queue(stack: Synthesised) -> None:
    queues = stack.of_type("AWS::SQS::Queue")
    assert {name[:-8] for name in queues} == {"Failed", "SchedulerUndelivered"}
    configs = stack.of_type("AWS::Lambda::EventInvokeConfig")
    assert len(configs) == len(stack.of_type("AWS::Lambda::Function"))
    for config in configs.values():
        assert (config["MaximumRetryAttempts"], config["MaximumEventAgeInSeconds"]) == (1, 3600)
        (failed,) = config["DestinationConfig"]["OnFailure"]["Destination"]["Fn::GetAtt"][:1]
        assert failed.startswith("Failed")


def test_only_the_scheduler_of_this_account_may_take_on_its_role(stack: Synthesised) -> None:
    role = only(stack.of_type("AWS::IAM::Role"), "SchedulerRole")

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


def test_logs_do_not_pile_up(stack: Synthesised) -> None:
    groups = stack.of_type("AWS::Logs::LogGroup").values()
    assert len(groups) == len(stack.of_type("AWS::Lambda::Function"))
    assert {group["RetentionInDays"] for group in groups} == {90}


@pytest.mark.parametrize("role", [*(one.__name__ for one in CARD), "Advisers"])
def test_a_role_holds_what_is_declared(stack: Synthesised, role: str) -> None:
    detectors = [one for one in CARD if one.__name__ == role] or ADVISERS
    statements = stack.role_statements(f"{role}Role")
    granted = {action for statement in statements for action in listed(statement["Action"])}
    own = {
        *(f"dynamodb:{action}" for action in ("BatchGetItem", "DeleteItem", "GetItem", "PutItem", "Query")),
        "dynamodb:UpdateItem",
        *("logs:CreateLogStream", "logs:PutLogEvents"),
        *("s3:PutObject", "secretsmanager:GetSecretValue", "sqs:SendMessage"),
        *(["s3:GetObject"] if any(one.keeps_files or one.keeps_descriptions for one in detectors) else []),
    }

    assert granted - own == {grant.action for one in detectors for grant in one().reads} - own
    assert {"s3:PutObject", "dynamodb:PutItem", "logs:PutLogEvents"} <= granted
    if role == "Advisers":
        assert "s3:GetObject" not in granted, "no object's content"
        for statement in statements:
            anywhere = [one for one in listed(statement["Resource"]) if ":*:<AWS::Acc" in resolved(one, {})]
            only_in = statement.get("Condition", {}).get("StringEquals", {}).get("aws:RequestedRegion")
            cross_region = "arn:<AWS::Partition>:sagemaker:*:<AWS::AccountId>:processing-job/*"
            if [one for one in anywhere if resolved(one, {}) != cross_region]:
                assert only_in == [{"Ref": "AWS::Region"}]


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
    assert stack.violations == []


def test_cfn_lint(stack: Synthesised, tmp_path: Path) -> None:
    plain = tmp_path / "plain.template.json"
    plain.write_text(json.dumps(plain_template(TODAY)))

    assert stack.lint(plain) == ("", 0)


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
    read = {
        (name.partition("Role")[0], resolved(resource, {}).partition("/")[2])
        for name, statement in stack.statements()
        for resource in listed(statement["Resource"])
        if "s3:GetObject" in listed(statement["Action"]) and "Reports" in json.dumps(resource)
    }
    assert read == {
        ("DuplicateArtifacts", "duplicate-artifacts/listing/*"),
        ("DuplicateArtifacts", "descriptions/*"),
        ("IdleEndpoints", "descriptions/*"),
    }


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
