"""The newest object: what S3 answers in ways that the sandbox does not."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from ml_janitor.aws.calls import make_client, parse_utc
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Prices
from ml_janitor.aws.s3 import (
    NewestObject,
    find_newest_object,
    list_etags,
    list_own_buckets,
    read_object_lock,
    read_object_tags,
    size_outside,
    sizes_by_class,
    stored_size,
)
from ml_janitor.core.model import Absent, Signal, Unreadable, Value
from scripted import DENIED, Refusal, Script, Torn
from tables import cases

NOW = datetime(2026, 10, 6, 3, tzinfo=UTC)
FRESH = NOW - timedelta(hours=6)
MINUTE = timedelta(minutes=1)
LIST = "s3:ListObjectsV2"


@pytest.fixture
def account() -> Iterator[Aws]:
    session = boto3.Session(region_name="us-east-1")
    with ThreadPoolExecutor(1) as pool:
        prices = Prices(lambda: session.client("pricing"))
        yield Aws(session, region="us-east-1", account="123456789012", prices=prices, pool=pool, attempts=1)


@pytest.fixture
def s3(account: Aws) -> Iterator[Stubber]:
    with Stubber(account.s3) as stub:
        yield stub
        stub.assert_no_pending_responses()


def listed(stub: Stubber, more: str = "", /, prefix: str = "a/", **keys: datetime) -> None:
    contents = [{"Key": f"{prefix}{key}", "LastModified": at} for key, at in keys.items()]
    answer: dict[str, Any] = {"KeyCount": len(contents), "IsTruncated": bool(more)}
    stub.add_response(
        "list_objects_v2",
        answer
        | ({"Contents": contents} if contents else {})
        | ({"NextContinuationToken": more} if more else {}),
    )


def found(account: Aws, *folders: str) -> Signal[NewestObject | None]:
    return find_newest_object(
        account, folders or ("s3://bucket/a/",), fresh=FRESH, ignore=("/profile_", "/rules/")
    )


def test_the_newest_of_all_pages_and_folders(account: Aws, s3: Stubber) -> None:
    old, newer = FRESH - 9 * MINUTE, FRESH
    listed(s3, "more", z=old)
    listed(s3, b=newer, c=newer)
    listed(s3, prefix="b/", c=newer)

    expected = NewestObject("s3://bucket/a/b", newer)  # the first of those that are equally new
    assert found(account, "s3://bucket/a/", "s3://bucket/b/") == Value(expected, LIST, newer)


def test_a_fresh_one_ends_the_search(account: Aws, s3: Stubber) -> None:
    listed(s3, "more", a=FRESH + MINUTE)

    answer = found(account, "s3://bucket/a/", "s3://bucket/b/")

    assert answer == Value(NewestObject("s3://bucket/a/a", FRESH + MINUTE), LIST, FRESH + MINUTE)


def test_an_empty_folder_was_read(account: Aws, s3: Stubber) -> None:
    listed(s3)

    assert found(account) == Value(None, LIST)


def test_no_folder_has_nothing(account: Aws) -> None:
    assert find_newest_object(account, (), fresh=FRESH) == Value(None, LIST)


def test_what_is_ignored_does_not_count(account: Aws, s3: Stubber) -> None:
    listed(s3, profile_1=NOW, model=FRESH)

    assert found(account) == Value(NewestObject("s3://bucket/a/model", FRESH), LIST, FRESH)


@pytest.mark.parametrize("code", ["AccessDenied", "NoSuchBucket"])
def test_one_folder_that_cannot_be_read_may_hold_a_newer_one(account: Aws, s3: Stubber, code: str) -> None:
    s3.add_client_error("list_objects_v2", code, "no")
    listed(s3, prefix="b/", b=FRESH)

    answer = found(account, "s3://bucket/a/", "s3://bucket/b/")

    assert answer == Unreadable(f"s3://bucket/a/: ListObjectsV2: {code}: no", LIST)


def test_a_fresh_one_outweighs_an_unreadable_folder(account: Aws, s3: Stubber) -> None:
    s3.add_client_error("list_objects_v2", "AccessDenied", "no")
    listed(s3, prefix="b/", b=NOW)

    assert isinstance(found(account, "s3://bucket/a/", "s3://bucket/b/"), Value)


def test_a_listing_that_breaks_off_is_unreadable(account: Aws, s3: Stubber) -> None:
    listed(s3, "more", a=FRESH)
    s3.add_client_error("list_objects_v2", "SlowDown", "later")

    assert isinstance(found(account), Unreadable)


@pytest.mark.parametrize("answer", [{}, {"KeyCount": 1, "IsTruncated": False}])
def test_an_incomplete_answer_is_unreadable(account: Aws, s3: Stubber, answer: dict[str, Any]) -> None:
    s3.add_response("list_objects_v2", answer)

    assert isinstance(found(account), Unreadable)


def test_too_many_objects_are_unreadable(account: Aws, s3: Stubber, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_janitor.aws.s3.MOST_KEY_PAGES", 2)
    listed(s3, "more", a=FRESH)
    listed(s3, "more", b=FRESH)

    error = "s3://bucket/a/: ListObjectsV2: more than 2 pages, not read to the end"
    assert found(account) == Unreadable(error, LIST)


def test_as_many_pages_as_are_read(account: Aws, s3: Stubber, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_janitor.aws.s3.MOST_KEY_PAGES", 2)
    listed(s3, "more", a=FRESH)
    listed(s3, b=FRESH)

    assert isinstance(found(account), Value)


@pytest.mark.parametrize("uri", ["https://s3.amazonaws.com/bucket/a/", "s3:///a/", "bucket/a/"])
def test_another_address_is_unreadable(account: Aws, uri: str) -> None:
    assert found(account, uri) == Unreadable(f"{uri}: {uri!r} is not an s3:// address", LIST)


class Body(BytesIO):
    def stream(self) -> Iterator[bytes]:
        yield self.read()


def page(client: Any, xml: str) -> dict[str, Any]:
    """What *client* makes of an answer to ListObjectsV2."""
    headers: Any = {}
    answer = AWSResponse("https://s3", 200, headers, Body(xml.encode()))
    client.meta.events.register("before-send.s3.ListObjectsV2", lambda **_: answer)
    found: dict[str, Any] = client.list_objects_v2(Bucket="b")
    return {name: value for name, value in found.items() if name != "ResponseMetadata"}


HEAD = "<KeyCount>2</KeyCount><IsTruncated>false</IsTruncated><EncodingType>url</EncodingType>"
TIME, ETAG = "<LastModified>2026-01-01T00:00:00.123Z</LastModified>", "<ETag>&quot;abc&quot;</ETag>"
SIZE = "<Size>7</Size>"
WHOLE = f"{TIME}{ETAG}{SIZE}<StorageClass>GLACIER</StorageClass>"
FIRST, SECOND = f"<Contents><Key>a%0Ab+%25/ü&amp;</Key>{WHOLE}</Contents>", "<Contents><Key></Key></Contents>"


@pytest.mark.parametrize("space", ["", ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'])
@pytest.mark.parametrize("contents", ["", FIRST, FIRST + SECOND, f"{SECOND}<Name>b</Name>{FIRST}"])
def test_a_page_of_objects_reads_as_botocore_reads_it(space: str, contents: str) -> None:
    session = boto3.Session(region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    xml = f"<ListBucketResult{space}>{HEAD}{contents}<Prefix>x</Prefix></ListBucketResult>"

    ours = page(make_client(session, "s3", "us-east-1", 1), xml)

    assert ours == page(session.client("s3"), xml)


def test_of_an_object_only_what_is_read_here_is_kept_and_a_page_cut_off_is_an_error() -> None:
    session = boto3.Session(region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    xml = f"<R xmlns='s3'>{HEAD}<Contents><Key>a</Key><Owner><ID>me</ID></Owner>{SIZE}</Contents></R>"

    assert page(make_client(session, "s3", "us-east-1", 1), xml)["Contents"] == [{"Key": "a", "Size": 7}]
    with pytest.raises(ClientError, match="Internal Server Error"):  # which is retried
        page(make_client(session, "s3", "us-east-1", 1), xml[:-5])


@cases(
    "written",
    "2026-10-06T05:00:00.5+02:00",
    "2026-10-06T03:00:00.500Z",
    "2026-10-06T03:00:00.5",
    "20261006T030000.5Z",
    "1791255600.5",
    1791255600.5,
)
def test_times_are_in_utc_in_any_writing(written: str | float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the zone of the machine is."""
    with monkeypatch.context() as far:
        far.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        read = parse_utc(written)
    time.tzset()

    assert (read, read.tzinfo) == (NOW + timedelta(seconds=0.5), UTC)


