"""The function that reads the bill, over HTTP: what it keeps and posts, and what the digest says for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pytest

from conftest import ACCOUNT, DAY, NOW, REGION
from endpoint_seed import Seed
from fakes import target_at, waste
from ml_janitor import handlers
from ml_janitor.acting import savings
from ml_janitor.aws.client import Aws
from ml_janitor.bill.report import ARCHIVED_BILL
from ml_janitor.core.model import Mode
from ml_janitor.core.results import Outcome, Result, Sweep
from ml_janitor.engine.run import RunFailedError
from ml_janitor.ledger.findings import Ledger
from ml_janitor.scheduled.event_bus import EventBus, EventKind, JanitorEvent
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import BUCKET
from ml_janitor_sandbox.slack import SlackControl
from narrowing import not_none
from standin import WITH_SLACK, Context, Nights, event, quiet
from tables import cases

TODAY = datetime(2026, 10, 6, tzinfo=UTC)
TAGS = ("project", "owner", "environment", "team", "cost-center")
ALONE = 'digest_schedule = "cron(0 20 * * ? *)"\n'
BILL = "[bill]\nenabled = true\nmonthly_budget = 400\n"

type Say = Callable[[str], None]


pytestmark = pytest.mark.usefixtures("log")

BILL_TITLE = f"*Bill of account {ACCOUNT}:*"


@pytest.fixture
def settings(deployed: SlackControl, tmp_path: Path) -> Say:  # noqa: ARG001 - it writes the default
    """What janitor.toml says besides [bill]: by default, that no digest is due."""

    def write(text: str) -> None:
        (tmp_path / "janitor.toml").write_text(text + BILL)

    write(WITH_SLACK + ALONE)
    return write


@pytest.fixture
def billed(box: Control, settings: Say) -> Control:  # noqa: ARG001 - it switches the bill on
    """An account of 90 days, of which an endpoint doubled the bill five days ago."""
    box.set_bill(tags=list(TAGS), since=f"{TODAY - 90 * DAY:%Y-%m-%dT%H:%M:%SZ}")
    charge(box, days=70, usd=700, tags=dict.fromkeys(TAGS, "churn"))
    charge(box, days=5, usd=60, tags={})
    return box


def charge(box: Control, *, days: int, usd: float, **more: Any) -> None:
    line = {
        "service": "Amazon SageMaker",
        "usage_type": "USE1-Host:ml.g5.xlarge",
        "start": f"{TODAY - days * DAY:%Y-%m-%dT%H:%M:%SZ}",
        "end": f"{TODAY:%Y-%m-%dT%H:%M:%SZ}",
        "usd": usd,
        "quantity": days * 10,
    }
    box.charge([line | more])


def reports(session: boto3.Session) -> dict[str, str]:
    """Every kept report, by key."""
    s3 = session.client("s3")
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    return {
        key: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()
        for key in keys
        if key.endswith(".json")
    }


def said(message: dict[str, Any]) -> str:
    return "\n".join(block["text"]["text"] for block in message["blocks"] if "text" in block)


def later(days: int, monkeypatch: pytest.MonkeyPatch, *, hour: int = 3) -> dict[str, str]:
    """The event of so many nights later, when it is that late."""
    at = datetime(2026, 10, 6 + days, hour, tzinfo=UTC)
    monkeypatch.setenv("JANITOR_NOW", f"{at:%Y-%m-%dT%H:%M:%SZ}")
    return {"time": f"{at:%Y-%m-%dT%H:%M:%SZ}"}


@pytest.mark.usefixtures("billed")
def test_where_no_digest_is_due_the_bill_is_a_message_of_its_own(
    deployed: SlackControl, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = list[JanitorEvent]()
    monkeypatch.setattr(EventBus, "__call__", lambda _, events: sent.extend(events))
    answer = handlers.bill(event("scheduled"), Context())

    (message,) = deployed.messages()
    (news,) = sent
    assert (news.kind, news.title, news.report) == (EventKind.BILL, message["text"], answer["report"])
    assert "Budget of October: $110 of $400 spent" in news.text
    text = said(message)
    assert message["text"].startswith(f"Bill of account {ACCOUNT}: $348 in 30 days: +$48.00 (+16 %).")
    assert "*Sunday 10-04:* $22.00, +$12.00 (+120 %) against 09-27" in text
    assert "*October to 10-04:* $88.00, +$48.00 (+120 %) against 09-01 to 09-04" in text
    assert "*Budget of October:* $110 of $400 spent (28 %)" in text
    assert "*Without project:* $48.00 (14 %" in text
    assert "*By project" not in text
    assert (answer["in_digest"], answer["report"]) == (False, answer["report"])
    last = not_none(ledger.latest.bill(ACCOUNT))
    assert (last.posted, last.time) == (True, NOW)
    (file,) = deployed.files()
    picture = message["blocks"][-1]
    assert picture["slack_file"] == {"id": file["id"]}
    assert re.search(r"In total: churn \$310\b.*, no project \$60\b", picture["alt_text"])


def test_the_report_is_kept_and_the_next_night_reads_the_trailing_month_again(
    billed: Control, session: boto3.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What AWS adds to a day 20 days ago is seen, to one 40 days ago is not; but under another tag it is."""
    first = handlers.bill(event("scheduled"), Context())
    charge(billed, days=20, usd=7, end=f"{TODAY - 19 * DAY:%Y-%m-%dT%H:%M:%SZ}")
    charge(billed, days=40, usd=90, end=f"{TODAY - 39 * DAY:%Y-%m-%dT%H:%M:%SZ}")
    second = handlers.bill(later(1, monkeypatch), Context(aws_request_id="second"))
    monkeypatch.setattr("ml_janitor.bill.reading.bill_tags", lambda _: {"project": "team"})
    handlers.bill(later(2, monkeypatch), Context(aws_request_id="third"))

    kept = {key: ARCHIVED_BILL.validate_json(text).report for key, text in reports(session).items()}
    assert list(kept) == [f"bill/2026-10-0{day}T03-00-00Z.json" for day in (6, 7, 8)]
    assert first["report"].endswith("bill/2026-10-06T03-00-00Z.json")
    assert second["requests"] <= 8
    totals = [round(one.bill.total(one.bill.whole)) for one in kept.values()]
    assert totals == [710, 707, 787]  # each night a day of $10 more drops out than comes in
    for one in kept.values():
        for name, rows in one.bill.by_tag.items():
            if name != "cost-center":  # the first night read the months before in its place
                assert round(sum(row.usd for row in rows)) == round(one.bill.total(one.bill.whole))


