"""
Lambda's own runtime: AWS's runtime interface emulator and client, running a bundle as Lambda would.

The emulator's program comes out of the wheel of aws-sam-cli; the runtime client is AWS's
awslambdaric. Both lie in folders of their own, and Python's own site-packages are switched off:
what is not in the bundle cannot be imported.
"""

import os
import platform
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from ml_janitor_sandbox.functions import Outcome, on_url

VENV = Path(sys.prefix)
CLIENT = VENV / "runtime"
PROGRAMS = VENV / "emulator" / "samcli" / "local" / "rapid"
INVOKE = "/2015-03-31/functions/function/invocations"
START_PATIENCE = 10.0

ACCOUNT = "012345678912"
"""The account in the ARN of every function that AWS's emulator runs: it cannot be told another."""


class Emulator:
    """
    One function of a bundle at *task*, started with the first invocation as Lambda does.

    *environment* is the function's own; *timeout* in seconds and *memory* in MB are its settings. With
    *core*, it and all that it starts run on that core of this machine alone.
    Raises FileNotFoundError if the emulator was not installed (`make dev`).
    """

    def __init__(
        self,
        task: Path,
        handler: str,
        *,
        environment: Mapping[str, str],
        name: str = "function",
        timeout: int = 60,
        memory: int = 512,
        core: int | None = None,
    ) -> None:
        machine = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]
        self._program = PROGRAMS / f"aws-lambda-rie-{machine}"
        if not self._program.exists():
            raise FileNotFoundError(f"{self._program} is missing: run `make dev`")
        self._program.chmod(0o755)
        self._task = task
        self._handler = handler
        self._pinned = () if core is None else ("taskset", "-c", str(core))
        self._port = free_port()
        self._environment = {
            "PATH": "/usr/bin:/bin",
            "LAMBDA_TASK_ROOT": str(task),
            "PYTHONPATH": f"{task}:{CLIENT}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "_HANDLER": handler,
            "AWS_LAMBDA_FUNCTION_NAME": name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory),
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
            "AWS_EC2_METADATA_DISABLED": "true",
            **environment,
        }

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile("w+")
        python = os.path.realpath(sys.executable)
        self._process = subprocess.Popen(
            [
                *self._pinned,
                str(self._program),
                *("--runtime-interface-emulator-address", f"127.0.0.1:{self._port}"),
                *("--runtime-api-address", f"127.0.0.1:{free_port()}"),
                *("--log-level", "info"),
                *(python, "-S", "-m", "awslambdaric", self._handler),
            ],
            env=self._environment,
            cwd=self._task,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            text=True,
        )
        deadline = time.monotonic() + START_PATIENCE
        while not is_open(self._port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the emulator did not start: {self.logs()}")
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def invoke(self, event: Any, *, patience: float = 120.0) -> Outcome:
        return on_url(f"http://127.0.0.1:{self._port}{INVOKE}", patience=patience)(event)

    def logs(self) -> str:
        """Return everything the function and the platform have written so far."""
        self._log.flush()
        self._log.seek(0)
        return self._log.read()

    def init_milliseconds(self) -> float | None:
        """Return how long the function took to start, by the platform's report."""
        found = re.search(r"INIT REPORT\(durationMs: ([\d.]+)\)", self.logs())
        return float(found[1]) if found else None

    def cpu_seconds(self) -> float:
        """Return the CPU time of the runtime's process so far: the same however busy the machine is."""
        ticks = os.sysconf("SC_CLK_TCK")
        used = 0.0
        for pid, _ in family(self._process.pid):
            with suppress(OSError):
                numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                used = max(used, (int(numbers[11]) + int(numbers[12])) / ticks)
        return used

    def peak_megabytes(self) -> float:
        """Return the most memory the runtime's process has held."""
        return max((megabytes for _, megabytes in family(self._process.pid)), default=0.0)


def family(pid: int) -> list[tuple[int, float]]:
    """List the Python processes below *pid* with their peak resident memory in MB."""
    found: list[tuple[int, float]] = []
    todo = [pid]
    while todo:
        process = Path(f"/proc/{todo.pop()}")
        try:
            for children in process.glob("task/*/children"):
                todo += [int(child) for child in children.read_text().split()]
            peak = re.search(r"VmHWM:\s+(\d+)", (process / "status").read_text())
            if peak and b"awslambdaric" in (process / "cmdline").read_bytes().split(b"\0"):
                found.append((int(process.name), int(peak[1]) / 1024))
        except OSError:
            continue
    return [entry for entry in found if entry[0] != pid]


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_open(port: int) -> bool:
    """Tell whether somebody listens on *port*."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0
