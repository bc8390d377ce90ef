"""The reasons about an artifact that may be a copy: why it stays, why it is surplus; and the evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from ml_janitor.aws.s3 import LIST_OBJECTS
from ml_janitor.aws.storage_prices import table
from ml_janitor.core.signals import Absent, Evidence, Signal, Unreadable, Value, evidence
from ml_janitor.core.text import data_size
from ml_janitor.detectors.duplicate_artifacts.artifact import Unit
from ml_janitor.detectors.duplicate_artifacts.buckets import freed
from ml_janitor.detectors.duplicate_artifacts.contents import HEAD_OBJECT, Contents, Likeness, Match
from ml_janitor.detectors.duplicate_artifacts.copies import Role
from ml_janitor.detectors.duplicate_artifacts.duplicates import Copy

NAMED_COPIES = 10
"""Copies that the evidence of a keeper names one by one."""


def unread(copy: Copy) -> str | None:
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


def not_a_copy(copy: Copy) -> str | None:
    """Return why *copy* stays although others have its size, or None."""
    if copy.archived is not None:
        return f"it is archived ({copy.archived}), so it cannot be compared unless it is restored"
    if isinstance(copy.referred, Value):
        return f"{_listed(copy.referred.value)} refers to {what(copy)}"
    if copy.replica:
        return "a replication rule of another bucket made it, and governs it"
    if copy.standing.role is Role.ALONE and copy.unsearched is None:
        return _alone(copy)
    stays = copy.standing.role is Role.STAYS and isinstance(copy.referred, Absent)
    return _stays(copy) if stays else None


def doubt(copy: Copy) -> str | None:
    """Return why nobody can tell whether *copy* may go, if a signal for that is unknown."""
    keeper, match = copy.standing.keeper, copy.standing.match
    if copy.standing.role is Role.ALONE:
        return f"a bucket that was not searched may hold the same as {what(copy)} ({copy.unsearched})"
    if copy.standing.role is Role.UNSURE and keeper is not None and match is not None:
        return f"nobody knows whether {what(copy)} is the same as {keeper.uri}: {match.by}"
    if not isinstance(copy.referred, Absent):
        return f"something may refer to {what(copy)}: {_error(copy.referred)}"
    if not isinstance(copy.lock, Value | Absent):
        return f"it may be locked: {_error(copy.lock)}"
    return None


def protected(copy: Copy, now: datetime) -> str | None:
    """
    Return why *copy* stays although it is surplus, or None: a lock, or a
    storage class that is billed all the same.
    """
    if isinstance(copy.lock, Value):
        return f"it is {copy.lock.value}"
    row = table().get(copy.stored.storage_class)
    if row is not None and row.min_age and now < (until := copy.stored.modified + row.min_age):
        return f"{copy.stored.storage_class} is billed until {until:%Y-%m-%d}, even if it is deleted before"
    return None


def surplus(copy: Copy, keeper: Unit, match: Match) -> str:
    """Return why *copy* is found."""
    same = (
        "has the same bytes as" if match.likeness is Likeness.PROVEN else "very likely has the same bytes as"
    )
    only = needed_only_by(copy)
    needed = f"needed only by {only}" if only else "nothing refers to this one"
    says = [f"{what(copy)} {same} {keeper.uri} ({match.by}), which stays; {needed}"]
    unit = copy.unit.value if isinstance(copy.unit, Value) else None
    if copy.standing.role is Role.ELSEWHERE:
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


def needed_only_by(copy: Copy) -> str | None:
    """Return the users of *copy* that are not in use, in words."""
    return _listed([user.label for user in copy.needed_only_by]) if copy.needed_only_by else None


def what(copy: Copy) -> str:
    """Return the unit of comparison, in words: the object, or the folder of its model."""
    unit = copy.unit.value if isinstance(copy.unit, Value) else None
    return "it" if unit is None or unit.root is None else f"its folder ({len(unit.files)} files)"


def evidence_of(copy: Copy) -> Iterator[Evidence]:
    """Yield every signal of *copy* as evidence."""
    artifact, standing, modified = copy.stored, copy.standing, copy.stored.modified
    yield Evidence("size", data_size(artifact.size), source=LIST_OBJECTS)
    yield Evidence("bytes", artifact.size, source=LIST_OBJECTS)
    yield Evidence("storage class", artifact.storage_class, source=LIST_OBJECTS)
    yield Evidence("last modified", f"{modified:%Y-%m-%dT%H:%M:%SZ}", source=LIST_OBJECTS, at=modified)
    yield evidence("compared as", copy.unit, lambda unit: unit.uri)
    yield evidence("checksums", copy.contents, _checksums)
    yield evidence("referred to by", copy.referred, "; ".join)
    if copy.needed_only_by:
        yield Evidence("needed only by", needed_only_by(copy))
    if copy.gaps:
        yield Evidence("what may be loaded", _listed(copy.gaps))
    if standing.keeper is not None:
        yield Evidence("keeper", standing.keeper.uri)
    if standing.match is not None:
        yield Evidence("compared", f"{standing.match.likeness.name.lower()}: {standing.match.by}")
    for number, other in enumerate(standing.copies[:NAMED_COPIES], 1):
        yield Evidence(f"copy {number}", other.uri)
    if isinstance(copy.contents, Value) and (expires := copy.contents.value.expires) is not None:
        yield Evidence("expires", expires, source=HEAD_OBJECT)
    if copy.habits is not None:
        yield evidence("versioning", copy.habits.versioning)
        yield evidence("lock", copy.lock)
        yield Evidence("if deleted", _when_freed(copy))


def unread_contents(buckets: Sequence[str]) -> str:
    """Return the note about *buckets* that hold artifacts of one size whose contents may not be read."""
    return (
        f"contents may not be read in {', '.join(buckets)}: artifacts there are compared by size and ETag "
        "alone, so copies are likely at most, and some are missed. To compare checksums and bytes, name "
        "buckets or folders in detectors.duplicate-artifacts.read_contents_in: that grants s3:GetObject and "
        "kms:Decrypt for their objects"
    )


JOB_USD, OBJECT_USD, GB_USD = 0.25, 0.000001, 0.004
"""
Prices of S3 Batch Operations: for a job, an object, and a gigabyte whose checksum is computed.
https://aws.amazon.com/s3/pricing/ for the first two; the last as others quote it.
"""


def checksum_job(sizes: Sequence[int]) -> str:
    """
    Return the proposal for objects of these *sizes*, which are too large
    to compare and have no checksum.
    """
    usd = JOB_USD + OBJECT_USD * len(sizes) + GB_USD * sum(sizes) / 1024**3
    return (
        f"{len(sizes)} objects of inventories ({data_size(sum(sizes))}) have the size of another one, no "
        "checksum of the whole object, and more bytes than compare_up_to allows to read. A job of S3 Batch "
        f"Operations that computes their checksums costs about ${usd:,.2f}; its report shows which are "
        "equal. Nothing starts it: https://docs.aws.amazon.com/AmazonS3/latest/userguide/"
        "batch-ops-compute-checksums.html"
    )


def left_out(count: int) -> str:
    """Return the note about *count* artifacts that are too many to compare."""
    return (
        f"{count:,} artifacts have the size of another one and were not compared: they are too many. Name "
        "fewer buckets, or a larger min_size, in detectors.duplicate-artifacts"
    )


def _alone(copy: Copy) -> str:
    others = copy.standing.others
    if others and isinstance(copy.contents, Value) and not copy.contents.value.allowed:
        same = (
            "artifact of its size has its ETag"
            if what(copy) == "it"
            else "folder has files of the same ETags"
        )
        return f"no other {same}, and its contents may not be read"
    if what(copy) != "it":
        return f"it is one file of a model, and no other folder holds the same files as {what(copy)}"
    if others:
        return f"its bytes differ from those of {others} other artifact{'s' * (others > 1)} of its size"
    return "no other artifact of its size is a model by itself"


def _stays(copy: Copy) -> str:
    copies, twin = copy.standing.copies, copy.standing.keeper
    if copies:
        only, number = needed_only_by(copy), len(copies) + 1
        why = (
            f"of {number} copies, {only} refers to this one"
            if only
            else f"it is the oldest of {number} copies"
        )
        return f"it stays: {why}, and nothing in use refers to any of them"
    other = "another one" if twin is None else twin.uri
    return f"it has the same bytes as {other}, but of the two none is sure to stay by itself"


def _when_freed(copy: Copy) -> str:
    if copy.habits is None:
        return "when its bytes would be freed was not read"
    tagged = copy.target.tags.value if isinstance(copy.target.tags, Value) else {}
    version = copy.contents.value.version if isinstance(copy.contents, Value) else None
    return freed(copy.habits, copy.stored, version, tagged)


def _checksums(contents: Contents) -> str:
    whole = [f"{name} {value}" for name, value in contents.whole.items()]
    parts = [f"{name} of parts {value}" for name, value in contents.parts.items()]
    etag = contents.etag if not contents.allowed else contents.md5 or contents.parts_etag
    return ", ".join([*whole, *parts, *([f"ETag {etag}"] if etag else [])]) or "none that tells anything"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} (and {len(names) - 1} more)"


def _error(signal: Signal[Any]) -> str:
    return signal.error if isinstance(signal, Unreadable) else "it was not read"
