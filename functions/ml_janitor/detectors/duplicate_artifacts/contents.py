"""The known facts about an object's bytes, and the comparison of two objects by them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from ml_janitor.aws.answers import ReadError, read_signal
from ml_janitor.aws.client import Aws
from ml_janitor.core.signals import Signal
from ml_janitor.detectors.duplicate_artifacts.artifact import ArtifactUnit, StoredObject

HEAD_OBJECT = "s3:HeadObject"

_CHECKSUM_MEMBERS = {
    "ChecksumSHA256": "SHA-256",
    "ChecksumSHA512": "SHA-512",
    "ChecksumSHA1": "SHA-1",
    "ChecksumMD5": "MD5",
    "ChecksumCRC64NVME": "CRC64NVME",
    "ChecksumCRC32C": "CRC32C",
    "ChecksumCRC32": "CRC32",
    "ChecksumXXHASH128": "XXH128",
    "ChecksumXXHASH3": "XXH3",
    "ChecksumXXHASH64": "XXH64",
}
"""HeadObject's members. Each covers the whole object, or its parts' checksums and then says how many."""

_PROVING_CHECKSUMS = ("SHA-256", "SHA-512")
"""Hashes of which nobody has made two different files; for the others, somebody has or easily could."""

_MD5_ETAG = re.compile(r'"[0-9a-f]{32}"')
_PARTS_ETAG = re.compile(r'"[0-9a-f]{32}-\d+"')

EVERY_BYTE_READ = "every byte read"


class Likeness(IntEnum):
    """The likeness of two objects, as far as it is known, in rising order."""

    DIFFERENT = 0
    UNKNOWN = 1
    LIKELY = 2
    PROVEN = 3


class ContentMatch(NamedTuple):
    """The likeness of two things, and the fact that shows it."""

    likeness: Likeness
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectContents:
    """
    The facts about an object's bytes from HeadObject and reading; from the
    listing only where neither is *allowed*.

    *etag* is the listing's, and opaque. *whole* and *parts* are checksums by algorithm, of the object and of
    its parts. *md5* is the ETag where the ETag is an MD5, *parts_etag* where it is made of the parts' MD5:
    neither holds under SSE-KMS or SSE-C, where an ETag says nothing about the bytes. *digests* are SHA-256 of
    the ranges read so far, from the start; *complete* is true if they cover the object.
    """

    size: int
    etag: str = ""
    allowed: bool = True
    whole: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    md5: str | None = None
    parts_etag: str | None = None
    version: str | None = None
    expires: str | None = None
    replica: bool = False
    archived: str | None = None
    digests: tuple[bytes, ...] = ()
    complete: bool = False
    unread: str | None = None


def read_contents(aws: Aws, artifact: StoredObject, region: str) -> Signal[ObjectContents]:
    """Return S3's facts about *artifact*'s bytes; unreadable if it is no longer the listed object."""

    def read() -> ObjectContents:
        answer = aws.client("s3", region).head_object(
            Bucket=artifact.bucket, Key=artifact.key, ChecksumMode="ENABLED", IfMatch=artifact.etag
        )
        if answer["ContentLength"] != artifact.size or answer["ETag"] != artifact.etag:
            raise ReadError(f"{artifact.uri} was replaced while it was looked at")
        return contents_in_head(artifact, answer)

    return read_signal(read, source=HEAD_OBJECT)


def contents_in_head(artifact: StoredObject, answer: Mapping[str, object]) -> ObjectContents:
    """Return the contents by HeadObject's *answer* about *artifact*."""
    whole: dict[str, str] = {}
    parts: dict[str, str] = {}
    for member, algorithm in _CHECKSUM_MEMBERS.items():
        if value := str(answer.get(member) or ""):
            (parts if _of_parts(value, algorithm, artifact.etag, answer) else whole)[algorithm] = value
    plain = answer.get("ServerSideEncryption", "AES256") == "AES256"
    plain = plain and not answer.get("SSECustomerAlgorithm")
    expires = answer.get("Expiration")
    archived = answer.get("ArchiveStatus")
    return ObjectContents(
        size=artifact.size,
        etag=artifact.etag,
        whole=whole,
        parts=parts,
        md5=artifact.etag if plain and _MD5_ETAG.fullmatch(artifact.etag) else None,
        parts_etag=artifact.etag if plain and _PARTS_ETAG.fullmatch(artifact.etag) else None,
        version=str(answer["VersionId"]) if answer.get("VersionId") else None,
        expires=str(expires) if expires else None,
        replica=answer.get("ReplicationStatus") == "REPLICA",
        archived=str(archived) if archived else None,
        complete=artifact.size == 0,
    )


