"""
Breaks one operator, number, condition or statement of a module after the other; lists what no test notices.

`make mutate` goes over all targets (tests/mutation_targets.py). `MODULE=part/of/a/path ONLY=part_of_a_name`
takes some of them, `CHANGED=1` the modules that differ from origin/main, `PART=3/40` one of 40 equal parts,
`BREAKAGES=1` the rows of tests/breakages.toml instead. `TRUST=1` does not try again what has a reason.

All tests of the targets run once, and note which lines they execute and how long they take. Then each mutant
runs in a process of its own, forked with everything loaded, in which functions get the broken code: of the
tests that reach the broken statement the quickest first, until one fails. What runs while the module is
imported (constants, defaults) needs a process that has not imported it yet, and all tests of the target.
No file is touched. Mutants change no texts, and no `strict` of zip, which asserts what cannot happen.
A survivor is missed unless tests/mutants.md has a reason or counts the survivors of its module.
The kit's modules run in the kit's environment.
"""

from __future__ import annotations

import argparse
import ast
import atexit
import contextlib
import copy
import functools
import gc
import importlib
import importlib.util
import inspect
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from itertools import islice
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

from mutation_targets import (
    AT_LEAST,
    PACKAGES,
    ROOT,
    allowed,
    breakages,
    counted,
    known,
    module_name,
    nearest_tests,
    of_kit,
    targets,
)

if TYPE_CHECKING:
    import pytest

SLOWER = 5
"""How many times as long as its tests a mutant may take, besides SPARE, or ten seconds of the processor."""

SPARE = 30
"""Seconds, on a machine that does nothing else, that a mutant may take besides its tests."""

LONGEST = 60
"""Seconds of the processor that the tests of a mutant take together: the quickest, as many as fit."""

LONGEST_CHANGED = 270
"""Seconds after which CHANGED=1 tries no more mutants."""

LARGE = 150
"""The mutants from which on CHANGED=1 takes only the changed functions of a module."""

NEWLOCALS = inspect.CO_NEWLOCALS
"""The flag of a function's code, and of no module's or class's."""

BROKEN = 3
"""How a process exits that could not try its mutant."""

ERRORS = os.fdopen(os.dup(2), "w", buffering=1)
"""Where errors of the harness go; the processes that try mutants write nowhere else."""

atexit.register(ERRORS.close)

PRELOADED = {
    False: ("boto3", "moto", "pydantic", "pytest", "typer", "jinja2", "slack_sdk", "werkzeug"),
    True: ("boto3", "pytest"),
}
"""What takes long to import: in the kit's environment, and otherwise."""

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


_ALIAS = (ast.TypeAlias,) if sys.version_info >= (3, 12) else ()


class Place(NamedTuple):
    """Where something can be broken: the function, the lines of the statement, whether an import runs it."""

    where: str
    lines: range
    imported: bool


class Mutant(NamedTuple):
    """One broken copy of a module: its name in the list of survivors, its place, and its code."""

    name: str
    line: int
    place: Place
    tree: ast.Module
    reloaded: bool = False
    """Functions that are loaded cannot get its code: it closes over something else."""
    tests: tuple[Path, ...] = ()
    """The test files that have to notice, where they are not those of the module."""


def mutants(path: str, text: str) -> Iterator[Mutant]:
    whole = ast.parse(text)
    cells = _cells(_compiled(whole))
    for number, name in enumerate(names(path, whole)):
        tree = ast.parse(text)
        place, node, new, put = next(islice(_sites(tree), number, None))
        put(new)
        reloaded = place.imported or _cells(_compiled(ast.fix_missing_locations(tree))) != cells
        yield Mutant(name, node.lineno, place, tree, reloaded)


def names(path: str, tree: ast.Module) -> Iterator[str]:
    """The names of a module's mutants; where several read alike, all but the first end with a number: (2)."""
    alike = Counter[str]()
    for place, node, new, _ in _sites(tree):
        after = "nothing" if isinstance(new, ast.Pass) else ast.unparse(new)
        name = f"{path} {place.where or '(module)'}: {ast.unparse(node)} -> {after}"
        alike[name] += 1
        yield name if alike[name] == 1 else f"{name} ({alike[name]})"


