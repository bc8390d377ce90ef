"""The one DynamoDB table: plain values in, plain values out. The only code that speaks DynamoDB."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

KEY = ("pk", "sk")
LONGEST, READABLE = 1000, 900
"""Bytes of a sort key that stay as they are, and those that are left of a longer one."""

NOTHING: Mapping[str, Any] = {}
EXPIRES = "expires"
"""The attribute after whose time, in seconds since 1970, DynamoDB removes an item."""


WRITTEN = "written"
"""Names the last signed write of an item, so that whoever wrote it knows it again."""


class ConditionFailedError(Exception):
    """A write was refused because the item is not as the write expects it."""


class _OwnWriteError(Exception):
    """A write was refused because it had been made before: *item* is what it left."""

    def __init__(self, item: Mapping[str, Any]) -> None:
        super().__init__()
        self.item = item


TELL: Mapping[str, Any] = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
"""A signed write that is refused answers with the item as it is: its mark says whose it is."""


class Table:
    """The table *name*, whose items have the key "pk", "sk"."""

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        self.client = client
        self.name = name
        self._write = TypeSerializer()
        self._read = TypeDeserializer()

    def get(self, pk: str, sk: str) -> dict[str, Any] | None:
        """One item as it stands now, or None."""
        answer = self.client.get_item(TableName=self.name, Key=self._dynamo(key(pk, sk)), ConsistentRead=True)
        return self._plain(answer["Item"]) if "Item" in answer else None

    def query(self, pk: str) -> Iterator[dict[str, Any]]:
        """Every item of one partition as it stands now, all pages."""
        pages = self.client.get_paginator("query").paginate(
            TableName=self.name,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues=self._dynamo({":pk": pk}),
            ConsistentRead=True,
        )
        for page in pages:
            yield from map(self._plain, page["Items"])

    def scan(self, start: str) -> Iterator[dict[str, Any]]:
        """
        Every item whose partition's key begins with *start*, by reading the whole table.

        For a person's command, who does not know which partitions there are: no function may do it.
        """
        pages = self.client.get_paginator("scan").paginate(
            TableName=self.name,
            FilterExpression="begins_with(pk, :start)",
            ExpressionAttributeValues=self._dynamo({":start": start}),
            ConsistentRead=True,
        )
        for page in pages:
            yield from map(self._plain, page["Items"])

    def put(
        self,
        pk: str,
        sk: str,
        attributes: Mapping[str, Any],
        *,
        only_if: str = "",
        signed: bool = False,
        **values: Any,
    ) -> None:
        """Write a whole item, where condition *only_if* holds. Raises ConditionFailedError; see `change`."""
        mark = _mark() if signed else {}
        item = self._dynamo({**key(pk, sk), **attributes, **mark})
        optional = self._condition(only_if, values) | (TELL if mark else {})
        with suppress(_OwnWriteError):
            self._guarded(lambda: self.client.put_item(TableName=self.name, Item=item, **optional), mark)

    def change(
        self,
        pk: str,
        sk: str,
        *,
        set_to: Mapping[str, Any] = NOTHING,
        at_first: Mapping[str, Any] = NOTHING,
        add: Mapping[str, set[str]] = NOTHING,
        remove: Sequence[str] = (),
        only_if: str = "",
        signed: bool = False,
        **values: Any,
    ) -> dict[str, Any]:
        """
        Set some attributes of an item, which need not exist, and answer all of them.

        *set_to* replaces, *at_first* only fills what is not there yet, *add* puts members into sets,
        *remove* names what goes. Raises ConditionFailedError where condition *only_if* does not hold; not
        where that is because of this very write, whose first answer was lost, if it is *signed*.
        """
        mark = _mark() if signed else {}
        set_to = {**set_to, **mark}
        sets = [f"#{name} = :{name}" for name in set_to]
        sets += [f"#{name} = if_not_exists(#{name}, :{name})" for name in at_first]
        adds = [f"#{name} :{name}" for name in add]
        named = {**set_to, **at_first, **add}
        clauses = {"SET": sets, "ADD": adds, "REMOVE": [f"#{name}" for name in remove]}
        update = " ".join(f"{verb} {', '.join(said)}" for verb, said in clauses.items() if said)
        given = self._dynamo({f":{name}": value for name, value in {**named, **values}.items()})
        optional: Any = {"ConditionExpression": only_if} if only_if else {}
        optional |= TELL if mark else {}
        optional |= {"ExpressionAttributeValues": given} if given else {}
        try:
            answer = self._guarded(
                lambda: self.client.update_item(
                    TableName=self.name,
                    Key=self._dynamo(key(pk, sk)),
                    UpdateExpression=update,
                    ExpressionAttributeNames={
                        f"#{name}": name for name in [*named, *remove, *aliased(only_if)]
                    },
                    ReturnValues="ALL_NEW",
                    **optional,
                ),
                mark,
            )
        except _OwnWriteError as own:
            return self._plain(own.item)
        return self._plain(answer["Attributes"])

    def delete(self, pk: str, sk: str, *, only_if: str = "", **values: Any) -> None:
        """Remove an item where condition *only_if* holds. Raises ConditionFailedError."""
        dynamo_key = self._dynamo(key(pk, sk))
        with_condition = self._condition(only_if, values)
        self._guarded(lambda: self.client.delete_item(TableName=self.name, Key=dynamo_key, **with_condition))

    def _condition(self, only_if: str, values: Mapping[str, Any]) -> Any:
        """The members of a request that make it conditional; "#name" in *only_if* is an attribute."""
        if not only_if:
            return {}
        used = {f"#{name}": name for name in aliased(only_if)}
        given = self._dynamo({f":{name}": value for name, value in values.items()})
        return {
            "ConditionExpression": only_if,
            **({"ExpressionAttributeValues": given} if given else {}),
            **({"ExpressionAttributeNames": used} if used else {}),
        }

    def _guarded[A](self, write: Callable[[], A], mark: Mapping[str, str] = NOTHING) -> A:
        """
        What *write* answers. Raises ConditionFailedError, and _OwnWriteError where the item has its *mark*.

        botocore tries again where an answer was lost: the second try then finds what the first one wrote.
        """
        try:
            return write()
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "ConditionalCheckFailedException":
                raise
            item: Mapping[str, Any] = error.response.get("Item", {})  # type: ignore[assignment]
            if mark and self._plain({WRITTEN: item.get(WRITTEN, {"NULL": True})}) == mark:
                raise _OwnWriteError(item) from error
            raise ConditionFailedError from error

    def _dynamo(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._write.serialize(value) for name, value in values.items()}

    def _plain(self, item: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._read.deserialize(value) for name, value in item.items()}


def _mark() -> dict[str, str]:
    """What a signed write is known by."""
    return {WRITTEN: uuid4().hex}


def aliased(expression: str) -> list[str]:
    """The attributes that *expression* names as "#name": any word may be reserved one day."""
    return re.findall(r"#(\w+)", expression)


def key(pk: str, sk: str) -> dict[str, str]:
    """The key of one item. A sort key has at most 1,024 bytes; an S3 object's name alone may have them."""
    long = sk.encode()
    if len(long) > LONGEST:
        sk = f"{long[:READABLE].decode(errors='ignore')}...{sha256(long).hexdigest()}"
    return dict(zip(KEY, (pk, sk), strict=True))


def partition(kind: str, detector: str, account: str | None, region: str) -> str:
    """The partition key of one *kind* of item of one sweep; a person can read it."""
    return f"{kind}#{detector}#{account}#{region}"


def stamp(at: datetime) -> str:
    """A time as it stands in the table: UTC, to the second, and in an order that text has too."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str | None) -> datetime | None:
    """The time that `stamp` wrote, if there is one."""
    return None if text is None else datetime.fromisoformat(text)
