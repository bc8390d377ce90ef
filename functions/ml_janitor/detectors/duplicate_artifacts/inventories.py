"""
Artifacts of buckets that are too large to list: an inventory of S3 names candidates, and S3 confirms them.
Athena queries the inventory, below a price limit. The detector's settings name the inventories.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from itertools import islice
from typing import Any

from ml_janitor.aws.calls import ReadError, is_refusal, read_signal, required_value
from ml_janitor.aws.client import Aws
from ml_janitor.aws.s3 import (
    LIST_OBJECTS,
    LONGEST_QUERY,
    USD_PER_TB_SCANNED,
    AthenaAnswer,
    AthenaPlace,
    query_price,
    run_query,
    split_uri,
)
from ml_janitor.core.model import Signal, Unreadable, Value
from ml_janitor.core.text import count_noun, format_size, quote_sql
from ml_janitor.detectors.duplicate_artifacts.artifacts import (
    MOST_COMPARED,
    ArtifactNames,
    BucketIndex,
    FolderKey,
    StoredObject,
    artifact_order,
    find_object,
    is_whole_model,
    relevant_folders,
)
from ml_janitor.detectors.duplicate_artifacts.copies import left_out_notice
from ml_janitor.detectors.duplicate_artifacts.prefixes import BUCKET_NAME, via_s3_conditions
from ml_janitor.engine.detector import Grant, allow, implied_grant

# --- settings and permissions ---------------------------------------------------------------------

LIVE_CATALOG, _LIVE_BUCKET = "s3tablescatalog/aws-s3", "aws-s3"
"""The catalog and bucket of S3's live inventory tables (S3 user guide, "Querying metadata tables")."""

_INVENTORY_KEYS = ("table", "location", "workgroup", "output")

_INVENTORY_FOLDER = re.compile(rf"s3://{BUCKET_NAME.pattern}/([^*?$']*/)?")
_HIVE_TABLE = re.compile(r"\w+\.\w+")
_LIVE_TABLE = re.compile(rf"{re.escape(LIVE_CATALOG)}\.[\w-]+\.inventory")
_WORKGROUP_NAME = re.compile(r"[a-zA-Z0-9._-]{1,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """
    One entry of the settings: the table that describes *bucket*, and the place of Athena's answers.

    *location* is the folder of the delivered inventory,
    "s3://DESTINATION/PREFIX/BUCKET/ID/"; a live inventory table has none.
    """

    bucket: str
    table: str
    output: str
    location: str | None = None
    workgroup: str = "primary"

    @property
    def live(self) -> bool:
        return self.location is None

    @property
    def parts(self) -> list[str]:
        """The catalog, database and table."""
        parts = self.table.split(".")
        return parts if self.live else ["AwsDataCatalog", *parts]

    @property
    def place(self) -> AthenaPlace:
        catalog, database, _ = self.parts
        return AthenaPlace(catalog=catalog, database=database, workgroup=self.workgroup, output=self.output)

    @property
    def quoted(self) -> str:
        """The table as SQL names it."""
        return ".".join(f'"{part}"' for part in (self.parts if self.live else self.parts[1:]))


def inventories_in(settings: Mapping[str, Mapping[str, str]]) -> tuple[Inventory, ...]:
    """
    Return the inventories that `inventories` of the *settings* name. Raises
    ValueError for an invalid entry.
    """
    return tuple(_one(bucket, table) for bucket, table in settings.items())


def _one(bucket: str, table: Mapping[str, str]) -> Inventory:
    where = f"inventories.{bucket}"
    if not BUCKET_NAME.fullmatch(bucket):
        raise ValueError(f'inventories: expected the name of a bucket like "models", got "{bucket}"')
    if unknown := sorted(set(table) - set(_INVENTORY_KEYS)):
        raise ValueError(f'{where}: expected {", ".join(_INVENTORY_KEYS)}, got "{unknown[0]}"')
    for key, folder in ((key, table[key]) for key in ("location", "output") if key in table):
        if not _INVENTORY_FOLDER.fullmatch(folder):
            raise ValueError(
                f'{where}.{key}: expected a folder like "s3://inventories/models/all/", with its last slash, '
                f'got "{folder}"'
            )
    name = table.get("table", "")
    if "location" in table and not _HIVE_TABLE.fullmatch(name):
        raise ValueError(f'{where}.table: expected a database and a table like "s3.models", got "{name}"')
    if "location" not in table and not _LIVE_TABLE.fullmatch(name):
        raise ValueError(
            f'{where}.table: expected a live inventory table like "{LIVE_CATALOG}.b_models.inventory", or '
            f'another one with the location of its S3 Inventory, got "{name}"'
        )
    if "output" not in table:
        raise ValueError(f'{where}.output: expected where Athena leaves its answers, "s3://BUCKET/FOLDER/"')
    if not _WORKGROUP_NAME.fullmatch(table.get("workgroup", "primary")):
        raise ValueError(f'{where}.workgroup: expected the name of one, got "{table["workgroup"]}"')
    return Inventory(bucket=bucket, **table)


def inventory_grants(inventories: Sequence[Inventory]) -> tuple[Grant, ...]:
    """Return the permissions to query *inventories* alone: their work groups, tables, files and answers."""
    found = dict[Grant, None]()
    for inventory in inventories:
        table = _live_table(inventory) if inventory.live else _files(inventory)
        found |= dict.fromkeys((*_athena(inventory), *table, *_answers(inventory)))
    return tuple(found)


_ATHENA_GUIDE = "Athena user guide, Identity and access management in Athena"
_GLUE_SOURCE = f"{_ATHENA_GUIDE}: the tables that a query names are looked up in the Glue Data Catalog"


def _athena(inventory: Inventory) -> tuple[Grant, ...]:
    group = f"workgroup/{inventory.workgroup}"
    calls = (
        "StartQueryExecution",
        "GetQueryExecution",
        "GetQueryResults",
        *(["GetWorkGroup"] * inventory.live),
    )
    return tuple(allow(f"athena:{call}", on=group) for call in calls)


def _files(inventory: Inventory) -> tuple[Grant, ...]:
    """
    Return the permissions for the inventory's own folder, which Athena
    reads as the caller, and its table.
    """
    _, database, table = inventory.parts
    bucket, _, folder = str(inventory.location).removeprefix("s3://").partition("/")
    objects = f"arn:aws:s3:::{bucket}/{folder}*"
    own = f"arn:aws:s3:::{inventory.bucket}"
    glue = ("catalog", f"database/{database}", f"table/{database}/{table}")
    return (
        allow("s3:GetObject", on=objects),
        allow("s3:GetInventoryConfiguration", on=own),
        *(
            implied_grant(f"glue:{call}", on=on, source=_GLUE_SOURCE)
            for call in ("GetDatabase", "GetTable", "GetPartitions")
            for on in (glue[:2] if call == "GetDatabase" else glue)
        ),
        implied_grant(
            "kms:Decrypt",
            on="key/*",
            source="S3 user guide, Configuring Amazon S3 Inventory: lists may be encrypted with a KMS key",
            when=via_s3_conditions(objects, f"arn:aws:s3:::{bucket}"),
        ),
    )


def _live_table(inventory: Inventory) -> tuple[Grant, ...]:
    _, database, table = inventory.parts
    query = "S3 user guide, Permissions for querying metadata tables"
    federated = f"catalog/{LIVE_CATALOG}"
    named = f"{LIVE_CATALOG}/{database}"
    glue = {
        "GetCatalog": ("catalog", "catalog/s3tablescatalog", federated),
        "GetDatabase": ("catalog", federated, f"database/{named}"),
        "GetTable": ("catalog", federated, f"database/{named}", f"table/{named}/{table}"),
    }
    return (
        allow("s3:GetBucketMetadataTableConfiguration", on=f"arn:aws:s3:::{inventory.bucket}"),
        *(
            implied_grant(f"s3tables:{call}", on=f"bucket/{_LIVE_BUCKET}/table/*", source=query)
            for call in ("GetTable", "GetTableData", "GetTableMetadataLocation")
        ),
        *(
            implied_grant(f"glue:{call}", on=on, source=_GLUE_SOURCE)
            for call, places in glue.items()
            for on in places
        ),
    )


def _answers(inventory: Inventory) -> tuple[Grant, ...]:
    """Return the permissions for the folder of Athena's answers, which Athena writes as the caller."""
    bucket, _, folder = inventory.output.removeprefix("s3://").partition("/")
    source = f"{_ATHENA_GUIDE}: it writes and reads a query's results with the permissions of the caller"
    return (
        *(
            implied_grant(f"s3:{call}", on=f"arn:aws:s3:::{bucket}/{folder}*", source=source)
            for call in ("AbortMultipartUpload", "GetObject", "ListMultipartUploadParts", "PutObject")
        ),
        implied_grant("s3:GetBucketLocation", on=f"arn:aws:s3:::{bucket}", source=source),
    )


# --- deliveries -----------------------------------------------------------------------------------

_DELIVERY_FOLDER, _DELIVERY_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}-\d{2}Z/"), "%Y-%m-%dT%H-%MZ/"
"""The folder of one delivery (S3 user guide, "Locating your inventory list")."""

