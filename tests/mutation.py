"""
Breaks one operator, number, condition or statement of a module after the other; lists what no test notices.

`make mutate` goes over `TARGETS`; `make mutate MODULE=part/of/a/path` over some of them. Each mutant runs in
a process of its own, forked with the libraries loaded, and touches no file: only the import of its module
gets the broken code. Texts are not changed. A survivor is missed unless tests/mutants.md names it with its
reason.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import importlib
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
LISTED = ROOT / "tests" / "mutants.md"
SOURCE = "functions/ml_janitor"
SECONDS = 300
"""After which a mutant counts as noticed: it may not end."""

TARGETS = {
    "slack/press_request.py": ("unit/test_press_request.py",),
    "slack/press_worker.py": ("integration/test_presses.py",),
    "acting/machine.py": ("integration/test_acting.py", "integration/test_resuming.py"),
    "acting/recheck.py": ("integration/test_acting.py", "integration/test_holds.py"),
    "acting/warning.py": ("integration/test_warnings.py", "integration/test_acting.py"),
    "acting/undoing.py": ("integration/test_acting.py", "integration/test_resuming.py"),
    "ledger/limits.py": ("integration/test_acting.py",),
    "ledger/findings.py": ("integration/test_ledger.py", "integration/test_acting.py"),
    "detectors/idle_notebooks/rule.py": ("unit/test_idle_notebooks.py", "integration/test_idle_notebooks.py"),
    "detectors/idle_notebooks/outside_hours.py": ("unit/test_idle_notebooks.py",),
    "detectors/idle_studio_apps/remote_sessions.py": (
        "unit/test_idle_studio_apps.py",
        "integration/test_idle_studio_apps.py",
    ),
    "detectors/idle_studio_apps/signs.py": ("unit/test_idle_studio_apps.py",),
    "detectors/duplicate_artifacts/copies.py": ("unit/test_copies.py", "unit/test_duplicate_artifacts.py"),
    "detectors/duplicate_artifacts/object_records.py": ("unit/test_object_records.py",),
    "detectors/duplicate_artifacts/copy_return.py": ("integration/test_putting_back.py",),
    "config/arming_warnings.py": ("unit/test_arming_warnings.py", "unit/test_undo_roles.py"),
    "config/schedules.py": ("unit/test_schedules.py", "unit/test_arming_warnings.py"),
}
"""Modules, and the tests that have to notice: by their folders under functions/ml_janitor/ and tests/."""

PRELOADED = ("boto3", "moto", "pydantic", "pytest", "typer", "jinja2", "slack_sdk", "werkzeug")

SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}


class Mutant(NamedTuple):
    """One broken copy of a module: its name in the list of survivors, and its code."""

    name: str
    line: int
    tree: ast.Module


def mutants(path: str, text: str) -> Iterator[Mutant]:
    """Every mutant of a module."""
    number = 0
    while True:
        tree = ast.parse(text)
        sites = list(_sites(tree))
        if number == len(sites):
            return
        where, node, change = sites[number]
        before = ast.unparse(node)
        changed = change()
        after = "nothing" if isinstance(changed, ast.Pass) else ast.unparse(changed)
        yield Mutant(
            f"{path} {where or '(module)'}: {before} -> {after}", node.lineno, ast.fix_missing_locations(tree)
        )
        number += 1


type Site = tuple[str, Any, Callable[[], ast.AST]]


def _sites(tree: ast.Module) -> Iterator[Site]:
    """What can be broken: in which function, what, and the call that breaks it and returns what it became."""
    for where, parent, member, index, node in _walk(tree, ""):

        def put(
            new: ast.AST, parent: Any = parent, member: str = member, index: int | None = index
        ) -> ast.AST:
            if index is None:
                setattr(parent, member, new)
            else:
                getattr(parent, member)[index] = new
            return new

        for new in _broken(node, member):
            ast.copy_location(new, node)
            yield where, node, lambda put=put, new=new: put(new)  # type: ignore[misc]


def _broken(node: Any, member: str) -> Iterator[Any]:  # noqa: C901 - one case for each kind of node
    """The ways in which one node is broken."""
    again = copy.deepcopy(node)
    match node:
        case ast.Compare(ops=ops):
            for index, op in enumerate(ops):
                each: Any = copy.deepcopy(node)
                each.ops[index] = SWAPPED[type(op)]()
                yield each
        case ast.BoolOp(op=op) | ast.BinOp(op=op) if type(op) in SWAPPED:
            again.op = SWAPPED[type(op)]()
            yield again
        case ast.UnaryOp(op=ast.Not()):
            yield again.operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield ast.Constant(value + 1)
        case ast.Return(value=value) if value is not None and not _is_none(value):
            yield ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call() | ast.Await()):
            yield ast.Pass()
        case ast.Raise():
            yield ast.Pass()
    if member in {"test", "ifs", "guard"} and not isinstance(node, ast.Compare | ast.BoolOp | ast.UnaryOp):
        yield ast.UnaryOp(ast.Not(), copy.deepcopy(node))


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _walk(node: Any, where: str) -> Iterator[tuple[str, Any, str, int | None, Any]]:
    """Every node that is executed, with the function that it is in; no annotations or decorators."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        where = f"{where}.{node.name}".lstrip(".")
    for member, value in ast.iter_fields(node):
        if member in {"annotation", "returns", "type_params", "decorator_list"} or isinstance(
            node, ast.TypeAlias | ast.JoinedStr
        ):
            continue
        for index, child in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(child, ast.AST):
                yield where, node, member, index if isinstance(value, list) else None, child
                yield from _walk(child, where)


