"""AWS's own opinion: the recommendations of Cost Optimization Hub, shown beside the findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from ml_janitor.aws.answers import error_text
from ml_janitor.aws.boto_client import ServiceName
from ml_janitor.core.model import Finding
from ml_janitor.core.results import Report, Result
from ml_janitor.core.signals import Evidence
from ml_janitor.core.text import escape_text, format_usd
from ml_janitor.engine.detector import allow

HUB_REGION = "us-east-1"
"""The only region of the hub's endpoint, which answers for all regions."""

HUB_SERVICE: ServiceName = "cost-optimization-hub"
LIST_RECOMMENDATIONS, LIST_SUMMARIES = (
    f"{HUB_SERVICE}:ListRecommendations",
    f"{HUB_SERVICE}:ListRecommendationSummaries",
)
HUB_READS = (allow(LIST_RECOMMENDATIONS), allow(LIST_SUMMARIES))

HUB_RESOURCE_TYPES = ("SageMakerEndpoint", "SageMakerSavingsPlans")
"""The hub's types for SageMaker: idle endpoints, which Compute Optimizer finds, and Savings Plans."""

HUB_NAME = "AWS's Cost Optimization Hub"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """AWS's recommendation for the resource *arn*, or *name* where it has none, at list price."""

    arn: str
    name: str
    action: str
    monthly_usd: Decimal
    source: str

    def __str__(self) -> str:
        return f"{self.action}, {format_usd(self.monthly_usd)} a month, says {self.source}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinions:
    """
    All opinions about an account, and their savings *together*, in which AWS counts overlaps once.

    *problem* is why they could not be read.
    """

    recommendations: tuple[Opinion, ...] = ()
    together: Decimal | None = None
    problem: str | None = None


def read_opinions(hub: Any, account: str) -> Opinions:
    """Read the *hub*'s recommendations for *account*. A refusal, or an account not enrolled, is a problem."""
    wanted: Any = {"accountIds": [account], "resourceTypes": list(HUB_RESOURCE_TYPES)}
    try:
        pages = hub.get_paginator("list_recommendations").paginate(filter=wanted)
        found = tuple(_opinion(item) for page in pages for item in page["items"])
        sums = hub.list_recommendation_summaries(filter=wanted, groupBy="ResourceType")
        return Opinions(recommendations=found, together=Decimal(str(sums["estimatedTotalDedupedSavings"])))
    except Exception as error:  # the report is worth as much without opinions
        return Opinions(problem=error_text(error))


def _opinion(item: Mapping[str, Any]) -> Opinion:
    return Opinion(
        arn=item.get("resourceArn", ""),  # a recommended Savings Plan has no ARN yet
        name=item.get("resourceArn") or item.get("resourceId") or item["currentResourceType"],
        action=item["actionType"],
        monthly_usd=Decimal(str(item["estimatedMonthlySavings"])),
        source=item["source"],
    )


def add_opinions(report: Report, read: Opinions) -> Report:
    """Add AWS's opinions to *report*: as evidence of findings on the same resource, else as notices."""
    by_arn = {opinion.arn.lower(): opinion for opinion in read.recommendations if opinion.arn}
    sweeps = [
        replace(sweep, results=tuple(_with(result, by_arn) for result in sweep.results))
        for sweep in report.sweeps
    ]
    if sweeps:
        found = {result.target.arn.lower() for result in report.findings}
        first = sweeps[0]
        sweeps[0] = replace(first, notices=(*first.notices, *_notices(read, found)))
    return replace(report, sweeps=tuple(sweeps))


def _with(result: Result, by_arn: Mapping[str, Opinion]) -> Result:
    opinion = by_arn.get(result.target.arn.lower())
    if opinion is None or not isinstance(result.verdict, Finding):
        return result
    seen = Evidence(HUB_NAME, str(opinion), source=LIST_RECOMMENDATIONS)
    return replace(result, verdict=replace(result.verdict, evidence=(*result.verdict.evidence, seen)))


def _notices(read: Opinions, found: set[str]) -> list[str]:
    """List opinions on resources without a finding, and all savings together; or why there are none."""
    if read.problem is not None:
        step = (
            f"enroll the account there and allow {LIST_RECOMMENDATIONS} and {LIST_SUMMARIES}, or "
            f"set plan.aws_opinions to false"
        )
        return [f"{HUB_NAME} could not be read ({read.problem}): {step}"]
    notices = [
        f"{HUB_NAME} recommends for {escape_text(opinion.name)}: {opinion}; nothing was found about it here"
        for opinion in read.recommendations
        if opinion.arn.lower() not in found
    ]
    if read.recommendations and read.together is not None:
        notices.append(
            f"{HUB_NAME} counts {format_usd(read.together)} a month for SageMaker together: in no sum here"
        )
    return notices
