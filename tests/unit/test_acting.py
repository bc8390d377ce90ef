"""The armed order of things, law by law: warned, due, within the limits, looked at again, undoable."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from conftest import ACCOUNT, NOW, REGION
from fakes import UNTELLABLE, USED, Thing, because, raising, result_of, thing, waste
from ml_janitor.acting.acting import ActedSweep, Acting, ArmedSweep, due_findings, half_done_cause
from ml_janitor.acting.undoing import CannotUndoError
from ml_janitor.aws.calls import OutOfTimeError
from ml_janitor.core.model import Confidence, Effect, Mode
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
from ml_janitor.engine.detector import CannotActError, NotFinishedError
from ml_janitor.engine.policy import HoldKind
from ml_janitor.engine.run import RunFailedError, sweep_region
from ml_janitor.ledger.actions import MOST_TRIES, Action, BegunBeforeError, Stage
from ml_janitor.ledger.findings import Entry, Ledger
from ml_janitor.report.causes import limit_texts, outcome_note
from narrowing import not_none
from standin import (
    ARMED,
    DAY,
    DENIED,
    HOUR,
    TUESDAY,
    Cleaner,
    KilledError,
    LostError,
    Nights,
    NoArchive,
    by_name,
    tagged,
    with_request,
)
from tables import cases


def now(nights: Nights, *names: str) -> None:
    """Maria presses *Do it now* under each of these warnings."""
    for name in names:
        nights.ledger.make_due(nights.entries()[name], by="maria", now=nights.clock)


def approve(nights: Nights) -> None:
    """A person approves all that is due."""
    for entry in nights.entries().values():
        nights.ledger.approve(entry, by="maria")


# --- the order of things ----------------------------------------------------------------------------


def test_it_warns_waits_looks_again_acts_and_reports(nights: Nights) -> None:
    nights.world.add("lamp")

    warned = by_name(nights.sweep())["lamp"]
    assert warned.due == nights.postman.dues["lamp"] >= TUESDAY + 3 * DAY
    waiting = nights.after(2 * DAY)["lamp"]
    assert (waiting.outcome, outcome_note(waiting)) == (Outcome.WAITING, "warned; not due yet")
    assert nights.world.done == []
    nights.world.looked_at.clear()
    assert nights.after(2 * DAY)["lamp"].outcome is Outcome.ACTED
    assert nights.world.done == ["unplug lamp", "remove lamp"]
    assert nights.world.looked_at == [nights.clock]
    assert nights.postman.carried == ["lamp"]
    action = nights.of("lamp")
    assert (action.stage, action.undo, action.ended) == (Stage.ACTED, {"name": "lamp"}, nights.clock)
    assert action.steps == {"act: unplug": "done", "act: remove": "done"}
    (entry,) = nights.entries().values()
    assert (entry.closed, entry.close_reason, entry.due) == (
        nights.clock,
        make_cause(CauseCode.CLEANED_UP),
        None,
    )


def test_a_dry_run_neither_warns_nor_acts(with_lamp: Nights) -> None:
    with_lamp.world.add("chair")

    assert {result.outcome for result in with_lamp.after(4 * DAY, dry=True).values()} == {Outcome.WOULD_ACT}
    assert (with_lamp.world.done, with_lamp.postman.carried) == ([], ["lamp"])
    assert with_lamp.after(HOUR)["lamp"].outcome is Outcome.ACTED


def test_what_reads_only_cannot_write_whatever_a_detector_does(nights: Nights) -> None:
    nights.world.add("lamp")
    target = nights.world.things["lamp"].target

    with pytest.raises(CannotActError):
        Cleaner().act(nights.aws, target, {"name": "lamp"}, steps=None)  # type: ignore[arg-type]
    with pytest.raises(Exception, match="DeleteEndpoint changes something"):
        nights.aws.sagemaker.delete_endpoint(EndpointName="lamp")


# --- law 5: nobody is surprised ---------------------------------------------------------------------


def test_nothing_is_due_whose_warning_did_not_arrive_and_the_due_date_moves(nights: Nights) -> None:
    nights.world.add("lamp")
    nights.postman.ill = True
    with pytest.raises(RunFailedError, match="lamp was not delivered"):
        nights.sweep()
    nights.postman.ill = False

    late = nights.after(5 * DAY)["lamp"]

    assert late.outcome is Outcome.WARNED
    assert not_none(late.due) >= nights.clock + 3 * DAY
    assert nights.world.done == []


@cases(
    "how, why",
    ({"how": HoldKind.KEPT, "why": "a demo"}, "kept by maria: a demo"),
    ({"how": HoldKind.SNOOZED, "until": NOW + 9 * DAY}, "snoozed by maria until 2026-10-15 03:00 UTC"),
    ids=["kept", "snoozed"],
)
def test_what_somebody_keeps_is_kept(with_lamp: Nights, how: dict[str, Any], why: str) -> None:
    with_lamp.hold("lamp", **how)

    kept = with_lamp.after(4 * DAY)["lamp"]

    assert (kept.outcome, kept.verdict.reason) == (Outcome.KEPT, why)
    assert with_lamp.world.done == []


def test_after_a_snooze_it_is_warned_about_again(with_lamp: Nights) -> None:
    with_lamp.hold("lamp", how=HoldKind.SNOOZED, until=NOW + 7 * DAY)
    with_lamp.after(4 * DAY)

    assert with_lamp.after(4 * DAY)["lamp"].outcome is Outcome.WARNED
    assert with_lamp.world.done == []


def test_now_is_pressed_on_a_delivered_warning_only(with_lamp: Nights) -> None:
    now(with_lamp, "lamp")

    assert with_lamp.after(timedelta(minutes=1))["lamp"].outcome is Outcome.ACTED
    assert with_lamp.of("lamp").by == "maria"


def test_a_warning_serves_the_rule_that_it_was_given_under(nights: Nights) -> None:
    """Warned about by a rule that gives an hour, and found by one that gives three days when it is due."""
    nights.world.add("lamp", "chair")
    for name in ("lamp", "chair"):
        nights.world.judge(name, replace(waste(), grace=HOUR))
    nights.sweep()
    nights.world.judge("lamp", waste())

    results = nights.after(2 * HOUR)
    assert (results["chair"].outcome, results["lamp"].outcome) == (Outcome.ACTED, Outcome.WAITING)
    assert outcome_note(results["lamp"]) == "its warning has not stood for as long as this rule gives"
    assert nights.after(3 * DAY - 2 * HOUR - timedelta(seconds=1))["lamp"].outcome is Outcome.WAITING
    assert nights.after(timedelta(seconds=1))["lamp"].outcome is Outcome.ACTED
    assert sorted(nights.postman.carried) == ["chair", "lamp"]


def test_whoever_says_now_need_not_wait_for_the_other_rule(nights: Nights) -> None:
    nights.world.add("lamp")
    nights.world.judge("lamp", replace(waste(), grace=HOUR))
    nights.sweep()
    nights.world.judge("lamp", waste())
    now(nights, "lamp")

    assert nights.after(timedelta(minutes=1))["lamp"].outcome is Outcome.ACTED


@pytest.mark.parametrize("judged", [True, False])
def test_a_warning_is_void_once_the_detector_is_disarmed(with_lamp: Nights, *, judged: bool) -> None:
    with_lamp.arming = replace(ARMED, mode=Mode.DRY_RUN)
    with_lamp.world.judge("lamp", waste() if judged else UNTELLABLE)
    assert with_lamp.after(4 * DAY)["lamp"].outcome is (Outcome.WOULD_ACT if judged else Outcome.KEPT)
    with_lamp.world.judge("lamp", waste())
    with_lamp.arming = ARMED

    assert with_lamp.after(4 * DAY)["lamp"].outcome is Outcome.WARNED
    assert with_lamp.world.done == []


def test_a_warning_that_no_sweep_confirmed_for_weeks_counts_no_more(with_lamp: Nights) -> None:
    """The detector was switched off for six weeks, in which the lamp was used again."""

    assert with_lamp.after(42 * DAY)["lamp"].outcome is Outcome.WARNED

    assert with_lamp.world.done == []
    assert with_lamp.after(2 * DAY)["lamp"].outcome is Outcome.WAITING
    assert with_lamp.after(2 * DAY)["lamp"].outcome is Outcome.ACTED


def test_nor_does_one_while_nothing_could_be_judged(with_lamp: Nights) -> None:
    with_lamp.world.judge("lamp", UNTELLABLE)
    for _ in range(4):
        with_lamp.after(5 * DAY)
    with_lamp.world.judge("lamp", waste())

    assert with_lamp.after(DAY)["lamp"].outcome is Outcome.WARNED
    assert with_lamp.world.done == []


def test_nothing_is_deleted_on_a_weekend_unless_somebody_says_now(nights: Nights) -> None:
    """Due on Friday a few minutes after that night's sweep, it would be done in Saturday's."""
    nights.arming = replace(ARMED, business_days=True, max_share=100)
    nights.warned("lamp", "sofa")
    assert nights.after(3 * DAY)["lamp"].outcome is Outcome.WAITING
    now(nights, "sofa")

    saturday = nights.after(DAY)

    assert saturday["lamp"].outcome is Outcome.WAITING
    assert outcome_note(saturday["lamp"]) == "nothing is deleted on weekends and holidays (business_days)"
    assert saturday["sofa"].outcome is Outcome.ACTED
    assert nights.after(DAY)["lamp"].outcome is Outcome.WAITING
    assert nights.after(DAY)["lamp"].outcome is Outcome.ACTED


# --- only reported ------------------------------------------------------------------------------------


@cases(
    "arming, tags, why",
    ({"act_in": (f"{ACCOUNT}/eu-west-1",)}, {}, "act_in does not name account"),
    ({}, {"managed-by": "terraform"}, "terraform manages it"),
    ({}, {"aws:cloudformation:stack-name": "web"}, "CloudFormation stack web manages it"),
    ({}, {"managed-by": "backstage"}, "if it is not a tool, name your tools in janitor.toml: tools = ["),
    ({}, {"environment": "Production"}, "it serves Production"),
    ids=["elsewhere", "terraform", "cloudformation", "unlisted", "production"],
)
def test_some_findings_are_only_reported(
    nights: Nights, arming: dict[str, Any], tags: dict[str, str], why: str
) -> None:
    nights.arming = replace(ARMED, **arming)
    nights.world.things["lamp"] = tagged("lamp", **tags)

    advised = by_name(nights.sweep())["lamp"]

    assert advised.outcome is Outcome.ADVISED
    assert why in outcome_note(advised)
    assert nights.after(9 * DAY)["lamp"].outcome is Outcome.ADVISED
    assert (nights.world.done, nights.postman.carried) == ([], [])


def test_what_is_likely_is_only_reported_where_proof_is_asked_for(nights: Nights) -> None:
    nights.world.add("lamp")
    nights.world.judge("lamp", replace(waste(), confidence=Confidence.LIKELY))

    assert by_name(nights.sweep())["lamp"].outcome is Outcome.ADVISED
    nights.arming = replace(ARMED, act_on=Confidence.LIKELY)
    assert nights.after(HOUR)["lamp"].outcome is Outcome.WARNED


def test_a_tag_that_came_after_the_warning_protects(with_lamp: Nights) -> None:
    with_lamp.world.things["lamp"] = tagged("lamp", environment="prod")

    assert with_lamp.after(4 * DAY)["lamp"].outcome is Outcome.ADVISED
    with_lamp.world.things["lamp"] = tagged("lamp")
    assert with_lamp.after(4 * DAY)["lamp"].outcome is Outcome.WARNED
    assert with_lamp.world.done == []


# --- law 4: look again --------------------------------------------------------------------------------


@cases(
    "happens, outcome, note, warned",
    (lambda nights, name: nights.world.use(name), Outcome.CHANGED, "it is used", None),
    (lambda nights, name: nights.hold(name, how=HoldKind.KEPT), Outcome.CHANGED, "kept by maria", None),
    (
        lambda nights, name: nights.world.judge(name, UNTELLABLE),
        Outcome.WAITING,
        "could not be judged when looked at again: its use could not be read",
        TUESDAY,
    ),
    ids=["used", "kept", "unreadable"],
)
def test_what_happens_between_the_sweep_and_the_act_counts(
    nights: Nights,
    happens: Callable[[Nights, str], None],
    outcome: Outcome,
    note: str,
    warned: datetime | None,
) -> None:
    nights.warned("lamp", "chair")

    def meanwhile(step: str) -> None:
        nights.world.before = lambda _: None
        happens(nights, "lamp" if "chair" in step else "chair")

    nights.world.before = meanwhile
    results = nights.after(4 * DAY)

    (left,) = nights.world.things
    assert sorted(result.outcome for result in results.values()) == [Outcome.ACTED, outcome]
    assert (results[left].outcome, outcome_note(results[left])) == (outcome, note)
    assert (nights.entries()[left].warned, nights.entries()[left].voided) == (warned, False)
    if warned:
        nights.world.judge(left, waste())
    assert nights.after(HOUR)[left].outcome is (Outcome.ACTED if warned else Outcome.KEPT)


def test_a_re_created_resource_starts_from_nothing(with_lamp: Nights) -> None:
    with_lamp.hold("lamp", how=HoldKind.SNOOZED, until=NOW)
    with_lamp.world.things["lamp"] = thing("lamp", waste(), created=NOW)

    assert with_lamp.after(4 * DAY)["lamp"].outcome is Outcome.WARNED
    assert with_lamp.world.done == []


# --- law 6: small blast radius --------------------------------------------------------------------------


def test_at_most_so_many_in_a_sweep_and_the_rest_wait(nights: Nights) -> None:
    nights.arming = replace(ARMED, max_actions=2, max_share=100)
    nights.warned("a", "b", "c")

    ran = nights.after(4 * DAY)

    assert sorted(result.outcome for result in ran.values()) == [
        Outcome.ACTED,
        Outcome.ACTED,
        Outcome.WAITING,
    ]
    (held,) = [result for result in ran.values() if result.outcome is Outcome.WAITING]
    assert outcome_note(held) == "held back by max_actions = 2 for one sweep"
    assert nights.pauses >= 1
    assert next(iter(nights.after(HOUR).values())).outcome is Outcome.ACTED


def test_a_share_is_of_all_that_was_looked_through(nights: Nights) -> None:
    nights.warned("a", "b", "c", "d")

    assert {result.why for result in nights.after(4 * DAY).values()} == {CauseCode.MAX_SHARE}
    nights.world.looked_through = 20
    assert {result.outcome for result in nights.after(HOUR).values()} == {Outcome.ACTED}


def test_a_night_has_so_many_over_all_sweeps(nights: Nights) -> None:
    nights.arming = replace(ARMED, max_share=100)
    nights.at_most = 2
    nights.warned("a", "b", "c")

    nights.after(4 * DAY)
    nights.after(HOUR)
    assert len(nights.world.things) == 1
    nights.after(12 * HOUR)

    assert nights.world.things == {}


@pytest.mark.parametrize("limit", ["max_actions", "night"])
def test_none_means_none(nights: Nights, limit: str) -> None:
    nights.arming = replace(ARMED, max_actions=0 if limit == "max_actions" else 10)
    nights.at_most = 0 if limit == "night" else 50
    nights.warned("lamp")

    assert nights.after(4 * DAY)["lamp"].outcome is Outcome.WAITING
    assert nights.world.done == []


def test_many_deletions_at_once_need_a_persons_word(nights: Nights) -> None:
    nights.warned("a", "b", "c", "d")
    nights.clock += 4 * DAY

    ran = nights.sweep()
    assert nights.world.done == []
    assert {result.outcome for result in ran.report.results} == {Outcome.WAITING}
    (held,) = limit_texts(ran.report.sweeps[0])
    assert "4 of 4 would be deleted" in held
    assert "janitor approve cellar" in held
    approve(nights)

    assert {result.outcome for result in nights.after(HOUR).values()} == {Outcome.ACTED}


def test_an_approval_is_for_what_was_looked_at(nights: Nights) -> None:
    nights.warned("a", "b", "c", "d")
    approve(nights)
    nights.world.add("e", "f", "g", "h")
    nights.after(HOUR)

    nights.after(5 * DAY)

    assert sorted(nights.world.things) == ["e", "f", "g", "h"]


def test_a_signal_that_broke_for_everything_is_seen_however_few_are_due(nights: Nights) -> None:
    """Twenty are warned about a night, of which no night has more than 20 % due."""
    names = [f"thing-{number:03}" for number in range(100)]
    nights.world.add(*names)
    nights.sweep()

    ran = nights.after(4 * DAY)

    assert nights.world.done == []
    assert {result.outcome for result in ran.values()} == {Outcome.WAITING, Outcome.WARNED}
    (entry, *_) = (one for one in nights.ledger.entries("cellar", ACCOUNT, REGION) if one.warned is not None)
    nights.ledger.approve(entry, by="maria")
    assert [name for name, one in nights.after(HOUR).items() if one.outcome is Outcome.ACTED] == [entry.name]


def test_what_a_member_wants_done_now_waits_for_nobody_elses_word(nights: Nights) -> None:
    nights.warned("a", "b", "c", "d")
    now(nights, "a", "b", "c", "d")

    assert {result.outcome for result in nights.after(HOUR).values()} == {Outcome.ACTED}


# --- law 7: it can be undone --------------------------------------------------------------------------


def test_without_the_undo_in_the_ledger_nothing_is_done(
    with_lamp: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(with_lamp.actions, "begin", raising(OSError("the table is full")))
    failed = with_lamp.after(4 * DAY)["lamp"]

    assert failed.outcome is Outcome.FAILED
    assert "nothing was done" in outcome_note(failed)
    assert "the table is full" in outcome_note(failed)
    assert with_lamp.world.done == []


def test_what_was_done_is_brought_back_and_then_left_alone(with_lamp: Nights) -> None:
    with_lamp.after(4 * DAY)

    done = with_lamp.undo()

    assert (done.stage, done.undone_by) == (Stage.UNDONE, "maria")
    assert (list(with_lamp.world.things), with_lamp.world.unplugged) == (["lamp"], set())
    assert with_lamp.after(DAY)["lamp"].outcome is Outcome.KEPT
    assert with_lamp.after(7 * DAY)["lamp"].outcome is Outcome.WARNED
    with pytest.raises(CannotUndoError, match="brought back before, by maria"):
        with_lamp.undo()


def test_what_was_brought_back_is_left_alone_whenever_the_run_was_killed(with_lamp: Nights) -> None:
    with_lamp.after(4 * DAY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(with_lamp.holds), "put", raising(KilledError()))
        with pytest.raises(KilledError):
            with_lamp.undo()

    with_lamp.undo()

    assert with_lamp.of("lamp").stage is Stage.UNDONE
    assert with_lamp.after(DAY)["lamp"].outcome is Outcome.KEPT


# --- what goes wrong ------------------------------------------------------------------------------------


def test_a_lost_answer_is_settled_by_looking(with_lamp: Nights) -> None:
    with_lamp.world.after = raising(LostError("reset"), at="remove lamp")

    assert with_lamp.after(4 * DAY)["lamp"].outcome is Outcome.ACTED
    assert with_lamp.of("lamp").stage is Stage.ACTED


@cases(
    "moment, step, done",
    ("before", "unplug lamp", ["unplug lamp", "remove lamp"]),
    ("after", "unplug lamp", ["unplug lamp", "unplug lamp", "remove lamp"]),
    ("before", "remove lamp", ["unplug lamp", "remove lamp"]),
    ("after", "remove lamp", ["unplug lamp", "remove lamp"]),
)
def test_a_killed_run_is_finished_by_the_next_without_doing_twice_what_it_recorded(
    with_lamp: Nights, moment: str, step: str, done: list[str]
) -> None:
    setattr(with_lamp.world, moment, raising(KilledError(), at=step))
    with_lamp.clock += 4 * DAY
    with pytest.raises(KilledError):
        with_lamp.sweep()
    assert with_lamp.of("lamp").stage is Stage.ACTING
    with_lamp.world.before = with_lamp.world.after = lambda _: None

    with_lamp.after(HOUR)

    assert (with_lamp.of("lamp").stage, with_lamp.world.things, with_lamp.world.done) == (
        Stage.ACTED,
        {},
        done,
    )
    assert len(with_lamp.actions.all("cellar", ACCOUNT, REGION)) == 1


def test_half_done_and_in_use_again_is_put_back(nights: Nights) -> None:
    half_done(nights)
    nights.world.use("lamp")

    changed = nights.after(HOUR)["lamp"]

    assert changed.outcome is Outcome.CHANGED
    assert "is being put back" in outcome_note(changed)
    (asked,) = nights.put_back
    nights.undoing.undo(Cleaner(), nights.aws, asked, by="the janitor")
    assert nights.world.unplugged == set()
    assert nights.world.done == ["unplug lamp", "plug in lamp"]


def test_who_may_not_ask_for_the_undo_says_so_and_how_it_is_done_by_hand(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays half done, and is asked for again by every sweep until somebody takes it."""
    half_done(nights)
    nights.world.use("lamp")
    refused = raising(PermissionError("not authorized to perform: lambda:InvokeFunction"))
    with monkeypatch.context() as patch:
        patch.setattr(nights, "put_back", SimpleNamespace(append=refused))
        notes = [nights.after(HOUR)["lamp"] for _ in range(MOST_TRIES + 1)]

    assert {failed.outcome for failed in notes} == {Outcome.FAILED}
    hand = (
        "PermissionError: not authorized to perform: lambda:InvokeFunction; by hand: janitor undo "
        f"{nights.of('lamp').id}"
    )
    assert [outcome_note(failed) for failed in notes] == [
        f"it is used; what had been done is not put back: {hand}",
        *[f"asked back by the janitor, and not gone on with: {hand}"] * MOST_TRIES,
    ]
    assert nights.after(HOUR)["lamp"].outcome is Outcome.WAITING
    assert [action.target.name for action in nights.put_back] == ["lamp"]


