"""
Read S3: the account's buckets, the newest object and the size under a prefix, and whole buckets.

A large bucket is listed in several ranges of its keys at once, or queried from its inventory by Athena.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from ml_janitor.aws.calls import Listing, OutOfTimeError, ReadError, as_signal, failure_text, read_signal
from ml_janitor.aws.client import Aws
from ml_janitor.aws.tags import tags_of_list
from ml_janitor.core.model import Absent, Signal, Tags, Unreadable, Value, map_signal

if TYPE_CHECKING:
    from concurrent.futures import Future

    from types_boto3_s3.type_defs import ListObjectsV2OutputTypeDef, ObjectTypeDef

LIST_BUCKETS = "s3:ListBuckets"
LIST_OBJECTS = "s3:ListObjectsV2"
GET_BUCKET_LIFECYCLE = "s3:GetBucketLifecycleConfiguration"
GET_OBJECT_LOCK = "s3:GetObjectLockConfiguration"
GET_VERSIONING = "s3:GetBucketVersioning"
GET_OBJECT_TAGGING = "s3:GetObjectTagging"

NO_LIFECYCLE = ("NoSuchLifecycleConfiguration",)
NO_LOCK = ("ObjectLockConfigurationNotFoundError", "ObjectLockConfigurationNotFound")
"""Error codes for a missing configuration."""

BUCKETS_PAGE = 1000
"""Buckets that a page of ListBuckets can have."""

MOST_KEY_PAGES = 200
"""Pages of 1,000 keys under one prefix after which it counts as unreadable."""


def list_own_buckets(aws: Aws) -> Listing[tuple[str, datetime]]:
    """List name and creation date of the account's own buckets in the region."""

    def read() -> Listing[tuple[str, datetime]]:
        return aws.listing(
            LIST_BUCKETS,
            "Buckets",
            lambda bucket: (bucket["Name"], bucket["CreationDate"]),
            BUCKETS_PAGE,
            lambda bucket: f"arn:{aws.partition}:s3:::{bucket['Name']}",
            BucketRegion=aws.region,
        )

    return aws.once("own buckets", read)


def list_owned_names(aws: Aws) -> Listing[str]:
    """List the names of all buckets that the account owns, in every region."""
    return aws.listing(LIST_BUCKETS, "Buckets", lambda bucket: str(bucket["Name"]), BUCKETS_PAGE)


def read_object_lock(aws: Aws, bucket: str) -> Signal[str]:
    """Return the state of Object Lock: "Enabled", or absent where it never was on."""
    read = partial(aws.s3.get_object_lock_configuration, Bucket=bucket)
    lock = read_signal(lambda: read()["ObjectLockConfiguration"], source=GET_OBJECT_LOCK, absent=NO_LOCK)
    return absent_if_empty(map_signal(lock, lambda found: found.get("ObjectLockEnabled")))


def read_versioning(aws: Aws, bucket: str) -> Signal[str]:
    """Return whether *bucket* keeps versions: "Enabled", "Suspended", or absent where it never did."""

    def read() -> str | None:
        return aws.s3.get_bucket_versioning(Bucket=bucket).get("Status")

    return absent_if_empty(read_signal(read, source=GET_VERSIONING))


def absent_if_empty(signal: Signal[str | None]) -> Signal[str]:
    """Return *signal*, with an empty value or None turned into absence."""
    match signal:
        case Value(str(value), source) if value:
            return Value(value, source)
        case Value(_, source):
            return Absent(source)
        case other:
            return other