def test_a_header_tells_a_time_in_words() -> None:
    assert parse_utc("Tue, 06 Oct 2026 03:00:00 GMT") == NOW


# --- sizes, tags and locks ----------------------------------------------------------------------

DENIAL = "AccessDeniedException: denied"
STORED = {"a": 1, "a.txt": 2, "a/1": 4, "a/2": 8, "ab/1": 16, "z/1": 32}


def bucket(keys: Mapping[str, int], *, size: int = 2) -> Script:
    """A bucket with *keys* and their bytes, the first of which is in Glacier."""

    def answer(asked: Mapping[str, Any]) -> Any:
        assert asked["Bucket"] == "bucket"
        listed = sorted(key for key in keys if key.startswith(asked.get("Prefix", "")))
        start = int(asked.get("ContinuationToken", 0))
        some, more = listed[start : start + size], listed[start + size :]
        cold = {"StorageClass": "GLACIER"} if listed[:1] == some[:1] else {}
        contents = [
            {"Key": key, "Size": keys[key], "ETag": f"e-{key}"} | (cold if key == listed[0] else {})
            for key in some
        ]
        following = {"NextContinuationToken": str(start + size)} if more else {}
        page = {"KeyCount": len(some), "IsTruncated": bool(more)} | following
        return page | ({"Contents": contents} if contents else {})

    return Script({"s3:ListObjectsV2": answer})


