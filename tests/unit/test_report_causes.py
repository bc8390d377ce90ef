"""The sentences of causes: what stands before, in between and after them."""

import re
from dataclasses import replace
from typing import Any

from conftest import ACCOUNT, REGION
from fakes import USED, thing, waste
from ml_janitor.core.model import Mode, Verdict, finding_id
from ml_janitor.core.results import (
    Cause,
    CauseCode,
    LimitHit,
    Outcome,
    Result,
    Sweep,
    UnfinishedProgress,
    UnreachableUndos,
    make_cause,
)
from ml_janitor.report import causes
from tables import cases

FAILED = make_cause(CauseCode.ACT_FAILED, "denied")
LOST = UnreachableUndos(detector="shelf", region=REGION, count=2, last="2026-10-01", until="2026-10-31")


def result(why: Cause | None, outcome: Outcome = Outcome.WAITING, verdict: Verdict | None = None) -> Result:
    target = thing("lamp", USED).target
    return Result(detector="shelf", target=target, verdict=verdict or waste(), outcome=outcome, cause=why)


def test_every_cause_has_a_sentence_that_takes_its_details() -> None:
    """The comment of a cause names its details: with all of them, none is left out and none is lacking."""
    assert causes.CAUSE_TEXTS.keys() == set(CauseCode)
    for why in CauseCode:
        details = [f"<{number}>" for number in range(4)]
        said = causes.cause_clause(Cause(why, (*details, "")))
        assert re.fullmatch(r"[^{}]+", said)
        assert not said.endswith(".")


@cases(
    "what, said",
    (FAILED, "denied"),
    (make_cause(CauseCode.NOT_PROVEN, "likely", ""), "it is likely, and only what is proven is acted on"),
    (
        make_cause(CauseCode.NOT_PROVEN, "likely", "a tag"),
        "it is likely, and only what is proven is acted on; to prove it: a tag",
    ),
    (make_cause(CauseCode.GONE), "it is gone"),
    (replace(FAILED, along="the app"), "it would take along the app: denied"),
    (replace(FAILED, progress=UnfinishedProgress.HALF_DONE), "half done: denied"),
    (
        replace(FAILED, progress=UnfinishedProgress.REVERT_ASKED, by="Maria (U1)"),
        "asked back by Maria, and denied",
    ),
    (replace(FAILED, progress=UnfinishedProgress.HALF_REVERTED), "half brought back, and denied"),
    (
        replace(FAILED, then=make_cause(CauseCode.REVERTED_NEXT)),
        "denied; what had been done is being put back",
    ),
    (
        replace(
            FAILED, then=make_cause(CauseCode.REVERT_NOT_ASKED, "no function"), by_hand="janitor undo 12"
        ),
        "denied; what had been done is not put back: no function; by hand: janitor undo 12",
    ),
)
def test_a_cause_is_a_clause(what: Cause, said: str) -> None:
    assert causes.cause_clause(what) == said


SHARE = make_cause(CauseCode.MAX_SHARE, 5, 9, 20, "shelf")


@cases(
    "what, begins",
    (result(None), ""),
    (result(FAILED), "denied"),
    (result(SHARE), "held back: 5 of 9 would"),
    (result(replace(SHARE, progress=UnfinishedProgress.HALF_DONE)), "half done: 5 of 9 would"),
    (result(SHARE, Outcome.ADVISED), "only reported: 5 of 9 would"),
    (result(make_cause(CauseCode.UNDO_WITH, "restart", "12"), Outcome.ACTED), "restart: janitor restart 12"),
    (result(make_cause(CauseCode.NOTHING_DONE, "denied"), Outcome.FAILED), "nothing was done: denied"),
)
def test_a_note_says_what_stands_before_its_reason(what: Result, begins: str) -> None:
    assert causes.outcome_note(what).startswith(begins)
    assert bool(causes.outcome_note(what)) == bool(begins)


BY_HAND = replace(waste(), missing_for_undo="undo_roles")
COMMAND = f"janitor undo {finding_id('shelf', thing('lamp', USED).target.key)}"


@cases(
    "verdict, outcome, said",
    (BY_HAND, Outcome.WAITING, True),
    (BY_HAND, Outcome.WARNED, True),
    (BY_HAND, Outcome.ACTED, False),
    (waste(), Outcome.WAITING, False),
    (USED, Outcome.WAITING, False),
)
def test_an_undo_by_hand_is_announced_first(verdict: Verdict, outcome: Outcome, *, said: bool) -> None:
    text = causes.undo_by_hand_text(result(None, outcome, verdict))
    assert text == (
        causes.cause_clause(make_cause(CauseCode.UNDO_BY_HAND, "undo_roles", COMMAND)) if said else ""
    )
    assert (COMMAND in text) == said


def test_limits_and_undos_that_nobody_may_do_are_counted() -> None:
    of_sweep: dict[str, Any] = {"detector": "shelf", "account": ACCOUNT, "region": REGION, "mode": Mode.ACT}
    limit = LimitHit(make_cause(CauseCode.MAX_ACTIONS, 2), 3)

    assert causes.limit_text(limit) == "3 held back by max_actions = 2 for one sweep"
    assert causes.limit_text(replace(limit, times=None)) == "held back by max_actions = 2 for one sweep"
    assert causes.limit_texts(Sweep(**of_sweep)) == []
    assert causes.limit_texts(Sweep(**of_sweep, held_back=(limit,), unreachable=LOST)) == [
        causes.limit_text(limit),
        causes.unreachable_undos_text(LOST),
    ]
    assert causes.unreachable_undos_text(LOST).startswith(
        f"2 things that it did in {REGION} can be undone until 2026-10-31"
    )
    assert "armed_until = 2026-10-01 in detectors.shelf" in causes.unreachable_undos_text(LOST)
    assert causes.unreachable_undos_text(replace(LOST, count=1)).startswith("1 thing that")


def test_the_cause_behind_a_cause_is_a_clause_of_its_own() -> None:
    behind = make_cause(CauseCode.OUT_OF_TIME)
    for code in (CauseCode.NOT_FINISHED, CauseCode.ACT_FAILED):
        text = causes.cause_clause(make_cause(code, behind))
        assert causes.cause_clause(behind) in text
        assert str(behind) not in text
