"""Asynchronous invocations of functions: taken, remembered, and left for a test to deliver."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ml_janitor_sandbox import state

if TYPE_CHECKING:
    from ml_janitor_sandbox.wire import Asked


@dataclass(slots=True)
class Invocations:
    """What was handed over in an account and region, in order."""

    made: list[dict[str, Any]] = field(default_factory=list)


def invoke(asked: Asked) -> tuple[str, list[tuple[str, str]], bytes]:
    """Lambda's answer to an event: 202, and nothing else. A function exists as soon as it is named."""
    event = json.loads(asked.body or b"{}")
    function = asked.path.split("/functions/")[1].split("/")[0]
    with state.LOCK:
        invocations().made.append({"function": function, "event": event})
    accepted = HTTPStatus.ACCEPTED
    return f"{accepted.value} {accepted.phrase}", [("Content-Length", "0")], b""


def invocations() -> Invocations:
    """All of them, forgotten with everything else at a reset."""
    return state.at(Invocations, "lambda", "invocations")
