"""What a deployed stack owns, in the sandbox, and the environment of its functions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from aws_lambda_powertools.utilities import parameters

from armed import Cellar, World
from conftest import REGION
from janitor.aws import Aws, make_client
from janitor.table import Table
from lambdas import WITH_SLACK
from nights import Nights
from sandbox.control import Control
from sandbox.deployment import TABLE, deploy
from sandbox.slack import SlackControl
from seaweedfs import running


@pytest.fixture
def deployed(box: Control, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SlackControl:
    """The functions' environment for a deployment with Slack, and the workspace that it posts to."""
    (tmp_path / "janitor.toml").write_text(WITH_SLACK)
    environment = {
        **deploy(box.url),
        "AWS_REGION": REGION,
        "LAMBDA_TASK_ROOT": str(tmp_path),
        "JANITOR_DETECTOR": "idle-endpoints",
        "JANITOR_NOW": "2026-10-06T03:00:30Z",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    parameters.clear_caches()  # type: ignore[no-untyped-call]
    box.clear_calls()
    return SlackControl(box.url)


@pytest.fixture
def table(deployed: SlackControl, session: boto3.Session) -> Table:  # noqa: ARG001 - it makes the table
    """The ledger's table."""
    return Table(make_client(session, "dynamodb", REGION, 2), TABLE)


@pytest.fixture
def nights(
    table: Table, session: boto3.Session, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Nights]:
    world = World()
    monkeypatch.setattr(Cellar, "world", world)
    yield Nights(table, session, aws, world)


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a SeaweedFS that is ready to store; it ends with the tests."""
    with running(tmp_path_factory.mktemp("seaweedfs")) as address:
        yield address
