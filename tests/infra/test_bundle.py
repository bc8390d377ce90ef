"""The bundle has the same bytes and modes wherever it is built, and a document says what is in it."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from infra.bundle import (
    LAMBDA_REQUIREMENTS,
    MATERIALS,
    PROJECT_ROOT,
    byte_compile,
    set_modes,
    trim_bundle,
    write_bills_of_materials,
)

BUILD = """
import os, sys
os.umask(int(sys.argv[2], 8))
from pathlib import Path
from infra import bundle
made = Path(sys.argv[1])
made.mkdir(parents=True)
{how}
"""
WHOLE = BUILD.format(how="bundle.build_bundle(made, 'arm64')")
SOURCE = "x = {'b', 'a', 'credential_process'}\nif x & {'c'}: pass\n"
OURS = BUILD.format(
    how=f"(made / 'a.py').write_text({SOURCE!r})\nbundle.byte_compile(made)\nbundle.set_modes(made)"
)


def built(program: str, folder: Path, umask: str, **environment: str) -> dict[str, tuple[str, str]]:
    """Return the mode and the hash of each file that another process builds."""
    subprocess.run(
        [sys.executable, "-c", program, str(folder), umask],
        check=True,
        cwd=PROJECT_ROOT,
        env={**os.environ, **environment},
    )
    return {
        str(path.relative_to(folder)): (
            oct(path.stat().st_mode),
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize(
    "program", [OURS, pytest.param(WHOLE, marks=pytest.mark.long)], ids=["ours", "whole"]
)
def test_two_builds_are_equal_byte_for_byte(program: str, tmp_path: Path) -> None:
    first = built(program, tmp_path / "a", "022", TZ="UTC", PYTHONHASHSEED="1")
    second = built(program, tmp_path / "some where" / "else", "077", TZ="Asia/Tokyo", PYTHONHASHSEED="42")

    assert first == second != {}
    assert {mode for mode, _ in first.values()} <= {"0o40755", "0o100644"}


def test_the_files_of_a_bundle_are_compiled_for_where_lambda_puts_them(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "a.py").write_text("x = 1\n")
    byte_compile(tmp_path)
    set_modes(tmp_path)
    (compiled,) = tmp_path.rglob("*.pyc")
    assert b"/var/task/own/a.py" in compiled.read_bytes()


def test_of_each_service_in_use_the_latest_model_stays(tmp_path: Path) -> None:
    models = [f"botocore/data/{model}" for model in ("iot/2020-01-01", "s3/2006-03-01", "s3/2026-01-01")]
    for folder in (*models, "boto3/data/s3", "slack"):
        (tmp_path / folder).mkdir(parents=True)

    trim_bundle(tmp_path)

    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("20*")] == models[2:]


def test_a_document_names_every_pinned_library_with_its_hashes(tmp_path: Path) -> None:
    write_bills_of_materials(tmp_path)

    read = {part: json.loads(next(tmp_path.glob(f"*-{part}.cdx.json")).read_text()) for part in MATERIALS}
    text = LAMBDA_REQUIREMENTS.read_text()
    found = read["lambda"]["components"]
    assert [f"{each['name']}=={each['version']}" for each in found] == re.findall(
        "(?m)^([a-z0-9-]+==[^ ]+)", text
    )
    files = [file for each in found for file in each["externalReferences"]]
    assert [each["content"] for file in files for each in file["hashes"]] == re.findall(
        "sha256:([0-9a-f]{64})", text
    )
    assert len({document["serialNumber"] for document in read.values()}) == len(MATERIALS)
