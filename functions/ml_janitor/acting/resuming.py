"""Undos that broke off: each sweep has them gone on with, until a person has to look. Law 7."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_janitor.acting.undo_wording import way
from ml_janitor.acting.undoing import CannotUndoError
from ml_janitor.aws.answers import describe
from ml_janitor.core.model import Kept, Outcome, Result, Sweep
from ml_janitor.core.text import named
from ml_janitor.ledger.action import TRIES, UNFINISHED, Action, Stage

if TYPE_CHECKING:
    from ml_janitor.engine.detector import Detector
    from ml_janitor.ledger.actions import Actions

TOO_LONG = timedelta(days=1)
"""After this long a person should know that something still waits for AWS."""


ITSELF = "the janitor"
"""Who asks for the undo of a half-done action."""

HALF_BACK, ASKED_BACK = "half brought back", "asked back"
"""How far an undo came that was begun, or only asked for."""


class Resumed(NamedTuple):
    """An *action* that is half brought back, and what became of asking for the rest."""

    action: Action
    outcome: Outcome
    note: str


def resumed(
    detector: Detector[Any],
    sweep: Sweep,
    actions: Actions,
    put_back: Callable[[Action], None],
    clock: datetime,
) -> list[Resumed]:
    """
    Have *put_back* go on with what is half brought back where *sweep* was, complete or not.

    The lease of this sweep is ours, so nobody is at work on it. Whoever undoes waits for that lease, and
    looks again how far the action came: being asked twice does no harm.
    """
    listed = actions.all(sweep.detector, str(sweep.account), sweep.region)
    half_back = [action for action in listed if action.stage is Stage.UNDOING]
    return [_resumed(action, put_back, clock, by_hand(detector, action)) for action in half_back]


def half_done(action: Action) -> bool:
    """Whether *action* broke off after it had done something."""
    return action.stage in UNFINISHED and action.touched


def left_half_done(detector: Detector[Any], sweep: Sweep, actions: Actions) -> list[Resumed]:
    """
    What was half done where *sweep* was when its detector was disarmed.

    Its role may not finish it any more, nor look whether it was done as a whole: a person has to.
    """
    listed = actions.all(sweep.detector, str(sweep.account), sweep.region)
    return [
        Resumed(
            action,
            Outcome.FAILED,
            f"half done when {sweep.detector} was disarmed, so a person has to look"
            f"{f': {action.error}' if action.error else ''}; by hand: {by_hand(detector, action)}",
        )
        for action in listed
        if half_done(action)
    ]


def told(sweep: Sweep, found: Iterable[Resumed]) -> Sweep:
    """*sweep* with what was *found* half brought back, among its results."""
    results = {result.target.key: result for result in sweep.results}
    for action, outcome, note in found:
        before = results.get(action.target.key) or broken_off(action)
        results[action.target.key] = replace(before, outcome=outcome, note=note)
    return replace(sweep, results=tuple(results.values()))


def _resumed(action: Action, put_back: Callable[[Action], None], clock: datetime, hand: str) -> Resumed:
    if action.given_up:
        said = f"could not be brought back in {TRIES} tries, so a person has to look"
        why = action.error or "each was cut off"
        return Resumed(action, Outcome.FAILED, f"{said}: {why}; by hand: {hand}")
    so_far = HALF_BACK if action.coming_back else f"{ASKED_BACK} by {named(action.undone_by)}"
    try:
        put_back(action)
    except Exception as error:  # told; the next sweep tries again
        said = str(error) if isinstance(error, CannotUndoError) else describe(error)
        return Resumed(action, Outcome.FAILED, f"{so_far}, and not gone on with: {said}; by hand: {hand}")
    late = action.asked_at is not None and clock - action.asked_at > TOO_LONG
    why = f"; the last try: {action.error}" if action.error else ""
    outcome = Outcome.FAILED if late else Outcome.WAITING
    return Resumed(action, outcome, f"{so_far}, and gone on with now{why}")


def by_hand(detector: Detector[Any], action: Action) -> str:
    """The command with which a person brings back what *action* did."""
    return f"janitor {way(detector.cleanup).command} {action.id}"


def broken_off(action: Action) -> Result:
    """What a sweep says of the resource of a half-done *action*, where it did not find it."""
    return Result(
        detector=action.detector,
        target=action.target,
        verdict=Kept(reason="an action on it was broken off"),
        outcome=Outcome.WAITING,
    )
