"""`janitor estimate storage`: objects in other storage classes, by an age profile or of a bucket."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Annotated

import typer

from ml_janitor.aws.prices import PRICE_TABLE_REGION
from ml_janitor.aws.storage import FROM_STORAGE_TABLE, StoragePrices
from ml_janitor.config.values import suggest_nearest
from ml_janitor.core.model import Kept, Value
from ml_janitor.core.text import count_noun, format_size
from ml_janitor.core.tiering import (
    DAYS_PER_MONTH,
    GB,
    INTELLIGENT_TIERING,
    RESTORE_CLASSES,
    SMALL_OBJECT,
    STANDARD,
    TRANSITION_CLASSES,
    LifecycleRule,
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
from ml_janitor.detectors.storage_tiering.reading import BUCKET_KIND, TieringBucket
from ml_janitor.detectors.storage_tiering.rule import StorageTiering, TieringPlan, parse_policies
from ml_janitor_cli import edge
from ml_janitor_cli.completion import profile_names
from ml_janitor_cli.estimate.estimates import (
    Estimate,
    EstimateAccount,
    Figure,
    RegionOption,
    Word,
    check_finite,
    open_account,
    print_estimate,
    read_text,
    require,
)
from ml_janitor_cli.screen import show_progress

# --- command --------------------------------------------------------------------------------------

DEFAULT_RULE = "STANDARD_IA 30d, GLACIER_IR 90d"
PROFILE_COLUMNS = ("age_days", "gb", "objects", "reads_a_month", "class")


def storage(
    ctx: typer.Context,
    profile: Annotated[
        str | None,
        edge.argument("[FILE]", f"CSV with {', '.join(PROFILE_COLUMNS)}; the last two are optional."),
    ] = None,
    *,
    bucket: Annotated[
        str | None, edge.option("NAME", "A bucket instead of FILE, with the rules of storage-tiering.")
    ] = None,
    gb: Annotated[float | None, edge.option("GB", "Size instead of FILE, all of one age.")] = None,
    objects: Annotated[float, edge.option("N", "Number of objects.")] = 1.0,
    age: Annotated[float, edge.option("DAYS", "Age of the objects.")] = 180.0,
    reads: Annotated[float, edge.option("TIMES", "Reads of each object in a month.")] = 0.0,
    rule: Annotated[
        str, edge.option("RULE", "Classes and ages, as in a policy of storage-tiering.")
    ] = DEFAULT_RULE,
    months: Annotated[float, edge.option("N", "Months to look ahead.")] = 12.0,
    small_too: Annotated[
        bool, typer.Option(help="Move objects below 128 KB to archives, as a bucket may be set.")
    ] = False,
    region: RegionOption = None,
    aws_profile: Annotated[
        str | None, edge.option("NAME", "The AWS profile to use.", "--profile", complete=profile_names)
    ] = None,
    overrides: edge.Overrides = None,
    config: edge.SettingsFile = None,
    as_json: edge.Json = False,
) -> int:
    """
    Estimate objects in other storage classes, fees included.

    Fees for moving, minimum charges of a class, the overhead of an archived object, and reading are included.
    Prices are those of a dated table for us-east-1; of a bucket, those of its region.

    \b
    Examples:
      janitor estimate storage --gb 20000 --objects 40000 --age 200 --reads 0.05
      janitor estimate storage ages.csv --rule "STANDARD_IA 30d, DEEP_ARCHIVE 365d"
      janitor estimate storage --bucket ml-experiments
    """  # noqa: D301 - \b keeps the lines below it as they are
    if sum(source is not None for source in (profile, bucket, gb)) != 1:
        raise edge.CommandRefusedError("give one of FILE, --gb and --bucket")
    if bucket is not None:
        with open_account(ctx, region, aws_profile, config, overrides) as at:
            found = estimate_bucket_by_name(at, bucket)
        return print_estimate("storage", lambda: found, as_json=as_json)

    def estimated() -> Estimate:
        if profile is not None:
            cohorts = read_cohorts(read_text(profile), profile)
        else:
            cohorts = [make_cohort(age=age, gb=gb or 0.0, objects=objects, reads=reads)]
        found = estimate_storage(
            cohorts,
            parse_rule(rule),
            StoragePrices(PRICE_TABLE_REGION, None).rates(),
            months=months,
            payback_days=StorageTiering().payback.days,
            small_too=small_too,
        )
        return replace(
            found,
            prices=(f"S3, {PRICE_TABLE_REGION}, {FROM_STORAGE_TABLE}, cheaper from 50 TB and 500 TB on",),
        )

    return print_estimate("storage", estimated, as_json=as_json)


def parse_rule(words: str) -> LifecycleRule:
    """Parse the rule in *words*: "STANDARD_IA 30d, expire 365d". Raises CommandRefusedError."""
    try:
        policy = parse_policies({"--rule": words}, {"*": "--rule"}).named["--rule"]
        return LifecycleRule(id="rule", transitions=policy.transitions, expire_after=policy.expire)
    except ValueError as error:
        unknown = next(
            (word for word in words.replace(",", " ").split()[::2] if word not in TRANSITION_CLASSES), ""
        )
        why = str(error).rpartition("--rule")[2].strip("': ")
        raise edge.CommandRefusedError(
            f"--rule: {why}{suggest_nearest(unknown, TRANSITION_CLASSES) if unknown else ''}"
        ) from error


def read_cohorts(text: str, where: str) -> list[ObjectCohort]:
    """Read the objects of an age profile, a row for each age. Raises CommandRefusedError."""
    rows = csv.DictReader(line for line in text.splitlines() if line.strip() and not line.startswith("#"))
    head = rows.fieldnames or []
    for name in PROFILE_COLUMNS[:3]:
        if name not in head:
            raise edge.CommandRefusedError(
                f"{where} has no column {name}: its head is {', '.join(PROFILE_COLUMNS)}"
            )
    for name in head:
        if name not in PROFILE_COLUMNS:
            raise edge.CommandRefusedError(
                f"{where} has an unknown column {name}{suggest_nearest(name, PROFILE_COLUMNS)}"
            )
    found = []
    for number, row in enumerate(rows, start=2):
        if None in row:
            raise edge.CommandRefusedError(f"{where}, row {number}: more columns than the head has")
        held = (row.get("class") or STANDARD).strip()
        if held != STANDARD and held not in TRANSITION_CLASSES:
            raise edge.CommandRefusedError(
                f"{where}, row {number}: no class {held} is known{suggest_nearest(held, TRANSITION_CLASSES)}"
            )
        try:
            age, gb, objects = (float(row[name] or "") for name in PROFILE_COLUMNS[:3])
            reads = float(row.get("reads_a_month") or 0)
            found.append(make_cohort(age=age, gb=gb, objects=objects, reads=reads, held=held))
        except (ValueError, edge.CommandRefusedError) as error:
            why = "something is not a number" if isinstance(error, ValueError) else error
            raise edge.CommandRefusedError(f"{where}, row {number}: {why}") from error
    return found


LEAST_ASKED_GB = 1.0
"""Gigabytes below which even a bucket that somebody asks for is not looked at."""


def estimate_bucket_by_name(at: EstimateAccount, name: str) -> Estimate:
    """Estimate the rules that storage-tiering proposes for the bucket *name*, also if it is a small one."""
    rule = replace(at.detector(StorageTiering), min_gb=LEAST_ASKED_GB)
    target = at.target(name, BUCKET_KIND)
    with show_progress(f"reading {name}"), edge.one_line_errors(name):
        parts = tuple(rule.find_parts(at.aws, at.now, target.name))
    if not parts:
        raise edge.CommandRefusedError(
            f"no bucket in {at.aws.region} is called {name}; --region says where else to look"
        )
    return estimate_judged_bucket(rule, parts, at.now)


def estimate_judged_bucket(rule: StorageTiering, parts: Sequence[TieringBucket], now: datetime) -> Estimate:
    """
    Estimate the rules for a bucket that was read, with its deletions. Raises FailedError if it cannot be
    judged.
    """
    found, verdicts = parts[0], [rule.decide(part, now) for part in parts]
    for verdict in verdicts:
        if isinstance(verdict, Kept) and verdict.unknown:
            raise edge.FailedError(f"what {found.name} would save is not known: {verdict.reason}")
    kept = "; ".join(verdict.reason for verdict in verdicts if isinstance(verdict, Kept))
    judged = zip(parts, verdicts, strict=True)
    plans = [
        plan
        for part, verdict in judged
        if not isinstance(verdict, Kept)
        for plan in rule.plans(part, now).found
    ]
    root = found.root.value if isinstance(found.root, Value) else None
    return estimate_bucket_rules(
        [
            (plan.rule.prefix, f"{plan.words}; the folder's other rule saves more", TieringSaving())
            if _is_counted_elsewhere(plan, plans)
            else (plan.rule.prefix, plan.words, plan.saving)
            for plan in plans
        ],
        None if root is None else [*root.cohorts(), *root.noncurrent()],
        found.rates,
        kept=None if plans else kept,
    )


def _is_counted_elsewhere(plan: TieringPlan, plans: Sequence[TieringPlan]) -> bool:
    """Return whether the folder's other rule saves more on the same objects."""
    return any(
        bool(plan.saving and other.saving and other.saving.month > plan.saving.month)
        and other.rule.prefix == plan.rule.prefix
        and (other.rule.expire_after or plan.rule.expire_after) is not None
        for other in plans
    )


