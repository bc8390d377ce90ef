"""The reasons about an artifact that may be a copy: why it stays, why it is surplus; and the evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from ml_janitor.aws.s3 import LIST_OBJECTS
from ml_janitor.aws.storage_prices import storage_price_table
from ml_janitor.core.signals import Absent, Evidence, Signal, Unreadable, Value, as_evidence
from ml_janitor.core.text import format_size
from ml_janitor.detectors.duplicate_artifacts.artifact import ArtifactUnit
from ml_janitor.detectors.duplicate_artifacts.buckets import when_freed
from ml_janitor.detectors.duplicate_artifacts.contents import (
    HEAD_OBJECT,
    ContentMatch,
    Likeness,
    ObjectContents,
)
from ml_janitor.detectors.duplicate_artifacts.copies import CopyRole
from ml_janitor.detectors.duplicate_artifacts.duplicates import ArtifactCopy

_COPIES_SHOWN = 10
"""Copies that the evidence of a keeper names one by one."""


def why_unread(copy: ArtifactCopy) -> str | None:
    """Return why nobody can tell the role of *copy*, if a signal for that could not be read."""
    if copy.listing_error is not None:
        return (
            f"its bucket was not listed to the end, so what lies beside it is unknown ({copy.listing_error})"
        )
    if not isinstance(copy.unit, Value):
        return f"the files beside it could not be read ({_error(copy.unit)})"
    if isinstance(copy.contents, Unreadable):
        return f"its checksums could not be read ({copy.contents.error})"
    return None


def why_not_a_copy(copy: ArtifactCopy) -> str | None:
    """Return why *copy* stays although others have its size, or None."""
    if copy.archived is not None:
        return f"it is archived ({copy.archived}), so it cannot be compared unless it is restored"
    if isinstance(copy.referred, Value):
        return f"{_listed(copy.referred.value)} refers to {unit_text(copy)}"
    if copy.replica:
        return "a replication rule of another bucket made it, and governs it"
    if copy.standing.role is CopyRole.ALONE and copy.unsearched is None:
        return _alone(copy)
    stays = copy.standing.role is CopyRole.STAYS and isinstance(copy.referred, Absent)
    return _stays(copy) if stays else None


def why_unsure(copy: ArtifactCopy) -> str | None:
    """Return why nobody can tell whether *copy* may go, if a signal for that is unknown."""
    keeper, match = copy.standing.keeper, copy.standing.match
    if copy.standing.role is CopyRole.ALONE:
        return f"a bucket that was not searched may hold the same as {unit_text(copy)} ({copy.unsearched})"
    if copy.standing.role is CopyRole.UNSURE and keeper is not None and match is not None:
        return f"nobody knows whether {unit_text(copy)} is the same as {keeper.uri}: {match.by}"
    if not isinstance(copy.referred, Absent):
        return f"something may refer to {unit_text(copy)}: {_error(copy.referred)}"
    if not isinstance(copy.lock, Value | Absent):
        return f"it may be locked: {_error(copy.lock)}"
    return None


def why_protected(copy: ArtifactCopy, now: datetime) -> str | None:
    """
    Return why *copy* stays although it is surplus, or None: a lock, or a
    storage class that is billed all the same.
    """
    if isinstance(copy.lock, Value):
        return f"it is {copy.lock.value}"
    row = storage_price_table().get(copy.stored.storage_class)
    if row is not None and row.min_age and now < (until := copy.stored.modified + row.min_age):
        return f"{copy.stored.storage_class} is billed until {until:%Y-%m-%d}, even if it is deleted before"
    return None


def surplus_reason(copy: ArtifactCopy, keeper: ArtifactUnit, match: ContentMatch) -> str:
    """Return why *copy* is found."""
    same = (
        "has the same bytes as" if match.likeness is Likeness.PROVEN else "very likely has the same bytes as"
    )
    only = needed_only_by_text(copy)
    needed = f"needed only by {only}" if only else "nothing refers to this one"
    says = [f"{unit_text(copy)} {same} {keeper.uri} ({match.by}), which stays; {needed}"]
    unit = copy.unit.value if isinstance(copy.unit, Value) else None
    if copy.standing.role is CopyRole.ELSEWHERE:
        region = unit is not None and unit.region != keeper.region
        other = f"region ({keeper.region})" if region else "bucket"
        says.append(f"the other one is in another {other}: it may be a replica that somebody wants")
    elif unit is not None and unit.crowded:
        says.append("other weights lie in its folder, and may belong to the same model")
    if copy.stale is not None:
        says.append(copy.stale)
    if copy.gaps:
        says.append(f"any copy may be in use, though: {_listed(copy.gaps)}")
    return "; ".join([*says, _when_freed(copy)])


def needed_only_by_text(copy: ArtifactCopy) -> str | None:
    """Return the users of *copy* that are not in use, in words."""
    return _listed([user.label for user in copy.needed_only_by]) if copy.needed_only_by else None


def unit_text(copy: ArtifactCopy) -> str:
    """Return the unit of comparison, in words: the object, or the folder of its model."""
    unit = copy.unit.value if isinstance(copy.unit, Value) else None
    return "it" if unit is None or unit.root is None else f"its folder ({len(unit.files)} files)"


def copy_evidence(copy: ArtifactCopy) -> Iterator[Evidence]:
    """Yield every signal of *copy* as evidence."""
    artifact, standing, modified = copy.stored, copy.standing, copy.stored.modified
    yield Evidence("size", format_size(artifact.size), source=LIST_OBJECTS)
    yield Evidence("bytes", artifact.size, source=LIST_OBJECTS)
    yield Evidence("storage class", artifact.storage_class, source=LIST_OBJECTS)
    yield Evidence("last modified", f"{modified:%Y-%m-%dT%H:%M:%SZ}", source=LIST_OBJECTS, at=modified)
    yield as_evidence("compared as", copy.unit, lambda unit: unit.uri)
    yield as_evidence("checksums", copy.contents, _checksums)
    yield as_evidence("referred to by", copy.referred, "; ".join)
    if copy.needed_only_by:
        yield Evidence("needed only by", needed_only_by_text(copy))
    if copy.gaps:
        yield Evidence("what may be loaded", _listed(copy.gaps))
    if standing.keeper is not None:
        yield Evidence("keeper", standing.keeper.uri)
    if standing.match is not None:
        yield Evidence("compared", f"{standing.match.likeness.name.lower()}: {standing.match.by}")
    for number, other in enumerate(standing.copies[:_COPIES_SHOWN], 1):
        yield Evidence(f"copy {number}", other.uri)
    if isinstance(copy.contents, Value) and (expires := copy.contents.value.expires) is not None:
        yield Evidence("expires", expires, source=HEAD_OBJECT)
    if copy.habits is not None:
        yield as_evidence("versioning", copy.habits.versioning)
        yield as_evidence("lock", copy.lock)
        yield Evidence("if deleted", _when_freed(copy))


def unread_contents_notice(buckets: Sequence[str]) -> str:
    """Return the note about *buckets* that hold artifacts of one size whose contents may not be read."""
    return (
        f"contents may not be read in {', '.join(buckets)}: artifacts there are compared by size and ETag "
        "alone, so copies are likely at most, and some are missed. To compare checksums and bytes, name "
        "buckets or folders in detectors.duplicate-artifacts.read_contents_in: that grants s3:GetObject and "
        "kms:Decrypt for their objects"
    )


_BATCH_JOB_USD, _BATCH_OBJECT_USD, _BATCH_GB_USD = 0.25, 0.000001, 0.004
"""
Prices of S3 Batch Operations: for a job, an object, and a gigabyte whose checksum is computed.
https://aws.amazon.com/s3/pricing/ for the first two; the last as others quote it.
"""


def checksum_job_notice(sizes: Sequence[int]) -> str:
    """
    Return the proposal for objects of these *sizes*, which are too large
    to compare and have no checksum.
    """
    usd = _BATCH_JOB_USD + _BATCH_OBJECT_USD * len(sizes) + _BATCH_GB_USD * sum(sizes) / 1024**3
    return (
        f"{len(sizes)} objects of inventories ({format_size(sum(sizes))}) have the size of another one, no "
        "checksum of the whole object, and more bytes than compare_up_to allows to read. A job of S3 Batch "
        f"Operations that computes their checksums costs about ${usd:,.2f}; its report shows which are "
        "equal. Nothing starts it: https://docs.aws.amazon.com/AmazonS3/latest/userguide/"
        "batch-ops-compute-checksums.html"
    )


def left_out_notice(count: int) -> str:
    """Return the note about *count* artifacts that are too many to compare."""
    return (
        f"{count:,} artifacts have the size of another one and were not compared: they are too many. Name "
        "fewer buckets, or a larger min_size, in detectors.duplicate-artifacts"
    )


def _alone(copy: ArtifactCopy) -> str:
    others = copy.standing.others
    if others and isinstance(copy.contents, Value) and not copy.contents.value.allowed:
        same = (
            "artifact of its size has its ETag"
            if unit_text(copy) == "it"
            else "folder has files of the same ETags"
        )
        return f"no other {same}, and its contents may not be read"
    if unit_text(copy) != "it":
        return f"it is one file of a model, and no other folder holds the same files as {unit_text(copy)}"
    if others:
        return f"its bytes differ from those of {others} other artifact{'s' * (others > 1)} of its size"
    return "no other artifact of its size is a model by itself"


def _stays(copy: ArtifactCopy) -> str:
    copies, twin = copy.standing.copies, copy.standing.keeper
    if copies:
        only, number = needed_only_by_text(copy), len(copies) + 1
        why = (
            f"of {number} copies, {only} refers to this one"
            if only
            else f"it is the oldest of {number} copies"
        )
        return f"it stays: {why}, and nothing in use refers to any of them"
    other = "another one" if twin is None else twin.uri
    return f"it has the same bytes as {other}, but of the two none is sure to stay by itself"


def _when_freed(copy: ArtifactCopy) -> str:
    if copy.habits is None:
        return "when its bytes would be freed was not read"
    tagged = copy.target.tags.value if isinstance(copy.target.tags, Value) else {}
    version = copy.contents.value.version if isinstance(copy.contents, Value) else None
    return when_freed(copy.habits, copy.stored, version, tagged)


def _checksums(contents: ObjectContents) -> str:
    whole = [f"{name} {value}" for name, value in contents.whole.items()]
    parts = [f"{name} of parts {value}" for name, value in contents.parts.items()]
    etag = contents.etag if not contents.allowed else contents.md5 or contents.parts_etag
    return ", ".join([*whole, *parts, *([f"ETag {etag}"] if etag else [])]) or "none that tells anything"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} (and {len(names) - 1} more)"


def _error(signal: Signal[Any]) -> str:
    return signal.error if isinstance(signal, Unreadable) else "it was not read"
