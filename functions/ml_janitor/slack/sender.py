"""The interface of senders to Slack: the bot and the webhook."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ml_janitor.ledger.messages import NO_MESSAGE
from ml_janitor.slack.retries import TimeLeft

if TYPE_CHECKING:
    from ml_janitor.ledger.messages import MessageRef
    from ml_janitor.report.mrkdwn import Message, Post

SLACK_API = "https://slack.com/api/"


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderClock:
    """A monotonic *clock* in seconds and a *sleep*; both come from the edge."""

    clock: Callable[[], float]
    sleep: Callable[[float], None]

    def until(self, deadline: float) -> TimeLeft:
        """Return the time left until *deadline*."""
        return TimeLeft(deadline=deadline, clock=self.clock, sleep=self.sleep)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostDelivery:
    """A post whose message Slack took; *problems* are its parts that did not arrive, one line each."""

    channel: str = ""
    ts: str = ""
    problems: tuple[str, ...] = ()


def do_nothing() -> None:
    """Do nothing: the default callback."""


class Sender(Protocol):
    """A sender of posts. Deadlines are in the seconds of its clock."""

    @property
    def interactive(self) -> bool:
        """Return whether there are threads, mentions and buttons, and messages that can be changed."""

    def people(self, owners: Iterable[str], *, deadline: float) -> Mapping[str, str]:
        """Return Slack's user ids of those *owners* who can be found; never raise an error."""

    def deliver(
        self,
        post: Post,
        report: bytes = b"",
        *,
        deadline: float,
        taken: Callable[[], None] = do_nothing,
        channel: str = "",
    ) -> PostDelivery:
        """
        Send *post* with *report* attached. Raises SlackError if the message was not taken.

        *channel* is another than the sender's own, which a webhook does not have. *taken* is called once
        Slack took the message, before its thread is posted: the sooner that is recorded, the less likely is a
        second message after a killed run.
        """

    def post(self, message: Message, *, deadline: float, where: MessageRef = NO_MESSAGE) -> MessageRef:
        """
        Post one message to the channel of *where*, in the thread of its message, if there is one.

        Returns where it was posted. Raises SlackError.
        """

    def change(self, message: Message, posted: MessageRef, *, deadline: float) -> bool:
        """Replace *posted* by *message*; False if Slack will never allow it. Raises SlackError."""

    def open_direct(self, user: str, *, deadline: float) -> MessageRef:
        """Return the channel of direct messages to *user*. Raises SlackError."""

    def early(self, deadline: float) -> float:
        """Return the deadline for optional work, such as looking up people; the rest is for the channel."""
