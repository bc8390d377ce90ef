"""What the message of a warning says of an action that came to nothing."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from conftest import ACCOUNT, MINUTE, REGION
from fakes import because, raising, result_of, waste
from ml_janitor.acting.undoing import CannotUndoError
from ml_janitor.core.model import ActionSchedule, Effect, Mode
from ml_janitor.core.results import Cause, CauseCode, Outcome, Sweep, make_cause
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


class Board:
    """Keeps the messages of *nights* true, and takes every change of one, unless it is *ill*."""

    def __init__(self, nights: Nights) -> None:
        self.nights = nights
        self.messages: list[Message] = []
        self.places: list[MessageRef] = []
        self.direct: list[Message] = []
        self.ill = False
        self.refuses = ""
        terms = WarningTerms(
            wording=StatusWording(effect=Effect.DELETE, time_zone="UTC"),
            lost="the dust on it",
            offers=frozenset(Button),
        )
        self.updates = MessageUpdates(
            connect=lambda: cast("Sender", self),
            deadline=0,
            terms={"cellar": terms},
            ledger=nights.ledger,
            actions=nights.actions,
            holds=nights.holds,
            clock=lambda: nights.clock,
            within=timedelta(days=30),
        )

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

    def said(self) -> str:
        """What the only changed message says."""
        (said,) = self.news()
        return said

    def sweep(self, span: timedelta = HOUR, *, dry: bool = False) -> SweepRunResult:
        """A run some time later, after which the messages are kept true."""
        nights = self.nights
        nights.clock += span
        runner = replace(nights.runner(dry=dry), follow=self.updates)
        return runner.sweep(nights.detector, [nights.aws], now=nights.clock)

    def action(self) -> str:
        """What the lamp's message says of the action on it now."""
        self.updates.action(self.nights.of("lamp"))
        return self.said()


@pytest.fixture
def board(nights: Nights) -> Board:
    return Board(nights)


@pytest.fixture
def deleted(board: Board) -> Board:
    """A lamp that was deleted, which its message says."""
    board.nights.warned("lamp")
    board.sweep(4 * DAY)
    assert "*Deleted on Sat 10 Oct 03:00*" in board.said()
    return board


def test_what_was_withdrawn_is_not_half_done(
    with_lamp: Nights, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cleaner, "act", raising(CannotActError("it was overwritten in the last moment")))
    with_lamp.after(4 * DAY)
    assert with_lamp.of("lamp").stage is Stage.WITHDRAWN

    said = board.action()
    assert "It was overwritten in the last moment" in said
    assert "half done" not in said


def test_what_aws_refused_is_not_half_done_either(with_lamp: Nights, board: Board) -> None:
    with_lamp.world.before = raising(DENIED, at="unplug lamp")
    with_lamp.after(4 * DAY)
    for _ in range(2):
        said = board.action()
        assert "half done" not in said
        assert "Nothing was done to it; the next sweep tries again." in said
        with_lamp.after(HOUR)

    assert "Nothing was done to it, and a person has to look." in board.action()


def test_how_far_an_action_came_is_told_once_and_again_when_it_came_further(deleted: Board) -> None:
    deleted.sweep()
    assert deleted.news() == []

    deleted.nights.undo()  # by hand: nobody told the message
    deleted.sweep()
    assert "*Brought back on Sat 10 Oct 04:00* for maria." in deleted.said()
    deleted.sweep()
    assert deleted.news() == []


def test_what_slack_did_not_take_is_told_by_the_next_sweep(board: Board) -> None:
    board.nights.warned("lamp")
    board.ill = True
    with pytest.raises(RunFailedError, match="a warning's message does not say what became of it"):
        board.sweep(4 * DAY)
    board.ill = False

    board.sweep()

    assert "*Deleted on Sat 10 Oct 03:00*" in board.said()


