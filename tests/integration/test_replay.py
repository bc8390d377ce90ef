"""`janitor replay`: the function's own code on this machine, its answer, and its exit status."""

import json
import os
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from ml_janitor_cli.main import main
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import WORKER
from ml_janitor_sandbox.slack import SlackControl
from standin import EVENTS, ROOT, Deployment, idle_endpoints, items
from tables import cases

PROGRAM = str(Path(sys.executable).parent / "janitor")


@pytest.fixture(autouse=True)
def _in_a_shell(deployed: SlackControl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment and directory of a shell in the sandbox; the log goes where it is looked for."""
    from ml_janitor import handlers

    assert deployed
    for name in ("JANITOR_DETECTOR", "AWS_REGION", "LAMBDA_TASK_ROOT"):
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    handlers.structured_logger.cache_clear()


def replay(name: str, *flags: str) -> int:
    return main(["replay", str(EVENTS / f"{name}.json"), *flags])


def test_it_reads_the_bill(box: Control, capsys: pytest.CaptureFixture[str]) -> None:
    box.set_bill(enabled=True)

    assert replay("scheduled", "--handler", "bill") == 0

    answer = json.loads(capsys.readouterr().out)
    assert answer["report"] == "s3://ml-janitor-reports/bill/2026-10-06T03-00-00Z.json"


@cases(
    "name, note",
    ("scheduled", ""),
    ("manual-dry-run", ""),
    ("one-region", ""),
    ("stale", "the event was 2 hours old, so this was a dry run"),
)
def test_it_prints_the_answer_of_the_function(
    box: Control, session: boto3.Session, capsys: pytest.CaptureFixture[str], name: str, note: str
) -> None:
    idle_endpoints(session, box, "a")

    assert replay(name, "--detector", "idle-endpoints") == 0

    answer = json.loads(capsys.readouterr().out)
    assert (answer["account"], answer["new"], answer["note"]) == ("123456789012", 1, note)
    assert [one["detector"] for one in answer["sweeps"]] == ["idle-endpoints"]
    assert [item["name"] for item in items(session)["finding"]] == ["a"]


def test_it_runs_the_digest(
    deployed: SlackControl, capsys: pytest.CaptureFixture[str], session: boto3.Session
) -> None:
    assert replay("scheduled", "--digest") == 0

    assert json.loads(capsys.readouterr().out)["sweeps"] > 0
    digest, thread = deployed.messages()
    assert (digest.get("thread_ts"), thread["thread_ts"]) == (None, digest["ts"]), "22 lines and their fold"
    assert "digest" in items(session)


def test_one_resource_that_is_gone_is_looked_at_and_not_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert replay("one-resource", "--detector", "idle-endpoints") == 0
    assert json.loads(capsys.readouterr().out)["sweeps"][0]["looked_at"] == 0


@cases(
    "name, flags, says",
    ("malformed", ("--detector", "idle-endpoints"), "invalid event: mode: expected"),
    ("absent", ("--detector", "idle-endpoints"), "absent.json cannot be read: No such file"),
    ("scheduled", (), "give --detector NAME, or set JANITOR_DETECTOR"),
    ("scheduled", ("--detector", "idle-hands"), "no enabled detector is called idle-hands"),
)
def test_what_cannot_be_run_is_one_line_and_two(
    capsys: pytest.CaptureFixture[str], name: str, flags: tuple[str, ...], says: str
) -> None:
    assert replay(name, *flags) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert len(err.splitlines()) == 1


def test_a_file_that_is_no_json_is_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "event.json").write_text("{")
    assert main(["replay", str(tmp_path / "event.json"), "--detector", "idle-endpoints"]) == 2
    assert "is not JSON" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["JANITOR_TABLE", "JANITOR_BUCKET"])
def test_where_it_writes_has_to_be_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.delenv(name)
    assert replay("scheduled", "--detector", "idle-endpoints") == 2
    assert f"or set {name}" in capsys.readouterr().err


def test_a_failing_function_leaves_no_environment(box: Control, capsys: pytest.CaptureFixture[str]) -> None:
    box.fault("sagemaker", "ListEndpoints", "deny", times=0)

    assert replay("scheduled", "--detector", "idle-endpoints") == 1

    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith("janitor: the function failed: RunFailedError: idle-endpoints in")
    assert "JANITOR_DETECTOR" not in os.environ


def test_it_handles_what_slack_sends_and_what_is_handed_on(
    capsys: pytest.CaptureFixture[str], armed: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert replay("interact", "--handler", "interact") == 0
    assert json.loads(capsys.readouterr().out) == {"statusCode": 200, "body": ""}
    (handed,) = armed.box.invocations()
    assert handed == {"function": WORKER, "event": json.loads((EVENTS / "pressed.json").read_text())}

    assert replay("pressed", "--handler", "pressed") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer == {"done": False, "why": "the ledger no longer has this finding"}

    assert replay("undo", "--handler", "undo") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["done"], answer["finding"]) == (False, "b4a856d0a3")
    assert answer["why"] == "nothing was done to finding b4a856d0a3 by idle-endpoints in us-east-1"
    monkeypatch.delenv("JANITOR_WORKER")
    assert replay("interact", "--handler", "interact") == 2
    assert capsys.readouterr().err == "janitor: set JANITOR_WORKER\n"


def test_a_press_without_a_slack_to_be_judged_by_is_two(capsys: pytest.CaptureFixture[str]) -> None:
    (Path.cwd() / "janitor.toml").unlink()
    assert replay("pressed", "--handler", "pressed") == 2
    assert "set slack_signing_secret in [janitor] of janitor.toml" in capsys.readouterr().err


def test_it_works_in_one_command_in_the_sandbox() -> None:
    command = ("janitor", "replay", "events/scheduled.json", "--detector", "idle-endpoints")
    done = subprocess.run(
        [PROGRAM, "sandbox", "--empty", "--", *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("JANITOR_")},
    )

    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["new"] == answer["sweeps"][0]["found"] == 0
    assert '"message":"swept"' in done.stderr
