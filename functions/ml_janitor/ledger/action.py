"""One action: the change that the janitor makes to a finding's resource, and its progress."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from ml_janitor.core.cost import HOURS_PER_MONTH
from ml_janitor.core.model import Finding, Target, finding_id
from ml_janitor.core.results import Result
from ml_janitor.ledger.messages import WarningMessages

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
    *mac* authenticates the action at stage *signed*.
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
    error: str = ""
    steps: Mapping[str, str] = field(default_factory=dict)
    hourly_usd: Decimal | None = None
    undone_by: str = ""
    undone: datetime | None = None
    became: str = ""
    broke: bool = False
    until: datetime | None = None
    over: datetime | None = None
    told: str = ""
    mac: str = ""
    signed: str = ""

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
