"""Which regions a run sweeps at once, which it waits for and how long, and what a retry passes over."""

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from conftest import ACCOUNT, HOUR, NOW, SECOND
from fakes import raising
from memory_table import MemoryTable
from ml_janitor.engine.run import Failures
from ml_janitor.ledger.limits import Leases, LeaseTakenError, RegionQueue
from tables import cases

HERE, THERE, FAR = (
    SimpleNamespace(account=ACCOUNT, region=region) for region in ("us-east-1", "eu-west-1", "eu-west-2")
)


class Run:
    """One try of an event that may take fifteen minutes, by a clock that only its pauses move."""

    def __init__(self, leases: Leases | None = None, event: str = "event", *, waits: bool = True) -> None:
        self.now = NOW
        self.leases = leases or Leases(MemoryTable())
        self.pauses = 0
        self.at_pause: Callable[[int], None] = lambda _: None
        logger: Any = SimpleNamespace(exception=lambda _: None)
        self.failures = Failures(logger)
        self.queue = RegionQueue(
            leases=self.leases,
            detector="shelf",
            holder=event,
            clock=lambda: self.now,
            begun=NOW,
            patience=timedelta(minutes=15),
            pause=self.pause if waits else None,
            failures=self.failures,
        )

    def pause(self) -> None:
        self.pauses += 1
        self.now += 15 * SECOND
        self.at_pause(self.pauses)

    def of(self, *regions: Any, fails: bool = False) -> list[tuple[list[str], int]]:
        """The regions of each batch, and how many come later; *fails* is whether sweeping them does."""
        batches = []
        for batch in self.queue.of(regions):
            batches.append(([aws.region for aws in batch.regions], batch.later))
            if fails:
                self.failures.note("it broke off")
        return batches

    def taken(self, region: Any, *, until: timedelta = HOUR) -> None:
        """Another run sweeps *region*."""
        self.leases.take("shelf", ACCOUNT, region.region, holder="other", now=NOW, until=NOW + until)

    def freed(self, region: Any) -> None:
        self.leases.release("shelf", ACCOUNT, region.region, holder="other")

    def held(self) -> list[str]:
        return [item["holder"] for item in self.leases._table.scan("lease#") if "swept" not in item]


def test_what_is_free_is_one_batch_and_given_back() -> None:
    run = Run()
    both: Any = [HERE, THERE]

    seen = [(len(batch.regions), batch.later, run.held()) for batch in run.queue.of(both)]

    assert seen == [(2, 0, ["event"] * 2)]
    assert (run.held(), len(run.failures), run.pauses) == ([], 0, 0)
    assert run.queue.rest is False


def test_what_is_taken_is_swept_when_it_is_free_and_no_lease_is_held_meanwhile() -> None:
    """Two runs that wait for each other would wait in vain."""
    run = Run()
    run.taken(THERE)
    held = []

    def at_pause(pauses: int) -> None:
        held.append(run.held())
        if pauses == 3:
            run.freed(THERE)

    run.at_pause = at_pause

    assert run.of(HERE, THERE) == [(["us-east-1"], 1), (["eu-west-1"], 0)]
    assert (held, len(run.failures)) == ([["other"]] * 3, 0)


def test_it_is_waited_for_until_a_third_of_the_time_is_left() -> None:
    run = Run()
    run.taken(THERE)

    with pytest.raises(LeaseTakenError):
        run.of(THERE)

    assert run.now - NOW == timedelta(minutes=10)


@pytest.mark.parametrize(("seconds", "pauses"), [(45, 1), (46, 0)])
def test_what_sweeping_took_is_not_left_for_waiting(seconds: int, pauses: int) -> None:
    run = Run()
    run.taken(THERE)
    both: Any = [HERE, THERE]

    for _ in run.queue.of(both):
        run.now += timedelta(minutes=9, seconds=seconds)

    assert (run.pauses, len(run.failures)) == (pauses, 1)


def test_a_clock_that_stands_still_ends_it_too() -> None:
    run = Run()
    run.taken(THERE)

    def at_pause(_: int) -> None:
        run.now = NOW

    run.at_pause = at_pause
    with pytest.raises(LeaseTakenError):
        run.of(THERE)
    assert run.pauses == 40


def test_without_a_pause_nothing_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    run, tries = Run(waits=False), list[str]()
    run.taken(THERE)
    take = run.leases.take

    def counted(detector: str, account: str, region: str, **how: Any) -> None:
        tries.append(region)
        take(detector, account, region, **how)

    monkeypatch.setattr(run.leases, "take", counted)

    assert run.of(HERE, THERE) == [(["us-east-1"], 1)]

    assert tries == ["us-east-1", "eu-west-1"]
    with pytest.raises(Exception, match="eu-west-1 by another run, so it was not swept"):
        run.failures.check()


def test_a_retry_sweeps_what_is_left_and_passes_over_what_was_swept() -> None:
    first = Run(waits=False)
    first.taken(THERE)
    first.taken(FAR)
    first.of(HERE, THERE, FAR)
    first.freed(THERE)

    retry = Run(first.leases, waits=False)
    assert retry.of(HERE, THERE, FAR) == [(["eu-west-1"], 1)]
    assert (retry.queue.rest, len(retry.failures)) == (True, 1)

    again = Run(first.leases, waits=False)
    assert again.of(HERE, THERE, FAR) == []
    assert len(again.failures) == 1, "what is left is a failure, although nothing was swept"
    assert Run(first.leases, "next event").of(HERE, THERE) == [(["us-east-1", "eu-west-1"], 0)]


def test_a_retry_does_again_what_failed() -> None:
    first = Run(waits=False)
    first.taken(THERE)
    first.of(HERE, THERE, fails=True)
    first.freed(THERE)

    assert Run(first.leases).of(HERE, THERE) == [(["us-east-1", "eu-west-1"], 0)]


def test_a_lease_is_held_as_long_as_the_run_may_take() -> None:
    run, left = Run(), timedelta(minutes=15)
    batches = run.queue.of([HERE])  # type: ignore[list-item]
    next(batches)

    for after, free in ((left - SECOND, False), (left, True)):
        other = Run(run.leases, "other", waits=False)
        other.now = NOW + after
        if free:
            assert other.of(HERE) == [(["us-east-1"], 0)]
        else:
            with pytest.raises(LeaseTakenError):
                other.of(HERE)


@cases("what, why", ("release", "a lease could not be given back"), ("swept", "could not be remembered"))
def test_a_ledger_failing_at_the_end_is_noted(monkeypatch: pytest.MonkeyPatch, what: str, why: str) -> None:
    run = Run(waits=False)
    run.taken(THERE)
    monkeypatch.setattr(run.leases, what, raising(PermissionError("no powers")))
    run.of(HERE, THERE)

    with pytest.raises(Exception, match=why):
        run.failures.check()
