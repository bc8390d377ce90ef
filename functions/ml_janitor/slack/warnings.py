"""Warnings in Slack before an action: the `Warn` of `ml_janitor.acting.warning`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from ml_janitor.config.routes import NO_ROUTES, Routes
from ml_janitor.ledger.messages import NO_MESSAGE, MessageRef
from ml_janitor.report.finding_words import NO_OWNER
from ml_janitor.report.warnings import (
    WarningTerms,
    button_subject,
    due_status,
    warning_body,
    warning_message,
    warnings_head,
    webhook_warnings,
)
from ml_janitor.slack.bot import SlackRefusedError
from ml_janitor.slack.retries import SlackError

if TYPE_CHECKING:
    from ml_janitor.acting.warning import WarningDeliveries
    from ml_janitor.core.results import Result, Sweep
    from ml_janitor.report.mrkdwn import Message
    from ml_janitor.slack.sender import Sender

NO_SLACK_ACCOUNT = "no Slack account was found for its owner"
NOT_SENT_YET = "not sent yet"
WEBHOOK_SENDS_NONE = "a webhook sends none"
"""Reasons why an owner has no direct message, unless Slack refused it and says why."""


class Contact(NamedTuple):
    """
    An owner in Slack: the id of their account, and where direct messages to them are posted.

    *unmessaged* is why no direct message can be posted, or empty.
    """

    user: str | None
    direct: MessageRef
    unmessaged: str


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
    channel hears of what.
    """

    connect: Callable[[], Sender]
    deadline: float
    terms: Mapping[str, WarningTerms]
    routes: Routes = NO_ROUTES

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
        try:
            if not self._sender.interactive:
                return self._listed(warnings, terms, now, deliveries)
            drafts = list(self._drafts(warnings, terms, now, deliveries))
        except SlackError as failed:
            return [_unsent(len(warnings), str(failed))]
        routed: dict[str, list[Draft]] = {}
        for draft in drafts:
            routed.setdefault(self.routes.channel(draft.result.target), []).append(draft)
        posted: dict[MessageRef, Draft] = {}
        problems: Counter[str] = Counter()
        broken: SlackError | None = None
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
        deadline, broken = self._sender.early(self.deadline), ""
        contacts = {"": Contact(None, NO_MESSAGE, NO_OWNER)}
        for owner in found:
            user, direct, unmessaged = people.get(owner), NO_MESSAGE, broken
            if user is None:
                unmessaged = NO_SLACK_ACCOUNT
            elif not broken:
                try:
                    direct = self._sender.open_direct(user, deadline=deadline)
                except SlackError as failed:
                    unmessaged = str(failed)
                    personal = isinstance(failed, SlackRefusedError) and failed.about_one_person
                    broken = "" if personal else unmessaged
            contacts[owner] = Contact(user, direct, unmessaged)
        return contacts

    def _posted(
        self,
        drafts: Sequence[Draft],
        terms: WarningTerms,
        channel: str,
        deliveries: WarningDeliveries,
        problems: Counter[str],
    ) -> tuple[Mapping[MessageRef, Draft], SlackError | None]:
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
            except SlackError as failed:
                problems[str(failed)] += len(drafts)
                return posted, _everywhere(failed)
        for number, draft in enumerate(drafts):
            why = draft.owner.unmessaged
            try:
                message = self._sender.post(_message(draft, terms, why), deadline=self.deadline, where=where)
            except SlackError as failed:
                if isinstance(failed, SlackRefusedError) and failed.about_one_message:
                    problems[str(failed)] += 1
                    continue
                problems[str(failed)] += len(drafts) - number
                return posted, _everywhere(failed)
            deliveries.delivered(draft.result, why or NOT_SENT_YET, message, draft.lasting)
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
            if not draft.owner.unmessaged:
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
            except SlackError as failed:
                for message, draft in todo.items():
                    late = draft._replace(result=deliveries.not_messaged(draft.result, str(failed)))
                    with suppress(SlackError):  # the message then shows an earlier date than the ledger has
                        self._sender.change(_message(late, terms, str(failed)), message, deadline=deadline)

    def _listed(
        self, warnings: Sequence[Result], terms: WarningTerms, now: datetime, deliveries: WarningDeliveries
    ) -> Sequence[str]:
        without = WarningTerms(wording=terms.wording, lost=terms.lost, keep_tag=terms.keep_tag)
        dated = [_dated(result, WEBHOOK_SENDS_NONE, deliveries) for result in warnings]
        sent = 0
        for message, results in webhook_warnings(dated, without, now=now):
            try:
                self._sender.post(message, deadline=self.deadline)
            except SlackError as failed:
                return [_unsent(len(dated) - sent, str(failed))]
            for result in results:
                deliveries.delivered(result, WEBHOOK_SENDS_NONE)
            sent += len(results)
        return ()


def _dated(result: Result, unmessaged: str, deliveries: WarningDeliveries) -> Result:
    """Return *result* with the due date that its warning shows."""
    return replace(result, due=deliveries.due(result, messaged=not unmessaged))


def _message(draft: Draft, terms: WarningTerms, unmessaged: str = "") -> Message:
    """Build the message that *draft* is sent as."""
    status = due_status(draft.result, terms, unmessaged)
    return warning_message(
        button_subject(draft.result), draft.result.target.name, draft.lasting, status, terms
    )


def _everywhere(failed: SlackError) -> SlackError | None:
    """Return *failed* if every channel would meet it: Slack refused nothing, it is out of reach."""
    return None if isinstance(failed, SlackRefusedError) else failed


def _unsent(number: int, why: str) -> str:
    return f"{number} warning{' was' if number == 1 else 's were'} not sent, so nothing is due: {why}"
