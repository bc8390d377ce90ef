"""
Checkpoints that are whole or are not there: directories whose manifest is written last.

A checkpoint is written under a hidden name. Its files are flushed to the disk, then its manifest with their
sizes and SHA-256, then the directory gets its name and its parent is flushed. A process that is killed at any
moment leaves a hidden directory, which the next one removes, or a whole checkpoint. A copy
(SageMaker uploads a checkpoint directory file by file) or a disk may still damage a checkpoint: it is passed
over with a warning, and an older checkpoint is used.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Queue
from typing import Any

_log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
FORMAT = 2
"""2 has the fingerprint of the run that wrote it. Both are read."""
HIDDEN = ".writing-"
PIECE = 1 << 18
"""Bytes from which a piece is hashed where it stands; a smaller one is copied."""
NAME = re.compile(r"step-(\d{12})-(\d{3})")


@dataclass(frozen=True)
class Progress:
    """Progress of a run, counted in steps over all epochs and in batches of the current one."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    finished: bool = False
    planned: int = 0
    """Epochs that were asked for: a finished run trains again only where more are asked for."""
    save_s: float | None = None
    """Seconds that the save before this one took: the first save of a resumed run need not be measured."""


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint."""

    path: Path
    progress: Progress
    fingerprint: Mapping[str, Any] | None = None
    """Facts about the run that wrote it; None in format 1."""

    @property
    def number(self) -> int:
        """Greater for a newer one."""
        return int(self.path.name[5:17]) * 1000 + int(self.path.name[18:])


class TornError(Exception):
    """A checkpoint is not what its manifest says, or has none."""


class Checkpoints:
    """The checkpoints in one directory, of which the newest *keep* stay."""

    def __init__(self, folder: Path, *, keep: int = 3) -> None:
        if keep < 1:
            raise ValueError(f"keep is {keep}: at least one checkpoint has to be kept")
        self.folder = folder
        self._keep = keep
        self.latest: Path | None = None
        """The checkpoint that was written last, by this process."""
        self._torn: set[str] = set()
        self._held: list[int] = []

    def hold(self) -> None:
        """
        Make the directory, and keep other processes from it until `release`; raises OSError with what to do.

        By flock on the directory itself: no file that a copy would carry along, and it ends with the process.
        A file system without it, as NFS may be for directories, holds nobody off.
        """
        try:
            with self.hidden():
                pass
        except OSError as error:
            problem = f"no checkpoint can be written to {self.folder} ({error.strerror})"
            advice = "give a folder that this user may write, on a disk with space"
            raise OSError(error.errno, f"{problem}: {advice}") from error
        handle = os.open(self.folder, os.O_RDONLY)
        _handles.add(handle)
        self._held.append(handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise RuntimeError(
                f"another process trains with {self.folder}: end it, or give this run a folder of its own"
            ) from None
        except OSError as error:
            _log.info("%s cannot be locked: %s", self.folder, error)

    def release(self) -> None:
        """Let other processes have the directory."""
        while self._held:
            handle = self._held.pop()
            if handle in _handles:
                _handles.remove(handle)
                os.close(handle)

    def clean(self) -> None:
        """Remove what a killed process was writing; only for who holds the directory."""
        for left in self.folder.glob(HIDDEN + "*"):
            shutil.rmtree(left, ignore_errors=True)

    def names(self) -> list[str]:
        """List the checkpoints that seem to be there, oldest first."""
        return sorted(path.name for path in self.folder.glob("step-*") if NAME.fullmatch(path.name))

    def newest(self) -> Checkpoint | None:
        """Return the newest whole checkpoint; warn of each newer one that is torn."""
        for name in reversed(self.names()):
            path = self.folder / name
            try:
                return check(path)
            except TornError as torn:
                self._torn.add(name)
                _log.warning("checkpoint %s is torn (%s): falling back to an older one", path, torn)
        if self._torn:
            _log.warning("no checkpoint in %s is whole: training starts from the beginning", self.folder)
        return None

    def numbered(self, number: int) -> Checkpoint:
        """Return the checkpoint with a number that all processes of the run agreed on."""
        path = self.folder / f"step-{number // 1000:012d}-{number % 1000:03d}"
        try:
            return check(path)
        except TornError as torn:
            raise RuntimeError(
                f"not every rank has a whole {path} ({torn}): "
                "all machines have to share this directory, or hold the same checkpoints"
            ) from torn

    @contextmanager
    def writing(
        self,
        progress: Progress,
        fingerprint: Mapping[str, Any] | None = None,
        digests: Mapping[str, str] | None = None,
    ) -> Iterator[Path]:
        """
        Yield an empty directory: a checkpoint when the block ends, and gone when it raises.

        Files whose SHA-256 is in *digests* when the block ends are not read again.
        """
        with self.hidden() as hidden:
            yield hidden
            write_manifest(hidden, progress, fingerprint, digests or {})
            stem = f"step-{progress.step:012d}"
            tries = [int(name[-3:]) for name in self.names() if name.startswith(stem)]
            self.latest = self.publish(hidden, f"{stem}-{max(tries, default=-1) + 1:03d}")

    @contextmanager
    def hidden(self) -> Iterator[Path]:
        """Yield a directory that no reader takes for a checkpoint; remove it unless `publish` named it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = Path(tempfile.mkdtemp(prefix=HIDDEN, dir=self.folder))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def publish(self, hidden: Path, name: str) -> Path:
        """Give a complete directory its name, so that it stays after a loss of power."""
        with self.hidden() as bin_:
            if (self.folder / name).exists():  # a torn one, which is downloaded again
                (self.folder / name).rename(bin_ / name)
            path = hidden.rename(self.folder / name)
        flush(self.folder)
        return path

    def prune(self, *, busy: str | None = None) -> None:
        """Remove all that is older than the newest *keep*, but for the one that is being uploaded."""
        whole = [name for name in self.names() if name not in self._torn]
        if len(whole) <= self._keep:
            return
        with self.hidden() as bin_:  # nothing is ever half removed under its own name
            for name in self.names():
                if name < whole[-self._keep] and name != busy:
                    (self.folder / name).rename(bin_ / name)


