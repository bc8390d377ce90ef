"""The newest object: what S3 answers in ways that the sandbox does not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from ml_janitor.aws import s3 as objects
from ml_janitor.aws.boto_client import make_client, parse_utc
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Prices
from ml_janitor.aws.s3 import NewestObject, find_newest_object
from ml_janitor.core.signals import Signal, Unreadable, Value

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
    listed(s3, b=newer)
    listed(s3, prefix="b/", c=old)

    expected = NewestObject("s3://bucket/a/b", newer)
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
def test_an_answer_that_lacks_its_members_is_unreadable(
    account: Aws, s3: Stubber, answer: dict[str, Any]
) -> None:
    s3.add_response("list_objects_v2", answer)

    assert isinstance(found(account), Unreadable)


def test_too_many_objects_are_unreadable(account: Aws, s3: Stubber, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "MOST_KEY_PAGES", 2)
    listed(s3, "more", a=FRESH)
    listed(s3, "more", b=FRESH)

    error = "s3://bucket/a/: ListObjectsV2: more than 2 pages, not read to the end"
    assert found(account) == Unreadable(error, LIST)


def test_as_many_pages_as_are_read(account: Aws, s3: Stubber, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "MOST_KEY_PAGES", 2)
    listed(s3, "more", a=FRESH)
    listed(s3, b=FRESH)

    assert isinstance(found(account), Value)


@pytest.mark.parametrize("uri", ["https://s3.amazonaws.com/bucket/a/", "s3:///a/", "bucket/a/"])
def test_another_address_is_unreadable(account: Aws, uri: str) -> None:
    assert found(account, uri) == Unreadable(f"{uri}: {uri!r} is no s3:// address", LIST)


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


@pytest.mark.parametrize(
    "written",
    [
        "2026-10-06T05:00:00.5+02:00",
        "2026-10-06T03:00:00.500Z",
        "2026-10-06T03:00:00.5",
        "20261006T030000.5Z",
        "1791255600.5",
        1791255600.5,
    ],
)
def test_times_are_in_utc_however_they_are_written(
    written: str | float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the zone of the machine is."""
    with monkeypatch.context() as far:
        far.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        read = parse_utc(written)
    time.tzset()

    assert (read, read.tzinfo) == (NOW + timedelta(seconds=0.5), UTC)


def test_a_header_tells_a_time_in_words() -> None:
    assert parse_utc("Tue, 06 Oct 2026 03:00:00 GMT") == NOW
