"""A deleted copy as plain JSON: everything that writes it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from ml_janitor.detectors.duplicate_artifacts.buckets import VERSIONING_ENABLED
from ml_janitor.detectors.duplicate_artifacts.object_heads import SeenObject, full_encryption


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
