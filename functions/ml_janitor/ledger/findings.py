"""The ledger: what the janitor remembers of findings between runs, from first seen to closed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.conditions import Attr, ConditionBase

from ml_janitor.core.durations import ago
from ml_janitor.core.model import Kept, Result, Sweep
from ml_janitor.core.money import kept_small
from ml_janitor.ledger.entries import CLOSING, REFUSED, UNTOLD, VOIDED, WARNING, Entry, Recorded, entry_of
from ml_janitor.ledger.latest import Latest
from ml_janitor.ledger.messages import NO_MESSAGE, MessageRef
from ml_janitor.ledger.table import EXPIRES, ConditionFailedError, Table, partition

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws

FINDING = "finding"

KEEP_CLOSED = timedelta(days=90)
"""How long a closed finding stays readable before DynamoDB removes it."""

GONE = "the resource is no longer there"


class Ledger:
    """
    Findings by ARN + creation time in *table*; *latest* are the sweeps and digests there.

    Keys can be read by a person: "finding#idle-endpoints#123456789012#us-east-1" and
    "arn:...@2026-09-01T00:00:00+00:00". A write done twice leaves what one would have left, so a
    retried run does no harm; two at once are kept apart by `Leases`.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self.latest = Latest(table)

    # --- findings -----------------------------------------------------------------------------

    def record(self, aws: Aws, sweep: Sweep, now: datetime, *, lasts: timedelta = timedelta.max) -> Recorded:
        """
        Remember every finding of *sweep*; after a complete one, close what is no longer found.

        The warning of one that was not found for longer than *lasts*, and is found again, is void.

        A finding is new until it was announced: a message that failed is tried again next time. What
        could not be judged this time stays as it is, because unknown is not mended. A run for an
        earlier time than what is remembered, such as a late event's, takes nothing of it back.
        """
        before = {entry.key: entry for entry in self.entries(sweep.detector, sweep.account, sweep.region)}
        found = sweep.findings
        old = {key for key, entry in before.items() if entry.outlived(now, lasts)}
        seen = aws.map(self._seer(sweep, before, now, old), found)
        entries = dict(zip((r.target.key for r in found), seen, strict=True))
        gone: list[tuple[Entry, str]] = []
        if sweep.error is None:
            verdicts = {result.target.key: result.verdict for result in sweep.results}
            gone = [
                (entry, verdict.reason if isinstance(verdict, Kept) else GONE)
                for entry in before.values()
                if entry.key not in entries
                and entry.closed is None
                and entry.last_seen <= now
                and not (isinstance(verdict := verdicts.get(entry.key), Kept) and verdict.unknown)
            ]
            aws.map(lambda closing: self._close(sweep, *closing, now), gone)
        gone += [(before[key], _lapsed(before[key], now)) for key in sorted(old & entries.keys())]
        last = self.latest.sweep(sweep.detector, str(sweep.account), sweep.region)
        self.latest.remember(sweep, now)
        new = tuple(result for result in found if entries[result.target.key].announced is None)
        untold = tuple(entry for entry in before.values() if entry.untold)
        previous = last.time if last else None
        return Recorded(new=new, entries=entries, closed=tuple(gone), untold=untold, previous=previous)

    def find(self, detector: str, account: str, region: str, finding: str) -> Entry | None:
        """The entry of the finding of id *finding*, open or closed."""
        return next((each for each in self.entries(detector, account, region) if each.id == finding), None)

    def entries(self, detector: str, account: str | None, region: str) -> list[Entry]:
        """Everything that is remembered of a detector's findings in an account and region."""
        return [entry_of(item) for item in self._table.query(partition(FINDING, detector, account, region))]

    def announced(self, aws: Aws, sweep: Sweep, results: Sequence[Result], now: datetime) -> None:
        """Remember that Slack took a message with *results*."""
        where = partition(FINDING, sweep.detector, sweep.account, sweep.region)
        marks = {"announced": now}
        aws.map(lambda key: self._table.change(where, key, at_first=marks), [r.target.key for r in results])

    def _seer(
        self, sweep: Sweep, before: Mapping[str, Entry], now: datetime, old: AbstractSet[str]
    ) -> Callable[[Result], Entry]:
        where = partition(FINDING, sweep.detector, sweep.account, sweep.region)

        def see(result: Result) -> Entry:
            known = before.get(result.target.key)
            first = {"first_seen": now}
            again = known is not None and known.closed is not None
            void = known is not None and result.target.key in old
            voided = (
                {VOIDED: True, **known.voiding(_lapsed(known, now))} if known is not None and void else {}
            )
            seen = {
                "key": result.target.key,
                "detector": sweep.detector,
                "account": sweep.account,
                "region": sweep.region,
                "last_seen": now if known is None else max(now, known.last_seen),
                "name": result.target.name,
                "reason": result.verdict.reason,
                "owner": result.owner,
                "monthly_usd": kept_small(result.monthly_usd),
                "accrued_usd": kept_small(result.accrued_usd),
            }
            item = self._table.change(
                where,
                result.target.key,
                set_to=seen | (first if again else {}) | voided,
                at_first={} if again else first,
                remove=(*CLOSING, *(WARNING if void else ())),
            )
            return entry_of(item)

        return see

    def _close(self, sweep: Sweep, entry: Entry, why: str, now: datetime) -> None:
        """It is no longer found: if it comes back, it is announced again."""
        self._close_at(partition(FINDING, sweep.detector, sweep.account, sweep.region), entry, why, now)

    def _close_at(self, where: str, entry: Entry, why: str, now: datetime) -> None:
        self._table.change(
            where,
            entry.key,
            set_to={
                "closed": now,
                "close_reason": why,
                EXPIRES: int((now + KEEP_CLOSED).timestamp()),
                **entry.voiding(why),
            },
            remove=("announced", *WARNING, *REFUSED),
        )

    # --- warnings -----------------------------------------------------------------------------

    def warned(
        self,
        entry: Entry,
        *,
        now: datetime,
        due: datetime,
        message: MessageRef = NO_MESSAGE,
        said: str = "",
        unmessaged: str = "",
    ) -> None:
        """
        Remember that Slack took the warning of *entry* as *message*; the first one counts.

        *unmessaged* is why its owner has no direct message, so far.
        """
        self._change(
            entry,
            set_to={"said": said},
            remove=(VOIDED,),
            at_first={
                "announced": now,
                "warned": now,
                "due": due,
                "channel": message.channel,
                "message": message.ts,
                "unmessaged": unmessaged,
            },
        )

    def messaged(self, entry: Entry, message: MessageRef, *, late: datetime, due: datetime) -> None:
        """
        Remember that the owner of *entry* has the direct *message*: it is due then, and not so *late*.

        Raises ConditionFailedError if its date was moved, or its warning is void.
        """
        self._change(
            entry,
            set_to={"direct_channel": message.channel, "direct_message": message.ts, "due": due},
            remove=("unmessaged",),
            only_if=Attr("due").eq(late),
            signed=True,
        )

    def unmessaged(self, entry: Entry, why: str) -> None:
        """Remember *why* the owner of *entry* has no direct message. Raises ConditionFailedError if void."""
        self._change(entry, set_to={"unmessaged": why}, only_if=Attr("warned").exists())

    def hurry(self, entry: Entry, *, by: str, now: datetime) -> None:
        """Somebody pressed *Do it now*: it is due. Raises ConditionFailedError if the warning is void."""
        self._change(entry, set_to={"due": now, "hurried": by}, only_if=_warned(entry))

    def approve(self, entry: Entry, *, by: str) -> None:
        """A person approved it among many. Raises ConditionFailedError like `hurry`."""
        self._change(entry, set_to={"approved": by}, only_if=_warned(entry))

    def unwarn(self, entry: Entry, why: str) -> None:
        """Its warning is void because of *why*: it would have to be warned about again."""
        self._change(entry, set_to={VOIDED: True, **entry.voiding(why)}, remove=WARNING)

    def told(self, entry: Entry, place: str) -> None:
        """The message at *place* says that its warning is void; another that does not is still to be told."""
        with suppress(ConditionFailedError):
            where = partition(FINDING, entry.detector, entry.account, entry.region)
            self._table.change(where, entry.key, remove=UNTOLD, only_if=Attr("untold").eq(place))

    def refuse(self, entry: Entry, why: str, now: datetime) -> None:
        """It cannot be prepared: its warning is void, and there is no other before that changes."""
        refused = {VOIDED: True, "refused": why, "refused_at": now, **entry.voiding(why)}
        self._change(entry, set_to=refused, remove=WARNING)

    def permit(self, entry: Entry) -> None:
        """It can be prepared again, and is warned about like a new finding."""
        self._change(entry, remove=(*REFUSED, "memo"))

    def memorise(self, entry: Entry, memo: Mapping[str, Any]) -> None:
        """Keep how far preparing came."""
        self._change(entry, set_to={"memo": json.dumps(memo)})

    def close(self, entry: Entry, why: str, now: datetime) -> None:
        """It is over: cleaned up, or no longer waste when looked at again. Its warning is void."""
        self._close_at(partition(FINDING, entry.detector, entry.account, entry.region), entry, why, now)

    def _change(self, entry: Entry, **changes: Any) -> None:
        where = partition(FINDING, entry.detector, entry.account, entry.region)
        self._table.change(where, entry.key, **changes)


def _warned(entry: Entry) -> ConditionBase:
    """The condition that the warning of *entry* still stands."""
    return Attr("warned").eq(entry.warned)


def _lapsed(entry: Entry, now: datetime) -> str:
    """Why *entry*'s warning is void, that nothing confirmed for so long."""
    return f"it was not found for {ago(now - entry.last_seen)}: this warning is void"
