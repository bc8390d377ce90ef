"""Act in an armed sweep: finish half-done actions, then act on findings that are due. Laws 3, 5, 6."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_janitor.acting.undoing import (
    JANITOR_NAME,
    LATE_AFTER,
    add_unfinished,
    broken_off_result,
    find_unreachable_undos,
    report_half_done,
    resume_reverts,
    undo_command,
    undo_hint,
)
from ml_janitor.aws.calls import OutOfTimeError, error_text
from ml_janitor.core.model import Finding, Kept
from ml_janitor.core.results import (
    UNVERIFIED_RECORD_CODES,
    Cause,
    CauseCode,
    LimitHit,
    Outcome,
    Result,
    Sweep,
    UnfinishedProgress,
    make_cause,
)
from ml_janitor.engine.detector import CannotActError, NotFinishedError
from ml_janitor.engine.policy import hold_reason, holds_on
from ml_janitor.engine.run import judge_candidate
from ml_janitor.ledger.actions import (
    MOST_TRIES,
    UNFINISHED_STAGES,
    Action,
    BegunBeforeError,
    RecordedSteps,
    Stage,
    UnverifiedError,
    undo_json,
)
from ml_janitor.ledger.requests import undo_request
from ml_janitor.ledger.table import format_stamp

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws
    from ml_janitor.core.model import Target, Verdict
    from ml_janitor.engine.detector import Detector
    from ml_janitor.engine.policy import Arming, Hold, RunPolicy
    from ml_janitor.ledger.actions import Actions
    from ml_janitor.ledger.findings import Entry, Ledger
    from ml_janitor.ledger.limits import ActionLimits
    from ml_janitor.ledger.requests import ButtonRequests, Holds


class ActedSweep(NamedTuple):
    """A *sweep* with its outcomes, and the *error* that ended the acting, if any."""

    sweep: Sweep
    error: Exception | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Acting:
    """
    The outside parts that acting needs.

    *clock* is the real time (law 4), *pause* waits between two actions, *revert* asks for the undo of a
    half-done action, which this role itself may not do. *undoable* returns, for a detector, an account and a
    region, whether the deployment may still undo actions there; *within* is `undo_days`. *together* is true
    if all accounts of an organization share one night's limit. *regions* are swept; without any, only the
    deployment's own. *wait* lets time pass for actions that wait for AWS; without it the next run resumes
    them. *actors* makes all detectors that can act.
    """

    ledger: Ledger
    actions: Actions
    holds: Holds
    limits: ActionLimits
    requests: ButtonRequests
    clock: Callable[[], datetime]
    pause: Callable[[], None]
    revert: Callable[[Action], None]
    undoable: Callable[[str, str, str], bool]
    max_actions_per_night: int
    together: bool
    regions: Sequence[str] = ()
    wait: Callable[[], None] | None = None
    within: timedelta = timedelta(days=30)
    actors: Callable[[], Sequence[Detector[Any]]] = tuple

    def act(
        self,
        detector: Detector[Any],
        aws: Aws,
        sweep: Sweep,
        entries: Mapping[str, Entry],
        *,
        now: datetime,
        policy: RunPolicy,
        until: datetime | None = None,
    ) -> ActedSweep:
        """
        Act on the findings of *sweep* that are due, and return it with the outcomes.

        *entries* are its findings in the ledger. The sweep waits for AWS no longer than
        *until*. In an incomplete sweep or a dry run it does nothing. One action's failure does
        not stop the others; only a failure of the ledger does.
        """
        if not policy.armed(detector.name).armed:
            return ActedSweep(sweep)
        reverts = resume_reverts(detector, self.known(sweep), self._revert, self.clock())
        if sweep.error is not None:
            return ActedSweep(add_unfinished(_incomplete(sweep, entries), reverts))
        armed = ArmedSweep(self, detector, aws, sweep, entries=entries, now=now, policy=policy)
        error = None
        try:
            armed.act_on_all(until)
        except Exception as failed:  # the ledger failed: the sweep still reports earlier outcomes
            error = failed
        return ActedSweep(add_unfinished(armed.so_far, reverts), error)

    def resumed(self, detector: Detector[Any], sweep: Sweep) -> Sweep:
        """
        Resume the undos of a detector that is not armed in *sweep*'s account, and return the sweep with them.

        The sweep reports a half-done action until somebody reverts it. It reports an action that no function
        may undo any more as long as the action could be undone.
        """
        at = self.clock()
        reverts = resume_reverts(detector, self.known(sweep), self._revert, at)
        known = self.known(sweep)
        reported = add_unfinished(sweep, [*report_half_done(detector, known, self.actions.doubt), *reverts])
        if self.undoable(detector.name, str(sweep.account), sweep.region):
            return reported
        return replace(
            reported, unreachable=find_unreachable_undos(detector, known, within=self.within, now=at)
        )

    def _revert(self, action: Action) -> None:
        """Ask for the undo of *action*, if it verifies. Raises UnverifiedError."""
        self.actions.verify(action)
        self.revert(action)

    def known(self, sweep: Sweep) -> list[Action]:
        """Return the actions in the account and region of *sweep*."""
        return self.actions.all(sweep.detector, str(sweep.account), sweep.region)


def mark_refused_findings(sweep: Sweep, entries: Mapping[str, Entry]) -> Sweep:
    """Return *sweep*, in which a finding that `prepare` refused before waits for no warning."""

    def reported(result: Result) -> Result:
        entry = entries.get(result.target.key)
        if result.outcome is not Outcome.WAITING or entry is None or entry.refused is None:
            return result
        refused = make_cause(CauseCode.REFUSED_BY_PREPARE, entry.refused)
        return replace(result, outcome=Outcome.ADVISED, cause=refused)

    return replace(sweep, results=tuple(map(reported, sweep.results)))


def due_findings(sweep: Sweep, entries: Mapping[str, Entry], at: datetime) -> list[Result]:
    """Return the findings of *sweep* that may be acted on at that time, the oldest due first."""
    due = {}
    for result in sweep.results:
        entry = entries.get(result.target.key)
        if result.outcome is Outcome.WAITING and entry and entry.due is not None and entry.due <= at:
            due[entry.due, result.target.arn, result.target.key] = replace(result, due=entry.due)
    return [due[order] for order in sorted(due)]


def _incomplete(sweep: Sweep, entries: Mapping[str, Entry]) -> Sweep:
    """Return *sweep*, in which every warned finding waits for a complete sweep."""

    def noted(result: Result) -> Result:
        entry = entries.get(result.target.key)
        if result.outcome is not Outcome.WAITING or entry is None or entry.due is None:
            return result
        return replace(result, due=entry.due, cause=make_cause(CauseCode.SWEEP_INCOMPLETE))

    return replace(sweep, results=tuple(map(noted, sweep.results)))


# --- the actions of one sweep ---------------------------------------------------------------------
#
# An action begins, ends, is resumed after it broke off, or is reverted.

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


class ArmedSweep:
    """
    An armed *sweep* with its actions; *entries* are its findings in the ledger.

    *aws* only reads; only the act writes. *waiting* holds the actions that wait for AWS, by the key of their
    resource. The sweep holds its lease, so no other run works on unfinished actions. From now on, everything
    is described anew.
    """

    def __init__(
        self,
        acting: Acting,
        detector: Detector[Any],
        aws: Aws,
        sweep: Sweep,
        *,
        entries: Mapping[str, Entry],
        now: datetime,
        policy: RunPolicy,
    ) -> None:
        self.acting, self.detector, self.aws, self.sweep = acting, detector, aws, sweep
        self.entries, self.now, self.policy = entries, now, policy
        self.arming: Arming = policy.armed(sweep.detector)
        self.results = {result.target.key: result for result in sweep.results}
        self.waiting: dict[str, Action] = {}
        aws.aided = False
        self._writing = aws.armed()
        self.recheck, self.places, self.postponement = Recheck(self), ActionPlaces(self), Postponement(self)

    def act_on_all(self, until: datetime | None) -> None:
        """
        Resume broken-off actions, then begin the due ones, the oldest
        first; wait for AWS up to *until*.
        """
        listed = self.acting.known(self.sweep)
        for action in listed:
            if action.stage in UNFINISHED_STAGES:
                result = self.results.get(action.target.key) or broken_off_result(action)
                self._put(self.resume(result, action))
        under_way = UNFINISHED_STAGES | {Stage.UNDOING}
        due = self._due(besides={action.target.key for action in listed if action.stage in under_way})
        for number, result in enumerate(due):
            if number:
                self.acting.pause()
            self._put(self.begin(result, self.entries[result.target.key]))
        if self.acting.wait is not None:
            self.resume_waiting(self.acting.wait, until)
        self._prepare_again()

    @property
    def so_far(self) -> Sweep:
        """The sweep with the outcomes so far."""
        held = [LimitHit(why, times) for why, times in self.places.held.items()]
        if any(result.why is CauseCode.MAX_SHARE for result in self.results.values()):
            held = [LimitHit(why) for why in (self.postponement.too_much,) if why] + held
        return replace(self.sweep, results=tuple(self.results.values()), held_back=tuple(held))

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
            self.acting.actions.refused(action, done.cause)
        return done

    def resume_waiting(self, wait: Callable[[], None], until: datetime | None = None) -> None:
        """
        Resume actions that wait for AWS up to *until*, or as long as there is time.

        Each resource is judged anew before.
        """
        for _ in range(_MOST_ACT_ROUNDS):
            late = until is not None and self.acting.clock() >= until
            if late or not self.waiting or not self.aws.has_time:
                return
            wait()
            if not self.aws.has_time:
                return
            for key, action in tuple(self.waiting.items()):
                self._put(self._resume_waiting(self.results[key], action))

    def act(self, result: Result, action: Action) -> Result:
        """Act, and record AWS's answer. If an answer is lost, the machine looks at the resource."""
        self.waiting.pop(action.target.key, None)
        try:
            steps = RecordedSteps(self.acting.actions, action, "act")
            self.detector.act(self._writing, action.target, action.undo, steps)
        except NotFinishedError as waits:
            return self._unfinished(result, action, make_cause(CauseCode.WAITS_FOR_AWS, str(waits)))
        except CannotActError as changed:
            return self._withdrawn(result, action, make_cause(CauseCode.NO_LONGER_WASTE, str(changed)))
        except Exception as error:  # recorded; the next sweep resumes it
            if self._writing.out_of_time(error):
                return self._unfinished(result, action, make_cause(CauseCode.OUT_OF_TIME))
            if not self.recheck.is_done(action):
                why = make_cause(CauseCode.ACT_FAILED, error_text(error))
                self.acting.actions.failed(action, why)
                return replace(result, outcome=Outcome.FAILED, cause=why)
        return self._finished(result, action)

    # --- due and refused findings -------------------------------------------------------------

    def _due(self, *, besides: set[str]) -> list[Result]:
        """
        Return the findings that may be acted on now; give each of the others
        the cause for which it waits.
        """
        for result in self.sweep.results:
            entry = self.entries.get(result.target.key)
            if result.target.key in besides or entry is None or entry.due is None:
                continue
            if result.outcome is Outcome.ADVISED and result.cause is not None:
                self.acting.ledger.void_warning(entry, result.cause)
            elif result.outcome is Outcome.WAITING:
                waits = make_cause(CauseCode.NOT_DUE)
                if entry.unmessaged is not None:
                    waits = make_cause(CauseCode.OWNER_NOT_MESSAGED, entry.unmessaged)
                self._put(replace(result, due=entry.due, cause=waits))
        at = self.acting.clock()
        due = []
        for result in due_findings(self.sweep, self.entries, at):
            key = result.target.key
            if key in besides:
                continue
            if self.entries[key].outlived(at, self.arming.lasts):
                self._put(replace(result, cause=make_cause(CauseCode.WARNING_LAPSED)))
            elif (why := self.postponement.of(key, at)) is not None:
                self._put(replace(result, cause=why))
            else:
                due.append(result)
        return due

    def _prepare_again(self) -> None:
        """
        Prepare refused findings again, each at the time when a warning from its last refusal would be due.

        A warning that ends in "only reported" each time teaches people not to read warnings. A finding that
        is no longer refused gets a warning like a new one.
        """
        for result in tuple(self.results.values()):
            entry, verdict, at = self.entries.get(result.target.key), result.verdict, self.acting.clock()
            if entry is None or entry.refused is None or not isinstance(verdict, Finding):
                continue
            if result.why is not CauseCode.REFUSED_BY_PREPARE:
                continue
            due = entry.refused_at is None or self.arming.due(entry.refused_at, verdict) <= at
            if due and self.aws.has_time:
                self._put(self._prepared_again(result, entry, at))

    def _prepared_again(self, result: Result, entry: Entry, at: datetime) -> Result:
        """Prepare *result*'s resource again, and return the new result; a failed reading changes nothing."""
        ledger = self.acting.ledger
        try:
            verdict, candidate = self.recheck.verdict(result, at)
            if not isinstance(verdict, Finding):
                return result
            refused = self.arming.spares(candidate.target, verdict, candidate.takes_along)
            if refused is None:
                self.recheck.prepared(candidate, entry.memo if ledger.is_signed(entry) else {})
        except NotFinishedError as not_yet:
            ledger.save_memo(entry, not_yet.memo)
            return result
        except CannotActError as error:
            refused = make_cause(CauseCode.CANNOT_ACT, str(error))
        except Exception:  # reported as before; the next sweep prepares it again
            return result
        if refused is not None:
            ledger.record_refusal(entry, refused, at)
            return replace(result, cause=make_cause(CauseCode.REFUSED_BY_PREPARE, refused))
        ledger.clear_refusal(entry)
        return replace(result, outcome=Outcome.WAITING, cause=make_cause(CauseCode.UNWARNED))

    # --- before anything is done --------------------------------------------------------------

    def _begin(self, result: Result, entry: Entry) -> Result:
        """Act, once nothing speaks against it. Else nothing was done, and the returned result says why."""
        try:
            action = self._prepared(result, entry)
        except NoActError:
            raise
        except NotFinishedError as not_yet:
            self.acting.ledger.save_memo(entry, not_yet.memo)
            return replace(result, cause=make_cause(CauseCode.PREPARING, str(not_yet)))
        except CannotActError as refused:  # its message says why the janitor does nothing
            raise self._refused(entry, make_cause(CauseCode.CANNOT_ACT, str(refused))) from refused
        except OutOfTimeError:
            return replace(result, cause=make_cause(CauseCode.OUT_OF_TIME))
        except BegunBeforeError as begun:  # and ended: an action in progress does not come here
            why = make_cause(CauseCode.ACTED_BEFORE, str(begun))
            self.acting.ledger.void_warning(entry, why)
            return replace(result, cause=why)
        except Exception as error:  # the machine still acts on the others
            return replace(
                result, outcome=Outcome.FAILED, cause=make_cause(CauseCode.NOTHING_DONE, error_text(error))
            )
        return self.act(result, action)

    def _prepared(self, result: Result, entry: Entry) -> Action:
        """Recheck, prepare, take a place, store the undo. Raises the reason against acting."""
        self.places.check()
        if not self.aws.has_time:
            raise OutOfTimeError
        if (unsigned := self.acting.ledger.unsigned_cause(entry)) is not None:
            self.acting.ledger.void_warning(entry, unsigned)
            raise NoActError(Outcome.WAITING, unsigned)
        at = self.acting.clock()
        verdict, candidate = self.recheck.verdict(result, at)
        if not isinstance(verdict, Finding):
            raise self._changed(entry, verdict, at)
        if (why := self.arming.spares(candidate.target, verdict, candidate.takes_along)) is not None:
            raise self._refused(entry, why)
        warned = entry.warned or at
        due = self.arming.due(warned, verdict, messaged=entry.unmessaged is None)
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
        return self.acting.actions.begin(
            found,
            undo,
            warned=warned,
            now=at,
            by=entry.hurried,
            counter=self.places.night_counter(at),
            messages=entry,
        )

    def _refused(self, entry: Entry, why: Cause) -> NoActError:
        """Return the reason to stop, once the ledger has it: from now on the finding is only reported."""
        self.acting.ledger.record_refusal(entry, why, self.acting.clock())
        return NoActError(Outcome.ADVISED, make_cause(CauseCode.REFUSED_BY_PREPARE, why))

    def _changed(self, entry: Entry, verdict: Kept | None, at: datetime) -> NoActError:
        """Return the reason to stop. A finding that could not be judged keeps its warning, and waits."""
        if verdict is not None and verdict.unknown:
            return NoActError(Outcome.WAITING, make_cause(CauseCode.UNKNOWN_AT_RECHECK, verdict.reason))
        why = (
            make_cause(CauseCode.GONE)
            if verdict is None
            else make_cause(CauseCode.NO_LONGER_WASTE, verdict.reason)
        )
        self.acting.ledger.close(entry, why, at)
        return NoActError(Outcome.CHANGED, why)

    # --- what broke off, or waits -------------------------------------------------------------

    def _resume(self, result: Result, action: Action) -> Result:
        recheck = self.recheck
        if not self.aws.has_time:
            raise NoActError(Outcome.WAITING, half_done_cause(CauseCode.OUT_OF_TIME))
        self.acting.actions.verify(action)
        if (ended := recheck.ended_otherwise(action)) is not None:
            return self._withdrawn(result, action, make_cause(CauseCode.NO_LONGER_WASTE, ended))
        if recheck.is_done(action):
            if not action.touched:
                return self._withdrawn(result, action, make_cause(CauseCode.DONE_BY_OTHERS))
            return self._finished(result, action)
        at = self.acting.clock()
        self._judge(result, action, at)
        where = (action.target.account, action.target.region)
        if not self.arming.within(*where):
            raise NoActError(Outcome.WAITING, half_done_cause(CauseCode.OUTSIDE_ACT_IN, *where))
        if action.given_up:
            raise NoActError(Outcome.FAILED, make_cause(CauseCode.GIVEN_UP, MOST_TRIES, action.error))
        if (why := self.postponement.of(action.target.key, at, hurried=action.by)) is not None:
            raise NoActError(Outcome.WAITING, replace(why, progress=UnfinishedProgress.HALF_DONE))
        self.places.take(action.target.key, at)
        return self.act(result, self.acting.actions.resume(action, at))

    def _resume_waiting(self, result: Result, action: Action) -> Result:
        """
        Judge *action*, which waited for AWS, anew and resume it: minutes may have passed.

        A resource in the state that the act leaves is not judged any more.
        """

        def judged() -> Result:
            if not self.recheck.is_done(action):
                self._judge(result, action, self.acting.clock())
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
            actions = self.acting.actions
            asked = undo_request(action, by=JANITOR_NAME, now=self.acting.clock()).sign(actions.signatures)
            self.acting.revert(actions.request_undo(action, asked))
        except BegunBeforeError:
            raise
        except Exception as error:  # reported; the next sweep asks again
            by = undo_command(self.detector, action)
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
        except UnverifiedError as unverified:
            return replace(result, outcome=Outcome.FAILED, cause=unverified.cause)
        except BegunBeforeError as begun:
            unchanged = Outcome.WAITING if result.outcome is Outcome.FAILED else result.outcome
            busy = Cause(CauseCode.ANOTHER_RUN, (str(begun),), progress=failed.progress)
            return replace(result, outcome=unchanged, cause=busy)
        except Exception as error:  # reported; the next sweep tries again
            if failed.why is not CauseCode.NO_LEDGER and self.aws.out_of_time(error):
                return replace(result, outcome=Outcome.WAITING, cause=half_done_cause(CauseCode.OUT_OF_TIME))
            return replace(result, outcome=outcome, cause=replace(failed, details=(error_text(error),)))

    def _finished(self, result: Result, action: Action) -> Result:
        """Record that AWS confirmed the act."""
        self.acting.actions.acted(action, self.acting.clock())
        self._close(action, make_cause(CauseCode.CLEANED_UP))
        return replace(result, outcome=Outcome.ACTED, cause=undo_hint(self.detector, action))

    def _withdrawn(self, result: Result, action: Action, why: Cause) -> Result:
        """Record that nothing was done: if the resource is waste again, that is a new finding."""
        self.acting.actions.withdrawn(action, why)
        self._close(action, why)
        return replace(result, outcome=Outcome.CHANGED, cause=why)

    def _unfinished(self, result: Result, action: Action, waits: Cause) -> Result:
        """
        Record an action that waits, without an error: this run resumes it while
        there is time, else the next run.
        """
        self.waiting[action.target.key] = self.acting.actions.unfinished(action, waits)
        late = self.acting.clock() - action.began > LATE_AFTER
        outcome = Outcome.FAILED if late else Outcome.WAITING
        return replace(result, outcome=outcome, cause=replace(waits, progress=UnfinishedProgress.HALF_DONE))

    def _close(self, action: Action, why: Cause) -> None:
        entry = self.entries.get(action.target.key)
        if entry is not None and entry.closed is None:
            self.acting.ledger.close(entry, why, self.acting.clock())

    def _put(self, result: Result) -> None:
        self.results[result.target.key] = result


