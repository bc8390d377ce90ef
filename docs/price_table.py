"""
Writes the dated table of SageMaker's prices again: `make prices`.

It asks the Price List API, or reads a Price List file: `make prices FILE=index.json`, the file from
https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/AmazonSageMaker/current/us-east-1/index.json.
Types that the price list no longer has are dropped.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from ml_janitor.aws.prices import (
    COMPONENT_NAMES,
    PRICE_TABLE,
    PRICE_TABLE_REGION,
    instance_prices,
    list_products,
)

if TYPE_CHECKING:
    from types_boto3_pricing import PricingClient

ROOT = Path(__file__).parent.parent
PATHS = (ROOT / "functions/ml_janitor/aws" / PRICE_TABLE, ROOT / "kit/src/janitor_kit/prices-us-east-1.csv")
"""The janitor's, and the same for the kit, which imports nothing of it."""
CENT = Decimal("0.01")
SIZES = ["nano", "micro", "small", "medium", "large", "xlarge"]
HEADER = """\
# SageMaker on-demand list prices, us-east-1, USD per instance-hour, and when each was read.
# By `make prices`, from AWS's price list of AmazonSageMaker. The fallback where the Price List API cannot be
# asked or does not list a type; a report that uses it says so, with the date. A type that is not here is
# unknown, as is one whose prices for hosting, notebooks, Studio, training, processing and transform differ by
# more than a cent.
instance_type,usd_per_hour,read
"""

type Product = Mapping[str, Any]


def main(arguments: Sequence[str]) -> int:
    """Write the table."""
    if arguments:
        offer = json.loads(Path(arguments[0]).read_text())
        listed, read = list(of_file(offer)), offer["publicationDate"][:10]
    else:
        listed = of_api(boto3.Session().client("pricing", region_name=PRICE_TABLE_REGION))
        read = max(product["publicationDate"] for product in listed)[:10]
    rows = table(listed)
    for path in PATHS:
        path.write_text(written(rows, read))
        print(f"{len(rows)} instance types, as of {read}: {path}")
    return 0


def of_file(offer: Mapping[str, Any]) -> Iterator[Product]:
    """The instances of a Price List file of any regions, each as the API answers it."""
    for sku, product in offer["products"].items():
        if product.get("productFamily") != "ML Instance":
            continue
        if product["attributes"].get("regionCode") == PRICE_TABLE_REGION:
            yield {"product": product, "terms": {"OnDemand": offer["terms"]["OnDemand"].get(sku, {})}}


def of_api(client: PricingClient) -> list[Product]:
    """The same from the API. Raises ReadError."""
    listing = list_products(client, PRICE_TABLE_REGION)
    listing.check()
    return list(listing.items)


def table(listed: Sequence[Product]) -> dict[str, Decimal]:
    """What an instance of each type costs, whatever it is rented for."""
    found: dict[str, list[Decimal]] = {}
    for component in COMPONENT_NAMES:
        for name, dollars in instance_prices(listed, component).items():
            found.setdefault(name, []).append(dollars)
    return {name: price for name in sorted(found, key=order) if (price := agreed(found[name])) is not None}


def agreed(prices: Iterable[Decimal]) -> Decimal | None:
    """The commonest of *prices*, if none is more than a cent away from another."""
    counted = Counter(prices)
    return counted.most_common(1)[0][0] if max(counted) - min(counted) <= CENT else None


def order(name: str) -> tuple[str, int, int]:
    """By family, and within it by size: "ml.m5.large" before "ml.m5.2xlarge"."""
    _, family, size = name.split(".")
    number, word = re.fullmatch(r"(\d*)(.*)", size).groups()  # type: ignore[union-attr]  # matches anything
    return family, SIZES.index(word) if word in SIZES else len(SIZES), int(number or 1)


def written(rows: Mapping[str, Decimal], read: str) -> str:
    """The file."""
    return HEADER + "".join(f"{name},{dollars.normalize():f},{read}\n" for name, dollars in rows.items())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
