"""Warn about findings before the janitor acts, and remember the warnings that Slack took. Law 5."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ml_janitor.core.model import Finding
from ml_janitor.core.results import Cause, CauseCode, Outcome, Result, Sweep, make_cause
from ml_janitor.ledger.findings import NO_MESSAGE, MessageRef
from ml_janitor.ledger.table import ConditionFailedError

if TYPE_CHECKING:
    from ml_janitor.engine.policy import Arming
    from ml_janitor.ledger.findings import Entry, Ledger

WARNINGS_PER_SWEEP = 20
"""Warnings of one sweep. Nobody would read more; the next sweep warns about the others."""

_DUE_DATE_STEP = timedelta(minutes=5)
"""Step to which messages round the due date up, which covers the time until Slack has the message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarningDeliveries:
    """
    Remembers each warning of one sweep as soon as Slack took it, in the ledger and in *warned*, by key.

    The messages say dates that count from *soon*. A delivered warning has twice the grace until its owner has
    a direct message too: if a run is killed in between, or a message fails, the later date stays.
    """

    ledger: Ledger
    arming: Arming
    entries: Mapping[str, Entry]
    clock: Callable[[], datetime]
    soon: datetime
    warned: dict[str, Result] = field(default_factory=dict)
    stored: dict[str, Entry] = field(default_factory=dict)

    def due(self, result: Result, *, messaged: bool) -> datetime:
        """Return the time from which the janitor may act on *result*, as its warning says."""
        return self.arming.due(self.soon, finding_of(result), messaged=messaged)

    def delivered(
        self, result: Result, unmessaged: Cause, message: MessageRef = NO_MESSAGE, said: str = ""
    ) -> None:
        """
        Remember that Slack took *result*'s warning in the channel as *message*; *said* is its lasting part.

        Both are empty where the janitor cannot change the message later. *unmessaged* says
        why its owner has no direct message so far. The message contained the due date; if
        Slack took longer than expected, the date moves.
        """
        at = self.clock()
        due = max(self.due(result, messaged=False), self.arming.due(at, finding_of(result), messaged=False))
        self.stored[result.target.key] = self.ledger.warned(
            self._entry(result), now=at, due=due, message=message, said=said, unmessaged=unmessaged
        )
        why = make_cause(CauseCode.OWNER_NOT_MESSAGED, unmessaged)
        self.warned[result.target.key] = replace(result, outcome=Outcome.WARNED, due=due, cause=why)

    def messaged(self, result: Result, message: MessageRef) -> None:
        """Remember that Slack took *message* to the owner of *result*, whose warning was delivered before."""
        late = self.warned[result.target.key].due
        if late is None:
            raise ValueError(f"the warning of {result.target.name} was not delivered")
        due = max(self.due(result, messaged=True), self.arming.due(self.clock(), finding_of(result)))
        with suppress(ConditionFailedError):  # somebody pressed a button since
            self.ledger.messaged(self._entry(result), message, late=late, due=due)
            self.warned[result.target.key] = replace(result, outcome=Outcome.WARNED, due=due, cause=None)

    def not_messaged(self, result: Result, why: Cause) -> Result:
        """
        Remember that *why* keeps the owner of *result* from a direct
        message, and return the new result.
        """
        with suppress(ConditionFailedError):  # somebody pressed a button since
            self.ledger.unmessaged(self._entry(result), why)
        known = self.warned[result.target.key]
        known = replace(known, cause=make_cause(CauseCode.OWNER_NOT_MESSAGED, why))
        self.warned[result.target.key] = known
        return known

    def _entry(self, result: Result) -> Entry:
        key = result.target.key
        return self.stored.get(key) or self.entries[key]


class WarningTransport(Protocol):
    """A sender of warnings."""

    def __call__(
        self, sweep: Sweep, warnings: Sequence[Result], *, now: datetime, deliveries: WarningDeliveries
    ) -> Sequence[str]:
        """
        Warn about each of *warnings*, and tell their owners, with the dates of *deliveries*.

        *deliveries* gets each message as soon as Slack took it. Return a line for each warning that did not
        arrive in the channel; an owner without a message is not a failure.
        """


class WarnedSweep(NamedTuple):
    """A *sweep* with its warnings, the failed messages, and the *error* that ended the warning, if any."""

    sweep: Sweep
    problems: Sequence[str] = ()
    error: Exception | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Warner:
    """Warns about the findings of armed sweeps, at the real time of *clock*."""

    ledger: Ledger
    warn: WarningTransport
    clock: Callable[[], datetime]

    def __call__(
        self, sweep: Sweep, entries: Mapping[str, Entry], arming: Arming, *, now: datetime
    ) -> WarnedSweep:
        """
        Warn about new findings, and return *sweep* with the warnings and Slack's failures.

        If the ledger cannot store that a warning arrived, no more are sent. Before a nightly stop the janitor
        warns until closing time, and not by night.
        """
        soon = round_due_date(self.clock())
        late = {
            result.target.key: replace(result, cause=make_cause(CauseCode.WARNED_BEFORE_CLOSING))
            for result in sweep.results
            if isinstance(result.verdict, Finding) and _closed(result, soon)
        }
        sweep = replace(sweep, results=tuple(late.get(result.target.key, result) for result in sweep.results))
        new = [
            result
            for result in sweep.results
            if result.outcome is Outcome.WAITING
            and result.why is CauseCode.UNWARNED  # and not half done, or half reverted
            and isinstance(result.verdict, Finding)
            and result.target.key in entries
            and entries[result.target.key].warned is None
        ]
        if not new:
            return WarnedSweep(sweep)
        deliveries = WarningDeliveries(
            ledger=self.ledger,
            arming=arming,
            entries=entries,
            clock=self.clock,
            soon=soon,
        )
        problems: Sequence[str] = ()
        error = None
        try:
            problems = self.warn(sweep, new[:WARNINGS_PER_SWEEP], now=now, deliveries=deliveries)
        except Exception as failed:  # the findings before it were warned about all the same
            error = failed
        results = tuple(deliveries.warned.get(result.target.key, result) for result in sweep.results)
        return WarnedSweep(replace(sweep, results=results), problems, error)


def _closed(result: Result, soon: datetime) -> bool:
    """Return whether it is too late today to warn about *result*."""
    plan = finding_of(result).schedule
    return result.why is CauseCode.UNWARNED and plan is not None and soon >= plan.closing


def round_due_date(at: datetime) -> datetime:
    """Return the end of the five minutes after the current ones."""
    start = at.replace(minute=0, second=0, microsecond=0)
    steps = (at - start) // _DUE_DATE_STEP + 2
    return start + steps * _DUE_DATE_STEP


def finding_of(result: Result) -> Finding:
    """Return the verdict of a result that was warned about."""
    if not isinstance(result.verdict, Finding):
        raise TypeError(f"{result.target.name} is not a finding")
    return result.verdict
