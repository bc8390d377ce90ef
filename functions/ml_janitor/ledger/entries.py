"""What is remembered of one finding, and of the findings of one sweep."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from ml_janitor.core.counting import Claim
from ml_janitor.core.model import Change, finding_id
from ml_janitor.ledger.messages import WarningMessages
from ml_janitor.ledger.table import EXPIRES, stamp

if TYPE_CHECKING:
    from ml_janitor.core.results import Result

CLOSING = ("closed", "close_reason", EXPIRES)
WARNING = (
    *("warned", "due", "channel", "message", "direct_channel", "direct_message", "unmessaged"),
    *("approved", "hurried", "memo", "not_done", "not_done_at"),
)
"""What is remembered of a closing, and of a warning: void once a finding is closed."""

REFUSED = ("refused", "refused_at")
"""Why preparing refused to act on it, and when it was asked last."""

VOIDED = "voided"
"""Whether its warning was taken back while it was found: armed again, it has to be warned about first."""


UNTOLD = ("untold", "untold_why")
"""Which message does not say yet that its warning is void, and why it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(WarningMessages):
    """
    What is remembered of one finding; *announced* is when Slack took the message that named it, and *since*
    is since when it is waste, as its last sweep said; None if that cannot be known.

    *warned* is when Slack took its warning in the channel, and *due* when it may be acted on. *unmessaged* is
    why its owner got no direct message, for which it has twice the grace. *approved* and *hurried* name who
    said yes to many deletions at once, and who pressed *Do it now*. *memo* is where `prepare` goes on. *said*
    is the lasting part of the warning's message, which outlives the warning: an undo's message says it too.
    *refused* is why it could not be prepared when it was asked last, at *refused_at*: it is only reported,
    and nobody is warned. *not_done* is why it was not acted on by the sweep of *not_done_at*, although it was
    due. *untold* is the `place` of the messages that do not say yet that its warning is
    void, and *untold_why* why it is. *missing_for_undo* is the setting without which only a person can undo
    what would be done.
    """

    key: str
    detector: str
    account: str
    region: str
    name: str
    reason: str
    first_seen: datetime
    last_seen: datetime
    since: datetime | None = None
    owner: str | None = None
    monthly_usd: Decimal | None = None
    accrued_usd: Decimal | None = None
    once_usd: Decimal | None = None
    action: str = ""
    change: Change = Change.END
    shares: Mapping[str, Decimal] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    wholes: tuple[str, ...] = ()
    announced: datetime | None = None
    warned: datetime | None = None
    due: datetime | None = None
    unmessaged: str = ""
    approved: str = ""
    hurried: str = ""
    voided: bool = False
    refused: str = ""
    refused_at: datetime | None = None
    not_done: str = ""
    not_done_at: datetime | None = None
    said: str = ""
    untold: str = ""
    untold_why: str = ""
    missing_for_undo: str = ""
    memo: Mapping[str, Any] = field(default_factory=dict)
    closed: datetime | None = None
    close_reason: str = ""

    @property
    def id(self) -> str:
        """Its short name."""
        return finding_id(self.detector, self.key)

    def outlived(self, now: datetime, lasts: timedelta) -> bool:
        """Whether its warning is older than its last finding allows: that was longer than *lasts* ago."""
        return self.warned is not None and self.closed is None and now - self.last_seen > lasts

    def voiding(self, why: str) -> dict[str, str]:
        """What to remember as its warning is taken back because of *why*, until its message says so."""
        return {"untold": self.place, "untold_why": why} if self.place else {}

    @property
    def arn(self) -> str:
        """The resource, without its creation time."""
        return self.key.rpartition("@")[0]

    @property
    def open(self) -> bool:
        """Whether it is still found."""
        return self.closed is None

    @property
    def claim(self) -> Claim:
        """What it would save, and on which resources."""
        return Claim(
            detector=self.detector,
            arn=self.arn,
            name=self.name,
            change=self.change,
            monthly_usd=self.monthly_usd,
            accrued_usd=self.accrued_usd,
            shares=self.shares,
            parts=self.parts,
            wholes=self.wholes,
            priced=self.monthly_usd is not None or self.accrued_usd is not None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """
    The findings of one sweep as the ledger knows them: not announced yet, and all with their dates.

    *closed* are those that it no longer found, as they were before, each with the reason. *untold* are those
    whose messages earlier sweeps left behind, found or not. *previous* is when the sweep before it was.
    """

    new: tuple[Result, ...]
    entries: Mapping[str, Entry]
    closed: tuple[tuple[Entry, str], ...] = ()
    untold: tuple[Entry, ...] = ()
    previous: datetime | None = None

    def first_seen(self, now: datetime) -> int:
        """How many were seen for the first time by the sweep of *now*: the same however often it is run."""
        return sum(stamp(entry.first_seen) == stamp(now) for entry in self.entries.values())


ENTRY = TypeAdapter(Entry)


def entry_of(item: Mapping[str, Any]) -> Entry:
    """The entry that *item* of the table is."""
    return ENTRY.validate_python({**item, "memo": json.loads(item.get("memo", "{}"))})
