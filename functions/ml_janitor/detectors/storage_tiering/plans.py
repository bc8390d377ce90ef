"""The lifecycle rules that a bucket lacks, folder by folder: none where an object has to stay."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from ml_janitor.core.exemptions import Exemptions
from ml_janitor.core.lifecycles import INTELLIGENT_TIERING, LifecycleRule
from ml_janitor.core.signals import Value
from ml_janitor.core.text import format_size, format_usd
from ml_janitor.core.tiering import (
    RESTORE_CLASSES,
    STANDARD,
    TieringSaving,
    saving_of_rule,
    worthwhile_transitions,
)
from ml_janitor.detectors.storage_tiering.bucket import TieringBucket
from ml_janitor.detectors.storage_tiering.folders import FolderContents
from ml_janitor.detectors.storage_tiering.policies import TieringPolicies, TieringPolicy
from ml_janitor.detectors.storage_tiering.reads import find_reading_job, monthly_read_share

RULE_ID_PREFIX = "ml-janitor-"
"""The beginning of the IDs of proposed rules."""

_MOST_RULES = 20
"""Rules that are proposed for a bucket at once, the most saving first."""

_RARELY_READ = Decimal("0.01")
"""Greatest share read in a month of objects that may move to a class with restores of hours."""

_ACTS_ON_OBJECTS = (
    "Transitions",
    "Transition",
    "NoncurrentVersionTransitions",
    "NoncurrentVersionTransition",
    "NoncurrentVersionExpiration",
)
_ALL_SIZES = "varies_by_storage_class"
"""The setting of a bucket under which S3 moves small objects to archives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TieringLimits:
    """The operator's settings: sizes in bytes, times in days."""

    policies: TieringPolicies
    least: int
    payback_days: int
    noncurrent_days: int
    upload_days: int
    exemptions: Exemptions


@dataclass(frozen=True, slots=True, kw_only=True)
class TieringPlan:
    """
    One rule for one *folder*, its saving at once, and its *words*.

    *saving* is None if unknown. *reads_known* is true if request metrics count the
    reads, and, for a deletion, count hardly any.
    """

    rule: LifecycleRule
    words: str
    folder: FolderContents | None = None
    saving: TieringSaving | None = None
    reads_known: bool = True


@dataclass(frozen=True, slots=True)
class PayingTransitions:
    """The *steps* of a rule, the reason *why*, and the reads of their objects."""

    steps: tuple[tuple[int, str], ...] = ()
    why: str = ""
    reads: Decimal = Decimal(0)
    reads_known: bool = True


@dataclass(frozen=True, slots=True)
class ConsideredPlans:
    """The plans for a bucket, the most saving first, and the reasons why other folders stay as they are."""

    found: tuple[TieringPlan, ...]
    kept: tuple[str, ...]


def plan_tiering(bucket: TieringBucket, limits: TieringLimits, now: datetime) -> ConsideredPlans:
    """Return the proposals for *bucket*, as far as it was read."""
    if not isinstance(bucket.root, Value) or STANDARD not in bucket.rates:
        return ConsideredPlans((), ())
    planner = _Planner(bucket, limits, now)
    planner.visit(bucket.root.value, None)
    found = sorted(planner.found, key=lambda plan: -(plan.saving.month if plan.saving else 0))[:_MOST_RULES]
    return ConsideredPlans((*found, *planner.uploads()), tuple(planner.kept))


def planned_keys(found: Iterable[TieringPlan]) -> list[str]:
    """Return the keys of all current objects that *found* covers."""
    return [key for plan in found if plan.folder for folder in plan.folder.all() for key in folder.keys]


