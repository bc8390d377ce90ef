"""
The end of a process, as when Lambda kills a function between two of its steps.

A `killed` fault lets the request it meets be done, `killed-before` does not; from then on nobody's requests
do anything, AWS's and Slack's alike, until `Control.revive`: what the process would have gone on to do,
a dead one does not. Whoever calls in-process gives its session to `mortal` and is ended by `Killed`, which
no `except Exception` holds up. Others get errors of the code `Killed`, which botocore does not try again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_janitor_sandbox import state

if TYPE_CHECKING:
    import boto3

CODE = "Killed"
MESSAGE = "The process that asked was killed; the sandbox does nothing more for it until it is revived."


class Killed(BaseException):
    """The process is no more."""


class Life:
    """Whether the one who asks is alive."""

    def __init__(self) -> None:
        self.over = False


def life() -> Life:
    """That of the whole sandbox, which a reset gives back."""
    return state.at(Life, "", "")


def mortal(session: boto3.Session) -> None:
    """Have every client that is made of the session from now on die where the sandbox says so."""
    session.events.register("response-received", _die)


def _die(parsed_response: Any = None, **_: Any) -> None:
    if parsed_response and parsed_response.get("Error", {}).get("Code") == CODE:
        raise Killed
