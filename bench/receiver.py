"""From cold to the acknowledgement of a press: Slack waits three seconds for the receiver."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.box import REGION, Box
from bench.functions import beside_an_empty_handler
from bench.tls import encrypted
from infra.bundle import Architecture, cached_bundle
from ml_janitor_sandbox.deployment import deploy
from ml_janitor_sandbox.emulator import Emulator
from ml_janitor_sandbox.function_url import event
from ml_janitor_sandbox.keep_press import keep_press
from ml_janitor_sandbox.slack import SlackControl

RUNS = 15
NOW = "2026-10-06T03:00:30Z"

WHOLE_CORE = 1769
"""Megabytes of memory with which a function gets one vCPU (Lambda developer guide, "Configure memory")."""

MEMORY = 1024
"""Megabytes of the receiver, in infra/stack.py; tests/integration/test_emulator.py compares them."""

ALLOWED = 3.0
"""Seconds: https://docs.slack.dev/interactivity/handling-user-interaction#acknowledgment_response."""


@dataclass(frozen=True, slots=True)
class Start:
    """
    One cold press: seconds until the handler was imported, until the answer, and of computing in all.

    The first two are as the clock on the wall had them, on one core that others may use too.
    """

    init: float
    answered: float
    computed: float


def main() -> None:
    """Press some times, each time on a function that was not there, and print medians scaled by memory."""
    machine: Architecture = "arm64" if platform.machine() == "aarch64" else "x86_64"
    with Box() as box, tempfile.TemporaryDirectory() as folder:
        box.control.set_clock(datetime.fromisoformat(NOW))
        task = Path(folder) / "task"
        task.mkdir()
        beside_an_empty_handler(cached_bundle(machine), task)
        environment = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        environment |= {**deploy(box.control.url), "AWS_REGION": REGION, "JANITOR_NOW": NOW}
        signed = keep_press(SlackControl(box.control.url))
        sent = event(signed.headers, signed.body, at=box.control.clock())
        with encrypted(box.control.url, Path(folder)) as (url, trusted):
            environment |= {"AWS_ENDPOINT_URL": url, "AWS_CA_BUNDLE": str(trusted)}
            starts = [started(task, environment, sent) for _ in range(RUNS)]
    show(starts)


def started(task: Path, environment: dict[str, str], sent: dict[str, Any]) -> Start:
    """One function that starts, takes one press and hands it on."""
    core = max(os.sched_getaffinity(0))
    with Emulator(
        task, "ml_janitor.handlers.interact", environment=environment, memory=MEMORY, core=core
    ) as receiver:
        begun = time.perf_counter()
        answer = receiver.invoke(sent)
        answered = time.perf_counter() - begun
        if answer.payload != {"statusCode": 200, "body": ""}:
            raise RuntimeError(f"the press was not taken: {answer.payload}")
        return Start((receiver.init_milliseconds() or 0.0) / 1000, answered, receiver.cpu_seconds())


def show(starts: list[Start]) -> None:
    """Medians, as they were and as on the receiver's share of a core."""
    share = WHOLE_CORE / MEMORY
    print(f"a press, from cold to the acknowledgement: medians of {len(starts)}, each pinned to one core")
    print("  both calls of AWS over TLS, answered by the sandbox at once")
    print(f"  {'':30} {'one core':>10} {f'{MEMORY:,} MB':>10}")
    for name, values in (
        ("init", [start.init for start in starts]),
        ("init and answer", [start.answered for start in starts]),
        ("init and answer, CPU time only", [start.computed for start in starts]),
    ):
        median = statistics.median(values)
        print(f"  {name:30} {median * 1000:7.0f} ms {median * share * 1000:7.0f} ms")
    slowest = max(start.answered for start in starts) * share
    print(f"  the slowest of all took {slowest:.2f} s of the {ALLOWED:.0f} s that Slack waits")


if __name__ == "__main__":
    main()
