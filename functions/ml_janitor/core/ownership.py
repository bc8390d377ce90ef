"""Read the tags of a resource that protect it: its team, its managing tool, production, keep tags."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

from ml_janitor.core.model import Evidence, Tags, Target, Unreadable, Value

NEGATIONS = frozenset({"false", "no", "0", "off"})
"""Values that negate their tag."""

BY_HAND_WORDS = frozenset(
    {
        *("byhand", "click", "clickops", "console", "hand", "human", "manual", "manually", "n/a", "na"),
        *("nobody", "none", "person", "tbd", "todo", "ui", "unknown", "unmanaged", "user", "users"),
    }
)
"""Words in a `managed-by` value that name no tool."""

FILLER_WORDS = frozenset({"a", "aws", "by", "created", "in", "managed", "not", "ops", "the", "via"})
"""Words that may stand beside the words of `BY_HAND_WORDS`: "created by hand in the AWS console"."""

EMAIL_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")

MANAGER_KEYS = frozenset({"managedby"})
MAKER_KEYS = frozenset({"createdby", "deployedby", "iac", "provisionedby", "provisioner"})
"""Keys whose value may be a person, or one of the `TOOLS`."""

PEOPLE_KEYS = frozenset({"owner", "team"})
"""Keys whose value is a person or a team."""

MANAGING_TOOLS = ("cdk", "cloudformation", "crossplane", "opentofu", "pulumi", "terraform", "terragrunt")
"""Tools that restore missing resources, by the word in a tag's key: "terraform", "pulumi:stack"."""

STACK_TAG = "aws:cloudformation:stack-name"
BEDROCK_TAG = "bedrock:marketplace-registration-status"
"""
The tag that Amazon Bedrock Marketplace puts on an endpoint of one of its models, as "registered"
(managed policy AmazonBedrockMarketplaceAccess): Bedrock lists the endpoint, and calls it under its own API.
"""
PROJECT_TAG = "sagemaker:project-name"
"""The tag of a Studio project's resources: a CloudFormation template made them, and pipelines use them."""
_UNIFIED_STUDIO_TAG = "amazondatazoneproject"
"""The tag, in lower case, of what SageMaker Unified Studio made for a project, such as domains and spaces."""

STAGE_KEYS = frozenset({"environment", "env", "stage"})
PRODUCTION_WORD = re.compile(r"(production|prod|prd|live)\d*")
"""One word of the value: "prod-eu" and "eu-west-1/production", but not "productive"."""

NEGATING_WORDS = frozenset({"non", "not", "no", "pre", "sub"})
"""Words that negate a following `PRODUCTION_WORD` word."""


def normalised_key(key: str) -> str:
    """Return a tag's key without case, blanks and separators, which people spell differently."""
    return re.sub(r"[-_:\s]", "", key.lower())


CAPITAL_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
"""The positions where a capital letter begins a word: "AppEnvironment", "MLEnv"."""


def word_readings(text: str) -> tuple[list[str], ...]:
    """
    Return the words in a key or a value, in small letters: not cut, and cut at capitals.

    "EnvironmentName" is two words, and "CloudFormation" is one; the meaning is ambiguous.
    """
    return tuple(
        re.findall(r"[a-z0-9]+", reading.lower()) for reading in (text, CAPITAL_BOUNDARY.sub(" ", text))
    )


def words_in(text: str) -> set[str]:
    """Return every word in a key or a value, in all its readings."""
    return {word for reading in word_readings(text) for word in reading}


def team_of(target: Target) -> str | None:
    """Return the team that *target*'s tags name."""
    return tag_called(target, "team")


def tag_called(target: Target, key: str) -> str | None:
    """Return the value of *target*'s tag *key*, however that is spelled; None if it is absent or empty."""
    wanted = normalised_key(key)
    return next((value for own, value in _tags(target) if normalised_key(own) == wanted and value), None)


@dataclass(frozen=True, slots=True)
class Manager:
    """The manager of a resource as a tag's value, and whether it is a *known* tool."""

    name: str
    known: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerPolicy:
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
        people = PEOPLE_KEYS.union(map(normalised_key, self.people)) - MAKER_KEYS
        no_tool = {normalised_key(value) for key, value in tags if normalised_key(key) in people} | set(
            map(normalised_key, self.filled)
        )
        found = [
            Manager(name, normalised_key(key) not in MANAGER_KEYS or _names_tool(name, self.tools))
            for key, value in tags
            if (name := managing_tool(key, value, self.tools)) is not None
        ]
        counts = [
            manager
            for manager in found
            if manager.known or not (self.tools or normalised_key(manager.name) in no_tool)
        ]
        return max(
            counts,
            key=lambda manager: (manager.name.startswith("CloudFormation"), manager.known, len(manager.name)),
            default=None,
        )


def managing_tool(key: str, value: str, tools: Sequence[str] = ()) -> str | None:
    """Return the tool that manages a resource with the tag *key* = *value*, known or not, or None."""
    name = value.strip()
    if (service := _of_aws(key.strip().lower(), name)) is not None:
        return service
    if normalised_key(key) in MANAGER_KEYS:
        return name if _names_tool(name, tools) or not _names_no_tool(name) else None
    if name.lower() in NEGATIONS:
        return None
    among = (
        words_in(value)
        if normalised_key(key) in MAKER_KEYS
        else words_in(key) | {normalised_key(key).removeprefix("managedby")}
    )
    return next((tool for tool in MANAGING_TOOLS if tool in among), None)


