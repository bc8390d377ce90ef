"""Settings that name inventories of S3, and the permissions to query them through Athena. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ml_janitor.aws.athena import AthenaPlace
from ml_janitor.detectors.duplicate_artifacts.prefixes import BUCKET_NAME, via_s3_conditions
from ml_janitor.engine.detector import Grant, allow, implied_grant

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
    found = dict.fromkeys(allow(action, on="arn:aws:s3:::*") for action in every)
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
