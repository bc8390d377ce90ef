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
from ml_janitor.aws.metrics import GET_METRIC_DATA, Series
from ml_janitor.core.durations import ago
from ml_janitor.core.signals import Absent, NotRead, Signal, Unreadable, Value

PERIOD = 300
"""Seconds. The metrics come every minute; each value is the lowest or highest of five."""

LONGEST_HOLE = timedelta(hours=1)
"""Longest time for which a metric may be missing in between before its host counts as not measured."""


@dataclass(frozen=True, slots=True)
class Span:
    """The lowest and the highest value of a metric over some time, and its longest *hole*."""

    lowest: float
    highest: float
    hole: timedelta = timedelta()

    @property
    def whole(self) -> bool:
        """True if there are values for all of the time."""
        return self.hole <= LONGEST_HOLE

    def still(self, tolerance: float) -> bool:
        """Return whether it varies by no more than *tolerance*."""
        return self.highest - self.lowest <= tolerance

    def rests(self, full: float, tolerance: float, rest: float = math.inf) -> bool:
        """Return whether it stays near zero (below *rest*)."""
        return self.highest <= min(tolerance * full, rest)

    def fills(self, full: float, tolerance: float) -> bool:
        """Return whether it stays near *full*."""
        return self.lowest >= (1 - tolerance) * full and self.highest <= (1 + tolerance) * full


def span(lows: Signal[Series], highs: Signal[Series], start: datetime, end: datetime) -> Signal[Span]:
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
    period = timedelta(seconds=PERIOD)
    times = sorted({at for at, _ in within})
    holes = (later - before for before, later in pairwise([start, *times, end]))
    return Value(Span(min(values), max(values), max(holes) - period), GET_METRIC_DATA)


CPU_TOLERANCE = 0.05
GPU_TOLERANCE = 0.03
"""
Tolerances as a share of full scale: a load's distance from its other extreme
or from zero, and a CPU's from full.
The CPU also carries the system's own agents.
"""

SPINNING = 0.95
ALL_SPINNING = 0.90
"""
The least load of GPUs that spin in a collective, as a share of full load: some of a host's GPUs, or all.
They were seen at 100 percent, with others at 0 (NVIDIA/nccl #857 and #1033, cupy/cupy
#3557), and at about 96 (vllm-project/vllm #46097). Some GPUs at full load have the same
sum as more GPUs at less, so some must be closer to it.
"""

HALF_A_THREAD = 50.0
"""
The CPU load above which a host is not at rest, however many vCPUs it has.
One thread at work is 100, which on a large host is less than a tolerable share of full scale.
"""

MEMORY_TOLERANCE = 5.0
DISK_TOLERANCE = 1.0
"""
Percentage points by which a container's use of memory and disk may vary while it stands still.
A container that downloads, or reads from a slow source, may need less than
half a thread, and be silent for hours.
"""


class Collective(Enum):
    """The possible waits between a job's hosts in a collective, where they spin at full load."""

    POSSIBLE = "a GPU may wait for another"
    ALONE = "no GPU waits for another"
    NEVER = "this kind of job has none"


