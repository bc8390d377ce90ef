"""The example of docs/kit.md, called as a server calls it."""

import asyncio
import importlib.util
import json
from pathlib import Path
from typing import Any

from virtual_time import run

PATH = Path(__file__).parent.parent / "examples" / "asgi_batching.py"


def example() -> Any:
    spec = importlib.util.spec_from_file_location("asgi_batching", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def asked(app: Any, *chunks: bytes, hang_up: bool = False, **headers: str) -> tuple[int, Any] | None:
    """The status and the content of a response, or None if there was none."""
    messages = [
        {"type": "http.request", "body": chunk, "more_body": number < len(chunks)}
        for number, chunk in enumerate(chunks, start=1)
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        if messages:
            return messages.pop(0)
        if not hang_up:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await app({"type": "http", "headers": raw}, receive, send)
    return (sent[0]["status"], json.loads(sent[1]["body"])) if sent else None


def test_requests_share_a_batch_and_a_bad_one_fails_alone() -> None:
    module, batches = example(), []

    async def model(batch: list[Any]) -> Any:
        batches.append(len(batch))
        await asyncio.sleep(0.01)
        return module.model(batch)

    async def main() -> None:
        app = module.App()
        app.batcher = module.Batcher(model, timeout=2.0)
        found = await asyncio.gather(
            asked(app, b"[1, 2, ", b"6]"),
            asked(app, b"[4]", priority="3"),
            asked(app, b"[]"),
            asked(app, b'["x"]'),
            asked(app, b"[1]", priority="high"),
        )
        assert found[:3] == [(200, 3.0), (200, 4.0), (400, {"error": "no numbers"})]
        assert [one[0] for one in found[3:] if one] == [400, 400]
        assert batches == [3]

    run(main())


def test_a_client_that_hangs_up_takes_its_request_back_and_one_that_waits_too_long_gets_503() -> None:
    module = example()
    computed: list[Any] = []

    async def model(batch: list[Any]) -> Any:
        computed.extend(batch)
        await asyncio.sleep(3)
        return [0.0] * len(batch)

    async def main() -> None:
        app = module.App()
        app.batcher = module.Batcher(model, timeout=2.0)
        first = asyncio.create_task(asked(app, b"[1]"))
        await asyncio.sleep(0.1)
        assert await asked(app, b"[2]", hang_up=True) is None
        assert await asked(app, hang_up=True) is None
        assert await first == (503, {"error": "no answer within 2 s"})
        await app.batcher.close()
        assert computed == [[1.0]]

    run(main())


def test_what_was_accepted_is_answered_before_the_server_stops() -> None:
    module = example()

    async def main() -> None:
        app, sent = module.App(), []
        inbox: asyncio.Queue[Any] = asyncio.Queue()
        inbox.put_nowait({"type": "lifespan.startup"})

        async def send(message: Any) -> None:
            sent.append(message["type"])

        living = asyncio.create_task(app({"type": "lifespan"}, inbox.get, send))
        answer = asyncio.create_task(asked(app, b"[5, 7]"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        inbox.put_nowait({"type": "lifespan.shutdown"})
        assert await answer == (200, 6.0)
        await living
        assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        found = await asked(app, b"[1]")
        assert found is not None
        assert found[0] == 503

    asyncio.run(main())
