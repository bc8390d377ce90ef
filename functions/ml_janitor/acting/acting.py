"""The order of an armed sweep: finish half-done actions, then act on findings that are due. Laws 3, 5, 6."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_janitor.acting.machine import ActionMachine
from ml_janitor.acting.recheck import Postponement, Recheck
from ml_janitor.acting.undos import (
    add_unfinished,
    broken_off_result,
    find_unreachable_undos,
    report_half_done,
    resume_reverts,
)
from ml_janitor.core.cause import Cause, CauseCode, LimitHit, UnreachableUndos, make_cause
from ml_janitor.core.model import Finding
from ml_janitor.core.results import Outcome, Result, Sweep
from ml_janitor.engine.detector import CannotActError, NotYetError
from ml_janitor.ledger.action import UNFINISHED_STAGES, Action, Stage
from ml_janitor.ledger.limits import ActionPlaces

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws
    from ml_janitor.engine.arming import Arming
    from ml_janitor.engine.detector import Detector
    from ml_janitor.engine.policy import RunPolicy
    from ml_janitor.ledger.actions import Actions
    from ml_janitor.ledger.entries import Entry
    from ml_janitor.ledger.findings import Ledger
    from ml_janitor.ledger.holds import Holds
    from ml_janitor.ledger.limits import ActionLimits
    from ml_janitor.ledger.requests import ButtonRequests


class ActedSweep(NamedTuple):
    """A *sweep* with its outcomes, and the *error* that ended the acting, if any."""

    sweep: Sweep
    error: Exception | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Acting:
    """
    The outside parts that acting needs.

    *clock* is the real time (law 4), *pause* waits between two actions, *revert* asks for the undo of a
    half-done action, which this role itself may not do. *words* makes a sentence of a cause, for the ledger
    and the messages. *undoable* returns, for a detector and an account, whether the deployment may still undo
    actions there; *within* is `undo_days`. *together* is true if all accounts of an organization share one
    night's limit. *wait* lets time pass for actions that wait for AWS; without it the next run resumes them.
    *actors* makes all detectors that can act.
    """

    ledger: Ledger
    actions: Actions
    holds: Holds
    limits: ActionLimits
    requests: ButtonRequests
    clock: Callable[[], datetime]
    pause: Callable[[], None]
    revert: Callable[[Action], None]
    words: Callable[[Cause | UnreachableUndos], str]
    undoable: Callable[[str, str], bool]
    max_actions_per_night: int
    together: bool
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
        work = _Work(self, detector, aws, sweep, entries=entries, now=now, policy=policy)
        error = None
        try:
            work.do(until)
        except Exception as failed:  # the ledger failed: the sweep still reports earlier outcomes
            error = failed
        return ActedSweep(add_unfinished(work.so_far, reverts), error)

    def resumed(self, detector: Detector[Any], sweep: Sweep) -> Sweep:
        """
        Resume the undos of a detector that is not armed in *sweep*'s account, and return the sweep with them.

        The sweep reports a half-done action until somebody reverts it. It reports an action that no function
        may undo any more as long as the action could be undone.
        """
        at = self.clock()
        reverts = resume_reverts(detector, self.known(sweep), self._revert, at)
        known = self.known(sweep)
        reported = add_unfinished(sweep, [*report_half_done(detector, known), *reverts])
        if self.undoable(detector.name, str(sweep.account)):
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
        if result.outcome is not Outcome.WAITING or entry is None or not entry.refused:
            return result
        return replace(
            result, outcome=Outcome.ADVISED, cause=make_cause(CauseCode.REFUSED_BY_PREPARE, entry.refused)
        )

    return replace(sweep, results=tuple(map(reported, sweep.results)))


def due_findings(sweep: Sweep, entries: Mapping[str, Entry], at: datetime) -> list[Result]:
    """Return the findings of *sweep* that may be acted on at that time, the oldest due first."""
    due = {}
    for result in sweep.results:
        entry = entries.get(result.target.key)
        if result.outcome is Outcome.WAITING and entry and entry.due is not None and entry.due <= at:
            due[entry.due, result.target.arn, result.target.key] = replace(result, due=entry.due)
    return [due[order] for order in sorted(due)]


class _Work:
    """The actions of one sweep."""

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
        self.acting = acting
        self.sweep = sweep
        self.entries = entries
        self.arming: Arming = policy.armed(detector.name)
        self.results = {result.target.key: result for result in sweep.results}
        self.recheck = Recheck(
            detector=detector, aws=aws, policy=policy, holds=acting.holds, clock=acting.clock
        )
        self.places = ActionPlaces(
            acting.limits,
            sweep,
            now,
            per_sweep=self.arming.max_actions,
            per_night=acting.max_actions_per_night,
            together=acting.together,
        )
        self.postponement = Postponement(sweep, entries, self.arming)
        self.machine = ActionMachine(
            ledger=acting.ledger,
            actions=acting.actions,
            arming=self.arming,
            entries=entries,
            recheck=self.recheck,
            writing=aws.armed(),
            places=self.places,
            postponement=self.postponement,
            revert=acting.revert,
            words=acting.words,
        )

    def do(self, until: datetime | None) -> None:
        """
        Resume broken-off actions, then begin the due ones, the oldest
        first; wait for AWS up to *until*.
        """
        listed = self.acting.known(self.sweep)
        for action in listed:
            if action.stage in UNFINISHED_STAGES:
                result = self.results.get(action.target.key) or broken_off_result(action)
                self._put(self.machine.resume(result, action))
        under_way = UNFINISHED_STAGES | {Stage.UNDOING}
        due = self._due(besides={action.target.key for action in listed if action.stage in under_way})
        for number, result in enumerate(due):
            if number:
                self.acting.pause()
            self._put(self.machine.begin(result, self.entries[result.target.key]))
        if self.acting.wait is not None:
            self.machine.resume_waiting(self.results, self.acting.wait, until)
        self._prepare_again()

    @property
    def so_far(self) -> Sweep:
        """The sweep with the outcomes so far."""
        held = [LimitHit(why, times) for why, times in self.places.held.items()]
        if any(result.why is CauseCode.MAX_SHARE for result in self.results.values()):
            held = [LimitHit(why) for why in (self.postponement.too_much,) if why] + held
        return replace(self.sweep, results=tuple(self.results.values()), held_back=tuple(held))

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
                self.acting.ledger.void_warning(entry, self.acting.words(result.cause))
            elif result.outcome is Outcome.WAITING:
                waits = (
                    make_cause(CauseCode.OWNER_NOT_MESSAGED, entry.unmessaged) if entry.unmessaged else None
                )
                self._put(replace(result, due=entry.due, cause=waits or make_cause(CauseCode.NOT_DUE)))
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
            refused = result.why is CauseCode.REFUSED_BY_PREPARE
            if entry is None or not entry.refused or not refused or not isinstance(verdict, Finding):
                continue
            due = entry.refused_at is None or self.arming.due(entry.refused_at, verdict) <= at
            if due and self.recheck.aws.has_time:
                self._put(self._prepared_again(result, entry, at))

    def _prepared_again(self, result: Result, entry: Entry, at: datetime) -> Result:
        """Prepare *result*'s resource again, and return the new result; a failed reading changes nothing."""
        ledger = self.acting.ledger
        try:
            verdict, candidate = self.recheck.verdict(result, at)
            if not isinstance(verdict, Finding):
                return result
            spared = self.arming.spares(candidate.target, verdict, candidate.takes_along)
            refused = "" if spared is None else self.acting.words(spared)
            if not refused:
                self.recheck.prepared(candidate, entry.memo)
        except NotYetError as not_yet:
            ledger.save_memo(entry, not_yet.memo)
            return result
        except CannotActError as error:
            refused = str(error)
        except Exception:  # reported as before; the next sweep prepares it again
            return result
        if refused:
            ledger.record_refusal(entry, refused, at)
            return replace(result, cause=make_cause(CauseCode.REFUSED_BY_PREPARE, refused))
        ledger.clear_refusal(entry)
        return replace(result, outcome=Outcome.WAITING, cause=make_cause(CauseCode.UNWARNED))

    def _put(self, result: Result) -> None:
        self.results[result.target.key] = result


def _incomplete(sweep: Sweep, entries: Mapping[str, Entry]) -> Sweep:
    """Return *sweep*, in which every warned finding waits for a complete sweep."""

    def noted(result: Result) -> Result:
        entry = entries.get(result.target.key)
        if result.outcome is not Outcome.WAITING or entry is None or entry.due is None:
            return result
        return replace(result, due=entry.due, cause=make_cause(CauseCode.SWEEP_INCOMPLETE))

    return replace(sweep, results=tuple(map(noted, sweep.results)))
