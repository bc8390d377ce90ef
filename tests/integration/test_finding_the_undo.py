"""Which of several actions on one resource an undo takes back, and what it says where there is nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from armed import Cellar, KilledError
from conftest import ACCOUNT, REGION
from ml_janitor.acting.undoing import CannotUndoError
from ml_janitor.core.results import Outcome
from ml_janitor.engine.detector import CannotActError, Steps
from ml_janitor.engine.policy import hold_reason
from ml_janitor.ledger.actions import Action, Stage
from nights import DAY, HOUR, Nights, in_memory
from slackside import MEMBER, Deployment, buttons, said


@pytest.fixture
def nights() -> Iterator[Nights]:
    with in_memory() as nights:
        yield nights


def found(nights: Nights) -> Action:
    return nights.undoing.find("cellar", ACCOUNT, REGION, nights.of("lamp").id)


def stages(nights: Nights) -> list[Stage]:
    return [action.stage for action in nights.actions.all("cellar", ACCOUNT, REGION)]


@pytest.fixture
def acted(nights: Nights) -> Nights:
    """A lamp that was removed and is there again as it was: like a notebook that somebody started."""
    nights.warned("lamp")
    lamp = nights.world.things["lamp"]
    assert nights.after(4 * DAY)["lamp"].outcome is Outcome.ACTED
    nights.world.things["lamp"] = lamp
    assert nights.after(DAY)["lamp"].outcome is Outcome.WARNED
    return nights


def test_what_was_withdrawn_does_not_hide_what_was_done(acted: Nights) -> None:
    def act(_: Cellar, aws: object, target: object, undo: object, steps: Steps) -> None:
        del aws, target, undo
        steps.do("unplug", overwritten)  # begun, and refused by AWS

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Cellar, "act", act)
        acted.after(4 * DAY)
    assert stages(acted) == [Stage.ACTED, Stage.WITHDRAWN]
    del acted.world.things["lamp"]

    done = acted.undoing.undo(Cellar(), acted.aws, found(acted), by="maria")

    assert done.stage is Stage.UNDONE
    assert list(acted.world.things) == ["lamp"]


def overwritten() -> None:
    raise CannotActError("it was overwritten in the last moment")


def test_nor_does_one_that_came_to_nothing(acted: Nights) -> None:
    acted.clock += 4 * DAY
    acted.world.before = lambda _: None

    def killed(*_: object, **__: object) -> None:
        raise KilledError

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Cellar, "act", killed)
        with pytest.raises(KilledError):
            acted.sweep()
    assert stages(acted) == [Stage.ACTED, Stage.ACTING]

    assert found(acted).stage is Stage.ACTED


def test_what_was_brought_back_is_not_passed_over_for_what_was_done_before(acted: Nights) -> None:
    """Or a second press would undo an action of last month, on what is there by now."""
    assert acted.after(4 * DAY)["lamp"].outcome is Outcome.ACTED
    acted.undoing.undo(Cellar(), acted.aws, found(acted), by="maria")
    assert stages(acted) == [Stage.ACTED, Stage.UNDONE]

    with pytest.raises(CannotUndoError, match="brought back before, by maria"):
        found(acted)


def test_where_nothing_was_done_there_is_nothing_to_undo_and_it_is_marked_so(nights: Nights) -> None:
    nights.warned("lamp")

    def refused(step: object) -> None:
        raise PermissionError(f"no powers to {step}")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(nights.actions, "step", lambda *_: refused("remember"))
        assert nights.after(4 * DAY)["lamp"].outcome is Outcome.FAILED
    assert (stages(nights), nights.of("lamp").steps) == ([Stage.FAILED], {})

    with pytest.raises(CannotUndoError, match="nothing was done to lamp: nothing begun"):
        nights.undoing.undo(Cellar(), nights.aws, found(nights), by="maria")

    assert (stages(nights), nights.world.done) == ([Stage.WITHDRAWN], [])
    with pytest.raises(CannotUndoError, match="nothing was done to lamp: nothing begun"):
        found(nights)
    holds = nights.holds.all(ACCOUNT, REGION)[nights.of("lamp").target.key]
    assert "it was brought back" not in str(hold_reason(holds, nights.clock))
    assert nights.after(HOUR)["lamp"].outcome is Outcome.KEPT
    assert nights.put_back == []


def test_a_step_that_was_begun_may_have_been_done(nights: Nights) -> None:
    nights.warned("lamp")

    def killed(_: str) -> None:
        raise KilledError

    nights.world.after = killed
    nights.clock += 4 * DAY
    with pytest.raises(KilledError):
        nights.sweep()
    assert nights.of("lamp").steps == {"act: unplug": "begun"}
    nights.world.after = lambda _: None

    assert nights.undoing.undo(Cellar(), nights.aws, found(nights), by="maria").stage is Stage.UNDONE
    assert nights.world.done == ["unplug lamp", "plug in lamp"]


def test_in_lambda_that_is_an_answer_and_the_message_says_so(notebook: Deployment) -> None:
    notebook.box.fault("sagemaker", "StopNotebookInstance", "error", times=0, status=408, code="Unavailable")
    table = notebook.session.client("dynamodb")
    notebook.press("now", MEMBER)
    notebook.box.clear_faults()
    (item,) = notebook.table()["action"]
    for name in [name for name in item if name.startswith("step_")]:
        table.update_item(
            TableName="ml-janitor-ledger",
            Key={"pk": {"S": item["pk"]}, "sk": {"S": item["sk"]}},
            UpdateExpression=f"REMOVE {name}",
        )
    assert "undo" in buttons(notebook.warnings()[-1])

    notebook.press("undo", MEMBER)

    (item,) = notebook.table()["action"]
    assert item["stage"] == "withdrawn"
    assert "It broke off before its first step" in said(notebook.warnings()[-1])
