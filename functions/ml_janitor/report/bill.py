"""The bill in words: charges, why they moved, untagged costs, forecast, gaps, and costs per unit. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal

from ml_janitor.aws.runs import UNKNOWN_REGION
from ml_janitor.bill.model import (
    ACCOUNT_TAG,
    OTHER_ACCOUNTS,
    ZERO,
    Bill,
    BillGap,
    BillReading,
    ComparisonKind,
    CostMetric,
    Culprit,
    DaySpan,
    GapCause,
    Movement,
    Mover,
    MoverCause,
    Phase,
    SpanComparison,
    break_down,
)
from ml_janitor.bill.reading import account_title
from ml_janitor.bill.report import (
    BY_PHASE,
    BillLine,
    BillReport,
    BudgetState,
    UnitCost,
    UnitNote,
    expected_spend,
    has_table,
    sum_lines,
)
from ml_janitor.core.durations import DAY
from ml_janitor.core.text import (
    amounts_in,
    count_noun,
    currency_sign,
    escape_text,
    format_time,
    format_usd,
    quote_shell,
)
from ml_janitor.report.blocks import (
    DocumentBlock,
    FigureBlock,
    HeadingBlock,
    NoteBlock,
    Rank,
    RowBlock,
    TableBlock,
)

MOST_MOVERS = 8
UNEXPLAINED_SHOWN = 2
WASTE_WORDS = {"hung-training-jobs": "hung"}
"""Adjectives for the findings of a detector; idle where the detector is not listed here."""

METRIC_WORDS = {
    CostMetric.UNBLENDED: "as charged (unblended)",
    CostMetric.AMORTIZED: "commitments spread over their days (amortized)",
}


# --- amounts and days -------------------------------------------------------------------------


def signed_usd(amount: Decimal) -> str:
    """Format a change in dollars, with its sign."""
    return f"+{format_usd(amount)}" if amount > 0 else format_usd(amount)


def percent_text(share: Decimal | None, *, sign: bool = False) -> str:
    """Format a share as whole percent, below 10 with a digit: "40 %", "2.5 %"; empty for None."""
    if share is None:
        return ""
    places = Decimal(1) if abs(share) >= Decimal("0.1") else Decimal("0.1")
    rounded = (share * 100).quantize(places, ROUND_HALF_UP)
    return f"{'+' if sign and rounded > 0 else ''}{rounded} %"


def short_day(at: date | datetime, until: date) -> str:
    """Format a day, without its year if that is the year of *until*."""
    at = at.date() if isinstance(at, datetime) else at
    return f"{at:%m-%d}" if at.year == until.year else at.isoformat()


def bill_scope(bill: Bill) -> str:
    """Name the account of *bill*, or how many accounts it covers: no more than Cost Explorer shows."""
    if bill.accounts is None:
        return f"account {escape_text(bill.account)}"
    seen = bill.seen
    if len(seen) == 1:
        return f"account {escape_text(account_title(seen[0], bill.accounts), 80)} alone"
    return count_noun(len(seen), "account") if seen else "the organization"


def span_text(span: DaySpan) -> str:
    """Format a span with its first and last day: "2026-09-06 to 2026-10-05"."""
    return f"{span.first}" if span.days == 1 else f"{span.first} to {span.last}"


def reading_price(report: BillReport) -> str:
    """Say what the requests to Cost Explorer cost."""
    requests = report.bill.requests
    return f"{requests} request{'s' * (requests != 1)} to Cost Explorer, ${report.bill.read_usd:.2f}"


# --- movement -------------------------------------------------------------------------------------


def change_text(movement: Movement) -> str:
    """Format a change with its share: "+$22,871 (+40 %)"."""
    share = percent_text(movement.share, sign=True)
    return f"{signed_usd(movement.change)}{f' ({share})' if share else ''}"


def movement_asides(movement: Movement) -> Iterator[NoteBlock]:
    """Yield movements beside the total: tags, and credits that ended."""
    for mover in movement.movers:
        if mover.cause is MoverCause.TAG:
            yield NoteBlock(Rank.FULL, f"{mover_line(mover, movement)}.")
    if movement.ended_credits:
        ended = format_usd(movement.ended_credits)
        yield NoteBlock(Rank.FULL, f"Also, credits of {ended} ended. No total here includes credits.")


def mover_line(moved: Mover, movement: Movement) -> str:
    """Describe one mover in a line: its dollars, the resource, the reason, and the owner."""
    what, why, owner = mover_parts(moved, movement)
    amount = format_usd(moved.usd) if moved.cause is MoverCause.TAG else signed_usd(moved.usd)
    return f"{amount} {', '.join(part for part in (what, why, owner) if part)}"


def mover_parts(mover: Mover, movement: Movement) -> tuple[str, str, str]:
    """Return the resource of a mover, why it moved, and its owner; "" where one is missing."""
    owner = escape_text(mover.owner or "").partition("@")[0]
    match mover.cause:
        case MoverCause.PRICE:
            why = ", ".join(filter(None, [_price(mover), _since(mover, movement)]))
            return f"price of {escape_text(mover.part.usage_type)}", why, owner
        case MoverCause.TAG:
            values = [_value(movement.tag, value) for value in (mover.tag_before, mover.part.tag)]
            of = (
                f"of {_named(mover.culprit)}" if mover.culprit else f"of {escape_text(mover.part.usage_type)}"
            )
            if mover.culprit and mover.culprit.members > 1:
                largest = _named(replace(mover.culprit, members=1))
                of = f"of {count_noun(mover.culprit.members, 'resource')} (the largest: {largest})"
            return f"{of} moved from {values[0]} to {values[1]}", "which changes no total", owner
        case MoverCause.USAGE | MoverCause.UNEXPLAINED:
            usage_type, phase = escape_text(mover.part.usage_type), mover.part.phase
            kind = escape_text(mover.part.service, 80) if phase is Phase.OTHER else phase.value
            why = ", ".join(filter(None, [_units_moved(mover), _since(mover, movement)]))
            if mover.cause is MoverCause.UNEXPLAINED:
                why = "not explained"
            return f"{kind} {usage_type}".strip() + _of_tag(movement.tag, mover.part.tag), why, owner
    if mover.culprit is None:
        return escape_text(mover.part.usage_type), "", owner
    if not mover.culprit.name:
        kind = mover.culprit.kind.replace("-", " ")
        what = f"{mover.culprit.members} {kind}s on {escape_text(mover.part.usage_type)}"
        return f"{what}{_of_tag(movement.tag, mover.part.tag)}", _units_moved(mover), owner
    where = f" in account {escape_text(mover.culprit.account)}" if movement.tag == ACCOUNT_TAG else ""
    return f"{_named(mover.culprit)}{where}", _because(mover, mover.culprit, movement), owner


def _named(culprit: Culprit) -> str:
    kind = culprit.kind.replace("-", " ")
    kind = "Studio app" if culprit.kind == "app" else kind
    name = escape_text(culprit.name, 120)
    return f"{culprit.members} {kind}s {name}" if culprit.members > 1 else f"{kind} {name}"


def _because(mover: Mover, culprit: Culprit, movement: Movement) -> str:
    until = movement.comparison.after.until
    if mover.cause is MoverCause.FINDING:
        waste = WASTE_WORDS.get(culprit.detector, "idle")
        since = f" since {short_day(culprit.since, until)}" if culprit.since else ""
        if culprit.acted:
            return f"{waste}{since}, {_ended(culprit, until)}"
        now = culprit.usd_until_now
        return f"{waste}{since}{f' ({format_usd(now)} until now)' if now else ''}"
    if mover.cause is MoverCause.ENDED:
        return _ended(culprit, until)
    new = _new_since(culprit, movement.comparison)
    if new is not None:
        word = "ran first" if culprit.kind.endswith("-job") else "new since"
        return f"{word} {short_day(new, until)}{', in use' if culprit.used else ''}"
    moved = filter(None, [_units_moved(mover), _since(mover, movement), "in use" if culprit.used else ""])
    return ", ".join(moved)


def _ended(culprit: Culprit, until: date) -> str:
    ended = f"ended {short_day(culprit.ended, until)}" if culprit.ended else "ended"
    return f"{ended} by the janitor" if culprit.acted else ended


def _new_since(culprit: Culprit, comparison: SpanComparison) -> date | None:
    """Return the creation day, if it is after the beginning of the compared days."""
    if culprit.since is None or culprit.since.date() <= comparison.before.first:
        return None
    return culprit.since.date()


def _since(mover: Mover, movement: Movement) -> str:
    """Say from which day on the line of a mover costs more or less; "" if it moved no more than usual."""
    comparison = movement.comparison
    if mover.part.since is None or mover.ordinary or comparison.kind is ComparisonKind.DAY:
        return ""
    return f"since {short_day(mover.part.since, comparison.after.until)}"


def _units_moved(mover: Mover) -> str:
    """Say how much more or less was used: "1,024 instance-hours, 384 before"; "" if that is unknown."""
    if not mover.units_before and not mover.units_after:
        return ""
    unit = "instance-hours" if mover.part.unit == "Hrs" else escape_text(mover.part.unit)
    if not mover.units_before:
        return f"{mover.units_after:,.0f} {unit}, none before"
    return f"{mover.units_after:,.0f} {unit}, {mover.units_before:,.0f} before"


def _price(mover: Mover) -> str:
    """Say by how much a price rose: how much more the same usage cost than at the price before."""
    at_old_price = mover.part.usd_after - mover.part.price_effect
    share = mover.part.price_effect / at_old_price if at_old_price else None
    return f"{percent_text(share, sign=True)} for the same use" if share is not None else "changed"


def _value(tag: str, value: str | None) -> str:
    if (tag, value) == (ACCOUNT_TAG, OTHER_ACCOUNTS):
        return "other accounts"
    return f"{escape_text(tag)} {escape_text(value)}" if value else f"no {escape_text(tag)}"


def _of_tag(tag: str, value: str | None) -> str:
    return f" of {_value(tag, value)}" if value is not None else ""


# --- headline, shares and forecast ----------------------------------------------------------------


def bill_headline(report: BillReport) -> str:
    """Summarize the bill in one sentence."""
    if not report.bill.charges:
        unread = any(gap.reading in {BillReading.SERVICES, BillReading.ACCOUNTS} for gap in report.bill.gaps)
        return "The bill could not be read." if unread else "AWS charged nothing."
    total = format_usd(report.bill.total(report.span))
    if report.main is None:
        return f"{total} in {count_noun(report.span.days, 'day')}; nothing to compare them with."
    return f"{total} in {_days(report.main)}: {change_text(report.main)}."


def spent_in_span(report: BillReport) -> tuple[Decimal, int]:
    """
    Return the dollars of the bill's span and its days.

    Both are 0 where the bill has no charges, or is in another currency than the findings.
    """
    if not report.bill.charges or report.bill.currency != "USD":
        return Decimal(0), 0
    return report.bill.total(report.span), report.span.days


def _days(movement: Movement) -> str:
    comparison = movement.comparison
    match comparison.kind:
        case ComparisonKind.DAY:
            return f"{comparison.after.first}"
        case ComparisonKind.MONTH_TO_DATE:
            return "the month to date"
    return count_noun(comparison.after.days, "day") if comparison.after.days > 1 else "a day"


def comparison_text(movement: Movement) -> str:
    """Say which days are compared with which."""
    comparison = movement.comparison
    return f"{span_text(comparison.after)}, compared with {span_text(comparison.before)}"


def forecast_text(report: BillReport) -> str | None:
    """
    Forecast the month's cost, including charges so far; None where a gap says why.

    The dollars spent include days that AWS may still change; the month's figure does not. Both name their
    last day.
    """
    found = report.bill.forecast
    if found is None:
        return None
    month = DaySpan(found.first.replace(day=1), found.first.day - 1)
    spent = report.bill.total(month)
    base = expected_spend(report.bill.charges, month, report.span.until)
    low, high = (format_usd(base + amount) for amount in (found.low, found.high))
    return (
        f"{found.first:%B} will come to {format_usd(base + found.usd)} ({low} to {high} in 80 % of cases), "
        f"of which {format_usd(spent)} is spent by {month.last:%m-%d}"
    )


def savings_text(report: BillReport) -> str | None:
    """Say what the janitor's own actions saved; None if nothing."""
    if not report.saved and not report.saved_this_month:
        return None
    total = sum(report.saved.values(), Decimal(0))
    first = min(report.saved, default=report.span.first)
    return f"{format_usd(report.saved_this_month)} this month, {format_usd(total)} since {first}"


