"""The relation of artifacts of one shape to each other: by S3's facts, else by reading their bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from ml_janitor.aws.client import Aws
from ml_janitor.aws.locations import is_under
from ml_janitor.aws.references import ObjectUses, References
from ml_janitor.core.signals import Unreadable, Value
from ml_janitor.detectors.duplicate_artifacts.artifact import ArtifactUnit, StoredObject
from ml_janitor.detectors.duplicate_artifacts.comparing import ContentComparison
from ml_janitor.detectors.duplicate_artifacts.contents import (
    ContentMatch,
    Likeness,
    ObjectContents,
    compare_units,
    connected_groups,
    read_contents,
)
from ml_janitor.detectors.duplicate_artifacts.copies import CopyStanding, GroupMember, settle_standings
from ml_janitor.detectors.duplicate_artifacts.duplicates import archived_class


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
