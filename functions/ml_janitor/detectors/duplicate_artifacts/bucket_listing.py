"""The listing of a survey's buckets: sorted files hold the rest of it, and the position to go on from."""

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
from ml_janitor.aws.s3 import LIST_OBJECTS
from ml_janitor.aws.scratch import FolderScratch, Scratch
from ml_janitor.detectors.duplicate_artifacts.artifact import (
    ArtifactNames,
    BucketIndex,
    FolderKey,
    StoredObject,
)
from ml_janitor.detectors.duplicate_artifacts.sources import artifact_order

_MOST_HELD = 50_000
"""Artifacts and folders that memory holds before they are written to files."""

_LISTING_CHUNK = 512 * 1024
"""Bytes of each file that are read at once; there are about a hundred files for five million artifacts."""

_LISTING_FORMAT = 1
"""Version of the position's and the files' format."""

_LISTING_LASTS = timedelta(days=1)
"""Time for which a run continues an earlier one: half a listing of last week says nothing of today."""


@dataclass(frozen=True, slots=True)
class ListingFile:
    """One file of *length* bytes: artifacts in `order`, or facts about folders."""

    name: str
    length: int

    @property
    def of_artifacts(self) -> bool:
        return self.name.endswith("artifacts")


@dataclass(slots=True)
class BucketListing:
    """
    Buckets that were listed to their ends, or as far as time allowed.

    Memory does not grow with the number of keys: each `HELD` artifacts and folders are
    written to sorted *files*, which `artifacts` merges as it reads them. Where the files
    last, so does the position: the next run of the same day goes on exactly there, and
    `done` ends that. *only* keeps artifacts of these sizes alone.
    """

    aws: Aws
    names: ArtifactNames
    now: datetime
    shelves: Mapping[str, BucketIndex]
    scratch: Scratch
    only: AbstractSet[int] | None = None
    _begun: datetime = field(init=False)
    _files: list[ListingFile] = field(default_factory=list)
    _listing: RangedListing = field(init=False)
    _resumed: bool = False

    def __post_init__(self) -> None:
        """List as much as there is time for."""
        self._begun = self.now
        ranges = self._left()
        regions = {name: shelf.region for name, shelf in self.shelves.items()}
        self._listing = RangedListing(self.aws, regions, ranges)
        held = 0
        for bucket, page in self._listing.pages():
            shelf = self.shelves[bucket]
            before = shelf.held
            found = shelf.put(page, self.names)
            shelf.artifacts += [
                artifact for artifact in found if self.only is None or artifact.size in self.only
            ]
            held += shelf.held - before
            if held >= _MOST_HELD:
                self._write()
                held = 0
        late = self._listing.late and bool(self._listing.read)
        if self._files or (late and self.scratch.lasting):
            self._write()
        self._say_what_is_missing()

    # --- as a source of artifacts -------------------------------------------------------------

    def artifacts(self) -> Iterator[StoredObject]:
        """
        Return every artifact, in `order`.

        Returns none if files were written and the time ran out: nothing more could be read about them.
        """
        if self._files and self._listing.late:
            return iter(())
        held = sorted(
            (artifact for shelf in self.shelves.values() for artifact in shelf.artifacts), key=artifact_order
        )
        files = [map(_artifact, self._lines(file)) for file in self._files if file.of_artifacts]
        every = heapq.merge(held, *files, key=artifact_order)
        return (artifact for artifact in every if artifact.bucket in self.shelves)

    def notice(self, folders: AbstractSet[FolderKey]) -> None:
        """Record on the shelves the files' facts about *folders*."""
        for file in self._files:
            for bucket, folder, mixed, model, weights in (
                () if file.of_artifacts else map(json.loads, self._lines(file))
            ):
                if (bucket, folder) in folders and bucket in self.shelves:
                    self.shelves[bucket].add(folder, mixed=mixed, model=model, weights=weights)

    def done(self) -> None:
        """Forget the position, because the listing has been judged: the next run lists anew."""
        if self.scratch.lasting and (self._files or self._resumed):
            self.scratch.put(self._position, b"null")

    # --- the files ----------------------------------------------------------------------------

    def _write(self) -> None:
        """
        Write the held artifacts and folders, and then the position.

        A run that is killed in between writes the same files again.
        """
        shelves = self.shelves.values()
        found = sorted((artifact for shelf in shelves for artifact in shelf.artifacts), key=artifact_order)
        self._put("artifacts", map(_line, found))
        self._put(
            "folders", (json.dumps([shelf.bucket, *facts]) for shelf in shelves for facts in shelf.folders())
        )
        for shelf in shelves:
            shelf.clear()
        if self.scratch.lasting:
            position = {
                "of": self._settings,
                "begun": self._begun.isoformat(),
                "files": [[file.name, file.length] for file in self._files],
                "objects": {shelf.bucket: shelf.objects for shelf in shelves},
                "left": [[keys.bucket, keys.after, keys.upto, keys.shared] for keys in self._listing.ranges],
            }
            self.scratch.put(self._position, json.dumps(position).encode())

    def _put(self, kind: str, lines: Iterable[str]) -> None:
        """Write a file of *lines*, if there are any."""
        if body := "".join(f"{line}\n" for line in lines).encode():
            name = f"{self._place}/{self._begun:%Y-%m-%dT%H-%M-%SZ}/{len(self._files):04}-{kind}"
            self.scratch.put(name, body)
            self._files.append(ListingFile(name, len(body)))

    def _lines(self, file: ListingFile) -> Iterator[bytes]:
        """Yield the lines of *file*, which is read chunk by chunk."""
        rest = b""
        for start in range(0, file.length, _LISTING_CHUNK):
            chunk = self.scratch.part(file.name, start, min(_LISTING_CHUNK, file.length - start))
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
        """The settings that define an artifact: with other settings, an earlier listing does not count."""
        return [_LISTING_FORMAT, *sorted(self.names.extensions), self.names.min_size]

    def _left(self) -> list[KeyRange]:
        """Return the rest to list: everything, or the rest of an earlier run of the day."""
        body = self.scratch.get(self._position) if self.scratch.lasting else None
        known = json.loads(body) if body else None
        if known is None or known["of"] != self._settings:
            return [KeyRange(name) for name in self.shelves]
        begun = datetime.fromisoformat(known["begun"])
        if not timedelta(0) <= self.now - begun <= _LISTING_LASTS:
            return [KeyRange(name) for name in self.shelves]
        self._begun, self._resumed = begun, True
        self._files = [ListingFile(*file) for file in known["files"]]
        for name, objects in known["objects"].items():
            if name in self.shelves:
                self.shelves[name].objects = objects
        left = [KeyRange(*keys) for keys in known["left"] if keys[0] in self.shelves]
        return [*left, *(KeyRange(name) for name in self.shelves if name not in known["objects"])]

    def _say_what_is_missing(self) -> None:
        """
        Record, on the shelves of buckets that were not listed to their ends,
        the reason and the progress.
        """
        for bucket in {keys.bucket for keys in self._listing.ranges}:
            shelf = self.shelves[bucket]
            if (problem := self._listing.errors.get(bucket)) is not None:
                shelf.error = f"{LIST_OBJECTS} of {bucket} broke off after {shelf.objects:,}: {problem}"
            else:
                kept = ", and the next try goes on there" if self.scratch.lasting else ""
                shelf.error = (
                    f"{bucket} could not be read in time: {shelf.objects:,} objects were listed{kept}"
                )


def list_buckets(
    aws: Aws,
    places: Mapping[str, str],
    names: ArtifactNames,
    now: datetime,
    *,
    only: AbstractSet[int] | None = None,
) -> BucketListing:
    """
    Return the listing of the buckets in *places*, which maps them to regions.

    *only* keeps artifacts of these sizes alone, and no position: that is for a look at one artifact.
    """
    shelves = {name: BucketIndex(bucket=name, region=region) for name, region in places.items()}
    scratch = aws.scratch if aws.scratch is not None and only is None else FolderScratch()
    return BucketListing(aws, names, now, shelves, scratch, only)


def _line(artifact: StoredObject) -> str:
    return json.dumps(
        [
            artifact.size,
            artifact.etag,
            artifact.bucket,
            artifact.key,
            artifact.modified.isoformat(),
            artifact.storage_class,
        ]
    )


def _artifact(line: bytes) -> StoredObject:
    size, etag, bucket, key, modified, storage_class = json.loads(line)
    return StoredObject(
        bucket=bucket,
        key=key,
        size=size,
        etag=etag,
        modified=datetime.fromisoformat(modified),
        storage_class=storage_class,
    )
