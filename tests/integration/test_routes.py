"""Routed findings in Slack: each channel hears of its own, and of nothing that another did not take."""

from __future__ import annotations

from collections.abc import Iterable

from conftest import ACCOUNT, REGION
from ml_janitor import handlers
from ml_janitor_sandbox.slack import CHANNEL, form, sign
from standin import ARMED_TOML, MEMBER, OWNER, Deployment, buttons, handed_press, idle_endpoints, said

VISION, PROD = "C0VISION0", "C0PROD000"
TEAM = '[slack.routes]\n"team:Vision ML" = "#vision"\n'
ROUTED = f'{TEAM}"account:{ACCOUNT}" = "{PROD}"\n'
DRY = ARMED_TOML.replace('mode = "act"', 'mode = "dry-run"')


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


def test_a_press_counts_on_the_routed_message_and_on_no_other(armed: Deployment) -> None:
    armed.settings(ARMED_TOML + TEAM)
    seeded(armed, vision=["lens"], others=[])
    armed.sweep()
    (warning,) = [one for one in armed.slack.messages() if one["channel"] == VISION]
    assert buttons(warning) == ["keep", "snooze", "now"]
    keep = next(one for block in warning["blocks"] for one in block.get("elements", ()))
    stamp = f"{armed.now.timestamp():.6f}"
    payload = {
        "type": "block_actions",
        "user": {"id": OWNER},
        "container": {"channel_id": CHANNEL, "message_ts": warning["ts"]},
        "actions": [{"action_id": keep["action_id"], "value": keep["value"], "action_ts": stamp}],
    }

    forged = handlers.pressed(handed_press(sign(form(payload), armed.now)), armed.context())

    assert forged == {"done": False, "why": "there is a newer message about it; press there"}
    assert "hold" not in armed.table()
    armed.press("keep", MEMBER)
    (warning,) = [one for one in armed.slack.messages() if one["channel"] == VISION]
    assert said(warning).startswith("*Kept until Sun 4 Apr 05:00* by Dina Okafor")
    assert len(armed.table()["hold"]) == 1


def announced(deployment: Deployment) -> set[str]:
    return {one["name"] for one in deployment.table()["finding"] if "announced" in one}
