"""What a sweep that may act does, in which order: the half done, the due, what was refused. Laws 3, 5, 6."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ml_janitor.acting import resuming
from ml_janitor.acting.carrying_out import CarryingOut
from ml_janitor.acting.postponement import StandingBack
from ml_janitor.acting.recheck import Look
from ml_janitor.acting.recovery import HalfDone
from ml_janitor.acting.resuming import broken_off
from ml_janitor.acting.unpreparable import Unpreparable, said
from ml_janitor.acting.unreachable_undos import out_of_reach
from ml_janitor.core.model import Outcome, Result, Sweep
from ml_janitor.engine.failures import BrokeOffError
from ml_janitor.ledger.action import UNFINISHED, Action, Stage
from ml_janitor.ledger.limits import Places

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws
    from ml_janitor.engine.arming import Arming
    from ml_janitor.engine.detector import Detector
    from ml_janitor.engine.policy import Policy
    from ml_janitor.ledger.actions import Actions
    from ml_janitor.ledger.entries import Entry
    from ml_janitor.ledger.findings import Ledger
    from ml_janitor.ledger.holds import Holds
    from ml_janitor.ledger.limits import Limits


OUTLIVED = "it was not found for too long since its warning; the next scheduled sweep warns again"
"""Why a person's sweep does nothing about something that no scheduled sweep has confirmed lately."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acting:
    """
    What acting needs from the outside.

    *clock* is the real time (law 4), *pause* waits between two actions, *put_back* asks for the undo
    of a half-done action, which this role itself may not do. *at_most* is for a whole night. *wait*
    lets AWS get on with what actions wait for; without it the next run goes on with them. *within* is
    `undo_days`, and *undoable* says of a detector whether the deployment may still undo what it did. *actors*
    are all detectors that can act.
    """

    ledger: Ledger
    actions: Actions
    holds: Holds
    limits: Limits
    clock: Callable[[], datetime]
    pause: Callable[[], None]
    put_back: Callable[[Action], None]
    at_most: int
    wait: Callable[[], None] | None = None
    within: timedelta = timedelta(days=30)
    undoable: Callable[[str], bool] = lambda _: True
    actors: Sequence[Detector[Any]] = ()

    def act(
        self,
        detector: Detector[Any],
        aws: Aws,
        sweep: Sweep,
        entries: Mapping[str, Entry],
        *,
        now: datetime,
        policy: Policy,
        until: datetime | None = None,
    ) -> Sweep:
        """
        *sweep* with the outcomes of acting on what is due; *entries* are its findings in the ledger.

        AWS is waited for *until* then at the longest. A sweep that is not complete, or that runs dry,
        comes back with nothing done. One action's failure does not stop the others. Raises BrokeOffError
        with what was done until then.
        """
        arming = policy.armed(detector.name)
        if not arming.armed:
            return sweep
        half_back = resuming.resumed(detector, sweep, self.actions, self.put_back, self.clock())
        if sweep.error is not None:
            done = _waiting(sweep, entries, "nothing is acted on, because the sweep is not complete")
        else:
            work = _Work(self, detector, aws, sweep, entries=entries, now=now, policy=policy)
            try:
                done = work.done(until)
            except Exception as error:  # the ledger failed: what was done before is still told
                raise BrokeOffError(resuming.told(work.so_far, half_back), error) from error
        return resuming.told(done, half_back)

    def resumed(self, detector: Detector[Any], sweep: Sweep) -> Sweep:
        """
        *sweep* of a detector that is not armed: what it did before is brought back all the same.

        What is half done is told until somebody brings it back, and what can be undone by no function any
        more until that is too late.
        """
        clock = self.clock()
        half_back = resuming.resumed(detector, sweep, self.actions, self.put_back, clock)
        done = resuming.told(sweep, [*resuming.left_half_done(detector, sweep, self.actions), *half_back])
        if self.undoable(detector.name):
            return done
        known = self.actions.all(sweep.detector, str(sweep.account), sweep.region)
        lost = out_of_reach(detector, known, within=self.within, now=clock)
        return done if lost is None else replace(done, held=(*done.held, lost))

    def disarmed(self, entries: Mapping[str, Entry]) -> None:
        """Void the warnings, *entries*, of a detector armed no longer: armed again, it has to warn again."""
        for entry in entries.values():
            self.ledger.unwarn(entry, f"{entry.detector} is not armed any more")


