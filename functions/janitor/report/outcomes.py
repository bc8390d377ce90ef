"""What became of a finding, in one sentence that never says more than was done. Pure."""

from __future__ import annotations

from janitor.model import Finding, Outcome, Result
from janitor.report.text import moment, plain

BEGUN_BEFORE = {Outcome.ACTED: "Done", Outcome.FAILED: "Failed", Outcome.WAITING: "Waits"}
"""Of an action that was begun when its resource was a finding still."""


def became(result: Result) -> str:
    """What was done about *result*, what will be, or why nothing is."""
    note = plain(result.note, 1000)
    if not isinstance(result.verdict, Finding):
        head = BEGUN_BEFORE.get(result.outcome)
        return sentence(f"{head}: {note}" if head and note else note)
    action = plain(result.verdict.action)
    due = f" after {moment(result.due)}" if result.due else ""
    told = {
        Outcome.ACTED: f"Done: {action}{_after(note)}",
        Outcome.FAILED: f"Failed: {action}{_after(note)}",
        Outcome.CHANGED: f"Not done, because it changed: {note}",
        Outcome.WARNED: f"Warned; will {action}{due}",
        Outcome.WAITING: f"Waits to {action}{due}{_after(note)}",
        Outcome.ADVISED: f"Proposed: {action}{_after(note)}",
    }
    return sentence(told.get(result.outcome, f"Would {action}"))


def _after(note: str) -> str:
    return f"; {note}" if note else ""


def sentence(said: str) -> str:
    """*said* with an end."""
    return said if not said or said.endswith((".", "!", "?")) else f"{said}."