_handles: set[int] = set()


def _in_forked_child() -> None:
    """Release the directory in a loader's worker, which may outlive its killed parent."""
    while _handles:
        os.close(_handles.pop())


os.register_at_fork(after_in_child=_in_forked_child)


def write_manifest(
    folder: Path, progress: Progress, fingerprint: Mapping[str, Any] | None, digests: Mapping[str, str]
) -> None:
    """Flush the files of *folder*, and write their sizes and digests beside them."""
    files = {}
    for path in sorted(folder.rglob("*")):
        flush(path)
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            files[name] = {"bytes": path.stat().st_size, "sha256": digests.get(name) or digest(path)}
    body: dict[str, Any] = {
        "format": FORMAT,
        "progress": asdict(progress),
        "fingerprint": fingerprint,
        "files": files,
    }
    written = folder / f"{MANIFEST}.new"
    written.write_text(json.dumps({**body, "sha256": _seal(body)}, indent=1))
    flush(written)
    written.rename(folder / MANIFEST)
    flush(folder)


def read_manifest(text: str | bytes) -> dict[str, Any]:
    """Read a manifest; raise `TornError` where it was changed, `ValueError` where it is newer."""
    try:
        body: dict[str, Any] = json.loads(text)
        sealed = body.pop("sha256") == _seal(body)
    except (ValueError, KeyError, AttributeError) as error:
        raise TornError(f"{MANIFEST} is not a manifest: {error}") from error
    if not sealed:
        raise TornError(f"{MANIFEST} is not what was written")
    if body["format"] not in range(1, FORMAT + 1):
        raise ValueError(
            f"a checkpoint has format {body['format']}, and this janitor_kit reads up to {FORMAT}"
        )
    return body


def check(path: Path) -> Checkpoint:
    """Read every file of a checkpoint; raises `TornError` with the first difference from its manifest."""
    manifest = check_files(path)
    progress = Progress(**manifest["progress"])
    if not path.name.startswith((f"step-{progress.step:012d}-", HIDDEN)):
        raise TornError(f"its manifest is of step {progress.step}")
    return Checkpoint(path, progress, manifest.get("fingerprint"))


def check_files(path: Path) -> dict[str, Any]:
    """Read every file in a folder and return its manifest; raises `TornError` with the first difference."""
    try:
        manifest = read_manifest((path / MANIFEST).read_bytes())
        for name, expected in manifest["files"].items():
            size = (path / name).stat().st_size
            if size != expected["bytes"]:
                raise TornError(f"{name} has {size} bytes, not {expected['bytes']}")
            if digest(path / name) != expected["sha256"]:
                raise TornError(f"{name} is not what was written")
    except OSError as error:
        raise TornError(str(error)) from error
    return manifest


class HashedFile:
    """
    A new file that another thread hashes while it is written.

    It has no buffer, so that a process forked in between has nothing of it to write. *lasts* tells of a piece
    that stays as it is until the file is closed, so that nobody has to wait until it is hashed.
    """

    def __init__(self, path: Path, lasts: Callable[[memoryview], bool] = lambda _: False) -> None:
        self._file = path.open("wb", buffering=0)
        self._lasts = lasts
        self._sha = hashlib.sha256()
        self._pieces: Queue[memoryview | None] = Queue()
        # A daemon: a file that nobody closes must not keep the process, and its machine, running.
        self._hashing = threading.Thread(target=self._hash, name="checkpoint-hash", daemon=True)
        self._hashing.start()

    def __enter__(self) -> HashedFile:  # noqa: PYI034 - Self is not in typing before Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.digest()
        self._file.close()

    def _hash(self) -> None:
        while (piece := self._pieces.get()) is not None:
            self._sha.update(piece)
            self._pieces.task_done()

    def write(self, piece: bytes | memoryview) -> int:
        """Write all of *piece*."""
        view = memoryview(piece).cast("B")
        lasts = self._lasts(view)
        self._pieces.put(memoryview(bytes(view)) if len(view) < PIECE else view)
        try:
            done = 0
            while done < len(view):
                done += self._file.write(view[done:]) or 0
        finally:
            if len(view) >= PIECE and not lasts:
                self._pieces.join()
        return len(view)

    def flush(self) -> None:
        """Do nothing: there is no buffer."""

    def digest(self) -> str:
        """Return the SHA-256 of what was written; nothing can be written after it."""
        self._pieces.put(None)
        self._hashing.join()
        return self._sha.hexdigest()


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        sha = hashlib.sha256()
        while piece := file.read(1 << 20):
            sha.update(piece)
    return sha.hexdigest()


def flush(path: Path) -> None:
    """Bring a file, or the names in a directory, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _seal(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