@cases(
    "tags, why",
    ({"managed-by": "terraform"}, "terraform manages it"),
    ({"environment": "prod"}, "it serves prod"),
    ids=["managed", "production"],
)
def test_half_done_and_only_reported_now_is_put_back(nights: Nights, tags: dict[str, str], why: str) -> None:
    half_done(nights)
    nights.world.things["lamp"] = tagged("lamp", **tags)

    spared = nights.after(HOUR)["lamp"]

    assert spared.outcome is Outcome.ADVISED
    assert why in outcome_note(spared)
    assert "is being put back" in outcome_note(spared)
    assert len(nights.put_back) == 1
    assert nights.world.done == ["unplug lamp"]


def test_what_aws_refused_and_then_is_used_has_nothing_to_be_put_back(nights: Nights) -> None:
    broke_off(nights, DENIED, at="unplug lamp")
    assert nights.of("lamp").steps == {"act: unplug": "refused"}
    nights.world.before = lambda _: None
    nights.world.use("lamp")

    changed = nights.after(HOUR)["lamp"]

    assert (changed.outcome, outcome_note(changed)) == (Outcome.CHANGED, "it is used")
    assert (nights.of("lamp").stage, nights.put_back) == (Stage.WITHDRAWN, [])


def test_a_refused_step_is_done_by_the_next_sweep_if_aws_lets_it(nights: Nights) -> None:
    broke_off(nights, DENIED, at="unplug lamp")

    assert nights.after(HOUR)["lamp"].outcome is Outcome.ACTED

    assert nights.of("lamp").steps == {"act: unplug": "done", "act: remove": "done"}


