"""Deliveries of an inventory, and live tables: a damaged one is never taken for clean."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
from botocore.exceptions import ClientError

from ml_janitor.aws.calls import ReadError
from ml_janitor.aws.s3 import LONGEST_QUERY, AthenaAnswer
from ml_janitor.detectors.duplicate_artifacts import inventories
from ml_janitor.detectors.duplicate_artifacts.artifacts import ArtifactNames, BucketIndex, StoredObject
from ml_janitor.detectors.duplicate_artifacts.inventories import (
    InventoriedBucket,
    Inventory,
    InventoryDelivery,
    InventorySettings,
    SizeGroup,
    read_inventory,
)
from scripted import DENIED, Refusal, Script
from tables import cases

NOW = datetime(2026, 10, 6, 3, tzinfo=UTC)
HOUR = timedelta(hours=1)
FOLDER = "models/all/"
LIST = Inventory(bucket="models", table="s3.models", output="s3://o/", location=f"s3://inventories/{FOLDER}")
LIVE = Inventory(bucket="models", table="s3tablescatalog/aws-s3.b_models.inventory", output="s3://o/")
DAY = "2026-10-05T22-00Z/"
MIB = 1024**2
SAME, OTHER = "a" * 32, "b" * 32

CURRENT = (
    "message s3.inventory {  required binary bucket (UTF8);  required binary key (UTF8);  "
    "optional int64 size;  optional binary e_tag (UTF8);}"
)
VERSIONS = CURRENT.replace(
    "optional int64", "optional boolean is_latest;  optional boolean is_delete_marker;  optional int64"
)
"""As in the S3 user guide, "Amazon S3 Inventory manifest"."""

STORED = {"a.tar.gz": SAME, "b.tar.gz": SAME, "c.tar.gz": OTHER, "d.txt": OTHER}
"""The bucket: two of a kind, a third model of another kind, and what is no model."""
COPIES = {"a.tar.gz", "b.tar.gz"}


def row(key: str | None, etag: str | None, number: int, **given: Any) -> dict[str, Any]:
    return {
        "bucket": "models",
        "key": key,
        "is_latest": True,
        "is_delete_marker": False,
        "size": MIB,
        "e_tag": etag,
        "sequence_number": f"{number:04}",
        "$path": f"s3://inventories/{FOLDER}data/1.parquet",
        "dt": "2026-10-05-22-00",
    } | given


def refused(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": ""}}, operation)


@dataclass
class World:
    """One delivery, its table's rows and the bucket, each of which a test may damage before it is read."""

    inventory: Inventory = LIST
    folder: str = DAY
    manifest: Any = field(
        default_factory=lambda: {
            "sourceBucket": "models",
            "destinationBucket": "arn:aws:s3:::inventories",
            "version": "2016-11-30",
            "creationTimestamp": str(int(datetime(2026, 10, 5, 22, tzinfo=UTC).timestamp() * 1000)),
            "fileFormat": "Parquet",
            "fileSchema": VERSIONS,
            "files": [{"key": f"{FOLDER}data/{n}.parquet", "size": n, "MD5checksum": "x"} for n in (1, 2)],
        }
    )
    text: bytes | None = None
    checksum: bytes | None = None
    linked: list[str] = field(
        default_factory=lambda: [f"s3://inventories/{FOLDER}data/{n}.parquet" for n in (1, 2)]
    )
    sizes: dict[str, int] = field(default_factory=lambda: {f"{FOLDER}data/{n}.parquet": n for n in (1, 2)})
    configuration: dict[str, Any] | str = field(default_factory=dict)
    lacks: tuple[str, ...] = ()
    rows: list[dict[str, Any]] = field(
        default_factory=lambda: [
            *(row(key, etag, n) for n, (key, etag) in enumerate(STORED.items(), start=1)),
            row("c.tar.gz", SAME, 0, is_latest=False),
            row("gone.tar.gz", SAME, 0, is_latest=False),
            row("gone.tar.gz", None, 9, is_delete_marker=True, size=None),
        ]
    )
    stored: Mapping[str, str] = field(default_factory=lambda: dict(STORED))
    live: dict[str, str] = field(default_factory=lambda: {"TableStatus": "ACTIVE", "TableName": "inventory"})
    namespace: str = "b_models"
    limit: int | None = 10**7

    # --- S3 -----------------------------------------------------------------------------------

    def get_paginator(self, _: str) -> Any:
        found = [self.folder, "data/", "hive/", "2020-01-01T22-00Z/"] if self.folder else ["hive/"]
        pages = [{"KeyCount": 1, "CommonPrefixes": [{"Prefix": FOLDER + name}]} for name in found]
        return SimpleNamespace(paginate=lambda **_: pages)

    def get_object(self, *, Bucket: str, Key: str) -> Any:  # noqa: N803
        text = json.dumps(self.manifest).encode() if self.text is None else self.text
        files = {
            f"{self.folder}manifest.json": text,
            f"{self.folder}manifest.checksum": self.checksum
            or hashlib.md5(text, usedforsecurity=False).hexdigest().encode() + b"\n",
            f"hive/dt={self.folder[:13].replace('T', '-')}-00/symlink.txt": "\n".join(self.linked).encode(),
        }
        found = files.get(Key.removeprefix(FOLDER))
        if Bucket != "inventories" or found is None or Key.endswith(self.lacks or ("?",)):
            raise refused("NoSuchKey", "GetObject")
        return {"Body": SimpleNamespace(read=lambda: found)}

    def head_object(self, *, Bucket: str, Key: str) -> Any:  # noqa: N803
        if Bucket != "inventories" or Key not in self.sizes:
            raise refused("404", "HeadObject")
        return {"ContentLength": self.sizes[Key]}

    def get_bucket_inventory_configuration(self, *, Bucket: str, Id: str) -> Any:  # noqa: N803
        assert (Bucket, Id) == ("models", "all")
        if isinstance(self.configuration, str):
            raise refused(self.configuration, "GetBucketInventoryConfiguration")
        return {"InventoryConfiguration": {"Id": "all", **self.configuration}}

    def get_bucket_metadata_configuration(self, **_: str) -> Any:
        found = {
            "DestinationResult": {"TableNamespace": self.namespace},
            "InventoryTableConfigurationResult": self.live,
        }
        return {"GetBucketMetadataConfigurationResult": {"MetadataConfigurationResult": found}}

    def list_objects_v2(self, *, Prefix: str, **_: Any) -> Any:  # noqa: N803
        at = {"LastModified": NOW - 900 * HOUR, "Size": MIB}
        found = [
            {"Key": key, "ETag": f'"{etag}"', **at} for key, etag in self.stored.items() if key == Prefix
        ]
        return {"KeyCount": len(found), "Contents": found, "IsTruncated": False}

    # --- Athena -------------------------------------------------------------------------------

    def get_work_group(self, **_: str) -> Any:
        return {
            "WorkGroup": {"Configuration": {"BytesScannedCutoffPerQuery": self.limit} if self.limit else {}}
        }

    def ask(self, _: Any, sql: str, columns: Sequence[str], __: Any) -> AthenaAnswer:
        with duckdb.connect() as engine:
            engine.execute(
                "CREATE TABLE t (bucket TEXT, key TEXT, is_latest BOOL, is_delete_marker BOOL, size BIGINT, "
                'e_tag TEXT, sequence_number TEXT, "$path" TEXT, dt TEXT)'
            )
            engine.execute("CREATE MACRO regexp_like(text, pattern) AS regexp_matches(text, pattern)")
            if self.rows:
                engine.executemany(
                    "INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [list(one.values()) for one in self.rows],
                )
            asked = engine.execute(sql.replace(self.inventory.quoted, "t"))
            assert tuple(column[0] for column in asked.description) == tuple(columns)
            rows = asked.fetchall()
            day = sql.partition("dt = '")[2][:16]
            scanned = sum(day in ("", one["dt"]) for one in self.rows)
        return AthenaAnswer(tuple(tuple(None if v is None else str(v) for v in one) for one in rows), scanned)

    def read(self, monkeypatch: pytest.MonkeyPatch, **given: Any) -> InventoriedBucket:
        monkeypatch.setattr(inventories, "run_query", self.ask)
        monkeypatch.setattr(inventories, "MOST_COMPARED", 50)
        aws: Any = SimpleNamespace(
            s3=self,
            region="us-east-1",
            client=lambda _: self,
            map=lambda read, items: [read(item) for item in items],
        )
        asking = InventorySettings(inventories=(self.inventory,))
        given = {"by_size": False, "sizes": None, "elsewhere": frozenset(), **given}
        return read_inventory(aws, self.inventory, asking, ArtifactNames(), NOW, **given)


