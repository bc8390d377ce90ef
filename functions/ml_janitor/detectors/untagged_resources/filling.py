"""The tags to fill in, their values, and the permissions for exactly that. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ml_janitor.aws.tags import AWS_TAG_PREFIX
from ml_janitor.core.ownership import normalised_key
from ml_janitor.core.signals import Absent, Signal, Tags, Value
from ml_janitor.core.text import join_words
from ml_janitor.detectors.untagged_resources import inventory
from ml_janitor.detectors.untagged_resources.creators import Creator
from ml_janitor.detectors.untagged_resources.required_tags import TagFault, TagLack, has_tag
from ml_janitor.engine.detector import Condition, Grant, allow

OWNER_KEY = "owner"
"""The required tag, in any spelling, for which the creator is suggested, and filled in."""

_LONGEST_TAG_VALUE = 256
"""Characters that a tag's value can have."""

_TAGGABLE_ARNS: Mapping[str, Sequence[str]] = {
    "sagemaker": [kind.every for kind in inventory.JUDGED_KINDS],
    "s3": ["arn:aws:s3:::*"],
    "ecr": ["repository/*"],
}
_ADD_ACTIONS = {"sagemaker": "sagemaker:AddTags", "s3": "s3:TagResource", "ecr": "ecr:TagResource"}
_REMOVE_ACTIONS = {"sagemaker": "sagemaker:DeleteTags", "s3": "s3:UntagResource", "ecr": "ecr:UntagResource"}


def check_fill_tags(fill: Mapping[str, str], required: Sequence[str]) -> None:
    """Raise ValueError if *fill* has a key that is not required, or a value that no tag can have."""
    for key, value in fill.items():
        if key not in required:
            raise ValueError(f"fill_tags: {key!r} is none of the required tags ({', '.join(required)})")
        if key.lower().startswith(AWS_TAG_PREFIX):
            raise ValueError(f"fill_tags: {key!r} is for AWS to set")
        if not is_possible_value(value):
            raise ValueError(
                f"fill_tags: {key} cannot be {value!r}; a value has 1 to {_LONGEST_TAG_VALUE} "
                f"letters, digits, "
                "blanks or any of _.:/=+-@"
            )


def check_owner_domain(domain: str) -> None:
    """Raise ValueError if *domain* cannot be the domain of an address."""
    if domain and not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", domain):
        raise ValueError(f"owner_domain: expected a domain such as example.com, got {domain!r}")


def owner_address(name: str, domain: str) -> str:
    """
    Return the address of the person *name* in *domain*; *name* itself if it
    is an address, or without a domain.

    IAM users and sessions often have only the first part, which Slack cannot look up: such an owner is not
    notified and cannot press a button.
    """
    return name if not domain or "@" in name else f"{name}@{domain}"


def owner_of_creator(creator: Signal[Creator], domain: str) -> Signal[Creator]:
    """Return *creator* in the form of an owner's tag."""
    match creator:
        case Value(Creator(person=True) as person, source, at):
            return Value(replace(person, name=owner_address(person.name, domain)), source, at)
        case other:
            return other


def is_possible_value(value: str) -> bool:
    """
    Return whether *value* is not blank and every service accepts it:
    SageMaker's pattern is the strictest.
    """
    return (
        bool(value.strip())
        and len(value) <= _LONGEST_TAG_VALUE
        and re.fullmatch(r"[\w .:/=+\-@]*", value) is not None
    )


def tag_additions(
    found: Sequence[TagLack], fill: Mapping[str, str], creator: Signal[Creator], *, creator_owns: bool
) -> dict[str, str]:
    """
    Return the tags to add: values for keys *found* missing, not for empty or misspelt ones.

    If the creator could not be read, `owner` is not filled in, not even by default: the next sweep may know.
    """
    return {
        lack.key: value
        for lack in found
        if lack.fault is TagFault.MISSING
        and (value := _value(lack.key, fill, creator if creator_owns else None)) is not None
    }


def _value(key: str, fill: Mapping[str, str], creator: Signal[Creator] | None) -> str | None:
    if normalised_key(key) != OWNER_KEY or creator is None:
        return fill.get(key)
    match creator:
        case Value(Creator(person=True, name=name)) if is_possible_value(name):
            return name
        case Value() | Absent():
            return fill.get(key)
        case _:
            return None


def additions_text(adding: Mapping[str, str]) -> str:
    """Return the action in words: "add owner = anna@example.com and environment = unknown"."""
    return f"add {join_words([f'{key} = {value}' for key, value in adding.items()])}"


def fill_undo_text(name: str, added: Mapping[str, str], verb: str) -> str:
    """Return the effect of an undo in words; *verb* is "is" or "was"."""
    return f"what was filled in {verb} removed from {name}, unless it was changed since: {', '.join(added)}"


def is_filled(adding: Mapping[str, str], tags: Tags) -> bool:
    """
    Return whether nothing is left to add: each key is there, in whatever
    spelling and with whatever value.
    """
    return all(has_tag(key, tags) for key in adding)


def tag_adding_grants(keys: Sequence[str]) -> Iterator[Grant]:
    """
    Yield the permission to add each of *keys* alone, and only where it is not there yet.

    Each key has a permission of its own, because a condition on two keys' absence would refuse one where the
    other is there. Condition keys by the Service Authorization Reference of the three services: AddTags and
    TagResource know aws:TagKeys, and their resources aws:ResourceTag, whose key IAM compares in any case. A
    bucket's tags count only where its ABAC is on, and elsewhere pass for absent (S3 User Guide).
    """
    for key in keys:
        alone = (
            Condition("ForAllValues:StringEquals", "aws:TagKeys", (key,)),
            Condition("Null", "aws:TagKeys", ("false",)),
            Condition("Null", f"aws:ResourceTag/{key}", ("true",)),
        )
        yield from (
            allow(_ADD_ACTIONS[service], on=on, when=alone)
            for service, ons in _TAGGABLE_ARNS.items()
            for on in ons
        )


def tag_removing_grants(keys: Sequence[str]) -> Iterator[Grant]:
    """Yield the permission to remove *keys* and no other tags."""
    only = (
        Condition("ForAllValues:StringEquals", "aws:TagKeys", tuple(keys)),
        Condition("Null", "aws:TagKeys", ("false",)),
    )
    yield from (
        allow(_REMOVE_ACTIONS[service], on=on, when=only)
        for service, ons in _TAGGABLE_ARNS.items()
        for on in ons
    )
