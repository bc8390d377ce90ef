"""Reads prices of a month of storage: the Price List API, else a dated table, else unknown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import (
    FROM_PRICE_LIST,
    FROM_PRICE_TABLE,
    PRICE_TABLE_REGION,
    REGION_PREFIX,
    list_products,
    read_price_table,
)
from ml_janitor.core.cost import Cost
from ml_janitor.core.lifecycles import INTELLIGENT_TIERING
from ml_janitor.core.tiering import GB, RESTORE_CLASSES, STANDARD, ClassRates, RateTable

STORAGE_TABLE = "data/storage-prices-us-east-1.csv"
FROM_STORAGE_TABLE = f"{FROM_PRICE_TABLE} of mid-2025"

STORAGE_USAGE_TYPES = {
    "STANDARD": "TimedStorage-ByteHrs",
    "STANDARD_IA": "TimedStorage-SIA-ByteHrs",
    "ONEZONE_IA": "TimedStorage-ZIA-ByteHrs",
    "GLACIER_IR": "TimedStorage-GIR-ByteHrs",
    "GLACIER": "TimedStorage-GlacierByteHrs",
    "DEEP_ARCHIVE": "TimedStorage-GDA-ByteHrs",
}
"""
The end of S3's usage types, by storage class; outside us-east-1 they begin with the
region's short name.
"""

ARCHIVE_OVERHEAD, ARCHIVE_INDEX = 32 * 1024, 8 * 1024
"""Bytes billed on top of an archived object: of its own class, and of STANDARD (S3 user guide)."""

TIERING_MOVE_USD, TIERING_WATCH_USD = Decimal("0.01"), Decimal("0.0025")
"""Dollars for 1,000 objects: once for moving them to Intelligent-Tiering, and each month in it."""

LOG_STORAGE, IMAGE_STORAGE = "LOGS", "IMAGES"

STORAGE_SERVICES: Mapping[str, Mapping[str, str]] = {
    "AmazonS3": STORAGE_USAGE_TYPES,
    "AmazonCloudWatch": {LOG_STORAGE: "TimedStorage-ByteHrs"},
    "AmazonECR": {IMAGE_STORAGE: "TimedStorage-ByteHrs"},
}
"""Usage types by storage class, by the service code of the price list."""


@dataclass(frozen=True, slots=True)
class StorageClass:
    """
    A row of the table: dollars a GB-month, and the least billed age and size.

    *move* is dollars for 1,000 objects that a lifecycle rule moves there, *read* for a GB read from there.
    """

    usd: Decimal
    min_age: timedelta
    min_size: int
    move: Decimal
    read: Decimal


@dataclass(frozen=True, slots=True)
class StoragePrices:
    """
    Dollars a GB-month by storage class, in one region.

    *listed* is None if the API failed. Intelligent-Tiering has no price here: an object's cost
    depends on a tier that no call answers.
    """

    region: str
    listed: Mapping[str, Decimal] | None

    def cost(self, storage_class: str, size: int) -> Cost:
        """Return the monthly cost of *size* bytes, at the price of the first terabytes."""
        row = storage_price_table().get(storage_class)
        billed = Decimal(max(size, row.min_size if row else 0)) / GB
        if self.listed is not None and storage_class in self.listed:
            return Cost(monthly_usd=self.listed[storage_class] * billed, source=FROM_PRICE_LIST)
        if self.region == PRICE_TABLE_REGION and row is not None:
            return Cost(monthly_usd=row.usd * billed, source=FROM_STORAGE_TABLE)
        return Cost(source=FROM_PRICE_LIST if self.listed is not None else "no price list")

    def rates(self) -> RateTable:
        """
        Return the rates of each class with a price here. Fees come from the table, in every region.

        The tiers of Intelligent-Tiering cost as much as the similar classes.
        """
        usd = {name: self.cost(name, GB).monthly_usd for name in STORAGE_USAGE_TYPES}
        known = {name: price for name, price in usd.items() if price is not None}
        found = {name: _rates(name, price) for name, price in known.items()}
        if known.keys() >= {STANDARD, "STANDARD_IA", "GLACIER_IR"}:
            stages = (0, known[STANDARD]), (30, known["STANDARD_IA"]), (90, known["GLACIER_IR"])
            found[INTELLIGENT_TIERING] = ClassRates(
                stages=stages, move=TIERING_MOVE_USD, watch=TIERING_WATCH_USD
            )
        return found


def _rates(name: str, usd: Decimal) -> ClassRates:
    row = storage_price_table()[name]
    archived = name in RESTORE_CLASSES
    return ClassRates(
        stages=((0, usd),),
        move=row.move,
        read=row.read,
        least_days=row.min_age.days,
        overhead=ARCHIVE_OVERHEAD if archived else 0,
        index=ARCHIVE_INDEX if archived else 0,
    )


def read_storage_prices(aws: Aws, service: str = "AmazonS3") -> StoragePrices:
    """Read the prices of a *service* in the region, in one call for S3."""
    family = "Storage" if service == "AmazonS3" else ""
    listing = list_products(aws.pricing, aws.region, service=service, family=family)
    if listing.error is not None:
        return StoragePrices(aws.region, None)
    return StoragePrices(aws.region, class_prices(listing.items, STORAGE_SERVICES[service]))


def class_prices(
    products: Iterable[Mapping[str, Any]], usage_types: Mapping[str, str] = STORAGE_USAGE_TYPES
) -> dict[str, Decimal]:
    """
    Return the first tier's price by storage class, matched by the end of its usage types.

    A class with two prices is left out: it is unknown.
    """
    prices: dict[str, set[Decimal]] = {}
    for product in products:
        usage = product["product"]["attributes"].get("usagetype", "")
        for name in (
            storage_class
            for storage_class, end in usage_types.items()
            if re.fullmatch(f"{REGION_PREFIX}{end}", usage)
        ):
            for term in product.get("terms", {}).get("OnDemand", {}).values():
                prices.setdefault(name, set()).update(
                    Decimal(tier["pricePerUnit"]["USD"])
                    for tier in term["priceDimensions"].values()
                    if tier.get("unit") == "GB-Mo" and tier.get("beginRange", "0") == "0"
                )
    return {name: found.pop() for name, found in prices.items() if len(found) == 1}


@cache
def storage_price_table() -> Mapping[str, StorageClass]:
    """Return the dated fallback, and the minimum billed duration and size of each class."""
    return {
        row["storage_class"]: StorageClass(
            Decimal(row["usd_per_gb_month"]),
            timedelta(days=int(row["min_days"])),
            int(row["min_kb"]) * 1024,
            Decimal(row["usd_per_1000_moved"]),
            Decimal(row["usd_per_gb_read"]),
        )
        for row in read_price_table(STORAGE_TABLE)
    }
