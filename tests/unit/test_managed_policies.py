"""The table of AWS's managed policies is that of the documents that it names, with all that is asked for."""

import json
from typing import Any

from docs import managed_policies
from ml_janitor.detectors import DETECTORS


def test_the_data_are_those_of_the_documents_packaged() -> None:
    assert json.loads(managed_policies.PATH.read_text()) == managed_policies.packaged()


def test_every_call_has_a_row() -> None:
    rows = managed_policies.table().splitlines()[2:-2]

    for action in {grant.action for one in DETECTORS for grant in one().reads}:
        assert [row for row in rows if row.startswith(f"| `{action}` |")]
    held = {row.split("`")[1]: row.split(" | ")[1:] for row in rows}
    assert held["sagemaker:ListEndpoints"] == ["yes", "yes |"]
    assert held["tag:GetResources"] == ["yes", "**no** |"]
    assert held["s3:GetObject"] == ["yes", "**no** |"]
    assert held["kms:Decrypt"] == ["**no**", "**no** |"]
    assert "(where the settings say so)" in next(row for row in rows if "s3:GetObject`" in row)


def test_what_is_allowed_on_some_resources_or_conditions_only_does_not_count() -> None:
    on_everything: dict[str, Any] = {"Effect": "Allow", "Action": ["s3:Get*"], "Resource": "*"}

    assert managed_policies.matching([on_everything]) == ["s3:Get*"]
    fewer: tuple[dict[str, Any], ...] = (
        {"Resource": ["arn:aws:s3:::a"]},
        {"Condition": {}},
        {"Effect": "Deny"},
    )
    for less in fewer:
        assert managed_policies.matching([on_everything | less]) == []
    assert managed_policies.matching([on_everything | {"Action": ["iam:Get*"]}]) == []
