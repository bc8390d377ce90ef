"""A run around the engine: one failed part does not take the others with it, and Slack comes last."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from io import StringIO
from logging import StreamHandler
from typing import Any
from uuid import uuid4

import boto3
import pytest
from aws_lambda_powertools import Logger

from conftest import ACCOUNT, NOW, REGION
from fakes import USED, Shelf, thing, waste
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import Prices
from ml_janitor.core.results import Result, Sweep
from ml_janitor.engine.policy import RunPolicy
from ml_janitor.engine.run import RunFailedError
from ml_janitor.ledger.findings import Ledger, RecordedFindings
from ml_janitor.ledger.limits import Leases, LeaseTakenError
from ml_janitor.ledger.table import Table
from ml_janitor.report.html import Archive
from ml_janitor.scheduled.sweep_run import SweepRunner
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import BUCKET, TABLE
from standin import items, reports

LATER = timedelta(minutes=1)
ELSEWHERE = "eu-west-1"


@dataclass
class Listener:
    """Somebody who is told, or whom nothing reaches; `killed` is a run that ends right after the message."""

    fails: Exception | None = None
    problems: tuple[str, ...] = ()
    killed: bool = False
    heard: list[list[str]] = field(default_factory=list)
    wheres: list[str] = field(default_factory=list)

    def __call__(
        self,
        sweep: Sweep,
        recorded: RecordedFindings,
        *,
        now: datetime,
        where: str,
        note: str,
        taken: Callable[[Sequence[Result]], None],
    ) -> Sequence[str]:
        del sweep, now, note
        if self.fails is not None:
            raise self.fails
        self.heard.append([result.target.name for result in recorded.new])
        self.wheres.append(where)
        taken(recorded.new)
        if self.killed:
            raise KeyboardInterrupt
        return self.problems


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def log() -> StringIO:
    return StringIO()


@pytest.fixture
def runner(table: Table, session: boto3.Session, listener: Listener, log: StringIO) -> SweepRunner:
    return SweepRunner(
        policy=RunPolicy(),
        ledger=Ledger(table),
        leases=Leases(table),
        archive=Archive(session.client("s3"), BUCKET),
        tell=listener,
        logger=Logger(service=f"test-{uuid4()}", logger_handler=StreamHandler(log)),
        clock=lambda: NOW + LATER,
        holder="event-1",
        patience=timedelta(minutes=15),
    )


@pytest.fixture
def elsewhere(session: boto3.Session) -> Aws:
    prices = Prices(lambda: session.client("pricing"))
    return Aws(session, region=ELSEWHERE, account=ACCOUNT, prices=prices, pool=ThreadPoolExecutor(1))


SHELF = Shelf(things=(thing("lamp", waste("10")), thing("chair", waste("20")), thing("bed", USED)))


def lines(text: str) -> list[dict[str, Any]]:
    """Every structured line that was written."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_a_run_leaves_a_report_a_ledger_a_log_metrics_and_a_message(
    runner: SweepRunner, aws: Aws, session: boto3.Session, listener: Listener, log: StringIO
) -> None:
    done = runner.sweep(SHELF, [aws], now=NOW, note="a note")

    assert (done.new, done.note) == (2, "a note")
    assert done.where == f"s3://{BUCKET}/shelf/{ACCOUNT}/2026-10-06T03-00-00Z.html"
    assert {key.rpartition(".")[2] for key in reports(session)} == {"json", "html"}
    assert (listener.heard, listener.wheres) == ([["chair", "lamp"]], [done.where])
    kept = items(session)
    assert {item["announced"] for item in kept["finding"]} == {"2026-10-06T03:01:00Z"}
    assert [item["found"] for item in kept["sweep"]] == [2]
    assert "lease" not in kept
    (line,) = lines(log.getvalue())
    numbers = {key: line[key] for key in ("looked_at", "found", "new", "kept", "unknown", "monthly_usd")}
    assert numbers == {"looked_at": 3, "found": 2, "new": 2, "kept": 1, "unknown": 0, "monthly_usd": 30.0}
    assert (line["message"], line["level"], line["note"]) == ("swept", "INFO", "a note")
    assert (line["detector"], line["account"], line["region"]) == ("shelf", ACCOUNT, REGION)


