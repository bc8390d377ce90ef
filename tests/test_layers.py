"""The layers: which package may import from which, and that nothing imports in a circle."""

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "functions" / "ml_janitor"
LAYERS = [
    "core",
    "aws",
    "engine",
    "detectors",
    "config",
    "ledger",
    "acting",
    "bill",
    "report",
    "slack",
    "scheduled",
]
"""Each may import from those before it, never from those after it."""

AT_THE_ROOT = {"__init__", "deployment", "handlers"}
OUTSIDE = {
    "ml_janitor_cli",
    "ml_janitor_sandbox",
    "moto_corrections",
    "infra",
    "tests",
    "typer",
    "rich",
    "moto",
    "aws_cdk",
}
"""What imports the package, or runs beside it, and is never imported by it."""


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    paths = {path.relative_to(SOURCE.parent).with_suffix(""): path for path in SOURCE.rglob("*.py")}
    return {".".join(name.parts).removesuffix(".__init__"): path for name, path in paths.items()}


@cache
def imports(path: Path) -> frozenset[str]:
    """What a file imports anywhere in it, for types only as well: modules, and names in them."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names):
                found |= {alias.name for alias in names}
            case ast.ImportFrom(str(module), names):
                found |= {module, *(f"{module}.{alias.name}" for alias in names)}
    return frozenset(found)


def graph() -> Mapping[str, set[str]]:
    """Which modules of ours each module imports; a package is imported where no module of it is named."""
    ours = modules()
    edges = {}
    for name, path in ours.items():
        named = {one for one in imports(path) if one in ours}
        edges[name] = {one for one in named if not any(other.startswith(f"{one}.") for other in named)}
    return edges


def layer(module: str) -> int:
    """The number of a module's layer; the composition root lies above all."""
    _, _, rest = module.partition(".")
    package = rest.partition(".")[0]
    return LAYERS.index(package) if package in LAYERS else len(LAYERS)


def against_the_order(edges: Mapping[str, set[str]]) -> Iterator[str]:
    for module, named in edges.items():
        yield from (f"{module} -> {one}" for one in sorted(named) if layer(one) > layer(module))


def test_every_module_lies_in_a_layer() -> None:
    assert {path.stem for path in SOURCE.glob("*.py")} <= AT_THE_ROOT
    assert {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"} == {
        *LAYERS
    }


def test_the_page_names_every_package_in_its_order_and_nothing_that_is_not_there() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    named = re.findall(r"^\| `([\w/]+/|\w+\.py)`", page, re.MULTILINE)

    assert [one.rstrip("/") for one in named if (SOURCE / one).is_dir()] == LAYERS
    assert [one for one in named if not (SOURCE / one).exists() and not (ROOT / one).exists()] == []
    outside = {path.name for path in ROOT.iterdir() if path.is_dir() and any(path.glob("[!.]*"))}
    known = {one.partition("/")[0] for one in named} | {
        "functions",
        "cdk.out",
        "dist",
        "node_modules",
        "sbom",
    }
    assert {one for one in outside if not one.startswith(".")} <= known


def test_data_flows_one_way() -> None:
    assert not list(against_the_order(graph()))


def test_the_order_is_seen_to_be_broken() -> None:
    edges = {"ml_janitor.acting.acting": {"ml_janitor.report.html", "ml_janitor.ledger.table"}}

    assert list(against_the_order(edges)) == ["ml_janitor.acting.acting -> ml_janitor.report.html"]


def test_no_module_imports_in_a_circle() -> None:
    TopologicalSorter(graph()).prepare()  # raises CycleError with the circle

    with pytest.raises(CycleError):
        TopologicalSorter({"a": {"b"}, "b": {"c"}, "c": {"a"}}).prepare()


def test_detectors_know_nothing_of_each_other() -> None:
    def folder(module: str) -> str:
        return module.split(".")[2]

    inside = {name: named for name, named in graph().items() if name.startswith("ml_janitor.detectors.")}

    for module, named in inside.items():
        others = {one for one in named if one.startswith("ml_janitor.detectors.")}
        assert {folder(one) for one in others} <= {folder(module)}


def test_the_package_knows_nothing_of_what_runs_it() -> None:
    for path in modules().values():
        pure = "core" in path.parts or path.parent.name == "report"
        never = OUTSIDE | ({"boto3", "botocore"} if pure else set())
        assert {name.partition(".")[0] for name in imports(path)} & never == set(), path


def test_mypy_reads_all_that_is_used_of_cdk() -> None:
    """What its list leaves out, it would take for Any."""
    overrides = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["overrides"]
    (read,) = (set(one["module"]) for one in overrides if one.get("follow_imports") == "normal")
    files = [ROOT / "app.py", *(ROOT / "infra").glob("*.py"), *(ROOT / "tests").rglob("*.py")]
    used = {name for path in files if "node_modules" not in path.parts for name in imports(path)}

    services = {name for name in used if name.startswith("aws_cdk.") and name.rpartition(".")[2].islower()}
    assert "aws_cdk.aws_iam" in services
    assert services - read == set()


def test_no_test_imports_another() -> None:
    tests = [path for folder in ("", "*/") for path in (ROOT / "tests").glob(f"{folder}test_*.py")]

    assert tests
    assert [(path.name, name) for path in tests for name in imports(path) if ".test_" in f".{name}"] == []
