"""Reads an account's bill in a limited number of requests, the most valuable first, and notes the gaps."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from difflib import get_close_matches

from ml_janitor.aws.cost_explorer import (
    LINKED_ACCOUNT,
    CostExplorer,
    CostFilter,
    CostRow,
    RefusalCause,
    RefusedError,
    accounts_filter,
    group_by_dimension,
    group_by_tag,
)
from ml_janitor.bill.accounts import most_moved_accounts, other_charges, unseen_account_gaps
from ml_janitor.bill.asking import BillRequest
from ml_janitor.bill.model import (
    OUTSIDE_RECORDS,
    Bill,
    BillGap,
    BillReading,
    Charge,
    CostMetric,
    Forecast,
    GapCause,
    RecordCharge,
)
from ml_janitor.core.durations import DAY

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
        where: Sequence[CostFilter] | None = None,
    ) -> list[CostRow] | None:
        """
        Read rows by *groups*, from *first* on, with the wanted filter or *where*; None, and a gap, if
        refused.

        `OUTSIDE_RECORDS` counts only by record type.
        """
        without = () if reading is BillReading.RECORD_TYPES else sorted(OUTSIDE_RECORDS)
        return self.unless_refused(
            reading,
            subject,
            lambda: self.explorer.daily(
                first or self.first,
                self.until,
                *groups,
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

    def tag(name: str, key: str, by: Mapping[str, str]) -> list[CostRow] | None:
        since = first if kept is not None and name in kept.by_tag else whole_first
        return reader.rows(BillReading.TAG, name, by, group_by_tag(key), first=since)

    reader = _Reader(explorer, wanted, first, until)
    usage = group_by_dimension("USAGE_TYPE")
    by_service = reader.rows(BillReading.SERVICES, "", group_by_dimension("SERVICE"), usage)
    keys = list(wanted.tags.items())
    fine, coarse = (
        keys[:TAGS_BY_USAGE],
        sorted(keys[TAGS_BY_USAGE:], key=lambda item: item[0] not in wanted.first),
    )
    tagged: dict[str, list[CostRow] | None] = {}
    by_account, moved = None, None
    checked = False
    if by_service is not None and wanted.accounts is not None:
        older = kept.by_account if kept is not None else ()
        since_then = first if older else whole_first
        by_account = reader.rows(
            BillReading.ACCOUNTS, "", group_by_dimension(LINKED_ACCOUNT), first=since_then
        )
        if named := most_moved_accounts(by_account or (), older, until, wanted.span):
            moved = reader.rows(
                BillReading.MOVED,
                ", ".join(named),
                usage,
                group_by_dimension(LINKED_ACCOUNT),
                first=whole_first,
                where=(accounts_filter(named),),
            )
    if by_service is not None and by_account != []:  # without both, no other row has a place
        for name, key in fine:
            tagged[name] = tag(name, key, usage)
        records = reader.rows(BillReading.RECORD_TYPES, "", group_by_dimension("RECORD_TYPE"))
        forecast = _forecast(reader)
        _check_services(reader, by_service)
        if wanted.check_tags:
            checked = _check_tags(reader)
            coarse = coarse[:-2]
        for name, key in coarse:
            tagged[name] = tag(name, key, group_by_dimension("SERVICE"))
    else:
        records, forecast = None, None
    committed = any(record.keys[0].startswith(COMMITMENT_RECORDS) for record in records or ())
    metric = wanted.metric or (CostMetric.AMORTIZED if committed else CostMetric.UNBLENDED)
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
                rows, metric, ("usage_type" if name in dict(fine) else "service", "tag"), wanted.tags[name]
            )
            for name, rows in tagged.items()
            if rows is not None
        },
        records=tuple(
            RecordCharge(day=record.day, record_type=record.keys[0], usd=_usd(record, metric))
            for record in records or ()
        ),
        estimated=frozenset(row.day for row in by_service or () if row.estimated),
        forecast=forecast,
        requests=explorer.requests,
        accounts={**explorer.account_names, **named_accounts} if wanted.accounts else None,
        by_account=_charges(by_account or (), metric, ("tag",)),
    )
    whole = fresh if kept is None or by_service is None else fresh.after(kept, whole_first)
    if moved is not None:
        rows = _charges(moved, metric, ("usage_type", "tag"))
        whole = replace(whole, moved=(*rows, *other_charges(whole.charges, rows)))
    return replace(whole, gaps=(*reader.gaps, *_seen_gaps(whole, wanted, reader.gaps, checked=checked)))


def _forecast(reader: _Reader) -> Forecast | None:
    """Forecast the rest of the month from the unfinished day on."""
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


def _usd(row: CostRow, metric: CostMetric) -> Decimal:
    return row.amortized if metric is CostMetric.AMORTIZED else row.unblended


def _charges(
    rows: Iterable[CostRow], metric: CostMetric, names: tuple[str, ...], key: str = ""
) -> tuple[Charge, ...]:
    """Convert *rows*, whose keys are the members *names* of a charge; a tag's value comes after its *key*."""
    return tuple(
        Charge(
            day=row.day,
            usd=_usd(row, metric),
            quantity=row.quantity,
            unit=row.unit,
            **{
                name: value.removeprefix(f"{key}$") if name == "tag" else value
                for name, value in zip(names, row.keys, strict=True)
            },
        )
        for row in rows
    )


def _continued(kept: Bill, account: str, wanted: BillRequest, first: date) -> bool:
    """Return whether *kept* has all days from *first* on, except those that are read again."""
    same = kept.account == account and (kept.accounts is None) == (wanted.accounts is None)
    records = all(gap.reading is not BillReading.RECORD_TYPES for gap in kept.gaps)
    return same and bool(kept.charges) and records and kept.first <= first <= kept.until
