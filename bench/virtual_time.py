"""A clock that moves on when every thread waits, and a rate as AWS enforces it."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import Any, Self

from botocore.httpsession import URLLib3Session

GLANCE = 0.001
"""Seconds between two looks at whether anything but waiting goes on."""

IDLE = 0.0003
"""Seconds of computing in a glance that looking itself may take."""


class VirtualTime:
    """
    Seconds that pass while all threads of this process sleep by `sleep`, and no request is under way.

    A request takes a *round_trip*. *moved* hears of each new time before anybody does.

    Without *workers*, a thread that is slowed down by others on a real machine is waited for too short at
    worst: its next call is then later than it would be, so what a run takes is never shown too short. All
    *workers*, each within `working`, have to sleep before time passes.
    """

    def __init__(
        self,
        start: float,
        *,
        round_trip: float,
        moved: Callable[[float], None] = lambda _: None,
        workers: int = 0,
    ) -> None:
        self._now = start
        self._round_trip = round_trip
        self._moved = moved
        self._sleeping: list[tuple[float, int, threading.Event]] = []
        self._order = count()
        self._lock = threading.Lock()
        self._under_way = 0
        self._workers = workers
        self._ended = False

    def clock(self) -> float:
        """Return the virtual time."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Wait until so many *seconds* have passed for everybody."""
        woken = threading.Event()
        with self._lock:
            heapq.heappush(self._sleeping, (self._now + seconds, next(self._order), woken))
        woken.wait()

    @contextmanager
    def working(self) -> Iterator[None]:
        """One of the workers, until its work has ended."""
        try:
            yield
        finally:
            with self._lock:
                self._workers -= 1

    def __enter__(self) -> Self:
        self._send: Any = URLLib3Session.send
        send = self._sent

        def sent(session: Any, request: Any) -> Any:
            return send(session, request)

        setattr(URLLib3Session, "send", sent)  # noqa: B010
        self._ticker = threading.Thread(target=self._tick, name="virtual time", daemon=True)
        self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        self._ticker.join()
        setattr(URLLib3Session, "send", self._send)  # noqa: B010

    def _sent(self, session: Any, request: Any) -> Any:
        with self._counted():
            answer = self._send(session, request)
        self.sleep(self._round_trip)
        return answer

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self._under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1

    def _tick(self) -> None:
        while not self._ended:
            before = time.process_time()
            time.sleep(GLANCE)
            if time.process_time() - before < IDLE:
                self._move_on()

    def _move_on(self) -> None:
        with self._lock:
            if self._under_way or len(self._sleeping) < max(self._workers, 1):
                return
            self._now = max(self._now, self._sleeping[0][0])
            self._moved(self._now)
            while self._sleeping and self._sleeping[0][0] <= self._now:
                heapq.heappop(self._sleeping)[2].set()


@dataclass
class Bucket:
    """AWS's: it holds one second's requests, and is refilled steadily."""

    rate: float
    filled: float = float("-inf")

    def refuses(self, at: float) -> bool:
        """Tell whether a request at that time exceeds the rate. The bucket starts full."""
        empty = max(self.filled, at - 1) + 1 / self.rate
        if empty > at + 1e-5:
            return True
        self.filled = empty
        return False
