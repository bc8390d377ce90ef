"""
Read hourly list prices of SageMaker instances: the Price List API, else a dated table, else unknown.

The vCPUs, GPUs and memory of an instance type are known without a call.
"""

from __future__ import annotations

import csv
import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ml_janitor.aws.calls import Listing, collect_pages

if TYPE_CHECKING:
    from types_boto3_pricing import PricingClient

type PricedComponent = Literal[
    "Hosting",
    "Notebook",
    "JupyterLab",
    "CodeEditor",
    "KernelGateway",
    "Training",
    "Processing",
    "Transform",
    "Cluster",
]
"""The purpose that an instance is rented for; for apps of Studio, their type."""


class PriceListNames(NamedTuple):
    """
    The Price List's spelling of a component.

    *word* (a pattern) precedes the instance type in its usage types ("USE1-Studio:JupyterLab-ml.t3.medium").
    *value* is that of an attribute. Plain "Studio" there means Data Wrangler.
    """

    word: str
    value: str


COMPONENT_NAMES: Mapping[PricedComponent, PriceListNames] = {
    "Hosting": PriceListNames("Host:", "Hosting"),
    "Notebook": PriceListNames("Notebk:", "Notebook"),
    "JupyterLab": PriceListNames("Studio[:-]JupyterLab[:-]", "Studio-JupyterLab"),
    "CodeEditor": PriceListNames("Studio[:-]CodeEditor[:-]", "studio-codeeditor"),
    "KernelGateway": PriceListNames("Studio[:-](?:KernelGateway|Notebook)[:-]", "Studio-Notebook"),
    "Training": PriceListNames("Train:", "Training"),
    "Processing": PriceListNames("Processing:", "Processing"),
    "Transform": PriceListNames("(?:Tsform|BatchTransform):", "BatchTransform"),
    "Cluster": PriceListNames("Cluster:", "Cluster"),
}
STUDIO_COMPONENTS: Mapping[str, PricedComponent] = {
    "CodeEditor": "CodeEditor",
    "KernelGateway": "KernelGateway",
}
"""The component that bills an app by its type; other apps are billed as JupyterLab."""

_ASYNC_WORD = "AsyncInf:"

REGION_PREFIX = r"(?:[A-Z0-9]+-)?"
"""The region's short name at the beginning of usage types outside us-east-1."""

HOUR_UNIT, SECOND_UNIT = re.compile("hrs|hours?", re.IGNORECASE), re.compile("sec.*", re.IGNORECASE)
"""Units of prices."""

COMPONENT_ATTRIBUTES = ("platoinstancetype", "component")
"""The attributes that may hold `Usage.value`: the name differs between versions of the price list."""

PRICE_TABLE = "data/sagemaker-prices-us-east-1.csv"
PRICE_TABLE_REGION = "us-east-1"

