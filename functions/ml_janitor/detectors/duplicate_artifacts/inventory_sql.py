"""
The SQL that finds artifacts of one size and ETag in an inventory of S3, and the tables that it reads. Pure.

Two steps: the groups of more than one artifact, then the keys of these groups alone. Asking for both at once
takes Athena's engine several times as long, and memory for every key.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ml_janitor.aws.athena import LONGEST_QUERY
from ml_janitor.detectors.duplicate_artifacts.artifact import Names

BY_SIZE = 100 * 1024**2
"""Bytes from which artifacts of one size are candidates whatever their ETags, where contents may be read."""

ROOM = LONGEST_QUERY * 3 // 4
"""Bytes of one query's list of groups; the rest is room for the query itself."""


class Format(StrEnum):
    """What an inventory's files are, as its manifest says it."""

    CSV = "CSV"
    ORC = "ORC"
    PARQUET = "Parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """
    The table that describes a bucket's objects.

    *day* is the delivery of an S3 Inventory that is read ("2026-11-27-01-00"), and None for a live inventory
    table, which has each version of an object with its sequence number. *versions* is whether an S3 Inventory
    lists all versions, and not the latest ones only.
    """

    name: str
    bucket: str
    format: Format = Format.PARQUET
    day: str | None = None
    versions: bool = False

    @property
    def live(self) -> bool:
        return self.day is None

    @property
    def size(self) -> str:
        """A table over CSV may have sizes as text, and nothing for a delete marker."""
        return "TRY_CAST(CAST(size AS varchar) AS bigint)" if self.format is Format.CSV else "size"


@dataclass(frozen=True, slots=True)
class Group:
    """*count* artifacts of one size and ETag; of one size with any, if *etag* is empty."""

    size: int
    etag: str
    count: int


GROUP_COLUMNS = ("size", "e_tag", "copies")
KEY_COLUMNS = ("key", "size", "e_tag")


def groups(table: Table, names: Names, *, by_size: bool) -> str:
    """
    Which sizes and ETags more than one artifact has: `GROUP_COLUMNS`, what could be freed most first.

    With *by_size*, from `BY_SIZE` on the size alone: a KMS key and the size of an upload's parts change an
    ETag. Of a live table, every version that is no delete marker counts here: more than there are, never
    fewer, and `keys` takes the latest alone. It spares Athena to sort every key's versions.
    """
    tag = f"CASE WHEN {table.size} >= {BY_SIZE} THEN '' ELSE e_tag END" if by_size else "e_tag"
    latest = "NOT is_delete_marker" if table.live else _latest(table)
    return (
        f"SELECT {table.size} AS size, {tag} AS e_tag, count(*) AS copies FROM {table.name} "  # noqa: S608 - checked
        f"WHERE {latest} AND {table.size} >= {names.min_size} AND {_artifacts(table, names)} "
        "GROUP BY 1, 2 HAVING count(*) > 1 ORDER BY 1 DESC, 2"
    )


def keys(table: Table, names: Names, wanted: Sequence[Group]) -> str:
    """The latest versions of the artifacts in the groups *wanted*: `KEY_COLUMNS`."""
    here, within = _artifacts(table, names), _in(table.size, wanted)
    if not table.live:
        return (
            f"SELECT key, {table.size} AS size, e_tag FROM {table.name} "  # noqa: S608 - checked
            f"WHERE {_latest(table)} AND {within} AND {here}"
        )
    return (
        f"WITH newest AS (SELECT key, max_by(size, sequence_number) AS size, "  # noqa: S608 - checked
        f"max_by(e_tag, sequence_number) AS e_tag, max_by(is_delete_marker, sequence_number) AS gone "
        f"FROM {table.name} WHERE bucket = {text(table.bucket)} AND key IN "
        f"(SELECT key FROM {table.name} WHERE {within} AND {here}) GROUP BY key) "
        f"SELECT key, size, e_tag FROM newest WHERE NOT gone AND {within}"
    )


def portions(wanted: Iterable[Group]) -> list[list[Group]]:
    """The groups *wanted* in as few lists as fit into one query each."""
    found: list[list[Group]] = []
    left = 0
    for one in wanted:
        takes = len(f"{one.size},") + len(f"'{one.etag}',")
        if takes > left:
            found.append([])
            left = ROOM
        found[-1].append(one)
        left -= takes
    return found


def _latest(table: Table) -> str:
    """What an S3 Inventory's rows must be, besides of the delivery that is read."""
    here = f"dt = {text(str(table.day))}"
    return f"{here} AND is_latest AND NOT is_delete_marker" if table.versions else here


def _artifacts(table: Table, names: Names) -> str:
    """One pattern: an engine looks at each key once, where a LIKE for each ending looks as often."""
    ends = "|".join(_pattern(one.lower()) for one in names.extensions)
    return f"bucket = {text(table.bucket)} AND regexp_like(lower(key), {text(f'({ends})$')})"


def _pattern(ending: str) -> str:
    """*ending* as a pattern, whose letters mean themselves."""
    return "".join(one if one.isalnum() else r"\^" if one == "^" else f"[{one}]" for one in ending)


def _in(size: str, wanted: Sequence[Group]) -> str:
    """Sizes and ETags apart, not as pairs: whoever reads the answer leaves out what is of no group."""
    sizes = sorted({one.size for one in wanted if not one.etag})
    exact = [one for one in wanted if one.etag]
    either = []
    if exact:
        tags = ", ".join(text(tag) for tag in sorted({one.etag for one in exact}))
        each = ", ".join(map(str, sorted({one.size for one in exact})))
        either.append(f"(e_tag IN ({tags}) AND {size} IN ({each}))")
    if sizes:
        either.append(f"{size} IN ({', '.join(map(str, sizes))})")
    return f"({' OR '.join(either)})"


def text(value: str) -> str:
    """*value* as SQL writes it."""
    return "'" + value.replace("'", "''") + "'"
