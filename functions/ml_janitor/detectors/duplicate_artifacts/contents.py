"""The known facts about an object's bytes, and the comparison of objects by checksums or by their bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from hashlib import sha256
from itertools import count, takewhile
from typing import Any, NamedTuple

from ml_janitor.aws.calls import READ_THREADS, ReadError, read_signal, required_value
from ml_janitor.aws.client import Aws
from ml_janitor.aws.locations import GET_OBJECT
from ml_janitor.core.model import Signal, Unreadable, Value
from ml_janitor.core.text import count_noun, format_size
from ml_janitor.detectors.duplicate_artifacts.artifacts import ArtifactUnit, StoredObject
from ml_janitor.engine.detector import CannotActError, NotFinishedError

# --- comparison by known facts --------------------------------------------------------------------

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
    If only the listing of either is known, an equal ETag makes it likely. An unequal ETag does not
    disprove it, but a caller that may not read contents gets no better answer: the two count as different.
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


# --- one object in HeadObject ---------------------------------------------------------------------

_HEADERS = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "WebsiteRedirectLocation",
)
_ENCRYPTION_MEMBERS = ("ServerSideEncryption", "SSEKMSKeyId", "BucketKeyEnabled")

OBJECT_NOT_THERE = ("404", "NoSuchKey", "NoSuchVersion", "405", "MethodNotAllowed")
"""HeadObject has no body that names an error; 405 is the answer for a version that is a delete marker."""
CONDITION_FAILED = ("412", "PreconditionFailed")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenObject:
    """
    One version of an object as HeadObject shows it.

    *version* is None where the bucket never kept versions, "null" for an object written without a version.
    *odd* names a property that could not be written again, if any. *restored* is true for an archived object
    with a readable copy for some days.
    """

    stored: StoredObject
    version: str | None
    contents: ObjectContents
    metadata: Mapping[str, str]
    headers: Mapping[str, str]
    expires: str | None
    encryption: Mapping[str, str | bool]
    odd: str | None = None
    restored: bool = False

    @property
    def looks(self) -> tuple[object, ...]:
        """Everything that another object can share with it, besides bytes and tags."""
        headers = (self.metadata, self.headers, self.expires, full_encryption(self.encryption))
        return (self.stored.size, self.stored.storage_class, *headers)


def full_encryption(encryption: Mapping[str, str | bool]) -> dict[str, str | bool]:
    """
    Return *encryption* with all settings that a write has to spell out, so that no bucket default applies.

    HeadObject names no bucket key where there is none. It names no encryption for objects from before S3
    encrypted everything (January 2023); no new object can be without.
    """
    full = {"ServerSideEncryption": "AES256", **encryption}
    return {"BucketKeyEnabled": False, **full} if full["ServerSideEncryption"] == "aws:kms" else full


def read_object(
    aws: Aws, bucket: str, key: str, *, etag: str | None = None, version: str | None = None
) -> Signal[SeenObject]:
    """
    Return the current version of an object, or *version* of it; with *etag*, only an object with that ETag.

    Absent if there is none, or if it has another ETag.
    """
    given: dict[str, str] = {"Bucket": bucket, "Key": key, "ChecksumMode": "ENABLED"}
    given |= {"IfMatch": etag} if etag else {}
    given |= {"VersionId": version} if version else {}

    def read() -> SeenObject:
        answer: Any = aws.s3.head_object(**given)  # type: ignore[arg-type]
        return object_in_head(bucket, key, answer)

    return read_signal(read, source=HEAD_OBJECT, absent=(*OBJECT_NOT_THERE, *CONDITION_FAILED))


def object_in_head(bucket: str, key: str, answer: Mapping[str, Any]) -> SeenObject:
    """Return the object by HeadObject's *answer*. A missing member fails the read."""
    stored = StoredObject(
        bucket=bucket,
        key=key,
        size=answer["ContentLength"],
        etag=answer["ETag"],
        modified=answer["LastModified"],
        storage_class=answer.get("StorageClass", "STANDARD"),
    )
    expires = answer.get("Expires")
    return SeenObject(
        stored=stored,
        version=answer.get("VersionId"),
        contents=contents_in_head(stored, answer),
        metadata=dict(answer["Metadata"]),
        headers={name: answer[name] for name in _HEADERS if name in answer},
        expires=None if expires is None else expires.isoformat(),
        encryption={name: answer[name] for name in _ENCRYPTION_MEMBERS if name in answer},
        odd=_odd(answer),
        restored='ongoing-request="false"' in answer.get("Restore", ""),
    )


def _odd(answer: Mapping[str, Any]) -> str | None:
    """Return a property that nobody could write again, in words that complete "it has ..."; or None."""
    if answer.get("MissingMeta"):
        return "metadata that S3 does not tell"
    if answer.get("ExpiresString") and "Expires" not in answer:
        return "an Expires header that is not a date"
    if answer.get("ReplicationStatus"):
        return "a replica in another bucket, where deleting it may be repeated"
    return None


