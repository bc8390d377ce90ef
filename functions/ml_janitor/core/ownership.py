"""Reads tags other than the owner's: the team, the managing tool, production. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ml_janitor.core.model import Target
from ml_janitor.core.signals import Evidence, Tags, Value

NO = frozenset({"false", "no", "0", "off"})
"""Values that negate their tag."""

BY_HAND = frozenset(
    {
        *("byhand", "click", "clickops", "console", "hand", "human", "manual", "manually", "n/a", "na"),
        *("nobody", "none", "person", "tbd", "todo", "ui", "unknown", "unmanaged", "user", "users"),
    }
)
"""Words in a `managed-by` value that name no tool."""

FILLER = frozenset({"a", "aws", "by", "created", "in", "managed", "not", "ops", "the", "via"})
"""Words that may stand beside the words of `BY_HAND`: "created by hand in the AWS console"."""

ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")

MANAGERS = frozenset({"managedby"})
MAKERS = frozenset({"createdby", "deployedby", "iac", "provisionedby", "provisioner"})
"""Keys whose value may be a person, or one of the `TOOLS`."""

PEOPLE = frozenset({"owner", "team"})
"""Keys whose value is a person or a team."""

TOOLS = ("cdk", "cloudformation", "crossplane", "opentofu", "pulumi", "terraform", "terragrunt")
"""Tools that restore missing resources, by the word in a tag's key: "terraform", "pulumi:stack"."""

STACK_TAG = "aws:cloudformation:stack-name"
BEDROCK_TAG = "bedrock:marketplace-registration-status"
"""
The tag that Amazon Bedrock Marketplace puts on an endpoint of one of its models, as "registered"
(managed policy AmazonBedrockMarketplaceAccess): Bedrock lists the endpoint, and calls it under its own API.
"""
PROJECT_TAG = "sagemaker:project-name"
"""The tag of a Studio project's resources: a CloudFormation template made them, and pipelines use them."""

STAGES = frozenset({"environment", "env", "stage"})
PRODUCTION = re.compile(r"(production|prod|prd|live)\d*")
"""One word of the value: "prod-eu" and "eu-west-1/production", but not "productive"."""

NOT = frozenset({"non", "not", "no", "pre", "sub"})
"""Words that negate a following `PRODUCTION` word."""


def plain(key: str) -> str:
    """Return a tag's key without case, blanks and separators, which people spell differently."""
    return re.sub(r"[-_:\s]", "", key.lower())


CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
"""The positions where a capital letter begins a word: "AppEnvironment", "MLEnv"."""


def readings(text: str) -> tuple[list[str], ...]:
    """
    Return the words in a key or a value, in small letters: not cut, and cut at capitals.

    "EnvironmentName" is two words, and "CloudFormation" is one; the meaning is ambiguous.
    """
    return tuple(re.findall(r"[a-z0-9]+", reading.lower()) for reading in (text, CAPITAL.sub(" ", text)))


def words(text: str) -> set[str]:
    """Return every word in a key or a value, in all its readings."""
    return {word for reading in readings(text) for word in reading}


def team(target: Target) -> str | None:
    """Return the team that *target*'s tags name."""
    return next((value for key, value in _tags(target) if plain(key) == "team" and value), None)


@dataclass(frozen=True, slots=True)
class Manager:
    """The manager of a resource as a tag's value, and whether it is a *known* tool."""

    name: str
    known: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Managers:
    """
    A deployment's reading of `managed-by`: its own *tools*, and values that name no tool.

    Without *tools*, every value that might name a tool counts. With *tools*, only they and `TOOLS` count.
    *people* are further keys whose value is a person or a team, and *filled* are values that the janitor
    itself fills in.
    """

    tools: Sequence[str] = ()
    people: Sequence[str] = ()
    filled: Sequence[str] = ()

    def of(self, target: Target) -> Manager | None:
        """Return the tool that would recreate *target* or break without it, or None if a person made it."""
        tags = list(_tags(target))
        people = PEOPLE.union(map(plain, self.people)) - MAKERS
        no_tool = {plain(value) for key, value in tags if plain(key) in people} | set(map(plain, self.filled))
        found = [
            Manager(name, plain(key) not in MANAGERS or _names_tool(name, self.tools))
            for key, value in tags
            if (name := managed(key, value, self.tools)) is not None
        ]
        counts = [
            manager
            for manager in found
            if manager.known or not (self.tools or plain(manager.name) in no_tool)
        ]
        return max(
            counts,
            key=lambda manager: (manager.name.startswith("CloudFormation"), manager.known, len(manager.name)),
            default=None,
        )


