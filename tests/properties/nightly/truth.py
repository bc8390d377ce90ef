"""What is true of an item, in the words of the laws and of nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

from properties.nightly.store import Identity, Item


@dataclass(slots=True, kw_only=True)
class Operator:
    """What is set in janitor.toml, and what it means."""

    armed: bool = True
    act_in: tuple[str, ...] = ()
    inside: bool = True
    likely_too: bool = False
    grace: timedelta = timedelta(days=1)
    business_days: bool = False
    holidays: tuple[date, ...] = ()
    max_actions: int = 10
    max_share: int = 100
    at_most: int = 50
    managed_too: tuple[str, ...] = ()
    serving_too: tuple[str, ...] = ()

    def due(self, warned: datetime, *, messaged: bool, proven: bool) -> datetime:
        """
        The first moment at which what was warned about then may be touched.

        After days of rest that is the same hour, or the next morning for what is only likely: that waits
        for people to be at work.
        """
        due = warned + (self.grace if messaged else 2 * self.grace)
        while self.rests(due):
            due += timedelta(days=1)
            due = due if proven else datetime.combine(due.date(), time(), due.tzinfo)
        return due

    def rests(self, at: datetime) -> bool:
        """Whether that is a day on which nothing is done that nobody pressed for."""
        return self.business_days and (at.weekday() >= 5 or at.date() in self.holidays)


@dataclass
class Truth:
    """
    What an item is at some time: waste, or why it is to be left alone.

    *holds* are until when people keep it, by identity; *rests* until when it is left alone after it was
    brought back, by name.
    """

    operator: Callable[[], Operator]
    holds: dict[Identity, list[datetime | None]] = field(default_factory=dict)
    rests: dict[str, datetime] = field(default_factory=dict)

    def state(self, item: Item, at: datetime) -> str:
        """What is true of *item*: "waste", or why not. What is only reported begins with "spared"."""
        held = self.holds.get(item.identity, [])
        label, operator = item.label, self.operator()
        managed = label.managed and label.managed not in operator.managed_too
        serves = label.serves and label.serves not in operator.serving_too
        said = {
            "out": not item.lit,
            "kept by its tags": label.keeps or (label.until is not None and at.date() <= label.until),
            "kept by a person": any(until is None or until > at for until in held),
            "kept because it was brought back": self.rests.get(item.name, at) > at,
            "unknown: its use": item.untold,
            "in use": item.used,
            "unknown: its tags": item.tags_hidden,
            "spared: outside act_in": not operator.inside,
            "spared: only likely": not item.proven and not operator.likely_too,
            "spared: no creation time": item.created is None,
            "spared: managed": managed,
            "spared: production": serves,
        }
        return next((why for why, true in said.items() if true), "waste")
