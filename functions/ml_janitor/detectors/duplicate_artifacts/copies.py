"""The relation between artifacts of one shape: their comparison, their roles, and the reasons in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from ml_janitor.aws.client import Aws
from ml_janitor.aws.locations import is_under
from ml_janitor.aws.references import ObjectUses, PlaceUser, References
from ml_janitor.aws.s3 import GET_OBJECT_TAGGING, LIST_OBJECTS
from ml_janitor.aws.storage import storage_price_table
from ml_janitor.aws.tags import target_in
from ml_janitor.core.model import (
    Absent,
    Candidate,
    Cost,
    Evidence,
    NotRead,
    Signal,
    Tags,
    Target,
    Unreadable,
    Value,
    as_evidence,
)
from ml_janitor.core.ownership import tag_protects
from ml_janitor.core.text import count_noun, format_size
from ml_janitor.detectors.duplicate_artifacts.artifacts import ArtifactUnit, StoredObject
from ml_janitor.detectors.duplicate_artifacts.buckets import DeletionRules, when_freed, why_maybe_read
from ml_janitor.detectors.duplicate_artifacts.contents import (
    HEAD_OBJECT,
    ContentComparison,
    ContentMatch,
    Likeness,
    ObjectContents,
    compare_units,
    connected_groups,
    read_contents,
)

# --- one artifact ---------------------------------------------------------------------------------

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


# --- roles ----------------------------------------------------------------------------------------


class CopyRole(StrEnum):
    """The role of one of several equally large artifacts."""

    ALONE = "alone"
    UNSURE = "unsure"
    STAYS = "stays"
    SURPLUS = "surplus"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupMember:
    """
    One of several artifacts of one shape.

    *uses* are the references to it. A member that is not *lasting* cannot be a keeper: it will expire by
    itself, or is a replica that another bucket governs.
    """

    unit: ArtifactUnit
    uses: ObjectUses
    lasting: bool

    @property
    def needed(self) -> bool:
        """True if a resource in use is known to refer to it."""
        return isinstance(self.uses.in_use, Value)

    @property
    def rank(self) -> tuple[bool, bool, object, str]:
        """The order of keeping: needed members first, then members with any reference, then the older."""
        return not self.needed, not self.uses.needed_only_by, self.unit.modified, self.unit.uri


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyStanding:
    """
    The standing of a member: *keeper* is the copy that makes it surplus, alike as *match* says.

    For a member that stays, *copies* are the members that are surplus because of it; without any, *keeper* is
    an equal member that stays too. For an `UNSURE` member, *keeper* is the artifact that it may be equal to.
    *others* counts the further artifacts of its shape, alike or not.
    """

    role: CopyRole
    keeper: ArtifactUnit | None = None
    match: ContentMatch | None = None
    copies: tuple[ArtifactUnit, ...] = ()
    others: int = 0


type CompareMembers = Callable[[GroupMember, GroupMember], ContentMatch]


def settle_standings(
    members: Sequence[GroupMember], compare: CompareMembers
) -> dict[GroupMember, CopyStanding]:
    """
    Return the standing of each of *members*, which have one shape.

    Within a bucket, every needed member stays. If none is needed, a member with any reference stays, else the
    oldest. A keeper of proven copies is never a likely copy itself. Then the buckets are compared: of members
    that stay in several, all but the needed and the oldest are reported as standing elsewhere too.
    """
    found: dict[GroupMember, CopyStanding] = {}
    stays: list[GroupMember] = []
    for bucket in dict.fromkeys(member.unit.bucket for member in members):
        here = sorted((m for m in members if m.unit.bucket == bucket), key=lambda member: member.rank)
        proven = connected_groups(here, lambda a, b: compare(a, b).likeness is Likeness.PROVEN)
        heads = [member for equal in proven for member in _surplus(equal, compare, found)]
        stays += _likely(heads, compare, found)
    _elsewhere(stays, compare, found)
    keeps: dict[ArtifactUnit, list[ArtifactUnit]] = {}
    for member, standing in found.items():
        if standing.keeper is not None:
            keeps.setdefault(standing.keeper, []).append(member.unit)
    for member in (member for member in members if member not in found):
        copies = tuple(keeps.get(member.unit, ()))
        found[member] = (
            CopyStanding(role=CopyRole.STAYS, copies=copies)
            if copies
            else _without_copies(member, members, compare)
        )
    return found


def _surplus(
    equal: Sequence[GroupMember], compare: CompareMembers, found: dict[GroupMember, CopyStanding]
) -> list[GroupMember]:
    """Return the members that stay of one bucket's equal members; record the others in *found*."""
    keeper = choose_keeper(equal)
    if keeper is None:
        return list(equal)
    for member in equal:
        if member is not keeper and not member.needed:
            match = compare(member, keeper)
            if match.likeness is not Likeness.PROVEN:
                match = ContentMatch(Likeness.PROVEN, "equal to a third copy")
            found[member] = CopyStanding(role=CopyRole.SURPLUS, keeper=keeper.unit, match=match)
    return [member for member in equal if member not in found]


