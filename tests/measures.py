"""
Prints how large this project is to live in: `python tests/measures.py [--root PATH] [--adviser RANGE]`.

It measures any version of it under PATH, its package called what it is called there. RANGE are the commits
that add an adviser, such as "abc1234~..abc1234". "Without its edges" is the same way without handlers,
settings and Slack: what a test's `Nights` runs.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from importlib import import_module
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType
from typing import Any

import naming

ROOT = Path(__file__).parent.parent
GENERATED = re.compile(
    r"(^|/)package-lock\.json$|^requirements/|^events/|^tests/upgrade/.*\.json$|^docs/(images|generated)/|^docs/[^/]*\.(html|svg)$"
    r"|^tests/stable_names\.toml$|^bench/counted\.json$"
    r"|\.(png|jpe?g|gif|ico|svg|otf|gz|zip)$"
)
"""Locks, recordings, payloads, counts, names, fonts and pictures: no line of them was written by hand."""

GROUPS = {
    "functions, cli, infra": ("functions/", "cli/", "infra/", "app.py"),
    "tests, sandbox": ("tests/", "sandbox/", "corrections/"),
}

PART = re.compile(
    r"<!-- (\S+) -->.*?<!-- /\1 -->|^# Detectors that only advise. This part is written by .*",
    re.DOTALL | re.MULTILINE,
)
"""What `make docs` writes into a page, or at the end of janitor.toml."""

type Graph = dict[str, set[str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--root", type=Path, default=ROOT, help="the version to measure")
    parser.add_argument("--adviser", default="", help="the commits that add an adviser, as git names a range")
    asked = parser.parse_args()
    root = asked.root.resolve()
    (package,) = (one.parent for one in root.glob("functions/*/__init__.py"))
    inside = imports(package)
    say("package", package.name)
    say("modules at its root", f"{len(list(package.glob('*.py')))}, __init__ among them")
    found = [(folder, circle) for folder in folders(inside) for circle in circles(within(inside, folder))]
    say("circles of imports", len(found) or "none")
    for folder, circle in found:
        packages = [one for one in circle if any(other.startswith(f"{one}.") for other in inside)]
        say(f"  in {folder}", f"{len(packages)} packages of {len(circle)}: {', '.join(circle)}")
    way = Way(root, package)
    say("executed for one endpoint", way.whole())
    say("executed without its edges", way.without_edges())
    if asked.adviser:
        touched = adviser(root, asked.adviser)
        say("an adviser touches", f"{len(touched)} files: {', '.join(touched)}")
    for what, number in house(root):
        say(what, number)
    for group, where in GROUPS.items():
        counted = dict(lines(root, where))
        python = sum(number for name, number in counted.items() if name.endswith(".py"))
        say(f"lines of {group}", f"{sum(counted.values()):,} in {len(counted)} files ({python:,} of Python)")
    say("left out of lines", "lock files, recordings of an earlier version, fonts, pictures")


def house(root: Path) -> Iterator[tuple[str, str]]:
    """What it takes to find one's way in functions, cli and infra: files, imports, names, exceptions."""
    code = naming.trees(root)
    product = {path: tree for path, tree in code.items() if path.startswith(naming.HOUSES[0])}
    yield "files of Python", f"{len(product)}, {sum(map(import_lines, product.values())):,} lines of imports"
    names, again = naming.definitions(code, naming.HOUSES[0]), naming.shared(product)
    yield "public names", f"{len(names):,}, of which {len(again):,} stand in several modules"
    yield "variables called `one`", f"{sum(1 for _ in naming.called_one(code)):,}"
    yield "docstrings without a subject", f"{sum(1 for _ in naming.headless(code)):,}"
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


# --- imports --------------------------------------------------------------------------------------


def imports(package: Path) -> Graph:
    """Which module of *package* imports which, at its top, in a function, or for its types alone."""
    modules = {name_of(path, package): path for path in package.rglob("*.py")}
    return {name: set(imported(path, name, modules)) - {name} for name, path in modules.items()}


