"""
Measures the batcher beside others: latencies of one model under one stream of requests, as ratios of one run.

The model sleeps 10 ms and 0.5 ms for each request of its batch. Every batcher may take 32 at once and is else
as it comes. Rounds alternate between the batchers, so that what else the machine does meets all of them; the
numbers are the least, the median and the most of the rounds. Ray's batcher runs in a replica, where the
requests are made too: what its handle adds to a call from outside is stated apart.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import median
from typing import Any

from janitor_kit.batching import Batcher

MODEL_SECONDS, ITEM_SECONDS, MOST = 0.010, 0.0005, 32
Ask = Callable[[int], Awaitable[int]]


def model(batch: Sequence[int]) -> list[int]:
    time.sleep(MODEL_SECONDS + ITEM_SECONDS * len(batch))
    return [number * 2 for number in batch]


class Obvious:
    """What one writes first: a queue, and a fixed wait for more after the first of a batch."""

    def __init__(self, wait: float = 0.01) -> None:
        self.wait, self.queue = wait, asyncio.Queue[tuple[int, "asyncio.Future[int]"]]()
        self.task = asyncio.ensure_future(self.work())

    async def __call__(self, number: int) -> int:
        future = asyncio.get_running_loop().create_future()
        await self.queue.put((number, future))
        return int(await future)

    async def work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = [await self.queue.get()]
            end = loop.time() + self.wait
            while len(batch) < MOST and (left := end - loop.time()) > 0:
                try:
                    batch.append(await asyncio.wait_for(self.queue.get(), left))
                except asyncio.TimeoutError:  # noqa: PERF203 - it ends the loop
                    break
            answers = await loop.run_in_executor(None, model, [number for number, _ in batch])
            for (_, future), answer in zip(batch, answers, strict=True):
                future.set_result(answer)


async def bare(number: int) -> int:
    return (await asyncio.get_running_loop().run_in_executor(None, model, [number]))[0]


async def latencies(ask: Ask, per_second: float, seconds: float, seed: int) -> list[float]:
    """Milliseconds of each request of a random stream that does not wait for answers."""
    chance, took, tasks = random.Random(seed), [], []  # noqa: S311 - no secret

    async def one(number: int) -> None:
        began = time.perf_counter()
        if await ask(number) != number * 2:
            raise AssertionError("somebody else's answer")
        took.append((time.perf_counter() - began) * 1000)

    at = time.perf_counter()
    for number in range(int(per_second * seconds)):
        at += chance.expovariate(per_second)
        if (pause := at - time.perf_counter()) > 0:
            await asyncio.sleep(pause)
        tasks.append(asyncio.ensure_future(one(number)))
    await asyncio.gather(*tasks)
    return took


def in_process(make: Callable[[], Ask]) -> Callable[..., list[float]]:
    """A round on an event loop of its own, the batcher warm."""

    def measure(per_second: float, seconds: float, seed: int) -> list[float]:
        async def main() -> list[float]:
            ask = make()
            await ask(0)
            return await latencies(ask, per_second, seconds, seed)

        return asyncio.run(main())

    return measure


def of_batched() -> Ask:
    import batched

    ask: Any = batched.dynamically(batch_size=MOST)(model)
    answer: Ask = ask.acall
    return answer


def of_ray() -> tuple[Callable[..., list[float]], Callable[[], float]]:
    """A round in a replica; and the milliseconds of a call from outside that does nothing."""
    import ray
    from ray import serve

    ray.init(include_dashboard=False, num_cpus=2, logging_level="error", log_to_driver=False)

    @serve.deployment(max_ongoing_requests=4)
    class Replica:
        @serve.batch(max_batch_size=MOST)
        async def ask(self, batch: list[int]) -> list[int]:
            return await asyncio.get_running_loop().run_in_executor(None, model, batch)

        async def measure(self, per_second: float, seconds: float, seed: int) -> list[float]:
            await self.ask(0)
            return await latencies(self.ask, per_second, seconds, seed)

        async def nothing(self) -> None:
            return

    handle = serve.run(Replica.bind())

    def outside() -> float:
        began = time.perf_counter()
        handle.nothing.remote().result()
        return (time.perf_counter() - began) * 1000

    outside()
    return lambda *round_: handle.measure.remote(*round_).result(), outside


def share(took: Sequence[float], percent: float) -> float:
    return sorted(took)[min(len(took) - 1, int(len(took) * percent / 100))]


def spread(values: Sequence[float], digits: int = 1) -> str:
    return " / ".join(f"{one:.{digits}f}" for one in (min(values), median(values), max(values)))


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--rounds", type=int, default=5)
    given.add_argument("--seconds", type=float, default=5.0)
    given.add_argument("--without", action="append", default=[], help="a peer to leave out")
    options = given.parse_args()
    batchers = {
        "janitor_kit": in_process(lambda: Batcher(model, max_batch=MOST)),
        "queue and wait": in_process(Obvious),
        "batched": in_process(of_batched),
        "one by one": in_process(lambda: bare),
    }
    outside: Callable[[], float] | None = None
    if "ray.serve.batch" not in options.without:
        batchers["ray.serve.batch"], outside = of_ray()
    for name in options.without:
        batchers.pop(name, None)

    found: dict[tuple[float, str], list[list[float]]] = {}
    for load in (5.0, 500.0):
        names = [one for one in batchers if load < 100 or one != "one by one"]
        for number in range(options.rounds):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                took = batchers[name](load, options.seconds, number)
                found.setdefault((load, name), []).append(took)
                print(f"{load:g}/s, round {number + 1}, {name}: p50 {share(took, 50):.1f} ms", flush=True)

    print("\nmilliseconds, min / median / max of the rounds")
    for (load, name), rounds in found.items():
        p50, p99 = ([share(took, percent) for took in rounds] for percent in (50, 99))
        print(f"{load:>5g}/s  {name:16} p50 {spread(p50):22} p99 {spread(p99)}")
    alone = (MODEL_SECONDS + ITEM_SECONDS) * 1000

    def added(name: str) -> list[float]:
        return [share(took, 50) - alone for took in found[5.0, name]]

    idle = [one / other for one, other in zip(added("janitor_kit"), added("one by one"), strict=True)]
    print(f"\nadded at 5/s, p50, to a model of {alone:g} ms: {spread(added('janitor_kit'), 2)} ms;")
    print(f"of what a bare run_in_executor adds: {spread(idle, 2)} times (at most 1.5)")
    peers = [name for load, name in found if load > 100 and name != "janitor_kit"]
    busy = [
        share(took, 99) / min(share(found[500.0, peer][number], 99) for peer in peers)
        for number, took in enumerate(found[500.0, "janitor_kit"])
    ]
    print(f"p99 at 500/s, of the best peer's: {spread(busy, 2)} times (median at most 1)")
    if outside is not None:
        calls = [outside() for _ in range(200)]
        print(f"a call of Ray's handle that does nothing: p50 {share(calls, 50):.1f} ms, in no number above")


if __name__ == "__main__":
    main()
