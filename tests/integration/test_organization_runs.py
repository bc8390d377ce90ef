"""The runs over an organization: their lists, the latest of each detector, and what they leave."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from conftest import ACCOUNT, NOW, REGION
from lambdas import Context
from ml_janitor import handlers
from ml_janitor.aws.calls import ReadError
from ml_janitor.config.settings import Settings
from ml_janitor.config.values import InvalidInputError
from ml_janitor.core.model import Mode
from ml_janitor.core.results import Sweep
from ml_janitor.detectors.hung_training_jobs.rule import HungTrainingJobs
from ml_janitor.engine.run import RunFailedError
from ml_janitor.ledger.latest import LastRun, LatestRecords, LatestRuns, RunAccount, RunLists
from ml_janitor.ledger.table import Table
from ml_janitor.scheduled.accounts import skip_empty_time
from ml_janitor_cli.stack import CheckSurroundings, ExpectedFunction, check_run_record
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import BUCKET
from ml_janitor_sandbox.slack import SlackControl
from organization import Organization, written

MINUTE = timedelta(minutes=1)
DETECTOR = "idle-endpoints"
ACCOUNTS = (
    RunAccount("111111111111", ("eu-west-1", "us-east-1")),
    RunAccount("222222222222", ("us-east-1",)),
)
RUN = LastRun(
    detector=DETECTOR,
    time=NOW,
    key="organization/idle-endpoints/2026-10-06T03-00-00Z.json",
    accounts=2,
    begun=NOW + MINUTE,
    regions=("eu-west-1", "us-east-1"),
)


@pytest.fixture
def lists(table: Table, session: boto3.Session) -> RunLists:  # noqa: ARG001 - deployed with it
    return RunLists(session.client("s3"), BUCKET)


@pytest.mark.parametrize(
    ("run", "ago", "seen"),
    [
        (RUN, timedelta(hours=1), "60 minutes ago"),
        (replace(RUN, unread=3), timedelta(hours=1), "was not complete: accounts and regions that left no"),
        (RUN, timedelta(hours=5), "is overdue"),
    ],
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
        "janitor_account": ACCOUNT,
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
def test_a_run_lists_every_account_with_its_regions(table: Table, lists: RunLists) -> None:
    answer = ask("list")

    assert answer == {"bucket": BUCKET, "key": RUN.key, "accounts": 2}
    assert lists.listed(DETECTOR, NOW) == (RunAccount(ONE, REGIONS), RunAccount(TWO, REGIONS))
    assert lists.accounts(DETECTOR, NOW) == lists.listed(DETECTOR, NOW)
    begun = NOW + timedelta(seconds=30)
    assert LatestRuns(table).last(DETECTOR) == replace(RUN, begun=begun)


@pytest.mark.usefixtures("settings")
def test_what_was_empty_within_twenty_hours_is_not_looked_at(table: Table, lists: RunLists) -> None:
    hours = {name: timedelta(hours=n) for name, n in (("lately", 19), ("yesterday", 20))}
    swept(table, ONE, "eu-west-1", ago=hours["lately"])
    swept(table, ONE, "us-east-1", ago=hours["yesterday"])
    swept(table, TWO, "eu-west-1", ago=hours["lately"])
    swept(table, TWO, "us-east-1", ago=hours["lately"], error="it broke off")

    assert ask("list")["accounts"] == 2
    assert lists.listed(DETECTOR, NOW) == (RunAccount(ONE, ("us-east-1",)), RunAccount(TWO, ("us-east-1",)))

    swept(table, TWO, "us-east-1", ago=timedelta(hours=1))
    assert ask("list")["accounts"] == 2, "the same run listed again is the same list"
    assert ask("list", time="2026-10-06T03:00:01Z")["accounts"] == 1
    assert lists.accounts(DETECTOR, NOW + timedelta(seconds=1)) == (
        RunAccount(ONE, REGIONS),
        RunAccount(TWO, REGIONS),
    )


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize(("hours", "looked_at"), [(3.9, 1), (4, 2)])
def test_a_detector_sees_what_was_empty_hours_ago(table: Table, hours: float, looked_at: int) -> None:
    """In an account with nothing else too: a job that hangs there is known before it can be judged."""
    name = "hung-training-jobs"
    for region in REGIONS:
        nothing = Sweep(detector=name, account=ONE, region=region, mode=Mode.DRY_RUN)
        LatestRecords(table).remember(nothing, NOW - timedelta(hours=hours))

    assert ask("list", name)["accounts"] == looked_at
    assert skip_empty_time(Settings.load(), name) + 60 * MINUTE < HungTrainingJobs().silence


@pytest.mark.usefixtures("settings")
def test_the_latest_sweeps_of_all_pairs_are_read_together(box: Control, table: Table) -> None:
    swept(table, ONE, "eu-west-1", ago=timedelta(hours=1))
    for step, unread in (("list", 0), ("close", 3)):
        box.clear_calls()
        with pytest.raises(RunFailedError) if unread else nullcontext():
            ask(step)
        assert {call: times for call, times in box.calls().items() if call.endswith("GetItem")} == {
            "dynamodb:BatchGetItem": 1,
            **({} if unread else {"dynamodb:GetItem": 1}),
        }


def test_without_regions_each_one_that_has_sagemaker_is_listed(
    settings: dict[str, Any], tmp_path: Path, lists: RunLists, session: boto3.Session
) -> None:
    deploy(tmp_path, settings | {"regions": []})
    ask("list")

    (one, two) = lists.listed(DETECTOR, NOW)
    assert one.regions == two.regions == tuple(session.get_available_regions("sagemaker"))
    assert len(one.regions) > 20


def test_a_function_that_no_account_trusts_lists_none(
    settings: dict[str, Any], tmp_path: Path, table: Table, lists: RunLists
) -> None:
    callers = [f"arn:aws:iam::{TWO}:role/platform"]
    deploy(tmp_path, settings | {"janitor_account": TWO, "callers": callers})

    for step in ("list", "close"):
        with pytest.raises(RunFailedError, match=f"is {TWO}, and this deployment is in {ACCOUNT}: "):
            ask(step)
    assert LatestRuns(table).last(DETECTOR) is None
    with pytest.raises(ReadError):
        lists.listed(DETECTOR, NOW)


@pytest.mark.parametrize(("accounts", "warned"), [(8, 0), (9, 1)])
def test_more_accounts_than_an_hour_has_room_for_are_logged(
    settings: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture, accounts: int, warned: int
) -> None:
    deploy(tmp_path, settings | {"accounts": [f"{n:012}" for n in range(accounts)], "at_once": 1})

    ask("list")

    assert [one.levelname for one in caplog.records if "for an hour" in one.message] == ["WARNING"] * warned


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
def test_what_left_no_result_could_not_be_read(table: Table) -> None:
    swept(table, ONE, "eu-west-1", ago=timedelta(hours=30), error="long ago")
    ask("list")
    swept(table, ONE, "us-east-1", ago=-timedelta(seconds=5))
    swept(table, TWO, "us-east-1", ago=timedelta(0))

    with pytest.raises(RunFailedError, match=f"left no result of {ONE}/eu-west-1, {TWO}/eu-west-1$"):
        ask("close")
    latest = LatestRecords(table)
    errors = {
        (account, region): _error(latest, account, region) for account in (ONE, TWO) for region in REGIONS
    }
    lost = "could not be read: the run ended without a result of it"
    assert errors == {
        (ONE, "eu-west-1"): lost,
        (ONE, "us-east-1"): None,
        (TWO, "eu-west-1"): lost,
        (TWO, "us-east-1"): None,
    }
    last = LatestRuns(table).last(DETECTOR)
    assert last is not None
    assert (last.unread, last.ended) == (2, NOW + timedelta(seconds=30))

    swept(table, ONE, "eu-west-1", ago=-timedelta(seconds=20))
    swept(table, TWO, "eu-west-1", ago=-timedelta(seconds=20))
    assert ask("close") == {"unread": 0}
    last = LatestRuns(table).last(DETECTOR)
    assert last is not None
    assert last.unread == 0


def _error(latest: LatestRecords, account: str, region: str) -> str | None:
    last = latest.sweep(DETECTOR, account, region)
    assert last is not None
    return last.error


@pytest.mark.usefixtures("settings")
def test_a_run_without_a_list_is_not_ended(table: Table) -> None:
    with pytest.raises(ReadError, match=RUN.key):
        ask("close")
    assert LatestRuns(table).last(DETECTOR) is None


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize(
    "event",
    [
        {"step": "list", "detector": DETECTOR},
        {"step": "sweep", "detector": DETECTOR, "time": "2026-10-06T03:00:00Z"},
        {"step": "list", "detector": "../bill", "time": "2026-10-06T03:00:00Z"},
        {"step": "list", "detector": DETECTOR, "time": "2026-10-06T04:00:00Z"},
        {"step": "list", "detector": DETECTOR, "time": "2026-10-06T03:00:00Z", "account": ONE},
    ],
)
def test_an_event_that_makes_no_sense_is_refused(event: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        handlers.accounts(event, Context())
