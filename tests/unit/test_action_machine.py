"""One action as a state machine: what each end of an attempt leaves in the ledger, and what it is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from armed import Cellar, KilledError, LostError, raising
from conftest import ACCOUNT, REGION
from fakes import UNTELLABLE, USED, Thing, because, thing, waste
from ml_janitor.acting.acting import ArmedSweep, half_done_cause
from ml_janitor.core.model import Effect
from ml_janitor.core.results import Cause, CauseCode, Outcome, Result, UnfinishedProgress, make_cause
from ml_janitor.engine.detector import CannotActError, NotFinishedError
from ml_janitor.ledger.actions import Action, BegunBeforeError, Stage
from ml_janitor.ledger.findings import Entry
from nights import ARMED, DAY, HOUR, TUESDAY, Nights, in_memory

MINUTE = timedelta(minutes=1)
AT_WORK = "another run is at work on lamp, or somebody asked for its undo"


@pytest.fixture
def nights() -> Iterator[Nights]:
    with in_memory() as nights:
        nights.warned("lamp")
        yield nights


@pytest.fixture
def half_done(nights: Nights) -> Nights:
    """A lamp that was unplugged, and could not be removed."""
    nights.world.before = raising(RuntimeError("throttled"), at="remove lamp")
    assert lamp(nights, 4 * DAY).outcome is Outcome.FAILED
    nights.world.before = lambda _: None
    return nights


def lamp(nights: Nights, span: timedelta = HOUR) -> Result:
    """What a sweep *span* later says of the lamp."""
    return nights.after(span)["lamp"]


def entry(nights: Nights) -> Entry:
    (entry,) = nights.ledger.entries("cellar", ACCOUNT, REGION)
    return entry


def looks(monkeypatch: pytest.MonkeyPatch, seen: Callable[[Thing], Thing | None]) -> None:
    """From now on a second look sees something else than the sweep did."""
    real = Cellar.look

    def look(self: Cellar, aws: Any, target: Any, now: Any) -> Thing | None:
        there = real(self, aws, target, now)
        return None if there is None else seen(there)

    monkeypatch.setattr(Cellar, "look", look)


def stuck(monkeypatch: pytest.MonkeyPatch, *, times: int = 1000) -> list[str]:
    """AWS takes its time, so often; the attempts."""
    real, attempts = Cellar.act, list[str]()

    def act(self: Cellar, aws: Any, target: Any, record: Any, steps: Any) -> None:
        attempts.append(target.name)
        steps.do("unplug", lambda: None)
        if len(attempts) <= times:
            raise NotFinishedError("its plug is still being pulled")
        real(self, aws, target, record, steps)

    monkeypatch.setattr(Cellar, "act", act)
    return attempts


# --- before anything is done ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (lambda there: replace(there, verdict=USED), make_cause(CauseCode.NO_LONGER_WASTE, "it is used")),
        (lambda _: None, make_cause(CauseCode.GONE)),
        (
            lambda _: thing("lamp", USED, created=TUESDAY),
            make_cause(CauseCode.NO_LONGER_WASTE, "another resource has its name now"),
        ),
    ],
    ids=["used", "gone", "made anew"],
)
def test_what_is_no_longer_waste_at_the_second_look_is_closed(
    nights: Nights, monkeypatch: pytest.MonkeyPatch, seen: Callable[[Thing], Thing | None], why: Cause
) -> None:
    looks(monkeypatch, seen)

    changed = lamp(nights, 4 * DAY)

    assert (changed.outcome, changed.cause) == (Outcome.CHANGED, why)
    closed = entry(nights)
    assert (closed.closed, closed.warned, closed.untold_why) == (nights.clock, None, closed.close_reason)
    assert nights.world.done == []


def test_nothing_is_begun_or_gone_on_with_without_time(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nights.aws, "_has_time", lambda: False)
    waiting = lamp(nights, 4 * DAY)

    assert (waiting.outcome, waiting.cause) == (Outcome.WAITING, make_cause(CauseCode.OUT_OF_TIME))
    assert nights.actions.all("cellar", ACCOUNT, REGION) == []
    assert entry(nights).warned == TUESDAY


def test_what_is_half_done_waits_for_a_run_with_time(
    half_done: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(half_done.aws, "_has_time", lambda: False)
    waiting = lamp(half_done)

    assert (waiting.outcome, waiting.cause) == (Outcome.WAITING, half_done_cause(CauseCode.OUT_OF_TIME))
    assert (half_done.of("lamp").stage, half_done.of("lamp").attempts) == (Stage.FAILED, 1)


def test_the_grace_of_the_rule_that_finds_it_is_over_in_the_very_second(nights: Nights) -> None:
    """Warned about by a rule that gives an hour, and found by one that gives three days."""
    nights.world.add("sofa")
    nights.world.judge("sofa", replace(waste(), grace=HOUR))
    nights.sweep()
    nights.world.judge("sofa", waste())

    assert nights.after(3 * DAY - timedelta(seconds=1))["sofa"].outcome is Outcome.WAITING
    assert nights.after(timedelta(seconds=1))["sofa"].outcome is Outcome.ACTED


@pytest.mark.parametrize(("effect", "saves"), [(Effect.DELETE, True), (Effect.TAG, False)])
def test_only_what_ends_a_cost_is_recorded_to_save_it(nights: Nights, effect: Effect, *, saves: bool) -> None:
    nights.arming = replace(ARMED, effect=effect)

    assert lamp(nights, 4 * DAY).outcome is Outcome.ACTED

    assert (nights.of("lamp").hourly_usd is not None) is saves


def test_a_warning_that_was_acted_on_before_is_void(nights: Nights) -> None:
    """The run that came to nothing could not close the finding."""
    action = nights.actions.begin(lamp(nights), {"name": "lamp"}, warned=TUESDAY, now=nights.clock)
    nights.actions.withdrawn(action, because("it was used"))

    waiting = lamp(nights, 4 * DAY)

    said = "lamp was acted on before under this warning"
    assert (waiting.outcome, waiting.cause) == (Outcome.WAITING, make_cause(CauseCode.ACTED_BEFORE, said))
    assert (entry(nights).voided, entry(nights).warned, nights.world.done) == (True, None, [])


def test_an_undo_that_the_ledger_cannot_keep_takes_no_place(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights.warned("sofa")
    nights.arming = replace(ARMED, max_actions=1)

    def prepare(_: Cellar, __: object, candidate: Thing, ___: object) -> dict[str, Any]:
        name = candidate.target.name
        return {"name": name, "all of it": "x" * (400_000 if name == "lamp" else 1)}

    monkeypatch.setattr(Cellar, "prepare", prepare)
    results = nights.after(4 * DAY)

    assert {name: one.outcome for name, one in results.items()} == {
        "lamp": Outcome.ADVISED,
        "sofa": Outcome.ACTED,
    }


# --- the second look -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("undo", "seen"), [(None, "look"), ({"name": "lamp"}, "look_unfinished")])
def test_what_is_half_done_is_looked_at_in_its_own_way(
    nights: Nights, monkeypatch: pytest.MonkeyPatch, undo: dict[str, Any] | None, seen: str
) -> None:
    used = replace(nights.world.things["lamp"], verdict=USED)
    monkeypatch.setattr(Cellar, seen, lambda *_: used)
    other = {"look": "look_unfinished", "look_unfinished": "look"}[seen]
    monkeypatch.setattr(Cellar, other, lambda *_: None)

    assert nights.armed_sweep().recheck.verdict(lamp(nights), nights.clock, undo) == (USED, used)


@pytest.mark.parametrize(
    ("ended", "steps", "done", "expected"),
    [
        (None, {}, True, True),
        (None, {}, False, False),
        ("it went out", {}, True, False),
        ("it went out", {"act: unplug": "begun"}, True, False),
        ("it went out", {"act: unplug": "done"}, True, True),
        ("it went out", {"undo: plug in": "done"}, True, False),
        (LostError("reset"), {}, True, False),
        (None, {}, LostError("reset"), False),
    ],
)
def test_what_ended_by_itself_or_cannot_be_looked_at_is_not_done(
    nights: Nights,
    monkeypatch: pytest.MonkeyPatch,
    ended: str | Exception | None,
    steps: dict[str, str],
    *,
    done: bool | Exception,
    expected: bool,
) -> None:
    def answering(answer: object) -> Callable[..., object]:
        def answers(*_: object) -> object:
            if isinstance(answer, Exception):
                raise answer
            return answer

        return answers

    action = nights.actions.begin(lamp(nights), {"name": "lamp"}, warned=TUESDAY, now=nights.clock)
    action = replace(action, steps=steps)
    monkeypatch.setattr(Cellar, "ended_otherwise", answering(ended))
    monkeypatch.setattr(Cellar, "is_done", answering(done))

    assert nights.armed_sweep().recheck.is_done(action) is expected
    itself = isinstance(ended, str) and steps != {"act: unplug": "done"}
    assert nights.armed_sweep().recheck.ended_otherwise(action) == (ended if itself else None)


# --- the end of an attempt -----------------------------------------------------------------------------


def test_what_changed_before_the_first_step_is_withdrawn_and_closed(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(*_: object) -> None:
        raise CannotActError("it moved on")

    monkeypatch.setattr(Cellar, "act", act)
    changed = lamp(nights, 4 * DAY)

    assert (changed.outcome, changed.cause) == (
        Outcome.CHANGED,
        make_cause(CauseCode.NO_LONGER_WASTE, "it moved on"),
    )
    assert (nights.of("lamp").stage, nights.of("lamp").error) == (Stage.WITHDRAWN, changed.cause)
    assert (entry(nights).closed, entry(nights).close_reason) == (nights.clock, changed.cause)


def test_what_ended_by_itself_before_the_first_step_is_withdrawn(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights.world.before = raising(KilledError(), at="unplug lamp")
    nights.clock += 4 * DAY
    with pytest.raises(KilledError):
        nights.sweep()
    monkeypatch.setattr(Cellar, "ended_otherwise", lambda *_: "it went out")

    changed = lamp(nights)

    assert (changed.outcome, changed.cause) == (
        Outcome.CHANGED,
        make_cause(CauseCode.NO_LONGER_WASTE, "it went out"),
    )
    assert (nights.of("lamp").stage, nights.put_back) == (Stage.WITHDRAWN, [])


def test_what_is_as_the_act_leaves_it_before_the_first_step_was_done_by_others(nights: Nights) -> None:
    """The run was killed between storing the undo and its first step."""
    nights.actions.begin(lamp(nights), {"name": "lamp"}, warned=TUESDAY, now=nights.clock)
    del nights.world.things["lamp"]

    changed = lamp(nights)

    assert (changed.outcome, changed.cause) == (Outcome.CHANGED, make_cause(CauseCode.DONE_BY_OTHERS))
    assert (nights.of("lamp").stage, nights.world.done) == (Stage.WITHDRAWN, [])


def test_what_takes_a_day_is_a_failure_in_the_second_after_it(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck(monkeypatch)

    outcomes = [lamp(nights, span).outcome for span in (4 * DAY, DAY, timedelta(seconds=1))]

    assert outcomes == [Outcome.WAITING, Outcome.WAITING, Outcome.FAILED]


# --- what broke off, or waits --------------------------------------------------------------------------


def test_a_record_that_was_changed_is_not_taken_for_done(half_done: Nights) -> None:
    action = half_done.of("lamp")
    half_done.table.change(action.pk, action.sk, set_to={"undo": '{"name": "prey"}'})
    del half_done.world.things["lamp"]

    failed = lamp(half_done)

    assert (failed.outcome, failed.cause) == (Outcome.FAILED, Cause(CauseCode.MAC_INVALID))
    left = half_done.of("lamp")
    assert (left.stage, left.error) == (Stage.FAILED, Cause(CauseCode.MAC_INVALID))


@pytest.mark.parametrize(
    ("arming", "why"),
    [
        ({"max_actions": 0}, make_cause(CauseCode.MAX_ACTIONS, 0)),
        ({"act_in": (f"{ACCOUNT}/eu-west-1",)}, half_done_cause(CauseCode.OUTSIDE_ACT_IN, ACCOUNT, REGION)),
    ],
    ids=["limits", "act_in"],
)
def test_what_is_half_done_waits_for_what_a_beginning_would(
    half_done: Nights, arming: dict[str, Any], why: Cause
) -> None:
    half_done.arming = replace(ARMED, **arming)

    waiting = lamp(half_done)

    assert (waiting.outcome, waiting.cause) == (Outcome.WAITING, why)
    assert (half_done.world.done, half_done.of("lamp").error) == (
        ["unplug lamp"],
        make_cause(CauseCode.ACT_FAILED, "RuntimeError: throttled"),
    )


def test_what_is_half_done_and_cannot_be_judged_is_left_so(half_done: Nights) -> None:
    half_done.world.judge("lamp", UNTELLABLE)

    waiting = lamp(half_done)

    why = half_done_cause(CauseCode.UNKNOWN_AT_RECHECK, "its use could not be read")
    assert (waiting.outcome, waiting.cause) == (Outcome.WAITING, why)
    assert (half_done.put_back, half_done.of("lamp").stage) == ([], Stage.FAILED)


def test_a_revert_that_somebody_else_asks_for_in_that_moment_is_theirs(
    half_done: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begun(*_: object) -> Action:
        raise BegunBeforeError(AT_WORK)

    half_done.world.use("lamp")
    monkeypatch.setattr(half_done.actions, "request_undo", begun)
    kept = lamp(half_done)

    busy = Cause(CauseCode.ANOTHER_RUN, (AT_WORK,), progress=UnfinishedProgress.HALF_DONE)
    assert (kept.outcome, kept.cause, half_done.put_back) == (Outcome.KEPT, busy, [])


def test_what_waits_for_aws_is_gone_on_with_until_it_is_done(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts, waits = stuck(monkeypatch, times=2), list[str]()
    nights.wait = lambda: waits.append("a minute")

    assert lamp(nights, 4 * DAY).outcome is Outcome.ACTED

    assert (attempts, len(waits)) == (["lamp"] * 3, 2)


@pytest.mark.parametrize(("waits", "minutes"), [(40, 1000), (3, 3), (0, 0)], ids=["rounds", "time", "none"])
def test_aws_is_waited_for_so_often_and_while_there_is_time(
    nights: Nights, monkeypatch: pytest.MonkeyPatch, waits: int, minutes: int
) -> None:
    attempts, waited = stuck(monkeypatch), list[str]()
    nights.wait = lambda: waited.append("a minute")
    monkeypatch.setattr(ArmedSweep, "act", ends_time(nights, monkeypatch, waited, minutes))

    waiting = lamp(nights, 4 * DAY)

    assert (waiting.outcome, len(waited)) == (Outcome.WAITING, waits)
    assert len(attempts) == 1 + (waits if minutes == 1000 else max(0, waits - 1))


def ends_time(
    nights: Nights, monkeypatch: pytest.MonkeyPatch, waited: list[str], minutes: int
) -> Callable[..., Result]:
    """`act`, after whose first call a run has time for so many minutes of waiting."""
    real = ArmedSweep.act

    def act(self: ArmedSweep, result: Result, action: Action) -> Result:
        monkeypatch.setattr(nights.aws, "_has_time", lambda: len(waited) < minutes)
        return real(self, result, action)

    return act


def test_what_somebody_asks_back_while_it_waits_too_long_is_no_failure_any_more(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck(monkeypatch)
    lamp(nights, 4 * DAY)
    nights.wait = lambda: void(nights.actions.request_undo(nights.of("lamp"), "maria", nights.clock))

    asked = lamp(nights, 2 * DAY)

    assert asked.outcome is Outcome.WAITING
    assert asked.cause == Cause(CauseCode.ANOTHER_RUN, (AT_WORK,), progress=UnfinishedProgress.HALF_DONE)


def void(_: object) -> None:
    """Nothing of it."""
