"""Undos that no deployed function may do: an operator has to know while it can be mended."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ml_janitor.core.cause import UnreachableUndos
from ml_janitor.engine.detector import CannotActError
from ml_janitor.ledger.action import UNDOABLE, Action, Stage

if TYPE_CHECKING:
    from ml_janitor.engine.detector import Detector


def undoable(action: Action, within: timedelta, now: datetime) -> bool:
    """Whether *action* could be taken back, by whoever may; one that is half taken back always is."""
    return action.stage is Stage.UNDOING or (action.stage in UNDOABLE and now - action.began <= within)


def unreachable_undos(
    detector: Detector[Any], actions: Iterable[Action], *, within: timedelta, now: datetime
) -> UnreachableUndos | None:
    """Which of *detector*'s *actions* in one place the deployment has no power to undo; None if none."""
    left = [one for one in actions if one.touched and undoable(one, within, now) and _returns(detector, one)]
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


def _returns(detector: Detector[Any], action: Action) -> bool:
    """Whether anything comes back at all."""
    try:
        detector.revert_effect(action.target, action.undo)
    except CannotActError:
        return False
    return True