def _names_tool(value: str, tools: Sequence[str]) -> bool:
    return not words_in(value).isdisjoint(MANAGING_TOOLS) or any(
        normalised_key(tool) in normalised_key(value) for tool in tools
    )


def _names_no_tool(value: str) -> bool:
    """Return whether a value of `managed-by` is empty, a negation, an address, or means by hand."""
    if (
        not normalised_key(value)
        or value.lower() in BY_HAND_WORDS | NEGATIONS
        or EMAIL_ADDRESS.fullmatch(value)
    ):
        return True
    return any(
        set(reading) <= BY_HAND_WORDS | FILLER_WORDS and not BY_HAND_WORDS.isdisjoint(reading)
        for reading in word_readings(value)
    )


def _of_aws(key: str, value: str) -> str | None:
    """Return the AWS service that manages a resource with this tag."""
    if key == STACK_TAG and value:
        return f"CloudFormation stack {value}"
    if key.startswith("aws:cloudformation:"):
        return "CloudFormation"
    if key == PROJECT_TAG and value:
        return f"SageMaker project {value}"
    if key == _UNIFIED_STUDIO_TAG and value:
        return f"SageMaker Unified Studio project {value}"
    return "Bedrock Marketplace" if key == BEDROCK_TAG and value.lower() == "registered" else None


def production_environment(target: Target) -> str | None:
    """Return the production environment that *target*'s tags name, as written; None if they name none."""
    return next(
        (found for key, value in _tags(target) if (found := environment_in_tag(key, value)) is not None), None
    )


def environment_in_tag(key: str, value: str) -> str | None:
    """Return the production environment that the tag *key* = *value* names, or None. Doubt is production."""
    if normalised_key(key) not in STAGE_KEYS and STAGE_KEYS.isdisjoint(words_in(key)):
        return None
    for reading in word_readings(value):
        for before, word in zip(["", *reading], reading, strict=False):
            if PRODUCTION_WORD.fullmatch(word) and before not in NEGATING_WORDS:
                return value.strip()
    return None


def tag_protects(key: str, value: str) -> bool:
    """Return whether the tag *key* = *value* says that a tool manages the resource, or names production."""
    return managing_tool(key, value) is not None or environment_in_tag(key, value) is not None


def protection_evidence(target: Target, along: Sequence[Target] = ()) -> tuple[Evidence, ...]:
    """Return evidence that a reader should see before an action on *target* and on resources *along*."""
    others = (
        replace(mark, signal=f"{mark.signal}, {other.name}")
        for other in along
        for mark in protection_evidence(other)
    )
    source = target.tags.source if isinstance(target.tags, Value) else ""
    found = []
    if (manager := ManagerPolicy().of(target)) is not None:
        found.append(Evidence("managed by", manager.name, source=source))
    if (named := production_environment(target)) is not None:
        found.append(Evidence("environment", named, source=source))
    return (*found, *others)


def _tags(target: Target) -> Iterator[tuple[str, str]]:
    """Yield the tags of *target*; none if they were not read. Keys may differ in case only: each counts."""
    tags: Tags = target.tags.value if isinstance(target.tags, Value) else {}
    for key, value in tags.items():
        yield key, value.strip()


# --- exemptions by keep tags and the operator's ignore list ---------------------------------------


@dataclass(frozen=True, slots=True)
class Exemptions:
    """
    The keep tags and globs that exempt resources.

    *keep_tags* keep for good, unless their value is a negation (`ownership.NO`). *keep_until_tag* keeps
    through the day in its value, in *time_zone*, and for good if that day cannot be parsed. *ignore* are
    globs over ARNs. Keys are compared as `ownership.plain` does, values and ARNs without case and
    surrounding blanks (SageMaker lower-cases the names in some ARNs): an attempt to keep something keeps
    it.
    """

    keep_tags: Sequence[str] = ("janitor:keep", "keep")
    keep_until_tag: str = "janitor:keep-until"
    ignore: Sequence[str] = ()
    time_zone: str = "UTC"

    def reason(self, target: Target, now: datetime) -> str | None:
        """Return why *target* is kept, or None."""
        for glob in self.ignore:
            if fnmatchcase(target.arn.lower(), _plain(glob)):
                return f"ignored by the operator ({glob})"
        match target.tags:
            case Value(tags):
                return self._tagged(tags, now.astimezone(ZoneInfo(self.time_zone)).date())
            case _:
                return None

    def unreadable(self, target: Target) -> str | None:
        """Return why the exemption of *target* is unknown, or None if its tags were read."""
        match target.tags:
            case Value():
                return None
            case Unreadable(error):
                return f"its tags could not be read, so a keep tag may be there ({error})"
            case _:
                return "its tags were not read, so a keep tag may be there"

    def _tagged(self, tags: Tags, today: date) -> str | None:
        """Return the reason among *tags*: keys may differ only in case, and each counts."""
        keep, until = {normalised_key(key) for key in self.keep_tags}, normalised_key(self.keep_until_tag)
        for key, value in tags.items():
            if normalised_key(key) in keep and _plain(value) not in NEGATIONS:
                return f"tagged {key}={value}"
        for key, value in tags.items():
            if normalised_key(key) == until and (why := _until(value, today)) is not None:
                return f"tagged {key}={value}{why}"
        return None


def _until(value: str, today: date) -> str | None:
    """Return why *value* still keeps, as an addition to a reason; None once its day is over."""
    try:
        last_day = date.fromisoformat(value.strip())
    except ValueError:
        return ", which is not a date (YYYY-MM-DD), so it is kept"
    return "" if today <= last_day else None


def _plain(text: str) -> str:
    return text.strip().lower()
