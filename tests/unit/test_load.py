"""Spans of load: what is cut out of the series, and what their holes mean."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest

from ml_janitor.aws.instances import Machine
from ml_janitor.aws.metrics import Series
from ml_janitor.core.signals import Absent, NotRead, Signal, Unreadable, Value
from ml_janitor.detectors.hung_training_jobs.load import Collective, HostLoad, Motion, Span, shown, some, span

END = datetime(2026, 10, 6, 3, tzinfo=UTC)
START = END - timedelta(hours=6)
MINUTE = timedelta(minutes=1)
REFUSED = Unreadable("AccessDenied: no", "call")
GONE = Absent("cloudwatch:GetMetricData")


def series(*values: float, start: datetime = START, step: timedelta = 5 * MINUTE) -> Signal[Series]:
    return Value(Series(tuple((start + n * step, value) for n, value in enumerate(values))))


def flat(value: float, start: datetime = START, step: timedelta = 5 * MINUTE) -> Signal[Series]:
    return series(*[value] * ((END - start) // step), start=start, step=step)


def missing_for(minutes: int) -> Signal[Series]:
    """A point every five minutes, but none for so long after the first hour."""
    times = [START + n * 5 * MINUTE for n in range(72)]
    missing = range(60, 60 + minutes)
    return Value(Series(tuple((at, 1.0) for at in times if (at - START) // MINUTE not in missing)))


def test_the_lowest_and_the_highest_of_the_time_asked_for() -> None:
    lows, highs = flat(10, START - 60 * MINUTE), flat(20)

    assert span(lows, highs, START, END) == Value(Span(10, 20), "cloudwatch:GetMetricData")


def test_what_lies_before_the_start_does_not_count() -> None:
    before = START - timedelta(seconds=1)

    assert span(series(400, start=before), flat(20), START, END) == span(flat(20), flat(20), START, END)
    assert span(series(400, start=before), series(400, start=before), START, END) == GONE


@pytest.mark.parametrize(
    ("lows", "highs", "expected"),
    [
        (REFUSED, flat(1), REFUSED),
        (flat(1), REFUSED, REFUSED),
        (REFUSED, GONE, REFUSED),
        (GONE, REFUSED, REFUSED),
        (GONE, flat(1), GONE),
        (flat(1), GONE, GONE),
        (flat(1), series(1, math.nan), Unreadable("GetMetricData: a value is no number", GONE.source)),
        (series(-math.inf), flat(1), Unreadable("GetMetricData: a value is no number", GONE.source)),
    ],
)
def test_no_span(lows: Signal[Series], highs: Signal[Series], expected: Signal[Span]) -> None:
    assert span(lows, highs, START, END) == expected


@pytest.mark.parametrize(
    ("points", "whole"),
    [
        (flat(1), True),
        (flat(1, step=60 * MINUTE), True),
        (missing_for(60), True),
        (missing_for(65), False),
        (flat(1, START + 65 * MINUTE), True),
        (flat(1, START + 66 * MINUTE), False),
        (series(*[1] * 60), True),  # the newest is 65 minutes old, and speaks for 5 of them
        (series(*[1] * 59), False),
        (series(1), False),
    ],
)
def test_a_long_hole_is_not_measured(points: Signal[Series], whole: bool) -> None:  # noqa: FBT001 - expected value
    found = span(points, points, START, END)

    assert isinstance(found, Value)
    assert found.value.whole is whole


@pytest.mark.parametrize(
    ("gpu", "cpu", "machine", "expected"),
    [
        (Span(0, 0), Span(40, 50), Machine(32, 4), Motion.RESTS),
        (Span(0, 0), Span(50, 60), Machine(32, 4), Motion.ONLY_GPUS_REST),
        (Span(0, 0), Span(50, 101), Machine(32, 4), Motion.WORKING),
        (Span(399, 400), Span(50, 101), Machine(32, 4), Motion.SPINS),
        (None, Span(790, 800), Machine(8, 0), Motion.FULL),
        (None, Span(800, 840), Machine(8, 0), Motion.FULL),
        (None, Span(801, 841), Machine(8, 0), Motion.STEADY),  # more than there is
        (Span(800, 800), Span(50, 60), Machine(32, 4), Motion.STEADY),  # more than there is
        (Span(0, 4), Span(0, 1), Machine(8, None), Motion.WORKING),  # unknown GPUs count as one
        (Span(0, 3), Span(0, 1), Machine(8, None), Motion.UNMEASURED),
        (Span(0, 3.02), Span(0, 1), Machine(8, None), Motion.WORKING),
        (Span(0, 1), Span(0, 1), Machine(8, 0), Motion.UNMEASURED),
        (Span(99, 100), Span(0, 1), Machine(8, 1), Motion.SPINS),
        (Span(0, 0), Span(0, 40), Machine(8, 1), Motion.RESTS),  # five percent
        (Span(0, 0), Span(1, 40.2), Machine(8, 1), Motion.ONLY_GPUS_REST),
        (Span(1430, 1455), Span(0, 1), Machine(64, 16), Motion.SPINS),  # 15 of them
        (Span(0, 0), Span(0, 1), Machine(8, 0), Motion.RESTS),
        (None, Span(0, 1), Machine(8, 0), Motion.RESTS),
        (None, Span(0, 1), Machine(8, 1), Motion.UNMEASURED),
    ],
)
def test_a_load_is_measured_against_the_machine(
    gpu: Span | None, cpu: Span, machine: Machine, expected: Motion
) -> None:
    measured = GONE if gpu is None else Value(gpu)

    assert HostLoad(host="a/algo-1", cpu=Value(cpu), gpu=measured).motion(machine) is expected


@pytest.mark.parametrize(
    ("collective", "spins", "full", "beside"),
    [
        (Collective.POSSIBLE, Motion.SPINS, Motion.FULL, Motion.ONLY_GPUS_REST),
        (Collective.ALONE, Motion.FULL, Motion.FULL, Motion.ONLY_GPUS_REST),
        (Collective.NEVER, Motion.STEADY, Motion.STEADY, Motion.STEADY),
    ],
)
def test_what_a_full_load_means_depends_on_who_could_wait_for_whom(
    collective: Collective, spins: Motion, full: Motion, beside: Motion
) -> None:
    def motion(gpu: Signal[Span], cpu: Span, gpus: int) -> Motion:
        return HostLoad(host="a/algo-1", cpu=Value(cpu), gpu=gpu).motion(Machine(8, gpus), collective)

    assert motion(Value(Span(199, 200)), Span(200, 210), 2) is spins
    assert motion(GONE, Span(790, 800), 0) is full
    assert motion(Value(Span(0, 0)), Span(100, 101), 2) is beside
    assert motion(Value(Span(0, 0)), Span(0, 1), 2) is Motion.RESTS


@pytest.mark.parametrize("unread", [REFUSED, NotRead()])
def test_what_was_not_read_is_unreadable(unread: Signal[Span]) -> None:
    load = HostLoad(host="a/algo-1", cpu=Value(Span(0, 1)), gpu=unread)

    assert load.motion(Machine(8, 1)) is Motion.UNREADABLE


@pytest.mark.parametrize(
    ("disk", "memory", "expected"),
    [
        (GONE, GONE, Motion.RESTS),
        (Value(Span(40, 41)), Value(Span(60, 65)), Motion.RESTS),
        (Value(Span(40, 41.1)), GONE, Motion.WORKING),
        (GONE, Value(Span(60, 65.1)), Motion.WORKING),
        (REFUSED, GONE, Motion.UNREADABLE),
        (GONE, REFUSED, Motion.UNREADABLE),
        (NotRead(), GONE, Motion.UNREADABLE),
    ],
)
def test_a_host_whose_disk_or_memory_fills_works(
    disk: Signal[Span], memory: Signal[Span], expected: Motion
) -> None:
    """It downloads, for instance, which may take less than half a thread and say nothing for hours."""
    load = HostLoad(host="a/algo-1", cpu=Value(Span(0, 30)), gpu=Value(Span(0, 0)), disk=disk, memory=memory)

    assert load.motion(Machine(32, 4)) is expected


def test_hosts_alike_are_told_together() -> None:
    def host(n: int, gpu: Signal[Span]) -> HostLoad:
        return HostLoad(host=f"a/algo-{n}", cpu=GONE, gpu=gpu)

    full, holey = Value(Span(399.6, 400)), Value(Span(0, 1, timedelta(hours=3)))

    assert shown([host(1, full), host(2, full), host(3, holey)], "gpu", 400) == (
        "400 to 400 of 400 (algo-1, algo-2); 0 to 1 of 400, missing for 3 hours (algo-3)"
    )
    assert shown([host(1, REFUSED), host(2, GONE)], "gpu", None) == "unreadable (algo-1); none (algo-2)"
    assert some([f"algo-{n}" for n in range(1, 7)]) == "algo-1, algo-2, algo-3, algo-4 and 2 more"
