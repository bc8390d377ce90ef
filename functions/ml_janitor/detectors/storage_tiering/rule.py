"""The detector of old bytes in STANDARD, and the lifecycle rules that it proposes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from ml_janitor.aws import activity, tags
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import GET_PRODUCTS
from ml_janitor.aws.references import REFERENCE_CALLS
from ml_janitor.aws.tags import Arn, target_in
from ml_janitor.core.durations import parse_duration
from ml_janitor.core.model import (
    Absent,
    Change,
    Confidence,
    Cost,
    Effect,
    Evidence,
    Rule,
    Signal,
    SweepNote,
    Tags,
    Target,
    Unreadable,
    Value,
    Verdict,
    as_evidence,
)
from ml_janitor.core.money import direct_objects_arn
from ml_janitor.core.ownership import Exemptions
from ml_janitor.core.text import count_noun, format_size, format_usd, quote_shell
from ml_janitor.core.tiering import (
    GB,
    INTELLIGENT_TIERING,
    RESTORE_CLASSES,
    STANDARD,
    TRANSITION_CLASSES,
    LifecycleRule,
    TieringSaving,
    saving_of_rule,
    worthwhile_transitions,
)
from ml_janitor.detectors.storage_tiering import act, reading
from ml_janitor.detectors.storage_tiering.reading import (
    BUCKET_KIND,
    FOLDER_DEPTH,
    LIST_OBJECT_VERSIONS,
    FolderContents,
    TieringBucket,
    find_folder_readers,
    find_reading_job,
    monthly_read_share,
)
from ml_janitor.engine.detector import (
    Cleanup,
    Constant,
    Detector,
    Grant,
    Steps,
    allow,
    allow_each,
    in_own_buckets,
)

# --- the operator's policies ----------------------------------------------------------------------

_EXPIRE = "expire"
_ALL_FOLDERS = "*"

DEFAULT_TIERING_POLICIES: Mapping[str, str] = {
    "experiments": "STANDARD_IA 30d, GLACIER_IR 90d, DEEP_ARCHIVE 365d",
    "processed": "STANDARD_IA 60d, GLACIER_IR 180d",
    "logs": "expire 90d",
    "tmp": "expire 7d",
    "other": "STANDARD_IA 90d, GLACIER_IR 180d",
}
DEFAULT_TIERING_FOLDERS: Mapping[str, str] = {
    "*/experiments/": "experiments",
    "*/checkpoints/": "experiments",
    "*/processed/": "processed",
    "*/datasets/": "processed",
    "*/features/": "processed",
    "*/logs/": "logs",
    "*/tmp/": "tmp",
    "*": "other",
}


@dataclass(frozen=True, slots=True)
class TieringPolicy:
    """One policy: *transitions* are ages in days and storage classes, *expire* is the age of deletion."""

    name: str
    transitions: tuple[tuple[int, str], ...]
    expire: int | None


@dataclass(frozen=True, slots=True)
class TieringPolicies:
    """Every policy by name, and *folders*: globs over "bucket/folder/" in order of precedence."""

    named: Mapping[str, TieringPolicy]
    folders: Mapping[str, str] = field(default_factory=dict)

    def of(self, place: str) -> TieringPolicy | None:
        """Return the policy of the folder *place* ("bucket/folder/") itself, of no folder above it."""
        found = (
            name for glob, name in self.folders.items() if glob != _ALL_FOLDERS and fnmatchcase(place, glob)
        )
        return next((self.named[name] for name in found), None)

    @property
    def otherwise(self) -> TieringPolicy | None:
        """The policy of folders that only the glob "*" matches."""
        return self.named[self.folders[_ALL_FOLDERS]] if _ALL_FOLDERS in self.folders else None


def parse_policies(policies: Mapping[str, str], folders: Mapping[str, str]) -> TieringPolicies:
    """Return the policies in an operator's settings. Raises ValueError for invalid ones."""
    named = {name: _policy(name, words) for name, words in policies.items()}
    for glob, name in folders.items():
        if name not in named:
            raise ValueError(f'folders: "{glob}" names the policy "{name}", which policies does not have')
        if glob != _ALL_FOLDERS and not glob.endswith("/"):
            raise ValueError(
                f'folders: expected a glob over "bucket/folder/" with its last slash, got "{glob}"'
            )
    return TieringPolicies(named, folders)


