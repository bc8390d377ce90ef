"""Keeps files that do not fit into a run's memory: in the janitor's bucket, or in a temporary folder."""

from __future__ import annotations

from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Protocol
from weakref import finalize

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


def scratch_folder(detector: str) -> str:
    """Return the folder of *detector* in the janitor's bucket, whose lifecycle removes old files."""
    return f"{detector}/listing/"


class Scratch(Protocol):
    """Files by name, which may contain slashes. Single files are never deleted."""

    @property
    def lasting(self) -> bool:
        """Return whether another run finds the files, for some days."""

    def put(self, name: str, body: bytes) -> None:
        """Write the file *name*, or replace it."""

    def get(self, name: str) -> bytes | None:
        """Return the file *name*, or None."""

    def part(self, name: str, start: int, length: int) -> bytes:
        """Return *length* bytes of the file *name* from *start* on; all of them exist."""


class BucketScratch:
    """Files below *prefix* in *bucket*: see `scratch_folder`."""

    lasting = True

    def __init__(self, client: S3Client, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix

    def put(self, name: str, body: bytes) -> None:
        self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=body)

    def get(self, name: str) -> bytes | None:
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
        except self._client.exceptions.NoSuchKey:
            return None
        return answer["Body"].read()

    def part(self, name: str, start: int, length: int) -> bytes:
        which = f"bytes={start}-{start + length - 1}"
        return self._client.get_object(Bucket=self._bucket, Key=self._prefix + name, Range=which)[
            "Body"
        ].read()


class FolderScratch:
    """Files in a temporary folder, which is made with the first file and deleted with this object."""

    lasting = False

    def __init__(self) -> None:
        self._made: Path | None = None

    def put(self, name: str, body: bytes) -> None:
        if self._made is None:
            self._made = Path(mkdtemp(prefix="janitor-"))
            finalize(self, rmtree, self._made, ignore_errors=True)
        path = self._made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)

    def get(self, name: str) -> bytes | None:
        path = self._made / name if self._made else None
        return path.read_bytes() if path and path.exists() else None

    def part(self, name: str, start: int, length: int) -> bytes:
        if self._made is None:
            raise FileNotFoundError(name)
        with (self._made / name).open("rb") as file:
            file.seek(start)
            return file.read(length)
