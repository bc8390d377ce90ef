"""The Price List Query API, which moto does not have, in the shape of the real price list."""

import csv
import hashlib
import json
from collections.abc import Iterator
from functools import cache, partial
from importlib.resources import files
from typing import Any

from moto_corrections.paging import cut, size_of
from moto_corrections.patches import AwsError, Call

DATA = files("ml_janitor.aws") / "data"
# Two prices are not those of the shipped table, so that a test can tell which one was used. They
# are made up; every other price is the table's.
DIFFERENT = {"ml.g5.xlarge": "1.412", "ml.m5.4xlarge": "0.93"}
# The prefix of usage types, and how much dearer: eu-west-1 is the table times 1.117, which is also
# not AWS's price list but close enough for a second region, and a third one.
REGIONS = {"us-east-1": ("USE1", 1.0), "eu-west-1": ("EU", 1.117), "eu-central-1": ("EUC1", 1.15)}
LOCATIONS = {
    "us-east-1": "US East (N. Virginia)",
    "eu-west-1": "EU (Ireland)",
    "eu-central-1": "EU (Frankfurt)",
}
# platoinstancetype: what precedes the instance type in the usage type, as public scrapers of the price list
# (vantage-sh/ec2instances.info) and bills show them.
RENTED_FOR = {
    "BatchTransform": "Tsform:",
    "Cluster": "Cluster:",
    "Hosting": "Host:",
    "Notebook": "Notebk:",
    "Processing": "Processing:",
    "Studio-JupyterLab": "Studio:JupyterLab-",
    "Studio-Notebook": "Studio:KernelGateway-",
    "Training": "Train:",
    "studio-codeeditor": "Studio:CodeEditor-",
}
# Data Wrangler's own instances, which cost more than the same type elsewhere; this price is made up.
WRANGLER = ("Studio", "Studio_DW:KernelGateway-", "ml.m5.4xlarge", 1.23)
# Dollars a second for each GB of serverless inference (price list, product family "ML Serverless").
SERVERLESS = 0.00002
# Dollars for a GB-month of a volume: USE1-Notebk:VolumeUsage.gp2, and taken for Studio's as well.
VOLUME = 0.14
# storage class: the API's storageClass, volumeType, and the suffix of the usage type.
STORAGE = {
    "STANDARD": ("General Purpose", "Standard", "TimedStorage-ByteHrs"),
    "STANDARD_IA": ("Infrequent Access", "Standard - Infrequent Access", "TimedStorage-SIA-ByteHrs"),
    "ONEZONE_IA": ("Infrequent Access", "One Zone - Infrequent Access", "TimedStorage-ZIA-ByteHrs"),
    "GLACIER_IR": ("Archive Instant Retrieval", "Glacier Instant Retrieval", "TimedStorage-GIR-ByteHrs"),
    "GLACIER": ("Archive", "Amazon Glacier", "TimedStorage-GlacierByteHrs"),
    "DEEP_ARCHIVE": ("Archive", "Glacier Deep Archive", "TimedStorage-GDA-ByteHrs"),
}
# service code: its name, the product family, and what of the table it stores.
STORED = {
    "AmazonS3": ("Amazon Simple Storage Service", "Storage", STORAGE),
    "AmazonCloudWatch": ("AmazonCloudWatch", "Storage Snapshot", {"LOGS": ("", "", "TimedStorage-ByteHrs")}),
    "AmazonECR": (
        "Amazon EC2 Container Registry (ECR)",
        "EC2 Container Registry",
        {"IMAGES": ("", "", "TimedStorage-ByteHrs")},
    ),
}
SAGEMAKER = ("AmazonSageMaker", "Amazon SageMaker")
PER_PAGE = 100
wrong = partial(AwsError, "InvalidParameterException")


def get_products(call: Call) -> dict[str, Any]:
    """List the products whose filtered attributes are equal, or contain that; no other type of filter."""
    params = call.params
    filters = params.get("Filters") or ()
    wanted = dict(_filter(item) for item in filters if item["Type"] != "CONTAINS")
    parts = [(item["Field"], item["Value"]) for item in filters if item["Type"] == "CONTAINS"]
    service = params.get("ServiceCode", "")
    if service not in PRODUCTS:
        raise AwsError("NotFoundException", f"The service code {service} was not found.")
    found = [
        product
        for attributes, product in _described(service)
        if all(attributes.get(name) == value for name, value in wanted.items())
        and all(part in attributes.get(name, "") for name, part in parts)
    ]
    size = size_of(call, "MaxResults", PER_PAGE, PER_PAGE, wrong)
    page, more = cut(call, found, size, invalid="InvalidNextTokenException")
    return {"FormatVersion": "aws_v1", "PriceList": [json.dumps(product) for product in page]} | more


def _filter(given: dict[str, str]) -> tuple[str, str]:
    if given["Type"] not in ("TERM_MATCH", "EQUALS"):
        raise wrong(f"The sandbox does not evaluate filters of type {given['Type']}.")
    return given["Field"], given["Value"]


