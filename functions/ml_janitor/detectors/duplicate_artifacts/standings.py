"""The relation of artifacts of one shape to each other: by S3's facts, else by reading their bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from ml_janitor.aws.client import Aws
from ml_janitor.aws.locations import within
from ml_janitor.aws.references import References, Uses
from ml_janitor.core.signals import Unreadable, Value
from ml_janitor.detectors.duplicate_artifacts.artifact import Stored, Unit
from ml_janitor.detectors.duplicate_artifacts.comparing import Comparison
from ml_janitor.detectors.duplicate_artifacts.contents import (
    Contents,
    Likeness,
    Match,
    connected,
    head,
    units_alike,
)
from ml_janitor.detectors.duplicate_artifacts.copies import Member, Standing, settle
from ml_janitor.detectors.duplicate_artifacts.duplicates import archived


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
    known: dict[Stored, Contents] = field(default_factory=dict)
    unreadable: dict[Stored, Unreadable] = field(default_factory=dict)

    def of(self, units: Sequence[Unit]) -> dict[Unit, tuple[Standing, Uses]]:
        """Return the standing and the uses of each of *units* that has another of its shape."""
        shapes: dict[object, list[Unit]] = {}
        for unit in units:
            shapes.setdefault(unit.shape, []).append(unit)
        groups = [group for group in shapes.values() if len(group) > 1]
        self._heads([unit for group in groups for unit in group])
        open_ones = [
            [self._member(unit) for unit in group if not archived(unit, self.known)] for group in groups
        ]
        cells = [cell for group in open_ones for cell in self._cells(group)]
        if cells and not self.references().errors:
            self._compare([cell for cell in cells if not all(member.needed for member in cell)])
        found: dict[Unit, tuple[Standing, Uses]] = {}
        for cell in cells:
            for member, standing in settle(cell, self._alike).items():
                others = len(shapes[member.unit.shape]) - 1
                found[member.unit] = replace(standing, others=others), member.uses
        return found

    def _heads(self, units: Iterable[Unit]) -> None:
        """
        Read S3's facts about every file of *units*; only the listing counts
        where contents may not be read.
        """
        files = {file: unit.region for unit in units for file in unit.files}
        readable = {file: at for file, at in files.items() if within(self.contents_in, file.uri)}
        for file in files.keys() - readable.keys():
            self.known[file] = Contents(size=file.size, etag=file.etag, allowed=False)
        todo = list(readable.items())
        for (file, _), answer in zip(todo, self.aws.map(lambda at: head(self.aws, *at), todo), strict=True):
            if isinstance(answer, Value):
                self.known[file] = answer.value
            else:
                why = answer.error if isinstance(answer, Unreadable) else "it is gone"
                self.unreadable[file] = Unreadable(why)
                self.known[file] = Contents(
                    size=file.size, etag=file.etag, unread=f"{file.uri} could not be read ({why})"
                )

    def _member(self, unit: Unit) -> Member:
        contents = [self.known[file] for file in unit.files]
        return Member(
            unit=unit,
            uses=self.references().to(unit.bucket, [file.key for file in unit.files]),
            lasting=not any(known.expires or known.replica for known in contents),
        )

    def _alike(self, a: Member, b: Member) -> Match:
        return units_alike(a.unit, b.unit, self.known)

    def _cells(self, members: Sequence[Member]) -> list[list[Member]]:
        """Return *members* of one shape in the smallest sets that are unlike everything outside."""
        return connected(members, lambda a, b: self._alike(a, b).likeness is not Likeness.DIFFERENT)

    def _compare(self, cells: list[list[Member]]) -> None:
        """Read the bytes of *cells*, of every model its smallest files first: they differ soonest."""
        comparison = Comparison(self.aws, self.known, self.compare_up_to)
        cells = [[m for m in cell if m.unit.region == self.aws.region] for cell in cells]
        step = 0
        while cells := [cell for cell in cells if len(cell) > 1 and step < len(cell[0].unit.files)]:
            comparison.settle([[by_size(member.unit)[step] for member in cell] for cell in cells])
            cells = [part for cell in cells for part in self._cells(cell)]
            step += 1


def by_size(unit: Unit) -> list[Stored]:
    """Return the files of *unit*, the smallest first; the same order in every unit of its shape."""
    return [unit.files[n] for n in sorted(range(len(unit.files)), key=lambda n: unit.files[n].size)]
