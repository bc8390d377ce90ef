"""What follows a sweep: by which policy it is judged, what is acted on, and what is remembered and told."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from io import StringIO
from typing import Any, cast

import pytest
from aws_lambda_powertools import Logger

from conftest import ACCOUNT, REGION
from fakes import UNTELLABLE, logger_to, raising
from ml_janitor.acting import savings
from ml_janitor.acting.after_sweep import CleanupRun, SweptRegion
from ml_janitor.core.model import Mode
from ml_janitor.core.results import Cause, CauseCode, Outcome, Sweep, make_cause
from ml_janitor.engine.detector import Detector
from ml_janitor.engine.policy import HoldKind
from ml_janitor.engine.run import Failures, RunFailedError, sweep_region
from ml_janitor.ledger.findings import Entry, RecordedFindings
from ml_janitor.ledger.latest import LatestRecords
from ml_janitor.ledger.requests import ButtonRequests, Holds
from ml_janitor.report.causes import cause_text
from narrowing import not_none
from standin import ARMED, DAY, HOUR, Cleaner, Nights, Sparing, tagged, with_request
from tables import cases


@dataclass(frozen=True)
class Adviser(Cleaner):
    """Only advises."""

    name = "adviser"
    cleanup = None  # type: ignore[assignment]


@dataclass
class Log:
    """What was logged."""

    lines: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    def warning(self, line: str, *, extra: Mapping[str, str]) -> None:
        self.lines.append((line, extra))

    error = warning

    def exception(self, line: str) -> None:
        self.lines.append((line, {}))


@dataclass
class Board:
    """Where the messages are; it takes no change of one if it is *ill*."""

    ill: bool = False
    swept: list[tuple[Sweep, RecordedFindings]] = field(default_factory=list)
    void: list[tuple[set[str], str]] = field(default_factory=list)

    def __call__(self, sweep: Sweep, recorded: RecordedFindings) -> Sequence[str]:
        self.swept.append((sweep, recorded))
        return ["ratelimited"] if self.ill else []

    def disarmed(self, entries: Mapping[str, Entry], why: Cause) -> Sequence[str]:
        self.void.append(({entry.name for entry in entries.values()}, cause_text(why)))
        return []


def cleaning(nights: Nights, detector: Detector[Any] | None = None, **about: Any) -> CleanupRun:
    log = cast("Logger", Log())
    parts = replace(nights.runner(), **{"logger": log} | about)
    return CleanupRun(parts, detector or nights.detector, Failures(log))


def lines(cleaning: CleanupRun) -> list[tuple[str, Mapping[str, str]]]:
    return cast("Log", cleaning.parts.logger).lines


def failed(cleaning: CleanupRun) -> str:
    """The failures of the run."""
    with pytest.raises(RunFailedError) as raised:
        cleaning.failures.check()
    return str(raised.value)


def after(nights: Nights, cleaning: CleanupRun) -> SweptRegion:
    """What follows a sweep of now."""
    policy = cleaning.judged_by([nights.aws])
    found = sweep_region(cleaning.detector, nights.aws, now=nights.clock, policy=policy)
    recorded = nights.ledger.record(nights.aws, found, nights.clock, lasts=14 * DAY)
    known = SweptRegion(nights.aws, found, recorded)
    return cleaning.after(known, policy, nights.clock, until=nights.clock + HOUR)


# --- the policy of the run -----------------------------------------------------------------------------


@cases(
    "about, armed", ({}, True), ({"dry": True}, False), ({"warner": None}, False), ({"acting": None}, False)
)
def test_a_dry_run_or_one_that_cannot_warn_or_remember_may_not_act(
    nights: Nights, about: dict[str, Any], *, armed: bool
) -> None:
    assert cleaning(nights, **about).judged_by([nights.aws]).armed("cellar").armed is armed


def test_what_people_asked_for_and_does_not_verify_is_a_failure_of_the_run(with_lamp: Nights) -> None:
    run = cleaning(with_lamp)
    not_none(run.parts.acting).requests.make_due(with_lamp.entries()["lamp"], by="maria", now=with_lamp.clock)
    (item,) = with_lamp.table.scan("request#")
    with_lamp.table.change(item["pk"], item["sk"], set_to={"by": "mallory"})

    run.judged_by([with_lamp.aws])

    assert failed(run) == "lamp: the request to make it due is not signed"


def test_it_knows_what_people_keep_and_may_not_act_where_that_is_unreadable(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights.world.add("lamp")
    nights.hold("lamp", how=HoldKind.KEPT)
    (hold,) = cleaning(nights).judged_by([nights.aws]).holds[nights.world.things["lamp"].target.key]
    assert (hold.how, hold.by) == (HoldKind.KEPT, "maria")

    monkeypatch.setattr(Holds, "all", raising(OSError("reset")))
    blind = cleaning(nights)

    assert not blind.judged_by([nights.aws]).armed("cellar").armed
    assert failed(blind) == "what people asked to keep could not be read: OSError: reset"


def test_it_knows_what_undos_need_or_that_this_is_unreadable(
    with_lamp: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = with_lamp.world.things["lamp"].target.arn
    with_lamp.after(4 * DAY)
    acting = not_none(with_lamp.runner().acting)
    sparing = replace(acting, actors=lambda: [Sparing()])

    policy = cleaning(with_lamp, Sparing(), acting=sparing).judged_by([with_lamp.aws])
    assert policy.needed == {arn: "an undo of lamp needs it, until 2026-11-09"}
    assert policy.needed_unread is None
    with_lamp.clock += 30 * DAY
    assert cleaning(with_lamp, Sparing(), acting=sparing).judged_by([with_lamp.aws]).needed
    with_lamp.clock += timedelta(seconds=1)
    assert cleaning(with_lamp, Sparing(), acting=sparing).judged_by([with_lamp.aws]).needed == {}
    asked = with_request(with_lamp.of("lamp"), "maria", with_lamp.clock)
    undoing = with_lamp.actions.begin_undo(*asked, with_lamp.clock)
    needed = cleaning(with_lamp, Sparing(), acting=sparing).judged_by([with_lamp.aws]).needed
    assert needed, "whatever its age"
    with_lamp.actions.undone(undoing, with_lamp.clock)
    assert cleaning(with_lamp, Sparing(), acting=sparing).judged_by([with_lamp.aws]).needed == {}
    assert cleaning(with_lamp).judged_by([with_lamp.aws]).needed is None

    monkeypatch.setattr(with_lamp.actions, "all", raising(OSError("reset")))
    blind = cleaning(with_lamp, Sparing(), acting=sparing)
    assert blind.judged_by([with_lamp.aws]).needed_unread == "what undos need could not be read"
    assert failed(blind) == "what undos need could not be read: OSError: reset"


def test_what_people_asked_for_is_granted_first_but_not_to_an_adviser(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(ButtonRequests, "grant", lambda _, *about: asked.append(about))

    cleaning(nights).judged_by([nights.aws])
    cleaning(nights, Adviser()).judged_by([nights.aws])

    assert [about[2:] for about in asked] == [("cellar", ACCOUNT, REGION)]


# --- acting and what follows ---------------------------------------------------------------------------


def test_why_something_due_was_not_done_is_remembered_and_of_nothing_else(nights: Nights) -> None:
    nights.arming = replace(ARMED, max_actions=1, max_share=100)
    nights.warned("a", "b", "guarded", "used")
    nights.clock += DAY
    nights.warned("young")
    nights.world.add("new")
    nights.world.things["guarded"] = tagged("guarded", environment="prod")
    nights.world.judge("used", UNTELLABLE)
    nights.postman.ill = True
    nights.clock += 3 * DAY - HOUR

    with pytest.raises(RunFailedError, match="new was not delivered"):
        nights.sweep()

    not_done = {name: one.not_done for name, one in nights.entries().items() if one.not_done}
    assert not_done == {"b": make_cause(CauseCode.MAX_ACTIONS, 1)}


def test_an_adviser_does_nothing_more(nights: Nights) -> None:
    nights.world.add("lamp")
    board = Board()

    known = after(nights, cleaning(nights, Adviser(), follow=board))

    assert ([one.outcome for one in known.sweep.results], board.swept) == ([Outcome.ADVISED], [])


@pytest.mark.parametrize("about", [{"dry": True}, {"acting": None}])
def test_a_run_that_does_not_act_still_updates_messages(with_lamp: Nights, about: dict[str, Any]) -> None:
    with_lamp.clock += 4 * DAY
    board = Board(ill=True)
    dry = cleaning(with_lamp, follow=board, **about)

    known = after(with_lamp, dry)

    assert board.swept == [(known.sweep, known.recorded)]
    assert (failed(dry), with_lamp.world.done) == ("not delivered: ratelimited", [])


def test_what_acting_did_and_what_limits_held_back_is_told(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[Sweep] = []
    monkeypatch.setattr(LatestRecords, "left", lambda _, swept, __: left.append(swept))
    nights.arming = replace(ARMED, max_actions=1, max_share=100)
    nights.warned("a", "b")
    board, log = Board(), Log()

    nights.clock += DAY
    after(nights, cleaning(nights, follow=board, logger=log))
    assert (left, log.lines) == ([], [])
    nights.clock += 3 * DAY
    known = after(nights, cleaning(nights, follow=board, logger=log))

    assert [one.outcome for one in known.sweep.results] == [Outcome.ACTED, Outcome.WAITING]
    assert board.swept[1] == (left[0], known.recorded) == (known.sweep, known.recorded)
    limit = {"detector": "cellar", "limit": "max actions: 1"}
    assert log.lines == [("held back", limit)]


def test_what_was_made_anew_saves_nothing_any_more(with_lamp: Nights) -> None:
    with_lamp.after(4 * DAY)
    with_lamp.world.add("lamp", created=with_lamp.clock + HOUR)

    with_lamp.after(DAY)

    assert with_lamp.of("lamp").over == with_lamp.clock - DAY + HOUR


# --- disarmed ------------------------------------------------------------------------------------------


@cases(
    "arming, why",
    (replace(ARMED, mode=Mode.DRY_RUN), "cellar is not armed any more"),
    (
        replace(ARMED, act_in=("999999999999",)),
        "act_in does not name account 123456789012 and region us-east-1",
    ),
    ids=["everywhere", "here"],
)
def test_disarmed_its_warnings_are_void_also_of_what_cannot_be_judged(
    nights: Nights, arming: Any, why: str
) -> None:
    nights.warned("lamp", "chair")
    nights.world.judge("chair", UNTELLABLE)
    nights.world.add("new")
    nights.arming, board = arming, Board()

    known = after(nights, cleaning(nights, follow=board))

    assert board.swept == [(known.sweep, known.recorded)]
    assert board.void == [({"lamp", "chair"}, why)]
    assert {name for name, one in nights.entries().items() if one.voided} == {"lamp", "chair"}


def test_disarmed_it_goes_on_where_it_has_acted(with_lamp: Nights) -> None:
    with_lamp.after(4 * DAY)
    assert with_lamp.of("lamp").ended is not None
    with_lamp.arming, board = replace(ARMED, mode=Mode.DRY_RUN), Board()
    run, recorded = (
        cleaning(with_lamp, follow=board),
        RecordedFindings(new=(), entries={}, closed=(), untold=()),
    )
    found = sweep_region(run.detector, with_lamp.aws, now=with_lamp.clock, policy=run.base_policy)

    run.after(
        SweptRegion(with_lamp.aws, found, recorded),
        run.base_policy,
        with_lamp.clock,
        until=with_lamp.clock + HOUR,
    )

    assert len(board.swept) == 1


def test_disarmed_it_goes_on_as_if_it_had_acted_where_its_actions_cannot_be_read(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights.arming, board = replace(ARMED, mode=Mode.DRY_RUN), Board()
    after(nights, run := cleaning(nights, follow=board))
    assert board.swept == []
    run.failures.check()

    monkeypatch.setattr(savings, "end_savings", raising(RuntimeError("no")))
    known = after(nights, run)

    assert board.swept == [(known.sweep, known.recorded)]
    assert failed(run).startswith("what was saved could not be counted")


def test_what_no_function_may_undo_any_more_fails_the_run(with_lamp: Nights) -> None:
    with_lamp.after(4 * DAY)
    with_lamp.arming, with_lamp.undoable = replace(ARMED, mode=Mode.DRY_RUN), False
    written = StringIO()

    with pytest.raises(RunFailedError, match="cellar: 1 thing that it did"):
        replace(with_lamp.runner(), logger=logger_to(written)).sweep(
            with_lamp.detector, [with_lamp.aws], now=with_lamp.clock
        )

    (line,) = (line for line in map(json.loads, written.getvalue().splitlines()) if line["level"] == "ERROR")
    assert (line["message"], line["detector"], line["why"][:7]) == ("out of reach", "cellar", "1 thing")
