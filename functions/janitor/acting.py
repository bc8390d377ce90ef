"""Acts on what is due, after a complete sweep: limits, look again, prepare, store, act, record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from janitor import resuming, unpreparable
from janitor.actions import TRIES, UNFINISHED, Action, BegunBeforeError, RecordedSteps, Stage
from janitor.aws import OutOfTimeError
from janitor.detector import CannotActError, ChangedError, NotFinishedError, NotYetError
from janitor.engine import describe, judge
from janitor.holds import held, on
from janitor.model import Finding, Kept, Outcome, Result, Sweep
from janitor.resuming import TOO_LONG, broken_off, by_hand
from janitor.table import stamp

if TYPE_CHECKING:
    from janitor.actions import Actions
    from janitor.arming import Arming
    from janitor.aws import Aws
    from janitor.detector import Detector
    from janitor.engine import Policy
    from janitor.holds import Hold, Holds
    from janitor.ledger import Entry, Ledger
    from janitor.limits import Limits
    from janitor.model import Target, Verdict

ROUNDS = 40
"""How often a run goes back to the actions that wait for AWS, where its time does not end it before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acting:
    """
    What acting needs from the outside.

    *clock* is the real time (law 4), *pause* waits between two actions, *put_back* asks for the undo
    of a half-done action, which this role itself may not do. *at_most* is for a whole night. *wait*
    lets AWS get on with what actions wait for; without it the next run goes on with them.
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

    def act(
        self,
        detector: Detector[Any],
        aws: Aws,
        sweep: Sweep,
        entries: Mapping[str, Entry],
        *,
        now: datetime,
        policy: Policy,
    ) -> Sweep:
        """
        *sweep* with the outcomes of acting on what is due; *entries* are its findings in the ledger.

        A sweep that is not complete, or that runs dry, comes back with nothing done. One action's
        failure does not stop the others.
        """
        arming = policy.armed(detector.name)
        if not arming.armed:
            return sweep
        half_back = resuming.resumed(detector, sweep, self.actions, self.put_back, self.clock())
        if sweep.error is not None:
            done = _waiting(sweep, entries, "nothing is acted on, because the sweep is not complete")
        else:
            done = _Work(self, detector, aws, sweep, entries=entries, now=now, policy=policy).done()
        return resuming.told(done, half_back)

    def resumed(self, detector: Detector[Any], sweep: Sweep) -> Sweep:
        """*sweep* of a detector that is not armed: what it did before is brought back all the same."""
        return resuming.told(
            sweep, resuming.resumed(detector, sweep, self.actions, self.put_back, self.clock())
        )

    def disarmed(self, entries: Mapping[str, Entry]) -> None:
        """Void the warnings, *entries*, of a detector armed no longer: armed again, it has to warn again."""
        for entry in entries.values():
            self.ledger.unwarn(entry)


def due_now(sweep: Sweep, entries: Mapping[str, Entry], clock: datetime) -> list[Result]:
    """The findings of *sweep* that may be acted on at *clock*, the oldest due first."""
    due = []
    for result in sweep.results:
        entry = entries.get(result.target.key)
        if result.outcome is Outcome.WAITING and entry is not None and entry.due is not None:
            due += [replace(result, due=entry.due)] if entry.due <= clock else []
    return sorted(due, key=lambda result: (result.due or clock, result.target.arn))


class _EndsError(Exception):
    """What ends the way of one finding before anything is done to it."""

    def __init__(self, outcome: Outcome, note: str) -> None:
        super().__init__(note)
        self.outcome = outcome
        self.note = note


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
        self.detector = detector
        self.reading = aws
        self.writing = aws.armed()
        self.sweep = sweep
        self.entries = entries
        self.now = now
        self.policy = policy
        self.arming: Arming = policy.armed(detector.name)
        self.results = {result.target.key: result for result in sweep.results}
        self.held: dict[str, int] = {}
        self.full: str | None = None
        """The limit that was reached: nothing more is looked at then."""
        self.waiting: dict[str, Action] = {}
        """The actions that wait for AWS, by the key of their resource."""
        self.undoing: set[str] = set()
        """What is being brought back, by the key of the resource."""

    def done(self) -> Sweep:
        """What was broken off first, then what is due, the oldest first."""
        broken_off = self._broken_off()
        for action in broken_off:
            self._finish(action)
        due = self._due(besides={action.target.key for action in broken_off} | self.undoing)
        if (why := self._smells(due)) is not None:
            due = [result for result in due if self.entries[result.target.key].approved]
            self.held[f"{why}; to go on: janitor approve {self.detector.name}"] = 0
        for number, result in enumerate(due):
            if number:
                self.acting.pause()
            self._put(self._one(result, self.entries[result.target.key]))
        self._go_on()
        self._ask_again()
        held = tuple(why if not times else f"{why}: {times}" for why, times in self.held.items())
        return replace(self.sweep, results=tuple(self.results.values()), held=held)

    # --- what is due --------------------------------------------------------------------------

    def _due(self, *, besides: set[str]) -> list[Result]:
        """The findings whose warning has stood long enough; all others say what they wait for."""
        for result in self.sweep.results:
            entry = self.entries.get(result.target.key)
            if result.target.key in besides or entry is None or entry.due is None:
                continue
            if result.outcome is Outcome.ADVISED:
                self.acting.ledger.unwarn(entry)
            elif result.outcome is Outcome.WAITING:
                self._put(replace(result, due=entry.due, note="warned; not due yet"))
        due = due_now(self.sweep, self.entries, self.acting.clock())
        return [result for result in due if result.target.key not in besides]

    def _smells(self, due: Sequence[Result]) -> str | None:
        unapproved = [result for result in due if not self.entries[result.target.key].approved]
        why = self.arming.too_many(len(unapproved), self.sweep.looked_at)
        if why is not None:
            for result in unapproved:
                self._put(replace(result, note=f"held back: {why}"))
        return why

    def _place(self, key: str, clock: datetime) -> str | None:
        """Which limit leaves no place for one more action, or None if it got one."""
        sweep = self.sweep
        name = f"{sweep.detector}#{sweep.account}#{sweep.region}#{stamp(self.now)}"
        limits, most = self.acting.limits, self.arming.max_actions
        if not limits.in_sweep(name, key, at_most=most, now=clock):
            return f"max_actions = {most} for one sweep"
        if not limits.in_night(str(sweep.account), key, at_most=self.acting.at_most, now=clock):
            return f"max_actions_per_night = {self.acting.at_most}"
        return None

    def _ask_again(self) -> None:
        """What preparing refused before."""
        asking = unpreparable.Unpreparable(
            detector=self.detector,
            aws=self.reading,
            arming=self.arming,
            ledger=self.acting.ledger,
            again=self._again,
        )
        for result in tuple(self.results.values()):
            entry = self.entries.get(result.target.key)
            if entry is not None and entry.refused and result.note == unpreparable.said(entry.refused):
                self._put(asking.asked(result, entry, self.acting.clock()))

    # --- one finding --------------------------------------------------------------------------

    def _one(self, result: Result, entry: Entry) -> Result:
        """Everything from looking again to the record."""
        try:
            try:
                action = self._begun(result, entry)
            except _EndsError as ends:
                return replace(result, outcome=ends.outcome, note=ends.note)
            except Exception as error:  # nothing was done yet; the others still are
                return self._stopped(result, entry, error)
            return self._carried_out(result, action)
        except Exception as error:  # only the ledger is left to fail here: without it there are no more acts
            said = f"the ledger could not be written: {describe(error)}"
            self.full = said
            return replace(result, outcome=Outcome.FAILED, note=said)

    def _begun(self, result: Result, entry: Entry) -> Action:
        """Look again, prepare, take a place, store the undo. Raises what ends it before anything is done."""
        if self.full is not None:
            raise self._no_place(self.full)
        if not self.reading.has_time:
            raise OutOfTimeError
        clock = self.acting.clock()
        verdict, candidate = self._again(result, clock)
        if not isinstance(verdict, Finding):
            raise self._changed(entry, verdict, clock)
        if (why := self.arming.spares(candidate.target, verdict)) is not None:
            raise CannotActError(why)
        warned = entry.warned or clock
        if not entry.hurried and self.arming.due(warned, verdict) > clock:
            raise _EndsError(Outcome.WAITING, "its warning has not stood for as long as this rule gives")
        undo = self.detector.prepare(self.reading, candidate, verdict, entry.memo)
        if (why := self._held(candidate.target)) is not None:  # preparing may have taken minutes
            raise self._changed(entry, Kept(reason=why), clock)
        if (limit := self._place(entry.key, clock)) is not None:
            raise self._no_place(limit)
        return self.acting.actions.begin(
            replace(result, verdict=verdict, target=candidate.target),
            undo,
            warned=warned,
            now=clock,
            by=entry.hurried,
            channel=entry.channel,
            message=entry.message,
        )

    def _stopped(self, result: Result, entry: Entry, error: Exception) -> Result:
        """Why nothing was done to *result*."""
        match error:
            case NotYetError():
                self.acting.ledger.memorise(entry, error.memo)
                return replace(result, note=f"being prepared: {error}")
            case CannotActError():  # its message says that nothing is done to it
                self.acting.ledger.refuse(entry, str(error), self.acting.clock())
                return replace(result, outcome=Outcome.ADVISED, note=unpreparable.said(str(error)))
            case OutOfTimeError():
                return replace(result, note="the run has no time left; its turn comes next time")
            case BegunBeforeError():
                return replace(result, note=str(error))
            case _:
                said = f"nothing was done: {describe(error)}"
                return replace(result, outcome=Outcome.FAILED, note=said)

    def _no_place(self, limit: str) -> _EndsError:
        self.full = limit
        said = f"held back by {limit}"
        self.held[said] = self.held.get(said, 0) + 1
        return _EndsError(Outcome.WAITING, said)

    def _again(
        self, result: Result, clock: datetime, undo: Mapping[str, Any] | None = None
    ) -> tuple[Verdict | None, Any]:
        """
        Law 4: the verdict on the one resource as it is now, and its candidate; None if it is gone.

        With *undo*, it is looked at as one that is half done.
        """
        if undo is None:
            candidate = self.detector.look(self.reading, result.target, clock)
        else:
            candidate = self.detector.look_half_done(self.reading, result.target, undo, clock)
        if candidate is None:
            return None, None
        if candidate.target.key != result.target.key:
            return Kept(reason="another resource has its name now"), None
        policy = replace(self.policy, holds=self._holds(candidate.target))
        return judge(self.detector, candidate, clock, policy), candidate

    def _holds(self, target: Target) -> Mapping[str, Sequence[Hold]]:
        return self.acting.holds.all(target.account, target.region)

    def _held(self, target: Target) -> str | None:
        """Who said in the meantime that *target* stays, or None."""
        return held(on(self._holds(target), target), self.acting.clock())

    def _changed(self, entry: Entry, verdict: Kept | None, clock: datetime) -> _EndsError:
        """Why it is no longer acted on. What could not be judged keeps its warning, and waits."""
        if verdict is not None and verdict.unknown:
            said = f"could not be judged when looked at again: {verdict.reason}"
            return _EndsError(Outcome.WAITING, said)
        why = "it is gone" if verdict is None else verdict.reason
        self.acting.ledger.close(entry, why, clock)
        return _EndsError(Outcome.CHANGED, why)

    def _carried_out(self, result: Result, action: Action) -> Result:
        """Act, and record what AWS said. A lost answer is settled by looking."""
        self.waiting.pop(action.target.key, None)
        try:
            steps = RecordedSteps(self.acting.actions, action, "act")
            self.detector.act(self.writing, action.target, action.undo, steps)
        except NotFinishedError as waits:
            return self._unfinished(result, action, str(waits))
        except ChangedError as changed:
            return self._withdrawn(result, action, str(changed))
        except Exception as error:  # recorded; the next sweep goes on with it
            said = describe(error)
            if not self._settled(action):
                self.acting.actions.failed(action, said)
                return replace(result, outcome=Outcome.FAILED, note=said)
        return self._recorded(result, action)

    def _unfinished(self, result: Result, action: Action, waits: str) -> Result:
        """Nothing went wrong: this run goes back to it while it can, and the next one after that."""
        self.waiting[action.target.key] = self.acting.actions.unfinished(action, waits)
        late = self.acting.clock() - action.began > TOO_LONG
        return replace(
            result, outcome=Outcome.FAILED if late else Outcome.WAITING, note=f"half done: {waits}"
        )

    def _go_on(self) -> None:
        """Go back to what waits for AWS, as often as there is time for."""
        for _ in range(ROUNDS):
            if not self.waiting or self.acting.wait is None or not self.reading.has_time:
                return
            self.acting.wait()
            for key, action in tuple(self.waiting.items()):
                self._put(self._carried_on(self.results[key], action))

    def _carried_on(self, result: Result, action: Action) -> Result:
        try:
            if (why := self._held(action.target)) is not None:
                del self.waiting[action.target.key]  # the next run has it put back
                return replace(
                    result, outcome=Outcome.WAITING, note=f"half done, and not gone on with: {why}"
                )
            return self._carried_out(result, action)
        except Exception as error:  # only the ledger is left to fail here; the next run goes on with it
            said = f"half done, and the ledger could not be written: {describe(error)}"
            return replace(result, outcome=Outcome.FAILED, note=said)

    def _withdrawn(self, result: Result, action: Action, why: str) -> Result:
        """Nothing was done: what is there now is another finding, if it is one, and warned of anew."""
        self.acting.actions.withdrawn(action, why)
        entry = self.entries.get(action.target.key)
        if entry is not None and entry.closed is None:
            self.acting.ledger.close(entry, why, self.acting.clock())
        return replace(result, outcome=Outcome.CHANGED, note=why)

    def _recorded(self, result: Result, action: Action) -> Result:
        clock = self.acting.clock()
        self.acting.actions.acted(action, clock)
        entry = self.entries.get(action.target.key)
        if entry is not None and entry.closed is None:
            self.acting.ledger.close(entry, "cleaned up", clock)
        return replace(result, outcome=Outcome.ACTED, note=f"undo: {by_hand(self.detector, action)}")

    def _settled(self, action: Action) -> bool:
        """Whether the resource is as the act leaves it; what cannot be looked at is not."""
        try:
            return self.detector.settled(self.reading, action.target, action.undo)
        except Exception:  # the failure that led here is told, and the next sweep looks again
            return False

    # --- what was broken off ------------------------------------------------------------------

    def _broken_off(self) -> list[Action]:
        """The lease of this sweep is ours, so nobody else is at work on what is unfinished."""
        listed = self.acting.actions.all(self.sweep.detector, str(self.sweep.account), self.sweep.region)
        self.undoing = {action.target.key for action in listed if action.stage is Stage.UNDOING}
        return [action for action in listed if action.stage in UNFINISHED]

    def _finish(self, action: Action) -> None:
        """Finish a half-done action if its resource is still waste, else have it put back."""
        result = self.results.get(action.target.key) or broken_off(action)
        try:
            self._put(self._finished(result, action))
        except _EndsError as ends:
            self._put(replace(result, outcome=ends.outcome, note=ends.note))
        except BegunBeforeError as other:
            self._put(replace(result, note=str(other)))
        except Exception as error:  # told; the next sweep tries again
            said = f"half done, and could not be finished: {describe(error)}"
            self._put(replace(result, outcome=Outcome.FAILED, note=said))

    def _finished(self, result: Result, action: Action) -> Result:
        if self._settled(action):
            if not action.touched:  # somebody else's doing
                return self._withdrawn(
                    result, action, "it was as good as cleaned up before anything was done"
                )
            return self._recorded(result, action)
        if action.given_up:
            said = f"failed {TRIES} times, so a person has to look: {action.error}"
            raise _EndsError(Outcome.FAILED, said)
        if not self.arming.within(action.target.account, action.target.region):
            raise _EndsError(Outcome.WAITING, "half done, and act_in no longer names its place")
        clock = self.acting.clock()
        verdict, candidate = self._again(replace(result, target=action.target), clock, action.undo)
        if isinstance(verdict, Kept) and verdict.unknown:
            said = f"half done, and could not be judged: {verdict.reason}"
            raise _EndsError(Outcome.WAITING, said)
        if (stops := self._stopping(action, verdict, candidate)) is not None:
            outcome, why = stops
            self._ask_back(action, why)
            raise _EndsError(outcome, f"{why}; what had been done is being put back")
        if (limit := self._place(action.target.key, clock)) is not None:
            raise self._no_place(limit)
        return self._carried_out(result, self.acting.actions.again(action, clock))

    def _ask_back(self, action: Action, why: str) -> None:
        """Have *action* put back. Where that cannot be asked for, a person has to know, and how."""
        try:
            self.acting.put_back(action)
        except BegunBeforeError:
            raise
        except Exception as error:  # told; the next sweep asks again
            said = f"{why}; what had been done is not put back: {describe(error)}"
            raise _EndsError(Outcome.FAILED, f"{said}; by hand: {by_hand(self.detector, action)}") from error

    def _stopping(
        self, action: Action, verdict: Verdict | None, candidate: Any
    ) -> tuple[Outcome, str] | None:
        """Why a half-done *action* is not gone on with: it may no longer be begun either."""
        if isinstance(verdict, Kept):
            return Outcome.CHANGED, verdict.reason
        if candidate is not None and (why := self.arming.protects(candidate.target)) is not None:
            return Outcome.ADVISED, f"only reported: {why}"
        entry = self.entries.get(action.target.key)
        if entry is not None and entry.voided:
            return Outcome.CHANGED, "its warning is void"
        return None

    def _put(self, result: Result) -> None:
        self.results[result.target.key] = result


def _waiting(sweep: Sweep, entries: Mapping[str, Entry], why: str) -> Sweep:
    """*sweep* in which everything that could have been acted on says why it was not."""

    def noted(result: Result) -> Result:
        if result.outcome is not Outcome.WAITING:
            return result
        entry = entries.get(result.target.key)
        return replace(result, due=entry.due if entry else None, note=why)

    return replace(sweep, results=tuple(map(noted, sweep.results)))
