"""Mails: a message of Slack as plain text, a subject that SNS takes, and who confirmed to get it. Law 5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from ml_janitor.ledger.findings import NO_MESSAGE
from ml_janitor.report.mrkdwn import (
    Message,
    Post,
    button_row,
    code_span,
    context_block,
    header_block,
    make_button,
    prose,
    section_block,
)
from ml_janitor.slack.client import SendError
from ml_janitor.slack.mail import LARGEST_MAIL, LAST_LINE, TopicMail, mail_subject
from tables import cases

TOPIC = "arn:aws:sns:eu-west-1:123456789012:ml-costs"


class Topic:
    """SNS with *pages* of subscriptions, each a protocol and the state of its ARN; *broken* is its error."""

    def __init__(self, *pages: Sequence[tuple[str, str]], broken: str = "") -> None:
        self.pages, self.broken, self.mails = pages, broken, list[Mapping[str, str]]()

    def get_paginator(self, operation: str) -> Topic:
        if self.broken == operation:
            raise OSError("denied")
        return self

    def paginate(self, **asked: str) -> list[dict[str, Any]]:
        assert asked == {"TopicArn": TOPIC}
        return [
            {
                "Subscriptions": [
                    {"Protocol": protocol, "SubscriptionArn": arn, "Endpoint": "ann@example.com"}
                    for protocol, arn in page
                ]
            }
            for page in self.pages
        ]

    def publish(self, **mail: str) -> None:
        if self.broken == "publish":
            raise OSError("denied")
        self.mails.append(mail)


def message(*texts: str, title: str = "2 idle endpoints: $12 a month") -> Message:
    return Message(text="t", blocks=(header_block(title), *map(section_block, texts)))


CONFIRMED, PENDING = f"{TOPIC}:1", "PendingConfirmation"


@cases(
    "pages, read",
    ((), False),
    (([],), False),
    (([("email", PENDING)],), False),
    (([("email", "Deleted")],), False),
    (([("sqs", CONFIRMED), ("https", CONFIRMED), ("email-json", CONFIRMED), ("sms", CONFIRMED)],), False),
    (([("email", PENDING), ("email", CONFIRMED)],), True),
    (([("sqs", CONFIRMED)], [("email", CONFIRMED)]), True),
)
def test_a_warning_needs_a_confirmed_address_at_that_moment(
    pages: Sequence[Sequence[tuple[str, str]]], *, read: bool
) -> None:
    topic = Topic(*pages)
    mail = TopicMail(TOPIC, lambda: topic)
    if read:
        assert mail.post(message("warned"), deadline=0) == NO_MESSAGE
    else:
        with pytest.raises(
            SendError, match=rf"aws sns subscribe --topic-arn {TOPIC} --protocol email"
        ) as told:
            mail.post(message("warned"), deadline=0)
        waits = 'open the mail "AWS Notification - Subscription Confirmation" at ann@example.com'
        assert (waits in str(told.value)) is any(("email", PENDING) in page for page in pages)
    assert len(topic.mails) == read
    taken = list[int]()
    assert mail.deliver(Post(main=message("digest")), deadline=0, taken=lambda: taken.append(1)) == ()
    assert (len(topic.mails), taken) == (read + 1, [1]), "the digest is for other subscribers too"


@pytest.mark.parametrize("broken", ["list_subscriptions_by_topic", "publish"])
def test_a_topic_that_fails_takes_nothing(broken: str) -> None:
    topic = Topic([("email", CONFIRMED)], broken=broken)
    with pytest.raises(SendError, match=f"{TOPIC}.*denied"):
        TopicMail(TOPIC, lambda: topic).post(message("warned"), deadline=0)
    taken = list[str]()
    if broken == "publish":
        with pytest.raises(SendError):
            TopicMail(TOPIC, lambda: topic).deliver(
                Post(main=message("x")), deadline=0, taken=lambda: taken.append("x")
            )
    assert (topic.mails, taken) == ([], [])


def test_a_mail_is_plain_text_with_a_command_to_copy() -> None:
    name = "a*b`c_<d>&e"
    topic = Topic()
    command = "janitor keep 'arn:x/a&b' --reason why"
    main = Message(
        text="t",
        blocks=(
            header_block("2 idle endpoints: $12 a month"),
            section_block(
                f"*Bold* {code_span(name)}: {prose('why *not* <x> & `y`')}\nTo keep it: tag it, or run "
                f"{code_span(command)}."
            ),
            button_row([make_button("Keep", "janitor:keep", "v")]),
            context_block(f"{code_span('janitor keep ARN')} keeps on."),
        ),
    )
    TopicMail(TOPIC, lambda: topic).deliver(
        Post(main=main, replies=(Message(text="Everything", blocks=(section_block("*All:*"),)),)), deadline=0
    )
    (mail,) = topic.mails
    assert (mail["TopicArn"], mail["Subject"]) == (TOPIC, "ML Janitor: 2 idle endpoints: $12 a month")
    assert mail["Message"] == (
        "2 idle endpoints: $12 a month\n\n"
        "Bold a*b'c_<d>&e: why \u2217not\u2217 <x> & 'y'\nTo keep it: tag it, or run:\n\n"
        f"    {command}\n\n"
        "janitor keep ARN keeps on.\n\n"
        "Everything:\n\nAll:" + LAST_LINE
    )


def test_a_mail_says_everything_once() -> None:
    """A thread repeats what the message folds; a mail has the whole message, or what the thread adds."""
    topic, whole = Topic(), message("*a*", "*b*")
    reply = Message(text="Everything", blocks=(section_block("*a*\n*b*"),))
    mail = TopicMail(TOPIC, lambda: topic)
    mail.deliver(Post(main=message("*a*"), replies=(reply,), whole=whole), deadline=0)
    mail.deliver(Post(main=message("*a*"), replies=(message("more"),)), deadline=0)
    first, second = (sent["Message"].removesuffix(LAST_LINE).split("\n\n")[1:] for sent in topic.mails)
    assert (first, second) == (["a", "b"], ["a", "t:", "2 idle endpoints: $12 a month", "more"])


@cases(
    "title, subject",
    ("short", "ML Janitor: short"),
    ("caf\u00e9\n\tCNY 12", "ML Janitor: caf? CNY 12"),
    ("word " * 40, "ML Janitor:" + " word" * 16 + " ..."),
    ("x" * 148, "ML Janitor: ..."),
)
def test_a_subject_is_a_short_line_of_ascii(title: str, subject: str) -> None:
    found = mail_subject(message(title=title))
    assert found == subject
    assert len(found) < 100


def test_a_mail_is_cut_below_the_limit_of_sns() -> None:
    topic = Topic()
    for letter in "x\u20ac":
        page = Message(text="p", blocks=tuple(section_block(letter * 2900) for _ in range(45)))
        TopicMail(TOPIC, lambda: topic).deliver(Post(main=page, replies=(page,) * 4), deadline=0)
    end = f"\n\nThe rest does not fit into a mail.{LAST_LINE}"
    assert [mail["Message"][-len(end) - 1 :] for mail in topic.mails] == [f"x{end}", f"\u20ac{end}"]
    sizes = [len(mail["Message"].encode()) - len(end) for mail in topic.mails]
    assert (sizes[0], LARGEST_MAIL - 3 < sizes[1] <= LARGEST_MAIL) == (LARGEST_MAIL, True)
    assert LARGEST_MAIL + len(end) < 256 * 1024
