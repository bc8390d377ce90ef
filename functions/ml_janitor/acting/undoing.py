"""Takes back what the janitor did, in one invocation of the undo function or from a terminal. Law 7."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ml_janitor.aws.answers import describe
from ml_janitor.aws.organization import not_read
from ml_janitor.core.cause import Why
from ml_janitor.core.durations import ago
from ml_janitor.core.text import named
from ml_janitor.engine.detector import CannotActError, NotFinishedError
from ml_janitor.engine.holds import Hold, How, anew
from ml_janitor.ledger.action import UNDOABLE, Action, Stage
from ml_janitor.ledger.actions import BegunBeforeError
from ml_janitor.ledger.leases import LeaseTakenError
from ml_janitor.ledger.macs import NoKeyError, UnverifiedError
from ml_janitor.ledger.steps import RecordedSteps

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

    from ml_janitor.aws.client import Aws
    from ml_janitor.config.events import UndoEvent
    from ml_janitor.config.settings import Settings
    from ml_janitor.core.cause import Cause
    from ml_janitor.engine.detector import Detector
    from ml_janitor.ledger.actions import Actions
    from ml_janitor.ledger.holds import Holds
    from ml_janitor.ledger.leases import Leases

REST = timedelta(days=7)
"""How long a resource that was brought back is left alone: its owner needs time to use it."""

ROUNDS = 80
"""How often one call goes back to an undo that waits for AWS, where its time does not end it before."""

POLL_SECONDS = 5.0
"""Between two attempts to get the lease of a sweep that may be over by then."""

RESERVE = timedelta(minutes=3)
"""What is left of the invocation's time for the undo itself when it begins; a third, if that is less."""


class CannotUndoError(Exception):
    """There is nothing to take back, or it can no longer be; one line says why."""


class NotBackYetError(CannotUndoError):
    """It is on its way back, and AWS takes longer than this call had time: call again to go on."""


class RecordRefusedError(CannotUndoError):
    """Its record in the ledger is not what the janitor signed: nothing is done from it."""


class ByHandError(CannotUndoError):
    """The undo function may not bring it back: a person does, with credentials of their own."""


