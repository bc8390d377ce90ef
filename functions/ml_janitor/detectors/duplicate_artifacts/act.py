"""
Deletes a copy whose keeper holds the same bytes, and writes it again.

Before it, the record stores everything that writes the copy again. After a lost answer, the object shows
whether it is gone. The undo is a copy within S3: from its own version under the marker, or its keeper.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from ml_janitor.aws.calls import is_refusal, read_signal, required_value
from ml_janitor.aws.client import Aws
from ml_janitor.aws.s3 import read_object_tags, read_versioning
from ml_janitor.core.model import Signal
from ml_janitor.detectors.duplicate_artifacts import buckets
from ml_janitor.detectors.duplicate_artifacts.artifacts import StoredObject
from ml_janitor.detectors.duplicate_artifacts.buckets import VERSIONING_ENABLED
from ml_janitor.detectors.duplicate_artifacts.contents import (
    CONDITION_FAILED,
    OBJECT_NOT_THERE,
    EqualityProof,
    Likeness,
    SeenObject,
    full_encryption,
    read_object,
    same_bytes,
)
from ml_janitor.detectors.duplicate_artifacts.copies import ARCHIVE_CLASSES, ArtifactCopy
from ml_janitor.engine.detector import CannotActError, Steps

if TYPE_CHECKING:
    from collections.abc import Iterator

# --- record ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectVersion:
    """One version of an object, from which its bytes can be copied."""

    bucket: str
    key: str
    etag: str
    version: str | None

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @classmethod
    def of(cls, seen: SeenObject) -> ObjectVersion:
        return cls(
            bucket=seen.stored.bucket, key=seen.stored.key, etag=seen.stored.etag, version=seen.version
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyRecord:
    """
    A deleted copy, and the *keeper* whose bytes are the same, by *proof*.

    *versioning* is their bucket's: "Enabled", "Suspended" or, where it never had any, None.
    """

    place: ObjectVersion
    keeper: ObjectVersion
    size: int
    modified: datetime
    storage_class: str
    checksums: Mapping[str, str]
    metadata: Mapping[str, str]
    headers: Mapping[str, str]
    expires: str | None
    encryption: Mapping[str, str | bool]
    tags: Mapping[str, str]
    versioning: str | None
    proof: str

    @classmethod
    def of(
        cls,
        seen: SeenObject,
        keeper: SeenObject,
        *,
        tags: Mapping[str, str],
        versioning: str | None,
        proof: str,
    ) -> CopyRecord:
        return cls(
            place=ObjectVersion.of(seen),
            keeper=ObjectVersion.of(keeper),
            size=seen.stored.size,
            modified=seen.stored.modified,
            storage_class=seen.stored.storage_class,
            checksums=seen.contents.whole,
            metadata=seen.metadata,
            headers=seen.headers,
            expires=seen.expires,
            encryption=seen.encryption,
            tags=tags,
            versioning=versioning,
            proof=proof,
        )

    @property
    def versioned(self) -> bool:
        """True if deleting it only hides it."""
        return self.versioning == VERSIONING_ENABLED

    def is_(self, seen: SeenObject) -> bool:
        """Return whether *seen* is the very object of this record, not another of its name."""
        there = (seen.stored.etag, seen.stored.modified, seen.version)
        return there == (self.place.etag, self.modified, self.place.version) and seen.looks == self.looks

    @property
    def looks(self) -> tuple[object, ...]:
        """The same as `Seen.looks`."""
        headers = (self.metadata, self.headers, self.expires, full_encryption(self.encryption))
        return (self.size, self.storage_class, *headers)

    def writing(self) -> dict[str, Any]:
        """Return the arguments of CopyObject and CreateMultipartUpload that write it as it was."""
        given: dict[str, Any] = {"Bucket": self.place.bucket, "Key": self.place.key}
        given |= {"Metadata": dict(self.metadata), "StorageClass": self.storage_class}
        given |= dict(self.headers) | full_encryption(self.encryption)
        given |= {"Expires": datetime.fromisoformat(self.expires)} if self.expires else {}
        return given | ({"Tagging": urlencode(self.tags)} if self.tags else {})

    def json(self) -> dict[str, Any]:
        """Return it as plain JSON, which `read` takes back."""
        written = {name: _plain(getattr(self, name)) for name in self.__slots__}
        return written | {"modified": self.modified.isoformat()}

    @classmethod
    def read(cls, undo: Mapping[str, Any]) -> CopyRecord:
        return cls(
            **{
                **undo,
                "place": ObjectVersion(**undo["place"]),
                "keeper": ObjectVersion(**undo["keeper"]),
                "modified": datetime.fromisoformat(undo["modified"]),
            }
        )


def _plain(value: object) -> object:
    if isinstance(value, ObjectVersion):
        return {name: getattr(value, name) for name in value.__slots__}
    return dict(value) if isinstance(value, Mapping) else value


# --- deletion -------------------------------------------------------------------------------------

_GET_OBJECT_ACL = "s3:GetObjectAcl"
_LIST_VERSIONS = "s3:ListObjectVersions"


def prepare(aws: Aws, copy: ArtifactCopy, memo: Mapping[str, Any]) -> CopyRecord:
    """
    Return the record that writes *copy* again, with a fresh proof that its keeper has its bytes.

    Raises CannotActError, NotFinishedError and ReadError.
    """
    artifact, unit = copy.stored, copy.standing.keeper
    if unit is None:
        raise CannotActError("nothing says what it is a copy of")
    seen, keeper = _as_listed(aws, artifact), _as_listed(aws, unit.files[0])
    if seen.odd is not None:
        raise CannotActError(f"it has {seen.odd}")
    if keeper.contents.expires is not None:
        raise CannotActError(f"a lifecycle rule will expire what stays, {unit.uri}")
    versioning = required_value(read_versioning(aws, artifact.bucket))
    if versioning == buckets.VERSIONING_SUSPENDED and seen.version not in {None, "null"}:
        raise CannotActError(
            "versioning is suspended, so deleting it would remove for good what its key may hold beneath it"
        )
    if required_value(_granted(aws, artifact)):
        raise CannotActError("others were given access to it by its ACL, which an undo would not give back")
    return CopyRecord.of(
        seen,
        keeper,
        tags=required_value(read_object_tags(aws, artifact.bucket, artifact.key)) or {},
        versioning=versioning,
        proof=_proof(aws, copy, seen, keeper, memo),
    )


def _as_listed(aws: Aws, artifact: StoredObject) -> SeenObject:
    """Return *artifact* with all of S3's facts about it, if it still is as listed."""
    seen = required_value(read_object(aws, artifact.bucket, artifact.key, etag=artifact.etag))
    if seen is None or seen.stored.modified != artifact.modified.replace(microsecond=0):
        raise CannotActError(f"{artifact.uri} changed while it was looked at")
    return seen


