"""Model artifacts that are stored more than once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from ml_janitor.aws import references, s3, storage
from ml_janitor.aws.activity import LOOKUP_EVENTS
from ml_janitor.aws.calls import Listing, read_signal, required_value
from ml_janitor.aws.client import Aws, FileChangedError
from ml_janitor.aws.locations import is_under
from ml_janitor.aws.references import REFERENCE_CALLS, ObjectUses, References
from ml_janitor.aws.s3 import LIST_OBJECTS
from ml_janitor.core.model import (
    Absent,
    Change,
    Confidence,
    Effect,
    NotRead,
    Rule,
    Signal,
    SweepNote,
    Target,
    Unreadable,
    Value,
    Verdict,
)
from ml_janitor.core.text import format_size
from ml_janitor.detectors.duplicate_artifacts import act, artifacts, buckets, inventories, prefixes
from ml_janitor.detectors.duplicate_artifacts.act import CopyRecord
from ml_janitor.detectors.duplicate_artifacts.artifacts import (
    ARTIFACT_EXTENSIONS,
    ArtifactNames,
    ArtifactSource,
    ArtifactUnit,
    BucketIndex,
    BucketListing,
    StoredObject,
    find_candidates,
    find_object,
    list_buckets,
    relevant_folders,
)
from ml_janitor.detectors.duplicate_artifacts.contents import OVER_COMPARE_BUDGET, Likeness, ObjectContents
from ml_janitor.detectors.duplicate_artifacts.copies import (
    OBJECT_KIND,
    ArtifactCopy,
    CopyRole,
    CopyStanding,
    Standings,
    archived_class,
    checksum_job_notice,
    copy_evidence,
    copy_files,
    is_surplus,
    left_out_notice,
    merge_object_tags,
    object_target,
    strictest_lock,
    surplus_reason,
    unit_text,
    unread_contents_notice,
    why_not_a_copy,
    why_protected,
    why_unread,
    why_unsure,
)
from ml_janitor.detectors.duplicate_artifacts.inventories import InventorySettings
from ml_janitor.engine.detector import (
    Cleanup,
    Condition,
    Constant,
    Detector,
    Grant,
    Steps,
    allow,
    allow_each,
    in_own_buckets,
)

# --- the survey -----------------------------------------------------------------------------------
#
# One reading of an account's artifacts: those that share a size with another, and their relation.


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


@dataclass
class ArtifactSurvey:
    """One reading of an account and region at *now*."""

    aws: Aws
    where: SearchScope
    now: datetime
    errors: list[str] = field(default_factory=list)
    _noticed: list[str] = field(default_factory=list)
    _looked_through: int = 0
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
        try:
            found = self._found(self._sources(also, sizes), sizes)
        except FileChangedError:  # a file of the listing is gone: the listing begins again, once
            self.errors, self._noticed = [], []
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
            self._references = references.read_references(
                self.aws, self.where.contents_in, self.now, asks_trail=True
            )
        return self._references

    def notes(self) -> list[SweepNote]:
        """
        Return the notes of the reading: the artifacts that were looked through, the sources of the lists,
        references to deleted artifacts, and gaps.
        """
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
        texts = (*found, *([unread_contents_notice(closed)] if closed else []), *self._noticed, *job)
        return [SweepNote(looked_through=self._looked_through), *map(SweepNote, texts)]

    def _sources(self, also: str | None, sizes: AbstractSet[int] | None) -> list[ArtifactSource]:
        """Return the sources of the artifacts of every bucket that is searched."""
        places = self._named() if self.where.buckets else self._referred()
        if also is not None and also not in places:
            if also in self._own:
                places[also] = self.aws.region
            else:
                self.errors.append(f"{also} is owned by another account: look at its artifacts there")
        asking, names = self.where.asking, self.where.names
        few = {name: region for name, region in places.items() if asking.of(name) is None}
        self._listing = read = list_buckets(self.aws, few, names, self.now, only=sizes)
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
        self._looked_through = sum(
            shelf.looked_through for shelf in shelves.values() if shelf.region == self.aws.region
        )
        found = find_candidates([source.artifacts() for source in sources], sizes)
        if found.left_out:
            self.errors.append(left_out_notice(found.left_out))
        folders = relevant_folders(found.artifacts)
        for source in sources:
            source.notice(folders)
        place = {name: number for number, name in enumerate(shelves)}
        in_order = sorted(found.artifacts, key=lambda artifact: (place[artifact.bucket], artifact.key))
        return [(shelves[artifact.bucket], artifact) for artifact in in_order]

    @cached_property
    def _own(self) -> frozenset[str]:
        """The names of all buckets that the account owns."""
        owned = s3.list_owned_names(self.aws)
        if owned.error is not None:
            self.errors.append(f"whose the named buckets are is unknown: {owned.error}")
        return frozenset(owned.items)

    def _named(self) -> dict[str, str]:
        """
        Return the named buckets that the account owns, with their regions.

        Another account's bucket is judged in that account's sweep: only there are its models and jobs known.
        """
        names = list(dict.fromkeys([*self.where.buckets, *self._readable, *self.where.asking.buckets]))
        own = self._own
        regions = values_by_key(
            names,
            self.aws.map(
                lambda name: buckets.read_bucket_region(
                    self.aws, name, closed=() if name in own else buckets.CLOSED_CODES
                ),
                names,
            ),
        )
        foreign = [
            name for name, region in regions.items() if name not in own and not isinstance(region, Unreadable)
        ]
        if foreign:
            self._noticed.append(
                f"{', '.join(foreign)}: owned by another account, so judged only in the sweep of that account"
            )
        self.errors += [
            f"bucket {name}: {region.error}"
            for name, region in regions.items()
            if isinstance(region, Unreadable)
        ]
        return {
            name: region.value
            for name, region in regions.items()
            if name in own and isinstance(region, Value)
        }

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


# --- the detector ---------------------------------------------------------------------------------

DELETE_COPY_ACTION = "delete the copy"
ASK_FIRST_ACTION = "delete the copy, if nobody wants it in a second bucket"

_NO_BUCKET = ("NoSuchBucket",)

_ALL_BUCKETS = "arn:aws:s3:::*"
_ALL_OBJECTS = "arn:aws:s3:::*/*"

BY_ETAG_CONDITION = (Condition("Null", "s3:if-match", ("false",)),)
"""The condition of a delete with an ETag (S3 user guide, "Enforce conditional deletes")."""

_LISTING_GRANTS = (
    allow("s3:ListAllMyBuckets"),
    *in_own_buckets(
        [
            *allow_each(
                "s3", "GetObjectTagging", "GetObjectRetention", "GetObjectLegalHold", on=_ALL_OBJECTS
            ),
            *allow_each("s3", "ListBucket", "GetBucketTagging", "GetBucketVersioning", on=_ALL_BUCKETS),
            *allow_each("s3", "GetBucketPolicy", "GetLifecycleConfiguration", on=_ALL_BUCKETS),
            allow("s3:GetBucketObjectLockConfiguration", on=_ALL_BUCKETS),
        ]
    ),
    *(allow(action, on=resource) for action, resource in REFERENCE_CALLS),
    allow(LOOKUP_EVENTS),
    allow("pricing:GetProducts"),
)


@dataclass(frozen=True)
class DuplicateArtifacts(Detector[ArtifactCopy]):
    """
    Finds model artifacts that are stored more than once.

    Equal sizes and checksums select, equal SHA-256 or equal bytes prove, where contents may be read;
    elsewhere an equal size and ETag make it likely. Whatever a served model, a model
    package, a pipeline or a running job refers to stays, else one that anything refers to, else the
    oldest copy; a model of several files is a copy as a whole or not at all.
    """

    name = "duplicate-artifacts"
    schedule = "cron(0 4 ? * TUE *)"
    kinds = (OBJECT_KIND,)
    keeps_descriptions = True
    asks_for = Change.DELETE_DATA
    keeps_files = True
    cleanup = Cleanup(
        effect=Effect.DELETE,
        grace=timedelta(days=3),
        act_on=Confidence.PROVEN,
        lost="the object's own date, version id and ETag, nor, in a bucket without versions, the copy itself "
        "once what it was a copy of has changed",
    )

    extensions: tuple[str, ...] = ARTIFACT_EXTENSIONS
    min_size: int = 1024**2
    buckets: tuple[str, ...] = ()
    read_contents_in: tuple[str, ...] = ()
    compare_up_to: Constant[int] = 20 * 1024**3  # bytes that one sweep reads
    act_on_prefixes: tuple[str, ...] = ()
    undo_prefixes: tuple[str, ...] = ()
    allow_unversioned: bool = False
    act_on_needed_by: tuple[str, ...] = ()
    inventories: Mapping[str, Mapping[str, str]] = field(default_factory=dict, hash=False)
    inventory_max_usd: float = 1.0

    def __post_init__(self) -> None:
        prefixes.check_prefixes(self.act_on_prefixes)
        prefixes.check_prefixes(self.undo_prefixes, setting="undo_prefixes")
        prefixes.check_user_globs(self.act_on_needed_by)
        prefixes.readable_prefixes(self.buckets, self.read_contents_in)
        inventories.inventories_in(self.inventories)

    @property
    def reads(self) -> tuple[Grant, ...]:
        """
        The permissions to list everywhere, and to read the contents and
        inventories that the settings name.
        """
        asked = inventories.inventory_grants(inventories.inventories_in(self.inventories))
        return (*_LISTING_GRANTS, *prefixes.contents_grants(self.contents_in), *asked)

    @property
    def acts(self) -> tuple[Grant, ...]:
        """The permissions to delete by ETag, under the `act_on_prefixes` whose contents may be read."""
        return in_own_buckets(
            [
                *(
                    allow("s3:DeleteObject", on=resource, when=BY_ETAG_CONDITION)
                    for resource in prefixes.object_arns(self._armed_prefixes)
                ),
                allow("s3:GetObjectAcl", on=_ALL_OBJECTS),
                allow("s3:ListBucketVersions", on=_ALL_BUCKETS),
            ]
        )

    @property
    def undoes(self) -> tuple[Grant, ...]:
        """
        The permissions to write where copies are or were deleted (`undo_prefixes`), and to read the sources.

        The sources are anywhere in the same bucket: the keeper lies elsewhere in it.
        """
        return in_own_buckets(
            [
                *prefixes.undo_source_grants(self._undo_prefixes),
                *prefixes.undo_write_grants(self._undo_prefixes),
            ]
        )

    def missing_for_undo(self, target: Target, record: Mapping[str, Any]) -> str:
        """Return the setting without which the undo function could not write *target*; "" if it can."""
        uri = f"s3://{target.arn.partition(':::')[2]}"
        if is_under(self._undo_prefixes, uri):
            return ""
        return f'undo_prefixes = ["{uri.rpartition("/")[0]}/"] in detectors.{self.name}'

    @property
    def _undo_prefixes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.act_on_prefixes, *self.undo_prefixes)))

    def find(self, aws: Aws, now: datetime) -> Iterator[ArtifactCopy | SweepNote]:
        survey = ArtifactSurvey(aws, self._where, now)
        found = survey.read()
        yield from survey.notes()
        yield from found.items
        found.check()

    def find_called(self, aws: Aws, name: str, now: datetime) -> Iterable[str]:
        """Yield the ARN of the object *name*, which is BUCKET/KEY in a bucket of the account."""
        bucket, _, key = name.partition("/")
        if key and bucket in {own for own, _ in s3.list_own_buckets(aws).items}:
            found = read_signal(lambda: find_object(aws, bucket, key), source=LIST_OBJECTS, absent=_NO_BUCKET)
            yield from () if required_value(found) is None else (f"arn:{aws.partition}:s3:::{name}",)

    def look(self, aws: Aws, target: Target, now: datetime) -> ArtifactCopy | None:
        bucket, _, key = target.arn.partition(":::")[2].partition("/")
        artifact = required_value(
            read_signal(lambda: find_object(aws, bucket, key), source=LIST_OBJECTS, absent=_NO_BUCKET)
        )
        if artifact is None:
            return None
        if not self._names.fit(artifact.key, artifact.size):
            return ArtifactCopy(
                target=object_target(aws, artifact), stored=artifact, unit=Absent(LIST_OBJECTS)
            )
        found = ArtifactSurvey(aws, self._where, now).read(also=bucket, sizes={artifact.size})
        copy = next((copy for copy in found.items if copy.stored.uri == artifact.uri), None)
        if copy is None:
            found.check()
            if self._where.asking.of(bucket) is not None:
                missing = "the inventory of its bucket does not show it"
                return ArtifactCopy(
                    target=object_target(aws, artifact),
                    stored=artifact,
                    unit=NotRead(),
                    listing_error=missing,
                )
        return copy

    def decide(self, candidate: ArtifactCopy, now: datetime) -> Verdict:
        artifact, standing = candidate.stored, candidate.standing
        keeper, match = standing.keeper, standing.match
        rule = Rule()
        rule.saw(*copy_evidence(candidate))
        if not self._names.fit(artifact.key, artifact.size):
            return rule.kept(
                f"by name and size it is not a model artifact of {format_size(self.min_size)} or more"
            )
        if (why := why_unread(candidate)) is not None:
            return rule.unknown(why)
        rule.passed("everything about it could be read")
        if (why := why_not_a_copy(candidate)) is not None:
            return rule.kept(why)
        rule.passed("another artifact of its size may be the same")
        why = why_unsure(candidate)
        if why is not None or keeper is None or match is None:
            return rule.unknown(why or "nothing says what it is a copy of")
        rule.passed(f"{unit_text(candidate)} is like {keeper.uri}: {match.by}")
        rule.passed("nothing in use refers to it")
        if (why := why_protected(candidate, now)) is not None:
            return rule.kept(why)
        rule.passed("it is not locked, nor billed for a minimum time that has yet to pass")
        crowded = isinstance(candidate.unit, Value) and candidate.unit.value.crowded
        certain = standing.role is CopyRole.SURPLUS and not crowded and not candidate.gaps
        certain = certain and not candidate.needed_only_by and candidate.stale is None
        proven = match.likeness is Likeness.PROVEN and certain
        spared, to_prove = self._spared(candidate, keeper)
        return rule.found(
            surplus_reason(candidate, keeper, match),
            Confidence.PROVEN if proven else Confidence.LIKELY,
            action=DELETE_COPY_ACTION if standing.role is CopyRole.SURPLUS else ASK_FIRST_ACTION,
            cost=candidate.cost,
            since=max(artifact.modified, keeper.modified),
            to_prove=to_prove,
            spared=spared,
        )

    def _spared(self, copy: ArtifactCopy, keeper: ArtifactUnit) -> tuple[str | None, str]:
        """
        Return why *copy* is only reported, or None; and what would prove it,
        where contents are not read.
        """
        compared = dict.fromkeys(file.uri for file in (*copy_files(copy), *keeper.files))
        unread = [uri for uri in compared if not is_under(self.contents_in, uri)]
        if unread:
            shown = " and ".join(unread[:2])
            why_not = f"the contents of {shown} may not be read, so nothing proves it a copy"
            return why_not, "name its bucket in read_contents_in"
        approved, versions = self.act_on_needed_by, self.allow_unversioned
        why = prefixes.why_copy_spared(
            copy, self.act_on_prefixes, allow_unversioned=versions, approved=approved
        )
        return why, ""

    def prepare(self, aws: Aws, candidate: ArtifactCopy, memo: Mapping[str, Any]) -> Mapping[str, Any]:
        return act.prepare(aws, candidate, memo).json()

    def act(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        act.act(aws, CopyRecord.read(record), steps)

    def is_done(self, aws: Aws, target: Target, record: Mapping[str, Any]) -> bool:
        return act.is_done(aws, CopyRecord.read(record))

    def revert(self, aws: Aws, target: Target, record: Mapping[str, Any], steps: Steps) -> None:
        act.revert(aws, CopyRecord.read(record), steps)

    def never_acts(self) -> str | None:
        if not self.act_on_prefixes:
            return "act_on_prefixes is empty, so no object may be deleted"
        if self._armed_prefixes:
            return None
        return (
            f"contents may not be read under {', '.join(self.act_on_prefixes)}, so nothing there can be "
            "proven a copy: name its bucket in read_contents_in"
        )

    @property
    def contents_in(self) -> tuple[str, ...]:
        """The prefixes under which contents may be read."""
        return prefixes.readable_prefixes(self.buckets, self.read_contents_in)

    @property
    def _armed_prefixes(self) -> list[str]:
        """The prefixes under which a copy can be proven, and deleted."""
        return prefixes.overlapping_prefixes(
            [f"{prefix.rstrip('/')}/" for prefix in self.act_on_prefixes], self.contents_in
        )

    @property
    def _names(self) -> ArtifactNames:
        return ArtifactNames(extensions=self.extensions, min_size=self.min_size)

    @property
    def _where(self) -> SearchScope:
        return SearchScope(
            buckets=self.buckets,
            contents_in=self.contents_in,
            names=self._names,
            compare_up_to=self.compare_up_to,
            asking=InventorySettings(
                inventories=inventories.inventories_in(self.inventories),
                max_usd=self.inventory_max_usd,
            ),
        )
