"""Read an account's bill in a limited number of requests, the most valuable first, and note the gaps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal

from ml_janitor.aws.cost_explorer import (
    GET_COST_AND_USAGE,
    GET_COST_FORECAST,
    GET_DIMENSION_VALUES,
    GET_TAGS,
    LINKED_ACCOUNT,
    LIST_COST_ALLOCATION_TAGS,
    CostExplorer,
    CostFilter,
    CostRow,
    RefusalCause,
    RefusedError,
    accounts_filter,
    group_by_dimension,
    group_by_tag,
)
from ml_janitor.bill.model import (
    OTHER_ACCOUNTS,
    OUTSIDE_RECORDS,
    ZERO,
    Bill,
    BillGap,
    BillReading,
    Charge,
    ComparisonKind,
    CostMetric,
    DaySpan,
    Forecast,
    GapCause,
    RecordCharge,
    SpanComparison,
    settled_end,
)
from ml_janitor.bill.resources import RESOURCE_READS
from ml_janitor.config.sections import bill_pages, bill_tags
from ml_janitor.core.durations import DAY, WEEK
from ml_janitor.core.text import count_noun, shorten_list
from ml_janitor.engine.detector import Grant, allow

if TYPE_CHECKING:
    from ml_janitor.config.sections import BillSection, OrganizationSection
    from ml_janitor.config.settings import Settings

# --- requests -------------------------------------------------------------------------------------

COMPARED_DAYS = 30
"""Days that a report explains, against as many before them: about a month, and whole weeks but two days."""

SETTLING_DAYS = 2
"""Days until a day's charges are compared: AWS updates them once a day at least (Cost Explorer guide)."""

BILL_DAYS = 65
"""Days of a bill that are read: the month to date, and the whole month before it."""


EVERY_READ = (allow(GET_COST_AND_USAGE), allow(GET_COST_FORECAST))
CHECK_SERVICES, CHECK_TAGS, CHECK_CHOSEN_TAGS = map(
    allow, (GET_DIMENSION_VALUES, LIST_COST_ALLOCATION_TAGS, GET_TAGS)
)
"""Calls that check names only: of services, of tags, and of tags that somebody chose."""