GET_PRODUCTS = "pricing:GetProducts"
FROM_PRICE_LIST = "Price List API"
FROM_PRICE_TABLE = "price table"
"""The source name; each row's date follows."""


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars an hour for one instance (None for unknown), and the source of the number."""

    hourly_usd: Decimal | None
    source: str


def total_price(priced: Iterable[tuple[float, Price]]) -> Price:
    """Return the hourly total of counts and prices; unknown if a price is unknown."""
    total: Decimal | None = Decimal(0)
    sources: dict[str, None] = {}
    for count, price in priced:
        known = price.hourly_usd
        total = None if total is None or known is None else total + Decimal(str(count)) * known
        sources[price.source] = None
    return Price(total, ", ".join(sources))


class Prices:
    """
    Prices for a whole run: each region and component is read once.

    *client* makes the Price List client at first use. Where the API fails, or does not
    list a type, the package's table answers for us-east-1; elsewhere the price is unknown. `problems`
    lists the failed requests.
    """

    def __init__(self, client: Callable[[], PricingClient]) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], Any] = {}
        self._problems: dict[str, None] = {}

    @property
    def problems(self) -> tuple[str, ...]:
        """Return why prices came from the table or are unknown, one line each."""
        return tuple(self._problems)

    def family(self, region: str, component: PricedComponent, instance_type: str) -> Mapping[str, Price]:
        """Return the known prices of *instance_type* and of the other sizes of its family."""
        start = instance_type.rpartition(".")[0] + "."
        listed = self._listed(region, component)
        names = {*(listed or ()), *(price_table() if region == PRICE_TABLE_REGION else ()), instance_type}
        prices = {
            name: self.hourly(region, component, name) for name in sorted(names) if name.startswith(start)
        }
        return {name: price for name, price in prices.items() if price.hourly_usd is not None}

    def hourly(self, region: str, component: PricedComponent, instance_type: str) -> Price:
        """Return the list price of one *instance_type* in *region*, rented for *component*."""
        listed = self._listed(region, component)
        if listed is not None and instance_type in listed:
            return Price(listed[instance_type], FROM_PRICE_LIST)
        if region == PRICE_TABLE_REGION and instance_type in price_table():
            return price_table()[instance_type]
        return Price(None, FROM_PRICE_LIST if listed is not None else "no price list")

    def serverless(self, region: str, gigabytes: int) -> Price:
        """Return the hourly list price of serverless inference with so many GB of memory; no table has it."""

        def ask() -> Mapping[int, Decimal]:
            return serverless_prices(self._products(region, family="ML Serverless").items)

        return Price(self._once(region, "serverless", ask).get(gigabytes), FROM_PRICE_LIST)

    def volume(self, region: str, rented_for: str) -> Price:
        """
        Return the list price of a GB-month of volumes of "Notebk" or "Studio", in the field of an hour's
        price.

        The usage type is "USE1-Notebk:VolumeUsage.gp2". A usage type with several prices is unknown.
        """
        contains: Any = {"Type": "CONTAINS", "Field": "usagetype", "Value": "VolumeUsage"}

        def ask() -> Mapping[str, Decimal]:
            return volume_prices(self._products(region, family="", also=(contains,)).items)

        return Price(self._once(region, "volumes", ask).get(rented_for), FROM_PRICE_LIST)

    def _listed(self, region: str, component: PricedComponent) -> Mapping[str, Decimal] | None:
        """
        Return the Price List's prices, read once; None if the request failed.

        An attribute narrows the request to *component*; if no attribute matches, all prices of the region
        are read.
        """

        def ask() -> Mapping[str, Decimal] | None:
            for attributes in (
                *({attribute: COMPONENT_NAMES[component].value} for attribute in COMPONENT_ATTRIBUTES),
                dict[str, str](),
            ):
                listing = self._products(region, **attributes)
                if listing.error is not None:
                    return None
                if found := instance_prices(listing.items, component):
                    return found
            return {}

        return self._once(region, component, ask)

    def _once[T](self, region: str, what: str, ask: Callable[[], T]) -> T:
        with self._lock:
            if (region, what) not in self._known:
                self._known[region, what] = ask()
            answer: T = self._known[region, what]
            return answer

    def _products(self, region: str, **query: Any) -> Listing[dict[str, Any]]:
        listing = list_products(self._client(), region, **query)
        if listing.error is not None:
            self._problems[listing.error] = None
        return listing


def unpriced_reason(region: str) -> str | None:
    """Return why AWS gives no prices in US dollars for *region* to its own credentials, or None."""
    if region.startswith("cn-"):
        return "the price list of China is in yuan, so prices there are unknown"
    if region.startswith(_OTHER_PARTITIONS):
        return f"AWS gives no price list to credentials of {region}, so prices there are unknown"
    return None


_OTHER_PARTITIONS = ("us-gov-", "us-iso", "eu-isoe-", "eusc-")
"""The beginnings of the regions outside AWS's standard partition and China."""


