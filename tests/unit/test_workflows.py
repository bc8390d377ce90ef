"""What GitHub runs: nothing that can change by itself, and nothing with more permissions than it needs."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from narrowing import not_none

ROOT = Path(__file__).parent.parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

every_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def test_there_are_four() -> None:
    assert [path.stem for path in WORKFLOWS] == ["check", "nightly", "release", "test"]


@every_workflow
def test_actions_are_pinned_by_commit_and_say_their_version(path: Path) -> None:
    used = re.findall(r"uses: (.+)", path.read_text())

    assert used
    for action in used:
        assert re.fullmatch(r"\./\.github/workflows/\w+\.yml|[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)


def test_an_action_has_one_version() -> None:
    used = {one for path in WORKFLOWS for one in re.findall(r"uses: (\S+@.+)", path.read_text())}

    assert len({one.partition("@")[0] for one in used}) == len(used)


@every_workflow
def test_only_publishing_may_do_more_than_read(path: Path) -> None:
    text = path.read_text()
    granted = re.findall(r"^ +([\w-]+: (?:read|write))\b", text, re.MULTILINE)

    assert "\npermissions: {}\n" in text
    extra = ["attestations: write", "contents: write", "id-token: write"] if path.stem == "release" else []
    assert sorted(one for one in granted if one != "contents: read") == extra
    assert "secrets." not in text


def test_a_release_has_the_notes_of_its_version_and_tags_it() -> None:
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    notes = not_none(re.search(r"awk -v head=\"## \$version\" '(.+)' CHANGELOG.md", text))
    found = subprocess.run(
        ["awk", "-v", f"head=## {version}", notes[1], ROOT / "CHANGELOG.md"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert found.strip().startswith("### Before you upgrade")
    assert len(found.split()) < 1000, "an operator reads it in some minutes"
    assert "needs: publish" in text.partition("\n  tag:\n")[2]
    assert 'gh release create "v$version"' in text


@every_workflow
def test_no_job_runs_on_for_hours(path: Path) -> None:
    text = path.read_text()

    assert text.count("timeout-minutes:") == text.count("runs-on:") > 0


@every_workflow
def test_they_run_what_make_has(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert set(re.findall(r"run: make ([\w-]+)", path.read_text())) <= targets


def test_every_part_of_the_check_runs_before_a_commit() -> None:
    parts = not_none(re.search(r"^check: (.+) ##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    hooks = re.findall(r"entry: make ([\w-]+)", (ROOT / ".pre-commit-config.yaml").read_text())

    assert hooks == parts[1].split()
