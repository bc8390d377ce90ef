"""
Prints how large this project is to live in: `make measures`.

One idle endpoint's way through the functions' handlers, with settings and Slack, is the way that is counted.
"""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from datetime import timedelta
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType, SimpleNamespace
from typing import Any

import naming
import prose

ROOT = naming.ROOT
PACKAGE = ROOT / "functions" / "ml_janitor"
GENERATED = re.compile(
    r"(^|/)package-lock\.json$|^requirements/|^events/|^tests/upgrade/.*\.json(\.xz)?$|^docs/(images|generated)/|^docs/[^/]*\.(html|svg)$"
    r"|^tests/stable_names\.toml$|^bench/counted\.json$"
    r"|\.(png|jpe?g|gif|ico|svg|otf|gz|zip)$"
)
"""Locks, recordings, payloads, counts, names, fonts and pictures: no line of them was written by hand."""

GROUPS = {
    "functions, cli, infra": ("functions/", "cli/", "infra/", "app.py"),
    "tests, sandbox": ("tests/", "sandbox/", "corrections/"),
}


def main() -> None:
    say("executed for one endpoint", one_endpoints_way())
    for what, number in house():
        say(what, number)
    python = []
    for group, where in GROUPS.items():
        counted = dict(lines(where))
        python.append(sum(number for name, number in counted.items() if name.endswith(".py")))
        total = f"{sum(counted.values()):,} in {len(counted)} files"
        say(f"lines of {group}", f"{total} ({python[-1]:,} of Python)")
    say("lines of tests for one of code", f"{python[1] / python[0]:.2f}")
    say("left out of lines", "lock files, recordings of an earlier version, fonts, pictures")


def house() -> Iterator[tuple[str, str]]:
    """What it takes to find one's way in functions, cli and infra: files, imports, names, exceptions."""
    code = naming.trees()
    product = {path: tree for path, tree in code.items() if path.startswith(naming.HOUSES[0])}
    yield "files of Python", f"{len(product)}, {sum(map(import_lines, product.values())):,} lines of imports"
    names, again = naming.definitions(code, naming.HOUSES[0]), naming.shared(product)
    yield "public names", f"{len(names):,}, of which {len(again):,} stand in several modules"
    yield "variables called `one`", f"{sum(1 for _ in naming.called_one(code)):,}"
    yield "lapses of language", f"{sum(1 for _ in prose.violations(code)):,}"
    yield "exception classes", str(sum(map(exceptions, product.values())))


def import_lines(tree: ast.Module) -> int:
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))
    return sum((node.end_lineno or node.lineno) - node.lineno + 1 for node in nodes)


def exceptions(tree: ast.Module) -> int:
    """The classes of a module that are named after an error, or derive from one."""
    classes = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    return sum(
        any("Error" in ast.unparse(base) or "Exception" in ast.unparse(base) for base in node.bases)
        for node in classes
    )


def say(what: str, found: object) -> None:
    sys.stdout.write(f"{what + ':':32}{found}\n")


# --- what is executed -----------------------------------------------------------------------------

TOOL = sys.monitoring.PROFILER_ID
OPTIMIZED = 0x1
"""`CO_OPTIMIZED`: a function, and not the body of a class or a module."""


@dataclass
class Executed:
    """The files and functions of the package that were executed, in any thread; an import is no execution."""

    files: set[str] = field(default_factory=set)
    functions: set[tuple[str, str, int]] = field(default_factory=set)

    def __str__(self) -> str:
        named = sum(not name.endswith(">") and "<generic" not in name for _, name, _ in self.functions)
        return f"{len(self.files)} files, {len(self.functions)} functions, {named} of them with a name"

    def __enter__(self) -> None:
        sys.monitoring.restart_events()
        sys.monitoring.use_tool_id(TOOL, "measures")
        sys.monitoring.register_callback(TOOL, sys.monitoring.events.PY_START, self._started)
        sys.monitoring.set_events(TOOL, sys.monitoring.events.PY_START)

    def __exit__(self, *_: object) -> None:
        sys.monitoring.set_events(TOOL, sys.monitoring.events.NO_EVENTS)
        sys.monitoring.free_tool_id(TOOL)

    def _started(self, code: CodeType, _: int) -> object:
        ours = code.co_filename.startswith(f"{PACKAGE}{os.sep}") and code.co_filename.endswith(".py")
        if ours and code.co_flags & OPTIMIZED:
            self.files.add(code.co_filename)
            self.functions.add((code.co_filename, code.co_qualname, code.co_firstlineno))
        return sys.monitoring.DISABLE


