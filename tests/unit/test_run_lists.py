"""The latest runs over an organization, and the files in the report bucket that the ledger names."""

import re
from dataclasses import replace

import pytest
from botocore.exceptions import ClientError

from conftest import DAY, MINUTE, NOW
from memory_table import MemoryBucket, MemoryTable
from ml_janitor.aws.calls import ReadError
from ml_janitor.aws.client import FileChangedError
from ml_janitor.ledger.files import HashedDescriptions, HashedFiles, put_hashed
from ml_janitor.ledger.latest import LastRun, LatestRuns, RunAccount, RunLists
from ml_janitor.ledger.table import EXPIRES_ATTRIBUTE

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


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


@pytest.fixture
def table() -> MemoryTable:
    return MemoryTable()


@pytest.fixture
def lists(bucket: MemoryBucket, table: MemoryTable) -> RunLists:
    return RunLists(bucket, "reports", table)  # type: ignore[arg-type]


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


def test_a_list_is_read_back_for_its_own_run_alone(
    lists: RunLists, bucket: MemoryBucket, table: MemoryTable
) -> None:
    key = lists.keep(DETECTOR, NOW, listed=ACCOUNTS[:1], accounts=ACCOUNTS)
    (named,) = table.scan("organization")
    assert named[EXPIRES_ATTRIBUTE] == (NOW + 90 * DAY).timestamp()

    start = f"organization/{DETECTOR}/2026-10-06T03-00-00Z"
    names = [re.sub(r"\b[0-9a-f]{64}\b", "HASH", name) for name in bucket.objects]
    assert (key, names) == (list(bucket.objects)[1], [f"{start}.accounts.HASH.json", f"{start}.HASH.json"])
    assert lists.listed(DETECTOR, NOW) == ACCOUNTS[:1]
    assert lists.accounts(DETECTOR, NOW) == ACCOUNTS
    assert lists.keep(DETECTOR, NOW, listed=ACCOUNTS, accounts=ACCOUNTS) == key, "the first lists count"
    assert lists.listed(DETECTOR, NOW) == ACCOUNTS[:1]
    for detector, time in ((DETECTOR, NOW + MINUTE), ("idle-notebooks", NOW)):
        with pytest.raises(
            ReadError, match=f"the ledger has no list of the run of {detector} of 2026-10-06T03"
        ):
            lists.listed(detector, time)


def test_a_list_of_another_version_is_no_list(
    lists: RunLists, bucket: MemoryBucket, table: MemoryTable
) -> None:
    key = put_hashed(bucket, "reports", "other", b"{}")  # type: ignore[arg-type]
    table.put("organization", f"{DETECTOR}#2026-10-06T03:00:00Z", {"listed": key})
    with pytest.raises(ReadError, match=r"^s3://reports/other\.\w+\.json is not a list of accounts$"):
        lists.listed(DETECTOR, NOW)


def test_a_fault_of_ours_is_raised_as_it_is(lists: RunLists, bucket: MemoryBucket) -> None:
    lists.keep(DETECTOR, NOW, listed=ACCOUNTS, accounts=ACCOUNTS)
    bucket.broken = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        lists.listed(DETECTOR, NOW)


@pytest.mark.parametrize("body", [b"", b"[]", None])
def test_a_changed_or_missing_list_is_not_read(
    lists: RunLists, bucket: MemoryBucket, body: bytes | None
) -> None:
    key = lists.keep(DETECTOR, NOW, listed=ACCOUNTS, accounts=ACCOUNTS)
    del bucket.objects[key]
    if body is not None:
        bucket.objects[key] = body

    why = "is not the file that the janitor wrote" if body is not None else "GetObject: NoSuchKey"
    with pytest.raises(FileChangedError, match=why):
        lists.listed(DETECTOR, NOW)
    assert lists.accounts(DETECTOR, NOW) == ACCOUNTS


# --- files of an unfinished reading -----------------------------------------------------------------

PLACE = "123456789012/us-east-1"
NAME = f"{PLACE}/0000-artifacts"


def files(bucket: MemoryBucket, table: MemoryTable) -> HashedFiles:
    return HashedFiles(bucket, "reports", table, "one")  # type: ignore[arg-type]


