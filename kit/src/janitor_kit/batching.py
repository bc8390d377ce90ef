"""
Batches requests to a model: each caller awaits its own answer, and the model computes many at once.

    batcher = Batcher(model, max_batch=32)      # model: list of requests -> one answer for each, in order
    answer = await batcher(request)             # from as many tasks as there are requests

One batch runs at a time. While it runs, requests wait; when it ends, the next batch is what waits by then. So
a request that finds the model free is never delayed, and the batches grow with the load. A model that is not
a coroutine function runs in a thread.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Generic, TypeVar

Req = TypeVar("Req")
Res = TypeVar("Res")

Answers = Iterable[Res | BaseException]
"""One for each request, in order; an exception fails that request alone."""
Model = Callable[[list[Req]], Answers[Res] | Awaitable[Answers[Res]]]


class ClosedError(RuntimeError):
    """The batcher was closed before this request was computed."""


class Overloaded(RuntimeError):  # noqa: N818 - nothing has failed: the caller is refused
    """So many requests wait already that the batcher takes no more."""


class RequestTimeoutError(TimeoutError):
    """The request had no answer within its timeout."""


class WrongAnswersError(RuntimeError):
    """The model did not return one answer for each request: nobody can say whose is whose."""


class ModelCrashedError(RuntimeError):
    """The model ended by something that is not an Exception, such as SystemExit: see its cause."""


@dataclass
class Counters:
    """Counts of requests so far. Each accepted request is later answered, failed, timed out or cancelled."""

    accepted: int = 0
    batches: int = 0
    computed: int = 0  # requests that reached the model; bisecting counts one again
    answered: int = 0
    failed: int = 0
    timed_out: int = 0
    cancelled: int = 0
    overloaded: int = 0
    """Requests that were refused because the queue was full: they count nowhere else."""


@dataclass(eq=False)
class _Entry(Generic[Req, Res]):
    request: Req
    bucket: Hashable
    arrived: float
    key: tuple[float, int]
    future: asyncio.Future[Res]
    place: asyncio.Future[None] | None = None  # that its caller awaits while the queue is full
    timer: asyncio.TimerHandle | None = None
    line: list[_Entry[Req, Res]] | None = None  # where it waits, sorted by key


KEY: Callable[[_Entry[Any, Any]], tuple[float, int]] = attrgetter("key")


class Batcher(Generic[Req, Res]):
    """
    Collects requests into batches for *model*; used from one event loop.

    *max_delay* is how long, in seconds, a free model waits for a batch to fill. At most *max_queue*
    requests wait; a further call raises `Overloaded` at once, and `submit` waits for a place. *timeout*
    is of a request, in seconds, from its call to its answer. A request of higher *priority* goes first,
    but each *ageing* seconds of waiting count as one level. Requests of one batch share the value of
    *bucket*. A batch whose model raises fails; with *bisect* it is halved and computed again until only
    the requests at fault fail. *executor* runs a model that is not a coroutine function; by default, a
    thread of its own.
    """

    def __init__(
        self,
        model: Model[Req, Res],
        *,
        max_batch: int = 32,
        max_delay: float = 0.0,
        max_queue: int = 1024,
        timeout: float | None = None,
        ageing: float = 1.0,
        bucket: Callable[[Req], Hashable] | None = None,
        bisect: bool = False,
        executor: Executor | None = None,
    ) -> None:
        if max_batch < 1 or max_queue < 1:
            raise ValueError("max_batch and max_queue are at least 1")
        if not (0 <= max_delay < math.inf and 0 < ageing < math.inf and (timeout is None or timeout > 0)):
            raise ValueError("max_delay is 0 or more, ageing and timeout are more than 0")
        self.counters = Counters()
        self._model, self._max_batch, self._max_delay, self._max_queue = (
            model,
            max_batch,
            max_delay,
            max_queue,
        )
        self._timeout, self._ageing, self._bucket, self._bisect = timeout, ageing, bucket, bisect
        self._is_async = any(map(inspect.iscoroutinefunction, (model, type(model).__call__)))
        self._executor, self._owned = executor, executor is None
        self._context = contextvars.copy_context()  # the model sees no single caller's variables
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._reset()

    def _reset(self) -> None:
        self._lines: dict[Hashable, list[_Entry[Req, Res]]] = {}  # the queue, by bucket
        self._queued = 0
        self._lobby: list[_Entry[Req, Res]] = []  # producers that wait for a place in the queue
        self._halves: deque[list[_Entry[Req, Res]]] = deque()  # of a batch that failed
        self._running = self._starting = False
        self._timer: asyncio.TimerHandle | None = None
        self._closing: list[asyncio.Future[None]] = []

    @property
    def waiting(self) -> int:
        """Number of requests that wait for the model, or for a place in the queue."""
        return self._queued + len(self._lobby)

    async def __call__(self, request: Req, *, priority: int = 0, timeout: float | None = None) -> Res:
        """
        Return the model's answer to one request; a cancelled caller withdraws what still waits.

        Raises `Overloaded` where *max_queue* requests wait.
        """
        if self._loop is asyncio.get_running_loop() and self._queued >= self._max_queue and not self._closed:
            self.counters.overloaded += 1
            raise Overloaded(f"{self._queued} requests wait, the most that max_queue allows")
        return await self._accepted(request, priority, timeout).future

    async def submit(
        self, request: Req, *, priority: int = 0, timeout: float | None = None
    ) -> asyncio.Future[Res]:
        """Return an answer's future once the queue has a place: for a producer that must not run ahead."""
        entry = self._accepted(request, priority, timeout)
        if entry.line is self._lobby:
            entry.place = entry.future.get_loop().create_future()
            try:
                await entry.place
            except asyncio.CancelledError:
                entry.future.cancel()
                raise
        return entry.future

    async def close(self, *, drain: bool = True) -> None:
        """Take no more requests, and return when those that wait are answered; without *drain*, fail them."""
        self._closed = True
        if self._loop is not None and not self._loop.is_closed():
            self._bound()
            if not drain:
                for line in (*self._lines.values(), self._lobby, *self._halves):
                    for entry in line:
                        self._fail(entry, ClosedError("the batcher was closed before this was computed"))
            self._closing.append(self._loop.create_future())
            self._kick()
            await self._closing[-1]
        if self._owned and self._executor is not None:
            self._executor.shutdown(wait=False)

    async def __aenter__(self) -> Batcher[Req, Res]:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self.close(drain=error is None)

    def _bound(self) -> asyncio.AbstractEventLoop:
        """Return the running loop. A batcher moves to another loop if it left nothing in the one before."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop and not self._loop.is_closed() and (self._running or self.waiting or self._halves):
                raise RuntimeError("the batcher is in use in another event loop")
            self._reset()
            self._loop = loop
        return loop

    def _accepted(self, request: Req, priority: int, timeout: float | None) -> _Entry[Req, Res]:
        if self._closed:
            raise ClosedError("the batcher is closed")
        loop = self._bound()
        bucket = self._bucket(request) if self._bucket else None
        hash(bucket)  # one that cannot be a key is this caller's mistake
        key = (loop.time() - priority * self._ageing, self.counters.accepted)
        entry: _Entry[Req, Res] = _Entry(request, bucket, loop.time(), key, loop.create_future())
        self.counters.accepted += 1
        entry.future.add_done_callback(lambda _: self._resolved(entry), context=self._context)
        if (limit := self._timeout if timeout is None else timeout) is not None:
            late = RequestTimeoutError(f"no answer within {limit:g} s")
            entry.timer = loop.call_later(limit, self._fail, entry, late, context=self._context)
        if self._queued < self._max_queue:
            self._enqueue(entry)
        else:
            entry.line = self._lobby
            insort(self._lobby, entry, key=KEY)
        return entry

    def _enqueue(self, entry: _Entry[Req, Res]) -> None:
        entry.line = self._lines.setdefault(entry.bucket, [])
        insort(entry.line, entry, key=KEY)
        self._queued += 1
        self._kick()

    def _leave(self, entry: _Entry[Req, Res]) -> None:
        """Take a request from where it waits; its place in the queue goes to the next that waits for one."""
        line, entry.line = entry.line, None
        if line is None:
            return
        del line[bisect_left(line, entry.key, key=KEY)]
        if line is not self._lobby:
            self._queued -= 1
            if not line:
                del self._lines[entry.bucket]
            if self._lobby:
                following = self._lobby.pop(0)
                self._enqueue(following)
                _open(following)

    def _resolved(self, entry: _Entry[Req, Res]) -> None:
        if entry.timer is not None:
            entry.timer.cancel()
        self._leave(entry)
        _open(entry)
        self.counters.cancelled += entry.future.cancelled()

    def _fail(self, entry: _Entry[Req, Res], error: BaseException) -> None:
        if entry.future.done():
            return
        if not isinstance(error, Exception) or isinstance(error, StopIteration):  # which a future refuses
            crashed = ModelCrashedError(f"the model ended by {type(error).__name__}: {error}")
            crashed.__cause__, error = error, crashed
        entry.future.set_exception(error)
        if isinstance(error, RequestTimeoutError):
            self.counters.timed_out += 1
        else:
            self.counters.failed += 1

    def _kick(self) -> None:
        """Start a batch after the callbacks that are ready: callers that were just answered may ask again."""
        if self._loop is not None and not (self._starting or self._running):
            self._starting = True
            self._loop.call_soon(self._start, context=self._context)

    def _start(self) -> None:
        self._starting = False
        if self._loop is None or self._running:
            return
        if not (batch := self._next(self._loop)):
            for closing in [] if self._lines else self._closing:
                if not closing.done():
                    closing.set_result(None)
            return
        self._running = True
        if self._is_async:
            self._await(batch)
            return
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="batcher")
        try:
            self._executor.submit(self._in_thread, self._loop, batch)
        except RuntimeError as error:  # the executor, or the interpreter, is shutting down
            self._finish(batch, None, error)

    def _next(self, loop: asyncio.AbstractEventLoop) -> list[_Entry[Req, Res]]:
        """Take the next batch; if nothing is due, set a timer for what will be and return none."""
        if self._timer is not None:
            self._timer.cancel()
        while self._halves:
            if batch := [entry for entry in self._halves.popleft() if not _gone(entry)]:
                return batch
        while self._lines:
            at_once = not self._max_delay or self._closed or self._queued >= self._max_queue
            due = {
                bucket: -math.inf if at_once or len(line) >= self._max_batch else min(e.arrived for e in line)
                for bucket, line in self._lines.items()
            }
            ready = [bucket for bucket, since in due.items() if since + self._max_delay <= loop.time()]
            if not ready:
                at = min(due.values()) + self._max_delay
                self._timer = loop.call_at(at, self._kick, context=self._context)
                break
            bucket = min(ready, key=lambda size: self._lines[size][0].key)
            batch = []
            while len(batch) < self._max_batch and (line := self._lines.get(bucket)):
                entry = line[0]
                self._leave(entry)
                if not _gone(entry):
                    batch.append(entry)
            if batch:
                return batch
        return []

    def _called(self, batch: list[_Entry[Req, Res]]) -> Any:
        """Call the model with the requests of a batch that still wait; from now, cancelling is too late."""
        batch[:] = [entry for entry in batch if not _gone(entry)]
        if not batch:
            return []
        self.counters.batches += 1
        self.counters.computed += len(batch)
        return self._model([entry.request for entry in batch])

    def _in_thread(self, loop: asyncio.AbstractEventLoop, batch: list[_Entry[Req, Res]]) -> None:
        answers: Any = None
        error: BaseException | None = None
        try:
            answers = self._called(batch)
            answers = answers if inspect.isawaitable(answers) else _listed(answers)
        except BaseException as raised:  # whatever it is, the callers must not wait forever
            error = raised
        loop.call_soon_threadsafe(self._finish, batch, answers, error)  # if it was closed, nobody waits

    def _await(self, batch: list[_Entry[Req, Res]], answers: Any = None) -> None:
        async def listed() -> list[Res | BaseException]:
            found = self._called(batch) if answers is None else answers
            return _listed(await found if inspect.isawaitable(found) else found)

        def ended(task: asyncio.Task[list[Res | BaseException]]) -> None:
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            self._finish(batch, None if error else task.result(), error)

        self._task = asyncio.ensure_future(listed())  # the loop itself would let it go
        self._task.add_done_callback(ended, context=self._context)

    def _finish(self, batch: list[_Entry[Req, Res]], answers: Any, error: BaseException | None) -> None:
        if inspect.isawaitable(answers):  # from a function that is no coroutine function
            self._await(batch, answers)
            return
        self._running = False
        if error is None and len(answers) != len(batch):
            error = WrongAnswersError(f"the model returned {len(answers)} answers for {len(batch)} requests")
        elif self._bisect and len(batch) > 1 and _at_fault(error):
            middle = len(batch) // 2
            self._halves += (batch[:middle], batch[middle:])
            batch = []
        for entry, answer in zip(batch, answers if error is None else [error] * len(batch), strict=True):
            if isinstance(answer, BaseException):
                self._fail(entry, answer)
            elif not entry.future.done():
                self.counters.answered += 1
                entry.future.set_result(answer)
        self._kick()


def _at_fault(error: BaseException | None) -> bool:
    """Tell whether one request of a batch may be why the model raised."""
    return isinstance(error, Exception) and not isinstance(error, WrongAnswersError)


def _gone(entry: _Entry[Any, Any]) -> bool:
    return entry.future.done() or (entry.place is not None and entry.place.cancelled())


def _open(entry: _Entry[Any, Any]) -> None:
    if entry.place is not None and not entry.place.done():
        entry.place.set_result(None)


def _listed(answers: Answers[Res]) -> list[Res | BaseException]:
    if isinstance(answers, (str, bytes, Mapping)) or not hasattr(answers, "__iter__"):
        raise WrongAnswersError(
            f"the model returned one {type(answers).__name__}, not an answer for each request"
        )
    return list(answers)
