"""What a caller of the batcher gets, case by case; the random schedules are in test_batching_schedules.py."""

import asyncio
import contextvars
import functools
import gc
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from janitor_kit.batching import (
    Batcher,
    ClosedError,
    ModelCrashedError,
    Overloaded,
    RequestTimeoutError,
    WrongAnswersError,
)
from tables import cases
from virtual_time import VirtualExecutor, VirtualLoop, run


class Model:
    """Doubles numbers in 10 ms, and remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    async def __call__(self, batch: list[int]) -> list[int]:
        self.batches.append(batch)
        await asyncio.sleep(0.01)
        return [number * 2 for number in batch]


def answered(model: Callable[[list[int]], Any], requests: int = 3, **settings: Any) -> list[Any]:
    """What each of several callers at once gets: an answer or an error."""

    async def main() -> list[Any]:
        async with Batcher(model, executor=VirtualExecutor(), **settings) as batcher:
            return await asyncio.gather(*map(batcher, range(requests)), return_exceptions=True)

    return run(main())


def test_a_request_that_finds_the_model_free_starts_at_once_and_later_ones_share_the_next_batch() -> None:
    model, loop = Model(), VirtualLoop()

    async def main() -> None:
        batcher = Batcher(model)
        first = asyncio.create_task(batcher(1))
        await asyncio.sleep(0.001)
        others = [asyncio.create_task(batcher(number)) for number in (2, 3)]
        assert await first == 2
        assert loop.time() == pytest.approx(0.01)
        assert await asyncio.gather(*others) == [4, 6]
        assert loop.time() == pytest.approx(0.02)

    run(main(), loop)
    assert model.batches == [[1], [2, 3]]


def test_a_batch_waits_max_delay_for_more_unless_it_is_full() -> None:
    model, loop = Model(), VirtualLoop()

    async def main() -> None:
        batcher = Batcher(model, max_batch=2, max_delay=0.005)
        assert await batcher(1) == 2
        assert loop.time() == pytest.approx(0.015)
        assert [*await asyncio.gather(batcher(2), batcher(3))] == [4, 6]
        assert loop.time() == pytest.approx(0.025)

    run(main(), loop)
    assert model.batches == [[1], [2, 3]]


def test_a_full_queue_is_not_kept_waiting_for_a_batch_that_cannot_fill() -> None:
    loop = VirtualLoop()

    async def main() -> None:
        async with Batcher(Model(), max_batch=9, max_delay=60, max_queue=2) as batcher:
            assert await asyncio.wait_for(asyncio.gather(*map(batcher, range(2))), 1) == [0, 2]

    run(main(), loop)


def plain(batch: list[int]) -> list[int]:
    return [number * 2 for number in batch]


async def slow(batch: list[int]) -> list[int]:
    await asyncio.sleep(0.01)
    return plain(batch)


def lazy(batch: list[int]) -> Iterator[int]:
    yield from plain(batch)


async def two(shift: int, batch: list[int]) -> list[int]:
    return [shift + number for number in plain(batch)]


@pytest.mark.parametrize(
    "model",
    [plain, slow, lazy, Model(), functools.partial(two, 0), lambda batch: slow(batch), tuple],  # noqa: PLW0108 - as a plain function
)
def test_any_function_is_a_model(model: Callable[[list[int]], Any]) -> None:
    assert answered(model) == ([0, 1, 2] if model is tuple else [0, 2, 4])


def test_a_function_that_is_no_coroutine_function_runs_in_one_thread_that_is_not_the_loops() -> None:
    seen = set()

    def model(batch: list[int]) -> list[int]:
        seen.add(threading.get_ident())
        return batch

    async def main() -> None:
        async with Batcher(model, max_batch=1) as batcher:
            assert await asyncio.gather(*map(batcher, range(20))) == list(range(20))
            assert isinstance(batcher._executor, ThreadPoolExecutor)
            assert batcher._executor._max_workers == 1

    asyncio.run(main())
    assert len(seen) == 1
    assert seen != {threading.get_ident()}


class OddError(BaseException):
    """No Exception."""


def raising(error: BaseException) -> list[Callable[[list[int]], Any]]:
    def model(_: list[int]) -> list[int]:
        raise error

    async def coroutine(_: list[int]) -> list[int]:
        raise error

    return [model, coroutine]


@pytest.mark.parametrize("bisect", [False, True])
@cases(
    "answer, message",
    ([1, 2], "2 answers for 3 requests"),
    ([1, 2, 3, 4], "4 answers for 3 requests"),
    (None, "one NoneType, not an answer for each request"),
    ("abc", "one str, not"),
    ({1: 2, 3: 4, 5: 6}, "one dict, not"),
)
def test_a_wrong_number_of_answers_is_an_error_for_every_caller(
    answer: Any, message: str, *, bisect: bool
) -> None:
    async def coroutine(_: list[int]) -> Any:
        return answer

    for model in (lambda _: answer, coroutine):
        found = answered(model, bisect=bisect)
        assert [type(one) for one in found] == [WrongAnswersError] * 3
        assert message in str(found[0])


@pytest.mark.parametrize("error", [ValueError("no"), OddError("odd"), SystemExit(3), StopIteration("end")])
def test_what_the_model_raises_reaches_every_caller_and_the_next_batch_runs(error: BaseException) -> None:
    for model in raising(error)[: 1 if isinstance(error, SystemExit) else 2]:
        found = answered(model, 5, max_batch=2)
        assert len(found) == 5
        for one in found:
            if isinstance(error, ValueError):
                assert one is error
            elif isinstance(one, ModelCrashedError):
                assert one.__cause__ is error
            else:  # a coroutine's StopIteration becomes Python's own RuntimeError
                assert isinstance(one, RuntimeError)
                assert one.__cause__ is error


def test_a_batch_that_fails_is_computed_once_unless_its_halves_are_asked_for() -> None:
    sizes: list[int] = []

    def model(batch: list[int]) -> list[int]:
        sizes.append(len(batch))
        raise ValueError("no")

    answered(model, 2, max_batch=2)
    assert sizes == [2]
    answered(model, 2, max_batch=2, bisect=True)
    assert sizes == [2, 2, 1, 1]


def test_an_exception_among_the_answers_fails_its_request_alone() -> None:
    found = answered(lambda _: [1, ValueError("no"), StopIteration()])
    assert found[0] == 1
    assert isinstance(found[1], ValueError)
    assert isinstance(found[2], ModelCrashedError)


def test_a_model_that_is_cancelled_from_within_fails_its_batch_and_no_caller_is_cancelled() -> None:
    async def model(_: list[int]) -> list[int]:
        raise asyncio.CancelledError

    assert [type(one) for one in answered(model)] == [ModelCrashedError] * 3


def test_a_coroutine_function_that_cannot_be_called_fails_its_batch() -> None:
    async def model() -> list[int]:
        return []

    assert [type(one) for one in answered(model)] == [TypeError] * 3  # type: ignore[arg-type]


def test_an_executor_that_was_shut_down_fails_its_batch() -> None:
    executor = ThreadPoolExecutor(1)
    executor.shutdown()

    async def main() -> None:
        with pytest.raises(RuntimeError, match="after shutdown"):
            await Batcher(plain, executor=executor)(1)

    asyncio.run(main())


def test_a_cancelled_caller_leaves_the_batch_to_the_others() -> None:
    model = Model()

    async def main() -> list[Any]:
        batcher = Batcher(model, max_batch=2, max_queue=2)
        tasks = [asyncio.create_task(batcher(number)) for number in range(2)]
        await asyncio.sleep(0.001)
        tasks += [asyncio.create_task(batcher(number)) for number in range(2, 4)]
        await asyncio.sleep(0.001)
        tasks[0].cancel()  # it is being computed
        tasks[2].cancel()  # it waits
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert batcher.counters.cancelled == 2
        return found

    found = run(main())
    assert isinstance(found[0], asyncio.CancelledError)
    assert isinstance(found[2], asyncio.CancelledError)
    assert [found[1], found[3]] == [2, 6]
    assert model.batches == [[0, 1], [3]]


def test_a_call_is_refused_at_once_where_the_queue_is_full_and_a_producer_waits() -> None:
    model = Model()

    async def main() -> None:
        batcher = Batcher(model, max_batch=2, max_queue=3)
        first = asyncio.create_task(batcher(0))
        await asyncio.sleep(0.001)
        waiting = [asyncio.create_task(batcher(number)) for number in (1, 2)]
        await asyncio.sleep(0)
        future = await batcher.submit(3)
        producer = asyncio.create_task(batcher.submit(4))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match=r"^3 requests wait, the most that max_queue allows$"):
            await batcher(5, priority=9)
        leaving = asyncio.create_task(batcher.submit(7))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        waiting[0].cancel()  # its place goes to the producer that waits for one
        assert await (await producer) == 8
        assert [await first, await waiting[1], await future, await batcher(6)] == [0, 4, 6, 12]
        assert (batcher.counters.accepted, batcher.counters.overloaded) == (7, 1)

    run(main())
    assert model.batches == [[0], [2, 3], [4], [6]]


def test_callers_and_producers_come_in_their_order() -> None:
    model = Model()

    async def main() -> None:
        batcher = Batcher(model, max_batch=1)
        first = asyncio.create_task(batcher(0))
        await asyncio.sleep(0.001)
        produced = await batcher.submit(1)
        called = asyncio.create_task(batcher(2))
        assert [await one for one in (first, called, produced)] == [0, 4, 2]

    run(main())
    assert model.batches == [[0], [1], [2]]


def test_a_timeout_counts_from_the_call_and_reaches_those_that_wait_for_a_place() -> None:
    model, loop = Model(), VirtualLoop()

    async def main() -> None:
        batcher = Batcher(model, max_batch=1, max_queue=1, timeout=0.015)
        tasks = [asyncio.create_task(batcher(0))]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(batcher(1)))
        await asyncio.sleep(0)

        async def produced(number: int, timeout: float | None = None) -> int:
            return await (await batcher.submit(number, timeout=timeout))

        tasks.append(asyncio.create_task(produced(2)))
        await asyncio.sleep(0)
        late = asyncio.create_task(produced(3, timeout=1.0))
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert loop.time() == pytest.approx(0.015)
        assert found[0] == 0
        assert [type(one) for one in found[1:]] == [RequestTimeoutError] * 2
        assert str(found[1]) == "no answer within 0.015 s"
        assert await late == 6
        assert batcher.counters.timed_out == 2
        assert all(timer.cancelled() for timer in loop._scheduled)  # an answer's would hold it until then

    run(main(), loop)
    assert model.batches == [[0], [1], [3]]  # 1 was being computed, 2 never was


def test_a_producer_does_not_run_ahead_of_the_queue() -> None:
    loop = VirtualLoop()

    async def main() -> list[float]:
        batcher, submitted, futures = Batcher(Model(), max_batch=1, max_queue=2), [], []
        for number in range(6):
            futures.append(await batcher.submit(number))
            submitted.append(loop.time())
        assert await asyncio.gather(*futures) == [0, 2, 4, 6, 8, 10]
        return submitted

    assert run(main(), loop) == pytest.approx([0, 0, 0, 0.01, 0.02, 0.03])


def test_the_urgent_go_first_and_one_batch_has_one_bucket() -> None:
    model = Model()

    async def main() -> None:
        batcher = Batcher(model, max_batch=3, bucket=lambda number: number % 2)
        first = asyncio.create_task(batcher(0))
        await asyncio.sleep(0.001)
        await asyncio.gather(*(batcher(number, priority=number == 5) for number in (1, 2, 3, 4, 5)), first)

    run(main())
    assert model.batches == [[0], [5, 1, 3], [2, 4]]


def test_a_bucket_that_fails_is_its_callers_error_alone() -> None:
    def bucket(number: int) -> Any:
        return [] if number == 1 else 1 // number

    async def main() -> list[Any]:
        async with Batcher(Model(), bucket=bucket) as batcher:
            found = await asyncio.gather(*map(batcher, range(3)), return_exceptions=True)
            assert batcher.counters.accepted == 1
            return found

    found = run(main())
    assert [type(one) for one in found] == [ZeroDivisionError, TypeError, int]


def test_closing_does_not_wait_for_a_batch_to_fill() -> None:
    loop = VirtualLoop()

    async def main() -> None:
        batcher = Batcher(Model(), max_delay=60)
        answer = asyncio.create_task(batcher(1))
        await asyncio.sleep(0.5)
        await batcher.close()
        assert await answer == 2
        assert loop.time() == pytest.approx(0.51)

    run(main(), loop)


@pytest.mark.parametrize("drain", [True, False])
def test_closing_answers_those_that_wait_for_a_place_too_or_fails_all_that_wait(*, drain: bool) -> None:
    async def main() -> None:
        async def asked(number: int) -> int:
            return await (await batcher.submit(number))

        batcher = Batcher(Model(), max_batch=1, max_queue=1)
        tasks = [asyncio.create_task(asked(number)) for number in range(4)]
        await asyncio.sleep(0.001)
        assert batcher.waiting == 3
        closing = [asyncio.create_task(batcher.close(drain=drain)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(ClosedError):
            await batcher(9)
        await asyncio.gather(*closing)
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert found[0] == 0
        assert found[1:] == [2, 4, 6] or (not drain and {type(one) for one in found[1:]} == {ClosedError})
        await batcher.close()

    run(main())


def test_a_block_that_ends_well_drains_and_one_that_ends_by_an_error_does_not() -> None:
    executor = ThreadPoolExecutor(1)

    async def whole() -> list[Any]:
        async with Batcher(plain, max_batch=1, executor=executor) as batcher:
            futures = [await batcher.submit(number) for number in range(3)]
            assert batcher.waiting == 3
            await asyncio.sleep(0)
            assert batcher.waiting == 2
        return await asyncio.gather(*futures, return_exceptions=True)

    async def broken() -> list[Any]:
        futures: list[asyncio.Future[int]] = []
        with pytest.raises(KeyError):
            async with Batcher(plain, max_batch=1, executor=executor) as batcher:
                futures += [await batcher.submit(number) for number in range(3)]
                await asyncio.sleep(0)
                raise KeyError
        return await asyncio.gather(*futures, return_exceptions=True)

    assert asyncio.run(whole()) == [0, 2, 4]
    found = asyncio.run(broken())
    assert found[0] == 0
    assert [type(one) for one in found[1:]] == [ClosedError] * 2
    assert executor.submit(len, "its owner closes it").result() == 19
    executor.shutdown()


def test_closing_may_give_up_and_be_asked_again_without_draining() -> None:
    async def main() -> None:
        batcher = Batcher(Model(), max_batch=1)
        tasks = [asyncio.create_task(batcher(number)) for number in range(100)]
        await asyncio.sleep(0)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(batcher.close(), 0.025)
        await batcher.close(drain=False)
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert found[:3] == [0, 2, 4]
        assert {type(one) for one in found[3:]} == {ClosedError}

    run(main())


def test_a_loop_that_shuts_down_leaves_nothing_behind_and_the_next_may_use_the_batcher() -> None:
    """Also while the model is in its thread, whose answer nobody waits for any more."""
    entered, leave = threading.Event(), threading.Event()
    seen: list[list[int]] = []

    def model(batch: list[int]) -> list[int]:
        seen.append(batch)
        entered.set()
        leave.wait(60)
        return plain(batch)

    batcher = Batcher(model, max_batch=1, max_queue=3)
    tasks: list[asyncio.Task[int]] = []

    async def leaving() -> None:
        tasks.extend(asyncio.create_task(batcher(number)) for number in range(3))
        await asyncio.sleep(0)
        await asyncio.get_running_loop().run_in_executor(None, entered.wait)

    async def returning() -> int:
        return await batcher(7)

    asyncio.run(leaving())
    assert all(task.cancelled() for task in tasks)
    leave.set()
    assert asyncio.run(returning()) == 14
    assert seen == [[0], [7]]
    gc.collect()  # what was never awaited would be reported here


def test_two_loops_at_once_are_an_error() -> None:
    batcher, first = Batcher(Model()), VirtualLoop()

    async def begin() -> asyncio.Future[int]:
        return await batcher.submit(1)

    future = first.run_until_complete(begin())
    for used in (begin(), batcher.close()):
        with pytest.raises(RuntimeError, match="in use in another event loop"):
            run(used)

    async def rest() -> int:
        return await future

    assert run(rest(), first) == 2


def test_an_interrupt_in_a_coroutine_leaves_the_loop_and_no_caller_waiting() -> None:
    async def model(_: list[int]) -> list[int]:
        raise KeyboardInterrupt

    found: list[Any] = []

    async def caller(batcher: Batcher[int, int]) -> None:
        try:
            found.append(await batcher(1))
        except ModelCrashedError as error:
            found.append(error.__cause__)
            raise

    async def main() -> None:
        await caller(Batcher(model))

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert found == [] or isinstance(found[0], KeyboardInterrupt)


def test_the_model_sees_no_callers_context() -> None:
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")
    seen = []

    async def model(batch: list[int]) -> list[int]:
        seen.append(who.get())
        return batch

    async def main() -> None:
        batcher = Batcher(model)
        who.set("somebody")
        await batcher(1)

    run(main())
    assert seen == ["nobody"]


@cases(
    "settings",
    {"max_batch": 0},
    {"max_queue": 0},
    {"max_delay": -1},
    {"max_delay": float("inf")},
    {"ageing": 0},
    {"timeout": 0},
    {"ageing": float("inf")},
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"at least 1|or more"):
        Batcher(plain, **settings)


def test_types_are_those_of_the_model() -> None:
    """For mypy, which takes each line's type from the model's signature."""

    def length(batch: list[str]) -> list[int | Exception]:
        return [len(text) for text in batch]

    async def main() -> int:
        batcher: Batcher[str, int] = Batcher(length)
        answer: Awaitable[int] = batcher("four")
        return await answer

    assert asyncio.run(main()) == 4
