"""Presses on the buttons in Slack: signed requests in, and what they change, or why they change nothing."""

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest

from conftest import ACCOUNT, REGION, once
from ml_janitor import handlers
from ml_janitor.acting.undoing import CannotUndoError
from ml_janitor.config import events
from ml_janitor.ledger.actions import Actions, Stage
from ml_janitor.ledger.limits import Leases, LeaseTakenError
from ml_janitor.ledger.table import Table
from ml_janitor.slack.client import SenderClock
from ml_janitor_sandbox.deployment import UNDO, WORKER
from standin import (
    ARMED_TOML,
    EMAILS,
    MEMBER,
    NAMES,
    OWNER,
    STRANGER,
    Deployment,
    buttons,
    idle_endpoints,
    reports,
    said,
)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PRESSED = "Tue 6 Oct 05:00 (Europe/Berlin)"
UNTIL = "2027-04-04T03:00:00Z"
KEPT = (
    f"*Kept until Sun 4 Apr 05:00* by {{}} on {PRESSED}. "
    "If it is still waste then, there will be a new warning."
)


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


def test_keep_holds_it_for_half_a_year_and_the_message_says_who_did(warned: Deployment) -> None:
    assert warned.press("keep", OWNER) == {"statusCode": 200, "body": ""}
    (hold,) = warned.table()["hold"]
    assert (hold["how"], hold["by"], hold["until"]) == ("kept", f"{NAMES[OWNER]} ({OWNER})", UNTIL)
    message = only(warned)
    assert said(message) == KEPT.format(NAMES[OWNER])
    assert (message["edited"], buttons(message)) == (True, [])
    assert "No request in 7 days" in str(message)
    assert warned.slack.responses() == []
    warned.later(4 * DAY)
    (swept,) = warned.sweep()["sweeps"]
    assert (swept["found"], swept["kept"]) == (0, 1)
    assert said(only(warned)) == KEPT.format(NAMES[OWNER])


def test_keep_tonight_holds_it_until_working_hours_begin_again(notebook: Deployment) -> None:
    """On a Friday evening, that is the whole weekend."""
    notebook.settings(ARMED_TOML + 'stop_outside_hours = ["ch*"]\n')
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


@pytest.fixture
def stuck(notebook: Deployment) -> Deployment:
    """A notebook whose undo was refused once."""
    notebook.press("now", MEMBER)
    notebook.box.fault("sagemaker", "StartNotebookInstance", "deny", times=0)
    with pytest.raises(CannotUndoError):
        notebook.press("undo", MEMBER)
    notebook.box.clear_faults()
    return notebook


def handed(deployment: Deployment) -> list[dict[str, Any]]:
    """What the undo function was asked for since the press."""
    return [one["event"] for one in deployment.box.invocations()[deployment.delivered :]]


def test_the_undo_function_is_asked_again_and_its_message_says_so(stuck: Deployment, table: Table) -> None:
    assert said(stuck.warnings()[-1]).endswith("The next sweep goes on with it.")

    stuck.later(timedelta(minutes=5))
    stuck.sweep("idle-notebooks")
    stuck.sweep("idle-notebooks")

    first, second = handed(stuck)
    asked = events.check_event(first, events.UndoEvent)
    assert (asked.asked["by"], asked.again, first) == ("Dina Okafor (U0DINA)", True, second)
    stuck.deliver()
    (action,) = Actions(table).all("idle-notebooks", ACCOUNT, REGION)
    assert (action.stage, action.undone_by, action.attempts) == (Stage.UNDONE, asked.asked["by"], 3)
    assert stuck.notebook_status == "InService"
    assert stuck.box.invocations()[-1]["function"] == UNDO
    assert "*Brought back on Tue 6 Oct 05:05* for Dina" in said(stuck.warnings()[-1])


# --- what is refused -------------------------------------------------------------------------------


def test_what_may_not_be_said_changes_nothing_and_is_explained_to_whoever_said_it(
    warned: Deployment, log: StringIO
) -> None:
    before = state(warned)

    assert warned.send(warned.signed("now", STRANGER))["statusCode"] == 200

    assert state(warned) == before
    (answer,) = warned.slack.responses()
    assert answer["text"].startswith("Nothing was changed: only members of the janitor's user group")
    assert (answer["response_type"], answer["replace_original"]) == ("ephemeral", False)
    line = json.loads(log.getvalue().splitlines()[-1])
    assert (line["message"], line["level"], line["user"]) == ("a press was refused", "WARNING", STRANGER)
    assert "/slack/actions/" not in log.getvalue()
