"""An artifact that may be stored more than once, with the signals that tell. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ml_janitor.aws.arns import target_in
from ml_janitor.aws.client import Aws
from ml_janitor.aws.referrers import User
from ml_janitor.aws.s3 import GET_OBJECT_TAGGING
from ml_janitor.core.cost import Cost
from ml_janitor.core.model import Candidate, Target
from ml_janitor.core.ownership import protects
from ml_janitor.core.signals import Absent, NotRead, Signal, Tags, Unreadable, Value
from ml_janitor.detectors.duplicate_artifacts.artifact import Stored, Unit
from ml_janitor.detectors.duplicate_artifacts.buckets import Habits
from ml_janitor.detectors.duplicate_artifacts.contents import Contents
from ml_janitor.detectors.duplicate_artifacts.copies import Role, Standing

KIND = "object"

ARCHIVE_CLASSES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Storage classes whose objects cannot be read before they are restored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy(Candidate):
    """
    One artifact, and how it stands to others of its size.

    *unit* is what it is compared as: itself, or the whole folder of a model of several files.
    *stale* says how old the list is that it was found in, if it is too old to prove anything.
    *unsearched* says why other buckets may hold artifacts that nobody has seen, *gaps* why something in
    use may load any artifact. *referred* is what is in use and refers to it, *needed_only_by* what else
    does. The fields below *cost* are read only for what is surplus as far as the others tell.
    """

    stored: Stored
    unit: Signal[Unit]
    listing_error: str | None = None
    stale: str | None = None
    unsearched: str | None = None
    contents: Signal[Contents] = field(default_factory=NotRead)
    archived: str | None = None
    replica: bool = False
    referred: Signal[tuple[str, ...]] = field(default_factory=NotRead)
    needed_only_by: tuple[User, ...] = ()
    gaps: tuple[str, ...] = ()
    standing: Standing = field(default_factory=lambda: Standing(role=Role.ALONE))
    cost: Cost = field(default_factory=Cost)
    habits: Habits | None = None
    lock: Signal[str] = field(default_factory=NotRead)


def target_of(aws: Aws, one: Stored) -> Target:
    """Which object *one* is; identity is its ARN and when it was written."""
    name = f"{one.bucket}/{one.key}"
    return target_in(aws, f"arn:{aws.partition}:s3:::{name}", name, KIND, one.modified)


def archived(unit: Unit, known: Mapping[Stored, Contents]) -> str | None:
    """The archive class in which a file of *unit* is, if one is."""
    classes = (
        one.storage_class
        if one.storage_class in ARCHIVE_CLASSES
        else known[one].archived
        if one in known
        else None
        for one in unit.files
    )
    return next((name for name in classes if name is not None), None)


def surplus(copy: Copy) -> bool:
    """Whether *copy* may be found, as far as the cheap signals tell."""
    role = copy.standing.role in {Role.SURPLUS, Role.ELSEWHERE}
    return role and isinstance(copy.referred, Absent) and copy.listing_error is None and not copy.replica


def files_of(copy: Copy) -> tuple[Stored, ...]:
    """What stands or falls with *copy*."""
    return copy.unit.value.files if isinstance(copy.unit, Value) else (copy.stored,)


def together(*signals: Signal[Tags]) -> Signal[Tags]:
    """
    The tags of a bucket, of the files beside, and of the object itself, the later ones winning.

    What an earlier one says of production, or of a tool that manages it, stays: an object in a
    production bucket serves production, whatever is written on it.
    """
    merged: dict[str, str] = {}
    for signal in signals:
        match signal:
            case Value(tags):
                merged |= {
                    key: value
                    for key, value in tags.items()
                    if key not in merged or not protects(key, merged[key])
                }
            case other:
                return other
    return Value(merged, GET_OBJECT_TAGGING)


def strictest(locks: Sequence[Signal[str]]) -> Signal[str]:
    """Of several locks, one that is known to be there, else one that may be there."""
    order = (Value, Unreadable, NotRead, Absent)
    return min(locks, key=lambda lock: order.index(type(lock)))
