"""What a shell completes: every value with a list behind it, in bash, zsh and fish."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from ml_janitor.detectors import DETECTORS
from ml_janitor_cli.completion import VALUES
from ml_janitor_cli.main import app
from ml_janitor_cli.pages import find_pages
from ml_janitor_cli.settings import setting_names
from tables import cases

DETECTOR = next(iter(DETECTORS)).name

SHELLS = {
    "bash": lambda words: {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)},
    "zsh": lambda words: {"_TYPER_COMPLETE_ARGS": " ".join(words)},
    "fish": lambda words: {
        "_TYPER_COMPLETE_ARGS": " ".join(words),
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    },
}


def complete(shell: str, *words: str, folder: Path) -> str:
    """Answer the *shell* of somebody who typed *words* and pressed Tab, in *folder*."""
    config = folder / "config"
    config.write_text("[profile audit-prod]\nregion = us-east-1\n")
    done = subprocess.run(
        [sys.executable, "-c", "from ml_janitor_cli.entry import main; raise SystemExit(main())"],
        env={
            "_JANITOR_COMPLETE": f"complete_{shell}",
            "AWS_CONFIG_FILE": str(config),
            **SHELLS[shell](words),
        },
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a report of an endpoint and a family of jobs."""
    results = [
        {"name": "churn-blue", "arn": "arn:aws:sagemaker:us-east-1:123456789012:endpoint/churn-blue"},
        {"name": "llm-pretrain-7b-*", "arn": "arn:aws:sagemaker:us-east-1:123456789012:training-job/llm"},
    ]
    (tmp_path / "report.json").write_text(json.dumps({"account": "1", "results": results}))
    return tmp_path


@cases(
    "shell, typed, completed",
    ("bash", ("audit", DETECTOR[:6]), DETECTOR),
    ("zsh", ("docs", "operat"), "operating"),
    ("fish", ("explain", "chu"), "churn-blue"),
    ("bash", ("explain", "--region", "eu-cent"), "eu-central-1"),
    ("zsh", ("audit", "--profile", "aud"), "audit-prod"),
    ("fish", ("audit", "--set", f"{DETECTOR}."), f"{DETECTOR}."),
    ("bash", ("settings", "slack_s"), "slack_secret"),
    ("zsh", ("keep", "llm"), "llm-pretrain-7b-*"),
)
def test_a_shell_completes_names(folder: Path, shell: str, typed: tuple[str, ...], completed: str) -> None:
    assert completed in complete(shell, "janitor", *typed, folder=folder)


@cases(
    "text, names",
    ("", []),
    ("[]", []),
    ('{"results": 7}', []),
    ('{"results": [7, {"name": "x"}, {"name": "x", "arn": "arn:x"}]}', ["x", "arn:x"]),
    ("\x00", []),
)
def test_whatever_lies_there_under_the_name_of_a_report_nothing_fails(
    folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, names: list[str]
) -> None:
    (folder / "report.json").write_text(text)
    monkeypatch.chdir(folder)
    assert VALUES["RESOURCE"]() == names
    (folder / "report.json").unlink()
    assert VALUES["RESOURCE"]() == []


def parameters(command: Any) -> list[Any]:
    return [
        *command.params,
        *(each for inner in getattr(command, "commands", {}).values() for each in parameters(inner)),
    ]


def test_each_value_with_a_list_behind_it_is_completed() -> None:
    """A detector, a page, a setting, a region, a profile or a resource, wherever a command takes one."""
    made = parameters(typer.main.get_command(app))
    listed = [each for each in made if each.metavar in {*VALUES, "TOPIC"} or "--profile" in each.opts]
    assert len(listed) > 30
    assert [each.name for each in listed if each._custom_shell_complete is None] == []
    named = {
        each.metavar
        for each in made
        if each.metavar
        and {"DETECTOR", "REGION", "RESOURCE"} & set(each.metavar.replace("|", ".").split("."))
    }
    assert named <= {*VALUES}


def test_the_lists_are_those_of_the_program() -> None:
    assert VALUES["DETECTOR"]() == [each.name for each in DETECTORS]
    assert {"all", "us-east-1", "eu-central-1"} <= {*VALUES["REGION"]()}
    assert f"{DETECTOR}." in {name.partition(".")[0] + "." for name in VALUES["DETECTOR.FIELD=VALUE"]()}
    assert {"bill", "bill.max_requests", "max_requests"} <= {*setting_names()}
    assert "operating" in find_pages()
