"""Webhooks of Slack: an incoming one for messages, and the response URL of a press."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ml_janitor.ledger.messages import NO_MESSAGE, MessageRef
from ml_janitor.report.mrkdwn import append_block, context_block
from ml_janitor.slack.bot import QUIET_LOGGER, REQUEST_SECONDS
from ml_janitor.slack.refusals import refusal_text
from ml_janitor.slack.retries import CONNECTION_ERRORS, SlackError
from ml_janitor.slack.sender import SLACK_API, PostDelivery, SenderClock, do_nothing

if TYPE_CHECKING:
    from ml_janitor.report.mrkdwn import Message, Post

NO_PICTURE_TEXT = "An incoming webhook takes no picture; the app's bot does."

HOOKS_ORIGIN = ("https", "hooks.slack.com")
"""
The scheme and host of Slack's response URLs: https://docs.slack.dev/interactivity/handling-user-interaction.
"""

UNFINISHED_REPLY = (
    "The janitor could not do that. It tries once more; if nothing changes here in a few minutes, ask the "
    "people who run it: its log says why."
)
"""The reply to a press whose work failed."""


class Webhook:
    """
    An incoming webhook: the message alone, without a thread, mentions and files.

    A message may arrive twice, as with `Slack`.
    """

    def __init__(self, url: str, time: SenderClock) -> None:
        self._url = url
        self._time = time

    def __repr__(self) -> str:
        return "Webhook()"

    @property
    def interactive(self) -> bool:
        """Return False: a webhook only posts."""
        return False

    def people(self, owners: Iterable[str], *, deadline: float) -> Mapping[str, str]:
        """Return nobody: a webhook cannot look up people."""
        del owners, deadline
        return {}

    def deliver(
        self,
        post: Post,
        report: bytes = b"",
        *,
        deadline: float,
        taken: Callable[[], None] = do_nothing,
        channel: str = "",
    ) -> PostDelivery:
        """Post the message. Raises SlackError if it was not taken."""
        del report, channel
        main = post.main if post.picture is None else append_block(post.main, context_block(NO_PICTURE_TEXT))
        self.post(main, deadline=deadline)
        taken()
        return PostDelivery()

    def change(self, message: Message, posted: MessageRef, *, deadline: float) -> bool:
        """Return False: a webhook cannot change a message."""
        del message, posted, deadline
        return False

    def open_direct(self, user: str, *, deadline: float) -> MessageRef:
        """Raise SlackError: a webhook posts to its channel only."""
        del user, deadline
        raise SlackError("a webhook sends no direct messages")

    def early(self, deadline: float) -> float:
        """Return the *deadline* itself: a webhook only posts."""
        return deadline

    def post(self, message: Message, *, deadline: float, where: MessageRef = NO_MESSAGE) -> MessageRef:
        """Post one message; Slack does not say where. Raises SlackError."""
        from slack_sdk import WebhookClient

        del where
        time_left = self._time.until(deadline)
        client = WebhookClient(
            self._url, timeout=REQUEST_SECONDS, retry_handlers=time_left.retries(), logger=QUIET_LOGGER
        )
        try:
            answer = client.send(text=message.text, blocks=list(message.blocks))
        except CONNECTION_ERRORS as broken:
            raise SlackError(time_left.unreachable(type(broken).__name__)) from None
        if answer.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            raise SlackError(time_left.rate_limited())
        if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise SlackError(time_left.unreachable(f"HTTP {answer.status_code}"))
        if answer.status_code != HTTPStatus.OK:
            raise SlackError(refusal_text(answer.body[:200], "the post to the incoming webhook"))
        return NO_MESSAGE


def ephemeral_replier(
    time: SenderClock, *, deadline: float, url: str = SLACK_API
) -> Callable[[str, str], bool]:
    """
    Create a function that posts a text to a response URL and returns whether it arrived.

    Only the person who pressed sees the reply. It calls only Slack, whatever URL a press contains. *url* is
    that of the Web API, which differs in a sandbox.
    """
    slack = HOOKS_ORIGIN if url == SLACK_API else urlsplit(url)[:2]

    def reply(response_url: str, text: str) -> bool:
        from slack_sdk import WebhookClient

        if not _is_plain(response_url) or urlsplit(response_url)[:2] != slack:
            return False
        retries = time.until(deadline).retries()
        client = WebhookClient(
            response_url, timeout=REQUEST_SECONDS, retry_handlers=retries, logger=QUIET_LOGGER
        )
        try:
            answer = client.send(text=text, response_type="ephemeral", replace_original=False)
        except CONNECTION_ERRORS:
            return False
        return answer.status_code == HTTPStatus.OK

    return reply


def _is_plain(url: str) -> bool:
    """Return whether all parsers of *url* see the same host: no user, backslash, bracket or odd character."""
    return url.isascii() and url.isprintable() and not set(" \\@[]") & set(url)
