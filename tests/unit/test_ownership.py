"""What tags say beyond the owner: the tool that manages a resource, production, the team."""

from __future__ import annotations

from dataclasses import replace

import pytest

from janitor.model import Tags, Target, Unreadable, Value
from janitor.ownership import marks, team

MINE = Target(
    arn="arn:aws:sagemaker:us-east-1:123456789012:model/churn",
    name="churn",
    kind="model",
    account="123456789012",
    region="us-east-1",
    created=None,
)


def marked(tags: Tags) -> dict[str, object]:
    return {mark.signal: mark.value for mark in marks(replace(MINE, tags=Value(tags)))}


@pytest.mark.parametrize(
    ("own", "mark"),
    [
        ({"aws:cloudformation:stack-name": "prod"}, "CloudFormation stack prod"),
        ({"aws:cloudformation:stack-name": "prod", "managed-by": "manual"}, "CloudFormation stack prod"),
        ({"aws:cloudformation:logical-id": "Endpoint"}, "CloudFormation"),
        ({"managed-by": "terraform"}, "terraform"),
        ({"Managed-By": " terraform "}, "terraform"),
        ({"managed-by": "Manual"}, None),
        ({"managed-by": " "}, None),
        ({}, None),
    ],
)
def test_what_a_tool_manages_is_marked(own: Tags, mark: str | None) -> None:
    assert marked(own).get("managed by") == mark


@pytest.mark.parametrize(
    ("own", "mark"),
    [
        ({"environment": "prod"}, "prod"),
        ({"Environment": " Production "}, "Production"),
        ({"environment": "dev"}, None),
        ({"environment": "nonprod"}, None),
        ({"environment": "preprod"}, None),
        ({}, None),
    ],
)
def test_production_is_marked(own: Tags, mark: str | None) -> None:
    assert marked(own).get("environment") == mark


def test_what_goes_along_is_marked_by_its_name() -> None:
    other = replace(MINE, name="ranker", tags=Value({"managed-by": "terraform", "environment": "prod"}))

    found = {mark.signal: mark.value for mark in marks(MINE, [other])}

    assert found == {"managed by, ranker": "terraform", "environment, ranker": "prod"}


def test_what_was_not_read_says_nothing() -> None:
    unread = replace(MINE, tags=Unreadable("denied"))

    assert (marks(MINE), marks(unread), team(unread)) == ((), (), None)


def test_the_team_in_any_case() -> None:
    assert team(replace(MINE, tags=Value({"Team": " fraud "}))) == "fraud"
