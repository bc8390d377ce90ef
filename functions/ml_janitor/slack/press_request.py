"""
Receives what Slack sends to the function URL: is it from Slack, is it new, and what was pressed.

It stands between the internet and everything else, and has three seconds from a cold start: it
imports little, trusts nothing before the signature, and decides nothing but whether to pass on.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

LARGEST = 64 * 1024
"""Bytes of a body. A press on a message of ours has about 10 KB, the message's own blocks within it."""

WINDOW = 300
"""Seconds: https://docs.slack.dev/authentication/verifying-requests-from-slack, and slack_sdk."""

SIGNATURE = re.compile(r"v0=[0-9a-f]{64}")


class RequestRefusedError(Exception):
    """A request that goes no further: *status* answers it. One line says why, without what it held."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """What was pressed, by whom, on which message: all of a request that is passed on."""

    user: str
    team: str
    channel: str
    message: str
    action: str
    value: str
    at: str
    response_url: str

    def event(self) -> dict[str, str]:
        """What the worker is invoked with."""
        return asdict(self)


class Clock:
    """The time as slack_sdk's verifier asks for it."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> float:
        """In seconds since 1970."""
        return self._now.timestamp()


def received(event: Mapping[str, Any], secret: Callable[[], str], now: datetime) -> Press:
    """
    The press in a function URL's *event*, verified at the real time *now*. Raises RequestRefusedError.

    The cheap questions come first: what is unsigned, stale or too large costs no read of the
    *secret*.
    """
    headers = _headers(event)
    stamp, signature = headers.get("x-slack-request-timestamp", ""), headers.get("x-slack-signature", "")
    if _method(event) != "POST":
        raise RequestRefusedError(405, "not a POST")
    if not SIGNATURE.fullmatch(signature) or not re.fullmatch(r"[0-9]{1,12}", stamp):
        raise RequestRefusedError(401, "not signed")
    if abs(now.timestamp() - int(stamp)) > WINDOW:
        raise RequestRefusedError(401, "signed too long ago, or for a time to come")
    body = _body(event)
    _verified(body, stamp, signature, secret, now)
    return _press(body)


def _headers(event: Mapping[str, Any]) -> Mapping[str, str]:
    """Lambda writes their names in lower case, and joins what came twice with a comma."""
    headers = event.get("headers")
    if not isinstance(headers, Mapping):
        return {}
    return {str(name).lower(): value for name, value in headers.items() if isinstance(value, str)}


def _method(event: Mapping[str, Any]) -> str:
    try:
        return str(event["requestContext"]["http"]["method"])
    except (KeyError, TypeError):
        return ""


def _body(event: Mapping[str, Any]) -> bytes:
    """The body byte for byte as it was signed."""
    body = event.get("body")
    if not isinstance(body, str):
        raise RequestRefusedError(400, "no body")
    if len(body) > LARGEST * 4 // 3 + 4:
        raise RequestRefusedError(413, "too large")
    try:
        raw = base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body.encode()
    except (binascii.Error, ValueError):
        raise RequestRefusedError(400, "not base64") from None
    if len(raw) > LARGEST:
        raise RequestRefusedError(413, "too large")
    return raw


def _verified(body: bytes, stamp: str, signature: str, secret: Callable[[], str], now: datetime) -> None:
    """Slack's own verifier compares in constant time. Raises RequestRefusedError."""
    from slack_sdk.signature import SignatureVerifier

    try:
        verifier = SignatureVerifier(secret(), clock=Clock(now))  # type: ignore[arg-type]
        good = verifier.is_valid(body, stamp, signature)
    except UnicodeDecodeError:
        raise RequestRefusedError(400, "not text") from None
    if not good:
        raise RequestRefusedError(401, "the signature is wrong")


def _press(body: bytes) -> Press:
    """What the form says; of several presses at once, which Slack does not send, none."""
    try:
        payload = json.loads(parse_qs(body.decode(), strict_parsing=True, max_num_fields=10)["payload"][0])
        kind = payload["type"]
        (action,) = payload["actions"]
        press = Press(
            user=payload["user"]["id"],
            team=payload["user"].get("team_id") or "",
            channel=payload["container"]["channel_id"],
            message=payload["container"]["message_ts"],
            action=action["action_id"],
            value=action["value"],
            at=action["action_ts"],
            response_url=payload.get("response_url", ""),
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise RequestRefusedError(400, "no press that is known here") from None
    if kind != "block_actions" or not all(isinstance(said, str) for said in press.event().values()):
        raise RequestRefusedError(400, "no press that is known here")
    return press
