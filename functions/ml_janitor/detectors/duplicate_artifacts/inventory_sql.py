"""
The SQL that finds artifacts of one size and ETag in an inventory of S3, and the tables that it reads. Pure.

Two steps: the groups of more than one artifact, then the keys of these groups alone. A single query takes
Athena's engine several times as long, and memory for every key.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ml_janitor.aws.s3 import LONGEST_QUERY
from ml_janitor.detectors.duplicate_artifacts.artifacts import ArtifactNames

BY_SIZE_BYTES = 100 * 1024**2
"""Bytes from which artifacts of one size are candidates whatever their ETags, where contents may be read."""

_GROUP_LIST_BYTES = LONGEST_QUERY * 3 // 4
"""Bytes of one query's list of groups; the rest is room for the query itself."""


class InventoryFormat(StrEnum):
    """The format of an inventory's files, as its manifest spells it."""

    CSV = "CSV"
    ORC = "ORC"
    PARQUET = "Parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryTable:
    """
    The table that describes a bucket's objects.

    *day* is the delivery of an S3 Inventory ("2026-11-27-01-00"), and None for a live inventory table, which
    has each version of an object with its sequence number. *versions* is true if an S3 Inventory lists all
    versions, not only the latest.
    """

    name: str
    bucket: str
    format: InventoryFormat = InventoryFormat.PARQUET
    day: str | None = None
    versions: bool = False

    @property
    def live(self) -> bool:
        return self.day is None

    @property
    def size(self) -> str:
        """The SQL of the size. A table over CSV may have sizes as text, and nothing for a delete marker."""
        return "TRY_CAST(CAST(size AS varchar) AS bigint)" if self.format is InventoryFormat.CSV else "size"


@dataclass(frozen=True, slots=True)
class SizeGroup:
    """*count* artifacts of one size and ETag; of one size with any ETag, if *etag* is empty."""

    size: int
    etag: str
    count: int


GROUP_COLUMNS = ("size", "e_tag", "copies")
KEY_COLUMNS = ("key", "size", "e_tag")


def groups_sql(table: InventoryTable, names: ArtifactNames, *, by_size: bool) -> str:
    """
    Return the query for sizes and ETags of more than one artifact: `GROUP_COLUMNS`, the largest first.

    With *by_size*, the size alone counts from `BY_SIZE_BYTES` on: a KMS key and the size of an upload's parts
    change an ETag. In a live table, every version except delete markers counts here: more than there are,
    never fewer, and `keys` takes only the latest. That spares Athena from sorting every key's versions.
    """
    tag = f"CASE WHEN {table.size} >= {BY_SIZE_BYTES} THEN '' ELSE e_tag END" if by_size else "e_tag"
    latest = "NOT is_delete_marker" if table.live else _latest(table)
    return (
        f"SELECT {table.size} AS size, {tag} AS e_tag, count(*) AS copies FROM {table.name} "  # noqa: S608 - checked
        f"WHERE {latest} AND {table.size} >= {names.min_size} AND {_artifacts(table, names)} "
        "GROUP BY 1, 2 HAVING count(*) > 1 ORDER BY 1 DESC, 2"
    )


def keys_sql(table: InventoryTable, names: ArtifactNames, wanted: Sequence[SizeGroup]) -> str:
    """Return the query for the latest versions of the artifacts in the groups *wanted*: `KEY_COLUMNS`."""
    here, within = _artifacts(table, names), _in(table.size, wanted)
    if not table.live:
        return (
            f"SELECT key, {table.size} AS size, e_tag FROM {table.name} "  # noqa: S608 - checked
            f"WHERE {_latest(table)} AND {within} AND {here}"
        )
    return (
        f"WITH newest AS (SELECT key, max_by(size, sequence_number) AS size, "  # noqa: S608 - checked
        f"max_by(e_tag, sequence_number) AS e_tag, max_by(is_delete_marker, sequence_number) AS gone "
        f"FROM {table.name} WHERE bucket = {quote_sql(table.bucket)} AND key IN "
        f"(SELECT key FROM {table.name} WHERE {within} AND {here}) GROUP BY key) "
        f"SELECT key, size, e_tag FROM newest WHERE NOT gone AND {within}"
    )


def query_portions(wanted: Iterable[SizeGroup]) -> list[list[SizeGroup]]:
    """Return the groups *wanted* in as few lists as fit into one query each."""
    found: list[list[SizeGroup]] = []
    left = 0
    for group in wanted:
        takes = len(f"{group.size},") + len(f"'{group.etag}',")
        if takes > left:
            found.append([])
            left = _GROUP_LIST_BYTES
        found[-1].append(group)
        left -= takes
    return found


def _latest(table: InventoryTable) -> str:
    """Return the condition on an S3 Inventory's rows: the delivery to read, and the latest versions."""
    here = f"dt = {quote_sql(str(table.day))}"
    return f"{here} AND is_latest AND NOT is_delete_marker" if table.versions else here


def _artifacts(table: InventoryTable, names: ArtifactNames) -> str:
    """
    Return the condition for artifacts. One pattern reads each key once, where
    a LIKE per ending reads it as often.
    """
    ends = "|".join(_pattern(ending.lower()) for ending in names.extensions)
    return f"bucket = {quote_sql(table.bucket)} AND regexp_like(lower(key), {quote_sql(f'({ends})$')})"


def _pattern(ending: str) -> str:
    """Return *ending* as a pattern of literal characters."""
    return "".join(
        character if character.isalnum() else r"\^" if character == "^" else f"[{character}]"
        for character in ending
    )


def _in(size: str, wanted: Sequence[SizeGroup]) -> str:
    """
    Return the condition for sizes and ETags, each by itself: the reader
    drops rows that are in no group.
    """
    sizes = sorted({group.size for group in wanted if not group.etag})
    exact = [group for group in wanted if group.etag]
    either = []
    if exact:
        tags = ", ".join(quote_sql(tag) for tag in sorted({group.etag for group in exact}))
        group = ", ".join(map(str, sorted({group.size for group in exact})))
        either.append(f"(e_tag IN ({tags}) AND {size} IN ({group}))")
    if sizes:
        either.append(f"{size} IN ({', '.join(map(str, sizes))})")
    return f"({' OR '.join(either)})"


def quote_sql(value: str) -> str:
    """Return *value* as SQL text."""
    return "'" + value.replace("'", "''") + "'"
