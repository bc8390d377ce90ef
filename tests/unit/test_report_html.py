"""The HTML report without a browser: what a row holds, where links lead, and what the charts add up."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from fakes import target_at
from ml_janitor.core.cost import Cost
from ml_janitor.core.signals import Evidence
from ml_janitor.report.html_findings import entry, row
from reports import NOW, finding, result, standing

IDLE = replace(
    finding("nobody calls it", standing("0.5"), unread="AccessDenied"),
    evidence=(Evidence("requests", 0), Evidence("opened by", error="AccessDenied")),
)


def test_a_row_tells_all_of_a_finding() -> None:
    target = target_at("endpoint/fraud", NOW - timedelta(days=90), {"team": "risk", "environment": "prod"})
    idle = replace(result("idle-endpoints", "fraud", IDLE, owner="maria"), target=target, hours=0.5)
    found = row(3, idle, accounts=True)

    assert {key: str(value) if key in {"link", "became"} else value for key, value in found.items()} == {
        "number": 3,
        "detector": "idle-endpoints",
        "name": "fraud",
        "arn": "arn:aws:sagemaker:us-east-1:123456789012:endpoint/fraud",
        "link": "https://us-east-1.console.aws.amazon.com/sagemaker/home?region=us-east-1#/endpoints/fraud",
        "account": "123456789012",
        "place": "123456789012 us-east-1",
        "owner": "maria",
        "team": "risk",
        "confidence": "proven",
        "reason": "nobody calls it",
        "status": "dry run",
        "urgent": False,
        "became": "Would delete the endpoint (its configuration and models stay).",
        "since": "2026-08-26 03:00 UTC",
        "created": "2026-07-08 03:00 UTC",
        "cost": "$365 a month",
        "work": "30 minutes",
        "worth": 730.0,
        "instead": "",
        "usd": 365.0,
        "marks": ["environment: prod"],
        "evidence": [
            {"signal": "requests", "value": "0"},
            {"signal": "opened by", "value": "could not be read: AccessDenied"},
        ],
    }
    assert entry(found)["text"] == (
        "fraud idle-endpoints 123456789012 us-east-1 maria risk nobody calls it "
        "Would delete the endpoint (its configuration and models stay)."
    )


@pytest.mark.parametrize(
    ("cost", "numbers"),
    [
        (None, (-1.0, -1.0)),
        (standing(None), (-1.0, -1.0)),
        (Cost(monthly_usd=Decimal(0)), (0.0, 0.0)),
        (Cost(accrued_usd=Decimal(12)), (12.0, -1.0)),
        (Cost(accrued_usd=Decimal(12), hourly_usd=Decimal(1)), (12.0, 730.0)),
    ],
)
def test_an_unknown_price_sorts_below_every_known_one(
    cost: Cost | None, numbers: tuple[float, float]
) -> None:
    found = row(0, result("idle-endpoints", "a", replace(IDLE, cost=cost)))
    assert (found["usd"], found["worth"]) == numbers
