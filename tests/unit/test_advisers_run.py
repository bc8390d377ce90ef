"""The advisers' run: one that raises, hangs or is killed fails alone, and the rest is the next part."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from aws_lambda_powertools import Logger

from fakes import raising
from ml_janitor.engine.run import RunFailedError
from ml_janitor.ledger.idempotency import InProgressError
from ml_janitor.ledger.limits import LeaseTakenError
from ml_janitor.scheduled.advisers_run import AdvisersRun
from standin import KilledError
from tables import cases

NAMES = ("a", "b", "c")


@dataclass
class Lambda:
    """An invocation whose time goes by a minute a look once *hurry* was called; *does* is what names do."""

    does: dict[str, Callable[[], Any]] = field(default_factory=dict)
    minutes: float = 15
    a_look: float = 0
    swept: list[str] = field(default_factory=list)
    handed: list[str] = field(default_factory=list)
    taken: bool = True
    ends: Event = field(default_factory=Event)
    """What begins the end of the work once the rest is handed over."""

    def sweep(self, name: str) -> dict[str, Any]:
        self.swept.append(name)
        self.does.get(name, lambda: None)()
        return {"of": name}

    def hand_over(self, rest: Sequence[str]) -> None:
        if not self.taken:
            raise ConnectionError("Lambda did not take it")
        self.handed += rest
        self.ends.set()

    def left(self) -> timedelta:
        self.minutes -= self.a_look
        return timedelta(minutes=self.minutes)

    def run(self, *, returns_rest: bool = False) -> dict[str, Any]:
        run = AdvisersRun(
            sweep=self.sweep,
            hand_over=self.hand_over,
            left=self.left,
            logger=Logger(service="test", logger_handler=None),
            look_every=timedelta(seconds=0.02),
        )
        return run.run(NAMES, returns_rest=returns_rest)


@pytest.fixture
def hang() -> Iterator[Event]:
    """What hangs waits for it."""
    event = Event()
    yield event
    event.set()


def test_all_are_done_one_after_the_other() -> None:
    world = Lambda()
    assert world.run() == {"answers": {name: {"of": name} for name in NAMES}, "rest": []}
    assert (world.swept, world.handed) == (list(NAMES), [])


@cases(
    "error, raised",
    (ValueError("broke"), RunFailedError),
    (MemoryError(), RunFailedError),
    (InProgressError("at work"), InProgressError),
    (LeaseTakenError("being swept"), InProgressError),
)
def test_what_one_raises_is_raised_once_the_others_are_done(
    error: Exception, raised: type[Exception]
) -> None:
    """Others at work are an error that the state machine waits for; the retry runs that one alone."""
    world = Lambda({"b": raising(error)})
    with pytest.raises(raised, match=r"^b: "):
        world.run()
    assert world.swept == list(NAMES)


def test_what_broke_beside_others_at_work_is_a_failure() -> None:
    with pytest.raises(RunFailedError, match=r"a: .*; b: "):
        Lambda({"a": raising(InProgressError("at work")), "b": raising(ValueError("broke"))}).run()


def test_what_hangs_fails_alone_and_the_others_are_the_next_part(hang: Event) -> None:
    world = Lambda({"b": hang.wait}, minutes=15.2, a_look=1)
    with pytest.raises(RunFailedError, match=r"^b: TimeoutError: it did not end in time$"):
        world.run()
    assert (world.swept, world.handed) == (["a", "b"], ["c"])
    assert 0 < world.minutes < 1 / 3
    assert [thread.daemon for thread in threading.enumerate() if thread.name == "b"] == [True]


def test_what_takes_long_ends_while_the_others_are_handed_over(hang: Event) -> None:
    world = Lambda({"b": hang.wait}, a_look=1, ends=hang)
    done = world.run()
    assert ([*done["answers"]], done["rest"], world.handed) == (["a", "b"], ["c"], ["c"])


def test_what_exhausts_memory_ends_the_process_and_leaves_the_others_to_the_retry() -> None:
    world = Lambda({"b": raising(KilledError())})
    with pytest.raises(KilledError):
        world.run()
    assert (world.swept, world.handed) == (["a", "b"], [])


@cases("minutes, swept", (4.01, 3), (4, 0))
def test_nothing_begins_with_under_four_minutes(minutes: float, swept: int) -> None:
    world = Lambda(minutes=minutes)
    assert world.run()["rest"] == list(NAMES[swept:]) == world.handed
    assert len(world.swept) == swept


@pytest.mark.parametrize("returns_rest", [False, True])
def test_what_could_not_be_handed_over_has_failed(*, returns_rest: bool) -> None:
    """Nor is it the rest of which a state machine makes a part after the last."""
    with pytest.raises(RunFailedError, match=r"a: .*; b: .*; c: .*Lambda did not take it"):
        Lambda(minutes=3, taken=False).run(returns_rest=returns_rest)


@cases(
    "error, again",
    (ValueError("broke"), []),
    (InProgressError("at work"), ["a"]),
    (LeaseTakenError("being swept"), ["a"]),
)
def test_the_state_machine_gets_the_rest_also_where_one_failed(
    error: Exception, again: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The next part tries again what others had at work, because nobody repeats this part."""
    world = Lambda({"a": raising(error)}, a_look=4)
    assert world.run(returns_rest=True)["rest"] == [*again, *world.handed] != again
    (record,) = caplog.records
    assert record.why == f"a: {type(error).__name__}: {error}"  # type: ignore[attr-defined]
