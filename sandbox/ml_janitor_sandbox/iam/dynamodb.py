"""DynamoDB: a table or its index, and the partition keys that a request is about."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ml_janitor_sandbox.iam.conditions import Values
from ml_janitor_sandbox.iam.needs import Need, Needs
from moto_corrections.patches import Call, backend

ONE_ITEM = {"DeleteItem": "Key", "GetItem": "Key", "PutItem": "Item", "UpdateItem": "Key"}
ON_TABLE = {
    "CreateTable",
    "DeleteTable",
    "DescribeContinuousBackups",
    "DescribeTable",
    "DescribeTimeToLive",
    "UpdateContinuousBackups",
    "UpdateTable",
    "UpdateTimeToLive",
}
ON_ARN = {"DeleteResourcePolicy", "GetResourcePolicy", "PutResourcePolicy"}
TRANSACTED = {
    "ConditionCheck": ("ConditionCheckItem", "Key"),
    "Delete": ("DeleteItem", "Key"),
    "Get": ("GetItem", "Key"),
    "Put": ("PutItem", "Item"),
    "Update": ("UpdateItem", "Key"),
}
LEADING_KEYS = "dynamodb:leadingkeys"

type Item = dict[str, Any]
type Asked = tuple[str, str, list[Item]]
"""An action, a table, and the items or their keys."""


def _transacted(params: dict[str, Any]) -> Iterator[Asked]:
    for part in params["TransactItems"]:
        for kind, request in part.items():
            action, member = TRANSACTED[kind]
            yield action, request["TableName"], [request[member]]


def _written(request: dict[str, Any]) -> Item:
    item: Item = request["PutRequest"]["Item"] if "PutRequest" in request else request["DeleteRequest"]["Key"]
    return item


def _in_bulk(action: str, items: Callable[[Any], list[Item]]) -> Callable[[dict[str, Any]], Iterator[Asked]]:
    return lambda params: ((action, table, items(asked)) for table, asked in params["RequestItems"].items())


SEVERAL: Mapping[str, Callable[[dict[str, Any]], Iterator[Asked]]] = {
    "BatchGetItem": _in_bulk("BatchGetItem", lambda asked: asked["Keys"]),
    "BatchWriteItem": _in_bulk("BatchWriteItem", lambda asked: list(map(_written, asked))),
    "TransactGetItems": _transacted,
    "TransactWriteItems": _transacted,
}


def needs(call: Call) -> Needs:
    """Return needs as in DynamoDB's service authorization reference; transactions need their parts'."""
    params = call.params
    match call.operation:
        case "ListTables":
            return [Need("dynamodb:ListTables")]
        case operation if operation in ONE_ITEM:
            return [_items(call, operation, params["TableName"], [params[ONE_ITEM[operation]]])]
        case "Query" | "Scan":
            return [_reading(call)]
        case operation if operation in SEVERAL:
            return [_items(call, *each) for each in SEVERAL[operation](params)]
        case operation if operation in ON_TABLE:
            return [Need(f"dynamodb:{operation}", _arn(call, params["TableName"]))]
        case operation if operation in ON_ARN:
            return [Need(f"dynamodb:{operation}", params["ResourceArn"])]
        case _:
            raise NotImplementedError


def _items(call: Call, action: str, table: str, items: Iterable[Item]) -> Need:
    key = _partition_key(call, table)
    values = tuple(str(next(iter(item[key].values()))) for item in items if key in item)
    return Need(f"dynamodb:{action}", _arn(call, table), {LEADING_KEYS: values} if values else {})


def _reading(call: Call) -> Need:
    params = call.params
    table, index = params["TableName"], params.get("IndexName")
    resource = _arn(call, table) + (f"/index/{index}" if index else "")
    context = {} if index else _queried(call, table)
    return Need(f"dynamodb:{call.operation}", resource, context)


def _queried(call: Call, table: str) -> dict[str, Values]:
    """Return the partition key of a Query, out of its KeyConditionExpression; a Scan has none."""
    key = _partition_key(call, table)
    names = {name for name, real in call.params.get("ExpressionAttributeNames", {}).items() if real == key}
    equals = re.findall(r"([\w#.-]+)\s*=\s*(:\w+)", call.params.get("KeyConditionExpression", ""))
    value = next((value for name, value in equals if name == key or name in names), None)
    if value is None:
        return {}
    typed: dict[str, Any] = call.params["ExpressionAttributeValues"][value]
    return {LEADING_KEYS: (str(next(iter(typed.values()))),)}


def _partition_key(call: Call, table: str) -> str | None:
    kept = backend("dynamodb", call.account, call.region).tables.get(table.rpartition("/")[2])
    return None if kept is None else str(kept.hash_key_attr)


def _arn(call: Call, table: str) -> str:
    return table if table.startswith("arn:") else call.arn("dynamodb", f"table/{table}")
