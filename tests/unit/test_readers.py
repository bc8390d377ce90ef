"""Readers of one detector wait for their turns without keeping those of another."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event, Lock

from ml_janitor.aws.calls import READ_THREADS
from ml_janitor.aws.client import ReaderThreads


def test_a_long_list_that_waits_keeps_nobody_else_from_reading() -> None:
    readers, turn, waiting = ReaderThreads(), Event(), Barrier(READ_THREADS + 1)

    def wait(number: int) -> int:
        if number < READ_THREADS:
            waiting.wait(20)
        assert turn.wait(20)
        return number

    with ThreadPoolExecutor(1) as detector:
        slow = detector.submit(lambda: readers.map(wait, range(10 * READ_THREADS)))
        waiting.wait(20)
        assert readers.map(str, range(3)) == ["0", "1", "2"]
        turn.set()
        assert slow.result(20) == [*range(10 * READ_THREADS)]


def test_so_many_of_a_list_are_read_side_by_side() -> None:
    under_way, most, lock, full = 0, 0, Lock(), Event()

    def read(_: int) -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
            if under_way == READ_THREADS:
                full.set()
        assert full.wait(20)
        with lock:
            under_way -= 1

    ReaderThreads().map(read, range(3 * READ_THREADS))

    assert most == READ_THREADS
