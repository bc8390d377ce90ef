"""Updates of each warning's message with its outcome. Reads the ledger, and decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, cached_property
from typing import TYPE_CHECKING

from ml_janitor.acting import undos
from ml_janitor.acting.undoing import UNDO_SNOOZE
from ml_janitor.core.model import Finding
from ml_janitor.core.results import Outcome
from ml_janitor.engine.holds import longest_hold
from ml_janitor.ledger.action import Action, Stage
from ml_janitor.ledger.messages import MessageRef
from ml_janitor.report.buttons import ButtonSubject
from ml_janitor.report.causes import cause_clause, outcome_note
from ml_janitor.report.mrkdwn import code_span
from ml_janitor.report.warnings import WarningTerms, warning_message
from ml_janitor.slack.bot import SlackRefusedError
from ml_janitor.slack.retries import SlackError

if TYPE_CHECKING:
    from ml_janitor.core.results import Result, Sweep
    from ml_janitor.ledger.actions import Actions
    from ml_janitor.ledger.entries import Entry, RecordedFindings
    from ml_janitor.ledger.findings import Ledger
    from ml_janitor.ledger.holds import Holds
    from ml_janitor.report.status import Status
    from ml_janitor.slack.sender import Sender


@dataclass(frozen=True)
class MessageUpdates:
    """
    An updater that works until *deadline*, in the seconds of the sender's clock.

    *terms* are by detector, *clock* is the real time, *within* is how long an action can be undone.
    """

    connect: Callable[[], Sender]
    deadline: float
    terms: Mapping[str, WarningTerms]
    ledger: Ledger
    actions: Actions
    holds: Holds
    clock: Callable[[], datetime]
    within: timedelta

    @cached_property
    def _sender(self) -> Sender:
        return self.connect()

    # --- after a sweep ------------------------------------------------------------------------

    def __call__(self, sweep: Sweep, recorded: RecordedFindings) -> Sequence[str]:
        """
        Update the messages of *sweep*'s warnings that are out of date.

        An action's message is updated from the action's record, so the next sweep makes up for a message that
        could not be changed and for a run that was killed. Findings with an action are left to that update.
        The ledger remembers a void warning until its message says so. Returns why Slack did not take an
        update; the first failure ends the updates, because the next one would fail too.
        """
        account = str(sweep.account)
        actions = self.actions.all(sweep.detector, account, sweep.region)
        try:
            for action in actions:
                # an act in progress, or one that a killed run left without a reason, has nothing to say yet
                unclear = action.stage is Stage.ACTING and not action.waits
                if action.message and action.told != action.mark and not unclear:
                    self.action(action)
            shown = {action.place for action in actions if action.stage is not Stage.WITHDRAWN}
            for entry in recorded.untold:
                if entry.untold not in shown:
                    wording = self.terms[entry.detector].wording
                    self._entry(entry, _refs(entry.untold), wording.over(entry.untold_why))
                self.ledger.void_shown(entry, entry.untold)
            for entry, status, void in self._changes(sweep, recorded):
                if entry.message and entry.place not in shown:
                    self.entry(entry, status)
                    if void:
                        self.ledger.void_shown(entry, entry.place)
        except SlackError as failed:
            return [f"a warning's message does not say what became of it: {failed}"]
        return ()

    def disarmed(self, entries: Mapping[str, Entry], why: str) -> Sequence[str]:
        """Update the messages of disarmed detectors: *why* warnings are void, or an action is half done."""
        where = {(entry.detector, entry.account, entry.region) for entry in entries.values()}
        actions = [action for place in sorted(where) for action in self.actions.all(*place)]
        half_done = {action.target.key: action for action in actions if undos.is_half_done(action)}
        try:
            for entry in entries.values():
                wording = self.terms[entry.detector].wording
                if (action := half_done.get(entry.key)) is not None:
                    self.action(action, wording.left(action, why, self.clock()))
                elif entry.message:
                    self.entry(entry, wording.void(why, self.clock()))
                    self.ledger.void_shown(entry, entry.place)
        except SlackError as failed:
            return [f"a warning's message does not say that it is void: {failed}"]
        return ()

    def _changes(self, sweep: Sweep, recorded: RecordedFindings) -> Iterator[tuple[Entry, Status, bool]]:
        """Yield entries whose status changed, with the status and whether the warning is void."""
        now = self.clock()
        holds = cache(lambda: self.holds.all(str(sweep.account), sweep.region))
        wording = self.terms[sweep.detector].wording

        def ended(entry: Entry, why: str) -> Status:
            hold = longest_hold(holds().get(entry.key, ()), now)
            return wording.stays(why, now) if hold is None else wording.held(hold)

        for entry, why in recorded.closed:
            yield entry, ended(entry, why), True
        for result in sweep.results:
            known = recorded.entries.get(result.target.key)
            if known is None:
                continue
            if result.outcome is Outcome.CHANGED:
                yield known, ended(known, outcome_note(result)), True
            elif (status := self._status(result, known, now)) is not None:
                yield known, status, result.outcome is Outcome.ADVISED

    def _status(self, result: Result, entry: Entry, now: datetime) -> Status | None:
        """Return the status of a warned finding that was not acted on; None if it is as before."""
        wording = self.terms[entry.detector].wording
        match result.outcome:
            case Outcome.ADVISED:
                return wording.void(bare_reason(result), now)
            case Outcome.FAILED:
                return wording.failed(bare_reason(result), now)
            case Outcome.WAITING if entry.due is not None and entry.due <= now:
                scheduled = isinstance(result.verdict, Finding) and result.verdict.schedule is not None
                return wording.waiting(entry.due, outcome_note(result), scheduled=scheduled)
            case _:
                return None

    # --- one message --------------------------------------------------------------------------

    def entry(self, entry: Entry, status: Status) -> None:
        """Show *status* in *entry*'s messages. Raises SlackError."""
        self._entry(entry, entry.messages, status)

    def _entry(self, entry: Entry, posted: Sequence[MessageRef], status: Status) -> None:
        subject = ButtonSubject(
            detector=entry.detector, account=entry.account, region=entry.region, finding=entry.id
        )
        self._change(subject, entry.name, entry.said, posted, status)

    def action(self, action: Action, status: Status | None = None) -> None:
        """Show *status*, or the stage of *action*, in its messages, and record that. Raises SlackError."""
        self._say(action, status or self._status_of(action))
        self.actions.message_updated(action)

    def asked_back(self, action: Action) -> None:
        """
        Show in *action*'s messages that its undo was asked for. Raises SlackError.

        Nothing is recorded: the function that hears a press may not write actions. The undo function does.
        """
        self._say(action, self._status_of(action))

    def _say(self, action: Action, status: Status) -> None:
        target = action.target
        subject = ButtonSubject(
            detector=action.detector, account=target.account, region=target.region, finding=action.id
        )
        known = self.ledger.find(action.detector, target.account, target.region, action.id)
        body = known.said if known is not None else ""
        self._change(subject, target.name, body, action.messages, status)

    def _status_of(self, action: Action) -> Status:
        wording, now = self.terms[action.detector].wording, self.clock()
        match action.stage:
            case Stage.ACTED:
                until = action.began + self.within
                return wording.acted(action, until if now < until else None)
            case Stage.UNDONE:
                return wording.undone(action, None if action.undone is None else action.undone + UNDO_SNOOZE)
            case Stage.ACTING:
                return wording.going(action)
            case Stage.UNDOING:
                going = wording.undoing(action, action.undone_by, action.asked_at or now)
                return wording.undo_failed(action, action.error, now) if action.broke else going
            case Stage.WITHDRAWN:
                return wording.stays(action.error, now)
            case _:
                return wording.failed(action.error, now, action=action)

    def _change(
        self, subject: ButtonSubject, name: str, body: str, posted: Sequence[MessageRef], status: Status
    ) -> None:
        """
        Change every message about one finding, except where Slack never allows it.

        A direct message that Slack refuses to change is left as well: its reader may have left since.
        """
        message = warning_message(
            subject, name, body or code_span(name), status, self.terms[subject.detector]
        )
        for ref in posted:
            try:
                self._sender.change(message, ref, deadline=self.deadline)
            except SlackRefusedError:
                if ref is posted[0]:
                    raise


def bare_reason(result: Result) -> str:
    """Return the reason for *result*'s outcome, without naming the outcome."""
    return "" if result.cause is None else cause_clause(result.cause)


def _refs(place: str) -> list[MessageRef]:
    """Return the messages that `WarningMessages.place` names."""
    parts = place.split()
    return list(map(MessageRef, parts[::2], parts[1::2]))
