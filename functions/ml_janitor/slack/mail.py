"""Mail through an SNS topic: messages as plain text, and whether somebody confirmed to get them. Law 5."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from ml_janitor.aws.calls import error_text
from ml_janitor.core.text import quote_shell, shorten_list, unescape_mrkdwn
from ml_janitor.ledger.findings import NO_MESSAGE, MessageRef
from ml_janitor.slack.client import Sender, SendError, do_nothing

if TYPE_CHECKING:
    from ml_janitor.report.mrkdwn import Block, Message, Post

LONGEST_SUBJECT = 99
"""Characters of a subject: ASCII, without line ends, and fewer than 100 (API reference of Publish)."""

LARGEST_MAIL = 250_000
"""Bytes of a mail; SNS takes 256 KB."""

CUT_MAIL = "\n\nThe rest does not fit into a mail."

LAST_LINE = (
    "\n\njanitor findings lists findings and actions with their ids; janitor undo ID takes an action back.\n"
)

CONFIRMED_ARN = "arn:"
"""The start of a confirmed subscription's ARN; others are PendingConfirmation or Deleted."""

ADDRESSES_SHOWN = 3
"""Addresses that a remedy names."""

PENDING_ARN = "PendingConfirmation"
"""What SNS says in place of the ARN of a subscription that waits for its confirmation."""

CONFIRMATION_SUBJECT = "AWS Notification - Subscription Confirmation"
"""The subject of the mail with which AWS asks an address to confirm (SNS, "Creating a subscription")."""

_LAST_COMMAND = re.compile(r" ?`(janitor [^`]+)`\.$", re.MULTILINE)
"""A command that ends a line: a mail shows it on a line of its own, to copy."""


@dataclass(frozen=True)
class TopicMail(Sender):
    """A sender of mails to the SNS topic *topic*. *connect* returns its client."""

    topic: str
    connect: Callable[[], Any]

    def deliver(
        self,
        post: Post,
        report: bytes = b"",
        *,
        deadline: float,
        taken: Callable[[], None] = do_nothing,
        channel: str = "",
    ) -> tuple[str, ...]:
        """Send all of *post*, each thing once, as one mail, whoever is subscribed. Raises SendError."""
        del report, deadline, channel
        self._publish(*((post.whole,) if post.whole else (post.main, *post.replies)))
        taken()
        return ()

    def post(self, message: Message, *, deadline: float, where: MessageRef = NO_MESSAGE) -> MessageRef:
        """
        Send a warning, which then counts as delivered. Raises SendError.

        It is not sent unless the topic has a confirmed subscription of the protocol email at this moment:
        AWS drops the mail of one that waits for its confirmation.
        """
        del deadline, where
        waiting = self._unconfirmed()
        if waiting is not None:
            raise SendError(
                f"nobody has confirmed a mail subscription of {self.topic}: "
                f"{confirm_remedy(self.topic, waiting)}"
            )
        self._publish(message)
        return NO_MESSAGE

    def _unconfirmed(self) -> list[str] | None:
        """Return None if a person confirmed to get the topic's mails, else the addresses that wait for it."""
        try:
            pages = self.connect().get_paginator("list_subscriptions_by_topic").paginate(TopicArn=self.topic)
            every = [subscription for page in pages for subscription in page["Subscriptions"]]
            if any(
                subscription["Protocol"] == "email"
                and subscription["SubscriptionArn"].startswith(CONFIRMED_ARN)
                for subscription in every
            ):
                return None
            return waiting_addresses(every)
        except Exception as error:
            raise SendError(f"who gets the mails of {self.topic} is unknown: {error_text(error)}") from error

    def _publish(self, *messages: Message) -> None:
        first, *replies = messages
        parts = [*mail_paragraphs(first)]
        for reply in replies:
            parts += [f"{reply.text}:", *mail_paragraphs(reply)]
        try:
            self.connect().publish(
                TopicArn=self.topic, Subject=mail_subject(first), Message=_cut("\n\n".join(parts)) + LAST_LINE
            )
        except Exception as error:
            raise SendError(f"SNS did not take the mail to {self.topic}: {error_text(error)}") from error


def waiting_addresses(subscriptions: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the mail addresses among *subscriptions* that AWS asked to confirm, and that did not yet."""
    return [
        subscription["Endpoint"]
        for subscription in subscriptions
        if subscription["Protocol"] == "email" and subscription["SubscriptionArn"] == PENDING_ARN
        if subscription.get("Endpoint")
    ]


def confirm_remedy(topic: str, waiting: Sequence[str]) -> str:
    """
    Say how somebody comes to get the mails of *topic*; AWS asked the addresses *waiting*, without an answer.

    AWS drops a subscription that nobody confirms within 48 hours ("What's new" of 2023-05-10), so the command
    that subscribes again stands beside it.
    """
    subscribe = f"aws sns subscribe --topic-arn {quote_shell(topic)} --protocol email --notification-endpoint"
    if not waiting:
        return f"{subscribe} YOU@EXAMPLE.COM"
    again = f"{subscribe} {quote_shell(waiting[0])} sends it again"
    return (
        f'open the mail "{CONFIRMATION_SUBJECT}" at {shorten_list(waiting, ADDRESSES_SHOWN)} and follow '
        f"Confirm subscription; {again}"
    )


def mail_subject(message: Message) -> str:
    """Return the headline of *message* as a subject that SNS takes."""
    title = next(mail_paragraphs(message), message.text)
    plain = f"ML Janitor: {title}".encode("ascii", "replace").decode()
    return shorten(plain, LONGEST_SUBJECT, placeholder=" ...")


def mail_paragraphs(message: Message) -> Iterator[str]:
    """Yield the paragraphs of *message* as plain text, without its buttons."""
    for block in message.blocks:
        yield from map(plain_text, _texts(block))


def plain_text(mrkdwn: str) -> str:
    """
    Return *mrkdwn* that the janitor wrote, as plain text: code spans stay, bold and escapes go.

    Text from AWS never contains a star outside a code span (`ml_janitor.report.mrkdwn.prose`).
    """
    parts = _LAST_COMMAND.sub(r":\n\n    `\1`\n", mrkdwn).split("`")
    parts[::2] = [part.replace("*", "") for part in parts[::2]]
    return unescape_mrkdwn("".join(parts)).strip("\n")


def _texts(block: Block) -> Iterator[str]:
    if isinstance(text := block.get("text"), dict):
        yield str(text["text"])
    yield from (str(element["text"]) for element in block.get("elements", ()) if element["type"] == "mrkdwn")


def _cut(body: str) -> str:
    short = body.encode()[:LARGEST_MAIL].decode(errors="ignore")
    return body if short == body else short + CUT_MAIL
