"""Leases in the ledger's table: one sweep of a detector, account and region at a time."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

from boto3.dynamodb.conditions import Attr

from ml_janitor.ledger.table import EXPIRES_ATTRIBUTE, IF_ABSENT, ConditionFailedError, Table, partition_key

LEASE_KEY = "lease"
_HAS_SWEPT = Attr("swept").exists()


class LeaseTakenError(Exception):
    """Another run sweeps the same detector, account and region right now. The text is one line."""


class SweptBeforeError(LeaseTakenError):
    """The same event, not another run, has swept there before."""


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
        that has `swept` may not. Raises LeaseTakenError, and SweptBeforeError in that case.
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
            taken = SweptBeforeError if error.item.get("holder") == holder else LeaseTakenError
            raise taken(f"{detector} is being swept in {account}, {region} by another run") from error

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