type Damage = Callable[[World], object]


def manifest(**members: Any) -> Damage:
    return lambda world: world.manifest.update(members)


def made(at: datetime) -> Damage:
    return manifest(creationTimestamp=str(int(at.timestamp() * 1000)))


def without(name: str) -> Damage:
    return lambda world: world.manifest.pop(name)


def first_file(**members: Any) -> Damage:
    return lambda world: world.manifest["files"][0].update(members)


def text(body: bytes) -> Damage:
    return lambda world: setattr(world, "text", body)


def given(**members: Any) -> Damage:
    return lambda world: world.__dict__.update(members)


def rows(number: int | None = None, **members: Any) -> Damage:
    """Change one row, or all that are artifacts."""

    def change(world: World) -> None:
        for one in world.rows if number is None else [world.rows[number]]:
            one.update({name: value(one) if callable(value) else value for name, value in members.items()})

    return change


def live(*damages: Damage) -> Damage:
    def change(world: World) -> None:
        world.inventory = LIVE
        for damage in damages:
            damage(world)

    return change


def aged(age: timedelta, *damages: Damage) -> Damage:
    """Let it be a delivery of that age."""

    def change(world: World) -> None:
        at = NOW - age
        world.folder = f"{at:%Y-%m-%dT%H-00Z}/"
        world.manifest["creationTimestamp"] = str(int(at.timestamp() * 1000))
        for one in world.rows:
            one["dt"] = f"{at:%Y-%m-%d-%H-00}"
        for damage in damages:
            damage(world)

    return change


