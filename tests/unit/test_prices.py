"""Prices: what the Price List's products mean, and that a doubtful price is no price."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ml_janitor.aws.prices import instance_prices, table


def product(
    *dollars: str, name: str | None = "ml.m5.xlarge", unit: str = "Hrs", currency: str = "USD"
) -> dict[str, Any]:
    """A product as GetProducts answers it, with a price per term."""
    return {
        "product": {"attributes": {"instanceName": name} if name else {}},
        "terms": {
            "OnDemand": {
                f"term-{n}": {"priceDimensions": {"one": {"unit": unit, "pricePerUnit": {currency: amount}}}}
                for n, amount in enumerate(dollars)
            }
        },
    }


def test_each_name_has_its_price() -> None:
    listed = [product("0.23"), product("1.408", name="ml.g5.xlarge")]

    assert instance_prices(listed) == {"ml.m5.xlarge": Decimal("0.23"), "ml.g5.xlarge": Decimal("1.408")}


def test_two_different_prices_are_no_price() -> None:
    assert instance_prices([product("0.23"), product("0.25")]) == {}
    assert instance_prices([product("0.23", "0.25")]) == {}


def test_the_same_price_twice_is_one() -> None:
    assert instance_prices([product("0.23"), product("0.230")]) == {"ml.m5.xlarge": Decimal("0.23")}


def test_nothing_is_no_price() -> None:
    assert instance_prices([product("0.0000000000")]) == {}
    assert instance_prices([product("0.0000000000", "0.23")]) == {"ml.m5.xlarge": Decimal("0.23")}


def test_other_units_currencies_and_products_are_left_out() -> None:
    others = [
        product("0.0001", unit="Seconds"),
        product("1.5", currency="CNY"),
        product("0.1", name=None),
        {"product": {"attributes": {"instanceName": "ml.m5.xlarge"}}},
    ]

    assert instance_prices(others) == {}


def test_the_table_knows_common_instances_and_no_free_ones() -> None:
    assert table()["ml.m5.xlarge"] == Decimal("0.23")
    assert all(price > 0 for price in table().values())
    assert all(name.startswith("ml.") for name in table())
