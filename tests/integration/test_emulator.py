"""The real bundle in Lambda's own runtime, against the sandbox over HTTP."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bench.receiver import MEMORY, WHOLE_CORE
from infra.bundle import LAMBDA_REQUIREMENTS, Architecture, cached_bundle
from ml_janitor.config.functions import list_advisers
from ml_janitor.config.settings import Settings
from ml_janitor_sandbox import demo
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import BUCKET, TABLE, deploy
from ml_janitor_sandbox.emulator import ACCOUNT, Emulator
from ml_janitor_sandbox.function_url import event as url_event
from ml_janitor_sandbox.keep_press import keep_press
from ml_janitor_sandbox.slack import SlackControl
from properties.worlds import RARE
from standin import WITH_SLACK, event, idle_endpoints, items, reports

pytestmark = pytest.mark.xdist_group("emulator")

PROBE = """
import importlib, pkgutil, sys

def handler(event, context):
    import ml_janitor
    modules = [one.name for one in pkgutil.walk_packages(ml_janitor.__path__, "ml_janitor.")]
    for name in [*modules, *event["inside"]]:
        importlib.import_module(name)
    outside = {}
    for name in event["outside"]:
        try:
            importlib.import_module(name)
            outside[name] = True
        except ImportError:
            outside[name] = False
    places = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
    return {"modules": modules, "outside": outside, "places": places}
"""


@pytest.fixture(scope="session")
def bundle() -> Path:
    """The bundle for this machine; the deployment's, for arm64, is made by the same builder."""
    machine: Architecture = "arm64" if platform.machine() == "aarch64" else "x86_64"
    return cached_bundle(machine)


@pytest.fixture
def task(bundle: Path, tmp_path: Path) -> Path:
    """The bundle with settings of its own: those in the repository have no Slack."""
    task = tmp_path / "task"
    task.mkdir()
    for one in bundle.iterdir():
        if one.name != "janitor.toml":
            (task / one.name).symlink_to(one)
    (task / "janitor.toml").write_text(WITH_SLACK)
    return task


@pytest.fixture
def environment(deployed: SlackControl, box: Control) -> Mapping[str, str]:
    """What the stack and Lambda tell a function, and where the sandbox is."""
    return {
        "AWS_ENDPOINT_URL": box.url,
        "AWS_ACCESS_KEY_ID": "AKIASANDBOX",
        "AWS_SECRET_ACCESS_KEY": "sandbox",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "JANITOR_TABLE": TABLE,
        "JANITOR_BUCKET": BUCKET,
        "JANITOR_DETECTOR": "idle-endpoints",
        "JANITOR_SLACK_URL": deployed.api,
        "JANITOR_NOW": "2026-10-06T03:00:30Z",
    }


@contextmanager
def function(
    task: Path,
    environment: Mapping[str, str],
    handler: str = "ml_janitor.handlers.sweep",
    *,
    timeout: int = 60,
    memory: int = 512,
) -> Iterator[Emulator]:
    with Emulator(task, handler, environment=environment, timeout=timeout, memory=memory) as running:
        yield running


def logged(emulator: Emulator) -> list[dict[str, Any]]:
    """Every line of the log that is JSON."""
    return [json.loads(line) for line in emulator.logs().splitlines() if line.startswith("{")]


