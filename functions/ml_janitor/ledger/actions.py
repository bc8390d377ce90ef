"""
The actions in the ledger's table: the undo is stored before the act, then every step of both. Laws 7 and 8.

The data that undoes an action is signed when the action begins, and verified before the janitor uses it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from http import HTTPStatus
from typing import Any

from boto3.dynamodb.conditions import Attr
from pydantic import TypeAdapter

from ml_janitor.aws.calls import error_text
from ml_janitor.aws.client import READ_OPERATIONS
from ml_janitor.core.model import HOURS_PER_MONTH, Finding, Target, finding_id
from ml_janitor.core.results import Cause, CauseCode, Result
from ml_janitor.engine.detector import CannotActError
from ml_janitor.ledger.causes import read_causes, store_cause
from ml_janitor.ledger.findings import FINDING_KEY, WarningMessages, entry_from
from ml_janitor.ledger.signatures import (
    MAC_FORMAT,
    Request,
    RequestKind,
    Signatures,
    SignedKind,
    SigningKey,
    signature_format,
)
from ml_janitor.ledger.table import (
    EXPIRES_ATTRIBUTE,
    IF_ABSENT,
    ConditionFailedError,
    Table,
    format_stamp,
    item_key,
    partition_key,
)

# --- an action and its progress -------------------------------------------------------------------

ACTION_KEY = "action"

MOST_TRIES = 3
"""Tries of an act or an undo before a person has to look."""


STEP_REFUSED = "refused"
"""State of a step that AWS refused for certain: the step changed nothing."""


_SAVING_PRECISION = Decimal("0.00000001")
"""Precision of dollars per hour: a gigabyte costs a few hundred-thousandths of a dollar an hour."""


class Stage(StrEnum):
    """
    The stage of an action.

    If no run works on an action that is `acting` or `undoing`, its run broke off.
    A `withdrawn` action changed nothing.
    """

    ACTING = "acting"
    ACTED = "acted"
    FAILED = "failed"
    UNDOING = "undoing"
    UNDONE = "undone"
    WITHDRAWN = "withdrawn"


UNFINISHED_STAGES = frozenset({Stage.ACTING, Stage.FAILED})
UNDOABLE_STAGES = frozenset({Stage.ACTING, Stage.ACTED, Stage.FAILED, Stage.UNDOING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Action(WarningMessages):
    """
    One clean-up of one finding, under one warning.

    *undo* is the data that the detector's `prepare` returned. *steps* maps each step's name, the undo's steps
    included, to "begun", "done", "refused" or "forgotten". *waits* counts the attempts that ended without an
    error because they wait for AWS. *asked* counts the attempts before somebody asked for the undo, at
    *asked_at*. *hourly_usd* is the saving per hour; None is unknown. The action saves money until it is
    undone, until *until*, when the waste would have ended by itself, or until *over*: a person asked for the
    undo, or the resource was seen running again or made anew. *broke* is true if the last attempt failed with
    *error*. *told* is the `mark` that the message shows, so that a later run changes a message that could not
    be changed. *became* says what an undo made of the resource if it did not simply bring the resource back.
    *counter* is the night's counter that gave it a place. *mac* authenticates the action at stage *signed*.
    *origin* is the signed request for its undo, and *progress* authenticates that it is undone.
    """

    sk: str
    pk: str = ""
    detector: str
    target: Target
    stage: Stage
    warned: datetime
    began: datetime
    undo: Mapping[str, Any]
    by: str = ""
    attempts: int = 1
    waits: int = 0
    asked: int = 0
    asked_at: datetime | None = None
    ended: datetime | None = None
    error: Cause | None = None
    steps: Mapping[str, str] = field(default_factory=dict)
    hourly_usd: Decimal | None = None
    undone_by: str = ""
    undone: datetime | None = None
    became: str = ""
    broke: bool = False
    until: datetime | None = None
    over: datetime | None = None
    told: str = ""
    counter: str = ""
    mac: str = ""
    signed: str = ""
    origin: Request | None = None
    progress: str = ""

    @property
    def mark(self) -> str:
        """The progress that its message has to show."""
        return f"{self.stage} {self.attempts}{' failed' if self.broke else ''}"

    @property
    def id(self) -> str:
        """The id of the finding that the action cleaned up."""
        return finding_id(self.detector, self.target.key)

    @property
    def failures(self) -> int:
        """
        The number of failed attempts in a row, including a running one.

        Once somebody has asked for the undo, only the attempts of the undo count.
        """
        return self.attempts - max(self.waits, self.asked)

    @property
    def touched(self) -> bool:
        """
        True if the act may have changed the resource. A step that was begun may be
        done; a step that AWS refused is not.
        """
        return any(step.startswith("act: ") and how != STEP_REFUSED for step, how in self.steps.items())

    @property
    def coming_back(self) -> bool:
        """True if its undo has begun. A requested undo may not have begun yet."""
        return any(step.startswith("undo: ") for step in self.steps)

    @property
    def given_up(self) -> bool:
        """True if the janitor does not try the action again by itself."""
        return self.failures >= MOST_TRIES


def saving_per_hour(result: Result) -> tuple[Decimal | None, datetime | None]:
    """
    Return the dollars per hour that the end of *result*'s waste saves, and the end of the saving.

    None stands for unknown. For a job whose end is unknown, the saving is unknown.
    """
    cost = result.verdict.cost if isinstance(result.verdict, Finding) else None
    if cost is None:
        return None, None
    if cost.accrued_usd is not None and cost.until is None:
        return None, None
    hourly = cost.hourly_usd
    if hourly is None and cost.monthly_usd is not None:
        hourly = cost.monthly_usd / HOURS_PER_MONTH
    return None if hourly is None else hourly.quantize(_SAVING_PRECISION), cost.until


# --- signatures -----------------------------------------------------------------------------------
#
# The steps of an action are not signed: they only say which calls are left out.

_DEPLOY_TIME = timedelta(hours=1)
"""
Time after the key's creation in which a function of the version before
may still write unsigned actions.
"""

SIGNED_STAGES = UNFINISHED_STAGES | {Stage.ACTED}
"""
The stages that a MAC covers. The roles that act write them. During an undo, an action keeps the MAC of the
stage before: the undo function has no permission to make a MAC, so it cannot forge an action.
"""


class UnverifiedError(Exception):
    """The janitor did not sign this item of the ledger, and does nothing from it; *cause* says so."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.why.name)
        self.cause = cause


