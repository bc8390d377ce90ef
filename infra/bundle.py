"""
The bundle that ships to Lambda: one folder, without Docker, the same bytes on every machine.

Hash-pinned wheels for the target platform, botocore's data cut to the services used, our source, janitor.toml
at the root, and byte code that needs no time stamps.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

from ml_janitor.config.values import InvalidInputError
from ml_janitor_cli.deploy import BUNDLED_AT
from ml_janitor_cli.stack import RELEASED_BUNDLE
from ml_janitor_cli.template.plan import plain_template

PROJECT_ROOT = Path(__file__).parent.parent
SOURCE_ROOT = PROJECT_ROOT / "functions"
LAMBDA_REQUIREMENTS = PROJECT_ROOT / "requirements" / "lambda.txt"
SETTINGS_PATH = PROJECT_ROOT / "janitor.toml"
BUILD_CACHE = PROJECT_ROOT / ".build"

PYTHON_VERSION = "3.13"
PLATFORMS = {"arm64": "aarch64-manylinux_2_34", "x86_64": "x86_64-manylinux_2_34"}
"""Lambda's Python runtimes run on Amazon Linux 2023, which has glibc 2.34."""

BUNDLED_SERVICES = frozenset(
    {
        "application-autoscaling",
        "athena",
        "ce",
        "cloudtrail",
        "cloudwatch",
        "dynamodb",
        "ec2",
        "ecr",
        "emr",
        "events",
        "kms",
        "lambda",
        "logs",
        "organizations",
        "pricing",
        "resourcegroupstaggingapi",
        "s3",
        "s3control",
        "sagemaker",
        "savingsplans",
        "secretsmanager",
        "sns",
        "ssm",  # powertools.utilities.parameters makes a client at import of its convenience module
        "sts",
    }
)
"""The services whose models botocore keeps in the bundle; the other 400 are 20 MB that nobody reads."""

RECIPE_VERSION = "2"
"""Version of the recipe below; a change to the recipe's output changes it, so that no old asset is reused."""

MACHINE_SPECIFIC_FILES = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
"""dist-info files that differ between two builds of the same thing."""

type Architecture = Literal["arm64", "x86_64"]


def build_bundle(output: Path, architecture: Architecture, *, settings: bool = True) -> None:
    """
    Fill the empty folder *output*; a bundle to release is without *settings*.

    Raises CalledProcessError if a wheel is not available or its hash is wrong, InvalidInputError on a Python
    of another minor version, whose byte code Lambda would ignore.
    """
    if f"{sys.version_info.major}.{sys.version_info.minor}" != PYTHON_VERSION:
        raise InvalidInputError(
            f"the bundle is built with Python {PYTHON_VERSION}, and this is {sys.version.split()[0]}: "
            f"make deploy PYTHON=python{PYTHON_VERSION}"
        )
    install_wheels(output, architecture)
    trim_bundle(output)
    ours = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(SOURCE_ROOT, output, ignore=ours, dirs_exist_ok=True)
    if settings:
        shutil.copy(SETTINGS_PATH, output / SETTINGS_PATH.name)
    byte_compile(output)
    set_modes(output)


def cached_bundle(architecture: Architecture) -> Path:
    """
    Return the bundle under `.build`, built only if its sources or this recipe have changed.

    The latest older bundle stays: another process may still run it.
    """
    key = hashlib.sha256(bundle_digest(architecture).encode() + Path(__file__).read_bytes()).hexdigest()
    path = BUILD_CACHE / f"{architecture}-{key[:16]}"
    if not path.exists():
        BUILD_CACHE.mkdir(exist_ok=True)
        older = sorted(BUILD_CACHE.glob(f"{architecture}-*"), key=lambda bundle: bundle.stat().st_mtime)
        for bundle in older[:-1]:
            shutil.rmtree(bundle, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=BUILD_CACHE) as folder:
            made = Path(folder) / "bundle"
            made.mkdir()
            build_bundle(made, architecture)
            with suppress(OSError):  # another process was faster
                made.rename(path)
    return path


def install_wheels(output: Path, architecture: Architecture) -> None:
    """Install the pinned wheels as copies (trimming would cut into uv's cache if they were links)."""
    subprocess.run(  # noqa: S603 - our own tool
        [
            str(Path(sys.executable).parent / "uv"),
            *("pip", "install", "--quiet", "--no-config", "--link-mode", "copy"),
            *("--require-hashes", "--only-binary", ":all:"),
            *("--python-platform", PLATFORMS[architecture], "--python-version", PYTHON_VERSION),
            *("--target", str(output), "--requirement", str(LAMBDA_REQUIREMENTS)),
        ],
        check=True,
    )


