"""The whole audit of a larger account at 50 ms a call: all sweeps side by side, against each alone."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from functools import partial
from typing import Any

import boto3

from bench.account import SIZES, seed
from bench.box import ACCOUNT, LATENCY, NOW, REGION, Box, MemoryFiles, print_calls, timed
from ml_janitor.aws.client import open_regions
from ml_janitor.aws.descriptions import KeptDescriptions
from ml_janitor.aws.pace import SharedAnswers
from ml_janitor.config.settings import Settings
from ml_janitor.core.results import Report
from ml_janitor.engine.detector import Detector
from ml_janitor.engine.run import run_detectors

SETTINGS = Settings.load()

ENDPOINTS = 1_000
"""Each with a configuration of its own."""


def main() -> None:
    """Seed, audit detector by detector, then all together in two nights; print the ratio."""
    files = MemoryFiles()
    with Box() as box:
        seed(box, endpoints=ENDPOINTS)
        box.slow_down()
        idle_memory = peak_memory()
        rows = []
        for detector in SETTINGS.enabled():
            seconds, report, calls = timed(box, partial(audit, box.session, [detector]))
            rows.append((detector.name, seconds, sum(calls.values()), found(report)))
        everything = partial(audit, box.session, SETTINGS.enabled(), files)
        together, report, calls = timed(box, everything)
        later, again, calls_later = timed(box, everything)
    alone = sum(seconds for _, seconds, _, _ in rows)
    counts = {kind: count for kind, (count, _) in SIZES.items()} | {"endpoints": ENDPOINTS}
    made = ", ".join(f"{count:,} {kind}" for kind, count in counts.items())
    print(f"The whole audit, {LATENCY * 1000:.0f} ms a call")
    print(f"  of {made}")
    for row in rows:
        print_row(*row)
    print_row("one after the other", alone, sum(row[2] for row in rows), sum(row[3] for row in rows))
    print_row("side by side", together, sum(calls.values()), found(report))
    print_row("with kept descriptions", later, sum(calls_later.values()), found(again))
    print(f"  {alone / together:.1f} times faster side by side")
    print(f"  peak memory {peak_memory():.0f} MB, of which {idle_memory:.0f} MB before the first sweep")
    print_calls(calls_later)


def audit(
    session: boto3.Session, detectors: Sequence[Detector[Any]], files: MemoryFiles | None = None
) -> Report:
    """As the command line does it, with a cache of *files*."""
    with open_regions(
        session,
        account=ACCOUNT,
        regions=[REGION],
        attempts=3,
        pace=None,
        shared=SharedAnswers(),
        kept=KeptDescriptions(files, NOW) if files else None,
    ) as accounts:
        return run_detectors(detectors, accounts, now=NOW, policy=SETTINGS.policy)


def found(report: Report) -> int:
    """Count the findings; refuse a sweep that is not complete, because it measured nothing."""
    if errors := [sweep.error for sweep in report.sweeps if sweep.error is not None]:
        raise RuntimeError("; ".join(errors))
    return len(report.findings)


def peak_memory() -> float:
    """Return the peak memory of this process, the client, in MB; Linux counts in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def print_row(name: str, seconds: float, calls: int, findings: int) -> None:
    """One aligned line."""
    print(f"  {name:21} {seconds:6.1f} s  {calls:5} calls  {findings:4} found")


if __name__ == "__main__":
    main()
