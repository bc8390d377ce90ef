"""The words for findings in messages: what they are, whose, since when, how sure, and their cost. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from ml_janitor.core.durations import format_age
from ml_janitor.core.model import HOURS_PER_MONTH, Confidence, Cost, Finding, Target
from ml_janitor.core.money import NO_USD, Totals, round_to_cents
from ml_janitor.core.ownership import protection_evidence
from ml_janitor.core.results import Outcome, Report, Result, Sweep
from ml_janitor.core.text import count_noun, escape_text, format_usd
from ml_janitor.report.mrkdwn import as_sentence, code_span, prose

OWNERS_SHOWN = 5
NOUNS_SHOWN = 2

NO_LONGER_WASTE = frozenset({Outcome.ACTED, Outcome.CHANGED})
"""Outcomes after which a finding costs nothing any more."""

NO_OWNER = "no owner tag"
CONFIDENCE_WORDS = {Confidence.PROVEN: "proven", Confidence.LIKELY: "likely but not proven"}


# --- one finding ----------------------------------------------------------------------------------


def require_finding(result: Result) -> Finding:
    """Return the verdict of *result*, which is a finding. Raises TypeError for another verdict."""
    if not isinstance(result.verdict, Finding):
        raise TypeError("only findings are told")
    return result.verdict


def proposed_action(result: Result) -> str:
    """Return the proposed action."""
    return result.verdict.action if isinstance(result.verdict, Finding) else ""


def finding_noun(detector: str, result: Result) -> str:
    """Return the noun for one finding: from its verdict, else from the detector's name."""
    verdict = result.verdict
    return (verdict.noun if isinstance(verdict, Finding) else None) or detector_noun(detector, 1)


def detector_noun(detector: str, number: int) -> str:
    """Return the noun for findings of *detector*: its name, if that is the plural of a thing."""
    words = detector.replace("-", " ").replace("studio", "Studio")
    words = words if words.endswith("s") else words + " findings"
    return words.removesuffix("s") if number == 1 else words


def priced_name(result: Result) -> str:
    """Return its name and its cost."""
    cost = cost_text(result)
    return f"{code_span(result.target.name)}{f'  *{cost}*' if cost else ''}"


def cost_text(result: Result) -> str:
    """Return its cost, or that the price is unknown; empty if it has no price of its own."""
    sums = Totals.of([result])
    known = sums_text(sums) or ("price unknown" if sums.unpriced else "")
    return ", ".join([*([known] if known else []), *payback_and_risk(result.cost)])


def instead_sentence(result: Result) -> str:
    """Name the finding that is counted instead of *result*, in a sentence; empty if it is counted whole."""
    if (overlap := result.overlap) is None:
        return ""
    same = overlap.arn.lower() == result.target.arn.lower()
    other = overlap.detector if same else f"{overlap.detector} on {escape_text(overlap.name, 80)}"
    counted = sums_text(Totals(monthly_usd=overlap.monthly_usd, accrued_usd=overlap.accrued_usd))
    left = f"only {counted} of it is" if counted else "not"
    return f"Instead of what {other} proposes: {left} in the sums."


def work_text(result: Result) -> str:
    """Estimate the hours of work that the change takes."""
    return format_age(timedelta(hours=result.hours))


def payback_and_risk(cost: Cost | None) -> list[str]:
    """List what sums leave out: when a change pays back its one-time cost, and the cost of an accident."""
    payback, exposure = (cost.payback, cost.exposure_usd) if cost else (None, None)
    return [
        *([payback_text(payback)] if payback else []),
        *([f"{format_usd(exposure)} at risk"] if exposure else []),
    ]


def payback_text(payback: timedelta) -> str:
    """Say when a change has paid back its one-time cost; the hour does not matter."""
    return f"paid back in {format_age(payback)}" if payback > timedelta(days=1) else "paid back within a day"


def place_text(where: Target | Sweep, *, accounts: bool) -> str:
    """Return the region, after the account where the report is about several."""
    return escape_text(f"{where.account} {where.region}" if accounts else where.region)


def owner_text(result: Result) -> str:
    """Return its owner, for a report."""
    return escape_text(result.owner, 60) if result.owner else NO_OWNER


def owner_in_message(owner: str | None) -> str:
    """Return the name of *owner*, for a message."""
    return prose(owner, 80) if owner else NO_OWNER


def owner_clause(result: Result) -> str:
    """Return its owner, as the beginning of a sentence."""
    return f"owned by {owner_in_message(result.owner)}" if result.owner else NO_OWNER


def finding_facts(result: Result, now: datetime, owner: str = "", spent: str = "") -> str:
    """Say in a sentence: *owner*, since when and what it has *spent* since, how sure, and its tags."""
    verdict = require_finding(result)
    since = "since when is unknown"
    if verdict.since is not None:
        since = f"waste since {verdict.since:%Y-%m-%d} ({format_age(now - verdict.since)}{spent})"
    tags = (prose(f"{mark.signal} {mark.value}", 80) for mark in protection_evidence(result.target))
    return as_sentence(
        ", ".join([*([owner] if owner else []), since, CONFIDENCE_WORDS[verdict.confidence], *tags])
    )


