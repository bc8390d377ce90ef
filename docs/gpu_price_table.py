"""
Writes the dated table of GPU prices on three clouds again: `make gpu-prices FROM=DIR COMMIT=SHA,SHA,SHA`.

DIR has aws.csv, gcp.csv and azure.csv: catalogs/vN/CLOUD/vms.csv of the newest N that has that cloud in
https://github.com/skypilot-org/skypilot-catalog, as of the three commits. Without FROM it reads the rows in
tests/skypilot, of which the table is made that is shipped.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from ml_janitor_cli.estimate.command import GPU_FAMILIES, GPU_PRICE_FILE, SIMILAR_GPUS, Offer

ROOT = Path(__file__).parent.parent
PATH = ROOT / "cli" / "ml_janitor_cli" / "estimate" / GPU_PRICE_FILE
SAMPLE = ROOT / "tests" / "skypilot"
COMMITS = {
    "AWS": "00148f2af3672e2229b4f7bf8157d5a3f36e3c35",
    "GCP": "6f65ab58724c0a5b17dbb81ee124e7d7dee0d4a5",
    "Azure": "098741e70562f65d7af1cceb81e33b284f742604",
}
READ = "2026-11-27"
"""When the rows of the sample were read at those commits."""

NAMED = {"AWS": "us-east-1", "GCP": "us-central1", "Azure": "eastus"}
"""A region of each cloud that is always in the table; beside it, the one that costs least."""

GPUS = frozenset(GPU_FAMILIES.values()) | frozenset(SIMILAR_GPUS)

HOSTS = {
    "A100": {1: "a2-highgpu-1g", 2: "a2-highgpu-2g", 4: "a2-highgpu-4g", 8: "a2-highgpu-8g"},
    "A100-80GB": {1: "a2-ultragpu-1g", 2: "a2-ultragpu-2g", 4: "a2-ultragpu-4g", 8: "a2-ultragpu-8g"},
    "H100": {1: "a3-highgpu-1g", 2: "a3-highgpu-2g", 4: "a3-highgpu-4g", 8: "a3-highgpu-8g"},
    "H200": {8: "a3-ultragpu-8g"},
    "L4": {1: "g2-standard-4", 2: "g2-standard-24", 4: "g2-standard-48", 8: "g2-standard-96"},
    "T4": {1: "n1-standard-4", 2: "n1-standard-8", 4: "n1-standard-16"},
    "V100": {1: "n1-standard-8", 2: "n1-standard-16", 4: "n1-standard-32", 8: "n1-standard-64"},
}
"""
The machine of Google's that carries so many of a GPU: the catalog prices it apart from its GPUs
(https://cloud.google.com/compute/docs/gpus).
"""

NOT_SOLD = frozenset({"Standard_NC6s_v3", "Standard_NC12s_v3", "Standard_NC24s_v3", "Standard_NC24rs_v3"})
"""
Machines that the catalog still prices and nobody can buy: Azure retired its NCv3 series on 2025-09-30
(https://learn.microsoft.com/azure/virtual-machines/retirement-notices).
"""

SPOT_ONLY = frozenset({"a3-highgpu-1g", "a3-highgpu-2g", "a3-highgpu-4g"})
"""
Machines that Google sells as Spot VMs or by Flex-start, and not on demand
(https://cloud.google.com/compute/docs/accelerator-optimized-machines).
"""

HEADER = """\
# GPU machines of three clouds, list prices in USD an hour, and the median spot price of a region's zones.
# From SkyPilot's catalog, https://github.com/skypilot-org/skypilot-catalog, Copyright The SkyPilot Authors,
# licensed under the Apache License 2.0; changed by docs/gpu_price_table.py: a part of its rows, and on GCP a
# machine and its GPUs added up. Read {read}, as of the commits
{commits}
# of which the dates are in that repository: git show -s --format=%ci COMMIT. Prices of EC2, not of SageMaker.
"""
FIELDS = (
    "cloud",
    "region",
    "gpu",
    "machine",
    "gpus",
    "vcpus",
    "memory_gib",
    "usd_per_hour",
    "spot_usd_per_hour",
)

type Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Listed:
    """One row of the catalog: a price of a *machine* or, on GCP, of *count* of a *gpu* alone."""

    machine: str
    gpu: str
    count: int
    vcpus: float
    memory_gib: float
    region: str
    zone: str
    usd: float
    spot_usd: float | None


def main(arguments: Sequence[str]) -> int:
    """Write the table."""
    folder, commits, read = SAMPLE, COMMITS, READ
    if arguments:
        folder = Path(arguments[0])
        commits = dict(zip(COMMITS, arguments[1].split(","), strict=True))
        read = f"{datetime.now(UTC):%Y-%m-%d}"
    offers = [one for cloud in COMMITS for one in table(cloud, rows(folder / f"{cloud.lower()}.csv"))]
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(written(offers, commits, read))
    print(f"{len(offers)} machines, read {read}: {PATH}")
    return 0


def rows(path: Path) -> Iterator[Row]:
    """The rows of one file of the catalog."""
    with path.open(newline="") as file:
        yield from csv.DictReader(file)


def table(cloud: str, catalog: Iterable[Row]) -> list[Offer]:
    """The machines of *cloud* with the GPUs that SageMaker has: in the named region and in the cheapest."""
    priced = [one for row in catalog if (one := listed(row)) is not None]
    offers = [_together(cloud, same) for same in _by_region(cloud, believed(priced))]
    kept = []
    for gpu in sorted({one.gpu for one in offers}):
        own = [one for one in offers if one.gpu == gpu]
        least = {
            min(
                (one for one in own if one.gpus == gpus),
                key=lambda one: (one.least_usd, one.region != NAMED[cloud]),
            ).region
            for gpus in {one.gpus for one in own}
        }
        kept += [one for one in own if one.region in {NAMED[cloud], *least}]
    return sorted(kept, key=lambda one: (one.gpu, one.region != NAMED[cloud], one.region, one.gpus))


def listed(row: Row) -> Listed | None:
    """One row with a price; None for one without."""
    if not row["Price"]:
        return None
    return Listed(
        machine=row["InstanceType"],
        gpu=row["AcceleratorName"],
        count=int(float(row["AcceleratorCount"] or 0)),
        vcpus=float(row["vCPUs"] or 0),
        memory_gib=float(row["MemoryGiB"] or 0),
        region=row["Region"],
        zone=row.get("AvailabilityZone") or row["Region"],
        usd=float(row["Price"]),
        spot_usd=float(row["SpotPrice"]) if row["SpotPrice"] else None,
    )


def believed(priced: Sequence[Listed]) -> list[Listed]:
    """
    *priced* without what cannot be a price on demand: a doubtful price is an unknown one.

    That is what costs less than its own spot price, or less than half of what the same costs in another
    region; in the catalog, such rows have the price of a commitment. A spot price that saves nothing is none.
    """
    dearest: dict[tuple[str, str, int], float] = {}
    for one in priced:
        same = (one.machine, one.gpu, one.count)
        dearest[same] = max(dearest.get(same, 0.0), one.usd)
    return [
        replace(one, spot_usd=one.spot_usd if one.spot_usd and one.spot_usd < one.usd else None)
        for one in priced
        if (one.spot_usd is None or one.usd >= one.spot_usd)
        and one.usd >= dearest[one.machine, one.gpu, one.count] / 2
    ]


def _by_region(cloud: str, priced: Sequence[Listed]) -> list[list[Listed]]:
    """What has GPUs that are compared, all zones of a region together; on GCP with its machine."""
    machines = {(one.machine, one.zone): one for one in priced if one.machine}
    found: dict[tuple[str, str, str], list[Listed]] = {}
    for one in priced:
        whole: Listed | None = one
        if cloud == "GCP" and one.gpu:
            host = machines.get((HOSTS.get(one.gpu, {}).get(one.count, ""), one.zone))
            whole = host and _carried(one, host)
        if whole is not None and whole.gpu in GPUS and whole.count and whole.machine not in NOT_SOLD:
            found.setdefault((whole.region, whole.gpu, whole.machine), []).append(whole)
    return list(found.values())


def _carried(gpus: Listed, host: Listed) -> Listed:
    """*gpus* with the machine that carries them."""
    spot = gpus.spot_usd + host.spot_usd if gpus.spot_usd and host.spot_usd else None
    return replace(host, gpu=gpus.gpu, count=gpus.count, usd=gpus.usd + host.usd, spot_usd=spot)


def _together(cloud: str, zones: Sequence[Listed]) -> Offer:
    one, spot = min(zones, key=lambda zone: zone.usd), [zone.spot_usd for zone in zones if zone.spot_usd]
    return Offer(
        cloud=cloud,
        region=one.region,
        gpu=one.gpu,
        machine=one.machine,
        gpus=one.count,
        vcpus=one.vcpus,
        memory_gib=one.memory_gib,
        usd=None if one.machine in SPOT_ONLY else round(one.usd, 5),
        spot_usd=round(median(spot), 5) if spot else None,
    )


def written(offers: Iterable[Offer], commits: Mapping[str, str], read: str) -> str:
    """The file."""
    named = ",\n".join(f"#   {commit} ({cloud})" for cloud, commit in commits.items())
    lines = [
        ",".join(
            [one.cloud, one.region, one.gpu, one.machine]
            + [f"{number:g}" for number in (one.gpus, one.vcpus, one.memory_gib)]
            + [f"{usd:.5f}".rstrip("0").rstrip(".") if usd else "" for usd in (one.usd, one.spot_usd)]
        )
        for one in offers
    ]
    return HEADER.format(read=read, commits=named) + "\n".join([",".join(FIELDS), *lines]) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
