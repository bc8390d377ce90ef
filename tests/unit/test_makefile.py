"""Which Python `make` makes the environment with, or why it makes none; and what `make soak` runs."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ml_janitor_cli.template.plan import MEMORY_ARENAS
from narrowing import not_none
from tables import cases

ROOT = Path(__file__).parents[2]

PRETENDER = """#!/bin/sh
case "$*" in
  *base_prefix*) echo "{version} $0" | sed 's/ .*//' ;;
  *version_info*) exit {too_old} ;;
  *--version*) echo "Python {version}" ;;
  "-m venv --clear .venv") rm -rf .venv; mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
esac
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The Makefile, and programs that pass for Python."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "bootstrap.txt").touch()
    for version, too_old in (("3.13.1", 0), ("3.14.0", 0), ("3.11.2", 1)):
        program = tmp_path / f"python{version}"
        program.write_text(PRETENDER.format(version=version, too_old=too_old))
        program.chmod(0o755)
    return tmp_path


def make(project: Path, *asked: str) -> subprocess.CompletedProcess[str]:
    """What make answers in *project*, whatever make these tests were started by."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", *asked], cwd=project, env=inherited, capture_output=True, text=True, check=False
    )


def bootstrap(project: Path, python: str) -> subprocess.CompletedProcess[str]:
    return make(project, f"PYTHON={python}", ".venv/.bootstrap")


def test_another_python_makes_the_environment_anew(project: Path) -> None:
    assert bootstrap(project, "./python3.13.1").returncode == 0
    stamp = project / ".venv" / ".audit"
    stamp.touch()

    assert "up to date" in bootstrap(project, "./python3.13.1").stdout
    assert stamp.exists()
    assert bootstrap(project, "./python3.14.0").returncode == 0
    assert "3.14.0" in (project / ".venv" / "bin" / "python").read_text()
    assert not stamp.exists()


@cases(
    "python, said",
    ("./python3.11.2", "./python3.11.2 is Python 3.11.2: Python 3.12 or later is needed"),
    (
        "./python9",
        "./python9 is not installed: install Python 3.12 or later, or name another: make PYTHON=...",
    ),
)
def test_an_unfit_one_is_refused_and_the_environment_stays(project: Path, python: str, said: str) -> None:
    bootstrap(project, "./python3.13.1")

    done = bootstrap(project, python)

    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == said
    assert "3.13.1" in (project / ".venv" / "bin" / "python").read_text()


@pytest.mark.parametrize("name", ["python3.12", "python3.13", "python3.14", "python3"])
def test_the_only_python_of_a_computer_is_found(project: Path, tmp_path: Path, name: str) -> None:
    """Whatever its name is, if it is new enough; an older python3 is passed over."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for tool in ("sh", "bash", "sed", "touch", "mkdir", "rm", "cp", "grep", "awk", "dirname"):
        if found := shutil.which(tool):
            (programs / tool).symlink_to(found)
    if name != "python3":
        shutil.copy(project / "python3.11.2", programs / "python3")
    shutil.copy(project / "python3.14.0", programs / name)
    command = [not_none(shutil.which("make")), ".venv/.bootstrap"]

    done = subprocess.run(
        command, cwd=project, env={"PATH": str(programs)}, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert f"{name} -m venv --clear .venv" in done.stdout
    assert "3.14.0" in (project / ".venv" / "bin" / "python").read_text()
    (programs / name).unlink()
    lost = subprocess.run(
        [*command, "-B"],
        cwd=project,
        env={"PATH": str(programs)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "install Python 3.12 or later" in lost.stderr


def pins(name: str) -> set[str]:
    """The pinned versions of a set of requirements, with the hashes of their files."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text().replace(" \\\n", "")
    return {line for line in text.splitlines() if "==" in line}


@pytest.mark.parametrize("target", ["synth", "deploy", "diff", "destroy"])
def test_a_deployment_installs_only_what_the_cdk_needs(target: str) -> None:
    installs = [
        line for line in make(ROOT, "-n", "-B", target).stdout.splitlines() if " pip install " in line
    ]

    assert [name for line in installs for name in re.findall(r"requirements/(\w+)\.txt", line)] == [
        "bootstrap", "cdk",
    ]  # fmt: skip
    assert pins("cdk") < pins("dev")
    assert len(pins("cdk")) < len(pins("dev")) / 3
    locks = [
        *(ROOT / "requirements").iterdir(),
        *ROOT.glob("package-lock.json"),
        *ROOT.glob("tests/*/package-lock.json"),
    ]
    assert [
        path.name for path in locks if re.search(r'"resolved"|--index-url|--find-links| @ ', path.read_text())
    ] == []


def test_soak_runs_every_test_that_is_marked_as_long() -> None:
    assert make(ROOT, "-n", "soak", "SEED=").stdout.splitlines()[-1].strip().endswith(" -m long")


def test_memory_is_measured_with_the_arenas_of_the_functions() -> None:
    assert f"MALLOC_ARENA_MAX={MEMORY_ARENAS} $(BIN)/python -m bench" in (ROOT / "Makefile").read_text()
