"""What became of a finding: a report speaks of the past."""

from dataclasses import replace
from datetime import UTC, datetime

from fakes import USED, result_of, waste
from ml_janitor.core.model import Finding, Verdict
from ml_janitor.core.results import Cause, CauseCode, Outcome, Result, UnfinishedProgress, make_cause
from ml_janitor.report.causes import is_only_reported, needs_attention, outcome_text, status_word
from tables import cases

UNDO = make_cause(CauseCode.UNDO_WITH, "undo", "12")
USED_AGAIN = make_cause(CauseCode.NO_LONGER_WASTE, "it is used")
PUT_BACK = replace(USED_AGAIN, then=make_cause(CauseCode.REVERTED_NEXT))
MOST, EARLY = make_cause(CauseCode.MAX_ACTIONS, 2), make_cause(CauseCode.NOT_DUE)
DENIED, SPARED = make_cause(CauseCode.ACT_FAILED, "denied"), make_cause(CauseCode.SPARED_BY_RULE, "prod")
DUE = datetime(2026, 10, 9, 3, 10, tzinfo=UTC)


def result(
    outcome: Outcome, why: Cause | None = None, due: datetime | None = None, verdict: Verdict | None = None
) -> Result:
    found = verdict or replace(waste(), action="delete the lamp")
    return result_of("lamp", found, outcome=outcome, cause=why, due=due)


@cases(
    "what, said",
    (result(Outcome.WOULD_ACT), "Would delete the lamp."),
    (result(Outcome.ADVISED, SPARED), "Only reported: prod. Proposed: delete the lamp."),
    (result(Outcome.WARNED, due=DUE), "Warned; will delete the lamp after 2026-10-09 03:10 UTC."),
    (
        result(Outcome.WAITING, MOST, due=DUE),
        "Due 2026-10-09 03:10 UTC: delete the lamp; held back by max_actions = 2 for one sweep.",
    ),
    (result(Outcome.WAITING, EARLY, due=DUE), "Warned; will delete the lamp after 2026-10-09 03:10 UTC."),
    (result(Outcome.ACTED, UNDO), "Done: delete the lamp; undo: janitor undo 12."),
    (result(Outcome.FAILED, DENIED), "Failed: delete the lamp; denied."),
    (result(Outcome.CHANGED, USED_AGAIN), "Not done, because it changed: it is used."),
    (result(Outcome.KEPT, verdict=USED), ""),
    (
        result(Outcome.FAILED, PUT_BACK, verdict=USED),
        "Failed: it is used; what had been done is being put back.",
    ),
    (result(Outcome.CHANGED, USED_AGAIN, verdict=USED), "it is used."),
    ids=lambda value: value.outcome.value if isinstance(value, Result) else "",
)
def test_each_outcome_has_its_sentence(what: Result, said: str) -> None:
    assert outcome_text(what) == said


HALF = replace(make_cause(CauseCode.MAX_ACTIONS, 2), progress=UnfinishedProgress.HALF_DONE)


@cases(
    "what, word, alarming",
    (result(Outcome.WOULD_ACT), "dry run", False),
    (result(Outcome.ADVISED, make_cause(CauseCode.SPARED_BY_RULE, "prod")), "only reported", False),
    (result(Outcome.WARNED), "warned", False),
    (result(Outcome.WAITING, make_cause(CauseCode.NOT_DUE)), "warned", False),
    (result(Outcome.WAITING, make_cause(CauseCode.OWNER_NOT_MESSAGED, "gone")), "warned", False),
    (result(Outcome.WAITING, make_cause(CauseCode.MAX_ACTIONS, 2)), "waits", False),
    (result(Outcome.WAITING, HALF), "half done", True),
    (result(Outcome.CHANGED, HALF), "half done", True),
    (result(Outcome.CHANGED, USED_AGAIN), "left alone", False),
    (result(Outcome.KEPT, verdict=USED), "kept", False),
    (result(Outcome.ACTED, replace(UNDO, progress=UnfinishedProgress.HALF_DONE)), "done", False),
    (result(Outcome.FAILED, HALF), "failed", True),
)
def test_a_status_is_a_word_and_may_alarm(what: Result, word: str, *, alarming: bool) -> None:
    assert (status_word(what), needs_attention(what)) == (word, alarming)
    assert is_only_reported(what) == (what.outcome is Outcome.ADVISED)


def test_what_is_advised_by_a_dry_run_is_not_only_reported_for_a_reason() -> None:
    assert not is_only_reported(result(Outcome.ADVISED))


def test_only_what_was_done_is_called_done() -> None:
    for outcome in Outcome:
        if outcome is not Outcome.ACTED:
            assert "Done" not in outcome_text(result(outcome, USED_AGAIN))
    assert isinstance(waste(), Finding)
