"""What the digest says of armed detectors, and which hours count as saved."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from conftest import ACCOUNT, REGION
from lambdas import idle_endpoints
from ml_janitor import handlers
from ml_janitor.acting.undoing import CannotUndoError
from ml_janitor.detectors import DETECTORS
from ml_janitor.ledger.actions import Actions
from ml_janitor.ledger.table import Table
from slackside import EMAILS, MEMBER, OWNER, Deployment

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def digest(deployment: Deployment) -> tuple[dict[str, Any], str]:
    """Its counts, and all that it says."""
    before = len(deployment.slack.messages())
    counts = handlers.digest({"time": deployment.now.isoformat()}, deployment.context())
    (message,) = deployment.slack.messages()[before:]
    texts = [(block.get("text") or block["elements"][0])["text"] for block in message["blocks"]]
    return counts, "\n".join([message["text"], *texts])


def test_it_says_what_was_done_on_whose_word_and_what_that_saved(notebook: Deployment) -> None:
    notebook.press("now", MEMBER)
    notebook.later(10 * HOUR)

    counts, said = digest(notebook)

    assert (counts["acted"], counts["failed"], counts["undone"], counts["due"]) == (1, 0, 0, 0)
    assert "1 done." in said.splitlines()[0]
    assert (counts["found"], said.count("a month")) == (0, 1), "what was cleaned up is waste no more"
    line = "idle notebook `churn` ($146 a month) stopped, because Dina Okafor pressed Do it now, in us-east-1"
    assert f"*Done:*\n{line}" in said
    assert "*Saved so far this month:* $2.00, by 1 action." in said


def test_what_was_brought_back_saves_no_more_and_is_told(notebook: Deployment) -> None:
    notebook.press("now", MEMBER)
    notebook.later(2 * HOUR)
    notebook.press("undo", MEMBER)
    notebook.later(10 * HOUR)

    counts, said = digest(notebook)

    assert (counts["acted"], counts["undone"]) == (1, 1)
    assert "*Undone:*\nidle notebook `churn` brought back for Dina Okafor, in us-east-1" in said
    assert "*Saved so far this month:* $0.40, by 1 action." in said


def test_what_is_half_brought_back_saves_no_more_since_somebody_first_asked(notebook: Deployment) -> None:
    """It may run and cost already, and nobody knows since when."""
    notebook.press("now", MEMBER)
    notebook.later(2 * HOUR)
    notebook.box.fault("sagemaker", "StartNotebookInstance", "deny", times=0)
    for _ in range(2):
        with pytest.raises(CannotUndoError):
            notebook.press("undo", MEMBER)
        notebook.later(10 * HOUR)

    assert "*Saved so far this month:* $0.40, by 1 action." in digest(notebook)[1]


def test_what_failed_is_told_first_and_every_day_until_it_is_mended(notebook: Deployment) -> None:
    notebook.box.fault("sagemaker", "StopNotebookInstance", "deny", times=0)
    notebook.press("now", MEMBER)
    for _ in range(2):
        counts, said = digest(notebook)
        assert (counts["failed"], counts["acted"]) == (1, 0)
        assert "*Failed:*\nidle notebook `churn` could not be stopped, in us-east-1: StopNotebook" in said
        notebook.later(DAY)


def test_what_is_due_tonight_is_told_unless_somebody_keeps_it(armed: Deployment) -> None:
    idle_endpoints(armed.session, armed.box, "a", "b", owner=EMAILS[OWNER])
    armed.sweep()
    assert digest(armed)[0]["due"] == 0
    armed.later(2 * DAY + 4 * HOUR)
    warnings = armed.slack.messages()[1:3]

    counts, said = digest(armed)
    assert counts["due"] == 2
    line = "idle endpoint `a` to be deleted on Fri 9 Oct 05:10 (Europe/Berlin), $168 a month, in us-east-1"
    assert line in said
    armed.press("keep", OWNER, ts=warnings[0]["ts"])
    armed.later(HOUR)

    counts, said = digest(armed)
    assert counts["due"] == 1


def test_a_notebook_that_runs_again_saves_no_more_since_it_was_last_seen_stopped(
    notebook: Deployment, table: Table
) -> None:
    notebook.press("now", MEMBER)
    notebook.later(3 * HOUR)
    notebook.sweep("idle-notebooks")
    seen = notebook.now.replace(microsecond=0)
    notebook.later(5 * HOUR)
    notebook.session.client("sagemaker").start_notebook_instance(NotebookInstanceName="churn")
    notebook.later(HOUR)
    notebook.sweep("idle-notebooks")

    (action,) = Actions(table).all("idle-notebooks", ACCOUNT, REGION)
    assert action.over == seen
    notebook.later(10 * HOUR)
    assert "*Saved so far this month:* $0.60, by 1 action." in digest(notebook)[1]


def test_what_cannot_be_looked_at_saves_on_until_it_can(notebook: Deployment, table: Table) -> None:
    notebook.press("now", MEMBER)
    notebook.later(3 * HOUR)
    notebook.box.fault("sagemaker", "DescribeNotebookInstance", "deny", times=0)
    notebook.sweep("idle-notebooks")
    (action,) = Actions(table).all("idle-notebooks", ACCOUNT, REGION)
    assert (action.over, action.hourly_usd) == (None, Decimal("0.2"))


def test_a_quiet_day_still_says_what_was_saved(notebook: Deployment) -> None:
    notebook.press("now", MEMBER)
    notebook.later(DAY)
    digest(notebook)
    for detector in sorted(DETECTORS, key=lambda one: one.name == "idle-notebooks"):
        notebook.sweep(detector.name)
    notebook.later(HOUR)

    said = digest(notebook)[1].splitlines()[0]

    assert said.startswith("Nothing new today.")
    assert said.endswith("Saved so far this month: $5.00, by 1 action.")


def test_a_deployment_that_did_nothing_says_nothing_of_it(armed: Deployment) -> None:
    said = digest(armed)[1]
    assert "Saved" not in said
    assert "Done" not in said
