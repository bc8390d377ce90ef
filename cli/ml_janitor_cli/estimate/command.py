"""
`janitor estimate`: the commands, and the costs of training, of a smaller model and of a commitment.

A training job is compared on demand, on spot and committed, and on the same GPUs elsewhere.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Annotated

import typer

from ml_janitor.aws.prices import PricedComponent, machine_of, price_table
from ml_janitor.config.values import suggest_nearest
from ml_janitor.core import commitment
from ml_janitor.core.capacity import (
    RESERVE_FROM_JOBS,
    RESTART_BEYOND,
    Interruption,
    Purchase,
    SpotCapacity,
    best_purchase,
)
from ml_janitor.core.durations import MINUTE, format_hours
from ml_janitor.core.model import HOURS_PER_MONTH
from ml_janitor.core.text import count_noun
from ml_janitor.detectors.spot_training import SpotTraining
from ml_janitor_cli import edge
from ml_janitor_cli.completion import profile_names
from ml_janitor_cli.estimate.batching import batching
from ml_janitor_cli.estimate.estimates import (
    NEGATIVE_INPUT,
    Estimate,
    EstimateAccount,
    Figure,
    InstanceOption,
    PlanDiscount,
    PriceOption,
    ReadDiscountOption,
    RegionOption,
    Word,
    check_finite,
    hourly_price,
    hourly_price_source,
    open_account,
    parse_numbers,
    print_estimate,
    read_text,
    require,
    whole_instances,
)
from ml_janitor_cli.estimate.inference import inference
from ml_janitor_cli.estimate.storage import storage

# --- prices of GPUs on AWS, GCP and Azure ---------------------------------------------------------

GPU_PRICE_FILE = "gpu-prices.csv"
CLOUDS = ("AWS", "GCP", "Azure")

GPU_FAMILIES: Mapping[str, str] = {
    "g4dn": "T4",
    "g5": "A10G",
    "g6": "L4",
    "g6e": "L40S",
    "p3": "V100",
    "p4d": "A100",
    "p4de": "A100-80GB",
    "p5": "H100",
    "p5e": "H200",
    "p5en": "H200",
}
"""The GPU of SageMaker's families: https://aws.amazon.com/ec2/instance-types/ (accelerated computing)."""

SIMILAR_GPUS: Mapping[str, str] = {"A10": "A10G"}
"""GPUs that stand for one another: of the same generation and memory, though not the same chip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """
    One type of machine with *gpus* of a *gpu*, and the dollars an hour of all of it.

    None is a price that is unknown, or a way in which nobody can buy it.
    """

    cloud: str
    region: str
    gpu: str
    machine: str
    gpus: int
    vcpus: float
    memory_gib: float
    usd: float | None
    spot_usd: float | None

    @property
    def least_usd(self) -> float:
        """Return its price on demand, else on spot; every machine of the table has one of them."""
        return self.usd or self.spot_usd or math.inf

    def machines(self, gpus: int) -> int:
        """Return how many machines have at least so many GPUs together."""
        return math.ceil(gpus / self.gpus)


@cache
def read_offers() -> tuple[Offer, ...]:
    """Read the table."""
    lines = files("ml_janitor_cli.estimate").joinpath(GPU_PRICE_FILE).read_text().splitlines()
    return tuple(
        Offer(
            cloud=row["cloud"],
            region=row["region"],
            gpu=row["gpu"],
            machine=row["machine"],
            gpus=int(row["gpus"]),
            vcpus=float(row["vcpus"]),
            memory_gib=float(row["memory_gib"]),
            usd=float(row["usd_per_hour"]) if row["usd_per_hour"] else None,
            spot_usd=float(row["spot_usd_per_hour"]) if row["spot_usd_per_hour"] else None,
        )
        for row in csv.DictReader(line for line in lines if not line.startswith("#"))
    )


def offers_date() -> str:
    """Return the day on which the table was read."""
    text = files("ml_janitor_cli.estimate").joinpath(GPU_PRICE_FILE).read_text()
    return text.partition("Read ")[2][: len("2026-11-27")]


def known_gpus() -> tuple[str, ...]:
    """Return the GPUs that SageMaker has, by their names in the table."""
    return tuple(dict.fromkeys(GPU_FAMILIES.values()))


def instance_gpu(instance: str) -> tuple[str, int] | None:
    """Return the GPU of a SageMaker *instance* and how many it has; None if it has none that is compared."""
    _, _, family_and_size = instance.partition(".")
    gpu = GPU_FAMILIES.get(family_and_size.partition(".")[0])
    gpus = machine_of(instance).gpus
    return (gpu, gpus) if gpu and gpus else None


def cheapest_offers(gpu: str, gpus: int, known: Sequence[Offer]) -> list[Offer]:
    """Return each cloud's machines with so many of *gpu* for the least an hour, whole machines counted."""
    own = [offer for offer in known if SIMILAR_GPUS.get(offer.gpu, offer.gpu) == gpu]
    by_cloud = ([offer for offer in own if offer.cloud == cloud] for cloud in CLOUDS)
    return [
        min(
            some,
            key=lambda offer: (
                offer.usd is None,
                offer.machines(gpus) * offer.least_usd,
                offer.spot_usd is None,
                -offer.gpus,
            ),
        )
        for some in by_cloud
        if some
    ]