def test_the_next_run_reads_what_an_earlier_one_has_kept(
    bucket: MemoryBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml_janitor.ledger.files.BLOCK_SIZE", 4)
    table = MemoryTable()
    first = files(bucket, table)
    assert (first.lasting, first.kept(PLACE)) == (True, None)
    first.put(NAME, b"0123456789")
    first.put("123456789012/eu-west-1/0000-artifacts", b"")
    first.keep(PLACE, {"left": ["c"]})

    second = files(bucket, table)
    assert (second.kept(PLACE), second.kept("123456789012/eu-west-1")) == ({"left": ["c"]}, None)
    assert list(second.blocks(NAME)) == [b"0123", b"4567", b"89"]
    with pytest.raises(KeyError):
        list(second.blocks("123456789012/eu-west-1/0000-artifacts"))
    second.put(f"{PLACE}/0001-artifacts", b"x")
    second.keep(PLACE, {"left": []})
    third = files(bucket, table)
    assert third.kept(PLACE) == {"left": []}
    assert [*third.blocks(NAME), *third.blocks(f"{PLACE}/0001-artifacts")] == [b"0123", b"4567", b"89", b"x"]
    third.keep(PLACE, None)
    assert files(bucket, table).kept(PLACE) is None
    assert all(key.startswith(f"one/listing/{PLACE[:12]}/") for key in bucket.objects)


@pytest.mark.parametrize("body", [b"0123x56789", b"0123", b"", None])
def test_blocks_before_a_changed_block_are_read(
    bucket: MemoryBucket, monkeypatch: pytest.MonkeyPatch, body: bytes | None
) -> None:
    monkeypatch.setattr("ml_janitor.ledger.files.BLOCK_SIZE", 4)
    kept, read = files(bucket, MemoryTable()), list[bytes]()
    kept.put(NAME, b"0123456789")
    del bucket.objects[f"one/listing/{NAME}"]
    if body is not None:
        bucket.objects[f"one/listing/{NAME}"] = body

    with pytest.raises(FileChangedError):
        read += kept.blocks(NAME)
    assert read == ([b"0123"] if body else [])


def test_a_failed_read_of_a_file_is_not_a_changed_file(bucket: MemoryBucket) -> None:
    table = MemoryTable()
    kept = files(bucket, table)
    kept.put(NAME, b"x")
    kept.keep(PLACE, {})
    bucket.broken = ClientError({"Error": {"Code": "SlowDown", "Message": "no"}}, "GetObject")

    for read in (lambda: kept.kept(PLACE), lambda: list(kept.blocks(NAME))):
        with pytest.raises(ReadError, match="SlowDown") as failed:
            read()
        assert not isinstance(failed.value, FileChangedError)


# --- kept descriptions ----------------------------------------------------------------------------

HERE = ("123456789012", "us-east-1")


def test_of_two_runs_that_keep_descriptions_at_once_the_first_counts(bucket: MemoryBucket) -> None:
    table = MemoryTable()
    first, second, later = (HashedDescriptions(bucket, "reports", table) for _ in range(3))  # type: ignore[arg-type]
    assert (first.read(*HERE), second.read(*HERE)) == (None, None)

    first.write(*HERE, b"first")
    second.write(*HERE, b"second")

    assert later.read(*HERE) == b"first"
    assert later.read(HERE[0], "eu-west-1") is None
    later.write(*HERE, b"later")
    later.write(*HERE, b"lost")  # it was not read since
    assert second.read(*HERE) == b"later"
    assert all(
        re.fullmatch(r"descriptions/123456789012/us-east-1\.[0-9a-f]{64}\.gz", key) for key in bucket.objects
    )


@pytest.mark.parametrize("body", [b"another", None])
def test_descriptions_that_the_janitor_did_not_write_are_none(
    bucket: MemoryBucket, body: bytes | None
) -> None:
    kept = HashedDescriptions(bucket, "reports", MemoryTable())  # type: ignore[arg-type]
    kept.write(*HERE, b"own")
    (key,) = bucket.objects
    if body is None:
        del bucket.objects[key]
    else:
        bucket.objects[key] = body

    assert kept.read(*HERE) is None
    kept.write(*HERE, b"anew")
    assert kept.read(*HERE) == b"anew"
    bucket.broken = ClientError({"Error": {"Code": "SlowDown", "Message": "no"}}, "GetObject")
    with pytest.raises(ReadError, match="SlowDown"):
        kept.read(*HERE)
