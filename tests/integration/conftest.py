"""What a deployed stack owns, in the sandbox, and the environment of its functions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from io import StringIO
from logging import StreamHandler
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import boto3
import pytest
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities import parameters

from armed import Cellar, World
from commands import janitor, notebooks
from conftest import ACCOUNT, NOW, REGION, once
from lambdas import WITH_SLACK
from ml_janitor import handlers
from ml_janitor.aws.calls import make_client
from ml_janitor.aws.client import Aws
from ml_janitor.ledger.findings import Ledger
from ml_janitor.ledger.signatures import kms_signatures
from ml_janitor.ledger.table import Table
from ml_janitor.slack import ingress
from ml_janitor.slack.client import SenderClock
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import KEYS, TABLE, deploy
from ml_janitor_sandbox.slack import SlackControl
from nights import Nights
from pages import browser, shown
from seaweed import seaweedfs
from slackside import ARMED, EMAILS, GROUP, MEMBER, NAMES, OWNER, Deployment

if TYPE_CHECKING:
    from organization import Accounts

__all__ = ["browser", "janitor", "notebooks", "seaweedfs", "shown"]


@pytest.fixture
def deployed(box: Control, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SlackControl:
    """The functions' environment for a deployment with Slack, and the workspace that it posts to."""
    (tmp_path / "janitor.toml").write_text(WITH_SLACK)
    empty = box.clock() == NOW and not box.calls()
    environment = {
        **(once(box, "deployed", partial(deploy, box.url)) if empty else deploy(box.url)),
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
def log(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    """What the functions write to their log, but for the metrics."""
    stream = StringIO()
    logger = Logger(service=f"test-{uuid4()}", logger_handler=StreamHandler(stream))
    monkeypatch.setattr(handlers, "structured_logger", lambda: logger)
    return stream


@pytest.fixture
def ledger(table: Table) -> Ledger:
    """The ledger of the deployment."""
    return Ledger(table)


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
    signatures = kms_signatures(make_client(session, "kms", REGION, 2), KEYS)
    yield Nights(table, session, aws, world, signatures=signatures)


@pytest.fixture
def armed(
    deployed: SlackControl,
    box: Control,
    session: boto3.Session,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Deployment:
    """A deployment that may act on endpoints and notebooks, with people and buttons in its Slack."""
    for user, email in EMAILS.items():
        deployed.add_user(user, email, name=NAMES[user])
    deployed.add_usergroup(GROUP, "ml-janitors", MEMBER)
    monkeypatch.setattr(ingress, "INGRESS_TIMEOUT", 30.0)  # whatever else this machine has to do meanwhile
    monkeypatch.setattr(handlers, "slack_time", lambda: SenderClock(clock=lambda: 0.0, sleep=lambda _: None))
    ingress.ingress_client.cache_clear()
    ingress.read_signing_secret.cache_clear()
    deployment = Deployment(box, deployed, session, monkeypatch, tmp_path)
    deployment.settings(ARMED)
    return deployment


@pytest.fixture
def notebook(armed: Deployment) -> Deployment:
    """A notebook that was left on for the night, warned about."""

    def warn() -> None:
        sagemaker = armed.session.client("sagemaker")
        armed.box.set_clock(NOW - timedelta(days=30))
        sagemaker.create_notebook_instance(
            NotebookInstanceName="churn",
            InstanceType="ml.t3.xlarge",
            RoleArn=f"arn:aws:iam::{ACCOUNT}:role/notebooks",
            Tags=[{"Key": "owner", "Value": EMAILS[OWNER]}],
        )
        armed.box.set_clock(NOW)
        written = [(NOW - timedelta(hours=9), "Saving /eda.ipynb")]
        armed.box.logs("/aws/sagemaker/NotebookInstances", "churn/jupyter.log", written)
        armed.sweep("idle-notebooks")

    once(armed.box, "a warned notebook", warn)
    return armed


@pytest.fixture
def accounts(armed: Deployment, table: Table) -> Accounts:
    """A deployment for an organization of two accounts."""
    from organization import seeded_accounts  # it imports CDK, which no other test here needs

    return seeded_accounts(armed, table)
