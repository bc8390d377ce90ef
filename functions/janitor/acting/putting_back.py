"""One invocation of the undo function: wait for the sweep to end, bring back, and have the message say so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from janitor import assembly
from janitor.acting.action import Stage
from janitor.acting.actions import BegunBeforeError
from janitor.acting.undoing import CannotUndoError, NothingDoneError
from janitor.ledger.leases import LeaseTakenError
from janitor.slack.patience import SlackError

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

    from janitor.acting.action import Action
    from janitor.events import UndoEvent
    from janitor.invocation import Invocation

PAUSE = 5.0
"""Seconds between two looks at whether the sweep is over."""

RESERVE = timedelta(minutes=3)
"""What is left of the invocation's time for the undo itself when it begins; a third, if that is less."""


def brought_back(asked: UndoEvent, own: Invocation, logger: Logger, *, holder: str) -> dict[str, Any]:
    """
    Bring back what *asked* names. The answer says whether, and if not, why there is nothing to do.

    Raises CannotUndoError for what went wrong, once its message says so, and LeaseTakenError if the
    sweep that may be at work on it does not end in time: both can be tried again.
    """
    if (why := _unknown(asked, own)) is not None:
        return _answer(asked, logger, why=why)
    with leased(own, asked, holder=holder):
        undoing = assembly.undoing(own)
        try:
            action = undoing.find(asked.detector, own.account, asked.region, asked.finding)
        except CannotUndoError as nothing:
            return _answer(asked, logger, why=str(nothing))
        if asked.again and action.stage is not Stage.UNDOING:
            return _answer(asked, logger, why=f"{action.target.name} is not half brought back any more")
        try:
            detector = next(
                one for one in own.settings.undoable(own.clock().date()) if one.name == asked.detector
            )
            with own.opened((asked.region,)) as (aws,):
                undoing.undo(detector, aws, action, by=asked.by, again=asked.again)
        except (BegunBeforeError, NothingDoneError) as nothing:
            return _answer(asked, logger, why=str(nothing))
        finally:
            _tell(own, asked, action, logger)
    return _answer(asked, logger)


def _unknown(asked: UndoEvent, own: Invocation) -> str | None:
    """Why this function has nothing to do with what is asked, or None."""
    if asked.account not in {None, own.account}:
        return f"account {asked.account} is not this one"
    if asked.detector not in {one.name for one in own.settings.undoable(own.clock().date())}:
        return f"{asked.detector} is not armed, nor was it in the last {own.settings.janitor.undo_days} days"
    return None


@contextmanager
def leased(own: Invocation, asked: UndoEvent, *, holder: str) -> Iterator[None]:
    """
    Nobody sweeps meanwhile: a sweep takes what is half done for its own to finish.

    A sweep that is under way is waited for, as long as enough time is left for the undo.
    """
    where = (asked.detector, own.account, asked.region)
    reserve = min(RESERVE, own.left / 3)
    while True:
        now = own.clock()
        try:
            own.leases.take(*where, holder=holder, now=now, until=now + own.left)
            break
        except LeaseTakenError:
            if own.left <= reserve:
                raise
            own.seconds.sleep(PAUSE)
    try:
        yield
    finally:
        own.leases.release(*where, holder=holder)


def _tell(own: Invocation, asked: UndoEvent, before: Action, logger: Logger) -> None:
    """The message says how far it came. What cannot be told now, the next sweep tells."""
    following = assembly.following(own)
    if following is None or not before.message:
        return
    known = following.actions.all(asked.detector, own.account, asked.region)
    try:
        following.action(next(one for one in known if one.sk == before.sk))
    except SlackError as failed:
        logger.error("a message could not be changed", extra={"why": str(failed)})  # noqa: TRY400


def _answer(asked: UndoEvent, logger: Logger, *, why: str = "") -> dict[str, Any]:
    about = {"detector": asked.detector, "region": asked.region, "finding": asked.finding, "why": why}
    logger.info("undone" if not why else "nothing to undo", extra=about)
    return {"done": not why, "detector": asked.detector, "finding": asked.finding, "why": why}
