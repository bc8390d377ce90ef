"""Which findings are warned about, with which date, and what is remembered as Slack takes each. Law 5."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from conftest import ACCOUNT, NOW, REGION
from fakes import IN_TURN, USED, because, result_of, waste
from memory_table import MemoryTable
from ml_janitor.acting.warning import WarnedSweep, Warner, WarningDeliveries, finding_of, round_due_date
from ml_janitor.core.model import ActionSchedule, Mode
from ml_janitor.core.results import Cause, CauseCode, Outcome, Result, Sweep, make_cause
from ml_janitor.ledger.findings import Entry, Ledger, MessageRef
from standin import ARMED, DAY, own_signatures
from tables import cases

MINUTE = timedelta(minutes=1)
SOON = NOW + 10 * MINUTE
"""Ten minutes are what a message has, where it is five to the minute."""

SLACK, DIRECT = MessageRef("C1", "1.0"), MessageRef("D1", "2.0")
UNWARNED = make_cause(CauseCode.UNWARNED)


result = partial(result_of, detector="cellar", cause=UNWARNED)


@dataclass
class Slack:
    """Takes warnings, each of which lasts *takes*; *messages* owners, or says why not, or (None) neither."""

    clock: datetime = NOW
    takes: timedelta = timedelta()
    messages: bool | None = True
    fails: Exception | None = None
    asked: list[str] = field(default_factory=list)
    dues: dict[bool, datetime] = field(default_factory=dict)

    def __call__(
        self, sweep: Sweep, warnings: Sequence[Result], *, now: datetime, deliveries: WarningDeliveries
    ) -> Sequence[str]:
        del sweep, now
        for one in warnings:
            self.asked.append(one.target.name)
            self.dues = {messaged: deliveries.due(one, messaged=messaged) for messaged in (True, False)}
            self.clock += self.takes
            deliveries.delivered(one, because("not yet"), SLACK, "what lasts")
            if self.messages:
                deliveries.messaged(one, DIRECT)
            elif self.messages is not None:
                deliveries.not_messaged(one, because("nobody knows who that is"))
            if self.fails is not None:
                raise self.fails
        return ["one line"]


class Desk:
    """A ledger that has every result of one sweep, and what warns about them."""

    def __init__(self, *results: Result, slack: Slack | None = None) -> None:
        self.slack = slack or Slack()
        self.ledger = Ledger(MemoryTable(), own_signatures())
        self.sweep = Sweep(detector="cellar", account=ACCOUNT, region=REGION, mode=Mode.ACT, results=results)
        self.ledger.record(IN_TURN, self.sweep, NOW)

    def entries(self) -> dict[str, Entry]:
        return {entry.key: entry for entry in self.ledger.entries("cellar", ACCOUNT, REGION)}

    def entry(self, name: str = "lamp") -> Entry:
        (entry,) = (one for one in self.entries().values() if one.name == name)
        return entry

    def warned(self) -> WarnedSweep:
        warner = Warner(ledger=self.ledger, warn=self.slack, clock=lambda: self.slack.clock)
        return warner(self.sweep, self.entries(), ARMED, now=NOW)


def test_what_slack_and_its_owner_have_is_due_after_its_grace() -> None:
    desk = Desk(result("lamp"))

    warned = desk.warned()

    (lamp,) = warned.sweep.results
    assert (warned.problems, warned.error) == (["one line"], None)
    assert desk.slack.dues == {True: SOON + 3 * DAY, False: SOON + 6 * DAY}
    assert (lamp.outcome, lamp.due, lamp.cause) == (Outcome.WARNED, SOON + 3 * DAY, None)
    entry = desk.entry()
    assert (entry.warned, entry.announced, entry.due) == (NOW, NOW, SOON + 3 * DAY)
    assert (entry.channel, entry.message, entry.said) == ("C1", "1.0", "what lasts")
    assert (entry.direct_channel, entry.direct_message, entry.unmessaged) == ("D1", "2.0", None)


def test_what_its_owner_does_not_have_is_due_after_twice_that() -> None:
    desk = Desk(result("lamp"), slack=Slack(messages=False))

    (lamp,) = desk.warned().sweep.results

    why = because("nobody knows who that is")
    assert (lamp.outcome, lamp.due) == (Outcome.WARNED, SOON + 6 * DAY)
    assert lamp.cause == make_cause(CauseCode.OWNER_NOT_MESSAGED, why)
    assert (desk.entry().due, desk.entry().unmessaged) == (SOON + 6 * DAY, why)


def test_a_warning_in_the_channel_alone_says_that_its_owner_has_no_message() -> None:
    desk = Desk(result("lamp"), slack=Slack(messages=None))

    (lamp,) = desk.warned().sweep.results

    assert (lamp.outcome, lamp.due) == (Outcome.WARNED, SOON + 6 * DAY)
    assert lamp.cause == make_cause(CauseCode.OWNER_NOT_MESSAGED, because("not yet"))
    assert desk.entry().unmessaged == because("not yet")


@pytest.mark.parametrize("messages", [True, False])
def test_a_slack_that_takes_long_moves_the_date_and_never_brings_it_forward(*, messages: bool) -> None:
    desk = Desk(result("lamp"), slack=Slack(takes=30 * MINUTE, messages=messages))

    (lamp,) = desk.warned().sweep.results

    due = NOW + 30 * MINUTE + (3 if messages else 6) * DAY
    assert (lamp.due, desk.entry().due) == (due, due)


@cases(
    "about",
    {"outcome": Outcome.ADVISED},
    {"outcome": Outcome.FAILED},
    {"cause": None},
    {"cause": make_cause(CauseCode.NOT_DUE)},
    {"verdict": USED},
    ids=["only reported", "failed", "no cause", "not due", "kept"],
)
def test_nobody_is_warned_of_anything_else(about: dict[str, Any]) -> None:
    other = result("lamp", **about)
    desk = Desk(other)

    assert (desk.warned(), desk.slack.asked) == (WarnedSweep(desk.sweep), [])


def test_nobody_is_warned_twice_nor_of_what_the_ledger_does_not_have() -> None:
    desk = Desk(result("lamp"), result("chair"))
    desk.warned()
    desk.sweep = replace(desk.sweep, results=(*desk.sweep.results, result("stranger")))

    desk.warned()

    assert desk.slack.asked == ["lamp", "chair"]


def test_at_most_twenty_are_warned_about_at_once() -> None:
    desk = Desk(*(result(f"thing-{number:02}") for number in range(22)))

    outcomes = [one.outcome for one in desk.warned().sweep.results]

    assert outcomes == [Outcome.WARNED] * 20 + [Outcome.WAITING] * 2


def test_what_was_delivered_before_something_failed_was_delivered() -> None:
    failed = OSError("the table is full")
    warned = Desk(result("lamp"), result("chair"), slack=Slack(fails=failed)).warned()

    assert (warned.problems, warned.error) == ((), failed)
    assert [one.outcome for one in warned.sweep.results] == [Outcome.WARNED, Outcome.WAITING]


class Pressing(Slack):
    """Somebody presses *Do it now*, or keeps it, before its owner is messaged."""

    desk: Desk
    void: bool = False

    def __call__(
        self, sweep: Sweep, warnings: Sequence[Result], *, now: datetime, deliveries: WarningDeliveries
    ) -> list[str]:
        del sweep, now
        (one,) = warnings
        deliveries.delivered(one, because("not yet"), SLACK)
        if self.void:
            self.desk.ledger.void_warning(self.desk.entry(), because("maria keeps it"))
            assert deliveries.not_messaged(one, because("nobody knows who that is")).outcome is Outcome.WARNED
        else:
            self.desk.ledger.make_due(self.desk.entry(), by="maria", now=NOW)
        deliveries.messaged(one, DIRECT)
        return []


@pytest.mark.parametrize("void", [False, True])
def test_what_somebody_pressed_meanwhile_stands(*, void: bool) -> None:
    slack = Pressing()
    desk = Desk(result("lamp"), slack=slack)
    slack.desk, slack.void = desk, void

    warned = desk.warned()

    (lamp,), entry = warned.sweep.results, desk.entry()
    assert warned.error is None
    assert (entry.due, entry.hurried, entry.voided) == ((None, "", True) if void else (NOW, "maria", False))
    assert entry.direct_message == ""
    assert lamp.due == SOON + 6 * DAY


@cases(
    "closing, before, why",
    (SOON, UNWARNED, CauseCode.WARNED_BEFORE_CLOSING),
    (SOON + MINUTE, UNWARNED, None),
    (SOON, make_cause(CauseCode.NOT_DUE), CauseCode.NOT_DUE),
    ids=["closed", "open", "warned before"],
)
def test_a_stop_is_warned_before_closing(closing: datetime, before: Cause, why: CauseCode | None) -> None:
    plan = ActionSchedule(closing=closing, due=SOON + DAY, next_closing=SOON + 2 * DAY)
    desk = Desk(result("lamp", replace(waste(), schedule=plan), cause=before), result("chair"))

    lamp, chair = desk.warned().sweep.results

    assert (lamp.why, lamp.outcome) == (why, Outcome.WAITING if why else Outcome.WARNED)
    assert chair.outcome is Outcome.WARNED


@cases("at, end", ((3, 0, 0), (3, 10)), ((3, 4, 59), (3, 10)), ((3, 5, 0), (3, 15)), ((23, 58, 1), (24, 5)))
def test_a_date_is_said_to_five_minutes(at: tuple[int, int, int], end: tuple[int, int]) -> None:
    day = NOW.replace(hour=0)
    moment = day.replace(hour=at[0], minute=at[1], second=at[2], microsecond=7)

    assert round_due_date(moment) == day + timedelta(hours=end[0], minutes=end[1])


def test_only_findings_are_warned_about() -> None:
    with pytest.raises(TypeError, match="lamp is not a finding"):
        finding_of(result("lamp", USED))


def test_an_owner_is_messaged_after_the_channel_only() -> None:
    desk = Desk(result("lamp"))
    deliveries = WarningDeliveries(
        ledger=desk.ledger, arming=ARMED, entries=desk.entries(), clock=lambda: NOW, soon=SOON
    )
    lamp = result("lamp")
    deliveries.warned[lamp.target.key] = lamp

    with pytest.raises(ValueError, match="the warning of lamp was not delivered"):
        deliveries.messaged(lamp, DIRECT)
