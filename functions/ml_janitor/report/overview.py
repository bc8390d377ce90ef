"""The results of the latest runs over an organization, and their gaps. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from ml_janitor.ledger.latest import LastSweep
from ml_janitor.report.digest import SweepRow


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorRun:
    """
    The latest run of *detector* over the organization, of the schedule's *time*; None if there never was one.

    It looked at so many *accounts*, in so many *sweeps*. While it is *at_work*, accounts that are *waiting*
    have no result of this run yet. It is *late* if its schedule should have begun another run by now. *error*
    is why nobody knows which accounts it looks at.
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
        """Return whether the run happened on schedule, or is about to."""
        return self.time is not None and not self.late


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """
    Results of the latest *runs* in all *accounts*.

    *rows* are the sweeps that found something, left something unjudged, have an error, or have no result
    although their run has ended. *names* are the known names of accounts.
    """

    runs: Sequence[DetectorRun]
    rows: Sequence[SweepRow]
    accounts: int
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def last(self) -> list[LastSweep]:
        """Return the sweeps that have a result."""
        return [row.last for row in self.rows if row.last is not None]

    @property
    def counts(self) -> dict[str, int]:
        """Return counts for the log."""
        return {
            "accounts": self.accounts,
            "sweeps": sum(run.sweeps for run in self.runs),
            "did_not_run": sum(not run.ran for run in self.runs),
            "not_ended": sum(run.at_work for run in self.runs),
            "unread": len(self.unread),
        }

    @property
    def dollars(self) -> dict[str, Decimal]:
        """Return the monthly cost of the findings of each detector that ever ran, over all accounts."""
        sums = {run.detector: Decimal(0) for run in self.runs if run.time is not None}
        for sweep in self.last:
            sums[sweep.detector] += sweep.monthly_usd
        return sums

    @property
    def new(self) -> int:
        """Count findings since the last digest."""
        return sum(row.new for row in self.rows)

    @property
    def unread(self) -> list[SweepRow]:
        """Return the sweeps that read nothing."""
        return [row for row in self.rows if row.last is None or (row.last.error and not row.last.looked_at)]

    @property
    def incomplete(self) -> list[SweepRow]:
        """Return the sweeps that read a part."""
        return [row for row in self.rows if row.last and row.last.error and row.last.looked_at]

    @property
    def partial(self) -> bool:
        """Return whether there may be more findings, because something was not read."""
        return bool(self.unread or self.incomplete) or any(run.error for run in self.runs)

    @property
    def fine(self) -> bool:
        """Return whether everything ran and was read."""
        return not self.partial and all(run.ran and not run.at_work for run in self.runs)
