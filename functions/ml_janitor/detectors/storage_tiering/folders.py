"""What a bucket holds, folder by folder: how much, how old, in which storage class, and what refers to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from itertools import pairwise

from ml_janitor.core.tiering import SMALL, STANDARD, Cohort

DEPTH = 5
"""Levels of folders that are told apart; what lies deeper belongs to the last of them."""


@dataclass(frozen=True, slots=True)
class Version:
    """
    One version of an object, or a delete *marker*.

    Of one that is not the current one, *replaced* is when the next one was written.
    """

    key: str
    modified: datetime
    size: int = 0
    held: str = STANDARD
    current: bool = True
    marker: bool = False
    replaced: datetime | None = None


@dataclass(slots=True)
class Folder:
    """
    A folder, its path ending with a slash; of a bucket as a whole it is empty.

    All is of what lies directly in it. *held* is objects and bytes by age in days, whether they are small,
    and class; *replaced* the same of noncurrent versions by the days since then. *keys* are those of
    current objects, *users* what refers to one of them.
    """

    path: str = ""
    held: dict[tuple[int, bool, str], tuple[int, int]] = field(default_factory=dict)
    replaced: dict[tuple[int, bool, str], tuple[int, int]] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    users: dict[str, None] = field(default_factory=dict)
    inside: dict[str, Folder] = field(default_factory=dict)

    def all(self) -> Iterator[Folder]:
        yield self
        for one in self.inside.values():
            yield from one.all()

    def cohorts(self, reads: Decimal = Decimal(0)) -> list[Cohort]:
        """The current objects in it and in every folder in it, each of which is read so often a month."""
        return _cohorts((one.held for one in self.all()), reads)

    def noncurrent(self) -> list[Cohort]:
        """The same of noncurrent versions, by the days since they were replaced."""
        return _cohorts((one.replaced for one in self.all()), Decimal(0))

    def size(self) -> int:
        """The bytes of its current objects."""
        return sum(one.size for one in self.cohorts())


type Amounts = dict[tuple[int, bool, str], tuple[int, int]]


def _cohorts(found: Iterable[Amounts], reads: Decimal) -> list[Cohort]:
    total: Amounts = {}
    for amounts in found:
        for what, amount in amounts.items():
            _add(total, what, *amount)
    return [
        Cohort(age=age, small=small, held=held, objects=objects, size=size, reads=reads)
        for (age, small, held), (objects, size) in sorted(total.items())
    ]


def _add(total: Amounts, what: tuple[int, bool, str], objects: int, size: int) -> None:
    counted, bytes_ = total.get(what, (0, 0))
    total[what] = counted + objects, bytes_ + size


def tree(versions: Iterable[Version], now: datetime, users: Callable[[str], Iterable[str]]) -> Folder:
    """The folders of a bucket with *versions*; *users* are the labels of what refers to a key."""
    root = Folder()
    for one in versions:
        if one.marker:
            continue
        folder = root
        slashes = [at for at, letter in enumerate(one.key) if letter == "/"]
        for end in slashes[:DEPTH]:
            path = one.key[: end + 1]
            folder = folder.inside.setdefault(path, Folder(path))
        small = one.size < SMALL
        if one.current:
            _add(folder.held, ((now - one.modified).days, small, one.held), 1, one.size)
            folder.keys.append(one.key)
            folder.users |= dict.fromkeys(users(one.key))
        elif one.replaced is not None:
            _add(folder.replaced, ((now - one.replaced).days, small, one.held), 1, one.size)
    return root


def in_sequence(versions: Iterable[Version]) -> Iterator[Version]:
    """The *versions* of one key, those that are not current with the time at which the next one came."""
    newest_first = sorted(versions, key=lambda one: (one.current, one.modified), reverse=True)
    yield newest_first[0]
    for newer, one in pairwise(newest_first):
        yield replace(one, current=False, replaced=newer.modified)
