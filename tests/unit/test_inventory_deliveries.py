"""Which delivery of an inventory is read, how old it is, and which inventory of a bucket is suggested."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ml_janitor.aws.calls import ReadError
from ml_janitor.detectors.duplicate_artifacts.artifacts import ArtifactNames
from ml_janitor.detectors.duplicate_artifacts.inventories import (
    Inventory,
    InventoryDelivery,
    find_latest_delivery,
    groups_sql,
    suggest_inventory,
)
from tables import cases

NOW = datetime(2026, 10, 6, 3, tzinfo=UTC)
FOLDER = "models/all/"
LIST = Inventory(bucket="models", table="s3.models", output="s3://o/", location=f"s3://inventories/{FOLDER}")

CURRENT = (
    "message s3.inventory {  required binary bucket (UTF8);  required binary key (UTF8);  "
    "optional int64 size;  optional binary e_tag (UTF8);}"
)
VERSIONS = CURRENT.replace("optional int64", "optional boolean is_latest;  optional int64")
"""As in the S3 user guide, "Amazon S3 Inventory manifest"."""


def delivered(
    *pages: list[str], schema: str = CURRENT, of: str = "models", lacks: str = ""
) -> InventoryDelivery:
    """The newest delivery of *pages* of folders; only that has a manifest, and S3 answers *lacks* for it."""
    newest = max(name for page in pages for name in page if name.startswith("2026"))
    manifest = {
        "sourceBucket": of,
        "fileFormat": "Parquet",
        "fileSchema": schema,
        "files": [{"size": 3}, {"size": 4}],
    }
    body = json.dumps(manifest).encode()
    sums = {"manifest.json": body, "manifest.checksum": hashlib.md5(body, usedforsecurity=False).hexdigest()}

    def get_object(*, Bucket: str, Key: str) -> Any:  # noqa: N803
        found = sums.get(Key.removeprefix(f"{FOLDER}{newest}"))
        if Bucket != "inventories" or found is None or lacks:
            raise ClientError({"Error": {"Code": lacks or "AccessDenied", "Message": ""}}, "GetObject")
        whole = found if isinstance(found, bytes) else f"{found}\n".encode()
        return {"Body": SimpleNamespace(read=lambda: whole)}

    answers = [
        {"KeyCount": len(names), "CommonPrefixes": [{"Prefix": FOLDER + name} for name in names]}
        for names in pages
    ]
    listing = SimpleNamespace(paginate=lambda **_: answers)
    s3 = SimpleNamespace(get_paginator=lambda _: listing, get_object=get_object)
    aws: Any = SimpleNamespace(s3=s3)
    return find_latest_delivery(aws, LIST, NOW)


def test_the_newest_delivery_on_any_page_is_read() -> None:
    read = delivered(
        ["2026-10-03T01-00Z/", "hive/"], ["2026-10-04T01-00Z/", "2026-10-05T02-30Z/"], ["2026-10-05T01-00Z/"]
    )

    assert (read.at, read.most) == (datetime(2026, 10, 5, 2, 30, tzinfo=UTC), 7)
    assert not read.versions
    assert "dt = '2026-10-05-02-30'" in groups_sql(read, ArtifactNames(), by_size=False)


def test_old_versions_are_told_from_the_newest_where_the_list_says_which_is() -> None:
    assert delivered(["2026-10-05T01-00Z/"], schema=VERSIONS).versions


@cases(
    "given, error",
    ({"of": "datasets"}, "is the inventory of bucket datasets"),
    ({"schema": CURRENT.replace("e_tag", "tag")}, "the inventory has no e_tag"),
)
def test_an_inventory_needs_its_bucket_and_its_columns(given: dict[str, str], error: str) -> None:
    with pytest.raises(ReadError, match=error):
        delivered(["2026-10-05T01-00Z/"], **given)


def test_only_a_manifest_that_is_not_there_is_still_being_written() -> None:
    with pytest.raises(ReadError, match="S3 is still writing this delivery"):
        delivered(["2026-10-05T01-00Z/"], lacks="NoSuchKey")
    with pytest.raises(ClientError):
        delivered(["2026-10-05T01-00Z/"], lacks="AccessDenied")


def configured(fields: list[str], *, enabled: bool = True, kind: str = "Parquet") -> dict[str, Any]:
    to = {"Bucket": "arn:aws:s3:::inventories", "Prefix": "lists", "Format": kind}
    return {
        "Id": "all",
        "IsEnabled": enabled,
        "OptionalFields": fields,
        "Destination": {"S3BucketDestination": to},
    }


@cases(
    "live, lists, place",
    ("ENABLED", [], 'table = "s3tablescatalog/aws-s3.b_models.inventory"'),
    ("DISABLED", [], None),
    (None, [configured(["Size", "ETag"])], 'location = "s3://inventories/lists/models/all/"'),
    ("DISABLED", [configured(["Size", "ETag"])], 'location = "s3://inventories/lists/models/all/"'),
    (None, [configured(["Size", "ETag"], enabled=False)], None),
    (None, [configured(["Size"])], None),
    (None, [configured(["Size", "ETag"], kind="CSV")], None),
    (None, [], None),
)
def test_a_usable_list_is_suggested(live: str | None, lists: list[dict[str, Any]], place: str | None) -> None:
    def get_bucket_metadata_configuration(**_: str) -> Any:
        if live is None:
            raise ClientError({"Error": {"Code": "MetadataConfigurationNotFound", "Message": ""}}, "Get")
        table = {"ConfigurationState": live, "TableName": "inventory"}
        found = {
            "InventoryTableConfigurationResult": table,
            "DestinationResult": {"TableNamespace": "b_models"},
        }
        return {"GetBucketMetadataConfigurationResult": {"MetadataConfigurationResult": found}}

    s3 = SimpleNamespace(
        get_bucket_metadata_configuration=get_bucket_metadata_configuration,
        list_bucket_inventory_configurations=lambda **_: {"InventoryConfigurationList": lists},
    )
    aws: Any = SimpleNamespace(s3=s3)
    setting = suggest_inventory(aws, "models")

    assert (setting is None) is (place is None)
    assert place is None or place in str(setting)