def _cells(codes: Iterable[CodeType]) -> list[tuple[str, ...]]:
    """What the functions of a module close over, such as their class; those in functions come along."""
    return [code.co_freevars for code in codes]


def _compiled(tree: ast.Module) -> list[CodeType]:
    return list(_outer_codes(compile(tree, "", "exec", dont_inherit=True)))


def _sites(tree: ast.Module) -> Iterator[tuple[Place, Any, Any, Callable[[ast.AST], None]]]:
    """What can be broken: where, what, what it becomes, and the call that puts that there."""
    for place, parent, member, index, node in _walk(tree, Place("", range(0), imported=True)):

        def put(new: ast.AST, parent: Any = parent, member: str = member, index: int | None = index) -> None:
            if index is None:
                setattr(parent, member, new)
            else:
                getattr(parent, member)[index] = new

        for new in _broken(node, member):
            yield place, node, ast.copy_location(new, node), put


def _broken(node: Any, member: str) -> Iterator[Any]:  # noqa: C901 - one case for each kind of node
    """The ways in which one node is broken."""
    match node:
        case ast.Compare(ops=ops):
            for index, op in enumerate(ops):
                each: Any = copy.copy(node)
                each.ops = [*ops[:index], SWAPPED[type(op)](), *ops[index + 1 :]]
                yield each
        case ast.BoolOp(op=op) | ast.BinOp(op=op) if type(op) in SWAPPED:
            again: Any = copy.copy(node)
            again.op = SWAPPED[type(op)]()
            yield again
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield ast.Constant(value + 1)
        case ast.Return(value=value) if value is not None and not _is_none_or_bool(value):
            yield ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call() | ast.Await()):
            yield ast.Pass()
        case ast.Raise():
            yield ast.Pass()
    if member in {"test", "ifs", "guard"} and not isinstance(node, ast.Compare | ast.BoolOp | ast.UnaryOp):
        yield ast.UnaryOp(ast.Not(), node)


def _is_none_or_bool(node: ast.AST) -> bool:
    """Whether None in place of *node* breaks nothing, or only what the other truth value breaks."""
    return isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, bool))


