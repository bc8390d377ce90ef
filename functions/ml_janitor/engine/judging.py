"""Judges one candidate: exemptions come before and after the detector's rule."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from ml_janitor.core.model import Candidate, Finding, Kept, Target, Verdict
from ml_janitor.core.ownership import protection_evidence
from ml_janitor.engine.detector import Detector
from ml_janitor.engine.policy import RunPolicy


def judge_candidate(
    detector: Detector[Any], candidate: Candidate, now: datetime, policy: RunPolicy
) -> Verdict:
    """
    Exempt *candidate*, or decide; a finding with unreadable tags may be exempt, so it is kept as unknown.

    The same holds for resources that acting would end too, and for those that the candidate is a part of:
    keeping any of them keeps it too.
    """
    candidate = detector.leaving(candidate, policy.named)
    if (why := policy.keeps(candidate.target, now, detector.name)) is not None:
        return exempt_candidate(detector, candidate, now, why)
    verdict = detector.decide(candidate, now)
    if not isinstance(verdict, Finding):
        return verdict
    bound = related_targets(candidate)
    for relation, other in bound:
        if (why := policy.keeps(other, now)) is not None:
            return keep_finding(verdict, f"{relation}, which is {why}")
    needed = detector.may_be_needed(candidate) if policy.needed is None else None  # unknown without a ledger
    if (why := policy.unreadable(candidate.target) or needed) is not None:
        return keep_finding(verdict, why, unknown=True)
    for relation, other in bound:
        if (why := policy.unreadable(other)) is not None:
            return keep_finding(verdict, f"{relation}, and {why}", unknown=True)
    return replace(
        verdict, evidence=(*verdict.evidence, *protection_evidence(candidate.target, candidate.takes_along))
    )


def related_targets(candidate: Candidate) -> list[tuple[str, Target]]:
    """Return the other resources that keep *candidate* when they are kept, and its relation to each."""
    return [
        *((f"it would take along {other.name}", other) for other in candidate.takes_along),
        *((f"it belongs to {other.name}", other) for other in candidate.belongs_to),
    ]


def keep_finding(verdict: Finding, why: str, *, unknown: bool = False) -> Kept:
    """Turn a finding into a kept candidate because of *why*; the rule's evidence and steps stay."""
    step = f"kept as unknown: {why}" if unknown else f"kept: {why}"
    return Kept(reason=why, unknown=unknown, evidence=verdict.evidence, steps=(*verdict.steps, step))


def exempt_candidate(detector: Detector[Any], candidate: Candidate, now: datetime, why: str) -> Kept:
    """Keep *candidate* because of *why*, whatever the rule says; the rule's evidence and steps stay."""
    try:
        verdict = detector.decide(candidate, now)
    except Exception:  # the exemption stands, and may have been given because the rule breaks here
        return Kept(reason=why, steps=(f"kept: {why}",))
    return Kept(reason=why, evidence=verdict.evidence, steps=(*verdict.steps, f"kept: {why}"))
