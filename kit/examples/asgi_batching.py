"""
A model behind HTTP whose requests share batches: plain ASGI, for any server (`uvicorn asgi_batching:app`).

A request is `POST /` with a JSON list of numbers, and its answer their mean. The header `priority` is a whole
number; a request that waits too long gets 503, and one whose client hangs up is taken back.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from janitor_kit.batching import Batcher, ClosedError, Overloaded, RequestTimeoutError

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def model(batch: list[list[float]]) -> list[float | Exception]:
    """Stands for one that is faster for many at once; it may block, because it runs in a thread."""
    return [sum(row) / len(row) if row else ValueError("no numbers") for row in batch]


class App:
    """The batcher lives from the server's start to its end: what was accepted is answered before it stops."""

    def __init__(self) -> None:
        self.batcher = Batcher(model, max_batch=64, timeout=2.0)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.live(receive, send)
        elif scope["type"] == "http":
            await self.respond(scope, receive, send)

    async def live(self, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": message["type"] + ".complete"})
        await self.batcher.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def respond(self, scope: Message, receive: Receive, send: Send) -> None:
        if (body := await body_of(receive)) is None:
            return
        answer = asyncio.ensure_future(self.answer(scope, body))
        gone = asyncio.ensure_future(hung_up(receive))
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if not answer.done():
            answer.cancel()
            return
        status, content = answer.result()
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(content).encode()})

    async def answer(self, scope: Message, body: bytes) -> tuple[int, object]:
        """The status and the content of a response."""
        try:
            row = [float(number) for number in json.loads(body)]
            priority = int(dict(scope["headers"]).get(b"priority", b"0"))
            return 200, await self.batcher(row, priority=priority)
        except (TypeError, ValueError) as error:
            return 400, {"error": str(error)}
        except (ClosedError, Overloaded, RequestTimeoutError) as error:
            return 503, {"error": str(error)}


async def body_of(receive: Receive) -> bytes | None:
    """The whole body; None if the client hung up before it was there."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


async def hung_up(receive: Receive) -> None:
    """Returns when the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


app = App()
