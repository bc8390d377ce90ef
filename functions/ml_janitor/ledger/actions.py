"""
The actions in the ledger's table: the undo is stored before the act, then
every step of both. Laws 7 and 8.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.conditions import Attr
from pydantic import TypeAdapter

from ml_janitor.core.cause import Cause, CauseCode
from ml_janitor.engine.detector import CannotActError
from ml_janitor.ledger.action import Action, Stage, saving_per_hour
from ml_janitor.ledger.macs import (
    SIGNED_STAGES,
    MacProvider,
    NoUndoKey,
    UnverifiedError,
    check_unsigned_age,
    sign_action,
    signed_content,
    verify_action,
)
from ml_janitor.ledger.messages import WarningMessages
from ml_janitor.ledger.table import (
    EXPIRES_ATTRIBUTE,
    IF_ABSENT,
    ConditionFailedError,
    Table,
    format_stamp,
    item_key,
    partition_key,
)

if TYPE_CHECKING:
    from ml_janitor.core.results import Result

ACTION_KEY = "action"
_ACTION_ADAPTER = TypeAdapter(Action)
_STEP_PREFIX = "step_"
_NO_MESSAGES = WarningMessages()
_NO_KEY = NoUndoKey()

_ACTION_RETENTION = timedelta(days=120)
"""Time for which an action stays readable: longer than it can be undone."""


_LARGEST_UNDO = 300 * 1024
"""
Most bytes of an undo's data. An item of DynamoDB holds 400 KB ("Constraints in Amazon DynamoDB"), and the
steps of the act and of the undo have to fit into the item as well.
"""


class BegunBeforeError(Exception):
    """The stored action is not as the writer expects it: another run changed it."""


class Actions:
    """
    The actions in *table*, by detector, account and region; *macs* sign and verify them.

    Every change is conditional on the stage before it, so that of two concurrent runs one stops.
    """

    def __init__(self, table: Table, macs: MacProvider = _NO_KEY) -> None:
        self._table = table
        self._macs = macs

    def all(self, detector: str, account: str, region: str) -> list[Action]:
        """Return every stored action, the oldest first."""
        items = self._table.query(partition_key(ACTION_KEY, detector, account, region))
        whole = (item for item in items if "detector" in item)  # a late write may outlive an expired item
        return sorted(map(_action, whole), key=lambda action: action.began)

    def everywhere(self) -> list[Action]:
        """Return every action in every account and region, by reading the whole table."""
        return [_action(item) for item in self._table.scan(f"{ACTION_KEY}#") if "detector" in item]

    def begin(
        self,
        result: Result,
        undo: Mapping[str, Any],
        *,
        warned: datetime,
        now: datetime,
        by: str = "",
        messages: WarningMessages = _NO_MESSAGES,
    ) -> Action:
        """
        Store the data that brings *result*'s resource back, before the janitor changes anything.

        Raises BegunBeforeError if the janitor has acted on this warning before, the errors of `undo_json` and
        KMS's errors: an action that cannot be signed does not begin.
        """
        target = result.target
        hourly, until = saving_per_hour(result)
        sk = f"{target.key}#{format_stamp(warned)}"
        item = {
            "detector": result.detector,
            "arn": target.arn,
            "name": target.name,
            "kind": target.kind,
            "account": target.account,
            "region": target.region,
            "created": None if target.created is None else target.created.isoformat(),
            "stage": Stage.ACTING,
            "warned": format_stamp(warned),
            "began": format_stamp(now),
            "undo": undo_json(undo),
            "by": by,
            "attempts": 1,
            "hourly_usd": hourly,
            "until": None if until is None else format_stamp(until),
            "channel": messages.channel,
            "message": messages.message,
            "direct_channel": messages.direct_channel,
            "direct_message": messages.direct_message,
            EXPIRES_ATTRIBUTE: int((now + _ACTION_RETENTION).timestamp()),
        }
        place = _place(result)
        item |= sign_action(self._macs, _action({**item, **item_key(place, sk)}))
        try:
            self._table.put(place, sk, item, only_if=IF_ABSENT, signed=True)
        except ConditionFailedError as error:
            raise BegunBeforeError(f"{target.name} was acted on before under this warning") from error
        return _action({**item, **item_key(place, sk)})

    def verify(self, action: Action) -> None:
        """
        Raise UnverifiedError unless a role that acts signed *action* as it
        is. Also raises KMS's errors.
        """
        verify_action(self._macs, action)

    def check_older(self, action: Action) -> None:
        """Raise UnverifiedError if *action* began when every action was signed. Also raises KMS's errors."""
        check_unsigned_age(self._macs, action)

    def resume(self, action: Action, now: datetime) -> Action:
        """Resume a broken-off action. Raises BegunBeforeError if another run has resumed it."""
        return self._moved(
            action,
            Stage.ACTING,
            {"attempts": action.attempts + 1, "error": "", "broke": False, "again": now},
        )

    def acted(self, action: Action, now: datetime) -> Action:
        """Record that AWS confirmed all steps."""
        return self._moved(action, Stage.ACTED, {"ended": now, "error": "", "broke": False})

    def unfinished(self, action: Action, waits_for: str) -> Action:
        """
        Record that the action waits for AWS and is resumed later: no
        failure, even after failed attempts.
        """
        return self._moved(
            action, action.stage, {"error": waits_for, "broke": False, "waits": action.attempts}
        )

    def failed(self, action: Action, error: str) -> Action:
        """Record that the action broke off with *error*. Its steps say what was done."""
        return self._moved(action, Stage.FAILED, {"error": error, "broke": True})

    def withdrawn(self, action: Action, why: str) -> Action:
        """Record that nothing was done, because the resource had changed."""
        return self._moved(action, Stage.WITHDRAWN, {"error": why})

    def request_undo(self, action: Action, by: str, now: datetime) -> Action:
        """
        Store a person's request for the undo, so that it outlives a function that never begins the undo.

        The request stops a run that works on the action. Raises BegunBeforeError if
        the action changed since it was read.
        """
        request = {"undone_by": by, "asked": action.attempts, "asked_at": now}
        return self._moved(action, Stage.UNDOING, {**request, "error": "", "broke": False}, over=now)

    def begin_undo(self, action: Action, by: str, now: datetime, *, again: bool = False) -> Action:
        """
        Begin the undo that a person asked for, or resume it *again* after it broke off.

        Raises BegunBeforeError if the action changed since it was read.
        """
        changes: dict[str, Any] = {
            "undone_by": by,
            "error": "",
            "broke": False,
            "attempts": action.attempts + 1,
        }
        if not again:
            changes |= {"asked": action.attempts, "asked_at": now}
        return self._moved(action, Stage.UNDOING, changes, over=now)

    def undone(self, action: Action, now: datetime, became: str = "") -> Action:
        """Record that the undo is done. *became* describes the resource where it is not simply back."""
        changes = {"undone": now, "became": became, "error": "", "broke": False}
        return self._moved(action, Stage.UNDONE, changes)

    def refused(self, action: Action, why: str) -> None:
        """
        Remember why the janitor does nothing from this record by itself,
        for the digest and the message.
        """
        if action.broke and action.error == why:
            return
        with suppress(BegunBeforeError, UnverifiedError):  # another run is changing it meanwhile
            self._moved(action, action.stage, {"error": why, "broke": True})

    def undo_failed(self, action: Action, error: str) -> Action:
        """Record that the undo broke off; it can be tried again."""
        return self._moved(action, Stage.UNDOING, {"error": error, "broke": True})

    def end_saving(self, action: Action, at: datetime) -> None:
        """Record that the action saves nothing any more, since *at*."""
        self._table.change(_place(action), action.sk, at_first={"over": at})

    def message_updated(self, action: Action) -> None:
        """Remember that the message shows *action*'s progress."""
        self._table.change(_place(action), action.sk, set_to={"told": action.mark})

    def step(self, action: Action, name: str, how: str) -> None:
        """Remember that the step *name* is "begun", "done", "refused" or "forgotten"."""
        self._table.change(
            _place(action), action.sk, set_to={f"{_STEP_PREFIX}{_word(name)}": json.dumps([name, how])}
        )

    def _moved(
        self, action: Action, to: Stage, also: Mapping[str, Any], *, over: datetime | None = None
    ) -> Action:
        """
        Move *action* to stage *to*, and sign it if the stage is new.

        *over* is the time at which its saving may end, if it has not ended before. Raises UnverifiedError if
        the signed part of the item changed since it was read.
        """
        expected = replace(action, stage=to)
        signature = sign_action(self._macs, expected) if to in SIGNED_STAGES and to != action.stage else {}
        try:
            item = self._table.change(
                _place(action),
                action.sk,
                set_to={"stage": to, **also, **signature},
                at_first={} if over is None else {"over": over},
                only_if=Attr("stage").eq(action.stage) & Attr("attempts").eq(action.attempts),
                signed=True,
            )
        except ConditionFailedError as error:
            why = f"another run is at work on {action.target.name}, or somebody asked for its undo"
            raise BegunBeforeError(why) from error
        moved = _action(item)
        if signed_content(moved, to) != signed_content(expected, to):
            raise UnverifiedError(Cause(CauseCode.MAC_INVALID))
        return moved