def managed(key: str, value: str, tools: Sequence[str] = ()) -> str | None:
    """Return the tool that manages a resource with the tag *key* = *value*, known or not, or None."""
    name = value.strip()
    if (service := _of_aws(key.strip().lower(), name)) is not None:
        return service
    if plain(key) in MANAGERS:
        return name if _names_tool(name, tools) or not _names_no_tool(name) else None
    if name.lower() in NO:
        return None
    among = words(value) if plain(key) in MAKERS else words(key) | {plain(key).removeprefix("managedby")}
    return next((tool for tool in TOOLS if tool in among), None)


def _names_tool(value: str, tools: Sequence[str]) -> bool:
    return not words(value).isdisjoint(TOOLS) or any(plain(tool) in plain(value) for tool in tools)


def _names_no_tool(value: str) -> bool:
    """Return whether a value of `managed-by` is empty, a negation, an address, or means by hand."""
    if not plain(value) or value.lower() in BY_HAND | NO or ADDRESS.fullmatch(value):
        return True
    return any(
        set(reading) <= BY_HAND | FILLER and not BY_HAND.isdisjoint(reading) for reading in readings(value)
    )


def _of_aws(key: str, value: str) -> str | None:
    """Return the AWS service that manages a resource with this tag."""
    if key == STACK_TAG and value:
        return f"CloudFormation stack {value}"
    if key.startswith("aws:cloudformation:"):
        return "CloudFormation"
    if key == PROJECT_TAG and value:
        return f"SageMaker project {value}"
    return "Bedrock Marketplace" if key == BEDROCK_TAG and value.lower() == "registered" else None


def environment(target: Target) -> str | None:
    """Return the production environment that *target*'s tags name, as written; None if they name none."""
    return next((found for key, value in _tags(target) if (found := serves(key, value)) is not None), None)


def serves(key: str, value: str) -> str | None:
    """Return the production environment that the tag *key* = *value* names, or None. Doubt is production."""
    if plain(key) not in STAGES and STAGES.isdisjoint(words(key)):
        return None
    for reading in readings(value):
        for before, word in zip(["", *reading], reading, strict=False):
            if PRODUCTION.fullmatch(word) and before not in NOT:
                return value.strip()
    return None


def protects(key: str, value: str) -> bool:
    """Return whether the tag *key* = *value* says that a tool manages the resource, or names production."""
    return managed(key, value) is not None or serves(key, value) is not None


def marks(target: Target, along: Sequence[Target] = ()) -> tuple[Evidence, ...]:
    """Return evidence that a reader should see before an action on *target* and on resources *along*."""
    others = (
        replace(mark, signal=f"{mark.signal}, {other.name}") for other in along for mark in marks(other)
    )
    source = target.tags.source if isinstance(target.tags, Value) else ""
    found = []
    if (manager := Managers().of(target)) is not None:
        found.append(Evidence("managed by", manager.name, source=source))
    if (named := environment(target)) is not None:
        found.append(Evidence("environment", named, source=source))
    return (*found, *others)


def _tags(target: Target) -> Iterator[tuple[str, str]]:
    """Yield the tags of *target*; none if they were not read. Keys may differ in case only: each counts."""
    tags: Tags = target.tags.value if isinstance(target.tags, Value) else {}
    for key, value in tags.items():
        yield key, value.strip()