def _policy(name: str, words: str) -> TieringPolicy:
    steps = [step.split() for step in words.split(",")]
    wrong = f'policies.{name}: expected steps like "STANDARD_IA 30d, expire 365d", got "{words}"'
    if any(len(step) != 2 or step[0] not in {*TRANSITION_CLASSES, _EXPIRE} for step in steps):
        raise ValueError(wrong)
    try:
        ages = [(parse_duration(age).days, what) for what, age in steps]
    except ValueError as error:
        raise ValueError(wrong) from error
    moved = tuple((age, what) for age, what in ages if what != _EXPIRE)
    ends = [age for age, what in ages if what == _EXPIRE]
    if len(ends) > 1:
        raise ValueError(wrong)
    try:
        LifecycleRule(id=name, transitions=moved, expire_after=ends[0] if ends else None)
    except ValueError as error:
        raise ValueError(f"policies.{name}: {error}") from error
    return TieringPolicy(name, moved, ends[0] if ends else None)


# --- proposed lifecycle rules ---------------------------------------------------------------------
# No rule covers a folder where an object has to stay.

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
_DELETING_MEMBERS = frozenset({"Expiration", "NoncurrentVersionExpiration"})
_VERSIONS = "?versions/"
"""The beginning of the addresses of old versions, after the bucket's ARN."""
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

    *saving* is None if unknown; *shares* are the dollars a month of it by address. *reads_known* is true if
    request metrics count the reads, and, for a deletion, count hardly any.
    """

    rule: LifecycleRule
    words: str
    folder: FolderContents | None = None
    saving: TieringSaving | None = None
    shares: Mapping[str, Decimal] = field(default_factory=dict)
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
    """
    The plans for a bucket, the most saving first, and the reasons why other folders stay as they are.

    *unknown* are folders that would lose something if it were known that nobody reads them.
    """

    found: tuple[TieringPlan, ...]
    kept: tuple[str, ...]
    unknown: tuple[str, ...] = ()


def plan_tiering(bucket: TieringBucket, limits: TieringLimits, now: datetime) -> ConsideredPlans:
    """Return the proposals for *bucket*, as far as it was read: deletions only, or all but deletions."""
    if not isinstance(bucket.root, Value) or STANDARD not in bucket.rates:
        return ConsideredPlans((), ())
    planner = _Planner(bucket, limits, now)
    planner.visit(bucket.root.value, None)
    found = sorted(planner.found, key=lambda plan: -(plan.saving.month if plan.saving else 0))[:_MOST_RULES]
    uploads = () if bucket.deletes else planner.uploads()
    return ConsideredPlans((*found, *uploads), tuple(planner.kept), tuple(planner.unknown))


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
    unknown: list[str] = field(default_factory=list)

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
            if self.bucket.deletes and policy.expire is None and not folder.noncurrent():
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
        self.kept.append(f"{_place(folder)}: {why}")

    def policy(self, folder: FolderContents) -> TieringPolicy | None:
        return self.limits.policies.of(f"{self.bucket.name}/{folder.path}")

    def standing(self, folder: FolderContents) -> str | None:
        """Return why no rule may cover *folder* as a whole, or None: a filter cannot exempt a part of it."""
        for rule in filter(_moves_or_deletes, self.bucket.rules):
            if self.is_own_other(rule, folder):
                continue
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

    def is_own_other(self, rule: Mapping[str, Any], folder: FolderContents) -> bool:
        """Return whether *rule* is the janitor's for *folder*, and does what is judged apart from this."""
        own = self.rule_id(folder)
        if self.bucket.deletes:
            return rule.get("ID") == own and rule.keys().isdisjoint(_DELETING_MEMBERS)
        return rule.get("ID") == f"{own}{act.DELETION_SUFFIX}"

    def exempt(self, key: str) -> str | None:
        """Return why the object *key* is kept, as far as its tags were read."""
        signal = self.bucket.tagged.get(key)
        if signal is None:
            return None
        arn = f"{self.bucket.arn}/{key}"
        return self.limits.exemptions.reason(replace(self.bucket.target, arn=arn, tags=signal), self.now)

    def plan(self, folder: FolderContents, policy: TieringPolicy) -> None:
        """Propose a rule for *folder*, or record why there is nothing to propose."""
        (self.plan_deletion if self.bucket.deletes else self.plan_moves)(folder, policy)

    def plan_moves(self, folder: FolderContents, policy: TieringPolicy) -> None:
        if not policy.transitions:
            self.keep(folder, f"policy {policy.name} moves nothing to another class")
            return
        standard = [cohort for cohort in folder.cohorts() if cohort.held == STANDARD]
        days = policy.transitions[0][0]
        old = sum(cohort.size for cohort in standard if cohort.age >= days)
        if old < self.limits.least:
            size = format_size(sum(cohort.size for cohort in standard))
            self.keep(folder, f"of {size} in STANDARD, {format_size(old)} are {count_noun(days, 'day')} old")
            return
        moved = self.transitions(folder, policy)
        if not moved.steps:
            self.keep(folder, moved.why)
            return
        rule = LifecycleRule(id=self.rule_id(folder), prefix=folder.path, transitions=moved.steps)
        self.propose(folder, policy, rule, moved)

    def plan_deletion(self, folder: FolderContents, policy: TieringPolicy) -> None:
        days, noncurrent = policy.expire, self.limits.noncurrent_days
        versions = sum(cohort.size for cohort in folder.noncurrent() if cohort.age >= noncurrent)
        old = sum(cohort.size for cohort in folder.cohorts() if days is not None and cohort.age >= days)
        expire = days if old >= self.limits.least else None
        hides = expire is not None and not isinstance(self.bucket.versioning, Absent)
        ends = noncurrent if hides or versions >= self.limits.least else None
        if expire is None and ends is None:
            ages = [count_noun(limit or 0, "day") for limit in (days, noncurrent)]
            few = [
                f"of {format_size(folder.size())}, {format_size(old)} are {ages[0]} old",
                f"{format_size(versions)} of old versions were replaced {ages[1]} ago or earlier",
            ]
            self.keep(folder, few[days is None])
            return
        if (read := find_reading_job(self.bucket.inputs, folder.path, self.now)) is not None:
            self.keep(folder, read)
            return
        if self.bucket.unknown_inputs and not self.rarely_read(folder):
            self.unknown.append(f"{_place(folder)}: {self.bucket.unknown_inputs[0].note}")
            return
        rule = LifecycleRule(
            id=f"{self.rule_id(folder)}{act.DELETION_SUFFIX}",
            prefix=folder.path,
            expire_after=expire,
            noncurrent_expire_after=ends,
        )
        known = expire is None or self.rarely_read(folder)
        self.propose(folder, policy, rule, PayingTransitions(reads_known=known), hides=hides)

    def rule_id(self, folder: FolderContents) -> str:
        """Return the ID of the rule that moves what is in *folder*."""
        digest = hashlib.sha256(f"{self.bucket.name}/{folder.path}".encode()).hexdigest()
        return f"{RULE_ID_PREFIX}{digest[:12]}"

    def propose(
        self,
        folder: FolderContents,
        policy: TieringPolicy,
        rule: LifecycleRule,
        moved: PayingTransitions,
        *,
        hides: bool = False,
    ) -> None:
        """Propose *rule*, if it saves anything on enough bytes."""
        saved = self.saving(folder, rule, moved.reads)
        if saved.moved + saved.deleted < self.limits.least or saved.month <= 0:
            self.keep(folder, "what is old in it is in small objects, or cheap enough where it is")
            return
        self.found.append(
            TieringPlan(
                rule=rule,
                words=_words(rule, policy, saved, moved.why, hides=hides),
                folder=folder,
                saving=saved,
                shares=self.shares(folder, rule, moved.reads),
                reads_known=moved.reads_known,
            )
        )

    def shares(self, folder: FolderContents, rule: LifecycleRule, reads: Decimal) -> dict[str, Decimal]:
        """
        Return the dollars a month that *rule* saves on the objects of each folder in *folder*.

        Old versions have addresses of their own: nothing else frees their bytes.
        """
        found: dict[str, Decimal] = {}
        for inner in folder.all():
            objects, versions = replace(inner, inside={}, replaced={}), replace(inner, inside={}, held={})
            for place, part in (("/", objects), (_VERSIONS, versions)):
                saved = self.saving(part, rule, reads).month
                if saved > 0:
                    arn = f"{self.bucket.arn}{place}{inner.path}"
                    deepest = inner.path.count("/") == FOLDER_DEPTH
                    found[arn if deepest else direct_objects_arn(arn)] = saved
        return found

    def saving(self, folder: FolderContents, rule: LifecycleRule, reads: Decimal) -> TieringSaving:
        """Return the saving of *rule* at once on *folder*, its old versions included."""
        saved = saving_of_rule(folder.cohorts(reads), rule, self.bucket.rates, small_too=self.small_too)
        if (days := rule.noncurrent_expire_after) is not None:
            old = [cohort for cohort in folder.noncurrent() if cohort.age >= days]
            saved += saving_of_rule(old, LifecycleRule(id=rule.id, expire_after=days), self.bucket.rates)
        return saved

    def rarely_read(self, folder: FolderContents) -> bool:
        """Return whether request metrics show that hardly anything in *folder* is read."""
        reads, _ = self.read_share(folder)
        return reads is not None and reads <= _RARELY_READ

    def read_share(self, folder: FolderContents) -> tuple[Decimal | None, bool]:
        """Return `monthly_read_share`; a folder without others beside it has the reads of the bucket."""
        root = self.bucket.root
        alone = isinstance(root, Value) and sum(len(inner.keys) for inner in root.value.all()) == sum(
            len(inner.keys) for inner in folder.all()
        )
        return monthly_read_share(self.bucket.counted, folder.path, folder.size(), whole=alone)

    def transitions(self, folder: FolderContents, policy: TieringPolicy) -> PayingTransitions:
        """Return the transitions of *policy* that pay back for *folder*, or one to Intelligent-Tiering."""
        reads, exactly = self.read_share(folder)
        if reads is not None:
            rare = self.rarely_read(folder)
            steps = tuple((day, to) for day, to in policy.transitions if rare or to not in RESTORE_CLASSES)
            read = f"at most {float(reads):.1%} of it is read in a month, as request metrics count"
            found = self.paying(folder, steps, reads, read)
            if found.steps or exactly:
                return found
        if (lately := find_reading_job(self.bucket.inputs, folder.path, self.now)) is not None:
            return PayingTransitions(why=lately)
        number = (
            len(find_folder_readers(self.bucket.inputs, folder.path, datetime.min.replace(tzinfo=UTC)))
            or "no"
        )
        jobs = "described jobs" if self.bucket.unknown_inputs else "jobs"
        limits = "".join(f"; {unknown.note}" for unknown in self.bucket.unknown_inputs)
        unknown = f"who reads it is unknown, so S3 finds it out ({number} {jobs} did in 90 days{limits})"
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
            why = f"{why}; no move to another class pays back in {count_noun(days, 'day')}"
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
                words=f"nobody completed {count_noun(len(old), 'upload')} begun "
                f"{count_noun(days, 'day')} ago or earlier",
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


