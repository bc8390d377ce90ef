"""The secret for Slack, and the sender that it is for."""

from __future__ import annotations

import json

from ml_janitor.slack.bot import SlackBot
from ml_janitor.slack.retries import SlackError
from ml_janitor.slack.sender import SLACK_API, Sender, SenderClock
from ml_janitor.slack.webhook import Webhook


def parse_token_or_url(secret_text: str) -> str:
    """
    Return the webhook's URL or bot token in the secret; a token may be the "token" of a JSON object.

    Raises SlackError, which never repeats the secret.
    """
    secret = secret_text.strip()
    if secret.startswith("{"):
        try:
            secret = str(json.loads(secret)["token"])
        except (ValueError, LookupError):
            raise SlackError('the secret for Slack is JSON without a "token"') from None
    if not secret.startswith(("https://", "http://", "xoxb-")):
        raise SlackError("the secret for Slack holds neither a bot token (xoxb-...) nor a webhook's URL")
    return secret


ONE_CHANNEL_ERROR = (
    "the secret for Slack holds an incoming webhook, which posts to one channel only: put a bot token "
    "(xoxb-...) into it, or remove [slack.routes] from janitor.toml"
)
"""Error of a webhook with routes: a message for one channel must not reach another."""


def make_sender(
    secret_text: str, channel: str, time: SenderClock, *, url: str = SLACK_API, routed: bool = False
) -> Sender:
    """
    Create the sender for the secret, to *channel*, and to others where messages are *routed*.

    Raises SlackError, which never repeats the secret.
    """
    secret = parse_token_or_url(secret_text)
    if not secret.startswith("xoxb-"):
        if routed:
            raise SlackError(ONE_CHANNEL_ERROR)
        return Webhook(secret, time)
    if not channel:
        raise SlackError("slack_channel is not set in janitor.toml, and a bot token needs one")
    return SlackBot(secret, channel, time, url=url)


def read_slack_secret(name: str) -> str:
    """Read the secret *name*, cached for five minutes. Raises SlackError, without the secret."""
    from aws_lambda_powertools.utilities import parameters

    try:
        return str(parameters.get_secret(name, max_age=300))
    except parameters.exceptions.GetParameterError as error:
        raise SlackError(f"the secret {name} cannot be read: {' '.join(str(error).split())}") from None
