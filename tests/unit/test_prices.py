"""Prices, and what instance types are made of: too little is safe, too much is not."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, cast

import botocore.session
import pytest
from botocore.model import StringShape

from docs.price_table import PATHS
from ml_janitor.aws.prices import (
    COMPONENT_NAMES,
    FROM_PRICE_LIST,
    GPUS_BY_FAMILY,
    Machine,
    Price,
    PricedComponent,
    Prices,
    component_of_usage,
    instance_prices,
    list_products,
    machine_of,
    price_table,
    total_price,
)
from scripted import DENIED, Refusal, Script
from tables import cases


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


@cases(
    "usage, component",
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
)
def test_a_usage_type_says_what_an_instance_is_for(usage: str, component: PricedComponent | None) -> None:
    found = {one: instance_prices([product("2", usage=usage)], one) for one in COMPONENT_NAMES}

    priced = {one: prices for one, prices in found.items() if prices}
    assert priced == ({} if component is None else {component: {"ml.p6-b200.48xlarge": Decimal(2)}})


M5 = {"ml.m5.xlarge": Decimal("0.23")}


@cases(
    "listed, expected",
    (
        [product("0.23"), product("1.408", usage="EUC1-Host:ml.g5.xlarge")],
        M5 | {"ml.g5.xlarge": Decimal("1.408")},
    ),
    # two different prices are none, the same twice is one, and nothing is none
    ([product("0.23"), product("0.25")], {}),
    ([product("0.23", "0.25")], {}),
    ([product("0.23"), product("0.230")], M5),
    ([product("0.0000000000")], {}),
    ([product("0.0000000000", "0.23")], M5),
    # other units, currencies and products are left out
    ([product("0.0001", unit="Seconds")], {}),
    ([product("1.5", currency="CNY")], {}),
    ([{"product": {"attributes": {}}, "terms": product("0.1")["terms"]}], {}),
    ([{"product": {"attributes": {"usagetype": "USE1-Host:ml.m5.xlarge"}}}], {}),
)
def test_each_type_has_its_price(listed: list[dict[str, Any]], expected: dict[str, Decimal]) -> None:
    assert instance_prices(listed, "Hosting") == expected


GET = "pricing:GetProducts"


def selling(*products: dict[str, Any], error: Refusal | None = None) -> Script:
    """A price list of *products*, on pages of one, which breaks off after them with *error*."""
    pages: list[Any] = [{"PriceList": [json.dumps(one)]} for one in products]
    return Script({GET: [*pages, *([error] if error else [])] or [{"PriceList": []}]})


def asking(account: Script) -> Prices:
    return Prices(lambda: account.session().client("pricing"))


@pytest.mark.parametrize(("attribute", "calls"), [("platoinstancetype", 1), ("component", 2), ("", 3)])
def test_the_usage_type_decides_whatever_the_attributes_are(attribute: str, calls: int) -> None:
    """The list knows the values of one attribute, or of none."""

    def answer(asked: Mapping[str, Any]) -> dict[str, list[str]]:
        known = {one["Field"] for one in asked["Filters"]} <= {"regionCode", "productFamily", attribute}
        return {"PriceList": [json.dumps(product("0.3", usage="USE1-Tsform:ml.m5.xlarge"))] * known}

    account = Script({GET: answer})
    price = asking(account).hourly("eu-west-1", "Transform", "ml.m5.xlarge")

    assert price == Price(Decimal("0.3"), FROM_PRICE_LIST)
    assert len(account.asked(GET)) == calls
    here = {"Type": "TERM_MATCH", "Field": "regionCode", "Value": "eu-west-1"}
    assert all(here in asked["Filters"] for asked in account.asked(GET))


def test_the_table_knows_common_instances_and_no_free_ones() -> None:
    assert price_table()["ml.m5.xlarge"] == Price(Decimal("0.23"), "price table of 2026-09-27")
    assert all(price.hourly_usd for price in price_table().values())
    assert all(name.startswith("ml.") for name in price_table())


def test_the_kit_has_the_same_table() -> None:
    ours, kits = (path.read_bytes() for path in PATHS)

    assert ours == kits


# --- what is asked ----------------------------------------------------------------------------


def test_all_pages_of_a_region_are_asked_for_by_what_they_are() -> None:
    account = selling(product("0.3"), product("0.5"))
    also = {"Type": "CONTAINS", "Field": "x", "Value": "y"}
    client = account.session().client("pricing")

    found = list_products(
        client, "eu-west-1", service="S3", family="Storage", also=(also,), component="Hosting"
    )

    assert len(found.items) == 2
    assert account.asked(GET)[0] == {
        "ServiceCode": "S3",
        "Filters": [
            {"Type": "TERM_MATCH", "Field": "regionCode", "Value": "eu-west-1"},
            {"Type": "TERM_MATCH", "Field": "productFamily", "Value": "Storage"},
            {"Type": "TERM_MATCH", "Field": "component", "Value": "Hosting"},
            also,
        ],
        "MaxResults": 100,
    }
    list_products(client, "eu-west-1", family="")
    assert account.asked(GET)[2]["ServiceCode"] == "AmazonSageMaker"
    assert [one["Field"] for one in account.asked(GET)[2]["Filters"]] == ["regionCode"]


def test_a_region_s_list_goes_before_the_table_which_is_of_one_region() -> None:
    known, broken = asking(selling(product("9"))), asking(selling(product("9"), error=DENIED))
    row = price_table()["ml.m5.xlarge"]

    assert known.hourly("us-east-1", "Hosting", "ml.m5.xlarge") == Price(Decimal(9), FROM_PRICE_LIST)
    assert known.hourly("us-east-1", "Hosting", "ml.m5.large") == price_table()["ml.m5.large"]
    assert known.hourly("eu-west-1", "Hosting", "ml.m5.large") == Price(None, FROM_PRICE_LIST)
    assert broken.hourly("us-east-1", "Hosting", "ml.m5.xlarge") == row
    assert broken.hourly("us-east-1", "Hosting", "ml.unknown") == Price(None, "no price list")
    assert broken.hourly("eu-west-1", "Hosting", "ml.m5.xlarge") == Price(None, "no price list")
    assert asking(selling()).hourly("eu-west-1", "Hosting", "ml.m5.large") == known.hourly(
        "eu-west-1", "Hosting", "ml.m5.large"
    )
    assert (known.problems, len(broken.problems)) == ((), 1)
    assert "denied" in broken.problems[0]


def test_each_component_of_a_region_is_asked_for_once() -> None:
    account = selling(product("9"))
    prices = asking(account)

    for _ in range(3):
        prices.hourly("us-east-1", "Hosting", "ml.m5.xlarge")
        prices.hourly("us-east-1", "Hosting", "ml.other")
    assert len(account.asked(GET)) == 1
    prices.hourly("eu-west-1", "Hosting", "ml.m5.xlarge")
    assert len(account.asked(GET)) == 2


def test_a_family_are_the_sizes_of_one_type_that_have_a_price() -> None:
    sizes = [
        product("2", usage="EU-Host:ml.m5.2xlarge"),
        product("1", usage="EU-Host:ml.m5.xlarge"),
        product("9", usage="EU-Host:ml.m5d.xlarge"),
    ]
    abroad = asking(selling(*sizes)).family("eu-west-1", "Hosting", "ml.m5.xlarge")
    here = asking(selling(*sizes)).family("us-east-1", "Hosting", "ml.m5.xlarge")

    assert abroad == {
        "ml.m5.2xlarge": Price(Decimal(2), FROM_PRICE_LIST),
        "ml.m5.xlarge": Price(Decimal(1), FROM_PRICE_LIST),
    }
    assert list(abroad) == sorted(abroad)
    assert here.keys() > abroad.keys()
    assert here["ml.m5.large"] == price_table()["ml.m5.large"]
    nothing = asking(selling(error=DENIED))
    assert nothing.family("eu-west-1", "Hosting", "ml.m5.xlarge") == {}
    assert "ml.m5.large" in nothing.family("us-east-1", "Hosting", "ml.m5.xlarge")


def test_serverless_is_billed_by_the_second_and_a_volume_by_the_month() -> None:
    def listed(usage: str, unit: str) -> dict[str, Any]:
        return product("0.25", usage=usage, unit=unit)

    serverless = selling(
        listed("EU-ServerlessInf:Mem-4GB", "seconds"), listed("EU-ServerlessInf:Mem-2GB", "Hrs")
    )
    volumes = selling(listed("Notebk:VolumeUsage.gp2", "GB-Mo"), listed("EU-Studio:VolumeUsage.gp3", "Hrs"))

    assert asking(serverless).serverless("eu-west-1", 4) == Price(Decimal(900), FROM_PRICE_LIST)
    assert asking(serverless).serverless("eu-west-1", 2) == Price(None, FROM_PRICE_LIST)
    assert asking(volumes).volume("eu-west-1", "Notebk") == Price(Decimal("0.25"), FROM_PRICE_LIST)
    assert asking(volumes).volume("eu-west-1", "Studio") == Price(None, FROM_PRICE_LIST)
    assert serverless.asked(GET)[0]["Filters"][1] == {
        "Type": "TERM_MATCH",
        "Field": "productFamily",
        "Value": "ML Serverless",
    }
    assert volumes.asked(GET)[0]["Filters"][1:] == [
        {"Type": "CONTAINS", "Field": "usagetype", "Value": "VolumeUsage"}
    ]


def test_what_several_cost_together_is_unknown_if_one_price_is() -> None:
    known, dated = Price(Decimal(3), FROM_PRICE_LIST), Price(Decimal("0.5"), "table")

    assert total_price([(2, known), (0.5, dated), (1, known)]) == Price(
        Decimal("9.25"), f"{FROM_PRICE_LIST}, table"
    )
    for unknown in ([(2, known), (1, Price(None, "no price list"))], [(1, Price(None, "x")), (2, known)]):
        assert total_price(unknown).hourly_usd is None
    assert total_price([]) == Price(Decimal(0), "")


@cases(
    "usage, found",
    ("EUC1-Host:ml.g5.xlarge", ("Hosting", "ml.g5.xlarge")),
    ("EUC1-AsyncInf:ml.g5.xlarge", ("Hosting", "ml.g5.xlarge")),
    ("USE1-ServerlessInf:Mem-2GB", None),
    ("Train:ml.p4d.24xlarge", ("Training", "ml.p4d.24xlarge")),
    ("USE1-TrSpt:ml.g5.xlarge", None),
    ("USE1-UnifiedStudio:Notebook-ml.t3.medium", None),
    ("TimedStorage-ByteHrs", None),
)
def test_a_usage_type_of_the_bill_says_what_is_rented(usage: str, found: tuple[str, str] | None) -> None:
    assert component_of_usage(usage) == found


@cases(
    "region, why",
    ("cn-north-1", "in yuan"),
    ("us-gov-west-1", "no price list"),
    ("eusc-de-east-1", "no price list"),
)
def test_other_partitions_have_no_price_and_a_reason(region: str, why: str) -> None:
    account = selling(product("2", usage="Host:ml.m5.xlarge"))
    prices = asking(account)

    assert prices.hourly(region, "Hosting", "ml.m5.xlarge").hourly_usd is None
    assert why in str(prices.problems)
    assert account.calls == []
    assert prices.hourly("us-west-2", "Hosting", "ml.m5.xlarge").hourly_usd == 2


@cases(
    "kind, made_of",
    ("ml.t3.medium", Machine(2, 0)),
    ("ml.m5.large", Machine(2, 0)),
    ("ml.c5.xlarge", Machine(4, 0)),
    ("ml.c5.9xlarge", Machine(36, 0)),
    ("ml.r5d.24xlarge", Machine(96, 0)),
    ("ml.m8i-flex.16xlarge", Machine(64, 0)),
    ("ml.p3.8xlarge", Machine(32, 4)),
    ("ml.p4d.24xlarge", Machine(96, 8)),
    ("ml.g5.16xlarge", Machine(64, 1)),
    ("ml.g5.12xlarge", Machine(48, 4)),
    ("ml.g7e.12xlarge", Machine(48, 2)),
    ("ml.g7e.48xlarge", Machine(192, 8)),
    ("ml.gr6.8xlarge", Machine(32, 1)),
    ("ml.g6f.xlarge", Machine(4, 1)),
    ("ml.p6e-gb200.36xlarge", Machine(144, 4)),
    ("ml.c7gn.xlarge", Machine(4, 0)),
    ("ml.m6idn.xlarge", Machine(4, 0)),
    ("ml.r7iz.xlarge", Machine(4, 0)),
    ("ml.t3a.medium", Machine(2, 0)),
    ("ml.trn1.32xlarge", Machine(128, None)),
    ("ml.trn3.48xlarge", Machine(192, None)),
    ("ml.inf3.xlarge", Machine(4, None)),
    ("ml.p7.48xlarge", Machine(192, None)),
    ("ml.m9gpu.xlarge", Machine(4, None)),
    ("ml.c9trn.xlarge", Machine(4, None)),
    ("ml.g99.2xlarge", Machine(8, None)),
    ("ml.mystery", Machine(1, None)),
    ("", Machine(1, None)),
)
def test_made_of(kind: str, made_of: Machine) -> None:
    assert machine_of(kind) == made_of


def test_only_these_types_for_training_are_not_known() -> None:
    """A new boto3 may bring new ones: their GPUs belong into the table, or their family here."""
    model = botocore.session.get_session().get_service_model("sagemaker")
    types = cast("StringShape", model.shape_for("TrainingInstanceType")).enum
    unknown = {kind.split(".")[1] for kind in types if machine_of(kind).gpus is None}

    assert unknown == {"g7", "trn1", "trn1n", "trn2"}
    assert all(machine_of(kind).vcpus > 1 for kind in types)


GPUS = {
    16: "p2.16xlarge",
    8: "p2.8xlarge p3.16xlarge p3dn.24xlarge p4d.24xlarge p4de.24xlarge p5.48xlarge p5e.48xlarge "
    "p5en.48xlarge p6-b200.48xlarge p6-b300.48xlarge g5.48xlarge g6.48xlarge g6e.48xlarge g7e.48xlarge",
    4: "p3.8xlarge p6e-gb200.36xlarge g4dn.12xlarge g5.12xlarge g5.24xlarge g6.12xlarge g6.24xlarge "
    "g6e.12xlarge g6e.24xlarge g7e.24xlarge",
    2: "g7e.12xlarge",
    1: "p2.xlarge p3.2xlarge p5.4xlarge g6f.large g6f.xlarge g6f.2xlarge g6f.4xlarge gr6.4xlarge gr6.8xlarge "
    "gr6f.4xlarge g7e.2xlarge g7e.4xlarge g7e.8xlarge g4dn g5 g6 g6e",
}
"""Types by their GPUs, from EC2's pages of families; a family alone has one in each size up to 16xlarge."""


def test_every_type_of_the_table_has_as_many_gpus_as_its_page_says() -> None:
    small = ("xlarge", "2xlarge", "4xlarge", "8xlarge", "16xlarge")
    expected = {
        kind: count
        for count, names in GPUS.items()
        for name in names.split()
        for kind in ([name] if "." in name else [f"{name}.{size}" for size in small])
    }
    found = {
        f"{family}.{size}": gpus for family, sizes in GPUS_BY_FAMILY.items() for size, gpus in sizes.items()
    }
    assert found == expected