def _likely(
    heads: Sequence[GroupMember], compare: CompareMembers, found: dict[GroupMember, CopyStanding]
) -> list[GroupMember]:
    """Return the members that stay in one bucket after likely copies; record the copies in *found*."""
    keepers = {standing.keeper for standing in found.values()}
    stays: list[GroupMember] = []
    for member in sorted(heads, key=lambda m: m.rank):
        free = not member.needed and member.unit not in keepers
        older = _alike(member, (other for other in stays if other.lasting), compare) if free else None
        if older is None:
            stays.append(member)
        else:
            keeper, match = older
            found[member] = CopyStanding(role=CopyRole.SURPLUS, keeper=keeper.unit, match=match)
    return stays


def _elsewhere(
    stays: Sequence[GroupMember], compare: CompareMembers, found: dict[GroupMember, CopyStanding]
) -> None:
    """Record in *found* the staying members that another bucket holds as well."""
    first: list[GroupMember] = []
    for member in sorted(stays, key=lambda m: m.rank):
        apart = (other for other in first if other.lasting and other.unit.bucket != member.unit.bucket)
        older = None if member.needed else _alike(member, apart, compare)
        if older is None:
            first.append(member)
        else:
            keeper, match = older
            found[member] = CopyStanding(role=CopyRole.ELSEWHERE, keeper=keeper.unit, match=match)


def choose_keeper(equal: Sequence[GroupMember]) -> GroupMember | None:
    """Return the keeper of the copies among *equal*: a needed member, else the oldest; a lasting one."""
    return min((member for member in equal if member.lasting), key=lambda member: member.rank, default=None)


def _alike(
    member: GroupMember, others: Iterable[GroupMember], compare: CompareMembers
) -> tuple[GroupMember, ContentMatch] | None:
    """Return the *others*' member that is most like *member*, if any is at least likely."""
    matches = [(other, compare(member, other)) for other in others]
    best = max(matches, key=lambda pair: pair[1].likeness, default=None)
    return best if best is not None and best[1].likeness >= Likeness.LIKELY else None


def _without_copies(
    member: GroupMember, members: Sequence[GroupMember], compare: CompareMembers
) -> CopyStanding:
    """Return the standing of an artifact that has no surplus copies."""
    others = [other for other in members if other is not member]
    matches = [(other, compare(member, other)) for other in others]
    best = max(matches, key=lambda pair: pair[1].likeness, default=None)
    if best is None or best[1].likeness is Likeness.DIFFERENT:
        return CopyStanding(role=CopyRole.ALONE)
    role = CopyRole.UNSURE if best[1].likeness is Likeness.UNKNOWN else CopyRole.STAYS
    return CopyStanding(role=role, keeper=best[0].unit, match=best[1])


# --- comparison and roles -------------------------------------------------------------------------


