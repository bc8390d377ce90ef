"""
Breaks one operator, number, condition or statement of a module after the other; lists what no test notices.

`make mutate` goes over `TARGETS`; `make mutate MODULE=part/of/a/path ONLY=part_of_a_name` over some of them.
All tests of the targets run once, and note which lines they execute and how long they take. Then each mutant
runs in a process of its own, forked with everything loaded, in which functions get the broken code: of the
tests that reach the broken statement the quickest first, until one fails. What runs while the module is
imported (constants, defaults) needs a process that has not imported it yet, and all tests of the target.
No file is touched, and texts are not changed. A survivor is missed unless tests/mutants.md names it with its
reason.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import functools
import gc
import importlib
import json
import os
import re
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from itertools import islice
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parent.parent
LISTED = ROOT / "tests" / "mutants.md"
SOURCE = "functions/ml_janitor"
SECONDS = 300
"""After which a mutant counts as noticed: it may not end. A loaded machine gets as much of its own time."""

SLOWER = 5
"""How many times the processor time of its tests a mutant may take, besides ten seconds."""

WORKERS = 2
"""Mutants that run at the same time."""

BROKEN = 3
"""How a process exits that could not try its mutant."""

ERRORS = os.fdopen(os.dup(2), "w", buffering=1)
"""Where errors of the harness go; the processes that try mutants write nowhere else."""

TARGETS = {
    "slack/announcements.py": ("unit/test_announcer.py",),
    "slack/digest_actions.py": ("unit/test_action_history.py",),
    "slack/ingress.py": ("unit/test_ingress.py",),
    "slack/message_updates.py": ("unit/test_message_updates.py",),
    "slack/membership.py": ("unit/test_membership.py",),
    "slack/refusals.py": ("unit/test_webhook.py",),
    "slack/retries.py": ("unit/test_retries.py",),
    "slack/secret.py": ("unit/test_slack_secret.py",),
    "slack/sender.py": ("unit/test_webhook.py",),
    "slack/warnings.py": ("unit/test_warning_sender.py",),
    "slack/webhook.py": ("unit/test_webhook.py",),
    "slack/press_request.py": ("unit/test_press_request.py",),
    "slack/press_worker.py": ("unit/test_press_worker.py",),
    "acting/machine.py": (
        "unit/test_action_machine.py",
        "integration/test_acting.py",
        "integration/test_resuming.py",
    ),
    "acting/recheck.py": (
        "unit/test_action_machine.py",
        "integration/test_acting.py",
        "integration/test_holds.py",
    ),
    "acting/warning.py": ("unit/test_warning.py", "integration/test_acting.py"),
    "acting/undo_run.py": ("unit/test_undoing.py",),
    "acting/undoing.py": ("unit/test_undoing.py", "integration/test_finding_the_undo.py"),
    "acting/acting.py": (
        "unit/test_armed_sweep.py",
        "unit/test_action_machine.py",
        "integration/test_acting.py",
        "integration/test_breaking_off.py",
        "integration/test_resuming.py",
        "integration/test_unpreparable.py",
    ),
    "acting/after_sweep.py": (
        "unit/test_after_sweep.py",
        "integration/test_breaking_off.py",
        "integration/test_unpreparable.py",
    ),
    "acting/undos.py": ("unit/test_undos.py",),
    "acting/savings.py": ("unit/test_savings.py",),
    "engine/detector.py": ("unit/test_detector.py",),
    "engine/holds.py": ("unit/test_holds.py", "unit/test_engine.py", "unit/test_press_worker.py"),
    "engine/policy.py": ("unit/test_engine.py",),
    "engine/judging.py": ("unit/test_engine.py", "unit/test_unused_serving_resources.py"),
    "engine/run.py": ("unit/test_engine.py",),
    "engine/arming.py": ("unit/test_arming.py",),
    "engine/undo_roles.py": ("unit/test_undo_roles.py",),
    "engine/failures.py": ("unit/test_failures.py",),
    "ledger/limits.py": ("unit/test_limits.py",),
    "ledger/findings.py": ("unit/test_findings.py", "unit/test_warning.py"),
    "ledger/action.py": ("unit/test_actions.py", "unit/test_savings.py"),
    "ledger/actions.py": ("unit/test_actions.py", "unit/test_undoing.py", "unit/test_action_machine.py"),
    "ledger/entries.py": ("unit/test_findings.py", "unit/test_warning.py"),
    "ledger/holds.py": ("unit/test_stored_holds.py",),
    "ledger/idempotency.py": ("integration/test_idempotency.py",),
    "ledger/latest.py": ("unit/test_latest.py",),
    "ledger/region_queue.py": ("unit/test_region_queue.py",),
    "ledger/runs.py": ("unit/test_run_lists.py",),
    "ledger/leases.py": ("unit/test_leases.py",),
    "ledger/macs.py": ("unit/test_actions.py", "unit/test_undoing.py"),
    "ledger/messages.py": ("unit/test_findings.py", "unit/test_press_worker.py"),
    "ledger/requests.py": ("unit/test_requests.py", "unit/test_press_worker.py"),
    "ledger/steps.py": ("unit/test_not_done.py", "unit/test_undoing.py"),
    "ledger/table.py": ("unit/test_table.py", "integration/test_memory_table.py"),
    "detectors/idle_endpoints/rule.py": (
        "unit/test_idle_endpoints.py",
        "unit/test_undo_roles.py",
        "integration/test_idle_endpoints.py",
        "integration/test_endpoint_cleanup.py",
    ),
    "detectors/idle_endpoints/silence.py": (
        "unit/test_idle_endpoints.py",
        "integration/test_idle_endpoints.py",
    ),
    "detectors/idle_endpoints/traffic.py": (
        "unit/test_idle_endpoints.py",
        "integration/test_idle_endpoints.py",
    ),
    "detectors/idle_endpoints/signals.py": (
        "unit/test_idle_endpoints.py",
        "integration/test_idle_endpoints.py",
    ),
    "detectors/hung_training_jobs/rule.py": (
        "unit/test_hung_training_jobs.py",
        "unit/test_hung_other_jobs.py",
        "unit/test_undo_roles.py",
        "integration/test_hung_training_jobs.py",
        "integration/test_restarting_jobs.py",
    ),
    "detectors/hung_training_jobs/progress.py": (
        "unit/test_hung_training_jobs.py",
        "unit/test_hung_other_jobs.py",
    ),
    "detectors/hung_training_jobs/training.py": (
        "unit/test_training.py",
        "unit/test_hung_training_jobs.py",
        "unit/test_hung_other_jobs.py",
    ),
    "detectors/hung_training_jobs/tuning.py": (
        "unit/test_hung_other_jobs.py",
        "integration/test_hung_other_jobs.py",
    ),
    "detectors/hung_training_jobs/load.py": ("unit/test_load.py", "unit/test_hung_training_jobs.py"),
    "detectors/hung_training_jobs/rhythm.py": ("unit/test_rhythm.py",),
    "detectors/idle_studio_apps/rule.py": (
        "unit/test_idle_studio_apps.py",
        "integration/test_idle_studio_apps.py",
        "integration/test_deleting_studio_apps.py",
    ),
    "detectors/untagged_resources/rule.py": (
        "unit/test_untagged_resources.py",
        "unit/test_filling.py",
        "integration/test_untagged_resources.py",
        "integration/test_filling_tags.py",
    ),
    "detectors/storage_tiering/rule.py": (
        "unit/test_storage_tiering.py",
        "integration/test_storage_tiering.py",
        "integration/test_lifecycle_rules_by_night.py",
    ),
    "detectors/forgotten_leftovers/rule.py": (
        "unit/test_forgotten_leftovers.py",
        "integration/test_forgotten_leftovers.py",
        "integration/test_setting_retentions.py",
    ),
    "core/results.py": ("unit/test_counting.py", "unit/test_money.py", "unit/test_report_json.py"),
    "core/exemptions.py": ("unit/test_exemptions.py",),
    "core/ownership.py": ("unit/test_ownership.py",),
    "core/job_families.py": ("unit/test_spot.py",),
    "core/signals.py": ("unit/test_signals.py", "unit/test_explanation.py", "unit/test_exemptions.py"),
    "core/cause.py": ("unit/test_report_outcomes.py", "unit/test_arming.py"),
    "detectors/duplicate_artifacts/rule.py": (
        "unit/test_duplicate_artifacts.py",
        "unit/test_act_prefixes.py",
        "integration/test_duplicate_artifacts.py",
        "integration/test_inventories.py",
        "integration/test_deleting_copies.py",
        "integration/test_proving_copies.py",
    ),
    "detectors/duplicate_artifacts/comparing.py": (
        "unit/test_comparing.py",
        "integration/test_proving_copies.py",
        "integration/test_deleting_copies.py",
    ),
    "detectors/duplicate_artifacts/contents.py": ("unit/test_contents.py", "unit/test_comparing.py"),
    "detectors/duplicate_artifacts/prefixes.py": (
        "unit/test_act_prefixes.py",
        "unit/test_duplicate_artifacts.py",
    ),
    "detectors/duplicate_artifacts/copy_cleanup.py": (
        "unit/test_duplicate_artifacts.py",
        "integration/test_deleting_copies.py",
        "integration/test_proving_copies.py",
    ),
    "detectors/duplicate_artifacts/sources.py": ("unit/test_artifacts.py", "unit/test_bucket_listing.py"),
    "detectors/duplicate_artifacts/artifact.py": (
        "unit/test_artifacts.py",
        "unit/test_artifact_survey.py",
        "unit/test_bucket_listing.py",
        "unit/test_duplicate_artifacts.py",
    ),
    "detectors/idle_notebooks/rule.py": (
        "unit/test_idle_notebooks.py",
        "integration/test_idle_notebooks.py",
        "integration/test_stopping_notebooks.py",
    ),
    "detectors/idle_notebooks/outside_hours.py": ("unit/test_idle_notebooks.py",),
    "detectors/idle_studio_apps/remote_sessions.py": (
        "unit/test_idle_studio_apps.py",
        "integration/test_idle_studio_apps.py",
    ),
    "detectors/idle_studio_apps/signs.py": ("unit/test_idle_studio_apps.py",),
    "detectors/duplicate_artifacts/copies.py": ("unit/test_copies.py", "unit/test_duplicate_artifacts.py"),
    "detectors/duplicate_artifacts/object_records.py": (
        "unit/test_object_records.py",
        "integration/test_deleting_copies.py",
    ),
    "detectors/duplicate_artifacts/copy_return.py": (
        "unit/test_object_records.py",
        "integration/test_deleting_copies.py",
        "integration/test_proving_copies.py",
    ),
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


def mutants(path: str, text: str) -> Iterator[Mutant]:
    """Every mutant of a module."""
    whole = ast.parse(text)
    cells = _cells(whole)
    for number, name in enumerate(names(path, whole)):
        tree = ast.parse(text)
        place, node, new, put = next(islice(_sites(tree), number, None))
        put(new)
        if _cells(ast.fix_missing_locations(tree)) != cells:  # a function cannot get such code
            place = place._replace(imported=True)
        yield Mutant(name, node.lineno, place, tree)


def names(path: str, tree: ast.Module) -> Iterator[str]:
    """The names of all mutants of a module."""
    for place, node, new, _ in _sites(tree):
        after = "nothing" if isinstance(new, ast.Pass) else ast.unparse(new)
        yield f"{path} {place.where or '(module)'}: {ast.unparse(node)} -> {after}"


def _cells(tree: ast.Module) -> list[tuple[str, ...]]:
    """What the functions of a module close over, such as their class."""
    return [code.co_freevars for code in _codes(compile(tree, "", "exec", dont_inherit=True))]


type Site = tuple[Place, Any, Any, Callable[[ast.AST], None]]


def _sites(tree: ast.Module) -> Iterator[Site]:
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
        case ast.Return(value=value) if value is not None and not _is_none(value):
            yield ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call() | ast.Await()):
            yield ast.Pass()
        case ast.Raise():
            yield ast.Pass()
    if member in {"test", "ifs", "guard"} and not isinstance(node, ast.Compare | ast.BoolOp | ast.UnaryOp):
        yield ast.UnaryOp(ast.Not(), node)


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _walk(node: Any, place: Place) -> Iterator[tuple[Place, Any, str, int | None, Any]]:
    """Every node that is executed, with its place; no annotations or decorators."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        place = place._replace(where=f"{place.where}.{node.name}".lstrip("."))
    for member, value in ast.iter_fields(node):
        if member in {"annotation", "returns", "type_params", "decorator_list"} or isinstance(
            node, ast.TypeAlias | ast.JoinedStr
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


# --- running them ---------------------------------------------------------------------------------


def surviving(found: Iterable[Mutant], passes: Callable[[Mutant], bool]) -> Iterator[Mutant]:
    """Those with which all tests pass; each is tried in a process of its own, WORKERS at a time."""
    waiting, running = iter(found), dict[int, Mutant]()
    while True:
        while len(running) < WORKERS and (mutant := next(waiting, None)) is not None:
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
        signal.alarm(SECONDS * max(1, round(os.getloadavg()[0])))
        status = 0 if run() else 1
    except Exception:
        ERRORS.write(traceback.format_exc())
        status = BROKEN
    finally:
        os._exit(status)


def _silent() -> None:
    """Send what this process writes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def _pytest(tests: Iterable[str], *plugins: object) -> int:
    import pytest

    quiet = ("-q", "-x", "-p", "no:cacheprovider")
    return int(pytest.main([*quiet, *tests], plugins=list(plugins)))


@dataclass
class Loaded:
    """
    A session of pytest that runs its tests once, and then mutants in forks of its process.

    *found* are the mutants by target; those that need an import are left out. *survived* gets each survivor
    and its target. *reaching* are the lines and the seconds of each test, by target and node id.
    """

    found: Mapping[str, Sequence[Mutant]]
    survived: Callable[[str, Mutant], None]
    reaching: dict[str, dict[str, tuple[set[int], float]]] = field(default_factory=dict)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            return True
        for name in self.found:
            module = f"{SOURCE.rpartition('/')[2]}/{name.removesuffix('.py')}".replace("/", ".")
            importlib.import_module(module)
        self._record(session.items)
        session.testsfailed = 0 if self.reaching else 1
        _forget()
        items = {item.nodeid: item for item in session.items}
        for name in self.reaching:
            functions = _functions(ROOT / SOURCE / name)

            def passes(mutant: Mutant, name: str = name, functions: Any = functions) -> bool:
                _replace(ROOT / SOURCE / name, mutant.tree)
                swap(functions, compile(mutant.tree, str(ROOT / SOURCE / name), "exec", dont_inherit=True))
                tests = self.tests(name, mutant.place.lines)
                most = 10 + round(SLOWER * sum(self.reaching[name][test][1] for test in tests))
                resource.setrlimit(resource.RLIMIT_CPU, (most, most))
                return _pass([items[test] for test in tests])

            for mutant in surviving([one for one in self.found[name] if not one.place.imported], passes):
                self.survived(name, mutant)
        return True

    def tests(self, name: str, lines: range | None = None) -> list[str]:
        """The tests of the target *name*, or those that execute any of *lines* of it; the quickest first."""
        reached = self.reaching[name].items()
        chosen = [(took, test) for test, (there, took) in reached if lines is None or there & {*lines}]
        return [test for _, test in sorted(chosen)]

    def _record(self, items: Sequence[pytest.Item]) -> None:
        """Run all tests, and note what they reach; nothing is noted if one fails."""
        executed: set[tuple[str, int]] = set()
        watch, of = sys.monitoring, {str(ROOT / SOURCE / name): name for name in self.found}
        watch.use_tool_id(watch.COVERAGE_ID, "mutation")
        watch.register_callback(
            watch.COVERAGE_ID,
            watch.events.LINE,
            lambda code, line: executed.add((of[code.co_filename], line)),
        )
        for path in of:
            for function in _functions(Path(path)):
                for code in _codes(function.__code__):
                    watch.set_local_events(watch.COVERAGE_ID, code, watch.events.LINE)
        reaching: dict[str, dict[str, tuple[set[int], float]]] = {name: {} for name in self.found}
        for item, following in zip(items, [*items[1:], None], strict=True):
            executed.clear()
            began = time.process_time()
            if not _pass([item], following):
                ERRORS.write(f"{item.nodeid} fails\n")
                return
            took = time.process_time() - began
            for name in self.found:
                if any(item.path == ROOT / "tests" / test for test in TARGETS[name]):
                    lines = {line for one, line in executed if one == name}
                    reaching[name][item.nodeid] = lines, took
        watch.free_tool_id(watch.COVERAGE_ID)
        self.reaching = reaching


def _pass(items: Sequence[pytest.Item], after: pytest.Item | None = None) -> bool:
    """Whether all *items* pass; *after* is what comes next, which keeps the fixtures that it uses."""
    from _pytest.runner import runtestprotocol

    return not any(
        report.failed
        for item, following in zip(items, [*items[1:], after], strict=False)
        for report in runtestprotocol(item, log=False, nextitem=following)
    )


def _forget() -> None:
    """Forget what the project's functions remember: it comes from the code as it is."""
    for one in gc.get_objects():
        if isinstance(one, functools._lru_cache_wrapper) and one.__module__.startswith("ml_janitor"):
            one.cache_clear()


def _functions(path: Path) -> list[FunctionType]:
    """The functions that the import of the module at *path* left."""
    gc.unfreeze()
    return [
        one
        for one in gc.get_objects()
        if isinstance(one, FunctionType)
        and one.__code__.co_filename == str(path)
        and "<locals>" not in one.__qualname__
    ]


def _codes(code: CodeType) -> Iterator[CodeType]:
    """*code* and what is nested in it."""
    yield code
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield from _codes(one)


def swap(functions: Sequence[FunctionType], module: CodeType) -> None:
    """Give *functions* their code in *module*."""
    there = {(code.co_qualname, code.co_firstlineno): code for code in _codes(module)}
    for function in functions:
        function.__code__ = there[function.__code__.co_qualname, function.__code__.co_firstlineno]


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


def _loaded(
    found: Mapping[str, Sequence[Mutant]], survived: Callable[[str, Mutant], None]
) -> dict[str, list[str]]:
    """
    Run the mutants that need no import in a process with everything loaded. The tests of each target then.

    There are none if a test fails as the code is.
    """
    reading, writing = os.pipe()

    def run() -> bool:
        with os.fdopen(writing, "w", buffering=1) as answers:

            def send(*answer: object) -> None:
                answers.write(f"{json.dumps(answer)}\n")

            signal.alarm(0)
            _silent()
            loaded = Loaded(found, lambda name, mutant: send(name, found[name].index(mutant)))
            files = {test: None for name in found for test in TARGETS[name]}
            if _pytest((str(ROOT / "tests" / test) for test in files), loaded) == 0:
                send(None, {name: loaded.tests(name) for name in loaded.reaching})
            return True

    child = _forked(run)
    os.close(writing)
    tests: dict[str, list[str]] = {}
    with os.fdopen(reading) as answers:
        for name, answer in map(json.loads, answers):
            if name is None:
                tests = answer
            else:
                survived(name, found[name][answer])
    os.waitpid(child, 0)
    return tests


def main(wanted: str, only: str) -> int:
    """Run the mutants named *only* of the targets with *wanted* in their path; 1 if one is missed."""
    os.chdir(ROOT)
    explained, alive = known(), list[tuple[str, Mutant]]()
    found = {
        name: [one for one in mutants(name, (ROOT / SOURCE / name).read_text("utf-8")) if only in one.name]
        for name in TARGETS
        if wanted in name
    }

    def survived(name: str, mutant: Mutant) -> None:
        alive.append((name, mutant))
        say(f"  line {mutant.line}: {mutant.name}: {explained.get(mutant.name, 'NOT NOTICED')}")

    for library in PRELOADED:
        importlib.import_module(library)
    tests = _loaded(found, survived)
    if tests.keys() != found.keys():
        say("the tests fail as the code is")
        return 2
    for name, ids in tests.items():

        def passes(mutant: Mutant, name: str = name, ids: Sequence[str] = ids) -> bool:
            _silent()
            _replace(ROOT / SOURCE / name, mutant.tree)
            return not ids or _pytest(ids) == 0

        for mutant in surviving([one for one in found[name] if one.place.imported], passes):
            survived(name, mutant)
        of = len(found[name])
        say(f"{name}: {of - sum(target == name for target, _ in alive)} of {of} noticed")
    missed = {mutant.name for _, mutant in alive} - explained.keys()
    say(f"{len(missed)} survived without a reason in tests/mutants.md")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(*[*sys.argv[1:], "", ""][:2]))
