"""The wheel, installed where no checkout is: what it holds, and that its programs work from its own files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from commands import Janitor
from conftest import ACCOUNT, REGION, seed_demo
from ml_janitor_cli.entry import install_hint
from ml_janitor_sandbox.control import Control
from standin import ROOT

PACKAGES = ("ml_janitor", "ml_janitor_cli", "ml_janitor_sandbox", "moto_corrections")
TERMINAL = {"rich", "typer"}
"""What the command line needs and Lambda does not."""

WHERE = """
import importlib, importlib.metadata, importlib.util, json, sys
from pathlib import Path
found = {name: importlib.import_module(name).__file__ for name in %r}
holders = [path for path in sys.path for name in found if Path(path or ".", name).exists()]
infra = importlib.util.find_spec("infra") is not None
version = importlib.metadata.distribution("ml-janitor")
print(json.dumps({"found": found, "holders": holders, "infra": infra, "version": str(version._path)}))
"""

INTERRUPT_AT_TYPER = """
import os, signal, sys
class Interrupter:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupter())
from ml_janitor_cli.entry import main
sys.exit(main())
"""

VERSION = """
import sys
from ml_janitor_cli.entry import main
status = main()
print(*sorted({"boto3", "pydantic", "rich", "typer"} & set(sys.modules)))
sys.exit(status)
"""

WITHOUT_MOTO = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == "moto":
            raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, Missing())
from ml_janitor_cli.entry import main
sys.exit(main())
"""


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program in *cwd*, with nothing of this process's environment that leads to the checkout."""
    env = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))
    }
    env |= {"PATH": "/usr/bin:/bin"}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False)


def done(*command: str | Path, cwd: Path) -> str:
    """What a program that has to succeed, and has nothing to complain of, writes."""
    ran = run(*command, cwd=cwd)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, as it is released."""
    folder = tmp_path_factory.mktemp("dist")
    build = (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder))
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """
    The `bin` of an environment with the wheel.

    Its libraries are those of the development environment, by a line of a .pth file: Python does not
    follow the .pth files that lie there, so the checkout that is installed there is not installed here.
    """
    folder = tmp_path_factory.mktemp("environment")
    uv = Path(sys.executable).parent / "uv"
    environment = folder / "venv"
    subprocess.run([uv, "venv", "--quiet", "--offline", "--python", sys.executable, environment], check=True)
    python = environment / "bin" / "python"
    install = ("pip", "install", "--quiet", "--offline", "--no-deps", "--python", python)
    subprocess.run([uv, *install, wheel], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    yield python.parent


def built(folder: Path, what: str, where: Path) -> set[str]:
    """Build a distribution of the project in *folder*; its files, without a top folder."""
    build = (sys.executable, "-m", "hatchling", "build", "-t", what, "-d", str(where))
    subprocess.run(build, cwd=folder, check=True, capture_output=True)
    (archive,) = where.iterdir()
    if what == "wheel":
        return set(zipfile.ZipFile(archive).namelist())
    with tarfile.open(archive) as source:
        return {name.partition("/")[2] for name in source.getnames()}


def metadata(wheel: Path) -> Any:
    """What the wheel says of itself."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name))


