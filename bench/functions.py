"""Cold starts in Lambda's own runtime: every function beside an empty handler, in one run."""

from __future__ import annotations

import io
import os
import platform
import statistics
import tempfile
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.box import REGION, Box
from infra.bundle import Architecture, cached_bundle
from ml_janitor.detectors import DETECTORS
from ml_janitor_sandbox.deployment import deploy
from ml_janitor_sandbox.emulator import Emulator

RUNS = 5
NOW = "2026-10-06T03:00:00Z"


@dataclass(frozen=True, slots=True)
class Start:
    """One cold start: until the handler was imported, until its first answer, and the memory then held."""

    init_ms: float
    answer_ms: float
    megabytes: float


def main() -> None:
    """Start every function some times, and print the medians."""
    machine: Architecture = "arm64" if platform.machine() == "aarch64" else "x86_64"
    bundle = cached_bundle(machine)
    unpacked, packed = sizes(bundle)
    print(f"cold starts in Lambda's runtime ({machine}), medians of {RUNS}, on an account with nothing in it")
    print(f"  the bundle, one for all functions: {unpacked / 1e6:.1f} MB, {packed / 1e6:.1f} MB zipped")
    print(f"  {'':20} {'init':>8} {'first answer':>14} {'memory':>8}")
    with Box() as box, tempfile.TemporaryDirectory() as folder:
        task = beside_an_empty_handler(bundle, Path(folder))
        environment = {
            **{name: value for name, value in os.environ.items() if name.startswith("AWS_")},
            **deploy(box.control.url),
            "AWS_REGION": REGION,
            "JANITOR_NOW": NOW,
        }
        show("an empty handler", task, "empty.handler", environment)
        for detector in DETECTORS:
            named = environment | {"JANITOR_DETECTOR": detector.name}
            show(detector.name, task, "ml_janitor.handlers.sweep", named)
        show("digest", task, "ml_janitor.handlers.digest", environment)


def show(name: str, task: Path, handler: str, environment: Mapping[str, str]) -> None:
    """One line of the table."""
    starts = [started(task, handler, environment, run) for run in range(RUNS)]
    init = statistics.median(start.init_ms for start in starts)
    answer = statistics.median(start.answer_ms for start in starts)
    memory = statistics.median(start.megabytes for start in starts)
    print(f"  {name:20} {init:5.0f} ms {answer:11.0f} ms {memory:5.0f} MB")


def started(task: Path, handler: str, environment: Mapping[str, str], run: int) -> Start:
    """One cold start, with an event that nothing remembers."""
    with Emulator(task, handler, environment=environment) as emulator:
        begun = time.perf_counter()
        answer = emulator.invoke({"time": f"2026-10-06T02:59:{run:02}Z"})
        took = time.perf_counter() - begun
        if answer.error is not None:
            raise RuntimeError(f"{handler} failed: {answer.payload}")
        return Start(emulator.init_milliseconds() or 0.0, took * 1000, emulator.peak_megabytes())


def initialised(task: Path, handler: str, environment: Mapping[str, str]) -> float:
    """Milliseconds until the handler was imported; that its first answer makes sense is not asked for."""
    with Emulator(task, handler, environment=environment) as emulator:
        emulator.invoke({})
        return emulator.init_milliseconds() or 0.0


def beside_an_empty_handler(bundle: Path, task: Path) -> Path:
    """Link the bundle into *folder*, beside a handler that does nothing."""
    for entry in bundle.iterdir():
        (task / entry.name).symlink_to(entry)
    (task / "empty.py").write_text("def handler(event, context):\n    return {}\n")
    return task


def sizes(bundle: Path) -> tuple[int, int]:
    """Bytes of the bundle as Lambda unpacks it, and as it is uploaded."""
    packed = io.BytesIO()
    files = [path for path in bundle.rglob("*") if path.is_file()]
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            archive.write(path, path.relative_to(bundle))
    return sum(path.stat().st_size for path in files), packed.tell()


if __name__ == "__main__":
    main()
