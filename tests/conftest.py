"""No network beyond loopback, no credentials but fake ones, and one sandbox per worker."""

from __future__ import annotations

import gc
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from _pytest.unraisableexception import gc_collect_iterations_key
from hypothesis import HealthCheck, settings

import botocore_once
import samples
from ml_janitor.aws.calls import make_client
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Prices
from ml_janitor_sandbox import demo
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.server import Sandbox
from moto_corrections.sagemaker.progress import DEFAULTS

SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=seconds) for seconds in (1, 60, 3600, 86_400))
NOW = datetime(2026, 10, 6, 3, tzinfo=UTC)
"""The sandbox's default time: a Tuesday night."""

ACCOUNT = "123456789012"
REGION = "us-east-1"

NOWHERE = "http://127.0.0.1:1"
"""Where AWS is for a test that asks for no sandbox: a port of this machine that nothing listens at."""

LOOPBACK = ("127.", "::1", "localhost")

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")  # both measure the wall clock, which is that of all this machine does

gc.disable()  # until all tests are collected: next to nothing is garbage before


@pytest.hookimpl(tryfirst=True)  # before Hypothesis reads its seed
def pytest_configure(config: pytest.Config) -> None:
    """
    Have each worker begin with other files: after a checkout all of them rewrite the asserts of each file.

    What one has rewritten, the others find; `pytest_collection_modifyitems` gives all the same order.
    Programs that tests start get Ctrl-C also where it is ignored here: they would inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # from who started this run, in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = samples.SEED
    config.stash[gc_collect_iterations_key] = 1  # of five at the end, each of which takes a worker seconds
    worker = getattr(config, "workerinput", None)
    if worker and config.args_source is config.ArgsSource.TESTPATHS:
        root = Path(__file__).parent.parent
        folders = (root / folder for folder in config.getini("testpaths"))
        files = sorted(str(path) for folder in folders for path in folder.rglob("test_*.py"))
        first = len(files) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
        config.args = files[first:] + files[:first]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how to have the same samples again."""
    terminalreporter.write_line(f"SEED={samples.SEED} repeats the samples of this run")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The last file, tests/upgrade, takes long, and while it ran alone the other workers would be idle."""
    items.sort(key=lambda item: (item.path.parent.name != "upgrade", item.path))


def pytest_collection_finish() -> None:
    """Collect garbage seldom: the models of AWS fill the heap, and live as long as the process."""
    gc.enable()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """Refuse connections to anything but this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in {socket.AF_INET, socket.AF_INET6} and not str(address[0]).startswith(LOOPBACK):
            raise ConnectionRefusedError(f"a test wanted to reach {address}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield


@pytest.fixture(scope="session", autouse=True)
def _models_read_once() -> Iterator[None]:
    """AWS's models, which every new session would read and parse again, and what follows from them."""
    with pytest.MonkeyPatch.context() as patch:
        botocore_once.patched(patch)
        yield


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fake credentials, and nothing of the machine's own AWS configuration."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "JANITOR_"))]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("COLUMNS", raising=False)  # reports must not depend on the terminal of whoever tests
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASANDBOX")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sandbox")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", NOWHERE)  # programs that a test starts have no guarded sockets
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)


@pytest.fixture(scope="session")
def _sandbox() -> Iterator[Sandbox]:
    with Sandbox() as box:
        yield box


@pytest.fixture
def box(_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Control:
    """
    An empty sandbox at NOW; every boto3 client of the test talks to it.

    What a test builds up in it comes up at once; `paced` is the same with the times of AWS.
    """
    control = Control(_sandbox.url)
    control.reset()
    control.set_durations({"*": 0})
    monkeypatch.setenv("AWS_ENDPOINT_URL", _sandbox.url)
    return control


def once(control: Control, name: str, make: Callable[[], Mapping[str, Any] | None]) -> dict[str, Any]:
    """
    The account as *make* leaves an empty one, and what it answers: a worker makes what has that *name* once.

    How long changes take stays as it is.
    """
    durations = control.durations()
    if (about := control.restore(name)) is None:
        about = dict(make() or {})
        control.keep(name, **about)
    control.set_durations(durations)
    return about


def seed_demo(control: Control) -> None:
    """The demo account, and nothing else: what the test made before is gone."""

    def seed() -> None:
        control.reset()  # else it came back in each test of the worker that asks for the demo account later
        control.set_durations(DEFAULTS)
        demo.seed(control.url)

    once(control, "demo", seed)


@pytest.fixture
def paced(box: Control) -> Control:
    """The sandbox where endpoints are Creating, and notebooks Stopping, for minutes of its clock."""
    box.set_durations(DEFAULTS)
    return box


@pytest.fixture
def session(box: Control) -> boto3.Session:  # noqa: ARG001 - asked for, so that it is up
    """A session against the sandbox."""
    return boto3.Session(region_name=REGION)


@pytest.fixture
def aws(session: boto3.Session) -> Iterator[Aws]:
    """The account as detectors see it. Two tries per call, so that a fault is soon believed."""
    with ThreadPoolExecutor(16) as pool:
        prices = Prices(lambda: make_client(session, "pricing", REGION, 2))
        yield Aws(session, region=REGION, account=ACCOUNT, prices=prices, pool=pool, attempts=2)
