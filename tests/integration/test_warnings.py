"""Warnings in Slack: what they say, whom they call, what can be pressed, and what became of each."""

import re
import shlex

from conftest import ACCOUNT, REGION
from ml_janitor_cli.main import main
from standin import ARMED_TOML, GROUP, Deployment, buttons, idle_endpoints
from tables import cases


@cases(
    "without, shown",
    (f'slack_group = "{GROUP}"', ["keep", "snooze"]),
    ('slack_signing_secret = "ml-janitor/slack-signing"', []),
)
def test_a_button_that_nobody_could_press_is_not_there(
    armed: Deployment, without: str, shown: list[str]
) -> None:
    armed.settings(ARMED_TOML.replace(without, ""))
    idle_endpoints(armed.session, armed.box, "a")

    armed.sweep()

    (warning,) = armed.slack.messages()
    assert buttons(warning) == shown
    by_hand = re.findall(r"`janitor (keep .*?)`", str(warning))
    assert bool(by_hand) == (not shown)
    for command in by_hand:
        assert main(shlex.split(command)) == 0
        assert [hold["key"].partition("@")[0] for hold in armed.table()["hold"]] == [
            f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/a"
        ]
