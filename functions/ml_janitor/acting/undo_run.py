"""One invocation of the undo function: its event, the permission to undo, and its answer. Law 7."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ml_janitor.acting.undoing import ByHandError, CannotUndoError, NothingDoneError, RecordRefusedError
from ml_janitor.aws.organization import unread_sweep_error
from ml_janitor.ledger.action import Action, Stage
from ml_janitor.ledger.actions import BegunBeforeError
from ml_janitor.ledger.leases import LeaseTakenError

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

    from ml_janitor.acting.undoing import Undoing
    from ml_janitor.aws.client import Aws
    from ml_janitor.config.events import UndoEvent
    from ml_janitor.config.settings import Settings
    from ml_janitor.core.cause import Cause
    from ml_janitor.engine.detector import Detector
    from ml_janitor.ledger.leases import Leases

_LEASE_POLL_SECONDS = 5.0
"""Seconds between two attempts to get the lease of a sweep that may end meanwhile."""

_UNDO_RESERVE = timedelta(minutes=3)
"""Time of the invocation that is left for the undo itself; at most a third of the whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoRun:
    """
    One invocation of the undo function, and the outside parts that it needs.

    *left* is the time that it may still take. *opened* opens a detector's region of an
    account: *home*, where the function is, or an account of its organization. *tell* updates
    the message of an action, *count_refused* counts a refused record of a detector, and
    *by_hand* returns the cause if only a person can undo an action.
    """

    settings: Settings
    home: str
    undoing: Undoing
    leases: Leases
    clock: Callable[[], datetime]
    left: Callable[[], timedelta]
    sleep: Callable[[float], None]
    opened: Callable[[str, str, str], AbstractContextManager[list[Aws]]]
    tell: Callable[[Action], None]
    count_refused: Callable[[str], None]
    by_hand: Callable[[Detector[Any], Action], Cause | None]
    logger: Logger

    def __call__(self, asked: UndoEvent, *, holder: str) -> dict[str, Any]:
        """
        Bring back the resource that *asked* names. The answer says whether it is back, and if not, why.

        Raises CannotUndoError for a failure, once the message is updated, and LeaseTakenError if the sweep
        that may work on the action does not end in time: both can be tried again.
        """
        account = asked.account or self.home
        if account != self.home and not self.settings.organization.used:
            return self._answer(asked, why=f"account {account} is not this one")
        detector = self.settings.detector_called(asked.detector)
        if detector is None or asked.detector not in self.settings.undoable_names(self.clock().date()):
            days = self.settings.janitor.undo_days
            return self._answer(
                asked, why=f"{asked.detector} is not armed, nor was it in the last {days} days"
            )
        with self.leased(asked, holder=holder):
            try:
                action = self.undoing.find(asked.detector, account, asked.region, asked.finding)
            except CannotUndoError as nothing:
                return self._answer(asked, why=str(nothing))
            if asked.again and action.stage is not Stage.UNDOING:
                return self._answer(asked, why=f"{action.target.name} is not half brought back any more")
            try:
                self._check_allowed(detector, action)
                if asked.request and not asked.again:  # a press, which may not write this itself
                    action = self.undoing.actions.request_undo(action, asked.by, self.clock())
                with self._entered(action, account, asked.region) as aws:
                    self.undoing.undo(detector, aws, action, by=asked.by, again=asked.again)
            except (BegunBeforeError, ByHandError, NothingDoneError, RecordRefusedError) as nothing:
                if isinstance(nothing, RecordRefusedError):
                    self.count_refused(asked.detector)
                return self._answer(asked, why=str(nothing))
            finally:
                self.tell(action)
        return self._answer(asked)

    @contextmanager
    def _entered(self, action: Action, account: str, region: str) -> Iterator[Aws]:
        """Enter *region* of *account*. If that fails, remember it and raise CannotUndoError."""
        with ExitStack() as stack:
            try:
                (aws,) = stack.enter_context(self.opened(action.detector, account, region))
            except Exception as error:  # remembered, and told to the person who asked
                why = f"account {account} {unread_sweep_error(error)}"
                self.undoing.actions.refused(action, why)
                raise CannotUndoError(f"{action.target.name} could not be brought back: {why}") from error
            yield aws

    def _check_allowed(self, detector: Detector[Any], action: Action) -> None:
        """Raise ByHandError if this function may not undo *action*, and remember that."""
        if (cause := self.by_hand(detector, action)) is not None:
            why = self.undoing.words(cause)
            self.undoing.actions.refused(action, why)
            raise ByHandError(why)

    @contextmanager
    def leased(self, asked: UndoEvent, *, holder: str) -> Iterator[None]:
        """
        Hold the sweep's lease: a sweep would finish a half-done action.

        The undo waits for a sweep in progress, as long as enough time is left for the undo.
        """
        where = (asked.detector, asked.account or self.home, asked.region)
        reserve = min(_UNDO_RESERVE, self.left() / 3)
        while True:
            now = self.clock()
            try:
                self.leases.take(*where, holder=holder, now=now, until=now + self.left())
                break
            except LeaseTakenError:
                if self.left() <= reserve:
                    raise
                self.sleep(_LEASE_POLL_SECONDS)
        try:
            yield
        finally:
            self.leases.release(*where, holder=holder)

    def _answer(self, asked: UndoEvent, *, why: str = "") -> dict[str, Any]:
        about = {"detector": asked.detector, "region": asked.region, "finding": asked.finding, "why": why}
        self.logger.info("undone" if not why else "nothing to undo", extra=about)
        return {"done": not why, "detector": asked.detector, "finding": asked.finding, "why": why}
