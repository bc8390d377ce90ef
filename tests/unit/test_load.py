"""Spans of load: what is cut out of the series, and what their holes mean."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest

from ml_janitor.aws.activity import MetricSeries
from ml_janitor.aws.prices import Machine
from ml_janitor.core.model import Absent, NotRead, Signal, Unreadable, Value
from ml_janitor.detectors.hung_training_jobs.jobs import (
    CollectiveWait,
    HostLoad,
    LoadPattern,
    LoadSpan,
    load_span,
    loads_text,
    some_names,
)
from tables import cases

END = datetime(2026, 10, 6, 3, tzinfo=UTC)
START = END - timedelta(hours=6)
MINUTE = timedelta(minutes=1)
REFUSED = Unreadable("AccessDenied: no", "call")
GONE = Absent("cloudwatch:GetMetricData")


def series(*values: float, start: datetime = START, step: timedelta = 5 * MINUTE) -> Signal[MetricSeries]:
    return Value(MetricSeries(tuple((start + n * step, value) for n, value in enumerate(values))))


def flat(value: float, start: datetime = START, step: timedelta = 5 * MINUTE) -> Signal[MetricSeries]:
    return series(*[value] * ((END - start) // step), start=start, step=step)


def missing_for(minutes: int) -> Signal[MetricSeries]:
    """A point every five minutes, but none for so long after the first hour."""
    times = [START + n * 5 * MINUTE for n in range(72)]
    missing = range(60, 60 + minutes)
    return Value(MetricSeries(tuple((at, 1.0) for at in times if (at - START) // MINUTE not in missing)))


def test_the_lowest_and_the_highest_of_the_time_asked_for() -> None:
    lows, highs = flat(10, START - 60 * MINUTE), flat(20)

    assert load_span(lows, highs, START, END) == Value(LoadSpan(10, 20), "cloudwatch:GetMetricData")


def test_what_lies_before_the_start_does_not_count() -> None:
    before = START - timedelta(seconds=1)

    assert load_span(series(400, start=before), flat(20), START, END) == load_span(
        flat(20), flat(20), START, END
    )
    assert load_span(series(400, start=before), series(400, start=before), START, END) == GONE


@cases(
    "lows, highs, expected",
    (REFUSED, flat(1), REFUSED),
    (flat(1), REFUSED, REFUSED),
    (REFUSED, GONE, REFUSED),
    (GONE, REFUSED, REFUSED),
    (GONE, flat(1), GONE),
    (flat(1), GONE, GONE),
    (flat(1), series(1, math.nan), Unreadable("GetMetricData: a value is not a number", GONE.source)),
    (series(-math.inf), flat(1), Unreadable("GetMetricData: a value is not a number", GONE.source)),
)
def test_no_span(lows: Signal[MetricSeries], highs: Signal[MetricSeries], expected: Signal[LoadSpan]) -> None:
    assert load_span(lows, highs, START, END) == expected


@cases(
    "points, whole",
    (flat(1), True),
    (flat(1, step=60 * MINUTE), True),
    (missing_for(60), True),
    (missing_for(65), False),
    (flat(1, START + 65 * MINUTE), True),
    (flat(1, START + 66 * MINUTE), False),
    (series(*[1] * 60), True),  # the newest is 65 minutes old, and speaks for 5 of them
    (series(*[1] * 59), False),
    (series(1), False),
)
def test_a_long_hole_is_not_measured(points: Signal[MetricSeries], whole: bool) -> None:  # noqa: FBT001 - expected value
    found = load_span(points, points, START, END)

    assert isinstance(found, Value)
    assert found.value.whole is whole


@cases(
    "gpu, cpu, machine, expected",
    (LoadSpan(0, 0), LoadSpan(40, 50), Machine(32, 4), LoadPattern.RESTS),
    (LoadSpan(0, 0), LoadSpan(50, 60), Machine(32, 4), LoadPattern.ONLY_GPUS_REST),
    (LoadSpan(0, 0), LoadSpan(50, 101), Machine(32, 4), LoadPattern.WORKING),
    (LoadSpan(399, 400), LoadSpan(50, 101), Machine(32, 4), LoadPattern.SPINS),
    (None, LoadSpan(790, 800), Machine(8, 0), LoadPattern.FULL),
    (None, LoadSpan(800, 840), Machine(8, 0), LoadPattern.FULL),
    (None, LoadSpan(801, 841), Machine(8, 0), LoadPattern.STEADY),  # more than there is
    (LoadSpan(800, 800), LoadSpan(50, 60), Machine(32, 4), LoadPattern.STEADY),  # more than there is
    (LoadSpan(0, 4), LoadSpan(0, 1), Machine(8, None), LoadPattern.WORKING),  # unknown GPUs count as one
    (LoadSpan(0, 3), LoadSpan(0, 1), Machine(8, None), LoadPattern.UNMEASURED),
    (LoadSpan(0, 3.02), LoadSpan(0, 1), Machine(8, None), LoadPattern.WORKING),
    (LoadSpan(0, 1), LoadSpan(0, 1), Machine(8, 0), LoadPattern.UNMEASURED),
    (LoadSpan(99, 100), LoadSpan(0, 1), Machine(8, 1), LoadPattern.SPINS),
    (LoadSpan(0, 0), LoadSpan(0, 40), Machine(8, 1), LoadPattern.RESTS),  # five percent
    (LoadSpan(0, 0), LoadSpan(1, 40.2), Machine(8, 1), LoadPattern.ONLY_GPUS_REST),
    (LoadSpan(1430, 1455), LoadSpan(0, 1), Machine(64, 16), LoadPattern.SPINS),  # 15 of them
    (LoadSpan(0, 0), LoadSpan(0, 1), Machine(8, 0), LoadPattern.RESTS),
    (None, LoadSpan(0, 1), Machine(8, 0), LoadPattern.RESTS),
    (None, LoadSpan(0, 1), Machine(8, 1), LoadPattern.UNMEASURED),
)
def test_a_load_is_measured_against_the_machine(
    gpu: LoadSpan | None, cpu: LoadSpan, machine: Machine, expected: LoadPattern
) -> None:
    measured = GONE if gpu is None else Value(gpu)

    assert HostLoad(host="a/algo-1", cpu=Value(cpu), gpu=measured).motion(machine) is expected


@cases(
    "collective, spins, full, beside",
    (CollectiveWait.POSSIBLE, LoadPattern.SPINS, LoadPattern.FULL, LoadPattern.ONLY_GPUS_REST),
    (CollectiveWait.ALONE, LoadPattern.FULL, LoadPattern.FULL, LoadPattern.ONLY_GPUS_REST),
    (CollectiveWait.NEVER, LoadPattern.STEADY, LoadPattern.STEADY, LoadPattern.STEADY),
)
def test_what_a_full_load_means_depends_on_who_could_wait_for_whom(
    collective: CollectiveWait, spins: LoadPattern, full: LoadPattern, beside: LoadPattern
) -> None:
    def motion(gpu: Signal[LoadSpan], cpu: LoadSpan, gpus: int) -> LoadPattern:
        return HostLoad(host="a/algo-1", cpu=Value(cpu), gpu=gpu).motion(Machine(8, gpus), collective)

    assert motion(Value(LoadSpan(199, 200)), LoadSpan(200, 210), 2) is spins
    assert motion(GONE, LoadSpan(790, 800), 0) is full
    assert motion(Value(LoadSpan(0, 0)), LoadSpan(100, 101), 2) is beside
    assert motion(Value(LoadSpan(0, 0)), LoadSpan(0, 1), 2) is LoadPattern.RESTS


@pytest.mark.parametrize("unread", [REFUSED, NotRead()])
def test_what_was_not_read_is_unreadable(unread: Signal[LoadSpan]) -> None:
    load = HostLoad(host="a/algo-1", cpu=Value(LoadSpan(0, 1)), gpu=unread)

    assert load.motion(Machine(8, 1)) is LoadPattern.UNREADABLE


@cases(
    "disk, memory, expected",
    (GONE, GONE, LoadPattern.RESTS),
    (Value(LoadSpan(40, 41)), Value(LoadSpan(60, 65)), LoadPattern.RESTS),
    (Value(LoadSpan(40, 41.1)), GONE, LoadPattern.WORKING),
    (GONE, Value(LoadSpan(60, 65.1)), LoadPattern.WORKING),
    (REFUSED, GONE, LoadPattern.UNREADABLE),
    (GONE, REFUSED, LoadPattern.UNREADABLE),
    (NotRead(), GONE, LoadPattern.UNREADABLE),
)
def test_a_host_whose_disk_or_memory_fills_works(
    disk: Signal[LoadSpan], memory: Signal[LoadSpan], expected: LoadPattern
) -> None:
    """It downloads, for instance, which may take less than half a thread and say nothing for hours."""
    load = HostLoad(
        host="a/algo-1", cpu=Value(LoadSpan(0, 30)), gpu=Value(LoadSpan(0, 0)), disk=disk, memory=memory
    )

    assert load.motion(Machine(32, 4)) is expected


def test_hosts_alike_are_told_together() -> None:
    def host(n: int, gpu: Signal[LoadSpan]) -> HostLoad:
        return HostLoad(host=f"a/algo-{n}", cpu=GONE, gpu=gpu)

    full, holey = Value(LoadSpan(399.6, 400)), Value(LoadSpan(0, 1, timedelta(hours=3)))

    assert loads_text([host(1, full), host(2, full), host(3, holey)], "gpu", 400) == (
        "400 to 400 of 400 (algo-1, algo-2); 0 to 1 of 400, missing for 3 hours (algo-3)"
    )
    assert loads_text([host(1, REFUSED), host(2, GONE)], "gpu", None) == "unreadable (algo-1); none (algo-2)"
    assert some_names([f"algo-{n}" for n in range(1, 7)]) == "algo-1, algo-2, algo-3, algo-4 and 2 more"
