"""Run detectors: find, exempt, decide, and give each candidate its outcome. The only reader of mode."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Literal

from ml_janitor.aws.calls import ReadError, UnreadEntriesError, UnreadEntry, error_text
from ml_janitor.aws.client import Aws
from ml_janitor.aws.sagemaker_kinds import SEARCH
from ml_janitor.aws.tags import GET_RESOURCES, Arn, TagBook, read_tags_of, target_in
from ml_janitor.aws.training_jobs import FAMILY_MARK
from ml_janitor.core.model import (
    WORK_HOURS,
    Candidate,
    Change,
    Finding,
    Kept,
    Rule,
    Signal,
    SweepNote,
    Tags,
    Target,
    Value,
    Verdict,
)
from ml_janitor.core.money import claim_of, claimed_resources, count_once, rank_by_cost
from ml_janitor.core.ownership import protection_evidence
from ml_janitor.core.results import CauseCode, Outcome, Report, Result, Sweep, make_cause
from ml_janitor.core.text import escape_text
from ml_janitor.engine.detector import Detector
from ml_janitor.engine.policy import RunPolicy

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

SWEEPS_AT_ONCE = 32
"""Sweeps in progress at once. Each mostly waits for AWS, or for its turn."""


def run_detectors(
    detectors: Sequence[Detector[Any]],
    regions: Sequence[Aws],
    *,
    now: datetime,
    policy: RunPolicy,
    swept: Callable[[Sweep], None] = lambda _: None,
) -> Report:
    """
    Sweep every detector over every region, side by side.

    A sweep's failure is its own: the other sweeps, and its results so far, are still reported. A resource
    that several findings name counts once; advice on commitments is judged after all other findings, and
    receives the resources that these name, if they are complete. Sweeps stand in the order of
    *detectors*, then of *regions*. *swept* receives each sweep as it ends.
    """
    return run_pairs(
        [(detector, aws) for detector in detectors for aws in regions], now=now, policy=policy, swept=swept
    )


def run_pairs(
    todo: Sequence[tuple[Detector[Any], Aws]],
    *,
    now: datetime,
    policy: RunPolicy,
    swept: Callable[[Sweep], None] = lambda _: None,
) -> Report:
    """Run pairs of a detector and an `Aws` of its own: that of a role which only it may use."""

    def begun(pair: tuple[Detector[Any], Aws]) -> Sweep | Callable[[RunPolicy], Sweep]:
        found, notes, broken = read_candidates(*pair, now)

        def finish(policy: RunPolicy) -> Sweep:
            done = judge_candidates(*pair, found, broken, notes, now=now, policy=policy)
            swept(done)
            return done

        return finish if pair[0].asks_for is Change.COMMIT else finish(policy)

    with ThreadPoolExecutor(SWEEPS_AT_ONCE, thread_name_prefix="sweep") as side_by_side:
        begun_sweeps = tuple(side_by_side.map(begun, todo))
    others = [begun_sweep for begun_sweep in begun_sweeps if isinstance(begun_sweep, Sweep)]
    if others and all(begun_sweep.error is None for begun_sweep in others):
        claims = (
            claim for begun_sweep in others for result in begun_sweep.results if (claim := claim_of(result))
        )
        policy = replace(policy, named=claimed_resources(claims))
    sweeps = tuple(
        begun_sweep if isinstance(begun_sweep, Sweep) else begun_sweep(policy) for begun_sweep in begun_sweeps
    )
    account = todo[0][1].account if todo else None
    return count_once(Report(time=now, account=account, sweeps=sweeps))


def sweep_region(detector: Detector[Any], aws: Aws, *, now: datetime, policy: RunPolicy) -> Sweep:
    """Sweep one detector over one account and region. Everything is read before anything is judged."""
    found, notes, broken = read_candidates(detector, aws, now)
    return judge_candidates(detector, aws, found, broken, notes, now=now, policy=policy)


def sweep_resource(detector: Detector[Any], aws: Aws, arn: str, *, now: datetime, policy: RunPolicy) -> Sweep:
    """
    Sweep the one resource *arn*, looked at and judged exactly as in a whole sweep; no result if it is gone.

    A failure is the sweep's error here too, as is an ARN of another kind, account or region.
    """
    found, broken = list[Candidate](), list[str]()
    try:
        candidate = detector.look(aws, target_from_arn(detector, aws, arn), now)
        found += [] if candidate is None else [candidate]
    except Exception as error:  # the sweep's error, like a listing that fails
        broken.append(error_text(error))
    return judge_candidates(detector, aws, found, [*_out_of_time(aws), *broken], now=now, policy=policy)


def read_candidates(
    detector: Detector[Any], aws: Aws, now: datetime
) -> tuple[Iterable[Candidate], list[SweepNote], list[str]]:
    """
    Return all candidates that *detector* finds, its notes, and the errors that may hide more.

    A listing that changes while its pages are read can name a resource twice; it counts once. An entry that
    could not be read is an unknown candidate, if it tells its ARN. Without, the entry may be any resource
    that no other entry names: a note counts it.
    """
    candidates, notes, broken = dict[str, Candidate](), list[SweepNote](), list[str]()
    try:
        for found in detector.find(aws, now):
            if isinstance(found, SweepNote):
                notes.append(found)
            else:
                candidates.setdefault(found.target.key, found)
    except UnreadEntriesError as error:
        unread = [unread_candidate(detector, aws, entry) for entry in error.entries]
        known = {candidate.target.arn for candidate in candidates.values()}  # by another listing
        candidates |= {
            found.target.key: found
            for found in unread
            if isinstance(found, UnreadCandidate) and found.target.arn not in known
        }
        if lost := unread.count(None):
            notes.append(SweepNote(error_text(error), unidentified=lost))
        broken += [error_text(error)] if FOREIGN in unread else []
    except Exception as error:  # a detector's failure must not hide what it read, nor the other sweeps
        broken.append(error_text(error))
    return candidates.values(), notes, [*_out_of_time(aws), *broken]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadCandidate(Candidate):
    """A candidate whose entry in a listing could not be read, and *why*, in words."""

    why: str


FOREIGN: Final = "foreign"
"""An entry of a resource that the detector does not judge, but reads: any candidate may need it."""


def unread_candidate(
    detector: Detector[Any], aws: Aws, unread: UnreadEntry
) -> UnreadCandidate | Literal["foreign"] | None:
    """
    Return an entry that could not be read as an unknown candidate; None if it tells no ARN.

    Without its creation time, it stands for every resource that had its ARN: see `Ledger.record`.
    """
    entry = unread.entry if isinstance(unread.entry, Mapping) else {}
    found = (value for name, value in entry.items() if name.lower().endswith("arn"))
    text = unread.arn or str(next(found, ""))
    try:
        arn = Arn.parse(text)
    except ValueError:
        return None
    if not detector.judges(arn):
        return FOREIGN
    created = next((value for name, value in entry.items() if name in CREATION_MEMBERS), None)
    target = target_in(aws, text, arn.name, arn.kind, created if isinstance(created, datetime) else None)
    return UnreadCandidate(target=target, why=f"its entry in the listing could not be read ({unread.why})")


CREATION_MEMBERS = ("CreationTime", "createdAt", "creationTime")
"""The members of a listing's entry that hold a creation time."""


