"""What became of a finding: a report speaks of the past."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fakes import USED, thing, waste
from ml_janitor.core.model import Finding, Outcome, Result, Verdict
from ml_janitor.report.outcomes import became

DUE = datetime(2026, 10, 9, 3, 10, tzinfo=UTC)


def result(
    outcome: Outcome, note: str = "", due: datetime | None = None, verdict: Verdict | None = None
) -> Result:
    found = verdict or replace(waste(), action="delete the lamp")
    return Result(
        detector="shelf",
        target=thing("lamp", found).target,
        verdict=found,
        outcome=outcome,
        note=note,
        due=due,
    )


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (result(Outcome.WOULD_ACT), "Would delete the lamp."),
        (result(Outcome.ADVISED, "only reported: prod"), "Only reported: prod. Proposed: delete the lamp."),
        (result(Outcome.WARNED, due=DUE), "Warned; will delete the lamp after 2026-10-09 03:10 UTC."),
        (
            result(Outcome.WAITING, "held back by max_actions = 2", due=DUE),
            "Due 2026-10-09 03:10 UTC: delete the lamp; held back by max_actions = 2.",
        ),
        (
            result(Outcome.WAITING, "warned; not due yet", due=DUE),
            "Warned; will delete the lamp after 2026-10-09 03:10 UTC.",
        ),
        (result(Outcome.ACTED, "undo: janitor undo 12"), "Done: delete the lamp; undo: janitor undo 12."),
        (result(Outcome.FAILED, "denied"), "Failed: delete the lamp; denied."),
        (result(Outcome.CHANGED, "it is used"), "Not done, because it changed: it is used."),
        (result(Outcome.KEPT, verdict=USED), ""),
        (
            result(Outcome.FAILED, "it is used; not put back", verdict=USED),
            "Failed: it is used; not put back.",
        ),
        (result(Outcome.CHANGED, "it is used", verdict=USED), "it is used."),
    ],
    ids=lambda value: value.outcome.value if isinstance(value, Result) else "",
)
def test_each_outcome_has_its_sentence(what: Result, said: str) -> None:
    assert became(what) == said


def test_only_what_was_done_is_called_done() -> None:
    for outcome in Outcome:
        if outcome is not Outcome.ACTED:
            assert "Done" not in became(result(outcome, "so"))
    assert isinstance(waste(), Finding)
