"""Gaps of a bill in words: the missing part, its cause and the remedy, one sentence per cause. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ml_janitor.bill.model import ACCOUNT, ZERO, Gap, GapCause, Reading
from ml_janitor.core.text import plain
from ml_janitor.report.bill import signed

PERMISSIONS = {
    Reading.SERVICES: "ce:GetCostAndUsage",
    Reading.ACCOUNTS: "ce:GetCostAndUsage",
    Reading.MOVED: "ce:GetCostAndUsage",
    Reading.TAG: "ce:GetCostAndUsage",
    Reading.RECORD_TYPES: "ce:GetCostAndUsage",
    Reading.FORECAST: "ce:GetCostForecast",
    Reading.SERVICE_NAMES: "ce:GetDimensionValues",
    Reading.ACTIVE_TAGS: "ce:ListCostAllocationTags",
}
WHAT = {
    Reading.SERVICES: "the bill",
    Reading.ACCOUNTS: "the bill by account",
    Reading.MOVED: "what moved in each account",
    Reading.RECORD_TYPES: "credits, refunds and taxes",
    Reading.FORECAST: "the forecast",
    Reading.SERVICE_NAMES: "the names of services",
    Reading.ACTIVE_TAGS: "which tags are active",
}

SEE_ALL = "Deploy the janitor in the management account."
OF_RESOURCES = {Reading.RESOURCES, Reading.REQUESTS}

NOT_ENABLED = (
    "Cost Explorer is not enabled in this account. Open it once in the console (Billing and Cost Management, "
    "Cost Explorer); its data is there about a day later."
)
MEMBER_ACCOUNT = (
    "this is a member account of an organization, and the management account does not let it see that. Ask "
    "for it there (Billing and Cost Management, Cost Management preferences), or run this in the management "
    "account"
)
ACTIVATE = (
    "aws ce update-cost-allocation-tags-status --cost-allocation-tags-status 'TagKey={key},Status=Active'"
)


def missing(gaps: Sequence[Gap], max_requests: int) -> Iterator[str]:
    """Write a sentence for each of *gaps*; *max_requests* is the limit that some did not fit into."""
    over = [gap for gap in gaps if gap.cause is GapCause.OVER_LIMIT]
    if over:
        what = ", ".join(_what(gap) for gap in over)
        limit = f"{max_requests} request{'s' * (max_requests != 1)}"
        yield f"Did not fit into {limit}: {what}. Raise max_requests in [bill]; each page costs $0.01."
    yield from dict.fromkeys(sentence(gap) for gap in gaps if gap.cause is not GapCause.OVER_LIMIT)


def _what(gap: Gap) -> str:
    if gap.reading is Reading.TAG:
        return f"the bill by {plain(gap.subject)}"
    return WHAT.get(gap.reading, gap.reading.value)


def sentence(gap: Gap) -> str:
    """Describe what *gap* leaves out, why, and what to do about it."""
    subject = plain(gap.subject)
    if (unseen := gap.reading is Reading.ACCOUNTS and bool(subject)) or gap.reading in OF_RESOURCES:
        return _accounts(gap) if unseen else _resources(gap, subject)
    match gap.cause:
        case GapCause.YOUNG_ACCOUNT if gap.reading is Reading.FORECAST:
            return "No forecast: AWS has too little history of this account to make one."
        case GapCause.TAG_NOT_ACTIVE | GapCause.TAG_NOT_USED | GapCause.NO_SUCH_TAG:
            return _tag(gap, subject)
        case GapCause.NO_SUCH_SERVICE:
            return (
                f"AWS charged nothing under the name {subject}, so it is missing here: services in [bill] "
                f"are spelled as Cost Explorer spells them. Those charged: {plain(gap.detail, 1000)}."
            )
        case GapCause.SHORT_HISTORY:
            return f"The account was first charged on {subject}: there is nothing before that."
    what = _what(gap)
    return f"{what[:1].upper()}{what[1:]} could not be read: {_why(gap)}"


def _tag(gap: Gap, key: str) -> str:
    match gap.cause:
        case GapCause.TAG_NOT_USED:
            return f"Nothing has the tag {key}, so that there is no bill by it."
        case GapCause.NO_SUCH_TAG:
            near = f"; the nearest that something has is {plain(gap.detail)}" if gap.detail else ""
            return f"Nothing has ever had the tag {key} of [bill]{near}."
    asked = gap.reading is Reading.ACTIVE_TAGS
    why = "it is not activated" if asked else "nothing is tagged with it, or it is not activated"
    return (
        f"No charge has the tag {key}: {why} for cost allocation. To activate it, in the management account: "
        f"{ACTIVATE.format(key=key)}. That takes about a day, and is not retroactive."
    )


def _accounts(gap: Gap) -> str:
    """Say that accounts are missing from the bill."""
    accounts = plain(gap.subject, 500)
    if gap.cause is GapCause.NOT_CHARGED:
        return (
            f"No charge is seen of {accounts}: AWS charged nothing there, or another management account pays."
        )
    return (
        f"This is not the whole bill: Cost Explorer shows account {plain(gap.detail)} no charge of "
        f"{accounts}. "
        f"A management account sees all accounts of its organization, a member itself alone. {SEE_ALL}"
    )


def _resources(gap: Gap, region: str) -> str:
    if gap.cause is GapCause.NOT_LOOKED_AT:
        moved = f"Nothing was looked at in {region}, where {signed(gap.usd or ZERO)} of the change is."
        if gap.detail == ACCOUNT:
            return moved
        return f"{moved} Add --region {region}, or add it to regions in [janitor]."
    where = f" in {region}" if region else ""
    if gap.reading is Reading.REQUESTS:
        called = f"How often endpoints{where} were called is not all known"
        return f"{called}, so what a request cost is not either: {plain(gap.detail)}."
    return f"What ran{where} is not all known, so less is explained: {plain(gap.detail)}."


def _why(gap: Gap) -> str:
    detail = f" ({plain(gap.detail)})" if gap.detail else ""
    match gap.cause:
        case GapCause.DENIED:
            return f"the credentials lack {PERMISSIONS[gap.reading]}{detail}."
        case GapCause.NOT_ENABLED:
            return NOT_ENABLED
        case GapCause.MEMBER_ACCOUNT:
            return f"{MEMBER_ACCOUNT}{detail}."
        case GapCause.YOUNG_ACCOUNT:
            return f"AWS has no data of those days yet{detail}."
        case GapCause.THROTTLED:
            return "AWS is asked too often at the moment. Try again in a minute."
    return f"{plain(gap.detail) or gap.cause.value}."
