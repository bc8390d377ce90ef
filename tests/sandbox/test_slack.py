"""The sandbox's Slack, asked as slack_sdk asks: it refuses what Slack refuses, and keeps the rest."""

import urllib.error
import urllib.request
from typing import Any

import pytest
from slack_sdk import WebClient, WebhookClient
from slack_sdk.errors import SlackApiError

from ml_janitor_sandbox.control import SandboxError
from ml_janitor_sandbox.slack import CHANNEL, SlackControl
from ml_janitor_sandbox.slack.blocks import LONGEST_MESSAGE, problems, too_long
from ml_janitor_sandbox.slack.workspace import mentions
from tables import cases


def section(text: str, kind: str = "mrkdwn", **more: Any) -> dict[str, Any]:
    return {"type": "section", "text": {"type": kind, "text": text}} | more


def refused(call: Any, **arguments: Any) -> Any:
    with pytest.raises(SlackApiError) as caught:
        call(**arguments)
    return caught.value.response


def code(call: Any, **arguments: Any) -> str:
    return str(refused(call, **arguments)["error"])


# --- messages ------------------------------------------------------------------------------------


def test_a_message_can_be_changed_by_channel_id_and_ts(client: WebClient, slack: SlackControl) -> None:
    ts = client.chat_postMessage(channel=CHANNEL, text="one")["ts"]
    client.chat_update(channel=CHANNEL, ts=ts, text="better")

    assert [(m["text"], m["edited"]) for m in slack.messages()] == [("better", True)]
    assert code(client.chat_update, channel=CHANNEL, ts="1.1", text="x") == "message_not_found"
    assert code(client.chat_update, channel="ml-costs", ts=ts, text="x") == "channel_not_found"


@pytest.mark.parametrize(("token", "error"), [("", "not_authed"), ("xoxb-other", "invalid_auth")])
def test_it_knows_one_token(slack: SlackControl, token: str, error: str) -> None:
    stranger = WebClient(token, base_url=slack.api, retry_handlers=[])
    assert code(stranger.chat_postMessage, channel=CHANNEL, text="x") == error
    assert slack.messages() == []


@cases(
    "channel, error",
    ("C0NOWHERE", "channel_not_found"),
    ("outside", "not_in_channel"),
    ("old", "is_archived"),
)
def test_it_knows_its_channels(client: WebClient, slack: SlackControl, channel: str, error: str) -> None:
    slack.add_channel("C1", "outside", member=False)
    slack.add_channel("C2", "old", archived=True)
    assert code(client.chat_postMessage, channel=channel, text="x") == error


def test_a_thread_must_exist_and_hang_on_a_parent(client: WebClient) -> None:
    assert code(client.chat_postMessage, channel=CHANNEL, text="x", thread_ts="1.1") == "thread_not_found"
    parent = client.chat_postMessage(channel=CHANNEL, text="x")["ts"]
    reply = client.chat_postMessage(channel=CHANNEL, text="x", thread_ts=parent)["ts"]
    assert code(client.chat_postMessage, channel=CHANNEL, text="x", thread_ts=reply) == "thread_not_found"


@pytest.mark.filterwarnings("ignore:The top-level `text` argument is missing:UserWarning")
def test_a_message_needs_a_text_that_is_not_endless(client: WebClient) -> None:
    assert code(client.chat_postMessage, channel=CHANNEL, text="", blocks=[section("x")]) == "no_text"
    assert code(client.chat_postMessage, channel=CHANNEL, text="x" * 40_001) == "msg_too_long"


def test_bad_blocks_are_refused_in_slacks_words(client: WebClient, slack: SlackControl) -> None:
    said = refused(client.chat_postMessage, channel=CHANNEL, text="x", blocks=[section("y" * 3001)])
    assert said["error"] == "invalid_blocks"
    assert said["errors"] == ["must be less than 3001 characters [json-pointer:/blocks/0/text/text]"]
    assert said["response_metadata"]["messages"] == [
        "[ERROR] must be less than 3001 characters [json-pointer:/blocks/0/text/text]"
    ]
    five = [section("y" * 2900) for _ in range(5)]
    assert code(client.chat_postMessage, channel=CHANNEL, text="x", blocks=five) == "msg_blocks_too_long"
    assert slack.messages() == []


HEADER = {"type": "header", "text": {"type": "plain_text", "text": "h"}}
BUTTON = {"type": "button", "text": {"type": "plain_text", "text": "Do it"}, "action_id": "a", "value": "v"}
PICTURE = {"type": "image", "image_url": "https://x/y.png", "alt_text": "y"}


@cases(
    "block",
    section("x" * 3000),
    section("x", "plain_text", block_id="i" * 255),
    {"type": "section", "fields": [{"type": "mrkdwn", "text": "x" * 2000}] * 10},
    section("x", accessory=BUTTON),
    HEADER | {"text": {"type": "plain_text", "text": "h" * 150, "emoji": False}},
    {"type": "divider"},
    {"type": "context", "elements": [{"type": "mrkdwn", "text": "x", "verbatim": True}, PICTURE]},
    {"type": "actions", "elements": [BUTTON] * 25},
    PICTURE | {"title": {"type": "plain_text", "text": "x"}},
)
def test_good_blocks(block: dict[str, Any]) -> None:
    assert problems([block]) == []