def sign_action(signatures: Signatures, action: Action) -> dict[str, Any]:
    """Return the attributes that authenticate *action* at its stage."""
    content = signed_content(action, action.stage)
    return {"signed": action.stage, "mac": signatures.sign(SignedKind.ACTION, content)}


def verify_record(signatures: Signatures, action: Action) -> None:
    """Raise UnverifiedError unless *action* is as it was signed, at the stage that it was signed at."""
    if not action.mac:
        raise UnverifiedError(Cause(CauseCode.MAC_MISSING, (action.id,)))
    moved = action.stage in SIGNED_STAGES and action.stage != action.signed
    if (
        moved
        or action.signed not in SIGNED_STAGES
        or not signatures.verify(SignedKind.ACTION, signed_content(action, action.signed), action.mac)
    ):
        raise UnverifiedError(Cause(CauseCode.MAC_INVALID))


def verify_undo(signatures: Signatures, action: Action) -> None:
    """
    Raise UnverifiedError if *action* is being undone without a signed request, or undone without proof.

    Records of the first format have no proof.
    """
    if action.stage is Stage.UNDOING and not is_asked(signatures, action, action.origin):
        raise UnverifiedError(Cause(CauseCode.REQUEST_UNSIGNED, (action.id,)))
    if action.stage is Stage.UNDONE and signature_format(action.mac) == MAC_FORMAT:
        undone = undone_content(action)
        if not signatures.verify(SignedKind.UNDO_PROGRESS, undone, action.progress):
            raise UnverifiedError(Cause(CauseCode.MAC_INVALID))


def is_asked(signatures: Signatures, action: Action, request: Request | None) -> bool:
    """Return whether *request* is a signed request for the undo of *action*."""
    return (
        request is not None
        and request.what is RequestKind.UNDO
        and partition_key(ACTION_KEY, request.detector, request.account, request.region) == action.pk
        and (request.key, request.warned) == (action.target.key, format_stamp(action.warned))
        and request.verify(signatures)
    )


def undone_content(action: Action) -> dict[str, Any]:
    """Return the signed part of an undone *action*."""
    undone = None if action.undone is None else format_stamp(action.undone)
    return {
        "pk": action.pk,
        "sk": action.sk,
        "began": format_stamp(action.began),
        "by": action.undone_by,
        "undone": undone,
        "became": action.became,
    }


