"""Prices of GPUs on AWS, GCP and Azure: a dated table, and the machines that a job needs there."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from ml_janitor.aws.instances import machine_of

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
