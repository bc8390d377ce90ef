"""The synthesised stack as it would stand in the sandbox: names and ARNs, roles, and what it owns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import boto3

from synthesis import Synthesised

STACK = "Test"

type Resolve = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the stack: the role it runs under, and what it finds in its environment."""

    id: str
    role: str
    handler: str
    environment: Mapping[str, str]

    @property
    def detector(self) -> str | None:
        return self.environment.get("JANITOR_DETECTOR")


@dataclass(frozen=True, slots=True)
class Deployed:
    """A template in one account and region; every resource is called after its logical id."""

    stack: Synthesised
    account: str
    region: str
    partition: str = "aws"

    def functions(self) -> list[Function]:
        """All functions."""
        return [
            Function(
                id=name,
                role=self.resolve(properties["Role"]),
                handler=properties["Handler"],
                environment=self.resolve(properties["Environment"]["Variables"]),
            )
            for name, properties in self.stack.of_type("AWS::Lambda::Function").items()
        ]

    def roles(self) -> dict[str, dict[str, Any]]:
        """Every role by ARN with exactly its policies and its trust, as `IamControl.enforce` takes them."""
        roles: dict[str, dict[str, Any]] = {
            self.arn(name): {
                "policies": [
                    self.resolve(policy["PolicyDocument"]) for policy in properties.get("Policies", [])
                ],
                "trust": self.resolve(properties["AssumeRolePolicyDocument"]),
            }
            for name, properties in self.stack.of_type("AWS::IAM::Role").items()
        }
        for policy in self.stack.of_type("AWS::IAM::Policy").values():
            for role in policy["Roles"]:
                roles[self.arn(role["Ref"])]["policies"].append(self.resolve(policy["PolicyDocument"]))
        return roles

    def create(self, session: boto3.Session, *, secret: str, token: str) -> None:
        """Make what the functions need of the stack, and the secret, which is an operator's."""
        for name, table in self.stack.of_type("AWS::DynamoDB::GlobalTable").items():
            session.client("dynamodb").create_table(
                TableName=self.name(name),
                KeySchema=table["KeySchema"],
                AttributeDefinitions=table["AttributeDefinitions"],
                BillingMode=table["BillingMode"],
            )
        for name in self.stack.of_type("AWS::S3::Bucket"):
            session.client("s3").create_bucket(Bucket=self.name(name))
        session.client("secretsmanager").create_secret(Name=secret, SecretString=token)

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
        name = f"{STACK}-{logical}"
        return name.lower() if self._type(logical) == "AWS::S3::Bucket" else name

    def arn(self, logical: str) -> str:
        """What `Fn::GetAtt` of Arn answers. Raises KeyError for a type that is not known here."""
        where = f"{self.region}:{self.account}"
        path = {
            "AWS::DynamoDB::GlobalTable": f"dynamodb:{where}:table/",
            "AWS::IAM::Role": f"iam::{self.account}:role/",
            "AWS::Lambda::Function": f"lambda:{where}:function:",
            "AWS::Logs::LogGroup": f"logs:{where}:log-group:",
            "AWS::S3::Bucket": "s3:::",
            "AWS::SNS::Topic": f"sns:{where}:",
            "AWS::SQS::Queue": f"sqs:{where}:",
        }[self._type(logical)]
        # That of a log group ends so (CloudFormation's reference of AWS::Logs::LogGroup, "Return values").
        end = ":*" if self._type(logical) == "AWS::Logs::LogGroup" else ""
        return f"arn:{self.partition}:{path}{self.name(logical)}{end}"

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
        return pseudo[name] if name.startswith("AWS::") else self.name(name)

    def _attribute(self, of: list[str]) -> str:
        logical, attribute = of
        return {"Arn": self.arn}[attribute](logical)
