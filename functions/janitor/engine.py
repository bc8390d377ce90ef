"""Runs detectors: find, exempt, decide, outcome. The only reader of mode."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from janitor.aws import failure
from janitor.exemptions import Exemptions
from janitor.model import Finding, Kept, Mode, Outcome, Report, Result, Sweep, Target, Value, Verdict

if TYPE_CHECKING:
    from janitor.aws import Aws
    from janitor.detector import Detector
    from janitor.model import Candidate


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for every detector alike: the exemptions, and which tags name an owner."""

    exemptions: Exemptions = field(default_factory=Exemptions)
    owner_tags: Sequence[str] = ("owner",)

    def owner(self, target: Target) -> str | None:
        """The owner that *target*'s tags name; keys count in any case, in the order of *owner_tags*."""
        if not isinstance(target.tags, Value):
            return None
        by_key = {key.lower(): value.strip() for key, value in target.tags.value.items()}
        return next((by_key[tag.lower()] for tag in self.owner_tags if by_key.get(tag.lower())), None)


def run(
    detectors: Sequence[Detector[Any]],
    regions: Sequence[Aws],
    *,
    now: datetime,
    policy: Policy,
) -> Report:
    """
    Sweep every detector over every region, side by side.

    One sweep's failure is its own: the others, and what it had read itself, are still reported.
    Results stand in the order of *detectors*, dollars descending, then ARN.
    """
    todo = [(detector, aws) for detector in detectors for aws in regions]
    with ThreadPoolExecutor(max_workers=max(1, len(todo)), thread_name_prefix="sweep") as side_by_side:
        sweeps = tuple(side_by_side.map(lambda pair: sweep(pair[0], pair[1], now=now, policy=policy), todo))
    return Report(time=now, account=regions[0].account if regions else "", sweeps=sweeps)


def sweep(detector: Detector[Any], aws: Aws, *, now: datetime, policy: Policy) -> Sweep:
    """One detector over one account and region. Everything is read before anything is judged."""
    candidates: list[Candidate] = []
    errors: list[str] = []
    try:
        for candidate in detector.find(aws, now):
            candidates.append(candidate)  # noqa: PERF402 - what was read before a failure is kept
    except Exception as error:  # a detector's failure must not hide what it read, nor the other sweeps
        errors.append(describe(error))
    results = []
    for candidate in candidates:
        try:
            verdict = judge(detector, candidate, now, policy)
        except Exception as error:  # a rule that breaks on one candidate keeps it, and says so
            errors.append(f"deciding {candidate.target.arn}: {describe(error)}")
            verdict = Kept(reason=f"the rule failed: {describe(error)}", unknown=True)
        results.append(
            Result(
                detector=detector.name,
                target=candidate.target,
                verdict=verdict,
                outcome=Outcome.WOULD_ACT if isinstance(verdict, Finding) else Outcome.KEPT,
                owner=policy.owner(candidate.target),
            )
        )
    return Sweep(
        detector=detector.name,
        account=aws.account,
        region=aws.region,
        mode=Mode.DRY_RUN,
        results=tuple(sorted(results, key=dearest_first)),
        error="; ".join(dict.fromkeys(errors)) or None,
    )


def judge(detector: Detector[Any], candidate: Candidate, now: datetime, policy: Policy) -> Verdict:
    """Exempt it, or decide; a finding whose tags are unreadable may be exempt, so it is kept as unknown."""
    if (why := policy.exemptions.reason(candidate.target, now)) is not None:
        return Kept(reason=why, steps=(f"kept: {why}",))
    verdict = detector.decide(candidate, now)
    if isinstance(verdict, Finding) and (why := policy.exemptions.unreadable(candidate.target)) is not None:
        steps = (*verdict.steps, f"kept as unknown: {why}")
        return Kept(reason=why, unknown=True, evidence=verdict.evidence, steps=steps)
    return verdict


def dearest_first(result: Result) -> tuple[Any, ...]:
    """Sort key: findings, then unknowns, then kept ones; dollars descending, then ARN."""
    dollars = result.monthly_usd if result.monthly_usd is not None else result.accrued_usd
    unknown = isinstance(result.verdict, Kept) and result.verdict.unknown
    found = isinstance(result.verdict, Finding)
    return (0 if found else 1 if unknown else 2, dollars is None, -(dollars or 0), result.target.arn)


def describe(error: Exception) -> str:
    """*error* in one line for a report: a failed AWS call as such, anything else with its type."""
    return failure(error) or f"{type(error).__name__}: {' '.join(str(error).split())}"
