"""
Meters that charge the bill for what SageMaker's resources use, at list price.

Endpoints, notebook instances and Studio apps are looked at whenever the clock is about to move, and at every
moment on its way at which one of them changes. Jobs tell themselves from when until when they ran.
"""

import datetime as dt
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from moto.s3.models import s3_backends

from ml_janitor_sandbox import declared_objects, pricing
from ml_janitor_sandbox.billing.charges import PREFIXES, SAGEMAKER, Charge, bill, paid_for, shown
from moto_corrections import clock, state
from moto_corrections.sagemaker.endpoints import SERVING
from moto_corrections.sagemaker.store import Resource, SageMakerStore

HOURS_PER_MONTH = 730
SPOT = Decimal("0.3")
"""What managed spot training costs of the list price; AWS: "up to 90% savings"."""
PRICES: dict[str, Any] = tomllib.loads(Path(__file__).with_name("prices.toml").read_text(encoding="utf-8"))

type Used = tuple[str, Decimal]
"""A usage type without its region, and how many of it."""

S3 = "Amazon Simple Storage Service"
GB = 1024**3
STORED = {
    "STANDARD": ("TimedStorage-ByteHrs", "0.023"),
    "STANDARD_IA": ("TimedStorage-SIA-ByteHrs", "0.0125"),
    "GLACIER_IR": ("TimedStorage-GIR-ByteHrs", "0.004"),
}
"""By storage class: its usage type, and dollars a month for a GB (S3 pricing, us-east-1)."""

METERED = ("App", "Endpoint", "NotebookInstance")
RUNNING = {"InService", "Stopping"}
JOBS = {
    "ProcessingJob": ("Processing", "Processing", "ProcessingResources.ClusterConfig"),
    "TrainingJob": ("Train", "Training", "ResourceConfig"),
    "TransformJob": ("Tsform", "Transform", "TransformResources"),
}
"""By kind: the word in usage types, that in the names of its times, and where its instances are."""


def watch() -> None:
    """Look at everything, and go on to do so: the clock calls this before it moves."""
    clock.before_moving(_move)


def _move(until: dt.datetime) -> None:
    with state.LOCK:
        observe()
        while (moment := _next_change()) is not None and moment <= until:
            clock.jump(moment)
            observe()


def _next_change() -> dt.datetime | None:
    coming = [store.coming_at() for _, _, store in state.every(SageMakerStore)]
    return min((at for at in coming if at is not None), default=None)


def observe() -> None:
    """Bring the bills up to the sandbox's time."""
    for account, region, store in list(state.every(SageMakerStore)):
        own, now = bill(account), clock.now()
        store.advance()
        seen: set[str] = set()
        for resource in [resource for noun in METERED for resource in store.by_kind.get(noun, {}).values()]:
            if used := tuple(_used(resource, store)):
                seen.add(resource.arn)
                what = *used, *resource.tags.items()
                own.meter(resource.arn, what, _charges(resource, used, now), now)
        own.stop([arn for arn in own.running if f":{region}:" in arn and arn not in seen], now)
    for account in list(s3_backends):
        _store(account)


