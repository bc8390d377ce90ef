"""A press on a warning's button as Slack sends it to a function URL, for whoever only needs one."""

from ml_janitor.report.mrkdwn import Message, button_row, make_button
from ml_janitor.slack.client import SenderClock, SlackBot
from ml_janitor_sandbox.slack import CHANNEL, TOKEN, Signed, SlackControl

KEEP = "janitor:keep"
USER = "U1"


def keep_press(slack: SlackControl) -> Signed:
    """Press *Keep* on a message that was posted just now."""
    slack.add_user(USER, "maria@acme.example")
    row = button_row([make_button("Keep", KEEP, "idle-endpoints 123456789012 us-east-1 0123456789")])
    sender = SlackBot(TOKEN, CHANNEL, SenderClock(clock=lambda: 0.0, sleep=lambda _: None), url=slack.api)
    sender.post(Message(text="warned", blocks=(row,)), deadline=60.0)
    return slack.press(slack.messages()[-1]["ts"], KEEP, user=USER)
