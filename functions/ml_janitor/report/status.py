"""The status of a warned finding in a sentence or two, and the buttons it then has. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ml_janitor.acting.undos import RESTART_WORDING, UNDO_WORDING, UndoWording
from ml_janitor.core.cause import CauseCode, make_cause
from ml_janitor.core.model import Effect
from ml_janitor.core.text import format_local_time, person_name
from ml_janitor.engine.detector import CannotActError
from ml_janitor.engine.holds import Hold, HoldKind
from ml_janitor.ledger.action import Action
from ml_janitor.report.buttons import Button
from ml_janitor.report.causes import cause_clause
from ml_janitor.report.mrkdwn import as_sentence, code_span, prose

if TYPE_CHECKING:
    from collections.abc import Callable

DONE_WORDS = {
    Effect.TAG: "tagged",
    Effect.STOP: "stopped",
    Effect.EXPIRE: "given a retention",
    Effect.TIER: "given lifecycle rules",
    Effect.DELETE: "deleted",
}
"""Past participle of each effect on a resource."""

LONGEST_REASON = 400
"""Longest reason or error, in characters; the report and the log have the whole text."""


@dataclass(frozen=True, slots=True)
class Status:
    """The current text of the message in mrkdwn, its buttons, and in words what an undo would do."""

    text: str
    buttons: tuple[Button, ...] = ()
    revert_effect: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusWording:
    """
    The words for the statuses of one detector: what acting does, and the channel's time zone.

    *undoable* is whether Slack can undo its actions at all, *way* the wording of an undo, and *revert_effect*
    says what an undo would do to one action; it raises CannotActError where nothing comes back.
    *missing_for_undo* is the setting without which only a person can undo an action, or nothing.
    """

    effect: Effect
    time_zone: str
    undoable: bool = True
    way: UndoWording = UNDO_WORDING
    revert_effect: Callable[[Action], str] = lambda it: f"{it.target.name} is brought back, and costs again"
    missing_for_undo: Callable[[Action], str] = lambda _: ""

    @property
    def done(self) -> str:
        """Return what will have happened to it: "deleted", "stopped" or "tagged"."""
        return DONE_WORDS[self.effect]

    def at(self, moment: datetime) -> str:
        return format_local_time(moment, self.time_zone)

    def due(self, due: datetime, unmessaged: str = "", *, scheduled: bool = False) -> Status:
        """
        Say that it was warned about, and that the next sweep after *due* acts on it.

        *unmessaged* is why its owner got no direct message. A *scheduled* resource may be in use until then,
        and is acted on once it is quiet.
        """
        if scheduled:
            text = f"*Will be {self.done} after {self.at(due)}, once it is quiet,* unless somebody keeps it."
            return self._status(text, (Button.TONIGHT, Button.KEEP, Button.SNOOZE))
        text = f"*Will be {self.done} after {self.at(due)}* unless somebody keeps it."
        if unmessaged:
            why = cause_clause(make_cause(CauseCode.OWNER_NOT_MESSAGED, unmessaged))
            text += f" {as_sentence(prose(why, LONGEST_REASON))}"
        return self._status(text, (Button.KEEP, Button.SNOOZE, Button.NOW))

    def waiting(self, due: datetime, why: str, *, scheduled: bool = False) -> Status:
        """Say that it is due, and what holds it back."""
        text = f"*Due since {self.at(due)}, and waiting:* {as_sentence(prose(why, LONGEST_REASON))}"
        tonight = (Button.TONIGHT,) if scheduled else ()
        return self._status(text, (*tonight, Button.KEEP, Button.SNOOZE))

    def held(self, hold: Hold) -> Status:
        """Say that somebody keeps it, or postponed it."""
        why = f" {as_sentence(prose(hold.why, LONGEST_REASON))}" if hold.why else ""
        by = f"by {person_text(hold.by)} on {self.at(hold.given)}.{why}"
        if hold.how is HoldKind.KEPT and hold.until is None:
            return self._status(f"*Kept for good* {by}")
        if hold.until is None:
            return self._status(f"*Kept* {by}")
        again = "If it is still waste then, there will be a new warning."
        verb = "Snoozed" if hold.how is HoldKind.SNOOZED else "Kept"
        return self._status(f"*{verb} until {self.at(hold.until)}* {by} {again}", (Button.KEEP,))

    def hurried(self, by: str, at: datetime) -> Status:
        """Say that somebody pressed *Do it now*."""
        text = (
            f"*Do it now*, said {person_text(by)} on {self.at(at)}. It is looked at once more, and "
            f"{self.done} "
            "in the next minutes if it is still waste."
        )
        return self._status(text, (Button.KEEP, Button.SNOOZE))

    def going(self, action: Action) -> Status:
        """Say that the clean-up continues: AWS takes a while, or the run had no time left."""
        text = f"{self._history(action)}. It goes on by itself: {prose(action.error, LONGEST_REASON)}."
        return self._status(text)

    def acted(self, action: Action, undo_until: datetime | None) -> Status:
        """Say that it was cleaned up. *undo_until* is how long an undo is possible, even after a refusal."""
        text = f"{self._history(action)}."
        if action.broke:
            text += f" *Could not be {self.way.done}:* {as_sentence(prose(action.error, LONGEST_REASON))}"
        if undo_until is None or not self.undoable:
            return self._status(text)
        try:
            effect = self.revert_effect(action)
        except CannotActError as never:
            return self._status(f"{text} {as_sentence(prose(str(never), LONGEST_REASON))}")
        how = "" if self.way is UNDO_WORDING else f" Then {prose(effect, LONGEST_REASON)}."
        if missing := self.missing_for_undo(action):
            by_hand = as_sentence(self.by_hand(missing, action.id))
            return self._status(
                f"{text} It can be {self.way.past} until {self.at(undo_until)}. {by_hand}{how}"
            )
        return self._status(
            f"{text} It can be {self.way.past} until {self.at(undo_until)}.{how}", (Button.UNDO,), effect
        )

    def failed(self, why: str, at: datetime, *, action: Action | None = None) -> Status:
        """Say that the clean-up failed; *action* is the action, if it began."""
        half_done = action if action is not None and action.touched else None
        text = (
            f"*Could not be {self.done}* when tried on {self.at(at)}: "
            f"{as_sentence(prose(why, LONGEST_REASON))}"
        )
        effect = self._offered(half_done)
        return self._status(
            f"{text} {_next(action)}", (Button.KEEP, Button.UNDO) if effect else (Button.KEEP,), effect
        )

    def left(self, action: Action, why: str, at: datetime) -> Status:
        """Say that it was half done when its detector was disarmed, everywhere or there, as *why* says."""
        since = f"*Half done*, and since {self.at(at)} nobody goes on with it, because"
        effect = self._offered(action)
        return self._status(f"{since} {why}: a person has to look.", (Button.UNDO,) if effect else (), effect)

    def stays(self, why: str, at: datetime) -> Status:
        """Say that it is no longer waste, or no longer there, and that nothing is done to it."""
        return self._status(f"*Nothing was done* on {self.at(at)}: {as_sentence(prose(why, LONGEST_REASON))}")

    def void(self, why: str, at: datetime) -> Status:
        """Say that it is only reported from now on."""
        since = f"*Only reported since {self.at(at)}:* {as_sentence(prose(why, LONGEST_REASON))}"
        return self._status(f"{since} Nothing is done to it.")

    def over(self, why: str) -> Status:
        """Say that its warning was withdrawn some time ago, when its message did not say so."""
        return self._status(f"*This warning counts no more:* {as_sentence(prose(why, LONGEST_REASON))}")

    def undoing(self, action: Action, by: str, at: datetime) -> Status:
        """Say that somebody pressed *Undo*."""
        pressed = f"*{self.way.label}*, said {person_text(by)} on {self.at(at)}: it is being {self.way.done}."
        return self._status(f"{self._history(action)}. {pressed}")

    def undone(self, action: Action, rest: datetime | None) -> Status:
        """
        Say that it was brought back, and is left alone until *rest*: a job that was submitted again is
        another.
        """
        when = f" on {self.at(action.undone)}" if action.undone else ""
        became = f": {prose(action.became, LONGEST_REASON)}" if action.became else ""
        done = f"*{self.way.done.capitalize()}{when}* for {person_text(action.undone_by)}{became}."
        text = f"{self._history(action)}. {done}"
        if rest is None:
            return self._status(text)
        if self.way is RESTART_WORDING:
            return self._status(f"{text} If it hangs again, there will be a new warning.")
        return self._status(f"{text} It is left alone until {self.at(rest)}.")

    def undo_failed(self, action: Action, why: str, at: datetime) -> Status:
        """Say that it could not be brought back; an undo can be tried again."""
        effect = self._offered(action)
        then = "The next sweep goes on with it."
        if action.given_up:
            then = f"A person has to look{f'; *{self.way.label}* tries again' if effect else ''}."
        text = f"{self._history(action)}. *Could not be {self.way.done}* on {self.at(at)}: "
        return self._status(
            f"{text}{as_sentence(prose(why, LONGEST_REASON))} {then}",
            (Button.UNDO,) if effect else (),
            effect,
        )

    def by_hand(self, missing: str, finding: str) -> str:
        """Say that only a person can undo it, how, and which setting is *missing* for a button."""
        command = code_span(f"janitor {self.way.command} {finding}")
        return cause_clause(make_cause(CauseCode.UNDO_BY_HAND, code_span(missing, LONGEST_REASON), command))

    def _offered(self, action: Action | None) -> str:
        """Return what an undo of *action* would do; empty if Slack cannot offer it."""
        if action is None or not self.undoable or self.missing_for_undo(action):
            return ""
        try:
            return self.revert_effect(action)
        except CannotActError:
            return ""

    def _status(self, text: str, buttons: tuple[Button, ...] = (), revert_effect: str = "") -> Status:
        """Build a status from *text*, with the name of the time zone after its last time only."""
        zone = f" ({self.time_zone})"
        return Status(text.replace(zone, "", max(0, text.count(zone) - 1)), buttons, revert_effect)

    def _history(self, action: Action) -> str:
        """Say what was done, when, and why."""
        asked = (
            f", because {person_text(action.by)} pressed Do it now"
            if action.by
            else ", because nobody kept it"
        )
        if action.ended is None:
            return f"*Half {self.done}* since {self.at(action.began)}{asked if action.by else ''}"
        return f"*{self.done.capitalize()} on {self.at(action.ended)}*{asked}"


def _next(action: Action | None) -> str:
    """Say what comes after a failure: of *action*, or before there was one."""
    given_up = action is not None and action.given_up
    if action is None or not action.touched:
        then = ", and a person has to look." if given_up else "; the next sweep tries again."
        return f"Nothing was done to it{then}"
    if given_up:
        return (
            "It is half done, and a person has to look. Only if it is kept or used is it put back by itself."
        )
    return "It is half done; the next sweep goes on with it or puts it back."


def person_text(by: str) -> str:
    """Return a person's name for use within a sentence."""
    return prose(person_name(by), 80)
