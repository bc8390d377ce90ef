"""Copies in a bucket that is read from its inventory: what Athena and S3 of the sandbox say of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import boto3
import pytest

from conftest import NOW
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Finding
from ml_janitor.core.results import Sweep
from ml_janitor.detectors.duplicate_artifacts.inventory_sql import Format, create
from ml_janitor.detectors.duplicate_artifacts.rule import DuplicateArtifacts
from ml_janitor.engine.policy import Policy
from ml_janitor.engine.run import sweep
from ml_janitor_sandbox import inventory_files
from ml_janitor_sandbox.control import Control

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MIB = 1024**2
BUCKET = "models"
LOCATION = "s3://inventories/models/all/"
SETTING = {"table": "s3.models", "location": LOCATION, "output": "s3://answers/janitor/"}
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
        self.box.set_clock(NOW - age * DAY)
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=(content.encode() * size)[:size], **given)
        self.box.set_clock(NOW)

    def table(self, kind: Format = Format.PARQUET, columns: tuple[str, ...] = COLUMNS) -> None:
        """Make it by the statement that the page shows."""
        self.athena.start_query_execution(
            QueryString=create("s3.models", columns, kind, LOCATION, "2026-01-01-00-00"),
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
    return sweep(DuplicateArtifacts(**given), aws, now=NOW, policy=Policy())


def words(done: Sweep) -> dict[str, str]:
    return {
        result.target.name.partition("/")[2]: str(result.verdict.confidence)
        if isinstance(result.verdict, Finding)
        else "unknown"
        if result.verdict.unknown
        else "kept"
        for result in done.results
    }


def row(key: str, size: int, etag: str, **given: Any) -> dict[str, Any]:
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


@pytest.mark.parametrize("kind", [Format.PARQUET, Format.CSV])
def test_copies_are_found_in_an_inventory_and_proven_in_the_bucket(
    account: Account, aws: Aws, box: Control, kind: Format
) -> None:
    account.put("a/the model+1.tar.gz", age=50)
    account.put("b/model.tar.gz")
    account.put("c/model.tar.gz", "other")
    account.put("d/model.tar.gz", "replaced")  # by other bytes: its old version has the ETag of the first two
    account.put("d/model.tar.gz")
    account.put("d/model.tar.gz", "replaced")
    account.put("e/model.tar.gz")
    account.s3.delete_object(Bucket=BUCKET, Key="e/model.tar.gz")
    account.table(kind)
    account.deliver(kind=kind)
    box.clear_calls()

    done = swept(aws)

    assert done.error is None
    assert words(done) == {"a/the model+1.tar.gz": "kept", "b/model.tar.gz": "proven"}
    assert box.calls()["athena:StartQueryExecution"] == 2
    assert [
        one for one in done.notices if "2 queries of Athena: $0.0001 at most" in one and "5 hours old" in one
    ]
