"""What there is to clean up: items whose truth the driver sets, and calls that really change them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from fakes import UNTELLABLE, USED, Thing, thing, waste
from ml_janitor.core.model import Confidence, Kept, Target, Unreadable, Verdict
from properties.nightly.labels import LABELS, Label

OUT = Kept(reason="it is out")


@dataclass(slots=True, kw_only=True)
class Item:
    """
    One thing in the store, and the truth about it.

    Its identity is its name and when it was made. *origin* is which one it was brought back from. What is
    not *plugged* is half done, and what is not *lit* was stopped.
    """

    name: str
    created: datetime | None
    label: Label
    used: bool = False
    untold: bool = False
    tags_hidden: bool = False
    proven: bool = True
    watched: bool = False
    slow: bool = False
    plugged: bool = True
    lit: bool = True
    origin: str = ""
    relabelled: bool = False

    @property
    def identity(self) -> Identity:
        return self.name, "" if self.created is None else self.created.isoformat()

    @property
    def candidate(self) -> Thing:
        """What a detector gets to see of it."""
        verdict: Verdict = replace(
            waste(), confidence=Confidence.PROVEN if self.proven else Confidence.LIKELY
        )
        if self.used:
            verdict = USED
        if self.untold:
            verdict = UNTELLABLE
        if not self.lit:
            verdict = OUT
        tags = Unreadable("throttled") if self.tags_hidden else self.label.tags
        return thing(self.name, verdict, tags, created=self.created)


type Identity = tuple[str, str]


class Watch(Protocol):
    """Whoever is told of everything, at the moment when it happens."""

    def found(self, *, whole: bool) -> None: ...
    def looked(self, name: str, at: datetime) -> None: ...
    def refused(self, identity: Identity) -> None: ...
    def over(self, identity: Identity) -> None: ...
    def asked(self, step: str, target: Target) -> None: ...
    def done(self, step: str, target: Target) -> None: ...


@dataclass
class ItemStore:
    """
    The items by name. *before* and *after* are called around every call that changes something.

    *breaks_after* is how many items are listed before the listing breaks off.
    """

    watch: Watch
    items: dict[str, Item] = field(default_factory=dict)
    breaks_after: int | None = None
    before: Callable[[str, str], None] = lambda *_: None
    after: Callable[[str, str], None] = lambda *_: None

    def call(self, step: str, target: Target, change: Callable[[], bool]) -> None:
        """One call to AWS; *change* says whether it changed anything."""
        self.before(step, target.name)
        self.watch.asked(step, target)
        if change():
            self.watch.done(step, target)
        self.after(step, target.name)

    def unplug(self, target: Target) -> bool:
        item = self.items.get(target.name)
        if item is None or not item.plugged:
            return False
        item.plugged = False
        return True

    def remove(self, target: Target) -> bool:
        return self.items.pop(target.name, None) is not None

    def douse(self, target: Target) -> bool:
        """It stays, and is out."""
        item = self.items.get(target.name)
        if item is None or not item.lit:
            return False
        item.lit = False
        return True

    def light(self, target: Target) -> bool:
        item = self.items.get(target.name)
        if item is None or item.lit:
            return False
        item.lit = True
        return True

    def bring_back(self, target: Target, undo: Mapping[str, Any], now: datetime) -> bool:
        """As AWS does, it gets a creation time of its own."""
        if target.name in self.items:
            return False
        label = next(label for label in LABELS if label.tags == undo["tags"])
        self.items[target.name] = Item(
            name=target.name, created=now, label=label, plugged=False, origin=str(undo["created"])
        )
        return True

    def plug_in(self, target: Target) -> bool:
        item = self.items.get(target.name)
        if item is None or item.plugged:
            return False
        item.plugged = True
        return True
