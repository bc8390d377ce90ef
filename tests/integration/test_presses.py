"""Presses on the buttons in Slack: signed requests in, and what they change, or why they change nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from urllib.parse import parse_qs

import boto3
import pytest

from conftest import ACCOUNT, NOW, REGION, once
from lambdas import idle_endpoints, reports
from ml_janitor import handlers
from ml_janitor.config.values import InvalidInputError
from ml_janitor.ledger.limits import Leases, LeaseTakenError
from ml_janitor.ledger.table import Table
from ml_janitor.slack.client import UNFINISHED_REPLY, SenderClock
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import WORKER
from ml_janitor_sandbox.slack import Signed, form, sign
from slackside import (
    ARMED,
    EMAILS,
    GROUP,
    MEMBER,
    NAMES,
    OWNER,
    STRANGER,
    Deployment,
    buttons,
    said,
    unused,
)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PRESSED = "Tue 6 Oct 05:00 (Europe/Berlin)"


@pytest.fixture
def warned(armed: Deployment, log: StringIO) -> Deployment:  # noqa: ARG001
    """One idle endpoint of Maria's, warned about."""

    def warn() -> None:
        idle_endpoints(armed.session, armed.box, "fraud", owner=EMAILS[OWNER])
        armed.sweep()

    once(armed.box, "a warned endpoint", warn)
    armed.box.clear_calls()
    return armed


def only(deployment: Deployment) -> dict[str, Any]:
    (message,) = deployment.slack.messages()
    return message


def state(deployment: Deployment) -> tuple[Any, ...]:
    """Everything that a refused press must leave as it is."""
    slack = deployment.slack
    handed = [one for one in deployment.box.invocations() if one["function"] != WORKER]
    return deployment.table(), slack.messages(), slack.files(), handed


# --- what is said ----------------------------------------------------------------------------------


@pytest.mark.parametrize("who", [OWNER, MEMBER])
def test_keep_holds_it_for_good_and_the_message_says_who_did(warned: Deployment, who: str) -> None:
    answer = warned.press("keep", who)

    assert answer == {"statusCode": 200, "body": ""}
    (hold,) = warned.table()["hold"]
    assert (hold["how"], hold["by"], hold["until"]) == ("kept", f"{NAMES[who]} ({who})", None)
    message = only(warned)
    assert said(message) == f"*Kept for good* by {NAMES[who]} on {PRESSED}."
    assert (message["edited"], buttons(message)) == (True, [])
    assert "No request in 7 days" in str(message)
    assert warned.slack.responses() == []
    warned.later(4 * DAY)
    (swept,) = warned.sweep()["sweeps"]
    assert (swept["found"], swept["kept"]) == (0, 1)
    assert said(only(warned)) == f"*Kept for good* by {NAMES[who]} on {PRESSED}."


def test_snooze_holds_it_for_a_week_after_which_there_is_a_new_warning(warned: Deployment) -> None:
    warned.press("snooze", OWNER)

    (hold,) = warned.table()["hold"]
    assert (hold["how"], hold["until"]) == ("snoozed", "2026-10-13T03:00:00Z")
    message = only(warned)
    assert said(message) == (
        f"*Snoozed until Tue 13 Oct 05:00* by Maria Lopez on {PRESSED}. "
        "If it is still waste then, there will be a new warning."
    )
    assert buttons(message) == ["keep"]
    warned.later(6 * DAY)
    warned.sweep()
    assert len(warned.slack.messages()) == 1
    warned.later(2 * DAY)
    unused(warned, "fraud")
    warned.sweep()
    assert len(warned.slack.messages()) == 2
    assert buttons(warned.slack.messages()[1]) == ["keep", "snooze", "now"]


def test_keep_tonight_holds_it_until_working_hours_begin_again(notebook: Deployment) -> None:
    """On a Friday evening, that is the whole weekend."""
    notebook.settings(ARMED + 'stop_outside_hours = ["ch*"]\n')
    notebook.later(datetime(2026, 10, 9, 16, 30, tzinfo=UTC) - notebook.now)
    log = ("/aws/sagemaker/NotebookInstances", "churn/jupyter.log")
    notebook.box.logs(*log, [(notebook.now - HOUR, "Saving /eda.ipynb")])
    notebook.sweep("idle-notebooks")
    message = notebook.slack.messages()[-1]
    assert said(message) == (
        "*Will be stopped after Fri 9 Oct 20:00 (Europe/Berlin), once it is quiet,* unless somebody keeps it."
    )
    assert buttons(message) == ["keep-tonight", "keep", "snooze"]

    notebook.press("keep-tonight", OWNER)

    (hold,) = notebook.table()["hold"]
    assert (hold["how"], hold["until"]) == ("snoozed", "2026-10-12T06:00:00Z")
    assert "*Snoozed until Mon 12 Oct 08:00* by Maria Lopez on " in said(notebook.slack.messages()[-1])
    for hours in (4, 24, 24):
        notebook.later(hours * HOUR)
        (swept,) = notebook.sweep("idle-notebooks")["sweeps"]
        assert swept["kept"] == 1
    assert notebook.notebook_status == "InService"


