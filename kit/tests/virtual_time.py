"""An event loop whose time moves only when everybody waits, and then at once to the next timer."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    """Instead of waiting, moves the time of its loop."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise AssertionError("everybody waits, and nothing will come")
        if timeout > 0:
            for check in self.loop.checks:
                check()
            self.loop.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """*checks* run whenever time is about to pass. *errors* are what nobody caught."""

    def __init__(self) -> None:
        self.now = 0.0
        self.checks: list[Callable[[], None]] = []
        self.errors: list[dict[str, Any]] = []
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)
        self.set_exception_handler(lambda _, context: self.errors.append(context))

    def time(self) -> float:
        return self.now


class VirtualExecutor(Executor):
    """Computes after *seconds* of virtual time, which a thread would take."""

    def __init__(self, seconds: Callable[[], float] = lambda: 0.01) -> None:
        self.seconds = seconds

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        loop = asyncio.get_running_loop()
        loop.call_later(self.seconds(), lambda: fn(*args, **kwargs))
        return Future()


def run(main: Coroutine[Any, Any, T], loop: VirtualLoop | None = None) -> T:
    """The result of *main* on a loop of virtual time, on which nothing went wrong unseen."""
    loop = loop or VirtualLoop()
    try:
        result = loop.run_until_complete(main)
        loop.run_until_complete(asyncio.sleep(0))
        assert not asyncio.all_tasks(loop), "tasks are left over"
    finally:
        loop.close()
    assert not loop.errors, loop.errors
    return result