def test_the_wheel_holds_its_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    top = {name.partition("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == set(PACKAGES)
    tracked = subprocess.run(
        ["git", "ls-files", "functions", "cli", "sandbox", "corrections/src"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    files = {
        path.removeprefix("corrections/").partition("/")[2]
        for path in tracked.stdout.splitlines()
        if (ROOT / path).exists()
    }
    assert files <= set(names)
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").glob("*.md")}
    folders = ("detectors", "schemas")
    pages |= {f"{name}/{path.name}" for name in folders for path in (ROOT / "docs" / name).iterdir()}
    carried = {name.partition("/pages/")[2] for name in names if "/pages/" in name}
    assert {page for page in carried if not page.startswith("notebook-activity/")} == pages
    assert "notebook-activity/README.md" in carried


@pytest.mark.parametrize(("folder", "package"), [("kit", "janitor_kit"), ("corrections", "moto_corrections")])
def test_some_folders_are_distributions_of_their_own(tmp_path: Path, folder: str, package: str) -> None:
    wheel, source = (built(ROOT / folder, what, tmp_path / what) for what in ("wheel", "sdist"))

    sources = ROOT / folder / "src"
    modules = {
        str(path.relative_to(sources))
        for path in sources.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in wheel if ".dist-info/" not in name} == modules
    assert f"{package}/py.typed" in modules
    assert f"src/{package}/py.typed" in source
    assert not [name for name in source if "ml_janitor/" in name]


def test_the_janitor_s_source_has_the_corrections_and_not_the_kit(tmp_path: Path) -> None:
    ours = built(ROOT, "sdist", tmp_path)
    assert not [name for name in ours if name.startswith("kit/")]
    assert {"functions/ml_janitor/__init__.py", "corrections/src/moto_corrections/__init__.py"} <= ours


def test_a_plain_install_has_the_command_line_and_lambda_gets_all_but_that(wheel: Path) -> None:
    said = metadata(wheel)
    wanted = [Requirement(line) for line in said.get_all("Requires-Dist")]
    plain = {one.name for one in wanted if one.marker is None}
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    in_lambda = set(pyproject["dependency-groups"]["lambda"])

    assert said["Requires-Python"] == ">=3.12"
    assert said.get_all("Provides-Extra") == ["mcp", "sandbox"]
    assert plain - in_lambda == TERMINAL
    assert in_lambda < plain
    locked = (ROOT / "requirements" / "lambda.txt").read_text()
    names = {line.partition("==")[0] for line in locked.splitlines() if "==" in line}
    assert in_lambda <= names
    assert not TERMINAL & names


def test_nothing_of_the_checkout_is_in_reach_of_the_installed_wheel(installed: Path, tmp_path: Path) -> None:
    where = json.loads(done(installed / "python", "-c", WHERE % (PACKAGES,), cwd=tmp_path))

    (packages,) = installed.parent.glob("lib/python*/site-packages")
    assert where["holders"] == [str(packages)] * len(PACKAGES)
    assert where["found"] == {name: str(packages / name / "__init__.py") for name in PACKAGES}
    assert Path(where["version"]).parent == packages
    assert not where["infra"]


def test_the_installed_programs_answer(installed: Path, tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert done(installed / "janitor", "--version", cwd=tmp_path) == f"janitor {project['version']}\n"
    assert "--json" in done(installed / "janitor", "audit", "--help", cwd=tmp_path)
    assert "window" in done(installed / "janitor", "settings", "--schema", cwd=tmp_path)
    assert "[detectors.idle-endpoints]" in done(
        installed / "janitor", "settings", "idle-endpoints", cwd=tmp_path
    )
    page = done(installed / "janitor", "docs", "operating", "SweepMissed", cwd=tmp_path)
    assert page.startswith("### SweepMissed\n")


def test_the_wheel_says_the_same(installed: Path, tmp_path: Path, box: Control, janitor: Janitor) -> None:
    html, some = tmp_path / "report.html", ("duplicate-artifacts", "idle-endpoints")
    audit = ("audit", *some, "--json", "--html")
    seed_demo(box)

    theirs = janitor(*audit, "theirs.html").document
    ours = json.loads(done(installed / "janitor", "sandbox", "--", "janitor", *audit, html, cwd=tmp_path))

    assert ours == theirs
    assert sum(sweep["found"] for sweep in ours["sweeps"]) > 0
    assert html.read_text() == (tmp_path / "theirs.html").read_text()


@pytest.mark.usefixtures("box")
def test_the_wheel_deploys_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bundle.zip", "w") as archive:
        archive.writestr("ml_janitor/handlers.py", "")

    ran = run(installed / "janitor", "deploy", "--bundle", "bundle.zip", "--yes", cwd=tmp_path)

    assert ran.returncode == 0, ran.stderr
    assert f"Deployed MlJanitor to account {ACCOUNT}, {REGION}." in ran.stdout


@pytest.mark.parametrize(
    ("left", "command"),
    [
        ("", "pip install"),
        ("uv-receipt.toml", "uv tool install --force"),
        ("pipx_metadata.json", "pipx install --force"),
    ],
)
def test_without_its_extra_the_sandbox_says_what_to_install_by_what_installed_it(
    left: str, command: str, wheel: Path, installed: Path, tmp_path: Path
) -> None:
    note = installed.parent / (left or "none")
    note.touch()
    ran = run(installed / "python", "-c", WITHOUT_MOTO, "sandbox", cwd=tmp_path)
    note.unlink()

    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == (
        f"janitor: the sandbox is not installed (moto is missing): {command} '{wheel}[sandbox]'\n"
    )


def test_without_its_extra_and_its_wheel_the_sandbox_names_the_release_s(
    installed: Path, tmp_path: Path
) -> None:
    (record,) = installed.parent.glob("lib/python*/site-packages/ml_janitor-*.dist-info/direct_url.json")
    known = record.read_text()
    record.write_text('{"url": "file:///gone/ml_janitor.whl", "archive_info": {}}')
    ran = run(installed / "python", "-c", WITHOUT_MOTO, "sandbox", cwd=tmp_path)
    record.write_text(known)

    assert ran.stderr.endswith(": pip install './ml_janitor-0.2.0-py3-none-any.whl[sandbox]'\n")


def test_in_uv_s_cache_the_missing_extra_is_a_command_of_uvx(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "archive-v0" / "a1b2"))
    assert install_hint("sandbox").startswith("uvx --from ")
    assert install_hint("sandbox").endswith("[sandbox]' janitor")


def test_the_version_needs_no_library(installed: Path, tmp_path: Path) -> None:
    _, imported = done(installed / "python", "-c", VERSION, "--version", cwd=tmp_path).splitlines()
    assert imported == ""


def test_ctrl_c_while_libraries_are_imported_is_one_line(installed: Path, tmp_path: Path) -> None:
    ran = run(installed / "python", "-c", INTERRUPT_AT_TYPER, "detectors", cwd=tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "\njanitor: interrupted\n")
