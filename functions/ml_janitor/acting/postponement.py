"""What nothing is done about for now, though it is due: so much is waste, or nobody is at work. Law 6."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from ml_janitor.core.model import Outcome

if TYPE_CHECKING:
    from ml_janitor.core.model import Sweep
    from ml_janitor.engine.arming import Arming
    from ml_janitor.ledger.entries import Entry

RESTS = "nothing is deleted on weekends and holidays (business_days)"
"""Why something that is due waits for another day."""


@dataclass(frozen=True)
class StandingBack:
    """One sweep's. *entries* are its findings in the ledger; *held* counts, by what held it back."""

    sweep: Sweep
    entries: Mapping[str, Entry]
    arming: Arming
    held: dict[str, int]

    def why(self, key: str, at: datetime, *, hurried: str = "") -> str | None:
        """
        Why nothing is done *at* that time to the resource *key*, or None.

        *hurried* is who pressed *Do it now* on it: that is a person's word for this one, on any day.
        """
        entry = self.entries.get(key)
        if hurried or (entry is not None and entry.hurried):
            return None
        if self.arming.rests(at):
            return RESTS
        if self.smells is None or (entry is not None and entry.approved):
            return None
        self.held[self.smells] = 0
        return f"held back: {self.smells}"

    @cached_property
    def smells(self) -> str | None:
        """Why so much is waste that a person has to look first, or None."""
        unseen = [
            result
            for result in self.sweep.results
            if result.outcome is Outcome.WAITING and not self._seen(result.target.key)
        ]
        why = self.arming.too_many(len(unseen), self.sweep.looked_at)
        return None if why is None else f"{why}; to go on: janitor approve {self.sweep.detector}"

    def _seen(self, key: str) -> bool:
        """Whether a person looked at it: approved it with all others, or pressed *Do it now* on it."""
        entry = self.entries.get(key)
        return entry is not None and bool(entry.approved or entry.hurried)
