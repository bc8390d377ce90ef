"""The week's advice and the keeps that end in the digest, and what a press of their buttons does."""

import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from conftest import ACCOUNT, NOW, REGION
from fakes import waste
from ml_janitor import handlers
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Change, Cost, Mode
from ml_janitor.core.results import Result, Sweep
from ml_janitor.engine.policy import Hold, HoldKind, advice_hold_key, hold_reason, holds_on
from ml_janitor.ledger.findings import Ledger
from ml_janitor.ledger.requests import Holds
from ml_janitor.ledger.table import Table
from reports import result
from standin import ARMED_TOML, DAY, EMAILS, MEMBER, OWNER, STRANGER, Deployment, buttons, event

TUESDAY = ARMED_TOML.replace("[janitor]\n", '[janitor]\ndigest_schedule = "cron(0 7 ? * TUE *)"\n', 1)
WEEK = timedelta(days=7)


def advice(detector: str, name: str, usd: int, change: Change = Change.SPOT) -> Result:
    """Something that would save so much, of Maria's."""
    verdict = replace(waste(), action=f"change {name}", cost=Cost.saving(Decimal(usd), once_usd=Decimal(3)))
    return replace(result(detector, name, verdict, owner=EMAILS[OWNER]), change=change)


def found(table: Table, aws: Aws, *results: Result, ago: timedelta = timedelta(hours=1)) -> None:
    """The ledger knows that these were found."""
    for detector in dict.fromkeys(one.detector for one in results):
        own = tuple(one for one in results if one.detector == detector)
        done = Sweep(detector=detector, account=ACCOUNT, region=REGION, mode=Mode.DRY_RUN, results=own)
        Ledger(table).record(aws, done, NOW - ago)


@pytest.fixture
def advised(armed: Deployment, table: Table, aws: Aws) -> Deployment:
    """Seven families, a limit that saves nothing, and an idle endpoint of an armed detector."""
    armed.settings(TUESDAY)
    spots = [advice("spot-training", f"family-{number}", number * 100) for number in range(1, 8)]
    limit = replace(result("generous-runtime-limits", "l", replace(waste(), cost=Cost.exposed(Decimal(9)))))
    idle = advice("idle-endpoints", "idle", 5000, Change.END)
    found(table, aws, *spots, replace(limit, change=Change.LIMIT), idle)
    return armed


def told(deployment: Deployment) -> dict[str, Any]:
    """The newest digest with advice."""
    return next(one for one in reversed(deployment.slack.messages()) if "This week's" in str(one["blocks"]))


def press(deployment: Deployment, name: str, word: str, user: str) -> str:
    """Press *word* below the advice about *name*; return the answer that only *user* sees."""
    message = told(deployment)
    blocks = message["blocks"]
    place = next(number for number, block in enumerate(blocks) if f"`{name}`" in str(block))
    (value,) = [
        str(one["value"]) for one in blocks[place + 1]["elements"] if one["action_id"] == f"janitor:{word}"
    ]
    signed = deployment.signed(word, user, ts=message["ts"], value=value)
    assert deployment.send(signed)["statusCode"] == 200
    return str(deployment.slack.responses()[-1]["text"])


def test_its_buttons_hold_a_piece_for_its_owner_and_for_members_and_for_nobody_else(
    advised: Deployment, table: Table, aws: Aws
) -> None:
    counts = handlers.digest(event("scheduled"), advised.context())

    message = told(advised)
    assert counts["advice"] == 5
    assert message["text"].startswith("Daily digest. ")
    assert "This week's advice: $2,500 a month in 5 changes." in str(message["blocks"])
    assert "`idle`" not in str(message["blocks"]), "an armed detector warns of its own"
    assert buttons(message) == ["advice-later", "not-for-us"] * 5
    assert "only its owner" in press(advised, "family-7", "not-for-us", STRANGER)
    assert "hold" not in advised.table()
    assert "is left out for good" in press(advised, "family-7", "not-for-us", OWNER)
    assert "is left out for 28 days" in press(advised, "family-6", "advice-later", MEMBER)

    holds = {hold["key"]: (hold["how"], hold["by"], hold["until"]) for hold in advised.table()["hold"]}
    kept, snoozed = (advice("spot-training", f"family-{number}", 1).target for number in (7, 6))
    assert holds == {
        advice_hold_key("spot-training", kept.key): ("kept", f"Maria Lopez ({OWNER})", None),
        advice_hold_key("spot-training", snoozed.key): (
            "snoozed",
            f"Dina Okafor ({MEMBER})",
            "2026-11-03T03:00:00Z",
        ),
    }
    remembered = Holds(table).all(ACCOUNT, REGION)
    assert hold_reason(holds_on(remembered, kept, "spot-training"), NOW) is not None
    assert hold_reason(holds_on(remembered, kept, "hung-training-jobs"), NOW) is None

    advised.later(WEEK)
    found(table, aws, *(advice("spot-training", f"family-{n}", n * 100) for n in range(1, 8)), ago=-WEEK)
    handlers.digest({"time": f"{NOW + WEEK:%Y-%m-%dT%H:%M:%SZ}"}, advised.context())
    assert "This week's advice: $1,500 a month in 5 changes." in str(told(advised)["blocks"])


def test_the_digest_ends_keeps_of_before_and_keeps_on_what_somebody_presses(
    armed: Deployment, table: Table
) -> None:
    about = {"how": HoldKind.KEPT, "by": f"Maria Lopez ({OWNER})", "given": NOW - 170 * DAY}
    key = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/{}@2026-01-01T00:00:00+00:00"
    ends = {"soon": 9 * DAY, "sooner": 2 * DAY, "later": 15 * DAY, "over": -DAY, "before": None}
    for name, span in ends.items():
        hold = Hold(key=key.format(name), until=None if span is None else NOW + span, **about)  # type: ignore[arg-type]
        Holds(table).put(ACCOUNT, REGION, hold)

    handlers.digest(event("scheduled"), armed.context())

    (message,) = [one for one in armed.slack.messages() if "Kept, but" in str(one["blocks"])]
    assert re.findall("`endpoint/(.*?)`: kept by Maria Lopez until", str(message["blocks"])) == [
        "sooner",
        "soon",
    ]
    values = [one["elements"][0]["value"] for one in message["blocks"] if one["type"] == "actions"]
    signed = armed.signed("keep-on", OWNER, ts=message["ts"], value=values[0])
    assert armed.send(signed)["statusCode"] == 200

    assert armed.slack.responses()[-1]["text"] == (
        "`endpoint/sooner` is kept until Sun 4 Apr 05:00 (Europe/Berlin)."
    )
    kept = {hold["key"]: hold["until"] for hold in armed.table()["hold"]}
    assert kept[key.format("sooner")] == kept[key.format("before")] == "2027-04-04T03:00:00Z"
    assert kept[key.format("soon")] == "2026-10-15T03:00:00Z"