COST_READS = (*EVERY_READ, CHECK_SERVICES, CHECK_CHOSEN_TAGS, CHECK_TAGS)
"""The permissions to read a bill. None of them can be limited to a part of the bill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BillRequest:
    """
    The parts of a bill to read.

    *tags* are cost allocation tags by their names in the settings, the most important first. *services*
    are the only services that count; all of them if empty. With *check_tags*, the reading checks whether
    the tags are activated and used, in place of reading the last two; the months before, which are read once
    a month, take the place of another; *chosen* are the keys that somebody
    chose, and so expects to be used. The tags *shown*, by which somebody wants a table, are read right
    after the services, and the tags *first* before other tags by service. *metric* is
    None where the bill itself decides. *accounts* are those of a shared bill; they moved by the last
    *span* days that are *settling_days* old.
    """

    days: int = BILL_DAYS
    tags: Mapping[str, str] = field(default_factory=dict)
    services: Sequence[str] = ()
    check_tags: bool = False
    chosen: frozenset[str] = frozenset()
    shown: Sequence[str] = ()
    first: Sequence[str] = ()
    metric: CostMetric | None = None
    accounts: BillAccounts | None = None
    span: int = 30
    settling_days: int = 0

    @property
    def where(self) -> tuple[CostFilter, ...]:
        """Return the filter of the bill."""
        return self.accounts.where if self.accounts else ()


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
    shown: Sequence[str] = (),
    check_tags: bool = False,
    accounts: BillAccounts | None = None,
) -> BillRequest:
    """
    Return what to read to compare the last *days* with those before.

    Tags with a budget are read before others. *shown*, *check_tags* and *accounts* are as in `BillRequest`.
    """
    return BillRequest(
        days=max(BILL_DAYS, 2 * max(days or COMPARED_DAYS, 31) + SETTLING_DAYS),
        tags=bill_tags(section),
        services=tuple(section.services),
        check_tags=check_tags,
        chosen=chosen_tags(section),
        shown=tuple(shown),
        first=tuple(part.partition("=")[0] for part in section.budgets),
        accounts=accounts,
        span=days or COMPARED_DAYS,
        settling_days=SETTLING_DAYS,
    )


def bill_reads(section: BillSection) -> tuple[Grant, ...]:
    """Return the permissions of the function that reads the bill, in one account."""
    return (*cost_explorer_reads(section), *RESOURCE_READS)


def cost_explorer_reads(section: BillSection) -> tuple[Grant, ...]:
    """Return its permissions for Cost Explorer: of the checks, only those that the settings need."""
    checks = [(section.services, CHECK_SERVICES), (chosen_tags(section), CHECK_CHOSEN_TAGS)]
    return (*EVERY_READ, CHECK_TAGS, *(grant for needed, grant in checks if needed))


def request_warnings(settings: Settings) -> list[str]:
    """
    Return a warning if a reading may request fewer pages than it has parts: the
    last tags are never read.
    """
    section = settings.bill
    pages = bill_pages(section, in_organization=settings.organization.used)
    if not section.enabled or section.max_requests >= pages:
        return []
    warned = (
        f"bill.max_requests = {section.max_requests}: a reading asks for "
        f"{count_noun(pages, 'page')} at least, one by each "
        f"tag and {pages - len(bill_tags(section))} besides, so the last tags are never read; delete it, or "
        f"set it to {pages} or more, as each page that is full has another"
    )
    return [warned]


# --- the question ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class BillQuestion:
    """
    A question about a bill: the last *days*, *against* another span or the days right before them.

    *tags* are those of the settings, in their order. A day is settled once it is *settling_days* old:
    days that AWS may still change are in no comparison.
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
        after = DaySpan(settled_end(bill, self.settling_days) - self.days * DAY, self.days)
        before = self.against or DaySpan(after.first - self.days * DAY, self.days)
        return self._compared(bill, after, before, ComparisonKind.DAYS)

    def settled_day(self, bill: Bill) -> SpanComparison | None:
        """Compare the last settled day with the same weekday of the week before."""
        day = settled_end(bill, self.settling_days) - DAY
        return self._compared(bill, DaySpan(day, 1), DaySpan(day - WEEK, 1), ComparisonKind.DAY)

    def month_to_date(self, bill: Bill) -> SpanComparison | None:
        """
        Compare the month so far with the same days of the month before; until a day of it is settled, the
        whole month before.

        If the month before is shorter, both are as long as that month.
        """
        end = settled_end(bill, self.settling_days)
        first = (end - DAY).replace(day=1)
        before = (first - DAY).replace(day=1)
        days = min((end - first).days, (first - before).days)
        return self._compared(bill, DaySpan(first, days), DaySpan(before, days), ComparisonKind.MONTH_TO_DATE)

    def _compared(
        self, bill: Bill, after: DaySpan, before: DaySpan, kind: ComparisonKind
    ) -> SpanComparison | None:
        """Compare *after* with *before*; None if the bill lacks days, or the account was charged later."""
        begun = min((charge.day for charge in bill.charges if charge.usd), default=None)
        if begun is None or max(begun, bill.first) > before.first or after.until > bill.until:
            return None
        return SpanComparison(kind=kind, before=before, after=after)


def bill_question(section: BillSection, *, days: int = 0, against: DaySpan | None = None) -> BillQuestion:
    """Return the comparison to make: the last *days*, *against* a span or the days right before them."""
    return BillQuestion(
        days=days or COMPARED_DAYS,
        settling_days=SETTLING_DAYS,
        tags=tuple(bill_tags(section)),
        against=against,
    )


# --- the reading ----------------------------------------------------------------------------------

REREAD_DAYS = 35
"""Days that are read again each night, because AWS still changes them."""

TAGS_BY_USAGE = 2
"""The first tags of the settings, which are read by usage type; the others by service, in fewer pages."""

GAP_CAUSES = {
    RefusalCause.DENIED: GapCause.DENIED,
    RefusalCause.NOT_ENABLED: GapCause.NOT_ENABLED,
    RefusalCause.MEMBER_ACCOUNT: GapCause.MEMBER_ACCOUNT,
    RefusalCause.NO_DATA: GapCause.YOUNG_ACCOUNT,
    RefusalCause.THROTTLED: GapCause.THROTTLED,
    RefusalCause.OVER_LIMIT: GapCause.OVER_LIMIT,
    RefusalCause.FAILED: GapCause.FAILED,
}

COMMITMENT_RECORDS = ("SavingsPlan", "RIFee", "DiscountedUsage")
"""The beginnings of record types of commitments: with any of them, cost is amortised."""