_COLUMN = re.compile(r"(?:required|optional)\s+(\w+)\s+(\w+)")
_NEEDED_COLUMNS = {"bucket": "binary", "key": "binary", "size": "int64", "e_tag": "binary"}
_VERSION_COLUMNS = {"is_latest": "boolean", "is_delete_marker": "boolean"}
"""The columns that are read, with their types in a manifest's fileSchema."""

_MANIFEST_VERSION = "2016-11-30"
_CREATED_WITHIN = timedelta(hours=12)
"""The most time between a manifest's creation and the date of its folder."""

_PARQUET = "Parquet"
"""The fileFormat of inventories that are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryDelivery:
    """
    The part of *inventory* to read: what S3 began to list *at* that time, or a live table as it is then.

    *most* is the most bytes that a query scans. *versions* is true if an S3 Inventory lists all versions, not
    only the latest. A live table has each version of an object with its sequence number.
    """

    inventory: Inventory
    at: datetime
    most: int
    versions: bool = False


def find_latest_delivery(aws: Aws, inventory: Inventory, now: datetime) -> InventoryDelivery:
    """
    Return the newest delivery of *inventory*; a live table is as it is *now*.
    Raises ReadError with the remedy.
    """
    return _live(aws, inventory, now) if inventory.live else _delivered(aws, inventory, now)


def _delivered(aws: Aws, inventory: Inventory, now: datetime) -> InventoryDelivery:
    bucket, prefix = split_uri(str(inventory.location))
    _check_filter(aws, inventory, prefix)
    pages = aws.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
    folders = [
        folder["Prefix"].removeprefix(prefix)
        for page in pages
        for folder in (page["CommonPrefixes"] if page["KeyCount"] and "CommonPrefixes" in page else ())
    ]
    at = max((time for name in folders if (time := _delivery_time(name)) is not None), default=None)
    if at is None:
        raise ReadError(
            f"no inventory lies in {inventory.location}: S3 delivers the first one within 48 hours; else set "
            "location to DESTINATION/PREFIX/BUCKET/ID/ of the inventory's configuration"
        )
    if at > now:
        raise ReadError(
            f"its newest delivery is dated {at:%Y-%m-%d %H:%M} UTC, after this run: remove the folder "
            f"{inventory.location}{at:{_DELIVERY_TIME}}"
        )
    manifest = _manifest(aws, bucket, f"{prefix}{at:{_DELIVERY_TIME}}")
    if manifest.source != inventory.bucket:
        raise ReadError(f"{inventory.location} is the inventory of bucket {manifest.source}")
    if manifest.format != _PARQUET:
        raise ReadError(
            f"{inventory.location} is written as {manifest.format}: add an inventory configuration as "
            f"Apache Parquet to {inventory.bucket}, and set its location and table"
        )
    columns = {name: kind for kind, name in _COLUMN.findall(manifest.schema)}
    versions = not columns.keys().isdisjoint(_VERSION_COLUMNS)
    needed = _NEEDED_COLUMNS | (_VERSION_COLUMNS if versions else {})
    if missing := sorted(name for name, kind in needed.items() if columns.get(name) != kind):
        raise ReadError(
            f"the inventory has no {', '.join(missing)} as S3 writes it: add Size and ETag to its optional "
            "fields, or make a new inventory configuration"
        )
    _check_files(aws, inventory, at, manifest)
    return InventoryDelivery(
        inventory=inventory, at=at, most=sum(size for _, size in manifest.files), versions=versions
    )


def _delivery_time(name: str) -> datetime | None:
    """Return the time in the *name* of a delivery's folder; None if it is another folder."""
    if not _DELIVERY_FOLDER.fullmatch(name):
        return None
    try:
        return datetime.strptime(name, _DELIVERY_TIME).replace(tzinfo=UTC)
    except ValueError:
        return None


