"""What an earlier run left half done: finished if it is still waste, put back if it is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ml_janitor.acting.carrying_out import OUT_OF_TIME, EndsError
from ml_janitor.acting.resuming import ITSELF, by_hand
from ml_janitor.aws.answers import describe
from ml_janitor.core.model import Kept, Outcome, Result
from ml_janitor.ledger.action import TRIES, Action
from ml_janitor.ledger.actions import BegunBeforeError
from ml_janitor.ledger.limits import FullError

if TYPE_CHECKING:
    from datetime import datetime

    from ml_janitor.acting.carrying_out import CarryingOut
    from ml_janitor.acting.postponement import StandingBack
    from ml_janitor.core.model import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfDone:
    """
    Goes on with half-done actions by *carrying* out the rest, or has *put_back* undo them.

    Whatever keeps the sweep from beginning something, *standing_back*, keeps it from going on with it too.
    The lease of the sweep is ours, so nobody else is at work on what is unfinished.
    """

    carrying: CarryingOut
    put_back: Callable[[Action], None]
    standing_back: StandingBack

    def finished(self, result: Result, action: Action) -> Result:
        """Finish *action* if its resource is still waste, else have it put back."""
        try:
            return self._finished(result, action)
        except EndsError as ends:
            return replace(result, outcome=ends.outcome, note=ends.note)
        except FullError as full:
            return replace(result, outcome=Outcome.WAITING, note=str(full))
        except BegunBeforeError as other:
            return replace(result, note=str(other))
        except Exception as error:  # told; the next sweep tries again
            if self.carrying.look.aws.out_of_time(error):
                return replace(result, outcome=Outcome.WAITING, note=f"half done: {OUT_OF_TIME}")
            said = f"half done, and could not be finished: {describe(error)}"
            return replace(result, outcome=Outcome.FAILED, note=said)

    def _finished(self, result: Result, action: Action) -> Result:
        carrying, look, arming = self.carrying, self.carrying.look, self.carrying.arming
        if not look.aws.has_time:
            raise EndsError(Outcome.WAITING, f"half done: {OUT_OF_TIME}")
        if (why := look.by_itself(action)) is not None:
            return carrying.withdrawn(result, action, why)
        if look.settled(action):
            if not action.touched:  # somebody else's doing
                return carrying.withdrawn(
                    result, action, "it was as good as cleaned up before anything was done"
                )
            return carrying.recorded(result, action)
        clock = look.clock()
        self._judged(result, action, clock)
        if not arming.within(action.target.account, action.target.region):
            raise EndsError(Outcome.WAITING, "half done, and act_in no longer names its place")
        if action.given_up:
            said = f"failed {TRIES} times, so a person has to look: {action.error}"
            raise EndsError(Outcome.FAILED, said)
        if (why := self.standing_back.why(action.target.key, clock, hurried=action.by)) is not None:
            raise EndsError(Outcome.WAITING, f"half done; {why}")
        carrying.places.take(action.target.key, clock)
        return carrying.acted(result, carrying.actions.again(action, clock))

    def stopped(self, result: Result, action: Action) -> Result | None:
        """
        What becomes of *action*, which waits for AWS, where it is not gone on with; None if it is.

        Minutes may have passed since it was judged. What is already as the act leaves it has nothing more
        to be judged.
        """
        if self.carrying.look.settled(action):
            return None
        try:
            self._judged(result, action, self.carrying.look.clock())
        except EndsError as ends:
            return replace(result, outcome=ends.outcome, note=ends.note)
        except BegunBeforeError as other:
            return replace(result, note=str(other))
        except Exception as error:  # told; it is looked at again after the next wait, or by the next sweep
            if self.carrying.look.aws.out_of_time(error):
                return replace(result, outcome=Outcome.WAITING, note=f"half done: {OUT_OF_TIME}")
            said = f"half done, and could not be looked at: {describe(error)}"
            return replace(result, outcome=Outcome.WAITING, note=said)
        return None

    def _judged(self, result: Result, action: Action, clock: datetime) -> None:
        """
        Raises what ends the way of *action*, which is put back if its resource is no waste any more.

        Where nothing was done to it yet, there is nothing to put back.
        """
        look = self.carrying.look
        verdict, candidate = look.again(replace(result, target=action.target), clock, action.undo)
        if isinstance(verdict, Kept) and verdict.unknown:
            said = f"half done, and could not be judged: {verdict.reason}"
            raise EndsError(Outcome.WAITING, said)
        if (stops := self._stopping(action, verdict, candidate)) is not None:
            outcome, why = stops
            if not action.touched:
                self.carrying.withdrawn(result, action, why)
                raise EndsError(outcome, why)
            self._ask_back(action, why)
            raise EndsError(outcome, f"{why}; what had been done is being put back")

    def _stopping(
        self, action: Action, verdict: Verdict | None, candidate: Any
    ) -> tuple[Outcome, str] | None:
        """Why a half-done *action* is not gone on with: it may no longer be begun either."""
        if isinstance(verdict, Kept):
            return Outcome.CHANGED, verdict.reason
        if candidate is not None:
            protected = self.carrying.arming.protects(candidate.target, candidate.takes_along)
            if protected is not None:
                return Outcome.ADVISED, f"only reported: {protected}"
        entry = self.carrying.entries.get(action.target.key)
        if entry is not None and entry.voided:
            return Outcome.CHANGED, "its warning is void"
        return None

    def _ask_back(self, action: Action, why: str) -> None:
        """
        Have *action* put back. Where that cannot be asked for, a person has to know, and how.

        It is remembered first: whoever used it for a day has it back, although it is waste again by the
        time that the undo function gets to it.
        """
        try:
            carrying = self.carrying
            self.put_back(carrying.actions.asked_back(action, ITSELF, carrying.look.clock()))
        except BegunBeforeError:
            raise
        except Exception as error:  # told; the next sweep asks again
            said = f"{why}; what had been done is not put back: {describe(error)}"
            hand = by_hand(self.carrying.look.detector, action)
            raise EndsError(Outcome.FAILED, f"{said}; by hand: {hand}") from error
