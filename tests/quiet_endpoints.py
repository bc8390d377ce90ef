"""Endpoints as serverless-candidates reads them."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from conftest import NOW
from fakes import target_at
from ml_janitor.aws.endpoints import (
    LOAD_HOURS,
    EndpointDescription,
    EndpointSummary,
    EndpointVariant,
    LoadedEndpoint,
    MetricTotal,
)
from ml_janitor.aws.prices import Price
from ml_janitor.core.capacity import PeakLoad
from ml_janitor.core.model import Signal, Value

DAY = timedelta(days=1)
GB_HOUR = Decimal("0.072")
"""Dollars: 3,600 times 0.00002."""
PRICES = tuple(Price(GB_HOUR * size, "Price List API") for size in range(1, 7))


def hourly(value: float, points: int = LOAD_HOURS) -> Signal[MetricTotal]:
    return Value(MetricTotal(value * points, points, value))


def loaded(
    *variants: EndpointVariant, asynchronous: bool = False, captures: bool = False, **more: Any
) -> LoadedEndpoint:
    """An endpoint with these variants, a month old unless *more* says another age."""
    created = NOW - more.pop("age", 30 * DAY)
    target = target_at("endpoint/api", created, more.pop("tags", {}))
    status = more.pop("status", "InService")
    summary = EndpointSummary(arn=target.arn, name="api", status=status, created=created, modified=created)
    description = EndpointDescription(
        summary=summary, config_name="api-1", variants=variants, asynchronous=asynchronous, captures=captures
    )
    return replace(LoadedEndpoint(target=target, summary=summary, description=Value(description)), **more)


def quiet(**more: Any) -> LoadedEndpoint:
    """100 requests an hour of 0.2 seconds on an ml.m5.xlarge, an eighth of whose memory is used."""
    kind = more.pop("type", "ml.m5.xlarge")
    load = PeakLoad(cpu=0.1, memory=more.pop("memory", 0.5), requests=more.pop("at_once", 2))
    raw: dict[str, Signal[MetricTotal]] = {
        "requests": hourly(100),
        "ModelLatency": hourly(100 * 0.2 * 1_000_000),
        "ModelLatency Maximum": hourly(more.pop("slowest", 0.2) * 1_000_000),
        "ModelLatency p99": hourly(more.pop("tail", 0.2) * 1_000_000),
        "ConcurrentRequestsPerModel": hourly(2),
    }
    fields: dict[str, Any] = {
        "name": "blue",
        "instances": more.pop("count", 1),
        "type": kind,
        "fixed": more.pop("fixed", None),
        "sleeps": False,
        "hosts": more.pop("hosts", False),
        "model": "model",
        "peaks": more.pop("peaks", Value((load,) * LOAD_HOURS)),
        "totals": raw | more.pop("raw", {}),
    }
    variants = (EndpointVariant(**fields),) * more.pop("number", 1)
    price = Price(Decimal("0.23"), "Price List API")
    usual: dict[str, Any] = {"price": price, "serverless": PRICES, "model": Value({})}
    return loaded(*variants, **usual | more)
