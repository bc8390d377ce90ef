"""A thousand endpoints at 50 ms a call: the janitor's sweep beside the obvious loop, in one run."""

from __future__ import annotations

from datetime import timedelta

import boto3

from bench.box import ACCOUNT, LATENCY, NOW, REGION, Box, print_calls, timed
from ml_janitor.aws.account import opened
from ml_janitor.core.results import Report
from ml_janitor.detectors.idle_endpoints.rule import IdleEndpoints
from ml_janitor.engine.policy import Policy
from ml_janitor.engine.run import run

ENDPOINTS = 1_000
IDLE = 100


def main() -> None:
    """Seed, run both, print the ratios."""
    with Box() as box:
        seed(box)
        box.slow_down()
        sweep_seconds, report, calls = timed(box, lambda: audit(box.session))
        loop_seconds, idle, loop_calls = timed(box, lambda: obvious_loop(box.session))
    total, loop_total = sum(calls.values()), sum(loop_calls.values())
    describes = sum(n for name, n in calls.items() if name.startswith("sagemaker:Describe"))
    found = sum(sweep.found for sweep in report.sweeps)
    print(f"{ENDPOINTS:,} endpoints, {IDLE} of them idle, {LATENCY * 1000:.0f} ms a call")
    print(f"  idle-endpoints   {sweep_seconds:6.1f} s  {total:5} calls  {found} found")
    print(f"  the obvious loop {loop_seconds:6.1f} s  {loop_total:5} calls  {idle} found")
    print(
        f"  {loop_seconds / sweep_seconds:.0f} times faster with {loop_total / total:.1f} times fewer calls"
    )
    print(f"  calls per idle endpoint {describes / IDLE:.1f}, calls for the account {total - describes}")
    print_calls(calls)


def audit(session: boto3.Session) -> Report:
    """The sweep as the command line runs it."""
    with opened(session, account=ACCOUNT, regions=[REGION], attempts=3, pace=None) as accounts:
        return run([IdleEndpoints()], accounts, now=NOW, policy=Policy())


def obvious_loop(session: boto3.Session) -> int:
    """What one would write first: describe each endpoint, ask for each variant's metric, one by one."""
    sagemaker, cloudwatch = session.client("sagemaker"), session.client("cloudwatch")
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
    return idle


def seed(box: Box) -> None:
    """A month-old account: every tenth endpoint gets zeros only."""
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
    names = [f"endpoint-{n:04}" for n in range(ENDPOINTS)]
    for name in names:
        tags = [{"Key": "owner", "Value": "anna@example.com"}]
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName="c", Tags=tags)
    start = NOW - timedelta(days=8)
    box.control.metrics(
        "AWS/SageMaker",
        [
            {
                "metric": "Invocations",
                "dimensions": {"EndpointName": name, "VariantName": "main"},
                "start": start,
                "step": 3600,
                "values": [0.0 if n % (ENDPOINTS // IDLE) == 0 else 12.0] * (8 * 24),
            }
            for n, name in enumerate(names)
        ],
    )
    box.control.set_clock(NOW)


if __name__ == "__main__":
    main()
