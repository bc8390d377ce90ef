"""Asynchronous invocations of functions: taken, remembered, and left for a test to deliver."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from ml_janitor_sandbox import state
from ml_janitor_sandbox.wire import Asked, Reply, reply


@dataclass(slots=True)
class Invocations:
    """What was handed over in an account and region, in order."""

    made: list[dict[str, Any]] = field(default_factory=list)


def invoke(asked: Asked) -> Reply:
    """Lambda's answer to an event: 202, and nothing else. A function exists as soon as it is named."""
    event = json.loads(asked.body or b"{}")
    function = asked.path.split("/functions/")[1].split("/")[0]
    with state.LOCK:
        invocations().made.append({"function": function, "event": event})
    return reply(b"", status=HTTPStatus.ACCEPTED)


def invocations() -> Invocations:
    """All of them, forgotten with everything else at a reset."""
    return state.at(Invocations, "lambda", "invocations")
