"""What became of a finding, in one sentence that never says more than was done. Pure."""

from __future__ import annotations

from janitor.model import Finding, Outcome, Result
from janitor.report.text import moment, plain


def became(result: Result) -> str:
    """What was done about *result*, what will be, or why nothing is."""
    if not isinstance(result.verdict, Finding):
        return sentence(plain(result.note, 1000))
    action, note = plain(result.verdict.action), plain(result.note, 1000)
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
