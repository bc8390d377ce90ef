"""Brings a deleted copy back: from its own version under the delete marker, or from its keeper."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ml_janitor.aws.answers import refused_as
from ml_janitor.detectors.duplicate_artifacts.copying import write_again
from ml_janitor.detectors.duplicate_artifacts.duplicates import ARCHIVE_CLASSES
from ml_janitor.detectors.duplicate_artifacts.equality import equal
from ml_janitor.detectors.duplicate_artifacts.object_heads import ANOTHER, Seen, needed, see
from ml_janitor.detectors.duplicate_artifacts.object_records import Place, Record
from ml_janitor.engine.detector import CannotActError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_janitor.aws.client import Aws
    from ml_janitor.engine.detector import Steps


def revert(aws: Aws, record: Record, steps: Steps) -> None:
    """
    Write the copy of *record* again, where nothing has been written since.

    A delete marker is covered, not removed: that would take the power to delete versions for good.
    Raises CannotActError if something else is there, or its bytes are nowhere any more.
    """
    if not _there(aws, record):
        source = _source(aws, record)
        steps.do("write again", lambda: _write(aws, record, source))


def _there(aws: Aws, record: Record) -> bool:
    """Whether it is back already, or was never gone. Raises CannotActError if something else is there."""
    place = record.place
    now = needed(see(aws, place.bucket, place.key))
    if now is None:
        return False
    if record.is_(now):
        return True
    if now.looks == record.looks and _same_bytes(aws, record, now):
        return True
    raise CannotActError(f"somebody has written another object to {place.uri}, which stays")


def _same_bytes(aws: Aws, record: Record, now: Seen) -> bool:
    """Whether *now* has the bytes of the copy of *record*: an undo that lost its answer wrote it."""
    return any(equal(aws, now, one) for _, one in _sources(aws, record) if _archive(one) is None)


def _write(aws: Aws, record: Record, source: Place) -> None:
    try:
        write_again(aws, record, source)
    except Exception as error:  # all but a refusal by its conditions is raised again
        if not refused_as(error, ANOTHER):
            raise
        if not _there(aws, record):
            raise CannotActError(
                f"{source.uri}, which has its bytes, was changed in the last moment"
            ) from error


def _source(aws: Aws, record: Record) -> Place:
    """Where its bytes can be copied from. Raises CannotActError if that is nowhere."""
    archives = []
    for place, seen in _sources(aws, record):
        if (archive := _archive(seen)) is None:
            return place
        version = f" (version {place.version})" if place.version else ""
        archives.append(f"its bytes are archived ({archive}) in {place.uri}{version}")
    if archives:
        raise CannotActError(f"{archives[-1]}: restore that object first, and ask again")
    keeper = record.keeper.uri
    gone = "neither its version nor" if record.versioned else "no longer"
    raise CannotActError(f"its bytes are gone: {gone} {keeper}, which it was a copy of, is as it was")


def _sources(aws: Aws, record: Record) -> Iterator[tuple[Place, Seen]]:
    """
    The versions that have its bytes: its own first, then its keeper's.

    A lifecycle rule may have expired the former, or archived either.
    """
    for place in (record.place, record.keeper) if record.versioned else (record.keeper,):
        version = (place.version or "null") if record.versioned else None
        seen = needed(see(aws, place.bucket, place.key, etag=place.etag, version=version))
        if seen is not None:
            yield replace(place, version=version), seen


def _archive(seen: Seen) -> str | None:
    """The archive class or tier in which *seen* cannot be read, if it is in one."""
    stored = seen.stored.storage_class
    return stored if stored in ARCHIVE_CLASSES and not seen.restored else seen.contents.archived
