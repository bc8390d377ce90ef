"""Taking back an action: what is found, verified, held and waited for, and what a run answers. Law 7."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from armed import Cellar, KilledError, raising
from conftest import ACCOUNT, REGION
from fakes import because
from ml_janitor.acting.undoing import (
    CannotUndoError,
    UndoRun,
)
from ml_janitor.aws.calls import OutOfTimeError
from ml_janitor.aws.client import Aws
from ml_janitor.config.events import UndoEvent
from ml_janitor.core.results import Cause, CauseCode, make_cause
from ml_janitor.deployment import undo_answer
from ml_janitor.engine.detector import CannotActError, NotFinishedError
from ml_janitor.engine.policy import Hold, HoldKind, recreated_hold_key
from ml_janitor.ledger.actions import Action, BegunBeforeError, Stage, UnverifiedError
from ml_janitor.ledger.limits import Leases, LeaseTakenError
from ml_janitor.report.causes import cause_clause, cause_text
from nights import DAY, HOUR, Nights, in_memory

MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)


@pytest.fixture
def nights() -> Iterator[Nights]:
    """A lamp that was removed."""
    with in_memory() as nights:
        nights.warned("lamp")
        nights.after(4 * DAY)
        yield nights


def undone(nights: Nights, **how: Any) -> Action:
    return nights.undoing.undo(Cellar(), nights.aws, nights.of("lamp"), by="maria", **how)


def cannot(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, error: BaseException) -> None:
    """From now on, calling *name* of *owner* raises *error*."""

    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(owner, name, fails)


def tampered(nights: Nights, **changes: str) -> None:
    action = nights.of("lamp")
    nights.table.change(action.pk, action.sk, set_to=changes)


# --- what can be taken back ----------------------------------------------------------------------------


def test_what_nobody_did_is_not_found(nights: Nights) -> None:
    with pytest.raises(
        CannotUndoError, match=f"nothing was done to finding 0123456789 by cellar in {REGION}"
    ):
        nights.undoing.find("cellar", ACCOUNT, REGION, "0123456789")


def test_it_can_be_undone_for_thirty_days_and_not_a_second_longer(nights: Nights) -> None:
    lamp = nights.of("lamp")
    nights.clock = lamp.began + 30 * DAY
    assert nights.undoing.find("cellar", ACCOUNT, REGION, lamp.id) == lamp

    nights.clock += SECOND

    with pytest.raises(CannotUndoError, match="lamp was cleaned up 30 days ago; undo_days is 30"):
        nights.undoing.find("cellar", ACCOUNT, REGION, lamp.id)


def test_what_is_half_brought_back_is_never_too_old(nights: Nights) -> None:
    nights.actions.begin_undo(nights.of("lamp"), "maria", nights.clock)
    nights.clock += 90 * DAY

    assert nights.undoing.find("cellar", ACCOUNT, REGION, nights.of("lamp").id) == nights.of("lamp")


def test_an_old_action_does_not_hide_a_newer_one_that_was_not_begun(nights: Nights) -> None:
    """It is the one that can still be asked back, so that it is not resumed."""
    old = nights.of("lamp")
    nights.clock += 31 * DAY
    nights.world.add("lamp")
    result = nights.after(HOUR)["lamp"]
    newer = nights.actions.begin(result, {"name": "lamp"}, warned=nights.clock, now=nights.clock)

    assert old.id == newer.id
    assert nights.undoing.find("cellar", ACCOUNT, REGION, old.id) == newer


@pytest.mark.parametrize(
    ("became", "said"),
    [
        ("", "lamp was brought back before, by maria"),
        ("it was made anew as lamp-2", "done before, by maria: it was made anew as lamp-2"),
    ],
)
def test_what_was_undone_says_by_whom_and_what_became_of_it(
    nights: Nights, monkeypatch: pytest.MonkeyPatch, became: str, said: str
) -> None:
    monkeypatch.setattr(Cellar, "revert", lambda *_: became or None)
    assert undone(nights).became == became

    with pytest.raises(CannotUndoError, match=f"^{said}$"):
        nights.undoing.find("cellar", ACCOUNT, REGION, nights.of("lamp").id)


def test_a_request_counts_attempts_anew_and_stops_who_read_the_action_before(nights: Nights) -> None:
    """The act's own attempts are none of the undo's; a request changes no attempts, but the stage."""
    lamp = nights.of("lamp")

    asked = nights.actions.request_undo(lamp, "maria", nights.clock)

    assert (lamp.failures, asked.failures, asked.attempts) == (1, 0, lamp.attempts)
    with pytest.raises(BegunBeforeError, match="somebody asked for its undo"):
        nights.actions.failed(lamp, because("too late"))


# --- from which record ---------------------------------------------------------------------------------


def test_what_was_brought_back_is_held_for_a_week_under_each_of_its_names(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = "arn:aws:sagemaker:us-east-1:123456789012:thing/lamp-2"
    monkeypatch.setattr(Cellar, "reverted_arn", lambda *_: other)
    target = nights.of("lamp").target

    done = undone(nights)

    assert done.steps == {"act: unplug": "done", "act: remove": "done"}
    assert (done.stage, done.undone, nights.of("lamp").undone) == (Stage.UNDONE, nights.clock, nights.clock)
    assert (done.asked, done.asked_at, done.undone_by) == (1, nights.clock, "maria")
    rests: dict[str, Any] = {
        "how": HoldKind.SNOOZED,
        "by": "maria",
        "given": nights.clock,
        "until": nights.clock + 7 * DAY,
    }
    keys = [target.key, recreated_hold_key(target.arn), recreated_hold_key(other)]
    assert {key: held for key, (held,) in nights.holds.all(ACCOUNT, REGION).items()} == {
        key: Hold(key=key, why="it was brought back", **rests) for key in keys
    }


def test_from_a_record_that_was_changed_nothing_is_done(nights: Nights) -> None:
    tampered(nights, undo='{"name": "prey"}')

    with pytest.raises(CannotUndoError, match="lamp: mac invalid"):
        undone(nights)

    lamp = nights.of("lamp")
    assert (lamp.stage, lamp.broke, lamp.error) == (
        Stage.ACTED,
        True,
        Cause(CauseCode.MAC_INVALID),
    )
    assert nights.holds.all(ACCOUNT, REGION) == {}
    assert nights.world.done == ["unplug lamp", "remove lamp"]


@pytest.mark.parametrize(
    ("unsigned", "mac", "since", "refused"),
    [
        (False, "", DAY, CauseCode.MAC_MISSING),
        (True, "", DAY, None),
        (True, "", -DAY, CauseCode.MAC_EXPECTED),
        (True, "wrong", DAY, CauseCode.MAC_INVALID),
    ],
    ids=["signed only", "older", "begun when all were signed", "wrong"],
)
def test_what_has_no_signature_is_undone_by_a_person_if_it_is_older_than_signatures(
    nights: Nights,
    monkeypatch: pytest.MonkeyPatch,
    *,
    unsigned: bool,
    mac: str,
    since: timedelta,
    refused: CauseCode | None,
) -> None:
    tampered(nights, mac=mac)
    monkeypatch.setattr(nights.actions._macs, "made", nights.of("lamp").began + since)
    if unsigned:
        nights.undoing = replace(nights.undoing, unsigned=True)

    if refused is None:
        assert undone(nights).stage is Stage.UNDONE
        return
    with pytest.raises(CannotUndoError) as error:
        undone(nights)
    assert isinstance(error.value.__cause__, UnverifiedError)
    assert (error.value.__cause__.cause.why, str(error.value.__cause__)) == (refused, refused.name)


def test_a_key_that_does_not_answer_is_remembered_and_it_can_be_tried_again(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        cannot(patch, nights.actions._macs, "verify", ConnectionError("reset"))
        with pytest.raises(CannotUndoError, match="lamp: record unread: ConnectionError: reset"):
            undone(nights)
    assert nights.of("lamp").error == make_cause(CauseCode.RECORD_UNREAD, "ConnectionError: reset")

    assert undone(nights).stage is Stage.UNDONE


# --- what goes wrong, or takes its time ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "why"),
    [(CannotActError("its volume is gone"), "its volume is gone"), (OSError("reset"), "OSError: reset")],
)
def test_what_goes_wrong_is_remembered_and_told(nights: Nights, error: Exception, why: str) -> None:
    nights.world.before = raising(error, at="plug in lamp")

    with pytest.raises(CannotUndoError, match=f"lamp could not be brought back: undo failed: {why}"):
        undone(nights)

    lamp = nights.of("lamp")
    assert (lamp.stage, lamp.broke, lamp.error) == (
        Stage.UNDOING,
        True,
        make_cause(CauseCode.UNDO_FAILED, why),
    )


@pytest.mark.parametrize(
    ("waits", "minutes", "rounds"),
    [(False, 1000, 1), (True, 0, 1), (True, 2, 3), (True, 1000, 80)],
    ids=["none", "no time", "some time", "at most"],
)
def test_aws_is_waited_for_while_there_is_time(
    nights: Nights, monkeypatch: pytest.MonkeyPatch, *, waits: bool, minutes: int, rounds: int
) -> None:
    tries, waited = list[str](), list[str]()

    def revert(*_: object) -> str:
        tries.append("again")
        raise NotFinishedError("it is being wired")

    monkeypatch.setattr(Cellar, "revert", revert)
    monkeypatch.setattr(nights.aws, "_has_time", lambda: len(waited) < minutes)
    nights.undoing = replace(nights.undoing, wait=(lambda: waited.append("a minute")) if waits else None)

    with pytest.raises(CannotUndoError, match="goes on with it: waits for aws: it is being wired"):
        undone(nights)

    lamp = nights.of("lamp")
    waiting = make_cause(CauseCode.WAITS_FOR_AWS, "it is being wired")
    assert (lamp.stage, lamp.broke, lamp.error) == (Stage.UNDOING, False, waiting)
    assert (len(tries), len(waited)) == (rounds, rounds if rounds == 80 else rounds - 1)


def test_a_call_without_time_goes_on_with_the_next_one(nights: Nights) -> None:
    nights.world.before = raising(OutOfTimeError("late"), at="plug in lamp")
    with pytest.raises(CannotUndoError, match="call out of time"):
        undone(nights)
    late = make_cause(CauseCode.CALL_OUT_OF_TIME)
    assert (nights.of("lamp").broke, nights.of("lamp").error) == (False, late)
    nights.world.before = lambda _: None
    asked_at = nights.of("lamp").asked_at
    nights.clock += MINUTE

    assert undone(nights, again=True).asked_at == asked_at


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

    def run(self, **about: Any) -> dict[str, Any]:
        settings: Any = SimpleNamespace(
            why_not_allowed=self._why_not_allowed,
            detector_called={Cellar.name: Cellar()}.get,
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
            count_refused=self.refused.append,
            by_hand=lambda _, __: self.by_hand,
        )
        asked = {"detector": "cellar", "region": REGION, "finding": self.nights.of("lamp").id, "by": "maria"}
        event = UndoEvent(**{**asked, **about})
        return undo_answer(event, run(event, holder="undo-1"), logger)


def test_a_run_brings_back_what_is_named_and_says_so(nights: Nights) -> None:
    office = Office(nights)

    answer = office.run()

    finding = nights.of("lamp").id
    assert answer == {"done": True, "detector": "cellar", "finding": finding, "why": ""}
    assert office.logged == [
        ("undone", {"detector": "cellar", "region": REGION, "finding": finding, "why": ""})
    ]
    assert (office.told, office.entered, office.refused) == (["lamp"], [("cellar", ACCOUNT, REGION)], [])
    assert nights.of("lamp").stage is Stage.UNDONE
    office.leases.take("cellar", ACCOUNT, REGION, holder="next", now=nights.clock, until=nights.clock)


OTHER = "210987654321"
UNARMED = "the settings do not allow it"


@pytest.mark.parametrize(
    ("about", "asked", "why"),
    [
        ({}, {"account": OTHER}, UNARMED),
        ({"organization": True}, {"account": OTHER}, "nothing was done to finding"),
        ({"armed": False}, {}, UNARMED),
        ({"armed": False, "organization": True}, {"account": OTHER}, UNARMED),
        ({}, {"finding": "0123456789"}, "nothing was done to finding"),
        ({}, {"again": True}, "lamp is not half brought back any more"),
    ],
    ids=["another account", "of the organization", "unarmed", "unarmed there", "unknown", "again"],
)
def test_a_run_that_has_nothing_to_do_says_why(
    nights: Nights, about: dict[str, Any], asked: dict[str, Any], why: str
) -> None:
    office = Office(nights, **about)

    answer = office.run(**asked)

    assert (answer["done"], why in answer["why"]) == (False, True)
    assert office.logged[0][0] == "nothing to undo"
    assert (office.told, office.entered, nights.of("lamp").stage) == ([], [], Stage.ACTED)


def test_the_own_account_may_be_named(nights: Nights) -> None:
    assert Office(nights).run(account=ACCOUNT)["done"]


def _refused_record(nights: Nights, office: Office, _: pytest.MonkeyPatch) -> None:
    del office
    tampered(nights, undo='{"name": "prey"}')


def _by_hand(_: Nights, office: Office, __: pytest.MonkeyPatch) -> None:
    office.by_hand = make_cause(CauseCode.NO_UNDO, "only a person does")


def _nothing_done(nights: Nights, _: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    cannot(monkeypatch, nights.undoing.__class__, "undo", CannotUndoError("nothing was done", final=True))


def _at_work(nights: Nights, _: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    cannot(monkeypatch, nights.actions, "begin_undo", BegunBeforeError("another run"))


@pytest.mark.parametrize(
    ("prepare", "counted"),
    [(_refused_record, ["cellar"]), (_by_hand, []), (_nothing_done, []), (_at_work, [])],
)
def test_a_run_that_may_not_answers_once_and_updates_the_message(
    nights: Nights,
    monkeypatch: pytest.MonkeyPatch,
    prepare: Callable[[Nights, Office, pytest.MonkeyPatch], None],
    counted: list[str],
) -> None:
    office = Office(nights)
    prepare(nights, office, monkeypatch)

    answer = office.run()

    assert (answer["done"], office.refused, office.told) == (False, counted, ["lamp"])
    assert nights.world.done == ["unplug lamp", "remove lamp"]
    if office.by_hand is not None:
        assert (nights.of("lamp").error, answer["why"]) == (
            office.by_hand,
            f"lamp: {cause_clause(office.by_hand)}",
        )
        assert office.entered == []


def test_a_region_that_cannot_be_entered_is_remembered_and_raised(nights: Nights) -> None:
    office = Office(nights, closed=PermissionError("no powers"))

    with pytest.raises(
        CannotUndoError, match="lamp could not be brought back: account unread: 123456789012, could not"
    ):
        office.run()

    assert (nights.of("lamp").broke, office.told) == (True, ["lamp"])
    error = cause_text(nights.of("lamp").error)
    assert error.startswith(f"account {ACCOUNT} could not be read: ")


@pytest.mark.parametrize(
    ("asked", "stored"), [({}, 0), ({"request": "press-1"}, 1), ({"request": "press-1", "again": True}, 0)]
)
def test_a_press_is_stored_before_anything_is_entered(
    nights: Nights, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], stored: int
) -> None:
    if asked.get("again"):
        nights.actions.request_undo(nights.of("lamp"), "maria", nights.clock)
    requests, real = list[str](), nights.actions.request_undo

    def request(action: Action, by: str, now: Any) -> Action:
        requests.append(by)
        return real(action, by, now)

    monkeypatch.setattr(nights.actions, "request_undo", request)

    assert Office(nights).run(**asked)["done"]

    assert requests == ["maria"] * stored


@pytest.mark.parametrize(
    ("left", "busy", "slept"),
    [
        (9 * MINUTE, MINUTE, 12),
        (15 * MINUTE, HOUR, 144),
        (3 * MINUTE, HOUR, 24),
        (9 * MINUTE, timedelta(), 0),
    ],
    ids=["a minute", "too long", "little time", "free"],
)
def test_a_sweep_in_progress_is_waited_for_while_enough_time_is_left(
    nights: Nights, left: timedelta, busy: timedelta, slept: int
) -> None:
    office = Office(nights, left=left)
    office.leases.take(
        "cellar", ACCOUNT, REGION, holder="sweep", now=nights.clock - SECOND, until=nights.clock + busy
    )

    if busy == HOUR:
        with pytest.raises(LeaseTakenError):
            office.run()
    else:
        assert office.run()["done"]

    assert office.slept == [5.0] * slept
    assert (nights.of("lamp").stage is Stage.UNDONE) is (busy != HOUR)


def test_a_run_that_is_killed_keeps_the_lease_as_long_as_it_could_have_run(nights: Nights) -> None:
    office = Office(nights)
    held = list[bool]()

    def taken() -> bool:
        try:
            office.leases.take("cellar", ACCOUNT, REGION, holder="x", now=nights.clock, until=nights.clock)
        except LeaseTakenError:
            return True
        office.leases.release("cellar", ACCOUNT, REGION, holder="x")
        return False

    def at_work(step: str) -> None:
        if step == "plug in lamp":
            held.append(taken())
            nights.clock += 9 * MINUTE
            held.append(taken())
            raise KilledError

    nights.world.before = at_work
    with pytest.raises(KilledError):
        office.run()

    assert held == [True, False]
