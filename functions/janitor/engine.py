"""Runs detectors: find, exempt, decide, outcome. The only reader of mode."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from janitor.acting.arming import Arming
from janitor.acting.holds import Hold, held, on
from janitor.arns import Arn
from janitor.aws import ReadError, failure
from janitor.exemptions import Exemptions
from janitor.model import Finding, Kept, Mode, Outcome, Report, Result, Sweep, Target, Value, Verdict
from janitor.money import dearest_first
from janitor.ownership import marks

if TYPE_CHECKING:
    from janitor.aws import Aws
    from janitor.detector import Detector
    from janitor.model import Candidate

SIDE_BY_SIDE = 32
"""Sweeps in progress at once. Each mostly waits for the pool that they all read through."""


UNWARNED = "its warning has not been delivered yet"
"""What a finding waits for first."""


@dataclass(frozen=True, slots=True)
class Policy:
    """
    What a run goes by: the exemptions, which tags name an owner, and what each detector may act on.

    *holds* are what people said about single resources, by identity; what was brought back is held by
    its ARN. A detector without *arming* of its own runs dry.
    """

    exemptions: Exemptions = field(default_factory=Exemptions)
    owner_tags: Sequence[str] = ("owner",)
    arming: Mapping[str, Arming] = field(default_factory=dict)
    holds: Mapping[str, Sequence[Hold]] = field(default_factory=dict)

    def dry(self) -> Policy:
        """The same, for a run that must not act."""
        return replace(self, arming={})

    def armed(self, detector: str) -> Arming:
        """What the deployment allows *detector*."""
        return self.arming.get(detector, Arming())

    def keeps(self, target: Target, now: datetime) -> str | None:
        """Why *target* is exempt at *now*, or None."""
        return self.exemptions.reason(target, now) or held(on(self.holds, target), now)

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
    failures: dict[str, list[str]] = {}
    for candidate in found:
        try:
            verdict = judge(detector, candidate, now, policy)
        except Exception as error:  # a rule that breaks on one candidate keeps it, and says so
            failures.setdefault(describe(error), []).append(candidate.target.arn)
            verdict = Kept(reason=f"the rule failed: {describe(error)}", unknown=True)
        results.append(result(detector, candidate.target, verdict, policy, along=candidate.takes_along))
    errors = [*broken, *(rule_failed(said, arns) for said, arns in failures.items())]
    return Sweep(
        detector=detector.name,
        account=aws.account,
        region=aws.region,
        mode=policy.armed(detector.name).mode,
        results=tuple(sorted(results, key=dearest_first)),
        error="; ".join(errors) or None,
    )


def result(
    detector: Detector[Any], target: Target, verdict: Verdict, policy: Policy, *, along: Sequence[Target] = ()
) -> Result:
    """What comes of *verdict* before anybody was warned: the only place where the mode decides."""
    arming = policy.armed(detector.name)
    outcome, note = Outcome.KEPT, ""
    if isinstance(verdict, Finding):
        if detector.cleanup is None:
            outcome = Outcome.ADVISED
        elif not arming.armed:
            outcome = Outcome.WOULD_ACT
        elif (why := arming.spares(target, verdict, along)) is not None:
            outcome, note = Outcome.ADVISED, f"only reported: {why}"
        else:
            outcome, note = Outcome.WAITING, UNWARNED
    return Result(
        detector=detector.name,
        target=target,
        verdict=verdict,
        outcome=outcome,
        owner=policy.owner(target),
        note=note,
    )


def read(detector: Detector[Any], aws: Aws, now: datetime) -> tuple[Iterable[Candidate], list[str]]:
    """
    All candidates that *detector* finds, and what kept it from finding more.

    A listing that shifts while its pages are read can name a resource twice; it counts once.
    """
    candidates: dict[str, Candidate] = {}
    try:
        for candidate in detector.find(aws, now):
            candidates.setdefault(candidate.target.key, candidate)
    except Exception as error:  # a detector's failure must not hide what it read, nor the other sweeps
        return candidates.values(), [*late(aws), describe(error)]
    return candidates.values(), late(aws)


def look(detector: Detector[Any], aws: Aws, arn: str, now: datetime) -> tuple[list[Candidate], list[str]]:
    """The one candidate *arn*, none if it is gone, and what kept it from being looked at."""
    try:
        candidate = detector.look(aws, target_of(detector, aws, arn), now)
    except Exception as error:  # told as the sweep's error, like a listing that fails
        return [], [*late(aws), describe(error)]
    return [] if candidate is None else [candidate], late(aws)


def target_of(detector: Detector[Any], aws: Aws, arn: str) -> Target:
    """
    Which resource *arn* is, as far as it says so itself. Raises ReadError.

    A detector asks for its resource by name: an ARN from elsewhere, or of another kind, would get
    the answer for a namesake.
    """
    try:
        parts = Arn.parse(arn)
    except ValueError as error:
        raise ReadError(str(error)) from error
    if not detector.judges(parts):
        raise ReadError(f"{detector.name} does not judge {arn}")
    if parts.account not in {"", aws.account} or parts.region not in {"", aws.region}:
        raise ReadError(f"{arn} is not in account {aws.account} and region {aws.region}")
    return Target(
        arn=arn, name=parts.name, kind=parts.kind, account=aws.account, region=aws.region, created=None
    )


def late(aws: Aws) -> list[str]:
    """What a sweep that ran out of time says of itself."""
    return (
        ["it ran out of time, so what had not been read by then is missing or unknown"] if aws.ran_out else []
    )


def judge(detector: Detector[Any], candidate: Candidate, now: datetime, policy: Policy) -> Verdict:
    """
    Exempt it, or decide; a finding whose tags are unreadable may be exempt, so it is kept as unknown.

    The same holds for what acting on a finding would take along, and for what it is a part of:
    whoever keeps that keeps it all.
    """
    if (why := policy.keeps(candidate.target, now)) is not None:
        return exempted(detector, candidate, now, why)
    verdict = detector.decide(candidate, now)
    if not isinstance(verdict, Finding):
        return verdict
    bound = related(candidate)
    for relation, other in bound:
        if (why := policy.keeps(other, now)) is not None:
            return kept(verdict, f"{relation}, which is {why}")
    if (why := policy.exemptions.unreadable(candidate.target)) is not None:
        return kept(verdict, why, unknown=True)
    for relation, other in bound:
        if (why := policy.exemptions.unreadable(other)) is not None:
            return kept(verdict, f"{relation}, and {why}", unknown=True)
    return replace(verdict, evidence=(*verdict.evidence, *marks(candidate.target, candidate.takes_along)))


def related(candidate: Candidate) -> list[tuple[str, Target]]:
    """The other resources that keep *candidate* when they are kept, and how it stands to each."""
    return [
        *((f"it would take along {other.name}", other) for other in candidate.takes_along),
        *((f"it belongs to {other.name}", other) for other in candidate.belongs_to),
    ]


def kept(verdict: Finding, why: str, *, unknown: bool = False) -> Kept:
    """What becomes of a finding that *why* stands against; what the rule saw is told all the same."""
    step = f"kept as unknown: {why}" if unknown else f"kept: {why}"
    return Kept(reason=why, unknown=unknown, evidence=verdict.evidence, steps=(*verdict.steps, step))


def exempted(detector: Detector[Any], candidate: Candidate, now: datetime, why: str) -> Kept:
    """Kept because of *why*, whatever the rule says; what it saw and would say is told all the same."""
    try:
        verdict = detector.decide(candidate, now)
    except Exception:  # the exemption stands, and may have been given because the rule breaks here
        return Kept(reason=why, steps=(f"kept: {why}",))
    return Kept(reason=why, evidence=verdict.evidence, steps=(*verdict.steps, f"kept: {why}"))


def rule_failed(said: str, arns: Sequence[str]) -> str:
    """One rule failure in a sweep's error, however many candidates it happened to."""
    others = f" and {len(arns) - 1} more" if len(arns) > 1 else ""
    return f"the rule failed on {arns[0]}{others}: {said}"


def describe(error: Exception) -> str:
    """*error* in one line for a report: a failed AWS call as such, anything else with its type."""
    return failure(error) or f"{type(error).__name__}: {' '.join(str(error).split())}"
