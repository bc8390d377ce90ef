"""The undo function by itself: whose finding, which sweep is in the way, what half-done actions ask of it."""

from __future__ import annotations

import pytest

from conftest import ACCOUNT, REGION
from ml_janitor import handlers
from ml_janitor.acting.undoing import JANITOR_NAME
from ml_janitor.config import events
from ml_janitor.config.values import InvalidInputError
from ml_janitor.deployment import request_revert
from ml_janitor.ledger.actions import Actions
from ml_janitor.ledger.table import Table
from slackside import MEMBER, Deployment


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
    with pytest.raises(InvalidInputError):
        handlers.undo(wrong, armed.context())


def test_a_half_done_action_asks_for_its_undo_in_words_that_are_understood(
    notebook: Deployment, table: Table
) -> None:
    notebook.press("now", MEMBER)
    (action,) = Actions(table).all("idle-notebooks", ACCOUNT, REGION)
    asked_back = Actions(table).request_undo(action, JANITOR_NAME, action.began)

    request_revert(handlers.make_invocation(notebook.context()), asked_back)

    handed = notebook.box.invocations()[-1]
    assert handed["function"] == "ml-janitor-undo"
    asked = events.check_event(handed["event"], events.UndoEvent)
    assert (asked.finding, asked.by) == (action.id, "the janitor")
    assert handlers.undo(handed["event"], notebook.context())["done"] is True
    assert handlers.undo(handed["event"], notebook.context())["done"] is True
    assert notebook.notebook_status == "InService"