@cases(
    "block, where",
    ("section", "/blocks/0"),
    ({"type": "sections"}, "/blocks/0/type"),
    ({}, "/blocks/0/type"),
    ({"type": "section"}, "/blocks/0/type"),
    ({"type": "section", "text": "x"}, "/blocks/0/text"),
    (section(""), "/blocks/0/text/text"),
    (section("x", "markdown"), "/blocks/0/text/type"),
    (section("x", colour="red"), "/blocks/0"),
    (section("x", block_id="i" * 256), "/blocks/0/block_id"),
    (section("x", accessory={"type": "menu"}), "/blocks/0/accessory/type"),
    ({"type": "section", "fields": [{"type": "mrkdwn", "text": "x"}] * 11}, "/blocks/0/fields"),
    ({"type": "section", "fields": [{"type": "mrkdwn", "text": "x" * 2001}]}, "/blocks/0/fields/0/text"),
    ({"type": "section", "text": {"type": "plain_text", "text": "x", "verbatim": True}}, "/blocks/0/text"),
    ({"type": "header"}, "/blocks/0"),
    (HEADER | {"text": {"type": "mrkdwn", "text": "h"}}, "/blocks/0/text/type"),
    (HEADER | {"text": {"type": "plain_text", "text": "h" * 151}}, "/blocks/0/text/text"),
    ({"type": "context", "elements": []}, "/blocks/0/elements"),
    ({"type": "context", "elements": [{"type": "mrkdwn", "text": "x"}] * 11}, "/blocks/0/elements"),
    ({"type": "context"}, "/blocks/0/elements"),
    ({"type": "actions", "elements": [BUTTON] * 26}, "/blocks/0/elements"),
    (
        {"type": "actions", "elements": [BUTTON | {"text": {"type": "plain_text", "text": "x" * 76}}]},
        "/blocks/0/elements/0/text/text",
    ),
    ({"type": "actions", "elements": [BUTTON | {"value": "x" * 2001}]}, "/blocks/0/elements/0/value"),
    ({"type": "actions", "elements": [BUTTON | {"style": "loud"}]}, "/blocks/0/elements/0/style"),
    ({"type": "actions", "elements": [BUTTON | {"confirm": {}}]}, "/blocks/0/elements/0/confirm"),
    ({"type": "image", "alt_text": "x"}, "/blocks/0"),
    ({**PICTURE, "slack_file": {"id": "F000000001"}}, "/blocks/0"),
    ({"type": "image", "alt_text": "x", "slack_file": {"id": "f1"}}, "/blocks/0/slack_file/id"),
    ({"type": "image", "alt_text": "x", "slack_file": {}}, "/blocks/0/slack_file"),
)
def test_bad_blocks(block: Any, where: str) -> None:
    assert any(f"[json-pointer:{where}" in said for said in problems([block])), problems([block])


def test_blocks_are_counted_and_their_ids_compared() -> None:
    assert problems([section("x")] * 50) == []
    assert problems([section("x")] * 51) == ["[ERROR] no more than 50 items allowed [json-pointer:/blocks]"]
    assert problems([section("x", block_id="a"), section("y", block_id="b")]) == []
    assert "unique" in problems([section("x", block_id="a"), section("y", block_id="a")])[0]
    assert problems("x") == ["[ERROR] must be an array [json-pointer:/blocks]"]


def test_all_blocks_together_have_a_longest_length() -> None:
    empty = len('[{"type":"section","text":{"type":"mrkdwn","text":""}}]')
    assert not too_long([section("x" * (LONGEST_MESSAGE - empty))])
    assert too_long([section("x" * (LONGEST_MESSAGE - empty + 1))])


def test_it_says_whom_a_message_mentions() -> None:
    blocks = [section("<@U2> and <!subteam^S1|@ml>"), section("<!here>", "plain_text")]
    assert mentions("<@U1> <!channel> <https://x|y>", blocks) == ["@U1", "!channel", "@U2", "!subteam^S1"]
    assert mentions("&lt;!channel&gt;", [section("&lt;@U1&gt;")]) == []


# --- files, webhooks and faults -----------------------------------------------------------------


def test_a_file_cannot_be_shared_before_it_is_filled(client: WebClient) -> None:
    announced = client.files_getUploadURLExternal(filename="r", length=3)
    files = [{"id": announced["file_id"], "title": "r"}]
    assert code(client.files_completeUploadExternal, files=files, channel_id=CHANNEL) == "file_not_found"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(announced["upload_url"], b"four")  # noqa: S310 - the sandbox's own
    caught.value.close()
    assert (
        code(client.files_completeUploadExternal, files=files, channel_id="ml-costs") == "channel_not_found"
    )
    assert code(client.files_getUploadURLExternal, filename="r", length=0) == "invalid_arguments"


def test_an_incoming_webhook_refuses(slack: SlackControl) -> None:
    bad = WebhookClient(slack.hook, retry_handlers=[]).send(text="x", blocks=[{"type": "no"}])
    assert (bad.status_code, bad.body) == (400, "invalid_blocks")
    other = WebhookClient(f"{slack.hook}x", retry_handlers=[]).send(text="x")
    assert (other.status_code, other.body) == (404, "no_service")


def test_a_fault_that_makes_no_sense_is_refused(slack: SlackControl) -> None:
    with pytest.raises(SandboxError, match="kind must be one of"):
        slack.fault("tired")
    with pytest.raises(SandboxError, match="unknown: colour"):
        slack.fault("down", colour="red")
