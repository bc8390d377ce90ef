"""What becomes of an object that is deleted from a bucket."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

from ml_janitor.core.model import Absent, Signal, Unreadable, Value
from ml_janitor.detectors.duplicate_artifacts.artifacts import StoredObject
from ml_janitor.detectors.duplicate_artifacts.buckets import (
    DeletionRules,
    read_bucket_region,
    read_lock,
    when_freed,
)
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
    habits = DeletionRules(
        versioning=versioning or Value("Enabled"),
        lock=Absent(),
        lifecycle=Value(rules) if rules else Absent(),
        tags=Value({}),
    )
    return when_freed(habits, ONE, version, TAGS)


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
    habits = DeletionRules(versioning=Value("Enabled"), lock=Absent(), lifecycle=DENIED, tags=Value({}))
    assert "whether a lifecycle rule frees its bytes is unknown (denied)" in when_freed(
        habits, ONE, "v", TAGS
    )


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
    def answer(given: Any, shown: dict[str, Any]) -> dict[str, Any]:
        codes = {"none": "NoSuchObjectLockConfiguration", "denied": "AccessDenied"}
        if isinstance(given, str) and given in codes:
            raise ClientError({"Error": {"Code": codes[given], "Message": ""}}, "Get")
        return shown

    s3 = SimpleNamespace(
        get_object_retention=lambda **_: answer(retention, {"Retention": retention}),
        get_object_legal_hold=lambda **_: answer(hold, {"LegalHold": {"Status": hold}}),
        head_bucket=lambda **_: {},
    )
    aws: Any = SimpleNamespace(s3=s3, region="eu-west-3")
    found = read_lock(aws, ONE, Value("Enabled"))

    assert isinstance(found, type(expected) if isinstance(expected, Value) else expected)
    assert not isinstance(found, Value) or found.value == expected.value
    assert [read_lock(aws, ONE, lock) for lock in (Absent(), DENIED)] == [Absent(), DENIED]
    assert read_bucket_region(aws, "b") == Value("eu-west-3", "s3:HeadBucket")