class Motion(Enum):
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
    cpu: Signal[Span]
    gpu: Signal[Span]
    memory: Signal[Span] = field(default_factory=partial(Absent, GET_METRIC_DATA))
    disk: Signal[Span] = field(default_factory=partial(Absent, GET_METRIC_DATA))

    def motion(self, machine: Machine, collective: Collective = Collective.POSSIBLE) -> Motion:
        """
        Return the pattern of the load on *machine*, where a collective can hang as *collective* says.

        Variation counts whatever else is missing, because it can only show that the host works. Where a
        metric is missing or the accelerators are unknown, the load is not measured.
        """
        if self._varies(machine):
            return Motion.WORKING
        if any(
            isinstance(signal, Unreadable | NotRead)
            for signal in (self.cpu, self.gpu, self.memory, self.disk)
        ):
            return Motion.UNREADABLE
        return self._level(machine, collective) or Motion.UNMEASURED

    def spinning(self, machine: Machine) -> int:
        """Return how many GPUs of *machine* are at full load, as far as that is measured."""
        if not machine.gpus or not isinstance(self.gpu, Value):
            return 0
        return spinning(self.gpu.value, machine.gpus) or 0

    def _level(self, machine: Machine, collective: Collective) -> Motion | None:
        """Return the pattern by the level of a still load; None if it is not measured."""
        cpu = self.cpu.value if isinstance(self.cpu, Value) else None
        gpu = self.gpu.value if isinstance(self.gpu, Value) else None
        if machine.gpus is None or cpu is None or not cpu.whole:
            return None
        if machine.gpus > 0:
            if gpu is None or not gpu.whole:
                return None
            return _of_gpus(spinning(gpu, machine.gpus), cpu, machine, collective)
        if gpu is not None and gpu.highest > 0:  # a GPU in a machine that should have none
            return None
        return _of_cpu(cpu, machine, collective)

    def _varies(self, machine: Machine) -> bool:
        tolerated = (
            (self.cpu, 100 * machine.vcpus * CPU_TOLERANCE),
            (self.gpu, 100 * (machine.gpus or 1) * GPU_TOLERANCE),
            (self.memory, MEMORY_TOLERANCE),
            (self.disk, DISK_TOLERANCE),
        )
        return any(isinstance(seen, Value) and not seen.value.still(by) for seen, by in tolerated)


def _of_cpu(cpu: Span, machine: Machine, collective: Collective) -> Motion:
    """
    Return the pattern of a host without GPUs. All its threads at work look
    like all its threads spinning.
    """
    full = 100 * machine.vcpus
    if cpu.rests(full, CPU_TOLERANCE, HALF_A_THREAD):
        return Motion.RESTS
    if cpu.fills(full, CPU_TOLERANCE) and collective is not Collective.NEVER:
        return Motion.FULL
    return Motion.STEADY


def _of_gpus(full: int | None, cpu: Span, machine: Machine, collective: Collective) -> Motion:
    """
    Return the pattern of a host with *full* GPUs at full load, as `spinning` counts them.

    Where they spin in a collective, the CPU may stand at any level: it spins one thread for each of them.
    Where they rest, the work is the CPU's, and every half thread of it counts.
    """
    if full is None:
        return Motion.STEADY
    if full:
        spins = {Collective.POSSIBLE: Motion.SPINS, Collective.ALONE: Motion.FULL}
        return spins.get(collective, Motion.STEADY)
    if cpu.rests(100 * machine.vcpus, CPU_TOLERANCE, HALF_A_THREAD):
        return Motion.RESTS
    if collective is Collective.NEVER:
        return Motion.STEADY
    return Motion.WORKING if cpu.highest - cpu.lowest > HALF_A_THREAD else Motion.ONLY_GPUS_REST


def spinning(load: Span, gpus: int) -> int | None:
    """
    Return how many of *gpus* are at full load while the others rest, by
    their sum; None if no number fits.
    """
    if load.rests(100 * gpus, GPU_TOLERANCE):
        return 0
    if load.lowest >= 100 * gpus * ALL_SPINNING:
        return gpus if load.highest <= 100 * gpus * (1 + GPU_TOLERANCE) else None
    number = round(load.highest / 100)
    tolerated = 100 * GPU_TOLERANCE
    fits = (
        load.lowest >= 100 * number * SPINNING
        and load.highest <= 100 * number + tolerated * (gpus - number)
        and load.still(tolerated * number)
    )
    return number if fits else None


def shown(loads: Sequence[HostLoad], name: Literal["cpu", "gpu", "memory", "disk"], full: int | None) -> str:
    """Return all hosts' loads, for a reader: "399 to 400 of 400 (algo-1, algo-2); none (algo-3)"."""
    hosts: dict[str, list[str]] = {}
    for host_load in loads:
        match getattr(host_load, name):
            case Value(seen):
                text = f"{seen.lowest:.0f} to {seen.highest:.0f}" + (f" of {full}" if full else "")
                text += "" if seen.whole else f", missing for {ago(seen.hole)}"
            case Unreadable():
                text = "unreadable"
            case _:
                text = "none"
        hosts.setdefault(text, []).append(host_load.host.rpartition("/")[2])
    return "; ".join(f"{text} ({some(names)})" for text, names in hosts.items())


def some(names: Sequence[str], most: int = 4) -> str:
    """Return *names* in a sentence, the first few of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
