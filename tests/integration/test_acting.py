"""The armed order of things, law by law: warned, due, within the limits, looked at again, undoable."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from armed import DENIED, Cellar, KilledError, Loft, LostError, raising, tagged
from conftest import ACCOUNT, NOW, REGION
from fakes import UNTELLABLE, because, thing, waste
from ml_janitor.acting.acting import ActedSweep, Acting
from ml_janitor.acting.undoing import CannotUndoError
from ml_janitor.aws.calls import OutOfTimeError
from ml_janitor.core.model import Confidence, Mode
from ml_janitor.core.ownership import ManagerPolicy
from ml_janitor.core.results import Cause, CauseCode, Outcome, Result, UnfinishedProgress, make_cause
from ml_janitor.engine.detector import CannotActError, NotFinishedError
from ml_janitor.engine.policy import HoldKind
from ml_janitor.engine.run import RunFailedError, sweep_region
from ml_janitor.ledger.actions import MOST_TRIES, Action, BegunBeforeError, Stage
from ml_janitor.report.causes import limit_texts, outcome_note
from nights import ARMED, DAY, HOUR, TUESDAY, Nights, by_name, in_memory


@pytest.fixture
def nights() -> Iterator[Nights]:
    """The table is in memory: what the sandbox's does differently is for the other tests."""
    with in_memory() as nights:
        yield nights


def now(nights: Nights, *names: str) -> None:
    """Maria presses *Do it now* under each of these warnings."""
    for entry in nights.ledger.entries("cellar", ACCOUNT, REGION):
        if entry.name in names:
            nights.ledger.make_due(entry, by="maria", now=nights.clock)


def approve(nights: Nights) -> None:
    """A person approves all that is due."""
    for entry in nights.ledger.entries("cellar", ACCOUNT, REGION):
        nights.ledger.approve(entry, by="maria")


def acted(nights: Nights) -> None:
    """The lamp was warned about and removed."""
    nights.warned("lamp")
    nights.after(4 * DAY)


def undone(nights: Nights) -> Action:
    """One try to bring the lamp back."""
    action = nights.undoing.find("cellar", ACCOUNT, REGION, nights.of("lamp").id)
    return nights.undoing.undo(Cellar(), nights.aws, action, by="maria")


# --- the order of things ----------------------------------------------------------------------------


def test_it_warns_waits_looks_again_acts_and_reports(nights: Nights) -> None:
    nights.world.add("lamp")

    warned = by_name(nights.sweep())["lamp"]
    assert warned.due == nights.postman.dues["lamp"] >= TUESDAY + 3 * DAY
    waiting = nights.after(2 * DAY)["lamp"]
    assert (waiting.outcome, outcome_note(waiting)) == (Outcome.WAITING, "warned; not due yet")
    assert nights.world.done == []
    nights.world.looked_at.clear()
    acted = nights.after(2 * DAY)["lamp"]

    assert acted.outcome is Outcome.ACTED
    assert nights.world.done == ["unplug lamp", "remove lamp"]
    assert nights.world.looked_at == [nights.clock]
    assert nights.postman.carried == ["lamp"]
    action = nights.of("lamp")
    assert (action.stage, action.undo, action.ended) == (Stage.ACTED, {"name": "lamp"}, nights.clock)
    assert action.steps == {"act: unplug": "done", "act: remove": "done"}
    (entry,) = nights.ledger.entries("cellar", ACCOUNT, REGION)
    assert (entry.closed, entry.close_reason, entry.due) == (
        nights.clock,
        make_cause(CauseCode.CLEANED_UP),
        None,
    )


def test_a_dry_run_neither_warns_nor_acts(nights: Nights) -> None:
    nights.warned("lamp")
    nights.world.add("chair")

    results = nights.after(4 * DAY, dry=True)

    assert {result.outcome for result in results.values()} == {Outcome.WOULD_ACT}
    assert (nights.world.done, nights.postman.carried) == ([], ["lamp"])
    assert nights.after(HOUR)["lamp"].outcome is Outcome.ACTED


