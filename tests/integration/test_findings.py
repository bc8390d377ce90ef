"""The ledger over HTTP: what is new, what is closed and when, and who may sweep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import boto3
import pytest

from conftest import ACCOUNT, DAY, HOUR, NOW, REGION
from fakes import Shelf, Thing, thing, waste
from ml_janitor.aws.client import Aws
from ml_janitor.core.results import Sweep
from ml_janitor.engine.policy import Hold, HoldKind, RunPolicy
from ml_janitor.engine.run import sweep_region
from ml_janitor.ledger.actions import Actions
from ml_janitor.ledger.findings import Entry, Ledger, RecordedFindings
from ml_janitor.ledger.requests import ButtonRequests, Holds
from ml_janitor.ledger.table import Table
from ml_janitor_sandbox.control import Control
from standin import items, own_signatures

LAMP, CHAIR = thing("lamp", waste("10")), thing("chair", waste("20"))


@pytest.fixture
def ledger(table: Table) -> Ledger:
    return Ledger(table, own_signatures())


def swept(aws: Aws, *things: Thing, breaks: Exception | None = None) -> Sweep:
    return sweep_region(Shelf(things=things, breaks=breaks), aws, now=NOW, policy=RunPolicy())


def names(recorded: RecordedFindings) -> list[str]:
    return [result.target.name for result in recorded.new]


def entries(ledger: Ledger) -> dict[str, Entry]:
    """Everything remembered of the shelf, by the name of the thing."""
    found = ledger.entries("shelf", ACCOUNT, REGION)
    return {entry.key.split("/")[1].split("@")[0]: entry for entry in found}


def told(ledger: Ledger, aws: Aws, done: Sweep, now: datetime) -> RecordedFindings:
    """Recorded, and announced."""
    recorded = ledger.record(aws, done, now)
    ledger.announced(aws, done, recorded.new, now)
    return recorded


def test_an_item_can_be_read_by_a_person(ledger: Ledger, aws: Aws, session: boto3.Session) -> None:
    ledger.record(aws, swept(aws, thing("lamp", waste("10.006"), {"owner": "maria"})), NOW)

    (item,) = items(session)["finding"]
    assert item == {
        "pk": f"finding#shelf#{ACCOUNT}#{REGION}",
        "sk": LAMP.target.key,
        "key": LAMP.target.key,
        "detector": "shelf",
        "account": ACCOUNT,
        "region": REGION,
        "first_seen": "2026-10-06T03:00:00Z",
        "last_seen": "2026-10-06T03:00:00Z",
        "since": None,
        "name": "lamp",
        "reason": "nobody uses it",
        "owner": "maria",
        "monthly_usd": Decimal("10.01"),
        "accrued_usd": None,
        "once_usd": None,
        "action": "remove it",
        "change": "end",
        "shares": {},
        "parts": [],
        "wholes": [],
    }


def test_many_findings_are_written_side_by_side_and_read_to_the_last_page(
    ledger: Ledger, aws: Aws, box: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DynamoDB's page is 1 MB: these findings fill two. Every write goes through the pool."""
    pooled: list[int] = []
    through_the_pool = aws.map

    def counted(work: Callable[[Any], Any], todo: Sequence[Any]) -> list[Any]:
        pooled.append(len(todo))
        return through_the_pool(work, todo)

    monkeypatch.setattr(aws, "map", counted)
    wordy = replace(waste("1"), reason="so " * 10_000)
    done = swept(aws, *(thing(f"thing-{n}", wordy) for n in range(45)))

    first = told(ledger, aws, done, NOW)
    box.clear_calls()
    second = ledger.record(aws, done, NOW + DAY)
    third = ledger.record(aws, swept(aws), NOW + 2 * DAY)

    assert (len(first.new), len(second.new), len(third.new)) == (45, 0, 0)
    assert [many for many in pooled if many] == [45, 45, 45, 45]
    assert all(entry.closed for entry in ledger.entries("shelf", ACCOUNT, REGION))
    assert box.calls() == {
        "dynamodb:GetItem": 2,
        "dynamodb:Query": 6,
        "dynamodb:UpdateItem": 90,
        "dynamodb:PutItem": 2,
    }


THERE = "210987654321"


def test_accounts_with_equal_names_stay_apart(ledger: Ledger, table: Table, aws: Aws) -> None:
    target = replace(LAMP.target, account=THERE, arn=LAMP.target.arn.replace(ACCOUNT, THERE))
    here = swept(aws, LAMP)
    there = replace(here, account=THERE, results=(replace(here.results[0], target=target),))
    for done in (here, there):
        assert names(ledger.record(aws, done, NOW)) == ["lamp"]
        ledger.announced(aws, done, done.findings, NOW)

    def entry(account: str) -> Entry:
        (found,) = ledger.entries("shelf", account, REGION)
        return found

    for account in (ACCOUNT, THERE):
        ledger.warned(entry(account), now=NOW, due=NOW + DAY)
    Holds(table).put(ACCOUNT, REGION, Hold(key=LAMP.target.key, how=HoldKind.KEPT, by="maria", given=NOW))
    ledger.approve(entry(ACCOUNT), by="maria")
    requests, actions = ButtonRequests(table, own_signatures()), Actions(table)
    requests.make_due(entry(ACCOUNT), by="maria", now=NOW)
    requests.grant(ledger, actions, "shelf", THERE, REGION)
    assert (entry(THERE).approved, entry(THERE).hurried) == ("", "")
    assert list(Holds(table).all(THERE, REGION)) == []
    requests.grant(ledger, actions, "shelf", ACCOUNT, REGION)
    assert (entry(ACCOUNT).approved, entry(ACCOUNT).hurried) == ("maria", "maria")
    assert list(Holds(table).all(ACCOUNT, REGION)) == [LAMP.target.key]

    ledger.record(aws, swept(aws), NOW + HOUR)
    assert (entry(ACCOUNT).open, entry(THERE).open) == (False, True)
