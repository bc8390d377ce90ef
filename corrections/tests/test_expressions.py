"""Update expressions are read as moto reads them, and what is kept of one stays as it is."""

from copy import deepcopy
from importlib import import_module
from typing import Any

import pytest
from botocore.exceptions import ClientError

from corrected import Clients
from moto_corrections import expressions as corrected

pytestmark = pytest.mark.usefixtures("control")  # it installs the corrections

ast_nodes: Any = import_module("moto.dynamodb.parsing.ast_nodes")
parser: Any = import_module("moto.dynamodb.parsing.expressions").UpdateExpressionParser
EXPRESSION = (
    "SET #a = if_not_exists(#a, :zero) + :one, held.parts[1] = :part REMOVE old, held.parts[0] ADD n :one"
)


def outline(node: Any) -> Any:
    """A tree as nested tuples, once it is seen that each node knows its parent."""
    if not isinstance(node, ast_nodes.Node):
        return node
    children = node.children or []
    assert all(child.parent is node for child in children if isinstance(child, ast_nodes.Node))
    return type(node).__name__, tuple(outline(child) for child in children)


def test_a_copy_shares_no_node_with_the_tree_that_is_kept() -> None:
    tree: Any = parser.make(EXPRESSION)
    before = outline(tree)
    copy = deepcopy(tree)

    assert parser.make(EXPRESSION) is tree
    assert outline(copy) == before
    copy.normalize()
    copy.children[0].children.clear()
    assert outline(tree) == before


class Upper(ast_nodes.DepthFirstTraverser):  # type: ignore[misc]
    """Writes names in capitals, and notes which nodes it was shown."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, int]] = []

    def _processing_map(self) -> Any:
        return {ast_nodes.ExpressionAttribute: self.write}

    def write(self, node: Any) -> Any:
        return ast_nodes.ExpressionAttribute(node.get_attribute_name().upper())

    def pre_processing_of_child(self, parent_node: Any, child_id: int) -> None:
        self.shown.append((parent_node.type, child_id))


def moto_s_walk(self: Any, node: Any, child_id: int = -1) -> Any:
    """As moto 5.2.5 walks."""
    if isinstance(node, ast_nodes.Node):
        parent_node = node.parent
        if node.children is not None:
            for number, child in enumerate(node.children):
                self.pre_processing_of_child(node, number)
                moto_s_walk(self, child, number)
        if isinstance(node, self.nodes_to_be_processed()):
            node = self.process(node)
            node.parent = parent_node
            if parent_node:
                parent_node.children[child_id] = node
    return node


def test_a_tree_is_walked_as_moto_walks() -> None:
    ours, theirs = Upper(), Upper()
    tree = parser.make(EXPRESSION)

    walked = ours.traverse(deepcopy(tree))

    assert ast_nodes.DepthFirstTraverser.traverse_node_recursively is corrected.walk
    assert outline(walked) == outline(moto_s_walk(theirs, deepcopy(tree)))
    assert ours.shown == theirs.shown != []
    assert "OLD" in str(outline(walked))


def test_an_expression_is_evaluated_anew_each_time(aws: Clients) -> None:
    table: Any = aws("dynamodb")
    key = [{"AttributeName": "pk", "AttributeType": "S"}]
    schema = [{"AttributeName": "pk", "KeyType": "HASH"}]
    table.create_table(
        TableName="t", KeySchema=schema, AttributeDefinitions=key, BillingMode="PAY_PER_REQUEST"
    )

    def count(name: str, step: int) -> str:
        values = {":zero": {"N": "0"}, ":step": {"N": str(step)}}
        answer = table.update_item(
            TableName="t",
            Key={"pk": {"S": name}},
            UpdateExpression="SET n = if_not_exists(n, :zero) + :step",
            ExpressionAttributeValues=values,
            ReturnValues="ALL_NEW",
        )
        return str(answer["Attributes"]["n"]["N"])

    assert [count("a", 1), count("a", 2), count("b", 5), count("a", -4)] == ["1", "3", "5", "-1"]
    for _ in range(2):
        with pytest.raises(ClientError, match="Syntax error; token"):
            table.update_item(TableName="t", Key={"pk": {"S": "a"}}, UpdateExpression="SET = n")
