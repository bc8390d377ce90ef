"""The places of one finding's messages in Slack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class MessageRef(NamedTuple):
    """One message: the id of its channel, and its ts. Empty where they are unknown."""

    channel: str = ""
    ts: str = ""


NO_MESSAGE = MessageRef()


@dataclass(frozen=True, slots=True, kw_only=True)
class WarningMessages:
    """The warning in the channel, and the owner's direct message. Empty without a message."""

    channel: str = ""
    message: str = ""
    direct_channel: str = ""
    direct_message: str = ""

    @property
    def messages(self) -> list[MessageRef]:
        """The messages that the janitor can change and whose buttons count, the channel's first."""
        refs = [
            MessageRef(self.channel, self.message),
            MessageRef(self.direct_channel, self.direct_message),
        ]
        return [ref for ref in refs if ref.ts]

    @property
    def place(self) -> str:
        """The channel and ts of every message, in one string, or ""."""
        return " ".join(part for ref in self.messages for part in ref)
