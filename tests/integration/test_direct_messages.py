"""Direct messages to owners, besides the channel: what they say, what a press in one does, and what fails."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import boto3
import pytest

from conftest import NOW
from lambdas import idle_endpoints, reports
from ml_janitor.acting.warning import WarningDeliveries
from ml_janitor.engine.run import RunFailedError
from ml_janitor.ledger.causes import read_causes
from ml_janitor.report.causes import cause_text
from ml_janitor_sandbox.slack import sign
from slackside import ARMED, EMAILS, MEMBER, OWNER, Deployment, buttons, said, unused

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BOT = "Slack refused conversations.open: cannot_dm_bot; the owner is a bot: name a person in the owner tag"
DUE, DUE_AT = "Fri 9 Oct 05:10 (Europe/Berlin)", "2026-10-09T03:10:00Z"
TWICE, TWICE_AT = "Mon 12 Oct 05:10 (Europe/Berlin)", "2026-10-12T03:10:00Z"
PRESSED = "Tue 6 Oct 05:00 (Europe/Berlin)"


def unmessaged(armed: Deployment) -> str:
    """Why the owner has no direct message, in words."""
    return cause_text(read_causes(entry_of(armed), "unmessaged")["unmessaged"])


def entry_of(deployment: Deployment) -> dict[str, Any]:
    (entry,) = deployment.table()["finding"]
    return entry


def exists(session: boto3.Session, name: str) -> bool:
    listed = session.client("sagemaker").list_endpoints()["Endpoints"]
    return name in {one["EndpointName"] for one in listed}


def only(deployment: Deployment, user: str = "") -> dict[str, Any]:
    """The one message in the channel, or the one to *user*."""
    (message,) = deployment.slack.direct_messages(user) if user else deployment.slack.messages()
    return message


# --- what owners get -------------------------------------------------------------------------------


def test_an_owner_gets_the_channels_message_and_its_place_is_remembered(armed: Deployment) -> None:
    idle_endpoints(armed.session, armed.box, "fraud")

    armed.sweep()

    posted, direct = only(armed), only(armed, OWNER)
    assert (direct["text"], direct["blocks"]) == (posted["text"], posted["blocks"])
    assert said(direct) == f"*Will be deleted after {DUE}* unless somebody keeps it."
    entry = entry_of(armed)
    assert (entry["channel"], entry["message"]) == (posted["channel"], posted["ts"])
    assert (entry["direct_channel"], entry["direct_message"]) == (direct["channel"], direct["ts"])
    assert (entry["due"], "unmessaged" in entry) == (DUE_AT, False)


def test_several_of_one_owner_are_one_message_with_a_thread(armed: Deployment) -> None:
    idle_endpoints(armed.session, armed.box, "a", "b")
    idle_endpoint_of(armed, "c", owner=EMAILS[MEMBER])

    armed.sweep()

    above, *own = armed.slack.direct_messages(OWNER)
    assert above["text"].startswith(f"2 idle endpoints will be deleted after {DUE} unless")
    assert "Their tags name you as the owner." in str(above["blocks"])
    assert (above["thread_ts"], [one["thread_ts"] for one in own]) == (None, [above["ts"]] * 2)
    assert only(armed, MEMBER)["text"].startswith("c: Will be deleted")
    armed.later(HOUR)
    armed.sweep()
    assert len(armed.slack.direct_messages(OWNER)) == 3


def idle_endpoint_of(armed: Deployment, name: str, *, owner: str) -> None:
    """One more endpoint beside those of `idle_endpoints`."""
    armed.box.set_clock(NOW - 30 * DAY)
    armed.session.client("sagemaker").create_endpoint(
        EndpointName=name, EndpointConfigName="c", Tags=[{"Key": "owner", "Value": owner}]
    )
    armed.box.set_clock(NOW)
    unused(armed, name)


# --- who cannot be messaged ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("owner", "about", "why"),
    [
        ("", {}, "no owner tag"),
        ("maria", {}, "no Slack account was found for its owner"),
        ("nobody@acme.example", {}, "no Slack account was found for its owner"),
        ("left@acme.example", {"deleted": True}, "no Slack account was found for its owner"),
        ("bot@acme.example", {"bot": True}, BOT),
    ],
)
def test_an_owner_who_cannot_be_messaged_has_twice_the_grace(
    armed: Deployment, owner: str, about: dict[str, Any], why: str
) -> None:
    if about:
        armed.slack.add_user("U0OTHER", owner, **about)
    idle_endpoints(armed.session, armed.box, "fraud", owner=owner or "-")
    if not owner:
        arn = armed.session.client("sagemaker").describe_endpoint(EndpointName="fraud")["EndpointArn"]
        armed.session.client("sagemaker").delete_tags(ResourceArn=arn, TagKeys=["owner"])

    armed.sweep()

    sentence = f"its owner got no direct message ({why}), so the grace is doubled"
    assert said(only(armed)) == (
        f"*Will be deleted after {TWICE}* unless somebody keeps it. {sentence.capitalize()[:1]}"
        f"{sentence[1:]}."
    )
    assert (entry_of(armed)["due"], unmessaged(armed)) == (TWICE_AT, why)
    assert sentence in noted(armed)
    armed.later(HOUR)
    days_pass(armed, 3)
    assert exists(armed.session, "fraud")
    assert sentence in noted(armed)
    days_pass(armed, 3)
    assert not exists(armed.session, "fraud")


def days_pass(armed: Deployment, number: int) -> None:
    """Nobody uses the endpoint, and there is a sweep every day."""
    for _ in range(number):
        armed.later(DAY)
        unused(armed, "fraud")
        armed.sweep()


def noted(armed: Deployment) -> str:
    """What the newest report says of the one result's outcome."""
    newest = [json.loads(text) for name, text in reports(armed.session).items() if name.endswith(".json")][-1]
    return str(newest)


