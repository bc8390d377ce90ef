"""One action as a state machine: begin it, finish it, resume it after it broke off, or have it reverted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ml_janitor.acting.undos import JANITOR_NAME, LATE_AFTER, undo_command, undo_hint
from ml_janitor.aws.answers import OutOfTimeError, error_text
from ml_janitor.core.cause import UNVERIFIED_RECORD_CODES, Cause, CauseCode, UnfinishedProgress, make_cause
from ml_janitor.core.model import Finding, Kept
from ml_janitor.core.results import Outcome, Result
from ml_janitor.engine.detector import CannotActError, ChangedError, NotFinishedError, NotYetError
from ml_janitor.ledger.action import MOST_TRIES, Action
from ml_janitor.ledger.actions import BegunBeforeError
from ml_janitor.ledger.limits import LimitReachedError
from ml_janitor.ledger.macs import UnverifiedError
from ml_janitor.ledger.steps import RecordedSteps

if TYPE_CHECKING:
    from datetime import datetime

    from ml_janitor.acting.recheck import Postponement, Recheck
    from ml_janitor.aws.client import Aws
    from ml_janitor.engine.arming import Arming
    from ml_janitor.ledger.actions import Actions
    from ml_janitor.ledger.entries import Entry
    from ml_janitor.ledger.findings import Ledger
    from ml_janitor.ledger.limits import ActionPlaces

_MOST_ACT_ROUNDS = 40
"""Most returns of a run to the actions that wait for AWS, if its time does not end before."""


class NoActError(Exception):
    """The janitor leaves one resource alone for now, with this *outcome* and *cause*."""

    def __init__(self, outcome: Outcome, cause: Cause) -> None:
        self.outcome = outcome
        self.cause = cause


def half_done_cause(why: CauseCode, *details: str | int) -> Cause:
    """Return the cause of the outcome of a half-done action."""
    return Cause(why, details, progress=UnfinishedProgress.HALF_DONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionMachine:
    """
    The actions of one sweep; *entries* are its findings in the ledger.

    *recheck* reads, and only the act uses *writing*. *words* makes a sentence of a cause, which the ledger
    keeps for messages. *waiting* holds the actions that wait for AWS, by the key of their resource. The sweep
    holds its lease, so no other run works on unfinished actions.
    """

    ledger: Ledger
    actions: Actions
    arming: Arming
    entries: Mapping[str, Entry]
    recheck: Recheck
    writing: Aws
    places: ActionPlaces
    postponement: Postponement
    revert: Callable[[Action], None]
    words: Callable[[Cause], str]
    waiting: dict[str, Action] = field(default_factory=dict)

    def begin(self, result: Result, entry: Entry) -> Result:
        """Act on a due finding: from the recheck to the record."""
        acted = self._attempt(result, lambda: self._begin(result, entry), make_cause(CauseCode.NO_LEDGER))
        if acted.cause is not None and acted.cause.why is CauseCode.NO_LEDGER:
            self.places.close(acted.cause)  # without the ledger there are no more acts
        return acted

    def resume(self, result: Result, action: Action) -> Result:
        """Finish *action*, which broke off, if its resource is still waste; else have it reverted."""
        done = self._attempt(
            result, lambda: self._resume(result, action), half_done_cause(CauseCode.NOT_FINISHED)
        )
        if done.cause is not None and done.cause.why in UNVERIFIED_RECORD_CODES:
            self.actions.refused(action, self.words(done.cause))
        return done

    def resume_waiting(
        self, results: dict[str, Result], wait: Callable[[], None], until: datetime | None = None
    ) -> None:
        """
        Resume actions that wait for AWS up to *until*, or as long as there is time.

        *results* is updated. Each resource is judged anew before.
        """
        for _ in range(_MOST_ACT_ROUNDS):
            late = until is not None and self.recheck.clock() >= until
            if late or not self.waiting or not self.recheck.aws.has_time:
                return
            wait()
            if not self.recheck.aws.has_time:
                return
            for key, action in tuple(self.waiting.items()):
                results[key] = self._resume_waiting(results[key], action)

    def act(self, result: Result, action: Action) -> Result:
        """Act, and record AWS's answer. If an answer is lost, the machine looks at the resource."""
        self.waiting.pop(action.target.key, None)
        try:
            steps = RecordedSteps(self.actions, action, "act")
            self.recheck.detector.act(self.writing, action.target, action.undo, steps)
        except NotFinishedError as waits:
            return self._unfinished(result, action, make_cause(CauseCode.WAITS_FOR_AWS, str(waits)))
        except ChangedError as changed:
            return self._withdrawn(result, action, make_cause(CauseCode.NO_LONGER_WASTE, str(changed)))
        except Exception as error:  # recorded; the next sweep resumes it
            if self.writing.out_of_time(error):
                return self._unfinished(result, action, make_cause(CauseCode.OUT_OF_TIME))
            if not self.recheck.is_done(action):
                failure = error_text(error)
                self.actions.failed(action, failure)
                return replace(
                    result, outcome=Outcome.FAILED, cause=make_cause(CauseCode.ACT_FAILED, failure)
                )
        return self._finished(result, action)

    # --- before anything is done --------------------------------------------------------------

    def _begin(self, result: Result, entry: Entry) -> Result:
        """Act, once nothing speaks against it. Else nothing was done, and the returned result says why."""
        try:
            action = self._prepared(result, entry)
        except (NoActError, LimitReachedError):
            raise
        except NotYetError as not_yet:
            self.ledger.save_memo(entry, not_yet.memo)
            return replace(result, cause=make_cause(CauseCode.PREPARING, str(not_yet)))
        except CannotActError as refused:  # its message says why the janitor does nothing
            self.ledger.record_refusal(entry, str(refused), self.recheck.clock())
            why = make_cause(CauseCode.REFUSED_BY_PREPARE, str(refused))
            return replace(result, outcome=Outcome.ADVISED, cause=why)
        except OutOfTimeError:
            return replace(result, cause=make_cause(CauseCode.OUT_OF_TIME))
        except BegunBeforeError as begun:  # and ended: an action in progress does not come here
            self.ledger.void_warning(entry, str(begun))
            return replace(result, cause=make_cause(CauseCode.ACTED_BEFORE, str(begun)))
        except Exception as error:  # the machine still acts on the others
            return replace(
                result, outcome=Outcome.FAILED, cause=make_cause(CauseCode.NOTHING_DONE, error_text(error))
            )
        return self.act(result, action)

    def _prepared(self, result: Result, entry: Entry) -> Action:
        """Recheck, prepare, take a place, store the undo. Raises the reason against acting."""
        self.places.check()
        if not self.recheck.aws.has_time:
            raise OutOfTimeError
        at = self.recheck.clock()
        verdict, candidate = self.recheck.verdict(result, at)
        if not isinstance(verdict, Finding):
            raise self._changed(entry, verdict, at)
        if (why := self.arming.spares(candidate.target, verdict, candidate.takes_along)) is not None:
            raise CannotActError(self.words(why))
        warned = entry.warned or at
        due = self.arming.due(warned, verdict, messaged=not entry.unmessaged)
        if (not entry.hurried or verdict.schedule) and due > at:
            waits = CauseCode.NOT_QUIET if verdict.schedule else CauseCode.GRACE_OF_RULE
            raise NoActError(Outcome.WAITING, make_cause(waits))
        undo = self.recheck.prepared(candidate, entry.memo)
        if (hold := self.recheck.held(candidate.target)) is not None:  # preparing may have taken minutes
            raise self._changed(entry, Kept(reason=hold), at)
        self.places.take(entry.key, at)
        if not self.arming.effect.saves:
            verdict = replace(verdict, cost=None)  # the action claims no saving
        found = replace(result, verdict=verdict, target=candidate.target)
        return self.actions.begin(found, undo, warned=warned, now=at, by=entry.hurried, messages=entry)

    def _changed(self, entry: Entry, verdict: Kept | None, at: datetime) -> NoActError:
        """Return the reason to stop. A finding that could not be judged keeps its warning, and waits."""
        if verdict is not None and verdict.unknown:
            return NoActError(Outcome.WAITING, make_cause(CauseCode.UNKNOWN_AT_RECHECK, verdict.reason))
        why = (
            make_cause(CauseCode.GONE)
            if verdict is None
            else make_cause(CauseCode.NO_LONGER_WASTE, verdict.reason)
        )
        self.ledger.close(entry, self.words(why), at)
        return NoActError(Outcome.CHANGED, why)

    # --- what broke off, or waits -------------------------------------------------------------

    def _resume(self, result: Result, action: Action) -> Result:
        recheck = self.recheck
        if not recheck.aws.has_time:
            raise NoActError(Outcome.WAITING, half_done_cause(CauseCode.OUT_OF_TIME))
        self.actions.verify(action)
        if (ended := recheck.ended_otherwise(action)) is not None:
            return self._withdrawn(result, action, make_cause(CauseCode.NO_LONGER_WASTE, ended))
        if recheck.is_done(action):
            if not action.touched:
                return self._withdrawn(result, action, make_cause(CauseCode.DONE_BY_OTHERS))
            return self._finished(result, action)
        at = recheck.clock()
        self._judge(result, action, at)
        where = (action.target.account, action.target.region)
        if not self.arming.within(*where):
            raise NoActError(Outcome.WAITING, half_done_cause(CauseCode.OUTSIDE_ACT_IN, *where))
        if action.given_up:
            raise NoActError(Outcome.FAILED, make_cause(CauseCode.GIVEN_UP, MOST_TRIES, action.error))
        if (why := self.postponement.of(action.target.key, at, hurried=action.by)) is not None:
            raise NoActError(Outcome.WAITING, replace(why, progress=UnfinishedProgress.HALF_DONE))
        self.places.take(action.target.key, at)
        return self.act(result, self.actions.resume(action, at))

    def _resume_waiting(self, result: Result, action: Action) -> Result:
        """
        Judge *action*, which waited for AWS, anew and resume it: minutes may have passed.

        A resource in the state that the act leaves is not judged any more.
        """

        def judged() -> Result:
            if not self.recheck.is_done(action):
                self._judge(result, action, self.recheck.clock())
            return result

        failed = half_done_cause(CauseCode.NOT_RECHECKED)
        stopped = self._attempt(result, judged, failed, outcome=Outcome.WAITING)
        if stopped is not result:
            if stopped.outcome is not Outcome.WAITING:
                del self.waiting[action.target.key]
            return stopped
        return self._attempt(result, lambda: self.act(result, action), half_done_cause(CauseCode.NO_LEDGER))

    def _judge(self, result: Result, action: Action, at: datetime) -> None:
        """
        Raise StopsError if *action* is not resumed, and have it reverted if its resource is no longer waste.

        If nothing was done yet, there is nothing to revert.
        """
        verdict, candidate = self.recheck.verdict(replace(result, target=action.target), at, action.undo)
        entry, outcome, why = self.entries.get(action.target.key), Outcome.CHANGED, None
        if isinstance(verdict, Kept):
            if verdict.unknown:
                raise NoActError(
                    Outcome.WAITING, half_done_cause(CauseCode.UNKNOWN_AT_RECHECK, verdict.reason)
                )
            why = make_cause(CauseCode.NO_LONGER_WASTE, verdict.reason)
        elif candidate and (why := self.arming.protects(candidate.target, candidate.takes_along)):
            outcome = Outcome.ADVISED
        elif entry is not None and entry.voided:
            why = make_cause(CauseCode.WARNING_VOID)
        if why is None:
            return
        if not action.touched:
            self._withdrawn(result, action, why)
            raise NoActError(outcome, why)
        self._ask_for_revert(action, why)
        raise NoActError(outcome, replace(why, then=make_cause(CauseCode.REVERTED_NEXT)))

    def _ask_for_revert(self, action: Action, why: Cause) -> None:
        """
        Have *action* reverted. If the request fails, the error tells a person the command.

        The ledger gets the request first: the undo function then brings a used resource back, even if the
        resource is waste again by that time.
        """
        try:
            self.revert(self.actions.request_undo(action, JANITOR_NAME, self.recheck.clock()))
        except BegunBeforeError:
            raise
        except Exception as error:  # reported; the next sweep asks again
            by = undo_command(self.recheck.detector, action)
            then = Cause(CauseCode.REVERT_NOT_ASKED, (error_text(error),), by_hand=by)
            raise NoActError(Outcome.FAILED, replace(why, then=then)) from error

    # --- the end of an attempt ----------------------------------------------------------------

    def _attempt(
        self, result: Result, step: Callable[[], Result], failed: Cause, *, outcome: Outcome = Outcome.FAILED
    ) -> Result:
        """
        Return the result of *step*, or *result* with the outcome of its error:
        by default *outcome* and *failed*.
        """
        try:
            return step()
        except NoActError as stops:
            return replace(result, outcome=stops.outcome, cause=stops.cause)
        except (LimitReachedError, UnverifiedError) as other:
            waits = isinstance(other, LimitReachedError)
            return replace(result, outcome=Outcome.WAITING if waits else Outcome.FAILED, cause=other.cause)
        except BegunBeforeError as begun:
            unchanged = Outcome.WAITING if result.outcome is Outcome.FAILED else result.outcome
            busy = Cause(CauseCode.ANOTHER_RUN, (str(begun),), progress=failed.progress)
            return replace(result, outcome=unchanged, cause=busy)
        except Exception as error:  # reported; the next sweep tries again
            if failed.why is not CauseCode.NO_LEDGER and self.recheck.aws.out_of_time(error):
                return replace(result, outcome=Outcome.WAITING, cause=half_done_cause(CauseCode.OUT_OF_TIME))
            return replace(result, outcome=outcome, cause=replace(failed, details=(error_text(error),)))

    def _finished(self, result: Result, action: Action) -> Result:
        """Record that AWS confirmed the act."""
        self.actions.acted(action, self.recheck.clock())
        self._close(action, "cleaned up")
        return replace(result, outcome=Outcome.ACTED, cause=undo_hint(self.recheck.detector, action))

    def _withdrawn(self, result: Result, action: Action, why: Cause) -> Result:
        """Record that nothing was done: if the resource is waste again, that is a new finding."""
        self.actions.withdrawn(action, self.words(why))
        self._close(action, self.words(why))
        return replace(result, outcome=Outcome.CHANGED, cause=why)

    def _unfinished(self, result: Result, action: Action, waits: Cause) -> Result:
        """
        Record an action that waits, without an error: this run resumes it while
        there is time, else the next run.
        """
        self.waiting[action.target.key] = self.actions.unfinished(action, self.words(waits))
        late = self.recheck.clock() - action.began > LATE_AFTER
        outcome = Outcome.FAILED if late else Outcome.WAITING
        return replace(result, outcome=outcome, cause=replace(waits, progress=UnfinishedProgress.HALF_DONE))

    def _close(self, action: Action, why: str) -> None:
        entry = self.entries.get(action.target.key)
        if entry is not None and entry.closed is None:
            self.ledger.close(entry, why, self.recheck.clock())
