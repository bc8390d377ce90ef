"""Lists buckets page by page, in several ranges of their keys at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ml_janitor.aws.answers import OutOfTimeError, failure
from ml_janitor.aws.client import Aws

if TYPE_CHECKING:
    from concurrent.futures import Future

    from types_boto3_s3.type_defs import ListObjectsV2OutputTypeDef, ObjectTypeDef

AT_ONCE = 8
"""Pages asked for at once. More only wait for one another: one processor takes the answers apart."""

SPLIT_AFTER = 16
"""Pages after which a range may be split (again): what is smaller is read by one reader, as a pager does."""

FIRST_PROBES, PROBES_PER_PAGE = 20, 0.1
"""Calls that look for where to split: at first, and for each page."""

LAST = "\U0010ffff"
"""The last letter there is: a key that begins with *start* comes before *start* + LAST."""

LONGEST = 1024
"""Bytes of a key at most."""


@dataclass(slots=True, eq=False)
class KeyRange:
    """
    The keys of *bucket* that come after *after*, up to and with *upto*; None is the bucket's end.

    S3 lists keys by their UTF-8 bytes, which is the order of Python's strings. *shared* letters at their
    beginning are the same in all keys that are left, as far as is known.
    """

    bucket: str
    after: str = ""
    upto: str | None = None
    shared: int = 0
    pages: int = 0
    token: str | None = None

    def split(self, at: str, depth: int) -> KeyRange | None:
        """Keep what comes up to *at*, and answer the rest; None if it was read beyond that meanwhile."""
        if not self.after < at or (self.upto is not None and self.upto <= at):
            return None
        rest = KeyRange(self.bucket, at, self.upto, min(self.shared, depth))
        self.upto, self.shared, self.pages = at, depth, 0
        return rest


@dataclass(slots=True)
class RangedListing:
    """
    A listing of all keys in *ranges*, of buckets whose region *regions* names.

    A key that is there all the while is listed once, whatever else is written, replaced or deleted. One
    that is not may be listed or not, as it is at that moment. *ranges* are what is left besides the pages
    given so far: another listing of these goes on exactly there. *errors* says, by bucket, what broke its
    listing off; *late* is whether the time ran out. *read* and *probed* count the calls.
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
        """Every page with its bucket, less what was listed in another range."""
        with futures.ThreadPoolExecutor(AT_ONCE, thread_name_prefix="list") as readers:
            yield from self._pages(readers)

    def _pages(self, readers: futures.Executor) -> Iterator[tuple[str, ListObjectsV2OutputTypeDef]]:
        waiting = [*self.ranges]
        while True:
            waiting = [one for one in waiting if not self.late and one.bucket not in self.errors]
            while waiting and len(self._reading) < AT_ONCE:
                one = waiting.pop(0)
                self._reading[readers.submit(self._page, one)] = one
            if not self._reading:
                return
            if not waiting and not self._probing and len(self._reading) < AT_ONCE:
                self._probe(readers)
            calls: list[Future[Any]] = [*self._reading, *self._probing]
            done, _ = futures.wait(calls, return_when=futures.FIRST_COMPLETED)
            waiting += [rest for call in [*self._probing] if call in done and (rest := self._rest(call))]
            for call in [call for call in self._reading if call in done]:
                one = self._reading.pop(call)
                answer = self._answer(call)
                if isinstance(answer, str):
                    self.errors.setdefault(one.bucket, answer)
                elif answer is not None:
                    self._take(one, answer)
                    waiting += [one] if one in self.ranges else []
                    yield one.bucket, answer

    def _take(self, one: KeyRange, page: ListObjectsV2OutputTypeDef) -> None:
        """Leave on the *page* what is in the range *one*, and of that range what comes after the page."""
        found, more = entries(page), page["IsTruncated"]
        self.read += 1
        if one.upto is not None and found and found[-1]["Key"] >= one.upto:
            page["Contents"] = list(found[: bisect_right(found, one.upto, key=lambda each: each["Key"])])
            page["KeyCount"], more = len(page["Contents"]), False
        if more:
            one.after = found[-1]["Key"] if found else one.after
            one.token, one.pages = page["NextContinuationToken"], one.pages + 1
        else:
            self.ranges.remove(one)

    def _answer[T](self, call: Future[T]) -> T | str | None:
        """What *call* answered, else why it failed; None if it was out of time."""
        try:
            return call.result()
        except OutOfTimeError:
            self.late = True
            return None
        except Exception as error:  # anything that is not a failed AWS call is raised again
            if (problem := failure(error)) is None:
                raise
            return problem

    def _page(self, one: KeyRange) -> ListObjectsV2OutputTypeDef:
        given = {"ContinuationToken": one.token, "StartAfter": one.after}
        place = next(({name: value} for name, value in given.items() if value), {})
        s3 = self.aws.client("s3", self.regions[one.bucket])
        answer: ListObjectsV2OutputTypeDef = s3.list_objects_v2(Bucket=one.bucket, **place)
        entries(answer)
        if answer["IsTruncated"]:
            answer["NextContinuationToken"]
        return answer

    # --- splitting ----------------------------------------------------------------------------

    def _probe(self, readers: futures.Executor) -> None:
        """Look for where to split the range that was read for longest, if any is worth it."""
        worth = [one for one in self._reading.values() if one.pages >= SPLIT_AFTER]
        if worth and self.probed <= FIRST_PROBES + PROBES_PER_PAGE * self.read:
            longest = max(worth, key=lambda one: one.pages)
            longest.pages = 0
            place = (longest.bucket, longest.after, longest.upto, longest.shared)
            self._probing[readers.submit(self._place_to_split, place)] = longest

    def _place_to_split(self, place: tuple[str, str, str | None, int]) -> tuple[str, int] | None:
        """
        Where to split what is left of a range, and how many letters the keys before that share.

        Its keys part after the longest beginning that all of them share with the last one read. That is
        found by halving the possible lengths, and then about the middle of the letters that come after it.
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
                return start + middle + LAST, low
            most = middle
        return after[: low + 1] + LAST, low + 1

    def _first(self, bucket: str, start: str, upto: str | None) -> str | None:
        """The first key after all that begin with *start*; None if it comes after *upto*."""
        after = start + LAST
        if len(after.encode()) > LONGEST:
            return None
        self.probed += 1
        s3 = self.aws.client("s3", self.regions[bucket])
        found = entries(s3.list_objects_v2(Bucket=bucket, StartAfter=after, MaxKeys=1))
        return found[0]["Key"] if found and (upto is None or found[0]["Key"] <= upto) else None

    def _rest(self, split: Future[tuple[str, int] | None]) -> KeyRange | None:
        """What is split off: nothing, if that was read meanwhile, or the search failed."""
        one, place = self._probing.pop(split), self._answer(split)
        rest = one.split(*place) if isinstance(place, tuple) and one in self.ranges else None
        self.ranges += [rest] if rest else []
        return rest


def entries(page: ListObjectsV2OutputTypeDef) -> Sequence[ObjectTypeDef]:
    """The objects on a page: an empty page has no such member, a cut-off one neither that nor a count."""
    return page["Contents"] if page["KeyCount"] else ()
