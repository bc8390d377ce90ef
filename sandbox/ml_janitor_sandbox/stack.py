"""A maker of a synthesised template in the sandbox: enough of CloudFormation for the stack of infra/.

Every resource that somebody looks at or calls is made through its own service; what only grants or
draws something (policies, a dashboard) is listed without being made.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import boto3

from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import REGION, SECRET
from ml_janitor_sandbox.slack import TOKEN
from ml_janitor_sandbox.wire import ACCOUNT

NAME = "MlJanitor"
PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackName": NAME,
    "AWS::URLSuffix": "amazonaws.com",
}

type Physical = tuple[str, Mapping[str, str]]
"""A physical id, which is what Ref gives, and the attributes that Fn::GetAtt does."""


def deploy(url: str, template: Mapping[str, Any], *, secret: str = TOKEN) -> dict[str, str]:
    """
    Make *template* in the sandbox at *url*, and the secret beside it; physical ids by logical id.

    Names that CloudFormation would make differ from the logical ids, as there.
    """
    resources: Mapping[str, Any] = template["Resources"]
    maker = Maker(url, resources)
    for logical in resources:
        maker.physical(logical)
    maker.client("secretsmanager").create_secret(Name=SECRET, SecretString=secret)
    listed = [
        {"logical": logical, "physical": maker.physical(logical)[0], "type": resource["Type"]}
        for logical, resource in resources.items()
    ]
    Control(url).stack(NAME, listed)
    return {resource["logical"]: resource["physical"] for resource in listed}


class Maker:
    """A maker of each resource once, and of what it refers to before it."""

    def __init__(self, url: str, resources: Mapping[str, Any]) -> None:
        self._url = url
        self._resources = resources
        self._session = boto3.Session("AKIASANDBOX", "sandbox", region_name=REGION)
        self._clients: dict[str, Any] = {}
        self._created: dict[str, Physical] = {}
        self._makers: Mapping[str, Callable[[str, Any], Physical]] = {
            "AWS::CloudWatch::Alarm": self._alarm,
            "AWS::DynamoDB::Table": self._table,
            "AWS::IAM::Role": self._role,
            "AWS::KMS::Key": self._key,
            "AWS::Lambda::Function": self._function,
            "AWS::Logs::LogGroup": self._log_group,
            "AWS::S3::Bucket": self._bucket,
            "AWS::SNS::Topic": self._topic,
            "AWS::SQS::Queue": self._queue,
            "AWS::Scheduler::Schedule": self._schedule,
            "AWS::StepFunctions::StateMachine": self._state_machine,
        }

    def client(self, service: str) -> Any:
        """Return the client of *service* in the sandbox."""
        if service not in self._clients:
            client = self._session.client(service, endpoint_url=self._url)  # type: ignore[call-overload]
            self._clients[service] = client
        return self._clients[service]

    def physical(self, logical: str) -> Physical:
        """Return one resource; make it if it was not yet."""
        if logical not in self._created:
            resource = self._resources[logical]
            name = f"{NAME}-{logical}-{len(self._created):04X}"
            make = self._makers.get(resource["Type"])
            properties = self._resolved(resource.get("Properties", {})) if make else {}
            self._created[logical] = make(name, properties) if make else (name, {})
        return self._created[logical]

    def _resolved(self, value: Any) -> Any:
        """Return *value* without intrinsic functions."""
        match value:
            case {"Ref": str(name)}:
                return PSEUDO[name] if name in PSEUDO else self.physical(name)[0]
            case {"Fn::GetAtt": [logical, attribute]}:
                return self.physical(logical)[1][attribute]
            case {"Fn::Join": [separator, parts]}:
                return separator.join(self._resolved(part) for part in parts)
            case dict():
                return {key: self._resolved(item) for key, item in value.items()}
            case list():
                return [self._resolved(item) for item in value]
            case _:
                return value

    def _alarm(self, name: str, properties: Any) -> Physical:
        self.client("cloudwatch").put_metric_alarm(AlarmName=name, **properties)
        return name, {}

    def _table(self, name: str, properties: Any) -> Physical:
        self.client("dynamodb").create_table(
            TableName=name,
            KeySchema=properties["KeySchema"],
            AttributeDefinitions=properties["AttributeDefinitions"],
            BillingMode=properties["BillingMode"],
        )
        arn = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}"
        policy = json.dumps(properties["ResourcePolicy"]["PolicyDocument"])
        self.client("dynamodb").put_resource_policy(ResourceArn=arn, Policy=policy)
        return name, {"Arn": arn}

    def _role(self, name: str, properties: Any) -> Physical:
        name = name[:64]
        trusted = json.dumps(properties["AssumeRolePolicyDocument"])
        role = self.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trusted)["Role"]
        return name, {"Arn": role["Arn"]}

    def _function(self, name: str, properties: Any) -> Physical:
        name = name[:64]
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("empty.py", "")
        later = {"Code", "RecursiveLoop", "ReservedConcurrentExecutions"}
        given = {key: value for key, value in properties.items() if key not in later}
        client = self.client("lambda")
        function = client.create_function(FunctionName=name, Code={"ZipFile": packed.getvalue()}, **given)
        if (reserved := properties.get("ReservedConcurrentExecutions")) is not None:
            client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=reserved)
        return name, {"Arn": function["FunctionArn"]}

    def _key(self, _: str, properties: Any) -> Physical:
        about = {name: properties[name] for name in ("KeySpec", "KeyUsage") if name in properties}
        policy = json.dumps(properties["KeyPolicy"])
        described = self.client("kms").create_key(Policy=policy, **about)["KeyMetadata"]
        return described["KeyId"], {"Arn": described["Arn"]}

    def _log_group(self, name: str, properties: Any) -> Physical:
        logs = self.client("logs")
        logs.create_log_group(logGroupName=name)
        logs.put_retention_policy(logGroupName=name, retentionInDays=properties["RetentionInDays"])
        return name, {"Arn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}:*"}

    def _bucket(self, name: str, _: Any) -> Physical:
        name = name.lower()[:63]
        self.client("s3").create_bucket(Bucket=name)
        return name, {"Arn": f"arn:aws:s3:::{name}"}

    def _topic(self, name: str, _: Any) -> Physical:
        arn = self.client("sns").create_topic(Name=name)["TopicArn"]
        return arn, {"TopicName": name, "TopicArn": arn}

    def _queue(self, name: str, _: Any) -> Physical:
        url = self.client("sqs").create_queue(QueueName=name[:80])["QueueUrl"]
        return url, {"Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name[:80]}", "QueueName": name[:80]}

    def _schedule(self, name: str, properties: Any) -> Physical:
        name = name[:64]
        self.client("scheduler").create_schedule(Name=name, **properties)
        return name, {}

    def _state_machine(self, name: str, properties: Any) -> Physical:
        made = self.client("stepfunctions").create_state_machine(
            name=name[:80], definition=properties["DefinitionString"], roleArn=properties["RoleArn"]
        )
        return made["stateMachineArn"], {"Arn": made["stateMachineArn"], "Name": name[:80]}
