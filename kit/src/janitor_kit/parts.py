"""Parts of a training: a state to save, processes that train together, a place for copies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from janitor_kit.checkpoint import Checkpoints


class Group(Protocol):
    """The processes that train together."""

    first: bool
    """Whether this one writes the checkpoints."""
    first_here: bool
    """Whether this one downloads for its machine."""
    alone: bool

    def most(self, values: Sequence[float]) -> list[float]:
        """Return the greatest of each value over all processes."""


class Alone:
    """A group of one."""

    first = first_here = alone = True

    def most(self, values: Sequence[float]) -> list[float]:
        return list(values)


@dataclass(frozen=True)
class Snapshot:
    """A state that is ready to be written."""

    write: Callable[[Path | None], Mapping[str, str]]
    """
    Writes files into a folder, and returns the SHA-256 of the files that it hashed on the way.

    Every process of the group calls it, and only the first has a folder.
    """
    copied: bool = False
    """Whether it is a copy in memory, so that training can go on while it is written."""


class State:
    """Content of a checkpoint. Derive from it and say how it is saved and loaded."""

    group: Group = Alone()

    def snapshot(self, *, copy: bool) -> Snapshot:  # noqa: ARG002 - for derived classes
        """Return what `save` writes now; with *copy*, a copy in memory where the state can make one."""

        def write(folder: Path | None) -> Mapping[str, str]:
            self.save(folder)
            return {}

        return Snapshot(write)

    def fingerprint(self) -> Mapping[str, Any]:
        """Return facts, as plain values, that tell this run from others; a difference is refused."""
        return {}

    def save(self, folder: Path | None) -> None:
        """Write files into *folder*; every process of the group is asked, and only the first has a folder."""
        raise NotImplementedError

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        raise NotImplementedError

    def seeks(self, source: Iterable[Any]) -> bool:  # noqa: ARG002 - for derived classes
        """Tell whether `load` moves *source* to its old position; else the loop skips done batches."""
        return False

    def sought(self) -> None:
        """Restore what skipping to the middle of an epoch disturbed: called once the loop is back there."""


class Remote(Protocol):
    """Where checkpoints are copied to in the background."""

    @property
    def upload_s(self) -> float: ...

    @property
    def busy(self) -> str | None: ...

    def fetch(self, checkpoints: Checkpoints) -> None:
        """Bring the newest whole checkpoint here, unless it is here."""

    def offer(self, path: Path) -> None:
        """Copy a checkpoint, as soon as the one before it is copied."""

    def close(self, within_s: float) -> None:
        """Wait for the last copy; raises what went wrong with it."""
