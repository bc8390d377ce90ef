"""Reverts that broke off: each sweep has them resumed, until a person has to look. Law 7."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_janitor.acting.undo_wording import way
from ml_janitor.acting.undoing import CannotUndoError
from ml_janitor.aws.answers import describe
from ml_janitor.core.cause import Cause, Progress, Why
from ml_janitor.core.model import Kept, Outcome, Result, Sweep
from ml_janitor.ledger.action import TRIES, UNFINISHED, Action, Stage

if TYPE_CHECKING:
    from ml_janitor.engine.detector import Detector

TOO_LONG = timedelta(days=1)
"""After this long a person should know that something is still being reverted."""

JANITOR = "the janitor"
"""Who asks for the undo of a half-done action."""


class Unfinished(NamedTuple):
    """An *action* that is half done or half reverted, and what became of it in this sweep."""

    action: Action
    outcome: Outcome
    cause: Cause


def resume_reverts(
    detector: Detector[Any], actions: Iterable[Action], revert: Callable[[Action], None], at: datetime
) -> list[Unfinished]:
    """
    Have *revert* resume what is half reverted of *actions*, whether their sweep is complete or not.

    The lease of this sweep is ours, so nobody is at work on it. Whoever undoes waits for that lease, and
    looks again how far the action came: being asked twice does no harm.
    """
    return [_resumed(detector, one, revert, at) for one in actions if one.stage is Stage.UNDOING]


def half_done(action: Action) -> bool:
    """Whether *action* broke off after it had done something."""
    return action.stage in UNFINISHED and action.touched


def left_half_done(detector: Detector[Any], actions: Iterable[Action]) -> list[Unfinished]:
    """
    Those of *actions* that were half done when their *detector* was disarmed.

    Its role may not finish them any more, nor look whether they were done as a whole: a person has to.
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


def with_unfinished(sweep: Sweep, found: Iterable[Unfinished]) -> Sweep:
    """*sweep* with what was *found* unfinished among its results."""
    results = {result.target.key: result for result in sweep.results}
    for action, outcome, cause in found:
        before = results.get(action.target.key) or broken_off(action)
        results[action.target.key] = replace(before, outcome=outcome, cause=cause)
    return replace(sweep, results=tuple(results.values()))


def _resumed(
    detector: Detector[Any], action: Action, revert: Callable[[Action], None], at: datetime
) -> Unfinished:
    hand = by_hand(detector, action)
    if action.given_up:
        why = Cause(Why.NOT_REVERTED, (TRIES, action.error or "each was cut off"), by_hand=hand)
        return Unfinished(action, Outcome.FAILED, why)
    so_far = Progress.HALF_REVERTED if action.coming_back else Progress.REVERT_ASKED
    try:
        revert(action)
    except Exception as error:  # told; the next sweep tries again
        said = str(error) if isinstance(error, CannotUndoError) else describe(error)
        why = Cause(Why.NOT_RESUMED, (said,), progress=so_far, by=action.undone_by, by_hand=hand)
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
