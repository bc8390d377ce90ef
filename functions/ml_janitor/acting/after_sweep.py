"""Finish a run after its sweep: act on due findings, warn about new ones, update messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ml_janitor.acting import savings
from ml_janitor.acting.acting import mark_refused_findings
from ml_janitor.acting.undoing import is_undoable
from ml_janitor.core.model import Kept
from ml_janitor.core.results import Cause, CauseCode, Outcome, Sweep, make_cause
from ml_janitor.engine.run import heed_owners

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

    from ml_janitor.acting.acting import Acting
    from ml_janitor.acting.warning import Warner
    from ml_janitor.aws.client import Aws
    from ml_janitor.engine.detector import Detector
    from ml_janitor.engine.policy import Hold, RunPolicy
    from ml_janitor.engine.run import Failures
    from ml_janitor.ledger.findings import Entry, Ledger, RecordedFindings


HOLDS_UNREAD = "what people asked to keep could not be read"


class MessageUpdater(Protocol):
    """An updater of the warnings' messages."""

    def __call__(self, sweep: Sweep, recorded: RecordedFindings) -> Sequence[str]:
        """Update the messages after *sweep*. Return a line for each message that did not arrive."""

    def disarmed(self, entries: Mapping[str, Entry], why: Cause) -> Sequence[str]:
        """Let the messages of *entries* say that their warnings are void."""


def record_not_done_causes(
    acting: Acting, aws: Aws, sweep: Sweep, entries: Mapping[str, Entry], now: datetime
) -> None:
    """Remember why each due, warned finding of *sweep* still waits, or failed."""
    held = [
        (entries[result.target.key], result.cause)
        for result in sweep.results
        if result.outcome in {Outcome.WAITING, Outcome.FAILED}
        and result.cause is not None
        and result.cause.why not in {CauseCode.NOT_DUE, CauseCode.UNWARNED}
        and result.target.key in entries
        and entries[result.target.key].warned is not None
    ]
    aws.map(lambda finding: acting.ledger.record_not_done(*finding, now), held)


class SweptRegion(NamedTuple):
    """
    A sweep, its region, the ledger's state of its findings, and the time of the sweep before.

    *first* is true if there was none before.
    """

    aws: Aws
    sweep: Sweep
    recorded: RecordedFindings
    before: datetime | None = None
    first: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanupParts:
    """
    The outside parts that acting and warning need.

    Without *acting* or without *warner* a run never acts, nor if it is *dry*. *follow* changes earlier
    messages.
    """

    policy: RunPolicy
    ledger: Ledger
    logger: Logger
    acting: Acting | None = None
    warner: Warner | None = None
    follow: MessageUpdater | None = None
    dry: bool = False


