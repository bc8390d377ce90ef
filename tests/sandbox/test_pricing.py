import csv
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ml_janitor_sandbox.pricing import DATA, DIFFERENT, RENTED_FOR
from plain_requests import refusal


def products(aws: Any, service: str = "AmazonSageMaker", **attributes: str) -> list[dict[str, Any]]:
    filters = [{"Type": "TERM_MATCH", "Field": key, "Value": value} for key, value in attributes.items()]
    pages = aws("pricing").get_paginator("get_products").paginate(ServiceCode=service, Filters=filters)
    return [json.loads(one) for page in pages for one in page["PriceList"]]


def price(product: dict[str, Any]) -> tuple[float, str]:
    (offer,) = product["terms"]["OnDemand"].values()
    (dimension,) = offer["priceDimensions"].values()
    return float(dimension["pricePerUnit"]["USD"]), dimension["unit"]


def hosting(aws: Any, region: str = "us-east-1") -> dict[str, float]:
    found = products(aws, regionCode=region, productFamily="ML Instance", platoinstancetype="Hosting")
    return {one["product"]["attributes"]["instanceName"]: price(one)[0] for one in found}


def table() -> dict[str, float]:
    with (DATA / "sagemaker-prices-us-east-1.csv").open(encoding="utf-8") as lines:
        rows = csv.DictReader(line for line in lines if not line.startswith("#"))
        return {row["instance_type"]: float(row["usd_per_hour"]) for row in rows}


def test_exactly_two_prices_differ_from_the_table(aws: Any) -> None:
    asked, shipped = hosting(aws), table()
    assert asked.keys() == shipped.keys()
    assert (
        {name for name in asked if asked[name] != shipped[name]}
        == set(DIFFERENT)
        == {"ml.g5.xlarge", "ml.m5.4xlarge"}
    )


def test_ireland_is_dearer_and_elsewhere_is_unknown(aws: Any) -> None:
    at_home, abroad = hosting(aws), hosting(aws, "eu-west-1")
    assert abroad == {name: round(usd * 1.117, 4) for name, usd in at_home.items()}
    assert hosting(aws, "ap-south-1") == {}


def test_a_product_has_the_shape_of_the_price_list(aws: Any) -> None:
    (found,) = products(
        aws, regionCode="us-east-1", platoinstancetype="Notebook", instanceName="ml.m5.xlarge"
    )
    assert price(found) == (0.23, "Hrs")
    (host,) = products(aws, usagetype="USE1-Host:ml.m5.xlarge")
    assert host["product"]["productFamily"] == "ML Instance"
    assert host["product"]["attributes"]["platoinstancetype"] == "Hosting"


def test_many_products_come_in_pages_of_a_hundred(aws: Any) -> None:
    page = aws("pricing").get_products(ServiceCode="AmazonSageMaker")
    assert len(page["PriceList"]) == 100
    assert page["NextToken"]
    skus = [one["product"]["sku"] for one in products(aws)]
    others = 1 + 6 + 2  # Data Wrangler's, sizes of serverless inference, volumes
    assert len(skus) == len(set(skus)) == 3 * (len(RENTED_FOR) * len(table()) + others)


def test_a_filter_may_name_a_part(aws: Any) -> None:
    wanted = [
        {"Type": "CONTAINS", "Field": "usagetype", "Value": "VolumeUsage"},
        {"Type": "TERM_MATCH", "Field": "regionCode", "Value": "us-east-1"},
    ]
    page = aws("pricing").get_products(ServiceCode="AmazonSageMaker", Filters=wanted)
    usages = {json.loads(one)["product"]["attributes"]["usagetype"] for one in page["PriceList"]}
    assert usages == {"USE1-Notebk:VolumeUsage.gp2", "USE1-Studio:VolumeUsage.gp2"}


def test_storage_has_a_price(aws: Any) -> None:
    (found,) = products(aws, "AmazonS3", regionCode="us-east-1", volumeType="Standard")
    assert price(found) == (0.023, "GB-Mo")


def test_what_is_not_evaluated_is_refused(aws: Any) -> None:
    filters = [{"Type": "ANY_OF", "Field": "usagetype", "Value": "Host"}]
    with pytest.raises(ClientError, match="does not evaluate filters"):
        aws("pricing").get_products(ServiceCode="AmazonSageMaker", Filters=filters)
    assert "NotFoundException" in refusal(aws("pricing").get_products, ServiceCode="AmazonNothing")
    with pytest.raises(ClientError, match="InvalidParameterException"):
        aws("pricing").get_products(ServiceCode="AmazonSageMaker", MaxResults=101)
    assert "ValidationException" in refusal(aws("savingsplans").describe_savings_plans, maxResults=1001)
