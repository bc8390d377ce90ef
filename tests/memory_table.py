"""The ledger's table and the report bucket in memory, for tests that are not about DynamoDB and S3."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from decimal import Decimal
from operator import contains, eq, ge, gt, le, lt, ne
from threading import Lock
from typing import Any, cast

from boto3.dynamodb.conditions import AttributeBase, ConditionBase, Size
from botocore.exceptions import ClientError

from ml_janitor.ledger.table import NO_ATTRIBUTES, ConditionFailedError, Table, _mark, item_key

LOGIC: Mapping[str, Callable[[Iterator[bool]], bool]] = {
    "AND": all,
    "OR": any,
    "NOT": lambda each: not next(each),
}
PRESENT: Mapping[str, Callable[..., bool]] = {
    "=": eq,
    "<>": ne,
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
    "contains": contains,
    "begins_with": str.startswith,
    "attribute_exists": lambda _: True,
    "attribute_not_exists": lambda _: False,
}
ORDERED = frozenset({"<", "<=", ">", ">="})
"""Values of two types have no order, so neither comes first."""

MISSING = object()


class MemoryTable(Table):
    """
    `Table` without DynamoDB: the same items, and the same writes are refused.

    It cannot lose an answer, has no pages and no limits of size, and scans in the order of the keys.
    """

    def __init__(self) -> None:
        super().__init__(cast("Any", None), "memory")
        self._items: dict[tuple[str, str], dict[str, Any]] = {}
        self._lock = Lock()

    def get(self, pk: str, sk: str) -> dict[str, Any] | None:
        return deepcopy(self._items.get(self._where(pk, sk)))

    def get_many(
        self,
        keys: Sequence[tuple[str, str]],
        *,
        sleep: Callable[[float], None],  # noqa: ARG002 - DynamoDB's
    ) -> dict[tuple[str, str], dict[str, Any]]:
        found = {self._where(*each): self.get(*each) for each in keys}
        return {where: item for where, item in found.items() if item is not None}

    def query(self, pk: str) -> Iterator[dict[str, Any]]:
        return (item for item in self.scan(pk) if item["pk"] == pk)

    def scan(self, start: str = "") -> Iterator[dict[str, Any]]:
        return iter(
            [deepcopy(item) for where, item in sorted(self._items.items()) if where[0].startswith(start)]
        )

    def put(
        self,
        pk: str,
        sk: str,
        attributes: Mapping[str, Any],
        *,
        only_if: ConditionBase | None = None,
        signed: bool = False,
    ) -> None:
        with self._lock:
            self._check(pk, sk, only_if, signed=signed)
            self._items[self._where(pk, sk)] = self._kept(
                {**item_key(pk, sk), **attributes, **(_mark() if signed else {})}
            )

    def put_all(
        self, items: Sequence[tuple[str, str, Mapping[str, Any]]], *, only_if: ConditionBase | None = None
    ) -> None:
        for item in items:
            with suppress(ConditionFailedError):
                self.put(*item, only_if=only_if)

    def change_all(self, changes: Sequence[Mapping[str, Any]]) -> None:
        for each in changes:
            how = {name: value for name, value in each.items() if name not in {"pk", "sk"}}
            self.change(each["pk"], each["sk"], **how)

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
        named = [*set_to, *at_first, *add, *remove]
        assert len(named) == len(set(named)), f"one expression names an attribute twice: {named}"
        with self._lock:
            before = self._check(pk, sk, only_if, signed=signed)
            sets = {name: before.get(name, set()) | members for name, members in add.items()}
            wanted = {**item_key(pk, sk), **set_to, **(_mark() if signed else {}), **sets}
            after = self._kept(dict(at_first)) | before | self._kept(wanted)
            self._items[self._where(pk, sk)] = {name: after[name] for name in after if name not in remove}
            return deepcopy(self._items[self._where(pk, sk)])

    def delete(self, pk: str, sk: str, *, only_if: ConditionBase | None = None) -> None:
        with self._lock:
            self._check(pk, sk, only_if, signed=False)
            self._items.pop(self._where(pk, sk), None)

    def _check(self, pk: str, sk: str, only_if: ConditionBase | None, *, signed: bool) -> dict[str, Any]:
        """The item as it is. Raises ConditionFailedError."""
        item = self._items.get(self._where(pk, sk), {})
        if only_if is not None and not self._holds(only_if, item):
            raise ConditionFailedError(deepcopy(item) if signed else NO_ATTRIBUTES)
        return item

    def _holds(self, condition: ConditionBase, item: Mapping[str, Any]) -> bool:
        about: Any = condition.get_expression()
        operator, of = about["operator"], about["values"]
        if operator in LOGIC:
            return LOGIC[operator](self._holds(each, item) for each in of)
        values = [self._value(each, item) for each in of]
        if values[0] is MISSING:
            return operator in {"attribute_not_exists", "<>"}
        if operator in ORDERED and type(values[0]) is not type(values[1]):
            return False
        return PRESENT[operator](*values)

    def _value(self, given: Any, item: Mapping[str, Any]) -> Any:
        if isinstance(given, Size):
            value = self._value(given.get_expression()["values"][0], item)
            return value if value is MISSING else Decimal(len(value))
        if isinstance(given, AttributeBase):
            return item.get(given.name, MISSING)
        return self._kept({"value": given})["value"]

    def _kept(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """*attributes* as DynamoDB gives them back."""
        return self._plain(self._dynamo(attributes))

    def _where(self, pk: str, sk: str) -> tuple[str, str]:
        return cast("tuple[str, str]", tuple(item_key(pk, sk).values()))


class MemoryBucket:
    """S3, of which the bucket `reports` is in memory; *broken* is raised by reading."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.broken: Exception | None = None

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, ContentType: str = "") -> None:  # noqa: N803
        assert (Bucket, ContentType in {"", "application/json", "application/gzip"}) == ("reports", True)
        self.objects[Key] = Body

    def get_object(self, *, Bucket: str, Key: str, Range: str = "bytes=0-") -> dict[str, Any]:  # noqa: N803
        assert Bucket == "reports"
        if self.broken is not None:
            raise self.broken
        if Key not in self.objects:
            raise ClientError({"Error": {"Code": "NoSuchKey", "Message": "no"}}, "GetObject")
        first, _, last = Range.removeprefix("bytes=").partition("-")
        return {"Body": io.BytesIO(self.objects[Key][int(first) : int(last) + 1 if last else None])}
