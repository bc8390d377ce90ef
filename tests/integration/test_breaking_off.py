"""The ledger fails in the middle of a run, or its answer is lost: what was done is told. Law 8."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from armed import DENIED, raising, tagged
from conftest import ACCOUNT, REGION
from lambdas import reports
from ml_janitor.core.results import CauseCode, Outcome, make_cause
from ml_janitor.engine.detector import CannotActError
from ml_janitor.engine.run import RunFailedError
from ml_janitor.ledger.actions import Stage
from ml_janitor.ledger.findings import Ledger
from ml_janitor_sandbox.control import Control
from nights import DAY, Nights


def reported(nights: Nights) -> dict[str, str]:
    """The outcomes in the report of a run that failed, which tonight's run is."""
    with pytest.raises(RunFailedError):
        nights.sweep()
    (kept,) = (
        text
        for name, text in reports(nights.session).items()
        if name.endswith(f"{nights.clock:%Y-%m-%dT%H-%M-%SZ}.json")
    )
    return {result["name"]: result["outcome"] for result in json.loads(kept)["results"]}


def refusing(change: Callable[..., None], *, after: int = 0) -> Callable[..., None]:
    """*change*, which the table refuses *after* so many times."""
    calls: list[object] = []

    def refused(*args: Any, **how: Any) -> None:
        if len(calls) == after:
            raise DENIED
        calls.append(args)
        change(*args, **how)

    return refused


def test_of_what_was_refused_before(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last thing that acting does is to ask whether what was refused before still is."""
    nights.warned("lamp")
    nights.world.refuses = CannotActError("it is watched")
    nights.after(4 * DAY)
    nights.world.refuses = None
    nights.warned("chair")
    monkeypatch.setattr(Ledger, "clear_refusal", refusing(Ledger.clear_refusal))
    nights.clock += 4 * DAY

    assert reported(nights) == {"chair": "acted", "lamp": "advised"}
    assert nights.of("chair").stage is Stage.ACTED


def test_of_what_is_only_reported_by_now(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was half done goes first."""
    nights.warned("lamp")
    nights.world.add("chair")
    nights.world.before = raising(OSError("reset"), at="remove lamp")
    nights.after(4 * DAY)
    nights.world.before = lambda _: None
    nights.world.things["chair"] = tagged("chair", environment="prod")
    monkeypatch.setattr(Ledger, "void_warning", refusing(Ledger.void_warning))
    nights.clock += DAY

    assert reported(nights) == {"chair": "advised", "lamp": "acted"}


def test_of_warnings(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more are sent that nobody could remember."""
    nights.world.add("a", "b", "c")
    monkeypatch.setattr(Ledger, "warned", refusing(Ledger.warned, after=1))

    assert reported(nights) == {"a": "warned", "b": "waiting", "c": "waiting"}
    assert nights.postman.carried == ["a", "b"]


@pytest.mark.parametrize(
    ("operation", "match"),
    [("PutItem", '"attempts"'), ("UpdateItem", '{"S": "acted"}')],
    ids=["stored", "acted"],
)
def test_an_answer_of_the_ledger_that_is_lost(
    nights: Nights, box: Control, operation: str, match: str
) -> None:
    """The try after that is refused, because the first one did it. It is no other run that was at it."""
    nights.warned("lamp")
    box.fault("dynamodb", operation, "lost-reply", match=match)

    acted = nights.after(4 * DAY)["lamp"]

    assert (acted.outcome, list(nights.world.things)) == (Outcome.ACTED, [])
    (entry,) = nights.ledger.entries("cellar", ACCOUNT, REGION)
    assert entry.close_reason == make_cause(CauseCode.CLEANED_UP)
