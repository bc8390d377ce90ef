"""Sentences for causes: the only place that turns the cause of an outcome into words. Pure."""

from __future__ import annotations

from ml_janitor.core.cause import Cause, HeldBack, Progress, UnreachableUndos, Why
from ml_janitor.core.model import Finding, finding_id
from ml_janitor.core.results import Outcome, Result, Sweep
from ml_janitor.core.text import named

AHEAD = frozenset({Outcome.WAITING, Outcome.WARNED})
"""Outcomes of findings that nobody has acted on yet, but may."""

LOOK = "so a person has to look"

REASONS = {
    Why.UNWARNED: "its warning has not been delivered yet",
    Why.NOT_DUE: "warned; not due yet",
    Why.OWNER_NOT_MESSAGED: "its owner got no direct message ({0}), so the grace is doubled",
    Why.WARNING_LAPSED: (
        "it was not found for too long since its warning; the next scheduled sweep warns again"
    ),
    Why.SWEEP_INCOMPLETE: "nothing is acted on, because the sweep is not complete",
    Why.GRACE_OF_RULE: "its warning has not stood for as long as this rule gives",
    Why.WARNED_BEFORE_CLOSING: "it is warned about in the last two working hours, and stopped after them",
    Why.NOT_QUIET: "it has not been quiet for long enough, or working hours are not over yet",
    Why.UNKNOWN_AT_RECHECK: "could not be judged when looked at again: {0}",
    Why.PREPARING: "being prepared: {0}",
    Why.OUT_OF_TIME: "the run had no time left, and the next one goes on with it",
    Why.ACTED_BEFORE: "{0}; the next sweep warns about it anew",
    Why.ANOTHER_RUN: "{0}",
    Why.MAX_ACTIONS: "held back by max_actions = {0} for one sweep",
    Why.MAX_ACTIONS_PER_NIGHT: "held back by max_actions_per_night = {0}",
    Why.NO_LEDGER: "the ledger could not be written: {0}",
    Why.MAX_SHARE: (
        "{0} of {1} would be deleted or expire, more than max_share = {2} %: that smells of a broken "
        "signal; to go on: janitor approve {3}"
    ),
    Why.REST_DAY: "nothing is deleted on weekends and holidays (business_days)",
    Why.OUTSIDE_ACT_IN: "act_in does not name account {0} and region {1}",
    Why.NOT_PROVEN: "it is {0}, and only what is proven is acted on",
    Why.SPARED_BY_RULE: "{0}",
    Why.NO_CREATION_TIME: "its creation time is unknown, so it could not be told from another of its name",
    Why.MANAGED: "{0} manages it",
    Why.PERHAPS_MANAGED: (
        "{0} manages it, its tag managed-by says; if that is no tool, name your tools in janitor.toml: "
        "tools = [...]"
    ),
    Why.PRODUCTION: "it serves {0}",
    Why.REFUSED_BY_PREPARE: "{0}",
    Why.NO_LONGER_WASTE: "{0}",
    Why.GONE: "it is gone",
    Why.WARNING_VOID: "its warning is void",
    Why.DONE_BY_OTHERS: "it was as good as cleaned up before anything was done",
    Why.UNDO_WITH: "janitor {0} {1}",
    Why.NO_UNDO: "no undo: {0}",
    Why.UNDO_BY_HAND: ("only a person can undo it, with credentials of their own ({1}), unless you set {0}"),
    Why.NOTHING_DONE: "{0}",
    Why.ACT_FAILED: "{0}",
    Why.GIVEN_UP: f"failed {{0}} times, {LOOK}: {{1}}",
    Why.NOT_FINISHED: "could not be finished: {0}",
    Why.NOT_RECHECKED: "could not be looked at: {0}",
    Why.DISARMED: f"{{0}} was disarmed, {LOOK}",
    Why.MAC_INVALID: (
        f"its record in the ledger is not the one that was signed, so nothing is done from it: somebody "
        f"changed it, {LOOK}"
    ),
    Why.MAC_MISSING: (
        "its record in the ledger is not signed, so nothing is done from it: an earlier version wrote it, or "
        "somebody else; to undo it with credentials of your own: janitor undo --unsigned {0}"
    ),
    Why.MAC_EXPECTED: (
        "its record in the ledger is not signed, although it began after the key for that was made, so "
        f"nothing is done from it: somebody changed it, {LOOK}"
    ),
    Why.WAITS_FOR_AWS: "{0}",
    Why.RESUMED: "gone on with now",
    Why.NOT_RESUMED: "not gone on with: {0}",
    Why.NOT_REVERTED: f"could not be brought back in {{0}} tries, {LOOK}: {{1}}",
    Why.REVERTED_NEXT: "what had been done is being put back",
    Why.REVERT_NOT_ASKED: "what had been done is not put back: {0}",
}

