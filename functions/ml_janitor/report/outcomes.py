"""What became of a finding, in one word and in a sentence that never says more than was done. Pure."""

from __future__ import annotations

from ml_janitor.core.model import Finding, Outcome, Result
from ml_janitor.core.text import moment, plain

BEGUN_BEFORE = {Outcome.ACTED: "Done", Outcome.FAILED: "Failed"}
"""Of an action that was begun when its resource was a finding still."""

QUIET = "warned; not due yet"
"""The note of what waits for nothing but its date."""

HALF_DONE = "half done"
HALVES = (HALF_DONE, "half brought back", "asked back")
"""How the notes begin of what was begun and not finished."""

ONLY = "only reported: "
"""How the notes begin of what is never acted on as things are."""

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
    if result.outcome is Outcome.WAITING and result.note == QUIET:
        return STATUS[Outcome.WARNED]
    if result.outcome in {Outcome.WAITING, Outcome.CHANGED} and result.note.startswith(HALVES):
        return HALF_DONE
    return STATUS[result.outcome]


def only_reported(result: Result) -> bool:
    """Whether an armed detector does nothing to *result*, and its note says why."""
    return result.outcome is Outcome.ADVISED and result.note.startswith(ONLY)


def needs_a_look(result: Result) -> bool:
    """Whether something failed or was left half done."""
    return status(result) in {STATUS[Outcome.FAILED], HALF_DONE}


def became(result: Result) -> str:
    """What was done about *result*, what will be, or why nothing is."""
    note = plain(result.note, 1000)
    if not isinstance(result.verdict, Finding):
        head = BEGUN_BEFORE.get(result.outcome)
        return sentence(f"{head}: {note}" if head and note else note)
    action = plain(result.verdict.action)
    when = moment(result.due) if result.due else ""
    warned = f"Warned; will {action}{f' after {when}' if when else ''}"
    told = {
        Outcome.ACTED: f"Done: {action}{_after(note)}",
        Outcome.FAILED: f"Failed: {action}{_after(note)}",
        Outcome.CHANGED: f"Not done, because it changed: {note}",
        Outcome.WARNED: warned,
        Outcome.WAITING: warned
        if note == QUIET
        else f"Due{f' {when}' if when else ''}: {action}{_after(note)}",
        Outcome.ADVISED: f"{_only(note)}Proposed: {action}",
    }
    return sentence(told.get(result.outcome, f"Would {action}"))


def _only(note: str) -> str:
    return f"Only reported: {note.removeprefix(ONLY)}. " if note else ""


def _after(note: str) -> str:
    return f"; {note}" if note else ""


def sentence(said: str) -> str:
    """*said* with an end."""
    return said if not said or said.endswith((".", "!", "?")) else f"{said}."
