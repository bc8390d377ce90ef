"""The decide table of cross-region-traffic, and how addresses and usage types are read."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from conftest import NOW
from fakes import target_at
from ml_janitor.aws.traffic import Cause, Way, addresses
from ml_janitor.aws.usage_types import between
from ml_janitor.core.cost import Cost
from ml_janitor.core.model import Confidence, Finding
from ml_janitor.core.signals import Absent, Unreadable, Value
from ml_janitor.detectors.cross_region_traffic import CrossRegionTraffic, Line
from past_jobs import word

GB = 1024**3
READER = Cause("model search is given s3://catalog/", Way.READS, "s3://catalog/")
OTHER = Cause("training job eval is given s3://clicks/", Way.READS, "s3://clicks/")
RULE = Cause(
    "replication rule all of catalog writes to copies", Way.REPLICATES, "replication rule all of catalog"
)
USED = Cause("replication rule all of clicks writes to far", Way.REPLICATES, "rule", "model search")
DENIED = Unreadable("ListObjectsV2: AccessDenied")


def line(*causes: Cause, **more: Any) -> Line:
    name = "USE1-EUC1-AWS-Out-Bytes/GetObject"
    target = target_at(f"usage-type/{name}", None, service="ce")
    fields: dict[str, Any] = {
        "target": target,
        "operation": "GetObject",
        "to": "eu-central-1",
        "monthly": Decimal(200),
        "gb": Decimal(10_000),
        "causes": Value(causes),
        "size": Value(1000 * GB) if causes and causes[0].way is Way.READS else Absent(),
        "copy": Cost(monthly_usd=Decimal("26.45")),
    }
    return Line(**(fields | more))


@pytest.mark.parametrize(
    ("judged", "verdict", "reason"),
    [
        (line(READER), "found", "$200 a month for bytes from us-east-1 to eu-central-1 (GetObject): model"),
        (line(READER, OTHER), "found", "model search is given s3://catalog/, training job eval is given"),
        (line(READER, monthly=Decimal("9.99")), "kept", "it costs $9.99 a month"),
        (line(), "unknown", "unknown cause: $200 a month for bytes from us-east-1 to eu-central-1"),
        (line(causes=Absent()), "unknown", "unknown cause: $200 a month"),
        (line(causes=Unreadable("Search: denied")), "unknown", "unknown cause: $200 a month"),
        (line(causes=Unreadable("Search: denied")), "unknown", "Search: denied"),
        (line(READER, gb=Decimal(1000)), "kept", "no more than the data once"),
        (line(READER, gb=Decimal(1001)), "found", "model search"),
        (line(READER, size=DENIED), "unknown", "AccessDenied"),
        (line(READER, copy=Cost(monthly_usd=Decimal(191))), "kept", "a copy would save $9.00"),
        (line(READER, copy=Cost(monthly_usd=Decimal(250))), "kept", "a copy would save $0.00"),
        (line(READER, copy=Cost()), "found", "how much of it a change saves is unknown"),
        (line(RULE), "found", "replication rule all of catalog writes to copies"),
        (line(USED), "kept", "replication rule all of clicks writes to far, and model search uses the copy"),
        (line(USED, RULE), "found", "how much of it a change saves is unknown"),
        (
            line(Cause("vpc-1 has a NAT gateway", Way.NAT, "vpc-1"), to="", operation="NatGateway"),
            "found",
            "$200 a month for bytes from us-east-1 through NAT gateways (NatGateway): vpc-1",
        ),
    ],
)
def test_cross_region_traffic(judged: Line, verdict: str, reason: str) -> None:
    decided = CrossRegionTraffic().decide(judged, NOW)

    assert (word(decided), reason in decided.reason) == (verdict, True), decided.reason


@pytest.mark.parametrize(
    ("judged", "saved", "once", "change"),
    [
        (line(READER), "173.55", 20, "copy s3://catalog/ once to a bucket in eu-central-1"),
        (line(READER, copy=Cost()), None, None, "copy s3://catalog/ once"),
        (line(RULE), "200", None, "disable the replication rule all of catalog, or limit it"),
        (line(USED, RULE), None, None, "disable the replication rule all of catalog, or limit it"),
        (
            line(Cause("job", Way.WRITES, "s3://far/")),
            None,
            None,
            "write to a bucket in us-east-1 in place of",
        ),
        (line(Cause("job", Way.IMAGES, "serving")), None, None, "name it by the registry of eu-central-1"),
        (
            line(Cause("vpc-1", Way.NAT, "vpc-1"), to=""),
            None,
            None,
            "--vpc-endpoint-type Gateway --service-name com.amazonaws.us-east-1.s3 --vpc-id vpc-1",
        ),
    ],
)
def test_it_says_what_a_change_saves_net_and_the_change(
    judged: Line, saved: str | None, once: int | None, change: str
) -> None:
    """A copy of 1000 GB is kept, and moved once at what the bill says of a gigabyte: $0.02."""
    decided = CrossRegionTraffic().decide(judged, NOW)

    assert isinstance(decided, Finding)
    assert decided.cost
    assert (decided.cost.monthly_usd, decided.cost.once_usd) == (saved and Decimal(saved), once)
    assert change in decided.action
    assert (decided.confidence, bool(decided.to_prove)) == (Confidence.LIKELY, True)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("s3://catalog/images/", ["s3://catalog/images/"]),
        ("s3a://catalog/day=1/part-*.parquet", ["s3://catalog/day=1/"]),
        ('{"from": "s3://catalog/a", "to": "s3://clicks/b"}', ["s3://catalog/a", "s3://clicks/b"]),
        ("https://catalog.s3.us-east-1.amazonaws.com/a/b.jpg", ["s3://catalog/a/b.jpg"]),
        ("arn:aws:s3:::catalog/a", ["s3://catalog/a"]),
        ("s3://catalog", ["s3://catalog/"]),
        (" catalog ", ["s3://catalog/"]),
        ("catalog of images", []),
        ("s3://catalog-2/images/", []),
        ("s3://my.catalog/images/", []),
        ("https://example.com/catalog", []),
    ],
)
def test_an_address_is_known_however_it_is_written(text: str, found: list[str]) -> None:
    assert list(addresses([text], {"catalog", "clicks"})) == found


@pytest.mark.parametrize(
    ("usage_type", "regions"),
    [
        ("USE1-EUC1-AWS-Out-Bytes", ("us-east-1", "eu-central-1")),
        ("EU-USW2-AWS-Out-ABytes", ("eu-west-1", "us-west-2")),
        ("USE1-XYZ9-AWS-Out-Bytes", ("us-east-1", "XYZ9")),
        ("EUC1-USE1-AWS-In-Bytes", None),
        ("USE1-DataTransfer-Out-Bytes", None),
        ("DataTransfer-Regional-Bytes", None),
    ],
)
def test_a_usage_type_says_where_bytes_go(usage_type: str, regions: tuple[str, str] | None) -> None:
    assert between(usage_type) == regions