SETTINGS = """
[janitor]
slack_channel = "C0MLCOSTS"
slack_secret = "ml-janitor/slack"

[detectors.idle-endpoints]
mode = "act"
act_in = ["123456789012"]
business_days = false
"""


def one_endpoints_way() -> Executed:
    """Run an idle endpoint through sweeps that warn and delete it, and through its undo."""
    import boto3

    from conftest import ACCOUNT, NOW, REGION
    from ml_janitor import handlers
    from ml_janitor.ledger.actions import Actions
    from ml_janitor.ledger.table import Table
    from standin import undo_event

    context: Any = SimpleNamespace(
        aws_request_id="request",
        function_name="janitor",
        invoked_function_arn=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:janitor",
        get_remaining_time_in_millis=lambda: 900_000,
    )
    seen = Executed()
    with deployment() as control, redirect_stdout(StringIO()), seen:
        for days in range(8):  # a warning that reached no owner directly doubles the grace
            now = NOW + timedelta(days=days)
            control.set_clock(now)
            os.environ["JANITOR_NOW"] = now.isoformat()
            handlers.sweep({"time": f"{now:%Y-%m-%dT%H:%M:%SZ}"}, context)
        table = Table(boto3.client("dynamodb"), os.environ["JANITOR_TABLE"])
        (action,) = Actions(table).all("idle-endpoints", ACCOUNT, REGION)
        event = undo_event(action, boto3.client("kms"), os.environ, at=now)
        if not handlers.undo(event, context)["done"]:
            raise RuntimeError("nothing was undone")
    return seen


@contextmanager
def deployment() -> Iterator[Any]:
    """A sandbox of its own with an idle endpoint, and the environment of the functions; its controls."""
    import boto3

    from conftest import NOW, REGION
    from endpoint_seed import Serving
    from ml_janitor_sandbox.control import Control
    from ml_janitor_sandbox.deployment import deploy
    from ml_janitor_sandbox.server import Sandbox

    with TemporaryDirectory() as folder, Sandbox() as box:
        (Path(folder) / "janitor.toml").write_text(SETTINGS)
        os.environ |= {
            "AWS_ENDPOINT_URL": box.url,
            "AWS_ACCESS_KEY_ID": "AKIASANDBOX",
            "AWS_SECRET_ACCESS_KEY": "sandbox",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "LAMBDA_TASK_ROOT": folder,
            "JANITOR_DETECTOR": "idle-endpoints",
        }
        control = Control(box.url)
        control.set_durations({"*": 0})
        os.environ |= deploy(box.url)
        aws: Any = SimpleNamespace(sagemaker=boto3.client("sagemaker"), client=boto3.client)
        aws.armed = lambda: aws
        Serving(control, aws).plain()
        for variant in ("blue", "green"):
            about = {"EndpointName": "churn", "VariantName": variant}
            quiet = {"start": NOW, "step": 3600, "values": [0.0] * 24 * 8, "dimensions": about}
            control.metrics("AWS/SageMaker", [quiet | {"metric": "Invocations"}])
            control.metrics("/aws/sagemaker/Endpoints", [quiet | {"metric": "CPUUtilization"}])
        yield control


# --- what is tracked ------------------------------------------------------------------------------


def lines(where: Iterable[str]) -> Iterator[tuple[str, int]]:
    """The lines of every tracked file of text under *where* that is not generated."""
    listed = subprocess.run(
        ["git", "ls-files", "--", *where], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if not GENERATED.search(name):
            yield name, len((ROOT / name).read_text().splitlines())


if __name__ == "__main__":
    main()
