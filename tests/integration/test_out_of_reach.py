"""Disarmed without `armed_until`, nothing deployed may undo any more: nobody can lose that without a word."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from lambdas import reports
from ml_janitor import handlers
from ml_janitor.engine.run import RunFailedError
from slackside import ARMED, MEMBER, Deployment

DAY = timedelta(days=1)

NOTEBOOKS = "\n[detectors.idle-notebooks]\n"
DISARMED = ARMED.partition(NOTEBOOKS)[0]

LOST = (
    "1 thing that it did in us-east-1 can be undone until 2026-11-05, but not by the undo function, "
    "which has no powers for it since it was disarmed. armed_until = 2026-10-06 in "
    "detectors.idle-notebooks, or the later day it was disarmed, and make deploy give them back; "
    "or janitor undo, with credentials of your own"
)


@pytest.fixture
def stopped(notebook: Deployment) -> Deployment:
    """A notebook that was stopped on the 6th of October."""
    notebook.press("now", MEMBER)
    notebook.later(DAY)
    return notebook


def test_every_sweep_fails_with_what_is_lost_and_how_it_is_had_back(
    stopped: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    stopped.settings(DISARMED)

    for _ in range(2):
        caplog.clear()
        with pytest.raises(RunFailedError, match="1 thing that it did in us-east-1 can be undone until 2026"):
            stopped.sweep("idle-notebooks")

        logged = [vars(record) for record in caplog.records if record.getMessage() == "out of reach"]
        assert [(record["why"], record["levelname"]) for record in logged] == [(LOST, "ERROR")]
        stopped.later(DAY)
    kept = reports(stopped.session)
    report = json.loads(kept[max(name for name in kept if name.endswith(".json"))])
    assert report["sweeps"][0]["held"] == [LOST]
    page = kept[max(name for name in kept if name.endswith(".html"))]
    assert "What no function may undo any more" in page
    assert "armed_until = 2026-10-06" in page
    assert "What a limit held back" not in page


def test_so_does_the_digest_also_where_the_detector_is_switched_off(stopped: Deployment) -> None:
    stopped.settings(f"{DISARMED}{NOTEBOOKS}enabled = false\n")

    handlers.digest({"time": stopped.now.isoformat()}, stopped.context())

    (block,) = (
        text
        for block in stopped.slack.messages()[-1]["blocks"]
        if "No function may undo" in (text := str(block.get("text")))
    )
    assert "can be undone until 2026-11-05" in block


@pytest.mark.parametrize("settings", ["armed_until = 2026-10-06", "mode = 'act'\nact_in = ['123456789012']"])
def test_nobody_is_told_where_it_can_be_undone(stopped: Deployment, settings: str) -> None:
    stopped.settings(f"{DISARMED}{NOTEBOOKS}{settings}\n")

    stopped.sweep("idle-notebooks")
    handlers.digest({"time": stopped.now.isoformat()}, stopped.context())

    assert "No function may undo" not in str(stopped.slack.messages()[-1])


def test_nor_once_it_was_brought_back_or_is_too_old_for_that(stopped: Deployment) -> None:
    stopped.settings(DISARMED)
    stopped.later(31 * DAY)

    stopped.sweep("idle-notebooks")
