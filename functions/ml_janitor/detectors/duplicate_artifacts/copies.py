"""Which of several equal artifacts stay, and which are surplus. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ml_janitor.aws.references import Uses
from ml_janitor.core.signals import Value
from ml_janitor.detectors.duplicate_artifacts.artifact import Unit
from ml_janitor.detectors.duplicate_artifacts.contents import Likeness, Match, connected


class Role(StrEnum):
    """What one of several equally large artifacts is among them."""

    ALONE = "alone"
    UNSURE = "unsure"
    STAYS = "stays"
    SURPLUS = "surplus"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Member:
    """
    One of several artifacts of one shape.

    *uses* are what refers to it. One that is not *lasting* can be no other's keeper: it will
    expire by itself, or is a replica that another bucket governs.
    """

    unit: Unit
    uses: Uses
    lasting: bool

    @property
    def needed(self) -> bool:
        """Whether something in use is known to refer to it."""
        return isinstance(self.uses.in_use, Value)

    @property
    def rank(self) -> tuple[bool, bool, object, str]:
        """What is needed stays first, then what anything else refers to, then the older."""
        return not self.needed, not self.uses.needed_only_by, self.unit.modified, self.unit.uri


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """
    What a member is: *keeper* is the copy that makes it surplus, alike as *match* says.

    Of one that stays, *copies* are those that are surplus because of it; without any, *keeper* is
    an equal one that stays too. Of one that is `UNSURE`, *keeper* is what it may or may not be equal
    to. *others* is how many more have its shape, whether they are like it or not.
    """

    role: Role
    keeper: Unit | None = None
    match: Match | None = None
    copies: tuple[Unit, ...] = ()
    others: int = 0


type Compare = Callable[[Member, Member], Match]


def settle(members: Sequence[Member], compare: Compare) -> dict[Member, Standing]:
    """
    The standing of each of *members*, which have one shape.

    Within a bucket, everything needed stays; if nothing is, one that anything refers to, else the
    oldest. What stays for proven copies is never itself a likely one. Then the buckets are compared: of
    what stays in several, all but the needed and the oldest are reported as standing elsewhere too.
    """
    found: dict[Member, Standing] = {}
    stays: list[Member] = []
    for bucket in dict.fromkeys(member.unit.bucket for member in members):
        here = sorted((m for m in members if m.unit.bucket == bucket), key=lambda member: member.rank)
        proven = connected(here, lambda a, b: compare(a, b).likeness is Likeness.PROVEN)
        heads = [member for equal in proven for member in _surplus(equal, compare, found)]
        stays += _likely(heads, compare, found)
    _elsewhere(stays, compare, found)
    keeps: dict[Unit, list[Unit]] = {}
    for member, standing in found.items():
        if standing.keeper is not None:
            keeps.setdefault(standing.keeper, []).append(member.unit)
    for member in (member for member in members if member not in found):
        copies = tuple(keeps.get(member.unit, ()))
        found[member] = (
            Standing(role=Role.STAYS, copies=copies) if copies else _without_copies(member, members, compare)
        )
    return found


def _surplus(equal: Sequence[Member], compare: Compare, found: dict[Member, Standing]) -> list[Member]:
    """Of members of one bucket that are the same bytes, those that stay; the rest are *found*."""
    keeper = keeper_of(equal)
    if keeper is None:
        return list(equal)
    for member in equal:
        if member is not keeper and not member.needed:
            match = compare(member, keeper)
            if match.likeness is not Likeness.PROVEN:
                match = Match(Likeness.PROVEN, "equal to a third copy")
            found[member] = Standing(role=Role.SURPLUS, keeper=keeper.unit, match=match)
    return [member for member in equal if member not in found]


def _likely(heads: Sequence[Member], compare: Compare, found: dict[Member, Standing]) -> list[Member]:
    """Of what stays in one bucket so far, what stays even though some of it is likely to be alike."""
    keepers = {standing.keeper for standing in found.values()}
    stays: list[Member] = []
    for member in sorted(heads, key=lambda m: m.rank):
        free = not member.needed and member.unit not in keepers
        older = _alike(member, (one for one in stays if one.lasting), compare) if free else None
        if older is None:
            stays.append(member)
        else:
            keeper, match = older
            found[member] = Standing(role=Role.SURPLUS, keeper=keeper.unit, match=match)
    return stays


def _elsewhere(stays: Sequence[Member], compare: Compare, found: dict[Member, Standing]) -> None:
    """Of what stays in all buckets, find what another bucket holds as well."""
    first: list[Member] = []
    for member in sorted(stays, key=lambda m: m.rank):
        apart = (one for one in first if one.lasting and one.unit.bucket != member.unit.bucket)
        older = None if member.needed else _alike(member, apart, compare)
        if older is None:
            first.append(member)
        else:
            keeper, match = older
            found[member] = Standing(role=Role.ELSEWHERE, keeper=keeper.unit, match=match)


def keeper_of(equal: Sequence[Member]) -> Member | None:
    """The one that the copies among *equal* are copies of: a needed one, else the oldest; lasting."""
    return min((member for member in equal if member.lasting), key=lambda member: member.rank, default=None)


def _alike(member: Member, others: Iterable[Member], compare: Compare) -> tuple[Member, Match] | None:
    """The one of *others* most like *member*, if any is at least likely to be."""
    matches = [(other, compare(member, other)) for other in others]
    best = max(matches, key=lambda pair: pair[1].likeness, default=None)
    return best if best is not None and best[1].likeness >= Likeness.LIKELY else None


def _without_copies(member: Member, members: Sequence[Member], compare: Compare) -> Standing:
    """The standing of one that no other is surplus because of."""
    others = [other for other in members if other is not member]
    matches = [(other, compare(member, other)) for other in others]
    best = max(matches, key=lambda pair: pair[1].likeness, default=None)
    if best is None or best[1].likeness is Likeness.DIFFERENT:
        return Standing(role=Role.ALONE)
    role = Role.UNSURE if best[1].likeness is Likeness.UNKNOWN else Role.STAYS
    return Standing(role=role, keeper=best[0].unit, match=best[1])
