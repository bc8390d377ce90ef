"""
Each mechanism of the armed engine switched off in turn: the oracle of the random nights must see it.

Each is seen in the nights of most accounts; the seeds here are some that see it early. Where the nights of a
seed have changed, other accounts are tried.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

from ml_janitor.acting import acting
from ml_janitor.acting.acting import ActedSweep, Acting, Postponement, Recheck
from ml_janitor.acting.undoing import Undoing
from ml_janitor.core.model import Target
from ml_janitor.core.results import Cause, CauseCode, Result, Sweep, make_cause
from ml_janitor.engine.detector import Detector
from ml_janitor.engine.policy import Arming, RunPolicy
from ml_janitor.ledger.actions import RecordedSteps
from ml_janitor.ledger.findings import Entry, Ledger
from ml_janitor.ledger.limits import ActionLimits
from ml_janitor.ledger.requests import Holds
from ml_janitor.ledger.table import Table
from ml_janitor.scheduled.sweep_run import SweepRunner
from properties.nightly.driver import People
from properties.nightly.store import Watching

if TYPE_CHECKING:
    from properties.conftest import Live

type Off = Mapping[tuple[type[Any] | Any, str], Any]
"""What stands in for which mechanisms."""

pytestmark = pytest.mark.mutants

NIGHTS = 10
ACCOUNTS = 12
FAR = timedelta(days=3650)


def nothing(*_: object, **__: object) -> None:
    """Nothing stands in the way."""


def yes(*_: object, **__: object) -> bool:
    return True


def no(*_: object, **__: object) -> bool:
    return False


def none(*_: object) -> dict[str, Any]:
    return {}


REAL_DUE, REAL_ACT, REAL_PUT = acting.due_findings, Acting.act, Table.put
REAL_NIGHT = ActionLimits.in_night
REAL_WHY = Postponement.of


def everything(sweep: Sweep, entries: Mapping[str, Entry], clock: datetime) -> list[Result]:
    return REAL_DUE(sweep, entries, clock + FAR)


def at_once(_: Arming, warned: datetime, *__: object, **___: object) -> datetime:
    return warned


def as_swept(self: Recheck, result: Result, *__: object) -> tuple[Any, Any]:
    item = cast("Watching", self.armed.detector).store.items.get(result.target.name)
    return (None, None) if item is None else (result.verdict, item.candidate)


def complete(
    self: Acting, detector: Detector[Any], aws: Any, sweep: Sweep, *args: Any, **how: Any
) -> ActedSweep:
    return REAL_ACT(self, detector, aws, replace(sweep, error=None), *args, **how)


def overwriting(self: Table, pk: str, sk: str, attributes: Mapping[str, Any], **_: Any) -> Any:
    return REAL_PUT(self, pk, sk, attributes)


def without_actions(self: Table, pk: str, sk: str, attributes: Mapping[str, Any], **how: Any) -> Any:
    return attributes if pk.startswith("action#") else REAL_PUT(self, pk, sk, attributes, **how)


def of_the_due(self: Postponement, key: str, at: datetime, **how: Any) -> Cause | None:
    due = REAL_DUE(self.armed.sweep, self.armed.entries, at)
    many = self.armed.arming.too_many(len(due), self.armed.sweep.looked_at)
    vars(self)["too_much"] = make_cause(CauseCode.MAX_SHARE, len(due), 0, 0, "") if many else None
    return REAL_WHY(self, key, at, **how)


def by_arn(target: Target) -> str:
    return f"{target.arn}@"


def each_its_own(self: ActionLimits, counter: str, action: str, **how: Any) -> bool:
    """A night's places for each detector alone."""
    detector, _, key = action.partition(" ")
    return REAL_NIGHT(self, f"{counter}#{detector}", key, **how | {"begun": ()})


def forgetful(self: RecordedSteps, name: str, call: Callable[[], object]) -> None:
    """Each step is written down, and done again all the same."""
    self._record(name, "begun")
    call()
    self._record(name, "done")


SWITCHED_OFF: Sequence[tuple[str, Off, int, str]] = [
    ("dry", {(SweepRunner, "dry"): property(lambda _: False, nothing)}, 3, "in a dry run|by a dry run"),
    ("complete", {(Acting, "act"): complete}, 4, "before everything was read"),
    ("look again", {(Recheck, "verdict"): as_swept}, 1, "was not looked at again"),
    ("holds", {(Holds, "all"): none}, 7, "is kept by a person"),
    ("tags", {(RunPolicy, "keeps"): nothing}, 1, "is kept by its tags"),
    ("due", {(acting, "due_findings"): everything, (Arming, "due"): at_once}, 1, "before its grace is over"),
    ("said", {(acting, "due_findings"): everything}, 2, "as was said"),
    ("void", {(Ledger, "void_warning"): nothing}, 4, "has no warning"),
    ("act_in", {(Arming, "within"): yes}, 2, "spared: outside act_in"),
    ("managed", {(Arming, "protects"): nothing}, 1, "spared: (managed|production)"),
    ("max_actions", {(ActionLimits, "in_sweep"): yes}, 6, "of one sweep"),
    ("a night", {(ActionLimits, "in_night"): yes}, 4, "of one night"),
    ("one night for all", {(ActionLimits, "in_night"): each_its_own}, 27, "of one night"),
    ("steps", {(RecordedSteps, "do"): forgetful}, 1, "is done twice"),
    ("days of rest", {(Arming, "rests"): no}, 16, "on a day of rest"),
    ("lapsed", {(Entry, "outlived"): no}, 8, "and not found since"),
    (
        "share of all waste",
        {(Postponement, "of"): of_the_due, (People, "presses"): nothing},
        32,
        "nobody approved",
    ),
    ("max_share", {(Arming, "too_many"): nothing, (People, "presses"): nothing}, 3, "and nobody approved"),
    ("undo first", {(Table, "put"): without_actions}, 1, "has no undo in the table"),
    ("rest", {(Undoing, "_snooze"): nothing}, 1, "kept because it was brought back"),
    (
        "identity",
        {(Target, "key"): property(by_arn), (People, "presses"): nothing},
        15,
        "nobody was warned about|has its name now",
    ),
    ("one at a time", {(Table, "put"): overwriting}, 1, "two sweeps at once"),
]


assert all(hasattr(owner, name) for _, off, *_ in SWITCHED_OFF for owner, name in off)


@pytest.mark.parametrize(
    ("off", "seed", "said"), [pytest.param(*rest, id=name) for name, *rest in SWITCHED_OFF]
)
def test_without_its_mechanism_a_law_is_seen_to_be_broken(
    off: Off, seed: int, said: str, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    for (owner, name), instead in off.items():
        monkeypatch.setattr(owner, name, instead)

    for account in dict.fromkeys([seed, *range(1, ACCOUNTS + 1)]):
        try:
            live(account, nights=NIGHTS)
        except AssertionError as seen:
            if re.search(said, str(seen)):
                return
    pytest.fail(f"nothing that {said} was seen in {ACCOUNTS} accounts")
