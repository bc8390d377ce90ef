"""What a month of storage costs, and what makes a price unknown."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from ml_janitor.aws.prices import FROM_API
from ml_janitor.aws.storage_prices import DATED, GB, StoragePrices, class_prices
from ml_janitor.core.cost import Cost
from ml_janitor.core.text import data_size


def product(usage: str, *tiers: tuple[str, str], unit: str = "GB-Mo") -> dict[str, Any]:
    dimensions = {
        f"{n}": {"unit": unit, "beginRange": begin, "pricePerUnit": {"USD": usd}}
        for n, (begin, usd) in enumerate(tiers)
    }
    return {
        "product": {"attributes": {"usagetype": usage}},
        "terms": {"OnDemand": {"t": {"priceDimensions": dimensions}}},
    }


@pytest.mark.parametrize(
    ("products", "expected"),
    [
        (
            [product("TimedStorage-ByteHrs", ("0", "0.023"), ("51200", "0.022"))],
            {"STANDARD": Decimal("0.023")},
        ),
        ([product("EUC1-TimedStorage-SIA-ByteHrs", ("0", "0.0135"))], {"STANDARD_IA": Decimal("0.0135")}),
        ([product("Tables-TimedStorage-ByteHrs", ("0", "0.0265"))], {}),
        ([product("TimedStorage-ByteHrs", ("0", "1")), product("EU-TimedStorage-ByteHrs", ("0", "2"))], {}),
        ([product("TimedStorage-ByteHrs", ("0", "1"), unit="Objects")], {}),
        ([{"product": {"attributes": {}}}], {}),
    ],
)
def test_the_price_list(products: list[dict[str, Any]], expected: dict[str, Decimal]) -> None:
    assert class_prices(products) == expected


@pytest.mark.parametrize(
    ("region", "listed", "storage_class", "expected"),
    [
        ("us-east-1", {"STANDARD": Decimal(1)}, "STANDARD", Cost(monthly_usd=Decimal(2), source=FROM_API)),
        ("us-east-1", {}, "STANDARD", Cost(monthly_usd=Decimal("0.046"), source=DATED)),
        ("us-east-1", None, "STANDARD", Cost(monthly_usd=Decimal("0.046"), source=DATED)),
        ("eu-west-1", None, "STANDARD", Cost(source="no price list")),
        ("eu-west-1", {}, "STANDARD", Cost(source=FROM_API)),
        ("us-east-1", {}, "INTELLIGENT_TIERING", Cost(source=FROM_API)),
    ],
)
def test_two_gigabytes(
    region: str, listed: dict[str, Decimal] | None, storage_class: str, expected: Cost
) -> None:
    assert StoragePrices(region, listed).cost(storage_class, 2 * GB) == expected


def test_small_objects_of_cheap_classes_are_billed_as_larger_ones() -> None:
    prices = StoragePrices("us-east-1", {"STANDARD_IA": Decimal(GB)})

    assert prices.cost("STANDARD_IA", 1).monthly_usd == 128 * 1024
    assert prices.cost("STANDARD_IA", 128 * 1024 + 1).monthly_usd == 128 * 1024 + 1


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KB"),
        (1024**3 - 1, "1.0 GB"),
        (4 * GB + GB // 5, "4.2 GB"),
    ],
)
def test_sizes_for_a_reader(size: int, text: str) -> None:
    assert data_size(size) == text
