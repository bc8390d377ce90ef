"""Synthesises the stack for tests, without building the bundle."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks

from fakes import TRUST
from infra.bundle import PROJECT_ROOT
from infra.stack import JanitorStack
from ml_janitor.config.settings import Settings
from ml_janitor.detectors import DETECTORS
from ml_janitor_cli.template.plan import deployment_plan

SLACK = {"janitor": {"slack_channel": "C0123456789", "slack_secret": "ml-janitor/slack"}}

TO_ARM = {"time_zone": "UTC", "ledger_writers": ["arn:aws:iam::123456789012:role/platform-*"]}
"""What `[janitor]` needs where something is armed."""

BUTTONS: dict[str, Any] = {
    **SLACK["janitor"],
    **TO_ARM,
    "slack_signing_secret": "ml-janitor/signing",
    "slack_group": "S0123456789",
}
EVERY_ACCOUNT: dict[str, Any] = {"id": "o-a1b2c3d4e5", "all_accounts": True, **TRUST}

TO_ACT: dict[str, dict[str, Any]] = {
    "duplicate-artifacts": {"act_on_prefixes": ["s3://acme-models/old/"], "buckets": ["acme-models"]},
    "storage-tiering": {"act_on_buckets": ["acme-scratch"]},
    "untagged-resources": {"fill_owner": True},
}
"""Without this, it would never act."""
_ARMED = {"mode": "act", "act_in": ["123456789012/eu-west-1"]}

REPORTING: dict[str, Any] = {"janitor": SLACK["janitor"]}
EVERYTHING: dict[str, Any] = {
    "janitor": BUTTONS,
    "detectors": {
        one.name: _ARMED | TO_ACT.get(one.name, {}) for one in DETECTORS if one.cleanup is not None
    },
    "bill": {"enabled": True, "max_requests": 16},
    "organization": EVERY_ACCOUNT | {"regions": ["us-east-1", "eu-west-1"]},
}
"""Every detector armed, with the buttons, the bill and an organization."""

TODAY = date(2026, 10, 6)


@dataclass(frozen=True)
class Synthesised:
    """A template as CloudFormation gets it, and what the checks said, if it was checked."""

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

    @property
    def violations(self) -> list[tuple[str, str]]:
        """The rules that the checks found broken, with what they say of that."""
        reports = self.validation.get("pluginReports", [])
        return [(one["ruleName"], one["description"]) for plugin in reports for one in plugin["violations"]]

    def lint(self, *more: Path) -> tuple[str, int]:
        """What cfn-lint prints of it, and of *more* templates, and the status with which it ends."""
        command = [f"{Path(sys.executable).parent}/cfn-lint", "--ignore-checks", "W3005", "W3045", "--"]
        done = subprocess.run(
            [*command, str(self.path), *map(str, more)], capture_output=True, text=True, check=False
        )
        return done.stdout, done.returncode

    def role_statements(self, part: str) -> list[dict[str, Any]]:
        """The statements of the role policies whose logical id contains *part*."""
        return [statement for name, statement in self.statements() if part in name and "Role" in name]


def resolved(value: Any, known: Mapping[str, str]) -> Any:
    """
    *value* of a template as CloudFormation fills it in: references by what is *known*.

    What is not known stays as its name in angle brackets, or as it is in a text that is to be filled in.
    """
    match value:
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{(.+?)\}", lambda found: known.get(found[1], found[0]), text)
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


CODE = {
    "S3Bucket": {"Fn::Sub": "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"},
    "S3Key": f"{'0' * 64}.zip",
}


def synthesise(outdir: Path, settings: Settings, *, checked: bool = False, name: str = "Test") -> Synthesised:
    """
    The stack for *settings*, without the bundle: the plan by itself, which is what CDK makes of it.

    Where it is *checked*, CDK makes it, under cdk.json's flags, and cdk-nag and CDK's own validation look at
    it too; a violation raises.
    """
    if checked:
        return synthesise_with_cdk(outdir, settings, checked=True)
    outdir.mkdir(parents=True, exist_ok=True)
    path, template = outdir / "Test.template.json", deployment_plan(settings, TODAY, name=name, code=CODE)
    path.write_text(json.dumps(template))
    return Synthesised(json.loads(path.read_text()), path, {})


def synthesise_with_cdk(outdir: Path, settings: Settings, *, checked: bool = False) -> Synthesised:
    """The stack for *settings* as CDK makes it."""
    context = json.loads((PROJECT_ROOT / "cdk.json").read_text())["context"]
    app = cdk.App(
        outdir=str(outdir),
        context={**context, "aws:cdk:bundling-stacks": []},
        builtin_cloud_formation_validation=checked,
    )
    JanitorStack(app, "Test", today=TODAY, settings=settings)
    if checked:
        cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    app.synth()
    path, report = outdir / "Test.template.json", outdir / "validation-report.json"
    said = json.loads(report.read_text()) if report.exists() else {}
    return Synthesised(json.loads(path.read_text()), path, said)
