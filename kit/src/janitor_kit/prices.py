"""
The cost of a training job, and how long it may run for a budget.

The price of an instance is an argument, else the Price List API's, else the dated table's beside this file.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files
from typing import Any

TABLE = "prices-us-east-1.csv"
TABLE_REGION = "us-east-1"
HOURS_PER_MONTH = 730
VOLUME_GB_MONTH = Decimal("0.14")
"""Dollars for a GB-month of a training instance's volume (gp2): price list of us-east-1, 2026."""

GRACE = 120
"""Seconds that a job has after SIGTERM (CreateTrainingJob, StoppingCondition)."""
LONGEST = 28 * 86400
"""The most that MaxRuntimeInSeconds may be (CreateTrainingJob)."""
CENT = Decimal("0.01")

UNBOUNDED = (
    "requests to S3, data that leaves the region, and logs",
    "the upload of the model, which comes after the limit: the allowance for it is a guess",
)
UNBOUNDED_SPOT = (
    "the price of spot: the limit is computed at list price, likely less is billed, and waiting is not",
    "downloads: every restart makes them again",
    "restarts, if max_runtime is not their total: AWS says so of retries alone; max_wait ends all of them",
)


@dataclass(frozen=True)
class Price:
    """Dollars for an hour of one instance, None if unknown, and where the number is from."""

    hourly_usd: Decimal | None
    source: str


@dataclass(frozen=True)
class Bound:
    """
    The most that a job may cost, and what it is made of; dollars are None where a price is unknown.

    *allowance* is billed beside *seconds*, the limit: download, upload and the time after SIGTERM.
    """

    seconds: int
    allowance: int
    instances: int
    instance_usd: Decimal | None
    volumes_usd: Decimal
    source: str
    unbounded: tuple[str, ...]

    @property
    def hourly_usd(self) -> Decimal | None:
        """Dollars an hour of all instances and their volumes."""
        if self.instance_usd is None:
            return None
        return self.instances * self.instance_usd + self.volumes_usd

    @property
    def at_most_usd(self) -> Decimal | None:
        """For the limit and the allowance, rounded up to a cent."""
        if (rate := self.hourly_usd) is None:
            return None
        return _cents_up(rate * (self.seconds + self.allowance) / 3600)


def _cents_up(usd: Decimal) -> Decimal:
    cents = usd.quantize(CENT)
    return cents if cents >= usd else cents + CENT


def volumes(instances: int, gigabytes: int) -> Decimal:
    """Dollars an hour for the volumes of all instances."""
    return VOLUME_GB_MONTH * gigabytes * instances / HOURS_PER_MONTH


def seconds_for(budget_usd: Decimal, hourly_usd: Decimal, allowance: int) -> int:
    """
    Compute the limit in seconds that a budget pays for, less the allowance; at most SageMaker's 28 days.

    Below 1 where the budget does not even pay for the allowance.
    """
    return min(int(budget_usd * 3600 / hourly_usd) - allowance, LONGEST)


def price_of(session: Any, region: str, instance_type: str, given: Decimal | None = None) -> Price:
    """Return the list price: the given one, else the API's, else the table's, else unknown."""
    if given is not None:
        return Price(given, "as given")
    asked, problem = _ask(session, region, instance_type)
    if asked is not None:
        return Price(asked, "Price List API")
    if region == TABLE_REGION and instance_type in (known := table()):
        return known[instance_type]
    return Price(None, problem)


def _ask(session: Any, region: str, instance_type: str) -> tuple[Decimal | None, str]:
    from botocore.exceptions import BotoCoreError, ClientError

    wanted = {"regionCode": region, "productFamily": "ML Instance", "instanceName": instance_type}
    filters = [{"Type": "TERM_MATCH", "Field": key, "Value": value} for key, value in wanted.items()]
    try:
        client = session.client("pricing", region_name="us-east-1")
        pages = client.get_paginator("get_products").paginate(ServiceCode="AmazonSageMaker", Filters=filters)
        products = [json.loads(product) for page in pages for product in page["PriceList"]]
    except ClientError as error:
        return None, f"pricing:GetProducts: {error.response['Error']['Code']}"
    except BotoCoreError as error:
        return None, f"pricing:GetProducts: {type(error).__name__}"
    found = {price for product in products for price in _dollars(product, instance_type)}
    return (found.pop(), "") if len(found) == 1 else (None, "the price list has no one price for it")


def _dollars(product: Mapping[str, Any], instance_type: str) -> list[Decimal]:
    """List the hourly prices of instances for training: usage types "USE1-Train:ml.g5.xlarge"."""
    usage = product["product"]["attributes"].get("usagetype", "")
    if not re.fullmatch(rf"(?:[A-Z0-9]+-)?Train:{re.escape(instance_type)}", usage):
        return []
    found = (
        (dimension.get("unit", ""), Decimal(dimension["pricePerUnit"].get("USD", 0)).normalize())
        for term in product.get("terms", {}).get("OnDemand", {}).values()
        for dimension in term["priceDimensions"].values()
    )
    return [dollars for unit, dollars in found if dollars and unit.lower() in {"hrs", "hours", "hour"}]


def table() -> dict[str, Price]:
    """Read the table's prices by instance type, each with the day on which it was read."""
    lines = files("janitor_kit").joinpath(TABLE).read_text(encoding="utf-8").splitlines()
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    return {
        row["instance_type"]: Price(Decimal(row["usd_per_hour"]), f"table of {row['read']}, us-east-1")
        for row in rows
    }
