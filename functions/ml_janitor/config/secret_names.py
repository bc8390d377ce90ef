"""Tells the name of a secret from what is in one, and keeps the latter out of every message."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

SLACK_CREDENTIAL = re.compile(
    r"xox[a-z][.-]|xapp-|hooks\.slack|(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])", re.IGNORECASE
)
"""Slack's tokens, a webhook's address, and the 32 hexadecimal digits of a signing secret (docs.slack.dev)."""

NAME = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}")
"""What a secret may be called (Secrets Manager's API reference, CreateSecret)."""

REDACTED = "(not shown: it looks like a secret)"


def redacted(text: str) -> str:
    """*text*, or what stands for it where it looks like a credential of Slack."""
    return REDACTED if SLACK_CREDENTIAL.search(text) else text


def _secret_name(value: str) -> str:
    if value and (SLACK_CREDENTIAL.search(value) or not NAME.fullmatch(value)):
        raise ValueError('the name of a secret in Secrets Manager, such as "ml-janitor/slack"')
    return value


def _channel(value: str) -> str:
    if SLACK_CREDENTIAL.search(value):
        raise ValueError('a channel such as "#ml-costs"')
    return value


SecretName = Annotated[str, AfterValidator(_secret_name)]
"""Where a secret is to be found; a value that is refused is never repeated."""

Channel = Annotated[str, AfterValidator(_channel)]
