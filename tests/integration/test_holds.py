"""What people said about a resource: nothing that a machine does, and no second word, makes it shorter."""

from __future__ import annotations

from armed import Cellar
from conftest import ACCOUNT, NOW, REGION
from ml_janitor.acting.undoing import UNDO_SNOOZE
from ml_janitor.engine.policy import Hold, HoldKind
from ml_janitor.ledger.findings import Ledger
from ml_janitor.ledger.requests import Holds
from ml_janitor.ledger.table import Table, format_stamp
from nights import DAY, Nights
from slackside import MEMBER, OWNER, Deployment, buttons, said


def test_the_rest_after_an_undo_leaves_a_longer_snooze_as_it_is(nights: Nights) -> None:
    nights.warned("lamp")
    nights.after(4 * DAY)
    action = nights.undoing.find("cellar", ACCOUNT, REGION, nights.of("lamp").id)
    until = nights.clock + 30 * DAY
    key = action.target.key
    word = Hold(key=key, how=HoldKind.SNOOZED, by="tomas", given=nights.clock, until=until)
    nights.holds.put(ACCOUNT, REGION, word)

    nights.undoing.undo(Cellar(), nights.aws, action, by="maria")

    held = nights.holds.all(ACCOUNT, REGION)
    assert held[key] == (word,)
    (anew,) = held[f"{action.target.arn}@anew"]
    assert anew.until == nights.clock + UNDO_SNOOZE
    kept = nights.after(8 * DAY)["lamp"]
    assert kept.verdict.reason == f"snoozed by tomas until {until:%Y-%m-%d %H:%M} UTC"


# --- two presses ------------------------------------------------------------------------------------


def test_a_snooze_that_arrives_after_a_keep_leaves_it_kept_and_the_message_says_so(
    notebook: Deployment,
) -> None:
    """Both pressed at the same moment: neither saw what the other said."""
    snooze, keep = notebook.signed("snooze", OWNER), notebook.signed("keep", MEMBER)

    notebook.send(keep)
    notebook.send(snooze)

    assert sorted(hold["how"] for hold in notebook.table()["hold"]) == ["kept", "snoozed"]
    assert said(notebook.warnings()[-1]).startswith("*Kept for good* by Dina Okafor")
    assert buttons(notebook.warnings()[-1]) == []


def test_a_snooze_of_a_week_leaves_a_longer_one_and_the_message_says_which_stands(
    notebook: Deployment, table: Table
) -> None:
    signed = notebook.signed("snooze", MEMBER)
    (entry,) = Ledger(table).entries("idle-notebooks", ACCOUNT, REGION)
    until = NOW + 30 * DAY
    longer = Hold(key=entry.key, how=HoldKind.SNOOZED, by="tomas", given=NOW, until=until)
    Holds(table).put(ACCOUNT, REGION, longer)

    notebook.send(signed)

    (hold,) = notebook.table()["hold"]
    assert (hold["by"], hold["until"]) == ("tomas", format_stamp(until))
    assert said(notebook.warnings()[-1]).startswith("*Snoozed until Thu 5 Nov 04:00* by tomas")
