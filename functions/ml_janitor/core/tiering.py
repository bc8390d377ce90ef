"""Compute the cost of objects in S3's storage classes as they age, and the lifecycle rules that pay back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from ml_janitor.core.model import HOURS_PER_MONTH
from ml_janitor.core.text import count_noun

# --- lifecycle rules ------------------------------------------------------------------------------

INTELLIGENT_TIERING = "INTELLIGENT_TIERING"
TRANSITION_CLASSES = (
    "STANDARD_IA",
    INTELLIGENT_TIERING,
    "ONEZONE_IA",
    "GLACIER_IR",
    "GLACIER",
    "DEEP_ARCHIVE",
)
"""
The storage classes that S3 can move objects to, in the order in which S3 moves them, one way only
(S3 User Guide, "Transitioning objects using Amazon S3 Lifecycle").
"""

INFREQUENT_CLASSES = ("STANDARD_IA", "ONEZONE_IA")
INFREQUENT_DAYS = 30
"""Days before S3 moves an object to a class of `INFREQUENT_CLASSES`, and least days that it stays there."""

LONGEST_RULE_ID = 255
"""The longest ID of a rule, in characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleRule:
    """
    A rule for the objects of a bucket whose keys begin with *prefix*; for all objects if it is empty.

    All numbers are days. *transitions* are storage classes and the age at which objects move to them, the
    youngest first; *expire_after* is the age at which objects are deleted. *noncurrent_expire_after* deletes
    old versions that many days after they were replaced, and *abort_uploads_after* deletes the parts
    of incomplete uploads. Raises ValueError for a rule that S3 would refuse.
    """

    id: str
    prefix: str = ""
    transitions: tuple[tuple[int, str], ...] = ()
    expire_after: int | None = None
    noncurrent_expire_after: int | None = None
    abort_uploads_after: int | None = None

    def __post_init__(self) -> None:
        if (why := self._refused()) is not None:
            raise ValueError(f"lifecycle rule {self.id!r}: {why}")

    def as_json(self) -> dict[str, Any]:
        """Return the rule in the format of S3's API."""
        found: dict[str, Any] = {"ID": self.id, "Status": "Enabled", "Filter": {"Prefix": self.prefix}}
        if self.transitions:
            found["Transitions"] = [{"Days": day, "StorageClass": to} for day, to in self.transitions]
        if self.expire_after is not None:
            found["Expiration"] = {"Days": self.expire_after}
        if self.noncurrent_expire_after is not None:
            found["NoncurrentVersionExpiration"] = {"NoncurrentDays": self.noncurrent_expire_after}
        if self.abort_uploads_after is not None:
            found["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": self.abort_uploads_after}
        return found

    def _refused(self) -> str | None:
        """Return why S3 would refuse the rule, or None."""
        if not 0 < len(self.id) <= LONGEST_RULE_ID:
            return f"an ID has 1 to {LONGEST_RULE_ID} characters"
        ends = (self.expire_after, self.noncurrent_expire_after, self.abort_uploads_after)
        if not self.transitions and all(days is None for days in ends):
            return "it does nothing"
        if any(days is not None and days < 1 for days in ends):
            return "nothing is deleted before it is a day old"
        return self._out_of_order()

    def _out_of_order(self) -> str | None:
        days, classes = [day for day, _ in self.transitions], [name for _, name in self.transitions]
        if unknown := [name for name in classes if name not in TRANSITION_CLASSES]:
            return f"no object can be moved to {unknown[0]}"
        order = [TRANSITION_CLASSES.index(name) for name in classes]
        if order != sorted(set(order)) or days != sorted(set(days)):
            return "objects are moved one way only, to each class later than to the one before"
        if any(name in INFREQUENT_CLASSES and day < INFREQUENT_DAYS for day, name in self.transitions):
            infrequent = " or ".join(INFREQUENT_CLASSES)
            return f"objects are moved to {infrequent} after {INFREQUENT_DAYS} days at the earliest"
        after = [*days[1:], *([] if self.expire_after is None else [self.expire_after])]
        for (day, name), later in zip(self.transitions, after, strict=False):
            least = INFREQUENT_DAYS if name in INFREQUENT_CLASSES else 1
            if later - day < least:
                return f"what is moved to {name} stays there for {count_noun(least, 'day')} at least"
        return None


# --- costs and savings ----------------------------------------------------------------------------

STANDARD = "STANDARD"
RESTORE_CLASSES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Classes whose objects are readable only hours after somebody asked S3 to restore them."""

SMALL_OBJECT = 128 * 1024
"""Bytes below which S3 moves no object by default (S3 User Guide, "Transitioning objects")."""

GB = 1024**3
"""A binary gigabyte, in which storage is billed."""

DAYS_PER_MONTH = Decimal(HOURS_PER_MONTH) / 24
"""A month in days."""

type TierMove = tuple[int, str | None]
"""Days until a move, and the target class; None for a deletion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRates:
    """
    The prices of one storage class, in US dollars.

    *stages* are dollars a GB-month by the number of days in this class from which they hold: for
    Intelligent-Tiering, the prices of unread objects. *move* is for 1,000 objects that move to it, *read*
    for a GB that is read from it, *watch* for 1,000 objects a month. Leaving it before *least_days* is
    charged like *least_days*. Each object is billed for *overhead* bytes more of this class, and *index*
    bytes of STANDARD.
    """

    stages: tuple[tuple[int, Decimal], ...]
    move: Decimal = Decimal(0)
    read: Decimal = Decimal(0)
    watch: Decimal = Decimal(0)
    least_days: int = 0
    overhead: int = 0
    index: int = 0

    @property
    def lasting(self) -> Decimal:
        """Return dollars a GB-month after the first month in the class."""
        return max((day, usd) for day, usd in self.stages if day <= DAYS_PER_MONTH)[1]


