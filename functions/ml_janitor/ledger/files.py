"""
Files in the report bucket that the ledger vouches for: a changed file counts as missing. Law 12.

The key of such a file holds its SHA-256, and an item of the ledger names the key. Writers of the bucket alone
can delete a file, and cannot make the janitor believe another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.conditions import Attr

from ml_janitor.aws.calls import ReadError, failure_text
from ml_janitor.aws.client import BLOCK_SIZE, FileChangedError, scratch_folder
from ml_janitor.ledger.table import IF_ABSENT, ConditionFailedError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

    from ml_janitor.ledger.table import Table

FILE_KEY = "file"
DESCRIPTIONS_KEY = "descriptions"
"""The folder of kept descriptions, and the beginning of the items that name their files."""

_LATEST_KEY = "latest"
FILE_TYPES = {"json": "application/json", "gz": "application/gzip"}
"""The types of files by their ending."""

_MISSING_CODES = frozenset({"AccessDenied", "NoSuchKey"})
"""S3's answers for a missing object: the first without s3:ListBucket (API reference, GetObject)."""


def put_hashed(client: S3Client, bucket: str, start: str, body: bytes, ending: str = "json") -> str:
    """Put *body* into *bucket*; return its key, which is *start* with the hash of *body* and *ending*."""
    key = f"{start}.{sha256(body).hexdigest()}.{ending}"
    client.put_object(Bucket=bucket, Key=key, Body=body, ContentType=FILE_TYPES[ending])
    return key


def get_hashed(client: S3Client, bucket: str, key: str) -> bytes:
    """Return the file that `put_hashed` put under *key*. Raises ReadError, FileChangedError if changed."""
    return _get_block(client, bucket, key, key.split(".")[-2])


def _get_block(client: S3Client, bucket: str, key: str, expected: str, **part: str) -> bytes:
    """Return the file *key*, or a *part* of it, whose hash is *expected*. Raises ReadError."""
    try:
        body = client.get_object(Bucket=bucket, Key=key, **part)["Body"].read()  # type: ignore[arg-type]
    except Exception as error:  # an error that is no failed call is a bug, and raised as it is
        if (words := failure_text(error)) is None:
            raise
        code = getattr(error, "response", {}).get("Error", {}).get("Code")
        kind = FileChangedError if code in _MISSING_CODES else ReadError
        raise kind(f"s3://{bucket}/{key} could not be read: {words}") from error
    if sha256(body).hexdigest() != expected:
        raise FileChangedError(f"s3://{bucket}/{key} is not the file that the janitor wrote")
    return body


class HashedFiles:
    """
    The files of *detector* in *bucket*, below `scratch_folder`: a `Scratch` that lasts.

    A manifest of each place lists the SHA-256 of every block of its files. An item in *table* names the
    manifest's key.
    """

    lasting = True

    def __init__(self, client: S3Client, bucket: str, table: Table, detector: str) -> None:
        self._client, self._bucket, self._table = client, bucket, table
        self._item, self._prefix = f"{FILE_KEY}#{detector}#", scratch_folder(detector)
        self._hashes: dict[str, list[str]] = {}

    def put(self, name: str, body: bytes) -> None:
        """Write the file *name*, or replace it."""
        self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=body)
        blocks = (body[start : start + BLOCK_SIZE] for start in range(0, len(body), BLOCK_SIZE))
        self._hashes[name] = [sha256(block).hexdigest() for block in blocks]

    def blocks(self, name: str) -> Iterator[bytes]:
        """Yield the file *name* block by block. Raises ReadError, FileChangedError if it was changed."""
        for number, expected in enumerate(self._hashes[name]):
            part = f"bytes={number * BLOCK_SIZE}-{(number + 1) * BLOCK_SIZE - 1}"
            yield _get_block(self._client, self._bucket, self._prefix + name, expected, Range=part)

    def keep(self, place: str, position: Mapping[str, Any] | None) -> None:
        """Remember *position*, with the files below *place*, for the next run; None forgets them."""
        key = ""
        if position is not None:
            files = {name: hashes for name, hashes in self._hashes.items() if name.startswith(f"{place}/")}
            manifest = json.dumps({"position": position, "files": files}).encode()
            key = put_hashed(self._client, self._bucket, f"{self._prefix}{place}/manifest", manifest)
        self._table.put(self._item + place, _LATEST_KEY, {"key": key})

    def kept(self, place: str) -> dict[str, Any] | None:
        """Return the position that an earlier run has kept of *place*; None without one, or if changed."""
        item = self._table.get(self._item + place, _LATEST_KEY)
        if item is None or not item["key"]:
            return None
        try:
            manifest = json.loads(get_hashed(self._client, self._bucket, item["key"]))
        except FileChangedError:
            return None
        self._hashes |= manifest["files"]
        position: dict[str, Any] = manifest["position"]
        return position


class HashedDescriptions:
    """
    The files of kept descriptions in *bucket*, which serve reports: items of *table* name them.

    If two runs write a file at once, the first is kept.
    """

    def __init__(self, client: S3Client, bucket: str, table: Table) -> None:
        self._client, self._bucket, self._table = client, bucket, table
        self._keys: dict[tuple[str, str], str] = {}

    def read(self, account: str, region: str) -> bytes | None:
        """Return the file as it was written; None without one, or if it was changed."""
        item = self._table.get(f"{DESCRIPTIONS_KEY}#{account}", region)
        if item is None:
            return None
        self._keys[account, region] = key = item["key"]
        try:
            return get_hashed(self._client, self._bucket, key)
        except FileChangedError:
            return None

    def write(self, account: str, region: str, body: bytes) -> None:
        """Replace the file, unless another run did so since it was read."""
        before = self._keys.get((account, region))
        start = f"{DESCRIPTIONS_KEY}/{account}/{region}"
        key = put_hashed(self._client, self._bucket, start, body, "gz")
        same = IF_ABSENT if before is None else Attr("key").eq(before)
        with suppress(ConditionFailedError):
            self._table.put(f"{DESCRIPTIONS_KEY}#{account}", region, {"key": key}, only_if=same)
