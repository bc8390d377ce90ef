"""Warns in Slack about what will be acted on: the `Warn` of `ml_janitor.acting.warning`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from ml_janitor.report.slack import owners
from ml_janitor.report.warnings import WarningTerms, body, due_standing, head, listed, subject_of, warning
from ml_janitor.slack.bot import SlackRefusedError
from ml_janitor.slack.retries import SlackError
from ml_janitor.slack.sending import NOWHERE, Place

if TYPE_CHECKING:
    from ml_janitor.acting.warning import Delivered
    from ml_janitor.core.model import Result, Sweep
    from ml_janitor.report.mrkdwn import Message
    from ml_janitor.slack.sending import Sender


@dataclass(frozen=True)
class Alerts:
    """
    Posts warnings until *deadline*, in the seconds of the sender's clock.

    *connect* makes the sender once there is something to post. *terms* are by detector.
    """

    connect: Callable[[], Sender]
    deadline: float
    terms: Mapping[str, WarningTerms]

    @cached_property
    def _sender(self) -> Sender:
        return self.connect()

    def __call__(
        self, sweep: Sweep, warnings: Sequence[Result], *, now: datetime, delivered: Delivered
    ) -> Sequence[str]:
        """
        Warn about each of *warnings*: a message of its own, below a head if there are several.

        A webhook can do neither: it gets as few messages as hold them all. What Slack does not take
        is a problem, and where the next message would fare no better, the rest is not tried.
        """
        terms = self.terms[sweep.detector]
        try:
            if not self._sender.interactive:
                return self._listed(warnings, terms, now, delivered)
            place = self._headed(warnings, terms)
        except SlackError as failed:
            return [_unsent(len(warnings), str(failed))]
        return self._threaded(warnings, terms, now, place, delivered)

    def _headed(self, warnings: Sequence[Result], terms: WarningTerms) -> Place:
        """The message that the warnings hang on: none for a single one."""
        if len(warnings) == 1:
            return NOWHERE
        return self._sender.post(head(warnings, terms), deadline=self.deadline)

    def _threaded(
        self,
        warnings: Sequence[Result],
        terms: WarningTerms,
        now: datetime,
        thread: Place,
        delivered: Delivered,
    ) -> Sequence[str]:
        people = self._sender.people(owners(warnings), deadline=self.deadline)
        problems: Counter[str] = Counter()
        for number, result in enumerate(warnings):
            said = body(result, terms, now=now, user=people.get(result.owner or ""))
            try:
                place = self._sender.post(_first(result, said, terms), deadline=self.deadline, thread=thread)
            except SlackError as failed:
                if isinstance(failed, SlackRefusedError) and failed.about_one_message:
                    problems[str(failed)] += 1
                    continue
                problems[str(failed)] += len(warnings) - number
                break
            delivered(result, place.channel, place.ts, said)
        return [_unsent(times, why) for why, times in problems.items()]

    def _listed(
        self, warnings: Sequence[Result], terms: WarningTerms, now: datetime, delivered: Delivered
    ) -> Sequence[str]:
        without = WarningTerms(wording=terms.wording, lost=terms.lost, keep_tag=terms.keep_tag)
        told = 0
        for message, results in listed(warnings, without, now=now):
            try:
                self._sender.post(message, deadline=self.deadline)
            except SlackError as failed:
                return [_unsent(len(warnings) - told, str(failed))]
            for result in results:
                delivered(result, *NOWHERE)
            told += len(results)
        return ()


def _first(result: Result, said: str, terms: WarningTerms) -> Message:
    """The warning as it is sent."""
    return warning(subject_of(result), result.target.name, said, due_standing(result, terms), terms)


def _unsent(number: int, why: str) -> str:
    return f"{number} warning{' was' if number == 1 else 's were'} not sent, so nothing is due: {why}"
