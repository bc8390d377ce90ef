"""One invocation of the undo function: wait for the sweep to end, bring back, and have the message say so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ml_janitor.acting.undoing import CannotUndoError, NothingDoneError
from ml_janitor.ledger.action import Stage
from ml_janitor.ledger.actions import BegunBeforeError
from ml_janitor.ledger.leases import LeaseTakenError

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

    from ml_janitor.acting.undoing import Undoing
    from ml_janitor.aws.client import Aws
    from ml_janitor.config.events import UndoEvent
    from ml_janitor.config.settings import Settings
    from ml_janitor.ledger.action import Action
    from ml_janitor.ledger.leases import Leases

PAUSE = 5.0
"""Seconds between two looks at whether the sweep is over."""

RESERVE = timedelta(minutes=3)
"""What is left of the invocation's time for the undo itself when it begins; a third, if that is less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoRun:
    """
    What one invocation needs from outside.

    *left* is how long it may still take, *opened* opens regions of its *account*, and *tell* has the
    action's message say how far it came.
    """

    settings: Settings
    account: str
    undoing: Undoing
    leases: Leases
    clock: Callable[[], datetime]
    left: Callable[[], timedelta]
    sleep: Callable[[float], None]
    opened: Callable[[tuple[str, ...]], AbstractContextManager[list[Aws]]]
    tell: Callable[[Action], None]
    logger: Logger

    def __call__(self, asked: UndoEvent, *, holder: str) -> dict[str, Any]:
        """
        Bring back what *asked* names. The answer says whether, and if not, why there is nothing to do.

        Raises CannotUndoError for what went wrong, once its message says so, and LeaseTakenError if the
        sweep that may be at work on it does not end in time: both can be tried again.
        """
        if (why := self._unknown(asked)) is not None:
            return self._answer(asked, why=why)
        with self.leased(asked, holder=holder):
            try:
                action = self.undoing.find(asked.detector, self.account, asked.region, asked.finding)
            except CannotUndoError as nothing:
                return self._answer(asked, why=str(nothing))
            if asked.again and action.stage is not Stage.UNDOING:
                return self._answer(asked, why=f"{action.target.name} is not half brought back any more")
            try:
                detector = next(
                    one for one in self.settings.undoable(self.clock().date()) if one.name == asked.detector
                )
                with self.opened((asked.region,)) as (aws,):
                    self.undoing.undo(detector, aws, action, by=asked.by, again=asked.again)
            except (BegunBeforeError, NothingDoneError) as nothing:
                return self._answer(asked, why=str(nothing))
            finally:
                self.tell(action)
        return self._answer(asked)

    def _unknown(self, asked: UndoEvent) -> str | None:
        """Why this function has nothing to do with what is asked, or None."""
        if asked.account not in {None, self.account}:
            return f"account {asked.account} is not this one"
        if asked.detector not in {one.name for one in self.settings.undoable(self.clock().date())}:
            days = self.settings.janitor.undo_days
            return f"{asked.detector} is not armed, nor was it in the last {days} days"
        return None

    @contextmanager
    def leased(self, asked: UndoEvent, *, holder: str) -> Iterator[None]:
        """
        Nobody sweeps meanwhile: a sweep takes what is half done for its own to finish.

        A sweep that is under way is waited for, as long as enough time is left for the undo.
        """
        where = (asked.detector, self.account, asked.region)
        reserve = min(RESERVE, self.left() / 3)
        while True:
            now = self.clock()
            try:
                self.leases.take(*where, holder=holder, now=now, until=now + self.left())
                break
            except LeaseTakenError:
                if self.left() <= reserve:
                    raise
                self.sleep(PAUSE)
        try:
            yield
        finally:
            self.leases.release(*where, holder=holder)

    def _answer(self, asked: UndoEvent, *, why: str = "") -> dict[str, Any]:
        about = {"detector": asked.detector, "region": asked.region, "finding": asked.finding, "why": why}
        self.logger.info("undone" if not why else "nothing to undo", extra=about)
        return {"done": not why, "detector": asked.detector, "finding": asked.finding, "why": why}
