"""Resources that lack required tags, and the act that fills them in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from ml_janitor.aws import tags
from ml_janitor.aws.client import Aws
from ml_janitor.aws.sagemaker_kinds import TRAINING_JOB
from ml_janitor.core.model import (
    Absent,
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
from ml_janitor.core.text import join_words
from ml_janitor.detectors.untagged_resources import act, reading
from ml_janitor.detectors.untagged_resources.act import (
    OWNER_KEY,
    TagFault,
    TaggedResource,
    TagLack,
    find_tag_lacks,
    tag_lack_reason,
    tag_remedy,
)
from ml_janitor.detectors.untagged_resources.reading import Creator, TaggableResource
from ml_janitor.engine.detector import CannotActError, Cleanup, Detector, Grant, Steps, allow


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
        allow("s3:GetBucketTagging", on="arn:aws:s3:::*"),
        allow("ecr:DescribeRepositories", on="repository/*"),
        allow("ecr:ListTagsForResource", on="repository/*"),
        allow("cloudtrail:LookupEvents"),
    )

    required: tuple[str, ...] = ("team", "project", "environment", "cost-center", "owner", "managed-by")
    recent: timedelta = timedelta(days=7)
    fill_tags: Mapping[str, str] = field(default_factory=dict)
    fill_owner: bool = True
    owner_domain: str = ""

    def __post_init__(self) -> None:
        act.check_fill_tags(self.fill_tags, self.required)
        act.check_owner_domain(self.owner_domain)

    @property
    def filled(self) -> tuple[str, ...]:
        """The keys that may be filled in, in the order of *required*."""
        return tuple(key for key in self.required if key in self.fill_tags or self._from_creator(key))

    def _from_creator(self, key: str) -> bool:
        return normalised_key(key) == OWNER_KEY and self.fill_owner

    @property
    def acts(self) -> tuple[Grant, ...]:
        """The permissions to add the keys that are filled in, each where it is absent."""
        return tuple(act.tag_adding_grants(self.filled))

    @property
    def undoes(self) -> tuple[Grant, ...]:
        """
        The permissions to remove required tags: additions by an earlier `fill_tags` can be undone too.

        The listings show whether a resource is still the same one.
        """
        return (
            *(grant for grant in self.reads if grant.action in act.TAG_UNDO_READS),
            *act.tag_removing_grants(self.required),
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
        resource = act.find_tagged_resource(aws, target, now - self.recent)
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
            action=act.additions_text(adding) if adding else tag_remedy(found),
            since=candidate.target.created,
            spared=None if adding else self._spared(candidate, found),
        )

    def prepare(self, aws: Aws, candidate: TaggedResource, memo: Mapping[str, Any]) -> Mapping[str, Any]:
        if not isinstance(candidate.exact, Value):
            raise CannotActError("its own list of tags was not read")
        own = candidate.exact.value
        adding = self._additions(candidate, find_tag_lacks(self.required, own))
        if len(own) + len(adding) > act.MOST_TAGS:
            raise CannotActError(f"it has {len(own)} tags, and AWS takes {act.MOST_TAGS}")
        return {"tags": dict(own), "add": adding}

    def act(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        for key, value in record["add"].items():
            steps.do(f"add {key}", partial(act.add_tag, aws, target.arn, key, value))

    def is_done(self, aws: Aws, target: Target, record: Mapping[str, Any]) -> bool:
        if not act.is_same_resource(aws, target):
            return True
        return act.is_filled(record["add"], act.read_tags_now(aws, target.arn))

    def revert(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> str | None:
        if not act.is_same_resource(aws, target):
            raise CannotActError("it is gone, or another resource has its name now")
        for key, value in record["add"].items():
            steps.do(f"remove {key}", partial(act.remove_tag, aws, target.arn, key, value))
        return act.fill_undo_text(target.name, record["add"], "was")

    def revert_effect(self, target: Target, record: Mapping[str, Any]) -> str:
        return act.fill_undo_text(target.name, record["add"], "is")

    def _additions(self, candidate: TaggedResource, found: Sequence[TagLack]) -> dict[str, str]:
        owner = act.owner_of_creator(candidate.creator, self.owner_domain)
        return act.tag_additions(found, self.fill_tags, owner, creator_owns=self.fill_owner)

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
                target=act.tagged_target(
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
                owner = act.owner_address(creator.name, domain)
                yield Evidence("suggestion", f"{lack.key} = {owner}?", source=read.source)
        case Absent():
            yield as_evidence("created by", read, "not in CloudTrail, which remembers 90 days")
        case Unreadable():
            yield as_evidence("created by", read)