class NothingDoneError(CannotUndoError):
    """The action broke off before its first step: there is nothing to bring back, and no more to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undoing:
    """
    What undoing needs from the outside. *clock* is the real time; *within* is `undo_days`.

    *words* makes a sentence of a cause. *wait* lets AWS get on with what an undo waits for; without it the
    next call goes on. *unsigned* also undoes what has no signature, as earlier versions wrote it: that is for
    a person with credentials of their own.
    """

    actions: Actions
    holds: Holds
    clock: Callable[[], datetime]
    within: timedelta
    words: Callable[[Cause], str]
    wait: Callable[[], None] | None = None
    unsigned: bool = False

    def find(self, detector: str, account: str, region: str, finding: str) -> Action:
        """
        The newest action on the finding of id *finding* that can be taken back.

        One that came to nothing does not hide what was done before it; one that was brought back does.
        Raises CannotUndoError.
        """
        known = [each for each in self.actions.all(detector, account, region) if each.id == finding]
        if not known:
            raise CannotUndoError(f"nothing was done to finding {finding} by {detector} in {region}")
        done = (each for each in reversed(known) if each.touched and each.stage is not Stage.WITHDRAWN)
        newest, action = known[-1], next(done, known[-1])
        if newest.stage in UNDOABLE and (action.stage not in UNDOABLE or self._too_old(action)):
            action = newest
        if action.stage is Stage.UNDONE:
            raise CannotUndoError(_undone_before(action))
        if action.stage is Stage.WITHDRAWN:
            raise CannotUndoError(f"nothing was done to {action.target.name}: {action.error}")
        if action.stage not in UNDOABLE:
            raise CannotUndoError(f"{action.target.name} is {action.stage}")
        if self._too_old(action):
            age = self.clock() - action.began
            raise CannotUndoError(
                f"{action.target.name} was cleaned up {ago(age)} ago; undo_days is {self.within.days}"
            )
        return action

    def _too_old(self, action: Action) -> bool:
        """What is half brought back is never left so."""
        return action.stage is not Stage.UNDOING and self.clock() - action.began > self.within

    def undo(
        self, detector: Detector[Any], aws: Aws, action: Action, *, by: str, again: bool = False
    ) -> Action:
        """
        Bring back what *action* cleaned up, whole or half; then leave it alone for a week.

        *by* is who asked for it. *again* resumes an undo that broke off, without a new request. Raises
        CannotUndoError with what went wrong, and NotBackYetError if it only takes longer; either can be
        tried again. Raises RecordRefusedError if its record does not verify, NothingDoneError if there is
        nothing to bring back, and BegunBeforeError if another run works on it.
        """
        action = self._begin(action, by, again=again)
        try:
            self._snooze(action, by, detector.reverted_arn(action.target, action.undo))
            if not action.touched:
                self._withdraw(action)
            action, became = self._revert(detector, aws, action)
        except (NotBackYetError, NothingDoneError):
            raise
        except Exception as error:  # recorded and reported; the next try resumes it
            why = str(error) if isinstance(error, CannotActError) else describe(error)
            self.actions.undo_failed(action, why)
            raise CannotUndoError(f"{action.target.name} could not be brought back: {why}") from error
        undone = self.actions.undone(action, self.clock(), became)
        return replace(undone, steps=action.steps)

    def _begin(self, action: Action, by: str, *, again: bool) -> Action:
        """Verify *action*, then record that its undo begins. Raises RecordRefusedError."""
        try:
            self._verify(action)
            return self.actions.begin_undo(action, by, self.clock(), again=again)
        except UnverifiedError as unverified:
            why = self.words(unverified.cause)
            self.actions.refused(action, why)
            raise RecordRefusedError(f"{action.target.name}: {why}") from unverified

    def _verify(self, action: Action) -> None:
        try:
            try:
                self.actions.verify(action)
            except UnverifiedError as unverified:
                if not (self.unsigned and unverified.cause.why is Why.MAC_MISSING):
                    raise
                self.actions.check_older(action)
        except (UnverifiedError, NoKeyError):
            raise
        except Exception as error:  # KMS did not answer: remembered, and it can be tried again
            why = f"the record of {action.target.name} could not be verified: {describe(error)}"
            self.actions.refused(action, why)
            raise CannotUndoError(why) from error

    def _snooze(self, action: Action, by: str, reverted_arn: str) -> None:
        """
        Hold the resource for a week, and *reverted_arn*, which has another creation time or another name.

        Stored before anything is reverted, in case the undo breaks off.
        """
        target, now = action.target, self.clock()
        why = "it was brought back" if action.touched else "it was asked back before anything was done to it"
        for key in dict.fromkeys((target.key, anew(target.arn), anew(reverted_arn))):
            hold = Hold(key=key, how=How.SNOOZED, by=by, said=now, until=now + REST, why=why)
            self.holds.put(target.account, target.region, hold)

    def _withdraw(self, action: Action) -> None:
        """Record that nothing was done, so that it can be acted on again. Raises NothingDoneError."""
        why = "it broke off before its first step"
        self.actions.withdrawn(action, why)
        raise NothingDoneError(f"nothing was done to {action.target.name}: {why}")

    def _revert(self, detector: Detector[Any], aws: Aws, action: Action) -> tuple[Action, str]:
        """Revert *action*, again while it waits for AWS and there is time; also what became of it."""
        writing = aws.armed()
        for _ in range(ROUNDS):
            try:
                steps = RecordedSteps(self.actions, action, "undo")
                became = detector.revert(writing, action.target, action.undo, steps)
            except NotFinishedError as waits:
                action = self.actions.unfinished(action, str(waits))
            except Exception as error:  # out of time is no failure; all else is raised again
                if not writing.out_of_time(error):
                    raise
                action = self.actions.unfinished(action, "this call had no time left")
                break
            else:
                return action, became or ""
            if self.wait is None or not aws.has_time:
                break
            self.wait()
        raise NotBackYetError(
            f"{action.target.name} is on its way back, and undoing it again goes on with it: {action.error}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoRun:
    """
    One invocation of the undo function, and what it needs from outside.

    *left* is how long it may still take, *opened* opens a detector's region of an account: *home*, where the
    function is, or one of its organization. *tell* updates the message of an action, *count_refused* counts a
    refused record of a detector, and *by_hand* says of an action if it is undone by a person only.
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
        Bring back what *asked* names. The answer says whether, and if not, why there is nothing to do.

        Raises CannotUndoError for what went wrong, once its message is updated, and LeaseTakenError if the
        sweep that may work on it does not end in time: both can be tried again.
        """
        undoable = {one.name: one for one in self.settings.undoable(self.clock().date())}
        account = asked.account or self.home
        if account != self.home and not self.settings.organization.used:
            return self._answer(asked, why=f"account {account} is not this one")
        if asked.detector not in undoable:
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
            detector = undoable[asked.detector]
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
        """*region* of *account*. Raises CannotUndoError if it cannot be entered, which is then remembered."""
        with ExitStack() as stack:
            try:
                (aws,) = stack.enter_context(self.opened(action.detector, account, region))
            except Exception as error:
                why = f"account {account} {not_read(error)}"
                self.undoing.actions.refused(action, why)
                raise CannotUndoError(f"{action.target.name} could not be brought back: {why}") from error
            yield aws

    def _check_allowed(self, detector: Detector[Any], action: Action) -> None:
        """Raise ByHandError if this function may not undo *action*, which is then remembered."""
        if (cause := self.by_hand(detector, action)) is not None:
            why = self.undoing.words(cause)
            self.undoing.actions.refused(action, why)
            raise ByHandError(why)

    @contextmanager
    def leased(self, asked: UndoEvent, *, holder: str) -> Iterator[None]:
        """
        Hold the sweep's lease: a sweep would finish a half-done action.

        A sweep in progress is waited for, as long as enough time is left for the undo.
        """
        where = (asked.detector, asked.account or self.home, asked.region)
        reserve = min(RESERVE, self.left() / 3)
        while True:
            now = self.clock()
            try:
                self.leases.take(*where, holder=holder, now=now, until=now + self.left())
                break
            except LeaseTakenError:
                if self.left() <= reserve:
                    raise
                self.sleep(POLL_SECONDS)
        try:
            yield
        finally:
            self.leases.release(*where, holder=holder)

    def _answer(self, asked: UndoEvent, *, why: str = "") -> dict[str, Any]:
        about = {"detector": asked.detector, "region": asked.region, "finding": asked.finding, "why": why}
        self.logger.info("undone" if not why else "nothing to undo", extra=about)
        return {"done": not why, "detector": asked.detector, "finding": asked.finding, "why": why}


def _undone_before(action: Action) -> str:
    """Why *action* is not undone a second time; a job was restarted, not brought back."""
    who = named(action.undone_by)
    if action.became:
        return f"done before, by {who}: {action.became}"
    return f"{action.target.name} was brought back before, by {who}"
