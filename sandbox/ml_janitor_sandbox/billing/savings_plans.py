"""
Savings Plans: those that an account owns, the rates of those that it could buy, and Cost Explorer on both.

The rates are made up, one share of the list price for each type and term: AWS's differ by instance type. All
usage types of SageMaker's instances in the price list have one, and a few of EC2's; spot, clusters, volumes
and serverless inference do not. GetCostAndUsage knows no plans: what they cover is billed as if on demand.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from ml_janitor_sandbox import pricing
from ml_janitor_sandbox.billing import expressions, meters
from ml_janitor_sandbox.billing.charges import HOUR, SAGEMAKER, Charge, bill
from moto_corrections import clock, model, paging
from moto_corrections.patches import AwsError, Call, rejected

YEAR = 365 * 24 * 3600
SHARES = {
    ("SageMaker", YEAR): 0.8,
    ("SageMaker", 3 * YEAR): 0.64,
    ("Compute", YEAR): 0.73,
    ("Compute", 3 * YEAR): 0.5,
}
"""What an hour costs under a plan, as a share of the list price, with nothing paid in advance."""
UPFRONT = {"No Upfront": 1.0, "Partial Upfront": 0.96, "All Upfront": 0.93}
"""What is left of that, by how much is paid in advance."""
SERVICES = {"SageMaker": SAGEMAKER, "Compute": "Amazon Elastic Compute Cloud - Compute"}
BOXES = {"m5.xlarge": 0.192, "c5.2xlarge": 0.34, "g5.xlarge": 1.006}
"""Dollars an hour on demand of EC2's instances (Linux, us-east-1)."""
PAGE = 100


@cache
def _listed() -> tuple[tuple[str, str, str, str, float], ...]:
    """List what plans cover: type of plan, usage type, operation, region, and the list price of an hour."""
    return tuple(_covered_usage())


def _covered_usage() -> Iterator[tuple[str, str, str, str, float]]:
    for product in pricing.sagemaker_products():
        attributes = product["product"]["attributes"]
        if product["product"]["productFamily"] == "ML Instance" and "Cluster:" not in attributes["usagetype"]:
            (term,) = product["terms"]["OnDemand"].values()
            (dimension,) = term["priceDimensions"].values()
            price = float(dimension["pricePerUnit"]["USD"])
            yield "SageMaker", attributes["usagetype"], "RunInstance", attributes["regionCode"], price
    for name, price in BOXES.items():
        yield "Compute", f"BoxUsage:{name}", "RunInstances", "us-east-1", price


def describe_savings_plans(call: Call) -> dict[str, Any]:
    """List the plans that the account itself owns, without those that another account shares with it."""
    states = _valid(call, "states")
    found = [plan for plan in bill(call.account).plans if states is None or plan["state"] in states]
    return _page(call, "savingsPlans", found)


def describe_savings_plans_offering_rates(call: Call) -> dict[str, Any]:
    """List the rates of all offerings that pass the filters."""
    types, payments = _valid(call, "savingsPlanTypes"), _valid(call, "savingsPlanPaymentOptions")
    usages, operations = call.params.get("usageTypes"), call.params.get("operations")
    filters = {item["name"]: set(item["values"]) for item in call.params.get("filters") or ()}
    if unknown := set(filters) - {"region"}:
        raise NotImplementedError(f"filters by {', '.join(sorted(unknown))}")
    found = [
        {
            "savingsPlanOffering": {
                "offeringId": f"{number:08x}-0000-4000-8000-{int(UPFRONT[payment] * 100):012x}",
                "paymentOption": payment,
                "planType": plan,
                "durationSeconds": seconds,
                "currency": "USD",
                "planDescription": f"{seconds // YEAR} year {payment} {plan} Savings Plan",
            },
            "rate": f"{price * share * UPFRONT[payment]:.6f}",
            "unit": "Hrs",
            "productType": "SageMaker" if plan == "SageMaker" else "EC2",
            "serviceCode": "AmazonSageMaker" if plan == "SageMaker" else "AmazonEC2",
            "usageType": usage,
            "operation": operation,
            "properties": [{"name": "region", "value": region}],
        }
        for number, ((plan, seconds), share) in enumerate(SHARES.items(), start=1)
        for payment in UPFRONT
        if (types is None or plan in types) and (payments is None or payment in payments)
        for listed, usage, operation, region, price in _listed()
        if listed == plan
        and (usages is None or usage in usages)
        and (operations is None or operation in operations)
        and ("region" not in filters or region in filters["region"])
    ]
    return _page(call, "searchResults", found)


