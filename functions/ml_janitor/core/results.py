"""What a run leaves behind: results, sweeps, reports."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from ml_janitor.core.cause import Cause, HeldBack, UnreachableUndos, Why
from ml_janitor.core.cost import HOURS_PER_MONTH, Cost
from ml_janitor.core.model import Change, Finding, Kept, Mode, Target, Verdict


class Outcome(StrEnum):
    """What became of a judged candidate. The words speak of the past."""

    WOULD_ACT = "would-act"
    ADVISED = "advised"
    WARNED = "warned"
    WAITING = "waiting"
    KEPT = "kept"
    ACTED = "acted"
    FAILED = "failed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """
    The finding of *detector* about *arn* that is counted instead of another, which names the same resource.

    *monthly_usd* and *accrued_usd* are what is counted of the other one all the same.
    """

    detector: str
    arn: str
    name: str
    monthly_usd: Decimal
    accrued_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """
    A judged candidate with its outcome.

    *cause* is why the outcome is what it is: why it waits, what failed. *due* is when a warned finding may
    be acted on. *parts* are the ARNs of what its change would take along, *wholes* of what it is a part of.
    *overlap* is what is counted instead, if another finding names the resource too; *hours* is how long the
    change takes somebody, as a guess.
    """

    detector: str
    target: Target
    verdict: Verdict
    outcome: Outcome
    change: Change = Change.END
    parts: tuple[str, ...] = ()
    wholes: tuple[str, ...] = ()
    overlap: Overlap | None = None
    hours: float = 1.0
    owner: str | None = None
    due: datetime | None = None
    cause: Cause | None = None

    @property
    def why(self) -> Why | None:
        """Why its outcome is what it is, without the details."""
        return None if self.cause is None else self.cause.why

    @property
    def cost(self) -> Cost | None:
        """What it costs; None if it is no finding, or has no price of its own."""
        return self.verdict.cost if isinstance(self.verdict, Finding) else None

    @property
    def counted(self) -> Cost | None:
        """What of its cost is part of a sum."""
        if self.cost is None or self.overlap is None:
            return self.cost
        left = self.overlap
        return Cost(
            hourly_usd=self.cost.hourly_usd if left.accrued_usd else None,
            monthly_usd=left.monthly_usd if self.accrued_usd is None else None,
            accrued_usd=None if self.accrued_usd is None else left.accrued_usd,
            source=self.cost.source,
            once_usd=self.cost.once_usd if left.monthly_usd or left.accrued_usd else None,
        )

    @property
    def usd_per_hour(self) -> Decimal | None:
        """What an hour of work on it saves a month: what counts of it; of a job, what it goes on costing."""
        if (cost := self.counted) is None:
            return None
        monthly = cost.monthly_usd
        if monthly is None and cost.hourly_usd is not None:
            monthly = cost.hourly_usd * HOURS_PER_MONTH
        return None if monthly is None else monthly / Decimal(str(self.hours))

    @property
    def monthly_usd(self) -> Decimal | None:
        return self.cost.monthly_usd if self.cost else None

    @property
    def accrued_usd(self) -> Decimal | None:
        return self.cost.accrued_usd if self.cost else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """
    One detector over one account and region.

    *error* says why the sweep is not complete; what was read is in *results* all the same.
    *account* is None if nobody could say which one it is. *notices* are what the reading came across
    besides; they concern no single result. *held_back* says which limits held what back;
    *unreachable* are the undos of a disarmed detector that no deployed function may do any more.
    """

    detector: str
    account: str | None
    region: str
    mode: Mode
    results: tuple[Result, ...] = ()
    error: str | None = None
    notices: tuple[str, ...] = ()
    held_back: tuple[HeldBack, ...] = ()
    unreachable: UnreachableUndos | None = None

    @property
    def findings(self) -> tuple[Result, ...]:
        return tuple(r for r in self.results if isinstance(r.verdict, Finding))

    @property
    def looked_at(self) -> int:
        """How many candidates were judged; found + kept."""
        return len(self.results)

    @property
    def found(self) -> int:
        return len(self.findings)

    @property
    def kept(self) -> int:
        """How many were not, the unknown ones among them."""
        return self.looked_at - self.found

    @property
    def unknown(self) -> int:
        return sum(isinstance(r.verdict, Kept) and r.verdict.unknown for r in self.results)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All sweeps of one run, as of *time*; *account* is None for several, or if nobody could say which."""

    time: datetime
    account: str | None
    sweeps: tuple[Sweep, ...]

    @property
    def results(self) -> tuple[Result, ...]:
        return tuple(result for sweep in self.sweeps for result in sweep.results)

    @property
    def accounts(self) -> tuple[str, ...]:
        """The accounts of the sweeps, each once."""
        return tuple(dict.fromkeys(sweep.account for sweep in self.sweeps if sweep.account))

    @property
    def findings(self) -> tuple[Result, ...]:
        return tuple(result for sweep in self.sweeps for result in sweep.findings)
