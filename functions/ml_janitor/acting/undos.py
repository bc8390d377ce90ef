"""The undo of actions: its wording, the actions that can be undone, and the undos that broke off. Law 7."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_janitor.acting.undoing import CannotUndoError
from ml_janitor.aws.answers import error_text
from ml_janitor.core.cause import Cause, CauseCode, UnfinishedProgress, UnreachableUndos, make_cause
from ml_janitor.core.model import Kept
from ml_janitor.core.results import Outcome, Result, Sweep
from ml_janitor.engine.detector import CannotActError
from ml_janitor.ledger.action import MOST_TRIES, UNDOABLE_STAGES, UNFINISHED_STAGES, Action, Stage
from ml_janitor.ledger.macs import UnverifiedError

if TYPE_CHECKING:
    from ml_janitor.engine.detector import Cleanup, Detector

LATE_AFTER = timedelta(days=1)
"""Time after which a person should know that an act or undo still waits for AWS."""

JANITOR_NAME = "the janitor"
"""The requester of a half-done action's undo."""

# --- what it is called ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoWording:
    """
    The words for taking back a detector's actions.

    *command* is the command's name, *label* stands on the button, *noun* names the undo: "An undo". An undo
    can be *past*, and afterwards the resource is *done*.
    """

    command: str
    label: str
    noun: str
    past: str
    done: str


UNDO_WORDING = UndoWording(command="undo", label="Undo", noun="An undo", past="undone", done="brought back")
UNCHANGE_WORDING = UndoWording(command="undo", label="Undo", noun="An undo", past="undone", done="undone")
RESTART_WORDING = UndoWording(
    command="restart", label="Restart", noun="A restart", past="restarted", done="restarted"
)


def undo_wording(cleanup: Cleanup | None) -> UndoWording:
    """Return the wording for taking back a *cleanup*: a resource that stayed is not "brought back"."""
    if cleanup is None:
        return UNDO_WORDING
    if cleanup.undo == RESTART_WORDING.command:
        return RESTART_WORDING
    return UNCHANGE_WORDING if cleanup.effect.stays else UNDO_WORDING


def undo_hint(detector: Detector[Any], action: Action) -> Cause:
    """Return the command that takes *action* back from a terminal, or the reason why none can."""
    try:
        detector.revert_effect(action.target, action.undo)
    except CannotActError as never:
        return make_cause(CauseCode.NO_UNDO, str(never))
    return make_cause(CauseCode.UNDO_WITH, undo_wording(detector.cleanup).command, action.id)


def by_hand_cause(detector: Detector[Any], action: Action) -> Cause | None:
    """Return the cause if only a person's command can undo *action*, or None if the undo function may."""
    missing = detector.missing_for_undo(action.target, action.undo)
    return make_cause(CauseCode.UNDO_BY_HAND, missing, undo_command(detector, action)) if missing else None


# --- what can be undone --------------------------------------------------------------------------


def is_undoable(action: Action, within: timedelta, now: datetime) -> bool:
    """Return whether *action* is recent enough to be undone; a half-reverted action always is."""
    return action.stage is Stage.UNDOING or (action.stage in UNDOABLE_STAGES and now - action.began <= within)


def find_unreachable_undos(
    detector: Detector[Any], actions: Iterable[Action], *, within: timedelta, now: datetime
) -> UnreachableUndos | None:
    """Return the *actions* of *detector* in one region that no deployed function may undo, or None."""
    left = [
        action
        for action in actions
        if action.touched
        and is_undoable(action, within, now)
        and undo_hint(detector, action).why is not CauseCode.NO_UNDO
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


class UnfinishedAction(NamedTuple):
    """An *action* that is half done or half reverted, and its outcome in this sweep."""

    action: Action
    outcome: Outcome
    cause: Cause


def resume_reverts(
    detector: Detector[Any], actions: Iterable[Action], revert: Callable[[Action], None], at: datetime
) -> list[UnfinishedAction]:
    """
    Have *revert* resume the half-reverted *actions*, whether their sweep is complete or not.

    This sweep holds the lease, so no other run works on them. The undo function waits for that lease and then
    reads the action's progress: a second request does no harm.
    """
    return [
        _resume_revert(detector, action, revert, at) for action in actions if action.stage is Stage.UNDOING
    ]


def is_half_done(action: Action) -> bool:
    """Return whether *action* broke off after it had changed something."""
    return action.stage in UNFINISHED_STAGES and action.touched


def report_half_done(detector: Detector[Any], actions: Iterable[Action]) -> list[UnfinishedAction]:
    """
    Return the *actions* that were half done when their *detector* was disarmed: a person has to revert them.

    The detector's role may no longer finish them, nor read whether they were completed.
    """
    return [
        UnfinishedAction(
            action,
            Outcome.FAILED,
            Cause(
                CauseCode.DISARMED,
                (detector.name, action.error),
                progress=UnfinishedProgress.HALF_DONE,
                by_hand=undo_command(detector, action),
            ),
        )
        for action in actions
        if is_half_done(action)
    ]


def add_unfinished(sweep: Sweep, unfinished: Iterable[UnfinishedAction]) -> Sweep:
    """Return *sweep* with the *unfinished* actions among its results."""
    results = {result.target.key: result for result in sweep.results}
    for action, outcome, why in unfinished:
        before = results.get(action.target.key) or broken_off_result(action)
        results[action.target.key] = replace(before, outcome=outcome, cause=why)
    return replace(sweep, results=tuple(results.values()))


def _resume_revert(
    detector: Detector[Any], action: Action, revert: Callable[[Action], None], at: datetime
) -> UnfinishedAction:
    command = undo_command(detector, action)
    if action.given_up:
        why = Cause(CauseCode.NOT_REVERTED, (MOST_TRIES, action.error or "each was cut off"), by_hand=command)
        return UnfinishedAction(action, Outcome.FAILED, why)
    so_far = UnfinishedProgress.HALF_REVERTED if action.coming_back else UnfinishedProgress.REVERT_ASKED
    try:
        revert(action)
    except UnverifiedError as unverified:
        why = replace(unverified.cause, progress=so_far, by=action.undone_by)
        return UnfinishedAction(action, Outcome.FAILED, why)
    except Exception as error:  # reported; the next sweep tries again
        failure = str(error) if isinstance(error, CannotUndoError) else error_text(error)
        why = Cause(CauseCode.NOT_RESUMED, (failure,), progress=so_far, by=action.undone_by, by_hand=command)
        return UnfinishedAction(action, Outcome.FAILED, why)
    late = action.asked_at is not None and at - action.asked_at > LATE_AFTER
    outcome = Outcome.FAILED if late else Outcome.WAITING
    why = Cause(CauseCode.RESUMED, (action.error,), progress=so_far, by=action.undone_by)
    return UnfinishedAction(action, outcome, why)


def undo_command(detector: Detector[Any], action: Action) -> str:
    """Return the command with which a person reverts *action*."""
    return f"janitor {undo_wording(detector.cleanup).command} {action.id}"


def broken_off_result(action: Action) -> Result:
    """Return the result for the resource of a half-done *action* that the sweep did not find."""
    return Result(
        detector=action.detector,
        target=action.target,
        verdict=Kept(reason="an action on it was broken off"),
        outcome=Outcome.WAITING,
    )