def _valid(call: Call, member: str) -> set[str] | None:
    """Return a list of the request, or None without it; refuse values that AWS does not know."""
    given = call.params.get(member)
    known: Any = model.inputs("savingsplans", call.operation)[member]
    if wrong := set(given or ()) - set(known.member.enum):
        raise rejected(
            f"1 validation error detected: Value '{', '.join(sorted(wrong))}' at '{member}' is not valid"
        )
    return None if given is None else set(given)


def _page(call: Call, member: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    size = paging.size_of(call, "maxResults", PAGE, 1000, rejected)
    page, more = paging.cut(call, found, size, invalid="ValidationException", member="nextToken")
    return {member: page, **more}


OPERATIONS = {
    "DescribeSavingsPlans": describe_savings_plans,
    "DescribeSavingsPlansOfferingRates": describe_savings_plans_offering_rates,
}


# --- what Cost Explorer says of them --------------------------------------------------------------


def coverage(call: Call, start: dt.datetime, end: dt.datetime) -> dict[str, Any]:
    """Return the share of the eligible usage that plans covered, by service if that is asked for."""
    asked = [grouping["Key"] for grouping in call.params.get("GroupBy") or ()]
    if set(asked) - {"INSTANCE_FAMILY", "REGION", "SERVICE"}:
        raise rejected(f"Group by {', '.join(asked)} is not supported")
    if asked and call.params.get("Granularity"):
        raise rejected("Granularity cannot be given together with GroupBy")
    if asked not in ([], ["SERVICE"]):
        raise NotImplementedError(f"coverage by {', '.join(asked)}")
    wanted = expressions.matching(bill(call.account), call.params.get("Filter"))
    used = {plan: _covered(call.account, plan, start, end, wanted) for plan in SERVICES}
    named = {SERVICES[plan]: amounts for plan, amounts in used.items() if sum(amounts)}
    rows = (
        named.items()
        if asked
        else [("", tuple(map(sum, zip(*named.values(), strict=True))))]
        if named
        else []
    )
    return {
        "SavingsPlansCoverages": [
            {
                "Attributes": {"SERVICE": name} if asked else {},
                "Coverage": {
                    "SpendCoveredBySavingsPlans": f"{covered:.10f}",
                    "OnDemandCost": f"{left:.10f}",
                    "TotalCost": f"{covered + left:.10f}",
                    "CoveragePercentage": f"{100 * covered / (covered + left):.10f}",
                },
                "TimePeriod": call.params["TimePeriod"],
            }
            for name, (covered, left) in rows
        ]
    }


def utilization(call: Call, start: dt.datetime, end: dt.datetime) -> dict[str, Any]:
    """Return the share of the owned commitment that was used; refuse an account that owns nothing."""
    if call.params.get("Filter") or call.params.get("Granularity"):
        raise NotImplementedError("utilization with a filter or by time")
    committed = {plan: _committed(call.account, plan) for plan in SERVICES}
    if not any(committed.values()):
        raise AwsError("DataUnavailableException", "The requested data is unavailable.")
    whole = sum(committed.values()) * ((end - start) / HOUR)
    used = sum(
        _covered(call.account, plan, start, end, lambda _: True)[0] * SHARES[plan, YEAR] for plan in SERVICES
    )
    return {
        "Total": {
            "Utilization": {
                "TotalCommitment": f"{whole:.10f}",
                "UsedCommitment": f"{used:.10f}",
                "UnusedCommitment": f"{whole - used:.10f}",
                "UtilizationPercentage": f"{100 * used / whole:.10f}",
            }
        }
    }


def _committed(account: str, plan: str) -> float:
    active = [owned for owned in bill(account).plans if owned["state"] == "active"]
    return sum(float(owned["commitment"]) for owned in active if owned["savingsPlanType"] == plan)


def _covered(
    account: str, plan: str, start: dt.datetime, end: dt.datetime, wanted: expressions.Matches
) -> tuple[float, float]:
    """Sum by hour the on-demand dollars that a type of plan covered, and the rest that it could cover."""
    eligible: Mapping[str, str] = {usage: listed for listed, usage, *_ in _listed()}
    charges: list[Charge] = [
        charge
        for charge in meters.charges(account)
        if eligible.get(charge.usage_type) == plan and wanted(charge)
    ]
    committed, covered, whole, now = _committed(account, plan), 0.0, 0.0, clock.now()
    used = [(charge, *charge.visible(now), float(charge.hourly * charge.price)) for charge in charges]
    while start < end:
        after = start + HOUR
        spent = sum(
            hourly
            if since <= start and after <= until
            else float(charge.quantity(start, after, now) * charge.price)
            for charge, since, until, hourly in used
            if since < after and start < until
        )
        covered += min(committed / SHARES[plan, YEAR], spent)
        whole += spent
        start += HOUR
    return covered, whole - covered
