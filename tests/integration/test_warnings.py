"""Warnings in Slack: what they say, whom they call, what can be pressed, and what became of each."""

from __future__ import annotations

import re
import shlex

from conftest import ACCOUNT, REGION
from ml_janitor_cli.main import main
from standin import ARMED_TOML, GROUP, OWNER, Deployment, buttons, idle_endpoints
from tables import cases

DUE = "Fri 9 Oct 05:10 (Europe/Berlin)"
TWICE = "Mon 12 Oct 05:10 (Europe/Berlin)"


def test_one_finding_is_one_message_with_its_owner_its_date_and_its_buttons(armed: Deployment) -> None:
    idle_endpoints(armed.session, armed.box, "fraud")

    assert armed.sweep()["sweeps"][0]["mode"] == "act"

    (warning,) = armed.slack.messages()
    assert (warning["thread_ts"], warning["mentions"]) == (None, [f"@{OWNER}"])
    assert warning["text"] == f"fraud: Will be deleted after {DUE} unless somebody keeps it."
    assert [block["text"]["text"] for block in warning["blocks"][:2]] == [
        (
            "Idle endpoint `fraud`  *$168 a month*\n"
            f"<@{OWNER}>, this one is yours, since 2026-09-06 (30 days, about $166 so far), proven. "
            f"In account {ACCOUNT}, {REGION}.\n"
            "No request in 7 days, and none since it was deployed 30 days ago.\n"
            "Action: delete the endpoint (its configuration and models stay). An undo does not bring back "
            "its capacity, if AWS has none left, nor requests in an asynchronous queue, nor the strategy "
            "of its last deployment."
        ),
        f"*Will be deleted after {DUE}* unless somebody keeps it.",
    ]
    assert buttons(warning) == ["keep", "snooze", "now"]
    (entry,) = armed.table()["finding"]
    assert (entry["message"], entry["channel"]) == (warning["ts"], warning["channel"])
    assert entry["due"] == "2026-10-09T03:10:00Z"


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


def test_a_webhook_gets_them_all_in_one_message_that_says_how_to_keep(armed: Deployment) -> None:
    idle_endpoints(armed.session, armed.box, "a", "b")
    armed.session.client("secretsmanager").put_secret_value(
        SecretId="ml-janitor/slack", SecretString=armed.slack.hook
    )

    armed.sweep()

    (message,) = armed.slack.messages()
    assert (message["via"], buttons(message), message["mentions"]) == ("webhook", [], [])
    assert message["text"].startswith(f"2 idle endpoints will be deleted after {TWICE}")
    for name in ("a", "b"):
        arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/{name}"
        assert f"To keep it: tag it `janitor:keep=true`, or run `janitor keep {arn} --reason why`." in str(
            message
        )
    assert {(item["due"], item["unmessaged"]) for item in armed.table()["finding"]} == {
        ("2026-10-12T03:10:00Z", "webhook sends none")
    }
