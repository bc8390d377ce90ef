"""A synthesised stack as it would stand in the sandbox, and what each of its roles is declared to need."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import boto3

from ml_janitor.aws.client import scratch_folder
from ml_janitor.bill.reading import bill_reads, cost_explorer_reads
from ml_janitor.config.functions import ADVISERS, list_advisers
from ml_janitor.config.settings import Settings
from ml_janitor.engine.detector import OWN_ACCOUNT, Detector, Grant
from ml_janitor.ledger import uses
from ml_janitor.ledger.files import DESCRIPTIONS_KEY
from ml_janitor.scheduled.accounts import account_list_grants
from ml_janitor_sandbox.iam.conditions import arn_like
from moto_corrections.patches import backend
from synthesis import TODAY, Synthesised

# --- the template as it would stand in the sandbox ---------------------------------------------------

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
        return [self._function(name) for name in self.stack.of_type("AWS::Lambda::Function")]

    def schedule_roles(self) -> set[str]:
        schedules = self.stack.of_type("AWS::Scheduler::Schedule").values()
        return {self.resolve(one["Target"]["RoleArn"]) for one in schedules}

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
            policy = json.dumps(self.resolve(table["ResourcePolicy"]["PolicyDocument"]))
            session.client("dynamodb").put_resource_policy(ResourceArn=self.arn(name), Policy=policy)
        for name, key in self.stack.of_type("AWS::KMS::Key").items():
            if key.get("KeyUsage") == "GENERATE_VERIFY_MAC":
                self._make_key(session, name, key)
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

    def _make_key(self, session: boto3.Session, logical: str, given: Mapping[str, Any]) -> None:
        """Make an HMAC key. KMS gives it an id of its own, which here is the name of the resource instead."""
        policy = json.dumps(self.resolve(given["KeyPolicy"]))
        about: Any = {name: given[name] for name in ("KeySpec", "KeyUsage")}
        made = session.client("kms").create_key(**about, Policy=policy)["KeyMetadata"]
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


# --- what its roles need ------------------------------------------------------------------------------


class Permission(NamedTuple):
    """An action on a resource, which may hold wildcards, under conditions (operator, key, values)."""

    action: str
    resource: str
    when: frozenset[tuple[str, str, tuple[str, ...]]] = frozenset()


KEEP_TAGS = ("janitor:keep", "janitor-keep", "janitor_keep", "keep")
"""The spellings of the default keep tags that IAM is told of."""

PRICES = "pricing:GetProducts"
"""What is asked at home also of other accounts."""

type Asked = tuple[str, str]
"""An action and a resource."""


class Use(NamedTuple):
    """An action on a resource that was allowed, and by which statements of the role."""

    action: str
    resource: str
    by: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Declared:
    """All that the roles of *deployed* need, where *settings* say what is swept and armed."""

    deployed: Deployed
    settings: Settings

    def of_function(self, function: Function) -> set[Permission]:
        """For its detector to read and, if it is armed, to act; for the janitor's own; and for Lambda."""
        swept = self.settings.janitor.regions or [self.deployed.region]
        detector = self._detector(function)
        found: set[Permission] = set(self._own(function))
        if self.settings.organization.used:
            return found | set(self._through_roles(function))
        if function.name == ADVISERS:
            only = ("StringEquals", "aws:RequestedRegion", tuple(swept))
            for each in list_advisers(self.settings):
                found |= self._everywhere(each.reads, [(self.deployed.account, "*")], only)
        if detector is not None:
            found |= self._everywhere(detector.reads, [(self.deployed.account, one) for one in swept])
            if self._armed(detector):
                found |= self._everywhere(detector.acts, self._act_in(detector))
        if function.name == "digest" and self.settings.bill.enabled:
            found |= self._kept("bill/*.png", "Get")
        if function.name == "bill":
            found |= self._kept("bill/*", "Get", "Put")
            places = [(self.deployed.account, one) for one in swept]
            found |= self._everywhere(bill_reads(self.settings.bill), places)
        if function.name == "undo":
            for each in self.settings.undoable(TODAY):
                found |= self._everywhere(each.undoes, self._undo_in(each))
        return found

    def _through_roles(self, function: Function) -> Iterator[Permission]:
        """Of an organization: the roles of all accounts, and in those of `act_in` what acts and undoes."""
        path, named = f"role{self.settings.janitor.role_path}ml-janitor-member-", list[tuple[str, str]]()
        if function.name == ADVISERS:
            named.append(("*", ADVISERS))
            yield from self._kept(f"organization/{ADVISERS}/*", "Get")
            yield from self._everywhere(
                [one for each in list_advisers(self.settings) for one in each.reads if one.action == PRICES],
                (),
            )
        if (detector := self._detector(function)) is not None:
            named.append(("*", detector.name))
            if self._armed(detector):
                named += [(account, f"act-{detector.name}") for account, _ in self._act_in(detector)]
            yield from self._kept(f"organization/{detector.name}/*", "Get")
            yield from self._everywhere([one for one in detector.reads if one.action == PRICES], ())
        if function.name == "accounts":
            yield from self._kept("organization/*", "Get", "Put")
            yield from self._everywhere(account_list_grants(self.settings.organization), ())
        if function.name == "digest" and self.settings.bill.enabled:
            yield from self._kept("bill/*.png", "Get")
        if function.name == "bill":
            yield from (*self._kept("bill/*", "Get", "Put"), *self._kept("organization/*", "Get"))
            yield from self._everywhere(cost_explorer_reads(self.settings.bill), ())
            named.append(("*", "bill"))
        if function.name == "undo":
            for each in self.settings.undoable(TODAY):
                accounts = {account for account, _ in self._act_in(each)} or {"*"}
                named += [(account, f"undo-{each.name}") for account in accounts]
        organization = self.settings.organization.id
        inside = frozenset([("StringEquals", "aws:ResourceOrgID", (organization,))] if organization else [])
        for account, name in named:
            yield Permission("sts:AssumeRole", f"arn:aws:iam::{account}:{path}{name}", inside)

    def of_schedule(self, function: Function) -> set[Permission]:
        """To invoke *function*, and to leave word: the one role of all schedules has that for each."""
        assert function.schedule is not None
        return {
            Permission("lambda:InvokeFunction", function.arn),
            Permission("sqs:SendMessage", function.schedule.undelivered),
        }

    def denied(self, function: Function) -> set[Permission]:
        """What an armed role must not do to a resource with a keep tag, whatever else allows it."""
        detector = self._detector(function)
        if detector is None or not self._armed(detector) or self.settings.organization.used:
            return set()
        return {
            Permission(
                grant.action,
                "*",
                frozenset(
                    {
                        ("Null", f"aws:ResourceTag/{tag}", ("false",)),
                        ("StringNotEqualsIgnoreCase", f"aws:ResourceTag/{tag}", ("0", "false", "no", "off")),
                    }
                ),
            )
            for grant in detector.acts
            if not grant.action.partition(":")[2].startswith(("Describe", "Get", "List"))
            for tag in KEEP_TAGS
        }

    def _detector(self, function: Function) -> Detector[Any] | None:
        return next((one for one in self.settings.enabled() if one.name == function.name), None)

    def _armed(self, detector: Detector[Any]) -> bool:
        return detector.name in {one.name for one in self.settings.armed()}

    def _act_in(self, detector: Detector[Any]) -> list[tuple[str, str]]:
        """Accounts and regions; an account alone is all its regions that are swept."""
        swept = self.settings.janitor.regions or [self.deployed.region]
        found = []
        for place in self.settings.arming(type(detector)).act_in:
            account, _, region = place.partition("/")
            found += [(account, one) for one in ([region] if region else swept)]
        return found

    def _undo_in(self, detector: Detector[Any]) -> list[tuple[str, str]]:
        """Where it may act, and what else is swept of those accounts: `act_in` may have named it lately."""
        swept = self.settings.janitor.regions or [self.deployed.region]
        acting = self._act_in(detector)
        accounts = {account for account, _ in acting} or {self.deployed.account}
        return [*acting, *((account, region) for account in accounts for region in swept)]

    def _everywhere(
        self,
        grants: Iterable[Grant],
        places: Sequence[tuple[str, str]],
        *only: tuple[str, str, tuple[str, ...]],
    ) -> set[Permission]:
        """*grants* with whole ARNs: in every place, unless they name none, and *only* under a condition."""
        found = set()
        for grant in grants:
            when = frozenset(
                (one.operator, one.key, tuple(map(self._here, one.values))) for one in grant.when
            )
            service = grant.action.partition(":")[0]
            whole = grant.on == "*" or grant.on.startswith("arn:")
            resources = (
                [self._here(grant.on)]
                if whole
                else [f"arn:aws:{service}:{region}:{account}:{grant.on}" for account, region in places]
            )
            when = when if whole else when | {*only}
            found |= {Permission(grant.action, resource, when) for resource in resources}
        return found

    def _here(self, text: str) -> str:
        """*text* with this account in place of its name in grants."""
        return re.sub(f"^{OWN_ACCOUNT}$|(?<=:){OWN_ACCOUNT}(?=:)", self.deployed.account, text)

    def _kept(self, under: str, *verbs: str) -> set[Permission]:
        """What is in the report bucket of this account."""
        own = frozenset({("StringEquals", "aws:ResourceAccount", (self.deployed.account,))})
        return {
            Permission(f"s3:{verb}Object", f"{self.deployed.one('AWS::S3::Bucket')}/{under}", own)
            for verb in verbs
        }

    def _own(self, function: Function) -> Iterator[Permission]:
        """The ledger, reports, secrets of Slack's, whom it invokes; its log and any queue are Lambda's."""
        where, section = f"{self.deployed.region}:{self.deployed.account}", self.settings.janitor
        detector = self._detector(function)
        yield from self._everywhere(self._of_ledger(function), ())
        for action, key in self._signing(function, detector):
            yield Permission(f"kms:{action}", self.deployed.signing_keys()[key])
        for each in (
            list_advisers(self.settings) if function.name == ADVISERS else [detector] if detector else []
        ):
            yield from self._keeps(each)
        if function.name == "digest" and self.settings.organization.used:
            yield from self._kept("organization/*", "Get")
        secrets = {
            "interact": (section.slack_signing_secret,),
            "pressed": (section.slack_secret, section.slack_signing_secret),
        }.get(function.name, (section.slack_secret,))
        for secret in secrets if function.name != "accounts" else ():
            yield Permission(
                "secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:{where}:secret:{secret}-??????"
            )
        going_on = {ADVISERS, *(detector.name for detector in self.settings.enabled() if detector.resumes)}
        if function.name in going_on and not self.settings.organization.used:  # the next part
            yield Permission("lambda:InvokeFunction", function.arn)
        for invoked in self._invoked(function):
            yield Permission("lambda:InvokeFunction", invoked)
        for action in ("CreateLogStream", "PutLogEvents"):
            yield Permission(f"logs:{action}", f"arn:aws:logs:{where}:log-group:{function.log_group}:*")
        if function.failed is not None:
            yield Permission("sqs:SendMessage", function.failed)

    def _signing(self, function: Function, detector: Detector[Any] | None) -> Iterator[tuple[str, str]]:
        """Who acts signs records, who undoes the progress, and who asks the request; all verify."""
        undoable = {each.name for each in self.settings.undoable(TODAY)}
        name = "undoable" if function.name in undoable else function.name
        if undoable and name in {"undoable", "undo", "pressed", "digest", "bill"}:
            yield from (("VerifyMac", key) for key in ("UndoRecordKey", "UndoProgressKey"))
        if detector is not None and self._armed(detector):
            yield "GenerateMac", "UndoRecordKey"
        if undoable and name in {"undoable", "undo", "pressed"}:
            yield "VerifyMac", "RequestKey"
        if undoable and name in {"undoable", "pressed"}:
            yield "GenerateMac", "RequestKey"
        if name == "undo":
            yield "GenerateMac", "UndoProgressKey"

    def _keeps(self, detector: Detector[Any]) -> Iterator[Permission]:
        """Its reports, and files of one run that the next one reads, as the ledger names them."""
        yield from self._kept(f"{detector.name}/*", "Put")
        if detector.keeps_files:
            yield from self._kept(f"{scratch_folder(detector.name)}*", "Get")
        if detector.keeps_descriptions:
            yield from self._kept(f"{DESCRIPTIONS_KEY}/*", "Get", "Put")

    def _of_ledger(self, function: Function) -> tuple[Grant, ...]:
        if function.name == ADVISERS:
            several = self.settings.organization.used
            every = (
                uses.sweep_uses(one, armed=False, organization=several)
                for one in list_advisers(self.settings)
            )
            return uses.merged_table_grants(every, self.deployed.one("AWS::DynamoDB::Table"))
        if (detector := self._detector(function)) is not None:
            several = self.settings.organization.used
            used = uses.sweep_uses(detector, armed=self._armed(detector), organization=several)
        else:
            used = {
                "digest": uses.digest_uses(
                    bill=self.settings.bill.enabled, organization=self.settings.organization.used
                ),
                "accounts": uses.accounts_uses(),
                "bill": uses.bill_uses(organization=self.settings.organization.used),
                "undo": uses.undo_uses(),
                "pressed": uses.press_uses(),
            }.get(function.name, {})
        return uses.table_grants(used, self.deployed.one("AWS::DynamoDB::Table"))

    def _invoked(self, function: Function) -> list[str]:
        by_name = {one.name: one.arn for one in self.deployed.functions()}
        armed = [detector.name for detector in self.settings.armed()]
        if function.name in {detector.name for detector in self.settings.undoable(TODAY)}:
            return [by_name["undo"]]
        return [
            by_name[name]
            for name in {"pressed": ["undo", *armed], "interact": ["pressed"]}.get(function.name, ())
        ]


