"""The results of a run: judged candidates with their outcomes and causes, sweeps, and the report."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum, StrEnum, auto

from ml_janitor.core.model import HOURS_PER_MONTH, Change, Cost, Finding, Kept, Mode, Target, Verdict

# --- causes as data -------------------------------------------------------------------------------
#
# `report.causes` makes the sentences; no code compares them.


class CauseCode(Enum):
    """The reasons for an outcome. A comment names the details, in their order."""

    # The action waits.
    UNWARNED = auto()
    NOT_DUE = auto()
    OWNER_NOT_MESSAGED = auto()  # the error
    WARNING_LAPSED = auto()
    SWEEP_INCOMPLETE = auto()
    GRACE_OF_RULE = auto()
    WARNED_BEFORE_CLOSING = auto()
    NOT_QUIET = auto()
    UNKNOWN_AT_RECHECK = auto()  # the recheck's reason
    PREPARING = auto()  # the step reached
    OUT_OF_TIME = auto()
    ACTED_BEFORE = auto()  # the ledger's error
    ANOTHER_RUN = auto()  # the ledger's error
    MAX_ACTIONS = auto()  # the limit
    MAX_ACTIONS_PER_NIGHT = auto()  # the limit
    NO_LEDGER = auto()  # the error
    MAX_SHARE = auto()  # the count, the total, the limit in percent, the detector
    REST_DAY = auto()

    # The janitor only reports the finding.
    OUTSIDE_ACT_IN = auto()  # the account, the region
    NOT_PROVEN = auto()  # the confidence, what would prove it
    SPARED_BY_RULE = auto()  # the rule's reason
    NO_CREATION_TIME = auto()
    MANAGED = auto()  # the tool
    PERHAPS_MANAGED = auto()  # the possible tool
    PRODUCTION = auto()  # the environment
    REFUSED_BY_PREPARE = auto()  # the reason

    # The finding is closed.
    NO_LONGER_WASTE = auto()  # the reason
    GONE = auto()
    WARNING_VOID = auto()
    DONE_BY_OTHERS = auto()
    UNDO_WITH = auto()  # the undo command, the finding's id
    NO_UNDO = auto()  # the reason
    UNDO_BY_HAND = auto()  # the setting that the undo function lacks, the command

    # The action failed.
    NOTHING_DONE = auto()  # the error
    ACT_FAILED = auto()  # the error
    GIVEN_UP = auto()  # the number of tries, the last error
    NOT_FINISHED = auto()  # the error
    NOT_RECHECKED = auto()  # the error
    DISARMED = auto()  # the detector, the last error
    MAC_INVALID = auto()
    MAC_MISSING = auto()  # the finding's id
    MAC_EXPECTED = auto()

    # The janitor waits for AWS, or reverts a half-done action.
    WAITS_FOR_AWS = auto()  # the awaited state
    RESUMED = auto()  # the last error
    NOT_RESUMED = auto()  # the error
    NOT_REVERTED = auto()  # the number of tries, the last error
    REVERTED_NEXT = auto()
    REVERT_NOT_ASKED = auto()  # the error


UNVERIFIED_RECORD_CODES = frozenset({CauseCode.MAC_INVALID, CauseCode.MAC_MISSING})
"""The janitor does nothing from a record with such a cause: an alarm has to say so."""


class UnfinishedProgress(Enum):
    """Progress of an action that is neither finished nor reverted."""

    HALF_DONE = auto()
    REVERT_ASKED = auto()
    HALF_REVERTED = auto()


@dataclass(frozen=True, slots=True)
class Cause:
    """
    The cause of an outcome.

    *details* fill the sentence: numbers, names, and text from AWS, a rule or a person, which is shown and
    never inspected. *along* is another resource with the same cause, which acting would end too.
    *progress* is the state of an unfinished action, asked for *by* a person or the janitor. *then* is the
    consequence, and *by_hand* is the command with which a person reverts the action.
    """

    why: CauseCode
    details: tuple[str | int, ...] = ()
    along: str = ""
    progress: UnfinishedProgress | None = None
    by: str = ""
    then: Cause | None = None
    by_hand: str = ""


def make_cause(why: CauseCode, *details: str | int) -> Cause:
    """Return a cause that has only details."""
    return Cause(why, details)


@dataclass(frozen=True, slots=True)
class LimitHit:
    """A limit that held back actions of a sweep, and how many (*times*); None means all of them."""

    cause: Cause
    times: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreachableUndos:
    """
    The number of a disarmed *detector*'s actions in *region* that no deployed function may undo any more.

    The *last* action was on that day, and a person can undo it until *until* (both "2026-10-06").
    """

    detector: str
    region: str
    count: int
    last: str
    until: str


# --- results, sweeps and reports ------------------------------------------------------------------


class Outcome(StrEnum):
    """The outcome of a judged candidate. The words speak of the past."""

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
    The finding of *detector* about *arn* that counts instead of another finding on the same resource.

    *monthly_usd* and *accrued_usd* are the remaining amounts of the other finding.
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

    *cause* explains the outcome: why an action waits, what failed. *due* is when the janitor may act on a
    warned finding. *parts* are the ARNs that its change would end too, *wholes* those that it is a part of.
    *overlap* is the finding that counts instead, if another names the resource too; *hours* is an estimate
    of the work for the change.
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
    def why(self) -> CauseCode | None:
        """Return the reason for the outcome, without the details."""
        return None if self.cause is None else self.cause.why

    @property
    def cost(self) -> Cost | None:
        """Return its cost; None if it is not a finding, or has no price of its own."""
        return self.verdict.cost if isinstance(self.verdict, Finding) else None

    @property
    def counted(self) -> Cost | None:
        """Return the part of its cost that sums include."""
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
        """Return the monthly saving per hour of work: of the counted cost; for a job, of its running cost."""
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

    *error* tells why the sweep is not complete; *results* holds the results so far.
    *account* is None if it is unknown. *notices* are other observations of the sweep,
    which concern no single result. *held_back* lists the limits that held back actions;
    *unreachable* are a disarmed detector's undos that no deployed function may do any more.
    """

    detector: str
    account: str | None
    region: str
    mode: Mode
    results: tuple[Result, ...] = ()
    error: str | None = None
    notices: tuple[str, ...] = ()
    held_back: tuple[LimitHit, ...] = ()
    unreachable: UnreachableUndos | None = None

    @property
    def findings(self) -> tuple[Result, ...]:
        return tuple(r for r in self.results if isinstance(r.verdict, Finding))

    @property
    def looked_at(self) -> int:
        """Return the number of judged candidates: found + kept."""
        return len(self.results)

    @property
    def found(self) -> int:
        return len(self.findings)

    @property
    def kept(self) -> int:
        """Return the number of candidates without a finding, including unknown ones."""
        return self.looked_at - self.found

    @property
    def unknown(self) -> int:
        return sum(isinstance(r.verdict, Kept) and r.verdict.unknown for r in self.results)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All sweeps of one run at *time*; *account* is None for several accounts, or if it is unknown."""

    time: datetime
    account: str | None
    sweeps: tuple[Sweep, ...]

    @property
    def results(self) -> tuple[Result, ...]:
        return tuple(result for sweep in self.sweeps for result in sweep.results)

    @property
    def accounts(self) -> tuple[str, ...]:
        """Return the accounts of the sweeps, each once."""
        return tuple(dict.fromkeys(sweep.account for sweep in self.sweeps if sweep.account))

    @property
    def findings(self) -> tuple[Result, ...]:
        return tuple(result for sweep in self.sweeps for result in sweep.findings)
