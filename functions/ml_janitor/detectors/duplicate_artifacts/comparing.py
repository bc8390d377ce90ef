"""Comparing objects byte by byte: ranges of all of them side by side, hashed as they stream by."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from ml_janitor.aws.answers import ReadError, attempt
from ml_janitor.aws.boto_client import THREADS
from ml_janitor.core.model import Signal, Value
from ml_janitor.detectors.duplicate_artifacts.contents import Contents, Likeness, connected, likeness

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws
    from ml_janitor.detectors.duplicate_artifacts.artifact import Stored

GET_OBJECT = "s3:GetObject"

PROBE = 1024**2
"""Bytes of the first range: most files that differ do so there already."""

RANGE = 8 * 1024**2
"""Bytes of every other range: large enough to keep requests few."""

CHUNK = 1024**2
"""Bytes held in memory per request."""

OVER_BUDGET = "comparing their bytes would take more than compare_up_to allows for one sweep"


class Comparison:
    """
    The objects whose contents are *known*, and how many more bytes may be read to know them better.

    Of each set of equally large objects the first range is read, which parts most of those that
    differ; what is still alike is read to its end if all of that fits into what is left, the largest
    first. What differs on the way is not read further.
    """

    def __init__(self, aws: Aws, known: MutableMapping[Stored, Contents], budget: int) -> None:
        self._aws = aws
        self.known = known
        self.left = budget

    def settle(self, sets: Sequence[Sequence[Stored]]) -> None:
        """Read what is needed to tell which objects in each of *sets* are the same bytes."""
        probed = self._afford([cell for one in sets for cell in self._open(one)], whole=False)
        self._read(probed, 1)
        todo = self._afford([cell for one in probed for cell in self._open(one)], whole=True)
        while todo:
            self._read(todo, max(1, THREADS // sum(len(cell) for cell in todo)))
            todo = [cell for one in todo for cell in self._open(one)]
        for one in sets:
            self._share(one)

    def _open(self, objects: Sequence[Stored]) -> list[list[Stored]]:
        """
        Those of *objects* that may be the same bytes as another, but are not known to be, together.

        Of objects already proven equal, one stands for all: what is read of it is true of the rest.
        """
        firsts = [equal[0] for equal in self._share(objects)]
        cells = connected(firsts, lambda a, b: self._alike(a, b) is not Likeness.DIFFERENT)
        return [cell for cell in cells if len(cell) > 1]

    def _share(self, objects: Sequence[Stored]) -> list[list[Stored]]:
        """The readable ones of *objects*, those proven equal together, each knowing what is known of any."""
        readable = [one for one in objects if not self.known[one].unread]
        peers = connected(readable, lambda a, b: self._alike(a, b) is Likeness.PROVEN)
        for equal in peers:
            best = max((self.known[one] for one in equal), key=lambda known: len(known.digests))
            for one in equal:
                self.known[one] = replace(self.known[one], digests=best.digests, complete=best.complete)
        return peers

    def _alike(self, a: Stored, b: Stored) -> Likeness:
        return likeness(self.known[a], self.known[b]).likeness

    def _afford(self, cells: list[list[Stored]], *, whole: bool) -> list[list[Stored]]:
        """The cells that can be paid for, the largest objects first; the rest are told why not."""
        paid = []
        for cell in sorted(cells, key=lambda cell: -cell[0].size):
            size = cell[0].size
            cost = len(cell) * (max(0, size - PROBE) if whole else min(size, PROBE))
            if cost <= self.left:
                self.left -= cost
                paid.append(cell)
            else:
                for one in cell:
                    self.known[one] = replace(self.known[one], unread=OVER_BUDGET)
        return paid

    def _read(self, cells: Sequence[Sequence[Stored]], count: int) -> None:
        """The next *count* ranges of every object in *cells*, all side by side."""
        jobs = [
            (one, number)
            for one in (one for cell in cells for one in cell)
            for number in range(len(self.known[one].digests), len(self.known[one].digests) + count)
            if begin(number) < one.size
        ]
        answers = self._aws.map(lambda job: digest(self._aws, *job), jobs)
        for (one, number), answer in zip(jobs, answers, strict=True):
            known = self.known[one]
            if known.unread:  # an earlier range is missing, so this one has no place
                continue
            if isinstance(answer, Value):
                complete = begin(number + 1) >= one.size
                self.known[one] = replace(known, digests=(*known.digests, answer.value), complete=complete)
            else:
                said = getattr(answer, "error", "it is gone")
                self.known[one] = replace(known, unread=f"{one.uri} could not be read ({said})")


def begin(number: int) -> int:
    """The first byte of the range with this *number*."""
    return 0 if number == 0 else PROBE + (number - 1) * RANGE


def digest(aws: Aws, one: Stored, number: int, version: str | None = None) -> Signal[bytes]:
    """SHA-256 of one range of *one*, or of a *version* of it, provided that it still is what was listed."""
    start, stop = begin(number), min(one.size, begin(number + 1))
    which: Any = {"VersionId": version} if version else {}

    def read() -> bytes:
        answer = aws.s3.get_object(
            Bucket=one.bucket, Key=one.key, Range=f"bytes={start}-{stop - 1}", IfMatch=one.etag, **which
        )
        hashed, count = sha256(), 0
        for chunk in answer["Body"].iter_chunks(CHUNK):
            hashed.update(chunk)
            count += len(chunk)
        if count != stop - start:
            raise ReadError(f"{count} bytes instead of {stop - start}")
        return hashed.digest()

    return attempt(read, source=GET_OBJECT)