def check_unsigned_age(signatures: Signatures, action: Action) -> None:
    """Raise UnverifiedError for an unsigned *action* that is younger than the signing key."""
    if action.began > signatures.provider(SigningKey.RECORDS).since() + _DEPLOY_TIME:
        raise UnverifiedError(Cause(CauseCode.MAC_EXPECTED))


def sign_again(signatures: Signatures, before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the signatures of *after*, an action or a finding with its warning, in place of those of *before*.

    Raises UnverifiedError, LookupError without a key, and AWS's errors.
    """
    if not before.get("mac"):
        return {}
    if str(before["pk"]).startswith(f"{FINDING_KEY}#"):
        was, becomes = entry_from(before), entry_from(after)
        if not signatures.verify(SignedKind.WARNING, was.warning, was.mac):
            raise UnverifiedError(Cause(CauseCode.WARNING_INVALID))
        return {"mac": signatures.sign(SignedKind.WARNING, becomes.warning)}
    old, new = _action(before), _action(after)
    verify_record(signatures, old)
    verify_undo(signatures, old)
    signed = {"mac": signatures.sign(SignedKind.ACTION, signed_content(new, new.signed))}
    if old.progress:
        signed["progress"] = signatures.sign(SignedKind.UNDO_PROGRESS, undone_content(new))
    return signed


def signed_content(action: Action, stage: Stage | str) -> dict[str, Any]:
    """
    Return the signed part of *action* at *stage*: the target, the warning and the undo.

    It includes the key of the item, so a copy elsewhere in the table does not verify.
    """
    target = action.target
    return {
        "pk": action.pk,
        "sk": action.sk,
        "id": action.id,
        "detector": action.detector,
        "account": target.account,
        "region": target.region,
        "arn": target.arn,
        "name": target.name,
        "kind": target.kind,
        "created": None if target.created is None else target.created.isoformat(),
        "warned": format_stamp(action.warned),
        "began": format_stamp(action.began),
        "by": action.by,
        "stage": str(stage),
        "undo": action.undo,
        **({"counter": action.counter} if action.counter else {}),  # versions before counted without one
    }


# --- actions in the table -------------------------------------------------------------------------

_ACTION_ADAPTER = TypeAdapter(Action)
_STEP_PREFIX = "step_"
_NO_MESSAGES = WarningMessages()
_WITHOUT_KEYS = Signatures()
_NO_ERROR = store_cause("error", None)

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
    The actions in *table*, by detector, account and region; *signatures* authenticate them.

    Every change is conditional on the stage before it, so that of two concurrent runs one stops.
    """

    def __init__(self, table: Table, signatures: Signatures = _WITHOUT_KEYS) -> None:
        self._table = table
        self.signatures = signatures

    def all(self, detector: str, account: str, region: str) -> list[Action]:
        """Return every stored action, the oldest first."""
        known = self._query(partition_key(ACTION_KEY, detector, account, region))
        return sorted(known, key=lambda action: action.began)

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
        counter: str = "",
        messages: WarningMessages = _NO_MESSAGES,
    ) -> Action:
        """
        Store the data that brings *result*'s resource back, before the janitor changes anything.

        *counter* is the night's counter that gave the action a place.

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
            "counter": counter,
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
        item |= sign_action(self.signatures, _action({**item, **item_key(place, sk)}))
        try:
            self._table.put(place, sk, item, only_if=IF_ABSENT, signed=True)
        except ConditionFailedError as error:
            raise BegunBeforeError(f"{target.name} was acted on before under this warning") from error
        return _action({**item, **item_key(place, sk)})

    def verify_record(self, action: Action) -> None:
        """Raise UnverifiedError unless a role that acts signed *action*. Also raises KMS's errors."""
        verify_record(self.signatures, action)

    def verify(self, action: Action) -> None:
        """Raise UnverifiedError unless *action* and its undo so far are signed. Also raises KMS's errors."""
        verify_record(self.signatures, action)
        verify_undo(self.signatures, action)

    def doubt(self, action: Action) -> Cause | None:
        """Return why *action* as it is cannot be believed, or None. It raises nothing: it is for display."""
        try:
            self.verify(action)
        except UnverifiedError as unverified:
            return unverified.cause
        except Exception as error:  # no key, or KMS did not answer
            return Cause(CauseCode.RECORD_UNREAD, (error_text(error),))
        return None

    def now(self, action: Action) -> Action | None:
        """Return *action* as the table has it now, or None."""
        return next((known for known in self._query(action.pk) if known.sk == action.sk), None)

    def check_older(self, action: Action) -> None:
        """Raise UnverifiedError if *action* began when every action was signed. Also raises KMS's errors."""
        check_unsigned_age(self.signatures, action)

    def resume(self, action: Action, now: datetime) -> Action:
        """Resume a broken-off action. Raises BegunBeforeError if another run has resumed it."""
        return self._moved(
            action,
            Stage.ACTING,
            {"attempts": action.attempts + 1, **_NO_ERROR, "broke": False, "again": now},
        )

    def acted(self, action: Action, now: datetime) -> Action:
        """Record that AWS confirmed all steps."""
        return self._moved(action, Stage.ACTED, {"ended": now, **_NO_ERROR, "broke": False})

    def unfinished(self, action: Action, waits_for: Cause) -> Action:
        """
        Record that the action waits for AWS and is resumed later: no
        failure, even after failed attempts.
        """
        waits = {**store_cause("error", waits_for), "broke": False, "waits": action.attempts}
        return self._moved(action, action.stage, waits)

    def failed(self, action: Action, error: Cause) -> Action:
        """Record that the action broke off with *error*. Its steps say what was done."""
        return self._moved(action, Stage.FAILED, {**store_cause("error", error), "broke": True})

    def withdrawn(self, action: Action, why: Cause) -> Action:
        """Record that nothing was done, because the resource had changed."""
        return self._moved(action, Stage.WITHDRAWN, store_cause("error", why))

    def request_undo(self, action: Action, request: Request) -> Action:
        """
        Store the *request* for the undo, so that it outlives a function that never begins the undo.

        The request stops a run that works on the action. Raises BegunBeforeError if
        the action changed since it was read.
        """
        asked = {"undone_by": request.by, "asked": action.attempts, "asked_at": request.at}
        changes = {**asked, **_stored(request), **_NO_ERROR, "broke": False}
        return self._moved(action, Stage.UNDOING, changes, over=request.at)

    def begin_undo(
        self, action: Action, request: Request, now: datetime, *, by: str = "", again: bool = False
    ) -> Action:
        """
        Begin the undo that *request* asks for, or resume it *again* after it broke off, for *by*.

        Raises BegunBeforeError if the action changed since it was read.
        """
        changes: dict[str, Any] = {
            "undone_by": by or request.by,
            **_stored(request),
            **_NO_ERROR,
            "broke": False,
            "attempts": action.attempts + 1,
        }
        if not again:
            changes |= {"asked": action.attempts, "asked_at": now}
        return self._moved(action, Stage.UNDOING, changes, over=now)

    def undone(self, action: Action, now: datetime, became: str = "") -> Action:
        """Record that the undo is done. *became* describes the resource where it is not simply back."""
        content = undone_content(replace(action, undone=now, became=became))
        progress = self.signatures.sign(SignedKind.UNDO_PROGRESS, content)
        changes = {"undone": now, "became": became, "progress": progress, **_NO_ERROR, "broke": False}
        return self._moved(action, Stage.UNDONE, changes)

    def refused(self, action: Action, why: Cause) -> None:
        """
        Remember why the janitor does nothing from this record by itself,
        for the digest and the message.
        """
        if action.broke and action.error is not None and action.error.why is why.why:
            return
        with suppress(BegunBeforeError, UnverifiedError):  # another run is changing it meanwhile
            self._moved(action, action.stage, {**store_cause("error", why), "broke": True})

    def undo_failed(self, action: Action, error: Cause) -> Action:
        """Record that the undo broke off; it can be tried again."""
        return self._moved(action, Stage.UNDOING, {**store_cause("error", error), "broke": True})

    def end_saving(self, action: Action, at: datetime) -> None:
        """Record that the action saves nothing any more, since *at*."""
        self._table.change(action.pk, action.sk, at_first={"over": at})

    def message_updated(self, action: Action) -> None:
        """Remember that the message shows *action*'s progress."""
        self._table.change(action.pk, action.sk, set_to={"told": action.mark})

    def step(self, action: Action, name: str, how: str) -> None:
        """
        Remember that the step *name* is "begun", "done", "refused" or "forgotten".

        Raises BegunBeforeError if a step is to begin, and another run has gone on with the action meanwhile.
        """
        step = {f"{_STEP_PREFIX}{_word(name)}": json.dumps([name, how])}
        mine = Attr("stage").eq(action.stage) & Attr("attempts").eq(action.attempts)
        try:
            self._table.change(action.pk, action.sk, set_to=step, only_if=mine if how == "begun" else None)
        except ConditionFailedError as error:
            raise _busy(action) from error

    def _query(self, place: str) -> list[Action]:
        """Return the actions of one partition; a late write may outlive an item that expired."""
        return [_action(item) for item in self._table.query(place) if "detector" in item]

    def _moved(
        self, action: Action, to: Stage, also: Mapping[str, Any], *, over: datetime | None = None
    ) -> Action:
        """
        Move *action* to stage *to*, and sign it if the stage is new.

        *over* is the time at which its saving may end, if it has not ended before. Raises UnverifiedError if
        the signed part of the item changed since it was read.
        """
        expected = replace(action, stage=to)
        signature = (
            sign_action(self.signatures, expected) if to in SIGNED_STAGES and to != action.stage else {}
        )
        try:
            item = self._table.change(
                action.pk,
                action.sk,
                set_to={"stage": to, **also, **signature},
                at_first={} if over is None else {"over": over},
                only_if=Attr("stage").eq(action.stage) & Attr("attempts").eq(action.attempts),
                signed=True,
            )
        except ConditionFailedError as error:
            raise _busy(action) from error
        moved = _action(item)
        if signed_content(moved, to) != signed_content(expected, to):
            raise UnverifiedError(Cause(CauseCode.MAC_INVALID))
        return moved