def target_from_arn(detector: Detector[Any], aws: Aws, arn: str) -> Target:
    """
    Return the target that *arn* names, as far as the ARN tells. Raises ReadError.

    A detector asks for its resource by name, so an ARN from another account or region, or of another
    kind, would get the answer for a resource of the same name here.
    """
    try:
        parts = Arn.parse(arn)
    except ValueError as error:
        raise ReadError(str(error)) from error
    if not detector.judges(parts):
        raise ReadError(f"{detector.name} does not judge {arn}")
    if parts.account not in {"", aws.account} or parts.region not in {"", aws.region}:
        raise ReadError(f"{arn} is not in account {aws.account} and region {aws.region}")
    return target_in(aws, arn, parts.name, parts.kind, None)


def _out_of_time(aws: Aws) -> list[str]:
    """Return the error of a sweep that ran out of time."""
    late = "it ran out of time, so what had not been read by then is missing or unknown"
    return [late] if aws.ran_out else []


def judge_candidates(
    detector: Detector[Any],
    aws: Aws,
    found: Iterable[Candidate],
    broken: Sequence[str],
    notes: Sequence[SweepNote] = (),
    *,
    now: datetime,
    policy: RunPolicy,
) -> Sweep:
    """Judge the candidates *found* and return the sweep; *broken* are the errors of its reading."""
    results: list[Result] = []
    failures: dict[str, list[str]] = {}
    for candidate in found:
        try:
            verdict = judge_candidate(detector, candidate, now, policy)
        except Exception as error:  # a rule that breaks on one candidate keeps it, and says so
            failures.setdefault(error_text(error), []).append(candidate.target.arn)
            verdict = Kept(reason=f"the rule failed: {error_text(error)}", unknown=True)
        results.append(make_result(detector, candidate, verdict, policy))
    errors = list(broken)
    for failure, arns in failures.items():  # one line for each failure, however many candidates it affects
        others = f" and {len(arns) - 1} more" if len(arns) > 1 else ""
        errors.append(f"the rule failed on {arns[0]}{others}: {failure}")
    return Sweep(
        detector=detector.name,
        account=aws.account,
        region=aws.region,
        mode=policy.armed(detector.name).mode,
        results=tuple(sorted(results, key=rank_by_cost)),
        error="; ".join(errors) or None,
        notices=tuple(dict.fromkeys(note.text for note in notes if note.text)),
        looked_through=sum(note.looked_through for note in notes),
        unidentified=sum(note.unidentified for note in notes),
    )


