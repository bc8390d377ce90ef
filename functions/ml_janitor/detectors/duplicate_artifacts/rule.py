"""Model artifacts that are stored more than once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ml_janitor.aws.calls import read_signal, required_value
from ml_janitor.aws.client import Aws
from ml_janitor.aws.locations import is_under
from ml_janitor.aws.references import REFERRER_KINDS
from ml_janitor.aws.s3 import LIST_OBJECTS, USD_PER_TB_SCANNED
from ml_janitor.aws.sagemaker_kinds import MODEL_PACKAGE_GROUP, SEARCH
from ml_janitor.core.model import Absent, Change, Confidence, Effect, NotRead, Rule, Target, Value, Verdict
from ml_janitor.core.text import format_size
from ml_janitor.detectors.duplicate_artifacts import act, inventories, prefixes, undo
from ml_janitor.detectors.duplicate_artifacts.act import CopyRecord
from ml_janitor.detectors.duplicate_artifacts.artifacts import (
    ARTIFACT_EXTENSIONS,
    ArtifactNames,
    ArtifactUnit,
    find_object,
)
from ml_janitor.detectors.duplicate_artifacts.contents import Likeness
from ml_janitor.detectors.duplicate_artifacts.copies import (
    OBJECT_KIND,
    ArtifactCopy,
    CopyRole,
    copy_evidence,
    copy_files,
    object_target,
    surplus_reason,
    unit_text,
    why_not_a_copy,
    why_protected,
    why_unread,
    why_unsure,
)
from ml_janitor.detectors.duplicate_artifacts.inventories import InventorySettings
from ml_janitor.detectors.duplicate_artifacts.reading import ArtifactSurvey, SearchScope
from ml_janitor.engine.detector import Cleanup, Condition, Detector, Grant, Steps, allow, allow_each

DELETE_COPY_ACTION = "delete the copy"
ASK_FIRST_ACTION = "delete the copy, if nobody wants it in a second bucket"

_NO_BUCKET = ("NoSuchBucket",)

_ALL_BUCKETS = "arn:aws:s3:::*"
_ALL_OBJECTS = "arn:aws:s3:::*/*"

BY_ETAG_CONDITION = (Condition("Null", "s3:if-match", ("false",)),)
"""The condition of a delete with an ETag (S3 user guide, "Enforce conditional deletes")."""

_LISTING_GRANTS = (
    allow("s3:ListAllMyBuckets"),
    allow("s3:ListBucket", on=_ALL_BUCKETS),
    *allow_each("s3", "GetObjectTagging", "GetObjectRetention", "GetObjectLegalHold", on=_ALL_OBJECTS),
    *allow_each("s3", "GetBucketTagging", "GetBucketVersioning", "GetBucketPolicy", on=_ALL_BUCKETS),
    *allow_each("s3", "GetLifecycleConfiguration", "GetBucketObjectLockConfiguration", on=_ALL_BUCKETS),
    *(allow(kind.lists, on=kind.listed_on) for kind in (*REFERRER_KINDS, MODEL_PACKAGE_GROUP)),
    *(allow(kind.describes, on=kind.every) for kind in REFERRER_KINDS),
    allow(SEARCH),
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
    compare_up_to: int = 20 * 1024**3
    act_on_prefixes: tuple[str, ...] = ()
    undo_prefixes: tuple[str, ...] = ()
    allow_unversioned: bool = False
    act_on_needed_by: tuple[str, ...] = ()
    inventories: Mapping[str, Mapping[str, str]] = field(default_factory=dict, hash=False)
    inventory_max_age: timedelta = timedelta(hours=48)
    inventory_max_usd: float = 1.0
    inventory_usd_per_tb: float = USD_PER_TB_SCANNED
    inventory_from: int = 0

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
        asked = inventories.inventory_grants(
            inventories.inventories_in(self.inventories), look=self.inventory_from > 0
        )
        return (*_LISTING_GRANTS, *prefixes.contents_grants(self.contents_in), *asked)

    @property
    def acts(self) -> tuple[Grant, ...]:
        """The permissions to delete by ETag, under the `act_on_prefixes` whose contents may be read."""
        return (
            *(
                allow("s3:DeleteObject", on=resource, when=BY_ETAG_CONDITION)
                for resource in prefixes.object_arns(self._armed_prefixes)
            ),
            allow("s3:GetObjectAcl", on=_ALL_OBJECTS),
            allow("s3:ListBucketVersions", on=_ALL_BUCKETS),
        )

    @property
    def undoes(self) -> tuple[Grant, ...]:
        """
        The permissions to write where copies are or were deleted (`undo_prefixes`), and to read the sources.

        The sources are anywhere in the same bucket: the keeper lies elsewhere in it.
        """
        return (
            *prefixes.undo_source_grants(self._undo_prefixes),
            *prefixes.undo_write_grants(self._undo_prefixes),
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

    def find(self, aws: Aws, now: datetime) -> Iterator[ArtifactCopy]:
        found = ArtifactSurvey(aws, self._where, now).read()
        yield from found.items
        found.check()

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
                f"by name and size it is no model artifact of {format_size(self.min_size)} or more"
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
        undo.revert(aws, CopyRecord.read(record), steps)

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
                look_from=self.inventory_from,
                max_age=self.inventory_max_age,
                max_usd=self.inventory_max_usd,
                usd_per_tb=self.inventory_usd_per_tb,
            ),
        )
