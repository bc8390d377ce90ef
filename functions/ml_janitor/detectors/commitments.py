"""
Steady hours of use that a Savings Plan would make cheaper, without the
use that other findings would change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from ml_janitor.aws import runs
from ml_janitor.aws.client import Aws
from ml_janitor.aws.cost_explorer import (
    DESCRIBE_PLANS,
    DESCRIBE_RATES,
    GET_COST_AND_USAGE,
    GET_COVERAGE,
    GET_UTILIZATION,
    HOURS_KEPT,
    PLAN_SERVICES,
    SavingsPlans,
    covered_totals,
    covered_usage,
    unread_bill_reason,
)
from ml_janitor.aws.prices import GET_PRODUCTS
from ml_janitor.aws.tags import target_in
from ml_janitor.core.commitment import UsageHours, best_commitment, cost_with_commitment
from ml_janitor.core.durations import HOUR, format_age
from ml_janitor.core.model import (
    HOURS_PER_MONTH,
    Absent,
    Candidate,
    Change,
    Confidence,
    Cost,
    Evidence,
    NotRead,
    Rule,
    Signal,
    SweepNote,
    Unreadable,
    Value,
    Verdict,
    as_evidence,
)
from ml_janitor.core.text import format_usd, quote_shell
from ml_janitor.engine.detector import LEAST_SAVING_USD, Constant, Detector, allow

_UNSETTLED_TIME = timedelta(days=2)
"""Time in which Cost Explorer may still change its hours much: hours are judged until then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SteadyUse(Candidate):
    """
    The *hours* of use in a region that a type of *plan* covers, and the *offering* to buy.

    *owned* is the price per hour of the account's own plans, by type; *coverage* the share of the use of a
    service that anybody's plans cover. *unread* says why hours of resources may be missing.
    """

    plan: str
    hours: Signal[UsageHours]
    offering: str = ""
    owned: Signal[Mapping[str, float]] = field(default_factory=NotRead)
    coverage: Signal[Mapping[str, float]] = field(default_factory=NotRead)
    utilization: Signal[float] = field(default_factory=NotRead)
    unread: str | None = None
    requests: int = 0