def _walk(node: Any, place: Place) -> Iterator[tuple[Place, Any, str, int | None, Any]]:
    """Every node that is executed, with its place; no annotations or decorators, and no `strict` of zip."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        place = place._replace(where=f"{place.where}.{node.name}".lstrip("."))
    for member, value in ast.iter_fields(node):
        if (
            member in {"annotation", "returns", "type_params", "decorator_list"}
            or isinstance(node, (*_ALIAS, ast.JoinedStr))
            or (member == "keywords" and isinstance(node, ast.Call) and ast.unparse(node.func) == "zip")
        ):
            continue
        later = isinstance(node, ast.FunctionDef | ast.Lambda) and member == "body"
        for index, child in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(child, ast.AST):
                inner = place._replace(
                    lines=_lines(child, place.lines), imported=place.imported and not later
                )
                yield inner, node, member, index if isinstance(value, list) else None, child
                yield from _walk(child, inner)


def _lines(node: Any, around: range) -> range:
    """The lines of the statement that *node* is, but for the statements in it; else those *around*."""
    if not isinstance(node, ast.stmt | ast.match_case | ast.ExceptHandler):
        return around
    first = node.pattern.lineno if isinstance(node, ast.match_case) else node.lineno
    inside = [child.lineno for child in ast.walk(node) if isinstance(child, ast.stmt) and child is not node]
    return range(first, max(first + 1, min(inside, default=(getattr(node, "end_lineno", None) or first) + 1)))


# --- breakages -----------------------------------------------------------------------------------


def broken(path: str, text: str) -> Iterator[Mutant]:
    """What the rows of tests/breakages.toml make of a module, each a mutant."""
    codes = _compiled(ast.parse(text))
    outside, cells = _outside_functions(codes), _cells(codes)
    for row in breakages():
        if row.file == path:
            before = text.count("\n", 0, text.index(row.old)) + 1
            lines = range(before, before + row.old.rstrip("\n").count("\n") + 1)
            tree = ast.parse(text.replace(row.old, row.new))
            codes = _compiled(tree)
            synthesised = path.startswith("infra/")  # templates of the run before would be found again
            imported = synthesised or outside != _outside_functions(codes)
            tests = ROOT / ("kit/tests" if of_kit(path) else "tests")
            yield Mutant(
                f"{path} {row.why}",
                before,
                Place("", lines, imported),
                tree,
                imported or cells != _cells(codes),
                tuple(tests / test for test in row.tests),
            )


def _outside_functions(codes: Iterable[CodeType]) -> list[object]:
    """All that the import of a module executes, and the names of what it leaves."""
    return [(code.co_qualname, None if code.co_flags & NEWLOCALS else _executed(code)) for code in codes]


def _executed(code: CodeType) -> object:
    constants = [(type(one), one) for one in code.co_consts if not isinstance(one, CodeType)]
    return code.co_code, code.co_names, constants


# --- running them ---------------------------------------------------------------------------------


def surviving(
    found: Iterable[Mutant], passes: Callable[[Mutant], bool], workers: int = 1
) -> Iterator[Mutant]:
    """Those with which all tests pass; each is tried in a process of its own, *workers* at a time."""
    waiting, running = iter(found), dict[int, Mutant]()
    while True:
        while len(running) < workers and (mutant := next(waiting, None)) is not None:
            running[_forked(functools.partial(_in_its_group, passes, mutant))] = mutant
        if not running:
            return
        child, status = os.wait()
        if (ended := running.pop(child, None)) is None:
            continue
        with contextlib.suppress(ProcessLookupError):  # servers that its tests started
            os.killpg(child, signal.SIGKILL)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == BROKEN:
            raise RuntimeError(f"{ended.name} could not be tried")
        if status == 0:
            yield ended


def _in_its_group(passes: Callable[[Mutant], bool], mutant: Mutant) -> bool:
    """Whether all tests pass with *mutant*; what they start belongs to the group of this process."""
    os.setpgid(0, 0)
    return passes(mutant)


def _forked(run: Callable[[], bool]) -> int:
    """The process that does *run*, and exits with 0 if that is true."""
    if child := os.fork():
        return child
    status = 1
    try:
        status = 0 if run() else 1
    except Exception:
        ERRORS.write(traceback.format_exc())
        status = BROKEN
    finally:
        os._exit(status)


def _limit(seconds: float, cpu: float) -> None:
    """End this process after SLOWER times what its next tests take: a mutant that does not end is noticed."""
    busy = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(round(SPARE * busy + SLOWER * seconds))
    most = round(time.process_time()) + 10 + round(SLOWER * cpu)
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _silent() -> None:
    """Send what this process writes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def _pytest(tests: Iterable[str], *plugins: object) -> int:
    import pytest

    quiet = ("-q", "-x", "-p", "no:cacheprovider")
    return int(pytest.main([*quiet, *tests], plugins=list(plugins)))


class Reached(NamedTuple):
    """What one test executes of a target, and the seconds that it takes, and of the processor."""

    lines: frozenset[int]
    seconds: float
    cpu: float


