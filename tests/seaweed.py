"""A real S3 server for tests that ask for `seaweedfs`: it knows what the sandbox only imitates."""

import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError

WEED = Path(sys.executable).with_name("weed")
PORTS = ("s3", "master", "volume", "filer")
PATIENCE = 60
STARTS = 3
KEY, SECRET = "AKIASANDBOX", "sandbox"


def free_ports(count: int) -> list[int]:
    """
    Ports that are free, and so are those 10,000 above, where SeaweedFS listens for gRPC.

    All are below those that systems give to outgoing connections: one of these may take a port that was
    free a moment ago.
    """
    with ExitStack() as held:
        found: list[int] = []
        for port in random.SystemRandom().sample(range(20000, 22700), 1000):
            if len(found) == count:
                break
            try:
                for number in (port, port + 10000):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", number))
            except OSError:
                continue
            found.append(port)
    return found


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a SeaweedFS that is ready to store; it ends with the tests."""
    logs = ""
    for _ in range(STARTS):
        home = tmp_path_factory.mktemp("seaweedfs")
        with started(home) as address:
            if address is not None:
                yield address
                return
        logs += (home / "log").read_text(errors="replace")[-2000:]
    pytest.fail(f"SeaweedFS did not start: {logs}")


@contextmanager
def started(home: Path) -> Iterator[str | None]:
    """A SeaweedFS in *home*, or None if it did not start: somebody else may have taken one of its ports."""
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    flags = [f"-{name}.port={port}" for name, port in ports.items()]
    flags += [
        "-master.volumeSizeLimitMB=64",
        "-volume.max=200",
    ]  # a bucket takes one, whatever the disk has free
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
            yield address if is_ready(address, server) else None
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()


def is_ready(address: str, server: subprocess.Popen[bytes]) -> bool:
    """Wait until an object can be stored: the port answers seconds before that. False if it never can."""
    session = boto3.Session(KEY, SECRET, region_name="us-east-1")
    s3 = session.client("s3", endpoint_url=address)
    until = time.monotonic() + PATIENCE
    for number in count():
        if server.poll() is not None or time.monotonic() > until:
            return False
        bucket = f"ready-{number}"  # one that was made is refused the next time, and its objects may be too
        try:
            s3.create_bucket(Bucket=bucket)
            s3.put_object(Bucket=bucket, Key="ready", Body=b"ready")
        except (BotoCoreError, ClientError):
            time.sleep(0.2)
        else:
            return True
    raise AssertionError
