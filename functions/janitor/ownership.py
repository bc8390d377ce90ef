"""What tags say beyond the owner: the team, the tool that manages it, whether it is production. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from janitor.model import Evidence, Tags, Target, Value

BY_HAND = frozenset({"", "manual", "none", "hand", "console"})
PRODUCTION = frozenset({"prod", "production"})
STACK_TAG = "aws:cloudformation:stack-name"


def tags_of(target: Target) -> Tags:
    """The tags of *target* with keys in lower case; none where they were not read."""
    if not isinstance(target.tags, Value):
        return {}
    return {key.strip().lower(): value.strip() for key, value in target.tags.value.items()}


def team(target: Target) -> str | None:
    """The team that *target*'s tags name."""
    return tags_of(target).get("team") or None


def manager(target: Target) -> str | None:
    """Which tool would put *target* back or break without it, or None if a person made it by hand."""
    tags = tags_of(target)
    if stack := tags.get(STACK_TAG):
        return f"CloudFormation stack {stack}"
    if any(key.startswith("aws:cloudformation:") for key in tags):
        return "CloudFormation"
    tool = tags.get("managed-by", "")
    return None if tool.lower() in BY_HAND else tool


def environment(target: Target) -> str | None:
    """The production environment that *target*'s tags name, as they write it; None if they name none."""
    named = tags_of(target).get("environment", "")
    return named if named.lower() in PRODUCTION else None


def marks(target: Target, along: Sequence[Target] = ()) -> tuple[Evidence, ...]:
    """What a reader should know before anything is done to *target*, and so to what goes *along*."""
    others = (replace(mark, signal=f"{mark.signal}, {one.name}") for one in along for mark in marks(one))
    return (*_marks(target), *others)


def _marks(target: Target) -> tuple[Evidence, ...]:
    source = target.tags.source if isinstance(target.tags, Value) else ""
    found = []
    if (tool := manager(target)) is not None:
        found.append(Evidence("managed by", tool, source=source))
    if (serves := environment(target)) is not None:
        found.append(Evidence("environment", serves, source=source))
    return tuple(found)