def rewritten(world: World) -> None:
    """Write one key so often that its versions are more than may be compared."""
    world.rows += [row("c.tar.gz", SAME, 0, sequence_number=f"0000-{n:06}") for n in range(60)]


RIGHT, LIKELY = "right", "likely"

DAMAGED: dict[str, tuple[Damage, str]] = {
    # the manifest
    "no manifest": (given(lacks=("manifest.json",)), "manifest.json is missing: S3 is still writing"),
    "no checksum": (given(lacks=("manifest.checksum",)), "manifest.checksum is missing"),
    "another checksum": (given(checksum=b"0" * 32), "does not have the checksum beside it"),
    "a checksum of bytes": (given(checksum=b"\xff\xfe"), "does not have the checksum beside it"),
    "cut-off JSON": (text(b'{"sourceBucket": "models", "files": ['), "is not a manifest of S3 Inventory"),
    "a list": (text(b"[]"), "is not a manifest of S3 Inventory"),
    "null": (text(b"null"), "is not a manifest of S3 Inventory"),
    "not UTF-8": (text(b"\xff\xfe{}"), "is not a manifest of S3 Inventory"),
    "no bucket": (without("sourceBucket"), "'sourceBucket'"),
    "another bucket": (manifest(sourceBucket="others"), "is the inventory of bucket others"),
    "another destination": (
        manifest(destinationBucket="arn:aws:s3:::elsewhere"),
        "is for bucket arn:aws:s3:::else",
    ),
    "another version": (manifest(version="2030-01-01"), "its version is 2030-01-01, not 2016-11-30"),
    "made on another day": (manifest(creationTimestamp="1759900000000"), "it was created at 2025-10-08"),
    "made a minute more than half a day before": (
        made(datetime(2026, 10, 5, 9, 59, tzinfo=UTC)),
        "it was created at 2026-10-05 09:59 UTC",
    ),
    "made at no time": (manifest(creationTimestamp="yesterday"), "is not a manifest"),
    "made at no time ever": (manifest(creationTimestamp="9" * 30), "is not a manifest"),
    "CSV": (
        manifest(fileFormat="CSV"),
        "is written as CSV: add an inventory configuration as Apache Parquet",
    ),
    "no format": (manifest(fileFormat=None), "fileFormat is None"),
    "no schema": (without("fileSchema"), "'fileSchema'"),
    "a schema in parts": (manifest(fileSchema=["bucket"]), "fileSchema is"),
    "no ETag": (manifest(fileSchema=VERSIONS.replace("e_tag", "tag")), "the inventory has no e_tag"),
    "sizes as text": (manifest(fileSchema=VERSIONS.replace("int64", "binary")), "the inventory has no size"),
    "half the versions' columns": (
        manifest(fileSchema=VERSIONS.replace("is_delete_marker", "marker")),
        "the inventory has no is_delete_marker",
    ),
    # its files
    "no files": (manifest(files=[]), "it names no files"),
    "no list of files": (without("files"), "'files'"),
    "files by name": (manifest(files={"a": 1}), "is not a manifest"),
    "a file without a key": (manifest(files=[{"size": 1}]), "'key'"),
    "a file without a size": (manifest(files=[{"key": f"{FOLDER}data/1.parquet"}]), "'size'"),
    "a size as text": (first_file(size="1"), "a file's size is not a number above 0"),
    "a size that is true": (first_file(size=True), "a file's size is not a number above 0"),
    "a size of nothing": (first_file(size=0), "a file's size is not a number above 0"),
    "a negative size": (first_file(size=-1), "a file's size is not a number above 0"),
    "a file twice": (
        lambda world: world.manifest["files"].append(world.manifest["files"][0]),
        "names a file twice",
    ),
    "a file elsewhere": (
        first_file(key="others/1.parquet"),
        "which is not below s3://inventories/models/all/",
    ),
    "a file gone": (lambda world: world.sizes.popitem(), "data/2.parquet with 2 bytes, and HeadObject: 404"),
    "a file cut off": (
        lambda world: world.sizes.update({f"{FOLDER}data/2.parquet": 1}),
        "and it has 1 byte",
    ),
    "a file too long": (first_file(size=3), "with 3 bytes, and it has 1 byte"),
    "no symlink.txt": (given(lacks=("symlink.txt",)), "symlink.txt is missing"),
    "a symlink.txt of fewer": (
        lambda world: world.linked.pop(),
        "symlink.txt names 1 file, not the 2",
    ),
    "an empty symlink.txt": (given(linked=[]), "symlink.txt names 0 files, not the 2"),
    "a symlink.txt of others": (given(linked=["s3://x/1", "s3://x/2"]), "names 2 files, not the 2"),
    "a symlink.txt of more": (
        lambda world: world.linked.append("s3://x/3"),
        "names 3 files, not the 2",
    ),
    # its date, and its configuration
    "no delivery": (given(folder=""), "S3 delivers the first one within 48 hours"),
    "no such day": (given(folder="2026-13-45T99-99Z/"), "manifest.json is missing"),
    "from tomorrow": (aged(-24 * HOUR), "is dated 2026-10-07 03:00 UTC, after this run"),
    "a year old, of today's copies": (aged(8760 * HOUR), LIKELY),
    "a year old, of no copies": (
        aged(
            8760 * HOUR,
            rows(
                e_tag=lambda one: None if one["is_delete_marker"] else OTHER[:31] + one["sequence_number"][-1]
            ),
        ),
        "8760 hours old, older than two days",
    ),
    "filtered": (
        given(configuration={"Filter": {"Prefix": "runs/"}}),
        "lists only keys that begin with runs/",
    ),
    "no longer configured": (
        given(configuration="NoSuchConfiguration"),
        "has no inventory configuration all",
    ),
    "perhaps filtered": (given(configuration="AccessDenied"), "AccessDenied"),
    # its rows
    "no rows": (given(rows=[]), "Load its partitions"),
    "another day's rows": (rows(dt="2026-10-04-22-00"), "Load its partitions"),
    "another bucket's table": (rows(bucket="others"), "7 rows of other buckets than models"),
    "one row of another bucket": (rows(3, bucket="others"), "1 row of other buckets than models"),
    "a row without a bucket": (rows(3, bucket=None), "1 row of other buckets than models"),
    "another inventory's table": (
        rows(None, **{"$path": "s3://inventories/models/part/data/1"}),
        "7 rows of files that",
    ),
    "a row without a key": (rows(0, key=None), "1 row without a value that S3 always writes"),
    "a row without a size": (rows(1, size=None), "1 row without a value"),
    "a negative size in a row": (rows(1, size=-5), "1 row without a value"),
    "a row without an ETag": (rows(1, e_tag=None), "1 row without a value"),
    "a row that may be the latest": (rows(1, is_latest=None), "1 row without a value"),
    "a row that may be a marker": (rows(1, is_delete_marker=None), "1 row without a value"),
    "old versions alone": (rows(is_latest=False), "shows no object of models"),
    "version ids for ETags": (
        rows(e_tag=lambda one: f"v{one['sequence_number']}"),
        "none of 3 artifacts has an ETag",
    ),
    "sizes off by one": (rows(size=MIB + 1), "S3 has none of the 2 keys"),
    "nothing there any more": (given(stored={}), "S3 has none of the 2 keys"),
    # live tables
    "another bucket's live table": (
        live(given(namespace="b_others")),
        "is s3tablescatalog/aws-s3.b_others.inventory",
    ),
    "a live table being filled": (
        live(given(live={"TableName": "inventory", "TableStatus": "BACKFILLING"})),
        "not ACTIVE but BACKFILLING",
    ),
    "a live table without a limit": (live(given(limit=None)), "set the data limit per query"),
    "an empty live table": (live(given(rows=[])), "Load its partitions"),
    "live rows of another bucket": (live(rows(2, bucket="others")), "1 row of other buckets"),
    "a live row without its number": (live(rows(1, sequence_number=None)), "1 row without a value"),
    "a live row without a size": (live(rows(1, size=None)), "1 row without a value"),
    "a live row without an ETag": (live(rows(1, e_tag=None)), "1 row without a value"),
    "a live row that may be a marker": (live(rows(1, is_delete_marker=None)), "1 row without a value"),
    "markers alone": (live(rows(is_delete_marker=True)), "shows no object of models"),
    # near misses: whole ones
    "as S3 writes it": (lambda _: None, RIGHT),
    "of current versions alone": (
        lambda world: (manifest(fileSchema=CURRENT)(world), world.__dict__.update(rows=world.rows[:4])),
        RIGHT,
    ),
    "columns in another order": (
        manifest(
            fileSchema="message m { optional binary e_tag (UTF8); optional int64 size; required binary key; "
            "optional boolean is_delete_marker; optional boolean is_latest; required binary bucket (UTF8); }"
        ),
        RIGHT,
    ),
    "ETags in quotes": (rows(e_tag=lambda one: one["e_tag"] and f'"{one["e_tag"]}"'), RIGHT),
    "a symlink.txt with a last line": (lambda world: world.linked.append(""), RIGHT),
    "made half a day before": (made(datetime(2026, 10, 5, 10, tzinfo=UTC)), RIGHT),
    "of this very moment": (aged(0 * HOUR), RIGHT),
    "two days old": (aged(48 * HOUR), RIGHT),
    "two days and an hour old": (aged(49 * HOUR), LIKELY),
    "a key that ends almost like an artifact's": (
        lambda world: world.rows.append(row("e_tar_gz", SAME, 8)),
        RIGHT,
    ),
    "as many artifacts with no ETag of S3's as objects with one": (
        lambda world: world.rows.extend(row(f"{n}.tar.gz", "version", 8) for n in range(len(STORED))),
        RIGHT,
    ),
    "a filter of nothing": (given(configuration={"Filter": {"Prefix": ""}}), RIGHT),
    "a live table": (live(), RIGHT),
    "a live table with one key written often": (live(rewritten), RIGHT),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_delivery_is_an_error_or_likely_but_never_clean(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, (damage, expected) = World(), DAMAGED[kind]
    damage(world)

    read = world.read(monkeypatch)

    found = {artifact.key for artifact in read.found}
    if expected in {RIGHT, LIKELY}:
        assert (read.shelf.error, found, read.shelf.stale is not None) == (None, COPIES, expected == LIKELY)
        assert read.shelf.looked_through == 3
        assert read.reading
    else:
        assert expected in str(read.shelf.error)
        assert str(read.shelf.error).startswith("the inventory of models: ")
        assert found == set()


def test_queries_share_the_budget_of_their_bucket() -> None:
    budget = inventories.QueryBudget(most=1.0, usd_per_tb=5.0, prices=[0.9])
    with pytest.raises(ReadError, match=r"\$0.90 is spent: inventory_max_usd allows \$1.00"):
        budget.ask(Script({}).aws(), "SELECT 1", ["a"], LIST.place, limit=4 * 10**10)


def test_a_query_may_cost_exactly_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventories, "run_query", lambda *_: AthenaAnswer((), 10**11))
    budget = inventories.QueryBudget(most=1.0, usd_per_tb=5.0, prices=[0.5])

    budget.ask(Script({}).aws(), "SELECT 1", ["a"], LIST.place, limit=10**11)

    assert (budget.bounds, budget.prices) == ([0.5], [0.5, 0.5])


@cases(
    "damage, spent",
    (given(lacks=("manifest.json",)), ""),
    (rows(e_tag=lambda one: f"v{one['sequence_number']}"), " ($0.00005 spent)"),
)
def test_an_error_says_what_was_spent_before_it(
    monkeypatch: pytest.MonkeyPatch, damage: Damage, spent: str
) -> None:
    world = World()
    damage(world)

    error = str(world.read(monkeypatch).shelf.error)

    assert error[error.rfind(" ($") :] == spent if spent else "spent" not in error


@pytest.mark.parametrize("inventory", [LIST, LIVE], ids=["delivery", "live table"])
def test_what_was_delivered_is_named_as_often_as_it_was_counted(
    monkeypatch: pytest.MonkeyPatch, inventory: Inventory
) -> None:
    world = World(inventory=inventory)
    ask = world.ask

    def without_one_key(*asked: Any) -> AthenaAnswer:
        answer = ask(*asked)
        return replace(answer, rows=answer.rows[:1]) if "key" in asked[2] else answer

    monkeypatch.setattr(world, "ask", without_one_key)
    read = world.read(monkeypatch)

    counted = "Athena counted 2 artifacts of 1,048,576 bytes and named 1: its answer is not whole"
    assert (counted in str(read.shelf.error)) == (inventory == LIST)
    assert len(read.found) == (0 if inventory == LIST else 1)


def test_a_size_that_no_artifact_has_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    read = World().read(monkeypatch, sizes={MIB + 1})

    assert (read.shelf.error, read.found) == (None, [])


@pytest.mark.parametrize("by_size", [True, False])
def test_the_note_says_which_copies_are_not_shown(monkeypatch: pytest.MonkeyPatch, *, by_size: bool) -> None:
    below = "below 100 MB " if by_size else ""

    assert f"nor copies {below}that have other ETags" in World().read(monkeypatch, by_size=by_size).reading


def test_from_a_hundred_mebibytes_on_the_size_alone_counts() -> None:
    delivery = InventoryDelivery(inventory=LIST, at=NOW, most=0)

    asked = inventories.groups_sql(delivery, ArtifactNames(), by_size=True)

    assert "CASE WHEN size >= 104857600 THEN '' ELSE e_tag END" in asked


def test_sizes_of_other_buckets_are_added_unless_they_are_asked_for_with_any_etag() -> None:
    any_etag, same = SizeGroup(9, "", 2), SizeGroup(8, SAME, 2)

    assert inventories.add_sizes([any_etag, same], [7, 8, 9]) == [
        any_etag,
        SizeGroup(8, "", 0),
        same,
        SizeGroup(7, "", 0),
    ]


def listed(*pages: Mapping[str, Any] | Refusal) -> InventoriedBucket:
    """The bucket, with the weights of a folder that is then listed in so many *pages*."""
    shelf = BucketIndex(bucket="models", region="us-east-1")
    found = StoredObject(
        bucket="models", key="a/model.pt", size=MIB, etag=SAME, modified=NOW, storage_class="STANDARD"
    )
    bucket = InventoriedBucket(
        Script({"s3:ListObjectsV2": pages}).aws(), ArtifactNames(), shelf, found=[found]
    )
    bucket.notice({("models", "a/")})
    return bucket


def beside(*, more: bool) -> dict[str, Any]:
    one = {"Key": "a/encoder.json", "LastModified": NOW, "Size": 2, "ETag": '"c"'}
    return {"KeyCount": 1, "IsTruncated": more, "Contents": [one]}


@cases(
    "pages, models",
    ([beside(more=False)], set()),
    ([beside(more=True)] * 9 + [beside(more=False)], set()),
    ([beside(more=True)] * 11, {"a/"}),
    ([beside(more=True), DENIED], {"a/"}),
    ids=["one page", "ten pages", "eleven pages", "denied"],
)
def test_a_folder_that_is_not_listed_to_its_end_counts_as_one_model(
    pages: Sequence[Mapping[str, Any]], models: set[str]
) -> None:
    shelf = listed(*pages).shelf

    assert (shelf.models, shelf.mixed) == (models, {"a/"})


def test_a_table_is_quoted_part_by_part() -> None:
    assert LIST.quoted == '"s3"."models"'
    assert LIVE.quoted == '"s3tablescatalog/aws-s3"."b_models"."inventory"'


def test_a_live_table_is_looked_up_in_the_catalog_of_s3() -> None:
    on: dict[str, set[str]] = {}
    for grant in inventories.inventory_grants([LIVE]):
        on.setdefault(grant.action, set()).add(str(grant.on))
    federated, database = "catalog/s3tablescatalog/aws-s3", "database/s3tablescatalog/aws-s3/b_models"

    assert on["s3:GetBucketMetadataTableConfiguration"] == {"arn:aws:s3:::models"}
    assert on["s3tables:GetTableData"] == {"bucket/aws-s3/table/*"}
    assert on["glue:GetCatalog"] == {"catalog", "catalog/s3tablescatalog", federated}
    assert on["glue:GetDatabase"] == {"catalog", federated, database}
    assert on["glue:GetTable"] == {
        *on["glue:GetDatabase"],
        "table/s3tablescatalog/aws-s3/b_models/inventory",
    }


@pytest.mark.parametrize("inventory", [LIST, LIVE], ids=["delivery", "live table"])
def test_the_groups_of_a_query_are_as_many_as_athena_takes(inventory: Inventory) -> None:
    groups = [SizeGroup(10**10 + number, f"{number:032x}", 2) for number in range(6000)]
    delivery = InventoryDelivery(inventory=inventory, at=NOW, most=0)

    portions = inventories.query_portions(delivery, groups)

    longest = max(len(inventories.keys_sql(delivery, ArtifactNames(), part)) for part in portions)
    assert [group for part in portions for group in part] == groups
    assert LONGEST_QUERY / 2 < longest <= LONGEST_QUERY


def test_athena_looks_a_database_up_apart_from_its_table() -> None:
    on: dict[str, set[str]] = {}
    for grant in inventories.inventory_grants([LIST]):
        on.setdefault(grant.action, set()).add(str(grant.on))
    database = {"catalog", "database/s3"}
    assert (on["glue:GetDatabase"], on["glue:GetTable"]) == (database, {*database, "table/s3/models"})


def test_what_is_no_longer_so_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.rows += [row("e.tar.gz", SAME, 8)]

    read = world.read(monkeypatch)

    assert {artifact.key for artifact in read.found} == COPIES
    assert "1 of the 3 keys that it names are no longer so" in read.reading