def survives(path: Path, mutant: ast.Module | None, tests: Sequence[str]) -> bool:
    """Whether *tests* pass with *mutant* in the place of the module at *path*; None is the module itself."""
    if (child := os.fork()) == 0:
        signal.alarm(SECONDS)
        os.setsid()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        if mutant is not None:
            _replace(path, mutant)
        status = 1
        with contextlib.suppress(BaseException):
            import pytest

            quiet = ("-q", "-x", "-p", "no:cacheprovider")
            status = int(pytest.main([*quiet, *(str(ROOT / "tests" / one) for one in tests)]))
        os._exit(min(status, 1))
    _, ended = os.waitpid(child, 0)
    return ended == 0


def _replace(path: Path, tree: ast.Module) -> None:
    """Let the import of the module at *path* get *tree*."""
    original = SourceFileLoader.get_code

    def get_code(loader: SourceFileLoader, name: str) -> Any:
        if Path(loader.path).resolve() == path.resolve():
            return compile(tree, str(path), "exec", dont_inherit=True)
        return original(loader, name)

    SourceFileLoader.get_code = get_code  # type: ignore[assignment, method-assign]


def known() -> dict[str, str]:
    """The survivors that tests/mutants.md explains, with their reasons."""
    found = re.findall(r"^- `(.+?)`: (.+)$", LISTED.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(found)


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(wanted: str) -> int:
    """Run the mutants of the targets with *wanted* in their path; 1 if one survived without a reason."""
    os.chdir(ROOT)
    for name in PRELOADED:
        importlib.import_module(name)
    explained, missed = known(), 0
    for name, tests in TARGETS.items():
        if wanted not in name:
            continue
        path = ROOT / SOURCE / name
        if not survives(path, None, tests):
            say(f"{name}: its tests fail as it is")
            return 2
        alive = total = 0
        for mutant in mutants(name, path.read_text(encoding="utf-8")):
            total += 1
            if survives(path, mutant.tree, tests):
                alive += 1
                missed += mutant.name not in explained
                said = explained.get(mutant.name, "NOT NOTICED")
                say(f"  line {mutant.line}: {mutant.name}: {said}")
        say(f"{name}: {total - alive} of {total} noticed")
    say(f"{missed} survived without a reason in tests/mutants.md")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))
