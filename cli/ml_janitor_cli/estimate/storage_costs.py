"""Costs and savings of moving objects to other storage classes: by an age profile, or of a bucket."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal

from ml_janitor.core.lifecycles import INTELLIGENT_TIERING, TRANSITION_CLASSES, LifecycleRule
from ml_janitor.core.text import format_size
from ml_janitor.core.tiering import (
    DAYS_PER_MONTH,
    GB,
    RESTORE_CLASSES,
    SMALL_OBJECT,
    STANDARD,
    ObjectCohort,
    RateTable,
    TieringSaving,
    TierMove,
    monthly_cost,
    planned_moves,
    saving_of_rule,
    transition_fee,
    worthwhile_transitions,
)
from ml_janitor_cli.estimate.costs import Estimate, Figure, Word, check_finite, require

STORAGE_EXCLUSIONS = "requests, versions and uploads, and what grows old later"


def make_cohort(
    *, age: float, gb: float, objects: float, reads: float = 0.0, held: str = STANDARD
) -> ObjectCohort:
    """Build a cohort: *objects* of *gb* together and one *age*; they are small by their mean size."""
    check_finite(age, gb, objects, reads)
    require(
        age >= 0 and gb >= 0 and objects >= 0 and reads >= 0,
        "ages, sizes, objects and reads are not negative",
    )
    require(bool(objects) or not gb, "what holds bytes has at least 1 object")
    size = round(gb * GB)
    return ObjectCohort(
        age=int(age),
        objects=int(objects),
        size=size,
        held=held,
        small=bool(objects) and size / objects < SMALL_OBJECT,
        reads=Decimal(str(reads)),
    )


def estimate_storage(
    cohorts: Sequence[ObjectCohort],
    rule: LifecycleRule,
    rates: RateTable,
    *,
    months: float,
    payback_days: int,
    small_too: bool = False,
) -> Estimate:
    """
    Compare *cohorts* as they are with *rule*, for so many *months* from now on, with fees and reading.

    *payback_days* is within how long a move has to return its fees, as for the adviser storage-tiering.
    """
    require(0 < months <= 1200, "months lie between 0 and 1200")
    require(any(cohort.objects for cohort in cohorts), "a profile has at least one object")
    for cohort in cohorts:
        require(cohort.held in rates, f"no price of {cohort.held} is known")
    read = any(cohort.reads for cohort in cohorts)
    tiers = INTELLIGENT_TIERING in dict(rule.transitions).values() or any(
        cohort.held == INTELLIGENT_TIERING for cohort in cohorts
    )
    require(not (read and tiers), f"what {INTELLIGENT_TIERING} saves of objects that are read is not known")
    days = round(Decimal(str(months)) * DAYS_PER_MONTH)
    kept = worthwhile_transitions(cohorts, rule, rates, payback_days=payback_days, small_too=small_too)
    now = saving_of_rule(cohorts, rule, rates, small_too=small_too)
    stay = _bill(cohorts, None, rates, days, small_too=small_too)
    move = _bill(cohorts, rule, rates, days, small_too=small_too)
    small = sum(cohort.size for cohort in cohorts if cohort.small)
    if kept:
        steps = ", ".join(f"{to} at {day} days" for day, to in kept)
        advice = f"Move what is old enough: {steps} pay{'s' if len(kept) == 1 else ''} back"
        advice += f" within {payback_days} days."
    elif rule.transitions:
        advice = f"Leave it as it is: no move pays back within {payback_days} days."
    else:
        advice = "Delete what is old enough, if nobody needs it."
    classes = tuple(_classes(cohorts, rule, rates, days, small_too=small_too, read=read))
    at_once = {
        str(row[0].known): row[-1].known
        for row in classes
        if row[0].known not in RESTORE_CLASSES and isinstance(row[-1], Figure) and row[-1].known is not None
    }
    best = min(at_once, key=lambda name: at_once[name])
    reasons = [
        _payback(now),
        f"Of classes that are read at once, {best} costs least: ${at_once[best]:,.2f} in {months:g} months.",
    ]
    if small:
        reasons.append(
            f"{format_size(small)} are in objects below 128 KB, which S3 does not move"
            f"{' but to archives' if small_too else ''}."
        )
    return Estimate(
        (
            Figure(
                "monthly_usd",
                "a month as it is",
                float(sum(monthly_cost(cohort, rates) for cohort in cohorts)),
            ),
            Figure("saved_monthly_usd", "saved a month by what moves now", float(now.month)),
            Figure("once_usd", "fees for moving that", float(now.once)),
            Figure("payback_days", "days until the fees are back", _days(now), "days"),
            Figure("stay_usd", f"{months:g} months as it is", float(stay)),
            Figure("move_usd", f"{months:g} months under the rule, fees included", float(move)),
        ),
        advice,
        STORAGE_EXCLUSIONS,
        tuple(reasons),
        classes,
    )


def estimate_bucket_rules(
    found: Sequence[tuple[str, str, TieringSaving | None]],
    held: Sequence[ObjectCohort] | None,
    rates: RateTable,
    *,
    kept: str | None = None,
    hint: str | None = None,
) -> Estimate:
    """
    Estimate the rules for a bucket: of each its folder, its effect in words, and its *Saving* if known.

    *held* is everything that the bucket holds, if it was listed; *kept* is why there are no rules, and *hint*
    what somebody could try then.
    """
    total = sum((own for _, _, own in found if own is not None), TieringSaving())
    known = held is not None and all(cohort.held in rates for cohort in held)
    monthly_usd = float(sum(monthly_cost(cohort, rates) for cohort in held or ())) if known else None
    advice = f"Add {len(found)} lifecycle rule{'s' if len(found) > 1 else ''}, as storage-tiering proposes."
    now = Figure("monthly_usd", "a month as it is", monthly_usd)
    figures = (
        Figure("saved_monthly_usd", "saved a month by what moves now", float(total.month)),
        Figure("once_usd", "fees for moving that", float(total.once)),
        Figure("payback_days", "days until the fees are back", _days(total), "days"),
        Figure("first_year_usd", "saved in the first year", float(12 * total.month - total.once)),
    )
    return Estimate(
        (now, *figures) if kept is None else (now,),
        advice if kept is None else f"Leave it as it is: {kept}.",
        STORAGE_EXCLUSIONS,
        (f"{hint}.",) if hint else (_payback(total),) if found else (),
        tuple(
            (
                Word("folder", "folder", folder or "the whole bucket"),
                Figure("saved_monthly_usd", "saved a month", None if own is None else float(own.month)),
                Figure("once_usd", "once", None if own is None else float(own.once)),
                Word("rule", "rule", words),
            )
            for folder, words, own in found
        ),
    )


def _bill(
    cohorts: Iterable[ObjectCohort],
    rule: LifecycleRule | None,
    rates: RateTable,
    days: int,
    *,
    small_too: bool,
) -> Decimal:
    """Add up the cost of *cohorts* within *days* under *rule*, without classes whose price is unknown."""
    total = Decimal(0)
    for cohort in cohorts:
        found: list[TierMove] = [] if rule is None else planned_moves(cohort, rule, small_too=small_too)
        total += cohort_cost(
            cohort, [(day, to) for day, to in found if to is None or to in rates], rates, days
        )
    return total


def _classes(
    cohorts: Sequence[ObjectCohort],
    rule: LifecycleRule,
    rates: RateTable,
    days: int,
    *,
    small_too: bool,
    read: bool,
) -> Iterable[tuple[Figure | Word, ...]]:
    """
    Compare classes, as if everything as old as the first step of *rule* demands moved there now.

    If objects are *read*, it is not known in which tier Intelligent-Tiering has them.
    """
    first = min((day for day, _ in rule.transitions), default=0)
    for name in (STANDARD, *(known_class for known_class in TRANSITION_CLASSES if known_class in rates)):
        target = LifecycleRule(id="x", transitions=((max(first, 30), name),)) if name != STANDARD else None
        moved = [
            cohort
            for cohort in cohorts
            if target and (0, name) in planned_moves(cohort, target, small_too=small_too)
        ]
        rest = [cohort for cohort in cohorts if cohort not in moved]
        after = [*(replace(cohort, held=name) for cohort in moved), *rest]
        once = sum((transition_fee(cohort, name, rates) for cohort in moved), Decimal(0))
        whole = sum((cohort_cost(cohort, [(0, name)], rates, days) for cohort in moved), Decimal(0))
        whole += _bill(rest, None, rates, days, small_too=small_too)
        reading = sum(
            (rates[cohort.held].read * cohort.reads * cohort.size / GB for cohort in after), Decimal(0)
        )
        month = float(sum(monthly_cost(cohort, rates) for cohort in after))
        known = not (read and name == INTELLIGENT_TIERING)
        yield (
            Word("class", "class", name),
            Figure("moved_gb", "moved", sum(cohort.size for cohort in moved) / GB, "GB"),
            Figure("once_usd", "once", float(once)),
            Figure("monthly_usd", "a month", month if known else None),
            Figure("read_usd", "reading", float(reading) if known else None),
            Figure("least_days", "at least", float(rates[name].least_days), "days"),
            Figure("whole_usd", "in all", float(whole) if known else None),
        )


def _days(found: TieringSaving) -> float:
    return float(found.once / found.month * DAYS_PER_MONTH) if found.month > 0 else math.inf


def _payback(found: TieringSaving) -> str:
    if found.month <= 0:
        return "What moves now saves nothing." if found.moved else "Nothing is old enough to move now."
    if (days := _days(found)) < 1:
        return "The fees are back within a day."
    return f"The fees are back after {days:,.0f} days; until then, leaving it costs less."


def cohort_cost(cohort: ObjectCohort, found: Sequence[TierMove], rates: RateTable, days: int) -> Decimal:
    """Add up the cost of *cohort* within *days* if it is moved as *found* says, with fees and reading."""
    total, since = Decimal(0), 0
    for at, to in found:
        if at >= days:
            break
        total += _kept(cohort, rates, at - since) + transition_fee(cohort, to, rates, at - since)
        if to is None:
            return total
        cohort, since = replace(cohort, held=to), at
    return total + _kept(cohort, rates, days - since)


def _kept(cohort: ObjectCohort, rates: RateTable, days: int) -> Decimal:
    """Add up the cost of *cohort* in its first *days* where it is held."""
    stages = rates[cohort.held].stages
    ends = [*(day for day, _ in stages[1:]), days]
    return sum(
        (
            monthly_cost(cohort, rates, usd) * max(0, min(end, days) - begin) / DAYS_PER_MONTH
            for (begin, usd), end in zip(stages, ends, strict=True)
        ),
        Decimal(0),
    )
