"""What became of a finding, in one word and in a sentence that never says more than was done. Pure."""

from __future__ import annotations

from ml_janitor.core.cause import Why
from ml_janitor.core.model import Finding
from ml_janitor.core.results import Outcome, Result
from ml_janitor.core.text import moment, plain
from ml_janitor.report import causes

BEGUN_BEFORE = {Outcome.ACTED: "Done", Outcome.FAILED: "Failed"}
"""Of an action that was begun when its resource was a finding still."""

HALF_DONE = "half done"
NOT_DUE = {Why.NOT_DUE, Why.OWNER_NOT_MESSAGED}

STATUS = {
    Outcome.WOULD_ACT: "dry run",
    Outcome.ADVISED: "only reported",
    Outcome.WARNED: "warned",
    Outcome.WAITING: "waits",
    Outcome.KEPT: "kept",
    Outcome.ACTED: "done",
    Outcome.FAILED: "failed",
    Outcome.CHANGED: "left alone",
}


def status(result: Result) -> str:
    """Where *result* stands, in a word or two."""
    if not_due(result):
        return STATUS[Outcome.WARNED]
    if result.outcome in {Outcome.WAITING, Outcome.CHANGED} and result.cause and result.cause.progress:
        return HALF_DONE
    return STATUS[result.outcome]


def not_due(result: Result) -> bool:
    """Whether *result* waits for nothing but its date."""
    return result.outcome is Outcome.WAITING and result.why in NOT_DUE


def only_reported(result: Result) -> bool:
    """Whether an armed detector does nothing to *result*, for a reason."""
    return result.outcome is Outcome.ADVISED and result.cause is not None


def needs_a_look(result: Result) -> bool:
    """Whether something failed or was left half done."""
    return status(result) in {STATUS[Outcome.FAILED], HALF_DONE}


def became(result: Result) -> str:
    """What was done about *result*, what will be, or why nothing is."""
    note = plain(causes.note(result), 1000)
    by_hand = _after(plain(causes.undone_by_hand(result), 1000))
    if not isinstance(result.verdict, Finding):
        head = BEGUN_BEFORE.get(result.outcome)
        return sentence(f"{head}: {note}" if head and note else note)
    action = plain(result.verdict.action)
    when = moment(result.due) if result.due else ""
    warned = f"Warned; will {action}{f' after {when}' if when else ''}"
    if result.why is Why.OWNER_NOT_MESSAGED:
        warned += _after(note)
    warned += by_hand
    only = f"Only reported: {plain(causes.reason(result.cause), 1000)}. " if result.cause else ""
    sentences = {
        Outcome.ACTED: f"Done: {action}{_after(note)}",
        Outcome.FAILED: f"Failed: {action}{_after(note)}",
        Outcome.CHANGED: f"Not done, because it changed: {note}",
        Outcome.WARNED: warned,
        Outcome.WAITING: warned
        if not_due(result)
        else f"Due{f' {when}' if when else ''}: {action}{_after(note)}{by_hand}",
        Outcome.ADVISED: f"{only}Proposed: {action}",
    }
    return sentence(sentences.get(result.outcome, f"Would {action}"))


def _after(note: str) -> str:
    return f"; {note}" if note else ""


def sentence(text: str) -> str:
    """*text* with an end."""
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."