@dataclass(eq=False)
class Loaded:
    """
    A session of pytest that runs its tests once, and then mutants in forks of its process.

    *found* are the mutants by target, and *files* the targets' test files. *survived* gets the target and the
    number of each survivor; those that need an import are left out. *reaching* is what each test reaches, by
    target and node id, *failing* the tests that fail as the code is.
    """

    found: Mapping[str, Sequence[Mutant]]
    files: Mapping[str, Sequence[Path]]
    survived: Callable[[str, int], None]
    waiting: Callable[[Iterable[Mutant]], Iterator[Mutant]]
    workers: int
    reaching: dict[str, dict[str, Reached]] = field(default_factory=dict)
    failing: list[str] = field(default_factory=list)

    def pytest_internalerror(self, excrepr: object) -> None:
        ERRORS.write(f"{excrepr}\n")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            ERRORS.write(f"{report.longrepr}\n")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            return True
        for path in self.found:
            importlib.import_module(module_name(path))
        items = {item.nodeid: item for item in session.items}
        self._record(session.items)
        session.testsfailed = 0
        _forget()
        for path, mutants_of in self.found.items():
            functions, text = _functions(ROOT / path), (ROOT / path).read_text("utf-8")
            module = compile(text, str(ROOT / path), "exec", dont_inherit=True)

            def passes(
                mutant: Mutant, path: str = path, functions: Any = functions, whole: Any = module
            ) -> bool:
                _replace(ROOT / path, mutant.tree)
                swap(functions, whole, compile(mutant.tree, str(ROOT / path), "exec", dont_inherit=True))
                chosen = [items[test] for test in self.tests(path, mutant)]
                return _pass(chosen, limited=lambda item: _limit(*self.took(path, [item.nodeid])))

            waiting = self.waiting(one for one in mutants_of if not one.reloaded)
            for mutant in surviving(waiting, passes, self.workers):
                self.survived(path, mutants_of.index(mutant))
        return True

    def tests(self, path: str, mutant: Mutant) -> list[str]:
        """The tests that have to notice *mutant*: those that execute its lines; the quickest first."""
        only, lines = {str(file) for file in mutant.tests}, {*mutant.place.lines}
        chosen = sorted(
            (reached.cpu, reached.seconds, test)
            for test, reached in self.reaching[path].items()
            if (mutant.place.imported or reached.lines & lines) and (not only or _file(test) in only)
        )
        total, found = 0.0, list[str]()
        for cpu, _, test in chosen:
            total += cpu
            if total <= LONGEST or not found:
                found.append(test)
        return found

    def chosen(self) -> dict[str, dict[int, tuple[list[str], float, float]]]:
        """The tests of mutants that need an import, by target and number, and the seconds of the tests."""
        return {
            path: {
                number: (tests := self.tests(path, mutant), *self.took(path, tests))
                for number, mutant in enumerate(mutants_of)
                if mutant.reloaded
            }
            for path, mutants_of in self.found.items()
        }

    def took(self, path: str, tests: Iterable[str]) -> tuple[float, float]:
        """The seconds that *tests* take together, and those of the processor."""
        reached = [self.reaching[path][test] for test in tests]
        return sum(one.seconds for one in reached), sum(one.cpu for one in reached)

    def _record(self, items: Sequence[pytest.Item]) -> None:
        """Run all tests, and note what they reach; one that fails twice is left out, and told."""
        executed: set[tuple[str, int]] = set()
        of = {str(ROOT / path): path for path in self.found}
        targets_of: dict[str, list[str]] = defaultdict(list)
        for path, files in self.files.items():
            for file in files:
                targets_of[str(file)].append(path)
        self.reaching = {path: {} for path in self.found}
        caches = [one for one in _caches() if one.__wrapped__.__code__.co_filename in of]
        with _watched(of, lambda name, line: executed.add((of[name], line))):
            for item, following in zip(items, [*items[1:], None], strict=True):
                executed.clear()
                for cache in caches:  # each test executes what it needs of the targets
                    cache.cache_clear()
                began, cpu = time.monotonic(), time.process_time()
                if not _pass([item], following) and not _pass([item], following):
                    self.failing.append(item.nodeid)
                    continue
                seconds, cpu = time.monotonic() - began, time.process_time() - cpu
                for path in targets_of[str(item.path)]:
                    lines = frozenset(line for one, line in executed if one == path)
                    self.reaching[path][item.nodeid] = Reached(lines, seconds, cpu)


def _file(test: str) -> str:
    """The file of a test: a node id begins with its path from the folder that pytest runs in."""
    return str(Path.cwd() / test.partition("::")[0])


