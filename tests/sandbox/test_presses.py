"""Somebody presses a button: the request is Slack's to the byte, and its own verifier accepts it."""

import base64
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from slack_sdk import WebClient, WebhookClient
from slack_sdk.errors import SlackApiError
from slack_sdk.signature import Clock, SignatureVerifier

from ml_janitor_sandbox.control import Control, SandboxError
from ml_janitor_sandbox.function_url import event
from ml_janitor_sandbox.slack import CHANNEL, SIGNING_SECRET, Signed, SlackControl
from moto_corrections.clock import DEFAULT


class At(Clock):
    """The verifier's clock."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def now(self) -> float:
        return self._seconds


def accepted(signed: Signed, *, after: timedelta = timedelta(), secret: str = SIGNING_SECRET) -> bool:
    verifier = SignatureVerifier(secret, At((DEFAULT + after).timestamp()))
    return verifier.is_valid_request(signed.body, dict(signed.headers))


def payload(signed: Signed) -> Any:
    ((name, (text,)),) = parse_qs(signed.body.decode()).items()
    assert name == "payload"
    return json.loads(text)


def button(action: str, value: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "button",
        "text": {"type": "plain_text", "text": action.title()},
        "action_id": action,
        "value": value,
    } | more


CONFIRM = {
    "title": {"type": "plain_text", "text": "Sure?"},
    "text": {"type": "mrkdwn", "text": "It goes *now*."},
    "confirm": {"type": "plain_text", "text": "Do it"},
    "deny": {"type": "plain_text", "text": "No"},
    "style": "danger",
}
WARNING: list[dict[str, Any]] = [
    {"type": "section", "text": {"type": "mrkdwn", "text": "*idle* <https://x|endpoint>"}},
    {
        "type": "actions",
        "block_id": "finding-1",
        "elements": [button("keep", "f1"), button("now", "f1", style="danger", confirm=CONFIRM)],
    },
    {"type": "actions", "elements": [button("keep", "f2")]},
]


@pytest.fixture
def slack(slack: SlackControl) -> SlackControl:
    """With somebody in it, and somebody who is gone."""
    slack.add_user("U1", "maria.lopez@acme.example", name="Maria")
    slack.add_user("U2", "gone@acme.example", deleted=True)
    return slack


@pytest.fixture
def ts(client: WebClient) -> str:
    posted: str = client.chat_postMessage(channel=CHANNEL, text="idle", blocks=WARNING)["ts"]
    return posted


# --- the request ----------------------------------------------------------------------------------


def test_it_says_who_pressed_what_where(slack: SlackControl, ts: str) -> None:
    told = payload(slack.press(ts, "now", user="U1"))

    assert told["type"] == "block_actions"
    assert told["user"] == {
        "id": "U1",
        "username": "maria.lopez",
        "name": "maria.lopez",
        "team_id": told["team"]["id"],
    }
    assert told["channel"] == {"id": CHANNEL, "name": "ml-costs"}
    assert told["container"] == {
        "type": "message",
        "message_ts": ts,
        "channel_id": CHANNEL,
        "is_ephemeral": False,
    }
    (action,) = told["actions"]
    assert action == button("now", "f1", style="danger", confirm=CONFIRM) | {
        "block_id": "finding-1",
        "text": {"type": "plain_text", "text": "Now", "emoji": True},
        "action_ts": f"{DEFAULT.timestamp():.6f}",
    }
    assert told["message"]["ts"] == ts
    assert [block["type"] for block in told["message"]["blocks"]] == ["section", "actions", "actions"]
    assert all(block["block_id"] for block in told["message"]["blocks"])
    assert told["trigger_id"].count(".") == 2


def test_the_verifier_of_slack_accepts_it_for_five_minutes(slack: SlackControl, ts: str) -> None:
    signed = slack.press(ts, "now", user="U1")

    assert accepted(signed)
    assert accepted(signed, after=timedelta(minutes=5))
    assert not accepted(signed, after=timedelta(minutes=5, seconds=1))
    assert not accepted(replace(signed, body=signed.body.replace(b"U1", b"U9")))
    assert not accepted(replace(signed, body=signed.body + b"&"))
    assert not accepted(signed, secret="another")
    stamp = {"X-Slack-Request-Timestamp": str(int(DEFAULT.timestamp()) + 60)}
    assert not accepted(replace(signed, headers={**signed.headers, **stamp}))


def test_two_presses_are_two(slack: SlackControl, ts: str) -> None:
    one, two = (payload(slack.press(ts, "now", user="U1")) for _ in "12")
    assert one["trigger_id"] != two["trigger_id"]
    assert one["response_url"] != two["response_url"]


# --- what cannot be pressed -----------------------------------------------------------------------


def test_only_a_button_of_the_message_can_be_pressed(slack: SlackControl, client: WebClient, ts: str) -> None:
    slack.press(ts, "now", user="U1")
    client.chat_update(channel=CHANNEL, ts=ts, text="deleted", blocks=[WARNING[0]])
    with pytest.raises(SandboxError, match=r"0 buttons are .*now.*shows none"):
        slack.press(ts, "now", user="U1")
    client.chat_update(
        channel=CHANNEL,
        ts=ts,
        text="deleted",
        blocks=[
            {"type": "section", "text": {"type": "mrkdwn", "text": "x"}, "accessory": button("undo", "f")}
        ],
    )
    (action,) = payload(slack.press(ts, "undo", user="U1"))["actions"]
    assert action["value"] == "f"
    assert action["block_id"]


def test_a_choice_must_be_made(slack: SlackControl, ts: str) -> None:
    with pytest.raises(SandboxError, match="2 buttons"):
        slack.press(ts, "keep", user="U1")
    (action,) = payload(slack.press(ts, "keep", user="U1", value="f2"))["actions"]
    assert action["value"] == "f2"
    (action,) = payload(slack.press(ts, "keep", user="U1", block_id="finding-1"))["actions"]
    assert action["value"] == "f1"


@pytest.mark.parametrize("user", ["U2", "U9"])
def test_who_is_not_here_presses_nothing(slack: SlackControl, ts: str, user: str) -> None:
    with pytest.raises(SandboxError, match=f"nobody here is {user}"):
        slack.press(ts, "now", user=user)
    with pytest.raises(SandboxError, match="0 messages"):
        slack.press("1.1", "now", user="U1")


def test_a_confirmation_is_checked_as_the_rest(client: WebClient) -> None:
    for wrong, where in (
        ({"style": "loud"}, "confirm/style"),
        ({"text": {"type": "mrkdwn", "text": "x" * 301}}, "confirm/text/text"),
        ({"title": {"type": "mrkdwn", "text": "x"}}, "confirm/title/type"),
        ({"colour": "red"}, "confirm"),
    ):
        blocks = [{"type": "actions", "elements": [button("now", "f", confirm=CONFIRM | wrong)]}]
        with pytest.raises(SlackApiError) as caught:
            client.chat_postMessage(channel=CHANNEL, text="x", blocks=blocks)
        (said,) = caught.value.response["errors"]
        assert said.endswith(f"[json-pointer:/blocks/0/elements/0/{where}]")


# --- the response url -----------------------------------------------------------------------------


def test_an_ephemeral_answer_is_nobody_elses(slack: SlackControl, ts: str) -> None:
    hook = WebhookClient(payload(slack.press(ts, "now", user="U1"))["response_url"], retry_handlers=[])
    hook.send(text="you may not")
    assert [message["text"] for message in slack.messages()] == ["idle"]
    hook.send(text="see?", response_type="in_channel")
    assert [message["text"] for message in slack.messages()] == ["idle", "see?"]
    assert [one["response_type"] for one in slack.responses()] == ["ephemeral", "in_channel"]
    hook.send(text="", delete_original=True)
    assert [message["text"] for message in slack.messages()] == ["see?"]
    assert hook.send(text="x", blocks=[{"type": "no"}]).status_code == 400


def test_five_answers_in_thirty_minutes(slack: SlackControl, control: Control, ts: str) -> None:
    first, second = (payload(slack.press(ts, "now", user="U1"))["response_url"] for _ in "12")
    hook = WebhookClient(first, retry_handlers=[])
    assert [hook.send(text="x").status_code for _ in range(6)] == [200] * 5 + [404]
    assert "used_url" in hook.send(text="x").body
    control.set_clock(DEFAULT + timedelta(minutes=30))
    assert WebhookClient(second, retry_handlers=[]).send(text="x").status_code == 200
    control.set_clock(DEFAULT + timedelta(minutes=30, seconds=1))
    assert "expired_url" in WebhookClient(second, retry_handlers=[]).send(text="x").body
    assert "invalid_url" in WebhookClient(f"{second}x", retry_handlers=[]).send(text="x").body
    assert len(slack.responses()) == 6
    slack.fault("down", method="response")
    assert hook.send(text="x").status_code == 503


# --- as Lambda gets it ----------------------------------------------------------------------------


def test_a_function_url_hands_a_form_on_as_base64(slack: SlackControl, ts: str) -> None:
    signed = slack.press(ts, "now", user="U1")
    made = event(signed.headers, signed.body, at=DEFAULT, url="/slack?a=1&a=2&b=")

    assert (made["version"], made["isBase64Encoded"]) == ("2.0", True)
    assert base64.b64decode(made["body"]) == signed.body
    assert made["headers"]["x-slack-signature"] == signed.headers["X-Slack-Signature"]
    assert all(name == name.lower() for name in made["headers"])
    assert accepted(Signed(made["headers"], base64.b64decode(made["body"])))
    http = made["requestContext"]["http"]
    assert (http["method"], http["path"], http["userAgent"]) == (
        "POST",
        "/slack",
        "Slackbot 1.0 (+https://api.slack.com/robots)",
    )
    assert made["rawQueryString"] == "a=1&a=2&b="
    assert made["queryStringParameters"] == {"a": "1,2", "b": ""}
    assert made["requestContext"]["time"] == "06/Oct/2026:03:00:00 +0000"
    assert made["requestContext"]["timeEpoch"] == int(DEFAULT.timestamp()) * 1000
    assert json.loads(json.dumps(made)) == made


def test_a_function_url_hands_text_on_as_text_and_nothing_as_nothing() -> None:
    for kind in ("application/json; charset=utf-8", "text/plain"):
        made = event({"Content-Type": kind}, b'{"a": 1}', at=DEFAULT)
        assert (made["isBase64Encoded"], made["body"]) == (False, '{"a": 1}')
    made = event([("X-A", "1"), ("x-a", "2")], b"", at=DEFAULT, method="GET")
    assert "body" not in made
    assert made["headers"]["x-a"] == "1,2"
    assert event({}, b"\xff", at=DEFAULT)["isBase64Encoded"] is True
