"""The runs over an organization: the accounts of each in the bucket, and the latest runs in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from boto3.dynamodb.conditions import Attr
from pydantic import TypeAdapter, ValidationError

from ml_janitor.aws.answers import ReadError, failure_text
from ml_janitor.ledger.table import IF_ABSENT, ConditionFailedError, Table, format_stamp

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

ORGANIZATION_KEY = "organization"
"""The partition of the table, and the folder of the bucket."""


@dataclass(frozen=True, slots=True)
class RunAccount:
    """
    One account of a run, and its regions to read, whether enabled there or not.

    *name* is the account's name in Organizations, where the run asked for it.
    """

    account: str
    regions: tuple[str, ...]
    name: str = ""


RUN_ACCOUNTS_ADAPTER = TypeAdapter(tuple[RunAccount, ...])


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRun:
    """
    The latest run of a detector over the organization, of the schedule's *time*.

    Its list stands under *key* in the report bucket and has *accounts* accounts. The run is at work until
    *ended*; *unread* counts the pairs of account and region without a result by then. *regions* are all
    regions of its accounts, empty ones too.
    """

    detector: str
    time: datetime
    key: str
    accounts: int
    begun: datetime
    ended: datetime | None = None
    unread: int = 0
    regions: tuple[str, ...] = ()


_RUN_ADAPTER = TypeAdapter(LastRun)


class LatestRuns:
    """The latest run of each detector, in *table*: an earlier run never replaces a later one."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def last(self, detector: str) -> LastRun | None:
        """Return the latest run of *detector*, or None if there never was a run."""
        item = self._table.get(ORGANIZATION_KEY, detector)
        return None if item is None else _RUN_ADAPTER.validate_python({**item, "detector": detector})

    def begun(self, run: LastRun) -> None:
        """Remember that *run* has begun, unless a later run has."""
        item = {key: value for key, value in _RUN_ADAPTER.dump_python(run).items() if value is not None}
        with suppress(ConditionFailedError):
            self._table.put(
                ORGANIZATION_KEY,
                run.detector,
                item,
                only_if=IF_ABSENT | Attr("time").lte(format_stamp(run.time)),
            )

    def ended(self, detector: str, time: datetime, *, at: datetime, unread: int) -> None:
        """Remember that the run of *time* has ended, unless a later run has begun."""
        with suppress(ConditionFailedError):
            self._table.change(
                ORGANIZATION_KEY,
                detector,
                set_to={"ended": at, "unread": unread},
                only_if=Attr("time").eq(format_stamp(time)),
            )


class RunLists:
    """
    The accounts of each run, as JSON in the bucket *bucket*, through *client*.

    A run has two lists: the accounts to read, which Step Functions reads, and all accounts, of which some
    have nothing to read that day. Reading a list raises ReadError: no other run's list takes its place.
    """

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def keep(
        self, detector: str, time: datetime, *, listed: Sequence[RunAccount], accounts: Sequence[RunAccount]
    ) -> str:
        """Put the lists of the run of *time*; return the key of the *listed* accounts to read."""
        for key, items in (
            (_key(detector, time, "accounts.json"), accounts),
            (_key(detector, time), listed),
        ):
            self._client.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=RUN_ACCOUNTS_ADAPTER.dump_json(tuple(items)),
                ContentType="application/json",
            )
        return key

    def listed(self, detector: str, time: datetime) -> tuple[RunAccount, ...]:
        """Return the accounts that the run of *time* reads."""
        return self._read(_key(detector, time))

    def accounts(self, detector: str, time: datetime) -> tuple[RunAccount, ...]:
        """Return all accounts and regions of the run of *time*."""
        return self._read(_key(detector, time, "accounts.json"))

    def _read(self, key: str) -> tuple[RunAccount, ...]:
        try:
            body = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
            return RUN_ACCOUNTS_ADAPTER.validate_json(body)
        except ValidationError as error:
            raise ReadError(f"s3://{self._bucket}/{key} is no list of accounts") from error
        except Exception as error:  # an error that is no failed call is a bug, and raised as it is
            if (words := failure_text(error)) is None:
                raise
            raise ReadError(f"s3://{self._bucket}/{key} could not be read: {words}") from error


def _key(detector: str, time: datetime, ending: str = "json") -> str:
    return f"{ORGANIZATION_KEY}/{detector}/{time:%Y-%m-%dT%H-%M-%SZ}.{ending}"
