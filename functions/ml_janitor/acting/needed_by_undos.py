"""What must stay where it is because an undo would need it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ml_janitor.ledger.action import UNDOABLE, Stage

if TYPE_CHECKING:
    from ml_janitor.acting.acting import Acting
    from ml_janitor.aws.client import Aws
    from ml_janitor.engine.detector import Detector
    from ml_janitor.engine.policy import Policy


def sparing_undos(policy: Policy, detector: Detector[Any], acting: Acting, accounts: Iterable[Aws]) -> Policy:
    """
    *policy* with what undos need, if *detector* is to spare that: for `undo_days`, or until an undo is done.

    Raises what the ledger raises.
    """
    if not detector.spares_undos:
        return policy
    needed: dict[str, str] = {}
    for aws in accounts:
        for actor in acting.actors:
            for action in acting.actions.all(actor.name, aws.account, aws.region):
                until = action.began + acting.within
                begun = action.stage is Stage.UNDOING
                if begun or (action.stage in UNDOABLE and acting.clock() <= until):
                    why = f"an undo of {action.target.name} needs it, until {until:%Y-%m-%d}"
                    needed |= {arn.lower(): why for arn in actor.undo_needs(action.target, action.undo)}
    return replace(policy, needed=needed)
