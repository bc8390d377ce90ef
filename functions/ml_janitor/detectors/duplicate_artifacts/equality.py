"""Whether two objects are the same bytes, proven now: by a SHA of the whole, or by ranges."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from itertools import count, takewhile
from typing import TYPE_CHECKING, Any

from ml_janitor.aws.answers import ReadError
from ml_janitor.aws.boto_client import THREADS
from ml_janitor.core.model import Unreadable, Value
from ml_janitor.core.text import data_size
from ml_janitor.detectors.duplicate_artifacts.comparing import begin, digest
from ml_janitor.detectors.duplicate_artifacts.contents import EVERY_BYTE, Likeness, likeness
from ml_janitor.detectors.duplicate_artifacts.object_heads import needed
from ml_janitor.engine.detector import CannotActError, NotYetError

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws
    from ml_janitor.detectors.duplicate_artifacts.object_heads import Seen

AT_ONCE = THREADS // 2
"""Ranges of each of the two that are read side by side."""

START = sha256(b"").hexdigest()


class Equality:
    """
    The proof that *copy* and *keeper* are the same bytes; *memo* is how far an earlier run came.

    The running proof is a SHA-256 over those of the ranges that were found equal. It holds for the
    two very objects that were read then: any other version or ETag begins anew.
    """

    def __init__(self, aws: Aws, copy: Seen, keeper: Seen, memo: Mapping[str, Any]) -> None:
        self._aws = aws
        self._copy = copy
        self._keeper = keeper
        self._bound = [_identity(copy), _identity(keeper)]
        fits = memo.get("of") == self._bound
        self._next: int = memo["next"] if fits else 0
        self._sum: str = memo["sum"] if fits else START

    def proof(self) -> str:
        """
        What proves it, in words.

        Raises CannotActError if the two differ, NotYetError if the time ran out first, and ReadError.
        """
        match = likeness(self._copy.contents, self._keeper.contents)
        if match.likeness is Likeness.DIFFERENT:
            raise self._differ(match.by)
        if match.likeness is Likeness.PROVEN:
            return match.by
        while begin(self._next) < self._copy.stored.size:
            self._compare()
        return f"{EVERY_BYTE}, SHA-256 of {self._next} ranges' SHA-256: {self._sum}"

    def _compare(self) -> None:
        """The next ranges of both."""
        size = self._copy.stored.size
        numbers = [n for n in range(self._next, self._next + AT_ONCE) if begin(n) < size]
        if not self._aws.has_time:
            raise self._not_yet()
        jobs = [(seen, number) for number in numbers for seen in (self._copy, self._keeper)]
        answers = self._aws.map(lambda job: digest(self._aws, job[0].stored, job[1]), jobs)
        for number, mine, other in zip(numbers, answers[::2], answers[1::2], strict=True):
            if not isinstance(mine, Value) or not isinstance(other, Value):
                raise self._unread(other if isinstance(mine, Value) else mine)
            if mine != other:
                raise self._differ(f"unequal bytes from byte {begin(number)} on")
            self._sum = sha256(bytes.fromhex(self._sum) + mine.value).hexdigest()
            self._next = number + 1

    def _unread(self, signal: object) -> Exception:
        if not self._aws.has_time:
            return self._not_yet()
        said = signal.error if isinstance(signal, Unreadable) else "it is gone"
        return ReadError(f"comparing {self._copy.stored.uri} with {self._keeper.stored.uri}: {said}")

    def _not_yet(self) -> NotYetError:
        done, size = begin(self._next) if self._next else 0, self._copy.stored.size
        shown, whole = data_size(min(done, size)), data_size(size)
        said = f"{shown} of {whole} were compared with {self._keeper.stored.uri} so far"
        return NotYetError(said, {"of": self._bound, "next": self._next, "sum": self._sum})

    def _differ(self, by: str) -> CannotActError:
        return CannotActError(f"it is not the same as {self._keeper.stored.uri} after all: {by}")


def equal(aws: Aws, a: Seen, b: Seen) -> bool:
    """Whether two objects are the same bytes, if necessary by reading both. Raises ReadError."""
    by_checksum = likeness(a.contents, b.contents).likeness
    if by_checksum in {Likeness.PROVEN, Likeness.DIFFERENT}:
        return by_checksum is Likeness.PROVEN
    numbers = list(takewhile(lambda number: begin(number) < a.stored.size, count()))
    jobs = [(seen, number) for number in numbers for seen in (a, b)]
    sums = aws.map(lambda job: needed(digest(aws, job[0].stored, job[1], job[0].version)), jobs)
    return sums[::2] == sums[1::2]


def _identity(seen: Seen) -> list[str | None]:
    one = seen.stored
    return [one.uri, one.etag, seen.version, one.modified.isoformat()]
