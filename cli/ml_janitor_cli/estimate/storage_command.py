"""`janitor estimate storage`: objects in other storage classes, by an age profile or of a bucket."""

from __future__ import annotations

import csv
from datetime import datetime
from typing import Annotated

import typer

from ml_janitor.aws.prices import PRICE_TABLE_REGION
from ml_janitor.aws.storage_prices import StoragePrices
from ml_janitor.config.layers import suggest_nearest
from ml_janitor.core.lifecycles import TRANSITION_CLASSES, LifecycleRule
from ml_janitor.core.model import Kept
from ml_janitor.core.signals import NotRead, Value
from ml_janitor.core.tiering import STANDARD, ObjectCohort
from ml_janitor.detectors.storage_tiering.bucket import BUCKET_KIND, TieringBucket
from ml_janitor.detectors.storage_tiering.policies import parse_policies
from ml_janitor.detectors.storage_tiering.rule import StorageTiering
from ml_janitor_cli import edge
from ml_janitor_cli.estimate import storage_costs
from ml_janitor_cli.estimate.costs import Estimate, ImpossibleEstimateError
from ml_janitor_cli.estimate.view import (
    EstimateAccount,
    RegionOption,
    open_account,
    print_estimate,
    read_text,
)
from ml_janitor_cli.failures import FailedError, one_line_errors
from ml_janitor_cli.screen import show_progress

DEFAULT_RULE = "STANDARD_IA 30d, GLACIER_IR 90d"
PROFILE_COLUMNS = ("age_days", "gb", "objects", "reads_a_month", "class")


def storage(
    ctx: typer.Context,
    profile: Annotated[
        str | None,
        edge.argument("[FILE]", f"CSV with a head of {', '.join(PROFILE_COLUMNS)}; the last two may lack."),
    ] = None,
    *,
    bucket: Annotated[
        str | None, edge.option("NAME", "Instead: what storage-tiering proposes for it.")
    ] = None,
    gb: Annotated[float | None, edge.option("GB", "Instead: so much, all of one age.")] = None,
    objects: Annotated[float, edge.option("N", "In how many objects.")] = 1.0,
    age: Annotated[float, edge.option("DAYS", "How old they are.")] = 180.0,
    reads: Annotated[float, edge.option("TIMES", "Each is read in a month.")] = 0.0,
    rule: Annotated[
        str, edge.option("RULE", "Classes and ages, as policies of storage-tiering have them.")
    ] = DEFAULT_RULE,
    months: Annotated[float, edge.option("N", "To look ahead.")] = 12.0,
    small_too: Annotated[
        bool, typer.Option(help="Move objects below 128 KB to archives, as a bucket may be set.")
    ] = False,
    region: RegionOption = None,
    aws_profile: Annotated[str | None, edge.option("NAME", "The AWS profile to use.", "--profile")] = None,
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
            cohorts = [storage_costs.make_cohort(age=age, gb=gb or 0.0, objects=objects, reads=reads)]
        return storage_costs.estimate_storage(
            cohorts,
            parse_rule(rule),
            StoragePrices(PRICE_TABLE_REGION, None).rates(),
            months=months,
            payback_days=StorageTiering().payback.days,
            small_too=small_too,
        )

    return print_estimate("storage", estimated, as_json=as_json)


def parse_rule(words: str) -> LifecycleRule:
    """Parse the rule in *words*: "STANDARD_IA 30d, expire 365d". Raises Refused."""
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
    """Read the objects of an age profile, a row for each age. Raises Refused."""
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
        held = (row.get("class") or STANDARD).strip()
        if held != STANDARD and held not in TRANSITION_CLASSES:
            raise edge.CommandRefusedError(
                f"{where}, row {number}: no class {held} is known{suggest_nearest(held, TRANSITION_CLASSES)}"
            )
        try:
            age, gb, objects = (float(row[name] or "") for name in PROFILE_COLUMNS[:3])
            reads = float(row.get("reads_a_month") or 0)
            found.append(storage_costs.make_cohort(age=age, gb=gb, objects=objects, reads=reads, held=held))
        except ValueError as error:
            why = error if isinstance(error, ImpossibleEstimateError) else "something is no number"
            raise edge.CommandRefusedError(f"{where}, row {number}: {why}") from error
    return found


def estimate_bucket_by_name(at: EstimateAccount, name: str) -> Estimate:
    """Estimate the rules that storage-tiering proposes for the bucket *name*."""
    rule = at.detector(StorageTiering)
    target = at.target(name, BUCKET_KIND)
    with show_progress(f"reading {name}"), one_line_errors(name):
        found = rule.look(at.aws, target, at.now)
    if found is None:
        raise edge.CommandRefusedError(
            f"no bucket in {at.aws.region} is called {name}; --region says where else to look"
        )
    return estimate_judged_bucket(rule, found, at.now)


def estimate_judged_bucket(rule: StorageTiering, found: TieringBucket, now: datetime) -> Estimate:
    """Estimate the rules for a bucket that was read. Raises FailedError if it cannot be judged."""
    verdict = rule.decide(found, now)
    kept = isinstance(verdict, Kept)
    if isinstance(verdict, Kept) and verdict.unknown:
        raise FailedError(f"what {found.name} would save is not known: {verdict.reason}")
    plans = () if kept else rule.plans(found, now).found
    root = found.root.value if isinstance(found.root, Value) else None
    return storage_costs.estimate_bucket_rules(
        [(plan.rule.prefix, plan.words, plan.saving) for plan in plans],
        None if root is None else [*root.cohorts(), *root.noncurrent()],
        found.rates,
        kept=verdict.reason if kept else None,
        hint="--set storage-tiering.min_gb=1 looks at smaller ones too"
        if isinstance(found.root, NotRead)
        else None,
    )