def _busy(action: Action) -> BegunBeforeError:
    return BegunBeforeError(f"another run is at work on {action.target.name}, or somebody asked for its undo")


def _place(result: Result) -> str:
    return partition_key(ACTION_KEY, result.detector, result.target.account, result.target.region)


def _stored(request: Request) -> dict[str, str]:
    """Return the attribute that holds the request for an undo."""
    return {"origin": json.dumps(request.as_json())}


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
        {
            **item,
            **read_causes(item, "error"),
            "target": item,
            "undo": json.loads(item["undo"]),
            "origin": json.loads(item["origin"]) if "origin" in item else None,
            "steps": steps,
        }
    )


# --- steps ----------------------------------------------------------------------------------------
#
# A step is recorded before and after its call, so that no step is done twice.

_AMBIGUOUS_STATUSES = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})

_RETRIED_CODES = frozenset(
    {
        "RequestLimitExceeded",
        "RequestTimeout",
        "RequestTimeoutException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
"""Errors of throttling and timeouts, which some services give the status 400."""


class RecordedSteps:
    """The steps of one *action*, recorded before and after each; *phase* is "act" or "undo"."""

    def __init__(self, actions: Actions, action: Action, phase: str) -> None:
        self._actions = actions
        self._action = action
        self._phase = phase
        self._known = dict(action.steps)

    def do(self, name: str, call: Callable[[], object]) -> None:
        """
        Do the step *name*, unless it is recorded as done.

        A step of an act that AWS refused was not done, unless an earlier try may have done it.
        """
        before = self._known.get(f"{self._phase}: {name}")
        if before == "done":
            return
        self._record(name, "begun")
        try:
            call()
        except Exception as error:  # raised again, after the step is recorded
            if self._phase == "act" and before != "begun" and proves_refusal(error):
                self._record(name, STEP_REFUSED)
            raise
        self._record(name, "done")

    def forget(self, name: str) -> None:
        """Let the step *name* be done again, if it is recorded as done."""
        if self._known.get(f"{self._phase}: {name}") == "done":
            self._record(name, "forgotten")

    def begun(self, name: str) -> bool:
        """Return whether the step *name* was begun before."""
        return self._known.get(f"{self._phase}: {name}") in {"begun", "done"}

    def _record(self, name: str, how: str) -> None:
        full = f"{self._phase}: {name}"
        self._actions.step(self._action, full, how)
        self._known[full] = how


def proves_refusal(error: BaseException) -> bool:
    """
    Return whether *error* proves that the changing call was not carried out.

    A lost answer, a fault of AWS (5xx), throttling and timeouts prove nothing. Neither does
    the refusal of a second try, since the first may have done its work, nor the refusal of a
    read, which says nothing of the change before it.
    """
    from botocore.exceptions import ClientError

    if not isinstance(error, ClientError) or READ_OPERATIONS.match(error.operation_name):
        return False
    about = error.response.get("ResponseMetadata", {})
    status, code = about.get("HTTPStatusCode", 0), error.response.get("Error", {}).get("Code", "")
    return (
        HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
        and status not in _AMBIGUOUS_STATUSES
        and code not in _RETRIED_CODES
        and not about.get("RetryAttempts")
    )
