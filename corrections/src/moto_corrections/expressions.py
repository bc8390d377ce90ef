"""
DynamoDB's update expressions, read with less work.

For each request moto parses an expression twice, copies its tree and walks through it ten times. A ledger
has few expressions, and asks for each of them thousands of times.
"""

from copy import deepcopy
from functools import cache, lru_cache
from importlib import import_module
from typing import Any

from moto_corrections.patches import PATCHES, Patch, replaces

NODES = "moto.dynamodb.parsing.ast_nodes"


@replaces("moto.dynamodb.parsing.expressions:UpdateExpressionParser.make", was="2c00ed96d6e1")
@lru_cache(256)
def parse(expression: str) -> Any:
    """Return the tree of an expression, which nobody changes: a validator works on its own copy."""
    tokens: Any = import_module("moto.dynamodb.parsing.tokens")
    parsing: Any = import_module("moto.dynamodb.parsing.expressions")
    return parsing.UpdateExpressionParser(tokens.ExpressionTokenizer.make_list(expression)).parse()


def copy_node(self: Any, memo: dict[int, Any]) -> Any:
    """Copy a tree: each node knows its parent and its children, and the leaves are text and numbers."""
    other = object.__new__(type(self))
    memo[id(self)] = other
    vars(other).update(vars(self))
    other.parent = deepcopy(self.parent, memo)
    if self.children is not None:
        other.children = [
            child if type(child) in {str, int, bool} else deepcopy(child, memo) for child in self.children
        ]
    return other


PATCHES.append(Patch(f"{NODES}:Node.__deepcopy__", copy_node, was=None))


@replaces(f"{NODES}:DepthFirstTraverser.traverse_node_recursively", was="d7f01d9b45cf")
def walk(self: Any, node: Any, child_id: int = -1) -> Any:
    """Process a tree from its leaves up; a node takes the place of the one that it was made from."""
    nodes: Any = import_module(NODES)
    looks = type(self).pre_processing_of_child is not nodes.DepthFirstTraverser.pre_processing_of_child
    base, wanted = (nodes.Node,), self.nodes_to_be_processed()

    def process(node: Any, child_id: int) -> Any:
        kind: Any = type(node)
        if not _is_any(kind, base):
            return node
        parent = node.parent
        for number, child in enumerate(node.children or ()):
            if looks:
                self.pre_processing_of_child(node, number)
            process(child, number)
        if _is_any(kind, wanted):
            node = self.process(node)
            node.parent = parent
            if parent:
                parent.children[child_id] = node
        return node

    return process(node, child_id)


@cache
def _is_any(kind: type, kinds: tuple[type, ...]) -> bool:
    """Tell whether it is one of them; to ask an abstract class takes longer than to process a node."""
    return issubclass(kind, kinds)
