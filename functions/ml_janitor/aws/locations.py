"""Finds places in S3 in descriptions: s3://, https:// and ARNs, whole, in JSON, or inside a text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

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
