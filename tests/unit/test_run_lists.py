"""The latest run of each detector over an organization, and the lists of its accounts."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from conftest import NOW
from memory_table import MemoryTable
from ml_janitor.aws.calls import ReadError
from ml_janitor.ledger.latest import LastRun, LatestRuns, RunAccount, RunLists

MINUTE = timedelta(minutes=1)
DETECTOR = "idle-endpoints"
ACCOUNTS = (
    RunAccount("111111111111", ("eu-west-1", "us-east-1"), "payments"),
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


class Bucket:
    """S3, of which one bucket is in memory; *puts* are the keys in the order in which they were written."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.broken: Exception | None = None

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, ContentType: str) -> None:  # noqa: N803
        assert (Bucket, ContentType) == ("reports", "application/json")
        self.objects[Key] = Body

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        assert Bucket == "reports"
        if self.broken is not None:
            raise self.broken
        if Key not in self.objects:
            raise ClientError({"Error": {"Code": "NoSuchKey", "Message": "no"}}, "GetObject")
        return {"Body": io.BytesIO(self.objects[Key])}


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def lists(bucket: Bucket) -> RunLists:
    return RunLists(bucket, "reports")  # type: ignore[arg-type]


def test_a_run_is_remembered_until_a_later_one_begins() -> None:
    runs = LatestRuns(MemoryTable())
    assert runs.last(DETECTOR) is None

    runs.begun(RUN)
    assert runs.last(DETECTOR) == replace(RUN, unread=0)
    runs.ended(DETECTOR, NOW, at=NOW + 5 * MINUTE, unread=3)
    assert runs.last(DETECTOR) == replace(RUN, ended=NOW + 5 * MINUTE, unread=3)

    later = replace(RUN, time=NOW + 60 * MINUTE)
    runs.begun(later)
    runs.begun(RUN)
    runs.ended(DETECTOR, NOW, at=NOW + 70 * MINUTE, unread=9)
    assert runs.last(DETECTOR) == later
    assert runs.last("idle-notebooks") is None


def test_a_list_is_read_back_for_its_own_run_alone(lists: RunLists, bucket: Bucket) -> None:
    key = lists.keep(DETECTOR, NOW, listed=ACCOUNTS[:1], accounts=ACCOUNTS)

    assert key == RUN.key
    assert list(bucket.objects) == [RUN.key.replace(".json", ".accounts.json"), RUN.key]
    assert lists.listed(DETECTOR, NOW) == ACCOUNTS[:1]
    assert lists.accounts(DETECTOR, NOW) == ACCOUNTS
    with pytest.raises(
        ReadError, match=r"2026-10-06T03-01-00Z\.json could not be read: GetObject: NoSuchKey"
    ):
        lists.listed(DETECTOR, NOW + MINUTE)
    with pytest.raises(ReadError, match="organization/idle-notebooks/"):
        lists.accounts("idle-notebooks", NOW)


def test_a_fault_of_ours_is_raised_as_it_is(lists: RunLists, bucket: Bucket) -> None:
    bucket.broken = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        lists.listed(DETECTOR, NOW)


@pytest.mark.parametrize("body", ["", "[", "{}", '[{"account": "111111111111"}]'])
def test_what_is_no_list_is_said_to_be_none(lists: RunLists, bucket: Bucket, body: str) -> None:
    bucket.objects[RUN.key] = body.encode()

    with pytest.raises(ReadError, match="is no list of accounts"):
        lists.listed(DETECTOR, NOW)
