"""What people said about single resources: keep it, or not now. In the ledger's table, by identity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from janitor.ledger.table import EXPIRES, ConditionFailedError, Table, moment, stamp
from janitor.people import named

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
    What somebody keeps is not shortened by what somebody else snoozes: both stand. Of two words of one
    kind the longer stands, in whatever order they arrive.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def put(self, account: str, region: str, hold: Hold, *, shorten: bool = False) -> None:
        """Remember *hold*, unless one of its kind stands for longer; then only who means to *shorten* it."""
        expires = {} if hold.until is None else {EXPIRES: int(hold.until.timestamp())}
        said = {
            "key": hold.key,
            "how": hold.how.value,
            "by": hold.by,
            "said": stamp(hold.said),
            "until": None if hold.until is None else stamp(hold.until),
            "why": hold.why,
        }
        # What is for good is NULL, which matches no comparison with text (DynamoDB's API, "Condition").
        longer = "" if shorten or hold.until is None else "attribute_not_exists(pk) OR #until <= :new"
        where, key = _where(account, region), f"{hold.key}#{hold.how}"
        with suppress(ConditionFailedError):
            self._table.put(where, key, said | expires, only_if=longer, new=said["until"])

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
    """Why a resource with *holds* is kept at *now*, by the longest of them; None if it is not."""
    hold = standing(holds, now)
    return None if hold is None else hold.reason(now)


def standing(holds: Iterable[Hold], now: datetime) -> Hold | None:
    """The one of *holds* that keeps a resource at *now* for the longest time; None if none does."""
    last = datetime.max.replace(tzinfo=UTC)
    ordered = sorted(holds, key=lambda hold: (hold.until or last, hold.how is How.KEPT), reverse=True)
    return next((hold for hold in ordered if hold.reason(now) is not None), None)


def _where(account: str, region: str) -> str:
    return f"{HOLD}#{account}#{region}"
