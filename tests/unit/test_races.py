"""
What goes on at the same time as a sweep's act, or goes wrong at each of its writes. Laws 6 and 7.

Each test lives through one night for each write of the ledger in it, and then through the next.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from botocore.exceptions import ClientError

from conftest import ACCOUNT, REGION
from fakes import USED, raising
from memory_table import MemoryTable
from ml_janitor.core.results import CauseCode
from ml_janitor.engine.run import RunFailedError
from ml_janitor.ledger.actions import Stage
from ml_janitor.ledger.limits import LeaseTakenError
from standin import ARMED, DAY, HOUR, KilledError, LostError, Nights, in_memory
from tables import cases

NAMES = ["lamp-1", "lamp-2"]
A_NIGHT = 1
OF_ACTS = ("action#", "lease#", "limit")
"""The items that an act writes."""

THROTTLED = ClientError({"Error": {"Code": "ProvisionedThroughputExceededException"}}, "UpdateItem")

type Write = Callable[[], Any]


class Watched(MemoryTable):
    """The ledger's table; *around* does each write of an act, and knows its number."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = count(1)
        self.around: Callable[[int, Write], Any] = lambda _, write: write()

    def put(self, *args: Any, **how: Any) -> None:
        put = super().put
        self._do(lambda: put(*args, **how), *args)

    def change(self, *args: Any, **how: Any) -> dict[str, Any]:
        change = super().change
        return dict(self._do(lambda: change(*args, **how), *args))

    def delete(self, *args: Any, **how: Any) -> None:
        delete = super().delete
        self._do(lambda: delete(*args, **how), *args)

    def _do(self, write: Write, pk: str, *_: Any) -> Any:
        return self.around(next(self.numbers), write) if pk.startswith(OF_ACTS) else write()


def each_write(around: Callable[[Nights, Write], Any], *, on: bool = False) -> Iterator[Nights]:
    """
    Yield a night's world after its sweep, once for each write of it, which *around* did.

    With *on*, it did each write after that one too.
    """
    for number in count(1):
        table = Watched()
        with in_memory(table) as nights:
            nights.arming, nights.at_most = replace(ARMED, max_share=100), A_NIGHT
            nights.warned(*NAMES)
            nights.world.add("victim")
            nights.world.judge("victim", USED)
            nights.clock += 4 * DAY
            met = list[int]()

            def watched(
                own: int, write: Write, number: int = number, nights: Nights = nights, met: list[int] = met
            ) -> Any:
                if own != number and not (on and own > number):
                    return write()
                met.append(own)
                return around(nights, write)

            table.numbers, table.around = count(1), watched
            with suppress(KilledError, RunFailedError, ClientError, LostError):
                nights.sweep()
            table.around = lambda _, write: write()
            if not met:
                return
            yield nights


def check(nights: Nights, *, again: int = 0) -> None:
    """Nothing was done that a night may not, and in the end all is done once, and can be undone."""
    nights.after(HOUR)
    assert sum(name not in nights.world.things for name in NAMES) <= A_NIGHT
    nights.clock += DAY
    for _ in range(2):
        nights.after(HOUR)
    assert {*nights.world.things} == {"victim"}
    repeated = Counter(nights.world.done).values()
    assert sum(repeated) - len(repeated) <= again, nights.world.done
    actions = [
        action
        for action in nights.actions.all("cellar", ACCOUNT, REGION)
        if action.stage is not Stage.WITHDRAWN
    ]
    assert sorted(action.target.name for action in actions) == NAMES
    assert {action.stage for action in actions} == {Stage.ACTED}
    for name in NAMES:
        nights.undo(name)
    assert ({*nights.world.things}, nights.world.unplugged) == ({*NAMES, "victim"}, set())


def after(error: BaseException) -> Callable[[Nights, Write], Any]:
    def lost(_: Nights, write: Write) -> Any:
        write()
        raise error

    return lost


@pytest.mark.parametrize("on", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("fault", [raising(THROTTLED), after(LostError("reset"))], ids=["throttled", "lost"])
def test_a_ledger_that_fails_in_the_middle_of_an_act(
    fault: Callable[[Nights, Write], Any], *, on: bool
) -> None:
    for nights in each_write(fault, on=on):
        check(nights, again=1)


@pytest.mark.parametrize("fault", [raising(KilledError()), after(KilledError())], ids=["before", "after"])
def test_a_night_that_is_killed_with_records_forged_in_between(fault: Callable[[Nights, Write], Any]) -> None:
    """What was forged is done nothing from; put back as it was, it is finished."""
    refused = 0
    for nights in each_write(fault):
        items = [item for item in nights.table.scan("action#") if item["stage"] in {"acting", "failed"}]
        for item in items:
            forged = {"undo": json.dumps({"name": "victim"}), "name": "victim"}
            nights.table.change(item["pk"], item["sk"], set_to=forged)
        done = list(nights.world.done)
        results = nights.after(HOUR).values()
        codes = Counter(result.why for result in results)
        assert codes[CauseCode.MAC_INVALID] == len(items)
        assert not any("victim" in step for step in nights.world.done[len(done) :])
        for item in items:
            nights.table.change(item["pk"], item["sk"], set_to={"undo": item["undo"], "name": item["name"]})
        refused += len(items)
        check(nights, again=1)
    assert refused


@cases(
    "ahead, event, taken",
    (timedelta(), "another", True),
    (timedelta(minutes=5), "another", True),
    (timedelta(minutes=16), "another", False),
    (timedelta(), "the same", False),
    ids=["parallel", "clock ahead", "lease over", "event twice"],
)
def test_a_sweep_that_another_comes_between(ahead: timedelta, event: str, *, taken: bool) -> None:
    """Where no lease keeps the other away, it goes on with what is begun: one call is repeated at most."""

    def other(nights: Nights, write: Write) -> Any:
        table, clock = nights.table, nights.clock
        assert isinstance(table, Watched)
        around, table.around = table.around, lambda _, write: write()
        nights.clock += ahead
        name = f"event-{clock}" if event == "the same" else event
        try:
            nights.sweep(event=name)
        except (LeaseTakenError, RunFailedError) as error:
            kept_away.append(str(error))
        finally:
            table.around, nights.clock = around, clock
        return write()

    kept_away, lived = list[str](), 0
    for nights in each_write(other):
        check(nights, again=not taken)
        lived += 1
    assert (len(kept_away) >= lived - 2) if taken else (len(kept_away) < lived / 2)
