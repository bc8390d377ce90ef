"""What objects cost in S3's storage classes as they grow older, and which moves between them pay back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from ml_janitor.core.cost import HOURS_PER_MONTH
from ml_janitor.core.lifecycles import CLASSES, LifecycleRule

STANDARD = "STANDARD"
ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Classes of which an object is read only hours after somebody asked S3 to restore it."""

SMALL = 128 * 1024
"""Bytes below which S3 moves no object by default (S3 User Guide, "Transitioning objects")."""

GB = 1024**3
MONTH = Decimal(HOURS_PER_MONTH) / 24
"""Days."""

type Move = tuple[int, str | None]
"""In how many days something is moved, and to which class; None where it is deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """
    What one storage class costs, in US dollars.

    *stages* are dollars a GB-month by the days from which on they hold in this class: of Intelligent-Tiering,
    for what nobody reads. *move* is for 1,000 objects that are moved to it, *read* for a GB that is read of
    it, *watch* for 1,000 objects a month. Leaving it before *least_days* is charged as if it was then. Each
    object is billed for *overhead* bytes more of this class, and *index* bytes of STANDARD.
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
        """Dollars a GB-month once a month in it is over."""
        return max((day, usd) for day, usd in self.stages if day <= MONTH)[1]


type RateTable = Mapping[str, Rates]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """
    So many *objects* of one *age* in days, *size* bytes together, *held* in one storage class.

    *small* is whether each is below `SMALL`. *reads* is how often all of it is read in a month.
    """

    age: int
    objects: int
    size: int
    held: str = STANDARD
    small: bool = False
    reads: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """What a rule changes now: dollars a *month*, *once* for doing it, and how many bytes it concerns."""

    month: Decimal = Decimal(0)
    once: Decimal = Decimal(0)
    moved: int = 0
    deleted: int = 0

    def __add__(self, other: Saving) -> Saving:
        return Saving(
            month=self.month + other.month,
            once=self.once + other.once,
            moved=self.moved + other.moved,
            deleted=self.deleted + other.deleted,
        )


def moves(cohort: Cohort, rule: LifecycleRule, *, small_too: bool = False) -> list[Move]:
    """
    When *rule* moves *cohort* from now on, and when it deletes it.

    S3 moves one way only. What has missed several moves is moved once, to the last of them. With *small_too*
    small objects are moved to `ARCHIVES` as well, and to nothing else.
    """
    found: dict[int, str | None] = {}
    held = cohort.held
    for day, to in rule.transitions:
        movable = not cohort.small or (small_too and to in ARCHIVES)
        if movable and _rank(to) > _rank(held):
            found[max(0, day - cohort.age)] = held = to
    if rule.expire_after is not None:
        found[max(0, rule.expire_after - cohort.age)] = None
    return sorted(found.items())


def _rank(name: str) -> int:
    """The place of a class among those that objects are moved through; STANDARD is before all."""
    return CLASSES.index(name) if name in CLASSES else -1


def monthly(cohort: Cohort, rates: RateTable, usd: Decimal | None = None) -> Decimal:
    """What *cohort* costs a month where it is held, at *usd* a GB-month instead of what it settles at."""
    own = rates[cohort.held]
    price = own.lasting if usd is None else usd
    billed = cohort.size + cohort.objects * own.overhead
    index = rates[STANDARD].lasting * cohort.objects * own.index
    read = own.read * cohort.reads * cohort.size
    return (price * billed + index + read) / GB + own.watch * cohort.objects / 1000


def fee(cohort: Cohort, to: str | None, rates: RateTable, days: int = 0) -> Decimal:
    """What moving or deleting *cohort* costs, *days* after it was put where it is held."""
    own = rates[cohort.held]
    early = Decimal(max(0, own.least_days - days)) / MONTH * own.lasting * cohort.size / GB
    return early + (Decimal(0) if to is None else rates[to].move * cohort.objects / 1000)


def saving(
    cohorts: Iterable[Cohort], rule: LifecycleRule, rates: RateTable, *, small_too: bool = False
) -> Saving:
    """What *rule* saves of what it moves or deletes at once; what grows old later is not counted."""
    total = Saving()
    for cohort in cohorts:
        due = [to for at, to in moves(cohort, rule, small_too=small_too) if at == 0]
        if due:
            (to,) = due
            left = Decimal(0) if to is None else monthly(replace(cohort, held=to), rates)
            total += Saving(
                month=monthly(cohort, rates) - left,
                once=fee(cohort, to, rates),
                moved=0 if to is None else cohort.size,
                deleted=cohort.size if to is None else 0,
            )
    return total


def worth(
    cohorts: Sequence[Cohort],
    rule: LifecycleRule,
    rates: RateTable,
    *,
    payback_days: int,
    small_too: bool = False,
) -> tuple[tuple[int, str], ...]:
    """
    Those transitions of *rule* that return their fees within *payback_days*, for objects like *cohorts*.

    Each is compared with staying where the kept ones before it put the objects: small or often read objects
    cost more in a class for what is rarely read. A class without *rates* is left out.
    """
    kept: list[tuple[int, str]] = []
    for day, to in rule.transitions:
        if to not in rates:
            continue
        saved, fees = Decimal(0), Decimal(0)
        for cohort in cohorts:
            movable = not cohort.small or (small_too and to in ARCHIVES)
            before, since = _before(cohort, kept, small_too=small_too)
            if not movable or _rank(to) <= _rank(before):
                continue
            here = replace(cohort, held=before)
            saved += monthly(here, rates) - monthly(replace(cohort, held=to), rates)
            fees += fee(here, to, rates, day - since if before != cohort.held else 0)
        if saved > 0 and fees <= saved * payback_days / MONTH:
            kept.append((day, to))
    return tuple(kept)


def _before(cohort: Cohort, kept: Sequence[tuple[int, str]], *, small_too: bool) -> tuple[str, int]:
    """Where the transitions *kept* put *cohort*, and at which age."""
    where, since = cohort.held, 0
    for day, to in kept:
        movable = not cohort.small or (small_too and to in ARCHIVES)
        if movable and _rank(to) > _rank(where):
            where, since = to, day
    return where, since
