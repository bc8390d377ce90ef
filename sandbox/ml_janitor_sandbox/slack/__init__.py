"""A Slack over HTTP: one workspace that validates as Slack does, fails on request, and keeps what it got."""

from ml_janitor_sandbox.slack.app import answer
from ml_janitor_sandbox.slack.control import SlackControl
from ml_janitor_sandbox.slack.presses import Signed, form, sign
from ml_janitor_sandbox.slack.workspace import CHANNEL, HOOK, SIGNING_SECRET, TOKEN

__all__ = ["CHANNEL", "HOOK", "SIGNING_SECRET", "TOKEN", "Signed", "SlackControl", "answer", "form", "sign"]
