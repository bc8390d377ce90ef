"""What people said about single resources: keep it, or not now. In the ledger's table, by identity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from janitor.people import named
from janitor.table import EXPIRES, Table, moment, stamp

if TYPE_CHECKING:
    from janitor.model import Target

HOLD = "hold"


class How(StrEnum):
    """Which of the two was said."""

    KEPT = "kept"
    SNOOZED = "snoozed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Somebody's word that the resource of identity *key* stays, through *until* or for good."""

    key: str
    how: How
    by: str
    said: datetime
    until: datetime | None = None
    why: str = ""

    def reason(self, now: datetime) -> str | None:
        """The reason to keep at *now*, in words; None once it is over."""
        if self.until is not None and self.until <= now:
            return None
        until = "" if self.until is None else f" until {self.until:%Y-%m-%d %H:%M} UTC"
        return f"{self.how} by {named(self.by)}{until}{f': {self.why}' if self.why else ''}"


class Holds:
    """
    The holds in *table*.

    A hold is for ARN + creation time: a re-created resource with the old name starts from nothing.
    What somebody keeps is not shortened by what somebody else snoozes: both stand.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def put(self, account: str, region: str, hold: Hold) -> None:
        """Remember *hold*; one said later of the same kind replaces it."""
        expires = {} if hold.until is None else {EXPIRES: int(hold.until.timestamp())}
        said = {
            "key": hold.key,
            "how": hold.how.value,
            "by": hold.by,
            "said": stamp(hold.said),
            "until": None if hold.until is None else stamp(hold.until),
            "why": hold.why,
        }
        self._table.put(_where(account, region), f"{hold.key}#{hold.how}", said | expires)

    def lift(self, account: str, region: str, key: str) -> None:
        """Forget what was said about *key*."""
        for how in How:
            self._table.delete(_where(account, region), f"{key}#{how}")

    def all(self, account: str, region: str) -> Mapping[str, tuple[Hold, ...]]:
        """Every hold of an account and region, by identity."""
        found: dict[str, tuple[Hold, ...]] = {}
        for item in self._table.query(_where(account, region)):
            hold = Hold(
                key=item["key"],
                how=How(item["how"]),
                by=item["by"],
                said=datetime.fromisoformat(item["said"]),
                until=moment(item["until"]),
                why=item["why"],
            )
            found[hold.key] = (*found.get(hold.key, ()), hold)
        return found


def anew(arn: str) -> str:
    """The key of a hold on whatever is made anew as *arn*: what an undo creates has another identity."""
    return f"{arn}@anew"


def on(holds: Mapping[str, Sequence[Hold]], target: Target) -> tuple[Hold, ...]:
    """Those of *holds* that are on *target*."""
    return (*holds.get(target.key, ()), *holds.get(anew(target.arn), ()))


def held(holds: Iterable[Hold], now: datetime) -> str | None:
    """Why a resource with *holds* is kept at *now*, what is for good first; None if it is not."""
    hold = standing(holds, now)
    return None if hold is None else hold.reason(now)


def standing(holds: Iterable[Hold], now: datetime) -> Hold | None:
    """The one of *holds* that keeps a resource at *now*, what is for good first; None if none does."""
    ordered = sorted(holds, key=lambda hold: (hold.until is not None, hold.how))
    return next((hold for hold in ordered if hold.reason(now) is not None), None)


def _where(account: str, region: str) -> str:
    return f"{HOLD}#{account}#{region}"
