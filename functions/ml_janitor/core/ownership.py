"""What tags say beyond the owner: the team, the tool that manages it, whether it is production. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ml_janitor.core.model import Evidence, Tags, Target, Value

NO = frozenset({"false", "no", "0", "off"})
"""What a tag says that is there to say that something is not so."""

BY_HAND = frozenset({"", "manual", "none", "hand", "console", *NO})
MANAGERS = frozenset({"managedby"})
MAKERS = frozenset({"createdby", "deployedby", "iac", "provisionedby", "provisioner"})
"""Keys whose value may be a person, or one of the `TOOLS`."""

TOOLS = ("cdk", "cloudformation", "crossplane", "opentofu", "pulumi", "terraform", "terragrunt")
"""Tools that put back what they find missing, by the word in a tag's key: "terraform", "pulumi:stack"."""

STACK_TAG = "aws:cloudformation:stack-name"
BEDROCK_TAG = "bedrock:marketplace-registration-status"
"""
What Amazon Bedrock Marketplace puts on an endpoint that it made for one of its models, as "registered"
(managed policy AmazonBedrockMarketplaceAccess): Bedrock lists it, and calls it under its own API.
"""
PROJECT_TAG = "sagemaker:project-name"
"""On what belongs to a project of Studio's: a CloudFormation template made it, and its pipelines use it."""

STAGES = frozenset({"environment", "env", "stage"})
PRODUCTION = re.compile(r"(production|prod|prd|live)\d*")
"""One word of the value: "prod-eu" and "eu-west-1/production", but not "productive"."""

NOT = frozenset({"non", "not", "no", "pre", "sub"})
"""Before that word, it says the opposite."""


def plain(key: str) -> str:
    """A tag's key without what people spell differently: case, blanks, and what stands between words."""
    return re.sub(r"[-_:\s]", "", key.lower())


CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
"""Where a capital letter begins a word: "AppEnvironment", "MLEnv"."""


def readings(text: str) -> tuple[list[str], ...]:
    """
    The words in a key or a value, in small letters: with capitals inside of them, and cut at each of these.

    "EnvironmentName" is two words, and "CloudFormation" one; nobody can tell which was meant.
    """
    return tuple(re.findall(r"[a-z0-9]+", one.lower()) for one in (text, CAPITAL.sub(" ", text)))


def words(text: str) -> set[str]:
    """Every word in a key or a value, however it is read."""
    return {word for said in readings(text) for word in said}


def team(target: Target) -> str | None:
    """The team that *target*'s tags name."""
    return next((value for key, value in _tags(target) if plain(key) == "team" and value), None)


def manager(target: Target) -> str | None:
    """Which tool would put *target* back or break without it, or None if a person made it by hand."""
    named = [tool for key, value in _tags(target) if (tool := managed(key, value)) is not None]
    return max(named, key=lambda tool: (tool.startswith("CloudFormation"), len(tool)), default=None)


def managed(key: str, value: str) -> str | None:
    """Which tool the tag *key* = *value* says manages what has it, or None."""
    said = value.strip()
    if (service := _of_aws(key.strip().lower(), said)) is not None:
        return service
    if plain(key) in MANAGERS:
        return None if said.lower() in BY_HAND else said
    if said.lower() in NO:
        return None
    among = words(value) if plain(key) in MAKERS else words(key) | {plain(key).removeprefix("managedby")}
    return next((tool for tool in TOOLS if tool in among), None)


def _of_aws(key: str, said: str) -> str | None:
    """Which service of AWS's own manages what has this tag."""
    if key == STACK_TAG and said:
        return f"CloudFormation stack {said}"
    if key.startswith("aws:cloudformation:"):
        return "CloudFormation"
    if key == PROJECT_TAG and said:
        return f"SageMaker project {said}"
    return "Bedrock Marketplace" if key == BEDROCK_TAG and said.lower() == "registered" else None


def environment(target: Target) -> str | None:
    """The production environment that *target*'s tags name, as they write it; None if they name none."""
    return next((found for key, value in _tags(target) if (found := serves(key, value)) is not None), None)


def serves(key: str, value: str) -> str | None:
    """Which production environment the tag *key* = *value* names, or None. In doubt it is production."""
    if plain(key) not in STAGES and STAGES.isdisjoint(words(key)):
        return None
    for said in readings(value):
        for before, word in zip(["", *said], said, strict=False):
            if PRODUCTION.fullmatch(word) and before not in NOT:
                return value.strip()
    return None


def protects(key: str, value: str) -> bool:
    """Whether the tag *key* = *value* says that a tool manages what has it, or that it serves production."""
    return managed(key, value) is not None or serves(key, value) is not None


def marks(target: Target, along: Sequence[Target] = ()) -> tuple[Evidence, ...]:
    """What a reader should know before anything is done to *target*, and so to what goes *along*."""
    others = (replace(mark, signal=f"{mark.signal}, {one.name}") for one in along for mark in marks(one))
    return (*_marks(target), *others)


def _marks(target: Target) -> tuple[Evidence, ...]:
    source = target.tags.source if isinstance(target.tags, Value) else ""
    found = []
    if (tool := manager(target)) is not None:
        found.append(Evidence("managed by", tool, source=source))
    if (named := environment(target)) is not None:
        found.append(Evidence("environment", named, source=source))
    return tuple(found)


def _tags(target: Target) -> Iterator[tuple[str, str]]:
    """The tags of *target*; none where they were not read. Keys may differ in case only: each counts."""
    tags: Tags = target.tags.value if isinstance(target.tags, Value) else {}
    for key, value in tags.items():
        yield key, value.strip()
