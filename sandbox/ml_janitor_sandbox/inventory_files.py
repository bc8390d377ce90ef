"""S3's inventories of a bucket, delivered at once: the files that Athena reads, in the sandbox's S3."""

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ml_janitor_sandbox.athena import LIVE_BUCKET

type Row = Mapping[str, Any]
"""One version of an object, by the names of an inventory's columns."""

COLUMNS = {
    "bucket": "VARCHAR",
    "key": "VARCHAR",
    "version_id": "VARCHAR",
    "is_latest": "BOOLEAN",
    "is_delete_marker": "BOOLEAN",
    "size": "BIGINT",
    "last_modified_date": "TIMESTAMP",
    "e_tag": "VARCHAR",
    "storage_class": "VARCHAR",
}
OF_VERSIONS = ("version_id", "is_latest", "is_delete_marker")
"""Columns that an inventory of current versions alone does not have."""

TYPES = {
    "size": "bigint",
    "last_modified_date": "timestamp",
    "is_latest": "boolean",
    "is_delete_marker": "boolean",
}
"""Of an inventory's columns; all others are text."""


def versions(s3: Any, bucket: str) -> list[Row]:
    """List every version of every object of *bucket* as it is now, the delete markers among them."""
    found: list[Row] = []
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for kind in ("Versions", "DeleteMarkers"):
            for version in page.get(kind, ()):
                gone = kind == "DeleteMarkers"
                found.append(
                    {
                        "bucket": bucket,
                        "key": version["Key"],
                        "version_id": version["VersionId"],
                        "is_latest": version["IsLatest"],
                        "is_delete_marker": gone,
                        "size": None if gone else version["Size"],
                        "last_modified_date": version["LastModified"].replace(tzinfo=None),
                        "e_tag": None if gone else version["ETag"].strip('"'),
                        "storage_class": None if gone else version.get("StorageClass", "STANDARD"),
                    }
                )
    return found


def deliver(
    s3: Any,
    bucket: str,
    rows: Iterable[Row],
    *,
    location: str,
    at: dt.datetime,
    kind: str = "Parquet",
    all_versions: bool = True,
) -> None:
    """
    Write an S3 Inventory of *bucket* with these *rows*, which S3 began *at* this time, below *location*.

    Its file is Parquet, whatever *kind* of fileFormat the manifest names. The bucket has its configuration.
    """
    configure(s3, bucket, location)
    columns = {name: of for name, of in COLUMNS.items() if all_versions or name not in OF_VERSIONS}
    chosen = [row for row in rows if all_versions or (row["is_latest"] and not row["is_delete_marker"])]
    destination, _, prefix = location.removeprefix("s3://").partition("/")
    content = parquet(chosen, columns)
    data = f"{prefix}data/{at:%Y%m%d%H%M}.parquet"
    s3.put_object(Bucket=destination, Key=data, Body=content)
    listed = f"s3://{destination}/{data}"
    s3.put_object(
        Bucket=destination, Key=f"{prefix}hive/dt={at:%Y-%m-%d-%H-%M}/symlink.txt", Body=listed.encode()
    )
    manifest = json.dumps(
        {
            "sourceBucket": bucket,
            "destinationBucket": f"arn:aws:s3:::{destination}",
            "version": "2016-11-30",
            "creationTimestamp": str(int(at.timestamp() * 1000)),
            "fileFormat": kind,
            "fileSchema": _schema(columns),
            "files": [{"key": data, "size": len(content), "MD5checksum": hashlib.md5(content).hexdigest()}],  # noqa: S324
        }
    ).encode()
    folder = f"{prefix}{at:%Y-%m-%dT%H-%MZ}/"
    s3.put_object(Bucket=destination, Key=f"{folder}manifest.json", Body=manifest)
    checksum = hashlib.md5(manifest).hexdigest()  # noqa: S324 - what S3 writes
    s3.put_object(Bucket=destination, Key=f"{folder}manifest.checksum", Body=checksum.encode())


def configure(s3: Any, bucket: str, location: str, prefix: str = "") -> None:
    """Give *bucket* the inventory configuration of its keys below *prefix*, delivered to *location*."""
    destination, _, folder = location.removeprefix("s3://").rstrip("/").partition("/")
    above, _, name = folder.rpartition("/")
    to = {
        "Bucket": f"arn:aws:s3:::{destination}",
        "Format": "Parquet",
        "Prefix": above.removesuffix(bucket).rstrip("/"),
    }
    s3.put_bucket_inventory_configuration(
        Bucket=bucket,
        Id=name,
        InventoryConfiguration={
            "Id": name,
            "IsEnabled": True,
            "Destination": {"S3BucketDestination": to},
            "IncludedObjectVersions": "All",
            "OptionalFields": ["Size", "ETag"],
            "Schedule": {"Frequency": "Daily"},
        }
        | ({"Filter": {"Prefix": prefix}} if prefix else {}),
    )


def fill_live_table(s3: Any, bucket: str, rows: Iterable[Row]) -> None:
    """Write these *rows*, each with its sequence_number, into the live inventory table of *bucket*."""
    columns = {name: of for name, of in COLUMNS.items() if name != "is_latest"} | {
        "sequence_number": "VARCHAR"
    }
    name = f"b_{bucket}/inventory/data.parquet"
    s3.put_object(Bucket=LIVE_BUCKET, Key=name, Body=parquet(list(rows), columns))


def parquet(rows: list[Row], columns: Mapping[str, str]) -> bytes:
    """Write *rows* as one file of Parquet."""
    import duckdb

    with TemporaryDirectory() as folder, duckdb.connect() as engine:
        lines, target = Path(folder) / "rows.json", Path(folder) / "rows.parquet"
        with lines.open("w") as file:
            file.writelines(
                json.dumps({name: row.get(name) for name in columns}, default=str) + "\n" for row in rows
            )
        types = ", ".join(f"'{name}': '{of}'" for name, of in columns.items())
        engine.execute(
            f"COPY (SELECT * FROM read_json('{lines}', columns = {{{types}}}, format = 'newline_delimited')) "  # noqa: S608
            f"TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
        )
        return target.read_bytes()


def _schema(columns: Mapping[str, str]) -> str:
    of = {"VARCHAR": "binary", "BIGINT": "int64", "BOOLEAN": "boolean", "TIMESTAMP": "int64"}
    return (
        f"message s3.inventory {{ {' '.join(f'optional {of[t]} {name};' for name, t in columns.items())} }}"
    )


def create(name: str, columns: Sequence[str], location: str, first_day: str) -> str:
    """
    Write the statement that makes the table *name* over the inventory at *location*; a person runs it once.

    As in the S3 user guide, "Querying Amazon S3 Inventory with Amazon Athena". Its partitions are projected:
    each delivery is there as soon as S3 writes it.
    """
    listed = ",\n".join(f"  `{column}` {TYPES.get(column, 'string')}" for column in columns)
    return f"""CREATE EXTERNAL TABLE {name} (
{listed}
)
PARTITIONED BY (dt string)
ROW FORMAT SERDE 'org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe'
STORED AS INPUTFORMAT 'org.apache.hadoop.hive.ql.io.SymlinkTextInputFormat'
OUTPUTFORMAT 'org.apache.hadoop.hive.ql.io.IgnoreKeyTextOutputFormat'
LOCATION '{location}hive/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.dt.type' = 'date',
  'projection.dt.format' = 'yyyy-MM-dd-HH-mm',
  'projection.dt.range' = '{first_day},NOW',
  'projection.dt.interval' = '1',
  'projection.dt.interval.unit' = 'HOURS'
)"""
