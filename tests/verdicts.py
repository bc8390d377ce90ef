"""Verdicts in a word, and what they show."""

from __future__ import annotations

from typing import Any

from ml_janitor.core.model import Finding, Verdict
from ml_janitor.core.results import Result, Sweep


def word(judged: Result | Verdict) -> str:
    """How sure a finding is; else "unknown" or "kept"."""
    verdict = judged.verdict if isinstance(judged, Result) else judged
    if isinstance(verdict, Finding):
        return str(verdict.confidence)
    return "unknown" if verdict.unknown else "kept"


def shown(judged: Result | Verdict) -> dict[str, Any]:
    """The evidence by signal, with an error where nothing could be read."""
    verdict = judged.verdict if isinstance(judged, Result) else judged
    return {seen.signal: seen.error or seen.value for seen in verdict.evidence}


def only(report: Sweep) -> Result:
    """The one result of a complete sweep."""
    assert report.error is None
    (result,) = report.results
    return result
