"""What sending to Slack means, by whichever way: posts, where they stand, and the time there is."""

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
    """Seconds that pass: *clock* tells them and *sleep* spends them. Both come from the edge."""

    clock: Callable[[], float]
    sleep: Callable[[float], None]

    def until(self, deadline: float) -> TimeLeft:
        """The time_left there is until *deadline*."""
        return TimeLeft(deadline=deadline, clock=self.clock, sleep=self.sleep)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """A post whose message Slack took. *problems* are what else of it did not arrive, one line each."""

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
        self, post: Post, report: bytes = b"", *, deadline: float, taken: Callable[[], None] = nothing
    ) -> Delivered:
        """
        Send *post* with *report* attached. Raises SlackError if the message was not taken.

        *taken* is called as soon as it was, before its thread follows: the sooner that is
        remembered, the less likely is a second message from a run that is killed.
        """

    def post(self, message: Message, *, deadline: float, where: MessageRef = NO_MESSAGE) -> MessageRef:
        """
        Post one message to the channel of *where*, in the thread of its message, if there is one.

        The answer is where it stands now. Raises SlackError.
        """

    def change(self, message: Message, posted: MessageRef, *, deadline: float) -> bool:
        """Put *message* in place of the one *posted*; False if that will never do. Raises SlackError."""

    def open_direct(self, user: str, *, deadline: float) -> MessageRef:
        """Where direct messages to *user* are posted. Raises SlackError."""

    def early(self, deadline: float) -> float:
        """When what the channel can do without ends, such as looking people up: the channel comes first."""
