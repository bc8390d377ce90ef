"""The judgement whether a job at work stands still: its phase, limit, logs, objects and load. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ml_janitor.aws.s3 import NewestObject
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import Confidence, Kept, Rule
from ml_janitor.core.signals import Absent, Evidence, NotRead, Signal, Unreadable, Value, as_evidence
from ml_janitor.detectors.hung_training_jobs.job import RunningJob
from ml_janitor.detectors.hung_training_jobs.load import (
    CollectiveWait,
    HostLoad,
    LoadPattern,
    loads_text,
    some_names,
)
from ml_janitor.detectors.hung_training_jobs.rhythm import LogRhythm


def judge_limit(rule: Rule, job: RunningJob, overrun: timedelta, now: datetime) -> Standstill | None:
    """
    Return the job as still if SageMaker should have ended it itself; that may take SageMaker until *overrun*.

    At most likely where inputs are downloaded first: AWS says neither how
    long that took, nor whether it counts.
    """
    limits = (
        ("MaxRuntimeInSeconds", job.counted_from, job.max_runtime),
        ("MaxWaitTimeInSeconds", job.created, job.max_wait),
    )
    if job.max_runtime is None and job.max_wait is None:
        rule.passed("it has no limit of its own")
        return None
    for name, since, allowed in limits:
        if since is None or allowed is None:
            continue
        late = now - since - allowed
        rule.saw(Evidence(f"time against {name}", f"{format_age(now - since)} of {format_age(allowed)}"))
        if late > overrun:
            return Standstill(
                reason=f"this {job.kind.noun} is {job.kind.at_work} {format_age(late)} after the end "
                f"of its own"
                f" limit of {format_age(allowed)} ({name})"
                + (", unless that began only when its inputs had been downloaded" if job.downloads else ""),
                confidence=Confidence.LIKELY if job.downloads else Confidence.PROVEN,
                since=since + allowed,
            )
    rule.passed(f"not more than {format_age(overrun)} past its own limit")
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressSigns:
    """The traces that a running job would leave if it moved."""

    rhythm: Signal[LogRhythm] = field(default_factory=NotRead)
    newest: Signal[NewestObject | None] = field(default_factory=NotRead)
    loads: Signal[tuple[HostLoad, ...]] = field(default_factory=NotRead)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPatience:
    """Times for which logs, objects and load must all stand still before a job is judged to hang."""

    silence: timedelta
    times_longest_pause: int
    silence_without_rhythm: timedelta

    @property
    def without_rhythm(self) -> timedelta:
        """The time for a job whose rhythm or load is not known."""
        return max(self.silence, self.silence_without_rhythm)

    def with_rhythm(self, longest_pause: Signal[timedelta]) -> timedelta:
        """Return the time for a job that had paused for *longest_pause* before, and gone on."""
        match longest_pause:
            case Value(pause):
                return max(self.silence, self.times_longest_pause * pause)
            case _:
                return self.without_rhythm


@dataclass(frozen=True, slots=True, kw_only=True)
class Standstill:
    """A standstill *since* the last log event, with its confidence and reason."""

    reason: str
    confidence: Confidence
    since: datetime


def judge_signs(
    rule: Rule, signs: ProgressSigns, job: RunningJob, patience: JobPatience, now: datetime
) -> Kept | Standstill:
    """Judge whether *job* stands still, by its *signs*; the steps and the evidence go to *rule*."""
    match signs.rhythm:
        case Value(rhythm):
            return (
                _check_logs(rule, signs.rhythm, rhythm, patience, now)
                or _check_objects(rule, signs.newest, job, patience.with_rhythm(rhythm.longest_pause), now)
                or _check_load(rule, signs.loads, rhythm, job, patience=patience, now=now)
            )
        case Absent():
            rule.saw(as_evidence("last log event", signs.rhythm))
            return rule.unknown("it has not logged anything, so nothing shows that its logs arrive")
        case _:
            rule.saw(as_evidence("last log event", signs.rhythm))
            return rule.unknown("its logs could not be read")


def _check_logs(
    rule: Rule, signal: Signal[LogRhythm], rhythm: LogRhythm, patience: JobPatience, now: datetime
) -> Kept | None:
    """Keep a job that logs, or is silent no longer than its rhythm explains."""
    quiet = now - rhythm.last
    rule.saw(
        as_evidence("last log event", signal, utc_text(rhythm.last)),
        Evidence("silent for", format_age(quiet)),
    )
    if quiet < patience.silence:
        return rule.kept(f"it last logged {format_age(quiet)} ago")
    rule.passed(f"no log event for {format_age(patience.silence)} or more")
    pause = rhythm.longest_pause
    match pause:
        case Value(longest):
            rule.saw(as_evidence("longest pause before", pause, format_age(longest)))
            explained = f"it once paused for {format_age(longest)} and went on"
        case Absent():
            rule.saw(as_evidence("longest pause before", pause, "not known, too many events to read"))
            explained = "its history is too long to learn its rhythm"
        case _:
            rule.saw(as_evidence("longest pause before", pause))
            return rule.unknown("the history of its logs could not be read, so its rhythm is not known")
    needed = patience.with_rhythm(pause)
    if quiet < needed:
        return rule.kept(
            f"silent for {format_age(quiet)}, but {explained}: judged from {format_age(needed)} on"
        )
    rule.passed(f"silent for longer than its rhythm explains ({format_age(needed)})")
    return None


def _check_objects(
    rule: Rule, newest: Signal[NewestObject | None], job: RunningJob, needed: timedelta, now: datetime
) -> Kept | None:
    """Keep a job that writes checkpoints or outputs, whatever its logs say."""
    if not job.writes_to:
        rule.passed("it has no folder in S3 to write to, so that says nothing")
        return None
    match newest:
        case Value(None):
            rule.saw(as_evidence("newest object", newest, "none in its S3 folders"))
        case Value(found) if found is not None:
            rule.saw(as_evidence("newest object", newest, f"{found.uri}, {utc_text(found.modified)}"))
            if now - found.modified < needed:
                return rule.kept(
                    f"silent, but it wrote to S3 {format_age(now - found.modified)} ago ({found.uri})"
                )
        case _:
            rule.saw(as_evidence("newest object", newest))
            return rule.unknown("its S3 folders could not be read, so it may be writing")
    rule.passed("nothing was written to its S3 folders either")
    return None


def _check_load(
    rule: Rule,
    signal: Signal[tuple[HostLoad, ...]],
    rhythm: LogRhythm,
    job: RunningJob,
    *,
    patience: JobPatience,
    now: datetime,
) -> Kept | Standstill:
    """Keep a job whose hosts work; else it stands still, and the load says how sure that is."""
    loads = signal.value if isinstance(signal, Value) else ()
    machine = job.machine
    gpus = 100 * machine.gpus if machine.gpus else None
    rule.saw(
        Evidence("GPU load", loads_text(loads, "gpu", gpus) or "not known"),
        Evidence("CPU load", loads_text(loads, "cpu", 100 * machine.vcpus) or "not known"),
    )
    for name in ("memory", "disk"):
        if not all(isinstance(getattr(host_load, name), Absent) for host_load in loads):
            rule.saw(Evidence(f"{name} used", loads_text(loads, name, 100)))
    motions: dict[LoadPattern, list[str]] = {}
    for host_load in loads:
        motions.setdefault(host_load.motion(machine, job.collective), []).append(
            host_load.host.rpartition("/")[2]
        )
    if working := motions.get(LoadPattern.WORKING):
        return rule.kept(f"silent, but the load of {some_names(working)} varies like work")
    if isinstance(signal, NotRead | Unreadable) or LoadPattern.UNREADABLE in motions:
        return rule.unknown("its load could not be read, so it may be working")
    if steady := motions.get(LoadPattern.STEADY):
        level = "not at rest" if job.collective is CollectiveWait.NEVER else "neither at rest nor full"
        return rule.kept(f"silent, but the load of {some_names(steady)} is {level}")
    quiet = now - rhythm.last
    unmeasured = motions.get(LoadPattern.UNMEASURED, []) or ([] if loads else ["its hosts"])
    if unmeasured and quiet < patience.without_rhythm:
        return rule.kept(
            f"silent for {format_age(quiet)}, but the load of {some_names(unmeasured)} is not known:"
            f" judged from {format_age(patience.without_rhythm)} on"
        )
    rule.passed("no host's load varies")
    match rhythm.longest_pause:
        case Value(longest):
            usual, known = f"its longest pause before was {format_age(longest)}", True
        case _:
            usual, known = "how long it used to pause is not known", False
    written = ", wrote nothing to S3," if job.writes_to else ""
    spinning = SpinningGpus(
        sum(host_load.spinning(machine) for host_load in loads), (machine.gpus or 0) * len(loads)
    )
    doubts = [
        *_doubts(motions, spinning),
        *([f"the load of {some_names(unmeasured)} is not known"] if unmeasured else []),
    ]
    sure = known and not doubts
    load = "; ".join(doubts) or spinning.description(len(loads))
    return Standstill(
        reason=f"this {job.kind.noun} logged nothing for {format_age(quiet)} ({usual}){written} and {load}",
        confidence=Confidence.PROVEN if sure else Confidence.LIKELY,
        since=rhythm.last,
    )


@dataclass(frozen=True, slots=True)
class SpinningGpus:
    """The number of a job's spinning GPUs, and of all."""

    count: int
    total: int

    def description(self, hosts: int) -> str:
        """Return how they hang in a collective, on *hosts* hosts, in words."""
        if self.count < self.total:
            return (
                f"{self.count} of {self.total} GPUs spin at full load without a change while the others rest"
            )
        where = f"all {hosts} hosts" if hosts > 1 else "its host"
        return f"the GPUs of {where} spin at full load without a change"


