"""
Idle endpoints: the janitor's sweep beside the obvious loop and Cloud Custodian, at 50 ms a call.

The peers look at the first endpoints alone and are scaled: each of their endpoints takes calls of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import batched
from pathlib import Path
from statistics import median

from bench.box import ACCOUNT, LATENCY, NOW, REGION, Box, MemoryFiles, print_calls
from ml_janitor.aws.client import open_regions
from ml_janitor.aws.descriptions import KeptDescriptions
from ml_janitor.detectors.idle_endpoints.rule import IdleEndpoints
from ml_janitor.engine.policy import RunPolicy
from ml_janitor.engine.run import run_detectors

ROOT = Path(__file__).parent.parent
SIZES = (1_000, 10_000)
OF_PEERS = 200
EVERY = 10
"""Of so many endpoints, one is idle."""
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds of each round, the calls of the last one, and how many were found."""

    seconds: Sequence[float]
    calls: dict[str, int]
    found: int

    @property
    def total(self) -> int:
        return sum(self.calls.values())


def main() -> None:
    """Measure the peers, then ourselves at each size, and print the ratios."""
    with seeded(OF_PEERS) as box:
        peers = {
            "the obvious loop": measured(box, obvious_loop, OF_PEERS),
            "Cloud Custodian": measured(box, custodian, OF_PEERS),
        }
    print(
        f"Every {EVERY}th endpoint is idle, {LATENCY * 1000:.0f} ms a call. Seconds are the least, "
        f"the median and the most of {ROUNDS} rounds.\n\n{OF_PEERS} endpoints"
    )
    for name, peer in peers.items():
        print_row(name, peer)
    for size in SIZES:
        files = MemoryFiles()
        with seeded(size) as box:
            ours = measured(box, lambda box: sweep(box, MemoryFiles()), size)
            sweep(box, files)
            later = measured(box, partial(sweep, files=files), size)
        print(f"\n{size:,} endpoints")
        print_row("the first night", ours)
        print_row("a later night", later)
        for name, peer in peers.items():
            scale = size / OF_PEERS
            times = [scale * theirs / own for theirs, own in zip(peer.seconds, ours.seconds, strict=True)]
            print(
                f"  {name}, scaled: {spread(times, 0)} times as long, "
                f"{scale * peer.total / ours.total:.1f} times as many calls"
            )
        print_calls(ours.calls)


def print_row(name: str, measured: Measured) -> None:
    """One line of the comparison."""
    print(
        f"  {name:<17} {spread(measured.seconds, 1)} s  {measured.total:6,} calls  {measured.found:5,} found"
    )


def spread(values: Sequence[float], digits: int) -> str:
    """Format the minimum, the median and the maximum."""
    return " / ".join(f"{value:.{digits}f}" for value in (min(values), median(values), max(values)))


def measured(box: Box, work: Callable[[Box], tuple[float, int]], size: int) -> Measured:
    """*work* over and over; whoever does not find what is idle among *size* is not measured."""
    seconds = []
    for _ in range(ROUNDS):
        box.control.clear_calls()
        taken, found = work(box)
        seconds.append(taken)
        if found != size // EVERY:
            raise SystemExit(f"{found} endpoints were found, and {size // EVERY} are idle")
    return Measured(seconds, box.control.calls(), found)


def sweep(box: Box, files: MemoryFiles) -> tuple[float, int]:
    """Time the sweep as its function runs it, without waiting for its turn at AWS's rates."""
    begun, kept = time.perf_counter(), KeptDescriptions(files, NOW)
    with open_regions(
        box.session, account=ACCOUNT, regions=[REGION], attempts=3, pace=None, kept=kept
    ) as accounts:
        report = run_detectors([IdleEndpoints()], accounts, now=NOW, policy=RunPolicy())
    return time.perf_counter() - begun, sum(sweep.found for sweep in report.sweeps)


def custodian(_: Box) -> tuple[float, int]:
    """Cloud Custodian in its own environment; its start is not counted."""
    program = [ROOT / ".build/custodian/bin/python", ROOT / "bench/custodian.py", f"{NOW:%Y-%m-%dT%H:%M:%S}"]
    done = subprocess.run(program, capture_output=True, text=True, check=False, env=os.environ)
    if done.returncode:
        raise SystemExit(f"Cloud Custodian did not run (`make bench` makes its environment):\n{done.stderr}")
    answer = json.loads(done.stdout.splitlines()[-1])
    return answer["seconds"], len(answer["found"])


def obvious_loop(box: Box) -> tuple[float, int]:
    """Time the obvious loop: describe each endpoint, then read each variant's metric, one at a time."""
    begun = time.perf_counter()
    sagemaker, cloudwatch = box.session.client("sagemaker"), box.session.client("cloudwatch")
    idle = 0
    for page in sagemaker.get_paginator("list_endpoints").paginate():
        for endpoint in page["Endpoints"]:
            name = endpoint["EndpointName"]
            described = sagemaker.describe_endpoint(EndpointName=name)
            requests = 0.0
            for variant in described["ProductionVariants"]:
                answer = cloudwatch.get_metric_statistics(
                    Namespace="AWS/SageMaker",
                    MetricName="Invocations",
                    Dimensions=[
                        {"Name": "EndpointName", "Value": name},
                        {"Name": "VariantName", "Value": variant["VariantName"]},
                    ],
                    StartTime=NOW - timedelta(days=7),
                    EndTime=NOW,
                    Period=3600,
                    Statistics=["Sum"],
                )
                requests += sum(point["Sum"] for point in answer["Datapoints"])
            idle += requests == 0
    return time.perf_counter() - begun, idle


@contextmanager
def seeded(count: int) -> Iterator[Box]:
    """Make an account with *count* endpoints, a month old; every tenth has only zeros as traffic."""
    with Box() as box:
        box.control.set_clock(NOW - timedelta(days=30))
        sagemaker = box.session.client("sagemaker")
        sagemaker.create_model(ModelName="m", ExecutionRoleArn=f"arn:aws:iam::{ACCOUNT}:role/m")
        sagemaker.create_endpoint_config(
            EndpointConfigName="c",
            ProductionVariants=[
                {
                    "VariantName": "main",
                    "ModelName": "m",
                    "InstanceType": "ml.m5.xlarge",
                    "InitialInstanceCount": 1,
                }
            ],
        )
        names = [f"endpoint-{number:05}" for number in range(count)]
        for name in names:
            tags = [{"Key": "owner", "Value": "anna@example.com"}]
            sagemaker.create_endpoint(EndpointName=name, EndpointConfigName="c", Tags=tags)
        for some in batched(enumerate(names), 1_000):
            box.control.metrics(
                "AWS/SageMaker",
                [
                    {
                        "metric": "Invocations",
                        "dimensions": {"EndpointName": name, "VariantName": "main"},
                        "start": NOW - timedelta(days=8),
                        "step": 3600,
                        "values": [0.0 if number % EVERY == 0 else 12.0] * (8 * 24),
                    }
                    for number, name in some
                ],
            )
        box.control.set_clock(NOW)
        box.slow_down()
        yield box


if __name__ == "__main__":
    main()
