"""Limits on sweeps: one at a time of a detector, account and region, and few actions a night. Law 6."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from boto3.dynamodb.conditions import Attr

from ml_janitor.core.results import Cause, CauseCode
from ml_janitor.ledger.actions import UnverifiedError
from ml_janitor.ledger.signatures import Signatures, SignedKind
from ml_janitor.ledger.table import (
    EXPIRES_ATTRIBUTE,
    IF_ABSENT,
    ConditionFailedError,
    Table,
    format_stamp,
    partition_key,
)

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws
    from ml_janitor.engine.run import Failures

# --- leases ---------------------------------------------------------------------------------------

LEASE_KEY = "lease"
_HAS_SWEPT = Attr("swept").exists()


class LeaseTakenError(Exception):
    """
    Another run sweeps the same detector, account and region right now, or undoes the same action; or the same
    event has *swept* there.

    The text is one line.
    """

    def __init__(self, why: str, *, swept: bool = False) -> None:
        super().__init__(why)
        self.swept = swept


class Leases:
    """
    The leases in *table*.

    A lock of Lambda's own (reserved concurrency of 1) cannot be deployed in an
    account with AWS's starting quota of 10.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def take(
        self, detector: str, account: str, region: str, *, holder: str, now: datetime, until: datetime
    ) -> None:
        """
        Take the right to sweep, until *until* or `release`; *now* is the real time, not the event's.

        The same *holder* may take the lease again: a retry goes on where the killed run held it. A holder
        that has `swept` may not. Raises LeaseTakenError, which then says so.
        """
        expires = int((until + timedelta(days=1)).timestamp())
        mine = Attr("holder").eq(holder)
        try:
            self._table.put(
                partition_key(LEASE_KEY, detector, account, region),
                LEASE_KEY,
                {"holder": holder, "until": until, EXPIRES_ATTRIBUTE: expires},
                only_if=IF_ABSENT | (mine & ~_HAS_SWEPT) | (~mine & Attr("until").lte(now)),
                signed=True,
            )
        except ConditionFailedError as error:
            why = f"{detector} is being swept in {account}, {region} by another run"
            raise LeaseTakenError(why, swept=error.item.get("holder") == holder) from error

    def take_undo(
        self,
        where: tuple[str, str, str],
        finding: str,
        *,
        holder: str,
        by: str,
        now: datetime,
        until: datetime,
    ) -> None:
        """
        Take the right to undo the action on *finding* in *where*, which is a detector, account and region.

        Undos of several findings go on side by side; `check_no_sweep` says whether a sweep is at work there.
        *by* is the person who asked. Raises LeaseTakenError, which names the person of the other undo.
        """
        expires = int((until + timedelta(days=1)).timestamp())
        item = {"holder": holder, "by": by, "until": until, EXPIRES_ATTRIBUTE: expires}
        free = IF_ABSENT | Attr("holder").eq(holder) | Attr("until").lte(now)
        try:
            self._table.put(
                partition_key(LEASE_KEY, *where), _undo_item(finding), item, only_if=free, signed=True
            )
        except ConditionFailedError as error:
            other = error.item.get("by") or "somebody else"
            why = f"another undo of finding {finding} is under way, for {other}; try again in some minutes"
            raise LeaseTakenError(why) from error

    def release_undo(self, where: tuple[str, str, str], finding: str, *, holder: str) -> None:
        """Release the right to undo, unless another holder has it by now."""
        with suppress(ConditionFailedError):
            self._table.delete(
                partition_key(LEASE_KEY, *where), _undo_item(finding), only_if=Attr("holder").eq(holder)
            )

    def check_no_sweep(self, where: tuple[str, str, str], now: datetime) -> None:
        """Raise LeaseTakenError if a sweep is at work in *where*: it may finish a half-done action."""
        detector, account, region = where
        item = self._table.get(partition_key(LEASE_KEY, *where), LEASE_KEY)
        if item is not None and "swept" not in item and item["until"] > format_stamp(now):
            raise LeaseTakenError(
                f"{detector} is being swept in {account}, {region} by another run; try again in some minutes"
            )

    def swept(self, detector: str, account: str, region: str, *, holder: str, now: datetime) -> None:
        """
        Release the lease, and remember that *holder* has swept and may not take it a second time.

        Another holder's lease overwrites that memory, which costs one more sweep at most.
        """
        expires = int((now + timedelta(days=1)).timestamp())
        with suppress(ConditionFailedError):
            self._table.put(
                partition_key(LEASE_KEY, detector, account, region),
                LEASE_KEY,
                {"holder": holder, "until": now, "swept": True, EXPIRES_ATTRIBUTE: expires},
                only_if=Attr("holder").eq(holder),
            )

    def release(self, detector: str, account: str, region: str, *, holder: str) -> None:
        """Release the lease, unless another holder has it by now."""
        with suppress(ConditionFailedError):
            self._table.delete(
                partition_key(LEASE_KEY, detector, account, region),
                LEASE_KEY,
                only_if=Attr("holder").eq(holder) & Attr("swept").not_exists(),
            )