@cache
def _described(service: str) -> list[tuple[dict[str, str], dict[str, Any]]]:
    """List each product of a service after the attributes that filters name."""
    return [
        (
            product["product"]["attributes"]
            | {"ServiceCode": product["serviceCode"], "productFamily": product["product"]["productFamily"]},
            product,
        )
        for product in PRODUCTS[service]()
    ]


@cache
def hourly(region: str) -> dict[str, float]:
    """Return dollars an hour by instance type, for all that it is rented for."""
    _, factor = REGIONS.get(region, ("", 1.0))
    rows = {row["instance_type"]: row["usd_per_hour"] for row in _rows("sagemaker-prices-us-east-1.csv")}
    return {name: round(float(price) * factor, 4) for name, price in (rows | DIFFERENT).items()}


@cache
def sagemaker_products() -> list[dict[str, Any]]:
    """List every type of the table, for all its uses, in the served regions; and Data Wrangler's."""
    products = []
    for region, (prefix, factor) in REGIONS.items():
        for name, price in hourly(region).items():
            products += [
                _instance(region, plato, f"{prefix}-{word}{name}", name, price)
                for plato, word in RENTED_FOR.items()
            ]
        plato, word, name, price = WRANGLER
        products.append(_instance(region, plato, f"{prefix}-{word}{name}", name, price * factor))
        for size in range(1, 7):
            usage, price = f"{prefix}-ServerlessInf:Mem-{size}GB", round(SERVERLESS * size * factor, 8)
            about = {"operation": "Invoke-Endpoint"}
            products.append(_product(SAGEMAKER, "ML Serverless", usage, "Sec", price, region=region, **about))
        for word in ("Notebk", "Studio"):
            usage, price = f"{prefix}-{word}:VolumeUsage.gp2", round(VOLUME * factor, 4)
            products.append(_product(SAGEMAKER, "ML Storage", usage, "GB-Mo", price, region=region))
    return products


def _instance(region: str, plato: str, usage: str, name: str, price: float) -> dict[str, Any]:
    about = {"instanceName": name, "operation": "RunInstance", "platoinstancetype": plato}
    return _product(SAGEMAKER, "ML Instance", usage, "Hrs", price, region=region, **about)


@cache
def storage_products(service: str) -> list[dict[str, Any]]:
    """List the prices of a GB-month in each storage class of S3, in logs, or in image repositories."""
    products = []
    name, family, kinds = STORED[service]
    rows = [row for row in _rows("storage-prices-us-east-1.csv") if row["storage_class"] in kinds]
    for region, (prefix, factor) in REGIONS.items():
        start = "" if region == "us-east-1" else f"{prefix}-"
        for row in rows:
            storage_class, volume, usage = kinds[row["storage_class"]]
            price = round(float(row["usd_per_gb_month"]) * factor, 5)
            usage = f"{start}{usage}"
            about = {"storageClass": storage_class, "volumeType": volume}
            products.append(_product((service, name), family, usage, "GB-Mo", price, region=region, **about))
    return products


PRODUCTS = {"AmazonSageMaker": sagemaker_products} | {
    service: partial(storage_products, service) for service in STORED
}


def _rows(name: str) -> Iterator[dict[str, str]]:
    """Read the rows of a table of the package; lines that begin with # say where they are from."""
    with (DATA / name).open(encoding="utf-8") as lines:
        yield from csv.DictReader(line for line in lines if not line.startswith("#"))


def _product(
    service: tuple[str, str], family: str, usage: str, unit: str, price: float, *, region: str, **more: str
) -> dict[str, Any]:
    """Build a product as in the price list; *service* is its code and its name, *more* further attributes."""
    code, name = service
    attributes = more | {
        "regionCode": region,
        "location": LOCATIONS[region],
        "locationType": "AWS Region",
        "servicecode": code,
        "servicename": name,
        "usagetype": usage,
    }
    sku = hashlib.sha256(usage.encode()).hexdigest()[:16].upper()
    offer, rate = f"{sku}.JRTCKXETXF", f"{sku}.JRTCKXETXF.6YS6EN2CT7"
    dimension = {
        "rateCode": rate,
        "unit": unit,
        "beginRange": "0",
        "endRange": "Inf",
        "description": f"${price} per {unit} for {usage}",
        "appliesTo": [],
        "pricePerUnit": {"USD": f"{price:.10f}"},
    }
    return {
        "product": {"productFamily": family, "attributes": attributes, "sku": sku},
        "serviceCode": code,
        "terms": {
            "OnDemand": {
                offer: {
                    "sku": sku,
                    "offerTermCode": "JRTCKXETXF",
                    "effectiveDate": "2026-10-01T00:00:00Z",
                    "termAttributes": {},
                    "priceDimensions": {rate: dimension},
                }
            }
        },
        "version": "20261001000000",
        "publicationDate": "2026-10-01T00:00:00Z",
    }


# What moto has no backend for at all: the server answers these itself.
OPERATIONS = {"GetProducts": get_products}
