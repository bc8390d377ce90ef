"""`janitor` as a test types it, in this process, which spares its start; and an account to type it at."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest

from conftest import NOW
from ml_janitor_cli.main import main
from ml_janitor_sandbox.control import Control
from standin import idle_notebook


class Ran(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def headline(self) -> str:
        """Its first line, without the name of the command or the account."""
        return re.sub(r"^(ML Janitor|Bill of account \d+)  ", "", self.out.splitlines()[0])

    @property
    def flat(self) -> str:
        """Its output on one line."""
        return " ".join(self.out.split())

    @property
    def document(self) -> Any:
        """Its output as the one JSON document that it has to be."""
        return json.loads(self.out)


type Janitor = Callable[..., Ran]


@pytest.fixture
def janitor(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Janitor:
    """Run `janitor` in an empty directory, at NOW."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JANITOR_NOW", NOW.isoformat())
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")

    def run(*args: str | Path) -> Ran:
        capfd.readouterr()
        status = main([str(arg) for arg in args])
        return Ran(status, *capfd.readouterr())

    return run


@pytest.fixture
def notebooks(box: Control, session: boto3.Session) -> Control:
    """Three notebooks: one left on, one in use, one with a keep tag."""
    idle_notebook(session, box, "left-on", hours=9 * 24, owner="maria")
    idle_notebook(session, box, "in-use", hours=0.15)
    idle_notebook(session, box, "wanted", hours=None, keep="true")
    return box


def refused(ran: Ran) -> str:
    """The one line that a refusal is: exit 2, nothing on stdout."""
    assert (ran.status, ran.out) == (2, "")
    (line,) = ran.err.splitlines()
    assert line.startswith("janitor: ")
    return line.removeprefix("janitor: ")
