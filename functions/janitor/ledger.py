"""The ledger: what the janitor remembers of findings and sweeps between runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from janitor.actions import finding_id
from janitor.model import Kept, Outcome, Result, Sweep
from janitor.money import Totals, kept_small
from janitor.table import EXPIRES, ConditionFailedError, Table, moment, partition, stamp

if TYPE_CHECKING:
    from janitor.aws import Aws

FINDING, SWEEP, DIGEST, LATEST = "finding", "sweep", "digest", "latest"

KEEP_CLOSED = timedelta(days=90)
"""How long a closed finding stays readable before DynamoDB removes it."""

GONE = "the resource is no longer there"

CLOSING = ("closed", "close_reason", EXPIRES)
WARNING = ("warned", "due", "channel", "message", "approved", "hurried", "memo")
"""What is remembered of a closing, and of a warning: void once a finding is closed."""

REFUSED = ("refused", "refused_at")
"""Why preparing refused to act on it, and when it was asked last."""

VOIDED = "voided"
"""Whether its warning was taken back while it was found: armed again, it has to be warned about first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """
    What is remembered of one finding; *announced* is when Slack took the message that named it.

    *warned* is when Slack took its warning, which stands in *channel* as *message*, and *due* when
    it may be acted on. *approved* and *hurried* name who said yes to many deletions at once, and who
    pressed *Do it now*. *memo* is where `prepare` goes on. *said* is the lasting part of the warning's
    message, which outlives the warning: an undo's message says it too. *refused* is why it could not be
    prepared when it was asked last, at *refused_at*: it is only reported, and nobody is warned.
    """

    key: str
    detector: str
    account: str
    region: str
    name: str
    reason: str
    first_seen: datetime
    last_seen: datetime
    owner: str | None = None
    monthly_usd: Decimal | None = None
    accrued_usd: Decimal | None = None
    announced: datetime | None = None
    warned: datetime | None = None
    due: datetime | None = None
    channel: str = ""
    message: str = ""
    approved: str = ""
    hurried: str = ""
    voided: bool = False
    refused: str = ""
    refused_at: datetime | None = None
    said: str = ""
    memo: Mapping[str, Any] = field(default_factory=dict)
    closed: datetime | None = None
    close_reason: str = ""

    @property
    def id(self) -> str:
        """Its short name."""
        return finding_id(self.detector, self.key)

    @property
    def arn(self) -> str:
        """The resource, without its creation time."""
        return self.key.rpartition("@")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """
    The findings of one sweep as the ledger knows them: not announced yet, and all with their dates.

    *closed* are those that it no longer found, as they were before, each with the reason. *previous*
    is when the sweep before it was.
    """

    new: tuple[Result, ...]
    entries: Mapping[str, Entry]
    closed: tuple[tuple[Entry, str], ...] = ()
    previous: datetime | None = None

    def first_seen(self, now: datetime) -> int:
        """How many were seen for the first time by the sweep of *now*: the same however often it is run."""
        return sum(stamp(entry.first_seen) == stamp(now) for entry in self.entries.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class LastSweep:
    """The latest sweep of a detector, account and region, in numbers."""

    detector: str
    account: str
    region: str
    time: datetime
    looked_at: int
    found: int
    kept: int
    unknown: int
    monthly_usd: Decimal
    accrued_usd: Decimal
    unpriced: int
    error: str | None


class Ledger:
    """
    Findings by ARN + creation time, and the last sweep of each kind, in *table*.

    Keys can be read by a person: "finding#idle-endpoints#123456789012#us-east-1" and
    "arn:...@2026-09-01T00:00:00+00:00". A write done twice leaves what one would have left, so a
    retried run does no harm; two at once are kept apart by `Leases`.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    # --- findings -----------------------------------------------------------------------------

    def record(self, aws: Aws, sweep: Sweep, now: datetime) -> Recorded:
        """
        Remember every finding of *sweep*; after a complete one, close what is no longer found.

        A finding is new until it was announced: a message that failed is tried again next time. What
        could not be judged this time stays as it is, because unknown is not mended. A run for an
        earlier time than what is remembered, such as a late event's, takes nothing of it back.
        """
        before = {entry.key: entry for entry in self.entries(sweep.detector, sweep.account, sweep.region)}
        found = sweep.findings
        entries = dict(
            zip((r.target.key for r in found), aws.map(self._seer(sweep, before, now), found), strict=True)
        )
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
        last = self.last_sweep(sweep.detector, str(sweep.account), sweep.region)
        self._remember(sweep, now)
        new = tuple(result for result in found if entries[result.target.key].announced is None)
        return Recorded(new=new, entries=entries, closed=tuple(gone), previous=last.time if last else None)

    def find(self, detector: str, account: str, region: str, finding: str) -> Entry | None:
        """The entry of the finding of id *finding*, open or closed."""
        return next((each for each in self.entries(detector, account, region) if each.id == finding), None)

    def entries(self, detector: str, account: str | None, region: str) -> list[Entry]:
        """Everything that is remembered of a detector's findings in an account and region."""
        return [_entry(item) for item in self._table.query(partition(FINDING, detector, account, region))]

    def announced(self, aws: Aws, sweep: Sweep, results: Sequence[Result], now: datetime) -> None:
        """Remember that Slack took a message with *results*."""
        where = partition(FINDING, sweep.detector, sweep.account, sweep.region)
        marks = {"announced": stamp(now)}
        aws.map(lambda key: self._table.change(where, key, at_first=marks), [r.target.key for r in results])

    def _seer(self, sweep: Sweep, before: Mapping[str, Entry], now: datetime) -> Callable[[Result], Entry]:
        where = partition(FINDING, sweep.detector, sweep.account, sweep.region)

        def see(result: Result) -> Entry:
            known = before.get(result.target.key)
            first = {"first_seen": stamp(now)}
            again = known is not None and known.closed is not None
            seen = {
                "key": result.target.key,
                "detector": sweep.detector,
                "account": sweep.account,
                "region": sweep.region,
                "last_seen": stamp(now if known is None else max(now, known.last_seen)),
                "name": result.target.name,
                "reason": result.verdict.reason,
                "owner": result.owner,
                "monthly_usd": kept_small(result.monthly_usd),
                "accrued_usd": kept_small(result.accrued_usd),
            }
            item = self._table.change(
                where,
                result.target.key,
                set_to=seen | (first if again else {}),
                at_first={} if again else first,
                remove=CLOSING,
            )
            return _entry(item)

        return see

    def _close(self, sweep: Sweep, entry: Entry, why: str, now: datetime) -> None:
        """It is no longer found: if it comes back, it is announced again."""
        self._close_at(partition(FINDING, sweep.detector, sweep.account, sweep.region), entry, why, now)

    def _close_at(self, where: str, entry: Entry, why: str, now: datetime) -> None:
        self._table.change(
            where,
            entry.key,
            set_to={
                "closed": stamp(now),
                "close_reason": why,
                EXPIRES: int((now + KEEP_CLOSED).timestamp()),
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
        channel: str = "",
        message: str = "",
        said: str = "",
    ) -> None:
        """Remember that Slack took the warning of *entry*; the first one stands."""
        self._change(
            entry,
            set_to={"said": said},
            remove=(VOIDED,),
            at_first={
                "announced": stamp(now),
                "warned": stamp(now),
                "due": stamp(due),
                "channel": channel,
                "message": message,
            },
        )

    def hurry(self, entry: Entry, *, by: str, now: datetime) -> None:
        """Somebody pressed *Do it now*: it is due. Raises ConditionFailedError if the warning is void."""
        self._change(entry, set_to={"due": stamp(now), "hurried": by}, only_if="#warned = :warned")

    def approve(self, entry: Entry, *, by: str) -> None:
        """Somebody looked, and said yes to it among many. Raises ConditionFailedError like `hurry`."""
        self._change(entry, set_to={"approved": by}, only_if="#warned = :warned")

    def unwarn(self, entry: Entry) -> None:
        """Its warning is void, because it is only reported now: it would have to be warned about again."""
        where = partition(FINDING, entry.detector, entry.account, entry.region)
        self._table.change(where, entry.key, set_to={VOIDED: True}, remove=WARNING)

    def refuse(self, entry: Entry, why: str, now: datetime) -> None:
        """It cannot be prepared: its warning is void, and there is no other before that changes."""
        self._change(entry, set_to={VOIDED: True, "refused": why, "refused_at": stamp(now)}, remove=WARNING)

    def permit(self, entry: Entry) -> None:
        """It can be prepared again: it is warned about like anything new."""
        self._change(entry, remove=(*REFUSED, "memo"))

    def memorise(self, entry: Entry, memo: Mapping[str, Any]) -> None:
        """Keep how far preparing came."""
        self._change(entry, set_to={"memo": json.dumps(memo)})

    def close(self, entry: Entry, why: str, now: datetime) -> None:
        """It is over: cleaned up, or no longer waste when looked at again. Its warning is void."""
        self._close_at(partition(FINDING, entry.detector, entry.account, entry.region), entry, why, now)

    def _change(
        self, entry: Entry, *, only_if: str = "", remove: Sequence[str] = (), **changes: Mapping[str, Any]
    ) -> None:
        expected = {"warned": stamp(entry.warned)} if only_if and entry.warned else {}
        where = partition(FINDING, entry.detector, entry.account, entry.region)
        self._table.change(where, entry.key, only_if=only_if, remove=remove, **changes, **expected)  # type: ignore[arg-type]

    # --- sweeps -------------------------------------------------------------------------------

    def left(self, sweep: Sweep, now: datetime) -> None:
        """Remember *sweep* in numbers without what was cleaned up since: a digest would call that waste."""
        results = tuple(result for result in sweep.results if result.outcome is not Outcome.ACTED)
        self._remember(replace(sweep, results=results), now, looked_at=sweep.looked_at)

    def _remember(self, sweep: Sweep, now: datetime, *, looked_at: int | None = None) -> None:
        totals = Totals.of(sweep.results)
        said = {
            "detector": sweep.detector,
            "account": sweep.account,
            "region": sweep.region,
            "time": stamp(now),
            "looked_at": sweep.looked_at if looked_at is None else looked_at,
            "found": sweep.found,
            "kept": sweep.kept,
            "unknown": sweep.unknown,
            "monthly_usd": totals.monthly_usd,
            "accrued_usd": totals.accrued_usd,
            "unpriced": totals.unpriced,
            "error": sweep.error,
        }
        where = partition(SWEEP, sweep.detector, sweep.account, sweep.region)
        with suppress(ConditionFailedError):  # a later sweep is remembered already
            self._table.put(
                where, LATEST, said, only_if="attribute_not_exists(pk) OR #time <= :now", now=stamp(now)
            )

    def last_sweep(self, detector: str, account: str, region: str) -> LastSweep | None:
        """The latest sweep, or None if there never was one."""
        item = self._table.get(partition(SWEEP, detector, account, region), LATEST)
        if item is None:
            return None
        return LastSweep(
            detector=detector,
            account=account,
            region=region,
            time=datetime.fromisoformat(item["time"]),
            looked_at=int(item["looked_at"]),
            found=int(item["found"]),
            kept=int(item["kept"]),
            unknown=int(item["unknown"]),
            monthly_usd=item["monthly_usd"],
            accrued_usd=item["accrued_usd"],
            unpriced=int(item["unpriced"]),
            error=item["error"],
        )

    # --- digests ------------------------------------------------------------------------------

    def last_digest(self, account: str) -> datetime | None:
        """The time of the latest digest, or None if there never was one."""
        item = self._table.get(f"{DIGEST}#{account}", LATEST)
        return moment(item["time"]) if item else None

    def digested(self, account: str, now: datetime) -> None:
        """Remember that Slack took the digest of *now*."""
        self._table.put(f"{DIGEST}#{account}", LATEST, {"time": stamp(now)})


def _entry(item: Mapping[str, Any]) -> Entry:
    return Entry(
        key=item["key"],
        detector=item["detector"],
        account=item["account"],
        region=item["region"],
        name=item["name"],
        reason=item["reason"],
        owner=item.get("owner"),
        monthly_usd=item.get("monthly_usd"),
        accrued_usd=item.get("accrued_usd"),
        first_seen=datetime.fromisoformat(item["first_seen"]),
        last_seen=datetime.fromisoformat(item["last_seen"]),
        announced=moment(item.get("announced")),
        warned=moment(item.get("warned")),
        due=moment(item.get("due")),
        channel=item.get("channel", ""),
        message=item.get("message", ""),
        approved=item.get("approved", ""),
        hurried=item.get("hurried", ""),
        voided=item.get(VOIDED, False),
        refused=item.get("refused", ""),
        refused_at=moment(item.get("refused_at")),
        said=item.get("said", ""),
        memo=json.loads(item.get("memo", "{}")),
        closed=moment(item.get("closed")),
        close_reason=item.get("close_reason", ""),
    )