# --- recheck in the moment before the act (law 4), postponement and limits (law 6) ----------------


@dataclass(frozen=True, slots=True)
class Recheck:
    """Rechecks resources of *armed*, by reading alone."""

    armed: ArmedSweep

    def verdict(
        self, result: Result, at: datetime, undo: Mapping[str, Any] | None = None
    ) -> tuple[Verdict | None, Any]:
        """
        Return the verdict on *result*'s resource at that time, and its candidate; None if it is gone.

        With *undo*, an action on the resource is half done.
        """
        armed = self.armed
        if undo is None:
            candidate = armed.detector.look(armed.aws, result.target, at)
        else:
            candidate = armed.detector.look_unfinished(armed.aws, result.target, undo, at)
        if candidate is None:
            return None, None
        if candidate.target.key != result.target.key:
            return Kept(reason="another resource has its name now"), None
        policy = replace(armed.policy, holds=self._holds(candidate.target))
        return judge_candidate(armed.detector, candidate, at, policy), candidate

    def prepared(self, candidate: Any, memo: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the data that an undo needs, if the ledger can keep it. Raises the errors of `prepare`."""
        undo = self.armed.detector.prepare(self.armed.aws, candidate, memo)
        undo_json(undo)
        return undo

    def held(self, target: Target) -> str | None:
        """Return the hold that keeps *target*, possibly given since the sweep, as a reason; or None."""
        return hold_reason(
            holds_on(self._holds(target), target, self.armed.detector.name), self.armed.acting.clock()
        )

    def is_done(self, action: Action) -> bool:
        """Return whether the resource is as the act leaves it; False if it cannot be read."""
        try:
            if self._ended(action) is not None:
                return False
            return self.armed.detector.is_done(self.armed.aws, action.target, action.undo)
        except Exception:  # the failure before is reported, and the next sweep looks again
            return False

    def ended_otherwise(self, action: Action) -> str | None:
        """Return why the resource is no longer waste, if *action*, which broke off, is not the cause."""
        try:
            return self._ended(action)
        except Exception:  # `is_done` reads again, and answers False if it cannot
            return None

    def _ended(self, action: Action) -> str | None:
        if any(step.startswith("act: ") and how == "done" for step, how in action.steps.items()):
            return None
        return self.armed.detector.ended_otherwise(self.armed.aws, action.target, action.undo)

    def _holds(self, target: Target) -> Mapping[str, Sequence[Hold]]:
        return self.armed.acting.holds.all(target.account, target.region)


@dataclass(frozen=True)
class Postponement:
    """Postpones due acts of *armed*."""

    armed: ArmedSweep

    def of(self, key: str, at: datetime, *, hurried: str = "") -> Cause | None:
        """
        Return why the janitor does nothing *at* that time to the resource *key*, or None.

        *hurried* is the person who pressed *Do it now* on it: that approves this act, on any day.
        """
        entry = self.armed.entries.get(key)
        if hurried or (entry is not None and entry.hurried):
            return None
        if self.armed.arming.rests(at):
            return make_cause(CauseCode.REST_DAY)
        return None if entry is not None and entry.approved else self.too_much

    @cached_property
    def too_much(self) -> Cause | None:
        """The cause for which a person has to look first, because so much is waste; or None."""
        sweep, arming = self.armed.sweep, self.armed.arming
        waste = sum(
            result.outcome is Outcome.WAITING and not self._approved(result.target.key)
            for result in sweep.results
        )
        if not arming.too_many(waste, sweep.share_base):
            return None
        return make_cause(CauseCode.MAX_SHARE, waste, sweep.share_base, arming.max_share, sweep.detector)

    def _approved(self, key: str) -> bool:
        """Return whether a person approved it with all others, or pressed *Do it now* on it, as signed."""
        entry = self.armed.entries.get(key)
        return (
            entry is not None
            and bool(entry.approved or entry.hurried)
            and self.armed.acting.ledger.is_signed(entry)
        )


_SHARED_NIGHT = "organization"
"""Owner of the night where all accounts of an organization share one."""


class ActionPlaces:
    """
    The places for actions that *armed* may still give out, of its own and of the night.

    A night belongs to the sweep's account, or to all accounts of an organization together. Once no place is
    left, `check` refuses everything. *held* counts the actions that each limit held back. The counters must
    have the places that this sweep took: who can write to the table can change them.
    """

    def __init__(self, armed: ArmedSweep) -> None:
        self._armed = armed
        self._full: Cause | None = None
        self._taken: dict[str, str] = {}
        self.held: Counter[Cause] = Counter()

    def check(self) -> None:
        """Raise NoActError if there is no place left."""
        if self._full is not None:
            raise self._none_left(self._full)

    def take(self, key: str, now: datetime) -> None:
        """
        Take a place for the action on the resource *key*: two detectors' actions on one resource take two
        places of a night.

        Raises NoActError.
        """
        acting, sweep, counter = self._armed.acting, self._armed.sweep, self.night_counter(now)
        name = f"{sweep.detector}#{sweep.account}#{sweep.region}#{format_stamp(self._armed.now)}"
        per_sweep, per_night = self._armed.arming.max_actions, acting.max_actions_per_night
        in_sweep, in_night = acting.limits.in_sweep, acting.limits.in_night
        begun = {*self._begun_in(counter)}
        try:
            if not in_sweep(name, key, at_most=per_sweep, now=now, begun=self._taken):
                raise self._none_left(make_cause(CauseCode.MAX_ACTIONS, per_sweep))
            if not in_night(counter, self._action(key), at_most=per_night, now=now, begun=begun):
                raise self._none_left(make_cause(CauseCode.MAX_ACTIONS_PER_NIGHT, per_night))
        except UnverifiedError as changed:
            raise self._none_left(changed.cause) from changed
        self._taken[key] = counter

    def night_counter(self, now: datetime) -> str:
        """Return the counter of the night of *now*."""
        acting = self._armed.acting
        whose = _SHARED_NIGHT if acting.together else str(self._armed.sweep.account)
        return acting.limits.night_counter(whose, now)

    def close(self, why: Cause) -> None:
        """Give out no more places, because of *why*."""
        self._full = why

    def _action(self, key: str) -> str:
        return f"{self._armed.sweep.detector} {key}"

    def _begun_in(self, counter: str) -> Iterator[str]:
        """Yield the actions that took a place of *counter*: of this sweep, and by their records."""
        yield from (self._action(key) for key, of in self._taken.items() if of == counter)
        for action in self._recorded:
            if action.counter == counter:
                with suppress(UnverifiedError):
                    self._armed.acting.actions.verify_record(action)
                    yield self._action(action.target.key)

    @cached_property
    def _recorded(self) -> list[Action]:
        """
        The detector's actions wherever it may act.

        They are read before the counter is: an action begins once its counter has it.
        """
        armed = self._armed
        account, region = str(armed.sweep.account), armed.sweep.region
        places = {(account, region), *armed.arming.places(armed.acting.regions or [region])}
        return [
            action
            for place in sorted(places)
            if armed.acting.together or place[0] == account
            for action in armed.acting.actions.all(armed.sweep.detector, *place)
        ]

    def _none_left(self, limit: Cause) -> NoActError:
        self._full = limit
        self.held[limit] += 1
        return NoActError(Outcome.WAITING, limit)
