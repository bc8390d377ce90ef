"""The items of the ledger that each function reads and writes: its role allows these, and no others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml_janitor.core.model import Change
from ml_janitor.engine.detector import Condition, Grant, allow
from ml_janitor.ledger.actions import ACTION
from ml_janitor.ledger.findings import FINDING
from ml_janitor.ledger.holds import HOLD
from ml_janitor.ledger.idempotency import IDEMPOTENCY
from ml_janitor.ledger.latest import ADVICE, BILL, DIGEST, SWEEP
from ml_janitor.ledger.leases import LEASE
from ml_janitor.ledger.limits import LIMIT
from ml_janitor.ledger.requests import REQUEST
from ml_janitor.ledger.runs import ORGANIZATION

if TYPE_CHECKING:
    from ml_janitor.engine.detector import Detector

GET, QUERY, PUT, UPDATE, DELETE = "GetItem", "Query", "PutItem", "UpdateItem", "DeleteItem"
GET_MANY = "BatchGetItem"
READS = frozenset({GET, GET_MANY, QUERY})

type Uses = Mapping[str, tuple[str, ...]]
"""Operations by the partition keys that they are for, in which * stands for anything."""


def of_sweep(detector: Detector[Any], *, armed: bool, organization: bool = False) -> Uses:
    """
    Return the uses of *detector*'s function: its own items, the holds, and the counters if it is *armed*.

    In an *organization* it also reads the run that it is a part of.
    """
    name = detector.name
    uses = {
        f"{FINDING}#{name}#*": (QUERY, UPDATE),
        f"{SWEEP}#{name}#*": (GET, PUT),
        f"{LEASE}#{name}#*": (PUT, DELETE),
        f"{HOLD}#*": (QUERY,),
        **({ORGANIZATION: (GET,)} if organization else {}),
        **once(name),
    }
    if detector.cleanup is not None:
        uses[f"{ACTION}#{name}#*"] = (QUERY, UPDATE, *((PUT,) if armed else ()))
        uses[f"{REQUEST}#{name}#*"] = (QUERY,)
    if armed:
        uses[LIMIT] = (UPDATE,)
    if detector.asks_for is Change.COMMIT:  # commitments leave out the findings of all others
        uses |= {f"{FINDING}#{name}#*": (UPDATE,), f"{FINDING}#*": (QUERY,)}
    if detector.spares_undos:
        uses[f"{ACTION}#*"] = (QUERY,)
    return uses


def of_accounts() -> Uses:
    """
    Return the uses of the function that lists the accounts of an
    organization's runs and counts missing results.
    """
    return {f"{SWEEP}#*": (GET_MANY, PUT), ORGANIZATION: (GET, PUT, UPDATE)}


def of_digest(*, bill: bool, advice: bool, organization: bool = False) -> Uses:
    """
    Return the uses of the digest, which sums up all sweeps, and of the *bill*
    and the weekly *advice* if enabled.

    In an *organization* it reads the sweeps in batches, and the latest runs say which there are.
    """
    read = {f"{kind}#*": (QUERY,) for kind in (FINDING, ACTION, HOLD)}
    return {
        **read,
        f"{SWEEP}#*": (GET_MANY if organization else GET,),
        f"{DIGEST}#*": (GET, PUT),
        **({f"{BILL}#*": (GET, PUT)} if bill else {}),
        **({f"{ADVICE}#*": (QUERY, PUT)} if advice else {}),
        **({ORGANIZATION: (GET,)} if organization else {}),
        **once("digest"),
    }


def of_bill(*, organization: bool = False) -> Uses:
    """
    Return the uses of the bill, which shows the findings and actions on its
    lines, and an *organization*'s accounts.
    """
    read = {f"{kind}#*": (QUERY,) for kind in (FINDING, ACTION)}
    runs = {ORGANIZATION: (GET,)} if organization else {}
    return {**read, f"{BILL}#*": (GET, PUT), f"{DIGEST}#*": (GET,), **runs, **once("bill")}


def of_undo() -> Uses:
    """Return the uses of the undo function, which serves the actions of all detectors."""
    return {
        f"{ACTION}#*": (QUERY, UPDATE),
        f"{FINDING}#*": (QUERY,),
        f"{LEASE}#*": (PUT, DELETE),
        f"{HOLD}#*": (PUT,),
        **once("undo"),
    }


def of_presses() -> Uses:
    """Return the uses of Slack's worker: it holds, and asks. It only reads findings and actions."""
    read = {f"{kind}#*": (QUERY,) for kind in (FINDING, ACTION, ADVICE)}
    return {**read, f"{HOLD}#*": (QUERY, PUT), f"{REQUEST}#*": (PUT,), **once("press")}


def once(name: str) -> Uses:
    """Return the permissions that the function *name* needs for its idempotency records."""
    return {f"{IDEMPOTENCY}#{name}": (PUT, UPDATE, DELETE)}


def grants(uses: Uses, table: str) -> tuple[Grant, ...]:
    """
    Return *uses* as permissions on the table with that ARN.

    ForAllValues is true for a request without any key, which is a Scan: no grant allows Scan.
    """
    return tuple(
        allow(f"dynamodb:{operation}", on=table, when=(_keys(pattern),))
        for pattern, operations in uses.items()
        for operation in operations
    )


def _keys(pattern: str) -> Condition:
    return Condition("ForAllValues:StringLike", "dynamodb:LeadingKeys", (pattern,))
