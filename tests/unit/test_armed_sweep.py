"""An armed sweep: what it leaves alone, what it resumes first, and in which order it acts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from armed import Cellar, raising
from conftest import ACCOUNT, REGION
from fakes import USED
from ml_janitor.acting.acting import ActedSweep, due_findings
from ml_janitor.acting.undoing import CannotUndoError
from ml_janitor.core.model import Mode
from ml_janitor.core.results import (
    Cause,
    CauseCode,
    Outcome,
    Sweep,
    UnfinishedProgress,
    UnreachableUndos,
    make_cause,
)
from ml_janitor.engine.detector import CannotActError
from ml_janitor.engine.run import sweep_region
from ml_janitor.ledger.findings import Entry
from nights import ARMED, DAY, HOUR, Nights, in_memory


@pytest.fixture
def nights() -> Iterator[Nights]:
    with in_memory() as nights:
        yield nights


@pytest.fixture
def half_back(nights: Nights) -> Nights:
    """A lamp that was removed, and could not be brought back."""
    nights.warned("lamp")
    nights.after(4 * DAY)
    nights.world.before = denied
    with pytest.raises(CannotUndoError, match="no powers here"):
        nights.undoing.undo(nights.detector, nights.aws, nights.of("lamp"), by="maria")
    return nights


def denied(_: str) -> None:
    raise PermissionError("no powers here")


def found(nights: Nights) -> Sweep:
    """What is found now."""
    return sweep_region(nights.detector, nights.aws, now=nights.clock, policy=nights.runner().policy)


def entries(nights: Nights) -> dict[str, Entry]:
    return {one.key: one for one in nights.ledger.entries("cellar", ACCOUNT, REGION)}


def acted(nights: Nights) -> ActedSweep:
    """What acting makes of what is found now, by what the ledger knows."""
    runner = nights.runner()
    assert runner.acting is not None
    known = entries(nights)
    return runner.acting.act(
        nights.detector, nights.aws, found(nights), known, now=nights.clock, policy=runner.policy
    )


def test_what_is_not_armed_does_nothing(nights: Nights) -> None:
    nights.warned("lamp")
    nights.clock += 4 * DAY
    nights.arming = replace(ARMED, mode=Mode.DRY_RUN)

    assert acted(nights) == ActedSweep(found(nights))
    assert nights.world.done == []


def test_in_a_sweep_that_broke_off_what_was_warned_about_waits_for_a_complete_one(nights: Nights) -> None:
    nights.warned("lamp")
    nights.world.add("chair")
    (due,) = (one.due for one in entries(nights).values())
    nights.clock += 4 * DAY
    nights.world.broken = RuntimeError("the listing broke off")

    so_far = acted(nights)

    results = {one.target.name: (one.outcome, one.due, one.cause) for one in so_far.sweep.results}
    assert results == {
        "lamp": (Outcome.WAITING, due, make_cause(CauseCode.SWEEP_INCOMPLETE)),
        "chair": (Outcome.WAITING, None, make_cause(CauseCode.UNWARNED)),
    }
    assert nights.world.done == []


@pytest.mark.parametrize("undoable", [True, False])
def test_disarmed_it_says_what_no_function_may_undo(nights: Nights, *, undoable: bool) -> None:
    nights.warned("lamp")
    nights.after(4 * DAY)
    nights.undoable = undoable
    acting = nights.runner().acting
    assert acting is not None

    resumed = acting.resumed(nights.detector, found(nights))

    lost = UnreachableUndos(detector="cellar", region=REGION, count=1, last="2026-10-10", until="2026-11-09")
    assert resumed.unreachable == (None if undoable else lost)


def test_an_undo_is_not_resumed_from_a_record_that_was_changed(half_back: Nights) -> None:
    action = half_back.of("lamp")
    half_back.table.change(action.pk, action.sk, set_to={"undo": '{"name": "prey"}'})

    lamp = half_back.after(HOUR)["lamp"]

    forged = Cause(CauseCode.MAC_INVALID, progress=UnfinishedProgress.HALF_REVERTED, by="maria")
    assert (lamp.outcome, lamp.cause, half_back.put_back) == (Outcome.FAILED, forged, [])


def test_what_is_resumed_long_after_its_warning_is_told_as_done(nights: Nights) -> None:
    nights.warned("chair", "lamp")
    nights.world.before = raising(RuntimeError("throttled"), at="remove lamp")
    nights.arming = replace(ARMED, max_actions=1, max_share=100)
    nights.ledger.make_due(
        next(one for key, one in entries(nights).items() if "lamp" in key), by="maria", now=nights.clock
    )
    nights.after(HOUR)
    nights.world.before = lambda _: None
    nights.clock += 42 * DAY

    results = {one.target.name: (one.outcome, one.why) for one in acted(nights).sweep.results}

    assert results["lamp"] == (Outcome.ACTED, CauseCode.UNDO_WITH)
    assert results["chair"] == (Outcome.WAITING, CauseCode.WARNING_LAPSED)


def test_what_is_used_when_it_would_be_prepared_again_is_reported_as_before(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights.warned("lamp")
    nights.world.refuses = CannotActError("it is watched")
    nights.after(4 * DAY)
    nights.world.refuses = None
    used = replace(nights.world.things["lamp"], verdict=USED)
    monkeypatch.setattr(Cellar, "look", lambda *_: used)

    lamp = nights.after(4 * DAY)["lamp"]

    assert (lamp.outcome, lamp.cause) == (
        Outcome.ADVISED,
        make_cause(CauseCode.REFUSED_BY_PREPARE, make_cause(CauseCode.CANNOT_ACT, "it is watched")),
    )


def test_the_oldest_due_goes_first_and_of_those_due_at_once_the_first_by_name(nights: Nights) -> None:
    nights.arming = replace(ARMED, max_share=100)
    nights.warned("lamp")
    nights.clock += HOUR
    nights.warned("desk", "chair")
    nights.clock += 3 * DAY

    due = due_findings(found(nights), entries(nights), nights.clock)

    assert [one.target.name for one in due] == ["lamp"]
    assert [one.due for one in due] == [entry.due for key, entry in entries(nights).items() if "lamp" in key]
    nights.after(HOUR)
    assert [step for step in nights.world.done if "remove" in step] == [
        "remove lamp",
        "remove chair",
        "remove desk",
    ]
    assert nights.pauses == 2
