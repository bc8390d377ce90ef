"""Training jobs that exist: list them, print their logs, wait for their end, and stop them. Needs boto3."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
ENDED = ("Completed", "Failed", "Stopped")
POLL_S = 30.0

# ruff: noqa: T201 - it prints


def exit_status(status: str, reason: str) -> int:
    """Print a job's end, and return 0 for a completed job and 1 for another."""
    print(f"{status}{f': {reason}' if reason else ''}")
    return 0 if status == "Completed" else 1


def wait(session: Any, name: str) -> tuple[str, str]:
    """Wait until a job has ended; return its status and AWS's reason."""
    client = session.client("sagemaker")
    while True:
        found = client.describe_training_job(TrainingJobName=name)
        if found["TrainingJobStatus"] in ENDED:
            return found["TrainingJobStatus"], found.get("FailureReason", "")
        time.sleep(POLL_S)


def print_jobs(given: argparse.Namespace, session: Any) -> int:
    """Print the newest jobs: name, status and time of creation."""
    asked = {"NameContains": given.name} if given.name else {}
    pages = (
        session.client("sagemaker")
        .get_paginator("list_training_jobs")
        .paginate(
            SortBy="CreationTime",
            SortOrder="Descending",
            PaginationConfig={"MaxItems": given.count, "PageSize": min(given.count, 100)},
            **asked,
        )
    )
    for job in (job for page in pages for job in page["TrainingJobSummaries"]):
        print(f"{job['TrainingJobName']}  {job['TrainingJobStatus']}  {job['CreationTime']:%Y-%m-%d %H:%M}")
    return 0


def stop(given: argparse.Namespace, session: Any) -> int:
    """Ask AWS to stop a job: its script gets SIGTERM, and 120 seconds."""
    session.client("sagemaker").stop_training_job(TrainingJobName=given.job)
    print(f"stopping {given.job}")
    if given.wait:
        exit_status(*wait(session, given.job))
    return 0


def print_logs(given: argparse.Namespace, session: Any) -> int:
    """Print the logs of a job; with --wait, until it has ended, with its exit status."""
    client, logs = session.client("sagemaker"), session.client("logs")
    seen: dict[str, str] = {}
    while True:
        found = client.describe_training_job(TrainingJobName=given.job)
        for line in new_lines(logs, given.job, seen):
            print(line, flush=True)
        if not given.wait:
            return 0
        if found["TrainingJobStatus"] in ENDED:
            return exit_status(found["TrainingJobStatus"], found.get("FailureReason", ""))
        time.sleep(POLL_S)


def new_lines(logs: Any, job: str, seen: dict[str, str]) -> Iterator[str]:
    """Yield the lines of each of the job's streams after the token in *seen*, and note the next token."""
    try:
        pages = logs.get_paginator("describe_log_streams").paginate(
            logGroupName=LOG_GROUP, logStreamNamePrefix=f"{job}/"
        )
        streams = [stream["logStreamName"] for page in pages for stream in page["logStreams"]]
    except logs.exceptions.ResourceNotFoundException:  # nothing was ever trained here
        return
    for stream in streams:
        host = f"{stream.partition('/')[2].rpartition('-')[0]}: " if len(streams) > 1 else ""
        while True:
            token = {"nextToken": seen[stream]} if stream in seen else {}
            page = logs.get_log_events(
                logGroupName=LOG_GROUP, logStreamName=stream, startFromHead=True, **token
            )
            for event in page["events"]:
                yield f"{host}{event['message']}"
            if page["nextForwardToken"] == seen.get(stream):
                break
            seen[stream] = page["nextForwardToken"]