def test_what_reads_only_cannot_write_whatever_a_detector_does(nights: Nights) -> None:
    nights.world.add("lamp")
    target = nights.world.things["lamp"].target

    with pytest.raises(CannotActError):
        Cellar().act(nights.aws, target, {"name": "lamp"}, steps=None)  # type: ignore[arg-type]
    with pytest.raises(Exception, match="DeleteEndpoint changes something"):
        nights.aws.sagemaker.delete_endpoint(EndpointName="lamp")


def test_a_sweep_that_broke_off_warns_about_what_it_read_and_acts_on_nothing(nights: Nights) -> None:
    nights.warned("lamp")
    nights.world.broken = RuntimeError("the listing broke off")
    nights.clock += 4 * DAY

    with pytest.raises(RunFailedError, match="the listing broke off"):
        nights.sweep()

    assert nights.world.done == []
    nights.world.broken = None
    assert nights.after(HOUR)["lamp"].outcome is Outcome.ACTED


# --- law 5: nobody is surprised ---------------------------------------------------------------------


def test_nothing_is_due_whose_warning_did_not_arrive_and_the_due_date_moves(nights: Nights) -> None:
    nights.world.add("lamp")
    nights.postman.ill = True
    with pytest.raises(RunFailedError, match="lamp was not delivered"):
        nights.sweep()
    nights.postman.ill = False

    late = nights.after(5 * DAY)["lamp"]

    assert late.outcome is Outcome.WARNED
    assert late.due is not None
    assert late.due >= nights.clock + 3 * DAY
    assert nights.world.done == []


def test_a_warning_is_sent_once(nights: Nights) -> None:
    nights.warned("lamp")

    nights.after(HOUR)
    nights.after(HOUR)

    assert nights.postman.carried == ["lamp"]


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"how": HoldKind.KEPT, "why": "a demo"}, "kept by maria: a demo"),
        ({"how": HoldKind.SNOOZED, "until": NOW + 9 * DAY}, "snoozed by maria until 2026-10-15 03:00 UTC"),
    ],
    ids=["kept", "snoozed"],
)
def test_what_somebody_keeps_is_kept(nights: Nights, how: dict[str, Any], why: str) -> None:
    nights.warned("lamp")
    nights.hold("lamp", **how)

    kept = nights.after(4 * DAY)["lamp"]

    assert (kept.outcome, kept.verdict.reason) == (Outcome.KEPT, why)
    assert nights.world.done == []


def test_after_a_snooze_it_is_warned_about_again(nights: Nights) -> None:
    nights.warned("lamp")
    nights.hold("lamp", how=HoldKind.SNOOZED, until=NOW + 7 * DAY)
    nights.after(4 * DAY)

    assert nights.after(4 * DAY)["lamp"].outcome is Outcome.WARNED
    assert nights.world.done == []


def test_a_keep_said_between_the_sweep_and_the_act_still_counts(nights: Nights) -> None:
    nights.warned("lamp", "chair")

    def keep(step: str) -> None:
        nights.world.before = lambda _: None
        nights.hold("chair" if "lamp" in step else "lamp", how=HoldKind.KEPT)

    nights.world.before = keep
    outcomes = sorted(result.outcome for result in nights.after(4 * DAY).values())

    assert outcomes == [Outcome.ACTED, Outcome.CHANGED]
    assert len(nights.world.things) == 1


def test_now_is_pressed_on_a_delivered_warning_only(nights: Nights) -> None:
    nights.warned("lamp")
    now(nights, "lamp")

    acted = nights.after(timedelta(minutes=1))["lamp"]

    assert acted.outcome is Outcome.ACTED
    assert nights.of("lamp").by == "maria"


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
    assert nights.after(2 * DAY)["lamp"].outcome is Outcome.WAITING

    assert nights.after(DAY)["lamp"].outcome is Outcome.ACTED
    assert sorted(nights.postman.carried) == ["chair", "lamp"]


def test_whoever_says_now_need_not_wait_for_the_other_rule(nights: Nights) -> None:
    nights.world.add("lamp")
    nights.world.judge("lamp", replace(waste(), grace=HOUR))
    nights.sweep()
    nights.world.judge("lamp", waste())
    now(nights, "lamp")

    assert nights.after(timedelta(minutes=1))["lamp"].outcome is Outcome.ACTED


