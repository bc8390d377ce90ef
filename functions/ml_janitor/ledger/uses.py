"""Which items of the ledger each function reads and writes: its role is allowed these, and no others."""

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
    The function of *detector*: its own items, the holds, and the counters if it is *armed*.

    In an *organization* it reads which run it is a part of.
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
    if detector.asks_for is Change.COMMIT:  # which leaves to all others what they found
        uses |= {f"{FINDING}#{name}#*": (UPDATE,), f"{FINDING}#*": (QUERY,)}
    if detector.spares_undos:
        uses[f"{ACTION}#*"] = (QUERY,)
    return uses


def of_accounts() -> Uses:
    """What lists the accounts of an organization's runs, and says which of them left no result."""
    return {f"{SWEEP}#*": (GET_MANY, PUT), ORGANIZATION: (GET, PUT, UPDATE)}


def of_digest(*, bill: bool, advice: bool, organization: bool = False) -> Uses:
    """
    The digest, which sums up all sweeps, and the *bill* and the weekly *advice* if there are any.

    Those of an *organization* are read in batches, and which there are is told by the latest runs.
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
    """The bill, which says what was found and done of what it lists; which accounts an *organization* has."""
    read = {f"{kind}#*": (QUERY,) for kind in (FINDING, ACTION)}
    runs = {ORGANIZATION: (GET,)} if organization else {}
    return {**read, f"{BILL}#*": (GET, PUT), f"{DIGEST}#*": (GET,), **runs, **once("bill")}


def of_undo() -> Uses:
    """The undo function, which is for the actions of all detectors."""
    return {
        f"{ACTION}#*": (QUERY, UPDATE),
        f"{FINDING}#*": (QUERY,),
        f"{LEASE}#*": (PUT, DELETE),
        f"{HOLD}#*": (PUT,),
        **once("undo"),
    }


def of_presses() -> Uses:
    """Slack's worker: it holds, and asks. Findings and actions it only reads."""
    read = {f"{kind}#*": (QUERY,) for kind in (FINDING, ACTION, ADVICE)}
    return {**read, f"{HOLD}#*": (QUERY, PUT), f"{REQUEST}#*": (PUT,), **once("press")}


def once(name: str) -> Uses:
    """What every function called *name* does to do an event once."""
    return {f"{IDEMPOTENCY}#{name}": (PUT, UPDATE, DELETE)}


def grants(uses: Uses, table: str) -> tuple[Grant, ...]:
    """
    *uses* as permissions on the table of that ARN.

    ForAllValues is true of a request that has no key at all, which is a Scan: that is granted to nobody.
    """
    return tuple(
        allow(f"dynamodb:{operation}", on=table, when=(_keys(pattern),))
        for pattern, operations in uses.items()
        for operation in operations
    )


def _keys(pattern: str) -> Condition:
    return Condition("ForAllValues:StringLike", "dynamodb:LeadingKeys", (pattern,))
