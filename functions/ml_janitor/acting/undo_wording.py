"""How what was done is taken back: what that is called, and what it comes to. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_janitor.core.cause import Cause, Why, cause
from ml_janitor.core.model import Effect
from ml_janitor.engine.detector import CannotActError

if TYPE_CHECKING:
    from ml_janitor.engine.detector import Cleanup, Detector
    from ml_janitor.ledger.action import Action


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
UNTAG = Way(command="undo", label="Undo", noun="An undo", past="undone", done="undone")
RESTART = Way(command="restart", label="Restart", noun="A restart", past="restarted", done="restarted")


def way(cleanup: Cleanup | None) -> Way:
    """What taking back a *cleanup* is called: nothing that was only tagged is brought back."""
    if cleanup is None:
        return UNDO
    if cleanup.undo == RESTART.command:
        return RESTART
    return UNTAG if cleanup.effect is Effect.TAG else UNDO


def hint(detector: Detector[Any], action: Action) -> Cause:
    """How to take *action* back from a terminal, or why it cannot be."""
    try:
        detector.revert_effect(action.target, action.undo)
    except CannotActError as never:
        return cause(Why.NO_UNDO, str(never))
    return cause(Why.UNDO_WITH, way(detector.cleanup).command, action.id)
