"""Warns about what may be acted on, and remembers what Slack took. Law 5: nobody is surprised."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ml_janitor.core.cause import Why, cause
from ml_janitor.core.model import Finding, Outcome, Result, Sweep

if TYPE_CHECKING:
    from ml_janitor.engine.arming import Arming
    from ml_janitor.ledger.entries import Entry
    from ml_janitor.ledger.findings import Ledger

AT_ONCE = 20
"""Warnings of one sweep. More would not be read; the next sweep warns about the others."""

ROUND = timedelta(minutes=5)
"""A message gives the due date to the next five minutes, which covers the time until Slack has it."""


class Delivered(Protocol):
    """Called for each warning that Slack took."""

    def __call__(self, result: Result, channel: str, message: str, said: str = "") -> None:
        """
        *result*'s warning stands in *channel* as *message*; *said* is the part of it that lasts.

        All three are empty where a message cannot be changed later.
        """


class Warn(Protocol):
    """Warns people."""

    def __call__(
        self,
        sweep: Sweep,
        warnings: Sequence[Result],
        *,
        now: datetime,
        delivered: Delivered,
    ) -> Sequence[str]:
        """
        Warn about each of *warnings*, whose `due` says when it will be acted on.

        *delivered* is called as soon as Slack took one. The answer is what did not arrive, one line each.
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
            replace(result, due=arming.due(soon, result.verdict))
            for result in sweep.results
            if result.outcome is Outcome.WAITING
            and result.cause is not None
            and result.cause.why is Why.UNWARNED  # and not half done, or half reverted
            and isinstance(result.verdict, Finding)
            and result.target.key in entries
            and entries[result.target.key].warned is None
        ]
        if not new:
            return Warned(sweep)
        warned: dict[str, Result] = {}

        def delivered(result: Result, channel: str, message: str, said: str = "") -> None:
            """Store the due date of the message, or a later one if Slack took longer than expected."""
            at = self.clock()
            due = max(result.due or at, arming.due(at, finding(result)))
            entry = entries[result.target.key]
            self.ledger.warned(entry, now=at, due=due, channel=channel, message=message, said=said)
            warned[result.target.key] = replace(result, outcome=Outcome.WARNED, due=due, cause=None)

        def so_far() -> Sweep:
            results = tuple(warned.get(result.target.key, result) for result in sweep.results)
            return replace(sweep, results=results)

        try:
            problems = self.warn(sweep, new[:AT_ONCE], now=now, delivered=delivered)
        except Exception as error:  # those before it were warned about all the same
            return Warned(so_far(), error=error)
        return Warned(so_far(), problems)


def _closed(result: Result, soon: datetime) -> bool:
    """Whether it is too late today to warn about *result*."""
    plan = finding(result).schedule
    unwarned = result.cause is not None and result.cause.why is Why.UNWARNED
    return unwarned and plan is not None and soon >= plan.closing


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
