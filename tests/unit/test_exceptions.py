"""An exception class exists only where a caller acts differently on it."""

from __future__ import annotations

import ast
from functools import cache

import pytest

import naming
from measures import exceptions

BY_NAME = {
    "BegunBeforeError": "functions/ml_janitor/acting/acting.py",
    "CannotActError": "functions/ml_janitor/acting/acting.py",
    "CannotUndoError": "functions/ml_janitor/acting/undoing.py",
    "CommandRefusedError": "cli/ml_janitor_cli/main.py",
    "ConditionFailedError": "functions/ml_janitor/ledger/limits.py",
    "FileChangedError": "functions/ml_janitor/ledger/files.py",
    "InvalidInputError": "cli/ml_janitor_cli/edge.py",
    "LeaseTakenError": "functions/ml_janitor/acting/undoing.py",
    "NoActError": "functions/ml_janitor/acting/acting.py",
    "NoSecretError": "functions/ml_janitor/slack/ingress.py",
    "NotFinishedError": "functions/ml_janitor/acting/undoing.py",
    "OutOfTimeError": "functions/ml_janitor/acting/acting.py",
    "PressRefusedError": "functions/ml_janitor/slack/press_worker.py",
    "ReadError": "functions/ml_janitor/aws/calls.py",
    "RefusedError": "functions/ml_janitor/bill/reading.py",
    "RequestRefusedError": "functions/ml_janitor/slack/ingress.py",
    "SlackError": "functions/ml_janitor/slack/warnings.py",
    "SlackRefusedError": "functions/ml_janitor/slack/digest.py",
    "UnreadEntriesError": "functions/ml_janitor/engine/run.py",
    "UnchangeableError": "functions/ml_janitor/detectors/storage_tiering/act.py",
    "UnverifiedError": "functions/ml_janitor/acting/acting.py",
}
"""Each class with a module that catches it, or asks for it, and goes on in its own way."""

BY_OUTCOME = {
    "FailedError": "the shell: the exit status is 1, and not 2",
    "RunFailedError": "Lambda and its log: a run that did all it could, and no fault of the program",
}
"""Classes that no code asks for, and who tells them apart."""


@cache
def code() -> naming.Trees:
    return {path: tree for path, tree in naming.trees().items() if path.startswith(naming.HOUSES[0])}


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


def test_there_are_no_other_classes() -> None:
    defined = {
        node.name
        for tree in code().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and exceptions(ast.Module([node], []))
    }

    assert defined == {*BY_NAME, *BY_OUTCOME}
    assert len(defined) <= 24


@pytest.mark.parametrize(("name", "path"), BY_NAME.items())
def test_a_caller_acts_differently(name: str, path: str) -> None:
    assert name in asked_for(code()[path])
