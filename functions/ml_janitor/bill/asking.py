"""Chooses the pages of a bill to read, their calls, and the days to compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ml_janitor.aws.cost_explorer import (
    GET_COST_AND_USAGE,
    GET_COST_FORECAST,
    GET_DIMENSION_VALUES,
    GET_TAGS,
    LIST_COST_ALLOCATION_TAGS,
    CostFilter,
)
from ml_janitor.bill.accounts import BillAccounts
from ml_janitor.bill.model import Bill, CostMetric, DaySpan
from ml_janitor.bill.movements import ComparisonKind, SpanComparison
from ml_janitor.bill.resources import RESOURCE_READS
from ml_janitor.core.durations import DAY, WEEK
from ml_janitor.engine.detector import Grant, allow

if TYPE_CHECKING:
    from ml_janitor.config.sections import BillSection, OrganizationSection
    from ml_janitor.config.settings import Settings

BILL_DAYS = 65
"""Days of a bill that are read: the month to date, and the whole month before it."""

METRIC_SETTINGS = {"unblended": CostMetric.UNBLENDED, "amortized": CostMetric.AMORTIZED, "auto": None}

EVERY_READ = (allow(GET_COST_AND_USAGE), allow(GET_COST_FORECAST))
CHECK_SERVICES, CHECK_TAGS, CHECK_CHOSEN_TAGS = map(
    allow, (GET_DIMENSION_VALUES, LIST_COST_ALLOCATION_TAGS, GET_TAGS)
)
"""Calls that check names only: of services, of tags, and of tags that somebody chose."""

COST_READS = (*EVERY_READ, CHECK_SERVICES, CHECK_CHOSEN_TAGS, CHECK_TAGS)
"""The permissions to read a bill. None of them can be limited to a part of the bill."""


# --- reading -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class BillRequest:
    """
    The parts of a bill to read.

    *tags* are cost allocation tags by their names in the settings, the most important first. *services*
    are the only services that count; all of them if empty. With *check_tags*, the reading checks whether
    the tags are activated and used, in place of reading the last two; *chosen* are the keys that somebody
    chose, and so expects to be used. The tags *first* are read before other tags by service. *metric* is
    None where the bill itself decides. *accounts* are those of a shared bill; they moved by the last
    *span* days.
    """

    days: int = BILL_DAYS
    tags: Mapping[str, str] = field(default_factory=dict)
    services: Sequence[str] = ()
    check_tags: bool = False
    chosen: frozenset[str] = frozenset()
    first: Sequence[str] = ()
    metric: CostMetric | None = None
    accounts: BillAccounts | None = None
    span: int = 30

    @property
    def where(self) -> tuple[CostFilter, ...]:
        """Return the filter of the bill."""
        return self.accounts.where if self.accounts else ()


def bill_tags(section: BillSection) -> Mapping[str, str]:
    """Return the cost allocation tags by their names, without those that are set to ""."""
    return {name: key for name, key in section.tags.items() if key}


def chosen_tags(section: BillSection) -> frozenset[str]:
    """Return the keys of tags that differ from the defaults: somebody expects them to be used."""
    default = type(section)().tags
    return frozenset(key for name, key in bill_tags(section).items() if default.get(name) != key)


def bill_accounts(section: OrganizationSection, names: Mapping[str, str]) -> BillAccounts | None:
    """
    Return the accounts of an organization whose bill is read; *names* are their known names.

    None if the accounts are unknown: those of units are known once they were listed.
    """
    named = {**dict.fromkeys(section.accounts, ""), **names}
    if not named and not section.all_accounts:
        return None
    return BillAccounts(names=named, everything=section.all_accounts, without=tuple(section.without))


def bill_request(
    section: BillSection,
    *,
    days: int = 0,
    first: Sequence[str] = (),
    check_tags: bool = False,
    accounts: BillAccounts | None = None,
) -> BillRequest:
    """
    Return what to read to compare the last *days* with those before.

    *first* are tags that are shown; so are tags with a budget. *check_tags* and *accounts* are as in
    `BillRequest`.
    """
    return BillRequest(
        days=max(BILL_DAYS, 2 * (days or section.days)),
        tags=bill_tags(section),
        services=tuple(section.services),
        check_tags=check_tags,
        chosen=chosen_tags(section),
        first=(*first, *(part.partition("=")[0] for part in section.budgets)),
        metric=METRIC_SETTINGS[section.metric],
        accounts=accounts,
        span=days or section.days,
    )


def bill_reads(section: BillSection) -> tuple[Grant, ...]:
    """Return the permissions of the function that reads the bill, in one account."""
    return (*cost_explorer_reads(section), *RESOURCE_READS)


def cost_explorer_reads(section: BillSection) -> tuple[Grant, ...]:
    """Return its permissions for Cost Explorer: of the checks, only those that the settings need."""
    weekly = bool(section.weekly_table)
    checks = [
        (bool(section.services), CHECK_SERVICES),
        (weekly, CHECK_TAGS),
        (weekly and bool(chosen_tags(section)), CHECK_CHOSEN_TAGS),
    ]
    return (*EVERY_READ, *(grant for needed, grant in checks if needed))


def request_warnings(settings: Settings) -> list[str]:
    """
    Return a warning if a reading may request fewer pages than it has parts: the
    last tags are never read.
    """
    section, named = settings.bill, len(bill_tags(settings.bill))
    besides = 3  # services, record types, forecast
    if settings.organization.used:
        besides += 2  # accounts, and movements of some
    if not section.enabled or section.max_requests >= named + besides:
        return []
    warned = (
        f"bill.max_requests = {section.max_requests}: a reading asks for {named + besides} pages at least, "
        f"one by each of {named} tags and {besides} besides, so the last tags are never read; set it to "
        f"{named + besides} or more, as each page that is full has another"
    )
    return [warned]


# --- comparing --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class BillQuestion:
    """
    A question about a bill: the last *days*, *against* another span or the days right before them.

    *tags* are those of the settings, in their order.
    """

    days: int
    settling_days: int
    tags: Sequence[str]
    against: DaySpan | None = None

    def comparisons(
        self, bill: Bill
    ) -> tuple[SpanComparison | None, SpanComparison | None, SpanComparison | None]:
        """Return the asked comparison, the last settled day, and the month to date; None beyond the bill."""
        return self.asked(bill), self.settled_day(bill), self.month_to_date(bill)

    def asked(self, bill: Bill) -> SpanComparison | None:
        """Compare the last days with the chosen span, else with as many days right before them."""
        after = DaySpan(bill.until - self.days * DAY, self.days)
        before = self.against or DaySpan(after.first - self.days * DAY, self.days)
        return self._compared(bill, after, before, ComparisonKind.DAYS)

    def settled_day(self, bill: Bill) -> SpanComparison | None:
        """Compare the last day that is *settling_days* old with the same weekday of the week before."""
        day = bill.time.date() - self.settling_days * DAY
        return self._compared(bill, DaySpan(day, 1), DaySpan(day - WEEK, 1), ComparisonKind.DAY)

    def month_to_date(self, bill: Bill) -> SpanComparison | None:
        """
        Compare the month so far with the same days of the month before; on its first day, the whole month
        before.

        If the month before is shorter, both are as long as that month.
        """
        first = (bill.until - DAY).replace(day=1)
        before = (first - DAY).replace(day=1)
        days = min((bill.until - first).days, (first - before).days)
        return self._compared(bill, DaySpan(first, days), DaySpan(before, days), ComparisonKind.MONTH_TO_DATE)

    def _compared(
        self, bill: Bill, after: DaySpan, before: DaySpan, kind: ComparisonKind
    ) -> SpanComparison | None:
        """Compare *after* with *before*; None if the bill lacks days, or the account was charged later."""
        begun = min((charge.day for charge in bill.charges if charge.usd), default=None)
        if begun is None or max(begun, bill.first) > before.first or after.until > bill.until:
            return None
        today = bill.time.date()
        unsettled = tuple(day for day in after if (today - day).days < self.settling_days)
        return SpanComparison(kind=kind, before=before, after=after, unsettled=unsettled)


def bill_question(section: BillSection, *, days: int = 0, against: DaySpan | None = None) -> BillQuestion:
    """Return the comparison to make: the last *days*, *against* a span or the days right before them."""
    return BillQuestion(
        days=days or section.days,
        settling_days=section.settling_days,
        tags=tuple(bill_tags(section)),
        against=against,
    )
