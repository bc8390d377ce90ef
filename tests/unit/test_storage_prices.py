"""What a month of storage costs, and what makes a price unknown."""

from __future__ import annotations

import json
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ConnectTimeoutError

from ml_janitor.aws.prices import FROM_PRICE_LIST
from ml_janitor.aws.storage import FROM_STORAGE_TABLE, StoragePrices, class_prices, read_storage_prices
from ml_janitor.core.model import Cost
from ml_janitor.core.text import format_size
from ml_janitor.core.tiering import GB, ClassRates
from tables import cases


def product(usage: str, *tiers: tuple[str, str], unit: str = "GB-Mo") -> dict[str, Any]:
    dimensions = {
        f"{n}": {"unit": unit, "beginRange": begin, "pricePerUnit": {"USD": usd}}
        for n, (begin, usd) in enumerate(tiers)
    }
    return {
        "product": {"attributes": {"usagetype": usage}},
        "terms": {"OnDemand": {"t": {"priceDimensions": dimensions}}},
    }


@cases(
    "products, expected",
    ([product("TimedStorage-ByteHrs", ("0", "0.023"), ("51200", "0.022"))], {"STANDARD": Decimal("0.023")}),
    ([product("EUC1-TimedStorage-SIA-ByteHrs", ("0", "0.0135"))], {"STANDARD_IA": Decimal("0.0135")}),
    ([product("Tables-TimedStorage-ByteHrs", ("0", "0.0265"))], {}),
    ([product("TimedStorage-ByteHrs", ("0", "1")), product("EU-TimedStorage-ByteHrs", ("0", "2"))], {}),
    ([product("TimedStorage-ByteHrs", ("0", "1"), unit="Objects")], {}),
    ([{"product": {"attributes": {}}}], {}),
    ([product("TimedStorage-ByteHrs", ("51200", "0.022"))], {}),
    ([product("EU-TimedStorage-GlacierByteHrs", ("0", "1"), ("0", "1.0"))], {"GLACIER": Decimal(1)}),
)
def test_the_price_list(products: list[dict[str, Any]], expected: dict[str, Decimal]) -> None:
    assert class_prices(products) == expected


@cases(
    "region, listed, storage_class, expected",
    ("us-east-1", {"STANDARD": Decimal(1)}, "STANDARD", Cost(monthly_usd=Decimal(2), source=FROM_PRICE_LIST)),
    ("us-east-1", {}, "STANDARD", Cost(monthly_usd=Decimal("0.046"), source=FROM_STORAGE_TABLE)),
    ("us-east-1", None, "STANDARD", Cost(monthly_usd=Decimal("0.046"), source=FROM_STORAGE_TABLE)),
    ("eu-west-1", None, "STANDARD", Cost(source="no price list")),
    ("eu-west-1", {}, "STANDARD", Cost(source=FROM_PRICE_LIST)),
    ("us-east-1", {}, "INTELLIGENT_TIERING", Cost(source=FROM_PRICE_LIST)),
)
def test_two_gigabytes(
    region: str, listed: dict[str, Decimal] | None, storage_class: str, expected: Cost
) -> None:
    assert StoragePrices(region, listed).cost(storage_class, 2 * GB) == expected


def test_small_objects_of_cheap_classes_are_billed_as_larger_ones() -> None:
    prices = StoragePrices("us-east-1", {"STANDARD_IA": Decimal(GB)})

    assert prices.cost("STANDARD_IA", 1).monthly_usd == 128 * 1024
    assert prices.cost("STANDARD_IA", 128 * 1024 + 1).monthly_usd == 128 * 1024 + 1
    assert StoragePrices("eu-west-1", {"OTHER": Decimal(GB)}).cost("OTHER", 0).monthly_usd == 0


@cases(
    "size, text",
    (0, "0 bytes"),
    (1023, "1,023 bytes"),
    (1024, "1 KB"),
    (1024**3 - 1, "1 GB"),
    (4 * GB + GB // 5, "4.2 GB"),
)
def test_sizes_for_a_reader(size: int, text: str) -> None:
    assert format_size(size) == text


def test_each_class_has_the_rates_of_the_table_and_an_archive_its_overhead() -> None:
    rates = StoragePrices("eu-west-1", {name: Decimal(9) for name in ("STANDARD", "GLACIER")}).rates()

    assert rates == {
        "STANDARD": ClassRates(stages=((0, Decimal(9)),)),
        "GLACIER": ClassRates(
            stages=((0, Decimal(9)),),
            move=Decimal("0.03"),
            read=Decimal("0.01"),
            least_days=90,
            overhead=32 * 1024,
            index=8 * 1024,
        ),
    }


def test_the_tiers_of_intelligent_tiering_cost_what_the_classes_do_that_they_are_like() -> None:
    listed = {"STANDARD": Decimal(9), "STANDARD_IA": Decimal(5), "GLACIER_IR": Decimal(2)}

    assert StoragePrices("eu-west-1", listed).rates()["INTELLIGENT_TIERING"] == ClassRates(
        stages=((0, Decimal(9)), (30, Decimal(5)), (90, Decimal(2))),
        move=Decimal("0.01"),
        watch=Decimal("0.0025"),
    )
    for missing in listed:
        some = {name: usd for name, usd in listed.items() if name != missing}
        assert "INTELLIGENT_TIERING" not in StoragePrices("eu-west-1", some).rates()


@cases(
    "service, usage, name, family",
    ("AmazonS3", "EU-TimedStorage-GIR-ByteHrs", "GLACIER_IR", ["Storage"]),
    ("AmazonECR", "EU-TimedStorage-ByteHrs", "IMAGES", []),
    ("AmazonCloudWatch", "EU-TimedStorage-ByteHrs", "LOGS", []),
)
def test_a_service_is_asked_for_in_its_region(service: str, usage: str, name: str, family: list[str]) -> None:
    asked: list[dict[str, Any]] = []

    def paginate(**query: Any) -> list[dict[str, Any]]:
        asked.append(query)
        return [{"PriceList": [json.dumps(product(usage, ("0", "0.1")))]}]

    pricing = SimpleNamespace(get_paginator=lambda _: SimpleNamespace(paginate=paginate))
    aws: Any = SimpleNamespace(pricing=pricing, region="eu-west-1")

    assert read_storage_prices(aws, service) == StoragePrices("eu-west-1", {name: Decimal("0.1")})
    wanted = {one["Field"]: one["Value"] for one in asked[0]["Filters"]}
    assert (asked[0]["ServiceCode"], wanted.pop("regionCode")) == (service, "eu-west-1")
    assert list(wanted.values()) == family


def test_what_could_not_be_asked_is_not_an_empty_list() -> None:
    def broken(**_: Any) -> Any:
        yield {"PriceList": [json.dumps(product("EU-TimedStorage-ByteHrs", ("0", "0.1")))]}
        raise ConnectTimeoutError(endpoint_url="https://pricing")

    pricing = SimpleNamespace(get_paginator=lambda _: SimpleNamespace(paginate=broken))
    aws: Any = SimpleNamespace(pricing=pricing, region="eu-west-1")

    assert read_storage_prices(aws) == StoragePrices("eu-west-1", None)
