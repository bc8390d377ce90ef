"""Leases in the ledger's table: one sweep of a detector, account and region at a time."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

from ml_janitor.ledger.table import EXPIRES, ConditionFailedError, Table, partition, stamp

LEASE = "lease"
FREE = (
    "attribute_not_exists(pk) OR (#holder = :me AND attribute_not_exists(swept)) "
    "OR (#holder <> :me AND #until <= :now)"
)
"""A lease that may be taken: nobody's, one's own, or one whose time is over. Not where one has swept."""


class LeaseTakenError(Exception):
    """Another run sweeps the same detector, account and region right now. One line."""


class Leases:
    """
    The leases in *table*.

    A lock of Lambda's own (reserved concurrency of 1) cannot be deployed in an account with AWS's
    starting quota of 10.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def take(
        self, detector: str, account: str, region: str, *, holder: str, now: datetime, until: datetime
    ) -> None:
        """
        Take the right to sweep, until *until* or `release`; *now* is the real time, not the event's.

        The same *holder* takes it again: a retry goes on where the killed run held it. Not where it has
        `swept` before.

        Raises LeaseTakenError.
        """
        expires = int((until + timedelta(days=1)).timestamp())
        try:
            self._table.put(
                partition(LEASE, detector, account, region),
                LEASE,
                {"holder": holder, "until": stamp(until), EXPIRES: expires},
                only_if=FREE,
                me=holder,
                now=stamp(now),
            )
        except ConditionFailedError as error:
            raise LeaseTakenError(
                f"{detector} is being swept in {account}, {region} by another run"
            ) from error

    def swept(self, detector: str, account: str, region: str, *, holder: str, now: datetime) -> None:
        """
        Give the lease back, and remember that *holder* has swept: it does not take it a second time.

        Whoever else takes it makes that forgotten, which costs a sweep at most.
        """
        expires = int((now + timedelta(days=1)).timestamp())
        with suppress(ConditionFailedError):
            self._table.put(
                partition(LEASE, detector, account, region),
                LEASE,
                {"holder": holder, "until": stamp(now), "swept": True, EXPIRES: expires},
                only_if="#holder = :me",
                me=holder,
            )

    def was_swept(self, detector: str, account: str, region: str, *, holder: str) -> bool:
        """Whether *holder* has swept there before."""
        items = list(self._table.query(partition(LEASE, detector, account, region)))
        return any(item["holder"] == holder and item.get("swept", False) for item in items)

    def release(self, detector: str, account: str, region: str, *, holder: str) -> None:
        """Give the lease back, unless it is somebody else's by now."""
        with suppress(ConditionFailedError):
            self._table.delete(
                partition(LEASE, detector, account, region),
                LEASE,
                only_if="#holder = :me AND attribute_not_exists(swept)",
                me=holder,
            )
