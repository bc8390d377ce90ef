"""What became of a finding: a report speaks of the past."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fakes import USED, thing, waste
from ml_janitor.core.cause import Cause, Why, cause
from ml_janitor.core.model import Finding, Verdict
from ml_janitor.core.results import Outcome, Result
from ml_janitor.report.outcomes import became

UNDO = cause(Why.UNDO_WITH, "undo", "12")
USED_AGAIN = cause(Why.NO_LONGER_WASTE, "it is used")
DUE = datetime(2026, 10, 9, 3, 10, tzinfo=UTC)


def result(
    outcome: Outcome, why: Cause | None = None, due: datetime | None = None, verdict: Verdict | None = None
) -> Result:
    found = verdict or replace(waste(), action="delete the lamp")
    return Result(
        detector="shelf",
        target=thing("lamp", found).target,
        verdict=found,
        outcome=outcome,
        cause=why,
        due=due,
    )


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (result(Outcome.WOULD_ACT), "Would delete the lamp."),
        (
            result(Outcome.ADVISED, cause(Why.SPARED_BY_RULE, "prod")),
            "Only reported: prod. Proposed: delete the lamp.",
        ),
        (result(Outcome.WARNED, due=DUE), "Warned; will delete the lamp after 2026-10-09 03:10 UTC."),
        (
            result(Outcome.WAITING, cause(Why.MAX_ACTIONS, 2), due=DUE),
            "Due 2026-10-09 03:10 UTC: delete the lamp; held back by max_actions = 2 for one sweep.",
        ),
        (
            result(Outcome.WAITING, cause(Why.NOT_DUE), due=DUE),
            "Warned; will delete the lamp after 2026-10-09 03:10 UTC.",
        ),
        (
            result(Outcome.ACTED, cause(Why.UNDO_WITH, "undo", "12")),
            "Done: delete the lamp; undo: janitor undo 12.",
        ),
        (result(Outcome.FAILED, cause(Why.ACT_FAILED, "denied")), "Failed: delete the lamp; denied."),
        (result(Outcome.CHANGED, USED_AGAIN), "Not done, because it changed: it is used."),
        (result(Outcome.KEPT, verdict=USED), ""),
        (
            result(Outcome.FAILED, replace(USED_AGAIN, then=cause(Why.REVERTED_NEXT)), verdict=USED),
            "Failed: it is used; what had been done is being put back.",
        ),
        (result(Outcome.CHANGED, USED_AGAIN, verdict=USED), "it is used."),
    ],
    ids=lambda value: value.outcome.value if isinstance(value, Result) else "",
)
def test_each_outcome_has_its_sentence(what: Result, said: str) -> None:
    assert became(what) == said


def test_only_what_was_done_is_called_done() -> None:
    for outcome in Outcome:
        if outcome is not Outcome.ACTED:
            assert "Done" not in became(result(outcome, USED_AGAIN))
    assert isinstance(waste(), Finding)