def _granted(aws: Aws, artifact: StoredObject) -> Signal[bool]:
    """Return whether *artifact*'s ACL grants more than full control to its owner, a new object's default."""

    def read() -> bool:
        acl = aws.s3.get_object_acl(Bucket=artifact.bucket, Key=artifact.key)
        grants = [(grant["Grantee"].get("ID"), grant["Permission"]) for grant in acl["Grants"]]
        return grants != [(acl["Owner"]["ID"], "FULL_CONTROL")]

    return read_signal(read, source=_GET_OBJECT_ACL)


def _proof(
    aws: Aws, copy: ArtifactCopy, seen: SeenObject, keeper: SeenObject, memo: Mapping[str, Any]
) -> str:
    """
    Return the proof that the two are equal, in words.

    The recheck has just compared them, with every read bound to the ETags that still stand; only a likeness
    that it could not prove is compared here.
    """
    match = copy.standing.match
    if match is not None and match.likeness is Likeness.PROVEN:
        return match.by
    return EqualityProof(aws, seen, keeper, memo).proof()


def act(aws: Aws, record: CopyRecord, steps: Steps) -> None:
    """
    Delete the copy of *record*: for good, or under a delete marker whose version is then recorded.

    Raises CannotActError, before anything is deleted, if the copy, its keeper or its bucket changed.
    """
    markers: list[str] = []

    def delete() -> None:
        if required_value(_current(aws, record)) is not None:
            _unchanged(aws, record)
            _delete(aws, record)
        if record.versioned:
            markers.extend(required_value(_markers(aws, record)) or ())

    steps.do("delete", delete)
    for marker in markers[:1]:
        steps.do(f"delete marker {marker}", lambda: None)  # the marker that it names exists already


