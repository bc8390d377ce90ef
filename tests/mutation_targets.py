"""
The modules that `make mutate` breaks, the tests that have to notice, and the survivors that may remain.

Modules and tests are found, not listed: a module's tests are the files that are named after it or import it.
`ALSO` adds tests that reach a module without importing it, in place of slow ones that import its importers.
Paths are those of the repository.
"""

from __future__ import annotations

import ast
import functools
import re
import tomllib
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
LISTED = ROOT / "tests" / "mutants.md"
BREAKAGES = ROOT / "tests" / "breakages.toml"

PACKAGES = ("functions/ml_janitor", "cli/ml_janitor_cli", "kit/src/janitor_kit")
"""All their modules are targets but those of `FOR_TRAINERS`."""

FOR_TRAINERS = tuple(f"kit/src/janitor_kit/spot_{trainer}.py" for trainer in ("lightning", "transformers"))
"""Modules for libraries that `make kit-soak` alone installs, and tests in processes of their trainers."""

IMPORTED_FROM = ("functions", "cli", "kit/src", "")
"""The folders on the path of modules; the last is that of `infra` and `app`."""

COUNTED = (
    "cli/",
    "functions/ml_janitor/report/",
    "functions/ml_janitor/scheduled/",
    "functions/ml_janitor/slack/client.py",
    "functions/ml_janitor/slack/digest.py",
)
"""Modules whose survivors are counted, and the count may only fall; elsewhere each survivor has a reason."""

AT_LEAST = {True: 85, False: 95}
"""The percentage of a module's package that tests notice: where survivors are counted, and elsewhere."""

MOST = 10
"""The most files of unit tests that are found for a module, and half as many others; `ALSO` comes on top."""

ENOUGH = 3
"""Where fewer test files import a module, those count too that test what imports it."""

COMMON = {"__init__", "rule", "main", "command", "stack"}
"""Names of modules after which no test file is named."""

