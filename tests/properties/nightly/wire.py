"""The way to the table, on which calls and answers get lost, and on which a process may die."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import ConnectionClosedError, ConnectTimeoutError

from standin import KilledError

KINDS = ("killed before", "killed after", "lost", "refused")

PLACES = (b'"action#', b'"action#', b'"action#', b'"limit', b'"finding#', b'"lease#', b'"hold#', b'"sweep#')
"""What requests are about, by the keys in them; most faults are to hit the actions."""


@dataclass(slots=True)
class Mishap:
    """What happens to the request about *place* after *skip* others: it, or its answer, gets lost."""

    kind: str
    place: bytes
    skip: int


class Wire:
    """Every request of *client* goes over it."""

    def __init__(self, client: Any) -> None:
        self._endpoint = client._endpoint
        self.mishap: Mishap | None = None
        self.dead = False
        self.met = False
        self.on_met: Callable[[], None] = lambda: None
        """Called when a mishap happens."""
        client.meta.events.register("before-send", self._send)

    def revive(self) -> None:
        """The next process has started."""
        self.dead, self.met, self.mishap = False, False, None

    def die(self) -> None:
        """Nothing of the program gets to run any more."""
        self.dead = True
        raise KilledError

    def _send(self, request: AWSPreparedRequest, **_: object) -> None:
        if self.dead:
            raise KilledError
        mishap = self.mishap
        if mishap is None or mishap.place not in _body(request):
            return
        if mishap.skip:
            mishap.skip -= 1
            return
        self.mishap, self.met = None, True
        self.on_met()
        if mishap.kind in {"killed after", "lost"}:
            self._endpoint._send(request)
        if mishap.kind.startswith("killed"):
            self.die()
        url = str(request.url)
        raise (ConnectionClosedError if mishap.kind == "lost" else ConnectTimeoutError)(endpoint_url=url)


def _body(request: AWSPreparedRequest) -> bytes:
    body: Any = request.body
    return body if isinstance(body, bytes) else str(body or "").encode()
