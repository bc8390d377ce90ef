"""The results of a run: judged candidates with their outcomes and causes, sweeps, and the report."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from ml_janitor.core.model import HOURS_PER_MONTH, Change, Cost, Finding, Kept, Mode, Target, Verdict

# --- causes as data -------------------------------------------------------------------------------
#
# `report.causes` makes the sentences when somebody reads; no code compares them.


class CauseCode(StrEnum):
    """The reasons for an outcome, as the ledger stores them. A comment names the details, in their order."""

    # The action waits.
    UNWARNED = "unwarned"
    NOT_DUE = "not-due"
    OWNER_NOT_MESSAGED = "owner-not-messaged"  # the cause, as a cause
    WARNING_LAPSED = "warning-lapsed"
    SWEEP_INCOMPLETE = "sweep-incomplete"
    GRACE_OF_RULE = "grace-of-rule"
    WARNED_BEFORE_CLOSING = "warned-before-closing"
    NOT_QUIET = "not-quiet"
    UNKNOWN_AT_RECHECK = "unknown-at-recheck"  # the recheck's reason
    PREPARING = "preparing"  # the step reached
    OUT_OF_TIME = "out-of-time"
    ACTED_BEFORE = "acted-before"  # the ledger's error
    ANOTHER_RUN = "another-run"  # the ledger's error
    MAX_ACTIONS = "max-actions"  # the limit
    MAX_ACTIONS_PER_NIGHT = "max-actions-per-night"  # the limit
    COUNTER_CHANGED = "counter-changed"  # the difference
    NO_LEDGER = "no-ledger"  # the error
    MAX_SHARE = "max-share"  # the count, the total, the limit in percent, the detector
    REST_DAY = "rest-day"

    # The janitor only reports the finding.
    OUTSIDE_ACT_IN = "outside-act-in"  # the account, the region
    NOT_PROVEN = "not-proven"  # the confidence, what would prove it
    SPARED_BY_RULE = "spared-by-rule"  # the rule's reason
    NO_CREATION_TIME = "no-creation-time"
    MANAGED = "managed"  # the tool
    PERHAPS_MANAGED = "perhaps-managed"  # the possible tool
    PRODUCTION = "production"  # the environment
    REFUSED_BY_PREPARE = "refused-by-prepare"  # the cause
    CANNOT_ACT = "cannot-act"  # the reason

    # The owner has no direct message.
    NO_OWNER = "no-owner"
    NO_SLACK_ACCOUNT = "no-slack-account"
    MESSAGE_NOT_SENT = "message-not-sent"
    WEBHOOK_SENDS_NONE = "webhook-sends-none"
    MESSAGE_REFUSED = "message-refused"  # Slack's error

    # The finding is closed, or its warning is void.
    CLEANED_UP = "cleaned-up"
    NOT_ARMED = "not-armed"  # the detector
    NOT_CONFIRMED = "not-confirmed"  # the time since the last sweep that found it
    NO_LONGER_WASTE = "no-longer-waste"  # the reason
    GONE = "gone"
    WARNING_VOID = "warning-void"
    WARNING_UNSIGNED = "warning-unsigned"
    WARNING_INVALID = "warning-invalid"
    DONE_BY_OTHERS = "done-by-others"
    UNDO_WITH = "undo-with"  # the undo command, the finding's id
    NO_UNDO = "no-undo"  # the reason
    UNDO_BY_HAND = "undo-by-hand"  # the setting that the undo function lacks, the command

    # The action failed.
    NOTHING_DONE = "nothing-done"  # the error
    ACT_FAILED = "act-failed"  # the error
    GIVEN_UP = "given-up"  # the number of tries, the cause of the last
    NOT_FINISHED = "not-finished"  # the error
    NOT_RECHECKED = "not-rechecked"  # the error
    DISARMED = "disarmed"  # the detector, the cause of the last failure
    MAC_INVALID = "mac-invalid"
    MAC_MISSING = "mac-missing"  # the finding's id
    MAC_EXPECTED = "mac-expected"
    REQUEST_UNSIGNED = "request-unsigned"  # the finding's id
    REQUEST_LATE = "request-late"  # the setting's days

    # The undo has failed, or did not begin.
    UNDO_FAILED = "undo-failed"  # the error
    NOTHING_BEGUN = "nothing-begun"
    RECORD_UNREAD = "record-unread"  # the error
    ACCOUNT_UNREAD = "account-unread"  # the account, the error
    CALL_OUT_OF_TIME = "call-out-of-time"
    CUT_OFF = "cut-off"

    # The janitor waits for AWS, or reverts a half-done action.
    WAITS_FOR_AWS = "waits-for-aws"  # the awaited state
    RESUMED = "resumed"  # the cause of the last failure
    NOT_RESUMED = "not-resumed"  # the error, or the cause
    NOT_REVERTED = "not-reverted"  # the number of tries, the cause of the last
    REVERTED_NEXT = "reverted-next"
    REVERT_NOT_ASKED = "revert-not-asked"  # the error

    EARLIER_TEXT = "earlier-text"  # the sentence that a version without causes stored


UNVERIFIED_RECORD_CODES = frozenset(
    {
        CauseCode.MAC_INVALID,
        CauseCode.MAC_MISSING,
        CauseCode.REQUEST_UNSIGNED,
        CauseCode.REQUEST_LATE,
        CauseCode.WARNING_INVALID,
        CauseCode.COUNTER_CHANGED,
    }
)
"""The janitor does nothing from a record with such a cause: an alarm has to say so."""


class UnfinishedProgress(StrEnum):
    """Progress of an action that is neither finished nor reverted."""

    HALF_DONE = "half-done"
    REVERT_ASKED = "revert-asked"
    HALF_REVERTED = "half-reverted"


type CauseDetail = str | int | Cause | None


@dataclass(frozen=True, slots=True)
class Cause:
    """
    The cause of an outcome.

    *details* fill the sentence: numbers, names, the cause behind this one, and text from AWS, a rule or a
    person, which is shown and never compared. *along* is another resource with the same cause, which acting
    would end too. *progress* is the state of an unfinished action, asked for *by* a person or the janitor.
    *then* is the consequence, and *by_hand* is the command with which a person reverts the action.
    """

    why: CauseCode
    details: tuple[CauseDetail, ...] = ()
    along: str = ""
    progress: UnfinishedProgress | None = None
    by: str = ""
    then: Cause | None = None
    by_hand: str = ""

    def __str__(self) -> str:
        """Return the code and the details, for logs and for versions that store sentences."""
        details = ", ".join(str(detail) for detail in self.details if detail is not None)
        return ": ".join(filter(None, (self.why.replace("-", " "), details)))


def make_cause(why: CauseCode, *details: CauseDetail) -> Cause:
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
    which concern no single result. *looked_through* counts the resources that were searched for
    candidates, where only some of them are candidates. *unidentified* counts unreadable entries of listings
    that do not say which resource they are about. *held_back* lists the limits that held back actions;
    *unreachable* are a disarmed detector's undos that no deployed function may do any more.
    """

    detector: str
    account: str | None
    region: str
    mode: Mode
    results: tuple[Result, ...] = ()
    error: str | None = None
    notices: tuple[str, ...] = ()
    looked_through: int = 0
    unidentified: int = 0
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
    def share_base(self) -> int:
        """
        Return the number of resources that `max_share` is a share of.

        A part that is judged beside its whole is not another resource.
        """
        arns = {result.target.arn for result in self.results}
        parts = sum(not arns.isdisjoint(result.wholes) for result in self.results)
        return max(self.looked_at - parts, self.looked_through)

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
