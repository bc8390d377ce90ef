"""What an hour of an endpoint costs: how many instances of which type it rents, and at which price."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from operator import itemgetter
from typing import TYPE_CHECKING

from ml_janitor.aws.sagemaker_kinds import MONITORING_EXECUTION, PROCESSING_JOB, describe, listing
from ml_janitor.core.model import Cost, Signal, Unreadable, Value
from ml_janitor.detectors.idle_endpoints.endpoint import Config, Variant

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws

UNDER_WAY = frozenset({"Pending", "InProgress", "Stopping"})
"""The statuses of a monitoring execution that has not ended."""


def rented(variants: Iterable[Variant], config: Config) -> dict[str, int]:
    """How many instances of which type run, over all variants and pools; an unknown type is ""."""
    counts: dict[str, int] = {}
    for variant in variants:
        one_type = ((config.types.get(variant.name, ""), variant.instances),)
        for instance_type, count in variant.pools or one_type:
            if count:
                counts[instance_type] = counts.get(instance_type, 0) + count
    return counts


def monitors(
    aws: Aws, endpoint: str, schedules: Collection[str], start: datetime, end: datetime
) -> Signal[Mapping[str, float]]:
    """
    How many instances of which type the monitoring *schedules* over *endpoint* keep busy, on average.

    Each execution between *start* and *end* that started a processing job counts as long as the last of
    its schedule that has ended.
    """
    if not schedules:
        return Value({})
    executed = listing(
        aws,
        MONITORING_EXECUTION,
        lambda found: (found["MonitoringScheduleName"], found),
        EndpointName=endpoint,
        CreationTimeAfter=start,
    )
    if executed.error is not None:
        return Unreadable(executed.error, MONITORING_EXECUTION.lists)
    busy: dict[str, float] = {}
    for schedule in schedules:
        jobs = [one for name, one in executed.items if name == schedule and "ProcessingJobArn" in one]
        ended = [one for one in jobs if one.get("MonitoringExecutionStatus") not in UNDER_WAY]
        if not jobs:
            continue
        if not ended:
            return Unreadable(f"no execution of {schedule} has ended yet", MONITORING_EXECUTION.lists)
        last = max(ended, key=itemgetter("CreationTime"))
        name = last["ProcessingJobArn"].rpartition("/")[2]
        match describe(aws, PROCESSING_JOB, name):
            case Value(job) if "ProcessingStartTime" in job and "ProcessingEndTime" in job:
                cluster = job["ProcessingResources"]["ClusterConfig"]
                share = (job["ProcessingEndTime"] - job["ProcessingStartTime"]) * len(jobs) / (end - start)
                kind = cluster["InstanceType"]
                busy[kind] = busy.get(kind, 0) + cluster["InstanceCount"] * share
            case Unreadable() as unreadable:
                return unreadable
    return Value(busy, PROCESSING_JOB.describes)


def cost(
    aws: Aws, variants: tuple[Variant, ...], config: Config, monitored: Signal[Mapping[str, float]]
) -> Cost:
    """
    What leaving it running costs with what is *monitored*; reserved capacity costs the same without it.

    Provisioned concurrency has no price per instance: unknown.
    """
    if any(variant.concurrency for variant in variants):
        return Cost.standing(None, "provisioned concurrency is not in the instance price list")
    if not isinstance(monitored, Value):
        return Cost.standing(
            None, f"what monitoring it costs could not be read ({getattr(monitored, 'error', monitored)})"
        )
    counts = rented([variant for variant in variants if not variant.reserved], config)
    priced = [
        *((count, aws.prices.hourly(aws.region, "Hosting", kind)) for kind, count in counts.items()),
        *(
            (count, aws.prices.hourly(aws.region, "Processing", kind))
            for kind, count in monitored.value.items()
        ),
    ]
    hourly: Decimal | None = Decimal(0)
    for count, price in priced:
        known = price.hourly_usd
        hourly = None if hourly is None or known is None else hourly + Decimal(str(count)) * known
    sources = dict.fromkeys(price.source for _, price in priced)
    if any(variant.reserved for variant in variants):
        sources["without reserved capacity"] = None
    if monitored.value:
        sources["with its monitoring"] = None
    return Cost.standing(hourly, ", ".join(sources))
