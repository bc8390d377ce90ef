"""The contents of a bucket, folder by folder: bytes, age, storage class, and references."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from itertools import pairwise

from ml_janitor.core.tiering import SMALL_OBJECT, STANDARD, ObjectCohort

_FOLDER_DEPTH = 5
"""Levels of folders that are told apart; deeper objects belong to the last of them."""


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """
    One version of an object, or a delete *marker*.

    *replaced* is the time at which the next version was written, for a version that is not current.
    """

    key: str
    modified: datetime
    size: int = 0
    held: str = STANDARD
    current: bool = True
    marker: bool = False
    replaced: datetime | None = None


@dataclass(slots=True)
class FolderContents:
    """
    A folder, its path ending with a slash; empty for the bucket as a whole.

    All facts cover objects directly in it. *held* is objects and bytes by age in days, whether they are
    small, and class; *replaced* the same for noncurrent versions by the days since then. *keys* are the
    current objects' keys, *users* the references to any of them.
    """

    path: str = ""
    held: dict[tuple[int, bool, str], tuple[int, int]] = field(default_factory=dict)
    replaced: dict[tuple[int, bool, str], tuple[int, int]] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    users: dict[str, None] = field(default_factory=dict)
    inside: dict[str, FolderContents] = field(default_factory=dict)

    def all(self) -> Iterator[FolderContents]:
        yield self
        for folder in self.inside.values():
            yield from folder.all()

    def cohorts(self, reads: Decimal = Decimal(0)) -> list[ObjectCohort]:
        """Return the current objects in it and in every folder in it, each with *reads* a month."""
        return _cohorts((folder.held for folder in self.all()), reads)

    def noncurrent(self) -> list[ObjectCohort]:
        """Return the noncurrent versions likewise, by the days since they were replaced."""
        return _cohorts((folder.replaced for folder in self.all()), Decimal(0))

    def size(self) -> int:
        """Return the bytes of its current objects."""
        return sum(cohort.size for cohort in self.cohorts())


type CohortAmounts = dict[tuple[int, bool, str], tuple[int, int]]


def _cohorts(found: Iterable[CohortAmounts], reads: Decimal) -> list[ObjectCohort]:
    total: CohortAmounts = {}
    for amounts in found:
        for what, amount in amounts.items():
            _add(total, what, *amount)
    return [
        ObjectCohort(age=age, small=small, held=held, objects=objects, size=size, reads=reads)
        for (age, small, held), (objects, size) in sorted(total.items())
    ]


def _add(total: CohortAmounts, what: tuple[int, bool, str], objects: int, size: int) -> None:
    counted, bytes_ = total.get(what, (0, 0))
    total[what] = counted + objects, bytes_ + size


def folder_tree(
    versions: Iterable[StoredVersion], now: datetime, users: Callable[[str], Iterable[str]]
) -> FolderContents:
    """Return the folders of a bucket with *versions*; *users* returns the labels of a key's users."""
    root = FolderContents()
    for version in versions:
        if version.marker:
            continue
        folder = root
        slashes = [at for at, letter in enumerate(version.key) if letter == "/"]
        for end in slashes[:_FOLDER_DEPTH]:
            path = version.key[: end + 1]
            folder = folder.inside.setdefault(path, FolderContents(path))
        small = version.size < SMALL_OBJECT
        if version.current:
            _add(folder.held, ((now - version.modified).days, small, version.held), 1, version.size)
            folder.keys.append(version.key)
            folder.users |= dict.fromkeys(users(version.key))
        elif version.replaced is not None:
            _add(folder.replaced, ((now - version.replaced).days, small, version.held), 1, version.size)
    return root


def order_versions(versions: Iterable[StoredVersion]) -> Iterator[StoredVersion]:
    """Yield the *versions* of one key, noncurrent ones with the time at which the next version came."""
    newest_first = sorted(versions, key=lambda version: (version.current, version.modified), reverse=True)
    yield newest_first[0]
    for newer, version in pairwise(newest_first):
        yield replace(version, current=False, replaced=newer.modified)