def test_nobody_is_warned_of_what_the_rule_itself_would_not_act_on(nights: Nights) -> None:
    nights.world.add("lamp")
    nights.world.judge("lamp", replace(waste(), spared="nobody knows where it belongs"))

    results = nights.after(HOUR)

    assert results["lamp"].outcome is Outcome.ADVISED
    assert outcome_note(results["lamp"]) == "only reported: nobody knows where it belongs"
    assert nights.postman.carried == []


def test_a_void_warning_takes_no_presses(nights: Nights) -> None:
    from ml_janitor.ledger.table import ConditionFailedError

    nights.warned("lamp")
    (entry,) = nights.ledger.entries("cellar", ACCOUNT, REGION)
    nights.world.use("lamp")
    nights.after(HOUR)

    with pytest.raises(ConditionFailedError):
        nights.ledger.make_due(entry, by="maria", now=nights.clock)


@pytest.mark.parametrize("judged", [True, False])
def test_a_warning_is_void_once_the_detector_is_disarmed(nights: Nights, *, judged: bool) -> None:
    nights.warned("lamp")
    nights.arming = replace(ARMED, mode=Mode.DRY_RUN)
    nights.world.judge("lamp", waste() if judged else UNTELLABLE)
    assert nights.after(4 * DAY)["lamp"].outcome is (Outcome.WOULD_ACT if judged else Outcome.KEPT)
    nights.world.judge("lamp", waste())
    nights.arming = ARMED

    assert nights.after(4 * DAY)["lamp"].outcome is Outcome.WARNED
    assert nights.world.done == []


def test_a_warning_that_no_sweep_confirmed_for_weeks_counts_no_more(nights: Nights) -> None:
    """The detector was switched off for six weeks, in which the lamp was used again."""
    nights.warned("lamp")

    assert nights.after(42 * DAY)["lamp"].outcome is Outcome.WARNED

    assert nights.world.done == []
    assert nights.after(2 * DAY)["lamp"].outcome is Outcome.WAITING
    assert nights.after(2 * DAY)["lamp"].outcome is Outcome.ACTED


def test_nor_does_one_while_nothing_could_be_judged(nights: Nights) -> None:
    nights.warned("lamp")
    nights.world.judge("lamp", UNTELLABLE)
    for _ in range(4):
        nights.after(5 * DAY)
    nights.world.judge("lamp", waste())

    assert nights.after(DAY)["lamp"].outcome is Outcome.WARNED
    assert nights.world.done == []


def test_a_sweep_by_hand_does_not_act_on_such_a_warning_either(nights: Nights) -> None:
    """It remembers nothing, so it is no confirmation."""
    nights.warned("lamp")
    nights.clock += 42 * DAY
    entries = {one.key: one for one in nights.ledger.entries("cellar", ACCOUNT, REGION)}
    runner = nights.runner()
    assert runner.acting is not None
    found = sweep_region(nights.detector, nights.aws, now=nights.clock, policy=runner.policy)

    so_far = runner.acting.act(
        nights.detector, nights.aws, found, entries, now=nights.clock, policy=runner.policy
    )
    (done,) = so_far.sweep.results

    assert (done.outcome, nights.world.done) == (Outcome.WAITING, [])
    assert outcome_note(done).startswith("it was not found for too long since its warning")


def test_a_due_date_is_on_no_weekend_and_no_holiday(nights: Nights) -> None:
    nights.arming = replace(ARMED, business_days=True, holidays=(date(2026, 10, 9), date(2026, 10, 12)))
    nights.warned("lamp")

    due = nights.postman.dues["lamp"]

    assert due == datetime(2026, 10, 13, 3, 10, tzinfo=due.tzinfo)


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


