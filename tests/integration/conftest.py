"""What a deployed stack owns, in the sandbox, and the environment of its functions."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

from commands import janitor, notebooks
from conftest import REGION, once
from fakes import logger_to
from ml_janitor import handlers
from ml_janitor.aws.calls import make_client
from ml_janitor.aws.client import Aws
from ml_janitor.ledger.findings import Ledger
from ml_janitor.ledger.signatures import kms_signatures
from ml_janitor.ledger.table import Table
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import KEYS, TABLE
from ml_janitor_sandbox.slack import SlackControl
from pages import browser, shown
from seaweed import seaweedfs
from standin import (
    EMAILS,
    OWNER,
    Cleaner,
    Deployment,
    Nights,
    idle_notebook,
)

if TYPE_CHECKING:
    from organization import Accounts

__all__ = ["browser", "janitor", "notebooks", "seaweedfs", "shown"]


@pytest.fixture
def deployment(box: Control, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """A deployment with Slack, in which nothing is armed."""
    return Deployment(box, monkeypatch, tmp_path)


@pytest.fixture
def deployed(deployment: Deployment) -> SlackControl:
    """The workspace that the deployment posts to."""
    return deployment.slack


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    """What the functions write to their log, but for the metrics."""
    stream = StringIO()
    logger = logger_to(stream)
    monkeypatch.setattr(handlers, "structured_logger", lambda: logger)
    return stream


@pytest.fixture
def ledger(table: Table, session: boto3.Session) -> Ledger:
    """The ledger of the deployment."""
    return Ledger(table, kms_signatures(make_client(session, "kms", REGION, 2), KEYS))


@pytest.fixture
def table(deployed: SlackControl, session: boto3.Session) -> Table:  # noqa: ARG001 - it makes the table
    """The ledger's table."""
    return Table(make_client(session, "dynamodb", REGION, 2), TABLE)


@pytest.fixture
def nights(table: Table, session: boto3.Session, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Nights:
    nights = Nights(
        table, session, aws, signatures=kms_signatures(make_client(session, "kms", REGION, 2), KEYS)
    )
    monkeypatch.setattr(Cleaner, "world", nights.world)
    return nights


@pytest.fixture
def armed(deployment: Deployment) -> Deployment:
    """A deployment that may act on endpoints and notebooks, with people and buttons in its Slack."""
    return deployment.arm()


@pytest.fixture
def notebook(armed: Deployment) -> Deployment:
    """A notebook that was left on for the night, warned about."""

    def warn() -> None:
        idle_notebook(armed.session, armed.box, owner=EMAILS[OWNER])
        armed.sweep("idle-notebooks")

    once(armed.box, "a warned notebook", warn)
    return armed


@pytest.fixture
def accounts(armed: Deployment, table: Table) -> Accounts:
    """A deployment for an organization of two accounts."""
    from organization import seeded_accounts  # it imports CDK, which no other test here needs

    return seeded_accounts(armed, table)
