"""
Publishes for how long nothing has worked on this notebook instance or Studio space, for ML Janitor to read.

Runs every few minutes on it, so it keeps to the Python 3.7 that an old notebook instance has. What it cannot
tell it does not publish: without a number, the janitor goes by other signs.
"""

from __future__ import annotations

import argparse
import json
import os
import ssl
import sys
import time
import urllib.request
from calendar import timegm
from typing import Any

NAMESPACE, METRIC = "MLJanitor/Notebooks", "IdleSeconds"
TERMINALS = range(136, 144)
"""The major numbers of Unix98 pseudo terminals (Linux, Documentation/admin-guide/devices.txt)."""


def idle_seconds(status: dict[str, Any], kernels: list[Any], terminals: list[Any], now: float) -> float:
    """
    The time since a kernel or terminal was last active, or since Jupyter started; 0 while a kernel works.

    A kernel that is neither idle nor dead works, or is about to.
    """
    if any(kernel["execution_state"] not in ("idle", "dead") for kernel in kernels):
        return 0.0
    last = [status["started"], *(one["last_activity"] for one in [*kernels, *terminals])]
    return max(0.0, now - max(seconds(text) for text in last))


def seconds(text: str) -> float:
    """A time as Jupyter writes it, "2026-10-06T03:00:00.123456Z", since 1970."""
    return float(timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")))


def runs_program(proc: str, home: str) -> bool:
    """
    Whether a terminal has a program in it besides its shell, or left one behind when it was closed.

    One that works in silence shows Jupyter no activity. By /proc/PID/stat (proc(5)): the fields after the
    command in brackets are state, ppid, pgrp, session and terminal. Whoever is no leader of the session that
    a terminal belongs to is a program in it; after `nohup`, the leader of its session is gone.
    """
    user = os.stat(home).st_uid
    for entry in filter(str.isdigit, os.listdir(proc)):
        try:
            with open(os.path.join(proc, entry, "stat")) as file:
                fields = file.read().rpartition(")")[2].split()
            owner = os.stat(os.path.join(proc, entry)).st_uid
        except OSError:
            continue  # it has ended since
        state, session, terminal = fields[0], fields[3], int(fields[4])
        left_behind = owner == user and session != "0" and not os.path.exists(os.path.join(proc, session))
        if state != "Z" and session != entry and (terminal >> 8 in TERMINALS or left_behind):
            return True
    return False


def dimensions(metadata: dict[str, Any]) -> list[dict[str, str]]:
    """What tells it from all others: a Studio app's metadata names its space, a notebook instance's none."""
    if "SpaceName" in metadata:
        return [{"Name": name, "Value": metadata[name]} for name in ("DomainId", "SpaceName")]
    return [{"Name": "NotebookInstanceName", "Value": metadata["ResourceName"]}]


def ask(jupyter: str, path: str) -> Any:
    """One answer of Jupyter's own API, which nobody but this machine can reach, under its own certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    secure = jupyter.startswith("https:")
    with urllib.request.urlopen(jupyter + path, timeout=20, context=context if secure else None) as answer:
        return json.load(answer)


def main() -> int:
    """Read, and publish one number."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jupyter", default="https://localhost:8443")
    parser.add_argument("--metadata", default="/opt/ml/metadata/resource-metadata.json")
    parser.add_argument("--proc", default="/proc")
    parser.add_argument("--home", default="/home/ec2-user")
    given = parser.parse_args()
    with open(given.metadata) as file:
        metadata = json.load(file)
    status, kernels, terminals = (
        ask(given.jupyter, f"/api/{what}") for what in ("status", "kernels", "terminals")
    )
    idle = (
        0.0 if runs_program(given.proc, given.home) else idle_seconds(status, kernels, terminals, time.time())
    )

    import boto3

    cloudwatch = boto3.client("cloudwatch", region_name=metadata["ResourceArn"].split(":")[3])
    cloudwatch.put_metric_data(
        Namespace=NAMESPACE,
        MetricData=[
            {
                "MetricName": METRIC,
                "Dimensions": dimensions(metadata),
                "Unit": "Seconds",
                "Value": idle,
            }
        ],
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