ALSO: Mapping[str, tuple[str, ...]] = {
    "functions/ml_janitor/acting/acting.py": (
        "unit/test_undoing.py",
        "unit/test_limits.py",
        "attacks/test_limits_that_are_filled_before.py",
        "attacks/test_warnings_that_nobody_gave.py",
    ),
    "functions/ml_janitor/acting/undoing.py": (
        "attacks/test_origin_of_an_undo.py",
        "attacks/test_presses_at_the_worker.py",
        "attacks/test_records_before_their_verification.py",
    ),
    "functions/ml_janitor/acting/warning.py": ("unit/test_acting.py",),
    "functions/ml_janitor/acting/after_sweep.py": ("unit/test_acting.py",),
    "functions/ml_janitor/engine/": ("unit/test_engine.py", "unit/test_sweep_run.py"),
    "functions/ml_janitor/engine/detector.py": (
        "unit/test_spot_training.py",
        "integration/test_family_advisers.py",
    ),
    "functions/ml_janitor/ledger/": ("unit/test_undoing.py",),
    "functions/ml_janitor/ledger/limits.py": ("attacks/test_limits_that_are_filled_before.py",),
    "functions/ml_janitor/ledger/findings.py": ("integration/test_cli_ledger.py",),
    "functions/ml_janitor/ledger/idempotency.py": ("integration/test_idempotency.py",),
    "functions/ml_janitor/aws/": ("unit/test_reading_limits.py",),
    "functions/ml_janitor/bill/resources.py": ("unit/test_reading_limits.py",),
    "functions/ml_janitor/aws/calls.py": ("unit/test_client.py", "unit/test_s3.py"),
    "functions/ml_janitor/aws/client.py": ("unit/test_run_lists.py", "unit/test_tags.py"),
    "functions/ml_janitor/aws/tags.py": ("unit/test_detector.py", "unit/test_events.py"),
    "functions/ml_janitor/bill/report.py": ("integration/test_reading_the_bill.py",),
    "functions/ml_janitor/report/digest.py": (
        "unit/test_daily_digest.py",
        "integration/test_weekly_advice.py",
    ),
    "functions/ml_janitor/report/finding_words.py": (
        "unit/test_report_announcement.py",
        "unit/test_report_warnings.py",
    ),
    "functions/ml_janitor/report/warnings.py": ("unit/test_message_updates.py",),
    "cli/ml_janitor_cli/template/": (
        "infra/test_stack.py",
        "infra/test_armed.py",
        "infra/test_alarms.py",
        "infra/test_organization.py",
    ),
    "cli/ml_janitor_cli/template/keys.py": ("attacks/test_closed_ledger.py",),
    "functions/ml_janitor/detectors/idle_studio_apps.py": ("integration/test_deleting_studio_apps.py",),
    "functions/ml_janitor/config/member_roles.py": ("infra/test_member.py",),
    "functions/ml_janitor/config/settings.py": ("unit/test_undo_roles.py",),
    "functions/ml_janitor/config/values.py": ("unit/test_settings.py", "unit/test_settings_commands.py"),
    "functions/ml_janitor/config/schedules.py": ("unit/test_arming_warnings.py",),
    "functions/ml_janitor/core/model.py": (
        "unit/test_money.py",
        "unit/test_explanation.py",
        "unit/test_acting.py",
        "unit/test_idle_endpoints.py",
    ),
    "functions/ml_janitor/core/tiering.py": ("properties/test_tiering.py",),
    "functions/ml_janitor/core/results.py": (
        "unit/test_counting.py",
        "unit/test_money.py",
        "unit/test_stored_causes.py",
    ),
    "functions/ml_janitor/detectors/": ("integration/test_listings_that_break_off.py",),
    "functions/ml_janitor/detectors/duplicate_artifacts/": (
        "unit/test_duplicate_artifacts.py",
        "integration/test_deleting_copies.py",
        "integration/test_proving_copies.py",
    ),
    "functions/ml_janitor/detectors/duplicate_artifacts/rule.py": ("integration/test_inventories.py",),
    "functions/ml_janitor/detectors/duplicate_artifacts/inventor": ("integration/test_inventories.py",),
    "functions/ml_janitor/detectors/forgotten_leftovers/failed_jobs.py": (
        "integration/test_outputs_of_failed_jobs.py",
    ),
    "functions/ml_janitor/detectors/forgotten_leftovers/": ("integration/test_setting_retentions.py",),
    "functions/ml_janitor/detectors/idle_notebooks.py": ("integration/test_stopping_notebooks.py",),
    "functions/ml_janitor/detectors/generous_": ("integration/test_family_advisers.py",),
    "functions/ml_janitor/detectors/spot_training.py": ("integration/test_family_advisers.py",),
    "functions/ml_janitor/detectors/idle_endpoints/": ("integration/test_endpoint_cleanup.py",),
    "functions/ml_janitor/detectors/hung_training_jobs/rule.py": ("integration/test_restarting_jobs.py",),
    "functions/ml_janitor/detectors/hung_training_jobs/reading.py": ("integration/test_hung_other_jobs.py",),
    "functions/ml_janitor/detectors/hung_training_jobs/jobs.py": ("integration/test_hung_other_jobs.py",),
    "functions/ml_janitor/detectors/hung_training_jobs/progress.py": ("integration/test_hung_other_jobs.py",),
    "functions/ml_janitor/detectors/untagged_resources/": ("integration/test_filling_tags.py",),
    "functions/ml_janitor/detectors/storage_tiering/rule.py": (
        "integration/test_lifecycle_rules_by_night.py",
    ),
    "functions/ml_janitor/detectors/storage_tiering/": ("integration/test_adding_lifecycle_rules.py",),
    "functions/ml_janitor/ledger/table.py": ("integration/test_memory_table.py",),
    "functions/ml_janitor/scheduled/bill_run.py": (
        "integration/test_nightly_bill.py",
        "integration/test_organization_bill.py",
    ),
    "functions/ml_janitor/scheduled/invocation.py": ("integration/test_handlers.py",),
    "functions/ml_janitor/scheduled/sweep_run.py": (
        "unit/test_acting.py",
        "unit/test_after_sweep.py",
    ),
    "functions/ml_janitor/scheduled/watch.py": ("infra/test_alarms.py",),
    "functions/ml_janitor/slack/digest.py": ("integration/test_weekly_advice.py",),
    "functions/ml_janitor/deployment.py": (
        "attacks/test_accounts_left_out.py",
        "integration/test_digest.py",
        "integration/test_notify.py",
    ),
    "functions/ml_janitor/handlers.py": (
        "attacks/test_presses_at_the_worker.py",
        "integration/test_digest.py",
        "integration/test_handlers.py",
        "integration/test_nightly_bill.py",
        "integration/test_accounts.py",
        "integration/test_organization_armed.py",
        "integration/test_organization_sweeps.py",
        "integration/test_presses.py",
        "integration/test_notify.py",
    ),
    "kit/src/janitor_kit/batching.py": ("test_batching_schedules.py",),
    "cli/ml_janitor_cli/audit": ("integration/test_cli_audit.py", "integration/test_cli_bill.py"),
    "cli/ml_janitor_cli/bill": ("integration/test_cli_bill.py",),
    "cli/ml_janitor_cli/deployment": (
        "integration/test_doctor_deployment.py",
        "integration/test_doctor_bill.py",
    ),
    "cli/ml_janitor_cli/doctor": ("integration/test_cli_doctor.py", "integration/test_organization.py"),
    "cli/ml_janitor_cli/estimate/": ("integration/test_cli_estimate.py",),
    "cli/ml_janitor_cli/estimate/batching.py": ("integration/test_measuring_an_endpoint.py",),
    "cli/ml_janitor_cli/explain": ("integration/test_cli_explain.py",),
    "cli/ml_janitor_cli/forget": ("integration/test_cli_ledger.py", "integration/test_forgetting_reports.py"),
    "cli/ml_janitor_cli/ledger": ("integration/test_cli_ledger.py",),
    "cli/ml_janitor_cli/ledger_session.py": ("integration/test_organization_sweeps.py",),
    "cli/ml_janitor_cli/main.py": ("integration/test_cli_audit.py",),
    "cli/ml_janitor_cli/explain.py": ("unit/test_secret_names.py",),
    "cli/ml_janitor_cli/policies.py": ("integration/test_policies.py",),
    "cli/ml_janitor_cli/replay.py": ("integration/test_replay.py",),
    "cli/ml_janitor_cli/sandbox.py": ("integration/test_cli_sandbox.py",),
    "cli/ml_janitor_cli/stack.py": ("integration/test_doctor_deployment.py",),
    "cli/ml_janitor_cli/sweep.py": ("integration/test_cli_ledger.py",),
}
"""Tests that reach modules without importing them, by the beginning of the modules' paths."""


