"""Taking back an action: what is found, verified, held and waited for, and what a run answers. Law 7."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from conftest import ACCOUNT, NOW, REGION
from fakes import action_of, because, raising, thing, waste
from ml_janitor.acting.undoing import (
    RESTART_WORDING,
    UNCHANGE_WORDING,
    UNDO_SNOOZE,
    UNDO_WORDING,
    CannotUndoError,
    Undoing,
    UndoRun,
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
from ml_janitor.aws.calls import OutOfTimeError
from ml_janitor.aws.client import Aws
from ml_janitor.config.events import UndoEvent
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
from ml_janitor.deployment import request_revert, undo_answer
from ml_janitor.engine.detector import CannotActError, Cleanup, NotFinishedError
from ml_janitor.engine.policy import Hold, HoldKind, hold_reason, recreated_hold_key
from ml_janitor.engine.run import RunFailedError
from ml_janitor.ledger.actions import MOST_TRIES, Action, BegunBeforeError, Stage, UnverifiedError
from ml_janitor.ledger.limits import Leases, LeaseTakenError
from ml_janitor.ledger.signatures import Request, SigningKey
from ml_janitor.report.causes import cause_clause, cause_text, outcome_note
from standin import ARMED, DAY, HOUR, Cleaner, KilledError, Nights, own_signatures, with_request
from tables import cases

MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)


@pytest.fixture
def removed(with_lamp: Nights) -> Nights:
    """A lamp that was removed."""
    with_lamp.after(4 * DAY)
    return with_lamp


def tampered(nights: Nights, **changes: str) -> None:
    action = nights.of("lamp")
    nights.table.change(action.pk, action.sk, set_to=changes)


# --- what can be taken back ----------------------------------------------------------------------------


def test_what_nobody_did_is_not_found(removed: Nights) -> None:
    with pytest.raises(
        CannotUndoError, match=f"nothing was done to finding 0123456789 by cellar in {REGION}"
    ):
        removed.undoing.find("cellar", ACCOUNT, REGION, "0123456789")


def test_it_can_be_undone_for_thirty_days_and_not_a_second_longer(removed: Nights) -> None:
    lamp = removed.of("lamp")
    removed.clock = lamp.began + 30 * DAY
    assert removed.undoing.find("cellar", ACCOUNT, REGION, lamp.id) == lamp

    removed.clock += SECOND

    with pytest.raises(CannotUndoError, match="lamp was cleaned up 30 days ago; undo_days is 30"):
        removed.undoing.find("cellar", ACCOUNT, REGION, lamp.id)


def test_what_is_half_brought_back_is_never_too_old(removed: Nights) -> None:
    removed.actions.begin_undo(*with_request(removed.of("lamp"), "maria", removed.clock), removed.clock)
    removed.clock += 90 * DAY

    assert removed.undoing.find("cellar", ACCOUNT, REGION, removed.of("lamp").id) == removed.of("lamp")


def test_an_old_action_does_not_hide_a_newer_one_that_was_not_begun(removed: Nights) -> None:
    """It is the one that can still be asked back, so that it is not resumed."""
    old = removed.of("lamp")
    removed.clock += 31 * DAY
    removed.world.add("lamp")
    result = removed.after(HOUR)["lamp"]
    newer = removed.actions.begin(result, {"name": "lamp"}, warned=removed.clock, now=removed.clock)

    assert old.id == newer.id
    assert removed.undoing.find("cellar", ACCOUNT, REGION, old.id) == newer


@cases(
    "became, said",
    ("", "lamp was brought back before, by maria"),
    ("it was made anew as lamp-2", "done before, by maria: it was made anew as lamp-2"),
)
def test_what_was_undone_says_by_whom_and_what_became_of_it(
    removed: Nights, monkeypatch: pytest.MonkeyPatch, became: str, said: str
) -> None:
    monkeypatch.setattr(Cleaner, "revert", lambda *_: became or None)
    assert removed.undo().became == became

    with pytest.raises(CannotUndoError, match=f"^{said}$"):
        removed.undoing.find("cellar", ACCOUNT, REGION, removed.of("lamp").id)


def test_a_request_counts_attempts_anew_and_stops_who_read_the_action_before(removed: Nights) -> None:
    """The act's own attempts are none of the undo's; a request changes no attempts, but the stage."""
    lamp = removed.of("lamp")

    asked = removed.actions.request_undo(*with_request(lamp, "maria", removed.clock))

    assert (lamp.failures, asked.failures, asked.attempts) == (1, 0, lamp.attempts)
    with pytest.raises(BegunBeforeError, match="somebody asked for its undo"):
        removed.actions.failed(lamp, because("too late"))


# --- from which record ---------------------------------------------------------------------------------


def test_what_was_brought_back_is_held_for_a_week_under_each_of_its_names(
    removed: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = "arn:aws:sagemaker:us-east-1:123456789012:thing/lamp-2"
    monkeypatch.setattr(Cleaner, "reverted_arn", lambda *_: other)
    target = removed.of("lamp").target

    done = removed.undo()

    assert done.steps == {"act: unplug": "done", "act: remove": "done"}
    assert (done.stage, done.undone, removed.of("lamp").undone) == (
        Stage.UNDONE,
        removed.clock,
        removed.clock,
    )
    assert (done.asked, done.asked_at, done.undone_by) == (1, removed.clock, "maria")
    rests: dict[str, Any] = {
        "how": HoldKind.SNOOZED,
        "by": "maria",
        "given": removed.clock,
        "until": removed.clock + 7 * DAY,
    }
    keys = [target.key, recreated_hold_key(target.arn), recreated_hold_key(other)]
    assert {key: held for key, (held,) in removed.holds.all(ACCOUNT, REGION).items()} == {
        key: Hold(key=key, why="it was brought back", **rests) for key in keys
    }


def test_from_a_record_that_was_changed_nothing_is_done(removed: Nights) -> None:
    tampered(removed, undo='{"name": "prey"}')

    with pytest.raises(CannotUndoError, match="lamp: mac invalid"):
        removed.undo()

    lamp = removed.of("lamp")
    assert (lamp.stage, lamp.broke, lamp.error) == (Stage.ACTED, True, Cause(CauseCode.MAC_INVALID))
    assert removed.holds.all(ACCOUNT, REGION) == {}
    assert removed.world.done == ["unplug lamp", "remove lamp"]


@cases(
    "unsigned, mac, since, refused",
    (False, "", DAY, CauseCode.MAC_MISSING),
    (True, "", DAY, None),
    (True, "", -DAY, CauseCode.MAC_EXPECTED),
    (True, "wrong", DAY, CauseCode.MAC_INVALID),
    ids=["signed only", "older", "begun when all were signed", "wrong"],
)
def test_what_has_no_signature_is_undone_by_a_person_if_it_is_older_than_signatures(
    removed: Nights,
    monkeypatch: pytest.MonkeyPatch,
    *,
    unsigned: bool,
    mac: str,
    since: timedelta,
    refused: CauseCode | None,
) -> None:
    tampered(removed, mac=mac)
    key = removed.actions.signatures.provider(SigningKey.RECORDS)
    monkeypatch.setattr(key, "made", removed.of("lamp").began + since)
    if unsigned:
        removed.undoing = replace(removed.undoing, unsigned=True)

    if refused is None:
        assert removed.undo().stage is Stage.UNDONE
        return
    with pytest.raises(CannotUndoError) as error:
        removed.undo()
    assert isinstance(error.value.__cause__, UnverifiedError)
    assert (error.value.__cause__.cause.why, str(error.value.__cause__)) == (refused, refused.name)


def test_a_key_that_does_not_answer_is_remembered_and_it_can_be_tried_again(
    removed: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed.actions.signatures = own_signatures()  # of a new run, which has verified nothing yet
    with monkeypatch.context() as patch:
        key = removed.actions.signatures.provider(SigningKey.RECORDS)
        patch.setattr(key, "verify", raising(ConnectionError("reset")))
        with pytest.raises(CannotUndoError, match="lamp: record unread: ConnectionError: reset"):
            removed.undo()
    assert removed.of("lamp").error == make_cause(CauseCode.RECORD_UNREAD, "ConnectionError: reset")

    assert removed.undo().stage is Stage.UNDONE


# --- what goes wrong, or takes its time ----------------------------------------------------------------


@cases(
    "error, why",
    (CannotActError("its volume is gone"), "its volume is gone"),
    (OSError("reset"), "OSError: reset"),
)
def test_what_goes_wrong_is_remembered_and_told(removed: Nights, error: Exception, why: str) -> None:
    removed.world.before = raising(error, at="plug in lamp")

    with pytest.raises(CannotUndoError, match=f"lamp could not be brought back: undo failed: {why}"):
        removed.undo()

    lamp = removed.of("lamp")
    assert (lamp.stage, lamp.broke, lamp.error) == (
        Stage.UNDOING,
        True,
        make_cause(CauseCode.UNDO_FAILED, why),
    )


@cases(
    "waits, minutes, rounds",
    (False, 1000, 1),
    (True, 0, 1),
    (True, 2, 3),
    (True, 1000, 80),
    ids=["none", "no time", "some time", "at most"],
)
def test_aws_is_waited_for_while_there_is_time(
    removed: Nights, monkeypatch: pytest.MonkeyPatch, *, waits: bool, minutes: int, rounds: int
) -> None:
    tries, waited = list[str](), list[str]()

    def revert(*_: object) -> str:
        tries.append("again")
        raise NotFinishedError("it is being wired")

    monkeypatch.setattr(Cleaner, "revert", revert)
    monkeypatch.setattr(removed.aws, "_has_time", lambda: len(waited) < minutes)
    removed.undoing = replace(removed.undoing, wait=(lambda: waited.append("a minute")) if waits else None)

    with pytest.raises(CannotUndoError, match="goes on with it: waits for aws: it is being wired"):
        removed.undo()

    lamp = removed.of("lamp")
    waiting = make_cause(CauseCode.WAITS_FOR_AWS, "it is being wired")
    assert (lamp.stage, lamp.broke, lamp.error) == (Stage.UNDOING, False, waiting)
    assert (len(tries), len(waited)) == (rounds, rounds if rounds == 80 else rounds - 1)


def test_a_call_without_time_goes_on_with_the_next_one(removed: Nights) -> None:
    removed.world.before = raising(OutOfTimeError("late"), at="plug in lamp")
    with pytest.raises(CannotUndoError, match="call out of time"):
        removed.undo()
    late = make_cause(CauseCode.CALL_OUT_OF_TIME)
    assert (removed.of("lamp").broke, removed.of("lamp").error) == (False, late)
    removed.world.before = lambda _: None
    asked_at = removed.of("lamp").asked_at
    removed.clock += MINUTE

    assert removed.undo(again=True).asked_at == asked_at


# --- one invocation ------------------------------------------------------------------------------------


@dataclass
class Office:
    """What a run of the undo function gets from outside, and what it did."""

    nights: Nights
    organization: bool = False
    left: timedelta = 9 * MINUTE
    armed: bool = True
    by_hand: Cause | None = None
    closed: Exception | None = None
    told: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    entered: list[tuple[str, str, str]] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    logged: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.leases = Leases(self.nights.table)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.left -= timedelta(seconds=seconds)
        self.nights.clock += timedelta(seconds=seconds)

    @contextmanager
    def opened(self, detector: str, account: str, region: str) -> Iterator[list[Aws]]:
        self.entered.append((detector, account, region))
        if self.closed is not None:
            raise self.closed
        yield [self.nights.aws]

    def _why_not_allowed(self, *where: str, home: str, undo_on: date) -> str | None:
        assert (where[0], where[2], home) == ("cellar", REGION, ACCOUNT)
        allowed = self.armed and undo_on == self.nights.clock.date()
        return None if allowed and (where[1] == home or self.organization) else UNARMED

    def run(self, name: str = "lamp", **about: Any) -> dict[str, Any]:
        settings: Any = SimpleNamespace(
            why_not_allowed=self._why_not_allowed, detector_called={Cleaner.name: Cleaner()}.get
        )
        logger: Any = SimpleNamespace(info=lambda text, extra: self.logged.append((text, extra)))
        run = UndoRun(
            settings=settings,
            home=ACCOUNT,
            undoing=self.nights.undoing,
            leases=self.leases,
            clock=lambda: self.nights.clock,
            left=lambda: self.left,
            sleep=self.sleep,
            opened=self.opened,
            tell=lambda action: self.told.append(action.target.name),
            count_refused=lambda: self.refused.append("cellar"),
            by_hand=lambda _, __: self.by_hand,
        )
        lamp, request = with_request(self.nights.of(name), "maria", self.nights.clock)
        asked = {"detector": "cellar", "region": REGION, "finding": lamp.id, "asked": request.as_json()}
        event = UndoEvent(**{**asked, **about})
        return undo_answer(event, run(event, holder="undo-1"), logger)


def test_a_run_brings_back_what_is_named_and_says_so(removed: Nights) -> None:
    office = Office(removed)

    answer = office.run()

    finding = removed.of("lamp").id
    assert answer == {"done": True, "detector": "cellar", "finding": finding, "why": ""}
    assert office.logged == [
        ("undone", {"detector": "cellar", "region": REGION, "finding": finding, "why": ""})
    ]
    assert (office.told, office.entered, office.refused) == (["lamp"], [("cellar", ACCOUNT, REGION)], [])
    assert removed.of("lamp").stage is Stage.UNDONE
    now, where = removed.clock, ("cellar", ACCOUNT, REGION)
    office.leases.take_undo(where, finding, holder="next", by="eve", now=now, until=now)


OTHER = "210987654321"
UNARMED = "the settings do not allow it"


@cases(
    "about, asked, why",
    ({}, {"account": OTHER}, UNARMED),
    ({"organization": True}, {"account": OTHER}, "nothing was done to finding"),
    ({"armed": False}, {}, UNARMED),
    ({"armed": False, "organization": True}, {"account": OTHER}, UNARMED),
    ({}, {"finding": "0123456789"}, "nothing was done to finding"),
    ({}, {"again": True}, "lamp is not half brought back any more"),
    ids=["another account", "of the organization", "unarmed", "unarmed there", "unknown", "again"],
)
def test_a_run_that_has_nothing_to_do_says_why(
    removed: Nights, about: dict[str, Any], asked: dict[str, Any], why: str
) -> None:
    office = Office(removed, **about)

    answer = office.run(**asked)

    assert (answer["done"], why in answer["why"]) == (False, True)
    assert office.logged[0][0] == "nothing to undo"
    assert (office.told, office.entered, removed.of("lamp").stage) == ([], [], Stage.ACTED)


def test_the_own_account_may_be_named(removed: Nights) -> None:
    assert Office(removed).run(account=ACCOUNT)["done"]


def _refused_record(removed: Nights, office: Office, _: pytest.MonkeyPatch) -> None:
    del office
    tampered(removed, undo='{"name": "prey"}')


def _by_hand(_: Nights, office: Office, __: pytest.MonkeyPatch) -> None:
    office.by_hand = make_cause(CauseCode.NO_UNDO, "only a person does")


def _nothing_done(_: Nights, __: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Undoing, "undo", raising(CannotUndoError("nothing was done", final=True)))


def _at_work(removed: Nights, _: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removed.actions, "begin_undo", raising(BegunBeforeError("another run")))


@cases("prepare, counted", (_refused_record, ["cellar"]), (_by_hand, []), (_nothing_done, []), (_at_work, []))
def test_a_run_that_may_not_answers_once_and_updates_the_message(
    removed: Nights,
    monkeypatch: pytest.MonkeyPatch,
    prepare: Callable[[Nights, Office, pytest.MonkeyPatch], None],
    counted: list[str],
) -> None:
    office = Office(removed)
    prepare(removed, office, monkeypatch)

    answer = office.run()

    assert (answer["done"], office.refused, office.told) == (False, counted, ["lamp"])
    assert removed.world.done == ["unplug lamp", "remove lamp"]
    if office.by_hand is not None:
        assert (removed.of("lamp").error, answer["why"]) == (
            office.by_hand,
            f"lamp: {cause_clause(office.by_hand)}",
        )
        assert office.entered == []


def test_a_region_that_cannot_be_entered_is_remembered_and_raised(removed: Nights) -> None:
    office = Office(removed, closed=PermissionError("no powers"))

    with pytest.raises(
        CannotUndoError, match="lamp could not be brought back: account unread: 123456789012, could not"
    ):
        office.run()

    assert (removed.of("lamp").broke, office.told) == (True, ["lamp"])
    error = cause_text(removed.of("lamp").error)
    assert error.startswith(f"account {ACCOUNT} could not be read: ")


@cases("asked, stored", ({}, 0), ({"request": "press-1"}, 1), ({"request": "press-1", "again": True}, 0))
def test_a_press_is_stored_before_anything_is_entered(
    removed: Nights, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], stored: int
) -> None:
    if asked.get("again"):
        removed.actions.request_undo(*with_request(removed.of("lamp"), "maria", removed.clock))
    requests, real = list[str](), removed.actions.request_undo

    def request(action: Action, asked: Request) -> Action:
        requests.append(asked.by)
        return real(action, asked)

    monkeypatch.setattr(removed.actions, "request_undo", request)

    assert Office(removed).run(**asked)["done"]

    assert requests == ["maria"] * stored


@cases(
    "left, busy, slept",
    (9 * MINUTE, MINUTE, 12),
    (15 * MINUTE, HOUR, 144),
    (3 * MINUTE, HOUR, 24),
    (9 * MINUTE, timedelta(), 0),
    ids=["a minute", "too long", "little time", "free"],
)
def test_a_sweep_in_progress_is_waited_for_while_enough_time_is_left(
    removed: Nights, left: timedelta, busy: timedelta, slept: int
) -> None:
    office = Office(removed, left=left)
    office.leases.take(
        "cellar", ACCOUNT, REGION, holder="sweep", now=removed.clock - SECOND, until=removed.clock + busy
    )

    if busy == HOUR:
        with pytest.raises(LeaseTakenError):
            office.run()
    else:
        assert office.run()["done"]

    assert office.slept == [5.0] * slept
    assert (removed.of("lamp").stage is Stage.UNDONE) is (busy != HOUR)


def test_twenty_undos_side_by_side_wait_for_no_other(nights: Nights) -> None:
    """Each begins while those before it are in the middle of theirs."""
    nights.arming = replace(nights.arming, max_actions=20, max_share=100)
    names = [f"lamp {number}" for number in range(20)]
    nights.warned(*names)
    nights.after(4 * DAY)
    office, waiting = Office(nights), list(names)

    def begin_another(_: str) -> None:
        if waiting:
            assert office.run(waiting.pop())["done"]

    nights.world.before = begin_another
    begin_another("")

    assert {nights.of(name).stage for name in names} == {Stage.UNDONE}
    assert (waiting, office.slept) == ([], [])


def test_a_second_undo_of_an_action_waits_for_the_first(removed: Nights) -> None:
    office, now = Office(removed), removed.clock
    where = ("cellar", ACCOUNT, REGION)
    office.leases.take_undo(
        where, removed.of("lamp").id, holder="first", by="eve", now=now, until=now + MINUTE
    )

    assert office.run()["done"]
    assert office.slept == [5.0] * 12


def test_a_sweep_that_begins_while_the_action_is_read_is_waited_for(
    removed: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    office, find, reads = Office(removed), removed.undoing.find, list[Action]()

    def found(_: object, *asked: str) -> Action:
        reads.append(find(*asked))
        if len(reads) == 1:
            now = removed.clock
            office.leases.take("cellar", ACCOUNT, REGION, holder="sweep", now=now, until=now + MINUTE)
        return reads[-1]

    monkeypatch.setattr(type(removed.undoing), "find", found)

    assert office.run()["done"]
    assert (len(reads), office.slept) == (2, [5.0] * 12)


def test_a_run_that_is_killed_keeps_the_lease_as_long_as_it_could_have_run(removed: Nights) -> None:
    office, finding, held = Office(removed), removed.of("lamp").id, list[bool]()
    where = ("cellar", ACCOUNT, REGION)

    def taken() -> bool:
        now = removed.clock
        try:
            office.leases.take_undo(where, finding, holder="x", by="eve", now=now, until=now)
        except LeaseTakenError as other:
            return ", for maria;" in str(other)
        office.leases.release_undo(where, finding, holder="x")
        return False

    def at_work(step: str) -> None:
        if step == "plug in lamp":
            held.append(taken())
            removed.clock += 9 * MINUTE
            held.append(taken())
            raise KilledError

    removed.world.before = at_work
    with pytest.raises(KilledError):
        office.run()

    assert held == [True, False]


LAMP = thing("lamp", waste()).target
CHAIR = thing("chair", waste()).target


@dataclass(frozen=True)
class ByHand(Cleaner):
    """Brings a lamp back by hand only, and a chair never."""

    def revert_effect(self, target: Target, record: Any) -> str:  # noqa: ARG002
        if target == CHAIR:
            raise CannotActError("it is burnt")
        return "it is back"

    def missing_for_undo(self, target: Target, record: Any) -> str:  # noqa: ARG002
        return "undo_roles" if target == LAMP else ""


def action(target: Target = LAMP, **about: Any) -> Action:
    return action_of("cellar", **{"target": target, "steps": {"act: unplug": "done"}} | about)


BY_HAND = f"janitor undo {action().id}"


@cases(
    "effect, undo, expected",
    (Effect.DELETE, "undo", UNDO_WORDING),
    (Effect.STOP, "restart", RESTART_WORDING),
    (Effect.TAG, "undo", UNCHANGE_WORDING),
    (None, "undo", UNDO_WORDING),
)
def test_nothing_that_stayed_is_brought_back(effect: Effect | None, undo: str, expected: UndoWording) -> None:
    cleanup = None
    if effect is not None:
        cleanup = Cleanup(effect=effect, grace=DAY, act_on=Confidence.PROVEN, lost="it", undo=undo)

    assert undo_wording(cleanup) == expected


def test_it_says_how_something_is_taken_back_or_why_it_is_not() -> None:
    assert undo_hint(ByHand(), action()) == make_cause(CauseCode.UNDO_WITH, "undo", action().id)
    assert undo_hint(ByHand(), action(CHAIR)) == make_cause(CauseCode.NO_UNDO, "it is burnt")
    assert by_hand_cause(ByHand(), action()) == make_cause(CauseCode.UNDO_BY_HAND, "undo_roles", BY_HAND)
    assert by_hand_cause(ByHand(), action(CHAIR)) is None


@cases(
    "stage, age, can",
    (Stage.ACTED, DAY, True),
    (Stage.ACTED, DAY + SECOND, False),
    (Stage.FAILED, DAY, True),
    (Stage.UNDOING, 9 * DAY, True),
    (Stage.UNDONE, HOUR, False),
    (Stage.WITHDRAWN, HOUR, False),
)
def test_an_undo_has_a_limit_unless_it_is_half_done(stage: Stage, age: timedelta, *, can: bool) -> None:
    assert is_undoable(action(stage=stage), DAY, NOW + age) is can


def test_what_no_function_may_undo_any_more_is_counted_until_the_last_of_it_is_too_old() -> None:
    old = action(began=NOW - 2 * DAY)
    actions = [action(began=NOW - DAY), old, action(CHAIR), action(steps={}), action(stage=Stage.UNDONE)]

    lost = find_unreachable_undos(ByHand(), actions, within=9 * DAY, now=NOW)

    assert lost is not None
    assert lost == UnreachableUndos(
        detector="cellar",
        region=REGION,
        count=2,
        last=f"{NOW - DAY:%Y-%m-%d}",
        until=f"{NOW + 8 * DAY:%Y-%m-%d}",
    )
    assert find_unreachable_undos(ByHand(), actions[:1], within=9 * DAY, now=NOW) == replace(lost, count=1)
    assert find_unreachable_undos(ByHand(), actions, within=HOUR, now=NOW) is None


HALF_BACK = action(
    stage=Stage.UNDOING,
    steps={"undo: plug in": "begun"},
    undone_by="maria",
    error=because("busy"),
    asked_at=NOW,
)
FAILED, WAITING = Outcome.FAILED, Outcome.WAITING
BACK, ASKED = UnfinishedProgress.HALF_REVERTED, UnfinishedProgress.REVERT_ASKED
RESUMED = Cause(CauseCode.RESUMED, (because("busy"),), progress=BACK, by="maria")


def not_reverted(last: Cause) -> Cause:
    return Cause(CauseCode.NOT_REVERTED, (MOST_TRIES, last), by_hand=BY_HAND)


def not_resumed(why: str) -> Cause:
    return Cause(CauseCode.NOT_RESUMED, (why,), progress=BACK, by="maria", by_hand=BY_HAND)


@cases("about, raised, age, outcome, why",
        ({}, None, DAY, WAITING, RESUMED),
        ({}, None, DAY + SECOND, FAILED, RESUMED),
        ({"steps": {}, "asked_at": None}, None, 9 * DAY, WAITING, replace(RESUMED, progress=ASKED)),
        ({"attempts": MOST_TRIES}, None, HOUR, FAILED, not_reverted(because("busy"))),
        (
            {"attempts": MOST_TRIES, "error": None}, None, HOUR, FAILED,
            not_reverted(make_cause(CauseCode.CUT_OFF)),
        ),
        (
            {}, UnverifiedError(make_cause(CauseCode.MAC_INVALID)), HOUR, FAILED,
            Cause(CauseCode.MAC_INVALID, progress=BACK, by="maria"),
        ),
        ({}, OSError("reset"), HOUR, FAILED, not_resumed("OSError: reset")),
        ({}, CannotUndoError("it is gone"), HOUR, FAILED, not_resumed("it is gone")))  # fmt: skip
def test_what_is_half_back_is_resumed_or_left_to_a_person(
    about: dict[str, Any], raised: Exception | None, age: timedelta, outcome: Outcome, why: Cause
) -> None:
    half, asked = replace(HALF_BACK, **about), list[Action]()

    def revert(one: Action) -> None:
        asked.append(one)
        if raised is not None:
            raise raised

    found = resume_reverts(ByHand(), [action(), half, action(stage=Stage.UNDONE)], revert, NOW + age)

    assert found == [UnfinishedAction(half, outcome, why)]
    assert asked == ([] if "attempts" in about else [half])


def test_what_was_half_done_when_it_was_disarmed_is_left_to_a_person() -> None:
    half = action(stage=Stage.FAILED, error=because("throttled"))
    others = [action(), action(stage=Stage.FAILED, steps={}), HALF_BACK]

    (found,) = report_half_done(ByHand(), [*others, half], lambda _: None)

    why = Cause(
        CauseCode.DISARMED,
        ("cellar", because("throttled")),
        progress=UnfinishedProgress.HALF_DONE,
        by_hand=BY_HAND,
    )
    assert found == UnfinishedAction(half, FAILED, why)
    for doubt in (make_cause(CauseCode.MAC_INVALID), make_cause(CauseCode.RECORD_UNREAD, "throttled")):
        (doubted,) = report_half_done(ByHand(), [half], lambda _, doubt=doubt: doubt)  # type: ignore[misc]
        assert doubted.cause == (doubt if doubt.why is CauseCode.MAC_INVALID else why)


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
    refused: str = ""
    home: str = ACCOUNT

    @property
    def environment(self) -> Armed:
        return self

    settings = environment

    def clock(self) -> datetime:
        return NOW

    def why_not_allowed(self, *where: str, home: str, undo_on: date) -> str:
        assert (where, home, undo_on) == (("cellar", ACCOUNT, REGION), ACCOUNT, NOW.date())
        return self.refused

    @property
    def detector(self) -> ByHand:
        return ByHand()

    def hand_over(self, function: str, event: dict[str, Any]) -> None:
        self.asked.append((function, event))


def test_an_armed_function_asks_for_each_attempt_of_an_undo_once_and_not_by_hand() -> None:
    asked: list[tuple[str, dict[str, Any]]] = []
    own: Any = Armed(asked)
    done = action(CHAIR, attempts=2, undone_by="Maria", began=NOW)
    with pytest.raises(CannotUndoError, match="request unsigned"):
        request_revert(own, done)
    done = replace(done, origin=with_request(done, "Maria", NOW)[1])

    request_revert(own, done)

    [(function, event)] = asked
    assert (function, event["again"], event["finding"]) == ("arn:undo", True, done.id)
    assert Request.parse(event["asked"]) == done.origin
    assert event["request"] == "2026-10-06T03:00:00 2"
    with pytest.raises(CannotUndoError, match="there is no undo function here"):
        request_revert(replace(own, undo=""), done)
    with pytest.raises(CannotUndoError, match="undo_roles"):
        request_revert(own, replace(done, target=LAMP))
    with pytest.raises(CannotUndoError, match="it is left out"):
        request_revert(replace(own, refused="it is left out"), done)
    assert len(asked) == 1


@pytest.fixture
def half_back(removed: Nights) -> Nights:
    """A lamp that was removed, and could not be brought back when maria asked for it."""
    removed.world.before = raising(PermissionError("no powers here"), at="bring back lamp")
    with pytest.raises(CannotUndoError, match="no powers here"):
        removed.undo()
    return removed


def test_an_undo_is_not_resumed_from_a_record_that_was_changed(half_back: Nights) -> None:
    tampered(half_back, undo='{"name": "prey"}')

    lamp = half_back.after(HOUR)["lamp"]

    forged = Cause(CauseCode.MAC_INVALID, progress=BACK, by="maria")
    assert (lamp.outcome, lamp.cause, half_back.put_back) == (Outcome.FAILED, forged, [])


def test_who_asks_for_it_back_while_it_is_cleaned_up_is_heard_and_the_others_go_on(nights: Nights) -> None:
    """Its message had a button, from a try before: the sweep that is at work on it now has the lease."""
    nights.arming = replace(ARMED, max_share=100)
    nights.warned("a", "b")

    def ask(step: str) -> None:
        if step == "remove a":
            nights.actions.request_undo(*with_request(nights.of("a"), "maria", nights.clock))

    nights.world.before = ask
    results = nights.after(4 * DAY)

    assert (results["a"].outcome, results["b"].outcome) == (Outcome.WAITING, Outcome.ACTED)
    assert outcome_note(results["a"]) == "another run is at work on a, or somebody asked for its undo"
    assert nights.of("a").stage is Stage.UNDOING
    assert outcome_note(nights.after(HOUR)["a"]) == "asked back by maria, and gone on with now"
    (action,) = nights.put_back
    nights.undoing.undo(nights.detector, nights.aws, action, by=action.undone_by, again=True)
    assert (list(nights.world.things), nights.world.unplugged) == (["a"], {"b"})


def test_the_next_sweep_has_it_gone_on_with_in_the_name_of_whoever_asked(half_back: Nights) -> None:
    result = half_back.after(HOUR)["lamp"]

    assert result.outcome is Outcome.WAITING
    assert outcome_note(result) == (
        "half brought back, and gone on with now; the last try: PermissionError: no powers here"
    )
    (asked,) = half_back.put_back
    assert (asked.target.name, asked.stage, asked.undone_by) == ("lamp", Stage.UNDOING, "maria")
    half_back.world.before = lambda _: None
    half_back.undo(again=True)
    assert half_back.of("lamp").stage is Stage.UNDONE
    assert half_back.world.done[2:] == ["bring back lamp", "plug in lamp"]
    assert half_back.after(HOUR)["lamp"].outcome is Outcome.KEPT
    assert len(half_back.put_back) == 1


def test_it_is_gone_on_with_after_a_sweep_that_broke_off(half_back: Nights) -> None:
    half_back.world.broken = RuntimeError("the listing broke off")
    half_back.clock += HOUR

    with pytest.raises(RunFailedError, match="the listing broke off"):
        half_back.sweep()

    assert [action.target.name for action in half_back.put_back] == ["lamp"]


def test_it_is_gone_on_with_after_its_detector_was_disarmed(half_back: Nights) -> None:
    half_back.arming = replace(ARMED, mode=Mode.DRY_RUN)

    assert half_back.after(HOUR)["lamp"].outcome is Outcome.WAITING
    assert [action.target.name for action in half_back.put_back] == ["lamp"]


def test_that_it_failed_then_is_measured_for_the_alarm(
    half_back: Nights, capsys: pytest.CaptureFixture[str]
) -> None:
    """The alarm stays for as long as what was done can be undone."""
    for _ in range(MOST_TRIES - 1):
        with pytest.raises(CannotUndoError):
            half_back.undo(again=True)
    half_back.arming = replace(ARMED, mode=Mode.DRY_RUN)
    capsys.readouterr()

    assert half_back.after(HOUR)["lamp"].outcome is Outcome.FAILED
    assert json.loads(capsys.readouterr().out)["ActionsFailed"] == [1.0]


def test_a_dry_run_leaves_it_alone(half_back: Nights) -> None:
    assert "lamp" not in half_back.after(HOUR, dry=True)
    assert half_back.put_back == []


def test_what_is_half_back_is_no_part_of_what_was_looked_at(half_back: Nights) -> None:
    """Or ten endpoints on their way back would make ten deletions look fewer."""
    half_back.arming = replace(ARMED, max_share=90)
    half_back.warned("a", "b", "c", "d")

    results = half_back.after(4 * DAY)

    assert {results[name].outcome for name in "abcd"} == {Outcome.WAITING}


def stages(nights: Nights) -> list[Stage]:
    return [action.stage for action in nights.actions.all("cellar", ACCOUNT, REGION)]


@pytest.fixture
def back_again(with_lamp: Nights) -> Nights:
    """A lamp that was removed and is there again as it was: like a notebook that somebody started."""
    lamp = with_lamp.world.things["lamp"]
    assert with_lamp.after(4 * DAY)["lamp"].outcome is Outcome.ACTED
    with_lamp.world.things["lamp"] = lamp
    assert with_lamp.after(DAY)["lamp"].outcome is Outcome.WARNED
    return with_lamp


def test_what_was_withdrawn_does_not_hide_what_was_done(back_again: Nights) -> None:
    overwritten = raising(CannotActError("it was overwritten in the last moment"))
    with pytest.MonkeyPatch.context() as patch:  # begun, and refused by AWS
        patch.setattr(Cleaner, "act", lambda *given: given[-1].do("unplug", overwritten))
        back_again.after(4 * DAY)
    assert stages(back_again) == [Stage.ACTED, Stage.WITHDRAWN]
    del back_again.world.things["lamp"]

    assert back_again.undo().stage is Stage.UNDONE
    assert list(back_again.world.things) == ["lamp"]


def test_nor_does_one_that_came_to_nothing(back_again: Nights) -> None:
    back_again.clock += 4 * DAY
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cleaner, "act", raising(KilledError()))
        with pytest.raises(KilledError):
            back_again.sweep()
    assert stages(back_again) == [Stage.ACTED, Stage.ACTING]

    assert back_again.undoing.find("cellar", ACCOUNT, REGION, back_again.of("lamp").id).stage is Stage.ACTED


def test_where_nothing_was_done_there_is_nothing_to_undo_and_it_is_marked_so(with_lamp: Nights) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(with_lamp.actions, "step", raising(PermissionError("no powers to remember")))
        assert with_lamp.after(4 * DAY)["lamp"].outcome is Outcome.FAILED
    assert (stages(with_lamp), with_lamp.of("lamp").steps) == ([Stage.FAILED], {})

    for number in range(2):
        with pytest.raises(CannotUndoError, match="nothing was done to lamp: nothing begun") as refused:
            with_lamp.undo()
        assert refused.value.final or number
        assert (stages(with_lamp), with_lamp.world.done) == ([Stage.WITHDRAWN], [])
    with pytest.raises(CannotUndoError, match="nothing was done to lamp"):
        with_lamp.undoing.find("cellar", ACCOUNT, REGION, with_lamp.of("lamp").id)
    holds = with_lamp.holds.all(ACCOUNT, REGION)[with_lamp.of("lamp").target.key]
    assert "it was brought back" not in str(hold_reason(holds, with_lamp.clock))
    assert with_lamp.after(HOUR)["lamp"].outcome is Outcome.KEPT
    assert with_lamp.put_back == []


def test_a_step_that_was_begun_may_have_been_done(with_lamp: Nights) -> None:
    with_lamp.world.after = raising(KilledError())
    with_lamp.clock += 4 * DAY
    with pytest.raises(KilledError):
        with_lamp.sweep()
    assert with_lamp.of("lamp").steps == {"act: unplug": "begun"}
    with_lamp.world.after = lambda _: None

    assert with_lamp.undo().stage is Stage.UNDONE
    assert with_lamp.world.done == ["unplug lamp", "plug in lamp"]


def test_the_rest_after_an_undo_leaves_a_longer_snooze_as_it_is(removed: Nights) -> None:
    target, until = removed.of("lamp").target, removed.clock + 30 * DAY
    word = Hold(key=target.key, how=HoldKind.SNOOZED, by="tomas", given=removed.clock, until=until)
    removed.holds.put(ACCOUNT, REGION, word)

    removed.undo()

    held = removed.holds.all(ACCOUNT, REGION)
    assert held[target.key] == (word,)
    (anew,) = held[f"{target.arn}@anew"]
    assert anew.until == removed.clock + UNDO_SNOOZE
    kept = removed.after(8 * DAY)["lamp"]
    assert kept.verdict.reason == f"snoozed by tomas until {until:%Y-%m-%d %H:%M} UTC"