def test_what_has_no_time_left_is_no_failure(with_lamp: Nights) -> None:
    with_lamp.world.before = raising(OutOfTimeError("the run has no time left"), at="remove lamp")

    waiting = with_lamp.after(4 * DAY)["lamp"]

    assert waiting.outcome is Outcome.WAITING
    assert outcome_note(waiting) == "half done: the run had no time left, and the next one goes on with it"
    assert (with_lamp.of("lamp").stage, with_lamp.of("lamp").failures) == (Stage.ACTING, 0)


def test_what_keeps_failing_is_left_to_a_person_and_put_back_when_it_is_in_use_again(
    with_lamp: Nights,
) -> None:
    with_lamp.world.before = raising(RuntimeError("denied"), at="remove lamp")
    for _ in range(MOST_TRIES):
        assert with_lamp.after(4 * DAY)["lamp"].outcome is Outcome.FAILED

    last = with_lamp.after(DAY)["lamp"]
    assert (last.outcome, "a person has to look" in outcome_note(last)) == (Outcome.FAILED, True)
    assert with_lamp.of("lamp").attempts == MOST_TRIES
    with_lamp.world.use("lamp")
    changed = with_lamp.after(HOUR)["lamp"]

    assert changed.outcome is Outcome.CHANGED
    assert outcome_note(changed) == "it is used; what had been done is being put back"
    assert [action.target.name for action in with_lamp.put_back] == ["lamp"]


