"""Routed findings in Slack: each channel hears of its own, and of nothing that another did not take."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from conftest import ACCOUNT, REGION
from lambdas import idle_endpoints
from ml_janitor import handlers
from ml_janitor.engine.run import RunFailedError
from ml_janitor_sandbox.deployment import SECRET
from ml_janitor_sandbox.slack import CHANNEL
from slackside import ARMED, MEMBER, OWNER, Deployment, buttons, said

VISION, PROD = "C0VISION0", "C0PROD000"
TEAM = '[slack.routes]\n"team:Vision ML" = "#vision"\n'
ROUTED = f'{TEAM}"account:{ACCOUNT}" = "{PROD}"\n'
DRY = ARMED.replace('mode = "act"', 'mode = "dry-run"')


def seeded(
    deployment: Deployment, *, vision: Iterable[str], others: Iterable[str], member: bool = True
) -> None:
    """Endpoints of the team and of nobody in particular, and both channels; the app may be in no *member*."""
    idle_endpoints(deployment.session, deployment.box, *vision, *others)
    for name in vision:
        deployment.session.client("sagemaker").add_tags(
            ResourceArn=f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/{name}",
            Tags=[{"Key": "Team", "Value": "vision-ml"}],
        )
    deployment.slack.add_channel(VISION, "vision", member=member)
    deployment.slack.add_channel(PROD, "prod")


def heard(deployment: Deployment, channel: str) -> list[str]:
    """What each message in *channel* says, threads left out."""
    return [
        one["text"]
        for one in deployment.slack.messages()
        if one["channel"] == channel and not one["thread_ts"]
    ]


def test_each_channel_hears_of_its_own_findings_and_gets_their_report(armed: Deployment) -> None:
    """The team comes before the account: it says who has to keep the resource or let it go."""
    armed.settings(DRY + ROUTED)
    seeded(armed, vision=["lens", "iris"], others=["churn"])

    armed.sweep()

    (vision,), (prod,) = heard(armed, VISION), heard(armed, PROD)
    assert vision.startswith("$336 a month: 2 new idle endpoints")
    assert prod.startswith("$168 a month: 1 new idle endpoint")
    reports = {one["channel"]: one["content"] for one in armed.slack.files()}
    assert {channel: ["lens" in text, "churn" in text] for channel, text in reports.items()} == {
        VISION: [True, False],
        PROD: [False, True],
    }
    assert all("announced" in item for item in armed.table()["finding"])
    armed.sweep()
    assert len(heard(armed, VISION) + heard(armed, PROD)) == 2


def test_what_a_channel_does_not_take_is_announced_nowhere_and_its_turn_comes_again(
    armed: Deployment,
) -> None:
    armed.settings(DRY + TEAM)
    seeded(armed, vision=["lens"], others=["churn"], member=False)

    with pytest.raises(
        RunFailedError, match="Slack refused the post to channel #vision: not_in_channel; invite"
    ):
        armed.sweep()

    (only,) = armed.slack.messages()[:1]
    assert (only["channel"], "1 new idle endpoint" in only["text"]) == (CHANNEL, True)
    assert announced(armed) == {"churn"}
    armed.slack.add_channel(VISION, "vision")
    armed.sweep()
    assert announced(armed) == {"churn", "lens"}
    assert len(heard(armed, VISION)) == len(heard(armed, CHANNEL)) == 1


def test_a_warning_is_delivered_by_its_own_channel_and_by_no_other(armed: Deployment) -> None:
    armed.settings(ARMED + TEAM)
    seeded(armed, vision=["lens", "iris"], others=["churn"], member=False)

    with pytest.raises(
        RunFailedError, match=r"2 warnings were not sent, so nothing is due: .*#vision: not_in"
    ):
        armed.sweep()

    assert {one["name"] for one in armed.table()["finding"] if "warned" in one} == {"churn"}
    armed.slack.add_channel(VISION, "vision")
    armed.sweep()
    places = {one["name"]: one["channel"] for one in armed.table()["finding"]}
    assert places == {"churn": CHANNEL, "lens": VISION, "iris": VISION}
    head, *warnings = [one for one in armed.slack.messages() if one["channel"] == VISION]
    assert head["text"].startswith("2 idle endpoints will be deleted after")
    assert [one["thread_ts"] for one in warnings] == [head["ts"]] * 2


def test_a_press_counts_on_the_routed_message_and_on_no_other(armed: Deployment) -> None:
    armed.settings(ARMED + TEAM)
    seeded(armed, vision=["lens"], others=[])
    armed.sweep()
    (warning,) = [one for one in armed.slack.messages() if one["channel"] == VISION]
    assert buttons(warning) == ["keep", "snooze", "now"]
    keep = next(one for block in warning["blocks"] for one in block.get("elements", ()))
    press: dict[str, Any] = {
        "user": OWNER,
        "team": "",
        "channel": CHANNEL,
        "message": warning["ts"],
        "action": keep["action_id"],
        "value": keep["value"],
        "at": f"{armed.now.timestamp():.6f}",
        "response_url": "",
    }

    forged = handlers.pressed(press, armed.context())

    assert forged == {"done": False, "why": "there is a newer message about it; press there"}
    assert "hold" not in armed.table()
    armed.press("keep", MEMBER)
    (warning,) = [one for one in armed.slack.messages() if one["channel"] == VISION]
    assert said(warning).startswith("*Kept for good* by Dina Okafor")
    assert len(armed.table()["hold"]) == 1


def test_a_webhook_posts_nothing_where_there_are_routes(armed: Deployment) -> None:
    """It would post to one channel what is meant for another."""
    armed.settings(DRY + TEAM)
    seeded(armed, vision=["lens"], others=["churn"])
    armed.session.client("secretsmanager").put_secret_value(SecretId=SECRET, SecretString=armed.slack.hook)

    with pytest.raises(
        RunFailedError, match="incoming webhook, which posts to one channel only: put a bot token"
    ):
        armed.sweep()

    assert armed.slack.messages() == []
    assert announced(armed) == set()


def announced(deployment: Deployment) -> set[str]:
    return {one["name"] for one in deployment.table()["finding"] if "announced" in one}
