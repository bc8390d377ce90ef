"""What is known of resources that are billed: who judged them, what still holds, and whose they are."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from bills import ACCOUNT, HOST, NOW, bill, charges
from conftest import DAY
from fakes import action_of, target_at
from ml_janitor.aws import runs
from ml_janitor.aws.activity import GET_METRIC_DATA
from ml_janitor.aws.calls import Listing
from ml_janitor.aws.runs import ResourceRun, UsedResource
from ml_janitor.bill import resources
from ml_janitor.bill.model import UNTAGGED_VALUE, BillReading, Culprit, GapCause, ResourceFacts
from ml_janitor.bill.resources import (
    ActionSavings,
    EndpointRequests,
    KnownResources,
    VariantRequests,
    bill_readers,
    facts_from_actions,
    facts_from_ledger,
    facts_from_sweep,
    read_known_resources,
)
from ml_janitor.config.settings import Settings
from ml_janitor.core.model import Change, Evidence, Kept, NotRead, Unreadable
from ml_janitor.core.money import Claim
from ml_janitor.core.results import Cause, CauseCode, make_cause
from ml_janitor.detectors import DETECTORS
from ml_janitor.engine.policy import RunPolicy
from ml_janitor.ledger.actions import Action, Stage
from ml_janitor.ledger.findings import Entry
from ml_janitor.report.bill import gap_sentence
from ml_janitor.scheduled.bill_run import verified_actions
from reports import finding, result, standing
from tables import cases

TARGET = target_at("endpoint/Ranker", NOW - 90 * DAY)


def action(**more: Any) -> Action:
    times = {"began": NOW - 9 * DAY, "warned": NOW - 12 * DAY, "ended": NOW - 2 * DAY}
    return replace(action_of("idle-endpoints", target=TARGET, hourly_usd=Decimal(2), **times), **more)


# --- what is known ----------------------------------------------------------------------------


@cases(
    "changed, counts",
    ({}, True),
    ({"over": NOW - DAY}, False),
    ({"stage": Stage.UNDONE}, False),
    ({"stage": Stage.ACTING}, False),
    ({"detector": "untagged-resources"}, False),
    ({"detector": "storage-tiering"}, False),
    ids=str,
)
def test_what_it_ended_counts_until_it_is_taken_back(changed: dict[str, Any], *, counts: bool) -> None:
    one = action(**changed)
    expected = ResourceFacts(
        detector="idle-endpoints", finding=one.id, since=one.warned, acted=True, ended=NOW - 2 * DAY
    )

    assert facts_from_actions([one], DETECTORS) == ({TARGET.arn.lower(): expected} if counts else {})


@cases(
    "cause, why",
    (make_cause(CauseCode.RECORD_UNREAD, "KMS is busy"), "its record could not be verified: KMS is busy"),
    (make_cause(CauseCode.MAC_INVALID), "its record in the ledger is not the one that was signed"),
)
def test_what_it_ended_and_cannot_be_verified_is_left_out_and_said(cause: Cause, why: str) -> None:
    actions = [action(), action(sk="doubtful"), action(sk="too")]

    known, (gap,) = verified_actions(actions, lambda one: None if one.sk == "sk" else cause)

    assert known == actions[:1]
    assert gap_sentence(gap).startswith(f"What the janitor ended could not be read: 2 of 3: {why}")
    assert verified_actions(actions, lambda _: None) == (actions, ())


def test_the_ledger_says_what_is_waste_now_and_since_when() -> None:
    open_ = Entry(
        key=TARGET.key,
        detector="idle-endpoints",
        account=ACCOUNT,
        region="us-east-1",
        claim=Claim(detector="idle-endpoints", arn=TARGET.arn, name="Ranker", change=Change.END),
        reason="idle",
        first_seen=NOW - 5 * DAY,
        last_seen=NOW,
        since=NOW - 40 * DAY,
        owner="omar",
    )
    other = replace(open_.claim, arn=f"{TARGET.arn}-too")
    closed = replace(open_, key=f"{other.arn}@unknown", claim=other, closed=NOW - DAY)
    expected = ResourceFacts(detector="idle-endpoints", finding=open_.id, since=NOW - 40 * DAY, owner="omar")

    assert facts_from_ledger([open_, closed]) == {TARGET.arn.lower(): expected}
    (unknown,) = facts_from_ledger([replace(open_, since=None)]).values()
    assert unknown.since == NOW - 5 * DAY


def metric(value: Any, source: str = GET_METRIC_DATA) -> Evidence:
    return Evidence("requests", value, source=source)


@cases(
    "verdict, used",
    (Kept(reason="", evidence=(metric(1),)), True),
    (Kept(reason="", evidence=(metric(0), metric(0.5))), True),
    (Kept(reason="", evidence=(metric(0),)), False),
    (Kept(reason="", evidence=(metric("9"),)), False),
    (Kept(reason="", evidence=(metric(9, "sagemaker:DescribeEndpoint"),)), False),
    (Kept(reason="", evidence=(metric(None),)), False),
    (Kept(reason="", unknown=True, evidence=(metric(1),)), False),
    (Kept(reason="it is young"), False),
)
def test_what_a_metric_counted_something_of_is_in_use(verdict: Kept, *, used: bool) -> None:
    one = result("idle-endpoints", "Ranker", verdict, owner="omar")

    assert facts_from_sweep([one]) == {
        one.target.arn.lower(): ResourceFacts(detector="idle-endpoints", used=used, owner="omar")
    }


def test_a_finding_stands_whatever_another_detector_says_of_the_resource() -> None:
    waste = result("idle-endpoints", "Ranker", finding("idle", standing("1"), days=41), owner="omar")
    kept = result("untagged-resources", "Ranker", Kept(reason="", evidence=(metric(1),)))
    again = replace(kept, detector="storage-tiering", verdict=Kept(reason=""))
    expected = ResourceFacts(
        detector="idle-endpoints", finding=waste.target.key, since=NOW - 41 * DAY, owner="omar"
    )

    assert (
        facts_from_sweep([waste, kept])
        == facts_from_sweep([kept, waste])
        == {waste.target.arn.lower(): expected}
    )
    (first,) = facts_from_sweep([kept, again]).values()
    assert (first.detector, first.used) == ("untagged-resources", True)


# --- one resource -----------------------------------------------------------------------------


def used(kind: str = "endpoint", tags: Any = None, **more: Any) -> UsedResource:
    ran = tuple(ResourceRun(usage_type=HOST, start=NOW - days * DAY) for days in (30, 10))
    target = target_at(f"{kind}/Nightly-20261001", NOW - 50 * DAY, tags)
    return replace(UsedResource(target=target, runs=ran), **more)


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Callable[..., KnownResources]:
    """Look at a region in which just this ran."""

    def looked(
        one: UsedResource,
        *verdicts: ResourceFacts,
        error: str | None = None,
        calls: EndpointRequests | None = None,
    ) -> KnownResources:
        monkeypatch.setattr(runs, "list_used_resources", lambda *_: Listing((one,), error))
        monkeypatch.setattr(resources, "read_requests", lambda *_: calls or EndpointRequests())
        by_arn = dict.fromkeys([one.target.arn.lower()] if verdicts else [], *verdicts)
        region: Any = SimpleNamespace(region="us-east-1")
        return read_known_resources(
            [region], since=NOW - 60 * DAY, now=NOW, tag="project", policy=RunPolicy(), verdicts=by_arn
        )

    return looked


def test_of_an_unjudged_resource_the_listing_says_all_it_can(look: Callable[..., KnownResources]) -> None:
    one = used(tags={"project": "llm", "Owner": "mia"}, ended=NOW - DAY)
    counted = (VariantRequests(variant="all", points=(), period=3600),)

    seen = look(one, calls=EndpointRequests(by_arn={one.target.arn: counted, "arn:other": ()}))

    (found,), gaps = seen.resources, seen.gaps
    assert (found.requests, gaps) == (counted, ())
    assert found.culprit == Culprit(
        arn=one.target.arn,
        name="Nightly-20261001",
        kind="endpoint",
        owner="mia",
        since=NOW - 50 * DAY,
        ended=NOW - DAY,
    )
    assert (found.found, found.tag, found.runs, found.family) == (False, "llm", one.runs, "Nightly")


def test_a_job_began_when_it_ran_first(look: Callable[..., KnownResources]) -> None:
    assert look(used("training-job")).resources[0].culprit.since == NOW - 30 * DAY


def test_what_could_not_be_read_of_a_region_is_a_gap(look: Callable[..., KnownResources]) -> None:
    seen = look(used(), error="ListEndpoints: 403", calls=EndpointRequests(error="GetMetricData: 403"))

    assert [(one.reading, one.cause, one.subject, one.detail) for one in seen.gaps] == [
        (BillReading.RESOURCES, GapCause.FAILED, "us-east-1", "ListEndpoints: 403"),
        (BillReading.REQUESTS, GapCause.FAILED, "us-east-1", "GetMetricData: 403"),
    ]
    assert len(seen.resources) == 1


def test_what_was_judged_is_known_by_its_verdict(look: Callable[..., KnownResources]) -> None:
    waste = ResourceFacts(
        detector="d", finding="f", since=NOW - 7 * DAY, acted=True, ended=NOW - 3 * DAY, owner="omar"
    )
    kept = ResourceFacts(detector="d", since=NOW - 7 * DAY, used=True)
    one = used(tags={"owner": "mia"}, ended=NOW - DAY)

    found, other, timeless = (
        look(one, verdict).resources[0].culprit for verdict in (waste, kept, replace(waste, since=None))
    )

    assert (found.since, found.ended, found.owner) == (NOW - 7 * DAY, NOW - 3 * DAY, "omar")
    assert (found.detector, found.finding, found.acted, found.used) == ("d", "f", True, False)
    assert (other.since, other.ended, other.owner) == (NOW - 50 * DAY, NOW - DAY, "mia")
    assert (other.detector, other.finding, other.acted, other.used) == ("", "", False, True)
    assert timeless.since == NOW - 50 * DAY


@cases(
    "tags, value",
    ({"project": "llm"}, "llm"),
    ({"Project": "llm"}, UNTAGGED_VALUE),  # AWS bills keys with their capitals
    ({"project": "LLM", "Project": "other"}, "LLM"),
    ({}, UNTAGGED_VALUE),
    (Unreadable("denied"), UNTAGGED_VALUE),
    (NotRead(), UNTAGGED_VALUE),
)
def test_a_tag_has_its_value_of_the_bill(look: Callable[..., KnownResources], tags: Any, value: str) -> None:
    assert look(used(tags=tags)).resources[0].tag == value


# --- what was saved ---------------------------------------------------------------------------


def test_savings_are_of_the_bill_s_days_of_the_month_and_of_each_account() -> None:
    elsewhere = replace(TARGET, account="210987654321")
    read = bill(charges(HOST, [], price="1", quantity="1", tag="x"))
    now = datetime(2026, 10, 6, 3, tzinfo=NOW.tzinfo)
    both = [action(), action(target=elsewhere, ended=now - timedelta(hours=3))]

    saved = ActionSavings.of(both, read, now=now, time_zone="UTC", accounts=True)

    assert saved.this_month == 96 + 6
    assert saved.by_account == {ACCOUNT: 96, "210987654321": 6}
    assert {day.day: usd for day, usd in saved.by_day.items()} == {4: 42, 5: 48, 6: 12}
    assert ActionSavings.of(both, read, now=now, time_zone="UTC").by_account == {}


def test_a_role_to_read_what_is_billed_is_there_where_the_bill_is_read() -> None:
    (reader,) = bill_readers(Settings.parse({"bill": {"enabled": True}}).bill)

    assert reader.summary().startswith("Reads what ran and how often endpoints were called")
    assert bill_readers(Settings.parse({}).bill) == []
