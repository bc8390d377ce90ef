"""Keeps bills in the report bucket: each night continues the bill of the night before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import TypeAdapter, ValidationError

from ml_janitor.aws.answers import read_signal
from ml_janitor.bill.asking import BillRequest
from ml_janitor.bill.model import Bill
from ml_janitor.bill.report import BillReport

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

    from ml_janitor.core.signals import Signal

BILL_FOLDER = "bill"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedBill:
    """
    A report with the *tags* and *services* that it was read for, and *where*, the filter of its accounts.

    A reading with others cannot continue it.
    """

    report: BillReport
    tags: Mapping[str, str] = field(default_factory=dict)
    services: tuple[str, ...] = ()
    where: tuple[Mapping[str, Any], ...] = ()


ARCHIVED_BILL = TypeAdapter(ArchivedBill)


class BillArchive:
    """The bills in *bucket*, through *client*."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client: Any = client
        self._bucket = bucket

    def keep(self, report: BillReport, wanted: BillRequest) -> str:
        """Store *report* under its time, in place of the same run's earlier one; return its key."""
        key = f"{_stem(report)}.json"
        document = ArchivedBill(
            report=report, tags=wanted.tags, services=tuple(wanted.services), where=wanted.where
        )
        self._client.put_object(
            Bucket=self._bucket,
            Key=key,
            Body=ARCHIVED_BILL.dump_json(document),
            ContentType="application/json",
        )
        return key

    def keep_picture(self, report: BillReport, png: bytes) -> str:
        """Store the picture of *report* beside it; return its key."""
        key = f"{_stem(report)}.png"
        self._client.put_object(Bucket=self._bucket, Key=key, Body=png, ContentType="image/png")
        return key

    def picture(self, key: str) -> Signal[bytes]:
        """Read the picture under *key*."""
        return read_signal(
            lambda: bytes(self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()),
            source="s3:GetObject",
        )

    def bill(self, key: str, wanted: BillRequest) -> Bill | None:
        """
        Return the bill under *key*, if it was read for what is *wanted* now.

        None also if it is gone or unreadable: the janitor then reads the whole bill again, which costs cents.
        """
        try:
            body = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
            document = ARCHIVED_BILL.validate_json(body)
        except (ClientError, BotoCoreError, ValidationError):
            return None
        read_for = document.tags, document.services, document.where
        same = read_for == (wanted.tags, tuple(wanted.services), wanted.where)
        return document.report.bill if same else None

    def where(self, key: str) -> str:
        """Return the address of *key*."""
        return f"s3://{self._bucket}/{key}"


def _stem(report: BillReport) -> str:
    return f"{BILL_FOLDER}/{report.bill.time:%Y-%m-%dT%H-%M-%SZ}"
