"""Which items of the ledger each function may read and write, by hand: its role allows no others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ml_janitor.core.model import Change
from ml_janitor.detectors import DETECTORS
from ml_janitor.ledger import uses
from ml_janitor.ledger.uses import TableUses, sweep_uses

Q, G, M, P, U, D = "Query", "GetItem", "BatchGetItem", "PutItem", "UpdateItem", "DeleteItem"


def once(name: str) -> dict[str, tuple[str, ...]]:
    return {f"idempotency#{name}": (P, U, D)}


def swept(name: str, **more: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """What every sweep uses."""
    own = {f"finding#{name}#*": (Q, U), f"sweep#{name}#*": (G, P), f"lease#{name}#*": (P, D), "hold#*": (Q,)}
    return own | once(name) | more


def detector(**about: Any) -> Any:
    """The first detector of which all of *about* is so."""
    found = (one for one in DETECTORS if all(getattr(one, name) == value for name, value in about.items()))
    return next(found)()


ADVISER = detector(cleanup=None, asks_for=Change.END, spares_undos=False)
ACTOR = next(one for one in DETECTORS if one.cleanup is not None and not one.spares_undos)()
COMMITMENTS = detector(asks_for=Change.COMMIT)
SPARING = detector(spares_undos=True, cleanup=None)


@pytest.mark.parametrize(
    ("used", "wanted"),
    [
        (lambda: sweep_uses(ADVISER, armed=False), swept(ADVISER.name)),
        (
            lambda: sweep_uses(ACTOR, armed=False, organization=True),
            swept(ACTOR.name)
            | {f"action#{ACTOR.name}#*": (Q, U), f"request#{ACTOR.name}#*": (Q,), "organization": (G,)},
        ),
        (
            lambda: sweep_uses(ACTOR, armed=True),
            swept(ACTOR.name)
            | {f"action#{ACTOR.name}#*": (Q, U, P), f"request#{ACTOR.name}#*": (Q,), "limit": (U,)},
        ),
        (
            lambda: sweep_uses(COMMITMENTS, armed=False),
            swept(COMMITMENTS.name) | {f"finding#{COMMITMENTS.name}#*": (U,), "finding#*": (Q,)},
        ),
        (lambda: sweep_uses(SPARING, armed=False), swept(SPARING.name) | {"action#*": (Q,)}),
    ],
    ids=["adviser", "dry", "armed", "commitments", "sparing"],
)
def test_a_sweep_uses_its_own_items(used: Callable[[], TableUses], wanted: TableUses) -> None:
    assert dict(used()) == dict(wanted)


READ = {"finding#*": (Q,), "action#*": (Q,)}
DIGEST = READ | {"hold#*": (Q,), "digest#*": (G, P)} | once("digest")


@pytest.mark.parametrize(
    ("used", "wanted"),
    [
        (uses.accounts_uses, {"sweep#*": (M, P), "organization": (G, P, U)}),
        (lambda: uses.digest_uses(bill=False), DIGEST | {"sweep#*": (G,)}),
        (
            lambda: uses.digest_uses(bill=True, organization=True),
            DIGEST | {"sweep#*": (M,), "bill#*": (G, P), "organization": (G,)},
        ),
        (uses.bill_uses, READ | {"bill#*": (G, P), "digest#*": (G,)} | once("bill")),
        (
            lambda: uses.bill_uses(organization=True),
            READ | {"bill#*": (G, P), "digest#*": (G,), "organization": (G,)} | once("bill"),
        ),
        (
            uses.undo_uses,
            {"action#*": (Q, U), "finding#*": (Q,), "lease#*": (P, D), "hold#*": (P,)} | once("undo"),
        ),
        (
            uses.press_uses,
            READ | {"hold#*": (Q, P), "request#*": (P,)} | once("press"),
        ),
    ],
    ids=["accounts", "digest", "digest of all", "bill", "bill of all", "undo", "press"],
)
def test_a_function_uses_what_it_needs(used: Callable[[], TableUses], wanted: TableUses) -> None:
    assert dict(used()) == dict(wanted)


def test_each_operation_is_granted_on_its_own_items_and_a_scan_on_none() -> None:
    grants = uses.table_grants({"lease#*": (P, D), "hold#*": (Q,)}, "arn:table")

    assert [(grant.action, grant.on, *(when.values for when in grant.when)) for grant in grants] == [
        ("dynamodb:PutItem", "arn:table", ("lease#*",)),
        ("dynamodb:DeleteItem", "arn:table", ("lease#*",)),
        ("dynamodb:Query", "arn:table", ("hold#*",)),
    ]
    assert {(when.operator, when.key) for grant in grants for when in grant.when} == {
        ("ForAllValues:StringLike", "dynamodb:LeadingKeys")
    }