def _unchanged(aws: Aws, record: CopyRecord) -> None:
    """Raise CannotActError unless the copy, its keeper and their bucket are as they were."""
    now = required_value(_current(aws, record))
    if now is not None and not record.is_(now):
        raise CannotActError("it was overwritten in the last moment")
    if required_value(read_versioning(aws, record.place.bucket)) != record.versioning:
        raise CannotActError("its bucket's versioning was changed in the last moment")
    keeper = record.keeper
    stays = required_value(read_object(aws, keeper.bucket, keeper.key, etag=keeper.etag))
    if stays is None or stays.version != keeper.version:
        raise CannotActError(f"{keeper.uri}, which it is a copy of, has changed in the last moment")


def _delete(aws: Aws, record: CopyRecord) -> None:
    """
    Delete the object by one call, which S3 refuses for any other ETag.

    A refused call may be the second try of a call that did its work and lost its answer.
    """
    place = record.place
    try:
        aws.s3.delete_object(Bucket=place.bucket, Key=place.key, IfMatch=place.etag)
    except Exception as error:  # all but the two answers that a condition gives are raised again
        if is_refusal(error, OBJECT_NOT_THERE):
            return
        if not is_refusal(error, CONDITION_FAILED):
            raise
        if not record.versioned or not required_value(_markers(aws, record)):
            raise CannotActError("it was overwritten in the last moment") from error


def is_done(aws: Aws, record: CopyRecord) -> bool:
    """
    Return whether the copy of *record* is gone: deleted, or under a delete marker.

    In a bucket with versions, an overwritten copy was not deleted. In a bucket without, it is gone.
    """
    now = required_value(_current(aws, record))
    if now is None:
        return True
    if record.is_(now):
        return False
    return not record.versioned or bool(required_value(_markers(aws, record)))


def _current(aws: Aws, record: CopyRecord) -> Signal[SeenObject]:
    return read_object(aws, record.place.bucket, record.place.key)


def _markers(aws: Aws, record: CopyRecord) -> Signal[list[str]]:
    """Return the versions of the delete markers upon the copy, the newest first."""
    place = record.place

    def read() -> list[str]:
        pages = aws.s3.get_paginator("list_object_versions").paginate(Bucket=place.bucket, Prefix=place.key)
        found: list[str] = []
        for page in pages:
            markers, versions = page.get("DeleteMarkers", []), page.get("Versions", [])
            found += [
                marker["VersionId"]
                for marker in markers
                if marker["Key"] == place.key and marker["LastModified"] >= record.modified
            ]
            if page["IsTruncated"] and any(entry["Key"] != place.key for entry in (*markers, *versions)):
                break  # keys come in order, and all others with this beginning come after it
        return found

    return read_signal(read, source=_LIST_VERSIONS)


# --- bringing it back -----------------------------------------------------------------------------
#
# Brings a deleted copy back, by a copy within S3: from its own version under the marker, or its keeper.

COPY_LIMIT_BYTES = 5 * 1000**3
"""Bytes that one CopyObject may copy: "up to 5 GB", in its reference."""

COPY_PART_BYTES = 256 * 1024**2
"""Bytes of a part, unless there would be too many parts."""

MOST_COPY_PARTS = 10_000

_AS_RECORDED: Any = {
    "MetadataDirective": "REPLACE",
    "TaggingDirective": "REPLACE",
    "AnnotationDirective": "EXCLUDE",
}
"""
Directives that take only the bytes from the source, which may be another
object with properties of its own.
"""


def revert(aws: Aws, record: CopyRecord, steps: Steps) -> None:
    """
    Write the copy of *record* again, if nothing has been written since.

    The undo covers a delete marker instead of removing it: removing takes the permission to delete versions
    for good. Raises CannotActError if another object is there, or the bytes are nowhere any more.
    """
    if not _there(aws, record):
        source = _source(aws, record)
        steps.forget("write again")  # somebody may have deleted what an interrupted undo wrote
        steps.do("write again", lambda: _write(aws, record, source))


def _there(aws: Aws, record: CopyRecord) -> bool:
    """
    Return whether it is back already, or was never gone. Raises
    CannotActError if another object is there.
    """
    place = record.place
    now = required_value(read_object(aws, place.bucket, place.key))
    if now is None:
        return False
    if record.is_(now):
        return True
    if now.looks == record.looks and _same_bytes(aws, record, now):
        return True
    raise CannotActError(f"somebody has written another object to {place.uri}, which stays")


