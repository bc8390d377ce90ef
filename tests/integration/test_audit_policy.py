"""`janitor doctor --policy` as a document; `test_permissions.py` audits under it."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from commands import Janitor, refused
from conftest import REGION
from declared import granted
from ml_janitor.engine.detector import Condition, allow, in_own_buckets
from ml_janitor_cli import doctor
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.demo.storage import MODEL_BUCKET
from permission_scenarios import WITH_CONTENTS, Person


@pytest.fixture
def person(box: Control, janitor: Janitor, monkeypatch: pytest.MonkeyPatch) -> Person:
    return Person(box, janitor, monkeypatch)


def test_contents_are_in_it_only_where_the_settings_name_them(person: Person) -> None:
    closed = person.prints()
    (opened,) = person.prints("duplicate-artifacts", *WITH_CONTENTS)

    statements = [one for each in closed for one in each["Statement"]]
    assert "s3:GetObject" not in {action for one in statements for action in one["Action"]}
    assert "kms:" not in json.dumps(closed)
    (reading,) = [one for one in opened["Statement"] if "s3:GetObject" in one["Action"]]
    assert reading["Resource"] == [f"arn:aws:s3:::{MODEL_BUCKET}/*", "arn:aws:s3:::rare-encrypted/*"]
    (decrypting,) = [one for one in opened["Statement"] if "kms:Decrypt" in one["Action"]]
    assert decrypting["Resource"] == [f"arn:aws:kms:{REGION}:*:key/*"]
    assert set(decrypting["Condition"]) == {"StringLike", "ArnLike"}


EIGHT = sorted(boto3.Session().get_available_regions("sagemaker"))[:8]

MANY = f"duplicate-artifacts.read_contents_in={json.dumps([f'{"b" * 55}-{n:04}' for n in range(100)])}"
"""Buckets whose names alone are over every limit."""

SOME = f"duplicate-artifacts.read_contents_in={json.dumps([f'{"b" * 55}-{n:04}' for n in range(15)])}"
"""Buckets whose names a role takes inline."""


@pytest.fixture
def iam(session: boto3.Session) -> Any:
    """IAM with a role ROLE, for an administrator; a `Person` has no credentials in the environment."""
    client = session.client("iam")
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    client.create_role(RoleName="ROLE", AssumeRolePolicyDocument=trust)
    return client


def run_in_shell(text: str) -> str:
    """Return what the lines of *text*, which are commands, print."""
    ran = subprocess.run(["bash", "-ec", text], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize(
    "regions",
    [
        [],
        ["eu-west-1"],
        EIGHT,
        ["all"],
    ],
)
def test_the_policy_of_the_defaults_is_one_that_iam_takes(
    person: Person, iam: Any, regions: list[str]
) -> None:
    (whole,) = person.prints(*(f"--region={region}" for region in regions))

    iam.create_policy(PolicyName="audit", PolicyDocument=json.dumps(whole))
    limited = {
        region
        for statement in whole["Statement"]
        for region in statement.get("Condition", {}).get("StringEquals", {}).get("aws:RequestedRegion", ())
    }
    assert limited == (set(regions) if len(regions) > 1 else set())


@pytest.mark.skipif(shutil.which("aws") is None, reason="needs the AWS CLI")
def test_what_a_role_takes_inline_alone_is_printed_with_the_command_that_it_takes(
    person: Person, iam: Any, tmp_path: Path
) -> None:
    ran = person.janitor("doctor", "--policy", "--set", SOME)
    (tmp_path / "audit-policy.json").write_text(ran.out)

    with pytest.raises(ClientError, match="PolicySize"):
        iam.create_policy(PolicyName="audit", PolicyDocument=ran.out)
    (command,) = re.findall("aws iam put-role-policy .*", ran.err)
    run_in_shell(command)

    (name,) = iam.list_role_policies(RoleName="ROLE")["PolicyNames"]
    held = iam.get_role_policy(RoleName="ROLE", PolicyName=name)["PolicyDocument"]
    assert held == ran.document


@pytest.mark.skipif(shutil.which("aws") is None, reason="needs the AWS CLI")
@pytest.mark.parametrize(("asked", "files"), [(SOME, 2), (MANY, 7), ("idle-endpoints.window=7d", 1)])
def test_the_commands_below_the_files_attach_all_of_the_policy(
    person: Person, iam: Any, asked: str, files: int
) -> None:
    ran = person.janitor("doctor", "--policy-file", "my policy.json", "--set", asked)
    wrote, *commands = ran.out.splitlines()
    run_in_shell("\n".join(commands))

    assert wrote.count("my policy") == files
    held = iam.list_attached_role_policies(RoleName="ROLE")["AttachedPolicies"]
    documents = [
        iam.get_policy_version(PolicyArn=policy["PolicyArn"], VersionId="v1")["PolicyVersion"]["Document"]
        for policy in held
    ]
    assert len(documents) == files
    whole = granted({"policies": documents})
    buckets = {arn.rpartition(":")[2] for arn in re.findall(r"arn:aws:s3:::b+-[0-9]+", json.dumps(documents))}
    read = {one.resource.rpartition(":")[2][:-2] for one in whole if one.action == "s3:GetObject"}
    decrypted = {
        value.rpartition(":")[2].partition("/")[0]
        for one in whole
        for _, key, values in one.when
        if key == "kms:EncryptionContext:aws:s3:arn"
        for value in values
    }
    assert read == decrypted == buckets == set(re.findall("b+-[0-9]{4}", asked))


def test_no_document_is_printed_that_iam_does_not_take(person: Person) -> None:
    told = refused(person.janitor("doctor", "--policy", "--set", MANY))

    assert "--policy-file audit-policy.json" in told


def test_a_statement_that_is_over_the_limit_itself_is_divided() -> None:
    grants = [allow("s3:GetObject", on=f"arn:aws:s3:::{'b' * 60}-{number}/*") for number in range(200)]

    made = doctor.divide_policy(doctor.audit_statements(grants, {"eu-west-1": "aws"}))

    assert all(doctor.policy_size(one) <= doctor.MANAGED_POLICY_LIMIT for one in made)
    on = [arn for one in made for each in one["Statement"] for arn in each["Resource"]]
    assert sorted(on) == sorted(grant.on for grant in grants)


def test_contents_of_named_buckets_are_never_those_of_all() -> None:
    """Only statements of whole kinds are joined: one of named resources would grow to those of others."""
    grants = [
        allow("s3:GetObject", on="arn:aws:s3:::m/*"),
        allow("s3:ListBucket", on="arn:aws:s3:::*"),
        allow("athena:GetWorkGroup", on="workgroup/w"),
        allow("athena:ListWorkGroups", on="workgroup/*"),
    ]

    made = granted(
        {"policies": [doctor.policy_document(list(doctor.audit_statements(grants, {"r": "aws"})))]}
    )

    assert {(one.action, one.resource.rpartition(":")[2]) for one in made} == {
        ("s3:GetObject", "m/*"),
        ("s3:ListBucket", "*"),
        ("athena:GetWorkGroup", "workgroup/w"),
        ("athena:ListWorkGroups", "workgroup/*"),
    }


def test_another_partition() -> None:
    when = (Condition("ArnLike", "kms:EncryptionContext:aws:s3:arn", ("arn:aws:s3:::m/*",)),)
    grants = [allow("s3:GetObject", on="arn:aws:s3:::m/*"), allow("kms:Decrypt", on="key/*", when=when)]

    made = doctor.policy_document(list(doctor.audit_statements(grants, {"cn-north-1": "aws-cn"})))

    assert [one["Resource"] for one in made["Statement"]] == [
        ["arn:aws-cn:kms:cn-north-1:*:key/*"],
        ["arn:aws-cn:s3:::m/*"],
    ]
    assert made["Statement"][0]["Condition"] == {
        "ArnLike": {"kms:EncryptionContext:aws:s3:arn": ["arn:aws-cn:s3:::m/*"]}
    }


def test_an_action_limited_to_own_buckets_by_one_detector_alone_is_allowed_once() -> None:
    everywhere = allow("s3:ListBucket", on="arn:aws:s3:::*")

    made = list(doctor.audit_statements([everywhere, *in_own_buckets([everywhere])], {"eu-west-1": "aws"}))

    assert made == [{"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": ["arn:aws:s3:::*"]}]
