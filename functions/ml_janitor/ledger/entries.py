"""The remembered state of one finding, and of one sweep's findings."""

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
from ml_janitor.ledger.table import EXPIRES_ATTRIBUTE, format_stamp

if TYPE_CHECKING:
    from ml_janitor.core.results import Result

CLOSING_ATTRIBUTES = ("closed", "close_reason", EXPIRES_ATTRIBUTE)
WARNING_ATTRIBUTES = (
    *("warned", "due", "channel", "message", "direct_channel", "direct_message", "unmessaged"),
    *("approved", "hurried", "memo", "not_done", "not_done_at"),
)
"""The attributes of a closing and of a warning: void once a finding is closed."""

REFUSAL_ATTRIBUTES = ("refused", "refused_at")
"""The reason for which `prepare` refused the finding, and the time of the last try."""

VOIDED_ATTRIBUTE = "voided"
"""
Set if the warning was taken back while the finding stayed open. If the detector
is armed again, the janitor warns first.
"""


UNTOLD_ATTRIBUTES = ("untold", "untold_why")
"""The messages that do not show yet that their warning is void, and the reason for that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(WarningMessages):
    """
    The remembered state of one finding.

    *announced* is the time at which Slack took the message that named the finding. *since* is the time since
    which the resource is waste, by the last sweep; None if that cannot be known. *warned* is the time at
    which Slack took the warning in the channel, and *due* the time from which the janitor may act.
    *unmessaged* says why the owner got no direct message; the grace is then twice as long. *approved* names
    the person who approved many deletions at once, and *hurried* the person who pressed *Do it now*. *memo*
    is the point from which `prepare` goes on. *said* is the lasting part of the warning's message: it
    outlives the warning, because an undo's message repeats it. *refused* says why `prepare` failed at
    *refused_at*: the janitor only reports the finding, and warns nobody. *not_done* says why the sweep of
    *not_done_at* did not act on the due finding. *untold* is the `place` of the messages that do not show yet
    that their warning is void, and *untold_why* the reason. *missing_for_undo* is the setting without which
    only a person can undo the act.
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
        """The short id of the finding."""
        return finding_id(self.detector, self.key)

    def outlived(self, now: datetime, lasts: timedelta) -> bool:
        """
        Return whether the last sweep that found this finding is more than *lasts*
        ago, so that its warning is void.
        """
        return self.warned is not None and self.closed is None and now - self.last_seen > lasts

    def voiding(self, why: str) -> dict[str, str]:
        """
        Return the attributes to store as the warning is taken back because of
        *why*, until its message says so.
        """
        return {"untold": self.place, "untold_why": why} if self.place else {}

    @property
    def arn(self) -> str:
        """The resource, without its creation time."""
        return self.key.rpartition("@")[0]

    @property
    def open(self) -> bool:
        """True while the finding is still found."""
        return self.closed is None

    @property
    def claim(self) -> Claim:
        """The saving that it stands for, and the resources that the saving is on."""
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
class RecordedFindings:
    """
    The findings of one sweep in the ledger: the *new* ones, not announced yet, and all with their dates.

    *closed* holds the findings that the sweep no longer found, as they were before, each with
    the reason. *untold* holds the findings, open or not, whose messages earlier sweeps left
    outdated. *previous* is the time of the sweep before.
    """

    new: tuple[Result, ...]
    entries: Mapping[str, Entry]
    closed: tuple[tuple[Entry, str], ...] = ()
    untold: tuple[Entry, ...] = ()
    previous: datetime | None = None

    def first_seen(self, now: datetime) -> int:
        """Return how many findings the sweep of *now* saw first: the same number however often it runs."""
        return sum(format_stamp(entry.first_seen) == format_stamp(now) for entry in self.entries.values())


_ENTRY_ADAPTER = TypeAdapter(Entry)


def entry_from(item: Mapping[str, Any]) -> Entry:
    """Return the entry that *item* of the table holds."""
    return _ENTRY_ADAPTER.validate_python({**item, "memo": json.loads(item.get("memo", "{}"))})
