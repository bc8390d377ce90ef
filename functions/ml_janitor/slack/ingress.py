"""The function behind the URL: verifies a press, invokes the worker, acknowledges within three seconds."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from ml_janitor.aws.async_invoke import hand_over
from ml_janitor.slack.press_request import RequestRefusedError, verify_press

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

    def secret() -> str:
        return read_signing_secret(environment["JANITOR_SIGNING_SECRET"], int(now.timestamp()) // SECRET_AGE)

    try:
        press = verify_press(event, secret, now)
        hand_over(ingress_client("lambda"), environment["JANITOR_WORKER"], press.event())
    except RequestRefusedError as refused:
        ingress_log.warning("refused", extra={"why": str(refused), "status": refused.status})
        return {"statusCode": refused.status, "body": ""}
    except Exception as error:  # at any failure, Slack has to tell the person that the press did not work
        ingress_log.error("a press could not be handed on", extra={"error": describe_error(error)})
        return {"statusCode": 503, "body": ""}
    ingress_log.info("handed on", extra={"action": press.action, "user": press.user})
    return {"statusCode": 200, "body": ""}


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
    return found


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
