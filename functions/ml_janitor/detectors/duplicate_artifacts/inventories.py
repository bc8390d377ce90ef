"""Inventories of S3 that the settings name: where they are, how old, and what asking them costs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ml_janitor.aws.answers import ReadError
from ml_janitor.aws.athena import Answer, Place, ask, price
from ml_janitor.aws.s3 import location
from ml_janitor.detectors.duplicate_artifacts.inventory_sql import Format, Table
from ml_janitor.detectors.duplicate_artifacts.prefixes import BUCKET, THROUGH_S3
from ml_janitor.engine.detector import Condition, Grant, allow, implied

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws

LIVE_CATALOG, LIVE_BUCKET = "s3tablescatalog/aws-s3", "aws-s3"
"""Where S3 keeps live inventory tables (S3 user guide, "Querying metadata tables")."""

KEYS = ("table", "location", "workgroup", "output")

FOLDER = re.compile(rf"s3://{BUCKET.pattern}/([^*?$']*/)?")
HIVE = re.compile(r"\w+\.\w+")
LIVE = re.compile(rf"{re.escape(LIVE_CATALOG)}\.[\w-]+\.inventory")
WORKGROUP = re.compile(r"[a-zA-Z0-9._-]{1,128}")
DELIVERY = re.compile(r"(\d{4}-\d{2}-\d{2})T(\d{2}-\d{2})Z/")
"""The folder of one delivery (S3 user guide, "Locating your inventory list")."""

NEEDED = {"bucket", "key", "size", "e_tag"}

CSV_NAMES = {"ETag": "e_tag"}
"""Columns of a CSV whose names are not those of the other formats with capitals between the words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """
    One entry of the settings: the table that describes *bucket*, and where Athena is asked.

    *location* is where S3 delivers the inventory, "s3://DESTINATION/PREFIX/BUCKET/ID/"; a live inventory
    table has none.
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
        """Catalog, database and table."""
        parts = self.table.split(".")
        return parts if self.live else ["AwsDataCatalog", *parts]

    @property
    def place(self) -> Place:
        catalog, database, _ = self.parts
        return Place(catalog=catalog, database=database, workgroup=self.workgroup, output=self.output)

    @property
    def quoted(self) -> str:
        """The table as SQL names it."""
        return ".".join(f'"{part}"' for part in (self.parts if self.live else self.parts[1:]))


def named(settings: Mapping[str, Mapping[str, str]]) -> tuple[Inventory, ...]:
    """What `inventories` of the *settings* name. Raises ValueError for what cannot be one."""
    return tuple(_one(bucket, table) for bucket, table in settings.items())


def _one(bucket: str, table: Mapping[str, str]) -> Inventory:
    where = f"inventories.{bucket}"
    if not BUCKET.fullmatch(bucket):
        raise ValueError(f'inventories: expected the name of a bucket like "models", got "{bucket}"')
    if unknown := sorted(set(table) - set(KEYS)):
        raise ValueError(f'{where}: expected {", ".join(KEYS)}, got "{unknown[0]}"')
    for key, folder in ((key, table[key]) for key in ("location", "output") if key in table):
        if not FOLDER.fullmatch(folder):
            raise ValueError(
                f'{where}.{key}: expected a folder like "s3://inventories/models/all/", with its last slash, '
                f'got "{folder}"'
            )
    name = table.get("table", "")
    if "location" in table and not HIVE.fullmatch(name):
        raise ValueError(f'{where}.table: expected a database and a table like "s3.models", got "{name}"')
    if "location" not in table and not LIVE.fullmatch(name):
        raise ValueError(
            f'{where}.table: expected a live inventory table like "{LIVE_CATALOG}.b_models.inventory", or '
            f'another one with the location of its S3 Inventory, got "{name}"'
        )
    if "output" not in table:
        raise ValueError(f'{where}.output: expected where Athena leaves its answers, "s3://BUCKET/FOLDER/"')
    if not WORKGROUP.fullmatch(table.get("workgroup", "primary")):
        raise ValueError(f'{where}.workgroup: expected the name of one, got "{table["workgroup"]}"')
    return Inventory(bucket=bucket, **table)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """
    What is read of an inventory: its *table*, and when S3 began to list it.

    *most* is how many bytes a query scans at most.
    """

    table: Table
    at: datetime
    most: int


def latest(aws: Aws, inventory: Inventory, now: datetime) -> Delivery:
    """The newest delivery of *inventory*; a live table is as it is *now*. Raises ReadError: what to do."""
    return _live(aws, inventory, now) if inventory.live else _delivered(aws, inventory)


def _delivered(aws: Aws, inventory: Inventory) -> Delivery:
    bucket, prefix = location(str(inventory.location))
    pages = aws.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
    folders = [
        one["Prefix"].removeprefix(prefix)
        for page in pages
        for one in (page["CommonPrefixes"] if page["KeyCount"] and "CommonPrefixes" in page else ())
    ]
    days = sorted(match[0] for name in folders if (match := DELIVERY.fullmatch(name)) is not None)
    if not days:
        raise ReadError(
            f"no inventory lies in {inventory.location}: S3 delivers the first one within 48 hours; else set "
            "location to DESTINATION/PREFIX/BUCKET/ID/ of the inventory's configuration"
        )
    manifest = _manifest(aws, bucket, f"{prefix}{days[-1]}")
    if manifest["sourceBucket"] != inventory.bucket:
        raise ReadError(f"{inventory.location} is the inventory of bucket {manifest['sourceBucket']}")
    columns = columns_of(manifest["fileFormat"], manifest["fileSchema"])
    if missing := sorted(NEEDED - set(columns)):
        raise ReadError(
            f"the inventory has no {', '.join(missing)}: add Size and ETag to its optional fields"
        )
    day, hour = days[-1].removesuffix("Z/").split("T")
    table = Table(
        name=inventory.quoted,
        bucket=inventory.bucket,
        format=Format(manifest["fileFormat"]),
        day=f"{day}-{hour}",
        versions="is_latest" in columns,
    )
    at = datetime.strptime(days[-1], "%Y-%m-%dT%H-%MZ/").replace(tzinfo=UTC)
    return Delivery(table=table, at=at, most=sum(one["size"] for one in manifest["files"]))


def _manifest(aws: Aws, bucket: str, folder: str) -> Mapping[str, Any]:
    """The manifest in *folder*, whole. S3 writes its checksum last."""
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


def columns_of(kind: str, schema: str) -> tuple[str, ...]:
    """
    The columns of an inventory by its manifest's fileFormat and fileSchema, in the words of Athena's tables.

    "Bucket, Key, ETag" of a CSV, "struct<bucket:string,...>" of an ORC, "message s3.inventory { required
    binary bucket (UTF8); ...}" of a Parquet.
    """
    if kind == Format.CSV:
        given = [one.strip() for one in schema.split(",")]
        between = r"(?<=[a-z0-9])(?=[A-Z])"
        return tuple(CSV_NAMES.get(one) or re.sub(between, "_", one).lower() for one in given)
    if kind == Format.ORC:
        return tuple(re.findall(r"(\w+):", schema))
    return tuple(re.findall(r"(?:required|optional)\s+\w+\s+(\w+)", schema))


def _live(aws: Aws, inventory: Inventory, now: datetime) -> Delivery:
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
    return Delivery(table=Table(name=inventory.quoted, bucket=inventory.bucket), at=now, most=most)


@dataclass(slots=True)
class Purse:
    """
    What queries may cost together, and what they did, in US dollars.

    Every query is bounded before it runs, by the most bytes that it can scan.
    """

    most: float
    usd_per_tb: float
    bounds: list[float] = field(default_factory=list)
    prices: list[float] = field(default_factory=list)

    def ask(self, aws: Aws, sql: str, columns: Sequence[str], place: Place, limit: int) -> Answer:
        """As `athena.ask`, if it can be paid. Raises ReadError if it cannot, or if nothing was scanned."""
        bound = price(limit, self.usd_per_tb)
        if sum(self.prices) + bound > self.most:
            raise ReadError(
                f"the next query may cost {dollars(bound)}, and {dollars(sum(self.prices))} is spent: "
                f"inventory_max_usd allows {dollars(self.most)} for a bucket and run"
            )
        self.bounds.append(bound)
        answer = ask(aws, sql, columns, place)
        self.prices.append(price(answer.scanned, self.usd_per_tb))
        if answer.scanned == 0:
            raise ReadError(
                f"Athena scanned nothing in {place.database}: its table lacks this delivery. Load its "
                "partitions (MSCK REPAIR TABLE), or make it as its page in docs/detectors shows"
            )
        return answer


def dollars(usd: float) -> str:
    """Small amounts too: "$0.00005"."""
    return f"${usd:.2f}" if usd >= 1 else f"${usd:.5f}".rstrip("0").rstrip(".")


def grants(inventories: Sequence[Inventory]) -> tuple[Grant, ...]:
    """Asking Athena about *inventories*, and no others: their work groups, tables, files and answers."""
    found: dict[Grant, None] = {}
    for one in inventories:
        table = _live_table(one) if one.live else _files(one)
        found |= dict.fromkeys((*_athena(one), *table, *_answers(one)))
    return tuple(found)


ATHENA_GUIDE = "Athena user guide, Identity and access management in Athena"
GLUE = f"{ATHENA_GUIDE}: the tables that a query names are looked up in the Glue Data Catalog"


def _athena(one: Inventory) -> tuple[Grant, ...]:
    group = f"workgroup/{one.workgroup}"
    calls = ("StartQueryExecution", "GetQueryExecution", "GetQueryResults", *(["GetWorkGroup"] * one.live))
    return tuple(allow(f"athena:{call}", on=group) for call in calls)


def _files(one: Inventory) -> tuple[Grant, ...]:
    """The inventory's own folder, which Athena reads with the caller's permissions, and its table."""
    _, database, table = one.parts
    bucket, _, folder = str(one.location).removeprefix("s3://").partition("/")
    objects = f"arn:aws:s3:::{bucket}/{folder}*"
    glue = ("catalog", f"database/{database}", f"table/{database}/{table}")
    return (
        allow("s3:GetObject", on=objects),
        *(
            implied(f"glue:{call}", on=on, source=GLUE)
            for call in ("GetDatabase", "GetTable", "GetPartitions")
            for on in (glue[:2] if call == "GetDatabase" else glue)
        ),
        implied(
            "kms:Decrypt",
            on="key/*",
            source="S3 user guide, Configuring Amazon S3 Inventory: lists may be encrypted with a KMS key",
            when=(
                Condition("StringLike", "kms:ViaService", (THROUGH_S3,)),
                Condition("ArnLike", "kms:EncryptionContext:aws:s3:arn", (objects, f"arn:aws:s3:::{bucket}")),
            ),
        ),
    )


def _live_table(one: Inventory) -> tuple[Grant, ...]:
    _, database, table = one.parts
    query = "S3 user guide, Permissions for querying metadata tables"
    federated = f"catalog/{LIVE_CATALOG}"
    return (
        allow("s3:GetBucketMetadataTableConfiguration", on=f"arn:aws:s3:::{one.bucket}"),
        *(
            implied(f"s3tables:{call}", on=f"bucket/{LIVE_BUCKET}/table/*", source=query)
            for call in ("GetTable", "GetTableData", "GetTableMetadataLocation")
        ),
        *(
            implied(f"glue:{call}", on=on, source=GLUE)
            for call, places in (
                ("GetCatalog", ("catalog", "catalog/s3tablescatalog", federated)),
                ("GetDatabase", ("catalog", federated, f"database/{LIVE_CATALOG}/{database}")),
                (
                    "GetTable",
                    (
                        "catalog",
                        federated,
                        f"database/{LIVE_CATALOG}/{database}",
                        f"table/{LIVE_CATALOG}/{database}/{table}",
                    ),
                ),
            )
            for on in places
        ),
    )


def _answers(one: Inventory) -> tuple[Grant, ...]:
    """The folder in which Athena leaves its answers, with the caller's permissions."""
    bucket, _, folder = one.output.removeprefix("s3://").partition("/")
    source = f"{ATHENA_GUIDE}: it writes and reads a query's results with the permissions of the caller"
    return (
        *(
            implied(f"s3:{call}", on=f"arn:aws:s3:::{bucket}/{folder}*", source=source)
            for call in ("AbortMultipartUpload", "GetObject", "ListMultipartUploadParts", "PutObject")
        ),
        implied("s3:GetBucketLocation", on=f"arn:aws:s3:::{bucket}", source=source),
    )
