"""The tags that a resource lacks, their values, and their addition to the resource and removal from it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from ml_janitor.aws import tags
from ml_janitor.aws.calls import ReadError, required_value
from ml_janitor.aws.client import Aws
from ml_janitor.aws.tags import AWS_TAG_PREFIX, Arn, settable_tags, target_in
from ml_janitor.core.model import Absent, Candidate, NotRead, Signal, Tags, Target, Value
from ml_janitor.core.ownership import normalised_key
from ml_janitor.core.text import join_words
from ml_janitor.detectors.untagged_resources import reading
from ml_janitor.detectors.untagged_resources.reading import Creator, TaggableResource
from ml_janitor.engine.detector import Condition, Grant, allow

# --- missing, empty and misspelt tags -------------------------------------------------------------


class TagFault(StrEnum):
    """The fault of a required tag."""

    MISSING = "missing"
    EMPTY = "empty"
    MISSPELT = "misspelt"


@dataclass(frozen=True, slots=True)
class TagLack:
    """
    One required *key* that a resource lacks.

    *spelt* are its other spellings on the resource; *filled* is true if one of them has a value.
    """

    key: str
    fault: TagFault
    spelt: tuple[str, ...] = ()
    filled: bool = False

    @property
    def words(self) -> str:
        """The fault without the key: "missing", "empty", "written as 'Owner'"."""
        instead = " and ".join(f"'{key}'" for key in self.spelt)
        match self.fault:
            case TagFault.MISSING:
                return "missing"
            case TagFault.EMPTY:
                return f"empty, and also written as {instead}" if instead else "empty"
            case TagFault.MISSPELT:
                return f"written as {instead}" if self.filled else f"written as {instead}, and empty"


def find_tag_lacks(required: Sequence[str], tags: Tags) -> tuple[TagLack, ...]:
    """Return the faults of *tags*, in the order of *required*."""
    own = settable_tags(tags)
    return tuple(lack for key in required if (lack := _lack(key, own)) is not None)


def _lack(key: str, tags: Tags) -> TagLack | None:
    if tags.get(key, "").strip():
        return None
    spelt = tuple(
        sorted(other for other in tags if other != key and normalised_key(other) == normalised_key(key))
    )
    fault = TagFault.EMPTY if key in tags else TagFault.MISSPELT if spelt else TagFault.MISSING
    return TagLack(key, fault, spelt, filled=any(tags[other].strip() for other in spelt))


def has_tag(key: str, tags: Tags) -> bool:
    """Return whether *tags* has *key*, empty or not, in any spelling: "CostCenter" is "cost-center"."""
    return any(normalised_key(other) == normalised_key(key) for other in tags)


def tag_lack_reason(found: Sequence[TagLack], required: int) -> str:
    """Return one sentence: "lacks 3 of 6 required tags: team and owner are missing; project is empty"."""
    keys: dict[str, list[str]] = {}
    for lack in found:
        keys.setdefault(lack.words, []).append(lack.key)
    faults = (
        f"{join_words(group)} {'is' if len(group) == 1 else 'are'} {fault}" for fault, group in keys.items()
    )
    return f"lacks {len(found)} of {required} required tags: {'; '.join(faults)}"


def tag_remedy(found: Sequence[TagLack]) -> str:
    """Return the proposed action. An empty tag exists already, and only a person knows its value."""
    empty = all(lack.fault is TagFault.EMPTY for lack in found)
    return "fill in the empty tags" if empty else "add the missing tags"


# --- tags to fill in ------------------------------------------------------------------------------

OWNER_KEY = "owner"
"""The required tag, in any spelling, for which the creator is suggested, and filled in."""

_LONGEST_TAG_VALUE = 256
"""Characters that a tag's value can have."""

