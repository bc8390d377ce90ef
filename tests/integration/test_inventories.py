"""Copies in a bucket that is read from its inventory: what Athena and S3 of the sandbox say of them."""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from conftest import ACCOUNT, NOW, REGION
from ml_janitor.aws.client import Aws, open_regions
from ml_janitor.aws.s3 import ATHENA_PAGE
from ml_janitor.core.model import Finding, Kept
from ml_janitor.core.results import Sweep
from ml_janitor.detectors.duplicate_artifacts import inventories
from ml_janitor.detectors.duplicate_artifacts.artifacts import ArtifactNames
from ml_janitor.detectors.duplicate_artifacts.rule import DuplicateArtifacts
from ml_janitor_sandbox import inventory_files
from ml_janitor_sandbox.control import Control
from narrowing import not_none, of_type
from recorded_acts import IAM_NAMES
from tables import cases
from verdicts import sweep_once, word

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MIB = 1024**2
BUCKET = "models"
LOCATION = "s3://inventories/models/all/"
SETTING = {"table": "s3.models", "location": LOCATION, "output": "s3://answers/janitor/"}
LIVE = {"table": "s3tablescatalog/aws-s3.b_models.inventory", "output": "s3://answers/janitor/"}
COLUMNS = tuple(inventory_files.COLUMNS)


class Account:
    """A bucket of models with versions, where its inventories are delivered, and Athena's answers."""

    def __init__(self, box: Control, session: boto3.Session) -> None:
        self.box = box
        self.s3 = session.client("s3")
        self.athena = session.client("athena")
        for name in (BUCKET, "inventories", "answers", "aws-s3"):
            self.s3.create_bucket(Bucket=name)
        on: Any = {"Status": "Enabled"}
        self.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration=on)

    def put(self, key: str, content: str = "model", *, age: int = 40, size: int = MIB, **given: Any) -> None:
        with self.box.at(NOW - age * DAY):
            self.s3.put_object(Bucket=BUCKET, Key=key, Body=(content.encode() * size)[:size], **given)

    def table(self) -> None:
        """Make it by the statement that the page shows."""
        self.athena.start_query_execution(
            QueryString=inventory_files.create("s3.models", COLUMNS, LOCATION, "2026-01-01-00-00"),
            ResultConfiguration={"OutputLocation": "s3://answers/"},
        )

    def deliver(self, *more: Mapping[str, Any], age: timedelta = 5 * HOUR, **given: Any) -> None:
        rows = [*inventory_files.versions(self.s3, BUCKET), *more]
        inventory_files.deliver(self.s3, BUCKET, rows, location=LOCATION, at=NOW - age, **given)


@pytest.fixture
def account(box: Control, session: boto3.Session) -> Account:
    return Account(box, session)


def swept(aws: Aws, inventory: Mapping[str, str] = SETTING, **tunables: Any) -> Sweep:
    given = {"buckets": (BUCKET,), "inventories": {BUCKET: inventory}, **tunables}
    return sweep_once(DuplicateArtifacts(**given), aws)


def words(done: Sweep) -> dict[str, str]:
    return {result.target.name.partition("/")[2]: word(result) for result in done.results}


def row(key: str, size: int | None, etag: str | None, **given: Any) -> dict[str, Any]:
    return {
        "bucket": BUCKET,
        "key": key,
        "version_id": "1",
        "is_latest": True,
        "is_delete_marker": False,
        "size": size,
        "last_modified_date": "2026-09-01",
        "e_tag": etag,
        "storage_class": "STANDARD",
        **given,
    }


