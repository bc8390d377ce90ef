"""Stacks are made, changed and deleted in AWS's order, and a failed one goes back."""

import io
import json
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from moto_corrections.cloudformation import NO_CHANGES
from moto_corrections.stack_types import KINDS
from plain_requests import refusal

LAMBDA = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
READS = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}],
}
ROLE = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": LAMBDA}}
NAMED_ROLE = {"Type": "AWS::IAM::Role", "Properties": {**ROLE["Properties"], "RoleName": "named"}}  # type: ignore[dict-item]
POLICY = {
    "Type": "AWS::IAM::Policy",
    "Properties": {"PolicyName": "reads", "PolicyDocument": READS, "Roles": [{"Ref": "Role"}]},
}


def function(key: str = "code.zip", **more: Any) -> dict[str, Any]:
    properties = {
        "Code": {"S3Bucket": "assets", "S3Key": key},
        "Handler": "empty.handler",
        "Role": {"Fn::GetAtt": ["Role", "Arn"]},
        "Runtime": "python3.13",
        "Environment": {"Variables": {"QUEUE": {"Ref": "Queue"}}},
        **more,
    }
    return {"Type": "AWS::Lambda::Function", "Properties": properties, "DependsOn": "Policy"}


def queue(**more: Any) -> dict[str, Any]:
    return {"Type": "AWS::SQS::Queue", "Properties": more}


def kept(name: str, type_: str, **more: Any) -> dict[str, Any]:
    policies = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}
    return {"Type": type_, "Properties": {name: "kept", **more}, **policies}


BASE: dict[str, Any] = {
    "Function": function(),  # before what it needs
    "Role": ROLE,
    "Policy": POLICY,
    "Queue": queue(MessageRetentionPeriod=60),
    "Bucket": kept("BucketName", "AWS::S3::Bucket"),
}


class Stacks:
    """Change sets of one stack, and what its events say."""

    def __init__(self, aws: Any) -> None:
        self.aws = aws
        self.own = aws("cloudformation")
        self.seen = self.sets = 0

    def propose(self, resources: dict[str, Any], *, kind: str = "UPDATE", **more: Any) -> dict[str, Any]:
        self.sets += 1
        more = {"Capabilities": ["CAPABILITY_NAMED_IAM"]} | more
        template = {"Resources": resources, **more.pop("template", {})}
        if "TemplateURL" not in more:
            more["TemplateBody"] = json.dumps(template)
        made = self.own.create_change_set(
            StackName="st", ChangeSetName=f"c{self.sets}", ChangeSetType=kind, **more
        )
        described: dict[str, Any] = self.own.describe_change_set(ChangeSetName=made["Id"])
        return described

    def deploy(self, resources: dict[str, Any], **more: Any) -> str:
        self.own.execute_change_set(
            StackName="st", ChangeSetName=self.propose(resources, **more)["ChangeSetName"]
        )
        return self.status()

    def status(self) -> str:
        (stack,) = self.own.describe_stacks(StackName="st")["Stacks"]
        return str(stack["StackStatus"])

    def events(self) -> list[str]:
        """What happened since it was asked last, without the beginnings."""
        events = self.own.describe_stack_events(StackName="st")["StackEvents"][::-1]
        new, self.seen = events[self.seen :], len(events)
        return [
            f"{event['LogicalResourceId']} {event['ResourceStatus']}"
            for event in new
            if event["LogicalResourceId"] == "st" or "PROGRESS" not in event["ResourceStatus"]
        ]

    def ids(self) -> dict[str, str]:
        listed = self.own.list_stack_resources(StackName="st")["StackResourceSummaries"]
        return {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in listed}


@pytest.fixture
def stacks(aws: Any) -> Stacks:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("empty.py", "")
    aws("s3").create_bucket(Bucket="assets")
    aws("s3").put_object(Bucket="assets", Key="code.zip", Body=packed.getvalue())
    return Stacks(aws)


