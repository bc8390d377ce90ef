"""A job that hung, from its warning to the button that submits it again: what each message says of it."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import ACCOUNT
from job_seed import HOUR, LONG_ENOUGH, ROLE, SECRET, Floor
from ml_janitor import handlers
from ml_janitor_sandbox.control import Control
from standin import ARMED_TOML, MEMBER, Deployment, buttons, said

BY_HAND = f"""{ARMED_TOML}
[detectors.hung-training-jobs]
mode = "act"
act_in = ["{ACCOUNT}"]
"""
JOBS = BY_HAND.replace("[janitor]", f'[janitor]\nundo_roles = ["{ROLE}"]', 1)

HUNG = "hung-training-jobs"


@pytest.fixture
def floor(armed: Deployment, paced: Control) -> Floor:
    """The jobs of an account in which hung ones may be stopped."""
    armed.settings(JOBS)
    return Floor(paced, armed.session)


def stopped(armed: Deployment) -> None:
    """The one job was warned about, and stopped after four hours: its owner is a name, and not messaged."""
    armed.sweep(HUNG)
    armed.later(HOUR)
    armed.sweep(HUNG)
    armed.later(3 * HOUR + 2 * LONG_ENOUGH)
    armed.sweep(HUNG)
    armed.later(LONG_ENOUGH)
    armed.sweep(HUNG)


def only(armed: Deployment) -> dict[str, Any]:
    (message,) = armed.warnings()
    return message


def confirmed(message: dict[str, Any]) -> dict[str, str]:
    """What its last button says, and asks."""
    button = message["blocks"][2]["elements"][-1]
    return {"label": button["text"]["text"]} | {
        part: button["confirm"][part]["text"] for part in ("title", "text", "confirm")
    }


def test_the_button_of_a_stopped_job_restarts_it_and_every_word_says_so(
    armed: Deployment, floor: Floor
) -> None:
    floor.training("job", CheckpointConfig={"S3Uri": "s3://ckpt/job"})
    floor.checkpoint("job/1.pt", 21 * HOUR)
    armed.sweep(HUNG)
    warned = only(armed)["blocks"][0]["text"]["text"]
    assert warned.endswith("A restart does not bring back what it did since its newest checkpoint.")

    stopped(armed)
    message = only(armed)
    new = next(word for word in said(message).split() if word.startswith("job-r")).rstrip(",")
    whence = "with its checkpoints in `s3://ckpt/job/`, the newest known of 2026-10-05 06:00 UTC"
    assert f"Then job is submitted again as {new}, {whence}; it costs again." in said(message)
    assert confirmed(message) == {
        "label": "Restart",
        "title": "Restart?",
        "text": f"job is submitted again as {new}, {whence.replace('`', '')}; it costs again.",
        "confirm": "Restart",
    }

    armed.press("undo", MEMBER)
    after = said(only(armed))
    assert "*Restarted on " in after
    assert f"for Dina Okafor: job was submitted again as {new}, {whence}." in after
    assert after.endswith("If it hangs again, there will be a new warning.")
    assert buttons(only(armed)) == []
    assert floor.names() == ["job", new]

    handlers.digest({"time": armed.now.isoformat()}, armed.context())
    digest = "\n".join(block["text"]["text"] for block in armed.slack.messages()[-1]["blocks"])
    assert "*Undone:*\ntraining job `job` restarted for Dina Okafor: job was" in digest
    assert SECRET not in str(armed.slack.messages())