def test_now_makes_it_due_and_runs_the_detectors_own_function(warned: Deployment) -> None:
    warned.press("now", MEMBER, deliver=False)
    (handed,) = warned.box.invocations()

    handlers.pressed(handed["event"], warned.context())

    (before,), (asked,) = warned.table()["finding"], warned.table()["request"]
    assert (asked["what"], asked["key"], asked["at"]) == ("due", before["key"], "2026-10-06T03:00:30Z")
    assert warned.box.invocations()[1:] == [
        {"function": "ml-janitor-idle-endpoints", "event": {"account": ACCOUNT, "regions": [REGION]}}
    ]
    assert said(only(warned)) == (
        f"*Do it now*, said Dina Okafor on {PRESSED}. It is looked at once more, and deleted in the next "
        "minutes if it is still waste."
    )
    assert buttons(only(warned)) == ["keep", "snooze"]


def test_now_while_a_sweep_is_at_work_waits_for_its_turn(
    notebook: Deployment, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was lost until the next schedule, although its message says "in the next minutes"."""
    where = ("idle-notebooks", ACCOUNT, REGION)
    Leases(table).take(*where, holder="sweep", now=notebook.now, until=notebook.now + HOUR)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        assert notebook.notebook_status == "InService"
        if len(slept) == 2:
            Leases(table).release(*where, holder="sweep")

    monkeypatch.setattr(handlers, "slack_time", lambda: SenderClock(clock=lambda: 0.0, sleep=sleep))

    notebook.press("now", MEMBER)

    assert (slept, notebook.notebook_status) == ([15.0, 15.0], "Stopped")


def test_keep_after_now_still_counts(warned: Deployment) -> None:
    warned.press("now", MEMBER, deliver=False)
    handlers.pressed(warned.box.invocations()[0]["event"], warned.context())
    warned.delivered = 1
    warned.press("keep", OWNER, deliver=False)
    handlers.pressed(warned.box.invocations()[2]["event"], warned.context())

    warned.delivered = 1
    warned.run(**warned.box.invocations()[1])

    assert "action" not in warned.table()
    assert warned.session.client("sagemaker").describe_endpoint(EndpointName="fraud")
    assert said(only(warned)) == f"*Kept for good* by Maria Lopez on {PRESSED}."


# --- from warning to undo --------------------------------------------------------------------------


def test_do_it_now_stops_it_at_once_and_undo_starts_it_again(notebook: Deployment) -> None:
    assert notebook.notebook_status == "InService"

    notebook.press("now", MEMBER)

    assert notebook.notebook_status == "Stopped"
    message = only(notebook)
    assert said(message) == (
        "*Stopped on Tue 6 Oct 05:00*, because Dina Okafor pressed Do it now. "
        "It can be undone until Thu 5 Nov 04:00 (Europe/Berlin)."
    )
    assert buttons(message) == ["undo"]

    notebook.press("undo", MEMBER)

    assert notebook.notebook_status == "InService"
    message = only(notebook)
    assert said(message) == (
        "*Stopped on Tue 6 Oct 05:00*, because Dina Okafor pressed Do it now. "
        "*Brought back on Tue 6 Oct 05:00* for Dina Okafor. "
        "It is left alone until Tue 13 Oct 05:00 (Europe/Berlin)."
    )
    assert buttons(message) == []
    assert notebook.slack.responses() == []
    (action,) = notebook.table()["action"]
    assert (action["stage"], action["told"]) == ("undone", "undone 2")


def test_what_nobody_keeps_is_done_when_it_is_due_and_its_message_says_so(notebook: Deployment) -> None:
    notebook.later(DAY + 8 * HOUR)  # it is only likely to be idle: due in working hours
    notebook.sweep("idle-notebooks")

    assert notebook.notebook_status == "Stopped"
    assert said(only(notebook)) == (
        "*Stopped on Wed 7 Oct 13:00*, because nobody kept it. "
        "It can be undone until Fri 6 Nov 12:00 (Europe/Berlin)."
    )


def test_a_message_that_could_not_be_changed_is_changed_by_the_next_sweep(notebook: Deployment) -> None:
    notebook.slack.fault("error", method="chat.update", code="account_inactive", times=2)
    notebook.press("now", MEMBER, deliver=False)
    handlers.pressed(notebook.box.invocations()[0]["event"], notebook.context())
    (answer,) = notebook.slack.responses()
    assert answer["text"].startswith("Done, but the message could not be changed: Slack refused")
    with pytest.raises(Exception, match="a warning's message does not say what became of it"):
        notebook.sweep("idle-notebooks")
    assert notebook.notebook_status == "Stopped"
    assert buttons(only(notebook)) == ["keep", "snooze", "now"]

    notebook.later(HOUR)
    notebook.sweep("idle-notebooks")

    assert said(only(notebook)).startswith("*Stopped on Tue 6 Oct 05:00*, because Dina")


def test_an_undo_that_fails_says_so_and_can_be_pressed_again(notebook: Deployment) -> None:
    notebook.press("now", MEMBER)
    notebook.box.fault("sagemaker", "StartNotebookInstance", "deny", times=0)
    with pytest.raises(Exception, match="could not be brought back"):
        notebook.press("undo", MEMBER)
    assert "*Could not be brought back* on Tue 6 Oct 05:00" in said(only(notebook))
    assert buttons(only(notebook)) == ["undo"]
    notebook.box.clear_faults()
    notebook.later(timedelta(minutes=1))

    notebook.press("undo", MEMBER)

    assert notebook.notebook_status == "InService"


def test_an_undo_that_never_began_is_not_lost(notebook: Deployment, table: Table) -> None:
    """A sweep held the lease for as long as the undo function and its retry could wait."""
    notebook.press("now", MEMBER)
    notebook.later(timedelta(minutes=20))
    where = ("idle-notebooks", ACCOUNT, REGION)
    Leases(table).take(*where, holder="sweep", now=notebook.now, until=notebook.now + HOUR)
    notebook.press("undo", MEMBER, deliver=False)
    notebook.run(WORKER, notebook.box.invocations()[-1]["event"])
    handed = notebook.box.invocations()[-1]
    for _ in range(2):
        context = notebook.context()
        context.milliseconds = iter([900_000] * 4 + [170_000] * 50)
        with pytest.raises(LeaseTakenError):
            handlers.undo(handed["event"], context)
    notebook.delivered = len(notebook.box.invocations())
    asked = (
        "*Stopped on Tue 6 Oct 05:00*, because Dina Okafor pressed Do it now. "
        "*Undo*, said Dina Okafor on Tue 6 Oct 05:20 (Europe/Berlin): it is being brought back."
    )
    assert (notebook.notebook_status, said(only(notebook)), buttons(only(notebook))) == ("Stopped", asked, [])
    Leases(table).release(*where, holder="sweep")
    notebook.later(HOUR)

    notebook.sweep("idle-notebooks")

    assert said(only(notebook)) == asked
    *_, report = reports(notebook.session).values()
    assert "asked back by Dina Okafor, and gone on with now" in report
    notebook.deliver()
    assert notebook.notebook_status == "InService"
    assert "*Brought back on Tue 6 Oct 06:20* for Dina Okafor." in said(only(notebook))


def test_an_undo_that_could_not_be_handed_on_is_not_lost_either(notebook: Deployment) -> None:
    notebook.press("now", MEMBER)
    notebook.press("undo", MEMBER, deliver=False)
    worker = notebook.box.invocations()[-1]
    notebook.delivered += 1
    notebook.box.fault("lambda", "Invoke", "deny", times=0)
    for _ in range(2):
        with pytest.raises(Exception, match="AccessDenied"):
            notebook.run(WORKER, worker["event"])
    assert [answer["text"] for answer in notebook.slack.responses()] == [UNFINISHED_REPLY, UNFINISHED_REPLY]
    notebook.box.clear_faults()

    notebook.sweep("idle-notebooks")
    notebook.deliver()

    assert notebook.notebook_status == "InService"
    (action,) = notebook.table()["action"]
    assert (action["stage"], action["undone_by"]) == ("undone", f"Dina Okafor ({MEMBER})")


def test_an_undo_that_was_done_elsewhere_is_told_in_the_message(notebook: Deployment) -> None:
    notebook.press("now", MEMBER)
    event = {"detector": "idle-notebooks", "region": REGION, "by": "ops"}
    finding = next(
        block["elements"][0]["value"].split()[-1]
        for block in only(notebook)["blocks"]
        if block["type"] == "actions"
    )
    assert handlers.undo(event | {"finding": finding}, notebook.context())["done"] is True
    assert "*Brought back on Tue 6 Oct 05:00* for ops." in said(only(notebook))

    again = handlers.undo(event | {"finding": finding}, notebook.context())
    assert (again["done"], again["why"]) == (False, "churn was brought back before, by ops")


# --- once ------------------------------------------------------------------------------------------


def test_the_same_request_twice_has_no_second_effect(warned: Deployment) -> None:
    signed = warned.signed("keep", MEMBER)
    warned.send(signed, deliver=False)
    first = handlers.pressed(warned.box.invocations()[0]["event"], warned.context())
    before = state(warned)

    warned.later(timedelta(minutes=2))
    warned.send(signed, deliver=False)
    warned.slack.fault("error", method="chat.update", code="ratelimited", times=0)
    again = handlers.pressed(warned.box.invocations()[-1]["event"], warned.context())

    assert (again, state(warned), warned.slack.responses()) == (first, before, [])


# --- what is refused -------------------------------------------------------------------------------


def edited(signed: Signed, change: Callable[[dict[str, Any]], None]) -> Signed:
    """The request of a press, changed and signed again: what only Slack itself could send."""
    payload = json.loads(parse_qs(signed.body.decode())["payload"][0])
    change(payload)
    return sign(form(payload), NOW)


def test_what_slack_did_not_sign_goes_no_further(warned: Deployment) -> None:
    forged = sign(warned.signed("keep", OWNER).body, NOW, "guessed")
    before = state(warned)

    assert warned.send(forged) == {"statusCode": 401, "body": ""}

    assert state(warned) == before
    assert warned.box.invocations() == []


def left_the_company(deployment: Deployment) -> None:
    for user in (OWNER, MEMBER):
        deployment.slack.add_user(user, EMAILS[user], deleted=True)


def groupless(deployment: Deployment) -> None:
    deployment.settings(ARMED.replace(GROUP, "S0NOBODY"))


@pytest.mark.parametrize(
    ("user", "world", "says"),
    [
        (STRANGER, lambda _: None, "only members of the janitor's user group"),
        (MEMBER, left_the_company, "only people of this workspace may press that"),
        (
            MEMBER,
            groupless,
            (
                "Slack did not say who you are, so nothing was done (Slack refused usergroups.users.list: "
                "no_such_subteam; copy the id of the user group (S...) from its menu in Slack to slack_group"
            ),
        ),
    ],
)
def test_what_may_not_be_said_changes_nothing_and_is_explained_to_whoever_said_it(
    warned: Deployment, log: StringIO, user: str, world: Callable[[Deployment], None], says: str
) -> None:
    signed = warned.signed("now", user)
    world(warned)
    before = state(warned)

    assert warned.send(signed)["statusCode"] == 200

    assert state(warned) == before
    (answer,) = warned.slack.responses()
    assert answer["text"].startswith("Nothing was changed: ")
    assert says in answer["text"]
    assert (answer["response_type"], answer["replace_original"]) == ("ephemeral", False)
    line = json.loads(log.getvalue().splitlines()[-1])
    assert (line["message"], line["level"], line["user"]) == ("a press was refused", "WARNING", user)
    assert "/slack/actions/" not in log.getvalue()


def test_a_stranger_with_the_id_of_a_member_is_not_taken_for_them(warned: Deployment) -> None:
    """Ids of people are unique within a workspace only, and a channel may be shared with another."""
    signed = edited(warned.signed("now", MEMBER), lambda payload: payload["user"].update(team_id="T0OTHER"))
    before = state(warned)

    warned.send(signed)

    assert state(warned) == before
    (answer,) = warned.slack.responses()
    assert answer["text"] == "Nothing was changed: only people of this workspace may press that."


def test_an_answer_goes_to_slack_or_nowhere(warned: Deployment) -> None:
    elsewhere = "https://hooks.slack.com.evil.example/x"
    signed = edited(warned.signed("now", OWNER), lambda payload: payload.update(response_url=elsewhere))
    before = state(warned)

    assert warned.send(signed)["statusCode"] == 200

    assert state(warned) == before
    assert warned.slack.responses() == []


# --- the worker by itself --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"user": "U1"},
        {"user": "maria", "channel": "C1", "message": "1.1", "action": "a", "value": "v", "at": "1.1"},
        {"user": "U1", "channel": "C1", "message": "now", "action": "a", "value": "v", "at": "1.1"},
        {"user": "U1", "channel": "C1", "message": "1.1", "action": "a", "value": "v" * 2001, "at": "1.1"},
    ],
)
def test_the_worker_takes_presses_and_nothing_else(warned: Deployment, wrong: dict[str, str]) -> None:
    before = state(warned)
    with pytest.raises(InvalidInputError, match="the event makes no sense"):
        handlers.pressed(wrong, warned.context())
    assert state(warned) == before


def test_a_press_that_cannot_be_handed_on_is_not_acknowledged(warned: Deployment, box: Control) -> None:
    box.fault("lambda", "Invoke*", "throttle", times=0)
    assert warned.press("keep", OWNER) == {"statusCode": 503, "body": ""}


def test_without_the_signing_secret_nothing_is_acknowledged(
    warned: Deployment, session: boto3.Session
) -> None:
    session.client("secretsmanager").delete_secret(
        SecretId="ml-janitor/slack-signing", ForceDeleteWithoutRecovery=True
    )
    assert warned.press("keep", OWNER)["statusCode"] == 503
    assert "hold" not in warned.table()
