"""What becomes of an object that is deleted from a bucket, and who may read it by the bucket's policy."""

import json
from datetime import UTC, datetime
from typing import Any

from ml_janitor.core.model import Absent, NotRead, Signal, Unreadable, Value
from ml_janitor.detectors.duplicate_artifacts import buckets
from ml_janitor.detectors.duplicate_artifacts.artifacts import StoredObject
from scripted import Refusal, Script
from tables import cases

ONE = StoredObject(
    bucket="b",
    key="models/a.tar.gz",
    size=100,
    etag='"e"',
    modified=datetime(2026, 1, 1, tzinfo=UTC),
    storage_class="STANDARD",
)
TAGS = {"team": "search"}
TEAM, OTHER = {"Key": "team", "Value": "search"}, {"Key": "team", "Value": "ads"}
DENIED = Unreadable("denied")


def rule(days: int = 30, *, status: str = "Enabled", **given: Any) -> dict[str, Any]:
    return {"ID": "old", "Status": status, "NoncurrentVersionExpiration": {"NoncurrentDays": days}, **given}


def said(*rules: dict[str, Any], versioning: Signal[str] | None = None, version: str | None = "v1") -> str:
    habits = buckets.DeletionRules(
        versioning=versioning or Value("Enabled"),
        lock=Absent(),
        lifecycle=Value(rules) if rules else Absent(),
        tags=Value({}),
    )
    return buckets.when_freed(habits, ONE, version, TAGS)


def test_without_versions_its_bytes_are_freed_at_once() -> None:
    assert said(versioning=Absent()) == "deleting it frees its bytes at once"


@cases("version, expected", (None, "at once"), ("null", "at once"), ("v1", "never freed"))
def test_suspended_versioning_depends_on_the_version(version: str | None, expected: str) -> None:
    assert expected in said(versioning=Value("Suspended"), version=version)


@cases(
    "filters, expected",
    ({}, True),
    ({"Prefix": "models/"}, True),
    ({"Prefix": "data/"}, False),
    ({"Filter": {}}, True),
    ({"Filter": {"Prefix": "models/"}}, True),
    ({"Filter": {"Prefix": "data/"}}, False),
    ({"Filter": {"Tag": TEAM}}, True),
    ({"Filter": {"Tag": OTHER}}, False),
    ({"Filter": {"ObjectSizeGreaterThan": 99}}, True),
    ({"Filter": {"ObjectSizeGreaterThan": 100}}, False),
    ({"Filter": {"ObjectSizeLessThan": 101}}, True),
    ({"Filter": {"ObjectSizeLessThan": 100}}, False),
    ({"Filter": {"And": {"Prefix": "models/", "Tags": [TEAM]}}}, True),
    ({"Filter": {"And": {"Prefix": "models/", "Tags": [TEAM, OTHER]}}}, False),
    ({"status": "Disabled"}, False),
    ({"NoncurrentVersionExpiration": {"NoncurrentDays": 9, "NewerNoncurrentVersions": 2}}, False),
    ({"NoncurrentVersionExpiration": {}}, False),
)
def test_which_lifecycle_rules_free_it(filters: dict[str, Any], *, expected: bool) -> None:
    text = said(rule(**filters))

    assert ("freed 30 days later, by lifecycle rule old" in text) is expected
    assert ("never freed" in text) is not expected


def test_the_soonest_rule_counts() -> None:
    assert "freed 7 days later" in said(rule(30), rule(7))


def test_what_is_unreadable_is_said_to_be() -> None:
    assert "unknown, since its versioning is (denied)" in said(versioning=DENIED)
    habits = buckets.DeletionRules(
        versioning=Value("Enabled"), lock=Absent(), lifecycle=DENIED, tags=Value({})
    )
    assert "whether a lifecycle rule frees its bytes is unknown (denied)" in buckets.when_freed(
        habits, ONE, "v", TAGS
    )


def test_every_lifecycle_rule_is_read() -> None:
    rules = (rule(7, Filter={"Prefix": "models/"}), rule(30, Filter={}))
    answers: dict[str, Any] = {
        "s3:GetBucketLifecycleConfiguration": {"Rules": rules},
        "s3:GetBucketVersioning": {"Status": "Enabled"},
        "s3:GetObjectLockConfiguration": Refusal("ObjectLockConfigurationNotFoundError"),
        "s3:GetBucketTagging": Refusal("NoSuchTagSet"),
        "s3:GetBucketPolicy": Refusal("NoSuchBucketPolicy"),
    }
    found = buckets.read_deletion_rules(Script(answers).aws(), "b")

    assert found.lifecycle == Value(rules, "s3:GetBucketLifecycleConfiguration")
    assert "freed 7 days later" in buckets.when_freed(found, ONE, "v1", TAGS)


RETAINED = {"RetainUntilDate": datetime(2027, 1, 1, tzinfo=UTC), "Mode": "COMPLIANCE"}
UNTIL = Value("retained until 2027-01-01 (compliance)")


