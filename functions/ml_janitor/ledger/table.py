"""The one DynamoDB table: plain values in, plain values out. The only code that speaks DynamoDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from itertools import batched
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from boto3.dynamodb.conditions import Attr, ConditionBase, ConditionExpressionBuilder, Key
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from ml_janitor.aws.calls import ReadError

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_LONGEST_SORT_KEY, _READABLE_SORT_KEY = 1000, 900
"""Bytes of a sort key that stay as they are, and those that are left of a longer key."""

NO_ATTRIBUTES: Mapping[str, Any] = {}
ITEMS_PER_BATCH = 100
"""Items that one BatchGetItem, and one TransactWriteItems, takes (DynamoDB's API reference)."""

_CONCURRENT_BATCHES = 8
"""Batches that are read side by side."""

_FIRST_PAUSE, _LONGEST_PAUSE, _BATCH_TRIES = 0.1, 5.0, 12
"""
Seconds before the first retry of the items that DynamoDB left out of a batch, the longest pause, and the
number of tries. The pause doubles each time.
DynamoDB leaves out items for lack of throughput, and advises to wait longer each time (API reference).
"""

EXPIRES_ATTRIBUTE = "expires"
"""The attribute after whose time, in seconds since 1970, DynamoDB removes an item."""

WRITTEN_ATTRIBUTE = "written"
"""The attribute that names the last signed write of an item, so that its writer recognises it."""

IF_ABSENT = Attr("pk").not_exists()
"""The condition that there is no such item."""


class ConditionFailedError(Exception):
    """
    DynamoDB refused a write because the item is not as expected; *item*
    is the item, for a signed write.
    """

    def __init__(self, item: Mapping[str, Any] = NO_ATTRIBUTES) -> None:
        super().__init__()
        self.item = item


_RETURN_ON_REFUSAL: Mapping[str, Any] = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
"""A refused signed write answers with the item as it is: its mark names the writer."""


class Table:
    """
    The table *name*, whose items have the key "pk", "sk".

    Values are text, numbers, sets and times; the table holds a time as `stamp` writes it.
    """

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        self.client = client
        self.name = name
        self._write = TypeSerializer()
        self._read = TypeDeserializer()

    def get(self, pk: str, sk: str) -> dict[str, Any] | None:
        """Return one item as it stands now, or None."""
        answer = self.client.get_item(
            TableName=self.name, Key=self._dynamo(item_key(pk, sk)), ConsistentRead=True
        )
        return self._plain(answer["Item"]) if "Item" in answer else None

    def get_many(
        self, keys: Sequence[tuple[str, str]], *, sleep: Callable[[float], None]
    ) -> dict[tuple[str, str], dict[str, Any]]:
        """
        Return the items with *keys*, all different, as they stand now; missing items are left out.

        *sleep* waits before the retry of items that an answer left out. Raises ReadError.
        """
        batches = [keys[start : start + ITEMS_PER_BATCH] for start in range(0, len(keys), ITEMS_PER_BATCH)]
        with ThreadPoolExecutor(_CONCURRENT_BATCHES, thread_name_prefix="ledger") as pool:
            read = pool.map(lambda batch: self._batch(batch, sleep), batches)
            return {(item["pk"], item["sk"]): item for items in read for item in items}

    def _batch(self, keys: Sequence[tuple[str, str]], sleep: Callable[[float], None]) -> list[dict[str, Any]]:
        asked: Any = {
            self.name: {"Keys": [self._dynamo(item_key(*names)) for names in keys], "ConsistentRead": True}
        }
        found, pause = list[dict[str, Any]](), _FIRST_PAUSE
        for _ in range(_BATCH_TRIES):
            answer = self.client.batch_get_item(RequestItems=asked)
            found += map(self._plain, answer["Responses"].get(self.name, ()))
            if not (asked := answer["UnprocessedKeys"]):
                return found
            sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        raise ReadError(
            f"DynamoDB left items out of {_BATCH_TRIES} answers: its throughput has no room for them"
        )

    def query(self, pk: str) -> Iterator[dict[str, Any]]:
        """Yield every item of one partition as it stands now, from all pages."""
        return self._pages("query", self._condition("KeyConditionExpression", Key("pk").eq(pk)))

    def scan(self, start: str = "") -> Iterator[dict[str, Any]]:
        """
        Yield every item, or those whose partition key begins with *start*, by reading the whole table.

        Only for a person's command, which does not know the partitions: no function may scan.
        """
        wanted = (
            self._condition("FilterExpression", Attr("pk").begins_with(start)) if start else NO_ATTRIBUTES
        )
        return self._pages("scan", wanted)

    def put(
        self,
        pk: str,
        sk: str,
        attributes: Mapping[str, Any],
        *,
        only_if: ConditionBase | None = None,
        signed: bool = False,
    ) -> None:
        """Write a whole item, where condition *only_if* holds. Raises ConditionFailedError; see `change`."""
        mark = _mark() if signed else {}
        item = {**item_key(pk, sk), **attributes, **mark}
        request = {"Item": self._dynamo(item), **self._conditional(only_if, mark)}
        self._guarded(lambda: self.client.put_item(TableName=self.name, **request), mark)

    def put_all(
        self, items: Sequence[tuple[str, str, Mapping[str, Any]]], *, only_if: ConditionBase | None = None
    ) -> None:
        """
        Write whole *items*, each where condition *only_if* holds; the others stay as they are.

        A hundred go in one transaction, which writes all or none. Without it, they are written one by one.
        """
        for some in batched(items, ITEMS_PER_BATCH):
            puts = [
                {"Item": self._dynamo({**item_key(pk, sk), **attributes}), **self._conditional(only_if)}
                for pk, sk, attributes in some
            ]
            if len(some) == 1 or not self._transacted([{"Put": put} for put in puts]):
                for pk, sk, attributes in some:
                    with suppress(ConditionFailedError):
                        self.put(pk, sk, attributes, only_if=only_if)

    def _transacted(self, writes: Sequence[Mapping[str, dict[str, Any]]]) -> bool:
        """Do all *writes*, or none of them; return which."""
        asked: Any = [{kind: {"TableName": self.name, **write[kind]} for kind in write} for write in writes]
        try:
            self.client.transact_write_items(TransactItems=asked)
        except ClientError:  # a condition, a concurrent write, or a size: one by one, the reason shows
            return False
        return True

    def change(
        self,
        pk: str,
        sk: str,
        *,
        set_to: Mapping[str, Any] = NO_ATTRIBUTES,
        at_first: Mapping[str, Any] = NO_ATTRIBUTES,
        add: Mapping[str, set[str]] = NO_ATTRIBUTES,
        remove: Sequence[str] = (),
        only_if: ConditionBase | None = None,
        signed: bool = False,
    ) -> dict[str, Any]:
        """
        Set some attributes of an item, which need not exist, and return all of them.

        *set_to* replaces, *at_first* only fills missing attributes, *add* puts members into sets, *remove*
        names the attributes to delete. Raises ConditionFailedError where condition *only_if* does not hold.
        A *signed* write whose own first answer was lost succeeds.
        """
        mark = _mark() if signed else {}
        set_to = {**set_to, **mark}
        request = self._update(
            pk, sk, set_to=set_to, at_first=at_first, add=add, remove=remove, only_if=only_if
        )
        more = _RETURN_ON_REFUSAL if mark else {}
        item = self._guarded(
            lambda: self.client.update_item(TableName=self.name, ReturnValues="ALL_NEW", **request, **more)[
                "Attributes"
            ],
            mark,
        )
        return self._plain(item)

    def change_all(self, changes: Sequence[Mapping[str, Any]]) -> None:
        """Do all *changes*, which are arguments of `change`: a hundred in a transaction, else one by one."""
        for some in batched(changes, ITEMS_PER_BATCH):
            updates = [{"Update": self._update(**change)} for change in some]
            if len(some) == 1 or not self._transacted(updates):
                for change in some:
                    self.change(**change)

    def _update(
        self,
        pk: str,
        sk: str,
        *,
        set_to: Mapping[str, Any] = NO_ATTRIBUTES,
        at_first: Mapping[str, Any] = NO_ATTRIBUTES,
        add: Mapping[str, set[str]] = NO_ATTRIBUTES,
        remove: Sequence[str] = (),
        only_if: ConditionBase | None = None,
    ) -> dict[str, Any]:
        """Return the members of an update of one item."""
        values = {**set_to, **at_first, **add}
        clauses = {
            "SET": [
                *(f"#{name} = :{name}" for name in set_to),
                *(f"#{name} = if_not_exists(#{name}, :{name})" for name in at_first),
            ],
            "ADD": [f"#{name} :{name}" for name in add],
            "REMOVE": [f"#{name}" for name in remove],
        }
        request = self._conditional(only_if)
        names = request.pop("ExpressionAttributeNames", {})
        given = self._dynamo({f":{name}": value for name, value in values.items()})
        if given := given | request.pop("ExpressionAttributeValues", {}):
            request["ExpressionAttributeValues"] = given
        return {
            "Key": self._dynamo(item_key(pk, sk)),
            "UpdateExpression": " ".join(
                f"{verb} {', '.join(all_)}" for verb, all_ in clauses.items() if all_
            ),
            "ExpressionAttributeNames": {f"#{name}": name for name in [*values, *remove]} | names,
            **request,
        }

    def delete(self, pk: str, sk: str, *, only_if: ConditionBase | None = None) -> None:
        """Remove an item where condition *only_if* holds. Raises ConditionFailedError."""
        request = {"Key": self._dynamo(item_key(pk, sk)), **self._conditional(only_if)}
        self._guarded(lambda: self.client.delete_item(TableName=self.name, **request))

    def _pages(self, operation: Any, condition: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the items on every page of a reading *operation* under *condition*, as they stand now."""
        paginator: Any = self.client.get_paginator(operation)
        for page in paginator.paginate(TableName=self.name, ConsistentRead=True, **condition):
            yield from map(self._plain, page["Items"])

    def _conditional(
        self, only_if: ConditionBase | None, mark: Mapping[str, str] = NO_ATTRIBUTES
    ) -> dict[str, Any]:
        """
        Return the members that make a write conditional, and have it return
        the item if it has a *mark*.
        """
        condition = self._condition("ConditionExpression", only_if) if only_if else {}
        return {**condition, **(_RETURN_ON_REFUSAL if mark else {})}

    def _condition(self, member: str, condition: ConditionBase) -> dict[str, Any]:
        """Return *condition* as *member* of a request, with its names and values."""
        built = ConditionExpressionBuilder().build_expression(condition, member.startswith("Key"))
        values = self._dynamo(built.attribute_value_placeholders)
        return {
            member: built.condition_expression,
            "ExpressionAttributeNames": built.attribute_name_placeholders,
            **({"ExpressionAttributeValues": values} if values else {}),
        }

    def _guarded(self, write: Callable[[], Any], mark: Mapping[str, str] = NO_ATTRIBUTES) -> Any:
        """
        Return the answer of *write*, or the item that is there if it has its *mark*.
        Raises ConditionFailedError.

        botocore tries again where an answer was lost: the second try then finds the item of the first.
        """
        try:
            return write()
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "ConditionalCheckFailedException":
                raise
            there: Any = error.response.get("Item", {})
            item = self._plain(there)
            if mark and item.get(WRITTEN_ATTRIBUTE) == mark[WRITTEN_ATTRIBUTE]:
                return there
            raise ConditionFailedError(item) from error

    def _dynamo(self, values: Mapping[str, Any]) -> dict[str, Any]:
        plain = {
            name: format_stamp(value) if isinstance(value, datetime) else value
            for name, value in values.items()
        }
        return {name: self._write.serialize(value) for name, value in plain.items()}

    def _plain(self, item: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._read.deserialize(value) for name, value in item.items()}


def _mark() -> dict[str, str]:
    """Return a mark by which a signed write is recognised."""
    return {WRITTEN_ATTRIBUTE: uuid4().hex}


def item_key(pk: str, sk: str) -> dict[str, str]:
    """
    Return the key of one item. A sort key has at most 1,024 bytes; the name of
    an S3 object alone may have as many.
    """
    long = sk.encode()
    if len(long) > _LONGEST_SORT_KEY:
        sk = f"{long[:_READABLE_SORT_KEY].decode(errors='ignore')}...{sha256(long).hexdigest()}"
    return {"pk": pk, "sk": sk}


def partition_key(kind: str, detector: str, account: str | None, region: str) -> str:
    """Return the partition key of one *kind* of item of one sweep; a person can read it."""
    return f"{kind}#{detector}#{account}#{region}"


def format_stamp(at: datetime) -> str:
    """Return a time as the table holds it: UTC, to the second, so that text sorts in time order."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
