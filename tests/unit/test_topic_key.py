"""The policy of the key that encrypts the alarms' topic: who may publish there."""

from __future__ import annotations

from typing import Any

import pytest

from ml_janitor_cli.stack import ALARM_PUBLISHER, BUDGET_PUBLISHER, lets_publish

BOTH = ["kms:Decrypt", "kms:GenerateDataKey*"]


def policy(**statement: Any) -> dict[str, Any]:
    usual = {"Effect": "Allow", "Principal": {"Service": ALARM_PUBLISHER}, "Action": BOTH, "Resource": "*"}
    root = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "kms:*"}
    return {"Statement": [root, usual | statement]}


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        (policy(), True),
        (policy(Action="kms:*"), True),
        (policy(Action=["kms:decrypt", "kms:generatedatakey"]), True),
        (policy(Principal={"Service": [BUDGET_PUBLISHER, ALARM_PUBLISHER]}), True),
        (policy(Action=["kms:Decrypt"]), False),
        (policy(Effect="Deny"), False),
        (policy(Principal={"Service": BUDGET_PUBLISHER}), False),
        (policy(Principal="*"), False),
        ({"Statement": policy()["Statement"][1]}, True),
    ],
)
def test_who_may_publish_to_an_encrypted_topic(given: dict[str, Any], *, allowed: bool) -> None:
    assert lets_publish(given, ALARM_PUBLISHER) is allowed
