"""The outcome of a finding as one word and as a sentence that never claims more than was done. Pure."""

from __future__ import annotations

from ml_janitor.core.cause import Why
from ml_janitor.core.model import Finding
from ml_janitor.core.results import Outcome, Result
from ml_janitor.core.text import moment, plain
from ml_janitor.report import causes

BEGUN_BEFORE = {Outcome.ACTED: "Done", Outcome.FAILED: "Failed"}
"""Words for an action that began while its resource was still a finding."""

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
    """Return the status of *result* in a word or two."""
    if not_due(result):
        return STATUS[Outcome.WARNED]
    if result.outcome in {Outcome.WAITING, Outcome.CHANGED} and result.cause and result.cause.progress:
        return HALF_DONE
    return STATUS[result.outcome]


def not_due(result: Result) -> bool:
    """Return whether *result* waits only for its date."""
    return result.outcome is Outcome.WAITING and result.why in NOT_DUE


def only_reported(result: Result) -> bool:
    """Return whether an armed detector does nothing to *result*, for a reason."""
    return result.outcome is Outcome.ADVISED and result.cause is not None


def needs_a_look(result: Result) -> bool:
    """Return whether something failed or was left half done."""
    return status(result) in {STATUS[Outcome.FAILED], HALF_DONE}


def became(result: Result) -> str:
    """Say what was done about *result*, what will be done, or why nothing is."""
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
    """Return *text* with a full stop, unless it has an end."""
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."