def due_now(sweep: Sweep, entries: Mapping[str, Entry], clock: datetime) -> list[Result]:
    """The findings of *sweep* that may be acted on at *clock*, the oldest due first."""
    due = []
    for result in sweep.results:
        entry = entries.get(result.target.key)
        if result.outcome is Outcome.WAITING and entry is not None and entry.due is not None:
            due += [replace(result, due=entry.due)] if entry.due <= clock else []
    return sorted(due, key=lambda result: (result.due or clock, result.target.arn))


class _Work:
    """One sweep's acting."""

    def __init__(
        self,
        acting: Acting,
        detector: Detector[Any],
        aws: Aws,
        sweep: Sweep,
        *,
        entries: Mapping[str, Entry],
        now: datetime,
        policy: Policy,
    ) -> None:
        self.acting = acting
        self.sweep = sweep
        self.entries = entries
        self.arming: Arming = policy.armed(detector.name)
        self.results = {result.target.key: result for result in sweep.results}
        self.look = Look(detector=detector, aws=aws, policy=policy, holds=acting.holds, clock=acting.clock)
        self.places = Places(acting.limits, sweep, now, most=self.arming.max_actions, at_most=acting.at_most)
        self.standing_back = StandingBack(sweep, entries, self.arming, self.places.held)
        self.carrying = CarryingOut(
            ledger=acting.ledger,
            actions=acting.actions,
            arming=self.arming,
            entries=entries,
            look=self.look,
            writing=aws.armed(),
            places=self.places,
        )

    def done(self, until: datetime | None) -> Sweep:
        """What was broken off first, then what is due, the oldest first; AWS is waited for *until* then."""
        listed = self.acting.actions.all(self.sweep.detector, str(self.sweep.account), self.sweep.region)
        half_done = HalfDone(
            carrying=self.carrying, put_back=self.acting.put_back, standing_back=self.standing_back
        )
        for action in listed:
            if action.stage in UNFINISHED:
                result = self.results.get(action.target.key) or broken_off(action)
                self._put(half_done.finished(result, action))
        under_way = UNFINISHED | {Stage.UNDOING}
        due = self._due(besides={action.target.key for action in listed if action.stage in under_way})
        for number, result in enumerate(due):
            if number:
                self.acting.pause()
            self._put(self.carrying.one(result, self.entries[result.target.key]))
        if self.acting.wait is not None:
            self.carrying.go_on(self.results, self.acting.wait, half_done.stopped, until)
        self._ask_again()
        return self.so_far

    @property
    def so_far(self) -> Sweep:
        """The sweep with what became of it."""
        held = tuple(why if not times else f"{times} {why}" for why, times in self.places.held.items())
        return replace(self.sweep, results=tuple(self.results.values()), held=held)

    def _due(self, *, besides: set[str]) -> list[Result]:
        """The findings whose warning has stood long enough; all others say what they wait for."""
        for result in self.sweep.results:
            entry = self.entries.get(result.target.key)
            if result.target.key in besides or entry is None or entry.due is None:
                continue
            if result.outcome is Outcome.ADVISED:
                self.acting.ledger.unwarn(entry, result.note.removeprefix("only reported: "))
            elif result.outcome is Outcome.WAITING:
                self._put(replace(result, due=entry.due, note="warned; not due yet"))
        clock = self.acting.clock()
        due = []
        for result in due_now(self.sweep, self.entries, clock):
            if self.entries[result.target.key].outlived(clock, self.arming.lasts):
                self._put(replace(result, note=OUTLIVED))
            elif result.target.key not in besides:
                due.append(result)
        return [result for result in due if not self._stands_back(result, clock)]

    def _stands_back(self, result: Result, clock: datetime) -> bool:
        """Whether *result*, which is due, waits for another day or a person's word."""
        why = self.standing_back.why(result.target.key, clock)
        if why is not None:
            self._put(replace(result, note=why))
        return why is not None

    def _ask_again(self) -> None:
        """What preparing refused before."""
        asking = Unpreparable(arming=self.arming, ledger=self.acting.ledger, look=self.look)
        for result in tuple(self.results.values()):
            entry = self.entries.get(result.target.key)
            if entry is not None and entry.refused and result.note == said(entry.refused):
                self._put(asking.asked(result, entry, self.acting.clock()))

    def _put(self, result: Result) -> None:
        self.results[result.target.key] = result


def _waiting(sweep: Sweep, entries: Mapping[str, Entry], why: str) -> Sweep:
    """*sweep* in which everything that was warned about says why it was not acted on."""

    def noted(result: Result) -> Result:
        entry = entries.get(result.target.key)
        if result.outcome is not Outcome.WAITING or entry is None or entry.due is None:
            return result
        return replace(result, due=entry.due, note=why)

    return replace(sweep, results=tuple(map(noted, sweep.results)))
