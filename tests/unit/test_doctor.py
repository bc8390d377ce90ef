"""`janitor doctor`: settings as janitor.toml has them, and statements that fit into a policy."""

from datetime import timedelta

from ml_janitor_cli.deployment import let_through
from ml_janitor_cli.doctor import (
    MANAGED_POLICY_LIMIT,
    format_setting,
    policy_document,
    policy_size,
    split_statement,
)
from tables import cases


@cases(
    "value, text",
    (timedelta(hours=12), "12h"),
    ((), "[]"),
    (("a", timedelta(days=1)), "[a, 1d]"),
    ({}, "none"),
    ({"owner": "team", "hours": 2}, "owner team, hours 2"),
    ("", "none"),
    ("x", "x"),
    (True, "true"),
    (0.5, "0.5"),
    (None, "None"),
)
def test_a_setting_is_written_as_in_the_file(value: object, text: str) -> None:
    assert format_setting(value) == text


def test_a_statement_over_the_limit_is_several_with_a_part_of_its_resources_each() -> None:
    when = {"StringEquals": {"aws:ResourceAccount": "1"}}
    statement = {"Effect": "Allow", "Action": ["s3:GetObject"], "Condition": when}
    arns = [f"arn:aws:s3:::{'bucket' * 10}-{number}/*" for number in range(120)]

    parts = list(split_statement(statement | {"Resource": arns}))

    assert [arn for part in parts for arn in part["Resource"]] == arns
    assert all({**part, "Resource": []} == {**parts[0], "Resource": []} for part in parts)
    assert all(policy_size(policy_document([part])) <= MANAGED_POLICY_LIMIT for part in parts)
    assert len(parts) == 2
    assert len(list(split_statement(statement | {"Resource": arns[:60]}))) == 1
    (alone,) = split_statement(statement | {"Resource": ["x" * (MANAGED_POLICY_LIMIT + 1)]})
    assert len(alone["Resource"]) == 1


def test_only_those_whom_each_deny_spares_are_let_through() -> None:
    several = [
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "kms:GenerateMac",
            "Condition": {"ArnNotLike": {"aws:PrincipalArn": spared}},
        }
        for spared in (["ana", "ben"], ["ben", "cy"])
    ]

    assert let_through({"Statement": several}, "kms:GenerateMac") == {"ben"}
