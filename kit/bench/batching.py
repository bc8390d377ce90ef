"""
Measures the batcher beside others: latencies of one model under one stream of requests, as ratios of one run.

The model sleeps 10 ms and 0.5 ms for each request of its batch. Every batcher may take 32 at once and is else
as it comes. A round is many slices of a second, in which the batchers take turns, so that what else the
machine does meets all of them; the numbers are the least, the median and the most of the rounds. Ray's
batcher runs in a replica, where the requests are made too: what its handle adds to a call from outside is
stated apart.
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
OURS, BARE = "janitor_kit", "one by one"
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


def played(
    batchers: dict[str, Callable[..., list[float]]], load: float, rounds: int, slices: int
) -> dict[str, list[list[float]]]:
    """The latencies of each batcher in each round."""
    names = list(batchers)
    found: dict[str, list[list[float]]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names:
            found[name].append([])
        for part in range(slices):
            turn = (number + part) % len(names)
            for name in names[turn:] + names[:turn]:
                found[name][-1] += batchers[name](load, 1.0, number * slices + part)
        medians = ", ".join(f"{name} {share(one[-1], 50):.1f}" for name, one in found.items())
        print(f"{load:g}/s, round {number + 1}, p50 in ms: {medians}", flush=True)
    return found


def table(load: float, found: dict[str, list[list[float]]]) -> None:
    for name, rounds in found.items():
        p50, p99 = ([share(took, percent) for took in rounds] for percent in (50, 99))
        print(f"{load:>5g}/s  {name:16} p50 {spread(p50):22} p99 {spread(p99)}")


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--rounds", type=int, default=5)
    given.add_argument("--slices", type=int, default=6, help="seconds of each round and batcher")
    given.add_argument("--without", action="append", default=[], help="a peer to leave out")
    options = given.parse_args()
    batchers = {
        OURS: in_process(lambda: Batcher(model, max_batch=MOST)),
        "queue and wait": in_process(Obvious),
    }
    outside: Callable[[], float] | None = None
    if "batched" not in options.without:
        batchers["batched"] = in_process(of_batched)
    if "ray.serve.batch" not in options.without:
        batchers["ray.serve.batch"], outside = of_ray()
    idle = played({**batchers, BARE: in_process(lambda: bare)}, 5, options.rounds, options.slices)
    busy = played(batchers, 500, options.rounds, options.slices)

    print("\nmilliseconds, min / median / max of the rounds")
    table(5, idle)
    table(500, busy)
    alone = (MODEL_SECONDS + ITEM_SECONDS) * 1000
    added = {name: [share(took, 50) - alone for took in idle[name]] for name in (OURS, BARE)}
    times = [one / other for one, other in zip(added[OURS], added[BARE], strict=True)]
    print(f"\nadded at 5/s, p50, to a model of {alone:g} ms: {spread(added[OURS], 2)} ms;")
    print(f"of what a bare run_in_executor adds: {spread(times, 2)} times (at most 1.5)")
    best = [
        min(share(busy[name][number], 99) for name in busy if name != OURS)
        for number in range(options.rounds)
    ]
    times = [share(took, 99) / least for took, least in zip(busy[OURS], best, strict=True)]
    print(f"p99 at 500/s, of the best peer's in the round: {spread(times, 2)} times (median at most 1)")
    if outside is not None:
        calls = [outside() for _ in range(200)]
        print(f"a call of Ray's handle that does nothing: p50 {share(calls, 50):.1f} ms, in no number above")


if __name__ == "__main__":
    main()