@dataclass(slots=True)
class Standings:
    """
    The *known* contents of each file, or why it is *unreadable*, and the standings that follow.

    *contents_in* are the prefixes under which contents may be read;
    *references* reads the references to them.
    """

    aws: Aws
    contents_in: Sequence[str]
    compare_up_to: int
    references: Callable[[], References]
    known: dict[StoredObject, ObjectContents] = field(default_factory=dict)
    unreadable: dict[StoredObject, Unreadable] = field(default_factory=dict)

    def of(self, units: Sequence[ArtifactUnit]) -> dict[ArtifactUnit, tuple[CopyStanding, ObjectUses]]:
        """Return the standing and the uses of each of *units* that has another of its shape."""
        shapes: dict[object, list[ArtifactUnit]] = {}
        for unit in units:
            shapes.setdefault(unit.shape, []).append(unit)
        groups = [group for group in shapes.values() if len(group) > 1]
        self._heads([unit for group in groups for unit in group])
        open_ones = [
            [self._member(unit) for unit in group if not archived_class(unit, self.known)] for group in groups
        ]
        cells = [cell for group in open_ones for cell in self._cells(group)]
        if cells and not self.references().errors:
            self._compare([cell for cell in cells if not all(member.needed for member in cell)])
        found: dict[ArtifactUnit, tuple[CopyStanding, ObjectUses]] = {}
        for cell in cells:
            for member, standing in settle_standings(cell, self._alike).items():
                others = len(shapes[member.unit.shape]) - 1
                found[member.unit] = replace(standing, others=others), member.uses
        return found

    def _heads(self, units: Iterable[ArtifactUnit]) -> None:
        """
        Read S3's facts about every file of *units*; only the listing counts
        where contents may not be read.
        """
        files = {file: unit.region for unit in units for file in unit.files}
        readable = {file: at for file, at in files.items() if is_under(self.contents_in, file.uri)}
        for file in files.keys() - readable.keys():
            self.known[file] = ObjectContents(size=file.size, etag=file.etag, allowed=False)
        todo = list(readable.items())
        for (file, _), answer in zip(
            todo, self.aws.map(lambda at: read_contents(self.aws, *at), todo), strict=True
        ):
            if isinstance(answer, Value):
                self.known[file] = answer.value
            else:
                why = answer.error if isinstance(answer, Unreadable) else "it is gone"
                self.unreadable[file] = Unreadable(why)
                self.known[file] = ObjectContents(
                    size=file.size, etag=file.etag, unread=f"{file.uri} could not be read ({why})"
                )

    def _member(self, unit: ArtifactUnit) -> GroupMember:
        contents = [self.known[file] for file in unit.files]
        return GroupMember(
            unit=unit,
            uses=self.references().to(unit.bucket, [file.key for file in unit.files]),
            lasting=not any(known.expires or known.replica for known in contents),
        )

    def _alike(self, a: GroupMember, b: GroupMember) -> ContentMatch:
        return compare_units(a.unit, b.unit, self.known)

    def _cells(self, members: Sequence[GroupMember]) -> list[list[GroupMember]]:
        """Return *members* of one shape in the smallest sets that are unlike everything outside."""
        return connected_groups(members, lambda a, b: self._alike(a, b).likeness is not Likeness.DIFFERENT)

    def _compare(self, cells: list[list[GroupMember]]) -> None:
        """Read the bytes of *cells*, of every model its smallest files first: they differ soonest."""
        comparison = ContentComparison(self.aws, self.known, self.compare_up_to)
        cells = [[m for m in cell if m.unit.region == self.aws.region] for cell in cells]
        step = 0
        while cells := [cell for cell in cells if len(cell) > 1 and step < len(cell[0].unit.files)]:
            comparison.settle([[files_by_size(member.unit)[step] for member in cell] for cell in cells])
            cells = [part for cell in cells for part in self._cells(cell)]
            step += 1


def files_by_size(unit: ArtifactUnit) -> list[StoredObject]:
    """Return the files of *unit*, the smallest first; the same order in every unit of its shape."""
    return [unit.files[n] for n in sorted(range(len(unit.files)), key=lambda n: unit.files[n].size)]


# --- reasons and evidence -------------------------------------------------------------------------

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
    if (why := why_perhaps_read(copy)) is not None:
        says.append(why)
    return "; ".join([*says, _when_freed(copy)])


def why_perhaps_read(copy: ArtifactCopy) -> str | None:
    """Return why somebody outside the account may use *copy*, or None."""
    readers = copy.habits.readers if copy.habits is not None else NotRead()
    return why_maybe_read(readers, copy.target.arn)


def needed_only_by_text(copy: ArtifactCopy) -> str | None:
    """Return the users of *copy* that are not in use, in words."""
    return _listed([user.label for user in copy.needed_only_by]) if copy.needed_only_by else None


def unit_text(copy: ArtifactCopy) -> str:
    """Return the unit of comparison, in words: the object, or the folder of its model."""
    unit = copy.unit.value if isinstance(copy.unit, Value) else None
    return (
        "it" if unit is None or unit.root is None else f"its folder ({count_noun(len(unit.files), 'file')})"
    )


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
        f"{count_noun(len(sizes), 'object')} of inventories ({format_size(sum(sizes))}) have the "
        "size of another one, no "
        "checksum of the whole object, and more bytes than a sweep compares. A job of S3 Batch "
        f"Operations that computes their checksums costs about ${usd:,.2f}; its report shows which are "
        "equal. Nothing starts it: https://docs.aws.amazon.com/AmazonS3/latest/userguide/"
        "batch-ops-compute-checksums.html"
    )


def left_out_notice(count: int) -> str:
    """Return the note about *count* artifacts that are too many to compare."""
    return (
        f"{count_noun(count, 'artifact')} have the size of another one and were not compared: they "
        "are too many. Name "
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
            f"of {count_noun(number, 'copy')}, {only} refers to this one"
            if only
            else f"it is the oldest of {count_noun(number, 'copy')}"
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
