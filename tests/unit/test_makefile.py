"""Which Python `make` makes the environment with, or why it makes none; and what `make soak` runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

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
    ("./python9", "./python9 is not installed: install Python 3.13, or name another: make PYTHON=..."),
)
def test_an_unfit_one_is_refused_and_the_environment_stays(project: Path, python: str, said: str) -> None:
    bootstrap(project, "./python3.13.1")

    done = bootstrap(project, python)

    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == said
    assert "3.13.1" in (project / ".venv" / "bin" / "python").read_text()


def test_soak_runs_every_test_that_is_marked_as_long() -> None:
    assert make(ROOT, "-n", "soak", "SEED=").stdout.splitlines()[-1].strip().endswith(" -m long")
