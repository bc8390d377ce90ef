"""The runs over an organization: their lists, the latest of each detector, and what they leave."""

from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from conftest import ACCOUNT, NOW, REGION
from ml_janitor import handlers
from ml_janitor.aws.calls import ReadError
from ml_janitor.config.values import InvalidInputError
from ml_janitor.core.model import Mode
from ml_janitor.core.results import Sweep
from ml_janitor.engine.run import RunFailedError
from ml_janitor.ledger.latest import LastRun, LatestRecords, LatestRuns, RunLists
from ml_janitor.ledger.table import Table
from ml_janitor_cli.stack import CheckSurroundings, ExpectedFunction, check_run_record
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import BUCKET
from ml_janitor_sandbox.slack import SlackControl
from organization import Organization, written
from standin import Context
from tables import cases

MINUTE = timedelta(minutes=1)
DETECTOR = "idle-endpoints"
RUN = LastRun(
    detector=DETECTOR,
    time=NOW,
    key="organization/idle-endpoints/2026-10-06T03-00-00Z.json",
    accounts=2,
    begun=NOW + MINUTE,
    regions=("eu-west-1", "us-east-1"),
)


@pytest.fixture
def lists(table: Table, session: boto3.Session) -> RunLists:
    return RunLists(session.client("s3"), BUCKET, table)


@cases(
    "run, ago, seen",
    (RUN, timedelta(hours=1), "60 minutes ago"),
    (replace(RUN, unread=3), timedelta(hours=1), "was not complete: accounts and regions that left no"),
    (RUN, timedelta(hours=5), "is overdue"),
)
def test_doctor_says_how_the_latest_run_went(run: LastRun, ago: timedelta, seen: str) -> None:
    around = CheckSurroundings(
        account=ACCOUNT, regions=(REGION,), time_zone="UTC", now=run.begun + ago, organization=True
    )
    check = check_run_record(
        run, ExpectedFunction(name=DETECTOR, construct="I", schedule="rate(1 hour)"), around, None
    )
    assert seen in check.seen


# --- the function that lists and closes ------------------------------------------------------------

ONE, TWO = "111111111111", "222222222222"
REGIONS = ("eu-west-1", "us-east-1")


@pytest.fixture
def settings(tmp_path: Path, deployed: SlackControl) -> dict[str, Any]:  # noqa: ARG001 - it makes a file
    """`[organization]` of two accounts by name, in the deployed janitor.toml."""
    table: dict[str, Any] = {
        "accounts": [ONE, TWO],
        "external_id": "ml-janitor-7f3a",
        "callers": [f"arn:aws:iam::{ACCOUNT}:role/platform"],
        "regions": list(REGIONS),
    }
    deploy(tmp_path, table)
    return table


def deploy(folder: Path, table: dict[str, Any]) -> None:
    written(folder, table).rename(folder / "janitor.toml")


def ask(step: str, detector: str = DETECTOR, time: str = "2026-10-06T03:00:00Z") -> dict[str, Any]:
    return handlers.accounts({"step": step, "detector": detector, "time": time}, Context())


def swept(table: Table, account: str, region: str, *, ago: timedelta, error: str | None = None) -> None:
    sweep = Sweep(detector=DETECTOR, account=account, region=region, mode=Mode.DRY_RUN, error=error)
    LatestRecords(table).remember(sweep, NOW - ago)


@pytest.mark.usefixtures("settings")
def test_the_latest_sweeps_of_all_pairs_are_read_together(box: Control, table: Table) -> None:
    swept(table, ONE, "eu-west-1", ago=timedelta(hours=1))
    for step, unread in (("list", 0), ("close", 3)):
        box.clear_calls()
        with pytest.raises(RunFailedError) if unread else nullcontext():
            ask(step)
        assert {call: times for call, times in box.calls().items() if call.endswith("GetItem")} == {
            "dynamodb:BatchGetItem": 1,
            "dynamodb:GetItem": 1,
        }


def test_without_regions_each_one_that_has_sagemaker_is_listed(
    settings: dict[str, Any], tmp_path: Path, lists: RunLists, session: boto3.Session
) -> None:
    deploy(tmp_path, settings | {"regions": []})
    ask("list")

    (one, two) = lists.listed(DETECTOR, NOW)
    assert one.regions == two.regions == tuple(session.get_available_regions("sagemaker"))
    assert len(one.regions) > 20


def test_accounts_of_the_organization_are_listed_or_nothing_is(
    settings: dict[str, Any], tmp_path: Path, table: Table, lists: RunLists, box: Control
) -> None:
    made = Organization.made(box.url, ["data", "ml"])
    everything = settings | {"accounts": [], "all_accounts": True, "id": made.id, "without": [ACCOUNT]}
    deploy(tmp_path, everything)
    assert ask("list")["accounts"] == 2
    assert {one.account for one in lists.listed(DETECTOR, NOW)} == set(made.members)

    box.fault("organizations", "ListAccounts", "deny")
    with pytest.raises(ReadError, match=r"name accounts = \[...\] in \[organization\]"):
        ask("list", time="2026-10-06T03:00:10Z")
    last = LatestRuns(table).last(DETECTOR)
    assert last is not None
    assert last.time == NOW
    with pytest.raises(ReadError):
        lists.listed(DETECTOR, NOW + timedelta(seconds=10))


@pytest.mark.usefixtures("settings")
def test_a_run_without_a_list_is_not_ended(table: Table) -> None:
    with pytest.raises(RunFailedError, match="; the ledger has no list of the run of idle-endpoints"):
        ask("close")
    assert LatestRuns(table).last(DETECTOR) is None


@pytest.mark.usefixtures("settings")
@cases(
    "event",
    {"step": "list", "detector": DETECTOR},
    {"step": "sweep", "detector": DETECTOR, "time": "2026-10-06T03:00:00Z"},
    {"step": "list", "detector": "../bill", "time": "2026-10-06T03:00:00Z"},
    {"step": "list", "detector": DETECTOR, "time": "2026-10-06T04:00:00Z"},
    {"step": "list", "detector": DETECTOR, "time": "2026-10-06T03:00:00Z", "account": ONE},
)
def test_an_event_that_makes_no_sense_is_refused(event: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        handlers.accounts(event, Context())