@dataclass(frozen=True)
class Commitments(Detector[SteadyUse]):
    """
    Finds steady hours of use that a Savings Plan would make cheaper.

    It counts only use that no other finding would change: the commitment comes last, and covers the rest.
    """

    name = "commitments"
    kinds = ("commitment",)
    asks_for = Change.COMMIT
    own_tags = False  # nothing that nobody bought yet has tags
    reads = (
        *(allow(*call) for call in runs.RUN_READS),
        *(allow(action) for action in (DESCRIBE_PLANS, DESCRIBE_RATES, GET_COST_AND_USAGE, GET_COVERAGE)),
        *(allow(action) for action in (GET_UTILIZATION, GET_PRODUCTS)),
    )

    window: Constant[timedelta] = timedelta(days=30)
    min_utilization: Constant[float] = 0.95  # below, what is owned is too much already
    min_saving: Constant[float] = LEAST_SAVING_USD
    max_requests: Constant[int] = 8  # a cent each

    def find_called(self, aws: Aws, name: str, now: datetime) -> Iterable[str]:
        """Yield the ARN of the plan *name* without asking Cost Explorer, which costs money."""
        yield from (_plan_arn(aws, plan) for plan in PLAN_SERVICES if name == _plan_name(plan))

    def find(self, aws: Aws, now: datetime) -> Iterator[SteadyUse | SweepNote]:
        """Yield the hourly use, with the rates at which a plan covers it and the owned plans."""
        if (why := unread_bill_reason(aws.partition)) is not None:
            yield SweepNote(why)
            return
        asked = SavingsPlans(aws, self.max_requests)
        until = (now - _UNSETTLED_TIME).replace(minute=0, second=0, microsecond=0)
        since = max(until - self.window, until + _UNSETTLED_TIME - HOURS_KEPT + HOUR)
        owned, hourly = asked.owned(), asked.hourly(since, (until - since) // HOUR)
        lines = hourly.value if isinstance(hourly, Value) else ()
        plans = tuple(PLAN_SERVICES)
        if not isinstance(hourly, Value):
            plans, since = ("SageMaker",), until - self.window
            why = getattr(hourly, "error", "it has no data")
            yield SweepNote(f"Compute Savings Plans are not judged: Cost Explorer has no hours ({why})")
        ran = runs.list_used_resources(aws, since, now)
        if ran.error is not None:
            yield SweepNote(f"hours may be missing, which are not committed to: {ran.error}")
        owns = isinstance(owned, Value) and any(owned.value.values())
        if isinstance(owned, Value) and not (owns or ran.items or lines or ran.error):
            yield _requests_note(asked)
            return  # nothing ran that a plan could cover
        rates = asked.rates(
            {run.usage_type for use in (*ran.items,) for run in use.runs}
            | {line.usage_type for line in lines}
        )
        coverage = asked.coverage(since, until)
        utilization = asked.utilization(since, until) if owns else Absent(DESCRIBE_PLANS)
        yield _requests_note(asked)
        for plan in plans:
            known = rates.value[plan] if isinstance(rates, Value) else {}
            hours = UsageHours(
                since=since,
                count=(until - since) // HOUR,
                uses=tuple(covered_usage(aws, ran.items, lines, known, until)),
                totals=tuple(covered_totals(lines, known)) if isinstance(hourly, Value) else None,
            )
            name, arn = _plan_name(plan), _plan_arn(aws, plan)
            yield SteadyUse(
                target=target_in(aws, arn, name, "commitment", None, tags=Value({})),
                plan=plan,
                hours=Value(hours)
                if isinstance(rates, Value)
                else Unreadable(getattr(rates, "error", "there are none"), DESCRIBE_RATES),
                offering=next((rate.offering for rate in known.values()), ""),
                owned=owned,
                coverage=coverage,
                utilization=utilization,
                unread=ran.error,
                requests=asked.requests,
            )

    def leaving(self, candidate: SteadyUse, named: frozenset[str] | None) -> SteadyUse:
        """
        Return *candidate* without the hours of the *named* resources.

        The hours of a job are known by its family's name alone: namesakes of a named family are left out too.
        """
        if named is None or not isinstance(candidate.hours, Value):
            return candidate
        families = frozenset(name.partition("-*~")[0] + "-*" for name in named if "-*~" in name)
        return replace(candidate, hours=Value(candidate.hours.value.without(named | families)))

    def decide(self, candidate: SteadyUse, now: datetime) -> Verdict:
        """Compare the bill of these hours without more of a plan with the bill under the best commitment."""
        del now
        rule, share, own = Rule(), 0.0, 0.0
        if isinstance(candidate.coverage, Value):
            share = candidate.coverage.value.get(PLAN_SERVICES[candidate.plan], 0.0)
        if isinstance(candidate.owned, Value):
            own = candidate.owned.value.get(candidate.plan, 0.0)
        rule.saw(
            as_evidence("dollars an hour of plans that the account owns", candidate.owned, own),
            as_evidence("of these used", candidate.utilization),
            as_evidence("use that plans cover", candidate.coverage, f"{share:.0%}"),
            Evidence("requests to Cost Explorer and Savings Plans", candidate.requests),
        )
        if not isinstance(candidate.hours, Value):
            return rule.unknown(
                f"what a plan would cover could not be read ({getattr(candidate.hours, 'error', '')})"
            )
        hours = candidate.hours.value
        billed = hours.totals is not None
        rule.saw(
            Evidence("hours judged", hours.count, source=GET_COST_AND_USAGE if billed else "starts and ends"),
            Evidence("resources left to other findings", hours.others),
        )
        if (why := _unknown(candidate, hours, own, share)) is not None:
            return rule.unknown(why)
        used = candidate.utilization.value if isinstance(candidate.utilization, Value) else 1.0
        if used < self.min_utilization:
            return rule.kept(
                f"{used:.0%} of what is owned is used; judged from {self.min_utilization:.0%} on"
            )
        each = hours.each()
        before = 0.0 if billed else own  # Cost Explorer's hours are those that no plan covers yet
        more = int(best_commitment(each, before) * 1000) / 1000
        result = cost_with_commitment(each, before + more)
        saved = (cost_with_commitment(each, before).usd - result.usd) * HOURS_PER_MONTH / hours.count
        monthly = Decimal(f"{saved:.4f}")
        committed = f"{format_usd(Decimal(str(more)))} an hour"
        if monthly < Decimal(self.min_saving):
            reason = f"the best commitment, {committed}, would save {format_usd(monthly)} a month"
            unread = candidate.unread
            return (
                rule.kept(reason) if unread is None else rule.unknown(f"{reason} of what was read ({unread})")
            )
        return rule.found(
            f"{committed} more committed would have been used to {result.utilisation:.0%} over"
            f" {format_age(hours.count * HOUR)}, and {result.coverage:.0%} of the use that nothing "
            f"else would change"
            f" been covered{_left_out(candidate.unread)}",
            Confidence.LIKELY,
            action=f"buy a {candidate.plan} Savings Plan (for a year, nothing paid in advance; it cannot be"
            " cancelled): aws savingsplans create-savings-plan"
            f" --savings-plan-offering-id {quote_shell(candidate.offering)} --commitment {more:.3f}",
            cost=Cost.saving(
                monthly,
                DESCRIBE_RATES,
                shares={arn: Decimal(f"{saved * part:.4f}") for arn, part in hours.shares().items()},
            ),
            to_prove="that this use goes on for a year, which only its owners know",
        )


def _left_out(unread: str | None) -> str:
    return "" if unread is None else f"; hours that could not be read are left out ({unread})"


def _plan_name(plan: str) -> str:
    """Return the name in reports of a Savings Plan of the type *plan*."""
    return f"{plan.lower()}-savings-plan"


def _plan_arn(aws: Aws, plan: str) -> str:
    """Return an ARN for a plan of this type: AWS has none for a plan that nobody has bought yet."""
    return aws.arn("savingsplans", f"commitment/{_plan_name(plan)}")


def _requests_note(asked: SavingsPlans) -> SweepNote:
    return SweepNote(
        f"made {asked.requests} Cost Explorer requests (${asked.requests / 100:.2f}) and read Savings Plans"
    )


def _unknown(candidate: SteadyUse, hours: UsageHours, own: float, share: float) -> str | None:
    """Return why no commitment can be proposed, or None."""
    billed = hours.totals is not None
    owned, used, covered = (
        None if isinstance(signal, Value | Absent) else getattr(signal, "error", "not read")
        for signal in (candidate.owned, candidate.utilization, candidate.coverage)
    )
    reasons = {
        f"what is owned already could not be read ({owned})": owned,
        f"how much of it is used could not be read ({used})": used,
        "what other detectors found is not all known, and a commitment is for what they leave": hours.others
        is None,
        f"not all hours of what other findings name could be read ({candidate.unread})": billed
        and hours.others
        and candidate.unread,
        f"what plans of other accounts cover could not be read ({covered})": not billed and covered,
        f"other accounts' plans cover {share:.0%}; only Cost Explorer's hours say which hours": not billed
        and share
        and not own,
    }
    return next((why for why, true in reasons.items() if true), None)