def test_one_failure_does_not_stop_the_others(nights: Nights) -> None:
    nights.warned("a", "b", "c")
    nights.world.before = raising(RuntimeError("denied"), at="unplug b")

    outcomes = {name: result.outcome for name, result in nights.after(4 * DAY).items()}

    assert outcomes == {"a": Outcome.ACTED, "b": Outcome.FAILED, "c": Outcome.ACTED}


@cases(
    "refuses, outcome, said",
    (CannotActError("it is watched"), Outcome.ADVISED, "only reported: it is watched"),
    (NotFinishedError("half is compared", {}), Outcome.WAITING, "being prepared: half is compared"),
    (RuntimeError("denied"), Outcome.FAILED, "nothing was done: RuntimeError: denied"),
    ids=["cannot", "not yet", "broken"],
)
def test_what_cannot_be_prepared_is_not_done(
    with_lamp: Nights, refuses: Exception, outcome: Outcome, said: str
) -> None:
    with_lamp.world.refuses = refuses

    result = with_lamp.after(4 * DAY)["lamp"]

    assert (result.outcome, outcome_note(result)) == (outcome, said)
    assert with_lamp.world.done == []


def test_what_an_act_rests_on_is_described_anew(with_lamp: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by a kept description nor by Search, from which the sweep may have found it."""
    with_lamp.aws.aided = True
    aided, real = list[bool](), Cleaner.look

    def look(self: Cleaner, aws: Any, target: Any, now: datetime) -> Any:
        aided.append(aws.aided)
        return real(self, aws, target, now)

    monkeypatch.setattr(Cleaner, "look", look)

    assert with_lamp.after(4 * DAY)["lamp"].outcome is Outcome.ACTED
    assert set(aided) == {False}


def test_a_tag_that_protected_in_the_last_moment_voids_the_warning(with_lamp: Nights) -> None:
    with pytest.MonkeyPatch.context() as patch:
        looks(patch, lambda _: tagged("lamp", environment="production"))
        assert with_lamp.after(4 * DAY)["lamp"].outcome is Outcome.ADVISED

    assert with_lamp.after(DAY)["lamp"].outcome is Outcome.ADVISED
    assert with_lamp.after(3 * DAY)["lamp"].outcome is Outcome.WARNED


def test_a_keep_said_while_it_was_prepared_still_counts(
    with_lamp: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Comparing what is large takes minutes."""
    keep: Any = partial(with_lamp.hold, how=HoldKind.KEPT)
    monkeypatch.setattr(Cleaner, "prepare", lambda *_: keep("lamp") or {})
    changed = with_lamp.after(4 * DAY)["lamp"]

    assert (changed.outcome, outcome_note(changed)) == (Outcome.CHANGED, "kept by maria")
    assert with_lamp.world.done == []


def test_preparing_goes_on_from_its_memo(with_lamp: Nights) -> None:
    with_lamp.world.refuses = NotFinishedError("comparing", {})

    with_lamp.after(4 * DAY)
    with_lamp.after(HOUR)

    (entry,) = with_lamp.entries().values()
    assert entry.memo == {"read": 2}


def broke_off(nights: Nights, error: BaseException, *, at: str = "remove lamp") -> None:
    """The lamp was warned about, and what was done to it ended so *at* a step."""
    nights.warned("lamp")
    nights.world.before = raising(error, at=at)
    assert nights.after(4 * DAY)["lamp"].outcome is Outcome.FAILED
    nights.world.before = lambda _: None


def half_done(nights: Nights) -> None:
    """An action on the lamp that broke off after its first step."""
    broke_off(nights, RuntimeError("throttled"))


def test_half_done_under_a_warning_that_is_void_by_now_is_put_back(nights: Nights) -> None:
    """Disarmed, its message says that nothing is done; armed again, it has to be warned about first."""
    half_done(nights)
    nights.arming = replace(ARMED, mode=Mode.DRY_RUN)
    nights.after(DAY)
    nights.arming = ARMED

    changed = nights.after(30 * DAY)["lamp"]

    assert (changed.outcome, list(nights.world.things)) == (Outcome.CHANGED, ["lamp"])
    assert outcome_note(changed) == "its warning is void; what had been done is being put back"
    assert [action.target.name for action in nights.put_back] == ["lamp"]


def test_what_was_to_be_put_back_is_not_finished_because_nobody_uses_it_any_more(nights: Nights) -> None:
    """The undo function never got to it, and the next day it is waste again: under no warning."""
    half_done(nights)
    waste_again = nights.world.things["lamp"]
    nights.world.use("lamp")
    assert nights.after(HOUR)["lamp"].outcome is Outcome.CHANGED
    nights.world.things["lamp"] = waste_again

    asked = nights.after(DAY)["lamp"]

    assert (asked.outcome, list(nights.world.things)) == (Outcome.WAITING, ["lamp"])
    assert outcome_note(asked) == "asked back by the janitor, and gone on with now"
    assert [action.target.name for action in nights.put_back] == ["lamp", "lamp"]
    nights.undoing.undo(Cleaner(), nights.aws, nights.of("lamp"), by="the janitor", again=True)
    assert nights.world.unplugged == set()


def test_what_is_half_done_is_not_finished_on_a_weekend(nights: Nights) -> None:
    """Not by itself: what a member wanted done now is."""
    nights.arming = replace(ARMED, business_days=True)
    nights.warned("lamp", "sofa")
    now(nights, "sofa")
    nights.world.before = failing
    friday = nights.after(3 * DAY + HOUR)
    assert {result.outcome for result in friday.values()} == {Outcome.FAILED}
    nights.world.before = lambda _: None

    saturday = nights.after(DAY)

    assert saturday["lamp"].outcome is Outcome.WAITING
    assert (
        outcome_note(saturday["lamp"])
        == "half done: nothing is deleted on weekends and holidays (business_days)"
    )
    assert saturday["sofa"].outcome is Outcome.ACTED
    assert nights.after(2 * DAY)["lamp"].outcome is Outcome.ACTED


def failing(step: str) -> None:
    """Every first step works, and no second one."""
    if step.startswith("remove"):
        raise RuntimeError("throttled")


def test_what_is_half_done_waits_for_a_persons_word_as_well(nights: Nights) -> None:
    """Metrics broke for everything meanwhile: looking again sees what the sweep saw."""
    half_done(nights)
    nights.world.add("a", "b", "c", "d")

    ran = nights.sweep()

    assert by_name(ran)["lamp"].outcome is Outcome.WAITING
    assert outcome_note(by_name(ran)["lamp"]).startswith("half done: 5 of 5 would be deleted")
    (why,) = limit_texts(ran.report.sweeps[0])
    assert why.endswith("to go on: janitor approve cellar")
    assert list(nights.world.things) == ["lamp", "a", "b", "c", "d"]
    approve(nights)
    assert nights.after(HOUR)["lamp"].outcome is Outcome.ACTED


def test_a_keep_said_while_it_waits_for_aws_still_counts(
    with_lamp: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its message says that it is kept; the run must not delete it minutes later."""
    tries = stuck(monkeypatch)
    with_lamp.wait = lambda: with_lamp.hold("lamp", how=HoldKind.KEPT)
    changed = with_lamp.after(4 * DAY)["lamp"]

    assert (changed.outcome, tries) == (Outcome.CHANGED, ["lamp"])
    assert outcome_note(changed) == "kept by maria; what had been done is being put back"
    assert [action.target.name for action in with_lamp.put_back] == ["lamp"]


def test_what_waits_for_aws_leaves_the_other_regions_their_time(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One stuck action must not keep the regions after it from theirs."""
    real, until, waited = Acting.act, [], []

    def act(self: Acting, *given: Any, **how: Any) -> ActedSweep:
        until.append(how["until"] - nights.clock)
        return real(self, *given, **how)

    def wait() -> None:
        waited.append(nights.clock)
        nights.clock += timedelta(minutes=1)

    nights.warned("lamp")
    nights.clock += 4 * DAY
    nights.wait = wait
    monkeypatch.setattr(Acting, "act", act)
    stuck(monkeypatch)
    others = [nights.aws.armed() for _ in range(2)]
    for number, other in enumerate(others):
        other.region, other.may_write = f"eu-west-{number}", False

    nights.runner().sweep(nights.detector, [nights.aws, *others], now=nights.clock)

    assert len(waited) == 5
    assert until == [timedelta(minutes=5)] * 2 + [timedelta(minutes=10)]


def test_a_ledger_that_fails_is_a_failure_also_when_no_time_is_left(nights: Nights) -> None:
    """Else an action that nobody could record would only be called waiting, and no alarm would ring."""
    result = result_of("lamp", detector="cellar")
    armed = nights.armed_sweep()
    nights.aws.ran_out = True
    unwritten = raising(OSError("the table is full"))

    def late(why: CauseCode) -> Outcome:
        return armed._attempt(result, unwritten, Cause(why, progress=UnfinishedProgress.HALF_DONE)).outcome

    assert (late(CauseCode.NO_LEDGER), late(CauseCode.NOT_FINISHED)) == (Outcome.FAILED, Outcome.WAITING)


def test_once_the_ledger_fails_nothing_more_is_begun(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    nights.warned("a", "b", "c")
    monkeypatch.setattr(nights.actions, "acted", raising(OSError("the table is full")))
    results = nights.after(4 * DAY)

    assert [results[name].outcome for name in "abc"] == [Outcome.FAILED, Outcome.WAITING, Outcome.WAITING]
    assert {results[name].cause for name in "abc"} == {
        Cause(CauseCode.NO_LEDGER, ("OSError: the table is full",))
    }
    assert nights.world.done == ["unplug a", "remove a"]


def test_what_is_half_done_takes_a_place_of_the_limits(with_lamp: Nights) -> None:
    with_lamp.clock += 2 * DAY
    with_lamp.warned("sofa")
    with_lamp.world.before = raising(RuntimeError("throttled"), at="remove lamp")
    assert with_lamp.after(DAY + HOUR)["lamp"].outcome is Outcome.FAILED
    with_lamp.world.before = lambda _: None
    with_lamp.arming = replace(ARMED, max_actions=1)

    assert {name: one.outcome for name, one in with_lamp.after(3 * DAY).items()} == {
        "lamp": Outcome.ACTED,
        "sofa": Outcome.WAITING,
    }


def test_what_a_person_wants_done_now_does_not_count_as_unseen_waste(nights: Nights) -> None:
    nights.warned("a", "b", "c", "d")
    nights.world.before = raising(RuntimeError("throttled"), at="unplug a")
    now(nights, "a")

    results = nights.after(4 * DAY)

    assert [results[name].outcome for name in "bcd"] == [Outcome.ACTED] * 3


def found(nights: Nights) -> Sweep:
    """What is found now."""
    return sweep_region(nights.detector, nights.aws, now=nights.clock, policy=nights.runner().policy)


def entries(nights: Nights) -> dict[str, Entry]:
    return {one.key: one for one in nights.entries().values()}


def act_on_found(nights: Nights) -> ActedSweep:
    """What acting makes of what is found now, by what the ledger knows."""
    runner = nights.runner()
    known = entries(nights)
    return not_none(runner.acting).act(
        nights.detector, nights.aws, found(nights), known, now=nights.clock, policy=runner.policy
    )


def test_what_is_not_armed_does_nothing(with_lamp: Nights) -> None:
    with_lamp.clock += 4 * DAY
    with_lamp.arming = replace(ARMED, mode=Mode.DRY_RUN)

    assert act_on_found(with_lamp) == ActedSweep(found(with_lamp))
    assert with_lamp.world.done == []


def test_in_a_sweep_that_broke_off_what_was_warned_about_waits_for_a_complete_one(with_lamp: Nights) -> None:
    with_lamp.world.add("chair")
    due = with_lamp.entries()["lamp"].due
    with_lamp.clock += 4 * DAY
    with_lamp.world.broken = RuntimeError("the listing broke off")

    so_far = act_on_found(with_lamp)

    results = {one.target.name: (one.outcome, one.due, one.cause) for one in so_far.sweep.results}
    assert results == {
        "lamp": (Outcome.WAITING, due, make_cause(CauseCode.SWEEP_INCOMPLETE)),
        "chair": (Outcome.WAITING, None, make_cause(CauseCode.UNWARNED)),
    }
    assert with_lamp.world.done == []


@pytest.mark.parametrize("undoable", [True, False])
def test_disarmed_it_says_what_no_function_may_undo(with_lamp: Nights, *, undoable: bool) -> None:
    with_lamp.after(4 * DAY)
    with_lamp.undoable = undoable
    resumed = not_none(with_lamp.runner().acting).resumed(with_lamp.detector, found(with_lamp))

    lost = UnreachableUndos(detector="cellar", region=REGION, count=1, last="2026-10-10", until="2026-11-09")
    assert resumed.unreachable == (None if undoable else lost)


def test_what_is_resumed_long_after_its_warning_is_told_as_done(nights: Nights) -> None:
    nights.warned("chair", "lamp")
    nights.world.before = raising(RuntimeError("throttled"), at="remove lamp")
    nights.arming = replace(ARMED, max_actions=1, max_share=100)
    now(nights, "lamp")
    nights.after(HOUR)
    nights.world.before = lambda _: None
    nights.clock += 42 * DAY

    results = {one.target.name: (one.outcome, one.why) for one in act_on_found(nights).sweep.results}

    assert results["lamp"] == (Outcome.ACTED, CauseCode.UNDO_WITH)
    assert results["chair"] == (Outcome.WAITING, CauseCode.WARNING_LAPSED)


def test_the_oldest_due_goes_first_and_of_those_due_at_once_the_first_by_name(nights: Nights) -> None:
    nights.arming = replace(ARMED, max_share=100)
    nights.warned("lamp")
    nights.clock += HOUR
    nights.warned("desk", "chair")
    nights.clock += 3 * DAY

    at = not_none(nights.entries()["lamp"].due)
    due = due_findings(found(nights), entries(nights), at)

    assert [one.target.name for one in due] == ["lamp"]
    assert [one.due for one in due] == [at]
    nights.after(HOUR)
    assert [step for step in nights.world.done if "remove" in step] == [
        "remove lamp",
        "remove chair",
        "remove desk",
    ]
    assert nights.pauses == 2


AT_WORK = "another run is at work on lamp, or somebody asked for its undo"


@pytest.fixture
def half_done_lamp(nights: Nights) -> Nights:
    """A lamp that was unplugged, and could not be removed."""
    half_done(nights)
    return nights


def lamp(nights: Nights, span: timedelta = HOUR) -> Result:
    """What a sweep *span* later says of the lamp."""
    return nights.after(span)["lamp"]


def looks(monkeypatch: pytest.MonkeyPatch, seen: Callable[[Thing], Thing | None]) -> None:
    """From now on a second look sees something else than the sweep did."""
    real = Cleaner.look

    def look(self: Cleaner, aws: Any, target: Any, now: Any) -> Thing | None:
        there = real(self, aws, target, now)
        return None if there is None else seen(there)

    monkeypatch.setattr(Cleaner, "look", look)


def stuck(monkeypatch: pytest.MonkeyPatch, *, times: int = 1000) -> list[str]:
    """AWS takes its time, so often; the attempts."""
    real, attempts = Cleaner.act, list[str]()

    def act(self: Cleaner, aws: Any, target: Any, record: Any, steps: Any) -> None:
        attempts.append(target.name)
        steps.do("unplug", lambda: None)
        if len(attempts) <= times:
            raise NotFinishedError("its plug is still being pulled")
        real(self, aws, target, record, steps)

    monkeypatch.setattr(Cleaner, "act", act)
    return attempts


# --- before anything is done ---------------------------------------------------------------------------


@cases(
    "seen, why",
    (lambda there: replace(there, verdict=USED), make_cause(CauseCode.NO_LONGER_WASTE, "it is used")),
    (lambda _: None, make_cause(CauseCode.GONE)),
    (
        lambda _: thing("lamp", USED, created=TUESDAY),
        make_cause(CauseCode.NO_LONGER_WASTE, "another resource has its name now"),
    ),
    ids=["used", "gone", "made anew"],
)
def test_what_is_no_longer_waste_at_the_second_look_is_closed(
    with_lamp: Nights, monkeypatch: pytest.MonkeyPatch, seen: Callable[[Thing], Thing | None], why: Cause
) -> None:
    looks(monkeypatch, seen)

    changed = lamp(with_lamp, 4 * DAY)

    assert (changed.outcome, changed.cause) == (Outcome.CHANGED, why)
    closed = with_lamp.entries()["lamp"]
    assert (closed.closed, closed.warned, closed.untold_why) == (with_lamp.clock, None, closed.close_reason)
    assert with_lamp.world.done == []


def test_nothing_is_begun_or_gone_on_with_without_time(
    with_lamp: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(with_lamp.aws, "_has_time", lambda: False)
    waiting = lamp(with_lamp, 4 * DAY)

    assert (waiting.outcome, waiting.cause) == (Outcome.WAITING, make_cause(CauseCode.OUT_OF_TIME))
    assert with_lamp.actions.all("cellar", ACCOUNT, REGION) == []
    assert with_lamp.entries()["lamp"].warned == TUESDAY


def test_what_is_half_done_waits_for_a_run_with_time(
    half_done_lamp: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(half_done_lamp.aws, "_has_time", lambda: False)
    waiting = lamp(half_done_lamp)

    assert (waiting.outcome, waiting.cause) == (Outcome.WAITING, half_done_cause(CauseCode.OUT_OF_TIME))
    assert (half_done_lamp.of("lamp").stage, half_done_lamp.of("lamp").attempts) == (Stage.FAILED, 1)


@pytest.mark.parametrize(("effect", "saves"), [(Effect.DELETE, True), (Effect.TAG, False)])
def test_only_what_ends_a_cost_is_recorded_to_save_it(
    with_lamp: Nights, effect: Effect, *, saves: bool
) -> None:
    with_lamp.arming = replace(ARMED, effect=effect)

    assert lamp(with_lamp, 4 * DAY).outcome is Outcome.ACTED

    assert (with_lamp.of("lamp").hourly_usd is not None) is saves


def test_a_warning_that_was_acted_on_before_is_void(with_lamp: Nights) -> None:
    """The run that came to nothing could not close the finding."""
    action = with_lamp.actions.begin(lamp(with_lamp), {"name": "lamp"}, warned=TUESDAY, now=with_lamp.clock)
    with_lamp.actions.withdrawn(action, because("it was used"))

    waiting = lamp(with_lamp, 4 * DAY)

    said = "lamp was acted on before under this warning"
    assert (waiting.outcome, waiting.cause) == (Outcome.WAITING, make_cause(CauseCode.ACTED_BEFORE, said))
    assert (with_lamp.entries()["lamp"].voided, with_lamp.entries()["lamp"].warned, with_lamp.world.done) == (
        True,
        None,
        [],
    )


def test_an_undo_that_the_ledger_cannot_keep_takes_no_place(
    with_lamp: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_lamp.warned("sofa")
    with_lamp.arming = replace(ARMED, max_actions=1)

    def prepare(_: Cleaner, __: object, candidate: Thing, ___: object) -> dict[str, Any]:
        name = candidate.target.name
        return {"name": name, "all of it": "x" * (400_000 if name == "lamp" else 1)}

    monkeypatch.setattr(Cleaner, "prepare", prepare)
    assert {name: one.outcome for name, one in with_lamp.after(4 * DAY).items()} == {
        "lamp": Outcome.ADVISED,
        "sofa": Outcome.ACTED,
    }


# --- the second look -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("undo", "seen"), [(None, "look"), ({"name": "lamp"}, "look_unfinished")])
def test_what_is_half_done_is_looked_at_in_its_own_way(
    with_lamp: Nights, monkeypatch: pytest.MonkeyPatch, undo: dict[str, Any] | None, seen: str
) -> None:
    used = replace(with_lamp.world.things["lamp"], verdict=USED)
    monkeypatch.setattr(Cleaner, seen, lambda *_: used)
    other = {"look": "look_unfinished", "look_unfinished": "look"}[seen]
    monkeypatch.setattr(Cleaner, other, lambda *_: None)

    assert with_lamp.armed_sweep().recheck.verdict(lamp(with_lamp), with_lamp.clock, undo) == (USED, used)


@cases(
    "ended, steps, done, expected",
    (None, {}, True, True),
    (None, {}, False, False),
    ("it went out", {}, True, False),
    ("it went out", {"act: unplug": "begun"}, True, False),
    ("it went out", {"act: unplug": "done"}, True, True),
    ("it went out", {"undo: plug in": "done"}, True, False),
    (LostError("reset"), {}, True, False),
    (None, {}, LostError("reset"), False),
)
def test_what_ended_by_itself_or_cannot_be_looked_at_is_not_done(
    with_lamp: Nights,
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

    action = with_lamp.actions.begin(lamp(with_lamp), {"name": "lamp"}, warned=TUESDAY, now=with_lamp.clock)
    action = replace(action, steps=steps)
    monkeypatch.setattr(Cleaner, "ended_otherwise", answering(ended))
    monkeypatch.setattr(Cleaner, "is_done", answering(done))

    assert with_lamp.armed_sweep().recheck.is_done(action) is expected
    itself = isinstance(ended, str) and steps != {"act: unplug": "done"}
    assert with_lamp.armed_sweep().recheck.ended_otherwise(action) == (ended if itself else None)


# --- the end of an attempt -----------------------------------------------------------------------------


def test_what_changed_before_the_first_step_is_withdrawn_and_closed(
    with_lamp: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cleaner, "act", raising(CannotActError("it moved on")))
    changed = lamp(with_lamp, 4 * DAY)

    assert (changed.outcome, changed.cause) == (
        Outcome.CHANGED,
        make_cause(CauseCode.NO_LONGER_WASTE, "it moved on"),
    )
    assert (with_lamp.of("lamp").stage, with_lamp.of("lamp").error) == (Stage.WITHDRAWN, changed.cause)
    assert (with_lamp.entries()["lamp"].closed, with_lamp.entries()["lamp"].close_reason) == (
        with_lamp.clock,
        changed.cause,
    )


def test_what_ended_by_itself_before_the_first_step_is_withdrawn(
    with_lamp: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_lamp.world.before = raising(KilledError(), at="unplug lamp")
    with_lamp.clock += 4 * DAY
    with pytest.raises(KilledError):
        with_lamp.sweep()
    monkeypatch.setattr(Cleaner, "ended_otherwise", lambda *_: "it went out")

    changed = lamp(with_lamp)

    assert (changed.outcome, changed.cause) == (
        Outcome.CHANGED,
        make_cause(CauseCode.NO_LONGER_WASTE, "it went out"),
    )
    assert (with_lamp.of("lamp").stage, with_lamp.put_back) == (Stage.WITHDRAWN, [])


def test_what_is_as_the_act_leaves_it_before_the_first_step_was_done_by_others(with_lamp: Nights) -> None:
    """The run was killed between storing the undo and its first step."""
    with_lamp.actions.begin(lamp(with_lamp), {"name": "lamp"}, warned=TUESDAY, now=with_lamp.clock)
    del with_lamp.world.things["lamp"]

    changed = lamp(with_lamp)

    assert (changed.outcome, changed.cause) == (Outcome.CHANGED, make_cause(CauseCode.DONE_BY_OTHERS))
    assert (with_lamp.of("lamp").stage, with_lamp.world.done) == (Stage.WITHDRAWN, [])


def test_what_takes_a_day_is_a_failure_in_the_second_after_it(
    with_lamp: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck(monkeypatch)

    outcomes = [lamp(with_lamp, span).outcome for span in (4 * DAY, DAY, timedelta(seconds=1))]

    assert outcomes == [Outcome.WAITING, Outcome.WAITING, Outcome.FAILED]


# --- what broke off, or waits --------------------------------------------------------------------------


def test_a_record_that_was_changed_is_not_taken_for_done(half_done_lamp: Nights) -> None:
    action = half_done_lamp.of("lamp")
    half_done_lamp.table.change(action.pk, action.sk, set_to={"undo": '{"name": "prey"}'})
    del half_done_lamp.world.things["lamp"]

    failed = lamp(half_done_lamp)

    assert (failed.outcome, failed.cause) == (Outcome.FAILED, Cause(CauseCode.MAC_INVALID))
    left = half_done_lamp.of("lamp")
    assert (left.stage, left.error) == (Stage.FAILED, Cause(CauseCode.MAC_INVALID))


@cases(
    "arming, why",
    ({"max_actions": 0}, make_cause(CauseCode.MAX_ACTIONS, 0)),
    ({"act_in": (f"{ACCOUNT}/eu-west-1",)}, half_done_cause(CauseCode.OUTSIDE_ACT_IN, ACCOUNT, REGION)),
    ids=["limits", "act_in"],
)
def test_what_is_half_done_waits_for_what_a_beginning_would(
    half_done_lamp: Nights, arming: dict[str, Any], why: Cause
) -> None:
    half_done_lamp.arming = replace(ARMED, **arming)

    waiting = lamp(half_done_lamp)

    assert (waiting.outcome, waiting.cause) == (Outcome.WAITING, why)
    assert (half_done_lamp.world.done, half_done_lamp.of("lamp").error) == (
        ["unplug lamp"],
        make_cause(CauseCode.ACT_FAILED, "RuntimeError: throttled"),
    )


def test_what_is_half_done_and_cannot_be_judged_is_left_so(half_done_lamp: Nights) -> None:
    half_done_lamp.world.judge("lamp", UNTELLABLE)

    waiting = lamp(half_done_lamp)

    why = half_done_cause(CauseCode.UNKNOWN_AT_RECHECK, "its use could not be read")
    assert (waiting.outcome, waiting.cause) == (Outcome.WAITING, why)
    assert (half_done_lamp.put_back, half_done_lamp.of("lamp").stage) == ([], Stage.FAILED)


def test_a_revert_that_somebody_else_asks_for_in_that_moment_is_theirs(
    half_done_lamp: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    half_done_lamp.world.use("lamp")
    monkeypatch.setattr(half_done_lamp.actions, "request_undo", raising(BegunBeforeError(AT_WORK)))
    kept = lamp(half_done_lamp)

    busy = Cause(CauseCode.ANOTHER_RUN, (AT_WORK,), progress=UnfinishedProgress.HALF_DONE)
    assert (kept.outcome, kept.cause, half_done_lamp.put_back) == (Outcome.KEPT, busy, [])


def test_what_waits_for_aws_is_gone_on_with_until_it_is_done(
    with_lamp: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts, waits = stuck(monkeypatch, times=2), list[str]()
    with_lamp.wait = lambda: waits.append("a minute")

    assert lamp(with_lamp, 4 * DAY).outcome is Outcome.ACTED

    assert (attempts, len(waits)) == (["lamp"] * 3, 2)


@pytest.mark.parametrize(("waits", "minutes"), [(40, 1000), (3, 3), (0, 0)], ids=["rounds", "time", "none"])
def test_aws_is_waited_for_so_often_and_while_there_is_time(
    with_lamp: Nights, monkeypatch: pytest.MonkeyPatch, waits: int, minutes: int
) -> None:
    attempts, waited = stuck(monkeypatch), list[str]()
    with_lamp.wait = lambda: waited.append("a minute")
    monkeypatch.setattr(ArmedSweep, "act", ends_time(with_lamp, monkeypatch, waited, minutes))

    assert (lamp(with_lamp, 4 * DAY).outcome, len(waited)) == (Outcome.WAITING, waits)
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
    with_lamp: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck(monkeypatch)
    lamp(with_lamp, 4 * DAY)

    def ask() -> None:
        with_lamp.actions.request_undo(*with_request(with_lamp.of("lamp"), "maria", with_lamp.clock))

    with_lamp.wait = ask
    asked = lamp(with_lamp, 2 * DAY)

    assert asked.outcome is Outcome.WAITING
    assert asked.cause == Cause(CauseCode.ANOTHER_RUN, (AT_WORK,), progress=UnfinishedProgress.HALF_DONE)


def reported(nights: Nights) -> dict[str, str]:
    """The outcomes in the report of a run that failed, which tonight's run is."""
    with pytest.raises(RunFailedError):
        nights.sweep()
    assert isinstance(nights.archive, NoArchive)
    return {result.target.name: result.outcome for result in nights.archive.kept[-1].results}


def test_of_what_was_refused_before(refused: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last thing that acting does is to ask whether what was refused before still is."""
    refused.world.refuses = None
    refused.warned("chair")
    monkeypatch.setattr(Ledger, "clear_refusal", raising(DENIED))
    refused.clock += 4 * DAY

    assert reported(refused) == {"chair": "acted", "lamp": "advised"}
    assert refused.of("chair").stage is Stage.ACTED


def test_of_what_is_only_reported_by_now(with_lamp: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was half done goes first."""
    with_lamp.world.add("chair")
    with_lamp.world.before = raising(OSError("reset"), at="remove lamp")
    with_lamp.after(4 * DAY)
    with_lamp.world.before = lambda _: None
    with_lamp.world.things["chair"] = tagged("chair", environment="prod")
    monkeypatch.setattr(Ledger, "void_warning", raising(DENIED))
    with_lamp.clock += DAY

    assert reported(with_lamp) == {"chair": "advised", "lamp": "acted"}


def test_of_warnings(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more are sent that nobody could remember."""
    nights.world.add("a", "b", "c")
    real = Ledger.warned

    def once(*given: Any, **how: Any) -> Any:
        monkeypatch.setattr(Ledger, "warned", raising(DENIED))
        return real(*given, **how)

    monkeypatch.setattr(Ledger, "warned", once)

    assert reported(nights) == {"a": "warned", "b": "waiting", "c": "waiting"}
    assert nights.postman.carried == ["a", "b"]


WATCHED = CannotActError("a monitoring schedule watches it")
REPORTED = (Outcome.ADVISED, "only reported: a monitoring schedule watches it")


@pytest.fixture
def refused(with_lamp: Nights) -> Nights:
    """A lamp that was warned about, and that cannot be prepared when it is due."""
    with_lamp.world.refuses = WATCHED
    lamp = with_lamp.after(4 * DAY)["lamp"]
    assert (lamp.outcome, outcome_note(lamp)) == REPORTED
    return with_lamp


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was prepared, by name."""
    asked: list[str] = []
    real = Cleaner.prepare

    def prepare(self: Cleaner, aws: Any, candidate: Any, *args: Any) -> Any:
        asked.append(candidate.target.name)
        return real(self, aws, candidate, *args)

    monkeypatch.setattr(Cleaner, "prepare", prepare)
    return asked


def test_nobody_is_warned_again_and_again_of_what_will_not_happen(
    refused: Nights, prepared: list[str]
) -> None:
    for _ in range(20):
        lamp = refused.after(DAY)["lamp"]
        assert (lamp.outcome, outcome_note(lamp)) == REPORTED

    assert refused.postman.carried == ["lamp"]
    assert prepared == ["lamp"] * 6, "asked again when a warning would have been due, every three days"
    assert refused.world.done == []


def test_once_nothing_stands_against_it_it_is_warned_about_anew(refused: Nights) -> None:
    refused.world.refuses = None

    assert refused.after(DAY)["lamp"].outcome is Outcome.ADVISED
    assert refused.after(3 * DAY)["lamp"].outcome is Outcome.WARNED

    assert refused.after(DAY)["lamp"].outcome is Outcome.WAITING
    assert refused.after(3 * DAY)["lamp"].outcome is Outcome.ACTED
    assert refused.postman.carried == ["lamp", "lamp"]


def test_nor_does_one_whose_acting_broke_off(refused: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Acting, "act", raising(RuntimeError("acting broke off")))
    refused.clock += 4 * DAY

    with pytest.raises(RunFailedError, match="acting broke off"):
        refused.sweep()

    assert refused.postman.carried == ["lamp"]


def test_asking_again_goes_on_from_its_memo_and_warns_when_it_came_to_an_end(refused: Nights) -> None:
    refused.world.refuses = NotFinishedError("comparing", {})

    outcomes = [refused.after(4 * DAY)["lamp"].outcome, refused.after(HOUR)["lamp"].outcome]
    lamp = refused.entries()["lamp"]
    assert (outcomes, lamp.memo) == ([Outcome.ADVISED] * 2, {"read": 2})
    refused.table.change(lamp.pk, lamp.sk, set_to={"memo": '{"read": 7}'})
    refused.after(HOUR)
    assert refused.entries()["lamp"].memo == {"read": 1}, "nobody signed that it had come so far"
    refused.world.refuses = None

    assert refused.after(HOUR)["lamp"].outcome is Outcome.WARNED
    assert refused.entries()["lamp"].memo == {}


def test_what_cannot_be_read_while_asking_again_changes_nothing(refused: Nights) -> None:
    refused.world.refuses = RuntimeError("throttled")
    lamp = refused.after(4 * DAY)["lamp"]
    assert (lamp.outcome, outcome_note(lamp)) == REPORTED
    refused.world.refuses = None

    assert refused.after(HOUR)["lamp"].outcome is Outcome.WARNED


def test_what_was_in_use_meanwhile_starts_from_nothing(refused: Nights) -> None:
    refused.world.use("lamp")
    refused.after(HOUR)
    refused.world.judge("lamp", waste())

    assert refused.after(HOUR)["lamp"].outcome is Outcome.WARNED


def test_what_is_used_when_it_would_be_prepared_again_is_reported_as_before(
    refused: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused.world.refuses = None
    looks(monkeypatch, lambda there: replace(there, verdict=USED))

    lamp = refused.after(4 * DAY)["lamp"]

    assert (lamp.outcome, lamp.cause) == (
        Outcome.ADVISED,
        make_cause(CauseCode.REFUSED_BY_PREPARE, make_cause(CauseCode.CANNOT_ACT, WATCHED.args[0])),
    )


def test_another_grace_is_the_one_that_is_waited_for(refused: Nights, prepared: list[str]) -> None:
    refused.world.judge("lamp", replace(waste(), grace=HOUR))

    refused.after(2 * HOUR)

    assert prepared == ["lamp"]


def test_a_refusal_at_a_persons_word_is_remembered_too(with_lamp: Nights) -> None:
    now(with_lamp, "lamp")
    with_lamp.world.refuses = WATCHED

    with_lamp.after(HOUR)
    lamp = by_name(with_lamp.sweep())["lamp"]

    assert ((lamp.outcome, outcome_note(lamp)), with_lamp.postman.carried) == (REPORTED, ["lamp"])


def test_what_could_not_be_kept_for_an_undo_is_not_done(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An item of DynamoDB holds 400 KB; the steps of an act and of its undo have to fit in, too."""
    kilobytes = 350
    monkeypatch.setattr(
        Cleaner, "prepare", lambda *_: {"name": "lamp", "environment": "x" * 1024 * kilobytes}
    )
    nights.warned("lamp")

    refused = nights.after(4 * DAY)["lamp"]

    assert (refused.outcome, nights.world.done) == (Outcome.ADVISED, [])
    assert (
        outcome_note(refused) == "only reported: what an undo would need is 350 KB, and the ledger takes 300"
    )
    for _ in range(10):
        assert nights.after(DAY)["lamp"].outcome is Outcome.ADVISED
    kilobytes = 299
    for _ in range(5):
        nights.after(2 * DAY)
    assert nights.undo().stage is Stage.UNDONE
