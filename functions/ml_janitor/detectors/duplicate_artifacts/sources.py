"""Where the artifacts of a survey come from, and which of them have the size of another one."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Protocol

from ml_janitor.detectors.duplicate_artifacts.artifact import Folder, Shelf, Stored

MOST = 50_000
"""Artifacts that one survey compares: each takes some kilobytes until the report is written."""


def order(one: Stored) -> tuple[int, str, str, str]:
    """Largest first, then by ETag: what may be a copy of one another stands together."""
    return -one.size, one.etag, one.bucket, one.key


class Source(Protocol):
    """
    The artifacts of some buckets, wherever they were listed.

    A survey reads each source once: first `artifacts`, then `notice`.
    """

    @property
    def shelves(self) -> Mapping[str, Shelf]:
        """The buckets by name, each with why it could not be read to its end, if it could not."""

    def artifacts(self) -> Iterator[Stored]:
        """
        Every artifact that may have the size of another one, each once, in `order`.

        One may be left out only if no other artifact of its buckets has its size.
        """

    def notice(self, folders: AbstractSet[Folder]) -> None:
        """Put on the shelves what lies in *folders*: `mixed`, `models` and `weights`."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """The artifacts whose size another one has, and how many of them were too many to compare."""

    artifacts: tuple[Stored, ...]
    left_out: int


def candidates(
    streams: Iterable[Iterator[Stored]], only: AbstractSet[int] | None = None, *, most: int = MOST
) -> Candidates:
    """
    The artifacts of *streams*, which are in `order`, whose size another one has too.

    With *only*, those of these sizes, alone or not. Of more than *most*, the largest are taken: all of a
    size, or none. Nothing else is held in memory.
    """
    found: list[Stored] = []
    left_out = 0
    for size, group in groupby(heapq.merge(*streams, key=order), key=lambda one: one.size):
        if only is not None and size not in only:
            continue
        members = iter(group)
        some = list(islice(members, most - len(found)))
        more = sum(1 for _ in members)
        if more:
            left_out += len(some) + more if only is not None or len(some) + more > 1 else 0
        elif only is not None or len(some) > 1:
            found += some
    return Candidates(tuple(found), left_out)


def folders_of(found: Sequence[Stored]) -> frozenset[Folder]:
    """The folders that say whether *found* are models by themselves: their own, and those above."""
    return frozenset(
        (one.bucket, one.key[:end])
        for one in found
        for end in (0, *(at for at, letter in enumerate(one.key, 1) if letter == "/"))
    )