@cases(
    "retention, hold, expected",
    ("none", "none", Absent),
    (RETAINED, "none", UNTIL),
    (RETAINED, "OFF", UNTIL),
    (RETAINED, "denied", UNTIL),
    ("none", "OFF", Absent),
    ("none", "ON", Value("under a legal hold")),
    ("denied", "ON", Value("under a legal hold")),
    (RETAINED, "ON", Value("under a legal hold")),
    ("denied", "none", Unreadable),
    ("none", "denied", Unreadable),
)
def test_a_retention_or_hold_locks_and_unreadable_may(retention: Any, hold: str, expected: Any) -> None:
    codes = {"none": "NoSuchObjectLockConfiguration", "denied": "AccessDenied"}
    held = Refusal(codes[hold]) if hold in codes else {"LegalHold": {"Status": hold}}
    kept = Refusal(codes[retention]) if isinstance(retention, str) else {"Retention": retention}
    answers: dict[str, Any] = {"s3:GetObjectRetention": kept, "s3:GetObjectLegalHold": held}
    aws = Script(answers | {"s3:HeadBucket": {}}).aws("eu-west-3")
    found = buckets.read_lock(aws, ONE, Value("Enabled"))

    assert isinstance(found, type(expected) if isinstance(expected, Value) else expected)
    assert not isinstance(found, Value) or found.value == expected.value
    assert [buckets.read_lock(aws, ONE, lock) for lock in (Absent(), DENIED)] == [Absent(), DENIED]
    assert buckets.read_bucket_region(aws, "b") == Value("eu-west-3", "s3:HeadBucket")


OWN, STRANGER = "123456789012", "999999999999"
OBJECT = "arn:aws:s3:::models/backup/model.tar.gz"


def policy(**changed: Any) -> dict[str, Any]:
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{STRANGER}:root"},
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::models/*",
    }
    given = {name: value for name, value in (statement | changed).items() if value is not None}
    return {"Version": "2012-10-17", "Statement": [given]}


def who(document: dict[str, Any]) -> list[str]:
    return [reader.who for reader in buckets.readers_in_policy(document, OWN) if reader.reads(OBJECT)]


@cases(
    "principal, expected",
    ("*", ["everybody"]),
    ({"AWS": "*"}, ["everybody"]),
    ({"AWS": STRANGER}, [f"account {STRANGER}"]),
    ({"AWS": f"arn:aws:iam::{STRANGER}:role/reader"}, [f"account {STRANGER}"]),
    ({"AWS": [f"arn:aws:iam::{OWN}:root", STRANGER]}, [f"account {STRANGER}"]),
    ({"AWS": f"arn:aws:iam::{OWN}:role/reader"}, []),
    ({"AWS": OWN}, []),
    ({"AWS": "AIDAEXAMPLE"}, ["the principal AIDAEXAMPLE"]),
    ({"Service": "cloudfront.amazonaws.com"}, ["cloudfront.amazonaws.com (Service)"]),
    ({"CanonicalUser": "79a59d"}, ["79a59d (CanonicalUser)"]),
)
def test_whoever_is_not_of_the_account(principal: Any, expected: list[str]) -> None:
    assert who(policy(Principal=principal)) == expected


def test_everybody_but_some_is_everybody() -> None:
    assert who(policy(Principal=None, NotPrincipal={"AWS": STRANGER})) == ["everybody"]


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
    assert who(policy(**changed)) == ([f"account {STRANGER}"] if reads else [])


def test_one_statement_may_stand_without_a_list() -> None:
    document = policy()

    assert who({**document, "Statement": document["Statement"][0]}) == [f"account {STRANGER}"]


@cases(
    "answer, expected",
    (json.dumps(policy(Principal={"AWS": OWN})), Value),
    ("NoSuchBucketPolicy", Absent),
    ("AccessDenied", Unreadable),
    ("[]", Unreadable),
    ("{}", Unreadable),
)
def test_no_policy_is_absent_and_one_that_is_none_is_unreadable(answer: str, expected: type) -> None:
    given = Refusal(answer) if answer.isalpha() else {"Policy": answer}
    aws = Script({"s3:GetBucketPolicy": given}).aws()
    found = buckets.read_bucket_readers(aws, "models")

    assert isinstance(found, expected)
    assert not isinstance(found, Value) or found.value == (), "the account itself is nobody else"


READERS = (
    buckets.PolicyReader(who=f"account {STRANGER}", what=("*",)),
    buckets.PolicyReader(who=f"account {STRANGER}", what=("*/backup/*",)),
    buckets.PolicyReader(who="everybody", what=("*/public/*",)),
)


@cases(
    "signal, why",
    (Absent(), None),
    (Value(()), None),
    (Value(READERS[2:]), None),
    (Value(READERS), f"the bucket's policy lets account {STRANGER} read it, which may use this copy"),
    (Unreadable("AccessDenied"), "whom its bucket's policy lets read it is unknown (AccessDenied)"),
    (NotRead(), "whom its bucket's policy lets read it was not read"),
)
def test_why_a_copy_may_be_in_use(signal: Signal[tuple[buckets.PolicyReader, ...]], why: str | None) -> None:
    assert buckets.why_maybe_read(signal, OBJECT) == why
