"""
Checks names: `make check-names` prints what is wrong, and exits with 1.

A public name of a module (function, class, constant, type alias) stands once in functions, cli and infra,
and once in the kit, so that one grep finds it. No variable is called `one`.
"""

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
HOUSES = (("functions/", "cli/", "infra/"), ("kit/src/",))
"""Folders within which a public name stands once."""

READ = (*HOUSES[0], *HOUSES[1], "sandbox/", "corrections/src/", "bench/", "app.py")
"""What is read for variables and, by tests/prose.py, docstrings."""

DETECTOR = frozenset({"find", "look", "decide", "prepare", "act", "is_done", "revert"})
"""Names that every detector has by contract."""

type Trees = Mapping[str, ast.Module]
type Named = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def trees(root: Path = ROOT) -> Trees:
    """Return the parsed Python files that this check reads, by their paths from *root*."""
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=root, capture_output=True, text=True, check=True)
    paths = [path for path in listed.stdout.split() if path.startswith(READ) and (root / path).exists()]
    return {path: ast.parse((root / path).read_text("utf-8")) for path in paths}


def public_names(path: str, tree: ast.Module) -> Iterator[str]:
    """List the public names that a module defines, without those that a contract gives it."""
    for node in tree.body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                found = [] if _by_contract(path, node) else [node.name]
            case ast.TypeAlias(name=ast.Name(id=name)) | ast.AnnAssign(target=ast.Name(id=name)):
                found = [name]
            case ast.Assign(targets=targets):
                found = [
                    name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)
                ]
            case _:
                found = []
        yield from (name for name in found if not name.startswith("_"))


def _by_contract(path: str, node: Named) -> bool:
    """Tell whether a function is a detector's, a handler, a command or a program's `main`."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    command = any("command" in ast.unparse(decorator) for decorator in node.decorator_list)
    return node.name in DETECTOR | {"main"} or path.endswith("/handlers.py") or command


def definitions(code: Trees, folders: tuple[str, ...]) -> dict[str, list[str]]:
    """Map each public name below *folders* to the modules that define it."""
    where = defaultdict[str, list[str]](list)
    for path, tree in code.items():
        if path.startswith(folders):
            for name in dict.fromkeys(public_names(path, tree)):
                where[name].append(path)
    return where


def shared(code: Trees) -> dict[str, list[str]]:
    """Map each public name that several modules define to these modules."""
    houses = [definitions(code, folders) for folders in HOUSES]
    return {name: paths for house in houses for name, paths in house.items() if len(paths) > 1}


def called_one(code: Trees) -> Iterator[str]:
    """List the places that bind a variable or a parameter called `one`."""
    for path, tree in code.items():
        for node in ast.walk(tree):
            match node:
                case ast.Name(id="one", ctx=ast.Store()) | ast.arg(arg="one") | ast.MatchAs(name="one"):
                    yield f"{path}:{node.lineno}"


def violations(code: Trees) -> Iterator[str]:
    """List everything that this check refuses, a line each."""
    for name, paths in sorted(shared(code).items()):
        yield f"{name} is defined in {len(paths)} modules: {', '.join(paths)}"
    yield from (f"{place}: a variable is called `one`" for place in called_one(code))


def say(lines: Iterable[str]) -> int:
    """Print *lines*; return how many they are."""
    found = list(lines)
    sys.stdout.write("".join(f"{line}\n" for line in found))
    return len(found)


if __name__ == "__main__":
    sys.exit(1 if say(violations(trees())) else 0)
