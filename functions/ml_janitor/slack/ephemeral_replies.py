"""Replies to a press at its response URL; only the person who pressed sees the reply."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from ml_janitor.slack.bot import QUIET, REQUEST_SECONDS
from ml_janitor.slack.retries import BROKEN
from ml_janitor.slack.sender import API, Time

HOOKS = ("https", "hooks.slack.com")
"""The scheme and host of Slack's response URLs: https://docs.slack.dev/interactivity/handling-user-interaction."""

UNFINISHED = (
    "The janitor could not do that. It tries once more; if nothing changes here in a few minutes, ask the "
    "people who run it: its log says why."
)
"""The reply to a press whose work failed."""


def ephemeral_replier(time: Time, *, deadline: float, url: str = API) -> Callable[[str, str], bool]:
    """
    Create a function that posts a text to a response URL and returns whether it arrived.

    It calls only Slack, whatever URL a press contains. *url* is that of the Web API, which differs in a
    sandbox.
    """
    allowed = {HOOKS} if url == API else {(urlsplit(url).scheme, urlsplit(url).netloc)}

    def reply(response_url: str, text: str) -> bool:
        from slack_sdk import WebhookClient

        if not is_allowed(response_url, allowed):
            return False
        client = WebhookClient(
            response_url,
            timeout=REQUEST_SECONDS,
            retry_handlers=time.until(deadline).retries(),
            logger=QUIET,
        )
        try:
            answer = client.send(text=text, response_type="ephemeral", replace_original=False)
        except BROKEN:
            return False
        return answer.status_code < 300

    return reply


def is_allowed(response_url: str, allowed: set[tuple[str, str]]) -> bool:
    """Whether the URL has one of the *allowed* schemes and hosts, and no user, port or backslash."""
    try:
        parts = urlsplit(response_url)
    except ValueError:
        return False
    clean = response_url.isascii() and response_url.isprintable() and not set(" \\@") & set(response_url)
    return clean and (parts.scheme, parts.netloc) in allowed
