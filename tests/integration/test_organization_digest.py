"""The digest of an organization over HTTP: 200 accounts in one message, and in how many requests."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pytest

from conftest import NOW, REGION
from fakes import waste
from ml_janitor import handlers
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Mode
from ml_janitor.core.results import Sweep
from ml_janitor.detectors import DETECTORS
from ml_janitor.ledger.findings import Ledger
from ml_janitor.ledger.latest import SWEEP_ADAPTER, LastRun, LastSweep, LatestRuns, RunAccount, RunLists
from ml_janitor.ledger.table import Table, item_key, partition_key
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import BUCKET, TABLE
from ml_janitor_sandbox.slack import SlackControl
from reports import result
from standin import WITH_SLACK, Context, event

pytestmark = pytest.mark.usefixtures("log")

USED = ("idle-endpoints", "idle-notebooks", "spot-training")
REGIONS = ("eu-west-1", REGION)
ACCOUNTS = [f"{number:012d}" for number in range(1, 201)]
FOUND, UNREAD, LOST, WAITING = ACCOUNTS[:15], ACCOUNTS[100:112], ACCOUNTS[150], ACCOUNTS[160]
OFF = "".join(f"[detectors.{one.name}]\nenabled = false\n" for one in DETECTORS if one.name not in USED)
SETTINGS = f"""{WITH_SLACK}
digest_schedule = "cron(0 7 ? * TUE *)"
[organization]
id = "o-a1b2c3d4e5"
callers = ["arn:aws:iam::123456789012:role/platform"]
external_id = "ml-janitor-7f3a"
all_accounts = true
{OFF}"""


def written(table: Table, sweeps: Iterator[LastSweep]) -> None:
    """Put many sweeps into *table* at once."""
    items = [
        {
            **item_key(partition_key("sweep", one.detector, one.account, one.region), "latest"),
            **SWEEP_ADAPTER.dump_python(one),
        }
        for one in sweeps
    ]
    for start in range(0, len(items), 25):
        puts: Any = [{"PutRequest": {"Item": table._dynamo(one)}} for one in items[start : start + 25]]
        assert not table.client.batch_write_item(RequestItems={TABLE: puts})["UnprocessedItems"]


def night(table: Table, aws: Aws) -> None:
    """
    The run of each detector: one found something in 15 accounts, one could not read 12 others and left
    nothing at all of one region, and one is still at work.
    """
    listed = [RunAccount(one, REGIONS, "fraud-prod" if one == ACCOUNTS[0] else "") for one in ACCOUNTS]
    runs, lists = LatestRuns(table), RunLists(boto3.client("s3"), BUCKET, table)
    for name in USED:
        where = lists.keep(name, NOW - timedelta(hours=1), listed=listed, accounts=listed)
        begun = NOW - timedelta(hours=1)
        runs.begun(LastRun(detector=name, time=begun, key=where, accounts=len(listed), begun=begun))
        if name != "spot-training":
            runs.ended(name, begun, at=NOW, unread=24 if name == "idle-notebooks" else 0)
    zero: Any = dict.fromkeys(("looked_at", "found", "kept", "unknown", "unpriced"), 0)
    zero |= dict.fromkeys(("monthly_usd", "accrued_usd"), Decimal(0))
    written(
        table,
        (
            LastSweep(
                detector=name,
                account=account,
                region=region,
                time=NOW - timedelta(minutes=90 if (name, account) == ("spot-training", WAITING) else 50),
                error="could not be read: denied" if account in UNREAD and name == "idle-notebooks" else None,
                **zero,
            )
            for name in USED
            for account in ACCOUNTS
            for region in REGIONS
            if (name, account, region) != ("idle-notebooks", LOST, REGION)
        ),
    )
    for number, account in enumerate(FOUND):
        found = result("idle-endpoints", "a", waste(str(100 + number)))
        arn = found.target.arn.replace(found.target.account, account)
        found = replace(found, target=replace(found.target, arn=arn, account=account))
        swept = Sweep(
            detector="idle-endpoints", account=account, region=REGION, mode=Mode.DRY_RUN, results=(found,)
        )
        Ledger(table).record(aws, swept, NOW - timedelta(minutes=40))


def test_two_hundred_accounts_are_one_message_and_few_requests(
    deployed: SlackControl, table: Table, aws: Aws, box: Control, tmp_path: Path
) -> None:
    (tmp_path / "janitor.toml").write_text(SETTINGS)
    night(table, aws)
    box.clear_calls()

    answer = handlers.digest(event("scheduled"), Context())

    assert {name: answer[name] for name in ("accounts", "sweeps", "did_not_run", "not_ended", "unread")} == {
        "accounts": 200,
        "sweeps": 1200,
        "did_not_run": 0,
        "not_ended": 1,
        "unread": 25,
    }
    calls = box.calls()
    pairs, batches = len(USED) * len(ACCOUNTS) * len(REGIONS), len(USED) * 4
    assert (pairs, calls["dynamodb:BatchGetItem"]) == (1200, batches)
    assert (calls["dynamodb:Query"], answer["advice"]) == (2 * len(FOUND), 5), "findings and holds"
    assert calls["s3:GetObject"] == len(USED) + 1
    assert calls["dynamodb:GetItem"] <= len(USED) + 2 + calls["s3:GetObject"], "an item names each list"
    message, thread = deployed.messages()
    assert message["text"] == (
        "Daily digest. 15 findings in 15 of 200 accounts cost at least $1,605 a month; all are new. 25 "
        "sweeps without a result."
    )
    said = repr(message["blocks"])
    assert "*This week's advice: $560 a month in 5 changes.*" in said
    assert f"idle endpoint `a` in {FOUND[-1]}, {REGION}, no owner tag, about 15 minutes" in said
    assert f"*$114 a month*: 000000000015, 1 idle endpoint in {REGION}, 1 new" in said
    assert "*$936 a month*: 9 more accounts, 9 findings, 9 new" in said
    assert "*$510 a month*: 5 more accounts, 5 findings, 5 new" in repr(thread["blocks"])
    assert f"25 sweeps in 13 accounts: {', '.join(UNREAD[:10])} and 3 more" in said
    assert "spot training findings: still looking at 1 of 200 accounts after 60 minutes" in said
    assert handlers.digest({"time": "2026-10-06T03:01:00Z"}, Context())["new"] == 0