def make_result(detector: Detector[Any], candidate: Candidate, verdict: Verdict, policy: RunPolicy) -> Result:
    """Return the result of *verdict* before any warning: the only place where the mode decides."""
    target, along = candidate.target, candidate.takes_along
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
            outcome, why = Outcome.WAITING, make_cause(CauseCode.UNWARNED)
        if outcome is not Outcome.WAITING:
            verdict = replace(verdict, missing_for_undo="")
    return Result(
        detector=detector.name,
        target=target,
        verdict=verdict,
        outcome=outcome,
        owner=policy.owner(target),
        cause=why,
        change=detector.asks_for,
        hours=WORK_HOURS[detector.asks_for],
        parts=tuple(other.arn for other in along),
        wholes=tuple(other.arn for other in candidate.belongs_to),
    )


# --- one candidate --------------------------------------------------------------------------------
#
# Exemptions come before and after the detector's rule.


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
    verdict = (
        Rule().unknown(candidate.why)
        if isinstance(candidate, UnreadCandidate)
        else detector.decide(candidate, now)
    )
    if not isinstance(verdict, Finding):
        return verdict
    bound = related_targets(candidate)
    for relation, other in bound:
        if (why := policy.keeps(other, now, detector.name)) is not None:
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


# --- owners at this moment ------------------------------------------------------------------------

BULK_TAG_SOURCES = frozenset({GET_RESOURCES, SEARCH})
"""The calls that answer with the tags of many resources, and may lag behind."""


def heed_owners(aws: Aws, sweep: Sweep, keys: AbstractSet[str], *, now: datetime, policy: RunPolicy) -> Sweep:
    """
    Return *sweep*, in which the findings with *keys* are judged by the tags of this moment too.

    Tags that were read in bulk are read again; all others were read for one resource at a time. Present tags
    count beside earlier ones: they keep or protect a resource, and never end that. The holds of *policy* are
    those that were given since the sweep began.
    """
    heard = {result.target.key: result for result in sweep.findings if result.target.key in keys}
    asked = {
        key: _tagged_arns(result)
        for key, result in heard.items()
        if getattr(result.target.tags, "source", "") in BULK_TAG_SOURCES
    }
    arns = list(dict.fromkeys(chain.from_iterable(asked.values())))
    book = read_tags_of(aws.unshared(), arns) if arns else TagBook({})
    results = (
        _heeded(result, {arn: book.of(arn) for arn in asked.get(result.target.key, ())}, now, policy)
        if result.target.key in heard
        else result
        for result in sweep.results
    )
    return replace(sweep, results=tuple(results))


