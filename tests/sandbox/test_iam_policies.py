from typing import Any

import pytest

from ml_janitor_sandbox.iam.conditions import arn_like, read
from ml_janitor_sandbox.iam.policies import Decision, Policy, decide
from tables import cases

JANITORS = {"aws:PrincipalArn": "arn:aws:iam::*:role/janitor-*"}
ENDPOINT = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/llm-dev"


def policy(*statements: dict[str, Any]) -> Policy:
    usual = {"Effect": "Allow", "Action": "sagemaker:*", "Resource": "*"}
    made = [usual | one if "NotAction" not in one else {"Effect": "Allow"} | one for one in statements]
    return Policy.of({"Version": "2012-10-17", "Statement": made})


def said(*statements: dict[str, Any], action: str = "sagemaker:DeleteEndpoint", **context: str) -> Decision:
    keys = {"aws:requestedregion": ("us-east-1",)} | {key: (value,) for key, value in context.items()}
    return decide([policy(*statements)], action, ENDPOINT, keys)[0]


@cases(
    "pattern, arn, covers",
    ("*", "*", True),
    ("*", ENDPOINT, True),
    (ENDPOINT, ENDPOINT, True),
    ("arn:aws:sagemaker:us-east-1:123456789012:endpoint/*", ENDPOINT, True),
    ("arn:aws:sagemaker:*:*:endpoint/llm-???", ENDPOINT, True),
    ("arn:aws:sagemaker:us-east-1:123456789012:endpoint/LLM-dev", ENDPOINT, False),
    ("arn:aws:sagemaker:us-east-1:123456789012:endpoint/llm", ENDPOINT, False),
    ("arn:aws:sagemaker:us-east-1:123456789012:endpoint", ENDPOINT, False),
    ("arn:aws:*:endpoint/llm-dev", ENDPOINT, False),
    ("arn:aws:sagemaker:us-east-1:123456789012:endpoint/*", "*", False),
    ("arn:aws:s3:::bucket", "arn:aws:s3:::bucket/key", False),
    ("arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket/a/b.c", True),
    ("arn:aws:logs:r:1:log-group:/g:*", "arn:aws:logs:r:1:log-group:/g:log-stream:", True),
    ("arn:aws:logs:r:1:log-group:/g", "arn:aws:logs:r:1:log-group:/g:log-stream:", False),
)
def test_resources(pattern: str, arn: str, *, covers: bool) -> None:
    assert arn_like(pattern, arn) is covers


@cases(
    "statements, expected",
    ([{}], Decision.ALLOWED),
    ([{"Action": "sagemaker:Delete*"}], Decision.ALLOWED),
    ([{"Action": "SAGEMAKER:deleteendpoint"}], Decision.ALLOWED),
    ([{"Action": "sagemaker:DeleteEndpointConfig"}], Decision.SILENT),
    ([{"Action": ["s3:*", "sagemaker:DeleteEndpoin?"]}], Decision.ALLOWED),
    ([{"Effect": "Deny"}], Decision.DENIED),
    ([{}, {"Effect": "Deny", "Resource": ENDPOINT}], Decision.DENIED),
    ([{"Effect": "Deny", "Action": "sagemaker:StopTrainingJob"}, {}], Decision.ALLOWED),
    ([{"NotAction": "sagemaker:DeleteEndpoint", "Resource": "*"}], Decision.SILENT),
    ([{"NotAction": "sagemaker:CreateEndpoint", "Resource": "*"}], Decision.ALLOWED),
)
def test_a_deny_wins_and_silence_allows_nothing(statements: list[dict[str, Any]], expected: Decision) -> None:
    assert said(*statements) is expected


