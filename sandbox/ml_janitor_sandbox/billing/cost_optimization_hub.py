"""Cost Optimization Hub: lists the recommendations that a test puts in, for accounts that are enrolled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from moto_corrections import state
from moto_corrections.paging import cut
from moto_corrections.patches import AwsError, Call

PAGE = 2
"""Recommendations to a page: few, so that whoever reads only the first one is caught."""


@dataclass(slots=True)
class Hub:
    """One account's recommendations; not enrolled, as an account is at first, it may ask for nothing."""

    enrolled: bool = False
    deduped: float = 0.0
    items: list[dict[str, Any]] = field(default_factory=list)


def hub(account: str) -> Hub:
    """Return the Cost Optimization Hub of *account*."""
    return state.at(Hub, account, "")


def seed(account: str, items: list[dict[str, Any]], deduped: float) -> None:
    """Enroll *account*, for which *items* are recommended from then on."""
    own = hub(account)
    own.enrolled, own.deduped, own.items = True, float(deduped), list(items)


def _matching(call: Call) -> list[dict[str, Any]]:
    """
    List the recommendations that pass the filter of *call*.

    With what code AWS refuses an account that is not enrolled is in no document; nothing depends on it.
    """
    own = hub(call.account)
    if not own.enrolled:
        raise AwsError("AccessDeniedException", "The account is not enrolled in Cost Optimization Hub.")
    types = call.params.get("filter", {}).get("resourceTypes")
    return [item for item in own.items if types is None or item["currentResourceType"] in types]


def _list(call: Call) -> dict[str, Any]:
    page, more = cut(call, _matching(call), PAGE, invalid="ValidationException", member="nextToken")
    return {"items": page, **more}


def _summaries(call: Call) -> dict[str, Any]:
    _matching(call)
    return {"items": [], "groupBy": call.params["groupBy"], "currencyCode": "USD"} | {
        "estimatedTotalDedupedSavings": hub(call.account).deduped
    }


OPERATIONS = {"ListRecommendations": _list, "ListRecommendationSummaries": _summaries}