def _check_filter(aws: Aws, inventory: Inventory, prefix: str) -> None:
    """Raise ReadError if S3 makes this inventory of a part of the bucket, or makes it no longer."""
    name = prefix.rstrip("/").rpartition("/")[2]
    try:
        answer: Any = aws.s3.get_bucket_inventory_configuration(Bucket=inventory.bucket, Id=name)
    except Exception as error:
        if not is_refusal(error, ("NoSuchConfiguration",)):
            raise
        raise ReadError(
            f"{inventory.bucket} has no inventory configuration {name}, so S3 delivers nothing new: set "
            "location to DESTINATION/PREFIX/BUCKET/ID/ of a configuration that it has"
        ) from error
    if part := answer["InventoryConfiguration"].get("Filter", {}).get("Prefix"):
        raise ReadError(
            f"inventory configuration {name} lists only keys that begin with {part}: add one without a "
            f"filter to {inventory.bucket}, and set its location and table"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryManifest:
    """A delivery's manifest.json: the bucket that is its *source*, and its *files*, by key and size."""

    source: str
    format: str
    schema: str
    files: tuple[tuple[str, int], ...]


def _manifest(aws: Aws, bucket: str, folder: str) -> InventoryManifest:
    """Return the complete manifest in *folder*. S3 writes its checksum last."""
    where = f"s3://{bucket}/{folder}manifest.json"
    content = _delivered_file(aws, bucket, f"{folder}manifest.json")
    checksum = _delivered_file(aws, bucket, f"{folder}manifest.checksum")
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != checksum.decode(errors="replace").strip():
        raise ReadError(f"{where} does not have the checksum beside it")
    try:
        found = json.loads(content)
        created = datetime.fromtimestamp(int(found["creationTimestamp"]) / 1000, UTC)
        manifest = InventoryManifest(
            source=_text_in(found, "sourceBucket"),
            format=_text_in(found, "fileFormat"),
            schema=_text_in(found, "fileSchema"),
            files=tuple((_text_in(file, "key"), file["size"]) for file in found["files"]),
        )
        version, destination = _text_in(found, "version"), _text_in(found, "destinationBucket")
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ReadError(
            f"{where} is not a manifest of S3 Inventory ({type(error).__name__}: {error})"
        ) from error
    time = datetime.strptime(folder[-len("2026-01-01T00-00Z/") :], _DELIVERY_TIME).replace(tzinfo=UTC)
    wrong = {
        f"its version is {version}, not {_MANIFEST_VERSION}": version != _MANIFEST_VERSION,
        f"it is for bucket {destination}": destination.rpartition(":::")[2] != bucket,
        f"it was created at {created:%Y-%m-%d %H:%M} UTC": abs(created - time) > _CREATED_WITHIN,
        "it names no files": not manifest.files,
        "a file's size is not a number above 0": any(
            type(size) is not int or size <= 0 for _, size in manifest.files
        ),
        "it names a file twice": len({key for key, _ in manifest.files}) < len(manifest.files),
    }
    if why := next((why for why, is_wrong in wrong.items() if is_wrong), None):
        raise ReadError(f"{where} is not complete: {why}")
    return manifest


def _text_in(found: Mapping[str, Any], name: str) -> str:
    """Return the text *name* of *found*. Raises TypeError if it is none."""
    if not isinstance(text := found[name], str):
        raise TypeError(f"{name} is {text!r}")
    return text


def _check_files(aws: Aws, inventory: Inventory, at: datetime, manifest: InventoryManifest) -> None:
    """Raise ReadError unless S3 has the files of *manifest*, and the table reads exactly these."""
    bucket, prefix = split_uri(str(inventory.location))

    def size(key: str) -> int:
        return aws.s3.head_object(Bucket=bucket, Key=key)["ContentLength"]

    if outside := next((key for key, _ in manifest.files if not key.startswith(prefix)), None):
        raise ReadError(
            f"the manifest names s3://{bucket}/{outside}, which is not below {inventory.location}"
        )
    answers = aws.map(
        lambda file: read_signal(partial(size, file[0]), source="s3:HeadObject"), list(manifest.files)
    )
    for (key, expected), answer in zip(manifest.files, answers, strict=True):
        if answer != Value(expected, "s3:HeadObject"):
            why = (
                f"it has {count_noun(answer.value, 'byte')}"
                if isinstance(answer, Value)
                else _error_of(answer)
            )
            raise ReadError(
                f"the manifest names s3://{bucket}/{key} with {count_noun(expected, 'byte')}, and "
                f"{why}: the next "
                "delivery is read as soon as it is there"
            )
    link = f"{prefix}hive/dt={at:%Y-%m-%d-%H-%M}/symlink.txt"
    listed = _delivered_file(aws, bucket, link).decode(errors="replace").split("\n")
    named = sorted(line.strip() for line in listed if line.strip())
    if named != sorted(f"s3://{bucket}/{key}" for key, _ in manifest.files):
        raise ReadError(
            f"s3://{bucket}/{link} names {count_noun(len(named), 'file')}, not the "
            f"{len(manifest.files)} of the manifest, and Athena reads only the "
            "former: the next delivery is read as soon as it is there"
        )


def _error_of(answer: Signal[int]) -> str:
    return answer.error if isinstance(answer, Unreadable) else "it was not read"


def _delivered_file(aws: Aws, bucket: str, key: str) -> bytes:
    """Return one small file of a delivery."""
    try:
        return aws.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except Exception as error:
        if not is_refusal(error, ("NoSuchKey",)):
            raise
        raise ReadError(
            f"s3://{bucket}/{key} is missing: S3 is still writing this delivery, and the next "
            "run reads it; if it stays so, look at the inventory's configuration"
        ) from error


def _live(aws: Aws, inventory: Inventory, now: datetime) -> InventoryDelivery:
    found: Any = aws.s3.get_bucket_metadata_configuration(Bucket=inventory.bucket)
    result = found["GetBucketMetadataConfigurationResult"]["MetadataConfigurationResult"]
    table = result["InventoryTableConfigurationResult"]
    its = f"{LIVE_CATALOG}.{result['DestinationResult']['TableNamespace']}.{table['TableName']}"
    if its != inventory.table:
        raise ReadError(f"its live inventory table is {its}, not {inventory.table}: set table to its own")
    state = table.get("TableStatus", "none")
    if state != "ACTIVE":
        raise ReadError(
            f"its live inventory table is not ACTIVE but {state}: while S3 fills it, the next run reads it; "
            "else look at the metadata configuration of the bucket"
        )
    client: Any = aws.client("athena")
    group = client.get_work_group(WorkGroup=inventory.workgroup)["WorkGroup"]
    most = group["Configuration"].get("BytesScannedCutoffPerQuery")
    if most is None:
        raise ReadError(
            f"nothing bounds the price of a query of a live inventory table: set the data limit per query "
            f"(BytesScannedCutoffPerQuery) of work group {inventory.workgroup}"
        )
    return InventoryDelivery(inventory=inventory, at=now, most=most)


# --- SQL ------------------------------------------------------------------------------------------
#
# Two steps: the groups of more than one artifact, then the keys of these groups alone. A single query takes
# Athena's engine several times as long, and memory for every key.

BY_SIZE_BYTES = 100 * 1024**2
"""Bytes from which artifacts of one size are candidates whatever their ETags, where contents may be read."""

_GROUP_LIST_BYTES = LONGEST_QUERY * 3 // 4
"""Bytes of one query's lists of groups; the rest is room for the query itself."""


@dataclass(frozen=True, slots=True)
class SizeGroup:
    """*count* artifacts of one size and ETag; of one size with any ETag, if *etag* is empty."""

    size: int
    etag: str
    count: int


GROUP_COLUMNS = ("size", "e_tag", "copies")
KEY_COLUMNS = ("key", "size", "e_tag")


class RowKind(StrEnum):
    """The kinds of an inventory's rows that are in no group, as the query answers them."""

    ALONE = "alone"  # an artifact whose size and ETag no other has
    OTHER = "other"  # the latest version of an object that is no artifact
    OLD = "old"
    ODD = "odd"  # an artifact whose ETag is none of S3's
    UNCLEAR = "unclear"  # a needed value is missing
    FOREIGN = "foreign"  # of another bucket
    ELSEWHERE = "elsewhere"  # of a file outside the inventory's location


_ETAG = '^"?[0-9a-fA-F]{32}(-[0-9]+)?"?$'


def groups_sql(delivery: InventoryDelivery, names: ArtifactNames, *, by_size: bool) -> str:
    """
    Return the query for sizes and ETags of more than one artifact: `GROUP_COLUMNS`, the largest first.

    Rows without a size count the rows of each `RowKind`. With *by_size*, the size alone counts from
    `BY_SIZE_BYTES` on: a KMS key and the size of an upload's parts change an ETag. Only latest versions
    count: in a live table, the highest sequence number of each key.
    """
    tag = f"CASE WHEN size >= {BY_SIZE_BYTES} THEN '' ELSE e_tag END" if by_size else "e_tag"
    table, foreign = (
        delivery.inventory.quoted,
        f"bucket IS NULL OR bucket <> {quote_sql(delivery.inventory.bucket)}",
    )
    artifact = f"regexp_like(lower(key), {_endings(names)})"
    judged = (
        f"WHEN size < {names.min_size} OR NOT {artifact} THEN '{RowKind.OTHER}' "
        f"WHEN NOT regexp_like(e_tag, '{_ETAG}') THEN '{RowKind.ODD}' ELSE 'artifact' END AS kind, "
        "size, e_tag"
    )
    if delivery.inventory.live:
        known = "key IS NULL OR is_delete_marker IS NULL OR sequence_number IS NULL"
        latest = (
            f"counted AS (SELECT CASE WHEN {foreign} THEN '{RowKind.FOREIGN}' "  # noqa: S608 - checked
            f"WHEN {known} OR NOT is_delete_marker AND (size IS NULL OR e_tag IS NULL) "
            f"THEN '{RowKind.UNCLEAR}' "
            f"WHEN {artifact} THEN 'artifact' WHEN is_delete_marker THEN '{RowKind.OLD}' "
            f"ELSE '{RowKind.OTHER}' END AS kind, "
            f"key, size, e_tag, is_delete_marker, sequence_number FROM {table}), "
            "newest AS (SELECT kind, CASE WHEN kind = 'artifact' THEN key END AS key, "
            "max_by(size, sequence_number) AS size, max_by(e_tag, sequence_number) AS e_tag, "
            "max_by(is_delete_marker, sequence_number) AS gone, count(*) AS versions FROM counted "
            "GROUP BY 1, 2), latest AS (SELECT CASE WHEN kind <> 'artifact' THEN kind "
            f"WHEN gone THEN '{RowKind.OLD}' {judged}, "
            "CASE WHEN kind = 'artifact' THEN 1 ELSE versions END AS number FROM newest)"
        )
    else:
        unknown = "OR is_latest IS NULL OR is_delete_marker IS NULL" if delivery.versions else ""
        old = f"WHEN NOT is_latest OR is_delete_marker THEN '{RowKind.OLD}' " if delivery.versions else ""
        location = quote_sql(str(delivery.inventory.location))
        latest = (
            f"latest AS (SELECT CASE WHEN strpos(\"$path\", {location}) <> 1 THEN '{RowKind.ELSEWHERE}' "  # noqa: S608
            f"WHEN {foreign} THEN '{RowKind.FOREIGN}' "
            f"WHEN key IS NULL {unknown} THEN '{RowKind.UNCLEAR}' {old}"
            f"WHEN size IS NULL OR size < 0 OR e_tag IS NULL THEN '{RowKind.UNCLEAR}' {judged}, 1 AS number "
            f"FROM {table} WHERE {_of_delivery(delivery)})"
        )
    return (
        f"WITH {latest}, grouped AS (SELECT CASE WHEN kind = 'artifact' THEN size END AS size, "  # noqa: S608
        f"CASE WHEN kind = 'artifact' THEN {tag} ELSE kind END AS e_tag, sum(number) AS copies "
        "FROM latest GROUP BY 1, 2) SELECT CASE WHEN copies > 1 THEN size END AS size, "
        f"CASE WHEN size IS NULL OR copies > 1 THEN e_tag ELSE '{RowKind.ALONE}' END AS e_tag, "
        "sum(copies) AS copies FROM grouped GROUP BY 1, 2 ORDER BY 1 DESC, 2"
    )


def keys_sql(delivery: InventoryDelivery, names: ArtifactNames, wanted: Sequence[SizeGroup]) -> str:
    """Return the query for the latest versions of the artifacts in the groups *wanted*: `KEY_COLUMNS`."""
    here, within = _artifacts(delivery, names), _in(wanted)
    if not delivery.inventory.live:
        return (
            f"SELECT key, size, e_tag FROM {delivery.inventory.quoted} "  # noqa: S608 - checked
            f"WHERE {_latest(delivery)} AND {within} AND {here}"
        )
    return (
        f"WITH newest AS (SELECT key, max_by(size, sequence_number) AS size, "  # noqa: S608 - checked
        f"max_by(e_tag, sequence_number) AS e_tag, max_by(is_delete_marker, sequence_number) AS gone "
        f"FROM {delivery.inventory.quoted} WHERE bucket = {quote_sql(delivery.inventory.bucket)} AND key IN "
        f"(SELECT key FROM {delivery.inventory.quoted} WHERE {within} AND {here}) GROUP BY key) "
        f"SELECT key, size, e_tag FROM newest WHERE NOT gone AND {within}"
    )


def query_portions(delivery: InventoryDelivery, wanted: Iterable[SizeGroup]) -> list[list[SizeGroup]]:
    """
    Return the groups *wanted* in as few lists as fit into one query each.

    The query of a live table holds its list twice (`keys_sql`).
    """
    found: list[list[SizeGroup]] = []
    left = 0
    for group in wanted:
        takes = len(f"{group.size},") + len(f"'{group.etag}',")
        if takes > left:
            found.append([])
            left = _GROUP_LIST_BYTES // (2 if delivery.inventory.live else 1)
        found[-1].append(group)
        left -= takes
    return found


def _of_delivery(delivery: InventoryDelivery) -> str:
    """Return the condition on an S3 Inventory's rows for the delivery to read."""
    return f"dt = {quote_sql(f'{delivery.at:%Y-%m-%d-%H-%M}')}"


def _latest(delivery: InventoryDelivery) -> str:
    """Return the condition on an S3 Inventory's rows: the delivery to read, and the latest versions."""
    here = _of_delivery(delivery)
    return f"{here} AND is_latest AND NOT is_delete_marker" if delivery.versions else here


def _artifacts(delivery: InventoryDelivery, names: ArtifactNames) -> str:
    """Return the condition for artifacts."""
    here = f"bucket = {quote_sql(delivery.inventory.bucket)}"
    return f"{here} AND regexp_like(lower(key), {_endings(names)})"


def _endings(names: ArtifactNames) -> str:
    """
    Return the pattern of artifacts' keys in small letters. It reads each key once, where
    a LIKE per ending reads it as often.
    """
    return quote_sql(f"({'|'.join(_pattern(ending.lower()) for ending in names.extensions)})$")


def _pattern(ending: str) -> str:
    """Return *ending* as a pattern of literal characters."""
    return "".join(
        character if character.isalnum() else r"\^" if character == "^" else f"[{character}]"
        for character in ending
    )


def _in(wanted: Sequence[SizeGroup]) -> str:
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
        either.append(f"(e_tag IN ({tags}) AND size IN ({group}))")
    if sizes:
        either.append(f"size IN ({', '.join(map(str, sizes))})")
    return f"({' OR '.join(either)})"


# --- queries --------------------------------------------------------------------------------------


@dataclass(slots=True)
class QueryBudget:
    """
    The budget of the queries of a bucket, and their prices so far, in US dollars.

    Every query is bounded before it runs, by the most bytes that it can scan.
    """

    most: float
    usd_per_tb: float
    bounds: list[float] = field(default_factory=list)
    prices: list[float] = field(default_factory=list)

    def ask(self, aws: Aws, sql: str, columns: Sequence[str], place: AthenaPlace, limit: int) -> AthenaAnswer:
        """
        Run `athena.ask` if the budget allows. Raises ReadError if it does
        not, or if nothing was scanned.
        """
        bound = query_price(limit, self.usd_per_tb)
        if sum(self.prices) + bound > self.most:
            raise ReadError(
                f"the next query may cost {format_query_usd(bound)}, and "
                f"{format_query_usd(sum(self.prices))} is spent: "
                f"inventory_max_usd allows {format_query_usd(self.most)} for a bucket and run"
            )
        self.bounds.append(bound)
        answer = run_query(aws, sql, columns, place)
        self.prices.append(query_price(answer.scanned, self.usd_per_tb))
        if answer.scanned == 0:
            raise ReadError(
                f"Athena scanned nothing in {place.database}: its table lacks this delivery. Load its "
                "partitions (MSCK REPAIR TABLE), or make it as janitor docs duplicate-artifacts shows"
            )
        return answer


def format_query_usd(usd: float) -> str:
    """Return an amount in dollars, also a small one: "$0.90", "$0.00005"."""
    dollars, cents = f"{usd:.{2 if usd >= 1 else 5}f}".split(".")
    return f"${dollars}.{cents.rstrip('0'):0<2}"


@dataclass(frozen=True, slots=True)
class InventoryQueries:
    """The two queries, over one delivery of an inventory."""

    aws: Aws
    delivery: InventoryDelivery
    names: ArtifactNames
    purse: QueryBudget

    def groups(self, *, by_size: bool) -> tuple[list[SizeGroup], int]:
        """
        Return the groups of artifacts with the same size and ETag, the largest first, and the number of all
        artifacts. Raises ReadError if the rows are not all those of the bucket's inventory.
        """
        sql = groups_sql(self.delivery, self.names, by_size=by_size)
        answer = self.purse.ask(
            self.aws, sql, GROUP_COLUMNS, self.delivery.inventory.place, self.delivery.most
        )
        found = [
            SizeGroup(int(size), etag or "", int(count or 0))
            for size, etag, count in answer.rows
            if size is not None
        ]
        rows = Counter[str]()
        for size, kind, count in answer.rows:
            rows[str(kind)] += int(count or 0) if size is None else 0
        artifacts = rows[RowKind.ALONE] + sum(group.count for group in found)
        if why := why_rows_are_wrong(self.delivery.inventory, rows, artifacts):
            raise ReadError(why)
        return found, artifacts

    def keys(self, wanted: Sequence[SizeGroup]) -> list[tuple[str, int, str]]:
        """Return key, size and ETag of each artifact in the groups *wanted*, once. Raises ReadError."""
        portions = query_portions(self.delivery, wanted)
        return list(dict.fromkeys(artifact for part in portions for artifact in self._portion(part)))

    def _portion(self, part: Sequence[SizeGroup]) -> list[tuple[str, int, str]]:
        sql = keys_sql(self.delivery, self.names, part)
        answer = self.purse.ask(self.aws, sql, KEY_COLUMNS, self.delivery.inventory.place, self.delivery.most)
        mine = {(group.size, group.etag) for group in part}
        named = [(key or "", int(size or 0), etag or "") for key, size, etag in answer.rows]
        found = [(key, size, etag) for key, size, etag in named if {(size, etag), (size, "")} & mine]
        counted = Counter((size, etag if (size, etag) in mine else "") for _, size, etag in found)
        for group in part:
            if not self.delivery.inventory.live and counted[group.size, group.etag] < group.count:
                raise ReadError(
                    f"Athena counted {count_noun(group.count, 'artifact')} of "
                    f"{count_noun(group.size, 'byte')} and named "
                    f"{counted[group.size, group.etag]}: its answer is not whole, and the next run asks again"
                )
        return found


def why_rows_are_wrong(inventory: Inventory, rows: Mapping[str, int], artifacts: int) -> str | None:
    """Return why a table with so many *rows* of each kind is not a whole inventory of its bucket, or None."""
    table, bucket = inventory.table, inventory.bucket
    if count := rows.get(RowKind.ELSEWHERE, 0):
        return (
            f"table {table} has {count_noun(count, 'row')} of files that are not below "
            f"{inventory.location}: make it anew"
        )
    if count := rows.get(RowKind.FOREIGN, 0):
        return (
            f"table {table} has {count_noun(count, 'row')} of other buckets than {bucket}: set "
            f"table to that of {bucket}"
        )
    if count := rows.get(RowKind.UNCLEAR, 0):
        return (
            f"table {table} has {count_noun(count, 'row')} without a value that S3 always writes "
            "(key, size, e_tag, "
            "is_latest, is_delete_marker or sequence_number): make it anew with the inventory's columns"
        )
    if (count := rows.get(RowKind.ODD, 0)) and not artifacts:
        return (
            f"in table {table}, none of {count_noun(count, 'artifact')} has an ETag as S3 writes "
            "it: make it anew"
        )
    if not artifacts + rows.get(RowKind.OTHER, 0) + rows.get(RowKind.ODD, 0):
        return (
            f"table {table} shows no object of {bucket}: set table and location to its own inventory; "
            "if the bucket is empty, leave it out of inventories"
        )
    return None


# --- candidates -----------------------------------------------------------------------------------

_MOST_FOLDER_PAGES = 10
"""Pages of a folder's listing. A larger folder counts as one model, which is then too large to compare."""


MOST_EXTRA_SIZES = 5_000
"""Most sizes of artifacts in listed buckets that an inventory query adds to its own groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InventorySettings:
    """
    The inventories to read, the age up to which they prove anything, and the
    price limit of each in US dollars.
    """

    inventories: tuple[Inventory, ...] = ()
    max_age: timedelta = timedelta(hours=48)  # the first delivery takes so long (S3 user guide)
    max_usd: float = 1.0
    usd_per_tb: float = USD_PER_TB_SCANNED

    @property
    def buckets(self) -> tuple[str, ...]:
        return tuple(inventory.bucket for inventory in self.inventories)

    def of(self, bucket: str) -> Inventory | None:
        """Return the inventory that the settings name for *bucket*."""
        return next((inventory for inventory in self.inventories if inventory.bucket == bucket), None)


@dataclass(slots=True)
class InventoriedBucket:
    """One bucket by its inventory: the candidates that Athena named and S3 still has."""

    aws: Aws
    names: ArtifactNames
    shelf: BucketIndex
    found: list[StoredObject] = field(default_factory=list)
    left_out: int = 0
    reading: str = ""

    @property
    def shelves(self) -> Mapping[str, BucketIndex]:
        return {self.shelf.bucket: self.shelf}

    def artifacts(self) -> Iterator[StoredObject]:
        return iter(sorted(self.found, key=artifact_order))

    def notice(self, folders: AbstractSet[FolderKey]) -> None:
        """
        List the *folders* that show whether weights are a model by themselves.

        A folder that is too large, or that cannot be listed, counts as one model.
        """
        mine = (
            relevant_folders([artifact for artifact in self.found if not is_whole_model(artifact.key)])
            & folders
        )
        wanted = sorted(folder for _, folder in mine)
        for folder, whole in zip(wanted, self.aws.map(self._lies_in, wanted), strict=True):
            if not whole:
                self.shelf.models.add(folder)

    def _lies_in(self, folder: str) -> bool:
        """Put the objects directly in *folder* on the shelf; return whether that is all of them."""
        pages = self.aws.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.shelf.bucket, Prefix=folder, Delimiter="/"
        )

        def read() -> bool:
            more = False
            for page in islice(pages, _MOST_FOLDER_PAGES):
                more = page["IsTruncated"]
                if "Contents" in page:
                    self.shelf.put(page, self.names)
            return not more

        return read_signal(read, source=LIST_OBJECTS) == Value(True, LIST_OBJECTS)


@dataclass(slots=True)
class InventoriedBuckets:
    """The buckets that were read from their inventories, with notices and errors."""

    sources: list[InventoriedBucket] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def read_inventories(
    aws: Aws,
    asking: InventorySettings,
    places: Mapping[str, str],
    names: ArtifactNames,
    now: datetime,
    *,
    readable: Sequence[str],
    sizes: AbstractSet[int] | None,
    elsewhere: AbstractSet[int],
) -> InventoriedBuckets:
    """
    Read the *places*, a map of buckets to regions, that have an inventory.

    *readable* are the buckets whose contents may be read, *elsewhere* the sizes of all other artifacts.
    """
    known = InventoriedBuckets()
    for inventory in asking.inventories:
        region = places.get(inventory.bucket)
        if region == aws.region:
            by_size = inventory.bucket in readable
            found = read_inventory(
                aws, inventory, asking, names, now, by_size=by_size, sizes=sizes, elsewhere=elsewhere
            )
            known.sources.append(found)
            known.notices += [found.reading] if found.reading else []
            known.errors += [left_out_notice(found.left_out)] if found.left_out else []
        elif region is not None:
            known.notices.append(
                f"{inventory.bucket} is in {region}, and its inventory is asked there, not here"
            )
    return known


def read_inventory(
    aws: Aws,
    inventory: Inventory,
    asking: InventorySettings,
    names: ArtifactNames,
    now: datetime,
    *,
    by_size: bool,
    sizes: AbstractSet[int] | None,
    elsewhere: AbstractSet[int],
) -> InventoriedBucket:
    """
    Return the bucket as *inventory* describes it, as far as S3 confirms it.

    With *by_size*, artifacts of one size from `BY_SIZE_BYTES` on are candidates whatever their ETags. With
    *sizes*, all artifacts of these sizes are candidates, and no groups are read; else sizes that also occur
    *elsewhere* are added. A failure leaves the bucket unread.
    """
    source = InventoriedBucket(aws, names, BucketIndex(bucket=inventory.bucket, region=aws.region))
    purse = QueryBudget(asking.max_usd, asking.usd_per_tb)

    def read() -> None:
        delivery = find_latest_delivery(aws, inventory, now)
        age = now - delivery.at
        if age > asking.max_age:
            source.shelf.stale = f"its bucket's inventory is {age_in_hours(age)} old"
        limit = 2 * query_price(delivery.most, asking.usd_per_tb)
        if limit > asking.max_usd:
            raise ReadError(
                f"asking Athena may cost {format_query_usd(limit)}: inventory_max_usd allows "
                f"{format_query_usd(asking.max_usd)}"
            )
        queries = InventoryQueries(aws, delivery, names, purse)
        if sizes is None:
            groups, source.shelf.looked_through = queries.groups(by_size=by_size)
            wanted = add_sizes(groups, elsewhere if len(elsewhere) <= MOST_EXTRA_SIZES else ())
        else:
            wanted = [SizeGroup(size, "", 0) for size in sorted(sizes, reverse=True)]
        wanted, source.left_out = limit_groups(wanted, MOST_COMPARED)
        named = queries.keys(wanted)
        source.found = _still_there(aws, inventory.bucket, named)
        if sizes is None and not source.found:
            _check_emptiness(len(named), source.shelf.stale)
        source.reading = reading_note(delivery, age, purse, by_size=by_size)
        if gone := len(named) - len(source.found):
            source.reading += (
                f"; {gone:,} of the {count_noun(len(named), 'key')} that it names are no longer so"
            )
        if len(elsewhere) > MOST_EXTRA_SIZES:
            source.reading += (
                "; nor whether it has copies of other buckets' artifacts, of "
                f"{count_noun(len(elsewhere), 'size')}"
            )

    outcome = read_signal(read, source="athena:StartQueryExecution")
    if isinstance(outcome, Unreadable):
        spent = f" ({format_query_usd(sum(purse.prices))} spent)" if purse.prices else ""
        source.found = []
        source.shelf.error = f"the inventory of {inventory.bucket}: {outcome.error}{spent}"
    return source


def add_sizes(found: Sequence[SizeGroup], elsewhere: Iterable[int]) -> list[SizeGroup]:
    """Return the groups *found*, and groups of any ETag for sizes that other buckets' artifacts have."""
    known = {group.size for group in found if not group.etag}
    more = [SizeGroup(size, "", 0) for size in elsewhere if size not in known]
    return sorted([*found, *more], key=lambda group: (-group.size, group.etag))


def limit_groups(wanted: Sequence[SizeGroup], most: int) -> tuple[list[SizeGroup], int]:
    """
    Return the first groups that have at most *most* artifacts together, and
    the number of artifacts in the rest. A group that does not fit leaves room for the next.
    """
    taken: list[SizeGroup] = []
    total = 0
    for group in wanted:
        if total + group.count <= most:
            taken.append(group)
            total += group.count
    return taken, sum(group.count for group in wanted) - total


def _check_emptiness(named: int, stale: str | None) -> None:
    """Raise ReadError if a list without a candidate, of so many *named*, does not show that there is none."""
    if named:
        raise ReadError(
            f"S3 has none of the {count_noun(named, 'key')} that it names with that size and ETag "
            "any more: the next "
            "delivery is read as soon as it is there"
        )
    if stale is not None:
        raise ReadError(f"{stale}, older than two days, so it does not show that there are no copies")


def _still_there(aws: Aws, bucket: str, named: Sequence[tuple[str, int, str]]) -> list[StoredObject]:
    """Return the *named* objects that S3 still has with this size and ETag. Raises ReadError."""
    asked = aws.map(
        lambda row: read_signal(partial(find_object, aws, bucket, row[0]), source=LIST_OBJECTS), list(named)
    )
    found = []
    for (_, size, etag), answer in zip(named, asked, strict=True):
        artifact = required_value(answer)
        if artifact is not None and (artifact.size, artifact.etag.strip('"')) == (size, etag.strip('"')):
            found.append(artifact)
    return found


def reading_note(delivery: InventoryDelivery, age: timedelta, purse: QueryBudget, *, by_size: bool) -> str:
    """Return the report's note on such a bucket: how it was read, the price, and the gaps."""
    inventory, number = delivery.inventory, len(purse.prices)
    kind = (
        "its live inventory table, which S3 keeps up to date within an hour"
        if inventory.live
        else f"its S3 Inventory of {delivery.at:%Y-%m-%d %H:%M} UTC ({age_in_hours(age)} old)"
    )
    below = f"below {format_size(BY_SIZE_BYTES)} " if by_size else ""
    return (
        f"{inventory.bucket} was read from {kind}, by {number} {'query' if number == 1 else 'queries'} of "
        f"Athena: {format_query_usd(sum(purse.bounds))} at most by what they could scan, "
        f"{format_query_usd(sum(purse.prices))} "
        f"by what they did. It does not show what was written since, nor copies {below}that have other "
        "ETags: under a KMS key, or uploaded in other parts"
    )


def age_in_hours(age: timedelta) -> str:
    """Return *age* in whole hours."""
    number = int(age / timedelta(hours=1))
    return f"{number} hour{'s' * (number != 1)}"