def test_everything_but_some_resources() -> None:
    other = Policy.of(
        {"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "*", "NotResource": [ENDPOINT]}}
    )
    assert decide([other], "s3:GetObject", ENDPOINT, {})[0] is Decision.SILENT
    assert decide([other], "s3:GetObject", ENDPOINT + "-2", {})[0] is Decision.DENIED


@cases(
    "condition, have, holds",
    ({"StringEquals": {"aws:ResourceTag/env": "dev"}}, ("dev",), True),
    ({"StringEquals": {"aws:ResourceTag/env": ["prod", "dev"]}}, ("dev",), True),
    ({"StringEquals": {"aws:ResourceTag/env": "dev"}}, ("Dev",), False),
    ({"StringEquals": {"aws:ResourceTag/env": "dev"}}, None, False),
    ({"StringEqualsIgnoreCase": {"aws:ResourceTag/env": "dev"}}, ("Dev",), True),
    ({"StringEqualsIfExists": {"aws:ResourceTag/env": "dev"}}, None, True),
    ({"StringEqualsIfExists": {"aws:ResourceTag/env": "dev"}}, ("prod",), False),
    ({"StringNotEquals": {"aws:ResourceTag/env": ["prod", "dev"]}}, ("dev",), False),
    ({"StringNotEquals": {"aws:ResourceTag/env": "prod"}}, ("dev",), True),
    ({"StringNotEquals": {"aws:ResourceTag/env": "prod"}}, None, True),
    ({"StringLike": {"sagemaker:ResourceTag/env": "d?v*"}}, ("dev-2",), True),
    ({"StringNotLike": {"sagemaker:ResourceTag/env": "d*"}}, ("dev-2",), False),
    ({"StringEquals": {"sagemaker:ResourceTag/env": "d*"}}, ("dev",), False),
    ({"ArnLike": JANITORS}, ("arn:aws:iam::1:role/x",), False),
    ({"ArnLike": JANITORS}, ("arn:aws:iam::1:role/janitor-a",), True),
    ({"ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::1:role/a"}}, ("arn:aws:iam::1:role/b",), True),
    ({"Null": {"aws:ResourceTag/keep": "true"}}, None, True),
    ({"Null": {"aws:ResourceTag/keep": True}}, ("1",), False),
    ({"Null": {"aws:ResourceTag/keep": "false"}}, ("1",), True),
    ({"Bool": {"aws:ResourceTag/on": True}}, ("true",), True),
    ({"Bool": {"aws:ResourceTag/on": "true"}}, ("false",), False),
    ({"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}}, ("a",), True),
    ({"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}}, ("a", "c"), False),
    ({"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}}, None, True),
    ({"ForAnyValue:StringEquals": {"aws:TagKeys": ["a", "b"]}}, ("c", "a"), True),
    ({"ForAnyValue:StringEquals": {"aws:TagKeys": ["a", "b"]}}, ("c",), False),
    ({"ForAnyValue:StringEquals": {"aws:TagKeys": ["a", "b"]}}, None, False),
    ({"ForAnyValue:StringNotEquals": {"aws:TagKeys": ["a"]}}, ("a", "b"), True),
    ({"ForAllValues:StringNotLike": {"aws:TagKeys": ["aws:*"]}}, ("a", "aws:x"), False),
    ({"ForAllValues:StringLikeIfExists": {"dynamodb:LeadingKeys": ["lease#*"]}}, ("lease#1",), True),
    ({"ForAnyValue:StringNotLike": {"sagemaker:InstanceTypes": "ml.g5.*"}}, (), False),
    ({"ForAllValues:StringNotLike": {"sagemaker:InstanceTypes": "ml.g5.*"}}, (), True),
    ({"Null": {"sagemaker:InstanceTypes": "true"}}, (), True),
    ({"NumericEquals": {"sagemaker:MaxRuntimeInSeconds": "60"}}, ("60.0",), True),
    ({"NumericNotEquals": {"sagemaker:MaxRuntimeInSeconds": "60"}}, ("61",), True),
    ({"NumericNotEquals": {"sagemaker:MaxRuntimeInSeconds": "60"}}, None, True),
    ({"NumericLessThan": {"sagemaker:MaxRuntimeInSeconds": "60"}}, ("60",), False),
    ({"NumericLessThanEquals": {"sagemaker:MaxRuntimeInSeconds": 60}}, ("60",), True),
    ({"NumericLessThanEquals": {"sagemaker:MaxRuntimeInSeconds": "60"}}, None, False),
    ({"NumericGreaterThan": {"sagemaker:MaxRuntimeInSeconds": "9"}}, ("10",), True),
    ({"NumericGreaterThan": {"sagemaker:MaxRuntimeInSeconds": "10"}}, ("10",), False),
    ({"NumericGreaterThanEquals": {"sagemaker:MaxRuntimeInSeconds": "10"}}, ("10",), True),
    ({"NumericGreaterThan": {"sagemaker:MaxRuntimeInSeconds": "10"}}, None, False),
    ({"NumericGreaterThanIfExists": {"sagemaker:MaxRuntimeInSeconds": "10"}}, None, True),
    ({"NumericGreaterThanIfExists": {"sagemaker:MaxRuntimeInSeconds": "10"}}, ("9",), False),
    ({"NumericLessThan": {"sagemaker:MaxRuntimeInSeconds": "10"}}, ("soon",), False),
    ({"NumericLessThan": {"sagemaker:MaxRuntimeInSeconds": "10"}}, ("NaN",), False),
)
def test_conditions(condition: dict[str, Any], have: tuple[str, ...] | None, *, holds: bool) -> None:
    (one,) = read(condition)
    assert one.holds({one.key: have} if have is not None else {}) is holds


def test_all_conditions_have_to_hold() -> None:
    both = {"StringEquals": {"aws:ResourceTag/env": "dev", "aws:ResourceTag/team": "nlp"}}
    tags = {"aws:resourcetag/env": "dev", "aws:resourcetag/team": "nlp"}
    assert said({"Condition": both}, **tags) is Decision.ALLOWED
    assert said({"Condition": both}, **tags | {"aws:resourcetag/team": "cv"}) is Decision.SILENT
    unless_dev = {"StringNotEquals": {"aws:ResourceTag/env": "dev"}}
    assert said({}, {"Effect": "Deny", "Condition": unless_dev}, **tags) is Decision.ALLOWED
    assert said({}, {"Effect": "Deny", "Condition": unless_dev}) is Decision.DENIED


@cases(
    "wrong",
    {"Effect": "allow"},
    {"Conditions": {}},
    {"NotResource": "*"},
    {"Principal": "*"},
    {"Resource": "arn:aws:s3:::${aws:username}"},
    {"Resource": "arn:aws:s3*"},
    {"Condition": {"DateLessThan": {"s3:prefix": "10"}}},
    {"Condition": {"ForSomeValues:StringLike": {"aws:TagKeys": "a"}}},
    {"Condition": {"StringEquals": {"aws:SourceIp": "10.0.0.1"}}},
    {"Condition": {"StringEquals": {"s3:prefix": "${aws:username}"}}},
)
def test_what_cannot_be_judged_is_no_policy(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        policy(wrong)
    with pytest.raises(ValueError, match="Version"):
        Policy.of({"Version": "2008-10-17", "Statement": []})