def statements(role: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [one for document in role["policies"] for one in document["Statement"]]


def granted(role: Mapping[str, Any], effect: str = "Allow") -> set[Permission]:
    """Every permission that a role's policies allow, or deny. Raises ValueError for another form."""
    return {
        permission
        for statement in statements(role)
        for permission in granted_by(statement)
        if statement["Effect"] == effect
    }


def granted_by(statement: Mapping[str, Any]) -> set[Permission]:
    """Every permission of one statement. Raises ValueError for another form."""
    if set(statement) - {"Sid", "Condition"} != {"Action", "Effect", "Resource"}:
        raise ValueError(f"not what this reads: {statement}")
    when = frozenset(
        (operator, key, tuple(listed(values)))
        for operator, pairs in statement.get("Condition", {}).items()
        for key, values in pairs.items()
    )
    return {
        Permission(action, resource, when)
        for action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
    }


def without(role: Mapping[str, Any], statement: dict[str, Any]) -> dict[str, Any]:
    """The role with one statement less; a policy cannot be empty."""
    left = [
        document | {"Statement": [one for one in document["Statement"] if one != statement]}
        for document in role["policies"]
    ]
    return {**role, "policies": [document for document in left if document["Statement"]]}


def used(role: Mapping[str, Any], use: Use) -> list[Permission]:
    """The permissions of a role that *use* is made of: those of the statements that let it through."""
    numbered = statements(role)
    return [
        permission
        for number in use.by
        for permission in granted_by(numbered[number])
        if covers(permission, (use.action, use.resource))
    ]


def covers(permission: Permission, asked: Asked) -> bool:
    """Whether it is for what was asked; * is for actions that have no resources, and for nothing else."""
    wanted, resource = asked
    whole = permission.resource == "*"
    return permission.action == wanted and (
        resource == "*" if whole else arn_like(permission.resource, resource)
    )


def listed(value: Any) -> list[Any]:
    """IAM writes a list of one as that one."""
    return value if isinstance(value, list) else [value]
