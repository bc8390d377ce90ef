"""Direct messages to owners, besides the channel: what they say, what a press in one does, and what fails."""

import json
from typing import Any

import boto3

from conftest import DAY, HOUR
from ml_janitor.ledger.causes import read_causes
from ml_janitor.report.causes import cause_text
from standin import OWNER, Deployment, buttons, idle_endpoints, reports, said, unused
from tables import cases

BOT = "Slack refused conversations.open: cannot_dm_bot; the owner is a bot: name a person in the owner tag"
TWICE, TWICE_AT = "Mon 12 Oct 05:10 (Europe/Berlin)", "2026-10-12T03:10:00Z"


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


# --- who cannot be messaged ------------------------------------------------------------------------


@cases(
    "owner, about, why",
    ("", {}, "no owner tag"),
    ("maria", {}, "no Slack account was found for its owner"),
    ("nobody@acme.example", {}, "no Slack account was found for its owner"),
    ("left@acme.example", {"deleted": True}, "no Slack account was found for its owner"),
    ("bot@acme.example", {"bot": True}, BOT),
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
        unused(armed.box, "fraud", at=armed.now)
        armed.sweep()


def noted(armed: Deployment) -> str:
    """What the newest report says of the one result's outcome."""
    newest = [json.loads(text) for name, text in reports(armed.session).items() if name.endswith(".json")][-1]
    return str(newest)


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
        assert said(message).startswith("*Kept until Sun 4 Apr 05:00* by Maria Lopez on ")
        assert buttons(message) == []
    assert armed.slack.responses() == []