def trim_bundle(output: Path) -> None:
    """Remove files that never run in Lambda, or that differ from machine to machine."""
    shutil.rmtree(output / "bin", ignore_errors=True)
    (output / ".lock").unlink(missing_ok=True)
    for name in MACHINE_SPECIFIC_FILES:
        for path in output.glob(f"*.dist-info/{name}"):
            path.unlink()
    for data in (output / "botocore" / "data", output / "boto3" / "data"):
        for folder in data.iterdir():
            if folder.is_dir() and folder.name not in BUNDLED_SERVICES:
                shutil.rmtree(folder)
    for service in (output / "botocore" / "data").iterdir():
        *older, _ = sorted(service.iterdir()) if service.is_dir() else [service]
        for version in older:  # botocore takes the latest
            shutil.rmtree(version)
    shutil.rmtree(output / "slack")  # an older name of slack_sdk
    for cached in [*output.rglob("__pycache__")]:
        shutil.rmtree(cached)


_COMPILE = """
import compileall, py_compile
compileall.compile_dir(
    ".", quiet=1, workers=1, stripdir=".", prependdir="/var/task",
    invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
)
"""


def byte_compile(output: Path) -> None:
    """
    Compile to byte code that is trusted without looking at the source.

    /var/task is read-only and its files carry no real time, so time-stamped byte code would be stale at every
    cold start. Byte code depends on what its process interned before, and on the hash seed: each build has
    a new process and the same seed.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    compiler = [sys.executable, "-s", "-S", "-c", _COMPILE]
    subprocess.run(compiler, check=True, cwd=output, env={**own, "PYTHONHASHSEED": "0"})  # noqa: S603


def set_modes(output: Path) -> None:
    """Let everybody read everything: the modes of a build would depend on its umask."""
    for path in output.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def bundle_digest(architecture: Architecture) -> str:
    """Hash everything that the bundle is made from; CDK's own hash would miss the pins and the platform."""
    total = hashlib.sha256(
        f"{RECIPE_VERSION} {PYTHON_VERSION} {PLATFORMS[architecture]} {sorted(BUNDLED_SERVICES)}".encode()
    )
    for path in bundle_inputs():
        total.update(path.relative_to(PROJECT_ROOT).as_posix().encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def bundle_inputs() -> Iterator[Path]:
    """Yield the files that `build` reads."""
    yield from (LAMBDA_REQUIREMENTS, SETTINGS_PATH)
    for path in sorted(SOURCE_ROOT.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


# --- assets of a release --------------------------------------------------------------------------


def write_assets(folder: Path, today: date) -> None:
    """Write bundle and plain template into *folder*, and the bundle's SHA-256 beside `janitor deploy`."""
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as built:
        build_bundle(Path(built), "arm64", settings=False)
        content = zip_folder(Path(built))
    name = f"ml-janitor-lambda-{project_version()}.zip"
    (folder / name).write_bytes(content)
    RELEASED_BUNDLE.write_text(f"{hashlib.sha256(content).hexdigest()}  {name}\n")
    template = json.dumps(plain_template(today), indent=1)
    (folder / f"ml-janitor-{project_version()}.template.json").write_text(f"{template}\n")


def zip_folder(folder: Path) -> bytes:
    """Return the files of *folder* as a zip file, whose bytes depend on theirs alone."""
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), BUNDLED_AT)
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def project_version() -> str:
    """Return the version of pyproject.toml."""
    return str(tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]["version"])


# --- bills of materials ---------------------------------------------------------------------------

PINNED = re.compile(r"^([a-z0-9-]+)==(\S+)")
PINNED_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
MATERIALS = {"lambda": LAMBDA_REQUIREMENTS, "wheel": PROJECT_ROOT / "requirements" / "audit.txt"}


def bill_of_materials(name: str, version: str, requirements: Path) -> dict[str, Any]:
    """Return a CycloneDX document of what *requirements* pin, with the hashes of their files."""
    components: list[dict[str, Any]] = []
    hashes: list[dict[str, str]] = []
    for line in requirements.read_text().splitlines():
        if found := PINNED.match(line):
            name_, version_ = found.groups()
            purl, hashes = f"pkg:pypi/{name_}@{version_}", []
            files = {
                "type": "distribution",
                "url": f"https://pypi.org/project/{name_}/{version_}/",
                "hashes": hashes,
            }
            about = {"bom-ref": purl, "name": name_, "version": version_, "purl": purl}
            components.append({"type": "library", **about, "externalReferences": [files]})
        elif found := PINNED_HASH.search(line):
            hashes.append({"alg": "SHA-256", "content": found[1]})
    own = {"type": "application", "bom-ref": name, "name": name, "version": version}
    content = json.dumps([own, components])
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}",
        "version": 1,
        "metadata": {"component": own},
        "components": components,
    }


def write_bills_of_materials(folder: Path) -> None:
    """Write the documents of the bundle and of the wheel into *folder*."""
    version = project_version()
    folder.mkdir(exist_ok=True)
    for part, requirements in MATERIALS.items():
        document = bill_of_materials(f"ml-janitor-{part}", version, requirements)
        (folder / f"ml-janitor-{version}-{part}.cdx.json").write_text(json.dumps(document, indent=1) + "\n")
