"""
The list of a run over an organization decides nothing unless it is the list that the run wrote.

The attacker may write to the report bucket, and changes the files of a run while it is at work.
"""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from conftest import ACCOUNT, NOW
from ml_janitor import handlers
from ml_janitor.aws.calls import ReadError
from ml_janitor.core.model import Mode
from ml_janitor.core.results import Sweep
from ml_janitor.engine.run import RunFailedError
from ml_janitor.ledger.latest import LatestRecords
from ml_janitor.ledger.table import Table
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import BUCKET
from ml_janitor_sandbox.slack import SlackControl
from standin import Context
from tables import cases

DETECTOR, REGION, STAMP = "idle-endpoints", "us-east-1", "2026-10-06T03:00:00Z"
ACCOUNTS = [f"{number:012}" for number in range(1, 21)]
SETTINGS = f"""
[organization]
accounts = {json.dumps(ACCOUNTS)}
external_id = "ml-janitor-7f3a"
callers = ["arn:aws:iam::{ACCOUNT}:role/platform"]
regions = ["{REGION}"]
"""


@pytest.fixture(autouse=True)
def listed(tmp_path: Path, deployed: SlackControl) -> None:
    """A run over twenty accounts has listed them."""
    assert deployed
    path = tmp_path / "janitor.toml"
    path.write_text(path.read_text() + SETTINGS)
    step("list")


def step(name: str) -> dict[str, Any]:
    return handlers.accounts({"step": name, "detector": DETECTOR, "time": STAMP}, Context())


def change_lists(session: boto3.Session, change: Any) -> None:
    """Replace the content of every file of the run by what *change* makes of it."""
    s3 = session.client("s3")
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET, Prefix="organization/")["Contents"]]
    assert len(keys) == 2
    for key in keys:
        listed = json.loads(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())
        s3.put_object(Bucket=BUCKET, Key=key, Body=json.dumps(change(listed)).encode())


@pytest.mark.parametrize("left", [0, 19, 20])
def test_accounts_removed_from_the_list_are_reported_as_unread(
    left: int, session: boto3.Session, table: Table, deployed: SlackControl
) -> None:
    if left < len(ACCOUNTS):
        change_lists(session, lambda listed: listed[:left])
    latest = LatestRecords(table)
    for account in ACCOUNTS[:left]:
        sweep = Sweep(detector=DETECTOR, account=account, region=REGION, mode=Mode.DRY_RUN)
        latest.remember(sweep, NOW + timedelta(seconds=5))

    if left == len(ACCOUNTS):
        assert step("close") == {"unread": 0}, "a run whose list is whole succeeds"
        return
    with pytest.raises(RunFailedError, match="left no result of "):
        step("close")
    unread = latest.sweep(DETECTOR, ACCOUNTS[-1], REGION)
    assert unread is not None
    assert str(unread.error).startswith("could not be read")
    handlers.digest({}, Context())
    assert "is not the file that the janitor wrote" in json.dumps(deployed.messages()[-1]["blocks"])


@cases(
    "added",
    {"account": "999999999999", "regions": [REGION]},
    {"account": ACCOUNTS[0], "regions": ["eu-central-1"]},
    ids=["account", "region"],
)
def test_an_account_or_region_added_to_the_list_is_not_read(
    added: dict[str, Any], session: boto3.Session, box: Control
) -> None:
    change_lists(session, lambda listed: [*listed[1:], {**added, "name": ""}])
    event = {"time": STAMP, "started": STAMP, **added}

    with pytest.raises(ReadError, match="is not the file that the janitor wrote"):
        handlers.sweep(event, Context())

    assert not [call for call in box.calls() if call.startswith(("sts:", "sagemaker:"))]
