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
from ml_janitor.config.events import MalformedEventError
from ml_janitor.ledger.findings import Ledger
from ml_janitor.ledger.leases import Leases, LeaseTakenError
from ml_janitor.ledger.table import Table
from ml_janitor.slack.membership import Directory
from ml_janitor.slack.sender import Time
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import UNDO, WORKER
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
DUE = "Fri 9 Oct 05:10 (Europe/Berlin)"
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
    assert status(notebook) == "InService"


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
        assert status(notebook) == "InService"
        if len(slept) == 2:
            Leases(table).release(*where, holder="sweep")

    monkeypatch.setattr(handlers, "seconds", lambda: Time(clock=lambda: 0.0, sleep=sleep))

    notebook.press("now", MEMBER)

    assert (slept, status(notebook)) == ([15.0, 15.0], "Stopped")


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


def status(deployment: Deployment) -> str:
    sagemaker = deployment.session.client("sagemaker")
    return str(sagemaker.describe_notebook_instance(NotebookInstanceName="churn")["NotebookInstanceStatus"])


def test_do_it_now_stops_it_at_once_and_undo_starts_it_again(notebook: Deployment) -> None:
    assert status(notebook) == "InService"

    notebook.press("now", MEMBER)

    assert status(notebook) == "Stopped"
    message = only(notebook)
    assert said(message) == (
        "*Stopped on Tue 6 Oct 05:00*, because Dina Okafor pressed Do it now. "
        "It can be undone until Thu 5 Nov 04:00 (Europe/Berlin)."
    )
    assert buttons(message) == ["undo"]

    notebook.press("undo", MEMBER)

    assert status(notebook) == "InService"
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

    assert status(notebook) == "Stopped"
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
    assert status(notebook) == "Stopped"
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

    assert status(notebook) == "InService"


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
    assert (status(notebook), said(only(notebook)), buttons(only(notebook))) == ("Stopped", asked, [])
    Leases(table).release(*where, holder="sweep")
    notebook.later(HOUR)

    notebook.sweep("idle-notebooks")

    assert said(only(notebook)) == asked
    *_, report = reports(notebook.session).values()
    assert "asked back by Dina Okafor, and gone on with now" in report
    notebook.deliver()
    assert status(notebook) == "InService"
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
    notebook.box.clear_faults()

    notebook.sweep("idle-notebooks")
    notebook.deliver()

    assert status(notebook) == "InService"
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


@pytest.mark.parametrize("word", ["keep", "snooze", "now"])
def test_the_same_request_twice_has_no_second_effect(warned: Deployment, word: str) -> None:
    signed = warned.signed(word, MEMBER)
    warned.send(signed, deliver=False)
    handlers.pressed(warned.box.invocations()[0]["event"], warned.context())
    before = state(warned)

    warned.later(timedelta(minutes=2))
    warned.send(signed, deliver=False)
    handlers.pressed(warned.box.invocations()[-1]["event"], warned.context())

    assert state(warned) == before


def test_an_undo_that_is_delivered_twice_is_done_once(notebook: Deployment) -> None:
    notebook.press("now", MEMBER)
    notebook.press("undo", MEMBER, deliver=False)
    worker = notebook.box.invocations()[-1]["event"]
    for _ in range(2):
        handlers.pressed(worker, notebook.context())
    assert [one["function"] for one in notebook.box.invocations()].count(UNDO) == 1
    notebook.deliver()
    notebook.session.client("sagemaker").stop_notebook_instance(NotebookInstanceName="churn")
    before = state(notebook)

    handlers.pressed(worker, notebook.context())
    notebook.run(**next(one for one in notebook.box.invocations() if one["function"] == UNDO))

    assert status(notebook) == "Stopped"
    assert state(notebook) == before


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


def closed(deployment: Deployment, table: Table) -> None:
    ledger = Ledger(table)
    (entry,) = ledger.entries("idle-endpoints", ACCOUNT, REGION)
    ledger.close(entry, "cleaned up", NOW)
    assert deployment