IF_GIVEN = {
    Why.RESUMED: "; the last try: {0}",
    Why.DISARMED: ": {1}",
    Why.NOT_PROVEN: "; to prove it: {1}",
}
"""Text to append where the last detail is given."""

LEADS = {Why.MAX_SHARE: "held back: ", Why.NOTHING_DONE: "nothing was done: ", Why.UNDO_WITH: "{0}: "}
"""Text to put before a reason that stands alone."""


def reason(cause: Cause) -> str:
    """Return *cause* as a clause, without details that its reader knows from the context."""
    text = REASONS[cause.why]
    if cause.details and cause.details[-1]:
        text += IF_GIVEN.get(cause.why, "")
    clause = text.format(*cause.details)
    if cause.along:
        clause = f"it would take along {cause.along}: {clause}"
    match cause.progress:
        case Progress.HALF_DONE:
            clause = f"half done: {clause}"
        case Progress.REVERT_ASKED:
            clause = f"asked back by {named(cause.by)}, and {clause}"
        case Progress.HALF_REVERTED:
            clause = f"half brought back, and {clause}"
    if cause.then is not None:
        clause = f"{clause}; {reason(cause.then)}"
    return f"{clause}; by hand: {cause.by_hand}" if cause.by_hand else clause


def note(result: Result) -> str:
    """Return the note that a reader needs about the outcome of *result*; empty if there is none."""
    cause = result.cause
    if cause is None:
        return ""
    lead = "" if cause.progress else LEADS.get(cause.why, "").format(*cause.details)
    return f"{'only reported: ' if result.outcome is Outcome.ADVISED else lead}{reason(cause)}"


def undone_by_hand(result: Result) -> str:
    """Return that only a person can undo the coming action on *result*, and how; else an empty string."""
    verdict = result.verdict
    if not isinstance(verdict, Finding) or result.outcome not in AHEAD or not verdict.missing_for_undo:
        return ""
    command = f"janitor undo {finding_id(result.detector, result.target.key)}"
    return reason(Cause(Why.UNDO_BY_HAND, (verdict.missing_for_undo, command)))


def words(what: Cause | UnreachableUndos) -> str:
    """Return *what* as a sentence that can stand alone, as the ledger and the log keep it."""
    return reason(what) if isinstance(what, Cause) else unreachable(what)


def held_back(limit: HeldBack) -> str:
    """Return the reason of one limit, and how often it held an action back."""
    return f"{limit.times} {reason(limit.cause)}" if limit.times else reason(limit.cause)


def unreachable(undos: UnreachableUndos) -> str:
    """Describe undos that no deployed function may do, and how to restore the permissions."""
    things = "1 thing" if undos.count == 1 else f"{undos.count} things"
    return (
        f"{things} that it did in {undos.region} can be undone until {undos.until}, but "
        "not by the undo function, which has no powers for it since it was disarmed. "
        f"armed_until = {undos.last} in detectors.{undos.detector}, or the later day it was disarmed, and "
        "make deploy give them back; or janitor undo, with credentials of your own"
    )


def limits(sweep: Sweep) -> list[str]:
    """List every limit that held back an action in *sweep*, one line each."""
    lost = [] if sweep.unreachable is None else [unreachable(sweep.unreachable)]
    return [*map(held_back, sweep.held_back), *lost]
