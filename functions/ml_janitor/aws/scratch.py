"""Files for what a run cannot hold in memory: in the janitor's own bucket, or in a temporary folder."""

from __future__ import annotations

from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Protocol
from weakref import finalize

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


def folder(detector: str) -> str:
    """Where the files of *detector* lie in the janitor's bucket, whose lifecycle removes them."""
    return f"{detector}/listing/"


class Scratch(Protocol):
    """Files by name, which may contain slashes. Nothing is deleted one by one."""

    @property
    def lasting(self) -> bool:
        """Whether another run finds them, for some days."""

    def put(self, name: str, body: bytes) -> None:
        """Write the file *name*, anew if it is there."""

    def get(self, name: str) -> bytes | None:
        """The file *name*; None if there is none."""

    def part(self, name: str, start: int, length: int) -> bytes:
        """*length* bytes of the file *name* from *start* on, all of which are there."""


class BucketScratch:
    """Files below *prefix* in *bucket*: see `folder`."""

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
    """Files in a temporary folder, which is made with the first one and goes with this object."""

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
