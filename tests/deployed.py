"""The synthesised stack as it would stand in the sandbox: names and ARNs, roles, and what it owns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import boto3

from moto_corrections.patches import backend
from synthesis import Synthesised

STACK = "Test"

type Resolve = Callable[[Any], Any]
type RoleOfSandbox = dict[str, Any]
"""A role as `IamControl.enforce` takes it: its policies and its trust."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What invokes a function: the role it does so under, and where what it could not deliver goes."""

    role: str
    undelivered: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """
    A function of the stack, its role and its schedule, and where its log and its failed events go.

    *failed* is None where nothing is retried or kept: somebody waits for the answer.
    """

    id: str
    arn: str
    role: str
    handler: str
    environment: Mapping[str, str]
    log_group: str
    failed: str | None
    schedule: Schedule | None

    @property
    def name(self) -> str:
        """That of its detector or its handler: what its items in the ledger are called after."""
        return self.environment.get("JANITOR_DETECTOR", self.handler.rpartition(".")[2])


@dataclass(frozen=True, slots=True)
class Deployed:
    """A template in one account and region; every resource is called after its logical id."""

    stack: Synthesised
    account: str
    region: str
    partition: str = "aws"

    def functions(self) -> list[Function]:
        """All functions."""
        return [self._function(name) for name in self.stack.of_type("AWS::Lambda::Function")]

    def roles(self) -> dict[str, RoleOfSandbox]:
        """
        Every role by ARN, with exactly its policies and its trust.

        The sandbox judges no permissions boundary, which only ever takes away: it is left out.
        """
        roles: dict[str, RoleOfSandbox] = {}
        for name, properties in self.stack.of_type("AWS::IAM::Role").items():
            if "ManagedPolicyArns" in properties:
                raise NotImplementedError(f"{name} has policies besides its own")
            documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
            roles[self.arn(name)] = {
                "policies": [self.resolve(document) for document in documents],
                "trust": self.resolve(properties["AssumeRolePolicyDocument"]),
            }
        for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):  # CDK makes those of what is too long
            for policy in self.stack.of_type(kind).values():
                self._attach(policy, roles)
        return roles

    def create(self, session: boto3.Session, **secrets: str) -> None:
        """Make what the functions need of the stack, and the *secrets* by name, which are an operator's."""
        for name, table in self.stack.of_type("AWS::DynamoDB::Table").items():
            session.client("dynamodb").create_table(
                TableName=self.name(name),
                KeySchema=table["KeySchema"],
                AttributeDefinitions=table["AttributeDefinitions"],
                BillingMode=table["BillingMode"],
            )
        for name, key in self.stack.of_type("AWS::KMS::Key").items():
            if key.get("KeyUsage") == "GENERATE_VERIFY_MAC":
                self._make_key(session, name, key["KeySpec"])
        for name in self.stack.of_type("AWS::S3::Bucket"):
            session.client("s3").create_bucket(Bucket=self.name(name))
        for name in self.stack.of_type("AWS::SQS::Queue"):
            session.client("sqs").create_queue(QueueName=self.name(name))
        for name in self.stack.of_type("AWS::Logs::LogGroup"):
            session.client("logs").create_log_group(logGroupName=self.name(name))
        for name, value in secrets.items():
            session.client("secretsmanager").create_secret(Name=name, SecretString=value)

    def one(self, kind: str) -> str:
        """The ARN of the one resource of a type, such as the table."""
        (name,) = self.stack.of_type(kind)
        return self.arn(name)

    def signing_keys(self) -> dict[str, str]:
        """The ARNs of the keys that sign, by the beginning of their logical ids."""
        keys = self.stack.of_type("AWS::KMS::Key")
        return {
            name[:-8]: self.arn(name)
            for name, key in keys.items()
            if key.get("KeyUsage") == "GENERATE_VERIFY_MAC"
        }

    def resolve(self, value: Any) -> Any:
        """*value* with its intrinsic functions replaced. Raises KeyError for one that is not known here."""
        if isinstance(value, list):
            return [self.resolve(one) for one in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1 and (name := next(iter(value))) and (name == "Ref" or name.startswith("Fn::")):
            intrinsics: dict[str, Resolve] = {
                "Ref": self._ref,
                "Fn::GetAtt": self._attribute,
                "Fn::Join": lambda joined: joined[0].join(self.resolve(joined[1])),
            }
            return intrinsics[name](value[name])
        return {key: self.resolve(one) for key, one in value.items()}

    def name(self, logical: str) -> str:
        """The name of a resource; buckets have no capital letters."""
        fixed = self.stack.template["Resources"][logical].get("Properties", {}).get("RoleName")
        name = fixed or f"{STACK}-{logical}"
        return name.lower() if self._type(logical) == "AWS::S3::Bucket" else name

    def arn(self, logical: str) -> str:
        """What `Fn::GetAtt` of Arn answers. Raises KeyError for a type that is not known here."""
        where = f"{self.region}:{self.account}"
        role_path = self.stack.template["Resources"][logical].get("Properties", {}).get("Path", "/")
        path = {
            "AWS::DynamoDB::Table": f"dynamodb:{where}:table/",
            "AWS::IAM::Role": f"iam::{self.account}:role{role_path}",
            "AWS::KMS::Key": f"kms:{where}:key/",
            "AWS::Lambda::Function": f"lambda:{where}:function:",
            "AWS::Logs::LogGroup": f"logs:{where}:log-group:",
            "AWS::S3::Bucket": "s3:::",
            "AWS::SNS::Topic": f"sns:{where}:",
            "AWS::SQS::Queue": f"sqs:{where}:",
            "AWS::StepFunctions::StateMachine": f"states:{where}:stateMachine:",
        }[self._type(logical)]
        # That of a log group ends so (CloudFormation's reference of AWS::Logs::LogGroup, "Return values").
        end = ":*" if self._type(logical) == "AWS::Logs::LogGroup" else ""
        return f"arn:{self.partition}:{path}{self.name(logical)}{end}"

    def _make_key(self, session: boto3.Session, logical: str, spec: Any) -> None:
        """Make an HMAC key. KMS gives it an id of its own, which here is the name of the resource instead."""
        made = session.client("kms").create_key(KeySpec=spec, KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]
        keys = backend("kms", self.account, self.region).keys
        key = keys[self.name(logical)] = keys.pop(made["KeyId"])
        key.id, key.arn = self.name(logical), self.arn(logical)

    def _attach(self, policy: dict[str, Any], roles: dict[str, RoleOfSandbox]) -> None:
        for role in policy["Roles"]:
            roles[self.arn(role["Ref"])]["policies"].append(self.resolve(policy["PolicyDocument"]))

    def _function(self, logical: str) -> Function:
        properties = self.stack.of_type("AWS::Lambda::Function")[logical]
        failing = self._pointing_at(logical, "AWS::Lambda::EventInvokeConfig", "FunctionName")
        schedules = self._pointing_at(logical, "AWS::Scheduler::Schedule", "Target", "Arn")
        return Function(
            id=logical,
            arn=self.arn(logical),
            role=self.resolve(properties["Role"]),
            handler=properties["Handler"],
            environment=self.resolve(properties["Environment"]["Variables"]),
            log_group=self.resolve(properties["LoggingConfig"]["LogGroup"]),
            failed=self.resolve(failing[0]["DestinationConfig"]["OnFailure"]["Destination"])
            if failing
            else None,
            schedule=self._schedule(schedules[0]["Target"]) if schedules else None,
        )

    def _schedule(self, target: dict[str, Any]) -> Schedule:
        return Schedule(
            role=self.resolve(target["RoleArn"]), undelivered=self.resolve(target["DeadLetterConfig"]["Arn"])
        )

    def _pointing_at(self, logical: str, kind: str, *path: str) -> list[dict[str, Any]]:
        """The resources of a type that refer to *logical* at *path* of their properties."""

        def refers(properties: Any) -> bool:
            for member in path:
                properties = properties[member]
            return properties in ({"Ref": logical}, {"Fn::GetAtt": [logical, "Arn"]})

        return [each for each in self.stack.of_type(kind).values() if refers(each)]

    def _type(self, logical: str) -> str:
        return str(self.stack.template["Resources"][logical]["Type"])

    def _ref(self, name: str) -> str:
        pseudo = {
            "AWS::AccountId": self.account,
            "AWS::Partition": self.partition,
            "AWS::Region": self.region,
            "AWS::StackName": STACK,
            "AWS::URLSuffix": "amazonaws.com",
        }
        if name.startswith("AWS::"):
            return pseudo[name]
        return self.arn(name) if self._type(name) == "AWS::StepFunctions::StateMachine" else self.name(name)

    def _attribute(self, of: list[str]) -> str:
        logical, attribute = of
        return {"Arn": self.arn, "Name": self.name}[attribute](logical)
