"""Presses on buttons: the signed request that Slack sends to an app, and where the app may answer.

The payload is that of `block_actions` (docs.slack.dev/reference/interaction-payloads/block_actions-payload
and bolt-js's types of it), sent as a form with the one field `payload`. Slack's JSON escapes slashes.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from ml_janitor_sandbox.slack.methods import content
from ml_janitor_sandbox.slack.workspace import (
    BOT,
    BOT_USER,
    DOMAIN,
    SIGNING_SECRET,
    TEAM,
    Message,
    RefusedError,
    ResponseUrl,
    Workspace,
)
from moto_corrections import clock

APP = "A0SANDBOX"
RESPONSE_PATH = f"/slack/actions/{TEAM}/"
RESPONSE_USES, RESPONSE_SECONDS = 5, 30 * 60
""""up to 5 times within 30 minutes" (docs.slack.dev/interactivity/handling-user-interaction)."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A request as it comes from Slack: every byte of the body counts."""

    headers: Mapping[str, str]
    body: bytes


def sign(body: bytes, at: datetime, secret: str = SIGNING_SECRET) -> Signed:
    """
    Sign the request that Slack would send with this body at that time, were it to send it.

    docs.slack.dev/authentication/verifying-requests-from-slack: HMAC-SHA256 over `v0:TIMESTAMP:BODY`.
    """
    stamp = str(int(at.timestamp()))
    digest = hmac.new(secret.encode(), b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    headers = {
        "Accept": "application/json,*/*",
        "Accept-Encoding": "gzip,deflate",
        "Content-Length": str(len(body)),
        "Content-Type": "application/x-www-form-urlencoded",
        "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
        "X-Slack-Request-Timestamp": stamp,
        "X-Slack-Signature": f"v0={digest}",
    }
    return Signed(headers, body)


def form(payload: Mapping[str, Any]) -> bytes:
    """Return the body that carries a payload."""
    text = json.dumps(payload, separators=(",", ":")).replace("/", "\\/")
    return urlencode({"payload": text}).encode()


def press(space: Workspace, host: str, given: Mapping[str, Any]) -> Signed:
    """
    Press a button of a message as it stands there now.

    *given* has `user`, `ts` and `action_id`, and may have `channel`, `block_id` and `value` where those
    leave a choice. LookupError says what there is not: who is not here presses nothing, and neither does
    anybody press what the message no longer shows.
    """
    user = space.users.get(given["user"])
    if user is None or user.deleted:
        raise LookupError(f"nobody here is {given['user']}")
    message = _message(space, given)
    action = _button(message, given)
    number = len(space.response_urls) + 1
    secret = hashlib.sha256(f"{message.ts}/{number}".encode()).hexdigest()
    now = clock.now()
    answer_to = f"{RESPONSE_PATH}{number:012d}/{secret[:24]}"
    expires = now.timestamp() + RESPONSE_SECONDS
    space.response_urls[answer_to] = ResponseUrl(message.channel, message.ts, expires, RESPONSE_USES)
    thread = {"thread_ts": message.thread_ts} if message.thread_ts else {}
    name = re.sub(r"[^a-z0-9._-]", "", user.email.partition("@")[0].lower())
    channel = {"id": message.channel, "name": space.channel(message.channel).name}
    payload: dict[str, Any] = {
        "type": "block_actions",
        "user": {"id": user.id, "username": name, "name": name, "team_id": user.team},
        "api_app_id": APP,
        "token": "deprecated-verification-token",
        "container": {
            "type": "message",
            "message_ts": message.ts,
            "channel_id": message.channel,
            "is_ephemeral": False,
        }
        | thread,
        "trigger_id": f"{number}.{int(now.timestamp())}.{secret[24:56]}",
        "team": {"id": TEAM, "domain": DOMAIN},
        "enterprise": None,
        "is_enterprise_install": False,
        "channel": channel,
        "message": {
            "user": BOT_USER,
            "type": "message",
            "ts": message.ts,
            "bot_id": BOT,
            "app_id": APP,
            "text": message.text,
            "team": TEAM,
            "blocks": [_shown(message, number, block) for number, block in enumerate(message.blocks)],
        }
        | thread,
        "state": {"values": {}},
        "response_url": f"http://{host}{answer_to}",
        "actions": [action | {"action_ts": f"{now.timestamp():.6f}"}],
    }
    return sign(form(payload), now)


def _message(space: Workspace, given: Mapping[str, Any]) -> Message:
    found = [message for message in space.messages if message.ts == given["ts"]]
    found = [message for message in found if given.get("channel") in (None, message.channel)]
    if len(found) != 1:
        raise LookupError(f"{len(found)} messages are of {given['ts']}")
    return found[0]


def _button(message: Message, given: Mapping[str, Any]) -> dict[str, Any]:
    wanted = {name: given[name] for name in ("action_id", "block_id", "value") if given.get(name) is not None}
    found = [button for button in _buttons(message) if wanted.items() <= button.items()]
    if len(found) != 1:
        there = ", ".join(button["action_id"] for button in _buttons(message)) or "none"
        raise LookupError(f"{len(found)} buttons are {wanted}; the message shows {there}")
    return found[0]


def _buttons(message: Message) -> Iterator[dict[str, Any]]:
    for number, block in enumerate(message.blocks):
        shown = _shown(message, number, block)
        for element in (*shown.get("elements", ()), shown.get("accessory")):
            if isinstance(element, dict) and element.get("type") == "button":
                yield element | {"block_id": shown["block_id"]}


def _shown(message: Message, number: int, block: dict[str, Any]) -> dict[str, Any]:
    """Return a block with the identifiers that Slack makes up where an app gave none."""
    shown = {"block_id": _generated_id(message, number)} | block
    if isinstance(block.get("elements"), list):
        shown["elements"] = [
            _named(message, element, number, at) for at, element in enumerate(block["elements"])
        ]
    if "accessory" in block:
        shown["accessory"] = _named(message, block["accessory"], number, "accessory")
    return shown


def _named(message: Message, element: Any, *place: Any) -> Any:
    if not isinstance(element, dict) or element.get("type") != "button":
        return element
    text = {"emoji": True} | element["text"]
    return {"action_id": _generated_id(message, *place)} | element | {"text": text}


def _generated_id(message: Message, *place: Any) -> str:
    return hashlib.sha256(f"{message.ts}/{place}".encode()).hexdigest()[:5]


def respond(space: Workspace, path: str, given: Mapping[str, Any]) -> None:
    """
    Take an app's answer to a press: in place of the message, beside it, or to the one who pressed.

    RefusedError has Slack's word for a URL that it does not know, or no longer takes. An ephemeral answer
    is kept apart: nobody else sees it, and it cannot be changed.
    """
    url = space.response_urls.get(path)
    if url is None:
        raise RefusedError("invalid_url")
    if clock.now().timestamp() > url.expires:
        raise RefusedError("expired_url")
    if not url.left:
        raise RefusedError("used_url")
    kind = given.get("response_type", "ephemeral")
    message = space.message(url.channel, url.ts)
    if given.get("delete_original"):
        if message is not None:
            space.messages.remove(message)
    else:
        text, blocks = content(dict(given))
        if given.get("replace_original") and message is not None:
            message.text, message.blocks, message.edited = text, blocks, True
        elif kind == "in_channel":
            thread = given.get("thread_ts")
            space.post(Message(url.channel, space.next_ts(), text, blocks, thread, via="response"))
    url.left -= 1
    space.responses.append({"channel": url.channel, "ts": url.ts, "response_type": kind, **given})
