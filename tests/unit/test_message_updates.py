"""What the message of a warning says of an action that came to nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import cast

import pytest

from armed import DENIED, Cellar, KilledError
from conftest import ACCOUNT, REGION
from ml_janitor.acting.undoing import CannotUndoError
from ml_janitor.core.model import Effect, Mode
from ml_janitor.core.results import Outcome
from ml_janitor.engine.detector import ChangedError
from ml_janitor.engine.failures import RunFailedError
from ml_janitor.ledger.action import Stage
from ml_janitor.ledger.findings import Ledger
from ml_janitor.ledger.messages import MessageRef
from ml_janitor.report.causes import note
from ml_janitor.report.mrkdwn import Message
from ml_janitor.report.status import StatusWording
from ml_janitor.report.warnings import WarningTerms
from ml_janitor.scheduled.sweep_run import Ran
from ml_janitor.slack.message_updates import MessageUpdates
from ml_janitor.slack.retries import SlackError
from ml_janitor.slack.sender import Sender
from nights import DAY, HOUR, Nights, by_name, in_memory


class Blackboard:
    """Takes every change of a message, unless it is *ill*."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.places: list[MessageRef] = []
        self.direct: list[Message] = []
        self.ill = False

    def change(self, message: Message, posted: MessageRef, *, deadline: float) -> bool:
        del deadline
        if self.ill:
            raise SlackError("ratelimited")
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
def nights() -> Iterator[Nights]:
    with in_memory() as nights:
        yield nights


@pytest.fixture
def board() -> Blackboard:
    return Blackboard()


@pytest.fixture
def updates(nights: Nights, board: Blackboard) -> MessageUpdates:
    terms = WarningTerms(wording=StatusWording(effect=Effect.DELETE, time_zone="UTC"), lost="the dust on it")
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
def sweep(nights: Nights, updates: MessageUpdates) -> Callable[[timedelta], Ran]:
    """A run some time later, after which the messages are kept true."""

    def swept(span: timedelta) -> Ran:
        nights.clock += span
        return replace(nights.runner(), follow=updates).sweep(nights.detector, [nights.aws], now=nights.clock)

    return swept


type Swept = Callable[[timedelta], Ran]


def test_what_was_withdrawn_is_not_half_done(
    nights: Nights, updates: MessageUpdates, board: Blackboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights.warned("lamp")

    def act(*_: object) -> None:
        raise ChangedError("it was overwritten in the last moment")

    monkeypatch.setattr(Cellar, "act", act)
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

    undo(nights)  # by hand: nobody told the message
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


def test_every_try_of_an_undo_is_told(nights: Nights, board: Blackboard, sweep: Swept) -> None:
    """The same stage each time, and another reason."""
    nights.warned("lamp")
    sweep(4 * DAY)
    board.news()

    for number, why in enumerate(["throttled", "no capacity"]):
        nights.world.before = raising(why)
        with pytest.raises(CannotUndoError):
            undo(nights, again=number > 0)
        sweep(HOUR)
        (said,) = board.news()
        assert f"RuntimeError: {why}. The next sweep goes on with it." in said
    with pytest.raises(CannotUndoError):
        undo(nights, again=True)
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
    nights.undoing.actions.refused(action, "its record could not be verified: VerifyMac: AccessDenied")
    sweep(HOUR)
    (said,) = board.news()
    assert "*Could not be brought back:* Its record could not be verified: VerifyMac: AccessDenied." in said
    assert "It can be undone until" in said


def undo(nights: Nights, *, again: bool = False) -> None:
    action = nights.undoing.find("cellar", ACCOUNT, REGION, nights.of("lamp").id)
    nights.undoing.undo(nights.detector, nights.aws, action, by="maria", again=again)


def raising(why: str) -> Callable[[str], None]:
    def step(_: str) -> None:
        raise RuntimeError(why)

    return step


def test_a_half_done_act_is_not_called_void_when_its_detector_is_disarmed(
    nights: Nights, board: Blackboard, sweep: Callable[[timedelta], Ran]
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
    nights: Nights, board: Blackboard, sweep: Callable[[timedelta], Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before the ledger closed the finding, and found again: it does not say "waiting"."""
    nights.warned("lamp")
    monkeypatch.setattr(Ledger, "close", lambda *_: None)
    sweep(4 * DAY)
    nights.world.add("lamp")
    board.news()

    waits = by_name(sweep(HOUR))["lamp"]

    assert note(waits) == "lamp was acted on before under this warning; the next sweep warns about it anew"
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
    sweep(HOUR)
    assert board.news() == []


def test_what_is_told_at_once_is_not_told_again(nights: Nights, board: Blackboard, sweep: Swept) -> None:
    nights.warned("lamp", "sofa")
    nights.world.use("lamp")
    sweep(4 * DAY)
    lamp, sofa = sorted(board.news(), key=lambda said: "sofa" in said)
    assert "*Nothing was done*" in lamp
    assert "*Deleted on" in sofa

    sweep(HOUR)

    assert board.news() == []
    assert [entry.untold for entry in nights.ledger.entries("cellar", ACCOUNT, REGION)] == ["", ""]


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
    (entry,) = nights.ledger.entries("cellar", ACCOUNT, REGION)
    assert (entry.message, entry.untold) == ("second-lamp", "")
