"""The digest's function over HTTP: all sweeps in one message, and which of them did not run."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import boto3
import pytest

from conftest import ACCOUNT, NOW, REGION
from fakes import waste
from lambdas import WITH_SLACK, Context, event, idle_endpoints, items, quiet
from ml_janitor import handlers
from ml_janitor.aws.client import Aws
from ml_janitor.config.values import InvalidInputError
from ml_janitor.core.model import Change, Mode
from ml_janitor.core.money import count_once
from ml_janitor.core.results import Report, Result, Sweep
from ml_janitor.detectors import DETECTORS
from ml_janitor.engine.run import RunFailedError
from ml_janitor.ledger.findings import Ledger
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.slack import SlackControl
from reports import result

NAMES = [one.name for one in DETECTORS]


pytestmark = pytest.mark.usefixtures("log")


def test_a_quiet_day_is_one_short_message(deployed: SlackControl, ledger: Ledger, aws: Aws) -> None:
    quiet(ledger, aws)

    answer = handlers.digest(event("scheduled"), Context())

    nothing = dict.fromkeys(("did_not_run", "found", "new", "acted", "failed", "undone", "due", "advice"), 0)
    assert answer == {"sweeps": len(NAMES), **nothing}
    assert [one["text"] for one in deployed.messages()] == [
        f"Nothing new today. All {len(NAMES)} sweeps ran."
    ]


def test_a_resource_that_two_detectors_name_is_counted_once(
    deployed: SlackControl, ledger: Ledger, aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    """A thing that nobody uses is too big as well, and so is its part; one that is only too big counts."""
    quiet(ledger, aws)
    idle = result("idle-endpoints", "a", waste("100"))
    smaller, other = (
        replace(result("spot-training", name, waste(usd)), change=Change.SPOT)
        for name, usd in (("a", "60"), ("b", "7"))
    )
    part = result("idle-endpoints", "part", waste("30"))
    idle = replace(idle, parts=(part.target.arn,))
    found: dict[str, tuple[Result, ...]] = {"idle-endpoints": (idle, part), "spot-training": (smaller, other)}
    for name, results in found.items():
        done = Sweep(detector=name, account=ACCOUNT, region=REGION, mode=Mode.DRY_RUN, results=results)
        (done,) = count_once(Report(time=NOW, account=ACCOUNT, sweeps=(done,))).sweeps
        ledger.record(aws, done, NOW - timedelta(minutes=30))

    handlers.digest(event("scheduled"), Context())

    measured = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    dollars = {one["detector"]: one["MonthlyUsd"] for one in measured}
    assert {name: usd for name, usd in dollars.items() if usd != [0.0]} == {
        "idle-endpoints": [100.0],
        "spot-training": [7.0],
    }
    (digest,) = deployed.messages()
    assert "$107 a month: 4 findings, 4 of them new" in digest["text"]
    assert "*$7.00 a month*: spot training" in repr(digest["blocks"])


def test_what_was_found_since_the_last_digest_is_new_and_the_rest_is_counted(
    deployed: SlackControl, ledger: Ledger, aws: Aws, box: Control, session: boto3.Session
) -> None:
    quiet(ledger, aws, but="idle-endpoints")
    ledger.latest.digested(ACCOUNT, NOW - timedelta(minutes=10))
    idle_endpoints(session, box, "a", "b")
    handlers.sweep(event("scheduled"), Context())
    posted = len(deployed.messages())

    answer = handlers.digest(event("scheduled"), Context())

    assert (answer["found"], answer["new"]) == (2, 2)
    (digest,) = deployed.messages()[posted:]
    assert "2 findings, 2 of them new" in digest["text"]
    assert ledger.latest.digest(ACCOUNT) == NOW
    later = handlers.digest({"time": "2026-10-06T03:01:00Z"}, Context())
    assert (later["found"], later["new"]) == (2, 0)


def test_a_sweep_that_did_not_run_is_named(deployed: SlackControl, ledger: Ledger, aws: Aws) -> None:
    """Hourly sweeps are late after three hours, daily ones are not; one has never run."""
    quiet(ledger, aws, but="idle-notebooks", ago=timedelta(hours=5))

    answer = handlers.digest(event("scheduled"), Context())

    said = " ".join(str(block) for block in deployed.messages()[0]["blocks"])
    assert answer["did_not_run"] > 1
    assert "idle notebooks in" in said
    assert "it never has" in said
    assert "hung training jobs in" in said
    assert "the last time was 5 hours ago" in said
    assert "idle endpoints in" not in said


def test_a_digest_that_is_delivered_twice_is_posted_once(
    deployed: SlackControl, ledger: Ledger, aws: Aws
) -> None:
    quiet(ledger, aws)

    first = handlers.digest(event("scheduled"), Context())

    assert handlers.digest(event("scheduled"), Context(aws_request_id="another")) == first
    assert len(deployed.messages()) == 1


def test_a_digest_that_slack_does_not_take_fails_and_is_tried_again(
    deployed: SlackControl, ledger: Ledger, aws: Aws
) -> None:
    quiet(ledger, aws)
    deployed.fault("error", times=0, code="channel_not_found")

    with pytest.raises(RunFailedError, match=r"Slack could not be told: .*channel_not_found"):
        handlers.digest(event("scheduled"), Context())

    assert ledger.latest.digest(ACCOUNT) is None
    deployed.clear_faults()
    handlers.digest(event("scheduled"), Context())
    assert len(deployed.messages()) == 1


def test_every_region_of_the_deployment_has_its_row(
    deployed: SlackControl, ledger: Ledger, aws: Aws, tmp_path: Path
) -> None:
    (tmp_path / "janitor.toml").write_text(f'{WITH_SLACK}regions = ["{REGION}", "eu-west-1"]\n')
    quiet(ledger, aws)

    answer = handlers.digest(event("scheduled"), Context())

    assert (answer["sweeps"], answer["did_not_run"]) == (2 * len(NAMES), len(NAMES))
    assert len(deployed.messages()) == 1


def test_without_a_slack_a_digest_is_counted_only(
    deployed: SlackControl, ledger: Ledger, aws: Aws, tmp_path: Path, session: boto3.Session
) -> None:
    (tmp_path / "janitor.toml").unlink()
    quiet(ledger, aws)

    assert handlers.digest(event("scheduled"), Context())["did_not_run"] == 0
    assert deployed.messages() == []
    assert "digest" in items(session)


def test_a_digest_takes_a_time_and_nothing_else(deployed: SlackControl) -> None:
    with pytest.raises(InvalidInputError, match="mode: Extra inputs are not permitted"):
        handlers.digest(event("manual-dry-run"), Context())
    assert deployed.messages() == []
