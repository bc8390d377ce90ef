"""One reading of an account's artifacts: those that share a size with another, and their relation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime

from ml_janitor.aws import references, s3, storage
from ml_janitor.aws.calls import Listing, read_signal
from ml_janitor.aws.client import Aws
from ml_janitor.aws.references import ObjectUses, References
from ml_janitor.aws.s3 import LIST_OBJECTS
from ml_janitor.core.model import NotRead, Signal, Unreadable, Value
from ml_janitor.detectors.duplicate_artifacts import artifacts, buckets, inventories
from ml_janitor.detectors.duplicate_artifacts.artifacts import (
    ArtifactNames,
    ArtifactSource,
    ArtifactUnit,
    BucketIndex,
    BucketListing,
    StoredObject,
    find_candidates,
    list_buckets,
    relevant_folders,
)
from ml_janitor.detectors.duplicate_artifacts.contents import OVER_COMPARE_BUDGET, ObjectContents
from ml_janitor.detectors.duplicate_artifacts.copies import (
    ArtifactCopy,
    CopyRole,
    CopyStanding,
    Standings,
    archived_class,
    checksum_job_notice,
    copy_files,
    is_surplus,
    left_out_notice,
    merge_object_tags,
    object_target,
    strictest_lock,
    unread_contents_notice,
)
from ml_janitor.detectors.duplicate_artifacts.inventories import InventorySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchScope:
    """
    The buckets to search (none named: those with references), the names to look for, and the limits.

    *contents_in* are the prefixes under which contents may be read. Buckets with
    an inventory in *asking* are not listed.
    """

    buckets: tuple[str, ...]
    contents_in: tuple[str, ...]
    names: ArtifactNames
    compare_up_to: int
    asking: InventorySettings = field(default_factory=InventorySettings)


@dataclass(slots=True)
class ArtifactSurvey:
    """One reading of an account and region at *now*."""

    aws: Aws
    where: SearchScope
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
    ) -> Listing[ArtifactCopy]:
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
            ended = read_signal(self._listing.done, source="s3:PutObject")
            if isinstance(ended, Unreadable):
                self.errors.append(f"another run of today would go on with this listing: {ended.error}")
        return Listing(tuple(copies), "; ".join(self.errors) or None)

    def references(self) -> References:
        """
        Return everything that refers to artifacts, read on first use: it
        costs a call per model and job.
        """
        if self._references is None:
            self._references = references.read_references(self.aws, self.where.contents_in, self.now)
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
            if contents.unread == OVER_COMPARE_BUDGET
            and not contents.whole
            and self.where.asking.of(file.bucket)
        ]
        job = [checksum_job_notice(large)] if large else []
        return (*found, *([unread_contents_notice(closed)] if closed else []), *self._noticed, *job)

    def _sources(self, also: str | None, sizes: AbstractSet[int] | None) -> list[ArtifactSource]:
        """Return the sources of the artifacts of every bucket that is searched."""
        places = self._named() if self.where.buckets else self._referred()
        if also is not None:
            places.setdefault(also, self.aws.region)
        asking, names = self.where.asking, self.where.names
        few = {name: region for name, region in places.items() if asking.of(name) is None}
        self._listing = read = list_buckets(self.aws, few, names, self.now, only=sizes)
        self._noticed += inventories.suggest_inventories(self.aws, asking, list(read.shelves.values()))
        known = inventories.read_inventories(
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

    def _found(
        self, sources: Sequence[ArtifactSource], sizes: AbstractSet[int] | None
    ) -> list[tuple[BucketIndex, StoredObject]]:
        """Return each artifact that shares its size with another, bucket by bucket, with its shelf."""
        shelves = {name: shelf for source in sources for name, shelf in source.shelves.items()}
        self.errors += [shelf.error for shelf in shelves.values() if shelf.error is not None]
        found = find_candidates([source.artifacts() for source in sources], sizes)
        if found.left_out:
            self.errors.append(left_out_notice(found.left_out))
        folders = relevant_folders(found.artifacts)
        for source in sources:
            source.notice(folders)
        place = {name: number for number, name in enumerate(shelves)}
        in_order = sorted(found.artifacts, key=lambda artifact: (place[artifact.bucket], artifact.key))
        return [(shelves[artifact.bucket], artifact) for artifact in in_order]

    def _named(self) -> dict[str, str]:
        """Return the named buckets with their regions."""
        names = list(dict.fromkeys([*self.where.buckets, *self._readable, *self.where.asking.buckets]))
        regions = values_by_key(
            names, self.aws.map(lambda name: buckets.read_bucket_region(self.aws, name), names)
        )
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
        owned = buckets.own_bucket_names(self.aws)
        if owned.error is not None:
            self.errors.append(owned.error)
        return {name: self.aws.region for name in owned.items if name in wanted}

    @property
    def _readable(self) -> list[str]:
        """The buckets in which contents may be read, of all or of some objects."""
        return [prefix.split("/")[2] for prefix in self.where.contents_in]

    def _units(
        self, found: Sequence[tuple[BucketIndex, StoredObject]]
    ) -> dict[StoredObject, Signal[ArtifactUnit]]:
        """Return the unit of comparison of each of *found*; a folder is read once for all files in it."""
        above = {artifact: root for shelf, artifact in found if (root := shelf.root(artifact)) is not None}
        roots = [
            (shelf.bucket, shelf.region, above[artifact]) for shelf, artifact in found if artifact in above
        ]
        roots = list(dict.fromkeys(roots))
        folders = values_by_key(
            roots, self.aws.map(lambda at: artifacts.read_model_folder(self.aws, *at), roots)
        )
        units: dict[StoredObject, Signal[ArtifactUnit]] = {}
        for shelf, artifact in found:
            if artifact in above:
                unit = folders[shelf.bucket, shelf.region, above[artifact]]
                replaced = isinstance(unit, Value) and artifact not in unit.value.files
                units[artifact] = Unreadable(f"{artifact.uri} was replaced meanwhile") if replaced else unit
            else:
                crowded = shelf.crowded(artifact)
                units[artifact] = Value(
                    ArtifactUnit(
                        bucket=shelf.bucket, region=shelf.region, files=(artifact,), crowded=crowded
                    ),
                    LIST_OBJECTS,
                )
        return units

    def _copy(
        self,
        shelf: BucketIndex,
        artifact: StoredObject,
        unit: Signal[ArtifactUnit],
        standings: Mapping[ArtifactUnit, tuple[CopyStanding, ObjectUses]],
    ) -> ArtifactCopy:
        """Return *artifact* as a candidate, with the cheap signals."""
        copy = ArtifactCopy(
            target=object_target(self.aws, artifact),
            stored=artifact,
            unit=unit,
            listing_error=shelf.error,
            stale=shelf.stale,
            unsearched="; ".join(self.errors) or None,
        )
        if not isinstance(unit, Value):
            return copy
        files = unit.value.files
        contents: Signal[ObjectContents] = (
            Value(self.standings.known[artifact]) if artifact in self.standings.known else NotRead()
        )
        standing, uses = standings.get(
            unit.value, (CopyStanding(role=CopyRole.ALONE), ObjectUses(NotRead(), ()))
        )
        return replace(
            copy,
            contents=next(
                (self.standings.unreadable[file] for file in files if file in self.standings.unreadable),
                contents,
            ),
            archived=archived_class(unit.value, self.standings.known),
            gaps=tuple(self._references.gaps) if self._references else (),
            notices=self._notices,
            replica=any(self.standings.known[file].replica for file in files if file in self.standings.known),
            referred=uses.in_use,
            needed_only_by=uses.needed_only_by,
            standing=standing,
        )

    def _open_ones_read(self, copies: Sequence[ArtifactCopy]) -> list[ArtifactCopy]:
        """Return *copies*, with further signals for those that are surplus as far as is known."""
        todo = [copy for copy in copies if is_surplus(copy)]
        if not todo:
            return list(copies)
        prices = storage.read_storage_prices(self.aws)
        names = list(dict.fromkeys(copy.stored.bucket for copy in todo))
        habits = values_by_key(
            names, self.aws.map(lambda name: buckets.read_deletion_rules(self.aws, name), names)
        )
        files = list(dict.fromkeys(file for copy in todo for file in copy_files(copy)))
        tagged = values_by_key(
            files, self.aws.map(lambda file: s3.read_object_tags(self.aws, file.bucket, file.key), files)
        )
        locks = values_by_key(
            files,
            self.aws.map(lambda file: buckets.read_lock(self.aws, file, habits[file.bucket].lock), files),
        )
        read = {}
        for copy in todo:
            artifact, bucket = copy.stored, habits[copy.stored.bucket]
            siblings = [tagged[file] for file in copy_files(copy) if file != artifact]
            read[artifact] = replace(
                copy,
                target=replace(copy.target, tags=merge_object_tags(bucket.tags, *siblings, tagged[artifact])),
                cost=prices.cost(artifact.storage_class, artifact.size),
                habits=bucket,
                lock=strictest_lock([locks[file] for file in copy_files(copy)]),
            )
        return [read.get(copy.stored, copy) for copy in copies]


def values_by_key[K, V](keys: Sequence[K], values: Sequence[V]) -> dict[K, V]:
    """Return *values*, which are the answers about *keys*, by those keys."""
    return dict(zip(keys, values, strict=True))
