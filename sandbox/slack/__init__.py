"""A Slack over HTTP: one workspace that validates as Slack does, fails on request, and keeps what it got."""

from sandbox.slack.app import answer
from sandbox.slack.control import SlackControl
from sandbox.slack.presses import Signed, form, sign
from sandbox.slack.workspace import CHANNEL, HOOK, SIGNING_SECRET, TOKEN

__all__ = ["CHANNEL", "HOOK", "SIGNING_SECRET", "TOKEN", "Signed", "SlackControl", "answer", "form", "sign"]
