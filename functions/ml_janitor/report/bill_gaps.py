"""Gaps of a bill in words: the missing part, its cause and the remedy, one sentence per cause. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ml_janitor.bill.model import ACCOUNT_TAG, ZERO, BillGap, BillReading, GapCause
from ml_janitor.core.text import escape_text
from ml_janitor.report.bill import signed_usd

GAP_PERMISSIONS = {
    BillReading.SERVICES: "ce:GetCostAndUsage",
    BillReading.ACCOUNTS: "ce:GetCostAndUsage",
    BillReading.MOVED: "ce:GetCostAndUsage",
    BillReading.TAG: "ce:GetCostAndUsage",
    BillReading.RECORD_TYPES: "ce:GetCostAndUsage",
    BillReading.FORECAST: "ce:GetCostForecast",
    BillReading.SERVICE_NAMES: "ce:GetDimensionValues",
    BillReading.ACTIVE_TAGS: "ce:ListCostAllocationTags",
}
GAP_SUBJECTS = {
    BillReading.SERVICES: "the bill",
    BillReading.ACCOUNTS: "the bill by account",
    BillReading.MOVED: "what moved in each account",
    BillReading.RECORD_TYPES: "credits, refunds and taxes",
    BillReading.FORECAST: "the forecast",
    BillReading.SERVICE_NAMES: "the names of services",
    BillReading.ACTIVE_TAGS: "which tags are active",
}

SEE_ALL_ADVICE = "Deploy the janitor in the management account."
RESOURCE_READINGS = {BillReading.RESOURCES, BillReading.REQUESTS}

NOT_ENABLED_TEXT = (
    "Cost Explorer is not enabled in this account. Open it once in the console (Billing and Cost Management, "
    "Cost Explorer); its data is there about a day later."
)
MEMBER_ACCOUNT_TEXT = (
    "this is a member account of an organization, and the management account does not let it see that. Ask "
    "for it there (Billing and Cost Management, Cost Management preferences), or run this in the management "
    "account"
)
ACTIVATE_COMMAND = (
    "aws ce update-cost-allocation-tags-status --cost-allocation-tags-status 'TagKey={key},Status=Active'"
)


def gap_sentences(gaps: Sequence[BillGap], max_requests: int) -> Iterator[str]:
    """Write a sentence for each of *gaps*; *max_requests* is the limit that some did not fit into."""
    over = [gap for gap in gaps if gap.cause is GapCause.OVER_LIMIT]
    if over:
        what = ", ".join(_what(gap) for gap in over)
        limit = f"{max_requests} request{'s' * (max_requests != 1)}"
        yield f"Did not fit into {limit}: {what}. Raise max_requests in [bill]; each page costs $0.01."
    yield from dict.fromkeys(gap_sentence(gap) for gap in gaps if gap.cause is not GapCause.OVER_LIMIT)


def _what(gap: BillGap) -> str:
    if gap.reading is BillReading.TAG:
        return f"the bill by {escape_text(gap.subject)}"
    return GAP_SUBJECTS.get(gap.reading, gap.reading.value)


def gap_sentence(gap: BillGap) -> str:
    """Describe what *gap* leaves out, why, and what to do about it."""
    subject = escape_text(gap.subject)
    if (unseen := gap.reading is BillReading.ACCOUNTS and bool(subject)) or gap.reading in RESOURCE_READINGS:
        return _accounts(gap) if unseen else _resources(gap, subject)
    match gap.cause:
        case GapCause.YOUNG_ACCOUNT if gap.reading is BillReading.FORECAST:
            return "No forecast: AWS has too little history of this account to make one."
        case GapCause.TAG_NOT_ACTIVE | GapCause.TAG_NOT_USED | GapCause.NO_SUCH_TAG:
            return _tag(gap, subject)
        case GapCause.NO_SUCH_SERVICE:
            return (
                f"AWS charged nothing under the name {subject}, so it is missing here: services in [bill] "
                f"are spelled as Cost Explorer spells them. Those charged: {escape_text(gap.detail, 1000)}."
            )
        case GapCause.SHORT_HISTORY:
            return f"The account was first charged on {subject}: there is nothing before that."
    what = _what(gap)
    return f"{what[:1].upper()}{what[1:]} could not be read: {_why(gap)}"


def _tag(gap: BillGap, key: str) -> str:
    match gap.cause:
        case GapCause.TAG_NOT_USED:
            return f"Nothing has the tag {key}, so that there is no bill by it."
        case GapCause.NO_SUCH_TAG:
            near = f"; the nearest that something has is {escape_text(gap.detail)}" if gap.detail else ""
            return f"Nothing has ever had the tag {key} of [bill]{near}."
    asked = gap.reading is BillReading.ACTIVE_TAGS
    why = "it is not activated" if asked else "nothing is tagged with it, or it is not activated"
    return (
        f"No charge has the tag {key}: {why} for cost allocation. To activate it, in the management account: "
        f"{ACTIVATE_COMMAND.format(key=key)}. That takes about a day, and is not retroactive."
    )


def _accounts(gap: BillGap) -> str:
    """Say that accounts are missing from the bill."""
    accounts = escape_text(gap.subject, 500)
    if gap.cause is GapCause.NOT_CHARGED:
        return (
            f"No charge is seen of {accounts}: AWS charged nothing there, or another management account pays."
        )
    return (
        f"This is not the whole bill: Cost Explorer shows account {escape_text(gap.detail)} no charge of "
        f"{accounts}. "
        f"A management account sees all accounts of its organization, a member itself alone. {SEE_ALL_ADVICE}"
    )


def _resources(gap: BillGap, region: str) -> str:
    if gap.cause is GapCause.NOT_LOOKED_AT:
        moved = f"Nothing was looked at in {region}, where {signed_usd(gap.usd or ZERO)} of the change is."
        if gap.detail == ACCOUNT_TAG:
            return moved
        return f"{moved} Add --region {region}, or add it to regions in [janitor]."
    where = f" in {region}" if region else ""
    if gap.reading is BillReading.REQUESTS:
        called = f"How often endpoints{where} were called is not all known"
        return f"{called}, so what a request cost is not either: {escape_text(gap.detail)}."
    return f"What ran{where} is not all known, so less is explained: {escape_text(gap.detail)}."


def _why(gap: BillGap) -> str:
    detail = f" ({escape_text(gap.detail)})" if gap.detail else ""
    match gap.cause:
        case GapCause.DENIED:
            return f"the credentials lack {GAP_PERMISSIONS[gap.reading]}{detail}."
        case GapCause.NOT_ENABLED:
            return NOT_ENABLED_TEXT
        case GapCause.MEMBER_ACCOUNT:
            return f"{MEMBER_ACCOUNT_TEXT}{detail}."
        case GapCause.YOUNG_ACCOUNT:
            return f"AWS has no data of those days yet{detail}."
        case GapCause.THROTTLED:
            return "AWS is asked too often at the moment. Try again in a minute."
    return f"{escape_text(gap.detail) or gap.cause.value}."
