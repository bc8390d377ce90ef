"""
An account that today's settings leave out is neither acted on nor undone in, whatever was asked before.

The attacker holds an old Slack message, or `lambda:InvokeFunction` on the undo function, or the list of a run
that began before the settings were deployed.
"""

from datetime import timedelta
from typing import Any

import pytest

from conftest import ACCOUNT, REGION
from ml_janitor.acting.undoing import CannotUndoError
from ml_janitor.core.model import finding_id
from ml_janitor.engine.run import RunFailedError
from ml_janitor.ledger.latest import RunAccount
from organization import NOTEBOOKS, OFF, Accounts
from standin import MEMBER

WAYS = ("without", "regions")  # tests/unit/test_settings.py has the others


@pytest.fixture
def warned(accounts: Accounts) -> Accounts:
    """Both notebooks are warned about."""
    for account in accounts.made.members:
        accounts.child(account)
    return accounts


def leave_out_first(accounts: Accounts, way: str, *, detector: str = "") -> None:
    """Deploy settings that leave the first account (or its region) out, while `act_in` still names it."""
    changed: dict[str, Any] = {way: [OFF] if way == "regions" else [ACCOUNT, accounts.first]}
    accounts.settings(**changed)
    path, heading = accounts.armed.folder / "janitor.toml", f"[detectors.{NOTEBOOKS}]\n"
    path.write_text(path.read_text().replace(heading, heading + detector))


def press(accounts: Accounts, word: str, account: str) -> str:
    """Press *word* on the old message about the notebook of *account*; return what the person is told."""
    before = len(accounts.armed.slack.responses())
    accounts.armed.press(word, MEMBER, ts=accounts.message(account)["ts"])
    return " ".join(answer["text"] for answer in accounts.armed.slack.responses()[before:])


def undo_event(accounts: Accounts, **more: Any) -> dict[str, Any]:
    finding = finding_id(NOTEBOOKS, accounts.findings()[accounts.first]["key"])
    asked = {"detector": NOTEBOOKS, "account": accounts.first, "region": REGION, "finding": finding}
    return {**asked, "by": "eve", **more}


@pytest.mark.parametrize("way", WAYS)
def test_an_old_message_acts_and_undoes_nowhere_that_is_left_out(warned: Accounts, way: str) -> None:
    leave_out_first(warned, way)

    assert "Nothing was changed: " in press(warned, "now", warned.first)
    assert warned.status(warned.first) == "InService"
    if way != "regions":
        press(warned, "now", warned.second)
        assert warned.status(warned.second) == "Stopped", "what is not left out is acted on as before"

    warned.settings()
    press(warned, "now", warned.first)
    assert warned.status(warned.first) == "Stopped"
    leave_out_first(warned, way)
    assert "Nothing was changed: " in press(warned, "undo", warned.first)
    for forged in ({}, {"again": True}, {"request": "a press that Slack never sent"}):
        assert warned.armed.run("ml-janitor-undo", undo_event(warned, **forged))["done"] is False
    assert warned.status(warned.first) == "Stopped"

    leave_out_first(warned, way, detector="armed_until = 2026-10-06\n")
    press(warned, "undo", warned.first)
    assert warned.status(warned.first) == "InService", "armed_until says that it may still be undone"


@pytest.mark.parametrize("way", WAYS)
def test_a_child_of_a_run_in_progress_acts_nowhere_that_is_left_out(warned: Accounts, way: str) -> None:
    warned.armed.later(timedelta(hours=36))
    night = warned.armed.now.replace(second=0)
    warned.listed(*(RunAccount(each, (REGION,)) for each in warned.made.members), time=night)
    leave_out_first(warned, way)

    warned.child(warned.first, time=night.isoformat())
    assert warned.status(warned.first) == "InService"
    assert "warned" not in warned.findings()[warned.first]
    warned.child(warned.second, time=night.isoformat())
    assert warned.status(warned.second) == ("InService" if way == "regions" else "Stopped")


def test_a_half_done_undo_is_not_resumed_where_it_is_left_out(warned: Accounts) -> None:
    press(warned, "now", warned.first)
    box, (action,) = warned.armed.box, warned.armed.table()["action"]
    box.fault("sagemaker", "StartNotebookInstance", "deny")
    with pytest.raises(CannotUndoError, match="could not be brought back"):
        press(warned, "undo", warned.first)
    box.clear_faults()
    leave_out_first(warned, "without")
    warned.armed.later(timedelta(hours=36))
    night = warned.armed.now.replace(second=0)
    warned.listed(*(RunAccount(each, (REGION,)) for each in warned.made.members), time=night)

    with pytest.raises(RunFailedError, match="can be undone until"):
        warned.child(warned.first, time=night.isoformat())
    warned.armed.deliver()
    assert (warned.status(warned.first), action["stage"]) == ("Stopped", "acted")

    leave_out_first(warned, "without", detector="armed_until = 2026-10-06\n")
    warned.armed.run("ml-janitor-undo", undo_event(warned, again=True))
    assert warned.status(warned.first) == "InService"
