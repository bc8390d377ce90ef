"""Prices: what the Price List's products mean, and that a doubtful price is no price."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from docs.price_table import PATHS
from ml_janitor.aws.prices import FROM_API, USAGES, Component, Price, Prices, instance_prices, table


def product(
    *dollars: str, usage: str = "USE1-Host:ml.m5.xlarge", unit: str = "Hrs", currency: str = "USD"
) -> dict[str, Any]:
    """A product as GetProducts answers it, with a price per term; its instance type is in no attribute."""
    return {
        "product": {"productFamily": "ML Instance", "attributes": {"instanceType": "NA", "usagetype": usage}},
        "terms": {
            "OnDemand": {
                f"term-{n}": {"priceDimensions": {"one": {"unit": unit, "pricePerUnit": {currency: amount}}}}
                for n, amount in enumerate(dollars)
            }
        },
    }


def hosting(*listed: dict[str, Any]) -> dict[str, Decimal]:
    return instance_prices(listed, "Hosting")


def test_each_type_has_its_price() -> None:
    found = hosting(product("0.23"), product("1.408", usage="EUC1-Host:ml.g5.xlarge"))

    assert found == {"ml.m5.xlarge": Decimal("0.23"), "ml.g5.xlarge": Decimal("1.408")}


@pytest.mark.parametrize(
    ("usage", "component"),
    [
        ("USE1-Host:ml.p6-b200.48xlarge", "Hosting"),
        ("Host:ml.p6-b200.48xlarge", "Hosting"),
        ("USE1-Notebk:ml.p6-b200.48xlarge", "Notebook"),
        ("APN2-Studio:JupyterLab-ml.p6-b200.48xlarge", "JupyterLab"),
        ("USE1-studio:codeeditor-ml.p6-b200.48xlarge", "CodeEditor"),
        ("AFS1-Studio:KernelGateway-ml.p6-b200.48xlarge", "KernelGateway"),
        ("USE1-Train:ml.p6-b200.48xlarge", "Training"),
        ("USE1-Processing:ml.p6-b200.48xlarge", "Processing"),
        ("USE1-Tsform:ml.p6-b200.48xlarge", "Transform"),
        ("USE1-Studio:ml.p6-b200.48xlarge", None),
        ("USE1-Studio_DW:KernelGateway-ml.p6-b200.48xlarge", None),
        ("USE1-Processing_DW:ml.p6-b200.48xlarge", None),
        ("USE1-SpotTrain:ml.p6-b200.48xlarge", None),
        ("USE1-AsyncInf:ml.p6-b200.48xlarge", None),
        ("USE1-RStudio:RSessionGateway-ml.p6-b200.48xlarge", None),
        ("USE1-TrainingPlanUpfrontFee:ml.p6-b200.48xlarge", None),
        ("USE1-Host:VolumeUsage.gp3", None),
    ],
)
def test_a_usage_type_says_what_an_instance_is_rented_for(usage: str, component: Component | None) -> None:
    found = {one: instance_prices([product("2", usage=usage)], one) for one in USAGES}

    priced = {one: prices for one, prices in found.items() if prices}
    assert priced == ({} if component is None else {component: {"ml.p6-b200.48xlarge": Decimal(2)}})


def test_two_different_prices_are_no_price() -> None:
    assert hosting(product("0.23"), product("0.25")) == {}
    assert hosting(product("0.23", "0.25")) == {}


def test_the_same_price_twice_is_one() -> None:
    assert hosting(product("0.23"), product("0.230")) == {"ml.m5.xlarge": Decimal("0.23")}


def test_nothing_is_no_price() -> None:
    assert hosting(product("0.0000000000")) == {}
    assert hosting(product("0.0000000000", "0.23")) == {"ml.m5.xlarge": Decimal("0.23")}


def test_other_units_currencies_and_products_are_left_out() -> None:
    others = [
        product("0.0001", unit="Seconds"),
        product("1.5", currency="CNY"),
        {"product": {"attributes": {}}, "terms": product("0.1")["terms"]},
        {"product": {"attributes": {"usagetype": "USE1-Host:ml.m5.xlarge"}}},
    ]

    assert hosting(*others) == {}


class PriceList:
    """A Price List client that knows the values of one attribute, or of none."""

    def __init__(self, attribute: str | None) -> None:
        self.attribute = attribute
        self.asked: list[dict[str, str]] = []

    def get_paginator(self, _: str) -> PriceList:
        return self

    def paginate(self, **query: Any) -> Iterator[dict[str, Any]]:
        wanted = {one["Field"]: one["Value"] for one in query["Filters"]}
        self.asked.append(wanted)
        own = {"regionCode", "productFamily", *([self.attribute] if self.attribute else [])}
        found = [product("0.3", usage="USE1-Tsform:ml.m5.xlarge")] if wanted.keys() <= own else []
        yield {"PriceList": [json.dumps(one) for one in found]}


@pytest.mark.parametrize(("attribute", "calls"), [("platoinstancetype", 1), ("component", 2), (None, 3)])
def test_whatever_attribute_the_price_list_has_the_usage_type_decides(
    attribute: str | None, calls: int
) -> None:
    client: Any = PriceList(attribute)

    price = Prices(lambda: client).hourly("eu-west-1", "Transform", "ml.m5.xlarge")

    assert price == Price(Decimal("0.3"), FROM_API)
    assert len(client.asked) == calls
    assert all(asked["regionCode"] == "eu-west-1" for asked in client.asked)


def test_the_table_knows_common_instances_and_no_free_ones() -> None:
    assert table()["ml.m5.xlarge"] == Price(Decimal("0.23"), "price table of 2026-09-27")
    assert all(price.hourly_usd for price in table().values())
    assert all(name.startswith("ml.") for name in table())


def test_the_kit_has_the_same_table() -> None:
    ours, kits = (path.read_bytes() for path in PATHS)

    assert ours == kits
