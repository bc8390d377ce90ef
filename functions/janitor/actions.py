"""What the janitor did and how it can be taken back, step by step, in the ledger's table. Laws 7 and 8."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from janitor.model import HOURS_PER_MONTH, Finding, Target
from janitor.table import EXPIRES, ConditionFailedError, Table, moment, partition, stamp

if TYPE_CHECKING:
    from janitor.model import Result

ACTION = "action"
STEP = "step_"

EXACT = Decimal("0.00000001")
"""Of a dollar an hour: a gigabyte costs a few hundred-thousandths."""

TRIES = 3
"""How often an act or an undo is tried by itself before a person has to look."""

KEEP = timedelta(days=120)
"""How long an action stays readable: longer than it can be undone."""


class Stage(StrEnum):
    """
    How far an action came. `acting` and `undoing` that nobody is at work on were broken off; nothing
    was done by one that was `withdrawn`.
    """

    ACTING = "acting"
    ACTED = "acted"
    FAILED = "failed"
    UNDOING = "undoing"
    UNDONE = "undone"
    WITHDRAWN = "withdrawn"


UNFINISHED = frozenset({Stage.ACTING, Stage.FAILED})
UNDOABLE = frozenset({Stage.ACTING, Stage.ACTED, Stage.FAILED, Stage.UNDOING})


class BegunBeforeError(Exception):
    """The action is not as the writer expects it: another run was at it."""


def finding_id(detector: str, key: str) -> str:
    """The short name of a finding, for people: ten digits of what it is about."""
    return sha256(f"{detector} {key}".encode()).hexdigest()[:10]


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """
    One clean-up of one finding, under one warning.

    *undo* is what its detector prepared, *steps* are "begun", "done" or "forgotten" by name, those of
    the undo among them. *waits* are the attempts that ended in good order, waiting for AWS. *asked* are
    those that were made before somebody asked for its undo, which was at *asked_at*.
    *hourly_usd* is what an hour of it saves; None is unknown. It saves that until it is undone, until
    *until*, when the waste would have ended by itself, or until it was *over*: seen running again, or
    made anew. *broke* is whether its last attempt failed, and *error* why. *told* is the `mark` of what
    its message says, so that a message which could not be changed is changed later. *became* is what an
    undo made of it, where it did not simply bring it back.
    """

    sk: str
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
    error: str = ""
    steps: Mapping[str, str] = field(default_factory=dict)
    hourly_usd: Decimal | None = None
    channel: str = ""
    message: str = ""
    undone_by: str = ""
    undone: datetime | None = None
    became: str = ""
    broke: bool = False
    until: datetime | None = None
    over: datetime | None = None
    told: str = ""

    @property
    def mark(self) -> str:
        """How far it came, as its message has to say it."""
        return f"{self.stage} {self.attempts}{' failed' if self.broke else ''}"

    @property
    def id(self) -> str:
        """The id of the finding that it cleaned up."""
        return finding_id(self.detector, self.target.key)

    @property
    def failures(self) -> int:
        """
        How many attempts in a row did not end in good order, the one that may be going on among them:
        of the act, or of its undo since somebody asked for that.
        """
        return self.attempts - max(self.waits, self.asked)

    @property
    def touched(self) -> bool:
        """Whether anything may have been done to its resource: a step that was begun may have been done."""
        return any(step.startswith("act: ") for step in self.steps)

    @property
    def given_up(self) -> bool:
        """Whether it is not tried again by itself."""
        return self.failures >= TRIES


class Actions:
    """
    The actions in *table*, by detector, account and region.

    Every change is conditional on the stage it comes from, so that of two runs at once one stops.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def all(self, detector: str, account: str, region: str) -> list[Action]:
        """Every action that is remembered, the oldest first."""
        items = self._table.query(partition(ACTION, detector, account, region))
        whole = (item for item in items if "detector" in item)  # a late write may outlive what ran out
        return sorted(map(_action, whole), key=lambda action: action.began)

    def everywhere(self) -> list[Action]:
        """Every action in every account and region, by reading the whole table."""
        return [_action(item) for item in self._table.scan(f"{ACTION}#") if "detector" in item]

    def begin(
        self,
        result: Result,
        undo: Mapping[str, Any],
        *,
        warned: datetime,
        now: datetime,
        by: str = "",
        channel: str = "",
        message: str = "",
    ) -> Action:
        """
        Store what brings *result*'s resource back, before anything is done to it.

        Raises BegunBeforeError if this warning was acted on before, TypeError if *undo* is not plain JSON.
        """
        written = json.dumps(undo, sort_keys=True)
        if json.loads(written) != dict(undo):
            raise TypeError(f"{result.detector}: what was prepared is not plain JSON")
        target = result.target
        hourly, until = saving(result)
        sk = f"{target.key}#{stamp(warned)}"
        item = {
            "detector": result.detector,
            "arn": target.arn,
            "name": target.name,
            "kind": target.kind,
            "account": target.account,
            "region": target.region,
            "created": None if target.created is None else target.created.isoformat(),
            "stage": Stage.ACTING.value,
            "warned": stamp(warned),
            "began": stamp(now),
            "undo": written,
            "by": by,
            "attempts": 1,
            "hourly_usd": hourly,
            "until": None if until is None else stamp(until),
            "channel": channel,
            "message": message,
            EXPIRES: int((now + KEEP).timestamp()),
        }
        try:
            self._table.put(self._where(result), sk, item, only_if="attribute_not_exists(pk)")
        except ConditionFailedError as error:
            raise BegunBeforeError(f"{target.name} was acted on before under this warning") from error
        return _action({**item, "sk": sk})

    def again(self, action: Action, now: datetime) -> Action:
        """Go on with a broken-off action. Raises BegunBeforeError if another run does already."""
        return self._moved(
            action,
            Stage.ACTING,
            {"attempts": action.attempts + 1, "error": "", "broke": False, "again": stamp(now)},
        )

    def acted(self, action: Action, now: datetime) -> Action:
        """All its steps are done, as AWS said."""
        return self._moved(action, Stage.ACTED, {"ended": stamp(now), "error": "", "broke": False})

    def unfinished(self, action: Action, waits_for: str) -> Action:
        """It waits for AWS, and goes on later. That is no failure, whatever came before."""
        return self._moved(
            action, action.stage, {"error": waits_for, "broke": False, "waits": action.attempts}
        )

    def failed(self, action: Action, error: str) -> Action:
        """It broke off with *error*; what was done is in its steps."""
        return self._moved(action, Stage.FAILED, {"error": error, "broke": True})

    def withdrawn(self, action: Action, why: str) -> Action:
        """Nothing was done, because the resource had changed."""
        return self._moved(action, Stage.WITHDRAWN, {"error": why})

    def undoing(self, action: Action, by: str, now: datetime, *, again: bool = False) -> Action:
        """
        Begin to take it back, because somebody asked for it, or go on with it *again* by itself.

        Raises BegunBeforeError if it is not as it was read.
        """
        changes: dict[str, Any] = {
            "undone_by": by,
            "error": "",
            "broke": False,
            "attempts": action.attempts + 1,
        }
        if not again:
            changes |= {"asked": action.attempts, "asked_at": stamp(now)}
        return self._moved(action, Stage.UNDOING, changes)

    def undone(self, action: Action, now: datetime, became: str = "") -> Action:
        """It is taken back, and what *became* of it, where it is not simply back."""
        changes = {"undone": stamp(now), "became": became, "error": "", "broke": False}
        return self._moved(action, Stage.UNDONE, changes)

    def undo_failed(self, action: Action, error: str) -> Action:
        """Taking it back broke off; it can be tried again."""
        return self._moved(action, Stage.UNDOING, {"error": error, "broke": True})

    def over(self, action: Action, at: datetime) -> None:
        """It saves nothing any more, since *at*."""
        self._table.change(self._place(action), action.sk, at_first={"over": stamp(at)})

    def told(self, action: Action) -> None:
        """Remember that its message says how far *action* came."""
        self._table.change(self._place(action), action.sk, set_to={"told": action.mark})

    def step(self, action: Action, name: str, how: str) -> None:
        """Remember that the step *name* is "begun", "done" or "forgotten"."""
        self._table.change(
            self._place(action), action.sk, set_to={f"{STEP}{_word(name)}": json.dumps([name, how])}
        )

    def _moved(self, action: Action, to: Stage, also: Mapping[str, Any]) -> Action:
        try:
            item = self._table.change(
                self._place(action),
                action.sk,
                set_to={"stage": to.value, **also},
                only_if="#stage = :expected AND #attempts = :tried",
                expected=action.stage.value,
                tried=action.attempts,
            )
        except ConditionFailedError as error:
            raise BegunBeforeError(f"another run is at work on {action.target.name}") from error
        return _action(item)

    def _place(self, action: Action) -> str:
        return partition(ACTION, action.detector, action.target.account, action.target.region)

    def _where(self, result: Result) -> str:
        return partition(ACTION, result.detector, result.target.account, result.target.region)


