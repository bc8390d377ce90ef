"""A SeaweedFS to test against: a real S3 server, with versions, conditions and multipart copies."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError

WEED = Path(sys.executable).with_name("weed")
PORTS = ("s3", "master", "volume", "filer")
PATIENCE = 60
KEY, SECRET = "AKIASANDBOX", "sandbox"


def free_ports(count: int) -> list[int]:
    """Ports that are free, and so are those 10,000 above, where SeaweedFS listens for gRPC."""
    with ExitStack() as held:
        found: list[int] = []
        for port in random.SystemRandom().sample(range(20000, 30000), 1000):
            if len(found) == count:
                break
            try:
                for number in (port, port + 10000):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", number))
            except OSError:
                continue
            found.append(port)
    return found


@contextmanager
def running(home: Path) -> Iterator[str]:
    """The address of a SeaweedFS that stores in *home* and is ready; it ends with the block."""
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    flags = [f"-{name}.port={port}" for name, port in ports.items()]
    off = ["-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
    environment |= {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    with (
        (home / "log").open("wb") as log,
        subprocess.Popen(
            [WEED, "mini", f"-dir={home}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", *flags, *off],
            cwd=home,
            env=environment,
            stdout=log,
            stderr=log,
        ) as server,
    ):
        try:
            address = f"http://127.0.0.1:{ports['s3']}"
            wait_ready(address, server, home / "log")
            yield address
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()


def wait_ready(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Return when an object can be stored: the port answers seconds before that."""
    session = boto3.Session(KEY, SECRET, region_name="us-east-1")
    s3 = session.client("s3", endpoint_url=address)
    until = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < until:
        try:
            s3.create_bucket(Bucket="ready")
            s3.put_object(Bucket="ready", Key="ready", Body=b"ready")
        except (BotoCoreError, ClientError):
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"SeaweedFS did not start: {log.read_text(errors='replace')[-2000:]}")
