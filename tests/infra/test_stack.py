"""The synthesised stack: what it lets the janitor do, and that it needs no credentials to be made."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from infra.stack import JanitorStack
from janitor.detectors import DETECTORS


@pytest.fixture(scope="module")
def template() -> Template:
    app = cdk.App(context={"aws:cdk:bundling-stacks": []})
    return Template.from_stack(JanitorStack(app, "Test"))


def granted(template: Template) -> set[str]:
    """Every action that any statement of any policy in the template allows."""
    policies: dict[str, Any] = template.find_resources("AWS::IAM::ManagedPolicy")
    found: set[str] = set()
    for policy in policies.values():
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"
            actions = statement["Action"]
            found |= {actions} if isinstance(actions, str) else set(actions)
    return found


def test_the_policy_holds_exactly_all_reads(template: Template) -> None:
    assert granted(template) == {grant.action for detector in DETECTORS for grant in detector.reads}


def test_no_wildcard_actions(template: Template) -> None:
    assert not [action for action in granted(template) if "*" in action]
