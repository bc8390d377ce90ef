"""One due finding from looking again to the record: prepare, take a place, store the undo, act."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ml_janitor.acting.recorded_steps import RecordedSteps
from ml_janitor.acting.resuming import TOO_LONG
from ml_janitor.acting.undo_wording import hint
from ml_janitor.acting.unpreparable import said as only_reported
from ml_janitor.aws.answers import OutOfTimeError, describe
from ml_janitor.core.model import Finding, Kept, Outcome, Result
from ml_janitor.engine.detector import CannotActError, ChangedError, NotFinishedError, NotYetError
from ml_janitor.ledger.action import Action
from ml_janitor.ledger.actions import BegunBeforeError
from ml_janitor.ledger.limits import FullError

if TYPE_CHECKING:
    from datetime import datetime

    from ml_janitor.acting.recheck import Look
    from ml_janitor.aws.client import Aws
    from ml_janitor.engine.arming import Arming
    from ml_janitor.ledger.actions import Actions
    from ml_janitor.ledger.entries import Entry
    from ml_janitor.ledger.findings import Ledger
    from ml_janitor.ledger.limits import Places

ROUNDS = 40
"""How often a run goes back to the actions that wait for AWS, where its time does not end it before."""

OUT_OF_TIME = "the run had no time left, and the next one goes on with it"
"""What an action waits for that was broken off in good order."""


class EndsError(Exception):
    """What ends the way of one finding before anything more is done to it."""

    def __init__(self, outcome: Outcome, note: str) -> None:
        super().__init__(note)
        self.outcome = outcome
        self.note = note


@dataclass(frozen=True, slots=True, kw_only=True)
class CarryingOut:
    """
    Carries out what one sweep found due; *entries* are its findings in the ledger.

    *look* reads, *writing* is for the act alone. *waiting* are the actions that wait for AWS, by the key
    of their resource.
    """

    ledger: Ledger
    actions: Actions
    arming: Arming
    entries: Mapping[str, Entry]
    look: Look
    writing: Aws
    places: Places
    waiting: dict[str, Action] = field(default_factory=dict)

    def one(self, result: Result, entry: Entry) -> Result:
        """Everything from looking again to the record."""
        try:
            try:
                action = self._begun(result, entry)
            except EndsError as ends:
                return replace(result, outcome=ends.outcome, note=ends.note)
            except Exception as error:  # nothing was done yet; the others still are
                return self._stopped(result, entry, error)
            return self.acted(result, action)
        except BegunBeforeError as other:
            return replace(result, note=str(other))
        except Exception as error:  # only the ledger is left to fail here: without it there are no more acts
            said = f"the ledger could not be written: {describe(error)}"
            self.places.close(said)
            return replace(result, outcome=Outcome.FAILED, note=said)

    # --- before anything is done --------------------------------------------------------------

    def _begun(self, result: Result, entry: Entry) -> Action:
        """Look again, prepare, take a place, store the undo. Raises what ends it before anything is done."""
        self.places.check()
        if not self.look.aws.has_time:
            raise OutOfTimeError
        clock = self.look.clock()
        verdict, candidate = self.look.again(result, clock)
        if not isinstance(verdict, Finding):
            raise self._changed(entry, verdict, clock)
        if (why := self.arming.spares(candidate.target, verdict, candidate.takes_along)) is not None:
            raise CannotActError(why)
        warned = entry.warned or clock
        if not entry.hurried and self.arming.due(warned, verdict) > clock:
            raise EndsError(Outcome.WAITING, "its warning has not stood for as long as this rule gives")
        undo = self.look.prepared(candidate, verdict, entry.memo)
        if (why := self.look.held(candidate.target)) is not None:  # preparing may have taken minutes
            raise self._changed(entry, Kept(reason=why), clock)
        self.places.take(entry.key, clock)
        return self.actions.begin(
            replace(result, verdict=verdict, target=candidate.target),
            undo,
            warned=warned,
            now=clock,
            by=entry.hurried,
            channel=entry.channel,
            message=entry.message,
        )

    def _changed(self, entry: Entry, verdict: Kept | None, clock: datetime) -> EndsError:
        """Why it is no longer acted on. What could not be judged keeps its warning, and waits."""
        if verdict is not None and verdict.unknown:
            said = f"could not be judged when looked at again: {verdict.reason}"
            return EndsError(Outcome.WAITING, said)
        why = "it is gone" if verdict is None else verdict.reason
        self.ledger.close(entry, why, clock)
        return EndsError(Outcome.CHANGED, why)

    def _stopped(self, result: Result, entry: Entry, error: Exception) -> Result:
        """Why nothing was done to *result*."""
        match error:
            case NotYetError():
                self.ledger.memorise(entry, error.memo)
                return replace(result, note=f"being prepared: {error}")
            case CannotActError():  # its message says that nothing is done to it
                self.ledger.refuse(entry, str(error), self.look.clock())
                return replace(result, outcome=Outcome.ADVISED, note=only_reported(str(error)))
            case OutOfTimeError():
                return replace(result, note="the run has no time left; its turn comes next time")
            case BegunBeforeError():  # and ended: what is under way does not come here
                self.ledger.unwarn(entry, str(error))
                return replace(result, note=f"{error}; the next sweep warns about it anew")
            case FullError():
                return replace(result, note=str(error))
            case _:
                said = f"nothing was done: {describe(error)}"
                return replace(result, outcome=Outcome.FAILED, note=said)

    # --- the act ------------------------------------------------------------------------------

    def acted(self, result: Result, action: Action) -> Result:
        """Act, and record what AWS said. A lost answer is settled by looking."""
        self.waiting.pop(action.target.key, None)
        try:
            steps = RecordedSteps(self.actions, action, "act")
            self.look.detector.act(self.writing, action.target, action.undo, steps)
        except NotFinishedError as waits:
            return self._unfinished(result, action, str(waits))
        except ChangedError as changed:
            return self.withdrawn(result, action, str(changed))
        except Exception as error:  # recorded; the next sweep goes on with it
            if self.writing.out_of_time(error):
                return self._unfinished(result, action, OUT_OF_TIME)
            said = describe(error)
            if not self.look.settled(action):
                self.actions.failed(action, said)
                return replace(result, outcome=Outcome.FAILED, note=said)
        return self.recorded(result, action)

    def go_on(
        self,
        results: dict[str, Result],
        wait: Callable[[], None],
        stopped: Callable[[Result, Action], Result | None],
        until: datetime | None = None,
    ) -> None:
        """
        Go back to what waits for AWS *until* then, or as long as there is time.

        *results* says how far each came. *stopped* judges each anew before, and says what becomes of it
        where it is not gone on with.
        """
        for _ in range(ROUNDS):
            late = until is not None and self.look.clock() >= until
            if late or not self.waiting or not self.look.aws.has_time:
                return
            wait()
            if not self.look.aws.has_time:
                return
            for key, action in tuple(self.waiting.items()):
                ends = stopped(results[key], action)
                if ends is not None and ends.outcome is not Outcome.WAITING:
                    del self.waiting[key]
                results[key] = ends or self._carried_on(results[key], action)

    def recorded(self, result: Result, action: Action) -> Result:
        """It is cleaned up, as AWS said."""
        clock = self.look.clock()
        self.actions.acted(action, clock)
        self._close(action, "cleaned up", clock)
        return replace(result, outcome=Outcome.ACTED, note=hint(self.look.detector, action))

    def withdrawn(self, result: Result, action: Action, why: str) -> Result:
        """Nothing was done: what is there now is another finding, if it is one, and warned of anew."""
        self.actions.withdrawn(action, why)
        self._close(action, why, self.look.clock())
        return replace(result, outcome=Outcome.CHANGED, note=why)

    def _unfinished(self, result: Result, action: Action, waits: str) -> Result:
        """Nothing went wrong: this run goes back to it while it can, and the next one after that."""
        self.waiting[action.target.key] = self.actions.unfinished(action, waits)
        late = self.look.clock() - action.began > TOO_LONG
        return replace(
            result, outcome=Outcome.FAILED if late else Outcome.WAITING, note=f"half done: {waits}"
        )

    def _carried_on(self, result: Result, action: Action) -> Result:
        try:
            return self.acted(result, action)
        except BegunBeforeError as other:
            return replace(result, outcome=Outcome.WAITING, note=f"half done, and not gone on with: {other}")
        except Exception as error:  # only the ledger is left to fail here; the next run goes on with it
            said = f"half done, and the ledger could not be written: {describe(error)}"
            return replace(result, outcome=Outcome.FAILED, note=said)

    def _close(self, action: Action, why: str, clock: datetime) -> None:
        entry = self.entries.get(action.target.key)
        if entry is not None and entry.closed is None:
            self.ledger.close(entry, why, clock)