def _store(account: str) -> None:
    """Bring the bill of an account's buckets up to now; what is less than a gigabyte costs nothing."""
    own, now, seen = bill(account), clock.now(), set[str]()
    for bucket in declared_objects.buckets(account):
        kept = {name: size // GB for name, size in declared_objects.sizes(bucket).items() if name in STORED}
        if not any(kept.values()):
            continue
        seen.add(bucket.arn)
        tags = declared_objects.tags(account, bucket)
        what = *sorted(kept.items()), *sorted(tags.items())
        own.meter(bucket.arn, what, _storage(bucket, kept, tags, now), now)
    own.stop([arn for arn in own.running if arn.startswith("arn:aws:s3:") and arn not in seen], now)


def _storage(
    bucket: Any, kept: Mapping[str, int], tags: Mapping[str, str], now: dt.datetime
) -> Iterator[Charge]:
    region = bucket.region_name
    prefix = "" if region == "us-east-1" else f"{PREFIXES.get(region, region)}-"
    for name, size in kept.items():
        usage, price = STORED[name]
        yield Charge(
            service=S3,
            account=bucket.account_id,
            usage_type=f"{prefix}{usage}",
            operation=f"{name.title().replace('_', '')}Storage",
            region=region,
            start=now,
            hourly=Decimal(size) / HOURS_PER_MONTH,
            price=Decimal(price),
            unit="GB-Mo",
            resource=bucket.arn,
            tags=tags,
        )


def charges(account: str) -> Iterator[Charge]:
    """List the whole bill of an account and of those it pays for, as of now."""
    with state.LOCK:
        observe()
        own, paid = shown(account), paid_for(account)
        found = [charge for member in paid for charge in bill(member).all(member)]
        for owner, _, store in list(state.every(SageMakerStore)):
            if owner in paid:
                found += _jobs(store)
    for charge in found:
        yield from own.cut(charge)


def _used(resource: Resource, store: SageMakerStore) -> Iterator[Used]:
    """List what a resource uses now, and goes on to use."""
    members = resource.members
    match resource.kind.noun:
        case "Endpoint" if resource.status in SERVING:
            yield from _hosts(members, store)
        case "NotebookInstance" if resource.status != "Deleting":
            if resource.status in RUNNING:
                yield f"Notebk:{members['InstanceType']}", Decimal(1)
            yield "Notebk:VolumeUsage.gp2", Decimal(members["VolumeSizeInGB"]) / HOURS_PER_MONTH
        case "App" if resource.status == "InService":
            instance = members.get("ResourceSpec", {}).get("InstanceType", "system")
            if members["AppType"] == "Canvas":
                yield "Canvas:Session-Hrs", Decimal(1)
            elif instance != "system":
                yield f"Studio:{members['AppType']}-{instance}", Decimal(1)


def _hosts(members: dict[str, Any], store: SageMakerStore) -> Iterator[Used]:
    config = store.by_kind.get("EndpointConfig", {}).get(members["EndpointConfigName"])
    if config is None:
        return
    word = "AsyncInf" if "AsyncInferenceConfig" in members else "Host"
    for part in ("ProductionVariants", "ShadowProductionVariants"):
        types = {
            variant["VariantName"]: variant.get("InstanceType") for variant in config.members.get(part, ())
        }
        for variant in members.get(part, ()):
            count = variant.get("CurrentInstanceCount", 0)
            if (instance := types.get(variant["VariantName"])) and count:
                yield f"{word}:{instance}", Decimal(count)


def _jobs(store: SageMakerStore) -> Iterator[Charge]:
    store.advance()
    for job in [job for noun in JOBS for job in store.by_kind.get(noun, {}).values()]:
        word, stem, where = JOBS[job.kind.noun]
        if (start := job.members.get(f"{stem}StartTime")) is None:
            continue
        rented: Any = job.members
        for name in where.split("."):
            rented = rented.get(name) or {}
        if "InstanceType" not in rented:
            continue
        count = Decimal(rented.get("InstanceCount", 1))
        end = job.members.get(f"{stem}EndTime")
        spot = bool(job.members.get("EnableManagedSpotTraining"))
        used = [(f"{'TrSpt' if spot else word}:{rented['InstanceType']}", count)]
        if size := rented.get("VolumeSizeInGB"):
            used.append((f"{word}:VolumeUsage.gp2", count * Decimal(size) / HOURS_PER_MONTH))
        for begun, over in job.members.get("BilledPeriods") or [(start, end)]:  # spot: not while it waits
            yield from _charges(job, used, begun, over)
        if end is not None and (kept := _pool_until(job, end)) > end:
            yield from _charges(job, [(f"TrainWarmPool:{rented['InstanceType']}", count)], end, kept)


def _pool_until(job: Resource, ended: dt.datetime) -> dt.datetime:
    """Return when the warm pool of an ended job was given back; without a pool, when the job ended."""
    pool = job.members.get("WarmPoolStatus") or {}
    period = job.members.get("ResourceConfig", {}).get("KeepAlivePeriodInSeconds", 0)
    if not pool:
        return ended
    if pool["Status"] == "Available":
        return max(clock.now(), ended)
    billed = pool.get("ResourceRetainedBillableTimeInSeconds", period)
    return min(ended + dt.timedelta(seconds=billed), clock.now())


def _charges(
    resource: Resource, used: Iterable[Used], start: dt.datetime, end: dt.datetime | None = None
) -> Iterator[Charge]:
    region, account = resource.arn.split(":")[3:5]
    for usage, hourly in used:
        price, unit = price_of(usage, region)
        yield Charge(
            service=SAGEMAKER,
            account=account,
            usage_type=f"{PREFIXES.get(region, region)}-{usage}",
            region=region,
            start=start,
            end=end,
            hourly=hourly,
            price=price,
            unit=unit,
            resource=resource.arn,
            tags=dict(resource.tags),
        )


@cache
def price_of(usage: str, region: str) -> tuple[Decimal, str]:
    """Return a usage type's list price without the region, and its unit; 0 for a type that no list has."""
    word, _, what = usage.partition(":")
    if listed := PRICES["SageMaker"].get(what):
        return Decimal(str(listed)), "GB-Mo" if "Volume" in what else "Hrs"
    instance = what[what.find("ml.") :]
    price = pricing.hourly(region).get(instance, 0)
    return Decimal(str(price)) * (SPOT if word == "TrSpt" else 1), "Hrs"