def voided(deployment: Deployment, table: Table) -> None:
    ledger = Ledger(table)
    (entry,) = ledger.entries("idle-endpoints", ACCOUNT, REGION)
    ledger.void_warning(entry, "it is only reported now")
    assert deployment


def moved(deployment: Deployment, table: Table) -> None:
    (item,) = deployment.table()["finding"]
    table.change(item["pk"], item["sk"], set_to={"message": "1.000001"})


def left_the_company(deployment: Deployment, table: Table) -> None:
    assert table
    for user in (OWNER, MEMBER):
        deployment.slack.add_user(user, EMAILS[user], deleted=True)


def as_it_is(deployment: Deployment, table: Table) -> None:
    assert deployment
    assert table


def disarmed(deployment: Deployment, table: Table) -> None:
    deployment.settings(ARMED.replace('mode = "act"', 'mode = "dry-run"'))
    assert table


def groupless(deployment: Deployment, table: Table) -> None:
    deployment.settings(ARMED.replace(GROUP, "S0NOBODY"))
    assert table


@pytest.mark.parametrize(
    ("word", "user", "world", "says"),
    [
        ("keep", STRANGER, as_it_is, "only its owner and members of the janitor's user group"),
        ("now", STRANGER, as_it_is, "only members of the janitor's user group"),
        ("now", MEMBER, closed, "this warning is over: cleaned up"),
        ("keep", OWNER, voided, "this warning is void"),
        ("now", MEMBER, moved, "there is a newer message about it"),
        ("now", MEMBER, left_the_company, "only people of this workspace may press that"),
        ("now", MEMBER, disarmed, "idle-endpoints is a dry run, which does nothing"),
        (
            "now",
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
    warned: Deployment,
    table: Table,
    log: StringIO,
    *,
    word: str,
    user: str,
    world: Callable[[Deployment, Table], None],
    says: str,
) -> None:
    signed = warned.signed(word, user)
    world(warned, table)
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


def test_an_owner_keeps_what_is_theirs_whatever_became_of_the_group(warned: Deployment) -> None:
    """Somebody deletes the group, or its scope: who says *keep* must not need it."""
    warned.settings(ARMED.replace(GROUP, "S0NOBODY"))

    warned.press("keep", OWNER)

    (hold,) = warned.table()["hold"]
    assert (hold["how"], hold["by"]) == ("kept", f"Maria Lopez ({OWNER})")
    assert warned.slack.responses() == []


def test_a_stranger_with_the_id_of_a_member_is_not_taken_for_them(warned: Deployment) -> None:
    """Ids of people are unique within a workspace only, and a channel may be shared with another."""
    signed = edited(warned.signed("now", MEMBER), lambda payload: payload["user"].update(team_id="T0OTHER"))
    before = state(warned)

    warned.send(signed)

    assert state(warned) == before
    (answer,) = warned.slack.responses()
    assert answer["text"] == "Nothing was changed: only people of this workspace may press that."


def test_of_two_who_press_undo_at_once_one_is_told_that_the_other_did(
    notebook: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second broke off, was tried again, and raised an alarm."""
    notebook.press("now", MEMBER)
    signed = notebook.signed("undo", MEMBER)
    later = edited(signed, lambda payload: payload["actions"][0].update(action_ts="1791255601.5"))
    for each in (signed, later):
        notebook.send(each, deliver=False)
    first, second = (one["event"] for one in notebook.box.invocations()[-2:])
    notebook.delivered += 2
    members, waiting = Directory.members, [first]

    def meanwhile(directory: Directory, group: str) -> frozenset[str]:
        if waiting:
            notebook.run(WORKER, waiting.pop())
        return members(directory, group)

    monkeypatch.setattr(Directory, "members", meanwhile)

    assert notebook.run(WORKER, second)["done"] is False

    (answer,) = notebook.slack.responses()
    assert answer["text"] == "Nothing was changed: somebody else asked for that a moment ago."
    assert [one["function"] for one in notebook.box.invocations()].count(UNDO) == 1
    notebook.deliver()
    assert status(notebook) == "InService"


def test_an_undo_that_never_began_is_asked_for_again_by_the_next_sweep(notebook: Deployment) -> None:
    """The press is remembered although whoever hears it may not write the action."""
    notebook.press("now", MEMBER)
    notebook.press("undo", MEMBER, deliver=False)
    notebook.run(WORKER, notebook.box.invocations()[-1]["event"])
    assert notebook.box.invocations()[-1]["function"] == UNDO
    (acted,) = notebook.table()["action"]
    notebook.delivered = len(notebook.box.invocations())  # it is lost

    notebook.later(HOUR)
    notebook.sweep("idle-notebooks")
    (asked,) = notebook.table()["action"]
    notebook.deliver()

    assert (acted["stage"], asked["stage"]) == ("acted", "undoing")
    assert (asked["undone_by"], asked["asked_at"]) == (f"Dina Okafor ({MEMBER})", "2026-10-06T03:00:30Z")
    assert status(notebook) == "InService"


def test_an_address_that_the_workspace_does_not_vouch_for_owns_nothing(warned: Deployment) -> None:
    warned.slack.add_user("U0FAKE", EMAILS[OWNER], name="Maria Lopez", confirmed=False)
    signed = warned.signed("keep", "U0FAKE")
    before = state(warned)

    warned.send(signed)

    assert state(warned) == before
    assert "Nothing was changed: only " in warned.slack.responses()[0]["text"]


def test_a_member_of_the_group_from_another_workspace_may_nothing(warned: Deployment) -> None:
    warned.slack.add_user("U0FAR", "far@else.example", team="T0OTHER")
    warned.slack.add_usergroup(GROUP, "ml-janitors", MEMBER, "U0FAR")
    signed = warned.signed("now", "U0FAR")
    before = state(warned)

    warned.send(signed)

    assert state(warned) == before


@pytest.mark.parametrize(
    "change",
    [
        {"value": "idle-endpoints 123456789012 us-east-1 0123456789"},
        {"value": "idle-hands 123456789012 us-east-1 0123456789"},
        {"value": "idle-endpoints 999999999999 us-east-1 0123456789"},
        {"value": "../../etc"},
        {"value": "x" * 2000},
        {"action_id": "janitor:burn"},
        {"action_id": "approve"},
        {"action_ts": "1791240000.5"},
    ],
)
def test_a_button_that_is_not_ours_is_refused(warned: Deployment, change: dict[str, str]) -> None:
    signed = edited(warned.signed("now", MEMBER), lambda payload: payload["actions"][0].update(change))
    before = state(warned)

    warned.send(signed)

    assert state(warned) == before
    assert len(warned.slack.responses()) == 1


def test_undo_is_refused_where_there_is_nothing_to_undo_or_nobody_to_say_it(notebook: Deployment) -> None:
    notebook.press("now", MEMBER)
    strangers, owners = notebook.signed("undo", STRANGER), notebook.signed("undo", OWNER)
    theirs = notebook.signed("undo", MEMBER)
    before = state(notebook)
    for signed in (strangers, owners):
        notebook.send(signed)
        assert state(notebook) == before
    notebook.send(theirs)
    before = state(notebook)
    later = notebook.slack.responses()

    notebook.send(edited(theirs, lambda payload: payload["actions"][0].update(action_ts="1791255609.5")))

    assert state(notebook) == before
    assert len(later) == 2
    assert "was brought back before, by Dina Okafor" in notebook.slack.responses()[-1]["text"]


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
    with pytest.raises(MalformedEventError, match="the event makes no sense"):
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


def test_keep_that_is_delivered_twice_changes_its_message_once(warned: Deployment) -> None:
    warned.press("keep", OWNER, deliver=False)
    event = warned.box.invocations()[-1]["event"]
    answers = [handlers.pressed(event, warned.context())]
    warned.slack.fault("error", method="chat.update", code="ratelimited", times=0)

    answers.append(handlers.pressed(event, warned.context()))

    assert answers[0] == answers[1]
    assert warned.slack.responses() == []