def test_a_run_that_dies_before_the_direct_message_leaves_the_later_date_and_no_second_message(
    armed: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle_endpoints(armed.session, armed.box, "fraud")

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(WarningDeliveries, "messaged", dies)
        with pytest.raises(KeyboardInterrupt):
            armed.sweep()
    assert (entry_of(armed)["due"], unmessaged(armed)) == (TWICE_AT, "not sent yet")
    armed.later(HOUR)

    armed.sweep()

    assert (len(armed.slack.messages()), len(armed.slack.direct_messages(OWNER))) == (1, 1)
    assert entry_of(armed)["due"] == TWICE_AT


# --- presses ---------------------------------------------------------------------------------------


def press(armed: Deployment, word: str, user: str, *, shown_to: str = OWNER) -> dict[str, Any]:
    """*user* presses a button of the direct message that *shown_to* got."""
    direct = armed.slack.direct_messages(shown_to)[-1]
    return armed.send(
        armed.slack.press(direct["ts"], f"janitor:{word}", user=user, channel=direct["channel"])
    )


def test_keep_in_the_direct_message_counts_and_both_messages_say_so(armed: Deployment) -> None:
    idle_endpoints(armed.session, armed.box, "fraud")
    armed.sweep()

    press(armed, "keep", OWNER)

    (hold,) = armed.table()["hold"]
    assert hold["how"] == "kept"
    for message in (only(armed), only(armed, OWNER)):
        assert said(message) == f"*Kept for good* by Maria Lopez on {PRESSED}."
        assert buttons(message) == []
    assert armed.slack.responses() == []


def test_a_press_in_the_channel_changes_the_direct_message_too(armed: Deployment) -> None:
    idle_endpoints(armed.session, armed.box, "fraud")
    armed.sweep()

    armed.press("snooze", MEMBER)

    assert said(only(armed, OWNER)) == said(only(armed))
    assert said(only(armed, OWNER)).startswith("*Snoozed until")


def test_a_direct_message_of_another_finding_does_not_count(armed: Deployment) -> None:
    idle_endpoints(armed.session, armed.box, "a", "b")
    armed.sweep()
    _, first, second = armed.slack.direct_messages(OWNER)
    value = second["blocks"][-1]["elements"][0]["value"]
    signed = armed.slack.press(first["ts"], "janitor:keep", user=OWNER, channel=first["channel"])
    body = signed.body.decode().replace(
        first["blocks"][-1]["elements"][0]["value"].split()[-1], value.split()[-1]
    )

    armed.send(sign(body.encode(), armed.now))

    assert "hold" not in armed.table()
    assert "there is a newer message about it" in armed.slack.responses()[-1]["text"]


# --- what becomes of them --------------------------------------------------------------------------


def test_both_messages_say_that_a_warning_is_void_even_if_that_is_late(armed: Deployment) -> None:
    idle_endpoints(armed.session, armed.box, "fraud")
    armed.sweep()
    armed.settings(ARMED.replace('mode = "act"', 'mode = "dry-run"'))
    armed.slack.fault("error", method="chat.update", code="account_inactive")
    with pytest.raises(RunFailedError, match="does not say that it is void"):
        armed.sweep()
    assert buttons(only(armed, OWNER)) == ["keep", "snooze", "now"]
    armed.later(HOUR)

    armed.sweep()

    for message in (only(armed), only(armed, OWNER)):
        assert said(message).startswith("*This warning counts no more:*")
        assert buttons(message) == []


def test_an_owner_who_left_does_not_stop_the_messages_of_the_others(armed: Deployment) -> None:
    """Slack then refuses to change the direct message, every time."""
    idle_endpoints(armed.session, armed.box, "fraud")
    armed.sweep()
    armed.slack.fault("error", method="chat.update", code="channel_not_found", skip=1, times=0)
    armed.later(HOUR)

    days_pass(armed, 3)

    assert not exists(armed.session, "fraud")
    assert said(only(armed)).startswith("*Deleted on")