class RecordedSteps:
    """The steps of one *action*, recorded before and after each; *phase* is "act" or "undo"."""

    def __init__(self, actions: Actions, action: Action, phase: str) -> None:
        self._actions = actions
        self._action = action
        self._phase = phase
        self._known = dict(action.steps)

    def do(self, name: str, call: Callable[[], object]) -> None:
        """Do the step *name*, unless it is recorded as done."""
        if self._known.get(f"{self._phase}: {name}") == "done":
            return
        self._record(name, "begun")
        call()
        self._record(name, "done")

    def forget(self, name: str) -> None:
        """Let the step *name* be done again, if it is recorded as done."""
        if self._known.get(f"{self._phase}: {name}") == "done":
            self._record(name, "forgotten")

    def begun(self, name: str) -> bool:
        """Whether the step *name* was begun before."""
        return self._known.get(f"{self._phase}: {name}") in {"begun", "done"}

    def _record(self, name: str, how: str) -> None:
        full = f"{self._phase}: {name}"
        self._actions.step(self._action, full, how)
        self._known[full] = how


def saving(result: Result) -> tuple[Decimal | None, datetime | None]:
    """
    What an hour without *result*'s waste saves, and until when; None where that is not known.

    Of a job that would have ended nobody knows when, no hour is known to be saved.
    """
    cost = result.verdict.cost if isinstance(result.verdict, Finding) else None
    if cost is None:
        return None, None
    if cost.accrued_usd is not None and cost.until is None:
        return None, None
    hourly = cost.hourly_usd
    if hourly is None and cost.monthly_usd is not None:
        hourly = cost.monthly_usd / HOURS_PER_MONTH
    return None if hourly is None else hourly.quantize(EXACT), cost.until


