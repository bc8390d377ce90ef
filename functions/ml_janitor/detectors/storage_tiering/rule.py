"""Old bytes in STANDARD."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any

from annotated_types import Interval

from ml_janitor.aws import metrics, tags
from ml_janitor.aws.arns import target_in
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import GET_PRODUCTS
from ml_janitor.aws.referrers import REFERRER_KINDS
from ml_janitor.aws.sagemaker_kinds import MODEL_PACKAGE_GROUP, SEARCH
from ml_janitor.core.cost import Cost
from ml_janitor.core.exemptions import Exemptions
from ml_janitor.core.lifecycles import LifecycleRule
from ml_janitor.core.model import Change, Confidence, Effect, Rule, Target, Verdict
from ml_janitor.core.signals import Evidence, Unreadable, Value
from ml_janitor.core.signals import as_evidence as shown
from ml_janitor.core.text import format_size
from ml_janitor.core.tiering import GB, TieringSaving
from ml_janitor.detectors.storage_tiering import bucket as buckets
from ml_janitor.detectors.storage_tiering import writing
from ml_janitor.detectors.storage_tiering.bucket import BUCKET_KIND, LIST_OBJECT_VERSIONS, TieringBucket
from ml_janitor.detectors.storage_tiering.plans import (
    ConsideredPlans,
    TieringLimits,
    TieringPlan,
    plan_tiering,
    planned_keys,
)
from ml_janitor.detectors.storage_tiering.policies import (
    DEFAULT_TIERING_FOLDERS,
    DEFAULT_TIERING_POLICIES,
    parse_policies,
)
from ml_janitor.engine.detector import Cleanup, Detector, Grant, Steps, allow, allow_each

_EVERY_BUCKET = "arn:aws:s3:::*"

_MOST_RULES_SHOWN = 20
"""Rules up to which a finding shows the whole configuration."""

_LEAST_NONCURRENT = timedelta(days=90)
"""Longest time for which an undo may need an old version."""


@dataclass(frozen=True)
class StorageTiering(Detector[TieringBucket]):
    """
    Finds buckets with old bytes in STANDARD, old versions, or incomplete uploads.

    What is read decides into which class it may go, and where that is not known, S3 finds it out
    (Intelligent-Tiering).
    """

    name = "storage-tiering"
    schedule = "cron(40 6 ? * MON *)"
    kinds = (BUCKET_KIND,)
    asks_for = Change.LIFECYCLE
    cleanup = Cleanup(
        effect=Effect.TIER, grace=timedelta(days=3), act_on=Confidence.PROVEN, lost=writing.TIERING_LOST
    )
    reads = (
        allow("s3:ListAllMyBuckets"),
        *allow_each(
            "s3", "ListBucketVersions", "ListBucketMultipartUploads", "GetBucketTagging", on=_EVERY_BUCKET
        ),
        *allow_each("s3", "GetLifecycleConfiguration", "GetBucketObjectLockConfiguration", on=_EVERY_BUCKET),
        allow("s3:GetMetricsConfiguration", on=_EVERY_BUCKET),
        allow("s3:GetObjectTagging", on="arn:aws:s3:::*/*"),
        allow(metrics.GET_METRIC_DATA),
        allow(tags.GET_RESOURCES),
        *(allow(kind.lists, on=kind.listed_on) for kind in (*REFERRER_KINDS, MODEL_PACKAGE_GROUP)),
        *(allow(kind.describes, on=kind.every) for kind in REFERRER_KINDS),
        allow(SEARCH),
        allow(GET_PRODUCTS),
    )

    policies: Mapping[str, str] = field(default_factory=partial(dict, DEFAULT_TIERING_POLICIES), hash=False)
    folders: Mapping[str, str] = field(default_factory=partial(dict, DEFAULT_TIERING_FOLDERS), hash=False)
    min_gb: Annotated[float, Interval(gt=0)] = 50.0
    payback: timedelta = timedelta(days=180)
    noncurrent: timedelta = timedelta(days=90)
    uploads: timedelta = timedelta(days=7)
    read_tags_up_to: Annotated[int, Interval(ge=0)] = 1000
    keep_tags: tuple[str, ...] = ("janitor:keep", "keep")
    keep_until_tag: str = "janitor:keep-until"
    act_on_buckets: tuple[str, ...] = ()
    undo_buckets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        parse_policies(self.policies, self.folders)
        if self.noncurrent < _LEAST_NONCURRENT:
            raise ValueError(
                f"noncurrent is at least {_LEAST_NONCURRENT.days} days: an undo may need an old version"
            )
        if self.uploads < timedelta(days=1):
            raise ValueError("uploads is at least a day")
        writing.check_bucket_names(self.act_on_buckets, setting="act_on_buckets")
        writing.check_bucket_names(self.undo_buckets, setting="undo_buckets")

    @property
    def acts(self) -> tuple[Grant, ...]:
        """
        The permissions to write the lifecycle configurations of the buckets
        that `act_on_buckets` names.
        """
        return tuple(
            allow(writing.WRITE_LIFECYCLE_ACTION, on=f"arn:aws:s3:::{name}") for name in self.act_on_buckets
        )

    @property
    def undoes(self) -> tuple[Grant, ...]:
        """The permissions to read and write them, also for buckets that it named before (`undo_buckets`)."""
        both, names = (writing.READ_LIFECYCLE_ACTION, writing.WRITE_LIFECYCLE_ACTION), self._undo_buckets
        return tuple(allow(action, on=f"arn:aws:s3:::{name}") for action in both for name in names)

    @property
    def _undo_buckets(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.act_on_buckets, *self.undo_buckets)))

    def missing_for_undo(self, target: Target, record: Mapping[str, Any]) -> str:
        """
        Return the setting without which the undo function could not write the
        bucket's rules; "" if it can.
        """
        if target.name in self._undo_buckets:
            return ""
        return f'undo_buckets = ["{target.name}"] in detectors.{self.name}'

    def never_acts(self) -> str | None:
        return None if self.act_on_buckets else "act_on_buckets is empty, so no bucket may be given rules"

    @property
    def least(self) -> int:
        """The least bytes of a bucket."""
        return int(self.min_gb * GB)

    def look(self, aws: Aws, target: Target, now: datetime) -> TieringBucket | None:
        return next(self.find(aws, now, target.name), None)

    def find(self, aws: Aws, now: datetime, only: str | None = None) -> Iterator[TieringBucket]:
        """Yield every bucket; contents are listed only where CloudWatch counts enough bytes."""
        listing = buckets.list_measured_buckets(aws, now, only)
        large = [bucket for bucket in listing.items if self._large(bucket)]
        yield from (bucket for bucket in listing.items if not self._large(bucket))
        for bucket in buckets.read_tiering_buckets(aws, large, now):
            keys = planned_keys(self.plans(bucket, now).found)
            few = keys if len(keys) <= self.read_tags_up_to else []
            tagged = buckets.read_tags_of_keys(aws, bucket.name, few)
            known = replace(bucket, tagged=tagged)
            kept_with = tuple(self._objects(known, aws, now))
            yield replace(known, takes_along=kept_with, proposed=self.proposed(known, now))
        listing.check()

    def _large(self, bucket: TieringBucket) -> bool:
        return isinstance(bucket.stored, Value) and bucket.stored.value >= self.least

    def _objects(self, bucket: TieringBucket, aws: Aws, now: datetime) -> Iterator[Target]:
        """Yield the objects in proposed folders that have a tag, or whose tags are unknown."""
        for key in planned_keys(self.plans(bucket, now).found):
            signal = bucket.tagged.get(key)
            if isinstance(signal, Unreadable) or (isinstance(signal, Value) and signal.value):
                arn = f"{bucket.target.arn}/{key}"
                yield target_in(aws, arn, f"s3://{bucket.name}/{key}", "object", None, tags=signal)

    @property
    def _limits(self) -> TieringLimits:
        return TieringLimits(
            policies=parse_policies(self.policies, self.folders),
            least=self.least,
            payback_days=self.payback.days,
            noncurrent_days=self.noncurrent.days,
            upload_days=self.uploads.days,
            exemptions=Exemptions(keep_tags=self.keep_tags, keep_until_tag=self.keep_until_tag),
        )

    def proposed(self, candidate: TieringBucket, now: datetime) -> tuple[LifecycleRule, ...]:
        """Return the rules that would be added to the bucket's lifecycle configuration."""
        return tuple(plan.rule for plan in self.plans(candidate, now).found)

    def plans(self, candidate: TieringBucket, now: datetime) -> ConsideredPlans:
        """Return the proposals folder by folder, with each rule's saving, and why others stay."""
        return plan_tiering(candidate, self._limits, now)

    def decide(self, candidate: TieringBucket, now: datetime) -> Verdict:
        rule = Rule()
        rule.saw(
            shown("bytes in STANDARD", candidate.stored, lambda stored: format_size(int(stored))),
            shown("objects", candidate.objects, int),
        )
        if isinstance(candidate.stored, Unreadable):
            return rule.unknown(f"how much it holds is unknown ({candidate.stored.error})")
        stored = int(candidate.stored.value) if isinstance(candidate.stored, Value) else 0
        if stored < self.least:
            return rule.kept(
                f"it holds {format_size(stored)} in STANDARD as CloudWatch measured it; judged from"
                f" {format_size(self.least)} on"
            )
        rule.passed(f"it holds {format_size(stored)} in STANDARD")
        if (why := _unread(candidate)) is not None:
            return rule.unknown(why)
        if isinstance(candidate.lock, Value):
            return rule.kept("it has Object Lock: what is under a retention or legal hold must stay")
        considered = self.plans(candidate, now)
        if not considered.found:
            return rule.kept("; ".join(considered.kept[:3]) or "nothing in it is old enough")
        rule.passed("; ".join(considered.kept[:3]) or "nothing in it has to stay as it is")
        return self._found(rule, candidate, considered.found)

    def _found(self, rule: Rule, candidate: TieringBucket, found: Sequence[TieringPlan]) -> Verdict:
        saved = [plan.saving for plan in found if plan.saving is not None]
        total = sum(saved, TieringSaving())
        moved, deleted = total.moved, total.deleted
        rule.saw(
            *(
                Evidence(plan.rule.prefix or "the whole bucket", plan.words, source=LIST_OBJECT_VERSIONS)
                for plan in found
            )
        )
        keys = planned_keys(found)
        untagged = len(keys) - len(candidate.tagged)
        unsure = [plan for plan in found if not plan.reads_known]
        spared = None
        if untagged > 0:
            spared = f"the tags of {untagged} objects in it were not read, and one may be kept"
        elif candidate.gaps:
            spared = f"any object may be in use: {candidate.gaps[0]}"
        versions = any(plan.rule.noncurrent_expire_after is not None for plan in found)
        proven = not unsure and not versions and spared is None
        added = [plan.rule for plan in found]
        spared = spared or writing.why_bucket_spared(
            candidate.name, self.act_on_buckets, candidate.configuration, added
        )
        what = [
            f"{format_size(moved)} would be moved" if moved else "",
            f"{format_size(deleted)} deleted" if deleted else "",
        ]
        done = (
            " and ".join(part for part in what if part)
            or "what was uploaded of objects never completed would be deleted"
        )
        return rule.found(
            f"{done} by {len(found)} lifecycle rule{'s' if len(found) > 1 else ''}: "
            + "; ".join(f"{plan.rule.prefix or 'the whole bucket'}: {plan.words}" for plan in found[:3]),
            Confidence.PROVEN if proven else Confidence.LIKELY,
            action=_command(candidate, added),
            cost=Cost.saving(total.month, candidate.priced, once_usd=total.once) if saved else Cost(),
            spared=spared,
            noun="bucket of old objects",
            to_prove=f"that nothing reads it: switch on request metrics of {candidate.name}, and wait 30 days"
            if unsure
            else "that nobody needs an old version: their tags are not read"
            if versions
            else "",
        )

    def prepare(self, aws: Aws, candidate: TieringBucket, memo: Mapping[str, Any]) -> Mapping[str, Any]:
        return writing.prepare_rules(aws, candidate.name, candidate.proposed)

    def act(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        writing.act(aws, record, steps)

    def is_done(self, aws: Aws, target: Target, record: Mapping[str, Any]) -> bool:
        return writing.is_done(aws, record)

    def revert(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> str | None:
        return writing.revert(aws, record, steps)

    def revert_effect(self, target: Target, record: Mapping[str, Any]) -> str:
        return writing.undo_rules_text(record)


def _unread(candidate: TieringBucket) -> str | None:
    """Return why it cannot be judged, or None."""
    named = {
        "its lifecycle rules are": candidate.lifecycle,
        "whether its objects are locked is": candidate.lock,
        "what it holds is": candidate.root,
        "what of it is uploaded is": candidate.uploads,
    }
    for what, signal in named.items():
        if isinstance(signal, Unreadable):
            return f"{what} unknown ({signal.error})"
    if candidate.unsearched is not None:
        return f"what refers to its objects is unknown ({candidate.unsearched})"
    return None if "STANDARD" in candidate.rates else "no price of storage is known in this region"


def _command(candidate: TieringBucket, added: Sequence[LifecycleRule]) -> str:
    """Return the command that adds the rules to those that are there."""
    there, least = candidate.rules, candidate.configuration.minimum
    new = [rule.as_json() for rule in added]
    if len(there) + len(new) > _MOST_RULES_SHOWN:
        return f"add to the {len(there)} lifecycle rules of {candidate.name}, which stay: {json.dumps(new)}"
    whole = json.dumps({"Rules": [*there, *new]}, default=str)
    return (
        f"aws s3api put-bucket-lifecycle-configuration --bucket {candidate.name}"
        f"{f' --transition-default-minimum-object-size {least}' if least else ''}"
        f" --lifecycle-configuration {shlex.quote(whole)}"
        f" (its {len(there)} rules stay, {len(new)} are added)"
    )
