"""The items of the ledger that each function reads and writes: its role allows these, and no others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ml_janitor.core.model import Change
from ml_janitor.engine.detector import Condition, Grant, allow
from ml_janitor.ledger.actions import ACTION_KEY
from ml_janitor.ledger.files import DESCRIPTIONS_KEY, FILE_KEY
from ml_janitor.ledger.findings import FINDING_KEY
from ml_janitor.ledger.idempotency import IDEMPOTENCY_KEY
from ml_janitor.ledger.latest import BILL_KEY, DIGEST_KEY, ORGANIZATION_KEY, SWEEP_KEY
from ml_janitor.ledger.limits import LEASE_KEY, LIMIT_KEY
from ml_janitor.ledger.requests import HOLD_KEY, REQUEST_KEY

if TYPE_CHECKING:
    from ml_janitor.engine.detector import Detector

_GET, _QUERY, _PUT, _UPDATE, _DELETE = "GetItem", "Query", "PutItem", "UpdateItem", "DeleteItem"
_GET_MANY = "BatchGetItem"
TABLE_READS = frozenset({_GET, _GET_MANY, _QUERY})

TABLE_WRITES = (
    *("dynamodb:BatchWriteItem", "dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:UpdateItem"),
    *("dynamodb:PartiQLDelete", "dynamodb:PartiQLInsert", "dynamodb:PartiQLUpdate"),
)
"""Actions that write items: a transaction needs the permissions of its parts."""

TABLE_MANAGEMENT = (
    *("dynamodb:DeleteResourcePolicy", "dynamodb:DeleteTable", "dynamodb:PutResourcePolicy"),
    "dynamodb:UpdateTimeToLive",
)
"""
Actions that change who may write items, or end them. Who deletes the table can make another of its name,
which has no policy.
"""

type TableUses = Mapping[str, tuple[str, ...]]
"""Operations by the partition keys that they are for, in which * stands for anything."""


def sweep_uses(detector: Detector[Any], *, armed: bool, organization: bool = False) -> TableUses:
    """
    Return the uses of *detector*'s function: its own items, the holds, and the counters if it is *armed*.

    In an *organization* it also reads the run that it is a part of.
    """
    name = detector.name
    uses = {
        f"{FINDING_KEY}#{name}#*": (_QUERY, _UPDATE),
        f"{SWEEP_KEY}#{name}#*": (_GET_MANY, _PUT),
        f"{LEASE_KEY}#{name}#*": (_PUT, _DELETE),
        f"{HOLD_KEY}#*": (_QUERY,),
        **({ORGANIZATION_KEY: (_GET,)} if organization else {}),
        **idempotency_uses(name),
    }
    if detector.cleanup is not None:
        uses[f"{ACTION_KEY}#{name}#*"] = (_QUERY, _UPDATE, *((_PUT,) if armed else ()))
        uses[f"{REQUEST_KEY}#{name}#*"] = (_QUERY,)
    if armed:
        uses[LIMIT_KEY] = (_UPDATE,)
    if detector.asks_for is Change.COMMIT:  # commitments leave out the findings of all others
        uses |= {f"{FINDING_KEY}#{name}#*": (_UPDATE,), f"{FINDING_KEY}#*": (_QUERY,)}
    if detector.keeps_files:
        uses[f"{FILE_KEY}#{name}#*"] = (_GET, _PUT)
    if detector.keeps_descriptions:
        uses[f"{DESCRIPTIONS_KEY}#*"] = (_GET, _PUT)
    if detector.spares_undos:
        uses[f"{ACTION_KEY}#*"] = (_QUERY,)
    return uses


def accounts_uses() -> TableUses:
    """
    Return the uses of the function that lists the accounts of an
    organization's runs and counts missing results.
    """
    return {f"{SWEEP_KEY}#*": (_GET_MANY, _PUT), ORGANIZATION_KEY: (_GET, _PUT, _UPDATE)}


def digest_uses(*, bill: bool, organization: bool = False) -> TableUses:
    """
    Return the uses of the digest, which sums up all sweeps and ends old keeps, and of the *bill* if enabled.

    In an *organization* it reads the sweeps in batches, and the latest runs say which there are.
    """
    read = {f"{kind}#*": (_QUERY,) for kind in (FINDING_KEY, ACTION_KEY)}
    return {
        **read,
        f"{HOLD_KEY}#*": (_QUERY, _UPDATE),
        f"{SWEEP_KEY}#*": (_GET_MANY if organization else _GET,),
        f"{DIGEST_KEY}#*": (_GET, _PUT),
        **({f"{BILL_KEY}#*": (_GET, _PUT)} if bill else {}),
        **({ORGANIZATION_KEY: (_GET,)} if organization else {}),
        **idempotency_uses("digest"),
    }


def bill_uses(*, organization: bool = False) -> TableUses:
    """
    Return the uses of the bill, which shows the findings and actions on its
    lines, and an *organization*'s accounts.
    """
    read = {f"{kind}#*": (_QUERY,) for kind in (FINDING_KEY, ACTION_KEY)}
    runs = {ORGANIZATION_KEY: (_GET,)} if organization else {}
    return {
        **read,
        f"{BILL_KEY}#*": (_GET, _PUT),
        f"{DIGEST_KEY}#*": (_GET,),
        **runs,
        **idempotency_uses("bill"),
    }


def undo_uses() -> TableUses:
    """Return the uses of the undo function, which serves the actions of all detectors."""
    return {
        f"{ACTION_KEY}#*": (_QUERY, _UPDATE),
        f"{FINDING_KEY}#*": (_QUERY,),
        f"{LEASE_KEY}#*": (_GET, _PUT, _DELETE),
        f"{HOLD_KEY}#*": (_PUT,),
        **idempotency_uses("undo"),
    }


def press_uses() -> TableUses:
    """Return the uses of Slack's worker: it holds, and asks. It only reads findings and actions."""
    read = {f"{kind}#*": (_QUERY,) for kind in (FINDING_KEY, ACTION_KEY)}
    return {**read, f"{HOLD_KEY}#*": (_QUERY, _PUT), f"{REQUEST_KEY}#*": (_PUT,), **idempotency_uses("press")}


def idempotency_uses(name: str) -> TableUses:
    """Return the permissions that the function *name* needs for its idempotency records."""
    return {f"{IDEMPOTENCY_KEY}#{name}": (_PUT, _UPDATE, _DELETE)}


def table_grants(uses: TableUses, table: str) -> tuple[Grant, ...]:
    """
    Return *uses* as permissions on the table with that ARN.

    ForAllValues is true for a request without any key, which is a Scan: no grant allows Scan.
    """
    return tuple(
        allow(f"dynamodb:{operation}", on=table, when=(_keys(pattern),))
        for pattern, operations in uses.items()
        for operation in operations
    )


def merged_table_grants(several: Iterable[TableUses], table: str) -> tuple[Grant, ...]:
    """Return *several* uses as `table_grants`, one for each operation, so that a role has room for them."""
    keys: dict[str, dict[str, None]] = {}
    for uses in several:
        for pattern, operations in uses.items():
            for operation in operations:
                keys.setdefault(operation, {})[pattern] = None
    return tuple(
        allow(f"dynamodb:{operation}", on=table, when=(_keys(*patterns),))
        for operation, patterns in keys.items()
    )


def _keys(*patterns: str) -> Condition:
    return Condition("ForAllValues:StringLike", "dynamodb:LeadingKeys", patterns)