def _word(name: str) -> str:
    """A step's name as part of an attribute's: DynamoDB takes letters and digits in aliases only."""
    return sha256(name.encode()).hexdigest()[:16]


def _action(item: Mapping[str, Any]) -> Action:
    steps = [json.loads(value) for name, value in item.items() if name.startswith(STEP)]
    return Action(
        sk=item["sk"],
        detector=item["detector"],
        target=Target(
            arn=item["arn"],
            name=item["name"],
            kind=item["kind"],
            account=item["account"],
            region=item["region"],
            created=moment(item["created"]),
        ),
        stage=Stage(item["stage"]),
        warned=datetime.fromisoformat(item["warned"]),
        began=datetime.fromisoformat(item["began"]),
        undo=json.loads(item["undo"]),
        by=item["by"],
        attempts=int(item["attempts"]),
        waits=int(item.get("waits", 0)),
        asked=int(item.get("asked", 0)),
        asked_at=moment(item.get("asked_at")),
        ended=moment(item.get("ended")),
        error=item.get("error", ""),
        steps=dict(steps),
        hourly_usd=item["hourly_usd"],
        channel=item["channel"],
        message=item["message"],
        undone_by=item.get("undone_by", ""),
        undone=moment(item.get("undone")),
        became=item.get("became", ""),
        broke=item.get("broke", False),
        until=moment(item.get("until")),
        over=moment(item.get("over")),
        told=item.get("told", ""),
    )
