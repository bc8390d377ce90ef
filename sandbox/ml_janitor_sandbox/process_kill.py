"""
The end of a process between two of its steps, as Lambda ends a function that runs out of time.

The fault `killed` lets the request that it meets take effect, `killed-before` does not. Until
`Control.revive`, no request to AWS or Slack has any effect. A session that was given to `end_when_killed`
raises `Killed`, which no `except Exception` catches; other callers get errors of the code `Killed`, which
botocore does not retry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto_corrections import state

if TYPE_CHECKING:
    import boto3

CODE = "Killed"
MESSAGE = "The calling process was killed; the sandbox ignores its requests until it is revived."


class Killed(BaseException):
    """The death of the process."""


class Caller:
    """The process that calls the sandbox: killed or not."""

    def __init__(self) -> None:
        self.killed = False


def caller() -> Caller:
    """Return the sandbox's caller; a reset revives it."""
    return state.at(Caller, "", "")


def revive() -> None:
    """Let requests have effects again."""
    caller().killed = False


def end_when_killed(session: boto3.Session) -> None:
    """Make every client that *session* creates from now on raise `Killed` once its process was killed."""
    session.events.register("response-received", _raise_killed)


def _raise_killed(parsed_response: Any = None, **_: Any) -> None:
    if parsed_response and parsed_response.get("Error", {}).get("Code") == CODE:
        raise Killed