def _undo_item(finding: str) -> str:
    """Return the sort key of the lease of the undo of *finding*."""
    return f"undo#{finding}"


# --- actions in a sweep and in a night ------------------------------------------------------------

LIMIT_KEY = "limit"
_TAKEN = Attr("taken")
_LIMIT_RETENTION = timedelta(days=7)
_NOON = timedelta(hours=12)


class ActionLimits:
    """
    The counters in *table*: the actions that have a place in a sweep, and in a night.

    One conditional write takes a place, and the same action takes only one: a retried run takes no second
    place, and two concurrent runs cannot both take the last place. *signatures* sign each place.
    """

    def __init__(self, table: Table, time_zone: str, signatures: Signatures) -> None:
        self._table = table
        self._zone = ZoneInfo(time_zone)
        self._signatures = signatures

    def in_sweep(
        self, sweep: str, action: str, *, at_most: int, now: datetime, begun: Collection[str] = ()
    ) -> bool:
        """
        Return whether *action* has one of *at_most* places in the sweep that *sweep* names.

        The sweep has given places to the actions *begun*. Raises UnverifiedError, and KMS's errors.
        """
        return self._take(f"sweep-places#{sweep}", action, at_most=at_most, now=now, begun=begun)

    def in_night(
        self, counter: str, action: str, *, at_most: int, now: datetime, begun: Collection[str] = ()
    ) -> bool:
        """
        Return whether *action* has one of *at_most* places in a night, which *counter* counts.

        The actions *begun* have places in it. Raises UnverifiedError, and KMS's errors.
        """
        return self._take(counter, action, at_most=at_most, now=now, begun=begun)

    def night_counter(self, whose: str, now: datetime) -> str:
        """
        Return the name of the counter of the night of *now*, over all sweeps of *whose* night.

        *whose* is an account, or stands for all accounts of an organization together.
        """
        return f"night-places#{whose}#{self.night(now)}"

    def night(self, now: datetime) -> str:
        """Return the night of *now*, as the day on which it began: from noon to noon, local time."""
        return (now.astimezone(self._zone).replace(tzinfo=None) - _NOON).date().isoformat()

    def _take(
        self, counter: str, action: str, *, at_most: int, now: datetime, begun: Collection[str]
    ) -> bool:
        """Take a place for *action*, and check the marks that the counter then has."""
        if at_most <= 0:
            return False
        mark = self._mark(counter, _digest(action))
        try:
            item = self._table.change(
                LIMIT_KEY,
                counter,
                set_to={EXPIRES_ATTRIBUTE: int((now + _LIMIT_RETENTION).timestamp()), "last": now},
                add={"taken": {mark}},
                only_if=_TAKEN.not_exists() | _TAKEN.size().lt(at_most) | _TAKEN.contains(mark),
                signed=True,
            )
        except ConditionFailedError as full:
            item = dict(full.item)
        marks = {str(taken) for taken in item["taken"]}
        counted = {self._counted(counter, taken) for taken in marks}
        if missing := len({_digest(before) for before in begun} - counted):
            raise _unverified(f"{counter} lacks {missing} of the actions that have begun")
        return mark in marks

    def _mark(self, counter: str, action: str) -> str:
        """Return the mark of the action with the digest *action* in *counter*."""
        return f"{action} {self._signatures.sign(SignedKind.PLACE, _place_content(counter, action))}"

    def _counted(self, counter: str, mark: str) -> str:
        """Return the digest of the action that *mark* counts. Raises UnverifiedError."""
        action, _, signature = mark.partition(" ")
        if not self._signatures.verify(SignedKind.PLACE, _place_content(counter, action), signature):
            raise _unverified(f"{counter} has a mark that the janitor did not sign")
        return action


