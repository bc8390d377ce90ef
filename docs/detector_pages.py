"""The parts of a detector's page that the code knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import timedelta
from typing import Any

from docs import managed_policies
from ml_janitor.config.sections import JANITOR_FIELDS, tunable_fields
from ml_janitor.core.durations import format_duration
from ml_janitor.engine.detector import Detector, Grant

ROLE = "arn:aws:iam::123456789012:role/ml-training"
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "hung-training-jobs": {"undo_roles": (ROLE,)},
    "idle-endpoints": {"undo_roles": (ROLE,)},
    "duplicate-artifacts": {
        "read_contents_in": ("acme-models/old/",),
        "act_on_prefixes": ("s3://acme-models/old/",),
    },
}
"""Settings without which a detector reads less, has no acts, or undoes less."""


def head(detector: type[Detector[Any]]) -> str:
    """Return the top of a detector's page."""
    return "\n".join([f"# {detector.name}", "", detector.summary(), "", f"Runs on `{detector.schedule}`."])


def reference(detector: type[Detector[Any]]) -> str:
    """Return the end of a detector's page: its settings, its constants and its permissions."""
    lines = ["| setting | default |", "| --- | --- |"]
    own = {field.name for field, _ in tunable_fields(detector)}
    for field in fields(detector):
        fixed = (
            "" if field.name in own else ", from `[janitor]`" if field.name in JANITOR_FIELDS else ", fixed"
        )
        lines.append(f"| `{field.name}` | {shown(getattr(detector(), field.name))}{fixed} |")
    lines += ["", "## Permissions", "", "| reads | on | why |", "| --- | --- | --- |"]
    rule = detector()
    lines += [f"| `{grant.action}` | `{grant.on}` | {why(grant)} |" for grant in rule.reads]
    example = detector(**EXAMPLES.get(detector.name, {}))
    lines += powers(
        "with `read_contents_in`, it also reads", [one for one in example.reads if one not in rule.reads]
    )
    for setting, given in managed_policies.SETTINGS.get(detector.name, {}).items():
        more = [one for one in detector(**{setting: given}).reads if one not in rule.reads]
        lines += powers(f"with `{setting}`, it also reads", more)
    lines += powers("armed, it may also", rule.acts) + powers("its undo may", rule.undoes)
    more = [one for one in example.undoes if one not in rule.undoes]
    lines += powers("where the settings allow it, its undo may also", more)
    return "\n".join(lines)


def powers(title: str, grants: Sequence[Grant]) -> list[str]:
    """A table of what an armed detector may do, one row for each action."""
    rows: dict[tuple[str, str], list[str]] = {}
    for grant in grants:
        rows.setdefault((grant.action, why(grant)), []).append(f"`{grant.on}`")
    table = [f"| `{action}` | {', '.join(ons)} | {needed} |" for (action, needed), ons in rows.items()]
    return ["", f"| {title} | on | why |", "| --- | --- | --- |", *table] if table else []


def why(grant: Grant) -> str:
    """Why a permission is needed, and where it holds."""
    called = f"implied: {grant.source}" if grant.implied else "called"
    only = "; ".join(f"`{one.key}` {one.operator} `{', '.join(one.values)}`" for one in grant.when)
    return f"{called}, where {only}" if only else called


def shown(value: object) -> str:
    """A default as janitor.toml writes it."""
    match value:
        case timedelta():
            return f"`{format_duration(value)}`"
        case tuple() | list():
            return ", ".join(f"`{item}`" for item in value) or "none"
        case Mapping():
            return ", ".join(f"`{key}` {shown(item)}" for key, item in value.items()) or "none"
        case "":
            return "none"
        case _:
            return f"`{value}`"