@contextlib.contextmanager
def _watched(files: Iterable[str], executed: Callable[[str, int], object]) -> Iterator[None]:
    """Tell of each line of the functions in *files* that is executed."""
    if sys.version_info < (3, 12):  # noqa: UP036 - the kit has an environment with an older Python
        there = set(files)

        def trace(frame: FrameType, event: str, _: object) -> Any:
            if frame.f_code.co_filename not in there:
                return None
            if event == "line":
                executed(frame.f_code.co_filename, frame.f_lineno)
            return trace

        threading.settrace(trace)
        sys.settrace(trace)
        yield
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type] # what its documentation says
        return
    watch = sys.monitoring
    watch.use_tool_id(watch.COVERAGE_ID, "mutation")
    watch.register_callback(
        watch.COVERAGE_ID, watch.events.LINE, lambda code, line: executed(code.co_filename, line)
    )
    watch.register_callback(  # a lambda of one line has no event of its line
        watch.COVERAGE_ID,
        watch.events.PY_START,
        lambda code, _: executed(code.co_filename, code.co_firstlineno),
    )
    for path in files:
        for function in _functions(Path(path)):
            for code in _codes(function.__code__):
                watch.set_local_events(watch.COVERAGE_ID, code, watch.events.LINE | watch.events.PY_START)
    yield
    watch.free_tool_id(watch.COVERAGE_ID)


def _pass(
    items: Sequence[pytest.Item],
    after: pytest.Item | None = None,
    limited: Callable[[pytest.Item], None] = lambda _: None,
) -> bool:
    """
    Whether all *items* pass; *after* is what comes next, which keeps the fixtures that it uses.

    *limited* is called before each: a mutant with which one hangs need not wait for as long as all take. A
    test whose failure pytest cannot report has failed: Python 3.11 cannot parse a source amid a
    RecursionError ("AST constructor recursion depth mismatch").
    """
    from _pytest.runner import runtestprotocol
    from pluggy import PluggyTeardownRaisedWarning

    for item, following in zip(items, [*items[1:], after], strict=False):
        limited(item)
        try:
            reports = runtestprotocol(item, log=False, nextitem=following)
        except (SystemError, PluggyTeardownRaisedWarning):  # the second where warnings are errors
            return False
        if any(report.failed for report in reports):
            return False
    return True


def _forget() -> None:
    """Forget what the project's functions remember: it comes from the code as it is."""
    for cache in _caches():
        cache.cache_clear()


def _caches() -> list[Any]:
    gc.unfreeze()
    return [
        one
        for one in gc.get_objects()
        if type(one) is functools._lru_cache_wrapper and one.__module__.startswith(("ml_janitor", "janitor_"))
    ]


def _functions(path: Path) -> list[FunctionType]:
    """The functions that the import of the module at *path* left, also those that functions made then."""
    gc.unfreeze()
    return [
        one
        for one in gc.get_objects()
        if type(one) is FunctionType  # some libraries warn when anything is compared with their classes
        and one.__code__.co_filename == str(path)
    ]


def _codes(code: CodeType) -> Iterator[CodeType]:
    """*code* and what is nested in it."""
    yield code
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield from _codes(one)


def _outer_codes(module: CodeType) -> list[CodeType]:
    """
    The code of a module, its classes and all functions with a name, without what has none in a function.

    A function in another one may be a decorator's, and stand for one of the module.
    """
    return [
        code
        for code in _codes(module)
        if "<locals>" not in code.co_qualname or not code.co_qualname.rpartition(".")[2].startswith("<")
    ]


def _numbered(module: CodeType) -> Iterator[tuple[tuple[str, int], CodeType]]:
    """The outer codes of a module by their name and their place among those of that name."""
    seen = Counter[str]()
    for code in _outer_codes(module):
        yield (code.co_qualname, seen[code.co_qualname]), code
        seen[code.co_qualname] += 1


def swap(functions: Sequence[FunctionType], module: CodeType, broken: CodeType) -> None:
    """Give *functions*, which are those of *module*, their code in *broken*, which has the same functions."""
    numbers = {(code.co_qualname, code.co_firstlineno): number for number, code in _numbered(module)}
    there = dict(_numbered(broken))
    both = list(_codes(module)), list(_codes(broken))
    inner = dict[tuple[str, int], CodeType]()
    if [code.co_qualname for code in both[0]] == [code.co_qualname for code in both[1]]:
        inner = {(old.co_qualname, old.co_firstlineno): new for old, new in zip(*both, strict=True)}
    for function in functions:
        key = function.__code__.co_qualname, function.__code__.co_firstlineno
        if key in numbers:
            function.__code__ = there[numbers[key]]
        elif key in inner:  # of a function that another one made while the module was imported
            function.__code__ = inner[key]