# --- gaps -----------------------------------------------------------------------------------------
# A sentence for each cause names the missing part, the cause and the remedy.

GAP_PERMISSIONS = {
    BillReading.SERVICES: "ce:GetCostAndUsage",
    BillReading.ACCOUNTS: "ce:GetCostAndUsage",
    BillReading.MOVED: "ce:GetCostAndUsage",
    BillReading.TAG: "ce:GetCostAndUsage",
    BillReading.RECORD_TYPES: "ce:GetCostAndUsage",
    BillReading.FORECAST: "ce:GetCostForecast",
    BillReading.MONTHS: "ce:GetCostAndUsage",
    BillReading.SERVICE_NAMES: "ce:GetDimensionValues",
    BillReading.ACTIVE_TAGS: "ce:ListCostAllocationTags",
    BillReading.ACTIONS: "kms:VerifyMac",
}
GAP_SUBJECTS = {
    BillReading.SERVICES: "the bill",
    BillReading.ACCOUNTS: "the bill by account",
    BillReading.MOVED: "what moved in each account",
    BillReading.RECORD_TYPES: "credits, refunds and taxes",
    BillReading.FORECAST: "the forecast",
    BillReading.MONTHS: "the months before",
    BillReading.SERVICE_NAMES: "the names of services",
    BillReading.ACTIVE_TAGS: "which tags are active",
    BillReading.ACTIONS: "what the janitor ended",
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
ACTIVATE_COMMAND = "aws ce update-cost-allocation-tags-status --cost-allocation-tags-status {}"


def gap_sentences(gaps: Sequence[BillGap], max_requests: int) -> Iterator[str]:
    """Write a sentence for each of *gaps*; *max_requests* is the limit that some did not fit into."""
    over = [gap for gap in gaps if gap.cause is GapCause.OVER_LIMIT]
    if over:
        what = ", ".join(_what(gap) for gap in over)
        limit = f"{max_requests} request{'s' * (max_requests != 1)}"
        yield f"Skipped to stay within {limit}: {what}. Raise max_requests in [bill]; each page costs $0.01."
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
        f"{ACTIVATE_COMMAND.format(quote_shell(f'TagKey={key},Status=Active'))}. That takes about a day, and "
        "is not retroactive."
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
        usd = signed_usd(gap.usd or ZERO)
        if gap.subject == UNKNOWN_REGION:
            unknown = "is in a region that this version does not know. Upgrade the janitor."
            return f"Part of the change ({usd}) {unknown}"
        moved = f"Nothing was looked at in {region}, where {usd} of the change is."
        if gap.detail == ACCOUNT_TAG:
            return moved
        return f"{moved} Add --region {region}, or add it to regions in [janitor]."
    where = f" in {region}" if region else ""
    if gap.reading is BillReading.REQUESTS:
        called = f"Some calls of endpoints{where} are not known"
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


# --- costs per unit -------------------------------------------------------------------------------

UNIT_NOUNS = {"endpoint": "more endpoint", "model": "more model", "family": "more family of jobs"}
UNIT_NOTES = {
    UnitNote.COMPONENTS: "its inference components share it",
    UnitNote.MANY_MODELS: "multi-model: its models share it",
}


def unit_rows(costs: Sequence[UnitCost], most: int) -> Iterator[tuple[str, str, str, str]]:
    """
    Yield the dearest *most* of each kind, and the number of others; families have the other jobs.

    A row has the resource, its dollars, its units, and the price of each. A model that alone serves one
    endpoint, and has the same dollars and requests, is not repeated.
    """
    endpoints = {(cost.usd, cost.units) for cost in costs if cost.kind == "endpoint"}
    several = len({cost.account for cost in costs}) > 1
    shown = [cost for cost in costs if cost.kind != "model" or (cost.usd, cost.units) not in endpoints]
    for kind in dict.fromkeys(cost.kind for cost in shown):
        own = [cost for cost in shown if cost.kind == kind]
        yield from (_unit_row(cost, several=several) for cost in own[:most])
        if kind in UNIT_NOUNS and (more := own[most:]):
            dollars = format_usd(sum((cost.usd for cost in more), ZERO))
            yield count_noun(len(more), UNIT_NOUNS[kind]), dollars, "", ""


def _unit_row(cost: UnitCost, *, several: bool) -> tuple[str, str, str, str]:
    kind = cost.resource.replace("-", " ") or cost.kind
    notes = "".join(f" ({UNIT_NOTES[note]})" for note in cost.notes)
    where = f" in account {escape_text(cost.account)}" if several else ""
    what = f"{kind}{'s' if cost.kind == 'family' else ''} {escape_text(cost.name, 120)}{where}{notes}"
    if cost.per_unit is None:
        each = ""
    elif cost.unit == "requests":
        each = f"{unit_price(cost.per_unit)} per 1,000"
    else:
        each = f"{unit_price(cost.per_unit)} each" if cost.kind == "family" else ""
    if each and cost.before is not None:
        each += f", {unit_price(cost.before)} before"
    return what, format_usd(cost.usd), _units_of_cost(cost), each


def _units_of_cost(cost: UnitCost) -> str:
    if cost.units is None:
        return f"{cost.unit} unknown"
    if cost.unit == "jobs":
        return count_noun(cost.units, "job") if cost.kind == "family" else ""
    return f"{cost.units:,} request{'s' * (cost.units != 1)}" if cost.units else "no request"


def unit_price(amount: Decimal) -> str:
    """Format the dollars for one unit: with two significant digits where cents would hide the amount."""
    if amount >= Decimal("0.1"):
        return format_usd(amount)
    sign = currency_sign()
    return (
        f"{sign}{amount:.{1 - amount.adjusted()}f}" if amount >= Decimal("0.000001") else f"<{sign}0.000001"
    )


# --- next step, month and budgets -----------------------------------------------------------------


def next_step(mover: Mover) -> str:
    """Say whom to ask about a rise, or what to run."""
    owner = escape_text(mover.owner or "").partition("@")[0]
    arn = mover.culprit.arn if mover.culprit else ""
    match mover.cause:
        case MoverCause.FINDING if mover.culprit and mover.culprit.acted:
            return "none: the janitor has ended it."
        case MoverCause.FINDING:
            ask = f"ask {owner} to end it. " if owner else "find its owner, or end it. "
            return f"{ask}For the evidence: janitor explain {quote_shell(arn)}"
        case MoverCause.PRICE:
            return "check whether a commitment, a free tier or a discount ended."
        case MoverCause.USAGE if owner:
            return f"ask {owner} what uses more of it."
        case MoverCause.USAGE | MoverCause.UNEXPLAINED:
            return "open Cost Explorer for this usage type. No known resource accounts for it."
    return f"ask {owner} whether it is needed." if owner else "find its owner, and tag it with that."


def report_month(report: BillReport) -> DaySpan:
    """Return the settled days of the newest month that has any."""
    first = (report.span.until - DAY).replace(day=1)
    return DaySpan(first, (report.span.until - first).days)


def _day_range(span: DaySpan) -> str:
    return f"{span.first:%m-%d} to {span.last:%m-%d}"


def _against(movement: Movement, before: str) -> str:
    if not round(movement.change, 2):
        return f"as on {before}"
    return f"{change_text(movement)} against {before}"


def _budget(state: BudgetState) -> str:
    share = percent_text(state.spent / state.usd)
    text = f"{format_usd(state.spent)} of {format_usd(state.usd)} spent ({share})"
    if state.spent > state.usd:
        text += f": {format_usd(state.spent - state.usd)} over"
    if state.expected is None:
        return f"{text}; AWS has no forecast"
    over = state.expected - state.usd
    verdict = f", {format_usd(over)} over" if over > 0 and state.spent <= state.usd else ""
    return f"{text}; {format_usd(state.expected)} expected{verdict}"


# --- the document ---------------------------------------------------------------------------------

TABLE_ROWS_SHOWN, UNIT_ROWS_SHOWN, ACCOUNTS_SHOWN, NEWS_SHOWN = 15, 5, 5, 3
LASTING_CAUSES = {
    *(GapCause.OVER_LIMIT, GapCause.TAG_NOT_ACTIVE, GapCause.SHORT_HISTORY),
    *(GapCause.YOUNG_ACCOUNT, GapCause.NOT_CHARGED),
}
"""Causes that stay from day to day: of the messages, only the weekly one names them."""


def lay_out_bill(report: BillReport, *, by: str = BY_PHASE, max_requests: int) -> HeadingBlock:
    """
    Lay the bill out for all displays, with a table *by* something among others.

    The first lines say what the bill came to, the largest cause with its owner, and what to do about it.
    """
    with amounts_in(report.bill.currency):
        return _document(report, by, max_requests)


def _document(report: BillReport, by: str, max_requests: int) -> HeadingBlock:
    blocks, least = list[DocumentBlock](), Rank.FIRST
    if report.bill.charges:
        blocks, least = (
            [*_lead(report), *_figures(report), *_movements(report), *_tables(report, by)],
            Rank.MESSAGE,
        )
        for name, amount in report.bill.outside(report.span).items():
            blocks.append(
                FigureBlock(Rank.FULL, f"{escape_text(name)}, not counted here", format_usd(amount))
            )
        blocks.append(FigureBlock(Rank.FULL, "Cost of this reading", reading_price(report)))
    if gaps := tuple(_gap_notes(report.bill.gaps, max_requests, least)):
        blocks += [HeadingBlock(gaps[0].rank, "Missing data", "", gaps)] if report.bill.charges else gaps
    return HeadingBlock(
        Rank.FIRST, f"Bill of {bill_scope(report.bill)}", bill_headline(report), tuple(blocks)
    )


def _movements_named(report: BillReport) -> list[tuple[str, Movement]]:
    """Return the movements, the longest first, each with words for its days."""
    day = report.yesterday.comparison.after.first if report.yesterday else report.span.last
    days = f"in {count_noun(report.span.days, 'day')}", "this month", f"on {day:%A} {day:%m-%d}"
    moved = zip(days, (report.main, report.month, report.yesterday), strict=True)
    return [(when, movement) for when, movement in moved if movement is not None]


def _lead(report: BillReport) -> Iterator[NoteBlock]:
    """Name the largest cause, the next step of a rise, and the days; uncompared, the largest lines."""
    moved = _movements_named(report)
    told = [
        (_first_cause(news, movement), when, movement)
        for when, movement in moved
        if (news := mover_news(movement))
    ]
    if told:
        cause, when, movement = max(told, key=lambda named: abs(named[0].usd))
        named = "Largest cause" if movement is report.main else f"Largest cause {when}"
        yield NoteBlock(Rank.FIRST, f"{named}: {mover_line(cause, movement)}.")
        if cause.usd > 0:
            yield NoteBlock(Rank.FIRST, f"Next step: {next_step(cause)}")
    elif moved:
        days = "" if report.main else f" {moved[0][0]}"
        yield NoteBlock(Rank.FIRST, f"Nothing moved more than usual{days}.")
        if report.main and report.main.largest:
            parts = "; ".join(mover_line(mover, report.main) for mover in report.main.largest)
            yield NoteBlock(Rank.FIRST, f"Largest parts: {parts}.")
    if not report.main and report.table(BY_PHASE):
        largest = (f"{line.name} {format_usd(line.usd)}" for line in report.table(BY_PHASE)[:NEWS_SHOWN])
        yield NoteBlock(Rank.FIRST, f"Largest: {', '.join(largest)}.")
    compared = comparison_text(report.main) if report.main else span_text(report.span)
    young = ", ".join(f"{day:%m-%d}" for day in report.unsettled)
    unsettled = f"; without {young}, which AWS may still change" if young else ""
    read = f"{METRIC_WORDS[report.bill.metric]}. Read {format_time(report.bill.time)}."
    yield NoteBlock(Rank.FULL, f"{compared}{unsettled}; {read}")


def _first_cause(news: Sequence[Mover], movement: Movement) -> Mover:
    """Return the largest of *news* that goes with the change, or else the largest."""
    return max(news, key=lambda mover: (mover.usd * movement.change > 0, abs(mover.usd)))


def _figures(report: BillReport) -> Iterator[FigureBlock]:
    """Yield the last settled day, the month to date, budgets, shares without a tag, forecast and savings."""
    month = report_month(report)
    if report.yesterday is not None:
        compared = report.yesterday.comparison
        day, against = compared.after.first, _against(report.yesterday, f"{compared.before.first:%m-%d}")
        yield FigureBlock(
            Rank.MESSAGE, f"{day:%A} {day:%m-%d}", f"{format_usd(report.yesterday.usd_after)}, {against}"
        )
    text = format_usd(report.bill.total(month))
    if report.month is not None:
        compared = report.month.comparison
        moved = _against(report.month, _day_range(compared.before))
        shorter = compared.after.days < month.days  # the month before has fewer days
        text += f" ({_day_range(compared.after)}: {moved})" if shorter else f", {moved}"
    over = month.until.day == 1
    yield FigureBlock(Rank.MESSAGE, f"{month.last:%B}{'' if over else f' to {month.last:%m-%d}'}", text)
    for state in report.budgets:
        part = f", {escape_text(state.tag)} {escape_text(state.value)}" if state.tag else ""
        last = report.bill.until - DAY
        yield FigureBlock(Rank.MESSAGE, f"Budget of {last:%B}{part}", _budget(state))
    for number, share in enumerate(report.shares):
        if share.untagged or share.untagged_before:
            before = f", {percent_text(share.share_before)} before" if share.total_before else ""
            text = f"{format_usd(share.untagged)} ({percent_text(share.share)}{before})"
            yield FigureBlock(
                Rank.FULL if number else Rank.MESSAGE, f"Without {escape_text(share.tag)}", text
            )
    for label, words in (("Forecast", forecast_text(report)), ("Saved so far", savings_text(report))):
        if words:
            yield FigureBlock(Rank.FULL, label, words)


def _movements(report: BillReport) -> Iterator[HeadingBlock]:
    """Explain the longest movement in whole, and of the others the news that are not named before."""
    named: set[object] = set()
    for number, (when, movement) in enumerate(_movements_named(report)):
        news = [mover for mover in mover_news(movement) if _mover_key(mover) not in named]
        news = news[: 1 if movement is report.yesterday else NEWS_SHOWN]
        named |= {_mover_key(mover) for mover in news}
        title, summary, asides = f"Also {when}", "", list[NoteBlock]()
        rows = tuple(_mover_row(mover, movement, Rank.MESSAGE) for mover in news)
        if not number:
            title, asides, rows = (
                f"Why it moved {when}",
                list(movement_asides(movement)),
                tuple(mover_rows(movement)),
            )
            spent = f"{format_usd(movement.usd_before)} to {format_usd(movement.usd_after)}"
            summary = f"{spent}, {change_text(movement)}"
        tables = [TableBlock(min(row.rank for row in rows), (), rows)] if rows else []
        blocks: tuple[DocumentBlock, ...] = (*tables, *asides)
        if blocks:
            yield HeadingBlock(blocks[0].rank, title, summary, blocks)


def mover_news(movement: Movement) -> list[Mover]:
    """Return the movers that are not ordinary and change the total, the largest first."""
    return [mover for mover in movement.news if mover.cause is not MoverCause.TAG]


def _told_movers(movement: Movement) -> list[Mover]:
    """Return the news of a movement, and the largest parts of a total that moved much."""
    told = {id(mover) for mover in (*mover_news(movement), *movement.largest)}
    return [mover for mover in movement.movers if id(mover) in told]


def _mover_key(mover: Mover) -> object:
    return mover.culprit.name if mover.culprit else (mover.cause, mover.part.usage_type, mover.part.tag)


def _mover_row(mover: Mover, movement: Movement, rank: Rank) -> RowBlock:
    return RowBlock(rank, (signed_usd(mover.usd), *mover_parts(mover, movement)), mover.usd)


def mover_rows(movement: Movement, most: int = MOST_MOVERS) -> Iterator[RowBlock]:
    """Yield the change as rows that add up: movers, smaller movers together, and the unexplained part."""
    parts, largest = break_down(movement, most), _told_movers(movement)[:NEWS_SHOWN]
    for mover in parts.movers:
        yield _mover_row(mover, movement, Rank.FIRST if mover in largest else Rank.FULL)
    if count := len(parts.smaller):
        cells = signed_usd(parts.smaller_usd), count_noun(count, "other change"), "", ""
        yield RowBlock(Rank.FULL, cells, parts.smaller_usd)
    if parts.unexplained:
        lines = [f"{signed_usd(mover.usd)} {_where(mover)}" for mover in parts.unexplained]
        rest = len(lines) - UNEXPLAINED_SHOWN
        text = ", ".join([*lines[:UNEXPLAINED_SHOWN], *[f"{rest} more"] * (rest > 0)])
        rank = Rank.FIRST if any(mover in largest for mover in parts.unexplained) else Rank.FULL
        yield RowBlock(
            rank, (signed_usd(parts.unexplained_usd), "not explained", text, ""), parts.unexplained_usd
        )


def _where(mover: Mover) -> str:
    """Return a usage type, and the tag value that it was charged under."""
    value = f" ({escape_text(mover.part.tag)})" if mover.part.tag else ""
    return f"{escape_text(mover.part.usage_type)}{value}"


def _tables(report: BillReport, by: str) -> Iterator[TableBlock]:
    """Yield the accounts whose bill rose most, the tables by several keys, and the costs of units."""
    if len(report.bill.seen) > 1:
        yield _table(report, ACCOUNT_TAG, Rank.MESSAGE)
    for key in dict.fromkeys([by, BY_PHASE, report.main.tag if report.main else ""]):
        if key not in {"", ACCOUNT_TAG} and has_table(report.bill, key):
            yield _table(report, key, Rank.WEEKLY if key == by else Rank.FULL)
    if units := tuple(RowBlock(Rank.FULL, row) for row in unit_rows(report.unit_costs, UNIT_ROWS_SHOWN)):
        yield TableBlock(Rank.FULL, ("Cost of a unit", "cost", "", ""), units)


def _table(report: BillReport, by: str, rank: Rank) -> TableBlock:
    """Lay out the first lines of a table, the others as one, and all together; of accounts with savings."""
    lines, most, saved = list(report.table(by)), TABLE_ROWS_SHOWN, dict[str, Decimal]()
    names = {"": f"no {escape_text(by)}"}
    if by == ACCOUNT_TAG:
        lines.sort(key=lambda line: -(line.usd if line.change is None else line.change))
        names = {line.name: account_title(line.name, report.bill.accounts or {}) for line in lines}
        most, saved = ACCOUNTS_SHOWN, dict(report.saved_by_account)
    own = [(escape_text(names.get(line.name, line.name), 120), [line]) for line in lines[:most]]
    others = [(count_noun(len(lines) - most, "other"), lines[most:])] * (len(lines) > most)
    rows = []
    for name, of in (*own, *others, ("together", lines)):
        line, kept = sum_lines(of), sum((saved.get(line.name, ZERO) for line in of), ZERO)
        cells = [name, format_usd(line.usd_before or ZERO), format_usd(line.usd), _line_change(line)]
        cells = cells if report.main else [name, format_usd(line.usd)]
        rows.append(RowBlock(rank, (*cells, *[format_usd(kept) if kept else ""] * bool(saved))))
    heads = ["before", "now", "change"] if report.main else ["now"]
    columns = (
        f"By {escape_text(by)}, {count_noun(report.span.days, 'day')}",
        *heads,
        *["saved this month"] * bool(saved),
    )
    return TableBlock(rank, columns, tuple(rows))


def _line_change(line: BillLine) -> str:
    if line.change is None or not round(line.change, 2):
        return ""
    share = percent_text(line.change / line.usd_before, sign=True) if line.usd_before else "new"
    return f"{signed_usd(line.change)} ({share})"


def _gap_notes(gaps: Sequence[BillGap], max_requests: int, least: Rank) -> Iterator[NoteBlock]:
    """Yield what could not be read; messages leave out lasting causes, unless nothing else was read."""
    lasting = Rank.WEEKLY if least > Rank.FIRST else least
    ranks = {
        cause: Rank.FULL if cause is GapCause.TAG_NOT_USED else lasting if cause in LASTING_CAUSES else least
        for cause in GapCause
    }
    for rank in Rank:
        for text in gap_sentences([gap for gap in gaps if ranks[gap.cause] is rank], max_requests):
            yield NoteBlock(rank, text, warning=True)
