"""
The deliveries of an inventory: the newest list, its age and size; and
the inventories that a bucket has.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ml_janitor.aws.answers import ReadError, read_signal
from ml_janitor.aws.client import Aws
from ml_janitor.aws.s3 import split_uri
from ml_janitor.core.signals import Value
from ml_janitor.detectors.duplicate_artifacts.inventories import LIVE_CATALOG, Inventory
from ml_janitor.detectors.duplicate_artifacts.inventory_sql import InventoryFormat, InventoryTable

_DELIVERY_FOLDER = re.compile(r"(\d{4}-\d{2}-\d{2})T(\d{2}-\d{2})Z/")
"""The folder of one delivery (S3 user guide, "Locating your inventory list")."""

_NEEDED_COLUMNS = {"bucket", "key", "size", "e_tag"}

_CSV_NAMES = {"ETag": "e_tag"}
"""Columns of a CSV whose names do not follow from the capitals in their words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryDelivery:
    """
    The part of an inventory to read: its *table*, and the time at which S3 began to list it.

    *most* is the most bytes that a query scans.
    """

    table: InventoryTable
    at: datetime
    most: int


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
    columns = inventory_columns(manifest["fileFormat"], manifest["fileSchema"])
    if missing := sorted(_NEEDED_COLUMNS - set(columns)):
        raise ReadError(
            f"the inventory has no {', '.join(missing)}: add Size and ETag to its optional fields"
        )
    day, hour = days[-1].removesuffix("Z/").split("T")
    table = InventoryTable(
        name=inventory.quoted,
        bucket=inventory.bucket,
        format=InventoryFormat(manifest["fileFormat"]),
        day=f"{day}-{hour}",
        versions="is_latest" in columns,
    )
    at = datetime.strptime(days[-1], "%Y-%m-%dT%H-%MZ/").replace(tzinfo=UTC)
    return InventoryDelivery(table=table, at=at, most=sum(file["size"] for file in manifest["files"]))


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


def inventory_columns(kind: str, schema: str) -> tuple[str, ...]:
    """
    Return the columns of an inventory, named as in Athena's tables, from its
    manifest's fileFormat and fileSchema.

    The schema is "Bucket, Key, ETag" for CSV, "struct<bucket:string,...>" for ORC, and "message s3.inventory
    { required binary bucket (UTF8); ...}" for Parquet.
    """
    if kind == InventoryFormat.CSV:
        given = [column.strip() for column in schema.split(",")]
        between = r"(?<=[a-z0-9])(?=[A-Z])"
        return tuple(_CSV_NAMES.get(column) or re.sub(between, "_", column).lower() for column in given)
    if kind == InventoryFormat.ORC:
        return tuple(re.findall(r"(\w+):", schema))
    return tuple(re.findall(r"(?:required|optional)\s+\w+\s+(\w+)", schema))


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
    return InventoryDelivery(
        table=InventoryTable(name=inventory.quoted, bucket=inventory.bucket), at=now, most=most
    )


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
            if configuration["IsEnabled"] and {"Size", "ETag"} <= set(
                configuration.get("OptionalFields", ())
            ):
                to = configuration["Destination"]["S3BucketDestination"]
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
