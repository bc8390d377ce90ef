"""One reading of an account's artifacts: those that share a size with another, and their relation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime

from ml_janitor.aws import references, s3, storage_prices
from ml_janitor.aws.answers import Listing, attempt
from ml_janitor.aws.client import Aws
from ml_janitor.aws.references import References, Uses
from ml_janitor.aws.s3 import LIST_OBJECTS
from ml_janitor.core.signals import NotRead, Signal, Unreadable, Value
from ml_janitor.detectors.duplicate_artifacts import artifact as artifacts
from ml_janitor.detectors.duplicate_artifacts import buckets, duplicates, inventory_source
from ml_janitor.detectors.duplicate_artifacts import copy_reasons as reasons
from ml_janitor.detectors.duplicate_artifacts.artifact import Names, Shelf, Stored, Unit
from ml_janitor.detectors.duplicate_artifacts.bucket_listing import BucketListing, listed
from ml_janitor.detectors.duplicate_artifacts.comparing import OVER_BUDGET
from ml_janitor.detectors.duplicate_artifacts.contents import Contents
from ml_janitor.detectors.duplicate_artifacts.copies import Role, Standing
from ml_janitor.detectors.duplicate_artifacts.inventory_source import Asking
from ml_janitor.detectors.duplicate_artifacts.sources import Source, candidates, folders_of
from ml_janitor.detectors.duplicate_artifacts.standings import Standings


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """
    The buckets to search (none named: those with references), the names to look for, and the limits.

    *contents_in* are the prefixes under which contents may be read. Buckets with
    an inventory in *asking* are not listed.
    """

    buckets: tuple[str, ...]
    contents_in: tuple[str, ...]
    names: Names
    compare_up_to: int
    asking: Asking = field(default_factory=Asking)


@dataclass(slots=True)
class Survey:
    """One reading of an account and region at *now*."""

    aws: Aws
    where: Where
    now: datetime
    errors: list[str] = field(default_factory=list)
    _noticed: list[str] = field(default_factory=list)
    _references: References | None = None
    _listing: BucketListing | None = None
    standings: Standings = field(init=False)

    def __post_init__(self) -> None:
        where = self.where
        self.standings = Standings(self.aws, where.contents_in, where.compare_up_to, self.references)

    def read(
        self, *, also: str | None = None, sizes: AbstractSet[int] | None = None
    ) -> Listing[duplicates.Copy]:
        """
        Return every artifact of the region that shares its size with another.

        With *sizes*, return the artifacts of these sizes, alone or not; *also* is a further bucket to search.
        """
        found = self._found(self._sources(also, sizes), sizes)
        units = self._units(found)
        read = {artifact: signal.value for artifact, signal in units.items() if isinstance(signal, Value)}
        standings = self.standings.of(list(dict.fromkeys(read.values())))
        copies = [
            self._copy(shelf, artifact, units[artifact], standings)
            for shelf, artifact in found
            if shelf.region == self.aws.region
        ]
        copies = self._open_ones_read(copies)
        if self._listing is not None and not self.aws.ran_out:
            ended = attempt(self._listing.done, source="s3:PutObject")
            if isinstance(ended, Unreadable):
                self.errors.append(f"another run of today would go on with this listing: {ended.error}")
        return Listing(tuple(copies), "; ".join(self.errors) or None)

    def references(self) -> References:
        """
        Return everything that refers to artifacts, read on first use: it
        costs a call per model and job.
        """
        if self._references is None:
            self._references = references.read(self.aws, self.where.contents_in, self.now)
        return self._references

    @property
    def _notices(self) -> tuple[str, ...]:
        """The notices for all copies: references to deleted artifacts, and gaps in the reading."""
        found = (*self._references.gaps, *self._references.leftovers) if self._references else ()
        closed = sorted(
            {file.bucket for file, contents in self.standings.known.items() if not contents.allowed}
        )
        large = [
            file.size
            for file, contents in self.standings.known.items()
            if contents.unread == OVER_BUDGET and not contents.whole and self.where.asking.of(file.bucket)
        ]
        job = [reasons.checksum_job(large)] if large else []
        return (*found, *([reasons.unread_contents(closed)] if closed else []), *self._noticed, *job)

    def _sources(self, also: str | None, sizes: AbstractSet[int] | None) -> list[Source]:
        """Return the sources of the artifacts of every bucket that is searched."""
        places = self._named() if self.where.buckets else self._referred()
        if also is not None:
            places.setdefault(also, self.aws.region)
        asking, names = self.where.asking, self.where.names
        few = {name: region for name, region in places.items() if asking.of(name) is None}
        self._listing = read = listed(self.aws, few, names, self.now, only=sizes)
        self._noticed += inventory_source.unnamed(self.aws, asking, list(read.shelves.values()))
        known = inventory_source.read_all(
            self.aws,
            asking,
            places,
            names,
            self.now,
            readable=self._readable,
            sizes=sizes,
            elsewhere={artifact.size for artifact in read.artifacts()} if asking.inventories else frozenset(),
        )
        self._noticed += known.notices
        self.errors += known.errors
        return [read, *known.sources]

    def _found(self, sources: Sequence[Source], sizes: AbstractSet[int] | None) -> list[tuple[Shelf, Stored]]:
        """Return each artifact that shares its size with another, bucket by bucket, with its shelf."""
        shelves = {name: shelf for source in sources for name, shelf in source.shelves.items()}
        self.errors += [shelf.error for shelf in shelves.values() if shelf.error is not None]
        found = candidates([source.artifacts() for source in sources], sizes)
        if found.left_out:
            self.errors.append(reasons.left_out(found.left_out))
        folders = folders_of(found.artifacts)
        for source in sources:
            source.notice(folders)
        place = {name: number for number, name in enumerate(shelves)}
        in_order = sorted(found.artifacts, key=lambda artifact: (place[artifact.bucket], artifact.key))
        return [(shelves[artifact.bucket], artifact) for artifact in in_order]

    def _named(self) -> dict[str, str]:
        """Return the named buckets with their regions."""
        names = list(dict.fromkeys([*self.where.buckets, *self._readable, *self.where.asking.buckets]))
        regions = by(names, self.aws.map(lambda name: buckets.region_of(self.aws, name), names))
        self.errors += [
            f"bucket {name}: {region.error}"
            for name, region in regions.items()
            if isinstance(region, Unreadable)
        ]
        return {name: region.value for name, region in regions.items() if isinstance(region, Value)}

    def _referred(self) -> dict[str, str]:
        """
        Return the account's buckets in the region with references to them,
        and SageMaker's default bucket.
        """
        wanted = {*self.references().buckets, *self._readable, *self.where.asking.buckets}
        wanted.add(f"sagemaker-{self.aws.region}-{self.aws.account}")
        self.errors += [f"not every bucket may be known: {why}" for why in self.references().errors]
        owned = buckets.owned(self.aws)
        if owned.error is not None:
            self.errors.append(owned.error)
        return {name: self.aws.region for name in owned.items if name in wanted}

    @property
    def _readable(self) -> list[str]:
        """The buckets in which contents may be read, of all or of some objects."""
        return [prefix.split("/")[2] for prefix in self.where.contents_in]

    def _units(self, found: Sequence[tuple[Shelf, Stored]]) -> dict[Stored, Signal[Unit]]:
        """Return the unit of comparison of each of *found*; a folder is read once for all files in it."""
        above = {artifact: root for shelf, artifact in found if (root := shelf.root(artifact)) is not None}
        roots = [
            (shelf.bucket, shelf.region, above[artifact]) for shelf, artifact in found if artifact in above
        ]
        roots = list(dict.fromkeys(roots))
        folders = by(roots, self.aws.map(lambda at: artifacts.folder(self.aws, *at), roots))
        units: dict[Stored, Signal[Unit]] = {}
        for shelf, artifact in found:
            if artifact in above:
                unit = folders[shelf.bucket, shelf.region, above[artifact]]
                replaced = isinstance(unit, Value) and artifact not in unit.value.files
                units[artifact] = Unreadable(f"{artifact.uri} was replaced meanwhile") if replaced else unit
            else:
                crowded = shelf.crowded(artifact)
                units[artifact] = Value(
                    Unit(bucket=shelf.bucket, region=shelf.region, files=(artifact,), crowded=crowded),
                    LIST_OBJECTS,
                )
        return units

    def _copy(
        self,
        shelf: Shelf,
        artifact: Stored,
        unit: Signal[Unit],
        standings: Mapping[Unit, tuple[Standing, Uses]],
    ) -> duplicates.Copy:
        """Return *artifact* as a candidate, with the cheap signals."""
        copy = duplicates.Copy(
            target=duplicates.target_of(self.aws, artifact),
            stored=artifact,
            unit=unit,
            listing_error=shelf.error,
            stale=shelf.stale,
            unsearched="; ".join(self.errors) or None,
        )
        if not isinstance(unit, Value):
            return copy
        files = unit.value.files
        contents: Signal[Contents] = (
            Value(self.standings.known[artifact]) if artifact in self.standings.known else NotRead()
        )
        standing, uses = standings.get(unit.value, (Standing(role=Role.ALONE), Uses(NotRead(), ())))
        return replace(
            copy,
            contents=next(
                (self.standings.unreadable[file] for file in files if file in self.standings.unreadable),
                contents,
            ),
            archived=duplicates.archived(unit.value, self.standings.known),
            gaps=tuple(self._references.gaps) if self._references else (),
            notices=self._notices,
            replica=any(self.standings.known[file].replica for file in files if file in self.standings.known),
            referred=uses.in_use,
            needed_only_by=uses.needed_only_by,
            standing=standing,
        )

    def _open_ones_read(self, copies: Sequence[duplicates.Copy]) -> list[duplicates.Copy]:
        """Return *copies*, with further signals for those that are surplus as far as is known."""
        todo = [copy for copy in copies if duplicates.surplus(copy)]
        if not todo:
            return list(copies)
        prices = storage_prices.read(self.aws)
        names = list(dict.fromkeys(copy.stored.bucket for copy in todo))
        habits = by(names, self.aws.map(lambda name: buckets.habits(self.aws, name), names))
        files = list(dict.fromkeys(file for copy in todo for file in duplicates.files_of(copy)))
        tagged = by(files, self.aws.map(lambda file: s3.object_tags(self.aws, file.bucket, file.key), files))
        locks = by(
            files, self.aws.map(lambda file: buckets.locked(self.aws, file, habits[file.bucket].lock), files)
        )
        read = {}
        for copy in todo:
            artifact, bucket = copy.stored, habits[copy.stored.bucket]
            siblings = [tagged[file] for file in duplicates.files_of(copy) if file != artifact]
            read[artifact] = replace(
                copy,
                target=replace(
                    copy.target, tags=duplicates.together(bucket.tags, *siblings, tagged[artifact])
                ),
                cost=prices.cost(artifact.storage_class, artifact.size),
                habits=bucket,
                lock=duplicates.strictest([locks[file] for file in duplicates.files_of(copy)]),
            )
        return [read.get(copy.stored, copy) for copy in copies]


def by[K, V](keys: Sequence[K], values: Sequence[V]) -> dict[K, V]:
    """Return *values*, which are the answers about *keys*, by those keys."""
    return dict(zip(keys, values, strict=True))
