"""Replies to a press so that only the person who pressed sees it, at the URL that came with the press."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from ml_janitor.slack.bot import QUIET, REQUEST_SECONDS
from ml_janitor.slack.retries import BROKEN
from ml_janitor.slack.sender import API, Time

HOOKS = ("https", "hooks.slack.com")
"""Where Slack's response URLs lie: https://docs.slack.dev/interactivity/handling-user-interaction."""

UNFINISHED = (
    "The janitor could not do that. It tries once more; if nothing changes here in a few minutes, ask "
    "whoever runs it: its log says why."
)
"""After a press that broke off."""


def ephemeral_replier(time: Time, *, deadline: float, url: str = API) -> Callable[[str, str], bool]:
    """
    Makes a function that posts a text at a response URL and answers whether it arrived.

    Nothing but Slack is ever called, whatever a press brings along; *url* is that of the Web API, by
    which a sandbox's Slack is known.
    """
    allowed = {HOOKS} if url == API else {(urlsplit(url).scheme, urlsplit(url).netloc)}

    def reply(response_url: str, text: str) -> bool:
        from slack_sdk import WebhookClient

        if not is_at(response_url, allowed):
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


def is_at(response_url: str, allowed: set[tuple[str, str]]) -> bool:
    """Whether the URL is at one of the *allowed* schemes and hosts, without a user, a port or a trick."""
    try:
        parts = urlsplit(response_url)
    except ValueError:
        return False
    clean = response_url.isascii() and response_url.isprintable() and not set(" \\@") & set(response_url)
    return clean and (parts.scheme, parts.netloc) in allowed
