"""The Lambda edge with the real payloads of events/, against the demo account over HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from aws_lambda_powertools.utilities.parameters import clear_caches

from conftest import ACCOUNT, REGION
from fakes import FakeContext
from janitor import handlers
from janitor.detectors import DETECTORS
from janitor.runs import RunFailedError
from sandbox import demo
from sandbox.control import Control
from sandbox.slack import CHANNEL, TOKEN, SlackControl

EVENTS = Path(__file__).parent.parent.parent / "events"
TABLE, BUCKET = "ledger", "reports"


@pytest.fixture
def deployed(box: Control, session: boto3.Session, monkeypatch: pytest.MonkeyPatch) -> Control:
    """The demo account with what the stack owns, and the environment of one of its functions."""
    demo.seed(box.url)
    session.client("s3").create_bucket(Bucket=BUCKET)
    session.client("dynamodb").create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    variables = {
        "AWS_REGION": REGION,
        "JANITOR_TABLE": TABLE,
        "JANITOR_BUCKET": BUCKET,
        "JANITOR_DETECTOR": "idle-notebooks",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return box


def event(name: str) -> Any:
    return json.loads((EVENTS / name).read_text())


def kept(session: boto3.Session) -> list[Mapping[str, Any]]:
    return session.client("dynamodb").scan(TableName=TABLE)["Items"]  # type: ignore[return-value]


def of_kind(items: list[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    return [item for item in items if item["pk"]["S"].startswith(f"{kind}#")]


@pytest.mark.usefixtures("deployed")
def test_a_scheduled_event_sweeps_its_detector_and_remembers(session: boto3.Session) -> None:
    answer = handlers.sweep(event("scheduled.json"), FakeContext())

    (swept,) = answer["sweeps"]
    assert (answer["account"], swept["detector"], swept["region"]) == (ACCOUNT, "idle-notebooks", REGION)
    assert swept["found"] == answer["new"] == 10
    assert swept["looked_at"] == swept["found"] + swept["kept"]
    assert json.loads(json.dumps(answer)) == answer
    items = kept(session)
    assert len(of_kind(items, "finding")) == 10
    assert len(of_kind(items, "sweep")) == 1
    assert of_kind(items, "lease") == []
    key = answer["report"].removeprefix(f"s3://{BUCKET}/")
    page = session.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()
    assert "gpu-sandbox-shared" in page


def test_the_same_event_twice_is_one_run(deployed: Control) -> None:
    first = handlers.sweep(event("scheduled.json"), FakeContext())
    deployed.clear_calls()

    second = handlers.sweep(event("scheduled.json"), FakeContext(request="another"))

    assert second == first
    assert not [call for call in deployed.calls() if call.startswith("sagemaker:")]


@pytest.mark.usefixtures("deployed")
def test_a_stale_event_says_so() -> None:
    answer = handlers.sweep(event("stale.json"), FakeContext())

    assert "hours old, so this was a dry-run" in answer["note"]


@pytest.mark.usefixtures("deployed")
def test_one_resource_is_looked_at_alone(session: boto3.Session) -> None:
    answer = handlers.sweep(event("one-resource.json"), FakeContext())

    (swept,) = answer["sweeps"]
    assert (swept["looked_at"], swept["found"], answer["new"]) == (1, 1, 0)
    assert of_kind(kept(session), "finding") == []


def test_an_incomplete_sweep_fails_after_everything_else(deployed: Control, session: boto3.Session) -> None:
    deployed.fault("tag", "GetResources", "deny", times=0)
    deployed.fault("sagemaker", "ListNotebookInstances", "break-page", times=0)

    with pytest.raises(RunFailedError, match="idle-notebooks in us-east-1 is not complete"):
        handlers.sweep(event("scheduled.json"), FakeContext())

    items = kept(session)
    assert len(of_kind(items, "sweep")) == 1
    assert of_kind(items, "lease") == []


def test_a_run_short_of_time_ends_with_what_it_read(deployed: Control) -> None:
    del deployed

    with pytest.raises(RunFailedError, match="it ran out of time"):
        handlers.sweep(event("scheduled.json"), FakeContext(calls_until_late=3))


@pytest.fixture
def workspace(
    deployed: Control, session: boto3.Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> SlackControl:
    """The deployment with Slack: a secret with a bot token, and settings that name it."""
    clear_caches()  # type: ignore[no-untyped-call]
    session.client("secretsmanager").create_secret(Name="slack", SecretString=TOKEN)
    (tmp_path / "janitor.toml").write_text(
        f'[janitor]\nslack_secret = "slack"\nslack_channel = "{CHANNEL}"\n'
    )
    slack = SlackControl(deployed.url)
    monkeypatch.setenv("LAMBDA_TASK_ROOT", str(tmp_path))
    monkeypatch.setenv("JANITOR_SLACK_URL", slack.api)
    return slack


def test_slack_is_told_once_of_what_is_new(workspace: SlackControl) -> None:
    handlers.sweep(event("scheduled.json"), FakeContext())
    first = len(workspace.messages())

    answer = handlers.sweep({"time": "2026-10-06T03:01:00Z"}, FakeContext(request="the-next-one"))

    assert first > 0
    assert answer["new"] == 0
    assert len(workspace.messages()) == first
    assert "10" in json.dumps(workspace.messages()[0])


def test_slack_being_down_fails_the_run_after_everything_else(
    workspace: SlackControl, session: boto3.Session
) -> None:
    workspace.fault("error", method="chat.postMessage", code="invalid_auth", times=0)

    with pytest.raises(RunFailedError, match="Slack could not be told"):
        handlers.sweep(event("scheduled.json"), FakeContext())

    items = kept(session)
    assert len(of_kind(items, "finding")) == 10
    assert not [item for item in items if "announced" in item]
    assert of_kind(items, "lease") == []


def test_the_digest_says_which_sweeps_did_not_run(workspace: SlackControl) -> None:
    handlers.sweep(event("scheduled.json"), FakeContext())
    before = len(workspace.messages())

    answer = handlers.digest({"time": "2026-10-06T07:00:00Z"}, FakeContext(request="digest"))

    assert answer["sweeps"] == len(DETECTORS)
    assert "idle-endpoints in us-east-1" in answer["did_not_run"]
    assert "Did not run" in json.dumps(workspace.messages()[before:])


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("wrong", ["malformed.json"])
def test_a_malformed_event_is_refused_in_one_line(wrong: str) -> None:
    with pytest.raises(ValueError, match="the event makes no sense: time") as refused:
        handlers.sweep(event(wrong), FakeContext())

    assert "\n" not in str(refused.value)


@pytest.mark.usefixtures("deployed")
def test_every_payload_is_used() -> None:
    """What stands in events/ is what the tests above send."""
    names = {path.name for path in EVENTS.glob("*.json")}

    assert names == {"scheduled.json", "stale.json", "one-resource.json", "malformed.json"}