class Breakage(NamedTuple):
    """A row of tests/breakages.toml: a text of a module, and the text that breaks the module there."""

    file: str
    old: str
    new: str
    why: str
    tests: tuple[str, ...] = ()


@functools.cache
def breakages() -> tuple[Breakage, ...]:
    files = tomllib.loads(BREAKAGES.read_text("utf-8"))
    tests = {file: rows.pop("tests", ()) for file, rows in files.items()}
    return tuple(
        Breakage(file, old, new, why, tuple(own or tests[file]))
        for file, rows in files.items()
        for why, (old, new, *own) in rows.items()
    )


def targets() -> list[str]:
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return sorted({path.relative_to(ROOT).as_posix() for path in files}.difference(FOR_TRAINERS))


def of_kit(path: str) -> bool:
    return path.startswith("kit/")


def counted(path: str) -> bool:
    """Whether survivors of a module are only counted."""
    return path.startswith(COUNTED)


def module_name(path: str) -> str:
    root = next(root for root in IMPORTED_FROM if path.startswith(root))
    return path.removeprefix(root).removesuffix(".py").removesuffix("/__init__").strip("/").replace("/", ".")


def known() -> dict[str, str]:
    """The reasons of tests/mutants.md, by the module's path and the name of the mutant."""
    found, path = {}, ""
    for line in LISTED.read_text(encoding="utf-8").splitlines():
        if heading := re.fullmatch(r"## (\S+\.py)", line):
            path = heading[1]
        elif survivor := re.fullmatch(r"- `(.+?)`: (.+)", line):
            found[f"{path} {survivor[1]}"] = survivor[2]
    return found