def test_metrics_have_the_detector_as_their_only_dimension_and_one_value_for_all_regions(
    runner: SweepRunner, aws: Aws, elsewhere: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    runner.sweep(SHELF, [aws, elsewhere], now=NOW)

    (metrics,) = [line for line in lines(capsys.readouterr().out) if "_aws" in line]
    (told,) = metrics.pop("_aws")["CloudWatchMetrics"]
    assert (told["Namespace"], told["Dimensions"]) == ("MLJanitor", [["detector"]])
    names = {one["Name"]: one["Unit"] for one in told["Metrics"]}
    assert names == {
        "LookedAt": "Count",
        "Found": "Count",
        "Kept": "Count",
        "Unknown": "Count",
        "Duration": "Seconds",
    }
    assert metrics.pop("Duration")[0] >= 0
    assert metrics == {
        "detector": "shelf",
        "LookedAt": [6.0],
        "Found": [4.0],
        "Kept": [2.0],
        "Unknown": [0.0],
    }


def test_a_repeated_run_leaves_what_one_would_have_left(
    runner: SweepRunner, aws: Aws, session: boto3.Session
) -> None:
    first = runner.sweep(SHELF, [aws], now=NOW)
    left = (items(session), sorted(reports(session)))

    assert runner.sweep(SHELF, [aws], now=NOW) == first
    assert (items(session), sorted(reports(session))) == left


# --- what fails ------------------------------------------------------------------------------------


def test_the_failures_of_many_regions_are_one_short_line(runner: SweepRunner, aws: Aws) -> None:
    regions = [aws] * 40
    broken = Shelf(breaks=RuntimeError("no " * 10_000))

    with pytest.raises(RunFailedError, match="and 30 more; the report:") as caught:
        runner.sweep(broken, regions, now=NOW)

    assert len(str(caught.value)) < 6000
    assert "\n" not in str(caught.value)


# --- leases ----------------------------------------------------------------------------------------


TAKEN = f"shelf is being swept in {ACCOUNT}, {ELSEWHERE} by another run, so it was not swept"


def elsewhere_taken(table: Table) -> Leases:
    """An undo, or a Do it now, is at work in the other region for an hour."""
    leases = Leases(table)
    leases.take("shelf", ACCOUNT, ELSEWHERE, holder="other", now=NOW, until=NOW + 60 * LATER)
    return leases


def swept(session: boto3.Session) -> list[str]:
    return sorted(item["region"] for item in items(session)["sweep"])


def test_with_no_free_region_the_run_stops_before_it_reads(
    runner: SweepRunner, elsewhere: Aws, table: Table, session: boto3.Session
) -> None:
    elsewhere_taken(table)

    with pytest.raises(LeaseTakenError):
        runner.sweep(SHELF, [elsewhere], now=NOW)

    assert (reports(session), [item["holder"] for item in items(session)["lease"]]) == ({}, ["other"])


def test_the_retry_sweeps_what_is_left_and_nothing_twice(
    runner: SweepRunner, aws: Aws, elsewhere: Aws, session: boto3.Session, listener: Listener
) -> None:
    leases = elsewhere_taken(Table(session.client("dynamodb"), TABLE))
    with pytest.raises(RunFailedError, match=TAKEN):
        runner.sweep(SHELF, [aws, elsewhere], now=NOW)
    first = reports(session)
    leases.release("shelf", ACCOUNT, ELSEWHERE, holder="other")

    done = runner.sweep(SHELF, [aws, elsewhere], now=NOW)

    assert [sweep.region for sweep in done.report.sweeps] == [ELSEWHERE]
    assert done.where == f"s3://{BUCKET}/shelf/{ACCOUNT}/rest/2026-10-06T03-00-00Z.html"
    assert reports(session).items() >= first.items()
    assert listener.heard == [["chair", "lamp"]] * 2
    assert swept(session) == [ELSEWHERE, REGION]
    again = replace(runner, holder="event-2").sweep(SHELF, [aws, elsewhere], now=NOW)
    assert [sweep.region for sweep in again.report.sweeps] == [REGION, ELSEWHERE]
    assert "lease" not in items(session)


def test_a_lease_hides_no_failure(runner: SweepRunner, aws: Aws, box: Control, listener: Listener) -> None:
    listener.fails = ConnectionError("Slack is down")
    box.fault("dynamodb", "DeleteItem", "deny", times=0)

    with pytest.raises(RunFailedError, match=r"Slack is down; a lease could not be given back: DeleteItem"):
        runner.sweep(SHELF, [aws], now=NOW)
