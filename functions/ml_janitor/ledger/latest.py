"""The latest sweeps in numbers, the latest digest and bill, and runs over an organization."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from boto3.dynamodb.conditions import Attr
from pydantic import TypeAdapter, ValidationError

from ml_janitor.aws.calls import ReadError
from ml_janitor.core.money import NO_USD, Totals
from ml_janitor.core.results import Outcome, Sweep
from ml_janitor.ledger.files import get_hashed, put_hashed
from ml_janitor.ledger.table import (
    EXPIRES_ATTRIBUTE,
    IF_ABSENT,
    ConditionFailedError,
    Table,
    format_stamp,
    partition_key,
)

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

SWEEP_KEY, DIGEST_KEY, BILL_KEY, _LATEST_KEY = "sweep", "digest", "bill", "latest"
_WATCH_KEY = "watch"


@dataclass(frozen=True, slots=True, kw_only=True)
class LastSweep:
    """
    The latest sweep of a detector, account and region, in numbers.

    If the region is not *enabled* in the account, the sweep read nothing: nothing is there. *settled* is true
    if the region was empty, and the ledger held nothing to go on with: no open finding, and no action.
    """

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
    enabled: bool = True
    settled: bool = False

    @property
    def nothing_left(self) -> bool:
        """True if there were neither resources nor something to go on with."""
        return self.settled or not self.enabled

    def without(self, alone: Totals, together: Totals) -> LastSweep:
        """Return the same sweep with the savings *alone* replaced by those *together* with other findings."""
        return replace(
            self,
            monthly_usd=max(self.monthly_usd - alone.monthly_usd + together.monthly_usd, Decimal(0)),
            accrued_usd=max(self.accrued_usd - alone.accrued_usd + together.accrued_usd, Decimal(0)),
        )


SWEEP_ADAPTER = TypeAdapter(LastSweep)


@dataclass(frozen=True, slots=True, kw_only=True)
class LastBill:
    """
    The latest reading of the bill, and its text in Slack: a line *text*, and *paragraphs*.

    *kept* is the key, in the report bucket, of the last bill that could be read. *posted* is true if Slack
    took the text; if not, the next digest carries it. *spent_usd* are the dollars of so many *days*, 0 of 0
    if unknown. *picture* is the key of its picture, "" without a
    picture, and *picture_words* describe the picture.
    """

    time: datetime
    kept: str = ""
    text: str = ""
    paragraphs: tuple[str, ...] = ()
    picture: str = ""
    picture_words: str = ""
    posted: bool = False
    spent_usd: Decimal = NO_USD
    days: int = 0


_BILL_ADAPTER = TypeAdapter(LastBill)


class LatestRecords:
    """The latest sweeps, digests and bills in *table*. An earlier run never replaces a later one."""

    def __init__(self, table: Table) -> None:
        self._table = table

    # --- sweeps -------------------------------------------------------------------------------

    def left(self, sweep: Sweep, now: datetime) -> None:
        """Store *sweep* in numbers without the resources cleaned up since: a digest would call them waste."""
        results = tuple(result for result in sweep.results if result.outcome is not Outcome.ACTED)
        self._store([replace(_numbers(replace(sweep, results=results), now), looked_at=sweep.looked_at)], now)

    def remember(self, sweep: Sweep, now: datetime, **how: bool) -> None:
        """Store *sweep* in numbers, unless a later sweep is stored; see `remember_all`."""
        self.remember_all([sweep], now, **how)

    def remember_all(
        self, sweeps: Iterable[Sweep], now: datetime, *, enabled: bool = True, settled: bool = False
    ) -> None:
        """Store *sweeps* in numbers, except where a later sweep is stored."""
        self._store(
            [replace(_numbers(sweep, now), enabled=enabled, settled=settled) for sweep in sweeps], now
        )

    def _store(self, lasts: Iterable[LastSweep], now: datetime) -> None:
        items = [
            (
                partition_key(SWEEP_KEY, last.detector, last.account, last.region),
                _LATEST_KEY,
                SWEEP_ADAPTER.dump_python(last),
            )
            for last in lasts
        ]
        self._table.put_all(items, only_if=IF_ABSENT | Attr("time").lte(now))

    def sweep(self, detector: str, account: str, region: str) -> LastSweep | None:
        """Return the latest sweep, or None if there never was a sweep."""
        item = self._table.get(partition_key(SWEEP_KEY, detector, account, region), _LATEST_KEY)
        where = {"detector": detector, "account": account, "region": region}
        return None if item is None else SWEEP_ADAPTER.validate_python({**item, **where})

    def sweeps(
        self, detector: str, pairs: Sequence[tuple[str, str]], *, sleep: Callable[[float], None]
    ) -> dict[tuple[str, str], LastSweep]:
        """
        Return the latest sweeps of *pairs* of account and region, by pair, in
        batches; see `Table.get_many`.
        """
        keys = {(partition_key(SWEEP_KEY, detector, *pair), _LATEST_KEY): pair for pair in pairs}
        items = self._table.get_many(list(keys), sleep=sleep)
        where = {"detector": detector}
        return {
            (pair := keys[key]): SWEEP_ADAPTER.validate_python(
                {**item, **where, "account": pair[0], "region": pair[1]}
            )
            for key, item in items.items()
        }

    # --- digests ------------------------------------------------------------------------------

    def digest(self, account: str) -> datetime | None:
        """Return the time of the latest digest, or None if there never was a digest."""
        item = self._table.get(f"{DIGEST_KEY}#{account}", _LATEST_KEY)
        return datetime.fromisoformat(item["time"]) if item else None

    def digested(self, account: str, now: datetime) -> None:
        """Remember that Slack took the digest of *now*."""
        self._table.put(f"{DIGEST_KEY}#{account}", _LATEST_KEY, {"time": now})

    def watched_since(self, account: str, names: Iterable[str], now: datetime) -> Mapping[str, datetime]:
        """Return since when each of *names* was in every look; *now* for those that the last one lacked."""
        where = f"{DIGEST_KEY}#{account}"
        item = self._table.get(where, _WATCH_KEY) or {"time": now}  # which earlier versions read
        before = item.get("since", {})
        since = {name: before.get(name, format_stamp(now)) for name in names}
        if since != before:
            self._table.put(where, _WATCH_KEY, {**item, "since": since})
        return {name: datetime.fromisoformat(stamp) for name, stamp in since.items()}

    # --- bills --------------------------------------------------------------------------------

    def bill(self, account: str) -> LastBill | None:
        """Return the latest reading of the bill, or None if there never was a bill."""
        item = self._table.get(f"{BILL_KEY}#{account}", _LATEST_KEY)
        return None if item is None else _BILL_ADAPTER.validate_python(item)

    def billed(self, account: str, bill: LastBill) -> None:
        """Store a reading of the bill."""
        self._table.put(f"{BILL_KEY}#{account}", _LATEST_KEY, _BILL_ADAPTER.dump_python(bill))


def _numbers(sweep: Sweep, now: datetime) -> LastSweep:
    """Return *sweep* of *now* in numbers."""
    totals = Totals.of(sweep.results)
    return LastSweep(
        detector=sweep.detector,
        account=str(sweep.account),
        region=sweep.region,
        time=now,
        looked_at=sweep.looked_at,
        found=sweep.found,
        kept=sweep.kept,
        unknown=sweep.unknown,
        monthly_usd=totals.monthly_usd,
        accrued_usd=totals.accrued_usd,
        unpriced=totals.unpriced,
        error=sweep.error,
    )


# --- runs over an organization --------------------------------------------------------------------
#
# The bucket holds the accounts of each run.

ORGANIZATION_KEY = "organization"
"""The partition of the table, and the folder of the bucket."""

_LISTS_RETENTION = timedelta(days=90)
"""Time for which the ledger names the lists of a run: as long as the bucket keeps them."""


@dataclass(frozen=True, slots=True)
class RunAccount:
    """
    One account of a run, and its regions to read, whether enabled there or not.

    *name* is the account's name in Organizations, where the run asked for it.
    """

    account: str
    regions: tuple[str, ...]
    name: str = ""


RUN_ACCOUNTS_ADAPTER = TypeAdapter(tuple[RunAccount, ...])


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRun:
    """
    The latest run of a detector over the organization, of the schedule's *time*.

    Its list stands under *key* in the report bucket and has *accounts* accounts. The run is at work until
    *ended*; *unread* counts the pairs of account and region without a result by then. *regions* are all
    regions of its accounts, empty ones too.
    """

    detector: str
    time: datetime
    key: str
    accounts: int
    begun: datetime
    ended: datetime | None = None
    unread: int = 0
    regions: tuple[str, ...] = ()


_RUN_ADAPTER = TypeAdapter(LastRun)


class LatestRuns:
    """The latest run of each detector, in *table*: an earlier run never replaces a later one."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def last(self, detector: str) -> LastRun | None:
        """Return the latest run of *detector*, or None if there never was a run."""
        item = self._table.get(ORGANIZATION_KEY, detector)
        return None if item is None else _RUN_ADAPTER.validate_python({**item, "detector": detector})

    def begun(self, run: LastRun) -> None:
        """Remember that *run* has begun, unless a later run has."""
        item = {key: value for key, value in _RUN_ADAPTER.dump_python(run).items() if value is not None}
        with suppress(ConditionFailedError):
            self._table.put(
                ORGANIZATION_KEY,
                run.detector,
                item,
                only_if=IF_ABSENT | Attr("time").lte(format_stamp(run.time)),
            )

    def ended(self, detector: str, time: datetime, *, at: datetime, unread: int) -> None:
        """Remember that the run of *time* has ended, unless a later run has begun."""
        with suppress(ConditionFailedError):
            self._table.change(
                ORGANIZATION_KEY,
                detector,
                set_to={"ended": at, "unread": unread},
                only_if=Attr("time").eq(format_stamp(time)),
            )