def _of_parts(value: str, algorithm: str, etag: str, answer: Mapping[str, object]) -> bool:
    """
    Return whether a checksum is one of the parts' checksums.

    Servers that do not say so still mark it with the number of parts. For an object with parts, a SHA counts
    as the whole's only if the server says so.
    """
    kind = answer.get("ChecksumType")
    unsaid = algorithm.startswith("SHA") and "-" in etag
    return kind == "COMPOSITE" or "-" in value or (kind != "FULL_OBJECT" and unsaid)


def compare_contents(a: ObjectContents, b: ObjectContents) -> ContentMatch:
    """
    Return whether *a* and *b* are the same bytes, as far as is known.

    One difference in a fact that must be equal disproves it. Equal SHA-256 or SHA-512 of the whole, or all
    bytes read, prove it. CRCs, MD5 and checksums of parts make it likely; else it is unknown. Unequal
    checksums of parts say nothing: the parts may have been cut differently.
    If only the listing of either is known, an equal ETag makes it likely. An unequal ETag is no disproof, but
    a caller that may not read contents gets no better answer: the two count as different.
    """
    if not (a.allowed and b.allowed):
        same = (a.size, a.etag) == (b.size, b.etag)
        return (
            ContentMatch(Likeness.LIKELY, "equal ETag")
            if same
            else ContentMatch(Likeness.DIFFERENT, "unequal ETag")
        )
    for likely, says in (
        (Likeness.DIFFERENT, _difference),
        (Likeness.PROVEN, _proof),
        (Likeness.LIKELY, _hint),
    ):
        if (by := says(a, b)) is not None:
            return ContentMatch(likely, by)
    return ContentMatch(Likeness.UNKNOWN, a.unread or b.unread or "their bytes were not compared")


def _difference(a: ObjectContents, b: ObjectContents) -> str | None:
    for algorithm in a.whole.keys() & b.whole.keys():
        if a.whole[algorithm] != b.whole[algorithm]:
            return f"unequal {algorithm}"
    if a.size != b.size:
        return "unequal sizes"
    if a.md5 and b.md5 and a.md5 != b.md5:
        return "unequal MD5"
    return "unequal bytes" if any(x != y for x, y in zip(a.digests, b.digests, strict=False)) else None


def _proof(a: ObjectContents, b: ObjectContents) -> str | None:
    for algorithm in _PROVING_CHECKSUMS:
        if algorithm in a.whole and a.whole[algorithm] == b.whole.get(algorithm):
            return f"equal {algorithm}"
    return EVERY_BYTE_READ if a.complete and b.complete else None


def _hint(a: ObjectContents, b: ObjectContents) -> str | None:
    for algorithm in _CHECKSUM_MEMBERS.values():
        if algorithm in a.whole and a.whole[algorithm] == b.whole.get(algorithm):
            return f"equal {algorithm}"
        if algorithm in a.parts and a.parts[algorithm] == b.parts.get(algorithm):
            return f"equal {algorithm} of their parts"
    equal = (a.md5 and a.md5 == b.md5) or (a.parts_etag and a.parts_etag == b.parts_etag)
    return "equal ETag" if equal else None


def compare_units(
    a: ArtifactUnit, b: ArtifactUnit, known: Mapping[StoredObject, ObjectContents]
) -> ContentMatch:
    """
    Return whether two models of the same shape are equal in every file: as
    alike as their least alike files.
    """
    matches = [compare_contents(known[x], known[y]) for x, y in zip(a.files, b.files, strict=True)]
    return min(matches, key=lambda match: match.likeness)


def connected_groups[T](things: Iterable[T], together: Callable[[T, T], bool]) -> list[list[T]]:
    """Return *things* in the smallest groups between which no two are *together*; order is kept."""
    groups: list[list[T]] = []
    for thing in things:
        near = [any(together(thing, other) for other in group) for group in groups]
        merged = [member for group, is_near in zip(groups, near, strict=True) if is_near for member in group]
        groups = [group for group, is_near in zip(groups, near, strict=True) if not is_near]
        groups.append([*merged, thing])
    return groups
