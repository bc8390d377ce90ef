"""The outcome of a finding as one word and as a sentence that never claims more than was done. Pure."""

from __future__ import annotations

from ml_janitor.core.cause import CauseCode
from ml_janitor.core.model import Finding
from ml_janitor.core.results import Outcome, Result
from ml_janitor.core.text import escape_text, format_time
from ml_janitor.report import causes

BEGUN_WORDS = {Outcome.ACTED: "Done", Outcome.FAILED: "Failed"}
"""Words for an action that began while its resource was still a finding."""

HALF_DONE_WORD = "half done"
NOT_DUE_CAUSES = {CauseCode.NOT_DUE, CauseCode.OWNER_NOT_MESSAGED}

STATUS_WORDS = {
    Outcome.WOULD_ACT: "dry run",
    Outcome.ADVISED: "only reported",
    Outcome.WARNED: "warned",
    Outcome.WAITING: "waits",
    Outcome.KEPT: "kept",
    Outcome.ACTED: "done",
    Outcome.FAILED: "failed",
    Outcome.CHANGED: "left alone",
}


def status_word(result: Result) -> str:
    """Return the status of *result* in a word or two."""
    if is_not_due(result):
        return STATUS_WORDS[Outcome.WARNED]
    if result.outcome in {Outcome.WAITING, Outcome.CHANGED} and result.cause and result.cause.progress:
        return HALF_DONE_WORD
    return STATUS_WORDS[result.outcome]


def is_not_due(result: Result) -> bool:
    """Return whether *result* waits only for its date."""
    return result.outcome is Outcome.WAITING and result.why in NOT_DUE_CAUSES


def is_only_reported(result: Result) -> bool:
    """Return whether an armed detector does nothing to *result*, for a reason."""
    return result.outcome is Outcome.ADVISED and result.cause is not None


def needs_attention(result: Result) -> bool:
    """Return whether something failed or was left half done."""
    return status_word(result) in {STATUS_WORDS[Outcome.FAILED], HALF_DONE_WORD}


def outcome_text(result: Result) -> str:
    """Say what was done about *result*, what will be done, or why nothing is."""
    note = escape_text(causes.outcome_note(result), 1000)
    by_hand = _after(escape_text(causes.undo_by_hand_text(result), 1000))
    if not isinstance(result.verdict, Finding):
        head = BEGUN_WORDS.get(result.outcome)
        return end_sentence(f"{head}: {note}" if head and note else note)
    action = escape_text(result.verdict.action)
    when = format_time(result.due) if result.due else ""
    warned = f"Warned; will {action}{f' after {when}' if when else ''}"
    if result.why is CauseCode.OWNER_NOT_MESSAGED:
        warned += _after(note)
    warned += by_hand
    only = f"Only reported: {escape_text(causes.cause_clause(result.cause), 1000)}. " if result.cause else ""
    sentences = {
        Outcome.ACTED: f"Done: {action}{_after(note)}",
        Outcome.FAILED: f"Failed: {action}{_after(note)}",
        Outcome.CHANGED: f"Not done, because it changed: {note}",
        Outcome.WARNED: warned,
        Outcome.WAITING: warned
        if is_not_due(result)
        else f"Due{f' {when}' if when else ''}: {action}{_after(note)}{by_hand}",
        Outcome.ADVISED: f"{only}Proposed: {action}",
    }
    return end_sentence(sentences.get(result.outcome, f"Would {action}"))


def _after(note: str) -> str:
    return f"; {note}" if note else ""


def end_sentence(text: str) -> str:
    """Return *text* with a full stop, unless it has an end."""
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."