def allowed() -> dict[str, int]:
    """How many survivors of a module tests/mutants.md counts."""
    rows = re.findall(r"^\| (\S+\.py) \| (\d+) \|$", LISTED.read_text(encoding="utf-8"), re.MULTILINE)
    return {path: int(count) for path, count in rows}


# --- the tests of a module ------------------------------------------------------------------------


def nearest_tests(path: str) -> list[Path]:
    """The test files that have to notice a broken module: the nearest first, unit tests before others."""
    folder = ROOT / ("kit/tests" if of_kit(path) else "tests")
    if path.startswith(("infra/", "app.py")):
        return sorted(folder.glob("infra/test_*.py"))
    near = _near(path)
    also = [folder / test for start, tests in ALSO.items() if path.startswith(start) for test in tests]
    found = sorted(near, key=lambda test: (near[test], test))
    quick = [test for test in found if not near[test][1]]
    direct = any(near[test][0] < 2 for test in quick)
    slow = [
        test
        for test in found
        if near[test][1] and (near[test][0] == 0 or not (direct or (also and near[test][0] == 3)))
    ]
    return list(dict.fromkeys([*quick[:MOST], *slow[: MOST // 2], *also]))


def _near(path: str) -> dict[Path, tuple[int, bool, int]]:
    """How near test files are: by name or import, whether they are slow, and what else they import."""
    imports, importers = _imports(of_kit(path)), _importers(of_kit(path))
    name, stem = module_name(path), Path(path).stem
    family = _family(name) or name
    named = {
        f"test_{family.rpartition('.')[2]}",
        *([] if stem in COMMON else [f"test_{stem}", f"test_cli_{stem}"]),
    }
    found: dict[Path, tuple[int, bool, int]] = {}
    for test, imported in imports.items():
        if test.stem in named:
            distance = 0
        elif name in imported:
            distance = 1
        elif any(f"{other}.".startswith(f"{family}.") for other in imported):
            distance = 2
        else:
            continue
        found[test] = distance, not _quick(test), len(imported)
    if sum(distance < 2 for distance, _, _ in found.values()) < ENOUGH:
        for test, imported in imports.items():
            if imported & importers[name]:
                found.setdefault(test, (3, not _quick(test), len(imported)))
    return found


def _quick(test: Path) -> bool:
    """Whether a file has unit tests: others start a whole AWS for each mutant."""
    return "unit" in test.parts or "kit" in test.parts


def _family(name: str) -> str | None:
    """The package of a detector that has one: whoever tests one of its modules tests the others."""
    parts = name.split(".")
    return ".".join(parts[:3]) if parts[:2] == ["ml_janitor", "detectors"] and len(parts) > 3 else None


@functools.cache
def _imports(kit: bool) -> dict[Path, set[str]]:  # noqa: FBT001 - one of two environments
    files = sorted((ROOT / "kit/tests" if kit else ROOT / "tests").rglob("test_*.py"))
    return {path: _imported(path) for path in files if not {"node_modules", "properties"} & {*path.parts}}


@functools.cache
def _importers(kit: bool) -> Mapping[str, set[str]]:  # noqa: FBT001 - one of two environments
    found = defaultdict[str, set[str]](set)
    for path in targets():
        if of_kit(path) is kit:
            for name in _imported(ROOT / path):
                found[name].add(module_name(path))
    return found


def _imported(path: Path) -> set[str]:
    return {_home(module, name) for module, name in _statements(path) if module in _modules()}


@functools.cache
def _modules() -> dict[str, Path]:
    return {module_name(path): ROOT / path for path in targets()}


@functools.cache
def _statements(path: Path) -> list[tuple[str, str]]:
    """The modules and names of all statements that import."""
    found = list[tuple[str, str]]()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [(node.module, alias.name) for alias in node.names]
    return found


def _home(module: str, name: str) -> str:
    """The module in which a name is defined that is imported from *module*."""
    there = _modules()
    if f"{module}.{name}" in there:
        return f"{module}.{name}"
    if there[module].name == "__init__.py":
        for inner, what in _statements(there[module]):
            if what == name and inner in there and inner != module:
                return _home(inner, name)
    return module
