"""Causes of outcomes, as data. `report.causes` makes the sentences; no code compares them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


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
