"""How actions are taken back: what that is called, which of them can be, and which broke off. Law 7."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_janitor.acting.undoing import CannotUndoError
from ml_janitor.aws.answers import describe
from ml_janitor.core.cause import Cause, Progress, UnreachableUndos, Why, cause
from ml_janitor.core.model import Kept
from ml_janitor.core.results import Outcome, Result, Sweep
from ml_janitor.engine.detector import CannotActError
from ml_janitor.ledger.action import TRIES, UNDOABLE, UNFINISHED, Action, Stage
from ml_janitor.ledger.macs import UnverifiedError

if TYPE_CHECKING:
    from ml_janitor.engine.detector import Cleanup, Detector

TOO_LONG = timedelta(days=1)
"""After this long a person should know that something still waits for AWS, or is being reverted."""

JANITOR = "the janitor"
"""Who asks for the undo of a half-done action."""

# --- what it is called ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """
    The words for taking back what a detector did.

    *command* is the one of the command line, *label* stands on the button, *noun* is what does it: "An
    undo". It can be *past*, and afterwards the resource is *done*.
    """

    command: str
    label: str
    noun: str
    past: str
    done: str


UNDO = Way(command="undo", label="Undo", noun="An undo", past="undone", done="brought back")
UNCHANGE = Way(command="undo", label="Undo", noun="An undo", past="undone", done="undone")
RESTART = Way(command="restart", label="Restart", noun="A restart", past="restarted", done="restarted")


def way(cleanup: Cleanup | None) -> Way:
    """What taking back a *cleanup* is called: nothing that stayed is brought back."""
    if cleanup is None:
        return UNDO
    if cleanup.undo == RESTART.command:
        return RESTART
    return UNCHANGE if cleanup.effect.stays else UNDO


def hint(detector: Detector[Any], action: Action) -> Cause:
    """How to take *action* back from a terminal, or why it cannot be."""
    try:
        detector.revert_effect(action.target, action.undo)
    except CannotActError as never:
        return cause(Why.NO_UNDO, str(never))
    return cause(Why.UNDO_WITH, way(detector.cleanup).command, action.id)


def undone_by_hand(detector: Detector[Any], action: Action) -> Cause | None:
    """That *action* is undone by a person's command only, or None if the undo function may do it."""
    missing = detector.missing_for_undo(action.target, action.undo)
    return cause(Why.UNDO_BY_HAND, missing, by_hand(detector, action)) if missing else None


# --- what can be undone --------------------------------------------------------------------------


def undoable(action: Action, within: timedelta, now: datetime) -> bool:
    """Whether *action* is recent enough to be undone; one that is half reverted always is."""
    return action.stage is Stage.UNDOING or (action.stage in UNDOABLE and now - action.began <= within)


def unreachable_undos(
    detector: Detector[Any], actions: Iterable[Action], *, within: timedelta, now: datetime
) -> UnreachableUndos | None:
    """The *actions* of *detector* in one region that no deployed function may undo, or None."""
    left = [
        one
        for one in actions
        if one.touched and undoable(one, within, now) and hint(detector, one).why is not Why.NO_UNDO
    ]
    if not left:
        return None
    last = max(action.began for action in left)
    return UnreachableUndos(
        detector=detector.name,
        region=left[0].target.region,
        count=len(left),
        last=f"{last:%Y-%m-%d}",
        until=f"{last + within:%Y-%m-%d}",
    )


# --- what is half done or half reverted -----------------------------------------------------------


class Unfinished(NamedTuple):
    """An *action* that is half done or half reverted, and what became of it in this sweep."""

    action: Action
    outcome: Outcome
    cause: Cause


def resume_reverts(
    detector: Detector[Any], actions: Iterable[Action], revert: Callable[[Action], None], at: datetime
) -> list[Unfinished]:
    """
    Have *revert* resume the half-reverted ones of *actions*, whether their sweep is complete or not.

    This sweep holds the lease, so no other run works on them. The undo function waits for that lease and
    then reads how far the action came: a second request does no harm.
    """
    return [_resume_revert(detector, one, revert, at) for one in actions if one.stage is Stage.UNDOING]


def half_done(action: Action) -> bool:
    """Whether *action* broke off after it had done something."""
    return action.stage in UNFINISHED and action.touched


def left_half_done(detector: Detector[Any], actions: Iterable[Action]) -> list[Unfinished]:
    """
    Those of *actions* that were half done when their *detector* was disarmed: a person has to revert them.

    The detector's role may no longer finish them, nor read whether they were completed.
    """
    return [
        Unfinished(
            action,
            Outcome.FAILED,
            Cause(
                Why.DISARMED,
                (detector.name, action.error),
                progress=Progress.HALF_DONE,
                by_hand=by_hand(detector, action),
            ),
        )
        for action in actions
        if half_done(action)
    ]


def with_unfinished(sweep: Sweep, unfinished: Iterable[Unfinished]) -> Sweep:
    """*sweep* with what is *unfinished* among its results."""
    results = {result.target.key: result for result in sweep.results}
    for action, outcome, why in unfinished:
        before = results.get(action.target.key) or broken_off(action)
        results[action.target.key] = replace(before, outcome=outcome, cause=why)
    return replace(sweep, results=tuple(results.values()))


def _resume_revert(
    detector: Detector[Any], action: Action, revert: Callable[[Action], None], at: datetime
) -> Unfinished:
    command = by_hand(detector, action)
    if action.given_up:
        why = Cause(Why.NOT_REVERTED, (TRIES, action.error or "each was cut off"), by_hand=command)
        return Unfinished(action, Outcome.FAILED, why)
    so_far = Progress.HALF_REVERTED if action.coming_back else Progress.REVERT_ASKED
    try:
        revert(action)
    except UnverifiedError as unverified:
        why = replace(unverified.cause, progress=so_far, by=action.undone_by)
        return Unfinished(action, Outcome.FAILED, why)
    except Exception as error:  # reported; the next sweep tries again
        failure = str(error) if isinstance(error, CannotUndoError) else describe(error)
        why = Cause(Why.NOT_RESUMED, (failure,), progress=so_far, by=action.undone_by, by_hand=command)
        return Unfinished(action, Outcome.FAILED, why)
    late = action.asked_at is not None and at - action.asked_at > TOO_LONG
    outcome = Outcome.FAILED if late else Outcome.WAITING
    why = Cause(Why.RESUMED, (action.error,), progress=so_far, by=action.undone_by)
    return Unfinished(action, outcome, why)


def by_hand(detector: Detector[Any], action: Action) -> str:
    """The command with which a person reverts what *action* did."""
    return f"janitor {way(detector.cleanup).command} {action.id}"


def broken_off(action: Action) -> Result:
    """What a sweep says of the resource of a half-done *action*, where it did not find it."""
    return Result(
        detector=action.detector,
        target=action.target,
        verdict=Kept(reason="an action on it was broken off"),
        outcome=Outcome.WAITING,
    )
