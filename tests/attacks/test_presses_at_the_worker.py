"""
A press counts only as Slack signed it, where it is carried out, while it is young, and once.

The attacker may invoke the function of Slack's worker, and knows people, messages and buttons.
"""

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest

from conftest import ACCOUNT, REGION
from ml_janitor import handlers
from ml_janitor.config.values import InvalidInputError
from ml_janitor.core.model import finding_id
from ml_janitor.engine.run import RunFailedError
from ml_janitor.ledger.table import Table
from ml_janitor_sandbox.slack import sign
from standin import MEMBER, STRANGER, Deployment, buttons


def handed_on(deployment: Deployment, word: str, user: str = MEMBER) -> dict[str, Any]:
    """Return the event of a press that the receiver has handed on, and Lambda has not delivered yet."""
    assert deployment.press(word, user, deliver=False)["statusCode"] == 200
    deployment.delivered += 1
    event: dict[str, Any] = deployment.box.invocations()[-1]["event"]
    return event


def assert_refused(deployment: Deployment, event: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        handlers.pressed(event, deployment.context())
    assert deployment.notebook_status == "InService"
    assert {"request", "hold"}.isdisjoint(deployment.table())
    assert len(deployment.box.invocations()) == deployment.delivered


def test_an_invented_press_is_refused(notebook: Deployment) -> None:
    message = notebook.warnings()[-1]
    (finding,) = notebook.table()["finding"]
    about = ("idle-notebooks", ACCOUNT, REGION, finding_id("idle-notebooks", finding["key"]))
    press = {"user": MEMBER, "team": "T0SANDBOX", "channel": message["channel"], "message": message["ts"]}
    at = f"{notebook.now.timestamp():.6f}"

    for word in buttons(message):
        assert_refused(notebook, {**press, "action": f"janitor:{word}", "value": " ".join(about), "at": at})


def test_a_changed_press_is_refused(notebook: Deployment, log: StringIO) -> None:
    event = handed_on(notebook, "now", STRANGER)
    body = event["body"]
    forged = sign(body.encode(), notebook.now, "another secret of thirty-two char").headers
    for changed in (
        {"body": body.replace(STRANGER, MEMBER)},
        {"body": body.replace("now", "snooze")},
        {"stamp": str(int(event["stamp"]) + 1)},
        {"signature": forged["X-Slack-Signature"]},
        {"signature": ""},
    ):
        assert_refused(notebook, {**event, **changed})
    assert "a press that does not verify was refused" in log.getvalue()


def test_an_old_press_is_refused(notebook: Deployment) -> None:
    event = handed_on(notebook, "now")
    notebook.later(timedelta(minutes=65, seconds=1))

    assert_refused(notebook, event)


def test_a_press_is_done_once_however_often_it_is_delivered(notebook: Deployment) -> None:
    event = handed_on(notebook, "now")
    notebook.later(timedelta(minutes=59))
    first = handlers.pressed(event, notebook.context())
    notebook.deliver()
    assert (first["done"], notebook.notebook_status) == (True, "Stopped"), "a press in time counts"
    notebook.press("undo", MEMBER)
    assert notebook.notebook_status == "InService"
    invoked = len(notebook.box.invocations())

    handlers.pressed(event, notebook.context())
    assert (len(notebook.box.invocations()), notebook.notebook_status) == (invoked, "InService")


def test_a_request_without_a_press_changes_nothing(notebook: Deployment, table: Table) -> None:
    """The attacker may write to the table instead."""
    handlers.pressed(handed_on(notebook, "now"), notebook.context())
    (request,) = notebook.table()["request"]
    notebook.delivered = len(notebook.box.invocations())  # the sweep that was asked for never ran
    for changed in ({"mac": request["mac"][:-4] + "AAA="}, {"by": "Eve"}):
        table.put(request["pk"], request["sk"], {**request, **changed})
        with pytest.raises(RunFailedError, match="churn: the request to make it due is not signed"):
            notebook.sweep("idle-notebooks", account=ACCOUNT, regions=[REGION])
        assert notebook.notebook_status == "InService"

    table.put(request["pk"], request["sk"], request)
    notebook.sweep("idle-notebooks", account=ACCOUNT, regions=[REGION])
    assert notebook.notebook_status == "Stopped", "the request of the press counts"
