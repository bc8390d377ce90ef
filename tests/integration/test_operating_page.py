"""docs/operating.md says what there is: every alarm, whatever doctor points to, every field of the log."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from io import StringIO
from typing import Any

import boto3
import pytest

from fakes import TRUST, logger_to
from ml_janitor import handlers
from ml_janitor.config.settings import Settings
from ml_janitor.engine.run import RunFailedError
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.slack import SlackControl
from standin import ROOT, Context, event, idle_endpoints
from synthesis import BUTTONS, Synthesised, synthesise

PAGE = (ROOT / "docs" / "operating.md").read_text()

KEYWORDS = {
    *(
        "fields",
        "filter",
        "sort",
        "desc",
        "limit",
        "stats",
        "by",
        "as",
        "and",
        "count",
        "latest",
        "max",
        "avg",
    ),
    *("bin", "ispresent", "d"),
}
"""What is no field in the queries of the page (CloudWatch Logs Insights query syntax)."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    return synthesise(tmp_path_factory.mktemp("stack"), Settings.load(files=[ROOT / "janitor.toml"]))


@pytest.fixture(scope="module")
def armed(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    """A stack with everything that there can be in one."""
    arms = {"mode": "act", "act_in": ["123456789012/us-east-1"]}
    tables = {
        "janitor": BUTTONS,
        "detectors": {"idle-notebooks": arms},
        "organization": {"accounts": ["210987654321"], "janitor_account": "123456789012", **TRUST},
    }
    return synthesise(tmp_path_factory.mktemp("armed"), Settings.parse(tables))


def headings(*, level: int, under: str = "") -> set[str]:
    part = PAGE.partition(f"\n## {under}\n")[2].partition("\n## ")[0] if under else PAGE
    return set(re.findall(rf"^{'#' * level} (.+)$", part, re.MULTILINE))


def test_every_alarm_of_the_template_is_explained_and_no_other(armed: Synthesised) -> None:
    kinds = {name[:-8] for name in armed.of_type("AWS::CloudWatch::Alarm")}

    assert kinds == headings(level=3, under="Alarms")


def test_doctor_points_to_what_is_there() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "cli").rglob("*.py"))
    pointed = set(re.findall(r'see \{OPERATING_PAGE\} ([A-Z][^"{]+)"', sources))

    assert {"SweepMissed", "RunFailed", "The ledger is gone"} <= pointed
    assert pointed <= headings(level=3) | headings(level=2)


def test_links_within_the_page_lead_somewhere() -> None:
    anchors = {heading.lower().replace(" ", "-") for level in (2, 3) for heading in headings(level=level)}

    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= anchors


def test_what_outlives_the_stack_is_named(stack: Synthesised) -> None:
    kept = {
        name[:-8]
        for name, resource in stack.template["Resources"].items()
        if resource.get("DeletionPolicy") in {"Retain", "RetainExceptOnCreate"}
    }
    named = re.findall(r"^\| `(\w+)`, .* \| no: delete it", PAGE, re.MULTILINE)

    assert set(named) == kept | {"DeploymentBucket"}  # which `janitor deploy` makes before the stack


def test_the_targets_of_make_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert set(re.findall(r"`?\bmake ([a-z]+)\b(?=[`\s])", PAGE)) - {"sure"} <= targets


def queries() -> list[str]:
    return re.findall(r"```sql\n(.+?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("query", queries())
def test_the_queries_ask_for_what_is_in_the_log(
    query: str, deployed: SlackControl, log: Log, session: boto3.Session, box: Control
) -> None:
    del deployed
    idle_endpoints(session, box, "idle")
    handlers.sweep(event("scheduled"), Context())
    box.fault("sagemaker", "ListEndpoints", "deny", times=0)
    box.fault("s3", "PutObject", "deny", times=0)
    with pytest.raises(RunFailedError):
        handlers.sweep({"time": "2026-10-06T02:59:00Z"}, Context())
    written = {field for line in log.lines() for field in line}

    assert fields(query) - written == set()
    for name, value in re.findall(r'(\w+) = "(\w+)"', query):
        assert name in written
        assert name == "request_id" or value in {line[name] for line in log.lines() if name in line}


def fields(query: str) -> set[str]:
    """The fields of the log that a query names: not its functions, words, texts, and names of its own."""
    own = set(re.findall(r"\bas (\w+)", query))
    words = re.findall(r"(?<![@\w])[a-z_]+\b", re.sub(r'"[^"]*"', "", query))
    return set(words) - KEYWORDS - own


class Log:
    """What the functions write to their log, but for the metrics."""

    def __init__(self) -> None:
        self.stream = StringIO()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    made = Log()
    logger = logger_to(made.stream)
    monkeypatch.setattr(handlers, "structured_logger", lambda: logger)
    yield made


def test_there_are_queries() -> None:
    assert len(queries()) >= 5
