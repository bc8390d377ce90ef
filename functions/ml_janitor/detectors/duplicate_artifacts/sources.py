"""The sources of a survey's artifacts, and the artifacts that share their size with another."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Protocol

from ml_janitor.detectors.duplicate_artifacts.artifact import BucketIndex, FolderKey, StoredObject

MOST_COMPARED = 50_000
"""Most artifacts that one survey compares: each takes some kilobytes until the report is written."""


def artifact_order(artifact: StoredObject) -> tuple[int, str, str, str]:
    """Return the sort key: the largest first, then by ETag, so that likely copies stand together."""
    return -artifact.size, artifact.etag, artifact.bucket, artifact.key


class ArtifactSource(Protocol):
    """
    The artifacts of some buckets, wherever they were listed.

    A survey reads each source once: first `artifacts`, then `notice`.
    """

    @property
    def shelves(self) -> Mapping[str, BucketIndex]:
        """The buckets by name, each with the reason why it could not be read to its end, if any."""

    def artifacts(self) -> Iterator[StoredObject]:
        """
        Yield every artifact that may share its size with another, each once, in `order`.

        An artifact may be left out only if no other artifact of its buckets has its size.
        """

    def notice(self, folders: AbstractSet[FolderKey]) -> None:
        """Put the facts about *folders* on the shelves: `mixed`, `models` and `weights`."""


@dataclass(frozen=True, slots=True)
class CopyCandidates:
    """The artifacts that share their size with another, and the number that were too many to compare."""

    artifacts: tuple[StoredObject, ...]
    left_out: int


def find_candidates(
    streams: Iterable[Iterator[StoredObject]],
    only: AbstractSet[int] | None = None,
    *,
    most: int = MOST_COMPARED,
) -> CopyCandidates:
    """
    Return the artifacts of *streams*, which are in `order`, that share their size with another.

    With *only*, return the artifacts of these sizes, alone or not. Of more than *most*, the largest are
    taken: all of a size, or none. Nothing else stays in memory.
    """
    found: list[StoredObject] = []
    left_out = 0
    for size, group in groupby(heapq.merge(*streams, key=artifact_order), key=lambda artifact: artifact.size):
        if only is not None and size not in only:
            continue
        members = iter(group)
        some = list(islice(members, most - len(found)))
        more = sum(1 for _ in members)
        if more:
            left_out += len(some) + more if only is not None or len(some) + more > 1 else 0
        elif only is not None or len(some) > 1:
            found += some
    return CopyCandidates(tuple(found), left_out)


def relevant_folders(found: Sequence[StoredObject]) -> frozenset[FolderKey]:
    """Return the folders that show whether *found* are models by themselves: their own, and those above."""
    return frozenset(
        (artifact.bucket, artifact.key[:end])
        for artifact in found
        for end in (0, *(at for at, letter in enumerate(artifact.key, 1) if letter == "/"))
    )