def _same_bytes(aws: Aws, record: CopyRecord, now: SeenObject) -> bool:
    """Return whether *now* has the bytes of the copy of *record*: an undo that lost its answer wrote it."""
    return any(same_bytes(aws, now, other) for _, other in _sources(aws, record) if _archive(other) is None)


def _write(aws: Aws, record: CopyRecord, source: ObjectVersion) -> None:
    try:
        write_copy_again(aws, record, source)
    except Exception as error:  # all but a refusal by its conditions is raised again
        if not is_refusal(error, CONDITION_FAILED):
            raise
        if not _there(aws, record):
            raise CannotActError(
                f"{source.uri}, which has its bytes, was changed in the last moment"
            ) from error


def _source(aws: Aws, record: CopyRecord) -> ObjectVersion:
    """Return a version that has its bytes. Raises CannotActError if there is none."""
    archives = []
    for place, seen in _sources(aws, record):
        if (archive := _archive(seen)) is None:
            return place
        version = f" (version {place.version})" if place.version else ""
        archives.append(f"its bytes are archived ({archive}) in {place.uri}{version}")
    if archives:
        raise CannotActError(f"{archives[-1]}: restore that object first, and ask again")
    keeper = record.keeper.uri
    gone = "neither its version nor" if record.versioned else "no longer"
    raise CannotActError(f"its bytes are gone: {gone} {keeper}, which it was a copy of, is as it was")


def _sources(aws: Aws, record: CopyRecord) -> Iterator[tuple[ObjectVersion, SeenObject]]:
    """
    Yield the versions that have its bytes: its own first, then its keeper's.

    A lifecycle rule may have expired its own version, or archived either.
    """
    for place in (record.place, record.keeper) if record.versioned else (record.keeper,):
        version = (place.version or "null") if record.versioned else None
        seen = required_value(read_object(aws, place.bucket, place.key, etag=place.etag, version=version))
        if seen is not None:
            yield replace(place, version=version), seen


def _archive(seen: SeenObject) -> str | None:
    """Return the archive class or tier in which *seen* cannot be read, or None."""
    stored = seen.stored.storage_class
    return stored if stored in ARCHIVE_CLASSES and not seen.restored else seen.contents.archived


def write_copy_again(aws: Aws, record: CopyRecord, source: ObjectVersion) -> None:
    """
    Write the object of *record* with the bytes of *source*, if nothing is in its place now.

    A delete marker counts as nothing. S3 itself refuses with 412 if an object is there (If-None-Match), and
    also if *source* is no longer the expected version.
    """
    if record.size <= COPY_LIMIT_BYTES:
        aws.s3.copy_object(
            **record.writing(),
            **_of(source),
            **_AS_RECORDED,
            IfNoneMatch="*",
        )
    else:
        _in_parts(aws, record, source)


def _in_parts(aws: Aws, record: CopyRecord, source: ObjectVersion) -> None:
    where: Any = {"Bucket": record.place.bucket, "Key": record.place.key}
    where["UploadId"] = aws.s3.create_multipart_upload(**record.writing())["UploadId"]

    def part(number: int, first: int, last: int) -> Any:
        answer = aws.s3.upload_part_copy(
            **where, **_of(source), PartNumber=number, CopySourceRange=f"bytes={first}-{last}"
        )
        return {"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]}

    try:
        parts = aws.map(lambda at: part(*at), part_ranges(record.size))
        aws.s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts}, IfNoneMatch="*")
    except Exception:  # parts of an upload that nobody completes are billed until somebody ends it
        aws.s3.abort_multipart_upload(**where)
        raise


def part_ranges(size: int) -> list[tuple[int, int, int]]:
    """Return number, first and last byte of every part of an object of *size* bytes."""
    step = max(COPY_PART_BYTES, -(-size // MOST_COPY_PARTS))
    starts = range(0, size, step)
    return [(number, first, min(size, first + step) - 1) for number, first in enumerate(starts, 1)]


def _of(source: ObjectVersion) -> dict[str, Any]:
    where = {"Bucket": source.bucket, "Key": source.key}
    where |= {"VersionId": source.version} if source.version else {}
    return {"CopySource": where, "CopySourceIfMatch": source.etag}
