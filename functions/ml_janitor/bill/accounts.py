"""The accounts of one bill: counted ones, those that moved most, and those without visible charges. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from ml_janitor.aws.cost_explorer import CostFilter, CostRow, accounts_filter
from ml_janitor.bill.model import OTHER_ACCOUNTS, ZERO, Bill, BillGap, BillReading, Charge, DaySpan, GapCause
from ml_janitor.core.durations import DAY
from ml_janitor.core.text import shorten_list

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


def most_moved_accounts(
    rows: Iterable[CostRow], older: Iterable[Charge], until: date, days: int
) -> list[str]:
    """
    Return the accounts that changed most between two consecutive spans of *days* days, up to *until*.

    *rows* are by day and account, *older* the charges of the days before.
    """
    rows = list(rows)
    first = min((row.day for row in rows), default=until)
    after = DaySpan(until - days * DAY, days)
    before = DaySpan(after.first - days * DAY, days)
    changes: dict[str, Decimal] = defaultdict(Decimal)
    known = [(charge.day, charge.tag or "", charge.usd) for charge in older if charge.day < first]
    for day, account, usd in (*known, *((row.day, row.keys[0], row.unblended) for row in rows)):
        changes[account] += usd if day in after else -usd if day in before else ZERO
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
