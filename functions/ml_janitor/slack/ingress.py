"""The function behind the URL verifies a press, hands it on and acknowledges it, within three seconds."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from ml_janitor.aws.async_invoke import hand_over
from ml_janitor.slack.press_request import RequestRefusedError, received

log = logging.getLogger("ml_janitor.slack.ingress")
"""Powertools' logger would take a good part of the three seconds; Lambda writes JSON by itself."""

AWS_TIMEOUT = 1.0
"""Seconds for one answer of AWS, which takes a tenth of that. An event that came twice is done once."""

SECRET_AGE = 300
"""Seconds for which the signing secret is kept: one that was rotated is read soon."""


SHORTEST = 16
"""Characters of a signing secret. Slack's have 32; what is shorter is a placeholder that can be guessed."""


class NoSecretError(Exception):
    """What is there is no signing secret; one line, which does not repeat it."""


def answered(
    event: Mapping[str, Any], environment: Mapping[str, str], *, clock: Callable[[], datetime]
) -> dict[str, Any]:
    """
    The answer to the function URL's *event*: 200 once the press is handed on, else why not.

    What is refused is logged by its reason alone: a body, a header or a URL may hold secrets. An
    acknowledgement says nothing, so that Slack leaves the message as it is; anything but a 200 makes
    Slack tell the one who pressed that it did not work.
    """
    now = clock()

    def secret() -> str:
        return signing_secret(environment["JANITOR_SIGNING_SECRET"], int(now.timestamp()) // SECRET_AGE)

    try:
        press = received(event, secret, now)
        hand_over(client("lambda"), environment["JANITOR_WORKER"], press.event())
    except RequestRefusedError as refused:
        log.warning("refused", extra={"why": str(refused), "status": refused.status})
        return {"statusCode": refused.status, "body": ""}
    except Exception as error:  # whatever it is, Slack has to be told that nothing will come of the press
        log.error("a press could not be handed on", extra={"error": named(error)})  # noqa: TRY400
        return {"statusCode": 503, "body": ""}
    log.info("handed on", extra={"action": press.action, "user": press.user})
    return {"statusCode": 200, "body": ""}


def named(error: Exception) -> str:
    """Of an error of AWS, what was asked and its code; of any other its type. Never what it quotes."""
    from botocore.exceptions import ClientError

    if isinstance(error, NoSecretError):
        return str(error)
    if isinstance(error, ClientError):
        return f"{error.operation_name}: {error.response['Error']['Code']}"
    return type(error).__name__


@cache
def signing_secret(name: str, _age: int) -> str:
    """
    The app's signing secret: the secret *name* as it is, or its "signing_secret" if it holds JSON.

    Raises NoSecretError for one that was never filled in.
    """
    return held(client("secretsmanager").get_secret_value(SecretId=name)["SecretString"], name)


def held(secret_text: str, name: str) -> str:
    """The signing secret that the secret *name* holds. Raises NoSecretError."""
    said = secret_text.strip()
    try:
        found = json.loads(said).get("signing_secret") if said.startswith("{") else said
    except ValueError:
        found = None
    if not isinstance(found, str) or len(found.strip()) < SHORTEST:
        raise NoSecretError(f"the secret {name} holds no signing secret of Slack's")
    return found


@cache
def client(service: str) -> Any:
    """A client that gives up before Slack does. boto3 would add its resources to the cold start."""
    import botocore.session
    from botocore.config import Config

    config = Config(
        connect_timeout=AWS_TIMEOUT,
        read_timeout=AWS_TIMEOUT,
        retries={"total_max_attempts": 2, "mode": "standard"},
    )
    return botocore.session.get_session().create_client(service, config=config)
