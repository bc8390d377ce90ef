"""Routed warnings in Slack: a press counts where the warning went."""

from conftest import ACCOUNT, REGION
from ml_janitor import handlers
from ml_janitor_sandbox.slack import CHANNEL, form, sign
from standin import ARMED_TOML, MEMBER, OWNER, Deployment, buttons, handed_press, idle_endpoints, said

VISION = "C0VISION0"
TEAM = '[slack.routes]\n"team:Vision ML" = "#vision"\n'


def test_a_press_counts_on_the_routed_message_and_on_no_other(armed: Deployment) -> None:
    armed.settings(ARMED_TOML + TEAM)
    idle_endpoints(armed.session, armed.box, "lens")
    armed.session.client("sagemaker").add_tags(
        ResourceArn=f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/lens",
        Tags=[{"Key": "Team", "Value": "vision-ml"}],
    )
    armed.slack.add_channel(VISION, "vision")
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
