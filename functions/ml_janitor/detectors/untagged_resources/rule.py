"""Resources that lack required tags, and the act that fills them in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any

from ml_janitor.aws import tags
from ml_janitor.aws.calls import ReadError, required_value
from ml_janitor.aws.client import Aws
from ml_janitor.aws.sagemaker_kinds import TRAINING_JOB
from ml_janitor.aws.tags import AWS_TAG_PREFIX, Arn, settable_tags, target_in
from ml_janitor.core.model import (
    Absent,
    Candidate,
    Change,
    Confidence,
    Effect,
    Evidence,
    NotRead,
    Rule,
    Signal,
    Tags,
    Target,
    Unreadable,
    Value,
    Verdict,
    as_evidence,
)
from ml_janitor.core.ownership import normalised_key
from ml_janitor.core.text import count_noun, join_words
from ml_janitor.detectors.untagged_resources import reading
from ml_janitor.detectors.untagged_resources.reading import Creator, TaggableResource
from ml_janitor.engine.detector import (
    CannotActError,
    Cleanup,
    Condition,
    Constant,
    Detector,
    Grant,
    Steps,
    allow,
    in_own_buckets,
)

#
# The tags that a resource lacks, their values, and their addition to the resource and removal from it.

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
    spelt: tuple[str, ...]
    filled: bool

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
    return f"lacks {len(found)} of {count_noun(required, 'required tag')}: {'; '.join(faults)}"


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
        yield from in_own_buckets(
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
    yield from in_own_buckets(
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


# --- the detector ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class UntaggedResources(Detector[TaggedResource]):
    """
    Finds SageMaker resources, and buckets and repositories they use, without the required tags.

    A resource without a known owner is never cleaned up. If the creator is filled in as owner,
    `owner_domain` completes a name to an address, by which Slack looks people up.
    """

    name = "untagged-resources"
    schedule = "cron(0 5 ? * MON *)"
    kinds = (*(kind.type for kind in reading.JUDGED_KINDS), "bucket", "repository")
    asks_for = Change.TAG
    cleanup = Cleanup(
        effect=Effect.TAG,
        grace=timedelta(days=1),
        act_on=Confidence.PROVEN,
        lost="",
    )
    reads = (
        *(allow(kind.lists) for kind in reading.JUDGED_KINDS),
        allow("sagemaker:Search"),
        *(allow("sagemaker:ListTags", on=kind.every) for kind in reading.JUDGED_KINDS),
        allow("tag:GetResources"),
        allow("s3:ListAllMyBuckets"),
        *in_own_buckets([allow("s3:GetBucketTagging", on="arn:aws:s3:::*")]),
        allow("ecr:DescribeRepositories", on="repository/*"),
        allow("ecr:ListTagsForResource", on="repository/*"),
        allow("cloudtrail:LookupEvents"),
    )

    required: tuple[str, ...] = ("team", "project", "environment", "cost-center", "owner", "managed-by")
    recent: Constant[timedelta] = timedelta(days=7)
    fill_tags: Mapping[str, str] = field(default_factory=dict)
    fill_owner: bool = False
    owner_domain: str = ""

    def __post_init__(self) -> None:
        check_fill_tags(self.fill_tags, self.required)
        check_owner_domain(self.owner_domain)

    @property
    def filled(self) -> tuple[str, ...]:
        """The keys that may be filled in, in the order of *required*."""
        return tuple(key for key in self.required if key in self.fill_tags or self._from_creator(key))

    def _from_creator(self, key: str) -> bool:
        return normalised_key(key) == OWNER_KEY and self.fill_owner

    @property
    def acts(self) -> tuple[Grant, ...]:
        """The permissions to add the keys that are filled in, each where it is absent."""
        return tuple(tag_adding_grants(self.filled))

    @property
    def undoes(self) -> tuple[Grant, ...]:
        """
        The permissions to remove required tags: additions by an earlier `fill_tags` can be undone too.

        The listings show whether a resource is still the same one.
        """
        return (
            *(grant for grant in self.reads if grant.action in TAG_UNDO_READS),
            *tag_removing_grants(self.required),
        )

    def never_acts(self) -> str | None:
        return None if self.filled else "fill_tags is empty, and no owner is filled in"

    def find(self, aws: Aws, now: datetime) -> Iterator[TaggedResource]:
        """List by kind, read tags in bulk, and exact tags where a required tag is not there."""
        since = now - self.recent
        listings = [
            partial(reading.read_resources, aws, kind, query, since)
            for kind in reading.JUDGED_KINDS
            if kind is not TRAINING_JOB
            for query in reading.listing_queries(kind, since)
        ]
        listings.append(partial(reading.read_training_jobs, aws, since, now))
        stores = reading.read_stores(aws, since)
        account = reading.join_unique([*aws.map(lambda read: read(), listings), stores])
        judged = [resource for resource in account.items if resource.outside is None]
        book = tags.read_tags_of(aws, [resource.arn for resource in judged])
        yield from self._candidates(aws, judged, [book.of(resource.arn) for resource in judged], now)
        account.check()

    def look(self, aws: Aws, target: Target, now: datetime) -> TaggedResource | None:
        """Read one resource: the same listing, narrowed to its name, and exact tags."""
        resource = find_tagged_resource(aws, target, now - self.recent)
        if resource is None:
            return None
        (candidate,) = self._candidates(aws, [resource], [NotRead()], now)
        return candidate

    def decide(self, candidate: TaggedResource, now: datetime) -> Verdict:
        """Judge it, proven by its own list of tags; the tagging API alone proves only that all are there."""
        rule = Rule()
        confirmed = not isinstance(candidate.exact, NotRead)
        read = candidate.exact if confirmed else candidate.bulk
        rule.saw(as_evidence("tags", read, lambda own: ", ".join(sorted(own)) or "none"))  # values stay out
        if candidate.outside is not None:
            return rule.kept(candidate.outside)
        if not isinstance(read, Value):
            why = f": {read.error}" if isinstance(read, Unreadable) else ""
            return rule.unknown(f"its tags could not be read{why}")
        if not (found := find_tag_lacks(self.required, read.value)):
            return rule.kept("it has every required tag")
        if not confirmed:
            return rule.unknown("it seems to lack tags, but its own list of tags was not read")
        rule.passed("its own list of tags was read, and does not hold every required one")
        rule.saw(*(Evidence(f"tag {lack.key}", lack.words, source=read.source) for lack in found))
        rule.saw(*_creator(candidate.creator, found, self.owner_domain))
        kind = candidate.target.kind.replace("-", " ")
        adding = self._additions(candidate, found)
        return rule.found(
            f"this {kind} {tag_lack_reason(found, len(self.required))}",
            Confidence.PROVEN,
            action=additions_text(adding) if adding else tag_remedy(found),
            since=candidate.target.created,
            spared=None if adding else self._spared(candidate, found),
        )

    def prepare(self, aws: Aws, candidate: TaggedResource, memo: Mapping[str, Any]) -> Mapping[str, Any]:
        if not isinstance(candidate.exact, Value):
            raise CannotActError("its own list of tags was not read")
        own = candidate.exact.value
        adding = self._additions(candidate, find_tag_lacks(self.required, own))
        if len(own) + len(adding) > MOST_TAGS:
            raise CannotActError(f"it has {count_noun(len(own), 'tag')}, and AWS takes {MOST_TAGS}")
        return {"tags": dict(own), "add": adding}

    def act(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        for key, value in record["add"].items():
            steps.do(f"add {key}", partial(add_tag, aws, target.arn, key, value))

    def is_done(self, aws: Aws, target: Target, record: Mapping[str, Any]) -> bool:
        if not is_same_resource(aws, target):
            return True
        return is_filled(record["add"], read_tags_now(aws, target.arn))

    def revert(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> str | None:
        if not is_same_resource(aws, target):
            raise CannotActError("it is gone, or another resource has its name now")
        for key, value in record["add"].items():
            steps.do(f"remove {key}", partial(remove_tag, aws, target.arn, key, value))
        return fill_undo_text(target.name, record["add"], "was")

    def revert_effect(self, target: Target, record: Mapping[str, Any]) -> str:
        return fill_undo_text(target.name, record["add"], "is")

    def _additions(self, candidate: TaggedResource, found: Sequence[TagLack]) -> dict[str, str]:
        owner = owner_of_creator(candidate.creator, self.owner_domain)
        return tag_additions(found, self.fill_tags, owner, creator_owns=self.fill_owner)

    def _spared(self, candidate: TaggedResource, found: Sequence[TagLack]) -> str:
        """Return why nothing is filled in."""
        missing = [lack.key for lack in found if lack.fault is TagFault.MISSING]
        if not missing:
            return "no tag is absent: only a person knows what belongs into those that are there"
        if isinstance(candidate.creator, Unreadable) and any(map(self._from_creator, missing)):
            return f"who created it could not be read ({candidate.creator.error})"
        return f"fill_tags has nothing for {join_words(missing)}"

    def _candidates(
        self, aws: Aws, resources: Sequence[TaggableResource], bulk: Sequence[Signal[Tags]], now: datetime
    ) -> Iterator[TaggedResource]:
        """Yield *resources* with their tags: exact ones where *bulk* does not show every required tag."""
        open_ = [resource for resource, seen in zip(resources, bulk, strict=True) if not self._complete(seen)]
        read = aws.map(lambda resource: tags.read_exact_tags(aws, resource.arn), open_)
        exact = {resource.arn: own for resource, own in zip(open_, read, strict=True)}
        lacking = [
            resource
            for resource in open_
            if isinstance(exact[resource.arn], Value) and not self._complete(exact[resource.arn])
        ]
        who = reading.read_creators(aws, lacking, now)
        for resource, seen in zip(resources, bulk, strict=True):
            own = exact.get(resource.arn, NotRead())
            yield TaggedResource(
                target=tagged_target(
                    aws, resource, own if isinstance(own, Value) or isinstance(seen, NotRead) else seen
                ),
                outside=resource.outside,
                bulk=seen,
                exact=own,
                creator=who.get(resource.arn, NotRead()),
            )

    def _complete(self, read: Signal[Tags]) -> bool:
        return isinstance(read, Value) and not find_tag_lacks(self.required, read.value)


def _creator(read: Signal[Creator], found: Sequence[TagLack], domain: str) -> Iterator[Evidence]:
    match read:
        case Value(creator):
            yield as_evidence("created by", read, str(creator))
            for lack in (lack for lack in found if creator.person and normalised_key(lack.key) == OWNER_KEY):
                owner = owner_address(creator.name, domain)
                yield Evidence("suggestion", f"{lack.key} = {owner}?", source=read.source)
        case Absent():
            yield as_evidence("created by", read, "not in CloudTrail, which remembers 90 days")
        case Unreadable():
            yield as_evidence("created by", read)