@pytest.mark.parametrize(
    ("arming", "tags", "why"),
    [
        ({"act_in": (f"{ACCOUNT}/eu-west-1",)}, {}, "act_in does not name account"),
        ({}, {"managed-by": "terraform"}, "terraform manages it"),
        ({}, {"aws:cloudformation:stack-name": "web"}, "CloudFormation stack web manages it"),
        ({}, {"managed-by": "backstage"}, "if that is no tool, name your tools in janitor.toml: tools = ["),
        ({}, {"environment": "Production"}, "it serves Production"),
    ],
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


@pytest.mark.parametrize(
    ("arming", "tags"),
    [
        ({"act_in": (f"{ACCOUNT}/{REGION}",)}, {}),
        ({"act_on_managed": ("Terraform",)}, {"managed-by": "terraform"}),
        ({"act_on_managed": ("CloudFormation",)}, {"aws:cloudformation:stack-name": "web"}),
        ({"managers": ManagerPolicy(tools=("backstage",))}, {"managed-by": "atlantis"}),
        ({"managers": ManagerPolicy(filled=("default",))}, {"managed-by": "default"}),
        ({}, {"managed-by": "maria", "owner": "maria"}),
        ({"act_on_environments": ("prod",)}, {"environment": "Prod"}),
    ],
    ids=["region", "terraform", "cloudformation", "tools", "filled", "owner", "production"],
)
def test_unless_the_operator_names_them(nights: Nights, arming: dict[str, Any], tags: dict[str, str]) -> None:
    nights.arming = replace(ARMED, **arming)
    nights.world.things["lamp"] = tagged("lamp", **tags)

    assert by_name(nights.sweep())["lamp"].outcome is Outcome.WARNED


def test_what_is_likely_is_only_reported_where_proof_is_asked_for(nights: Nights) -> None:
    nights.world.add("lamp")
    nights.world.judge("lamp", replace(waste(), confidence=Confidence.LIKELY))

    assert by_name(nights.sweep())["lamp"].outcome is Outcome.ADVISED
    nights.arming = replace(ARMED, act_on=Confidence.LIKELY)
    assert nights.after(HOUR)["lamp"].outcome is Outcome.WARNED


def test_a_tag_that_came_after_the_warning_protects(nights: Nights) -> None:
    nights.warned("lamp")
    nights.world.things["lamp"] = tagged("lamp", environment="prod")

    assert nights.after(4 * DAY)["lamp"].outcome is Outcome.ADVISED
    nights.world.things["lamp"] = tagged("lamp")
    assert nights.after(4 * DAY)["lamp"].outcome is Outcome.WARNED
    assert nights.world.done == []


# --- law 4: look again --------------------------------------------------------------------------------


def test_what_is_in_use_again_when_looked_at_is_changed(nights: Nights) -> None:
    nights.warned("lamp", "chair")

    def use(step: str) -> None:
        nights.world.before = lambda _: None
        nights.world.use("lamp" if "chair" in step else "chair")

    nights.world.before = use
    results = nights.after(4 * DAY)

    assert sorted(result.outcome for result in results.values()) == [Outcome.ACTED, Outcome.CHANGED]
    (left,) = nights.world.things
    assert outcome_note(results[left]) == "it is used"
    assert nights.after(4 * DAY)[left].outcome is Outcome.KEPT


def test_what_cannot_be_judged_when_looked_at_again_waits(nights: Nights) -> None:
    nights.warned("lamp", "chair")

    def lose(step: str) -> None:
        nights.world.before = lambda _: None
        nights.world.judge("lamp" if "chair" in step else "chair", UNTELLABLE)

    nights.world.before = lose
    results = nights.after(4 * DAY)

    assert sorted(result.outcome for result in results.values()) == [Outcome.ACTED, Outcome.WAITING]
    (left,) = nights.world.things
    (entry,) = (one for one in nights.ledger.entries("cellar", ACCOUNT, REGION) if one.name == left)
    assert (entry.warned, entry.voided) == (TUESDAY, False)
    nights.world.judge(left, waste())
    assert nights.after(HOUR)[left].outcome is Outcome.ACTED


def test_a_re_created_resource_starts_from_nothing(nights: Nights) -> None:
    nights.warned("lamp")
    nights.hold("lamp", how=HoldKind.SNOOZED, until=NOW)
    nights.world.things["lamp"] = thing("lamp", waste(), created=NOW)

    assert nights.after(4 * DAY)["lamp"].outcome is Outcome.WARNED
    assert nights.world.done == []


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


def test_a_retry_of_the_same_sweep_gets_no_places_of_its_own(nights: Nights) -> None:
    nights.arming = replace(ARMED, max_actions=1, max_share=100)
    nights.warned("a", "b")
    nights.clock += 4 * DAY

    nights.sweep()
    nights.sweep()

    assert len(nights.world.things) == 1


def test_a_night_has_so_many_over_all_sweeps(nights: Nights) -> None:
    nights.arming = replace(ARMED, max_share=100)
    nights.at_most = 2
    nights.warned("a", "b", "c")

    nights.after(4 * DAY)
    nights.after(HOUR)
    assert len(nights.world.things) == 1
    nights.after(12 * HOUR)

    assert nights.world.things == {}


def test_what_two_detectors_do_to_one_resource_are_two_of_a_night(nights: Nights) -> None:
    nights.at_most = 1
    other = Nights(nights.table, nights.session, nights.aws, nights.world, Loft(), archive=nights.archive)
    other.at_most = 1
    nights.warned("lamp")
    other.warned("lamp")
    nights.clock += 4 * DAY
    other.clock += 4 * DAY
    assert by_name(nights.sweep())["lamp"].outcome is Outcome.ACTED
    nights.world.add("lamp")  # the other detector's act leaves it there

    held = by_name(other.sweep())["lamp"]

    assert (held.outcome, outcome_note(held)) == (Outcome.WAITING, "held back by max_actions_per_night = 1")
    assert "lamp" in nights.world.things


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
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights.warned("lamp")

    def full(*_: object, **__: object) -> Action:
        raise OSError("the table is full")

    monkeypatch.setattr(nights.actions, "begin", full)
    failed = nights.after(4 * DAY)["lamp"]

    assert failed.outcome is Outcome.FAILED
    assert "nothing was done" in outcome_note(failed)
    assert "the table is full" in outcome_note(failed)
    assert nights.world.done == []


def test_what_was_done_is_brought_back_and_then_left_alone(nights: Nights) -> None:
    acted(nights)

    done = undone(nights)

    assert (done.stage, done.undone_by) == (Stage.UNDONE, "maria")
    assert (list(nights.world.things), nights.world.unplugged) == (["lamp"], set())
    assert nights.after(DAY)["lamp"].outcome is Outcome.KEPT
    assert nights.after(7 * DAY)["lamp"].outcome is Outcome.WARNED
    with pytest.raises(CannotUndoError, match="brought back before, by maria"):
        undone(nights)


def test_what_was_made_anew_is_left_alone_too(nights: Nights) -> None:
    """An app that is created again has another creation time, so another identity."""
    acted(nights)
    undone(nights)
    lamp = nights.world.things["lamp"]
    nights.world.things["lamp"] = replace(lamp, target=replace(lamp.target, created=nights.clock))

    rested = nights.after(6 * DAY)["lamp"]

    assert (rested.outcome, "it was brought back" in rested.verdict.reason) == (Outcome.KEPT, True)
    assert nights.after(2 * DAY)["lamp"].outcome is Outcome.WARNED


def test_what_was_brought_back_is_left_alone_whenever_the_run_was_killed(nights: Nights) -> None:
    acted(nights)

    def killed(*_: Any) -> None:
        raise KilledError

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(nights.holds), "put", killed)
        with pytest.raises(KilledError):
            undone(nights)

    undone(nights)

    assert nights.of("lamp").stage is Stage.UNDONE
    assert nights.after(DAY)["lamp"].outcome is Outcome.KEPT


