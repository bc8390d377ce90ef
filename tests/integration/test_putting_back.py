"""The undo function by itself: whose finding, which sweep is in the way, what half-done actions ask of it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from conftest import ACCOUNT, NOW, REGION
from ml_janitor import handlers
from ml_janitor.acting.undos import JANITOR
from ml_janitor.config import events
from ml_janitor.deployment import ask_for_revert
from ml_janitor.ledger.actions import Actions
from ml_janitor.ledger.leases import Leases, LeaseTakenError
from ml_janitor.ledger.table import Table
from ml_janitor.slack.sender import Time
from slackside import MEMBER, Deployment

HOUR = timedelta(hours=1)


@pytest.fixture
def stopped(notebook: Deployment, table: Table) -> tuple[Deployment, dict[str, str]]:
    """A notebook that the janitor stopped, and the event that asks for it back."""
    notebook.press("now", MEMBER)
    (action,) = Actions(table).all("idle-notebooks", ACCOUNT, REGION)
    event = {"detector": "idle-notebooks", "region": REGION, "finding": action.id, "by": "ops"}
    return notebook, event


def status(deployment: Deployment) -> str:
    sagemaker = deployment.session.client("sagemaker")
    return str(sagemaker.describe_notebook_instance(NotebookInstanceName="churn")["NotebookInstanceStatus"])


def test_a_sweep_that_is_under_way_is_waited_for(
    stopped: tuple[Deployment, dict[str, str]], table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment, event = stopped
    where = ("idle-notebooks", ACCOUNT, REGION)
    Leases(table).take(*where, holder="sweep", now=NOW, until=NOW + HOUR)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        assert status(deployment) == "Stopped"
        if len(slept) == 3:
            Leases(table).release(*where, holder="sweep")

    monkeypatch.setattr(handlers, "seconds", lambda: Time(clock=lambda: 0.0, sleep=sleep))

    assert handlers.undo(event, deployment.context())["done"] is True

    assert slept[:3] == [5.0, 5.0, 5.0]
    assert status(deployment) == "InService"
    assert "lease" not in deployment.table()


def test_a_sweep_that_does_not_end_in_time_leaves_it_for_the_retry(
    stopped: tuple[Deployment, dict[str, str]], table: Table
) -> None:
    deployment, event = stopped
    until = NOW + HOUR
    Leases(table).take("idle-notebooks", ACCOUNT, REGION, holder="sweep", now=NOW, until=until)
    context = deployment.context()
    context.milliseconds = iter([900_000, 900_000, 600_000, 300_000, 170_000, 170_000, 170_000, 170_000])

    with pytest.raises(LeaseTakenError):
        handlers.undo(event, context)

    assert status(deployment) == "Stopped"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"account": "999999999999"}, "account 999999999999 is not this one"),
        ({"detector": "idle-studio-apps"}, "idle-studio-apps is not armed, nor was it in the last 30 days"),
        ({"finding": "0123456789"}, "nothing was done to finding 0123456789 by idle-notebooks in us-east-1"),
        ({"region": "eu-west-1"}, "by idle-notebooks in eu-west-1"),
    ],
)
def test_what_is_not_its_own_is_answered_and_changes_nothing(
    stopped: tuple[Deployment, dict[str, str]], change: dict[str, str], says: str
) -> None:
    deployment, event = stopped
    before = {kind: rows for kind, rows in deployment.table().items() if kind != "idempotency"}

    answer = handlers.undo(event | change, deployment.context())

    assert (answer["done"], says in answer["why"]) == (False, True)
    after = {kind: rows for kind, rows in deployment.table().items() if kind != "idempotency"}
    assert (after, status(deployment)) == (before, "Stopped")


def test_after_undo_days_it_is_refused(stopped: tuple[Deployment, dict[str, str]]) -> None:
    deployment, event = stopped
    deployment.later(timedelta(days=31))
    answer = handlers.undo(event, deployment.context())
    assert answer["why"] == "churn was cleaned up 31 days ago; undo_days is 30"


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"detector": "x", "region": REGION, "finding": "0123456789"},
        {"detector": "x", "region": REGION, "finding": "../..", "by": "ops"},
        {"detector": "x#y", "region": REGION, "finding": "0123456789", "by": "ops"},
        {"detector": "x", "region": REGION, "finding": "0123456789", "by": "ops", "act": True},
    ],
)
def test_an_event_that_makes_no_sense_is_refused(armed: Deployment, wrong: dict[str, object]) -> None:
    with pytest.raises(events.MalformedEventError):
        handlers.undo(wrong, armed.context())


def test_a_half_done_action_asks_for_its_undo_in_words_that_are_understood(
    stopped: tuple[Deployment, dict[str, str]], table: Table
) -> None:
    deployment, _ = stopped
    (action,) = Actions(table).all("idle-notebooks", ACCOUNT, REGION)
    asked_back = Actions(table).request_undo(action, JANITOR, action.began)

    ask_for_revert(handlers.invoked(deployment.context()), asked_back)

    handed = deployment.box.invocations()[-1]
    assert handed["function"] == "ml-janitor-undo"
    asked = events.checked(handed["event"], events.UndoEvent)
    assert (asked.finding, asked.by) == (action.id, "the janitor")
    assert handlers.undo(handed["event"], deployment.context())["done"] is True
    assert handlers.undo(handed["event"], deployment.context())["done"] is True
    assert status(deployment) == "InService"
