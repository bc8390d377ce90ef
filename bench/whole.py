"""The whole audit of a large account within AWS's rates, on a clock that moves on when all wait."""

from __future__ import annotations

import subprocess
import sys
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import starmap
from typing import Any

import boto3

from bench import large_account as large
from bench.audit import SETTINGS, peak_memory
from bench.box import ACCOUNT, NOW, REGION, talk_to
from bench.virtual_time import Bucket, VirtualTime
from ml_janitor.aws.client import IAM_PREFIXES, open_regions
from ml_janitor.aws.pace import AWS_RATES, UNPACED_ACTIONS, Pace, SharedAnswers
from ml_janitor.core.results import Report
from ml_janitor.engine.run import run_detectors

ROUND_TRIP = 0.1
"""Seconds from a request to its answer."""

MOST_MINUTES, MOST_MEGABYTES = 13, 512
SHOWN = 8
"""How many operations are shown."""
SPAN = 10
"""Seconds over which a rate is counted."""

SERVICES = {"resource-groups-tagging-api": "tag", "cloudwatch-logs": "logs", **IAM_PREFIXES}
"""How actions begin, where botocore names a service otherwise in its events."""

type Calls = dict[str, list[float]]
"""When each operation was called."""


def main() -> None:
    """Audit, and print what it took beside what it may take."""
    with served():
        idle = peak_memory()
        calls, report, seconds = audit()
    number = sum(map(len, calls.values()))
    published = {action: times for action, times in calls.items() if action in AWS_RATES}
    refused = sum(starmap(refusals, published.items()))
    unknown = [
        action for action in calls if action not in published and not action.startswith(UNPACED_ACTIONS)
    ]
    print(
        f"All {len(report.sweeps)} detectors and advisers side by side, {ROUND_TRIP * 1000:.0f} ms a call: of"
    )
    jobs = large.TRAINING + large.PROCESSING + large.TRANSFORM
    print(
        f"  {large.ENDPOINTS:,} endpoints, {large.NOTEBOOKS} notebooks, {large.APPS:,} apps, {jobs:,} jobs "
        f"of a month and {large.OBJECTS:,} objects"
    )
    print(f"  {seconds / 60:5.1f} minutes of at most {MOST_MINUTES}, by the clock that the waits move on")
    print(f"  {peak_memory():5.0f} MB of at most {MOST_MEGABYTES}, of which {idle:.0f} before the first call")
    print(f"  {number:5} calls, {len(report.findings)} found")
    print(f"  {refused:5} refused by a published rate, with a second client that takes the other half of it")
    busiest = max(calls_in(SPAN, calls[action]) for action in unknown) / SPAN
    print(
        f"  {busiest:5.1f} a second at most, over {SPAN} seconds, of an operation without a published rate:"
    )
    print(
        "        whether AWS refuses some is unknown; each refusal halves that rate (tests/unit/test_pace.py)"
    )
    for action, times in sorted(calls.items(), key=lambda counted: -len(counted[1]))[:SHOWN]:
        print(f"    {len(times):5} {action}")
    for sweep in report.sweeps:
        if sweep.error is not None:
            print(f"  {sweep.detector} was not complete: {sweep.error}")


def refusals(action: str, times: list[float]) -> int:
    """Count the calls that AWS would refuse if a second client takes the other half of the rate evenly."""
    rate = AWS_RATES[action]
    first, last = min(times), max(times)
    other = [first + turn * 2 / rate for turn in range(int((last - first) * rate / 2) + 1)]
    bucket = Bucket(rate)
    return sum(bucket.refuses(at) for at in sorted([*times, *other]))


def calls_in(seconds: float, times: list[float]) -> int:
    """Return the most calls in so many *seconds*."""
    ordered = sorted(times)
    return max(place - bisect_left(ordered, at - seconds) for place, at in enumerate(ordered, 1))


@contextmanager
def served() -> Iterator[None]:
    """Serve the large account from its own process; every client made meanwhile talks to it."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench.large_account"], stdout=subprocess.PIPE, text=True
    ) as process:
        if process.stdout is None:
            raise RuntimeError("the sandbox says nothing")
        talk_to(process.stdout.readline().split()[-1])
        try:
            yield
        finally:
            process.terminate()


def audit() -> tuple[Calls, Report, float]:
    """When each operation was called, what was found, and how many seconds it took."""
    calls: Calls = {}
    start = NOW.timestamp()
    session = boto3.Session(region_name=REGION)
    with VirtualTime(start, round_trip=ROUND_TRIP) as time:

        def note(event_name: str, **_: Any) -> None:
            service, operation = event_name.split(".")[1:]
            calls.setdefault(f"{SERVICES.get(service, service)}:{operation}", []).append(time.clock())

        session.events.register("before-send", note)
        with open_regions(
            session,
            account=ACCOUNT,
            regions=[REGION],
            attempts=3,
            pace=Pace(clock=time.clock, sleep=time.sleep),
            shared=SharedAnswers(),
        ) as accounts:
            report = run_detectors(SETTINGS.enabled(), accounts, now=NOW, policy=SETTINGS.policy)
        return calls, report, time.clock() - start


if __name__ == "__main__":
    main()
