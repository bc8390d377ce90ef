"""
The function behind the URL: verifies a press, invokes the worker, acknowledges within three seconds.
The worker gets the press as Slack signed it, and verifies it again: to invoke the worker is not to press.
Everybody on the internet can send a request here, and Slack waits three seconds including a cold start. So
this module imports little, trusts nothing before the signature is checked, and only accepts or refuses.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import parse_qs

# --- verification ---------------------------------------------------------------------------------

LARGEST_BODY = 64 * 1024
"""Maximum size of a body in bytes. A press has about 10 KB, most of them the blocks of its message."""

SIGNATURE_WINDOW = 300
"""Seconds: https://docs.slack.dev/authentication/verifying-requests-from-slack, and slack_sdk."""

WORKER_WINDOW = 65 * 60
"""Seconds for which the worker accepts a press: Lambda may deliver the event late, for an hour."""

SIGNATURE_PATTERN = re.compile(r"v0=[0-9a-f]{64}")
STAMP_PATTERN = re.compile(r"[0-9]{1,12}")


class RequestRefusedError(Exception):
    """A request that is refused with *status*; the message says why, without content of the request."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class FixedClock:
    """The time, in seconds since 1970, as slack_sdk's verifier asks for it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def now(self) -> float:
        """Return the time."""
        return self._seconds


class SignedBody(NamedTuple):
    """The *body* of a request of Slack, and the *signature* of it at the time *stamp*."""

    body: bytes
    stamp: str
    signature: str

    def event(self) -> dict[str, str]:
        """Return the worker's event."""
        return {"body": self.body.decode(), "stamp": self.stamp, "signature": self.signature}

    def check_age(self, now: datetime, lasts: int) -> None:
        """Raise RequestRefusedError for a request that is not signed, or older than *lasts* seconds."""
        if not SIGNATURE_PATTERN.fullmatch(self.signature) or not STAMP_PATTERN.fullmatch(self.stamp):
            raise RequestRefusedError(401, "not signed")
        if not -SIGNATURE_WINDOW <= now.timestamp() - int(self.stamp) <= lasts:
            raise RequestRefusedError(401, "signed too long ago, or for a time to come")

    def verify(self, secret: str) -> dict[str, str]:
        """Return the press in the body, if Slack signed it with *secret*. Raises RequestRefusedError."""
        from slack_sdk.signature import SignatureVerifier

        try:  # Slack's own verifier compares in constant time; the age is checked above
            verifier = SignatureVerifier(secret, clock=FixedClock(int(self.stamp)))  # type: ignore[arg-type]
            good = verifier.is_valid(self.body, self.stamp, self.signature)
        except UnicodeDecodeError:
            raise RequestRefusedError(400, "not text") from None
        if not good:
            raise RequestRefusedError(401, "the signature is wrong")
        return _press(self.body)


def read_request(event: Mapping[str, Any], now: datetime) -> SignedBody:
    """
    Return the request in a function URL's *event*, not verified yet. Raises RequestRefusedError.

    The checks here are cheap: no secret is read for an unsigned, stale or too large request.
    """
    headers = _headers(event)
    stamp, signature = headers.get("x-slack-request-timestamp", ""), headers.get("x-slack-signature", "")
    if _method(event) != "POST":
        raise RequestRefusedError(405, "not a POST")
    SignedBody(b"", stamp, signature).check_age(now, SIGNATURE_WINDOW)
    return SignedBody(_body(event), stamp, signature)


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


def _press(body: bytes) -> dict[str, str]:
    """Return the one press in the form; Slack sends no more than one. Raises RequestRefusedError."""
    try:
        payload = json.loads(parse_qs(body.decode(), strict_parsing=True, max_num_fields=10)["payload"][0])
        kind = payload["type"]
        (action,) = payload["actions"]
        press = {
            "user": payload["user"]["id"],
            "team": payload["user"].get("team_id") or "",
            "channel": payload["container"]["channel_id"],
            "message": payload["container"]["message_ts"],
            "action": action["action_id"],
            "value": action["value"],
            "at": action["action_ts"],
            "response_url": payload.get("response_url", ""),
        }
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise RequestRefusedError(400, "no press that is known here") from None
    if kind != "block_actions" or not all(isinstance(value, str) for value in press.values()):
        raise RequestRefusedError(400, "no press that is known here")
    return press


