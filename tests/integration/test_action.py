"""The GitHub action: its steps are run as a runner runs them, in a sandbox."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from conftest import NOW
from ml_janitor_sandbox.control import Control
from standin import ROOT

ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
SETUP, INSTALL, AUDIT = ACTION["runs"]["steps"]
SCRIPT = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c")


@pytest.fixture
def run_step(tmp_path: Path, notebooks: Control) -> Any:
    summary = tmp_path / "summary.md"

    def run(step: dict[str, Any], **inputs: str) -> subprocess.CompletedProcess[str]:
        given = {name: inputs.pop(name, of["default"]) for name, of in ACTION["inputs"].items()}
        assert not inputs
        environment = {
            name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: given[found[1]], value)
            for name, value in step.get("env", {}).items()
        }
        environment |= {"GITHUB_ACTION_PATH": str(ROOT), "GITHUB_STEP_SUMMARY": str(summary)}
        environment |= {"JANITOR_NOW": NOW.isoformat(), "AWS_ENDPOINT_URL": notebooks.url}
        environment |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        environment |= {"MAKEFLAGS": "n", "AWS_DEFAULT_REGION": "us-east-1"}
        environment |= {"AWS_ACCESS_KEY_ID": "AKIASANDBOX", "AWS_SECRET_ACCESS_KEY": "sandbox"}
        return subprocess.run(
            [*SCRIPT, step["run"]], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    return run


def test_an_audit_writes_the_summary_and_the_gate_ends_the_job(run_step: Any, tmp_path: Path) -> None:
    assert "${{" not in INSTALL["run"] + AUDIT["run"], "an input is never part of a script"
    assert re.fullmatch(r"actions/setup-python@[0-9a-f]{40}", SETUP["uses"])
    assert run_step(INSTALL).returncode == 0
    shellcheck = Path(sys.executable).parent / "shellcheck"
    subprocess.run([shellcheck, "-s", "bash", "-"], input=AUDIT["run"], text=True, check=True)

    ran = run_step(AUDIT, detectors="idle-notebooks untagged-resources", regions="us-east-1")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "left-on" in (tmp_path / "summary.md").read_text()
    report = json.loads((tmp_path / "janitor-report.json").read_text())
    assert [sweep["detector"] for sweep in report["sweeps"]] == ["idle-notebooks", "untagged-resources"]

    gate = {"detectors": "idle-notebooks", "fail-on": "likely", "report": "later.json"}
    ended = run_step(AUDIT, **gate)
    assert (ended.returncode, ended.stderr.count("\n")) == (3, 1)
    assert run_step(AUDIT, **gate, **{"new-since": "janitor-report.json"}).returncode == 0
    hostile = run_step(AUDIT, detectors="$(touch x) * --json", config="janitor.toml; touch x")
    assert (hostile.returncode, hostile.stderr.count("\n")) == (2, 1)
    assert not (tmp_path / "x").exists()
