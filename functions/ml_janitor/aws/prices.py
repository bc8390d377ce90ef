"""Hourly list prices of SageMaker instances: the Price List API, else a dated table, else unknown."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

from ml_janitor.aws.answers import everything

if TYPE_CHECKING:
    from types_boto3_pricing import PricingClient

type Component = Literal["Hosting", "Notebook", "Studio", "Training", "Processing", "Transform"]
"""What an instance is rented for; the Price List calls it *component*."""

TABLE = "data/sagemaker-prices-us-east-1.csv"
TABLE_REGION = "us-east-1"
TABLE_DATE = "mid-2025"

GET_PRODUCTS = "pricing:GetProducts"
FROM_API = "Price List API"
FROM_TABLE = f"price table of {TABLE_DATE}"


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars an hour for one instance, or None for unknown, and where the number came from."""

    hourly_usd: Decimal | None
    source: str


class Prices:
    """
    Prices for a whole run: a region and component is asked for once, and remembered.

    *client* makes the Price List client when it is first needed. Where the API cannot be asked,
    the table in the package answers for us-east-1; elsewhere the price is unknown. `problems` says
    what could not be asked.
    """

    def __init__(self, client: Callable[[], PricingClient]) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._known: dict[tuple[str, Component], Mapping[str, Decimal] | None] = {}
        self._problems: dict[str, None] = {}

    @property
    def problems(self) -> tuple[str, ...]:
        """Why prices came from the table or are unknown, one line each."""
        return tuple(self._problems)

    def hourly(self, region: str, component: Component, instance_type: str) -> Price:
        """The list price of one *instance_type* in *region*, rented for *component*."""
        with self._lock:
            if (region, component) not in self._known:
                self._known[region, component] = self._ask(region, component)
            listed = self._known[region, component]
        if listed is not None and instance_type in listed:
            return Price(listed[instance_type], FROM_API)
        if region == TABLE_REGION and instance_type in table():
            return Price(table()[instance_type], FROM_TABLE)
        return Price(None, FROM_API if listed is not None else "no price list")

    def _ask(self, region: str, component: Component) -> Mapping[str, Decimal] | None:
        pages = (
            self._client()
            .get_paginator("get_products")
            .paginate(
                ServiceCode="AmazonSageMaker",
                Filters=[
                    {"Type": "TERM_MATCH", "Field": "regionCode", "Value": region},
                    {"Type": "TERM_MATCH", "Field": "productFamily", "Value": "ML Instance"},
                    {"Type": "TERM_MATCH", "Field": "component", "Value": component},
                ],
                PaginationConfig={"PageSize": 100},
            )
        )
        listing = everything(pages, lambda page: page["PriceList"], source=GET_PRODUCTS)
        if listing.error is not None:
            self._problems[listing.error] = None
            return None
        return instance_prices(json.loads(product) for product in listing.items)


def instance_prices(products: Iterable[Mapping[str, Any]]) -> dict[str, Decimal]:
    """
    Hourly on-demand dollars by instance name.

    A name with more than one price is left out: a doubtful price is an unknown one. So is a price in
    another currency, and a price of nothing, which is a line of somebody's discount.
    """
    prices: dict[str, set[Decimal]] = {}
    for product in products:
        name = product["product"]["attributes"].get("instanceName")
        for term in product.get("terms", {}).get("OnDemand", {}).values():
            for dimension in term["priceDimensions"].values():
                dollars = Decimal(dimension["pricePerUnit"].get("USD", 0))
                if name and dollars and dimension.get("unit") in {"Hrs", "Hours", "Hour"}:
                    prices.setdefault(name, set()).add(dollars)
    return {name: found.pop() for name, found in prices.items() if len(found) == 1}


@cache
def table() -> Mapping[str, Decimal]:
    """The dated fallback: us-east-1, hourly dollars by instance type."""
    lines = files("ml_janitor.aws").joinpath(TABLE).read_text().splitlines()
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    return {row["instance_type"]: Decimal(row["usd_per_hour"]) for row in rows}
