"""`janitor doctor --policy` as a document; `test_permissions.py` audits under it."""

import json

import pytest

from commands import Janitor
from conftest import REGION
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


def test_what_is_over_the_limit_is_divided_and_that_is_on_stderr(person: Person) -> None:
    regions = [f"--region=eu-{side}-{number}" for side in ("west", "south", "north") for number in (1, 2, 3)]

    ran = person.janitor("doctor", "--policy", *regions)

    several = ran.document
    assert len(several) > 1
    assert all(doctor.policy_size(one) <= doctor.MANAGED_POLICY_LIMIT for one in several)
    assert f"{len(several)} policies" in ran.err
    assert "Attach all of them" in ran.err
    one_by_one = {region for region in ("eu-west-1", "eu-north-3") if region in ran.out}
    assert one_by_one == {"eu-west-1", "eu-north-3"}


def test_a_statement_that_is_over_the_limit_itself_is_divided() -> None:
    grants = [allow("s3:GetObject", on=f"arn:aws:s3:::{'b' * 60}-{number}/*") for number in range(200)]

    made = doctor.audit_policies(grants, {"eu-west-1": "aws"})

    assert all(doctor.policy_size(one) <= doctor.MANAGED_POLICY_LIMIT for one in made)
    on = [arn for one in made for each in one["Statement"] for arn in each["Resource"]]
    assert sorted(on) == sorted(grant.on for grant in grants)


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
