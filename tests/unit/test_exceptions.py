"""Exception classes: each has a caller that asks for it, and their count may only fall."""

import ast

import naming
from measures import GROUPS, exceptions, lines

BY_OUTCOME = {
    "FailedError": "the shell: the exit status is 1, and not 2",
    "RunFailedError": "Lambda and its log: a run that did all it could, and no fault of the program",
}
"""Classes that no code asks for, and who tells them apart."""


def names(node: ast.AST | None) -> set[str]:
    found = ast.walk(node) if node is not None else ()
    return {
        one.id if isinstance(one, ast.Name) else one.attr
        for one in found
        if isinstance(one, ast.Name | ast.Attribute)
    }


def asked_for(tree: ast.Module) -> set[str]:
    """The names after `except`, in `isinstance` and `suppress`, and in the patterns of a `match`."""
    found = set[str]()
    for node in ast.walk(tree):
        match node:
            case ast.ExceptHandler(type=caught):
                found |= names(caught)
            case ast.Call(func=ast.Name(id="isinstance" | "suppress"), args=args):
                found |= {name for argument in args for name in names(argument)}
            case ast.MatchClass(cls=kind):
                found |= names(kind)
    return found


def test_a_caller_asks_for_each_class() -> None:
    code = [tree for path, tree in naming.trees().items() if path.startswith(naming.HOUSES[0])]
    defined = {
        node.name
        for tree in code
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and exceptions(ast.Module([node], []))
    }

    assert BY_OUTCOME.keys() <= defined
    assert defined - BY_OUTCOME.keys() - {name for tree in code for name in asked_for(tree)} == set()
    assert len(defined) <= 24


def test_every_file_that_counts_can_be_read() -> None:
    assert {group: bool(sum(number for _, number in lines(where))) for group, where in GROUPS.items()} == (
        dict.fromkeys(GROUPS, True)
    )