def _words(rule: LifecycleRule, policy: TieringPolicy, saved: TieringSaving, why: str, *, hides: bool) -> str:
    steps = [f"{to} at {count_noun(day, 'day')}" for day, to in rule.transitions]
    if rule.expire_after is not None:
        steps.append(f"{'hidden' if hides else 'deleted'} at {count_noun(rule.expire_after, 'day')}")
    if rule.noncurrent_expire_after is not None:
        which = "versions that are hidden or replaced" if hides else "old versions"
        steps.append(f"{which} deleted after {count_noun(rule.noncurrent_expire_after, 'day')}")
    money = f"saves {format_usd(saved.month)} a month"
    size = format_size(saved.moved + saved.deleted)
    return f"{size} now, {', '.join(steps)} (policy {policy.name}); {money}{f'; {why}' if why else ''}"


# --- the detector ---------------------------------------------------------------------------------

_EVERY_BUCKET = "arn:aws:s3:::*"

_MOST_RULES_SHOWN = 20
"""Rules up to which a finding shows the whole configuration."""

_LEAST_NONCURRENT = timedelta(days=90)
"""Longest time for which an undo may need an old version."""


@dataclass(frozen=True)
class StorageTiering(Detector[TieringBucket]):
    """
    Finds buckets with old bytes in STANDARD, old versions, or incomplete uploads.

    Reading decides the storage class. Where it is not known, S3 finds it out (Intelligent-Tiering).
    """

    name = "storage-tiering"
    kinds = (BUCKET_KIND,)
    asks_for = Change.LIFECYCLE
    cleanup = Cleanup(
        effect=Effect.TIER, grace=timedelta(days=3), act_on=Confidence.PROVEN, lost=act.TIERING_LOST
    )
    reads = (
        allow("s3:ListAllMyBuckets"),
        *in_own_buckets(
            [
                *allow_each("s3", "ListBucketVersions", "ListBucketMultipartUploads", on=_EVERY_BUCKET),
                *allow_each("s3", "GetBucketTagging", "GetLifecycleConfiguration", on=_EVERY_BUCKET),
                *allow_each(
                    "s3", "GetBucketObjectLockConfiguration", "GetMetricsConfiguration", on=_EVERY_BUCKET
                ),
                allow("s3:GetBucketVersioning", on=_EVERY_BUCKET),
                allow("s3:GetObjectTagging", on="arn:aws:s3:::*/*"),
            ]
        ),
        allow(activity.GET_METRIC_DATA),
        allow(tags.GET_RESOURCES),
        *(allow(action, on=resource) for action, resource in REFERENCE_CALLS),
        allow(GET_PRODUCTS),
    )

    policies: Mapping[str, str] = field(default_factory=partial(dict, DEFAULT_TIERING_POLICIES), hash=False)
    folders: Mapping[str, str] = field(default_factory=partial(dict, DEFAULT_TIERING_FOLDERS), hash=False)
    min_gb: Constant[float] = 50.0  # less saves under a dollar a month
    payback: Constant[timedelta] = timedelta(days=180)  # a fee of a move that pays back later is a bet
    noncurrent: timedelta = timedelta(days=90)
    uploads: Constant[timedelta] = timedelta(days=7)  # as in S3's example of a rule
    read_tags_up_to: Constant[int] = 1000
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
        act.check_bucket_names(self.act_on_buckets, setting="act_on_buckets")
        act.check_bucket_names(self.undo_buckets, setting="undo_buckets")

    @property
    def acts(self) -> tuple[Grant, ...]:
        """
        The permissions to write the lifecycle configurations of the buckets
        that `act_on_buckets` names.
        """
        return in_own_buckets(
            allow(act.WRITE_LIFECYCLE_ACTION, on=f"arn:aws:s3:::{name}") for name in self.act_on_buckets
        )

    @property
    def undoes(self) -> tuple[Grant, ...]:
        """The permissions to read and write them, also for buckets that it named before (`undo_buckets`)."""
        both, names = (act.READ_LIFECYCLE_ACTION, act.WRITE_LIFECYCLE_ACTION), self._undo_buckets
        return in_own_buckets(allow(action, on=f"arn:aws:s3:::{name}") for action in both for name in names)

    @property
    def _undo_buckets(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.act_on_buckets, *self.undo_buckets)))

    def missing_for_undo(self, target: Target, record: Mapping[str, Any]) -> str:
        """
        Return the setting without which the undo function could not write the
        bucket's rules; "" if it can.
        """
        if (name := reading.bucket_of(target)) in self._undo_buckets:
            return ""
        return f'undo_buckets = ["{name}"] in detectors.{self.name}'

    def never_acts(self) -> str | None:
        return None if self.act_on_buckets else "act_on_buckets is empty, so no bucket may be given rules"

    @property
    def least(self) -> int:
        """The least bytes of a bucket."""
        return int(self.min_gb * GB)

    @classmethod
    def judges(cls, arn: Arn) -> bool:
        """Return whether *arn* is a bucket, or all objects of a bucket."""
        objects = arn.service == "s3" and arn.name.partition("/")[1:] == ("/", "*")
        return objects or super().judges(arn)

    def look(self, aws: Aws, target: Target, now: datetime) -> TieringBucket | None:
        parts = self.find_parts(aws, now, reading.bucket_of(target))
        return next((part for part in parts if part.target.arn == target.arn), None)

    def find(self, aws: Aws, now: datetime) -> Iterator[TieringBucket | SweepNote]:
        for part in self.find_parts(aws, now):
            yield from (SweepNote(jobs.note) for jobs in part.unknown_inputs)
            yield part

    def find_parts(self, aws: Aws, now: datetime, only: str | None = None) -> Iterator[TieringBucket]:
        """
        Yield every bucket, or *only* that one, and its deletions where something in it could be deleted.

        Contents are listed only where CloudWatch counts enough bytes.
        """
        listing = reading.list_measured_buckets(aws, now, only)
        large = [bucket for bucket in listing.items if self._large(bucket)]
        yield from (bucket for bucket in listing.items if not self._large(bucket))
        for bucket in reading.read_tiering_buckets(aws, large, now):
            tagged: dict[str, Signal[Tags]] = {}
            for part in (bucket, bucket.deletions):
                keys = [key for key in planned_keys(self.plans(part, now).found) if key not in tagged]
                few = keys if len(keys) <= self.read_tags_up_to else []
                tagged |= reading.read_tags_of_keys(aws, bucket.name, few)
            for part in (bucket, bucket.deletions):
                known = replace(part, tagged=tagged)
                if part.deletes and not self._may_delete(known, now):
                    continue
                kept_with = tuple(self._objects(known, aws, now))
                yield replace(known, takes_along=kept_with, proposed=self.proposed(known, now))
        listing.check()

    def _may_delete(self, candidate: TieringBucket, now: datetime) -> bool:
        """Return whether something in it could be deleted, or that is unknown."""
        considered = self.plans(candidate, now)
        return bool(
            considered.found or considered.kept or considered.unknown or not isinstance(candidate.root, Value)
        )

    def _large(self, bucket: TieringBucket) -> bool:
        return isinstance(bucket.stored, Value) and bucket.stored.value >= self.least

    def _objects(self, bucket: TieringBucket, aws: Aws, now: datetime) -> Iterator[Target]:
        """Yield the objects in proposed folders that have a tag, or whose tags are unknown."""
        for key in planned_keys(self.plans(bucket, now).found):
            signal = bucket.tagged.get(key)
            if isinstance(signal, Unreadable) or (isinstance(signal, Value) and signal.value):
                arn = f"{bucket.arn}/{key}"
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
            as_evidence("bytes in STANDARD", candidate.stored, lambda stored: format_size(int(stored))),
            as_evidence("objects", candidate.objects, int),
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
            reasons = considered.unknown or considered.kept or ("nothing in it is old enough",)
            return (rule.unknown if considered.unknown else rule.kept)("; ".join(reasons[:3]))
        rule.passed(
            "; ".join((*considered.unknown, *considered.kept)[:3]) or "nothing in it has to stay as it is"
        )
        return self._found(rule, candidate, considered.found)

    def _found(self, rule: Rule, candidate: TieringBucket, found: Sequence[TieringPlan]) -> Verdict:
        saved = [plan.saving for plan in found if plan.saving is not None]
        total = sum(saved, TieringSaving())
        moved, deleted = total.moved, total.deleted
        rule.saw(
            *(
                Evidence(plan.rule.prefix or "the whole bucket", plan.words, source=LIST_OBJECT_VERSIONS)
                for plan in found
            ),
            *(Evidence("limit of reading", unknown.note) for unknown in candidate.unknown_inputs),
        )
        keys = planned_keys(found)
        untagged = sum(key not in candidate.tagged for key in keys)
        unsure = [plan for plan in found if not plan.reads_known]
        spared = None
        if untagged > 0:
            spared = f"the tags of {count_noun(untagged, 'object')} in it were not read, and one may be kept"
        elif candidate.gaps:
            spared = f"any object may be in use: {candidate.gaps[0]}"
        versions = any(plan.rule.noncurrent_expire_after is not None for plan in found)
        proven = not unsure and not versions and spared is None
        added = [plan.rule for plan in found]
        spared = spared or act.why_bucket_spared(
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
            cost=Cost.saving(
                total.month,
                candidate.priced,
                once_usd=total.once,
                shares={arn: usd for plan in found for arn, usd in plan.shares.items()},
            )
            if saved
            else Cost(),
            spared=spared,
            noun="bucket of objects to delete" if candidate.deletes else "bucket of old objects",
            lost=_versions_lost(added) if versions else None,
            to_prove=f"that nothing reads it: switch on request metrics of {candidate.name}, and wait 30 days"
            if unsure
            else "that nobody needs an old version: their tags are not read"
            if versions
            else "",
        )

    def prepare(self, aws: Aws, candidate: TieringBucket, memo: Mapping[str, Any]) -> Mapping[str, Any]:
        return act.prepare_rules(aws, candidate.name, candidate.proposed)

    def act(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        act.act(aws, record, steps)

    def is_done(self, aws: Aws, target: Target, record: Mapping[str, Any]) -> bool:
        return act.is_done(aws, record)

    def revert(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> str | None:
        return act.revert(aws, record, steps)

    def revert_effect(self, target: Target, record: Mapping[str, Any]) -> str:
        return act.undo_rules_text(record)


def _place(folder: FolderContents) -> str:
    return folder.path or "the whole bucket"


def _versions_lost(added: Iterable[LifecycleRule]) -> str:
    """Return which objects and versions the rules *added* end for good, as `Finding.lost`."""
    ended = []
    for rule in added:
        place = rule.prefix or "the whole bucket"
        hidden = (
            f"objects that the rule hid at {count_noun(rule.expire_after, 'day')}, and "
            if rule.expire_after
            else ""
        )
        if rule.noncurrent_expire_after is not None:
            days = rule.noncurrent_expire_after
            ended.append(
                f"in {place}, {hidden}every version that was replaced or hidden for {count_noun(days, 'day')}"
            )
        else:
            ended.append(f"in {place}, objects that were {count_noun(rule.expire_after or 0, 'day')} old")
    return f"what the rules deleted by then: {'; '.join(ended)}"


def _unread(candidate: TieringBucket) -> str | None:
    """Return why it cannot be judged, or None."""
    named = {
        "its lifecycle rules are": candidate.lifecycle,
        "whether its objects are locked is": candidate.lock,
        "whether it keeps versions is": candidate.versioning,
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
    """Return the words and the command that add the rules to those that are there."""
    there, least = candidate.rules, candidate.configuration.minimum
    new = [rule.as_json() for rule in added]
    what = "delete old objects" if candidate.deletes else "move old objects to cheaper storage"
    more = f", added to the bucket's {len(there)}" if there else ""
    words = f"{what} ({len(new)} lifecycle rule{'' if len(new) == 1 else 's'}{more})"
    if len(there) + len(new) > _MOST_RULES_SHOWN:
        return f"{words}: {json.dumps(new)}"
    whole = json.dumps({"Rules": [*there, *new]}, default=str)
    return (
        f"{words}: aws s3api put-bucket-lifecycle-configuration --bucket {quote_shell(candidate.name)}"
        f"{f' --transition-default-minimum-object-size {quote_shell(least)}' if least else ''}"
        f" --lifecycle-configuration {quote_shell(whole)}"
    )
