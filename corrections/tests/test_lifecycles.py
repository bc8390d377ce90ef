"""Lifecycle configurations: kept element by element, and refused as S3 refuses them."""

from typing import Any

import pytest

from plain_requests import refusal

DAYS = {"Days": 10}


@pytest.fixture
def s3(aws: Any) -> Any:
    client = aws("s3")
    client.create_bucket(Bucket="plain")
    return client


def put(s3: Any, *rules: dict[str, Any], **more: Any) -> Any:
    whole = [{"Filter": {}, "Status": "Enabled"} | rule for rule in rules]
    return s3.put_bucket_lifecycle_configuration(
        Bucket="plain", LifecycleConfiguration={"Rules": whole}, **more
    )


def test_what_moto_loses_is_kept(s3: Any) -> None:
    rules: list[dict[str, Any]] = [
        {
            "ID": "all",
            "Filter": {
                "And": {
                    "Prefix": "a/",
                    "Tags": [{"Key": "k", "Value": "v"}, {"Key": "l", "Value": ""}],
                    "ObjectSizeGreaterThan": 500,
                    "ObjectSizeLessThan": 64000,
                }
            },
            "Status": "Disabled",
            "Transitions": [
                {"Days": 30, "StorageClass": "STANDARD_IA"},
                {"Days": 60, "StorageClass": "GLACIER_IR"},
            ],
            "NoncurrentVersionTransitions": [
                {"NoncurrentDays": 30, "StorageClass": "GLACIER", "NewerNoncurrentVersions": 2}
            ],
            "NoncurrentVersionExpiration": {"NoncurrentDays": 60, "NewerNoncurrentVersions": 3},
        },
        {
            "ID": "large",
            "Filter": {"ObjectSizeGreaterThan": 0},
            "Status": "Enabled",
            "Expiration": {"ExpiredObjectDeleteMarker": True},
        },
    ]
    minimum = "varies_by_storage_class"
    put(s3, *rules, TransitionDefaultMinimumObjectSize=minimum)
    found = s3.get_bucket_lifecycle_configuration(Bucket="plain")
    assert (found["Rules"], found["TransitionDefaultMinimumObjectSize"]) == (rules, minimum)
    put(s3, *rules)
    found = s3.get_bucket_lifecycle_configuration(Bucket="plain")
    assert found["TransitionDefaultMinimumObjectSize"] == "all_storage_classes_128K"


def test_a_rule_without_a_name_is_given_one(s3: Any) -> None:
    put(s3, {"Expiration": DAYS}, {"Filter": {"Prefix": "b/"}, "Expiration": DAYS})
    one, two = s3.get_bucket_lifecycle_configuration(Bucket="plain")["Rules"]
    assert one["ID"] != two["ID"]


def test_none_is_an_error(s3: Any) -> None:
    put(s3, {"Expiration": DAYS})
    s3.delete_bucket_lifecycle(Bucket="plain")
    assert "NoSuchLifecycleConfiguration" in refusal(s3.get_bucket_lifecycle_configuration, Bucket="plain")


def test_a_thousand_rules_are_the_most(s3: Any) -> None:
    rules = [{"Filter": {"Prefix": f"{number}/"}, "Expiration": DAYS} for number in range(1001)]
    put(s3, *rules[:1000])
    assert "MalformedXML" in refusal(put, s3, *rules)
    assert len(s3.get_bucket_lifecycle_configuration(Bucket="plain")["Rules"]) == 1000


OLD, ABORT = "NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload"
TAG = {"Key": "a", "Value": "b"}
NO_SIZE = {"ObjectSizeGreaterThan": 9, "ObjectSizeLessThan": 9}


def moved(storage_class: str, action: str = "Transitions", **when: Any) -> dict[str, Any]:
    return {action: [{"StorageClass": storage_class} | when]}


REFUSED: list[tuple[list[dict[str, Any]], str]] = [
    ([{}], "At least one action"),
    ([{"ID": "a", "Expiration": DAYS}, {"ID": "a", "Expiration": DAYS}], "Rule ID must be unique"),
    ([{"ID": "a" * 256, "Expiration": DAYS}], "ID length"),
    ([{"Status": "On", "Expiration": DAYS}], "MalformedXML"),
    ([{"Expiration": {"Days": 0}}], "positive integer"),
    ([{"Expiration": {"Days": 1, "ExpiredObjectDeleteMarker": True}}], "MalformedXML"),
    ([{"Expiration": {"Date": "2027-01-01T12:00:00Z"}}], "midnight"),
    ([moved("STANDARD_IA", Days=29)], "equal to 30"),
    ([moved("STANDARD", Days=1)], "MalformedXML"),
    ([moved("GLACIER")], "MalformedXML"),
    ([moved("STANDARD_IA", Days=30), moved("GLACIER", Days=59)], "30 days more"),
    ([moved("GLACIER", Days=10) | {"Expiration": DAYS}], "greater than"),
    ([moved("GLACIER", Date="2027-01-01") | {"Expiration": DAYS}], "Found mixed"),
    ([{OLD: {"NewerNoncurrentVersions": 2}}], "MalformedXML"),
    ([{OLD: {"NoncurrentDays": 2, "NewerNoncurrentVersions": 101}}], "between 1 and 100"),
    ([moved("STANDARD_IA", "NoncurrentVersionTransitions", NoncurrentDays=2)], "equal to 30"),
    ([{ABORT: {}}], "MalformedXML"),
    ([{"Filter": {"Tag": TAG}, ABORT: {"DaysAfterInitiation": 1}}], "cannot be specified with Tags"),
    ([{"Filter": {"And": {"Prefix": "a"}}, "Expiration": DAYS}], "MalformedXML"),
    ([{"Filter": {"Prefix": "a", "ObjectSizeLessThan": 9}, "Expiration": DAYS}], "MalformedXML"),
    ([{"Filter": {"And": NO_SIZE}, "Expiration": DAYS}], "has to be a value greater"),
    ([{"Expiration": DAYS}, {"Prefix": "a", "Expiration": DAYS}], "Base level prefix"),
]


@pytest.mark.parametrize(("rules", "why"), REFUSED)
def test_what_s3_refuses(s3: Any, rules: list[dict[str, Any]], why: str) -> None:
    assert why in refusal(put, s3, *rules)
    assert "NoSuchLifecycleConfiguration" in refusal(s3.get_bucket_lifecycle_configuration, Bucket="plain")


def test_rules_of_the_old_form_do_not_overlap_nor_mix(s3: Any) -> None:
    def put_old(*rules: dict[str, Any]) -> None:
        whole = [{"Status": "Enabled", "Expiration": DAYS} | rule for rule in rules]
        s3.put_bucket_lifecycle_configuration(Bucket="plain", LifecycleConfiguration={"Rules": whole})

    put_old({"Prefix": "a/"}, {"Prefix": "b/"})
    assert "Found overlapping prefixes" in refusal(put_old, {"Prefix": "a/"}, {"Prefix": "a/b/"})
    assert "only be used in Lifecycle V2" in refusal(put_old, {"Prefix": "a/"}, {"Filter": {"Prefix": "b/"}})
