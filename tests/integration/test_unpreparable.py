"""What only preparing refuses: warned about once, then only reported, and asked again without a word."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from armed import Cellar
from conftest import ACCOUNT, REGION
from fakes import waste
from ml_janitor.acting.acting import Acting
from ml_janitor.core.results import Outcome
from ml_janitor.engine.detector import CannotActError, NotFinishedError
from ml_janitor.engine.run import RunFailedError
from ml_janitor.ledger.actions import Stage
from ml_janitor.ledger.findings import Entry
from ml_janitor.report.causes import outcome_note
from nights import DAY, HOUR, Nights, by_name

WATCHED = CannotActError("a monitoring schedule watches it")
REPORTED = (Outcome.ADVISED, "only reported: a monitoring schedule watches it")


@pytest.fixture
def refused(nights: Nights) -> Nights:
    """A lamp that was warned about, and that cannot be prepared when it is due."""
    nights.warned("lamp")
    nights.world.refuses = WATCHED
    lamp = nights.after(4 * DAY)["lamp"]
    assert (lamp.outcome, outcome_note(lamp)) == REPORTED
    return nights


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was prepared, by name."""
    asked: list[str] = []
    real = Cellar.prepare

    def prepare(self: Cellar, aws: Any, candidate: Any, *args: Any) -> Any:
        asked.append(candidate.target.name)
        return real(self, aws, candidate, *args)

    monkeypatch.setattr(Cellar, "prepare", prepare)
    return asked


def entry(nights: Nights) -> Entry:
    (found,) = nights.ledger.entries("cellar", ACCOUNT, REGION)
    return found


def test_nobody_is_warned_again_and_again_of_what_will_not_happen(
    refused: Nights, prepared: list[str]
) -> None:
    for _ in range(20):
        lamp = refused.after(DAY)["lamp"]
        assert (lamp.outcome, outcome_note(lamp)) == REPORTED

    assert refused.postman.carried == ["lamp"]
    assert prepared == ["lamp"] * 6, "asked again when a warning would have been due, every three days"
    assert refused.world.done == []


def test_once_nothing_stands_against_it_it_is_warned_about_anew(refused: Nights) -> None:
    refused.world.refuses = None

    assert refused.after(DAY)["lamp"].outcome is Outcome.ADVISED
    assert refused.after(3 * DAY)["lamp"].outcome is Outcome.WARNED

    assert refused.after(DAY)["lamp"].outcome is Outcome.WAITING
    assert refused.after(3 * DAY)["lamp"].outcome is Outcome.ACTED
    assert refused.postman.carried == ["lamp", "lamp"]


def test_another_reason_is_told(refused: Nights) -> None:
    refused.world.refuses = CannotActError("it has a shadow")

    lamp = refused.after(4 * DAY)["lamp"]

    assert (lamp.outcome, outcome_note(lamp)) == (Outcome.ADVISED, "only reported: it has a shadow")
    assert refused.postman.carried == ["lamp"]


def test_a_sweep_that_broke_off_does_not_warn_of_it_either(refused: Nights) -> None:
    refused.world.broken = RuntimeError("the listing broke off")
    refused.clock += 4 * DAY

    with pytest.raises(RunFailedError):
        refused.sweep()

    assert refused.postman.carried == ["lamp"]


def test_nor_does_one_whose_acting_broke_off(refused: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    def act(*_: Any, **__: Any) -> None:
        raise RuntimeError("acting broke off")

    monkeypatch.setattr(Acting, "act", act)
    refused.clock += 4 * DAY

    with pytest.raises(RunFailedError, match="acting broke off"):
        refused.sweep()

    assert refused.postman.carried == ["lamp"]


def test_asking_again_goes_on_from_its_memo_and_warns_when_it_came_to_an_end(refused: Nights) -> None:
    refused.world.refuses = NotFinishedError("comparing", {})

    outcomes = [refused.after(4 * DAY)["lamp"].outcome, refused.after(HOUR)["lamp"].outcome]
    assert (outcomes, entry(refused).memo) == ([Outcome.ADVISED] * 2, {"read": 2})
    refused.world.refuses = None

    assert refused.after(HOUR)["lamp"].outcome is Outcome.WARNED
    assert entry(refused).memo == {}


def test_what_cannot_be_read_while_asking_again_changes_nothing(refused: Nights) -> None:
    refused.world.refuses = RuntimeError("throttled")
    lamp = refused.after(4 * DAY)["lamp"]
    assert (lamp.outcome, outcome_note(lamp)) == REPORTED
    refused.world.refuses = None

    assert refused.after(HOUR)["lamp"].outcome is Outcome.WARNED


def test_what_was_in_use_meanwhile_starts_from_nothing(refused: Nights) -> None:
    refused.world.use("lamp")
    refused.after(HOUR)
    refused.world.judge("lamp", waste())

    assert refused.after(HOUR)["lamp"].outcome is Outcome.WARNED


def test_another_grace_is_the_one_that_is_waited_for(refused: Nights, prepared: list[str]) -> None:
    refused.world.judge("lamp", replace(waste(), grace=HOUR))

    refused.after(2 * HOUR)

    assert prepared == ["lamp"]


def test_a_refusal_at_a_persons_word_is_remembered_too(nights: Nights) -> None:
    nights.warned("lamp")
    nights.ledger.make_due(entry(nights), by="maria", now=nights.clock)
    nights.world.refuses = WATCHED

    nights.after(HOUR)
    lamp = by_name(nights.sweep())["lamp"]

    assert ((lamp.outcome, outcome_note(lamp)), nights.postman.carried) == (REPORTED, ["lamp"])


def test_what_could_not_be_kept_for_an_undo_is_not_done(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An item of DynamoDB holds 400 KB; the steps of an act and of its undo have to fit in, too."""
    kilobytes = 350

    def prepare(*_: object) -> dict[str, str]:
        return {"name": "lamp", "environment": "x" * 1024 * kilobytes}

    monkeypatch.setattr(Cellar, "prepare", prepare)
    nights.warned("lamp")

    refused = nights.after(4 * DAY)["lamp"]

    assert (refused.outcome, nights.world.done) == (Outcome.ADVISED, [])
    assert (
        outcome_note(refused) == "only reported: what an undo would need is 350 KB, and the ledger takes 300"
    )
    for _ in range(10):
        assert nights.after(DAY)["lamp"].outcome is Outcome.ADVISED
    kilobytes = 299
    for _ in range(5):
        nights.after(2 * DAY)
    undone = nights.undoing.undo(nights.detector, nights.aws, nights.of("lamp"), by="maria")
    assert undone.stage is Stage.UNDONE
