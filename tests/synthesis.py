"""Synthesises the stack for tests, each settings once in a run, without building the bundle."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks

from infra.bundle import PROJECT_ROOT
from infra.stack import JanitorStack
from ml_janitor.config import functions
from ml_janitor.config.settings import Settings
from ml_janitor.detectors import DETECTORS

SLACK = {"janitor": {"slack_channel": "C0123456789", "slack_secret": "ml-janitor/slack"}}

TO_ARM = {"time_zone": "UTC", "ledger_writers": ["arn:aws:iam::123456789012:role/platform-*"]}
"""What `[janitor]` needs where something is armed."""

_NEEDED: dict[str, dict[str, Any]] = {
    "duplicate-artifacts": {"act_on_prefixes": ["s3://acme-models/old/"], "buckets": ["acme-models"]},
    "storage-tiering": {"act_on_buckets": ["acme-scratch"]},
    "untagged-resources": {"fill_owner": True},
}
_ARMED = {"mode": "act", "act_in": ["123456789012/eu-west-1"]}

REPORTING: dict[str, Any] = {"janitor": SLACK["janitor"]}
EVERYTHING: dict[str, Any] = {
    "janitor": {**SLACK["janitor"], **TO_ARM, "slack_signing_secret": "s", "slack_group": "S0123456789"},
    "detectors": {
        one.name: _ARMED | _NEEDED.get(one.name, {}) for one in DETECTORS if one.cleanup is not None
    },
    "bill": {"enabled": True, "max_requests": 16},
    "organization": {
        "id": "o-a1b2c3d4e5",
        "all_accounts": True,
        "external_id": "ml-janitor-7f3a",
        "callers": ["arn:aws:iam::123456789012:role/platform"],
        "regions": ["us-east-1", "eu-west-1"],
    },
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
    outdir: Path,
    settings: Settings,
    *,
    more: Callable[[cdk.Stack], object] | None = None,
    checked: bool = False,
) -> Synthesised:
    """
    The stack for *settings* under cdk.json's flags, without the bundle.

    It is made once for all workers of a run: the same settings give the same template. Where it is *checked*,
    cdk-nag and CDK's own validation look at it too, and a violation raises; that takes as long again. *more*
    adds to it what CDK might; such a stack is made under *outdir*, for this test alone.
    """
    if more is not None:
        return _made(outdir, settings, more, checked=checked)
    run = _of_all_workers(outdir)
    about = repr((sorted(vars(settings).items()), sorted(functions.CARD_DETECTORS)))
    name = hashlib.sha256(about.encode()).hexdigest()
    with (run / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when it is closed
        for kind in ("checked", "plain"):
            made = run / f"{name}.{kind}"
            if made.exists() and (kind == "checked" or not checked):
                return _read(made)
        made = run / f"{name}.{'checked' if checked else 'plain'}"
        unfinished = made.with_suffix(".unfinished")
        _made(unfinished, settings, nothing, checked=checked)
        unfinished.rename(made)
        return _read(made)


def _of_all_workers(outdir: Path) -> Path:
    """A folder for templates in the one that pytest made for the run; where there is none, in *outdir*."""
    root = next((one.parent for one in outdir.parents if one.name.startswith("popen-")), None)
    root = root or next((one for one in outdir.parents if one.parent.name.startswith("pytest-of-")), outdir)
    folder = root / "templates"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def nothing(_: cdk.Stack) -> None:
    """What most stacks have besides."""


def _made(
    outdir: Path, settings: Settings, more: Callable[[cdk.Stack], object], *, checked: bool
) -> Synthesised:
    context = json.loads((PROJECT_ROOT / "cdk.json").read_text())["context"]
    app = cdk.App(
        outdir=str(outdir),
        context={**context, "aws:cdk:bundling-stacks": []},
        builtin_cloud_formation_validation=checked,
    )
    stack = JanitorStack(app, "Test", today=TODAY, settings=settings)
    more(stack)
    if checked:
        cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    app.synth()
    return _read(outdir)


def _read(outdir: Path) -> Synthesised:
    path, report = outdir / "Test.template.json", outdir / "validation-report.json"
    said = json.loads(report.read_text()) if report.exists() else {}
    return Synthesised(json.loads(path.read_text()), path, said)
