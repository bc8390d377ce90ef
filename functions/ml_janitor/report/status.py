"""Where a warned finding stands, in a sentence or two, and which buttons it then has. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ml_janitor.acting.undos import RESTART, UNDO, Way
from ml_janitor.core.cause import Why, cause
from ml_janitor.core.model import Effect
from ml_janitor.core.text import local, named
from ml_janitor.engine.detector import CannotActError
from ml_janitor.engine.holds import Hold, How
from ml_janitor.ledger.action import Action
from ml_janitor.report.buttons import Button
from ml_janitor.report.causes import reason
from ml_janitor.report.mrkdwn import code, prose, sentence

if TYPE_CHECKING:
    from collections.abc import Callable

DONE = {
    Effect.TAG: "tagged",
    Effect.STOP: "stopped",
    Effect.EXPIRE: "given a retention",
    Effect.TIER: "given lifecycle rules",
    Effect.DELETE: "deleted",
}
"""What happened to a resource, by what acting on it does."""

LONGEST = 400
"""Characters of a reason or an error; the report and the log have the whole."""


@dataclass(frozen=True, slots=True)
class Status:
    """What the message says now, in mrkdwn, what can be pressed, and what an undo would do, in words."""

    text: str
    buttons: tuple[Button, ...] = ()
    revert_effect: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusWording:
    """
    How standings are said for one detector: what acting does, and the channel's time zone.

    *undoable* is whether its acts can be undone from Slack at all, *way* how that is called, and
    *revert_effect* says what it would do to one; it raises CannotActError where nothing comes back.
    *missing_for_undo* is the setting without which only a person can undo one, or nothing.
    """

    effect: Effect
    time_zone: str
    undoable: bool = True
    way: Way = UNDO
    revert_effect: Callable[[Action], str] = lambda one: f"{one.target.name} is brought back, and costs again"
    missing_for_undo: Callable[[Action], str] = lambda _: ""

    @property
    def done(self) -> str:
        """What will have happened to it: it is "deleted", "stopped", or "tagged"."""
        return DONE[self.effect]

    def at(self, moment: datetime) -> str:
        return local(moment, self.time_zone)

    def due(self, due: datetime, unmessaged: str = "", *, scheduled: bool = False) -> Status:
        """
        It was warned about. The next sweep after *due* acts on it.

        *unmessaged* is why its owner got no direct message. What is *scheduled* may be in use until then, and
        is acted on once it is quiet.
        """
        if scheduled:
            text = f"*Will be {self.done} after {self.at(due)}, once it is quiet,* unless somebody keeps it."
            return self._status(text, (Button.TONIGHT, Button.KEEP, Button.SNOOZE))
        text = f"*Will be {self.done} after {self.at(due)}* unless somebody keeps it."
        if unmessaged:
            text += f" {sentence(prose(reason(cause(Why.OWNER_NOT_MESSAGED, unmessaged)), LONGEST))}"
        return self._status(text, (Button.KEEP, Button.SNOOZE, Button.NOW))

    def waiting(self, due: datetime, why: str, *, scheduled: bool = False) -> Status:
        """Its time has come, and something holds it back."""
        text = f"*Due since {self.at(due)}, and waiting:* {sentence(prose(why, LONGEST))}"
        tonight = (Button.TONIGHT,) if scheduled else ()
        return self._status(text, (*tonight, Button.KEEP, Button.SNOOZE))

    def held(self, hold: Hold) -> Status:
        """Somebody said to keep it, or not now."""
        why = f" {sentence(prose(hold.why, LONGEST))}" if hold.why else ""
        by = f"by {who(hold.by)} on {self.at(hold.given)}.{why}"
        if hold.how is How.KEPT and hold.until is None:
            return self._status(f"*Kept for good* {by}")
        if hold.until is None:
            return self._status(f"*Kept* {by}")
        again = "If it is still waste then, there will be a new warning."
        verb = "Snoozed" if hold.how is How.SNOOZED else "Kept"
        return self._status(f"*{verb} until {self.at(hold.until)}* {by} {again}", (Button.KEEP,))

    def hurried(self, by: str, at: datetime) -> Status:
        """Somebody pressed *Do it now*."""
        text = (
            f"*Do it now*, said {who(by)} on {self.at(at)}. It is looked at once more, and {self.done} "
            "in the next minutes if it is still waste."
        )
        return self._status(text, (Button.KEEP, Button.SNOOZE))

    def going(self, action: Action) -> Status:
        """It is being cleaned up, which takes AWS a while, or longer than a run has time."""
        text = f"{self._history(action)}. It goes on by itself: {prose(action.error, LONGEST)}."
        return self._status(text)

    def acted(self, action: Action, undo_until: datetime | None) -> Status:
        """It was cleaned up. *undo_until* is how long that can be undone, even after a refusal."""
        text = f"{self._history(action)}."
        if action.broke:
            text += f" *Could not be {self.way.done}:* {sentence(prose(action.error, LONGEST))}"
        if undo_until is None or not self.undoable:
            return self._status(text)
        try:
            effect = self.revert_effect(action)
        except CannotActError as never:
            return self._status(f"{text} {sentence(prose(str(never), LONGEST))}")
        how = "" if self.way is UNDO else f" Then {prose(effect, LONGEST)}."
        if missing := self.missing_for_undo(action):
            by_hand = sentence(self.by_hand(missing, action.id))
            return self._status(
                f"{text} It can be {self.way.past} until {self.at(undo_until)}. {by_hand}{how}"
            )
        return self._status(
            f"{text} It can be {self.way.past} until {self.at(undo_until)}.{how}", (Button.UNDO,), effect
        )

    def failed(self, why: str, at: datetime, *, action: Action | None = None) -> Status:
        """It could not be cleaned up; *action* is what became of it, if it was begun."""
        half_done = action if action is not None and action.touched else None
        text = f"*Could not be {self.done}* when tried on {self.at(at)}: {sentence(prose(why, LONGEST))}"
        effect = self._offered(half_done)
        return self._status(
            f"{text} {_next(action)}", (Button.KEEP, Button.UNDO) if effect else (Button.KEEP,), effect
        )

    def left(self, action: Action, why: str, at: datetime) -> Status:
        """It was half done when its detector was disarmed, everywhere or there, as *why* says."""
        since = f"*Half done*, and since {self.at(at)} nobody goes on with it, because"
        effect = self._offered(action)
        return self._status(f"{since} {why}: a person has to look.", (Button.UNDO,) if effect else (), effect)

    def stays(self, why: str, at: datetime) -> Status:
        """It is no longer waste, or no longer there; nothing is done to it."""
        return self._status(f"*Nothing was done* on {self.at(at)}: {sentence(prose(why, LONGEST))}")

    def void(self, why: str, at: datetime) -> Status:
        """It is only reported from now on."""
        since = f"*Only reported since {self.at(at)}:* {sentence(prose(why, LONGEST))}"
        return self._status(f"{since} Nothing is done to it.")

    def over(self, why: str) -> Status:
        """Its warning was taken back some time ago, and its message did not say so then."""
        return self._status(f"*This warning counts no more:* {sentence(prose(why, LONGEST))}")

    def undoing(self, action: Action, by: str, at: datetime) -> Status:
        """Somebody pressed *Undo*."""
        pressed = f"*{self.way.label}*, said {who(by)} on {self.at(at)}: it is being {self.way.done}."
        return self._status(f"{self._history(action)}. {pressed}")

    def undone(self, action: Action, rest: datetime | None) -> Status:
        """It was brought back, and is left alone until *rest*: a job that was submitted again is another."""
        when = f" on {self.at(action.undone)}" if action.undone else ""
        became = f": {prose(action.became, LONGEST)}" if action.became else ""
        done = f"*{self.way.done.capitalize()}{when}* for {who(action.undone_by)}{became}."
        text = f"{self._history(action)}. {done}"
        if rest is None:
            return self._status(text)
        if self.way is RESTART:
            return self._status(f"{text} If it hangs again, there will be a new warning.")
        return self._status(f"{text} It is left alone until {self.at(rest)}.")

    def undo_failed(self, action: Action, why: str, at: datetime) -> Status:
        """It could not be brought back, which can be tried again."""
        effect = self._offered(action)
        then = "The next sweep goes on with it."
        if action.given_up:
            then = f"A person has to look{f'; *{self.way.label}* tries again' if effect else ''}."
        text = f"{self._history(action)}. *Could not be {self.way.done}* on {self.at(at)}: "
        return self._status(
            f"{text}{sentence(prose(why, LONGEST))} {then}", (Button.UNDO,) if effect else (), effect
        )

    def by_hand(self, missing: str, finding: str) -> str:
        """That only a person can undo it, how, and which setting is *missing* for a button to."""
        command = code(f"janitor {self.way.command} {finding}")
        return reason(cause(Why.UNDO_BY_HAND, code(missing, LONGEST), command))

    def _offered(self, action: Action | None) -> str:
        """What an undo of *action* would do, or nothing if it cannot be had from here."""
        if action is None or not self.undoable or self.missing_for_undo(action):
            return ""
        try:
            return self.revert_effect(action)
        except CannotActError:
            return ""

    def _status(self, text: str, buttons: tuple[Button, ...] = (), revert_effect: str = "") -> Status:
        """*text* with the name of the zone after its last time only."""
        zone = f" ({self.time_zone})"
        return Status(text.replace(zone, "", max(0, text.count(zone) - 1)), buttons, revert_effect)

    def _history(self, action: Action) -> str:
        """What was done, when, and on whose word."""
        asked = f", because {who(action.by)} pressed Do it now" if action.by else ", because nobody kept it"
        if action.ended is None:
            return f"*Half {self.done}* since {self.at(action.began)}{asked if action.by else ''}"
        return f"*{self.done.capitalize()} on {self.at(action.ended)}*{asked}"


def _next(action: Action | None) -> str:
    """What comes after a failure: of *action*, or before there was one."""
    given_up = action is not None and action.given_up
    if action is None or not action.touched:
        then = ", and a person has to look." if given_up else "; the next sweep tries again."
        return f"Nothing was done to it{then}"
    if given_up:
        return (
            "It is half done, and a person has to look. Only if it is kept or used is it put back by itself."
        )
    return "It is half done; the next sweep goes on with it or puts it back."


def who(by: str) -> str:
    """A person's name within a sentence."""
    return prose(named(by), 80)
