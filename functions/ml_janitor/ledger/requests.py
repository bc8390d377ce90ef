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

from ml_janitor.engine.policy import Hold, HoldKind
from ml_janitor.ledger.actions import UNDOABLE_STAGES, Action, BegunBeforeError, Stage
from ml_janitor.ledger.signatures import Request, RequestKind, Signatures
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
    The signed requests in *table*: that a finding is due now, and that an action is undone.

    A sweep grants them under its lease, each once however often it reads them: a finding has one under each
    of its warnings, and an action whose undo was requested never returns to its earlier stage.
    """

    def __init__(self, table: Table, signatures: Signatures) -> None:
        self._table = table
        self._signatures = signatures

    def make_due(self, entry: Entry, *, by: str, now: datetime, press: str = "") -> None:
        """Ask for *entry* to be due, under its warning."""
        request = Request(
            what=RequestKind.DUE,
            detector=entry.detector,
            account=entry.account,
            region=entry.region,
            key=entry.key,
            warned=_stamped(entry.warned),
            by=by,
            at=now,
            press=press,
        )
        self._put(request.sign(self._signatures))

    def undo(self, action: Action, *, by: str, press: str, now: datetime) -> Request:
        """
        Ask for the undo of *action*, in case the undo function never begins it. Return the signed request.

        Raises ConditionFailedError if a press other than *press* asked within the last minute.
        """
        request = undo_request(action, by=by, press=press, now=now).sign(self._signatures)
        other = IF_ABSENT | Attr("press").eq(press) | Attr("at").lte(now - _REQUEST_WINDOW)
        self._put(request, only_if=other)
        return request

    def grant(self, ledger: Ledger, actions: Actions, detector: str, account: str, region: str) -> list[str]:
        """
        Write the requests into the findings and the actions, where they still apply.

        Return a line for each request that does not verify; it is not granted. A request without a signature
        is from the version before: the person presses again.
        """
        place = {"detector": detector, "account": account, "region": region}
        items = self._table.query(partition_key(REQUEST_KEY, *place.values()))
        asked: dict[tuple[str, str, str], Request] = {}
        for item in items:
            if item.get("mac"):
                request = Request.parse({**item, **place, "command": False})
                asked[request.what, request.key, request.warned] = request
        refused = []
        for entry in ledger.entries(detector, account, region) if asked else ():
            due = asked.get((RequestKind.DUE, entry.key, _stamped(entry.warned)))
            if due is None or entry.hurried or entry.warned is None or not entry.mac:
                continue
            if not ledger.is_signed(entry):
                refused.append(f"{entry.name}: the warning is not the one that was signed")
                continue
            if not due.verify(self._signatures):
                refused.append(f"{entry.name}: the request to make it due is not signed")
                continue
            with suppress(ConditionFailedError):  # its warning is void
                ledger.make_due(entry, by=due.by, now=due.at)
        for action in actions.all(detector, account, region) if asked else ():
            undo = asked.get((RequestKind.UNDO, action.target.key, format_stamp(action.warned)))
            if undo is None or action.stage not in UNDOABLE_STAGES - {Stage.UNDOING}:
                continue
            if not undo.verify(self._signatures):
                refused.append(f"{action.target.name}: the request to undo the action is not signed")
                continue
            with suppress(BegunBeforeError):  # it moved on: the next sweep reads both again
                actions.request_undo(action, undo)
        return refused

    def _put(self, request: Request, *, only_if: ConditionBase | None = None) -> None:
        where = partition_key(REQUEST_KEY, request.detector, request.account, request.region)
        item = {
            **request.as_json(),
            EXPIRES_ATTRIBUTE: int((request.at + _REQUEST_RETENTION).timestamp()),
        }
        self._table.put(where, f"{request.what}#{request.warned}#{request.key}", item, only_if=only_if)


def undo_request(action: Action, *, by: str, now: datetime, press: str = "") -> Request:
    """Return the request of *by* to undo *action*, not signed yet."""
    return Request(
        what=RequestKind.UNDO,
        detector=action.detector,
        account=action.target.account,
        region=action.target.region,
        key=action.target.key,
        warned=format_stamp(action.warned),
        by=by,
        at=now,
        press=press,
    )


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
    holds. A snooze does not shorten a keep: the table stores both. The longer of two
    holds of one kind wins, in whatever order they arrive.
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

    def end_keeps(self, account: str, region: str, until: datetime) -> None:
        """Let each hold of a press of *Keep* without an end, as versions before stored it, end at *until*."""
        for item in self._table.query(_where(account, region)):
            if item["how"] == HoldKind.KEPT and not item.get("why") and item.get("until") is None:
                with suppress(ConditionFailedError):  # somebody ran `janitor keep` meanwhile
                    self._table.change(
                        item["pk"],
                        item["sk"],
                        set_to={"until": until, EXPIRES_ATTRIBUTE: int(until.timestamp())},
                        only_if=Attr(_GIVEN_ATTRIBUTE).eq(item[_GIVEN_ATTRIBUTE]),
                    )


def _where(account: str, region: str) -> str:
    return f"{HOLD_KEY}#{account}#{region}"
