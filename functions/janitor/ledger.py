"""The ledger: what the janitor remembers between runs, in one DynamoDB table. The only DynamoDB code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from janitor.model import Result, Sweep
from janitor.money import Totals

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

    from janitor.aws import Aws

KEEP_CLOSED = timedelta(days=90)
"""How long a closed finding stays readable before DynamoDB removes it."""

CONDITION_FAILED = "ConditionalCheckFailedException"


class LeaseTakenError(Exception):
    """Another run sweeps the same detector, account and region right now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is remembered of one finding; *announced* is when Slack took the message that named it."""

    key: str
    first_seen: datetime
    last_seen: datetime
    announced: datetime | None = None
    closed: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The findings of one sweep as the ledger knows them: not announced yet, and all with their dates."""

    new: tuple[Result, ...]
    entries: Mapping[str, Entry]


@dataclass(frozen=True, slots=True, kw_only=True)
class LastSweep:
    """The latest sweep of a detector, account and region, in numbers."""

    detector: str
    account: str
    region: str
    time: datetime
    looked_at: int
    found: int
    kept: int
    unknown: int
    new: int
    monthly_usd: Decimal
    accrued_usd: Decimal
    unpriced: int
    error: str | None


class Ledger:
    """
    Findings by ARN + creation time, the last sweep of each kind, and leases.

    Keys can be read by a person: "finding#idle-endpoints#123456789012#us-east-1" and
    "arn:...@2026-09-01T00:00:00+00:00". Every write says what it expects to find, so that two runs
    at once and a retried run leave what one run would have left.
    """

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table
        self._write = TypeSerializer()
        self._read = TypeDeserializer()

    # --- findings -----------------------------------------------------------------------------

    def record(self, aws: Aws, sweep: Sweep, now: datetime) -> Recorded:
        """
        Remember every finding of *sweep*; after a complete one, close what is no longer found.

        A finding is new until it was announced: a message that failed is tried again next time.
        """
        before = {entry.key: entry for entry in self.entries(sweep)}
        entries = dict(aws.map(lambda result: self._see(sweep, result, now), sweep.findings))
        if sweep.error is None:
            gone = [key for key, entry in before.items() if key not in entries and entry.closed is None]
            aws.map(lambda key: self._close(sweep, key, now), gone)
        new = tuple(result for result in sweep.findings if entries[result.target.key].announced is None)
        self._remember(sweep, now, len(new))
        return Recorded(new=new, entries=entries)

    def entries(self, sweep: Sweep) -> Iterator[Entry]:
        """Everything that is remembered for *sweep*'s detector, account and region."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": partition("finding", sweep)}},
            ConsistentRead=True,
        )
        for page in pages:
            for item in page["Items"]:
                yield self._entry(item)

    def announced(self, aws: Aws, sweep: Sweep, results: Sequence[Result], now: datetime) -> None:
        """Remember that Slack took a message with *results*."""

        def mark(result: Result) -> None:
            self._update(
                {"pk": partition("finding", sweep), "sk": result.target.key},
                "SET announced = if_not_exists(announced, :now)",
                {":now": stamp(now)},
            )

        aws.map(mark, results)

    def _see(self, sweep: Sweep, result: Result, now: datetime) -> tuple[str, Entry]:
        item = self._update(
            {"pk": partition("finding", sweep), "sk": result.target.key},
            "SET first_seen = if_not_exists(first_seen, :now), last_seen = :now, #name = :name, "
            "reason = :reason, #owner = :owner, monthly_usd = :monthly, accrued_usd = :accrued "
            "REMOVE closed, expires",
            {
                ":now": stamp(now),
                ":name": result.target.name,
                ":reason": result.verdict.reason,
                ":owner": result.owner,
                ":monthly": result.monthly_usd,
                ":accrued": result.accrued_usd,
            },
            names={"#name": "name", "#owner": "owner"},
        )
        return result.target.key, self._entry(item)

    def _close(self, sweep: Sweep, key: str, now: datetime) -> None:
        """It is no longer found: if it comes back, it is announced again."""
        self._update(
            {"pk": partition("finding", sweep), "sk": key},
            "SET closed = :now, close_reason = :why, expires = :expires REMOVE announced",
            {":now": stamp(now), ":why": "no longer found", ":expires": int((now + KEEP_CLOSED).timestamp())},
        )

    # --- sweeps -------------------------------------------------------------------------------

    def _remember(self, sweep: Sweep, now: datetime, new: int) -> None:
        totals = Totals.of(sweep.results)
        item = {
            "pk": partition("sweep", sweep),
            "sk": "latest",
            "detector": sweep.detector,
            "account": sweep.account,
            "region": sweep.region,
            "time": stamp(now),
            "looked_at": sweep.looked_at,
            "found": sweep.found,
            "kept": sweep.kept,
            "unknown": sweep.unknown,
            "new": new,
            "monthly_usd": totals.monthly_usd,
            "accrued_usd": totals.accrued_usd,
            "unpriced": totals.unpriced,
            "error": sweep.error,
        }
        self._client.put_item(TableName=self._table, Item=self._item(item))

    def last_sweep(self, detector: str, account: str, region: str) -> LastSweep | None:
        """The latest sweep, or None if there never was one."""
        answer = self._client.get_item(
            TableName=self._table,
            Key=self._item({"pk": f"sweep#{detector}#{account}#{region}", "sk": "latest"}),
            ConsistentRead=True,
        )
        if "Item" not in answer:
            return None
        item = self._plain(answer["Item"])
        return LastSweep(
            detector=detector,
            account=account,
            region=region,
            time=datetime.fromisoformat(item["time"]),
            looked_at=int(item["looked_at"]),
            found=int(item["found"]),
            kept=int(item["kept"]),
            unknown=int(item["unknown"]),
            new=int(item["new"]),
            monthly_usd=item["monthly_usd"],
            accrued_usd=item["accrued_usd"],
            unpriced=int(item["unpriced"]),
            error=item["error"],
        )

    # --- leases -------------------------------------------------------------------------------

    def lease(
        self, detector: str, account: str, region: str, *, holder: str, now: datetime, until: datetime
    ) -> None:
        """
        Take the right to sweep, until *until* or `release`; *now* is the edge's clock, not the event's.

        The same *holder* (the invocation's id, which Lambda keeps over its retries) takes it again.
        Raises LeaseTakenError.
        """
        item = {
            "pk": f"lease#{detector}#{account}#{region}",
            "sk": "lease",
            "holder": holder,
            "until": stamp(until),
            "expires": int((until + timedelta(days=1)).timestamp()),
        }
        try:
            self._client.put_item(
                TableName=self._table,
                Item=self._item(item),
                ConditionExpression="attribute_not_exists(pk) OR holder = :me OR #until <= :now",
                ExpressionAttributeNames={"#until": "until"},
                ExpressionAttributeValues=self._item({":me": holder, ":now": stamp(now)}),
            )
        except ClientError as error:
            if code(error) == CONDITION_FAILED:
                raise LeaseTakenError(
                    f"{detector} is being swept in {account}, {region} by another run"
                ) from error
            raise

    def release(self, detector: str, account: str, region: str, *, holder: str) -> None:
        """Give the lease back, unless it is somebody else's by now."""
        try:
            self._client.delete_item(
                TableName=self._table,
                Key=self._item({"pk": f"lease#{detector}#{account}#{region}", "sk": "lease"}),
                ConditionExpression="holder = :me",
                ExpressionAttributeValues=self._item({":me": holder}),
            )
        except ClientError as error:
            if code(error) != CONDITION_FAILED:
                raise

    # --- DynamoDB's own forms -----------------------------------------------------------------

    def _update(
        self,
        key: Mapping[str, str],
        expression: str,
        values: Mapping[str, Any],
        names: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        more: Any = {"ExpressionAttributeNames": dict(names)} if names else {}
        answer = self._client.update_item(
            TableName=self._table,
            Key=self._item(key),
            UpdateExpression=expression,
            ExpressionAttributeValues=self._item(values),
            ReturnValues="ALL_NEW",
            **more,
        )
        return dict(answer["Attributes"])

    def _item(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._write.serialize(value) for name, value in values.items()}

    def _plain(self, item: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._read.deserialize(value) for name, value in item.items()}

    def _entry(self, item: Mapping[str, Any]) -> Entry:
        found = self._plain(item)
        return Entry(
            key=found["sk"],
            first_seen=datetime.fromisoformat(found["first_seen"]),
            last_seen=datetime.fromisoformat(found["last_seen"]),
            announced=optional(found.get("announced")),
            closed=optional(found.get("closed")),
        )


def partition(kind: str, sweep: Sweep) -> str:
    """The partition key of one *kind* of item of a sweep."""
    return f"{kind}#{sweep.detector}#{sweep.account}#{sweep.region}"


def stamp(at: datetime) -> str:
    """A time as it stands in the table: UTC, and in an order that text has too."""
    return at.astimezone(UTC).isoformat(timespec="seconds")


def optional(text: str | None) -> datetime | None:
    """A time that may not be there."""
    return None if text is None else datetime.fromisoformat(text)


def code(error: ClientError) -> str:
    """The error code of a refused call."""
    return str(error.response.get("Error", {}).get("Code", ""))