@pytest.mark.usefixtures("billed")
def test_a_digest_that_is_due_says_the_bill_once(
    deployed: SlackControl, ledger: Ledger, aws: Aws, settings: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings(WITH_SLACK)
    quiet(ledger, aws)

    answer = handlers.bill(event("scheduled"), Context())
    assert (answer["in_digest"], deployed.messages()) == (True, [])
    handlers.digest(event("scheduled"), Context())
    handlers.digest(later(0, monkeypatch, hour=4), Context())

    first, second = deployed.messages()
    assert said(first).startswith("Nothing new today.")
    assert f"{BILL_TITLE} $348 in 30 days" in said(first)
    assert first["blocks"][-1]["type"] == "image"
    assert BILL_TITLE not in said(second)
    assert len(deployed.files()) == 1


@pytest.mark.usefixtures("billed")
def test_a_picture_that_is_gone_is_missing_and_the_digest_says_the_rest(
    deployed: SlackControl, ledger: Ledger, aws: Aws, settings: Say, session: boto3.Session
) -> None:
    settings(WITH_SLACK)
    quiet(ledger, aws)
    handlers.bill(event("scheduled"), Context())
    last = not_none(ledger.latest.bill(ACCOUNT))
    session.client("s3").delete_object(Bucket=BUCKET, Key=last.picture)

    handlers.digest(event("scheduled"), Context())

    (message,) = deployed.messages()
    assert BILL_TITLE in said(message)
    assert "The picture of the bill is missing: GetObject: NoSuchKey" in str(message["blocks"][-1])
    assert deployed.files() == []


@pytest.mark.usefixtures("billed")
def test_a_picture_that_cannot_be_drawn_does_not_lose_the_message(
    deployed: SlackControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml_janitor.report.bill_message.render_png", lambda _: 1 // 0)

    handlers.bill(event("scheduled"), Context())

    assert BILL_TITLE in said(deployed.messages()[0])
    assert deployed.files() == []


@pytest.mark.usefixtures("billed")
@cases(
    "broken",
    "ml_janitor.aws.runs._endpoints",
    "ml_janitor.aws.runs.EventHistory.read",
    "ml_janitor.ledger.actions.Actions.all",
)
def test_what_cannot_be_joined_is_said_and_the_bill_all_the_same(
    deployed: SlackControl, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    monkeypatch.setattr(broken, lambda *_: 1 // 0)

    handlers.bill(later(-1, monkeypatch), Context())

    text = said(deployed.messages()[0])
    assert "*Saturday 10-03:* $22.00" in text
    assert "not all known, so less is explained: ZeroDivisionError: integer division" in text


@pytest.mark.usefixtures("billed")
def test_a_bill_that_slack_did_not_take_fails_and_the_digest_says_it(
    deployed: SlackControl, ledger: Ledger, aws: Aws
) -> None:
    quiet(ledger, aws)
    deployed.fault("error", times=0, code="channel_not_found")
    with pytest.raises(RunFailedError, match=r"the news could not be sent: .*channel_not_found"):
        handlers.bill(event("scheduled"), Context())
    deployed.clear_faults()

    handlers.digest(event("scheduled"), Context())

    (message,) = deployed.messages()
    assert f"{BILL_TITLE} $348 in 30 days" in said(message)


@cases(
    "detector, acted, words",
    ("idle-endpoints", False, ", idle since 10-06"),
    ("idle-endpoints", True, ", ended 10-05 by the janitor"),  # although its finding is still open
    ("untagged-resources", False, ", new since 10-01"),
)
def test_only_a_detector_that_ends_waste_says_that_something_is_idle(
    deployed: SlackControl, nights: Nights, billed: Control, detector: str, words: str, *, acted: bool
) -> None:
    created = NOW - 5 * DAY
    Seed(billed, nights.aws).endpoint("ranker", age=5 * DAY, tags={"project": "churn"})
    target = target_at("endpoint/ranker", created)
    result = Result(detector=detector, target=target, verdict=waste(), outcome=Outcome.WOULD_ACT)
    sweep = Sweep(detector=detector, account=ACCOUNT, region=REGION, mode=Mode.DRY_RUN, results=(result,))
    nights.ledger.record(nights.aws, sweep, NOW)
    if acted:
        begun = nights.actions.begin(result, {}, warned=NOW - 2 * DAY, now=NOW - DAY)
        nights.actions.acted(begun, NOW - DAY)

    handlers.bill(event("scheduled"), Context())

    text = said(deployed.messages()[0])
    assert "endpoint ranker" in text
    assert (words in text, "idle" in text) == (True, detector == "idle-endpoints")


@pytest.mark.usefixtures("billed")
def test_savings_are_said_where_no_digest_said_them_that_day(
    deployed: SlackControl, ledger: Ledger, settings: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings(f'{WITH_SLACK}{ALONE}time_zone = "Asia/Tokyo"\n')
    monkeypatch.setattr(
        savings, "sum_savings", lambda *_, **__: savings.SavingsTotal(usd=Decimal(12), actions=1)
    )
    handlers.bill(event("scheduled"), Context())
    ledger.latest.digested(ACCOUNT, NOW + DAY - timedelta(hours=4))
    handlers.bill(later(1, monkeypatch), Context(aws_request_id="another"))

    alone, after_digest = map(said, deployed.messages())
    assert "*Saved so far this month:* $12.00" in alone
    assert "Saved" not in after_digest


def test_on_that_day_tags_are_checked_and_only_what_is_wrong_is_said(
    deployed: SlackControl,
    session: boto3.Session,
    box: Control,
    settings: Say,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings(WITH_SLACK + ALONE)
    box.set_bill(tags=["project"], since=f"{TODAY - 90 * DAY:%Y-%m-%dT%H:%M:%SZ}")
    charge(box, days=70, usd=700, tags={"project": "churn", "owner": "ann"})

    handlers.bill(later(-1, monkeypatch), Context())

    (document,) = reports(session).values()
    bill = ARCHIVED_BILL.validate_json(document).report.bill
    assert set(bill.by_tag) == {"project", "owner", "environment"}
    text = said(deployed.messages()[0])
    assert "No charge has the tag owner: it is not activated for cost allocation." in text
    assert "cost-center" not in text


@pytest.mark.usefixtures("billed")
def test_a_denied_cost_explorer_is_said_and_the_last_bill_stays(
    deployed: SlackControl, ledger: Ledger, box: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    handlers.bill(event("scheduled"), Context())
    before = not_none(ledger.latest.bill(ACCOUNT))
    box.fault("ce", "GetCostAndUsage", "error", code="AccessDeniedException", times=0)

    answer = handlers.bill(later(1, monkeypatch), Context(aws_request_id="another"))

    after = not_none(ledger.latest.bill(ACCOUNT))
    assert answer["charges"] == 0
    assert (after.kept, after.time) == (before.kept, NOW + DAY)
    text = said(deployed.messages()[1])
    assert "The bill could not be read." in text
    assert "the credentials lack ce:GetCostAndUsage" in text


def test_a_bill_that_cannot_be_read_is_a_failed_run_where_nobody_is_told(
    settings: Say, box: Control, deployed: SlackControl
) -> None:
    settings("[janitor]\n")
    box.set_bill(enabled=False)

    with pytest.raises(RunFailedError, match="Cost Explorer is not enabled"):
        handlers.bill(event("scheduled"), Context())

    assert deployed.messages() == []


@pytest.mark.usefixtures("billed")
def test_an_event_that_comes_twice_is_read_once(deployed: SlackControl) -> None:
    first = handlers.bill(event("scheduled"), Context())

    assert handlers.bill(event("scheduled"), Context(aws_request_id="another")) == first
    assert len(deployed.messages()) == 1