_TAGGABLE_ARNS: Mapping[str, Sequence[str]] = {
    "sagemaker": [kind.every for kind in reading.JUDGED_KINDS],
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


# --- adding and removing tags ---------------------------------------------------------------------

TAG_UNDO_READS = frozenset(
    {
        *(kind.lists for kind in reading.JUDGED_KINDS),
        "sagemaker:ListTags",
        "s3:ListAllMyBuckets",
        "s3:GetBucketTagging",
        "ecr:DescribeRepositories",
        "ecr:ListTagsForResource",
    }
)
"""The part of the reads that `undo` needs."""

MOST_TAGS = 50
"""Tags that a resource of SageMaker, S3 or ECR can have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedResource(Candidate):
    """
    One resource with its tags: from the tagging API in bulk, and exact ones where those left a question.

    *outside* says why a sweep would not judge it; *creator* is read only for a resource that lacks a tag.
    """

    outside: str | None = None
    bulk: Signal[Tags] = field(default_factory=NotRead)
    exact: Signal[Tags] = field(default_factory=NotRead)
    creator: Signal[Creator] = field(default_factory=NotRead)


def find_tagged_resource(aws: Aws, target: Target, since: datetime) -> TaggableResource | None:
    """Return the resource as its listing shows it now. Raises ReadError."""
    arn = Arn.parse(target.arn)
    if arn.service == "sagemaker":
        kind = next((kind for kind in reading.JUDGED_KINDS if kind.type == arn.kind), None)
        if kind is not None:
            return reading.find_resource(aws, kind, target, since)
    if (arn.service, arn.kind) in {("s3", "bucket"), ("ecr", "repository")}:
        return reading.find_store(aws, target.arn, since)
    raise ReadError(f"{target.arn} is of no kind that this detector judges")


def is_same_resource(aws: Aws, target: Target) -> bool:
    """
    Return whether *target* is still there, and no other resource has its name. Raises ReadError.

    A bucket counts by its name alone: its creation date moves when its policy changes.
    """
    arn, created = Arn.parse(target.arn), target.created
    if created is None:
        raise ReadError(f"the creation time of {target.name} is unknown, so another may have its name now")
    if arn.service == "sagemaker":
        kind = next(kind for kind in reading.JUDGED_KINDS if kind.type == arn.kind)
        found = reading.find_resource(aws, kind, target, created - timedelta(days=1))
    else:
        listing = (reading.list_tagged_buckets if arn.service == "s3" else reading.list_tagged_repositories)(
            aws, frozenset()
        )
        found = reading.resource_by_arn(listing.items, target.arn)
        if found is None:
            listing.check()
    return found is not None and (arn.service == "s3" or found.created == created)


def tagged_target(aws: Aws, resource: TaggableResource, read: Signal[Tags]) -> Target:
    """Return *resource* as a target, with the tags that were *read*."""
    return target_in(aws, resource.arn, resource.name, resource.kind.type, resource.created, tags=read)


def add_tag(aws: Aws, arn: str, key: str, value: str) -> None:
    """
    Add the tag *key*, unless it is there already, in whatever spelling and with whatever value.

    Buckets get it from S3 Control's TagResource: PutBucketTagging replaces the whole set, and would lose a
    tag that is added at the same moment. TagResource works whether a bucket's tags also control access or
    not; PutBucketTagging does not (S3 User Guide, Enabling ABAC in general purpose buckets).
    """
    if has_tag(key, read_tags_now(aws, arn)):
        return
    match Arn.parse(arn).service:
        case "s3":
            aws.s3control.tag_resource(
                AccountId=aws.account, ResourceArn=arn, Tags=[{"Key": key, "Value": value}]
            )
        case "ecr":
            aws.client("ecr").tag_resource(resourceArn=arn, tags=[{"Key": key, "Value": value}])
        case _:
            aws.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": key, "Value": value}])


def remove_tag(aws: Aws, arn: str, key: str, value: str) -> None:
    """Remove the tag *key*, unless it is gone or has another value than *value* now."""
    if read_tags_now(aws, arn).get(key) != value:
        return
    match Arn.parse(arn).service:
        case "s3":
            aws.s3control.untag_resource(AccountId=aws.account, ResourceArn=arn, TagKeys=[key])
        case "ecr":
            aws.client("ecr").untag_resource(resourceArn=arn, tagKeys=[key])
        case _:
            aws.sagemaker.delete_tags(ResourceArn=arn, TagKeys=[key])


def read_tags_now(aws: Aws, arn: str) -> Tags:
    """Return the tags of *arn* as they are now. Raises ReadError."""
    return required_value(tags.read_exact_tags(aws, arn)) or {}
