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
from functools import partial
from itertools import islice
from typing import Any

from ml_janitor.aws.calls import ReadError, read_signal, required_value
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
from ml_janitor.core.model import Unreadable, Value
from ml_janitor.core.text import format_size, quote_sql
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
from ml_janitor.engine.detector import Grant, allow, implied_grant, in_own_buckets

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


def inventory_grants(inventories: Sequence[Inventory], *, look: bool) -> tuple[Grant, ...]:
    """
    Return the permissions to query *inventories* alone: their work groups, tables, files and answers.

    With *look*, also to ask any bucket for its inventories.
    """
    every = ("s3:GetInventoryConfiguration", "s3:GetBucketMetadataTableConfiguration") if look else ()
    found = dict.fromkeys(in_own_buckets(allow(action, on="arn:aws:s3:::*") for action in every))
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
    glue = ("catalog", f"database/{database}", f"table/{database}/{table}")
    return (
        allow("s3:GetObject", on=objects),
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

_DELIVERY_FOLDER = re.compile(r"(\d{4}-\d{2}-\d{2})T(\d{2}-\d{2})Z/")
"""The folder of one delivery (S3 user guide, "Locating your inventory list")."""

_NEEDED_COLUMNS = {"bucket", "key", "size", "e_tag"}

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
    return _live(aws, inventory, now) if inventory.live else _delivered(aws, inventory)


def _delivered(aws: Aws, inventory: Inventory) -> InventoryDelivery:
    bucket, prefix = split_uri(str(inventory.location))
    pages = aws.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
    folders = [
        folder["Prefix"].removeprefix(prefix)
        for page in pages
        for folder in (page["CommonPrefixes"] if page["KeyCount"] and "CommonPrefixes" in page else ())
    ]
    days = sorted(match[0] for name in folders if (match := _DELIVERY_FOLDER.fullmatch(name)) is not None)
    if not days:
        raise ReadError(
            f"no inventory lies in {inventory.location}: S3 delivers the first one within 48 hours; else set "
            "location to DESTINATION/PREFIX/BUCKET/ID/ of the inventory's configuration"
        )
    manifest = _manifest(aws, bucket, f"{prefix}{days[-1]}")
    if manifest["sourceBucket"] != inventory.bucket:
        raise ReadError(f"{inventory.location} is the inventory of bucket {manifest['sourceBucket']}")
    if manifest["fileFormat"] != _PARQUET:
        raise ReadError(
            f"{inventory.location} is written as {manifest['fileFormat']}: add an inventory configuration as "
            f"Apache Parquet to {inventory.bucket}, and set its location and table"
        )
    columns = re.findall(r"(?:required|optional)\s+\w+\s+(\w+)", manifest["fileSchema"])
    if missing := sorted(_NEEDED_COLUMNS - set(columns)):
        raise ReadError(
            f"the inventory has no {', '.join(missing)}: add Size and ETag to its optional fields"
        )
    return InventoryDelivery(
        inventory=inventory,
        at=datetime.strptime(days[-1], "%Y-%m-%dT%H-%MZ/").replace(tzinfo=UTC),
        most=sum(file["size"] for file in manifest["files"]),
        versions="is_latest" in columns,
    )


def _manifest(aws: Aws, bucket: str, folder: str) -> Mapping[str, Any]:
    """Return the complete manifest in *folder*. S3 writes its checksum last."""
    from botocore.exceptions import ClientError

    def read(name: str) -> bytes:
        try:
            return aws.s3.get_object(Bucket=bucket, Key=folder + name)["Body"].read()
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "NoSuchKey":
                raise
            raise ReadError(
                f"s3://{bucket}/{folder}{name} is missing: S3 is still writing this delivery, and the next "
                "run reads it; if it stays so, look at the inventory's configuration"
            ) from error

    content = read("manifest.json")
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != read("manifest.checksum").decode().strip():
        raise ReadError(f"s3://{bucket}/{folder}manifest.json does not have the checksum beside it")
    found: Mapping[str, Any] = json.loads(content)
    return found


def _live(aws: Aws, inventory: Inventory, now: datetime) -> InventoryDelivery:
    found: Any = aws.s3.get_bucket_metadata_configuration(Bucket=inventory.bucket)
    result = found["GetBucketMetadataConfigurationResult"]["MetadataConfigurationResult"]
    state = result["InventoryTableConfigurationResult"].get("TableStatus", "none")
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


_NO_INVENTORY = ("MetadataConfigurationNotFound", "NoSuchConfiguration")


def suggest_inventory(aws: Aws, bucket: str) -> str | None:
    """
    Return the setting that names an inventory of *bucket*, the live table
    first; None without an inventory.
    """
    output = 'workgroup = "primary", output = "s3://BUCKET/FOLDER/"'

    def live() -> str | None:
        found: Any = aws.s3.get_bucket_metadata_configuration(Bucket=bucket)
        result = found["GetBucketMetadataConfigurationResult"]["MetadataConfigurationResult"]
        table = result.get("InventoryTableConfigurationResult", {})
        if table.get("ConfigurationState") != "ENABLED":
            return None
        name = f"{LIVE_CATALOG}.{result['DestinationResult']['TableNamespace']}.{table['TableName']}"
        return f'table = "{name}", {output}'

    def delivered() -> str | None:
        listed = aws.s3.list_bucket_inventory_configurations(Bucket=bucket)
        for configuration in listed.get("InventoryConfigurationList", ()):
            to = configuration["Destination"]["S3BucketDestination"]
            fields = set(configuration.get("OptionalFields", ()))
            if configuration["IsEnabled"] and to["Format"] == _PARQUET and {"Size", "ETag"} <= fields:
                prefix = f"{to['Prefix'].rstrip('/')}/" if to.get("Prefix") else ""
                place = f"s3://{to['Bucket'].rpartition(':')[2]}/{prefix}{bucket}/{configuration['Id']}/"
                return f'table = "DATABASE.TABLE", location = "{place}", {output}'
        return None

    for read in (live, delivered):
        match read_signal(read, source="s3:ListBucketInventoryConfigurations", absent=_NO_INVENTORY):
            case Value(str() as setting):
                return f'inventories."{bucket}" = {{ {setting} }}'
            case _:
                pass
    return None


# --- SQL ------------------------------------------------------------------------------------------
#
# Two steps: the groups of more than one artifact, then the keys of these groups alone. A single query takes
# Athena's engine several times as long, and memory for every key.

BY_SIZE_BYTES = 100 * 1024**2
"""Bytes from which artifacts of one size are candidates whatever their ETags, where contents may be read."""

_GROUP_LIST_BYTES = LONGEST_QUERY * 3 // 4
"""Bytes of one query's list of groups; the rest is room for the query itself."""


@dataclass(frozen=True, slots=True)
class SizeGroup:
    """*count* artifacts of one size and ETag; of one size with any ETag, if *etag* is empty."""

    size: int
    etag: str
    count: int


GROUP_COLUMNS = ("size", "e_tag", "copies")
KEY_COLUMNS = ("key", "size", "e_tag")


def groups_sql(delivery: InventoryDelivery, names: ArtifactNames, *, by_size: bool) -> str:
    """
    Return the query for sizes and ETags of more than one artifact: `GROUP_COLUMNS`, the largest first.

    With *by_size*, the size alone counts from `BY_SIZE_BYTES` on: a KMS key and the size of an upload's parts
    change an ETag. In a live table, every version except delete markers counts here: more than there are,
    never fewer, and `keys_sql` takes only the latest. That spares Athena from sorting every key's versions.
    """
    tag = f"CASE WHEN size >= {BY_SIZE_BYTES} THEN '' ELSE e_tag END" if by_size else "e_tag"
    latest = "NOT is_delete_marker" if delivery.inventory.live else _latest(delivery)
    return (
        f"SELECT size, {tag} AS e_tag, count(*) AS copies FROM {delivery.inventory.quoted} "  # noqa: S608 - checked
        f"WHERE {latest} AND size >= {names.min_size} AND {_artifacts(delivery, names)} "
        "GROUP BY 1, 2 HAVING count(*) > 1 ORDER BY 1 DESC, 2"
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


def _latest(delivery: InventoryDelivery) -> str:
    """Return the condition on an S3 Inventory's rows: the delivery to read, and the latest versions."""
    here = f"dt = {quote_sql(f'{delivery.at:%Y-%m-%d-%H-%M}')}"
    return f"{here} AND is_latest AND NOT is_delete_marker" if delivery.versions else here


def _artifacts(delivery: InventoryDelivery, names: ArtifactNames) -> str:
    """
    Return the condition for artifacts. One pattern reads each key once, where
    a LIKE per ending reads it as often.
    """
    ends = quote_sql(f"({'|'.join(_pattern(ending.lower()) for ending in names.extensions)})$")
    return f"bucket = {quote_sql(delivery.inventory.bucket)} AND regexp_like(lower(key), {ends})"


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
                "partitions (MSCK REPAIR TABLE), or make it as its page in docs/detectors shows"
            )
        return answer


def format_query_usd(usd: float) -> str:
    """Return an amount in dollars, also a small one: "$0.00005"."""
    return f"${usd:.2f}" if usd >= 1 else f"${usd:.5f}".rstrip("0").rstrip(".")


@dataclass(frozen=True, slots=True)
class InventoryQueries:
    """The two queries, over one delivery of an inventory."""

    aws: Aws
    delivery: InventoryDelivery
    names: ArtifactNames
    purse: QueryBudget

    def groups(self, *, by_size: bool) -> list[SizeGroup]:
        """Return the groups of artifacts with the same size and ETag, the largest first."""
        sql = groups_sql(self.delivery, self.names, by_size=by_size)
        answer = self.purse.ask(
            self.aws, sql, GROUP_COLUMNS, self.delivery.inventory.place, self.delivery.most
        )
        return [SizeGroup(int(size or 0), etag or "", int(count or 0)) for size, etag, count in answer.rows]

    def keys(self, wanted: Sequence[SizeGroup]) -> list[tuple[str, int, str]]:
        """Return key, size and ETag of each artifact in the groups *wanted*, once. Raises ReadError."""
        return list(
            dict.fromkeys(artifact for part in query_portions(wanted) for artifact in self._portion(part))
        )

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
                    f"Athena counted {group.count} artifacts of {group.size} bytes and named "
                    f"{counted[group.size, group.etag]}: its answer is not whole, and the next run asks again"
                )
        return found


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

    The detector asks a bucket of *look_from* objects or more for its
    inventories, if none is set; 0 stands for never.
    """

    inventories: tuple[Inventory, ...] = ()
    max_age: timedelta = timedelta(hours=48)
    max_usd: float = 1.0
    usd_per_tb: float = USD_PER_TB_SCANNED
    look_from: int = 0

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


def suggest_inventories(aws: Aws, asking: InventorySettings, shelves: Sequence[BucketIndex]) -> list[str]:
    """Return settings to copy for large buckets that were listed although they have an inventory."""
    large = [shelf for shelf in shelves if asking.look_from and shelf.objects >= asking.look_from]
    return [
        f"{shelf.bucket} holds {shelf.objects:,} objects and has an inventory, which Athena can read. "
        "To have that done, make its table (see the page of duplicate-artifacts) and set, in "
        f"detectors.duplicate-artifacts: {setting}"
        for shelf, setting in zip(
            large, aws.map(lambda shelf: suggest_inventory(aws, shelf.bucket), large), strict=True
        )
        if setting
    ]


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
        wanted = (
            add_sizes(
                queries.groups(by_size=by_size), elsewhere if len(elsewhere) <= MOST_EXTRA_SIZES else ()
            )
            if sizes is None
            else [SizeGroup(size, "", 0) for size in sorted(sizes, reverse=True)]
        )
        wanted, source.left_out = limit_groups(wanted, MOST_COMPARED)
        named = queries.keys(wanted)
        source.found = _still_there(aws, inventory.bucket, named)
        source.reading = reading_note(delivery, age, purse, by_size=by_size)
        if len(elsewhere) > MOST_EXTRA_SIZES:
            source.reading += (
                f"; nor whether it has copies of other buckets' artifacts, of {len(elsewhere):,} sizes"
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
    the number of artifacts in the rest.
    """
    taken: list[SizeGroup] = []
    total = 0
    for group in wanted:
        if total + group.count > most:
            break
        taken.append(group)
        total += group.count
    return taken, sum(group.count for group in wanted[len(taken) :])


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
