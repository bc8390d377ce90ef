"""SageMaker jobs that run on, and are paid for, but no longer make progress."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from janitor import (
    job_grants,
    job_loads,
    job_record,
    job_stops,
    objects,
    phases,
    processing,
    restarts,
    rhythm,
    stillness,
    tags,
    training,
    transforms,
    tuning,
    warm_pools,
)
from janitor.aws import Listing, ReadError
from janitor.detector import Cleanup, Detector, allow
from janitor.job_costs import bill, hourly, limit, rate
from janitor.jobs import IN_PROGRESS, Job, Summary
from janitor.model import (
    Absent,
    Confidence,
    Effect,
    Finding,
    Kept,
    Rule,
    Signal,
    Target,
    Unreadable,
    Value,
    Verdict,
    evidence,
)
from janitor.stillness import Patience, Signs
from janitor.suspects import Suspect, SuspectTuner, family, listed, parent

if TYPE_CHECKING:
    from janitor.aws import Aws
    from janitor.detector import Steps

NONE: Listing[Summary] = Listing(())
"""No tuning jobs, where none is asked for."""

KINDS = {kind.arn: kind for kind in (training.KIND, processing.KIND, transforms.KIND)}


@dataclass(frozen=True)
class HungTrainingJobs(Detector[Suspect | SuspectTuner]):
    """
    Training, processing and transform jobs that hang; warm pools that nobody uses.

    A job hangs when its logs are silent for `silence` and for `times_longest_pause` times the
    longest pause they made before, nothing new lies in its S3 folders, and the load of every host
    stands still; or when it works on after its own limit. How long it runs proves nothing. A tuning
    job hangs when every running child does. A warm pool is waste after `pool_patience` unused.
    Where `act_on` takes what is likely, its warning stands for `grace_likely`.
    """

    name = "hung-training-jobs"
    schedule = "rate(1 hour)"
    kinds = (*KINDS, tuning.TUNER)
    cleanup = Cleanup(
        effect=Effect.STOP,
        grace=timedelta(hours=2),
        act_on=Confidence.PROVEN,
        lost=(
            "what a job did since its last checkpoint (a processing or transform job begins anew), a tuning"
            " job, or a warm pool"
        ),
        undo="restart",
    )
    reads = (
        allow("sagemaker:ListTrainingJobs"),
        allow("sagemaker:DescribeTrainingJob", on="training-job/*"),
        allow("sagemaker:ListProcessingJobs"),
        allow("sagemaker:DescribeProcessingJob", on="processing-job/*"),
        allow("sagemaker:ListTransformJobs"),
        allow("sagemaker:DescribeTransformJob", on="transform-job/*"),
        allow("sagemaker:ListHyperParameterTuningJobs"),
        allow("sagemaker:DescribeHyperParameterTuningJob", on=f"{tuning.TUNER}/*"),
        allow("sagemaker:ListTrainingJobsForHyperParameterTuningJob", on=f"{tuning.TUNER}/*"),
        *(allow("sagemaker:ListTags", on=f"{kind}/*") for kind in kinds),
        *(allow("logs:DescribeLogStreams", on=f"log-group:{kind.group}:*") for kind in KINDS.values()),
        *(allow("logs:GetLogEvents", on=f"log-group:{kind.group}:*") for kind in KINDS.values()),
        allow("s3:ListBucket", on="arn:aws:s3:::*"),
        allow("cloudwatch:ListMetrics"),
        allow("cloudwatch:GetMetricData"),
        allow("pricing:GetProducts"),
    )
    acts = job_grants.ACTS
    undoes = job_grants.UNDOES

    silence: timedelta = timedelta(hours=6)
    times_longest_pause: int = 3
    silence_without_rhythm: timedelta = timedelta(hours=24)
    overrun: timedelta = timedelta(hours=1)
    pool_patience: timedelta = timedelta(hours=1)
    grace_likely: timedelta = timedelta(days=1)

    @property
    def patience(self) -> Patience:
        """For how long a job must stand still."""
        return Patience(
            silence=self.silence,
            times_longest_pause=self.times_longest_pause,
            silence_without_rhythm=self.silence_without_rhythm,
        )

    def find(self, aws: Aws, now: datetime) -> Iterator[Suspect | SuspectTuner]:
        listers = (*(kind.running for kind in KINDS.values()), training.with_warm_pool, tuning.running)
        *listings, tuners = aws.map(lambda lister: lister(aws, now), listers)
        running = aws.map(lambda tuner: tuning.children(aws, tuner.name), tuners.items)
        children = [one for signal in running if isinstance(signal, Value) for one in signal.value]
        jobs = {one.arn.lower(): one for listing in listings for one in listing.items}
        jobs |= {one.arn.lower(): one for one in children}  # one may have started since those were listed
        suspects = self._suspects(aws, [listed(aws, one) for one in jobs.values()], tuners, now)
        yield from suspects
        by_arn = {one.target.arn.lower(): one for one in suspects}
        families = [
            family(listed(aws, one), tuning.as_listed(one), signal, by_arn)
            for one, signal in zip(tuners.items, running, strict=True)
        ]
        yield from aws.map(lambda candidate: self._tagged(aws, candidate, tuners, now), families)
        broken = [listing.error for listing in (*listings, tuners) if listing.error is not None]
        if broken:
            raise ReadError("; ".join(broken))

    def look(self, aws: Aws, target: Target, now: datetime) -> Suspect | SuspectTuner | None:
        if target.kind == tuning.TUNER:
            return self._look_at_tuner(aws, target, now)
        candidate = self._read(aws, replace(target, tags=tags.of_one(aws, target.arn)), now)
        match candidate.job:
            case Value(job):
                candidate = replace(candidate, target=replace(candidate.target, created=job.created))
            case Unreadable(error):
                raise ReadError(error)
            case _:
                return None
        (candidate,) = self._with_loads(aws, [candidate], now)
        tuners = tuning.running(aws, now) if job.tuner else NONE
        return replace(candidate, belongs_to=parent(aws, job, tuners), price=hourly(aws, job))

    def look_half_done(
        self, aws: Aws, target: Target, undo: Mapping[str, Any], now: datetime
    ) -> Suspect | SuspectTuner | None:
        candidate = self.look(aws, target, now)
        if isinstance(candidate, Suspect) and undo["what"] == job_record.JOB:
            return replace(candidate, half_done=True)
        return candidate

    def _look_at_tuner(self, aws: Aws, target: Target, now: datetime) -> SuspectTuner | None:
        """A tuning job as it is now, with all of its children that run."""
        match tuner := tuning.describe(aws, target.name):
            case Value(read):
                target = replace(target, created=read.created, tags=tags.of_one(aws, target.arn))
            case Unreadable(error):
                raise ReadError(error)
            case _:
                return None
        running = tuning.children(aws, target.name)
        targets = [listed(aws, one) for one in running.value] if isinstance(running, Value) else []
        by_arn = {one.target.arn.lower(): one for one in self._suspects(aws, targets, NONE, now)}
        return family(target, tuner, running, by_arn)

    def _suspects(
        self, aws: Aws, targets: Sequence[Target], tuners: Listing[Summary], now: datetime
    ) -> list[Suspect]:
        """All *targets* that are jobs, each with the signals that it takes to judge it."""
        candidates = aws.map(lambda target: self._read(aws, target, now), targets)
        candidates = self._with_loads(aws, candidates, now)
        return aws.map(lambda candidate: self._tagged(aws, candidate, tuners, now), candidates)

    def _read(self, aws: Aws, target: Target, now: datetime) -> Suspect:
        """One job with its description, logs and objects, each only if those before leave it open."""
        candidate = Suspect(target=target, job=KINDS[target.kind].describe(aws, target.name))
        if not isinstance(candidate.job, Value) or not self._open(candidate, now):
            return candidate
        job = candidate.job.value
        if job.started is None or job.status != IN_PROGRESS:
            return candidate
        heard = rhythm.read(aws, job.kind.group, job.streams, started=job.started, fresh=now - self.silence)
        candidate = replace(candidate, signs=Signs(rhythm=heard))
        if not isinstance(heard, Value) or not self._open(candidate, now) or not job.writes_to:
            return candidate
        stood_still = self.patience.with_rhythm(heard.value.longest_pause)
        newest = objects.newest(aws, job.writes_to, fresh=now - stood_still, ignore=training.SYSTEM_PROFILE)
        return replace(candidate, signs=Signs(rhythm=heard, newest=newest))

    def _with_loads(self, aws: Aws, candidates: Sequence[Suspect], now: datetime) -> list[Suspect]:
        """*candidates* with the load of those that are open still, all hosts of all jobs together."""
        windows: dict[str, job_loads.Window] = {}
        for candidate in candidates:
            match candidate:
                case Suspect(job=Value(job), signs=Signs(rhythm=Value(heard))) if self._open(candidate, now):
                    if job.writes_to and not isinstance(candidate.signs.newest, Value):
                        continue
                    stood_still = self.patience.with_rhythm(heard.longest_pause)
                    windows[candidate.target.arn] = job_loads.Window(job, now - stood_still)
        loads = job_loads.read(aws, windows, now)

        def with_load(candidate: Suspect) -> Suspect:
            read = loads.get(candidate.target.arn, candidate.signs.loads)
            return replace(candidate, signs=replace(candidate.signs, loads=read))

        return [with_load(candidate) for candidate in candidates]

    def _tagged[C: (Suspect, SuspectTuner)](
        self, aws: Aws, candidate: C, tuners: Listing[Summary], now: datetime
    ) -> C:
        """*candidate* with its tags, and a job with its price, if it is waste; what is kept needs neither."""
        if isinstance(self.decide(candidate, now), Kept):
            return candidate
        candidate = replace(
            candidate, target=replace(candidate.target, tags=tags.of_one(aws, candidate.target.arn))
        )
        match candidate:
            case Suspect(job=Value(job)):
                return replace(candidate, belongs_to=parent(aws, job, tuners), price=hourly(aws, job))
            case _:
                return candidate

    def _open(self, candidate: Suspect, now: datetime) -> bool:
        """Whether what was read so far leaves the question open."""
        verdict = self.decide(candidate, now)
        return isinstance(verdict, Kept) and verdict.unknown

    def decide(self, candidate: Suspect | SuspectTuner, now: datetime) -> Verdict:
        match verdict := self._judged(candidate, now):
            case Finding(confidence=Confidence.LIKELY):
                return replace(verdict, grace=self.grace_likely)
            case _:
                return verdict

    def _judged(self, candidate: Suspect | SuspectTuner, now: datetime) -> Verdict:
        rule = Rule()
        match candidate:
            case SuspectTuner(tuner=tuner, children=children):
                return tuning.judge(rule, tuner, self._verdicts(children, now))
            case Suspect(job=Value(job)):
                return self._of_pool(rule, candidate, job, now) or self._of_job(rule, candidate, job, now)
            case Suspect(job=Absent()):
                return rule.kept("it no longer exists")
            case _:
                rule.saw(evidence("description", candidate.job))
                return rule.unknown("its description could not be read")

    def _verdicts(
        self, children: Signal[tuple[Suspect, ...]], now: datetime
    ) -> Signal[Mapping[str, Verdict]]:
        """What is made of each of *children*, by its name."""
        if not isinstance(children, Value):
            return children
        verdicts = {child.target.name: self.decide(child, now) for child in children.value}
        return Value(verdicts, children.source)

    def _of_pool(self, rule: Rule, candidate: Suspect, job: Job, now: datetime) -> Verdict | None:
        """The warm pool that a job left behind, if it is still there."""
        if candidate.half_done:
            return warm_pools.left_behind(rule, candidate.job, job, candidate.price)
        return warm_pools.judge(
            rule, candidate.job, job, candidate.price, patience=self.pool_patience, now=now
        )

    def prepare(
        self,
        aws: Aws,
        candidate: Suspect | SuspectTuner,
        finding: Finding,  # noqa: ARG002
        memo: Mapping[str, Any],  # noqa: ARG002
    ) -> Mapping[str, Any]:
        return job_record.read(aws, candidate)

    def act(self, aws: Aws, target: Target, undo: Mapping[str, Any], steps: Steps) -> None:
        job_stops.act(aws, target, undo, steps)

    def settled(self, aws: Aws, target: Target, undo: Mapping[str, Any]) -> bool:
        return job_stops.settled(aws, target, undo)

    def undo(self, aws: Aws, target: Target, undo: Mapping[str, Any], steps: Steps) -> str | None:
        return restarts.restart(aws, self.name, target, undo, steps)

    def comeback(self, target: Target, undo: Mapping[str, Any]) -> str:
        return restarts.announced(self.name, target, undo)

    def _of_job(self, rule: Rule, candidate: Suspect, job: Job, now: datetime) -> Verdict:
        """A job that works on after its own limit, or without a sign of life."""
        verdict = (
            phases.not_at_work(rule, candidate.job, job, now)
            or phases.past_its_limit(rule, job, self.overrun, now)
            or stillness.judge(rule, candidate.signs, job, self.patience, now)
        )
        if isinstance(verdict, Kept):
            return verdict
        return rule.found(
            f"{verdict.reason}; {rate(candidate.price, job)}",
            verdict.confidence,
            action=job.kind.action,
            cost=bill(candidate.price, job.started, now, until=limit(job)),
            since=verdict.since,
            noun=f"hung {job.kind.noun}",
            lost=job.lost,
        )
