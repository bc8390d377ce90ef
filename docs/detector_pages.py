"""The parts of a detector's page that the code knows, and its section of janitor.toml."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import timedelta
from typing import Any

from docs import managed_policies
from ml_janitor.config.sections import JANITOR_FIELDS
from ml_janitor.core.durations import WorkingHours, format_duration
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
    """Return the end of a detector's page: its settings and permissions."""
    lines = ["| setting | default |", "| --- | --- |"]
    lines += [f"| `{field.name}` | {shown(default_of(detector, field.name))} |" for field in fields(detector)]
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


def section(detector: type[Detector[Any]]) -> Iterator[str]:
    """The section of one detector, with its tunables as comments."""
    yield f"[detectors.{detector.name}]"
    yield f"# {detector.summary()}"
    for field in fields(detector):
        if field.name not in JANITOR_FIELDS:
            yield f"# {field.name} = {toml(default_of(detector, field.name))}"


def toml(value: object) -> str:
    """A default as TOML: of the kinds that tunables have."""
    match value:
        case timedelta():
            return json.dumps(format_duration(value))
        case Mapping():
            return (
                "{ " + ", ".join(f"{_key(key)} = {toml(item)}" for key, item in value.items()) + " }"
                if value
                else "{}"
            )
        case tuple():
            return "[" + ", ".join(map(toml, value)) + "]"
        case _:
            return json.dumps(value)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[\w-]+", name) else json.dumps(name)


def default_of(detector: type[Detector[Any]], field: str) -> object:
    """The default of one tunable."""
    return getattr(detector(), field)


def shown(value: object) -> str:
    """A default as janitor.toml writes it."""
    match value:
        case timedelta():
            return f"`{format_duration(value)}`"
        case WorkingHours():
            return f"`{value}` (from `[janitor]`)"
        case tuple() | list():
            return ", ".join(f"`{item}`" for item in value) or "none"
        case Mapping():
            return ", ".join(f"`{key}` {shown(item)}" for key, item in value.items()) or "none"
        case "":
            return "none"
        case _:
            return f"`{value}`"