def test_a_scheduled_event_in_and_findings_a_report_a_ledger_and_messages_out(
    task: Path, environment: Mapping[str, str], box: Control, session: boto3.Session
) -> None:
    demo.seed(box.url)
    waste = sorted(one.name for one in demo.WASTE if one.detector == "idle-endpoints")

    with function(task, environment) as sweep:
        answer = sweep.invoke(event("scheduled"))
        again = sweep.invoke(event("scheduled"))
        log = logged(sweep)
    with function(task, environment, "ml_janitor.handlers.digest") as digest:
        summed_up = digest.invoke(event("scheduled"))
        daily_log = logged(digest)

    assert (answer.error, again.payload) == (None, answer.payload)
    assert (answer.payload["new"], answer.payload["sweeps"][0]["found"]) == (len(waste), len(waste))
    assert sorted(item["name"] for item in items(session)["finding"]) == waste
    assert answer.payload["report"].removeprefix(f"s3://{BUCKET}/") in reports(session)
    assert summed_up.payload["new"] == len(waste)
    slack = SlackControl(box.url)
    main, daily = (one for one in slack.messages() if one["thread_ts"] is None)
    assert f"{len(waste)} new idle endpoints" in main["text"]
    assert daily["text"].startswith("Daily digest.")
    (file,) = slack.files()
    assert file["name"] == f"idle-endpoints-{ACCOUNT}-us-east-1-2026-10-06.html"
    assert [line["found"] for line in log if line.get("message") == "swept"] == [len(waste)]
    (metrics,) = (line["_aws"]["CloudWatchMetrics"] for line in daily_log if "_aws" in line)
    assert metrics[0]["Dimensions"] == [["detector"]]


def test_all_advisers_judge_the_demo_account_in_one_invocation(
    task: Path, environment: Mapping[str, str], box: Control
) -> None:
    demo.seed(box.url)
    names = [detector.name for detector in list_advisers(Settings.parse({}))]

    with function(task, environment, "ml_janitor.handlers.advisers", timeout=900, memory=1024) as emulator:
        answer = emulator.invoke({**event("scheduled"), "detectors": names})
        memory = emulator.peak_megabytes()

    answers = answer.payload["answers"]
    assert (answer.error, [*answers], answer.payload["rest"]) == (None, names, [])
    found = {name: answers[name]["sweeps"][0]["found"] for name in ("storage-tiering", "idle-clusters")}
    assert found == {name: sum(known.detector == name for known in demo.WASTE) for name in found}
    rare = {world.DETECTOR for world in RARE}
    assert {name for name in names if not answers[name]["sweeps"][0]["looked_at"]} == rare
    assert memory < 1024


COLD = """
import sys
from ml_janitor.handlers import interact

def handler(event, context):
    answer = interact(event, context)
    return {"answer": answer, "modules": sorted(sys.modules)}
"""

HEAVY = (
    *("boto3", "pydantic", "jinja2", "aws_lambda_powertools", "tzdata"),
    *("ml_janitor.detectors", "ml_janitor.config", "ml_janitor.ledger", "ml_janitor.report"),
    *(
        "ml_janitor.slack.client",
        "ml_janitor.slack.press_worker",
        "ml_janitor.deployment",
        "ml_janitor.scheduled",
    ),
)
"""What other functions need, and the receiver does not."""


def test_a_press_is_acknowledged_within_slacks_three_seconds_from_cold(
    task: Path, environment: Mapping[str, str], deployed: SlackControl, box: Control
) -> None:
    """Its computing, on as much of a core as it gets, leaves two seconds for two calls of AWS."""
    signed = keep_press(deployed)
    at = datetime.fromisoformat(environment["JANITOR_NOW"])

    own = {**environment, **deploy(box.url)}
    with function(task, own, "ml_janitor.handlers.interact", memory=MEMORY) as receiver:
        answer = receiver.invoke(url_event(signed.headers, signed.body, at=at))
        computed = receiver.cpu_seconds()
        logs = receiver.logs()

    assert answer.payload == {"statusCode": 200, "body": ""}
    (handed,) = box.invocations()
    assert handed["event"]["body"].encode() == signed.body
    assert 0.05 < computed * WHOLE_CORE / MEMORY < 1.0
    assert "/slack/actions/" not in logs