@dataclass(slots=True)
class _Planner:
    """The planner that goes through the folders of one bucket."""

    bucket: TieringBucket
    limits: TieringLimits
    now: datetime
    found: list[TieringPlan] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def visit(self, folder: FolderContents, above: TieringPolicy | None) -> None:
        """
        Plan for *folder* by the policy of a folder *above*, if any, else its
        own; or for the folders in it.
        """
        policy = above or self.policy(folder)
        parts = not folder.path and not folder.keys and bool(folder.inside)
        if policy is None and not parts and all(self.policy(inner) is None for inner in folder.all()):
            policy = self.limits.policies.otherwise
        if policy is not None:
            if folder.size() + sum(cohort.size for cohort in folder.noncurrent()) < self.limits.least:
                return
            why = self.standing(folder)
            if why is None:
                self.plan(folder, policy)
                return
            if not any(kept.endswith(f": {why}") for kept in self.kept):
                self.keep(folder, why)
        for inner in folder.inside.values():
            self.visit(inner, policy)

    def keep(self, folder: FolderContents, why: str | None) -> None:
        self.kept.append(f"{folder.path or 'the whole bucket'}: {why}")

    def policy(self, folder: FolderContents) -> TieringPolicy | None:
        return self.limits.policies.of(f"{self.bucket.name}/{folder.path}")

    def standing(self, folder: FolderContents) -> str | None:
        """Return why no rule may cover *folder* as a whole, or None: a filter cannot exempt a part of it."""
        for rule in filter(_moves_or_deletes, self.bucket.rules):
            prefix = _prefix(rule)
            if prefix.startswith(folder.path) or folder.path.startswith(prefix):
                return f"lifecycle rule {rule.get('ID', 'without a name')} applies already"
        users = list(dict.fromkeys(user for inner in folder.all() for user in inner.users))
        if users:
            more = f" and {len(users) - 1} more" if len(users) > 1 else ""
            return f"{users[0]}{more} refers to it"
        for inner in folder.all():
            for key in inner.keys:
                if (why := self.exempt(key)) is not None:
                    return f"{key} is kept: {why}"
        return None

    def exempt(self, key: str) -> str | None:
        """Return why the object *key* is kept, as far as its tags were read."""
        signal = self.bucket.tagged.get(key)
        if signal is None:
            return None
        arn = f"{self.bucket.target.arn}/{key}"
        return self.limits.exemptions.reason(replace(self.bucket.target, arn=arn, tags=signal), self.now)

    def plan(self, folder: FolderContents, policy: TieringPolicy) -> None:
        """Propose a rule for *folder*, or record why there is nothing to propose."""
        standard = [cohort for cohort in folder.cohorts() if cohort.held == STANDARD]
        old = sum(cohort.size for cohort in standard if cohort.age >= policy.first)
        noncurrent = [cohort for cohort in folder.noncurrent() if cohort.age >= self.limits.noncurrent_days]
        versions = sum(cohort.size for cohort in noncurrent)
        if old < self.limits.least and versions < self.limits.least:
            size = format_size(sum(cohort.size for cohort in standard))
            self.keep(folder, f"of {size} in STANDARD, {format_size(old)} are {policy.first} days old")
            return
        enough = old >= self.limits.least
        moved = self.transitions(folder, policy) if enough else PayingTransitions()
        read = find_reading_job(self.bucket.inputs, folder.path, self.now)
        expire = policy.expire if enough and read is None else None
        rule_id = (
            RULE_ID_PREFIX + hashlib.sha256(f"{self.bucket.name}/{folder.path}".encode()).hexdigest()[:12]
        )
        ends = self.limits.noncurrent_days if versions >= self.limits.least else None
        if not moved.steps and expire is None and ends is None:
            self.keep(folder, moved.why or read)
            return
        rule = LifecycleRule(
            id=rule_id,
            prefix=folder.path,
            transitions=moved.steps,
            expire_after=expire,
            noncurrent_expire_after=ends,
        )
        saved = saving_of_rule(folder.cohorts(moved.reads), rule, self.bucket.rates, small_too=self.small_too)
        if ends is not None:
            saved += saving_of_rule(
                noncurrent, LifecycleRule(id=rule_id, expire_after=ends), self.bucket.rates
            )
        if saved.moved + saved.deleted < self.limits.least or saved.month <= 0:
            self.keep(folder, "what is old in it is in small objects, or cheap enough where it is")
            return
        self.found.append(
            TieringPlan(
                rule=rule,
                words=_words(rule, policy, saved, moved.why),
                folder=folder,
                saving=saved,
                reads_known=moved.reads_known and (expire is None or self.rarely_read(folder)),
            )
        )

    def rarely_read(self, folder: FolderContents) -> bool:
        """Return whether request metrics show that hardly anything in *folder* is read."""
        reads, _ = monthly_read_share(self.bucket.counted, folder.path, folder.size())
        return reads is not None and reads <= _RARELY_READ

    def transitions(self, folder: FolderContents, policy: TieringPolicy) -> PayingTransitions:
        """Return the transitions of *policy* that pay back for *folder*, or one to Intelligent-Tiering."""
        if not policy.transitions:
            return PayingTransitions()
        reads, exactly = monthly_read_share(self.bucket.counted, folder.path, folder.size())
        if reads is not None:
            rare = self.rarely_read(folder)
            steps = tuple((day, to) for day, to in policy.transitions if rare or to not in RESTORE_CLASSES)
            read = f"at most {float(reads):.1%} of it is read in a month, as request metrics count"
            found = self.paying(folder, steps, reads, read)
            if found.steps or exactly:
                return found
        if (lately := find_reading_job(self.bucket.inputs, folder.path, self.now)) is not None:
            return PayingTransitions(why=lately)
        number = sum(source.of(folder.path) for source in self.bucket.inputs) or "no"
        unknown = f"who reads it is unknown, so S3 finds it out ({number} jobs did in 90 days)"
        tiering = ((policy.transitions[0][0], INTELLIGENT_TIERING),)
        return replace(self.paying(folder, tiering, Decimal(0), unknown), reads_known=False)

    def paying(
        self, folder: FolderContents, steps: tuple[tuple[int, str], ...], reads: Decimal, why: str
    ) -> PayingTransitions:
        """Return the *steps* that pay back for *folder* with *reads* a month."""
        days, paid = self.limits.payback_days, steps
        if steps:
            rule, cohorts = LifecycleRule(id="x", transitions=steps), folder.cohorts(reads)
            paid = worthwhile_transitions(
                cohorts, rule, self.bucket.rates, payback_days=days, small_too=self.small_too
            )
        if not paid:
            why = f"{why}; no move to another class pays back in {days} days"
        return PayingTransitions(paid, why, reads=reads)

    @property
    def small_too(self) -> bool:
        return self.bucket.configuration.minimum == _ALL_SIZES

    def uploads(self) -> Iterator[TieringPlan]:
        """Yield a rule that ends incomplete uploads, if there are any and no rule does so."""
        days = self.limits.upload_days
        begun = self.bucket.uploads.value if isinstance(self.bucket.uploads, Value) else ()
        old = [at for at in begun if self.now - at >= timedelta(days=days)]
        ends = any(
            "AbortIncompleteMultipartUpload" in rule and rule.get("Status") == "Enabled" and not _prefix(rule)
            for rule in self.bucket.rules
        )
        if old and not ends:
            yield TieringPlan(
                rule=LifecycleRule(id=f"{RULE_ID_PREFIX}uploads", abort_uploads_after=days),
                words=f"{len(old)} uploads begun {days} days ago or earlier were never completed",
            )


def _moves_or_deletes(rule: Mapping[str, Any]) -> bool:
    """Return whether *rule* is in force for objects, not just for uploads and delete markers."""
    expires = rule.get("Expiration", {}).keys() & {"Days", "Date"}
    return rule.get("Status") == "Enabled" and (
        bool(expires) or any(member in rule for member in _ACTS_ON_OBJECTS)
    )


def _prefix(rule: Mapping[str, Any]) -> str:
    """Return the beginning of all keys that *rule* covers."""
    given = rule.get("Filter", {})
    return str(given.get("And", given).get("Prefix", rule.get("Prefix", "")))


def _words(rule: LifecycleRule, policy: TieringPolicy, saved: TieringSaving, why: str) -> str:
    steps = [f"{to} at {day} days" for day, to in rule.transitions]
    if rule.expire_after is not None:
        steps.append(f"deleted at {rule.expire_after} days")
    if rule.noncurrent_expire_after is not None:
        steps.append(f"old versions deleted after {rule.noncurrent_expire_after} days")
    money = f"saves {format_usd(saved.month)} a month"
    size = format_size(saved.moved + saved.deleted)
    return f"{size} now, {', '.join(steps)} (policy {policy.name}); {money}{f'; {why}' if why else ''}"