def test_what_is_half_brought_back_is_left_alone_too(nights: Nights) -> None:
    acted(nights)
    nights.world.after = raising(KilledError(), at="bring back lamp")
    with pytest.raises(KilledError):
        undone(nights)
    nights.world.after = lambda _: None

    left = nights.after(DAY)["lamp"]

    assert (left.outcome, "it was brought back" in left.verdict.reason) == (Outcome.WAITING, True)
    assert nights.postman.carried == ["lamp"]


def test_an_undo_that_broke_off_goes_on_where_it_stopped(nights: Nights) -> None:
    acted(nights)
    nights.world.after = raising(LostError("reset"), at="bring back lamp")
    with pytest.raises(CannotUndoError, match="reset"):
        undone(nights)
    nights.world.after = lambda _: None

    undone(nights)

    assert nights.world.done[2:] == ["bring back lamp", "plug in lamp"]
    assert nights.of("lamp").stage is Stage.UNDONE


# --- what goes wrong ------------------------------------------------------------------------------------


def test_a_lost_answer_is_settled_by_looking(nights: Nights) -> None:
    nights.warned("lamp")
    nights.world.after = raising(LostError("reset"), at="remove lamp")

    assert nights.after(4 * DAY)["lamp"].outcome is Outcome.ACTED
    assert nights.of("lamp").stage is Stage.ACTED


