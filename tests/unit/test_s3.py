"""S3: the newest object, listings in ranges of keys, and queries of Athena read to their last row."""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any, cast

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError

from ml_janitor.aws.calls import OutOfTimeError, ReadError, make_client, parse_utc
from ml_janitor.aws.client import Aws
from ml_janitor.aws.s3 import (
    FIRST_PROBES,
    LAST_CHARACTER,
    LEAST_BYTES_CHARGED,
    LONGEST_QUERY,
    PROBES_PER_PAGE,
    AthenaAnswer,
    AthenaPlace,
    KeyRange,
    NewestObject,
    RangedListing,
    find_newest_object,
    list_etags,
    list_own_buckets,
    list_owned_names,
    page_objects,
    query_price,
    read_object_lock,
    read_object_tags,
    read_versioning,
    run_query,
    size_outside,
    sizes_by_class,
    stored_size,
)
from ml_janitor.core.model import Absent, Signal, Unreadable, Value
from scripted import DENIED, PagedS3, Refusal, Script, Torn
from scripted import Answer as Scripted
from tables import cases

pytestmark = pytest.mark.usefixtures("no_threads")

NOW = datetime(2026, 10, 6, 3, tzinfo=UTC)
FRESH = NOW - timedelta(hours=6)
MINUTE = timedelta(minutes=1)
LIST = "s3:ListObjectsV2"


A, B = "s3://bucket/a/", "s3://bucket/b/"
OLD, LATE = FRESH - MINUTE, FRESH + MINUTE


def listed(more: str = "", /, prefix: str = "a/", **keys: datetime) -> dict[str, Any]:
    contents = [{"Key": f"{prefix}{key}", "LastModified": at} for key, at in keys.items()]
    page: dict[str, Any] = {"KeyCount": len(contents), "IsTruncated": bool(more)}
    page |= {"Contents": contents} if contents else {}
    return page | ({"NextContinuationToken": more} if more else {})


def newest(key: str, at: datetime = FRESH) -> Value[NewestObject]:
    return Value(NewestObject(f"s3://bucket/{key}", at), LIST, at)


def unread(error: str, uri: str = A) -> Unreadable:
    return Unreadable(f"{uri}: {error}", LIST)


