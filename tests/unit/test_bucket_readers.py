"""Who may read a bucket's objects by its policy, besides its own account."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

from ml_janitor.core.model import Absent, NotRead, Signal, Unreadable, Value
from ml_janitor.detectors.duplicate_artifacts.buckets import (
    PolicyReader,
    read_bucket_readers,
    readers_in_policy,
    why_maybe_read,
)
from tables import cases

OWN, OTHER = "123456789012", "999999999999"
OBJECT = "arn:aws:s3:::models/backup/model.tar.gz"


def policy(**changed: Any) -> dict[str, Any]:
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{OTHER}:root"},
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::models/*",
    }
    given = {name: value for name, value in (statement | changed).items() if value is not None}
    return {"Version": "2012-10-17", "Statement": [given]}


def who(document: dict[str, Any]) -> list[str]:
    return [reader.who for reader in readers_in_policy(document, OWN) if reader.reads(OBJECT)]


@cases(
    "principal, expected",
    ("*", ["everybody"]),
    ({"AWS": "*"}, ["everybody"]),
    ({"AWS": OTHER}, [f"account {OTHER}"]),
    ({"AWS": f"arn:aws:iam::{OTHER}:role/reader"}, [f"account {OTHER}"]),
    ({"AWS": [f"arn:aws:iam::{OWN}:root", OTHER]}, [f"account {OTHER}"]),
    ({"AWS": f"arn:aws:iam::{OWN}:role/reader"}, []),
    ({"AWS": OWN}, []),
    ({"AWS": "AIDAEXAMPLE"}, ["the principal AIDAEXAMPLE"]),
    ({"Service": "cloudfront.amazonaws.com"}, ["cloudfront.amazonaws.com (Service)"]),
    ({"CanonicalUser": "79a59d"}, ["79a59d (CanonicalUser)"]),
)
def test_whoever_is_not_of_the_account(principal: Any, expected: list[str]) -> None:
    assert who(policy(Principal=principal)) == expected


def test_everybody_but_some_is_everybody() -> None:
    assert who(policy(Principal=None, NotPrincipal={"AWS": OTHER})) == ["everybody"]


@cases(
    "changed, reads",
    ({"Effect": "Deny"}, False),
    ({"Action": "s3:*"}, True),
    ({"Action": "*"}, True),
    ({"Action": ["s3:ListBucket", "S3:Get*"]}, True),
    ({"Action": "s3:GetObject?ersion"}, True),
    ({"Action": "s3:PutObject"}, False),
    ({"Action": ["s3:ListBucket", "s3:GetBucketLocation"]}, False),
    ({"Action": None, "NotAction": "s3:DeleteObject"}, True),
    ({"Resource": ["arn:aws:s3:::models", "arn:aws:s3:::models/public/*"]}, False),
    ({"Resource": ["arn:aws:s3:::models", "arn:aws:s3:::models/backup/*"]}, True),
    ({"Resource": "arn:aws:s3:::models/${aws:username}/*"}, True),
    ({"Resource": None, "NotResource": "arn:aws:s3:::models/backup/*"}, True),  # in doubt
    ({"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}}, True),
)
def test_only_what_allows_to_read_the_object_counts(changed: dict[str, Any], *, reads: bool) -> None:
    assert who(policy(**changed)) == ([f"account {OTHER}"] if reads else [])


def test_one_statement_may_stand_without_a_list() -> None:
    document = policy()

    assert who({**document, "Statement": document["Statement"][0]}) == [f"account {OTHER}"]


@cases(
    "answer, expected",
    (json.dumps(policy()), Value),
    ("NoSuchBucketPolicy", Absent),
    ("AccessDenied", Unreadable),
    ("[]", Unreadable),
    ("{}", Unreadable),
)
def test_no_policy_is_absent_and_one_that_is_none_is_unreadable(answer: str, expected: type) -> None:
    def get_bucket_policy(**_: str) -> dict[str, str]:
        if answer.isalpha():
            raise ClientError({"Error": {"Code": answer, "Message": ""}}, "GetBucketPolicy")
        return {"Policy": answer}

    aws: Any = SimpleNamespace(account=OTHER, s3=SimpleNamespace(get_bucket_policy=get_bucket_policy))
    found = read_bucket_readers(aws, "models")

    assert isinstance(found, expected)
    assert not isinstance(found, Value) or found.value == (), "the account itself is nobody else"


READERS = (
    PolicyReader(who=f"account {OTHER}", what=("*",)),
    PolicyReader(who=f"account {OTHER}", what=("*/backup/*",)),
    PolicyReader(who="everybody", what=("*/public/*",)),
)


@cases(
    "signal, why",
    (Absent(), None),
    (Value(()), None),
    (Value(READERS[2:]), None),
    (Value(READERS), f"the bucket's policy lets account {OTHER} read it, which may use this copy"),
    (Unreadable("AccessDenied"), "whom its bucket's policy lets read it is unknown (AccessDenied)"),
    (NotRead(), "whom its bucket's policy lets read it was not read"),
)
def test_why_a_copy_may_be_in_use(signal: Signal[tuple[PolicyReader, ...]], why: str | None) -> None:
    assert why_maybe_read(signal, OBJECT) == why