@pytest.mark.parametrize(
    ("moment", "step", "done"),
    [
        ("before", "unplug lamp", ["unplug lamp", "remove lamp"]),
        ("after", "unplug lamp", ["unplug lamp", "unplug lamp", "remove lamp"]),
        ("before", "remove lamp", ["unplug lamp", "remove lamp"]),
        ("after", "remove lamp", ["unplug lamp", "remove lamp"]),
    ],
)
def test_a_killed_run_is_finished_by_the_next_without_doing_twice_what_it_recorded(
    nights: Nights, moment: str, step: str, done: list[str]
) -> None:
    nights.warned("lamp")
    setattr(nights.world, moment, raising(KilledError(), at=step))
    nights.clock += 4 * DAY
    with pytest.raises(KilledError):
        nights.sweep()
    assert nights.of("lamp").stage is Stage.ACTING
    nights.world.before = nights.world.after = lambda _: None

    nights.after(HOUR)

    assert (nights.of("lamp").stage, nights.world.things, nights.world.done) == (Stage.ACTED, {}, done)
    assert len(nights.actions.all("cellar", ACCOUNT, REGION)) == 1


def test_half_done_and_in_use_again_is_put_back(nights: Nights) -> None:
    half_done(nights)
    nights.world.use("lamp")

    changed = nights.after(HOUR)["lamp"]

    assert changed.outcome is Outcome.CHANGED
    assert "is being put back" in outcome_note(changed)
    (asked,) = nights.put_back
    nights.undoing.undo(Cellar(), nights.aws, asked, by="the janitor")
    assert nights.world.unplugged == set()
    assert nights.world.done == ["unplug lamp", "plug in lamp"]