# --- comparison by reading ------------------------------------------------------------------------
# The comparison hashes ranges as they stream by, so memory never holds an object.

PROBE_BYTES = 1024**2
"""Bytes of the first range: most files that differ do so there already."""

RANGE_BYTES = 8 * 1024**2
"""Bytes of every other range: large enough to keep requests few."""

COMPARE_CHUNK = 1024**2
"""Bytes held in memory per request."""

RANGES_AT_ONCE = READ_THREADS // 2
"""Ranges of each of the two that are read side by side."""

_EMPTY_PROOF = sha256(b"").hexdigest()

OVER_COMPARE_BUDGET = "there are more bytes to compare than one sweep reads"


class ContentComparison:
    """
    The objects whose contents are *known*, and the bytes that may still be read to know them better.

    In each set of equally large objects, the first range is read, which separates most of those that differ.
    The still equal ones are read to their ends, the largest first, as far as the remaining bytes allow.
    Objects that turn out different are not read further.
    """

    def __init__(self, aws: Aws, known: MutableMapping[StoredObject, ObjectContents], budget: int) -> None:
        self._aws = aws
        self.known = known
        self.left = budget

    def settle(self, sets: Sequence[Sequence[StoredObject]]) -> None:
        """Read as much as it takes to tell which objects in each of *sets* are the same bytes."""
        probed = self._afford([cell for objects in sets for cell in self._open(objects)], whole=False)
        self._read(probed, 1)
        todo = self._afford([cell for objects in probed for cell in self._open(objects)], whole=True)
        while todo:
            self._read(todo, max(1, READ_THREADS // sum(len(cell) for cell in todo)))
            todo = [cell for objects in todo for cell in self._open(objects)]
        for objects in sets:
            self._share(objects)

    def _open(self, objects: Sequence[StoredObject]) -> list[list[StoredObject]]:
        """
        Return the *objects* that may be the same bytes as another, but are not known to be, in groups.

        One object stands for all that are proven equal: a reading of it holds for the rest.
        """
        firsts = [equal[0] for equal in self._share(objects)]
        cells = connected_groups(firsts, lambda a, b: self._alike(a, b) is not Likeness.DIFFERENT)
        return [cell for cell in cells if len(cell) > 1]

    def _share(self, objects: Sequence[StoredObject]) -> list[list[StoredObject]]:
        """Group the readable *objects* by proven equality, and give each the knowledge of its whole group."""
        readable = [
            artifact
            for artifact in objects
            if self.known[artifact].allowed and not self.known[artifact].unread
        ]
        peers = connected_groups(readable, lambda a, b: self._alike(a, b) is Likeness.PROVEN)
        for equal in peers:
            best = max((self.known[artifact] for artifact in equal), key=lambda known: len(known.digests))
            for artifact in equal:
                self.known[artifact] = replace(
                    self.known[artifact], digests=best.digests, complete=best.complete
                )
        return peers

    def _alike(self, a: StoredObject, b: StoredObject) -> Likeness:
        return compare_contents(self.known[a], self.known[b]).likeness

    def _afford(self, cells: list[list[StoredObject]], *, whole: bool) -> list[list[StoredObject]]:
        """Return the groups that the budget covers, the largest objects first; mark the others as unread."""
        paid = []
        for cell in sorted(cells, key=lambda cell: -cell[0].size):
            size = cell[0].size
            cost = len(cell) * (size - PROBE_BYTES if whole else min(size, PROBE_BYTES))
            if cost <= self.left:
                self.left -= cost
                paid.append(cell)
            else:
                for artifact in cell:
                    self.known[artifact] = replace(self.known[artifact], unread=OVER_COMPARE_BUDGET)
        return paid

    def _read(self, cells: Sequence[Sequence[StoredObject]], count: int) -> None:
        """Read the next *count* ranges of every object in *cells*, all side by side."""
        jobs = [
            (artifact, number)
            for artifact in (artifact for cell in cells for artifact in cell)
            for number in range(len(self.known[artifact].digests), len(self.known[artifact].digests) + count)
            if range_begin(number) < artifact.size
        ]
        answers = self._aws.map(lambda job: hash_range(self._aws, *job), jobs)
        for (artifact, number), answer in zip(jobs, answers, strict=True):
            known = self.known[artifact]
            if known.unread:  # an earlier range is missing, so this range has no place
                continue
            if isinstance(answer, Value):
                complete = range_begin(number + 1) >= artifact.size
                self.known[artifact] = replace(
                    known, digests=(*known.digests, answer.value), complete=complete
                )
            else:
                why = getattr(answer, "error", "it is gone")
                self.known[artifact] = replace(known, unread=f"{artifact.uri} could not be read ({why})")


def range_begin(number: int) -> int:
    """Return the first byte of the range with this *number*."""
    return 0 if number == 0 else PROBE_BYTES + (number - 1) * RANGE_BYTES


def hash_range(aws: Aws, artifact: StoredObject, number: int, version: str | None = None) -> Signal[bytes]:
    """Return the SHA-256 of one range of *artifact*, or of a *version* of it, if it still is as listed."""
    start, stop = range_begin(number), min(artifact.size, range_begin(number + 1))
    which: Any = {"VersionId": version} if version else {}

    def read() -> bytes:
        answer = aws.s3.get_object(
            Bucket=artifact.bucket,
            Key=artifact.key,
            Range=f"bytes={start}-{stop - 1}",
            IfMatch=artifact.etag,
            **which,
        )
        hashed, length = sha256(), 0
        for chunk in answer["Body"].iter_chunks(COMPARE_CHUNK):
            hashed.update(chunk)
            length += len(chunk)
        if length != stop - start:
            raise ReadError(f"{count_noun(length, 'byte')} instead of {stop - start}")
        return hashed.digest()

    return read_signal(read, source=GET_OBJECT)


class EqualityProof:
    """
    The proof that *copy* and *keeper* are the same bytes; *memo* is the progress of an earlier run.

    The running proof is a SHA-256 over the hashes of the ranges that were found equal. It holds for the two
    very objects that were read then: another version or ETag begins anew, as do ranges of other sizes.
    """

    def __init__(self, aws: Aws, copy: SeenObject, keeper: SeenObject, memo: Mapping[str, Any]) -> None:
        self._aws = aws
        self._copy = copy
        self._keeper = keeper
        self._bound = [_identity(copy), _identity(keeper), [PROBE_BYTES, RANGE_BYTES]]
        fits = memo.get("of") == self._bound
        self._next: int = memo["next"] if fits else 0
        self._sum: str = memo["sum"] if fits else _EMPTY_PROOF

    def proof(self) -> str:
        """
        Return the proof, in words.

        Raises CannotActError if the two differ, NotFinishedError if the time ran out first, and ReadError.
        """
        match = compare_contents(self._copy.contents, self._keeper.contents)
        if match.likeness is Likeness.DIFFERENT:
            raise self._differ(match.by)
        if match.likeness is Likeness.PROVEN:
            return match.by
        while range_begin(self._next) < self._copy.stored.size:
            self._compare()
        return f"{EVERY_BYTE_READ}, SHA-256 of {self._next} ranges' SHA-256: {self._sum}"

    def _compare(self) -> None:
        size = self._copy.stored.size
        numbers = [n for n in range(self._next, self._next + RANGES_AT_ONCE) if range_begin(n) < size]
        if not self._aws.has_time:
            raise self._not_yet()
        jobs = [(seen, number) for number in numbers for seen in (self._copy, self._keeper)]
        answers = self._aws.map(lambda job: hash_range(self._aws, job[0].stored, job[1]), jobs)
        for number, mine, other in zip(numbers, answers[::2], answers[1::2], strict=True):
            if not isinstance(mine, Value) or not isinstance(other, Value):
                raise self._unread(other if isinstance(mine, Value) else mine)
            if mine != other:
                raise self._differ(f"unequal bytes from byte {range_begin(number)} on")
            self._sum = sha256(bytes.fromhex(self._sum) + mine.value).hexdigest()
            self._next = number + 1

    def _unread(self, signal: object) -> Exception:
        if not self._aws.has_time:
            return self._not_yet()
        why = signal.error if isinstance(signal, Unreadable) else "it is gone"
        return ReadError(f"comparing {self._copy.stored.uri} with {self._keeper.stored.uri}: {why}")

    def _not_yet(self) -> NotFinishedError:
        size = self._copy.stored.size
        shown, whole = format_size(min(range_begin(self._next), size)), format_size(size)
        why = f"{shown} of {whole} were compared with {self._keeper.stored.uri} so far"
        return NotFinishedError(why, {"of": self._bound, "next": self._next, "sum": self._sum})

    def _differ(self, by: str) -> CannotActError:
        return CannotActError(f"it is not the same as {self._keeper.stored.uri} after all: {by}")


def same_bytes(aws: Aws, a: SeenObject, b: SeenObject) -> bool:
    """Return whether two objects are the same bytes, if necessary by reading both. Raises ReadError."""
    by_checksum = compare_contents(a.contents, b.contents).likeness
    if by_checksum in {Likeness.PROVEN, Likeness.DIFFERENT}:
        return by_checksum is Likeness.PROVEN
    numbers = list(takewhile(lambda number: range_begin(number) < a.stored.size, count()))
    jobs = [(seen, number) for number in numbers for seen in (a, b)]
    sums = aws.map(lambda job: required_value(hash_range(aws, job[0].stored, job[1], job[0].version)), jobs)
    return sums[::2] == sums[1::2]


def _identity(seen: SeenObject) -> list[str | None]:
    artifact = seen.stored
    return [artifact.uri, artifact.etag, seen.version, artifact.modified.isoformat()]
