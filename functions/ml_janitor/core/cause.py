"""Why an outcome is what it is, as data. `report.causes` makes the sentences; nothing ever reads one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Why(Enum):
    """What an outcome rests on. The comment names the details, in their order."""

    # It waits.
    UNWARNED = auto()
    NOT_DUE = auto()
    OWNER_NOT_MESSAGED = auto()  # why not
    WARNING_LAPSED = auto()
    SWEEP_INCOMPLETE = auto()
    GRACE_OF_RULE = auto()
    WARNED_BEFORE_CLOSING = auto()
    NOT_QUIET = auto()
    UNKNOWN_AT_RECHECK = auto()  # the reason
    PREPARING = auto()  # how far it came
    OUT_OF_TIME = auto()
    ACTED_BEFORE = auto()  # the ledger's error
    ANOTHER_RUN = auto()  # the ledger's error
    MAX_ACTIONS = auto()  # the limit
    MAX_ACTIONS_PER_NIGHT = auto()  # the limit
    NO_LEDGER = auto()  # the error
    MAX_SHARE = auto()  # how many, of how many, the limit in percent, the detector
    REST_DAY = auto()

    # It is only reported.
    OUTSIDE_ACT_IN = auto()  # the account, the region
    NOT_PROVEN = auto()  # the confidence, what would prove it
    SPARED_BY_RULE = auto()  # the rule's reason
    NO_CREATION_TIME = auto()
    MANAGED = auto()  # the tool
    PERHAPS_MANAGED = auto()  # what may be a tool
    PRODUCTION = auto()  # what it serves
    REFUSED_BY_PREPARE = auto()  # the reason

    # It is over.
    NO_LONGER_WASTE = auto()  # the reason
    GONE = auto()
    WARNING_VOID = auto()
    DONE_BY_OTHERS = auto()
    UNDO_WITH = auto()  # the command, the finding's id
    NO_UNDO = auto()  # the reason
    UNDO_BY_HAND = auto()  # the setting without which the undo function may not, the command

    # It failed.
    NOTHING_DONE = auto()  # the error
    ACT_FAILED = auto()  # the error
    GIVEN_UP = auto()  # how many tries, the last error
    NOT_FINISHED = auto()  # the error
    NOT_RECHECKED = auto()  # the error
    DISARMED = auto()  # the detector, the last error
    MAC_INVALID = auto()
    MAC_MISSING = auto()  # the finding's id
    MAC_EXPECTED = auto()

    # What was begun waits for AWS, or is being reverted.
    WAITS_FOR_AWS = auto()  # what for
    RESUMED = auto()  # the last error
    NOT_RESUMED = auto()  # the error
    NOT_REVERTED = auto()  # how many tries, the last error
    REVERTED_NEXT = auto()
    REVERT_NOT_ASKED = auto()  # the error


UNVERIFIED = frozenset({Why.MAC_INVALID, Why.MAC_MISSING})
"""Nothing is done from such a record: an alarm has to say so."""


class Progress(Enum):
    """How far the action on a resource came that is neither finished nor reverted."""

    HALF_DONE = auto()
    REVERT_ASKED = auto()
    HALF_REVERTED = auto()


@dataclass(frozen=True, slots=True)
class Cause:
    """
    Why an outcome is what it is.

    *details* fill the sentence: numbers, names, and what AWS, a rule or a person said, which is shown and
    never inspected. *along* is another resource that it is true of, because acting would end that too.
    *progress* is how far an unfinished action came, asked for *by* a person or the janitor. *then* is what
    follows from it, and *by_hand* is the command with which a person reverts the action.
    """

    why: Why
    details: tuple[str | int, ...] = ()
    along: str = ""
    progress: Progress | None = None
    by: str = ""
    then: Cause | None = None
    by_hand: str = ""


def cause(why: Why, *details: str | int) -> Cause:
    """A cause with nothing but its details."""
    return Cause(why, details)


@dataclass(frozen=True, slots=True)
class HeldBack:
    """What held actions of a sweep back, and how many *times*; None where it holds back all of them."""

    cause: Cause
    times: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreachableUndos:
    """
    How many things that a disarmed *detector* did in *region* no deployed function may undo any more.

    The *last* of them was done on that day, and can be undone by hand until *until* (both "2026-10-06").
    """

    detector: str
    region: str
    count: int
    last: str
    until: str
