"""What is sent to a webhook and to a press's response URL, and what becomes of each answer."""

from types import SimpleNamespace
from typing import Any

import pytest

from ml_janitor.ledger.findings import NO_MESSAGE, MessageRef
from ml_janitor.report.mrkdwn import Message, Picture, Post, section_block
from ml_janitor.slack.client import (
    NO_PICTURE_TEXT,
    SLACK_API,
    SenderClock,
    SendError,
    Webhook,
    ephemeral_replier,
)
from tables import cases

TIME = SenderClock(clock=lambda: 0.0, sleep=lambda _: None)
HOOK = "https://hooks.slack.com/services/T1/B1/secret"
HELLO = Message(text="hello", blocks=(section_block("hello"),))


class Client:
    """slack_sdk's client of a webhook; *answer* is what Slack answers, or the error of a lost connection."""

    answer: Any
    sent: list[tuple[str, dict[str, Any]]]

    def __init__(self, url: str, **how: Any) -> None:
        self.url = url
        assert (how["timeout"], len(how["retry_handlers"])) == (10, 1)

    def send(self, **message: Any) -> Any:
        self.sent.append((self.url, message))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture(autouse=True)
def client(monkeypatch: pytest.MonkeyPatch) -> type[Client]:
    monkeypatch.setattr("slack_sdk.WebhookClient", Client)
    Client.answer, Client.sent = answered(200), []
    return Client


def answered(status: int, body: str = "ok") -> Any:
    return SimpleNamespace(status_code=status, body=body)


def test_a_webhook_posts_the_message_alone(client: type[Client]) -> None:
    hook, taken = Webhook(HOOK, TIME), list[str]()
    picture = Picture(name="p.png", png=b"png", words="a picture")

    assert hook.post(HELLO, deadline=9, where=MessageRef("C1", "1.0")) == NO_MESSAGE
    told = Post(main=HELLO, replies=(HELLO,))
    assert hook.deliver(told, deadline=9, taken=lambda: taken.append("taken")) == ()
    hook.deliver(Post(main=HELLO, replies=(), picture=picture), deadline=9)

    assert [sent["text"] for _, sent in client.sent] == ["hello"] * 3
    assert [NO_PICTURE_TEXT in str(sent["blocks"]) for _, sent in client.sent] == [False, False, True]
    assert ({url for url, _ in client.sent}, taken) == ({HOOK}, ["taken"])


def test_a_webhook_has_no_people_no_buttons_and_no_second_thoughts() -> None:
    hook = Webhook(HOOK, TIME)
    assert (hook.interactive, hook.people(["a@x"], deadline=9), hook.early(9)) == (False, {}, 9)
    assert hook.change(HELLO, NO_MESSAGE, deadline=9) is False
    assert HOOK not in repr(hook)
    with pytest.raises(SendError, match="no direct messages"):
        hook.open_direct("U1", deadline=9)


@cases(
    "answer, why",
    (answered(429), "Slack asks to wait"),
    (answered(500), r"could not be reached \(HTTP 500\)"),
    (answered(404, "no_service"), "refused the post to the incoming webhook: no_service; make a new"),
    (answered(302, "x" * 300), f": {'x' * 200}; retrying"),
    (TimeoutError(), r"could not be reached \(TimeoutError\)"),
)
def test_what_a_webhook_did_not_take_is_an_error(client: type[Client], answer: Any, why: str) -> None:
    client.answer = answer
    with pytest.raises(SendError, match=why):
        Webhook(HOOK, TIME).post(HELLO, deadline=9)


@cases("answer, arrived", (answered(200), True), (answered(404), False), (TimeoutError(), False))
def test_only_the_presser_sees_a_reply(client: type[Client], answer: Any, *, arrived: bool) -> None:
    client.answer = answer

    assert ephemeral_replier(TIME, deadline=9)(HOOK, "No.") is arrived

    how = {"text": "No.", "response_type": "ephemeral", "replace_original": False}
    assert client.sent == [(HOOK, how)]


@cases(
    "url",
    "",
    "http://hooks.slack.com/x",
    "http://169.254.169.254/latest/meta-data/",
    "https://hooks.slack.com.evil.example/x",
    "https://evil.example/hooks.slack.com/",
    "https://hooks.slack.com:444/x",
    "https://hooks.slack.com@evil.example/",
    "https://hooks.slack.com/x@evil.example",
    "https://hooks.slack.com/\\evil.example",
    "https://hooks.slack.com/a b",
    "https://hooks.slack.com/a\tb",
    "https://hooks.slack.com/\u00e9",
    "https://[evil",
    "file:///etc/passwd",
)
def test_a_reply_goes_to_slack_or_nowhere(client: type[Client], url: str) -> None:
    assert ephemeral_replier(TIME, deadline=9)(url, "No.") is False
    assert client.sent == []


def test_a_slack_elsewhere_has_its_response_urls_there(client: type[Client]) -> None:
    reply = ephemeral_replier(TIME, deadline=9, url="http://127.0.0.1:5000/slack/api/")

    assert [reply(url, "No.") for url in ("http://127.0.0.1:5000/x", HOOK, SLACK_API)] == [True, False, False]

    assert [url for url, _ in client.sent] == ["http://127.0.0.1:5000/x"]
