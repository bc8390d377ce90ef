"""Undos that broke off: every sweep has them gone on with, a few times, and then a person has to look."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from armed import KilledError
from conftest import ACCOUNT, REGION
from lambdas import reports
from ml_janitor import handlers
from ml_janitor.acting.undoing import CannotUndoError
from ml_janitor.config import events
from ml_janitor.core.model import Confidence, Finding, Mode
from ml_janitor.core.results import Outcome, Result
from ml_janitor.engine.run import RunFailedError
from ml_janitor.ledger.actions import MOST_TRIES, Action, Actions, BegunBeforeError, Stage
from ml_janitor.ledger.table import Table
from ml_janitor.report.causes import outcome_note
from ml_janitor_sandbox.deployment import UNDO
from nights import ARMED, DAY, HOUR, Nights, in_memory
from signing import own_signatures
from slackside import MEMBER, Deployment, said


def undone(nights: Nights, *, by: str = "maria", again: bool = False) -> Action:
    """One call of whoever undoes."""
    action = nights.undoing.find("cellar", ACCOUNT, REGION, nights.of("lamp").id)
    return nights.undoing.undo(nights.detector, nights.aws, action, by=by, again=again)


def denied(step: str) -> None:
    if step == "bring back lamp":
        raise PermissionError("no powers here")


@pytest.fixture
def nights() -> Iterator[Nights]:
    with in_memory() as nights:
        yield nights


@pytest.fixture
def broken(nights: Nights) -> Nights:
    """A lamp that was removed, and could not be brought back when maria asked for it."""
    nights.warned("lamp")
    nights.after(4 * DAY)
    nights.world.before = denied
    with pytest.raises(CannotUndoError, match="no powers here"):
        undone(nights)
    return nights


def swept(nights: Nights, **how: Any) -> Result | None:
    """What the next sweep says of the lamp."""
    return nights.after(HOUR, **how).get("lamp")


def test_who_asks_for_it_back_while_it_is_cleaned_up_is_heard_and_the_others_go_on(nights: Nights) -> None:
    """Its message had a button, from a try before: the sweep that is at work on it now has the lease."""
    nights.arming = replace(ARMED, max_share=100)
    nights.warned("a", "b")

    def ask(step: str) -> None:
        if step == "remove a":
            nights.actions.request_undo(nights.of("a"), "maria", nights.clock)

    nights.world.before = ask
    results = nights.after(4 * DAY)

    assert (results["a"].outcome, results["b"].outcome) == (Outcome.WAITING, Outcome.ACTED)
    assert outcome_note(results["a"]) == "another run is at work on a, or somebody asked for its undo"
    assert nights.of("a").stage is Stage.UNDOING
    asked = nights.after(HOUR)["a"]
    assert outcome_note(asked) == "asked back by maria, and gone on with now"
    (action,) = nights.put_back
    nights.undoing.undo(nights.detector, nights.aws, action, by=action.undone_by, again=True)
    assert (list(nights.world.things), nights.world.unplugged) == (["a"], {"b"})


def test_the_next_sweep_has_it_gone_on_with_in_the_name_of_whoever_asked(broken: Nights) -> None:
    result = swept(broken)

    assert result is not None
    assert result.outcome is Outcome.WAITING
    assert outcome_note(result) == (
        "half brought back, and gone on with now; the last try: PermissionError: no powers here"
    )
    (asked,) = broken.put_back
    assert (asked.target.name, asked.stage, asked.undone_by) == ("lamp", Stage.UNDOING, "maria")
    broken.world.before = lambda _: None
    undone(broken, again=True)
    assert broken.of("lamp").stage is Stage.UNDONE
    assert broken.world.done[2:] == ["bring back lamp", "plug in lamp"]
    assert broken.after(HOUR)["lamp"].outcome is Outcome.KEPT
    assert len(broken.put_back) == 1


def test_after_some_tries_it_is_failed_until_a_person_acts(broken: Nights) -> None:
    for _ in range(MOST_TRIES - 1):
        swept(broken)
        with pytest.raises(CannotUndoError):
            undone(broken, again=True)
    asked = len(broken.put_back)

    for _ in range(2):
        given_up = swept(broken)

        assert given_up is not None
        assert given_up.outcome is Outcome.FAILED
        assert outcome_note(given_up) == (
            "could not be brought back in 3 tries, so a person has to look: "
            f"PermissionError: no powers here; by hand: janitor undo {broken.of('lamp').id}"
        )
    assert len(broken.put_back) == asked == MOST_TRIES - 1
    with pytest.raises(CannotUndoError):
        undone(broken, by="dina")
    again = swept(broken)
    assert again is not None
    assert again.outcome is Outcome.WAITING
    assert broken.put_back[-1].undone_by == "dina"


def test_an_act_that_failed_often_does_not_count_against_its_undo(nights: Nights) -> None:
    nights.warned("lamp")

    def stuck(step: str) -> None:
        if step == "remove lamp":
            raise PermissionError("no powers here")

    nights.world.before = stuck
    for _ in range(MOST_TRIES):
        nights.after(4 * DAY)
    assert nights.of("lamp").given_up
    nights.world.before = lambda step: (_ for _ in ()).throw(KilledError) if "plug in" in step else None
    with pytest.raises(KilledError):
        undone(nights)

    swept(nights)

    assert [action.target.name for action in nights.put_back] == ["lamp"]


def test_it_is_gone_on_with_after_a_sweep_that_broke_off(broken: Nights) -> None:
    broken.world.broken = RuntimeError("the listing broke off")
    broken.clock += HOUR

    with pytest.raises(RunFailedError, match="the listing broke off"):
        broken.sweep()

    assert [action.target.name for action in broken.put_back] == ["lamp"]


def test_it_is_gone_on_with_after_its_detector_was_disarmed(broken: Nights) -> None:
    broken.arming = replace(ARMED, mode=Mode.DRY_RUN)

    result = swept(broken)

    assert result is not None
    assert result.outcome is Outcome.WAITING
    assert [action.target.name for action in broken.put_back] == ["lamp"]


def test_that_it_failed_then_is_measured_for_the_alarm(
    broken: Nights, capsys: pytest.CaptureFixture[str]
) -> None:
    """The alarm stays for as long as what was done can be undone."""
    for _ in range(MOST_TRIES - 1):
        with pytest.raises(CannotUndoError):
            undone(broken, again=True)
    broken.arming = replace(ARMED, mode=Mode.DRY_RUN)
    capsys.readouterr()

    failed = swept(broken)

    assert failed is not None
    assert failed.outcome is Outcome.FAILED
    assert json.loads(capsys.readouterr().out)["ActionsFailed"] == [1.0]


def test_a_dry_run_leaves_it_alone(broken: Nights) -> None:
    assert swept(broken, dry=True) is None
    assert broken.put_back == []


def test_what_is_half_back_is_no_part_of_what_was_looked_at(broken: Nights) -> None:
    """Or ten endpoints on their way back would make ten deletions look fewer."""
    broken.arming = replace(ARMED, max_share=90)
    broken.warned("a", "b", "c", "d")

    results = broken.after(4 * DAY)

    assert {results[name].outcome for name in "abcd"} == {Outcome.WAITING}


def test_of_two_at_once_one_brings_it_back(broken: Nights) -> None:
    swept(broken)
    swept(broken)
    broken.world.before = lambda _: None
    stale = [broken.undoing.find("cellar", ACCOUNT, REGION, broken.of("lamp").id) for _ in range(2)]

    broken.undoing.undo(broken.detector, broken.aws, stale[0], by="maria", again=True)
    with pytest.raises(BegunBeforeError):
        broken.undoing.undo(broken.detector, broken.aws, stale[1], by="maria", again=True)

    assert broken.world.done[2:] == ["bring back lamp", "plug in lamp"]


# --- in Lambda --------------------------------------------------------------------------------------


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
    assert (asked.by, asked.again, first) == ("Dina Okafor (U0DINA)", True, second)
    stuck.deliver()
    (action,) = Actions(table).all("idle-notebooks", ACCOUNT, REGION)
    assert (action.stage, action.undone_by, action.attempts) == (Stage.UNDONE, asked.by, 3)
    assert stuck.notebook_status == "InService"
    assert stuck.box.invocations()[-1]["function"] == UNDO
    assert "*Brought back on Tue 6 Oct 05:05* for Dina" in said(stuck.warnings()[-1])


def test_nor_is_what_was_stopped_anew_since_then(stuck: Deployment, table: Table) -> None:
    """Another warning, another act: nobody has asked for its undo."""
    stuck.sweep("idle-notebooks")
    (event,) = handed(stuck)
    stuck.press("undo", MEMBER)
    stuck.session.client("sagemaker").stop_notebook_instance(NotebookInstanceName="churn")
    stuck.later(8 * DAY)
    actions = Actions(table, own_signatures())
    (first,) = actions.all("idle-notebooks", ACCOUNT, REGION)
    verdict = Finding(reason="idle", confidence=Confidence.PROVEN, action="stop it", evidence=())
    found = Result(detector="idle-notebooks", target=first.target, verdict=verdict, outcome=Outcome.WAITING)
    second = actions.begin(found, first.undo, warned=stuck.now, now=stuck.now)
    actions.step(second, "act: stop", "done")
    actions.acted(second, stuck.now)

    answer = handlers.undo(event | {"request": "late"}, stuck.context())

    assert (answer["done"], answer["why"]) == (False, "churn is not half brought back any more")
    assert stuck.notebook_status == "Stopped"


def test_a_sweep_without_an_undo_function_says_so(stuck: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Disarmed without a date, the undo function is gone."""
    monkeypatch.delenv("JANITOR_UNDO")

    stuck.sweep("idle-notebooks")

    assert handed(stuck) == []
    *_, report = reports(stuck.session).values()
    assert (
        "half brought back, and not gone on with: there is no undo function here; by hand: janitor undo"
        in report
    )
