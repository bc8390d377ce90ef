"""Lambda's Invoke: functions that run here are run, and events are taken and left for a test to deliver."""

import json
import urllib.request
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from ml_janitor_sandbox.wire import Asked, Environ, Reply, reply
from moto_corrections import state

LONGEST = 960.0
"""Seconds that a function on a URL is waited for: no function works as long."""


class Outcome(NamedTuple):
    """A run's result, and the type of its error, if it failed."""

    payload: Any
    error: str | None = None


type Code = Callable[[Any], Outcome]
"""What runs for an event."""

RUNNING: dict[str, Code] = {}
"""The functions that run here, by name or by ARN, until a reset."""


class Invocations(list[dict[str, Any]]):
    """The payloads of invocations, in order."""


def invoke(asked: Asked, environ: Environ) -> Reply:
    """
    Return Lambda's answer: the function's, if awaited and run here; else 202, and the event is kept.

    A function exists as soon as it is named. A failed one is answered with 200 and a header, as on AWS.
    """
    event = json.loads(asked.body or b"{}")
    function = asked.path.split("/functions/")[1].split("/")[0]
    code = RUNNING.get(function) or RUNNING.get(function.rpartition(":")[2])
    if code is not None and environ.get("HTTP_X_AMZ_INVOCATION_TYPE", "RequestResponse") != "Event":
        done = code(event)
        more: Mapping[str, str] = {"X-Amz-Executed-Version": "$LATEST"}
        if done.error is not None:
            more = {**more, "X-Amz-Function-Error": "Unhandled"}
        return reply(json.dumps(done.payload).encode(), "application/json", more=more)
    with state.LOCK:
        invocations().append({"function": function, "event": event})
    return reply(b"", status=HTTPStatus.ACCEPTED)


def invocations() -> Invocations:
    """Return all of them, forgotten with everything else at a reset."""
    return state.at(Invocations, "lambda", "invocations")


def on_url(url: str, *, patience: float = LONGEST) -> Code:
    """Return a function that answers at *url*, as AWS's runtime interface emulator does (`Emulator`)."""

    def run(event: Any) -> Outcome:
        request = urllib.request.Request(  # noqa: S310 - the scheme is the caller's, and http
            url, data=json.dumps(event).encode(), headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=patience) as answered:  # noqa: S310
            text = answered.read().decode()
        try:
            payload = json.loads(text)
        except json.JSONDecodeError:  # Lambda's own words, such as "Task timed out after 3.00 seconds"
            return Outcome({"errorMessage": text}, "Sandbox.Timedout")
        return Outcome(payload, payload.get("errorType") if isinstance(payload, dict) else None)

    return run
