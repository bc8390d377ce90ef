"""Every example of every `--help`: its options exist, and it runs in the sandbox, in a small account."""

import io
import json
import os
import re
import shlex
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from commands import Janitor
from conftest import ACCOUNT
from ml_janitor import handlers
from ml_janitor_cli import entry
from ml_janitor_cli.main import _all_commands, _command
from ml_janitor_sandbox.control import Control
from samples import share
from standin import ARMED_TOML, ROOT, Deployment, idle_endpoints, idle_notebook

IN_SANDBOX = "janitor sandbox -- "

STARTS = {"janitor sandbox --port 5000", "janitor sandbox --empty -- python my_script.py"} | {
    "janitor sandbox --empty --run-jobs --speed 60 -- janitor-kit launch job.toml",
    "janitor mcp",
    "janitor mcp --role arn:aws:iam::123456789012:role/janitor-audit --profile my-profile",
}
"""Examples that start a server, which other tests do: their options are read here."""

COMPLAINS = ("janitor doctor", "--organization", "--fail-on", "--endpoint")
"""Examples that end with 1 or 3 here: no stack, no role in another account, waste, no measured use."""


ORGANIZATION = f"""
[organization]
accounts = ["{ACCOUNT}", "210987654321"]
external_id = "an-external-id"
callers = ["arn:aws:iam::{ACCOUNT}:user/ml"]
regions = ["us-east-1", "eu-west-1"]
"""


def examples() -> list[str]:
    """All examples, in the order of the commands."""
    helps = [(command.help or "").partition("Example")[2] for command in _all_commands(_command())]
    joined = [re.sub(r"\\\n *", "", text) for text in helps]  # a line that ends with a backslash goes on
    found = [line for text in joined for line in re.findall(r"^.*?(janitor .+)$", text, re.MULTILINE)]
    return [*dict.fromkeys(line.removeprefix(IN_SANDBOX) for line in found)]


@pytest.fixture
def account(
    deployment: Deployment,
    box: Control,
    session: boto3.Session,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An account with what the examples name, and a directory with their files."""
    deployment.arm()
    box.set_bill(enabled=True)
    idle_endpoints(session, box, "my-endpoint", "churn-scoring", "ranker", "demo")
    idle_endpoints(boto3.Session(region_name="eu-west-1"), box, "demo")
    idle_notebook(session, box, "left-on", hours=9 * 24, owner="maria")
    for bucket in ("my-bucket", "ml-experiments"):
        session.client("s3").create_bucket(Bucket=bucket)
    session.client("s3").put_object(Bucket="my-bucket", Key="models/model.tar.gz", Body=b"m")
    deployment.sweep("idle-endpoints")
    for name in ("JANITOR_DETECTOR", "LAMBDA_TASK_ROOT"):
        monkeypatch.delenv(name)
    handlers.structured_logger.cache_clear()
    files = {
        "config": "[profile audit]\nregion = us-east-1\n",
        "credentials": "[audit]\naws_access_key_id = AKIASANDBOX\naws_secret_access_key = s\n",
        "one.json": '{"inputs": ["a"]}',
        "sixteen.json": '{"inputs": ["a", "b"]}',
        "ages.csv": "age_days,gb,objects\n200,20000,40000\n",
        "hours.txt": "1.5\n" * 48,
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with zipfile.ZipFile(tmp_path / "ml-janitor-lambda-0.2.0.zip", "w") as bundle:
        bundle.writestr(zipfile.ZipInfo("ml_janitor/handlers.py"), "")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    shutil.copytree(ROOT / "events", tmp_path / "events")


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("part", share(range(3), 3))
def test_every_example_runs(
    janitor: Janitor, deployment: Deployment, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    found = examples()
    assert set(found) >= STARTS
    failed = list[str]()

    for example in found[part::3]:
        command, *_ = re.split(r" ([|>]) ", example)
        asked = shlex.split(command)[1:]
        if example in STARTS:
            _command().make_context("janitor", asked)
            continue
        if "--new-since" in example:
            janitor("audit", "--json-file", "report.json")
        armed = "" if example.startswith("janitor deploy") else ARMED_TOML
        deployment.settings(armed + (ORGANIZATION if "--organization" in example else ""))
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"y\n{ACCOUNT}\n{ACCOUNT}\n"))
        ran = janitor(*asked)
        fine = {0, 1, 3} if any(part in example for part in COMPLAINS) else {0}
        if ran.status not in fine:
            failed.append(f"{example}: {ran.status}, {ran.err[-300:]}")
        if "| jq" in example:
            assert json.loads(ran.out)
    assert failed == []
    assert len(found) > 40


WRITES_NOTHING = {"janitor init"}
"""Commands that write a file, and nothing to standard output."""


def runs() -> list[str]:
    """The first example of each command that runs to its end, the commands without one, and every help."""
    names = [" ".join(path) for path in _paths(_command(), ("janitor",))]
    found = dict[str, str]()
    for example in examples():
        for name in names:
            if example not in STARTS | WRITES_NOTHING and f"{example} ".startswith(f"{name} "):
                found.setdefault(name, re.split(r" ([|>]) ", example)[0])
    alone = ("detectors", "docs", "settings", "doctor --policy")
    return [*found.values(), *(f"janitor {name}" for name in alone), *(f"{name} --help" for name in names)]


def _paths(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    inner = getattr(command, "commands", {})
    if not inner:
        yield path
    for name, each in inner.items():
        yield from _paths(each, (*path, name))


@pytest.mark.usefixtures("account")
def test_a_reader_that_stops_early_is_no_error(
    janitor: Janitor,
    deployment: Deployment,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    ended = dict[str, int]()
    janitor("audit", "--json-file", "report.json")
    for command in runs():
        deployment.settings("" if command.startswith("janitor deploy") else ARMED_TOML)
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"y\n{ACCOUNT}\n{ACCOUNT}\n"))
        monkeypatch.setattr(sys, "argv", shlex.split(command))
        ended[command] = end_without_reader(monkeypatch)
    assert {name for name, status in ended.items() if status != entry.SIGPIPE_STATUS} == set()
    assert capfd.readouterr().err.count("Traceback") == 0
    assert len(ended) > 40


def end_without_reader(monkeypatch: pytest.MonkeyPatch) -> int:
    """Run the program with a standard output that nobody reads any more; return its exit status."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as broken, monkeypatch.context() as patched:  # noqa: PTH123
        patched.setattr(sys, "stdout", broken)
        return entry.main()
