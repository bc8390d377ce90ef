"""
Requests and holds by a person's button in Slack, as items of their own.

The press worker writes no finding or action.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from boto3.dynamodb.conditions import Attr, ConditionBase
from pydantic import TypeAdapter

from ml_janitor.engine.policy import Hold
from ml_janitor.ledger.actions import UNDOABLE_STAGES, Action, BegunBeforeError, Stage
from ml_janitor.ledger.table import (
    EXPIRES_ATTRIBUTE,
    IF_ABSENT,
    ConditionFailedError,
    Table,
    format_stamp,
    partition_key,
)

if TYPE_CHECKING:
    from ml_janitor.ledger.actions import Actions
    from ml_janitor.ledger.findings import Entry, Ledger

REQUEST_KEY = "request"
_REQUEST_WINDOW = timedelta(minutes=1)
_REQUEST_RETENTION = timedelta(days=7)
"""Time for which a request is remembered: a sweep grants it sooner."""


class ButtonRequests:
    """
    The requests in *table*: that a finding is due now, and that an action is undone.

    A sweep grants them under its lease, each once however often it reads them: a finding has one under each
    of its warnings, and an action whose undo was requested never returns to its earlier stage.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def make_due(self, entry: Entry, *, by: str, now: datetime) -> None:
        """Ask for *entry* to be due, under its warning."""
        where = partition_key(REQUEST_KEY, entry.detector, entry.account, entry.region)
        self._put(where, {"what": "due", "key": entry.key, "warned": _stamped(entry.warned), "by": by}, now)

    def undo(self, action: Action, *, by: str, press: str, now: datetime) -> None:
        """
        Ask for the undo of *action*, in case the undo function never begins it.

        Raises ConditionFailedError if a press other than *press* asked within the last minute.
        """
        target = action.target
        where = partition_key(REQUEST_KEY, action.detector, target.account, target.region)
        self._put(
            where,
            {
                "what": "undo",
                "key": target.key,
                "warned": format_stamp(action.warned),
                "by": by,
                "press": press,
            },
            now,
            only_if=IF_ABSENT | Attr("press").eq(press) | Attr("at").lte(now - _REQUEST_WINDOW),
        )

    def grant(self, ledger: Ledger, actions: Actions, detector: str, account: str, region: str) -> None:
        """Write the requests into the findings and the actions, where they still apply."""
        items = list(self._table.query(partition_key(REQUEST_KEY, detector, account, region)))
        if not items:
            return
        asked = {(item["what"], item["key"], item["warned"]): item for item in items}
        for entry in ledger.entries(detector, account, region):
            item = asked.get(("due", entry.key, _stamped(entry.warned)))
            if item is not None and not entry.hurried:
                with suppress(ConditionFailedError):  # its warning is void
                    ledger.make_due(entry, by=item["by"], now=datetime.fromisoformat(item["at"]))
        for action in actions.all(detector, account, region):
            item = asked.get(("undo", action.target.key, format_stamp(action.warned)))
            if item is not None and action.stage in UNDOABLE_STAGES - {Stage.UNDOING}:
                with suppress(BegunBeforeError):  # it moved on: the next sweep reads both again
                    actions.request_undo(action, item["by"], datetime.fromisoformat(item["at"]))

    def _put(
        self,
        where: str,
        asked: Mapping[str, str],
        now: datetime,
        *,
        only_if: ConditionBase | None = None,
    ) -> None:
        expires = int((now + _REQUEST_RETENTION).timestamp())
        place = f"{asked['what']}#{asked['warned']}#{asked['key']}"
        self._table.put(where, place, {**asked, "at": now, EXPIRES_ATTRIBUTE: expires}, only_if=only_if)


def _stamped(warned: datetime | None) -> str:
    return "" if warned is None else format_stamp(warned)


# --- holds, by the identity of their resource -----------------------------------------------------

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
