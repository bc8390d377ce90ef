"""Find places in S3 in descriptions and manifests: s3://, https:// and ARNs, also inside a text or JSON."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from ml_janitor.aws.calls import read_signal
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Signal, Unreadable, Value

ADDRESS_BEGINNING = r"(?:s3[an]?://|https?://|arn:aws[a-z-]*:s3:::)"
"""The beginning of an address; Spark and Hadoop write s3a:// and s3n://."""

ADDRESS_SCHEME = re.compile(ADDRESS_BEGINNING, re.IGNORECASE)
ADDRESS_IN_TEXT = re.compile(
    rf"""{ADDRESS_BEGINNING}(?:(?!{ADDRESS_BEGINNING})[^\s"'\\<>])+""", re.IGNORECASE
)
"""An address within a longer text."""

ADDRESS_END = re.compile(r"[],;:|&=)}!]|[.?]$")
"""
Characters that may follow an address in a longer text. Keys may contain them too,
so both readings count.
"""

PLACEHOLDER = re.compile(r"[{$*]")
"""The start of a template's or a pattern's open part."""

S3_VIRTUAL_HOST = re.compile(r"(?P<bucket>.+)\.s3(?:[.-][a-z0-9-]+)*\.amazonaws\.com(?:\.cn)?")
S3_PATH_HOST = re.compile(r"s3(?:[.-][a-z0-9-]+)*\.amazonaws\.com(?:\.cn)?")


@dataclass(frozen=True, slots=True)
class S3Address:
    """
    An address in S3.

    It means the object *path* or everything in the folder of that name; with *beginning*, every
    object whose key begins with *path*. *bucket* is None where an access point or a placeholder hides
    the bucket: any bucket may be meant.
    """

    bucket: str | None
    path: str
    beginning: bool = False


def addresses_in(
    value: object, outputs: AbstractSet[str] = frozenset(), *, beginning: bool = False
) -> Iterator[S3Address]:
    """
    Yield every place that a description mentions, however deep; members named in *outputs* are left out.

    SageMaker reads an S3Prefix as the beginning of keys, and likewise the place of a container that
    loads several models.
    """
    match value:
        case str():
            yield from _in_text(value, outputs, beginning=beginning)
        case dict():
            begins = value.get("S3DataType") == "S3Prefix" or value.get("Mode") == "MultiModel"
            for name, inner in value.items():
                if name not in outputs:
                    yield from addresses_in(inner, outputs, beginning=begins and isinstance(inner, str))
        case list() | tuple():
            for inner in value:
                yield from addresses_in(inner, outputs)


def _in_text(text: str, outputs: AbstractSet[str], *, beginning: bool) -> Iterator[S3Address]:
    if ADDRESS_SCHEME.search(text) is None:
        return
    if text.startswith(("{", "[", '"')):
        try:
            inside = json.loads(text)
        except ValueError:
            pass
        else:
            yield from addresses_in(inside, outputs)
            return
    if (place := parse_address(text, beginning=beginning)) is not None:  # it may have blanks in it
        yield place
    for found in ADDRESS_IN_TEXT.findall(text):
        yield from _readings(found, whole=found == text)


def _readings(address: str, *, whole: bool) -> Iterator[S3Address]:
    """
    Yield the possible meanings of *address*, cut out of a longer text unless it is the *whole* text.

    Every place at which it may end counts. With a placeholder in it, it means all addresses that begin
    with the part before, unless that part is empty.
    """
    starts = ADDRESS_SCHEME.match(address)
    begin = starts.end() if starts else 0
    ends = [len(address)] * (not whole) + [end.start() for end in ADDRESS_END.finditer(address, begin)]
    for end in ends:
        if (place := parse_address(address[:end])) is not None:
            yield place
    if (left_open := PLACEHOLDER.search(address, address.find("/", begin))) is not None:
        place = parse_address(address[: left_open.start()], beginning=True)
        if place is not None and place.path:
            yield place


def parse_address(text: str, *, beginning: bool = False) -> S3Address | None:
    """Parse the address *text*; None if it is not an address."""
    starts = ADDRESS_SCHEME.match(text)
    if starts is None:
        return None
    if not starts[0].lower().startswith("http"):
        bucket, _, path = text[starts.end() :].partition("/")
        if bucket.startswith("arn:"):  # s3://arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME/KEY
            return S3Address(None, path.partition("/")[2], beginning)
        hidden = bucket.endswith("-s3alias") or PLACEHOLDER.search(bucket) is not None
        return S3Address(None if hidden else bucket, path, beginning)
    address = urlsplit(text)
    host, path = address.hostname or "", unquote(address.path.removeprefix("/"))
    if S3_PATH_HOST.fullmatch(host):
        bucket, _, path = path.partition("/")
        return S3Address(bucket, path, beginning)
    if virtual := S3_VIRTUAL_HOST.fullmatch(host):
        return S3Address(virtual["bucket"], path, beginning)
    return None


def is_under(prefixes: Sequence[str], uri: str) -> bool:
    """Return whether the object or folder *uri* lies under one of *prefixes*."""
    return any(uri.startswith(prefix.rstrip("/") + "/") for prefix in prefixes)


# --- manifests ------------------------------------------------------------------------------------
#
# A manifest is a file in S3 that lists a job's input or a model's artifacts.

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