# --- answer ---------------------------------------------------------------------------------------

ingress_log = logging.getLogger("ml_janitor.slack.ingress")
"""Importing Powertools would take too much of the three seconds; Lambda itself formats the log as JSON."""

INGRESS_TIMEOUT = 1.0
"""Seconds to wait for one answer of AWS, which takes a tenth of that. A duplicate event is handled once."""

SECRET_AGE = 300
"""Seconds for which the signing secret is cached; after a rotation the new one is read that soon."""


SHORTEST_SIGNING_SECRET = 16
"""Minimum length of a signing secret: Slack's have 32 characters, placeholders are shorter."""


class NoSecretError(Exception):
    """The secret has no signing secret; the message does not repeat its content."""


def answer_request(
    event: Mapping[str, Any], environment: Mapping[str, str], *, clock: Callable[[], datetime]
) -> dict[str, Any]:
    """
    Answer the function URL's *event*: 200 once the worker is invoked, else an error.

    The log has only the reason of a refusal: a body, a header or a URL may hold secrets. The body is empty,
    so that Slack leaves the message as it is; at anything but a 200, Slack tells the person who pressed that
    it did not work.
    """
    now = clock()
    try:
        request, age = read_request(event, now), int(now.timestamp()) // SECRET_AGE
        press = request.verify(read_signing_secret(environment["JANITOR_SIGNING_SECRET"], age))
        hand_over(ingress_client("lambda"), environment["JANITOR_WORKER"], request.event())
    except RequestRefusedError as refused:
        ingress_log.warning("refused", extra={"why": str(refused), "status": refused.status})
        return {"statusCode": refused.status, "body": ""}
    except Exception as error:  # at any failure, Slack has to tell the person that the press did not work
        ingress_log.error("a press could not be handed on", extra={"error": describe_error(error)})
        return {"statusCode": 503, "body": ""}
    ingress_log.info("handed on", extra={"action": press["action"], "user": press["user"]})
    return {"statusCode": 200, "body": ""}


def hand_over(client: Any, function: str, event: Mapping[str, Any]) -> None:
    """
    Invoke *function* with *event* asynchronously; Lambda may deliver the event more than once.

    Raises RuntimeError if Lambda did not accept it, or an error of botocore.
    """
    answer = client.invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps(event).encode())
    if answer["StatusCode"] != HTTPStatus.ACCEPTED:
        raise RuntimeError(f"Lambda answered {answer['StatusCode']} to the invocation of {function}")


def describe_error(error: Exception) -> str:
    """Describe an error of AWS by its operation and code, another error by its type; never by its text."""
    from botocore.exceptions import ClientError

    if isinstance(error, NoSecretError):
        return str(error)
    if isinstance(error, ClientError):
        return f"{error.operation_name}: {error.response['Error']['Code']}"
    return type(error).__name__


@cache
def read_signing_secret(name: str, _age: int) -> str:
    """
    Return the app's signing secret: the whole secret *name*, or its "signing_secret" if it holds JSON.

    Raises NoSecretError if it was never filled in.
    """
    return parse_signing_secret(
        ingress_client("secretsmanager").get_secret_value(SecretId=name)["SecretString"], name
    )


def parse_signing_secret(secret_text: str, name: str) -> str:
    """Return the signing secret in the content of the secret *name*. Raises NoSecretError."""
    text = secret_text.strip()
    try:
        found = json.loads(text).get("signing_secret") if text.startswith("{") else text
    except ValueError:
        found = None
    if not isinstance(found, str) or len(found.strip()) < SHORTEST_SIGNING_SECRET:
        raise NoSecretError(f"the secret {name} holds no signing secret of Slack's")
    return found.strip()


@cache
def ingress_client(service: str) -> Any:
    """Create a client of botocore that gives up before Slack does; importing boto3 slows the cold start."""
    import botocore.session
    from botocore.config import Config

    config = Config(
        connect_timeout=INGRESS_TIMEOUT,
        read_timeout=INGRESS_TIMEOUT,
        retries={"total_max_attempts": 2, "mode": "standard"},
    )
    return botocore.session.get_session().create_client(service, config=config)