# --- a training job -------------------------------------------------------------------------------

HOURS_PER_WEEK, HOURS_PER_YEAR = 168.0, 12 * HOURS_PER_MONTH
SAGEMAKER_OFFER, EC2_OFFER = "SageMaker", "EC2"

type OfferRow = tuple[Figure | Word, ...]

MOST_INTERRUPTIONS = 60.0
"""Interruptions an hour: with more, nothing is ever computed."""

PURCHASE_REASONS = {
    Purchase.SPOT: "an interruption costs little, and the job is short enough to meet few",
    Purchase.SPOT_WITH_RESTART: (
        f"an interruption costs little, but in more than {RESTART_BEYOND:g} hours one is as good as sure"
    ),
    Purchase.SPOT_FOR_EXPERIMENTS: "an interruption costs those who wait for the last run only",
    Purchase.RESERVED: f"an interruption costs much, and {RESERVE_FROM_JOBS:g} jobs a week fill a "
    f"reservation",
    Purchase.ON_DEMAND: (
        f"an interruption costs much, and fewer than {RESERVE_FROM_JOBS:g} jobs a week leave a "
        f"reservation idle"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedJob:
    """
    A job of so many undisturbed *hours*, which runs so often *a_week*.

    *disk_usd* is the cost of an hour of all its volumes, *data_usd* the cost of its data's way out of AWS.
    """

    hours: float
    spot: SpotCapacity
    checkpoints: bool
    a_week: float
    disk_usd: float
    data_usd: float = 0.0

    def on_spot(self, spot: SpotCapacity | None = None) -> float:
        """Return the mean hours that it takes on spot."""
        at = spot or self.spot
        return at.hours(self.hours, at.interval() if self.checkpoints else math.inf)

    def demand(self, hourly_usd: float) -> float:
        """Return its cost on machines that cost so much an hour together."""
        return (hourly_usd + self.disk_usd) * self.hours

    def interrupted(self, hourly_usd: float, spot: SpotCapacity | None = None) -> float:
        """Return its cost on spot machines that cost so much an hour together."""
        return (hourly_usd + self.disk_usd) * self.on_spot(spot)


def estimate_training(
    *,
    hourly_usd: float,
    instances: int,
    hours: float,
    spot: SpotCapacity,
    checkpoints: bool,
    interruption: Interruption,
    jobs_a_week: float,
    storage_gb: float = 0.0,
    storage_usd: float = 0.0,
    commitment_discount: float | None = None,
    data_gb: float = 0.0,
    egress_usd: float = 0.0,
    instance: str = "",
    gpu: tuple[str, int] | None = None,
    gpus: int | None = None,
    offers: Sequence[Offer] = (),
) -> Estimate:
    """
    Estimate a job of so many undisturbed *hours*: on demand, on spot with its rework, and committed.

    *storage_usd* is the price of a GB-month of each instance's volume of *storage_gb*. *gpu* is the GPU of
    each instance, and how many. So many, or the *gpus* that are asked for where an instance has more, are
    looked for among *offers*, where *data_gb* have to be brought at *egress_usd* a GB.
    """
    require(hourly_usd > 0 and hours > 0, "an hour costs, and a job takes, more than 0")
    require(instances >= 1, "a job has at least 1 instance")
    require(0 <= spot.discount < 1, "spot's discount lies between 0 and 1")
    amounts = (spot.interruptions, spot.restart, spot.save, storage_gb, storage_usd, data_gb, egress_usd)
    check_finite(*amounts, jobs_a_week, hourly_usd, hours)
    require(min(*amounts, jobs_a_week) >= 0, NEGATIVE_INPUT)
    require(0 <= (commitment_discount or 0) < 1, "a commitment's discount lies between 0 and 1")
    spot = replace(spot, instances=instances)
    job = PlannedJob(
        hours=hours,
        spot=spot,
        checkpoints=checkpoints,
        a_week=jobs_a_week,
        disk_usd=storage_gb * storage_usd * instances / HOURS_PER_MONTH,
        data_usd=data_gb * egress_usd,
    )
    whole = hourly_usd * instances
    demand, spot_usd = job.demand(whole), job.interrupted(whole * (1 - spot.discount))
    committed = None if commitment_discount is None else job.demand(whole * (1 - commitment_discount))
    even = break_even_interruptions(job, whole)
    buy = best_purchase(hours, interruption, jobs_a_week)
    advice = f"Buy it {buy}: {PURCHASE_REASONS[buy]}."
    if not checkpoints and spot.hours(hours, spot.interval()) < job.on_spot():
        advice += (
            f" First save a checkpoint every {format_hours(min(spot.interval(), hours))}: each"
            " interruption begins the job anew without one."
        )
    elif spot_usd > demand and "spot" in buy:
        advice = "Buy it on demand: on spot, work done again costs more than the discount saves."
    wanted = (gpus or gpu[1] * instances) if gpu else 0
    others = cheapest_offers(gpu[0], wanted, offers) if gpu else []
    own = _row(
        SAGEMAKER_OFFER,
        f"{instances} x {instance}",
        "assumed",
        whole / max(wanted, 1),
        demand,
        spot_usd,
        committed,
    )
    rows = (own, *(_elsewhere(offer, wanted, job) for offer in others)) if others else ()
    return Estimate(
        (
            Figure("on_demand_usd", "on demand", demand),
            Figure(
                "spot_usd", f"on spot, {spot.discount:.0%} off assumed, work done again included", spot_usd
            ),
            Figure("spot_hours", "hours on spot", job.on_spot(), "hours"),
            Figure("checkpoint_hours", "hours between checkpoints that cost least", spot.interval(), "hours"),
            Figure(
                "even_interruptions",
                "interruptions an hour at which spot costs as much",
                even,
                "an hour",
            ),
            Figure("committed_usd", "under a commitment, if it is used", committed),
        ),
        advice,
        "requests and waiting for spot capacity"
        if data_gb
        else "requests, waiting for spot capacity, and data that leaves AWS",
        (
            _of_spot(even, spot.interruptions),
            _of_commitment(job, commitment_discount),
            *_of_others(
                rows,
                "spot" in advice.partition(":")[0] and spot_usd <= demand,
                0.0 if data_gb else egress_usd,
            ),
        ),
        rows,
    )


def break_even_interruptions(job: PlannedJob, hourly_usd: float) -> float:
    """Return the interruptions an hour at which spot costs *job* as much as on demand; inf if always less."""
    demand = job.demand(hourly_usd)

    def dearer(rate: float) -> bool:
        at = replace(job.spot, interruptions=rate)
        return job.interrupted(hourly_usd * (1 - at.discount), at) > demand

    return find_threshold(dearer, MOST_INTERRUPTIONS)


def find_threshold(holds: Callable[[float], bool], most: float) -> float:
    """Return the number up to *most* from which on something *holds*; inf if it does not even there."""
    low, high = 0.0, most
    if not holds(high):
        return math.inf
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _row(
    where: str,
    machines: str,
    spot_basis: str,
    gpu_hour_usd: float | None,
    *totals: float | None,
) -> OfferRow:
    """Build the row for one way to run the job: its cost on demand, on spot and committed."""
    demand, spot_usd, committed = totals
    return (
        Word("where", "where", where),
        Word("machines", "machines", machines),
        Figure("gpu_hour_usd", "a GPU-hour", gpu_hour_usd),
        Figure("on_demand_usd", "on demand", demand),
        Figure("spot_usd", "on spot", spot_usd),
        Word("spot_basis", "spot price", spot_basis),
        Figure("committed_usd", "committed", committed),
    )


def _elsewhere(offer: Offer, gpus: int, job: PlannedJob) -> OfferRow:
    """Build the row for the same job on whole machines of *offer*; a GPU-hour is of those that it needs."""
    count = offer.machines(gpus)
    data = 0.0 if offer.cloud == "AWS" else job.data_usd
    here = replace(job.spot, instances=count)
    spot = None if offer.spot_usd is None else job.interrupted(offer.spot_usd * count, here) + data
    where = f"{EC2_OFFER if offer.cloud == 'AWS' else offer.cloud} {offer.region}"
    basis = "unknown" if spot is None else "snapshot"
    name = f"{count} x {offer.machine}"
    if offer.usd is None:
        return _row(where, name, basis, None, None, spot, None)
    whole = offer.usd * count
    return _row(where, name, basis, whole / gpus, job.demand(whole) + data, spot, None)


SELDOM = 0.0001
"""Interruptions an hour of an instance that is interrupted about once a year."""


def _of_spot(even: float, assumed: float) -> str:
    if math.isinf(even):
        return (
            "Spot costs less however often it is interrupted; "
            f"{count_noun(assumed, 'interruption')} an hour of each"
            " instance are assumed."
        )
    if even < SELDOM:
        return "Spot never costs less: its discount does not pay for a single interruption."
    return (
        f"Spot costs less below {count_noun(float(f'{even:.2g}'), 'interruption')} an hour of each "
        f"instance; {assumed:g} are assumed."
    )


def _of_commitment(job: PlannedJob, discount: float | None) -> str:
    """Say from which use on a commitment pays: it is billed in every hour of the week."""
    busy = job.a_week * job.hours
    if busy < HOURS_PER_WEEK:
        used = f"these jobs take {busy:,.0f} of a week's {HOURS_PER_WEEK:g} hours"
    else:
        used = f"these jobs take {count_noun(round(busy), 'hour')} a week, more than one at a time"
    if discount is not None:
        least = count_noun(round(HOURS_PER_WEEK * (1 - discount)), "hour")
        return f"A commitment pays from {least} a week on; {used}."
    if busy >= HOURS_PER_WEEK:
        return f"A commitment pays at any discount: {used}."
    return f"A commitment pays only with a discount above {1 - busy / HOURS_PER_WEEK:.0%}: {used}."


def _of_others(rows: Sequence[OfferRow], on_spot: bool, egress_usd: float) -> tuple[str, ...]:  # noqa: FBT001
    """Say how much less the cheapest other offer costs, and with how much data it no longer does."""
    if not rows:
        return ()
    name, how = ("spot_usd", "On spot") if on_spot else ("on_demand_usd", "On demand")
    costs = {
        str(row[0].known): usd.known
        for row in rows
        for usd in row
        if isinstance(usd, Figure) and usd.name == name and usd.known is not None
    }
    best = min(costs, key=lambda place: costs[place])
    less = costs[SAGEMAKER_OFFER] - costs[best]
    if best == SAGEMAKER_OFFER:
        return (f"{how}, these GPUs cost less nowhere else.",)
    words = f"{how}, {best} costs ${less:,.2f} less ({less / costs[SAGEMAKER_OFFER]:.0%})"
    if best.startswith(EC2_OFFER):
        return (f"{words}, without what SageMaker does for its price.",)
    if egress_usd:
        return (f"{words}, and no less if {less / egress_usd:,.0f} GB have to leave AWS first.",)
    return (f"{words}.",)


# --- commands -------------------------------------------------------------------------------------

estimate = typer.Typer(rich_markup_mode=None, add_completion=False)

SPOT_DEFAULTS = SpotTraining()
GPU_CHOICES = ", ".join(known_gpus())


@estimate.callback()
def _estimate() -> None:
    """
    Say what something would cost before anybody pays for it.

    Nothing is asked of AWS, except with --endpoint, --bucket, --measure and --read-discount. Prices come from
    dated tables, of AWS for us-east-1; --price wins over them. Defaults are those of the advisers.
    """


@estimate.command()
def training(
    ctx: typer.Context,
    *,
    hours: Annotated[float, edge.option("HOURS", "Time that the job computes, undisturbed.")],
    instance: InstanceOption = None,
    price: PriceOption = None,
    instances: Annotated[int, edge.option("N", "Number of instances.")] = 1,
    gpu: Annotated[str | None, edge.option("NAME", f"Instead of an instance: {GPU_CHOICES}.")] = None,
    gpus: Annotated[int, edge.option("N", "Number of GPUs in all.")] = 1,
    discount: Annotated[
        float, edge.option("SHARE", "Discount of spot, from 0 to 1.")
    ] = SPOT_DEFAULTS.discount,
    interruptions: Annotated[
        float, edge.option("N", "Interruptions of spot in an hour.")
    ] = SPOT_DEFAULTS.interruptions_per_hour,
    restart: Annotated[float, edge.option("MINUTES", "Time until it computes again.")] = SPOT_DEFAULTS.restart
    / MINUTE,
    save: Annotated[float, edge.option("MINUTES", "Time that a checkpoint takes.")] = SPOT_DEFAULTS.checkpoint
    / MINUTE,
    checkpoints: Annotated[bool, typer.Option(help="It resumes from checkpoints in S3.")] = True,
    interruption: Annotated[
        Interruption, typer.Option(help="Cost of an interruption to those who wait.")
    ] = Interruption.LOW,
    jobs_a_week: Annotated[float, edge.option("N", "Such jobs in a week.")] = 1.0,
    storage_gb: Annotated[float, edge.option("GB", "Size of each instance's volume.")] = 30.0,
    storage_price: Annotated[
        float, edge.option("USD", "Price of a GB-month of the volume (us-east-1).")
    ] = 0.14,
    commitment_discount: Annotated[
        float | None, edge.option("SHARE", "Discount of a Savings Plan, from 0 to 1; else unknown.")
    ] = None,
    read_discount: ReadDiscountOption = False,
    data_gb: Annotated[float, edge.option("GB", "Data that a job on another cloud fetches from AWS.")] = 0.0,
    egress_price: Annotated[
        float, edge.option("USD", "Price of a GB of that data (first 10 TB a month, April 2026).")
    ] = 0.09,
    region: RegionOption = None,
    profile: edge.Profile = None,
    as_json: edge.Json = False,
) -> int:
    """
    Estimate a training job on demand, on spot and elsewhere.

    Elsewhere is the same GPUs on EC2, GCP and Azure. Spot's hours include work that is done again. A
    commitment without a discount has no estimate. Prices of other clouds are those of a dated table: whole
    machines in the cheapest of the regions that it lists, and spot prices of one moment.

    \b
    Examples:
      janitor estimate training --instance ml.p3.8xlarge --instances 4 --hours 27
      janitor estimate training --gpu H100 --gpus 8 --hours 72 --data-gb 500
    """  # noqa: D301 - \b keeps the lines below it as they are
    if gpu is not None:
        if instance is not None:
            raise edge.CommandRefusedError("--gpu chooses the instance: leave --instance out")
        instance, instances = cheapest_instances(gpu, gpus)
    spot = SpotCapacity(interruptions, restart / 60, save / 60, discount)
    account = open_account(ctx, region, profile, None, None) if read_discount else None
    plan = _plan_discount(commitment_discount, "Training", instance, account)

    def estimated() -> Estimate:
        found = estimate_training(
            hourly_usd=hourly_price(instance, price),
            instances=instances,
            hours=hours,
            spot=spot,
            checkpoints=checkpoints,
            interruption=interruption,
            jobs_a_week=jobs_a_week,
            storage_gb=storage_gb,
            storage_usd=storage_price,
            commitment_discount=None if plan is None else plan.share,
            data_gb=data_gb,
            egress_usd=egress_price,
            instance=instance or "",
            gpu=instance_gpu(instance or ""),
            gpus=None if gpu is None else gpus,
            offers=read_offers(),
        )
        sources = [hourly_price_source(instance, price)]
        if found.compared:
            sources.append(
                f"other machines and their spot prices (a snapshot): SkyPilot's catalog, read {offers_date()}"
            )
        if storage_gb:
            sources.append(
                f"${storage_price:g} for a GB-month of a volume{_typed(storage_price, 0.14, '2026')}"
            )
        if plan is not None:
            sources.append(plan.source)
        if data_gb:
            sources.append(f"${egress_price:g} for a GB out of AWS{_typed(egress_price, 0.09, 'April 2026')}")
        return replace(found, prices=tuple(sources))

    return print_estimate("training", estimated, as_json=as_json)


def _typed(price: float, default: float, date: str) -> str:
    """Return the date of the *default*, or that another price was typed."""
    return f", us-east-1, as published in {date}" if price == default else ", as typed"


def cheapest_instances(gpu: str, gpus: int) -> tuple[str, int]:
    """
    Return the instances, and how many, with so many of *gpu* for the least an hour.

    Raises CommandRefusedError.
    """
    known = known_gpus()
    if gpu not in known:
        raise edge.CommandRefusedError(f"--gpu is one of {', '.join(known)}{suggest_nearest(gpu, known)}")
    if gpus < 1:
        raise edge.CommandRefusedError("--gpus is at least 1")
    costs: dict[tuple[str, int], float] = {}
    for name, price in price_table().items():
        own = instance_gpu(name)
        if own is not None and own[0] == gpu and price.hourly_usd is not None:
            count = -(-gpus // own[1])
            costs[name, count] = count * float(price.hourly_usd)
    if not costs:
        raise edge.CommandRefusedError(
            f"no price of an instance with {gpu} is known: give --instance and --price"
        )
    return min(costs, key=lambda choice: (costs[choice], choice[1]))


for _other in (inference, storage, batching):
    estimate.command()(_other)


@estimate.command()
def distillation(
    *,
    teacher: Annotated[
        float | None, edge.option("USD", "Price of 1,000 requests of the larger model.")
    ] = None,
    student: Annotated[
        float | None, edge.option("USD", "Price of 1,000 requests of the smaller model.")
    ] = None,
    requests: Annotated[float | None, edge.option("N", "Requests a month.")] = None,
    teacher_ms: Annotated[
        float | None, edge.option("MS", "Latency of the larger model, instead of dollars.")
    ] = None,
    student_ms: Annotated[float | None, edge.option("MS", "Latency of the smaller model.")] = None,
    rate: Annotated[float | None, edge.option("N", "Requests a second, with latencies.")] = None,
    teacher_instance: Annotated[str | None, edge.option("TYPE", "Instance of the larger model.")] = None,
    student_instance: Annotated[
        str | None, edge.option("TYPE", "Instance of the smaller model; else the same.")
    ] = None,
    teacher_price: Annotated[
        float | None, edge.option("USD", "Price of an hour of --teacher-instance.")
    ] = None,
    student_price: Annotated[
        float | None, edge.option("USD", "Price of an hour of --student-instance.")
    ] = None,
    once: Annotated[float, edge.option("USD", "Cost of making the smaller model.")],
    loss: Annotated[float | None, edge.option("POINTS", "Accuracy that the smaller model loses.")] = None,
    teacher_accuracy: Annotated[
        float | None, edge.option("PERCENT", "Accuracy of the larger model, instead of --loss.")
    ] = None,
    student_accuracy: Annotated[
        float | None, edge.option("PERCENT", "Accuracy of the smaller model.")
    ] = None,
    allowed: Annotated[float, edge.option("POINTS", "Accuracy that may be lost.")] = 1.0,
    as_json: edge.Json = False,
) -> int:
    """
    Estimate when a smaller model has paid for itself.

    Latencies and a rate are counted in whole instances, which have work all the time.

    \b
    Examples:
      janitor estimate distillation --teacher 4.20 --student 0.60 --requests 2e6 --once 9000 --loss 0.4
      janitor estimate distillation --teacher-ms 80 --student-ms 12 --rate 40 \\
        --teacher-instance ml.g5.xlarge --once 9000 --teacher-accuracy 91.2 --student-accuracy 90.8
    """  # noqa: D301 - \b keeps the lines below it as they are
    if (loss is None) == (teacher_accuracy is None or student_accuracy is None):
        raise edge.CommandRefusedError("give --loss, or --teacher-accuracy and --student-accuracy")
    if teacher_accuracy is not None and student_accuracy is not None:
        check_finite(teacher_accuracy, student_accuracy)
        require(
            0 <= teacher_accuracy <= 100 and 0 <= student_accuracy <= 100,
            "an accuracy lies between 0 and 100 percent",
        )
        loss = round(teacher_accuracy - student_accuracy, 9)
    lost = loss or 0.0
    typed, timed = (teacher, student, requests), (teacher_ms, student_ms, rate)
    if teacher is not None and student is not None and requests is not None and not any_given(*timed):
        monthly = [usd * requests / 1000 for usd in (teacher, student)]
        return print_estimate(
            "distillation",
            lambda: estimate_distillation(*monthly, once_usd=once, loss=lost, allowed=allowed),
            as_json=as_json,
        )
    if teacher_ms is None or student_ms is None or rate is None or any_given(*typed):
        raise edge.CommandRefusedError(
            "give --teacher, --student and --requests, or --teacher-ms, --student-ms and --rate"
        )
    if student_instance is None and student_price is None:
        student_instance, student_price = teacher_instance, teacher_price
    models = (
        ("teacher", "the larger model", teacher_ms, teacher_instance, teacher_price),
        ("student", "the smaller model", student_ms, student_instance, student_price),
    )

    def estimated() -> Estimate:
        figures, sources, monthly = list[Figure](), list[str](), list[float]()
        for name, words, milliseconds, instance, price in models:
            hourly = hourly_price(instance, price)
            require(milliseconds > 0, "a request takes some time")
            count = whole_instances(rate, milliseconds)
            monthly.append(count * hourly * HOURS_PER_MONTH)
            figures += [
                Figure(f"{name}_instances", f"instances of {words}", count, "count"),
                Figure(f"{name}_monthly_usd", f"a month of {words}", monthly[-1]),
            ]
            sources.append(hourly_price_source(instance, price))
        found = estimate_distillation(*monthly, once_usd=once, loss=lost, allowed=allowed)
        return replace(
            found,
            figures=(*figures, *found.figures),
            without=f"{found.without}, and room for peaks: instances have work all the time",
            prices=tuple(dict.fromkeys(sources)),
        )

    return print_estimate("distillation", estimated, as_json=as_json)


def any_given(*options: object) -> bool:
    """Tell whether one of the options was typed."""
    return any(option is not None for option in options)


def estimate_distillation(
    teacher_usd: float, student_usd: float, *, once_usd: float, loss: float, allowed: float
) -> Estimate:
    """
    Compare a smaller model with a larger one, by each model's dollars a month.

    *once_usd* is the cost of making it, *loss* the points of accuracy that it loses, of those *allowed*.
    """
    check_finite(teacher_usd, student_usd, once_usd, loss, allowed)
    require(min(teacher_usd, student_usd, once_usd) >= 0, NEGATIVE_INPUT)
    monthly = teacher_usd - student_usd
    payback = once_usd / monthly if monthly > 0 else None
    if loss > allowed:
        advice = (
            f"Keep the larger model: {count_noun(loss, 'point')} of accuracy are lost, and "
            f"{allowed:g} are allowed."
        )
    elif payback is None:
        advice = "Keep the larger model: the smaller one saves nothing."
    else:
        advice = f"The smaller model has paid for itself after {count_noun(round(payback, 1), 'month')}."
    return Estimate(
        (
            Figure("monthly_usd", "saved a month", monthly),
            Figure("payback_months", "months until it has paid for itself", payback, "months"),
            Figure("first_year_usd", "saved in the first year, its cost taken off", 12 * monthly - once_usd),
            Figure("yearly_usd", "saved in each year after it", 12 * monthly),
        ),
        advice,
        "distilling again when the data changes",
    )


def _plan_discount(
    typed: float | None,
    component: PricedComponent,
    instance: str | None,
    account: AbstractContextManager[EstimateAccount] | None,
) -> PlanDiscount | None:
    """Return the discount that was *typed*, or of *instance* by the *account*; None without either."""
    if account is None:
        return None if typed is None else PlanDiscount.typed(typed)
    if typed is not None or instance is None:
        raise edge.CommandRefusedError("--read-discount takes an instance, and no discount besides")
    with account as at:
        return PlanDiscount.read(at, component, instance)


@estimate.command()
def reservation(
    ctx: typer.Context,
    profile: Annotated[
        str,
        edge.argument(
            "FILE", "Dollars on demand, a line for each hour; or HOUR,USD, the hour with its offset from UTC."
        ),
    ],
    *,
    discount: Annotated[
        float | None, edge.option("SHARE", "Discount of the Savings Plan, from 0 to 1.")
    ] = None,
    read_discount: ReadDiscountOption = False,
    instance: Annotated[
        str | None, edge.option("TYPE", "The endpoints' instance, for --read-discount.")
    ] = None,
    region: RegionOption = None,
    aws_profile: Annotated[
        str | None, edge.option("NAME", "The AWS profile to use.", "--profile", complete=profile_names)
    ] = None,
    as_json: edge.Json = False,
) -> int:
    """
    Estimate the best commitment for an hourly profile of use.

    \b
    Examples:
      janitor estimate reservation hours.txt --discount 0.27
      janitor estimate reservation hours.txt --read-discount --instance ml.g5.xlarge
    """  # noqa: D301 - \b keeps the lines below it as they are
    usd = parse_profile(read_text(profile), profile)
    account = open_account(ctx, region, aws_profile, None, None) if read_discount else None
    plan = _plan_discount(discount, "Hosting", instance, account)
    if plan is None:
        raise edge.CommandRefusedError("give --discount SHARE, or --read-discount --instance TYPE")
    return print_estimate(
        "reservation",
        lambda: replace(estimate_reservation(profile=usd, discount=plan.share), prices=(plan.source,)),
        as_json=as_json,
    )


def parse_profile(text: str, where: str) -> list[float]:
    """
    Parse a number for each hour. Raises CommandRefusedError where an hour is missing.

    With times, each line is an hour after the one before it: a day has 23 or 25 hours where clocks change.
    """
    lines = [line.strip() for line in text.strip().splitlines() if not line.startswith("#")]
    found, last = list[float](), None
    for number, line in enumerate(lines, start=1):
        if not line:
            raise edge.CommandRefusedError(f"{where}, line {number}: an hour is missing")
        first, comma, rest = line.partition(",")
        try:
            hour = datetime.fromisoformat(first.strip()) if comma and "-" in first[1:] else None
        except ValueError:
            hour = None
        if (hour is None) is not (last is None) and number > 1:
            raise edge.CommandRefusedError(f"{where}, line {number}: times are in some lines and not in all")
        if hour is None:
            found += parse_numbers(",".join(line.split()), f"{where}, line {number}")
            continue
        if hour.tzinfo is None:
            raise edge.CommandRefusedError(
                f"{where}, line {number}: {first} has no offset from UTC, such as {first}+01:00"
            )
        if last is not None and hour - last != timedelta(hours=1):
            raise edge.CommandRefusedError(f"{where}, line {number}: {first} is not the hour after {last}")
        last = hour
        (usd, *more) = parse_numbers(rest, f"{where}, line {number}")
        if more:
            raise edge.CommandRefusedError(f"{where}, line {number}: more columns than HOUR,USD")
        found.append(usd)
    return found


def estimate_reservation(*, profile: Sequence[float], discount: float) -> Estimate:
    """Find the best commitment for a *profile* of dollars on demand, one for each hour."""
    require(
        bool(profile) and min(profile) >= 0, "a profile has a number of dollars, 0 or more, for each hour"
    )
    require(0 < discount < 1, "a discount lies between 0 and 1")
    hours = [[commitment.RatedUsage(usd, discount)] for usd in profile]
    hourly = commitment.best_commitment(hours)
    paid, demand = commitment.cost_with_commitment(hours, hourly), sum(profile)
    a_year = HOURS_PER_YEAR / len(profile)
    advice = f"Commit to ${hourly:.3f} an hour." if hourly else "Commit to nothing."
    return Estimate(
        (
            Figure("break_even", "utilisation at which a commitment costs as much", 1 - discount, "share"),
            Figure("commitment_usd", "the best commitment, an hour", hourly),
            Figure("utilisation", "of it used", paid.utilisation, "share"),
            Figure("coverage", "of the use covered", paid.coverage, "share"),
            Figure("on_demand_yearly_usd", "a year on demand", demand * a_year),
            Figure("committed_yearly_usd", "a year with the commitment", paid.usd * a_year),
        ),
        advice,
        "growth: the profile stands for every week of the year",
    )
