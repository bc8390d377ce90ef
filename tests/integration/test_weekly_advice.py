"""The weekly message of advice: what it names, when it is posted, and what a press on it is remembered as."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from conftest import ACCOUNT, NOW, REGION
from fakes import waste
from lambdas import event
from ml_janitor import handlers
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Change, Cost, Mode
from ml_janitor.core.results import Result, Sweep
from ml_janitor.engine.policy import advice_hold_key, hold_reason, holds_on
from ml_janitor.ledger.findings import Ledger
from ml_janitor.ledger.requests import Holds
from ml_janitor.ledger.table import Table
from ml_janitor_sandbox.slack import SlackControl
from reports import result
from slackside import ARMED, EMAILS, MEMBER, OWNER, STRANGER, Deployment, buttons

TUESDAY = ARMED + '\n[plan]\nweekly_advice = "Tue"\n'
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
    """The newest message of advice."""
    return next(one for one in reversed(deployment.slack.messages()) if "advice" in one["text"])


def value(message: dict[str, Any], name: str, word: str) -> str:
    """What the button *word* below the advice about *name* says."""
    blocks = message["blocks"]
    place = next(number for number, block in enumerate(blocks) if f"`{name}`" in str(block))
    return next(
        str(one["value"]) for one in blocks[place + 1]["elements"] if one["action_id"] == f"janitor:{word}"
    )


def press(deployment: Deployment, name: str, word: str, user: str) -> None:
    message = told(deployment)
    signed = deployment.signed(word, user, ts=message["ts"], value=value(message, name, word))
    assert deployment.send(signed)["statusCode"] == 200


def test_on_its_day_one_message_names_the_five_best_with_owner_and_dollars(advised: Deployment) -> None:
    counts = handlers.digest(event("scheduled"), advised.context())

    message = told(advised)
    shown = str(message["blocks"])
    assert counts["advice"] == 5
    assert message["text"] == "This week's advice: $2,500 a month in 5 changes"
    assert [f"family-{number}" in shown for number in range(1, 8)] == [False, False, *[True] * 5]
    assert "*$700 a month, $3.00 once*: spot training finding `family-7`, maria@acme.example" in shown
    assert "Change family-7." in shown
    assert "7 pieces of advice would save $2,800 a month together" in shown
    assert "idle" not in shown, "an armed detector warns of its own"
    assert buttons(message) == ["advice-later", "not-for-us"] * 5
    before = len(advised.slack.messages())
    assert handlers.digest({"time": "2026-10-06T03:00:20Z"}, advised.context())["advice"] == 0
    assert [one for one in advised.slack.messages()[before:] if "advice" in one["text"]] == []


def test_on_another_day_and_without_advice_nothing_is_said(armed: Deployment, table: Table, aws: Aws) -> None:
    found(table, aws, advice("spot-training", "family", 100))

    assert handlers.digest(event("scheduled"), armed.context())["advice"] == 0  # Monday, by default
    armed.settings(TUESDAY)
    found(table, aws, replace(advice("spot-training", "family", 100), verdict=waste(priced=False)))
    assert handlers.digest(event("scheduled"), armed.context())["advice"] == 0


def test_not_for_us_is_remembered_with_who_and_why_and_holds_this_advice_only(
    advised: Deployment, table: Table, aws: Aws
) -> None:
    handlers.digest(event("scheduled"), advised.context())

    press(advised, "family-7", "not-for-us", OWNER)

    (hold,) = advised.table()["hold"]
    target = advice("spot-training", "family-7", 1).target
    assert hold["key"] == advice_hold_key("spot-training", target.key)
    assert (hold["how"], hold["by"], hold["until"]) == ("kept", f"Maria Lopez ({OWNER})", None)
    assert hold["why"] == "advice that is not for us"
    message = told(advised)
    assert "Kept by Maria Lopez: advice that is not for us." in str(message["blocks"])
    assert buttons(message) == ["advice-later", "not-for-us"] * 4
    holds = Holds(table).all(ACCOUNT, REGION)
    assert hold_reason(holds_on(holds, target, "spot-training"), NOW) is not None
    assert hold_reason(holds_on(holds, target, "hung-training-jobs"), NOW) is None

    advised.later(WEEK)
    found(table, aws, *(advice("spot-training", f"family-{n}", n * 100) for n in range(1, 8)), ago=-WEEK)
    handlers.digest({"time": f"{NOW + WEEK:%Y-%m-%dT%H:%M:%SZ}"}, advised.context())
    again = told(advised)
    assert again["ts"] != message["ts"]
    assert again["text"] == "This week's advice: $2,000 a month in 5 changes"


def test_snoozed_advice_comes_back_after_four_weeks(advised: Deployment) -> None:
    handlers.digest(event("scheduled"), advised.context())

    press(advised, "family-6", "advice-later", MEMBER)

    (hold,) = advised.table()["hold"]
    assert (hold["how"], hold["until"][:10]) == ("snoozed", "2026-11-03")
    assert "Snoozed by Dina Okafor until 2026-11-03" in str(told(advised)["blocks"])


def test_who_is_neither_owner_nor_member_changes_nothing(advised: Deployment) -> None:
    handlers.digest(event("scheduled"), advised.context())

    press(advised, "family-7", "not-for-us", STRANGER)

    assert "hold" not in advised.table()
    (answer,) = advised.slack.responses()
    assert "Nothing was changed: only its owner" in str(answer)


def test_an_older_message_counts_too_and_says_so(advised: Deployment, table: Table, aws: Aws) -> None:
    handlers.digest(event("scheduled"), advised.context())
    old = told(advised)
    advised.later(WEEK)
    found(table, aws, *(advice("spot-training", f"family-{n}", n * 100) for n in range(1, 8)), ago=-WEEK)
    handlers.digest({"time": f"{NOW + WEEK:%Y-%m-%dT%H:%M:%SZ}"}, advised.context())

    signed = advised.signed("not-for-us", OWNER, ts=old["ts"], value=value(old, "family-7", "not-for-us"))
    advised.send(signed)

    assert len(advised.table()["hold"]) == 1
    assert "there is a newer message" in str(advised.slack.responses())


def test_without_buttons_it_names_the_commands(advised: Deployment) -> None:
    advised.settings(TUESDAY.replace("slack_signing_secret", "# slack_signing_secret"))

    handlers.digest(event("scheduled"), advised.context())

    message = told(advised)
    assert buttons(message) == []
    assert "janitor keep ARN --only DETECTOR" in str(message["blocks"])


def test_a_refusal_of_slack_is_an_error_and_it_is_posted_next_time(
    advised: Deployment, deployed: SlackControl
) -> None:
    deployed.fault("error", method="chat.postMessage", code="channel_not_found", times=9)
    with pytest.raises(Exception, match="Slack could not be told"):
        handlers.digest(event("scheduled"), advised.context())

    assert "advice" not in advised.table()
