"""Where a warned finding stands, in a sentence or two, and which buttons it then has. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from janitor.buttons import Word
from janitor.holds import How
from janitor.model import Effect
from janitor.report.mrkdwn import prose, sentence
from janitor.report.text import local

if TYPE_CHECKING:
    from janitor.actions import Action
    from janitor.holds import Hold

DONE = {Effect.TAG: "tagged", Effect.STOP: "stopped", Effect.DELETE: "deleted"}
"""What happened to a resource, by what acting on it does."""

LONGEST = 400
"""Characters of a reason or an error; the report and the log have the whole."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the message says now, in mrkdwn, and what can be pressed."""

    text: str
    buttons: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """
    How standings are said for one detector: what acting does, and the channel's time zone.

    *undoable* is whether its acts can be undone from Slack at all.
    """

    effect: Effect
    time_zone: str
    undoable: bool = True

    @property
    def done(self) -> str:
        """What will have happened to it: it is "deleted", "stopped", or "tagged"."""
        return DONE[self.effect]

    def at(self, moment: datetime) -> str:
        """A time in the channel's zone."""
        return local(moment, self.time_zone)

    def due(self, due: datetime) -> Standing:
        """It was warned about, and nobody has said anything. The next sweep after *due* acts on it."""
        text = f"*Will be {self.done} after {self.at(due)}* unless somebody keeps it."
        return self._says(text, (Word.KEEP, Word.SNOOZE, Word.NOW))

    def waiting(self, due: datetime, why: str) -> Standing:
        """Its time has come, and something holds it back."""
        text = f"*Due since {self.at(due)}, and waiting:* {sentence(prose(why, LONGEST))}"
        return self._says(text, (Word.KEEP, Word.SNOOZE))

    def held(self, hold: Hold) -> Standing:
        """Somebody said to keep it, or not now."""
        why = f" {sentence(prose(hold.why, LONGEST))}" if hold.why else ""
        said = f"by {who(hold.by)} on {self.at(hold.said)}.{why}"
        if hold.how is How.KEPT and hold.until is None:
            return self._says(f"*Kept for good* {said}")
        if hold.until is None:
            return self._says(f"*Kept* {said}")
        again = "If it is still waste then, there will be a new warning."
        verb = "Snoozed" if hold.how is How.SNOOZED else "Kept"
        return self._says(f"*{verb} until {self.at(hold.until)}* {said} {again}", (Word.KEEP,))

    def hurried(self, by: str, at: datetime) -> Standing:
        """Somebody pressed *Do it now*."""
        text = (
            f"*Do it now*, said {who(by)} on {self.at(at)}. It is looked at once more, and {self.done} "
            "in the next minutes if it is still waste."
        )
        return self._says(text, (Word.KEEP, Word.SNOOZE))

    def going(self, action: Action) -> Standing:
        """It is being cleaned up, which takes AWS a while."""
        text = f"{self._history(action)}. It goes on when AWS is ready: {prose(action.error, LONGEST)}."
        return self._says(text)

    def acted(self, action: Action, undo_until: datetime | None) -> Standing:
        """It was cleaned up. *undo_until* is how long that can be undone."""
        text = f"{self._history(action)}."
        if undo_until is None or not self.undoable:
            return self._says(text)
        return self._says(f"{text} It can be undone until {self.at(undo_until)}.", (Word.UNDO,))

    def failed(self, why: str, at: datetime, *, begun: bool) -> Standing:
        """It could not be cleaned up; *begun* is whether something was done to it already."""
        half = " It is half done; the next sweep goes on with it or puts it back." if begun else ""
        text = (
            f"*Could not be {self.done}* when tried on {self.at(at)}: {sentence(prose(why, LONGEST))}"
            f"{half or ' Nothing was done to it; the next sweep tries again.'}"
        )
        return self._says(text, (Word.KEEP, Word.UNDO) if begun and self.undoable else (Word.KEEP,))

    def stays(self, why: str, at: datetime) -> Standing:
        """It is no longer waste, or no longer there; nothing is done to it."""
        return self._says(f"*Nothing was done:* {prose(why, LONGEST)} (seen on {self.at(at)}).")

    def void(self, why: str, at: datetime) -> Standing:
        """It is only reported from now on."""
        since = f"(since {self.at(at)}). Nothing is done to it."
        return self._says(f"*Only reported from now on:* {prose(why, LONGEST)} {since}")

    def undoing(self, action: Action, by: str, at: datetime) -> Standing:
        """Somebody pressed *Undo*."""
        return self._says(
            f"{self._history(action)}. *Undo*, said {who(by)} on {self.at(at)}: it is being brought back."
        )

    def undone(self, action: Action, rest: datetime | None) -> Standing:
        """It was brought back, and is left alone until *rest*."""
        when = f" on {self.at(action.undone)}" if action.undone else ""
        text = f"{self._history(action)}. *Brought back{when}* for {who(action.undone_by)}."
        return self._says(f"{text} It is left alone until {self.at(rest)}." if rest else text)

    def undo_failed(self, action: Action, why: str, at: datetime) -> Standing:
        """It could not be brought back, which can be tried again."""
        text = f"{self._history(action)}. *Could not be brought back* on {self.at(at)}: "
        then = (
            "A person has to look; *Undo* tries again."
            if action.given_up
            else "The next sweep goes on with it."
        )
        return self._says(
            f"{text}{sentence(prose(why, LONGEST))} {then}", (Word.UNDO,) if self.undoable else ()
        )

    def _says(self, text: str, buttons: tuple[Word, ...] = ()) -> Standing:
        """*text* with the name of the zone after its last time only."""
        zone = f" ({self.time_zone})"
        return Standing(text.replace(zone, "", max(0, text.count(zone) - 1)), buttons)

    def _history(self, action: Action) -> str:
        """What was done, when, and on whose word."""
        asked = f", because {who(action.by)} pressed Do it now" if action.by else ", because nobody kept it"
        if action.ended is None:
            return f"*Half {self.done}* since {self.at(action.began)}{asked if action.by else ''}"
        return f"*{self.done.capitalize()} on {self.at(action.ended)}*{asked}"


def who(by: str) -> str:
    """A person's name as it was stored, without the user id that tells namesakes apart."""
    return prose(re.sub(r" \([UW][A-Z0-9]+\)$", "", by), 80)
