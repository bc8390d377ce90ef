"""How actions are taken back: what that is called, which of them can be, and what is said of the others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from armed import Cellar
from conftest import NOW, REGION
from fakes import because, thing, waste
from ml_janitor.acting.undoing import (
    RESTART_WORDING,
    UNCHANGE_WORDING,
    UNDO_WORDING,
    CannotUndoError,
    UndoWording,
    UnfinishedAction,
    add_unfinished,
    by_hand_cause,
    find_unreachable_undos,
    is_undoable,
    report_half_done,
    resume_reverts,
    undo_hint,
    undo_wording,
)
from ml_janitor.core.model import Confidence, Effect, Kept, Mode, Target
from ml_janitor.core.results import (
    Cause,
    CauseCode,
    Outcome,
    Result,
    Sweep,
    UnfinishedProgress,
    UnreachableUndos,
    make_cause,
)
from ml_janitor.deployment import request_revert
from ml_janitor.engine.detector import CannotActError, Cleanup
from ml_janitor.ledger.actions import MOST_TRIES, Action, Stage, UnverifiedError

HOUR, DAY, SECOND = timedelta(hours=1), timedelta(days=1), timedelta(seconds=1)
LAMP = thing("lamp", waste()).target
CHAIR = thing("chair", waste()).target


@dataclass(frozen=True)
class Attic(Cellar):
    """Brings a lamp back by hand only, and a chair never."""

    def revert_effect(self, target: Target, record: Any) -> str:  # noqa: ARG002
        if target == CHAIR:
            raise CannotActError("it is burnt")
        return "it is back"

    def missing_for_undo(self, target: Target, record: Any) -> str:  # noqa: ARG002
        return "undo_roles" if target == LAMP else ""


def action(target: Target = LAMP, **about: Any) -> Action:
    given: dict[str, Any] = {"stage": Stage.ACTED, "began": NOW, "steps": {"act: unplug": "done"}} | about
    return Action(sk="sk", detector="cellar", target=target, warned=NOW, undo={}, **given)


BY_HAND = f"janitor undo {action().id}"


@pytest.mark.parametrize(
    ("effect", "undo", "expected"),
    [
        (Effect.DELETE, "undo", UNDO_WORDING),
        (Effect.STOP, "restart", RESTART_WORDING),
        (Effect.TAG, "undo", UNCHANGE_WORDING),
        (None, "undo", UNDO_WORDING),
    ],
)
def test_nothing_that_stayed_is_brought_back(effect: Effect | None, undo: str, expected: UndoWording) -> None:
    cleanup = None
    if effect is not None:
        cleanup = Cleanup(effect=effect, grace=DAY, act_on=Confidence.PROVEN, lost="it", undo=undo)

    assert undo_wording(cleanup) == expected


def test_it_says_how_something_is_taken_back_or_why_it_is_not() -> None:
    assert undo_hint(Attic(), action()) == make_cause(CauseCode.UNDO_WITH, "undo", action().id)
    assert undo_hint(Attic(), action(CHAIR)) == make_cause(CauseCode.NO_UNDO, "it is burnt")
    assert by_hand_cause(Attic(), action()) == make_cause(CauseCode.UNDO_BY_HAND, "undo_roles", BY_HAND)
    assert by_hand_cause(Attic(), action(CHAIR)) is None


@pytest.mark.parametrize(
    ("stage", "age", "can"),
    [
        (Stage.ACTED, DAY, True),
        (Stage.ACTED, DAY + SECOND, False),
        (Stage.FAILED, DAY, True),
        (Stage.UNDOING, 9 * DAY, True),
        (Stage.UNDONE, HOUR, False),
        (Stage.WITHDRAWN, HOUR, False),
    ],
)
def test_an_undo_has_a_limit_unless_it_is_half_done(stage: Stage, age: timedelta, *, can: bool) -> None:
    assert is_undoable(action(stage=stage), DAY, NOW + age) is can


def test_what_no_function_may_undo_any_more_is_counted_until_the_last_of_it_is_too_old() -> None:
    old = action(began=NOW - 2 * DAY)
    actions = [action(began=NOW - DAY), old, action(CHAIR), action(steps={}), action(stage=Stage.UNDONE)]

    lost = find_unreachable_undos(Attic(), actions, within=9 * DAY, now=NOW)

    assert lost is not None
    assert lost == UnreachableUndos(
        detector="cellar",
        region=REGION,
        count=2,
        last=f"{NOW - DAY:%Y-%m-%d}",
        until=f"{NOW + 8 * DAY:%Y-%m-%d}",
    )
    assert find_unreachable_undos(Attic(), actions[:1], within=9 * DAY, now=NOW) == replace(lost, count=1)
    assert find_unreachable_undos(Attic(), actions, within=HOUR, now=NOW) is None


HALF_BACK = action(
    stage=Stage.UNDOING,
    steps={"undo: plug in": "begun"},
    undone_by="maria",
    error=because("busy"),
    asked_at=NOW,
)
FAILED, WAITING = Outcome.FAILED, Outcome.WAITING
BACK, ASKED = UnfinishedProgress.HALF_REVERTED, UnfinishedProgress.REVERT_ASKED


@pytest.mark.parametrize(
    ("about", "raised", "age", "outcome", "why"),
    [
        ({}, None, DAY, WAITING, Cause(CauseCode.RESUMED, (because("busy"),), progress=BACK, by="maria")),
        (
            {},
            None,
            DAY + SECOND,
            FAILED,
            Cause(CauseCode.RESUMED, (because("busy"),), progress=BACK, by="maria"),
        ),
        (
            {"steps": {}, "asked_at": None},
            None,
            9 * DAY,
            WAITING,
            Cause(CauseCode.RESUMED, (because("busy"),), progress=ASKED, by="maria"),
        ),
        (
            {"attempts": MOST_TRIES},
            None,
            HOUR,
            FAILED,
            Cause(CauseCode.NOT_REVERTED, (MOST_TRIES, because("busy")), by_hand=BY_HAND),
        ),
        (
            {"attempts": MOST_TRIES, "error": None},
            None,
            HOUR,
            FAILED,
            Cause(CauseCode.NOT_REVERTED, (MOST_TRIES, make_cause(CauseCode.CUT_OFF)), by_hand=BY_HAND),
        ),
        (
            {},
            UnverifiedError(make_cause(CauseCode.MAC_INVALID)),
            HOUR,
            FAILED,
            Cause(CauseCode.MAC_INVALID, progress=BACK, by="maria"),
        ),
        (
            {},
            OSError("reset"),
            HOUR,
            FAILED,
            Cause(CauseCode.NOT_RESUMED, ("OSError: reset",), progress=BACK, by="maria", by_hand=BY_HAND),
        ),
        (
            {},
            CannotUndoError("it is gone"),
            HOUR,
            FAILED,
            Cause(CauseCode.NOT_RESUMED, ("it is gone",), progress=BACK, by="maria", by_hand=BY_HAND),
        ),
    ],
)
def test_what_is_half_back_is_resumed_or_left_to_a_person(
    about: dict[str, Any], raised: Exception | None, age: timedelta, outcome: Outcome, why: Cause
) -> None:
    half, asked = replace(HALF_BACK, **about), list[Action]()

    def revert(one: Action) -> None:
        asked.append(one)
        if raised is not None:
            raise raised

    found = resume_reverts(Attic(), [action(), half, action(stage=Stage.UNDONE)], revert, NOW + age)

    assert found == [UnfinishedAction(half, outcome, why)]
    assert asked == ([] if "attempts" in about else [half])


def test_what_was_half_done_when_it_was_disarmed_is_left_to_a_person() -> None:
    half = action(stage=Stage.FAILED, error=because("throttled"))
    others = [action(), action(stage=Stage.FAILED, steps={}), HALF_BACK]

    (found,) = report_half_done(Attic(), [*others, half])

    why = Cause(
        CauseCode.DISARMED,
        ("cellar", because("throttled")),
        progress=UnfinishedProgress.HALF_DONE,
        by_hand=BY_HAND,
    )
    assert found == UnfinishedAction(half, FAILED, why)


def test_what_is_unfinished_is_told_whether_its_sweep_found_it_or_not() -> None:
    kept = Result(detector="cellar", target=LAMP, verdict=Kept(reason="it is used"), outcome=Outcome.KEPT)
    sweep = Sweep(detector="cellar", account="1", region=REGION, mode=Mode.ACT, results=(kept,))
    why = make_cause(CauseCode.REVERTED_NEXT)

    told = add_unfinished(
        sweep, [UnfinishedAction(action(), WAITING, why), UnfinishedAction(action(CHAIR), FAILED, why)]
    )

    assert told.results == (
        replace(kept, outcome=WAITING, cause=why),
        Result(
            detector="cellar",
            target=CHAIR,
            verdict=Kept(reason="an action on it was broken off"),
            outcome=FAILED,
            cause=why,
        ),
    )


# --- what an armed function asks of the undo function --------------------------------------------------


@dataclass(frozen=True)
class Armed:
    """An invocation of an armed function, as far as its request for an undo reads it."""

    asked: list[tuple[str, dict[str, Any]]]
    undo: str = "arn:undo"

    @property
    def environment(self) -> Armed:
        return self

    @property
    def detector(self) -> Attic:
        return Attic()

    def hand_over(self, function: str, event: dict[str, Any]) -> None:
        self.asked.append((function, event))


def test_an_armed_function_asks_for_each_attempt_of_an_undo_once_and_not_by_hand() -> None:
    asked: list[tuple[str, dict[str, Any]]] = []
    own: Any = Armed(asked)
    done = action(CHAIR, attempts=2, undone_by="Maria", began=NOW)

    request_revert(own, done)

    [(function, event)] = asked
    assert (function, event["by"], event["again"], event["finding"]) == ("arn:undo", "Maria", True, done.id)
    assert event["request"] == "2026-10-06T03:00:00 2"
    with pytest.raises(CannotUndoError, match="there is no undo function here"):
        request_revert(replace(own, undo=""), done)
    with pytest.raises(CannotUndoError, match="undo_roles"):
        request_revert(own, replace(done, target=LAMP))
    assert len(asked) == 1
