"""Run several detectors in one invocation, each for itself, and hand over what time does not allow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from datetime import timedelta
from threading import Thread
from typing import TYPE_CHECKING, Any

from ml_janitor.aws.calls import error_text
from ml_janitor.engine.run import Failures
from ml_janitor.ledger.idempotency import InProgressError
from ml_janitor.ledger.limits import LeaseTakenError

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

LEAST_TIME = timedelta(minutes=4)
"""Time left under which no other detector begins: it would have two minutes for its reading."""

_LAST_MOMENT = timedelta(seconds=20)
"""Time left under which the run waits no longer for the detector at work."""

_BUSY_ERRORS = (InProgressError, LeaseTakenError)

type AdviserAnswer = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvisersRun:
    """
    A run of several detectors, one after the other, so that one that is killed takes no other with it.

    *sweep* does the work of one detector, once for each event. *hand_over* has the next part do the rest, and
    *left* is the time left, looked at at least every *look_every*.
    """

    sweep: Callable[[str], AdviserAnswer]
    hand_over: Callable[[Sequence[str]], None]
    left: Callable[[], timedelta]
    logger: Logger
    look_every: timedelta = timedelta(seconds=1)

    def run(self, names: Sequence[str], *, returns_rest: bool) -> dict[str, Any]:
        """
        Run *names* in order; return their answers, and the *rest* that was handed over.

        A detector that fails, or does not end, is the failure of that detector. Raises an error for them at
        the end: InProgressError if others are at work, so that the event is sent again, else RunFailedError.
        A caller that starts the next part itself gets the rest (*returns_rest*), and before it the detectors
        that another run has at work; failures are only logged then.
        """
        answers, errors, rest = dict[str, AdviserAnswer](), dict[str, Exception](), list(names)
        while rest and self.left() > LEAST_TIME:
            name = rest.pop(0)
            work = self._begun(name)
            if not self._ended(work, before=LEAST_TIME):
                self._hand_over(rest, errors)
                if not self._ended(work, before=_LAST_MOMENT):
                    errors[name] = TimeoutError("it did not end in time")
                    break
                self._collect(name, work, answers, errors)
                break
            self._collect(name, work, answers, errors)
        else:
            self._hand_over(rest, errors)
        failures = Failures(self.logger)
        for name, error in errors.items():
            why = f"{name}: {error_text(error)}"
            failures.note(why)
            self.logger.error("an adviser failed", extra={"detector": name, "why": why})
        busy = [name for name, error in errors.items() if isinstance(error, _BUSY_ERRORS)]
        if returns_rest and rest:
            rest = busy + rest
        else:
            if errors and len(busy) == len(errors):
                raise InProgressError("; ".join(f"{name}: {error}" for name, error in errors.items()))
            failures.check()
        return {"answers": answers, "rest": rest}

    def _begun(self, name: str) -> Future[AdviserAnswer]:
        """Begin the work of *name* in a thread of its own, which may be left behind."""
        work: Future[AdviserAnswer] = Future()

        def do() -> None:
            try:
                work.set_result(self.sweep(name))
            except BaseException as error:  # raised again in the thread that waits
                work.set_exception(error)

        Thread(target=do, name=name, daemon=True).start()
        return work

    def _ended(self, work: Future[AdviserAnswer], *, before: timedelta) -> bool:
        """Wait for *work* until only the time *before* the end is left, and return whether it ended."""
        while not work.done() and (left := self.left()) > before:
            wait([work], timeout=min(self.look_every, left - before).total_seconds())
        return work.done()

    def _collect(
        self,
        name: str,
        work: Future[AdviserAnswer],
        answers: dict[str, AdviserAnswer],
        errors: dict[str, Exception],
    ) -> None:
        try:
            answers[name] = work.result()
        except Exception as error:  # the failure of this detector, and of no other
            errors[name] = error

    def _hand_over(self, rest: list[str], errors: dict[str, Exception]) -> None:
        """Hand *rest* over; what could not be handed over has failed, and is not the rest."""
        if not rest:
            return
        try:
            self.hand_over(rest)
        except Exception as error:  # noted like the failure of a detector
            errors |= dict.fromkeys(rest, error)
            rest.clear()