def name_of(path: Path, package: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, name: str, modules: Mapping[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names if one.name in modules)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise NotImplementedError(f"{name} imports relatively")
            for one in node.names:
                whole = f"{node.module}.{one.name}"
                yield from (
                    each for each in [whole if whole in modules else str(node.module)] if each in modules
                )


def folders(modules: Graph) -> list[str]:
    """Every package with modules in it, at any depth."""
    return sorted({name.rpartition(".")[0] for name in modules} - {""})


def within(modules: Graph, folder: str) -> Graph:
    """The modules of one *folder* among themselves, its own `__init__` and its sub-packages as one each."""

    def inside(module: str) -> str:
        rest = module.removeprefix(f"{folder}.")
        return folder if module == folder else f"{folder}.{rest.split('.')[0]}" if rest != module else ""

    graph: Graph = {}
    for name, others in modules.items():
        if own := inside(name):
            graph.setdefault(own, set()).update({inside(other) for other in others} - {own, ""})
    return graph


def circles(graph: Graph) -> list[list[str]]:
    """Groups of which each member reaches every other."""
    reached = {name: reach(graph, name) for name in graph}
    found = {frozenset(other for other in reached[name] if name in reached[other]) for name in graph}
    return sorted(sorted(group) for group in found if len(group) > 1)


def reach(graph: Graph, start: str) -> set[str]:
    found, left = set[str](), [start]
    while left:
        for other in graph.get(left.pop(), ()):
            if other not in found:
                found.add(other)
                left.append(other)
    return found


# --- what is executed -----------------------------------------------------------------------------

TOOL = sys.monitoring.PROFILER_ID
OPTIMIZED = 0x1
"""`CO_OPTIMIZED`: a function, and not the body of a class or a module."""


@dataclass
class Executed:
    """The files and functions of *package* that were executed, in any thread; an import is no execution."""

    package: Path
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
        ours = code.co_filename.startswith(f"{self.package}{os.sep}") and code.co_filename.endswith(".py")
        if ours and code.co_flags & OPTIMIZED:
            self.files.add(code.co_filename)
            self.functions.add((code.co_filename, code.co_qualname, code.co_firstlineno))
        return sys.monitoring.DISABLE


NOW = datetime(2026, 10, 6, 3, tzinfo=UTC)
DAY = timedelta(days=1)
ACCOUNT, REGION, DETECTOR = "123456789012", "us-east-1", "idle-endpoints"
SETTINGS = f"""
[janitor]
slack_channel = "C0MLCOSTS"
slack_secret = "ml-janitor/slack"

[detectors.{DETECTOR}]
mode = "act"
act_in = ["{ACCOUNT}"]
business_days = false
"""


class Way:
    """One idle endpoint's way through a sweep that warns, one that deletes, and the undo."""

    def __init__(self, root: Path, package: Path) -> None:
        self.package = package
        moved = (root / "sandbox" / "ml_janitor_sandbox").exists()
        self.sandbox = "ml_janitor_sandbox" if moved else "sandbox"
        self.signed = (root / "tests" / "standin.py").exists()
        tops = ("functions", "cli", "sandbox", "tests") if moved else ("functions", "", "tests")
        sys.path[:0] = [str(root / top) for top in tops]

    def whole(self) -> Executed:
        """By the functions' handlers, under settings of their own, with Slack."""
        seen = Executed(self.package)
        handlers = import_module(f"{self.package.name}.handlers")
        with self.deployment() as control:

            def at(moment: datetime) -> dict[str, str]:
                control.set_clock(moment)
                os.environ["JANITOR_NOW"] = moment.isoformat()
                return {"time": f"{moment:%Y-%m-%dT%H:%M:%SZ}"}

            with redirect_stdout(StringIO()), seen:
                for days in range(8):  # a warning that reached no owner directly doubles the grace
                    handlers.sweep(at(NOW + days * DAY), Context())
                if not handlers.undo(self._wanted_back(), Context())["done"]:
                    raise RuntimeError("nothing was undone")
        return seen

    def _wanted_back(self) -> dict[str, Any]:
        """The event of the undo function; today it asks for a signed request."""
        if not self.signed:
            return {"detector": DETECTOR, "region": REGION, "finding": finding(), "by": "maria"}
        import boto3

        client = partial(boto3.client, region_name=REGION)
        (action,) = self.named("Actions")(self._table(client("dynamodb"))).all(DETECTOR, ACCOUNT, REGION)
        at = datetime.fromisoformat(os.environ["JANITOR_NOW"])
        event: dict[str, Any] = import_module("standin").undo_event(action, client("kms"), os.environ, at=at)
        return event

    def _table(self, client: Any) -> Any:
        return self.named("Table")(client, os.environ["JANITOR_TABLE"])

    def without_edges(self) -> Executed:
        """By the `Nights` of the tests, where a postman carries the warnings."""
        import boto3

        seen, session = Executed(self.package), boto3.Session(region_name=REGION)
        with self.deployment() as control, ThreadPoolExecutor(16) as pool:
            make_client = self.named("make_client")
            prices = self.named("Prices")(lambda: make_client(session, "pricing", REGION, 2))
            about = {"region": REGION, "account": ACCOUNT, "prices": prices, "pool": pool, "attempts": 2}
            aws = self.named("Aws")(session, **about)
            table = self._table(make_client(session, "dynamodb", REGION, 2))
            detector = self.named("IdleEndpoints")()
            made_from = (table, session, aws) if self.signed else (table, session, aws, None)
            nights = import_module("standin" if self.signed else "nights").Nights(*made_from, detector)
            nights.undoing = replace(nights.undoing, wait=lambda: None)
            with redirect_stdout(StringIO()), seen:
                nights.sweep()
                nights.clock += 4 * DAY
                control.set_clock(nights.clock)
                nights.sweep()
                nights.undoing.undo(detector, aws, nights.of("idle"), by="maria")
        return seen

    def named(self, name: str) -> Any:
        """The class or function *name*, wherever in the package it is outside of the folders of detectors."""
        pattern = re.compile(rf"^(?:class|def) {name}\b", re.MULTILINE)
        found = [one for one in self.package.rglob("*.py") if pattern.search(one.read_text())]
        (path,) = [one for one in found if "detectors" not in one.parts or len(found) == 1]
        return getattr(import_module(name_of(path, self.package)), name)

    @contextmanager
    def deployment(self) -> Iterator[Any]:
        """A sandbox of its own with an idle endpoint, and the environment of the functions; its controls."""
        part = {name: import_module(f"{self.sandbox}.{name}") for name in ("server", "deployment", "control")}
        with TemporaryDirectory() as folder, part["server"].Sandbox() as box:
            (Path(folder) / "janitor.toml").write_text(SETTINGS)
            os.environ |= {
                "AWS_ENDPOINT_URL": box.url,
                "AWS_ACCESS_KEY_ID": "AKIASANDBOX",
                "AWS_SECRET_ACCESS_KEY": "sandbox",
                "AWS_DEFAULT_REGION": REGION,
                "AWS_REGION": REGION,
                "LAMBDA_TASK_ROOT": folder,
                "JANITOR_DETECTOR": DETECTOR,
            }
            control = part["control"].Control(box.url)
            control.reset()
            control.set_durations({"*": 0})
            os.environ |= part["deployment"].deploy(box.url)
            idle_endpoint(control)
            yield control


class Context:
    """What Lambda tells a function of its invocation."""

    aws_request_id = "request"
    function_name = "janitor"
    invoked_function_arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:janitor"

    def get_remaining_time_in_millis(self) -> int:
        return 900_000


def idle_endpoint(control: Any) -> None:
    """A month old, with two variants, one of which is scaled; no request for as long as its metrics tell."""
    import boto3

    sagemaker: Any = boto3.client("sagemaker")
    scaling: Any = boto3.client("application-autoscaling")
    control.set_clock(NOW - 30 * DAY)
    sagemaker.create_model(ModelName="model", ExecutionRoleArn=f"arn:aws:iam::{ACCOUNT}:role/ml")
    machine = {"ModelName": "model", "InstanceType": "ml.m5.xlarge", "InitialInstanceCount": 1}
    variants = [machine | {"VariantName": name, "InitialVariantWeight": 1.0} for name in ("blue", "green")]
    sagemaker.create_endpoint_config(EndpointConfigName="idle", ProductionVariants=variants)
    tags = [{"Key": "owner", "Value": "maria@example.com"}]
    sagemaker.create_endpoint(EndpointName="idle", EndpointConfigName="idle", Tags=tags)
    control.set_clock(NOW - 20 * DAY)
    wanted = [{"VariantName": "green", "DesiredWeight": 0.25, "DesiredInstanceCount": 3}]
    sagemaker.update_endpoint_weights_and_capacities(EndpointName="idle", DesiredWeightsAndCapacities=wanted)
    where = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": "endpoint/idle/variant/blue",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    scaling.register_scalable_target(**where, MinCapacity=1, MaxCapacity=6)
    metric = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
    tracking = {"TargetValue": 70.0, "PredefinedMetricSpecification": metric}
    kind = {"PolicyName": "requests", "PolicyType": "TargetTrackingScaling"}
    scaling.put_scaling_policy(**where, **kind, TargetTrackingScalingPolicyConfiguration=tracking)
    for variant in ("blue", "green"):
        about = {"EndpointName": "idle", "VariantName": variant}
        series = {"start": NOW - 9 * DAY, "step": 3600, "values": [0.0] * 24 * 17, "dimensions": about}
        control.metrics("AWS/SageMaker", [series | {"metric": "Invocations"}])
        control.metrics("/aws/sagemaker/Endpoints", [series | {"metric": "CPUUtilization"}])
    control.set_clock(NOW)


def finding() -> str:
    """The id of the one finding, as the ledger's key makes it."""
    import boto3

    items = boto3.client("dynamodb").scan(TableName=os.environ["JANITOR_TABLE"])["Items"]
    (key,) = (one["key"]["S"] for one in items if one["pk"]["S"].startswith("finding#"))
    return sha256(f"{DETECTOR} {key}".encode()).hexdigest()[:10]


# --- what is tracked ------------------------------------------------------------------------------


def git(root: Path, *asked: str) -> list[str]:
    done = subprocess.run(["git", "-C", root, *asked], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def adviser(root: Path, commits: str) -> list[str]:
    """The files that *commits* touch by more than what a program writes into them."""
    before, _, after = commits.partition("..")

    def written_by_hand(revision: str, name: str) -> str:
        return PART.sub("", "\n".join(git(root, "show", f"{revision}:{name}")))

    touched = []
    for line in git(root, "diff", "--name-status", "--no-renames", before, after):
        status, name = line.split("\t")
        by_hand = status != "M" or written_by_hand(before, name) != written_by_hand(after, name)
        if by_hand and not GENERATED.search(name):
            touched.append(name)
    return touched


def lines(root: Path, where: Iterable[str]) -> Iterator[tuple[str, int]]:
    """The lines of every tracked file of text under *where* that is not generated."""
    for name in git(root, "ls-files", "--", *where):
        if not GENERATED.search(name):
            yield name, len((root / name).read_text().splitlines())


if __name__ == "__main__":
    main()
