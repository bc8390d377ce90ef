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

API = "https://slack.com/api/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Time:
    """A monotonic *clock* in seconds and a *sleep*; both come from the edge."""

    clock: Callable[[], float]
    sleep: Callable[[float], None]

    def until(self, deadline: float) -> TimeLeft:
        """The time left until *deadline*."""
        return TimeLeft(deadline=deadline, clock=self.clock, sleep=self.sleep)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """A post whose message Slack took; *problems* are its parts that did not arrive, one line each."""

    channel: str = ""
    ts: str = ""
    problems: tuple[str, ...] = ()


def nothing() -> None:
    """Does nothing: the default callback."""


class Sender(Protocol):
    """Where posts go. Deadlines are in the seconds of the sender's clock."""

    @property
    def interactive(self) -> bool:
        """Whether there are threads, mentions and buttons, and messages that can be changed."""

    def people(self, owners: Iterable[str], *, deadline: float) -> Mapping[str, str]:
        """Slack's user ids of those *owners* who can be found; never an error."""

    def deliver(
        self,
        post: Post,
        report: bytes = b"",
        *,
        deadline: float,
        taken: Callable[[], None] = nothing,
        channel: str = "",
    ) -> Delivered:
        """
        Send *post* with *report* attached. Raises SlackError if the message was not taken.

        *channel* is another than the sender's own, which a webhook does not have. *taken* is called as soon
        as it was, before its thread is posted: the sooner that is recorded, the less likely is a second
        message after a killed run.
        """

    def post(self, message: Message, *, deadline: float, where: MessageRef = NO_MESSAGE) -> MessageRef:
        """
        Post one message to the channel of *where*, in the thread of its message, if there is one.

        Returns where it was posted. Raises SlackError.
        """

    def change(self, message: Message, posted: MessageRef, *, deadline: float) -> bool:
        """Replace the one *posted* by *message*; False if Slack will never allow it. Raises SlackError."""

    def open_direct(self, user: str, *, deadline: float) -> MessageRef:
        """The channel of direct messages to *user*. Raises SlackError."""

    def early(self, deadline: float) -> float:
        """The deadline for what is optional, such as looking up people; the rest is for the channel."""