@cases(
    "answers, folders, expected",
    # on all pages and in all folders, the first of those that are equally new
    ([listed("m", z=OLD), listed(b=FRESH, c=FRESH), listed(prefix="b/", c=FRESH)], [A, B], newest("a/b")),
    ([listed("more", a=LATE)], [A, B], newest("a/a", LATE)),  # a fresh one ends the search
    ([listed()], [A], Value(None, LIST)),
    ([], [], Value(None, LIST)),
    ([listed(profile_1=NOW, model=FRESH)], [A], newest("a/model")),  # another is ignored
    # a folder that cannot be read may hold a newer one, which a fresh one outweighs
    (
        [Refusal("AccessDenied"), listed(prefix="b/", b=FRESH)],
        [A, B],
        unread("ListObjectsV2: AccessDenied: no"),
    ),
    (
        [Refusal("NoSuchBucket"), listed(prefix="b/", b=FRESH)],
        [A, B],
        unread("ListObjectsV2: NoSuchBucket: no"),
    ),
    ([Refusal("AccessDenied"), listed(prefix="b/", b=NOW)], [A, B], newest("b/b", NOW)),
    # a listing that breaks off, is cut off, or is too long
    ([listed("more", a=FRESH), Refusal("SlowDown")], [A], unread("ListObjectsV2: SlowDown: no")),
    ([Torn({})], [A], unread("the answer has no KeyCount")),
    ([{"KeyCount": 1, "IsTruncated": False}], [A], unread("the answer has no Contents")),
    (
        [listed("m", a=FRESH), listed("m", b=FRESH)],
        [A],
        unread("ListObjectsV2: more than 2 pages, not read to the end"),
    ),
    ([listed("m", a=FRESH), listed(b=FRESH)], [A], newest("a/a")),
    *(
        ([], [uri], unread(f"{uri!r} is not an s3:// address", uri))
        for uri in ("https://s3.amazonaws.com/bucket/a/", "s3:///a/", "bucket/a/")
    ),
)
def test_the_newest_object(
    answers: list[Any], folders: list[str], expected: Signal[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml_janitor.aws.s3.MOST_KEY_PAGES", 2)
    coming = iter(answers)
    aws = Script({LIST: lambda _: next(coming)}).aws()

    found = find_newest_object(aws, folders, fresh=FRESH, ignore=("/profile_", "/rules/"))

    assert (found, list(coming)) == (expected, [])


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

    assert page(make_client(session, "s3", "us-east-1", 1), xml) == page(session.client("s3"), xml)


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

    found = size_outside(Script({"s3:ListObjectsV2": answer}).aws(), ["s3://bucket/a", "s3://bucket/b"], [])
    assert found == Unreadable(f"ListObjectsV2: {DENIAL}", LIST)


def test_own_buckets_are_those_of_the_region_on_all_pages() -> None:
    pages = [{"Buckets": [{"Name": name, "CreationDate": NOW}]} for name in "ab"]
    account = Script({"s3:ListBuckets": [*pages, DENIED]})

    found = list_own_buckets(account.aws("eu-west-1"))

    assert found.items == (("a", NOW), ("b", NOW))
    assert found.error == f"s3:ListBuckets broke off after 2: ListBuckets: {DENIAL}"
    assert account.asked("s3:ListBuckets")[0] == {"BucketRegion": "eu-west-1", "MaxBuckets": 1000}


def test_the_names_of_an_accounts_buckets_are_those_of_all_regions() -> None:
    account = Script({"s3:ListBuckets": [{"Buckets": [{"Name": name}]} for name in "ab"]})

    assert list_owned_names(account.aws()).items == ("a", "b")
    assert account.asked("s3:ListBuckets")[0] == {"MaxBuckets": 1000}


LOCK = "s3:GetObjectLockConfiguration"


@cases(
    "answer, expected",
    ({"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}}, Value("Enabled", LOCK)),
    ({"ObjectLockConfiguration": {}}, Absent(LOCK)),
    ({"ObjectLockConfiguration": {"ObjectLockEnabled": ""}}, Absent(LOCK)),
    (Refusal("ObjectLockConfigurationNotFoundError"), Absent(LOCK)),
    (Refusal("ObjectLockConfigurationNotFound"), Absent(LOCK)),
    (DENIED, Unreadable(f"GetObjectLockConfiguration: {DENIAL}", LOCK)),
    (Torn({}), Unreadable("the answer has no ObjectLockConfiguration", LOCK)),
)
def test_object_lock_is_on_absent_or_unreadable(answer: Any, expected: Signal[str]) -> None:
    assert read_object_lock(Script({LOCK: answer}).aws(), "bucket") == expected


VERSIONING = "s3:GetBucketVersioning"


@cases(
    "answer, expected",
    ({"Status": "Suspended"}, Value("Suspended", VERSIONING)),
    ({}, Absent(VERSIONING)),
    (DENIED, Unreadable(f"GetBucketVersioning: {DENIAL}", VERSIONING)),
)
def test_versions_are_kept_not_kept_or_unreadable(answer: Any, expected: Signal[str]) -> None:
    assert read_versioning(Script({VERSIONING: answer}).aws(), "bucket") == expected


def test_the_tags_of_an_object() -> None:
    account = Script({"s3:GetObjectTagging": {"TagSet": [{"Key": "team", "Value": "fraud"}]}})

    assert read_object_tags(account.aws(), "bucket", "a/1") == Value({"team": "fraud"}, "s3:GetObjectTagging")
    assert account.asked("s3:GetObjectTagging") == [{"Bucket": "bucket", "Key": "a/1"}]


REGIONS = {"b": "eu-west-1", "c": "us-east-1"}


class S3(PagedS3):
    regions = REGIONS


def listing(s3: S3, *ranges: KeyRange) -> RangedListing:
    return RangedListing(cast("Aws", s3), REGIONS, list(ranges))


def read(found: RangedListing) -> list[str]:
    return [f"{bucket}/{entry['Key']}" for bucket, page in found.pages() for entry in page_objects(page)]


KEYS = [f"{folder}/{number:02}" for folder in ("a", "m", "z") for number in range(20)]


@pytest.mark.parametrize("split_after", [1, 3, 10_000])
@pytest.mark.parametrize("size", [1, 2, 7])
def test_each_key_is_listed_once(monkeypatch: pytest.MonkeyPatch, split_after: int, size: int) -> None:
    monkeypatch.setattr("ml_janitor.aws.s3.SPLIT_AFTER", split_after)
    s3 = S3({"b": KEYS, "c": ["one"]}, size=size)
    found = listing(s3, KeyRange("b"), KeyRange("c"))

    assert sorted(read(found)) == sorted([*(f"b/{key}" for key in KEYS), "c/one"])

    assert (found.ranges, found.errors, found.late) == ([], {}, False)
    probes = [asked for asked in s3.asked if "MaxKeys" in asked]
    assert (found.read, found.probed) == (len(s3.asked) - len(probes), len(probes))
    starts = {asked["StartAfter"] for asked in s3.asked if "MaxKeys" not in asked and "StartAfter" in asked}
    assert bool(starts) is bool(probes) is (split_after * size < 60 and split_after < 10_000)


def test_few_calls_look_for_where_to_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_janitor.aws.s3.SPLIT_AFTER", 1)
    found = listing(S3({"b": [f"{number:04}" for number in range(2000)]}, size=10), KeyRange("b"))

    assert len(read(found)) == 2000

    assert 20 < found.probed < 20 + 0.1 * found.read + 12
    assert (FIRST_PROBES, PROBES_PER_PAGE) == (20, 0.1)


@cases(
    "one, keys",
    (KeyRange("b", "b", "d"), "cd"),
    (KeyRange("b", "b"), "cde"),
    (KeyRange("b", "", "a"), "a"),
    (KeyRange("b", "", "aa"), "a"),
    (KeyRange("b", "e"), ""),
    (KeyRange("b", "", "e"), "abcde"),
)
def test_a_range_has_the_keys_after_its_beginning_up_to_its_end(one: KeyRange, keys: str) -> None:
    found = listing(S3({"b": "abcde"}, size=3), one)

    pages = [[entry["Key"] for entry in page_objects(page)] for _, page in found.pages()]

    assert [key for page in pages for key in page] == list(keys)
    assert found.ranges == []


def test_a_page_beyond_the_range_says_how_many_keys_are_left_on_it() -> None:
    ((_, page),) = listing(S3({"b": "abcde"}, size=5), KeyRange("b", "", "c")).pages()

    assert (page["KeyCount"], [entry["Key"] for entry in page["Contents"]]) == (3, ["a", "b", "c"])


def test_a_bucket_that_fails_costs_only_itself_and_a_range_that_is_left_goes_on() -> None:
    class Half(S3):
        def list_objects_v2(self, **given: Any) -> dict[str, Any]:
            if given["Bucket"] == "c":
                raise ReadError("ListObjectsV2: AccessDenied")
            return super().list_objects_v2(**given)

    found = listing(Half({"b": "abc", "c": "x"}), KeyRange("b"), KeyRange("c"), KeyRange("c", "m"))

    assert sorted(read(found)) == ["b/a", "b/b", "b/c"]
    assert (found.errors, [one.bucket for one in found.ranges]) == (
        {"c": "ListObjectsV2: AccessDenied"}, ["c", "c"],
    )  # fmt: skip


@pytest.mark.parametrize("calls", range(1, 4))
def test_a_listing_without_time_goes_on_exactly_there(calls: int) -> None:
    late = listing(S3({"b": "abcdefg"}, calls=calls, fails=OutOfTimeError("late")), KeyRange("b"))

    before = read(late)

    assert (late.late, late.errors, len(before)) == (True, {}, 2 * calls)
    after = listing(S3({"b": "abcdefg"}), *(KeyRange(one.bucket, one.after, one.upto) for one in late.ranges))
    assert before + read(after) == [f"b/{key}" for key in "abcdefg"]


def test_a_fault_of_ours_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        read(listing(S3({"b": "a"}, calls=0, fails=ZeroDivisionError()), KeyRange("b")))


@pytest.mark.parametrize("missing", ["KeyCount", "IsTruncated", "Contents", "NextContinuationToken"])
def test_a_page_that_was_cut_off_is_an_error(missing: str) -> None:
    class Cut(S3):
        def list_objects_v2(self, **given: Any) -> dict[str, Any]:
            page = super().list_objects_v2(**given)
            del page[missing]
            return page

    found = listing(Cut({"b": "abcde"}), KeyRange("b"))

    assert read(found) == []
    assert found.errors == {"b": f"the answer has no {missing}"}


LONG = "a" * 1019


@cases(
    "keys, place, expected",
    ([f"data/{letter}" for letter in "abcmnopxyz"], ("data/a", None, 0), (f"data/n{LAST_CHARACTER}", 5)),
    (["data/a/1", "data/b", "data/c"], ("data/a/1", None, 0), (f"data/b{LAST_CHARACTER}", 5)),
    (["data/a/1", "data/b"], ("data/a/1", None, 0), (f"data/a{LAST_CHARACTER}", 6)),
    (["data/a/1"], ("data/a/1", None, 0), None),
    ([f"p/{digit}" for digit in "0123456789"], ("p/0", None, 0), (f"p/5{LAST_CHARACTER}", 2)),
    ([f"p/{letter}" for letter in "ABCXYZ"], ("p/A", None, 0), (f"p/N{LAST_CHARACTER}", 2)),
    (["p/8", "p/9", "p/A", "p/Z"], ("p/8", None, 0), (f"p/I{LAST_CHARACTER}", 2)),
    (["p/a", "p/é", "p/ü"], ("p/a", None, 0), (f"p/a{LAST_CHARACTER}", 3)),
    ([f"data/{letter}" for letter in "abcxyz"], ("data/a", "data/c", 0), (f"data/b{LAST_CHARACTER}", 5)),
    ([f"data/{letter}" for letter in "abcxyz"], ("data/a", "data/a", 0), None),
    ([f"data/{letter}" for letter in "abcxyz"], ("data/a", None, 5), (f"data/n{LAST_CHARACTER}", 5)),
    (["a", "data/a", "data/b"], ("a", None, 0), (f"a{LAST_CHARACTER}", 1)),
    (["a" * 1024, "b"], ("a" * 1024, None, 1023), None),
    ([f"{LONG}{end}" for end in "abc"], (f"{LONG}a", None, 1019), (f"{LONG}b{LAST_CHARACTER}", 1019)),
)  # fmt: skip
def test_a_range_is_split_about_the_middle_of_where_its_keys_part(
    keys: Sequence[str], place: tuple[str, str | None, int], expected: tuple[str, int] | None
) -> None:
    s3 = S3({"b": keys})
    found = listing(s3)

    assert found._place_to_split(("b", *place)) == expected
    assert {asked["MaxKeys"] for asked in s3.asked} <= {1}
    assert found.probed == len(s3.asked)


@cases(
    "one, at, depth, kept, rest",
    (KeyRange("b", "c", None, 9, 7), "m", 2, KeyRange("b", "c", "m", 2, 0), KeyRange("b", "m", None, 2, 0)),
    (KeyRange("b", "c", "x", 1, 7), "m", 2, KeyRange("b", "c", "m", 2, 0), KeyRange("b", "m", "x", 1, 0)),
    (KeyRange("b", "m", None, 0, 7), "m", 2, KeyRange("b", "m", None, 0, 7), None),
    (KeyRange("b", "n", None, 0, 7), "m", 2, KeyRange("b", "n", None, 0, 7), None),
    (KeyRange("b", "c", "m", 0, 7), "m", 2, KeyRange("b", "c", "m", 0, 7), None),
)
def test_splitting_keeps_the_first_part(
    one: KeyRange, at: str, depth: int, kept: KeyRange, rest: KeyRange | None
) -> None:
    def members(each: KeyRange | None) -> Any:
        return each and {name: getattr(each, name) for name in KeyRange.__slots__}

    assert members(one.split(at, depth)) == members(rest)
    assert members(one) == members(kept)


def test_what_was_read_meanwhile_is_not_split() -> None:
    found = listing(S3({}))
    over: Future[tuple[str, int] | None] = Future()
    over.set_result(("m", 1))
    found._probing[over] = KeyRange("b")

    assert found._rest(over) is None
    assert (found.ranges, found._probing) == ([], {})


PLACE = AthenaPlace(database="inventory", workgroup="primary", output="s3://results/athena/")
START, GET, ROWS = "athena:StartQueryExecution", "athena:GetQueryExecution", "athena:GetQueryResults"


def execution(state: str, **more: Any) -> dict[str, Any]:
    return {"QueryExecution": {"Status": {"State": state} | more, "Statistics": {"DataScannedInBytes": 7}}}


def query_page(*rows: Sequence[str | None]) -> dict[str, Any]:
    data = [{"Data": [{"VarCharValue": one} if one is not None else {} for one in row]} for row in rows]
    return {"ResultSet": {"Rows": data}}


def script(*states: dict[str, Any], rows: Scripted) -> Script:
    following = iter(states)
    return Script({START: {"QueryExecutionId": "q-1"}, GET: lambda _: next(following), ROWS: rows})


def test_all_rows_are_read_once_the_query_has_ended() -> None:
    states = (execution("QUEUED"), execution("RUNNING"), execution("SUCCEEDED"))
    account = script(*states, rows=[query_page(("a", "b"), ("1", None)), query_page(("2", "x"))])

    found = run_query(account.aws(), "SELECT a, b", ["a", "b"], PLACE)

    assert found == AthenaAnswer((("1", None), ("2", "x")), 7)
    (started,) = account.asked(START)
    assert started.pop("ClientRequestToken")
    assert started == {
        "QueryString": "SELECT a, b",
        "QueryExecutionContext": {"Catalog": "AwsDataCatalog", "Database": "inventory"},
        "WorkGroup": "primary",
        "ResultConfiguration": {"OutputLocation": "s3://results/athena/"},
    }
    assert len(account.asked(GET)) == 3
    assert account.asked(ROWS)[0] == {"QueryExecutionId": "q-1", "MaxResults": 1000}


@cases(
    "state, rows, error",
    (execution("FAILED", StateChangeReason="SYNTAX_ERROR"), {}, "Athena query q-1 failed: SYNTAX_ERROR"),
    (execution("CANCELLED"), {}, "Athena query q-1 cancelled: Athena does not say why"),
    (execution("SUCCEEDED"), query_page(("b", "a")), "its answer has the columns"),
    (execution("SUCCEEDED"), query_page(), "its answer has the columns"),
    (execution("SUCCEEDED"), query_page(("a",)), "its answer has the columns"),
)
def test_a_query_that_did_not_answer_what_was_asked_says_why(state: Any, rows: Any, error: str) -> None:
    with pytest.raises(ReadError, match=error):
        run_query(script(state, rows=rows).aws(), "SELECT a, b", ["a", "b"], PLACE)


@pytest.mark.parametrize("rows", [[query_page(("a",)), DENIED], Torn({})])
def test_half_an_answer_is_none(rows: Any) -> None:
    with pytest.raises(Exception, match=r"GetQueryResults|ResultSet"):
        run_query(script(execution("SUCCEEDED"), rows=rows).aws(), "SELECT a", ["a"], PLACE)


@cases(
    "scanned, usd",
    (0, 0.00005),
    (LEAST_BYTES_CHARGED, 0.00005),
    (LEAST_BYTES_CHARGED + 1, 0.000055),
    (10**12, 5.0),
)
def test_a_query_costs_whole_megabytes_and_ten_at_least(scanned: int, usd: float) -> None:
    assert query_price(scanned) == pytest.approx(usd)
    assert query_price(scanned, 9.0) == pytest.approx(usd * 9 / 5)
    assert (LEAST_BYTES_CHARGED, LONGEST_QUERY) == (10_000_000, 262_144)
