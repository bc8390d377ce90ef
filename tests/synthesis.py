"""Synthesises the stack for tests, with every check there is and without building the bundle."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks

from infra.stack import ROOT, JanitorStack
from ml_janitor.config.settings import Settings

SLACK = {"janitor": {"slack_channel": "C0123456789", "slack_secret": "ml-janitor/slack"}}

TODAY = date(2026, 10, 6)


@dataclass(frozen=True)
class Synthesised:
    """A template as CloudFormation gets it, and what the checks of the synthesis said."""

    template: dict[str, Any]
    path: Path
    validation: dict[str, Any]

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """The properties of every resource of one type, by logical id."""
        return {
            name: resource.get("Properties", {})
            for name, resource in self.template["Resources"].items()
            if resource["Type"] == kind
        }

    def statements(self) -> list[tuple[str, dict[str, Any]]]:
        """Every IAM statement of roles, policies and resource policies, by logical id."""
        found = []
        for name, resource in self.template["Resources"].items():
            properties = resource.get("Properties", {})
            documents = [properties["PolicyDocument"]] if "PolicyDocument" in properties else []
            documents += [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
            for document in documents:
                found += [(name, statement) for statement in document["Statement"]]
        return found

    def role_statements(self, part: str) -> list[dict[str, Any]]:
        """The statements of the role policies whose logical id contains *part*."""
        return [statement for name, statement in self.statements() if part in name and "Role" in name]


def resolved(value: Any, known: Mapping[str, str]) -> Any:
    """
    *value* of a template as CloudFormation fills it in: references by what is *known*.

    What is not known stays as its name in angle brackets.
    """
    match value:
        case {"Fn::Join": [str(between), [*parts]]}:
            return between.join(str(resolved(part, known)) for part in parts)
        case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), *_]}:
            return known.get(name, f"<{name}>")
        case dict():
            return {key: resolved(one, known) for key, one in value.items()}
        case list():
            return [resolved(one, known) for one in value]
        case _:
            return value


def synthesise(
    outdir: Path, settings: Settings, *, more: Callable[[cdk.Stack], object] | None = None
) -> Synthesised:
    """
    Make the stack for *settings* under cdk.json's flags, with every check, and without the bundle.

    *more* adds to it what CDK might.
    """
    context = json.loads((ROOT / "cdk.json").read_text())["context"]
    app = cdk.App(outdir=str(outdir), context={**context, "aws:cdk:bundling-stacks": []})
    stack = JanitorStack(app, "Test", today=TODAY, settings=settings)
    if more is not None:
        more(stack)
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    app.synth()
    path = outdir / "Test.template.json"
    report = outdir / "validation-report.json"
    return Synthesised(
        json.loads(path.read_text()), path, json.loads(report.read_text()) if report.exists() else {}
    )
