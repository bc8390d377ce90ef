"""The load of a job's hosts: CPU and GPU at a standstill, as in a deadlock, or varying like work. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from functools import partial
from itertools import pairwise
from typing import Literal

from ml_janitor.aws.instances import Machine
from ml_janitor.aws.metrics import GET_METRIC_DATA, MetricSeries
from ml_janitor.core.durations import format_age
from ml_janitor.core.signals import Absent, NotRead, Signal, Unreadable, Value

LOAD_PERIOD = 300
"""Seconds. The metrics come every minute; each value is the lowest or highest of five."""

_LONGEST_HOLE = timedelta(hours=1)
"""Longest time for which a metric may be missing in between before its host counts as not measured."""


@dataclass(frozen=True, slots=True)
class LoadSpan:
    """The lowest and the highest value of a metric over some time, and its longest *hole*."""

    lowest: float
    highest: float
    hole: timedelta = timedelta()

    @property
    def whole(self) -> bool:
        """True if there are values for all of the time."""
        return self.hole <= _LONGEST_HOLE

    def still(self, tolerance: float) -> bool:
        """Return whether it varies by no more than *tolerance*."""
        return self.highest - self.lowest <= tolerance

    def rests(self, full: float, tolerance: float, rest: float = math.inf) -> bool:
        """Return whether it stays near zero (below *rest*)."""
        return self.highest <= min(tolerance * full, rest)

    def fills(self, full: float, tolerance: float) -> bool:
        """Return whether it stays near *full*."""
        return self.lowest >= (1 - tolerance) * full and self.highest <= (1 + tolerance) * full


def load_span(
    lows: Signal[MetricSeries], highs: Signal[MetricSeries], start: datetime, end: datetime
) -> Signal[LoadSpan]:
    """Return the span between *lows* and *highs* from *start* to *end*; an infinite value is unreadable."""
    match lows, highs:
        case (Unreadable() as failed, _) | (_, Unreadable() as failed):
            return failed
        case Value(low), Value(high):
            pass
        case _:
            return Absent(GET_METRIC_DATA)
    within = [(at, value) for at, value in (*low.points, *high.points) if at >= start]
    if not within:
        return Absent(GET_METRIC_DATA)
    values = [value for _, value in within]
    if not all(map(math.isfinite, values)):
        return Unreadable("GetMetricData: a value is no number", GET_METRIC_DATA)
    period = timedelta(seconds=LOAD_PERIOD)
    times = sorted({at for at, _ in within})
    holes = (later - before for before, later in pairwise([start, *times, end]))
    return Value(LoadSpan(min(values), max(values), max(holes) - period), GET_METRIC_DATA)


_CPU_TOLERANCE = 0.05
_GPU_TOLERANCE = 0.03
"""
Tolerances as a share of full scale: a load's distance from its other extreme
or from zero, and a CPU's from full.
The CPU also carries the system's own agents.
"""

_SPINNING_SHARE = 0.95
_ALL_SPINNING_SHARE = 0.90
"""
The least load of GPUs that spin in a collective, as a share of full load: some of a host's GPUs, or all.
They were seen at 100 percent, with others at 0 (NVIDIA/nccl #857 and #1033, cupy/cupy
#3557), and at about 96 (vllm-project/vllm #46097). Some GPUs at full load have the same
sum as more GPUs at less, so some must be closer to it.
"""

_HALF_A_THREAD = 50.0
"""
The CPU load above which a host is not at rest, however many vCPUs it has.
One thread at work is 100, which on a large host is less than a tolerable share of full scale.
"""

_MEMORY_TOLERANCE = 5.0
_DISK_TOLERANCE = 1.0
"""
Percentage points by which a container's use of memory and disk may vary while it stands still.
A container that downloads, or reads from a slow source, may need less than
half a thread, and be silent for hours.
"""


class CollectiveWait(Enum):
    """The possible waits between a job's hosts in a collective, where they spin at full load."""

    POSSIBLE = "a GPU may wait for another"
    ALONE = "no GPU waits for another"
    NEVER = "this kind of job has none"


class LoadPattern(Enum):
    """The pattern of one host's load."""

    RESTS = "still and at rest"
    SPINS = "all or some of its GPUs still and full, where one may wait for another"
    FULL = "still and full, where no GPU waits for another"
    ONLY_GPUS_REST = "its GPUs at rest beside a CPU that is not"
    WORKING = "varies like work"
    STEADY = "still, but at a level of work"
    UNMEASURED = "not measured"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLoad:
    """
    CPU and GPU utilization of one host: 0 to 100 for each vCPU and each GPU it has.

    *memory* and *disk* are its container's use in percent; transform jobs publish no disk.
    """

    host: str
    cpu: Signal[LoadSpan]
    gpu: Signal[LoadSpan]
    memory: Signal[LoadSpan] = field(default_factory=partial(Absent, GET_METRIC_DATA))
    disk: Signal[LoadSpan] = field(default_factory=partial(Absent, GET_METRIC_DATA))

    def motion(self, machine: Machine, collective: CollectiveWait = CollectiveWait.POSSIBLE) -> LoadPattern:
        """
        Return the pattern of the load on *machine*, where a collective can hang as *collective* says.

        Variation counts whatever else is missing, because it can only show that the host works. Where a
        metric is missing or the accelerators are unknown, the load is not measured.
        """
        if self._varies(machine):
            return LoadPattern.WORKING
        if any(
            isinstance(signal, Unreadable | NotRead)
            for signal in (self.cpu, self.gpu, self.memory, self.disk)
        ):
            return LoadPattern.UNREADABLE
        return self._level(machine, collective) or LoadPattern.UNMEASURED

    def spinning(self, machine: Machine) -> int:
        """Return how many GPUs of *machine* are at full load, as far as that is measured."""
        if not machine.gpus or not isinstance(self.gpu, Value):
            return 0
        return count_spinning_gpus(self.gpu.value, machine.gpus) or 0

    def _level(self, machine: Machine, collective: CollectiveWait) -> LoadPattern | None:
        """Return the pattern by the level of a still load; None if it is not measured."""
        cpu = self.cpu.value if isinstance(self.cpu, Value) else None
        gpu = self.gpu.value if isinstance(self.gpu, Value) else None
        if machine.gpus is None or cpu is None or not cpu.whole:
            return None
        if machine.gpus > 0:
            if gpu is None or not gpu.whole:
                return None
            return _of_gpus(count_spinning_gpus(gpu, machine.gpus), cpu, machine, collective)
        if gpu is not None and gpu.highest > 0:  # a GPU in a machine that should have none
            return None
        return _of_cpu(cpu, machine, collective)

    def _varies(self, machine: Machine) -> bool:
        tolerated = (
            (self.cpu, 100 * machine.vcpus * _CPU_TOLERANCE),
            (self.gpu, 100 * (machine.gpus or 1) * _GPU_TOLERANCE),
            (self.memory, _MEMORY_TOLERANCE),
            (self.disk, _DISK_TOLERANCE),
        )
        return any(isinstance(seen, Value) and not seen.value.still(by) for seen, by in tolerated)


def _of_cpu(cpu: LoadSpan, machine: Machine, collective: CollectiveWait) -> LoadPattern:
    """
    Return the pattern of a host without GPUs. All its threads at work look
    like all its threads spinning.
    """
    full = 100 * machine.vcpus
    if cpu.rests(full, _CPU_TOLERANCE, _HALF_A_THREAD):
        return LoadPattern.RESTS
    if cpu.fills(full, _CPU_TOLERANCE) and collective is not CollectiveWait.NEVER:
        return LoadPattern.FULL
    return LoadPattern.STEADY


def _of_gpus(full: int | None, cpu: LoadSpan, machine: Machine, collective: CollectiveWait) -> LoadPattern:
    """
    Return the pattern of a host with *full* GPUs at full load, as `count_spinning_gpus` counts them.

    Where they spin in a collective, the CPU may stand at any level: it spins one thread for each of them.
    Where they rest, the work is the CPU's, and every half thread of it counts.
    """
    if full is None:
        return LoadPattern.STEADY
    if full:
        spins = {CollectiveWait.POSSIBLE: LoadPattern.SPINS, CollectiveWait.ALONE: LoadPattern.FULL}
        return spins.get(collective, LoadPattern.STEADY)
    if cpu.rests(100 * machine.vcpus, _CPU_TOLERANCE, _HALF_A_THREAD):
        return LoadPattern.RESTS
    if collective is CollectiveWait.NEVER:
        return LoadPattern.STEADY
    return LoadPattern.WORKING if cpu.highest - cpu.lowest > _HALF_A_THREAD else LoadPattern.ONLY_GPUS_REST


def count_spinning_gpus(load: LoadSpan, gpus: int) -> int | None:
    """
    Return how many of *gpus* are at full load while the others rest, by
    their sum; None if no number fits.
    """
    if load.rests(100 * gpus, _GPU_TOLERANCE):
        return 0
    if load.lowest >= 100 * gpus * _ALL_SPINNING_SHARE:
        return gpus if load.highest <= 100 * gpus * (1 + _GPU_TOLERANCE) else None
    number = round(load.highest / 100)
    tolerated = 100 * _GPU_TOLERANCE
    fits = (
        load.lowest >= 100 * number * _SPINNING_SHARE
        and load.highest <= 100 * number + tolerated * (gpus - number)
        and load.still(tolerated * number)
    )
    return number if fits else None


def loads_text(
    loads: Sequence[HostLoad], name: Literal["cpu", "gpu", "memory", "disk"], full: int | None
) -> str:
    """Return all hosts' loads, for a reader: "399 to 400 of 400 (algo-1, algo-2); none (algo-3)"."""
    hosts: dict[str, list[str]] = {}
    for host_load in loads:
        match getattr(host_load, name):
            case Value(seen):
                text = f"{seen.lowest:.0f} to {seen.highest:.0f}" + (f" of {full}" if full else "")
                text += "" if seen.whole else f", missing for {format_age(seen.hole)}"
            case Unreadable():
                text = "unreadable"
            case _:
                text = "none"
        hosts.setdefault(text, []).append(host_load.host.rpartition("/")[2])
    return "; ".join(f"{text} ({some_names(names)})" for text, names in hosts.items())


def some_names(names: Sequence[str], most: int = 4) -> str:
    """Return *names* in a sentence, the first few of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