@as_signal(GET_OBJECT_TAGGING)
def read_object_tags(aws: Aws, bucket: str, key: str) -> Tags:
    """Return the tags of one object."""
    return tags_of_list(aws.s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"])


@dataclass(frozen=True, slots=True)
class NewestObject:
    """The object written last, and when."""

    uri: str
    modified: datetime


def find_newest_object(
    aws: Aws, folders: Iterable[str], *, fresh: datetime, ignore: Sequence[str] = ()
) -> Signal[NewestObject | None]:
    """
    Return the newest object in *folders* ("s3://bucket/key/"), not counting keys that contain one of
    *ignore*.

    Keys are listed by name, so the newest is known only at the end of a listing; an object written after
    *fresh* ends the search at once. `Value(None)` means a complete listing without objects. One
    unreadable folder makes the answer `Unreadable`, unless another is fresh.
    """
    found: NewestObject | None = None
    unreadable: Unreadable | None = None
    for folder in folders:
        match _newest(aws, folder, fresh, ignore):
            case Value(candidate) if candidate is not None:
                if candidate.modified > fresh:
                    return Value(candidate, LIST_OBJECTS, candidate.modified)
                found = candidate if found is None or candidate.modified > found.modified else found
            case Unreadable(error, source):
                unreadable = Unreadable(f"{folder}: {error}", source)
            case _:
                pass
    return unreadable or Value(found, LIST_OBJECTS, found.modified if found else None)


@as_signal(LIST_OBJECTS)
def _newest(aws: Aws, folder: str, fresh: datetime, ignore: Sequence[str]) -> NewestObject | None:
    bucket, prefix = split_uri(folder)
    found: NewestObject | None = None
    for entry in _entries(aws, bucket, prefix):
        if any(part in entry["Key"] for part in ignore):
            continue
        if found is None or entry["LastModified"] > found.modified:
            found = NewestObject(f"s3://{bucket}/{entry['Key']}", entry["LastModified"])
        if found.modified > fresh:
            return found
    return found


def stored_size(aws: Aws, uri: str) -> Signal[int]:
    """Return the bytes of the object, folder or bucket *uri*; `Absent` if nothing is stored there."""
    match sizes_by_class(aws, uri):
        case Value(sizes):
            return Value(sum(sizes.values()), LIST_OBJECTS) if sizes else Absent(LIST_OBJECTS)
        case unread:
            return unread


@as_signal(LIST_OBJECTS)
def sizes_by_class(aws: Aws, uri: str) -> Mapping[str, int]:
    """Return the bytes under *uri* by storage class."""
    bucket, key = split_uri(uri)
    folder, found = f"{key.rstrip('/')}/" if key else "", dict[str, int]()
    for entry in _entries(aws, bucket, key):
        if entry["Key"] == key or entry["Key"].startswith(folder):
            held = entry.get("StorageClass", "STANDARD")
            found[held] = found.get(held, 0) + entry["Size"]
    return found


@as_signal(LIST_OBJECTS)
def list_etags(aws: Aws, uri: str) -> list[tuple[str, str]]:
    """Return the objects below *uri*: the rest of each key, and its ETag."""
    bucket, key = split_uri(uri)
    return [(entry["Key"].removeprefix(key), entry["ETag"]) for entry in _entries(aws, bucket, key)]


def size_outside(aws: Aws, own: Iterable[str], others: Iterable[str]) -> Signal[int]:
    """Return the bytes of the addresses in *own* that do not overlap with an address of *others*."""
    beside = tuple(others)
    alone = {
        uri for uri in own if not any(other.startswith(uri) or uri.startswith(other) for other in beside)
    }
    sizes = [stored_size(aws, uri) for uri in sorted(alone) if uri.startswith("s3://")]
    unread = next((signal for signal in sizes if isinstance(signal, Unreadable)), None)
    return unread or Value(sum(signal.value for signal in sizes if isinstance(signal, Value)), LIST_OBJECTS)


def _entries(aws: Aws, bucket: str, prefix: str) -> Iterator[ObjectTypeDef]:
    """Yield every object whose key begins with *prefix*. Raises ReadError after too many pages."""
    pages = aws.pages(LIST_OBJECTS, Bucket=bucket, Prefix=prefix)
    for turned, page in enumerate(pages, start=1):
        yield from page["Contents"] if page["KeyCount"] else ()
        if turned == MOST_KEY_PAGES and page["IsTruncated"]:
            raise ReadError(f"ListObjectsV2: more than {MOST_KEY_PAGES} pages, not read to the end")


def split_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key of "s3://bucket/key". Raises ReadError if *uri* is not an s3:// address."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise ReadError(f"{uri!r} is not an s3:// address")
    return bucket, key


# --- listings in several ranges of keys -----------------------------------------------------------

PAGES_AT_ONCE = 8
"""Pages requested at once. More would only wait: one processor parses the answers."""

SPLIT_AFTER = 16
"""Pages after which a range may be split (again): one reader reads a smaller range, as a pager does."""

FIRST_PROBES, PROBES_PER_PAGE = 20, 0.1
"""Calls that look for a place to split: at first, and for each page."""

LAST_CHARACTER = "\U0010ffff"
"""The last character of Unicode: a key that begins with *start* comes before *start* + LAST."""

LONGEST_KEY = 1024
"""The most bytes of a key."""


@dataclass(slots=True, eq=False)
class KeyRange:
    """
    The keys of *bucket* that come after *after*, up to and including *upto*; None is the bucket's end.

    S3 lists keys by their UTF-8 bytes, which is the order of Python's strings. All remaining keys share
    *shared* letters at their beginning, as far as is known.
    """

    bucket: str
    after: str = ""
    upto: str | None = None
    shared: int = 0
    pages: int = 0
    token: str | None = None

    def split(self, at: str, depth: int) -> KeyRange | None:
        """Keep the keys up to *at*, and return the rest; None if the range was read beyond *at* meanwhile."""
        if not self.after < at or (self.upto is not None and self.upto <= at):
            return None
        rest = KeyRange(self.bucket, at, self.upto, min(self.shared, depth))
        self.upto, self.shared, self.pages = at, depth, 0
        return rest


@dataclass(slots=True)
class RangedListing:
    """
    A listing of all keys in *ranges*, of buckets whose region *regions* names.

    A key that exists during the whole listing is listed once, whatever else is written, replaced or
    deleted. Other keys may be listed or not. *ranges* are the rest after the pages given so far: another
    listing of these continues exactly there. *errors* holds, by bucket, the error that ended its listing;
    *late* tells that the time ran out. *read* and *probed* count the calls.
    """

    aws: Aws
    regions: dict[str, str]
    ranges: list[KeyRange]
    errors: dict[str, str] = field(default_factory=dict)
    late: bool = False
    read: int = 0
    probed: int = 0
    _reading: dict[Future[ListObjectsV2OutputTypeDef], KeyRange] = field(default_factory=dict)
    _probing: dict[Future[tuple[str, int] | None], KeyRange] = field(default_factory=dict)

    def pages(self) -> Iterator[tuple[str, ListObjectsV2OutputTypeDef]]:
        """Yield every page with its bucket, without keys that another range lists."""
        with futures.ThreadPoolExecutor(PAGES_AT_ONCE, thread_name_prefix="list") as readers:
            yield from self._pages(readers)

    def _pages(self, readers: futures.Executor) -> Iterator[tuple[str, ListObjectsV2OutputTypeDef]]:
        waiting = [*self.ranges]
        while True:
            waiting = [part for part in waiting if not self.late and part.bucket not in self.errors]
            while waiting and len(self._reading) < PAGES_AT_ONCE:
                part = waiting.pop(0)
                self._reading[readers.submit(self._page, part)] = part
            if not self._reading:
                return
            if not waiting and not self._probing and len(self._reading) < PAGES_AT_ONCE:
                self._probe(readers)
            calls: list[Future[Any]] = [*self._reading, *self._probing]
            done, _ = futures.wait(calls, return_when=futures.FIRST_COMPLETED)
            waiting += [rest for call in [*self._probing] if call in done and (rest := self._rest(call))]
            for call in [call for call in self._reading if call in done]:
                part = self._reading.pop(call)
                answer = self._answer(call)
                if isinstance(answer, str):
                    self.errors.setdefault(part.bucket, answer)
                elif answer is not None:
                    self._take(part, answer)
                    waiting += [part] if part in self.ranges else []
                    yield part.bucket, answer

    def _take(self, part: KeyRange, page: ListObjectsV2OutputTypeDef) -> None:
        """Keep on the *page* only keys of the range *part*, and move the range's start behind the page."""
        found, more = page_objects(page), page["IsTruncated"]
        self.read += 1
        if part.upto is not None and found and found[-1]["Key"] >= part.upto:
            page["Contents"] = list(found[: bisect_right(found, part.upto, key=lambda entry: entry["Key"])])
            page["KeyCount"], more = len(page["Contents"]), False
        if more:
            part.after = found[-1]["Key"] if found else part.after
            part.token, part.pages = page["NextContinuationToken"], part.pages + 1
        else:
            self.ranges.remove(part)

    def _answer[T](self, call: Future[T]) -> T | str | None:
        """Return the answer of *call*, else why it failed; None if it was out of time."""
        try:
            return call.result()
        except OutOfTimeError:
            self.late = True
            return None
        except Exception as error:  # anything that is not a failed AWS call is raised again
            if (problem := failure_text(error)) is None:
                raise
            return problem

    def _page(self, part: KeyRange) -> ListObjectsV2OutputTypeDef:
        given = {"ContinuationToken": part.token, "StartAfter": part.after}
        place = next(({name: value} for name, value in given.items() if value), {})
        s3 = self.aws.client("s3", self.regions[part.bucket])
        answer: ListObjectsV2OutputTypeDef = s3.list_objects_v2(Bucket=part.bucket, **place)
        page_objects(answer)
        if answer["IsTruncated"]:
            answer["NextContinuationToken"]
        return answer

    # --- splitting ----------------------------------------------------------------------------

    def _probe(self, readers: futures.Executor) -> None:
        """Look for a place to split the range that was read for longest, if any is worth it."""
        worth = [part for part in self._reading.values() if part.pages >= SPLIT_AFTER]
        if worth and self.probed <= FIRST_PROBES + PROBES_PER_PAGE * self.read:
            longest = max(worth, key=lambda part: part.pages)
            longest.pages = 0
            place = (longest.bucket, longest.after, longest.upto, longest.shared)
            self._probing[readers.submit(self._place_to_split, place)] = longest

    def _place_to_split(self, place: tuple[str, str, str | None, int]) -> tuple[str, int] | None:
        """
        Return where to split the rest of a range, and how many letters the keys before that place share.

        The keys diverge after the longest beginning that all of them share with the last key read. The search
        halves the possible lengths, and then approximates the middle of the letters that follow.
        """
        bucket, after, upto, low = place
        high, branch = len(after), ""
        while low < high:
            depth = (low + high) // 2
            if key := self._first(bucket, after[: depth + 1], upto):
                high, branch = depth, key[depth : depth + 1]
            else:
                low = depth + 1
        if not branch:
            return None
        start, letter = after[:low], max(after[low], branch)
        most = next((end for end in "9Zz" if letter < end), letter)
        while letter < most:
            middle = chr((ord(letter) + ord(most)) // 2)
            if self._first(bucket, start + middle, upto):
                return start + middle + LAST_CHARACTER, low
            most = middle
        return after[: low + 1] + LAST_CHARACTER, low + 1

    def _first(self, bucket: str, start: str, upto: str | None) -> str | None:
        """Return the first key after all that begin with *start*; None if it comes after *upto*."""
        after = start + LAST_CHARACTER
        if len(after.encode()) > LONGEST_KEY:
            return None
        self.probed += 1
        s3 = self.aws.client("s3", self.regions[bucket])
        found = page_objects(s3.list_objects_v2(Bucket=bucket, StartAfter=after, MaxKeys=1))
        return found[0]["Key"] if found and (upto is None or found[0]["Key"] <= upto) else None

    def _rest(self, split: Future[tuple[str, int] | None]) -> KeyRange | None:
        """Return the split-off range; None if it was read meanwhile, or the search failed."""
        part, place = self._probing.pop(split), self._answer(split)
        rest = part.split(*place) if isinstance(place, tuple) and part in self.ranges else None
        self.ranges += [rest] if rest else []
        return rest


def page_objects(page: ListObjectsV2OutputTypeDef) -> Sequence[ObjectTypeDef]:
    """Return the objects on a page: an empty page lacks Contents, a cut-off page lacks the count too."""
    return page["Contents"] if page["KeyCount"] else ()


# --- Athena queries -------------------------------------------------------------------------------

type AthenaRow = tuple[str | None, ...]
"""The values of one row as text, as Athena answers all of them; None is SQL's NULL."""

USD_PER_TB_SCANNED = 5.0
"""The price in most regions (https://aws.amazon.com/athena/pricing/); São Paulo is dearer."""

LEAST_BYTES_CHARGED = 10 * 10**6
"""The least bytes charged for a query (https://aws.amazon.com/athena/pricing/)."""

LONGEST_QUERY = 262_144
"""The most bytes of a query's text (API reference, StartQueryExecution: QueryString)."""

ATHENA_PAGE = 1000
"""Rows to a page (API reference, GetQueryResults: MaxResults)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AthenaPlace:
    """The database and workgroup of queries, and the folder of their results ("s3://bucket/folder/")."""

    database: str
    workgroup: str
    output: str
    catalog: str = "AwsDataCatalog"


@dataclass(frozen=True, slots=True)
class AthenaAnswer:
    """All rows of a query, and the bytes that Athena scanned for it."""

    rows: tuple[AthenaRow, ...]
    scanned: int


def run_query(aws: Aws, sql: str, columns: Sequence[str], place: AthenaPlace) -> AthenaAnswer:
    """
    Run *sql*, which selects *columns*, and return its rows.

    The pace (`aws.pace.UNKNOWN`) decides how often the janitor asks Athena for the state. Raises
    ReadError, with Athena's reason, if the query failed, was cancelled, or its answer is not complete.
    """
    client: Any = aws.client("athena")
    begun = client.start_query_execution(
        QueryString=sql,
        QueryExecutionContext={"Catalog": place.catalog, "Database": place.database},
        WorkGroup=place.workgroup,
        ResultConfiguration={"OutputLocation": place.output},
    )["QueryExecutionId"]
    scanned = _ended(client, begun)
    pages = client.get_paginator("get_query_results").paginate(
        QueryExecutionId=begun, PaginationConfig={"PageSize": ATHENA_PAGE}
    )
    rows = _rows(pages)
    if (header := next(rows, ())) != tuple(columns):
        raise ReadError(f"Athena query {begun}: its answer has the columns {header}, not {tuple(columns)}")
    return AthenaAnswer(tuple(rows), scanned)


def _ended(client: Any, query: str) -> int:
    """Wait for *query* to succeed; return the bytes that it scanned."""
    while True:
        execution = client.get_query_execution(QueryExecutionId=query)["QueryExecution"]
        state = execution["Status"]["State"]
        if state == "SUCCEEDED":
            scanned: int = execution["Statistics"]["DataScannedInBytes"]
            return scanned
        if state not in {"QUEUED", "RUNNING"}:
            why = execution["Status"].get("StateChangeReason", "Athena does not say why")
            raise ReadError(f"Athena query {query} {state.lower()}: {why}")


def _rows(pages: Any) -> Iterator[AthenaRow]:
    """Yield the rows of a query's answer, the names of its columns first."""
    for page in pages:
        for row in page["ResultSet"]["Rows"]:
            yield tuple(cell.get("VarCharValue") for cell in row["Data"])


def query_price(scanned: int, usd_per_tb: float = USD_PER_TB_SCANNED) -> float:
    """Return the US dollars for a query that scans so many bytes: whole megabytes, and at least ten."""
    return max(LEAST_BYTES_CHARGED, math.ceil(scanned / 10**6) * 10**6) / 10**12 * usd_per_tb
