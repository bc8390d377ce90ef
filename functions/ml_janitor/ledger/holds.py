"""The holds in the ledger's table, by the identity of their resource."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from boto3.dynamodb.conditions import Attr
from pydantic import TypeAdapter

from ml_janitor.engine.holds import Hold
from ml_janitor.ledger.table import EXPIRES_ATTRIBUTE, IF_ABSENT, ConditionFailedError, Table

HOLD_KEY = "hold"
_APP_TYPE = re.compile(r"(:app/[^/]+/[^/]+/)([^/]+)")
"""
The type of a Studio app after domain and owner: version 0.1.0 stored
some types in AWS's other spelling.
"""
_HOLD_ADAPTER = TypeAdapter(Hold)
_GIVEN_ATTRIBUTE = "said"
"""The attribute that holds the time at which a hold was given."""


class Holds:
    """
    The holds in *table*.

    A hold is for ARN + creation time: a re-created resource with the old name has no
    holds. A snooze does not shorten a keep: the table stores both. Of two holds of one
    kind the longer wins, in whatever order they arrive.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def put(self, account: str, region: str, hold: Hold, *, shorten: bool = False) -> None:
        """
        Store *hold*, unless a longer hold of its kind stands and the caller
        does not mean to *shorten* it.
        """
        expires = {} if hold.until is None else {EXPIRES_ATTRIBUTE: int(hold.until.timestamp())}
        # An unlimited hold has NULL, which matches no comparison with text (DynamoDB's API, "Condition").
        longer = None if shorten or hold.until is None else IF_ABSENT | Attr("until").lte(hold.until)
        where, key = _where(account, region), f"{hold.key}#{hold.how}"
        with suppress(ConditionFailedError):
            stored = (
                _HOLD_ADAPTER.dump_python(hold, exclude={"given"}) | {_GIVEN_ATTRIBUTE: hold.given} | expires
            )
            self._table.put(where, key, stored, only_if=longer)

    def all(self, account: str, region: str) -> Mapping[str, tuple[Hold, ...]]:
        """Return every hold of an account and region, by identity."""
        found: dict[str, tuple[Hold, ...]] = {}
        for item in self._table.query(_where(account, region)):
            hold = _HOLD_ADAPTER.validate_python({**item, "given": item[_GIVEN_ATTRIBUTE]})
            hold = replace(hold, key=_APP_TYPE.sub(lambda app: app[1] + app[2].lower(), hold.key))
            found[hold.key] = (*found.get(hold.key, ()), hold)
        return found


def _where(account: str, region: str) -> str:
    return f"{HOLD_KEY}#{account}#{region}"
