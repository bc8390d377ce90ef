"""Leases in the ledger's table: one sweep of a detector, account and region at a time."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

from janitor.table import EXPIRES, ConditionFailedError, Table, partition, stamp

LEASE = "lease"


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

        The same *holder* takes it again: a retry goes on where the killed run held it.

        Raises LeaseTakenError.
        """
        expires = int((until + timedelta(days=1)).timestamp())
        try:
            self._table.put(
                partition(LEASE, detector, account, region),
                LEASE,
                {"holder": holder, "until": stamp(until), EXPIRES: expires},
                only_if="attribute_not_exists(pk) OR #holder = :me OR #until <= :now",
                me=holder,
                now=stamp(now),
            )
        except ConditionFailedError as error:
            raise LeaseTakenError(
                f"{detector} is being swept in {account}, {region} by another run"
            ) from error

    def release(self, detector: str, account: str, region: str, *, holder: str) -> None:
        """Give the lease back, unless it is somebody else's by now."""
        with suppress(ConditionFailedError):
            self._table.delete(
                partition(LEASE, detector, account, region), LEASE, only_if="holder = :me", me=holder
            )