# --- arithmetic -----------------------------------------------------------------------------------

STORAGE_EXCLUSIONS = "requests, versions and uploads, and what grows old later"

VOLUME_DISCOUNTS = ((51_200, Decimal("0.001")), (512_000, Decimal("0.001")))
"""
Dollars less for a GB-month of STANDARD beyond so many GB of an account.

$0.023 for the first 50 TB, $0.022 for the next 450 TB and $0.021 for more: https://aws.amazon.com/s3/pricing/,
us-east-1, as widely published up to mid-2025.
"""

MOST_GB, MOST_OBJECTS, MOST_DAYS, MOST_READS = 1e12, 1e15, 36_500.0, 1e9
"""More than S3 as a whole holds, and older than anything in it."""


def volume_discount(cohorts: Iterable[ObjectCohort]) -> Decimal:
    """Return the dollars a month that S3's tiers take off the price of the first 50 TB."""
    gb = Decimal(sum(cohort.size for cohort in cohorts if cohort.held == STANDARD)) / GB
    return sum((less * max(Decimal(0), gb - beyond) for beyond, less in VOLUME_DISCOUNTS), Decimal(0))


def make_cohort(
    *, age: float, gb: float, objects: float, reads: float = 0.0, held: str = STANDARD
) -> ObjectCohort:
    """Build a cohort: *objects* of *gb* together and one *age*; they are small by their mean size."""
    check_finite(age, gb, objects, reads)
    require(
        age >= 0 and gb >= 0 and objects >= 0 and reads >= 0,
        "ages, sizes, objects and reads are not negative",
    )
    require(
        gb <= MOST_GB and objects <= MOST_OBJECTS and age <= MOST_DAYS and reads <= MOST_READS,
        f"the most is {MOST_GB:g} GB, {MOST_OBJECTS:g} objects, {MOST_DAYS:g} days and {MOST_READS:g} reads",
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
    stays = [
        cohort
        for cohort in cohorts
        if not any(day == 0 for day, _ in planned_moves(cohort, rule, small_too=small_too))
    ]
    now = replace(now, month=now.month - volume_discount(cohorts) + volume_discount(stays))
    stay = _bill(cohorts, None, rates, days, small_too=small_too)
    move = _bill(cohorts, rule, rates, days, small_too=small_too)
    small = sum(cohort.size for cohort in cohorts if cohort.small)
    if kept:
        steps = ", ".join(f"{to} at {count_noun(day, 'day')}" for day, to in kept)
        advice = f"Move what is old enough: {steps} pay{'s' if len(kept) == 1 else ''} back"
        advice += f" within {count_noun(payback_days, 'day')}."
    elif rule.transitions:
        advice = f"Leave it as it is: no move pays back within {count_noun(payback_days, 'day')}."
    else:
        advice = "Delete what is old enough, if nobody needs it."
    classes = tuple(_classes(cohorts, rule, rates, days, small_too=small_too, read=read))
    at_once = {
        str(row[0].known): row[-1].known
        for row in classes
        if row[0].known not in RESTORE_CLASSES and isinstance(row[-1], Figure) and row[-1].known is not None
    }
    best = min(at_once, key=lambda name: at_once[name])
    span = count_noun(months, "month")
    reasons = [
        _payback(now),
        f"{best} costs least of classes that are read at once: ${at_once[best]:,.2f} in {span}.",
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
                float(sum(monthly_cost(cohort, rates) for cohort in cohorts) - volume_discount(cohorts)),
            ),
            Figure("saved_monthly_usd", "saved a month by what moves now", float(now.month)),
            Figure("once_usd", "fees for moving that", float(now.once)),
            Figure("payback_days", "days until the fees are back", _days(now), "days"),
            Figure("stay_usd", f"{count_noun(months, 'month')} as it is", float(stay)),
            Figure("move_usd", f"{count_noun(months, 'month')} under the rule, fees included", float(move)),
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
) -> Estimate:
    """
    Estimate the rules for a bucket: of each its folder, its effect in words, and its *Saving* if known.

    *held* is everything that the bucket holds, if it was listed; *kept* is why there are no rules.
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
    source = "list prices of the bucket's region for the first 50 TB, fees from the table of mid-2025"
    return Estimate(
        (now, *figures) if kept is None else (now,),
        advice if kept is None else f"Leave it as it is: {kept}.",
        STORAGE_EXCLUSIONS,
        (_payback(total),) if found else (),
        tuple(
            (
                Word("folder", "folder", folder or "the whole bucket"),
                Figure("saved_monthly_usd", "saved a month", None if own is None else float(own.month)),
                Figure("once_usd", "once", None if own is None else float(own.once)),
                Word("rule", "rule", words),
            )
            for folder, words, own in found
        ),
        (source,),
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
    total, leaving = Decimal(0), list[tuple[int, ObjectCohort]]()
    for cohort in cohorts:
        found: list[TierMove] = [] if rule is None else planned_moves(cohort, rule, small_too=small_too)
        known = [(day, to) for day, to in found if to is None or to in rates]
        total += cohort_cost(cohort, known, rates, days)
        leaving.append((min([days, *(day for day, _ in known)]), cohort))
    since = 0
    for until in sorted({day for day, _ in leaving}):
        held = [cohort for day, cohort in leaving if day > since]
        total -= volume_discount(held) * (until - since) / DAYS_PER_MONTH
        since = until
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
        month = float(sum(monthly_cost(cohort, rates) for cohort in after) - volume_discount(after))
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
        return "Moving now saves nothing." if found.moved else "Nothing is old enough to move now."
    if (days := _days(found)) < 1:
        return "The fees are back within a day."
    return f"The fees are back after {count_noun(round(days), 'day')}; until then, leaving it costs less."


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
