"""Warnings in Slack before an action, and updates of their messages with the outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache, cached_property
from typing import TYPE_CHECKING, NamedTuple

from ml_janitor.acting import undoing
from ml_janitor.acting.undoing import UNDO_SNOOZE
from ml_janitor.config.sections import NO_ROUTES, Routes
from ml_janitor.core.model import Finding
from ml_janitor.core.results import UNVERIFIED_RECORD_CODES, Cause, CauseCode, Outcome, make_cause
from ml_janitor.engine.policy import longest_hold
from ml_janitor.ledger.actions import Action, Stage
from ml_janitor.ledger.findings import NO_MESSAGE, MessageRef
from ml_janitor.report.causes import cause_clause, cause_text, outcome_note
from ml_janitor.report.mrkdwn import Post, code_span
from ml_janitor.report.warnings import (
    ButtonSubject,
    WarningTerms,
    button_subject,
    due_status,
    warning_body,
    warning_message,
    warnings_head,
    webhook_warnings,
)
from ml_janitor.slack.client import SendError, SlackRefusedError

if TYPE_CHECKING:
    from ml_janitor.acting.warning import WarningDeliveries
    from ml_janitor.core.results import Result, Sweep
    from ml_janitor.ledger.actions import Actions
    from ml_janitor.ledger.findings import Entry, Ledger, RecordedFindings
    from ml_janitor.ledger.requests import Holds
    from ml_janitor.report.mrkdwn import Message
    from ml_janitor.report.warnings import Status
    from ml_janitor.slack.client import Sender

# --- sending --------------------------------------------------------------------------------------
# `WarningSender` is the `Warn` of `ml_janitor.acting.warning`.

_NO_OWNER = make_cause(CauseCode.NO_OWNER)
_NO_SLACK_ACCOUNT = make_cause(CauseCode.NO_SLACK_ACCOUNT)
_NOT_SENT_YET = make_cause(CauseCode.MESSAGE_NOT_SENT)
_WEBHOOK_SENDS_NONE = make_cause(CauseCode.WEBHOOK_SENDS_NONE)
"""Causes for which an owner has no direct message, unless Slack refused it."""


class Contact(NamedTuple):
    """
    An owner in Slack: the id of their account, and where direct messages to them are posted.

    *unmessaged* is why no direct message can be posted, or None.
    """

    user: str | None
    direct: MessageRef
    unmessaged: Cause | None


class Draft(NamedTuple):
    """A warning to send; *lasting* is the part of its message that later updates keep."""

    result: Result
    lasting: str
    owner: Contact


@dataclass(frozen=True)
class WarningSender:
    """
    A sender of warnings until *deadline*, in the seconds of the sender's clock.

    *connect* creates the sender once there is something to post. *terms* are by detector. *routes* say which
    channel hears of what. *copy* gets the delivered warnings too, which delivers nothing.
    """

    connect: Callable[[], Sender]
    deadline: float
    terms: Mapping[str, WarningTerms]
    routes: Routes = NO_ROUTES
    copy: Sender | None = None

    @cached_property
    def _sender(self) -> Sender:
        return self.connect()

    def __call__(
        self, sweep: Sweep, warnings: Sequence[Result], *, now: datetime, deliveries: WarningDeliveries
    ) -> Sequence[str]:
        """
        Post a message for each of *warnings*, in the thread of a summary if a channel gets several.

        The owners get the same messages directly, in a thread of their own. A webhook supports neither: it
        gets all warnings in as few messages as possible. Returns what Slack did not take in the channels; if
        the next message would fail too, the rest is not tried. A refused message goes to no other channel: a
        warning that the owner's channel did not see would start the grace without them.
        """
        terms = self.terms[sweep.detector]
        problems = self._sent(warnings, terms, now, deliveries)
        if self.copy is None:
            return problems
        delivered = [deliveries.warned[key] for r in warnings if (key := r.target.key) in deliveries.warned]
        try:
            for message, _ in webhook_warnings(delivered, _without_buttons(terms), now=now):
                self.copy.deliver(Post(main=message), deadline=self.deadline)
        except SendError as failed:
            return [*problems, f"the copy of the warnings was not sent: {failed}"]
        return problems

    def _sent(
        self, warnings: Sequence[Result], terms: WarningTerms, now: datetime, deliveries: WarningDeliveries
    ) -> Sequence[str]:
        try:
            if not self._sender.interactive:
                return self._listed(warnings, terms, now, deliveries)
            drafts = list(self._drafts(warnings, terms, now, deliveries))
        except SendError as failed:
            return [_unsent(len(warnings), str(failed))]
        routed: dict[str, list[Draft]] = {}
        for draft in drafts:
            routed.setdefault(self.routes.channel(draft.result.target), []).append(draft)
        posted: dict[MessageRef, Draft] = {}
        problems: Counter[str] = Counter()
        broken: SendError | None = None
        for channel, of_channel in routed.items():
            if broken is None:
                taken, broken = self._posted(of_channel, terms, channel, deliveries, problems)
                posted |= taken
            else:
                problems[str(broken)] += len(of_channel)
        self._message_owners(posted, terms, deliveries)
        return [_unsent(times, why) for why, times in problems.items()]

    def _drafts(
        self, warnings: Sequence[Result], terms: WarningTerms, now: datetime, deliveries: WarningDeliveries
    ) -> Iterator[Draft]:
        contacts = self._contacts(warnings)
        for result in warnings:
            owner = contacts[result.owner or ""]
            lasting = warning_body(result, terms, now=now, user=owner.user)
            yield Draft(_dated(result, owner.unmessaged, deliveries), lasting, owner)

    def _contacts(self, warnings: Sequence[Result]) -> Mapping[str, Contact]:
        """
        Return the owners of *warnings* in Slack, by name, with an empty contact for no owner. Never raise an
        error.
        """
        found = dict.fromkeys(result.owner for result in warnings if result.owner)
        people = self._sender.people(found, deadline=self.deadline)
        deadline, broken = self._sender.early(self.deadline), None
        contacts = {"": Contact(None, NO_MESSAGE, _NO_OWNER)}
        for owner in found:
            user, direct, unmessaged = people.get(owner), NO_MESSAGE, broken
            if user is None:
                unmessaged = _NO_SLACK_ACCOUNT
            elif broken is None:
                try:
                    direct = self._sender.open_direct(user, deadline=deadline)
                except SendError as failed:
                    unmessaged = make_cause(CauseCode.MESSAGE_REFUSED, str(failed))
                    personal = isinstance(failed, SlackRefusedError) and failed.about_one_person
                    broken = None if personal else unmessaged
            contacts[owner] = Contact(user, direct, unmessaged)
        return contacts

    def _posted(
        self,
        drafts: Sequence[Draft],
        terms: WarningTerms,
        channel: str,
        deliveries: WarningDeliveries,
        problems: Counter[str],
    ) -> tuple[Mapping[MessageRef, Draft], SendError | None]:
        """
        Post to *channel*; return the warnings that it took, by message, and why other channels would fail
        too.

        *problems* counts the warnings that it did not take, by reason.
        """
        posted: dict[MessageRef, Draft] = {}
        where = MessageRef(channel)
        if len(drafts) > 1:
            above = warnings_head([draft.result for draft in drafts], terms)
            try:
                where = self._sender.post(above, deadline=self.deadline, where=where)
            except SendError as failed:
                problems[str(failed)] += len(drafts)
                return posted, _everywhere(failed)
        for number, draft in enumerate(drafts):
            why = draft.owner.unmessaged
            try:
                message = self._sender.post(_message(draft, terms, why), deadline=self.deadline, where=where)
            except SendError as failed:
                if isinstance(failed, SlackRefusedError) and failed.about_one_message:
                    problems[str(failed)] += 1
                    continue
                problems[str(failed)] += len(drafts) - number
                return posted, _everywhere(failed)
            deliveries.delivered(draft.result, why or _NOT_SENT_YET, message, draft.lasting)
            posted[message] = draft
        return posted, None

    def _message_owners(
        self, posted: Mapping[MessageRef, Draft], terms: WarningTerms, deliveries: WarningDeliveries
    ) -> None:
        """
        Send each owner their part of the warnings *posted* in the channel.

        Where Slack does not take one, the finding's grace is doubled, and the channel's message says so.
        """
        deadline = self._sender.early(self.deadline)
        by_owner: dict[MessageRef, dict[MessageRef, Draft]] = {}
        for message, draft in posted.items():
            if draft.owner.unmessaged is None:
                by_owner.setdefault(draft.owner.direct, {})[message] = draft
        for direct, drafts in by_owner.items():
            where, todo = direct, dict(drafts)
            try:
                if len(drafts) > 1:
                    above = warnings_head([draft.result for draft in drafts.values()], terms, owned=True)
                    where = self._sender.post(above, deadline=deadline, where=direct)
                for message, draft in drafts.items():
                    copy = self._sender.post(_message(draft, terms), deadline=deadline, where=where)
                    deliveries.messaged(draft.result, copy)
                    del todo[message]
            except SendError as failed:
                why = make_cause(CauseCode.MESSAGE_REFUSED, str(failed))
                for message, draft in todo.items():
                    late = draft._replace(result=deliveries.not_messaged(draft.result, why))
                    with suppress(SendError):  # the message then shows an earlier date than the ledger has
                        self._sender.change(_message(late, terms, why), message, deadline=deadline)

    def _listed(
        self, warnings: Sequence[Result], terms: WarningTerms, now: datetime, deliveries: WarningDeliveries
    ) -> Sequence[str]:
        without = _without_buttons(terms)
        dated = [_dated(result, _WEBHOOK_SENDS_NONE, deliveries) for result in warnings]
        sent = 0
        for message, results in webhook_warnings(dated, without, now=now):
            try:
                self._sender.post(message, deadline=self.deadline)
            except SendError as failed:
                return [_unsent(len(dated) - sent, str(failed))]
            for result in results:
                deliveries.delivered(result, _WEBHOOK_SENDS_NONE)
            sent += len(results)
        return ()


def _without_buttons(terms: WarningTerms) -> WarningTerms:
    return WarningTerms(wording=terms.wording, lost=terms.lost, keep_tag=terms.keep_tag)


def _dated(result: Result, unmessaged: Cause | None, deliveries: WarningDeliveries) -> Result:
    """Return *result* with the due date that its warning shows."""
    return replace(result, due=deliveries.due(result, messaged=unmessaged is None))


def _message(draft: Draft, terms: WarningTerms, unmessaged: Cause | None = None) -> Message:
    """Build the message that *draft* is sent as."""
    status = due_status(draft.result, terms, unmessaged)
    return warning_message(
        button_subject(draft.result), draft.result.target.name, draft.lasting, status, terms
    )


def _everywhere(failed: SendError) -> SendError | None:
    """Return *failed* if every channel would meet it: Slack refused nothing, it is out of reach."""
    return None if isinstance(failed, SlackRefusedError) else failed


def _unsent(number: int, why: str) -> str:
    return f"{number} warning{' was' if number == 1 else 's were'} not sent, so nothing is due: {why}"


# --- updates --------------------------------------------------------------------------------------
# `MessageUpdates` reads the ledger, and decides nothing.


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
        update; the first failure ends the updates, because the next one would fail too. A record that could
        not be verified is left to the next sweep, and returned too.
        """
        account = str(sweep.account)
        actions = self.actions.all(sweep.detector, account, sweep.region)
        problems = []
        try:
            for action in actions:
                # an act in progress, or one that a killed run left without a reason, has nothing to say yet
                unclear = action.stage is Stage.ACTING and not action.waits
                if action.message and action.told != action.mark and not unclear:
                    doubt = self.actions.doubt(action)
                    if doubt is not None and doubt.why is CauseCode.RECORD_UNREAD:
                        said = f"the message about {action.target.name} does not say what became of it"
                        problems.append(f"{said}: {cause_text(doubt)}")
                    else:
                        self.action(action)
            shown = {action.place for action in actions if action.stage is not Stage.WITHDRAWN}
            for entry in recorded.untold:
                if entry.untold not in shown:
                    wording = self.terms[entry.detector].wording
                    self._entry(entry, _refs(entry.untold), wording.over(cause_text(entry.untold_why)))
                self.ledger.void_shown(entry, entry.untold)
            for entry, status, void in self._changes(sweep, recorded):
                if entry.message and entry.place not in shown:
                    self.entry(entry, status)
                    if void:
                        self.ledger.void_shown(entry, entry.place)
        except SendError as failed:
            return [*problems, f"a warning's message does not say what became of it: {failed}"]
        return tuple(problems)

    def disarmed(self, entries: Mapping[str, Entry], cause: Cause) -> Sequence[str]:
        """Update the messages of disarmed detectors: *cause* voids warnings or leaves actions half done."""
        where = {(entry.detector, entry.account, entry.region) for entry in entries.values()}
        actions = [action for place in sorted(where) for action in self.actions.all(*place)]
        half_done = {action.target.key: action for action in actions if undoing.is_half_done(action)}
        why = cause_clause(cause)
        try:
            for entry in entries.values():
                wording = self.terms[entry.detector].wording
                if (action := half_done.get(entry.key)) is not None:
                    if self.actions.doubt(action) is not None:
                        wording = replace(wording, undoable=False)
                    self.action(action, wording.left(action, why, self.clock()))
                elif entry.message:
                    self.entry(entry, wording.void(why, self.clock()))
                    self.ledger.void_shown(entry, entry.place)
        except SendError as failed:
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

        for entry, cause in recorded.closed:
            yield entry, ended(entry, cause_clause(cause)), True
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
                return wording.void(cause_text(result.cause), now)
            case Outcome.FAILED:
                return wording.failed(cause_text(result.cause), now)
            case Outcome.WAITING if entry.due is not None and entry.due <= now:
                scheduled = isinstance(result.verdict, Finding) and result.verdict.schedule is not None
                return wording.waiting(entry.due, outcome_note(result), scheduled=scheduled)
            case _:
                return None

    # --- one message --------------------------------------------------------------------------

    def entry(self, entry: Entry, status: Status) -> None:
        """Show *status* in *entry*'s messages. Raises SendError."""
        self._entry(entry, entry.messages, status)

    def _entry(self, entry: Entry, posted: Sequence[MessageRef], status: Status) -> None:
        subject = ButtonSubject(
            detector=entry.detector, account=entry.account, region=entry.region, finding=entry.id
        )
        self._change(subject, entry.name, entry.said, posted, status)

    def action(self, action: Action, status: Status | None = None) -> None:
        """Show *status*, or the stage of *action*, in its messages, and record that. Raises SendError."""
        self._say(action, status or self._status_of(action, self.actions.doubt(action)))
        self.actions.message_updated(action)

    def asked_back(self, action: Action) -> None:
        """
        Show in *action*'s messages that its undo was asked for. Raises SendError.

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

    def _status_of(self, action: Action, doubt: Cause | None = None) -> Status:
        """Return the status of *action*. With a *doubt*, nothing of its record is offered or advised."""
        wording, now = self.terms[action.detector].wording, self.clock()
        if doubt is not None:
            wording = replace(wording, undoable=False)
        if doubt is not None and doubt.why in UNVERIFIED_RECORD_CODES:
            stage = Stage.FAILED if action.stage is Stage.UNDONE else action.stage
            action = replace(action, broke=True, error=doubt, stage=stage)
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
                return wording.undo_failed(action, cause_text(action.error), now) if action.broke else going
            case Stage.WITHDRAWN:
                return wording.stays(cause_text(action.error), now)
            case _:
                return wording.failed(cause_text(action.error), now, action=action)

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


def _refs(place: str) -> list[MessageRef]:
    """Return the messages that `WarningMessages.place` names."""
    parts = place.split()
    return list(map(MessageRef, parts[::2], parts[1::2]))