def generated(count: int) -> tuple[list[dict[str, Any]], dict[tuple[int, str], int]]:
    """Rows of an inventory with all that may mislead, and how many latest artifacts each group truly has."""
    chance = random.Random(17)  # noqa: S311 - no secret
    rows, latest = [], Counter[tuple[int, str]]()
    for number in range(count):
        size = MIB + chance.randrange(count // 4)
        etag = f"{size % 999_983:032x}" if chance.random() < 0.4 else f"{number:032x}"
        is_latest, gone = chance.random() < 0.8, chance.random() < 0.1
        key = f"runs/{number}/model.tar.gz" if chance.random() < 0.7 else f"data/{number}.parquet"
        rows.append(row(key, size, etag, is_latest=is_latest, is_delete_marker=gone, version_id=str(number)))
        if is_latest and not gone and key.endswith(".gz"):
            latest[size, etag] += 1
    return rows, {group: number for group, number in latest.items() if number > 1}


def test_an_inventory_finds_copies_and_bytes_prove_them(account: Account, aws: Aws, box: Control) -> None:
    account.put("a/the model+1.tar.gz", age=50)
    account.put("b/model.tar.gz")
    account.put("c/model.tar.gz", "other")
    account.put("d/model.tar.gz", "replaced")  # by other bytes: its old version has the ETag of the first two
    account.put("d/model.tar.gz")
    account.put("d/model.tar.gz", "replaced")
    account.put("e/model.tar.gz")
    account.s3.delete_object(Bucket=BUCKET, Key="e/model.tar.gz")
    account.table()
    account.deliver()
    box.clear_calls()

    done = swept(aws)

    assert done.error is None
    assert words(done) == {"a/the model+1.tar.gz": "kept", "b/model.tar.gz": "proven"}
    assert box.calls()["athena:StartQueryExecution"] == 2
    assert [
        one for one in done.notices if "2 queries of Athena: $0.0001 at most" in one and "5 hours old" in one
    ]


def test_a_live_inventory_table_shows_its_newest_sequence(account: Account, aws: Aws, box: Control) -> None:
    for key in ("a/model.tar.gz", "b/model.tar.gz", "replaced/model.tar.gz", "gone/model.tar.gz"):
        account.put(key, age=60 if key < "b" else 40)
    same = account.s3.head_object(Bucket=BUCKET, Key="a/model.tar.gz")["ETag"].strip('"')
    rows = [
        row("a/model.tar.gz", MIB, same, sequence_number="01"),
        row("b/model.tar.gz", MIB, "older", sequence_number="02"),
        row("b/model.tar.gz", MIB, same, sequence_number="03"),
        row("replaced/model.tar.gz", MIB, same, sequence_number="04"),
        row("replaced/model.tar.gz", MIB, "newer", sequence_number="05"),
        row("gone/model.tar.gz", MIB, same, sequence_number="06"),
        row("gone/model.tar.gz", None, None, sequence_number="07", is_delete_marker=True),
    ]
    inventory_files.fill_live_table(account.s3, BUCKET, rows)
    configuration: Any = {"BytesScannedCutoffPerQuery": 10**8}
    account.athena.create_work_group(Name="limited", Configuration=configuration)

    box.clear_calls()

    done = swept(aws, {**LIVE, "workgroup": "limited"})

    assert box.calls()["s3:ListObjectsV2"] == 2, (
        "only what is named is looked up, and the bucket is not listed"
    )
    assert done.error is None
    assert words(done) == {"a/model.tar.gz": "kept", "b/model.tar.gz": "proven"}
    assert [one for one in done.notices if "live inventory table" in one and "$0.001 at most" in one]

    unlimited = swept(aws, LIVE)
    account.s3.put_object(Bucket="aws-s3", Key=f"b_{BUCKET}/inventory/STATE", Body=b"BACKFILLING")
    filling = swept(aws, {**LIVE, "workgroup": "limited"})
    assert "set the data limit per query (BytesScannedCutoffPerQuery) of work group primary" in str(
        unlimited.error
    )
    assert "not ACTIVE but BACKFILLING" in str(filling.error)
    assert (words(unlimited), words(filling)) == ({}, {})


def test_looking_again_asks_for_one_size(account: Account, aws: Aws, box: Control) -> None:
    for number in range(3):
        account.put(f"{number}/model.tar.gz", age=50 - number)
    account.table()
    account.deliver()
    account.put("new/model.tar.gz")
    rule = DuplicateArtifacts(buckets=(BUCKET,), inventories={BUCKET: SETTING})
    (found, *_) = [one.target for one in swept(aws).results if isinstance(one.verdict, Finding)]
    box.clear_calls()

    again = rule.look(aws, found, NOW)
    new = not_none(rule.look(aws, replace(found, arn=found.arn.replace("/1/", "/new/")), NOW))

    assert isinstance(rule.decide(not_none(again), NOW), Finding)
    unknown = of_type(Kept, rule.decide(new, NOW))
    assert "the inventory of its bucket does not show it" in unknown.reason
    assert unknown.unknown
    assert box.calls()["athena:StartQueryExecution"] == 2, "one for each"


def test_what_was_replaced_or_deleted_since_the_inventory_is_left_out(account: Account, aws: Aws) -> None:
    for key in ("a/model.tar.gz", "b/model.tar.gz", "c/model.tar.gz"):
        account.put(key)
    account.table()
    account.deliver()
    account.put("b/model.tar.gz", "other")
    account.s3.delete_object(Bucket=BUCKET, Key="c/model.tar.gz")

    done = swept(aws)

    assert done.error is None
    assert words(done) == {}, "the one that is left is like no other"


def test_an_old_inventory_makes_copies_likely_at_most(account: Account, aws: Aws) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put("b/model.tar.gz")
    account.table()
    account.deliver(age=49 * HOUR)

    assert words(swept(aws)) == {"a/model.tar.gz": "kept", "b/model.tar.gz": "likely"}
    found = next(one.verdict for one in swept(aws).results if isinstance(one.verdict, Finding))
    assert "its bucket's inventory is 49 hours old" in found.reason


@cases(
    "says, tunables",
    ("may cost $0.0001: inventory_max_usd allows $0.00009", {"inventory_max_usd": 0.00009}),
    ("Table 'awsdatacatalog.s3.other' does not exist", {"table": "s3.other"}),
    ("WorkGroup none is not found", {"workgroup": "none"}),
    ("Bytes scanned limit was exceeded", {"workgroup": "tiny"}),
    ("does not exist: s3://nowhere", {"output": "s3://nowhere/"}),
)
def test_what_cannot_be_asked_is_unknown_and_says_what_to_do(
    account: Account, aws: Aws, says: str, tunables: Mapping[str, Any]
) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put("b/model.tar.gz")
    account.table()
    account.deliver()
    account.athena.create_work_group(Name="tiny")
    less = {"BytesScannedCutoffPerQuery": 1}  # than AWS takes, and than any inventory has
    account.box.patch("athena", ["work_groups", "tiny"], configuration=less)
    setting = {
        **SETTING,
        **{name: given for name, given in tunables.items() if name in SETTING or name == "workgroup"},
    }

    done = swept(aws, setting, **{name: given for name, given in tunables.items() if name not in setting})

    assert says in str(done.error)
    assert words(done) == {}, "nothing is found, and nothing is called unique"


def test_half_an_answer_is_unknown(account: Account, aws: Aws, box: Control) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put("b/model.tar.gz")
    account.table()
    account.deliver()

    for operation in ("GetQueryExecution", "GetQueryResults"):
        box.fault("athena", operation, "truncate")
        done = swept(aws)
        box.clear_faults()

        assert "the inventory of models: the answer has no " in str(done.error)
        assert words(done) == {}


COLLIDING = (
    (
        "d131dd02c5e6eec4693d9a0698aff95c2fcab58712467eab4004583eb8fb7f8955ad340609f4b30283e488832571415a"
        "085125e8f7cdc99fd91dbdf280373c5bd8823e3156348f5bae6dacd436c919c6dd53e2b487da03fd02396306d248cda0"
        "e99f33420f577ee8ce54b67080a80d1ec69821bcb6a8839396f9652b6ff72a70"
    ),
    (
        "d131dd02c5e6eec4693d9a0698aff95c2fcab50712467eab4004583eb8fb7f8955ad340609f4b30283e4888325f1415a"
        "085125e8f7cdc99fd91dbd7280373c5bd8823e3156348f5bae6dacd436c919c6dd53e23487da03fd02396306d248cda0"
        "e99f33420f577ee8ce54b67080280d1ec69821bcb6a8839396f965ab6ff72a70"
    ),
)
"""Two different texts with one MD5 (Wang, Feng, Lai and Yu, 2004)."""


def test_equal_etags_prove_nothing_alone(account: Account, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """MD5 collides, and under a KMS key an ETag is none: bytes decide, for large ones whatever the ETags."""
    for number, text in enumerate(COLLIDING):
        account.s3.put_object(Bucket=BUCKET, Key=f"md5/{number}.tar.gz", Body=bytes.fromhex(text))
    account.put("kms/a/model.tar.gz", age=50, ServerSideEncryption="aws:kms")
    account.put("kms/b/model.tar.gz", ServerSideEncryption="aws:kms")
    account.table()
    account.deliver()
    monkeypatch.setattr("ml_janitor.detectors.duplicate_artifacts.inventories.BY_SIZE_BYTES", MIB)

    assert words(swept(aws, min_size=128)) == {
        "md5/0.tar.gz": "kept",
        "md5/1.tar.gz": "kept",
        "kms/a/model.tar.gz": "kept",
        "kms/b/model.tar.gz": "proven",
    }


def test_listed_copies_are_seen_by_size(account: Account, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    account.put("a/model.tar.gz")
    account.s3.create_bucket(Bucket="listed")
    account.s3.put_object(Bucket="listed", Key="b/model.tar.gz", Body=(b"model" * MIB)[:MIB])
    account.table()
    account.deliver()

    assert words(swept(aws, buckets=(BUCKET, "listed")))["b/model.tar.gz"] == "likely"

    monkeypatch.setattr("ml_janitor.detectors.duplicate_artifacts.inventories.MOST_EXTRA_SIZES", 0)
    account.s3.put_object(Bucket="listed", Key="c/model.tar.gz", Body=(b"model" * MIB)[:MIB])
    (notice,) = [one for one in swept(aws, buckets=(BUCKET, "listed")).notices if "Athena" in one]
    assert notice.endswith("nor whether it has copies of other buckets' artifacts, of 1 size")


def test_weights_are_judged_by_what_lies_beside_them_in_the_bucket(account: Account, aws: Aws) -> None:
    for folder, age in (("a", 50), ("b", 40)):
        account.put(f"{folder}/model.pt", age=age)
        account.put(f"{folder}/config.json", "{}", size=2, age=age)
    account.put("c/model.pt", age=30)
    account.put("c/config.json", "[]", size=2, age=30)
    account.table()
    account.deliver()

    assert words(swept(aws)) == {"a/model.pt": "kept", "b/model.pt": "proven", "c/model.pt": "kept"}


def test_its_permissions_are_the_calls_it_makes(account: Account, aws: Aws, box: Control) -> None:
    account.put("a/model.tar.gz", age=50)
    account.put("b/model.tar.gz")
    account.table()
    account.deliver()
    rule = DuplicateArtifacts(inventories={BUCKET: SETTING})
    box.clear_calls()

    sweep_once(rule, aws)

    more = {grant.action for grant in rule.reads if not grant.implied} - {
        grant.action for grant in DuplicateArtifacts().reads
    }
    assert {IAM_NAMES.get(one, one) for one in box.calls()} & {*more, "s3:GetObject"} == more
    assert {grant.on for grant in rule.reads if grant.action == "s3:GetObject"} == {
        "arn:aws:s3:::inventories/models/all/*",
        "arn:aws:s3:::answers/janitor/*",
    }


def delivery(bucket: str = BUCKET, *, versions: bool = False) -> inventories.InventoryDelivery:
    (inventory,) = inventories.inventories_in({BUCKET: SETTING})
    return inventories.InventoryDelivery(
        inventory=replace(inventory, bucket=bucket), at=NOW, most=0, versions=versions
    )


def test_a_hundred_thousand_rows_are_counted_like_an_independent_count(account: Account) -> None:
    rows, expected = generated(100_000)
    account.table()
    inventory_files.deliver(account.s3, BUCKET, rows, location=LOCATION, at=NOW)
    table = delivery(versions=True)
    with open_regions(boto3.Session(), account=ACCOUNT, regions=[REGION], attempts=2, pace=None) as accounts:
        (aws,) = accounts
        queries = inventories.InventoryQueries(aws, table, ArtifactNames(), inventories.QueryBudget(1.0, 5.0))
        found, artifacts = queries.groups(by_size=False)
        named = Counter((size, etag) for _, size, etag in queries.keys(found))
    assert {(one.size, one.etag): one.count for one in found} == expected
    assert {group: named[group] for group in expected} == expected
    assert artifacts == len(
        [
            one
            for one in rows
            if one["is_latest"] and not one["is_delete_marker"] and one["key"].endswith("gz")
        ]
    )
    assert len(found) > ATHENA_PAGE, "more than a page"
    assert len(inventories.query_portions(table, found)) > 1, "more than a query"


def test_the_page_has_the_statement_that_makes_the_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "detectors" / "duplicate-artifacts.md").read_text()
    location = "s3://acme-inventories/acme-models/all/"
    assert inventory_files.create("s3.acme_models", COLUMNS[:-1], location, "2026-11-01-01-00") in page


def test_an_inventory_is_asked_in_the_region_of_its_bucket_alone(aws: Aws) -> None:
    asking, places = (
        inventories.InventorySettings(inventories=inventories.inventories_in({BUCKET: SETTING})),
        {BUCKET: "eu-west-1"},
    )

    known = inventories.read_inventories(
        aws, asking, places, ArtifactNames(), NOW, readable=(), sizes=None, elsewhere=frozenset()
    )

    assert (known.sources, known.errors) == ([], [])
    assert known.notices == [f"{BUCKET} is in eu-west-1, and its inventory is asked there, not here"]


def test_a_query_asks_for_large_enough_artifacts_and_quotes_what_it_names() -> None:
    asked = inventories.groups_sql(delivery("it's"), ArtifactNames(min_size=128), by_size=False)

    assert "WHEN size < 128 OR NOT " in asked
    assert "bucket <> 'it''s'" in asked


@pytest.mark.parametrize(("most", "taken", "left"), [(5, 2, 0), (4, 1, 2), (2, 1, 3), (1, 0, 5)])
def test_of_too_many_artifacts_the_largest_groups_are_taken_whole(most: int, taken: int, left: int) -> None:
    wanted = [inventories.SizeGroup(9, "a", 3), inventories.SizeGroup(8, "b", 2)]

    assert inventories.limit_groups(wanted, most) == ([wanted[1]] if most == 2 else wanted[:taken], left)
