"""The notebooks' start script: what it publishes, from a Jupyter on loopback, and what is made of it."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import boto3
import pytest

from conftest import ACCOUNT, NOW, REGION
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Confidence, Finding
from ml_janitor.detectors.idle_notebooks import IdleNotebooks
from ml_janitor.detectors.idle_studio_apps import IdleStudioApps
from ml_janitor_sandbox.control import Control
from narrowing import not_none, of_type
from sagemaker_requests import notebook_request
from studio_seed import Studio
from tables import cases
from verdicts import only, sweep_once

FOLDER = Path(__file__).parents[2] / "docs" / "notebook-activity"
LONG_AGO = "2001-02-03T04:05:06.123456Z"
IDLE = {"execution_state": "idle", "last_activity": LONG_AGO}
SHELL = "(bash) S 1 {pid} {pid} 34816"
"""The leader of a session on /dev/pts/0, as /proc/PID/stat has it behind the PID."""


def load() -> Any:
    spec = importlib.util.spec_from_file_location("publish_idle_time", FOLDER / "publish_idle_time.py")
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    not_none(spec.loader).exec_module(module)
    return module


program = load()


class Jupyter(BaseHTTPRequestHandler):
    """The three answers that the program asks for; an answer that is None is an error."""

    answers: ClassVar[dict[str, Any]] = {}

    def do_GET(self) -> None:
        answer = self.answers.get(self.path.removeprefix("/api/"))
        self.send_response(500 if answer is None else 200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def jupyter() -> Iterator[str]:
    Jupyter.answers = {"status": {"started": LONG_AGO}, "kernels": [IDLE], "terminals": []}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Jupyter)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """The notebook instance "churn", on which only a shell waits."""
    arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:notebook-instance/churn"
    (tmp_path / "metadata.json").write_text(json.dumps({"ResourceArn": arn, "ResourceName": "churn"}))
    process(tmp_path, 10, SHELL)
    return tmp_path


def process(machine: Path, pid: int, stat: str) -> None:
    folder = machine / "proc" / str(pid)
    folder.mkdir(parents=True)
    (folder / "stat").write_text(f"{pid} {stat.format(pid=pid)} -1 4194304")


def embedded() -> str:
    """The program as the start script installs it."""
    script = (FOLDER / "on-start.sh").read_text()
    return script.partition("<<'PYTHON'\n")[2].rpartition("PYTHON\n")[0]


def run(box: Control, jupyter: str, machine: Path) -> subprocess.CompletedProcess[str]:
    installed = machine / "ml-janitor-activity.py"
    installed.write_text(embedded())
    where = ("--jupyter", jupyter, "--metadata", machine / "metadata.json")
    return subprocess.run(
        [sys.executable, installed, *where, "--proc", machine / "proc", "--home", machine],
        env={**os.environ, "AWS_ENDPOINT_URL": box.url},
        capture_output=True,
        text=True,
        check=False,
    )


def published(session: boto3.Session) -> list[float]:
    answer = session.client("cloudwatch").get_metric_statistics(
        Namespace="MLJanitor/Notebooks",
        MetricName="IdleSeconds",
        Dimensions=[{"Name": "NotebookInstanceName", "Value": "churn"}],
        StartTime=datetime(2020, 1, 1, tzinfo=UTC),
        EndTime=datetime(2100, 1, 1, tzinfo=UTC),
        Period=86400 * 365,
        Statistics=["Maximum"],
    )
    return [point["Maximum"] for point in answer["Datapoints"]]


def test_a_notebook_that_says_so_is_proven_idle(
    box: Control, session: boto3.Session, aws: Aws, jupyter: str, machine: Path
) -> None:
    with box.at(NOW - timedelta(days=30)):
        session.client("sagemaker").create_notebook_instance(**notebook_request("churn"))
    with box.at(NOW - timedelta(minutes=2)):
        ran = run(box, jupyter, machine)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    result = only(sweep_once(IdleNotebooks(), aws))
    assert isinstance(result.verdict, Finding)
    assert result.verdict.confidence is Confidence.PROVEN
    assert "it says itself that it has been idle for" in result.verdict.reason


def test_a_space_that_says_so_is_proven_idle(
    box: Control, session: boto3.Session, aws: Aws, jupyter: str, machine: Path
) -> None:
    studio = Studio(box, session)
    studio.app(space=studio.space("desk", studio.profile("anna")), active=None, wrote=None)
    arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:app/{studio.domain}/desk/JupyterLab/default"
    metadata = {"ResourceArn": arn, "ResourceName": "default", "DomainId": studio.domain, "SpaceName": "desk"}
    (machine / "metadata.json").write_text(json.dumps(metadata))
    with box.at(NOW - timedelta(minutes=2)):
        ran = run(box, jupyter, machine)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    result = only(sweep_once(IdleStudioApps(), aws))
    assert of_type(Finding, result.verdict).confidence is Confidence.PROVEN


@pytest.mark.parametrize("silent", ["status", "kernels", "terminals"])
def test_what_it_cannot_tell_it_does_not_publish(
    box: Control, session: boto3.Session, jupyter: str, machine: Path, silent: str
) -> None:
    Jupyter.answers[silent] = None

    ran = run(box, jupyter, machine)

    assert ran.returncode != 0
    assert "HTTP Error 500" in ran.stderr
    assert published(session) == []


def test_a_running_shell_is_work(box: Control, session: boto3.Session, jupyter: str, machine: Path) -> None:
    process(machine, 11, "(python train.py) S 10 11 10 34816")

    run(box, jupyter, machine)

    assert published(session) == [0.0]


@cases(
    "stat, works",
    ("(python) S 10 11 10 34816", True),
    ("(a ) S 1 (b) R 10 11 10 35072", True),  # a command may hold brackets; /dev/pts/256
    ("(python) Z 10 11 10 34816", False),
    ("(agetty) S 1 10 10 1025", False),  # the console
    ("(crond) S 1 10 10 0", False),  # no terminal, and the leader is there
    ("(python) S 1 11 9 0", True),  # after nohup: the shell that led its session is gone
    ("(kworker) S 2 0 0 0", False),
)
def test_what_counts_as_a_program(machine: Path, stat: str, *, works: bool) -> None:
    assert not program.runs_program(str(machine / "proc"), str(machine))
    process(machine, 12, stat)
    (machine / "proc" / "self").mkdir()

    assert program.runs_program(str(machine / "proc"), str(machine)) is works


@cases(
    "kernels, terminals, idle",
    ([], [], 3600),
    ([("idle", 600)], [], 600),
    ([("idle", 600), ("idle", 7200)], [("", 1200)], 600),
    ([("idle", 600)], [("", 300)], 300),
    ([("busy", 600)], [], 0),
    ([("starting", 600)], [], 0),
    ([("restarting", 600), ("idle", 900)], [], 0),
    ([("dead", 600)], [], 600),
    ([("idle", -60)], [], 0),
)
def test_the_idle_time(kernels: list[Any], terminals: list[Any], idle: float) -> None:
    def was(state: str, ago: float) -> dict[str, str]:
        at = NOW - timedelta(seconds=ago)
        return {"execution_state": state, "last_activity": f"{at:%Y-%m-%dT%H:%M:%S.%fZ}"}

    started = {"started": f"{NOW - timedelta(hours=1):%Y-%m-%dT%H:%M:%S}Z"}
    asked = [[was(*one) for one in ones] for ones in (kernels, terminals)]

    assert program.idle_seconds(started, *asked, NOW.timestamp()) == idle


def test_the_start_script_is_sound_and_fits() -> None:
    script = FOLDER / "on-start.sh"
    checked = subprocess.run(
        [Path(sys.executable).with_name("shellcheck"), script], capture_output=True, text=True, check=False
    )

    assert checked.stdout == ""
    assert checked.returncode == 0
    assert embedded() == (FOLDER / "publish_idle_time.py").read_text()
    assert script.stat().st_size * 4 / 3 < 16_384
