"""Takes back the janitor's actions: finds the action, verifies its record, and reverts it. Law 7."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ml_janitor.aws.answers import error_text
from ml_janitor.core.cause import CauseCode
from ml_janitor.core.durations import format_age
from ml_janitor.core.text import person_name
from ml_janitor.engine.detector import CannotActError, NotFinishedError
from ml_janitor.engine.holds import Hold, HoldKind, recreated_hold_key
from ml_janitor.ledger.action import UNDOABLE_STAGES, Action, Stage
from ml_janitor.ledger.macs import NoUndoKeyError, UnverifiedError
from ml_janitor.ledger.steps import RecordedSteps

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws
    from ml_janitor.core.cause import Cause
    from ml_janitor.engine.detector import Detector
    from ml_janitor.ledger.actions import Actions
    from ml_janitor.ledger.holds import Holds

UNDO_SNOOZE = timedelta(days=7)
"""Time for which the janitor leaves a resource alone after an undo: its owner needs time to use it."""

_MOST_UNDO_ROUNDS = 80
"""Most returns of one call to an undo that waits for AWS, if its time does not end before."""


class CannotUndoError(Exception):
    """There is nothing to take back, or it is too late; the text says why in one line."""


class NotBackYetError(CannotUndoError):
    """The resource is on its way back, and AWS needs more time than this call had: call again to go on."""


class RecordRefusedError(CannotUndoError):
    """The action's record in the ledger is not as the janitor signed it: the janitor does nothing from it."""


class ByHandError(CannotUndoError):
    """The undo function may not bring the resource back: a person does, with credentials of their own."""


class NothingDoneError(CannotUndoError):
    """The action broke off before its first step: there is nothing to bring back, and no more to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undoing:
    """
    The outside parts that undoing needs. *clock* is the real time; *within* is `undo_days`.

    *words* makes a sentence of a cause. *wait* lets AWS get on with an undo; without it the next call goes
    on. *unsigned* also undoes actions without a signature, which earlier versions wrote: only for a person
    with credentials of their own.
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
        Return the newest action on the finding with the id *finding* that can be taken back.

        A withdrawn action does not hide the action before it; an undone action does. Raises CannotUndoError.
        """
        known = [action for action in self.actions.all(detector, account, region) if action.id == finding]
        if not known:
            raise CannotUndoError(f"nothing was done to finding {finding} by {detector} in {region}")
        done = (
            action for action in reversed(known) if action.touched and action.stage is not Stage.WITHDRAWN
        )
        newest, action = known[-1], next(done, known[-1])
        if newest.stage in UNDOABLE_STAGES and (action.stage not in UNDOABLE_STAGES or self._too_old(action)):
            action = newest
        if action.stage is Stage.UNDONE:
            raise CannotUndoError(_undone_before(action))
        if action.stage is Stage.WITHDRAWN:
            raise CannotUndoError(f"nothing was done to {action.target.name}: {action.error}")
        if self._too_old(action):
            age = self.clock() - action.began
            raise CannotUndoError(
                f"{action.target.name} was cleaned up {format_age(age)} ago; undo_days is {self.within.days}"
            )
        return action

    def _too_old(self, action: Action) -> bool:
        """Return whether *action* is too old to be undone. A half-reverted action never is."""
        return action.stage is not Stage.UNDOING and self.clock() - action.began > self.within

    def undo(
        self, detector: Detector[Any], aws: Aws, action: Action, *, by: str, again: bool = False
    ) -> Action:
        """
        Bring back the resource of *action*, whole or half done; then leave it alone for a week.

        *by* is the person who asked. *again* resumes an undo that broke off, without a new request. Raises
        CannotUndoError with the failure, and NotBackYetError if the undo only takes longer; both can be tried
        again. Raises RecordRefusedError if the record does not verify, NothingDoneError if there is nothing
        to bring back, and BegunBeforeError if another run works on it.
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
            why = str(error) if isinstance(error, CannotActError) else error_text(error)
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
                if not (self.unsigned and unverified.cause.why is CauseCode.MAC_MISSING):
                    raise
                self.actions.check_older(action)
        except (UnverifiedError, NoUndoKeyError):
            raise
        except Exception as error:  # KMS did not answer: remembered, and it can be tried again
            why = f"the record of {action.target.name} could not be verified: {error_text(error)}"
            self.actions.refused(action, why)
            raise CannotUndoError(why) from error

    def _snooze(self, action: Action, by: str, reverted_arn: str) -> None:
        """
        Hold the resource for a week, and *reverted_arn*, which has another creation time or another name.

        The hold is stored before the undo starts, in case the undo breaks off.
        """
        target, now = action.target, self.clock()
        why = "it was brought back" if action.touched else "it was asked back before anything was done to it"
        for key in dict.fromkeys(
            (target.key, recreated_hold_key(target.arn), recreated_hold_key(reverted_arn))
        ):
            hold = Hold(key=key, how=HoldKind.SNOOZED, by=by, given=now, until=now + UNDO_SNOOZE, why=why)
            self.holds.put(target.account, target.region, hold)

    def _withdraw(self, action: Action) -> None:
        """Record that nothing was done, so that the janitor can act again. Raises NothingDoneError."""
        why = "it broke off before its first step"
        self.actions.withdrawn(action, why)
        raise NothingDoneError(f"nothing was done to {action.target.name}: {why}")

    def _revert(self, detector: Detector[Any], aws: Aws, action: Action) -> tuple[Action, str]:
        """
        Revert *action*, again while it waits for AWS and there is time; return
        it, and what became of the resource.
        """
        writing = aws.armed()
        for _ in range(_MOST_UNDO_ROUNDS):
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


def _undone_before(action: Action) -> str:
    """Return why *action* is not undone a second time; a job was restarted, not brought back."""
    who = person_name(action.undone_by)
    if action.became:
        return f"done before, by {who}: {action.became}"
    return f"{action.target.name} was brought back before, by {who}"
