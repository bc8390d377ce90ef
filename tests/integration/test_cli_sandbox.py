"""`janitor sandbox`: what a command in it is given, its exit status, signals, and serving without one."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest

from ml_janitor_cli.main import main
from ml_janitor_cli.sandbox import command_environment
from narrowing import not_none
from tables import cases

PROGRAM = str(Path(sys.executable).parent / "janitor")
EMPTY = (PROGRAM, "sandbox", "--empty")

ASK = """
import json, os, urllib.request
import boto3
sts = boto3.client("sts").get_caller_identity()
url = os.environ["AWS_ENDPOINT_URL"] + "/sandbox/clock"
with urllib.request.urlopen(url) as reply:
    clock = json.load(reply)["now"]
print(json.dumps({"account": sts["Account"], "clock": clock, "env": dict(os.environ)}))
"""

IGNORE = """
import sys
import boto3, botocore.exceptions
try:
    boto3.client("sqs").list_queues()
except botocore.exceptions.ClientError:
    sys.exit(int(sys.argv[1]))
"""

WAIT = """
import signal, sys, time
def end(number, frame):
    print("got", signal.Signals(number).name, flush=True)
    sys.exit(7)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, end)
print("ready", flush=True)
while True:
    time.sleep(0.1)  # pause() would miss a signal that came right before it
"""


def run(*args: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(
        args, env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_command_is_given_the_sandbox_and_nothing_of_the_machines_own_aws() -> None:
    own = {
        "AWS_PROFILE": "production",
        "AWS_SESSION_TOKEN": "real",
        "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "JANITOR_NOW": "2020-01-01T00:00:00Z",
    }

    done = run(*EMPTY, "--", sys.executable, "-c", ASK, env=own)

    assert (done.returncode, done.stderr) == (0, "")
    seen = json.loads(done.stdout)
    assert seen["account"] == "123456789012"
    assert seen["env"]["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:")
    assert seen["env"]["AWS_DEFAULT_REGION"] == "us-east-1"
    assert seen["env"]["JANITOR_NOW"] == seen["clock"].replace("+00:00", "Z") == "2026-10-06T03:00:00Z"
    left = set(own) & set(seen["env"])
    assert left == {"JANITOR_NOW"}


def test_the_audit_runs_in_it_without_an_activated_environment() -> None:
    done = run(*EMPTY, "--", "janitor", "audit", "--json", env={"PATH": "/usr/bin:/bin"})

    assert (done.returncode, done.stderr) == (0, "")
    shown = json.loads(done.stdout)
    assert (shown["time"], shown["account"]) == ("2026-10-06T03:00:00Z", "123456789012")
    looked_at = {sweep["detector"]: sweep["looked_at"] for sweep in shown["sweeps"]}
    assert looked_at.pop("storage-tiering") == 1  # the bucket of the janitor's own reports
    assert set(looked_at.values()) == {0}


@cases(
    "command, status, said",
    (("sh", "-c", "exit 3"), 3, ""),
    (("sh", "-c", "kill -TERM $$"), 128 + signal.SIGTERM, ""),
    (("no-such-command",), 127, "janitor sandbox: no-such-command: command not found\n"),
    (("/",), 126, "janitor sandbox: /: Permission denied\n"),
)
def test_its_status_is_the_commands(
    capfd: pytest.CaptureFixture[str], command: tuple[str, ...], status: int, said: str
) -> None:
    assert main(["sandbox", "--empty", "--", *command]) == status
    assert capfd.readouterr() == ("", said)


@pytest.mark.parametrize(("own", "status"), [(0, 1), (3, 3)])
def test_a_command_that_read_a_crashed_sandbox_does_not_succeed(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, own: int, status: int
) -> None:
    def breaks(_: object) -> None:
        raise RuntimeError("its own")

    monkeypatch.setattr("moto.sqs.responses.SQSResponse.list_queues", breaks)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")

    assert main(["sandbox", "--empty", "--", sys.executable, "-c", IGNORE, str(own)]) == status
    assert capfd.readouterr().err.splitlines()[-1] == (
        "janitor sandbox: the sandbox itself failed at sqs:ListQueues; "
        "what the command said of the account may be incomplete or wrong"
    )


def test_options_of_the_command_are_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["sandbox", "--empty", "echo", "--port", "-x"]) == 0
    assert capfd.readouterr().out == "--port -x\n"


INTERRUPT = """
import os
from ml_janitor_sandbox.control import Control, SandboxError
try:
    Control(os.environ["AWS_ENDPOINT_URL"]).interrupt("arn:none")
except SandboxError as error:
    print(error)
"""


@cases(
    "options, said",
    ((), "no job runs for real here"),
    (("--run-jobs", "--speed", "0"), "no spot job arn:none runs here"),
)
def test_jobs_run_in_it_only_where_that_is_asked_for(
    options: tuple[str, ...], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["sandbox", "--empty", *options, "--", sys.executable, "-c", INTERRUPT]) == 0
    assert said in capfd.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_the_command_and_its_status_comes_back(number: signal.Signals) -> None:
    command = (*EMPTY, "--", sys.executable, "-c", WAIT)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        assert not_none(running.stdout).readline() == "ready\n"
        running.send_signal(number)
        out, err = running.communicate(timeout=60)

    assert (out, err) == (f"got {number.name}\n", "")
    assert running.returncode == 7


def test_without_a_command_it_serves_until_ctrl_c_and_says_how_to_use_it() -> None:
    with subprocess.Popen(
        EMPTY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        assert running.stdout is not None
        first = running.stdout.readline()
        url = not_none(re.search(r"http://127\.0\.0\.1:\d+", first))
        with urllib.request.urlopen(f"{url[0]}/sandbox/clock") as reply:  # noqa: S310
            assert reply.status == 200
        running.send_signal(signal.SIGINT)
        out, err = running.stdout.read(), not_none(running.stderr).read()

    assert (running.returncode, err) == (0, "")
    assert first.startswith("An empty account at http://127.0.0.1:")
    assert f"export AWS_ENDPOINT_URL={url[0]}\n" in out
    assert "export JANITOR_NOW=2026-10-06T03:00:00Z" in out
    pasted = "\n".join(line for line in out.splitlines() if line.startswith(("  export ", "  unset ")))
    shell = ["sh", "-c", f'{pasted}\nprintf %s "$AWS_PROFILE$AWS_ACCESS_KEY_ID $JANITOR_FUNCTIONS"']
    said = subprocess.run(shell, env={"AWS_PROFILE": "mine"}, capture_output=True, text=True, check=True)
    key, _, functions = said.stdout.partition(" ")
    assert (key, said.stderr) == ("AKIASANDBOX", "")
    assert "idle-endpoints" in json.loads(functions)


def test_a_port_that_is_taken_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        assert main(["sandbox", "--empty", "--port", str(port), "--", "true"]) == 2

    assert capfd.readouterr() == ("", f"janitor: --port {port} cannot be used: Address already in use\n")


def test_a_proxy_is_not_asked_for_the_sandbox_and_tuning_of_retries_reaches_the_command() -> None:
    own = {"NO_PROXY": "internal", "HTTP_PROXY": "http://proxy", "AWS_REGION": "eu-west-1"}
    made = command_environment({**own, "AWS_MAX_ATTEMPTS": "2"}, "http://127.0.0.1:1", "now")

    assert made["NO_PROXY"] == made["no_proxy"] == "internal,127.0.0.1"
    assert (made["HTTP_PROXY"], made["AWS_MAX_ATTEMPTS"]) == ("http://proxy", "2")
    assert made["AWS_REGION"] == "us-east-1"