def _unverified(why: str) -> UnverifiedError:
    return UnverifiedError(Cause(CauseCode.COUNTER_CHANGED, (why,)))


def _digest(action: str) -> str:
    """Return the name of *action* in a counter: an item holds thousands of these, whatever their length."""
    return sha256(action.encode()).hexdigest()[:32]


def _place_content(counter: str, action: str) -> dict[str, str]:
    return {"counter": counter, "action": action}


# --- regions in batches ---------------------------------------------------------------------------
#
# A run takes all regions with a free lease first, then each of the others when its lease is free.

LEASE_PAUSE = timedelta(seconds=15)
"""Time between two looks for a free region."""

_RESERVED_PART = 3
"""A third of a run's time is reserved for sweeping the regions that it waited for."""


@dataclass(frozen=True, slots=True)
class RegionBatch:
    """The *regions* to sweep now, under their leases; *later* counts the regions to come."""

    regions: list[Aws]
    later: int


@dataclass(slots=True, kw_only=True)
class RegionQueue:
    """
    The batches of one run of *detector*, whose event is *holder*, from *begun* on by the real *clock*.

    *patience* is the time that the run may take. *pause* lets a `PAUSE` go by; without
    it the run does not wait. *rest* is true if an earlier try of the event has swept
    some regions, so that this try sweeps the rest.
    """

    leases: Leases
    detector: str
    holder: str
    clock: Callable[[], datetime]
    begun: datetime
    patience: timedelta
    pause: Callable[[], None] | None
    failures: Failures
    rest: bool = False
    _taken: dict[str, LeaseTakenError] = field(default_factory=dict)

    def of(self, accounts: Sequence[Aws]) -> Generator[RegionBatch]:
        """
        Yield every batch, with its leases until the caller asks for the next;
        between two batches it holds none.

        A region that has not become free in time is noted as a failure: the retry of the
        event goes on with it, and passes over the regions swept without a failure. Raises
        LeaseTakenError if there was no batch at all.
        """
        left, pauses, swept = list(accounts), 0, False
        last = self.begun + self.patience * (_RESERVED_PART - 1) / _RESERVED_PART
        most = (last - self.begun) // LEASE_PAUSE  # a limit of its own, since the clock may stand still
        while True:
            with self._leased(left) as (free, passed):
                left = [aws for aws in left if aws not in free and aws not in passed]
                if free:
                    swept = True
                    yield from self._swept(free, left)
            if not left or self.pause is None or pauses == most or self.clock() + LEASE_PAUSE > last:
                break
            self.pause()
            pauses += 1
        for aws in left:
            if not swept and not self.rest:
                raise self._taken[aws.region]
            self.failures.note(f"{self._taken[aws.region]}, so it was not swept")

    def _swept(self, free: list[Aws], left: list[Aws]) -> Iterator[RegionBatch]:
        """Yield one batch. If it succeeded and others are left, a retry does not repeat it."""
        before = len(self.failures)
        yield RegionBatch(free, len(left))
        if left and len(self.failures) == before:
            for aws in free:
                with self.failures.survived("what was swept could not be remembered"):
                    where = (self.detector, aws.account, aws.region)
                    self.leases.swept(*where, holder=self.holder, now=self.clock())

    @contextmanager
    def _leased(self, accounts: Sequence[Aws]) -> Iterator[tuple[list[Aws], list[Aws]]]:
        """Yield the *accounts* that nobody else sweeps, and those that this event has swept before."""
        free: list[Aws] = []
        passed: list[Aws] = []

        def release(aws: Aws) -> None:
            with self.failures.survived("a lease could not be given back"):
                self.leases.release(self.detector, aws.account, aws.region, holder=self.holder)

        with ExitStack() as held:
            for aws in accounts:
                where, until = (self.detector, aws.account, aws.region), self.begun + self.patience
                try:
                    self.leases.take(*where, holder=self.holder, now=self.clock(), until=until)
                except LeaseTakenError as taken:
                    if taken.swept:
                        self.rest = True
                        passed.append(aws)
                    self._taken[aws.region] = taken
                else:
                    held.callback(release, aws)
                    free.append(aws)
            yield free, passed