def test_a_stack_is_made_changed_and_deleted_in_order(stacks: Stacks, aws: Any) -> None:
    outputs = {"Outputs": {"Queue": {"Value": {"Fn::GetAtt": ["Queue", "Arn"]}}}}
    assert stacks.deploy(BASE, kind="CREATE", template=outputs, Tags=[{"Key": "team", "Value": "ml"}]) == (
        "CREATE_COMPLETE"
    )
    first = stacks.events()
    assert first[:2] == ["st CREATE_IN_PROGRESS", first[1]]
    assert first.index("Role CREATE_COMPLETE") < first.index("Policy CREATE_COMPLETE")
    assert first[-2:] == ["Function CREATE_COMPLETE", "st CREATE_COMPLETE"]
    before = stacks.ids()
    told = aws("lambda").get_function(FunctionName=before["Function"])
    assert told["Configuration"]["Environment"]["Variables"] == {"QUEUE": before["Queue"]}
    assert told["Tags"] == {"team": "ml"}
    (stack,) = aws("cloudformation").describe_stacks(StackName="st")["Stacks"]
    assert [one["OutputValue"].rpartition(":")[2] for one in stack["Outputs"]] == [
        before["Queue"].rpartition("/")[2]
    ]

    more = {
        **{name: part for name, part in BASE.items() if name != "Bucket"},
        "Queue": queue(MessageRetentionPeriod=120, QueueName="named"),
        "Topic": {"Type": "AWS::SNS::Topic"},
        "Function": function(MemorySize=512),
    }
    said = stacks.propose(more)
    assert {
        change["LogicalResourceId"]: (change["Action"], change.get("Replacement"))
        for change in (one["ResourceChange"] for one in said["Changes"])
    } == {
        "Queue": ("Modify", "True"),
        "Function": ("Modify", "False"),
        "Topic": ("Add", None),
        "Bucket": ("Remove", None),
        "Role": ("Modify", "False"),
    }, "the tag goes from the role"
    assert stacks.deploy(more) == "UPDATE_COMPLETE"
    happened = stacks.events()
    cleaning = happened.index("st UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
    assert happened[cleaning + 1 :] == [
        "Bucket DELETE_SKIPPED",
        "Queue DELETE_COMPLETE",
        "st UPDATE_COMPLETE",
    ]
    assert happened.index("Queue UPDATE_COMPLETE") < happened.index("Function UPDATE_COMPLETE") < cleaning
    assert [one.rpartition("/")[2] for one in aws("sqs").list_queues()["QueueUrls"]] == ["named"]
    after = stacks.ids()
    assert after["Function"] == before["Function"]
    told = aws("lambda").get_function_configuration(FunctionName=after["Function"])
    assert (told["MemorySize"], told["Environment"]["Variables"]) == (512, {"QUEUE": after["Queue"]})
    assert "kept" in [one["Name"] for one in aws("s3").list_buckets()["Buckets"]]

    aws("cloudformation").delete_stack(StackName="st")
    assert not aws("sqs").list_queues().get("QueueUrls")
    assert not aws("lambda").list_functions()["Functions"]
    assert not aws("iam").list_roles()["Roles"]
    assert "Stack with id st does not exist" in refusal(stacks.status)
    aws("cloudformation").delete_stack(StackName="st")


def test_a_failed_update_goes_back_and_the_old_stack_stays(stacks: Stacks, aws: Any) -> None:
    stacks.deploy(BASE, kind="CREATE")
    stacks.events()
    before = stacks.ids()

    broken = {**BASE, "Queue": queue(MessageRetentionPeriod=90), "Topic": {"Type": "AWS::SNS::Topic"}}
    broken |= {"Role": NAMED_ROLE, "Function": function("missing.zip")}
    assert stacks.deploy(broken) == "UPDATE_ROLLBACK_COMPLETE"

    happened = stacks.events()
    failed = happened.index("Function UPDATE_FAILED")
    assert happened[failed + 1] == "st UPDATE_ROLLBACK_IN_PROGRESS"
    cleaning = happened.index("st UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
    assert {*happened[failed + 2 : cleaning]} == {
        f"{name} UPDATE_COMPLETE" for name in ("Function", "Policy", "Queue")
    }
    assert {*happened[cleaning + 1 : -1]} == {"Topic DELETE_COMPLETE", "Role DELETE_COMPLETE"}
    assert stacks.ids() == before
    attributes = aws("sqs").get_queue_attributes(QueueUrl=before["Queue"], AttributeNames=["All"])[
        "Attributes"
    ]
    assert attributes["MessageRetentionPeriod"] == "60"
    assert [role["RoleName"] for role in aws("iam").list_roles()["Roles"]] == [before["Role"]]
    assert aws("iam").list_role_policies(RoleName=before["Role"])["PolicyNames"] == ["reads"]
    assert stacks.propose(BASE)["StatusReason"] == NO_CHANGES
    assert stacks.deploy({**BASE, "Queue": queue()}) == "UPDATE_COMPLETE"


def test_a_failed_creation_is_rolled_back_but_for_what_is_retained(stacks: Stacks, aws: Any) -> None:
    assert stacks.deploy({**BASE, "Function": function("missing.zip")}, kind="CREATE") == "ROLLBACK_COMPLETE"

    assert stacks.events()[-1] == "st ROLLBACK_COMPLETE"
    assert not aws("sqs").list_queues().get("QueueUrls")
    assert "kept" in [one["Name"] for one in aws("s3").list_buckets()["Buckets"]]
    assert "is in ROLLBACK_COMPLETE state and can not be updated" in refusal(stacks.propose, BASE)
    aws("cloudformation").delete_stack(StackName="st")
    topic = {"T": {"Type": "AWS::SNS::Topic"}, "Q": queue(QueueName={"Fn::GetAtt": ["T", "Arn"]})}
    assert stacks.deploy(topic, kind="CREATE") == "ROLLBACK_COMPLETE", "a topic has no Arn"
    aws("cloudformation").delete_stack(StackName="st")
    again = stacks.deploy(BASE, kind="CREATE")
    assert again == "ROLLBACK_COMPLETE", "the bucket that stayed has the name"


def test_what_was_retained_is_taken_over(stacks: Stacks, aws: Any) -> None:
    base = {name: {**BASE[name], "DeletionPolicy": "Retain"} for name in ("Bucket", "Queue")}
    stacks.deploy(base, kind="CREATE")
    before = stacks.ids()
    aws("cloudformation").delete_stack(StackName="st")
    stacks.seen = 0
    named = {"Bucket": "BucketName", "Queue": "QueueUrl"}
    asked = [
        {
            "ResourceType": base[name]["Type"],
            "LogicalResourceId": name,
            "ResourceIdentifier": {identifier: before[name]},
        }
        for name, identifier in named.items()
    ]
    with pytest.raises(ClientError, match="you cannot modify or add"):
        stacks.propose({**base, "Topic": {"Type": "AWS::SNS::Topic"}}, kind="IMPORT", ResourcesToImport=asked)
    assert stacks.deploy(base, kind="IMPORT", ResourcesToImport=asked) == "IMPORT_COMPLETE"
    assert (stacks.ids(), stacks.events()[-1]) == (before, "st IMPORT_COMPLETE")
    assert stacks.deploy({**base, "Topic": {"Type": "AWS::SNS::Topic"}}) == "UPDATE_COMPLETE"


def test_a_change_takes_its_time_on_the_clock(stacks: Stacks, aws: Any, control: Any, later: Any) -> None:
    control.set_durations({"stack.change": 100})
    assert stacks.propose(BASE, kind="CREATE")["Status"] == "CREATE_IN_PROGRESS"
    with pytest.raises(ClientError, match=r"current execution status of \[UNAVAILABLE\]"):
        aws("cloudformation").execute_change_set(StackName="st", ChangeSetName="c1")
    later(seconds=100)
    aws("cloudformation").execute_change_set(StackName="st", ChangeSetName="c1")
    assert stacks.status() == "CREATE_IN_PROGRESS"
    assert "is in CREATE_IN_PROGRESS state and can not be updated" in refusal(stacks.propose, BASE)
    later(seconds=50)
    half = stacks.events()
    later(seconds=50)
    assert (stacks.status(), stacks.events()[-1]) == ("CREATE_COMPLETE", "st CREATE_COMPLETE")
    assert 1 < len(half) < len(BASE)
    aws("cloudformation").delete_stack(StackName="st")
    assert stacks.status() == "DELETE_IN_PROGRESS"
    later(seconds=100)
    assert "does not exist" in refusal(stacks.status)


def test_a_bucket_that_is_not_empty_stops_the_deletion(stacks: Stacks, aws: Any) -> None:
    stacks.deploy({"Bucket": {"Type": "AWS::S3::Bucket"}, "Queue": queue()}, kind="CREATE")
    aws("s3").put_object(Bucket=stacks.ids()["Bucket"], Key="a")

    aws("cloudformation").delete_stack(StackName="st")

    assert stacks.status() == "DELETE_FAILED"
    assert {"Bucket DELETE_FAILED", "Queue DELETE_COMPLETE"} <= {*stacks.events()}
    arn = stacks.own.describe_stacks(StackName="st")["Stacks"][0]["StackId"]
    aws("cloudformation").delete_stack(StackName="st", RetainResources=["Bucket"])
    told = stacks.own.describe_stack_events(StackName=arn)["StackEvents"]
    assert [one["ResourceStatus"] for one in told][:2] == ["DELETE_COMPLETE", "DELETE_IN_PROGRESS"]
    assert "does not exist" in refusal(stacks.status)


DAYS: dict[str, Any] = {"template": {"Parameters": {"Days": {"Type": "Number", "AllowedValues": [60, 90]}}}}
SEVEN: dict[str, Any] = {"Parameters": [{"ParameterKey": "Days", "ParameterValue": "7"}]}
STORED = {"Parameters": {"P": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/no"}}}
BY_NAME = {"Capabilities": ["CAPABILITY_IAM"]}
REFUSED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("Unrecognized resource types: [AWS::N", {"A": {"Type": "AWS::Nothing::Known"}}, {}),
    ("Requires capabilities : [CAPABILITY_IAM]", {"Role": ROLE}, {"Capabilities": []}),
    ("Requires capabilities : [CAPABILITY_NAMED_IAM]", {"Role": NAMED_ROLE}, BY_NAME),
    ("Parameters: [Days] must have values", {"Q": queue()}, DAYS),
    ("must be one of AllowedValues", {"Q": queue()}, DAYS | SEVEN),
    ("Parameters: [Days] do not exist in the template", {"Q": queue()}, SEVEN),
    ("Unable to fetch parameters [/no]", {"Q": queue(QueueName={"Ref": "P"})}, {"template": STORED}),
    ("Unresolved resource dependencies [Gone]", {"Q": queue(QueueName={"Ref": "Gone"})}, {}),
    (
        "Circular dependency between resources: [Q, R]",
        {"Q": queue(QueueName={"Ref": "R"}), "R": queue(QueueName={"Ref": "Q"})},
        {},
    ),
    ("less than or equal to 51200", {"Q": queue(X="x" * 51_200)}, {}),
    ("S3 error: ", {}, {"TemplateURL": "https://assets.s3.us-east-1.amazonaws.com/no"}),
    ("Stack [st] does not exist", {"Q": queue()}, {"kind": "UPDATE"}),
]


@pytest.mark.parametrize(("message", "resources", "more"), REFUSED)
def test_what_aws_refuses(
    stacks: Stacks, message: str, resources: dict[str, Any], more: dict[str, Any]
) -> None:
    said = refusal(stacks.propose, resources, **{"kind": "CREATE", **more})
    assert message in said
    assert ("InsufficientCapabilitiesException" if "apabilities" in message else "ValidationError") in said


def test_a_change_set_that_says_nothing_new_cannot_be_executed(stacks: Stacks, aws: Any) -> None:
    body = json.dumps(
        {"Resources": {"Q": queue(QueueName={"Ref": "Name"})}, "Parameters": {"Name": {"Type": "String"}}}
    )
    aws("s3").put_object(Bucket="assets", Key="t.json", Body=body)
    given: dict[str, Any] = {
        "TemplateURL": "https://assets.s3.us-east-1.amazonaws.com/t.json",
        "Parameters": [{"ParameterKey": "Name", "ParameterValue": "q"}],
    }
    assert stacks.deploy({}, kind="CREATE", **given) == "CREATE_COMPLETE"
    said = stacks.propose({}, **given)
    assert (said["Status"], said["StatusReason"]) == ("FAILED", NO_CHANGES)
    with pytest.raises(ClientError, match=r"current execution status of \[UNAVAILABLE\]") as refused:
        aws("cloudformation").execute_change_set(ChangeSetName=said["ChangeSetId"])
    assert refused.value.response["Error"]["Code"] == "InvalidChangeSetStatus"
    with pytest.raises(ClientError, match="already exists and cannot be created again"):
        stacks.propose({"Q": queue()}, kind="CREATE")
    with pytest.raises(ClientError, match="No updates are to be performed"):
        aws("cloudformation").update_stack(
            StackName="st",
            UsePreviousTemplate=True,
            Parameters=[{"ParameterKey": "Name", "UsePreviousValue": True}],
        )
    given["Parameters"] = [{"ParameterKey": "Name", "ParameterValue": "other"}]
    (change,) = stacks.propose({}, **given)["Changes"]
    assert change["ResourceChange"]["Replacement"] == "True"
    aws("cloudformation").delete_change_set(StackName="st", ChangeSetName=f"c{stacks.sets}")
    with pytest.raises(ClientError) as gone:
        aws("cloudformation").execute_change_set(StackName="st", ChangeSetName=f"c{stacks.sets}")
    assert gone.value.response["Error"]["Code"] == "ChangeSetNotFound"


def test_what_needs_a_new_resource_is_what_the_schemas_say() -> None:
    schemas = Path(str(find_spec("cfnlint").submodule_search_locations[0])) / "data/schemas"  # type: ignore[union-attr, index]
    files = json.loads((schemas / "providers/us-east-1.json").read_text())
    for type_, kind in KINDS.items():
        schema = json.loads((schemas / "resources" / f"{files[type_]}.json").read_text())
        said = {path.rpartition("/")[2] for path in schema.get("createOnlyProperties", ())}
        assert kind.fixed - {""} - {"KeySchema"} <= said, type_
        assert said - kind.fixed <= {
            *("TenancyConfig", "ImportSourceSpecification", "BucketNamePrefix", "BucketNamespace"),
            *("ResourceTags", "MonitorType", "MonitorDimension", "MonitorSpecification", "SubscriptionName"),
        }, type_
