"""What the message of a warning says of an action that came to nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

import pytest

from armed import Cellar
from janitor.actions import Stage
from janitor.detector import ChangedError
from janitor.following import Following
from janitor.model import Effect
from janitor.report.mrkdwn import Message
from janitor.report.standing import Voice
from janitor.report.warnings import Terms
from janitor.sending import Place, Sender
from nights import DAY, Nights


class Blackboard:
    """Takes every change of a message."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def change(self, message: Message, place: Place, *, deadline: float) -> bool:
        del place, deadline
        self.messages.append(message)
        return True


def test_what_was_withdrawn_is_not_half_done(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    nights.warned("lamp")

    def act(*_: object) -> None:
        raise ChangedError("it was overwritten in the last moment")

    monkeypatch.setattr(Cellar, "act", act)
    nights.after(4 * DAY)
    board = Blackboard()
    terms = Terms(voice=Voice(effect=Effect.DELETE, time_zone="UTC"), lost="the dust on it")
    following = Following(
        connect=lambda: cast("Sender", board),
        deadline=0,
        terms={"cellar": terms},
        ledger=nights.ledger,
        actions=nights.actions,
        holds=nights.holds,
        clock=lambda: nights.clock,
        within=timedelta(days=30),
    )

    action = nights.of("lamp")
    assert action.stage is Stage.WITHDRAWN
    following.action(action)

    (message,) = board.messages
    assert "It was overwritten in the last moment" in str(message.blocks)
    assert "half done" not in str(message.blocks)
