"""Lifecycle rules: what S3 would refuse is refused when the rule is made."""

from typing import Any

import pytest

from ml_janitor.core.tiering import LifecycleRule
from tables import cases


@cases(
    "members",
    {"id": "x", "expire_after": 1},
    {"noncurrent_expire_after": 30},
    {"abort_uploads_after": 7},
    {"transitions": ((0, "INTELLIGENT_TIERING"),)},
    {"transitions": ((30, "STANDARD_IA"), (90, "GLACIER_IR"), (365, "DEEP_ARCHIVE")), "expire_after": 366},
    {"transitions": ((30, "STANDARD_IA"), (60, "GLACIER_IR"))},
    {"transitions": ((1, "GLACIER"),), "expire_after": 2},
)
def test_what_s3_takes(members: dict[str, Any]) -> None:
    LifecycleRule(**{"id": "one", **members})


@cases(
    "members, why",
    ({}, "does nothing"),
    ({"expire_after": 0}, "a day old"),
    ({"id": "", "expire_after": 1}, "1 to 255"),
    ({"id": "x" * 256, "expire_after": 1}, "1 to 255"),
    ({"transitions": ((0, "STANDARD"),)}, "moved to STANDARD"),
    ({"transitions": ((29, "STANDARD_IA"),)}, "after 30 days"),
    ({"transitions": ((90, "GLACIER_IR"), (120, "STANDARD_IA"))}, "one way"),
    ({"transitions": ((90, "GLACIER_IR"), (90, "GLACIER"))}, "one way"),
    ({"transitions": ((90, "GLACIER"), (95, "GLACIER"))}, "one way"),
    ({"transitions": ((30, "STANDARD_IA"), (59, "GLACIER_IR"))}, "for 30 days"),
    ({"transitions": ((30, "STANDARD_IA"),), "expire_after": 59}, "for 30 days"),
    ({"transitions": ((90, "GLACIER"),), "expire_after": 90}, "for 1 day"),
)
def test_what_s3_refuses(members: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        LifecycleRule(**{"id": "one", **members})


@cases(
    "members, written",
    (
        {"transitions": ((30, "STANDARD_IA"), (90, "GLACIER"))},
        {
            "Transitions": [
                {"Days": 30, "StorageClass": "STANDARD_IA"},
                {"Days": 90, "StorageClass": "GLACIER"},
            ]
        },
    ),
    ({"expire_after": 7}, {"Expiration": {"Days": 7}}),
    ({"noncurrent_expire_after": 7}, {"NoncurrentVersionExpiration": {"NoncurrentDays": 7}}),
    ({"abort_uploads_after": 7}, {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}}),
)
def test_a_rule_in_the_words_of_s3(members: dict[str, Any], written: dict[str, Any]) -> None:
    rule = LifecycleRule(id="x" * 255, prefix="runs/", **members)

    whole = {"ID": "x" * 255, "Status": "Enabled", "Filter": {"Prefix": "runs/"}}
    assert rule.as_json() == whole | written
