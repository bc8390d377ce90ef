"""The choice between equal artifacts: which stay, and which are surplus. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ml_janitor.aws.references import ObjectUses
from ml_janitor.core.signals import Value
from ml_janitor.detectors.duplicate_artifacts.artifact import ArtifactUnit
from ml_janitor.detectors.duplicate_artifacts.contents import ContentMatch, Likeness, connected_groups


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