def _replace(path: Path, tree: ast.Module) -> None:
    """Let the import of the module at *path* get *tree*."""
    original = SourceFileLoader.get_code

    def get_code(loader: SourceFileLoader, name: str) -> Any:
        if Path(loader.path).resolve() == path.resolve():
            return compile(tree, str(path), "exec", dont_inherit=True)
        return original(loader, name)

    SourceFileLoader.get_code = get_code  # type: ignore[assignment, method-assign]


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@dataclass
class Run:
    """The mutants of some targets, which of them were tried, and which survived."""

    found: Mapping[str, Sequence[Mutant]]
    workers: int
    ends: float
    reasons: Mapping[str, str] = field(default_factory=known)
    alive: list[tuple[str, Mutant]] = field(default_factory=list)
    untried: int = 0
    failing: list[str] = field(default_factory=list)
    trusted: Counter[str] = field(default_factory=Counter)
    """How many of each target have a reason to survive and were not tried."""

    def go(self) -> None:
        """Try all mutants, and tell of each target how many are noticed."""
        for path, chosen in self._loaded().items():
            imported = [one for one in self.found[path] if one.reloaded]

            def passes(mutant: Mutant, path: str = path, chosen: Any = chosen) -> bool:
                _silent()
                _replace(ROOT / path, mutant.tree)
                tests, seconds, cpu = chosen[str(self.found[path].index(mutant))]
                _limit(seconds + SPARE, cpu + SPARE)
                return not tests or _pytest(tests) == 0

            for mutant in surviving(self._waiting(imported), passes, self.workers):
                self._survived(path, mutant)
            if of := len(self.found[path]):
                noticed = of - sum(target == path for target, _ in self.alive)
                say(f"{path}: {noticed} of {of + self.trusted[path]} noticed")

    def _survived(self, path: str, mutant: Mutant) -> None:
        self.alive.append((path, mutant))
        reason = "counted" if counted(path) else self.reasons.get(mutant.name, "NOT NOTICED")
        say(f"  {path}:{mutant.line}: {mutant.name.partition(' ')[2]}: {reason}")

    def _waiting(self, mutants_of: Iterable[Mutant]) -> Iterator[Mutant]:
        for mutant in mutants_of:
            if time.monotonic() < self.ends:
                yield mutant
            else:
                self.untried += 1

    def _loaded(self) -> dict[str, dict[str, Any]]:
        """
        Run the mutants that need no import in a process with everything loaded.

        What comes back are the tests of the others, and how long they take.
        """
        reading, writing = os.pipe()

        def run() -> bool:
            with os.fdopen(writing, "w", buffering=1) as answers:

                def send(*answer: object) -> None:
                    answers.write(f"{json.dumps(answer)}\n")

                _silent()
                files = {path: _files(path, mutants_of) for path, mutants_of in self.found.items()}
                every = dict.fromkeys(str(file) for of_target in files.values() for file in of_target)
                loaded = Loaded(
                    self.found,
                    files,
                    lambda path, number: send("survived", path, number),
                    self._waiting,
                    self.workers,
                )
                if (status := _pytest(every, loaded)) == 0:
                    send("ended", self.untried, loaded.failing, loaded.chosen())
                else:
                    ERRORS.write(f"pytest ended with status {status}\n")
                return True

        child = _forked(run)
        os.close(writing)
        chosen: dict[str, dict[str, Any]] | None = None
        with os.fdopen(reading) as answers:
            for what, *answer in map(json.loads, answers):
                if what == "survived":
                    self._survived(answer[0], self.found[answer[0]][answer[1]])
                else:
                    self.untried, self.failing, chosen = answer
        os.waitpid(child, 0)
        if chosen is None:
            raise SystemExit("the tests of these modules cannot be loaded: run them alone")
        return chosen


def _files(path: str, mutants_of: Sequence[Mutant]) -> list[Path]:
    """The test files that some mutants of a module need."""
    own = nearest_tests(path) if any(not mutant.tests for mutant in mutants_of) else []
    return list(dict.fromkeys([*own, *(test for mutant in mutants_of for test in mutant.tests)]))


