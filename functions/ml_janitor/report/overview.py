"""What the latest runs over an organization found, and what is not known of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from ml_janitor.ledger.latest import LastSweep
from ml_janitor.report.digest import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorRun:
    """
    The latest run of *detector* over the organization, of the schedule's *time*; None if there never was one.

    It looked at so many *accounts*, in so many *sweeps*. While it is *at_work*, those that are *waiting* have
    no result of it yet. It is *late* if its schedule should have begun another by now. *error* is why
    nobody knows what it looks at.
    """

    detector: str
    time: datetime | None = None
    begun: datetime | None = None
    accounts: int = 0
    sweeps: int = 0
    waiting: int = 0
    at_work: bool = False
    late: bool = False
    error: str = ""

    @property
    def ran(self) -> bool:
        """Whether it did what its schedule says, or is about to."""
        return self.time is not None and not self.late


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """
    What the latest *runs* found in all *accounts*.

    *rows* are of those sweeps that found something, left something unjudged, or have an error, or no result
    at all although their run has ended. *names* are of accounts, where they are known.
    """

    runs: Sequence[DetectorRun]
    rows: Sequence[Row]
    accounts: int
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def last(self) -> list[LastSweep]:
        """The sweeps that have a result."""
        return [row.last for row in self.rows if row.last is not None]

    @property
    def counts(self) -> dict[str, int]:
        """How much there is of it, for the log."""
        return {
            "accounts": self.accounts,
            "sweeps": sum(run.sweeps for run in self.runs),
            "did_not_run": sum(not run.ran for run in self.runs),
            "not_ended": sum(run.at_work for run in self.runs),
            "unread": len(self.unread),
        }

    @property
    def dollars(self) -> dict[str, Decimal]:
        """What the findings of each detector that ever ran cost a month, over all accounts."""
        sums = {run.detector: Decimal(0) for run in self.runs if run.time is not None}
        for sweep in self.last:
            sums[sweep.detector] += sweep.monthly_usd
        return sums

    @property
    def new(self) -> int:
        """Findings since the last digest."""
        return sum(row.new for row in self.rows)

    @property
    def unread(self) -> list[Row]:
        """Sweeps that read nothing at all."""
        return [row for row in self.rows if row.last is None or (row.last.error and not row.last.looked_at)]

    @property
    def incomplete(self) -> list[Row]:
        """Sweeps that read a part."""
        return [row for row in self.rows if row.last and row.last.error and row.last.looked_at]

    @property
    def partial(self) -> bool:
        """Whether there may be more: something was not read."""
        return bool(self.unread or self.incomplete) or any(run.error for run in self.runs)

    @property
    def fine(self) -> bool:
        """Whether everything ran and was read."""
        return not self.partial and all(run.ran and not run.at_work for run in self.runs)
