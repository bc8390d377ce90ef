"""The words for findings in messages: what they are, whose, since when, how sure, and their cost. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from ml_janitor.core.cost import Cost
from ml_janitor.core.durations import ago
from ml_janitor.core.model import Confidence, Finding, Target
from ml_janitor.core.money import Totals
from ml_janitor.core.ownership import marks
from ml_janitor.core.results import Report, Result, Sweep
from ml_janitor.core.text import plain, usd
from ml_janitor.report.mrkdwn import code, counted, prose, sentence

OWNERS_SHOWN = 5
NOUNS_SHOWN = 2

NO_OWNER = "no owner tag"
CONFIDENCE = {Confidence.PROVEN: "proven", Confidence.LIKELY: "likely but not proven"}


# --- one finding ----------------------------------------------------------------------------------


def finding(result: Result) -> Finding:
    """Return the verdict of *result*, which is a finding. Raises TypeError for another verdict."""
    if not isinstance(result.verdict, Finding):
        raise TypeError("only findings are told")
    return result.verdict


def action(result: Result) -> str:
    """Return the proposed action."""
    return result.verdict.action if isinstance(result.verdict, Finding) else ""


def noun_of(detector: str, result: Result) -> str:
    """Return the noun for one finding: from its verdict, else from the detector's name."""
    verdict = result.verdict
    return (verdict.noun if isinstance(verdict, Finding) else None) or noun(detector, 1)


def noun(detector: str, number: int) -> str:
    """Return the noun for findings of *detector*: its name, if that is the plural of a thing."""
    words = detector.replace("-", " ").replace("studio", "Studio")
    words = words if words.endswith("s") else f"{words} findings"
    return words.removesuffix("s") if number == 1 else words


def priced_name(result: Result) -> str:
    """Return its name and its cost."""
    cost = price(result)
    return f"{code(result.target.name)}{f'  *{cost}*' if cost else ''}"


def price(result: Result) -> str:
    """Return its cost, or that the price is unknown; empty if it has no price of its own."""
    sums = Totals.of([result])
    known = amounts(sums) or ("price unknown" if sums.unpriced else "")
    return ", ".join([*([known] if known else []), *beside_sums(result.cost)])


def instead_of(result: Result) -> str:
    """Name the finding that is counted instead of *result*, in a sentence; empty if it is counted whole."""
    if (overlap := result.overlap) is None:
        return ""
    same = overlap.arn.lower() == result.target.arn.lower()
    other = overlap.detector if same else f"{overlap.detector} on {plain(overlap.name, 80)}"
    counted = amounts(Totals(monthly_usd=overlap.monthly_usd, accrued_usd=overlap.accrued_usd))
    left = f"only {counted} of it is" if counted else "not"
    return f"Instead of what {other} proposes: {left} in the sums."


def work(result: Result) -> str:
    """Estimate the hours of work that the change takes."""
    return ago(timedelta(hours=result.hours))


def beside_sums(cost: Cost | None) -> list[str]:
    """List amounts in no sum: when a change pays back its one-time cost, and the cost of one accident."""
    payback, exposure = (cost.payback, cost.exposure_usd) if cost else (None, None)
    return [
        *([f"paid back in {ago(payback)}"] if payback else []),
        *([f"{usd(exposure)} at risk"] if exposure else []),
    ]


def place(where: Target | Sweep, *, accounts: bool) -> str:
    """Return the region, after the account where the report is about several."""
    return plain(f"{where.account} {where.region}" if accounts else where.region)


def owner(result: Result) -> str:
    """Return its owner, for a report."""
    return plain(result.owner, 60) if result.owner else NO_OWNER


def owner_name(owner: str | None) -> str:
    """Return the name of *owner*, for a message."""
    return prose(owner, 80) if owner else NO_OWNER


def owned_by(result: Result) -> str:
    """Return its owner, as the beginning of a sentence."""
    return f"owned by {owner_name(result.owner)}" if result.owner else NO_OWNER


def facts(result: Result, now: datetime, owner: str = "", spent: str = "") -> str:
    """Say in a sentence: *owner*, since when and what it has *spent* since, how sure, and its tags."""
    verdict = finding(result)
    since = "since when is unknown"
    if verdict.since is not None:
        since = f"since {verdict.since:%Y-%m-%d} ({ago(now - verdict.since)}{spent})"
    tags = (prose(f"{mark.signal} {mark.value}", 80) for mark in marks(result.target))
    return sentence(", ".join([*([owner] if owner else []), since, CONFIDENCE[verdict.confidence], *tags]))


def reason(result: Result) -> str:
    """Return the reason of its verdict."""
    return sentence(prose(result.verdict.reason, 400))


# --- several --------------------------------------------------------------------------------------


def kinds(detector: str, results: Sequence[Result]) -> str:
    """Count findings by noun: "2 hung training jobs, 1 hung processing job and 1 more"."""
    ranked = Counter(noun_of(detector, result) for result in results).most_common()
    parts = [counted(times, name) for name, times in ranked[:NOUNS_SHOWN]]
    if more := sum(times for _, times in ranked[NOUNS_SHOWN:]):
        return f"{', '.join(parts)} and {more:,} more"
    return " and ".join(parts)


def by_owner(results: Iterable[Result]) -> list[tuple[str | None, list[Result]]]:
    """Group *results* by owner, the owner of the dearest first; one spelling of a name is enough."""
    groups: dict[str, tuple[str | None, list[Result]]] = {}
    for result in results:
        groups.setdefault((result.owner or "").casefold(), (result.owner or None, []))[1].append(result)
    return list(groups.values())


def shares(results: Iterable[Result]) -> str:
    """List every owner's share of *results*, which are the dearest first."""
    groups = by_owner(results)
    shown = [f"{owner_name(owner)} ({share(theirs)})" for owner, theirs in groups[:OWNERS_SHOWN]]
    more = len(groups) - len(shown)
    return f"*Whose they are:* {', '.join(shown)}{f', and {counted(more, "other owner")}' if more else ''}"


def share(results: Sequence[Result]) -> str:
    """Say how many findings, and their cost: "2 for $8,048 a month"."""
    parts = amounts(Totals.of(results))
    return f"{len(results):,}{f' for {parts}' if parts else ''}"


def amounts(sums: Totals) -> str:
    """Return the cost of findings in a few words; empty if no price is known."""
    parts = [f"{usd(sums.monthly_usd)} a month"] if sums.monthly_usd else []
    if sums.accrued_usd:
        more = f", {usd(sums.hourly_usd)} more every hour" if sums.hourly_usd else ""
        parts.append(f"{usd(sums.accrued_usd)} so far{more}")
    if sums.once_usd:
        parts.append(f"{usd(sums.once_usd)} once")
    return " and ".join(parts)


def left_out(unpriced: int) -> str:
    """Say how many findings a sum leaves out because their price is unknown; begins with a space."""
    return f" The sum leaves out {unpriced:,} whose price is unknown." if unpriced else ""


def whose(report: Report) -> str:
    """Name the account of *report*, or how many accounts it covers."""
    if len(report.accounts) > 1:
        return f"{len(report.accounts)} accounts"
    return f"account {plain(report.account or 'unknown')}"
