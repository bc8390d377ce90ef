"""What the message of a warning says of an action that came to nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from conftest import ACCOUNT, MINUTE, REGION
from fakes import USED, because, raising, thing, waste
from ml_janitor.acting.undoing import CannotUndoError
from ml_janitor.core.model import ActionSchedule, Effect, Mode
from ml_janitor.core.results import Cause, CauseCode, Outcome, Result, Sweep, make_cause
from ml_janitor.engine.detector import CannotActError, NotFinishedError
from ml_janitor.engine.policy import HoldKind
from ml_janitor.engine.run import RunFailedError
from ml_janitor.ledger.actions import Actions, Stage
from ml_janitor.ledger.findings import Entry, Ledger, MessageRef, RecordedFindings
from ml_janitor.report.causes import outcome_note
from ml_janitor.report.mrkdwn import Message
from ml_janitor.report.warnings import Button, StatusWording, WarningTerms
from ml_janitor.scheduled.sweep_run import SweepRunResult
from ml_janitor.slack.client import Sender, SendError, SlackRefusedError
from ml_janitor.slack.warnings import MessageUpdates
from standin import DAY, DENIED, HOUR, Cleaner, KilledError, Nights, by_name, with_request
from tables import cases


class Blackboard:
    """Takes every change of a message, unless it is *ill*."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.places: list[MessageRef] = []
        self.direct: list[Message] = []
        self.ill = False
        self.refuses = ""

    def change(self, message: Message, posted: MessageRef, *, deadline: float) -> bool:
        del deadline
        if self.ill:
            raise SendError("ratelimited")
        if self.refuses == posted.channel:
            raise SlackRefusedError("cant_do_that", "cant_do_that")
        if posted.channel == "D1":
            self.direct.append(message)
        else:
            self.messages.append(message)
            self.places.append(posted)
        return True

    def news(self) -> list[str]:
        """What messages were changed to since it was asked last."""
        said, self.messages = [str(message.blocks) for message in self.messages], []
        return said


@pytest.fixture
def board() -> Blackboard:
    return Blackboard()


@pytest.fixture
def updates(nights: Nights, board: Blackboard) -> MessageUpdates:
    terms = WarningTerms(
        wording=StatusWording(effect=Effect.DELETE, time_zone="UTC"),
        lost="the dust on it",
        offers=frozenset(Button),
    )
    return MessageUpdates(
        connect=lambda: cast("Sender", board),
        deadline=0,
        terms={"cellar": terms},
        ledger=nights.ledger,
        actions=nights.actions,
        holds=nights.holds,
        clock=lambda: nights.clock,
        within=timedelta(days=30),
    )


@pytest.fixture
def sweep(nights: Nights, updates: MessageUpdates) -> Callable[[timedelta], SweepRunResult]:
    """A run some time later, after which the messages are kept true."""

    def swept(span: timedelta) -> SweepRunResult:
        nights.clock += span
        return replace(nights.runner(), follow=updates).sweep(nights.detector, [nights.aws], now=nights.clock)

    return swept


type Swept = Callable[[timedelta], SweepRunResult]