@dataclass(slots=True)
class _Reader:
    """One reading: its limits, and its gaps so far."""

    explorer: CostExplorer
    wanted: BillRequest
    first: date
    until: date
    gaps: list[BillGap] = field(default_factory=list)

    def rows(
        self,
        reading: BillReading,
        subject: str,
        *groups: Mapping[str, str],
        first: date | None = None,
        until: date | None = None,
        where: Sequence[CostFilter] | None = None,
        granularity: Literal["DAILY", "MONTHLY"] = "DAILY",
    ) -> list[CostRow] | None:
        """
        Read rows by *groups*, from *first* on, with the wanted filter or *where*; None, and a gap, if
        refused.

        `OUTSIDE_RECORDS` counts only by record type.
        """
        whole = reading in {BillReading.SERVICES, BillReading.ACCOUNTS}
        without = () if reading is BillReading.RECORD_TYPES else sorted(OUTSIDE_RECORDS)
        return self.unless_refused(
            reading,
            subject,
            lambda: self.explorer.daily(
                first or self.first,
                until or self.until,
                *groups,
                granularity=granularity,
                whole=whole,
                without=without,
                services=self.wanted.services,
                where=self.wanted.where if where is None else where,
            ),
        )

    def unless_refused[T](self, reading: BillReading, subject: str, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except RefusedError as refused:
            self.gaps.append(
                BillGap(
                    reading=reading, cause=GAP_CAUSES[refused.cause], subject=subject, detail=str(refused)
                )
            )
            return None


def read_bill(
    explorer: CostExplorer, wanted: BillRequest, *, account: str, now: datetime, kept: Bill | None = None
) -> Bill:
    """
    Read the bill of *account* up to the day before *now*. Parts that could not be read are in its gaps.

    *kept* is the bill of a night before, read for the same tags and services: only its last `AGAIN` days
    are read again, and all days of a tag that it lacks.
    """
    until = now.date()
    whole_first = first = until - wanted.days * DAY
    if kept is not None and _continued(kept, account, wanted, first):
        first = max(first, min(kept.until, until - REREAD_DAYS * DAY))
    else:
        kept = None

    def read_tags(names: Iterable[str]) -> None:
        for name in names:
            since = first if kept is not None and name in kept.by_tag else whole_first
            groups = usage if name in fine else group_by_dimension("SERVICE"), group_by_tag(wanted.tags[name])
            tagged[name] = reader.rows(BillReading.TAG, name, *groups, first=since)

    reader = _Reader(explorer, wanted, first, until)
    usage = group_by_dimension("USAGE_TYPE")
    by_service = reader.rows(BillReading.SERVICES, "", group_by_dimension("SERVICE"), usage)
    fine = list(wanted.tags)[:TAGS_BY_USAGE]
    shown = [name for name in wanted.tags if name in wanted.shown]
    later = [name for name in wanted.tags if name not in shown]
    later.sort(key=lambda name: (name not in fine, name not in wanted.first))
    tagged: dict[str, list[CostRow] | None] = {}
    by_account, moved, records, forecast, monthly = None, None, None, None, None
    checked = False
    if by_service is not None and wanted.accounts is not None:
        by_account = reader.rows(
            BillReading.ACCOUNTS,
            "",
            group_by_dimension(LINKED_ACCOUNT),
            first=first if kept is not None and kept.by_account else whole_first,
        )
    if by_service and by_account != []:  # without both, no other row has a place
        read_tags(shown)
        records = reader.rows(BillReading.RECORD_TYPES, "", group_by_dimension("RECORD_TYPE"))
        metric = _metric_and_records(records, wanted, kept, first)[0]
        forecast = _forecast(reader, metric)
        _check_services(reader, by_service)
        moved = _read_moved(reader, _charges_of_accounts(by_account, kept, metric, first), whole_first)
        checked = wanted.check_tags and _check_tags(reader)
        unread = 2 if wanted.check_tags else 0
        read_tags(later[:1])
        if _lacks_months(by_service, kept, whole_first, until):
            monthly = _read_months(reader)
            unread += explorer.left < len(later) - 1 - unread
        kept_back = [name for name in later[len(later) - unread :] if name not in fine]
        read_tags(name for name in later[1:] if name not in kept_back)
        reader.gaps += _also_over_limit(kept_back, reader.gaps)
    elif by_service is not None and by_account != []:
        _check_services(reader, by_service)
    metric, kept_records = _metric_and_records(records, wanted, kept, first)
    names = wanted.accounts.names if wanted.accounts else {}
    named_accounts = {account: name for account, name in names.items() if name}
    fresh = Bill(
        account=account,
        time=now,
        first=first,
        until=until,
        metric=metric,
        charges=_charges(by_service or (), metric, ("service", "usage_type")),
        by_tag={
            name: _charges(
                rows, metric, ("usage_type" if name in fine else "service", "tag"), wanted.tags[name]
            )
            for name, rows in tagged.items()
            if rows is not None
        },
        records=kept_records,
        estimated=frozenset(row.day for row in by_service or () if row.estimated),
        forecast=forecast,
        requests=explorer.requests,
        accounts={**explorer.account_names, **named_accounts} if wanted.accounts else None,
        by_account=_charges(by_account or (), metric, ("tag",)),
        months=_charges(monthly or (), metric, ("usage_type",)),
        currency=next((row.currency for row in by_service or ()), "USD"),
    )
    whole = fresh if kept is None or by_service is None else fresh.after(kept, whole_first)
    if moved is not None:
        rows = _charges(moved, metric, ("usage_type", "tag"))
        whole = replace(whole, moved=(*rows, *other_charges(whole.charges, rows)))
    return replace(whole, gaps=(*reader.gaps, *_seen_gaps(whole, wanted, reader.gaps, checked=checked)))


def _also_over_limit(names: Iterable[str], gaps: Iterable[BillGap]) -> list[BillGap]:
    """Return gaps for tags that were left out, if others did not fit either."""
    over = any(gap.reading is BillReading.TAG and gap.cause is GapCause.OVER_LIMIT for gap in gaps)
    return [
        BillGap(reading=BillReading.TAG, cause=GapCause.OVER_LIMIT, subject=name) for name in names if over
    ]


def _charges_of_accounts(
    rows: Sequence[CostRow] | None, kept: Bill | None, metric: CostMetric, first: date
) -> list[Charge]:
    """Return *rows* as charges by *metric*, after those that the bill *kept* has before *first*."""
    if rows is None:
        return []
    older = kept.by_metric(metric) if kept is not None else None
    before = [charge for charge in older.by_account if charge.day < first] if older is not None else []
    return [*before, *_charges(rows, metric, ("tag",))]


def _read_moved(reader: _Reader, by_account: Iterable[Charge], first: date) -> list[CostRow] | None:
    """Read the accounts that moved most by usage type, from *first* on."""
    settled = reader.until - max(reader.wanted.settling_days - 1, 0) * DAY
    named = most_moved_accounts(by_account, settled, reader.wanted.span)
    if not named:
        return None
    return reader.rows(
        BillReading.MOVED,
        ", ".join(named),
        group_by_dimension("USAGE_TYPE"),
        group_by_dimension(LINKED_ACCOUNT),
        first=first,
        where=(accounts_filter(named),),
    )


def _lacks_months(by_service: Iterable[CostRow], kept: Bill | None, first: date, until: date) -> bool:
    """Return whether *kept* lacks the last whole month, and the account is older than *first*."""
    last = (until.replace(day=1) - DAY).replace(day=1)
    if kept is not None and any(month.day == last for month in kept.months):
        return False
    days = [row.day for row in by_service if row.unblended]
    days += [charge.day for charge in kept.charges if charge.usd] if kept is not None else []
    return min(days, default=until) <= first + WEEK


def _read_months(reader: _Reader) -> list[CostRow] | None:
    """Read the cost of each usage type in the last 13 whole months: a line's earlier jumps."""
    until = reader.until.replace(day=1)
    first = (until.replace(year=until.year - 1) - DAY).replace(day=1)
    return reader.rows(
        BillReading.MONTHS,
        "",
        group_by_dimension("USAGE_TYPE"),
        first=first,
        until=until,
        granularity="MONTHLY",
    )


def _metric_and_records(
    rows: Sequence[CostRow] | None, wanted: BillRequest, kept: Bill | None, first: date
) -> tuple[CostMetric, tuple[RecordCharge, ...]]:
    """Return the metric and the charges by record type from *first* on; refused, they are *kept* ones."""
    if rows is None and kept is not None:
        metric = wanted.metric or kept.metric
        older = kept.by_metric(metric)
        return metric, tuple(record for record in older.records if record.day >= first) if older else ()
    committed = any(row.keys[0].startswith(COMMITMENT_RECORDS) for row in rows or ())
    metric = wanted.metric or (CostMetric.AMORTIZED if committed else CostMetric.UNBLENDED)
    costs = ((row, _costs(row, metric)) for row in rows or ())
    return metric, tuple(
        RecordCharge(day=row.day, record_type=row.keys[0], usd=usd, other_usd=other)
        for row, (usd, other) in costs
    )


def _forecast(reader: _Reader, metric: CostMetric) -> Forecast | None:
    """Forecast the rest of the month from the unfinished day on, by the bill's metric."""
    first = reader.until
    until = (first.replace(day=1) + 32 * DAY).replace(day=1)
    found = reader.unless_refused(
        BillReading.FORECAST,
        "",
        lambda: reader.explorer.forecast(
            first,
            until,
            without=sorted(OUTSIDE_RECORDS),
            services=reader.wanted.services,
            where=reader.wanted.where,
            amortized=metric is CostMetric.AMORTIZED,
        ),
    )
    if found is None:
        return None
    return Forecast(first=first, until=until, usd=found.usd, low=found.low, high=found.high)


def _check_services(reader: _Reader, by_service: Iterable[CostRow]) -> None:
    """Check that the services of the settings exist: a misspelt service would silently cost nothing."""
    charged = {row.keys[0] for row in by_service}
    if missing := [name for name in reader.wanted.services if name not in charged]:
        known = reader.unless_refused(
            BillReading.SERVICE_NAMES, "", lambda: reader.explorer.services(reader.first, reader.until)
        )
        for name in missing:
            if known is not None and name not in known:
                near, cause = ", ".join(sorted(known)), GapCause.NO_SUCH_SERVICE
                reader.gaps.append(
                    BillGap(reading=BillReading.SERVICE_NAMES, cause=cause, subject=name, detail=near)
                )


def _check_tags(reader: _Reader) -> bool:
    """Check that the tags of the settings are activated and exist; return whether AWS answered."""
    wanted = reader.wanted
    active = reader.unless_refused(
        BillReading.ACTIVE_TAGS, "", lambda: reader.explorer.tags_active(list(wanted.tags.values()))
    )
    if active is None:
        return False
    unknown = [key for key in wanted.tags.values() if key in wanted.chosen and key not in active]
    used: frozenset[str] | None = None
    if unknown:
        used = reader.unless_refused(
            BillReading.ACTIVE_TAGS, "", lambda: reader.explorer.tag_keys(reader.first, reader.until)
        )
    reader.gaps += tag_gaps(wanted.tags.values(), wanted.chosen, active, used or frozenset())
    return True


def tag_gaps(
    keys: Iterable[str], chosen: Collection[str], active: Mapping[str, bool], used: Collection[str]
) -> Iterator[BillGap]:
    """
    Yield a gap for each of the tags *keys* that is not activated, or does not exist.

    *active* is the answer of `CostExplorer.tags_active`. A *chosen* key without resources may be
    misspelt: *used* are keys of charged resources.
    """
    for key in keys:
        if key not in active:
            cause = GapCause.NO_SUCH_TAG if key in chosen else GapCause.TAG_NOT_USED
            near = get_close_matches(key, list(used), 1, cutoff=0.5) if key in chosen else []
            yield BillGap(reading=BillReading.ACTIVE_TAGS, cause=cause, subject=key, detail="".join(near))
        elif not active[key]:
            yield BillGap(reading=BillReading.ACTIVE_TAGS, cause=GapCause.TAG_NOT_ACTIVE, subject=key)


def _seen_gaps(
    bill: Bill, wanted: BillRequest, gaps: Sequence[BillGap], *, checked: bool
) -> Iterable[BillGap]:
    """Yield the gaps that the bill itself shows: tags without a value, days before the account's first."""
    for name, key in wanted.tags.items():
        rows = bill.by_tag.get(name, ())
        if rows and not checked and not any(row.tag for row in rows):
            yield BillGap(reading=BillReading.TAG, cause=GapCause.TAG_NOT_ACTIVE, subject=key)
    unread = {gap.reading for gap in gaps}
    if wanted.accounts is not None and not unread & {BillReading.SERVICES, BillReading.ACCOUNTS}:
        yield from unseen_account_gaps(bill, wanted.accounts)
    begun = min((charge.day for charge in bill.charges if charge.usd), default=None)
    if begun is not None and begun > bill.first:
        yield BillGap(reading=BillReading.SERVICES, cause=GapCause.SHORT_HISTORY, subject=f"{begun}")


def _costs(row: CostRow, metric: CostMetric) -> tuple[Decimal, Decimal]:
    """Return the cost of *row* by the metric, and by the other one."""
    costs = row.unblended, row.amortized
    return costs[::-1] if metric is CostMetric.AMORTIZED else costs


def _charges(
    rows: Iterable[CostRow], metric: CostMetric, names: tuple[str, ...], key: str = ""
) -> tuple[Charge, ...]:
    """Convert *rows*, whose keys are the members *names* of a charge; a tag's value comes after its *key*."""
    return tuple(
        Charge(
            day=row.day,
            quantity=row.quantity,
            unit=row.unit,
            usd=usd,
            other_usd=other,
            **{
                name: value.removeprefix(f"{key}$") if name == "tag" else value
                for name, value in zip(names, row.keys, strict=True)
            },
        )
        for row, (usd, other) in ((row, _costs(row, metric)) for row in rows)
    )


def _continued(kept: Bill, account: str, wanted: BillRequest, first: date) -> bool:
    """Return whether *kept* has all days from *first* on, except those that are read again."""
    same = kept.account == account and (kept.accounts is None) == (wanted.accounts is None)
    records = bool(kept.records) or all(gap.reading is not BillReading.RECORD_TYPES for gap in kept.gaps)
    return same and bool(kept.charges) and records and kept.first <= first <= kept.until


# --- accounts of a shared bill --------------------------------------------------------------------

MOST_MOVED_ACCOUNTS = 3
"""The number of accounts that are read by usage type: those whose bill moved most."""

MOST_NAMED_ACCOUNTS = 5
"""The most accounts in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BillAccounts:
    """
    The accounts of a shared bill: those in *names*, by their ids; with *everything*, all others
    that Cost Explorer shows too, except those *without*.
    """

    names: Mapping[str, str]
    everything: bool = False
    without: tuple[str, ...] = ()

    @property
    def where(self) -> tuple[CostFilter, ...]:
        """Return the filter for the accounts, which stays short where all of an organization count."""
        if not self.everything:
            return (accounts_filter(self.names),)
        return (accounts_filter(self.without, but=True),) if self.without else ()


def most_moved_accounts(charges: Iterable[Charge], until: date, days: int) -> list[str]:
    """Return the accounts that changed most between two consecutive spans of *days* days, up to *until*."""
    after = DaySpan(until - days * DAY, days)
    before = DaySpan(after.first - days * DAY, days)
    changes: dict[str, Decimal] = defaultdict(Decimal)
    for charge in charges:
        usd = charge.usd if charge.day in after else -charge.usd if charge.day in before else ZERO
        changes[charge.tag or ""] += usd
    return sorted(changes, key=lambda account: (-abs(changes[account]), account))[:MOST_MOVED_ACCOUNTS]


def other_charges(charges: Iterable[Charge], named: Iterable[Charge]) -> Iterator[Charge]:
    """Subtract the charges of *named* accounts from *charges*, and yield the rest by day and usage type."""
    left: dict[tuple[date, str], list[Any]] = {}
    for charge in charges:
        sums = left.setdefault((charge.day, charge.usage_type), [ZERO, ZERO, charge.unit])
        sums[0] += charge.usd
        sums[1] += charge.quantity
    for charge in named:
        sums = left.setdefault((charge.day, charge.usage_type), [ZERO, ZERO, charge.unit])
        sums[0] -= charge.usd
        sums[1] -= charge.quantity
    for (day, usage_type), (usd, quantity, unit) in left.items():
        if usd or quantity:
            yield Charge(
                day=day, usage_type=usage_type, tag=OTHER_ACCOUNTS, usd=usd, quantity=quantity, unit=unit
            )


def unseen_account_gaps(bill: Bill, accounts: BillAccounts) -> Iterator[BillGap]:
    """
    Yield a gap for accounts without visible charges in Cost Explorer.

    If it shows only the asking account's charges, that account is most likely a member: its bill is not
    complete.
    """
    missing = sorted(set(accounts.names) - set(bill.seen))
    alone = set(bill.seen) <= {bill.account} and (bool(missing) or accounts.everything)
    if missing or alone:
        yield BillGap(
            reading=BillReading.ACCOUNTS,
            cause=GapCause.MEMBER_ACCOUNT if alone else GapCause.NOT_CHARGED,
            subject=shorten_list(
                [account_title(account, accounts.names) for account in missing], MOST_NAMED_ACCOUNTS
            )
            or "any other account",
            detail=bill.account if alone else "",
        )


def account_title(account: str, names: Mapping[str, str]) -> str:
    """Return an account with its name, if known."""
    name = names.get(account, "")
    return f"{name} ({account})" if name else account