class RunLists:
    """
    The accounts of each run, as JSON in the bucket *bucket*, through *client*; *table* names the files.

    A run has two lists: the accounts to read, which Step Functions reads, and all accounts, of which some
    have nothing to read that day. Reading a list raises ReadError: no other run's list takes its place, and
    no list that the run did not write.
    """

    def __init__(self, client: S3Client, bucket: str, table: Table) -> None:
        self._client = client
        self._bucket = bucket
        self._table = table

    def keep(
        self,
        detector: str,
        time: datetime,
        *,
        listed: Sequence[RunAccount],
        accounts: Sequence[RunAccount],
        folder: str = "",
        others: Sequence[str] = (),
    ) -> str:
        """
        Put the lists of the run of *time*, unless it has lists; return the key of the *listed* accounts.

        It is a run of *detector* and *others*, of which the lists are in *folder*. The first of two
        attempts at the same run has the lists that count.
        """
        start = f"{ORGANIZATION_KEY}/{folder or detector}/{time:%Y-%m-%dT%H-%M-%SZ}"
        keys = {
            name: put_hashed(
                self._client, self._bucket, f"{start}{ending}", RUN_ACCOUNTS_ADAPTER.dump_json(tuple(items))
            )
            for name, ending, items in (("accounts", ".accounts", accounts), ("listed", "", listed))
        }
        expires = {EXPIRES_ATTRIBUTE: int((time + _LISTS_RETENTION).timestamp())}
        for each in (detector, *others):
            item = {name: keys[name] for name in ("accounts", "listed")} | expires
            try:
                self._table.put(ORGANIZATION_KEY, _run_item(each, time), item, only_if=IF_ABSENT)
            except ConditionFailedError:
                keys = self._keys(each, time)
        return keys["listed"]

    def listed(self, detector: str, time: datetime) -> tuple[RunAccount, ...]:
        """Return the accounts that the run of *time* reads."""
        return self._read(detector, time, "listed")

    def accounts(self, detector: str, time: datetime) -> tuple[RunAccount, ...]:
        """Return all accounts and regions of the run of *time*."""
        return self._read(detector, time, "accounts")

    def _read(self, detector: str, time: datetime, name: str) -> tuple[RunAccount, ...]:
        key = self._keys(detector, time)[name]
        try:
            return RUN_ACCOUNTS_ADAPTER.validate_json(get_hashed(self._client, self._bucket, key))
        except ValidationError as error:  # written by another version
            raise ReadError(f"s3://{self._bucket}/{key} is not a list of accounts") from error

    def _keys(self, detector: str, time: datetime) -> dict[str, str]:
        """Return the keys of the lists of the run of *time*, by the list's name. Raises ReadError."""
        item = self._table.get(ORGANIZATION_KEY, _run_item(detector, time))
        if item is None:
            raise ReadError(f"the ledger has no list of the run of {detector} of {format_stamp(time)}")
        return item


def _run_item(detector: str, time: datetime) -> str:
    """Return the sort key of the item that names the lists of the run of *time*."""
    return f"{detector}#{format_stamp(time)}"
