"""Costs of a training job: on demand, on spot and committed, and on the same GPUs elsewhere."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

from ml_janitor.aws.prices import machine_of
from ml_janitor.core.capacity import (
    RESERVE_FROM_JOBS,
    RESTART_BEYOND,
    Interruption,
    Purchase,
    SpotCapacity,
    best_purchase,
)
from ml_janitor.core.model import HOURS_PER_MONTH
from ml_janitor_cli.estimate.estimates import NEGATIVE_INPUT, Estimate, Figure, Word, check_finite, require

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
    """One type of machine with *gpus* of a *gpu*: dollars an hour of all of it, None on spot if unknown."""

    cloud: str
    region: str
    gpu: str
    machine: str
    gpus: int
    vcpus: float
    memory_gib: float
    usd: float
    spot_usd: float | None

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
            usd=float(row["usd_per_hour"]),
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
        min(some, key=lambda offer: (offer.machines(gpus) * offer.usd, offer.spot_usd is None, -offer.gpus))
        for some in by_cloud
        if some
    ]


# --- estimate -------------------------------------------------------------------------------------

HOURS_PER_WEEK = 168.0
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
    offers: Sequence[Offer] = (),
) -> Estimate:
    """
    Estimate a job of so many undisturbed *hours*: on demand, on spot with its rework, and committed.

    *storage_usd* is the price of a GB-month of each instance's volume of *storage_gb*. *gpu* is the GPU of
    each instance, and how many; the same are looked for among *offers*, where *data_gb* have to be brought at
    *egress_usd* a GB.
    """
    require(hourly_usd > 0 and hours > 0, "an hour costs, and a job takes, more than 0")
    require(instances >= 1, "a job has at least 1 instance")
    require(0 <= spot.discount < 1, "spot's discount lies between 0 and 1")
    amounts = (spot.interruptions, spot.restart, spot.save, storage_gb, storage_usd, data_gb, egress_usd)
    check_finite(*amounts, jobs_a_week, hourly_usd, hours)
    require(min(*amounts, jobs_a_week) >= 0, NEGATIVE_INPUT)
    require(0 <= (commitment_discount or 0) < 1, "a commitment's discount lies between 0 and 1")
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
            f" First save a checkpoint every {min(spot.interval(), hours) * 60:.0f} minutes: each"
            " interruption begins the job anew without one."
        )
    elif spot_usd > demand and "spot" in buy:
        advice = "Buy it on demand: on spot, work done again costs more than the discount saves."
    wanted = gpu[1] * instances if gpu else 0
    others = cheapest_offers(gpu[0], wanted, offers) if gpu else []
    own = _row(
        SAGEMAKER_OFFER, f"{instances} x {instance}", whole / max(wanted, 1), demand, spot_usd, committed
    )
    rows = (own, *(_elsewhere(offer, wanted, job) for offer in others)) if others else ()
    return Estimate(
        (
            Figure("on_demand_usd", "on demand", demand),
            Figure("spot_usd", "on spot, work done again included", spot_usd),
            Figure("spot_hours", "hours on spot", job.on_spot(), "hours"),
            Figure("checkpoint_hours", "hours between checkpoints that cost least", spot.interval(), "hours"),
            Figure(
                "even_interruptions", "interruptions an hour at which spot costs as much", even, "an hour"
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


def _row(where: str, machines: str, gpu_hour_usd: float, *totals: float | None) -> OfferRow:
    """Build the row for one way to run the job: its cost on demand, on spot and committed."""
    demand, spot_usd, committed = totals
    return (
        Word("where", "where", where),
        Word("machines", "machines", machines),
        Figure("gpu_hour_usd", "a GPU-hour", gpu_hour_usd),
        Figure("on_demand_usd", "on demand", demand),
        Figure("spot_usd", "on spot", spot_usd),
        Figure("committed_usd", "committed", committed),
    )


def _elsewhere(offer: Offer, gpus: int, job: PlannedJob) -> OfferRow:
    """Build the row for the same job on whole machines of *offer*; a GPU-hour is of those that it needs."""
    count = offer.machines(gpus)
    data = 0.0 if offer.cloud == "AWS" else job.data_usd
    spot = None if offer.spot_usd is None else job.interrupted(offer.spot_usd * count) + data
    where = f"{EC2_OFFER if offer.cloud == 'AWS' else offer.cloud} {offer.region}"
    name = f"{count} x {offer.machine}"
    return _row(where, name, offer.usd * count / gpus, job.demand(offer.usd * count) + data, spot, None)


def _of_spot(even: float, assumed: float) -> str:
    if math.isinf(even):
        return (
            f"Spot costs less however often it is interrupted; {assumed:g} interruptions an hour are assumed."
        )
    return f"Spot costs less below {even:.2g} interruptions an hour; {assumed:g} are assumed."


def _of_commitment(job: PlannedJob, discount: float | None) -> str:
    """Say from which use on a commitment pays: it is billed in every hour of the week."""
    busy = job.a_week * job.hours
    if busy < HOURS_PER_WEEK:
        used = f"these jobs take {busy:,.0f} of a week's {HOURS_PER_WEEK:g} hours"
    else:
        used = f"these jobs take {busy:,.0f} hours a week, more than one at a time"
    if discount is not None:
        return f"A commitment pays from {HOURS_PER_WEEK * (1 - discount):.0f} hours a week on; {used}."
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