def _place(item: Action | Result) -> str:
    return partition_key(ACTION_KEY, item.detector, item.target.account, item.target.region)


def undo_json(undo: Mapping[str, Any]) -> str:
    """
    Return *undo* as the JSON text that the ledger stores.

    Raises TypeError if it is not plain JSON, and CannotActError if it is too large: the
    janitor does nothing that it could not undo.
    """
    text = json.dumps(undo)
    if json.loads(text) != dict(undo):
        raise TypeError("what was prepared is not plain JSON")
    if len(text) > _LARGEST_UNDO:
        raise CannotActError(
            f"what an undo would need is {len(text) // 1024} KB, and the ledger takes {_LARGEST_UNDO // 1024}"
        )
    return text


def _word(name: str) -> str:
    """
    Return a step's name as part of an attribute's name: DynamoDB allows
    only letters and digits in aliases.
    """
    return sha256(name.encode()).hexdigest()[:16]


def _action(item: Mapping[str, Any]) -> Action:
    """Return the action that *item* of the table holds. Its target's attributes stand among its own."""
    steps = dict(json.loads(value) for name, value in item.items() if name.startswith(_STEP_PREFIX))
    return _ACTION_ADAPTER.validate_python(
        {**item, "target": item, "undo": json.loads(item["undo"]), "steps": steps}
    )
