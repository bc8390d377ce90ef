"""Warns about what may be acted on, and remembers what Slack took. Law 5: nobody is surprised."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ml_janitor.core.cause import Why, cause
from ml_janitor.core.model import Finding
from ml_janitor.core.results import Outcome, Result, Sweep
from ml_janitor.ledger.messages import NO_MESSAGE, MessageRef
from ml_janitor.ledger.table import ConditionFailedError

if TYPE_CHECKING:
    from ml_janitor.engine.arming import Arming
    from ml_janitor.ledger.entries import Entry
    from ml_janitor.ledger.findings import Ledger

AT_ONCE = 20
"""Warnings of one sweep. More would not be read; the next sweep warns about the others."""

ROUND = timedelta(minutes=5)
"""A message gives the due date to the next five minutes, which covers the time until Slack has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliveries:
    """
    Remembers each warning of one sweep as soon as Slack took it, in the ledger and in *warned*, by key.

    The messages say dates that count from *soon*. What Slack took has twice the grace until its owner has a
    direct message too: a run that is killed in between, or a message that fails, leaves the later date.
    """

    ledger: Ledger
    arming: Arming
    entries: Mapping[str, Entry]
    clock: Callable[[], datetime]
    soon: datetime
    warned: dict[str, Result] = field(default_factory=dict)

    def due(self, result: Result, *, messaged: bool) -> datetime:
        """When *result* may be acted on, as its warning says."""
        return self.arming.due(self.soon, finding(result), messaged=messaged)

    def delivered(
        self, result: Result, unmessaged: str, message: MessageRef = NO_MESSAGE, said: str = ""
    ) -> None:
        """
        Slack took *result*'s warning in the channel as *message*; *said* is the part of it that lasts.

        Both are empty where a message cannot be changed later. *unmessaged* is why its owner has no direct
        message, so far. The due date was said; if Slack took longer than expected, it moves.
        """
        at = self.clock()
        due = max(self.due(result, messaged=False), self.arming.due(at, finding(result), messaged=False))
        self.ledger.warned(
            self._entry(result), now=at, due=due, message=message, said=said, unmessaged=unmessaged
        )
        why = cause(Why.OWNER_NOT_MESSAGED, unmessaged)
        self.warned[result.target.key] = replace(result, outcome=Outcome.WARNED, due=due, cause=why)

    def messaged(self, result: Result, message: MessageRef) -> None:
        """Slack took *message* to the owner of *result*, whose warning was delivered before."""
        late = self.warned[result.target.key].due
        if late is None:
            raise ValueError(f"the warning of {result.target.name} was not delivered")
        due = max(self.due(result, messaged=True), self.arming.due(self.clock(), finding(result)))
        with suppress(ConditionFailedError):  # somebody pressed a button since
            self.ledger.messaged(self._entry(result), message, late=late, due=due)
            self.warned[result.target.key] = replace(result, outcome=Outcome.WARNED, due=due, cause=None)

    def not_messaged(self, result: Result, why: str) -> Result:
        """*result*, delivered before, whose owner gets no direct message because of *why*."""
        with suppress(ConditionFailedError):  # somebody pressed a button since
            self.ledger.unmessaged(self._entry(result), why)
        known = self.warned[result.target.key]
        known = replace(known, cause=cause(Why.OWNER_NOT_MESSAGED, why))
        self.warned[result.target.key] = known
        return known

    def _entry(self, result: Result) -> Entry:
        return self.entries[result.target.key]


class Warn(Protocol):
    """Warns people."""

    def __call__(
        self, sweep: Sweep, warnings: Sequence[Result], *, now: datetime, deliveries: Deliveries
    ) -> Sequence[str]:
        """
        Warn about each of *warnings*, and their owners, with the dates of *deliveries*.

        *deliveries* hears of each message as soon as Slack took it. The answer is what did not arrive in the
        channel, one line each; an owner who could not be messaged is no failure.
        """


class Warned(NamedTuple):
    """A *sweep* with its warnings, what Slack did not take, and the *error* after which no more were sent."""

    sweep: Sweep
    problems: Sequence[str] = ()
    error: Exception | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Warner:
    """Warns about the findings of armed sweeps, at the real time of *clock*."""

    ledger: Ledger
    warn: Warn
    clock: Callable[[], datetime]

    def __call__(
        self, sweep: Sweep, entries: Mapping[str, Entry], arming: Arming, *, now: datetime
    ) -> Warned:
        """
        *sweep* with what was warned about now, and what Slack did not take.

        If the ledger cannot store that a warning arrived, no more are sent. What is stopped by the clock is
        warned about before closing, and not by night.
        """
        soon = rounded(self.clock())
        late = {
            result.target.key: replace(result, cause=cause(Why.WARNED_BEFORE_CLOSING))
            for result in sweep.results
            if isinstance(result.verdict, Finding) and _closed(result, soon)
        }
        sweep = replace(sweep, results=tuple(late.get(one.target.key, one) for one in sweep.results))
        new = [
            result
            for result in sweep.results
            if result.outcome is Outcome.WAITING
            and result.why is Why.UNWARNED  # and not half done, or half reverted
            and isinstance(result.verdict, Finding)
            and result.target.key in entries
            and entries[result.target.key].warned is None
        ]
        if not new:
            return Warned(sweep)
        deliveries = Deliveries(
            ledger=self.ledger,
            arming=arming,
            entries=entries,
            clock=self.clock,
            soon=soon,
        )
        problems: Sequence[str] = ()
        error = None
        try:
            problems = self.warn(sweep, new[:AT_ONCE], now=now, deliveries=deliveries)
        except Exception as failed:  # those before it were warned about all the same
            error = failed
        results = tuple(deliveries.warned.get(result.target.key, result) for result in sweep.results)
        return Warned(replace(sweep, results=results), problems, error)


def _closed(result: Result, soon: datetime) -> bool:
    """Whether it is too late today to warn about *result*."""
    plan = finding(result).schedule
    return result.why is Why.UNWARNED and plan is not None and soon >= plan.closing


def rounded(at: datetime) -> datetime:
    """The end of the five minutes after the current ones."""
    start = at.replace(minute=0, second=0, microsecond=0)
    steps = (at - start) // ROUND + 2
    return start + steps * ROUND


def finding(result: Result) -> Finding:
    """The verdict of a result that was warned about."""
    if not isinstance(result.verdict, Finding):
        raise TypeError(f"{result.target.name} is no finding")
    return result.verdict
