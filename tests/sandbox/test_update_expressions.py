"""DynamoDB's update expressions mean what they mean to moto, and are refused where moto refuses them."""

from __future__ import annotations

import copy
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.dynamodb.parsing import expressions

PARSER: Any = vars(expressions)["UpdateExpressionParser"]
TABLE: Any = {
    "TableName": "things",
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}
KEY: Any = {"pk": {"S": "one"}}
GIVEN: Any = {":text": {"S": "x"}, ":one": {"N": "1"}, ":list": {"L": [{"S": "y"}]}}


@pytest.fixture
def update(session: boto3.Session) -> Any:
    client = session.client("dynamodb")
    client.create_table(**TABLE)

    def updated(expression: str, **names: str) -> Any:
        values = {name: value for name, value in GIVEN.items() if name in expression}
        asked: Any = {
            "ExpressionAttributeNames": {f"#{key}": name for key, name in names.items()},
            "ExpressionAttributeValues": values,
        }
        given: Any = {key: value for key, value in asked.items() if value}
        done = client.update_item(
            TableName="things", Key=KEY, UpdateExpression=expression, ReturnValues="ALL_NEW", **given
        )
        return done["Attributes"]

    return updated


def test_clauses_of_every_kind_work_together(update: Any) -> None:
    update("SET a = :text, #l = :list, m = :one, n = :one", l="list")

    assert update(
        "SET b = if_not_exists(b, :text), #l = list_append(#l, :list), m = m + :one ADD n :one REMOVE a, z",
        l="list",
    ) == {**KEY, "b": {"S": "x"}, "list": {"L": [{"S": "y"}, {"S": "y"}]}, "m": {"N": "2"}, "n": {"N": "2"}}
    assert update("REMOVE #l[0], m", l="list")["list"] == {"L": [{"S": "y"}]}


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("SET a = :text SET b = :text", "SET"),
        ("SET a = :text, a = :one", "overlap"),
        ("SET pk = :text", "part of the key"),
        ("SET a = b", "attribute that does not exist"),
        ("SET a.b = :text", "document path"),
        ("SET a = list_append(:text, :list)", "Incorrect operand type"),
        ("SET name = :text", "reserved keyword"),
    ],
)
def test_what_cannot_be_is_refused(update: Any, expression: str, why: str) -> None:
    with pytest.raises(ClientError, match=why) as refused:
        update(expression)
    assert refused.value.response["Error"]["Code"] == "ValidationException"


def test_a_copy_is_another_tree_with_the_same_leaves() -> None:
    tree = PARSER.make("SET a.b[1] = if_not_exists(#c, :d) + :e REMOVE f ADD g :h")
    before = dump(tree)

    twin = copy.deepcopy(tree)

    assert dump(twin) == before
    twin.children[0].children.clear()
    assert dump(tree) == before


def dump(node: Any, parent: Any = None) -> Any:
    """Types and leaves of a tree in which each node knows its own parent."""
    if not hasattr(node, "children"):
        return node
    assert parent is None or node.parent is parent
    return type(node), [dump(one, node) for one in node.children or ()]
