"""A sandbox in a process of its own, so that client and server do not share an interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import boto3

from ml_janitor_sandbox.control import Control

NOW = datetime(2026, 10, 6, 3, tzinfo=UTC)
ACCOUNT = "123456789012"
REGION = "us-east-1"

LATENCY = 0.05
"""Seconds that every call takes, besides what the sandbox itself needs."""


def talk_to(url: str) -> None:
    """Have every boto3 client made from now on talk to what listens there."""
    os.environ |= {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "AKIABENCH",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_DEFAULT_REGION": REGION,
    }


class Box:
    """A running, empty sandbox; every boto3 client made while it is up talks to it."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ml_janitor_sandbox", "--port", "0"], stdout=subprocess.PIPE, text=True
        )
        if self._process.stdout is None:
            raise RuntimeError("the sandbox says nothing")
        url = self._process.stdout.readline().split()[-1]
        talk_to(url)
        self.control = Control(url)
        self.session = boto3.Session(region_name=REGION)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(10)

    def slow_down(self) -> None:
        """From now on, every call takes its time."""
        self.control.fault("*", "*", "latency", times=0, latency=LATENCY)


class MemoryFiles:
    """Kept descriptions, as the report bucket holds them."""

    def __init__(self) -> None:
        self._files: dict[tuple[str, str], bytes] = {}

    def read(self, account: str, region: str) -> bytes | None:
        """Return the file of an account and region."""
        return self._files.get((account, region))

    def write(self, account: str, region: str, body: bytes) -> None:
        """Replace the file."""
        self._files[account, region] = body


def timed[T](box: Box, work: Callable[[], T]) -> tuple[float, T, dict[str, int]]:
    """Duration, answer and calls of some work."""
    box.control.clear_calls()
    begun = time.perf_counter()
    answer = work()
    return time.perf_counter() - begun, answer, box.control.calls()


def print_calls(calls: Mapping[str, int]) -> None:
    """List the calls by operation, aligned."""
    for name, count in sorted(calls.items()):
        print(f"    {count:5} {name}")
