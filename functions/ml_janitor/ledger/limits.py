"""The number of actions in a sweep and in a night, counted in the ledger's table. Law 6."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from boto3.dynamodb.conditions import Attr

from ml_janitor.core.cause import Cause, CauseCode, make_cause
from ml_janitor.ledger.table import EXPIRES_ATTRIBUTE, ConditionFailedError, Table, format_stamp

if TYPE_CHECKING:
    from ml_janitor.core.results import Sweep

LIMIT_KEY = "limit"
_SHARED_NIGHT = "organization"
"""Owner of the night where all accounts of an organization share one."""
_TAKEN = Attr("taken")
_LIMIT_RETENTION = timedelta(days=7)
_NOON = timedelta(hours=12)


class LimitReachedError(Exception):
    """A limit leaves no place for another action."""

    def __init__(self, cause: Cause) -> None:
        self.cause = cause


class ActionLimits:
    """
    The counters in *table*: the actions that have a place in a sweep, and in a night.

    One conditional write takes a place, and the same action takes only one: a retried run takes no second
    place, and two concurrent runs cannot both take the last place.
    """

    def __init__(self, table: Table, time_zone: str) -> None:
        self._table = table
        self._zone = ZoneInfo(time_zone)

    def in_sweep(self, sweep: str, action: str, *, at_most: int, now: datetime) -> bool:
        """Return whether *action* has one of *at_most* places in the sweep that *sweep* names."""
        return self._take(f"sweep#{sweep}", action, at_most=at_most, now=now)

    def in_night(self, whose: str, action: str, *, at_most: int, now: datetime) -> bool:
        """
        Return whether *action* has one of *at_most* places in the night of *now*,
        over all sweeps of *whose* night.

        *whose* is an account, or stands for all accounts of an organization together.
        """
        return self._take(f"night#{whose}#{self.night(now)}", action, at_most=at_most, now=now)

    def night(self, now: datetime) -> str:
        """Return the night of *now*, as the day on which it began: from noon to noon, local time."""
        return (now.astimezone(self._zone).replace(tzinfo=None) - _NOON).date().isoformat()

    def _take(self, counter: str, action: str, *, at_most: int, now: datetime) -> bool:
        """Take a place for *action*. The counter stores digests: with 16 digits an item holds hundreds."""
        mark = sha256(action.encode()).hexdigest()[:16]
        if at_most <= 0:
            return False
        try:
            self._table.change(
                LIMIT_KEY,
                counter,
                set_to={EXPIRES_ATTRIBUTE: int((now + _LIMIT_RETENTION).timestamp()), "last": now},
                add={"taken": {mark}},
                only_if=_TAKEN.not_exists() | _TAKEN.size().lt(at_most) | _TAKEN.contains(mark),
            )
        except ConditionFailedError:
            return False
        return True


class ActionPlaces:
    """
    The places that one sweep may still give out: *per_sweep*, and *per_night* over all sweeps.

    A night belongs to the sweep's account, or to all accounts *together*. Once no place is left, `check`
    refuses everything. *held* counts the actions that each limit held back.
    """

    def __init__(
        self,
        limits: ActionLimits,
        sweep: Sweep,
        now: datetime,
        *,
        per_sweep: int,
        per_night: int,
        together: bool,
    ) -> None:
        self._limits = limits
        self._name = f"{sweep.detector}#{sweep.account}#{sweep.region}#{format_stamp(now)}"
        self._detector, self._whose = sweep.detector, _SHARED_NIGHT if together else str(sweep.account)
        self._per_sweep, self._per_night = per_sweep, per_night
        self._full: Cause | None = None
        self.held: Counter[Cause] = Counter()

    def check(self) -> None:
        """Raise FullError if there is no place left."""
        if self._full is not None:
            raise self._none_left(self._full)

    def take(self, action: str, now: datetime) -> None:
        """
        Take a place for *action*, which its resource names: two detectors' actions on
        one resource take two places of a night.

        Raises FullError.
        """
        if not self._limits.in_sweep(self._name, action, at_most=self._per_sweep, now=now):
            raise self._none_left(make_cause(CauseCode.MAX_ACTIONS, self._per_sweep))
        of_detector = f"{self._detector} {action}"
        if not self._limits.in_night(self._whose, of_detector, at_most=self._per_night, now=now):
            raise self._none_left(make_cause(CauseCode.MAX_ACTIONS_PER_NIGHT, self._per_night))

    def close(self, why: Cause) -> None:
        """Give out no more places, because of *why*."""
        self._full = why

    def _none_left(self, limit: Cause) -> LimitReachedError:
        self._full = limit
        self.held[limit] += 1
        return LimitReachedError(limit)
