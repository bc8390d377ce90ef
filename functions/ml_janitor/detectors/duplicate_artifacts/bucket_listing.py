"""The listing of a survey's buckets: in sorted files what memory does not hold, and where it goes on."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ml_janitor.aws.client import Aws
from ml_janitor.aws.key_ranges import KeyRange, RangedListing
from ml_janitor.aws.scratch import FolderScratch, Scratch
from ml_janitor.detectors.duplicate_artifacts.artifact import LIST_OBJECTS, Folder, Names, Shelf, Stored
from ml_janitor.detectors.duplicate_artifacts.sources import order

HELD = 50_000
"""Artifacts and folders that are held in memory before they are written to files."""

CHUNK = 512 * 1024
"""Bytes of each file that are read at once; there are about a hundred files for five million artifacts."""

FORMAT = 1
"""Of the position and of the files."""

LASTS = timedelta(days=1)
"""How long a run goes on where an earlier one ended: half a listing of last week says nothing of today."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of *length* bytes: artifacts in `order`, or what was noticed about folders."""

    name: str
    length: int

    @property
    def of_artifacts(self) -> bool:
        return self.name.endswith("artifacts")


@dataclass(slots=True)
class BucketListing:
    """
    Buckets that were listed to their ends, or as far as time allowed.

    Nothing here grows with the number of keys: each `HELD` artifacts and folders are written to sorted
    *files*, which `artifacts` merges as they are read. Where the files last, so does the position: the next
    run of the same day goes on exactly there, and `done` ends that. With *only*, artifacts of these sizes
    are all that is kept.
    """

    aws: Aws
    names: Names
    now: datetime
    shelves: Mapping[str, Shelf]
    scratch: Scratch
    only: AbstractSet[int] | None = None
    _begun: datetime = field(init=False)
    _files: list[File] = field(default_factory=list)
    _listing: RangedListing = field(init=False)
    _resumed: bool = False

    def __post_init__(self) -> None:
        """List what there is time for."""
        self._begun = self.now
        ranges = self._left()
        regions = {name: shelf.region for name, shelf in self.shelves.items()}
        self._listing = RangedListing(self.aws, regions, ranges)
        held = 0
        for bucket, page in self._listing.pages():
            shelf = self.shelves[bucket]
            before = shelf.held
            found = shelf.put(page, self.names)
            shelf.artifacts += [one for one in found if self.only is None or one.size in self.only]
            held += shelf.held - before
            if held >= HELD:
                self._write()
                held = 0
        late = self._listing.late and bool(self._listing.read)
        if self._files or (late and self.scratch.lasting):
            self._write()
        self._say_what_is_missing()

    # --- as a source of artifacts -------------------------------------------------------------

    def artifacts(self) -> Iterator[Stored]:
        """
        Every artifact, in `order`.

        There are none where files were written and the time ran out: nothing could be asked about them.
        """
        if self._files and self._listing.late:
            return iter(())
        held = sorted((one for shelf in self.shelves.values() for one in shelf.artifacts), key=order)
        files = [map(_artifact, self._lines(file)) for file in self._files if file.of_artifacts]
        every = heapq.merge(held, *files, key=order)
        return (one for one in every if one.bucket in self.shelves)

    def notice(self, folders: AbstractSet[Folder]) -> None:
        """Put on the shelves what the files say of *folders*."""
        for file in self._files:
            for bucket, folder, mixed, model, weights in (
                () if file.of_artifacts else map(json.loads, self._lines(file))
            ):
                if (bucket, folder) in folders and bucket in self.shelves:
                    self.shelves[bucket].add(folder, mixed=mixed, model=model, weights=weights)

    def done(self) -> None:
        """What was listed has been judged: the next run lists anew."""
        if self.scratch.lasting and (self._files or self._resumed):
            self.scratch.put(self._position, b"null")

    # --- the files ----------------------------------------------------------------------------

    def _write(self) -> None:
        """
        Write what is held, and then up to where the buckets were listed.

        A run that is killed in between writes the same files again.
        """
        shelves = self.shelves.values()
        found = sorted((one for shelf in shelves for one in shelf.artifacts), key=order)
        self._put("artifacts", map(_line, found))
        self._put(
            "folders", (json.dumps([shelf.bucket, *each]) for shelf in shelves for each in shelf.folders())
        )
        for shelf in shelves:
            shelf.clear()
        if self.scratch.lasting:
            position = {
                "of": self._settings,
                "begun": self._begun.isoformat(),
                "files": [[file.name, file.length] for file in self._files],
                "objects": {shelf.bucket: shelf.objects for shelf in shelves},
                "left": [[each.bucket, each.after, each.upto, each.shared] for each in self._listing.ranges],
            }
            self.scratch.put(self._position, json.dumps(position).encode())

    def _put(self, kind: str, lines: Iterable[str]) -> None:
        """Write a file of *lines*, if there are any."""
        if body := "".join(f"{line}\n" for line in lines).encode():
            name = f"{self._place}/{self._begun:%Y-%m-%dT%H-%M-%SZ}/{len(self._files):04}-{kind}"
            self.scratch.put(name, body)
            self._files.append(File(name, len(body)))

    def _lines(self, file: File) -> Iterator[bytes]:
        """The lines of *file*, which is read chunk by chunk."""
        rest = b""
        for start in range(0, file.length, CHUNK):
            chunk = self.scratch.part(file.name, start, min(CHUNK, file.length - start))
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines

    # --- the position -------------------------------------------------------------------------

    @property
    def _place(self) -> str:
        return f"{self.aws.account}/{self.aws.region}"

    @property
    def _position(self) -> str:
        return f"{self._place}/position.json"

    @property
    def _settings(self) -> list[Any]:
        """What an artifact is: with other settings, what was listed before is another listing."""
        return [FORMAT, *sorted(self.names.extensions), self.names.min_size]

    def _left(self) -> list[KeyRange]:
        """What is left to list: everything, or what an earlier run of the day left."""
        body = self.scratch.get(self._position) if self.scratch.lasting else None
        known = json.loads(body) if body else None
        if known is None or known["of"] != self._settings:
            return [KeyRange(name) for name in self.shelves]
        begun = datetime.fromisoformat(known["begun"])
        if not timedelta(0) <= self.now - begun <= LASTS:
            return [KeyRange(name) for name in self.shelves]
        self._begun, self._resumed = begun, True
        self._files = [File(*each) for each in known["files"]]
        for name, objects in known["objects"].items():
            if name in self.shelves:
                self.shelves[name].objects = objects
        left = [KeyRange(*each) for each in known["left"] if each[0] in self.shelves]
        return [*left, *(KeyRange(name) for name in self.shelves if name not in known["objects"])]

    def _say_what_is_missing(self) -> None:
        """Say on the shelves of buckets that were not listed to their ends why not, and how far."""
        for bucket in {each.bucket for each in self._listing.ranges}:
            shelf = self.shelves[bucket]
            if (problem := self._listing.errors.get(bucket)) is not None:
                shelf.error = f"{LIST_OBJECTS} of {bucket} broke off after {shelf.objects:,}: {problem}"
            else:
                kept = ", and the next try goes on there" if self.scratch.lasting else ""
                shelf.error = (
                    f"{bucket} could not be read in time: {shelf.objects:,} objects were listed{kept}"
                )


def listed(
    aws: Aws, places: Mapping[str, str], names: Names, now: datetime, *, only: AbstractSet[int] | None = None
) -> BucketListing:
    """
    The buckets of *places*, which say the region of each.

    With *only*, artifacts of these sizes alone are kept, and no position: that is for one look.
    """
    shelves = {name: Shelf(bucket=name, region=region) for name, region in places.items()}
    scratch = aws.scratch if aws.scratch is not None and only is None else FolderScratch()
    return BucketListing(aws, names, now, shelves, scratch, only)


def _line(one: Stored) -> str:
    return json.dumps([one.size, one.etag, one.bucket, one.key, one.modified.isoformat(), one.storage_class])


def _artifact(line: bytes) -> Stored:
    size, etag, bucket, key, modified, storage_class = json.loads(line)
    return Stored(
        bucket=bucket,
        key=key,
        size=size,
        etag=etag,
        modified=datetime.fromisoformat(modified),
        storage_class=storage_class,
    )
