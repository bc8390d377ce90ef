"""Buttons in Slack: their labels, and the finding that a press is about. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Button(StrEnum):
    """A press on a button. The values are Slack's action ids."""

    KEEP = "janitor:keep"
    SNOOZE = "janitor:snooze"
    TONIGHT = "janitor:keep-tonight"
    NOW = "janitor:now"
    UNDO = "janitor:undo"
    LATER = "janitor:advice-later"
    NOT_FOR_US = "janitor:not-for-us"


BUTTON_LABELS = {
    Button.KEEP: "Keep",
    Button.SNOOZE: "Snooze 7 days",
    Button.TONIGHT: "Keep tonight",
    Button.NOW: "Do it now",
    Button.UNDO: "Undo",
    Button.LATER: "Snooze 4 weeks",
    Button.NOT_FOR_US: "Not for us",
}
"""Labels of the buttons; a detector may have another word for *Undo*."""

BUTTON_VALUE = re.compile(
    r"(?P<detector>[a-z][a-z0-9-]{0,63}) (?P<account>[0-9]{12}) (?P<region>[a-z0-9-]{3,32}) "
    r"(?P<finding>[0-9a-f]{10})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ButtonSubject:
    """The finding that a button is about, by its short name and where it is remembered."""

    detector: str
    account: str
    region: str
    finding: str

    def __str__(self) -> str:
        return f"{self.detector} {self.account} {self.region} {self.finding}"

    @classmethod
    def read(cls, value: str) -> ButtonSubject:
        """Parse the value that `str` wrote into a button. Raises ValueError."""
        if (parts := BUTTON_VALUE.fullmatch(value)) is None:
            raise ValueError("the button says nothing that is known here")
        return cls(**parts.groupdict())