def list_products(
    client: PricingClient,
    region: str,
    *,
    service: str = "AmazonSageMaker",
    family: str = "ML Instance",
    also: Sequence[Any] = (),
    **attributes: str,
) -> Listing[dict[str, Any]]:
    """List all products of a *service*'s *family* in *region* with these attribute values, with prices."""
    if (why := unpriced_reason(region)) is not None:
        return Listing((), why)
    wanted = {"regionCode": region, **({"productFamily": family} if family else {}), **attributes}
    equal: list[Any] = [
        {"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items()
    ]
    pages = client.get_paginator("get_products").paginate(
        ServiceCode=service, Filters=[*equal, *also], PaginationConfig={"PageSize": 100}
    )
    return collect_pages(pages, lambda page: page["PriceList"], json.loads, source=GET_PRODUCTS)


def component_of_usage(usage_type: str) -> tuple[PricedComponent, str] | None:
    """
    Return the component and the instance type that a bill's usage type names; None if it names none.

    Asynchronous endpoints have a word of their own, and the price of other endpoints.
    """
    hosting = usage_type.replace(_ASYNC_WORD, COMPONENT_NAMES["Hosting"].word)
    found = ((component, _usage(component).fullmatch(hosting)) for component in COMPONENT_NAMES)
    return next(((component, named[1]) for component, named in found if named), None)


def _usage(component: PricedComponent) -> re.Pattern[str]:
    """Return the pattern of a *component*'s usage types; its group is the instance type."""
    return re.compile(rf"{REGION_PREFIX}{COMPONENT_NAMES[component].word}(ml\.[a-z0-9.-]+)", re.IGNORECASE)


def instance_prices(products: Iterable[Mapping[str, Any]], component: PricedComponent) -> dict[str, Decimal]:
    """Return hourly on-demand dollars by instance type, of those *products* that *component* names."""
    return _on_demand(products, _usage(component), HOUR_UNIT)


def volume_prices(products: Iterable[Mapping[str, Any]]) -> dict[str, Decimal]:
    """Return dollars for a GB-month of a volume, by its purpose: "Notebk", "Studio"."""
    return _on_demand(
        products, re.compile(rf"{REGION_PREFIX}(\w+):VolumeUsage(?:\.\w+)?"), re.compile("GB-Mo")
    )


def serverless_prices(products: Iterable[Mapping[str, Any]]) -> dict[int, Decimal]:
    """Return dollars an hour of serverless inference by its memory in GB; it is billed by the second."""
    found = _on_demand(products, re.compile(rf"{REGION_PREFIX}ServerlessInf:Mem-(\d)GB"), SECOND_UNIT)
    return {int(size): usd * 3600 for size, usd in found.items()}


def _on_demand(
    products: Iterable[Mapping[str, Any]], usage: re.Pattern[str], unit: re.Pattern[str]
) -> dict[str, Decimal]:
    """
    Return on-demand dollars for a *unit*, by the group of *usage* in the usage types of *products*.

    A usage type with more than one price is left out: a doubtful price is an unknown price. Prices in another
    currency are left out too, and zero prices, which are lines of discounts.
    """
    prices: dict[str, set[Decimal]] = {}
    for product in products:
        if (named := usage.fullmatch(product["product"]["attributes"].get("usagetype", ""))) is None:
            continue
        for term in product.get("terms", {}).get("OnDemand", {}).values():
            for dimension in term["priceDimensions"].values():
                dollars = Decimal(dimension["pricePerUnit"].get("USD", 0))
                if dollars and unit.fullmatch(dimension.get("unit", "")):
                    prices.setdefault(named[1], set()).add(dollars)
    return {name: found.pop() for name, found in prices.items() if len(found) == 1}


@cache
def price_table() -> Mapping[str, Price]:
    """Return the fallback table for us-east-1: prices by instance type, for every purpose."""
    return {
        row["instance_type"]: Price(Decimal(row["usd_per_hour"]), f"{FROM_PRICE_TABLE} of {row['read']}")
        for row in read_price_table(PRICE_TABLE)
    }


def read_price_table(name: str) -> csv.DictReader[str]:
    """Return the rows of a table in the package, without its comments."""
    lines = files("ml_janitor.aws").joinpath(name).read_text().splitlines()
    return csv.DictReader(line for line in lines if not line.startswith("#"))


# --- vCPUs, GPUs and memory -----------------------------------------------------------------------

CPU_ONLY_FAMILIES = re.compile(r"ml\.[mcrt]\d+[abdeginz]*(-flex)?\.")
"""
General purpose, compute, memory and burstable families have no accelerator: their generation is followed by
letters for the processor, disks and network. Any other letter means unknown hardware.
"""

ONE_GPU_TO_16X = dict.fromkeys(("xlarge", "2xlarge", "4xlarge", "8xlarge", "16xlarge"), 1)

GPUS_BY_FAMILY = {
    "p2": {"xlarge": 1, "8xlarge": 8, "16xlarge": 16},
    "p3": {"2xlarge": 1, "8xlarge": 4, "16xlarge": 8},
    "p3dn": {"24xlarge": 8},
    "p4d": {"24xlarge": 8},
    "p4de": {"24xlarge": 8},
    "p5": {"4xlarge": 1, "48xlarge": 8},
    "p5e": {"48xlarge": 8},
    "p5en": {"48xlarge": 8},
    "p6-b200": {"48xlarge": 8},
    "p6-b300": {"48xlarge": 8},
    "p6e-gb200": {"36xlarge": 4},
    "g4dn": {**ONE_GPU_TO_16X, "12xlarge": 4},
    "g5": {**ONE_GPU_TO_16X, "12xlarge": 4, "24xlarge": 4, "48xlarge": 8},
    "g6": {**ONE_GPU_TO_16X, "12xlarge": 4, "24xlarge": 4, "48xlarge": 8},
    "g6e": {**ONE_GPU_TO_16X, "12xlarge": 4, "24xlarge": 4, "48xlarge": 8},
    "g6f": dict.fromkeys(("large", "xlarge", "2xlarge", "4xlarge"), 1),
    "gr6": {"4xlarge": 1, "8xlarge": 1},
    "gr6f": {"4xlarge": 1},
    "g7e": {"2xlarge": 1, "4xlarge": 1, "8xlarge": 1, "12xlarge": 2, "24xlarge": 4, "48xlarge": 8},
}
"""
GPUs by family and size: https://aws.amazon.com/ec2/instance-types/ (accelerated computing). A fraction of a
GPU counts as one.
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """
    The vCPUs and GPUs of one instance.

    *gpus* is None where unknown, and for accelerators that publish no utilization
    (Trainium, Inferentia): an idle CPU says nothing about those.
    """

    vcpus: int
    gpus: int | None


def machine_of(instance_type: str) -> Machine:
    """Return the vCPUs and GPUs of *instance_type* ("ml.p3.8xlarge")."""
    _, _, family_and_size = instance_type.partition(".")
    family, _, size = family_and_size.partition(".")
    gpus = 0 if CPU_ONLY_FAMILIES.match(instance_type) else GPUS_BY_FAMILY.get(family, {}).get(size)
    return Machine(vcpus_of_size(size), gpus)


def vcpus_of_size(size: str) -> int:
    """
    Return the vCPUs of a size name: four for each "x", in every family.

    An error is always too low (36, not 32, in a c4.8xlarge; 1 for a size without
    a number), so that the threshold of a steady load gets stricter, never laxer.
    """
    if size in {"medium", "large"}:
        return 2
    times = re.fullmatch(r"(\d*)xlarge", size)
    return 4 * int(times[1] or 1) if times else 1


GIB_PER_VCPU = {"c": 2, "m": 4, "r": 8}
"""GiB for compute, general purpose and memory families: https://aws.amazon.com/ec2/instance-types/."""


def memory_gib(instance_type: str) -> int | None:
    """Return the memory of *instance_type* in these families from their fifth generation on, else None."""
    found = re.fullmatch(r"ml\.([cmr])[5-9][a-z]*(?:-flex)?\.(\w+)", instance_type)
    return vcpus_of_size(found[2]) * GIB_PER_VCPU[found[1]] if found else None
