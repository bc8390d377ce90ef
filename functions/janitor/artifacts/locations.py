"""Places in S3 as descriptions spell them: s3:// and https:// addresses, whole, in JSON, or inside a text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

INSIDE = re.compile(r"""(?:s3|https)://(?:(?!,s3://)[^\s"'\\<>])+""")
"""An address within a longer text."""

VIRTUAL_HOST = re.compile(r"(?P<bucket>.+)\.s3(?:[.-][a-z0-9-]+)*\.amazonaws\.com(?:\.cn)?")
PATH_HOST = re.compile(r"s3(?:[.-][a-z0-9-]+)*\.amazonaws\.com(?:\.cn)?")


@dataclass(frozen=True, slots=True)
class Place:
    """
    An address in S3.

    It means the object *path* or everything in the folder of that name; with *beginning*, every
    object whose key merely begins so. *bucket* is None where an access point hides which one it is:
    any may be meant.
    """

    bucket: str | None
    path: str
    beginning: bool = False


def mentioned(
    value: object, outputs: AbstractSet[str] = frozenset(), *, beginning: bool = False
) -> Iterator[Place]:
    """
    Every place that a description mentions, however deep; members named in *outputs* are left out.

    SageMaker reads an S3Prefix as the beginning of keys, and so it does the place of a container that
    loads several models.
    """
    match value:
        case str():
            yield from _in_text(value, outputs, beginning=beginning)
        case dict():
            begins = value.get("S3DataType") == "S3Prefix" or value.get("Mode") == "MultiModel"
            for name, inner in value.items():
                if name not in outputs:
                    yield from mentioned(inner, outputs, beginning=begins and isinstance(inner, str))
        case list() | tuple():
            for inner in value:
                yield from mentioned(inner, outputs)


def _in_text(text: str, outputs: AbstractSet[str], *, beginning: bool) -> Iterator[Place]:
    if "://" not in text:
        return
    if text.startswith(("{", "[", '"')):
        try:
            inside = json.loads(text)
        except ValueError:
            pass
        else:
            yield from mentioned(inside, outputs)
            return
    if (place := parse(text, beginning=beginning)) is not None:  # with blanks in it, if it has any
        yield place
    for found in INSIDE.findall(text):
        if found != text and (place := parse(found, beginning=beginning)) is not None:
            yield place


def parse(text: str, *, beginning: bool = False) -> Place | None:
    """The place that *text* is the address of, or None."""
    if text.startswith("s3://"):
        bucket, _, path = text.removeprefix("s3://").partition("/")
        if bucket.startswith("arn:"):  # s3://arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME/KEY
            return Place(None, path.partition("/")[2], beginning)
        return Place(None if bucket.endswith("-s3alias") else bucket, path, beginning)
    if text.startswith("https://"):
        address = urlsplit(text)
        host, path = address.hostname or "", unquote(address.path.removeprefix("/"))
        if PATH_HOST.fullmatch(host):
            bucket, _, path = path.partition("/")
            return Place(bucket, path, beginning)
        if virtual := VIRTUAL_HOST.fullmatch(host):
            return Place(virtual["bucket"], path, beginning)
    return None
