"""The holds in the ledger's table, by the identity of their resource."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime

from ml_janitor.engine.holds import Hold, How
from ml_janitor.ledger.table import EXPIRES, ConditionFailedError, Table, moment, stamp

HOLD = "hold"


class Holds:
    """
    The holds in *table*.

    A hold is for ARN + creation time: a re-created resource with the old name starts from nothing.
    What somebody keeps is not shortened by what somebody else snoozes: both stand. Of two words of one
    kind the longer stands, in whatever order they arrive.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def put(self, account: str, region: str, hold: Hold, *, shorten: bool = False) -> None:
        """Remember *hold*, unless one of its kind stands for longer; then only who means to *shorten* it."""
        expires = {} if hold.until is None else {EXPIRES: int(hold.until.timestamp())}
        said = {
            "key": hold.key,
            "how": hold.how.value,
            "by": hold.by,
            "said": stamp(hold.said),
            "until": None if hold.until is None else stamp(hold.until),
            "why": hold.why,
        }
        # What is for good is NULL, which matches no comparison with text (DynamoDB's API, "Condition").
        longer = "" if shorten or hold.until is None else "attribute_not_exists(pk) OR #until <= :new"
        where, key = _where(account, region), f"{hold.key}#{hold.how}"
        with suppress(ConditionFailedError):
            self._table.put(where, key, said | expires, only_if=longer, new=said["until"])

    def all(self, account: str, region: str) -> Mapping[str, tuple[Hold, ...]]:
        """Every hold of an account and region, by identity."""
        found: dict[str, tuple[Hold, ...]] = {}
        for item in self._table.query(_where(account, region)):
            hold = Hold(
                key=item["key"],
                how=How(item["how"]),
                by=item["by"],
                said=datetime.fromisoformat(item["said"]),
                until=moment(item["until"]),
                why=item["why"],
            )
            found[hold.key] = (*found.get(hold.key, ()), hold)
        return found


def _where(account: str, region: str) -> str:
    return f"{HOLD}#{account}#{region}"
