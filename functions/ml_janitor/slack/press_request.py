"""
Verification of a request to the function URL, and the press in it: is it from Slack, is it new, what is it.

Everybody on the internet can send a request here, and Slack waits three seconds including a cold start. So
this module imports little, trusts nothing before the signature is checked, and only accepts or refuses.
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

LARGEST_BODY = 64 * 1024
"""Maximum size of a body in bytes. A press has about 10 KB, most of them the blocks of its message."""

SIGNATURE_WINDOW = 300
"""Seconds: https://docs.slack.dev/authentication/verifying-requests-from-slack, and slack_sdk."""

SIGNATURE_PATTERN = re.compile(r"v0=[0-9a-f]{64}")


class RequestRefusedError(Exception):
    """A request that is refused with *status*; the message says why, without content of the request."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """The worker's whole input: the button, the person and the message of a press."""

    user: str
    team: str
    channel: str
    message: str
    action: str
    value: str
    at: str
    response_url: str

    def event(self) -> dict[str, str]:
        """Return the event that the worker is invoked with."""
        return asdict(self)


class FixedClock:
    """The time as slack_sdk's verifier asks for it."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> float:
        """Return the time in seconds since 1970."""
        return self._now.timestamp()


def verify_press(event: Mapping[str, Any], secret: Callable[[], str], now: datetime) -> Press:
    """
    Return the press in a function URL's *event*, verified at the real time *now*. Raises RequestRefusedError.

    Cheap checks come first: the *secret* is not read for an unsigned, stale or too large request.
    """
    headers = _headers(event)
    stamp, signature = headers.get("x-slack-request-timestamp", ""), headers.get("x-slack-signature", "")
    if _method(event) != "POST":
        raise RequestRefusedError(405, "not a POST")
    if not SIGNATURE_PATTERN.fullmatch(signature) or not re.fullmatch(r"[0-9]{1,12}", stamp):
        raise RequestRefusedError(401, "not signed")
    if abs(now.timestamp() - int(stamp)) > SIGNATURE_WINDOW:
        raise RequestRefusedError(401, "signed too long ago, or for a time to come")
    body = _body(event)
    _verify(body, stamp, signature, secret, now)
    return _press(body)


def _headers(event: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the headers: Lambda passes their names in lower case, and joins repeated ones with a comma."""
    headers = event.get("headers")
    if not isinstance(headers, Mapping):
        return {}
    return {str(name).lower(): value for name, value in headers.items() if isinstance(value, str)}


def _method(event: Mapping[str, Any]) -> object:
    try:
        return event["requestContext"]["http"]["method"]
    except (KeyError, TypeError):
        return None


def _body(event: Mapping[str, Any]) -> bytes:
    """Return the body byte for byte as it was signed."""
    body = event.get("body")
    if not isinstance(body, str):
        raise RequestRefusedError(400, "no body")
    if len(body) > LARGEST_BODY * 4 // 3 + 4:
        raise RequestRefusedError(413, "too large")
    try:
        raw = base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body.encode()
    except (binascii.Error, ValueError):
        raise RequestRefusedError(400, "not base64") from None
    if len(raw) > LARGEST_BODY:
        raise RequestRefusedError(413, "too large")
    return raw


def _verify(body: bytes, stamp: str, signature: str, secret: Callable[[], str], now: datetime) -> None:
    """Check the signature with Slack's own verifier, in constant time. Raises RequestRefusedError."""
    from slack_sdk.signature import SignatureVerifier

    try:
        verifier = SignatureVerifier(secret(), clock=FixedClock(now))  # type: ignore[arg-type]
        good = verifier.is_valid(body, stamp, signature)
    except UnicodeDecodeError:
        raise RequestRefusedError(400, "not text") from None
    if not good:
        raise RequestRefusedError(401, "the signature is wrong")


def _press(body: bytes) -> Press:
    """Return the one press in the form; Slack sends no more than one. Raises RequestRefusedError."""
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
    if kind != "block_actions" or not all(isinstance(value, str) for value in press.event().values()):
        raise RequestRefusedError(400, "no press that is known here")
    return press
