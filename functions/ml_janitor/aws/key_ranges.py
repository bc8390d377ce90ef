"""Lists buckets page by page, in several ranges of their keys at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ml_janitor.aws.answers import OutOfTimeError, failure_text
from ml_janitor.aws.client import Aws

if TYPE_CHECKING:
    from concurrent.futures import Future

    from types_boto3_s3.type_defs import ListObjectsV2OutputTypeDef, ObjectTypeDef

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