@cases(
    "uri, expected",
    ("s3://bucket/a", 13),
    ("s3://bucket/a/", 12),
    ("s3://bucket/a/1", 4),
    ("s3://bucket", 63),
    ("s3://bucket/", 63),
    ("s3://bucket/none", None),
)
def test_the_size_of_an_object_a_folder_and_a_bucket(uri: str, expected: int | None) -> None:
    found = stored_size(bucket(STORED).aws(), uri)

    assert found == (Absent(LIST) if expected is None else Value(expected, LIST))


def test_sizes_by_storage_class_and_what_is_below() -> None:
    aws = bucket(STORED).aws()

    assert sizes_by_class(aws, "s3://bucket/a/") == Value({"GLACIER": 4, "STANDARD": 8}, LIST)
    assert list_etags(aws, "s3://bucket/a/") == Value([("1", "e-a/1"), ("2", "e-a/2")], LIST)
    assert stored_size(Script({"s3:ListObjectsV2": DENIED}).aws(), "s3://bucket/a") == Unreadable(
        f"ListObjectsV2: {DENIAL}", LIST
    )
    assert stored_size(aws, "https://bucket/a") == Unreadable(
        "'https://bucket/a' is not an s3:// address", LIST
    )


@cases(
    "own, others, expected",
    (["s3://bucket/a/1", "s3://bucket/z"], [], 36),
    (["s3://bucket/a/1", "s3://bucket/z"], ["s3://bucket/a"], 32),
    (["s3://bucket/a", "s3://bucket/z"], ["s3://bucket/a/1"], 32),
    (["s3://bucket/z", "s3://bucket/z"], [], 32),
    (["https://x/y", "s3://bucket/none"], [], 0),
    ([], [], 0),
)
def test_what_others_share_is_not_counted(own: Sequence[str], others: Sequence[str], expected: int) -> None:
    assert size_outside(bucket(STORED).aws(), own, others) == Value(expected, LIST)


def test_a_part_that_cannot_be_read_makes_the_size_unreadable() -> None:
    def answer(asked: Mapping[str, Any]) -> Any:
        return DENIED if asked["Prefix"] == "b" else {"KeyCount": 0, "IsTruncated": False}

    aws = Script({"s3:ListObjectsV2": answer}).aws()

    found = size_outside(aws, ["s3://bucket/a", "s3://bucket/b"], [])
    assert found == Unreadable(f"ListObjectsV2: {DENIAL}", LIST)


def test_own_buckets_are_those_of_the_region_on_all_pages() -> None:
    pages = [{"Buckets": [{"Name": name, "CreationDate": NOW}]} for name in "ab"]
    account = Script({"s3:ListBuckets": [*pages, DENIED]})

    found = list_own_buckets(account.aws("eu-west-1"))

    assert found.items == (("a", NOW), ("b", NOW))
    assert found.error == f"s3:ListBuckets broke off after 2: ListBuckets: {DENIAL}"
    assert account.asked("s3:ListBuckets")[0] == {"BucketRegion": "eu-west-1", "MaxBuckets": 1000}


LOCK = "s3:GetObjectLockConfiguration"


@cases(
    "answer, expected",
    ({"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}}, Value("Enabled", LOCK)),
    ({"ObjectLockConfiguration": {}}, Absent(LOCK)),
    ({"ObjectLockConfiguration": {"ObjectLockEnabled": ""}}, Absent(LOCK)),
    (Refusal("ObjectLockConfigurationNotFoundError"), Absent(LOCK)),
    (Refusal("ObjectLockConfigurationNotFound"), Absent(LOCK)),
    (DENIED, Unreadable(f"GetObjectLockConfiguration: {DENIAL}", LOCK)),
    (Torn({}), Unreadable("the answer lacks ObjectLockConfiguration: it was cut off", LOCK)),
)
def test_object_lock_is_on_absent_or_unreadable(answer: Any, expected: Signal[str]) -> None:
    assert read_object_lock(Script({LOCK: answer}).aws(), "bucket") == expected


def test_the_tags_of_an_object() -> None:
    account = Script({"s3:GetObjectTagging": {"TagSet": [{"Key": "team", "Value": "fraud"}]}})

    assert read_object_tags(account.aws(), "bucket", "a/1") == Value({"team": "fraud"}, "s3:GetObjectTagging")
    assert account.asked("s3:GetObjectTagging") == [{"Bucket": "bucket", "Key": "a/1"}]
