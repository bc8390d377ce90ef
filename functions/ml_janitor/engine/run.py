"""Runs detectors: find, exempt, decide, outcome. The only reader of mode."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ml_janitor.aws.answers import describe
from ml_janitor.core.cause import Why, cause
from ml_janitor.core.model import Finding, Kept, Mode, Outcome, Report, Result, Sweep, Target, Verdict
from ml_janitor.core.money import dearest_first
from ml_janitor.engine.judging import judge
from ml_janitor.engine.reading import look, read

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws
    from ml_janitor.core.model import Candidate
    from ml_janitor.engine.detector import Detector
    from ml_janitor.engine.policy import Policy

SIDE_BY_SIDE = 32
"""Sweeps in progress at once. Each mostly waits for the pool that they all read through."""


def run(
    detectors: Sequence[Detector[Any]],
    regions: Sequence[Aws],
    *,
    now: datetime,
    policy: Policy,
    swept: Callable[[Sweep], None] = lambda _: None,
) -> Report:
    """
    Sweep every detector over every region, side by side.

    One sweep's failure is its own: the others, and what it had read itself, are still reported.
    Sweeps stand in the order of *detectors*, then of *regions*. *swept* hears of each as it ends.
    """
    todo = [(detector, aws) for detector in detectors for aws in regions]

    def one(pair: tuple[Detector[Any], Aws]) -> Sweep:
        done = sweep(*pair, now=now, policy=policy)
        swept(done)
        return done

    workers = min(SIDE_BY_SIDE, max(1, len(todo)))
    with ThreadPoolExecutor(workers, thread_name_prefix="sweep") as side_by_side:
        sweeps = tuple(side_by_side.map(one, todo))
    return Report(time=now, account=regions[0].account if regions else None, sweeps=sweeps)


def unopened(
    detectors: Sequence[Detector[Any]], regions: Sequence[str], *, now: datetime, error: str
) -> Report:
    """The report of a run that could not even learn whose account it is: every sweep has *error*."""
    sweeps = tuple(
        Sweep(detector=detector.name, account=None, region=region, mode=Mode.DRY_RUN, error=error)
        for detector in detectors
        for region in regions
    )
    return Report(time=now, account=None, sweeps=sweeps)


def sweep(detector: Detector[Any], aws: Aws, *, now: datetime, policy: Policy) -> Sweep:
    """One detector over one account and region. Everything is read before anything is judged."""
    found, broken = read(detector, aws, now)
    return judged(detector, aws, found, broken, now=now, policy=policy)


def sweep_one(detector: Detector[Any], aws: Aws, arn: str, *, now: datetime, policy: Policy) -> Sweep:
    """
    The one resource *arn*, looked at and judged exactly as in a sweep; no result if it is gone.

    What goes wrong is the sweep's error here too, an ARN that is not this detector's or lies in
    another account or region among it.
    """
    found, broken = look(detector, aws, arn, now)
    return judged(detector, aws, found, broken, now=now, policy=policy)


def judged(
    detector: Detector[Any],
    aws: Aws,
    found: Iterable[Candidate],
    broken: Sequence[str],
    *,
    now: datetime,
    policy: Policy,
) -> Sweep:
    """The sweep that comes out of *found*; *broken* is what kept more from being found."""
    results: list[Result] = []
    notices: dict[str, None] = {}
    failures: dict[str, list[str]] = {}
    for candidate in found:
        try:
            verdict = judge(detector, candidate, now, policy)
        except Exception as error:  # a rule that breaks on one candidate keeps it, and says so
            failures.setdefault(describe(error), []).append(candidate.target.arn)
            verdict = Kept(reason=f"the rule failed: {describe(error)}", unknown=True)
        notices |= dict.fromkeys(candidate.notices)
        results.append(result(detector, candidate.target, verdict, policy, along=candidate.takes_along))
    errors = [*broken, *(rule_failed(said, arns) for said, arns in failures.items())]
    return Sweep(
        detector=detector.name,
        account=aws.account,
        region=aws.region,
        mode=policy.armed(detector.name).mode,
        results=tuple(sorted(results, key=dearest_first)),
        error="; ".join(errors) or None,
        notices=tuple(notices),
    )


def result(
    detector: Detector[Any], target: Target, verdict: Verdict, policy: Policy, *, along: Sequence[Target] = ()
) -> Result:
    """What comes of *verdict* before anybody was warned: the only place where the mode decides."""
    arming = policy.armed(detector.name)
    outcome, why = Outcome.KEPT, None
    if isinstance(verdict, Finding):
        if detector.cleanup is None:
            outcome = Outcome.ADVISED
        elif not arming.armed:
            outcome = Outcome.WOULD_ACT
        elif (why := arming.spares(target, verdict, along)) is not None:
            outcome = Outcome.ADVISED
        else:
            outcome, why = Outcome.WAITING, cause(Why.UNWARNED)
    return Result(
        detector=detector.name,
        target=target,
        verdict=verdict,
        outcome=outcome,
        owner=policy.owner(target),
        cause=why,
    )


def rule_failed(said: str, arns: Sequence[str]) -> str:
    """One rule failure in a sweep's error, however many candidates it happened to."""
    others = f" and {len(arns) - 1} more" if len(arns) > 1 else ""
    return f"the rule failed on {arns[0]}{others}: {said}"