def test_who_may_not_ask_for_the_undo_says_so_and_how_it_is_done_by_hand(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays half done, and is asked for again by every sweep until somebody takes it."""
    half_done(nights)
    nights.world.use("lamp")
    with monkeypatch.context() as patch:
        patch.setattr(nights, "put_back", Refusing())
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


class Refusing:
    """An undo function that this role may not invoke."""

    def append(self, action: Action) -> None:  # noqa: ARG002
        raise PermissionError("not authorized to perform: lambda:InvokeFunction")


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ({"managed-by": "terraform"}, "terraform manages it"),
        ({"environment": "prod"}, "it serves prod"),
    ],
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


def test_what_has_no_time_left_is_no_failure(nights: Nights) -> None:
    nights.warned("lamp")
    nights.world.before = raising(OutOfTimeError("the run has no time left"), at="remove lamp")

    waiting = nights.after(4 * DAY)["lamp"]

    assert waiting.outcome is Outcome.WAITING
    assert outcome_note(waiting) == "half done: the run had no time left, and the next one goes on with it"
    assert (nights.of("lamp").stage, nights.of("lamp").failures) == (Stage.ACTING, 0)


def test_what_keeps_failing_is_left_to_a_person_and_put_back_when_it_is_in_use_again(nights: Nights) -> None:
    nights.warned("lamp")
    nights.world.before = raising(RuntimeError("denied"), at="remove lamp")
    for _ in range(MOST_TRIES):
        assert nights.after(4 * DAY)["lamp"].outcome is Outcome.FAILED

    last = nights.after(DAY)["lamp"]
    assert (last.outcome, "a person has to look" in outcome_note(last)) == (Outcome.FAILED, True)
    assert nights.of("lamp").attempts == MOST_TRIES
    nights.world.use("lamp")
    changed = nights.after(HOUR)["lamp"]

    assert changed.outcome is Outcome.CHANGED
    assert outcome_note(changed) == "it is used; what had been done is being put back"
    assert [action.target.name for action in nights.put_back] == ["lamp"]


def test_one_failure_does_not_stop_the_others(nights: Nights) -> None:
    nights.warned("a", "b", "c")
    nights.world.before = raising(RuntimeError("denied"), at="unplug b")

    outcomes = {name: result.outcome for name, result in nights.after(4 * DAY).items()}

    assert outcomes == {"a": Outcome.ACTED, "b": Outcome.FAILED, "c": Outcome.ACTED}


@pytest.mark.parametrize(
    ("refuses", "outcome", "said"),
    [
        (CannotActError("it is watched"), Outcome.ADVISED, "only reported: it is watched"),
        (NotFinishedError("half is compared", {}), Outcome.WAITING, "being prepared: half is compared"),
        (RuntimeError("denied"), Outcome.FAILED, "nothing was done: RuntimeError: denied"),
    ],
    ids=["cannot", "not yet", "broken"],
)
def test_what_cannot_be_prepared_is_not_done(
    nights: Nights, refuses: Exception, outcome: Outcome, said: str
) -> None:
    nights.warned("lamp")
    nights.world.refuses = refuses

    result = nights.after(4 * DAY)["lamp"]

    assert (result.outcome, outcome_note(result)) == (outcome, said)
    assert nights.world.done == []


def test_a_tag_that_protected_in_the_last_moment_voids_the_warning(nights: Nights) -> None:
    nights.warned("lamp")
    as_it_was = nights.world.things["lamp"]

    def look(aws: Any, target: Any, now: datetime) -> Any:
        del aws, target, now
        return tagged("lamp", environment="production")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Cellar, "look", lambda _, *given: look(*given))
        assert nights.after(4 * DAY)["lamp"].outcome is Outcome.ADVISED
    nights.world.things["lamp"] = as_it_was

    assert nights.after(DAY)["lamp"].outcome is Outcome.ADVISED
    assert nights.after(3 * DAY)["lamp"].outcome is Outcome.WARNED


def test_a_keep_said_while_it_was_prepared_still_counts(nights: Nights) -> None:
    """Comparing what is large takes minutes."""
    nights.warned("lamp")

    def prepare(*_: Any) -> dict[str, str]:
        nights.hold("lamp", how=HoldKind.KEPT)
        return {"name": "lamp"}

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Cellar, "prepare", prepare)
        changed = nights.after(4 * DAY)["lamp"]

    assert (changed.outcome, outcome_note(changed)) == (Outcome.CHANGED, "kept by maria")
    assert nights.world.done == []


def test_preparing_goes_on_from_its_memo(nights: Nights) -> None:
    nights.warned("lamp")
    nights.world.refuses = NotFinishedError("comparing", {})

    nights.after(4 * DAY)
    nights.after(HOUR)

    (entry,) = nights.ledger.entries("cellar", ACCOUNT, REGION)
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
    nights.undoing.undo(Cellar(), nights.aws, nights.of("lamp"), by="the janitor", again=True)
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


def test_a_keep_said_while_it_waits_for_aws_still_counts(nights: Nights) -> None:
    """Its message says that it is kept; the run must not delete it minutes later."""
    nights.warned("lamp")
    nights.clock += 4 * DAY
    runner = nights.runner()
    assert runner.acting is not None
    tries: list[str] = []

    def act(_: Cellar, aws: Any, target: Any, undo: Any, steps: Any) -> None:
        del aws, undo
        tries.append(target.name)
        steps.do("unplug", lambda: None)
        raise NotFinishedError("its plug is still being pulled")

    def keep() -> None:
        nights.hold("lamp", how=HoldKind.KEPT)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Cellar, "act", act)
        runner = replace(runner, acting=replace(runner.acting, wait=keep))
        changed = by_name(runner.sweep(nights.detector, [nights.aws], now=nights.clock))["lamp"]

    assert (changed.outcome, tries) == (Outcome.CHANGED, ["lamp"])
    assert outcome_note(changed) == "kept by maria; what had been done is being put back"
    assert [action.target.name for action in nights.put_back] == ["lamp"]


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

    def stuck(*_: Any) -> None:
        raise NotFinishedError("its plug is still being pulled")

    nights.warned("lamp")
    nights.clock += 4 * DAY
    runner = nights.runner()
    assert runner.acting is not None
    runner = replace(runner, acting=replace(runner.acting, wait=wait))
    monkeypatch.setattr(Acting, "act", act)
    monkeypatch.setattr(Cellar, "act", stuck)
    others = [nights.aws.armed() for _ in range(2)]
    for number, other in enumerate(others):
        other.region, other.may_write = f"eu-west-{number}", False

    runner.sweep(nights.detector, [nights.aws, *others], now=nights.clock)

    assert len(waited) == 5
    assert until == [timedelta(minutes=5)] * 2 + [timedelta(minutes=10)]


def test_a_ledger_that_fails_is_a_failure_also_when_no_time_is_left(nights: Nights) -> None:
    """Else an action that nobody could record would only be called waiting, and no alarm would ring."""
    result = Result(
        detector="cellar", target=thing("lamp", waste()).target, verdict=waste(), outcome=Outcome.WAITING
    )
    armed = nights.armed_sweep()
    nights.aws.ran_out = True

    def unwritten() -> Result:
        raise OSError("the table is full")

    def late(why: CauseCode) -> Outcome:
        return armed._attempt(result, unwritten, Cause(why, progress=UnfinishedProgress.HALF_DONE)).outcome

    assert (late(CauseCode.NO_LEDGER), late(CauseCode.NOT_FINISHED)) == (Outcome.FAILED, Outcome.WAITING)


def test_once_the_ledger_fails_nothing_more_is_begun(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    nights.warned("a", "b", "c")

    def full(*_: object, **__: object) -> Action:
        raise OSError("the table is full")

    monkeypatch.setattr(nights.actions, "acted", full)
    results = nights.after(4 * DAY)

    assert [results[name].outcome for name in "abc"] == [Outcome.FAILED, Outcome.WAITING, Outcome.WAITING]
    assert {results[name].cause for name in "abc"} == {
        Cause(CauseCode.NO_LEDGER, ("OSError: the table is full",)),
    }
    assert nights.world.done == ["unplug a", "remove a"]


def test_what_is_half_done_takes_a_place_of_the_limits(nights: Nights) -> None:
    nights.warned("lamp")
    nights.clock += 2 * DAY
    nights.warned("sofa")
    nights.world.before = raising(RuntimeError("throttled"), at="remove lamp")
    assert nights.after(DAY + HOUR)["lamp"].outcome is Outcome.FAILED
    nights.world.before = lambda _: None
    nights.arming = replace(ARMED, max_actions=1)

    results = nights.after(3 * DAY)

    assert {name: one.outcome for name, one in results.items()} == {
        "lamp": Outcome.ACTED,
        "sofa": Outcome.WAITING,
    }


def test_what_a_person_wants_done_now_does_not_count_as_unseen_waste(nights: Nights) -> None:
    nights.warned("a", "b", "c", "d")
    nights.world.before = raising(RuntimeError("throttled"), at="unplug a")
    now(nights, "a")

    results = nights.after(4 * DAY)

    assert [results[name].outcome for name in "bcd"] == [Outcome.ACTED] * 3


def test_of_two_attempts_that_read_the_same_action_one_goes_on(nights: Nights) -> None:
    half_done(nights)
    action = nights.of("lamp")
    failed = nights.actions.failed(nights.actions.resume(action, nights.clock), because("throttled"))

    assert (failed.stage, failed.attempts) == (action.stage, action.attempts + 1)
    with pytest.raises(BegunBeforeError):
        nights.actions.resume(action, nights.clock)
