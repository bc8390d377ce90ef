"""What the detectors of one deployment share: the clock, the table and the way to it, the night's limit."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from random import Random
from typing import TYPE_CHECKING

from ml_janitor.ledger.table import Table
from properties.nightly.wire import Wire
from standin import TUESDAY

if TYPE_CHECKING:
    from properties.nightly.driver import Driver
    from properties.nightly.store import Identity


@dataclass(kw_only=True)
class Common:
    """Everything of *seed*. *mine* is the table as people reach it, *table* as programs do, over *wire*."""

    seed: int
    random: Random
    mine: Table
    table: Table
    wire: Wire
    clock: datetime = TUESDAY
    story: list[str] = field(default_factory=list)
    events: int = 0
    in_night: dict[date, set[Identity]] = field(default_factory=dict)
    drivers: list[Driver] = field(default_factory=list)

    @property
    def at_most(self) -> int:
        """Of every third account so few that two detectors are in each other's way."""
        return 50 if self.seed % 3 else 2

    def tell(self, what: str) -> None:
        self.story.append(f"{self.clock:%m-%d %H:%M} {what}")
