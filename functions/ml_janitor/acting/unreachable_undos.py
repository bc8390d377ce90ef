"""What could be undone, but by no function that is deployed: somebody has to know while it can be mended."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ml_janitor.engine.detector import CannotActError
from ml_janitor.ledger.action import UNDOABLE, Action, Stage

if TYPE_CHECKING:
    from ml_janitor.engine.detector import Detector


def undoable(action: Action, within: timedelta, now: datetime) -> bool:
    """Whether *action* could be taken back, by whoever may; one that is half taken back always is."""
    return action.stage is Stage.UNDOING or (action.stage in UNDOABLE and now - action.began <= within)


def out_of_reach(
    detector: Detector[Any], actions: Iterable[Action], *, within: timedelta, now: datetime
) -> str | None:
    """
    What to say of *detector*'s *actions* in one place, where the deployment has no power to undo them.

    None if there is nothing that could be undone.
    """
    left = [one for one in actions if one.touched and undoable(one, within, now) and _returns(detector, one)]
    if not left:
        return None
    last = max(action.began for action in left)
    things = "1 thing" if len(left) == 1 else f"{len(left)} things"
    return (
        f"{things} that it did in {left[0].target.region} can be undone until {last + within:%Y-%m-%d}, but "
        "not by the undo function, which has no powers for it since it was disarmed. "
        f"armed_until = {last:%Y-%m-%d} in detectors.{detector.name}, or the later day it was disarmed, and "
        "make deploy give them back; or janitor undo, with credentials of your own"
    )


def _returns(detector: Detector[Any], action: Action) -> bool:
    """Whether anything comes back at all."""
    try:
        detector.comeback(action.target, action.undo)
    except CannotActError:
        return False
    return True
