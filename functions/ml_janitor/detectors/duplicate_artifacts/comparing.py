"""Compares objects: by a SHA of the whole, else byte by byte, in ranges that are hashed as they stream by."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import replace
from hashlib import sha256
from itertools import count, takewhile
from typing import Any

from ml_janitor.aws.answers import ReadError, read_signal, required_value
from ml_janitor.aws.boto_client import READ_THREADS
from ml_janitor.aws.client import Aws
from ml_janitor.aws.manifests import GET_OBJECT
from ml_janitor.core.signals import Signal, Unreadable, Value
from ml_janitor.core.text import format_size
from ml_janitor.detectors.duplicate_artifacts.artifact import StoredObject
from ml_janitor.detectors.duplicate_artifacts.contents import (
    EVERY_BYTE_READ,
    Likeness,
    ObjectContents,
    compare_contents,
    connected_groups,
)
from ml_janitor.detectors.duplicate_artifacts.object_heads import SeenObject
from ml_janitor.engine.detector import CannotActError, NotYetError

PROBE_BYTES = 1024**2
"""Bytes of the first range: most files that differ do so there already."""

RANGE_BYTES = 8 * 1024**2
"""Bytes of every other range: large enough to keep requests few."""

COMPARE_CHUNK = 1024**2
"""Bytes held in memory per request."""

RANGES_AT_ONCE = READ_THREADS // 2
"""Ranges of each of the two that are read side by side."""

_EMPTY_PROOF = sha256(b"").hexdigest()

OVER_COMPARE_BUDGET = "comparing their bytes would take more than compare_up_to allows for one sweep"


class ContentComparison:
    """
    The objects whose contents are *known*, and the bytes that may still be read to know them better.

    In each set of equally large objects, the first range is read, which separates most of those that differ.
    The still equal ones are read to their ends, the largest first, as far as the remaining bytes allow.
    Objects that turn out different are not read further.
    """

    def __init__(self, aws: Aws, known: MutableMapping[StoredObject, ObjectContents], budget: int) -> None:
        self._aws = aws
        self.known = known
        self.left = budget

    def settle(self, sets: Sequence[Sequence[StoredObject]]) -> None:
        """Read as much as it takes to tell which objects in each of *sets* are the same bytes."""
        probed = self._afford([cell for objects in sets for cell in self._open(objects)], whole=False)
        self._read(probed, 1)
        todo = self._afford([cell for objects in probed for cell in self._open(objects)], whole=True)
        while todo:
            self._read(todo, max(1, READ_THREADS // sum(len(cell) for cell in todo)))
            todo = [cell for objects in todo for cell in self._open(objects)]
        for objects in sets:
            self._share(objects)

    def _open(self, objects: Sequence[StoredObject]) -> list[list[StoredObject]]:
        """
        Return the *objects* that may be the same bytes as another, but are not known to be, in groups.

        Of objects already proven equal, one stands for all: a reading of it holds for the rest.
        """
        firsts = [equal[0] for equal in self._share(objects)]
        cells = connected_groups(firsts, lambda a, b: self._alike(a, b) is not Likeness.DIFFERENT)
        return [cell for cell in cells if len(cell) > 1]

    def _share(self, objects: Sequence[StoredObject]) -> list[list[StoredObject]]:
        """Group the readable *objects* by proven equality, and give each the knowledge of its whole group."""
        readable = [
            artifact
            for artifact in objects
            if self.known[artifact].allowed and not self.known[artifact].unread
        ]
        peers = connected_groups(readable, lambda a, b: self._alike(a, b) is Likeness.PROVEN)
        for equal in peers:
            best = max((self.known[artifact] for artifact in equal), key=lambda known: len(known.digests))
            for artifact in equal:
                self.known[artifact] = replace(
                    self.known[artifact], digests=best.digests, complete=best.complete
                )
        return peers

    def _alike(self, a: StoredObject, b: StoredObject) -> Likeness:
        return compare_contents(self.known[a], self.known[b]).likeness

    def _afford(self, cells: list[list[StoredObject]], *, whole: bool) -> list[list[StoredObject]]:
        """Return the groups that the budget covers, the largest objects first; mark the others as unread."""
        paid = []
        for cell in sorted(cells, key=lambda cell: -cell[0].size):
            size = cell[0].size
            cost = len(cell) * (size - PROBE_BYTES if whole else min(size, PROBE_BYTES))
            if cost <= self.left:
                self.left -= cost
                paid.append(cell)
            else:
                for artifact in cell:
                    self.known[artifact] = replace(self.known[artifact], unread=OVER_COMPARE_BUDGET)
        return paid

    def _read(self, cells: Sequence[Sequence[StoredObject]], count: int) -> None:
        """Read the next *count* ranges of every object in *cells*, all side by side."""
        jobs = [
            (artifact, number)
            for artifact in (artifact for cell in cells for artifact in cell)
            for number in range(len(self.known[artifact].digests), len(self.known[artifact].digests) + count)
            if range_begin(number) < artifact.size
        ]
        answers = self._aws.map(lambda job: hash_range(self._aws, *job), jobs)
        for (artifact, number), answer in zip(jobs, answers, strict=True):
            known = self.known[artifact]
            if known.unread:  # an earlier range is missing, so this range has no place
                continue
            if isinstance(answer, Value):
                complete = range_begin(number + 1) >= artifact.size
                self.known[artifact] = replace(
                    known, digests=(*known.digests, answer.value), complete=complete
                )
            else:
                why = getattr(answer, "error", "it is gone")
                self.known[artifact] = replace(known, unread=f"{artifact.uri} could not be read ({why})")


def range_begin(number: int) -> int:
    """Return the first byte of the range with this *number*."""
    return 0 if number == 0 else PROBE_BYTES + (number - 1) * RANGE_BYTES


def hash_range(aws: Aws, artifact: StoredObject, number: int, version: str | None = None) -> Signal[bytes]:
    """Return the SHA-256 of one range of *artifact*, or of a *version* of it, if it still is as listed."""
    start, stop = range_begin(number), min(artifact.size, range_begin(number + 1))
    which: Any = {"VersionId": version} if version else {}

    def read() -> bytes:
        answer = aws.s3.get_object(
            Bucket=artifact.bucket,
            Key=artifact.key,
            Range=f"bytes={start}-{stop - 1}",
            IfMatch=artifact.etag,
            **which,
        )
        hashed, length = sha256(), 0
        for chunk in answer["Body"].iter_chunks(COMPARE_CHUNK):
            hashed.update(chunk)
            length += len(chunk)
        if length != stop - start:
            raise ReadError(f"{length} bytes instead of {stop - start}")
        return hashed.digest()

    return read_signal(read, source=GET_OBJECT)


class EqualityProof:
    """
    The proof that *copy* and *keeper* are the same bytes; *memo* is the progress of an earlier run.

    The running proof is a SHA-256 over the hashes of the ranges that were found equal. It holds for the two
    very objects that were read then: another version or ETag begins anew, as do ranges of other sizes.
    """

    def __init__(self, aws: Aws, copy: SeenObject, keeper: SeenObject, memo: Mapping[str, Any]) -> None:
        self._aws = aws
        self._copy = copy
        self._keeper = keeper
        self._bound = [_identity(copy), _identity(keeper), [PROBE_BYTES, RANGE_BYTES]]
        fits = memo.get("of") == self._bound
        self._next: int = memo["next"] if fits else 0
        self._sum: str = memo["sum"] if fits else _EMPTY_PROOF

    def proof(self) -> str:
        """
        Return the proof, in words.

        Raises CannotActError if the two differ, NotYetError if the time ran out first, and ReadError.
        """
        match = compare_contents(self._copy.contents, self._keeper.contents)
        if match.likeness is Likeness.DIFFERENT:
            raise self._differ(match.by)
        if match.likeness is Likeness.PROVEN:
            return match.by
        while range_begin(self._next) < self._copy.stored.size:
            self._compare()
        return f"{EVERY_BYTE_READ}, SHA-256 of {self._next} ranges' SHA-256: {self._sum}"

    def _compare(self) -> None:
        size = self._copy.stored.size
        numbers = [n for n in range(self._next, self._next + RANGES_AT_ONCE) if range_begin(n) < size]
        if not self._aws.has_time:
            raise self._not_yet()
        jobs = [(seen, number) for number in numbers for seen in (self._copy, self._keeper)]
        answers = self._aws.map(lambda job: hash_range(self._aws, job[0].stored, job[1]), jobs)
        for number, mine, other in zip(numbers, answers[::2], answers[1::2], strict=True):
            if not isinstance(mine, Value) or not isinstance(other, Value):
                raise self._unread(other if isinstance(mine, Value) else mine)
            if mine != other:
                raise self._differ(f"unequal bytes from byte {range_begin(number)} on")
            self._sum = sha256(bytes.fromhex(self._sum) + mine.value).hexdigest()
            self._next = number + 1

    def _unread(self, signal: object) -> Exception:
        if not self._aws.has_time:
            return self._not_yet()
        why = signal.error if isinstance(signal, Unreadable) else "it is gone"
        return ReadError(f"comparing {self._copy.stored.uri} with {self._keeper.stored.uri}: {why}")

    def _not_yet(self) -> NotYetError:
        size = self._copy.stored.size
        shown, whole = format_size(min(range_begin(self._next), size)), format_size(size)
        why = f"{shown} of {whole} were compared with {self._keeper.stored.uri} so far"
        return NotYetError(why, {"of": self._bound, "next": self._next, "sum": self._sum})

    def _differ(self, by: str) -> CannotActError:
        return CannotActError(f"it is not the same as {self._keeper.stored.uri} after all: {by}")


def same_bytes(aws: Aws, a: SeenObject, b: SeenObject) -> bool:
    """Return whether two objects are the same bytes, if necessary by reading both. Raises ReadError."""
    by_checksum = compare_contents(a.contents, b.contents).likeness
    if by_checksum in {Likeness.PROVEN, Likeness.DIFFERENT}:
        return by_checksum is Likeness.PROVEN
    numbers = list(takewhile(lambda number: range_begin(number) < a.stored.size, count()))
    jobs = [(seen, number) for number in numbers for seen in (a, b)]
    sums = aws.map(lambda job: required_value(hash_range(aws, job[0].stored, job[1], job[0].version)), jobs)
    return sums[::2] == sums[1::2]


def _identity(seen: SeenObject) -> list[str | None]:
    artifact = seen.stored
    return [artifact.uri, artifact.etag, seen.version, artifact.modified.isoformat()]
