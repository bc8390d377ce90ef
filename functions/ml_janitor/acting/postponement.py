"""Postpones what is due: so much is waste that a person has to look, or nobody is at work. Law 6."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from ml_janitor.core.cause import Cause, Why, cause
from ml_janitor.core.model import Outcome

if TYPE_CHECKING:
    from ml_janitor.core.model import Sweep
    from ml_janitor.engine.arming import Arming
    from ml_janitor.ledger.entries import Entry


@dataclass(frozen=True)
class Postponement:
    """What is postponed of one sweep. *entries* are its findings in the ledger."""

    sweep: Sweep
    entries: Mapping[str, Entry]
    arming: Arming

    def of(self, key: str, at: datetime, *, hurried: str = "") -> Cause | None:
        """
        Why nothing is done *at* that time to the resource *key*, or None.

        *hurried* is who pressed *Do it now* on it: that is a person's word for this one, on any day.
        """
        entry = self.entries.get(key)
        if hurried or (entry is not None and entry.hurried):
            return None
        if self.arming.rests(at):
            return cause(Why.REST_DAY)
        return None if entry is not None and entry.approved else self.too_much

    @cached_property
    def too_much(self) -> Cause | None:
        """Why so much is waste that a person has to look first, or None."""
        unseen = [
            result
            for result in self.sweep.results
            if result.outcome is Outcome.WAITING and not self._seen(result.target.key)
        ]
        waste, looked_at = len(unseen), self.sweep.looked_at
        if not self.arming.too_many(waste, looked_at):
            return None
        return cause(Why.MAX_SHARE, waste, looked_at, self.arming.max_share, self.sweep.detector)

    def _seen(self, key: str) -> bool:
        """Whether a person looked at it: approved it with all others, or pressed *Do it now* on it."""
        entry = self.entries.get(key)
        return entry is not None and bool(entry.approved or entry.hurried)