def _tagged_arns(result: Result) -> list[str]:
    """Return the resources whose tags count for *result*: no objects of S3, and no family of jobs."""
    arns = (result.target.arn, *result.target.tag_sources, *result.parts, *result.wholes)
    return [
        arn
        for arn in dict.fromkeys(arns)
        if FAMILY_MARK not in arn and (":s3:::" not in arn or "/" not in arn)
    ]


def _heeded(result: Result, read: Mapping[str, Signal[Tags]], now: datetime, policy: RunPolicy) -> Result:
    """Return *result*, kept or only reported if the tags that were *read*, or new holds, say so."""
    target, verdict = result.target, result.verdict
    own = [arn for arn in (target.arn, *target.tag_sources) if arn in read]
    parts, wholes = (
        [replace(target, arn=arn, name=Arn.parse(arn).name, tags=read.get(arn, Value({}))) for arn in arns]
        for arns in (result.parts, result.wholes)
    )
    judged = [
        *(("", replace(target, tags=tags)) for tags in [read[arn] for arn in own] or [target.tags]),
        *((f"it would take along {other.name}, which is ", other) for other in parts),
        *((f"it belongs to {other.name}, which is ", other) for other in wholes),
    ]

    def exempt(resource: Target) -> str | None:
        held = policy.newly_held(resource.arn, now, result.detector)
        return held or policy.exemptions.reason(resource, now)

    for unknown, why_kept in ((False, exempt), (True, policy.unreadable)):
        for relation, resource in judged:
            if isinstance(verdict, Finding) and (why := why_kept(resource)) is not None:
                kept = keep_finding(verdict, relation + why, unknown=unknown)
                return replace(result, verdict=kept, outcome=Outcome.KEPT, cause=None)
    if own:
        known = dict(target.tags.value) if isinstance(target.tags, Value) else {}
        for arn in reversed(own):  # the nearest counts
            known |= signal.value if isinstance(signal := read[arn], Value) else {}
        target = replace(target, tags=Value(known, GET_RESOURCES))
    result = replace(result, target=target, owner=policy.owner(target))
    spared = policy.armed(result.detector).protects(target, parts)
    if result.outcome is Outcome.WAITING and spared is not None:
        return replace(result, outcome=Outcome.ADVISED, cause=spared)
    return result


# --- failures -------------------------------------------------------------------------------------
#
# A run goes on after a failure, and raises all failures once everything else is done.

LONGEST_FAILURE = 400
"""Characters of one failure in the error of a run; the log has the full text."""

MOST_FAILURES = 10


class RunFailedError(Exception):
    """A part of a run failed; everything else was done before this was raised. One line."""


class Failures:
    """The failures of one run, in the order they happened."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger
        self._lines: list[str] = []

    def __len__(self) -> int:
        return len(self._lines)

    def note(self, line: str) -> None:
        """Add a failure that was logged where it happened."""
        self._lines.append(line)

    @contextmanager
    def survived(self, what: str) -> Iterator[None]:
        """Note and log a failure of the part *what* of the run, and go on."""
        try:
            yield
        except Exception as error:  # one failed part must not take the others with it
            self.note(f"{what}: {error_text(error)}")
            self._logger.exception(what)

    def check(self, where: str = "") -> None:
        """Raise RunFailedError if anything failed; *where* is the place of the run's report."""
        if self._lines:
            lines = [escape_text(line, LONGEST_FAILURE) for line in self._lines[:MOST_FAILURES]]
            if len(self._lines) > MOST_FAILURES:
                lines.append(f"and {len(self._lines) - MOST_FAILURES} more")
            lines += [f"the report: {where}"] if where else []
            raise RunFailedError("; ".join(lines))
