"""One action: what was done to a finding's resource, and how far it came."""

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

TRIES = 3
"""How often an act or an undo is tried by itself before a person has to look."""


REFUSED = "refused"
"""What a step is that AWS refused for certain: nothing was done by it."""


EXACT = Decimal("0.00000001")
"""Of a dollar an hour: a gigabyte costs a few hundred-thousandths."""


class Stage(StrEnum):
    """
    How far an action came. `acting` and `undoing` that no run works on were broken off; nothing
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Action(WarningMessages):
    """
    One clean-up of one finding, under one warning.

    *undo* is what its detector prepared, *steps* are "begun", "done", "refused" or "forgotten" by name,
    those of the undo among them. *waits* are the attempts that ended in good order, waiting for AWS.
    *asked* are those that were made before somebody asked for its undo, which was at *asked_at*.
    *hourly_usd* is what an hour of it saves; None is unknown. It saves that until it is undone, until
    *until*, when the waste would have ended by itself, or until it was *over*: asked back, seen running
    again, or made anew. *broke* is whether its last attempt failed, and *error* why. *told* is the `mark`
    of what its message says, so that a message which could not be changed is changed later. *became* is
    what an undo made of it, where it did not simply bring it back. *mac* authenticates it at stage *signed*.
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
        """
        Whether anything may have been done to its resource: a step that was begun may have been done, one
        that AWS refused was not.
        """
        return any(step.startswith("act: ") and how != REFUSED for step, how in self.steps.items())

    @property
    def coming_back(self) -> bool:
        """Whether its undo was begun: asked for, it may not have been yet."""
        return any(step.startswith("undo: ") for step in self.steps)

    @property
    def given_up(self) -> bool:
        """Whether it is not tried again by itself."""
        return self.failures >= TRIES


def saving(result: Result) -> tuple[Decimal | None, datetime | None]:
    """
    What an hour without *result*'s waste saves, and until when; None where that is not known.

    For a job whose end is unknown, no hour is known to be saved.
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
