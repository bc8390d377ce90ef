"""
Whatever happens in whatever nights: nothing is done that may not be done, nothing twice, and by no sentence.

`make soak NIGHTS=2000` lives through more nights, `make soak SEED=17` once more through those of one account.
State is typed: with noise for all sentences of `report`, the same nights take the same decisions.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

import samples
from ml_janitor.core.model import Finding
from ml_janitor.report import causes
from ml_janitor.report.warnings import Status, StatusWording
from ml_janitor.scheduled.sweep_run import SweepRunner
from properties.conftest import LONG_IN_SOAK, SEED, SOAK, Live

if TYPE_CHECKING:
    from ml_janitor.core.results import Result

pytestmark = LONG_IN_SOAK

NIGHTS = 10
"""Of each account."""

NOISY = 5
"""The account that is lived through with noise as well."""

SEEDS = [SEED] if SEED else range(1, SOAK // NIGHTS + 1) if SOAK else [NOISY, 10 + samples.SEED % 190]
"""Without `make soak`, one of those accounts that `make soak` lives through."""

REASONS = 10
"""With fewer of them, noise would have had little to change."""

type Decision = tuple[str, str, str, str]


def decided(result: Result) -> Decision:
    """What was decided about one resource: its outcome, why, when it is due, and whether it is waste."""
    why = "" if result.cause is None else result.cause.why.name
    waste = type(result.verdict).__name__
    return result.target.key, f"{result.outcome} {waste}", why, str(result.due)


@pytest.fixture
def decisions(monkeypatch: pytest.MonkeyPatch) -> list[Decision]:
    """Everything that runs decide, in their order."""
    made: list[Decision] = []
    sweep = SweepRunner.sweep

    def listening(self: SweepRunner, *given: Any, **how: Any) -> Any:
        ran = sweep(self, *given, **how)
        made.extend(decided(result) for result in ran.report.results)
        for one in ran.report.sweeps:
            made.extend(("held back", one.detector, held.cause.why.name, "") for held in one.held_back)
        return ran

    monkeypatch.setattr(SweepRunner, "sweep", listening)
    return made


@pytest.fixture(scope="module")
def lived() -> Iterator[dict[int, tuple[Decision, ...]]]:
    """What was decided, by seed."""
    yield {}


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_done_that_may_not_be_done(
    seed: int, live: Live, decisions: list[Decision], lived: dict[int, tuple[Decision, ...]]
) -> None:
    live(seed, nights=NIGHTS)
    lived[seed] = tuple(decisions)


def add_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """No sentence is twice the same, and none says anything."""
    numbers = count()

    def noise(*_: object) -> str:
        return f"zq{next(numbers)}"

    for why in causes.CAUSE_TEXTS:
        monkeypatch.setitem(causes.CAUSE_TEXTS, why, noise())
    for table in (causes.CAUSE_LEADS, causes.OPTIONAL_DETAILS):
        for why in table:
            monkeypatch.setitem(table, why, noise())
    monkeypatch.setattr(causes, "end_sentence", noise)
    says = StatusWording._status

    def muttering(self: StatusWording, *given: Any) -> Status:
        said = says(self, *given)
        return Status(noise(), said.buttons, noise() if said.revert_effect else "")

    monkeypatch.setattr(StatusWording, "_status", muttering)


def test_noise_for_sentences_changes_no_decision(
    live: Live,
    decisions: list[Decision],
    lived: dict[int, tuple[Decision, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if NOISY not in lived:
        live(NOISY, nights=NIGHTS)
        lived[NOISY] = tuple(decisions)
        decisions.clear()
    add_noise(monkeypatch)

    live(NOISY, nights=NIGHTS)

    assert tuple(decisions) == lived[NOISY]
    assert {outcome.partition(" ")[2] for _, outcome, *_ in decisions} >= {Finding.__name__, "Kept"}
    assert len({why for *_, why, _ in decisions}) >= REASONS
