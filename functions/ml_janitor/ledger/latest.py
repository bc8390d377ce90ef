"""The latest sweep of a detector, account and region in numbers, and the latest digest, bill and advice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from boto3.dynamodb.conditions import Attr
from pydantic import TypeAdapter

from ml_janitor.core.money import Totals
from ml_janitor.core.results import Outcome, Sweep
from ml_janitor.ledger.table import IF_ABSENT, ConditionFailedError, Table, partition_key

SWEEP_KEY, DIGEST_KEY, BILL_KEY, ADVICE_KEY, _LATEST_KEY = "sweep", "digest", "bill", "advice", "latest"


@dataclass(frozen=True, slots=True, kw_only=True)
class LastSweep:
    """
    The latest sweep of a detector, account and region, in numbers.

    If the region is not *enabled* in the account, the sweep read nothing: nothing is there.
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

    @property
    def empty(self) -> bool:
        """True if the sweep read everything and found no resources."""
        return self.error is None and self.looked_at == 0

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
    took the text; if not, the next digest carries it. *picture* is the key of its picture, "" without a
    picture, and *picture_words* describe the picture.
    """

    time: datetime
    kept: str = ""
    text: str = ""
    paragraphs: tuple[str, ...] = ()
    picture: str = ""
    picture_words: str = ""
    posted: bool = False


_BILL_ADAPTER = TypeAdapter(LastBill)


@dataclass(frozen=True, slots=True, kw_only=True)
class LastAdvice:
    """
    The latest message of advice, and its place. *subjects* label its buttons; *usd* is the saving of each.

    The message named the best of *of* changes, which would save *together* dollars a month.
    """

    time: datetime
    channel: str
    message: str
    subjects: tuple[str, ...]
    usd: tuple[Decimal, ...]
    of: int
    together: Decimal


_ADVICE_ADAPTER = TypeAdapter(LastAdvice)


class LatestRecords:
    """The latest sweeps, digests, bills and advice in *table*. An earlier run never replaces a later one."""

    def __init__(self, table: Table) -> None:
        self._table = table

    # --- sweeps -------------------------------------------------------------------------------

    def left(self, sweep: Sweep, now: datetime) -> None:
        """Store *sweep* in numbers without the resources cleaned up since: a digest would call them waste."""
        results = tuple(result for result in sweep.results if result.outcome is not Outcome.ACTED)
        self.remember(replace(sweep, results=results), now, looked_at=sweep.looked_at)

    def remember(
        self, sweep: Sweep, now: datetime, *, looked_at: int | None = None, enabled: bool = True
    ) -> None:
        """Store *sweep* in numbers, unless a later sweep is stored."""
        totals = Totals.of(sweep.results)
        last = LastSweep(
            detector=sweep.detector,
            account=str(sweep.account),
            region=sweep.region,
            time=now,
            looked_at=sweep.looked_at if looked_at is None else looked_at,
            found=sweep.found,
            kept=sweep.kept,
            unknown=sweep.unknown,
            monthly_usd=totals.monthly_usd,
            accrued_usd=totals.accrued_usd,
            unpriced=totals.unpriced,
            error=sweep.error,
            enabled=enabled,
        )
        where = partition_key(SWEEP_KEY, sweep.detector, sweep.account, sweep.region)
        with suppress(ConditionFailedError):  # a later sweep is stored already
            earlier = IF_ABSENT | Attr("time").lte(now)
            self._table.put(where, _LATEST_KEY, SWEEP_ADAPTER.dump_python(last), only_if=earlier)

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

    # --- bills --------------------------------------------------------------------------------

    def bill(self, account: str) -> LastBill | None:
        """Return the latest reading of the bill, or None if there never was a bill."""
        item = self._table.get(f"{BILL_KEY}#{account}", _LATEST_KEY)
        return None if item is None else _BILL_ADAPTER.validate_python(item)

    def billed(self, account: str, bill: LastBill) -> None:
        """Store a reading of the bill."""
        self._table.put(f"{BILL_KEY}#{account}", _LATEST_KEY, _BILL_ADAPTER.dump_python(bill))

    # --- advice -------------------------------------------------------------------------------

    def advice(self, account: str) -> LastAdvice | None:
        """Return the latest message of advice, or None if there never was advice."""
        items = self._table.query(f"{ADVICE_KEY}#{account}")
        return next((_ADVICE_ADAPTER.validate_python(item) for item in items), None)

    def advised(self, account: str, advice: LastAdvice) -> None:
        """Store the message of advice that Slack took."""
        item = _ADVICE_ADAPTER.dump_python(advice)
        lists = {"subjects": list(advice.subjects), "usd": list(advice.usd)}
        self._table.put(f"{ADVICE_KEY}#{account}", _LATEST_KEY, item | lists)
