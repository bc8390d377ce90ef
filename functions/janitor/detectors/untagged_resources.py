"""Resources without the tags that say whose they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from janitor import creators, inventory, storage, tags
from janitor.arns import Arn
from janitor.aws import ReadError
from janitor.creators import Creator
from janitor.detector import Cleanup, Detector, allow
from janitor.inventory import Resource
from janitor.model import (
    Absent,
    Candidate,
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
    evidence,
)
from janitor.required_tags import Lack, lacks, remedy, told

if TYPE_CHECKING:
    from janitor.aws import Aws

OWNER = "owner"
"""The required tag for which the creator is suggested."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedResource(Candidate):
    """
    One resource with its tags: from the tagging API in bulk, and exactly where those left a question.

    *outside* says why a sweep would not judge it; *creator* is read only for what lacks a tag.
    """

    outside: str | None = None
    bulk: Signal[Tags] = field(default_factory=NotRead)
    exact: Signal[Tags] = field(default_factory=NotRead)
    creator: Signal[Creator] = field(default_factory=NotRead)


@dataclass(frozen=True)
class UntaggedResources(Detector[TaggedResource]):
    """
    Finds SageMaker resources, and buckets and repositories they use, without the required tags.

    A resource that nobody can name an owner for is never cleaned up, and its cost is nobody's.
    """

    name = "untagged-resources"
    schedule = "cron(0 5 ? * MON *)"
    kinds = (*(kind.type for kind in inventory.KINDS), "bucket", "repository")
    cleanup = Cleanup(
        effect=Effect.TAG,
        grace=timedelta(days=1),
        act_on=Confidence.PROVEN,
        lost="",
    )
    reads = (
        *(allow(f"sagemaker:{kind.operation}") for kind in inventory.KINDS),
        allow("sagemaker:Search"),
        allow("sagemaker:ListTags", on="*/*"),
        allow("tag:GetResources"),
        allow("s3:ListAllMyBuckets"),
        allow("s3:GetBucketTagging", on="arn:aws:s3:::*"),
        allow("ecr:DescribeRepositories", on="repository/*"),
        allow("ecr:ListTagsForResource", on="repository/*"),
        allow("cloudtrail:LookupEvents"),
    )

    required: tuple[str, ...] = ("team", "project", "environment", "cost-center", "owner", "managed-by")
    recent: timedelta = timedelta(days=7)

    def find(self, aws: Aws, now: datetime) -> Iterator[TaggedResource]:
        """List by kind, ask for tags in bulk, and for exact ones where a required tag is not there."""
        since = now - self.recent
        listings = [
            partial(inventory.read, aws, kind, query, since)
            for kind in inventory.KINDS
            for query in kind.queries(since)
        ]
        stores = storage.read(aws, since)
        account = inventory.once([*aws.map(lambda read: read(), listings), stores])
        judged = [one for one in account.items if one.outside is None]
        book = tags.of_many(aws, [one.arn for one in judged])
        yield from self._candidates(aws, judged, [book.of(one.arn) for one in judged], now)
        account.check()

    def look(self, aws: Aws, target: Target, now: datetime) -> TaggedResource | None:
        """The same listing, narrowed to one name, and exact tags."""
        resource = _look(aws, target, now - self.recent)
        if resource is None:
            return None
        (candidate,) = self._candidates(aws, [resource], [NotRead()], now)
        return candidate

    def decide(self, candidate: TaggedResource, now: datetime) -> Verdict:  # noqa: ARG002 - a tag has no age
        """Proven by the resource's own list of tags; the tagging API alone proves only that all are there."""
        rule = Rule()
        confirmed = not isinstance(candidate.exact, NotRead)
        read = candidate.exact if confirmed else candidate.bulk
        rule.saw(_shown(read))
        if candidate.outside is not None:
            return rule.kept(candidate.outside)
        if not isinstance(read, Value):
            why = f": {read.error}" if isinstance(read, Unreadable) else ""
            return rule.unknown(f"its tags could not be read{why}")
        if not (found := lacks(self.required, read.value)):
            return rule.kept("it has every required tag")
        if not confirmed:
            return rule.unknown("it seems to lack tags, but its own list of tags was not read")
        rule.passed("its own list of tags was read, and does not hold every required one")
        rule.saw(*(Evidence(f"tag {lack.key}", lack.said, source=read.source) for lack in found))
        rule.saw(*_creator(candidate.creator, found))
        kind = candidate.target.kind.replace("-", " ")
        return rule.found(
            f"this {kind} {told(found, len(self.required))}",
            Confidence.PROVEN,
            action=remedy(found),
            since=candidate.target.created,
        )

    def _candidates(
        self, aws: Aws, resources: Sequence[Resource], bulk: Sequence[Signal[Tags]], now: datetime
    ) -> Iterator[TaggedResource]:
        """*resources* with their tags: exact ones where *bulk* does not show every required tag."""
        open_ = [one for one, seen in zip(resources, bulk, strict=True) if not self._complete(seen)]
        read = aws.map(lambda one: tags.exactly(aws, one.arn), open_)
        exact = {one.arn: own for one, own in zip(open_, read, strict=True)}
        lacking = [
            one for one in open_ if isinstance(exact[one.arn], Value) and not self._complete(exact[one.arn])
        ]
        who = creators.read(aws, lacking, now)
        for one, seen in zip(resources, bulk, strict=True):
            own = exact.get(one.arn, NotRead())
            yield TaggedResource(
                target=_target(
                    aws, one, own if isinstance(own, Value) or isinstance(seen, NotRead) else seen
                ),
                outside=one.outside,
                bulk=seen,
                exact=own,
                creator=who.get(one.arn, NotRead()),
            )

    def _complete(self, read: Signal[Tags]) -> bool:
        return isinstance(read, Value) and not lacks(self.required, read.value)


def _look(aws: Aws, target: Target, since: datetime) -> Resource | None:
    """The resource as its listing shows it now. Raises ReadError."""
    arn = Arn.parse(target.arn)
    if arn.service == "sagemaker":
        kind = next((kind for kind in inventory.KINDS if kind.type == arn.kind), None)
        if kind is not None:
            return inventory.look(aws, kind, target.arn, target.name, since)
    if (arn.service, arn.kind) in {("s3", "bucket"), ("ecr", "repository")}:
        return storage.look(aws, target.arn, since)
    raise ReadError(f"{target.arn} is of no kind that this detector judges")


def _target(aws: Aws, resource: Resource, read: Signal[Tags]) -> Target:
    return Target(
        arn=resource.arn,
        name=resource.name,
        kind=resource.type,
        account=aws.account,
        region=aws.region,
        created=resource.created,
        tags=read,
    )


def _shown(read: Signal[Tags]) -> Evidence:
    """The keys only: what stands in the tags is the owner's business."""
    keys = ", ".join(sorted(read.value)) or "none" if isinstance(read, Value) else None
    return evidence("tags", read, keys)


def _creator(read: Signal[Creator], found: Sequence[Lack]) -> Iterator[Evidence]:
    match read:
        case Value(creator):
            yield evidence("created by", read, str(creator))
            if creator.person and any(lack.key == OWNER for lack in found):
                yield Evidence("suggestion", f"{OWNER} = {creator.name}?", source=read.source)
        case Absent():
            yield evidence("created by", read, "not in CloudTrail, which remembers 90 days")
        case Unreadable():
            yield evidence("created by", read)
