"""The secret for Slack: where it is kept, and which sender it makes."""

from __future__ import annotations

import json

from ml_janitor.slack.bot import Slack
from ml_janitor.slack.retries import SlackError
from ml_janitor.slack.sender import API, Sender, Time
from ml_janitor.slack.webhook import Webhook


def held(secret_text: str) -> str:
    """
    What the secret holds: a webhook's URL, or a bot token, which may stand as "token" in JSON.

    Raises SlackError, which never repeats the secret.
    """
    said = secret_text.strip()
    if said.startswith("{"):
        try:
            said = str(json.loads(said)["token"])
        except (ValueError, LookupError):
            raise SlackError('the secret for Slack is JSON without a "token"') from None
    if not said.startswith(("https://", "http://", "xoxb-")):
        raise SlackError("the secret for Slack holds neither a bot token (xoxb-...) nor a webhook's URL")
    return said


def sender(secret_text: str, channel: str, time: Time, *, url: str = API) -> Sender:
    """A sender from what the secret holds. Raises SlackError, which never repeats the secret."""
    said = held(secret_text)
    if not said.startswith("xoxb-"):
        return Webhook(said, time)
    if not channel:
        raise SlackError("slack_channel is not set in janitor.toml, and a bot token needs one")
    return Slack(said, channel, time, url=url)


def secret(name: str) -> str:
    """The secret *name*, read once and kept for a while. Raises SlackError, without the secret."""
    from aws_lambda_powertools.utilities import parameters

    try:
        return str(parameters.get_secret(name, max_age=300))
    except parameters.exceptions.GetParameterError as error:
        raise SlackError(f"the secret {name} cannot be read: {' '.join(str(error).split())}") from None