def _doubts(motions: Mapping[LoadPattern, Sequence[str]], spinning: SpinningGpus) -> Iterator[str]:
    """
    Yield why the load of a seemingly hung job proves nothing: work or a wait looks the same.

    A job may wait for Athena, an EMR step, a child job or an ssh session at no load and without a word, and
    SageMaker publishes no network metric. Only a collective explains two or more GPUs *spinning*.
    """
    if motions.keys() == {LoadPattern.RESTS}:
        resting = len(motions[LoadPattern.RESTS])
        whose = f"all {resting} hosts rest" if resting > 1 else "its host rests"
        yield f"{whose}, as also while it waits for a query, another job or a person"
    if LoadPattern.SPINS in motions and spinning.count == 1:
        yield f"one of {spinning.total} GPUs spins without a change, as also in a program made for one"
    if hosts := motions.get(LoadPattern.FULL):
        yield (
            f"the load of {some_names(hosts)} stands at full without a change, which may be work: no "
            f"GPU of it"
            " waits for another"
        )
    if hosts := motions.get(LoadPattern.ONLY_GPUS_REST):
        yield (
            f"the GPUs of {some_names(hosts)} rest without a change, but its CPU does not, and may be at work"
            if len(hosts) == 1
            else f"the GPUs of {some_names(hosts)} rest without a change, but their CPUs do not, and "
            f"may be at work"
        )


def utc_text(at: datetime) -> str:
    """Return a time for a reader, in UTC."""
    return f"{at:%Y-%m-%d %H:%M} UTC"