def reason_sentence(result: Result) -> str:
    """Return the reason of its verdict."""
    return as_sentence(prose(result.verdict.reason, 400))


# --- several findings -----------------------------------------------------------------------------


def count_by_noun(detector: str, results: Sequence[Result]) -> str:
    """Count findings by noun: "2 hung training jobs, 1 hung processing job and 1 more"."""
    ranked = Counter(finding_noun(detector, result) for result in results).most_common()
    parts = [count_noun(times, name) for name, times in ranked[:NOUNS_SHOWN]]
    if more := sum(times for _, times in ranked[NOUNS_SHOWN:]):
        return f"{', '.join(parts)} and {more:,} more"
    return " and ".join(parts)


def group_by_owner(results: Iterable[Result]) -> list[tuple[str | None, list[Result]]]:
    """Group *results* by owner, the owner of the dearest first; one spelling of a name is enough."""
    groups: dict[str, tuple[str | None, list[Result]]] = {}
    for result in results:
        groups.setdefault((result.owner or "").casefold(), (result.owner or None, []))[1].append(result)
    return list(groups.values())


def owner_shares(results: Iterable[Result]) -> str:
    """List every owner's share of *results*, which are the dearest first."""
    groups = group_by_owner(results)
    shown = [f"{owner_in_message(owner)} ({share_text(theirs)})" for owner, theirs in groups[:OWNERS_SHOWN]]
    more = len(groups) - len(shown)
    return f"*Whose they are:* {', '.join(shown)}{f', and {count_noun(more, "other owner")}' if more else ''}"


def share_text(results: Sequence[Result]) -> str:
    """Say how many findings, and their cost: "2 for $8,048 a month"."""
    parts = sums_text(Totals.of(results))
    return f"{len(results):,}{f' for {parts}' if parts else ''}"


def sums_text(sums: Totals) -> str:
    """Return the cost of findings in a few words; empty if no price is known."""
    parts = [f"{format_usd(sums.monthly_usd)} a month"] if sums.monthly_usd else []
    if sums.accrued_usd:
        more = f", {format_usd(sums.hourly_usd)} more every hour" if sums.hourly_usd else ""
        parts.append(f"{format_usd(sums.accrued_usd)} so far{more}")
    if sums.once_usd:
        parts.append(f"{format_usd(sums.once_usd)} once")
    return " and ".join(parts)


def savings_sentence(
    spent_usd: Decimal, days: int, monthly_usd: Decimal, found: Sequence[FirstFinding], *, partial: bool
) -> str:
    """
    Say how much of the bill can go, and what to begin with: the same in a terminal, a page and a message.

    *spent_usd* is the bill of so many *days*. The sentence is empty if nothing can go, if nothing is known of
    the bill, or if more could go than it says, because then it is a bill of something else.
    """
    if not found or not days or not monthly_usd or monthly_usd * days * 24 > spent_usd * HOURS_PER_MONTH:
        return ""
    least = "at least " if partial else ""
    return (
        f"Of {format_usd(spent_usd)} in {count_noun(days, 'day')}, {least}{format_usd(monthly_usd)} a month "
        f"can go; first: {min(found, key=lambda finding: finding.rank)}."
    )


class FirstFinding(NamedTuple):
    """A finding that may be the one to begin with: its counted dollars, the ARN, the name and the owner."""

    monthly_usd: Decimal | None
    accrued_usd: Decimal | None
    arn: str
    name: str
    owner: str | None

    @property
    def rank(self) -> tuple[Decimal, str]:
        """The sort key: the most dollars a month or so far first."""
        usd = self.monthly_usd if self.monthly_usd is not None else self.accrued_usd
        return -(round_to_cents(usd) or NO_USD), self.arn

    def __str__(self) -> str:
        """Return its name, its dollars and its owner."""
        sums = Totals(monthly_usd=self.monthly_usd or NO_USD, accrued_usd=self.accrued_usd or NO_USD)
        facts = [sums_text(sums), self.owner or NO_OWNER]
        return f"{escape_text(self.name, 150)} ({', '.join(escape_text(fact, 80) for fact in facts if fact)})"


def report_savings(report: Report, spent_usd: Decimal, days: int) -> str:
    """Say how much of a bill of *spent_usd* in so many *days* the findings of *report* can end."""
    left = [found for found in report.findings if found.outcome not in NO_LONGER_WASTE]
    ranked = [
        FirstFinding(cost.monthly_usd, cost.accrued_usd, found.target.arn, found.target.name, found.owner)
        for found in left
        if (cost := found.counted) is not None
    ]
    partial = any(sweep.error is not None for sweep in report.sweeps)
    return savings_sentence(spent_usd, days, Totals.of(left).monthly_usd, ranked, partial=partial)


def unpriced_note(unpriced: int) -> str:
    """Say how many findings a sum leaves out because their price is unknown; begins with a space."""
    return f" The sum leaves out {unpriced:,} whose price is unknown." if unpriced else ""


def report_scope(report: Report) -> str:
    """Name the account of *report*, or how many accounts it covers."""
    if len(report.accounts) > 1:
        return count_noun(len(report.accounts), "account")
    return f"account {escape_text(report.account or 'unknown')}"
