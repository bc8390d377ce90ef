"""AWS's own opinion: what Cost Optimization Hub recommends, read beside what is found here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from ml_janitor.aws.answers import describe
from ml_janitor.aws.boto_client import ServiceName
from ml_janitor.core.model import Finding
from ml_janitor.core.results import Report, Result
from ml_janitor.core.signals import Evidence
from ml_janitor.core.text import plain, usd
from ml_janitor.engine.detector import allow

REGION = "us-east-1"
"""The hub has one endpoint, which answers for all regions."""

SERVICE: ServiceName = "cost-optimization-hub"
LIST, SUMMARIES = f"{SERVICE}:ListRecommendations", f"{SERVICE}:ListRecommendationSummaries"
READS = (allow(LIST), allow(SUMMARIES))

TYPES = ("SageMakerEndpoint", "SageMakerSavingsPlans")
"""All that it knows of SageMaker: idle endpoints, which Compute Optimizer finds, and Savings Plans."""

NAME = "AWS's Cost Optimization Hub"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """What AWS recommends for the resource *arn*, or *name* where it has none, at list price."""

    arn: str
    name: str
    action: str
    monthly_usd: Decimal
    source: str

    def __str__(self) -> str:
        return f"{self.action}, {usd(self.monthly_usd)} a month, says {self.source}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinions:
    """
    All of an account's, and what they save *together* as AWS counts overlapping ones once.

    *problem* is why they could not be read.
    """

    each: tuple[Opinion, ...] = ()
    together: Decimal | None = None
    problem: str | None = None


def opinions(hub: Any, account: str) -> Opinions:
    """What the *hub* recommends for *account*. A refusal, or an account not enrolled, is a problem."""
    wanted: Any = {"accountIds": [account], "resourceTypes": list(TYPES)}
    try:
        pages = hub.get_paginator("list_recommendations").paginate(filter=wanted)
        each = tuple(_opinion(one) for page in pages for one in page["items"])
        sums = hub.list_recommendation_summaries(filter=wanted, groupBy="ResourceType")
        return Opinions(each=each, together=Decimal(str(sums["estimatedTotalDedupedSavings"])))
    except Exception as error:  # the report is worth as much without it
        return Opinions(problem=describe(error))


def _opinion(one: Mapping[str, Any]) -> Opinion:
    return Opinion(
        arn=one.get("resourceArn", ""),  # a Savings Plan that is to be bought has none
        name=one.get("resourceArn") or one.get("resourceId") or one["currentResourceType"],
        action=one["actionType"],
        monthly_usd=Decimal(str(one["estimatedMonthlySavings"])),
        source=one["source"],
    )


def beside(report: Report, read: Opinions) -> Report:
    """*report* with AWS's opinion as evidence of the findings on the same resource, and else as a notice."""
    by_arn = {one.arn.lower(): one for one in read.each if one.arn}
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
    seen = Evidence(NAME, str(opinion), source=LIST)
    return replace(result, verdict=replace(result.verdict, evidence=(*result.verdict.evidence, seen)))


def _notices(read: Opinions, found: set[str]) -> list[str]:
    """What it says of resources that nothing was found about, and of all together; or why it says nothing."""
    if read.problem is not None:
        step = f"enroll the account there and allow {LIST} and {SUMMARIES}, or set plan.aws_opinions to false"
        return [f"{NAME} could not be read ({read.problem}): {step}"]
    notices = [
        f"{NAME} recommends for {plain(one.name)}: {one}; nothing was found about it here"
        for one in read.each
        if one.arn.lower() not in found
    ]
    if read.each and read.together is not None:
        notices.append(f"{NAME} counts {usd(read.together)} a month for SageMaker together: in no sum here")
    return notices