type RateTable = Mapping[str, ClassRates]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectCohort:
    """
    A number of *objects* of one *age* in days, *size* bytes together, *held* in one storage class.

    *small* tells that each object is below `SMALL`. *reads* is how often a month all of it is read.
    """

    age: int
    objects: int
    size: int
    held: str = STANDARD
    small: bool = False
    reads: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TieringSaving:
    """The effect of a rule now: dollars a *month*, one-time dollars (*once*), and bytes moved and deleted."""

    month: Decimal = Decimal(0)
    once: Decimal = Decimal(0)
    moved: int = 0
    deleted: int = 0

    def __add__(self, other: TieringSaving) -> TieringSaving:
        return TieringSaving(
            month=self.month + other.month,
            once=self.once + other.once,
            moved=self.moved + other.moved,
            deleted=self.deleted + other.deleted,
        )


def planned_moves(cohort: ObjectCohort, rule: LifecycleRule, *, small_too: bool = False) -> list[TierMove]:
    """
    Return the days from now on which *rule* moves or deletes *cohort*.

    S3 moves one way only. Objects that are due for several moves are moved once, to the last class. With
    *small_too* small objects are moved to `RESTORE_CLASSES` as well, and to no other class.
    """
    found: dict[int, str | None] = {}
    held = cohort.held
    for day, to in rule.transitions:
        movable = not cohort.small or (small_too and to in RESTORE_CLASSES)
        if movable and _rank(to) > _rank(held):
            found[max(0, day - cohort.age)] = held = to
    if rule.expire_after is not None:
        found[max(0, rule.expire_after - cohort.age)] = None
    return sorted(found.items())


def _rank(name: str) -> int:
    """Return the place of a class in the order in which objects are moved; STANDARD is before all."""
    return TRANSITION_CLASSES.index(name) if name in TRANSITION_CLASSES else -1


def monthly_cost(cohort: ObjectCohort, rates: RateTable, usd: Decimal | None = None) -> Decimal:
    """Return the monthly cost of *cohort* in its class, at *usd* a GB-month or else at the lasting price."""
    own = rates[cohort.held]
    price = own.lasting if usd is None else usd
    billed = cohort.size + cohort.objects * own.overhead
    index = rates[STANDARD].lasting * cohort.objects * own.index
    read = own.read * cohort.reads * cohort.size
    return (price * billed + index + read) / GB + own.watch * cohort.objects / 1000


def transition_fee(cohort: ObjectCohort, to: str | None, rates: RateTable, days: int = 0) -> Decimal:
    """Return the cost of moving or deleting *cohort*, *days* after it came into its class."""
    own = rates[cohort.held]
    early = Decimal(max(0, own.least_days - days)) / DAYS_PER_MONTH * own.lasting * cohort.size / GB
    return early + (Decimal(0) if to is None else rates[to].move * cohort.objects / 1000)


def saving_of_rule(
    cohorts: Iterable[ObjectCohort], rule: LifecycleRule, rates: RateTable, *, small_too: bool = False
) -> TieringSaving:
    """Return the saving of *rule* on objects that it moves or deletes at once; later moves do not count."""
    total = TieringSaving()
    for cohort in cohorts:
        due = [to for at, to in planned_moves(cohort, rule, small_too=small_too) if at == 0]
        if due:
            (to,) = due
            left = Decimal(0) if to is None else monthly_cost(replace(cohort, held=to), rates)
            total += TieringSaving(
                month=monthly_cost(cohort, rates) - left,
                once=transition_fee(cohort, to, rates),
                moved=0 if to is None else cohort.size,
                deleted=cohort.size if to is None else 0,
            )
    return total


def worthwhile_transitions(
    cohorts: Sequence[ObjectCohort],
    rule: LifecycleRule,
    rates: RateTable,
    *,
    payback_days: int,
    small_too: bool = False,
) -> tuple[tuple[int, str], ...]:
    """
    Return the transitions of *rule* that return their fees within *payback_days*, for objects like
    *cohorts*.

    Each transition is compared with staying in the class of the kept transitions before it: small or
    often read objects cost more in a class for rarely read objects. A class without *rates* is left out.
    """
    kept: list[tuple[int, str]] = []
    for day, to in rule.transitions:
        if to not in rates:
            continue
        saved, fees = Decimal(0), Decimal(0)
        for cohort in cohorts:
            movable = not cohort.small or (small_too and to in RESTORE_CLASSES)
            before, since = _before(cohort, kept, small_too=small_too)
            if not movable or _rank(to) <= _rank(before):
                continue
            here = replace(cohort, held=before)
            saved += monthly_cost(here, rates) - monthly_cost(replace(cohort, held=to), rates)
            fees += transition_fee(here, to, rates, day - since if before != cohort.held else 0)
        if saved > 0 and fees <= saved * payback_days / DAYS_PER_MONTH:
            kept.append((day, to))
    return tuple(kept)


def _before(cohort: ObjectCohort, kept: Sequence[tuple[int, str]], *, small_too: bool) -> tuple[str, int]:
    """Return the class in which the transitions *kept* put *cohort*, and the age at that move."""
    where, since = cohort.held, 0
    for day, to in kept:
        movable = not cohort.small or (small_too and to in RESTORE_CLASSES)
        if movable and _rank(to) > _rank(where):
            where, since = to, day
    return where, since
