"""Holds: a person's decision that one resource stays for now, or for good. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from ml_janitor.core.model import Target
from ml_janitor.core.text import person_name


class HoldKind(StrEnum):
    """The kind of a hold."""

    KEPT = "kept"
    SNOOZED = "snoozed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A decision that the resource of identity *key* stays, through *until* or for good."""

    key: str
    how: HoldKind
    by: str
    given: datetime
    until: datetime | None = None
    why: str = ""

    def reason(self, now: datetime) -> str | None:
        """Return the reason to keep at *now*, in words; None once it is over."""
        if self.until is not None and self.until <= now:
            return None
        until = "" if self.until is None else f" until {self.until:%Y-%m-%d %H:%M} UTC"
        return f"{self.how} by {person_name(self.by)}{until}{f': {self.why}' if self.why else ''}"


def recreated_hold_key(arn: str) -> str:
    """Return the key of a hold on a resource created anew as *arn*: an undo creates another identity."""
    return f"{arn}@anew"


def advice_hold_key(detector: str, key: str) -> str:
    """Return the key of a hold on only *detector*'s findings for the resource of identity *key*."""
    return f"{detector} {key}"


def holds_on_advice(holds: Mapping[str, Sequence[Hold]], detector: str, key: str) -> tuple[Hold, ...]:
    """Return the *holds* on advice of *detector* for the resource of identity *key*."""
    return (*holds.get(key, ()), *holds.get(advice_hold_key(detector, key), ()))


def holds_on(holds: Mapping[str, Sequence[Hold]], target: Target, detector: str) -> tuple[Hold, ...]:
    """Return the *holds* on *target*, or on *detector*'s findings for it."""
    return (*holds_on_advice(holds, detector, target.key), *holds.get(recreated_hold_key(target.arn), ()))


def hold_reason(holds: Iterable[Hold], now: datetime) -> str | None:
    """Return why *holds* keep a resource at *now*, by the longest hold; None if none does."""
    hold = longest_hold(holds, now)
    return None if hold is None else hold.reason(now)


def longest_hold(holds: Iterable[Hold], now: datetime) -> Hold | None:
    """Return the hold that keeps a resource at *now* for the longest time; None if none does."""
    last = datetime.max.replace(tzinfo=UTC)
    ordered = sorted(holds, key=lambda hold: (hold.until or last, hold.how is HoldKind.KEPT), reverse=True)
    return next((hold for hold in ordered if hold.reason(now) is not None), None)