@dataclass(frozen=True, slots=True)
class CleanupRun:
    """Acts and warns in one run of *detector*. It notes errors in *failures*, and goes on with the rest."""

    parts: CleanupParts
    detector: Detector[Any]
    failures: Failures

    @property
    def base_policy(self) -> RunPolicy:
        """The policy of this run before anything of the ledger."""
        parts = self.parts
        acts = parts.acting is not None and parts.warner is not None and not parts.dry
        return parts.policy if acts else parts.policy.dry()

    def judged_by(self, accounts: Sequence[Aws]) -> RunPolicy:
        """
        Return the policy of this run, with the holds in the ledger; dry if they cannot be read.

        People's requests by a button become part of the findings and actions that are read next.
        """
        parts = self.parts
        policy = self.base_policy
        if parts.acting is None:
            return policy
        if self.detector.cleanup is not None:
            with self.failures.survived("what people asked for could not be read"):
                for aws in accounts:
                    where = (self.detector.name, aws.account, aws.region)
                    for refused in parts.acting.requests.grant(parts.ledger, parts.acting.actions, *where):
                        self.failures.note(refused)
        spared = replace(policy, needed_unread="what undos need could not be read")
        with self.failures.survived("what undos need could not be read"):
            spared = spare_undo_resources(policy, self.detector, parts.acting, accounts)
        holds: dict[str, Sequence[Hold]] = {}
        with self.failures.survived(HOLDS_UNREAD):
            for aws in accounts:
                holds |= parts.acting.holds.all(aws.account, aws.region)
            return replace(spared, holds=holds)
        return spared.dry()

    def after(self, known: SweptRegion, policy: RunPolicy, now: datetime, *, until: datetime) -> SweptRegion:
        """
        Act on due findings, then warn about new ones: neither without the ledger, nor for an adviser.

        *policy* is the policy that judged the sweep. Acting waits for AWS up to *until*,
        which leaves time for the other regions.
        """
        if self.detector.cleanup is None:
            return known
        acting, entries, sweep = self.parts.acting, known.recorded.entries, known.sweep
        if acting is None or self.parts.dry:
            self._update_messages(lambda follow: follow(sweep, known.recorded))  # of closed findings
            return known
        with_actions = True
        with self.failures.survived("what was saved could not be counted"):
            with_actions = savings.end_savings(
                acting.actions, self.detector, known.aws, sweep, before=known.before, now=now
            )
        arming = self.parts.policy.armed(self.detector.name)
        if not (arming.armed and arming.anywhere_in(known.aws.account)):
            acted_or_warned = with_actions or known.recorded.warned or known.recorded.untold
            return self._disarmed(acting, known) if acted_or_warned else known
        sweep = mark_refused_findings(sweep, entries)
        with self.failures.survived("acting broke off"):
            sweep, error = acting.act(
                self.detector, known.aws, sweep, entries, now=now, policy=policy, until=until
            )
            if error is not None:
                raise error
        with self.failures.survived("why something due was not done could not be remembered"):
            record_not_done_causes(acting, known.aws, sweep, entries, now)
        for limit in sweep.held_back:
            about = {"detector": self.detector.name, "limit": str(limit.cause)}
            self.parts.logger.warning("held back", extra=about)
        if any(result.outcome is Outcome.ACTED for result in sweep.results):
            with self.failures.survived("what is left could not be remembered"):
                self.parts.ledger.latest.left(sweep, now)
        if self.parts.warner is not None:
            unwarned = {result.target.key for result in sweep.results if result.why is CauseCode.UNWARNED}
            sweep = self.heeded(known._replace(sweep=sweep), unwarned, policy, now).sweep
            with self.failures.survived("the warnings could not be sent"):
                sweep, problems, error = self.parts.warner(
                    sweep, entries, policy.armed(self.detector.name), now=now
                )
                for problem in problems:
                    self.failures.note(f"not delivered: {problem}")
                if error is not None:
                    raise error
        self._update_messages(lambda follow: follow(sweep, known.recorded))
        return known._replace(sweep=sweep)

    def heeded(
        self, known: SweptRegion, keys: AbstractSet[str], policy: RunPolicy, now: datetime
    ) -> SweptRegion:
        """Return *known*, where owners may have kept the findings with *keys* meanwhile; close the kept."""
        if not keys:
            return known
        policy = self._newly_held(policy, known.aws)
        sweep = heed_owners(known.aws, known.sweep, keys, now=now, policy=policy)
        kept = {
            result.target.key: result.verdict
            for result in sweep.results
            if result.target.key in keys and isinstance(result.verdict, Kept)
        }
        if kept:
            with self.failures.survived("what owners keep could not be remembered"):
                for key, verdict in kept.items():
                    if not verdict.unknown and (entry := known.recorded.entries.get(key)) is not None:
                        why = make_cause(CauseCode.NO_LONGER_WASTE, verdict.reason)
                        self.parts.ledger.close(entry, why, now)
                self.parts.ledger.latest.left(sweep, now)
        return known._replace(sweep=sweep)

    def _newly_held(self, policy: RunPolicy, aws: Aws) -> RunPolicy:
        """Return *policy* with only those holds in the region of *aws* that it does not have yet."""
        if self.parts.acting is None:
            return policy
        with self.failures.survived(HOLDS_UNREAD):
            holds = self.parts.acting.holds.all(aws.account, aws.region)
            return replace(
                policy, holds={key: held for key, held in holds.items() if held != policy.holds.get(key)}
            )
        return replace(policy, needed_unread=HOLDS_UNREAD)

    def _disarmed(self, acting: Acting, known: SweptRegion) -> SweptRegion:
        """Resume half-done undos of a detector that is disarmed, everywhere or here; void its warnings."""
        with self.failures.survived("what is half brought back could not be gone on with"):
            known = known._replace(sweep=acting.resumed(self.detector, known.sweep))
        self._update_messages(lambda follow: follow(known.sweep, known.recorded))
        with self.failures.survived("old warnings could not be voided"):
            # Also of resources that this sweep could not judge.
            entries = self.parts.ledger.entries(self.detector.name, known.aws.account, known.aws.region)
            warned = {entry.key: entry for entry in entries if entry.warned is not None}
            why = make_cause(CauseCode.NOT_ARMED, self.detector.name)
            if self.parts.policy.armed(self.detector.name).armed:
                why = make_cause(CauseCode.OUTSIDE_ACT_IN, known.aws.account, known.aws.region)
            for entry in warned.values():  # armed again, it has to warn again
                self.parts.ledger.void_warning(entry, why)
            self._update_messages(lambda follow: follow.disarmed(warned, why))
        return known

    def _update_messages(self, update: Callable[[MessageUpdater], Sequence[str]]) -> None:
        """Update messages by *update*. A failure is noted, and undoes nothing."""
        if self.parts.follow is not None:
            with self.failures.survived("the warnings' messages could not be changed"):
                for problem in update(self.parts.follow):
                    self.failures.note(f"not delivered: {problem}")


def spare_undo_resources(
    policy: RunPolicy, detector: Detector[Any], acting: Acting, accounts: Iterable[Aws]
) -> RunPolicy:
    """
    Return *policy* with the resources that pending undos need, if *detector* spares them.

    An undo needs its resources as long as it is possible. Raises the ledger's errors.
    """
    if not detector.spares_undos:
        return policy
    needed: dict[str, str] = {}
    actors = acting.actors()
    for aws in accounts:
        for actor in actors:
            for action in acting.actions.all(actor.name, aws.account, aws.region):
                if is_undoable(action, acting.within, acting.clock()):
                    until = action.began + acting.within
                    why = f"an undo of {action.target.name} needs it, until {until:%Y-%m-%d}"
                    needed |= {arn.lower(): why for arn in actor.undo_needs(action.target, action.undo)}
    return replace(policy, needed=needed)