def test_what_could_not_be_verified_is_told_by_the_next_sweep(
    deleted: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted.nights.undo()
    with monkeypatch.context() as patch:
        patch.setattr(Actions, "doubt", lambda *_: make_cause(CauseCode.RECORD_UNREAD, "throttled"))
        with pytest.raises(RunFailedError, match=r"lamp does not say what became of it.*throttled"):
            deleted.sweep()
    assert deleted.news() == []

    deleted.sweep()

    assert "*Brought back" in deleted.said()


def test_a_record_that_does_not_verify_offers_no_undo_and_its_message_says_why(
    deleted: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Actions, "doubt", lambda *_: Cause(CauseCode.MAC_INVALID))

    said = deleted.action()

    assert "*Could not be brought back:*" in said
    assert "janitor:undo" not in said


def test_every_try_of_an_undo_is_told(nights: Nights, deleted: Board) -> None:
    """The same stage each time, and another reason."""
    for number, why in enumerate(["throttled", "no capacity", "no capacity"]):
        nights.world.before = raising(RuntimeError(why))
        with pytest.raises(CannotUndoError):
            nights.undo(again=number > 0)
        deleted.sweep()
        goes_on = f"RuntimeError: {why}. The next sweep goes on with it."
        assert (goes_on if number < 2 else "A person has to look; *Undo* tries again.") in deleted.said()


def test_an_undo_that_was_refused_before_it_began_is_told(nights: Nights, deleted: Board) -> None:
    nights.actions.refused(nights.of("lamp"), make_cause(CauseCode.RECORD_UNREAD, "VerifyMac: AccessDenied"))
    deleted.sweep()
    said = deleted.said()
    assert "*Could not be brought back:* Its record could not be verified: VerifyMac: AccessDenied." in said
    assert "It can be undone until" in said


def test_a_half_done_act_is_not_called_void_when_its_detector_is_disarmed(
    nights: Nights, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after its first step: its message has to say that it is half done, and to offer the undo."""
    nights.warned("lamp", "sofa")
    nights.arming = replace(nights.arming, max_actions=1)
    nights.world.before = raising(KilledError(), at="remove lamp")
    with pytest.raises(KilledError):
        board.sweep(4 * DAY)
    nights.world.before = lambda _: None
    nights.arming = replace(nights.arming, mode=Mode.DRY_RUN)
    board.news()

    board.sweep()

    lamp, sofa = sorted(board.news(), key=lambda said: "sofa" in said)
    assert "*Half done*" in lamp
    assert "nobody goes on with it, because cellar is not armed any more" in lamp
    assert "Cellar is not armed any more. Nothing is done to it." in sofa
    board.sweep()
    assert board.news() == []
    for doubt in (None, Cause(CauseCode.MAC_INVALID)):
        monkeypatch.setattr(Actions, "doubt", lambda *_, doubt=doubt: doubt)
        board.updates.disarmed(nights.entries(), because("it is not armed"))
        assert (Button.UNDO in "".join(board.news())) is (doubt is None)


def test_a_message_that_tells_of_an_action_is_left_to_it(
    with_lamp: Nights, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before the ledger closed the finding, and found again: it does not say "waiting"."""
    monkeypatch.setattr(Ledger, "close", lambda *_: None)
    board.sweep(4 * DAY)
    with_lamp.world.add("lamp")
    board.news()

    assert (
        outcome_note(by_name(board.sweep())["lamp"])
        == "lamp was acted on before under this warning; the next sweep warns about it anew"
    )
    assert board.news() == []
    assert by_name(board.sweep())["lamp"].outcome is Outcome.WARNED


@pytest.mark.parametrize("how", ["dry by event", "disarmed"])
def test_what_a_dry_run_finds_no_more_is_told_as_well(with_lamp: Nights, board: Board, how: str) -> None:
    """It closes the finding, and no later sweep would remember that there was a warning."""
    with_lamp.world.use("lamp")
    if how == "disarmed":
        with_lamp.arming = replace(with_lamp.arming, mode=Mode.DRY_RUN)

    board.sweep(dry=how != "disarmed")

    assert "*Nothing was done* on Tue 6 Oct 04:00 (UTC): It is used." in board.said()


@cases(
    "how, why",
    ("used", "It is used."),
    ("disarmed", "Cellar is not armed any more."),
    ("only reported", f"act_in does not name account {ACCOUNT} and region {REGION}."),
)
@pytest.mark.parametrize("cut_off", ["by Slack", "by Lambda"])
def test_that_a_warning_is_void_is_told_although_the_sweep_that_took_it_back_could_not(
    with_lamp: Nights, board: Board, how: str, why: str, cut_off: str
) -> None:
    with_lamp.clock += HOUR
    if how == "used":
        with_lamp.world.use("lamp")
    elif how == "disarmed":
        with_lamp.arming = replace(with_lamp.arming, mode=Mode.DRY_RUN)
    else:
        with_lamp.arming = replace(with_lamp.arming, act_in=())
    if cut_off == "by Slack":
        board.ill = True
        with pytest.raises(RunFailedError):
            board.sweep()
        board.ill = False
    else:  # before any message was changed
        with_lamp.sweep()
    assert board.news() == []

    board.sweep()

    assert f"*This warning counts no more:* {why}" in board.said()
    assert len(board.direct) == 1
    board.sweep()
    assert board.news() == []


def test_an_old_message_is_told_beside_the_new_one(with_lamp: Nights, board: Board) -> None:
    """Found again before it was told: each says what is true of its own warning."""
    with_lamp.world.use("lamp")
    with_lamp.after(HOUR)
    with_lamp.world.add("lamp")
    with_lamp.postman.thread = "second"

    board.sweep()

    assert [place.ts for place in board.places] == ["ts-lamp"]
    (entry,) = with_lamp.entries().values()
    assert (entry.message, entry.untold) == ("second-lamp", "")


# --- a finding that was not acted on -------------------------------------------------------------------


def warned(nights: Nights, **about: Any) -> Entry:
    """The lamp, warned about."""
    nights.warned("lamp")
    return replace(nights.entries()["lamp"], said="What lasts of it.", **about)


GONE = make_cause(CauseCode.GONE)
NOTHING = Sweep(detector="cellar", account=ACCOUNT, region=REGION, mode=Mode.ACT)


def followed(
    board: Board, entry: Entry, outcome: Outcome, why: Cause | None = GONE, **verdict: Any
) -> Sequence[str]:
    """What a sweep left of the lamp, and what Slack did not take of that."""
    result = result_of("lamp", replace(waste(), **verdict), "cellar", outcome=outcome, cause=why)
    recorded = RecordedFindings(new=(), entries={entry.key: entry})
    return board.updates(replace(NOTHING, results=(result,)), recorded)


@cases(
    "outcome, why, due, said",
    (Outcome.ADVISED, GONE, DAY, "*Only reported since Tue 6 Oct 03:00 (UTC):* It "),
    (Outcome.FAILED, GONE, DAY, "tried on Tue 6 Oct 03:00 (UTC): It "),
    (Outcome.FAILED, None, DAY, "tried on Tue 6 Oct 03:00"),
    (Outcome.CHANGED, GONE, DAY, "*Nothing was done* on Tue 6 Oct 03:00"),
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
    board: Board,
    *,
    outcome: Outcome,
    why: Cause | None,
    due: timedelta | None,
    said: str | None,
) -> None:
    entry = warned(nights, due=None if due is None else nights.clock + due)

    assert followed(board, entry, outcome, why) == ()

    news = board.news()
    assert [said in one and "What lasts of it." in one for one in news if said] == [True] * (said is not None)
    assert len(board.direct) == len(news)


@cases(
    "outcome, left", (Outcome.ADVISED, ""), (Outcome.CHANGED, ""), (Outcome.FAILED, "C1 ts-lamp D1 ts-lamp")
)
def test_that_a_warning_is_void_is_told_once(
    nights: Nights, board: Board, outcome: Outcome, left: str
) -> None:
    entry = warned(nights)
    nights.ledger.void_warning(entry, because("it is only reported now"))

    followed(board, entry, outcome)

    assert (nights.entries()["lamp"].untold, len(board.news())) == (left, 1)


@pytest.mark.parametrize("scheduled", [False, True])
def test_what_waits_for_its_hour_can_be_kept_for_tonight(
    nights: Nights, board: Board, *, scheduled: bool
) -> None:
    at = nights.clock
    plan = ActionSchedule(closing=at, due=at, next_closing=at) if scheduled else None

    followed(board, warned(nights, due=at), Outcome.WAITING, make_cause(CauseCode.NOT_QUIET), schedule=plan)

    assert ("Keep tonight" in board.said()) is scheduled


def test_without_a_message_nothing_is_changed(nights: Nights, board: Board) -> None:
    """A webhook's warning cannot be found again."""
    entry = warned(nights, message="", direct_message="")
    followed(board, entry, Outcome.ADVISED)
    assert board.updates.disarmed({entry.key: entry}, because("cellar is not armed any more")) == ()
    assert (board.news(), board.direct) == ([], [])


def test_what_is_over_because_somebody_keeps_it_says_who(nights: Nights, board: Board) -> None:
    entry = warned(nights)
    nights.hold("lamp", how=HoldKind.KEPT)
    followed(board, entry, Outcome.CHANGED)
    assert "*Kept for good* by maria" in board.said()


def test_an_old_warning_without_a_direct_message_is_told(nights: Nights, board: Board) -> None:
    untold = replace(warned(nights), untold="C9 9.0", untold_why=because("it is used"))

    assert board.updates(NOTHING, RecordedFindings(new=(), entries={}, untold=(untold,))) == ()

    assert (board.places, board.direct) == ([MessageRef("C9", "9.0")], [])
    assert "*This warning counts no more:* It is used." in board.said()


def test_what_slack_refuses_ends_the_updates_unless_it_is_the_direct_message(
    nights: Nights, board: Board
) -> None:
    entry = warned(nights)
    for board.refuses, told, void in (
        ("D1", (), ()),
        (
            "C1",
            ("a warning's message does not say what became of it: cant_do_that",),
            ("a warning's message does not say that it is void: cant_do_that",),
        ),
    ):
        assert (*followed(board, entry, Outcome.ADVISED),) == told
        assert (*board.updates.disarmed({entry.key: entry}, because("it is not armed")),) == void


# --- an action -----------------------------------------------------------------------------------------


def test_that_its_undo_was_asked_for_is_shown_and_not_recorded(with_lamp: Nights, board: Board) -> None:
    """Who hears a press may not write actions."""
    with_lamp.after(4 * DAY)
    asked = with_lamp.actions.request_undo(*with_request(with_lamp.of("lamp"), "maria", with_lamp.clock))
    with_lamp.clock += HOUR

    for at, hour in ((asked.asked_at, "03:00"), (None, "04:00")):
        board.updates.asked_back(replace(asked, asked_at=at))
        assert f"*Undo*, said maria on Sat 10 Oct {hour}" in board.said()
    assert with_lamp.of("lamp").told == ""


@pytest.mark.parametrize("known", [False, True])
def test_what_lasts_of_its_warning_is_shown_if_it_is_known(
    with_lamp: Nights, board: Board, *, known: bool
) -> None:
    with_lamp.after(4 * DAY)
    where = f"finding#cellar#{ACCOUNT}#{REGION}", with_lamp.entries()["lamp"].key
    if known:
        with_lamp.table.change(*where, set_to={"said": "What lasts of it."})
    else:
        with_lamp.table.delete(*where)

    assert ("What lasts of it." in board.action()) is known


def test_how_long_it_can_be_undone_and_how_long_it_is_then_left_alone(
    with_lamp: Nights, board: Board
) -> None:
    with_lamp.world.before = raising(KilledError(), at="remove lamp")
    with pytest.raises(KilledError):
        with_lamp.after(4 * DAY)
    with_lamp.world.before, began = lambda _: None, with_lamp.clock
    with_lamp.after(HOUR)
    for with_lamp.clock, said in ((began + 30 * DAY - MINUTE, True), (began + 30 * DAY, False)):
        assert ("It can be undone until Mon 9 Nov 03:00" in board.action()) is said
    with_lamp.clock = began
    with_lamp.undo()
    assert "It is left alone until Sat 17 Oct 03:00" in board.action()


def test_what_waits_for_aws_says_so(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    board.nights.warned("lamp")
    monkeypatch.setattr(Cleaner, "act", raising(NotFinishedError("its plug is still being pulled")))
    board.sweep(4 * DAY)
    assert "It goes on by itself: its plug is still being pulled." in board.said()
