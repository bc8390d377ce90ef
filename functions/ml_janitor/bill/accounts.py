"""The accounts of one bill: which count, which moved most, and of which nothing is seen. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from ml_janitor.aws.cost_explorer import Row, Where, of_accounts
from ml_janitor.bill.model import DAY, OTHERS, ZERO, Bill, Charge, Gap, GapCause, Reading, Span
from ml_janitor.core.text import some

MOST_MOVED = 3
"""How many accounts of several are read by usage type: those whose bill moved most."""

SHOWN = 5
"""Accounts that a sentence names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """
    The accounts that a bill of several is of: those in *names*, by their ids; with *everything*, all others
    that Cost Explorer shows too, but those *without*.
    """

    names: Mapping[str, str]
    everything: bool = False
    without: tuple[str, ...] = ()

    @property
    def where(self) -> tuple[Where, ...]:
        """The filter for them, which stays short where all of an organization count."""
        if not self.everything:
            return (of_accounts(self.names),)
        return (of_accounts(self.without, but=True),) if self.without else ()


def most_moved(rows: Iterable[Row], older: Iterable[Charge], until: date, days: int) -> list[str]:
    """
    The accounts that changed most from some *days* to the next, *until* when.

    *rows* are by day and account, *older* the charges of the days before.
    """
    rows = list(rows)
    first = min((one.day for one in rows), default=until)
    after = Span(until - days * DAY, days)
    before = Span(after.first - days * DAY, days)
    changes: dict[str, Decimal] = defaultdict(Decimal)
    known = [(one.day, one.tag or "", one.usd) for one in older if one.day < first]
    for day, account, usd in (*known, *((one.day, one.keys[0], one.unblended) for one in rows)):
        changes[account] += usd if day in after else -usd if day in before else ZERO
    return sorted(changes, key=lambda one: (-abs(changes[one]), one))[:MOST_MOVED]


def others(charges: Iterable[Charge], named: Iterable[Charge]) -> Iterator[Charge]:
    """What is left of *charges* without those of accounts that are *named*, by day and usage type."""
    left: dict[tuple[date, str], list[Any]] = {}
    for one in charges:
        sums = left.setdefault((one.day, one.usage_type), [ZERO, ZERO, one.unit])
        sums[0] += one.usd
        sums[1] += one.quantity
    for one in named:
        sums = left.setdefault((one.day, one.usage_type), [ZERO, ZERO, one.unit])
        sums[0] -= one.usd
        sums[1] -= one.quantity
    for (day, usage_type), (usd, quantity, unit) in left.items():
        if usd or quantity:
            yield Charge(day=day, usage_type=usage_type, tag=OTHERS, usd=usd, quantity=quantity, unit=unit)


def unseen(bill: Bill, accounts: Accounts) -> Iterator[Gap]:
    """
    The accounts of which Cost Explorer shows no charge.

    Where it shows none but the asking one's, that is most likely a member: its bill is not the whole one.
    """
    missing = sorted(set(accounts.names) - set(bill.seen))
    alone = set(bill.seen) <= {bill.account} and (bool(missing) or accounts.everything)
    if missing or alone:
        yield Gap(
            reading=Reading.ACCOUNTS,
            cause=GapCause.MEMBER_ACCOUNT if alone else GapCause.NOT_CHARGED,
            subject=some([titled(one, accounts.names) for one in missing], SHOWN) or "any other account",
            detail=bill.account if alone else "",
        )


def titled(account: str, names: Mapping[str, str]) -> str:
    """An account with what it is called, where that is known."""
    name = names.get(account, "")
    return f"{name} ({account})" if name else account
