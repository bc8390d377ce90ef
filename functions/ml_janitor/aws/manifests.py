"""Reads manifests: files in S3 that list a job's input or a model's artifacts."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ml_janitor.aws.answers import read_signal
from ml_janitor.aws.client import Aws
from ml_janitor.aws.locations import S3Address, addresses_in, is_under, parse_address
from ml_janitor.core.signals import Signal, Unreadable, Value

GET_OBJECT = "s3:GetObject"
MISSING_OBJECT = ("404", "NoSuchKey", "NoSuchBucket")

JSON_LIST_MANIFEST, JSON_LINES_MANIFEST, CSV_MANIFEST = "ManifestFile", "AugmentedManifestFile", "CSV"
"""The formats of a manifest; the first two are values of S3DataType."""

LARGEST_MANIFEST = 32 * 1024**2
"""The largest manifest that the janitor reads, in bytes."""


@dataclass(frozen=True, slots=True)
class S3Manifest:
    """A manifest at the S3 address *uri*, *written* as JSON or CSV."""

    uri: str
    written: str


@dataclass(frozen=True, slots=True)
class UnopenedManifest:
    """A manifest whose content is unknown, and *why*."""

    why: str


def manifests_in(description: Mapping[str, Any], *, runs: bool) -> Iterator[S3Manifest]:
    """
    Yield the manifests that *description* names; the inputs of a job count only while it *runs*.

    A model's artifacts may be listed in "a CSV file that stores the artifact locations" (API reference of
    S3ModelDataSource).
    """
    for source in structures_in(description):
        if uri := source.get("ManifestS3Uri"):
            yield S3Manifest(uri, CSV_MANIFEST)
        if runs and (kind := source.get("S3DataType")) in {JSON_LIST_MANIFEST, JSON_LINES_MANIFEST}:
            yield S3Manifest(source["S3Uri"], kind)


def read_manifest(
    aws: Aws, manifest: S3Manifest, contents_in: tuple[str, ...]
) -> Signal[tuple[S3Address, ...] | UnopenedManifest]:
    """Read the addresses in *manifest*, if it lies under one of *contents_in*. Absent if it is gone."""
    place = parse_address(manifest.uri)
    if place is None or not is_under(contents_in, f"s3://{place.bucket}/{place.path}"):
        return Value(
            UnopenedManifest("which was not opened, because read_contents_in does not name its bucket")
        )
    where = {"Bucket": place.bucket, "Key": place.path}

    def ask() -> bytes | None:
        answer = aws.s3.get_object(**where)  # type: ignore[arg-type]  # both are texts
        return answer["Body"].read() if answer["ContentLength"] <= LARGEST_MANIFEST else None

    match read_signal(ask, source=GET_OBJECT, absent=MISSING_OBJECT):
        case Value(None):
            return Value(UnopenedManifest("which is too large to be read"))
        case Value(bytes() as content):
            try:
                places = tuple(_listed(content.decode(), manifest.written))
            except (ValueError, AttributeError, TypeError, LookupError):
                places = ()
            return Value(places or UnopenedManifest("which lists no address that is understood"), GET_OBJECT)
        case Unreadable(error, source):
            return Unreadable(f"{manifest.uri}: {error}", source)
        case other:
            return other  # type: ignore[return-value]  # Absent or NotRead


def _listed(text: str, written: str) -> Iterator[S3Address]:
    """Yield the addresses in a manifest. A prefix alone means all keys that begin with it."""
    match written:
        case "ManifestFile":
            first, *names = json.loads(text)
            for name in names:
                if (place := parse_address(first["prefix"] + name)) is not None:
                    yield place
            if not names and (place := parse_address(first["prefix"], beginning=True)) is not None:
                yield place
        case "AugmentedManifestFile":
            for line in text.splitlines():
                yield from addresses_in(json.loads(line)) if line.strip() else ()
        case _:
            for row in csv.reader(text.splitlines()):
                yield from addresses_in(row)


def structures_in(value: object) -> Iterator[dict[str, Any]]:
    """Yield every structure in *value*, however deep."""
    match value:
        case dict():
            yield value
            for inner in value.values():
                yield from structures_in(inner)
        case list() | tuple():
            for inner in value:
                yield from structures_in(inner)
