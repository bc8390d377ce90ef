"""Where the messages about one finding are in Slack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class MessageRef(NamedTuple):
    """One message: the id of its channel, and its ts. Empty where that is unknown."""

    channel: str = ""
    ts: str = ""


NO_MESSAGE = MessageRef()


@dataclass(frozen=True, slots=True, kw_only=True)
class WarningMessages:
    """The warning in the channel, and the owner's direct message. Empty where there is none."""

    channel: str = ""
    message: str = ""
    direct_channel: str = ""
    direct_message: str = ""

    @property
    def messages(self) -> list[MessageRef]:
        """Those that can be changed and whose buttons count, the channel's first."""
        refs = [
            MessageRef(self.channel, self.message),
            MessageRef(self.direct_channel, self.direct_message),
        ]
        return [ref for ref in refs if ref.ts]

    @property
    def place(self) -> str:
        """The channel and ts of each, in one string, or nothing."""
        return " ".join(part for ref in self.messages for part in ref)
