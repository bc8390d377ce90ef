"""Random callers of one batcher on virtual time, and a model that holds the batcher to its laws."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from janitor_kit.batching import (
    Batcher,
    ClosedError,
    ModelCrashedError,
    Overloaded,
    RequestTimeoutError,
    WrongAnswersError,
)
from virtual_time import VirtualExecutor, VirtualLoop, run

T = TypeVar("T")
EPSILON = 1e-9
FAULTS = ("none", "wrong", "crash", "raise")


class PoisonError(Exception):
    """What the model says to a request that it cannot compute."""


class CrashError(BaseException):
    """No Exception."""


@dataclass(frozen=True)
class Act:
    """One caller: when it comes, what it asks for, and after how long it gives up, if it does."""

    at: float = 0.0
    priority: int = 0
    bucket: int = 0
    timeout: float | None = None
    cancel_after: float | None = None
    poison: bool = False
    by_future: bool = False


@dataclass(frozen=True)
class Plan:
    """How the batcher is set, what its model does at each batch, and whether it is closed early."""

    max_batch: int = 4
    max_delay: float = 0.0
    max_queue: int = 8
    ageing: float = 0.01
    bisect: bool = False
    sync: bool = False
    raises: bool = False
    durations: tuple[float, ...] = (0.01,)
    faults: tuple[str, ...] = ("none",)
    close_at: float | None = None
    drain: bool = True


@dataclass
class World:
    """Laws that a batch can break are checked when it begins, those of time whenever time passes."""

    plan: Plan
    acts: Sequence[Act]
    ordered: bool = True  # compare the head of each batch with all who wait
    loop: VirtualLoop = field(default_factory=VirtualLoop)
    waiting: dict[int, tuple[float, int]] = field(default_factory=dict)
    arrived: dict[int, float] = field(default_factory=dict)
    begun: Counter[int] = field(default_factory=Counter)
    gone: set[int] = field(default_factory=set)  # cancelled or late before they began
    handed: set[int] = field(default_factory=set)  # whose callers have a future, and which did not begin
    refused: set[int] = field(default_factory=set)  # that came while the queue was full
    spoiled: set[int] = field(default_factory=set)  # of a batch with a fault
    last: dict[tuple[int, int], int] = field(default_factory=dict)
    outcomes: dict[int, object] = field(default_factory=dict)
    busy: bool = False
    closed: bool = False
    batches: int = 0

    def play(self) -> World:
        """All callers come and go; then the laws over all of them are checked."""
        self.loop.checks.append(self.check_time)
        run(self.main(), self.loop)
        self.check_end()
        return self

    async def main(self) -> None:
        plan = self.plan
        self.batcher: Batcher[int, int] = Batcher(
            self.sync_model if plan.sync else self.model,
            max_batch=plan.max_batch,
            max_delay=plan.max_delay,
            max_queue=plan.max_queue,
            ageing=plan.ageing,
            bisect=plan.bisect,
            bucket=lambda number: self.acts[number].bucket,
            executor=_Executor(self) if plan.sync else None,
        )
        tasks: list[asyncio.Task[None]] = []
        if plan.close_at is not None:
            tasks.append(asyncio.create_task(self.close(plan.close_at)))
        for number in sorted(range(len(self.acts)), key=lambda one: self.acts[one].at):
            if (pause := self.acts[number].at - self.loop.time()) > 0:
                await asyncio.sleep(pause)
            tasks.append(asyncio.create_task(self.caller(number)))
        await asyncio.gather(*tasks, return_exceptions=False)
        await self.batcher.close()

    async def close(self, at: float) -> None:
        await asyncio.sleep(at)
        await self.batcher.close(drain=self.plan.drain)
        assert not self.batcher.waiting
        self.closed = True

    async def caller(self, number: int) -> None:
        act = self.acts[number]
        task = asyncio.ensure_future(self.asked(number))
        if act.cancel_after is not None:
            self.loop.call_later(act.cancel_after, self.cancel, number, task)
        try:
            self.outcomes[number] = await task
        except asyncio.CancelledError:
            self.outcomes[number] = "cancelled"
        except Exception as error:  # each kind is checked at the end
            self.outcomes[number] = error
        self.waiting.pop(number, None)
        self.handed.discard(number)
        if act.timeout is not None:
            late = self.loop.time() - self.arrived[number] - act.timeout
            assert late <= EPSILON
            assert not isinstance(self.outcomes[number], RequestTimeoutError) or late >= -EPSILON

    async def asked(self, number: int) -> int:
        act = self.acts[number]
        self.arrived[number] = self.loop.time()
        self.waiting[number] = (self.loop.time(), act.priority)
        if not act.by_future:
            if self.batcher.waiting >= self.plan.max_queue:
                self.refused.add(number)
            return await self.batcher(number, priority=act.priority, timeout=act.timeout)
        future = await self.batcher.submit(number, priority=act.priority, timeout=act.timeout)
        if not future.done() and not self.begun[number]:
            self.handed.add(number)
        return await future

    def cancel(self, number: int, task: asyncio.Task[int]) -> None:
        if not task.done():
            task.cancel()
            if not self.begun[number] and (number in self.handed or not self.acts[number].by_future):
                self.gone.add(number)
                self.waiting.pop(number, None)
                self.handed.discard(number)

    def begin(self, batch: list[int]) -> None:
        plan = self.plan
        assert not self.busy, "two batches at once"
        assert not self.closed, "a batch after close() returned"
        self.busy = True
        self.batches += 1
        assert 1 <= len(batch) <= plan.max_batch
        assert len({self.acts[number].bucket for number in batch}) == 1
        assert not self.gone & set(batch), "cancelled before it began"
        if self.ordered and not plan.max_delay and not plan.sync and len(self.waiting) <= plan.max_queue:
            self.check_order(batch)
        for number in batch:
            assert number not in self.outcomes, "it was over before it began"
            lane = self.acts[number].bucket, self.acts[number].priority
            if not self.begun[number]:
                assert self.arrived[self.last.get(lane, number)] <= self.arrived[number], (
                    "not first in, first out"
                )
                self.last[lane] = number
            self.begun[number] += 1
            assert plan.bisect or self.begun[number] == 1, "computed twice"
            self.waiting.pop(number, None)
            self.handed.discard(number)

    def check_order(self, batch: list[int]) -> None:
        keys = {number: at - prio * self.plan.ageing for number, (at, prio) in self.waiting.items()}
        before = [key for number, key in keys.items() if self.arrived[number] < self.loop.now - EPSILON]
        if before and batch[0] in keys:  # else it is half of a batch that failed
            assert keys[batch[0]] <= min(before) + EPSILON, "another should have been first"

    def end(self, batch: list[int]) -> list[Any]:
        self.busy = False
        fault = self.plan.faults[self.batches % len(self.plan.faults)]
        if fault != "none":
            self.spoiled |= set(batch)
        if fault == "wrong":
            return batch[1:]
        if fault == "crash":
            raise CrashError
        poisoned = [number for number in batch if self.acts[number].poison]
        if fault == "raise" or (self.plan.raises and poisoned):
            raise PoisonError(poisoned)
        return [PoisonError([number]) if number in poisoned else number * 10 for number in batch]

    def seconds(self) -> float:
        return self.plan.durations[self.batches % len(self.plan.durations)]

    async def model(self, batch: list[int]) -> list[Any]:
        self.begin(batch)
        await asyncio.sleep(self.seconds())
        return self.end(batch)

    def sync_model(self, batch: list[int]) -> list[Any]:
        self.begin(batch)
        return self.end(batch)

    def check_time(self) -> None:
        on_the_way = self.plan.max_batch if self.plan.sync else 0  # with the executor
        assert len(self.handed) <= self.plan.max_queue + on_the_way, "the queue is longer than it may be"
        if not self.busy and self.batcher.waiting:
            oldest = min(at for at, _ in self.waiting.values())
            assert oldest + self.plan.max_delay > self.loop.now - EPSILON, (
                "the model is free, and somebody waits"
            )
            assert self.plan.max_delay, "the model is free, and somebody waits"

    def check_end(self) -> None:
        assert sorted(self.outcomes) == list(range(len(self.acts))), "lost"
        found: Counter[str] = Counter()
        for number, outcome in self.outcomes.items():
            act = self.acts[number]
            assert number not in self.refused or isinstance(outcome, (Overloaded, ClosedError)), "no place"
            match outcome:
                case int():
                    assert outcome == number * 10, "somebody else's answer"
                    assert not act.poison
                    found["answered"] += 1
                case "cancelled":
                    assert act.cancel_after is not None
                    found["cancelled"] += 1
                case PoisonError():
                    assert act.poison or number in self.spoiled or (self.plan.raises and not self.plan.bisect)
                    found["failed"] += 1
                case WrongAnswersError() | ModelCrashedError():
                    assert number in self.spoiled
                    found["failed"] += 1
                case RequestTimeoutError():
                    assert act.timeout is not None
                    found["timed_out"] += 1
                case Overloaded():
                    assert number in self.refused
                    assert not self.begun[number]
                    found["overloaded"] += 1
                case ClosedError():
                    assert self.plan.close_at is not None
                    assert self.plan.bisect or not self.begun[number]  # its half of a batch did not
                    assert not self.plan.drain or self.arrived[number] >= self.plan.close_at - EPSILON
                    found["closed"] += 1
                case _:
                    raise AssertionError(outcome)
        counters = self.batcher.counters
        for name in ("answered", "timed_out"):  # a caller may give up in the moment of its answer
            assert 0 <= getattr(counters, name) - found[name] <= found["cancelled"]
        assert counters.computed == sum(self.begun.values())
        assert counters.batches == self.batches
        ended = counters.answered + counters.failed + counters.timed_out + counters.cancelled
        assert ended == counters.accepted, "lost by the counters"
        assert counters.overloaded == found["overloaded"]
        assert not self.batcher.waiting


class _Executor(VirtualExecutor):
    """As if a thread were free only after as long as the model takes."""

    def __init__(self, world: World) -> None:
        super().__init__(world.seconds)
        self.world = world

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        assert not self.world.busy, "two batches at once"
        self.world.busy = True

        def later() -> T:
            self.world.busy = False
            return fn(*args, **kwargs)

        return super().submit(later)


def crowd(seed: int, requests: int, per_second: float) -> list[Act]:
    """Callers at random moments: a fifth cancels, many before their turn, and a tenth is impatient."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    at, acts = 0.0, []
    for _ in range(requests):
        at += chance.expovariate(per_second) if chance.random() < 0.9 else 0.0
        acts.append(
            Act(
                at=at,
                priority=chance.choice((0, 0, 0, 1, 5)),
                bucket=chance.choice((0, 0, 1)),
                timeout=chance.uniform(0.001, 0.2) if chance.random() < 0.1 else None,
                cancel_after=chance.uniform(0, 0.1) if chance.random() < 0.2 else None,
                poison=chance.random() < 0.01,
                by_future=chance.random() < 0.3,
            )
        )
    return acts
