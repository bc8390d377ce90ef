"""An artifact that may be stored more than once, with the signals about it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ml_janitor.aws.arns import target_in
from ml_janitor.aws.client import Aws
from ml_janitor.aws.referrers import PlaceUser
from ml_janitor.aws.s3 import GET_OBJECT_TAGGING
from ml_janitor.core.cost import Cost
from ml_janitor.core.model import Candidate, Target
from ml_janitor.core.ownership import tag_protects
from ml_janitor.core.signals import Absent, NotRead, Signal, Tags, Unreadable, Value
from ml_janitor.detectors.duplicate_artifacts.artifact import ArtifactUnit, StoredObject
from ml_janitor.detectors.duplicate_artifacts.buckets import DeletionRules
from ml_janitor.detectors.duplicate_artifacts.contents import ObjectContents
from ml_janitor.detectors.duplicate_artifacts.copies import CopyRole, CopyStanding

OBJECT_KIND = "object"

ARCHIVE_CLASSES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Storage classes whose objects cannot be read before they are restored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactCopy(Candidate):
    """
    One artifact, and its relation to others of its size.

    *unit* is the unit of comparison: the artifact itself, or the whole folder of a model of several files.
    *stale* says how old its list is, if the list is too old to prove anything. *unsearched* says why other
    buckets may hold unseen artifacts, *gaps* why a resource in use may load any artifact. *referred* holds
    the resources in use that refer to it, *needed_only_by* the other resources. The fields below *cost* are
    read only for an artifact that is surplus as far as the others tell.
    """

    stored: StoredObject
    unit: Signal[ArtifactUnit]
    listing_error: str | None = None
    stale: str | None = None
    unsearched: str | None = None
    contents: Signal[ObjectContents] = field(default_factory=NotRead)
    archived: str | None = None
    replica: bool = False
    referred: Signal[tuple[str, ...]] = field(default_factory=NotRead)
    needed_only_by: tuple[PlaceUser, ...] = ()
    gaps: tuple[str, ...] = ()
    standing: CopyStanding = field(default_factory=lambda: CopyStanding(role=CopyRole.ALONE))
    cost: Cost = field(default_factory=Cost)
    habits: DeletionRules | None = None
    lock: Signal[str] = field(default_factory=NotRead)


def object_target(aws: Aws, artifact: StoredObject) -> Target:
    """Return the target for *artifact*; identity is its ARN and the time at which it was written."""
    name = f"{artifact.bucket}/{artifact.key}"
    return target_in(aws, f"arn:{aws.partition}:s3:::{name}", name, OBJECT_KIND, artifact.modified)


def archived_class(unit: ArtifactUnit, known: Mapping[StoredObject, ObjectContents]) -> str | None:
    """Return the archive class of an archived file of *unit*, or None."""
    classes = (
        file.storage_class
        if file.storage_class in ARCHIVE_CLASSES
        else known[file].archived
        if file in known
        else None
        for file in unit.files
    )
    return next((name for name in classes if name is not None), None)


def is_surplus(copy: ArtifactCopy) -> bool:
    """Return whether *copy* may be found, as far as the cheap signals tell."""
    role = copy.standing.role in {CopyRole.SURPLUS, CopyRole.ELSEWHERE}
    return role and isinstance(copy.referred, Absent) and copy.listing_error is None and not copy.replica


def copy_files(copy: ArtifactCopy) -> tuple[StoredObject, ...]:
    """Return the files that stand or fall with *copy*."""
    return copy.unit.value.files if isinstance(copy.unit, Value) else (copy.stored,)


def merge_object_tags(*signals: Signal[Tags]) -> Signal[Tags]:
    """
    Return the tags of a bucket, of the files beside, and of the object itself, the later ones winning.

    An earlier tag of production, or of a tool that manages the object, stays: an object in a production
    bucket serves production, whatever its own tags say.
    """
    merged: dict[str, str] = {}
    for signal in signals:
        match signal:
            case Value(tags):
                merged |= {
                    key: value
                    for key, value in tags.items()
                    if key not in merged or not tag_protects(key, merged[key])
                }
            case other:
                return other
    return Value(merged, GET_OBJECT_TAGGING)


def strictest_lock(locks: Sequence[Signal[str]]) -> Signal[str]:
    """Return the strictest of several locks: a known lock, else a possible one."""
    order = (Value, Unreadable, NotRead, Absent)
    return min(locks, key=lambda lock: order.index(type(lock)))