def test_what_was_withdrawn_is_not_half_done(
    nights: Nights, updates: MessageUpdates, board: Blackboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights.warned("lamp")
    monkeypatch.setattr(Cleaner, "act", raising(CannotActError("it was overwritten in the last moment")))
    nights.after(4 * DAY)
    action = nights.of("lamp")
    assert action.stage is Stage.WITHDRAWN
    updates.action(action)

    (said,) = board.news()
    assert "It was overwritten in the last moment" in said
    assert "half done" not in said


def test_what_aws_refused_is_not_half_done_either(
    nights: Nights, updates: MessageUpdates, board: Blackboard
) -> None:
    nights.warned("lamp")

    def denied(step: str) -> None:
        if step == "unplug lamp":
            raise DENIED

    nights.world.before = denied
    nights.after(4 * DAY)
    for _ in range(2):
        updates.action(nights.of("lamp"))
        (said,) = board.news()
        assert "half done" not in said
        assert "Nothing was done to it; the next sweep tries again." in said
        nights.after(HOUR)
    updates.action(nights.of("lamp"))

    (said,) = board.news()
    assert "Nothing was done to it, and a person has to look." in said


def test_how_far_an_action_came_is_told_once_and_again_when_it_came_further(
    nights: Nights, board: Blackboard, sweep: Swept
) -> None:
    nights.warned("lamp")
    sweep(4 * DAY)
    (said,) = board.news()
    assert "*Deleted on Sat 10 Oct 03:00*" in said

    sweep(HOUR)
    assert board.news() == []

    nights.undo()  # by hand: nobody told the message
    sweep(HOUR)
    (said,) = board.news()
    assert "*Brought back on Sat 10 Oct 04:00* for maria." in said
    sweep(HOUR)
    assert board.news() == []


def test_what_slack_did_not_take_is_told_by_the_next_sweep(
    nights: Nights, board: Blackboard, sweep: Swept
) -> None:
    nights.warned("lamp")
    board.ill = True
    with pytest.raises(RunFailedError, match="a warning's message does not say what became of it"):
        sweep(4 * DAY)
    board.ill = False

    sweep(HOUR)

    (said,) = board.news()
    assert "*Deleted on Sat 10 Oct 03:00*" in said


def test_what_could_not_be_verified_is_told_by_the_next_sweep(
    nights: Nights, board: Blackboard, sweep: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights.warned("lamp")
    sweep(4 * DAY)
    nights.undo()
    board.news()
    with monkeypatch.context() as patch:
        patch.setattr(Actions, "doubt", lambda *_: make_cause(CauseCode.RECORD_UNREAD, "throttled"))
        with pytest.raises(RunFailedError, match=r"lamp does not say what became of it.*throttled"):
            sweep(HOUR)
    assert board.news() == []

    sweep(HOUR)

    (said,) = board.news()
    assert "*Brought back" in said


def test_every_try_of_an_undo_is_told(nights: Nights, board: Blackboard, sweep: Swept) -> None:
    """The same stage each time, and another reason."""
    nights.warned("lamp")
    sweep(4 * DAY)
    board.news()

    for number, why in enumerate(["throttled", "no capacity"]):
        nights.world.before = raising(RuntimeError(why))
        with pytest.raises(CannotUndoError):
            nights.undo(again=number > 0)
        sweep(HOUR)
        (said,) = board.news()
        assert f"RuntimeError: {why}. The next sweep goes on with it." in said
    with pytest.raises(CannotUndoError):
        nights.undo(again=True)
    sweep(HOUR)
    (said,) = board.news()
    assert "A person has to look; *Undo* tries again." in said


def test_an_undo_that_was_refused_before_it_began_is_told(
    nights: Nights, board: Blackboard, sweep: Swept
) -> None:
    nights.warned("lamp")
    sweep(4 * DAY)
    board.news()

    action = nights.undoing.find("cellar", ACCOUNT, REGION, nights.of("lamp").id)
    nights.undoing.actions.refused(action, make_cause(CauseCode.RECORD_UNREAD, "VerifyMac: AccessDenied"))
    sweep(HOUR)
    (said,) = board.news()
    assert "*Could not be brought back:* Its record could not be verified: VerifyMac: AccessDenied." in said
    assert "It can be undone until" in said


def test_a_half_done_act_is_not_called_void_when_its_detector_is_disarmed(
    nights: Nights, board: Blackboard, sweep: Callable[[timedelta], SweepRunResult]
) -> None:
    """Killed after its first step: its message has to say that it is half done, and to offer the undo."""
    nights.warned("lamp", "sofa")
    nights.arming = replace(nights.arming, max_actions=1)

    def killed(step: str) -> None:
        if step == "remove lamp":
            raise KilledError

    nights.world.before = killed
    with pytest.raises(KilledError):
        sweep(4 * DAY)
    nights.world.before = lambda _: None
    nights.arming = replace(nights.arming, mode=Mode.DRY_RUN)
    board.news()

    sweep(HOUR)

    lamp, sofa = sorted(board.news(), key=lambda said: "sofa" in said)
    assert "*Half done*" in lamp
    assert "nobody goes on with it, because cellar is not armed any more" in lamp
    assert "Cellar is not armed any more. Nothing is done to it." in sofa
    sweep(HOUR)
    assert board.news() == []


def test_a_message_that_tells_of_an_action_is_left_to_it(
    nights: Nights,
    board: Blackboard,
    sweep: Callable[[timedelta], SweepRunResult],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed before the ledger closed the finding, and found again: it does not say "waiting"."""
    nights.warned("lamp")
    monkeypatch.setattr(Ledger, "close", lambda *_: None)
    sweep(4 * DAY)
    nights.world.add("lamp")
    board.news()

    waits = by_name(sweep(HOUR))["lamp"]

    assert (
        outcome_note(waits)
        == "lamp was acted on before under this warning; the next sweep warns about it anew"
    )
    assert board.news() == []
    assert by_name(sweep(HOUR))["lamp"].outcome is Outcome.WARNED


@pytest.mark.parametrize("how", ["dry by event", "disarmed"])
def test_what_a_dry_run_finds_no_more_is_told_as_well(
    nights: Nights, board: Blackboard, updates: MessageUpdates, how: str
) -> None:
    """It closes the finding, and no later sweep would remember that there was a warning."""
    nights.warned("lamp")
    nights.world.use("lamp")
    nights.clock += HOUR
    if how == "disarmed":
        nights.arming = replace(nights.arming, mode=Mode.DRY_RUN)
    runner = replace(nights.runner(dry=how != "disarmed"), follow=updates)

    runner.sweep(nights.detector, [nights.aws], now=nights.clock)

    (said,) = board.news()
    assert "*Nothing was done* on Tue 6 Oct 04:00 (UTC): It is used." in said


@pytest.mark.parametrize("how", ["used", "disarmed", "only reported"])
@pytest.mark.parametrize("cut_off", ["by Slack", "by Lambda"])
def test_that_a_warning_is_void_is_told_although_the_sweep_that_took_it_back_could_not(
    nights: Nights, board: Blackboard, sweep: Swept, how: str, cut_off: str
) -> None:
    nights.warned("lamp")
    nights.clock += HOUR
    if how == "used":
        nights.world.use("lamp")
    elif how == "disarmed":
        nights.arming = replace(nights.arming, mode=Mode.DRY_RUN)
    else:
        nights.arming = replace(nights.arming, act_in=())
    if cut_off == "by Slack":
        board.ill = True
        with pytest.raises(RunFailedError):
            sweep(HOUR)
        board.ill = False
    else:  # before any message was changed
        nights.sweep()
    assert board.news() == []

    sweep(HOUR)

    (said,) = board.news()
    why = {
        "used": "It is used.",
        "disarmed": "Cellar is not armed any more.",
        "only reported": f"act_in does not name account {ACCOUNT} and region {REGION}.",
    }
    assert f"*This warning counts no more:* {why[how]}" in said
    assert len(board.direct) == 1
    sweep(HOUR)
    assert board.news() == []


def test_an_old_message_is_told_beside_the_new_one(nights: Nights, sweep: Swept, board: Blackboard) -> None:
    """Found again before it was told: each says what is true of its own warning."""
    nights.warned("lamp")
    nights.world.use("lamp")
    nights.clock += HOUR
    nights.sweep()
    nights.world.add("lamp")
    nights.postman.thread = "second"

    sweep(HOUR)

    assert [place.ts for place in board.places] == ["ts-lamp"]
    (entry,) = nights.entries().values()
    assert (entry.message, entry.untold) == ("second-lamp", "")


# --- a finding that was not acted on -------------------------------------------------------------------


def warned(nights: Nights, **about: Any) -> Entry:
    """The lamp, warned about."""
    nights.warned("lamp")
    (entry,) = nights.entries().values()
    return replace(entry, said="What lasts of it.", **about)


def followed(
    updates: MessageUpdates, entry: Entry, outcome: Outcome, why: Cause | None = None, **verdict: Any
) -> Sequence[str]:
    """What a sweep left of the lamp, and what Slack did not take of that."""
    target = thing("lamp", USED).target
    result = Result(
        detector="cellar", target=target, verdict=replace(waste(), **verdict), outcome=outcome, cause=why
    )
    sweep = Sweep(detector="cellar", account=ACCOUNT, region=REGION, mode=Mode.ACT, results=(result,))
    return updates(sweep, RecordedFindings(new=(), entries={entry.key: entry}))


@cases(
    "outcome, why, due, said",
    (Outcome.ADVISED, make_cause(CauseCode.GONE), DAY, "*Only reported since Tue 6 Oct 03:00 (UTC):* It "),
    (Outcome.FAILED, make_cause(CauseCode.GONE), DAY, "tried on Tue 6 Oct 03:00 (UTC): It "),
    (Outcome.FAILED, None, DAY, "tried on Tue 6 Oct 03:00"),
    (Outcome.CHANGED, make_cause(CauseCode.GONE), DAY, "*Nothing was done* on Tue 6 Oct 03:00"),
    (
        Outcome.WAITING,
        make_cause(CauseCode.REST_DAY),
        timedelta(),
        "*Due since Tue 6 Oct 03:00 (UTC), and waiting:*",
    ),
    (Outcome.WAITING, make_cause(CauseCode.NOT_DUE), DAY, None),
    (Outcome.WAITING, make_cause(CauseCode.NOT_DUE), None, None),
    (Outcome.KEPT, None, timedelta(), None),
)
def test_what_became_of_a_warned_finding_is_told(
    nights: Nights,
    board: Blackboard,
    updates: MessageUpdates,
    *,
    outcome: Outcome,
    why: Cause | None,
    due: timedelta | None,
    said: str | None,
) -> None:
    entry = warned(nights, due=None if due is None else nights.clock + due)

    assert followed(updates, entry, outcome, why) == ()

    news = board.news()
    assert [said in one and "What lasts of it." in one for one in news if said] == [True] * (said is not None)
    assert len(board.direct) == len(news)


@cases(
    "outcome, left", (Outcome.ADVISED, ""), (Outcome.CHANGED, ""), (Outcome.FAILED, "C1 ts-lamp D1 ts-lamp")
)
def test_that_a_warning_is_void_is_told_once(
    nights: Nights, board: Blackboard, updates: MessageUpdates, outcome: Outcome, left: str
) -> None:
    entry = warned(nights)
    nights.ledger.void_warning(entry, because("it is only reported now"))

    followed(updates, entry, outcome, make_cause(CauseCode.GONE))

    (known,) = nights.entries().values()
    assert (known.untold, len(board.news())) == (left, 1)


@pytest.mark.parametrize("scheduled", [False, True])
def test_what_waits_for_its_hour_can_be_kept_for_tonight(
    nights: Nights, board: Blackboard, updates: MessageUpdates, *, scheduled: bool
) -> None:
    at = nights.clock
    plan = ActionSchedule(closing=at, due=at, next_closing=at) if scheduled else None

    followed(updates, warned(nights, due=at), Outcome.WAITING, make_cause(CauseCode.NOT_QUIET), schedule=plan)

    assert ("Keep tonight" in board.news()[0]) is scheduled


def test_without_a_message_nothing_is_changed(
    nights: Nights, board: Blackboard, updates: MessageUpdates
) -> None:
    """A webhook's warning cannot be found again."""
    entry = warned(nights, message="", direct_message="")
    followed(updates, entry, Outcome.ADVISED, make_cause(CauseCode.GONE))
    assert updates.disarmed({entry.key: entry}, because("cellar is not armed any more")) == ()
    assert (board.news(), board.direct) == ([], [])


def test_what_is_over_because_somebody_keeps_it_says_who(
    nights: Nights, board: Blackboard, updates: MessageUpdates
) -> None:
    entry = warned(nights)
    nights.hold("lamp", how=HoldKind.KEPT)
    followed(updates, entry, Outcome.CHANGED, make_cause(CauseCode.GONE))
    assert "*Kept for good* by maria" in board.news()[0]


def test_an_old_warning_without_a_direct_message_is_told(
    nights: Nights, board: Blackboard, updates: MessageUpdates
) -> None:
    entry = warned(nights)
    sweep = Sweep(detector="cellar", account=ACCOUNT, region=REGION, mode=Mode.ACT)
    untold = replace(entry, untold="C9 9.0", untold_why=because("it is used"))

    assert updates(sweep, RecordedFindings(new=(), entries={}, untold=(untold,))) == ()

    assert (board.places, board.direct) == ([MessageRef("C9", "9.0")], [])
    assert "*This warning counts no more:* It is used." in board.news()[0]


def test_what_slack_refuses_ends_the_updates_unless_it_is_the_direct_message(
    nights: Nights, board: Blackboard, updates: MessageUpdates
) -> None:
    entry = warned(nights)
    board.refuses = "D1"
    assert followed(updates, entry, Outcome.ADVISED, make_cause(CauseCode.GONE)) == ()
    assert updates.disarmed({entry.key: entry}, because("cellar is not armed any more")) == ()

    board.refuses = "C1"

    (problem,) = followed(updates, entry, Outcome.ADVISED, make_cause(CauseCode.GONE))
    assert problem == "a warning's message does not say what became of it: cant_do_that"
    (problem,) = updates.disarmed({entry.key: entry}, because("cellar is not armed any more"))
    assert problem == "a warning's message does not say that it is void: cant_do_that"


# --- an action -----------------------------------------------------------------------------------------


def test_that_its_undo_was_asked_for_is_shown_and_not_recorded(
    nights: Nights, board: Blackboard, updates: MessageUpdates
) -> None:
    """Who hears a press may not write actions."""
    nights.warned("lamp")
    nights.after(4 * DAY)
    asked_at = nights.clock
    asked = nights.actions.request_undo(*with_request(nights.of("lamp"), "maria", asked_at))
    nights.clock += HOUR

    updates.asked_back(asked)

    assert "*Undo*, said maria on Sat 10 Oct 03:00" in board.news()[0]
    assert nights.of("lamp").told == ""
    updates.asked_back(replace(asked, asked_at=None))
    assert "*Undo*, said maria on Sat 10 Oct 04:00" in board.news()[0]


@pytest.mark.parametrize("known", [False, True])
def test_what_lasts_of_its_warning_is_shown_if_it_is_known(
    nights: Nights, board: Blackboard, updates: MessageUpdates, *, known: bool
) -> None:
    nights.warned("lamp")
    nights.after(4 * DAY)
    (entry,) = nights.entries().values()
    where = f"finding#cellar#{ACCOUNT}#{REGION}", entry.key
    if known:
        nights.table.change(*where, set_to={"said": "What lasts of it."})
    else:
        nights.table.delete(*where)

    updates.action(nights.of("lamp"))

    assert ("What lasts of it." in board.news()[0]) is known


def test_how_long_it_can_be_undone_and_how_long_it_is_then_left_alone(
    nights: Nights, board: Blackboard, updates: MessageUpdates
) -> None:
    nights.warned("lamp")
    nights.after(4 * DAY)
    began = nights.clock
    for nights.clock, said in ((began + 30 * DAY - MINUTE, True), (began + 30 * DAY, False)):
        updates.action(nights.of("lamp"))
        assert ("It can be undone until Mon 9 Nov 03:00" in board.news()[0]) is said
    nights.clock = began
    nights.undo()
    updates.action(nights.of("lamp"))
    assert "It is left alone until Sat 17 Oct 03:00" in board.news()[0]


def test_what_waits_for_aws_says_so(
    nights: Nights, board: Blackboard, sweep: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights.warned("lamp")
    monkeypatch.setattr(Cleaner, "act", raising(NotFinishedError("its plug is still being pulled")))
    sweep(4 * DAY)
    (said,) = board.news()
    assert "It goes on by itself: its plug is still being pulled." in said
