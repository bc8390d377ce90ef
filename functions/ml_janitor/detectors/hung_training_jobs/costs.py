"""What a job costs: the list price of all its instances, and what that has come to. Pure, but for prices."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from ml_janitor.aws.prices import Price
from ml_janitor.core.model import Cost
from ml_janitor.detectors.hung_training_jobs.job import Job

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws


def hourly(aws: Aws, job: Job) -> Price:
    """What an hour of all instances of *job* costs at list price."""
    if job.reserved:
        return Price(None, "a training plan, paid in advance")
    prices = [(aws.prices.hourly(aws.region, job.kind.component, kind), count) for kind, count in job.groups]
    sources = ", ".join(dict.fromkeys(price.source for price, _ in prices))
    amounts = [price.hourly_usd * count for price, count in prices if price.hourly_usd is not None]
    if not prices or len(amounts) < len(prices):
        return Price(None, sources)
    return Price(sum(amounts[1:], amounts[0]), sources)


def bill(price: Price, since: datetime | None, now: datetime, until: datetime | None = None) -> Cost:
    """What has been billed *since* then, at *price*; it ends by itself *until*, unless that is over."""
    hours = (now - since).total_seconds() / 3600 if since else 0
    ends = until if until is not None and until > now else None
    return Cost.accruing(price.hourly_usd, hours, price.source, until=ends)


def limit(job: Job) -> datetime | None:
    """When SageMaker ends *job* by itself, where that is known."""
    return job.counted_from + job.max_runtime if job.counted_from and job.max_runtime else None


def rate(price: Price, job: Job) -> str:
    """What *job* costs as long as it runs, for a reader; spot capacity costs less than the list price."""
    if price.hourly_usd is None:
        return "price unknown"
    return f"{'at most ' if job.spot else ''}${price.hourly_usd:,.2f} an hour"
