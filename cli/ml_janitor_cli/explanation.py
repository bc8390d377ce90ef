"""Explanations of verdicts for programs: every signal, every step, and the verdict."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ml_janitor.core.model import Finding, Target
from ml_janitor.core.results import Result, Sweep
from ml_janitor.core.signals import Evidence, NotRead, Signal, Value
from ml_janitor.core.signals import as_evidence as signal
from ml_janitor.report.causes import undo_by_hand_text
from ml_janitor.report.json import evidence_fields, iso_time, once_and_risk_fields, usd_number

EXPLANATION_VERSION = 2

TAGS_SIGNAL = "tags"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """
    One resource as one detector judges it: the sweep of nothing but *arn*.

    *deleted* is when it was deleted, if it is not there; *near* is an ARN that may be meant instead. It
    *exists* if anything else in the account shows it, though the detector does not judge it.
    """

    arn: str
    sweep: Sweep
    deleted: Signal[datetime] = field(default_factory=NotRead)
    near: str | None = None
    exists: bool = False

    @property
    def result(self) -> Result | None:
        """Return its judgement; None if it is not there or could not be looked at."""
        return self.sweep.results[0] if self.sweep.results else None

    @property
    def missing(self) -> bool:
        """Return whether the detector looked for it, and judges nothing of that ARN."""
        return not self.sweep.results and self.sweep.error is None

    @property
    def verdict(self) -> str:
        """Return the verdict in one word."""
        match self.result:
            case None:
                if not self.missing:
                    return "not looked at"
                if self.exists:
                    return "not judged"
                return "deleted" if isinstance(self.deleted, Value) else "not found"
            case Result(verdict=Finding()):
                return "found"
            case Result(verdict=kept):
                return "unknown" if getattr(kept, "unknown", False) else "kept"


def signals_with_tags(result: Result) -> tuple[Evidence, ...]:
    """Return the signals that the rule saw, and the tags, which say what is exempt and whose it is."""
    seen = result.verdict.evidence
    if any(evidence.signal == TAGS_SIGNAL for evidence in seen):
        return seen
    return (*seen, _tags(result.target))


def _tags(target: Target) -> Evidence:
    shown = None
    if isinstance(target.tags, Value):
        shown = ", ".join(f"{key}={value}" for key, value in sorted(target.tags.value.items())) or "none"
    return signal(TAGS_SIGNAL, target.tags, shown)


def explanation_json(explained: Sequence[Explanation], *, time: datetime, account: str) -> str:
    """Return the document as JSON text, ASCII only like a report's."""
    document = {
        "version": EXPLANATION_VERSION,
        "time": iso_time(time),
        "account": account,
        "explanations": [_document(judged) for judged in explained],
    }
    return json.dumps(document, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def _document(explained: Explanation) -> dict[str, Any]:
    about = {
        "arn": explained.arn,
        "detector": explained.sweep.detector,
        "region": explained.sweep.region,
        "verdict": explained.verdict,
        "error": explained.sweep.error,
    }
    if (result := explained.result) is None:
        deleted = explained.deleted.value if isinstance(explained.deleted, Value) else None
        return about | {"deleted": iso_time(deleted), "did_you_mean": explained.near}
    verdict = result.verdict
    finding = verdict if isinstance(verdict, Finding) else None
    return about | {
        "name": result.target.name,
        "created": iso_time(result.target.created),
        "owner": result.owner,
        "signals": [
            evidence_fields(seen) | {"source": seen.source or None, "at": iso_time(seen.at)}
            for seen in signals_with_tags(result)
        ],
        "steps": list(verdict.steps),
        "reason": verdict.reason,
        "confidence": finding.confidence.value if finding else None,
        "action": finding.action if finding else None,
        "undo_by_hand": undo_by_hand_text(result) or None,
        "since": iso_time(finding.since) if finding else None,
        "monthly_usd": usd_number(result.monthly_usd),
        "accrued_usd": usd_number(result.accrued_usd),
        **once_and_risk_fields(result.cost),
    }
