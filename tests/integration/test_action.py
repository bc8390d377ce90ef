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
PAGE = (ROOT / "docs" / "api.md").read_text()


@pytest.fixture
def run_step(tmp_path: Path, notebooks: Control) -> Any:
    summary, outputs = tmp_path / "summary.md", tmp_path / "outputs"

    def run(step: dict[str, Any], **inputs: str) -> subprocess.CompletedProcess[str]:
        given = {name: inputs.pop(name, of["default"]) for name, of in ACTION["inputs"].items()}
        assert not inputs
        environment = {
            name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: given[found[1]], value)
            for name, value in step.get("env", {}).items()
        }
        environment |= {"GITHUB_ACTION_PATH": str(ROOT), "GITHUB_STEP_SUMMARY": str(summary)}
        environment |= {"GITHUB_OUTPUT": str(outputs)}
        environment |= {"JANITOR_NOW": NOW.isoformat(), "AWS_ENDPOINT_URL": notebooks.url}
        environment |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        environment |= {"MAKEFLAGS": "n", "AWS_DEFAULT_REGION": "us-east-1"}
        environment |= {"AWS_ACCESS_KEY_ID": "AKIASANDBOX", "AWS_SECRET_ACCESS_KEY": "sandbox"}
        outputs.write_text("")
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

    outputs = read_outputs(tmp_path)
    assert outputs == {
        "report": "janitor-report.json",
        "findings": str(len([result for result in report["results"] if result["confidence"]])),
        "monthly_usd": f"{report['totals']['monthly_usd']:.2f}",
    }
    assert float(outputs["monthly_usd"]) > 0
    declared = {name: output["value"] for name, output in ACTION["outputs"].items()}
    assert declared == {name: f"${{{{ steps.{AUDIT['id']}.outputs.{name} }}}}" for name in outputs}

    gate = {"detectors": "idle-notebooks", "fail-on": "likely", "report": "later.json"}
    ended = run_step(AUDIT, **gate)
    assert (ended.returncode, ended.stderr.count("\n")) == (3, 1)
    assert read_outputs(tmp_path)["report"] == "later.json"
    assert run_step(AUDIT, **gate, **{"new-since": "janitor-report.json"}).returncode == 0
    refused = run_step(AUDIT, detectors="no-detector", report="later.json")
    assert (refused.returncode, read_outputs(tmp_path)) == (2, {}), "an earlier report's outputs are not its"
    hostile = run_step(AUDIT, detectors="$(touch x) * --json", config="janitor.toml; touch x")
    assert (hostile.returncode, hostile.stderr.count("\n")) == (2, 1)
    assert not (tmp_path / "x").exists()


def read_outputs(folder: Path) -> dict[str, str]:
    """Return the outputs of the step that ran last."""
    return dict(line.split("=", 1) for line in (folder / "outputs").read_text().splitlines())


def test_the_page_s_workflow_is_complete_and_linted(tmp_path: Path) -> None:
    """A copy of it needs two values: the repository's commit, and the role."""
    text = next(part for part in re.findall(r"```yaml\n(.+?)```", PAGE, re.DOTALL) if "jobs:" in part)
    workflow = yaml.safe_load(text)
    (job,) = workflow["jobs"].values()
    assert job["permissions"] == {"id-token": "write", "contents": "read", "actions": "read"}
    used = {step["uses"].partition("@")[0]: step for step in job["steps"] if "uses" in step}
    assert list(used) == [
        "aws-actions/configure-aws-credentials",
        "OWNER/ml-janitor",
        "actions/upload-artifact",
    ]
    audit = used["OWNER/ml-janitor"]
    assert audit["with"].keys() <= ACTION["inputs"].keys()
    outputs = re.findall(rf"steps\.{audit['id']}\.outputs\.(\w+)", text)
    assert outputs
    assert {*outputs} <= ACTION["outputs"].keys()
    assert used["actions/upload-artifact"]["if"].startswith("always()"), "a gate's report is kept too"
    for step in used.values():
        assert re.fullmatch(r"[\w./-]+@([0-9a-f]{40}|COMMIT)", step["uses"])

    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "waste.yml").write_text(text.replace("@COMMIT", f"@{'0' * 40}"))
    programs = Path(sys.executable).parent
    found = subprocess.run(
        [programs / "actionlint", folder / "waste.yml"],
        env={**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stdout) == (0, "")


@pytest.mark.parametrize("earlier", ["", "yes"])
def test_the_first_run_of_the_page_s_workflow_has_no_baseline(earlier: str, tmp_path: Path) -> None:
    """GitHub's command line is a program in the test: it has an earlier report, or none."""
    workflow = yaml.safe_load(re.search(r"```yaml\n(name:.+?)```", PAGE, re.DOTALL)[1])  # type: ignore[index]
    (job,) = workflow["jobs"].values()
    step = next(step for step in job["steps"] if "run" in step)
    gh = tmp_path / "bin" / "gh"
    gh.parent.mkdir()
    gh.write_text(
        '#!/bin/bash\n[ "$EARLIER" ] || exit 1\n'
        '[ "$*" = "run download --repo OWNER/models --name waste-report --dir before" ] || exit 2\n'
        "mkdir -p before; echo {} >before/report.json\n"
    )
    gh.chmod(0o755)
    (tmp_path / "outputs").write_text("")
    environment = {"PATH": f"{gh.parent}{os.pathsep}{os.environ['PATH']}", "EARLIER": earlier}
    environment |= {"GITHUB_OUTPUT": str(tmp_path / "outputs"), "GITHUB_REPOSITORY": "OWNER/models"}
    subprocess.run([*SCRIPT, step["run"]], cwd=tmp_path, env=environment, check=True)

    assert read_outputs(tmp_path) == ({"report": "before/report.json"} if earlier else {})