# --- which mutants --------------------------------------------------------------------------------


def changed() -> dict[str, set[int]]:
    """The lines that changed of each module since the branch left origin/main."""

    def git(*arguments: str) -> str:
        done = subprocess.run(("git", *arguments), cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    base = git("merge-base", "origin/main", "HEAD") or "HEAD"
    found: dict[str, set[int]] = {}
    for path in git("diff", "--name-only", "--diff-filter=d", base).splitlines():
        found[path] = set()
        for line in git("diff", "--unified=0", base, "--", path).splitlines():
            if hunk := re.match(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@", line):
                first = int(hunk[1])
                found[path] |= {*range(first, first + max(1, int(hunk[2] or 1)))}
    for path in git("ls-files", "--others", "--exclude-standard").splitlines():
        found[path] = {*range(1, (ROOT / path).read_bytes().count(b"\n") + 2)}
    return found


def changed_functions(found: Sequence[Mutant], text: str, lines: set[int]) -> list[Mutant]:
    """The mutants of the functions in which *lines* are, or whose own statement is there."""
    functions = {
        where
        for where, function in _named_functions(ast.parse(text))
        if lines & {*range(function.lineno, (function.end_lineno or function.lineno) + 1)}
    }
    return [one for one in found if one.place.where in functions or lines & {*one.place.lines}]


def _named_functions(tree: Any, where: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        inner = where
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            inner = f"{where}.{node.name}".lstrip(".")
        if isinstance(node, ast.FunctionDef):
            yield inner, node
        yield from _named_functions(node, inner)


PART = 2500
"""Lines of modules whose mutants a nightly job tries within an hour; half as many where tests are slow."""


def weight(path: str) -> int:
    """The lines of a module, or twice as many where its tests are slow."""
    slow = any("integration" in test.parts for test in nearest_tests(path))
    return (1 + slow) * (ROOT / path).read_bytes().count(b"\n")


def parts() -> list[list[str]]:
    """The targets in parts of PART lines, in the order of their paths; those of the kit stand alone."""
    found: list[list[str]] = []
    for kit in (False, True):
        total = PART
        for path in targets():
            if of_kit(path) is kit and (more := weight(path)):
                if total + more > PART:
                    found.append([])
                    total = 0
                found[-1].append(path)
                total += more
    return found


def chosen_paths(wanted: argparse.Namespace, lines: Mapping[str, object]) -> list[str]:
    """The modules that the command line asks for, of which *lines* have changed."""
    part = parts()[int(wanted.part.partition("/")[0]) - 1] if wanted.part else None
    paths = sorted({row.file for row in breakages()}) if wanted.breakages else targets()
    return [
        path
        for path in paths
        if wanted.module in path and (part is None or path in part) and (not wanted.changed or path in lines)
    ]


def chosen_mutants(
    wanted: argparse.Namespace, paths: Sequence[str], lines: Mapping[str, set[int]]
) -> dict[str, list[Mutant]]:
    """The mutants of *paths* that the command line asks for."""
    found = {}
    for path in paths:
        text = (ROOT / path).read_text("utf-8")
        every = list(broken(path, text) if wanted.breakages else mutants(path, text))
        if wanted.changed and len(every) > LARGE:
            every = changed_functions(every, text, lines[path])
        if every := [one for one in every if wanted.only in one.name]:
            found[path] = every
    return found


def without_reasons(found: Mapping[str, Sequence[Mutant]], trusted: Counter[str]) -> dict[str, list[Mutant]]:
    """The mutants that have no reason to survive; *trusted* counts the others of each module."""
    reasons = known()
    left = {path: [one for one in of if one.name not in reasons] for path, of in found.items()}
    trusted.update({path: len(of) - len(left[path]) for path, of in found.items()})
    return {path: of for path, of in left.items() if of}


def missed(run: Run, *, whole: bool) -> int:
    """How many survivors are missed. What is counted is compared only where *whole* modules were tried."""
    found = 0
    limits = allowed()
    for path in run.found:
        alive = [mutant for target, mutant in run.alive if target == path]
        if not counted(path):
            found += sum(mutant.name not in run.reasons for mutant in alive)
        elif whole and len(alive) > (limit := limits.get(path, 0)):
            say(f"{path}: {len(alive)} survived, and tests/mutants.md allows {limit}")
            found += len(alive) - limit
        elif whole and len(alive) < limit:
            say(f"{path}: only {len(alive)} survived: write that into tests/mutants.md instead of {limit}")
    return found


def tell_packages(run: Run) -> None:
    """Tell how many of each package are noticed."""
    of, alive = Counter[str](), Counter[str]()
    for path, mutants_of in run.found.items():
        of[_package(path)] += len(mutants_of) + run.trusted[path]
        alive[_package(path)] += run.trusted[path]
    for path, _ in run.alive:
        alive[_package(path)] += 1
    for package, count in of.items():
        noticed = 100 * (count - alive[package]) / count
        less = "" if noticed >= AT_LEAST[counted(f"{package}/")] else ": TOO FEW"
        say(f"{package}: {count - alive[package]} of {count} noticed, {noticed:.1f} %{less}")


def _package(path: str) -> str:
    root = next((package for package in PACKAGES if path.startswith(package)), path.partition("/")[0])
    inner = path.removeprefix(f"{root}/").split("/")
    return f"{root}/{inner[0]}" if root == PACKAGES[0] and len(inner) > 1 else root


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--module", default="", help="part of a path")
    parser.add_argument("--only", default="", help="part of a mutant's name")
    parser.add_argument("--changed", action="store_true", help="what differs from origin/main")
    parser.add_argument("--breakages", action="store_true", help="the rows of tests/breakages.toml")
    parser.add_argument("--trust", action="store_true", help="take what has a reason for a survivor, untried")
    parser.add_argument("--part", default="", help="3/40: one of 40 parts, those that --parts lists")
    parser.add_argument("--parts", action="store_true", help="list the parts as JSON, and try nothing")
    parser.add_argument("--workers", type=int, default=2, help="mutants that are tried at the same time")
    parser.add_argument("--kit", action="store_true", help="those of the kit, in its environment")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the mutants that are asked for; 1 if one is missed, 2 if tests fail as the code is."""
    wanted = options().parse_args(arguments)
    if wanted.parts:
        count = len(parts())
        say(json.dumps([f"{number}/{count}" for number in range(1, count + 1)]))
        return 0
    lines = changed() if wanted.changed else {}
    paths = chosen_paths(wanted, lines)
    own = [path for path in paths if of_kit(path) is wanted.kit]
    status = 0
    if not wanted.kit and len(own) < len(paths):
        subprocess.run(("make", "--silent", "kit/.venv/.made"), cwd=ROOT, check=True)
        python = ROOT / "kit/.venv/bin/python"
        status = subprocess.run((python, __file__, "--kit", *arguments), check=False).returncode
    if not (found := chosen_mutants(wanted, own, lines)):
        return status
    os.chdir(ROOT / "kit" if wanted.kit else ROOT)
    for library in PRELOADED[wanted.kit]:
        if importlib.util.find_spec(library):
            importlib.import_module(library)
    ends = time.monotonic() + (LONGEST_CHANGED if wanted.changed else float("inf"))
    trusted = Counter[str]()
    if wanted.trust:
        found = without_reasons(found, trusted)
    run = Run(found, wanted.workers, ends, trusted=trusted)
    run.go()
    whole = not (wanted.only or wanted.changed or wanted.breakages)
    without = missed(run, whole=whole) if not wanted.breakages else len(run.alive)
    if whole:
        tell_packages(run)
    for test in run.failing:
        say(f"{test} fails as the code is")
    if run.untried:
        say(f"{run.untried} were not tried: five minutes are over")
    say(
        f"{without} survived without a reason in tests/mutants.md"
        if not wanted.breakages
        else f"{without} survived"
    )
    return max(status, 2 if run.failing else 1 if without else 0)


if __name__ == "__main__":
    os.environ.update({"CI": "true", "OMP_NUM_THREADS": "1"})  # Hypothesis tries the same examples each time
    os.environ.setdefault("SEED", "1")  # ... and the tests the same samples
    sys.exit(main(sys.argv[1:]))
