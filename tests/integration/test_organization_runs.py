"""The runs over an organization: their lists, the latest of each detector, and what they leave."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import boto3
import pytest

from conftest import ACCOUNT, NOW, REGION
from ml_janitor.aws.answers import ReadError
from ml_janitor.core.model import Mode
from ml_janitor.core.results import Sweep
from ml_janitor.ledger.latest import Latest
from ml_janitor.ledger.runs import LastRun, Listed, RunLists, Runs
from ml_janitor.ledger.table import Table
from ml_janitor_sandbox.deployment import BUCKET

MINUTE = timedelta(minutes=1)
DETECTOR = "idle-endpoints"
ACCOUNTS = (Listed("111111111111", ("eu-west-1", "us-east-1")), Listed("222222222222", ("us-east-1",)))
RUN = LastRun(
    detector=DETECTOR,
    time=NOW,
    key="organization/idle-endpoints/2026-10-06T03-00-00Z.json",
    accounts=2,
    begun=NOW + MINUTE,
)


@pytest.fixture
def lists(table: Table, session: boto3.Session) -> RunLists:  # noqa: ARG001 - deployed with it
    return RunLists(session.client("s3"), BUCKET)


def test_a_run_is_remembered_until_a_later_one_begins(table: Table) -> None:
    runs = Runs(table)
    assert runs.last(DETECTOR) is None

    runs.begun(RUN)
    assert runs.last(DETECTOR) == RUN
    runs.ended(DETECTOR, NOW, at=NOW + 5 * MINUTE, unread=3)
    assert runs.last(DETECTOR) == replace(RUN, ended=NOW + 5 * MINUTE, unread=3)

    later = replace(RUN, time=NOW + 60 * MINUTE)
    runs.begun(later)
    runs.begun(RUN)
    runs.ended(DETECTOR, NOW, at=NOW + 70 * MINUTE, unread=9)
    assert runs.last(DETECTOR) == later
    assert runs.last("idle-notebooks") is None


def test_a_list_is_read_back_for_its_own_run_alone(lists: RunLists) -> None:
    key = lists.keep(DETECTOR, NOW, listed=ACCOUNTS[:1], accounts=ACCOUNTS)

    assert key == RUN.key
    assert lists.listed(DETECTOR, NOW) == ACCOUNTS[:1]
    assert lists.accounts(DETECTOR, NOW) == ACCOUNTS
    with pytest.raises(
        ReadError, match=r"2026-10-06T03-01-00Z\.json could not be read: GetObject: NoSuchKey"
    ):
        lists.listed(DETECTOR, NOW + MINUTE)
    with pytest.raises(ReadError, match="organization/idle-notebooks/"):
        lists.accounts("idle-notebooks", NOW)


@pytest.mark.parametrize("body", ["", "[", "{}", '[{"account": "111111111111"}]'])
def test_what_is_no_list_is_said_to_be_none(lists: RunLists, session: boto3.Session, body: str) -> None:
    session.client("s3").put_object(Bucket=BUCKET, Key=RUN.key, Body=body.encode())

    with pytest.raises(ReadError, match="is no list of accounts"):
        lists.listed(DETECTOR, NOW)


def test_the_latest_sweep_says_whether_its_region_is_enabled(table: Table) -> None:
    latest, nothing = (
        Latest(table),
        Sweep(detector=DETECTOR, account=ACCOUNT, region=REGION, mode=Mode.DRY_RUN),
    )
    latest.remember(nothing, NOW)
    one = latest.sweep(DETECTOR, ACCOUNT, REGION)
    assert one is not None
    assert (one.enabled, one.empty) == (True, True)

    latest.remember(nothing, NOW, enabled=False)
    one = latest.sweep(DETECTOR, ACCOUNT, REGION)
    assert one is not None
    assert (one.enabled, one.empty) == (False, True)

    latest.remember(replace(nothing, error="it broke off"), NOW)
    one = latest.sweep(DETECTOR, ACCOUNT, REGION)
    assert one is not None
    assert not one.empty
