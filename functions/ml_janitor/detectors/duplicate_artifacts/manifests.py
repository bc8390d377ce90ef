"""What a description reads through a manifest: a file that lists places, and is not opened. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

MANIFESTS = ("ManifestFile", "AugmentedManifestFile")
"""The types of an input (S3DataType) whose address is that of a manifest."""


def hidden(by: str, description: dict[str, Any], *, runs: bool) -> Iterator[str]:
    """
    Why it is unknown what *by* refers to.

    A model's artifacts may lie where a manifest says ("a CSV file that stores the artifact locations": API
    reference of S3ModelDataSource). The inputs of a job matter only while it *runs*.
    """
    for source in members(description):
        if manifest := source.get("ManifestS3Uri"):
            yield f"{by} loads what {manifest} lists, which was not opened"
        if runs and source.get("S3DataType") in MANIFESTS:
            yield f"{by} reads what {source['S3Uri']} lists, which was not opened"


def members(value: object) -> Iterator[dict[str, Any]]:
    """Every structure in *value*, however deep."""
    match value:
        case dict():
            yield value
            for inner in value.values():
                yield from members(inner)
        case list() | tuple():
            for inner in value:
                yield from members(inner)