def test_a_cold_receiver_imports_nothing_that_it_does_not_need(
    task: Path, environment: Mapping[str, str], deployed: SlackControl, box: Control
) -> None:
    (task / "cold.py").write_text(COLD)
    signed = keep_press(deployed)
    sent = url_event(signed.headers, signed.body, at=datetime.fromisoformat(environment["JANITOR_NOW"]))

    with function(task, {**environment, **deploy(box.url)}, "cold.handler") as receiver:
        cold = receiver.invoke(sent)

    assert cold.payload["answer"] == {"statusCode": 200, "body": ""}
    loaded = set(cold.payload["modules"])
    assert {"botocore", "slack_sdk.signature", "ml_janitor.slack.ingress"} <= loaded
    assert loaded.isdisjoint(HEAVY), loaded.intersection(HEAVY)


def test_a_timeout_is_lambdas_and_the_retry_does_everything_once(
    task: Path, environment: Mapping[str, str], box: Control, session: boto3.Session
) -> None:
    idle_endpoints(session, box, "a", "b")
    box.fault("sagemaker", "ListEndpoints", "latency", latency=6)

    with function(task, environment, timeout=3) as killed:
        answer = killed.invoke(event("scheduled"))
    assert answer.error == "Sandbox.Timedout"
    assert "Task timed out after 3.00 seconds" in str(answer.payload)
    assert {item["status"] for item in items(session)["idempotency"]} == {"INPROGRESS"}

    with function(task, environment) as retried:
        answer = retried.invoke(event("scheduled"))
    assert (answer.error, answer.payload["new"]) == (None, 2)
    assert len([one for one in SlackControl(box.url).messages() if one["thread_ts"] is None]) == 1
    assert len(items(session)["sweep"]) == 1


def test_an_unhandled_error_is_reported_as_lambda_does(task: Path, environment: Mapping[str, str]) -> None:
    with function(task, environment) as sweep:
        answer = sweep.invoke(event("malformed"))

    assert answer.error == "InvalidInputError"
    assert answer.payload["errorMessage"].startswith("invalid event: mode: expected")
    assert answer.payload["stackTrace"]


def test_the_bundle_imports_exactly_its_own(bundle: Path, task: Path, environment: Mapping[str, str]) -> None:
    (task / "probe.py").write_text(PROBE)
    inside = (
        "boto3",
        "botocore",
        "pydantic",
        "slack_sdk",
        "jinja2",
        "aws_lambda_powertools",
        "tzdata",
        "resvg_py",
    )
    outside = (
        "moto",
        "pytest",
        "rich",
        "typer",
        "ml_janitor_cli",
        "infra",
        "ml_janitor_sandbox",
        "aws_cdk",
        "pip",
    )

    with function(task, environment, "probe.handler") as probe:
        answer = probe.invoke({"inside": inside, "outside": outside})

    assert answer.error is None, answer.payload
    shipped = {
        ".".join(path.relative_to(bundle).with_suffix("").parts).removesuffix(".__init__")
        for path in bundle.glob("ml_janitor/**/*.py")
    }
    assert set(answer.payload["modules"]) == shipped - {"ml_janitor"}
    assert answer.payload["outside"] == dict.fromkeys(outside, False)
    for name in inside:
        assert answer.payload["places"][name].startswith(str(task))


def test_the_bundle_holds_lambdas_dependencies_and_nothing_else(bundle: Path) -> None:
    named = [line.partition("\\")[0] for line in LAMBDA_REQUIREMENTS.read_text().splitlines() if "==" in line]
    pinned = [Requirement(line) for line in named]
    wanted = {canonicalize_name(one.name) for one in pinned if one.marker is None or one.marker.evaluate()}

    shipped = {path.name.partition("-")[0] for path in bundle.glob("*.dist-info")}

    assert {canonicalize_name(name) for name in shipped} == wanted
    there = {path.name for path in bundle.iterdir()}
    assert there >= {"ml_janitor", "janitor.toml"}
    assert not {"bin", "ml_janitor_cli", "infra", "ml_janitor_sandbox", "tests", "pip"} & there
